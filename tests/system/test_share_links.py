"""Share links (EXTENSIONS.md §4): a file of a private zone is read by a token, until it expires, is revoked, or its maker
may not read any more; what a token does not open looks like a file that does not exist."""
import hashlib
import json
import random
import re
import statistics
import subprocess
import time

import harness
import pytest
import tls_servers
from gateway_client import GatewayClient
from harness import run
from range_sharing import LEAF, Sharing, noise

SETTINGS = """allowPublicUpload: false
allowPublicDownload: false
authorizedUsers:
  - userId: local
    upload: true
    download: true
  - userId: chief
    admin: true
"""
ABSENT = b'{"message":"File not found"}'


class Links(Sharing):
    """A lab whose zone is private; `host` may read and makes links, `remote` is another reader."""

    def __init__(self, lab):
        super().__init__(lab)
        self.settings = lab.data / "settings/authorizationSettings.yaml"
        self.settings.write_text(SETTINGS)
        self.host, self.remote = (GatewayClient(lab.url, store) for store in (lab.host_store, lab.remote_store))

    def make(self, path, name="big.nwb", lasts_s=3600, client=None):
        """The path of a new link's URL."""
        status, answer = (client or self.host).call("createLink", hash=path[3:], name=name,
                                                    expires=int((time.time() + lasts_s) * 1000))
        assert status == 200, answer
        assert set(answer) == {"type", "url", "expires"} and answer["url"].startswith(self.lab.url + "/"), answer
        return answer["url"][len(self.lab.url):]

    def status_of(self, path, **headers):
        answer, body = self.ask(path, **headers)
        assert answer.status != 404 or body == ABSENT
        return answer.status

    def own(self, client, user):
        record = self.lab.data / "clients" / client.client_id
        fields = json.loads(record.read_text())
        record.write_text(json.dumps({**fields, "ownerId": user}))

    def stored(self):
        return [path for path in (self.lab.data / ".hub/links").rglob("*") if path.is_file()]


@pytest.fixture
def links(lab):
    """A lab whose zone is private, and two clients that make and use share links."""
    return Links(lab)


def listed(client):
    status, answer = client.call("listLinks")
    assert status == 200, answer
    return answer["links"]


def id_of(path):
    token = re.match(r"/[fd]/~([A-Za-z0-9_-]+)/", path).group(1)
    return token[2:10] + hashlib.sha256(token.encode()).hexdigest()


def test_a_gateway_alone_makes_no_links(tmp_path, processes):
    server = processes(harness.Server("gateway", "--data", str(tmp_path / "zone"), "--open-registration",
                                      env=harness.clean_environment(HOME=tmp_path)))
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store", KACHERY_GATEWAY_URL=server.url)
    run("register", "--label", "x", env=env, check=0)
    status, text = GatewayClient(server.url, tmp_path / "store").call("listLinks")
    assert (status, text) == (500, "Error: this gateway has no share links")
    assert "links" not in harness.http("POST", f"{server.url}/api/gateway", {})[1]["Kachery-Extensions"]


def test_links_are_announced_made_listed_and_revoked(links):
    path = links.put("big", noise(100))
    assert "links" in harness.http("POST", f"{links.lab.url}/api/gateway", {})[1]["Kachery-Extensions"].split(", ")
    link, other = links.make(path, "a b/ü.nwb"), links.make(path, "folder/", client=links.remote)
    assert re.fullmatch(rf"/f/~{path[3:5]}[A-Za-z0-9_-]{{32}}/a%20b/%C3%BC\.nwb", link), link
    assert re.fullmatch(rf"/d/~{path[3:5]}[A-Za-z0-9_-]{{32}}/", other), other
    assert {file.parent.name + file.name for file in links.stored()} == {id_of(link), id_of(other)}
    kept = b"".join(file.read_bytes() for file in links.stored())
    assert link[4:38].encode() not in kept and link[16:38].encode() not in kept
    (mine,) = listed(links.host)
    assert {key: mine[key] for key in ("id", "hash", "name", "clientId", "zone")} == {
        "id": id_of(link), "hash": path[3:], "name": "a b/ü.nwb", "clientId": links.host.client_id, "zone": "default"}
    assert links.remote.call("revokeLink", id=id_of(link)) == (200, {"type": "revokeLink", "revoked": 0})
    assert links.host.call("revokeLink", hash=path[3:]) == (200, {"type": "revokeLink", "revoked": 1})
    assert [entry["id"] for entry in listed(links.remote)] == [id_of(other)]
    links.own(links.host, "chief")
    assert [entry["id"] for entry in listed(links.host)] == [id_of(other)]
    assert links.host.call("revokeLink", id=id_of(other)) == (200, {"type": "revokeLink", "revoked": 1})
    assert links.stored() == []


