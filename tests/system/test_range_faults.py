"""What goes wrong while parts of files are read through the hub (EXTENSIONS.md §3): a reader gets the right bytes or the end
of its connection, never a wrong byte, and an absent file's 404 only when the daemons have said no."""
import asyncio
import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import harness
import pytest
import websockets
from harness import run, until
from loop_thread import LoopThread
from range_sharing import LEAF, Sharing, noise

FAST = "relay_silent_ms=2000,ask_again_ms=200,line_again_ms=200,absent_ms=300,range_start_ms=0,range_wait_ms=20000"


@pytest.fixture
def start(tmp_path):
    """`start(**intervals)`: a lab whose hub has those intervals and whose daemon comes again quickly."""
    labs = []

    def make(intervals=FAST, share=True, hub_options=(), config=""):
        lab = harness.Lab(tmp_path)
        labs.append(lab)
        lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": intervals}
        start_hub(lab, hub_options)
        lab.register()
        sharing = Sharing.__new__(Sharing)
        sharing.lab = lab
        lab.write_config()
        if config:
            lab.config.write_text(lab.config.read_text() + config)
        sharing.daemon = share_again(lab) if share else None
        return sharing
    yield make
    for lab in labs:
        lab.stop()


def start_hub(lab, options=(), listen="127.0.0.1:0"):
    lab.hub = lab.keep(harness.Server("hub", "--data", str(lab.data), "--open-registration", "--secret-file",
                                      str(lab.secret_file), *options, listen=listen,
                                      env=harness.clean_environment(HOME=lab.folder, **lab.hub_environment)))


