"""`link` of one cached large file, which makes SHA-1 and manifest in one read, beside openssl and coreutils: in processor
time, of which a busy machine takes nothing away. With every set of instructions that this processor has."""
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


def main(folder):
    path = bench.random_file(folder / "one.dat", bench.GIB)
    mib = bench.GIB / (1 << 20)
    usable = [(cpu, part) for cpu, part in SETS
              if subprocess.run([harness.BINARY, "--version"], env={VARIABLE: cpu}, capture_output=True).returncode == 0]
    runs = [lambda: processor_seconds(["openssl", "sha1", str(path)]),
            lambda: processor_seconds(["sha1sum", str(path)], ["sha256sum", str(path)]),
            link_with(folder, path, usable[0][0], "--no-manifest"),
            *(link_with(folder, path, cpu) for cpu, _ in usable)]
    openssl, both, without, *ours = [mib / seconds for seconds in bench.interleaved(*runs)]
    bench.report("link --no-manifest, one cached file", without, openssl, "MiB/s", "openssl sha1")
    for (cpu, part), value in zip(usable, ours):
        what = f"link with {cpu}"
        if part is not None:
            bench.report(what, value, openssl, "MiB/s", "openssl sha1", wanted=round(part * openssl))
        else:
            bench.report(what, value, both, "MiB/s", "sha1sum && sha256sum", wanted=round(both))


with bench.scratch() as scratch:
    main(scratch)
