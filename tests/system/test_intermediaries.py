"""What stands between a client and its servers is named: HTTP proxies in front of plain http (squid, tinyproxy, doubles), log-in pages
of networks, and other web servers where a wrong URL leads."""
import shutil
import socket

import certificates
import harness
import odd_tls
import pytest
import tls_servers
from harness import run
from loading import DATA, HALF, cut
from zone_double import files_below, text
from http_proxies import Squid, Tinyproxy, ask

LOG_IN = "a web page answered: is there a log-in in this network?"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Campus Log-in</title></head><body>Please</body></html>"


def http(status, body=b"", *headers):
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), b"Connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def page(status=b"200 OK", *headers):
    return http(status, PAGE, b"Content-Type: text/html; charset=utf-8", *headers)


def saying(processes, data):
    """The port of a server that answers every request so."""
    def handle(connection):
        connection.recv(65536)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    return processes(odd_tls.Listener(handle)).port


# ---- an HTTP proxy in front of plain http ----

REASONS = {403: "Forbidden", 407: "Proxy Authentication Required", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
           500: "Internal Server Error", 404: "Not Found", 400: "Bad Request", 451: "Unavailable For Legal Reasons", 429: "Too Many Requests"}
MARKS = {"squid's header": b"X-Squid-Error: ERR_ODD 0", "a name": b"Server: tinyproxy/1.11.1", "a question": b"Proxy-Authenticate: Basic realm=x",
         "RFC 9209": b"Proxy-Status: lab; error=http_request_denied"}


@pytest.mark.parametrize("status", REASONS)
@pytest.mark.parametrize("reason", [True, False])
@pytest.mark.parametrize("method", ["forwarding", "CONNECT"])
def test_every_status_of_a_proxy_names_it(two_gateways, processes, status, reason, method):
    """With and without a reason phrase, with a mark of its own and without."""
    line = f"{status} {REASONS[status]}".encode() if reason else str(status).encode()
    scheme = "https" if method == "CONNECT" else "http"
    for mark in (None, *MARKS.values()) if reason else (None,):
        port = saying(processes, http(line, b"no", *([mark] if mark else [])))
        code, said = ask(two_gateways, scheme, **{f"{scheme}_proxy": f"http://127.0.0.1:{port}"})
        assert code == 1 and f"HTTP proxy 127.0.0.1:{port}" in said and str(status) in said, said
        assert REASONS[status] in said, said
        if mark and scheme == "http":
            assert f"HTTP proxy 127.0.0.1:{port} answered {status}" in said, said


@pytest.mark.parametrize("status, cure", [(b"407 x", "put user:password@ into the proxy's URL"), (b"403 x", "no_proxy names hosts to reach without it"),
                                          (b"502 x", "it does not reach that host"), (b"504 x", "it does not reach that host")])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_a_user_can_do_about_a_proxy(two_gateways, processes, scheme, status, cure):
    port = saying(processes, http(status, b"", b"Proxy-Authenticate: Basic realm=x"))
    assert cure in ask(two_gateways, scheme, **{f"{scheme}_proxy": f"http://127.0.0.1:{port}"})[1]
    said = ask(two_gateways, scheme, **{f"{scheme}_proxy": f"http://me:ses%40me@127.0.0.1:{port}"})[1]
    assert "sesame" not in said and "ses%40me" not in said and "ses@me" not in said
    assert cure in said if b"407" not in status else "are they percent-encoded there? @ is %40, : is %3A, % is %25" in said


def test_the_gateway_s_own_words_are_not_the_proxy_s(two_gateways, processes):
    port = saying(processes, http(b"500 Internal Server Error", b"Error: User a is not authorized."))
    said = ask(two_gateways, "http", http_proxy=f"http://127.0.0.1:{port}")[1]
    assert "User a is not authorized." in said and "proxy" not in said


