"""What a server's log says of its processes that end, hang or are stopped: the cause, in words."""
import concurrent.futures
import contextlib
import os
import pathlib
import resource
import signal
import socket

import harness
import hung_storage
import pytest
from our_zone import ALREADY, QUICK, Upload, gateway_call, initiate, put_zeros, started

OF_OTHERS = "killed by SIGKILL: out of memory, or a limit of this host?"
ENDS = {signal.SIGKILL: OF_OTHERS,
        signal.SIGSEGV: "killed by SIGSEGV: a fault of this program",
        signal.SIGXCPU: "killed by SIGXCPU: the limit of processor time of this host (ulimit -t)",
        signal.SIGSTKFLT: "killed by signal 16"}


def the_process(zone, name):
    pid, = harness.until(lambda: [pid for pid in harness.descendants(zone.server.pid)
                                  if harness.process_name(pid) == name], f"the {name} process")
    return pid


@contextlib.contextmanager
def busy(zone, name):
    """A process of that name that has one connection."""
    if name == "gateway":
        sock = socket.create_connection(("127.0.0.1", zone.server.port), timeout=harness.DEADLINE_S)
        sock.sendall(b"POST /api/gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n123")
    else:
        sock = Upload(zone.client.initiate("0" * 40, 1000), 1000).send(b"some").sock
    with sock:
        yield the_process(zone, name)


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["gateway", "bucket"])
def test_an_end(tmp_path, processes, name, number):
    zone = started(tmp_path, processes, "")
    with busy(zone, name) as pid:
        os.kill(pid, number)
        line = zone.server.wait_line(f"{name} process {ENDS[number]} connections=1")
        assert " warn " in line
        assert gateway_call(zone) == 400
        assert zone.upload()


def test_an_end_without_a_request(tmp_path, processes):
    zone = started(tmp_path, processes, "")
    assert gateway_call(zone) == 400
    os.kill(the_process(zone, "gateway"), signal.SIGKILL)
    zone.server.wait_line(f"gateway process {OF_OTHERS} connections=")
    assert gateway_call(zone) == 400


def test_the_usual_end_is_not_told(tmp_path, processes):
    zone = started(tmp_path, processes, "worker_idle_ms=50")
    assert gateway_call(zone) == 400
    harness.until(lambda: harness.descendants(zone.server.pid) == [], "the end of the idle process")
    zone.server.signal(signal.SIGTERM)
    assert zone.server.wait() == 0
    assert " process " not in zone.server.text()


@pytest.mark.parametrize("name", ["gateway", "bucket"])
def test_stopped_by_a_signal(tmp_path, processes, name):
    """Which is not what a data directory does that hangs, nor is our own SIGKILL afterwards a lack of memory."""
    zone = started(tmp_path, processes, QUICK.replace("600000", "300"))
    with busy(zone, name) as pid:
        os.kill(pid, signal.SIGSTOP)
        assert "stopped by SIGSTOP" in zone.server.wait_line(f"{name} process stuck")
        assert "killed: stopped by SIGSTOP" in zone.server.wait_line(f"{name} process killed")
        harness.until(lambda: not harness.is_running(pid), "its end")
    assert gateway_call(zone) == 400
    assert "memory" not in zone.server.text()


def test_in_a_dead_file_system(tmp_path, processes):
    """SIGKILL does not end it there; what is told is why it was sent."""
    zone = started(tmp_path, processes, QUICK.replace("600000", "100"))
    with concurrent.futures.ThreadPoolExecutor() as threads, hung_storage.hung(zone.data) as asked:
        call = threads.submit(zone.client.call, "findFile", hashAlg="sha1", hash="0" * 40)
        assert asked.wait(harness.DEADLINE_S)
        pid = the_process(zone, "gateway")
        assert "did not answer for " in zone.server.wait_line("gateway process stuck")
        assert "killed: did not answer for " in zone.server.wait_line("gateway process killed")
        assert harness.is_running(pid)
    with contextlib.suppress(OSError):
        call.result()
    harness.until(lambda: not harness.is_running(pid), "its end")
    assert gateway_call(zone) == 400
    assert "memory" not in zone.server.text()


LIMITS = {(1, 2): "killed by SIGXCPU: the limit of processor time of this host (ulimit -t)",
          (1, 1): "killed by SIGKILL: the limit of processor time of this host (ulimit -t)"}


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_a_limit_of_processor_time(tmp_path, processes, limit):
    """Of a login node: at its soft limit SIGXCPU comes, at the hard one SIGKILL."""
    zone = started(tmp_path, processes, "")
    size = 64 << 30
    digest, _ = put_zeros(zone, size, "0" * 40)
    assert initiate(zone, digest, size) == ALREADY
    resource.prlimit(the_process(zone, "check large"), resource.RLIMIT_CPU, limit)
    zone.server.wait_line(f"check large process {LIMITS[limit]}")


def test_a_stopped_checker(tmp_path, processes):
    zone = started(tmp_path, processes, "check_wait_ms=100,check_stuck_ms=500")
    size = 64 << 30
    digest, _ = put_zeros(zone, size, "0" * 40)
    assert initiate(zone, digest, size) == ALREADY
    pid = the_process(zone, "check large")
    os.kill(pid, signal.SIGSTOP)
    assert "stopped by SIGSTOP" in zone.server.wait_line("check large process stuck")
    harness.until(lambda: not harness.is_running(pid), "its end")
    assert "memory" not in zone.server.text()


@contextlib.contextmanager
def memory_group(limit_bytes):
    """A control group with so little memory that the kernel ends whoever needs more: the file of its members."""
    folder = pathlib.Path(f"/sys/fs/cgroup/memory/kachery-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit_bytes))
    except OSError as error:
        pytest.skip(f"no memory control group: {error}")
    try:
        yield folder / "cgroup.procs"
    finally:
        harness.until(lambda: not (folder / "cgroup.procs").read_text(), "the group empty")
        folder.rmdir()


def test_out_of_memory(tmp_path, processes):
    """The kernel ends a process that reads a body for which its group has no room."""
    zone = started(tmp_path, processes, "")
    sock = socket.create_connection(("127.0.0.1", zone.server.port), timeout=harness.DEADLINE_S)
    sock.sendall(b"POST /api/gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n123")
    with sock, memory_group(4096) as members:
        members.write_text(str(the_process(zone, "gateway")))
        with contextlib.suppress(OSError):
            sock.sendall(b"x" * 99_997)
        zone.server.wait_line(f"gateway process {OF_OTHERS} connections=1")
    assert gateway_call(zone) == 400
