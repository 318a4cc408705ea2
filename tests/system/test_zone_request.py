"""request, and load through a resource; what the deployed programs were recorded to say."""
import json

import harness
import pytest
from harness import VECTORS, run, sha1
from zone_double import ABSENT, DATA, object_key, text, written


def asking(env, zone, name="lab.res"):
    return {**env, "KACHERY_RESOURCE_URL": f"{zone.url}/r/{name}"}


RESULT = {"found": False, "queued": False, "completed": False, "running": False, "local": False, "errored": False,
          "error_message": "", "size": None, "bytes_uploaded": None}


@pytest.mark.parametrize("state, line, result, status", [
    ({"status": "not-found"}, "not-found", {}, 3),
    ({"status": "queued", "size": 9, "bytesUploaded": 0, "timestampRequested": 1}, "queued",
     {"found": True, "queued": True, "size": 9, "bytes_uploaded": 0}, 4),
    ({"status": "running", "size": 9, "bytesUploaded": 5, "timestampRequested": 1, "timestampStarted": 2},
     "running 5 of 9 bytes", {"found": True, "running": True, "size": 9, "bytes_uploaded": 5}, 4),
    ({"status": "completed", "size": 9, "bytesUploaded": 9, "timestampRequested": 1, "timestampStarted": 2,
      "timestampCompleted": 3}, "completed", {"found": True, "completed": True, "size": 9, "bytes_uploaded": 9}, 0),
    ({"status": "error", "error": "the file has changed"}, "error",
     {"errored": True, "error_message": "the file has changed"}, 1),
])
def test_request_tells_the_state(zone, user, state, line, result, status):
    zone.states = [state]
    done = run("request", "--json", f"sha1://{ABSENT}?label=x&location=/etc/passwd", env=asking(user, zone),
               check=status)
    assert json.loads(done.stdout) == {**RESULT, **result}
    assert list(json.loads(done.stdout)) == list(RESULT)
    assert zone.proxied[0]["request"] == {"type": "fileUpload", "uri": f"sha1://{ABSENT}", "timeoutMsec": 5000}
    assert zone.proxied[0]["timeoutMsec"] == 10000
    done = run("request", f"sha1://{ABSENT}", "--timeout", "0", env=asking(user, zone), check=status)
    assert text(done.stdout) == line + "\n"
    assert zone.proxied[1]["request"]["timeoutMsec"] == 0
    if status == 1:
        assert "the file has changed" in text(done.stderr)


def test_request_does_not_ask_for_what_is_local_or_in_the_bucket(zone, user):
    zone.objects[sha1(DATA)] = DATA
    done = run("request", "--json", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0)
    near = {**RESULT, "found": True, "completed": True, "queued": None, "running": None, "size": len(DATA)}
    assert json.loads(done.stdout) == near
    assert text(run("request", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0).stdout) == "completed\n"
    run("load", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0)
    zone.payloads.clear()
    done = run("request", "--json", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0)
    assert json.loads(done.stdout) == {**near, "completed": None, "local": True}
    assert text(run("request", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0).stdout) == "local\n"
    assert zone.payloads == [] and zone.proxied == []


@pytest.mark.parametrize("answer, words", [
    ((404, {"message": "resource not found: lab.res"}), "not connected"),
    ((404, "<html>Cannot POST</html>"), "no resource proxy there"),
    ((504, {"message": "timeout waiting for response"}), "did not answer in time"),
    ((500, {"message": "Zone mismatch: a <> b"}), "Zone mismatch: a <> b"),
    ((200, {}), "without saying why"),
    ((200, {"type": "responseToClient", "requestId": "i", "response": {}, "error": "it burns"}), "it burns"),
    ((200, "garbage"), "not a proxy's answer"),
    ((200, "x" * 200000), "longer than 102400 bytes"),
    ((502, "<html></html>"), "502 Bad Gateway"),
])
def test_what_the_proxy_says_reaches_the_user(zone, user, answer, words):
    zone.proxy_answer = answer
    done = run("request", "--json", f"sha1://{ABSENT}", env=asking(user, zone), check=1)
    got = json.loads(done.stdout)
    assert got["errored"] and not got["found"] and words in got["error_message"]
    assert words in text(done.stderr)
    done = run("load", f"sha1://{ABSENT}", env=asking(user, zone), check=1)
    assert words in text(done.stderr)


