"""`hub --find-on-hosts`: clients that ask the gateway only find what a connected host has, and read it through the hub;
nothing is uploaded (EXTENSIONS.md §3, "findFile")."""
import hashlib
import time
import urllib.parse

import harness
import pytest
from gateway_client import GatewayClient
from harness import run, until
from python_client import PythonClient
from range_sharing import LEAF, Sharing, noise


@pytest.fixture
def hub_with(tmp_path):
    """`hub_with(*options)`: a lab whose hub has these options, and a daemon that shares."""
    labs = []

    def make(*options):
        lab = harness.Lab(tmp_path)
        labs.append(lab)
        lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "range_start_ms=0"}
        lab.start_hub("127.0.0.1:0", *options)
        lab.register()
        return Sharing(lab)
    yield make
    for lab in labs:
        lab.stop()


def client(lab):
    return GatewayClient(lab.url, str(lab.remote_store), "default")


def find(lab, digest):
    status, answer = client(lab).call("findFile", hashAlg="sha1", hash=digest)
    assert status == 200, answer
    return answer


def objects(lab):
    return [path for path in (lab.data / "sha1").rglob("*") if path.is_file()]


def without_resource(lab):
    """The environment of a user who knows of no resource."""
    env = dict(lab.remote)
    del env["KACHERY_RESOURCE_URL"]
    return env


def be_private(lab):
    settings = next(p for p in lab.data.rglob("*") if p.is_file() and b"allowPublicUpload" in p.read_bytes())
    settings.write_text("allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers:\n"
                        "- userId: local\n  upload: true\n  download: true\n")


@pytest.mark.parametrize("size", [0, 9, LEAF, 3 * LEAF + 5])
def test_what_a_host_has_is_found(hub_with, size):
    sharing = hub_with("--find-on-hosts")
    data = noise(size)
    path = sharing.put("big", data)
    answer = until(lambda: (a := find(sharing.lab, path[3:])) if a_found(sharing.lab, path) else None, "it is found")
    assert answer == {"type": "findFile", "found": True, "size": size, "url": sharing.lab.url + path}
    assert not objects(sharing.lab)
    status, _, body = harness.http("GET", answer["url"])
    assert (status, body) == (200, data)


def a_found(lab, path):
    return find(lab, path[3:])["found"]


def test_by_default_the_bucket_alone_is_asked(hub_with):
    sharing = hub_with()
    path = sharing.put("big", noise(2 * LEAF))
    assert sharing.part(path, 0, 5)
    assert find(sharing.lab, path[3:]) == {"type": "findFile", "found": False}


def test_what_no_host_has_is_not_found_at_once(hub_with):
    sharing = hub_with("--find-on-hosts")
    begun = time.monotonic()
    assert find(sharing.lab, "7" * 40) == {"type": "findFile", "found": False}
    assert time.monotonic() - begun < 5


def test_a_file_without_its_manifest_is_not_found_yet(hub_with):
    sharing = hub_with("--find-on-hosts")
    lab, data = sharing.lab, noise(3 * LEAF)
    (lab.folder / "big").write_bytes(data)
    run("link", "--no-manifest", str(lab.folder / "big"), env=lab.host, check=0)
    digest = hashlib.sha1(data).hexdigest()
    first = find(lab, digest)
    if first["found"]:
        assert "url" in first  # it was made meanwhile
    assert sharing.part(f"/f/{digest}", 0, 9) == data[:9]  # waits for it
    assert until(lambda: find(lab, digest)["found"], "the manifest is made")


def test_it_is_uploaded_when_that_is_asked_for(hub_with):
    sharing = hub_with("--find-on-hosts")
    lab, data = sharing.lab, noise(3 * LEAF)
    path = sharing.put("big", data)
    until(lambda: a_found(lab, path), "it is found")
    status, answer = client(lab).call("initiateFileUpload", size=len(data), hashAlg="sha1", hash=path[3:])
    assert status == 200 and not answer["alreadyExists"] and answer["signedUploadUrl"]
    run("request", "--wait", f"sha1://{path[3:]}", env=lab.remote, check=0)
    answer = find(lab, path[3:])
    assert answer["objectKey"].endswith(path[3:]) and "/bucket/" in answer["url"]
    assert len(objects(lab)) == 1


