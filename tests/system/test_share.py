"""share between a proxy and a zone that we did not write: requests, uploads, deadlines, many at once."""
import contextlib
import json
import os
import re

import harness
import hung_storage
import pytest
import slow_storage
from harness import descendants, is_running, process_name, run, sha1, until
from zone_double import ABSENT, DATA, flip, written

TEXT_OF_A_PATH = "/"  # no reason that a remote person reads has one


def test_not_found(desk):
    desk.share()
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


@pytest.mark.parametrize("size", [0, 1, 65536, len(DATA)])
def test_a_linked_file_is_uploaded(desk, size):
    data = DATA[:size]
    _, uri = desk.link("file", data)
    desk.share()
    status = desk.proxy.status(uri)
    times = [status.pop(f"timestamp{name}") for name in ("Requested", "Started", "Completed")]
    assert status == {"status": "completed", "size": size, "bytesUploaded": size}
    assert times == sorted(times) and times[0] > 1600000000000
    assert desk.zone.objects == {sha1(data): data}


def test_a_stored_copy_is_uploaded(desk):
    path = written(desk.folder, "file", DATA)
    run("store-local", str(path), env=desk.env, check=0)
    path.unlink()
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(DATA)}")["status"] == "completed"


def test_a_query_behind_the_hash_is_ignored(desk):
    _, uri = desk.link("file", DATA)
    secret = written(desk.folder, "secret", b"not linked")
    desk.share()
    assert desk.proxy.status(f"{uri}?label=x&location=/etc/passwd")["status"] == "completed"
    assert desk.proxy.status(f"sha1://{sha1(b'not linked')}?location={secret}") == {"status": "not-found"}


