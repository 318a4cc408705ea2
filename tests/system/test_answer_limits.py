"""What a server may answer to our clients: each limit is kept to the byte, and crossing it is an error that says so."""
import contextlib
import socket
import threading

import pytest
from harness import Process, run, until
from zone_double import ABSENT, text
from same_answer import BODY, Server, answer


def head_of(size):
    rest = len(answer("A: \r\n", ""))
    return answer(f"A: {'x' * (size - rest + len('0') - len(str(len(BODY))))}\r\n")


# What is just allowed, what is just too much, and what is said of it.
CASES = {
    "head": (head_of(16384), head_of(16385), "larger than 16 KiB"),
    "headers": (answer("A: b\r\n" * 99), answer("A: b\r\n" * 100), "too many headers"),
    "body": (answer(body=BODY + " " * (102400 - len(BODY))), answer(body=BODY + " " * (102401 - len(BODY))),
             "longer than 102400 bytes"),
}


@pytest.mark.parametrize("name", CASES)
def test_answers(user, name):
    good, bad, words = CASES[name]
    for data, status in ((good, 3), (bad, 1)):
        server = Server(data.encode())
        done = run("request", f"sha1://{ABSENT}", "--resource", server.url, env=user, check=status)
        server.stop()
        assert status == 3 or words in text(done.stderr), done.stderr


LENGTH = len(BODY)
UNUSUAL = {
    # the head, and what is said of it (None: the body is taken)
    "a length twice": (f"HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\nContent-Length: {LENGTH}\r\n", None),
    "a list of one length": (f"HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}, {LENGTH}\r\n", None),
    "two lengths": (f"HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\nContent-Length: {LENGTH + 1}\r\n", "two different values of Content-Length"),
    "a list of two lengths": (f"HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}, {LENGTH - 1}\r\n", "two different values of Content-Length"),
    "a folded header": (f"HTTP/1.1 200 OK\r\nX-Long: a\r\n  b\r\n\tc\r\nContent-Length:\r\n {LENGTH}\r\n", None),
    "a fold behind the status line": (f"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: {LENGTH}\r\n", "folded header line"),
    "a folded redirection": ("HTTP/1.1 302 Found\r\nLocation:\r\n http://127.0.0.1/r/res\r\nContent-Length: 0\r\n", "302 Found to http://127.0.0.1/r/res"),
    "600": (f"HTTP/1.1 600 Odd\r\nContent-Length: {LENGTH}\r\n", "the proxy answered 600 Server Error"),
    "999": (f"HTTP/1.1 999\r\nContent-Length: {LENGTH}\r\n", "the proxy answered 999 Server Error"),
    "99": (f"HTTP/1.1 099 Odd\r\nContent-Length: {LENGTH}\r\n", "bad status line"),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_heads(user, case):
    head, words = UNUSUAL[case]
    server = Server((head + "\r\n" + BODY).encode())
    done = run("request", f"sha1://{ABSENT}", "--resource", server.url, env=user, check=1 if words else 3)
    server.stop()
    assert words is None or words in text(done.stderr), done.stderr


@pytest.mark.parametrize("depth, words", [(32, "want an object"), (33, "deep")])
def test_depth(user, depth, words):
    server = Server(answer(body="[" * depth + "]" * depth).encode())
    done = run("request", f"sha1://{ABSENT}", "--resource", server.url, env=user, check=1)
    server.stop()
    assert words in text(done.stderr), done.stderr


# ---- slow on purpose ----

DRIPS = {
    "nothing": ("", ""),
    "half a head": ("HTTP/1.1 2", ""),
    "a status line that drips": ("HTTP/1.1 200 ", "x"),
    "a header that drips": ("HTTP/1.1 200 OK\r\nA: ", "x"),
    "half a body": ("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", ""),
    "a body that drips": ("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{", " "),
    "a body without end": ("HTTP/1.1 200 OK\r\n\r\n{", " "),
    "chunks that drip": ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
    "a chunk's size that drips": ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x"),
    "a trailer that drips": ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ", "x"),
}


class Dripping(threading.Thread):
    """Gives everybody `first` and then `drop` now and then, until it is hung up on; `ended` counts them."""

    def __init__(self, first, drop):
        super().__init__(daemon=True)
        self.first, self.drop, self.ended = first.encode(), drop.encode(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError):
            sock.sendall(self.first)
            sock.settimeout(0.02)
            while True:
                try:
                    if not sock.recv(65536):
                        break
                except TimeoutError:
                    sock.sendall(self.drop)
        self.ended += 1

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.mark.parametrize("name", DRIPS)
def test_a_gateway_that_is_slow(user, name):
    """However little it says: the whole call has a deadline."""
    server = Dripping(*DRIPS[name])
    patience = user["KACHERY_RESOURCE_TEST_PATIENCE"] + ",call_ms=300,asking_ms=500"
    done = run("info", f"sha1://{ABSENT}", check=1, env={
        **user, "KACHERY_RESOURCE_TEST_PATIENCE": patience, "KACHERY_GATEWAY_URL": server.url})
    assert "not finished within" in text(done.stderr), done.stderr
    until(lambda: server.ended >= 1, "the connection is ended")
    server.stop()


def test_a_proxy_that_is_slow(user):
    server = Dripping(*DRIPS["a body that drips"])
    done = run("request", "--resource", f"{server.url}/r/res", "--timeout", "0", f"sha1://{ABSENT}", env=user, check=1)
    assert "not finished within" in text(done.stderr), done.stderr
    server.stop()


@pytest.mark.parametrize("name", ["nothing", "half a head", "a header that drips"])
def test_a_handshake_that_is_slow(user, tmp_path, processes, name):
    """The daemon hangs up and dials again."""
    server = Dripping(*DRIPS[name])
    config = tmp_path / "kachery-resource.yaml"
    config.write_text(f"resourceName: r\nproxySecret: s\nproxyUrl: {server.url}\n")
    daemon = processes(Process("share", "--config", config, env={
        **user, "KACHERY_RESOURCE_TEST_INTERVALS": "connect_ms=200,retry_min_ms=10,retry_max_ms=20"}))
    until(lambda: server.ended >= 3, "three attempts are ended")
    daemon.wait_line("trying again")
    daemon.stop()
    server.stop()
