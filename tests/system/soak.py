"""Many requests to one hub, some of which are malformed, cut or reset at random offsets; likewise WebSockets."""
import json
import os
import pathlib
import random
import selectors
import socket
import struct
import threading

import crowd
import harness
import websocket_peer

NAME = "res-0"


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Daemon(threading.Thread):
    """Answers whatever reaches it, until it is closed."""

    def __init__(self, peer):
        super().__init__(daemon=True)
        self.peer, self.problem = peer, None
        self.start()

    def run(self):
        try:
            while frame := self.peer.receive():
                if frame[0] == websocket_peer.PING:
                    self.peer.sock.sendall(self.peer.frame(websocket_peer.PONG, frame[1]))
                if frame[0] == websocket_peer.TEXT:
                    self.answer(json.loads(frame[1]))
        except OSError:
            pass  # closed at the end
        except Exception as error:
            self.problem = error
            raise

    def answer(self, message):
        digits = message["request"]["uri"][7:]
        size = int(digits, 16) if all(c in "0123456789abcdef" for c in digits) and digits[:20] == "0" * 20 else 0
        self.peer.sock.sendall(self.peer.frame(websocket_peer.TEXT, json.dumps(
            {"type": "responseToClient", "requestId": message["requestId"], "response":
             {"type": "fileUpload", "status": {"status": "queued", "size": size % (1 << 50)}}}).encode(),
            mask=b"\0\0\0\0"))


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def spoil(chance, sock, data):
    """Sends what is left of `data` after an accident, and leaves."""
    kind = chance.randrange(4)
    at = chance.randrange(len(data))
    if kind == 0:  # other bytes
        data = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        sock.sendall(bytes(data))
        sock.close()
    elif kind == 1:  # cut
        sock.sendall(data[:at])
        sock.close()
    elif kind == 2:  # reset
        sock.sendall(data[:at])
        reset(sock)
    else:  # gone before the answer
        sock.sendall(data)
        reset(sock)


def stranger(chance, port):
    """A WebSocket with an accident."""
    peer = websocket_peer.connect(port)
    hello = json.dumps(crowd.hello("stranger", secret=chance.choice([harness.SECRET, "x"]))).encode()
    spoil(chance, peer.sock, peer.frame(websocket_peer.TEXT, hello))


class Client:
    def __init__(self, port):
        self.port, self.sock, self.number = port, None, None

    def connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=harness.DEADLINE_S)

    def check(self):
        head, _, body = self.sock.recv(65536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), (self.number, head, body)
        assert json.loads(body)["response"]["status"]["size"] == self.number, (self.number, body)


def run(hub, count, seed, share=0.01, clients=64, on_round=None):
    """`count` requests; every good one must get its own answer. How many were spoilt."""
    chance = random.Random(seed)
    (peer,) = crowd.daemons(hub.port, 1).values()
    daemon = Daemon(peer)
    pool, sent, spoilt = [Client(hub.port) for _ in range(clients)], 0, 0
    selector = selectors.DefaultSelector()
    while sent < count:
        waiting = 0
        for client in pool:
            if client.sock is None:
                client.connect()
                selector.register(client.sock, selectors.EVENT_READ, client)
            sent += 1
            client.number = sent
            data = crowd.request(NAME, sent)
            if chance.random() < share:
                selector.unregister(client.sock)
                spoil(chance, client.sock, data)
                client.sock = None
                spoilt += 1
            else:
                client.sock.sendall(data)
                waiting += 1
        if chance.random() < share * clients / 4:
            stranger(chance, hub.port)
        while waiting:
            ready = selector.select(harness.DEADLINE_S)
            assert ready, f"{waiting} without an answer"
            for key, _ in ready:
                key.data.check()
                waiting -= 1
        if on_round:
            on_round(sent)
    for client in pool:
        if client.sock:
            client.sock.close()
    peer.sock.shutdown(socket.SHUT_RDWR)
    daemon.join(harness.DEADLINE_S)
    assert daemon.problem is None and not daemon.is_alive()
    return spoilt
