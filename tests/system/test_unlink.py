"""unlink: links, copies and what is beside them, by URI and by path."""
import json
import os
import shutil
import subprocess

import harness
import pytest
from harness import object_path, run, sha1
from store_files import OLD, cache_file, left_overs, lines, listing, put
from zone_double import DATA, files_below

URI = f"sha1://{sha1(DATA)}"
ABSENT = f"sha1://{'0' * 40}"


def removed(env, *arguments, check=0):
    return [(e["uri"], e["path"], e["kind"], e["error"]) for e in
            json.loads(run("unlink", *arguments, "--json", env=env, check=check).stdout)]


def record(folder, digest):
    return json.loads(object_path(folder, digest, "linked_files/sha1").read_text())


def test_a_uri_takes_everything(store, tmp_path):
    folder, env = store
    paths = [put(str(tmp_path / name), DATA) for name in ("a", "b")]
    run("link", *paths, env=env, check=0)
    run("store-local", paths[0], env=env, check=0)
    manifest = folder / "manifests" / object_path(folder, sha1(DATA)).relative_to(folder)
    put(str(manifest), b"of it")
    part = object_path(folder, sha1(DATA)).with_name(sha1(DATA) + ".part")
    part.write_bytes(b"half")
    assert removed(env, URI + "?label=x") == [
        (URI, str(object_path(folder, sha1(DATA))), "copy", None), (URI, paths[1], "link", None),
        (URI, paths[0], "link", None)]
    assert files_below(folder) == [] and listing(env) == []
    assert all(os.path.exists(path) for path in paths)
    run("unlink", URI, env=env, check=3)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_path_takes_only_itself(store, tmp_path, which):
    folder, env = store
    paths = [put(str(tmp_path / name), DATA) for name in ("a", "b", "c")]
    run("link", *paths, env=env, check=0)
    assert removed(env, paths[which]) == [(URI, paths[which], "link", None)]
    rest = [path for path in reversed(paths) if path != paths[which]]
    assert [(e["path"], e["state"]) for e in listing(env)] == [(path, "ok") for path in rest]
    assert record(folder, sha1(DATA)) == {"path": rest[0], "size": len(DATA), "mtime": os.stat(rest[0]).st_mtime,
                                          "sha1": sha1(DATA)}
    done = run("unlink", rest[1], env=env, check=0)
    assert lines(done) == [(URI, rest[1])] and b"still shared, by another path" in done.stderr
    done = run("unlink", rest[0], env=env, check=0)
    assert b"still shared" not in done.stderr
    assert files_below(folder) == []


def test_several_paths_at_once(store, tmp_path):
    folder, env = store
    paths = [put(str(tmp_path / name), DATA) for name in ("a", "b")]
    run("link", *paths, env=env, check=0)
    done = run("unlink", *paths, env=env, check=0)
    assert sorted(lines(done)) == [(URI, path) for path in paths] and done.stderr == b""
    assert files_below(folder) == []


def test_a_path_that_had_several_contents_or_is_gone(store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "file"), b"one")
    run("link", path, env=env, check=0)
    put(path, b"two")
    run("link", path, env=env, check=0)
    os.remove(path)
    assert sorted(removed(env, path)) == sorted(
        (f"sha1://{sha1(data)}", path, "link", None) for data in (b"one", b"two"))
    assert files_below(folder) == []


def test_relative_paths_and_odd_names(store, tmp_path):
    folder, env = store
    name = b"odd \xff\n"
    path = put(os.fsdecode(os.fsencode(str(tmp_path)) + b"/" + name), DATA)
    run("link", path, env=env, check=0)
    done = run("unlink", name, env=env, cwd=tmp_path, check=0)
    assert done.stdout.startswith(URI.encode() + b"\t") and done.stdout.count(b"\n") == 1
    assert files_below(folder) == []


def test_the_hash_cache_forgets_it(store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "file"), b"x" * 1_000_001)
    run("link", path, env=env, check=0)
    assert cache_file(folder, path).exists()
    run("unlink", path, env=env, check=0)
    assert files_below(folder) == []


