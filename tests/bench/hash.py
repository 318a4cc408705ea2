"""Hashing: one cached 1 GiB file on one core, and a tree of small files with all cores."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402


def one_file(folder):
    path = bench.random_file(folder / "one.dat", bench.GIB)
    mib = bench.GIB / (1 << 20)
    state = {"run": 0}

    def ours():
        state["run"] += 1  # a new store each time: nothing comes from the hash cache
        env = harness.clean_environment(HOME=folder, KACHERY_CLOUD_DIR=folder / f"store{state['run']}")
        return mib / bench.timed(["taskset", "-c", "0", harness.BINARY, "link", str(path)], env)

    def openssl():
        return mib / bench.timed(["taskset", "-c", "0", "openssl", "sha1", str(path)])

    bench.report("link one cached file, one core", *bench.interleaved(ours, openssl), "MiB/s", "openssl sha1")


def tree(folder, files=10000, size=4096):
    root = folder / "tree"
    for i in range(files):
        path = root / f"{i // 500:03}" / f"{i:06}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    old = 1_700_000_000
    subprocess.run(["find", root, "-type", "f", "-exec", "touch", "-d", f"@{old}", "{}", "+"], check=True)
    state = {"run": 0}

    def ours():
        state["run"] += 1
        env = harness.clean_environment(HOME=folder, KACHERY_CLOUD_DIR=folder / f"tree-store{state['run']}")
        return files / bench.timed([harness.BINARY, "link", "-q", "-r", str(root)], env)

    def sha1sum():
        return files / bench.timed(["sh", "-c", f"find '{root}' -type f -print0 | xargs -0 -P 2 -n 500 sha1sum"])

    bench.report(f"link -r, {files:,} files of {size} bytes (durable)", *bench.interleaved(ours, sha1sum), "files/s",
                 "find | xargs -P 2 sha1sum")


with bench.scratch() as scratch:
    one_file(scratch)
    tree(scratch)
