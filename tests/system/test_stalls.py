"""The daemon is stopped, signalled, sent off by servers that are busy, and its clocks jump: after each no byte is wrong,
nobody who waits is lost, and it is in service again by itself. What storage does is in test_stalls_storage.py."""
import datetime
import json
import os
import signal
import threading
import time

import half_open
import harness
import pytest
from fault_board import PROGRAM
from harness import Process, descendants, is_running, run, sha1, until
from range_sharing import LEAF, Sharing, noise
from rough_bucket import RoughBucket, s3_error
from zone_double import ABSENT, DATA, object_key

# Signals that mean nothing to us. Those below the first real-time one that musl leaves to programs are its own.
FOREIGN = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR,
           signal.SIGWINCH, signal.SIGURG, signal.SIGCONT, signal.SIGRTMIN + 1, signal.SIGRTMAX]
IMPATIENT_HUB = "ping_ms=100,dead_ms=400,rejoin_ms=1500,relay_ping_ms=100,line_instead_ms=300,ask_again_ms=100,range_start_ms=0"
QUICK = "ping_ms=100,dead_ms=400,retry_min_ms=20,retry_short_ms=100,stable_ms=100"


def send_all(pids, number):
    for pid in pids:
        os.kill(pid, number)


# ---- signals ----

def test_signals_that_mean_nothing_end_no_process_of_a_daemon(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share()
    answer = desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    pids = [daemon.pid, *descendants(daemon.pid)]
    assert len(pids) == 4
    for number in FOREIGN:
        send_all(pids, number)
    desk.zone.holds_puts = False
    assert answer.status()["status"] == "completed" and desk.zone.objects == {sha1(DATA): DATA}
    assert all(is_running(pid) for pid in pids)


def test_signals_that_mean_nothing_end_no_daemon_that_watches_a_lease(desk):
    """Another node's, which is dead: it is taken over when it has not changed for long enough."""
    desk.lease.mkdir()
    (desk.lease / "owner").write_text(json.dumps({
        "resource": desk.proxy.name, "host": "login-7", "pid": 77, "pidStarted": 5, "boot": "b", "pidNamespace": "n",
        "timeNamespace": "t", "token": "0123456789abcdef" * 2, "sinceMs": 1, "counter": 9, "renewedMs": 1,
        "renewedBootMs": 1}).ljust(1023) + "\n")
    daemon = desk.share(wait=False, intervals="lease_look_ms=50,lease_stale_ms=600")
    daemon.wait_line("looking whether it renews it")
    for number in FOREIGN:
        daemon.signal(number)
    daemon.wait_line("acknowledged")


def test_signals_that_mean_nothing_end_no_process_of_a_hub(our_zone):
    digest = our_zone.upload()
    pids = [our_zone.server.pid, *descendants(our_zone.server.pid)]
    assert len(pids) >= 2
    for number in FOREIGN:
        send_all(pids, number)
    assert harness.http("GET", our_zone.client.find(digest))[0] == 200
    assert all(is_running(pid) for pid in pids)


def test_a_storm_of_hangups(desk):
    log = desk.folder / "log"
    daemon = desk.share("--log", str(log), wait=False)
    until(lambda: log.exists() and "acknowledged" in log.read_text(), "the log")
    pids = [daemon.pid, *descendants(daemon.pid)]
    for i in range(3000):
        daemon.signal(signal.SIGHUP)
        if i % 300 == 0:
            assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    log.rename(desk.folder / "log.old")
    daemon.signal(signal.SIGHUP)
    until(log.exists, "a new log")
    assert all(is_running(pid) for pid in pids) and len(desk.proxy.greetings) == 1
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0 and daemon.text() == ""
    assert log.read_text().splitlines()[-1].endswith("stopped")


# ---- all processes stand still, as on a machine that sleeps or a job that is suspended ----

@pytest.fixture
def impatient_lab(lab):
    """A lab whose hub gives a daemon up that is silent for half a second, with a daemon that looks as often."""
    lab.hub.stop()
    lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": IMPATIENT_HUB}
    lab.start_hub(f"127.0.0.1:{lab.hub.port}")
    daemon = lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": QUICK})
    return lab, daemon


def stand_still(lab, daemon):
    """All its processes are stopped until the hub has given the daemon up; then they go on."""
    pids = [daemon.pid, *descendants(daemon.pid)]
    send_all(pids, signal.SIGSTOP)
    try:
        yield
        lab.hub.wait_line("daemon disconnected")
    finally:
        send_all(pids, signal.SIGCONT)
    daemon.wait_line("acknowledged", 2)
    yield


def test_who_asks_while_all_stands_still_gets_the_file(impatient_lab):
    """Even after the proxy has given up to wait for the daemon: it was connected when it was asked for the file."""
    lab, daemon = impatient_lab
    path = lab.folder / "file"
    path.write_bytes(DATA)
    uri, = lab.link(path)
    still = stand_still(lab, daemon)
    next(still)
    waiting = lab.keep(Process("request", "-v", "--wait", uri, env=harness.patient(lab.remote)))
    waiting.wait_line("is not connected to its proxy; again in")
    next(still)
    assert waiting.wait() == 0, waiting.text()
    run("load", uri, "-o", str(lab.folder / "out"), env=harness.patient(lab.remote), check=0)
    assert (lab.folder / "out").read_bytes() == DATA


def test_who_reads_a_part_while_all_stands_still_gets_its_bytes(impatient_lab):
    lab, daemon = impatient_lab
    sharing = Sharing.__new__(Sharing)
    sharing.lab, data, parts = lab, noise(3 * LEAF), []
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    still = stand_still(lab, daemon)
    next(still)
    reader = threading.Thread(target=lambda: parts.append(sharing.part(path, 2 * LEAF, 2 * LEAF + 9)))
    reader.start()
    next(still)
    reader.join(harness.DEADLINE_S)
    assert parts == [data[2 * LEAF:2 * LEAF + 9]]


def test_an_upload_goes_on_after_all_stood_still(desk):
    """The waiter of the line that is gone has asked again over the next one, as a hub does for it."""
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals=QUICK)
    desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    pids = [daemon.pid, *descendants(daemon.pid)]
    send_all(pids, signal.SIGSTOP)
    desk.proxy.stop()
    desk.zone.holds_puts = False
    desk.proxy.start()
    send_all(pids, signal.SIGCONT)
    desk.proxy.wait_connected(2)
    assert desk.proxy.status(uri)["status"] == "completed"
    assert desk.zone.objects == {sha1(DATA): DATA}


