"""The real intervals: a link that is cut without a word for 90 s while nothing happens, in mid-upload and in
mid-download. Prints how long after the link's return each is in service or done again. Needs root."""
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
import netns_link  # noqa: E402
from harness import sha1  # noqa: E402
from far_lab import FarLab, fetch

CUT_S = 90


class PatientLab(FarLab):
    """With the product's own patience, not the tests' short one."""

    def environment(self, store, **extra):
        return super().environment(store, **{"KACHERY_RESOURCE_TEST_PATIENCE": "", **extra})


def cut_for_a_while(link):
    link.cut()
    time.sleep(CUT_S)
    link.mend(rate_kbit=0)
    return time.monotonic()


def check(what, began, ok):
    print(f"{what:<44} {time.monotonic() - began:>6.1f} s after the link's return  {'ok' if ok else 'WRONG'}", flush=True)


def idle(lab):
    daemon = lab.share_near("")
    back = cut_for_a_while(lab.link_between)
    daemon.wait_line("acknowledged", count=2, deadline_s=120)
    check("idle daemon: acknowledged again", back, True)


def transfer(lab, what, side):
    data = lab.add_file(what, 16_000_000)
    if side == "near":
        fetch(lab, data, "first-" + what).wait_ok(120)
    lab.link_between.set(rate_kbit=4000)
    loading = fetch(lab, data, "out-" + what, side=side)
    threading.Event().wait(14)
    back = cut_for_a_while(lab.link_between)
    loading.wait_ok(300)
    check(f"{what}: the waiter has the file", back, sha1((lab.folder / ("out-" + what)).read_bytes()) == sha1(data))


reason = netns_link.why_not()
if reason:
    sys.exit(f"link_cut: {reason}")
with bench.scratch() as scratch:
    link = netns_link.Link(scratch)
    lab = PatientLab(scratch, link)
    try:
        lab.start()
        idle(lab)
        transfer(lab, "upload", "far")
        transfer(lab, "download", "near")
    finally:
        lab.stop()
        link.close()
