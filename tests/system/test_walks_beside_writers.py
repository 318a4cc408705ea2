"""Walks through trees and through the store, where others write meanwhile."""
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import threading

import pytest

import harness
from harness import object_path, run, sha1, until
from store_files import lines, put

STRANGER = 54321

needs_users = pytest.mark.skipif(os.getuid() != 0, reason="needs files of several users")


def stranger_link(path, target):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)
    return str(path)


# ---- symbolic links of others ----

@needs_users
@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_a_strangers_link_gives_nothing_away(store, tmp_path, verb):
    folder, env = store
    secret = put(str(tmp_path / "home" / "id_ed25519"), b"secret")
    os.chmod(secret, 0o600)
    tree = tmp_path / "tree"
    put(str(tree / "annex" / "object"), b"object")
    put(str(tree / "z"), b"z")
    bad = stranger_link(str(tree / "bad"), secret)
    stranger_link(str(tree / "farm"), "annex/object")
    (tree / "mine").symlink_to("../home/id_ed25519.pub")
    put(str(tmp_path / "home" / "id_ed25519.pub"), b"public")
    (tree / "chain").symlink_to("bad")
    done = run(verb, "-r", str(tree), "--json", env=env)
    assert done.returncode == 1
    got = {os.path.basename(e["path"]): e for e in json.loads(done.stdout)}
    assert list(got) == ["object", "bad", "chain", "farm", "mine", "z"]
    assert [n for n, e in got.items() if e["error"] is None] == ["object", "farm", "mine", "z"]
    assert got["farm"]["uri"] == f"sha1://{sha1(b'object')}"
    for name in ("bad", "chain"):
        assert got[name]["uri"] is None
        assert f"symbolic link of user {STRANGER}" in got[name]["error"]
    assert f"{bad}: a symbolic link of user {STRANGER} to a file of user 0 outside the tree".encode() in done.stderr
    for below in ("sha1", "linked_files/sha1"):
        assert not object_path(folder, sha1(b"secret"), below).exists()
    assert lines(run(verb, bad, env=env, check=0)) == [(f"sha1://{sha1(b'secret')}", bad)]  # named by the user himself


@needs_users
def test_a_strangers_link_in_a_list(store, tmp_path):
    _, env = store
    secret = put(str(tmp_path / "home" / "key"), b"secret")
    os.chmod(secret, 0o600)
    bad = stranger_link(str(tmp_path / "shared" / "bad"), secret)
    below = stranger_link(str(tmp_path / "shared" / "dir"), "../home") + "/key"
    good = put(str(tmp_path / "shared" / "good"), b"good")
    stdin = f"{bad}\n{below}\n{good}\n".encode()
    done = run("link", "--files-from", "-", env=env, stdin=stdin)
    assert done.returncode == 1
    assert [path for _, path in lines(done)] == [good]
    done = run("link", "-r", "--files-from", "-", env=env, stdin=os.path.dirname(below).encode())
    assert done.returncode == 1 and done.stdout == b""


@needs_users
def test_swapping_while_a_tree_is_linked(store, tmp_path):
    """A directory that is now a directory, now a link to where the secrets are: they are never hashed."""
    folder, env = store
    tree = tmp_path / "tree"
    names = [f"{i:03d}" for i in range(120)]
    for name in names:
        os.chmod(put(str(tmp_path / "home" / name), b"secret " + name.encode()), 0o600)
        put(str(tree / "sub" / name), b"public " + name.encode())
    stranger_link(str(tmp_path / "lure"), str(tmp_path / "home"))
    ended = threading.Event()

    def swap():
        while not ended.is_set():
            os.rename(tree / "sub", tmp_path / "away")
            os.rename(tmp_path / "lure", tree / "sub")
            os.rename(tree / "sub", tmp_path / "lure")
            os.rename(tmp_path / "away", tree / "sub")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(12):
            run("link", "-r", str(tree), env=env)
            run("store-local", "-r", str(tree), env=env)
    finally:
        ended.set()
        thread.join()
    for name in names:
        for below in ("sha1", "linked_files/sha1"):
            assert not object_path(folder, sha1(b"secret " + name.encode()), below).exists()


# ---- the store, while others write there ----

def branch(folder, digest, kind):
    return object_path(folder, digest, kind).parent


