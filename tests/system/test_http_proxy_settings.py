"""HTTP proxies as sites have them: which variable counts, what no_proxy means, squid, and proxies that say no, say nothing,
or say something odd. What goes through without a fault is in test_http_proxy.py, with tinyproxy."""
import base64
import re
import shutil
import socket
import threading

import certificates
import harness
import odd_tls
import pytest
import tls_servers
from odd_tls import answer, read_request
from http_proxies import ANSWER, Squid, ask, share_and_load


class Recorder(odd_tls.Listener):
    """A proxy that writes its requests down: (method and target, Proxy-Authorization)."""

    def __init__(self):
        self.requests = []
        super().__init__(self._serve)

    def _serve(self, near):
        head = near.recv(65536)
        line = head.split(b"\r\n")[0].decode().rsplit(" ", 1)[0]
        login = re.search(rb"Proxy-Authorization: Basic (\S+)", head)
        self.requests.append((line, base64.b64decode(login[1]).decode() if login else None))
        target = line.split(" ")[1]
        host, _, port = re.sub(r"^http://|/.*$", "", target).rpartition(":")
        far = socket.create_connection((host.strip("[]"), int(port)))
        if line.startswith("CONNECT"):
            near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            far.sendall(head.replace(target.encode(), re.sub(r"^http://[^/]*", "", target).encode(), 1))
        self.kept += [near, far]
        threading.Thread(target=self._pump, args=(near, far), daemon=True).start()
        self._pump(far, near)

    @staticmethod
    def _pump(from_, to):
        try:
            while data := from_.recv(65536):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def recorder(processes):
    """An HTTP proxy that writes down what it is asked."""
    return processes(Recorder())


NOWHERE = "http://127.0.0.1:9"
VARIABLES = [
    # scheme, variables ("P": the proxy), does it count
    ("http", {"http_proxy": "P"}, True), ("http", {"HTTP_PROXY": "P"}, True), ("http", {"all_proxy": "P"}, True), ("http", {"ALL_PROXY": "P"}, True),
    ("https", {"https_proxy": "P"}, True), ("https", {"HTTPS_PROXY": "P"}, True), ("https", {"all_proxy": "P"}, True), ("https", {"ALL_PROXY": "P"}, True),
    ("http", {"https_proxy": NOWHERE}, False), ("https", {"http_proxy": NOWHERE}, False), ("https", {"HTTP_PROXY": NOWHERE}, False),
    ("http", {"http_proxy": "P", "HTTP_PROXY": NOWHERE}, True), ("https", {"https_proxy": "P", "HTTPS_PROXY": NOWHERE}, True),
    ("http", {"http_proxy": "P", "all_proxy": NOWHERE}, True), ("https", {"HTTPS_PROXY": "P", "all_proxy": NOWHERE}, True),
    ("http", {"all_proxy": "P", "ALL_PROXY": NOWHERE}, True), ("http", {"http_proxy": "", "HTTP_PROXY": "P"}, True),
    ("https", {"https_proxy": "", "all_proxy": "P"}, True), ("http", {"http_proxy": ""}, False), ("http", {"HTTP_PROXY": NOWHERE, "REQUEST_METHOD": "GET"}, False),
    ("http", {"http_proxy": NOWHERE, "no_proxy": "*"}, False), ("http", {"http_proxy": NOWHERE, "NO_PROXY": "*"}, False),
    ("http", {"http_proxy": "P", "no_proxy": "other", "NO_PROXY": "*"}, True), ("http", {"http_proxy": NOWHERE, "no_proxy": "", "NO_PROXY": "*"}, False),
    ("http", {"http_proxy": "bare"}, True), ("http", {"http_proxy": "P/"}, True), ("http", {"http_proxy": "HTTP://"}, True),
]


@pytest.mark.parametrize("scheme, variables, counts", VARIABLES)
def test_variables(two_gateways, recorder, scheme, variables, counts):
    forms = {"P": f"http://127.0.0.1:{recorder.port}", "P/": f"http://127.0.0.1:{recorder.port}/", "bare": f"127.0.0.1:{recorder.port}",
             "HTTP://": f"HTTP://LOCALHOST:{recorder.port}"}
    status, said = ask(two_gateways, scheme, **{name: forms.get(value, value) for name, value in variables.items()})
    assert status == 3, said
    target = f"127.0.0.1:{two_gateways[scheme].port}"
    wanted = f"CONNECT {target}" if scheme == "https" else f"POST http://{target}/api/gateway"
    assert recorder.requests == ([(wanted, None)] if counts else [])


