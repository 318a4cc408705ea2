"""Storage that hangs, fails in the middle of a file, fills up and goes away, and comes back (doubles/nfs_double.py): no
wrong byte, nobody who waits is lost, and the daemon is in service again by itself."""
import contextlib
import errno
import json
import pathlib

import harness
import nfs_double
import pytest
from desk import Desk
from harness import descendants, process_name, run, sha1, until
from range_sharing import LEAF, Sharing, noise
from zone_double import ABSENT, DATA, written

QUICK = "lookup_slow_ms=50,lookup_lost_ms=300,lease_refresh_ms=50,lease_hold_ms=600,retry_min_ms=20,retry_short_ms=100"
FIRST = 400_000  # bytes of a file that can be read


@pytest.fixture
def nfs(tmp_path):
    """A file server with two clients, which hang and fail as a test says."""
    folder = tmp_path / "nfs"
    folder.mkdir()
    with nfs_double.mounted(folder) as made:
        yield made


@pytest.fixture
def home_desk(nfs, zone, proxy, processes):
    """A desk whose home is there: store, keys, config, lease and status file."""
    home = nfs.clients[0]
    env = harness.clean_environment(HOME=home, KACHERY_CLOUD_DIR=home / "store", KACHERY_GATEWAY_URL=zone.url)
    zone.opens_registration = True
    run("register", "--label", "test", env=env, check=0)
    yield Desk(home, env, proxy, zone, processes)
    nfs.clear(0)


def linked(desk, folder, name="file", data=DATA):
    """The URI of a file in that folder."""
    return desk.link_again(written(folder, name, data))


def is_tidy(daemon):
    """No process is left in what hung, and none is dead and left."""
    names = [process_name(pid) for pid in descendants(daemon.pid)]
    return names.count("kachery-lookup") <= 1 and names.count("kachery-keeper") == 1 and zombies(daemon) == 0


def zombies(daemon):
    children = pathlib.Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    return len(children) - len([pid for pid in children if harness.is_running(pid)])


# ---- a file ----

@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EACCES], ids=errno.errorcode.get)
def test_a_file_that_fails_in_the_middle(nfs, desk, number):
    """Of the reads before, none is published; whoever asks is told, without a path; later it is there."""
    uri = linked(desk, nfs.clients[0])
    desk.share()
    nfs.fail(0, number, "read", beyond=FIRST)
    status = desk.proxy.status(uri)
    assert status["status"] == "error" and str(desk.folder) not in status["error"]
    assert desk.zone.objects == {}
    nfs.clear(0)
    assert desk.proxy.status(uri)["status"] == "completed" and desk.zone.objects == {sha1(DATA): DATA}


def test_a_file_that_hangs_in_the_middle(nfs, desk):
    uri = linked(desk, nfs.clients[0])
    desk.share()
    nfs.hang(0, "read", beyond=FIRST)
    waiting = desk.proxy.ask(uri)
    nfs.wait_held(0, "read")
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    assert desk.proxy.status(uri, 0)["status"] == "running"
    nfs.clear(0)
    assert waiting.status()["status"] == "completed" and desk.zone.objects == {sha1(DATA): DATA}


def test_a_file_that_cannot_be_looked_at(nfs, desk):
    """Four such look-ups hang at once; the daemon is then as it was."""
    uris = [linked(desk, nfs.clients[0], f"file{i}", DATA[i:]) for i in range(5)]
    daemon = desk.share(intervals=QUICK)
    nfs.hang(0, "lookup,getattr,open", path="file")
    for answer in [desk.proxy.ask(uri) for uri in uris]:
        assert "storage does not answer" in answer.status()["error"]
    nfs.clear(0)
    until(lambda: is_tidy(daemon), "only the processes that stay")
    for uri in uris:
        assert desk.proxy.status(uri)["status"] == "completed"


def test_a_part_of_a_file_that_fails(nfs, lab):
    """A reader over HTTP gets the bytes before, and the others when they can be read."""
    lab.hub.stop()
    lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "doubt_ms=100,absent_ms=100,ask_again_ms=100,range_start_ms=0"}
    lab.start_hub(f"127.0.0.1:{lab.hub.port}")
    sharing, data = Sharing(lab), noise(6 * LEAF)
    lab.link(written(nfs.clients[0], "big", data))
    url = f"/f/{sha1(data)}"
    nfs.fail(0, errno.EIO, "read", beyond=3 * LEAF)
    assert sharing.part(url, 7, 99) == data[7:99]
    connection = sharing.connect()
    connection.request("GET", url)
    answer = connection.getresponse()
    assert answer.read(2 * LEAF) == data[:2 * LEAF]
    nfs.wait_failed(0, "read")
    lab.hub.wait_line("it cannot be read")
    nfs.clear(0)
    assert answer.read() == data[2 * LEAF:]


@pytest.mark.parametrize("trouble", ["unmounted", errno.EIO, errno.ESTALE, errno.EACCES],
                         ids=lambda trouble: errno.errorcode.get(trouble, trouble))
