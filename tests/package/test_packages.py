"""What a user gets: archive, Debian and RPM packages, modulefile, container, units."""
import filecmp
import os
import platform
import re
import shutil
import tempfile
import time

import pytest
from conftest import MACHINE, ROOT, run

native = pytest.mark.skipif(platform.machine() != MACHINE, reason="another machine's program")
HOOK = {"bash": "completions/kachery-resource.bash", "zsh": "completions/_kachery-resource", "fish": "completions/kachery-resource.fish"}


def version_of(emulator, program):
    return run(*emulator, program, "--version").stdout


# ---- the archive ----

def test_archive_has_everything(unpacked, version, emulator):
    assert version_of(emulator, unpacked / "kachery-resource") == f"kachery-resource {version}\n"
    for shell, name in HOOK.items():
        assert (unpacked / name).read_text() == run(ROOT / "build/kachery-resource", "completion", shell).stdout
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        assert filecmp.cmp(unpacked / name, ROOT / name, shallow=False)
    page = unpacked / "man/man1/kachery-resource.1"
    done = run("mandoc", "-T", "lint", "-W", "all", page, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert sorted(path.name for path in (unpacked / "systemd").iterdir()) == ["kachery-hub.service", "kachery-share.service"]


def test_licences_of_all_that_is_linked(unpacked):
    text = (unpacked / "THIRD-PARTY-LICENSES").read_text()
    linked = {path.name for path in (ROOT / "vendor/src").iterdir() if path.is_dir()} | {"musl", "libgcc"}
    assert {name.split()[0] for name in re.findall("^---- (.*) ----$", text, re.M)} == linked
    for part in re.split("^---- .* ----$", text, flags=re.M)[1:]:
        assert "opyright" in part and len(part) > 500


def test_nobody_is_named_and_modes_are_a_users(dist, version):
    listed = run("tar", "-tvzf", dist / f"kachery-resource-{version}-{MACHINE}.tar.gz").stdout.splitlines()
    assert len(listed) > 12
    for line in listed:
        assert re.match(r"(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x) 0/0 ", line), line


def test_sums(dist):
    done = run("sha256sum", "-c", "SHA256SUMS", cwd=dist)
    assert done.stdout.count(": OK") >= 3


def made_again(**environment):
    """The sums of what is made once more, in another environment than the test's."""
    run(ROOT / "ci/dist.sh", env={**os.environ, "KACHERY_ARCH": MACHINE, **environment}, umask=0o077)
    return (ROOT / "dist/SHA256SUMS").read_text()


def test_made_again_they_have_the_same_bytes(dist, tmp_path):
    """Also where packages are put together on another file system, on which folders have other sizes."""
    before = (dist / "SHA256SUMS").read_text()
    with tempfile.TemporaryDirectory(prefix="somebody's ", dir="/dev/shm") as folder:
        assert made_again(TZ="Asia/Tokyo", LC_ALL="C.UTF-8", HOME=str(tmp_path), TMPDIR=folder, TAR_OPTIONS="--format=pax") == before


def test_made_by_a_clock_that_is_behind(dist):
    """No time of this machine is in them: files are older than the version's date there."""
    before = (dist / "SHA256SUMS").read_text()
    late = str(int(time.time()) + 1_000_000)
    try:
        sums = made_again(SOURCE_DATE_EPOCH=late)
        assert made_again(SOURCE_DATE_EPOCH=late) == sums != before
    finally:
        assert made_again() == before


def test_signed_where_a_key_is_given(dist, tmp_path):
    run("minisign", "-G", "-W", "-p", tmp_path / "key.pub", "-s", tmp_path / "key", env={**os.environ, "HOME": str(tmp_path)})
    try:
        run(ROOT / "ci/dist.sh", env={**os.environ, "MINISIGN_KEY": str(tmp_path / "key"), "KACHERY_ARCH": MACHINE})
        assert "verified" in run("minisign", "-V", "-p", tmp_path / "key.pub", "-m", dist / "SHA256SUMS").stdout
        with open(dist / "SHA256SUMS", "a") as sums:
            sums.write("\n")
        assert run("minisign", "-V", "-p", tmp_path / "key.pub", "-m", dist / "SHA256SUMS", check=False).returncode != 0
    finally:
        run(ROOT / "ci/dist.sh", env={**os.environ, "KACHERY_ARCH": MACHINE})


# ---- packages of distributions ----

def test_debian_package_without_errors(dist, version):
    name = {"x86_64": "amd64", "aarch64": "arm64"}[MACHINE]
    done = run("lintian", "--allow-root", "--fail-on", "error", "--tag-display-limit", "0",
               dist / f"kachery-resource_{version}-1_{name}.deb", check=False)
    assert done.returncode == 0 and not re.search("^[EW]:", done.stdout, re.M), done.stdout + done.stderr


def test_debian_package_installs_it(installed, version, emulator):
    assert version_of(emulator, installed / "usr/bin/kachery-resource") == f"kachery-resource {version}\n"
    shown = run("man", "-l", installed / "usr/share/man/man1/kachery-resource.1.gz", check=False) if shutil.which("man") else None
    assert shown is None or "kachery" in shown.stdout


def test_rpm_package_installs_it(dist, version, tmp_path, emulator):
    package = dist / f"kachery-resource-{version}-1.{MACHINE}.rpm"
    files = run("rpm", "-qlp", package).stdout.split()
    assert "/usr/bin/kachery-resource" in files and "/usr/share/man/man1/kachery-resource.1.gz" in files
    assert run("rpm", "-qp", "--requires", package).stdout.replace("rpmlib(", "").count("lib") <= 2  # rpm's own
    run("rpm", "--root", tmp_path, "--dbpath", "/db", "--initdb")
    run("rpm", "--root", tmp_path, "--dbpath", "/db", "--nodeps", "--ignorearch", "--noscripts", "-i", package)
    assert version_of(emulator, tmp_path / "usr/bin/kachery-resource") == f"kachery-resource {version}\n"
    assert "kachery-resource" in run("rpm", "--root", tmp_path, "--dbpath", "/db", "-qa").stdout


# ---- clusters, containers, systemd ----

@native
def test_modulefile(unpacked, version):
    script = f""". /usr/share/lmod/lmod/init/bash
module use {unpacked}/modulefiles
module load kachery-resource
command -v kachery-resource
echo $MANPATH
man -w kachery-resource ls 2>&1
module list 2>&1
module help kachery-resource 2>&1
module unload kachery-resource
command -v kachery-resource || echo gone"""
    said = run("bash", "-c", script, env={"PATH": "/usr/bin:/bin", "HOME": str(unpacked)}).stdout
    assert f"{unpacked}/kachery-resource" in said and f"{unpacked}/man" in said
    if shutil.which("man") and os.path.exists("/usr/share/man/man1/ls.1.gz"):
        assert f"{unpacked}/man/man1/kachery-resource.1\n/usr/share/man/man1/ls.1.gz\n" in said
    assert f"{unpacked}/man:" in said and f"kachery-resource/{version}" in said and "help quickstart" in said and said.rstrip().endswith("gone")


@native
def test_container(unpacked, tmp_path, version):
    if os.geteuid() != 0:
        pytest.skip("buildah with --isolation chroot is for root here")
    options = ["--storage-driver", "vfs", "--root", tmp_path / "root", "--runroot", tmp_path / "run"]
    run("buildah", *options, "build", "--isolation", "chroot", "--pull-never", "-t", "kachery", "-f",
        unpacked / "Containerfile", unpacked)
    container = run("buildah", *options, "from", "--pull-never", "kachery").stdout.strip()
    run("buildah", *options, "config", "--entrypoint", "[]", "--cmd", "", container)
    done = run("buildah", *options, "run", "--isolation", "chroot", container, "/usr/bin/kachery-resource", "--version")
    assert done.stdout.strip() == f"kachery-resource {version}"
    done = run("buildah", *options, "run", "--isolation", "chroot", container, "/usr/bin/kachery-resource", "demo", "-q")
    assert done.stdout.startswith("sha1://")
    mounted = run("buildah", *options, "mount", container).stdout.strip()
    assert sorted(os.listdir(mounted + "/usr/bin")) == ["kachery-resource"]
    run("buildah", *options, "rm", container)


@native
@pytest.mark.parametrize("scope, unit", [("--user", "kachery-share"), ("--system", "kachery-hub")])
def test_units(installed, tmp_path, scope, unit):
    folder = {"--user": "user", "--system": "system"}[scope]
    text = (installed / f"usr/lib/systemd/{folder}/{unit}.service").read_text()
    assert f"ExecStart=/usr/bin/kachery-resource " in text and "@" not in text
    path = tmp_path / f"{unit}.service"
    path.write_text(text.replace("/usr/bin/kachery-resource", f"{installed}/usr/bin/kachery-resource"))
    done = run("systemd-analyze", scope, "verify", "--man=no", path, check=False,
               env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)})
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