def test_both_shapes_of_the_answer_are_understood(zone, user):
    conversation = json.loads((VECTORS / "gateway_conversation.json").read_text())
    for recorded, status in ((conversation[-2], 3), (conversation[-1], 0)):
        zone.proxy_answer = (200, recorded["response"])
        done = run("request", "--json", recorded["json"]["request"]["uri"], env=asking(user, zone, "ex"), check=status)
        assert json.loads(done.stdout)["found"] == (status == 0)
        assert zone.proxied[-1] == recorded["json"]


def test_a_proxy_of_generation_1_is_recognised_and_remembered(zone, user):
    """By a 404 that is not JSON."""
    zone.generation = 1
    zone.states = [{"status": "queued"}, {"status": "running", "size": 9, "bytesUploaded": 1}, {"status": "completed"}]
    run("request", "--wait", f"sha1://{ABSENT}", env=asking(user, zone), check=0)
    assert zone.paths == ["/r/lab.res", "/api", "/api", "/api"]
    assert all(body["resourceName"] == "lab.res" and body["timeoutMsec"] >= 15000 for body in zone.proxied)


def test_a_proxy_of_generation_1_by_name(zone, user):
    zone.generation = 1
    zone.resources["lab.res"] = zone.url
    zone.states = [{"status": "not-found"}]
    run("request", f"sha1://{ABSENT}", "--resource", "lab.res", env=user, check=3)
    assert zone.paths == ["/r/lab.res", "/api"]


def test_a_resource_that_is_not_connected_is_not_asked_for_as_generation_1(zone, user):
    zone.proxy_answer = (404, {"message": "resource not found: lab.res"})
    run("request", f"sha1://{ABSENT}", env=asking(user, zone), check=1)
    assert zone.paths == ["/r/lab.res"]


def test_a_url_without_r_has_no_generation_1(zone, user):
    zone.generation = 1
    done = run("request", f"sha1://{ABSENT}", "--resource", f"{zone.url}/api/gateway/x", env=user, check=1)
    assert "no resource proxy there" in text(done.stderr) and zone.paths == []


def test_request_wait_asks_until_it_is_done(zone, user):
    zone.states = [{"status": "queued"}, {"status": "running", "size": 9, "bytesUploaded": 1}, {"status": "completed"}]
    done = run("request", "--wait", f"sha1://{ABSENT}", env=asking(user, zone), check=0)
    assert text(done.stdout) == "completed\n" and len(zone.proxied) == 3


def test_request_wait_ends_with_its_timeout(zone, user):
    zone.states = [{"status": "running", "size": 9, "bytesUploaded": 1}]
    done = run("request", "--wait", "--timeout", "1", f"sha1://{ABSENT}", env=asking(user, zone), check=4)
    assert text(done.stdout) == "running 1 of 9 bytes\n"


@pytest.mark.parametrize("given, ms", [("0.25", 250), ("1.5", 1500), (".5", 500), ("2", 2000), ("1.2345", 1234), ("0", 0)])
def test_a_timeout_may_have_decimals(zone, user, given, ms):
    zone.states = [{"status": "not-found"}]
    run("request", f"--timeout={given}", f"sha1://{ABSENT}", env=asking(user, zone), check=3)
    assert zone.proxied[0]["request"]["timeoutMsec"] == ms


@pytest.mark.parametrize("given", ["", ".", "1.", "-1", "1,5", "1.5s", "1e3", "86400.001", "86401", "nan"])
def test_other_timeouts_are_refused(zone, user, given):
    done = run("request", f"--timeout={given}", f"sha1://{ABSENT}", env=asking(user, zone), check=2)
    assert f'--timeout "{given}": want seconds' in text(done.stderr) and zone.proxied == []


@pytest.mark.parametrize("where", ["lab res", "http://proxy.example/", "http://proxy.example", "ftp://x/r/n",
                                   "http://proxy.example/r/a%20b", "http://proxy.example/r/x?y=1"])
def test_request_refuses_a_bad_resource(zone, user, where):
    done = run("request", f"sha1://{ABSENT}", "--resource", where, env=user, check=2)
    assert where in text(done.stderr)


def test_without_a_resource_nobody_is_asked(zone, user):
    done = run("request", f"sha1://{ABSENT}", env=user, check=1)
    assert "no resource to ask: set KACHERY_RESOURCE_URL or give --resource" in text(done.stderr) and zone.proxied == []


