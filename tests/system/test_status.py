"""`status` and `stop`: what an operator sees, on the daemon's host and on others, of daemons that live, died and hang."""
import contextlib
import json
import os
import signal
import subprocess

import harness
import pytest
from harness import until
from hung_storage import hung
from zone_double import ABSENT, DATA

FAST = "status_ms=10,retry_min_ms=20,retry_max_ms=100,lease_refresh_ms=100"
ELSEWHERE = ["unshare", "--pid", "--fork", "--mount-proc", "--uts", "sh", "-c", 'hostname login9 && exec "$@"', "sh"]
TIMES = "look_again_ms=20,look_watch_ms=1500"


def ask(desk, verb, *options, elsewhere=False, intervals=TIMES, config=None, **more):
    """The command, on the daemon's host or on one that has the folder alone: other process numbers, another name."""
    command = [harness.BINARY, verb, "--config", str(config or desk.config), *options]
    env = {**desk.env, "KACHERY_RESOURCE_TEST_INTERVALS": intervals}
    return subprocess.run((ELSEWHERE if elsewhere else []) + command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=harness.DEADLINE_S, **more)


def line(text, name):
    """What stands behind that name."""
    return next(row[13:] for row in text.splitlines() if row.startswith(f"  {name} "))


def has_two_hosts():
    done = subprocess.run([*ELSEWHERE, "true"], stderr=subprocess.DEVNULL)
    return done.returncode == 0


two_hosts = pytest.mark.skipif(not has_two_hosts(), reason="needs root and namespaces")
where = pytest.mark.parametrize("elsewhere", [False, pytest.param(True, marks=two_hosts)], ids=["here", "elsewhere"])


def until_status(desk, part):
    """The text of a status that has it."""
    return until(lambda: part in (text := ask(desk, "status").stdout) and text, part)


# ---- a daemon that lives ----

