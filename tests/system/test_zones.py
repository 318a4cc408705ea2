"""A data directory as a deployed zone's bucket has it, with more zones in it; and what we write there, as a deployed
gateway would read it."""
import json

import harness
import pytest
from gateway_client import GatewayClient
from harness import run, sha1
from our_zone import DATA, OPEN, SIGNATURES, USER, Zone, new_client, registered

LAB = {"zone": "lab", "ownerId": "github|somebody", "bucketName": "default", "directory": "zones/lab"}
CLIENT = SIGNATURES["clientId"]
LONGEST = "/".join(["d" * 127] * 3 + ["d" * 128])
assert len(LONGEST) == 512


def key_of(digest, directory=""):
    return f"{directory}sha1/{digest[0:2]}/{digest[2:4]}/{digest[4:6]}/{digest}"


def deployed(at):
    """Fills a data directory with what deployed programs leave in a bucket, indented as they write it."""
    def put(name, content):
        at.write(name, json.dumps(content, indent=4))
    put("registered-zones/lab", LAB)
    put("registered-zones/old", {"ownerId": "github|somebody", "bucketName": "default", "directory": "zones/old/"})
    put("users/github|somebody", {"clientIds": [CLIENT], "resourceNames": ["res"], "zones": ["lab", "old"]})
    put(f"clients/{'ab' * 32}", {"clientId": "ab" * 32, "ownerId": "github|somebody", "timestampCreated": 1,
                                 "label": "browser", "privateKeyHex": "5e" * 32})
    put("resources/res", {"resourceName": "res", "ownerId": "o", "timestampCreated": 2, "proxyUrl": "https://default"})
    for name in ("usage/2023-01-01.json", "uploads/sha1/00/11/22/x", "zones/stray", "robots.txt"):
        at.write(name, "what we do not know")
    at.write("zones/lab/settings/authorizationSettings.yaml",
             "# by hand\nallowPublicUpload: false\nauthorizedUsers:\n  - userId: github|labmember\n    upload: true\n"
             "    admin: true\n")
    put("zones/lab/resources/res", {"resourceName": "res", "ownerId": "github|labmember", "timestampCreated": 3,
                                    "proxyUrl": "https://lab"})


def tree(at):
    return {str(p.relative_to(at.data)): p.read_bytes() for p in at.data.rglob("*")
            if p.is_file() and ".hub" not in p.parts}


@pytest.fixture
def two_zones(tmp_path, processes):
    """A gateway of ours whose folder has a second zone, laid out as a deployed one."""
    at = Zone(tmp_path, processes)
    deployed(at)
    return at


def in_zone(at, name, keys=None):
    client = GatewayClient(at.server.url, keys or at.keys)
    client.zone = name
    return client


def member(at, folder, directory="zones/lab"):
    """A client of the lab's zone alone."""
    client = new_client(at, folder)
    client.zone = "lab"
    at.write(f"{directory}/clients/{client.client_id}", {
        "clientId": client.client_id, "ownerId": "github|labmember", "timestampCreated": 4, "label": "m"})
    return client


def test_each_zone_has_its_own_clients_resources_and_objects(two_zones, tmp_path):
    lab = member(two_zones, tmp_path / "member")
    digest = sha1(DATA)
    url = lab.initiate(digest, len(DATA))
    assert "/bucket/zones/lab/sha1/" in url
    assert harness.http("PUT", url, DATA)[0] == 200
    finalize = {"hashAlg": "sha1", "hash": digest, "size": len(DATA)}
    assert lab.call("finalizeFileUpload", objectKey=key_of(digest), **finalize)[0] == 500
    assert lab.call("finalizeFileUpload", objectKey=key_of(digest, "zones/lab/"), **finalize)[0] == 200
    assert (two_zones.data / key_of(digest, "zones/lab/")).read_bytes() == DATA
    assert not (two_zones.data / key_of(digest)).exists()

    status, answer = lab.call("findFile", hashAlg="sha1", hash=digest)
    assert answer["found"] and answer["objectKey"] == key_of(digest, "zones/lab/")
    assert harness.http("GET", answer["url"])[2] == DATA
    assert harness.http("GET", answer["url"].replace("zones/lab/", ""))[0] == 403
    file = {"hashAlg": "sha1", "hash": digest}
    assert two_zones.client.call("findFile", **file)[1]["found"] is False
    assert two_zones.client.call("initiateFileUpload", size=len(DATA), **file)[1]["alreadyExists"] is False

    assert in_zone(two_zones, "lab").call("initiateFileUpload", size=1, **file)[1].startswith("Error: Client not registered")
    assert in_zone(two_zones, "default", tmp_path / "member").call("initiateFileUpload", size=1, **file)[0] == 500
    assert [c.call("getClientInfo", clientId=lab.client_id)[1]["found"] for c in (two_zones.client, lab)] == [False, True]
    assert [c.call("getResourceInfo", resourceName="res")[1]["resource"]["proxyUrl"] for c in (two_zones.client, lab)] == \
        ["https://default", "https://lab"]
    assert lab.call("deleteFile", **file) == (200, {"type": "deleteFile", "success": True})
    assert two_zones.client.call("deleteFile", **file)[0] == 500


