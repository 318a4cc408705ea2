"""The local store when things go wrong: workers and commands that are killed, full disks, others at
work in the same store."""
import os
import pty
import resource
import shutil
import signal
import subprocess

import pytest

import harness
from harness import run
from store_files import left_overs, lines, listing, put, sparse


def test_sparse_copy_stays_sparse(store, tmp_path):
    folder, env = store
    path = sparse(tmp_path / "sparse", 64 << 20)
    with open(path, "r+b") as f:
        f.seek(40 << 20)
        f.write(b"data")
    run("store-local", path, env=env, check=0)
    copies = [p for p in (folder / "sha1").rglob("*") if p.is_file()]
    assert copies[0].read_bytes() == open(path, "rb").read()
    assert copies[0].stat().st_blocks * 512 < 8 << 20


@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_worker_that_is_killed_costs_one_file(store, tmp_path, processes, verb):
    folder, env = store
    put(str(tmp_path / "t" / "a"), b"a")
    sparse(tmp_path / "t" / "large", 1 << 40)
    put(str(tmp_path / "t" / "z"), b"z")
    child = processes(harness.Process(verb, "-r", "--jobs", "1", str(tmp_path / "t"), env=env))
    child.wait_line("/a")  # told while the large one is being read

    def worker():
        return [p for p in harness.descendants(child.pid) if harness.has_open(p, tmp_path / "t" / "large")]
    os.kill(harness.until(worker, "a worker reads the large file")[0], signal.SIGKILL)
    assert child.wait() == 1
    assert [line.rsplit("/", 1)[1] for line in child.lines["out"]] == ["a", "z"]
    want = "/t/large: the worker process was killed by SIGKILL: out of memory, or a limit of this host?"
    assert any(want in line for line in child.lines["err"])
    assert len(listing(env)) == 2
    run("verify", env=env, check=0)


def test_a_slow_file_before_thousands_of_others(store, tmp_path, processes):
    """One worker is at it while the other does all that may be in hand: nothing is left then to wait for, but there is
    more to do."""
    folder, env = store
    window, names = 4096, [f"{i:05}" for i in range(5000)]
    slow = sparse(put(str(tmp_path / "t" / "!slow")), 1 << 40)
    for name in names:
        put(str(tmp_path / "t" / name), b"same")
    child = processes(harness.Process("link", "-r", "--jobs", "2", str(tmp_path / "t"), env=env))
    harness.until(lambda: len(left_overs(folder)) == window - 1, "all that may be in hand")
    os.truncate(slow, 0)
    assert child.wait(2 * harness.DEADLINE_S) == 0, child.text()[-2000:]
    assert [line.rsplit("/", 1)[1] for line in child.lines["out"]] == ["!slow", *names]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_copy_is_put_away(store, tmp_path, processes, number):
    folder, env = store
    path = sparse(tmp_path / "large", 1 << 40)
    child = processes(harness.Process("store-local", path, env=env))
    harness.until(lambda: left_overs(folder), "the copy has begun")
    os.killpg(child.pid, number)  # as a terminal does: the workers get it too
    assert child.wait() == -number
    assert [p for p in folder.rglob("*") if p.is_file()] == []


def test_killed_copy_is_never_visible(store, tmp_path, processes):
    folder, env = store
    path = sparse(tmp_path / "large", 1 << 40)
    child = processes(harness.Process("store-local", path, env=env))
    harness.until(lambda: left_overs(folder), "the copy has begun")
    workers = harness.descendants(child.pid)
    child.signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    harness.until(lambda: not any(map(harness.is_running, workers)), "the workers are gone")
    assert listing(env) == []
    small = put(str(tmp_path / "small"), b"small")
    run("store-local", small, env=env, check=0)
    assert [e["state"] for e in listing(env, verb="verify")] == ["ok"]


def test_file_size_limit(store, tmp_path):
    folder, env = store
    big, small = put(str(tmp_path / "big"), os.urandom(300_000)), put(str(tmp_path / "small"), b"small")
    done = subprocess.run([harness.BINARY, "store-local", big, small], env=env, capture_output=True,
                          timeout=harness.DEADLINE_S, preexec_fn=lambda: resource.setrlimit(
                              resource.RLIMIT_FSIZE, (100_000, 100_000)))
    assert done.returncode == 1
    assert [p for _, p in lines(done)] == [small]
    assert f"{big}: cannot write the copy: File too large".encode() in done.stderr
    assert left_overs(folder) == []


