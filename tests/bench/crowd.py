"""A hub's memory with 2,000 connected resources and 10,000 waiting requests, and per connection."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import crowd  # noqa: E402
import harness  # noqa: E402
import soak  # noqa: E402

RESOURCES, WAITING = 2000, 10000


def tell(what, kib, before=0, count=0):
    each = f"  {1024 * (kib - before) / count:,.0f} bytes each" if count else ""
    print(f"{what:<44} {kib:>12,} KiB{each}", flush=True)
    return kib


if crowd.raise_descriptors() < RESOURCES + WAITING + 200:
    sys.exit("too few descriptors for this bench: ulimit -Hn")
with bench.scratch() as scratch, bench.lab(scratch) as made:
    hub = made.hub
    harness.until(lambda: not harness.descendants(hub.pid), "no worker is left", 60)
    idle = tell("idle hub, PSS", bench.tree_kib(hub.pid))
    peers = crowd.daemons(hub.port, RESOURCES)
    connected = tell(f"with {RESOURCES:,} connected resources", bench.tree_kib(hub.pid), idle, RESOURCES)
    sockets = crowd.waiting(hub.port, "res-7", WAITING)
    body = crowd.asking("res-7")
    harness.until(lambda: harness.http("POST", hub.url + "/r/res-7", body)[0] == 503, "all wait")
    tell(f"and {WAITING:,} waiting requests", bench.tree_kib(hub.pid), connected, WAITING)
    crowd.serve(peers["res-7"], WAITING)
    crowd.read_answers(sockets)
    for sock in [*sockets, *(peer.sock for peer in peers.values())]:
        sock.close()
    harness.until(lambda: soak.descriptors(hub.pid) < 20, "all connections closed")
    tell("when all have gone", bench.tree_kib(hub.pid))
