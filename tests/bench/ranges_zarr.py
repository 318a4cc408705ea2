"""1,000 chunks of 40 KB of a zarr folder below /d/, 16 at a time, beside the hub and 50 ms from the host; cold, and again.
Beside it nginx on the host with the same files, over the same link."""
import os
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
import ranges  # noqa: E402

CHUNKS, CHUNK, AT_ONCE = 1000, 40000, 16


def read_all(url, prefix, want):
    """Milliseconds of reading every chunk over 16 kept connections, each as it gets to it."""
    names, lock = iter(want), threading.Lock()

    def reader(_):
        kept = ranges.Kept(url)
        while True:
            with lock:
                name = next(names, None)
            if name is None:
                return
            if kept.get(f"{prefix}/{name}") != want[name]:
                sys.exit(f"wrong bytes: {name}")
    return ranges.milliseconds(lambda: ranges.in_threads(AT_ONCE, reader))


def main(folder):
    ranges.needs_far()
    tree = folder / "files" / "array.zarr"
    tree.mkdir(parents=True)
    want = {}
    for n in range(CHUNKS):
        name = f"{n // 25}.{n % 25}"
        want[name] = os.urandom(CHUNK)
        (tree / name).write_bytes(want[name])
    with ranges.Host(folder / "lab", far=True) as host, \
            ranges.nginx(folder / "files", host.host_side, host.link_between.address_a) as far:
        with ranges.inside(host.host_side):
            lines = harness.run("link", "-r", "--index", str(tree), env=host.lab.host, check=0).stdout.decode().splitlines()
        index = lines[-1].split("\t")[0].removeprefix("sha1://").split("?")[0]
        with host.beside_hub():
            theirs = read_all(far, "/array.zarr", want)
            ours = read_all(host.url, f"/d/{index}", want)
            again = read_all(host.url, f"/d/{index}", want)
        left = host.left()
    bench.report(f"{CHUNKS} chunks of {CHUNK // 1000} KB, {AT_ONCE} at a time, cold", ours, theirs, "ms",
                 "nginx on the host, over the link", False, 5000)
    bench.tell("… again", again, "ms")
    bench.tell("… bytes that left the host, for each of a file's", left / CHUNKS / CHUNK, "", "the index included", 1.1)


with bench.scratch() as scratch:
    main(scratch)
