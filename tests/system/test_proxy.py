"""The resource proxy between aiohttp clients and daemons made of aiohttp or websockets."""
import asyncio
import contextlib
import http.client
import json
import signal
import socket

import harness
import pytest
import websockets
from our_proxy import NAME, NOT_FOUND, URI, World, ZONE, answer, asking, closed, hello, lively, of_generation1, received, reset


# ---- HTTP ----

def test_probe(our_proxy):
    status, headers, body = harness.http("GET", our_proxy.url + "/probe")
    assert (status, body) == (200, b"running.")
    assert "Date" in headers


@pytest.mark.parametrize("method, path", [("POST", "/api/x"), ("GET", "/x"), ("GET", "/rx"), ("POST", "/probe/"),
                                          ("GET", "/api/gateway"), ("OPTIONS", "/none")])
def test_routes_that_are_not_there_are_html(our_proxy, method, path):
    status, headers, body = harness.http(method, our_proxy.url + path, b"{}" if method == "POST" else None)
    assert status == 404 and headers["Content-Type"].startswith("text/html")
    assert f"Cannot {method} {path}".encode() in body


@pytest.mark.parametrize("method, path, status, allow", [
    ("GET", "/r/x", 405, "POST, OPTIONS"), ("HEAD", "/r/x", 405, "POST, OPTIONS"), ("DELETE", "/r/x", 405, "POST, OPTIONS"),
    ("POST", "/probe", 405, "GET, HEAD, OPTIONS"), ("PATCH", "/probe", 405, "GET, HEAD, OPTIONS"),
    ("TRACE", "/probe", 405, "GET, HEAD, OPTIONS"), ("GET", "/api", 405, "POST, OPTIONS"),
    ("HEAD", "/probe", 200, None), ("OPTIONS", "/probe", 204, "GET, HEAD, OPTIONS"),
    ("OPTIONS", "/r/x", 204, "POST, OPTIONS"), ("BREW", "/probe", 501, None), ("BREW", "/none", 501, None),
    ("get", "/probe", 501, None), ("Post", "/r/x", 501, None), ("PROPFIND", "/", 501, None)])
def test_methods(our_proxy, method, path, status, allow):
    got, headers, body = harness.http(method, our_proxy.url + path)
    assert got == status and headers["Allow"] == allow
    if status >= 400 and method != "HEAD":
        assert list(json.loads(body)) == ["message"]


@pytest.mark.parametrize("method, path", [("POST", "/r/x"), ("POST", "/api")])
def test_a_route_that_is_not_served_here_stays_html(tmp_path, processes, method, path):
    """What tells the generation of a proxy."""
    gateway = processes(harness.Server("gateway", "--data", tmp_path / "zone"))
    status, headers, body = harness.http(method, gateway.url + path, b"{}")
    assert status == 404 and headers["Content-Type"].startswith("text/html") and f"Cannot POST {path}".encode() in body


@pytest.mark.parametrize("lines", ["Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
                                   "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n", "Connection: upgrade\r\n",
                                   "Connection: upgrade\r\nUpgrade: websockets\r\n", "Upgrade: websocket\r\n"])
