"""What `share --audit` writes for a lab's data manager, and the log's line for each answer."""
import json
import os
import signal
import subprocess

import harness
import nfs_double
import pytest
from harness import sha1, until
from range_sharing import noise

FIELDS = ["time", "event", "hash", "path", "size", "bytes", "outcome", "seconds", "asker"]
ABSENT = "0" * 40


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_lines(path, count, event=None):
    def find():
        found = [line for line in (lines_of(path) if path.exists() else []) if event in (None, line["event"])]
        return found if len(found) >= count else None
    return until(find, f"{count} lines of the audit")


def test_a_line_for_each_request_and_upload(desk):
    audit = desk.folder / "audit"
    path, uri = desk.link("file", b"data")
    changed, changed_uri = desk.link("changed", b"before")
    changed.write_bytes(b"afterwards")
    desk.share("--audit", str(audit))
    assert desk.proxy.status(uri)["status"] == "completed"
    assert desk.proxy.status(f"sha1://{ABSENT}")["status"] == "not-found"
    assert desk.proxy.status(changed_uri)["status"] == "error"
    upload, completed, absent, error = wait_lines(audit, 4)
    assert list(upload) == list(completed) == list(absent) == FIELDS
    assert upload["event"] == "upload" and upload["outcome"] == "uploaded"
    for line in (upload, completed):
        assert (line["hash"], line["path"], line["size"], line["bytes"]) == (sha1(b"data"), str(path), 4, 4)
    assert (completed["event"], completed["outcome"], completed["asker"]) == ("request", "completed", None)
    assert (absent["event"], absent["outcome"], absent["hash"]) == ("request", "not-found", ABSENT)
    assert absent["path"] is absent["size"] is None and 0 <= absent["seconds"] < 60
    assert (error["outcome"], error["hash"]) == ("error", sha1(b"before")) and error["reason"]
    assert audit.stat().st_mode & 0o777 == 0o600
    text = desk.daemon.text()
    assert f"answered sha1={sha1(b'data')} outcome=completed ms=" in text and str(path) not in text
    assert f"answered sha1={ABSENT} outcome=not-found ms=" in text


def test_more_answers_than_the_log_takes(desk):
    audit = desk.folder / "audit"
    desk.share("--audit", str(audit))
    waiting = [desk.proxy.ask("sha1://%040x" % n) for n in range(1200)]
    for answer in waiting:
        assert answer.status()["status"] == "not-found"
    assert len({line["hash"] for line in wait_lines(audit, 1200)}) == 1200
    desk.daemon.stop()
    assert desk.daemon.text().count("answered sha1=") < 1100
    assert "log lines left out=" in desk.daemon.text()
    assert len(lines_of(audit)) == 1200


def test_a_question_whether_it_is_connected_is_nobodys_request(lab):
    """This daemon's, another one's that comes for the name, and doctor's: in no log, audit or total."""
    lab.write_config()
    audit = lab.folder / "audit"
    env = {**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": "presence_first_ms=10,presence_ms=10,status_ms=10"}
    daemon = lab.share("--audit", str(audit), env=env)
    harness.run("doctor", "--config", str(lab.config), env=lab.host)
    other = lab.folder / "elsewhere"
    other.mkdir()
    (other / lab.config.name).write_text(lab.config.read_text())
    (other / lab.config.name).chmod(0o600)
    harness.run("share", "--cron", "--config", str(other / lab.config.name), env=lab.host, check=0)
    harness.run("request", f"sha1://{ABSENT}", env=lab.remote, check=3)
    assert [line["hash"] for line in wait_lines(audit, 1)] == [ABSENT]
    assert daemon.text().count("answered sha1=") == 1

    def status():
        found = json.loads(harness.run("status", "--json", "--config", str(lab.config), env=lab.host).stdout)
        return found if found["totals"]["requests"] else None
    found = until(status, "the request in the status")
    assert found["totals"]["requests"] == found["totals"]["notHere"] == 1 and len(found["notHere"]) == 1


def test_a_lost_keeper_costs_no_line(desk):
    audit = desk.folder / "audit"
    desk.share("--audit", str(audit))
    desk.proxy.status(f"sha1://{ABSENT}")
    wait_lines(audit, 1)
    keeper, = desk.worker("kachery-keeper")
    os.kill(keeper, signal.SIGSTOP)
    for n in range(5):
        desk.proxy.status("sha1://%040x" % n)
    os.kill(keeper, signal.SIGKILL)
    assert len(wait_lines(audit, 6)) == 6


def test_lines_of_the_log_wait_for_the_next_keeper(desk):
    log = desk.folder / "log"
    desk.share("--log", str(log), wait=False)
    desk.proxy.wait_connected()
    keeper, = desk.worker("kachery-keeper")
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not harness.is_running(keeper), "its end")
    for n in range(5):
        desk.proxy.status("sha1://%040x" % n)
    until(lambda: log.read_text().count("outcome=not-found") == 5, "all lines")
    assert "kachery-keeper process killed by SIGKILL" in log.read_text() and "dropped" not in log.read_text()


def test_lines_reach_the_disk_together(desk, tmp_path):
    """Within a second, and in one fsync: many answers cost a disk no more than one."""
    (tmp_path / "nfs").mkdir()
    with nfs_double.mounted(tmp_path / "nfs", clients=1) as server:
        audit = server.clients[0] / "audit"
        desk.share("--audit", str(audit), intervals="keeper_stopped_ms=60000")
        server.hang(0, "fsync", path="audit")
        for answer in [desk.proxy.ask("sha1://%040x" % n) for n in range(300)]:
            assert answer.status()["status"] == "not-found"
        server.wait_held(0, "fsync")
        assert len(lines_of(server.server / "audit")) == 300
        assert desk.proxy.status(f"sha1://{ABSENT}")["status"] == "not-found"
        server.clear(0)
        assert len(wait_lines(audit, 301)) == 301