def churn(folder, target, ended):
    """What several clients do at once: temporary names, objects, and all that was above them, come and go."""
    digests = [sha1(b"%d" % i) for i in range(40)]
    while not ended.is_set():
        for digest in digests:
            for kind in ("sha1", "linked_files/sha1"):
                top = folder / kind
                temporary = top / "link.tmp.abcdefgh"
                temporary.write_bytes(b"")
                place = branch(folder, digest, kind)
                place.mkdir(parents=True, exist_ok=True)
                record = {"path": str(target), "size": 1, "mtime": 1.0, "sha1": digest}
                temporary.write_bytes(b"" if kind == "sha1" else json.dumps(record).encode())
                os.rename(temporary, place / digest)
        for digest in digests:
            for kind in ("sha1", "linked_files/sha1"):
                place = branch(folder, digest, kind)
                (place / digest).unlink()
                with contextlib.suppress(OSError):  # another object's too
                    for level in (place, place.parent, place.parent.parent):
                        level.rmdir()


def test_reading_the_store_while_others_write(store, tmp_path):
    folder, env = store
    for i in range(30):
        put(str(tmp_path / "data" / str(i)), b"data %d" % i)
    run("link", "-r", str(tmp_path / "data"), env=env, check=0)
    run("store-local", str(tmp_path / "data" / "0"), env=env, check=0)
    target = put(str(tmp_path / "other"), b"x")
    ended = threading.Event()
    thread = threading.Thread(target=churn, args=(folder, target, ended))
    thread.start()
    try:
        for _ in range(15):
            for verb in ("ls", "verify"):
                done = run(verb, "--json", env=env)
                states = [e for e in json.loads(done.stdout) if not e["path"] or e["path"].startswith(str(tmp_path / "data"))]
                assert [e["state"] for e in states] == ["ok"] * 30
                words = [w for w in done.stderr.splitlines() if not w.endswith(b" missing")]
                assert words == []
                assert verb == "verify" or done.returncode == 0
    finally:
        ended.set()
        thread.join()


def test_only_objects_are_looked_at(store, tmp_path):
    folder, env = store
    put(str(tmp_path / "data"), b"data")
    run("link", str(tmp_path / "data"), env=env, check=0)
    run("store-local", str(tmp_path / "data"), env=env, check=0)
    for kind in ("sha1", "linked_files/sha1"):
        place = branch(folder, sha1(b"data"), kind)
        os.mkfifo(folder / kind / "fifo")
        os.symlink("loop", folder / kind / "loop")
        os.symlink("nowhere", place / (sha1(b"data") + ".tmp.abcdefgh"))
        (folder / kind / "not-a-branch" / "x").mkdir(parents=True)
        (place / sha1(b"z")).mkdir()
        (folder / kind / "not-a-branch").chmod(0)
    for verb in ("ls", "verify"):
        done = run(verb, "--json", env=env, check=0)
        assert sorted(e["kind"] for e in json.loads(done.stdout)) == ["copy", "link"]
        assert done.stderr == (b"" if verb == "ls" else b"2 ok, 0 stale, 0 damaged, 0 missing\n")


