"""Promises of the command line: exit statuses, options, output that cannot be written, wrong usage."""
import hashlib
import json
import re
import subprocess

import harness
import pytest
from harness import Server, clean_environment, run
from zone_double import ABSENT, text, written


def asking(env, zone):
    return {**env, "KACHERY_RESOURCE_URL": f"{zone.url}/r/lab.res"}


@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_a_nul_separated_list_without_0_is_an_error(store, tmp_path, verb):
    """`find -print0 | … --files-from -` must not link the first file and be content."""
    _, env = store
    for name in ("a", "b", "c"):
        written(tmp_path, name, b"data")
    done = run(verb, "--files-from", "-", "--json", env=env, cwd=tmp_path, stdin=b"a\0b\nc\n", check=1)
    assert "-0" in text(done.stderr)
    assert [e["path"] for e in json.loads(done.stdout) if e["uri"]] == [f"{tmp_path}/c"]


@pytest.mark.parametrize("verb, answers", [
    ("load", {"findFile": {"type": "findFile", "found": True, "size": 3, "url": "/bucket/key"}}),
    ("load", {"findFile": {"type": "findFile", "found": True, "size": 3, "url": "ftp://bucket/key"}}),
    ("store", {"initiateFileUpload": {"type": "initiateFileUpload", "objectKey": "k", "signedUploadUrl": "key"}}),
    ("request", {"getResourceInfo": {"type": "getResourceInfo", "found": True, "resource": {
        "resourceName": "x", "ownerId": "o", "timestampCreated": 1, "proxyUrl": "proxy.example"}}}),
])
def test_a_gateways_bad_url_is_not_the_users_wrong_usage(zone, user, tmp_path, verb, answers):
    zone.answers = {kind: [(200, answer)] for kind, answer in answers.items()}
    what = str(written(tmp_path, "f", b"abc")) if verb == "store" else f"sha1://{ABSENT}"
    done = run(verb, what, *(["--resource", "x"] if verb == "request" else []), env=user, check=1)
    assert "gateway's answer has no proper" in text(done.stderr)


def test_words_about_an_invalid_request_reach_the_user_but_no_echo(zone, user):
    for body, words in (("Invalid request: want a timestamp", "Invalid request: want a timestamp\n"),
                        ('Invalid request: {"signature":"ab"}', "Invalid request\n")):
        zone.answers = {"findFile": [(400, body)]}
        assert text(run("info", f"sha1://{ABSENT}", env=user, check=1).stderr).endswith(words)


def test_an_empty_error_is_no_error_and_an_error_without_words_gets_some(zone, user):
    answer = {"type": "responseToClient", "requestId": "i", "error": "",
              "response": {"type": "fileUpload", "status": {"status": "not-found"}}}
    zone.proxy_answer = (200, answer)
    run("request", f"sha1://{ABSENT}", env=asking(user, zone), check=3)
    answer["response"]["status"] = {"status": "error"}
    done = run("request", "--json", f"sha1://{ABSENT}", env=asking(user, zone), check=1)
    assert json.loads(done.stdout)["error_message"] == "failed without saying why"


@pytest.mark.parametrize("silent", ["is_silent_proxy", "is_silent_gateway"])
def test_timeout_bounds_the_whole_call_with_wait(zone, user, silent):
    """Also when somebody takes the request and then says nothing."""
    setattr(zone, silent, True)
    done = run("request", "--wait", "--timeout", "0", "--json", f"sha1://{ABSENT}", env=asking(user, zone), check=1,
               timeout=8)
    assert json.loads(done.stdout)["error_message"] == "no answer within 0 s"


@pytest.mark.parametrize("options, status", [
    (["proxy", "--secret-file", "/none/such"], 1), (["hub", "--data", "d", "--secret-file", "/none/such"], 1),
    (["gateway", "--data", ""], 2)])
def test_exit_3_is_for_files_that_nobody_has(tmp_path, options, status):
    run(*options, "--listen", "127.0.0.1:0", env=clean_environment(HOME=tmp_path), cwd=tmp_path, check=status)


@pytest.mark.parametrize("verb", ["info", "load", "request", "store", "register"])
def test_a_client_id_without_its_key_is_an_error(zone, user, tmp_path, verb):
    """And not a reason to go on without any."""
    env = {**asking(user, zone), "KACHERY_CLOUD_CLIENT_ID": "ab" * 32}
    what = {"register": [], "store": [str(written(tmp_path, "f", b"abc"))]}.get(verb, [f"sha1://{ABSENT}"])
    done = run(verb, *what, env=env, check=1)
    assert "KACHERY_CLOUD_PRIVATE_KEY" in text(done.stderr)
    assert zone.payloads == []


