"""share as a process: its config, its being alone, signals, the log."""
import json
import os
import signal
import socket
import subprocess
import time

import harness
import hung_storage
import pytest
from harness import BINARY, Process, descendants, is_running, memory_holds, run, sha1, until
from store_files import DAY, left
from zone_double import ABSENT, DATA, folder_of


# ---- what it is told ----

def test_a_config_that_is_not_there(tmp_path):
    done = run("share", cwd=tmp_path, check=1)
    assert b"kachery-resource init" in done.stderr


@pytest.mark.parametrize("changes, words", [
    ({"maxConcurrentUploads": "two"}, 'kachery-resource.yaml:3: maxConcurrentUploads "two": want a whole number 1-64'),
    ({"resourceName": None}, "resourceName is missing"),
    ({"proxySecret": None}, "proxySecret is missing"),
    ({"proxyUrl": "ftp://x"}, "kachery-resource.yaml:4: proxyUrl"),
])
def test_a_bad_config(desk, changes, words):
    desk.write_config(**changes)
    daemon = desk.share(wait=False)
    assert daemon.wait() == 1
    assert words in daemon.text()


def test_another_zone_in_the_environment(desk):
    daemon = desk.share(wait=False, KACHERY_ZONE="other")
    assert daemon.wait() == 1
    assert "zone mismatch" in daemon.text() and '"other"' in daemon.text() and '"default"' in daemon.text()
    desk.share(KACHERY_ZONE="default")


def test_missing_keys(desk, tmp_path):
    daemon = desk.share(wait=False, KACHERY_CLOUD_DIR=str(tmp_path / "elsewhere"))
    assert daemon.wait() == 1
    assert "kachery-resource register" in daemon.text()


def test_a_log_that_cannot_be_written(desk):
    daemon = desk.share("--log", str(desk.folder / "no" / "log"), wait=False)
    assert daemon.wait() == 1
    assert "cannot open log" in daemon.text()


# ---- alone ----

def test_only_one_shares_a_resource(desk):
    daemon = desk.share()
    second = desk.keep(Process("share", "--config", str(desk.config), env=desk.env))
    assert second.wait() == 1
    assert f"already shared by {socket.gethostname()} (process {daemon.pid})" in second.text()
    third = desk.keep(Process("share", "--cron", "--config", str(desk.config), env=desk.env))
    assert third.wait() == 0 and third.text() == ""
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    assert len(desk.proxy.greetings) == 1


def test_two_resources_want_two_folders(desk):
    """There is one lease beside a config: --cron must not be content with the other resource's."""
    daemon = desk.share()
    other = desk.config.with_name("other.yaml")
    other.write_text(desk.config.read_text().replace(desk.proxy.name, "other-resource"))
    done = run("share", "--cron", "--config", str(other), env=desk.env, check=1)
    assert f"resource {desk.proxy.name} is shared from this folder, by {socket.gethostname()} (process {daemon.pid})" in \
        done.stderr.decode()


def foreign_lease(desk, age_s):
    desk.lease.mkdir()
    owner = desk.lease / "owner"
    owner.write_text(json.dumps({"host": "login-7", "pid": 77, "pidStarted": 5, "boot": "b", "pidNamespace": "n",
                                 "token": "0123456789abcdef" * 2, "sinceMs": 1}))
    os.utime(owner, (time.time() - age_s,) * 2)


def test_a_daemon_on_another_host(desk):
    foreign_lease(desk, 100)
    second = desk.share(wait=False)
    assert second.wait() == 1
    assert "already shared by login-7 (process 77)" in second.text()
    third = desk.share("--cron", wait=False)
    assert third.wait() == 0 and third.text() == ""
    os.utime(desk.lease / "owner", (time.time() - 1000,) * 2)
    desk.share("--cron")


def test_cron_while_the_storage_of_the_keys_hangs(desk):
    """Else one more process would hang there every few minutes, until the host takes no more."""
    desk.share()
    with hung_storage.hung(folder_of(desk.env)):
        second = desk.share("--cron", wait=False)
        assert second.wait() == 0 and second.text() == ""


