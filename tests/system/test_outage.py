"""How soon the daemon is back after its proxy was away, and what it notices of stopped workers."""
import os
import re
import signal
import time

from harness import is_running, until

# What a daemon promises after an outage of less than a minute, and a wide margin for a busy machine.
BACK_S, MARGIN = 5, 5


def pauses(daemon):
    return [float(text) for text in re.findall(r"trying again in ([0-9.]+) s", daemon.text())]


def test_back_soon_after_a_short_outage(lab):
    daemon = lab.share("-v")
    port = lab.hub.url.rpartition(":")[2]
    lab.hub.signal(signal.SIGKILL)
    lab.hub.wait()
    until(lambda: len(pauses(daemon)) >= 4, "four attempts in vain")
    assert max(pauses(daemon)) <= BACK_S - 1, "a pause that is too long for the promise"
    begun = time.monotonic()
    lab.start_hub(f"127.0.0.1:{port}")
    daemon.wait_line("acknowledged", count=2, deadline_s=BACK_S * MARGIN)
    assert time.monotonic() - begun < BACK_S * MARGIN


def test_pauses_grow_in_a_long_outage_but_not_above_half_a_minute(lab):
    shortened = "retry_min_ms=10,retry_short_ms=40,short_outage_ms=150,retry_max_ms=250"
    daemon = lab.share("-v", env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": shortened})
    lab.hub.signal(signal.SIGKILL)
    lab.hub.wait()
    until(lambda: len(pauses(daemon)) >= 12, "twelve attempts in vain")
    assert max(pauses(daemon)[:3]) <= 0.05 and 0.1 < max(pauses(daemon)) <= 0.3


def test_an_upload_worker_that_somebody_stopped_is_replaced(desk):
    """Its upload starts again and comes to its end; the stopped process is gone."""
    _, uri = desk.link("a", os.urandom(1 << 20))
    digest = uri.removeprefix("sha1://")
    desk.zone.holds_puts = True
    daemon = desk.share(intervals="upload_stopped_ms=400")
    waiting = desk.proxy.ask(uri)
    desk.uploading(digest)
    worker, = desk.worker("kachery-upload")
    os.kill(worker, signal.SIGSTOP)
    daemon.wait_line("the worker process was killed: stopped by SIGSTOP and not continued); its upload starts again")
    desk.zone.holds_puts = False
    assert waiting.status()["status"] == "completed"
    until(lambda: not is_running(worker), "the stopped worker is gone")
