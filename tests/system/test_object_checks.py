"""What one client may make a gateway read, and what becomes of objects that do not have their hash."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import struct
import subprocess
import time

import harness
import pytest
from our_zone import ALREADY, DATA, MIB, Upload, Zone, initiate, key_of, put_zeros, sign

LARGE = 256 * MIB


def put_object(zone, content, digest=None):
    """An object that did not come through the gateway."""
    digest = digest or harness.sha1(content)
    path = harness.object_path(zone.data, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return digest, path


def is_found(zone, digest):
    return zone.client.call("findFile", hashAlg="sha1", hash=digest)[1]["found"]


def bytes_read(zone):
    """By all processes of the server that are there."""
    total = 0
    for pid in [zone.server.pid, *harness.descendants(zone.server.pid)]:
        with contextlib.suppress(OSError):
            text = pathlib.Path(f"/proc/{pid}/io").read_text()
            total += int(text.split("rchar: ")[1].split()[0])
    return total


def change_one_byte(path, keep_mtime=True):
    before = path.stat()
    with open(path, "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    if keep_mtime:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# ---- what may be read for one client ----

def test_wrong_sizes_keep_nobody_waiting(our_zone):
    """80 connections that claim another size of a large object, while another client looks for a file."""
    digest, _ = put_zeros(our_zone, LARGE)
    small = our_zone.upload()
    end = time.monotonic() + 3

    def claim(_):
        count = 0
        while time.monotonic() < end:
            assert initiate(our_zone, digest, 5) == (500, f"Error: Unexpected object size: {LARGE} <> 5")
            assert our_zone.client.finalize(digest, 6) == (500, f"Error: Unexpected object size: {LARGE} <> 6")
            count += 2
        return count
    with concurrent.futures.ThreadPoolExecutor(80) as pool:
        claims = [pool.submit(claim, i) for i in range(80)]
        slowest, asked = 0, 0
        while time.monotonic() < end:
            began = time.monotonic()
            assert is_found(our_zone, small)
            slowest = max(slowest, time.monotonic() - began)
            asked += 1
        assert sum(c.result() for c in claims) > 80
    assert slowest < 3, f"{asked} calls"  # 27 s when each claim was hashed


def test_an_object_is_read_once(our_zone):
    """Whatever is claimed of it, however often, also by the next server; and again when it has changed."""
    digest, path = put_object(our_zone, os.urandom(8 * MIB))
    assert initiate(our_zone, digest, 8 * MIB) == ALREADY
    read = bytes_read(our_zone)
    for size in (8 * MIB, 7, 8 * MIB):
        assert initiate(our_zone, digest, size)[0] == (200 if size > 7 else 500)
        assert our_zone.client.finalize(digest, size)[0] == (200 if size > 7 else 500)
    assert bytes_read(our_zone) - read < MIB
    our_zone.server.stop()
    our_zone.start()
    assert initiate(our_zone, digest, 8 * MIB) == ALREADY
    assert bytes_read(our_zone) < 7 * MIB
    os.utime(path)
    assert initiate(our_zone, digest, 8 * MIB) == ALREADY
    assert bytes_read(our_zone) > 8 * MIB


def test_what_was_received_was_read(our_zone):
    digest = our_zone.upload(os.urandom(8 * MIB))
    read = bytes_read(our_zone)
    assert initiate(our_zone, digest, 8 * MIB) == ALREADY
    assert bytes_read(our_zone) - read < MIB


def test_large_ones_are_there_at_once_and_read_meanwhile(our_zone):
    size = 512 * MIB
    digest, _ = put_zeros(our_zone, size, "0" * 40)
    began = time.monotonic()
    assert initiate(our_zone, digest, size) == ALREADY
    assert our_zone.client.finalize(digest, size)[0] == 200
    assert time.monotonic() - began < 1
    our_zone.server.wait_line("damaged object")
    harness.until(lambda: not is_found(our_zone, digest), "the damage known")
    assert initiate(our_zone, digest, size)[1]["signedUploadUrl"]


def test_many_unchecked_objects_of_one_client(our_zone):
    """They wait for each other, but another client's only for one of them; a large one for none."""
    objects = [put_object(our_zone, os.urandom(MIB)) for _ in range(40)]
    put_zeros(our_zone, 2 << 30, "1" * 40)
    assert initiate(our_zone, "1" * 40, 2 << 30) == ALREADY
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda o: initiate(our_zone, o[0], MIB), objects))
    assert answers == [ALREADY] * 40