# ---- clocks ----

HOUR, DAY = 3600, 24 * 3600
# (of the wall clock, of the one that goes on in a machine's sleep), in seconds
JUMPS = {"forward": [(HOUR, 0)], "back": [(-HOUR, 0)], "to and fro": [(8 * HOUR, 0), (-8 * HOUR, 0), (0, 0)],
         "a week of sleep": [(0, 7 * DAY)]}


class JumpingDaemon:
    """A daemon whose clocks jump, and a user who gets files from it."""

    def __init__(self, lab, board):
        self.lab, self.board, self.files = lab, board, 0
        board.jump()
        self.daemon = lab.keep(Process("share", "--config", str(lab.config), env={**lab.host, **board.env}, program=board.program))
        self.daemon.wait_line("acknowledged")

    def request(self, check):
        data = DATA[self.files:]
        self.files += 1
        path = self.lab.folder / f"file{self.files}"
        path.write_bytes(data)
        uri, = self.lab.link(path)
        return run("request", "--wait", uri, env=harness.patient(self.lab.remote), check=check), uri, data

    def is_well(self, uploads, wall_s):
        _, uri, data = self.request(0)
        run("load", uri, "-o", str(self.lab.folder / "out"), env=harness.patient(self.lab.remote), check=0)
        logged = datetime.datetime.fromisoformat(self.daemon.wait_line(" uploaded ", uploads).split()[0])
        assert abs(logged.timestamp() - time.time() - wall_s) < 100
        return (self.lab.folder / "out").read_bytes() == data and is_running(self.daemon.pid) and self.board.reports() == ""


