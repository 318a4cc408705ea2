"""What strangers send cannot look like a line of the log, and cannot fill a disk with lines."""
import asyncio
import http.client
import json
import re
import threading
import urllib.parse

import harness
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_client import GatewayClient
from our_proxy import World, answer, closed, hello, received

FORGED = "2026-01-01T00:00:00.000Z error FORGED"
TEXTS = [f"\n{FORGED}", f"\r\n{FORGED}", f"\x85{FORGED}", f"\u2028{FORGED}", f"\x1b[2K\r{FORGED}", "\x7f\x9b2J" + FORGED]
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) [^\x00-\x1f\x7f-\x9f\u2028\u2029]*$")


def new_client(hub, folder):
    folder.mkdir()
    (folder / "private.pem").write_bytes(Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return GatewayClient(hub.url, folder)


async def converse(hub, text):
    async with World(hub) as world:
        for message in (hello(name=text), hello(zone=text), hello(secret=text), {text: 1}, {**hello(), text: 1},
                        {"type": text}, {**hello(), "type": text}):
            ws = await world.dial()
            await ws.send_json(message)
            await closed(ws)
        daemon = await world.daemon("one")
        await daemon.send_json({"type": text})
        await daemon.send_json({**answer({"requestId": text}), text: 1})
        task = world.asked("one", uri=text)
        await daemon.send_json(answer(await received(daemon), {}, error=text))
        assert (await task)[0] == 200
        await world.post({text: text}, urllib.parse.quote(text))
        await daemon.close(code=4000, message=text[:20].encode())


@pytest.mark.parametrize("text", TEXTS)
def test_forged_lines(tmp_path, processes, text):
    (tmp_path / "secret").write_text(harness.SECRET)
    hub = processes(harness.Server("hub", "--data", tmp_path / "zone", "--secret-file", tmp_path / "secret",
                                   "--open-registration", "-v"))
    asyncio.run(converse(hub, text))
    client = new_client(hub, tmp_path / "keys")
    signature = client.sign({"type": "addClient"})
    label = urllib.parse.quote(text)
    status, _, _ = harness.http(
        "POST", f"{hub.url}/registerClient/{client.client_id}?signature={signature}&zone=default&label={label}",
        headers={"Kachery-Register": "1"})
    assert status == 200
    client.post({"payload": {"type": text, "timestamp": 1}})
    client.call("getResourceInfo", resourceName=text)
    client.zone = text
    assert client.call("findFile", hashAlg="sha1", hash="0" * 40)[0] == 500
    client.post({"payload": {"type": "findFile", "timestamp": 1, text: 1}, "fromClientId": text, "signature": text})
    harness.http("GET", hub.url + "/" + urllib.parse.quote(text), headers={"Host": "h", "X": "y"})
    hub.wait_line("registered client=")
    hub.stop()
    assert len(hub.lines["err"]) > 10
    for line in hub.lines["err"]:
        assert LINE.match(line), line
        assert not line.startswith(FORGED)
        assert signature not in line


BURST, MORE = 1000, 600


def written_and_known(lines, part, kind):
    """How many lines have `part`; with those that were left out of its kind."""
    reports = [re.search(r"warn log lines left out=(\d+): (.*)", line) for line in lines]
    written = sum(part in line for line in lines)
    return written, written + sum(int(found[1]) for found in reports if found and found[2] == kind)


def test_a_flood_of_refusals(tmp_path, processes):
    """From all worker processes together so many lines are written; each of the others is counted."""
    (tmp_path / "secret").write_text(harness.SECRET)
    hub = processes(harness.Server("hub", "--data", tmp_path / "zone", "--secret-file", tmp_path / "secret"))
    client = new_client(hub, tmp_path / "keys")
    threads, each = 4, (BURST + MORE) // 4
    body = json.dumps(client.signed({"type": "findFile", "timestamp": 1, "hashAlg": "sha1", "hash": "0" * 40,
                                     "zone": "default"}))

    def flood():
        connection = http.client.HTTPConnection("127.0.0.1", hub.port)
        for _ in range(each):
            connection.request("POST", "/api/gateway", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 500 and b"timestamp" in answer.read()
        connection.close()
        done.append(True)
    done, crowd = [], [threading.Thread(target=flood) for _ in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert len(done) == threads
    workers = len(harness.descendants(hub.pid))
    hub.stop()
    written, known = written_and_known(hub.lines["err"], "refused findFile client=", "refused … client=…: …")
    assert workers > 1
    assert known == threads * each
    assert BURST - workers <= written < BURST + MORE // 2


def test_a_flood_of_requests_for_files_that_are_gone(desk):
    """Each is answered, and costs the daemon a look; not a line of the log."""
    count, rounds = 40, (BURST + MORE) // 40
    paths = [desk.folder / f"file{i}" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_text(str(i))
    harness.run("link", *paths, env=desk.env, check=0)
    for path in paths:
        path.unlink()
    desk.share()
    for _ in range(rounds):
        messages = [desk.proxy.message(f"sha1://{harness.sha1(str(i).encode())}") for i in range(count)]
        for answered in desk.proxy.post(*messages):
            assert "no longer where" in answered.status()["error"]
    desk.daemon.signal(15)
    assert desk.daemon.wait() == 0
    written, known = written_and_known(desk.daemon.lines["err"], "warn cannot share sha1=", "cannot share sha1=…: …")
    assert known == count * rounds
    assert BURST <= written < BURST + MORE // 2
    assert desk.daemon.lines["err"][-1].endswith("info stopped")