def test_a_check_that_hangs_keeps_nobody_for_long(tmp_path, processes):
    zone = Zone(tmp_path, processes)
    zone.server.stop()
    zone.server = processes(harness.Server(
        "gateway", "--data", zone.data,
        env=harness.clean_environment(KACHERY_RESOURCE_TEST_HUB_INTERVALS="check_wait_ms=500,check_stuck_ms=3000")))
    zone.client.url = zone.server.url
    digest, _ = put_object(zone, DATA)
    put_object(zone, b"other")
    assert initiate(zone, harness.sha1(b"other"), 5) == ALREADY
    [checker] = [p for p in harness.descendants(zone.server.pid) if harness.process_name(p) == "check small"]
    os.kill(checker, signal.SIGSTOP)
    assert initiate(zone, digest, len(DATA)) == ALREADY
    zone.server.wait_line("check small process stuck")
    assert initiate(zone, digest, len(DATA)) == ALREADY


def test_a_killed_checker(our_zone):
    size = 512 * MIB
    digest, _ = put_zeros(our_zone, size, "0" * 40)
    assert initiate(our_zone, digest, size) == ALREADY

    def checkers():
        return [p for p in harness.descendants(our_zone.server.pid) if harness.process_name(p) == "check large"]
    harness.until(checkers, "the check begun")
    os.kill(checkers()[0], signal.SIGKILL)
    our_zone.server.wait_line("check large process killed by SIGKILL: out of memory, or a limit of this host?")
    assert initiate(our_zone, digest, size) == ALREADY
    our_zone.server.wait_line("damaged object")


# ---- damage ----

@pytest.mark.parametrize("how", ["other bytes", "shorter", "longer", "empty"])
def test_damage_is_repaired_by_the_next_upload(our_zone, how):
    content = os.urandom(100000)
    digest = our_zone.upload(content)
    path = harness.object_path(our_zone.data, digest)
    path.write_bytes({"other bytes": bytes(100000), "shorter": content[:-1], "longer": content + b"x",
                      "empty": b""}[how])
    status, answer = initiate(our_zone, digest, len(content))
    assert status == 200 and not answer["alreadyExists"] and answer["signedUploadUrl"], answer
    assert not is_found(our_zone, digest)
    assert our_zone.upload(content) == digest
    assert is_found(our_zone, digest) and path.read_bytes() == content
    assert initiate(our_zone, digest, len(content)) == ALREADY
    assert list((our_zone.data / ".hub/damaged").iterdir()) == []


def test_a_whole_download_finds_damage(our_zone):
    """Of what was not checked as it is; the reader sees the wrong hash and asks again."""
    content = os.urandom(100000)
    digest = our_zone.upload(content)
    url = our_zone.client.find(digest)
    change_one_byte(harness.object_path(our_zone.data, digest), keep_mtime=False)
    assert harness.http("HEAD", url)[0] == 200
    assert harness.http("GET", url, headers={"Range": "bytes=0-9"})[0] == 206
    assert is_found(our_zone, digest)
    status, _, body = harness.http("GET", url)
    assert status == 200 and harness.sha1(body) != digest
    harness.until(lambda: not is_found(our_zone, digest), "the damage found")
    assert harness.http("GET", url)[0] == 404
    our_zone.upload(content)
    assert harness.http("GET", url)[2] == content


def test_a_reader_may_doubt(our_zone):
    """Rot that leaves the time as it was: a reader that believes no cache makes the bucket look again."""
    digest = our_zone.upload(os.urandom(100000))
    url = our_zone.client.find(digest)
    path = harness.object_path(our_zone.data, digest)
    change_one_byte(path)
    assert harness.http("GET", url, headers={"Cache-Control": "no-cache"})[0] == 200
    time.sleep(1)
    assert is_found(our_zone, digest)  # it was read when it came, just now
    assert initiate(our_zone, digest, 100000) == ALREADY
    # As if that had been long ago.
    for records in (our_zone.data / ".hub/checked").iterdir():
        records.unlink()
    assert harness.http("GET", url, headers={"Cache-Control": "no-cache", "Range": "bytes=0-0"})[0] == 206
    harness.until(lambda: not is_found(our_zone, digest), "the damage found")


