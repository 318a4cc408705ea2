"""Clients that send a lot and read nothing, against the real hub: its memory does not follow, others are served."""
import contextlib
import pathlib
import re
import socket

import harness
import pytest
import websocket_peer
from websocket_peer import PING, TEXT, frame

MIB = 1 << 20
GROWTH_MIB = 8
FLOOD_MIB = 64

MASK = b"\0\0\0\0"
GET = b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def hub(tmp_path, processes):
    (tmp_path / "secret").write_text(harness.SECRET)
    return processes(harness.Server("hub", "--data", tmp_path / "zone", "--secret-file", tmp_path / "secret"))


def resident_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


def web_socket(hub):
    return websocket_peer.connect(hub.port).sock


def plain(hub):
    return socket.create_connection(("127.0.0.1", hub.port))


FLOODS = {
    "pings": (web_socket, b"", frame(PING, b"x" * 125, mask=MASK) * 500),
    "empty fragments": (web_socket, frame(TEXT, b"", fin=False, mask=MASK), frame(0, b"", fin=False, mask=MASK) * 9000),
    "pongs": (web_socket, b"", frame(10, b"x" * 125, mask=MASK) * 500),
    "requests": (plain, b"", GET * 2000),
    "requests to a route that is not there": (plain, b"", GET.replace(b"/probe", b"/" + b"x" * 1000) * 60),
    "bytes of an endless chunk": (plain, b"POST /r/x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                                         b"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", b"x" * 65536),
    "tiny chunks with long extensions": (plain, b"POST /r/x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                                                b"Transfer-Encoding: chunked\r\n\r\n",
                                         (b"1;" + b"e" * 200 + b"\r\nx\r\n") * 300),
    "empty lines": (plain, b"", b"\r\n" * 30000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood(hub, name):
    connect, first, piece = FLOODS[name]
    before = resident_mib(hub.pid)
    with connect(hub) as sock:
        # When the server takes no more or has hung up, that is as good.
        sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            sock.sendall(first)
            for _ in range(FLOOD_MIB * MIB // len(piece)):
                sock.sendall(piece)
        assert harness.http("GET", hub.url + "/probe")[0] == 200
        # AddressSanitizer keeps what was freed.
        assert harness.is_sanitized() or resident_mib(hub.pid) - before < GROWTH_MIB
