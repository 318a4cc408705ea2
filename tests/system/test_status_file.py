"""The status file of a daemon: what it counts, what of that a restart leaves, and files that are not what it wrote."""
import contextlib
import json
import os
import pathlib
import signal

import pytest
from harness import until
from zone_double import ABSENT, DATA, flip

FAST = "status_ms=10,retry_min_ms=20,retry_max_ms=100,gateway_first_ms=50"


def status_when(desk, holds, what):
    """The status file, once it says so; it is replaced at once, so each reading is whole."""
    def read():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # of what a test wrote there
            status = json.loads(desk.status_file.read_text())
            return holds(status) and status
    return until(read, what)


def restart(desk, **more):
    desk.daemon.signal(signal.SIGTERM)
    assert desk.daemon.wait() == 0
    return desk.share(intervals=FAST, **more)


def test_totals_and_hashes_that_are_not_here_survive_a_restart(desk):
    _, uri = desk.link("file", DATA)
    path, changed = desk.link("other", DATA + b"2")
    flip(path, 3)
    os.utime(path, (1, 1))
    desk.share(intervals=FAST)
    assert desk.proxy.status(uri)["status"] == "completed"
    assert desk.proxy.status(changed)["status"] == "error"
    for _ in range(2):
        desk.proxy.status(f"sha1://{ABSENT}")
    restart(desk)
    desk.proxy.status(f"sha1://{ABSENT}")
    status = status_when(desk, lambda s: s["totals"]["notHere"] == 3, "the requests of both")
    totals = status["totals"]
    assert (totals["requests"], totals["completed"], totals["changed"], totals["failed"]) == (5, 1, 1, 0)
    assert totals["bytesUploaded"] == len(DATA) and totals["sinceMs"] < status["startedMs"]
    assert [(seen["sha1"], seen["count"]) for seen in status["notHere"]] == [(ABSENT, 3)]
    assert "ending" not in status and str(desk.folder) not in json.dumps(status)


def test_what_the_operator_asks_is_in_it(desk):
    desk.share(intervals=FAST)
    status = status_when(desk, lambda s: s["gateway"]["mayUpload"], "the right to upload, before the first upload")
    assert status["client"] == "registered" and abs(status["gateway"]["clockAheadMs"]) < 5000
    assert status["gateway"]["failure"] == "" and status["gateway"]["answeredMs"] >= status["startedMs"]
    os.kill(desk.worker("kachery-lookup")[0], signal.SIGKILL)
    status = status_when(desk, lambda s: s["workersLost"]["causes"], "a worker that was lost")
    assert status["workersLost"]["causes"][0]["cause"].startswith("kachery-lookup: killed by SIGKILL")
    assert sum(status["workersLost"]["week"]["counts"]) == 1


def test_its_own_questions_do_not_count(desk):
    """Every now and then a daemon asks the proxy for itself, as a client would."""
    daemon = desk.share(intervals=FAST + ",presence_first_ms=1,presence_ms=1")
    until(lambda: len(desk.proxy.posted) > 6, "its questions")
    assert desk.proxy.status(f"sha1://{ABSENT}")["status"] == "not-found"
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    status = json.loads(desk.status_file.read_text())
    assert status["totals"]["requests"] == status["totals"]["notHere"] == 1
    assert [seen["sha1"] for seen in status["notHere"]] == [ABSENT]


def test_why_the_connection_ended_and_when_the_next_try_is(desk):
    desk.share(intervals="status_ms=10,retry_min_ms=60000,retry_max_ms=60000,retry_short_ms=60000")
    desk.proxy.stop()
    status = status_when(desk, lambda s: s["disconnections"]["causes"], "the end of the connection")
    assert status["proxy"]["state"] == "waiting" and status["proxy"]["failure"] != ""
    assert status["proxy"]["nextTryMs"] > status["proxy"]["outSinceMs"] > 0
    assert sum(status["disconnections"]["causes"][0]["week"]["counts"]) == 1


def test_a_gateway_that_refuses_uploads_is_known_before_the_first(desk):
    desk.zone.answers["initiateFileUpload"] = [(500, "Error: User U not authorized to upload files.")] * 9
    desk.share(intervals=FAST)
    status = status_when(desk, lambda s: s["gateway"]["mayUpload"] is False, "the refusal")
    assert "not authorized to upload" in status["gateway"]["refusal"]
    desk.daemon.wait_line("may not upload")


def test_no_path_is_in_it(desk):
    """Not even in the cause of a failure: the log has it."""
    keys = sorted(pathlib.Path(desk.env["KACHERY_CLOUD_DIR"]).rglob("*.pem"))
    desk.share(intervals=FAST + ",gateway_check_ms=50")
    for key in keys:
        key.rename(key.with_name("away-" + key.name))
    status = status_when(desk, lambda s: s["gateway"]["failure"], "a check that fails")
    assert keys and status["gateway"]["failure"] == "see the log" and str(desk.folder) not in json.dumps(status)
    desk.daemon.wait_line(str(desk.env["KACHERY_CLOUD_DIR"]))


@pytest.mark.parametrize("text", [
    b"", b"\0" * 100, b"[]", b'{"resourceName":"lab-resource","startedMs":1,"totals":[1],"notHere":{},"processor":"x"}',
    b'{"resourceName":"another","startedMs":1,"totals":{"requests":77}}', b"{" * 1_000_000], ids=["empty", "zeros", "array", "bad parts", "foreign", "huge"])
def test_a_file_that_is_not_its_own_is_no_reason_to_fail(desk, text):
    desk.status_file.write_bytes(text)
    desk.share(intervals=FAST)
    desk.proxy.status(f"sha1://{ABSENT}")
    status = status_when(desk, lambda s: s["totals"]["notHere"] == 1, "totals that begin anew")
    assert status["totals"]["requests"] == 1


def test_it_is_written_when_nothing_has_changed(desk):
    desk.share(intervals="status_ms=10,status_idle_ms=100")
    first = status_when(desk, lambda s: s["client"] == "registered", "the first status")["writtenMs"]
    status_when(desk, lambda s: s["writtenMs"] > first + 100, "another one")