def age_records(zone, seconds):
    """As if what was read had been read so long ago (bucket/checked.c)."""
    for file in (zone.data / ".hub/checked").iterdir():
        records = bytearray(file.read_bytes())
        for start in range(0, len(records), 64):
            if not any(records[start:start + 20]):
                continue
            checked_s, = struct.unpack_from("q", records, start + 48)
            struct.pack_into("q", records, start + 48, checked_s - seconds)
            records[start + 20:start + 24] = bytes(4)
            records[start + 20:start + 24] = hashlib.sha1(records[start:start + 64]).digest()[:4]
        file.write_bytes(records)


def test_load_reports_what_it_found(our_zone, tmp_path):
    """Rot that leaves the time as it was: the gateway checks the object at the word of the client that was deceived."""
    content = os.urandom(100000)
    digest = our_zone.upload(content)
    change_one_byte(harness.object_path(our_zone.data, digest))
    age_records(our_zone, 3600)
    env = harness.clean_environment(HOME=str(tmp_path), KACHERY_GATEWAY_URL=our_zone.server.url)
    done = harness.run("load", f"sha1://{digest}", env=env, check=1)
    assert b"wrong content: 100000 bytes with the SHA-1" in done.stderr and b"another try may succeed" in done.stderr
    harness.until(lambda: not is_found(our_zone, digest), "the damage found")
    harness.run("load", f"sha1://{digest}", env=env, check=3)
    our_zone.upload(content)
    done = harness.run("load", f"sha1://{digest}", env=env, check=0)
    assert pathlib.Path(done.stdout.decode().strip()).read_bytes() == content


def test_nothing_below_hub_is_served(our_zone):
    digest = our_zone.upload()
    key = key_of(digest)
    for target in ("/.hub/url-key", "/bucket/.hub/url-key", "/bucket/%2ehub/url-key", "/bucket//.hub/url-key",
                   f"/bucket/{key}/../../../../../.hub/url-key", "/bucket/../.hub/url-key", "/f/.hub/url-key"):
        status = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is",
                                 our_zone.server.url + target], capture_output=True, check=True).stdout
        assert status in (b"403", b"404"), target


# ---- gateway verify, gateway rm ----

def tool(zone, word, *arguments, check=None):
    done = harness.run("gateway", word, *arguments, "--data", zone.data, check=check)
    lines = [tuple(line.split("\t")) for line in done.stdout.decode().splitlines()]
    return done.returncode, lines


def test_verify_beside_a_server(our_zone):
    good, rotten, cut = (our_zone.upload(os.urandom(size)) for size in (1000, 2000, 3000))
    assert tool(our_zone, "verify") == (0, sorted([("ok", "1000", key_of(good)), ("ok", "2000", key_of(rotten)),
                                               ("ok", "3000", key_of(cut))], key=lambda line: line[2]))
    change_one_byte(harness.object_path(our_zone.data, rotten))
    os.truncate(harness.object_path(our_zone.data, cut), 10)
    assert is_found(our_zone, rotten)
    status, lines = tool(our_zone, "verify")
    assert status == 1
    assert set(lines) == {("ok", "1000", key_of(good)), ("damaged", "2000", key_of(rotten)),
                          ("damaged", "10", key_of(cut))}
    assert [is_found(our_zone, d) for d in (good, rotten, cut)] == [True, False, False]
    for digest, size in ((rotten, 2000), (cut, 3000)):
        assert initiate(our_zone, digest, size)[1]["signedUploadUrl"]
    assert tool(our_zone, "verify", "-q") == (1, [line for line in lines if line[0] != "ok"])
    assert tool(our_zone, "verify", f"sha1://{good}") == (0, [("ok", "1000", key_of(good))])
    none = "0" * 40
    assert tool(our_zone, "verify", f"sha1://{none}", f"sha1://{good}?label=x") == \
        (3, [("missing", "-", key_of(none)), ("ok", "1000", key_of(good))])
    # Restored by hand, with the old times.
    harness.object_path(our_zone.data, cut).unlink()
    change_one_byte(harness.object_path(our_zone.data, rotten))
    assert tool(our_zone, "verify")[0] == 0
    assert is_found(our_zone, rotten)