@pytest.mark.parametrize("option", ["--log", "--audit"])
def test_a_file_that_takes_no_line(desk, option):
    """A folder, and a pipe that nobody reads, are refused at the start; a full device costs the lines alone."""
    folder, pipe = desk.folder / "folder", desk.folder / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for place in (folder, pipe):
        done = harness.run("share", "--config", str(desk.config), option, str(place), env=desk.env)
        assert done.returncode == 1 and f"cannot open {place}" in done.stderr.decode()
    daemon = desk.share(option, "/dev/full", wait=False)
    desk.proxy.wait_connected()
    assert desk.proxy.status(f"sha1://{ABSENT}")["status"] == "not-found"
    assert daemon.process.poll() is None


def test_opened_again(desk):
    """On SIGHUP, and when it was moved or deleted."""
    audit, moved = desk.folder / "audit", desk.folder / "moved"
    desk.share("--audit", str(audit))
    desk.proxy.status(f"sha1://{ABSENT}")
    wait_lines(audit, 1)
    audit.rename(moved)
    desk.daemon.signal(signal.SIGHUP)
    until(audit.exists, "the audit, opened again")
    desk.proxy.status(f"sha1://{ABSENT}")
    wait_lines(audit, 1)
    audit.unlink()

    def again():
        desk.proxy.status(f"sha1://{ABSENT}")
        return audit.exists()
    until(again, "another audit, within a second")
    assert len(lines_of(moved)) == 1


def test_a_full_disk(desk):
    small = desk.folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", small], capture_output=True).returncode != 0:
        pytest.skip("cannot mount")
    try:
        audit, ballast = small / "audit", small / "ballast"
        desk.share("--audit", str(audit))
        desk.proxy.status(f"sha1://{ABSENT}")
        wait_lines(audit, 1)
        with open(ballast, "wb", buffering=0) as f:
            while True:
                try:
                    f.write(b"x" * 4096)
                except OSError:
                    break
        for n in range(60):
            desk.proxy.status("sha1://%040x" % n)
        desk.daemon.wait_line("cannot write audit")
        ballast.unlink()
        desk.proxy.status("sha1://%040x" % 99)
        until(lambda: lines_of(audit)[-1].get("hash") == "%040x" % 99, "the last line")
        found = lines_of(audit)
        lost = [line["lines"] for line in found if line["event"] == "lost"]
        assert sum(lost) > 10 and len(found) - len(lost) + sum(lost) == 62
    finally:
        desk.daemon.stop()
        subprocess.run(["umount", small], check=True)


def test_it_cannot_be_opened(desk):
    done = harness.run("share", "--config", str(desk.config), "--audit", "/no/such/folder/audit", env=desk.env, check=1)
    assert b"/no/such/folder/audit" in done.stderr


def test_who_asked(lab):
    audit = lab.folder / "audit"
    lab.write_config()
    lab.share("--audit", str(audit))
    path = lab.folder / "file"
    path.write_bytes(noise(300_000))
    uri, = lab.link(path)
    harness.run("request", uri, "--resource", f"{lab.url}/r/{lab.name}", env=lab.remote, check=0)
    for line in wait_lines(audit, 2):
        assert (line["path"], line["asker"]) == (str(path), "127.0.0.1")


def test_a_file_that_is_read_in_parts(lab):
    audit = lab.folder / "audit"
    lab.write_config()
    lab.share("--audit", str(audit))
    path, data = lab.folder / "file", noise(300_000)
    path.write_bytes(data)
    lab.link(path)
    status, _, body = harness.http("GET", f"{lab.url}/f/{sha1(data)}", headers={"Range": "bytes=0-9"})
    assert (status, body) == (206, data[:10])
    line, = wait_lines(audit, 1)
    assert list(line) == FIELDS
    assert (line["event"], line["outcome"], line["hash"]) == ("open", "opened", sha1(data))
    assert (line["path"], line["size"], line["asker"]) == (str(path), 300_000, "127.0.0.1")


def test_who_asked_through_a_trusted_front(lab):
    """The address that the front names; what a client says of itself is refused, as every unknown field."""
    lab.hub.stop()
    port = int(lab.url.rsplit(":", 1)[1])
    lab.start_hub(f"127.0.0.1:{port}", "--trusted-proxy", "127.0.0.1")
    audit = lab.folder / "audit"
    lab.write_config()
    lab.share("--audit", str(audit))
    body = {"type": "requestFromClient", "resourceName": lab.name, "zone": "default", "timeoutMsec": 9000,
            "request": {"type": "fileUpload", "uri": f"sha1://{ABSENT}", "timeoutMsec": 5000}}

    def post(body, headers=None):
        return harness.http("POST", f"{lab.url}/r/{lab.name}", body, headers)
    assert post(body, {"X-Forwarded-For": "10.9.9.9, 203.0.113.7"})[0] == 200
    assert post({**body, "asker": "10.1.1.1"})[0] == 400
    line, = wait_lines(audit, 1)
    assert line["asker"] == "203.0.113.7"
    path, data = lab.folder / "file", noise(300_000)
    path.write_bytes(data)
    lab.link(path)
    asking = {"Range": "bytes=0-9", "X-Forwarded-For": "2001:db8::7"}
    assert harness.http("GET", f"{lab.url}/f/{sha1(data)}", headers=asking)[0] == 206
    opened, = wait_lines(audit, 1, "open")
    assert opened["asker"] == "2001:db8::/64"
