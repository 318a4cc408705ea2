"""The demo as a user sees it: the story, the proof, what it leaves behind (nothing, or what --keep promises)."""
import os
import re
import signal
import subprocess

import pytest

import harness

URI = re.compile(r"^sha1://([0-9a-f]{40})$", re.M)


@pytest.fixture
def demo_home(tmp_path):
    """Where the demo makes its folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def environment(demo_home, **extra):
    return harness.clean_environment(TMPDIR=demo_home, HOME=demo_home, **extra)


def folder_of(story):
    return re.search(r"on loopback, in (\S+)$", story, re.M).group(1)


def processes_in(folder):
    """Processes whose working directory is in that folder: the demo's servers."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/cwd").startswith(str(folder)):
                    found.append(int(entry))
            except OSError:
                pass
    return found


def assert_nothing_left(demo_home):
    harness.until(lambda: processes_in(demo_home) == [], "the demo's processes are gone")
    assert list(demo_home.iterdir()) == []


def test_random_file(demo_home):
    done = harness.run("demo", env=environment(demo_home), check=0)
    story = done.stdout.decode()
    assert URI.search(story)
    for command in ("hub --listen", "register", "init --name", "link /", "share >", "info sha1://", "request sha1://",
                    "load sha1://", "cmp copy /", "third$ kachery-resource url sha1://", "third$ kachery-resource cat sha1://"):
        assert command in story, story
    assert "8388608 bytes that came back are those of" in story
    assert "The part is right. 262144 of the 8388608 bytes of the file left the host, and none of it was uploaded" in story
    assert len(re.findall(r"\(\d+\.\d\d s", story)) == 10
    assert_nothing_left(demo_home)


@pytest.mark.parametrize("name,content", [
    ("empty", b""),
    ("it's a file; $(odd)", b"x" * 100_001),
    ("-dash", b"\0\xff" * 1_500_000),
], ids=["empty", "odd", "dash"])
def test_file(demo_home, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    done = harness.run("demo", "--", name, env=environment(demo_home), cwd=tmp_path, check=0)
    assert URI.search(done.stdout.decode()).group(1) == harness.sha1(content)
    assert f"The {len(content)} bytes" in done.stdout.decode()
    assert (tmp_path / name).read_bytes() == content
    assert_nothing_left(demo_home)


def test_outside_settings_do_not_matter(demo_home):
    env = environment(demo_home, KACHERY_CLOUD_DIR="/nonexistent", KACHERY_ZONE="other", PROXY_SECRET="x",
                      KACHERY_RESOURCE_URL="http://127.0.0.1:9/r/x", KACHERY_GATEWAY_URL="http://127.0.0.1:9",
                      http_proxy="http://127.0.0.1:9")
    harness.run("demo", "-q", env=env, check=0)
    assert_nothing_left(demo_home)


def test_quiet_prints_the_uri_alone(demo_home, tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    done = harness.run("demo", "-q", str(tmp_path / "f"), env=environment(demo_home), check=0)
    assert (done.stdout, done.stderr) == (b"sha1://a9993e364706816aba3e25717850c26c9cd0d89d\n", b"")


@pytest.mark.parametrize("operand,words", [
    ("absent", "cannot open absent: No such file or directory"),
    (".", ".: not a regular file"),
])
def test_no_file(demo_home, tmp_path, operand, words):
    done = harness.run("demo", operand, env=environment(demo_home), cwd=tmp_path, check=1)
    assert words in done.stderr.decode()
    assert_nothing_left(demo_home)


@pytest.fixture
def large(tmp_path):
    """A file that keeps the demo busy for a while after its first lines."""
    file = tmp_path / "large"
    with open(file, "wb") as f:
        f.truncate(100_000_000)
    return file


def test_interrupted(demo_home, large):
    """Ctrl-C while the servers run."""
    demo = harness.Process("demo", str(large), env=environment(demo_home))
    try:
        demo.wait_line("$ kachery-resource link")
        demo.signal(signal.SIGINT)
        assert demo.wait() == 1
        assert "interrupted" in demo.text()
    finally:
        demo.stop()
    assert_nothing_left(demo_home)


def test_server_dies(demo_home, large):
    """The step that could not go on and the server's log are shown."""
    demo = harness.Process("demo", str(large), env=environment(demo_home))
    try:
        demo.wait_line("listening http://")
        children = [pid for pid in processes_in(demo_home) if harness.parent_of(pid) == demo.pid]
        hub, = [pid for pid in children if os.readlink(f"/proc/{pid}/cwd").endswith("/hub")]
        os.kill(hub, signal.SIGKILL)
        assert demo.wait() == 1
        assert "hub was ended by signal 9" in demo.text()
        assert "hub.log:" in demo.text()
    finally:
        demo.stop()
    assert_nothing_left(demo_home)


def test_keep(demo_home, tmp_path):
    """What --keep prints is typed into a shell: load works, and the last lines end it all."""
    file = tmp_path / "kept.dat"
    file.write_bytes(b"kept" * 1000)
    done = harness.run("demo", "--keep", str(file), env=environment(demo_home), check=0)
    story = done.stdout.decode()
    tail = story[story.index("To try it by hand:\n"):].splitlines()
    script = [line for line in tail if line.startswith(("export ", "kachery-resource load ", "kill ", "rm "))]
    assert len(script) == 6
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "kachery-resource").symlink_to(harness.BINARY)
    env = environment(demo_home)
    env["PATH"] = f"{tools}:{env['PATH']}"
    try:
        typed = subprocess.run(["sh", "-e", "-c", "\n".join(script[:4])], env=env, cwd=tmp_path, timeout=harness.DEADLINE_S,
                               stdout=subprocess.PIPE, check=True)
        assert open(typed.stdout.decode().strip(), "rb").read() == file.read_bytes()
        assert len(processes_in(folder_of(story))) >= 2
    finally:
        subprocess.run(["sh", "-e", "-c", script[4]], env=env, timeout=harness.DEADLINE_S, check=True)
    harness.until(lambda: processes_in(demo_home) == [], "hub and daemon end")
    subprocess.run(["sh", "-e", "-c", script[5]], env=env, timeout=harness.DEADLINE_S, check=True)
    assert_nothing_left(demo_home)