def test_verify_goes_on_where_it_ended(our_zone):
    """Killed at any moment; each object is printed once in the end, and one that was damaged counts to the end."""
    digests = sorted(our_zone.upload(os.urandom(MIB + i)) for i in range(30))
    change_one_byte(harness.object_path(our_zone.data, digests[0]))
    seen = []
    for _ in range(3):
        process = subprocess.Popen([harness.BINARY, "gateway", "verify", "--data", our_zone.data], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, env=harness.clean_environment())
        seen += [process.stdout.readline() for _ in range(4)]
        process.send_signal(signal.SIGSTOP)
        process.kill()
        process.wait()
        # What it printed before it was killed is there, too.
        seen += process.stdout.read().splitlines(keepends=True)
    done = harness.run("gateway", "verify", "--data", our_zone.data)
    assert done.returncode == 1 and b"going on behind sha1/" in done.stderr
    seen += done.stdout.splitlines(keepends=True)
    keys = [line.decode().split()[2] for line in seen]
    # The last one of each run may have been printed and not yet noted.
    assert sorted(set(keys)) == [key_of(d) for d in digests] and len(keys) <= len(digests) + 3
    assert b"29 ok, 1 damaged" in done.stderr
    change_one_byte(harness.object_path(our_zone.data, digests[0]))
    status, lines = tool(our_zone, "verify")
    assert status == 0 and len(lines) == 30


def test_verify_goes_on_before_what_it_could_not_print(our_zone):
    """A full disk: what was found is printed by the next run, and not lost."""
    digest = our_zone.upload(b"a file")
    change_one_byte(harness.object_path(our_zone.data, digest))
    with open("/dev/full", "wb") as full:
        done = subprocess.run([harness.BINARY, "gateway", "verify", "--data", our_zone.data], stdout=full, stderr=subprocess.PIPE,
                              env=harness.clean_environment())
    assert done.returncode == 1 and b"standard output" in done.stderr
    assert tool(our_zone, "verify") == (1, [("damaged", "6", key_of(digest))])


def test_one_verify_at_a_time(our_zone):
    put_zeros(our_zone, 2 << 30, "0" * 40)
    first = subprocess.Popen([harness.BINARY, "gateway", "verify", "--data", our_zone.data], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=harness.clean_environment())
    lock = our_zone.data / ".hub/verify"
    harness.until(lambda: lock.exists() and harness.is_locked(lock), "the first at work")
    done = harness.run("gateway", "verify", "--data", our_zone.data)
    first.kill()
    first.wait()
    assert done.returncode == 1 and b"another `gateway verify` is at work" in done.stderr


def test_rm(our_zone):
    good, other = our_zone.upload(), our_zone.upload(b"other")
    assert tool(our_zone, "rm", f"sha1://{good}") == (0, [("ok", "16", key_of(good))])
    assert [is_found(our_zone, d) for d in (good, other)] == [False, True]
    assert not harness.object_path(our_zone.data, good).exists()
    assert tool(our_zone, "rm", f"sha1://{good}") == (3, [("missing", "-", key_of(good))])
    harness.object_path(our_zone.data, other).write_bytes(b"OTHER")
    assert tool(our_zone, "verify")[0] == 1
    assert tool(our_zone, "rm", f"sha1://{other}") == (0, [("damaged", "5", key_of(other))])
    assert list((our_zone.data / ".hub/damaged").iterdir()) == []
    our_zone.upload()
    assert tool(our_zone, "rm", f"sha1://{good}", "sha1://x")[0] == 1
    assert is_found(our_zone, good)  # a wrong URI is said before anything is removed


def test_zones_of_a_folder(our_zone):
    own = our_zone.upload()
    our_zone.write("registered-zones/more", {"zone": "more", "ownerId": "o", "bucketName": "default",
                                         "directory": "zones/more"})
    path = our_zone.data / "zones/more" / key_of(own)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    keys = [key_of(own), "zones/more/" + key_of(own)]
    assert tool(our_zone, "verify") == (1, [("ok", "16", keys[0]), ("damaged", "7", keys[1])])
    assert tool(our_zone, "verify", "--zone", "more") == (1, [("damaged", "7", keys[1])])
    assert tool(our_zone, "verify", "--zone", "default") == (0, [("ok", "16", keys[0])])
    assert tool(our_zone, "rm", f"sha1://{own}", "--zone", "more") == (0, [("damaged", "7", keys[1])])
    assert is_found(our_zone, own) and not path.exists()


