"""Names: servers that are silent, fail or lie about IPv6, /etc/hosts, addresses where nobody is, and a daemon that goes on
while no name can be found. Each test has a network of its own (isolation.py)."""
import base64
import json
import threading
import time

import harness
import isolation
import odd_tls
import pytest
from harness import clean_environment, memory_holds, run
from isolation import NameServer, add_silent_network, isolated, write_etc
from odd_tls import answer, read_request
from zone_double import folder_of

pytestmark = pytest.mark.skipif(isolation.why_not() is not None, reason=str(isolation.why_not()))

ANSWER = b'{"type":"findFile","found":false}'
HOME = ["127.0.0.1"]


def gateway(host="127.0.0.1"):
    def handle(stream):
        while read_request(stream):
            stream.sendall(answer(ANSWER))
    return odd_tls.Listener(handle, host)


def ask(folder, url, patience="asking_ms=0,lost_ms=0,call_ms=20000"):
    """(exit status, words, seconds) of `info` at that gateway."""
    env = clean_environment(HOME=folder, KACHERY_GATEWAY_URL=url)
    env["KACHERY_RESOURCE_TEST_PATIENCE"] = patience
    start = time.monotonic()
    done = run("info", "sha1://" + "0" * 40, env=env)
    return done.returncode, done.stderr.decode(), time.monotonic() - start


def use_name_server(folder, rule, *others):
    write_etc(folder, "resolv.conf", "".join(f"nameserver {address}\n" for address in (*others, "127.0.0.1")))
    write_etc(folder, "hosts", "")
    return NameServer(rule)


FOUND = 3
NO_ANSWER = "cannot find the address of host.test: the name servers do not answer, or fail"
NO_NAME = "cannot find the address of host.test: no such name"
RULES = {
    # what the name server says to A, to AAAA; exit status and words
    "both": (HOME, [], FOUND, ""), "a name that nobody has": ("no such name", "no such name", 1, NO_NAME),
    "a name without addresses": ([], [], 1, NO_NAME if harness.is_release() else "host.test: No address"),
    "IPv6 says no such name": (HOME, "no such name", FOUND, ""), "IPv6 fails": (HOME, "failure", FOUND, ""), "IPv6 is refused": (HOME, "refused", FOUND, ""),
    "IPv6 is not answered": (HOME, "silence", FOUND, ""), "IPv6 leads nowhere": (HOME, ["2001:db8::1"], FOUND, ""),
}


@pytest.mark.parametrize("case", RULES)
@isolated
def test_what_name_servers_say(tmp_path, case):
    a, aaaa, status, words = RULES[case]
    use_name_server(tmp_path, lambda name, kind: a if kind == "A" else aaaa)
    peer = gateway()
    found, said, seconds = ask(tmp_path, f"http://host.test:{peer.port}")
    assert found == status and words in said, said
    assert seconds < 4


