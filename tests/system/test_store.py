"""The local store: link, store-local, ls, verify; read and written as the Python client does it."""
import contextlib
import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess

import pytest

import harness
from harness import VECTORS, object_path, run, sha1
from store_files import DAY, LEAF, OLD, cache_file, left, left_overs, lines, listing, put, python_record, sparse

OLD_KERNEL = harness.ROOT / "build" / "tools" / "old_kernel"
NOBODY = 65534


# ---- formats, shared with the Python client ----

def test_link_writes_what_python_writes(store, tmp_path):
    folder, env = store
    large = put(str(tmp_path / "large.dat"), bytes(range(256)) * 4000)
    small = put(str(tmp_path / "ä 'quoted' \\ \n"), b"small")
    done = run("link", large, small, env=env, check=0)
    for path, (uri, shown) in zip((large, small), lines(done)):
        digest = hashlib.sha1(open(path, "rb").read()).hexdigest()
        assert uri == f"sha1://{digest}"
        assert shown == path.replace("\n", "\\x0a")
        record = object_path(folder, digest, "linked_files/sha1").read_text()
        assert record == python_record(path, digest)
        if path == large:
            assert cache_file(folder, path).read_text() == record
        else:
            assert not cache_file(folder, path).exists()


def test_names_that_are_not_utf8(store, tmp_path):
    folder, env = store
    path = os.fsdecode(os.fsencode(str(tmp_path)) + b"/caf\xe9 \xff")
    put(path, b"latin")
    uri, shown = lines(run("link", path, env=env, check=0))[0]
    assert shown == path
    record = object_path(folder, sha1(b"latin"), "linked_files/sha1").read_bytes()
    assert record.isascii() and b"\\udce9" in record
    assert json.loads(record)["path"] == path
    assert json.loads(run("link", path, "--json", env=env, check=0).stdout)[0]["path"] == path
    assert listing(env)[0]["path"] == path
    assert listing(env, uri, verb="verify")[0]["state"] == "ok"


def test_records_of_the_python_client(store, tmp_path):
    folder, env = store
    odd = put(str(tmp_path / "caf\udce9 ☃ 𝄞"), b"odd")
    plain = put(str(tmp_path / "plain"), b"plain", mtime=OLD + 1)
    for path, data in ((odd, b"odd"), (plain, b"plain")):
        record = object_path(folder, sha1(data), "linked_files/sha1")
        record.parent.mkdir(parents=True)
        record.write_text(python_record(path, sha1(data)))
    copy = object_path(folder, sha1(b"copy"))
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"copy")
    entries = listing(env)
    assert {(e["path"], e["kind"], e["state"]) for e in entries} == {
        (odd, "link", "ok"), (plain, "link", "ok"), (str(copy), "copy", "ok")}
    assert {e["state"] for e in listing(env, verb="verify")} == {"ok"}
    assert run("cat", f"sha1://{sha1(b'odd')}", env=env, check=0).stdout == b"odd"


def test_recorded_store_of_the_python_client(store):
    folder, env = store
    shutil.copytree(VECTORS / "local_store", folder)
    found = {(e["uri"], e["kind"]): e for e in listing(env)}
    note = "sha1://4d16ed9023e1a0f73d71c7e06cc9a76b952a5116"
    assert len(found) == 4
    assert found[note, "copy"]["state"] == "ok"
    assert found[note, "link"] == {"uri": note, "path": "/data/note.txt", "size": 20, "kind": "link",
                                   "state": "missing", "manifest": None}
    assert found["sha1://30a6237468d45e8dc22bc8fa81beb04a8c59be50", "link"]["size"] == 2048000
    done = run("verify", env=env, check=1)
    assert b"2 ok, 0 stale, 0 damaged, 2 missing" in done.stderr
    assert run("cat", "sha1://17a56544527b002eff0fc7ba16070df264d943c0", env=env,
               check=0).stdout == b"stored copy\n"


