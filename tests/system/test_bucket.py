"""The hub's own bucket: signed URLs, uploads that appear whole or not at all, ranges."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

import harness
import pytest
from our_zone import DATA, Upload, Zone, bucket_processes, key_of, sign, visible

MIB = 1 << 20


def started(zone, size):
    """Waits until some upload has that many bytes on the disk."""
    def find():
        return [p for p in (zone.data / ".hub/uploads").iterdir() if p.stat().st_size >= size]
    harness.until(find, "an upload under way")


# ---- round trips ----

@pytest.mark.parametrize("size", [0, 1, 65536, MIB + 1, 20 * MIB])
def test_round_trip(our_zone, size):
    data = os.urandom(size)
    digest = our_zone.upload(data)
    assert harness.object_path(our_zone.data, digest).read_bytes() == data
    status, headers, body = harness.http("GET", our_zone.client.find(digest))
    assert status == 200 and body == data
    assert headers["Content-Length"] == str(size) and headers["ETag"] == f'"{digest}"'
    assert headers["Accept-Ranges"] == "bytes" and headers["Last-Modified"]
    assert [p.name for p in visible(our_zone)] == [digest]


def test_empty_file_chunked(our_zone):
    """As the Python client sends it: no length, one last chunk."""
    digest = harness.sha1(b"")
    upload = Upload(our_zone.client.initiate(digest, 0), None, "Transfer-Encoding: chunked\r\n").send(b"0\r\n\r\n")
    assert upload.answer()[0] == 200
    assert our_zone.client.finalize(digest, 0)[0] == 200


def test_chunked_file(our_zone):
    url = our_zone.client.initiate(harness.sha1(DATA), len(DATA))
    upload = Upload(url, None, "Transfer-Encoding: chunked\r\n")
    for i in range(len(DATA)):
        upload.send(b"1\r\n" + DATA[i:i + 1] + b"\r\n")
    assert upload.send(b"0\r\n\r\n").answer()[0] == 200


def test_curl(our_zone, tmp_path):
    data = os.urandom(3 * MIB)
    (tmp_path / "file").write_bytes(data)
    url = our_zone.client.initiate(harness.sha1(data), len(data))
    done = subprocess.run(["curl", "-sS", "-v", "-f", "-T", tmp_path / "file", url], capture_output=True, check=True)
    assert b"100 Continue" in done.stderr
    done = subprocess.run(["curl", "-sS", "-f", our_zone.client.find(harness.sha1(data))], capture_output=True, check=True)
    assert done.stdout == data


def test_one_connection_for_everything(our_zone):
    """Calls and transfers go to different processes, which the client does not notice."""
    link = http.client.HTTPConnection("127.0.0.1", our_zone.server.port, timeout=harness.DEADLINE_S)
    for i in range(20):
        data = os.urandom(1000 + i)
        digest = harness.sha1(data)
        payload = {"type": "initiateFileUpload", "size": len(data), "hashAlg": "sha1", "hash": digest,
                   "timestamp": int(time.time() * 1000)}
        steps = [("POST", "/api/gateway", json.dumps(our_zone.client.signed(payload)).encode()), ("PUT", None, data),
                 ("GET", "/nothing", None), ("GET", "/client/" + our_zone.client.client_id, None)]
        target = None
        for method, path, body in steps:
            headers = {"Content-Type": "application/json"} if method == "POST" else {}
            link.request(method, path or target, body, headers)
            answer = link.getresponse()
            text = answer.read()
            assert answer.status == (404 if path == "/nothing" else 200), text
            if method == "POST":
                url = urllib.parse.urlsplit(json.loads(text)["signedUploadUrl"])
                target = f"{url.path}?{url.query}"
        assert link.sock is not None
    link.close()


def test_pipelined_for_different_processes(our_zone):
    digest = our_zone.upload()
    url = urllib.parse.urlsplit(our_zone.client.find(digest))
    parts = ["/nothing", f"{url.path}?{url.query}", "/client/x", f"{url.path}?{url.query}", "/nothing"]
    text = "".join(f"GET {p} HTTP/1.1\r\nHost: h\r\n\r\n" for p in parts)
    with socket.create_connection(("127.0.0.1", our_zone.server.port), timeout=harness.DEADLINE_S) as sock:
        sock.sendall(text.encode())
        sock.shutdown(socket.SHUT_WR)
        # Half-closed: everything that was asked for is still answered, in order.
        got = []
        reader = sock.makefile("rb")
        for _ in parts:
            status = int(reader.readline().split()[1])
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            got.append((status, reader.read(length)))
    assert [s for s, _ in got] == [404, 200, 404, 200, 404]
    assert got[1][1] == got[3][1] == DATA


def test_a_long_upload_behind_a_call(our_zone):
    """What follows an upload may be another process's to serve, however much of it has come already."""
    small, large = os.urandom(50000), os.urandom(200000)
    paths = [our_zone.client.initiate(harness.sha1(d), len(d)).removeprefix(our_zone.server.url) for d in (small, large)]
    puts = [f"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
            for path, data in zip(paths, (small, large))]
    with socket.create_connection(("127.0.0.1", our_zone.server.port), timeout=harness.DEADLINE_S) as sock:
        sock.sendall(puts[0] + b"GET /client/x HTTP/1.1\r\nHost: h\r\n\r\n" + puts[1] + b"GET /nothing HTTP/1.0\r\n\r\n")
        got = sock.makefile("rb").read()
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200", b"404", b"200", b"404"]


