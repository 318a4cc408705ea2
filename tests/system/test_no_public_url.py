"""A hub behind TLS that was started without --public-url, and a front that does not say so either: what clients make of
the http:// URLs that it gives."""
import urllib.parse

import harness
import pytest
import tls_servers
from harness import run

SAID = "has to be started with --public-url"


class PlainLab(tls_servers.TlsLab):
    """As the original instructions had it; `sent_host` is what the front sends as Host."""

    sent_host = "$http_host"

    def start_hub(self, listen="127.0.0.1:0", *options):
        hub = harness.Lab.start_hub(self, listen, *options)
        block = tls_servers.proxying(*self.pair, hub.url)
        lines = [line for line in block.splitlines() if "X-Forwarded-Proto" not in line]
        self.keep(tls_servers.Nginx(self.folder / "nginx", ["\n".join(lines).replace("$http_host", self.sent_host)], ports=[self.port]))
        return hub


@pytest.fixture(params=["$http_host", "$host"])
def unnamed_lab(request, tmp_path):
    """A lab behind nginx, which passes the name with or without the port; neither it nor the hub says that TLS is in front."""
    lab = PlainLab(tmp_path)
    lab.sent_host = request.param
    try:
        lab.start_hub()
        lab.register()
        lab.write_config()
        yield lab
    finally:
        lab.stop()


def test_every_way(unnamed_lab, tmp_path):
    """Each command says once what is missing, the daemon's log once for all files."""
    files = [tmp_path / f"file-{i}" for i in range(3)]
    for i, path in enumerate(files):
        path.write_bytes(b"%d bytes of a recording" % i * 1000)
    uris = unnamed_lab.link(*files[:2])
    daemon = unnamed_lab.share()
    for uri, path in zip(uris, files):
        run("request", uri, "--wait", env=unnamed_lab.remote, check=0)
        done = run("load", uri, "-o", str(tmp_path / "copy"), env=unnamed_lab.remote, check=0)
        assert (tmp_path / "copy").read_bytes() == path.read_bytes()
        assert done.stderr.decode().count(SAID) == 1
    assert daemon.text().count(SAID) == 1 and unnamed_lab.url in [line for line in daemon.lines["err"] if SAID in line][0]
    done = run("store", str(files[2]), str(files[0]), env=unnamed_lab.host, check=0)
    assert done.stderr.decode().count(SAID) == 1
    by_name = unnamed_lab.environment(tmp_path / "third")
    assert run("load", uris[0], "--resource", unnamed_lab.name, "-o", str(tmp_path / "copy"), env=by_name, check=0)
    done = run("request", "sha1://" + "0" * 40, "--resource", unnamed_lab.name, env=by_name, check=3)
    assert SAID in done.stderr.decode()


def test_a_front_that_says_so_is_enough(tls_lab, tmp_path):
    """X-Forwarded-Proto, as README.md has it."""
    hub = tls_lab.keep(harness.Server("hub", "--data", str(tmp_path / "second"), "--open-registration", "--secret-file",
                                      str(tls_lab.secret_file), env=harness.clean_environment(HOME=tmp_path)))
    port = harness.free_port()
    tls_lab.keep(tls_servers.Nginx(tmp_path / "second-nginx", [tls_servers.proxying(*tls_lab.pair, hub.url)], ports=[port]))
    env = {**tls_lab.environment(tmp_path / "user"), "KACHERY_GATEWAY_URL": f"https://localhost:{port}"}
    run("register", env=env, check=0)
    (tmp_path / "file").write_bytes(b"some bytes")
    done = run("store", str(tmp_path / "file"), env=env, check=0)
    assert SAID not in done.stderr.decode()
    page = harness.http("GET", hub.url, headers={"Host": "hub.example", "X-Forwarded-Proto": "https"})[2].decode()
    assert "https://hub.example/r/NAME" in page and urllib.parse.urlsplit(hub.url).netloc not in page
