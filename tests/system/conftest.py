"""Fixtures of the system tests: see harness.py."""
import contextlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import desk as desk_of_a_host  # noqa: E402
import harness  # noqa: E402
import proxy_double  # noqa: E402
import tls_servers  # noqa: E402
import zone_double  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--large", action="store_true", help="test_large_files.py moves 6 GB, for minutes, with room for 20 GB")
    parser.addoption("--all-faults", action="store_true", help="test_faults.py and test_truth.py take every failure, for an hour or so")


@pytest.fixture
def store(tmp_path):
    """An empty local store and the environment of its user."""
    folder = tmp_path / "store"
    return folder, harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=folder)


@pytest.fixture
def processes():
    """`keep(Process(...))`: stopped at the end of the test."""
    kept = []

    def keep(process):
        kept.append(process)
        return process
    yield keep
    for process in reversed(kept):
        process.stop()


@contextlib.contextmanager
def running(made):
    try:
        made.start_hub()
        made.register()
        made.write_config()
        yield made
    finally:
        made.stop()


@pytest.fixture
def lab(tmp_path):
    """A hub with registered clients, no daemon yet."""
    with running(harness.Lab(tmp_path)) as made:
        yield made


@pytest.fixture
def tls_lab(tmp_path):
    """The same behind nginx with TLS."""
    with running(tls_servers.TlsLab(tmp_path)) as made:
        yield made


@pytest.fixture
def zone():
    """A zone and a resource that are not ours; the test fails when it was sent anything wrong."""
    double = zone_double.ZoneDouble()
    yield double
    double.stop()
    assert double.problems == []


@pytest.fixture
def user(zone, store):
    """The environment of a user with keys, registered with that zone."""
    _, env = store
    env["KACHERY_GATEWAY_URL"] = zone.url
    zone.opens_registration = True
    harness.run("register", "--label", "test", env=env, check=0)
    zone.payloads.clear()
    return env


@pytest.fixture
def proxy(request):
    """A proxy that is not ours, of the generation that the test's parameter says (else the second); the test fails when
    it was sent anything wrong."""
    double = proxy_double.ProxyDouble(generation=getattr(request, "param", 2))
    yield double
    double.end()
    assert double.problems == []


@pytest.fixture
def desk(tmp_path, user, zone, proxy, processes):
    """A host whose daemon is between `proxy` and `zone`; not started yet."""
    made = desk_of_a_host.Desk(tmp_path, user, proxy, zone, processes)
    yield made
    zone.holds_puts = False