@pytest.fixture
def jumping(lab, fault_board):
    """A daemon whose clocks jump as a test says, in a lab whose clock is right."""
    if not PROGRAM.exists():
        pytest.skip("ci/faults.sh was not run")
    return JumpingDaemon(lab, fault_board)


@pytest.mark.parametrize("name", JUMPS)
def test_clocks_that_jump(jumping, name):
    """The daemon finds out how far it is off, and signs with the zone's time."""
    assert jumping.is_well(1, 0)
    for uploads, (wall_s, boot_s) in enumerate(JUMPS[name], 2):
        jumping.board.jump(wall_s, boot_s)
        assert jumping.is_well(uploads, wall_s)


def test_a_clock_that_jumps_too_far(jumping):
    """It is named, and once it is right again nothing is left of it."""
    jumping.board.jump(-26 * 365 * DAY)
    assert b"clock" in jumping.request(1)[0].stderr
    jumping.board.jump(0)
    assert jumping.is_well(1, 0)


# ---- servers that are busy ----

@pytest.fixture
def busy_bucket(desk):
    """A bucket that is not ours, for the uploads of the desk's daemon."""
    made = RoughBucket()
    desk.zone.bucket_url = made.url
    yield made
    made.stop()
    assert made.failures == []


PATIENT = "pause_min_ms=10,pause_max_ms=50,retry_after_ms=200"