def test_who_may_not_read_makes_no_link(links):
    path = links.put("big", noise(100))
    fields = {"hash": path[3:], "name": "n", "expires": int(time.time() * 1000) + 60000}
    links.own(links.remote, "stranger")
    assert links.remote.call("createLink", **fields) == (500, "Error: User stranger is not authorized.")
    assert links.host.post({"payload": {"type": "createLink", **fields, "timestamp": int(time.time() * 1000)}}) == (
        500, "Error: No verified client ID or user ID")
    (links.lab.data / "clients" / links.remote.client_id).unlink()
    status, text = links.remote.call("createLink", **fields)
    assert status == 500 and "not registered" in text
    for wrong in ({"expires": 5}, {"expires": int(time.time() * 1000) + 200 * 365 * 86400 * 1000}, {"name": "../x"},
                  {"name": "/x"}, {"name": "a\nb"}):
        assert links.host.call("createLink", **{**fields, **wrong})[0] == 500, wrong
    for wrong in ({"expires": "soon"}, {"expires": -1}, {"name": ""}, {"name": "n" * 1025}, {"hash": "x"}, {"more": 1}):
        assert links.host.call("createLink", **{**fields, **wrong})[0] == 400, wrong
    assert links.stored() == []


def test_a_client_has_so_many_links(links):
    path = links.put("big", noise(100))
    links.make(path)
    (file,) = links.stored()
    fields = json.loads(file.read_text())
    for number in range(1, 1000):
        (file.parent / f"{number:064x}").write_text(json.dumps({**fields, "name": "n" * 500}))
    status, text = links.host.call("createLink", hash=path[3:], name="n", expires=fields["expires"])
    assert status == 500 and "1000 share links of this client exist: revoke one first" in text
    (file.parent / f"{1:064x}").write_text(json.dumps({**fields, "expires": 5}))
    links.make(path)
    links.make(path, client=links.remote)
    seen, after = [], {}
    while True:
        status, answer = links.host.call("listLinks", **after)
        assert status == 200 and len(json.dumps(answer)) < 102400
        seen += [entry["id"] for entry in answer["links"]]
        if "next" not in answer:
            break
        after = {"after": answer["next"]}
    assert len(seen) == len(set(seen)) == 1000
    assert links.host.call("revokeLink", hash=path[3:])[1]["revoked"] == 1000
    assert len(links.stored()) == 1


def test_a_token_reads_a_file_of_a_private_zone(links, tmp_path):
    data = noise(5 * LEAF + 9)
    path = links.put("big", data)
    link = links.make(path, "my video.mp4")
    assert links.status_of(path) == 404
    url = links.lab.url + link
    got = subprocess.run(["curl", "-sSf", "--retry", "0", url], capture_output=True, timeout=60, check=True).stdout
    assert got == data
    for form in (link, link.replace("~", "%7E"), link.replace("~", "%7e"), link.replace("video", "v%69deo")):
        got = subprocess.run(["curl", "-sSf", "-r", f"{LEAF - 5}-{LEAF + 5}", links.lab.url + form],
                                     capture_output=True, timeout=60, check=True).stdout
        assert got == data[LEAF - 5:LEAF + 6], form
    answer, body = links.ask(link, "HEAD")
    assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", str(len(data)))
    assert answer.headers["Cache-Control"] == "private, no-store" and answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    answer, body = links.ask(link, Range="bytes=99999999-")
    assert answer.status == 416 and answer.headers["Cache-Control"] == "private, no-store"
    run("store", links.lab.folder / "big", env=links.lab.host, check=0)
    assert links.ask(link)[1] == data
    assert links.ask(link)[0].headers["Cache-Control"] == "private, no-store"
    assert links.part(link, 5, 10) == data[5:10]
    assert links.status_of(path) == 404