def test_python_users_need_no_resource(hub_with):
    sharing = hub_with("--find-on-hosts")
    lab, data = sharing.lab, noise(4 * LEAF + 1)
    path = sharing.put("big", data)
    uri = f"sha1://{path[3:]}"
    until(lambda: a_found(lab, path), "it is found")
    python = PythonClient(without_resource(lab))
    got = python.request_file(uri, 5, resource_url=f"{lab.url}/r/{lab.name}")
    assert (got["found"], got["completed"], got["local"], got["size"]) == (True, True, False, len(data))
    assert not objects(lab)
    with open(python.load_file(uri), "rb") as file:
        assert file.read() == data


def test_our_own_client_reads_it(hub_with):
    sharing = hub_with("--find-on-hosts")
    lab, data = sharing.lab, noise(4 * LEAF + 1)
    path = sharing.put("big", data)
    until(lambda: a_found(lab, path), "it is found")
    target = lab.folder / "copy"
    run("load", f"sha1://{path[3:]}", "-o", str(target), env=without_resource(lab), check=0)
    assert target.read_bytes() == data


def test_in_a_private_zone_the_url_opens_for_an_hour(hub_with):
    sharing = hub_with("--find-on-hosts")
    lab, data = sharing.lab, noise(2 * LEAF + 1)
    path = sharing.put("big", data)
    other = sharing.put("other", noise(LEAF, 2))
    be_private(lab)
    answer = until(lambda: (a := find(lab, path[3:]))["found"] and "~" in a["url"] and a, "it is found")
    assert set(answer) == {"type", "found", "size", "url"}
    place = urllib.parse.urlsplit(answer["url"]).path
    got, body = sharing.ask(place)
    assert (got.status, body) == (200, data)
    assert got.headers["Cache-Control"] == "private, no-store"
    assert sharing.part(place, LEAF, LEAF + 9) == data[LEAF:LEAF + 9]
    token, _, name = place[len("/f/~"):].partition("/")
    expires = int(token[40:50])
    assert 3500 < expires - time.time() <= 3600
    for wrong in (f"/f/~{token}/x", f"/f/~{token}/{other[3:]}", f"/f/~{other[3:]}{token[40:]}/{other[3:]}",
                  f"/f/~{token[:40]}{expires + 1}{token[50:]}/{name}", f"/f/~{token[:-2]}/{name}", f"/d/~{token}/{name}",
                  f"/f/~{token}00/{name}", f"/f/~{token[:50]}{'0' * 64}{token[114:]}/{name}", path):
        assert sharing.ask(wrong)[0].status == 404, wrong
    anonymous = harness.http("POST", f"{lab.url}/api/gateway", {"payload": {
        "type": "findFile", "timestamp": int(time.time() * 1000), "hashAlg": "sha1", "hash": path[3:], "zone": "default"}})
    assert anonymous[0] == 500 and b"~" not in anonymous[2]


def test_a_url_ends_with_the_permission_of_its_maker(hub_with):
    sharing = hub_with("--find-on-hosts")
    lab, data = sharing.lab, noise(2 * LEAF + 1)
    path = sharing.put("big", data)
    be_private(lab)
    answer = until(lambda: (a := find(lab, path[3:]))["found"] and "~" in a["url"] and a, "it is found")
    place = urllib.parse.urlsplit(answer["url"]).path
    assert sharing.ask(place)[0].status == 200
    settings = next(p for p in lab.data.rglob("*") if p.is_file() and b"allowPublicUpload" in p.read_bytes())
    settings.write_text("allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers: []\n")
    until(lambda: sharing.ask(place)[0].status == 404, "the settings are read again")


