"""init: on a terminal, from flags, over a file that is there."""
import contextlib
import os
import pty
import select
import signal
import termios
import time

import harness
import pytest
from harness import BINARY, clean_environment, run

FILE = "kachery-resource.yaml"
SECRET = "pass: 'word' #1"


class Terminal:
    """The program on a pseudo-terminal of its own."""

    def __init__(self, *arguments, cwd, env):
        self.seen, self.taken = "", 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execve(BINARY, [BINARY, *arguments], env)

    def expect(self, text):
        """Reads until `text` has come, behind what was expected before."""
        end = time.monotonic() + harness.DEADLINE_S
        while text not in self.seen[self.taken:]:
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.seen[self.taken:]!r}"
            if select.select([self.fd], [], [], left)[0]:
                self.seen += os.read(self.fd, 65536).decode()
        self.taken = self.seen.index(text, self.taken) + len(text)

    def type(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def wait(self):
        with contextlib.suppress(OSError):  # the end of a terminal is EIO
            while data := os.read(self.fd, 65536):
                self.seen += data.decode()
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return status

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def env(tmp_path):
    """The environment of a user with an empty home."""
    return clean_environment(HOME=tmp_path)


@pytest.fixture
def terminal(tmp_path, env):
    """`terminal(...)`: runs `init` on a terminal; closed at the end of the test."""
    opened = []

    def start(*arguments, **more):
        opened.append(Terminal("init", *arguments, cwd=tmp_path, env={**env, **more}))
        return opened[-1]
    yield start
    for one in opened:
        one.close()


def flags(folder, **changes):
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    values = {"name": "rig-1", "zone": "lab", "max-uploads": "3", "proxy-url": "https://proxy.example.org/",
              "proxy-secret-file": str(secret), **changes}
    return [f"--{key}={value}" for key, value in values.items() if value is not None]


WRITTEN = ("resourceName: rig-1\nkacheryZone: lab\nmaxConcurrentUploads: 3\n"
           "proxyUrl: https://proxy.example.org\nproxySecret: 'pass: ''word'' #1'\n")


def test_from_flags(tmp_path, env):
    done = run("init", *flags(tmp_path), "--no-input", cwd=tmp_path, env=env, check=0)
    path = tmp_path / FILE
    assert path.read_text() == WRITTEN and path.stat().st_mode & 0o777 == 0o600
    assert done.stdout == b""
    said = done.stderr.decode()
    assert "kachery-resource register" in said and "kachery-resource share" in said
    assert 'zone "lab"' in said and "rig-1" in said and SECRET not in said


def test_without_a_terminal_nothing_is_asked(tmp_path, env):
    run("init", *flags(tmp_path), cwd=tmp_path, env=env, check=0)
    assert (tmp_path / FILE).read_text() == WRITTEN


@pytest.mark.parametrize("missing, flag", [("name", "--name"), ("proxy-url", "--proxy-url"),
                                           ("proxy-secret-file", "--proxy-secret-file")])
def test_what_is_missing_is_named(tmp_path, env, missing, flag):
    done = run("init", *flags(tmp_path, **{missing: None}), "--no-input", cwd=tmp_path, env=env, check=2)
    assert f"give {flag}".encode() in done.stderr
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("changes, words", [
    ({"max-uploads": "two"}, '--max-uploads: maxConcurrentUploads "two": want a whole number 1-64'),
    ({"name": "a b"}, '--name: resourceName "a b": want'),
    ({"proxy-url": "ftp://x"}, "--proxy-url: proxyUrl"),
])
def test_a_bad_flag(tmp_path, env, changes, words):
    done = run("init", *flags(tmp_path, **changes), "--no-input", cwd=tmp_path, env=env, check=2)
    assert words in done.stderr.decode()
    assert not (tmp_path / FILE).exists()


def test_a_secret_file_that_is_not_there(tmp_path, env):
    changed = flags(tmp_path, **{"proxy-secret-file": "/nowhere/secret"})
    done = run("init", *changed, "--no-input", cwd=tmp_path, env=env, check=1)
    assert b"/nowhere/secret" in done.stderr


def test_what_the_file_has_is_kept(tmp_path, env):
    path = tmp_path / FILE
    path.write_text("# ours\nport: 3 # x\nresourceName: old\nkacheryZone: lab # zone\nproxyUrl: >-\n  http://h\n"
                    "proxySecret: s\nmore: {a: [1]}\n")
    run("init", "--name", "new", "--no-input", cwd=tmp_path, env=env, check=0)
    assert path.read_text() == ("# ours\nport: 3 # x\nresourceName: new\nkacheryZone: lab # zone\nproxyUrl: >-\n"
                                "  http://h\nproxySecret: s\nmore: {a: [1]}\nmaxConcurrentUploads: 2\n")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_bad_value_in_the_file_is_named_with_its_line(tmp_path, env):
    path = tmp_path / FILE
    path.write_text("resourceName: a\n\nmaxConcurrentUploads: two\n")
    done = run("init", *flags(tmp_path), "--no-input", cwd=tmp_path, env=env, check=1)
    assert f'{FILE}:3: maxConcurrentUploads "two": want a whole number 1-64'.encode() in done.stderr
    assert path.read_text() == "resourceName: a\n\nmaxConcurrentUploads: two\n"


@pytest.mark.parametrize("end", ["\n", ""])
def test_answers_may_come_from_a_pipe(tmp_path, env, end):
    """As the deployed program takes them: one a line, the secret last; an empty line takes what is offered."""
    answers = f"rig-1\nlab\n3\nhttps://proxy.example.org/\n{SECRET}{end}"
    done = run("init", cwd=tmp_path, env=env, stdin=answers.encode(), check=0)
    assert (tmp_path / FILE).read_text() == WRITTEN and SECRET.encode() not in done.stderr
    done = run("init", "--name=rig-2", cwd=tmp_path, env=env, stdin=b"unread\n", check=0)
    assert (tmp_path / FILE).read_text() == WRITTEN.replace("rig-1", "rig-2")
    (tmp_path / FILE).unlink()
    run("init", "--name=rig-1", cwd=tmp_path, env=env, stdin=f"\n\nhttp://h\n{SECRET}".encode(), check=0)
    assert "kacheryZone: default\nmaxConcurrentUploads: 2\nproxyUrl: http://h\n" in (tmp_path / FILE).read_text()


@pytest.mark.parametrize("answers, words", [
    (b"", "resourceName is not known: give --name"), (b"rig-1\nlab\n", "proxyUrl is not known: give --proxy-url"),
    (b"rig-1\nlab\n\nhttp://h\n", "proxySecret is not known: give --proxy-secret-file"),
    (b"my rig\nrig\n", 'resourceName "my rig": want'), (b"\nrig\n", 'resourceName "": want'),
    pytest.param(b"r" * 5000 + b"\n", "an answer of more than 4096 bytes", id="long")])
def test_answers_of_a_pipe_that_are_not_enough(tmp_path, env, answers, words):
    done = run("init", cwd=tmp_path, env=env, stdin=answers)
    assert done.returncode in (1, 2) and words in done.stderr.decode()
    assert not (tmp_path / FILE).exists()


def test_the_zone_of_the_environment_is_offered(tmp_path, env):
    run("init", *flags(tmp_path, zone=None), "--no-input", cwd=tmp_path, env={**env, "KACHERY_ZONE": "envzone"}, check=0)
    assert "kacheryZone: envzone\n" in (tmp_path / FILE).read_text()


def answer_all(t, secret=SECRET):
    t.expect("Name of the resource")
    t.type("rig-1\n")
    t.expect("Kachery zone [default]: ")
    t.type("lab\n")
    t.expect("[2]: ")
    t.type("3\n")
    t.expect("URL of the resource proxy: ")
    t.type("https://proxy.example.org\n")
    t.expect("Secret of the resource proxy")
    t.type(secret + "\n")


def test_questions(tmp_path, terminal):
    t = terminal()
    answer_all(t)
    assert t.wait() == 0
    assert (tmp_path / FILE).read_text() == WRITTEN
    assert SECRET not in t.seen and "Next:" in t.seen


def test_a_bad_answer_is_asked_again(tmp_path, terminal):
    t = terminal("--zone=lab", "--proxy-url=https://proxy.example.org")
    t.expect("Name of the resource")
    t.type("my rig\n")
    t.expect('resourceName "my rig": want')
    t.expect("Name of the resource")
    t.type("\n")
    t.expect('resourceName "": want')
    t.type("rig-1\n")
    t.expect("[2]: ")
    t.type("65\n")
    t.expect("want a whole number 1-64")
    t.expect("[2]: ")
    t.type("3\n")
    t.expect("Secret of the resource proxy")
    t.type(SECRET + "\n")
    assert t.wait() == 0
    assert (tmp_path / FILE).read_text() == WRITTEN


def test_what_the_file_has_is_offered(tmp_path, env, terminal):
    run("init", *flags(tmp_path), "--no-input", cwd=tmp_path, env=env, check=0)
    t = terminal()
    for offered in ("[rig-1]: ", "[lab]: ", "[3]: ", "[https://proxy.example.org]: ", "[keep the present one]: "):
        t.expect(offered)
        t.type("\n")
    assert t.wait() == 0
    assert (tmp_path / FILE).read_text() == WRITTEN and SECRET not in t.seen


@pytest.mark.parametrize("key", ["\x03", signal.SIGTERM])
def test_an_interrupt_at_the_secret(tmp_path, terminal, key):
    t = terminal(*flags(tmp_path, **{"proxy-secret-file": None}))
    t.expect("Secret of the resource proxy")
    assert not t.echoes()
    t.type("half a sec")
    if key == "\x03":
        t.type(key)
    else:
        os.kill(t.pid, key)
    harness.until(t.echoes, "the terminal as it was")
    status = t.wait()
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == (key if key != "\x03" else signal.SIGINT)
    assert "half a sec" not in t.seen
    assert sorted(p.name for p in tmp_path.iterdir()) == ["secret"]


def test_the_end_of_input(tmp_path, terminal):
    t = terminal()
    t.expect("Name of the resource")
    t.type("\x04")
    status = t.wait()
    assert os.WEXITSTATUS(status) == 1 and "the input ended" in t.seen
    assert list(tmp_path.iterdir()) == []


def test_a_host_with_keys_is_shown_its_link_where_it_is_not_registered(tmp_path, zone, user):
    zone.opens_registration = False
    zone.clients.clear()
    done = run("init", *flags(tmp_path, zone="default"), "--no-input", cwd=tmp_path, env=user, check=0)
    assert f"{user['KACHERY_GATEWAY_URL']}/registerClient/" in done.stderr.decode()