def test_a_resource_with_a_proxy_url_that_is_none(zone, user):
    zone.resources["odd"] = "ftp://proxy.example"
    done = run("request", f"sha1://{ABSENT}", "--resource", "odd", env=user, check=1)
    assert 'the gateway\'s answer has no proper "proxyUrl"' in text(done.stderr)


def test_a_resource_by_name_is_looked_up_in_the_zone(zone, user):
    zone.resources["lab.res"] = zone.url.replace("http:", "ws:") + "/"
    zone.states = [{"status": "not-found"}]
    run("request", f"sha1://{ABSENT}", "--resource", "lab.res", env=user, check=3)
    assert zone.proxied[0]["resourceName"] == "lab.res"
    done = run("request", f"sha1://{ABSENT}", "--resource", "other", env=user, check=1)
    assert "no resource \"other\"" in text(done.stderr)


def test_load_asks_waits_and_downloads(zone, user):
    zone.resource_uploads = {sha1(DATA): DATA}
    zone.states = [{"status": "queued"}, {"status": "running", "size": len(DATA), "bytesUploaded": 100},
                   {"status": "completed", "size": len(DATA)}]
    done = run("load", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0)
    assert harness.pathlib.Path(text(done.stdout).strip()).read_bytes() == DATA
    assert len(zone.proxied) == 3


def test_load_waits_for_a_resource_that_was_heard_before(zone, user):
    zone.resource_uploads = {sha1(DATA): DATA}
    zone.states = [{"status": "running", "size": len(DATA), "bytesUploaded": 100},
                   (504, {"message": "timeout waiting for response"}), (404, {"message": "resource not found: lab.res"}),
                   {"status": "completed", "size": len(DATA)}]
    done = run("load", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0)
    assert harness.pathlib.Path(text(done.stdout).strip()).read_bytes() == DATA
    assert len(zone.proxied) == 4


@pytest.mark.parametrize("command", [["load"], ["request", "--wait"]])
def test_who_waits_anyway_waits_for_a_hub_that_starts_again(lab, command):
    """Neither its gateway nor its proxy answers, then it is back before the daemon is."""
    (lab.folder / "file").write_bytes(DATA)
    uri, = lab.link(lab.folder / "file")
    env, listen = lab.remote, lab.hub.url.removeprefix("http://")
    lab.hub.stop()
    waiting = lab.keep(harness.Process(*command, uri, env={**env, "KACHERY_RESOURCE_TEST_PATIENCE": "pause_max_ms=200,waiting_ms=300000"}))
    assert "cannot connect" in waiting.wait_line("again in")
    lab.start_hub(listen)
    waiting.wait_line("is not connected to its proxy; again in")
    lab.share()
    assert waiting.wait() == 0


def test_a_proxy_that_comes_back_before_its_daemon(lab, processes):
    """The gateway is there all the time; the proxy has a port of its own."""
    port = harness.free_port()
    env = {**lab.remote, "KACHERY_RESOURCE_URL": f"http://127.0.0.1:{port}/r/{lab.name}"}
    waiting = lab.keep(harness.Process("load", f"sha1://{ABSENT}", env={**env, "KACHERY_RESOURCE_TEST_PATIENCE": "pause_max_ms=100"}))
    waiting.wait_line("Connection refused; again in")
    lab.keep(harness.Server("proxy", "--secret-file", str(lab.secret_file), listen=f"127.0.0.1:{port}"))
    waiting.wait_line("is not connected to its proxy; again in")
    lab.write_config(proxy_url=f"http://127.0.0.1:{port}")
    lab.share()
    assert waiting.wait() == 3
    assert f'not at resource "{lab.name}"' in waiting.text()


@pytest.mark.parametrize("command, status", [(["load"], 1), (["cat"], 1), (["request", "--wait"], 1)])
def test_a_proxy_that_stays_away_is_given_up(zone, user, command, status):
    port = harness.free_port()
    env = {**asking(user, zone), "KACHERY_RESOURCE_URL": f"http://127.0.0.1:{port}/r/lab.res",
           "KACHERY_RESOURCE_TEST_PATIENCE": "pause_min_ms=10,pause_max_ms=50,waiting_ms=200"}
    done = run(*command, f"sha1://{ABSENT}", env=env, check=status)
    assert "; again in" in text(done.stderr) and " attempts: POST " in text(done.stderr)
    done = run(*command, "-q", f"sha1://{ABSENT}", env=env, check=status)
    assert "; again in" not in text(done.stderr)
    done = run("request", f"sha1://{ABSENT}", env=env, check=1)
    assert "again in" not in text(done.stderr) and "attempts" not in text(done.stderr)


