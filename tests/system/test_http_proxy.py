"""Through an HTTP proxy that we did not write (tinyproxy): absolute form for http, CONNECT for https, ws and wss."""
import re

import certificates
import harness
import pytest
import tls_servers
from harness import run
from http_proxies import Tinyproxy, environment, share_and_load


@pytest.fixture
def tinyproxy(tmp_path, processes):
    """An HTTP proxy that is not ours."""
    return processes(Tinyproxy(tmp_path / "tinyproxy"))


@pytest.fixture
def http_lab(lab):
    """A lab over http and ws."""
    lab.scheme, lab.outside, lab.more = "http", lab.hub.url, {}
    return lab


@pytest.fixture
def https_lab(tmp_path):
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


def test_http_in_absolute_form_and_ws_in_a_tunnel(http_lab, tinyproxy):
    share_and_load(http_lab, 5 << 20, http_proxy=tinyproxy.url())
    origin = re.escape(http_lab.outside)
    seen = "\n".join(tinyproxy.requests)
    for wanted in (rf"^POST {origin}/api/gateway$", rf"^POST {origin}/r/{http_lab.name}$", rf"^PUT {origin}/bucket/",
                   rf"^GET {origin}/bucket/", rf"^CONNECT 127\.0\.0\.1:{http_lab.hub.port}$"):
        assert re.search(wanted, seen, re.MULTILINE), f"no {wanted} in\n{seen}"


def test_https_and_wss_in_tunnels_alone(https_lab, tinyproxy):
    share_and_load(https_lab, 5 << 20, https_proxy=tinyproxy.url(), http_proxy="http://127.0.0.1:9")
    assert set(tinyproxy.requests) == {f"CONNECT {https_lab.outside.removeprefix('https://')}"}


def test_all_proxy_without_scheme_and_in_upper_case(http_lab, tinyproxy):
    run("register", env=environment(http_lab, http_lab.host_store, ALL_PROXY=f"127.0.0.1:{tinyproxy.port}"), check=0)
    assert tinyproxy.requests


@pytest.mark.parametrize("excluded", ["*", "127.0.0.1", "127.0.0.0/8", "other.example, 127.0.0.1"])
def test_what_no_proxy_names_goes_directly(http_lab, tinyproxy, excluded):
    run("register", env=environment(http_lab, http_lab.host_store, http_proxy=tinyproxy.url(), no_proxy=excluded), check=0)
    assert tinyproxy.requests == []


def test_no_proxy_of_another_port_does_not_count(http_lab, tinyproxy):
    env = environment(http_lab, http_lab.host_store, http_proxy=tinyproxy.url(), no_proxy=f"127.0.0.1:{http_lab.hub.port + 1}")
    run("register", env=env, check=0)
    assert tinyproxy.requests


@pytest.mark.parametrize("which", ["http_lab", "https_lab"])
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


def test_a_proxy_that_is_not_there_is_named(http_lab):
    port = harness.free_port()
    done = run("info", "sha1://" + "0" * 40, check=1,
               env=environment(http_lab, http_lab.remote_store, http_proxy=f"http://127.0.0.1:{port}"))
    assert f"HTTP proxy: cannot connect to 127.0.0.1:{port}: Connection refused".encode() in done.stderr


def test_a_bad_proxy_is_named_without_its_password(http_lab):
    done = run("info", "sha1://" + "0" * 40, check=2,
               env=environment(http_lab, http_lab.remote_store, http_proxy="socks5://me:sesame@127.0.0.1:1"))
    assert b"http_proxy: SOCKS proxies are not supported: want http://[user:password@]host[:port]" in done.stderr
    assert b"sesame" not in done.stderr
