"""Processor time of an idle daemon and an idle hub with all their processes, told as seconds a day: what the scheduler
counted for them (/proc/PID/schedstat, nanoseconds) over IDLE_MINUTES, in which the connection between them is kept
alive, the lease is renewed and the daemon asks for itself through the proxy. Beside it an idle nginx."""
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402

MINUTES = float(os.environ.get("IDLE_MINUTES", "5"))


def used(pid):
    """Seconds, and whose they are: a process that came or went in between would be missed."""
    pids = [pid, *sorted(harness.descendants(pid))]
    return sum(int(pathlib.Path(f"/proc/{each}/schedstat").read_text().split()[0]) for each in pids) / 1e9, pids


def main(lab, folder):
    daemon = lab.share()
    harness.until(lambda: not harness.descendants(lab.hub.pid), "the hub's workers have left", 120)
    with bench.nginx(folder / "nginx") as (_, nginx_pid):
        watched = [daemon.pid, lab.hub.pid, nginx_pid]
        before, start = [used(pid) for pid in watched], time.monotonic()
        time.sleep(60 * MINUTES)
        after, days = [used(pid) for pid in watched], (time.monotonic() - start) / 86400
    if [pids for _, pids in before] != [pids for _, pids in after]:
        sys.exit(f"the processes were not the same all the time: {before} {after}")
    a_day = [(late - early) / days for (late, _), (early, _) in zip(after, before)]
    for what, seconds, most in (("daemon", a_day[0], 3), ("hub", a_day[1], None)):
        bench.tell(f"idle {what}, processor time over {MINUTES:g} min", seconds, "s/day", f"nginx: {a_day[2]:.2f} s/day", wanted=most)


with bench.scratch() as scratch, bench.lab(scratch) as made:
    main(made, scratch)
