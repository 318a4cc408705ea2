"""A real S3 server, Ceph's radosgw, over TLS, with presigned URLs made by botocore, behind a proxy that cuts lines:
whatever is cut where, no partial and no wrong object is ever there."""
import datetime
import os
import pathlib
import shutil
import signal
import subprocess
import types
from unittest import mock

import botocore.auth
import botocore.config
import botocore.exceptions
import botocore.session
import harness
import pytest
from cutting_proxy import Cut, CuttingProxy
from harness import run, sha1
from zone_double import ZoneDouble, flip, object_key, text, written

HERE = pathlib.Path(__file__).parent
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")
MISSING = [program for program in PROGRAMS if not shutil.which(program)]
pytestmark = [pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"), pytest.mark.timeout(300)]
SIZE = 3_000_003
ONCE = "pause_min_ms=10,pause_max_ms=50,attempts=1,lost_ms=0"


class RadosGateway:
    def __init__(self, folder):
        self.folder, self.port = folder, harness.free_port()
        self.control("up", harness.free_port(), self.port, harness.free_port())
        self.env = {"SSL_CERT_FILE": str(folder / "ca.pem")}
        self.client = self.client_at(self.port)
        self.client.create_bucket(Bucket="zone")

    def control(self, verb, *ports):
        done = subprocess.run(["bash", str(HERE / "fixtures" / "rgw.sh"), verb, str(self.folder), *map(str, ports)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180)
        assert done.returncode == 0, done.stdout.decode()

    def client_at(self, port):
        return botocore.session.get_session().create_client(
            "s3", region_name="us-east-1", endpoint_url=f"https://localhost:{port}", verify=str(self.folder / "ca.pem"),
            aws_access_key_id="AKIATESTTESTTESTTEST", aws_secret_access_key="secret/With+Chars/0123456789abcdefghij",
            config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))

    def objects(self):
        return {entry["Key"]: entry["Size"] for entry in self.client.list_objects_v2(Bucket="zone").get("Contents", [])}

    def read(self, digest):
        return self.client.get_object(Bucket="zone", Key=object_key(digest))["Body"].read()

    def empty(self):
        for key in self.objects():
            self.client.delete_object(Bucket="zone", Key=key)


class RadosZone(ZoneDouble):
    """A zone whose bucket is that server, through the proxy."""

    def __init__(self, server, proxy):
        self.server, self.client_there = server, server.client_at(proxy.port)
        self.spoil = []  # functions of a signed URL, one for each URL in turn
        super().__init__()

    def size_of(self, digest):
        try:
            return self.server.client.head_object(Bucket="zone", Key=object_key(digest))["ContentLength"]
        except botocore.exceptions.ClientError:
            return None

    def signed(self, key, verb):
        make = self.spoil.pop(0) if self.spoil else lambda sign: sign()
        return make(lambda: self.client_there.generate_presigned_url(f"{verb}_object", Params={"Bucket": "zone", "Key": key},
                                                                     ExpiresIn=1800))

    def _findFile(self, payload):
        size = self.size_of(payload["hash"])
        self.objects = {} if size is None else {payload["hash"]: bytes(size)}
        return super()._findFile(payload)

    def _initiateFileUpload(self, payload):
        self.objects = {} if self.size_of(payload["hash"]) is None else {payload["hash"]: b""}
        return super()._initiateFileUpload(payload)

    def _finalizeFileUpload(self, payload):
        size = self.size_of(payload["hash"])
        if size is None:
            return 500, "Error: Error getting metadata for object: null"
        if size != payload["size"]:
            return 500, f"Error: Unexpected object size: {size} <> {payload['size']}"
        return 200, {"type": "finalizeFileUpload"}


def an_hour_ago(sign):
    """Signed by a clock that is an hour behind: it lived 30 minutes."""
    class Past(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.utcnow() - datetime.timedelta(hours=1)
    with mock.patch.object(botocore.auth, "datetime", types.SimpleNamespace(datetime=Past)):
        return sign()


def tampered(sign):
    url = sign()
    return url[:-1] + ("0" if url[-1] != "0" else "1")


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Ceph's radosgw for all tests of this file."""
    made = None
    folder = tmp_path_factory.mktemp("rgw")
    try:
        made = RadosGateway(folder)
        yield made
    finally:
        subprocess.run(["bash", str(HERE / "fixtures" / "rgw.sh"), "down", str(folder)], timeout=60)


@pytest.fixture
def line(server):
    """A proxy before `server` that cuts connections; the bucket is empty."""
    server.empty()
    made = CuttingProxy(server.port)
    yield made
    made.stop()


@pytest.fixture
def s3_zone(server, line):  # in place of the usual one
    """`zone` with `server` for its bucket, through `line`."""
    double = RadosZone(server, line)
    yield double
    double.stop()
    assert double.problems == []


@pytest.fixture
def s3_user(s3_zone, store):
    """The environment of a user with keys, registered with that zone."""
    _, env = store
    env["KACHERY_GATEWAY_URL"] = s3_zone.url
    s3_zone.opens_registration = True
    run("register", "--label", "test", env=env, check=0)
    s3_zone.payloads.clear()
    return env


def store(server, user, tmp_path, data, check=0, patience=None):
    env = {**user, **server.env, **({"KACHERY_RESOURCE_TEST_PATIENCE": patience} if patience else {})}
    return run("store", str(written(tmp_path, "file", data)), env=env, check=check)


def nothing_wrong(server, data):
    """No object, or exactly the right one."""
    found = server.objects()
    assert found in ({}, {object_key(sha1(data)): len(data)})
    assert not found or server.read(sha1(data)) == data
    uploads = server.client.list_multipart_uploads(Bucket="zone").get("Uploads", [])
    assert uploads == []
    return found


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 5_000_000])
def test_there_and_back(server, s3_zone, line, s3_user, tmp_path, size):
    data = os.urandom(size)
    store(server, s3_user, tmp_path, data)
    assert server.read(sha1(data)) == data
    run("load", f"sha1://{sha1(data)}", "-o", str(tmp_path / "out"), env={**s3_user, **server.env}, check=0)
    assert (tmp_path / "out").read_bytes() == data


