"""nginx in front of the hub: who asks is whom nginx says, if the hub was told to believe it, and nobody else is believed."""
import asyncio
import contextlib
import json
import select
import socket

import harness
import pytest
import tls_servers
import websocket_peer
from our_proxy import NAME, World, answer, asking, hello, received, start

TRUSTED = ("--trusted-proxy", "127.0.0.1")
A, B = "127.0.0.2", "127.0.0.3"
REFUSED = (503, {"message": "too many connections from this address, try again later"})


class Front:
    """The hub behind an nginx that keeps its connections."""

    def __init__(self, processes, folder, *options):
        self.hub = start(processes, folder, *options)
        self.nginx = processes(tls_servers.Nginx(folder / "nginx", [
            "listen LISTEN;" + tls_servers.location_of_help("http://hub")], http=(
            f"upstream hub {{ server 127.0.0.1:{self.hub.port}; keepalive 8; }}")))
        self.port = self.nginx.ports[0]

    def send(self, source, method, path, body=b"", *headers, length=None):
        sock = socket.create_connection(("127.0.0.1", self.port), harness.DEADLINE_S, (source, 0))
        sock.sendall("\r\n".join([f"{method} {path} HTTP/1.1", "Host: h", "Content-Type: application/json", *headers,
                                  f"Content-Length: {len(body) if length is None else length}", "", ""]).encode() + body)
        return sock

    def ask(self, source, *headers, name=NAME):
        return self.send(source, "POST", f"/r/{name}", json.dumps(asking(name)).encode(), *headers)

    def probe(self, source, *headers):
        return told(self.send(source, "GET", "/probe", b"", *headers))


def told(sock):
    """(status, body) of the one answer."""
    with sock, sock.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        length = 0
        while line := stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = stream.read(length)
    with contextlib.suppress(ValueError):
        return status, json.loads(body)
    return status, body


def lively(front, test):
    async def main():
        async with World(front.hub) as world:
            await asyncio.wait_for(test(world), harness.DEADLINE_S)
    asyncio.run(main())


def in_thread(function, *arguments):
    return asyncio.to_thread(function, *arguments)


def test_each_client_has_its_own_cap(processes, tmp_path):
    front = Front(processes, tmp_path, "--max-per-address", "2", *TRUSTED)

    async def test(world):
        daemon = await world.daemon()
        for _ in range(3):
            waiting = [await in_thread(front.ask, A) for _ in range(2)]
            requests = [await received(daemon) for _ in waiting]
            assert await in_thread(front.probe, A) == REFUSED
            assert await in_thread(front.probe, A, f"X-Forwarded-For: {B}") == REFUSED
            for _ in range(5):
                assert await in_thread(front.probe, B) == (200, b"running.")
            assert await in_thread(front.probe, B, f"X-Forwarded-For: {A}") == (200, b"running.")
            for request in requests:
                await daemon.send_json(answer(request))
            for sock in waiting:
                assert (await in_thread(told, sock))[0] == 200
    lively(front, test)


def test_calls_of_the_gateway(processes, tmp_path):
    """Served by a worker process, which must not keep the connection for the next client. The hub hears from the
    worker that a call is over, a moment after its client."""
    front = Front(processes, tmp_path, "--max-per-address", "2", *TRUSTED)
    body = b'{"payload":{}}'

    def call_of_b():
        harness.until(lambda: told(front.send(B, "POST", "/api/gateway", body))[0] == 400, "a call of B is served")

    def halves_of_a():
        """Those that are answered at once, because a place was not free yet."""
        for half in halves:
            half.close()
        halves[:] = [front.send(A, "POST", "/api/gateway", body[:5], length=len(body)) for _ in range(2)]
        return select.select(halves, [], [], 0.3)[0]
    halves = []
    for _ in range(5):
        call_of_b()  # leaves nginx a connection
        harness.until(lambda: not halves_of_a(), "A has both places")
        harness.until(lambda: front.probe(A) == REFUSED, "both are counted")
        for _ in range(4):
            call_of_b()
        assert front.probe(A) == REFUSED
        for half in halves:
            half.sendall(body[5:])
            assert told(half)[0] == 400
        harness.until(lambda: front.probe(A) == (200, b"running."), "A has a place again")


def test_daemons_are_named_and_count_until_they_are_known(processes, tmp_path):
    front = Front(processes, tmp_path, "--max-per-address", "1", *TRUSTED)
    for round_ in range(2):
        daemon = websocket_peer.connect(front.port, source=A)
        assert front.probe(A) == REFUSED
        assert front.probe(B) == (200, b"running.")
        daemon.sock.sendall(daemon.frame(websocket_peer.TEXT, json.dumps(hello()).encode()))
        assert daemon.receive()[0] == websocket_peer.TEXT
        assert front.probe(A) == (200, b"running.")
        daemon.sock.close()
        front.hub.wait_line("daemon disconnected", count=round_ + 1)
        stranger = websocket_peer.connect(front.port, source=A)
        assert front.probe(A) == REFUSED
        stranger.sock.close()
        harness.until(lambda: front.probe(A)[0] == 200, "its place is free")
    assert f"peer={A} " in front.hub.wait_line("daemon connected", count=2)


@pytest.mark.parametrize("options", [(), ("--trusted-proxy", "127.0.0.9,10.0.0.0/8")])
def test_nobody_else_is_believed(processes, tmp_path, options):
    """Then all of nginx's clients are one."""
    front = Front(processes, tmp_path, "--max-per-address", "3", *options)

    async def test(world):
        daemon = await world.daemon()
        waiting = [await in_thread(front.ask, A, "X-Forwarded-For: 1.2.3.4") for _ in range(3)]
        for _ in waiting:
            await received(daemon)
        assert await in_thread(front.probe, B, "X-Forwarded-For: 5.6.7.8") == REFUSED
        for sock in waiting:
            sock.close()
    lively(front, test)


@pytest.mark.parametrize("value, words", [("localhost", '"localhost": want an IP address or ADDRESS/BITS'),
                                          ("10.0.0.0/33", '"10.0.0.0/33": want'), ("", '"": want'),
                                          (",".join(["::1"] * 17), "more than 16 addresses")])
def test_usage(value, words):
    done = harness.run("proxy", "--listen", "127.0.0.1:0", "--trusted-proxy", value, check=2)
    assert f"--trusted-proxy: {words}" in done.stderr.decode(), done.stderr
