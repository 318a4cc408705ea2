"""What is remembered of the paths that a hash was linked from: which of them is served, and that a file which is not
the one that was linked is hashed as a whole before anybody is told of it."""
import json
import os
import shutil
import subprocess
import sys

import harness
import pytest
import without_call
from harness import object_path, run, sha1
from store_files import OLD, listing, lines, put
from zone_double import DATA, written

LARGE = os.urandom(1 << 20)  # more than is read before the zone is asked


def asked_types(desk):
    return [p["type"] for p in desk.zone.payloads if p["type"] != "getClientInfo"]


def paths_file(env, digest):
    return object_path(env["KACHERY_CLOUD_DIR"], digest, "linked_files/sha1").with_name(digest + ".paths")


def like(path, other, data):
    """Another file, with the size and the time of the first."""
    st = os.stat(path)
    written(other.parent, other.name, data)
    os.utime(other, ns=(st.st_mtime_ns, st.st_mtime_ns))
    assert os.stat(other).st_size == st.st_size
    return other


def swap_target(desk, path, data):
    other = like(path, desk.folder / "other", data)
    os.replace(other, path)


def test_what_is_remembered(store, tmp_path):
    _, env = store
    put(str(tmp_path / "data" / "file"), b"hello")
    (tmp_path / "name").symlink_to(tmp_path / "data")
    path = str(tmp_path / "name" / "file")
    run("link", path, env=env, check=0)
    st = os.stat(path)
    assert json.loads(paths_file(env, sha1(b"hello")).read_text()) == {
        "sha1": sha1(b"hello"), "size": 5, "paths": [{
            "path": path, "mtime": st.st_mtime, "resolved": os.path.realpath(path), "inode": str(st.st_ino),
            "owner": st.st_uid}]}
    assert set(json.loads(object_path(env["KACHERY_CLOUD_DIR"], sha1(b"hello"), "linked_files/sha1").read_text())) == \
        {"path", "size", "mtime", "sha1"}


@pytest.mark.parametrize("kind", ["a file renamed over it", "a symbolic link", "a directory renamed on its way"])
def test_another_file_is_hashed_before_anything_leaves(desk, kind):
    """Size and time are right, so that the record says that it is as it was."""
    folder = desk.folder / "data"
    folder.mkdir()
    path = written(folder, "file", LARGE)
    run("link", str(path), env=desk.env, check=0)
    other = like(path, desk.folder / "other", os.urandom(len(LARGE)))
    if kind == "a file renamed over it":
        os.replace(other, path)
    elif kind == "a symbolic link":
        path.unlink()
        path.symlink_to(other)
    else:
        (desk.folder / "others").mkdir()
        os.replace(other, desk.folder / "others" / "file")
        folder.rename(desk.folder / "away")
        (desk.folder / "others").rename(folder)
    assert [e["state"] for e in listing(desk.env)] == ["ok"]
    desk.share()
    status = desk.proxy.status(f"sha1://{sha1(LARGE)}")
    assert status["status"] == "error" and "changed" in status["error"]
    assert asked_types(desk) == [] and desk.zone.puts == []


def test_a_file_of_another_owner_is_hashed_before_anything_leaves(desk):
    path = written(desk.folder, "file", LARGE)
    run("link", str(path), env=desk.env, check=0)
    os.chown(path, 65534, -1)
    flipped = bytes([LARGE[0] ^ 1]) + LARGE[1:]
    st = os.stat(path)
    with open(path, "r+b") as f:
        f.write(flipped[:1])
    os.utime(path, ns=(st.st_mtime_ns, st.st_mtime_ns))
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(LARGE)}")["status"] == "error"
    assert asked_types(desk) == []


def test_a_file_that_was_touched_is_hashed_before_anything_leaves(desk):
    path = written(desk.folder, "file", LARGE)
    run("link", str(path), env=desk.env, check=0)
    path.write_bytes(os.urandom(len(LARGE)))
    os.utime(path, (OLD, OLD))
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(LARGE)}")["status"] == "error"
    assert asked_types(desk) == []