@pytest.fixture(scope="session")
def wire_bytes(server, tmp_path_factory):
    """What an upload of SIZE bytes is on the wire, handshake and all."""
    line = CuttingProxy(server.port)
    server.empty()
    zone = RadosZone(server, line)
    zone.opens_registration = True
    folder = tmp_path_factory.mktemp("measure")
    env = harness.clean_environment(HOME=folder, KACHERY_CLOUD_DIR=folder / "store", KACHERY_GATEWAY_URL=zone.url, **server.env)
    run("register", env=env, check=0)
    run("store", str(written(folder, "file", os.urandom(SIZE))), env=env, check=0)
    zone.stop()
    line.stop()
    return line.passed[0]["up"]


OFFSETS = [1, 100, 200, 350, 500, 700, 1000, 2000, 10000, 66000, 131072, 262144, 500000, 1000000, 1500000, 2000000, 2500000,
           -140000, -80000, -70000, -66000, -65700, -65000, -33000, -16000, -1000, -100, -40, -31, -10]
GOODBYE = 31  # TLS's close_notify, the last record: before it all of the body is there


@pytest.mark.parametrize("offset", OFFSETS)
def test_an_upload_that_is_cut_anywhere(server, s3_zone, line, s3_user, tmp_path, wire_bytes, offset):
    at = offset if offset > 0 else wire_bytes + offset
    data = os.urandom(SIZE)
    line.cuts = [Cut(up=at)]
    is_whole = 0 > offset >= -GOODBYE
    done = store(server, s3_user, tmp_path, data, check=None if is_whole else 1, patience=ONCE)
    assert is_whole or line.passed[0]["up"] == at
    found = nothing_wrong(server, data)
    assert found if done.returncode == 0 else is_whole or not found
    server.empty()
    line.cuts = [Cut(up=at), Cut(up=at)]
    store(server, s3_user, tmp_path, data)
    assert nothing_wrong(server, data) and (is_whole or len(line.passed) == 1 + 3)


