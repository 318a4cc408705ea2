"""cat --start --end of a file that only the zone has: that part alone, and nothing is kept."""
import pty
import os
import re
import subprocess

import harness
import pytest
from harness import run, sha1
from loading import DATA, HASH, KEY
from rough_bucket import s3_error
from zone_double import ABSENT, files_below, folder_of, text, written

SIZE = len(DATA)
ETAG = '"an etag"'


def cat(user, *options, check=0, uri=f"sha1://{HASH}", **env):
    return run("cat", uri, *options, env={**user, **env}, check=check)


async def ranged(line, upto=None, etag=ETAG, total=SIZE, shift=0, most=None, status=206):
    """As S3 does: 206 with exactly the range, 416 behind the end."""
    start, end = re.fullmatch(r"bytes=(\d+)-(\d*)", line.request.headers["range"]).groups()
    start, end = int(start), min(int(end or SIZE - 1), SIZE - 1)
    if start >= SIZE:
        return await line.say(416, s3_error("InvalidRange"), Content_Range=f"bytes */{SIZE}")
    if most:
        end = min(end, start + most - 1)
    body = DATA[start:end + 1]
    line.bucket.sent.append(len(body) if upto is None else upto)
    head = f"HTTP/1.1 {status} Partial\r\nContent-Length: {len(body)}\r\nETag: {etag}\r\n" \
           f"Content-Range: bytes {start + shift}-{end + shift}/{total}\r\n\r\n"
    await line.send(head.encode() + (body if upto is None else body[:upto]))
    if upto is not None:
        await line.close()


def ranges(bucket):
    return [get.headers.get("range") for get in bucket.gets]


@pytest.mark.parametrize("options, start, end", [
    (["--end", "16"], 0, 16), (["--start", "5", "--end", "6"], 5, 6), (["--start", "1000"], 1000, SIZE),
    (["--start", str(SIZE - 3), "--end", "99999999999"], SIZE - 3, SIZE), (["--start=0", "--end=700000"], 0, 700000)])
def test_that_range_alone_and_nothing_is_kept(zone, user, bucket, options, start, end):
    bucket.always = ranged
    done = cat(user, *options)
    assert done.stdout == DATA[start:end] and bucket.sent == [end - start]
    assert ranges(bucket) == [f"bytes={start}-{end - 1}"] and files_below(folder_of(user)) == []
    assert "could not be checked" in text(done.stderr) and text(done.stderr).count("\n") == 1
    assert cat(user, "-q", *options).stderr == b""


@pytest.mark.parametrize("options", [[], ["--start", "0"], ["--end", str(SIZE)], ["--end", str(SIZE + 1)],
                                     ["--start=0", "--end=9223372036854775807"]])
def test_all_of_it_is_proven_and_kept(zone, user, bucket, options):
    done = cat(user, *options)
    assert done.stdout == DATA and done.stderr == b"" and ranges(bucket) == [None]
    assert files_below(folder_of(user)) == [harness.object_path(folder_of(user), HASH)]


@pytest.mark.parametrize("options", [["--start", "7", "--end", "7"], ["--end", "0"], ["--start", str(SIZE)],
                                     ["--start", str(SIZE), "--end", str(SIZE + 5)]])
def test_an_empty_part_asks_for_nothing(zone, user, bucket, options):
    done = cat(user, *options)
    assert done.stdout == b"" and done.stderr == b"" and bucket.requests == []
    assert cat(user, *options, uri=f"sha1://{ABSENT}", check=3).stdout == b""


def test_a_start_behind_the_end_is_told(zone, user, bucket):
    done = cat(user, "--start", str(SIZE + 1), check=1)
    assert f"the file has {SIZE} bytes" in text(done.stderr) and bucket.requests == []


@pytest.mark.parametrize("start, end", [(0, 16), (300000, 300016)])
def test_a_bucket_that_ignores_ranges_is_not_read_on(zone, user, bucket, start, end):
    big = os.urandom(1 << 20) * 64
    zone.objects[sha1(big)] = big
    sent = []

    async def ignoring(line):
        await line.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(big)}\r\n\r\n".encode())
        for at in range(0, len(big), 65536):
            await line.send(big[at:at + 65536])
            sent.append(at + 65536)
    bucket.always = ignoring
    done = cat(user, "--start", str(start), "--end", str(end), uri=f"sha1://{sha1(big)}")
    assert done.stdout == big[start:end] and len(bucket.requests) == 1
    assert max(sent, default=0) < len(big) // 2 and files_below(folder_of(user)) == []


