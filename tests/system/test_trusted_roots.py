"""Where trusted roots come from: the variables, the config's caFile, and the usual places of every distribution, each in a
mount namespace of its own in which /etc and /var/lib are empty but for what the test puts there."""
import base64
import os
import shlex
import ssl
import subprocess

import certificates
import harness
import odd_tls
import pytest
import tls_servers
from harness import clean_environment, run

USUAL = [
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem", "/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/cert.pem", "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
]
ANSWER = b'{"type":"findFile","found":false}'
needs_namespaces = pytest.mark.skipif(subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode != 0,
                                      reason="no mount namespaces here")


@pytest.fixture
def own_root(tmp_path, processes):
    """A server behind a root of the test's own, and that root's file."""
    top, bundle = tls_servers.lab_root(tmp_path)
    pem, key = tls_servers.write_pair(tmp_path, "server", [certificates.server(top, ["localhost"], **tls_servers.now())])
    peer = processes(odd_tls.TlsPeer(pem, key, lambda s: odd_tls.read_request(s) and s.sendall(odd_tls.answer(ANSWER))))
    return tmp_path, bundle, peer.port


def environment(own_root, **more):
    return clean_environment(HOME=own_root[0], KACHERY_GATEWAY_URL=f"https://localhost:{own_root[2]}", **more)


def ask(own_root, **env):
    done = run("info", "sha1://" + "0" * 40, env=environment(own_root, **env))
    return done.returncode, done.stderr.decode()


