"""Clients that send a lot and read nothing, against the real hub, and such a proxy, against the daemon: their memory does
not follow, and they go on."""
import contextlib
import json
import socket

import harness
import pytest
import websocket_peer
from websocket_peer import PING, PONG, TEXT, frame
from daemon_of_a_socket import message, request
from harness import resident_mib

MIB = 1 << 20
GROWTH_MIB = 8
FLOOD_MIB = 64

MASK = b"\0\0\0\0"
GET = b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"



def web_socket(hub):
    return websocket_peer.connect(hub.port).sock


def plain(hub):
    return socket.create_connection(("127.0.0.1", hub.port))


FLOODS = {
    "pings": (web_socket, b"", frame(PING, b"x" * 125, mask=MASK) * 500),
    "empty fragments": (web_socket, frame(TEXT, b"", fin=False, mask=MASK), frame(0, b"", fin=False, mask=MASK) * 9000),
    "pongs": (web_socket, b"", frame(PONG, b"x" * 125, mask=MASK) * 500),
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
def test_flood(bare_hub, name):
    connect, first, piece = FLOODS[name]
    before = resident_mib(bare_hub.pid)
    with connect(bare_hub) as sock:
        # When the server takes no more or has hung up, that is as good.
        sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            sock.sendall(first)
            for _ in range(FLOOD_MIB * MIB // len(piece)):
                sock.sendall(piece)
        assert harness.http("GET", bare_hub.url + "/probe")[0] == 200
        # AddressSanitizer keeps what was freed.
        assert harness.is_sanitized() or resident_mib(bare_hub.pid) - before < GROWTH_MIB


# ---- the daemon ----

# 16 MiB of answers that wait (in a buffer that doubles), 16,384 jobs, 32,768 waiters
DAEMON_GROWTH_MIB = 56


# What is sent again and again; whether that ends the connection (else all of it is taken).
PROXY_FLOODS = {
    "pings": (frame(PING, b"x" * 125) * 500, False),
    "pongs": (frame(PONG, b"x" * 125) * 500, False),
    "requests for what is not there": (b"".join(message(request(f"{i:040x}")) for i in range(5000)), True),
    "requests for one hash": (message(request("a" * 40)) * 5000, True),
    "requests that are none": (message({"type": "requestFromClient", "requestId": "r", "more": "x" * 100}) * 5000, True),
    "cancels": (message({"type": "cancelRequestFromClient", "requestId": "r"}) * 5000, False),
    "messages of nobody's": (message({"type": "x", "text": "y" * 100000}) * 5, False),
    "the largest messages": (frame(TEXT, b"x" * MIB), False),
    "empty fragments": (frame(TEXT, b"", fin=False) + frame(0, b"", fin=False) * 5000 + frame(0, b""), False),
}


def is_answered(peer):
    """One request, behind all that was sent before."""
    peer.sock.sendall(message(request("f" * 40, "last")))
    while True:
        opcode, payload = peer.receive()
        if opcode == TEXT and json.loads(payload)["requestId"] == "last":
            return json.loads(payload)["response"] == {"type": "fileUpload", "status": {"status": "not-found"}}


@pytest.mark.parametrize("name", PROXY_FLOODS)
def test_a_proxy_that_floods_the_daemon(daemon_and_listener, name):
    piece, is_dropped = PROXY_FLOODS[name]
    daemon, greeted = daemon_and_listener
    peer = greeted()
    assert is_answered(peer)
    before = resident_mib(daemon.pid)
    peer.sock.settimeout(harness.DEADLINE_S)
    try:
        for _ in range(FLOOD_MIB * MIB // len(piece) + 1):
            peer.sock.sendall(piece)
        is_open = True
    except OSError:
        is_open = False
    assert harness.is_sanitized() or resident_mib(daemon.pid) - before < DAEMON_GROWTH_MIB
    assert is_open != is_dropped
    if is_dropped:
        peer.sock.close()
        daemon.wait_line("trying again")
        peer = greeted()
    assert is_answered(peer)
    harness.until(lambda: harness.is_sanitized() or resident_mib(daemon.pid) - before < DAEMON_GROWTH_MIB / 2,
                  "what it held is given back")
