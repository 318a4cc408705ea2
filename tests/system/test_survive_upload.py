"""Uploads through a bucket and a gateway that fail in every way that passes, and in some that do not."""
import email.utils
import itertools
import os
import re
import signal
import time

import harness
import pytest
from harness import run, sha1
from rough_bucket import RoughBucket, s3_error
from zone_double import flip, object_key, text, written

DATA = os.urandom(1 << 20) + b"odd"
FEW = "pause_min_ms=10,pause_max_ms=50,attempts=3"


@pytest.fixture
def empty_bucket(zone):
    """A bucket that is not ours, as `bucket`, with nothing in it."""
    made = RoughBucket()
    zone.bucket_url, zone.tickets = made.url, itertools.count(1)
    yield made
    made.stop()
    assert made.failures == []


def kinds(zone):
    return [payload["type"][:4] for payload in zone.payloads]


def store(user, tmp_path, data=DATA, check=0, patience=None, options=()):
    env = {**user, "KACHERY_RESOURCE_TEST_PATIENCE": patience + ",lost_ms=0"} if patience else user
    return run("store", *options, str(written(tmp_path, "file", data)), env=env, check=check)


def is_there(bucket, data=DATA):
    return bucket.objects == {object_key(sha1(data)): data}


@pytest.mark.parametrize("size", [65536, len(DATA)])
def test_an_expired_url_costs_no_bytes(zone, user, tmp_path, empty_bucket, size):
    async def expired(line):
        await line.say(403, s3_error("AccessDenied", "Request has expired"))
        await line.take()  # whatever comes all the same
    empty_bucket.acts = [expired]
    store(user, tmp_path, DATA[:size])
    refused, taken = empty_bucket.puts
    assert refused.headers["expect"] == "100-continue" and refused.received == b""
    assert "ticket=1" in refused.target and "ticket=2" in taken.target
    assert is_there(empty_bucket, DATA[:size]) and kinds(zone) == ["init", "init", "fina"]


def test_below_64_kib_nobody_is_asked(zone, user, tmp_path, empty_bucket):
    store(user, tmp_path, DATA[:65535])
    put, = empty_bucket.puts
    assert "expect" not in put.headers and is_there(empty_bucket, DATA[:65535])


def test_a_new_url_is_fetched_once_only(zone, user, tmp_path, empty_bucket):
    async def forbidden(line):
        await line.say(403, s3_error("AccessDenied", "Access Denied"))
    empty_bucket.always = forbidden
    done = store(user, tmp_path, check=1)
    assert "the bucket answered 403 Forbidden: AccessDenied: Access Denied" in text(done.stderr)
    assert len(empty_bucket.puts) == 2 and [put.received for put in empty_bucket.puts] == [b"", b""]
    assert kinds(zone) == ["init", "init"] and empty_bucket.objects == {}


def test_a_url_that_expires_between_two_attempts_is_replaced_each_time(zone, user, tmp_path, empty_bucket):
    async def expired(line):
        await line.say(403, s3_error("AccessDenied", "Request has expired"))

    async def busy(line):
        await line.say(503, s3_error("SlowDown"))
    empty_bucket.acts = [busy, expired, busy, expired]
    store(user, tmp_path)
    assert len(empty_bucket.puts) == 5 and kinds(zone) == ["init"] * 3 + ["fina"] and is_there(empty_bucket)


def test_the_new_url_may_say_that_the_file_is_there(zone, user, tmp_path, empty_bucket):
    async def expired(line):
        zone.objects[sha1(DATA)] = DATA  # somebody else was faster
        await line.say(403, s3_error("AccessDenied", "Request has expired"))
    empty_bucket.acts = [expired]
    store(user, tmp_path)
    assert len(empty_bucket.puts) == 1 and kinds(zone) == ["init", "init", "find"]


def test_a_bucket_that_says_nothing_gets_the_body_after_a_while(zone, user, tmp_path, empty_bucket):
    async def silent(line):
        await line.take()
        empty_bucket.objects[line.request.key] = line.request.received
        await line.say(200)
    empty_bucket.acts = [silent]
    store(user, tmp_path)  # a second, as the product has it
    assert len(empty_bucket.puts) == 1 and is_there(empty_bucket)


