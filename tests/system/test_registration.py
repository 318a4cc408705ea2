"""Registration where it is open: the page with its button, our own client and curl, and what no web page of another
origin gets at."""
import concurrent.futures
import html.parser
import json
import os
import re
import socket
import subprocess
import time
import urllib.parse

import harness
import pytest
from harness import run
from our_zone import OPEN, Zone, new_client, register_url, registered

SETTINGS = "settings/authorizationSettings.yaml"
HEADER = {"Kachery-Register": "1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html,*/*;q=0.8"}


class Page(html.parser.HTMLParser):
    """The form of a page, as a browser without scripts sees it, and its texts."""

    def __init__(self, body):
        super().__init__()
        self.forms, self.fields, self.buttons, self.scripts, self.lines, self.within = [], {}, 0, 0, "", None
        self.feed(body.decode())

    def handle_starttag(self, tag, attrs):
        self.within, attrs = tag, dict(attrs)
        if tag == "form":
            self.forms.append(attrs)
        if tag == "input":
            self.fields[attrs["name"]] = attrs["value"]
        self.buttons += tag == "button"
        self.scripts += tag == "script"

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        if self.within == "pre":
            self.lines += data


def press(url, page, **more):
    """What a browser sends for the button of a page that it has at this URL."""
    form, = page.forms
    assert form["method"].lower() == "post" and page.buttons == 1
    return harness.http("POST", urllib.parse.urljoin(url, form.get("action", "")),
                        urllib.parse.urlencode({**page.fields, **more}).encode(), FORM)


def is_registered(client):
    return client.call("getClientInfo", clientId=client.client_id)[1]["found"]


@pytest.fixture
def open_zone(tmp_path, processes):
    """A zone gateway of ours with open registration and no settings."""
    return Zone(tmp_path, processes, "--open-registration", settings=None)


@pytest.fixture
def client(open_zone, tmp_path):
    """A client that `open_zone` does not know yet."""
    return new_client(open_zone, tmp_path / "new")


def in_time(name):
    return abs(json.loads(name.read_text())["timestampCreated"] - 1000 * time.time()) < 60_000


# ---- with a browser ----

def test_the_button_registers_and_the_link_alone_does_not(open_zone, client):
    url = register_url(open_zone, client)
    assert harness.http("GET", f"{open_zone.server.url}/client/{client.client_id}")[0] == 404
    for _ in range(2):
        status, headers, body = harness.http("GET", url)
        assert status == 200 and headers["Content-Type"].startswith("text/html")
        assert client.client_id.encode() in body and "my host/ü".encode() in body
        assert not is_registered(client)
    status, headers, body = press(url, Page(body))
    assert status == 200 and b"is registered in zone default" in body
    record = client.call("getClientInfo", clientId=client.client_id)[1]["client"]
    assert record["ownerId"] == "local" and record["label"] == "my host/ü"
    stored = open_zone.data / "clients" / client.client_id
    assert set(json.loads(stored.read_text())) == {"clientId", "ownerId", "timestampCreated", "label"} and in_time(stored)
    assert client.call("initiateFileUpload", size=1, hashAlg="sha1", hash="0" * 40)[0] == 200
    assert harness.http("GET", f"{open_zone.server.url}/client/{client.client_id}")[0] == 200
    again = harness.http("GET", url)
    assert again[0] == 200 and b"is registered" in again[2] and not Page(again[2]).forms


def test_no_page_is_framed_scripted_or_kept(open_zone, client):
    url = register_url(open_zone, client)
    answers = [harness.http("GET", url), harness.http("POST", url), harness.http("GET", url + "x&signature=1"),
               harness.http("GET", register_url(open_zone, client, zone="none")), harness.http("GET", url, headers={"Host": "a.b"}),
               harness.http("GET", f"{open_zone.server.url}/client/{client.client_id}"), registered(open_zone, client),
               harness.http("GET", url), harness.http("OPTIONS", url)]
    assert [status for status, _, _ in answers] == [200, 403, 200, 404, 421, 404, 200, 200, 403]
    for _, headers, body in answers:
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
        assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert not Page(body).scripts and str(open_zone.data).encode() not in body


@pytest.mark.parametrize("spoil", [
    lambda token, other: "", lambda token, other: other, lambda token, other: token[:-1] + ("0" if token[-1] != "0" else "1"),
    lambda token, other: str(int(token.split(".")[0]) + 60) + "." + token.split(".")[1],
    lambda token, other: token + "0", lambda token, other: "é"], ids=["none", "another link's", "changed", "longer life", "longer", "text"])
