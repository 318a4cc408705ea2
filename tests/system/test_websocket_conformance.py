"""The frame code against a table of cases in the order of the Autobahn test suite (1 to 7, 9, 10), each against
ws_echo as server and as client, sent whole and in small pieces."""
import contextlib
import socket

import pytest

from harness import ROOT, Process
from websocket_peer import BINARY, CLOSE, PING, PONG, TEXT, accept, connect

WS_ECHO = str(ROOT / "build" / "tools" / "ws_echo")


class Case:
    """Frames to send (arguments of Peer.frame, or bytes), the frames that come back, and how it ends: the code of
    the close frame that we get, or None for a close frame without one."""

    def __init__(self, name, send, back, end, small_pieces=True):
        self.name, self.send, self.back, self.end, self.small_pieces = name, send, back, end, small_pieces


CASES = []


def case(name, send, back=(), end=1000, small_pieces=True):
    """A case that goes well ends with a close frame of ours."""
    send = list(send)
    if end == 1000:
        send.append((CLOSE, b"\x03\xe8"))
    CASES.append(Case(name, send, list(back), end, small_pieces))


def echo(name, opcode, payload, **more):
    case(name, [(opcode, payload)], [(opcode, payload)], **more)


def code(number, reason=b""):
    return number.to_bytes(2, "big") + reason


# 1: lengths
for opcode, kind, byte in ((TEXT, "text", b"*"), (BINARY, "binary", b"\xfe")):
    for size in (0, 1, 125, 126, 127, 128, 65535, 65536):
        echo(f"1 {kind} of {size}", opcode, byte * size)

# 2: pings and pongs
for payload in (b"", b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125):
    case(f"2 ping of {len(payload)}", [(PING, payload)], [(PONG, payload)])
    case(f"2 pong of {len(payload)} that nobody asked for", [(PONG, payload)])
case("2 ping of 126", [(PING, b"\xfe" * 126)], end=1002)
case("2 ping of 126 in 16 bits", [(PING, b"\xfe" * 126, {"length_bytes": 2})], end=1002)
case("2 pong, then ping", [(PONG, b"x"), (PING, b"y")], [(PONG, b"y")])
case("2 ten pings", [(PING, b"payload-%d" % i) for i in range(10)], [(PONG, b"payload-%d" % i) for i in range(10)])

# 3: reserved bits
for rsv in range(1, 8):
    for opcode in (TEXT, BINARY, PING, CLOSE):
        case(f"3 reserved bits {rsv} with opcode {opcode}",
             [(TEXT, b"before"), (opcode, b"", {"rsv": rsv}), (TEXT, b"behind")], [(TEXT, b"before")], 1002)
case("3 reserved bits in a continuation", [(TEXT, b"a", {"fin": False}), (0, b"b", {"rsv": 4})], end=1002)

# 4: reserved opcodes
for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    case(f"4 opcode {opcode}", [(opcode, b"")], end=1002)
    case(f"4 opcode {opcode} behind a message", [(TEXT, b"before"), (opcode, b"x"), (PING, b"")], [(TEXT, b"before")],
         1002)

# 5: fragmentation
PART, REST = {"fin": False}, {"fin": True}
case("5 ping in two", [(PING, b"a", PART), (0, b"b")], end=1002)
case("5 pong in two", [(PONG, b"a", PART), (0, b"b")], end=1002)
case("5 close in two", [(CLOSE, b"\x03", PART), (0, b"\xe8")], end=1002)
case("5 text in two", [(TEXT, b"a", PART), (0, b"b")], [(TEXT, b"ab")])
case("5 ping inside", [(TEXT, b"a", PART), (PING, b"p"), (0, b"b")], [(PONG, b"p"), (TEXT, b"ab")])
case("5 continuation of nothing, final", [(0, b"a"), (TEXT, b"b")], end=1002)
case("5 continuation of nothing, not final", [(0, b"a", PART), (TEXT, b"b")], end=1002)
case("5 continuation behind a message", [(TEXT, b"a", PART), (0, b"b"), (0, b"c"), (TEXT, b"d")], [(TEXT, b"ab")], 1002)
case("5 text inside a text", [(TEXT, b"a", PART), (TEXT, b"b")], end=1002)
case("5 binary inside a text", [(TEXT, b"a", PART), (BINARY, b"b", PART)], end=1002)
case("5 five parts and two pings",
     [(TEXT, b"1", PART), (0, b"2", PART), (PING, b"x"), (0, b"3", PART), (0, b"4", PART), (PING, b"y"), (0, b"5")],
     [(PONG, b"x"), (PONG, b"y"), (TEXT, b"12345")])