def test_a_bucket_that_does_not_understand_expect(zone, user, tmp_path, empty_bucket):
    async def misunderstands(line):
        await line.say(417)
        await line.take()

    async def busy(line):
        await line.go_on()
        await line.take()
        await line.say(500)
    empty_bucket.acts = [misunderstands, busy]
    store(user, tmp_path)
    assert ["expect" in put.headers for put in empty_bucket.puts] == [True, False, False]
    assert empty_bucket.puts[0].received == b"" and is_there(empty_bucket) and kinds(zone) == ["init", "fina"]


@pytest.mark.parametrize("status, code", [
    (500, "InternalError"), (502, None), (503, "SlowDown"), (504, None), (599, None), (408, None),
    (429, "TooManyRequests"), (400, "RequestTimeout")])
@pytest.mark.parametrize("takes", [False, True])
def test_what_may_pass_is_tried_again(zone, user, tmp_path, empty_bucket, status, code, takes):
    async def fail(line):
        if takes:
            await line.go_on()
            await line.take()
        await line.say(status, s3_error(code) if code else "")
    empty_bucket.acts = [fail]
    done = store(user, tmp_path, options=["-v"])
    assert len(empty_bucket.puts) == 2 and is_there(empty_bucket) and kinds(zone) == ["init", "fina"]
    assert f"the bucket answered {status}" in text(done.stderr) and "; again in 0.0 s" in text(done.stderr)


@pytest.mark.parametrize("status, code", [
    (400, "EntityTooLarge"), (400, None), (401, None), (404, "NoSuchBucket"), (405, None), (409, None),
    (411, "MissingContentLength"), (412, None), (413, None), (301, None), (307, None), (201, None), (204, None)])
def test_other_answers_are_final(zone, user, tmp_path, empty_bucket, status, code):
    async def refuse(line):
        await line.go_on()
        await line.take()
        await line.say(status, s3_error(code) if code else "", Location=empty_bucket.url + "/elsewhere")
    empty_bucket.acts = [refuse]
    done = store(user, tmp_path, check=1)
    assert f"the bucket answered {status}" in text(done.stderr) and (not code or f": {code}: why" in text(done.stderr))
    assert len(empty_bucket.puts) == 1 and empty_bucket.objects == {} and kinds(zone) == ["init"]


def test_it_ends_and_says_how_often_it_was_tried(zone, user, tmp_path, empty_bucket):
    async def busy(line):
        await line.say(503, s3_error("SlowDown", "Reduce your request rate."))
    empty_bucket.always = busy
    done = store(user, tmp_path, check=1, patience=FEW)
    assert "after 3 attempts: the bucket answered 503 Service Unavailable: SlowDown: Reduce your request rate." in \
        text(done.stderr)
    assert len(empty_bucket.puts) == 3 and kinds(zone) == ["init"]


@pytest.mark.parametrize("value, pause", [("3", "3.0"), ("1000000", "4.0"), ("Sun, 06 Nov 2033 08:49:40 GMT", "3.0"),
                                          ("Sun, 06 Nov 2033 08:49:00 GMT", "0.0"), ("soon", "0.0")])
def test_the_bucket_says_when_to_come_back(zone, user, tmp_path, empty_bucket, processes, value, pause):
    async def busy(line):
        await line.say(429, s3_error("SlowDown"), Retry_After=value, Date="Sun, 06 Nov 2033 08:49:37 GMT")
    empty_bucket.acts = [busy]
    env = {**user, "KACHERY_RESOURCE_TEST_PATIENCE": "pause_min_ms=10,pause_max_ms=20,retry_after_ms=4000,lost_ms=0"}
    storing = processes(harness.Process("store", "-v", str(written(tmp_path, "file", DATA)), env=env))
    assert f"; again in {pause} s" in storing.wait_line("; again in ")
    if pause == "0.0":
        assert storing.wait() == 0 and is_there(empty_bucket)
    else:
        assert len(empty_bucket.puts) == 1  # it waits


@pytest.mark.parametrize("offset", [0, 1, 1000, 65536, 500000, len(DATA) - 65536, len(DATA) - 1, len(DATA)])
@pytest.mark.parametrize("way", ["reset", "close"])
def test_an_upload_that_is_cut_begins_anew(zone, user, tmp_path, empty_bucket, offset, way):
    async def cut(line):
        await line.go_on()
        await line.take(offset)
        line.reset() if way == "reset" else await line.close()
    empty_bucket.acts = [cut]
    store(user, tmp_path)
    assert len(empty_bucket.puts) == 2 and is_there(empty_bucket) and kinds(zone) == ["init", "fina"]
    assert empty_bucket.puts[1].received == DATA  # from the first byte on