def ask_elsewhere(own_root, prepare):
    """The same on a host whose /etc and /var/lib hold what the shell commands `prepare` make."""
    script = f"""set -e; mount -t tmpfs none /etc; mount -t tmpfs none /var/lib; echo 127.0.0.1 localhost > /etc/hosts
{prepare}
exec {shlex.quote(harness.BINARY)} info sha1://{"0" * 40}"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=environment(own_root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
    return done.returncode, done.stderr.decode()


def put(bundle, path):
    return f"mkdir -p {os.path.dirname(path)}; cp {bundle} {path}\n"


@needs_namespaces
@pytest.mark.parametrize("path", USUAL)
def test_the_usual_places(own_root, path):
    assert ask_elsewhere(own_root, put(own_root[1], path))[0] == 3


@needs_namespaces
def test_none_of_the_usual_places(own_root):
    status, said = ask_elsewhere(own_root, "")
    assert status == 1 and "no trusted certificates found: set SSL_CERT_FILE" in said
    assert all(path in said for path in USUAL), said


@needs_namespaces
@pytest.mark.parametrize("spoiler", ["echo > {0}", "echo 'no certificate' > {0}", "mkdir {0}", "ln -s /nowhere {0}", "printf -- '-----BEGIN CERTIFICATE-----\\n' > {0}"])
def test_a_place_that_holds_nothing_is_passed_over(own_root, spoiler):
    prepare = "mkdir -p /etc/ssl/certs; " + spoiler.format(USUAL[0]) + "\n" + put(own_root[1], USUAL[3])
    assert ask_elsewhere(own_root, prepare)[0] == 3
    status, said = ask_elsewhere(own_root, "mkdir -p /etc/ssl/certs; " + spoiler.format(USUAL[0]))
    assert status == 1 and "no trusted certificates found" in said


def pem_of(count, number=0):
    return "".join(certificates.root(f"root {number}.{i}", kind="p256", number="many", **tls_servers.now()).pem() for i in range(count))


FORMS = {
    "as it is": lambda pem: pem,
    "with comments": lambda pem: "# Lab root\nsubject=CN = lab root\n" + pem + "\n=====\n" + pem_of(2),
    "with Windows' line ends": lambda pem: pem.replace("\n", "\r\n"),
    "with spaces and tabs": lambda pem: pem.replace("\n", " \t\n"),
    "without a final newline": lambda pem: pem.rstrip("\n"),
    "behind a mark of byte order": lambda pem: "\ufeff" + pem,
    "behind a broken one": lambda pem: "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n" + pem,
    "behind one that is cut": lambda pem: pem_of(1)[:200] + "\n" + pem,
    "behind a key": lambda pem: certificates.root(**tls_servers.now()).key_pem() + pem,
    "behind a request": lambda pem: "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n" + pem,
    "as OpenSSL's trusted certificate": lambda pem: subprocess.run(
        ["openssl", "x509", "-trustout", "-addtrust", "serverAuth"], input=pem, stdout=subprocess.PIPE, text=True, check=True).stdout,
    "last of 300": lambda pem: pem_of(300) + pem, "twice": lambda pem: pem + pem,
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_bundle(own_root, form):
    (own_root[0] / "form.pem").write_text(FORMS[form](own_root[1].read_text()))
    assert ask(own_root, SSL_CERT_FILE=own_root[0] / "form.pem")[0] == 3


@pytest.mark.parametrize("content, words", [
    ("", "form.pem holds no PEM certificate"), ("MIIB", "form.pem holds no PEM certificate"),
    ("-----BEGIN CERTIFICATE-----\n", "form.pem holds no PEM certificate"), (None, "unknown issuer CN=lab root: not among the trusted roots"),
])
def test_bundles_that_do_not_help(own_root, content, words):
    (own_root[0] / "form.pem").write_text(pem_of(1) if content is None else content)
    status, said = ask(own_root, SSL_CERT_FILE=own_root[0] / "form.pem")
    assert status == 1 and words in said


def test_what_is_given_counts_together_and_nothing_else(own_root):
    folder, bundle, _ = own_root
    for name in ("one", "two", "empty"):
        (folder / name).mkdir()
    (folder / "two" / "lab.crt").write_text(bundle.read_text())
    (folder / "one" / "other.pem").write_text(pem_of(1))
    (folder / "other.pem").write_text(pem_of(3))
    both = f"{folder}/one:{folder}/two"
    assert ask(own_root, SSL_CERT_DIR=folder / "two")[0] == 3
    assert ask(own_root, SSL_CERT_DIR=both)[0] == 3
    assert ask(own_root, SSL_CERT_DIR=f":{folder}/two:")[0] == 3
    assert ask(own_root, SSL_CERT_DIR=both, SSL_CERT_FILE=folder / "other.pem")[0] == 3
    assert ask(own_root, SSL_CERT_DIR=folder / "one", SSL_CERT_FILE=bundle)[0] == 3
    assert "not among the trusted roots" in ask(own_root, SSL_CERT_DIR=folder / "one")[1]
    assert "holds no PEM certificate" in ask(own_root, SSL_CERT_DIR=folder / "empty")[1]
    assert ask(own_root, SSL_CERT_FILE="", SSL_CERT_DIR=folder / "two")[0] == 3
    assert "cannot open" in ask(own_root, SSL_CERT_FILE=folder / "nowhere", SSL_CERT_DIR=folder / "two")[1]


def marked(pem, *options):
    """OpenSSL's TRUSTED CERTIFICATE with those settings."""
    return subprocess.run(["openssl", "x509", "-trustout", *options], input=pem, stdout=subprocess.PIPE, text=True, check=True).stdout


def hand_made(pem, settings):
    """The same with settings that OpenSSL would not write."""
    return "-----BEGIN TRUSTED CERTIFICATE-----\n" + base64.encodebytes(ssl.PEM_cert_to_DER_cert(pem) + settings).decode() \
        + "-----END TRUSTED CERTIFICATE-----\n"


def items(tag, *objects):
    body = b"".join(bytes([6, len(o)]) + o for o in objects)
    return bytes([tag, len(body)]) + body


def settings(*content):
    body = b"".join(content)
    return bytes([0x30, len(body)]) + body