# ---- ranges and conditions ----

EARLIER, LATER = "Thu, 01 Jan 2015 00:00:00 GMT", "Thu, 01 Jan 2099 00:00:00 GMT"
RANGES = [
    (["-r", "0-0"], 206, slice(0, 1)), (["-r", "5-9"], 206, slice(5, 10)), (["-r", "15-"], 206, slice(15, None)),
    (["-r", "-4"], 206, slice(-4, None)), (["-r", "-400"], 206, slice(None)), (["-r", "0-99"], 206, slice(None)),
    (["-r", "16-"], 416, None), (["-r", "-0"], 416, None), (["-r", "0-1,3-4"], 200, slice(None)),
    (["-H", "Range: bytes=9-5"], 200, slice(None)), (["-H", "Range: lines=0-1"], 200, slice(None)),
    (["-H", "Range: bytes=x-"], 200, slice(None)),
    (["-r", "2-3", "-H", 'If-Range: "{hash}"'], 206, slice(2, 4)),
    (["-r", "2-3", "-H", 'If-Range: "other"'], 200, slice(None)),
    (["-H", 'If-None-Match: "{hash}"'], 304, None), (["-H", 'If-None-Match: "x", W/"{hash}"'], 304, None),
    (["-H", 'If-None-Match: "x"'], 200, slice(None)), (["-H", 'If-Match: "x"'], 412, None),
    (["-H", 'If-Match: "{hash}"'], 200, slice(None)), (["-H", "If-Match: *"], 200, slice(None)),
    (["-H", 'If-Match: W/"{hash}"'], 412, None),
    (["-H", f"If-Modified-Since: {LATER}"], 304, None), (["-H", f"If-Modified-Since: {EARLIER}"], 200, slice(None)),
    (["-H", f"If-Unmodified-Since: {LATER}"], 200, slice(None)), (["-H", f"If-Unmodified-Since: {EARLIER}"], 412, None),
    (["-H", "If-Modified-Since: tomorrow"], 200, slice(None)),
    (["-H", 'If-None-Match: "x"', "-H", f"If-Modified-Since: {LATER}"], 200, slice(None)),
    (["-H", 'If-Match: "{hash}"', "-H", f"If-Unmodified-Since: {EARLIER}"], 200, slice(None)),
]