def test_what_is_no_token_of_the_page(open_zone, client, tmp_path, spoil):
    """It shows a page on which the button can be pressed."""
    url, other = register_url(open_zone, client), new_client(open_zone, tmp_path / "other")
    page = Page(harness.http("GET", url)[2])
    others = Page(harness.http("GET", register_url(open_zone, other))[2]).fields["token"]
    status, headers, body = press(url, page, token=spoil(page.fields["token"], others))
    assert status == 403 and headers["Content-Type"].startswith("text/html")
    assert not is_registered(client) and not is_registered(other)
    assert press(url, Page(body))[0] == 200 and is_registered(client)


def test_a_token_is_bound_to_all_of_the_link(open_zone, client):
    page = Page(harness.http("GET", register_url(open_zone, client))[2])
    open_zone.write("registered-zones/other", {"ownerId": "o", "bucketName": "default", "directory": "other"})
    for link in (register_url(open_zone, client, label="b"), register_url(open_zone, client, zone="other"), register_url(open_zone, client, zone="")):
        assert press(link, page)[0] == 403
    assert not is_registered(client)


def test_labels_are_escaped(open_zone, client, tmp_path):
    label = "<script>&\"x\""
    body = harness.http("GET", register_url(open_zone, client, label=label))[2]
    assert b"<script>" not in body and b"&lt;script&gt;&amp;&quot;x&quot;" in body
    press(register_url(open_zone, client, label=label), Page(body))
    body = harness.http("GET", f"{open_zone.server.url}/client/{client.client_id}")[2]
    assert b"<script>" not in body and b"&lt;script&gt;&amp;&quot;x&quot;" in body
    too_long = new_client(open_zone, tmp_path / "second")
    assert harness.http("GET", register_url(open_zone, too_long, label="x" * 201))[0] == 403


# ---- what other origins get ----

def test_pages_of_other_origins(open_zone, client):
    """They may neither read a page, nor ask whether they may send the header, nor send a form that counts."""
    url = register_url(open_zone, client)
    origin = {"Origin": "https://evil.example"}
    for method in ("GET", "POST"):
        _, headers, _ = harness.http(method, url, headers=origin)
        assert not [name for name in headers if name.lower().startswith("access-control-")]
    for wanted in ("kachery-register", "content-type"):
        status, headers, _ = harness.http("OPTIONS", url, headers={
            **origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted})
        assert status == 403 and not [name for name in headers if name.lower().startswith("access-control-")]
    for value in ("", "0", "true", "1, 1"):
        assert harness.http("POST", url, headers={"Kachery-Register": value})[0] == 403
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        assert harness.http("POST", url, b"token=1", {"Content-Type": kind, **origin})[0] == 403
    assert not is_registered(client)


@pytest.mark.parametrize("host, is_own", [
    ("evil.example", False), ("evil.example:8080", False), ("127.0.0.1.evil.example", False), ("localhost.evil.example", False),
    ("", False), ("127.0.0.1:1", True), ("[::1]:1", True), ("localhost", True), ("hub:8080", True), (os.uname().nodename, True)])
def test_hosts(open_zone, client, host, is_own):
    url = register_url(open_zone, client)
    token = Page(harness.http("GET", url)[2]).fields["token"]
    body = urllib.parse.urlencode({"token": token}).encode()
    for method, more, headers in (("GET", None, {}), ("POST", body, FORM), ("POST", None, HEADER)):
        status, _, answer = harness.http(method, url, more, {**headers, "Host": host})
        assert (status == 200) if is_own else (status == 421 and b"--public-url" in answer and b"token" not in answer)
    assert is_registered(client) == is_own


def test_a_request_without_host(open_zone, client):
    target = register_url(open_zone, client).removeprefix(open_zone.server.url)
    with socket.create_connection(("127.0.0.1", open_zone.server.port), timeout=harness.DEADLINE_S) as s:
        s.sendall(f"POST {target} HTTP/1.0\r\nKachery-Register: 1\r\nContent-Length: 0\r\n\r\n".encode())
        assert b" 421 " in s.recv(65536)
    assert not is_registered(client)


def test_the_public_url_is_an_own_name(tmp_path, processes):
    zone = Zone(tmp_path, processes, "--open-registration", "--public-url", "https://hub.example/k", settings=None)
    client = new_client(zone, tmp_path / "new")
    url = register_url(zone, client)
    assert harness.http("GET", url, headers={"Host": "other.example"})[0] == 421
    page = Page(harness.http("GET", url, headers={"Host": "Hub.Example"})[2])
    assert f"'https://hub.example/k{url.removeprefix(zone.server.url)}'" in page.lines
    assert registered(zone, client)[0] == 200


# ---- without a browser ----

def test_the_curl_line_of_the_page(open_zone, client):
    page = Page(harness.http("GET", register_url(open_zone, client, label="it's"))[2])
    done = subprocess.run(["sh", "-c", page.lines], capture_output=True, timeout=harness.DEADLINE_S)
    assert done.returncode == 0 and b"is registered in zone default" in done.stdout and b"<" not in done.stdout
    assert client.call("getClientInfo", clientId=client.client_id)[1]["client"]["label"] == "it's"


