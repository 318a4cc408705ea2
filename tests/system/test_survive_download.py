"""Downloads through a bucket that breaks, changes its mind and lies; interrupted ones that go on later."""
import email.utils
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys

import harness
import pytest
import without_call
from harness import run, sha1
from loading import DATA, FEW, HALF, HASH, KEY, OTHER, asked, cut, finds
from rough_bucket import s3_error
from zone_double import files_below, flip, text, written

# ---- the line breaks ----

@pytest.mark.parametrize("at", [0, 1, 65536, HALF, len(DATA) - 1])
@pytest.mark.parametrize("way", ["reset", "close"])
def test_a_download_that_is_cut_goes_on(zone, target, bucket, at, way):
    async def break_off(line):
        await line.serve(upto=at)
        line.reset() if way == "reset" else await line.close()
    bucket.acts = [break_off]
    done = target.load(options=["-v"])
    assert target.is_right() and "; again in 0.0 s" in text(done.stderr)
    first, (start, is_conditional) = asked(bucket)
    assert first == (0, False) and (start == at if way == "close" else start <= at)
    assert is_conditional == (start > 0) and finds(zone) == 1
    assert bucket.sent == [at, len(DATA) - start]


def test_it_goes_on_as_often_as_it_gets_further(zone, target, bucket):
    steps = list(range(50000, len(DATA), 50000))  # more than the attempts that may fail
    bucket.acts = [lambda line, n=50000: cut(line, n) for _ in steps]
    target.load(patience=FEW)
    assert target.is_right() and sum(bucket.sent) == len(DATA) and len(bucket.gets) == len(steps) + 1


def test_a_bucket_without_ranges_begins_anew(zone, target, bucket):
    bucket.acts = [cut, lambda line: line.serve(ranges=False)]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, True)] and bucket.sent == [HALF, len(DATA)]


def test_a_bucket_without_ranges_is_not_asked_for_ever(zone, target, bucket):
    bucket.always = lambda line: cut(line, ranges=False)
    done = target.load(check=1, patience=FEW)
    assert "after 3 attempts" in text(done.stderr) and f"cut after {HALF} of {len(DATA)} bytes" in text(done.stderr)
    assert len(bucket.gets) == 3
    assert target.leaves(DATA[:HALF])


@pytest.mark.parametrize("framing", ["until close", "chunked"])
def test_other_framings_can_be_cut_too(zone, target, bucket, framing):
    async def break_off(line):
        if framing == "chunked":
            await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % HALF + DATA[:HALF] + b"\r\n")
        else:
            await line.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + DATA[:HALF])
        await line.close()
    bucket.acts = [break_off]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, False)]  # it told no ETag


def test_a_bucket_that_stalls_is_left(zone, target, bucket):
    async def stall(line):
        await line.serve(upto=HALF)
        await line.silence()
    bucket.acts = [stall]
    target.load(patience="pause_min_ms=10,pause_max_ms=50,stall_ms=300")
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, True)]


@pytest.mark.parametrize("status, code", [(500, "InternalError"), (502, None), (503, "SlowDown"), (504, None), (408, None),
                                          (429, "TooManyRequests")])
def test_what_may_pass_is_tried_again(zone, target, bucket, status, code):
    async def fail(line):
        await line.say(status, s3_error(code) if code else "", Retry_After="0")
    bucket.acts = [fail, cut, fail]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (0, False), (HALF, True), (HALF, True)]
    assert finds(zone) == 1


@pytest.mark.parametrize("status", [400, 401, 405, 410, 300, 304, 204])
def test_other_answers_are_final(zone, target, bucket, status):
    async def refuse(line):
        await line.say(status, s3_error("Whatever") if status != 304 and status != 204 else "")
    bucket.acts = [refuse]
    done = target.load(check=1)
    assert f"the bucket answered {status}" in text(done.stderr) and len(bucket.gets) == 1
    assert files_below(target.folder) == []


def test_the_bucket_says_when_to_come_back(zone, user, bucket, processes):
    async def busy(line):
        await line.say(503, s3_error("SlowDown"), Retry_After=email.utils.formatdate(4102444807, usegmt=True),
                       Date=email.utils.formatdate(4102444800, usegmt=True))
    bucket.acts = [busy]
    loading = processes(harness.Process("load", "-v", f"sha1://{HASH}", env=user))
    assert "; again in 7.0 s" in loading.wait_line("; again in ") and len(bucket.gets) == 1


# ---- it is not the same object any more, or the server does not say the truth ----

