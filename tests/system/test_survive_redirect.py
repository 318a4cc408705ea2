"""Downloads that are sent elsewhere: not from https to http, and not for ever. Questions are not sent elsewhere: the user is told."""
import http.server
import ssl
import threading

import certificates
import pytest
import tls_servers
from harness import run
from loading import DATA, HALF, KEY, asked, cut
from rough_bucket import RoughBucket
from zone_double import files_below, text


@pytest.fixture
def secure(tmp_path):
    """A bucket with TLS at https://localhost."""
    top, bundle = tls_servers.lab_root(tmp_path)
    leaf = certificates.server(top, ["localhost"], kind="rsa2048", **tls_servers.now())
    pem, key = tls_servers.write_pair(tmp_path, "bucket", [leaf])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    made = RoughBucket(tls=context)
    made.bundle = bundle
    made.objects[KEY] = DATA
    yield made
    made.stop()
    assert made.failures == []


def to(location, status=302):
    async def redirect(line):
        await line.say(status, "elsewhere", Location=location)
    return redirect


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_from_http_to_https_is_followed(zone, target, bucket, secure, status):
    bucket.acts = [to(f"{secure.url}/{KEY}?other=secret#f", status)]
    target.load(SSL_CERT_FILE=str(secure.bundle))
    get, = secure.gets
    assert target.is_right() and get.target == f"/{KEY}?other=secret"
    assert set(get.headers) == {"host", "user-agent"} and get.headers["host"] == secure.url[8:]


def test_relative_redirections_within_https(zone, target, bucket, secure):
    zone.bucket_url = secure.url
    secure.acts = [to("?a"), to("../x/y"), to("/a/../b"), to("//" + secure.url[8:] + "/c"), to(f"./{KEY}")]
    target.load(SSL_CERT_FILE=str(secure.bundle))
    assert target.is_right() and bucket.gets == []
    assert [get.target for get in secure.gets[1:]] == [f"/{KEY}?a", "/" + KEY.rsplit("/", 2)[0] + "/x/y", "/b", "/c", f"/{KEY}"]


def test_five_redirections_are_enough(zone, target, bucket, secure):
    zone.bucket_url = secure.url
    secure.always = to("/again")
    done = target.load(check=1, SSL_CERT_FILE=str(secure.bundle))
    assert "redirects more than 5 times" in text(done.stderr) and len(secure.gets) == 6
    assert files_below(target.folder) == []


def test_a_redirection_is_asked_for_again_after_a_cut(zone, target, bucket, secure):
    bucket.acts = [to(f"{secure.url}/{KEY}")] * 2
    secure.acts = [cut]
    target.load(SSL_CERT_FILE=str(secure.bundle))
    assert target.is_right() and asked(secure) == [(0, False), (HALF, True)] and asked(bucket) == [(0, False), (HALF, True)]


def test_a_redirection_within_http_is_followed(zone, target, bucket):
    other = RoughBucket()
    try:
        other.objects[KEY] = DATA
        bucket.acts = [to("/elsewhere"), to(f"{other.url}/{KEY}?other=secret")]
        target.load()
        get, = other.gets
        assert target.is_right() and [get.target for get in bucket.gets][1:] == ["/elsewhere"]
        assert get.target == f"/{KEY}?other=secret" and set(get.headers) == {"host", "user-agent"}
    finally:
        other.stop()
    assert other.failures == []


@pytest.mark.parametrize("location, words", [
    ("ftp://localhost/x", "no URL: only https:// or http:// is followed"), ("ws://localhost/x?secret", "302 Found to ws://localhost/x?…: only"),
    ("wss://localhost/x", "wss://localhost"), ("https://", "no URL"), ("https://me:pw@localhost:1/x", "302 Found to https://localhost:1/x:"),
    ("http://me:pw@localhost:1/x", "302 Found to http://localhost:1/x:")])
def test_other_redirections_are_not_followed(zone, target, bucket, location, words):
    bucket.acts = [to(location)]
    done = target.load(check=1)
    assert words in text(done.stderr) and len(bucket.gets) == 1
    assert "secret" not in text(done.stderr) and "pw" not in text(done.stderr)
    assert files_below(target.folder) == []


def test_https_does_not_lead_back_to_http(zone, target, bucket, secure):
    zone.bucket_url = secure.url
    secure.acts = [to(f"{bucket.url}/{KEY}")]
    done = target.load(check=1, SSL_CERT_FILE=str(secure.bundle))
    assert "only https:// is followed" in text(done.stderr) and bucket.gets == []


def test_a_redirection_without_a_location_is_an_answer(zone, target, bucket):
    bucket.acts = [lambda line: line.say(302)]
    done = target.load(check=1)
    assert "the bucket answered 302 Found" in text(done.stderr)


# ---- gateways and proxies ----

class Front(http.server.BaseHTTPRequestHandler):
    """Sends everybody to https, as web servers do where TLS was switched on."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(301)
        self.send_header("Location", f"https://lab.example{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def redirecting_front():
    """A server that sends every request to https://lab.example."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_where_a_gateway_sends_us_is_told(user, redirecting_front):
    done = run("info", f"sha1://{'0' * 40}", env={**user, "KACHERY_GATEWAY_URL": redirecting_front}, check=1)
    assert "301 Moved Permanently to https://lab.example/api/gateway: correct KACHERY_GATEWAY_URL" in text(done.stderr)


def test_where_a_proxy_sends_a_client_is_told(user, redirecting_front):
    done = run("load", f"sha1://{'0' * 40}", "--resource", f"{redirecting_front}/r/lab", env=user, check=1)
    assert f"{redirecting_front}/r/lab: 301 Moved Permanently to https://lab.example/r/lab: correct the resource's URL" in text(done.stderr)


def test_where_a_proxy_sends_the_daemon_is_told(desk, redirecting_front):
    desk.write_config(proxyUrl=redirecting_front)
    desk.share(wait=False).wait_line("301 Moved Permanently to https://lab.example/: correct the URL")