EXCLUDED = [
    # no_proxy, host, does it go directly
    ("127.0.0.1", "127.0.0.1", True), ("localhost", "localhost", True), ("LocalHost", "localhost", True), ("localhost.", "localhost", True),
    (".localhost", "localhost", True), ("*.localhost", "localhost", True), ("ocalhost", "localhost", False), ("host", "localhost", False),
    ("a, localhost", "localhost", True), ("a localhost b", "localhost", True), ("a,,localhost,", "localhost", True), ("127.0.0.0/8", "127.0.0.1", True),
    ("127.0.0.0/31", "127.0.0.1", True), ("127.0.0.0/32", "127.0.0.1", False), ("128.0.0.0/1", "127.0.0.1", False), ("0.0.0.0/0", "127.0.0.1", True),
    ("127.0.0.1/33", "127.0.0.1", False), ("::/0", "127.0.0.1", False), ("127.0.0.0/8", "localhost", False), ("localhost:PORT", "localhost", True),
    ("localhost:9", "localhost", False), ("127.0.0.1:PORT", "127.0.0.1", True), ("127.0.0.0/8:PORT", "127.0.0.1", True), ("*", "localhost", True),
    ("127.0.0", "127.0.0.1", False), ("127", "127.0.0.1", False), ("", "localhost", False),
]


@pytest.mark.parametrize("excluded, host, directly", EXCLUDED)
def test_what_is_excluded(two_gateways, recorder, excluded, host, directly):
    env = {"http_proxy": f"http://127.0.0.1:{recorder.port}", "no_proxy": excluded.replace("PORT", str(two_gateways["http"].port))}
    status, said = ask(two_gateways, "http", host, **env)
    assert status == 3, said
    assert (recorder.requests == []) == directly


@pytest.mark.parametrize("excluded, directly", [("::1", True), ("[::1]", True), ("[::1]:PORT", True), ("[::1]:9", False), ("::/64", True), ("fe80::/10", False)])
def test_what_is_excluded_of_ipv6(two_gateways, recorder, excluded, directly):
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = listener.getsockname()[1]
    listener.close()
    env = {"http_proxy": f"http://127.0.0.1:{recorder.port}", "no_proxy": excluded.replace("PORT", str(port))}
    status, said = ask(two_gateways, "http", "[::1]", port, **env)
    assert status == 1 and (f"cannot connect to [::1]:{port}: Connection refused" in said) == directly
    assert recorder.requests == ([] if directly else [(f"POST http://[::1]:{port}/api/gateway", None)])


@pytest.mark.parametrize("credentials, sent", [("me:pass@", "me:pass"), ("me@", "me:"), ("me:p%40ss%3a@", "me:p@ss:"), ("m%c3%a9:x@", "mé:x"), (":x@", ":x")])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_credentials(two_gateways, recorder, scheme, credentials, sent):
    status, said = ask(two_gateways, scheme, **{f"{scheme}_proxy": f"http://{credentials}127.0.0.1:{recorder.port}"})
    assert status == 3, said
    assert [login for _, login in recorder.requests] == [sent]


def test_the_server_never_sees_the_proxy_s_credentials(two_gateways, processes):
    heads = []

    def handle(stream):
        heads.append(read_request(stream))
        stream.sendall(answer(ANSWER))
    peer, proxy = processes(odd_tls.Listener(handle)), processes(Recorder())
    assert ask(two_gateways, "http", port=peer.port, http_proxy=f"http://me:pass@127.0.0.1:{proxy.port}", no_proxy="127.0.0.1")[0] == 3
    assert b"Proxy-Authorization" not in heads[0] and proxy.requests == []


BAD_VALUES = ["https://127.0.0.1:1", "socks5://127.0.0.1:1", "http://", "http://127.0.0.1:99999", "http://me:100%@127.0.0.1:1", "http://a b:1", "ftp://x"]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_values_that_are_no_proxy(two_gateways, value):
    status, said = ask(two_gateways, "https", https_proxy=value)
    assert status == 2 and "https_proxy: " in said and "http" in said
    assert ask(two_gateways, "http", https_proxy=value)[0] == 3, "another scheme's variable is not looked at"