@pytest.mark.parametrize("options, status, part", RANGES)
def test_ranges(our_zone, options, status, part):
    digest = our_zone.upload()
    options = [o.replace("{hash}", digest) for o in options]
    url = our_zone.client.find(digest)
    done = subprocess.run(["curl", "-sS", "-i", *options, url], capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0].startswith(f"http/1.1 {status} ")
    assert body == (DATA[part] if part else b"")
    if status == 206:
        start, stop, _ = part.indices(len(DATA))
        assert f"content-range: bytes {start}-{stop - 1}/{len(DATA)}" in lines
    elif status == 416:
        assert f"content-range: bytes */{len(DATA)}" in lines
    else:
        assert not any(line.startswith("content-range") for line in lines)
    head = subprocess.run(["curl", "-sS", "-I", *options, url], capture_output=True, check=True).stdout
    assert head.decode().lower().split("\r\n")[0] == lines[0]


def test_large_range(our_zone):
    data = os.urandom(9 * MIB)
    url = our_zone.client.find(our_zone.upload(data))
    assert harness.http("GET", url, headers={"Range": f"bytes=1-{8 * MIB}"})[2] == data[1:8 * MIB + 1]


# ---- what is no file of its own ----

def test_symbolic_links_are_no_objects(our_zone, tmp_path):
    """Neither found nor served, and an upload takes their place; folders may be links."""
    digest = our_zone.upload()
    path = harness.object_path(our_zone.data, digest)
    url = our_zone.client.find(digest)
    (tmp_path / "elsewhere").write_bytes(DATA)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert harness.http("GET", url)[0] == 404
    assert our_zone.client.call("findFile", hashAlg="sha1", hash=digest)[1]["found"] is False
    assert our_zone.upload() == digest
    assert path.is_file() and not path.is_symlink()
    (our_zone.data / "sha1").rename(tmp_path / "large disk")
    (our_zone.data / "sha1").symlink_to(tmp_path / "large disk")
    assert harness.http("GET", our_zone.client.find(digest))[2] == DATA


# ---- URLs that are not good ----

def test_url_errors(our_zone):
    digest = our_zone.upload()
    key, later, earlier = key_of(digest), int(time.time()) + 100, int(time.time()) - 1
    good = sign(our_zone, "GET", key, later)
    assert harness.http("GET", good)[2] == DATA
    other = harness.sha1(b"absent")
    for url, status, code, message in [
            (sign(our_zone, "GET", key, earlier), 403, b"AccessDenied", b"Request has expired"),
            (good.replace("expires=", "expires=1"), 403, b"SignatureDoesNotMatch", b""),
            (good[:-1] + ("0" if good[-1] != "0" else "1"), 403, b"SignatureDoesNotMatch", b""),
            (good.split("?")[0], 403, b"SignatureDoesNotMatch", b""),
            (good.replace(digest, other), 403, b"SignatureDoesNotMatch", b""),
            (sign(our_zone, "PUT", key, later, len(DATA)), 403, b"SignatureDoesNotMatch", b""),
            (sign(our_zone, "GET", key_of(other), later), 404, b"NoSuchKey", b""),
            (sign(our_zone, "GET", ".hub/url-key", later), 404, b"NoSuchKey", b""),
            (sign(our_zone, "GET", "settings/authorizationSettings.yaml", later), 404, b"NoSuchKey", b""),
            (sign(our_zone, "GET", "../data/" + key, later), 404, b"NoSuchKey", b"")]:
        got, headers, body = harness.http("GET", url)
        assert got == status and b"<Code>" + code + b"</Code>" in body and message in body, (url, body)
        assert headers["Content-Type"] == "application/xml"
    assert harness.http("PUT", good, DATA)[0] == 403
    assert harness.http("PUT", sign(our_zone, "PUT", key, earlier, len(DATA)), DATA)[0] == 403
    for method in ("DELETE", "POST", "PATCH"):
        assert harness.http(method, good)[0] == 405
    assert harness.http("GET", our_zone.server.url + "/api/gateway")[0] == 405