def test_a_file_that_its_host_cannot_read_is_no_404(nfs, lab, trouble):
    """Absent is concluded only from a look that succeeded."""
    lab.hub.stop()
    lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "doubt_ms=100,absent_ms=100,ask_again_ms=1000,range_start_ms=0"}
    lab.start_hub(f"127.0.0.1:{lab.hub.port}")
    sharing, data = Sharing(lab), noise(2 * LEAF)
    lab.link(written(nfs.clients[0], "big", data))
    if trouble == "unmounted":
        nfs.unmount(0)
    else:
        nfs.fail(0, trouble, "lookup,getattr,open", path="big")
    status, headers, body = harness.http("GET", f"{lab.hub.url}/f/{sha1(data)}")
    assert (status, headers["Retry-After"]) == (503, "10") and "cannot read it now" in body.decode()
    url = run("url", f"sha1://{sha1(data)}", env=lab.remote, check=0)
    assert f"{lab.hub.url}: the file's host cannot read it now" in url.stderr.decode()
    if trouble == "unmounted":
        nfs.mount(0)
    else:
        nfs.clear(0)
    until(lambda: harness.http("GET", f"{lab.hub.url}/f/{sha1(data)}")[0] == 200, "the file")
    assert sharing.part(f"/f/{sha1(data)}", 7, 99) == data[7:99]


def test_a_command_that_reads_a_file_that_fails(nfs, store):
    _, env = store
    path = written(nfs.clients[0], "file", DATA)
    nfs.fail(0, errno.EIO, "read", beyond=FIRST)
    for verb in ("link", "store-local"):
        done = run(verb, str(path), env=env, check=1)
        assert str(path) in done.stderr.decode() and "I/O error" in done.stderr.decode()
    nfs.clear(0)
    assert run("link", str(path), env=env, check=0).stdout.decode().startswith(f"sha1://{sha1(DATA)}\t")


# ---- the home ----

def hang(nfs):
    nfs.hang(0)


def unmount(nfs):
    nfs.unmount(0)


def fail_with(number):
    def fail(nfs):
        nfs.fail(0, number)
    return fail


AWAY = {"hangs": hang, "is unmounted": unmount, "is stale": fail_with(errno.ESTALE), "is forbidden": fail_with(errno.EACCES),
        "fails": fail_with(errno.EIO)}


@pytest.mark.parametrize("how", AWAY)
def test_a_home_that_goes_away_and_comes_back(nfs, home_desk, how):
    """The daemon hangs up when it cannot renew its lease, and until then tells nobody that a file is not there."""
    _, uri = home_desk.link("file", DATA)
    daemon = home_desk.share(intervals=QUICK)
    AWAY[how](nfs)
    asked = None
    with contextlib.suppress(AttributeError, ConnectionError):  # it has hung up already
        asked = home_desk.proxy.ask(uri)
    until(lambda: home_desk.proxy.socket is None, "the daemon to hang up")
    if asked and asked.is_there():
        assert asked.status()["status"] == "error"
    nfs.mount(0) if how == "is unmounted" else nfs.clear(0)
    home_desk.proxy.wait_connected(2)
    assert home_desk.proxy.status(uri)["status"] == "completed" and home_desk.zone.objects == {sha1(DATA): DATA}
    until(lambda: is_tidy(daemon), "only the processes that stay")
    until(lambda: home_desk.lease.exists() and home_desk.status_file.exists(), "lease and status file")


def test_a_home_that_is_full(nfs, home_desk):
    """The lease is written over, which takes no room: the daemon serves on, without status file and log."""
    _, uri = home_desk.link("file", DATA)
    daemon = home_desk.share("--log", str(home_desk.folder / "log"), wait=False, intervals=QUICK)
    home_desk.proxy.wait_connected()
    counter = lambda: json.loads((nfs.server / "kachery-resource.lease" / "owner").read_text())["counter"]  # noqa: E731
    until(lambda: counter() > 2, "a renewal")
    for operations, path in (("create,mkdir,symlink,link", ""), ("write", "log"), ("write", "status")):
        nfs.fail(0, errno.ENOSPC, operations, path)
    before = counter()
    assert home_desk.proxy.status(uri)["status"] == "completed" and home_desk.zone.objects == {sha1(DATA): DATA}
    until(lambda: counter() > before + 20, "more renewals than a lease lasts without")
    assert len(home_desk.proxy.greetings) == 1 and harness.is_running(daemon.pid)


# ---- the store ----

@pytest.mark.parametrize("below", ["", "home"], ids=["is itself a mount", "is on a mount"])
def test_a_store_that_is_unmounted_is_no_empty_store(nfs, desk, below):
    """That a file is not there is said only when looking succeeded."""
    store = nfs.clients[0] / below
    env = {**desk.env, "KACHERY_CLOUD_DIR": str(store)}
    run("register", "--label", "test", env=env, check=0)
    desk.env = env
    _, uri = desk.link("file", DATA)
    daemon = desk.share()
    nfs.unmount(0)
    assert desk.proxy.status(uri)["status"] == "error"
    assert desk.proxy.status(f"sha1://{ABSENT}")["status"] == "error"
    nfs.mount(0)
    assert desk.proxy.status(uri)["status"] == "completed" and desk.zone.objects == {sha1(DATA): DATA}
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    assert harness.is_running(daemon.pid)


# ---- the log ----

@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE], ids=errno.errorcode.get)
def test_a_log_whose_disk_is_full(nfs, desk, number):
    log, kept = nfs.clients[0] / "log", nfs.server / "log"
    _, uri = desk.link("file", DATA)
    daemon = desk.share("--log", str(log), wait=False)
    desk.proxy.wait_connected()
    until(lambda: "acknowledged" in kept.read_text(), "the log")
    nfs.fail(0, number, "write,create,setattr,fsync,flush", path="log")
    assert desk.proxy.status(uri)["status"] == "completed" and desk.zone.objects == {sha1(DATA): DATA}
    nfs.wait_failed(0, "write")
    before = kept.read_text()
    nfs.clear(0)
    desk.proxy.stop()
    until(lambda: "trying again" in kept.read_text()[len(before):], "the log goes on")
    desk.proxy.start()
    desk.proxy.wait_connected(2)
    assert harness.is_running(daemon.pid) and daemon.text() == ""
