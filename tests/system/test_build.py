"""The program as a file: what it needs, where it runs, and that it can be built again."""

import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import harness
import pytest
from typist import blocks

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/kachery-resource"
OLD_KERNEL = ROOT / "build/tools/old_kernel"

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
DT_NEEDED, DT_TEXTREL, DT_FLAGS, DT_FLAGS_1 = 1, 22, 30, 0x6FFFFFFB
DF_BIND_NOW, DF_1_NOW, DF_1_PIE = 8, 1, 0x08000000


class Elf:
    """As much of a 64-bit little-endian ELF file as these tests ask about."""

    def __init__(self, path):
        self.data = data = Path(path).read_bytes()
        assert data[:6] == b"\x7fELF\x02\x01"
        self.type, = struct.unpack_from("<H", data, 16)
        phoff, shoff = struct.unpack_from("<QQ", data, 32)
        phnum, _, shnum = struct.unpack_from("<HHH", data, 56)
        self.segments = []
        for i in range(phnum):
            kind, flags, offset, _, _, size = struct.unpack_from("<IIQQQQ", data, phoff + 56 * i)
            self.segments.append((kind, flags, offset, size))
        self.section_types = [
            struct.unpack_from("<I", data, shoff + 64 * i + 4)[0] for i in range(shnum)]
        self.dynamic = []
        for kind, _, offset, size in self.segments:
            if kind == PT_DYNAMIC:
                for at in range(offset, offset + size, 16):
                    self.dynamic.append(struct.unpack_from("<QQ", data, at))

    def has(self, kind):
        return any(s[0] == kind for s in self.segments)

    def flags(self, tag):
        return next((value for t, value in self.dynamic if t == tag), 0)


def run(*args, **options):
    return subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=600, **options)


def test_program_needs_nothing():
    elf = Elf(PROGRAM)
    assert not elf.has(PT_INTERP)
    assert DT_NEEDED not in [tag for tag, _ in elf.dynamic]


def test_program_is_hardened():
    elf = Elf(PROGRAM)
    assert elf.type == 3 and elf.flags(DT_FLAGS_1) & DF_1_PIE
    assert elf.has(PT_GNU_RELRO)
    assert elf.flags(DT_FLAGS) & DF_BIND_NOW or elf.flags(DT_FLAGS_1) & DF_1_NOW
    assert DT_TEXTREL not in [tag for tag, _ in elf.dynamic]
    stack = [flags for kind, flags, _, _ in elf.segments if kind == PT_GNU_STACK]
    assert stack == [6], "the stack is readable and writable, not executable"
    assert not [s for s in elf.segments if s[0] == PT_LOAD and s[1] & 3 == 3]


def test_program_is_small_and_stripped():
    assert PROGRAM.stat().st_size <= 2 << 20
    assert 2 not in Elf(PROGRAM).section_types, "no symbol table"
    assert 2 in Elf(ROOT / "build/kachery-resource.debug").section_types


def test_debug_file_is_the_same_program():
    loads = [[(flags, size) for kind, flags, _, size in Elf(path).segments if kind == PT_LOAD]
             for path in (PROGRAM, ROOT / "build/kachery-resource.debug")]
    assert loads[0] == loads[1]


@pytest.mark.parametrize("bad", ["/bin/sh", "/usr/bin/env"])
def test_check_refuses_dynamic_programs(bad):
    result = run(ROOT / "ci/check_binary.sh", bad)
    assert result.returncode == 1
    assert "PT_INTERP" in result.stderr and "DT_NEEDED" in result.stderr


def run_in_empty_root(folder, *arguments, env=None):
    shutil.copy(PROGRAM, folder / "kachery-resource")

    def enter():
        os.chroot(folder)
        os.chdir("/")

    return run("/kachery-resource", *arguments, preexec_fn=enter, env=env or {})


