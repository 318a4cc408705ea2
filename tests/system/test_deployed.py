"""Our daemon, proxy and remote client beside deployed ones of either generation, in every combination."""
import harness
import pytest
import websocket_peer
from deployed.doubles import Daemon, Proxy, needs_node, post_of_client, request_file
from harness import Process, Server, run, sha1
from zone_double import ABSENT, DATA, written

NAME = "lab.res"
OURS = "ours"
FAST = "retry_min_ms=20,retry_max_ms=100,presence_first_ms=20,presence_ms=50"


class World:
    """A zone that is not ours, and what is started for one test."""

    def __init__(self, folder, zone, env, keep):
        self.folder, self.zone, self.env, self.keep = folder, zone, env, keep
        self.programs, self.proxy, self.daemon = [], None, None
        self.path = written(folder, "file", DATA)
        self.uri = f"sha1://{sha1(DATA)}"

    def start_proxy(self, kind, *more, port=0):
        if kind == OURS:
            secret = self.folder / "secret"
            secret.write_text(harness.SECRET)
            self.proxy = self.keep(Server("proxy", "--secret-file", secret, "-v"))
        else:
            self.proxy = self.keep(Proxy(kind, *more, port=port))
            self.programs.append(self.proxy)
        return self.proxy

    def start_daemon(self, kind, wait=True, intervals=FAST, name=NAME, path=None, **more):
        if kind == OURS:
            run("link", self.path, env=self.env, check=0)
            config = self.folder / "kachery-resource.yaml"
            config.write_text(f"resourceName: {name}\nproxyUrl: {self.proxy.url.replace('http', 'ws')}\n"
                              f"proxySecret: {harness.SECRET}\n")
            config.chmod(0o600)
            daemon = Process("share", "--config", config, "-v",
                             env={**self.env, "KACHERY_RESOURCE_TEST_INTERVALS": intervals})
            self.daemon = self.keep(daemon)
            if wait:
                daemon.wait_line("acknowledged by")
        else:
            self.daemon = self.keep(Daemon(kind, self.proxy.url, self.zone.url, {sha1(DATA): path or self.path}, name,
                                           wait=wait, **more))
            self.programs.append(self.daemon)
        return self.daemon

    def load(self, check=0, env=None, resource=None):
        """What our client gets from the resource of that URL or, bare, of that name in the zone."""
        resource = resource or f"{self.proxy.url}/r/{NAME}"
        remote = {**self.env, "KACHERY_CLOUD_DIR": str(self.folder / "remote"), **(env or {})}
        run("register", "--label", "remote", env=remote, check=0)
        return run("load", self.uri, "-o", self.folder / "out", "--resource", resource, env=remote, check=check)

    def ask(self, kind):
        """A client of that kind asks for the file: it is completed, and nothing else was uploaded."""
        if kind == OURS:
            self.load()
            assert (self.folder / "out").read_bytes() == DATA
        else:
            assert request_file(kind, self.proxy.url, NAME, self.uri)["status"] == "completed"
            assert request_file(kind, self.proxy.url, NAME, f"sha1://{ABSENT}") == {"status": "not-found"}
        assert self.zone.objects == {sha1(DATA): DATA}


@pytest.fixture
def mixed(tmp_path, zone, user, processes):
    """A zone that is not ours, with a proxy, a daemon and a client each of which is ours or a deployed one; it fails if
    a deployed one was sent anything wrong."""
    made = World(tmp_path, zone, user, processes)
    yield made
    for program in made.programs:
        assert program.problems() == []


KINDS = (OURS, 1, 2)


def can_talk(daemon, proxy, client):
    """Who is deployed talks to its own generation only; ours to everybody."""
    return proxy == OURS or (daemon in (OURS, proxy) and client in (OURS, proxy))


@needs_node
@pytest.mark.parametrize("daemon, proxy, client", [
    (d, p, c) for d in KINDS for p in KINDS for c in KINDS if OURS in (d, p, c) and can_talk(d, p, c)])
def test_every_combination(mixed, daemon, proxy, client):
    mixed.start_proxy(proxy)
    mixed.start_daemon(daemon, ignoresCancel=proxy == 1)
    mixed.ask(client)