ANSWERS = {
    # what the proxy says to CONNECT, what the user reads
    "login": (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 14\r\n\r\nLog in please.",
              "refuses a connection to localhost:1: 407 Proxy Authentication Required: Log in please. (it does not take the user name and password of "),
    "policy": (b"HTTP/1.1 403 Forbidden\r\n\r\n<!DOCTYPE html>\n<html><head>\n<TITLE>Blocked by the lab</TITLE>", "403 Forbidden: Blocked by the lab"),
    "a page without a title": (b"HTTP/1.1 403 Forbidden\r\n\r\n<html><body>no</body></html>", "refuses a connection to localhost:1: 403 Forbidden (it does not allow"),
    "squid": (b"HTTP/1.1 403 Forbidden\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\n<html>", "403 Forbidden: ERR_ACCESS_DENIED 0"),
    "captive": (b"HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\n\r\n", "302 Found: a web page answered: is there a log-in in this network?"),
    "gateway": (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"), "no reason": (b"HTTP/1.1 503\r\n\r\n", "refuses a connection to localhost:1: 503"),
    "no HTTP": (b"220 smtp\r\n\r\n", "malformed HTTP answer: this is not HTTP"), "nothing": (b"", "hung up"), "half a head": (b"HTTP/1.1 200 OK\r\n", "hung up"),
    "its own data": (b"HTTP/1.1 200 OK\r\n\r\nhello", "sends data of its own"), "a long head": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000, "larger than 16 KiB"),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "TLS handshake"), "bare": (b"HTTP/1.0 200\r\n\r\n", "TLS handshake"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_to_connect(two_gateways, processes, case):
    data, words = ANSWERS[case]

    def handle(connection):
        connection.recv(65536)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)
    proxy = processes(odd_tls.Listener(handle))
    status, said = ask(two_gateways, "https", "localhost", 1, https_proxy=f"http://me:sesame@127.0.0.1:{proxy.port}")
    assert status == 1 and words in said and "sesame" not in said, said
    assert f"HTTP proxy 127.0.0.1:{proxy.port}" in said or "TLS" in words


@pytest.mark.parametrize("scheme, words", [("http", "not finished within 1 s"), ("https", "no answer within 1 s")])
def test_a_proxy_that_says_nothing(two_gateways, processes, scheme, words):
    proxy = processes(odd_tls.Listener(lambda connection: threading.Event().wait()))
    status, said = ask(two_gateways, scheme, **{f"{scheme}_proxy": f"127.0.0.1:{proxy.port}"}, patience="call_ms=700,asking_ms=0,lost_ms=0")
    assert status == 1 and f"HTTP proxy 127.0.0.1:{proxy.port}: {words}" in said, said


def test_proxies_that_cannot_be_reached(two_gateways):
    port = harness.free_port()
    assert f"HTTP proxy: cannot connect to [::1]:{port}: Connection refused" in ask(two_gateways, "https", https_proxy=f"http://[::1]:{port}")[1]
    assert "HTTP proxy: cannot find the address of no.such.invalid: " in ask(two_gateways, "https", https_proxy="http://no.such.invalid:1")[1]


# ---- squid ----


@pytest.mark.skipif(shutil.which("squid") is None, reason="no squid here")
def test_the_whole_job_through_squid(tmp_path, processes):
    """Absolute form for http, a tunnel for ws; and https and wss in tunnels."""
    for which in ("plain", "tls"):
        (tmp_path / which).mkdir()
        lab = harness.Lab(tmp_path / which)
        try:
            port = harness.free_port()
            lab.scheme, lab.outside, lab.more = "http", f"http://127.0.0.1:{port}", {}
            if which == "tls":
                top, bundle = tls_servers.lab_root(tmp_path)
                pair = tls_servers.write_pair(tmp_path, "front", [certificates.server(top, ["localhost"], **tls_servers.now())])
                lab.scheme, lab.outside, lab.more = "https", f"https://localhost:{port}", {"SSL_CERT_FILE": bundle}
                lab.start_hub("127.0.0.1:0", "--public-url", lab.outside)
                lab.keep(tls_servers.Nginx(tmp_path / "nginx", [tls_servers.proxying(*pair, lab.hub.url)], ports=[port]))
            else:
                lab.start_hub(f"127.0.0.1:{port}")
            squid = processes(Squid([port]))
            share_and_load(lab, 1 << 20, **{f"{lab.scheme}_proxy": f"http://127.0.0.1:{squid.port}"})
        finally:
            lab.stop()


@pytest.mark.skipif(shutil.which("squid") is None, reason="no squid here")
def test_what_squid_refuses(two_gateways, processes):
    squid = processes(Squid([two_gateways["https"].port]))
    proxy = {"https_proxy": f"http://127.0.0.1:{squid.port}"}
    assert ask(two_gateways, "https", **proxy)[0] == 3
    said = ask(two_gateways, "https", "localhost", two_gateways["https"].port + 1, **proxy)[1]
    assert f"HTTP proxy 127.0.0.1:{squid.port} refuses a connection to localhost:{two_gateways['https'].port + 1}: 403 Forbidden: ERR_ACCESS_DENIED" in said
