"""A hub knows the daemons that are connected to it: a bare name is enough, without registering the resource. And the
slashes too many that clients make of a URL which ends with one."""
import asyncio
import json
import time

import harness
import pytest
from gateway_client import GatewayClient
from harness import run
from our_proxy import World, answer, asking, of_generation1, received
from our_zone import SIGNATURES, Zone

NAME = "res-1"


@pytest.fixture
def keys(tmp_path):
    """A folder with the private key of the recorded signatures."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "private.pem").write_text(SIGNATURES["privatePem"] + "\n")
    return folder


@pytest.fixture
def zoned_hub(tmp_path, processes):
    """A hub of ours with a second zone, `lab`, in its folder."""
    (tmp_path / "zone/registered-zones").mkdir(parents=True)
    (tmp_path / "zone/registered-zones/lab").write_text(
        json.dumps({"zone": "lab", "ownerId": "o", "bucketName": "default", "directory": "lab"}))
    env = harness.clean_environment(PROXY_SECRET=harness.SECRET)
    return processes(harness.Server("hub", "--data", tmp_path / "zone", env=env))


def info(at, keys, name=NAME, zone="default", **headers):
    """getResourceInfo's resource, or None. A zone of None is not sent."""
    client = GatewayClient(at.url, keys, zone)
    payload = {"type": "getResourceInfo", "resourceName": name, "timestamp": int(1000 * time.time())}
    if zone is not None:
        payload["zone"] = zone
    status, _, body = harness.http("POST", f"{at.url}/api/gateway", client.signed(payload), headers)
    found = json.loads(body)
    assert status == 200 and found["type"] == "getResourceInfo" and found["found"] == ("resource" in found)
    return found.get("resource")


def lively(hub, test):
    async def main():
        async with World(hub) as world:
            await test(world)
    asyncio.run(asyncio.wait_for(main(), harness.DEADLINE_S))


async def gone(hub, keys, *more, **kw):
    while info(hub, keys, *more, **kw) is not None:
        await asyncio.sleep(0.01)


def test_a_daemon_is_there_while_it_is_connected(zoned_hub, keys):
    async def converse(world):
        assert info(zoned_hub, keys) is None
        before = int(1000 * time.time())
        daemon = await world.daemon()
        found = info(zoned_hub, keys)
        assert before <= found.pop("timestampCreated") <= 1000 * time.time()
        assert found == {"resourceName": NAME, "ownerId": "local", "proxyUrl": zoned_hub.url}
        assert info(zoned_hub, keys, zone=None)["resourceName"] == NAME
        assert info(zoned_hub, keys, zone="lab") is None and info(zoned_hub, keys, zone="none") is None
        assert info(zoned_hub, keys, "res") is None and info(zoned_hub, keys, "../" + NAME) is None
        await daemon.close()
        await gone(zoned_hub, keys)
        await world.daemon()
        assert info(zoned_hub, keys) is not None
    lively(zoned_hub, converse)


@pytest.mark.parametrize("zone, at_home", [("default", True), ("lab", False), (None, True)])
def test_zones(zoned_hub, keys, zone, at_home):
    """Of a zone that the daemon serves; one of the first generation, which tells none, is in the hub's own."""
    async def converse(world):
        await world.daemon(zone=zone)
        assert (info(zoned_hub, keys) is not None) == at_home
        assert (info(zoned_hub, keys, zone="lab") is not None) == (not at_home)
    lively(zoned_hub, converse)


def test_a_daemon_whose_name_is_taken_over(zoned_hub, keys):
    async def converse(world):
        first = await world.daemon()
        since = info(zoned_hub, keys)["timestampCreated"]
        second = await world.dial()
        await second.send_json({"type": "initialize", "resourceName": NAME, "zone": "default", "proxySecret": harness.SECRET})
        while second.closed is False:  # the first one answers the ping while this one reads
            message = await asyncio.wait([asyncio.ensure_future(second.receive()), asyncio.ensure_future(first.receive())],
                                         return_when=asyncio.FIRST_COMPLETED)
            assert message
        assert info(zoned_hub, keys)["timestampCreated"] == since
        await second.close()
        assert info(zoned_hub, keys)["timestampCreated"] == since
    lively(zoned_hub, converse)


def test_wrong_secrets_are_nobody(zoned_hub, keys):
    async def converse(world):
        ws = await world.dial()
        await ws.send_json({"type": "initialize", "resourceName": NAME, "zone": "default", "proxySecret": "guess"})
        await ws.receive()
        assert info(zoned_hub, keys) is None
    lively(zoned_hub, converse)


