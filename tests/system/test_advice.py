"""Advice names a command that this user has, beside the deployed words; and a zone that a gateway does not have is
never called a client that is not registered."""
import json

import pytest
from harness import run
from zone_double import ABSENT, DATA, written

DEPLOYED = "Client not registered. Use kachery-cloud-init to register this kachery-cloud client."
OURS = "kachery-resource register"


@pytest.mark.parametrize("verb", ["store", "info", "load", "request", "cat"])
def test_what_the_gateway_says_of_this_client(zone, user, tmp_path, verb):
    user = {**user, "KACHERY_RESOURCE_URL": f"{zone.url}/r/name"}
    for type_ in ("findFile", "initiateFileUpload"):
        zone.answers[type_] = [(500, f"Error: {DEPLOYED}")]
    what = str(written(tmp_path, "file", DATA)) if verb == "store" else f"sha1://{ABSENT}"
    done = run(verb, what, env=user, check=1)
    said = done.stderr.decode()
    assert DEPLOYED in said and said.count(OURS) == 1, said


def test_what_a_host_was_told_by_its_gateway(zone, user):
    """A deployed daemon passes the words on: it is its host that has to act."""
    zone.states = [{"status": "error", "error": f"Error uploading: {DEPLOYED}"}]
    env = {**user, "KACHERY_RESOURCE_URL": f"{zone.url}/r/name"}
    done = run("request", f"sha1://{ABSENT}", env=env, check=1)
    assert f"{DEPLOYED} (on the host that shares the file; or there: {OURS})" in done.stderr.decode()
    answer = json.loads(run("request", f"sha1://{ABSENT}", "--json", env=env, check=1).stdout)
    assert answer["errored"] and DEPLOYED in answer["error_message"]
    done = run("load", f"sha1://{ABSENT}", env=env, check=1)
    assert OURS in done.stderr.decode()
    zone.states = [{"status": "error", "error": f"{DEPLOYED} (or: {OURS})"}]
    assert run("request", f"sha1://{ABSENT}", env=env, check=1).stderr.decode().count(OURS) == 1


# ---- a zone that is not there ----

@pytest.mark.parametrize("words, status", [("Zone not found: none", 1), ("NoSuchKey: The specified key does not exist.", 1)])
@pytest.mark.parametrize("verb", ["store", "info", "load", "request", "cat", "register"])
def test_a_zone_that_the_gateway_does_not_have(zone, store, tmp_path, verb, words, status):
    """Whatever a deployed gateway says to findFile and of the client, which in that zone it does not know."""
    env = {**store[1], "KACHERY_GATEWAY_URL": zone.url}
    run("register", "--no-wait", env=env, check=0)
    env = {**env, "KACHERY_ZONE": "none", "KACHERY_RESOURCE_URL": "name"}
    zone.answers["findFile"] = [(500, f"Error: {words}")] * 9
    zone.answers["initiateFileUpload"] = [(500, f"Error: {DEPLOYED}")]
    what = {"store": [str(written(tmp_path, "file", DATA))], "register": []}.get(verb, [f"sha1://{ABSENT}"])
    done = run(verb, *what, env=env, check=status)
    said = done.stderr.decode()
    assert words in said and "not registered" not in said, said
    if verb in ("store", "register"):
        assert 'zone "none"' in said


def test_the_daemon_of_such_a_zone(desk):
    desk.zone.answers["findFile"] = [(500, "Error: Zone not found: default")] * 99
    desk.zone.clients.clear()
    daemon = desk.share(intervals="registration_ms=20")
    line = daemon.wait_line("cannot tell whether this client is registered")
    assert "Zone not found: default" in line and "KACHERY_ZONE" in line
    assert "is not registered" not in daemon.text()


def test_a_resource_in_such_a_zone(lab):
    done = run("request", f"sha1://{ABSENT}", "--resource", "name", env={**lab.remote, "KACHERY_ZONE": "none"}, check=1)
    assert b"Zone not found: none" in done.stderr and b"no resource" not in done.stderr
