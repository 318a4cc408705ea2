"""The zone gateway's API and registration, asked by an independent client (gateway_client.py)."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import signal

import harness
import pytest
from our_zone import DATA, OPEN, USER, Zone, now

CONVERSATION = json.loads((harness.VECTORS / "gateway_conversation.json").read_text())
DAY_MS = 24 * 3600 * 1000


# ---- the recorded conversation ----

def ours(text, url):
    """The recorded text with the hash of bytes that we know, and our own URL for the zone's."""
    return text.replace("b73f2f5122d2c383393751b3afd805d74e079765", harness.sha1(DATA)) \
        .replace("sha1/b7/3f/2f/", "/".join(["sha1", *(harness.sha1(DATA)[i:i + 2] for i in (0, 2, 4)), ""])) \
        .replace("https://kachery-gateway.figurl.org", url)


def test_recorded_conversation(our_zone):
    """Each request of the Python client gets the recorded answer, but for signed URLs and caching."""
    upload_url, replayed = None, 0
    for entry in CONVERSATION:
        if "/r/" in entry["url"]:
            continue
        replayed += 1
        want = json.loads(ours(json.dumps(entry["response"]), our_zone.server.url))
        if entry["method"] == "PUT":
            headers = {k: v for k, v in entry["requestHeaders"].items() if k not in ("Connection", "Content-Length")}
            status, _, body = harness.http("PUT", upload_url, DATA, headers)
            assert (status, body) == (200, b"")
            continue
        payload = json.loads(ours(json.dumps(entry["json"]["payload"]), our_zone.server.url))
        payload["timestamp"] = now()
        request = our_zone.client.signed(payload)
        status, headers, body = harness.http("POST", our_zone.server.url + "/api/gateway", request)
        if payload.get("size", 0) > 5_000_000_000:  # the deployed gateway's limit: ours is the disk
            assert status == 200 and "signedUploadUrl" in json.loads(body)
            continue
        assert status == entry["status"], (payload, body)
        if status != 200:
            assert headers["Content-Type"] == "text/plain; charset=utf-8"
            text = body.decode()
            if status == 400:
                assert text.startswith("Invalid request: ") and json.loads(text[17:]) == request
            else:
                assert text == want
            continue
        got = json.loads(body)
        for volatile in ("url", "signedUploadUrl", "bucketUri", "cacheHit"):
            assert (volatile in got) == (volatile in want)
            for answer in (got, want):
                if volatile == "signedUploadUrl":
                    upload_url = got.get(volatile, upload_url)
        for volatile in ("url", "signedUploadUrl", "bucketUri", "cacheHit"):
            got.pop(volatile, None)
            want.pop(volatile, None)
        assert got == want
    assert replayed == 12


# ---- requests ----