@pytest.mark.parametrize("offset", [1000, 1_000_000, 2_900_000])
def test_a_killed_upload(server, s3_zone, line, s3_user, tmp_path, processes, offset):
    data = os.urandom(SIZE)
    storing = harness.Process("store", str(written(tmp_path, "file", data)), env={**s3_user, **server.env})
    processes(storing)
    line.cuts = [Cut(up=offset, then=lambda: storing.signal(signal.SIGKILL))]
    assert storing.wait() in (-signal.SIGKILL, 0)
    harness.until(lambda: line.passed, "the connection")
    if storing.process.returncode:
        assert nothing_wrong(server, data) == {}
    store(server, s3_user, tmp_path, data)
    assert nothing_wrong(server, data)


@pytest.mark.parametrize("which", [0, 1_500_000, SIZE - 1])
def test_a_file_that_changes_under_way_is_never_published(server, s3_zone, line, s3_user, tmp_path, which):
    data = os.urandom(1 << 20) * 48  # enough not to be read before it is flipped
    path = tmp_path / "file"
    line.cuts = [Cut(up=600_000, then=lambda: flip(path, which if which == 0 else len(data) - 1))]
    done = store(server, s3_user, tmp_path, data, check=1)
    assert "the file has changed: its SHA-1 is" in text(done.stderr)
    assert server.objects() == {}


@pytest.mark.parametrize("spoil", [an_hour_ago, tampered])
def test_a_url_that_is_refused_costs_no_bytes(server, s3_zone, line, s3_user, tmp_path, spoil):
    data = os.urandom(SIZE)
    s3_zone.spoil = [spoil]
    store(server, s3_user, tmp_path, data)
    assert nothing_wrong(server, data) and len(line.passed) == 2
    assert line.passed[0]["up"] < 4096 and line.passed[1]["up"] > SIZE
    assert [p["type"] for p in s3_zone.payloads] == ["initiateFileUpload"] * 2 + ["finalizeFileUpload"]


@pytest.mark.parametrize("spoil, words", [(an_hour_ago, "AccessDenied"), (tampered, "SignatureDoesNotMatch")])
def test_the_reason_reaches_the_user(server, s3_zone, line, s3_user, tmp_path, spoil, words):
    s3_zone.spoil = [spoil] * 2
    done = store(server, s3_user, tmp_path, os.urandom(SIZE), check=1)
    assert f"the bucket answered 403 Forbidden: {words}" in text(done.stderr) and "Signature=" not in text(done.stderr)
    assert server.objects() == {} and sum(passed["up"] for passed in line.passed) < 8192


@pytest.mark.parametrize("offset", [1, 1000, 2000, 5000, 100_000, 1_000_000, 2_999_000])
def test_a_download_that_is_cut_anywhere(server, s3_zone, line, s3_user, tmp_path, offset):
    data = os.urandom(SIZE)
    server.client.put_object(Bucket="zone", Key=object_key(sha1(data)), Body=data)
    line.cuts = [Cut(down=offset), Cut(down=offset)]
    run("load", f"sha1://{sha1(data)}", "-o", str(tmp_path / "out"), env={**s3_user, **server.env}, check=0)
    assert (tmp_path / "out").read_bytes() == data and len(line.passed) == (3 if offset < SIZE // 2 else 2)
    # Nothing comes twice but what the cut lines had on their way, and heads.
    assert sum(passed["down"] for passed in line.passed) < SIZE + 3 * 20000 + 2 * 140000


def test_a_download_goes_on_with_a_new_url(server, s3_zone, line, s3_user, tmp_path):
    data = os.urandom(SIZE)
    server.client.put_object(Bucket="zone", Key=object_key(sha1(data)), Body=data)
    s3_zone.spoil = [an_hour_ago]
    line.cuts = [Cut(), Cut(down=1_000_000)]
    run("load", f"sha1://{sha1(data)}", "-o", str(tmp_path / "out"), env={**s3_user, **server.env}, check=0)
    assert (tmp_path / "out").read_bytes() == data
    assert [p["type"] for p in s3_zone.payloads] == ["findFile"] * 2
