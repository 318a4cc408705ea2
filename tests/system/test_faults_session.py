"""As test_faults.py, for what talks: the commands of a client, the daemon and the hub. The daemon and the hub run on
while one call after the other fails in them: each costs at most the request that it hit."""
import os
import random
import re
import shutil
import subprocess
import time

import pytest

import harness
from fault_board import PROGRAM, Board
from harness import sha1
from fault_desk import DRAWN, Desk, drawn, tell

pytestmark = [pytest.mark.skipif(not PROGRAM.exists(), reason="ci/faults.sh was not run"), pytest.mark.timeout(14400)]

DATA = random.Random(1).randbytes(300_000)
REQUEST_S = 90
AGAIN = "retry_min_ms=20,retry_short_ms=100,retry_max_ms=200"  # a daemon that was lost is back soon


def objects(lab):
    """The zone's objects by name; every one is what its name says."""
    found = {}
    for folder, _, names in os.walk(lab.data / "sha1"):  # beside it is what the hub keeps for itself
        for name in names:
            if len(name) == 40:
                found[name] = os.path.join(folder, name)
                with open(found[name], "rb") as file:
                    assert sha1(file.read()) == name
    return found


# ---- commands ----


class ClientDesk(Desk):
    """A client of a zone which does not have the file, or has it."""

    def __init__(self, board, lab, is_in_zone):
        super().__init__(board, lab.folder / "desk", lab.environment(lab.folder / "desk" / "store"))
        self.folder.mkdir()
        self.lab, self.is_in_zone = lab, is_in_zone
        shutil.copytree(lab.remote_store, self.beginning)
        self.file = self.folder / "file"
        self.file.write_bytes(DATA)

    def begin(self):
        super().begin()
        (self.folder / "out").unlink(missing_ok=True)
        there = objects(self.lab).get(sha1(DATA))
        if there and not self.is_in_zone:
            os.unlink(there)
        if self.is_in_zone and not there:
            harness.run("store", str(self.file), env=self.lab.host, check=0)

    def check_one(self, command, reference):
        fired = super().check_one(command, reference)
        is_there = sha1(DATA) in objects(self.lab)
        assert is_there or command[0] in ("request", "register"), self.board.describe()
        out = self.folder / "out"
        assert not out.exists() or out.read_bytes() == DATA
        return fired


CLIENT_COMMANDS = {
    "store": (["store", "{}/file"], False),
    "store again": (["store", "{}/file"], True),
    "store --cache-locally": (["store", "--cache-locally", "{}/file"], False),
    "load": (["load", "--no-request", "sha1://" + sha1(DATA)], True),
    "load to a file": (["load", "--no-request", "sha1://" + sha1(DATA), "-o", "{}/out"], True),
    "cat": (["cat", "sha1://" + sha1(DATA), "--start", "7"], True),
    "info": (["info", "sha1://" + sha1(DATA)], True),
    "request": (["request", "sha1://" + sha1(DATA)], True),
}


def with_every_failure(desk, command, request, count=DRAWN):
    reference, faults = desk.reference(command)
    faults = drawn(request, faults, count)
    fired = 0
    for place, kind in faults:
        desk.board.arm(place, kind)
        fired += desk.check(command, reference)
    tell(desk.wrong)
    assert fired > 0.8 * len(faults)


def client(board, lab, name):
    command, is_in_zone = CLIENT_COMMANDS[name]
    desk = ClientDesk(board, lab, is_in_zone)
    return desk, [word.format(desk.folder) for word in command]


@pytest.mark.parametrize("name", CLIENT_COMMANDS)
def test_a_client_command_with_every_failure(fault_board, lab, request, name):
    with_every_failure(*client(fault_board, lab, name), request)


