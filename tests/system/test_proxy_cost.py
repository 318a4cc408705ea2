"""What one daemon, or somebody who would like to be one, may cost a proxy: it goes on and its memory is bounded."""
import asyncio
import contextlib
import json
import socket
import struct
import threading
import time

import harness
import pytest
import websocket_peer
from websocket_peer import CLOSE, PING, TEXT
from our_proxy import NAME, answer, ask, asking, connect, greeted, hello, is_served, next_request, received, reply, run_in_world, start
from harness import resident_mib

MASK = b"\0\0\0\0"
MIB = 1 << 20


def is_small(server, most_mib):
    return harness.is_sanitized() or resident_mib(server.pid) < most_mib


def test_daemons_that_do_not_read(processes, tmp_path):
    """Each may leave 16 MiB, all together not more than 64 MiB; who asks them hears 503."""
    server = start(processes, tmp_path, verb="proxy")
    mute = []
    for i in range(12):
        peer = greeted(server, f"mute-{i}")
        mute.append(peer)
    honest = greeted(server, "honest")

    async def test(world):
        tasks = []
        for i in range(12):
            tasks += [world.asked(f"mute-{i}", uri="sha1://" + "x" * 100000, timeout=600000) for _ in range(120)]
            await asyncio.sleep(0.1)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(tasks, timeout=1)
        assert {task.result()[0] for task in tasks if task.done()} == {503}
        assert is_small(server, 110), resident_mib(server.pid)
        task = world.asked("honest")
        await asyncio.to_thread(lambda: reply(honest, next_request(honest)))
        assert (await task)[0] == 200
        for task in tasks:
            task.cancel()
    run_in_world(server, test)
    for peer in [*mute, honest]:
        peer.sock.close()