@pytest.mark.parametrize("name, found", [
    ("default", True), ("lab", True), ("old", True), ("none", False), ("Lab", False), ("..", False),
    ("../registered-zones/lab", False), ("lab/", False), (".", False), ("a b", False), ("lab\n", False)])
def test_zones_are_found_by_name(two_zones, name, found):
    client = in_zone(two_zones, name)
    status, answer = client.call("getZoneInfo", zone=False, zoneName=name)
    assert (status, answer["found"]) == (200, found)
    status, answer = client.call("findFile", hashAlg="sha1", hash="0" * 40)
    assert (status, answer) == ((200, {"type": "findFile", "found": False}) if found else
                                (500, f"Error: Zone not found: {name}"))


@pytest.mark.parametrize("record, words", [
    ({**LAB, "directory": "../outside"}, "Bad directory"), ({**LAB, "directory": "/tmp"}, "Bad directory"),
    ({**LAB, "directory": ".hub"}, "Bad directory"), ({**LAB, "directory": "a/../b"}, "Bad directory"),
    ({**LAB, "directory": "a//b"}, "Bad directory"), ({**LAB, "directory": LONGEST + "d"}, "Bad directory"),
    ({**LAB, "ownerId": ""}, "No ownerId for zone: lab"), ({**LAB, "bucketName": 5}, "No bucketName for zone: lab"),
    ({**LAB, "bucketName": "kempner"}, "in another bucket"), ("{", "registered-zones/lab"), ("[]", "No ownerId")])
def test_a_record_that_cannot_be_followed(two_zones, record, words):
    two_zones.write("registered-zones/lab", record)
    before = tree(two_zones)
    lab = in_zone(two_zones, "lab")
    for call in (dict(type_="findFile", hashAlg="sha1", hash="0" * 40),
                 dict(type_="initiateFileUpload", hashAlg="sha1", hash="0" * 40, size=1)):
        status, answer = lab.call(**call)
        assert status == 500 and words in answer, answer
    assert tree(two_zones) == before
    assert two_zones.client.call("findFile", hashAlg="sha1", hash="0" * 40)[0] == 200


@pytest.mark.parametrize("record, directory", [
    ({**LAB, "directory": "zones/lab/"}, "zones/lab/"), ({**LAB, "directory": LONGEST}, None),
    ({**LAB, "directory": "ä b/☃"}, "ä b/☃/"), ({**LAB, "directory": ""}, ""),
    ({k: v for k, v in LAB.items() if k != "directory"}, ""), ({**LAB, "somethingNewer": {}}, "zones/lab/")])
def test_directories(two_zones, tmp_path, record, directory):
    two_zones.write("registered-zones/lab", record)
    if directory is None:
        assert in_zone(two_zones, "lab").call("findFile", hashAlg="sha1", hash="0" * 40)[0] == 200
        return
    client = member(two_zones, tmp_path / "member", directory.rstrip("/") or ".")
    two_zones.write(f"{directory}settings/authorizationSettings.yaml", OPEN)
    digest = sha1(DATA)
    assert harness.http("PUT", client.initiate(digest, len(DATA)), DATA)[0] == 200
    assert (two_zones.data / key_of(digest, directory)).read_bytes() == DATA
    assert client.call("findFile", hashAlg="sha1", hash=digest)[1]["objectKey"] == key_of(digest, directory)


