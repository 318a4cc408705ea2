"""What readers and disks cost the others: /probe while 32 clients read at full speed; 10,000 open ranges that read nothing
(RANGES_OPEN); and a cache whose disk is full, is removed, or becomes read-only while a second reader goes on, which needs
root."""
import contextlib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import ranges  # noqa: E402

OPEN, MIB = int(os.environ.get("RANGES_OPEN", "10000")), 1 << 20
WAIT_MS, MEMORY_MIB, READERS, PROBE_MS = 100, 48, 32, 50


def resident_mib(pid):
    with contextlib.suppress(OSError):
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024
    return 0


class Watch:
    """A reader of small ranges, of what is in memory, and of /probe, until the block ends; `read` and `probe` are ms."""

    def __init__(self, host, path, size):
        self.host, self.path, self.size, self.read, self.probe, self.stopped = host, path, size, [], [], threading.Event()

    def run(self):
        kept, other = ranges.Kept(self.host.url), ranges.Kept(self.host.url)
        n = 0
        while not self.stopped.wait(0.005):
            start = n * 977 % (self.size - 8)
            self.read.append(ranges.milliseconds(lambda: kept.get(self.path, start, start + 8)))
            self.probe.append(ranges.milliseconds(lambda: other.exchange(other.request("/probe"))))
            n += 1

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def tell(self, name):
        bench.tell(f"{name}: another's small read, the longest", max(self.read), "ms", f"of {len(self.read)}", WAIT_MS)
        bench.tell(f"{name}: /probe, the longest", max(self.probe), "ms", f"of {len(self.probe)}", WAIT_MS)


def open_ranges(host, path, size, kept):
    """Readers that ask and take nothing."""
    address = ("127.0.0.1", int(host.url.rsplit(":", 1)[1]))
    for n in range(OPEN):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(60)
        sock.connect(address)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes={n * 1009 % (size - 1)}-\r\n\r\n".encode())
        kept.append(sock)


def count_answered(sockets):
    count = 0
    for sock in sockets:
        with contextlib.suppress(OSError):
            count += sock.recv(16, socket.MSG_PEEK).startswith(b"HTTP/1.1 206 ")
    return count


def many_ranges(host, folder):
    size = 256 * MIB
    path = host.link(bench.random_file(folder / "big.bin", size))
    small = host.link(bench.random_file(folder / "small.bin", MIB))
    sockets = []
    ranges.Kept(host.url).get(small)
    with Watch(host, small, MIB) as watch:
        open_ranges(host, path, size, sockets)
        answered = count_answered(sockets)
    bench.tell(f"open ranges that read nothing, of {OPEN:,} that came", answered, "", "")
    watch.tell("… meanwhile")
    bench.tell("… the most memory of a relay", max(map(resident_mib, host.relays())), "MiB", "", MEMORY_MIB)
    for sock in sockets:
        sock.close()


def probes_while(host, url):
    """Milliseconds of probes that are due every 5 ms, from when they are, while READERS clients read all of `url`."""
    kept = ranges.Kept(host.url)
    request, took = kept.request("/probe"), []
    readers = [subprocess.Popen(["curl", "-sf", "-o", "/dev/null", url]) for _ in range(READERS)]
    due = time.perf_counter()
    while any(reader.poll() is None for reader in readers):
        time.sleep(max(0, due - time.perf_counter()))
        kept.exchange(request)
        took.append(1000 * (time.perf_counter() - due))
        due = max(due + 0.005, time.perf_counter())
    if any(reader.returncode for reader in readers):
        sys.exit("a reader failed")
    return took


def probe_while_reading(host, folder):
    """Beside it the same of the hub while nginx is read: what 32 clients cost a prober on this machine."""
    content = bench.random_file(folder / "read.bin", 256 * MIB)
    path = host.link(content)
    ranges.Kept(host.url).size_of(path)
    with ranges.nginx(folder) as plain:
        theirs = probes_while(host, f"{plain}/{content.name}")
    ours = probes_while(host, host.url + path)
    bench.report(f"/probe while {READERS} clients read, percentile 99.9", ranges.percentile(ours, 99.9),
                 ranges.percentile(theirs, 99.9), "ms", "while they read nginx", False, PROBE_MS)


def fill(folder, size):
    with contextlib.suppress(OSError), open(folder / "filler", "wb") as file:
        file.write(bytes(size))


def cache_faults(host, folder):
    blocks = host.lab.data / ".hub" / "blocks"
    small = host.link(bench.random_file(folder / "watched.bin", MIB))
    ranges.Kept(host.url).get(small)
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", blocks]
    faults = {"a cache that is removed": lambda: shutil.rmtree(blocks, ignore_errors=True),
              "a cache on another, small disk": lambda: (blocks.mkdir(exist_ok=True), subprocess.run(mount, check=True)),
              "a full disk": lambda: fill(blocks, 24 * MIB),
              "a read-only disk": lambda: subprocess.run(["mount", "-o", "remount,ro", blocks], check=True)}
    try:
        for n, (name, fault) in enumerate(faults.items()):
            content = bench.random_file(folder / f"read{n}.bin", 40 * MIB)
            path = host.link(content)
            with Watch(host, small, MIB) as watch:
                reader = ranges.Kept(host.url)
                first = reader.get(path, 0, 8 * MIB)
                fault()
                rest = reader.get(path, 8 * MIB, 40 * MIB)
            if first + rest != content.read_bytes():
                sys.exit(f"{name}: wrong bytes")
            watch.tell(name)
    finally:
        subprocess.run(["umount", "-l", blocks], stderr=subprocess.DEVNULL)


with bench.scratch() as scratch, ranges.Host(scratch / "lab") as made:
    probe_while_reading(made, scratch)
    many_ranges(made, scratch)
    if os.getuid() == 0:
        cache_faults(made, scratch)