def share_again(lab):
    env = {**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": "retry_min_ms=50,retry_short_ms=200,stable_ms=100"}
    return lab.share(env=env)


def kill(process):
    """Without a chance to say anything, with all its children."""
    os.killpg(process.pid, signal.SIGKILL)
    process.process.wait()


def opened(sharing, path, size, **headers):
    """A download of which the first bytes were read."""
    connection = sharing.connect()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return connection, answer, answer.read(size)


def relays(sharing):
    return [pid for pid in harness.descendants(sharing.lab.hub.pid) if "relay" in harness.process_name(pid)]


def blocks_folder(sharing):
    return next(sharing.lab.data.rglob("blocks"))


# ---- ends ----

def test_the_daemon_is_killed_and_comes_again(start):
    sharing = start()
    data = noise(60 * LEAF + 3)
    path = sharing.put("big", data)
    _, answer, got = opened(sharing, path, LEAF)
    kill(sharing.daemon)
    sharing.lab.hub.wait_line("daemon disconnected")
    share_again(sharing.lab)
    assert got + answer.read() == data


def test_a_range_waits_for_a_daemon_that_is_away(start):
    sharing = start()
    data = noise(4 * LEAF)
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    kill(sharing.daemon)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        part = pool.submit(sharing.part, path, 3 * LEAF, 3 * LEAF + 9)
        time.sleep(0.5)
        assert not part.done()
        share_again(sharing.lab)
        assert part.result(harness.DEADLINE_S) == data[3 * LEAF:3 * LEAF + 9]


def test_what_does_not_come_in_time_is_closed_without_an_answer(start):
    sharing = start(FAST.replace("range_wait_ms=20000", "range_wait_ms=700"))
    path = sharing.put("big", noise(4 * LEAF))
    assert len(sharing.part(path, 0, 8)) == 8
    kill(sharing.daemon)
    for method in ("HEAD", "GET"):
        connection = sharing.connect()
        begun = time.monotonic()
        connection.request(method, "/f/" + "5" * 40)
        with pytest.raises(http.client.RemoteDisconnected):  # in order: to zarr a reset is a chunk that is not there
            connection.getresponse()
        assert time.monotonic() - begun >= 0.6
    _, answer, _ = opened(sharing, path, 8)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()


def test_a_process_that_hashes_a_large_file_is_killed(start):
    """Its reader's connection is cut before the end: nobody knows whether the file is right. The next one gets it."""
    sharing = start()
    data = noise(130 * LEAF + 9)
    path = sharing.put("big", data)
    connection, answer, first = opened(sharing, path, 1000)
    assert first == data[:1000]
    beside = [pid for relay in relays(sharing) for pid in harness.descendants(relay)]
    if not beside and os.cpu_count() < 2:
        pytest.skip("one processor: nothing hashes beside the relay")
    os.kill(beside[0], signal.SIGKILL)
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        answer.read()
    sharing.lab.hub.wait_line("the process that hashed it was lost")
    connection.close()
    assert sharing.ask(path)[1] == data
    until(lambda: not [pid for relay in relays(sharing) for pid in harness.descendants(relay)], "none is left")


def test_a_worker_is_killed(start):
    sharing = start()
    data = noise(60 * LEAF)
    path = sharing.put("big", data)
    _, answer, got = opened(sharing, path, LEAF)
    for pid in harness.descendants(sharing.daemon.pid):
        if "ranges" in harness.process_name(pid):
            os.kill(pid, signal.SIGKILL)
    assert got + answer.read() == data


def test_a_worker_that_stands_still_costs_time_only(start):
    sharing = start()
    data = noise(60 * LEAF)
    path = sharing.put("big", data)
    _, answer, got = opened(sharing, path, LEAF)
    stopped = [pid for pid in harness.descendants(sharing.daemon.pid) if "ranges" in harness.process_name(pid)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(2.5)  # longer than the relay waits
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert got + answer.read() == data


def test_a_relay_is_killed(start):
    sharing = start()
    data = noise(60 * LEAF)
    path = sharing.put("big", data)
    connection, answer, got = opened(sharing, path, LEAF)
    connection.sock and connection.sock.settimeout(20)
    pids = relays(sharing)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    try:
        got += answer.read()
    except (OSError, http.client.IncompleteRead) as failure:
        got += getattr(failure, "partial", b"")
    assert data.startswith(got)
    assert until(lambda: tries(sharing, path), "a new relay") == data


def tries(sharing, path):
    try:
        answer, body = sharing.ask(path)
    except (OSError, http.client.HTTPException):
        return None
    return body if answer.status == 200 else None


# ---- the hub is restarted ----

def restarted(sharing, change=lambda folder: None):
    lab = sharing.lab
    port = lab.hub.port
    folder = blocks_folder(sharing)
    lab.hub.stop()
    change(folder)
    start_hub(lab, listen=f"127.0.0.1:{port}")
    return folder


def flip_all(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "r+b") as file:
                for block in range(0, path.stat().st_size, LEAF):
                    file.seek(block + 1000)
                    byte = file.read(1) or b"\0"
                    file.seek(block + 1000)
                    file.write(bytes([byte[0] ^ 0x55]))


def truncate_all(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("change", [lambda folder: None, shutil.rmtree, flip_all, truncate_all],
                         ids=["as it was", "removed", "flipped", "truncated"])
def test_the_hub_is_restarted_with_its_cache(start, change):
    sharing = start()
    data = noise(12 * LEAF + 9)
    path = sharing.put("big", data)
    assert sharing.ask(path)[1] == data
    sharing.bytes_left(len(data))
    restarted(sharing, change)
    assert until(lambda: tries(sharing, path), "the hub and the daemon are here again") == data
    assert sharing.ask(path)[1] == data


def test_a_cache_that_is_kept_is_used(start):
    sharing = start()
    data = noise(12 * LEAF + 9)
    path = sharing.put("big", data)
    assert sharing.ask(path)[1] == data
    sharing.bytes_left(len(data))
    restarted(sharing)
    assert until(lambda: tries(sharing, path), "the hub and the daemon are here again") == data
    time.sleep(1.2)
    assert sharing.status()["totals"]["rangeBytes"] <= len(data) + 2 * LEAF


def drop_blocks(folder):
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def test_a_file_opens_after_a_restart_as_it_did_before(start):
    """The leaves that its opening touched come together with it; a damaged memory of them costs nothing else."""
    sharing = start()
    data = noise(12 * LEAF)
    path = sharing.put("big", data)
    for leaf in (7, 2, 9):
        assert sharing.part(path, leaf * LEAF, leaf * LEAF + 9) == data[leaf * LEAF:leaf * LEAF + 9]
    sharing.bytes_left(3 * LEAF)

    def first_part():
        try:
            answer, body = sharing.ask(path, Range=f"bytes={7 * LEAF}-{7 * LEAF + 8}")
        except (OSError, http.client.HTTPException):
            return None
        return body if answer.status == 206 else None
    restarted(sharing, drop_blocks)
    assert until(first_part, "the hub and the daemon are here again") == data[7 * LEAF:7 * LEAF + 9]
    sharing.bytes_left(6 * LEAF)

    def damage(folder):
        drop_blocks(folder)
        for path in folder.glob("*.openings"):
            path.write_bytes(path.read_bytes().replace(struct.pack("<I", 9), struct.pack("<I", 900)))
    restarted(sharing, damage)
    assert until(first_part, "the hub and the daemon are here again") == data[7 * LEAF:7 * LEAF + 9]
    sharing.bytes_left(7 * LEAF)


def test_the_cache_is_removed_while_it_is_used(start):
    sharing = start()
    data = noise(30 * LEAF)
    path = sharing.put("big", data)
    _, answer, got = opened(sharing, path, 2 * LEAF)
    shutil.rmtree(blocks_folder(sharing), ignore_errors=True)  # some are made meanwhile
    assert got + answer.read() == data
    assert sharing.ask(path)[1] == data


def test_the_cache_cannot_be_written(start):
    sharing = start()
    data = noise(30 * LEAF)
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    folder = blocks_folder(sharing)
    sharing.lab.hub.stop()
    shutil.rmtree(folder)
    folder.write_bytes(b"a file where a folder is to be")
    start_hub(sharing.lab, listen=f"127.0.0.1:{sharing.lab.hub.port}")
    assert until(lambda: tries(sharing, path), "the hub and the daemon are here again") == data
    assert "Not a directory" in sharing.lab.hub.wait_line("cannot keep blocks in")
    assert sharing.ask(path)[1] == data


@pytest.fixture
def small_disk(start, tmp_path):
    """A lab whose hub keeps its blocks on a disk of 3 MiB."""
    if os.getuid() != 0:
        pytest.skip("mounts")
    folder = tmp_path / "zone" / ".hub" / "blocks"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", folder], check=True)
    try:
        yield start(), folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def kept_blocks(folder):
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file() and "-" in path.parent.name)


def test_the_disk_of_the_cache_is_full(small_disk):
    """Files that were read before make room; a file that is larger than the disk is read all the same."""
    sharing, folder = small_disk
    files = [noise(5 * LEAF + n, n) for n in range(6)]
    paths = [sharing.put(f"file{n}", data) for n, data in enumerate(files)]
    for _ in range(2):
        for path, data in zip(paths, files):
            assert sharing.ask(path)[1] == data
    assert kept_blocks(folder) > 4 * LEAF
    large = noise(20 * LEAF, 9)
    path = sharing.put("large", large)
    assert sharing.ask(path)[1] == large and sharing.ask(path)[1] == large
    assert "No space left on device" in sharing.lab.hub.wait_line("cannot keep blocks in")
    restarted(sharing)
    assert until(lambda: tries(sharing, path), "the hub and the daemon are here again") == large
    for path, data in zip(paths, files):
        assert sharing.ask(path)[1] == data


def test_the_cache_becomes_read_only(small_disk):
    sharing, folder = small_disk
    data, other = noise(3 * LEAF), noise(3 * LEAF + 1, 2)
    paths = sharing.put("kept", data), sharing.put("new", other)
    assert sharing.ask(paths[0])[1] == data
    sharing.bytes_left(len(data))
    restarted(sharing, lambda folder: subprocess.run(["mount", "-o", "remount,ro", folder], check=True))
    assert until(lambda: tries(sharing, paths[0]), "the hub and the daemon are here again") == data
    assert sharing.ask(paths[1])[1] == other and sharing.ask(paths[1])[1] == other
    assert "Read-only file system" in sharing.lab.hub.wait_line("cannot keep blocks in")


def outcome(sharing, path):
    """The content, the status of a failure, or that the connection was closed."""
    try:
        answer, body = sharing.ask(path)
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException):
        return "closed"
    return body if answer.status == 200 else answer.status


# ---- the file ----

def test_a_file_that_is_renamed_over_goes_on(start):
    sharing = start()
    data = noise(60 * LEAF)
    path = sharing.put("big", data)
    _, answer, got = opened(sharing, path, LEAF)
    (sharing.lab.folder / "new").write_bytes(noise(60 * LEAF, 9))
    os.replace(sharing.lab.folder / "new", sharing.lab.folder / "big")
    try:
        got += answer.read()
    except (OSError, http.client.IncompleteRead) as failure:
        got += getattr(failure, "partial", b"")
    assert data.startswith(got)


@pytest.mark.parametrize("change", ["truncated", "grown", "written", "removed"])
def test_a_file_that_changes_ends(start, change):
    sharing = start(FAST.replace("range_wait_ms=20000", "range_wait_ms=1500"))
    data = noise(200 * LEAF)
    path = sharing.put("big", data)
    name = sharing.lab.folder / "big"
    connection = sharing.connect()
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.request("GET", path)
    answer = connection.getresponse()
    got = answer.read(LEAF)
    if change == "removed":
        name.unlink()
    else:
        with open(name, "r+b") as file:
            if change == "truncated":
                file.truncate(10 * LEAF)
            else:
                file.seek(0, os.SEEK_END if change == "grown" else os.SEEK_SET)
                file.write(noise(LEAF if change == "grown" else len(data), 5))
    try:
        got += answer.read()
    except (OSError, http.client.IncompleteRead) as failure:
        got += getattr(failure, "partial", b"")
    assert data.startswith(got)
    assert change == "removed" or len(got) < len(data)
    if change != "removed":
        sharing.daemon.wait_line(f"range of sha1://{path[3:]}")


# ---- manifests that are missing ----

def test_a_file_without_manifest_is_built(start):
    sharing = start()
    data = noise(30 * LEAF)
    name = sharing.lab.folder / "big"
    name.write_bytes(data)
    run("link", "--no-manifest", str(name), env=sharing.lab.host, check=0)
    path = f"/f/{hashlib.sha1(data).hexdigest()}"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        part = pool.submit(sharing.part, path, 5 * LEAF, 5 * LEAF + 9)
        answer, _ = sharing.ask(path, "HEAD")
        if answer.status != 200:  # else it was done already
            assert answer.status == 503
            done, _, size = answer.headers["Kachery-Building"].partition("/")
            assert size == str(len(data)) and 0 <= int(done) <= len(data) and answer.headers["Retry-After"]
        assert part.result(harness.DEADLINE_S) == data[5 * LEAF:5 * LEAF + 9]
    assert sharing.ask(path)[1] == data


def test_a_file_that_cannot_be_built_is_no_answer(start):
    sharing = start(FAST.replace("range_wait_ms=20000", "range_wait_ms=3000"))
    data = noise(30 * LEAF)
    name = sharing.lab.folder / "big"
    name.write_bytes(data)
    run("link", "--no-manifest", str(name), env=sharing.lab.host, check=0)
    before = name.stat()
    with open(name, "r+b") as file:
        file.write(b"other")
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
    path = f"/f/{hashlib.sha1(data).hexdigest()}"
    connection = sharing.connect()
    connection.request("GET", path, headers={"Range": "bytes=0-9"})
    try:
        assert connection.getresponse().status in (404, 503)
    except (OSError, http.client.HTTPException):
        pass
    assert "was not made" in sharing.daemon.wait_line("the manifest of")


# ---- limits ----

def test_more_files_than_may_be_open(start):
    sharing = start(config="maxConcurrentStreams: 2\n")
    files = [noise(12 * LEAF + n, n) for n in range(6)]
    paths = [sharing.put(f"big{n}", data) for n, data in enumerate(files)]

    def read(n):
        return sharing.ask(paths[n])[1] == files[n], sharing.part(paths[n], 5 * LEAF, 5 * LEAF + 9) == \
            files[n][5 * LEAF:5 * LEAF + 9]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert list(pool.map(read, range(6))) == [(True, True)] * 6
    assert sharing.status()["ranges"]["files"] <= 2 if "ranges" in sharing.status() else True


def test_a_private_zone_has_no_files(start):
    sharing = start()
    lab = sharing.lab
    data = noise(3 * LEAF)
    path = sharing.put("big", data)
    settings = next(p for p in lab.data.rglob("*") if p.is_file() and b"allowPublicUpload" in p.read_bytes())
    settings.write_text(settings.read_text().replace("allowPublicDownload: true", "allowPublicDownload: false"))

    def look(where):
        answer, body = sharing.ask(where)
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "date"}
        return answer.status, headers, body
    until(lambda: look(path)[0] == 404, "the settings are read again")
    absent = "/f/" + "7" * 40
    for method in ("HEAD", "GET"):
        assert sharing.ask(path, method)[0].status == 404
    assert look(path) == look(absent)
    assert sharing.status()["totals"]["rangeBytes"] == 0