def test_runs_in_an_empty_root(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("chroot is for root")
    result = run_in_empty_root(tmp_path, "--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("kachery-resource ")


def test_does_the_whole_job_in_an_empty_root(tmp_path):
    """Without /dev and /proc."""
    if os.geteuid() != 0:
        pytest.skip("chroot is for root")
    result = run_in_empty_root(tmp_path, "demo", "-q", env={"TMPDIR": "/"})
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("sha1://")
    assert os.listdir(tmp_path) == ["kachery-resource"]


def test_old_kernel_hides_what_is_newer():
    code = "import os\ntry: os.getrandom(1)\nexcept OSError as e: print(e.errno)"
    assert run("/usr/bin/python3", "-c", code).stdout == ""
    assert run(OLD_KERNEL, "/usr/bin/python3", "-c", code).stdout == "38\n"


def test_runs_on_kernel_3_10():
    result = run(OLD_KERNEL, PROGRAM, "--version")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("kachery-resource ")


def test_does_the_whole_job_on_kernel_3_10(tmp_path):
    """hub, register, init, link, share, request and load, with all their processes."""
    result = run(OLD_KERNEL, PROGRAM, "demo", "-q", env={"TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("sha1://")


def test_unknown_verb_is_wrong_usage():
    result = run(ROOT / "build.sh", "bulid")
    assert result.returncode == 2
    assert "bulid" in result.stderr and "usage:" in result.stderr


@pytest.mark.parametrize("words", [["--arch", "sparc64"], ["dist", "--arch=sparc64"], ["test", "--arch"]])
def test_other_machines_are_refused(words):
    result = run(ROOT / "build.sh", *words)
    assert result.returncode == 2 and "want aarch64" in result.stderr


VERBS = re.findall(r"^  ([a-z]+) ", run(ROOT / "build.sh", "--help").stdout, re.M)
SHOWN = [line.split("#")[0].split() for line in blocks((ROOT / "README.md").read_text(), "## Install")[0].splitlines()]


@pytest.mark.parametrize("name", ["README.md", "src/README.md", "tests/README.md"])
def test_verbs_that_the_texts_name(name):
    named = set(re.findall(r"\./build\.sh (?!-)(\w+)", (ROOT / name).read_text()))
    assert "test" in named and named <= set(VERBS)


# A second folder with the same sources, built there once for all tests below. Objects are the first's, but for some that
# are compiled again, others in each run (KACHERY_BUILD_SEED=N, or "all").

SEED = os.environ.get("KACHERY_BUILD_SEED", str(random.randrange(10**6)))
ENVIRONMENT = dict(os.environ, TZ="Asia/Tokyo", LC_ALL="C.UTF-8", HOME="/nonexistent", JOBS="3")

BUILDS = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository in a folder with a long name and odd characters."""
    folder = tmp_path_factory.mktemp("copy") / "somebody's own folder" / ("long" * 20)
    folder.mkdir(parents=True)
    for name in ("src", "ci", "vendor", "build.sh"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True,
                            ignore=shutil.ignore_patterns("cache"))
        else:
            shutil.copy2(source, folder / name)
    for name in ("third", "obj"):
        shutil.copytree(ROOT / "build/musl" / name, folder / "build/musl" / name)
    shutil.copy2(ROOT / "build/musl/libthird.a", folder / "build/musl")
    objects = sorted((folder / "build/musl/obj/src").rglob("*.o"))
    drawn = objects if SEED == "all" else random.Random(SEED).sample(objects, len(objects) // 8)
    for each in {folder / "build/musl/obj/src/main.c.o", folder / "build/musl/obj/src/help/help.c.o", *drawn}:
        each.unlink()
    result = run(folder / "ci/variant.sh", "musl", cwd="/", env=ENVIRONMENT)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("CC build/musl src/") >= len(drawn) > 20
    return folder


def compiled(folder):
    """Build once more; the sources that were compiled."""
    result = run(folder / "ci/variant.sh", "musl", cwd=folder)
    assert result.returncode == 0, result.stderr
    return [line.split()[-1] for line in result.stdout.splitlines() if line.startswith("CC ")]


@BUILDS
def test_same_sources_same_bytes(copy):
    for name in ("build/kachery-resource", "build/kachery-resource.debug"):
        assert (copy / name).read_bytes() == (ROOT / name).read_bytes(), f"KACHERY_BUILD_SEED={SEED}"


AGAIN = """. ci/flags.sh; variant_flags musl; mkdir again
ci/third_party.sh | sed -n '1~40p' | while read -r source flags; do
    sh -c "$cc $third_flags $flags -ffile-prefix-map=\\"$PWD\\"=. -c -o again/object.o $source"
    cmp again/object.o "build/musl/third/$source.o"
    echo "$source"
done"""


@BUILDS
def test_same_bytes_of_third_parties(copy):
    result = run("sh", "-euc", AGAIN, cwd=copy, env=ENVIRONMENT)
    assert result.returncode == 0 and len(result.stdout.splitlines()) >= 5, result.stderr


@BUILDS
@pytest.mark.parametrize("words", [words for words in SHOWN if words not in ([], ["./build.sh", "test"])], ids=" ".join)
def test_the_readmes_lines_build_it(copy, tmp_path, words):
    """All but `test`, which runs this."""
    result = run(*words, cwd=copy, env={**ENVIRONMENT, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert words[0] == "./build.sh" and ("demo" not in words or "sha1://" in result.stdout)


@BUILDS
def test_rebuild_compiles_what_changed(copy):
    assert compiled(copy) == []
    source = copy / "src/main.c"
    os.utime(source)
    assert compiled(copy) == ["src/main.c"]
    header = copy / "src/daemon/lease.h"
    header.write_text(header.read_text() + "\n")
    stale = compiled(copy)
    assert "src/daemon/lease.c" in stale and "src/main.c" not in stale
    assert compiled(copy) == []
    added = copy / "src/base/added_for_a_test.c"
    added.write_text("extern int added_for_a_test;\nint added_for_a_test;\n")
    assert compiled(copy) == ["src/base/added_for_a_test.c"]
    added.unlink()
    assert compiled(copy) == []
    assert (copy / "build/kachery-resource").read_bytes() == PROGRAM.read_bytes()


@BUILDS
def test_failed_build_leaves_no_fresh_object(copy):
    source = copy / "src/main.c"
    good = source.read_bytes()
    source.write_bytes(good + b"\n#error stop here\n")
    result = run(copy / "ci/variant.sh", "musl", cwd=copy)
    assert result.returncode != 0 and "stop here" in result.stderr
    assert run(copy / "ci/variant.sh", "musl", cwd=copy).returncode != 0
    source.write_bytes(good)
    assert compiled(copy) == ["src/main.c"]


@pytest.mark.skipif(harness.is_sanitized(), reason="another program")
def test_children_have_little_of_the_program_in_memory(lab):
    """The functions that processes run lie side by side (ci/order.txt); scattered, they need nearly all of the code."""
    daemon = lab.share()
    for name in ("kachery-keeper", "kachery-lookup", "gateway"):
        child, = [pid for top in (daemon, lab.hub) for pid in harness.descendants(top.pid)
                  if Path(f"/proc/{pid}/comm").read_text().strip() == name]
        size, resident = code_kib(child)
        assert resident <= size / 2, (name, size, resident)


def code_kib(pid):
    """Of the code of a process in KiB: all of it, and what is in its memory."""
    lines, totals = Path(f"/proc/{pid}/smaps").read_text().splitlines(), [0, 0]
    for at, line in enumerate(lines):
        if " r-xp " in line and "kachery" in line:
            sizes = dict(line.split(":", 1) for line in lines[at + 1:at + 6])
            totals = [total + int(sizes[key].split()[0]) for total, key in zip(totals, ("Size", "Rss"))]
    return totals