async def close_at_99(line):
    await line.go_on()
    await line.take(line.request.length * 99 // 100)
    await line.close()


async def reset_at_99(line):
    await line.go_on()
    await line.take(line.request.length * 99 // 100)
    line.reset()


async def refuse_at_99(line):
    await line.go_on()
    await line.take(line.request.length * 99 // 100)
    await line.say(500, s3_error("InternalError"))
    await line.close()


async def too_many(line):
    await line.say(429, s3_error("TooManyRequests"), Retry_After="1")


async def slow_down(line):
    await line.go_on()
    await line.take()
    await line.say(503, s3_error("SlowDown"), Retry_After="1")


@pytest.mark.parametrize("act", [close_at_99, reset_at_99, refuse_at_99, too_many, slow_down], ids=lambda act: act.__name__)
def test_a_bucket_that_breaks_late_or_is_busy(desk, busy_bucket, act):
    """Whoever waits gets the file, not the failure."""
    _, uri = desk.link("file", DATA)
    busy_bucket.acts = [act, act]
    desk.share(KACHERY_RESOURCE_TEST_PATIENCE=PATIENT)
    assert desk.proxy.status(uri)["status"] == "completed"
    assert busy_bucket.objects == {object_key(sha1(DATA)): DATA} and len(busy_bucket.puts) == 3


@pytest.mark.parametrize("call", ["initiateFileUpload", "finalizeFileUpload"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_gateway_that_is_busy(desk, call, status):
    _, uri = desk.link("file", DATA)
    desk.zone.answers[call] = [(status, "too many", {"Retry-After": "1"})] * 2
    desk.share(KACHERY_RESOURCE_TEST_PATIENCE=PATIENT)
    assert desk.proxy.status(uri)["status"] == "completed"
    assert desk.zone.objects == {sha1(DATA): DATA}


@pytest.mark.parametrize("status", [429, 503])
def test_a_proxy_that_is_busy_says_when_to_ask_again(zone, user, status):
    """The client that asks it waits for so long; another answer would be the next refusal."""
    zone.proxy_answer = (status, {"message": "too many"}, {"Retry-After": "30"})
    zone.states = [{"status": "not-found"}]
    env = {**user, "KACHERY_RESOURCE_URL": f"{zone.url}/r/x", "KACHERY_RESOURCE_TEST_PATIENCE":
           "pause_min_ms=10,pause_max_ms=20,retry_after_ms=300,waiting_ms=1000"}
    run("request", "--wait", f"sha1://{ABSENT}", env=env, check=1)
    assert 2 <= len(zone.proxied) <= 5


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_proxy_is_dialled_when_it_asked_to_be(desk, status):
    """Within reason: it may be back long before. The operator reads why the next attempt is so late."""
    desk.proxy.handshake_answer = (status, {"Retry-After": "3000"})
    daemon = desk.share(wait=False, intervals=QUICK + ",retry_after_max_ms=700,status_ms=10")
    assert f" {status} " in daemon.wait_line(" s, as it asks for 3000 s (Retry-After)")
    seen = until(lambda: (found := json.loads(run("status", "--json", "--config", str(desk.config), env=desk.env).stdout))
                 .get("proxy", {}).get("retryAfterMs") and found, "a status")
    assert seen["proxy"]["retryAfterMs"] == 3000_000 and seen["proxy"]["nextTryMs"] > seen["writtenMs"]
    until(lambda: len(desk.proxy.handshakes) > 1, "another attempt")
    assert 0.7 <= desk.proxy.handshakes[1] - desk.proxy.handshakes[0]
    desk.proxy.handshake_answer = None
    desk.proxy.wait_connected()


# ---- lines that are half open ----

@pytest.fixture
def half_open_lab(lab):
    """A lab whose daemon reaches its hub through a box that forgets connections; and that box."""
    lab.hub.stop()
    lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "takeover_ms=200,ask_again_ms=100,range_start_ms=0"}
    lab.start_hub(f"127.0.0.1:{lab.hub.port}")
    box = half_open.Forwarder(lab.hub.port)
    lab.write_config(proxy_url=f"http://127.0.0.1:{box.port}")
    yield lab, box
    box.stop()


def test_who_asks_over_a_line_that_is_half_open_gets_the_file(half_open_lab):
    """The daemon notices it and dials again; the hub, which has not noticed, asks the old line whether it is alive."""
    lab, box = half_open_lab
    path = lab.folder / "file"
    path.write_bytes(DATA)
    uri, = lab.link(path)
    daemon = lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": QUICK})
    box.forget_all()
    waiting = lab.keep(Process("request", "--wait", uri, env=harness.patient(lab.remote)))
    assert waiting.wait() == 0, waiting.text()
    daemon.wait_line("acknowledged", 2)
    run("load", uri, "-o", str(lab.folder / "out"), env=harness.patient(lab.remote), check=0)
    assert (lab.folder / "out").read_bytes() == DATA


def test_who_reads_a_part_over_lines_that_are_half_open_gets_its_bytes(half_open_lab):
    lab, box = half_open_lab
    lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": QUICK})
    sharing = Sharing.__new__(Sharing)
    sharing.lab, data = lab, noise(3 * LEAF)
    path = sharing.put("big", data)
    assert sharing.part(path, 0, 8) == data[:8]
    box.forget_all()
    assert sharing.part(path, 2 * LEAF, 2 * LEAF + 9) == data[2 * LEAF:2 * LEAF + 9]


# ---- two daemons from two folders ----

def test_the_second_daemon_of_a_name_takes_over(lab, tmp_path):
    """Both have the same name and their own folders, so that no lease keeps them apart."""
    path = lab.folder / "file"
    path.write_bytes(DATA)
    uri, = lab.link(path)
    first = lab.share()
    other = tmp_path / "other"
    other.mkdir()
    config = other / lab.config.name
    config.write_text(lab.config.read_text())
    config.chmod(0o600)
    second = lab.keep(Process("share", "--config", str(config), env={
        **lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": "retry_min_ms=50,retry_short_ms=100,retry_max_ms=100"}))
    second.wait_line("is already connected")
    assert is_running(first.pid) and "trying again" not in first.text()
    first.signal(signal.SIGKILL)
    second.wait_line("acknowledged")
    run("load", uri, "-o", str(lab.folder / "out"), env=harness.patient(lab.remote), check=0)
    assert (lab.folder / "out").read_bytes() == DATA