def test_python_cache_is_believed_and_ours_is_kept(store, tmp_path):
    """Re-linking reads no data where no manifest is wanted: it shows in a file that was changed behind the cache's back."""
    folder, env = store
    path = put(str(tmp_path / "large"), b"x" * 1_000_001)
    planted = sha1(b"planted by the other client")
    cache_file(folder, path).parent.mkdir(parents=True)
    cache_file(folder, path).write_text(python_record(path, planted))
    assert lines(run("link", "--no-manifest", path, env=env, check=0))[0][0] == f"sha1://{planted}"
    cache_file(folder, path).write_text('{"path": "')  # being written in place
    first = lines(run("link", "--no-manifest", path, env=env, check=0))[0][0]
    assert first == f"sha1://{sha1(b'x' * 1_000_001)}"
    assert json.loads(cache_file(folder, path).read_text())["sha1"] == first[7:]
    before = os.stat(path)
    with open(path, "r+b") as f:
        f.write(b"Y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lines(run("link", "--no-manifest", path, env=env, check=0))[0][0] == first
    states = listing(env, first, verb="verify", check=1)  # which reads it, and tells the cache
    assert [e["state"] for e in states] == ["stale"]
    assert lines(run("link", "--no-manifest", path, env=env, check=0))[0][0] != first


def test_what_was_changed_just_now_is_not_cached(store, tmp_path):
    folder, env = store
    path = str(tmp_path / "large")
    with open(path, "wb") as f:
        f.write(b"x" * 1_000_001)
    run("link", path, env=env, check=0)
    assert not cache_file(folder, path).exists()


# ---- paths, lists, trees ----

def test_paths_are_made_absolute(store, tmp_path):
    _, env = store
    put(str(tmp_path / "d" / "f"), b"1")
    (tmp_path / "to_d").symlink_to("d")
    base = str(tmp_path)
    for given, want in (("d/f", f"{base}/d/f"), ("./d//../d/f", f"{base}/d/f"),
                        (f"{base}/d//../d/f", f"{base}/d//../d/f"), ("to_d/f", f"{base}/to_d/f")):
        assert lines(run("link", given, env=env, cwd=base, check=0))[0][1] == want


def test_trees_in_byte_order(store, tmp_path):
    _, env = store
    names = ["a/f", "a.txt", "a-b/g", "B", "z/y/x", "-r", "new\nline", "caf\udce9", " ", "ü"]
    for name in names:
        put(str(tmp_path / "t" / name), name.encode(errors="surrogateescape"))
    (tmp_path / "t" / "to_file").symlink_to("B")
    (tmp_path / "t" / "to_dir").symlink_to("z")
    (tmp_path / "t" / "empty_dir").mkdir()
    done = run("link", "-r", "t", "--json", env=env, cwd=tmp_path, check=0)
    got = [os.path.relpath(e["path"], tmp_path / "t") for e in json.loads(done.stdout)]
    assert got == sorted(names + ["to_file"], key=os.fsencode)
    again = run("store-local", "-r", "t", "t/B", env=env, cwd=tmp_path, check=0)
    assert len(lines(again)) == len(names) + 2
    assert b"new\\x0aline\n" in again.stdout


def test_options_and_dashes(store, tmp_path):
    _, env = store
    put(str(tmp_path / "-x"), b"dash")
    done = run("link", "--label", "a b/ü?&", "--", "-x", env=env, cwd=tmp_path, check=0)
    assert lines(done) == [(f"sha1://{sha1(b'dash')}?label=a%20b/%C3%BC%3F%26", f"{tmp_path}/-x")]
    for wrong in ([], ["-x"], ["--jobs", "0", "f"], ["--jobs=two", "f"], ["--nothing", "f"]):
        assert run("link", *wrong, env=env, cwd=tmp_path).returncode == 2


def test_lists_of_files(store, tmp_path):
    _, env = store
    names = [b"one", b"two words", b"three\nlines", b"-four", b"caf\xe9"]
    for name in names:
        put(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)), name)
    want = [os.fsencode(tmp_path) + b"/" + n for n in names]
    nul = b"\0".join(names)
    for stdin in (nul, nul + b"\0", b"\0" + nul):
        done = run("link", "--files-from", "-", "-0", "--json", env=env, cwd=tmp_path, stdin=stdin, check=0)
        assert [os.fsencode(e["path"]) for e in json.loads(done.stdout)] == want
    listed = tmp_path / "list"
    listed.write_bytes(b"two words\n\n-four")
    done = run("link", "one", "--files-from", str(listed), env=env, cwd=tmp_path, check=0)
    assert [p for _, p in lines(done)] == [f"{tmp_path}/{n}" for n in ("one", "two words", "-four")]
    assert run("link", "--files-from", str(tmp_path / "none"), env=env).returncode == 1
    assert run("link", "--files-from", os.devnull, "--json", env=env, check=0).stdout == b"[]\n"


