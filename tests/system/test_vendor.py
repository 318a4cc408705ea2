"""vendor/fetch.sh: where third-party sources come from and what is refused."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CJSON = "cjson_1.7.15.orig.tar.gz"
CJSON_DEBIAN = "cjson_1.7.15-1+deb12u4.debian.tar.xz"

# Stands for apt-get: notes the sources that it was given and hands out files of a folder.
FAKE_APT_GET = r"""#!/bin/sh
conf=
for word; do
    [ "$last" != -c ] || conf=$word
    last=$word
done
echo "$*" >> "$FAKE/calls"
case " $* " in
    *' update '*)
        cat "$(sed -n 's/^Dir::Etc::sourceparts "\(.*\)";/\1/p' "$conf")"/* > "$FAKE/sources" ;;
    *' source '*)
        name=${last%%=*}
        [ "$name" = "$last" ] || [ -e "$FAKE/pool/${name}_${last#*=}.debian.tar.xz" ] || exit 100
        cp "$FAKE/pool/${name}_"* . ;;
esac
"""

DEB822 = """\
Types: deb
# a comment between fields
URIs: http://mirror.example/debian
Suites: {code} {code}-updates {code}-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://node.example/node_20.x
Suites: nodistro
Components: main

Types: deb
URIs: http://docker.example/linux/debian
Suites: {code}
Components: stable

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: {code}
Components: main
"""

ONE_LINE = """\
# deb http://comment.example/debian {code} main
deb [arch=amd64 signed-by=/a/key.gpg] http://security.example/debian-security {code}-security main
deb http://sdk.example/apt cloud-sdk-{code} main
deb cdrom:[Debian]/ {code} main
"""


def fetch(folder, **environment):
    return subprocess.run([folder / "vendor/fetch.sh"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=120,
                          env=dict(os.environ, **environment))


@pytest.fixture
def vendor_copy(tmp_path):
    """A copy of vendor/ with a filled cache and nothing unpacked."""
    (tmp_path / "vendor").mkdir()
    for name in ("fetch.sh", "pins"):
        shutil.copy2(ROOT / "vendor" / name, tmp_path / "vendor" / name)
    cache = ROOT / "vendor/cache"
    if not (cache / CJSON_DEBIAN).exists():
        pytest.skip(f"vendor/cache has no {CJSON_DEBIAN}: another Debian release")
    shutil.copytree(cache, tmp_path / "vendor/cache", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


@pytest.fixture
def fake_apt(vendor_copy):
    """The cache emptied into the pool of an apt-get that only looks like one."""
    code = subprocess.run(". /etc/os-release; printf %s $VERSION_CODENAME", shell=True,
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    fake = vendor_copy / "fake"
    (fake / "bin").mkdir(parents=True)
    (fake / "parts").mkdir()
    (fake / "parts/debian.sources").write_text(DEB822.format(code=code))
    (fake / "list").write_text("")
    (fake / "parts/more.list").write_text(ONE_LINE.format(code=code))
    shutil.move(vendor_copy / "vendor/cache", fake / "pool")
    (fake / "bin/apt-get").write_text(FAKE_APT_GET)
    (fake / "bin/apt-get").chmod(0o755)
    (fake / "apt.conf").write_text(f'Dir::Etc::sourcelist "{fake}/list";\n'
                                   f'Dir::Etc::sourceparts "{fake}/parts";\n')
    environment = {"FAKE": str(fake), "APT_CONFIG": str(fake / "apt.conf"),
                   "PATH": f"{fake}/bin:{os.environ['PATH']}"}
    return fake, environment, code


def test_filled_cache_needs_no_network(vendor_copy):
    (vendor_copy / "bin").mkdir()
    (vendor_copy / "bin/apt-get").write_text("#!/bin/sh\necho apt-get was called >&2\nexit 1\n")
    (vendor_copy / "bin/apt-get").chmod(0o755)
    result = fetch(vendor_copy, PATH=f"{vendor_copy}/bin:{os.environ['PATH']}")
    assert result.returncode == 0, result.stderr
    assert "apt-get was called" not in result.stderr
    same = subprocess.run(["diff", "-r", "-x", ".stamp", ROOT / "vendor/src",
                           vendor_copy / "vendor/src"], stdout=subprocess.PIPE, text=True)
    assert same.stdout == ""


def test_second_run_does_nothing(vendor_copy):
    assert fetch(vendor_copy).returncode == 0
    shutil.rmtree(vendor_copy / "vendor/cache")
    result = fetch(vendor_copy)
    assert (result.returncode, result.stderr) == (0, "")


def test_debians_patches_are_applied(vendor_copy):
    assert fetch(vendor_copy).returncode == 0
    series = (vendor_copy / "vendor/src/cjson/debian/patches/series").read_text().split()
    assert series
    # What was applied last can be taken back; what was not applied cannot.
    for command, status in (("-R", 0), ("-N", 1)):
        with open(vendor_copy / "vendor/src/cjson/debian/patches" / series[-1]) as patch:
            result = subprocess.run(["patch", "-p1", "--dry-run", "-f", command], stdin=patch,
                                    cwd=vendor_copy / "vendor/src/cjson", stdout=subprocess.PIPE)
        assert result.returncode == status, result.stdout


@pytest.mark.parametrize("damaged", [CJSON, CJSON_DEBIAN])
def test_damaged_file_is_refused(vendor_copy, damaged):
    path = vendor_copy / "vendor/cache" / damaged
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    result = fetch(vendor_copy)
    assert result.returncode == 1
    assert f"vendor/cache/{damaged}: SHA-256 is" in result.stderr
    assert not (vendor_copy / "vendor/src/cjson").exists()


def test_unknown_debian_revision_is_built_with_a_warning(vendor_copy):
    cache = vendor_copy / "vendor/cache"
    (cache / CJSON_DEBIAN).rename(cache / "cjson_1.7.15-1+deb12u99.debian.tar.xz")
    result = fetch(vendor_copy)
    assert result.returncode == 0, result.stderr
    assert "warning: cjson_1.7.15-1+deb12u99.debian.tar.xz" in result.stderr
    assert (vendor_copy / "vendor/src/cjson/cJSON.c").exists()


def test_unknown_original_is_refused(fake_apt, vendor_copy):
    fake, environment, _ = fake_apt
    (fake / "pool" / CJSON).rename(fake / "pool/cjson_9.9.orig.tar.gz")
    result = fetch(vendor_copy, **environment)
    assert result.returncode == 1
    assert "cjson: no original that vendor/pins knows" in result.stderr and CJSON in result.stderr


def test_sources_come_from_debian_only(fake_apt, vendor_copy):
    fake, environment, code = fake_apt
    result = fetch(vendor_copy, **environment)
    assert result.returncode == 0, result.stderr
    sources = (fake / "sources").read_text()
    assert f"Suites: {code} {code}-updates\n" in sources
    assert "http://mirror.example/debian" in sources
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in sources
    assert (f"deb-src [arch=amd64 signed-by=/a/key.gpg] "
            f"http://security.example/debian-security {code}-security main\n") in sources
    for other in ("node", "docker", "off", "comment", "sdk", "cdrom"):
        assert f"{other}.example" not in sources and "cdrom" not in sources
    for line in sources.splitlines():
        assert not line.startswith(("deb ", "Enabled")) and line != "Types: deb"
    assert sorted(p.name for p in (vendor_copy / "vendor/cache").iterdir()) == sorted(
        p.name for p in (fake / "pool").iterdir())


def test_no_debian_source_is_an_error(fake_apt, vendor_copy):
    fake, environment, code = fake_apt
    (fake / "parts/debian.sources").write_text("Types: deb\nURIs: http://a.example\n"
                                               "Suites: nodistro\nComponents: main\n")
    (fake / "parts/more.list").unlink()
    result = fetch(vendor_copy, **environment)
    assert result.returncode == 1
    assert f"no Debian source for {code}" in result.stderr


def test_without_apt_the_error_says_what_to_do(vendor_copy):
    (vendor_copy / "bin").mkdir()
    for tool in ("sh", "awk", "cut", "sha256sum", "mkdir", "dirname", "cat", "rm"):
        (vendor_copy / "bin" / tool).symlink_to(shutil.which(tool))
    (vendor_copy / "vendor/cache" / CJSON).unlink()
    result = fetch(vendor_copy, PATH=str(vendor_copy / "bin"))
    assert result.returncode == 1
    assert "cjson" in result.stderr and "vendor/cache/" in result.stderr
