"""100,000 requests (SOAK_REQUESTS), one in a hundred malformed, cut or reset at a random offset: every good one gets its
own answer, and the hub does not grow."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
import soak  # noqa: E402

REQUESTS = int(os.environ.get("SOAK_REQUESTS", "100000"))
SEED = int(os.environ.get("SOAK_SEED", str(int.from_bytes(os.urandom(4), "big"))))

with bench.scratch() as scratch, bench.lab(scratch) as made:
    hub, samples = made.hub, []
    harness.until(lambda: not harness.descendants(hub.pid), "no worker is left", 60)
    used = soak.descriptors(hub.pid)

    def sample(sent):
        if sent >= (len(samples) + 1) * REQUESTS / 10:
            samples.append(soak.resident_kib(hub.pid))
    start = time.perf_counter()
    spoilt = soak.run(hub, REQUESTS, SEED, on_round=sample)
    took = time.perf_counter() - start
    harness.until(lambda: soak.descriptors(hub.pid) == used, "all connections closed")
    print(f"soak: {REQUESTS:,} requests, {spoilt:,} of them spoilt, seed {SEED}: all others answered right in {took:.0f} s")
    print("soak: resident KiB at each tenth:", *samples)
    if samples[-1] > samples[0] + 1024:
        sys.exit("soak: the hub has grown")
