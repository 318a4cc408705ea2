"""A warm range of 8 bytes on a kept connection: the hub has the block; beside nginx with the same file, in turn."""
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import ranges  # noqa: E402

COUNT, BLOCKS = 20000, 40


def main(folder):
    files = folder / "files"
    files.mkdir()
    path = bench.random_file(files / "warm.bin", BLOCKS * ranges.LEAF)
    data = path.read_bytes()
    draw = random.Random(8)
    with ranges.Host(folder / "lab") as host, ranges.nginx(files) as plain:
        ours = (ranges.Kept(host.url), host.link(path), [])
        theirs = (ranges.Kept(plain), "/warm.bin", [])
        assert ours[0].get(ours[1]) == data
        for n in range(COUNT):
            start = draw.randrange(len(data) - 8)
            for kept, where, took in (ours, theirs) if n % 2 else (theirs, ours):
                request = kept.request(where, start, start + 8)
                begun = time.perf_counter()
                status, body = kept.exchange(request)
                took.append(1000 * (time.perf_counter() - begun))
                if status != 206 or body != data[start:start + 8]:
                    sys.exit(f"{status} {body!r} at {start}")
        for percent, wanted in ((50, 0.2), (99, None), (99.9, 1)):
            bench.report(f"warm 8 bytes, percentile {percent:g}, µs", 1000 * ranges.percentile(ours[2], percent),
                         1000 * ranges.percentile(theirs[2], percent), "µs", "nginx, same file", False,
                         wanted and 1000 * wanted)


with bench.scratch() as scratch:
    main(scratch)
