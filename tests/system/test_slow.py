"""Clients that are slow on purpose, in every state of a connection: each is told or dropped in its time, while others
are served. The intervals are short here, and nothing is said of how long anything takes."""
import contextlib
import json
import os
import select
import socket
import threading

import harness
import pytest
import websocket_peer
from our_proxy import hello
from our_zone import Zone

CROWD = 10
SHORT = "idle_ms=300,head_ms=300,body_ms=300,stall_ms=300,write_ms=300,linger_ms=300,initialize_ms=300,ping_ms=100,dead_ms=400,wrong_ms=0"
LARGE = os.urandom(1 << 20) * 16


@pytest.fixture(scope="module")
def quick_zone(tmp_path_factory):
    """A zone gateway of ours that waits for slow clients a fraction of the usual times."""
    folder, kept = tmp_path_factory.mktemp("slow"), []

    def keep(process):
        kept.append(process)
        return process
    made = Zone(folder, keep)
    made.server.stop()
    (folder / "secret").write_text(harness.SECRET)
    env = harness.clean_environment(KACHERY_RESOURCE_TEST_HUB_INTERVALS=SHORT)
    made.server = keep(harness.Server("hub", "--data", made.data, "--secret-file", folder / "secret", "-v", env=env))
    made.client.url = made.server.url
    made.large = made.upload(LARGE)
    yield made
    for process in kept:
        process.stop()


def head(method, path, *lines):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: h", *lines, "", ""]).encode()


def path_of(url):
    return "/" + url.split("/", 3)[3]


UPGRADE = head("GET", "/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
JSON = "Content-Type: application/json"
MASK = b"\0\0\0\0"


def framed(text, **options):
    return websocket_peer.frame(websocket_peer.TEXT, text, mask=MASK, **options)


# What is sent at once, what drips after it byte for byte, and what the answer has in it.
CASES = {
    "nothing at all": (b"", b"", b""),
    "empty lines": (b"", b"\r\n", b"400 "),
    "half a head": (b"GET /probe HT", b"", b"408 "),
    "a head that drips": (b"GET /probe HTTP/1.1\r\nA: ", b"a", b"408 "),
    "half a body": (head("POST", "/r/x", JSON, "Content-Length: 9") + b"{", b"", b"408 "),
    "a body that drips": (head("POST", "/api", JSON, "Content-Length: 99999"), b" ", b"408 "),
    "a chunk that drips": (head("POST", "/r/x", JSON, "Transfer-Encoding: chunked") + b"fff\r\n", b" ", b"408 "),
    "chunks that drip": (head("POST", "/r/x", JSON, "Transfer-Encoding: chunked"), b"1\r\n \r\n", b"408 "),
    "a body that nobody wants": (head("POST", "/nothing", "Content-Length: 99999"), b"x", b"404 "),
    "after an answer": (head("GET", "/probe"), b"", b"running."),
    "after the last answer": (head("GET", "/probe", "Connection: close"), b"", b"running."),
    "a call of the gateway": (head("POST", "/api/gateway", JSON, "Content-Length: 999"), b" ", b"408 "),
    "after the handshake": (UPGRADE, b"", b"no initialize message"),
    "pings before initialize": (UPGRADE, websocket_peer.frame(websocket_peer.PING, mask=MASK), b"no initialize message"),
    "a frame that drips": (UPGRADE + framed(b"", claimed=8000), b" ", b"no initialize message"),
    "fragments without end": (UPGRADE + framed(b"", fin=False), websocket_peer.frame(0, b"", fin=False, mask=MASK),
                              b"no initialize message"),
    "a daemon that says nothing": (UPGRADE + framed(json.dumps(hello("slow")).encode()), b"", b"acknowledge"),
    "a daemon that is refused and stays": (UPGRADE + framed(json.dumps(hello(secret="x")).encode()), b"",
                                           b"wrong secret"),
}


class Slow(threading.Thread):
    """Sends `first`, then `drop` now and then, until it is hung up on; `got` is what it was told."""

    def __init__(self, port, first, drop, reads=True):
        super().__init__(daemon=True)
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE_S)
        self.first, self.drop, self.reads, self.got, self.is_over = first, drop, reads, b"", False
        self.start()

    def run(self):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            self.sock.sendall(self.first)
            if self.drop:
                threading.Thread(target=self._drip, daemon=True).start()
            while part := self.sock.recv(65536):
                self.got += part
        self.is_over = True
        self.sock.close()

    def _drip(self):
        tick = threading.Event()
        with contextlib.suppress(OSError):
            while not self.is_over:
                self.sock.send(self.drop)
                tick.wait(0.02)