@pytest.mark.parametrize("states, uploads, status, words", [
    ([{"status": "not-found"}], {}, 3, "not at resource \"lab.res\""),
    ([{"status": "error", "error": "changed since"}], {}, 1, "resource \"lab.res\": changed since"),
    ([{"status": "error", "error": "\x1b[2J\nÄ" + "x" * 1000}], {}, 1, "resource \"lab.res\": \\x1b[2J\\x0aÄxx"),
    ([{"status": "completed"}], {}, 1, "says that it uploaded the file"),
])
def test_load_fails_with_words(zone, user, states, uploads, status, words):
    zone.states = states
    done = run("load", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=status)
    assert words in text(done.stderr) and done.stdout == b""


def test_load_without_a_resource_is_not_found(zone, user):
    zone.states = [{"status": "completed"}]
    done = run("load", f"sha1://{ABSENT}", env=user, check=3)
    assert "KACHERY_RESOURCE_URL" in text(done.stderr)
    run("load", "--no-request", f"sha1://{ABSENT}", env=asking(user, zone), check=3)
    run("cat", f"sha1://{ABSENT}", env=user, check=3)
    assert zone.proxied == []


def test_load_asks_when_the_bucket_lost_what_the_gateway_still_finds(zone, user):
    zone.objects[sha1(DATA)] = DATA
    zone.answers["findFile"] = [(200, {"type": "findFile", "found": True, "size": len(DATA),
                                       "url": f"{zone.url}/bucket/{object_key(ABSENT)}?X-Signature=secret-of-get"})]
    zone.states = [{"status": "completed", "size": len(DATA)}]
    run("load", f"sha1://{sha1(DATA)}", env=asking(user, zone), check=0)
    assert len(zone.proxied) == 1



def recorded_answer(entry, url):
    if isinstance(entry["response"], str):
        return entry["status"], entry["response"]
    answer = json.dumps(entry["response"]).replace("http://s3.example/kachery", f"{url}/bucket")
    return entry["status"], json.loads(answer)


def test_the_recorded_conversation(zone, store, tmp_path):
    """The answers that a deployed gateway gave, and requests with the fields that the Python client sent."""
    folder, env = store
    keys = json.loads((VECTORS / "signatures.json").read_text())
    conversation = json.loads((VECTORS / "gateway_conversation.json").read_text())
    env = {**env, "KACHERY_GATEWAY_URL": zone.url, "KACHERY_CLOUD_CLIENT_ID": keys["clientId"],
           "KACHERY_CLOUD_PRIVATE_KEY": keys["privateKeyHex"]}
    calls = [e for e in conversation if e["url"].endswith("/api/gateway")]
    done = {}
    asked = {"getClientInfo": ["register"], "getResourceInfo": ["request", f"sha1://{ABSENT}", "--resource", "nope"],
             "findFile": ["info", "--json"]}
    for entry in calls:
        payload = entry["json"]["payload"]
        command = asked.get(payload["type"])
        if not command:
            continue
        if payload["type"] == "findFile":
            command = [*command, "sha1://" + payload["hash"]]
        elif payload["type"] == "getResourceInfo":
            zone.answers["findFile"] = [(200, {"type": "findFile", "found": False})]
        zone.answers[payload["type"]] = [recorded_answer(entry, zone.url)]
        zone.payloads.clear()
        done[payload["type"], payload.get("hash")] = run(*command, env=env)
        sent = [p for p in zone.payloads if p["type"] == payload["type"]]
        assert {**sent[-1], "timestamp": 0} == {**payload, "timestamp": 0}
    assert text(done["getClientInfo", None].stdout).strip() == keys["clientId"]
    assert b"no resource \"nope\"" in done["getResourceInfo", None].stderr
    assert done["findFile", "0" * 40].returncode == 3


def test_recorded_refusal(zone, user, tmp_path):
    conversation = json.loads((VECTORS / "gateway_conversation.json").read_text())
    for entry in conversation:
        if entry["status"] == 500 and entry["json"]["payload"]["type"] == "initiateFileUpload":
            zone.answers["initiateFileUpload"] = [recorded_answer(entry, zone.url)]
    done = run("store", str(written(tmp_path, "file", DATA)), env=user, check=1)
    assert ": File too large: 5000000001 > 5000000000\n" in text(done.stderr)