def test_where_downloads_are_public_a_token_is_still_private(links):
    links.settings.write_text(SETTINGS.replace("allowPublicDownload: false", "allowPublicDownload: true"))
    data = noise(1000)
    path = links.put("big", data)
    link = links.make(path)
    assert links.ask(path)[0].headers["Cache-Control"].startswith("public")
    answer, body = links.ask(link)
    assert body == data and answer.headers["Cache-Control"] == "private, no-store"
    assert links.host.call("revokeLink", hash=path[3:])[1]["revoked"] == 1
    assert links.status_of(link) == 404


def test_what_a_token_does_not_open_is_a_file_that_is_not_there(links):
    path = links.put("big", noise(1000))
    other = links.put("other", noise(1000, 2))
    link, short = links.make(path, "big.nwb"), links.make(path, "big.nwb", lasts_s=3)
    token = link[4:38]
    assert links.status_of(short) == links.status_of(link) == 200
    absent = links.ask(f"/f/{'0' * 40}")
    wrong = [f"/f/~{token}/big.h5", f"/f/~{token}/big.nwb/", f"/f/~{token}/", f"/f/~{token}", f"/f/~{token}x/big.nwb",
             f"/f/~{token[:-1]}/big.nwb", f"/f/~{token[:-1]}{'a' if token[-1] != 'a' else 'b'}/big.nwb", "/f/~/x", "/f/~",
             f"/f/~{token[:-1]}./big.nwb", f"/f/{token}/big.nwb", f"/f/~{token}//big.nwb", f"/f/~{other[3:5]}{token[2:]}/big.nwb",
             f"/f/~~{token}/big.nwb", f"/f/~{token}/x/big.nwb", f"/f/~{'f' * 5000}/big.nwb", f"/f/~{token}/big.nwb%"]

    def strip(answer):
        return {name: value for name, value in answer.headers.items() if name != "Date"}
    for form in wrong:
        answer, body = links.ask(form)
        assert (answer.status, body, strip(answer)) == (404, ABSENT, strip(absent[0])), form
    harness.until(lambda: links.status_of(short) == 404, "the link is over")
    assert links.status_of(link) == 200
    connection = links.connect()
    assert links.status_of(link, connection=connection) == 200
    assert links.host.call("revokeLink", id=id_of(link))[1]["revoked"] == 1
    for form in (link, short):
        answer, body = links.ask(form, connection=connection)
        assert (answer.status, body, strip(answer)) == (404, ABSENT, strip(absent[0])), form


def test_a_link_is_worth_what_its_maker_may_read(links):
    data = noise(LEAF + 1)
    path = links.put("big", data)
    link = links.make(path, client=links.remote)
    connection = links.connect()
    assert links.part(link, 0, 9, connection=connection) == data[:9]
    links.own(links.remote, "stranger")
    assert links.status_of(link, connection=connection, Range="bytes=0-8") == 404
    links.own(links.remote, "local")
    assert links.part(link, 0, 9, connection=connection) == data[:9]
    (links.lab.data / "clients" / links.remote.client_id).unlink()
    assert links.status_of(link) == 404