def test_overlong_path_in_a_list(store, tmp_path):
    _, env = store
    put(str(tmp_path / "last"), b"last")
    stdin = b"x" * 5000 + b"\n" + b"y" * 300_000 + b"\nlast\n"
    done = run("link", "--files-from", "-", env=env, cwd=tmp_path, stdin=stdin)
    assert done.returncode == 1
    assert [p for _, p in lines(done)] == [f"{tmp_path}/last"]
    assert done.stderr.count(b"more than") == 2 and len(done.stderr) < 2000


def test_results_come_while_the_list_does(store, tmp_path, processes):
    """A program may write a path, and wait for its URI before it writes the next."""
    _, env = store
    child = subprocess.Popen([harness.BINARY, "link", "--files-from", "-"], env=env, cwd=tmp_path,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for i in range(3):
            put(str(tmp_path / str(i)), b"%d" % i)
            child.stdin.write(b"%d\n" % i)
            child.stdin.flush()
            assert child.stdout.readline() == f"sha1://{sha1(b'%d' % i)}\t{tmp_path}/{i}\n".encode()
        child.stdin.close()
        assert child.wait(timeout=harness.DEADLINE_S) == 0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


# ---- what goes wrong ----

def test_one_bad_file_does_not_stop_the_others(store, tmp_path):
    _, env = store
    d = tmp_path / "t"
    put(str(d / "a"), b"a")
    put(str(d / "z"), b"")
    os.mkfifo(d / "fifo")
    (d / "loop").symlink_to("loop")
    (d / "dangling").symlink_to("nothing")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(d / "socket"))
    done = run("link", "-r", str(d), "--json", env=env)
    assert done.returncode == 1
    results = {os.path.basename(e["path"]): e for e in json.loads(done.stdout)}
    assert list(results) == ["a", "dangling", "fifo", "loop", "socket", "z"]
    assert results["z"]["uri"] == f"sha1://{sha1(b'')}" and results["z"]["size"] == 0
    for name, cause in (("fifo", "is a FIFO"), ("loop", "ymbolic link"), ("dangling", "No such file"),
                        ("socket", "is a socket")):
        assert results[name]["uri"] is None and cause in results[name]["error"]
        assert f"kachery-resource link: {d}/{name}: ".encode() in done.stderr
    done = run("store-local", str(d), "/dev/null", str(d / "a"), env=env)
    assert done.returncode == 1 and len(lines(done)) == 1
    assert b"is a directory" in done.stderr and b"is a device" in done.stderr


def test_cause_is_told_behind_a_long_path(store, tmp_path):
    _, env = store
    path = str(tmp_path) + "/".join(["", *["d" * 200] * 10])
    done = run("link", path, env=env)
    assert done.returncode == 1
    assert path.encode() + b": cannot open: No such file" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second user")
