"""Proxy and gateway on one port; what the worker processes know; limits of descriptors."""
import asyncio
import os
import re
import resource
import socket

import aiohttp
import harness
import pytest
from store_files import DAY, left
from our_proxy import World, answer, asking, received
from our_zone import Zone, bucket_processes


def start(zone, folder, processes, *options, **more):
    zone.server.stop()
    secret = folder / "secret"
    secret.write_text(harness.SECRET + "\r\n")
    zone.server = processes(harness.Server("hub", "--data", zone.data, "--secret-file", secret, *options, **more))
    zone.client.url = zone.server.url
    return zone


def test_both_roles(tmp_path, processes):
    zone = start(Zone(tmp_path, processes), tmp_path, processes)
    digest = zone.upload()

    async def main():
        async with World(zone.server) as world:
            daemon = await world.daemon()
            task = world.asked()
            await daemon.send_json(answer(await received(daemon)))
            assert (await task)[0] == 200
            async with world.http.get(zone.server.url + "/probe") as got:
                assert await got.text() == "running."
            # One connection that changes sides.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as one:
                for _ in range(5):
                    async with one.get(zone.client.find(digest)) as got:
                        assert got.status == 200
                    async with one.post(f"{zone.server.url}/r/none", json=asking(name="none")) as got:
                        assert got.status == 404
    asyncio.run(main())


def memory(pid):
    """All that a process can read of itself."""
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if found and "[v" not in line:
                start_, end = (int(x, 16) for x in found.groups())
                mem.seek(start_)
                try:
                    parts.append(mem.read(end - start_))
                except OSError:
                    pass
    return b"".join(parts)


def test_workers_do_not_know_the_proxy_secret(tmp_path, processes):
    if harness.is_sanitized():
        pytest.skip("AddressSanitizer keeps what was freed")
    for env in (None, harness.clean_environment(PROXY_SECRET=harness.SECRET)):
        zone = Zone(tmp_path / str(bool(env)), processes)
        zone.server.stop()
        options = [] if env else ["--secret-file", tmp_path / "secret"]
        (tmp_path / "secret").write_text(harness.SECRET)
        zone.server = processes(harness.Server("hub", "--data", zone.data, *options, env=env))
        zone.client.url = zone.server.url

        async def main():
            async with World(zone.server) as world:
                await world.daemon()
                await asyncio.to_thread(zone.upload)
        asyncio.run(main())
        workers = harness.descendants(zone.server.pid)
        assert bucket_processes(zone) and len(workers) >= 2
        assert harness.SECRET.encode() in memory(zone.server.pid)
        for pid in workers:
            assert harness.SECRET.encode() not in memory(pid)


def test_descriptors_run_out(tmp_path, processes):
    """More connections than descriptors: the longest idle ones make room, the others are served."""
    zone = Zone(tmp_path, processes)
    start(zone, tmp_path, processes,
          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60)))
    address = ("127.0.0.1", zone.server.port)
    kept = [socket.create_connection(address, timeout=harness.DEADLINE_S) for _ in range(30)]
    above = [socket.create_connection(address, timeout=harness.DEADLINE_S) for _ in range(10)]
    for sock in kept[:10]:
        assert sock.recv(65536) == b""
        sock.close()
    for sock in kept[10:] + above:
        sock.sendall(b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"running." in sock.recv(65536)
        sock.close()

    def served():
        return harness.http("GET", zone.server.url + "/probe")[0] == 200
    harness.until(served, "service after the crowd has gone")
    zone.upload(os.urandom(100))


def test_no_descriptor_at_all(tmp_path, processes):
    """The cap is above what the system gives: clients hear 503 and the server goes on."""
    zone = Zone(tmp_path, processes)
    start(zone, tmp_path, processes)
    pid = zone.server.pid
    used = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 2, used + 2))
    address = ("127.0.0.1", zone.server.port)
    kept = [socket.create_connection(address, timeout=harness.DEADLINE_S) for _ in range(2)]
    for sock in kept:
        sock.sendall(b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"running." in sock.recv(65536)
    above = socket.create_connection(address, timeout=harness.DEADLINE_S)
    assert above.recv(65536).startswith(b"HTTP/1.1 503 ")
    zone.server.wait_line("no descriptor left")
    for sock in kept:
        sock.sendall(b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"running." in sock.recv(65536)
        sock.close()
    harness.until(lambda: harness.http("GET", zone.server.url + "/probe")[0] == 200, "service again")


def test_what_a_killed_hub_left_is_removed(tmp_path):
    """At its start, and by the next registration."""
    lab = harness.Lab(tmp_path)
    at_start = [left(lab.data / name, 2 * DAY) for name in (".hub/url-key.tmp.01234567", "settings/authorizationSettings.yaml.tmp.01234567")]
    client = left(lab.data / "clients" / ("0" * 64 + ".tmp.01234567"), 2 * DAY)
    kept = left(lab.data / "clients" / ("0" * 64 + ".tmp.11111111"), DAY - 60)
    try:
        lab.start_hub()
        assert not any(path.exists() for path in at_start) and client.exists()
        lab.register()
        assert not client.exists() and kept.exists()
        left(client, 2 * DAY)
        for name in ("private.pem", "public.pem"):
            (lab.host_store / name).unlink()
        lab.register()
        assert client.exists()  # a large registry is not looked through for each registration
    finally:
        lab.stop()