@where
def test_the_lines_of_a_daemon_that_lives(desk, elsewhere):
    _, uri = desk.link("file", DATA)
    daemon = desk.share(intervals=FAST + ",gateway_first_ms=20")
    desk.proxy.status(uri)
    desk.proxy.status(f"sha1://{ABSENT}")
    until_status(desk, "2 requests: 1 uploaded (")
    until_status(desk, "may upload")
    done = ask(desk, "status", elsewhere=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout
    assert text.startswith(f"{desk.proxy.name} on {os.uname().nodename} (process {daemon.pid}), running since 20")
    assert line(text, "alive").startswith("yes: lease renewed ") and "stale after " in line(text, "alive")
    assert line(text, "proxy").startswith("connected since 20") and line(text, "proxy").endswith(f"{desk.proxy.url}/r/{desk.proxy.name}")
    assert "client registered, may upload" in line(text, "gateway") and line(text, "gateway").startswith("answered ")
    assert line(text, "now") == "0 waiting, 0 queued; no upload; 0 files open for ranges"
    assert line(text, "totals").endswith("), 1 not here, 0 changed, 0 failed; 0 B in ranges")
    assert line(text, "not here").startswith(f"sha1://{ABSENT[:4]}… 1 time, last ")
    assert line(text, "workers") == "0 lost in 7 d" and line(text, "processor").startswith("supervisor 0.")
    assert f"sha1://{ABSENT} 1 time" in ask(desk, "status", "-v").stdout


@where
def test_json_is_the_status_file_and_the_lease(desk, elsewhere):
    daemon = desk.share(intervals=FAST)
    until(desk.status_file.exists, "a status")
    done = ask(desk, "status", "--json", elsewhere=elsewhere)
    status = json.loads(done.stdout)
    assert done.returncode == 0 and status["alive"] is True and 0 <= status["leaseAgeMs"] < 5000
    assert status["pid"] == daemon.pid and status["host"] == os.uname().nodename and status["reason"] == ""
    written = json.loads(desk.status_file.read_text())
    assert set(written) < set(status) and status["totals"] == written["totals"]


def test_who_asked_for_what_is_not_here(lab):
    """A hub of ours says from which address."""
    lab.write_config()
    lab.share()
    harness.run("request", f"sha1://{ABSENT}", env=lab.remote, check=3)
    until(lambda: "1 time, last " in (text := harness.run("status", "--config", str(lab.config), env=lab.host, check=0).stdout.decode())
          and line(text, "not here").endswith(" from 127.0.0.1"), "who asked")


def test_why_it_is_not_connected_and_when_it_tries_again(desk):
    desk.share(intervals="status_ms=10,retry_min_ms=60000,retry_max_ms=60000,retry_short_ms=60000")
    desk.proxy.stop()
    text = until_status(desk, "not connected since ")
    assert "next try in " in line(text, "proxy") and "(once this week)" in text


def test_why_the_gateway_does_not_answer(desk):
    desk.share(intervals=FAST, KACHERY_GATEWAY_URL=f"http://127.0.0.1:{harness.free_port()}",
               KACHERY_RESOURCE_TEST_PATIENCE="asking_ms=1")
    text = until_status(desk, "fails since ")
    assert "refused" in line(text, "gateway") and "next try in " in line(text, "gateway")


def test_watch_shows_it_again_until_nobody_reads(desk):
    desk.share(intervals=FAST)
    watch = desk.keep(harness.Process("status", "--watch", "--config", str(desk.config),
                                      env={**desk.env, "KACHERY_RESOURCE_TEST_INTERVALS": TIMES}))
    watch.wait_line("  alive      yes", count=3)
    desk.daemon.signal(signal.SIGTERM)
    watch.wait_line("  alive      no: ")
    desk.share(intervals=FAST, wait=False)
    count = watch.text().count("  alive      yes")
    watch.wait_line("  alive      yes", count=count + 1)


def test_json_and_watch_are_not_for_one_another(desk):
    done = ask(desk, "status", "--json", "--watch")
    assert done.returncode == 2 and "want one" in done.stderr


# ---- daemons that are gone ----

@where
def test_a_daemon_that_was_killed(desk, elsewhere):
    """Its writer is dead: the lease says so at once on its own host, on others once it is too old for any doubt."""
    daemon = desk.share(intervals=FAST)
    until(desk.status_file.exists, "a status")
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    done = ask(desk, "status", elsewhere=elsewhere, intervals=TIMES + ",lease_stale_ms=100,look_doubt_ms=100")
    assert done.returncode == 3
    assert done.stdout.startswith(f"{desk.proxy.name}: not running; last on {os.uname().nodename} (process {daemon.pid}), started 20")
    assert line(done.stdout, "alive").startswith("no: ") and line(done.stdout, "ended").startswith("without a word")
    assert "proxy" not in done.stdout
    status = json.loads(ask(desk, "status", "--json").stdout)
    assert status["alive"] is False and status["pid"] == daemon.pid and status["reason"] != ""
    assert ask(desk, "stop").returncode == 3


def test_a_daemon_that_was_ended(desk):
    daemon = desk.share(intervals=FAST)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    done = ask(desk, "status")
    assert done.returncode == 3 and line(done.stdout, "ended").startswith("stopped: SIGTERM; ")
    assert "0 requests" in line(done.stdout, "totals")


def test_a_name_that_the_proxy_refused(desk):
    desk.proxy.refuse = (4009, "resource lab-resource is already connected")
    assert desk.share("--cron", wait=False).wait() == 0
    done = ask(desk, "status")
    assert done.returncode == 3 and "already connected" in line(done.stdout, "ended")


def test_where_nothing_ever_ran(desk, tmp_path):
    done = ask(desk, "status")
    assert done.returncode == 3 and "not running" in done.stdout
    status = json.loads(ask(desk, "status", "--json").stdout)
    assert status["alive"] is False and status["host"] is status["pid"] is status["leaseAgeMs"] is None
    (tmp_path / "empty").mkdir()
    done = ask(desk, "status", config=tmp_path / "empty/kachery-resource.yaml")
    assert done.returncode == 3 and f"there is no {tmp_path}/empty/kachery-resource.yaml" in done.stderr
    done = ask(desk, "stop")
    assert done.returncode == 3 and "nothing runs" in done.stderr


# ---- what is not clear ----

@two_hosts
def test_a_lease_of_another_host_that_does_not_move(desk):
    daemon = desk.share(intervals=FAST)
    for pid in [daemon.pid, *harness.descendants(daemon.pid)]:
        os.kill(pid, signal.SIGSTOP)
    done = ask(desk, "status", elsewhere=True, intervals="look_watch_ms=300")
    status = json.loads(ask(desk, "status", "--json", elsewhere=True, intervals="look_watch_ms=300").stdout)
    for pid in [*harness.descendants(daemon.pid), daemon.pid]:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1 and line(done.stdout, "alive").startswith(f"unclear: {os.uname().nodename} did not renew the lease")
    assert "watched for 0 s, dead if it stays so for another 45 s: see `status --watch`" in line(done.stdout, "alive")
    assert status["alive"] is None and status["reason"] != "" and status["pid"] == daemon.pid


@pytest.mark.parametrize("verb", ["status", "stop"])
def test_a_file_system_that_hangs(desk, verb):
    desk.share(intervals=FAST)
    with hung(desk.folder):
        done = ask(desk, verb, intervals="look_silent_ms=300")
        answer = ask(desk, "status", "--json", intervals="look_silent_ms=300").stdout
    assert done.returncode == 1 and "its file system hangs" in done.stderr
    assert json.loads(answer)["alive"] is None and "hangs" in json.loads(answer)["reason"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_folder_of_another_user(desk):
    desk.share(intervals=FAST)
    desk.folder.chmod(0o700)
    done = ask(desk, "status", user=65534, group=65534, extra_groups=[], cwd="/")
    assert done.returncode == 1 and "Permission denied" in done.stderr


@pytest.mark.parametrize("text", [
    '{"resourceName":"lab-resource","host":"HOST","pid":PID,"startedMs":1,"writtenMs":1,"proxy":{"state":"connected","url":"x","sinceMs":1}}',
    '{"resourceName":"lab-resource","host":"HOST","pid":PID,"startedMs":"now","totals":{"requests":3,"dreams":4},"news":[{"a":1}]}',
    '{"host":"another","pid":1}', "", "{", "[]", "x" * 1_000_000], ids=["older", "newer", "another's", "empty", "cut", "array", "huge"])
def test_a_status_file_that_another_program_wrote(desk, text):
    daemon = desk.share(intervals="status_ms=100000000,status_idle_ms=100000000")
    until(desk.status_file.exists, "its own")
    desk.status_file.write_text(text.replace("HOST", os.uname().nodename).replace("PID", str(daemon.pid)))
    done = ask(desk, "status")
    assert done.returncode == 0 and line(done.stdout, "alive").startswith("yes")
    status = json.loads(ask(desk, "status", "--json").stdout)
    assert status["alive"] is True and status["pid"] == daemon.pid
    assert "news" not in text or status["news"] == [{"a": 1}]
    if not text.startswith("{\""):
        assert "cannot be read" in line(done.stdout, "status") and status["statusTrouble"]


# ---- the end ----

@where
def test_stop_ends_it(desk, elsewhere):
    daemon = desk.share(intervals=FAST)
    done = ask(desk, "stop", elsewhere=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{desk.proxy.name} on {os.uname().nodename} (process {daemon.pid}) has ended\n"
    assert daemon.wait() == 0
    ending = line(ask(desk, "status").stdout, "ended")
    assert ending.startswith("stopped: asked on login9; " if elsewhere else "stopped: SIGTERM; ")
    assert ask(desk, "stop", elsewhere=elsewhere).returncode == 3


def test_stop_waits_no_longer_than_it_may(desk):
    daemon = desk.share(intervals=FAST)
    daemon.signal(signal.SIGSTOP)
    done = ask(desk, "stop", "--wait", "0.3")
    assert done.returncode == 4 and "has not within" in done.stderr
    daemon.signal(signal.SIGCONT)
    assert daemon.wait() == 0


@two_hosts
def test_an_old_request_to_end_is_not_for_the_next_daemon(desk):
    desk.share(intervals=FAST)
    assert ask(desk, "stop", elsewhere=True).returncode == 0
    with contextlib.suppress(OSError):
        (desk.lease / "stop").write_text('{"token":"0123456789abcdef0123456789abcdef","host":"login9"}')
    daemon = desk.share(intervals=FAST)
    (desk.lease / "stop").write_text('{"token":"0123456789abcdef0123456789abcdef","host":"login9"}')
    before = json.loads((desk.lease / "owner").read_text()).get("counter", 0)
    until(lambda: json.loads((desk.lease / "owner").read_text()).get("counter", 9) > before + 2, "renewals")
    assert harness.is_running(daemon.pid)


# ---- cron ----

def test_the_last_run_of_cron(desk):
    daemon = desk.share("--cron", intervals=FAST, wait=False)
    until(lambda: "began to share" in ask(desk, "status").stdout, "the run of cron")
    second = desk.keep(harness.Process("share", "--cron", "--config", str(desk.config), env=desk.env))
    assert second.wait() == 0 and second.text() == ""
    text = line(ask(desk, "status").stdout, "cron")
    assert text.startswith(f"last run on {os.uname().nodename} at ") and text.endswith(f": left it to {os.uname().nodename} (process {daemon.pid})")
    done = ask(desk, "stop")
    assert done.returncode == 0 and "cron would start it again" in done.stdout
    done = ask(desk, "stop")
    assert done.returncode == 3 and "cron would start it again" in done.stdout
    assert json.loads(ask(desk, "status", "--json").stdout)["cron"]["outcome"].startswith("left it to ")


def test_a_record_of_cron_that_cannot_be_read(desk):
    desk.lease.mkdir()
    (desk.lease / "cron").write_text("{")
    assert line(ask(desk, "status").stdout, "cron").startswith("cannot be read: ")
    assert "cannot be read" in json.loads(ask(desk, "status", "--json").stdout)["cron"]["outcome"]


def test_a_run_of_cron_that_failed(desk):
    desk.write_config(maxConcurrentUploads="two")
    assert desk.share("--cron", wait=False).wait() == 1
    text = line(ask(desk, "status").stdout, "cron")
    assert ": failed: " in text and "maxConcurrentUploads" in text
    desk.config.unlink()
    assert desk.share("--cron", wait=False).wait() == 1