def test_unreadable_files(store, tmp_path):
    folder, env = store
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    put(str(tmp_path / "d" / "secret"), b"x" * 1_000_001)
    put(str(tmp_path / "d" / "sub" / "inner"), b"y")
    put(str(tmp_path / "d" / "z"), b"z")
    run("link", str(tmp_path / "d" / "secret"), env=env, check=0)  # cached from now on
    folder.chmod(0o755)
    (tmp_path / "d" / "secret").chmod(0)
    (tmp_path / "d" / "sub").chmod(0)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(folder, other / "store")
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(other)], check=True)
    done = subprocess.run([harness.BINARY, "link", "-r", str(tmp_path / "d")], user=NOBODY, group=NOBODY,
                          extra_groups=[], env={**env, "KACHERY_CLOUD_DIR": str(other / "store")},
                          capture_output=True, timeout=harness.DEADLINE_S)
    assert done.returncode == 1
    assert lines(done) == [(f"sha1://{sha1(b'z')}", f"{tmp_path}/d/z")]
    assert f"{tmp_path}/d/secret: cannot open: Permission denied".encode() in done.stderr
    assert f"{tmp_path}/d/sub: cannot read the directory: Permission denied".encode() in done.stderr


def test_states_of_links_and_copies(store, tmp_path):
    folder, env = store
    data = {name: put(str(tmp_path / name), name.encode()) for name in
            ("ok", "touched", "stale", "missing", "copy", "damaged", "cut", "gone bad")}
    linked = ["ok", "touched", "stale", "missing", "gone bad"]
    run("link", *[data[n] for n in linked], env=env, check=0)
    run("store-local", *[data[n] for n in ("copy", "damaged", "cut")], env=env, check=0)
    os.utime(data["touched"], (OLD + 5, OLD + 5))
    put(data["stale"], b"longer than it was")
    os.remove(data["missing"])
    put(data["gone bad"], b"GONE BAD")
    object_path(folder, sha1(b"damaged")).write_bytes(b"DAMAGED")
    object_path(folder, sha1(b"cut")).write_bytes(b"")

    def states(entries):
        names = {f"sha1://{sha1(n.encode())}": n for n in data}
        return {names[e["uri"]]: e["state"] for e in entries}
    assert states(listing(env)) == {
        "ok": "ok", "touched": "stale", "stale": "stale", "missing": "missing", "copy": "ok",
        "damaged": "ok", "cut": "damaged", "gone bad": "ok"}
    want = {"ok": "ok", "touched": "ok", "stale": "stale", "missing": "missing", "copy": "ok",
            "damaged": "damaged", "cut": "damaged", "gone bad": "stale"}
    assert states(listing(env, verb="verify", check=1)) == want
    done = run("verify", env=env, check=1)
    assert b"3 ok, 2 stale, 2 damaged, 1 missing" in done.stderr
    assert len(done.stdout.splitlines()) == 8
    assert len(run("verify", "-q", env=env, check=1).stdout.splitlines()) == 5
    # verify refreshed the record of the touched file, and the cures that --help names cure.
    assert states(listing(env))["touched"] == "ok"
    run("store-local", data["damaged"], data["cut"], env=env, check=0)
    for name in ("damaged", "cut", "copy", "ok"):
        assert [e["state"] for e in listing(env, f"sha1://{sha1(name.encode())}", verb="verify")] == ["ok"]


def test_verify_some_uris(store, tmp_path):
    _, env = store
    path = put(str(tmp_path / "f"), b"f")
    uri = lines(run("link", path, env=env, check=0))[0][0]
    run("store-local", path, env=env, check=0)
    assert [(e["kind"], e["state"]) for e in listing(env, uri + "/name.dat?label=x", verb="verify")] == \
        [("copy", "ok"), ("link", "ok")]
    absent = "sha1://" + "0" * 40
    assert listing(env, absent, verb="verify", check=1) == \
        [{"uri": absent, "path": None, "size": None, "kind": None, "state": "missing",
          "manifest": None}]
    located = f"{absent}?location={path}"
    assert [e["state"] for e in listing(env, located, verb="verify", check=1)] == ["stale"]
    done = run("verify", uri, "sha1://" + "0" * 39, env=env)
    assert done.returncode == 1 and done.stdout == b"" and b"40 lower-case hex" in done.stderr