def test_a_record_and_its_target_that_go_while_verify_reads(store, tmp_path):
    """The first file is a slow one; what comes after it goes meanwhile."""
    folder, env = store
    digests = {}
    for i in range(8):
        path = put(str(tmp_path / "data" / str(i)), b"data %d" % i)
        digests[path] = sha1(b"data %d" % i)
    run("link", "-r", str(tmp_path / "data"), env=env, check=0)
    slow = min(digests, key=digests.get)
    gone, targetless = [p for p in digests if p != slow][:2]
    handler = signal.signal(signal.SIGIO, signal.SIG_IGN)
    with open(slow, "rb+") as held:  # a lease: who opens the file waits until it is given up
        fcntl.fcntl(held.fileno(), fcntl.F_SETLEASE, fcntl.F_WRLCK)
        child = subprocess.Popen([harness.BINARY, "verify", "--json"], env=env, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        try:
            until(lambda: fcntl.fcntl(held.fileno(), fcntl.F_GETLEASE) != fcntl.F_WRLCK, "somebody opens the file")
            object_path(folder, digests[gone], "linked_files/sha1").unlink()
            os.unlink(gone)
            os.unlink(targetless)
        finally:
            fcntl.fcntl(held.fileno(), fcntl.F_SETLEASE, fcntl.F_UNLCK)
            out, errors = child.communicate(timeout=harness.DEADLINE_S)
            signal.signal(signal.SIGIO, handler)
    states = {e["path"]: e["state"] for e in json.loads(out)}
    assert gone not in states
    assert states[targetless] == "missing"
    assert set(states.values()) == {"ok", "missing"}
    assert errors.splitlines() == [b"6 ok, 0 stale, 0 damaged, 1 missing"]
    assert child.returncode == 1


# ---- what is left out, and labels ----

TREE = ["a.nwb", "a.tmp", "cache/x", "raw/b.tmp", "raw/c.log", "raw/deep/d.log", "raw/deep/cache/y", ".git/config"]


def linked_below(verb, *arguments, env, cwd):
    done = run(verb, *arguments, "--json", env=env, cwd=cwd, check=0)
    return sorted(os.path.relpath(e["path"], cwd / "t") for e in json.loads(done.stdout))


@pytest.mark.parametrize("verb", ["link", "store-local"])
@pytest.mark.parametrize("patterns, left", [
    (["*.tmp"], ["a.tmp", "raw/b.tmp"]),
    (["cache"], ["cache/x", "raw/deep/cache/y"]),
    (["cache/", ".*"], ["cache/x", "raw/deep/cache/y", ".git/config"]),
    (["a.nwb/"], []),
    (["/cache"], ["cache/x"]),
    (["raw/*.log"], ["raw/c.log"]),
    (["raw/**/*.log"], ["raw/c.log", "raw/deep/d.log"]),
    (["raw/deep"], ["raw/deep/d.log", "raw/deep/cache/y"]),
    (["[ac].{nwb,log}", "?.[!tn]*"], ["raw/c.log", "raw/deep/d.log"]),
])
def test_exclude(store, tmp_path, verb, patterns, left):
    _, env = store
    for name in TREE:
        put(str(tmp_path / "t" / name), name.encode())
    options = [word for p in patterns for word in ("--exclude", p)]
    want = sorted(set(TREE) - set(left))
    assert linked_below(verb, "-r", "t", *options, env=env, cwd=tmp_path) == want
    assert linked_below(verb, "-r", *options, str(tmp_path / "t") + "//", env=env, cwd=tmp_path) == want


def test_exclude_by_a_whole_path_and_of_what_is_named(store, tmp_path):
    _, env = store
    for name in TREE:
        put(str(tmp_path / "t" / name), name.encode())
    t = str(tmp_path / "t")
    assert linked_below("link", "-r", t, "--exclude", f"{t}/raw/", "--exclude=.git", env=env, cwd=tmp_path) == \
        ["a.nwb", "a.tmp", "cache/x"]
    assert linked_below("link", "-r", ".", "--exclude=.*", env=env, cwd=tmp_path / "t") != []
    names = ["./t/a.nwb", "t/a.tmp", "t/raw", f"{t}/raw/b.tmp", "t/cache/"]
    options = ["--exclude=*.tmp", "--exclude=cache/", "--exclude=*.log"]
    assert linked_below("link", "-r", *options, *names, env=env, cwd=tmp_path) == \
        ["a.nwb"]
    done = run("link", "-r", *options, "--files-from", "-", "--json", env=env, cwd=tmp_path, check=0,
               stdin="\n".join(names).encode())
    assert [os.path.basename(e["path"]) for e in json.loads(done.stdout)] == ["a.nwb"]


@needs_users
def test_excluded_directories_are_not_read(store, tmp_path):
    _, env = store
    put(str(tmp_path / "t" / "shut" / "x"))
    put(str(tmp_path / "t" / "a"))
    (tmp_path / "t" / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "t" / "fifo")
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    (tmp_path / "t" / "shut").chmod(0)
    (tmp_path / "kc").mkdir(mode=0o777)
    (tmp_path / "kc").chmod(0o777)
    words = ["link", "-r", str(tmp_path / "t"), "--exclude=dangling", "--exclude=fifo"]
    for exclude, status in (["--exclude", "shut/"], 0), ([], 1):
        done = subprocess.run([harness.BINARY, *words, *exclude], user=STRANGER, group=STRANGER, extra_groups=[],
                              env={**env, "KACHERY_CLOUD_DIR": str(tmp_path / "kc")}, capture_output=True,
                              timeout=harness.DEADLINE_S)
        assert (done.returncode, len(lines(done))) == (status, 1), done.stderr


def test_patterns_that_cannot_be_meant(store, tmp_path):
    _, env = store
    for pattern in ("", "/", "[a", "[[:alpha:]]", "./x", "../x"):
        done = run("link", "-r", str(tmp_path), "--exclude", pattern, env=env, check=2)
        assert f'--exclude: "{pattern}": want '.encode() in done.stderr


def test_labels_from_names(store, tmp_path):
    _, env = store
    put(str(tmp_path / "t" / "ä b.nwb"), b"1")
    put(str(tmp_path / "t" / "sub" / "caf\udce9"), b"2")
    for verb in ("link", "store-local"):
        done = run(verb, "-r", str(tmp_path / "t"), "--label-names", env=env, check=0)
        assert sorted(uri for uri, _ in lines(done)) == sorted([
            f"sha1://{sha1(b'1')}?label=%C3%A4%20b.nwb", f"sha1://{sha1(b'2')}?label=caf%EF%BF%BD"])
        run(verb, "--label-names", "--label", "x", str(tmp_path), env=env, check=2)
