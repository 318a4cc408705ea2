"""The commands that read files which only a host has, and print the URLs of such files (EXTENSIONS.md §3)."""
import hashlib
import json
import urllib.request

import pytest
from harness import Server, clean_environment, run
from range_sharing import LEAF, Sharing, noise


def digits(name):
    return hashlib.sha1(name.encode()).hexdigest()[:8]


def fetch(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def test_url_prints_what_any_program_opens(sharing):
    data = noise(2 * LEAF + 3)
    path = sharing.put("rec.nwb", data)
    env, uri = sharing.lab.remote, f"sha1://{path[3:]}"
    base = sharing.lab.url + path
    cases = [((uri,), base), ((f"{uri}?label=rec.nwb",), f"{base}.{digits('rec.nwb')}/rec.nwb"),
             ((f"{uri}?label=data/a%20b.h5",), f"{base}.{digits('a b.h5')}/a%20b.h5"),
             ((f"{uri}?label=rec.nwb", "--name", "größe 1.h5"), f"{base}.{digits('größe 1.h5')}/gr%C3%B6%C3%9Fe%201.h5")]
    for arguments, url in cases:
        done = run("url", *arguments, env=env, check=0)
        assert (done.stdout.decode(), done.stderr) == (url + "\n", b"")
        assert fetch(url) == data
    assert json.loads(run("url", uri, "--json", env=env, check=0).stdout) == {"url": base, "expires": None}
    sharing.bytes_left(len(data))


def test_url_says_when_nobody_can_read_now(lab):
    uri = "sha1://" + "1" * 40
    done = run("url", uri, env=lab.remote, check=0)
    assert done.stdout.decode() == f"{lab.url}/f/{'1' * 40}\n" and b"away and may have it" in done.stderr
    daemon = Sharing(lab)
    daemon.put("small", b"content")
    assert run("url", "-q", uri, env=lab.remote, check=0).stderr == b""


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "x" * 1025])
def test_url_takes_only_names_that_clients_leave_alone(lab, name):
    done = run("url", "sha1://" + "1" * 40, "--name", name, env=lab.remote, check=2)
    assert b"want a file's name" in done.stderr and done.stdout == b""


def test_url_needs_public_downloads_and_a_hub(lab, tmp_path):
    settings = lab.data / "settings" / "authorizationSettings.yaml"
    settings.write_text("allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers: []\n")
    done = run("url", "sha1://" + "1" * 40, env=lab.remote, check=1)
    assert b"downloads of the zone \"default\" are not public" in done.stderr and done.stdout == b""
    gateway = lab.keep(Server("gateway", "--data", str(tmp_path / "other"), env=clean_environment(HOME=tmp_path)))
    done = run("url", "sha1://" + "1" * 40, env={**lab.remote, "KACHERY_GATEWAY_URL": gateway.url}, check=1)
    assert b"does not announce" in done.stderr and done.stdout == b""
