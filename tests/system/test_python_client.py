"""What the README promises to users of the Python client: it and ours take turns, and neither notices."""
import json
import os

import pytest
from harness import http, object_path, run, sha1
from python_client import PythonClient
from store_files import put

SIZES = [0, 1, 1_000_000, 1_000_001, 3 << 20]


@pytest.fixture
def python_lab(lab):
    """A lab whose host shares, and Python clients at both ends."""
    lab.share()
    lab.python, lab.python_at_host = PythonClient(lab.environment(lab.remote_store)), PythonClient(lab.host)
    lab.resource = lab.remote["KACHERY_RESOURCE_URL"]
    return lab


def data_of(size, seed):
    return (bytes([seed]) + bytes(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize("linked_by", ["us", "python"])
def test_request_and_load_what_the_host_shares(python_lab, tmp_path, linked_by):
    for size in SIZES:
        data = data_of(size, 1)
        path = put(str(tmp_path / "data" / f"file {size}"), data)
        uri = python_lab.link(path)[0] if linked_by == "us" else python_lab.python_at_host.link_file(path)
        got = python_lab.python.request_file(f"{uri}?label=x", 10.0, python_lab.resource)
        assert got["found"] and got["completed"] and not got["queued"] and not got["running"], got
        assert got["size"] == got["bytes_uploaded"] == size and got["errored"] is False
        got = python_lab.python.request_file(uri, 10)
        assert got["found"] and got["completed"] and got["queued"] is None and got["bytes_uploaded"] is None
        place = python_lab.python.load_file(uri)
        with open(place, "rb") as f:
            assert f.read() == data
        ours = json.loads(run("request", "--json", uri, env=python_lab.remote, check=0).stdout)
        assert ours == python_lab.python.request_file(uri, 10) and ours["local"]


def test_the_zone_takes_and_gives(python_lab, tmp_path):
    for size in SIZES:
        theirs = put(str(tmp_path / "theirs" / str(size)), data_of(size, 2))
        uri = python_lab.python.store_file(theirs, label="é/a b?&")
        assert run("cat", uri, env=python_lab.remote, check=0).stdout == data_of(size, 2)
        again = run("store", theirs, "--label", "é/a b?&", env=python_lab.host, check=0).stdout
        assert again.decode() == f"{uri}\t{theirs}\n"
        ours = put(str(tmp_path / "ours" / str(size)), data_of(size, 3))
        uri = run("store", ours, env=python_lab.host, check=0).stdout.decode().split("\t")[0]
        assert python_lab.python.store_file(ours) == uri
        with open(python_lab.python.load_file(uri), "rb") as f:
            assert f.read() == data_of(size, 3)


def test_one_store_for_both(python_lab, tmp_path):
    store = python_lab.remote_store
    for size in SIZES[1:]:
        path = put(str(tmp_path / "data" / str(size)), data_of(size, 4))
        record = object_path(store, sha1(data_of(size, 4)), "linked_files/sha1")
        python_lab.python.link_file(path)
        theirs = record.read_bytes()
        run("link", path, env=python_lab.remote, check=0)
        assert record.read_bytes() == theirs
        os.utime(path, ns=(10**18, 10**18))
        assert run("load", python_lab.python.link_file(path), env=python_lab.remote, check=0).stdout.decode() == path + "\n"
        os.utime(path, ns=(2 * 10**18 + 1, 2 * 10**18 + 1))
        uri = run("link", path, env=python_lab.remote, check=0).stdout.decode().split("\t")[0]
        assert python_lab.python.load_file_local(uri) == path
        run("store-local", path, env=python_lab.remote, check=0)
        assert python_lab.python.load_file_local(uri) == str(object_path(store, sha1(data_of(size, 4))))
        assert python_lab.python.store_file_local(path) == uri
    listed = json.loads(run("verify", "--json", env=python_lab.remote, check=0).stdout)
    assert len(listed) == 2 * len(SIZES[1:]) and {e["state"] for e in listed} == {"ok"}


def test_what_cannot_be_had(python_lab, tmp_path):
    absent = python_lab.python.request_file("sha1://" + "0" * 40, 5, python_lab.resource)
    assert [absent[k] for k in ("found", "queued", "completed", "running", "errored")] == [False] * 5
    assert python_lab.python.load_file("sha1://" + "0" * 40) is None
    path = put(str(tmp_path / "data" / "secret name"), b"before")
    uri = python_lab.link(path)[0]
    put(path, b"after!")
    got = python_lab.python.request_file(uri, 5, python_lab.resource)
    assert got["errored"] and not got["found"] and "has changed" in got["error_message"]
    assert sha1(b"after!") not in got["error_message"]  # of content that was never shared
    os.unlink(path)
    with pytest.raises(RuntimeError, match="no longer where it was") as gone:
        PythonClient(python_lab.remote).load_file(uri)
    assert "secret name" not in got["error_message"] + str(gone.value)


def test_with_the_resource_in_the_environment(python_lab, tmp_path):
    """load_file asks the resource; request_file gets all of the file, and then falls over it, once."""
    data = data_of(1_000_001, 5)
    uri, second = python_lab.link(put(str(tmp_path / "one"), data), put(str(tmp_path / "two"), data + b"2"))
    python = PythonClient(python_lab.remote)
    with open(python.load_file(uri), "rb") as f:
        assert f.read() == data
    with pytest.raises(TypeError):
        python.request_file(second, 10)
    assert os.path.getsize(object_path(python_lab.remote_store, sha1(data + b"2"))) == len(data) + 1
    assert python.request_file(second, 10)["local"]
    assert python.request_file("sha1://" + "0" * 40, 5)["found"] is False


def test_keys_are_needed_even_to_download(python_lab, tmp_path):
    uri, = python_lab.link(put(str(tmp_path / "file"), b"for those with keys"))
    env = {**python_lab.remote, "KACHERY_CLOUD_DIR": str(tmp_path / "store")}
    with pytest.raises(RuntimeError, match="Client keys not found"):
        PythonClient(env).load_file(uri)
    run("register", env=env, check=0)
    with open(PythonClient(env).load_file(uri), "rb") as f:
        assert f.read() == b"for those with keys"


def test_slashes_at_the_end_change_nothing(python_lab, tmp_path):
    uri, = python_lab.link(put(str(tmp_path / "file"), b"behind slashes"))
    env = {**python_lab.remote, "KACHERY_GATEWAY_URL": python_lab.url + "/", "KACHERY_RESOURCE_URL": python_lab.resource + "/"}
    with open(PythonClient(env).load_file(uri), "rb") as f:
        assert f.read() == b"behind slashes"
    assert run("cat", uri, env={**env, "KACHERY_CLOUD_DIR": str(tmp_path / "other")}, check=0).stdout == b"behind slashes"


@pytest.mark.parametrize("tail", ["/any/name", "/", "/x?label=a/b", "?label=x"])
def test_the_daemon_takes_a_name_behind_the_hash(python_lab, tmp_path, tail):
    data = data_of(5000, 77)
    path = tmp_path / "named"
    path.write_bytes(data)
    uri, = python_lab.link(path)
    status, _, body = http("POST", f"{python_lab.url}/r/{python_lab.name}", {
        "type": "requestFromClient", "resourceName": python_lab.name, "zone": "default",
        "request": {"type": "fileUpload", "uri": uri + tail, "timeoutMsec": 10000}, "timeoutMsec": 15000})
    assert status == 200 and json.loads(body)["response"]["status"]["status"] == "completed", body