def test_what_the_zone_has_is_completed_at_once(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.objects[sha1(DATA)] = DATA
    desk.share()
    assert desk.proxy.status(uri)["status"] == "completed"
    assert desk.zone.puts == []


def test_a_touched_file_is_hashed_and_its_record_renewed(desk):
    path, uri = desk.link("file", DATA)
    os.utime(path, (1700000000, 1700000000))
    desk.share()
    assert desk.proxy.status(uri)["status"] == "completed"
    record = json.loads(harness.object_path(desk.env["KACHERY_CLOUD_DIR"], sha1(DATA), "linked_files/sha1").read_text())
    assert record["mtime"] == 1700000000


def test_two_waiters_are_answered_each_at_its_deadline(desk):
    data = os.urandom(48 << 20)
    _, uri = desk.link("file", data)
    desk.zone.holds_puts = True
    desk.share()
    long = desk.proxy.ask(uri, int(2000 * harness.DEADLINE_S))
    desk.uploading(sha1(data))

    def short():
        status = desk.proxy.status(uri, 300)
        assert status["status"] == "running" and status["size"] == len(data)
        return status["bytesUploaded"]
    assert harness.until(short, "the worker's word of its progress") < len(data)
    assert not long.is_there()
    desk.zone.holds_puts = False
    assert long.status()["status"] == "completed"
    assert desk.zone.objects[sha1(data)] == data


def test_more_than_may_run_are_queued(desk):
    desk.write_config(uploads=1)
    _, first = desk.link("first", DATA)
    _, second = desk.link("second", DATA[1:])
    desk.zone.holds_puts = True
    desk.share()
    running = desk.proxy.ask(first)
    desk.uploading(sha1(DATA))
    status = desk.proxy.status(second, 100)
    assert status["status"] == "queued" and status["size"] == len(DATA) - 1
    assert "timestampStarted" not in status
    waiting = desk.proxy.ask(second)
    desk.zone.holds_puts = False
    assert running.status()["status"] == "completed"
    assert waiting.status()["status"] == "completed"


def test_200_requests_for_one_file_start_one_upload(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    desk.share()
    answers = desk.proxy.post(*[desk.proxy.message(uri) for _ in range(200)])
    desk.uploading(sha1(DATA))
    desk.zone.holds_puts = False
    assert {a.status()["status"] for a in answers} == {"completed"}
    assert [p["type"] for p in desk.zone.payloads if p["type"] != "getClientInfo"] == \
        ["initiateFileUpload", "finalizeFileUpload"]
    assert len(desk.zone.puts) == 1


def test_2000_requests_for_different_files_are_all_answered(desk):
    files = {}
    for i in range(40):
        data = b"file %d" % i
        written(desk.folder, f"file-{i}", data)
        files[sha1(data)] = data
    run("link", *[str(desk.folder / f"file-{i}") for i in range(40)], env=desk.env, check=0)
    desk.share()
    asked = list(files) + [sha1(b"absent %d" % i) for i in range(1960)]
    answers = desk.proxy.post(*[desk.proxy.message(f"sha1://{digest}") for digest in asked])
    for digest, answer in zip(asked, answers):
        assert answer.status()["status"] == ("completed" if digest in files else "not-found")
    assert desk.zone.objects == files


def test_a_flood_is_told_that_the_resource_is_busy(desk):
    """JOBS_MAX is 16384: with lookups that do not move, the rest is refused in words."""
    desk.share(intervals="lookup_slow_ms=600000,lookup_lost_ms=600000")
    lookup, = desk.worker("kachery-lookup")
    os.kill(lookup, 19)
    messages = [desk.proxy.message(f"sha1://{i:040x}", int(10000 * harness.DEADLINE_S)) for i in range(16384 + 100)]
    answers = desk.proxy.post(*messages)
    for answer in answers[16384:]:
        status = answer.status()
        assert status["status"] == "error" and "busy" in status["error"]
    assert not any(answer.is_there() for answer in answers[:16384])
    os.kill(lookup, 18)
    assert {answer.status()["status"] for answer in answers[:16384]} == {"not-found"}


@pytest.mark.parametrize("what, change, part", [
    ("size", lambda path: path.write_bytes(b"x"), "changed since it was shared"),
    ("gone", lambda path: path.unlink(), "no longer where it was shared from"),
    ("folder", lambda path: (path.unlink(), path.mkdir()), "no longer where it was shared from"),
])
def test_a_file_that_cannot_be_had_has_a_reason_without_a_path(desk, what, change, part):
    path, uri = desk.link("file", DATA)
    change(path)
    desk.share()
    status = desk.proxy.status(uri)
    assert status["status"] == "error" and part in status["error"]
    assert TEXT_OF_A_PATH not in status["error"]
    assert desk.zone.puts == []
    with contextlib.suppress(OSError):
        path.rmdir()
    desk.link("file", DATA)
    assert desk.proxy.status(uri)["status"] == "completed"


def test_a_byte_flipped_before_the_upload_is_never_published(desk):
    path, uri = desk.link("file", DATA)
    stat = path.stat()
    path.write_bytes(DATA[:-1] + b"!")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    desk.share()
    status = desk.proxy.status(uri)
    assert status["status"] == "error" and TEXT_OF_A_PATH not in status["error"]
    assert desk.zone.objects == {}


@pytest.mark.parametrize("verb", ["link", "store-local"])
@pytest.mark.parametrize("size", [1, 1 << 20])
@pytest.mark.parametrize("change", ["same size", "longer", "touched"])
def test_what_a_file_is_now_is_for_the_log_alone(desk, verb, size, change):
    """Its hash would tell what was never shared: a short content is guessed at once."""
    before, now = b"a" * size, b"b" * (size + (10000001 if change == "longer" else 0))
    path = written(desk.folder, "file", before)
    run(verb, str(path), env=desk.env, check=0)
    if verb == "store-local":
        path = harness.object_path(desk.env["KACHERY_CLOUD_DIR"], sha1(before))
    stat = path.stat()
    path.write_bytes(now)
    if change != "touched":
        os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    desk.share()
    message = json.dumps(desk.proxy.ask(f"sha1://{sha1(before)}").message())
    assert "ask its owner to" in message and sha1(now) not in message and str(path) not in message and str(desk.folder) not in message
    if change == "same size":
        assert sha1(now) in desk.daemon.wait_line("upload failed")


def test_what_stands_in_the_hosts_network_is_for_the_log_alone(desk):
    _, uri = desk.link("file", DATA)
    desk.share(http_proxy="http://inner-proxy.invalid:3128", no_proxy="127.0.0.1", KACHERY_GATEWAY_URL="http://gateway.example")
    error = desk.proxy.status(uri)["error"]
    assert "inner-proxy" not in error and "look at the log" in error
    assert "inner-proxy" in desk.daemon.wait_line("upload failed")


def test_linking_again_helps_though_size_and_time_are_the_old_ones(desk):
    """As the requester is told to ask for; the hash cache would answer with the old hash."""
    path, before = desk.link("large", DATA * 2)  # large enough for the cache
    os.utime(path, (1_600_000_000,) * 2)  # and old enough
    desk.link_again(path)
    flip(path, 5)
    os.utime(path, (1_600_000_000,) * 2)
    desk.share()
    assert "ask its owner to link it again" in desk.proxy.status(before)["error"]
    assert desk.link_again(path) == f"sha1://{sha1(path.read_bytes())}" != before
    assert desk.proxy.status(desk.link_again(path))["status"] == "completed"


def test_a_byte_flipped_during_the_upload_is_never_published(desk):
    data = os.urandom(48 << 20)
    path, uri = desk.link("file", data)
    desk.zone.holds_puts = True
    desk.share()
    answer = desk.proxy.ask(uri)
    desk.uploading(sha1(data))
    stat = path.stat()
    with open(path, "r+b") as f:
        f.seek(len(data) - 1)
        f.write(bytes([data[-1] ^ 1]))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    desk.zone.holds_puts = False
    status = answer.status()
    assert status["status"] == "error" and TEXT_OF_A_PATH not in status["error"]
    assert desk.zone.objects == {} and not any(put["complete"] for put in desk.zone.puts)


@pytest.mark.parametrize("reason", ["User u is not authorized.", "File too large: 768000 > 5",
                                    "Client not registered. Use kachery-cloud-init to register this "
                                    "kachery-cloud client."])
def test_what_the_zone_refuses_is_told_in_its_words(desk, reason):
    _, uri = desk.link("file", DATA)
    desk.zone.answers["initiateFileUpload"] = [(500, f"Error: {reason}")]
    desk.share()
    status = desk.proxy.status(uri)
    assert status["status"] == "error" and reason in status["error"]
    assert ("kachery-resource register" in status["error"]) == ("kachery-cloud-init" in reason)
    assert ("the file's host may not upload" in status["error"]) == ("too large" not in reason)
    assert desk.proxy.status(uri)["status"] == "completed"  # asked again, it is tried again


def test_an_end_that_nobody_heard_is_told_to_the_next_who_asks(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.answers["initiateFileUpload"] = [(500, "Error: no")]
    desk.zone.holds_puts = True
    desk.share()
    gone = desk.proxy.ask(uri, 0)
    assert gone.status()["status"] in ("queued", "running")
    desk.daemon.wait_line("upload failed")
    assert "no" in desk.proxy.status(uri)["error"]
    desk.zone.holds_puts = False
    assert desk.proxy.status(uri)["status"] == "completed"


@pytest.mark.parametrize("changes, words", [
    ({"resourceName": "other"}, "Resource name mismatch"),
    ({"zone": "other"}, "Zone mismatch"),
    ({"request": {"type": "fileUpload", "uri": "sha1://xyz", "timeoutMsec": 1}}, "sha1://"),
    ({"request": {"type": "other", "uri": f"sha1://{ABSENT}", "timeoutMsec": 1}}, "type"),
    ({"extra": 1}, "extra"),
    ({"timeoutMsec": "5"}, "timeoutMsec"),
])
def test_a_request_that_is_not_for_us_is_answered(desk, changes, words):
    desk.share()
    answer = desk.proxy.ask(f"sha1://{ABSENT}", **changes).message()
    assert answer["response"] == {} and words in answer["error"]
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", "\"x\"", "{}", "{\"type\":\"acknowledge\"}",
                                  "{\"type\":\"something\"}", "{\"type\":5}",
                                  "{\"type\":\"cancelRequestFromClient\",\"requestId\":\"x\"}",
                                  "{\"type\":\"requestFromClient\"}", "[" * 1000, "x" * 100000,
                                  "{\"type\":\"ping\"}"])
def test_nonsense_of_the_proxy_is_ignored(desk, text):
    desk.share()
    desk.proxy.send_text(text)
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    assert len(desk.proxy.greetings) == 1


def test_odd_names_stay_on_the_host(desk):
    path = os.fsencode(desk.folder) + b"/od\xff \n\"d"
    with open(path, "wb") as f:
        f.write(DATA)
    run("link", path, env=desk.env, check=0)
    desk.share()
    assert desk.proxy.status(f"sha1://{sha1(DATA)}")["status"] == "completed"


def test_a_lookup_that_hangs_stops_nobody_else(desk):
    """A stopped worker is, to the supervisor, what one in dead storage is."""
    desk.share(intervals="lookup_lost_ms=1500")
    _, uri = desk.link("file", DATA)
    first, = desk.worker("kachery-lookup")
    os.kill(first, 19)
    stuck = desk.proxy.ask(f"sha1://{ABSENT}")
    assert desk.proxy.status(uri)["status"] == "completed"
    assert not stuck.is_there()
    status = stuck.status()
    assert status["status"] == "error" and "storage does not answer" in status["error"]
    desk.daemon.wait_line("kachery-lookup process killed: stopped by SIGSTOP")
    until(lambda: not is_running(first), "the end of the hanging worker")
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


def test_files_on_dead_storage_stop_nobody_else(desk):
    """Six files on storage that not even SIGKILL frees: four workers are left there, others go on as far as
    they can, and the daemon ends when it is told to."""
    folder = desk.folder / "dead"
    folder.mkdir()
    uris = [desk.link(f"dead/{i}", b"dead %d" % i)[1] for i in range(6)]
    _, alive = desk.link("alive", DATA)
    with hung_storage.hung(folder) as asked:
        desk.share(intervals="lookup_slow_ms=50,lookup_lost_ms=500,stop_ms=200,close_ms=200")
        stuck = [desk.proxy.ask(uri) for uri in uris[:3]]
        assert asked.wait(harness.DEADLINE_S)
        assert desk.proxy.status(alive)["status"] == "completed"
        for answer in stuck:
            assert "storage does not answer" in answer.status()["error"]
        assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
        for uri in uris[3:]:
            assert "storage does not answer" in desk.proxy.status(uri)["error"]
        desk.daemon.wait_line("kachery-lookup process killed: did not answer for ")
        names = [process_name(pid) for pid in descendants(desk.daemon.pid)]
        assert names.count("kachery-lookup") <= 5
        desk.daemon.signal(15)
        assert desk.daemon.wait() == 0


def test_files_on_tape_hold_nobody_up(desk):
    """Three files whose first bytes do not come, two places: others are uploaded meanwhile, one by one all of them
    when the tape is there."""
    folder = desk.folder / "tape"
    folder.mkdir()
    late = {desk.link(f"tape/{i}", b"%d" % i * 400000)[1]: b"%d" % i * 400000 for i in range(3)}
    others = [desk.link(f"file{i}", DATA[i:])[1] for i in range(3)]
    with slow_storage.on_tape(folder) as tape:
        desk.share(intervals="upload_recall_ms=100,worker_idle_ms=100")
        waiting = [desk.proxy.ask(uri) for uri in late]
        until(lambda: tape.reads() == 3, "all three are asked for")
        for uri in others:
            assert desk.proxy.status(uri)["status"] == "completed"
        assert desk.proxy.status(next(iter(late)), 0)["status"] == "running"
        desk.zone.holds_puts = True
        tape.let_out()
        until(lambda: len(desk.zone.puts) >= 5, "two of the late ones are sent")
        assert desk.proxy.status(f"sha1://{ABSENT}")["status"] == "not-found"
        assert len(desk.zone.puts) == 5, "the third waits for its turn"
        desk.zone.holds_puts = False
        for answer, data in zip(waiting, late.values()):
            assert answer.status()["status"] == "completed"
            assert desk.zone.objects[sha1(data)] == data


def test_idle_workers_leave(desk):
    _, uri = desk.link("file", DATA)
    desk.share(intervals="worker_idle_ms=100")
    assert desk.proxy.status(uri)["status"] == "completed"
    until(lambda: sorted(process_name(p) for p in descendants(desk.daemon.pid)) == ["kachery-keeper", "kachery-lookup"],
          "only the two that stay")


def test_workers_leave_after_their_cpu_budget(desk):
    uris = [desk.link(f"file-{i}", b"%d" % i)[1] for i in range(5)]
    desk.share(intervals="worker_cpu_ms=0")
    for uri in uris:
        assert desk.proxy.status(uri)["status"] == "completed"
    assert "lost" not in desk.daemon.text()


def test_status_file_and_lease_live_beside_the_config(desk):
    _, uri = desk.link("file", DATA)
    daemon = desk.share(intervals="status_ms=10")
    desk.proxy.status(uri)

    def read():
        with contextlib.suppress(OSError, ValueError):
            return json.loads(desk.status_file.read_text())

    status = until(lambda: read() and read()["totals"]["completed"] == 1 and read(), "the upload in the status file")
    assert status["pid"] == daemon.pid and status["resourceName"] == desk.proxy.name
    assert status["proxy"]["state"] == "connected" and status["client"] == "registered"
    assert {name: number for name, number in status["totals"].items() if name != "sinceMs"} == {
        "requests": 1, "completed": 1, "failed": 0, "notHere": 0, "changed": 0, "bytesUploaded": len(DATA), "rangeBytes": 0}
    assert desk.proxy.secret not in json.dumps(status)
    assert json.loads((desk.lease / "owner").read_text())["pid"] == daemon.pid
    daemon.signal(15)
    assert daemon.wait() == 0
    assert not desk.lease.exists()
    assert json.loads(desk.status_file.read_text())["ending"] == "stopped: SIGTERM"


def test_the_log_has_a_line_per_event_and_no_secret(desk):
    _, uri = desk.link("file", DATA)
    daemon = desk.share("-v")
    desk.proxy.status(uri)
    daemon.wait_line("uploaded sha1=" + sha1(DATA))
    daemon.signal(15)
    assert daemon.wait() == 0
    lines = daemon.lines["err"]
    assert lines[-1].endswith("stopped")
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn|error) ", line) for line in lines)
    assert desk.proxy.secret not in daemon.text() and "X-Signature" not in daemon.text()
    assert daemon.lines["out"] == []


def test_nothing_is_left_of_a_daemon_that_is_killed(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share()
    desk.proxy.ask(uri, 100).status()
    desk.uploading(sha1(DATA))
    children = descendants(daemon.pid)
    assert len(children) >= 2
    daemon.signal(9)
    daemon.wait()
    until(lambda: not any(is_running(pid) for pid in children), "the end of the children")
    desk.zone.holds_puts = False
    assert desk.zone.objects == {}
    desk.share()
    assert desk.proxy.status(uri)["status"] == "completed"
    assert desk.zone.objects == {sha1(DATA): DATA}
