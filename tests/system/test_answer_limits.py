"""What a server may answer to our clients: each limit is kept to the byte, and crossing it is an error that says so."""
import json
import socket
import threading

import pytest
from harness import run
from zone_double import ABSENT, text

BODY = json.dumps({"type": "fileUpload", "status": {"status": "not-found"}})


class Server(threading.Thread):
    """Gives every request the same bytes."""

    def __init__(self, answer):
        super().__init__(daemon=True)
        self.answer, self.listener = answer, socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/r/res" % self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with sock:
                data = b""
                while b'"timeoutMsec"' not in data:
                    data += sock.recv(65536)
                sock.sendall(self.answer)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(1 << 20)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def answer(headers="", body=BODY):
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}"


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


@pytest.mark.parametrize("depth, words", [(32, "want an object"), (33, "deep")])
def test_depth(user, depth, words):
    server = Server(answer(body="[" * depth + "]" * depth).encode())
    done = run("request", f"sha1://{ABSENT}", "--resource", server.url, env=user, check=1)
    server.stop()
    assert words in text(done.stderr), done.stderr
