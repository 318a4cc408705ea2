"""Ten thousand waiting requests and two thousand connected resources on one hub."""
import os

import crowd
import harness
import pytest
import soak
from harness import resident_mib

WAITING, RESOURCES = 10000, 2000


def test_crowd(tmp_path, processes):
    if crowd.raise_descriptors() < WAITING + RESOURCES + 200:
        pytest.skip("too few descriptors for this process")
    (tmp_path / "secret").write_text(harness.SECRET)
    hub = processes(harness.Server("hub", "--data", tmp_path / "zone", "--secret-file", tmp_path / "secret"))
    peers = crowd.daemons(hub.port, RESOURCES)
    sockets = crowd.waiting(hub.port, "res-7", WAITING)
    body = crowd.asking("res-7")
    harness.until(lambda: harness.http("POST", hub.url + "/r/res-7", body)[0] == 503, "all wait")
    assert resident_mib(hub.pid) < 40 or harness.is_sanitized()
    # Everybody else is served meanwhile, and then they are.
    other = crowd.waiting(hub.port, "res-8", 1)
    crowd.serve(peers["res-8"], 1)
    crowd.read_answers(other)
    assert harness.http("GET", hub.url + "/probe")[2] == b"running."
    crowd.serve(peers["res-7"], WAITING)
    crowd.read_answers(sockets)
    again = crowd.waiting(hub.port, "res-7", 10)
    crowd.serve(peers["res-7"], 10)
    crowd.read_answers(again)
    for sock in [*sockets, *other, *again, *(peer.sock for peer in peers.values())]:
        sock.close()
    harness.until(lambda: soak.descriptors(hub.pid) < 20, "all connections closed")


def test_spoilt_requests(tmp_path, processes):
    """A tenth is malformed, cut or reset: the others get their answers, and nothing is left over. (The soak in
    tests/bench does the same for longer.)"""
    (tmp_path / "secret").write_text(harness.SECRET)
    hub = processes(harness.Server("proxy", "--secret-file", tmp_path / "secret"))
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    used = soak.descriptors(hub.pid)
    soak.run(hub, 1000, seed, share=0.1)
    harness.until(lambda: soak.descriptors(hub.pid) == used, "all connections closed")
    before = soak.resident_kib(hub.pid)
    assert soak.run(hub, 4000, seed + 1, share=0.1) > 200
    harness.until(lambda: soak.descriptors(hub.pid) == used, "all connections closed")
    assert soak.resident_kib(hub.pid) < before + 1024 or harness.is_sanitized()
