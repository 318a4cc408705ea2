"""The lease as operators suffer it: who takes over from whom and when, folders that go and come back, odd paths."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from harness import Process, is_running, until
from zone_double import ABSENT, DATA, folder_of

# 50 times shorter than the product's
FAST = ("lease_refresh_ms=200,lease_hold_ms=600,lease_stale_ms=900,lease_look_ms=40,lease_claim_ms=100,"
        "retry_min_ms=20,connect_ms=1000,presence_first_ms=600000,status_ms=10")
NOT_FOUND = {"status": "not-found"}


def record(desk):
    """The lease's record; None while there is none, or it is just being written."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((desk.lease / "owner").read_text())
    return None


def another(desk, *options, **env):
    """A second `share` beside desk.daemon."""
    env = {**desk.env, "KACHERY_RESOURCE_TEST_INTERVALS": FAST, **env}
    return desk.keep(Process("share", "--config", str(desk.config), *options, env=env))


def foreign(desk, **changes):
    """The lease of a daemon on another host, which is not there to renew it."""
    desk.lease.mkdir(exist_ok=True)
    fields = {"resource": desk.proxy.name, "host": "login-7", "pid": 77, "pidStarted": 5, "boot": "b", "pidNamespace": "n",
              "timeNamespace": "t", "token": "0123456789abcdef" * 2, "sinceMs": 1, "counter": 7, "renewedMs": 1,
              "renewedBootMs": 1, **changes}
    (desk.lease / "owner").write_text(json.dumps(fields).ljust(1023) + "\n")
    return fields


def rewrite(desk, fields):
    """As its holder would, in place."""
    with open(desk.lease / "owner", "r+") as file:
        file.write(json.dumps(fields).ljust(1023) + "\n")


# ---- the record ----

def test_it_is_renewed_in_place(desk):
    desk.share(intervals=FAST)
    owner = desk.lease / "owner"
    before, first = owner.stat(), record(desk)
    last = until(lambda: (record(desk) or first)["counter"] >= first["counter"] + 3 and record(desk), "three renewals")
    after = owner.stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size) and after.st_size == 1024
    assert last["token"] == first["token"] and abs(last["renewedMs"] / 1000 - time.time()) < 60
    assert set(os.listdir(desk.lease)) <= {"owner", "stop", "cron"}  # no claim, no temporary file


# ---- taking over ----

def test_a_foreign_holder_that_is_alive(desk):
    """`share --cron` ends as soon as it has seen the counter move, whatever the file's times say."""
    fields = foreign(desk)
    second = another(desk, "--cron", KACHERY_RESOURCE_TEST_INTERVALS="lease_look_ms=40")
    os.utime(desk.lease / "owner", (1, 1))
    until(lambda: is_running(second.pid) and os.readlink(f"/proc/{second.pid}/exe"), "a process that watches")
    time.sleep(0.2)  # it watches: it has looked some times
    assert second.process.poll() is None
    rewrite(desk, {**fields, "counter": 8})
    os.utime(desk.lease / "owner", (1, 1))
    assert second.wait() == 0 and second.text() == ""
    third = another(desk, KACHERY_RESOURCE_TEST_INTERVALS="lease_look_ms=40")
    third.wait_line("login-7 (process 77) has the lease; looking whether it renews it, for at most 45 s")
    rewrite(desk, {**fields, "counter": 9})
    assert third.wait() == 1 and "already shared by login-7 (process 77)" in third.text()
    assert desk.proxy.greetings == []


def test_a_foreign_holder_that_is_dead(desk):
    foreign(desk)
    inode = (desk.lease / "owner").stat().st_ino
    begun = time.monotonic()
    daemon = desk.share("--cron", intervals=FAST)
    assert time.monotonic() - begun >= 0.9
    assert record(desk)["pid"] == daemon.pid and record(desk)["counter"] > 7
    assert (desk.lease / "owner").stat().st_ino == inode  # readers may have its name cached


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_a_holder_of_this_host_that_ends(desk, end):
    """A dead one is replaced at once, a stopped one when its counter has not moved for long."""
    first = desk.share(intervals=FAST)
    first.signal(end)
    if end == signal.SIGSTOP:  # its keeper does not renew for it, but for a renewal that is under way
        counters = []
        until(lambda: counters.append((record(desk) or {}).get("counter")) or len(counters) > 30 and
              len(set(counters[-30:])) == 1, "an end of the renewals")
    begun = time.monotonic()
    if end == signal.SIGKILL:
        first.process.wait()
    second = another(desk, "--cron")
    second.wait_line("acknowledged")
    assert end == signal.SIGKILL or time.monotonic() - begun >= 0.7
    assert desk.proxy.status(f"sha1://{ABSENT}") == NOT_FOUND
    if end == signal.SIGSTOP:
        asked = len(desk.proxy.greetings)
        first.signal(signal.SIGCONT)
        assert first.wait() == 1 and "already shared by" in first.text()
        assert len(desk.proxy.greetings) == asked
    assert record(desk)["pid"] == second.pid