SERVER, ANY, EMAIL = bytes.fromhex("2b06010505070301"), bytes.fromhex("551d2500"), bytes.fromhex("2b06010505070304")
MARKS = {
    # the root's settings, is it trusted for servers?
    "no settings": (lambda pem: marked(pem), True), "an alias": (lambda pem: marked(pem, "-setalias", "the lab"), True),
    "trust serverAuth": (lambda pem: marked(pem, "-addtrust", "serverAuth"), True),
    "trust e-mail and serverAuth": (lambda pem: marked(pem, "-addtrust", "emailProtection", "-addtrust", "serverAuth"), True),
    "trust anything": (lambda pem: marked(pem, "-addtrust", "anyExtendedKeyUsage"), True),
    "trust e-mail": (lambda pem: marked(pem, "-addtrust", "emailProtection"), False),
    "trust clientAuth": (lambda pem: marked(pem, "-addtrust", "clientAuth", "-setalias", "the lab"), False),
    "reject serverAuth": (lambda pem: marked(pem, "-addreject", "serverAuth"), False),
    "reject anything": (lambda pem: marked(pem, "-addreject", "anyExtendedKeyUsage"), False),
    "reject e-mail": (lambda pem: marked(pem, "-addreject", "emailProtection"), True),
    "reject e-mail and serverAuth": (lambda pem: marked(pem, "-addreject", "emailProtection", "-addreject", "serverAuth"), False),
    "trust and reject serverAuth": (lambda pem: marked(pem, "-addtrust", "serverAuth", "-addreject", "serverAuth"), False),
    "trust serverAuth, reject e-mail": (lambda pem: marked(pem, "-addtrust", "serverAuth", "-addreject", "emailProtection"), True),
    "an empty trust list": (lambda pem: hand_made(pem, settings(items(0x30))), False),
    "an empty reject list": (lambda pem: hand_made(pem, settings(items(0xa0))), True),
    "empty settings": (lambda pem: hand_made(pem, settings()), True),
    "trust by hand": (lambda pem: hand_made(pem, settings(items(0x30, EMAIL, SERVER), items(0xa0, EMAIL))), True),
    "reject anything by hand": (lambda pem: hand_made(pem, settings(items(0x30, SERVER), items(0xa0, ANY))), False),
    "settings that are cut": (lambda pem: hand_made(pem, settings(items(0x30, SERVER))[:-1]), False),
    "settings with more behind": (lambda pem: hand_made(pem, settings(items(0x30, SERVER)) + b"\0\0"), False),
    "a list of something else": (lambda pem: hand_made(pem, settings(b"\x30\x03\x02\x01\x05")), False),
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("more", ["", "before", "behind", "folder"])
def test_trust_settings_of_a_root(own_root, mark, more):
    """As OpenSSL: and a rejection holds where the root stands elsewhere without settings."""
    folder, bundle, _ = own_root
    make, is_trusted = MARKS[mark]
    plain, text = bundle.read_text(), make(bundle.read_text())
    (folder / "marked.pem").write_text({"": text, "before": plain + text, "behind": text + plain, "folder": text}[more])
    (folder / "others").mkdir()
    (folder / "others" / "root.pem").write_text(plain)
    status, said = ask(own_root, SSL_CERT_FILE=folder / "marked.pem", SSL_CERT_DIR=folder / "others" if more == "folder" else None)
    assert (status == 3) == is_trusted, said
    assert is_trusted or "root CN=lab root: is marked as not to be trusted for servers" in said


@pytest.mark.parametrize("which", ["server", "middle"])
def test_trust_settings_of_what_is_below_a_root(tmp_path, processes, which):
    """A server or an intermediate that is rejected one by one, while its root is trusted."""
    top, bundle = tls_servers.lab_root(tmp_path)
    middle = certificates.intermediate(top, "lab middle", **tls_servers.now())
    server = certificates.server(middle, ["localhost"], **tls_servers.now())
    pem, key = tls_servers.write_pair(tmp_path, "server", [server, middle])
    peer = processes(odd_tls.TlsPeer(pem, key, lambda s: odd_tls.read_request(s) and s.sendall(odd_tls.answer(ANSWER))))
    here = (tmp_path, bundle, peer.port)
    assert ask(here, SSL_CERT_FILE=bundle)[0] == 3
    rejected = marked({"server": server, "middle": middle}[which].pem(), "-addreject", "serverAuth")
    (tmp_path / "both.pem").write_text(bundle.read_text() + rejected)
    status, said = ask(here, SSL_CERT_FILE=tmp_path / "both.pem")
    assert status == 1 and "is marked as not to be trusted for servers" in said
    assert ("intermediate CN=lab middle: is" if which == "middle" else "certificate: is") in said


def test_variables_of_curl_and_of_python(own_root):
    """Behind SSL_CERT_FILE, in that order; Python's may name a folder."""
    folder, bundle, _ = own_root
    (folder / "other.pem").write_text(pem_of(1))
    (folder / "folder").mkdir()
    (folder / "folder" / "lab.pem").write_text(bundle.read_text())
    (folder / "empty").mkdir()
    other, nowhere = folder / "other.pem", folder / "nowhere.pem"
    for good in (dict(CURL_CA_BUNDLE=bundle), dict(REQUESTS_CA_BUNDLE=bundle), dict(REQUESTS_CA_BUNDLE=folder / "folder"),
                 dict(CURL_CA_BUNDLE=folder / "folder"), dict(SSL_CERT_FILE=bundle, CURL_CA_BUNDLE=other, REQUESTS_CA_BUNDLE=nowhere),
                 dict(CURL_CA_BUNDLE=bundle, REQUESTS_CA_BUNDLE=other), dict(SSL_CERT_FILE="", CURL_CA_BUNDLE="", REQUESTS_CA_BUNDLE=bundle),
                 dict(CURL_CA_BUNDLE=other, SSL_CERT_DIR=folder / "folder")):
        assert ask(own_root, **good)[0] == 3, good
    for bad, words in ((dict(SSL_CERT_FILE=other, CURL_CA_BUNDLE=bundle), "not among the trusted roots (SSL_CERT_FILE names"),
                       (dict(CURL_CA_BUNDLE=other, REQUESTS_CA_BUNDLE=bundle), "not among the trusted roots (SSL_CERT_FILE names"),
                       (dict(CURL_CA_BUNDLE=nowhere, REQUESTS_CA_BUNDLE=bundle), "CURL_CA_BUNDLE: cannot open"),
                       (dict(REQUESTS_CA_BUNDLE=nowhere), "REQUESTS_CA_BUNDLE: cannot open"),
                       (dict(REQUESTS_CA_BUNDLE=folder / "empty"), "REQUESTS_CA_BUNDLE: ")):
        status, said = ask(own_root, **bad)
        assert status == 1 and words in said, (bad, said)


def test_thousands_of_roots(own_root):
    folder, bundle, _ = own_root
    (folder / "many.pem").write_text(pem_of(40) * 100 + bundle.read_text())
    assert ask(own_root, SSL_CERT_FILE=folder / "many.pem")[0] == 3
    (folder / "too-many.pem").write_text(pem_of(1) * 20001)
    assert "more than 20000 certificates" in ask(own_root, SSL_CERT_FILE=folder / "too-many.pem")[1]


def test_the_config_s_ca_file(own_root, processes):
    """Relative to the config's folder; with words when it is wrong; the lookups of the gateway use it too."""
    folder, bundle, port = own_root
    config = folder / "kachery-resource.yaml"
    text = f"resourceName: r\nkacheryZone: default\nproxyUrl: https://localhost:{port}\nproxySecret: secret\ncaFile: "
    run("register", "--no-wait", env=environment(own_root, SSL_CERT_FILE=bundle))
    for name, words in (("root.pem", "WebSocket refused: 200 OK"), ("nowhere.pem", "caFile: cannot open"), ("other.pem", "not among the trusted roots")):
        (folder / "other.pem").write_text(pem_of(1))
        config.write_text(text + name + "\n")
        config.chmod(0o600)
        daemon = processes(harness.Process("share", "--config", config, env=environment(own_root), cwd="/"))
        daemon.wait_line(words)
        daemon.stop()
        assert name == "root.pem" or "WebSocket" not in daemon.text()