# ---- uploads that are not right ----

@pytest.mark.parametrize("sent, announced, status, code", [
    (DATA[:-1] + b"?", len(DATA), 400, b"BadDigest"),
    (DATA + b"?", len(DATA) + 1, 400, b"IncompleteBody"),
    (DATA[:-1], len(DATA) - 1, 400, b"IncompleteBody"),
    (b"%x\r\n%s\r\n0\r\n\r\n" % (len(DATA) - 1, DATA[:-1]), None, 400, b"IncompleteBody"),
    (b"%x\r\n%s?\r\n0\r\n\r\n" % (len(DATA) + 1, DATA), None, 400, b"IncompleteBody"),
    (b"x\r\n", None, 400, b""),
])
def test_wrong_bytes(our_zone, sent, announced, status, code):
    url = our_zone.client.initiate(harness.sha1(DATA), len(DATA))
    upload = Upload(url, announced, "" if announced else "Transfer-Encoding: chunked\r\n").send(sent)
    got, body = upload.answer()
    assert got == status and code in body
    assert visible(our_zone) == []
    assert our_zone.client.call("findFile", hashAlg="sha1", hash=harness.sha1(DATA))[1]["found"] is False
    our_zone.upload()


def test_cut_upload(our_zone):
    data = os.urandom(3 * MIB)
    digest = harness.sha1(data)
    upload = Upload(our_zone.client.initiate(digest, len(data)), len(data)).send(data[:2 * MIB])
    started(our_zone, MIB)
    assert our_zone.client.call("findFile", hashAlg="sha1", hash=digest)[1]["found"] is False
    upload.close()
    our_zone.server.wait_line("upload cut")
    harness.until(lambda: visible(our_zone) == [], "the part removed")
    our_zone.upload(data)


def test_same_file_twice_at_once(our_zone):
    data = os.urandom(2 * MIB)
    digest = harness.sha1(data)
    uploads = [Upload(our_zone.client.initiate(digest, len(data)), len(data)).send(data[:MIB]) for _ in range(3)]
    for upload in uploads:
        assert upload.send(data[MIB:]).answer()[0] == 200
    assert [p.name for p in visible(our_zone)] == [digest]


def test_hashing_steps_back_behind_answering(our_zone):
    upload = Upload(our_zone.client.initiate(harness.sha1(DATA), len(DATA)), len(DATA)).send(DATA[:1])
    started(our_zone, 1)
    assert all(harness.steps_back(pid, our_zone.server.pid) for pid in bucket_processes(our_zone))
    upload.close()


def test_killed_bucket_process(our_zone):
    data = os.urandom(3 * MIB)
    digest = harness.sha1(data)
    upload = Upload(our_zone.client.initiate(digest, len(data)), len(data)).send(data[:2 * MIB])
    started(our_zone, MIB)
    for pid in bucket_processes(our_zone):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ConnectionResetError):
        assert upload.sock.recv(1) == b""
    assert our_zone.client.call("findFile", hashAlg="sha1", hash=digest)[1]["found"] is False
    our_zone.upload(data)
    assert [p.name for p in visible(our_zone)] == [digest]


def test_killed_hub(our_zone):
    data = os.urandom(3 * MIB)
    digest = harness.sha1(data)
    upload = Upload(our_zone.client.initiate(digest, len(data)), len(data)).send(data[:2 * MIB])
    started(our_zone, MIB)
    children = harness.descendants(our_zone.server.pid)
    our_zone.server.signal(signal.SIGKILL)
    our_zone.server.wait()
    harness.until(lambda: not any(map(harness.is_running, children)), "its processes gone")
    upload.close()
    our_zone.start()
    assert visible(our_zone) == []
    our_zone.upload(data)
    assert [p.name for p in visible(our_zone)] == [digest]