def test_a_zombie_holds_no_lease(desk):
    """In a container whose init does not reap."""
    keep = desk.keep
    env = {**desk.env, "KACHERY_RESOURCE_TEST_INTERVALS": FAST}
    parent = keep(Process("share", "--config", str(desk.config), env=env))
    parent.wait_line("acknowledged")
    os.kill(parent.pid, signal.SIGKILL)  # this process does not wait for it yet
    until(lambda: open(f"/proc/{parent.pid}/stat").read().rpartition(")")[2].split()[0] == "Z", "a zombie")
    begun = time.monotonic()
    another(desk, "--cron", KACHERY_RESOURCE_TEST_INTERVALS="").wait_line("acknowledged")
    assert time.monotonic() - begun < 20


def test_takers_that_were_killed(desk):
    """Each that died while it took over costs the next some seconds, here 50 times less."""
    fields = foreign(desk)
    for claim in ("after." + fields["token"], "after." + fields["token"] + ".1"):
        (desk.lease / claim).touch()
    begun = time.monotonic()
    desk.share("--cron", intervals=FAST)
    assert time.monotonic() - begun < 10
    assert set(os.listdir(desk.lease)) <= {"owner", "stop", "cron"}  # no claim, no temporary file


def test_many_that_start_at_once(desk):
    """From cron of many hosts: one of them shares, the others end in silence."""
    foreign(desk)
    env = {**desk.env, "KACHERY_RESOURCE_TEST_INTERVALS": FAST + ",lease_claim_ms=5000,lease_stale_ms=1500"}
    runs = [desk.keep(Process("share", "--cron", "--config", str(desk.config), env=env)) for _ in range(6)]
    desk.proxy.wait_connected()
    until(lambda: sum(run.process.poll() is None for run in runs) == 1, "one that is left")
    left, = [run for run in runs if run.process.poll() is None]
    assert all(run.wait() == 0 and run.text() == "" for run in runs if run is not left)
    assert record(desk)["pid"] == left.pid and len(desk.proxy.greetings) == 1


# ---- folders that go and come back ----

def files_are_back(desk, daemon, log):
    until(lambda: (record(desk) or {}).get("pid") == daemon.pid, "a lease")
    until(lambda: desk.status_file.exists() and json.loads(desk.status_file.read_text())["pid"] == daemon.pid, "a status")
    return until(lambda: log.exists() and "written anew" in log.read_text() and log.read_text(), "a line in the log")


@pytest.mark.parametrize("put_back", ["without", "with our lease", "with an old lease"])
def test_a_folder_that_is_deleted_and_put_back(desk, put_back):
    log = desk.folder / "log"
    daemon = desk.share("--log", str(log), wait=False, intervals=FAST)
    desk.proxy.wait_connected()
    files_before = until(lambda: desk.status_file.exists() and log.exists() and os.listdir(desk.folder), "its files")
    backup = desk.folder.with_name("backup")
    if put_back == "with our lease":
        shutil.copytree(desk.folder, backup)
    else:
        backup.mkdir(mode=0o700)
        shutil.copy2(desk.config, backup)
        shutil.copytree(folder_of(desk.env), backup / os.path.relpath(folder_of(desk.env), desk.folder))
    desk.folder.rename(desk.folder.with_name("deleted"))
    backup.rename(desk.folder)
    if put_back == "with an old lease":
        foreign(desk)
    shutil.rmtree(desk.folder.with_name("deleted"), ignore_errors=True)
    text = files_are_back(desk, daemon, log)
    assert text.count("written anew") == 1 and files_before
    if put_back == "with an old lease":
        assert "the lease is in doubt" in text
        desk.proxy.wait_connected(2)
    assert desk.proxy.status(f"sha1://{ABSENT}") == NOT_FOUND
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0 and not (desk.lease / "owner").exists()


