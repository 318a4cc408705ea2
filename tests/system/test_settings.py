"""Settings that would silently mean something else than their user thinks: refused, with both readings named."""
import os
import re

import harness
import pytest
from harness import clean_environment, run

HASH = "sha1://0000000000000000000000000000000000000000"
DEAD = "http://127.0.0.1:9"  # discard: nobody listens
ODD_PATHS = {"tilde": "~/kc", "another's home": "~root/kc", "double quotes": '"/tmp/kc"', "single quotes": "'/tmp/kc'",
             "blank before": " /tmp/kc", "blank behind": "/tmp/kc ", "tab": "/tmp/kc\t", "carriage return": "/tmp/kc\r",
             "no-break space": "/tmp/kc\u00a0", "quoted tilde": '"~/kc"', "newline": "/tmp/kc\n",
             "variable": "$HOME/kc", "variable in braces": "${HOME}/kc"}
MEANT = {"variable": "{home}/kc", "variable in braces": "{home}/kc", "tilde": "{home}/kc", "another's home": "/root/kc", "quoted tilde": "{home}/kc"}


@pytest.fixture
def odd_home(tmp_path):
    """A folder with a home and a file in it, and the environment of its user, whose gateway is not there."""
    (tmp_path / "home").mkdir()
    (tmp_path / "f").write_text("f")
    return tmp_path, clean_environment(HOME=tmp_path / "home", KACHERY_GATEWAY_URL=DEAD)


def refused(folder, env, *command, before=(), name, odd, **more):
    """Exit 1, the variable and both readings named, nothing created."""
    before = set(os.listdir(folder))
    done = run(*command, env=env, cwd=folder, check=1, **more)
    words = done.stderr.decode()
    assert name in words and "\r" not in words, words
    assert MEANT.get(odd, "/tmp/kc").format(home=folder / "home") in words, words  # what was meant
    assert str(folder) in words, words  # what it is literally
    assert set(os.listdir(folder)) == before
    return words


@pytest.mark.parametrize("odd", ODD_PATHS)
def test_paths_of_the_environment(odd_home, odd):
    folder, env = odd_home
    value = ODD_PATHS[odd]
    for command in (["link", "f"], ["ls"], ["load", HASH], ["store", "f"], ["register", "--no-wait"], ["verify"]):
        refused(folder, {**env, "KACHERY_CLOUD_DIR": value}, *command, name="KACHERY_CLOUD_DIR", odd=odd) \
            if value[0] != "/" else run(*command, env={**env, "KACHERY_CLOUD_DIR": value}, cwd=folder, check=1)
    for variable, extra, command in (
            ("KACHERY_CLOUD_SANDBOX_DIR", {"KACHERY_CLOUD_USE_SANDBOX": "1"}, ["link", "f"]),
            ("KACHERY_STORE_FILE_DIR", {}, ["store", "f"]), ("TMPDIR", {}, ["demo", "f"]),
            ("SSL_CERT_FILE", {"KACHERY_GATEWAY_URL": "https://127.0.0.1:9"}, ["info", HASH]),
            ("SSL_CERT_DIR", {"KACHERY_GATEWAY_URL": "https://127.0.0.1:9"}, ["info", HASH]),
            ("HOME", {}, ["link", "f"])):
        done = run(*command, env={**env, **extra, variable: value}, cwd=folder, check=1)
        assert variable.encode() in done.stderr and b"Python client" in done.stderr and b"\r" not in done.stderr, done.stderr
    assert sorted(os.listdir(folder)) == ["f", "home"] and os.listdir(folder / "home") == []


@pytest.mark.parametrize("odd", ["tilde", "double quotes", "carriage return"])
def test_the_daemon(odd_home, odd):
    folder, env = odd_home
    (folder / "kachery-resource.yaml").write_text(f"resourceName: r\nproxyUrl: {DEAD}\nproxySecret: s\n")
    done = run("share", env={**env, "KACHERY_CLOUD_DIR": ODD_PATHS[odd]}, cwd=folder, check=1)
    assert b"KACHERY_CLOUD_DIR" in done.stderr and b"Python client" in done.stderr


@pytest.mark.parametrize("value", ["./~/kc", "/tmp/../tmp", "kc", "a b", "it's", "x~", "'"])
def test_paths_that_mean_what_they_say(odd_home, value):
    folder, env = odd_home
    run("link", "f", env={**env, "KACHERY_CLOUD_DIR": value} if value[0] != "/" else env, cwd=folder, check=0)
    assert value[0] == "/" or (folder / value / "linked_files").is_dir()