def test_an_object_that_changed_is_got_anew(zone, target, bucket):
    bucket.acts = [lambda line: cut(line, data=OTHER, etag='"old"')]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, True)]
    assert bucket.gets[1].headers["if-range"] == '"old"' and bucket.sent == [HALF, len(DATA)]


def test_another_etag_in_spite_of_the_condition(zone, target, bucket):
    async def part_of_new(line):
        await line.send(f"HTTP/1.1 206 x\r\nContent-Length: {len(DATA) - HALF}\r\nETag: \"new\"\r\nContent-Range: bytes "
                        f"{HALF}-{len(DATA) - 1}/{len(DATA)}\r\n\r\n".encode() + DATA[HALF:])
    bucket.acts = [lambda line: cut(line, data=OTHER, etag='"old"'), part_of_new]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, True), (0, False)]


@pytest.mark.parametrize("etag", ['W/"weak"', "unquoted", '"' + "x" * 300 + '"', None])
def test_without_a_usable_etag_the_hash_decides(zone, target, bucket, etag):
    bucket.acts = [lambda line: cut(line, data=OTHER, ETag=etag), lambda line: line.serve(ETag=etag)]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, False), (0, False)]


def test_what_is_wrong_in_one_piece_too_is_refused(zone, target, bucket):
    bucket.acts = [lambda line: cut(line, ETag=None)]
    bucket.always = lambda line: line.serve(data=OTHER, ETag=None)
    done = target.load(check=1)
    assert f"wrong content: {len(DATA)} bytes with the SHA-1 {sha1(OTHER)}" in text(done.stderr)
    *gets, report = bucket.gets
    assert report.headers["range"] == "bytes=0-0" and report.headers["cache-control"] == "no-cache"
    assert [get.headers.get("range") for get in gets] == [None, f"bytes={HALF}-", None] and files_below(target.folder) == []


def lie(length=None, data=None, **fields):
    async def answer(line):
        body = DATA[HALF:] if data is None else data
        head = {"Content-Length": len(body) if length is None else length, **fields}
        await line.send(b"HTTP/1.1 206 x\r\n" + "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in head.items()).encode() +
                        b"\r\n" + body)
        await line.close()
    return answer


LAST = len(DATA) - 1


@pytest.mark.parametrize("answer", [
    lie(), lie(Content_Range="bytes"), lie(Content_Range=f"bytes {HALF}-{LAST}"),
    lie(Content_Range=f"bytes 0-{LAST}/{len(DATA)}"), lie(Content_Range=f"bytes {HALF + 1}-{LAST}/{len(DATA)}"),
    lie(Content_Range=f"bytes {HALF}-{LAST}/{len(DATA) + 1}"), lie(Content_Range=f"bytes {HALF}-{LAST + 9}/{len(DATA)}"),
    lie(Content_Range=f"bytes {HALF}-{LAST}/{len(DATA)}", data=DATA[HALF:-1]),
    lie(Content_Range=f"bytes {HALF}-{LAST - 1}/{len(DATA)}"),
    lie(Content_Range=f"bytes {HALF}-{LAST}/{len(DATA)}", data=DATA[HALF:] + b"more"),
    lie(Content_Range=f"bytes {HALF}-{LAST}/{len(DATA)}", data=OTHER[HALF:]),
    lie(Content_Range=f"bytes {HALF}-{LAST}/{len(DATA)}", data=b""),
], ids=["no range", "empty range", "no total", "from zero", "later", "other total", "beyond", "too short", "shorter than it is",
        "too long", "other bytes", "no bytes"])
def test_a_lie_about_the_range_is_not_believed(zone, target, bucket, answer):
    bucket.acts = [cut, answer]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, True), (0, False)]


@pytest.mark.parametrize("total", [str(len(DATA)), "*"])
def test_a_bucket_that_gives_less_than_is_asked_for(zone, target, bucket, total):
    async def a_little(line):
        start = int(line.request.headers["range"][6:-1])
        end = min(start + 100000, len(DATA))
        await line.say(206, DATA[start:end], Content_Range=f"bytes {start}-{end - 1}/{total}")
    bucket.acts, bucket.always = [cut], a_little
    target.load()
    assert target.is_right() and [a for a, _ in asked(bucket)] == [0, *range(HALF, len(DATA), 100000)]


def test_an_object_that_became_shorter_is_got_anew(zone, target, bucket):
    async def unsatisfiable(line):
        await line.say(416, s3_error("InvalidRange"), Content_Range="bytes */5")
    bucket.acts = [cut, unsatisfiable]
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, True), (0, False)]