case("5 empty parts", [(TEXT, b"", PART), (0, b"", PART), (0, b"")], [(TEXT, b"")])
case("5 empty parts around one", [(BINARY, b"", PART), (0, b"x", PART), (0, b"")], [(BINARY, b"x")])
case("5 close inside a message", [(TEXT, b"a", PART)])

# 6: UTF-8
GOOD_TEXTS = ["\u03ba\u1f79\u03c3\u03bc\u03b5", "\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd",
              "\uffff", "\U00010000", "\U0010fffe", "\U0010ffff", "Hello-\xb5@\xdf\xf6\xe4\xfc\xe0\xe1-UTF-8!!"]
for text in GOOD_TEXTS:
    whole = text.encode()
    echo(f"6 {ascii(text)}", TEXT, whole)
    case(f"6 {ascii(text)} byte by byte",
         [(TEXT if i == 0 else 0, whole[i:i + 1], REST if i == len(whole) - 1 else PART) for i in range(len(whole))],
         [(TEXT, whole)])
BAD_TEXTS = [b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xc3(", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xe2\x82",
             b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
             b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff",
             b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"]
for text in BAD_TEXTS:
    case(f"6 bad {text!r}", [(TEXT, text)], end=1007)
    case(f"6 bad {text!r} byte by byte",
         [(TEXT if i == 0 else 0, text[i:i + 1], REST if i == len(text) - 1 else PART) for i in range(len(text))],
         end=1007)
case("6 told while the message is not finished", [(TEXT, b"good \xce\xba", PART), (0, b"\xf4\x90", PART)], end=1007)
case("6 told while the frame is not finished", [(TEXT, b"good \xf4\x90", {"claimed": 100})], end=1007)
case("6 bad text is no matter in binary", [(BINARY, b"\xff\xc3")], [(BINARY, b"\xff\xc3")])

# 7: closing
case("7 close", [], [], 1000)
case("7 message, then close", [(TEXT, b"x")], [(TEXT, b"x")])
case("7 text behind a close", [(CLOSE, code(1000)), (TEXT, b"x")], end=1000)
case("7 close twice", [(CLOSE, code(1000)), (CLOSE, code(1000))], end=1000)
case("7 ping behind a close", [(CLOSE, code(1000)), (PING, b"x")], end=1000)
case("7 empty close", [(CLOSE, b"")], end=None)
case("7 close of one byte", [(CLOSE, b"a")], end=1002)
case("7 close of 126", [(CLOSE, code(1000, b"x" * 124))], end=1002)
for reason in (b"", b"Hello World!", b"\xc3\xa4", b"*" * 123):
    case(f"7 reason of {len(reason)}", [(CLOSE, code(1000, reason))], end=1000)
case("7 reason is not UTF-8", [(CLOSE, code(1000, BAD_TEXTS[-1]))], end=1007)
for number in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
    case(f"7 code {number}", [(CLOSE, code(number))], end=number)
for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    case(f"7 reserved code {number}", [(CLOSE, code(number))], end=1002)
    case(f"7 reserved code {number} with reason", [(CLOSE, code(number, b"x"))], end=1002)

# 9: large messages; above the limit
for size in (1 << 20, 16 << 20):
    echo(f"9 binary of {size}", BINARY, bytes(range(256)) * (size // 256), small_pieces=False)
    echo(f"9 text of {size}", TEXT, b"0123456789abcde\n" * (size // 16), small_pieces=False)
case("9 4 MiB in parts of 64 KiB",
     [(BINARY if i == 0 else 0, b"x" * 65536, REST if i == 63 else PART) for i in range(64)], [(BINARY, b"x" * (1 << 22))],
     small_pieces=False)
case("9 announced too large", [(BINARY, b"", {"claimed": (16 << 20) + 1, "length_bytes": 8})], end=1009)
case("9 parts too large together", [(BINARY, b"x" * 10, PART), (0, b"", {"claimed": 16 << 20, "length_bytes": 8})],
     end=1009, small_pieces=False)
case("9 length with the top bit", [(BINARY, b"", {"claimed": 1 << 63, "length_bytes": 8})], end=1002)
case("9 16 bits for 125", [(BINARY, b"x" * 125, {"length_bytes": 2})], end=1002)
case("9 64 bits for 65535", [(BINARY, b"x" * 65535, {"length_bytes": 8})], end=1002, small_pieces=False)

# 10: parts of odd sizes
case("10 64 KiB in parts of 1300",
     [(TEXT if i == 0 else 0, b"*" * min(1300, 65536 - i), REST if i + 1300 >= 65536 else PART)
      for i in range(0, 65536, 1300)], [(TEXT, b"*" * 65536)])


def wire(peer, case):
    """What is to be sent, in as many pieces as there are frames."""
    pieces = []
    for opcode, payload, *options in case.send:
        options = dict(options[0]) if options else {}
        pieces.append(peer.frame(opcode, payload, **options))
    return pieces


def play(peer, case, piece_size):
    data = b"".join(wire(peer, case))
    # What is refused may be refused before all of it was sent.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if piece_size is None:
            peer.sock.sendall(data)
        else:
            for i in range(0, len(data), piece_size):
                peer.sock.sendall(data[i:i + piece_size])
    for want in case.back:
        got = peer.receive()
        assert got is not None and got[0] == want[0] and got[1] == want[1], \
            f"{case.name}: got {got and (got[0], got[1][:40])}, want {(want[0], want[1][:40])}"
    got = peer.receive()
    want = b"" if case.end is None else code(case.end)
    assert got is not None and got[0] == CLOSE, f"{case.name}: got {got}, want a close frame"
    assert got[1][:2] == want, f"{case.name}: closed with {got[1]!r}, want {want!r}"
    if peer.is_client:
        with contextlib.suppress(ConnectionResetError):
            assert peer.receive() is None, f"{case.name}: something behind the close frame"
    else:
        peer.sock.close()


def piece_sizes(case):
    """Whole, and where that takes no time in pieces of some bytes."""
    total = sum(len(frame[1]) for frame in case.send)
    return [None] if not case.small_pieces or total > 200 else [None, 1, 7]


def sections():
    return sorted({case.name.split()[0] for case in CASES}, key=int)


def cases_of(section):
    return [case for case in CASES if case.name.split()[0] == section]


@pytest.mark.parametrize("section", sections())
def test_server(section, processes):
    server = processes(Process("server", "127.0.0.1:0", program=[WS_ECHO]))
    port = int(server.wait_line("listening ws://").rsplit(":", 1)[1])
    for case in cases_of(section):
        for piece_size in piece_sizes(case):
            peer = connect(port)
            play(peer, case, piece_size)
            peer.sock.close()


@pytest.mark.parametrize("section", sections())
def test_client(section, processes):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        for i, case in enumerate(cases_of(section)):
            client = Process("client", f"ws://127.0.0.1:{port}/runCase?case={i}&agent=x", program=[WS_ECHO])
            try:
                peer, head = accept(listener)
                assert head.startswith(f"GET /runCase?case={i}&agent=x HTTP/1.1\r\n")
                play(peer, case, piece_sizes(case)[-1])
                assert client.wait() == 0, f"{case.name}: {client.text()}"
            finally:
                client.stop()


def test_frames_with_the_wrong_mask(processes):
    server = processes(Process("server", "127.0.0.1:0", program=[WS_ECHO]))
    port = int(server.wait_line("listening ws://").rsplit(":", 1)[1])
    peer = connect(port)
    peer.sock.sendall(peer.frame(TEXT, b"unmasked", mask=None))
    assert peer.receive()[1][:2] == code(1002)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = processes(Process("client", f"ws://127.0.0.1:{listener.getsockname()[1]}/", program=[WS_ECHO]))
        peer, _ = accept(listener)
        peer.sock.sendall(peer.frame(TEXT, b"masked", mask=b"1234"))
        assert peer.receive()[1][:2] == code(1002)
        peer.sock.close()
        assert client.wait() == 0