def test_a_relative_store_of_the_daemon_is_logged(lab):
    env = {**lab.host, "KACHERY_CLOUD_DIR": "host", "KACHERY_CLOUD_DRI": "x"}
    daemon = lab.keep(harness.Process("share", "--config", str(lab.config), env=env, cwd=lab.folder))
    assert str(lab.host_store) in daemon.wait_line('KACHERY_CLOUD_DIR is relative: "host"')
    assert "KACHERY_CLOUD_DIR" in daemon.wait_line("KACHERY_CLOUD_DRI")
    daemon.stop()


ODD_TEXTS = {"quotes": '"{}"', "single quotes": "'{}'", "carriage return": "{}\r", "blank before": " {}",
             "blank behind": "{} ", "no-break space": "{}\u00a0", "zero width": "{}\u200b", "newline": "{}\n"}


@pytest.mark.parametrize("odd", ODD_TEXTS)
@pytest.mark.parametrize("variable, good, commands", [
    ("KACHERY_GATEWAY_URL", DEAD, (["info", HASH], ["store", "f"], ["register", "--no-wait"], ["load", HASH])),
    ("KACHERY_ZONE", "lab", (["info", HASH], ["store", "f"])),
    ("KACHERY_RESOURCE_URL", DEAD + "/r/rig", (["load", HASH], ["request", HASH], ["cat", HASH])),
    ("KACHERY_RESOURCE_URL", "rig", (["load", HASH], ["request", HASH])),
    ("KACHERY_STORE_FILE_PREFIX", "https://h/x", (["store", "f"],))])
def test_texts_of_the_environment(odd_home, odd, variable, good, commands):
    folder, env = odd_home
    extra = {"KACHERY_STORE_FILE_DIR": "flat"} if "PREFIX" in variable else {}
    run("register", "--no-wait", env={**env, "KACHERY_GATEWAY_URL": DEAD}, cwd=folder)
    for command in commands:
        done = run(*command, env={**env, **extra, variable: ODD_TEXTS[odd].format(good)}, cwd=folder, check=1)
        words = done.stderr.decode()
        assert variable in words and good in words and "Python client" in words and "\r" not in words, words


@pytest.mark.parametrize("value, words", [
    ("hub.example.org", "no scheme"), ("hub.example.org:8080", "want http://"), ("ftp://h", "unknown scheme"),
    ("http://a b", "percent-encoded"), ("http//h", "no scheme")])
def test_gateway_urls(odd_home, value, words):
    folder, env = odd_home
    done = run("info", HASH, env={**env, "KACHERY_GATEWAY_URL": value}, cwd=folder, check=1)
    assert b"KACHERY_GATEWAY_URL" in done.stderr and words in done.stderr.decode()


def test_a_password_in_a_url_is_not_shown(odd_home):
    folder, env = odd_home
    done = run("info", HASH, env={**env, "KACHERY_GATEWAY_URL": '"http://me:s3cret@h"'}, cwd=folder, check=1)
    assert b"KACHERY_GATEWAY_URL is in quotes" in done.stderr and b"s3cret" not in done.stderr


def test_a_resource_without_scheme(odd_home):
    folder, env = odd_home
    done = run("request", HASH, env={**env, "KACHERY_RESOURCE_URL": "hub.example.org/r/rig"}, cwd=folder, check=1)
    assert b'KACHERY_RESOURCE_URL "hub.example.org/r/rig": no scheme' in done.stderr


@pytest.mark.parametrize("line, key", [
    ("resourceName: 'rig '", "resourceName"), ('resourceName: "rig\\r"', "resourceName"), ("resourceName: '\"rig\"'", "resourceName"),
    ("kacheryZone: ' lab'", "kacheryZone"), ("proxyUrl: 'http://h '", "proxyUrl"), ("proxyUrl: '\"http://h\"'", "proxyUrl"),
    ("proxyUrl: h.example.org", "proxyUrl"), ("caFile: '~/ca.pem'", "caFile"), ("caFile: '\"/ca.pem\"'", "caFile"),
    ("proxySecret: 's '", "proxySecret"), ('proxySecret: "s\\r"', "proxySecret"), ("maxConcurrentUploads: '2 '", "maxConcurrentUploads")])
def test_values_of_a_config(odd_home, line, key):
    folder, env = odd_home
    good = {"resourceName": "rig", "proxyUrl": DEAD, "proxySecret": "s"}
    good.pop(key, None)
    (folder / "kachery-resource.yaml").write_text(line + "\n" + "".join(f"{k}: {v}\n" for k, v in good.items()))
    done = run("share", env=env, cwd=folder, check=1)
    assert f"kachery-resource.yaml:1: {key}".encode() in done.stderr and b"\r" not in done.stderr, done.stderr


