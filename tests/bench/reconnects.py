"""10,000 lost lines (RECONNECTS) between daemon and proxy, in all ways, on either side: memory, descriptors and children
at each tenth. Nothing may grow."""
import os
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import reconnects  # noqa: E402

COUNT = int(os.environ.get("RECONNECTS", "10000"))
GROWTH_KIB = 256


def measured(what, pid, lose):
    """`lose(count)` eleven times, the first to warm up; whether the process grew."""
    lose(COUNT // 10)
    before, start = reconnects.size_of(pid), time.perf_counter()
    samples = [before]
    for _ in range(10):
        lose(COUNT // 10)
        samples.append(reconnects.size_of(pid))
    took, grown = time.perf_counter() - start, reconnects.settled(pid, before, GROWTH_KIB)
    print(f"reconnects: {what}, {COUNT:,} times in {took:.0f} s; KiB at each tenth:", *(sample["KiB"] for sample in samples))
    print(f"reconnects: before {before}, after {reconnects.size_of(pid)}", flush=True)
    return grown


with bench.scratch() as scratch, bench.lab(scratch) as lab, socket.create_server(("127.0.0.1", 0)) as listener:
    lab.name = reconnects.NAME
    lab.write_config(proxy_url=f"http://localhost:{listener.getsockname()[1]}")
    daemon = lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": reconnects.AT_ONCE}, wait=False)
    grown = [measured("a daemon whose proxy is lost", daemon.pid, lambda count: reconnects.lose_daemon(listener, count))]
    daemon.stop()
    seeds = iter(range(1000))
    grown.append(measured("a hub whose daemons are lost", lab.hub.pid,
                          lambda count: reconnects.leave_hub(lab.hub.port, count, next(seeds))))
    if any(grown):
        sys.exit(f"reconnects: grown: {grown}")
