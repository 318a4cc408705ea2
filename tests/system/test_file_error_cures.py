"""Errors of files that name the cause in full, and the cure where there is one."""
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile

import harness
import pytest
from harness import clean_environment, run

USER, OTHER = 4001, 4002
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.fixture
def open_folder():
    """A folder below /tmp that other users can enter."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="kachery-cures-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_user(folder, *command, uid=USER, **extra):
    env = clean_environment(HOME=folder / "home", KACHERY_GATEWAY_URL="http://127.0.0.1:9", **extra)
    return subprocess.run([harness.BINARY, *map(str, command)], user=uid, group=uid, extra_groups=[], env=env, cwd=folder,
                          capture_output=True, timeout=harness.DEADLINE_S)


def owned(path, uid, mode, data=None):
    path.mkdir() if data is None else path.write_bytes(data)
    os.chown(path, uid, uid)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("verb", ["link", "store-local", "store"])
def test_dangling_links(store, tmp_path, verb):
    (tmp_path / "link").symlink_to("nowhere/at all")
    extra = {"KACHERY_STORE_FILE_DIR": str(tmp_path / "flat")} if verb == "store" else {}
    done = run(verb, str(tmp_path / "link"), env={**store[1], **extra}, check=1)
    assert b"a symbolic link to nowhere/at all, which is not there" in done.stderr
    if verb != "store":
        done = run(verb, "-r", str(tmp_path), env=store[1], check=1)
        assert b"link: cannot open: No such file or directory: a symbolic link to nowhere/at all" in done.stderr


@needs_root
def test_whose_a_file_is_and_what_bars_the_way(open_folder):
    owned(open_folder / "home", USER, 0o755)
    owned(open_folder / "closed", OTHER, 0o700)
    owned(open_folder / "closed" / "in", OTHER, 0o755)
    owned(open_folder / "closed" / "in" / "f", OTHER, 0o644, b"x")
    owned(open_folder / "mine", OTHER, 0o600, b"x")
    done = as_user(open_folder, "link", open_folder / "closed" / "in" / "f")
    assert f"Permission denied: {open_folder}/closed may not be entered: it belongs to user {OTHER}, group {OTHER}, mode 0700" in \
        done.stderr.decode()
    done = as_user(open_folder, "link", open_folder / "mine")
    assert f"Permission denied: it belongs to user {OTHER}, group {OTHER}, mode 0600" in done.stderr.decode()


@needs_root
def test_a_home_that_cannot_be_written(open_folder):
    owned(open_folder / "home", OTHER, 0o755)
    owned(open_folder / "f", USER, 0o644, b"x")
    for command in (["link", open_folder / "f"], ["register", "--no-wait"]):
        done = as_user(open_folder, *command)
        assert done.returncode == 1
        assert f"cannot create a file in {open_folder}/home: Permission denied: it belongs to user {OTHER}" in done.stderr.decode()
        assert b"set KACHERY_CLOUD_DIR" in done.stderr


def test_a_home_on_a_file_system_that_is_read_only(open_folder):
    done = run("link", harness.BINARY, env=clean_environment(HOME="/proc/nobody"), check=1)
    assert b"KACHERY_CLOUD_DIR" in done.stderr


def test_too_many_open_files(store, tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    done = subprocess.run([harness.BINARY, "link", str(tmp_path / "f")], env=store[1], capture_output=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4)), timeout=harness.DEADLINE_S)
    assert done.returncode == 1 and b"ulimit -n" in done.stderr


def test_names_that_are_too_long(store, tmp_path):
    done = run("link", str(tmp_path / ("x" * 300)), env=store[1], check=1)
    assert b"too long: a name may have 255 bytes" in done.stderr


def test_links_in_a_circle(store, tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    done = run("link", str(tmp_path / "a"), env=store[1], check=1)
    assert b"symbolic links that lead in a circle" in done.stderr


def test_a_limit_of_file_sizes(store, tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    done = subprocess.run([harness.BINARY, "store-local", str(tmp_path / "f")], env=store[1], capture_output=True,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
                          timeout=harness.DEADLINE_S)
    assert done.returncode == 1 and b"ulimit -f" in done.stderr


def test_a_full_disk(open_folder):
    small = open_folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", small], capture_output=True).returncode != 0:
        pytest.skip("cannot mount")
    try:
        (open_folder / "f").write_bytes(os.urandom(500_000))
        env = clean_environment(HOME=open_folder, KACHERY_CLOUD_DIR=small / "store")
        done = run("store-local", str(open_folder / "f"), env=env, check=1)
        assert b"No space left on device: free some room" in done.stderr
        subprocess.run(["mount", "-o", "remount,ro", small], check=True)
        done = run("link", str(open_folder / "f"), env={**env, "KACHERY_CLOUD_DIR": str(small / "other")}, check=1)
        assert b"Read-only file system: that file system cannot be written now" in done.stderr
    finally:
        subprocess.run(["umount", small], check=True)


def as_lab_user(*command, store):
    with open(harness.BINARY, "rb") as binary:
        return subprocess.run([f"/proc/self/fd/{binary.fileno()}", *command], user=USER, group=USER, extra_groups=[],
                              pass_fds=[binary.fileno()], cwd="/", capture_output=True, timeout=harness.DEADLINE_S,
                              env=harness.clean_environment(HOME="/nonexistent", KACHERY_CLOUD_DIR=store,
                                                            KACHERY_GATEWAY_URL="http://127.0.0.1:9"))


@needs_root
@pytest.mark.parametrize("command", [["ls"], ["verify"], ["load", "--no-request", "sha1://" + "0" * 40], ["store", "/dev/null"],
                                     ["register", "--no-wait"]])
def test_an_unreadable_store_is_told_with_its_owner_and_what_he_can_do(open_folder, command):
    folder = open_folder / "store"
    folder.mkdir(mode=0o700)
    os.chown(folder, OTHER, OTHER)
    done = as_lab_user(*command, store=folder)
    words = done.stderr.decode()
    assert done.returncode == 1
    assert f"{folder} may not be entered: it belongs to user {OTHER}, group {OTHER}, mode 0700" in words
    assert f"chgrp GROUP {folder}; chmod g+rX {folder}" in words and "o+r" not in words
