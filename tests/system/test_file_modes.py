"""Who may read and write what is created (a hash is the key to its file): stores of one and of several people, what the
daemon keeps beside its config, and what the second user is told where it cannot write."""
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile

import harness
import pytest
from harness import clean_environment, run
from store_files import put

ALICE, BOB, LAB = 4001, 4002, 4100
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def below(folder):
    """The modes of all directories and of all files below a folder. Others can never write into what is beside a link, which
    is its owner's word: it is told as if they could wherever they can write into the link."""
    found = {True: set(), False: set()}
    for path in pathlib.Path(folder).rglob("*"):
        bits = mode(path)
        if "manifests" in path.parts and path.is_file():
            assert bits & 0o133 == 0, path
            record = pathlib.Path(str(path).replace("/manifests/", "/linked_files/"))
            bits |= mode(record) & 0o022
        if path.suffix == ".paths":
            assert bits & 0o022 == 0, path
            bits |= mode(path.with_suffix("")) & 0o022
        found[path.is_dir()].add(bits)
    return found[True], found[False]


def add_all(env, tmp_path, umask, **who):
    """Whatever writes into a store without a server: links, copies, the hash cache, keys."""
    small, large = put(str(tmp_path / "in" / "small"), b"s"), put(str(tmp_path / "in" / "large"), b"l" * 1_000_001)
    for command in (["link", small, large], ["store-local", small, large], ["register", "--no-wait"]):
        done = subprocess.run([harness.BINARY, *command], env={**env, "KACHERY_GATEWAY_URL": "http://127.0.0.1:9"},
                              umask=umask, capture_output=True, timeout=harness.DEADLINE_S, **who)
        assert command[0] == "register" or done.returncode == 0, done.stderr


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_store_at_the_default_place_is_private(tmp_path, umask):
    add_all(clean_environment(HOME=tmp_path), tmp_path, umask)
    store = tmp_path / ".kachery-cloud"
    assert mode(store) == 0o700
    assert below(store) == ({0o700}, {0o600})


def test_a_setgid_home_does_not_open_it(tmp_path):
    tmp_path.chmod(0o2770)
    add_all(clean_environment(HOME=tmp_path), tmp_path, 0)
    assert mode(tmp_path / ".kachery-cloud") == 0o700
    assert {m & 0o077 for m in below(tmp_path / ".kachery-cloud")[1]} == {0}


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_store_below_a_setgid_directory_follows_it(tmp_path, umask):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    add_all(clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=shared / "store"), tmp_path, umask)
    assert mode(shared / "store") == 0o2770
    assert below(shared / "store") == ({0o2770}, {0o660, 0o600})
    assert [p.name for p in (shared / "store").rglob("*") if p.is_file() and mode(p) == 0o600] == ["private.pem"]


@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077])
def test_a_store_elsewhere_has_the_umask(tmp_path, umask):
    add_all(clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store"), tmp_path, umask)
    assert mode(tmp_path / "store") == 0o777 & ~umask
    assert below(tmp_path / "store") == ({0o777 & ~umask}, {0o666 & ~umask, 0o600})


@pytest.mark.parametrize("root, folders, files", [
    (0o2775, 0o2775, 0o664), (0o2770, 0o2770, 0o660), (0o775, 0o775, 0o664), (0o755, 0o755, 0o644), (0o750, 0o750, 0o640),
    (0o700, 0o700, 0o600), (0o2755, 0o2755, 0o644)])
@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_what_is_new_takes_the_group_bits_of_the_root(tmp_path, root, folders, files, umask):
    store = tmp_path / "store"
    store.mkdir()
    store.chmod(root)
    there = store / "linked_files"
    there.mkdir(mode=0o711)
    add_all(clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=store), tmp_path, umask)
    assert (mode(store), mode(there) & 0o777) == (root, 0o711)  # what exists is never changed
    others = 0o7 & ~umask
    got = below(store)
    assert {m & ~0o2007 for m in got[0] - {mode(there)}} == {folders & ~0o2007}
    assert {m & ~0o007 for m in got[1]} == {files & ~0o007, 0o600}
    assert not any(m & 0o007 & ~others for m in got[0] - {mode(there)} | got[1])


