"""Archives and packages as `./build.sh dist` makes them; `./build.sh test --packages` runs these tests."""
import os
import pathlib
import platform
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MACHINE = os.environ.get("KACHERY_ARCH", platform.machine())


def run(*words, **more):
    return subprocess.run([str(word) for word in words], **{"check": True, "capture_output": True, "text": True, "timeout": 600, **more})


@pytest.fixture(scope="session")
def dist():
    """The folder with what was made."""
    return ROOT / "dist"


@pytest.fixture(scope="session")
def version():
    """The version of the program."""
    return run(ROOT / "build/kachery-resource", "--version").stdout.split()[1]


@pytest.fixture(scope="session")
def unpacked(dist, version, tmp_path_factory):
    """The folder of the archive, unpacked."""
    place = tmp_path_factory.mktemp("unpacked")
    run("tar", "-C", place, "-xzf", dist / f"kachery-resource-{version}-{MACHINE}.tar.gz")
    return place / f"kachery-resource-{version}-{MACHINE}"


@pytest.fixture(scope="session")
def installed(dist, version, tmp_path_factory):
    """The root of a system with the Debian package."""
    place = tmp_path_factory.mktemp("installed")
    name = {"x86_64": "amd64", "aarch64": "arm64"}[MACHINE]
    run("dpkg-deb", "-x", dist / f"kachery-resource_{version}-1_{name}.deb", place)
    return place


@pytest.fixture(scope="session")
def emulator():
    """What stands before the program where it is for another machine."""
    return [] if platform.machine() == MACHINE else [f"qemu-{MACHINE}"]