@pytest.mark.parametrize("elapsed, status", [
    (0, 200), (120_000, 200), (-120_000, 200), (130_000, 500), (-130_000, 500), (DAY_MS, 200), (-DAY_MS, 200),
    (DAY_MS // 2, 500)])
def test_timestamps(our_zone, elapsed, status):
    request = our_zone.client.signed({"type": "getZoneInfo", "zoneName": "default", "timestamp": now() - elapsed})
    got, headers, body = harness.http("POST", our_zone.server.url + "/api/gateway", request)
    assert got == status and "Date" in headers, body


def test_signatures(our_zone):
    status, answer = our_zone.client.call("findFile", hashAlg="sha1", hash="0" * 40)
    assert (status, answer) == (200, {"type": "findFile", "found": False})
    payload = {"type": "findFile", "timestamp": now(), "hashAlg": "sha1", "hash": "0" * 40}
    wrong = our_zone.client.signed(payload)
    wrong["payload"] = {**payload, "hash": "1" * 40}
    assert our_zone.client.post(wrong) == (500, "Error: Invalid signature")
    del wrong["signature"]
    assert our_zone.client.post(wrong)[0] == 500
    assert our_zone.client.post({"payload": payload})[0] == 200


@pytest.mark.parametrize("ascii_only", [True, False])
def test_both_canonical_texts(our_zone, ascii_only):
    payload = {"type": "getResourceInfo", "resourceName": "é\U0001f600\x7f\u2028", "timestamp": now()}
    text = json.dumps(payload, separators=(",", ":"), sort_keys=True, ensure_ascii=ascii_only)
    if ascii_only:
        text = text.replace("\x7f", "\\u007f")
    signature = our_zone.client.key.sign(hashlib.sha1(text.encode()).digest()).hex()
    request = {"payload": payload, "fromClientId": our_zone.client.client_id, "signature": signature}
    assert our_zone.client.post(request) == (200, {"type": "getResourceInfo", "found": False})


@pytest.mark.parametrize("body, headers, status", [
    (b"{", {"Content-Type": "application/json"}, 400),
    (b"[]", {"Content-Type": "application/json"}, 400),
    (b"{}", {"Content-Type": "text/plain"}, 400),
    (b"\xff", {"Content-Type": "application/json"}, 400),
    (b" " * 102400, {"Content-Type": "application/json"}, 400),
    (b" " * 102401, {"Content-Type": "application/json"}, 413)])
def test_bad_bodies(our_zone, body, headers, status):
    got, _, text = harness.http("POST", our_zone.server.url + "/api/gateway", body, headers)
    assert got == status
    if status == 400:
        assert text.startswith(b"Invalid request: ")
    assert harness.http("GET", our_zone.server.url + "/nothing")[0] == 404


def test_anonymous(our_zone):
    our_zone.upload()
    digest = harness.sha1(DATA)
    status, answer = our_zone.anonymous("findFile", hashAlg="sha1", hash=digest)
    assert status == 200 and answer["found"]
    assert harness.http("GET", answer["url"])[2] == DATA
    assert our_zone.anonymous("initiateFileUpload", size=1, hashAlg="sha1", hash=digest) == \
        (500, "Error: No verified client ID or user ID")
    assert our_zone.anonymous("getClientInfo", clientId=our_zone.client.client_id)[1]["client"]["label"] == "l"


def test_unknown_zone(our_zone):
    our_zone.client.zone = "elsewhere"
    assert our_zone.client.call("findFile", hashAlg="sha1", hash="0" * 40) == (500, "Error: Zone not found: elsewhere")
    assert our_zone.client.call("getClientInfo", clientId=our_zone.client.client_id)[1] == \
        {"type": "getClientInfo", "found": False}
    assert our_zone.client.call("getZoneInfo", zone=False, zoneName="elsewhere")[1] == \
        {"type": "getZoneInfo", "found": False}


def test_named_zone(tmp_path, processes):
    zone = Zone(tmp_path, processes, "--zone", "lab.1", "--public-url", "http://hub.example/x/")
    zone.client.zone = "lab.1"
    assert zone.client.call("getZoneInfo", zone=False, zoneName="lab.1")[1]["kacheryGatewayUrl"] == \
        "http://hub.example/x"
    assert zone.client.initiate("0" * 40, 1).startswith("http://hub.example/x/bucket/sha1/00/00/00/")


def test_urls_follow_the_host_header(our_zone):
    """A client that reaches us under another name gets URLs with that name."""
    request = {"payload": {"type": "getZoneInfo", "zoneName": "default", "timestamp": now()}}
    for host, want in (("other.example:81", "http://other.example:81"), ("[::1]:81", "http://[::1]:81"),
                       ("", our_zone.server.url)):
        _, _, body = harness.http("POST", our_zone.server.url + "/api/gateway", request, {"Host": host})
        assert json.loads(body)["kacheryGatewayUrl"] == want
    for host in ("a b", "x/y", "u@h"):
        status, _, body = harness.http("POST", our_zone.server.url + "/api/gateway", request, {"Host": host})
        assert status == 400 or json.loads(body)["kacheryGatewayUrl"] == our_zone.server.url


# ---- uploads ----

def test_finalize(our_zone):
    digest = our_zone.upload()
    client = our_zone.client
    key = f"sha1/{digest[0:2]}/{digest[2:4]}/{digest[4:6]}/{digest}"
    assert client.finalize(digest, len(DATA) + 1) == (500, f"Error: Unexpected object size: 16 <> {len(DATA) + 1}")
    assert client.call("finalizeFileUpload", objectKey="x/" + key, hashAlg="sha1", hash=digest, size=16) == \
        (500, f"Error: Unexpected object key: x/{key}")
    assert client.finalize(digest, len(DATA)) == (200, {"type": "finalizeFileUpload"})
    assert client.call("initiateFileUpload", size=16, hashAlg="sha1", hash=digest) == \
        (200, {"type": "initiateFileUpload", "alreadyExists": True})


def test_damaged_object_is_replaced(our_zone):
    """One that lost its end is uploaded again; a whole one does not give way to a wrong claim."""
    digest = our_zone.upload()
    path = harness.object_path(our_zone.data, digest)
    file = {"hashAlg": "sha1", "hash": digest}
    assert our_zone.client.call("initiateFileUpload", size=len(DATA) + 1, **file) == \
        (500, f"Error: Unexpected object size: 16 <> {len(DATA) + 1}")
    assert path.read_bytes() == DATA
    path.write_bytes(DATA[:-1])
    assert our_zone.client.finalize(digest, len(DATA)) == (500, "Error: Unexpected object size: 15 <> 16")
    assert not path.exists()
    path.write_bytes(DATA[:-1])
    our_zone.upload()
    assert path.read_bytes() == DATA


def test_a_damaged_object_that_is_replaced_while_it_is_looked_at(our_zone):
    """What is deleted is the damaged one, not the good one that came in its place."""
    digest = harness.sha1(DATA)
    url = our_zone.client.initiate(digest, len(DATA))
    path = harness.object_path(our_zone.data, digest)
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.truncate(250 << 20)

    def is_looked_at():
        return harness.has_open(our_zone.server.pid, path)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        refused = pool.submit(our_zone.client.finalize, digest, len(DATA))
        harness.until(lambda: is_looked_at() or refused.done(), "the damaged object is hashed")
        assert harness.http("PUT", url, DATA)[0] == 200
        assert refused.result() == (500, f"Error: Unexpected object size: {250 << 20} <> {len(DATA)}")
    assert path.read_bytes() == DATA


def test_unregistered(tmp_path, processes):
    zone = Zone(tmp_path, processes)
    (zone.data / "clients" / zone.client.client_id).unlink()
    want = "Error: Client not registered. Use kachery-cloud-init to register this kachery-cloud client."
    assert zone.client.call("initiateFileUpload", size=1, hashAlg="sha1", hash="0" * 40) == (500, want)
    assert zone.client.finalize("0" * 40, 1) == (500, want)
    assert zone.client.call("findFile", hashAlg="sha1", hash="0" * 40)[0] == 200
    assert zone.client.call("getClientInfo", clientId=zone.client.client_id)[1]["found"] is False


@pytest.mark.parametrize("settings, upload, download, delete", [
    (None, "User o is not authorized.", None, "User o is not authorized."),
    (OPEN, None, None, "User o is not authorized."),
    ("allowPublicUpload: false\nauthorizedUsers: []\n", "User o is not authorized.", None,
     "User o is not authorized."),
    (USER, "User o not authorized to upload files.", None, "User o not authorized to administer this zone."),
    (USER + "    upload: true\n", None, None, "User o not authorized to administer this zone."),
    (USER + "    admin: true\n", "User o not authorized to upload files.", None, None),
    ("allowPublicDownload: false\n" + USER, "User o not authorized to upload files.",
     "User o not authorized to download files.", "User o not authorized to administer this zone."),
    ("allowPublicDownload: false\n" + USER + "    download: true\n", "User o not authorized to upload files.", None,
     "User o not authorized to administer this zone."),
    (OPEN + "typo: 1\n", "settings/authorizationSettings.yaml:3: unknown key \"typo\"",
     "settings/authorizationSettings.yaml:3: unknown key \"typo\"",
     "settings/authorizationSettings.yaml:3: unknown key \"typo\""),
])
def test_authorization(tmp_path, processes, settings, upload, download, delete):
    zone = Zone(tmp_path, processes, settings=settings)
    file = {"hashAlg": "sha1", "hash": "0" * 40}
    for type_, more, want in (("initiateFileUpload", {"size": 1}, upload), ("findFile", {}, download),
                              ("deleteFile", {}, delete)):
        status, answer = zone.client.call(type_, **file, **more)
        assert (status, answer if want else None) == ((500, f"Error: {want}") if want else (200, None)), answer


def test_closed_downloads_need_a_client(tmp_path, processes):
    zone = Zone(tmp_path, processes, settings="allowPublicDownload: false\n" + OPEN)
    assert zone.anonymous("findFile", hashAlg="sha1", hash="0" * 40) == \
        (500, "Error: No verified client ID or user ID")


def test_delete(tmp_path, processes):
    zone = Zone(tmp_path, processes, settings=USER + "    upload: true\n    admin: true\n")
    digest = zone.upload()
    file = {"hashAlg": "sha1", "hash": digest}
    assert zone.client.call("deleteFile", **file) == (200, {"type": "deleteFile", "success": True})
    assert not harness.object_path(zone.data, digest).exists()
    assert zone.client.call("findFile", **file)[1]["found"] is False
    status, answer = zone.client.call("deleteFile", **file)
    assert status == 200 and answer["success"] is False and answer["error"]


# ---- resources and clients ----

def test_resource_info(our_zone):
    resource = {"resourceName": "res", "ownerId": "o", "timestampCreated": 5, "proxyUrl": "http://p"}
    our_zone.write("resources/res", {**resource, "somethingNewer": True})
    assert our_zone.client.call("getResourceInfo", resourceName="res")[1] == \
        {"type": "getResourceInfo", "found": True, "resource": resource}
    for name in ("none", "..", "../clients", "a/b", ""):
        assert our_zone.client.call("getResourceInfo", resourceName=name)[1]["found"] is False
    our_zone.write("resources/broken", "{")
    assert our_zone.client.call("getResourceInfo", resourceName="broken")[0] == 500


# ---- the command ----

def test_usage(tmp_path):
    env = harness.clean_environment()
    for arguments, part in ((["--listen", "127.0.0.1:0"], b"--data"), (["--data", tmp_path], b"--listen"),
                            (["--listen", "127.0.0.1:0", "--data", tmp_path, "--zone", "a b"], b"--zone \"a b\""),
                            (["--listen", "127.0.0.1:0", "--data", tmp_path, "--public-url", "ftp://x"],
                             b"--public-url")):
        done = harness.run("gateway", *map(str, arguments), env=env, check=2)
        assert part in done.stderr, done.stderr


def test_data_directory_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    done = harness.run("gateway", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "file"), check=1)
    assert b"file" in done.stderr


def test_a_data_directory_that_is_gone_is_no_empty_one(our_zone):
    """As when its disk is not mounted: nobody is told that a file or a client is not there."""
    digest = our_zone.upload()
    url = our_zone.client.find(digest)
    kept = our_zone.data.rename(our_zone.data.with_name("elsewhere"))
    our_zone.data.mkdir()
    for type_, fields in (("findFile", {"hashAlg": "sha1", "hash": digest}), ("getResourceInfo", {"resourceName": "r"}),
                          ("initiateFileUpload", {"hashAlg": "sha1", "hash": "a" * 40, "size": 1})):
        status, words = our_zone.client.call(type_, **fields)
        assert status == 500 and words.startswith("Error: the data directory is not as it was"), words
    assert harness.http("GET", url)[0] == 500
    assert list(our_zone.data.iterdir()) == []
    our_zone.data.rmdir()
    kept.rename(our_zone.data)
    assert harness.http("GET", our_zone.client.find(digest))[2] == DATA


def test_port_in_use(our_zone):
    done = harness.run("gateway", "--listen", f"127.0.0.1:{our_zone.server.port}", "--data", str(our_zone.data), check=1)
    assert f"127.0.0.1:{our_zone.server.port}".encode() in done.stderr


def test_stop(our_zone):
    our_zone.upload()
    our_zone.server.signal(signal.SIGTERM)
    assert our_zone.server.wait() == 0
    assert harness.descendants(our_zone.server.pid) == []