def test_an_absent_file_is_absent_at_once(start):
    sharing = start()
    begun = time.monotonic()
    for method in ("HEAD", "GET"):
        assert sharing.ask("/f/" + "5" * 40, method)[0].status == 404
    assert time.monotonic() - begun < 5


def test_in_the_first_time_of_a_hub_daemons_are_expected(start):
    sharing = start(FAST.replace("range_start_ms=0", "range_start_ms=3000").replace("ask_again_ms=200", "ask_again_ms=500"))
    begun = time.monotonic()
    assert sharing.ask("/f/" + "5" * 40)[0].status == 404
    assert time.monotonic() - begun > 0.5


def test_who_does_not_wait_for_daemons_that_are_away_is_answered_at_once(start):
    sharing = start(FAST.replace("range_start_ms=0", "range_start_ms=600000").replace("range_wait_ms=20000", "range_wait_ms=600000"))
    absent, path = "/f/" + "5" * 40, sharing.put("file", noise(100))
    assert sharing.ask(absent, "HEAD", Prefer="wait=0")[0].status == 404
    assert sharing.ask(path, "HEAD", Prefer="wait=0")[0].status == 200
    done = harness.run("info", "sha1://" + "5" * 40, env=sharing.lab.remote, check=3)
    assert b"not in the zone" in done.stderr