def test_a_line_that_breaks_is_gone_on_with(zone, user, bucket):
    bucket.acts = [lambda line: ranged(line, upto=1000), lambda line: ranged(line, upto=500)]
    bucket.always = ranged
    done = cat(user, "--start", "100", "--end", "5000")
    assert done.stdout == DATA[100:5000]
    assert ranges(bucket) == ["bytes=100-4999", "bytes=1100-4999", "bytes=1600-4999"]
    assert [get.headers.get("if-range") for get in bucket.gets] == [None, ETAG, ETAG]


def test_a_bucket_that_ignores_ranges_breaks_too(zone, user, bucket):
    bucket.acts = [lambda line: line.serve(ranges=False, upto=400)] * 1
    bucket.always = lambda line: line.serve(ranges=False)

    async def cut(line):
        await line.serve(ranges=False, upto=400)
        await line.close()
    bucket.acts = [cut]
    done = cat(user, "--start", "100", "--end", "5000")
    assert done.stdout == DATA[100:5000] and len(bucket.gets) == 2


def test_a_bucket_that_gives_less_at_a_time(zone, user, bucket):
    bucket.always = lambda line: ranged(line, most=700)
    assert cat(user, "--start", "10", "--end", "2000").stdout == DATA[10:2000]
    assert ranges(bucket) == ["bytes=10-1999", "bytes=710-1999", "bytes=1410-1999"]


@pytest.mark.parametrize("first", [
    dict(shift=1), dict(total="x"), dict(shift=-SIZE)])
def test_another_range_is_not_taken(zone, user, bucket, first):
    bucket.acts = [lambda line: ranged(line, **first)]
    bucket.always = lambda line: line.serve()
    assert cat(user, "--start", "10", "--end", "2000").stdout == DATA[10:2000]
    assert ranges(bucket) == ["bytes=10-1999", None]


def test_one_that_begins_before_is_used(zone, user, bucket):
    async def earlier(line):
        await line.say(206, DATA[:4096], Content_Range=f"bytes 0-4095/{SIZE}")
    bucket.always = earlier
    assert cat(user, "--start", "10", "--end", "2000").stdout == DATA[10:2000] and len(bucket.gets) == 1


def test_another_object_is_never_mixed_in(zone, user, bucket):
    bucket.acts = [lambda line: ranged(line, upto=1000)]
    bucket.always = lambda line: ranged(line, etag='"another"')
    done = cat(user, "--start", "100", "--end", "5000", check=1)
    assert done.stdout == DATA[100:1100] and "was replaced" in text(done.stderr)
    bucket.acts, bucket.always = [], lambda line: ranged(line, total=SIZE + 1)
    done = cat(user, "--start", "100", "--end", "5000", check=1)
    assert done.stdout == b"" and f"{SIZE + 1} bytes" in text(done.stderr)


def test_an_expired_url_is_asked_for_again(zone, user, bucket):
    bucket.acts = [lambda line: line.say(403, s3_error("AccessDenied", "Request has expired"))]
    bucket.always = ranged
    assert cat(user, "--end", "20").stdout == DATA[:20]
    assert len({get.target for get in bucket.gets}) == 2


def test_a_redirection_keeps_the_range(zone, user, bucket):
    bucket.acts = [lambda line: line.say(307, Location="/" + KEY)]
    bucket.always = ranged
    assert cat(user, "--end", "20").stdout == DATA[:20] and ranges(bucket) == ["bytes=0-19"] * 2


def test_an_object_that_goes_in_the_middle_is_not_begun_anew(zone, user, bucket):
    bucket.acts = [lambda line: ranged(line, upto=1000)]
    bucket.always = lambda line: line.say(404, s3_error("NoSuchKey"))
    zone.states, zone.resource_uploads = [{"status": "completed"}], {HASH: DATA}
    done = cat(user, "--end", "5000", check=1, KACHERY_RESOURCE_URL=f"{zone.url}/r/lab")
    assert done.stdout == DATA[:1000] and zone.proxied == []