@pytest.mark.skipif(shutil.which("squid") is None, reason="no squid here")
def test_what_squid_says_of_plain_http(two_gateways, processes):
    squid = processes(Squid([1]))
    via = {"http_proxy": f"http://127.0.0.1:{squid.port}"}
    assert ask(two_gateways, "http", **via)[0] == 3
    nobody = harness.free_port()
    said = ask(two_gateways, "http", "127.0.0.1", nobody, **via)[1]
    assert f"HTTP proxy 127.0.0.1:{squid.port} answered 503 Service Unavailable: ERR_CONNECT_FAIL" in said, said
    said = ask(two_gateways, "http", "no.such.invalid", 80, **via)[1]
    assert f"HTTP proxy 127.0.0.1:{squid.port} answered 50" in said and ": ERR_" in said, said  # 503 ERR_DNS_FAIL, where there are name servers


def test_what_tinyproxy_says_of_plain_http(two_gateways, tmp_path, processes):
    (tmp_path / "filter").write_text("blocked.example\n")
    proxy = processes(Tinyproxy(tmp_path / "t", f'Filter "{tmp_path}/filter"'))
    name = f"HTTP proxy 127.0.0.1:{proxy.port} answered"
    assert f"{name} 403 " in ask(two_gateways, "http", "blocked.example", 80, http_proxy=proxy.url())[1]
    assert f"{name} 500 " in ask(two_gateways, "http", "127.0.0.1", harness.free_port(), http_proxy=proxy.url())[1]
    asking = processes(Tinyproxy(tmp_path / "a", "BasicAuth lab password"))
    said = ask(two_gateways, "http", http_proxy=asking.url())[1]
    assert f"HTTP proxy 127.0.0.1:{asking.port} answered 407 " in said and "put user:password@" in said
    said = ask(two_gateways, "http", http_proxy=asking.url("lab:wr%40ng@"))[1]
    assert f"HTTP proxy 127.0.0.1:{asking.port} answered 401 " in said and "percent-encoded" in said and "wr" not in said.split("answered")[1][:60]


@pytest.mark.parametrize("value", ["http://me:p@ss@127.0.0.1:1", "http://me:p@ss:w@127.0.0.1:1", "http://me:p/ss@127.0.0.1:1", "http://me:12/ss@127.0.0.1:1",
                                   "http://me:12?ss@127.0.0.1:1", "http://me:12#ss@127.0.0.1:1", "http://me:p ss@127.0.0.1:1", "http://me:100%@127.0.0.1:1",
                                   "http://me:%zzss@127.0.0.1:1", "me:p@ss@127.0.0.1:1", "http://me:p\\ss@127.0.0.1:1", "http://me:[ss]@127.0.0.1:1"])
def test_a_password_that_is_not_encoded(two_gateways, value):
    status, said = ask(two_gateways, "http", http_proxy=value)
    assert status == 2 and "http_proxy: " in said and "percent-encoded" in said and "@ is %40, : is %3A, % is %25" in said, said
    assert "ss" not in said.replace("password", "").replace("kachery-resource", "") or value.find("ss") < 0, said


@pytest.mark.parametrize("value", ["socks4://127.0.0.1:1080", "socks4a://127.0.0.1:1", "socks5://me:sesame@127.0.0.1:1080", "socks5h://localhost", "SOCKS5://x:1"])
@pytest.mark.parametrize("variable", ["all_proxy", "https_proxy", "HTTPS_PROXY"])
def test_socks(two_gateways, variable, value):
    status, said = ask(two_gateways, "https", **{variable: value})
    assert status == 2 and f"{variable}: SOCKS proxies are not supported: want http://" in said and "sesame" not in said


@pytest.mark.parametrize("form", [" http://127.0.0.1:{} ", "http://127.0.0.1:{}/", "http://127.0.0.1:{}/ ", "\t127.0.0.1:{}"])
def test_blanks_and_slashes_around_a_proxy(two_gateways, processes, form):
    port = saying(processes, http(b"403 Forbidden", b"", b"Server: squid/5.7"))
    assert f"HTTP proxy 127.0.0.1:{port} answered 403" in ask(two_gateways, "http", http_proxy=form.format(port))[1]