@pytest.mark.parametrize("how, limit", [("takes nothing more", "stall_ms"), ("does not answer", "answer_ms")])
def test_a_bucket_that_stalls_is_left(zone, user, tmp_path, empty_bucket, how, limit):
    data = os.urandom(1 << 20) * 24  # more than the kernels hold for us

    async def stall(line):
        await line.go_on()
        await line.take(100000 if how == "takes nothing more" else None)
        await line.silence()
    empty_bucket.acts = [stall]
    done = store(user, tmp_path, data, patience=f"pause_min_ms=10,pause_max_ms=50,{limit}=3000", options=["-v"])
    assert "stalled: no byte for 3 s" in text(done.stderr)
    assert len(empty_bucket.puts) == 2 and is_there(empty_bucket, data) and kinds(zone) == ["init", "fina"]


def test_nobody_there_at_first(zone, user, tmp_path, empty_bucket):
    address = "http://127.0.0.1:%d" % harness.free_port()
    zone.bucket_url = address
    done = store(user, tmp_path, check=1, patience=FEW)
    assert f"after 3 attempts: PUT {address}/sha1/" in text(done.stderr) and "Connection refused" in text(done.stderr)
    assert "secret" not in text(done.stderr)


@pytest.mark.parametrize("change", ["last byte", "first byte", "truncate", "remove"])
def test_what_is_sent_the_second_time_is_hashed_again(zone, user, tmp_path, empty_bucket, change):
    path = tmp_path / "file"

    async def cut(line):
        await line.go_on()
        await line.take()
        {"last byte": lambda: flip(path, len(DATA) - 1), "first byte": lambda: flip(path, 0),
         "truncate": lambda: os.truncate(path, 5), "remove": path.unlink}[change]()
        line.reset()
    empty_bucket.acts = [cut]
    done = store(user, tmp_path, check=1)
    assert "the file has changed" in text(done.stderr) or "the file is not there any more" in text(done.stderr)
    assert empty_bucket.objects == {} and kinds(zone) == ["init"]
    assert all(len(put.received) <= len(DATA) - 65536 for put in empty_bucket.puts[1:])


PASSING = ["cut", (500, ""), (500, "<html>Internal Server Error</html>"), (502, "<html>Bad Gateway</html>"),
           (503, "no"), (504, "An error occurred with your deployment\n\nFUNCTION_INVOCATION_TIMEOUT"), (408, ""),
           (429, "slow", {"Retry-After": "0"})]


@pytest.mark.parametrize("answer", PASSING, ids=str)
@pytest.mark.parametrize("call", ["initiateFileUpload", "finalizeFileUpload"])
def test_a_call_of_the_gateway_that_is_lost_is_repeated(zone, user, tmp_path, empty_bucket, call, answer):
    zone.answers[call] = [answer]
    store(user, tmp_path)
    assert kinds(zone) == (["init"] * 2 + ["fina"] if call.startswith("init") else ["init"] + ["fina"] * 2)
    assert len(empty_bucket.puts) == 1 and is_there(empty_bucket)


@pytest.mark.parametrize("answer", [(500, "Error: Error getting metadata for object: null"), (400, "Invalid request: x"),
                                    (500, "Error: User U not authorized to upload files."), (401, ""), (404, "")], ids=str)
@pytest.mark.parametrize("call", ["initiateFileUpload", "finalizeFileUpload"])
def test_a_refusal_of_the_gateway_is_final(zone, user, tmp_path, empty_bucket, call, answer):
    zone.answers[call] = [answer]
    store(user, tmp_path, check=1)
    assert kinds(zone) == ["init"] if call.startswith("init") else ["init", "fina"]
    assert len(empty_bucket.puts) == (0 if call.startswith("init") else 1)


