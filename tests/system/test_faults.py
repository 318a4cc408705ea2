"""Every allocation and every system call of the store, upload and session code fails once: no crash, no leak, no
wrong byte, a clear error or success, and success when it is tried again. `./build.sh test` draws some of the failures;
`./build.sh test --all-faults -k test_faults` takes all."""
import os

import pytest

import harness
from fault_board import PROGRAM, Board
from harness import sha1
from fault_desk import Desk, drawn, tell

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="ci/faults.sh was not run")


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
def test_a_store_command_with_every_failure(fault_board, tmp_path, request, name):
    desk, command = store_desk(fault_board, tmp_path, name)
    reference, faults = desk.reference(command)
    fired = 0
    for place, kind in drawn(request, faults):
        fault_board.arm(place, kind)
        fired += desk.check(command, reference)
    tell(desk.wrong)
    assert fired > 0.9 * len(drawn(request, faults))


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", ["link", "store-local", "verify"])
def test_a_store_command_with_the_nth_call_failing(fault_board, tmp_path, request, name):
    desk, command = store_desk(fault_board, tmp_path, name)
    reference, _ = desk.reference(command)
    every = 1 if request.config.getoption("--all-faults") else 19
    for kind in range(2):
        nth = 1
        while fault_board.arm_call(nth, kind) or desk.check(command, reference):
            nth += every
        assert nth > 100
    tell(desk.wrong)