# ---- a log-in page ----

PORTALS = {
    "HTML": page(), "HTML by its looks": http(b"200 OK", PAGE), "HTML behind a mark": http(b"200 OK", b"\xef\xbb\xbf\r\n" + PAGE),
    "511": page(b"511 Network Authentication Required"), "511 bare": http(b"511 x"),
    "302": http(b"302 Found", b"", b"Location: http://portal.example/login?token=sesame"),
    "307": http(b"307 Temporary Redirect", b"", b"Location: https://portal.example:8443/"),
    "303 with a page": page(b"303 See Other", b"Location: //portal.example/"),
    "200 with HTML and no length": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE,
    "HTML with 403": page(b"403 Forbidden"), "HTML with 401": page(b"401 Unauthorized", b"WWW-Authenticate: Basic realm=x"),
    "HTML with 451": page(b"451 Unavailable For Legal Reasons"),
    "long HTML": http(b"200 OK", PAGE + b" " * 300000, b"Content-Type: text/html"), "long HTML with 403": http(b"403 x", PAGE + b" " * 300000, b"Content-Type: text/html"),
    "long HTML by its looks": http(b"200 OK", PAGE + b" " * 300000),
    "long HTML in chunks": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s%s\r\n0\r\n\r\n"
                           % (len(PAGE) + 300000, PAGE, b" " * 300000),
    "HTML that breaks": page().replace(b"Content-Length: ", b"Content-Length: 9"),
    "302 that breaks": b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 500\r\n\r\n<html>",
    "UTF-16 by its looks": http(b"200 OK", b"\xff\xfe" + PAGE.decode().encode("utf-16-le")),
    "a script by its looks": http(b"200 OK", b"\n<script>location='http://portal.example/'</script>"),
    "a meta by its looks": http(b"200 OK", b"<META http-equiv=refresh content='0; url=http://portal.example/'>", b"Content-Type: text/plain"),
}


@pytest.mark.parametrize("portal", PORTALS)
def test_a_log_in_page_where_the_gateway_should_be(two_gateways, processes, portal):
    port = saying(processes, PORTALS[portal])
    status, said = ask(two_gateways, "http", port=port)
    assert status == 1 and LOG_IN in said and "KACHERY_GATEWAY_URL" in said and "sesame" not in said, said
    assert '("Campus Log-in")' in said or "HTML" not in portal


@pytest.mark.parametrize("portal", PORTALS)
def test_a_log_in_page_where_the_resource_proxy_should_be(user, processes, portal):
    port = saying(processes, PORTALS[portal])
    done = run("load", f"sha1://{'0' * 40}", "--resource", f"http://127.0.0.1:{port}/r/lab", env=user, check=1)
    said = text(done.stderr)
    assert LOG_IN in said and f"http://127.0.0.1:{port}/r/lab" in said and "the resource's URL" in said and "sesame" not in said, said


@pytest.mark.parametrize("portal", [p for p in PORTALS if "looks" not in p and "mark" not in p])
def test_a_log_in_page_where_the_daemon_connects(desk, processes, portal):
    desk.write_config(proxyUrl=f"http://127.0.0.1:{saying(processes, PORTALS[portal])}")
    line = desk.share(wait=False).wait_line("WebSocket refused: ")
    assert LOG_IN in line and "the URL" in line and "sesame" not in line, line