def test_a_link_to_a_file_of_another_zone(links):
    port = links.lab.hub.port
    links.lab.hub.stop()  # the next one expects no daemons of before
    links.lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "range_start_ms=0"}
    links.lab.start_hub(f"127.0.0.1:{port}")
    data = noise(1000)
    digest = hashlib.sha1(data).hexdigest()
    folder = links.lab.data / "zones/lab"
    (folder / "clients").mkdir(parents=True)
    (folder / "settings").mkdir()
    (folder / "settings/authorizationSettings.yaml").write_text(SETTINGS)
    record = links.lab.data / "clients" / links.host.client_id
    (folder / "clients" / links.host.client_id).write_text(record.read_text())
    (links.lab.data / "registered-zones").mkdir()
    (links.lab.data / "registered-zones/lab").write_text(json.dumps(
        {"zone": "lab", "ownerId": "o", "bucketName": "default", "directory": "zones/lab"}))
    client = GatewayClient(links.lab.url, links.lab.host_store, "lab")
    link = links.make(f"/f/{digest}", "x", client=client)
    assert links.status_of(link) == 404
    store = links.lab.environment(links.lab.host_store, KACHERY_ZONE="lab")
    (links.lab.folder / "x").write_bytes(data)
    run("store", links.lab.folder / "x", env=store, check=0)
    answer, body = links.ask(link)
    assert (answer.status, body) == (200, data)
    assert listed(links.host) == [] and len(listed(client)) == 1
    assert links.status_of(f"/f/{digest}") == 404
    index = json.dumps({"kachery-folder": 1, "files": {"a/b": {"sha1": digest, "size": 1000}}}).encode()
    (links.lab.folder / "index").write_bytes(index)
    run("store", links.lab.folder / "index", env=store, check=0)
    tree = links.make(f"/f/{hashlib.sha1(index).hexdigest()}", "tree/", client=client)
    assert tree.startswith("/d/~") and links.ask(f"{tree}a/b")[1] == data
    assert json.loads(links.ask(tree, Accept="application/json")[1]) == [{"name": "a", "type": "directory"}]
    assert [links.status_of(f"{tree}{path}") for path in ("c", "a/b/", "a/")] == [404, 404, 200]
    assert links.status_of(f"/d/{hashlib.sha1(index).hexdigest()}/a/b") == 404
    (folder / "clients" / links.host.client_id).unlink()
    assert [links.status_of(path) for path in (link, f"{tree}a/b")] == [404, 404]


def test_no_token_gets_into_a_log(lab):
    lab.hub.stop()
    lab.start_hub("127.0.0.1:0", "-v")
    lab.write_config()
    links = Links(lab)
    path = links.put("big", noise(1000))
    link = links.make(path)
    assert links.status_of(link) == 200
    assert links.status_of(link + "x") == 404
    links.settings.write_text("no settings")
    assert links.status_of(link) == 500
    lab.hub.stop()
    said = lab.hub.text() + links.daemon.text()
    assert "share link made" in said and "a file cannot be sent" in said
    assert link[4:38] not in said and link[14:38] not in said


def test_the_404s_take_the_same_time(links):
    path = links.put("big", noise(1000))
    revoked, kept = links.make(path), links.make(path)
    links.host.call("revokeLink", id=id_of(revoked))
    token = kept[4:38]
    forms = {"revoked": revoked, "unknown": f"/f/~{token[:-4]}AAAA/big.nwb", "name": f"/f/~{token}/big.nwc"}
    connection = links.connect()

    def medians():
        times = {form: [] for form in forms}
        for _ in range(200):
            for name in random.sample([*forms], len(forms)):
                start = time.perf_counter()
                assert links.ask(forms[name], connection=connection)[0].status == 404
                times[name].append(time.perf_counter() - start)
                assert times[name][-1] > 0.009, name
        return {name: statistics.median(values) for name, values in times.items()}
    series = []
    while not series or max(series[-1].values()) > 1.05 * min(series[-1].values()):
        assert len(series) < 4, series  # other programs disturb one or another, but a difference is in all of them
        series.append(medians())


def test_no_token_gets_into_the_logs_of_nginx(links, processes, tmp_path):
    """With the lines of `help hub`."""
    text = (harness.ROOT / "src/help/hub.txt").read_text()
    http = re.search(r"^    map .*?'\$kachery_uri.*?;\n", text, re.MULTILINE | re.DOTALL).group()
    logs = re.search(r"^    access_log .*?\n    error_log .*?\n", text, re.MULTILINE | re.DOTALL).group()
    logs = logs.replace("/var/log/nginx", str(tmp_path))
    nginx = processes(tls_servers.Nginx(tmp_path / "nginx", [
        "listen LISTEN;" + logs + tls_servers.location_of_help(links.lab.url)], http=http))
    data = noise(3 * LEAF)
    link = links.make(links.put("big", data))
    base = f"http://127.0.0.1:{nginx.ports[0]}"
    for form in (link, link.replace("~", "%7E"), link.replace("~", "%7e") + "x", link + "?q", "/bucket/x?Signature=secret"):
        status, _, body = harness.http("GET", base + form)
        assert (body == data) == (status == 200)
    links.lab.hub.stop()
    assert harness.http("GET", base + link)[0] == 502
    nginx.stop()
    kept = (tmp_path / "kachery.log").read_text()
    assert kept.count('"GET /f/~" ') == 5 and '"GET /bucket/x" ' in kept
    for log in [*tmp_path.glob("*.log"), *(tmp_path / "nginx").glob("*.log")]:
        assert link[14:38] not in log.read_text() and "secret" not in log.read_text(), log


