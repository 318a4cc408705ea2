"""A hub whose data directory stops answering, wholly or in part, and strangers who would use that."""
import concurrent.futures
import os
import signal
import socket

import harness
import pytest
from our_zone import QUICK, Upload, gateway_call, started

GATEWAY_WORKERS, WORKERS, MAX_STUCK = 4, 16, 16  # of the hub, as in hub.h and crew.h


@pytest.fixture
def hung_zone(tmp_path, processes):
    """A hub whose data directory can stop answering."""
    return started(tmp_path, processes, QUICK)


def freeze(zone, name, count=1):
    """Stops the processes of that name, as if they waited for a disk: their ids."""
    pids = harness.until(lambda: (found := [pid for pid in harness.descendants(zone.server.pid)
                                            if harness.process_name(pid) == name]) and len(found) >= count and found,
                         f"{count} {name}")
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def thaw(pids):
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_a_stranger_starts_no_process(hung_zone):
    """URLs that nobody signed, in any number."""
    bad = f"{hung_zone.server.url}/bucket/sha1/aa/bb/cc/{'a' * 40}?expires=9999999999&signature={'0' * 64}"
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        for method in ("GET", "PUT"):
            answers = list(threads.map(lambda _, m=method: harness.http(m, bad, b"x" if m == "PUT" else None), range(64)))
            assert {status for status, _, _ in answers} == {403}
            assert all(b"SignatureDoesNotMatch" in body for _, _, body in answers)
    assert harness.http("OPTIONS", bad)[0] == 204
    assert harness.descendants(hung_zone.server.pid) == []


def test_downloads_go_on_when_uploads_hang(hung_zone):
    """As many uploads as there are processes wait for the disk. Others are served; when the disk answers again, the
    uploads go on."""
    digest = hung_zone.upload()
    url = hung_zone.client.find(digest)
    data = [os.urandom(1000) for _ in range(WORKERS)]
    uploads = [Upload(hung_zone.client.initiate(harness.sha1(d), len(d)), len(d)) for d in data]
    for upload, d in zip(uploads, data):
        upload.send(d[:500])
    pids = freeze(hung_zone, "bucket", WORKERS)
    hung_zone.server.wait_line("bucket process stuck", count=WORKERS)
    for _ in range(2 * WORKERS):
        status, _, body = harness.http("GET", url)
        assert status == 200 and harness.sha1(body) == digest
    thaw(pids)
    for upload, d in zip(uploads, data):
        upload.send(d[500:])
        assert upload.answer()[0] == 200
    hung_zone.server.wait_line("bucket process answers again", count=WORKERS)


def hang_calls(zone, count):
    """Calls of the gateway whose processes all hang: their sockets and process ids."""
    sockets, pids = [], []
    while len(pids) < count:
        sock = socket.create_connection(("127.0.0.1", zone.server.port), timeout=harness.DEADLINE_S)
        sock.sendall(b"POST /api/gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n123")
        sockets.append(sock)
        before = len(pids)
        pids += [pid for pid in freeze(zone, "gateway", before + 1) if pid not in pids]
        zone.server.wait_line("gateway process stuck", count=len(pids))
    return sockets, pids


def test_all_hangs(hung_zone):
    """There is an end to the processes that are started; whoever comes then is told so, at once; the proxy goes on."""
    sockets, pids = hang_calls(hung_zone, GATEWAY_WORKERS + MAX_STUCK)
    assert gateway_call(hung_zone) == 503
    assert len(harness.descendants(hung_zone.server.pid)) == len(pids)
    assert harness.http("GET", hung_zone.server.url + "/probe")[2] == b"running."
    thaw(pids)
    hung_zone.server.wait_line("gateway process answers again", count=len(pids))
    assert gateway_call(hung_zone) == 400
    for sock in sockets:
        sock.sendall(b"45")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
        sock.close()


def test_what_hangs_for_long_is_killed(tmp_path, processes):
    """Its clients know then, instead of waiting for ever."""
    zone = started(tmp_path, processes, QUICK.replace("600000", "1"))
    (sock,), (pid,) = hang_calls(zone, 1)
    assert sock.recv(1) == b""
    zone.server.wait_line("gateway process killed")
    harness.until(lambda: not harness.is_running(pid), "its end")
    assert gateway_call(zone) == 400


def test_a_hub_with_hung_processes_stops(hung_zone):
    _, pids = hang_calls(hung_zone, 2)
    hung_zone.server.signal(signal.SIGTERM)
    hung_zone.server.signal(signal.SIGTERM)
    assert hung_zone.server.wait() == 0
    harness.until(lambda: not any(map(harness.is_running, pids)), "the end of its processes")