def test_another_file_with_the_same_bytes_is_served_and_remembered(desk):
    """A restored backup, say: it is hashed once, and then known."""
    path = written(desk.folder, "file", LARGE)
    run("link", str(path), env=desk.env, check=0)
    swap_target(desk, path, LARGE)
    before = json.loads(paths_file(desk.env, sha1(LARGE)).read_text())["paths"][0]
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(LARGE)}")["status"] == "completed"
    assert desk.zone.objects == {sha1(LARGE): LARGE}
    after = json.loads(paths_file(desk.env, sha1(LARGE)).read_text())["paths"][0]
    assert after == {**before, "inode": str(os.stat(path).st_ino)} != before


@pytest.mark.parametrize("text", [
    "", "{", "7", "null", '{"sha1": "HASH", "size": 1048576, "paths": [{"path": "/elsewhere", "mtime": 1}]}', None])
def test_a_file_that_says_nothing_of_the_path_is_ignored(desk, text):
    path = written(desk.folder, "file", LARGE)
    run("link", str(path), env=desk.env, check=0)
    beside = paths_file(desk.env, sha1(LARGE))
    if text is None:
        beside.unlink()
    else:
        beside.write_text(text.replace("HASH", sha1(LARGE)))
    swap_target(desk, path, LARGE)
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(LARGE)}")["status"] == "completed"


@pytest.mark.parametrize("fate", ["deleted", "changed", "longer", "replaced", "unreadable"])
def test_the_older_path_is_served(desk, fate):
    old, new = (written(desk.folder, name, LARGE) for name in ("old", "new"))
    run("link", str(old), str(new), env=desk.env, check=0)
    if fate == "deleted":
        new.unlink()
    elif fate == "changed":
        new.write_bytes(os.urandom(len(LARGE)))
        os.utime(new, (OLD, OLD))
    elif fate == "longer":
        new.write_bytes(LARGE + b"x")
    elif fate == "replaced":
        swap_target(desk, new, os.urandom(len(LARGE)))
    else:
        new.unlink()
        new.symlink_to("new")
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(LARGE)}")["status"] == "completed"
    assert desk.zone.objects == {sha1(LARGE): LARGE}


def test_both_paths_may_have_to_be_hashed(desk):
    """The newer turns out to be changed only when it is read."""
    old, new = (written(desk.folder, name, LARGE) for name in ("old", "new"))
    run("link", str(old), str(new), env=desk.env, check=0)
    new.write_bytes(os.urandom(len(LARGE)))
    os.utime(new, (OLD, OLD))
    os.utime(old, (OLD + 1, OLD + 1))
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(LARGE)}")["status"] == "completed"
    assert desk.zone.objects == {sha1(LARGE): LARGE}


def test_load_and_cat_take_the_older_path(store, tmp_path):
    _, env = store
    old, new = (put(str(tmp_path / name), DATA) for name in ("old", "new"))
    run("link", old, new, env=env, check=0)
    assert run("load", f"sha1://{sha1(DATA)}", env=env, check=0).stdout.decode().strip() == new
    put(new, bytes(len(DATA)), OLD + 1)  # as long as it was: it has to be read
    os.utime(old, (OLD + 2, OLD + 2))
    assert run("load", f"sha1://{sha1(DATA)}", env=env, check=0).stdout.decode().strip() == old
    os.remove(new)
    assert run("cat", f"sha1://{sha1(DATA)}", env=env, check=0).stdout == DATA


def test_ls_and_verify_have_a_line_for_each_path(store, tmp_path):
    _, env = store
    uri = f"sha1://{sha1(DATA)}"
    old, new = (put(str(tmp_path / name), DATA) for name in ("old", "new"))
    run("link", old, new, env=env, check=0)
    os.remove(old)

    def states(*arguments, **more):
        return [(e["path"], e["state"], e["uri"]) for e in listing(env, *arguments, **more)]
    want = [(new, "ok", uri), (old, "missing", uri)]
    assert states() == want
    assert states(verb="verify", check=1) == want
    assert states(uri, verb="verify", check=1) == want
    put(old, DATA, OLD + 5)
    assert states(verb="verify") == [(new, "ok", uri), (old, "ok", uri)]
    assert states() == [(new, "ok", uri), (old, "ok", uri)]  # verify took down the older one's time, too


