"""How soon the hub answers GET /probe while 4 GiB (PROBE_BYTES) are uploaded into it by a daemon, hashed on both sides
and synced; beside it nginx's `return 200` while curl PUTs the same bytes into the same nginx and syncs them.

The load is open-loop: probes leave at a steady rate on connections of their own, whether or not the ones before were
answered, and each is timed from when it should have left. A server that stops for a second so counts as many slow
probes as were due in it, not as one."""
import concurrent.futures
import os
import pathlib
import select
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402

SIZE, FILES = int(os.environ.get("PROBE_BYTES", str(4 << 30))), 4
RATE, GIVE_UP_S = 1000, 10
REQUEST = b"GET /probe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Prober:
    """Sends RATE probes a second until told to stop; `took` are milliseconds from the due time."""

    def __init__(self, port):
        self.port, self.took, self.failed = port, [], 0
        self.epoll, self.waiting = select.epoll(), {}

    def send(self, due):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self.port))
        self.epoll.register(sock, select.EPOLLOUT)
        self.waiting[sock.fileno()] = (sock, due)

    def take(self, fd, events):
        sock, due = self.waiting[fd]
        try:
            if events & select.EPOLLOUT:
                sock.send(REQUEST)
                self.epoll.modify(sock, select.EPOLLIN)
                return
            answer = sock.recv(4096)
        except OSError:
            answer = b""
        self.took.append(1000 * (time.perf_counter() - due))
        self.failed += not answer.startswith(b"HTTP/1.1 200 ")
        del self.waiting[fd]
        sock.close()

    def run(self, goes_on):
        start, sent = time.perf_counter(), 0
        while True:
            now = time.perf_counter()
            due = start + sent / RATE
            if goes_on():
                while due <= now:
                    self.send(due)
                    sent += 1
                    due = start + sent / RATE
            elif not self.waiting or now > due + GIVE_UP_S:
                break
            for fd, events in self.epoll.poll(max(0, min(due - now, 0.1))):
                self.take(fd, events)
        self.failed += len(self.waiting)
        return self

    def percentile(self, percent):
        return sorted(self.took)[min(len(self.took) - 1, int(len(self.took) * percent / 100))]


def probe_while(port, work):
    """The prober, and the MiB/s of `work`, which moves SIZE bytes."""
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        done = thread.submit(work)
        prober = Prober(port).run(lambda: not done.done())
        done.result()
    if prober.failed:
        sys.exit(f"probe: {prober.failed} of {len(prober.took)} probes were not answered 200")
    return prober, SIZE / (1 << 20) / (time.perf_counter() - start)


def upload_all(lab, digests):
    def one(digest):
        status, _, body = harness.http("POST", f"{lab.hub.url}/r/{lab.name}", bench.request_body(lab.name, digest, 600000),
                                       timeout=700)
        if status != 200 or b'"completed"' not in body:
            sys.exit(f"{digest}: {status} {body!r}")

    with concurrent.futures.ThreadPoolExecutor(FILES) as threads:
        list(threads.map(one, digests))


def put_all(folder, url, paths):
    puts = [subprocess.Popen(["sh", "-c", f"curl -sf -T '{path}' {url}/ && sync '{folder}/{path.name}'"]) for path in paths]
    if any([put.wait() for put in puts]):
        sys.exit("curl failed")


def main(scratch, lab):
    lab.share()
    paths = [bench.random_file(scratch / f"big{i}", SIZE // FILES) for i in range(FILES)]
    digests = [uri.removeprefix("sha1://") for uri in lab.link(*paths)]
    ours, our_rate = probe_while(lab.hub.port, lambda: upload_all(lab, digests))
    dav = scratch / "dav"
    with bench.nginx(dav, "location / { dav_methods PUT; } location = /probe { return 200 'running.'; }") as (url, _):
        theirs, their_rate = probe_while(int(url.rsplit(":", 1)[1]), lambda: put_all(dav, url, paths))
    gib = SIZE / (1 << 30)
    for percent, wanted in ((50, None), (99, None), (99.9, 50), (100, None)):
        name = "worst" if percent == 100 else f"percentile {percent:g}"
        bench.report(f"/probe, {gib:g} GiB being uploaded, {name}", ours.percentile(percent), theirs.percentile(percent), "ms",
                     "nginx `return 200` during PUTs", False, wanted)
    bench.report(f"… {len(ours.took):,} probes; the upload meanwhile", our_rate, their_rate, "MiB/s", "curl -T to nginx, sync (no hash)")


with bench.scratch() as scratch, bench.lab(scratch, uploads=FILES) as made:
    main(scratch, made)
