"""Manifests (EXTENSIONS.md §2): the hashes of a file's blocks, made by link, store-local and store --cache-locally in the
read that also makes the SHA-1; checked by verify, shown by ls, made good by linking again, removed by unlink."""
import os
import pathlib
import random
import resource
import shutil
import stat
import subprocess
import tempfile
import threading
import time

import harness
import pytest
from harness import object_path, run, sha1
from store_files import (DAY, LEAF, OLD, cache_file, left, left_overs, lines, listing, manifest_of, manifest_path, put,
                         sparse)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")
VARIABLE = "KACHERY_RESOURCE_TEST_CPU"
NOBODY, GROUP = 65534, 65534


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def manifest_in(folder, data):
    path = manifest_path(folder, sha1(data))
    return path.read_bytes() if path.exists() else None


def states(env, verb="ls", check=0):
    """{(kind, path): (state, manifest)}"""
    return {(e["kind"], e["path"]): (e["state"], e["manifest"]) for e in listing(env, verb=verb, check=check)}


SIZES = [0, 1, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, 5 * LEAF - 1, 16 * LEAF, 17 * LEAF + 5, 40 * LEAF]


@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_each_file_above_a_block_has_one(store, tmp_path, verb):
    folder, env = store
    files = {put(str(tmp_path / str(size)), noise(size, size)): noise(size, size) for size in SIZES}
    run(verb, *files, env=env, check=0)
    for data in files.values():
        assert manifest_in(folder, data) == (manifest_of(data) if len(data) > LEAF else None), len(data)
    assert left_overs(folder) == []
    kind = "link" if verb == "link" else "copy"
    shown = sorted((e["size"], e["kind"], e["state"], e["manifest"]) for e in listing(env))
    assert shown == [(size, kind, "ok", True if size > LEAF else None) for size in sorted(SIZES)]
    assert {stat.S_IMODE(p.stat().st_mode) & ~0o644 for p in (folder / "manifests").rglob("*") if p.is_file()} == {0}
    assert listing(env, verb="verify") == listing(env)


@pytest.mark.parametrize("cpu", ["generic", "sse2", "avx2", "avx512", "sha", "sha,avx2", "sse2,avx2,avx512,sha", "arm-sha", "sse2,arm-sha"])
def test_every_kernel_makes_the_same(store, tmp_path, cpu):
    folder, env = store
    if subprocess.run([harness.BINARY, "--version"], env={**env, VARIABLE: cpu}, capture_output=True).returncode == 2:
        pytest.skip(f"this processor lacks {cpu}")
    data = noise(23 * LEAF + 77) + bytes(3 * LEAF)
    path = put(str(tmp_path / "file"), data)
    summed = subprocess.run(["sha256sum"], input=data[:LEAF], capture_output=True, check=True).stdout.split()[0]
    assert lines(run("link", path, env={**env, VARIABLE: cpu}, check=0))[0][0] == f"sha1://{sha1(data)}"
    assert manifest_in(folder, data) == manifest_of(data)
    assert manifest_in(folder, data)[100:132].hex() == summed.decode()
    assert states({**env, VARIABLE: cpu}, "verify")["link", path] == ("ok", True)


def many_files(folder):
    """Of every length around those of blocks, chunks and leaves, small ones beside large ones."""
    sizes = [0, 1, 63, 64, 65, 4096, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF + 5, 65536, 40000, 9 * LEAF, 1_000_001, 119, 120]
    return [put(str(folder / f"{i:02}"), noise(size, i)) for i, size in enumerate(sizes)]


