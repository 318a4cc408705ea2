"""64 readers of one file at the same time: what leaves the host, and what a relay holds in memory then and with many files
open; beside it nginx's workers with the same readers. And /probe meanwhile."""
import pathlib
import random
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
import ranges  # noqa: E402

READERS, SIZE, FILES = 64, 64 << 20, 400


def resident_kib(pid):
    try:
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
    except OSError:
        return 0


def read_by_all(url, path):
    def one(_):
        kept = ranges.Kept(url)
        if kept.size_of(path) != SIZE:
            sys.exit("too few bytes")
    return SIZE * READERS / (1 << 20) / (ranges.milliseconds(lambda: ranges.in_threads(READERS, one)) / 1000)


def main(folder):
    files = folder / "files"
    files.mkdir()
    path = bench.random_file(files / "big.bin", SIZE)
    draw = random.Random(64)
    with ranges.Host(folder / "lab", streams=8) as host, ranges.nginx(files) as plain:
        where = host.link(path)
        waits, stopped = [], threading.Event()

        def probe():
            while not stopped.wait(0.01):
                waits.append(ranges.milliseconds(lambda: harness.http("GET", f"{host.url}/probe")))
        prober = threading.Thread(target=probe)
        prober.start()
        ours = read_by_all(host.url, where)
        stopped.set()
        prober.join()
        left = host.left()
        theirs = read_by_all(plain, "/big.bin")
        bench.report(f"{READERS} readers of one file of {SIZE >> 20} MiB, cold", ours, theirs, "MiB/s", "nginx")
        bench.tell("… readings of the file that left the host", left / SIZE, "", "", 1)
        bench.tell("… /probe meanwhile, percentile 99.9", ranges.percentile(waits, 99.9), "ms", f"of {len(waits)}", 50)
        tree = files / "many"
        tree.mkdir()
        for n in range(FILES):
            (tree / f"{n:03}.bin").write_bytes(draw.randbytes(3 * ranges.LEAF + n))
        uris = host.lab.link("-r", tree)
        kept = [ranges.Kept(host.url) for _ in range(READERS)]
        for n, uri in enumerate(uris):
            kept[n % READERS].get(f"/f/{uri.removeprefix('sha1://')}", n, n + 1000)
        slow = [ranges.Kept(host.url) for _ in range(200)]
        for n, each in enumerate(slow):
            each.sock.sendall(each.request(where, n * 1000, SIZE))
        ranges.in_threads(8, lambda n: kept[n].get(where))
        most = max(map(resident_kib, host.relays()))
        bench.tell(f"the most memory of a relay: {READERS} readers, {FILES} files, 200 slow", most / 1024, "MiB", "", 48)


with bench.scratch() as scratch:
    main(scratch)
