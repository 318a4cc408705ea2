"""Downloads that are sent elsewhere: to https alone, and not for ever."""
import ssl

import certificates
import pytest
import tls_servers
from loading import DATA, HALF, KEY, asked, bucket, cut, target  # noqa: F401 (fixtures)
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


@pytest.mark.parametrize("location, words", [
    ("http://localhost:1/x?secret", "302 Found to http://localhost:1/x?…: only https:// is followed"),
    ("/x", "only https:// is followed"), ("ftp://localhost/x", "no https:// URL"), ("ws://localhost/x", "ws://localhost"),
    ("wss://localhost/x", "wss://localhost"), ("https://", "no https:// URL"), ("https://me:pw@localhost:1/x", "302 Found to https://localhost:1/x:")])
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
