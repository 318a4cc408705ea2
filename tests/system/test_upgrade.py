"""The file of a program that runs is replaced, by a newer or an older version, or is taken away with its file system."""
import json
import os
import pathlib
import re
import subprocess

import harness
import nfs_double
import pytest
from slow_storage import on_tape

VERSION = re.search(r'VERSION "([^"]+)"', (harness.ROOT / "src/base/version.h").read_text()).group(1)
NEWER, OLDER = VERSION.translate(str.maketrans("012345678", "123456789")), "0" + VERSION[1:-1] + "0"


def install(place, version=VERSION):
    """As `help login-node` says: beside it, then renamed."""
    new = place.with_name("kachery-resource.new")
    new.write_bytes(pathlib.Path(harness.BINARY).read_bytes().replace(VERSION.encode(), version.encode()))
    new.chmod(0o755)
    new.rename(place)
    done = subprocess.run([place, "--version"], capture_output=True, check=True)
    assert done.stdout.decode() == f"kachery-resource {version}\n"


def shares(lab, place, *options):
    through = ["sh", "-c", 'exec "$0" "$@"', place]  # this process serves the file system, and waits while a child executes
    return lab.keep(harness.Process("share", "--config", lab.config, *options, program=through, env=lab.host))


def serves(lab, name):
    """A file that nobody asked for before gets through all of the daemon's processes."""
    path = lab.folder / name
    path.write_bytes(os.urandom(300_000))
    uri, = lab.link(path)
    harness.run("request", "--wait", uri, env=lab.remote, check=0)
    assert harness.run("cat", uri, env=lab.remote, check=0).stdout == path.read_bytes()


def runs_from_memory(daemon, place):
    """No process needs its file, which on NFS is stale once another host has replaced it: a bus error at the next page."""
    return [pid for pid in [daemon.pid, *harness.descendants(daemon.pid)]
            if str(place) in pathlib.Path(f"/proc/{pid}/maps").read_text()] == []


def version_told(lab):
    return json.loads(pathlib.Path(lab.config).with_name("kachery-resource.status.json").read_text())["version"]


@pytest.fixture(params=["local", "nfs"])
def places(request, lab):
    """Where the daemon's host sees the program, and where it is replaced: on NFS from another host."""
    if request.param == "local":
        yield [lab.folder / "kachery-resource"] * 2
        return
    (lab.folder / "far").mkdir()
    with nfs_double.mounted(lab.folder / "far", is_strict=True) as far:
        yield [client / "kachery-resource" for client in far.clients]


@pytest.mark.skipif(harness.is_sanitized(), reason="another program")
@pytest.mark.parametrize("version", [NEWER, OLDER])
def test_another_version_takes_the_place_of_one_that_runs(lab, places, version):
    place, replaced = places
    install(replaced)
    daemon = shares(lab, place)
    daemon.wait_line("acknowledged")
    if place == replaced:
        copied = subprocess.run(["cp", harness.BINARY, place], capture_output=True, env={**os.environ, "LC_ALL": "C"})
        assert copied.returncode == 1 and b"Text file busy" in copied.stderr
    install(replaced, version)
    serves(lab, "beside")
    assert runs_from_memory(daemon, place) == (place != replaced)
    cron = subprocess.run([place, "share", "--cron", "--config", lab.config], env=lab.host, capture_output=True,
                          timeout=harness.DEADLINE_S)
    assert (cron.returncode, cron.stdout, cron.stderr) == (0, b"", b"")
    daemon.signal(15)
    assert daemon.wait() == 0
    assert version_told(lab) == VERSION
    shares(lab, place, "--cron").wait_line("acknowledged")
    serves(lab, "behind")
    harness.until(lambda: version_told(lab) == version, "the status of the other version")


@pytest.mark.skipif(harness.is_sanitized(), reason="another program")
def test_a_program_outlives_the_file_system_of_its_file(lab):
    """On NFS the file that another host replaced is gone, as here with the whole file system."""
    place = lab.folder / "far" / "kachery-resource"
    place.parent.mkdir()
    install(place)
    with on_tape(place.parent) as tape:
        tape.let_out()
        daemon = shares(lab, place)
        daemon.wait_line("acknowledged")
        serves(lab, "before")
        assert runs_from_memory(daemon, place)
    serves(lab, "after")
    assert daemon.process.poll() is None
