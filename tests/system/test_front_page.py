"""What a server says of itself at GET /, and what `init` says comes next."""
import json

import harness
import pytest
from harness import SECRET, run

VERSION = run("--version").stdout.decode().split()[-1]


def started(processes, verb, tmp_path, *options):
    more = [] if verb == "proxy" else ["--data", tmp_path / "data", *options]
    return processes(harness.Server(verb, *more, env=harness.clean_environment(PROXY_SECRET=SECRET)))


@pytest.mark.parametrize("verb, there, absent", [
    ("hub", ["gateway", "proxy", "KACHERY_GATEWAY_URL=", "kachery-resource register", "init --name NAME --proxy-url ",
             "KACHERY_RESOURCE_URL=", 'zone is "default"'], ["KACHERY_ZONE"]),
    ("gateway", ["KACHERY_GATEWAY_URL=", "kachery-resource register"], ["proxy", "KACHERY_RESOURCE_URL"]),
    ("proxy", ["proxy", "--proxy-url ", "KACHERY_RESOURCE_URL="], ["gateway", "zone", "KACHERY_GATEWAY_URL"])])
def test_front_page(processes, tmp_path, verb, there, absent):
    server = started(processes, verb, tmp_path)
    status, headers, body = harness.http("GET", server.url + "/")
    text = body.decode()
    assert status == 200 and headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"kachery-resource {verb}, version {VERSION}" in text and server.url in text
    assert [part for part in there if part not in text] == [] and [part for part in absent if part in text] == []
    assert all(len(line) < 100 for line in text.splitlines()) and str(tmp_path) not in text
    status, headers, page = harness.http("GET", server.url, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert status == 200 and headers["Content-Type"].startswith("text/html") and "Content-Security-Policy" in headers
    assert page.startswith(b"<!DOCTYPE html>") and VERSION.encode() in page and server.url.encode() in page
    assert harness.http("HEAD", server.url + "/")[0] == 200
    for path in ("/x", "/index.html", "/r", "/r/"):
        assert harness.http("GET", server.url + path)[0] != 200


def test_front_page_of_a_named_zone(processes, tmp_path):
    hub = started(processes, "hub", tmp_path, "--zone", "lab", "--open-registration", "--public-url", "https://hub.example/k/")
    text = harness.http("GET", hub.url + "/")[2].decode()
    assert "export KACHERY_ZONE=lab" in text and "registration is open" in text
    assert "https://hub.example/k/r/NAME" in text and hub.url not in text


# ---- init ----

def steps(tmp_path, env, proxy, *more, check=0):
    (tmp_path / "secret").write_text("a secret of some length, for all\n")
    done = run("init", "--name", "lab-files", "--proxy-url", proxy, "--proxy-secret-file", str(tmp_path / "secret"), "--no-input",
               "--config", str(tmp_path / "config.yaml"), *more, env=env, check=check)
    return done.stderr.decode()


def test_of_a_hub_nothing_is_left_but_to_share(lab, tmp_path):
    for proxy in (lab.url, lab.url + "/", lab.url.replace("http:", "ws:")):
        said = steps(tmp_path, lab.host, proxy)
        assert "1. kachery-resource link FILE...\n     kachery-resource share" in said and "2." not in said
        assert f"KACHERY_RESOURCE_URL={lab.url}/r/lab-files, or just lab-files." in said
        assert "egister" not in said and "web site" not in said


def test_before_keys_are_made(lab, tmp_path):
    said = steps(tmp_path, lab.environment(tmp_path / "fresh"), lab.url)
    assert "1. kachery-resource register" in said and "2. kachery-resource link" in said and "web site" not in said
    assert list(lab.data.glob("clients/*.tmp*")) == []


def test_keys_that_are_not_registered(lab, tmp_path):
    fresh = lab.environment(tmp_path / "fresh")
    run("register", env=fresh, check=0)
    for client in lab.data.glob("clients/*"):
        client.unlink()
    said = steps(tmp_path, fresh, lab.url)
    assert "1. kachery-resource register\n" in said and "registerClient" not in said


def test_a_proxy_of_its_own_beside_our_gateway(lab, tmp_path):
    """It has no web site: the URL finds the resource, or a record does."""
    said = steps(tmp_path, lab.host, "https://proxy.example/")
    assert "web site" not in said and "KACHERY_RESOURCE_URL=https://proxy.example/r/lab-files.\n" in said
    (lab.data / "resources").mkdir()
    (lab.data / "resources/lab-files").write_text(json.dumps(
        {"resourceName": "lab-files", "ownerId": "o", "timestampCreated": 1, "proxyUrl": "https://proxy.example"}))
    assert "lab-files, or just lab-files." in steps(tmp_path, lab.host, "https://proxy.example/")


def test_of_the_deployed_gateway(zone, user, tmp_path):
    """A browser, to register; the resource on the web site, unless it is there."""
    zone.opens_registration = False
    said = steps(tmp_path, user, "https://proxy.example")
    assert f'1. Register the resource on the web site of the zone "default" ({zone.url})' in said
    assert "name lab-files, proxy URL https://proxy.example" in said and "2. kachery-resource link" in said
    zone.resources["lab-files"] = "https://proxy.example"
    said = steps(tmp_path, user, "https://proxy.example")
    assert "1. kachery-resource link" in said and "or just lab-files" in said
    zone.clients.clear()
    said = steps(tmp_path, user, "https://proxy.example")
    assert f"1. Open in a browser, to register this client:\n     {zone.url}/registerClient/" in said


def test_a_zone_that_is_not_there(lab, tmp_path):
    said = steps(tmp_path, lab.host, lab.url, "--zone", "none")
    assert "Zone not found: none" in said and "not registered" not in said


@pytest.mark.parametrize("quiet", [True, False])
def test_without_a_network(user, tmp_path, quiet):
    env = {**user, "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{harness.free_port()}"}
    said = steps(tmp_path, env, "https://proxy.example", *(["-q"] if quiet else []))
    assert ("kachery-resource register" in said and "kachery-resource share" in said) != quiet
