"""The proxy's secret: made when it is missing, warned of when it is short, and not to be guessed."""
import asyncio
import os
import stat
import subprocess
import time

import harness
import pytest
import websocket_peer
from our_proxy import closed, hello, received, run_in_world

WORDS = "made a new proxy secret"


def start(processes, verb, tmp_path, secret, *options, **more):
    data = ["--data", tmp_path / "zone"] if verb == "hub" else []
    return processes(harness.Server(verb, *data, "--secret-file", secret, *options, cwd=tmp_path, **more))


@pytest.mark.parametrize("verb", ["proxy", "hub"])
@pytest.mark.parametrize("option", [[], ["-q"]])
def test_a_missing_secret_is_made(processes, tmp_path, verb, option):
    secret = tmp_path / "secret"
    server = start(processes, verb, tmp_path, "secret", *option)
    text = secret.read_text()
    assert len(text) == 33 and text[:-1].isalnum() and text.endswith("\n")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and secret.stat().st_nlink == 1
    assert WORDS in "\n".join(server.lines["err"]) and "secret" in server.text() and text[:-1] not in server.text()
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "zone") == ["secret"]

    async def test(world):
        ws = await world.dial()
        await ws.send_json(hello(secret=text[:-1]))
        assert await received(ws) == {"type": "acknowledge"}
    run_in_world(server, test)
    server.stop()
    again = start(processes, verb, tmp_path, "secret")
    assert WORDS not in again.text() and "guessed" not in again.text() and secret.read_text() == text


def test_two_servers_make_one_secret(processes, tmp_path):
    servers = [subprocess.Popen([harness.BINARY, "proxy", "--listen", "127.0.0.1:0", "--secret-file", "s"], cwd=tmp_path,
                                env=harness.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
               for _ in range(8)]
    try:
        assert all(b"listening" in server.stdout.readline() for server in servers)
    finally:
        for server in servers:
            server.terminate()
    said = [server.communicate(timeout=harness.DEADLINE_S)[1] for server in servers]
    assert sum(WORDS.encode() in text for text in said) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("name", ["no/such/folder", "dangling", "folder", ""])
def test_a_secret_that_cannot_be_made(tmp_path, name):
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder").mkdir()
    done = harness.run("proxy", "--listen", "127.0.0.1:0", "--secret-file", name, cwd=tmp_path)
    assert done.returncode in (1, 2) and (name.encode() in done.stderr and b"secret" in done.stderr), done
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dangling", "folder"]
    if name.startswith("no/"):
        assert b"its folder is not there: make that first" in done.stderr


def test_nothing_is_made_for_wrong_usage(tmp_path):
    for options in (["hub", "--listen", "127.0.0.1:0"], ["proxy"], ["proxy", "--listen", "127.0.0.1:0", "--trusted-proxy", "x"]):
        harness.run(*options, "--secret-file", "s", cwd=tmp_path, env=harness.clean_environment(), check=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size, is_short", [(1, True), (15, True), (16, False)])
@pytest.mark.parametrize("from_file", [True, False])
def test_short_secrets_are_warned_of(processes, tmp_path, size, is_short, from_file):
    (tmp_path / "s").write_text("x" * size + "\n")
    if from_file:
        server = start(processes, "proxy", tmp_path, "s")
    else:
        server = processes(harness.Server("proxy", env=harness.clean_environment(PROXY_SECRET="x" * size)))
    assert harness.http("GET", server.url + "/probe")[0] == 200
    line = [text for text in server.text().splitlines() if "guessed" in text]
    assert bool(line) == is_short
    if is_short:
        assert f"only {size} characters" in line[0] and "at least 16" in line[0]
        assert ("remove that file" if from_file else "--secret-file") in line[0]


def test_guesses_are_slow_and_the_secret_is_not(processes, tmp_path):
    """One after another, and many at once; meanwhile the right secret is acknowledged at once, from the same address."""
    (tmp_path / "s").write_text(harness.SECRET)
    server = start(processes, "proxy", tmp_path, "s", "-v")
    end = time.monotonic() + 4

    async def test(world):
        answered = 0

        async def guess():
            nonlocal answered
            while time.monotonic() < end:
                ws = await world.dial()
                await ws.send_json(hello(secret=f"wrong{answered}"))
                assert await closed(ws) == (4001, "wrong secret")
                answered += 1

        async def patiently():
            try:
                await asyncio.wait_for(guess(), end - time.monotonic())
            except asyncio.TimeoutError:
                pass

        tasks = [asyncio.create_task(patiently()) for _ in range(20)]
        waits = []
        while time.monotonic() < end:
            began = time.monotonic()
            ws = await world.daemon(f"res-{len(waits)}")
            waits.append(time.monotonic() - began)
            await ws.close()
            await asyncio.sleep(0.2)
        await asyncio.gather(*tasks)
        assert answered <= 9, answered
        assert len(waits) > 3 and sorted(waits)[len(waits) // 2] < 0.5, waits
    run_in_world(server, test)
    server.wait_line("wrong secret", count=20)  # the log has them at once


def test_guesses_of_another_address_do_not_slow(processes, tmp_path):
    (tmp_path / "s").write_text(harness.SECRET)
    server = start(processes, "proxy", tmp_path, "s")

    def guess(source):
        peer = websocket_peer.connect(server.port, source=source)
        peer.sock.sendall(peer.frame(websocket_peer.TEXT, b'{"type":"initialize","resourceName":"r","zone":"z",'
                                                          b'"proxySecret":"x"}'))
        return peer
    crowd = [guess("127.0.0.2") for _ in range(20)]
    began = time.monotonic()
    other = guess("127.0.0.3")
    assert other.receive()[1][:2] == (4001).to_bytes(2, "big")
    assert time.monotonic() - began < 2
    assert crowd[0].receive()[1][:2] == (4001).to_bytes(2, "big")
    # Who hangs up before its answer is not answered any sooner the next time.
    for peer in crowd:
        peer.sock.close()
    late = guess("127.0.0.2")
    late.sock.settimeout(1.5)
    with pytest.raises(OSError):
        late.receive()
    assert os.path.exists(f"/proc/{server.pid}")