def test_stop_finishes_transfers(our_zone):
    data = os.urandom(3 * MIB)
    digest = harness.sha1(data)
    upload = Upload(our_zone.client.initiate(digest, len(data)), len(data)).send(data[:2 * MIB])
    started(our_zone, MIB)
    our_zone.server.signal(signal.SIGTERM)
    our_zone.server.wait_line("stopping")
    assert upload.send(data[2 * MIB:]).answer()[0] == 200
    assert our_zone.server.wait() == 0
    assert harness.object_path(our_zone.data, digest).read_bytes() == data


def test_full_disk(tmp_path, processes):
    """A small file system of its own for the data directory, which a large file does not fit."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")
    zone = Zone(tmp_path, processes)
    zone.server.stop()
    script = 'dir=$1; shift; mount -t tmpfs -o size=4m tmpfs "$dir" && cp -r "$dir.kept/." "$dir" && exec "$@"'
    shutil.copytree(zone.data, f"{zone.data}.kept")
    zone.server = processes(harness.Server(
        "gateway", "--data", zone.data,
        program=["unshare", "-m", "sh", "-c", script, "sh", str(zone.data), harness.BINARY]))
    zone.client.url = zone.server.url
    inside = f"/proc/{zone.server.pid}/root{zone.data}"

    def in_uploads():
        return os.listdir(inside + "/.hub/uploads")

    # Refused before a byte is taken.
    data = os.urandom(6 * MIB)
    upload = Upload(zone.client.initiate(harness.sha1(data), len(data)), len(data))
    status, body = upload.answer()
    assert status == 507 and b"InsufficientStorage" in body and b"No space left" in body
    assert b"df -h" not in body  # whoever uploads has another disk
    # Each would fit alone: one of them fills the disk.
    data = [os.urandom(5 * MIB // 2) for _ in range(2)]
    uploads = [Upload(zone.client.initiate(harness.sha1(d), len(d)), len(d)) for d in data]
    harness.until(lambda: len(in_uploads()) == 2, "both under way")
    statuses = []
    for upload, content in zip(uploads, data):
        try:
            upload.send(content)
        except OSError:
            pass  # it was refused while we sent
        statuses.append(upload.answer()[0])
    assert statuses == [200, 507]
    assert in_uploads() == []
    found = [zone.client.call("findFile", hashAlg="sha1", hash=harness.sha1(d))[1]["found"] for d in data]
    assert found == [True, False]
    zone.upload()


# ---- many and slow clients ----

def test_slow_clients_do_not_stop_others(our_zone):
    """More stalled downloads and uploads than there are bucket processes."""
    data = os.urandom(8 * MIB)
    url = our_zone.client.find(our_zone.upload(data))
    parts = urllib.parse.urlsplit(url)
    stalled = []
    for i in range(40):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", our_zone.server.port))
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert sock.recv(10)
        stalled.append(sock)
        digest = harness.sha1(b"%d" % i)
        stalled.append(Upload(our_zone.client.initiate(digest, MIB), MIB).send(b"x" * 1000))
    assert len(bucket_processes(our_zone)) == 16
    assert harness.http("GET", url)[2] == data
    our_zone.upload(os.urandom(MIB))
    for sock in stalled:
        sock.close()
    harness.until(lambda: not os.listdir(our_zone.data / ".hub/uploads"), "cut uploads removed")


def test_many_at_once(our_zone):
    def one(i):
        data = os.urandom(4096 + i)
        digest = our_zone.upload(data)
        return harness.http("GET", our_zone.client.find(digest))[2] == data

    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        assert all(threads.map(one, range(200)))


def test_data_directory_is_shared_with_the_group(tmp_path, processes):
    zone = Zone(tmp_path, processes)
    digest = zone.upload()
    path = harness.object_path(zone.data, digest)
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert path.parent.stat().st_mode & 0o777 == 0o777 & ~umask
    assert (zone.data / ".hub").stat().st_mode & 0o777 == 0o700