def test_the_zone_of_the_command_line_is_the_whole_directory(tmp_path, processes):
    at = Zone(tmp_path, processes, "--zone", "mine")
    deployed(at)
    at.write("registered-zones/mine", {**LAB, "zone": "mine", "directory": "elsewhere"})
    at.write("registered-zones/own", {**LAB, "zone": "own", "bucketName": "mine"})
    digest = sha1(DATA)
    mine = in_zone(at, "mine")
    assert "/bucket/sha1/" in mine.initiate(digest, len(DATA))
    assert in_zone(at, "own").call("findFile", hashAlg="sha1", hash=digest)[0] == 200
    assert in_zone(at, "default").call("findFile", hashAlg="sha1", hash=digest)[0] == 500


def test_secrets_of_clients_stay(two_zones):
    status, answer = two_zones.client.call("getClientInfo", clientId="ab" * 32)
    assert set(answer["client"]) == {"clientId", "ownerId", "timestampCreated", "label"}
    status, _, body = harness.http("GET", f"{two_zones.server.url}/client/{'ab' * 32}")
    assert status == 200 and b"5e5e" not in body


def test_what_we_do_not_know_stays_as_it_is(two_zones, tmp_path):
    before = tree(two_zones)
    two_zones.upload()
    lab = member(two_zones, tmp_path / "member")
    assert harness.http("PUT", lab.initiate(sha1(DATA), len(DATA)), DATA)[0] == 200
    two_zones.server.stop()
    two_zones.start()
    after = tree(two_zones)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) == {key_of(sha1(DATA)), key_of(sha1(DATA), "zones/lab/"),
                                        f"zones/lab/clients/{lab.client_id}"}


def is_client(x):
    """The deployed gateway's check: these fields of these types, and no other."""
    return set(x) == {"clientId", "ownerId", "timestampCreated", "label"} and type(x["timestampCreated"]) is int and \
        all(isinstance(x[k], str) for k in ("clientId", "ownerId", "label"))


@pytest.mark.parametrize("name, directory", [("default", ""), ("lab", "zones/lab/"), ("old", "zones/old/")])
def test_open_registration_writes_what_a_deployed_gateway_reads(tmp_path, processes, name, directory):
    at = Zone(tmp_path, processes, "--open-registration", settings=None)
    deployed(at)
    before = tree(at)
    client = new_client(at, tmp_path / "new")
    client.zone = name
    assert registered(at, client, zone=name)[0] == 200
    after = tree(at)
    assert {n: after[n] for n in before} == before, "settings of others' making stay, too"
    assert is_client(json.loads(after[f"{directory}clients/{client.client_id}"]))
    assert before["settings/authorizationSettings.yaml"].decode() == \
        "allowPublicUpload: true\nallowPublicDownload: true\nauthorizedUsers: []\n"
    assert set(after) - set(before) == {f"{directory}clients/{client.client_id}"}
    status, answer = client.call("initiateFileUpload", size=1, hashAlg="sha1", hash="0" * 40)
    assert (status, answer if name != "default" else None) == \
        ((500, "Error: User local is not authorized.") if name != "default" else (200, None))
    assert registered(at, client, zone="none")[0] == 404


def test_commands_in_another_zone(tmp_path, processes):
    """register, store and load of one user in a zone of a hub that has several."""
    at = Zone(tmp_path, processes, "--open-registration", settings=USER)
    deployed(at)
    at.write("zones/old/settings/authorizationSettings.yaml", OPEN)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store", KACHERY_ZONE="old",
                                    KACHERY_GATEWAY_URL=at.server.url)
    run("register", env=env, check=0)
    run("store", str(path), env=env, check=0)
    assert (at.data / key_of(sha1(DATA), "zones/old/")).read_bytes() == DATA
    uri = f"sha1://{sha1(DATA)}"
    assert run("cat", uri, env={**env, "KACHERY_CLOUD_DIR": str(tmp_path / "other")}, check=0).stdout == DATA
    assert run("info", uri, env={**env, "KACHERY_ZONE": "default"}).returncode == 3
    done = run("info", uri, env={**env, "KACHERY_ZONE": "none"}, check=1)
    assert b"Zone not found: none" in done.stderr