def summed(paths):
    """What sha1sum says."""
    done = subprocess.run(["sha1sum", *paths], capture_output=True, check=True, text=True)
    return [("sha1://" + line.split()[0], line.split()[1]) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("cpu", ["generic", "sse2", "avx2", "avx512", "sha", "sse2,avx2,avx512,sha"])
def test_files_hashed_side_by_side(store, tmp_path, cpu):
    folder, env = store
    env = {**env, VARIABLE: cpu}
    if run("--version", env=env).returncode == 2:
        pytest.skip(f"this processor lacks {cpu}")
    paths = many_files(tmp_path / "tree")
    assert [tuple(line) for line in lines(run("link", "-r", "--jobs", "1", str(tmp_path / "tree"), env=env, check=0))] == summed(paths)
    for path in paths:
        with open(path, "rb") as f:
            data = f.read()
        assert manifest_in(folder, data) == (manifest_of(data) if len(data) > LEAF else None)
    assert {state for state, _ in states(env, "verify").values()} == {"ok"}


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-user here")
@pytest.mark.parametrize("processor", ["core2duo", "max"])
def test_on_other_processors(store, tmp_path, processor):
    """What this one has or lacks: one of 2006, and all that the emulator knows."""
    folder, env = store
    data = noise(9 * LEAF + 7)
    path = put(str(tmp_path / "file"), data)
    paths = many_files(tmp_path / "tree")
    qemu = ["qemu-x86_64", "-cpu", processor, harness.BINARY]

    def emulated(*command):
        return subprocess.run([*qemu, *command], env=env, check=True, capture_output=True, timeout=harness.DEADLINE_S)

    emulated("link", path)
    assert manifest_in(folder, data) == manifest_of(data)
    assert [tuple(line) for line in lines(emulated("link", "-r", str(tmp_path / "tree")))] == summed(paths)
    emulated("verify")
    lacks = subprocess.run([*qemu, "--version"], env={**env, VARIABLE: "avx2"}, capture_output=True, timeout=harness.DEADLINE_S)
    assert (lacks.returncode == 2) == (processor == "core2duo")


def test_a_kernel_that_is_not_there_is_an_error(store):
    _, env = store
    done = run("ls", env={**env, VARIABLE: "avx3"}, check=2)
    assert f'{VARIABLE} "avx3": no such word, want generic, or a list of sse2' in done.stderr.decode()


def test_pages_and_zeros(store, tmp_path):
    """More than a page: leaves are written as they come, behind the page hashes."""
    folder, env = store
    path = sparse(tmp_path / "large", 1026 * LEAF + 3)
    with open(path, "r+b") as f:
        for i in (0, 7, 1023, 1024, 1026):
            f.seek(i * LEAF)
            f.write(noise(3, i))
    os.utime(path, (OLD, OLD))
    with open(path, "rb") as f:
        data = f.read()
    want, place = manifest_of(data), manifest_path(folder, sha1(data))
    run("link", path, env=env, check=0)
    assert place.read_bytes() == want
    place.unlink()
    run("store-local", path, env=env, check=0)
    assert place.read_bytes() == want and left_overs(folder) == []
    assert set(states(env, "verify").values()) == {("ok", True)}


def test_without_and_then_with(store, tmp_path):
    """A link without a manifest, as the Python client makes them: linking again makes it, whatever the hash cache knows."""
    folder, env = store
    data = noise(1_200_000)
    path = put(str(tmp_path / "file"), data)
    run("link", "--no-manifest", path, env=env, check=0)
    assert not (folder / "manifests").exists() and cache_file(folder, path).exists()
    assert states(env)["link", path] == ("ok", False)
    assert run("ls", env=env, check=0).stdout.split(b"\t")[3] == b"no"
    assert states(env, "verify")["link", path] == ("ok", False)
    record = object_path(folder, sha1(data), "linked_files/sha1").read_bytes()
    run("link", path, env=env, check=0)
    assert manifest_in(folder, data) == manifest_of(data)
    assert object_path(folder, sha1(data), "linked_files/sha1").read_bytes() == record
    assert states(env)["link", path] == ("ok", True)
    run("link", "--no-manifest", path, env=env, check=0)
    assert states(env)["link", path] == ("ok", True)
    run("store-local", "--no-manifest", path, env=env, check=0)
    assert set(states(env).values()) == {("ok", True)}


def test_a_known_file_is_not_read_again(store, tmp_path):
    """Shown by one that was changed behind the cache's back."""
    folder, env = store
    data = noise(1_200_000)
    path = put(str(tmp_path / "file"), data)
    uri = lines(run("link", path, env=env, check=0))[0][0]
    written = manifest_path(folder, sha1(data)).stat()
    with open(path, "r+b") as f:
        f.write(b"another")
    os.utime(path, ns=(OLD * 10**9 + 123456789,) * 2)
    assert lines(run("link", path, env=env, check=0))[0][0] == uri
    assert manifest_path(folder, sha1(data)).stat().st_mtime_ns == written.st_mtime_ns


def test_trees(store, tmp_path):
    folder, env = store
    files = {f"d{i % 3}/{i:02}": noise(200_000 + i * 40_000, i) for i in range(12)}
    for name, data in files.items():
        put(str(tmp_path / "tree" / name), data)
    run("link", "-r", str(tmp_path / "tree"), env=env, check=0)
    for data in files.values():
        assert manifest_in(folder, data) == (manifest_of(data) if len(data) > LEAF else None)
    shutil.rmtree(folder / "manifests")
    run("link", "-r", "--no-manifest", str(tmp_path / "tree"), env=env, check=0)
    assert not (folder / "manifests").exists()
    run("link", "-r", str(tmp_path / "tree"), env=env, check=0)
    assert {m for _, m in states(env).values()} == {True, None} and left_overs(folder) == []


BREAKS = {
    "a leaf": lambda m: m[:-1] + bytes([m[-1] ^ 1]),
    "a page hash": lambda m: m[:70] + bytes([m[70] ^ 1]) + m[71:],
    "the root": lambda m: m[:40] + bytes([m[40] ^ 1]) + m[41:],
    "the SHA-1": lambda m: m[:20] + bytes([m[20] ^ 1]) + m[21:],
    "the size": lambda m: m[:8] + bytes([m[8] ^ 1]) + m[9:],
    "the magic": lambda m: b"kchmfst2" + m[8:],
    "cut": lambda m: m[:-1],
    "a head alone": lambda m: m[:68],
    "empty": lambda m: b"",
    "longer": lambda m: m + b"\0",
    "of another file": lambda m: manifest_of(noise(1_200_000, 99)),
}


@pytest.mark.parametrize("kind", ["link", "copy"])
@pytest.mark.parametrize("what", BREAKS)
def test_a_damaged_one_is_found_and_made_again(store, tmp_path, kind, what):
    folder, env = store
    data = noise(1_200_000)
    path = put(str(tmp_path / "file"), data)
    verb = "link" if kind == "link" else "store-local"
    run(verb, path, env=env, check=0)
    shown = path if kind == "link" else str(object_path(folder, sha1(data)))
    manifest = manifest_path(folder, sha1(data))
    manifest.write_bytes(BREAKS[what](manifest.read_bytes()))
    done = run("verify", env=env, check=1)
    assert done.stdout.decode().split("\t")[:4] == ["damaged", kind, "1200000", "yes"]
    word = "link" if kind == "link" else "store"
    assert f"{shown}: its manifest is damaged: {word} it again" in done.stderr.decode()
    assert b"0 ok, 0 stale, 1 damaged, 0 missing" in done.stderr
    by_head = what in ("the SHA-1", "the size", "the magic", "cut", "a head alone", "empty", "longer", "of another file")
    assert states(env)[kind, shown] == ("damaged" if by_head else "ok", True)
    run(verb, path, env=env, check=0)
    assert manifest.read_bytes() == manifest_of(data)
    assert states(env, "verify")[kind, shown] == ("ok", True)


@pytest.mark.parametrize("what", ["the root", "the size", "empty"])
def test_linking_again_makes_it_good_without_verify(store, tmp_path, what):
    folder, env = store
    data = noise(1_200_000)
    path = put(str(tmp_path / "file"), data)
    run("link", path, env=env, check=0)
    manifest = manifest_path(folder, sha1(data))
    manifest.write_bytes(BREAKS[what](manifest.read_bytes()))
    run("link", path, env=env, check=0)
    assert manifest.read_bytes() == manifest_of(data)


def shared_by_mode(manifest):
    manifest.chmod(0o666)


def of_a_stranger(manifest):
    os.chown(manifest, NOBODY, GROUP)


def symbolic_link(manifest):
    manifest.rename(str(manifest) + "-moved")
    manifest.symlink_to(str(manifest) + "-moved")


def fifo(manifest):
    manifest.unlink()
    os.mkfifo(manifest)


@needs_root
@pytest.mark.parametrize("make", [shared_by_mode, of_a_stranger, symbolic_link, fifo])
def test_one_that_does_not_count_is_missing(store, tmp_path, make):
    """Somebody else could write other hashes into it: a daemon would serve another file's bytes under this address."""
    folder, env = store
    data = noise(1_200_000)
    path = put(str(tmp_path / "file"), data)
    run("link", path, env=env, check=0)
    manifest = manifest_path(folder, sha1(data))
    make(manifest)
    assert states(env)["link", path] == states(env, "verify")["link", path] == ("ok", False)
    run("link", path, env=env, check=0)
    st = os.lstat(manifest)
    assert stat.S_ISREG(st.st_mode) and st.st_uid == os.geteuid() and st.st_mode & 0o022 == 0
    assert manifest.read_bytes() == manifest_of(data)
    assert states(env)["link", path] == ("ok", True)


def test_mode_is_at_most_0644(store, tmp_path):
    folder, env = store
    data = noise(LEAF + 1)
    subprocess.run([harness.BINARY, "link", put(str(tmp_path / "file"), data)], env=env, check=True, umask=0,
                   stdout=subprocess.DEVNULL)
    assert stat.S_IMODE(manifest_path(folder, sha1(data)).stat().st_mode) == 0o644


def test_unlink_takes_it_away(store, tmp_path):
    folder, env = store
    data = noise(LEAF + 1)
    first, second = (put(str(tmp_path / name), data) for name in ("first", "second"))
    run("link", first, second, env=env, check=0)
    run("store-local", first, env=env, check=0)
    for path in first, second:
        run("unlink", path, env=env, check=0)
        assert manifest_in(folder, data) == manifest_of(data)
    run("unlink", f"sha1://{sha1(data)}", env=env, check=0)
    assert not manifest_path(folder, sha1(data)).exists()


def test_verify_removes_old_ones_of_nothing(store, tmp_path):
    """Of a link that was removed by another program, or that a killed process did not get to."""
    folder, env = store
    kept, gone = noise(LEAF + 1), noise(LEAF + 1, 2)
    paths = [put(str(tmp_path / name), data) for name, data in (("kept", kept), ("gone", gone))]
    run("link", *paths, env=env, check=0)
    for data in kept, gone:
        os.utime(manifest_path(folder, sha1(data)), (time.time() - 2 * DAY,) * 2)
    for suffix in "", ".paths":
        os.unlink(str(object_path(folder, sha1(gone), "linked_files/sha1")) + suffix)
    old, young = (left(folder / "manifests" / "sha1" / f"manifest.tmp.{c * 8}", age) for c, age in (("a", 2 * DAY), ("b", 60)))
    run("verify", env=env, check=0)
    assert manifest_in(folder, kept) == manifest_of(kept) and manifest_in(folder, gone) is None
    assert not old.exists() and young.exists()
    os.utime(young, (time.time() - 2 * DAY,) * 2)
    run("link", paths[0], env=env, check=0)
    assert not young.exists()


def test_a_file_that_changes_gets_neither(store, tmp_path):
    """It grows a thousand times while it is read."""
    folder, env = store
    path = sparse(tmp_path / "grows", 64 << 20)
    ended = threading.Event()

    def grow():
        with open(path, "ab", buffering=0) as f:
            while not ended.wait(0.0002):
                f.write(b"x")

    grower = threading.Thread(target=grow)
    grower.start()
    try:
        done = run("link", path, env=env, check=1)
        assert "changed while it was being read" in done.stderr.decode()
        done = run("store-local", path, env=env, check=1)
        assert "changed while it was being copied" in done.stderr.decode()
    finally:
        ended.set()
        grower.join()
    assert [p for p in folder.rglob("*") if p.is_file()] == []


@pytest.fixture
def group_folder():
    """A folder that everybody can enter, with a store of a group."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kachery-manifests-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "store").mkdir()
    os.chown(folder / "store", 0, GROUP)
    (folder / "store").chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_in_a_store_of_a_group(group_folder):
    """Who links makes his own; a daemon believes its own user's and root's."""
    store = group_folder / "store"
    env = harness.clean_environment(HOME=group_folder, KACHERY_CLOUD_DIR=store)
    data = noise(LEAF + 1)
    path = put(str(group_folder / "file"), data)
    manifest = manifest_path(store, sha1(data))

    program = shutil.copy(harness.BINARY, group_folder / "program")

    def as_member(*words):
        return subprocess.run([program, *words], env=env, capture_output=True, umask=0o002, check=True, user=NOBODY,
                              group=GROUP, extra_groups=[]).stdout

    as_member("link", path)
    assert manifest.stat().st_uid == NOBODY and stat.S_IMODE(manifest.stat().st_mode) == 0o644
    assert as_member("ls").split(b"\t")[3] == b"yes"
    assert states(env)["link", path] == ("ok", False)
    run("link", path, env=env, check=0)
    assert manifest.stat().st_uid == 0 and states(env)["link", path] == ("ok", True)
    assert as_member("ls").split(b"\t")[3] == b"yes"
    written = manifest.stat().st_ino
    as_member("link", path)
    assert manifest.stat().st_ino == written


# ---- faults ----

@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_one_that_cannot_be_written_is_an_error(store, tmp_path, verb):
    """The file is not added then, and nothing is left; without a manifest it is."""
    folder, env = store
    path = sparse(tmp_path / "file", 200 * LEAF)  # its manifest has 6,500 bytes

    def limited(*words):
        return subprocess.run([harness.BINARY, verb, *words, path], env=env, capture_output=True, timeout=harness.DEADLINE_S,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)))

    done = limited()
    assert done.returncode == 1 and done.stdout == b""
    said = "cannot write the manifest" if verb == "link" else "File too large"
    assert path in done.stderr.decode() and said in done.stderr.decode()
    assert listing(env) == [] and left_overs(folder) == []
    if verb == "link":
        assert limited("--no-manifest").returncode == 0
        assert states(env)["link", path] == ("ok", False)


FULL_SCRIPT = """
mount -t tmpfs -o size=64k none "$1"
"$2" link "$BIG" "$SMALL"; echo $?
"$2" ls
find "$KACHERY_CLOUD_DIR" -type f -name "*.tmp*"
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
def test_a_full_disk_costs_that_file(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    big = sparse(tmp_path / "big", 2100 * LEAF)  # more than two pages: written while the file is read
    small = put(str(tmp_path / "small"), b"small")
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=disk / "store", BIG=big, SMALL=small)
    done = subprocess.run(["unshare", "-m", "sh", "-c", FULL_SCRIPT, "sh", str(disk), harness.BINARY], env=env,
                          capture_output=True, timeout=harness.DEADLINE_S)
    out = done.stdout.decode().splitlines()
    assert out[0].endswith(small) and out[1] == "1" and out[2].startswith("ok\tlink\t5\t-\t") and len(out) == 3, done
    assert f"{big}: cannot write the manifest" in done.stderr.decode() and b"No space left on device" in done.stderr


def killed_at(call, n, env, *words):
    """True when the command itself, not a child of it, was killed in its n-th such call."""
    done = subprocess.run(["strace", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}",
                           harness.BINARY, *words], env=env, capture_output=True, timeout=harness.DEADLINE_S)
    assert done.returncode in (0, -9, 137), done.stderr
    return done.returncode != 0


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_killed_between_manifest_and_record(tmp_path, verb):
    """A manifest becomes visible before what it is of: a link or copy that is visible has its own."""
    data = noise(1_200_000)
    path = put(str(tmp_path / "file"), data)
    seen = set()
    for n in range(1, 9):
        folder = tmp_path / f"store{n}"
        env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=folder)
        was_killed = killed_at("rename", n, env, verb, path)
        there = states(env, "verify")
        assert set(there.values()) <= {("ok", True)}
        seen.add((bool(there), manifest_path(folder, sha1(data)).exists()))
        run(verb, path, env=env, check=0)
        assert set(states(env, "verify").values()) == {("ok", True)}
        if not was_killed:
            break
    assert not was_killed and seen >= {(False, True), (True, True)}


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
def test_unlink_that_is_killed(tmp_path):
    """A manifest that is left is that of nothing: linking again makes use of it."""
    data = noise(1_200_000)
    path = put(str(tmp_path / "file"), data)
    for n in range(1, 9):
        folder = tmp_path / f"store{n}"
        env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=folder)
        run("link", path, env=env, check=0)
        was_killed = killed_at("unlink", n, env, "unlink", path)
        assert set(states(env, "verify").values()) <= {("ok", True)}
        run("link", path, env=env, check=0)
        assert set(states(env, "verify").values()) == {("ok", True)}
        if not was_killed:
            break
    assert not was_killed and n > 2


def test_help_says_it():
    for verb in "link", "store-local":
        assert b"--no-manifest" in run(verb, "--help", check=0).stdout
    assert b"manifest (yes, no, or -" in run("ls", "--help", check=0).stdout
    assert b"--no-manifest" not in run("store", "--help", check=0).stdout
    run("store", "--no-manifest", "x", check=2)
