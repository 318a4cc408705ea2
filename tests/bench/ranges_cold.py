"""What a first read costs with 50 ms between host and hub, the reader beside the hub: a block that nobody has read of a file
that is open, and a file that nobody has opened, small and of 2 TB, with TLS in front of the hub. Beside them the same
bytes from nginx on the host, over the same link.

The bounds are round trips. 256 KiB are more than that for any program: on a new connection TCP begins with 10 packets and
doubles them in each round trip (four of them), and BBR sends what follows an idle moment for half a round trip. So what is
bounded by round trips is measured with blocks of 1,000 bytes, and whole blocks by nginx's time for the same bytes."""
import hashlib
import pathlib
import statistics
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
import ranges  # noqa: E402

BLOCKS, OPENINGS, HUGE = 40, 9, 2 * 10**12
PAGE = 1024


def huge_file(host, folder, number):
    """A sparse file of 2 TB that the store has as linked: the SHA-1 is made up, the manifest is right."""
    path = folder / f"huge{number}.bin"
    with open(path, "wb") as file:
        file.truncate(HUGE - number)
    size = HUGE - number
    digest = hashlib.sha1(b"huge%d" % number).digest()
    zeros = hashlib.sha256(bytes(ranges.LEAF)).digest()
    count = -(-size // ranges.LEAF)
    last = hashlib.sha256(bytes(size - (count - 1) * ranges.LEAF)).digest()
    pages = [hashlib.sha256(zeros * PAGE).digest()] * (-(-count // PAGE) - 1)
    pages.append(hashlib.sha256(zeros * (count - len(pages) * PAGE - 1) + last).digest())
    root = hashlib.sha256(b"kachery-manifest-1\n" + struct.pack("<Q", size) + digest + b"".join(pages)).digest()
    manifest = harness.object_path(host.lab.host_store / "manifests", digest.hex())
    record = harness.object_path(host.lab.host_store, digest.hex(), "linked_files/sha1")
    for place in (manifest, record):
        place.parent.mkdir(parents=True, exist_ok=True)
    with open(manifest, "wb") as file:
        file.write(b"kchmfst1" + struct.pack("<Q", size) + digest + root + b"".join(pages))
        whole = zeros * 65536
        for _ in range((count - 1) // 65536):
            file.write(whole)
        file.write(zeros * ((count - 1) % 65536) + last)
    manifest.chmod(0o600)
    status = path.stat()
    import json
    mtime = status.st_mtime_ns // 10**9 + 1e-9 * (status.st_mtime_ns % 10**9)
    record.write_text(json.dumps({"path": str(path), "size": size, "mtime": mtime, "sha1": digest.hex()}))
    return f"/f/{digest.hex()}"


def cold_blocks(host, kept, path, data, plain):
    """Blocks in an order that no reading ahead guesses."""
    request = [n * 17 % BLOCKS for n in range(1, BLOCKS)]
    ours, theirs = [], []
    for i in request:
        at = i * ranges.LEAF + 100
        got = []
        ours.append(ranges.milliseconds(lambda: got.append(kept.get(path, at, at + 8))))
        if got != [data[at:at + 8]]:
            sys.exit(f"wrong bytes at {at}")
        at = i * ranges.LEAF
        theirs.append(ranges.milliseconds(lambda: plain.get("/blocks.bin", at, at + ranges.LEAF)))
    return ours, theirs


def short_blocks(kept, wheres):
    """Blocks that are the short ends of files, which are open."""
    took = []
    for where in wheres:
        kept.get(where, 0, 8)
    for where in wheres:
        at = 20 * ranges.LEAF
        took.append(ranges.milliseconds(lambda: kept.get(where, at, at + 8)))
    return took


def first_reads(host, kept, make):
    took = []
    for n in range(OPENINGS):
        path, at, want = make(n)
        got = []
        took.append(ranges.milliseconds(lambda: got.append(kept.get(path, at, at + 8))))
        if got != [want]:
            sys.exit(f"wrong bytes of {path} at {at}")
    return took


def main(folder):
    ranges.needs_far()
    files = folder / "files"
    files.mkdir()
    path = bench.random_file(files / "blocks.bin", BLOCKS * ranges.LEAF)
    data = path.read_bytes()
    with ranges.Host(folder / "lab", far=True, tls=True, streams=32) as host, \
            ranges.nginx(files, host.host_side, host.link_between.address_a) as plain_url:
        where = host.link(path)
        tiny = host.link(bench.random_file(files / "tiny.bin", 1000))
        ends = [host.link(bench.random_file(files / f"end{n}.bin", 20 * ranges.LEAF + 1000)) for n in range(OPENINGS)]

        def small(n):
            one = bench.random_file(files / f"small{n}.bin", 20 * ranges.LEAF + n)
            with open(one, "rb") as file:
                file.seek(1000)
                want = file.read(8)
            return host.link(one), 1000, want

        def huge(n):
            return huge_file(host, files, n), HUGE // 2 + n * 10**9, bytes(8)
        with host.beside_hub():
            kept = ranges.Kept(host.url)
            first = ranges.milliseconds(lambda: kept.get(tiny, 0, 8))
            bench.tell("the very first read, without a line: 1,000 bytes", first, "ms", "connection, TLS and line included",
                       5 * ranges.RTT_MS + 10)
            begun = time.perf_counter()
            plain = ranges.Kept(plain_url)
            plain.get("/blocks.bin", 0, ranges.LEAF)
            plainly = 1000 * (time.perf_counter() - begun)
        host.daemon.stop()
        host.start_daemon()
        time.sleep(1)
        with host.beside_hub():
            first = ranges.milliseconds(lambda: kept.get(where, 0, 8))
            bench.report("the very first read, without a line: 256 KiB", first, plainly, "ms",
                         "nginx on the host, new connection, no TLS", False)
            ours, theirs = cold_blocks(host, kept, where, data, plain)
            bench.report("cold block of 256 KiB, median", statistics.median(ours), statistics.median(theirs), "ms",
                         "nginx on the host", False, round(statistics.median(theirs) + 5, 1))
            bench.report("cold block of 256 KiB, percentile 95", ranges.percentile(ours, 95), ranges.percentile(theirs, 95),
                         "ms", "nginx on the host", False)
            short = short_blocks(kept, ends)
            bench.tell("cold block of 1,000 bytes, median", statistics.median(short), "ms", f"of {len(short)}",
                       ranges.RTT_MS + 5)
            opened = first_reads(host, kept, small)
            large = first_reads(host, kept, huge)
        bench.tell("first read of a file, median", statistics.median(opened), "ms", "opening included",
                   5 * ranges.RTT_MS + 10)
        bench.tell("first read of a file, worst", max(opened), "ms", f"of {OPENINGS}")
        bench.report("first read of a sparse file of 2 TB, median", statistics.median(large), statistics.median(opened), "ms",
                     "of 5 MB", False, 5 * ranges.RTT_MS + 10)


with bench.scratch() as scratch:
    main(scratch)