def go_through(zone, first, drop, words, count=CROWD):
    """All of a crowd of so many hear `words`."""
    crowd = [Slow(zone.server.port, first, drop) for _ in range(count)]
    assert harness.http("GET", zone.server.url + "/probe")[2] == b"running."
    for slow in crowd:
        slow.join(harness.DEADLINE_S)
        assert slow.is_over and words in slow.got, slow.got
    assert harness.http("GET", zone.server.url + "/probe")[2] == b"running."


@pytest.mark.parametrize("name", CASES)
def test_slow(quick_zone, name):
    first, drop, words = CASES[name]
    if name == "a daemon that says nothing":  # one can have the name
        slow = Slow(quick_zone.server.port, first, drop)
        slow.join(harness.DEADLINE_S)
        assert slow.is_over and words in slow.got
        quick_zone.server.wait_line("no answer to pings")
    else:
        go_through(quick_zone, first, drop, words)


def test_an_upload_that_stalls(quick_zone):
    path = path_of(quick_zone.client.initiate("a" * 40, 1000))
    go_through(quick_zone, head("PUT", path, "Content-Length: 1000") + b"x" * 500, b"", b"408 ",
               count=8)  # as many of one object at a time as are taken
    assert not [p for p in (quick_zone.data / ".hub/uploads").iterdir()]


def drip(zone, data, step):
    """`step` bytes of an upload every 20 ms, until all are sent or the hub answers: the answer."""
    path = path_of(zone.client.initiate(harness.sha1(data), len(data)))
    with socket.create_connection(("127.0.0.1", zone.server.port), timeout=harness.DEADLINE_S) as sock:
        sock.sendall(head("PUT", path, f"Content-Length: {len(data)}"))
        for i in range(0, len(data), step):
            sock.sendall(data[i:i + step])
            if select.select([sock], [], [], 0.02)[0]:
                break
        return sock.recv(65536)


def test_an_upload_that_drips_goes_on(quick_zone):
    """An upload is as slow as its line, down to 500 bytes a second."""
    assert drip(quick_zone, os.urandom(6000), 100).startswith(b"HTTP/1.1 200 ")


def test_an_upload_by_single_bytes_ends(quick_zone):
    """Which no line needs, and which would hold a place for days."""
    answer = drip(quick_zone, os.urandom(6000), 1)
    assert answer.startswith(b"HTTP/1.1 408 ") and b"not complete in time" in answer


def test_a_refusal_is_heard_by_who_sends_all_before_it_reads(tmp_path, processes):
    """As the Python client does: hung up on while it sends, it would tell of a reset, not of what is wrong."""
    server = processes(harness.Server("gateway", "--data", tmp_path / "data", env=harness.clean_environment(
        KACHERY_RESOURCE_TEST_HUB_INTERVALS="linger_ms=300")))
    with socket.create_connection(("127.0.0.1", server.port), timeout=harness.DEADLINE_S) as sock:
        sock.sendall(head("PUT", "/bucket/x", "Content-Length: 9999999"))
        tick = threading.Event()
        for _ in range(60):
            sock.sendall(b"x" * 10000)
            tick.wait(0.02)
        assert sock.recv(65536).startswith(b"HTTP/1.1 403 ")


def never_reading(port, data):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(harness.DEADLINE_S)
    sock.connect(("127.0.0.1", port))
    with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
        sock.sendall(data)
    return sock


def is_hung_up_on(sock):
    """Without reading: the other side sent a reset, so that its kernel keeps nothing either."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def test_downloads_that_nobody_reads(quick_zone):
    path = path_of(quick_zone.client.find(quick_zone.large))
    crowd = [never_reading(quick_zone.server.port, head("GET", path)) for _ in range(CROWD)]
    status, _, body = harness.http("GET", quick_zone.client.find(quick_zone.large))
    assert status == 200 and body == LARGE
    harness.until(lambda: all(map(is_hung_up_on, crowd)), "the end of those who do not read")
    for sock in crowd:
        sock.close()


def test_answers_that_nobody_reads(quick_zone):
    flood = head("GET", "/" + "x" * 4000) * 200
    done = []

    def push():
        sock = never_reading(quick_zone.server.port, flood * 40)
        harness.until(lambda: is_hung_up_on(sock), "the end of one who does not read")
        done.append(sock)
    threads = [threading.Thread(target=push, daemon=True) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    assert harness.http("GET", quick_zone.server.url + "/probe")[2] == b"running."
    for thread in threads:
        thread.join(harness.DEADLINE_S)
    assert len(done) == CROWD