@isolated
def test_name_servers_that_are_silent_fail_or_are_not_there(tmp_path):
    """All at once: each takes musl's five seconds. A call's own deadline ends it sooner."""
    rules = {"silent": "silence", "failing": "failure", "refusing": "refused"}
    use_name_server(tmp_path, lambda name, kind: rules[name.split(".")[0]])
    results = {}

    def one(name, patience):
        results[name, patience] = ask(tmp_path, f"http://{name}.test:1", patience)
    cases = [(name, "asking_ms=0,lost_ms=0") for name in rules] + [("silent", "asking_ms=0,lost_ms=0,call_ms=1000")]
    threads = [threading.Thread(target=one, args=case) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (name, patience), (status, said, seconds) in results.items():
        assert status == 1 and f"cannot find the address of {name}.test: the name servers do not answer, or fail" in said, said
        assert seconds < (4 if "call_ms" in patience else 15)


@isolated
def test_a_dead_name_server_beside_a_good_one(tmp_path):
    add_silent_network()
    use_name_server(tmp_path, lambda name, kind: HOME if kind == "A" else [], "10.99.0.53", "127.0.0.9")
    status, said, seconds = ask(tmp_path, f"http://host.test:{gateway().port}")
    # glibc asks one after the other.
    assert status == FOUND and (seconds < 4 or not harness.is_release()), said


@isolated
def test_a_name_that_nobody_has_is_not_waited_for(tmp_path):
    server = use_name_server(tmp_path, lambda name, kind: "no such name")
    for variable in ("KACHERY_GATEWAY_URL", "KACHERY_RESOURCE_URL"):
        server.asked.clear()
        env = clean_environment(HOME=tmp_path, KACHERY_GATEWAY_URL=f"http://127.0.0.1:{gateway().port}")
        env = {**env, variable: "http://host.test/r/name", "KACHERY_RESOURCE_TEST_PATIENCE": ""}
        said = run("load", "sha1://" + "0" * 40, env=env, check=1).stderr.decode()
        assert NO_NAME in said and "again in" not in said and "attempts" not in said
        assert set(server.asked) == {("host.test", "A"), ("host.test", "AAAA")} and len(server.asked) <= 3


@isolated
def test_hosts_file_and_literals_need_no_name_server(tmp_path):
    add_silent_network()
    write_etc(tmp_path, "resolv.conf", "nameserver 10.99.0.53\n")
    write_etc(tmp_path, "hosts", "# names\n127.0.0.1\tlab-hub lab-hub.example  # ours\n::1 six.example\n127.0.0.1 localhost\n")
    four, six = gateway(), gateway("::1")
    for host, port in (("lab-hub", four.port), ("lab-hub.example", four.port), ("LAB-Hub.Example", four.port),
                       ("six.example", six.port), ("127.0.0.1", four.port), ("[::1]", six.port), ("[0:0:0:0:0:0:0:1]", six.port),
                       ("[::ffff:127.0.0.1]", four.port)):
        status, said, seconds = ask(tmp_path, f"http://{host}:{port}")
        assert status == FOUND and seconds < 4, (host, said)
    assert ask(tmp_path, f"http://lab-hub.example.:{four.port}")[0] == FOUND


@isolated
def test_addresses_are_raced(tmp_path):
    """An address where nobody is costs a quarter of a second, not the patience of TCP."""
    add_silent_network()
    peer = gateway()
    for addresses in (["10.99.0.2", "127.0.0.1"], ["10.99.0.2", "10.99.0.3", "10.99.0.4", "127.0.0.1"], ["127.0.0.9", "10.99.0.2", "127.0.0.1"]):
        write_etc(tmp_path, "hosts", "".join(f"{address} raced.test\n" for address in addresses))
        status, said, seconds = ask(tmp_path, f"http://raced.test:{peer.port}")
        assert status == FOUND and seconds < 5, said
    write_etc(tmp_path, "hosts", "10.99.0.2 raced.test\n10.99.0.3 raced.test\n")
    status, said, seconds = ask(tmp_path, "http://raced.test:1", "asking_ms=0,lost_ms=0,call_ms=1500")
    assert status == 1 and "cannot connect to raced.test:1: no answer within 2 s" in said, said
    write_etc(tmp_path, "hosts", "10.99.0.2 raced.test\n127.0.0.1 raced.test\n")
    status, said, seconds = ask(tmp_path, "http://raced.test:1", "asking_ms=0,lost_ms=0,call_ms=1500")
    assert status == 1 and "cannot connect to raced.test:1: Connection refused" in said, "a refusal tells more than silence"


@isolated
def test_a_host_without_any_network(tmp_path):
    write_etc(tmp_path, "resolv.conf", "nameserver 192.0.2.53\n")
    write_etc(tmp_path, "hosts", "")
    status, said, seconds = ask(tmp_path, "http://192.0.2.1:1")
    assert status == 1 and "cannot connect to 192.0.2.1:1: Network " in said and "unreachable" in said and seconds < 4
    status, said, _ = ask(tmp_path, "http://host.test:1")
    assert status == 1 and NO_ANSWER in said


# ---- the daemon ----

SHORT = "ping_ms=500,dead_ms=2000,retry_min_ms=50,retry_max_ms=300,connect_ms=2000,registration_ms=500,presence_first_ms=300,presence_ms=500"


def uri_of(number):
    return "sha1://" + f"{number:040x}"


def asked(lab, uri):
    """(status, seconds): one request at the hub's resource, by its address."""
    body = {"type": "requestFromClient", "resourceName": lab.name, "zone": "default", "timeoutMsec": 8000,
            "request": {"type": "fileUpload", "uri": uri, "timeoutMsec": 3000}}
    start = time.monotonic()
    status, _, text = harness.http("POST", f"{lab.hub.url}/r/{lab.name}", body)
    assert status == 200, text
    return json.loads(text)["response"]["status"]["status"], time.monotonic() - start


@isolated
def test_whoever_looks_for_a_name_has_no_secret(tmp_path):
    """Neither the proxy's in the daemon's child, nor the user's key in the child of a command."""
    if harness.is_sanitized():
        return  # AddressSanitizer keeps what was freed
    use_name_server(tmp_path, lambda name, kind: "silence")
    lab = harness.Lab(tmp_path)
    try:
        lab.start_hub()
        lab.register()
        lab.write_config(proxy_url="http://hub.test:1")
        secret = harness.SECRET.encode()
        daemon = lab.keep(harness.Process("share", "--config", lab.config, env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": SHORT}))
        child, = harness.until(lambda: resolvers(daemon), "the child that looks for the name")[:1]
        assert memory_holds(daemon.pid, secret) and not memory_holds(child, secret)
        seed = base64.b64decode((folder_of(lab.host) / "private.pem").read_text().splitlines()[1])[-32:]
        info = lab.keep(harness.Process("info", "sha1://" + "0" * 40, env={**lab.host, "KACHERY_GATEWAY_URL": "http://hub.test:1"}))
        child, = harness.until(lambda: resolvers(info), "the child that looks for the name")[:1]
        assert memory_holds(info.pid, seed) and not memory_holds(child, seed)
    finally:
        lab.stop()


def resolvers(process):
    return [pid for pid in harness.descendants(process.pid) if harness.process_name(pid) == "resolver"]


@isolated
def test_a_daemon_while_no_name_can_be_found(tmp_path):
    """It answers, uploads wait for their names, and after the line was lost it is back soon after the names are."""
    is_silent = threading.Event()
    use_name_server(tmp_path, lambda name, kind: "silence" if is_silent.is_set() else HOME if kind == "A" else [])
    lab = harness.Lab(tmp_path)
    try:
        port = harness.free_port()
        lab.start_hub(f"127.0.0.1:{port}", "--public-url", f"http://hub.test:{port}")
        lab.register()
        lab.write_config(proxy_url=f"http://hub.test:{port}")
        (tmp_path / "data").write_bytes(b"some data" * 10000)
        uri = lab.link(tmp_path / "data")[0]
        daemon = lab.share(env={**lab.host, "KACHERY_GATEWAY_URL": f"http://hub.test:{port}", "KACHERY_RESOURCE_TEST_INTERVALS": SHORT})
        is_silent.set()
        waiting = threading.Thread(target=asked, args=(lab, uri), daemon=True)
        waiting.start()
        for number in range(200):
            status, seconds = asked(lab, uri_of(number))
            assert status == "not-found" and seconds < 2, (number, status, seconds)
        waiting.join(20)
        lab.hub.stop()
        daemon.wait_line("cannot find the address of hub.test")
        lab.start_hub(f"127.0.0.1:{port}", "--public-url", f"http://hub.test:{port}")
        daemon.wait_line("cannot find the address of hub.test")
        count = daemon.text().count("acknowledged")
        is_silent.clear()
        daemon.wait_line("acknowledged", count + 1)
        assert asked(lab, uri_of(1))[0] == "not-found"
        harness.until(lambda: asked(lab, uri)[0] == "completed", "the upload is done")
    finally:
        lab.stop()