FULL_SCRIPT = """
mount -t tmpfs -o size=1m none "$1"
"$2" store-local --jobs 1 "$BIG" "$SMALL"; echo $?
"$2" ls
find "$KACHERY_CLOUD_DIR" -type f -name "*.tmp*"
dd if=/dev/zero of="$1/fill" bs=4k 2>/dev/null
"$2" link "$BIG"; echo $?
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
def test_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    big, small = put(str(tmp_path / "big"), os.urandom(3_000_000)), put(str(tmp_path / "small"), b"small")
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=disk / "store", BIG=big, SMALL=small)
    done = subprocess.run(["unshare", "-m", "sh", "-c", FULL_SCRIPT, "sh", str(disk), harness.BINARY], env=env,
                          capture_output=True, timeout=harness.DEADLINE_S)
    out = done.stdout.decode().splitlines()
    assert out[0].endswith(small) and out[1] == "1", done
    assert len(out) == 4 and out[2].startswith("ok\tcopy\t") and out[3] == "1", done
    assert f"{big}: cannot write the copy: No space left on device".encode() in done.stderr
    assert done.stderr.count(b"No space left on device") == 2


CLONE_SCRIPT = """
mkfs.btrfs -q "$1" >&2 && mount -o loop "$1" "$2" || exit 77
head -c 50000000 /dev/urandom > "$2/source"; touch -d 2020-01-01 "$2/source"; sync -f "$2"
before=$(stat -fc '%f*%S' "$2")
"$3" store-local "$2/source" && sync -f "$2" && "$3" verify || exit 1
echo "$before - $(stat -fc '%f*%S' "$2")"
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("mkfs.btrfs"), reason="mounts a btrfs")
def test_copy_shares_blocks_where_the_file_system_can(tmp_path):
    image = sparse(tmp_path / "image", 300 << 20)
    disk = tmp_path / "disk"
    disk.mkdir()
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=disk / "store")
    done = subprocess.run(["unshare", "-m", "sh", "-c", CLONE_SCRIPT, "sh", image, str(disk), harness.BINARY],
                          env=env, capture_output=True, timeout=harness.DEADLINE_S)
    if done.returncode == 77:
        pytest.skip("cannot mount: " + done.stderr.decode())
    assert done.returncode == 0, done
    out = done.stdout.decode().splitlines()
    assert out[1].startswith("ok\tcopy\t50000000\t"), out
    before, after = ([int(n) for n in part.split("*")] for part in out[-1].split(" - "))
    assert before[0] * before[1] - after[0] * after[1] < 5_000_000


def terminal_output(command, env, until):
    """What a command writes to a terminal as its stderr, as far as `until`; then it is interrupted."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([harness.BINARY, *command], env={**env, "TERM": "xterm"}, stdout=subprocess.DEVNULL,
                             stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""
    try:
        while until not in seen:
            seen += os.read(ours, 65536)
    finally:
        os.killpg(child.pid, signal.SIGINT)
        child.wait(timeout=harness.DEADLINE_S)
        os.close(ours)
    return seen.decode()


def test_progress_on_a_terminal(store, tmp_path):
    _, env = store
    (tmp_path / "t").mkdir()
    sparse(tmp_path / "t" / "large", 1 << 40)
    sparse(tmp_path / "t" / "larger", 1 << 41)
    seen = terminal_output(["link", "-r", str(tmp_path / "t")], env, b"ETA")
    line = seen.split("\r")[-1]
    assert "linking" in line and "0/2 files" in line and "/s" in line, seen


def test_full_standard_output(store, tmp_path):
    _, env = store
    path = put(str(tmp_path / "f"), b"f")
    for command in (["link", path], ["ls"], ["verify"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([harness.BINARY, *command], env=env, stdout=full, stderr=subprocess.PIPE,
                                  timeout=harness.DEADLINE_S)
        assert done.returncode == 1 and b"No space left on device" in done.stderr


def test_many_processes_add_the_same_files(store, tmp_path):
    folder, env = store
    for i in range(50):
        put(str(tmp_path / "t" / f"{i:02}"), b"%d" % i)
    commands = [[harness.BINARY, verb, "-r", str(tmp_path / "t")] for verb in ("link", "store-local") * 4]
    children = [subprocess.Popen(c, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for c in commands]
    outputs = [child.communicate(timeout=harness.DEADLINE_S) for child in children]
    assert [child.returncode for child in children] == [0] * 8
    assert all(err == b"" and out == outputs[0][0] for out, err in outputs)
    assert len(listing(env, verb="verify")) == 100
    assert left_overs(folder) == []
