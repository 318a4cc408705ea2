"""Clients and daemons of both generations at our proxy, in every pair: what is sent to whom, field by field; and what
becomes of requests when their daemon changes."""
import asyncio
import json

import pytest
from our_proxy import URI, ZONE, answer, asking, hello, lively, of_generation1, received, reset

CHECKS1 = [
    ("not JSON", b"{", 400, "invalid request"),
    ("a zone", asking(), 400, "invalid request"),
    ("one field more", of_generation1(asking(more=1)), 400, "invalid request"),
    ("a timeout too much", {**of_generation1(asking()), "request": asking()["request"]}, 400, "invalid request"),
    ("absent", of_generation1(asking(name="absent")), 404, "resource not found: absent"),
    ("absent before requestId", of_generation1(asking(name="absent", requestId="x")), 404,
     "resource not found: absent"),
    ("a name that is none", of_generation1(asking(name="../a b")), 404, "resource not found: ../a b"),
    ("requestId", of_generation1(asking(requestId="x")), 400, "requestId field not allowed"),
]


@lively
async def test_checks_of_generation_1_in_order(world):
    await world.daemon()
    for name, body, status, message in CHECKS1:
        data = body if isinstance(body, bytes) else json.dumps(body)
        async with world.http.post(f"{world.proxy.url}/api", data=data,
                                   headers={"Content-Type": "application/json"}) as got:
            assert (got.status, await got.json()) == (status, {"message": message}), name
    assert await world.post(of_generation1(asking())) == (400, {"message": "invalid request"})
    async with world.http.post(f"{world.proxy.url}/api", data=json.dumps(of_generation1(asking()))) as got:
        assert got.status == 400


@lively
async def test_the_handshake_tells_the_generations(world):
    ws = await world.dial()
    assert ws._response.headers["Kachery-Generations"] == "1, 2"


def fields(message):
    return {key: sorted(value) if isinstance(value, dict) else None for key, value in message.items()}


@pytest.mark.parametrize("of_client", [1, 2])
@pytest.mark.parametrize("of_daemon", [1, 2])
@lively
async def test_generations(world, of_client, of_daemon):
    """Each end sees just the fields of its own generation."""
    daemon = await world.daemon(zone=ZONE if of_daemon == 2 else None)
    task = world.asked() if of_client == 2 else world.asked_as_generation1()
    request = await received(daemon)
    want = {**asking(), "requestId": ""} if of_daemon == 2 else {**of_generation1(asking()), "requestId": ""}
    assert fields(request) == fields(want) and request["request"]["uri"] == URI
    assert request.get("zone", ZONE) == ZONE
    times = request["timeoutMsec"], request["request"].get("timeoutMsec")
    assert times == {(1, 1): (20000, None), (1, 2): (20000, 10000), (2, 1): (5000, None),
                     (2, 2): (20000, 5000)}[of_client, of_daemon]
    await daemon.send_json({"type": "ping"})
    await daemon.send_json(answer(request))
    assert await task == (200, answer(request))


@lively
async def test_a_lost_daemon_comes_back_as_another_generation(world):
    first = await world.daemon()
    task = world.asked()
    await received(first)
    reset(first)
    await asyncio.to_thread(world.proxy.wait_line, "disconnected")
    second = await world.daemon(zone=None)
    request = await received(second)
    assert "zone" not in request
    await second.send_json(answer(request))
    assert (await task)[0] == 200


@lively
async def test_a_dead_daemon_is_replaced_by_one_of_another_generation(world):
    await world.daemon(autoping=False)
    second = await world.dial()
    await second.send_json(hello(zone=None))
    assert await received(second) == {"type": "acknowledge"}
    task = world.asked(zone="any")
    request = await received(second)
    assert "zone" not in request
    await second.send_json(answer(request))
    assert (await task)[0] == 200


@pytest.mark.parametrize("length, status", [(2048, 200), (2049, 404)])
@lively
async def test_only_short_requests_outlive_their_daemon(world, length, status):
    """A stranger cannot make the proxy keep much: longer URIs, which no client of ours sends, are not kept."""
    uri = URI + "?label=" + "x" * (length - len(URI) - len("?label="))
    first = await world.daemon()
    task = world.asked(uri=uri)
    assert (await received(first))["request"]["uri"] == uri
    reset(first)
    await asyncio.to_thread(world.proxy.wait_line, "disconnected")
    second = await world.daemon()
    if status == 200:
        request = await received(second)
        assert request["request"]["uri"] == uri
        await second.send_json(answer(request))
    assert (await task)[0] == status
