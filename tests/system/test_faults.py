"""Every allocation and every system call of the store, upload and session code fails once: no crash, no leak, no
wrong byte, a clear error or success, and success when it is tried again. `./build.sh test` draws some of the failures;
`./build.sh test --all-faults -k test_faults` takes all."""
import contextlib
import json
import os
import random
import shutil
import subprocess

import pytest

import harness
from fault_board import PROGRAM, Board
from harness import sha1

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="ci/faults.sh was not run")

DRAWN = 80
CLEAN_UPS = ("unlink", "unlinkat", "remove", "rmdir")
EXITS = {0, 1, 3, 4}


@pytest.fixture
def board(tmp_path):
    folder = tmp_path / "board"
    folder.mkdir()
    return Board(folder)


def drawn(request, faults, count=DRAWN):
    """All, or a sample that is the same whenever the program is."""
    if request.config.getoption("--all-faults") or len(faults) <= count:
        return faults
    return random.Random(0).sample(faults, count)


def tell(wrong):
    assert not wrong, f"{len(wrong)} failures are not survived:\n" + "\n----\n".join(wrong[:12])


def run(board, command, env):
    return subprocess.run([*board.program, *command], env={**env, **board.env}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=2 * harness.DEADLINE_S)


def left_overs(folder):
    return [name for _, _, names in os.walk(folder) for name in names if ".tmp." in name]


def check_store(store):
    """Every copy and every link in it is what its name says."""
    for folder, _, names in os.walk(store / "sha1"):
        for name in names:
            if ".tmp." not in name and not name.endswith(".part"):
                with open(os.path.join(folder, name), "rb") as file:
                    assert sha1(file.read()) == name
    for folder, _, names in os.walk(store / "linked_files" / "sha1"):
        for name in names:
            if ".tmp." not in name and not name.endswith(".paths"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    record = json.load(file)
                with open(record["path"], "rb") as file:
                    assert record["sha1"] == name == sha1(file.read())


class Desk:
    """A place where a command runs again and again from the same beginning."""

    def __init__(self, board, folder, env):
        self.board, self.env, self.folder = board, env, folder
        self.store, self.beginning = folder / "store", folder / "beginning"
        self.wrong = []

    def begin(self):
        shutil.rmtree(self.store, ignore_errors=True)
        if self.beginning.exists():
            shutil.copytree(self.beginning, self.store)

    def reference(self, command):
        """What the command says when nothing fails, and every failure that it can have."""
        self.begin()
        self.board.note()
        done = run(self.board, command, self.env)
        assert done.returncode == 0 and not self.board.reports(), (done, self.board.reports())
        return done.stdout, self.board.faults()

    def same(self, output, reference):
        """The output is as good: for a path, any that leads to the same bytes."""
        if output == reference or not reference.startswith(b"/"):
            return output == reference
        with open(output.rstrip(b"\n"), "rb") as ours, open(reference.rstrip(b"\n"), "rb") as theirs:
            return ours.read() == theirs.read()

    def check(self, command, reference):
        """True when the armed failure came. What is wrong then is collected: see the end of a test."""
        try:
            return self.check_one(command, reference)
        except (AssertionError, subprocess.TimeoutExpired) as wrong:
            self.wrong.append(str(wrong))
            self.board.forget_reports()
            return self.board.fired() is not None

    def check_one(self, command, reference):
        """The command's word is true, and without the failure it works."""
        self.begin()
        done = run(self.board, command, self.env)
        why = f"{self.board.describe()}\n{done}\n{self.board.reports()}"
        assert not self.board.reports() and done.returncode in EXITS, why
        if done.returncode == 0:
            # ls has no word for what it cannot look at, and says that beside its list.
            assert self.same(done.stdout, reference) or command == ["ls"] and b"cannot" in done.stderr, why
        else:
            assert len(done.stderr.strip()) > 10 and b"(null)" not in done.stderr, why
        check_store(self.store)
        fired = self.board.fired()
        failed = next((p.function for p in self.board.places(passed=False) if fired and p.hash == fired[0]), "")
        # Who could not read what a worker had made cannot remove it.
        if failed not in CLEAN_UPS and b"sent what is no message" not in done.stderr:
            assert left_overs(self.folder) == [], why
        self.board.note()
        again = run(self.board, command, self.env)
        assert again.returncode == 0 and self.same(again.stdout, reference), (why, again)
        check_store(self.store)
        return fired is not None


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (1.6e9, 1.6e9))
    return str(path)


STORE_COMMANDS = {
    "link": ["link", "-r", "{}/tree"],
    "store-local": ["store-local", "-r", "{}/tree"],
    "link again": ["link", "-r", "{}/tree"],
    "store-local again": ["store-local", "-r", "{}/tree"],
    "verify": ["verify"],
    "ls": ["ls"],
    "load": ["load", "--no-request", "sha1://{hash}"],
    "load to a file": ["load", "--no-request", "sha1://{hash}", "-o", "{}/out"],
    "cat": ["cat", "sha1://{hash}"],
}


def store_desk(board, tmp_path, name):
    """Small files and one that the hash cache is for; what is not about a new store begins with a filled one."""
    put(tmp_path / "tree" / "a", b"a")
    put(tmp_path / "tree" / "sub" / "empty", b"")
    large = b"large" * 250_000
    put(tmp_path / "tree" / "sub" / "large", large)
    desk = Desk(board, tmp_path, harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store"))
    if name not in ("link", "store-local"):
        for verb in ("link", "store-local"):
            harness.run(verb, "-r", str(tmp_path / "tree"), env=desk.env, check=0)
        desk.store.rename(desk.beginning)
    return desk, [word.format(tmp_path, hash=sha1(large)) for word in STORE_COMMANDS[name]]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", STORE_COMMANDS)
def test_a_store_command_with_every_failure(board, tmp_path, request, name):
    desk, command = store_desk(board, tmp_path, name)
    reference, faults = desk.reference(command)
    fired = 0
    for place, kind in drawn(request, faults):
        board.arm(place, kind)
        fired += desk.check(command, reference)
    tell(desk.wrong)
    assert fired > 0.9 * len(drawn(request, faults))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["link", "store-local", "verify"])
def test_a_store_command_with_the_nth_call_failing(board, tmp_path, request, name):
    desk, command = store_desk(board, tmp_path, name)
    reference, _ = desk.reference(command)
    every = 1 if request.config.getoption("--all-faults") else 19
    for kind in range(2):
        nth = 1
        while board.arm_call(nth, kind) or desk.check(command, reference):
            nth += every
        assert nth > 100
    tell(desk.wrong)
