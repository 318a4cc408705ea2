"""Web pages of another origin (figurl, say) at the hub: CORS in words, then a page in a real browser."""
import http.server
import json
import queue
import shutil
import threading
import time

import harness
import pytest
from harness import run, sha1

CHROMIUM = shutil.which("chromium")
CHROMIUM_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                  "--disable-background-networking", "--disable-component-update", "--disable-sync"]
DATA = bytes((i * 7 + i // 256) % 256 for i in range(300_000))
ORIGIN = {"Origin": "https://www.figurl.org"}
EXPOSED = {"accept-ranges", "content-length", "content-range", "date", "etag", "kachery-extensions"}


def find_file(digest, zone="default"):
    """As a page asks: without a signature."""
    return {"payload": {"type": "findFile", "hashAlg": "sha1", "hash": digest, "zone": zone,
                        "timestamp": int(time.time() * 1000)}}


@pytest.fixture
def requested_file(lab, tmp_path):
    """A file that was linked on the host and requested: (hub's URL, its hash)."""
    path = tmp_path / "recording.dat"
    path.write_bytes(DATA)
    uri, = lab.link(path)
    lab.share()
    run("request", uri, "--wait", env=lab.remote, check=0)
    return lab.hub.url, sha1(DATA)


def is_readable(headers):
    names = {name.strip().lower() for name in headers.get("Access-Control-Expose-Headers", "").split(",")}
    return headers.get_all("Access-Control-Allow-Origin") == ["*"] and names == EXPOSED and \
        headers.get("Access-Control-Allow-Credentials") is None


def list_of(headers, name):
    return [item.strip().lower() for item in headers.get(name, "").split(",") if item.strip()]


def test_every_answer_of_gateway_and_bucket_is_readable(requested_file):
    hub, digest = requested_file
    status, headers, body = harness.http("POST", f"{hub}/api/gateway", find_file(digest), ORIGIN)
    assert status == 200 and is_readable(headers)
    url = json.loads(body)["url"]
    for method, target, more, status in (
            ("GET", url, {}, 200), ("HEAD", url, {}, 200), ("GET", url, {"Range": "bytes=5-9"}, 206),
            ("GET", url, {"Range": "bytes=300000-"}, 416), ("GET", url, {"If-None-Match": f'"{digest}"'}, 304),
            ("GET", url, {"If-Match": '"x"'}, 412), ("GET", url[:-1], {}, 403), ("PUT", url, {}, 403)):
        got, headers, body = harness.http(method, target, None, {**ORIGIN, **more})
        assert got == status and is_readable(headers), (method, more, got)
    for body, status in ((find_file(digest, "nowhere"), 500), ({}, 400), (b"x", 400), (b"x" * 200_000, 413)):
        got, headers, answer = harness.http("POST", f"{hub}/api/gateway", body, {
            **ORIGIN, "Content-Type": "application/json"})
        assert got == status and is_readable(headers) and answer


def test_the_rest_is_not_for_other_origins(requested_file):
    hub, digest = requested_file
    for path in ("/probe", "/client/" + "0" * 64, "/registerClient/" + "0" * 64, "/nowhere"):
        assert harness.http("GET", hub + path, None, ORIGIN)[1].get("Access-Control-Allow-Origin") is None
    status, headers, _ = harness.http("OPTIONS", hub + "/r/lab-resource", None, {
        **ORIGIN, "Access-Control-Request-Method": "POST"})
    assert status == 204 and headers.get("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("method, wanted", [
    ("POST", "content-type"), ("GET", "range"), ("HEAD", None), ("PUT", "Content-Type, X-A_b.c~1"),
    ("GET", "authorization,if-none-match,if-range,range,x-requested-with")])
@pytest.mark.parametrize("path", ["/api/gateway", "/bucket/sha1/00/00/00/" + "0" * 40 + "?signature=x", "/bucket/"])
def test_preflights_allow_what_is_asked_for(requested_file, path, method, wanted):
    hub, _ = requested_file
    more = {} if wanted is None else {"Access-Control-Request-Headers": wanted}
    status, headers, body = harness.http("OPTIONS", hub + path, None, {
        **ORIGIN, "Access-Control-Request-Method": method, **more})
    assert status == 204 and body == b"" and is_readable(headers)
    assert method.lower() in list_of(headers, "Access-Control-Allow-Methods")
    assert list_of(headers, "Access-Control-Allow-Headers") == [n.strip().lower() for n in (wanted or "").split(",") if n]
    assert int(headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize("wanted", ["", "a b\"c", "x<y", "ä", "(x)", "a" * 2049])
def test_preflights_repeat_only_names(requested_file, wanted):
    hub, _ = requested_file
    status, headers, _ = harness.http("OPTIONS", hub + "/api/gateway", None, {
        **ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted.encode()})
    assert status == 204 and headers.get("Access-Control-Allow-Headers") is None


# ---- a real browser ----

PAGE = """<!doctype html><script>
const hub = %(hub)s, hash = %(hash)s;
const names = ['Content-Range', 'Content-Length', 'ETag', 'Accept-Ranges', 'Date'];
function seen(answer) {
    return Object.fromEntries(names.map(name => [name, answer.headers.get(name)]));
}
async function find(zone) {
    const payload = {type: 'findFile', hashAlg: 'sha1', hash, zone, timestamp: Date.now()};
    return await fetch(`${hub}/api/gateway`, {
        method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({payload})});
}
async function run() {
    const result = {origin: location.origin}, found = await (await find('default')).json();
    result.found = {found: found.found, size: found.size};
    const part = await fetch(found.url, {headers: {Range: 'bytes=1000-1999', 'X-More': 'makes a preflight'}});
    result.part = {status: part.status, seen: seen(part), bytes: Array.from(new Uint8Array(await part.arrayBuffer()))};
    const end = await fetch(found.url, {headers: {Range: 'bytes=-10'}});
    result.end = {status: end.status, bytes: Array.from(new Uint8Array(await end.arrayBuffer()))};
    const head = await fetch(found.url, {method: 'HEAD'});
    result.head = {status: head.status, seen: seen(head)};
    const whole = await (await fetch(found.url)).arrayBuffer();
    result.sha1 = Array.from(new Uint8Array(await crypto.subtle.digest('SHA-1', whole)));
    const refused = await fetch(found.url.slice(0, -1));
    result.refused = {status: refused.status, text: await refused.text()};
    const nowhere = await find('nowhere');
    result.nowhere = {status: nowhere.status, text: await nowhere.text()};
    result.hidden = await fetch(`${hub}/probe`).then(() => 'readable', () => 'hidden');
    return result;
}
run().catch(error => ({error: String(error)}))
    .then(result => fetch('/result', {method: 'POST', body: JSON.stringify(result)}));
</script>"""


class PageServer:
    """Another origin: gives out one page and takes what the page reports."""

    def __init__(self, page):
        results = self.results = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def respond(self, body):
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.respond(page.encode() if self.path == "/" else b"")

            def do_POST(self):
                results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.respond(b"")

            def log_message(self, *arguments):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_a_page_reads_a_range_of_a_shared_file(requested_file, tmp_path, processes):
    hub, digest = requested_file
    pages = PageServer(PAGE % {"hub": json.dumps(hub), "hash": json.dumps(digest)})
    try:
        browser = processes(harness.Process(*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", pages.url,
                                            program=[CHROMIUM], env=harness.clean_environment(HOME=tmp_path)))
        try:
            result = pages.results.get(timeout=2 * harness.DEADLINE_S)
        except queue.Empty:
            pytest.fail("the page reported nothing\n" + browser.text())
    finally:
        pages.stop()
    assert "error" not in result, result
    assert result["origin"] + "/" == pages.url and not hub.startswith(result["origin"])
    assert result["found"] == {"found": True, "size": len(DATA)}
    assert result["part"]["status"] == 206 and bytes(result["part"]["bytes"]) == DATA[1000:2000]
    assert result["part"]["seen"].pop("Date").endswith("GMT")
    assert result["part"]["seen"] == {"Content-Range": f"bytes 1000-1999/{len(DATA)}", "Content-Length": "1000",
                                      "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
    assert result["end"] == {"status": 206, "bytes": list(DATA[-10:])}
    assert result["head"]["status"] == 200 and result["head"]["seen"]["Content-Length"] == str(len(DATA))
    assert bytes(result["sha1"]).hex() == digest
    assert result["refused"]["status"] == 403 and "SignatureDoesNotMatch" in result["refused"]["text"]
    assert result["nowhere"] == {"status": 500, "text": "Error: Zone not found: nowhere"}
    assert result["hidden"] == "hidden"