def test_other_upgrades_are_ignored(our_proxy, lines):
    text = f"GET /probe HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()
    with socket.create_connection(("127.0.0.1", our_proxy.port), timeout=harness.DEADLINE_S) as sock:
        for _ in range(2):
            sock.sendall(text)
            got = sock.recv(65536)
            assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(b"running.")
        sock.sendall(text.replace(b"/probe", b"/none"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 404 ")


CHECKS = [
    ("not JSON", b"{", 400, "invalid request"),
    ("a list", [], 400, "invalid request"),
    ("one field more", asking(more=1), 400, "invalid request"),
    ("no zone", {k: v for k, v in asking().items() if k != "zone"}, 400, "invalid request"),
    ("another type", {**asking(), "type": "ping"}, 400, "invalid request"),
    ("other name", asking(name="other"), 500, f"Resource name mismatch: other <> {NAME}"),
    ("other name before absent", asking(name="other", requestId="x"), 500, f"Resource name mismatch: other <> {NAME}"),
    ("other zone", asking(zone="z"), 500, f"Zone mismatch: z <> {ZONE}"),
    ("requestId", asking(requestId="x"), 400, "requestId field not allowed"),
    ("zone before requestId", asking(zone="z", requestId="x"), 500, f"Zone mismatch: z <> {ZONE}"),
]


@lively
async def test_checks_in_order(world):
    await world.daemon()
    for name, body, status, message in CHECKS:
        data = body if isinstance(body, bytes) else json.dumps(body)
        async with world.http.post(f"{world.proxy.url}/r/{NAME}", data=data,
                                   headers={"Content-Type": "application/json"}) as got:
            assert (got.status, await got.json()) == (status, {"message": message}), name
    assert await world.post(asking(name="absent"), "absent") == (404, {"message": "resource not found: absent"})
    assert await world.post(asking(name="absent", zone="z", requestId="x"), "absent") == \
        (404, {"message": "resource not found: absent"})
    async with world.http.post(f"{world.proxy.url}/r/{NAME}", data=json.dumps(asking())) as got:
        assert got.status == 400


@pytest.mark.parametrize("path, body", [(f"/r/{NAME}", asking()), ("/api", of_generation1(asking()))])
@lively
async def test_body_limit(world, path, body):
    daemon = await world.daemon()
    text = json.dumps(body)
    headers = {"Content-Type": "application/json"}
    for extra, want in ((0, 200), (1, 413)):
        data = text + " " * (102400 - len(text) + extra)
        task = asyncio.create_task(world.http.post(world.proxy.url + path, data=data, headers=headers))
        if want == 200:
            await daemon.send_json(answer(await received(daemon)))
        async with await task as got:
            assert got.status == want


@lively
async def test_round_trip(world):
    daemon = await world.daemon()
    task = world.asked()
    request = await received(daemon)
    request_id = request.pop("requestId")
    assert request.pop("timeoutMsec") <= 20000 and request["request"].pop("timeoutMsec") <= 5000
    want = asking()
    del want["timeoutMsec"], want["request"]["timeoutMsec"]
    assert request == want
    await daemon.send_json({"type": "responseToClient", "requestId": request_id, "response": NOT_FOUND})
    assert await task == (200, {"type": "responseToClient", "requestId": request_id, "response": NOT_FOUND})
    task = world.asked(requestId="")
    request = await received(daemon)
    assert request["requestId"] != request_id and len(request["requestId"]) >= 32
    await daemon.send_json(answer(request, {}, error="disk on fire"))
    status, got = await task
    assert status == 200 and got["error"] == "disk on fire" and got["response"] == {}


@lively
async def test_timeout(world):
    daemon = await world.daemon()
    task = world.asked(timeout=100.5)
    request = await received(daemon)
    assert await task == (504, {"message": "timeout waiting for response"})
    await daemon.send_json(answer(request))
    task = world.asked()
    await daemon.send_json(answer(await received(daemon)))
    assert (await task)[0] == 200


@lively
async def test_client_that_hangs_up_is_forgotten(world):
    daemon = await world.daemon()
    task = world.asked()
    first = await received(daemon)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.to_thread(world.proxy.wait_line, "listening")
    await daemon.send_json(answer(first))
    task = world.asked()
    second = await received(daemon)
    await daemon.send_json(answer(second))
    assert (await task)[1]["requestId"] == second["requestId"]


@lively
async def test_two_thousand_at_once(world):
    daemon = await world.daemon()
    tasks = [world.asked(uri=f"sha1://{i:040x}") for i in range(2000)]
    requests = [await received(daemon) for _ in tasks]
    assert len({r["requestId"] for r in requests}) == len(tasks)
    for request in reversed(requests):
        status = {"type": "fileUpload", "status": {"status": "queued", "size": int(request["request"]["uri"][7:], 16)}}
        await daemon.send_json(answer(request, status))
    for i, task in enumerate(tasks):
        status, got = await task
        assert status == 200 and got["response"]["status"]["size"] == i


# ---- daemons ----

@lively
async def test_wrong_secret(world):
    for secret in ("", harness.SECRET[:-1], harness.SECRET + "x"):
        ws = await world.dial()
        await ws.send_json(hello(secret=secret))
        assert await closed(ws) == (4001, "wrong secret")


def test_another_version_hears_which_one_is_spoken(our_proxy):
    connection = http.client.HTTPConnection("127.0.0.1", our_proxy.port, timeout=harness.DEADLINE_S)
    connection.request("GET", "/", headers={"Upgrade": "websocket", "Connection": "Upgrade",
                                            "Sec-WebSocket-Version": "8"})
    got = connection.getresponse()
    assert got.status == 426 and got.headers["Upgrade"] == "websocket" and got.headers["Sec-WebSocket-Version"] == "13"
    assert set(got.headers.get_all("Connection")) == {"Upgrade", "close"}
    connection.close()


@lively
async def test_first_message_must_initialize(world):
    for text in ('{"type":"ping"}', "{", json.dumps(hello(name="a b"))):
        ws = await world.dial()
        await ws.send_str(text)
        assert (await closed(ws))[0] == 1002


@lively
async def test_strangers_say_little(world):
    for size, code in ((8192, 4001), (8193, 1009)):
        ws = await world.dial()
        text = json.dumps(hello(secret=""))
        await ws.send_str(text + " " * (size - len(text)))
        assert (await closed(ws))[0] == code


@lively
async def test_live_daemon_keeps_its_name(world):
    first = await world.daemon()
    task = world.asked()
    request = await received(first)
    pump = asyncio.create_task(received(first))  # answers the ping
    second = await world.dial()
    await second.send_json(hello())
    assert await closed(second) == (4009, f"resource {NAME} is already connected")
    await first.send_json(answer(request))
    assert (await task)[0] == 200
    again = world.asked()
    await first.send_json(answer(await pump))
    assert (await again)[0] == 200


@lively
async def test_dead_daemon_is_replaced(world):
    """And who waits for it is answered by its successor."""
    first = await world.daemon(autoping=False)
    task = world.asked()
    old = await received(first)
    second = await world.dial()
    await second.send_json(hello())
    third = await world.dial()
    await third.send_json(hello())
    assert await closed(third) == (4009, f"resource {NAME} is already connected")
    assert await received(second) == {"type": "acknowledge"}
    request = await received(second)
    assert request["requestId"] != old["requestId"] and request["request"]["uri"] == URI
    await second.send_json(answer(request))
    assert (await task)[1]["requestId"] == request["requestId"]


@lively
async def test_challenger_gets_the_name_of_one_that_leaves(world):
    first = await world.daemon(autoping=False)
    second = await world.dial()
    await second.send_json(hello())
    await first.receive(timeout=harness.DEADLINE_S)  # the ping, not answered
    await first.close()
    assert await received(second) == {"type": "acknowledge"}


@lively
async def test_lost_daemon_comes_back(world):
    first = await world.daemon()
    task = world.asked()
    old = await received(first)
    reset(first)
    await asyncio.to_thread(world.proxy.wait_line, "disconnected")
    assert await world.post(asking()) == (404, {"message": f"resource not found: {NAME}"})
    second = await world.daemon()
    request = await received(second)
    assert request["requestId"] != old["requestId"]
    await second.send_json(answer(old))
    await second.send_json(answer(request))
    assert (await task)[1]["requestId"] == request["requestId"]


@lively
async def test_lost_daemon_stays_away(world):
    first = await world.daemon()
    task = world.asked()
    await received(first)
    reset(first)
    assert await task == (404, {"message": f"resource not found: {NAME}"})
    await asyncio.to_thread(world.proxy.wait_line, "resource gone")


@lively
async def test_leaving_daemon_ends_the_wait_at_once(world):
    first = await world.daemon()
    task = world.asked()
    await received(first)
    await first.close()
    assert await task == (404, {"message": f"resource not found: {NAME}"})
    assert "resource gone" not in world.proxy.text()


@lively
async def test_other_zone_after_coming_back(world):
    first = await world.daemon()
    task = world.asked()
    await received(first)
    reset(first)
    await asyncio.to_thread(world.proxy.wait_line, "disconnected")
    await world.daemon(zone="other")
    assert await task == (404, {"message": f"resource not found: {NAME}"})


@lively
async def test_answers_for_others_are_ignored(world):
    daemon, other = await world.daemon(), await world.daemon("other")
    task = world.asked()
    request = await received(daemon)
    wrong = {"type": "fileUpload", "status": {"status": "error"}}
    for request_id in (request["requestId"], "f" * 40, ""):
        await other.send_json(answer({"requestId": request_id}, wrong))
    guess = request["requestId"][:-1] + ("0" if request["requestId"][-1] != "0" else "1")
    await daemon.send_json(answer({"requestId": guess}, wrong))
    for junk in ('{"type":"what"}', "{", '{"type":"responseToClient"}', '{"type":"ping"}', json.dumps(hello())):
        await daemon.send_str(junk)
    task_of_other = world.asked("other")  # its answer comes after all that was sent before it
    await other.send_json(answer(await received(other)))
    assert (await task_of_other)[0] == 200
    await daemon.send_json(answer(request))
    await daemon.send_json(answer(request, wrong))
    assert (await task)[1]["response"] == NOT_FOUND


@lively
async def test_websockets_library(world):
    """It offers permessage-deflate, which is declined; binary and fragmented messages are taken."""
    async with websockets.connect(world.proxy.url.replace("http", "ws") + "/any/path?x") as ws:
        assert ws.extensions == []
        text = json.dumps(hello())
        await ws.send([text[:5], text[5:20], text[20:]])
        assert json.loads(await ws.recv()) == {"type": "acknowledge"}
        task = world.asked()
        request = json.loads(await ws.recv())
        await ws.send(json.dumps(answer(request)).encode())
        assert (await task)[0] == 200
        await (await ws.ping())


@lively
async def test_one_mebibyte_and_one(world):
    daemon = await world.daemon()
    await daemon.send_str('"' + "x" * ((1 << 20) - 2) + '"')  # ignored, but taken
    task = world.asked()
    await daemon.send_json(answer(await received(daemon)))
    assert (await task)[0] == 200
    await daemon.send_str('"' + "x" * ((1 << 20) - 1) + '"')
    assert (await closed(daemon))[0] == 1009


def test_drain(our_proxy):
    async def main():
        async with World(our_proxy) as world:
            daemon, idle = await world.daemon(), await world.daemon("idle")
            task = world.asked()
            request = await received(daemon)
            our_proxy.signal(signal.SIGTERM)
            await asyncio.to_thread(our_proxy.wait_line, "stopping")
            await daemon.send_json(answer(request))
            assert (await task)[0] == 200
            assert (await closed(idle))[0] == 1001
            assert (await closed(daemon))[0] == 1001
    asyncio.run(main())
    assert our_proxy.wait() == 0


def test_drain_is_bounded(our_proxy):
    """A request that no daemon answers does not keep the proxy, and is not left hanging."""
    async def main():
        async with World(our_proxy) as world:
            daemon = await world.daemon()
            task = world.asked(timeout=600000)
            await received(daemon)
            our_proxy.signal(signal.SIGTERM)
            assert await task == (404, {"message": f"resource not found: {NAME}"})
            assert (await closed(daemon))[0] == 1001
    asyncio.run(main())
    assert our_proxy.wait() == 0


def test_usage(tmp_path):
    env = harness.clean_environment()
    for arguments, part in ((["--listen", "127.0.0.1:0"], b"PROXY_SECRET"), ([], b"--listen"),
                            (["--listen", "127.0.0.1:0", "--data", "x"], b"unknown option --data")):
        done = harness.run("proxy", *arguments, env=env, check=2)
        assert part in done.stderr, done.stderr
    (tmp_path / "empty").write_text("\n")
    done = harness.run("proxy", "--listen", "127.0.0.1:0", "--secret-file", str(tmp_path / "empty"), env=env, check=1)
    assert b"empty: want the proxy secret in its first line" in done.stderr


def test_environment(processes):
    env = harness.clean_environment(PROXY_SECRET="s", PORT=harness.free_port())
    started = processes(harness.Process("proxy", env=env))
    assert started.wait_line("listening http://").endswith(f":{env['PORT']}")
