"""Requests that two readers could take apart differently, byte for byte to the real hub: each gets its one answer and
the end of its connection, nothing hidden in it is answered, and others do not notice."""
import contextlib
import json
import re
import socket

import harness
import pytest
from our_zone import Zone, key_of, sign, visible

HIDDEN = b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"
HOST = b"Host: h\r\n"


def get(lines=b"", first=b"GET /probe HTTP/1.1", host=HOST):
    return first + b"\r\n" + host + lines + b"\r\n"


def post(lines, body=b"", path=b"/r/none"):
    return get(b"Content-Type: application/json\r\n" + lines, b"POST %s HTTP/1.1" % path) + body


CHUNKED = b"Transfer-Encoding: chunked\r\n"

# Name: bytes, status.
BAD = {
    "two lengths": (post(b"Content-Length: 5\r\nContent-Length: 36\r\n", b"hello"), 400),
    "the same length twice": (post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400),
    "list of lengths": (post(b"Content-Length: 5, 5\r\n", b"hello"), 400),
    "signed length": (post(b"Content-Length: +5\r\n", b"hello"), 400),
    "negative length": (post(b"Content-Length: -1\r\n"), 400),
    "hexadecimal length": (post(b"Content-Length: 0x5\r\n", b"hello"), 400),
    "empty length": (post(b"Content-Length:\r\n"), 400),
    "length beyond 2^64": (post(b"Content-Length: 18446744073709551621\r\n", b"hello"), 400),
    "length in two headers by case": (post(b"content-length: 0\r\nCONTENT-LENGTH: 5\r\n", b"hello"), 400),
    "length, then coding": (post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"), 400),
    "coding, then length": (post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), 400),
    "coding and length 0": (post(CHUNKED + b"Content-Length: 0\r\n", b"0\r\n\r\n"), 400),
    "chunked twice": (post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
    "chunked in two headers": (post(CHUNKED + CHUNKED, b"0\r\n\r\n"), 400),
    "chunked not last": (post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"), 400),
    "identity": (post(b"Transfer-Encoding: identity\r\n"), 501),
    "gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "xchunked": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501),
    "quoted chunked": (post(b"Transfer-Encoding: \"chunked\"\r\n", b"0\r\n\r\n"), 501),
    "chunked behind a vertical tab": (post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400),
    "chunked behind a bare CR": (post(b"Transfer-Encoding: \rchunked\r\n", b"0\r\n\r\n"), 400),
    "empty coding": (post(b"Transfer-Encoding:\r\n"), 400),
    "comma behind chunked": (post(b"Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"), 400),
    "coding in HTTP/1.0": (post(CHUNKED, b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "folded coding": (post(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), 400),
    "folded header": (get(b"X: a\r\n b\r\n"), 400),
    "first header folded": (get(b"", host=b" X: a\r\n" + HOST), 400),
    "space before the colon": (post(b"Content-Length : 5\r\n", b"hello"), 400),
    "tab before the colon": (post(b"Transfer-Encoding\t: chunked\r\n", b"0\r\n\r\n"), 400),
    "header without colon": (get(b"X\r\n"), 400),
    "header without name": (get(b": x\r\n"), 400),
    "NUL in a name": (get(b"X\0: a\r\n"), 400),
    "NUL in a value": (get(b"X: a\0\r\n"), 400),
    "control byte in a value": (get(b"X: a\x01\r\n"), 400),
    "bare CR in a value": (get(b"X: a\rContent-Length: 5\r\n"), 400),
    "bare LF behind a header": (get(b"X: a\nContent-Length: 5\r\n"), 400),
    "bare LF behind the request line": (get().replace(b"\r\n", b"\n", 1), 400),
    "bare LF ends the head": (get()[:-2] + b"\n", 400),
    "bare CR before the request": (b"\r" + get(), 400),
    "bare LF before the request": (b"\n" + get(), 400),
    "two empty lines before the request": (b"\r\n\r\n" + get(), 400),
    "space before the request": (b" " + get(), 400),
    "two spaces": (get(first=b"GET  /probe HTTP/1.1"), 400),
    "space in the target": (get(first=b"GET /pro be HTTP/1.1"), 400),
    "space behind the version": (get(first=b"GET /probe HTTP/1.1 "), 400),
    "tabs instead of spaces": (get(first=b"GET\t/probe\tHTTP/1.1"), 400),
    "no version": (get(first=b"GET /probe"), 400),
    "HTTP/0.9": (b"GET /probe\r\n\r\n", 400),
    "version 2.0": (get(first=b"GET /probe HTTP/2.0"), 505),
    "version 1.10": (get(first=b"GET /probe HTTP/1.10"), 400),
    "version in small letters": (get(first=b"GET /probe http/1.1"), 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "control byte in the target": (get(first=b"GET /probe\x01 HTTP/1.1"), 400),
    "high byte in the target": (get(first=b"GET /\xc3\xa4 HTTP/1.1"), 400),
    "fragment in the target": (get(first=b"GET /probe# HTTP/1.1"), 400),
    "target without slash": (get(first=b"GET probe HTTP/1.1"), 400),
    "absolute target with user": (get(first=b"GET http://u@h/probe HTTP/1.1"), 400),
    "other scheme": (get(first=b"GET ftp://h/probe HTTP/1.1"), 400),
    "method with a colon": (get(first=b"GE:T /probe HTTP/1.1"), 400),
    "no Host": (get(host=b""), 400),
    "two Hosts": (get(HOST), 400),
    "Host with a path": (get(host=b"Host: h/p\r\n"), 400),
    "Host with a user": (get(host=b"Host: u@h\r\n"), 400),
    "Host with a space": (get(host=b"Host: a b\r\n"), 400),
    "101 headers": (get(b"a: b\r\n" * 100), 431),
    "head above 16 KiB": (get(b"a: %s\r\n" % (b"b" * 16384)), 431),
    "target above 8 KiB": (get(first=b"GET /%s HTTP/1.1" % (b"x" * 8192)), 414),
    "target without end": (b"GET /" + b"x" * 20000, 414),
    "chunk size not hexadecimal": (post(CHUNKED, b"g\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size with 0x": (post(CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size empty": (post(CHUNKED, b"\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size negative": (post(CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size beyond 2^64": (post(CHUNKED, b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size behind a space": (post(CHUNKED, b" 5\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size before a space": (post(CHUNKED, b"5 \r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size ends in LF": (post(CHUNKED, b"5\nhello\r\n0\r\n\r\n"), 400),
    "bare CR in a chunk extension": (post(CHUNKED, b"5;a\rb\r\nhello\r\n0\r\n\r\n"), 400),
    "bare LF in a chunk extension": (post(CHUNKED, b"5;a\nb\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk extension without a name": (post(CHUNKED, b"5;\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk extension without its value": (post(CHUNKED, b"5;a=\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk extension of two words": (post(CHUNKED, b"5;a b\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk extension with a blank at its end": (post(CHUNKED, b"5;a \r\nhello\r\n0\r\n\r\n"), 400),
    "chunk extension whose quotes do not end": (post(CHUNKED, b"5;a=\"b\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk extension with quotes in a value": (post(CHUNKED, b"5;a=b\"c\"\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk extension with a slash": (post(CHUNKED, b"5;a/b\r\nhello\r\n0\r\n\r\n"), 400),
    "extension of the last chunk": (post(CHUNKED, b"5\r\nhello\r\n0;\r\n\r\n"), 400),
    "chunk line above 256": (post(CHUNKED, b"5;%s\r\nhello\r\n0\r\n\r\n" % (b"a" * 300)), 400),
    "chunk longer than it says": (post(CHUNKED, b"5\r\nhello!\r\n0\r\n\r\n"), 400),
    "chunk ends in LF": (post(CHUNKED, b"5\r\nhello\n0\r\n\r\n"), 400),
    "request instead of the last CRLF": (post(CHUNKED, b"0\r\n" + HIDDEN), 400),
    "folded trailer": (post(CHUNKED, b"0\r\nX: a\r\n b\r\n\r\n"), 400),
    "trailer above 4 KiB": (post(CHUNKED, b"0\r\nX: %s\r\n\r\n" % (b"a" * 4096)), 400),
    "body too large": (post(b"Content-Length: 200000\r\n", b"x" * 200000), 413),
    "GET with a body": (get(b"Content-Length: 5\r\n") + b"hello", 413),
    "GET with a chunked body": (get(CHUNKED) + b"5\r\nhello\r\n0\r\n\r\n", 413),
    "chunked body too large": (post(CHUNKED, b"30d40\r\n%s\r\n0\r\n\r\n" % (b"x" * 200000)), 413),
}


@pytest.fixture(scope="module")
def lone_hub(tmp_path_factory):
    """One hub of ours for all requests of this file."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "secret").write_text(harness.SECRET)
    server = harness.Server("hub", "--data", folder / "zone", "--secret-file", folder / "secret")
    yield server
    server.stop()


class Client:
    def __init__(self, hub):
        self.sock = socket.create_connection(("127.0.0.1", hub.port), timeout=harness.DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data, piece_size=None):
        # The server may have had enough before the end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for i in range(0, len(data), piece_size or len(data)):
                self.sock.sendall(data[i:i + (piece_size or len(data))])
        return self

    def _more(self):
        part = self.sock.recv(65536)
        self.data += part
        return bool(part)

    def answer(self):
        """The next answer's status and body, None at the end of the connection."""
        while b"\r\n\r\n" not in self.data:
            if not self._more():
                assert self.data == b"", f"cut: {self.data!r}"
                return None
        head, _, rest = self.data.partition(b"\r\n\r\n")
        is_empty = head.startswith(b"HTTP/1.1 204 ")
        length = 0 if is_empty else int(re.search(rb"(?i)\r\nContent-Length: *(\d+)", head).group(1))
        while len(rest) < length:
            assert self._more(), "cut inside a body"
            rest = self.data.partition(b"\r\n\r\n")[2]
        self.data = rest[length:]
        assert head.startswith(b"HTTP/1.1 ")
        return int(head.split()[1]), rest[:length]

    def answers(self):
        """All of them until the server closes."""
        got = []
        while True:
            one = self.answer()
            if one is None:
                return got
            got.append(one)


def request_of(name):
    return json.dumps({"type": "requestFromClient", "resourceName": name, "zone": "default", "timeoutMsec": 2000,
                       "request": {"type": "fileUpload", "uri": "sha1://" + "1" * 40, "timeoutMsec": 1000}}).encode()


@pytest.mark.parametrize("name", BAD)
def test_refused(lone_hub, name):
    data, status = BAD[name]
    with Client(lone_hub) as bystander, Client(lone_hub) as client:
        assert bystander.send(HIDDEN).answer() == (200, b"running.")
        got = client.send(data + HIDDEN).answers()
        assert [one[0] for one in got] == [status], got
        assert b"running." not in got[0][1]
        assert bystander.send(HIDDEN).answer() == (200, b"running.")


@pytest.mark.parametrize("name", [name for name in BAD if len(BAD[name][0]) < 250])
def test_refused_in_small_pieces(lone_hub, name):
    data, status = BAD[name]
    with Client(lone_hub) as client:
        assert [one[0] for one in client.send(data + HIDDEN, 3).answers()] == [status]


@pytest.mark.parametrize("name", [name for name in BAD if len(BAD[name][0]) < 250])
def test_refused_behind_a_good_one(lone_hub, name):
    """The answer to what came before is not lost, whatever follows it in the same packet."""
    data, status = BAD[name]
    with Client(lone_hub) as client:
        got = client.send(HIDDEN + data + HIDDEN).answers()
        assert [one[0] for one in got] == [200, status], got


def test_bodies_are_no_requests(lone_hub):
    body = request_of("none")
    pad = b" " * 64 + HIDDEN + b" " * 64
    for lines, sent in (
            (b"Content-Length: %d\r\n" % len(pad), pad),
            (CHUNKED, b"%x\r\n%s\r\n0\r\n\r\n" % (len(pad), pad)),
            (CHUNKED, b"%x;GET=\"/probe\"\r\n%s\r\n0\r\nGET: /probe\r\n\r\n" % (len(pad), pad))):
        with Client(lone_hub) as client:
            client.send(post(lines, sent) + HIDDEN + post(b"Content-Length: %d\r\n" % len(body), body) + HIDDEN)
            got = [client.answer() for _ in range(4)]
            assert [one[0] for one in got] == [400, 200, 404, 200], got
            assert got[1] == got[3] == (200, b"running.") and b"resource not found" in got[2][1]


def test_good_oddities(lone_hub):
    """What is allowed is served: empty line first, absolute form, tabs around values, chunk extensions, 100 headers."""
    body = request_of("none")
    goods = [(b"\r\n" + get(), 200), (get(first=b"GET http://h:1/probe HTTP/1.1"), 200),
             (get(first=b"GET http://h?x HTTP/1.1"), harness.http("GET", lone_hub.url + "/?x")[0]),
             (get(first=b"GET http://other/probe?x HTTP/1.1"), 200), (get(first=b"GET /probe?http://h/ HTTP/1.1"), 200),
             (get(b"Expect: 200-ok\r\n"), 200), (get(host=b"Host:\r\n"), 200), (get(host=b"hOST: [::1]:80\r\n"), 200),
             (get(first=b"OPTIONS * HTTP/1.1"), 204), (get(first=b"BREW /probe HTTP/1.1"), 501),
             (get(first=b"PUT /probe HTTP/1.1"), 405), (post(CHUNKED.upper().replace(b"ENCODING", b"encoding"),
                                                             b"0;a ; b=\"\\\"\";c=d\r\n\r\n"), 400),
             (get(b"X: \t a\tb \xff\t \r\n"), 200), (get(first=b"GET /probe HTTP/1.2"), 200),
             (get(b"a: b\r\n" * 99), 200), (get(b"Content-Length: 0\r\n"), 200),
             (post(CHUNKED, b"%x ; a=\"b;\"\r\n%s\r\n000\r\nX: y\r\n\r\n" % (len(body), body)), 404),
             (post(CHUNKED, b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"), 404)]
    with Client(lone_hub) as client:
        for data, status in goods:
            assert client.send(data).answer()[0] == status, data
        client.send(b"".join(data for data, _ in goods))
        assert [client.answer()[0] for _ in goods] == [status for _, status in goods]


@pytest.mark.parametrize("head", [b"GET /probe HTTP/1.0\r\n\r\n", get(b"Connection: close\r\n")])
def test_nothing_behind_the_last_request(lone_hub, head):
    with Client(lone_hub) as client:
        assert client.send(head + HIDDEN).answers() == [(200, b"running.")]


def test_bucket_takes_nothing_in_doubt(tmp_path, processes):
    """The processes behind /bucket/ read bodies themselves: nothing appears that was not sent for sure."""
    zone = Zone(tmp_path, processes)
    data = b"x" * 36
    digest = harness.sha1(data)
    url = sign(zone, "PUT", key_of(digest), 4102444800, len(data))
    target = url[len(zone.server.url):].encode()
    put = b"PUT %s HTTP/1.1\r\nHost: h\r\n" % target
    for lines, body, status in (
            (b"Content-Length: 36\r\nContent-Length: 0\r\n", data, 400),
            (b"Content-Length: 36\r\n" + CHUNKED, b"24\r\n%s\r\n0\r\n\r\n" % data, 400),
            (b"Content-Length : 36\r\n", data, 400),
            (b"Transfer-Encoding: gzip, chunked\r\n", data, 501)):
        with Client(zone.server) as client:
            assert [one[0] for one in client.send(put + lines + b"\r\n" + body + HIDDEN).answers()] == [status]
        assert not visible(zone)
    # A body that looks like a request is content; what follows it is a request, wherever it is served.
    text = HIDDEN + b"xx"
    digest = harness.sha1(text)
    url = sign(zone, "PUT", key_of(digest), 4102444800, len(text))
    target = url[len(zone.server.url):].encode()
    with Client(zone.server) as client:
        client.send(b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (target, len(text), text) + HIDDEN)
        assert client.answer()[0] == 200
        status, page = client.answer()  # a gateway without a proxy has no such page
        assert status == 404 and b"Cannot GET /probe" in page
    assert (zone.data / key_of(digest)).read_bytes() == text