def test_an_empty_store(store):
    _, env = store
    assert run("ls", env=env, check=0).stdout == b""
    assert run("ls", "--json", env=env, check=0).stdout == b"[]\n"
    assert run("verify", "--json", env=env, check=0).stdout == b"[]\n"


def test_no_place_for_a_store(tmp_path):
    env = harness.clean_environment()
    env.pop("HOME", None)
    done = run("link", str(put(str(tmp_path / "f"))), env=env)
    assert done.returncode == 1 and b"KACHERY_CLOUD_DIR or HOME" in done.stderr


def test_shared_store_of_a_group(store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "f"), b"x" * 1_000_001)
    folder.mkdir()
    folder.chmod(0o2775)
    for verb in ("link", "store-local"):
        subprocess.run([harness.BINARY, verb, path], env=env, check=True, stdout=subprocess.DEVNULL, umask=0o002)
    for entry in folder.rglob("*"):
        mode = stat.S_IMODE(entry.stat().st_mode)
        is_own = entry.suffix == ".paths" or "manifests" in entry.parts
        assert mode == (0o2775 if entry.is_dir() else 0o644 if is_own else 0o664), entry


def test_works_as_on_an_old_kernel(store, tmp_path):
    _, env = store
    path = put(str(tmp_path / "f"), b"old kernel")
    for command in (["link", path], ["store-local", path], ["verify"]):
        done = subprocess.run([OLD_KERNEL, harness.BINARY, *command], env=env, capture_output=True,
                              timeout=harness.DEADLINE_S)
        assert done.returncode == 0, done
    assert {e["state"] for e in listing(env)} == {"ok"}
    assert len(listing(env)) == 2


# ---- what killed processes left ----