def test_a_file_of_another_zone_is_found_there(hub_with, tmp_path):
    sharing = hub_with("--find-on-hosts")
    lab, data = sharing.lab, noise(2 * LEAF + 1)
    (lab.data / "registered-zones").mkdir()
    (lab.data / "registered-zones" / "second").write_text(
        '{"zone":"second","ownerId":"x","bucketName":"default","directory":"zones/second"}')
    settings = lab.data / "zones" / "second" / "settings"
    settings.mkdir(parents=True)
    (settings / "authorizationSettings.yaml").write_text(
        "allowPublicUpload: true\nallowPublicDownload: true\nauthorizedUsers: []\n")
    second = harness.Lab(tmp_path / "second", "second") if (tmp_path / "second").mkdir() is None else None
    second.hub = lab.hub
    env = {**second.host, "KACHERY_ZONE": "second"}
    run("register", "--label", "second", env=env, check=0)
    (second.folder / "big").write_bytes(data)
    run("link", str(second.folder / "big"), env=env, check=0)
    second.write_config()
    second.config.write_text(second.config.read_text().replace("kacheryZone: default", "kacheryZone: second"))
    second.share(env=env)
    digest = hashlib.sha1(data).hexdigest()
    try:
        assert find(lab, digest) == {"type": "findFile", "found": False}
        ask = GatewayClient(lab.url, str(second.host_store), "second")

        def look():
            status, answer = ask.call("findFile", hashAlg="sha1", hash=digest)
            assert status == 200, answer
            return answer if answer["found"] else None
        answer = until(look, "it is found")
        place = urllib.parse.urlsplit(answer["url"]).path
        assert place.startswith("/f/~")
        got, body = sharing.ask(place)
        assert (got.status, body) == (200, data)
        assert sharing.ask(f"/f/{digest}")[0].status == 404
    finally:
        second.stop()


# ---- what is read whole is kept ----

def kept(sharing, path):
    """Waits until findFile finds an object."""
    return until(lambda: find(sharing.lab, path[3:]).get("objectKey"), "it is an object")


@pytest.mark.parametrize("size", [9, LEAF + 1, 40 * LEAF + 5])
def test_what_is_read_whole_becomes_an_object(hub_with, size):
    """Once: its bytes leave the host no second time, and it outlives the host."""
    sharing = hub_with("--find-on-hosts")
    data = noise(size)
    path = sharing.put("big", data)
    until(lambda: a_found(sharing.lab, path), "it is found")
    assert sharing.ask(path)[1] == data
    kept(sharing, path)
    assert [file.read_bytes() for file in objects(sharing.lab)] == [data]
    sharing.daemon.stop()
    assert sharing.ask(path)[1] == data and not list((sharing.lab.data / ".hub/uploads").iterdir())
    assert harness.manifest_of_object(sharing.lab.data, path[3:]).exists() == (size > LEAF)


def test_other_readings_keep_nothing(hub_with):
    """Parts, named files, readers that go away, and files that are not what their address says."""
    sharing = hub_with("--find-on-hosts")
    data = noise(8 * LEAF)
    path = sharing.put("big", data)
    until(lambda: a_found(sharing.lab, path), "it is found")
    name = hashlib.sha1(b"big").hexdigest()[:8]
    assert sharing.ask(f"{path}.{name}/big")[1] == data
    assert sharing.part(path, 0, 8 * LEAF - 1) == data[:-1] and sharing.part(path, 1, 8 * LEAF) == data[1:]
    assert sharing.ask(path, "HEAD")[0].status == 200 and len(sharing.ask(f"{path}?manifest")[1]) == 68 + 9 * 32
    connection = sharing.connect()
    connection.request("GET", path)
    connection.getresponse().read(LEAF)
    connection.close()
    until(lambda: not list((sharing.lab.data / ".hub/uploads").iterdir()), "what was begun is gone")
    assert not objects(sharing.lab)


def test_without_the_option_nothing_is_kept(hub_with):
    sharing = hub_with()
    data = noise(2 * LEAF)
    path = sharing.put("big", data)
    assert sharing.ask(path)[1] == data
    assert not objects(sharing.lab) and not list((sharing.lab.data / ".hub/uploads").iterdir())


def test_a_full_bucket_does_not_disturb_the_reader(hub_with):
    sharing = hub_with("--find-on-hosts")
    data = noise(3 * LEAF)
    path = sharing.put("big", data)
    until(lambda: a_found(sharing.lab, path), "it is found")
    (sharing.lab.data / ".hub/uploads").rmdir()
    (sharing.lab.data / ".hub/uploads").write_text("no folder")
    assert sharing.ask(path)[1] == data
    sharing.lab.hub.wait_line("is not kept in the bucket")
    assert not objects(sharing.lab)
