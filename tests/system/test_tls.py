"""The whole job over https and wss, and what is said when TLS cannot be had."""
import contextlib
import datetime
import shutil
import socket
import threading

import certificates
import pytest
import tls_servers
from harness import clean_environment, object_path, run, sha1

DAYS = datetime.timedelta(days=1)


def test_the_whole_job(tls_lab):
    data = bytes(range(256)) * 20000
    path, out = tls_lab.folder / "recording.dat", tls_lab.folder / "out.dat"
    path.write_bytes(data)
    tls_lab.write_config(proxy_url=tls_lab.url.replace("https", "wss"))
    uri, = tls_lab.link(path)
    tls_lab.share()
    run("request", uri, "--wait", env=tls_lab.remote, check=0)
    run("load", uri, "-o", out, env=tls_lab.remote, check=0)
    assert out.read_bytes() == data
    assert object_path(tls_lab.data, sha1(data)).read_bytes() == data


def test_store_and_cat(tls_lab):
    path = tls_lab.folder / "a.txt"
    path.write_text("over TLS\n")
    uri = run("store", path, env=tls_lab.host, check=0).stdout.decode().split("\t")[0]
    assert run("cat", uri, env=tls_lab.remote, check=0).stdout == b"over TLS\n"


def bad_certificates():
    today = datetime.datetime.utcnow()
    top = certificates.root("lab root", number=5000, **tls_servers.now())
    other = certificates.root("foreign root", **tls_servers.now())
    good = tls_servers.now()
    return top, {
        "expired": (certificates.server(top, ["localhost"], begins=today - 9 * DAYS, ends=today - 2 * DAYS), "expired since"),
        "future": (certificates.server(top, ["localhost"], begins=today + DAYS, ends=today + 9 * DAYS), "not yet valid"),
        "name": (certificates.server(top, ["elsewhere.example"], **good), "not for localhost but for elsewhere.example"),
        "issuer": (certificates.server(other, ["localhost"], **good), "unknown issuer CN=foreign root"),
        "self": (certificates.make(subject="alone", names=["localhost"], **good), "signed by itself"),
        "weak": (certificates.server(top, ["localhost"], kind="rsa1024", **good), "weak key: RSA with 1024 bits"),
        "sha1": (certificates.server(top, ["localhost"], hash_=certificates.hashes.SHA1(), **good), "weak signature"),
        "usage": (certificates.server(top, ["localhost"], usages=[certificates.CLIENT], **good), "wrong usage"),
        "no names": (certificates.make(top, "localhost", usages=[certificates.SERVER], **good), "no host at all"),
    }


def test_certificate_errors(tmp_path, processes):
    top, cases = bad_certificates()
    (tmp_path / "root.pem").write_text(top.pem())
    blocks = []
    for name, (leaf, _) in cases.items():
        pem, key = tls_servers.write_pair(tmp_path, name.replace(" ", "-"), [leaf])
        blocks.append(f"listen LISTEN ssl; ssl_certificate {pem}; ssl_certificate_key {key}; ssl_protocols TLSv1.2; "
                      "ssl_ciphers DEFAULT@SECLEVEL=0; return 200;")
    nginx = processes(tls_servers.Nginx(tmp_path / "nginx", blocks))
    for port, (name, (_, words)) in zip(nginx.ports, cases.items()):
        env = clean_environment(HOME=tmp_path, SSL_CERT_FILE=tmp_path / "root.pem",
                                KACHERY_GATEWAY_URL=f"https://localhost:{port}")
        done = run("info", "sha1://" + "0" * 40, env=env, check=1)
        said = done.stderr.decode()
        assert words in said and f"localhost:{port}" in said, f"{name}: {said}"
        assert done.stdout == b""


def gateway_error(tmp_path, port, check=1, **env):
    env = clean_environment(HOME=tmp_path, KACHERY_GATEWAY_URL=f"https://localhost:{port}", **env)
    return run("info", "sha1://" + "0" * 40, env=env, check=check).stderr.decode()


@pytest.fixture
def pair(tmp_path):
    """A root's file, and the files of a certificate for localhost and of its key."""
    top, bundle = tls_servers.lab_root(tmp_path)
    leaf = certificates.server(top, ["localhost"], kind="rsa2048", **tls_servers.now())
    return bundle, *tls_servers.write_pair(tmp_path, "server", [leaf])


@pytest.mark.parametrize("options, words", [
    (["-tls1_2"], "404"),
    (["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"], "404"), (["-tls1_2", "-cipher", "AES256-GCM-SHA384"], "404"),
    (["-tls1_3"], "TLS 1.2"), (["-tls1_2", "-cipher", "CAMELLIA128-SHA:@SECLEVEL=0"], "no cipher suite in common"),
])
def test_peers(tmp_path, processes, pair, options, words):
    bundle, pem, key = pair
    server = processes(tls_servers.Openssl(pem, key, *options))
    said = gateway_error(tmp_path, server.port, SSL_CERT_FILE=bundle)
    assert words in said, said


@pytest.mark.parametrize("suites", ["AES256-SHA", "ECDHE-RSA-AES128-SHA", "AES128-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"])
def test_older_suites_when_the_peer_has_nothing_else(tmp_path, processes, pair, suites):
    bundle, pem, key = pair
    nginx = processes(tls_servers.Nginx(tmp_path / "nginx", [
        f"listen LISTEN ssl; ssl_certificate {pem}; ssl_certificate_key {key}; ssl_protocols TLSv1.2; "
        f"ssl_ciphers {suites}; return 404;"]))
    assert "404" in gateway_error(tmp_path, nginx.ports[0], SSL_CERT_FILE=bundle)


def test_client_certificates_are_said_to_be_missing(tmp_path, processes, pair):
    bundle, pem, key = pair
    server = processes(tls_servers.Openssl(pem, key, "-tls1_2", "-Verify", "1"))
    assert "client certificate" in gateway_error(tmp_path, server.port, SSL_CERT_FILE=bundle)


def test_a_port_without_tls(tmp_path, processes, lab):
    said = gateway_error(tmp_path, lab.hub.port)
    assert "does not speak TLS" in said


@pytest.mark.parametrize("variable, value, words", [
    ("SSL_CERT_FILE", "/nonexistent.pem", "SSL_CERT_FILE: cannot open /nonexistent.pem"),
    ("SSL_CERT_FILE", "/etc/passwd", "holds no PEM certificate"),
    ("SSL_CERT_DIR", "/nonexistent", "SSL_CERT_DIR: /nonexistent"),
])
def test_trust_that_cannot_be_read(tmp_path, processes, pair, variable, value, words):
    _, pem, key = pair
    server = processes(tls_servers.Openssl(pem, key, "-tls1_2"))
    assert words in gateway_error(tmp_path, server.port, **{variable: value})


def test_trust_in_a_folder(tmp_path, processes, pair):
    bundle, pem, key = pair
    folder = tmp_path / "trusted"
    folder.mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "notes.txt").write_text("no certificate")
    shutil.copy(bundle, folder / "a1b2c3d4.0")
    server = processes(tls_servers.Openssl(pem, key, "-tls1_2"))
    said = gateway_error(tmp_path, server.port, SSL_CERT_DIR=folder)
    assert "404" in said, said


def test_a_connection_that_is_cut_in_the_handshake(tmp_path, processes):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def hang_up():
            with contextlib.suppress(OSError):  # until the listener is shut down
                while True:  # it is tried again
                    peer, _ = listener.accept()
                    peer.recv(1000)
                    peer.close()
        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        said = gateway_error(tmp_path, listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert "during the TLS handshake" in said