def url_of(links, *arguments, env=None):
    done = run("url", *arguments, env=env or links.lab.host, check=0)
    url = done.stdout.decode()
    assert url.endswith("\n") and url.startswith(links.lab.url + "/"), done
    return url[len(links.lab.url):-1], done.stderr.decode()


def rows(links, env=None):
    lines = run("url", "--list", env=env or links.lab.host, check=0).stdout.decode().splitlines()
    return [tuple(line.split("\t")) for line in lines]


def test_url_where_downloads_are_not_public(links):
    data = noise(LEAF + 5)
    uri = "sha1://" + links.put("rec.nwb", data)[3:]
    link, said = url_of(links, f"{uri}?label=data/rec%201.nwb")
    until = time.strftime("%Y-%m-%dT", time.gmtime(time.time() + 7 * 86400))
    assert link.endswith("/rec%201.nwb") and "are not public" in said and until in said
    assert links.ask(link)[1] == data
    assert url_of(links, "-q", uri)[1] == ""
    assert url_of(links, uri)[0].endswith("/" + uri[7:])
    assert url_of(links, uri, "--name", "größe.h5")[0].endswith("/gr%C3%B6%C3%9Fe.h5")
    assert re.fullmatch(r"/d/~[^/]*/", url_of(links, uri + "?label=folder/")[0])
    done = json.loads(run("url", uri, "--expires", "90m", "--json", env=links.lab.host, check=0).stdout)
    assert set(done) == {"url", "expires"} and abs(done["expires"] / 1000 - time.time() - 5400) < 120
    assert links.ask(done["url"][len(links.lab.url):])[1] == data
    link, said = url_of(links, uri, "--expires", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86400)))
    assert said == ""
    for wrong in ("soon", "", "-1d", "2020-01-01", "40000d"):
        done = run("url", uri, f"--expires={wrong}", env=links.lab.host, check=2)
        assert b"want a time like 90m, 12h, 7d" in done.stderr and done.stdout == b""
    links.own(links.host, "stranger")
    done = run("url", uri, env=links.lab.host, check=1)
    assert b"are not public" in done.stderr and b"User stranger is not authorized" in done.stderr and done.stdout == b""
    assert b"User stranger" in run("url", uri, "--expires", "1h", env=links.lab.host, check=1).stderr


def test_url_where_downloads_are_public(links):
    links.settings.write_text(SETTINGS.replace("allowPublicDownload: false", "allowPublicDownload: true"))
    data = noise(1000)
    uri = "sha1://" + links.put("rec.nwb", data)[3:]
    assert url_of(links, uri) == (f"/f/{uri[7:]}", "")
    link, said = url_of(links, uri, "--expires", "12h")
    assert link.startswith("/f/~") and said == "" and links.ask(link)[1] == data
    assert len(rows(links)) == 1


