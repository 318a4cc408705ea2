"""A WebSocket whose peer broke the protocol: the close frame, then the end of our side, both at once, also while the peer
goes on sending."""
import struct
import time

import harness
import pytest
import websocket_peer
from websocket_peer import CLOSE, PING, TEXT, frame

MASK = b"\1\2\3\4"


def broken(mask):
    """Name: bytes, the code that they cost. `mask` is what the other side has to send with."""
    wrong = None if mask else MASK
    return {
        "masking": (frame(TEXT, b"{}", mask=wrong), 1002),
        "reserved bit": (frame(TEXT, b"{}", rsv=4, mask=mask), 1002),
        "reserved opcode": (frame(3, b"", mask=mask), 1002),
        "fragmented ping": (frame(PING, b"", fin=False, mask=mask), 1002),
        "long ping": (frame(PING, b"x" * 126, mask=mask), 1002),
        "continuation of nothing": (frame(0, b"x", mask=mask), 1002),
        "text inside a fragmented one": (frame(TEXT, b"{", fin=False, mask=mask) + frame(TEXT, b"}", mask=mask), 1002),
        "not UTF-8": (frame(TEXT, b"\xff", mask=mask), 1007),
        "close code 1005": (frame(CLOSE, struct.pack("!H", 1005), mask=mask), 1002),
        "close of one byte": (frame(CLOSE, b"x", mask=mask), 1002),
        "too long": (frame(TEXT, b"", claimed=1 << 40, length_bytes=8, mask=mask), 1009),
    }


def ends_at_once(peer, code, after=b""):
    began = time.monotonic()
    peer.sock.sendall(after)
    while True:
        opcode, payload = peer.receive()
        if opcode == CLOSE:
            break
    assert int.from_bytes(payload[:2], "big") == code, payload
    assert peer.receive() is None  # FIN, and no reset before it
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("after", [b"", b"x" * 20000])
@pytest.mark.parametrize("name", broken(MASK))
def test_server(bare_hub, name, after):
    text, code = broken(MASK)[name]
    peer = websocket_peer.connect(bare_hub.port)
    peer.sock.sendall(text + after)
    ends_at_once(peer, code, after)
    peer.sock.close()
    assert harness.http("GET", bare_hub.url + "/probe")[0] == 200


@pytest.mark.parametrize("after", [b"", b"x" * 20000])
@pytest.mark.parametrize("name", broken(None))
def test_daemon(daemon_and_listener, name, after):
    text, code = broken(None)[name]
    daemon, greeted = daemon_and_listener
    peer = greeted()
    peer.sock.sendall(text + after)
    ends_at_once(peer, code)
    peer.sock.close()
    daemon.wait_line("trying again")
    greeted().sock.close()
