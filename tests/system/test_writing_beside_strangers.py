"""Writing where strangers can write too: a link, a FIFO or a hard link that somebody else put there does not make us
overwrite, append to, or wait for anything (the kernel's own protections are often off)."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import harness
import pytest
from harness import clean_environment, sha1

STRANGER, VICTIM = 4001, 4002
DATA = b"what was asked for"
PRECIOUS = "precious\n"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users")


class Scene:
    """A sticky directory, a stranger's and a victim's home, and a store in which the victim has DATA."""

    def __init__(self, mode):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="kachery-strangers-", dir="/tmp"))
        self.root.chmod(0o755)
        self.open, self.home, self.evil = (self.root / name for name in ("open", "home", "evil"))
        for folder, uid, bits in ((self.open, 0, mode), (self.home, VICTIM, 0o755), (self.evil, STRANGER, 0o777)):
            folder.mkdir()
            os.chown(folder, uid, uid)
            folder.chmod(bits)
        self.precious = self.home / "precious"
        self.precious.write_text(PRECIOUS)
        os.chown(self.precious, VICTIM, VICTIM)
        (self.home / "data").write_bytes(DATA)
        self.uri = f"sha1://{sha1(DATA)}"
        assert self.run("store-local", str(self.home / "data")).returncode == 0

    def run(self, *command, uid=VICTIM, cwd=None, **extra):
        env = clean_environment(HOME=self.home, KACHERY_GATEWAY_URL="http://127.0.0.1:9", **extra)
        return subprocess.run([harness.BINARY, *map(str, command)], user=uid, group=uid, extra_groups=[], env=env,
                              cwd=cwd or self.home, capture_output=True, timeout=harness.DEADLINE_S)

    def link(self, name, target, uid=STRANGER):
        path = self.open / name
        path.symlink_to(target)
        os.lchown(path, uid, uid)
        return path

    def unharmed(self):
        assert self.precious.read_text() == PRECIOUS and os.listdir(self.evil) == []
        assert sorted(os.listdir(self.home)) == [".kachery-cloud", "data", "precious"]


@pytest.fixture(params=[0o1777, 0o777, 0o1775], ids=["sticky", "open to all", "sticky group"])
def scene(request):
    """A folder in which strangers can write too, in one of three ways, and a victim who writes there."""
    made = Scene(request.param)
    os.chown(made.open, 0, VICTIM)
    made.open.chmod(request.param)
    yield made
    shutil.rmtree(made.root)


@pytest.mark.parametrize("target", ["precious", "new", "."])
def test_load_through_a_strangers_link(scene, target):
    path = scene.link("out", scene.home / target)
    for where in (path, scene.open / "sub" / ".." / "out", "../open/out"):
        done = scene.run("load", scene.uri, "-o", where)
        assert done.returncode == 1 and b"out" in done.stderr
    assert f"a symbolic link of user {STRANGER} is not followed".encode() in done.stderr or target == "."
    scene.unharmed()


def test_load_through_a_strangers_folder(scene):
    scene.link("dir", scene.home)
    for option, where in (("-o", "dir/precious"), ("-o", "dir/new"), ("-d", "dir"), ("-d", "dir/new")):
        done = scene.run("load", scene.uri + "?label=precious", option, scene.open / where)
        assert done.returncode == 1 and b"is not followed" in done.stderr, done.stderr
        scene.unharmed()


def test_load_into_a_folder_with_a_strangers_link(scene):
    """With -d a name that is there is replaced, whatever it is; who may not replace it is told so."""
    scene.link("precious", scene.precious)
    scene.run("load", scene.uri + "?label=precious", "-d", scene.open)
    scene.unharmed()


@pytest.mark.parametrize("uid", [VICTIM, 0])
def test_links_of_our_own_and_of_root_are_followed(scene, uid):
    path = scene.link("out", scene.precious, uid)
    scene.link("dir", scene.home, uid)
    assert scene.run("load", scene.uri, "-o", path).returncode == 0
    assert path.is_symlink() and scene.precious.read_bytes() == DATA
    assert scene.run("load", scene.uri, "-o", scene.open / "dir" / "new").returncode == 0
    assert (scene.home / "new").read_bytes() == DATA


def test_a_colleagues_link_to_his_own_file(scene):
    """In a folder of a group, which is not sticky, people lead each other to their own files, and to folders."""
    scene.open.chmod(0o2775)
    os.chown(scene.open, 0, VICTIM)
    (scene.evil / "file").write_text("old")
    os.chown(scene.evil / "file", STRANGER, STRANGER)
    assert scene.run("load", scene.uri, "-o", scene.link("out", scene.evil / "file")).returncode == 0
    assert (scene.evil / "file").read_bytes() == DATA
    assert scene.run("load", scene.uri, "-o", scene.link("current", scene.home) / "new").returncode == 0
    done = scene.run("load", scene.uri, "-o", scene.link("trap", scene.precious))
    assert done.returncode == 1 and scene.precious.read_text() == PRECIOUS


def test_a_link_from_a_held_folder_to_itself(scene):
    scene.link("loop", "loop", VICTIM)
    done = scene.run("load", scene.uri, "-o", scene.open / "loop")
    assert done.returncode == 1 and b"loop" in done.stderr
    scene.unharmed()


def config(folder):
    (folder / "kachery-resource.yaml").write_text("resourceName: r\nproxyUrl: http://127.0.0.1:9\nproxySecret: s\n")
    os.chown(folder / "kachery-resource.yaml", VICTIM, VICTIM)
    return folder / "kachery-resource.yaml"


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "file", "FIFO"])
def test_logs(scene, kind):
    log = scene.open / "log"
    if kind == "link":
        scene.link("log", scene.precious)
    elif kind == "dangling":
        scene.link("log", scene.home / "new")
    elif kind == "hard link":
        os.link(scene.precious, log)
    elif kind == "file":
        log.write_text("")
        log.chmod(0o666)
        os.chown(log, STRANGER, STRANGER)
    else:
        os.mkfifo(log)
        log.chmod(0o666)
        os.chown(log, STRANGER, STRANGER)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK) if kind == "FIFO" else None
    scene.run("register", "--no-wait")  # keys
    place = pathlib.Path(tempfile.mkdtemp(dir=scene.root))
    os.chown(place, VICTIM, VICTIM)
    done = scene.run("share", "--config", config(place), "--log", log)
    assert done.returncode == 1 and b"cannot open log" in done.stderr, done.stderr
    if reader is not None:
        os.close(reader)
    scene.unharmed()


def test_what_lies_beside_a_config(scene):
    scene.link("kachery-resource.lease", scene.home)
    done = scene.run("share", "--config", config(scene.open))
    assert done.returncode == 1 and b"is not followed" in done.stderr
    scene.unharmed()


def test_init_through_a_strangers_link(scene):
    secret = scene.root / "secret"
    secret.write_text("s")
    done = scene.run("init", "--config", scene.link("c.yaml", scene.home / "new"), "--name", "r", "--proxy-url", "http://h",
                     "--proxy-secret-file", secret, "--no-input")
    assert done.returncode == 1 and b"is not followed" in done.stderr
    scene.unharmed()


def test_a_strangers_secret(scene):
    path = scene.open / "secret"
    path.write_text("0123456789abcdef\n")
    path.chmod(0o644)
    os.chown(path, STRANGER, STRANGER)
    for command in (["proxy", "--listen", "127.0.0.1:0", "--secret-file", path],
                    ["init", "--name", "r", "--proxy-url", "http://h", "--no-input", "--proxy-secret-file", path]):
        done = scene.run(*command)
        assert done.returncode == 1 and f"belongs to user {STRANGER}".encode() in done.stderr, done.stderr
    scene.unharmed()


def test_stores(scene):
    scene.link("store", scene.evil)
    for command, extra in ((["link", scene.home / "data"], {"KACHERY_CLOUD_DIR": scene.open / "store"}),
                           (["store-local", scene.home / "data"], {"KACHERY_CLOUD_DIR": scene.open / "store" / "in"}),
                           (["register", "--no-wait"], {"KACHERY_CLOUD_DIR": scene.open / "store"}),
                           (["store", scene.home / "data"], {"KACHERY_STORE_FILE_DIR": scene.open / "store"}),
                           (["demo", scene.home / "data"], {"TMPDIR": scene.open / "store"})):
        done = scene.run(*command, **extra)
        assert done.returncode == 1 and b"is not followed" in done.stderr, (command, done)
    scene.link("sha1", scene.evil)
    done = scene.run("store", scene.home / "data", KACHERY_STORE_FILE_DIR=scene.open)
    assert done.returncode == 1 and b"is not followed" in done.stderr
    scene.unharmed()


def test_a_bucket(scene):
    scene.link("zone", scene.evil)
    done = scene.run("gateway", "--listen", "127.0.0.1:0", "--data", scene.open / "zone")
    assert done.returncode == 1 and b"is not followed" in done.stderr
    (scene.open / ".hub").mkdir()
    os.chown(scene.open / ".hub", STRANGER, STRANGER)
    (scene.open / ".hub").chmod(0o777)
    done = scene.run("gateway", "--listen", "127.0.0.1:0", "--data", scene.open)
    assert done.returncode == 1 and f"belongs to user {STRANGER}".encode() in done.stderr
    scene.unharmed()


def test_partial_downloads(scene):
    """<hash>.part of a stranger, in each kind, is left alone."""
    part = scene.open / f"{sha1(DATA)}.part"
    for kind in ("link", "hard link", "FIFO", "file"):
        if kind == "link":
            scene.link(part.name, scene.precious)
        elif kind == "hard link":
            os.link(scene.precious, part)
        elif kind == "FIFO":
            os.mkfifo(part)
        else:
            part.write_bytes(DATA[:4])
        if kind != "hard link":
            os.lchown(part, STRANGER, STRANGER)
        done = scene.run("load", scene.uri, "-o", scene.open / "out")
        assert done.returncode == 0 and (scene.open / "out").read_bytes() == DATA, done.stderr
        part.unlink()
        (scene.open / "out").unlink()
    scene.unharmed()


@pytest.mark.parametrize("where", ["/dev/null", "/dev/stdout"])
def test_devices_stay_what_they_are(scene, where):
    done = scene.run("load", scene.uri, "-o", where)
    assert done.returncode in (1, 2) and b"not a regular file" in done.stderr


def test_a_strangers_config(scene):
    """It would choose the proxy, and so who may ask for the victim's files."""
    path = scene.open / "kachery-resource.yaml"
    path.write_text("resourceName: r\nproxyUrl: http://127.0.0.1:9\nproxySecret: s\n")
    path.chmod(0o644)
    os.chown(path, STRANGER, STRANGER)
    elsewhere = scene.link("link.yaml", scene.home / "data")
    for config, words in ((path, f"belongs to user {STRANGER}"), (elsewhere, f"a symbolic link of user {STRANGER}")):
        done = scene.run("share", "--config", config)
        assert done.returncode == 1 and words.encode() in done.stderr, done.stderr
    os.chown(path, VICTIM, VICTIM)
    assert b"no client keys" in scene.run("share", "--config", path).stderr  # one's own is read
    scene.unharmed()
