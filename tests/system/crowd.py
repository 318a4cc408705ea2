"""Thousands of connections to one hub from one process: daemons and waiting clients, on raw sockets."""
import json
import resource
import selectors
import socket

import harness
import websocket_peer
from test_proxy import asking, hello

NOT_FOUND = {"type": "fileUpload", "status": {"status": "not-found"}}


def raise_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def daemons(port, count, name="res"):
    """Connected and acknowledged: their WebSockets, by name."""
    found = {}
    for i in range(count):
        peer = websocket_peer.connect(port)
        peer.sock.sendall(peer.frame(websocket_peer.TEXT, json.dumps(hello(f"{name}-{i}")).encode()))
        found[f"{name}-{i}"] = peer
    for peer in found.values():
        opcode, payload = peer.receive()
        assert (opcode, payload) == (websocket_peer.TEXT, b'{"type":"acknowledge"}')
    return found


def request(name, i):
    """A request that can be told from the others by its hash."""
    body = json.dumps(asking(name, uri=f"sha1://{i:040x}", timeout=600000)).encode()
    return (f"POST /r/{name} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def waiting(port, name, count, first=0):
    """Clients that have asked and wait: their sockets."""
    found = []
    for i in range(first, first + count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE_S)
        sock.sendall(request(name, i))
        found.append(sock)
    return found


def serve(peer, count):
    """The daemon answers so many requests, each with its own number as the size."""
    answers = []
    while len(answers) < count:
        opcode, payload = peer.receive()
        if opcode != websocket_peer.TEXT:
            continue
        message = json.loads(payload)
        status = {"status": "queued", "size": int(message["request"]["uri"][7:], 16)}
        answers.append(peer.frame(websocket_peer.TEXT, json.dumps(
            {"type": "responseToClient", "requestId": message["requestId"],
             "response": {"type": "fileUpload", "status": status}}).encode(), mask=b"\0\0\0\0"))
    peer.sock.sendall(b"".join(answers))


def read_answers(sockets, first=0):
    """Each got the answer to its own request, and nothing else."""
    selector = selectors.DefaultSelector()
    for i, sock in enumerate(sockets):
        selector.register(sock, selectors.EVENT_READ, i)
    left = len(sockets)
    while left:
        ready = selector.select(harness.DEADLINE_S)
        assert ready, f"{left} without an answer"
        for key, _ in ready:
            head, _, body = key.fileobj.recv(65536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert json.loads(body)["response"]["status"]["size"] == first + key.data
            selector.unregister(key.fileobj)
            left -= 1
    selector.close()
