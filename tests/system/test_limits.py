"""Every cap of the servers, crossed by one: a clear error to whoever crossed it, and the service goes on."""
import asyncio
import contextlib
import json
import os
import pathlib
import resource
import signal
import socket

import harness
import pytest
import websocket_peer
from our_proxy import NAME, answer, asking, closed, connect, hello, is_served, read_all, received, run_in_world, start
from our_zone import Zone

HEADERS = {"Content-Type": "application/json"}



def probe(server):
    assert harness.http("GET", server.url + "/probe")[::2] == (200, b"running.")


# ---- how many ----

@pytest.mark.parametrize("verb", ["proxy", "gateway", "hub"])
def test_connections(processes, tmp_path, verb):
    """The longest idle one makes room (test_fairness.py has the rest)."""
    server = start(processes, tmp_path, "--max-connections", "3", verb=verb)
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connect(server)) for _ in range(3)]
        for sock in kept:
            sock.sendall(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 404 ")
        fourth = stack.enter_context(connect(server))
        assert read_all(kept[0]) == b""
        for sock in [*kept[1:], fourth]:
            sock.sendall(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("verb", ["proxy", "hub"])
def test_connections_that_are_owed_an_answer(processes, tmp_path, verb):
    server = start(processes, tmp_path, "--max-connections", "3", verb=verb)

    async def test(world):
        daemon = await world.daemon()
        tasks = [world.asked() for _ in range(2)]
        requests = [await received(daemon) for _ in tasks]
        above = await asyncio.to_thread(connect, server)
        text = await asyncio.to_thread(read_all, above)
        assert text.startswith(b"HTTP/1.1 503 ") and b"too many connections, try again later" in text
        for request in requests:
            await daemon.send_json(answer(request))
        assert [(await task)[0] for task in tasks] == [200] * 2
        above = await asyncio.to_thread(connect, server)
        assert await asyncio.to_thread(is_served, above)
    run_in_world(server, test)


def test_connections_of_one_address(processes, tmp_path):
    """Idle, as a WebSocket of which nobody knows whose it is, and in a worker process: all are counted, until they
    end. (A daemon that has shown the secret counts by its name.)"""
    server = start(processes, tmp_path, "--max-per-address", "3")

    async def test(world):
        await world.daemon()
        await world.dial()
        idle = await asyncio.to_thread(connect, server)
        in_worker = await asyncio.to_thread(connect, server)
        in_worker.sendall(b"POST /api/gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n123")
        harness.until(lambda: harness.descendants(server.pid), "a worker")
        above = await asyncio.to_thread(connect, server)
        text = await asyncio.to_thread(read_all, above)
        assert text.startswith(b"HTTP/1.1 503 ") and b"too many connections from this address" in text
        other = await asyncio.to_thread(connect, server, "127.0.0.1", "127.0.0.2")
        assert is_served(other)
        # It comes back from the worker and keeps its place.
        in_worker.sendall(b"45")
        assert in_worker.recv(65536).startswith(b"HTTP/1.1 400 ")
        above = await asyncio.to_thread(connect, server)
        assert (await asyncio.to_thread(read_all, above)).startswith(b"HTTP/1.1 503 ")
        assert is_served(in_worker)
        for gone in (in_worker, idle):
            gone.close()

            def served():
                with connect(server) as sock, contextlib.suppress(ConnectionResetError):
                    return is_served(sock)
            assert await asyncio.to_thread(harness.until, served, "its place is free")
    run_in_world(server, test)


def test_killed_worker_gives_its_places_back(processes, tmp_path):
    server = start(processes, tmp_path, "--max-per-address", "1")
    for _ in range(3):
        sock = connect(server)
        sock.sendall(b"POST /api/gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n123")
        worker, = harness.until(lambda: harness.descendants(server.pid), "a worker")
        os.kill(worker, signal.SIGKILL)
        assert read_all(sock) == b""
        harness.until(lambda: harness.http("GET", server.url + "/probe")[0] == 200, "its place is free")
        harness.until(lambda: not harness.descendants(server.pid), "no worker")


def test_waiting_requests(processes, tmp_path):
    """Of all resources together, and of one."""
    for options, served in ((("--max-waiting", "3"), 404), (("--max-per-resource", "3"), 200)):
        server = start(processes, tmp_path, *options)

        async def test(world, served=served):
            daemon, other = await world.daemon(), await world.daemon("other")
            tasks = [world.asked() for _ in range(3)]
            requests = [await received(daemon) for _ in tasks]
            assert await world.post(asking()) == (503, {"message": "too many waiting requests, try again later"})
            task = world.asked("other")
            if served == 200:
                await other.send_json(answer(await received(other)))
            assert (await task)[0] == (200 if served == 200 else 503)
            for request in requests:
                await daemon.send_json(answer(request))
            assert [(await task)[0] for task in tasks] == [200] * 3
            again = world.asked()
            await daemon.send_json(answer(await received(daemon)))
            assert (await again)[0] == 200
        run_in_world(server, test)


def test_daemons(processes, tmp_path):
    server = start(processes, tmp_path, "--max-resources", "2", verb="proxy")

    async def test(world):
        first = await world.daemon("first")
        await world.daemon("second")
        strangers = [await world.dial() for _ in range(5)]  # who count only as connections
        third = await world.dial()
        await third.send_json(hello("third"))
        assert await closed(third) == (1013, "too many resources, try again later")
        await strangers[0].send_json(hello("third", secret="x"))
        assert (await closed(strangers[0]))[0] == 4001
        task = world.asked("first")
        await first.send_json(answer(await received(first)))
        assert (await task)[0] == 200
        await first.close()
        await asyncio.to_thread(server.wait_line, "disconnected")
        await world.daemon("third")
    run_in_world(server, test)


@pytest.mark.parametrize("option", ["--max-connections", "--max-per-address", "--max-waiting", "--max-per-resource",
                                    "--max-resources"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1000001"])
def test_usage(option, value):
    done = harness.run("proxy", "--listen", "127.0.0.1:0", f"{option}={value}", check=2)
    assert f"{option} \"{value}\": want a whole number 1-1000000".encode() in done.stderr


def test_gateway_has_no_options_of_the_proxy():
    for option in ("--max-waiting", "--max-per-resource", "--max-resources"):
        assert b"unknown option" in harness.run("gateway", option, "1", check=2).stderr


# ---- how large ----

def head(name, size):
    """A request whose head, or whose target, has just so many bytes."""
    if name == "target":
        return b"GET /probe?%s HTTP/1.1\r\nHost: h\r\n\r\n" % (b"x" * (size - len("/probe?")))
    rest = b"GET /probe HTTP/1.1\r\nHost: h\r\n%s\r\n"
    if name == "headers":
        return rest % b"".join(b"A: b\r\n" for _ in range(size - 1))
    return rest % (b"A: %s\r\n" % (b"x" * (size - len(rest) + 2 - 5)))


@pytest.mark.parametrize("name, limit, status", [("target", 8192, 414), ("head", 16384, 431), ("headers", 100, 431)])
def test_heads(processes, tmp_path, name, limit, status):
    server = start(processes, tmp_path)
    with connect(server) as sock:
        sock.sendall(head(name, limit))
        assert b"running." in sock.recv(65536)
        sock.sendall(head(name, limit + 1))
        text = read_all(sock)
        assert text.startswith(b"HTTP/1.1 %d " % status) and b'{"message":"' in text, text
    probe(server)


def nested(depth):
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("path", [f"/r/{NAME}", "/api", "/api/gateway"])
def test_json_depth(processes, tmp_path, path):
    """32 levels are read (and then are not what is wanted), 33 are refused by the reader. The hub says which only where
    it says why."""
    server = start(processes, tmp_path)
    for depth in (32, 33):
        status, _, body = harness.http("POST", server.url + path, nested(depth).encode(), HEADERS)
        assert status == 400, body
        if path == "/api/gateway":
            assert (b"deep" in body) == (depth == 33), body
    probe(server)


def test_authorization_file(processes, tmp_path):
    """64 KiB of YAML are read; one byte more is said in the log and authorizes nobody."""
    settings = tmp_path / "zone" / "settings" / "authorizationSettings.yaml"
    settings.parent.mkdir(parents=True)
    text = "allowPublicUpload: true\nauthorizedUsers: []\n#"
    server = start(processes, tmp_path, "--open-registration")
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store", KACHERY_GATEWAY_URL=server.url)
    harness.run("register", env=env, check=0)
    for extra, status in ((0, 0), (1, 1)):
        settings.write_text(text + "x" * (65536 - len(text) + extra))
        path = tmp_path / f"file{extra}"
        path.write_text(str(extra))
        done = harness.run("store", path, env=env, check=status)
        assert (b"authorizationSettings.yaml" in done.stderr or b"not authorized" in done.stderr) == (status == 1), done
    probe(server)


def test_config_file(tmp_path):
    config = tmp_path / "c.yaml"
    text = "resourceName: r\nproxyUrl: http://127.0.0.1:9\nproxySecret: s\n#"
    for extra, words in ((0, b"no client keys"), (1, b"65536")):
        config.write_text(text + "x" * (65536 - len(text) + extra))
        done = harness.run("share", "--config", config,
                           env=harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store"), check=1)
        assert words in done.stderr, done.stderr


@pytest.mark.parametrize("path, limit, status", [(f"/r/{NAME}", 102400, 404), ("/api/gateway", 102400, 400)])
def test_bodies(processes, tmp_path, path, limit, status):
    server = start(processes, tmp_path)
    text = json.dumps(asking()).encode()
    for extra, want in ((0, status), (1, 413)):
        body = text + b" " * (limit - len(text) + extra)
        assert harness.http("POST", server.url + path, body, HEADERS)[0] == want
        with connect(server) as sock:  # the same without saying so in advance
            sock.sendall(b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
                         b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (path.encode(), len(body), body))
            assert sock.recv(65536).startswith(b"HTTP/1.1 %d " % want)
    probe(server)


def test_descriptors_are_raised(processes, tmp_path):
    """To what the administrator allows, whatever the shell's own limit is."""
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    server = start(processes, tmp_path, preexec_fn=few)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connect(server)) for _ in range(200)]
        assert all(map(is_served, crowd))


# ---- WebSockets ----

def test_messages_of_a_daemon(processes, tmp_path):
    """1 MiB is taken; one byte more costs that daemon its connection, and nobody else."""
    server = start(processes, tmp_path)

    async def test(world):
        daemon, other = await world.daemon(), await world.daemon("other")
        await daemon.send_str(" " * (1 << 20))
        task = world.asked()
        await daemon.send_json(answer(await received(daemon)))
        assert (await task)[0] == 200
        await daemon.send_str(" " * ((1 << 20) + 1))
        assert (await closed(daemon))[0] == 1009
        task = world.asked("other")
        await other.send_json(answer(await received(other)))
        assert (await task)[0] == 200
    run_in_world(server, test)


def test_names_of_a_daemon(processes, tmp_path):
    """200 bytes, of the resource and of the zone."""
    async def test(world):
        for size in (200, 201):
            for fields in ({"name": "n" * size}, {"name": f"other{size}", "zone": "z" * size}):
                ws = await world.dial()
                await ws.send_json(hello(**fields))
                if size == 200:
                    assert await received(ws) == {"type": "acknowledge"}
                else:
                    assert await closed(ws) == (1002, "invalid resourceName or zone")
        task = world.asked("n" * 200)
        await asyncio.sleep(0)
        assert (await world.post(asking("n" * 201), "n" * 201))[0] == 404
        task.cancel()
    run_in_world(start(processes, tmp_path), test)


def test_depth_of_a_daemons_answer(processes, tmp_path):
    """33 levels are not read, 32 are and then are not what is wanted, as the log says; the client goes on waiting."""
    server = start(processes, tmp_path)

    async def test(world):
        daemon = await world.daemon()
        task = world.asked()
        request = await received(daemon)
        text = json.dumps(answer(request, "DEEP"))
        for depth in (32, 33):
            await daemon.send_str(text.replace('"DEEP"', nested(depth - 1)))
        ignored = await asyncio.to_thread(server.wait_line, "message ignored"), \
            await asyncio.to_thread(server.wait_line, "message ignored", 2)
        assert ["deep" in line for line in ignored] == [False, True], ignored
        await daemon.send_json(answer(request))
        assert (await task)[0] == 200
    run_in_world(server, test)


def test_size_of_a_file(processes, tmp_path):
    """No limit but the disk, which is told at the upload."""
    zone = Zone(tmp_path, processes)
    for size in (5_000_000_000, 5_000_000_001, 2**53 - 1):
        assert zone.client.initiate("a" * 40, size)
    zone.upload()


def test_files_of_the_zone(processes, tmp_path):
    """64 KiB of a client's record are read; one byte more is no record."""
    zone = Zone(tmp_path, processes)
    record = zone.data / "clients" / zone.client.client_id
    text = record.read_text()
    for size, words in ((65536, None), (65537, "more than 65536 bytes"), (65536, None)):
        record.write_text(text + " " * (size - len(text)))
        status, got = zone.client.call("initiateFileUpload", size=1, hashAlg="sha1", hash="b" * 40)
        assert (status == 200) == (words is None) and (words is None or words in got), got


def test_a_daemon_that_never_reads(processes, tmp_path):
    """What is sent to it is bounded; who asks it hears 503 in the end; the others are served."""
    server = start(processes, tmp_path, verb="proxy")
    mute = websocket_peer.connect(server.port)
    mute.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    mute.sock.sendall(mute.frame(websocket_peer.TEXT, json.dumps(hello()).encode()))
    assert mute.receive()[0] == websocket_peer.TEXT

    async def test(world):
        other = await world.daemon("other")
        uri = "sha1://" + "x" * 100000
        tasks, statuses = [], []
        while 503 not in statuses:
            tasks.append(world.asked(uri=uri, timeout=600000))
            await asyncio.sleep(0)
            if len(tasks) % 50 == 0:
                done, _ = await asyncio.wait(tasks[-50:], timeout=0.2)
                statuses += [task.result()[0] for task in done]
            assert len(tasks) < 1000
        status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0])
        assert resident < 120 * 1024 or harness.is_sanitized(), resident
        task = world.asked("other")
        await other.send_json(answer(await received(other)))
        assert (await task)[0] == 200
        for task in tasks:
            task.cancel()
    run_in_world(server, test)