@pytest.fixture
def group_store():
    """A store that alice made with umask 022 in a directory of the group, which bob may use too."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kachery-modes-", dir="/tmp"))
    folder.chmod(0o755)
    shared = folder / "shared"
    shared.mkdir()
    os.chown(shared, 0, LAB)
    shared.chmod(0o2775)
    data = pathlib.Path(put(str(folder / "data"), b"x"))
    data.chmod(0o644)
    yield shared
    shutil.rmtree(folder)


def as_user(uid, *command, store, umask=0o022, groups=(LAB,), **extra):
    return subprocess.run([harness.BINARY, *command], user=uid, group=uid, extra_groups=list(groups), umask=umask,
                          env=clean_environment(HOME="/nonexistent", KACHERY_CLOUD_DIR=store, **extra), cwd="/",
                          capture_output=True, timeout=harness.DEADLINE_S)


@needs_root
def test_two_users_of_one_store(group_store):
    store, first, second = group_store / "store", group_store.parent / "data", put(str(group_store.parent / "more"), b"y")
    os.chmod(second, 0o644)
    for uid, path in ((ALICE, first), (BOB, second), (BOB, first), (ALICE, second)):
        for verb in ("link", "store-local"):
            done = as_user(uid, verb, str(path), store=store)
            assert done.returncode == 0, done.stderr
    assert {p.stat().st_gid for p in store.rglob("*")} == {LAB}
    assert b"ok" in as_user(BOB, "ls", store=store).stdout
    assert as_user(4003, "ls", store=store, groups=()).returncode == 1  # a stranger


@needs_root
def test_the_second_user_is_told_who_can_help(group_store):
    store = group_store / "store"
    assert as_user(ALICE, "link", str(group_store.parent / "data"), store=store).returncode == 0
    for path in [store, *store.rglob("*")]:  # as a program that knows nothing of groups leaves it
        path.chmod(0o2755 if path.is_dir() else 0o644)
    done = as_user(BOB, "link", str(put(str(group_store.parent / "other"), b"z")), store=store)
    words = done.stderr.decode()
    assert done.returncode == 1
    assert f"cannot create a file in {store}/linked_files/sha1: Permission denied" in words
    assert f"belongs to user {ALICE}, group {LAB}, mode 2755" in words and f"chmod -R g+rwX {store}" in words
    for verb, folder in (("store-local", store), ("register", store)):
        done = as_user(BOB, verb, *([str(group_store.parent / "data")] if verb == "store-local" else ["--no-wait"]),
                       store=store, KACHERY_GATEWAY_URL="http://127.0.0.1:9")
        assert f"cannot create a file in {folder}: Permission denied".encode() in done.stderr, done.stderr
        assert f"mode 2755".encode() in done.stderr
    done = as_user(4003, "link", str(group_store.parent / "data"), store=group_store / "another", groups=())
    assert f"cannot create a file in {group_store}: Permission denied".encode() in done.stderr
    assert f"only members of group {LAB}".encode() in done.stderr


@needs_root
def test_a_group_that_is_not_ours_gets_nothing(group_store):
    """The store's directory gives bits to a group that the writer is not in."""
    store = group_store.parent / "open"
    store.mkdir()
    os.chown(store, BOB, LAB)
    store.chmod(0o775)
    done = as_user(BOB, "link", str(group_store.parent / "data"), store=store, groups=(), umask=0o077)
    assert done.returncode == 0, done.stderr
    assert {m & 0o077 for part in below(store) for m in part} == {0}


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@pytest.mark.parametrize("folder, status, log, lease", [(0o755, 0o600, 0o600, 0o755), (0o2770, 0o660, 0o660, 0o2775)])
def test_what_the_daemon_keeps(lab, umask, folder, status, log, lease):
    lab.folder.chmod(folder)
    mask = os.umask(umask)
    try:
        daemon = lab.keep(harness.Process("share", "--log", str(lab.folder / "log"), "--config", str(lab.config),
                                          env=lab.host, cwd=lab.folder))
    finally:
        os.umask(mask)
    harness.until((lab.folder / "kachery-resource.status.json").exists, "a status")
    assert mode(lab.folder / "kachery-resource.status.json") == status
    assert mode(lab.folder / "log") == log
    assert mode(lab.folder / "kachery-resource.lease") == lease
    assert mode(lab.folder / "kachery-resource.lease" / "owner") & 0o444 == 0o444
    daemon.stop()


@pytest.mark.parametrize("parent, want", [(0o755, 0o700), (0o2770, 0o2770)])
def test_a_new_bucket_is_private(tmp_path, processes, parent, want):
    tmp_path.chmod(parent)
    processes(harness.Server("gateway", "--data", tmp_path / "zone", env=clean_environment(HOME=tmp_path)))
    assert mode(tmp_path / "zone") == want


def test_downloads_into_the_store(lab):
    path = put(str(lab.folder / "file"), os.urandom(300_000))
    uri = run("store", path, env=lab.host, check=0).stdout.split(b"\t")[0].decode()
    lab.remote_store.chmod(0o2770)
    mask = os.umask(0o077)
    try:
        loaded = run("load", uri, env=lab.remote, check=0).stdout.decode().strip()
        copied = run("store", path, env={**lab.host, "KACHERY_STORE_FILE_DIR": str(lab.remote_store / "flat")}, check=0)
    finally:
        os.umask(mask)
    assert mode(loaded) == 0o660 and mode(pathlib.Path(loaded).parent) == 0o2770
    assert copied and {mode(p) for p in (lab.remote_store / "flat" / "sha1").iterdir() if p.is_file()} == {0o660}