@pytest.mark.parametrize("options, headers, start, is_guessed", [
    ((), {}, "http://127", True), ((), {"X-Forwarded-Proto": "https"}, "https://127", False),
    ((), {"X-Forwarded-Proto": "http"}, "http://127", False), (("--public-url", "https://127.0.0.1"), {}, "https://127", False)])
def test_the_scheme_of_the_curl_line(tmp_path, processes, options, headers, start, is_guessed):
    """It is only assumed where neither a front nor --public-url says it: the front may speak TLS."""
    zone = Zone(tmp_path, processes, "--open-registration", *options)
    status, _, body = harness.http("GET", register_url(zone, new_client(zone, tmp_path / "new")), headers=headers)
    assert status == 200 and f" '{start}" in Page(body).lines
    assert ("Write https:// there" in body.decode()) == is_guessed


@pytest.mark.parametrize("tool", ["register", "kachery-cloud-init"])
def test_our_client_posts_its_link(open_zone, tmp_path, tool):
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store", KACHERY_GATEWAY_URL=open_zone.server.url)
    if tool == "register":
        done = run("register", "--label", "mine", env=env, check=0)
        client = done.stdout.decode().strip()
    else:
        (tmp_path / tool).symlink_to(harness.BINARY)
        done = subprocess.run([tmp_path / tool], env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.DEADLINE_S)
        assert done.returncode == 0, done
        client = re.search(r"Client ID: (\w+)", done.stdout.decode())[1]
    assert (open_zone.data / "clients" / client).exists()
    assert b"/registerClient/" not in done.stdout + done.stderr


@pytest.mark.parametrize("tool", ["register", "kachery-cloud-init"])
@pytest.mark.parametrize("options, name, words, has_curl", [
    ([], "default", "403 Forbidden: Registration is closed: ask who runs this gateway to start it with --open-registration", True),
    ([], "none", "404 Not Found: This gateway has no zone \"none\": set KACHERY_ZONE to one that it has (its own is \"default\")", False),
    (["--open-registration"], "none", "404 Not Found: This gateway has no zone \"none\": set KACHERY_ZONE", False)])
def test_our_client_says_why_it_is_refused_and_ends(tmp_path, processes, tool, options, name, words, has_curl):
    zone = Zone(tmp_path, processes, *options)
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store", KACHERY_GATEWAY_URL=zone.server.url,
                                    KACHERY_ZONE=name)
    (tmp_path / "kachery-cloud-init").symlink_to(harness.BINARY)
    command = [harness.BINARY, tool] if tool == "register" else [str(tmp_path / tool)]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.DEADLINE_S)
    said = done.stderr.decode()
    assert done.returncode == 1 and words in said, said
    assert "not registered" not in said and ("curl -X POST -H 'Kachery-Register: 1' 'http" in said) == has_curl
    if has_curl:
        zone.server.stop()
        zone.start("--open-registration")
        old, new = re.search(r"http://[\d.:]+/", said)[0], zone.server.url + "/"
        curl = re.search(r"^curl .*$", said, re.M)[0].replace(old, new)
        assert subprocess.run(["sh", "-c", curl], capture_output=True).returncode == 0
        assert len(list((zone.data / "clients").iterdir())) == 2


def test_a_name_that_the_hub_does_not_know(open_zone, tmp_path):
    """As when it is reached by a full name without --public-url."""
    hosts = {"HOSTALIASES": tmp_path / "aliases"}
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store", **hosts, no_proxy="",
                                    http_proxy=open_zone.server.url, KACHERY_GATEWAY_URL="http://hub.lab.example")
    done = run("register", env=env, check=1)  # the "proxy" is the hub itself, which so sees that Host
    assert b"421 Misdirected Request" in done.stderr and b"--public-url" in done.stderr


# ---- what registering writes ----

def test_the_settings_come_at_the_start(tmp_path, processes):
    zone = Zone(tmp_path, processes, "--open-registration", settings=None)
    text = (zone.data / SETTINGS).read_text()
    assert "allowPublicUpload: true" in text
    client = new_client(zone, tmp_path / "new")
    (zone.data / SETTINGS).unlink()
    assert registered(zone, client)[0] == 200 and not (zone.data / SETTINGS).exists()


