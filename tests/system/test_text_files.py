"""Lists, secrets and configs as Windows editors, web pages and word processors leave them: they work, or the error
shows what nobody sees, and never the secret."""
import asyncio
import os

import aiohttp
import harness
import pytest
from harness import clean_environment, run

MARK = b"\xef\xbb\xbf"
ODD_SECRETS = {
    "double quotes": (b'"s3cret-word"', "in quotes"), "single quotes": (b"'s3cret-word'", "in quotes"),
    "typographic quotes": ("\u201cs3cret-word\u201d".encode(), "in quotes"),
    "blank before": (b" s3cret-word", "starts with a blank"), "blank behind": (b"s3cret-word \r\n", "ends with a blank"),
    "tab": (b"s3cret-word\t\n", "ends with a blank"), "no-break space": ("s3cret-word\u00a0\n".encode(), "ends with a blank"),
    "carriage return": (b"s3cret\rword\n", "carriage return"), "old Mac": (b"s3cret-word\rmore\r", "carriage return"),
    "invisible": ("s3cret\u200bword".encode(), "U+200B"), "UTF-16": ("s3cret-word\r\n".encode("utf-16"), "UTF-16"),
    "UTF-16 without mark": ("s3cret-word\n".encode("utf-16-le"), "UTF-16"), "NUL": (b"s3cret-\0word\n", "NUL"),
}


def init(folder, secret, **more):
    (folder / "secret").write_bytes(secret)
    return run("init", "--name", "rig", "--proxy-url", "http://127.0.0.1:9", "--proxy-secret-file", "secret",
               "--no-input", "-q", cwd=folder, env=clean_environment(HOME=folder), **more)


@pytest.mark.parametrize("name", ODD_SECRETS)
def test_an_odd_secret_is_refused_by_both_ends(tmp_path, name):
    secret, words = ODD_SECRETS[name]
    env = clean_environment(HOME=tmp_path)
    refused = [init(tmp_path, secret, check=1)]
    assert not (tmp_path / "kachery-resource.yaml").exists()
    for command in ("proxy", "hub"):
        data = [] if command == "proxy" else ["--data", "zone"]
        refused.append(run(command, "--listen", "127.0.0.1:0", "--secret-file", "secret", *data, cwd=tmp_path, env=env, check=1))
        if b"\0" not in secret and not secret.endswith(b"\n"):  # an environment has no lines
            refused.append(run(command, *data, env={**env, "PORT": "0", "PROXY_SECRET": os.fsdecode(secret)},
                               cwd=tmp_path, check=1))
    for done in refused:
        assert words in done.stderr.decode(), done.stderr
        assert b"s3cret" not in done.stderr and b"word" not in done.stderr.replace(b"wordpad", b""), done.stderr


@pytest.mark.parametrize("name", ["double quotes", "blank behind", "invisible"])
def test_an_odd_secret_at_the_prompt(tmp_path, name):
    secret, words = ODD_SECRETS[name]
    done = run("init", "--name", "rig", "--proxy-url", "http://127.0.0.1:9", cwd=tmp_path, env=clean_environment(HOME=tmp_path),
               stdin=b"\n\n" + secret.rstrip(b"\r\n") + b"\n")
    assert done.returncode in (1, 2) and words in done.stderr.decode() and b"s3cret" not in done.stderr


@pytest.mark.parametrize("text", [MARK + b"s3cret\r\n", b"s3cret", b"s3cret\r\nmore\r\n", MARK + b"s3cret", b"s3cret\r"])
def test_both_ends_agree_on_a_secret(tmp_path, processes, text):
    init(tmp_path, text, check=0)
    config = (tmp_path / "kachery-resource.yaml").read_text()
    assert "proxySecret: s3cret\n" in config
    server = processes(harness.Server("proxy", "--secret-file", tmp_path / "secret", env=clean_environment(HOME=tmp_path)))

    async def greet(secret):
        async with aiohttp.ClientSession() as http, http.ws_connect(server.url) as ws:
            await ws.send_json({"type": "initialize", "resourceName": "rig", "zone": "default", "proxySecret": secret})
            return (await ws.receive(timeout=harness.DEADLINE_S)).data
    assert "acknowledge" in asyncio.run(greet("s3cret"))
    assert asyncio.run(greet("s3cret\r")) == 4001


def test_answers_of_a_windows_file(tmp_path):
    run("init", cwd=tmp_path, env=clean_environment(HOME=tmp_path), stdin=MARK + b"rig\r\nlab\r\n3\r\nhttp://h\r\ns3cret\r\n", check=0)
    assert (tmp_path / "kachery-resource.yaml").read_bytes() == \
        b"resourceName: rig\nkacheryZone: lab\nmaxConcurrentUploads: 3\nproxyUrl: http://h\nproxySecret: s3cret\n"


