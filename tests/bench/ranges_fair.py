"""Small reads of files 50 ms away while four bulk readers fill the line at 10 MB/s; beside them the small reads alone."""
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import ranges  # noqa: E402

RATE, READERS, READS = 10_000_000, 4, 60
BOUND_MS = ranges.RTT_MS + 3 * 1000 * ranges.LEAF / RATE


def small_reads(host, path, data, count, draw):
    """Milliseconds of each, of blocks that were not read before."""
    kept = ranges.Kept(host.url)
    took = []
    blocks = draw.sample(range(len(data) // ranges.LEAF), count)
    for i in blocks:
        at, got = i * ranges.LEAF + 77, []
        took.append(ranges.milliseconds(lambda: got.append(kept.get(path, at, at + 8))))
        if got != [data[at:at + 8]]:
            sys.exit("wrong bytes")
        time.sleep(0.05)
    return took


def main(folder):
    ranges.needs_far()
    draw = random.Random(5)
    small = [bench.random_file(folder / f"small{n}.bin", 2 * READS * ranges.LEAF) for n in range(2)]
    bulk = [bench.random_file(folder / f"bulk{n}.bin", 150 << 20) for n in range(READERS)]
    with ranges.Host(folder / "lab", far=True, rate=RATE) as host:
        where = [host.link(path) for path in small]
        bulk_urls = [host.link(path) for path in bulk]
        moved, stopped = [0] * READERS, threading.Event()

        def reads(n):
            kept = ranges.Kept(host.url)
            kept.sock.sendall(kept.request(bulk_urls[n]))
            room = memoryview(bytearray(1 << 18))
            while not stopped.is_set() and (count := kept.sock.recv_into(room)):
                moved[n] += count
        with host.beside_hub():
            kept = ranges.Kept(host.url)
            for path in where:
                kept.get(path, 0, 8)
            alone = small_reads(host, where[0], small[0].read_bytes(), READS // 2, draw)
            threads = [threading.Thread(target=reads, args=(n,)) for n in range(READERS)]
            for thread in threads:
                thread.start()
            time.sleep(5)
            begun, before = time.perf_counter(), sum(moved)
            took = small_reads(host, where[1], small[1].read_bytes(), READS, draw)
            rate = (sum(moved) - before) / (time.perf_counter() - begun)
            stopped.set()
            for thread in threads:
                thread.join()
    for percent, wanted in ((50, None), (95, round(BOUND_MS, 1)), (100, None)):
        bench.report(f"small read while bulk fills the line, percentile {percent}", ranges.percentile(took, percent),
                     ranges.percentile(alone, percent), "ms", "alone", False, wanted)
    bench.report("… bulk meanwhile, without the small reads' blocks", rate / 1e6, RATE / 1e6, "MB/s", "the line")


with bench.scratch() as scratch:
    main(scratch)