# ---- nobody says how much it is ----

async def endless(line, framing="until close", data=DATA):
    """More and more, as long as somebody takes it; line.bucket.sent notes it."""
    head = {"until close": "Connection: close", "chunked": "Transfer-Encoding: chunked"}[framing]
    await line.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
    for _ in range(4000):
        await line.send(b"%x\r\n%s\r\n" % (len(data), data) if framing == "chunked" else data)
        line.bucket.sent.append(len(data))
    await line.close()


def without_size(zone, **more):
    """findFile does not tell the size, however often it is asked."""
    plain = zone._findFile
    zone._findFile = lambda payload: (200, {**{k: v for k, v in plain(payload)[1].items() if k != "size"}, **more})


@pytest.mark.parametrize("framing", ["until close", "chunked"])
@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_bucket_that_sends_for_ever(zone, target, bucket, framing, size):
    """By findFile's size when there is one, else by --max-size; what came is of no use."""
    bucket.always = lambda line: endless(line, framing)
    if size is None:
        without_size(zone)
    done = target.load(check=1, options=["--max-size", 3 * len(DATA) // 2])
    assert (f"more than the {len(DATA)} bytes that it should have" if size else
            f"more than {3 * len(DATA) // 2} bytes, and nobody said how many there are (--max-size BYTES allows more)") in text(done.stderr)
    assert sum(bucket.sent) < 40 * len(DATA) and files_below(target.folder) == []


@pytest.mark.parametrize("framing", ["length", "until close", "chunked"])
def test_what_nobody_gave_a_size(zone, target, bucket, framing):
    async def answer(line):
        head = {"length": f"Content-Length: {len(DATA)}", "until close": "Connection: close", "chunked": "Transfer-Encoding: chunked"}[framing]
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA), DATA) if framing == "chunked" else DATA
        await line.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)
        await line.close()
    bucket.always = answer
    without_size(zone)
    target.load(options=["--max-size", len(DATA)])
    assert target.is_right()


@pytest.mark.parametrize("who", ["findFile", "Content-Length"])
def test_a_file_that_is_larger_than_the_user_wants(zone, target, bucket, who):
    """Refused before the first byte is kept."""
    if who == "Content-Length":
        without_size(zone)
    done = target.load(check=1, options=["--max-size", len(DATA) - 1])
    assert f"{len(DATA)} bytes are more than the limit (--max-size) of {len(DATA) - 1}" in text(done.stderr)
    assert files_below(target.folder) == [] and len(bucket.gets) == (0 if who == "findFile" else 1)
    target.load(options=["--max-size", len(DATA)])
    assert target.is_right()


def test_the_limit_is_for_each_of_several(zone, user, bucket, tmp_path):
    uris = [f"sha1://{HASH}", f"sha1://{HASH}?label=other"]
    done = run("load", *uris, "-d", tmp_path / "new", "--max-size", str(len(DATA) - 1), env=user, check=1)
    assert text(done.stderr).count(f"{len(DATA)} bytes are more than the limit (--max-size) of {len(DATA) - 1}") == 2
    run("load", *uris, "-d", tmp_path / "new", "--max-size", str(len(DATA)), env=user, check=0)
    assert (tmp_path / "new" / "other").read_bytes() == DATA


def test_a_length_that_no_disk_has(zone, target, bucket):
    """Told before the transfer, also where only the bucket names it."""
    async def huge(line):
        await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n" + DATA)
    bucket.always = huge
    without_size(zone)
    done = target.load(check=1)
    assert "no room for 9000000000000000000 bytes" in text(done.stderr) and len(bucket.gets) == 1
    assert files_below(target.folder) == []


@pytest.mark.parametrize("value", ["0", "-1", "1k", "", "9223372036854775808"])
def test_a_limit_that_is_none(user, value):
    assert b"max-size" in run("load", f"sha1://{HASH}", "--max-size", value, env=user, check=2).stderr


def test_an_empty_object_where_there_was_one(zone, target, bucket):
    bucket.acts = [cut, lambda line: line.say(200)]
    done = target.load(check=1)
    assert "wrong content: 0 bytes" in text(done.stderr) and files_below(target.folder) == []


def test_an_object_that_is_gone(zone, target, bucket):
    async def gone(line):
        del bucket.objects[KEY]
        await cut(line, data=DATA)
    bucket.acts = [gone]
    done = target.load(check=3)
    assert "not in the zone" in text(done.stderr) and len(bucket.gets) == 2