@pytest.mark.parametrize("command", [
    ["share", "--config", "~/x"], ["share", "--config=~/x"], ["share", "--log=~/log"], ["init", "--config=~/x", "--no-input"],
    ["init", "--proxy-secret-file=~/s"], ["hub", "--data=~/z", "--listen", "127.0.0.1:0"], ["hub", "--secret-file=~/s"],
    ["proxy", "--secret-file=~/s"], ["gateway", "--data", "~/z"], ["load", HASH, "-o", "~/f"], ["load", HASH, "-d", "~/d"],
    ["link", "--files-from=~/list"], ["load", "--files-from=~/list"]])
def test_options_that_name_files(odd_home, command):
    folder, env = odd_home
    done = run(*command, env=env, cwd=folder, check=1)
    assert f'is it {folder}/home/' in done.stderr.decode() and f"{folder}/~/" in done.stderr.decode(), done.stderr
    assert sorted(os.listdir(folder)) == ["f", "home"]


@pytest.mark.parametrize("value", ["true", "yes", "on", "2", " 1", "1\r"])
def test_a_sandbox_that_is_none(odd_home, value):
    folder, env = odd_home
    done = run("link", "f", env={**env, "KACHERY_CLOUD_USE_SANDBOX": value}, cwd=folder, check=1)
    assert b"KACHERY_CLOUD_USE_SANDBOX" in done.stderr and b"want 1" in done.stderr
    assert os.listdir(folder / "home") == []


@pytest.mark.parametrize("value", ["0", "", "false"])
def test_no_sandbox(odd_home, value):
    folder, env = odd_home
    run("link", "f", env={**env, "KACHERY_CLOUD_USE_SANDBOX": value}, cwd=folder, check=0)


@pytest.mark.parametrize("value", ["abc", "80 ", "-1", "70000", "80\r", "0x50"])
def test_port(odd_home, value):
    folder, env = odd_home
    done = run("proxy", env={**env, "PORT": value, "PROXY_SECRET": "0123456789abcdef"}, cwd=folder, check=1)
    assert re.search(rb'PORT "[^"]*": want a whole number 0-65535', done.stderr), done.stderr


@pytest.mark.parametrize("typo, meant", [
    ("KACHERY_CLOUD_DRI", "KACHERY_CLOUD_DIR"), ("KACHERY_GATWAY_URL", "KACHERY_GATEWAY_URL"), ("kachery_zone", "KACHERY_ZONE"),
    ("KACHERY_GATEWAY", "KACHERY_GATEWAY_URL"), ("KACHERY_CLOUD_ZONE", "KACHERY_ZONE"), ("KACHERY_DIR", "KACHERY_CLOUD_DIR"),
    ("KACHERY_RESOURCE_URI", "KACHERY_RESOURCE_URL"), ("KACHEYR_ZONE", "KACHERY_ZONE"), ("KACHERY_STORE_DIR", None),
    ("KACHERY_MODE", None), ("KACHERY_CLOUD_MULTI_USER", None), ("KACHERY_RESOURCE_NAME", None), ("MY_KACHERY_ZONE", None)])
def test_typos_of_names(odd_home, typo, meant):
    folder, env = odd_home
    done = run("link", "f", env={**env, typo: "x"}, cwd=folder, check=0)
    assert (f"variable {typo}: is {meant} meant?" in done.stderr.decode()) == (meant is not None), done.stderr
    assert run("link", "f", "-q", env={**env, typo: "x"}, cwd=folder, check=0).stderr == b""


@pytest.mark.parametrize("value", ["/tmp/kc-$", "a$b", "$5", "{folder}/x$HOME", "./~"])
def test_paths_that_only_look_odd(odd_home, value):
    folder, env = odd_home
    value = value.replace("{folder}", str(folder))
    run("link", "f", env={**env, "KACHERY_CLOUD_DIR": value if value[:4] != "/tmp" else str(folder / "kc-$")}, cwd=folder,
        check=0)


def test_a_variable_inside_a_path(odd_home):
    folder, env = odd_home
    done = run("link", "f", env={**env, "USER": "ada", "KACHERY_CLOUD_DIR": f"{folder}/$USER/${{USER}}/$NONE/kc"}, cwd=folder,
               check=1)
    assert f"{folder}/ada/ada/$NONE/kc" in done.stderr.decode() and not (folder / "$USER").exists()


def test_a_url_is_no_path(odd_home):
    folder, env = odd_home
    refused(folder, {**env, "KACHERY_CLOUD_DIR": "file:///tmp/kc"}, "link", "f", name="KACHERY_CLOUD_DIR", odd="URL")