def test_a_copy_by_the_path_of_its_file_or_its_own(store, tmp_path):
    folder, env = store
    path, copy = put(str(tmp_path / "file"), DATA), str(object_path(folder, sha1(DATA)))
    for name in (path, copy):
        run("store-local", path, env=env, check=0)
        assert removed(env, name) == [(URI, copy, "copy", None)]
        assert files_below(folder) == []
    run("store-local", path, env=env, check=0)
    run("link", path, env=env, check=0)
    done = run("unlink", path, env=env, check=0)
    assert b"still shared, by a stored copy" in done.stderr and os.path.exists(copy)


def test_what_cannot_be_used_can_be_removed(store, tmp_path):
    """A copy that is a symbolic link, a damaged one; a link that is broken, one whose file is gone."""
    folder, env = store
    for number, make in enumerate([lambda p: p.symlink_to("/etc/passwd"), lambda p: p.write_bytes(b"")]):
        copy = object_path(folder, f"{number:040x}")
        copy.parent.mkdir(parents=True, exist_ok=True)
        make(copy)
        run("unlink", f"sha1://{number:040x}", env=env, check=0)
        assert not os.path.lexists(copy)
    path = put(str(tmp_path / "gone"), DATA)
    run("link", path, env=env, check=0)
    os.remove(path)
    run("unlink", URI, env=env, check=0)
    assert files_below(folder) == []


def test_exit_statuses(store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "file"), DATA)
    missing = str(tmp_path / "missing")
    done = run("unlink", ABSENT, missing, env=env, check=3)
    assert done.stdout == b"" and done.stderr.count(b"not in the local store") == 2
    assert removed(env, ABSENT, missing, check=3) == [(ABSENT, None, None, "not in the local store"),
                                                      (None, missing, None, "not in the local store")]
    run("link", path, env=env, check=0)
    done = run("unlink", path, missing, env=env, check=1)
    assert lines(done) == [(URI, path)]
    run("unlink", env=env, check=2)
    run("unlink", "sha1://xyz", env=env, check=1)
    run("link", path, env=env, check=0)
    run("unlink", path, "sha1://xyz", env=env, check=1)
    assert len(listing(env)) == 1  # a wrong URI is told before anything is removed
    assert left_overs(folder) == []


def test_paths_that_did_not_count_do_not_come_back(store, tmp_path):
    """Another program linked last: what ls lists is one path, and without it nothing is shared."""
    folder, env = store
    a, b = (put(str(tmp_path / name), DATA) for name in ("a", "b"))
    run("link", a, env=env, check=0)
    st = os.stat(b)
    object_path(folder, sha1(DATA), "linked_files/sha1").write_text(json.dumps(
        {"path": b, "size": st.st_size, "mtime": st.st_mtime, "sha1": sha1(DATA)}))
    assert [e["path"] for e in listing(env)] == [b]
    run("unlink", b, env=env, check=0)
    assert listing(env) == [] and files_below(folder) == []


def test_a_daemon_stops_sharing_at_once(desk):
    _, uri = desk.link("file", DATA)
    desk.share()
    run("unlink", uri, env=desk.env, check=0)
    assert desk.proxy.status(uri) == {"status": "not-found"}


def test_an_old_link_in_a_store_that_cannot_be_written(store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "file"), DATA, OLD)
    run("link", path, env=env, check=0)
    leaf = object_path(folder, sha1(DATA), "linked_files/sha1").parent
    run_as = {"user": 65534, "group": 65534, "extra_groups": []}
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    folder.chmod(0o755)
    program = shutil.copy(harness.BINARY, tmp_path / "program")  # the build's folder may be private
    done = subprocess.run([program, "unlink", URI], env=env, capture_output=True, timeout=harness.DEADLINE_S, **run_as)
    assert done.returncode == 1 and b"cannot remove" in done.stderr and b"Permission denied" in done.stderr
    assert done.stdout == b"" and leaf.exists() and len(listing(env)) == 1