def test_a_daemon_that_sends_and_does_not_read(processes, tmp_path):
    """Its pings do not keep it there for ever."""
    server = start(processes, tmp_path, verb="proxy", times="ping_ms=300,dead_ms=1500")
    mute = websocket_peer.connect(server.port)
    mute.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    mute.sock.sendall(mute.frame(TEXT, json.dumps(hello()).encode()))
    assert mute.receive()[0] == TEXT
    with contextlib.ExitStack() as stack:
        body = json.dumps(asking(uri="sha1://" + "x" * 100000, timeout=60000)).encode()
        for _ in range(80):
            sock = stack.enter_context(connect(server))
            sock.sendall(b"POST /r/%s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                         % (NAME.encode(), len(body), body))
        end = time.monotonic() + harness.DEADLINE_S
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                mute.sock.sendall(mute.frame(PING, b""))
                time.sleep(0.1)
        assert time.monotonic() < end, "it is still there"
        server.wait_line("daemon disconnected")


def test_huge_answers_that_nobody_reads(processes, tmp_path):
    """A daemon answers a MiB to each of many clients, which do not read it."""
    server = start(processes, tmp_path)
    daemon = greeted(server)
    with contextlib.ExitStack() as stack:
        crowd = []
        for i in range(200):
            sock = stack.enter_context(ask(server, f"127.0.0.{2 + i % 3}"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            crowd.append(sock)
        for _ in crowd:
            request = next_request(daemon)
            daemon.sock.sendall(daemon.frame(TEXT, json.dumps(answer(request, {}, error="x" * (MIB - 500))).encode(), mask=MASK))
        honest = stack.enter_context(ask(server, "127.0.0.9"))
        reply(daemon, next_request(daemon))
        assert honest.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert is_small(server, 110), resident_mib(server.pid)
    daemon.sock.close()


@pytest.mark.parametrize("piece", [
    json.dumps({"type": "responseToClient", "requestId": "0" * 40, "response": {}, "error": "x" * 500000}).encode(),
    json.dumps({"type": "responseToClient", "requestId": "0" * 8 + "f" * 32, "response": {}}).encode(), b"[" * 30000, b"{}"],
    ids=["large", "small", "nested", "empty"])
def test_endless_answers(processes, tmp_path, piece):
    """To requests that nobody made: others are served meanwhile, and nothing is kept."""
    server = start(processes, tmp_path)
    daemon, honest = greeted(server), greeted(server, "honest")
    frame = daemon.frame(TEXT, piece, mask=MASK)
    before = resident_mib(server.pid)
    stop = threading.Event()

    def flood():
        with contextlib.suppress(OSError):
            while not stop.is_set():
                daemon.sock.sendall(frame * max(1, 100000 // len(frame)))
    thread = threading.Thread(target=flood)
    thread.start()
    try:
        with ask(server, None) as waiting:
            next_of_waiting = None
            for _ in range(5):
                began = time.monotonic()
                with ask(server, None, "honest") as sock:
                    reply(honest, next_request(honest))
                    assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
                assert time.monotonic() - began < 5
            waiting.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                next_of_waiting = waiting.recv(65536)
            assert next_of_waiting is None  # nobody guessed its id
    finally:
        stop.set()
        daemon.sock.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert harness.is_sanitized() or resident_mib(server.pid) - before < 12
    honest.sock.close()


def test_a_request_that_ends_its_daemon(processes, tmp_path):
    """It comes again with each daemon that returns, but not for ever: others would never be served."""
    server = start(processes, tmp_path)
    with contextlib.ExitStack() as stack:
        daemon = greeted(server)
        poison = stack.enter_context(ask(server, None))
        seen = 0
        while True:
            daemon.sock.settimeout(1)
            try:
                next_request(daemon)
            except (TimeoutError, TypeError):
                break
            seen += 1
            assert seen < 20
            daemon.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            daemon.sock.close()
            server.wait_line("daemon disconnected", count=seen)
            daemon = greeted(server)
        assert seen == 4
        text = poison.recv(65536)
        assert text.startswith(b"HTTP/1.1 503 ") and b"was lost 4 times" in text
        daemon.sock.close()


def test_a_storm_of_one_name(processes, tmp_path):
    """Many who want a name that is served: the daemon keeps it and is not disturbed."""
    server = start(processes, tmp_path)
    before = resident_mib(server.pid)

    async def test(world):
        daemon = await world.daemon()
        pump = asyncio.create_task(received(daemon))  # answers pings

        async def dial():
            for _ in range(20):
                ws = await world.dial()
                await ws.send_json(hello())
                await ws.receive(timeout=harness.DEADLINE_S)
                assert ws.close_code == 4009
        await asyncio.gather(*(dial() for _ in range(10)))
        task = world.asked()
        await daemon.send_json(answer(await pump))
        assert (await task)[0] == 200
    run_in_world(server, test)
    assert harness.is_sanitized() or resident_mib(server.pid) - before < 8


def test_thousands_of_names_that_nobody_has(processes, tmp_path):
    server = start(processes, tmp_path)
    with connect(server) as sock:
        assert is_served(sock)
        before = resident_mib(server.pid)
        for i in range(0, 20000, 200):
            parts = []
            for k in range(i, i + 200):
                body = json.dumps(asking(f"nobody-{k}")).encode()
                parts.append(b"POST /r/nobody-%d HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d"
                             b"\r\n\r\n%s" % (k, len(body), body))
            sock.sendall(b"".join(parts))
            got = 0
            while got < 200:
                got += sock.recv(65536).count(b"resource not found")
        assert harness.is_sanitized() or resident_mib(server.pid) - before < 4


@pytest.mark.parametrize("name", ["a MiB at once", "a MiB in fragments", "a MiB of pings", "slowly"])
def test_strangers_that_send(processes, tmp_path, name):
    """Who has not shown the secret is not listened to for more than 8 KiB, however many there are."""
    server = start(processes, tmp_path)
    before = resident_mib(server.pid)
    text = {"a MiB at once": websocket_peer.frame(TEXT, b"x" * MIB, mask=MASK),
            "a MiB in fragments": websocket_peer.frame(TEXT, b"x" * 1000, fin=False, mask=MASK)
            + websocket_peer.frame(0, b"x" * 1000, fin=False, mask=MASK) * 1000,
            "a MiB of pings": websocket_peer.frame(PING, b"x" * 125, mask=MASK) * 8000,
            "slowly": websocket_peer.frame(TEXT, b"x" * 8000, claimed=8192, length_bytes=2, mask=MASK)}[name]
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(300):
            peer = websocket_peer.connect(server.port)
            stack.callback(peer.sock.close)
            peer.sock.settimeout(0.02)
            with contextlib.suppress(OSError):
                peer.sock.sendall(text)
            crowd.append(peer)
        assert is_served(stack.enter_context(connect(server)))
        assert harness.is_sanitized() or resident_mib(server.pid) - before < 40, resident_mib(server.pid) - before
        if name.startswith("a MiB ") and "pings" not in name:
            crowd[0].sock.settimeout(harness.DEADLINE_S)
            opcode, payload = crowd[0].receive()
            assert opcode == CLOSE and payload[:2] == (1009).to_bytes(2, "big")


def test_strangers_that_say_nothing_go(processes, tmp_path):
    server = start(processes, tmp_path, times="initialize_ms=300")
    crowd = [websocket_peer.connect(server.port) for _ in range(50)]
    for peer in crowd:
        opcode, payload = peer.receive()
        assert (opcode, payload) == (CLOSE, (1002).to_bytes(2, "big") + b"no initialize message")
        peer.sock.close()
