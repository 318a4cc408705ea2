"""Programs that are not ours open a file that only the host has, by its URL below /f/ or /d/ (EXTENSIONS.md §3), and get the
right values; the host says how many bytes left it. Then once more, with a fault in mid-reading that is drawn for each: the
daemon killed, the line cut, the hub restarted, the file changed. The outcome is the right bytes or the client's own error.
`./build.sh bench clients` takes all faults for all clients."""
import os
import random

import pytest
import range_clients
from range_clients import CLIENTS, Host, Reading

SEED = int(os.environ.get("KACHERY_RANGE_SEED", random.randrange(10**6)))


@pytest.fixture
def range_host(lab):
    """A host that shares what a client makes, over a line that can be held."""
    made = Host(lab)
    yield made
    made.stop()


def draw_fault(name):
    return random.Random(f"{SEED} {name}").choice(CLIENTS[name].faults)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", CLIENTS)
def test_client(range_host, tmp_path, name):
    client = CLIENTS[name]
    range_clients.require(client.missing())
    path = client.make(tmp_path, 1)
    reading = Reading(range_host, client, path, range_host.share(path), tmp_path / "out")
    outcome = reading.outcome(120)
    assert outcome.verdict == range_clients.RIGHT, outcome.detail
    left = range_host.left()
    assert left <= reading.most_bytes(), f"{left} bytes left the host, {reading.most_bytes()} were enough"

    fault = draw_fault(name)
    drawn = f"KACHERY_RANGE_SEED={SEED}: {name} and {fault}"
    path = client.make(tmp_path, 2)
    again = Reading(range_host, client, path, range_host.share(path), tmp_path / "out2", hold_after=reading.pipe.down // 2)
    outcome, = range_clients.run_fault(range_host, fault, [again])
    print(drawn, outcome.verdict, outcome.detail)
    assert outcome.verdict != range_clients.WRONG, f"{drawn}: {outcome.detail}"
    assert again.pipe.is_held.is_set(), f"{drawn}: it was over before the fault"
