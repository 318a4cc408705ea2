"""Memory (PSS of the whole process tree), and how soon a daemon is in service."""
import os
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402


def memory(lab, daemon, folder):
    with bench.nginx(folder / "nginx", workers=1) as (_, nginx_pid):
        nginx_kib = bench.tree_kib(nginx_pid)
    python = subprocess.Popen(["/usr/bin/python3", "-c", "import http.client, websockets, sys; print(1, flush=True); sys.stdin.read()"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    python.stdout.readline()
    python_kib = bench.proportional_set_kib([python.pid])
    python.communicate(b"")
    bench.report("idle daemon, all its processes", bench.tree_kib(daemon.pid), python_kib, "KiB",
                 "an idle python3 with websockets", False, wanted=5 * 1024)
    bench.report("idle hub, all its processes", bench.tree_kib(lab.hub.pid), nginx_kib, "KiB", "an idle nginx with one worker",
                 False, wanted=3 * 1024)

    paths = []
    for i in range(4):
        paths.append(bench.random_file(folder / f"loaded{i}", bench.GIB // 8))
    digests = [uri.removeprefix("sha1://") for uri in lab.link(*paths)]
    threads = [threading.Thread(target=harness.http, args=("POST", f"{lab.hub.url}/r/{lab.name}", bench.request_body(lab.name, d, 60000)))
               for d in digests]
    for thread in threads:
        thread.start()
    daemon_kib = hub_kib = 0
    while any(thread.is_alive() for thread in threads):
        daemon_kib = max(daemon_kib, bench.tree_kib(daemon.pid))
        hub_kib = max(hub_kib, bench.tree_kib(lab.hub.pid))
        threads[0].join(0.02)
    bench.report("daemon, most while 4 files are uploaded", daemon_kib, python_kib, "KiB", "an idle python3 with websockets", False)
    bench.report("hub, most while 4 files are uploaded", hub_kib, nginx_kib, "KiB", "an idle nginx with one worker", False)


def start(lab):
    def ours():
        began = time.perf_counter()
        daemon = lab.share(wait=False)
        while not any("acknowledged" in line for line in daemon.lines["err"]):
            time.sleep(0.0002)
        took = 1000 * (time.perf_counter() - began)
        daemon.stop()
        return took

    def python():
        return 1000 * bench.timed(["/usr/bin/python3", "-c", "import websockets"])

    bench.report("start until acknowledged", *bench.interleaved(ours, python), "ms",
                 "python3 -c 'import websockets'", False, wanted=20)


with bench.scratch() as scratch, bench.lab(scratch) as made:
    start(made)
    shared = made.share()
    memory(made, shared, scratch)
