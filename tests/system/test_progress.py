"""What long work shows: a line a minute where nobody sees a bar, and on a terminal something that moves every second."""
import asyncio
import os
import pty
import re
import shutil
import subprocess
import threading

import harness
import pytest
from harness import run, sha1
from loading import DATA, HALF, HASH, cut
from zone_double import ABSENT, folder_of, text, written

URI = f"sha1://{HASH}"
OFTEN = {"KACHERY_RESOURCE_TEST_PROGRESS": "line_ms=20"}
AMOUNTS = r"\d+%  [\d.]+/1\.0 MB  [\d.]+ [kM]?B/s"


async def slowly(line):
    """All of it in pieces: some tens of milliseconds lie between them."""
    start = int(line.request.headers.get("range", "bytes=0-")[6:].split("-")[0])
    await line.send(f"HTTP/1.1 {206 if start else 200} OK\r\nContent-Length: {len(DATA) - start}\r\n"
                    f"Content-Range: bytes {start}-{len(DATA) - 1}/{len(DATA)}\r\nETag: \"e\"\r\n\r\n".encode())
    for at in range(start, len(DATA), 200000):
        await line.send(DATA[at:at + 200000])
        await asyncio.sleep(0.05)


def lines(done, verb):
    shown = text(done.stderr).splitlines()
    assert all(line.startswith(f"kachery-resource {verb}: ") for line in shown), shown
    return [line.partition(": ")[2] for line in shown]


def has(shown, pattern):
    return [line for line in shown if re.fullmatch(pattern, line)]


@pytest.mark.parametrize("command", [["load"], ["load", "-o", "out"], ["cat"], ["cat", "--end", str(len(DATA) - 1)]])
def test_a_download_off_a_terminal(zone, user, bucket, tmp_path, command):
    bucket.always = slowly
    command = [command[0], URI, *command[1:]]
    shown = lines(run(*command, env={**user, **OFTEN}, cwd=tmp_path, check=0), command[0])
    assert has(shown, f"downloading  *{AMOUNTS}  0:0\\d left") and "\r" not in "".join(shown)


def test_quiet_is_quiet_and_a_minute_is_a_minute(zone, user, bucket, tmp_path):
    bucket.always = slowly
    assert run("load", "-q", URI, "-o", "out", env={**user, **OFTEN}, cwd=tmp_path, check=0).stderr == b""
    assert run("load", URI, "-o", "out", env=user, cwd=tmp_path, check=0).stderr == b""


def test_several_off_a_terminal(zone, user, bucket, tmp_path):
    bucket.always = slowly
    zone.objects[sha1(b"small")] = b"small"
    bucket.acts = []
    shown = lines(run("load", URI, URI + "?label=a", f"sha1://{ABSENT}", env={**user, **OFTEN}, check=3), "load")
    assert has(shown, f"loading  *[\\d]+%  [01]/2 files  .*B/s.*") and not has(shown, ".*-\\d.*B/s.*")


def test_a_store_off_a_terminal(zone, user, tmp_path):
    big = os.urandom(8 << 20)
    zone.holds_puts, timer = True, threading.Timer(0.5, lambda: setattr(zone, "holds_puts", False))
    timer.start()
    shown = lines(run("store", str(written(tmp_path, "big", big)), env={**user, **OFTEN}, check=0), "store")
    timer.join()
    assert has(shown, r"uploading  *\d+%  [\d.]+/8\.4 MB  .*B/s.*")


@pytest.mark.parametrize("verb, words", [("link", "linking"), ("store-local", "storing"), ("verify", "verifying")])
def test_local_work_off_a_terminal(store, tmp_path, verb, words):
    folder, env = store
    for i in range(8):
        written(tmp_path, f"file{i}", os.urandom(6 << 20))
    files = [str(tmp_path / f"file{i}") for i in range(8)]
    if verb == "verify":
        run("link", *files, env=env, check=0)
    env["KACHERY_RESOURCE_TEST_PROGRESS"] = "line_ms=1"
    done = run(verb, *(files if verb != "verify" else []), env=env, check=0)
    shown = [line for line in text(done.stderr).splitlines() if line.startswith(f"kachery-resource {verb}: {words}")]
    assert has(shown, rf".* \d/8 files  [\d.]+/50\.3 MB.*"), text(done.stderr)


def test_a_request_that_waits_off_a_terminal(zone, user):
    zone.states = [{"status": "queued"}, {"status": "running", "size": 4000000, "bytesUploaded": 1000000},
                   {"status": "completed", "size": 4000000}]
    env = {**user, **OFTEN, "KACHERY_RESOURCE_URL": f"{zone.url}/r/lab"}
    shown = lines(run("request", f"sha1://{ABSENT}", "--wait", env=env, check=0), "request")
    assert has(shown, r"queued at the host  0:0\d") and has(shown, r"the host uploads  25%  1\.0/4\.0 MB.*")
    assert zone.proxied[0]["request"]["timeoutMsec"] == 10000
    zone.states = [{"status": "queued"}, {"status": "completed", "size": 4000000}]
    assert run("request", "-q", f"sha1://{ABSENT}", "--wait", env=env, check=0).stderr == b""


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_that_a_download_resumes(zone, user, bucket, tmp_path, quiet):
    part = harness.object_path(folder_of(user), HASH).parent / f"{HASH}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(DATA[:HALF])
    done = run("load", URI, *quiet, env=user, check=0)
    want = f"kachery-resource load: the download resumes: {HALF} of {len(DATA)} bytes are here already\n"
    assert text(done.stderr) == ("" if quiet else want)


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_that_a_line_broke(zone, user, bucket, quiet):
    bucket.acts = [cut]
    done = run("load", URI, *quiet, env=user, check=0)
    assert ("again in" in text(done.stderr)) == (not quiet)


