"""Through an HTTP proxy that we did not write (tinyproxy): absolute form for http, CONNECT for https, ws and wss."""
import os
import re

import certificates
import harness
import pytest
import tls_servers
from harness import clean_environment, object_path, run, sha1


class Tinyproxy(harness.Process):
    """On a free port; `requests` are the request lines that it was sent."""

    def __init__(self, folder, *lines):
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.log = harness.free_port(), folder / "log"
        (folder / "tinyproxy.conf").write_text("\n".join([
            f"Port {self.port}", "Listen 127.0.0.1", "Timeout 600", f'LogFile "{self.log}"', "LogLevel Connect",
            "MaxClients 50", "Allow 127.0.0.1", "DisableViaHeader Yes", *lines, ""]))
        super().__init__("-d", "-c", folder / "tinyproxy.conf", program=["tinyproxy"])
        harness.until(lambda: tls_servers.Nginx.answers(self.port), "tinyproxy answers")

    @property
    def requests(self):
        return re.findall(r"Request \(file descriptor \d+\): (\S+ \S+)", self.log.read_text())

    def url(self, credentials=""):
        return f"http://{credentials}127.0.0.1:{self.port}"


@pytest.fixture
def proxy(tmp_path, processes):
    return processes(Tinyproxy(tmp_path / "tinyproxy"))


@pytest.fixture
def plain(lab):
    """A lab over http and ws."""
    lab.scheme, lab.outside, lab.more = "http", lab.hub.url, {}
    return lab


@pytest.fixture
def tls(tmp_path):
    """A lab over https and wss, nginx in front of the hub."""
    (tmp_path / "lab").mkdir()
    made = harness.Lab(tmp_path / "lab")
    try:
        top, bundle = tls_servers.lab_root(tmp_path)
        leaf = certificates.server(top, ["localhost"], kind="p256", **tls_servers.now())
        pem, key = tls_servers.write_pair(tmp_path, "front", [leaf, top])
        port = harness.free_port()
        made.scheme, made.outside, made.more = "https", f"https://localhost:{port}", {"SSL_CERT_FILE": bundle}
        made.start_hub("127.0.0.1:0", "--public-url", made.outside)
        made.keep(tls_servers.Nginx(tmp_path / "nginx", [tls_servers.proxying(pem, key, made.hub.url)], ports=[port]))
        yield made
    finally:
        made.stop()


def environment(lab, store, **variables):
    return clean_environment(HOME=lab.folder, KACHERY_CLOUD_DIR=store, KACHERY_GATEWAY_URL=lab.outside,
                             KACHERY_RESOURCE_URL=f"{lab.outside}/r/{lab.name}", **lab.more, **variables)


def share_and_load(lab, size, **variables):
    """The whole job; the bytes that came back are checked."""
    host, remote = (environment(lab, store, **variables) for store in (lab.host_store, lab.remote_store))
    for env in (host, remote):
        run("register", "--label", "test", env=env, check=0)
    lab.write_config(proxy_url=lab.outside.replace("http", "ws", 1))
    data = os.urandom(size)
    path, out = lab.folder / "recording.dat", lab.folder / "out.dat"
    path.write_bytes(data)
    uri = run("link", path, env=host, check=0).stdout.decode().split("\t")[0]
    lab.share(env=host)
    run("load", uri, "-o", out, env=remote, check=0)
    assert out.read_bytes() == data
    assert object_path(lab.data, sha1(data)).read_bytes() == data


def test_http_in_absolute_form_and_ws_in_a_tunnel(plain, proxy):
    share_and_load(plain, 5 << 20, http_proxy=proxy.url())
    origin = re.escape(plain.outside)
    seen = "\n".join(proxy.requests)
    for wanted in (rf"^POST {origin}/api/gateway$", rf"^POST {origin}/r/{plain.name}$", rf"^PUT {origin}/bucket/",
                   rf"^GET {origin}/bucket/", rf"^CONNECT 127\.0\.0\.1:{plain.hub.port}$"):
        assert re.search(wanted, seen, re.MULTILINE), f"no {wanted} in\n{seen}"


def test_https_and_wss_in_tunnels_alone(tls, proxy):
    share_and_load(tls, 5 << 20, https_proxy=proxy.url(), http_proxy="http://127.0.0.1:9")
    assert set(proxy.requests) == {f"CONNECT {tls.outside.removeprefix('https://')}"}


def test_all_proxy_without_scheme_and_in_upper_case(plain, proxy):
    run("register", env=environment(plain, plain.host_store, ALL_PROXY=f"127.0.0.1:{proxy.port}"), check=0)
    assert proxy.requests


@pytest.mark.parametrize("excluded", ["*", "127.0.0.1", "127.0.0.0/8", "other.example, 127.0.0.1"])
def test_what_no_proxy_names_goes_directly(plain, proxy, excluded):
    run("register", env=environment(plain, plain.host_store, http_proxy=proxy.url(), no_proxy=excluded), check=0)
    assert proxy.requests == []


def test_no_proxy_of_another_port_does_not_count(plain, proxy):
    env = environment(plain, plain.host_store, http_proxy=proxy.url(), no_proxy=f"127.0.0.1:{plain.hub.port + 1}")
    run("register", env=env, check=0)
    assert proxy.requests


@pytest.mark.parametrize("which", ["plain", "tls"])
def test_credentials(request, tmp_path, processes, which):
    lab = request.getfixturevalue(which)
    proxy = processes(Tinyproxy(tmp_path / "asking", "BasicAuth lab password"))
    variable = lab.scheme + "_proxy"
    for credentials in ("", "lab:wrong@"):
        env = environment(lab, lab.host_store, **{variable: proxy.url(credentials)})
        done = run("info", "sha1://" + "0" * 40, env=env, check=1)
        assert re.search(b"40[17] ", done.stderr), done.stderr  # it says 401 to a wrong password
        assert b"wrong" not in done.stderr
    share_and_load(lab, 100000, **{variable: proxy.url("lab:pass%77ord@")})


def test_a_proxy_that_is_not_there_is_named(plain):
    port = harness.free_port()
    done = run("info", "sha1://" + "0" * 40, check=1,
               env=environment(plain, plain.remote_store, http_proxy=f"http://127.0.0.1:{port}"))
    assert f"HTTP proxy: cannot connect to 127.0.0.1:{port}: Connection refused".encode() in done.stderr


def test_a_bad_proxy_is_named_without_its_password(plain):
    done = run("info", "sha1://" + "0" * 40, check=2,
               env=environment(plain, plain.remote_store, http_proxy="socks5://me:sesame@127.0.0.1:1"))
    assert b"http_proxy: SOCKS proxies are not supported: want http://[user:password@]host[:port]" in done.stderr
    assert b"sesame" not in done.stderr
