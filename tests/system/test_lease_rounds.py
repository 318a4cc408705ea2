"""Fifty rounds of contention for a lease, with all intervals a fiftieth of the product's, on mounts that cache as NFS does.
tests/bench/lease_rounds.py goes through a thousand, and some in the product's times."""
import os

import harness
import lease_rounds
import nfs_double
import pytest

pytestmark = pytest.mark.skipif(nfs_double.why_not() is not None, reason=str(nfs_double.why_not()))
SEED = int(os.environ.get("KACHERY_LEASE_SEED", str(int.from_bytes(os.urandom(4), "big"))))
ROUNDS = 50


@pytest.mark.parametrize("event", lease_rounds.EVENTS)
def test_two_never_answer_and_one_soon_does(event, user, tmp_path):
    """Several resources at once, each with two nodes."""
    if harness.is_sanitized():
        pytest.skip("the times are those of the release")
    print("seed", SEED)
    arenas = -(-ROUNDS // len(lease_rounds.EVENTS))
    wrong, figures = lease_rounds.run(tmp_path / "arenas", user, [event], arenas, 1, 50, SEED, is_strict=SEED % 2 == 1)
    assert wrong == [] and len(figures) == arenas