@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_adding_removes_what_killed_processes_left(store, tmp_path, verb):
    folder, env = store
    places = folder / "sha1", folder / "linked_files" / "sha1"
    old = [left(places[0] / "copy.tmp.01234567", DAY + 60), left(places[1] / "link.tmp.89abcdef", 30 * DAY)]
    held = left(places[0] / "copy.tmp.00000000", 2 * DAY)
    kept = [held, left(places[0] / "copy.tmp.11111111", DAY - 60), left(places[0] / "copy.tmp.1234567g", 2 * DAY),
            left(places[0] / "other.tmp.01234567", 2 * DAY), left(places[0] / ("a" * 40), 2 * DAY)]
    (places[0] / "copy.tmp.22222222").symlink_to(put(str(tmp_path / "other"), b"other"))
    path = put(str(tmp_path / "file"), b"bytes")
    with open(held, "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run(verb, path, env=env, check=0)
        assert [p for p in old if p.exists()] == [] and all(p.exists() for p in kept)
    run(verb, path, env=env, check=0)
    assert not held.exists() and os.path.islink(places[0] / "copy.tmp.22222222")
    assert listing(env, verb="verify")[0]["state"] == "ok"


def test_a_copy_that_is_being_made_is_held(store, tmp_path, processes):
    """Its source may hang for days."""
    folder, env = store
    storing = processes(harness.Process("store-local", "--jobs=1", sparse(tmp_path / "large", 4 << 30), env=env))
    held = harness.until(lambda: left_overs(folder), "a temporary file")
    pids = harness.descendants(storing.pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    os.utime(held[0], (OLD, OLD))
    run("link", put(str(tmp_path / "file"), b"bytes"), env=env, check=0)
    assert left_overs(folder) == held
    storing.signal(signal.SIGKILL)
    storing.wait()
    for pid in pids:
        harness.until(lambda: not harness.is_running(pid), "the end of the copying process")
    os.utime(held[0], (OLD, OLD))
    run("link", put(str(tmp_path / "file"), b"bytes"), env=env, check=0)
    assert left_overs(folder) == []


def test_verify_removes_what_is_deep_in_the_store(store, tmp_path):
    folder, env = store
    run("link", put(str(tmp_path / "file"), b"bytes"), env=env, check=0)
    digest = "0123456789" * 4
    copy, link = (harness.object_path(folder, digest, tree) for tree in ("sha1", "linked_files/sha1"))
    cache = cache_file(folder, "/some/file")
    old = [left(copy.parent / f"{digest}.part", 8 * DAY), left(copy.parent / f"{digest}.tmp.abcdefgh", 2 * DAY),
           left(link.parent / f"{digest}.tmp.01234567", 2 * DAY), left(cache.parent / f"{cache.name}.tmp.01234567", 2 * DAY)]
    kept = [left(copy.parent / ("1" * 40 + ".part"), 6 * DAY), left(copy.parent / f"{digest}.tmp.01234567", DAY - 60),
            left(copy.parent / "notes.part", 99 * DAY), left(cache, 99 * DAY)]
    assert [entry["state"] for entry in listing(env)] == ["ok"]
    assert all(p.exists() for p in old), "ls changes nothing"
    assert [entry["state"] for entry in listing(env, verb="verify")] == ["ok"]
    assert [p for p in old if p.exists()] == [] and all(p.exists() for p in kept)


def test_columns_that_cut_can_take(store, tmp_path):
    """Six fields a line, whatever the names; on a terminal they are aligned."""
    folder, env = store
    names = {"ok": b"1", "tab\tnew\nline": b"22", "gone": b"333", "large": b"x" * 1_000_001}
    paths = {name: put(str(tmp_path / name), data) for name, data in names.items()}
    run("link", *paths.values(), env=env, check=0)
    run("store-local", paths["ok"], env=env, check=0)
    os.unlink(paths["gone"])
    record = object_path(folder, "0" * 40, "linked_files/sha1")
    record.mkdir(parents=True)  # a record that cannot be read
    record = object_path(folder, sha1(b"y"), "linked_files/sha1")
    put(str(record), b"")
    shown = {paths[n].replace("\t", "\\x09").replace("\n", "\\x0a"): data for n, data in names.items()}
    want = sorted((["ok", "missing"][data == b"333"], "link", str(len(data)), "-" if len(data) <= LEAF else "yes", f"sha1://{sha1(data)}", path)
                  for path, data in shown.items())
    copy = object_path(folder, sha1(b"1"))
    want = sorted([*want, ("ok", "copy", "1", "-", f"sha1://{sha1(b'1')}", str(copy))])
    for verb, status in ("ls", 0), ("verify", 1):
        done = run(verb, env=env, check=status)
        assert sorted(tuple(line.split("\t")) for line in done.stdout.decode().splitlines()) == want
    bad = run("verify", "-q", env=env, check=1)
    assert bad.stderr == b""
    assert [line.split("\t")[0] for line in bad.stdout.decode().splitlines()] == ["missing"]
    assert [e["state"] for e in json.loads(run("verify", "-q", "--json", env=env, check=1).stdout)] == ["missing"]
    absent = "sha1://" + "0" * 40
    os.rmdir(object_path(folder, "0" * 40, "linked_files/sha1"))
    assert run("verify", absent, env=env, check=1).stdout == f"missing\t-\t-\t-\t{absent}\t-\n".encode()

    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as reader:
        child = subprocess.Popen([harness.BINARY, "ls"], env=env, stdout=slave, stderr=subprocess.DEVNULL)
        os.close(slave)
        screen = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := reader.read(65536):
                screen += piece
        assert child.wait(timeout=harness.DEADLINE_S) == 0
    rows = screen.decode().splitlines()
    assert len(rows) == 5 and "\t" not in screen.decode()
    assert len({row.index("sha1://") for row in rows}) == 1
    assert {len(row.split()) for row in rows} == {6}