def test_a_folder_that_is_gone_for_long(desk):
    """Nothing is served meanwhile, as another may have the name; then all goes on."""
    log = desk.folder / "log"
    daemon = desk.share("--log", str(log), wait=False, intervals=FAST)
    desk.proxy.wait_connected()
    away = desk.folder.with_name("away")
    desk.folder.rename(away)
    until(lambda: desk.proxy.socket is None, "the daemon to hang up")
    assert not desk.folder.exists()
    away.rename(desk.folder)
    desk.proxy.wait_connected(2)
    assert desk.proxy.status(f"sha1://{ABSENT}") == NOT_FOUND
    assert daemon.process.poll() is None


def test_two_after_a_deletion(desk):
    """Somebody deleted the lease, and a second daemon started: the first one ends, within one renewal and a look."""
    first = desk.share(intervals=FAST)
    shutil.rmtree(desk.lease)
    second = another(desk)
    until(lambda: first.process.poll() is not None or second.process.poll() is not None, "the end of one")
    lost, kept = (first, second) if first.process.poll() is not None else (second, first)
    assert lost.wait() == 1 and "already shared by" in lost.text()
    until(lambda: (record(desk) or {}).get("pid") == kept.pid, "the lease of the other")


# ---- paths ----

def test_relative_paths(desk):
    """They are of the folder in which it was started, also when that one is gone."""
    start = desk.folder / "start"
    start.mkdir()
    for name in ("kachery-resource.yaml",):
        shutil.copy2(desk.config, start / name)
    store = start / "store"
    shutil.copytree(desk.env["KACHERY_CLOUD_DIR"], store)
    path = desk.folder / "file"
    path.write_bytes(DATA)
    env = {**desk.env, "KACHERY_CLOUD_DIR": "store", "KACHERY_RESOURCE_TEST_INTERVALS": FAST}
    daemon = desk.keep(Process("share", "--config", "./kachery-resource.yaml", "--log", "log", "--audit", "audit", env=env, cwd=start))
    desk.proxy.wait_connected()
    moved = desk.folder / "moved"
    start.rename(moved)  # its working directory has another name now
    start.mkdir()
    shutil.copytree(moved / "store", store)
    shutil.copy2(moved / "kachery-resource.yaml", start)
    until(lambda: (start / "kachery-resource.lease" / "owner").exists() and (start / "log").exists() and
          (start / "kachery-resource.status.json").exists(), "its files where they belong")
    uri = subprocess.run([*daemon.process.args[:1], "link", str(path)], env={**desk.env, "KACHERY_CLOUD_DIR": str(store)},
                         stdout=subprocess.PIPE, check=True).stdout.decode().split("\t")[0]
    assert desk.proxy.status(uri)["status"] == "completed"
    until(lambda: (start / "audit").exists() and uri.partition("//")[2] in (start / "audit").read_text(), "a line of the audit")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0 and not (start / "kachery-resource.lease" / "owner").exists()


@pytest.mark.parametrize("is_relative", [False, True])
def test_a_config_through_a_symbolic_link(desk, is_relative):
    """One file, one lease, whichever name it is given."""
    daemon = desk.share(intervals=FAST)
    other = desk.folder / "other"
    other.mkdir()
    middle = other / "middle.yaml"
    middle.symlink_to(os.path.join("..", desk.config.name) if is_relative else desk.config)
    link = other / "kachery-resource.yaml"
    link.symlink_to("middle.yaml")
    second = desk.keep(Process("share", env=desk.env, cwd=other))
    assert second.wait() == 1
    assert f"already shared by {socket.gethostname()} (process {daemon.pid})" in second.text()
    assert not (other / "kachery-resource.lease").exists()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    third = desk.keep(Process("share", env=desk.env, cwd=other))
    third.wait_line("acknowledged")
    assert record(desk)["pid"] == third.pid and sorted(os.listdir(other)) == ["kachery-resource.yaml", "middle.yaml"]
