"""1,000 rounds of contention for a lease (LEASE_ROUNDS) with intervals a fiftieth of the product's (LEASE_FACTOR), on mounts
that cache as NFS does; then 5 in the product's times (LEASE_SLOW=0: none). Never do two daemons answer for longer than
allowed, nor none for longer than a takeover. LEASE_HUB=1: with a proxy of ours, which lets only one in. LEASE_STRICT=1: what was
deleted is stale at once, as with NFS. Needs root."""
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import lease_rounds  # noqa: E402
import nfs_double  # noqa: E402

ROUNDS = int(os.environ.get("LEASE_ROUNDS", "1000"))
FACTOR = int(os.environ.get("LEASE_FACTOR", "50"))
SLOW = int(os.environ.get("LEASE_SLOW", "5"))
WITH_HUB = os.environ.get("LEASE_HUB") == "1"
IS_STRICT = os.environ.get("LEASE_STRICT") == "1"
SEED = int(os.environ.get("LEASE_SEED", str(int.from_bytes(os.urandom(4), "big"))))
EVENTS = os.environ.get("LEASE_EVENTS", "").split(",") if "LEASE_EVENTS" in os.environ else list(lease_rounds.EVENTS)
AT_ONCE = 8
SLOW_EVENTS = ["kill node", "stop and continue", "delete folder", "kill taker", "unmount"]


def go(what, folder, lab, events, arenas, rounds, factor):
    start = time.perf_counter()
    wrong, figures = lease_rounds.run(folder, lab.host, events, arenas, rounds, factor, SEED, WITH_HUB, IS_STRICT)
    pace = lease_rounds.Pace(factor)
    print(f"lease_rounds: {what}: {len(figures)} rounds in {time.perf_counter() - start:.0f} s, seed {SEED}; allowed are "
          f"{pace.takeover_s:.2f} s without an answer")
    for event in sorted({event for event, _, _ in figures}):
        gaps = [gap for found, _, gap in figures if found == event]
        both = [overlap for found, overlap, _ in figures if found == event]
        print(f"  {event:<20} {len(gaps):>5} rounds; nobody answers for {statistics.median(gaps):.2f} s, at most {max(gaps):.2f} s;"
              f" two for at most {max(both):.3f} s")
    for text in wrong:
        print("  WRONG", text)
    sys.stdout.flush()
    return wrong


reason = nfs_double.why_not()
if reason:
    sys.exit(f"lease_rounds: {reason}")
with bench.scratch() as scratch, bench.lab(scratch) as lab:
    wrong = go("shortened", scratch / "short", lab, EVENTS, AT_ONCE, -(-ROUNDS // AT_ONCE), FACTOR) if ROUNDS else []
    if SLOW:
        wrong += go("product times", scratch / "slow", lab, SLOW_EVENTS[:SLOW], SLOW, 1, 1)
    if wrong:
        sys.exit(f"lease_rounds: {len(wrong)} wrong")
