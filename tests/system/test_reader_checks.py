"""`load` and `cat` check each block of what a hub reads from a host by the manifest, before they keep or print it."""
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import harness
import pytest
from cutting_proxy import Cut, CuttingProxy
from harness import Process, object_path, run
from range_sharing import LEAF, Sharing, noise
from store_files import manifest_from, manifest_of, manifest_path

MIB = 1 << 20


class Forger(http.server.ThreadingHTTPServer):
    """A front of a hub that changes what it passes on: `forge(kind, start, body)` gets the bytes of a file or of its manifest
    from `start` on, and gives those to be sent. `strip`: it does not announce `manifests`."""
    daemon_threads = True

    def __init__(self, hub, forge=None, strip=False):
        super().__init__(("127.0.0.1", 0), Passing)
        self.hub, self.forge, self.strip, self.asked = int(hub.rsplit(":", 1)[1]), forge, strip, []
        self.expires_after, self.expired = [], set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def environment(self, env):
        return {**env, "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{self.server_address[1]}"}

    def handle_error(self, request, client_address):
        pass  # the client has gone


class Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.expires_after and len(self.server.asked) == self.server.expires_after[0]:
            self.server.expires_after.pop(0)
            self.server.expired.add(self.path.split("?")[0])
            time.sleep(1.1)  # a pass has the second of its end: the next one is another
        if self.path.split("?")[0] in self.server.expired:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        far = http.client.HTTPConnection("127.0.0.1", self.server.hub, timeout=60)
        far.request(self.command, self.path, body, dict(self.headers))
        answer = far.getresponse()
        data = answer.read()
        if self.path == "/api/gateway" and b"/f/~" in data:  # its URLs lead here
            data = data.replace(b":%d/" % self.server.hub, b":%d/" % self.server.server_address[1])
        kind = "manifest" if self.path.endswith("?manifest") else "file"
        if self.path.startswith("/f/") and self.command == "GET":
            self.server.asked.append((kind, self.headers.get("Range")))
            if answer.status in (200, 206) and self.server.forge:
                start = int(re.match(r"bytes (\d+)", answer.headers.get("Content-Range", "bytes 0"))[1])
                data = self.server.forge(kind, start, data)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() in ("connection", "content-length", "date", "transfer-encoding"):
                continue
            if self.server.strip and name == "Kachery-Extensions":
                value = "register, ranges, links"
            self.send_header(name, value)
        self.send_header("Content-Length", answer.headers["Content-Length"] if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        far.close()

    do_GET = do_HEAD = do_POST = pass_on


def flip(data, start, at):
    """The bytes from `start` on, with a wrong one at `at` of the whole."""
    if not start <= at < start + len(data):
        return data
    changed = bytearray(data)
    changed[at - start] ^= 1
    return bytes(changed)


def times(count, forge):
    """Forges so often, then no more."""
    left = [count]

    def once(kind, start, data):
        forged = forge(kind, start, data) if left[0] else data
        left[0] -= forged != data
        return forged
    return once


def kept(store):
    return [path for path in pathlib.Path(store).rglob("*") if path.is_file() and path.stat().st_size >= 1000]


def of_file(at):
    return lambda kind, start, data: flip(data, start, at) if kind == "file" else data


def of_manifest(at):
    return lambda kind, start, data: flip(data, start, at) if kind == "manifest" else data


SIZE = 9 * LEAF + 77


@pytest.mark.parametrize("forge", [of_file(5 * LEAF + 9), of_file(0), of_file(SIZE - 1), of_manifest(3), of_manifest(10), of_manifest(20),
                                   of_manifest(40), of_manifest(70), of_manifest(100 + 32 * 4)])
def test_what_is_wrong_once_is_asked_for_again(sharing, stranger, tmp_path, forge):
    data = noise(SIZE)
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    for arguments in (["load", uri, "-o", str(tmp_path / "out")], ["cat", uri, "--start", "1"], ["cat", uri]):
        env = Forger(sharing.lab.url, times(1, forge)).environment(stranger)
        done = run(*arguments, env=env, check=0)
        assert done.stderr == b""
        got = (tmp_path / "out").read_bytes() if arguments[0] == "load" else done.stdout
        assert got == data[1 if "--start" in arguments else 0:]


def test_a_block_that_stays_wrong_is_named_and_no_byte_of_it_used(sharing, stranger, tmp_path):
    data = noise(SIZE)
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    forger = Forger(sharing.lab.url, of_file(5 * LEAF + 9))
    env = forger.environment(stranger)
    done = run("cat", uri, "--start", str(4 * LEAF - 10), "--end", str(7 * LEAF), env=env, check=1)
    assert done.stdout == data[4 * LEAF - 10:5 * LEAF]
    assert f"block 5 (bytes {5 * LEAF} to {6 * LEAF - 1})".encode() in done.stderr and b"asked for 3 times" in done.stderr
    assert [span for kind, span in forger.asked if kind == "file"][1:] == [f"bytes={5 * LEAF}-{7 * LEAF - 1}"] * 2
    for arguments in (["load", uri], ["load", uri, "-o", str(tmp_path / "out")], ["cat", uri]):
        done = run(*arguments, env=env, check=1)
        assert done.stdout == b"" and b"block 5 " in done.stderr
    assert [path.name for path in kept(tmp_path)] == [] or not (tmp_path / "out").exists()
    for part in (tmp_path / f"{uri[7:]}.part", object_path(sharing.lab.remote_store, uri[7:]).parent / f"{uri[7:]}.part"):
        assert part.read_bytes() == data[:5 * LEAF]


@pytest.mark.parametrize("at, words", [(3, "does not have the root"), (12, "does not have the root"), (44, "does not have the root"),
                                       (70, "does not have the root"), (100 + 32, "does not have its hash")])
def test_a_manifest_that_stays_wrong_proves_nothing(sharing, stranger, tmp_path, at, words):
    uri = f"sha1://{sharing.put('big', noise(SIZE))[3:]}"
    env = Forger(sharing.lab.url, of_manifest(at)).environment(stranger)
    for arguments in (["load", uri, "-o", str(tmp_path / "out")], ["cat", uri, "--end", "9"], ["cat", uri]):
        done = run(*arguments, env=env, check=1)
        assert done.stdout == b"" and words in done.stderr.decode(), done.stderr
    assert kept(tmp_path / "out") == []


def test_the_manifest_of_another_file_is_none(sharing, stranger):
    """Whole in itself, with this SHA-1 and size, but not the root that the hub names."""
    data, others = noise(SIZE), noise(SIZE, 2)
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    leaves = [hashlib.sha256(others[i:i + LEAF]).digest() for i in range(0, SIZE, LEAF)]
    other = manifest_from(leaves, SIZE, hashlib.sha1(data).digest())
    env = Forger(sharing.lab.url, lambda kind, start, body: other[start:start + len(body)] if kind == "manifest" else body).environment(stranger)
    done = run("cat", uri, "--end", "9", env=env, check=1)
    assert done.stdout == b"" and b"does not have the root" in done.stderr


@pytest.mark.parametrize("size", [1, 1000, LEAF])
def test_a_file_of_one_block_is_proven_by_its_address(sharing, stranger, tmp_path, size):
    data = noise(size)
    uri = f"sha1://{sharing.put('small', data)[3:]}"
    forger = Forger(sharing.lab.url, of_file(size // 2))
    env = forger.environment(stranger)
    for arguments in (["load", uri, "-o", str(tmp_path / "out")], ["cat", uri, "--start", str(size - 1)]):
        done = run(*arguments, env=env, check=1)
        assert done.stdout == b"" and b"block 0 " in done.stderr
    assert not (tmp_path / "out").exists() and {kind for kind, _ in forger.asked} == {"file"}
    done = run("cat", uri, "--start", str(size - 1), env=stranger, check=0)
    assert (done.stdout, done.stderr) == (data[-1:], b"")


def test_a_hub_that_announces_no_manifests_is_asked_for_none(sharing, stranger, tmp_path):
    data = noise(SIZE)
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    forger = Forger(sharing.lab.url, strip=True)
    env = forger.environment(stranger)
    run("load", uri, "-o", str(tmp_path / "out"), env=env, check=0)
    done = run("cat", uri, "--end", "9", env=env, check=0)
    assert (tmp_path / "out").read_bytes() == data and done.stdout == data[:9]
    assert b"could not be checked" in done.stderr and {kind for kind, _ in forger.asked} == {"file"}


def test_pages_come_when_their_blocks_are_read(sharing, stranger, tmp_path):
    data = bytes(300 * MIB) + b"end"
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    forger = Forger(sharing.lab.url)
    env = forger.environment(stranger)
    done = run("cat", uri, "--start", str(300 * MIB - 1), env=env, check=0)
    assert (done.stdout, done.stderr) == (b"\0end", b"")
    pages = 68 + 2 * 32
    assert [span for kind, span in forger.asked if kind == "manifest"] == \
        [f"bytes=0-{pages - 1}", f"bytes={pages + 32768}-{len(manifest_of(data)) - 1}"]
    run("load", uri, "-o", str(tmp_path / "out"), env=stranger, check=0, timeout=100)
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.parametrize("damaged, kept_blocks", [(None, 20), (3 * LEAF + 5, 3), (0, 0), (20 * LEAF - 1, 19)])
def test_a_part_is_proven_before_it_is_gone_on_with(sharing, stranger, tmp_path, damaged, kept_blocks):
    data = noise(30 * LEAF)
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    there = data[:20 * LEAF + 1000]
    (tmp_path / f"{uri[7:]}.part").write_bytes(there if damaged is None else flip(there, 0, damaged))
    forger = Forger(sharing.lab.url)
    run("load", uri, "-o", str(tmp_path / "out"), env=forger.environment(stranger), check=0)
    assert (tmp_path / "out").read_bytes() == data
    assert [span for kind, span in forger.asked if kind == "file"] == [f"bytes={kept_blocks * LEAF}-{30 * LEAF - 1}"]
    sharing.bytes_left((30 - kept_blocks) * LEAF)


def test_killed_the_next_run_goes_on_at_the_first_missing_block(sharing, tmp_path):
    data = noise(60 * LEAF)  # sockets hold some of it, and up to 16 blocks are checked together
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    proxy = CuttingProxy(int(sharing.lab.url.rsplit(":", 1)[1]))
    env = {**sharing.lab.environment(sharing.lab.remote_store), "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}"}
    loaders = []
    proxy.cuts = [Cut(down=55 * LEAF, then=lambda: loaders[0].process.kill())]
    loaders.append(Process("load", uri, "-o", str(tmp_path / "out"), env=env))
    assert loaders[0].wait() == -signal.SIGKILL
    part = tmp_path / f"{uri[7:]}.part"
    there = part.stat().st_size
    assert there % LEAF == 0 and there >= LEAF and part.read_bytes() == data[:there]
    before = sum(passed["down"] for passed in proxy.passed)
    run("load", uri, "-o", str(tmp_path / "out"), env=env, check=0)
    proxy.stop()
    assert (tmp_path / "out").read_bytes() == data
    assert sum(passed["down"] for passed in proxy.passed) - before < len(data) - there + 20000


def test_uploaded_in_mid_load_it_goes_on(sharing, stranger, tmp_path):
    """The bytes then come from the bucket: each block is checked all the same."""
    data = noise(30 * LEAF)
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    proxy = CuttingProxy(int(sharing.lab.url.rsplit(":", 1)[1]))
    env = {**stranger, "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}"}
    proxy.cuts = [Cut(down=9 * LEAF, then=lambda: run("request", uri, "--wait", env=sharing.lab.remote, check=0))]
    run("load", uri, "-o", str(tmp_path / "out"), env=env, check=0)
    proxy.stop()
    assert (tmp_path / "out").read_bytes() == data


def test_the_hub_is_restarted_in_mid_cat(lab):
    port = harness.free_port()
    lab.start_hub(f"127.0.0.1:{port}")
    lab.register()
    sharing = Sharing(lab)
    data = noise(40 * LEAF)
    uri = f"sha1://{sharing.put('big', data)[3:]}"
    proxy = CuttingProxy(port)
    env = harness.patient({**lab.environment(lab.remote_store), "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}"})

    def restart():
        lab.hub.process.kill()
        lab.hub.process.wait()
        lab.start_hub(f"127.0.0.1:{port}")
    proxy.cuts = [Cut(down=9 * LEAF, then=restart)]
    done = run("cat", uri, "--start", "5", env=env, check=0, timeout=100)
    proxy.stop()
    assert done.stdout == data[5:]


def test_changed_in_mid_read_only_right_bytes_are_printed(settled):
    data = noise(60 * LEAF)
    path = settled.put("big", data)
    proxy = CuttingProxy(int(settled.lab.url.rsplit(":", 1)[1]))
    env = {**settled.lab.environment(settled.lab.remote_store), "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}",
           "KACHERY_RESOURCE_TEST_PATIENCE": "attempts=2,lost_ms=500,waiting_ms=2000,pause_max_ms=100"}
    proxy.cuts = [Cut(down=9 * LEAF, then=lambda: (settled.lab.folder / "big").write_bytes(noise(60 * LEAF, 2)))]
    done = run("cat", f"sha1://{path[3:]}", "--start", "5", env=env, timeout=100)
    proxy.stop()
    assert done.returncode in (0, 1, 3) and data[5:].startswith(done.stdout) and len(done.stdout) >= 5 * LEAF
    assert done.returncode == 0 or b"sha1://" in done.stderr


def test_two_terabytes(sharing, stranger, tmp_path):
    """A sparse file, its record and manifest written by the test: a part of it comes at once, in little memory."""
    small = noise(2 * LEAF)
    digest = sharing.put("seed", small)[3:]
    store, claimed, size = sharing.lab.host_store, hashlib.sha1(b"two terabytes").hexdigest(), 2 * 10**12
    large = sharing.lab.folder / "large"
    with open(large, "wb") as file:
        file.seek(size - 3)
        file.write(b"end")
    zero, last = hashlib.sha256(bytes(LEAF)).digest(), hashlib.sha256(bytes(size % LEAF - 3) + b"end").digest()
    leaves = [zero] * (size // LEAF) + [last]
    manifest_path(store, claimed).parent.mkdir(parents=True, exist_ok=True)
    manifest_path(store, claimed).write_bytes(manifest_from(leaves, size, bytes.fromhex(claimed)))
    record = json.loads(object_path(store, digest, "linked_files/sha1").read_text())
    st = os.stat(large)
    record.update(path=str(large), size=size, mtime=st.st_mtime, sha1=claimed)
    object_path(store, claimed, "linked_files/sha1").parent.mkdir(parents=True, exist_ok=True)
    object_path(store, claimed, "linked_files/sha1").write_text(json.dumps(record))
    done = subprocess.run(["sh", "-c", 'ulimit -v 16384; exec "$@"', "sh", harness.BINARY, "cat", f"sha1://{claimed}", "--start",
                           str(size - 10)], env=stranger, capture_output=True, timeout=harness.DEADLINE_S, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (bytes(7) + b"end", b"", 0)


# ---- private zones ----

@pytest.fixture
def private(tmp_path):
    """A private zone whose hub finds files on hosts, and a user who may read and knows of no resource."""
    lab = harness.Lab(tmp_path)
    lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "range_start_ms=0"}
    lab.start_hub("127.0.0.1:0", "--find-on-hosts")
    lab.register()
    (lab.data / "settings" / "authorizationSettings.yaml").write_text(
        "allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers:\n- userId: local\n  upload: true\n  download: true\n")
    yield Sharing(lab)
    lab.stop()


def test_a_private_file_is_read_and_checked(private, tmp_path):
    data = noise(SIZE)
    uri = f"sha1://{private.put('big', data)[3:]}"
    reader = {name: value for name, value in private.lab.remote.items() if name != "KACHERY_RESOURCE_URL"}
    harness.until(lambda: run("info", uri, env=reader).returncode == 0, "it is found")
    done = run("cat", uri, "--end", "9", env=reader, check=0)
    assert (done.stdout, done.stderr) == (data[:9], b"")
    assert not [path for path in (private.lab.data / "sha1").rglob("*") if path.is_file()]
    forger = Forger(private.lab.url, times(1, of_file(5 * LEAF)))  # all of it is read, which the hub then keeps
    run("load", uri, "-o", str(tmp_path / "out"), env=forger.environment(reader), check=0)
    assert (tmp_path / "out").read_bytes() == data and ("manifest", f"bytes=0-{68 + 32 + 32 * 10 - 1}") in forger.asked
    assert run("cat", uri, "--start", "9", env=reader, check=0).stdout == data[9:]


def test_a_pass_that_expires_is_replaced(private, tmp_path):
    """As after an hour, in the middle of a load of two pages."""
    data = bytes(300 * MIB) + b"end"
    uri = f"sha1://{private.put('big', data)[3:]}"
    reader = {name: value for name, value in private.lab.remote.items() if name != "KACHERY_RESOURCE_URL"}
    harness.until(lambda: run("info", uri, env=reader).returncode == 0, "it is found")
    forger = Forger(private.lab.url)
    forger.expires_after = [3, 6]  # requests for bytes: then the passes of before are worth nothing
    run("load", uri, "-o", str(tmp_path / "out"), env=forger.environment(reader), check=0, timeout=100)
    assert (tmp_path / "out").read_bytes() == data and len(forger.expired) >= 1


def test_a_copy_of_the_python_client_gets_a_manifest(sharing, stranger):
    """Which has none when the first reader comes."""
    data = noise(SIZE)
    digest = hashlib.sha1(data).hexdigest()
    copy = object_path(sharing.lab.host_store, digest)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(data)
    done = run("cat", f"sha1://{digest}", "--start", "9", env=stranger, check=0)
    assert (done.stdout, done.stderr) == (data[9:], b"")
    assert manifest_path(sharing.lab.host_store, digest).read_bytes() == manifest_of(data)