def test_register_says_that_its_link_is_refused(tmp_path, processes):
    """Instead of waiting for a registration that cannot come without a word."""
    hub = processes(Server("gateway", "--data", str(tmp_path / "zone"), "--open-registration"))
    env = clean_environment(HOME=tmp_path, KACHERY_GATEWAY_URL=hub.url)
    done = run("register", "--no-wait", env={**env, "KACHERY_ZONE": "elsewhere"}, check=1)
    assert 'zone "elsewhere"' in text(done.stderr) and "404 Not Found" in text(done.stderr)
    done = run("register", "--label", "x" * 201, env=env, check=2)
    assert "at most 200 bytes" in text(done.stderr)


def test_a_secret_may_come_from_a_shells_pipe(tmp_path):
    """A password manager's output, that is never in a file."""
    script = f'"{harness.BINARY}" init --no-input --name n --proxy-url http://p --proxy-secret-file <(echo the secret)'
    subprocess.run(["bash", "-c", script], env=clean_environment(HOME=tmp_path), cwd=tmp_path, timeout=harness.DEADLINE_S, check=True)
    assert "the secret" in (tmp_path / "kachery-resource.yaml").read_text()


@pytest.mark.parametrize("address, words", [
    ("TAKEN", "in use: another program has that port"), ("192.0.2.1:0", "no interface of this host has that address"),
    ("127.0.0.1:99999", "with a port of 0 to 65535"), ("nowhere", "want HOST:PORT")])
def test_where_a_server_cannot_listen(tmp_path, processes, address, words):
    env = clean_environment(HOME=tmp_path)
    if address == "TAKEN":
        address = processes(Server("gateway", "--data", str(tmp_path / "first"), env=env)).url.removeprefix("http://")
    done = run("gateway", "--data", "zone", "--listen", address, env=env, cwd=tmp_path)
    assert done.returncode in (1, 2) and "cannot listen on" in text(done.stderr) and words in text(done.stderr)


@pytest.mark.parametrize("verb", ["link", "store-local", "unlink"])
def test_a_path_that_is_empty_is_told(store, verb):
    """`link "$FILE"`, say."""
    assert "empty path (is a variable of the shell not set?)" in text(run(verb, "", env=store[1], check=1).stderr)


@pytest.mark.parametrize("arguments, want", [
    (["cat"], "want URI"), (["link"], "PATH"), (["store"], "want FILE..."), (["info", "--json"], "want URI"),
    (["request", "--timeout", "1"], "want URI"), (["load"], "want one or more")])
def test_what_is_missing_is_named(store, arguments, want):
    done = run(*arguments, env=store[1])
    assert done.returncode in (0, 2) and done.stdout == b""
    assert done.returncode == 0 or want in text(done.stderr).splitlines()[0]


@pytest.mark.parametrize("arguments", [["\x1b[31m"], ["load", "--\x1b[31m"], ["link", "--jobs", "\x1b[31m"], ["ls", "\x1b[31m"],
                                       ["cat", "\x1b[31m"], ["load", "--jobs", "1\n2"]])
def test_usage_errors_show_what_was_given_without_its_control_bytes(store, arguments):
    done = run(*arguments, env=store[1])
    assert done.returncode in (1, 2) and b"\x1b" not in done.stderr and "\\x" in text(done.stderr)


@pytest.mark.parametrize("verb", [["load"], ["cat"], ["cat", "--end", "5"], ["ls"], ["info"], ["--help"], ["load", "--help"],
                                  ["--version"]])
@pytest.mark.parametrize("how", [">/dev/full", ">&-", ">&- 2>&-", "<&- >/dev/full", "2>/dev/full >/dev/full"])
def test_output_that_cannot_be_written_is_1(zone, user, tmp_path, verb, how):
    digest = hashlib.sha1(b"some data").hexdigest()
    zone.objects[digest] = b"some data"
    uri = [f"sha1://{digest}"] if verb[0] in ("load", "cat", "info") and "--help" not in verb else []
    if verb == ["ls"]:
        run("link", str(written(tmp_path, "f", b"x")), env=user, check=0)
    done = subprocess.run(["sh", "-c", f'"$0" "$@" {how}', harness.BINARY, *verb, *uri], env=user,
                          stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
    assert done.returncode == 1, done.stderr
    assert "2>" in how or b"standard output" in done.stderr


def test_help_fits_a_terminal_and_looks_alike():
    overview = text(run("--help", check=0).stdout)
    commands = re.findall(r"^  ([a-z-]+) {2,}\S", overview, re.M)
    assert len(commands) == 23
    for command in commands:
        help_text = text(run(command, "--help", check=0).stdout)
        assert not [line for line in (overview + help_text).splitlines() if len(line) > 80], command
        options = [line for line in help_text.splitlines() if re.match(r" +-", line)]
        assert all(re.match(r"  (-[a-z0], |    )--[a-z-]+", line) and line[28] == " " and line[29] != " "
                   for line in options), command
        # Every option of the usage is explained, and the usage names all that are, but for the common ones.
        usage = help_text[:help_text.index("\n\n")]
        explained = {word for line in options for word in re.findall(r"^ +(-[a-z0])?,? *(--[a-z-]+)", line)[0] if word}
        assert set(re.findall(r"(?<=[ \[])--?[a-z0-9-]+", usage)) <= explained, command