def test_a_daemon_whose_lease_was_taken_ends(desk):
    daemon = desk.share(intervals="lease_refresh_ms=20")
    owner = desk.lease / "owner"
    foreign = json.loads(owner.read_text())
    foreign.update(host="login-7", token="f" * 32)
    owner.write_text(json.dumps(foreign))
    assert daemon.wait() == 1
    assert "already shared by login-7" in daemon.text()
    assert owner.exists()


def test_a_daemon_that_cannot_renew_its_lease_hangs_up(desk):
    """Else it keeps the name at the proxy, and whoever took the lease over is refused there."""
    _, uri = desk.link("file", DATA)
    daemon = desk.share(intervals="lease_refresh_ms=50,lease_hold_ms=600")
    desk.lease.rename(desk.folder / "away")
    desk.lease.write_text("no folder: as bad as storage that is gone")
    daemon.wait_line("the lease is in doubt")
    until(lambda: desk.proxy.socket is None, "the daemon to hang up")
    desk.lease.unlink()
    (desk.folder / "away").rename(desk.lease)
    daemon.wait_line("the lease is renewed again")
    desk.proxy.wait_connected(2)
    desk.proxy.ask(uri).message()
    assert desk.zone.puts
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0 and not desk.lease.exists()


def test_a_daemon_wakes_and_hangs_up_before_it_reads(desk):
    """It was stopped for longer than its lease lasts; the request came meanwhile."""
    daemon = desk.share(intervals="lease_refresh_ms=50,lease_hold_ms=1000")
    keeper, = desk.worker("kachery-keeper")
    os.kill(daemon.pid, signal.SIGSTOP)
    os.kill(keeper, signal.SIGSTOP)
    stopped = time.monotonic()
    asked = desk.proxy.ask(f"sha1://{ABSENT}")
    until(lambda: time.monotonic() > stopped + 1.2, "a lease to lapse")
    os.kill(daemon.pid, signal.SIGCONT)
    until(lambda: desk.proxy.socket is None, "the daemon to hang up")
    os.kill(keeper, signal.SIGCONT)
    daemon.wait_line("the lease is renewed again")
    desk.proxy.wait_connected(2)
    assert not asked.is_there()


# ---- signals ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_uploads_may_finish(desk, number):
    _, uri = desk.link("file", DATA)
    _, waiting = desk.link("waiting", DATA[1:])
    desk.write_config(uploads=1)
    desk.zone.holds_puts = True
    daemon = desk.share()
    running = desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    queued = desk.proxy.ask(waiting)
    desk.proxy.ask(waiting, 0).status()
    daemon.signal(number)
    assert "being stopped" in queued.status()["error"]
    assert "being stopped" in desk.proxy.status(f"sha1://{ABSENT}")["error"]
    desk.zone.holds_puts = False
    assert running.status()["status"] == "completed"
    assert daemon.wait() == 0
    assert desk.zone.objects == {sha1(DATA): DATA}


def test_uploads_that_take_too_long_are_abandoned(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals="stop_ms=100")
    answer = desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    children = descendants(daemon.pid)
    daemon.signal(signal.SIGTERM)
    assert "being stopped" in answer.status()["error"]
    assert daemon.wait(10) == 0
    until(lambda: not any(is_running(pid) for pid in children), "the end of the children")
    desk.zone.holds_puts = False
    assert desk.zone.objects == {} and not desk.lease.exists()


def test_a_second_signal_does_not_wait(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals="stop_ms=600000")
    desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    daemon.signal(signal.SIGTERM)
    daemon.wait_line("stopping (SIGTERM)")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_it_can_be_stopped_while_there_is_no_proxy(desk):
    desk.proxy.stop()
    daemon = desk.share(wait=False)
    daemon.wait_line("trying again")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_hangup_reopens_the_log(desk):
    log, old = desk.folder / "log", desk.folder / "log.1"
    daemon = desk.share("--log", str(log), wait=False)
    until(lambda: log.exists() and "acknowledged" in log.read_text(), "the log")
    assert log.stat().st_mode & 0o777 == 0o600
    log.rename(old)
    daemon.signal(signal.SIGHUP)
    until(log.exists, "a new log")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert log.read_text().splitlines()[-1].endswith("stopped")
    assert "stopped" not in old.read_text() and daemon.text() == ""