# ---- URLs that expire ----

async def expired(line):
    await line.say(403, s3_error("AccessDenied", "Request has expired"))


def test_a_new_url_in_the_middle(zone, target, bucket):
    bucket.acts = [cut, expired, cut, expired]
    target.load()
    assert target.is_right() and [a for a, _ in asked(bucket)] == [0, HALF, HALF, 2 * HALF, 2 * HALF]
    assert [get.target[-1] for get in bucket.gets] == ["1", "1", "2", "2", "3"] and finds(zone) == 3


def test_a_url_that_is_refused_from_the_start_is_replaced_once(zone, target, bucket):
    bucket.always = expired
    done = target.load(check=1)
    assert "the bucket answered 403 Forbidden: AccessDenied: Request has expired" in text(done.stderr)
    assert len(bucket.gets) == 2 and finds(zone) == 2 and files_below(target.folder) == []


def test_a_gateway_that_is_away_when_the_url_expires(zone, target, bucket):
    zone.answers["findFile"] = ["pass", (503, ""), "cut"]
    bucket.acts = [cut, expired]
    target.load(patience="pause_min_ms=10,pause_max_ms=50,asking_ms=1")
    assert target.is_right() and finds(zone) == 4


def test_the_object_is_gone_when_the_url_expires(zone, target, bucket):
    async def last(line):
        del zone.objects[HASH]
        await expired(line)
    bucket.acts = [last]
    target.load(check=3)
    assert finds(zone) == 2 and files_below(target.folder) == []


def test_a_gateway_that_is_away_when_the_host_has_uploaded(zone, target, bucket):
    zone.resource_uploads = {HASH: zone.objects.pop(HASH)}
    zone.states = [{"status": "completed", "size": len(DATA), "bytesUploaded": len(DATA), "timestampRequested": 1,
                    "timestampStarted": 2, "timestampCompleted": 3}]
    zone.answers["findFile"] = ["pass", (503, ""), "cut", (502, "")]
    target.load(patience="pause_min_ms=10,pause_max_ms=50,asking_ms=1", KACHERY_RESOURCE_URL=f"{zone.url}/r/lab.res")
    assert target.is_right() and finds(zone) == 5


# ---- runs that are interrupted ----

async def half(line):
    await line.serve(upto=HALF)
    await line.silence()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_next_run_goes_on(zone, target, bucket, processes, number):
    bucket.acts = [half]
    loading = processes(harness.Process(*target.command, env=target.user, cwd=target.here))
    harness.until(lambda: target.part.exists() and target.part.stat().st_size == HALF, "the part that came")
    assert target.part.stat().st_blocks * 512 < HALF + 65536  # no room is held for what never came
    loading.signal(number)
    assert loading.wait() == -number and target.leaves(DATA[:HALF])
    if target.name is None:
        assert run("ls", env=target.user, check=0).stdout == b""
        assert run("verify", env=target.user, check=0).stdout == b""
    target.load()
    assert target.is_right() and asked(bucket) == [(0, False), (HALF, False)] and bucket.sent[1] == len(DATA) - HALF


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_first_byte_leaves_nothing(zone, target, bucket, processes, number):
    bucket.acts = [lambda line: line.silence()]
    loading = processes(harness.Process(*target.command, env=target.user, cwd=target.here))
    harness.until(lambda: bucket.gets, "the request")
    loading.signal(number)
    assert loading.wait() == -number and files_below(target.folder) == []


def test_a_network_that_stays_away_leaves_a_part(zone, target, bucket):
    bucket.acts, bucket.always = [cut], lambda line: line.close()
    target.load(check=1, patience=FEW)
    assert target.leaves(DATA[:HALF])
    bucket.always = None
    bucket.requests.clear()
    target.load()
    assert target.is_right() and asked(bucket) == [(HALF, False)]


@pytest.mark.parametrize("at", [0, HALF - 1])
def test_a_part_that_is_damaged_is_not_trusted(zone, target, bucket, at):
    flip(target.put_part(DATA[:HALF]), at)
    target.load()
    assert target.is_right() and asked(bucket) == [(HALF, False), (0, False)]


@pytest.mark.parametrize("data, ranges", [(DATA, []), (DATA + b"x", [0]), (b"", [0]), (OTHER, [0]), (DATA[:-1], [len(DATA) - 1])],
                         ids=["all", "too long", "empty", "all wrong", "all but one"])
