"""What the README promises to users of the Python client: it and ours take turns, and neither notices."""
import json
import os

import pytest
from harness import object_path, run, sha1
from python_client import PythonClient
from store_files import put

SIZES = [0, 1, 1_000_000, 1_000_001, 3 << 20]


@pytest.fixture
def shared(lab):
    """A lab whose host shares, and Python clients at both ends."""
    lab.share()
    lab.python, lab.python_at_host = PythonClient(lab.remote), PythonClient(lab.host)
    return lab


def data_of(size, seed):
    return (bytes([seed]) + bytes(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize("linked_by", ["us", "python"])
def test_request_and_load_what_the_host_shares(shared, tmp_path, linked_by):
    for size in SIZES:
        data = data_of(size, 1)
        path = put(str(tmp_path / "data" / f"file {size}"), data)
        uri = shared.link(path)[0] if linked_by == "us" else shared.python_at_host.link_file(path)
        got = shared.python.request_file(f"{uri}?label=x", 10.0)
        assert got["found"] and got["completed"] and not got["queued"] and not got["running"], got
        assert got["size"] == got["bytes_uploaded"] == size and got["errored"] is False
        got = shared.python.request_file(uri, 10)
        assert got["found"] and got["completed"] and got["queued"] is None and got["bytes_uploaded"] is None
        place = shared.python.load_file(uri)
        with open(place, "rb") as f:
            assert f.read() == data
        ours = json.loads(run("request", "--json", uri, env=shared.remote, check=0).stdout)
        assert ours == shared.python.request_file(uri, 10) and ours["local"]


def test_the_zone_takes_and_gives(shared, tmp_path):
    for size in SIZES:
        theirs = put(str(tmp_path / "theirs" / str(size)), data_of(size, 2))
        uri = shared.python.store_file(theirs, label="é/a b?&")
        assert run("cat", uri, env=shared.remote, check=0).stdout == data_of(size, 2)
        again = run("store", theirs, "--label", "é/a b?&", env=shared.host, check=0).stdout
        assert again.decode() == f"{uri}\t{theirs}\n"
        ours = put(str(tmp_path / "ours" / str(size)), data_of(size, 3))
        uri = run("store", ours, env=shared.host, check=0).stdout.decode().split("\t")[0]
        assert shared.python.store_file(ours) == uri
        with open(shared.python.load_file(uri), "rb") as f:
            assert f.read() == data_of(size, 3)


def test_one_store_for_both(shared, tmp_path):
    store = shared.remote_store
    for size in SIZES[1:]:
        path = put(str(tmp_path / "data" / str(size)), data_of(size, 4))
        record = object_path(store, sha1(data_of(size, 4)), "linked_files/sha1")
        shared.python.link_file(path)
        theirs = record.read_bytes()
        run("link", path, env=shared.remote, check=0)
        assert record.read_bytes() == theirs
        os.utime(path, ns=(10**18, 10**18))
        assert run("load", shared.python.link_file(path), env=shared.remote, check=0).stdout.decode() == path + "\n"
        os.utime(path, ns=(2 * 10**18 + 1, 2 * 10**18 + 1))
        uri = run("link", path, env=shared.remote, check=0).stdout.decode().split("\t")[0]
        assert shared.python.load_file_local(uri) == path
        run("store-local", path, env=shared.remote, check=0)
        assert shared.python.load_file_local(uri) == str(object_path(store, sha1(data_of(size, 4))))
        assert shared.python.store_file_local(path) == uri
    listed = json.loads(run("verify", "--json", env=shared.remote, check=0).stdout)
    assert len(listed) == 2 * len(SIZES[1:]) and {e["state"] for e in listed} == {"ok"}


def test_what_cannot_be_had(shared, tmp_path):
    absent = shared.python.request_file("sha1://" + "0" * 40, 5)
    assert [absent[k] for k in ("found", "queued", "completed", "running", "errored")] == [False] * 5
    assert shared.python.load_file("sha1://" + "0" * 40) is None
    path = put(str(tmp_path / "data" / "secret name"), b"before")
    uri = shared.link(path)[0]
    put(path, b"after!")
    got = shared.python.request_file(uri, 5)
    assert got["errored"] and not got["found"] and sha1(b"after!") in got["error_message"]
    os.unlink(path)
    with pytest.raises(RuntimeError, match="no longer where it was") as gone:
        shared.python.load_file(uri)
    assert "secret name" not in got["error_message"] + str(gone.value)