def test_a_long_log_becomes_an_old_one(desk):
    log = desk.folder / "log"
    log.write_text("a line of last year\n" * 90)
    for number in "321":
        (desk.folder / f"log.{number}").write_text(number)
    daemon = desk.share("--log", str(log), "--log-size", "1.9kB", "--log-keep", "3", wait=False)
    until(lambda: log.exists() and "acknowledged" in log.read_text(), "the log")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0 and daemon.text() == ""
    assert (desk.folder / "log.1").read_text().startswith("a line of last year\n" * 90)
    assert [(desk.folder / f"log.{number}").read_text() for number in "23"] == ["1", "2"]
    assert not (desk.folder / "log.4").exists()
    assert "last year" not in log.read_text() and log.stat().st_size < 1900


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_log_that_is_gone_is_written_anew(desk, how):
    log = desk.folder / "log"
    daemon = desk.share("--log", str(log), wait=False)
    until(lambda: log.exists() and "acknowledged" in log.read_text(), "the log")
    log.rename(desk.folder / "log.old")
    if how == "deleted":
        (desk.folder / "log.old").unlink()
    desk.proxy.stop()
    until(lambda: log.exists() and log.read_text(), "another log")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert log.read_text().splitlines()[-1].endswith("stopped")


@pytest.mark.parametrize("option, value", [("--log-size", "10 MiB"), ("--log-size", "-1"),
                                           ("--log-keep", "1000"), ("--log-keep", "few")])
def test_bad_sizes_of_a_log(desk, option, value):
    text = run("share", option, value, env=desk.env, cwd=desk.folder, check=2).stderr.decode()
    assert value in text and option in text


def test_hangup_ends_it_in_a_terminal(desk):
    daemon = desk.share()
    daemon.signal(signal.SIGHUP)
    assert daemon.wait() == 0
    assert "SIGHUP" in daemon.text()


def test_hangup_is_ignored_under_nohup(desk):
    program = ["nohup", BINARY, "share", "--config", str(desk.config)]
    desk.daemon = daemon = desk.keep(Process(env=desk.env, program=program, cwd=desk.folder))
    daemon.wait_line("acknowledged")
    daemon.signal(signal.SIGHUP)
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_a_stderr_that_nobody_reads_stops_nothing(desk):
    """A pipe that is full: lines are dropped, requests go on."""
    read, write = os.pipe()
    with subprocess.Popen([BINARY, "share", "-v", "--config", str(desk.config)], stderr=write, env=desk.env,
                          start_new_session=True) as process:
        os.close(write)
        try:
            desk.proxy.wait_connected()
            path, uri = desk.link("file", DATA)
            path.unlink()
            for _ in range(1000):
                assert desk.proxy.status(uri)["status"] == "error"
            process.terminate()
            assert process.wait(harness.DEADLINE_S) == 0
        finally:
            process.kill()
            os.close(read)


def test_what_killed_daemons_left_is_removed(desk):
    store = folder_of(desk.env)
    old = [left(path, 2 * DAY) for path in (
        desk.lease / "probe.tmp.01234567", desk.lease / "owner.tmp.01234567", desk.lease / ("after." + "0" * 32),
        desk.status_file.parent / (desk.status_file.name + ".tmp.01234567"), store / "sha1" / "copy.tmp.01234567")]
    kept = [left(desk.lease / ("after." + "1" * 32), DAY - 60), left(desk.folder / "data.tmp.01234567", 2 * DAY)]
    desk.share()
    until(lambda: not any(path.exists() for path in old), "the left-overs are gone")
    assert all(path.exists() for path in kept)


def test_children_do_not_know_the_secret(desk):
    if harness.is_sanitized():
        pytest.skip("AddressSanitizer keeps what was freed, in terabytes of address space")
    _, uri = desk.link("file", DATA)
    daemon = desk.share()
    desk.proxy.ask(uri).message()
    assert desk.zone.puts
    secret = desk.proxy.secret.encode()
    try:
        assert memory_holds(daemon.pid, secret)
    except PermissionError as error:
        pytest.skip(str(error))
    children = descendants(daemon.pid)
    assert len(children) == 3
    assert [pid for pid in children if memory_holds(pid, secret)] == []