@needs_node
@pytest.mark.parametrize("generation", [1, 2])
def test_combinations_that_cannot_be(mixed, generation):
    """A deployed daemon at a deployed proxy of the other generation: our client says that it is not connected."""
    mixed.start_proxy(generation)
    mixed.start_daemon(3 - generation, wait=False)
    mixed.daemon.wait_line("closed 1005", count=3)
    done = mixed.load(check=1)
    assert b'resource "lab.res" is not connected to its proxy' in done.stderr
    mixed.programs = []  # neither is content


@needs_node
@pytest.mark.parametrize("proxy", [OURS, 1, 2])
def test_our_client_finds_the_resource_by_its_name(mixed, proxy):
    mixed.start_proxy(proxy)
    mixed.start_daemon(OURS)
    mixed.zone.resources[NAME] = mixed.proxy.url.replace("http:", "ws:")
    mixed.load(resource=NAME)
    assert (mixed.folder / "out").read_bytes() == DATA


@needs_node
def test_the_newest_proxy_answers_bare(mixed):
    mixed.start_proxy(2, "bare")
    mixed.start_daemon(OURS)
    mixed.ask(OURS)
    status, body = post_of_client(2, mixed.proxy.url, NAME, "sha1://x", 1000)
    assert (status, body) == (200, {})


@needs_node
def test_an_error_of_a_bare_proxy(mixed):
    """`{}` is all that it says."""
    mixed.start_proxy(2, "bare")
    mixed.start_daemon(2, failsToAnswer=True)
    done = run("request", mixed.uri, "--resource", f"{mixed.proxy.url}/r/{NAME}", env=mixed.env, check=1)
    assert b"without saying why" in done.stderr


# ---- what is sent, field by field ----

@needs_node
@pytest.mark.parametrize("daemon", [1, 2])
@pytest.mark.parametrize("client", [1, 2])
def test_what_our_proxy_sends_to_a_daemon(mixed, client, daemon):
    """Just the fields of its generation (it checks them), and times that let it answer before the client gives up."""
    mixed.start_proxy(OURS)
    mixed.start_daemon(daemon)
    for count, (timeout_ms, most_ms) in enumerate(((5000.0, 5000), (60000, 60000)), 1):
        request_file(client, mixed.proxy.url, NAME, f"sha1://{ABSENT}", timeout_ms)
        asked = mixed.daemon.asked(count)
        sent_t = asked["request"].get("timeoutMsec", asked["timeoutMsec"])
        assert asked["resourceName"] == NAME and asked["request"]["uri"] == f"sha1://{ABSENT}"
        if client == 1 and daemon == 2:
            assert asked["zone"] == "default" and sent_t == (4000 if timeout_ms == 5000 else 10000)
            assert asked["timeoutMsec"] <= timeout_ms
        else:
            assert most_ms - 1000 <= sent_t <= most_ms
    cancels = [line for line in mixed.daemon.lines["out"] if "cancel" in line]
    assert cancels == []


@needs_node
def test_a_slow_upload_is_told_before_a_client_of_the_first_generation_gives_up(mixed):
    mixed.start_proxy(OURS)
    mixed.start_daemon(2, uploadAfterMsec=3000)
    assert request_file(1, mixed.proxy.url, NAME, mixed.uri, 1000)["status"] == "running"
    assert request_file(1, mixed.proxy.url, NAME, mixed.uri, 20000)["status"] == "completed"


@needs_node
def test_zones(mixed):
    """A client and a daemon that both tell their zone must be in the same; one of generation 1 tells none."""
    mixed.start_proxy(OURS)
    mixed.start_daemon(2, zone="aind")
    assert post_of_client(2, mixed.proxy.url, NAME, mixed.uri, 1000, zone="other") == \
        (500, {"message": "Zone mismatch: other <> aind"})
    assert request_file(1, mixed.proxy.url, NAME, f"sha1://{ABSENT}") == {"status": "not-found"}
    assert mixed.daemon.asked(1)["zone"] == "aind"
    mixed.start_daemon(1, name="older")
    for zone in ("aind", "other"):
        assert request_file(2, mixed.proxy.url, "older", f"sha1://{ABSENT}", zone=zone) == {"status": "not-found"}


# ---- faults of the deployed proxy ----