def test_parts_of_odd_sizes(zone, target, bucket, data, ranges):
    target.put_part(data)
    target.load()
    assert target.is_right() and [a for a, _ in asked(bucket)] == ranges


SMALL = """mount -t tmpfs -o size=800k none "$1" || exit 77; cp -r "$1.before/." "$1"; shift; "$@"; status=$?; cd ..
cp -r here/. small.after; cp -r "$KACHERY_CLOUD_DIR/." small.after; exit $status"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounts")
@pytest.mark.parametrize("before", [b"", DATA[:HALF]], ids=["nothing", "half"])
def test_a_full_disk_is_told_before_anything_is_sent(zone, target, bucket, tmp_path, before):
    kept = tmp_path / (target.folder.name + ".before")
    if before:
        target.put_part(before)
    shutil.copytree(target.folder, kept)
    (tmp_path / "small.after").mkdir()
    done = subprocess.run(["unshare", "-m", "sh", "-c", SMALL, "sh", str(target.folder), "sh", "-c", 'cd "$0" && exec "$@"',
                           str(target.here), harness.BINARY, *target.command], env=target.user, cwd=target.here,
                          capture_output=True, timeout=harness.DEADLINE_S)
    if done.returncode == 77:
        pytest.skip("cannot mount: " + text(done.stderr))
    assert done.returncode == 1 and f"no room for {len(DATA)} bytes" in text(done.stderr)
    assert bucket.gets == []
    assert [path.read_bytes() for path in files_below(tmp_path / "small.after")] == ([before] if before else [])


def test_a_part_that_cannot_be_written_any_more_goes(zone, target, bucket):
    target.put_part(DATA[:HALF])
    done = subprocess.run([harness.BINARY, *target.command], env=target.user, cwd=target.here, capture_output=True, timeout=harness.DEADLINE_S,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (HALF + 5, HALF + 5)))
    assert done.returncode == 1 and b"File too large" in done.stderr and files_below(target.folder) == []


def test_two_at_once_do_not_disturb_each_other(zone, target, bucket, processes):
    bucket.acts = [half]
    first = processes(harness.Process(*target.command, env=target.user, cwd=target.here))
    harness.until(lambda: target.part.exists() and target.part.stat().st_size == HALF, "the part that came")
    target.load()  # it has a file of its own, from zero
    assert asked(bucket) == [(0, False), (0, False)]
    assert target.final.read_bytes() == DATA and target.part.read_bytes() == DATA[:HALF]
    bucket.release()  # and the first one's line breaks
    assert first.wait() == 0 and target.is_right() and asked(bucket)[2] == (HALF, True)


def test_many_at_once(zone, target, bucket, processes):
    bucket.acts = [cut, cut, cut]
    loads = [processes(harness.Process(*target.command, env=target.user, cwd=target.here)) for _ in range(8)]
    assert [load.wait() for load in loads] == [0] * 8
    assert target.is_right()


def test_a_file_system_without_locks_keeps_no_parts(target, bucket):
    """Nobody could tell then whose a part is; but there is no litter either."""
    command = [sys.executable, without_call.__file__, str(without_call.FLOCK), harness.BINARY, *target.command]
    subprocess.run(command, env=target.user, cwd=target.here, check=True, timeout=harness.DEADLINE_S)
    assert target.is_right()


@pytest.mark.parametrize("kind", ["symbolic link", "dangling link", "hard link", "folder", "fifo", "a stranger's"])
def test_a_part_that_is_not_ours_is_left_alone(zone, target, bucket, tmp_path, kind):
    victim = written(tmp_path, "victim", b"precious")
    target.part.parent.mkdir(parents=True, exist_ok=True)
    if kind == "symbolic link":
        target.part.symlink_to(victim)
    elif kind == "dangling link":
        target.part.symlink_to(tmp_path / "nowhere")
    elif kind == "hard link":
        os.link(victim, target.part)
    elif kind == "folder":
        target.part.mkdir()
    elif kind == "fifo":
        os.mkfifo(target.part)
    elif os.getuid() == 0:
        os.chown(target.put_part(DATA[:HALF]), 12345, 12345)
    else:
        pytest.skip("only root can make a file of somebody else's")
    before = os.lstat(target.part)
    target.load()
    assert target.final.read_bytes() == DATA and stat.S_ISREG(os.lstat(target.final).st_mode)
    assert target.final.stat().st_uid == os.getuid()
    assert victim.read_bytes() == b"precious" and not (tmp_path / "nowhere").exists()
    assert os.lstat(target.part).st_ino == before.st_ino and asked(bucket) == [(0, False)]