@pytest.mark.parametrize("name", ["store", "load to a file"])
def test_a_client_command_over_tls_with_every_failure(fault_board, tls_lab, request, name):
    with_every_failure(*client(fault_board, tls_lab, name), request, DRAWN // 2)


class NewUserDesk(Desk):
    """A user without keys; those that are made then are a pair, or the zone would refuse them."""

    def same(self, output, reference):
        return re.fullmatch(b"[0-9a-f]{64}\n", output) is not None


def test_a_new_users_registration_with_every_failure(fault_board, lab, request):
    desk = NewUserDesk(fault_board, lab.folder / "desk", lab.environment(lab.folder / "desk" / "store"))
    with_every_failure(desk, ["register", "--no-wait", "--label", "new"], request, DRAWN // 2)


# ---- the daemon and the hub ----

# Of the calls that were made in one time of serving, many are not made in another (how TLS records arrive, which
# connection is kept), and then do not fail: at least so many do.
SOME = 0.2


class Session:
    """A lab of which the daemon or the hub runs with the board."""

    def __init__(self, board, lab):
        self.board, self.lab, self.count, self.wrong, self.victim = board, lab, 0, [], None
        (lab.folder / "files").mkdir()

    def start_daemon(self):
        self.victim = self.lab.keep(harness.Process("share", "--config", str(self.lab.config),
                                                    program=self.board.program,
                                                    env={**self.lab.host, **self.board.env,
                                                         "KACHERY_RESOURCE_TEST_INTERVALS": AGAIN}))
        return self.victim

    def start_hub(self):
        self.victim = self.lab.keep(harness.Process("hub", "--listen", "127.0.0.1:%d" % self.lab.hub.port, "--data",
                                                    str(self.lab.data), "--open-registration", "--secret-file",
                                                    str(self.lab.secret_file), program=self.board.program,
                                                    env={**harness.clean_environment(HOME=self.lab.folder),
                                                         **self.board.env}))
        return self.victim

    def load(self, digest, out):
        return subprocess.run([harness.BINARY, "load", f"sha1://{digest}", "-o", str(out)], env=self.lab.remote,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=REQUEST_S)

    def one_request(self):
        """A file that is shared comes, now or, after an error that is told, when it is asked for again; one that
        nobody has is not found."""
        self.count += 1
        data = b"%d" % self.count + DATA
        path, out = self.lab.folder / "files" / "in", self.lab.folder / "files" / "out"
        path.write_bytes(data)
        out.unlink(missing_ok=True)
        self.lab.link(path)
        tries, end = [], time.monotonic() + 60
        while not tries or tries[-1].returncode != 0:
            tries.append(self.load(sha1(data), out))
            assert tries[-1].returncode == 0 or tries[-1].stderr.strip() and time.monotonic() < end, tries
            assert self.victim.process.poll() is None, "it ended"
            # The daemon may have to connect again.
            time.sleep(0 if tries[-1].returncode == 0 else 0.2)
        assert out.read_bytes() == data
        absent = self.load(sha1(data + b"!"), out)
        assert absent.returncode in (1, 3) and absent.stderr.strip(), absent
        return len(tries)

    def one_round_trip(self):
        """A file goes to the zone and comes back."""
        self.count += 1
        data = b"%d" % self.count + DATA
        path, out = self.lab.folder / "files" / "in", self.lab.folder / "files" / "out"
        path.write_bytes(data)
        harness.run("store", str(path), env=self.lab.host, check=0)
        assert self.load(sha1(data), out).returncode == 0 and out.read_bytes() == data

    def with_a_failure(self, place, kind):
        """True when the failure came."""
        self.board.arm(place, kind)
        try:
            self.one_request()
            assert self.victim.process.poll() is None, "it ended"
            assert not self.board.reports()
        except (AssertionError, subprocess.TimeoutExpired) as wrong:
            self.wrong.append(f"{self.board.describe()}\n{wrong}\n{self.board.reports()}\n" +
                              "\n".join(self.victim.text().split("\n")[-12:]))
            self.board.forget_reports()
        return self.board.fired() is not None

    def ends_well(self):
        self.board.note()
        self.victim.process.terminate()
        status = self.victim.wait()
        if status != 0 or self.board.reports():
            self.wrong.append(f"exit {status} at the end\n{self.board.reports()}")

    def run_on(self, request, start, count=DRAWN):
        """All failures that can happen while requests are served, in one life."""
        start()
        self.board.note()
        for _ in range(3):
            self.one_request()
        faults = drawn(request, self.board.faults(), count)
        fired = 0
        for place, kind in faults:
            fired += self.with_a_failure(place, kind)
            if self.victim.process.poll() is not None:
                start()
        self.ends_well()
        objects(self.lab)
        return fired / len(faults)


def daemon_runs_on(session, request, count=DRAWN):
    def start():
        session.start_daemon().wait_line("acknowledged")
    share = session.run_on(request, start, count)
    tell(session.wrong)
    assert share > SOME


def test_the_daemon_runs_on_with_every_failure(fault_board, lab, request):
    daemon_runs_on(Session(fault_board, lab), request)


def test_the_daemon_runs_on_over_tls_with_every_failure(fault_board, tls_lab, request):
    daemon_runs_on(Session(fault_board, tls_lab), request, DRAWN // 2)


def test_the_hub_runs_on_with_every_failure(fault_board, lab, request):
    session = Session(fault_board, lab)
    lab.hub.stop()
    session.board.note()

    def start():
        session.start_hub().wait_line("listening http://")
    lab_share = []

    def start_both():
        start()
        if not lab_share:
            lab_share.append(lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": AGAIN}))
    share = session.run_on(request, start_both)
    tell(session.wrong)
    assert share > SOME


def start_with_a_failure(session, start, ready, use, place, kind):
    """It starts and serves and ends well, or says why it does not."""
    session.board.arm(place, kind)
    victim = start()
    try:
        try:
            if "listening" in ready:  # a line of the daemon's log may be what is lost
                victim.wait_line(ready)
            use()
            victim.process.terminate()
            assert victim.wait() == 0, "exit %d" % victim.process.returncode
        except AssertionError:
            # wait() has read all that it said
            if victim.process.poll() is None or victim.wait() != 1 or len(victim.text()) < 10:
                raise
        assert not session.board.reports()
    except (AssertionError, subprocess.TimeoutExpired) as wrong:
        session.wrong.append(f"{session.board.describe()}\n{wrong}\n{session.board.reports()}\n{victim.text()}")
        session.board.forget_reports()
    victim.stop()
    if place.function == "unlink":  # what it left is in the way of the next for a minute
        for claim in session.lab.folder.glob("*.lease/after.*"):
            claim.unlink()
    return session.board.fired() is not None


def starts(session, request, start, ready, use):
    session.board.note()
    start().wait_line(ready)
    faults = session.board.faults()
    session.ends_well()
    draw = drawn(request, faults)
    if not request.config.getoption("--all-faults"):
        draw = draw[:DRAWN // 4]
    fired = [start_with_a_failure(session, start, ready, use, place, kind) for place, kind in draw]
    return sum(fired) / len(draw)


def test_the_daemon_starts_with_every_failure(fault_board, lab, request):
    session = Session(fault_board, lab)
    assert starts(session, request, session.start_daemon, "acknowledged", session.one_request) > 0.8
    tell(session.wrong)


def test_the_hub_starts_with_every_failure(fault_board, lab, request):
    session = Session(fault_board, lab)
    lab.hub.stop()
    assert starts(session, request, session.start_hub, "listening http://", session.one_round_trip) > 0.8
    tell(session.wrong)