def test_no_request_makes_a_zone_public(tmp_path, processes):
    zone = Zone(tmp_path, processes, "--open-registration", settings=None)
    zone.write("registered-zones/archive", {"zone": "archive", "ownerId": "o", "bucketName": "default", "directory": "archive"})
    client = new_client(zone, tmp_path / "new")
    url = register_url(zone, client, zone="archive")
    for answer in (harness.http("GET", url), press(url, Page(harness.http("GET", url)[2])), harness.http("POST", url, headers=HEADER)):
        assert answer[0] == 200
    assert [str(p.relative_to(zone.data / "archive")) for p in (zone.data / "archive").rglob("*") if p.is_file()] == \
        [f"clients/{client.client_id}"]
    client.zone = "archive"
    assert client.call("initiateFileUpload", size=1, hashAlg="sha1", hash="0" * 40)[0] == 500


def test_settings_are_not_touched(tmp_path, processes):
    settings = "allowPublicUpload: false # ours\nauthorizedUsers: []\n"
    zone = Zone(tmp_path, processes, "--open-registration", settings=settings)
    assert registered(zone, new_client(zone, tmp_path / "new"))[0] == 200
    assert (zone.data / SETTINGS).read_text() == settings


def test_registrations_at_once_in_a_large_registry(tmp_path, processes):
    """users/ is neither read nor written, whatever is in it; clients/ may have any number."""
    zone = Zone(tmp_path, processes, "--open-registration")
    (zone.data / "users").mkdir()
    huge = json.dumps({"clientIds": ["0" * 64] * 20_000, "resourceNames": []})
    (zone.data / "users" / "local").write_text(huge)
    for i in range(20_000):
        (zone.data / "clients" / f"{i:064x}").touch()
    clients = [new_client(zone, tmp_path / str(i)) for i in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda c: registered(zone, c)[0], clients))
    assert answers == [200] * len(clients)
    assert (zone.data / "users" / "local").read_text() == huge
    assert all(is_registered(c) for c in clients)


def test_closed_registration(tmp_path, processes):
    zone = Zone(tmp_path, processes)
    client = new_client(zone, tmp_path / "new")
    url = register_url(zone, client)
    for method, headers in (("GET", {}), ("POST", HEADER), ("POST", FORM)):
        status, _, body = harness.http(method, url, headers=headers)
        assert status == 403 and b"Registration is closed" in body and b"--open-registration" in body
    assert not is_registered(client)
    assert harness.http("GET", register_url(zone, zone.client))[0] == 200  # who is registered is told so


def test_wrong_links(open_zone, client):
    url = register_url(open_zone, client)
    for wrong in (url.replace("signature=", "signature=00"), re.sub("signature=[0-9a-f]*", "", url),
                  url.replace(client.client_id, open_zone.client.client_id)):
        assert harness.http("GET", wrong)[0] == 403 and harness.http("POST", wrong, headers=HEADER)[0] == 403
    assert harness.http("POST", register_url(open_zone, client, zone="none"), headers=HEADER)[0] == 404
    assert harness.http("POST", f"{open_zone.server.url}/registerClient/xyz", headers=HEADER)[0] == 404
    assert harness.http("POST", url, b"x" * 5000, FORM)[0] == 413
    assert not is_registered(client)


def check_no_path(zone, client):
    url = register_url(zone, client)
    for answer in (registered(zone, client), press(url, Page(harness.http("GET", url)[2]))):
        assert answer[0] == 500 and str(zone.data).encode() not in answer[2] and b"/" not in answer[2].split(b"<h1>")[-1].replace(b"</", b"")
    zone.server.wait_line(str(zone.data))


def test_no_page_has_a_path_of_the_server(tmp_path, processes):
    zone = Zone(tmp_path, processes, "--open-registration")
    (zone.data / "clients" / zone.client.client_id).unlink()
    (zone.data / "clients").rmdir()
    (zone.data / "clients").write_text("no folder")
    check_no_path(zone, new_client(zone, tmp_path / "new"))


def test_no_answer_of_the_api_has_a_path_of_the_server(tmp_path, processes):
    zone = Zone(tmp_path, processes, settings=OPEN)
    zone.write("resources/broken", "{}")
    zone.write("registered-zones/broken", "{")
    for type_, fields in (("getResourceInfo", {"resourceName": "broken"}), ("findFile", {"hashAlg": "sha1", "hash": "0" * 40, "zone": "broken"})):
        status, answer = zone.anonymous(type_, **fields)
        assert status == 500 and "broken" in answer and str(zone.data) not in answer and str(tmp_path) not in answer


def test_the_link_is_not_logged(open_zone, client):
    url = register_url(open_zone, client)
    signature = client.sign({"type": "addClient"})
    press(url, Page(harness.http("GET", url)[2]))
    harness.http("GET", url, headers={"Host": "evil.example"})
    harness.http("GET", register_url(open_zone, client, zone="none"))
    harness.http("POST", url, b"x" * 5000, FORM)
    open_zone.server.wait_line("registered client=")
    open_zone.server.stop()
    assert signature not in open_zone.server.text() and "signature=" not in open_zone.server.text()