def test_a_list_of_a_windows_editor(store, tmp_path):
    for name in ("one", "two words", "three"):
        (tmp_path / name).write_text(name)
    listed = tmp_path / "list"
    listed.write_bytes(MARK + b"one\r\ntwo words\r\n\r\nthree")
    done = run("link", "--files-from", str(listed), env=store[1], cwd=tmp_path, check=0)
    assert [line.split(b"\t")[1] for line in done.stdout.splitlines()] == \
        [os.fsencode(tmp_path / name) for name in ("one", "two words", "three")]
    assert run("link", "--files-from", "-", env=store[1], cwd=tmp_path, stdin=listed.read_bytes(), check=0).stdout == done.stdout


def test_a_list_with_null_is_verbatim(store, tmp_path):
    names = ["one\r", "\ufefftwo", '"three"', " four "]
    for name in names:
        (tmp_path / name).write_text(name)
    done = run("link", "--files-from", "-", "-0", "--json", env=store[1], cwd=tmp_path,
               stdin="\0".join(["\ufefftwo", *names]).encode(), check=0)
    assert [entry["path"] for entry in harness.json.loads(done.stdout)] == [str(tmp_path / n) for n in ["\ufefftwo", *names]]


@pytest.mark.parametrize("line, words", [
    (b'"one"', "in quotes"), (b" one", "starts with a blank"), (b"one ", "ends with a blank"), (b"~/one", "only a shell"),
    (b"one\rtwo", "carriage return"), ("one\n".encode("utf-16"), "UTF-16"), ("one\n".encode("utf-16-le"), "UTF-16")])
def test_an_odd_line_of_a_list(store, tmp_path, line, words):
    (tmp_path / "one").write_text("1")
    done = run("link", "--files-from", "-", env=store[1], cwd=tmp_path, stdin=line, check=1)
    assert words in done.stderr.decode() and b"\r" not in done.stderr


def test_an_odd_name_that_is_there_is_taken(store, tmp_path):
    for name in ('"one"', " two", "a\rb"):
        (tmp_path / name).write_text(name)
    done = run("link", "--files-from", "-", env=store[1], cwd=tmp_path, stdin=b'"one"\n two\na\rb\n', check=0)
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_config_of_a_windows_editor(tmp_path, encoding):
    text = "resourceName: rig\r\nproxyUrl: http://127.0.0.1:9\r\nproxySecret: s3cret\r\nextra: kept\r\n"
    (tmp_path / "kachery-resource.yaml").write_bytes(text.encode(encoding))
    run("init", "--no-input", "--max-uploads", "5", cwd=tmp_path, env=clean_environment(HOME=tmp_path), check=0)
    assert b"extra: kept\r\n" in (tmp_path / "kachery-resource.yaml").read_bytes()


def test_a_config_in_utf_16(tmp_path):
    text = "resourceName: rig\r\nproxyUrl: http://127.0.0.1:9\r\nproxySecret: s3cret\r\n"
    (tmp_path / "kachery-resource.yaml").write_bytes(text.encode("utf-16"))
    for command in (["share"], ["init", "--no-input"]):
        done = run(*command, cwd=tmp_path, env=clean_environment(HOME=tmp_path), check=1)
        assert b"kachery-resource.yaml is UTF-16 text: save it as UTF-8" in done.stderr


def test_keys_with_windows_line_ends(store, tmp_path, zone):
    folder, env = store
    env["KACHERY_GATEWAY_URL"] = zone.url
    zone.opens_registration = True
    client = run("register", env=env, check=0).stdout
    for name in ("private.pem", "public.pem"):
        text = (folder / name).read_bytes()
        (folder / name).write_bytes(MARK + text.replace(b"\n", b"\r\n"))
    assert run("register", env=env, check=0).stdout == client


def test_the_empty_device_is_an_empty_secret(tmp_path):
    done = run("proxy", "--listen", "127.0.0.1:0", "--secret-file", "/dev/null", check=1)
    assert b"/dev/null: want the proxy secret in its first line" in done.stderr


@pytest.mark.parametrize("command", [["link"], ["link", "-0"], ["store-local"], ["load", "--no-request"]])
def test_what_is_no_list_ends(store, command):
    """Nothing but zeros, for ever: no line ends, or nothing is between the separators."""
    _, env = store
    done = run(*command, "--files-from", "/dev/zero", env=env, check=1)
    assert b"/dev/zero" in done.stderr and b"this is no list" in done.stderr