@needs_node
@pytest.mark.parametrize("generation", [1, 2])
def test_our_daemon_comes_back_when_it_was_unregistered(mixed, generation):
    """Somebody else dials the name and is refused: the deployed proxy then forgets who had it."""
    mixed.start_proxy(generation)
    ours = mixed.start_daemon(OURS)
    other = mixed.keep(Daemon(generation, mixed.proxy.url, mixed.zone.url, {}, NAME, wait=False, retryMsec=1 << 30))
    other.wait_line("closed 1005")
    ours.wait_line("has forgotten resource")
    ours.wait_line("acknowledged by", count=2)
    mixed.ask(OURS)
    assert "problem" not in mixed.proxy.text()


@needs_node
@pytest.mark.parametrize("generation", [1, 2])
def test_what_our_daemon_sends_does_not_kill_the_proxy(mixed, generation, tmp_path):
    """File names and reasons that are not UTF-8; answers to a flood; pings."""
    mixed.start_proxy(generation)
    mixed.start_daemon(OURS, intervals="ping_ms=10")
    odd = bytes(tmp_path) + b"/odd-\xff\xfe\xed\xa0\x80"
    with open(odd, "wb") as out:
        out.write(b"x" * 10)
    run("link", odd, env=mixed.env, check=0)
    with open(odd, "wb") as out:
        out.write(b"y" * 11)  # changed: the reason may name it
    got = request_file(generation, mixed.proxy.url, NAME, f"sha1://{sha1(b'x' * 10)}")
    assert got["status"] == "error"
    for i in range(200):
        assert request_file(generation, mixed.proxy.url, NAME, f"sha1://{i:040x}") == {"status": "not-found"}
    mixed.ask(generation)


@needs_node
def test_our_daemon_outlives_the_proxy(mixed):
    """Killed by somebody's bad text, started again as another generation."""
    first = mixed.start_proxy(2)
    daemon = mixed.start_daemon(OURS)
    peer = websocket_peer.connect(first.port)
    peer.sock.sendall(peer.frame(websocket_peer.TEXT, b"\xff"))
    assert first.wait() == 1
    mixed.programs.remove(first)
    daemon.wait_line("trying again")
    mixed.start_proxy(1, port=first.port)
    daemon.wait_line("generation=1")
    mixed.ask(1)


# ---- our proxy and deployed daemons ----

@needs_node
@pytest.mark.parametrize("generation", [1, 2])
def test_a_second_deployed_daemon_does_not_disturb_the_first(mixed, generation):
    mixed.start_proxy(OURS)
    mixed.start_daemon(generation)
    other = mixed.keep(Daemon(3 - generation, mixed.proxy.url, mixed.zone.url, {}, NAME, wait=False, retryMsec=1 << 30))
    other.wait_line("closed 4009")
    mixed.ask(2)


@needs_node
@pytest.mark.parametrize("generation", [1, 2])
def test_a_deployed_daemon_with_a_wrong_secret(mixed, generation):
    mixed.start_proxy(OURS)
    other = mixed.keep(Daemon(generation, mixed.proxy.url, mixed.zone.url, {}, NAME, wait=False, proxySecret="wrong"))
    other.wait_line("closed 4001 wrong secret", count=2)
    status, body = post_of_client(generation, mixed.proxy.url, NAME, mixed.uri, 1000)
    assert (status, body) == (404, {"message": f"resource not found: {NAME}"})


@needs_node
def test_pings_of_a_deployed_daemon_are_taken(mixed):
    mixed.start_proxy(OURS)
    mixed.start_daemon(2, pingMsec=5)
    for i in range(20):
        assert request_file(2, mixed.proxy.url, NAME, f"sha1://{i:040x}") == {"status": "not-found"}
    assert "closed" not in mixed.daemon.text()


@needs_node
def test_deployed_daemons_find_our_proxy_again(mixed):
    mixed.start_proxy(OURS)
    mixed.start_daemon(1)
    port = mixed.proxy.port
    mixed.proxy.stop()
    mixed.daemon.wait_line("closed")
    mixed.proxy = mixed.keep(Server("proxy", "--secret-file", mixed.folder / "secret", listen=f"127.0.0.1:{port}"))
    mixed.daemon.wait_line("acknowledged", count=2)
    mixed.ask(1)
