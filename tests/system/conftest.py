"""Fixtures of the system tests: see harness.py."""
import contextlib
import itertools
import json
import pathlib
import socket
import sys

import pytest

for folder in ("doubles", "fixtures"):
    sys.path.insert(0, str(pathlib.Path(__file__).parent / folder))

import certificates  # noqa: E402
import desk as desk_of_a_host  # noqa: E402
import daemon_of_a_socket  # noqa: E402
import fault_board as boards  # noqa: E402
import harness  # noqa: E402
import http_proxies  # noqa: E402
import loading  # noqa: E402
import odd_tls  # noqa: E402
import our_zone as zones_of_ours  # noqa: E402
import proxy_double  # noqa: E402
import range_sharing  # noqa: E402
import rough_bucket  # noqa: E402
import tls_servers  # noqa: E402
import websocket_peer  # noqa: E402
import zone_double  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--large", action="store_true", help="test_large_files.py moves 6 GB, for minutes, with room for 20 GB")
    parser.addoption("--all-faults", action="store_true", help="test_faults.py and test_truth.py take every failure, for an hour or so")


# Files with a fixture that is made once for all their tests and takes long; the tests of other files are spread.
KEPT_TOGETHER = ("test_build", "test_survive_radosgw")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in KEPT_TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


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
def sharing(lab):
    """A lab whose daemon is connected, and a client that reads parts of its files over HTTP."""
    return range_sharing.Sharing(lab)


@pytest.fixture
def settled(tmp_path):
    """The same with a hub that does not wait for daemons that were never there, as one does in its first 45 s."""
    made = harness.Lab(tmp_path)
    made.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "range_start_ms=0"}
    with running(made):
        yield range_sharing.Sharing(made)


@pytest.fixture
def stranger(sharing):
    """The environment of a user of that lab with an empty store who knows of no resource."""
    return sharing.lab.environment(sharing.lab.remote_store)


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


@pytest.fixture
def bucket(zone):
    """A bucket that is not ours and does what a test says; it has a file that `zone` finds (loading.py)."""
    made = rough_bucket.RoughBucket()
    zone.bucket_url, zone.tickets = made.url, itertools.count(1)
    zone.objects[loading.HASH] = loading.DATA
    made.objects[loading.KEY] = loading.DATA
    yield made
    made.stop()
    assert made.failures == []


@pytest.fixture(params=[None, "out"], ids=["store", "file"])
def target(request, user, tmp_path):
    """Where `load` writes: once the local store, once a file."""
    return loading.Target(request.param, user, tmp_path)


@pytest.fixture
def our_zone(tmp_path, processes):
    """A zone gateway of ours with a registered client, open to uploads."""
    return zones_of_ours.Zone(tmp_path, processes)


@pytest.fixture
def our_proxy(tmp_path, processes):
    """A resource proxy of ours, which logs all."""
    secret = tmp_path / "secret"
    secret.write_text(harness.SECRET + "\n")
    return processes(harness.Server("proxy", "--secret-file", secret, "-v"))


@pytest.fixture
def bare_hub(tmp_path, processes):
    """A hub of ours without clients or daemons."""
    (tmp_path / "secret").write_text(harness.SECRET)
    return processes(harness.Server("hub", "--data", tmp_path / "zone", "--secret-file", tmp_path / "secret"))


@pytest.fixture
def daemon_and_listener(tmp_path, user, processes):
    """A daemon of ours whose proxy is the test; `greeted()` is its next connection, acknowledged."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = tmp_path / "kachery-resource.yaml"
    config.write_text(f"resourceName: {daemon_of_a_socket.NAME}\nproxySecret: s\nproxyUrl: ws://127.0.0.1:{listener.getsockname()[1]}\n")
    config.chmod(0o600)
    daemon = processes(harness.Process("share", "--config", config, env={
        **user, "KACHERY_RESOURCE_TEST_INTERVALS": "retry_min_ms=10,retry_max_ms=20,presence_first_ms=600000"}))

    def greeted():
        peer, _ = websocket_peer.accept(listener)
        assert json.loads(peer.receive()[1])["type"] == "initialize"
        peer.sock.sendall(daemon_of_a_socket.message({"type": "acknowledge"}))
        return peer
    with listener:
        yield daemon, greeted


@pytest.fixture(scope="module")
def two_gateways(tmp_path_factory):
    """Gateways over http and https that answer every request, for whatever stands in between: a folder, the root and both."""
    folder = tmp_path_factory.mktemp("proxies")
    top, bundle = tls_servers.lab_root(folder)
    pair = tls_servers.write_pair(folder, "server", [certificates.server(top, ["localhost", "127.0.0.1"], **tls_servers.now())])

    def handle(stream):
        while odd_tls.read_request(stream):
            stream.sendall(odd_tls.answer(http_proxies.ANSWER))
    made = {"folder": folder, "bundle": bundle, "http": odd_tls.Listener(handle), "https": odd_tls.TlsPeer(*pair, handle)}
    yield made
    made["http"].stop()
    made["https"].stop()


@pytest.fixture
def fault_board(tmp_path):
    """Tells a program of ci/faults.sh which allocation or system call fails next (fault_board.py)."""
    folder = tmp_path / "board"
    folder.mkdir()
    return boards.Board(folder)