def test_no_folder_is_made(tmp_path):
    for folder in (tmp_path / "nothing", tmp_path):
        for words in (["verify"], ["rm", "sha1://" + "0" * 40]):
            done = harness.run("gateway", *words, "--data", folder)
            assert done.returncode == 1 and b"no folder of a hub" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert harness.run("gateway", "verify").returncode == 2
    assert harness.run("gateway", "rm", "--data", tmp_path).returncode == 2
    assert b"gateway verify" in harness.run("gateway", "--help", check=0).stdout


def test_root_leaves_what_a_server_of_another_user_can_read(our_zone):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    digest, path = put_object(our_zone, b"damaged", "0" * 40)
    our_zone.server.stop()
    for folder, _, files in os.walk(our_zone.data):
        for name in [".", *files]:
            os.chown(os.path.join(folder, name), 65534, 65534)
    for parent in our_zone.data.parents:
        if parent.stat().st_mode & 1 == 0:
            os.chmod(parent, parent.stat().st_mode | 0o11)
    assert tool(our_zone, "verify") == (1, [("damaged", "7", key_of(digest))])
    owners = {p.stat().st_uid for p in (our_zone.data / ".hub").rglob("*")}
    assert owners == {65534}


# ---- what one signed URL may cost ----

def test_a_url_that_is_used_many_times_at_once(our_zone):
    """A few of one client take room; the others hear so, and another client is not kept out."""
    data = os.urandom(3 * MIB)
    digest = harness.sha1(data)
    url = our_zone.client.initiate(digest, len(data))
    uploads = [Upload(url, len(data)).send(data[:MIB]) for _ in range(8)]
    harness.until(lambda: len(list((our_zone.data / ".hub/uploads").iterdir())) == 8, "eight under way")
    for _ in range(20):
        late = Upload(url, len(data))
        status, body = late.answer()
        assert status == 503 and b"SlowDown" in body
    assert len(list((our_zone.data / ".hub/uploads").iterdir())) == 8
    other = sign(our_zone, "PUT", key_of(digest), int(time.time()) + 100, len(data))
    assert harness.http("PUT", other, data)[0] == 200
    for upload in uploads[1:]:
        upload.close()
    harness.until(lambda: len(list((our_zone.data / ".hub/uploads").iterdir())) == 1, "seven gone")
    assert uploads[0].send(data[MIB:]).answer()[0] == 200
    assert harness.object_path(our_zone.data, digest).read_bytes() == data


def test_what_is_there_is_not_written_again(our_zone):
    data = os.urandom(MIB)
    digest = harness.sha1(data)
    url = our_zone.client.initiate(digest, len(data))
    assert harness.http("PUT", url, data)[0] == 200
    before = harness.object_path(our_zone.data, digest).stat()
    upload = Upload(url, len(data)).send(data[:-1])
    harness.until(lambda: harness.has_taken(our_zone.server.port, upload.sock), "the bucket is at it")
    assert list((our_zone.data / ".hub/uploads").iterdir()) == []
    assert upload.send(data[-1:]).answer()[0] == 200
    status, _, body = harness.http("PUT", url, data[:-1] + bytes([data[-1] ^ 1]))
    assert status == 400 and b"BadDigest" in body
    after = harness.object_path(our_zone.data, digest).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    # It goes while the same bytes come: that is said.
    upload = Upload(url, len(data)).send(data[:-1])
    harness.until(lambda: harness.has_taken(our_zone.server.port, upload.sock), "the bucket is at it")
    harness.object_path(our_zone.data, digest).unlink()
    assert upload.send(data[-1:]).answer()[0] == 503
    assert harness.http("PUT", url, data)[0] == 200


def test_the_client_of_a_url_is_signed(our_zone):
    url = our_zone.client.initiate(harness.sha1(DATA), len(DATA))
    assert f"&client={our_zone.client.client_id[:16]}&" in url
    for wrong in (url.replace("&client=", "&client=0"), url.replace(f"&client={our_zone.client.client_id[:16]}", "")):
        assert harness.http("PUT", wrong, DATA)[0] == 403
    assert harness.http("PUT", url, DATA)[0] == 200