def test_of_what_is_not_in_the_zone_the_resource_is_asked(zone, user, bucket):
    del zone.objects[HASH]
    zone.states, zone.resource_uploads = [{"status": "completed"}], {HASH: DATA}
    bucket.always = ranged
    done = cat(user, "--start", "3", "--end", "9", KACHERY_RESOURCE_URL=f"{zone.url}/r/lab")
    assert done.stdout == DATA[3:9] and len(zone.proxied) == 1 and files_below(folder_of(user)) == []


@pytest.mark.parametrize("linked", [True, False])
def test_what_is_here_is_used(zone, user, bucket, tmp_path, linked):
    run("link" if linked else "store-local", str(written(tmp_path, "file", DATA)), env=user, check=0)
    done = cat(user, "--start", "3", "--end", "9")
    assert done.stdout == DATA[3:9] and done.stderr == b"" and bucket.requests == [] and zone.payloads == []


def size_is_not_told(zone):
    answer = {"type": "findFile", "found": True, "url": zone.signed(KEY, "get"), "bucketUri": "r2://x", "objectKey": KEY}
    zone.answers["findFile"] = [(200, answer)] * 9


@pytest.mark.parametrize("act", [ranged, lambda line: line.serve(ranges=False)])
def test_a_zone_that_tells_no_size(zone, user, bucket, act):
    bucket.always = act
    size_is_not_told(zone)
    assert cat(user, "--start", "5", "--end", "99").stdout == DATA[5:99]
    assert cat(user, "--start", str(SIZE - 5)).stdout == DATA[-5:]
    assert cat(user, "--start", str(SIZE)).stdout == b""
    assert f"{SIZE} bytes" in text(cat(user, "--start", str(SIZE + 1), check=1).stderr)


def test_a_full_disk_is_told_and_not_tried_again(zone, user, bucket):
    bucket.always = ranged
    with open("/dev/full", "wb") as full:
        done = subprocess.run([harness.BINARY, "cat", f"sha1://{HASH}", "--end", "99"], env=user, stdout=full,
                              stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
    assert done.returncode == 1 and b"No space left" in done.stderr and len(bucket.gets) == 1


def test_no_bar_between_the_bytes_on_a_terminal(zone, user, bucket):
    bucket.acts = [lambda line: ranged(line, upto=5)]
    bucket.always = ranged
    zone.objects[HASH] = DATA
    master, slave = pty.openpty()
    done = subprocess.run([harness.BINARY, "cat", f"sha1://{HASH}", "--end", "9", "-q"], env={**user, "TERM": "xterm"},
                          stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, timeout=harness.DEADLINE_S)
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    assert done.returncode == 0 and b"downloading" not in shown


@pytest.mark.parametrize("size", [True, False])
def test_a_log_in_page_is_no_part(zone, user, bucket, size):
    """Also where nobody says how long the file is."""
    if not size:
        size_is_not_told(zone)

    async def portal(line):
        await line.say(200, b"<html><title>Log-in</title>", Content_Type="text/html")
    bucket.always = portal
    done = cat(user, "--end", "16", check=1)
    assert done.stdout == b"" and "a web page answered: is there a log-in in this network?" in text(done.stderr)


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_what_is_encoded_on_its_way_is_no_part(zone, user, bucket, encoding):
    """Nothing would notice that these are other bytes. Where the length is that of the object, its bytes came as they are."""
    async def encoded(line):
        await line.send(f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode())
    bucket.always = encoded
    done = cat(user, "--end", "3", check=1)
    assert done.stdout == b"" and f"Content-Encoding {encoding}, of which no part can be taken" in text(done.stderr)

    async def stored(line):
        await line.serve(Content_Encoding=encoding)
    bucket.always = stored
    assert cat(user, "--end", "3").stdout == DATA[:3]


@pytest.mark.timeout(400)
def test_a_bucket_that_sends_for_ever_when_nobody_knows_the_size(zone, user, bucket):
    size_is_not_told(zone)
    zeros = b"\0" * (1 << 24)

    async def endless(line):
        await line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await line.send(b"%x\r\n%b\r\n" % (len(zeros), zeros))
    bucket.always = endless
    done = run("cat", f"sha1://{HASH}", "--start", "6000000000", env=user, check=1, timeout=300)  # 5 GB come
    assert done.stdout == b"" and "more than 5000000000 bytes, and nobody said how many there are" in text(done.stderr)