def test_links_are_listed_and_revoked_by_their_makers(links):
    uri = "sha1://" + links.put("rec.nwb", noise(1000))[3:]
    other = "sha1://" + links.put("other", noise(1000, 2))[3:]
    assert rows(links) == [] and run("url", "--list", "--json", env=links.lab.host, check=0).stdout == b"[]\n"
    first, second, third = (url_of(links, "-q", uri)[0] for _ in range(3))
    url_of(links, "-q", f"{other}?label=a%20b%0A")
    theirs = url_of(links, "-q", uri, env=links.lab.remote)[0]
    listed_rows = rows(links)
    assert {row[1] for row in listed_rows if row[2].startswith(uri)} == {id_of(link) for link in (first, second, third)}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[0]) for row in listed_rows) and len(listed_rows) == 4
    (entry,) = json.loads(run("url", "--list", "--json", env=links.lab.remote, check=0).stdout)
    assert (entry["id"], entry["uri"], entry["clientId"]) == (id_of(theirs), f"{uri}?label={uri[7:]}", links.remote.client_id)
    assert abs(entry["expires"] - entry["created"] - 7 * 86400000) < 60000

    def revoke(*what, check=0, env=None):
        return run("url", *what, "--revoke", env=env or links.lab.host, check=check)
    done = revoke(links.lab.url + theirs, check=3)
    assert b"no such share link of yours" in done.stderr and theirs[14:38].encode() not in done.stderr + done.stdout
    assert revoke(links.lab.url + first.replace("~", "%7E")).stdout == b"1 revoked\n"
    assert links.status_of(first) == 404 and links.status_of(second) == 200
    assert revoke(links.lab.url + first, check=3).stdout == b""
    assert json.loads(revoke(id_of(second), "--json").stdout) == {"revoked": 1}
    assert links.status_of(second) == 404 and links.status_of(third) == 200
    assert revoke(uri).stdout == b"1 revoked\n"
    assert links.status_of(third) == 404 and links.status_of(theirs) == 200
    assert [row[2].split("?")[0] for row in rows(links)] == [other]
    links.own(links.host, "chief")
    assert len(rows(links)) == 2
    assert revoke(uri, check=3).stdout == b""
    assert revoke(links.lab.url + theirs).stdout == b"1 revoked\n"
    assert links.status_of(theirs) == 404


def test_url_is_used_wrongly(links):
    uri = "sha1://" + "1" * 40
    for wrong in ((), (uri, uri), (uri, "--list"), (uri, "--revoke", "--expires", "7d"), ("--list", "--revoke"),
                  ("--list", "--name", "x"), (links.lab.url + "/f/" + "1" * 40, "--revoke"), ("--revoke",)):
        done = run("url", *wrong, env=links.lab.host, check=2)
        assert done.stdout == b"" and done.stderr, wrong
    for wrong in ("sha1://x", "nonsense"):
        assert run("url", wrong, "--revoke", env=links.lab.host).returncode in (1, 2)
    stranger = links.lab.environment(links.lab.folder / "nobody")
    for command in (("--list",), (uri, "--revoke"), (uri, "--expires", "7d")):
        assert b"kachery-resource register" in run("url", *command, env=stranger, check=1).stderr


def test_url_of_a_gateway_without_links(tmp_path, processes):
    server = processes(harness.Server("gateway", "--data", str(tmp_path / "zone"), "--open-registration",
                                      env=harness.clean_environment(HOME=tmp_path)))
    env = harness.clean_environment(HOME=tmp_path, KACHERY_CLOUD_DIR=tmp_path / "store", KACHERY_GATEWAY_URL=server.url)
    run("register", "--label", "x", env=env, check=0)
    for command in (("--list",), ("sha1://" + "1" * 40, "--revoke"), ("sha1://" + "1" * 40, "--expires", "7d")):
        assert b"does not announce share links" in run("url", *command, env=env, check=1).stderr


def test_a_link_to_a_folder_covers_the_files_in_it(links):
    tree = links.lab.folder / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "a").write_bytes(b"inside")
    uri = run("link", "-r", "--index", tree, env=links.lab.host, check=0).stdout.decode().splitlines()[-1].split("\t")[0]
    path = "/f/" + uri[len("sha1://"):].split("?")[0]
    link, of_file = links.make(path, "tree/"), links.make(path, "tree")
    answer, body = links.ask(link + "sub/a")
    assert (answer.status, body, answer.headers["Cache-Control"]) == (200, b"inside", "private, no-store")
    answer, body = links.ask(link + "sub/", Accept="application/json")
    assert [entry["name"] for entry in json.loads(body)] == ["a"]
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert links.status_of(link) == 200
    for other in (link + "b", link[:-1], link + "../x", of_file.replace("/f/", "/d/").rsplit("/", 1)[0] + "/sub/a",
                  path.replace("/f/", "/d/") + "/sub/a", link[:8] + "x" * 32 + "/sub/a"):
        assert links.status_of(other) == 404, other