@pytest.mark.parametrize("call", ["initiateFileUpload", "findFile"])
def test_a_gateway_that_stays_away_is_asked_for_a_bounded_time(zone, user, tmp_path, empty_bucket, call):
    zone.answers[call] = [(503, "maintenance")] * 1000
    env = {**user, "KACHERY_RESOURCE_TEST_PATIENCE": "pause_min_ms=20,pause_max_ms=20,asking_ms=300"}
    command = ["store", str(written(tmp_path, "file", DATA))] if call.startswith("init") else ["info", "sha1://" + sha1(DATA)]
    done = run(*command, env=env, check=1)
    assert f"after {len(zone.payloads)} attempts: {zone.url}: 503 Service Unavailable: maintenance" in text(done.stderr)
    assert len(zone.payloads) > 3 and empty_bucket.puts == []


def test_a_silent_gateway_is_asked_again(zone, user, tmp_path, empty_bucket):
    zone.answers["finalizeFileUpload"] = ["silence"]
    store(user, tmp_path, patience="pause_min_ms=10,pause_max_ms=50,call_ms=400")
    assert kinds(zone) == ["init", "fina", "fina"] and is_there(empty_bucket)


# ---- the daemon: what it waits for ends with it, and what it shows is true ----

def in_pause(zone, bucket):
    async def busy(line):
        await line.say(503, s3_error("SlowDown"))
    bucket.always = busy
    return "pause_min_ms=600000,pause_max_ms=600000", "; again in "


def held(zone, bucket):
    async def silent(line):
        await line.silence()
    bucket.always = silent
    return "expect_ms=600000", None


def at_the_gateway(zone, bucket):
    zone.answers["initiateFileUpload"] = ["silence"]
    return "call_ms=600000", None


def pending(zone, bucket):
    zone.answers["initiateFileUpload"] = [(200, {"type": "initiateFileUpload", "alreadyPending": True})] * 100
    return "pending_every_ms=600000,pending_total_ms=6000000", None


def stalled(zone, bucket):
    async def stall(line):
        await line.go_on()
        await line.take(1000)
        await line.silence()
    bucket.always = stall
    return "stall_ms=600000", None


@pytest.mark.parametrize("wait", [in_pause, held, at_the_gateway, pending, stalled])
def test_every_wait_ends_when_the_daemon_does(zone, user, empty_bucket, desk, proxy, wait):
    patience, line = wait(zone, empty_bucket)
    daemon = desk.share(KACHERY_RESOURCE_TEST_PATIENCE=patience + ",lost_ms=0")
    _, uri = desk.link("file", DATA)
    proxy.ask(uri, 100)
    worker, = desk.worker("kachery-upload")
    harness.until(lambda: (empty_bucket.puts or line is None) and "init" in kinds(zone), "the upload has begun")
    if line:
        daemon.wait_line(line)
    daemon.signal(signal.SIGKILL)
    harness.until(lambda: harness.process_name(worker) == "", "the worker is gone too")


def test_progress_is_what_the_bucket_has(zone, user, desk, proxy):
    rough = RoughBucket(receive_buffer=65536)
    try:
        zone.bucket_url = rough.url
        data, taken, held = os.urandom(1 << 20) * 16, 3 << 20, 1 << 19

        async def slow(line):
            await line.go_on()
            await line.take(taken)
            await line.silence()
        rough.acts = [slow]
        desk.share(KACHERY_RESOURCE_TEST_PATIENCE="")
        _, uri = desk.link("file", data)

        def uploaded():
            return proxy.status(uri, 0)["bytesUploaded"]
        proxy.ask(uri, 0)
        harness.until(lambda: rough.puts and len(rough.puts[0].received) == taken, "the part that the bucket takes")
        harness.until(lambda: uploaded() >= taken, "all that the bucket has is told")
        for _ in range(20):
            assert uploaded() <= taken + held  # what its kernel holds for it, and not what ours does
        desk.daemon.signal(signal.SIGKILL)
    finally:
        rough.stop()


# ---- a clock that is wrong ----

@pytest.mark.parametrize("offset_s, words", [(3600, "s behind that of"), (-90, "s ahead of that of")])
def test_a_wrong_clock_is_told(zone, user, tmp_path, offset_s, words):
    here = zone.now
    zone.now = lambda: here() + offset_s
    zone.answers["initiateFileUpload"] = [(500, "Error: whatever", zone.date())]
    done = store(user, tmp_path, options=["-v"])
    told, = [line for line in text(done.stderr).splitlines() if "clock" in line]
    told_s = int(re.search(r"clock is (\d+) s", told)[1])  # later than it was when the zone said it
    assert words in told and zone.url in told and abs(told_s - abs(offset_s)) < 20
    assert kinds(zone) == ["init", "init", "fina"]
    assert all(abs(p["timestamp"] - 1000 * zone.now()) < 20000 for p in zone.payloads[1:])
    assert "clock" not in text(store(user, tmp_path, b"-v was not given").stderr)


