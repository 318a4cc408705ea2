"""Links with delay and loss, slow links, and links that are cut without a word: between a host that shares and a hub
elsewhere. The intervals are shortened in proportion where the real ones would make the test wait for minutes; the
real ones are gone through in tests/bench/link_cut.py."""
import os
import signal
import subprocess
import threading
import time

import harness
import netns_link
import pytest
from harness import object_path, sha1
from far_lab import FarLab, fetch

pytestmark = pytest.mark.skipif(netns_link.why_not() is not None, reason=str(netns_link.why_not()))


@pytest.fixture
def far_lab(tmp_path):
    """A lab whose hub is on the far side of a link that can be disturbed (far_lab.py)."""
    link = netns_link.Link(tmp_path)
    made = FarLab(tmp_path, link)
    try:
        yield made.start()
    finally:
        made.stop()
        link.close()


def test_delay_and_loss(far_lab):
    data = far_lab.add_file("lossy.dat", 1 << 20)
    far_lab.link_between.set(delay_ms=20, jitter_ms=5, loss=0.05)
    far_lab.share_near()
    fetch(far_lab, data, "out").wait_ok(60)
    assert (far_lab.folder / "out").read_bytes() == data
    fetch(far_lab, data, "out2", side="near").wait_ok(60)
    assert (far_lab.folder / "out2").read_bytes() == data


def test_a_slow_link(far_lab):
    """1 Mbit/s: the daemon goes on answering while it uploads."""
    data = far_lab.add_file("slow.dat", 600_000)
    far_lab.share_near()
    far_lab.link_between.set(rate_kbit=1000)
    loading = fetch(far_lab, data, "out")
    asked = far_lab.far("request", "sha1://" + "0" * 40, "--json", env=harness.patient(far_lab.remote))
    assert asked.wait() == 3 and '"found":false' in asked.text()
    loading.wait_ok(60)
    assert (far_lab.folder / "out").read_bytes() == data


def test_small_parts_beside_a_whole_file(far_lab):
    """20 ms away, 4 MB/s: parts are read while a whole file is, which gives them way and ends all the same."""
    whole, parts = far_lab.add_file("whole.dat", 5_000_000), far_lab.add_file("parts.dat", 8 << 18)
    far_lab.share_near()
    far_lab.link_between.set(delay_ms=20, rate_kbit=32000)
    loading = fetch(far_lab, whole, "out")
    for start in (5 << 18, 3 << 18, 7 << 18):
        words = ["cat", f"sha1://{sha1(parts)}", "--start", str(start), "--end", str(start + 8)]
        part = subprocess.run([*far_lab.link_between.program(far_lab.link_between.b), *words], env=far_lab.remote,
                              capture_output=True, timeout=60)
        assert part.returncode == 0 and part.stdout == parts[start:start + 8], part.stderr
    loading.wait_ok(60)
    assert (far_lab.folder / "out").read_bytes() == whole


def test_a_link_that_is_cut_while_nothing_happens(far_lab):
    daemon = far_lab.share_near()
    far_lab.link_between.cut()
    daemon.wait_line("trying again")
    far_lab.link_between.mend()
    daemon.wait_line("acknowledged", count=2)
    data = far_lab.add_file("after.dat", 100_000)
    fetch(far_lab, data, "out").wait_ok()
    assert (far_lab.folder / "out").read_bytes() == data


def test_a_link_that_is_cut_in_mid_upload(far_lab):
    """Whoever waits on the far side is not lost: the upload is taken up again when the link is back."""
    data = far_lab.add_file("upload.dat", 8_000_000)
    daemon = far_lab.share_near()
    far_lab.link_between.set(rate_kbit=8000)
    loading = fetch(far_lab, data, "out")
    harness.until(lambda: any(p.is_file() and p.stat().st_size > 100_000 for p in far_lab.data.rglob("*")), "some of it arrived")
    far_lab.link_between.cut()
    daemon.wait_line("trying again")
    assert not object_path(far_lab.data, sha1(data)).exists()
    far_lab.link_between.mend(rate_kbit=0)
    loading.wait_ok(150)
    assert (far_lab.folder / "out").read_bytes() == data


def test_a_link_that_is_cut_in_mid_download(far_lab):
    data = far_lab.add_file("download.dat", 8_000_000)
    far_lab.share_near()
    fetch(far_lab, data, "first").wait_ok()
    far_lab.link_between.set(rate_kbit=4000)
    loading = fetch(far_lab, data, "out", side="near")
    harness.until(lambda: any(p.stat().st_size > 100_000 for p in far_lab.folder.glob("*.part")), "some of it arrived")
    far_lab.link_between.cut()
    assert loading.process.poll() is None
    threading.Timer(8, far_lab.link_between.mend, kwargs={"rate_kbit": 0}).start()
    loading.wait_ok(150)
    assert (far_lab.folder / "out").read_bytes() == data


def test_a_proxy_that_stands_still(far_lab):
    """Half-open: the hub's process is stopped, so that the line is up and nobody answers."""
    daemon = far_lab.share_near()
    children = harness.descendants(far_lab.hub.pid)
    for pid in (far_lab.hub.pid, *children):
        os.kill(pid, signal.SIGSTOP)
    try:
        daemon.wait_line("trying again")
    finally:
        for pid in (far_lab.hub.pid, *children):
            os.kill(pid, signal.SIGCONT)
    daemon.wait_line("acknowledged", count=2, deadline_s=2 * harness.DEADLINE_S)
    began = time.monotonic()
    asked = far_lab.far("request", "sha1://" + "0" * 40, "--json", env=harness.patient(far_lab.remote))
    assert asked.wait() == 3, f"{asked.text()} after {time.monotonic() - began:.1f} s"