@pytest.mark.parametrize("portal", ["HTML", "HTML with 403", "302", "511", "long HTML"])
@pytest.mark.parametrize("mark", [[], [b"Server: squid/5.7"]])
def test_a_log_in_page_behind_a_proxy_names_both(two_gateways, processes, portal, mark):
    answer = PORTALS[portal].replace(b"\r\nConnection: close", b"".join(b"\r\n" + m for m in mark) + b"\r\nConnection: close")
    port = saying(processes, answer)
    said = ask(two_gateways, "http", "gateway.example", 80, http_proxy=f"http://127.0.0.1:{port}")[1]
    assert f"HTTP proxy 127.0.0.1:{port}" in said and (LOG_IN in said or (mark and "403" in portal)), said


@pytest.mark.parametrize("answer, words", [(page(), ""), (page(b"511 x"), "511 x: Campus Log-in: "), (
    b"HTTP/1.1 511 x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(PAGE), PAGE), "511 x: Campus Log-in: ")])
def test_a_log_in_page_instead_of_a_tunnel(two_gateways, processes, answer, words):
    port = saying(processes, answer)
    said = ask(two_gateways, "https", "gateway.example", 443, https_proxy=f"http://127.0.0.1:{port}")[1]
    assert f"HTTP proxy 127.0.0.1:{port}" in said and words + LOG_IN in said, said


def test_a_proxy_on_the_way_that_nobody_set(two_gateways, user, processes):
    port = saying(processes, page(b"407 Proxy Authentication Required", b"Proxy-Authenticate: NTLM"))
    words = "an HTTP proxy that no variable names is on the way: set http_proxy and https_proxy"
    assert words in ask(two_gateways, "http", port=port)[1]
    assert words in text(run("load", f"sha1://{'0' * 40}", "--resource", f"http://127.0.0.1:{port}/r/lab", env=user, check=1).stderr)


def test_redirections_within_a_host_are_no_log_in(two_gateways, processes):
    port = saying(processes, http(b"301 Moved Permanently", b"", b"Location: https://127.0.0.1/api/gateway"))
    said = ask(two_gateways, "http", port=port)[1]
    assert "301 Moved Permanently to https://127.0.0.1/api/gateway: correct KACHERY_GATEWAY_URL" in said and "log-in" not in said


async def portal_page(line, **more):
    await line.say(200, PAGE, Content_Type="text/html", **more)


def test_a_log_in_page_where_the_bucket_should_be(zone, target, bucket):
    bucket.always = portal_page
    done = target.load(check=1)
    assert f"instead of the {len(DATA)} bytes {LOG_IN}" in text(done.stderr) and files_below(target.folder) == []


def test_a_log_in_page_does_not_cost_what_is_there(zone, target, bucket):
    """The part that came before is kept for the time after the log-in."""
    bucket.acts = [cut, portal_page]
    done = target.load(check=1)
    assert LOG_IN in text(done.stderr) and target.leaves(DATA[:HALF])
    target.load()
    assert target.is_right()


def test_a_bucket_that_redirects_to_a_log_in(zone, target, bucket, processes):
    port = saying(processes, page())
    bucket.acts = [lambda line: line.say(302, Location=f"http://127.0.0.1:{port}/login")]
    assert LOG_IN in text(target.load(check=1).stderr)
    assert files_below(target.folder) == []


def test_a_page_that_was_stored_is_a_file(zone, target, bucket):
    bucket.acts = [lambda line: line.serve(Content_Type="text/html")]
    target.load()
    assert target.is_right()


def test_a_log_in_page_that_takes_uploads(zone, user, bucket, tmp_path):
    (tmp_path / "file").write_bytes(b"some bytes")

    async def take(line):
        await line.go_on()
        await line.take()
        await portal_page(line)
    bucket.always = take
    done = run("store", tmp_path / "file", env=user, check=1)
    assert LOG_IN in text(done.stderr)


# ---- other servers ----

@pytest.mark.parametrize("status", [b"404 Not Found", b"405 Method Not Allowed"])
def test_a_web_server_is_no_service(two_gateways, desk, user, processes, status):
    port = saying(processes, page(status))
    said = ask(two_gateways, "http", port=port)[1]
    assert f"{status.decode()}: no gateway there, but a web page: correct KACHERY_GATEWAY_URL" in said, said
    said = text(run("load", f"sha1://{'0' * 40}", "--resource", f"http://127.0.0.1:{port}/r/lab", env=user, check=1).stderr)
    assert f"{status.decode()}: no resource proxy there, but a web page: correct the resource's URL" in said, said
    desk.write_config(proxyUrl=f"http://127.0.0.1:{port}")
    desk.share(wait=False).wait_line(f"WebSocket refused: {status.decode()}: no resource proxy there, but a web page: correct the URL")


@pytest.mark.parametrize("answer, words", [(http(b"404 Not Found", b"404 page not found", b"Content-Type: text/plain"), "404 Not Found: 404 page not found: "),
                                           (http(b"404 Not Found"), "404 Not Found: "), (http(b"405 Method Not Allowed"), "405 Method Not Allowed: ")])
def test_a_server_without_a_page_is_no_gateway(two_gateways, desk, processes, answer, words):
    port = saying(processes, answer)
    assert f"{words}no gateway there: correct KACHERY_GATEWAY_URL" in ask(two_gateways, "http", port=port)[1]
    desk.write_config(proxyUrl=f"http://127.0.0.1:{port}")
    desk.share(wait=False).wait_line(f"WebSocket refused: {words}no resource proxy there: correct the URL (proxyUrl)")


def test_a_status_that_nobody_knows(two_gateways, processes):
    assert ": 418 Client Error" in ask(two_gateways, "http", port=saying(processes, http(b"418 ")))[1]
    assert ": 310 Redirection" in ask(two_gateways, "http", port=saying(processes, http(b"310")))[1]


@pytest.fixture(scope="module")
def tls_ports(tmp_path_factory):
    """nginx, Python's ssl and openssl with TLS."""
    folder = tmp_path_factory.mktemp("tls-ports")
    top, _ = tls_servers.lab_root(folder)
    pair = tls_servers.write_pair(folder, "server", [certificates.server(top, ["localhost"], **tls_servers.now())])
    nginx = tls_servers.Nginx(folder / "nginx", [f"listen LISTEN ssl; ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]}; return 404;"])
    openssl = tls_servers.Openssl(*pair)
    yield {"nginx": nginx.ports[0], "openssl": openssl.port}
    nginx.stop()
    openssl.stop()


@pytest.mark.parametrize("server", ["nginx", "openssl"])
def test_plain_http_to_a_tls_port(two_gateways, desk, user, tls_ports, server):
    port = tls_ports[server]
    said = ask(two_gateways, "http", port=port)[1]
    assert "use https://" in said and "TLS" in said, said
    said = text(run("load", f"sha1://{'0' * 40}", "--resource", f"http://127.0.0.1:{port}/r/lab", env=user, check=1).stderr)
    assert "use https://" in said, said
    desk.write_config(proxyUrl=f"ws://127.0.0.1:{port}")
    assert "TLS" in desk.share(wait=False).wait_line(f"proxy: ws://127.0.0.1:{port}: ")


def test_an_alert_in_answer_to_plain_http(two_gateways, desk, processes):
    port = saying(processes, b"\x15\x03\x01\x00\x02\x02\x46")
    assert "the server answers in TLS: use https:// for this port" in ask(two_gateways, "http", port=port)[1]
    desk.write_config(proxyUrl=f"ws://127.0.0.1:{port}")
    desk.share(wait=False).wait_line("the server answers in TLS: use wss:// (https://) for this port")


def test_tls_to_a_plain_port(two_gateways, processes):
    silent = processes(odd_tls.Listener(lambda connection: connection.recv(65536) and connection.close())).port
    assert "(is this an http port? then use http://)" in ask(two_gateways, "https", port=saying(processes, http(b"400 Bad Request")))[1]
    assert "connection closed during the TLS handshake (is this a port of plain HTTP? then use http://)" in ask(two_gateways, "https", port=silent)[1]