def test_a_reader_that_leaves_stops_the_host(start):
    sharing = start()
    data = noise(256 * LEAF)
    path = sharing.put("big", data)
    connection = sharing.connect()
    connection.connect()
    sock = connection.sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    took = 0
    while took < 2 * LEAF:
        took += len(sock.recv(16384))
    connection.close()
    time.sleep(1.5)
    left = sharing.status()["totals"]["rangeBytes"]
    assert left <= took + max(1 << 20, took) + 2 * LEAF, (left, took)


def test_slow_readers_hold_little_memory(start):
    sharing = start()
    data = noise(128 * LEAF)
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    sockets = []
    try:
        for n in range(200):
            sock = socket.create_connection(("127.0.0.1", sharing.lab.hub.port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes={n * 1000}-\r\n\r\n".encode())
            sockets.append(sock)
        assert sharing.part(path, 100 * LEAF, 100 * LEAF + 8) == data[100 * LEAF:100 * LEAF + 8]
        time.sleep(1)
        if not harness.is_sanitized():
            for pid in relays(sharing):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                resident = int(status.split("VmRSS:")[1].split()[0])
                assert resident <= 48 << 10, status
    finally:
        for sock in sockets:
            sock.close()
    assert sharing.ask(path)[1] == data


# ---- a daemon that lies ----

class Liar:
    """A daemon that knows the secret and speaks ranges, and whose blocks are what `answer` makes of the wants."""

    def __init__(self, lab, name, size, mode):
        self.lab, self.name, self.size, self.mode = lab, name, size, mode
        self.wants = self.opens = 0
        self.loop = LoopThread()
        self.tasks = []

    def url(self):
        return self.lab.url.replace("http", "ws", 1)

    async def session(self):
        async with websockets.connect(self.url()) as session:
            await session.send(json.dumps({"type": "initialize", "resourceName": self.name, "zone": "default",
                                           "proxySecret": harness.SECRET}))
            async for text in session:
                message = json.loads(text)
                if message["type"] == "extensions":
                    await session.send(json.dumps({"type": "extensions", "names": ["ranges"]}))
                    self.ready.set()
                elif message["type"] == "askFile":
                    await session.send(json.dumps({"type": "fileIs", "askId": message["askId"], "status": "found",
                                                   "size": self.size}))
                elif message["type"] == "openLine":
                    self.tasks.append(asyncio.ensure_future(self.line(message["ticket"])))

    async def line(self, ticket):
        with contextlib.suppress(websockets.ConnectionClosed):
            async with websockets.connect(self.url(), max_size=None) as line:
                await line.send(json.dumps({"type": "line", "ticket": ticket}))
                async for message in line:
                    await self.take(line, message)

    async def take(self, line, message):
        if isinstance(message, bytes):
            self.wants += 1
            return
        message = json.loads(message)
        if message["type"] == "open":
            self.opens += 1
            await self.answer(line, message)

    async def answer(self, line, message):
        file = message["fileId"]
        if self.mode == "silent":
            return
        if self.mode == "binary noise":
            await line.send(os.urandom(300))
        elif self.mode == "data unasked":
            await line.send(struct.pack("<BII", 3, 77, 0) + b"x" * LEAF)
        elif self.mode == "unknown text":
            await line.send('{"type":"somethingElse"}')
        else:
            await line.send(json.dumps({"type": "opened", "fileId": file, "size": self.size, "root": "ab" * 32,
                                        "clientId": "cd" * 32, "time": 1, "signature": "ef" * 64}))
            await line.send(struct.pack("<BII", 5, file, 0) + os.urandom(32))

    def __enter__(self):
        self.ready = threading.Event()
        self.task = asyncio.run_coroutine_threadsafe(self.session(), self.loop.loop)
        assert self.ready.wait(harness.DEADLINE_S)
        return self

    def __exit__(self, *_):
        self.task.cancel()
        self.loop.end()


@pytest.mark.parametrize("mode", ["silent", "binary noise", "data unasked", "unknown text", "false root"])
def test_a_daemon_that_lies_denies_nothing(start, mode):
    sharing = start()
    data = noise(20 * LEAF)
    path = sharing.put("big", data)
    with Liar(sharing.lab, "liar", len(data), mode):
        assert sharing.part(path, 5, 99) == data[5:99]
        assert sharing.ask(path)[1] == data


def manifest(data, digest):
    """A manifest of these bytes, for whatever SHA-1."""
    leaves = [hashlib.sha256(data[i:i + LEAF]).digest() for i in range(0, len(data), LEAF)]
    pages = [hashlib.sha256(b"".join(leaves[i:i + 1024])).digest() for i in range(0, len(leaves), 1024)]
    head = struct.pack("<Q", len(data)) + bytes.fromhex(digest)
    root = hashlib.sha256(b"kachery-manifest-1\n" + head + b"".join(pages)).digest()
    return b"kchmfst1" + head + root + b"".join(pages + leaves)


def share_false_root(sharing, folder, digest, data):
    """A registered host whose store says that these bytes have that SHA-1, and has a manifest to show for it."""
    folder.mkdir()
    lab = harness.Lab(folder, "false")
    lab.hub = sharing.lab.hub
    run("register", "--label", "false", env=lab.host, check=0)
    path = lab.folder / "bytes"
    path.write_bytes(data)
    link = harness.object_path(lab.host_store, digest, "linked_files/sha1")
    link.parent.mkdir(parents=True)
    link.write_text(json.dumps({"path": str(path), "size": len(data), "mtime": path.stat().st_mtime, "sha1": digest}))
    place = harness.object_path(lab.host_store, digest, "manifests/sha1")
    place.parent.mkdir(parents=True)
    place.write_bytes(manifest(data, digest))
    place.chmod(0o600)
    lab.write_config()
    share_again(lab)
    return lab


def part_of(sharing, path):
    try:
        answer, body = sharing.ask(path, Range="bytes=0-8")
    except (OSError, http.client.HTTPException):
        return None
    return body if answer.status == 206 else None


@pytest.mark.parametrize("leaves", [20, 130], ids=["hashed by the relay", "hashed beside it"])
def test_a_false_root_never_makes_a_whole_file(start, tmp_path, leaves):
    sharing = start(FAST.replace("range_wait_ms=20000", "range_wait_ms=3000"))
    data, wrong = noise(leaves * LEAF + 5), noise(leaves * LEAF + 5, 7)
    digest = hashlib.sha1(data).hexdigest()
    path = f"/f/{digest}"
    liar = share_false_root(sharing, tmp_path / "false", digest, wrong)
    try:
        # The word of a registered client counts, as long as nobody has read all.
        assert until(lambda: part_of(sharing, path), "the host is here") == wrong[:9]
        connection = sharing.connect()
        connection.request("GET", path)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            connection.getresponse().read()
        assert "signed a root of another content" in sharing.lab.hub.wait_line("signed a root")
        assert outcome(sharing, path) in ("closed", 404)
        assert sharing.put("big", data) == path
        until(lambda: outcome(sharing, path) == data, "the right bytes")
        assert sharing.part(path, 0, 9) == data[:9]
    finally:
        liar.stop()


def test_a_false_root_that_comes_later_is_refused(start, tmp_path):
    sharing = start(FAST.replace("range_wait_ms=20000", "range_wait_ms=2000"))
    data, wrong = noise(20 * LEAF + 5), noise(20 * LEAF + 5, 7)
    path = sharing.put("big", data)
    etag = sharing.ask(path, "HEAD")[0].headers["ETag"]
    assert sharing.ask(path)[1] == data
    liar = share_false_root(sharing, tmp_path / "false", path[3:], wrong)
    try:
        for _ in range(3):
            answer, body = sharing.ask(path)
            assert (answer.headers["ETag"], body) == (etag, data)
        sharing.daemon.stop()
        for _ in range(3):
            assert outcome(sharing, path) in ("closed", 404, 500, data)
        assert sharing.ask(path, "HEAD")[0].headers.get("ETag", etag) == etag
    finally:
        liar.stop()


# ---- very many readers ----

def test_thousands_of_open_ranges_that_read_nothing(start):
    sharing = start()
    data = noise(64 * LEAF)
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    sockets = []
    try:
        for n in range(1500):
            try:
                sock = socket.create_connection(("127.0.0.1", sharing.lab.hub.port), timeout=harness.DEADLINE_S)
            except OSError:
                break
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nRange: bytes={n}-\r\n\r\n".encode())
        begun = time.monotonic()
        assert harness.http("GET", f"{sharing.lab.url}/probe")[0] == 200
        assert time.monotonic() - begun < 2
        assert sharing.part(path, 5, 99) == data[5:99]
        if not harness.is_sanitized():
            assert max(map(most_resident_kib, relays(sharing))) <= 48 << 10
    finally:
        for sock in sockets:
            sock.close()
    assert until(lambda: tries(sharing, path), "a reader that reads") == data


def most_resident_kib(pid):
    return int(pathlib.Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


def answers_of_burst(sharing, path, ends):
    """What 1,200 readers got who came while the processes that serve them stood still; `ends(pid)` follows."""
    pids = relays(sharing)
    sockets = []

    def rest(sock):
        answer = b""
        try:
            while more := sock.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for n in range(1200):
            sockets.append(socket.create_connection(("127.0.0.1", sharing.lab.hub.port), timeout=harness.DEADLINE_S))
            sockets[-1].sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes={n}-{n + 8}\r\n\r\n".encode())
        assert harness.http("GET", f"{sharing.lab.url}/probe")[0] == 200
        for pid in pids:
            ends(pid)
        return [rest(sock) for sock in sockets]
    finally:
        for pid in relays(sharing):
            os.kill(pid, signal.SIGCONT)
        for sock in sockets:
            sock.close()


def is_part(answer, want):
    return answer.startswith(b"HTTP/1.1 206 ") and answer.endswith(b"\r\n\r\n" + want)


def test_a_burst_of_readers_has_its_turn(start):
    sharing = start()
    data = noise(2 * LEAF)
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    for n, answer in enumerate(answers_of_burst(sharing, path, lambda pid: os.kill(pid, signal.SIGCONT))):
        assert is_part(answer, data[n:n + 9]), (n, answer)


def test_readers_who_wait_have_the_successor_of_a_process_that_ends(start):
    """Those whom it had are closed without an answer."""
    sharing = start()
    data = noise(2 * LEAF)
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    answers = answers_of_burst(sharing, path, lambda pid: os.kill(pid, signal.SIGKILL))
    right = [is_part(answer, data[n:n + 9]) for n, answer in enumerate(answers)]
    assert all(is_right or answer == b"" for is_right, answer in zip(right, answers))
    assert sum(right) > 50 and all(right[-50:]), right


# ---- a hub that lies ----

class BadHub:
    """A hub that is not ours: it asks a daemon for what no hub may."""

    def __init__(self, hashes):
        self.hashes, self.thread, self.answers, self.lines, self.ended = hashes, LoopThread(), [], 0, 0
        self.results = []
        self.session = None
        self.plan = None
        self.server = self.thread.call(self._listen())
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _listen(self):
        return await websockets.serve(self._serve, "127.0.0.1", 0, max_size=None)

    async def _serve(self, socket, *_):
        message = json.loads(await socket.recv())
        if message["type"] == "initialize":
            await socket.send('{"type":"acknowledge"}')
            await socket.send('{"type":"extensions","names":["ranges"]}')
            self.session = socket
            async for text in socket:
                message = json.loads(text)
                self.answers.append(message)
                if message["type"] == "responseToClient":
                    self.results.append(message)
        elif message["type"] == "line":
            self.lines += 1
            try:
                await self.plan(socket)
            except websockets.ConnectionClosed:
                pass
            self.ended += 1

    def send(self, message):
        self.thread.call(self.session.send(message if isinstance(message, str) else json.dumps(message)))

    def open_line(self, plan, line_class="small"):
        self.plan = plan
        self.send({"type": "openLine", "ticket": os.urandom(16).hex(), "class": line_class})

    def stop(self):
        async def close():
            self.server.close()
            await self.server.wait_closed()
        self.thread.end(close())


def want(request, file, first, count=1):
    return struct.pack("<BIIIH", 1, request, file, first, count)


async def drain(socket):
    async for _ in socket:
        pass


def plan_of(name, digest):
    opening = json.dumps({"type": "open", "fileId": 1, "sha1": digest})

    async def beyond(socket):
        await socket.send(opening)
        await socket.send(want(1, 1, 100000, 32))
        await drain(socket)

    async def opens_without_end(socket):
        for n in range(3000):
            await socket.send(json.dumps({"type": "open", "fileId": n + 1, "sha1": os.urandom(20).hex() if n % 2 else digest,
                                          "first": 0, "request": n + 1}))
        await drain(socket)

    async def wants_without_end(socket):
        await socket.send(opening)
        for n in range(20000):
            await socket.send(want(32 * n + 1, 1, 0, 4))

    async def never_reads(socket):
        await socket.send(opening)
        socket.transport.pause_reading()
        for n in range(200):
            await socket.send(want(4 * n + 1, 1, 0, 4))
        await asyncio.sleep(1)
        raise websockets.ConnectionClosed(None, None)

    async def pages_without_end(socket):
        await socket.send(opening)
        for n in range(5000):
            await socket.send(json.dumps({"type": "page", "fileId": 1, "page": n % 2}))
        await drain(socket)

    def sends(message):
        async def plan(socket):
            await socket.send(message)
            await drain(socket)
        return plan

    async def twice(socket):
        await socket.send(opening)
        await socket.send(opening)
        await drain(socket)

    return {"beyond the end": beyond, "opens without end": opens_without_end, "wants without end": wants_without_end,
            "never reads": never_reads, "pages without end": pages_without_end, "opens twice": twice,
            "unknown text": sends('{"type":"else"}'), "no JSON": sends("{"), "noise": sends(b"\x00\x01\x02"),
            "data": sends(struct.pack("<BII", 3, 1, 0) + b"x" * 900), "long": sends("x" * 100000),
            "nothing": sends(b"")}[name]


@pytest.mark.parametrize("name", ["beyond the end", "opens without end", "wants without end", "never reads",
                                  "pages without end", "opens twice", "unknown text", "no JSON", "noise", "data", "long",
                                  "nothing"])
def test_a_hub_that_lies_harms_no_daemon(start, name):
    sharing = start(share=False)
    lab = sharing.lab
    data = noise(20 * LEAF)
    path = sharing.put("big", data)
    bad = BadHub([path[3:]])
    try:
        lab.write_config(proxy_url=bad.url)
        daemon = share_again(lab)
        until(lambda: any(answer["type"] == "extensions" for answer in bad.answers), "the daemon announced ranges")
        before = {pid for pid in harness.descendants(daemon.pid)}
        bad.open_line(plan_of(name, path[3:]))
        until(lambda: bad.lines, "a line")
        small = lab.folder / "upload"
        small.write_bytes(b"what is uploaded meanwhile")
        uri = lab.link(small)[0]
        bad.send({"type": "requestFromClient", "requestId": "a", "resourceName": lab.name, "zone": "default",
                  "timeoutMsec": 25000, "request": {"type": "fileUpload", "uri": uri, "timeoutMsec": 20000}})
        until(lambda: bad.results, "the answer to an upload")
        assert bad.results[0]["response"]["status"]["status"] == "completed", bad.results
        assert daemon.process.poll() is None and before
        if name not in ("never reads", "opens without end"):
            until(lambda: bad.ended, "the end of the line")
        bad.answers.clear()
        bad.send({"type": "askFile", "askId": 77, "sha1": path[3:]})
        until(lambda: any(a["type"] == "fileIs" and a["status"] == "found" for a in bad.answers), "the daemon answers")
        got = []

        async def good(socket):
            await socket.send(json.dumps({"type": "open", "fileId": 1, "sha1": path[3:], "first": 3, "request": 9}))
            async for message in socket:
                if isinstance(message, bytes) and message[0] == 3:
                    got.append(message[9:])
        until(lambda: (bad.open_line(good), time.sleep(0.3), got)[2], "a line that is used well")
        assert got[0] == data[3 * LEAF:4 * LEAF]
    finally:
        bad.stop()


def test_a_session_with_questions_without_end(start):
    sharing = start(share=False)
    lab = sharing.lab
    path = sharing.put("big", noise(3 * LEAF))
    bad = BadHub([])
    try:
        lab.write_config(proxy_url=bad.url)
        daemon = share_again(lab)
        until(lambda: any(answer["type"] == "extensions" for answer in bad.answers), "the daemon announced ranges")

        async def flood():
            for n in range(3000):
                await bad.session.send(json.dumps({"type": "askFile", "askId": n + 1, "sha1": os.urandom(20).hex()}))
                if n % 10 == 0:
                    await bad.session.send(json.dumps({"type": "openLine", "ticket": os.urandom(16).hex(), "class": "bulk"}))
        bad.plan = drain
        bad.thread.call(flood())
        bad.send({"type": "openLine", "ticket": "short", "class": "else"})
        bad.send({"type": "askFile", "askId": 5000, "sha1": path[3:]})
        until(lambda: any(a["type"] == "fileIs" and a["askId"] == 5000 for a in bad.answers), "an answer")
        assert daemon.process.poll() is None
        assert len(harness.descendants(daemon.pid)) < 20
    finally:
        bad.stop()