def test_deployed_readers_see_the_last(store, tmp_path):
    folder, env = store
    paths = [put(str(tmp_path / name), DATA) for name in ("a", "b", "c")]
    for path in paths:
        run("link", path, env=env, check=0)
        record = json.loads(object_path(folder, sha1(DATA), "linked_files/sha1").read_text())
        assert record["path"] == path
    run("link", paths[0], env=env, check=0)
    assert [e["path"] for e in listing(env)] == [paths[0], paths[2], paths[1]]


@pytest.mark.parametrize("has_locks", [True, False])
def test_links_of_one_content_at_one_moment(store, tmp_path, has_locks):
    """Also where directories cannot be locked, as on NFS."""
    folder, env = store
    paths = {put(str(tmp_path / f"file{i}"), DATA) for i in range(24)}
    command = [] if has_locks else [sys.executable, without_call.__file__, str(without_call.FLOCK)]
    running = [subprocess.Popen([*command, harness.BINARY, "link", path], env=env, stdout=subprocess.DEVNULL)
               for path in paths]
    assert [process.wait(timeout=harness.DEADLINE_S) for process in running] == [0] * len(paths)
    assert {e["path"] for e in listing(env)} == paths
    assert not [p for p in folder.rglob("*") if ".tmp." in p.name]


def test_a_lock_that_a_killed_process_left(store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "file"), DATA)
    run("link", path, env=env, check=0)
    beside = paths_file(env, sha1(DATA))
    lock = beside.with_name(beside.name + ".tmp.lock")
    lock.touch()
    other = put(str(tmp_path / "other"), DATA)
    command = [sys.executable, without_call.__file__, str(without_call.FLOCK), harness.BINARY, "link", other]
    subprocess.run(command, env=env, check=True, timeout=harness.DEADLINE_S, stdout=subprocess.DEVNULL)
    assert [e["path"] for e in listing(env)] == [other, path] and not lock.exists()


def test_the_oldest_of_very_many_are_forgotten(store, tmp_path):
    _, env = store
    paths = [put(str(tmp_path / f"{i:04}"), b"") for i in range(150)]
    done = run("link", "-r", str(tmp_path), env={**env, "HOME": "/"}, check=0)
    assert len(lines(done)) >= len(paths)
    empty = [e["path"] for e in listing(env) if e["uri"] == f"sha1://{sha1(b'')}"]
    assert empty == paths[:-65:-1]


def test_a_store_that_was_copied(store, tmp_path):
    """With other inodes, on another disk: nothing is lost but one reading."""
    folder, env = store
    path = put(str(tmp_path / "data" / "file"), DATA)
    run("link", path, env=env, check=0)
    shutil.copytree(tmp_path / "data", tmp_path / "restored")
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "restored").rename(tmp_path / "data")
    assert [e["state"] for e in listing(env)] == ["ok"]
    assert run("cat", f"sha1://{sha1(DATA)}", env=env, check=0).stdout == DATA


def test_a_lock_that_is_held_for_ever_stops_nobody(store, tmp_path):
    import fcntl
    folder, env = store
    old, new = (put(str(tmp_path / name), DATA) for name in ("old", "new"))
    run("link", old, env=env, check=0)
    fd = os.open(object_path(folder, sha1(DATA), "linked_files/sha1").parent, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    run("link", new, env=env, check=0)
    os.close(fd)
    assert [e["path"] for e in listing(env)] == [new, old]


def test_what_a_killed_link_left_is_removed_and_the_paths_stay(store, tmp_path):
    _, env = store
    path = put(str(tmp_path / "file"), DATA)
    run("link", path, env=env, check=0)
    beside = paths_file(env, sha1(DATA))
    left = beside.with_name(beside.name + ".tmp.0123abcd")
    left.write_bytes(b"half")
    for each in (left, beside):
        os.utime(each, (OLD, OLD))
    run("verify", env=env, check=0)
    assert beside.exists() and not left.exists()