def test_stalled_uploads_keep_nobody_waiting(our_zone):
    """Of many objects, each with a file that is not complete."""
    small = our_zone.upload()
    uploads = []
    for i in range(300):
        data = b"%06d" % i
        uploads.append(Upload(our_zone.client.initiate(harness.sha1(data), 6), 6).send(data[:3]))
    began = time.monotonic()
    for _ in range(20):
        assert is_found(our_zone, small)
    assert harness.http("GET", our_zone.client.find(small))[2] == DATA
    assert time.monotonic() - began < 5
    for i, upload in enumerate(uploads):
        if i % 2:
            upload.close()
    for i, upload in enumerate(uploads):
        if i % 2 == 0:
            assert upload.send((b"%06d" % i)[3:]).answer()[0] == 200
    harness.until(lambda: list((our_zone.data / ".hub/uploads").iterdir()) == [], "nothing left")


def test_calls_that_wait_keep_little(our_zone):
    """A call as large as it may be does not wait for a check: all that wait are kept in memory."""
    size = 60 * MIB
    digest, _ = put_zeros(our_zone, size, "0" * 40)
    payload = {"type": "initiateFileUpload", "size": size, "hashAlg": "sha1", "hash": digest, "zone": "default",
               "timestamp": int(time.time() * 1000)}
    body = json.dumps(our_zone.client.signed(payload)).encode()
    status, _, text = harness.http("POST", our_zone.server.url + "/api/gateway", body + b" " * (100000 - len(body)),
                                   {"Content-Type": "application/json"})
    assert (status, json.loads(text)) == ALREADY
    assert not initiate(our_zone, digest, size)[1]["alreadyExists"]


FLOODS = {
    "zones": lambda zone, i: zone.anonymous("getZoneInfo", zoneName=f"z{i}")[0] == 200,
    "resources": lambda zone, i: zone.anonymous("getResourceInfo", resourceName=f"r{i}")[0] == 200,
    "files": lambda zone, i: zone.anonymous("findFile", hashAlg="sha1", hash=f"{i:040x}")[0] == 200,
    "finalize without PUT": lambda zone, i: zone.client.finalize(f"{i:040x}", 5)[0] == 500,
    "HEAD": lambda zone, i: harness.http("HEAD", zone.flooded)[0] == 200,
    "ranges": lambda zone, i: harness.http("GET", zone.flooded, headers={"Range": f"bytes={i % 16}-{i % 16}"})[0] == 206,
    "wrong bytes": lambda zone, i: harness.http("PUT", zone.wrong, b"x" * MIB)[0] in (400, 503),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_floods_keep_nobody_waiting(our_zone, flood):
    """As fast as 16 connections can ask; nothing of it is left."""
    small = our_zone.upload()
    our_zone.flooded, our_zone.wrong = our_zone.client.find(small), our_zone.client.initiate("0" * 40, MIB)
    end = time.monotonic() + 1.5

    def ask(first):
        i = first
        while time.monotonic() < end:
            assert FLOODS[flood](our_zone, i)
            i += 16
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        asking = [pool.submit(ask, i) for i in range(16)]
        slowest = 0
        while time.monotonic() < end:
            began = time.monotonic()
            assert is_found(our_zone, small)
            slowest = max(slowest, time.monotonic() - began)
        for a in asking:
            a.result()
    assert slowest < 1.5
    assert list((our_zone.data / ".hub/uploads").iterdir()) == []


# ---- calls that cost much before anybody has signed ----

@pytest.mark.parametrize("payload", ["members", "text"])
def test_large_calls_of_a_crowd(our_zone, payload):
    """They wait for one another, and nobody hears "busy": a client of ours would try again, a deployed one would not."""
    digest = our_zone.upload(os.urandom(1000))
    fields = {f"k{i}": 1 for i in range(8000)} if payload == "members" else {"type": "findFile", "zone": "x" * 90000}
    body = json.dumps({"payload": fields}).encode()
    over = time.monotonic() + 2

    def send_calls(_):
        statuses = set()
        while time.monotonic() < over:
            status, _, answer = harness.http("POST", our_zone.server.url + "/api/gateway", body,
                                             {"Content-Type": "application/json"})
            statuses.add(status)
            assert status != 400 or len(answer) < 1000  # a large request is not sent back
        return statuses
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        crowd = pool.map(send_calls, range(60))
        while time.monotonic() < over:
            assert is_found(our_zone, digest)
        assert set().union(*crowd) == {400}