def test_the_daemons_log_tells_a_wrong_clock(zone, desk, proxy):
    here = zone.now
    zone.now = lambda: here() - 7200
    daemon = desk.share()
    daemon.wait_line("s ahead of that of")  # from the first call, which asks whether we are registered
    _, uri = desk.link("file", DATA)
    assert proxy.status(uri)["status"] == "completed"
    daemon.wait_line("s ahead of that of", 2)  # the upload worker's


@pytest.mark.parametrize("offset_s, calls", [(50, 1), (-50, 1), (70, 2), (-70, 2)])
def test_a_clock_that_is_near_enough_is_left_alone(zone, user, offset_s, calls):
    here = zone.now
    zone.now = lambda: here() + offset_s
    zone.answers["findFile"] = [(500, "Error: no", zone.date())] * 2
    run("info", "sha1://" + sha1(DATA), env=user, check=1)
    assert len(zone.payloads) == calls


DAY = 24 * 3600


@pytest.mark.parametrize("offset_s, is_far", [(DAY + 60, False), (-DAY - 60, False), (DAY + 200, True), (-DAY - 200, True), (400 * DAY, True), (-400 * DAY, True)])
def test_a_clock_that_is_too_far_off_is_not_followed(zone, user, offset_s, is_far):
    """Nothing is signed for another day; both clocks are named, beside what the gateway said."""
    here = zone.now
    zone.now = lambda: here() + offset_s
    done = run("info", "sha1://" + sha1(DATA), env=user, check=1 if is_far else 3)
    assert all(abs(p["timestamp"] - 1000 * here()) < 1000 * (DAY + 126) for p in zone.payloads)
    assert len(zone.payloads) == (1 if is_far else 2)
    if is_far:
        dates = [email.utils.formatdate(t, usegmt=True)[:22] for t in (here(), zone.now())]
        assert "Invalid timestamp (this host's clock says" in text(done.stderr) and all(date in text(done.stderr) for date in dates), done.stderr


def test_a_clock_that_goes_further_and_further_is_not_followed(user, zone, desk):
    """Not step by step either: a daemon lives long."""
    here, gone = time.time, [0]

    def run_away():
        gone[0] += 20 * 3600
        return here() + gone[0]
    zone.now = run_away
    daemon = desk.share(wait=False, intervals="")
    daemon.wait_line("requests are signed for at most a day of difference")
    assert all(abs(p["timestamp"] - 1000 * here()) < 1000 * (DAY + 126) for p in zone.payloads)


# ---- answers that cannot be ----

def test_a_success_before_the_last_byte_is_none(zone, user, tmp_path, empty_bucket):
    async def hasty(line):
        await line.go_on()
        await line.take(1000)
        await line.say(200)
    empty_bucket.acts = [hasty]
    done = store(user, tmp_path, bytes(24 << 20), check=1)  # more than the kernels hold
    assert "the bucket answered 200 after " in text(done.stderr)
    assert "fina" not in kinds(zone)


def test_somebody_elses_upload_is_waited_for(zone, user, tmp_path, empty_bucket):
    pending = 200, {"type": "initiateFileUpload", "alreadyExists": False, "alreadyPending": True}
    zone.answers["initiateFileUpload"] = [pending] * 2
    store(user, tmp_path, patience="pending_every_ms=10")
    assert kinds(zone) == ["init", "init", "init", "fina"] and is_there(empty_bucket)
    zone.answers["initiateFileUpload"] = [pending] * 1000
    done = store(user, tmp_path, check=1, patience="pending_every_ms=10,pending_total_ms=100")
    assert "somebody else's upload of this file does not end" in text(done.stderr) and len(empty_bucket.puts) == 1


def test_what_the_zone_has_and_does_not_find_is_not_stored(zone, user, tmp_path, empty_bucket):
    zone.answers["initiateFileUpload"] = [(200, {"type": "initiateFileUpload", "alreadyExists": True})]
    done = store(user, tmp_path, check=1)
    assert "the zone has the file and does not find it" in text(done.stderr) and empty_bucket.puts == []