def test_a_record_wins(tmp_path, zoned_hub, keys):
    async def converse(world):
        await world.daemon()
        record = {"resourceName": NAME, "ownerId": "o", "timestampCreated": 5, "proxyUrl": "https://elsewhere.example"}
        (tmp_path / "zone/resources").mkdir()
        (tmp_path / "zone/resources" / NAME).write_text(json.dumps(record))
        assert info(zoned_hub, keys) == record
        (tmp_path / "zone/resources" / NAME).unlink()
        assert info(zoned_hub, keys)["ownerId"] == "local"
    lively(zoned_hub, converse)


def test_many(zoned_hub, keys):
    async def converse(world):
        daemons = [await world.daemon(f"name-{i}") for i in range(300)]
        for i in range(0, 300, 2):
            await daemons[i].close()
        await gone(zoned_hub, keys, "name-298")
        for i in range(290, 300):
            assert (info(zoned_hub, keys, f"name-{i}") is not None) == (i % 2 == 1)
    lively(zoned_hub, converse)


def test_the_url_of_the_proxy(tmp_path, processes, zoned_hub, keys):
    env = harness.clean_environment(PROXY_SECRET=harness.SECRET)
    public = processes(harness.Server("hub", "--data", tmp_path / "other", "--public-url", "https://hub.example/k/", env=env))

    async def by_host(world):
        await world.daemon()
        assert info(zoned_hub, keys, Host="hub.lan:81")["proxyUrl"] == "http://hub.lan:81"
        assert info(zoned_hub, keys, **{"Host": "hub.lan", "X-Forwarded-Proto": "https"})["proxyUrl"] == "https://hub.lan"

    async def by_option(world):
        await world.daemon()
        assert info(public, keys, Host="hub.lan:81")["proxyUrl"] == "https://hub.example/k"
    lively(zoned_hub, by_host)
    lively(public, by_option)


def test_a_gateway_alone_knows_no_daemons(tmp_path, processes):
    zone = Zone(tmp_path, processes)
    assert zone.client.call("getResourceInfo", resourceName=NAME) == (200, {"type": "getResourceInfo", "found": False})


@pytest.mark.parametrize("generation", [1, 2])
def test_a_client_of_either_generation_finds_it_by_name(zoned_hub, keys, generation):
    """The first looks the name up, and posts to <proxyUrl>/api."""
    async def converse(world):
        daemon = await world.daemon()
        url = info(zoned_hub, keys)["proxyUrl"]
        body = of_generation1(asking()) if generation == 1 else asking()
        path = "/api" if generation == 1 else f"/r/{NAME}"
        task = asyncio.create_task(world.http.post(url + path, json=body).__aenter__())
        await daemon.send_json(answer(await received(daemon)))
        assert (await task).status == 200
    lively(zoned_hub, converse)


def test_a_bare_name_works_at_once(lab):
    """From the first hour: hub, daemon, and a client that only knows the name."""
    path = lab.folder / "recording"
    path.write_bytes(b"recorded " * 1000)
    uri, = lab.link(path)
    lab.share()
    env = lab.environment(lab.remote_store)
    assert run("load", uri, "--resource", lab.name, "-o", str(lab.folder / "copy"), env=env, check=0)
    assert (lab.folder / "copy").read_bytes() == path.read_bytes()
    done = run("request", "sha1://" + "0" * 40, "--resource", "another", env=env)
    assert done.returncode in (1, 3) and b'no resource "another"' in done.stderr


# ---- slashes ----

def test_urls_that_end_with_a_slash(zoned_hub, keys):
    """//api/gateway, and an empty name, as the Python client makes them."""
    client = GatewayClient(zoned_hub.url + "/", keys)
    assert client.call("getZoneInfo", zone=False, zoneName="default")[1]["kacheryGatewayUrl"] == zoned_hub.url
    client.url = zoned_hub.url + "///"
    assert client.call("getZoneInfo", zone=False, zoneName="default")[0] == 200
    assert harness.http("GET", f"{zoned_hub.url}//probe")[2] == b"running."

    async def converse(world):
        daemon = await world.daemon()

        async def asked(path, name):
            task = asyncio.create_task(world.post({**asking(), "resourceName": name}, path=path))
            request = await received(daemon)
            assert request["resourceName"] == NAME
            await daemon.send_json(answer(request))
            return (await task)[0]
        for path, name in ((f"/r/{NAME}/", ""), (f"/r/{NAME}//", ""), (f"//r/{NAME}/", NAME), (f"/r/{NAME}/", NAME), (f"/r/{NAME}", "")):
            assert await asked(path, name) == 200
        for path, name in (("/r/", ""), (f"/r/{NAME}/", "other"), ("/r/other/", NAME)):
            status, body = await world.post({**asking(), "resourceName": name}, path=path)
            assert status in (404, 500) and body["message"]
    lively(zoned_hub, converse)


def test_a_signed_url_below_a_base_that_ends_with_a_slash(tmp_path, processes):
    zone = Zone(tmp_path, processes)
    url = zone.client.find(zone.upload())
    assert harness.http("GET", url.replace("/bucket/", "//bucket/"))[0] == 200
