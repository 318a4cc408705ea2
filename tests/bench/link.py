"""`link` of one cached large file, which makes SHA-1 and manifest in one read, and `link -r` of several, which hashes them
side by side, beside openssl and coreutils: in processor time, of which a busy machine takes nothing away. With every set
of instructions that this processor has."""
import contextlib
import ctypes
import os
import pathlib
import resource
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402

VARIABLE = "KACHERY_RESOURCE_TEST_CPU"
# Which instructions may be used, and how fast it is to be: of openssl sha1; None: as sha1sum && sha256sum.
SETS = [("sse2,avx2,avx512,sha", 0.55), ("sse2,avx2,sha", 0.45), ("sse2,avx2,avx512", None), ("sse2,avx2", None),
        ("sse2", None), ("generic", None)]


PR_SET_CHILD_SUBREAPER = 36


def processor_seconds(*commands, env=None):
    """User and system time of commands that must succeed, and of their children, also of those that end after them."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for command in commands:
        bench.timed(command, env)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def link_with(folder, path, cpu, *options):
    store = {"run": 0}

    def run():
        store["run"] += 1  # a new store each time: nothing comes from the hash cache
        env = harness.clean_environment(HOME=folder, **{VARIABLE: cpu},
                                        KACHERY_CLOUD_DIR=folder / f"store-{cpu}{''.join(options)}{store['run']}")
        return processor_seconds([harness.BINARY, "link", *options, str(path)], env=env)

    return run


def several(folder, usable, count=32, size=bench.GIB // 32):
    """`link -r` with more files than lanes, beside as many processes of sha1sum as it has."""
    tree = folder / "tree"
    tree.mkdir()
    for i in range(count):
        bench.random_file(tree / f"{i:02}", size)
    mib = count * size / (1 << 20)
    summed = ["sh", "-c", f"find '{tree}' -type f -print0 | xargs -0 -P 2 -n 4 sha1sum"]
    for options in ["--no-manifest"], []:
        names = [" ".join(["link -r", *options, "with", cpu]) for cpu, _ in usable]
        runs = [link_with(folder, tree, cpu, "-q", "-r", *options) for cpu, _ in usable]
        theirs, *ours = [mib / seconds for seconds in bench.interleaved(lambda: processor_seconds(summed), *runs)]
        for name, value in zip(names, ours):
            bench.report(name, value, theirs, "MiB/s", "xargs -P 2 sha1sum", wanted=round(2 * theirs))


def main(folder):
    path = bench.random_file(folder / "one.dat", bench.GIB)
    mib = bench.GIB / (1 << 20)
    usable = [(cpu, part) for cpu, part in SETS
              if subprocess.run([harness.BINARY, "--version"], env={VARIABLE: cpu}, capture_output=True).returncode == 0]
    runs = [lambda: processor_seconds(["openssl", "sha1", str(path)]),
            lambda: processor_seconds(["sha1sum", str(path)], ["sha256sum", str(path)]),
            lambda: processor_seconds(["sha1sum", str(path)]),
            *(link_with(folder, path, cpu, "--no-manifest") for cpu, _ in usable),
            *(link_with(folder, path, cpu) for cpu, _ in usable)]
    openssl, both, coreutils, *ours = [mib / seconds for seconds in bench.interleaved(*runs)]
    without, ours = ours[:len(usable)], ours[len(usable):]
    for (cpu, _), value in zip(usable, without):
        bench.report(f"link --no-manifest with {cpu}", value, openssl, "MiB/s", "openssl sha1", wanted=round(coreutils))
    for (cpu, part), value in zip(usable, ours):
        what = f"link with {cpu}"
        if part is not None:
            bench.report(what, value, openssl, "MiB/s", "openssl sha1", wanted=round(part * openssl))
        else:
            bench.report(what, value, both, "MiB/s", "sha1sum && sha256sum", wanted=round(both))
    path.unlink()
    several(folder, usable)


with bench.scratch() as scratch:
    main(scratch)