class Terminal:
    """What a program shows on a terminal, with its standard output elsewhere; killed once `ends` says so."""

    def __init__(self, *command, env, ends=None, under=()):
        master, slave = pty.openpty()
        self.process = subprocess.Popen([*under, harness.BINARY, *command], env={**env, "TERM": "xterm"}, stdin=slave,
                                        stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        self.shown, self.has_ended = b"", False
        while True:
            try:
                self.shown += os.read(master, 4096)
            except OSError:
                break
            if ends and not self.has_ended and ends(self.frames()):
                self.has_ended = True
                self.process.kill()
        os.close(master)
        self.status = self.process.wait(timeout=harness.DEADLINE_S)

    def frames(self):
        return [frame for frame in re.split(r"\x1b\[K|\r", self.shown.decode()) if frame]


@pytest.mark.parametrize("command", [["request", "--wait"], ["load"], ["load", "-d", "out", "-v"]])
def test_the_hosts_progress_is_asked_for_every_second_on_a_terminal(zone, user, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    late = b"late"
    zone.states = [{"status": "queued"}, {"status": "running", "size": 4000000, "bytesUploaded": 1000000},
                   {"status": "running", "size": 4000000, "bytesUploaded": 3000000}, {"status": "completed", "size": 4}]
    zone.resource_uploads = {sha1(late): late}
    env = {**user, "KACHERY_RESOURCE_URL": f"{zone.url}/r/lab", "KACHERY_RESOURCE_TEST_PROGRESS": "redraw_ms=20"}
    terminal = Terminal(command[0], f"sha1://{sha1(late)}", *command[1:], env=env)
    assert terminal.status == 0
    assert {request["request"]["timeoutMsec"] for request in zone.proxied} == {1000}
    frames = terminal.frames()
    if "-d" not in command:
        assert has(frames, r"[|/\\-] queued at the host  0:0\d")
    assert has(frames, r"[|/\\-] the host uploads.* 25% .*1\.0/4\.0 MB.*") and has(frames, r".* 75% .*3\.0/4\.0 MB.*")


@pytest.mark.parametrize("command", [["request", "--wait"], ["request"], ["load"], ["cat"]])
@pytest.mark.parametrize("silent", ["gateway", "proxy"])
def test_something_moves_while_nothing_answers(zone, user, command, silent):
    setattr(zone, f"is_silent_{silent}", True)
    env = {**user, "KACHERY_RESOURCE_URL": f"{zone.url}/r/lab"}
    words = f"asking the {'zone' if silent == 'gateway' else 'resource'}"
    terminal = Terminal(command[0], f"sha1://{ABSENT}", *command[1:], env=env,
                        ends=lambda frames: len({frame[:1] for frame in frames if words in frame}) == 4)
    assert terminal.has_ended


@pytest.mark.parametrize("command", [["request"], ["load"], ["load", "-o", "copy"], ["cat", "--end", "5"]])
def test_something_moves_while_a_touched_link_is_read(user, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "recording", b"")
    os.truncate(path, 1 << 28)
    uri = text(run("link", path, env=user, check=0).stdout).split("\t")[0]
    os.utime(path)
    terminal = Terminal(command[0], uri, *command[1:], env={**user, "KACHERY_RESOURCE_TEST_PROGRESS": "redraw_ms=5"})
    assert terminal.status == 0
    assert len({frame[:1] for frame in terminal.frames() if "checking" in frame}) == 4


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
@pytest.mark.parametrize("command", [["load", URI], ["load", URI, "-o", "copy"], ["load", URI, URI, "-d", "out"]])
def test_something_moves_while_the_disk_syncs(zone, user, bucket, tmp_path, monkeypatch, command):
    """The last fsync can take long where much is written."""
    monkeypatch.chdir(tmp_path)
    slow = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=1500000"]
    terminal = Terminal(*command, env={**user, "KACHERY_RESOURCE_TEST_PROGRESS": "redraw_ms=20"}, under=slow)
    assert terminal.status == 0
    done = [frame for frame in terminal.frames() if "100%" in frame]
    assert len(done) > 8 and len({frame[:1] for frame in done}) == 4, terminal.frames()


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace here")
def test_a_sync_that_fails_in_its_child_is_told(zone, user, bucket, tmp_path):
    done = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO", harness.BINARY,
                           "load", URI, "-o", str(tmp_path / "copy")], env=user, capture_output=True, timeout=harness.DEADLINE_S)
    assert done.returncode == 1 and "I/O error" in text(done.stderr) and not (tmp_path / "copy").exists()
