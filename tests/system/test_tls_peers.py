"""https against servers as they are and as they should not be: what works, and what is said of the rest, word for word."""
import os
import re
import socket
import struct
import subprocess
import threading
import time

import certificates
import harness
import odd_tls
import pytest
import tls_servers
from harness import clean_environment
from odd_tls import answer, read_request, without_notify
from tls_asking import ANSWER, NOT_FOUND, ask, issue


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    """One root, server certificates with keys of every kind, and their files."""
    folder = tmp_path_factory.mktemp("tls")
    top, bundle = tls_servers.lab_root(folder)
    made = {"folder": folder, "bundle": bundle, "top": top}
    for kind in ("rsa2048", "rsa4096", "p256", "p384", "p521"):
        made[kind] = issue(made, kind, kind=kind)
    return made


def transfer(identities, *arguments):
    """Many calls in one process, by the production HTTP client."""
    return subprocess.run([harness.ROOT / "build" / "tools" / "http_transfer", *map(str, arguments)], text=True, timeout=harness.DEADLINE_S,
                          env=clean_environment(SSL_CERT_FILE=identities["bundle"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# ---- how a connection ends ----

def until_close(stream):
    stream.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + ANSWER)


def chunked(stream, last=b"0\r\n\r\n"):
    stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s" % (len(ANSWER), ANSWER, last))


def notify(stream):
    stream.unwrap().close()


def cut(stream):
    without_notify(stream).close()


def reset(stream):
    below = without_notify(stream)
    below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    below.close()


def raw(data):
    """Bytes past the TLS layer."""
    def send(stream):
        below = without_notify(stream)
        below.sendall(data)
        below.shutdown(socket.SHUT_WR)
        below.recv(65536)
    return send


def half(stream):
    below = without_notify(stream)
    below.shutdown(socket.SHUT_WR)
    below.recv(65536)


CUT = "connection cut (TLS ended without close_notify)"
ENDS = {
    # what is sent, how it ends, what is said
    "all, close_notify": (lambda s: s.sendall(answer(ANSWER)), notify, NOT_FOUND),
    "all, cut": (lambda s: s.sendall(answer(ANSWER)), cut, NOT_FOUND),
    "all, reset": (lambda s: s.sendall(answer(ANSWER)) or time.sleep(0.1), reset, NOT_FOUND),
    "all, half-closed": (lambda s: s.sendall(answer(ANSWER)), half, NOT_FOUND),
    "all, a byte a record": (lambda s: [s.sendall(bytes([b])) for b in answer(ANSWER)], notify, NOT_FOUND),
    "all chunks, cut": (chunked, cut, NOT_FOUND),
    "until close, close_notify": (until_close, notify, NOT_FOUND),
    "until close, cut": (until_close, cut, CUT),
    "until close, reset": (until_close, reset, "Connection reset by peer"),
    "a part, close_notify": (lambda s: s.sendall(answer(ANSWER)[:-5]), notify, "connection cut after 28 of 33 bytes"),
    "a part, cut": (lambda s: s.sendall(answer(ANSWER)[:-5]), cut, CUT),
    "a part, reset": (lambda s: s.sendall(answer(ANSWER)[:-5]), reset, "Connection reset by peer"),
    "no last chunk, close_notify": (lambda s: chunked(s, b""), notify, "connection cut after 33 bytes of a chunked body"),
    "no last chunk, cut": (lambda s: chunked(s, b""), cut, CUT),
    "a part of the head, close_notify": (lambda s: s.sendall(answer(ANSWER)[:30]), notify, "in the head of its answer"),
    "a part of the head, cut": (lambda s: s.sendall(answer(ANSWER)[:30]), cut, CUT),
    "nothing, close_notify": (lambda s: None, notify, "the server closed the connection without an answer"),
    "nothing, cut": (lambda s: None, cut, CUT),
    "nothing, half-closed": (lambda s: None, half, CUT),
    "nothing, plain text": (lambda s: None, raw(b"HTTP/1.1 200 OK\r\n\r\n"), "what came is no TLS record (damaged on its way?)"),
    "nothing, plain alert": (lambda s: None, raw(b"\x15\x03\x03\x00\x02\x02\x50"), "what came is no TLS record"),
    "nothing, a record that is not encrypted": (lambda s: None, raw(b"\x17\x03\x03\x00\x30" + bytes(48)), "a record was damaged on its way"),
    "a part, a damaged record": (lambda s: s.sendall(answer(ANSWER)[:40]), raw(b"\x17\x03\x03\x00\x30" + bytes(48)), "a record was damaged on its way"),
    "nothing, a record that is too large": (lambda s: None, raw(b"\x17\x03\x03\xff\xff"), "what came is no TLS record"),
}


@pytest.mark.parametrize("case", ENDS)
def test_how_a_connection_ends(identities, processes, case):
    say, end, words = ENDS[case]

    def handle(stream):
        read_request(stream)
        say(stream)
        end(stream)
    peer = processes(odd_tls.TlsPeer(*identities["p256"], handle))
    said = ask(identities, peer.port)
    assert words in said and f"https://localhost:{peer.port}" in said, said


def test_what_is_cut_or_damaged_once_is_asked_again(identities, processes):
    """A connection that breaks is a fault of the network, whatever the bytes were."""
    ends = [cut, raw(b"\x17\x03\x03\x00\x30" + bytes(48)), raw(b"no record at all"), reset]

    def handle(stream):
        read_request(stream)
        if ends:
            ends.pop()(stream)
        else:
            stream.sendall(answer(ANSWER))
    peer = processes(odd_tls.TlsPeer(*identities["p256"], handle))
    assert NOT_FOUND in ask(identities, peer.port, patience="pause_min_ms=1,pause_max_ms=1")
    assert peer.accepted == 5


# ---- before anything is said ----

STRANGERS = {
    b"HTTP/1.1 400 Bad Request\r\n\r\n": "TLS: peer does not speak TLS: it says HTTP/1.1 400 Bad Request (is this an http port? then use http://)",
    b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n": "TLS: peer does not speak TLS: it says SSH-2.0-OpenSSH_9.2p1 Debian",
    b"220 mail.example ESMTP\r\n": "TLS: peer does not speak TLS: it says 220 mail.example ESMTP",
    bytes(100): "TLS: peer does not speak TLS\n",
    b"\x80\x2e\x01\x00\x02" + bytes(44): "TLS: peer does not speak TLS\n",
    b"\xff\xfe\xfd" * 30: "TLS: peer does not speak TLS\n",
    b"\x16\x03\x01\x00\x04\x0e\0\0\0": "TLS: ", b"\x16\x03\x03\xff\xff": "record is malformed", b"\x17\x03\x03\x00\x02ab": "a message out of turn",
}
ALERTS = {
    40: "alert 40 (handshake_failure): no cipher suite in common", 42: "alert 42 (bad_certificate): it wants a client certificate",
    70: "alert 70 (protocol_version): it does not speak TLS 1.2", 71: "(insufficient_security): no cipher suite in common", 80: "alert 80 (internal_error)",
    112: "alert 112 (unrecognized_name): it does not know this host name", 116: "(certificate_required): it wants a client certificate",
    120: "alert 120 (no_application_protocol): it does not speak HTTP/1.1", 200: "alert 200 (unknown)",
}


@pytest.mark.parametrize("said, words", [*STRANGERS.items(), *((b"\x15\x03\x03\x00\x02\x02" + bytes([a]), w) for a, w in ALERTS.items())])
def test_what_a_peer_says_first(identities, processes, said, words):
    def handle(connection):
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    peer = processes(odd_tls.Listener(handle))
    assert words in ask(identities, peer.port)


def test_a_warning_before_the_handshake_does_not_matter(identities, processes):
    """unrecognized_name as a warning (Java and older Apache), and empty records."""
    peer = processes(odd_tls.TlsPeer(*identities["p256"], lambda s: read_request(s) and s.sendall(answer(ANSWER))))
    for extra in (b"\x15\x03\x03\x00\x02\x01\x70", b"\x16\x03\x03\0\0" * 40):
        relay = processes(odd_tls.Relay(peer.port, odd_tls.before(extra)))
        assert NOT_FOUND in ask(identities, relay.port)


def test_a_peer_that_stalls_or_cuts_anywhere_in_the_handshake(identities, processes):
    """Also before the first byte, and when it takes the connection and reads nothing: each ends in the stated time."""
    def handle(stream):
        read_request(stream)
        stream.sendall(answer(ANSWER))
        stream.recv(1)
    peer = processes(odd_tls.TlsPeer(*identities["p256"], handle))
    silent = processes(odd_tls.Listener(lambda connection: threading.Event().wait()))
    relays = {(count, cuts): processes(odd_tls.Relay(peer.port, odd_tls.only(count), cuts))
              for count in (0, 3, 5, 60, 300, 500, 600) for cuts in (False, True)}
    relays[-1, False] = silent
    results = {}

    def one(which):
        start = time.monotonic()
        limit = "" if which[1] else "call_ms=1000,"
        results[which] = (ask(identities, relays[which].port, patience=limit + "asking_ms=0,lost_ms=0"), time.monotonic() - start)
    threads = [threading.Thread(target=one, args=(which,)) for which in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (count, cuts), (said, seconds) in results.items():
        assert ("connection closed during the TLS handshake" if cuts else "TLS handshake stalled: no answer within 1 s") in said, (count, said)
        assert cuts or 0.9 < seconds < 15


def test_a_server_that_takes_a_request_and_says_nothing(identities, processes):
    for scheme, peer in (("https", odd_tls.TlsPeer(*identities["p256"], lambda stream: threading.Event().wait())),
                         ("http", odd_tls.Listener(lambda connection: threading.Event().wait()))):
        processes(peer)
        said = ask(identities, peer.port, scheme=scheme, patience="call_ms=700,asking_ms=0,lost_ms=0")
        assert "not finished within 1 s" in said, said


# ---- openssl s_server and nginx ----

SUITE = "no cipher suite in common"
PEERS = [
    # key, options of s_server, what is said
    ("rsa2048", [], "404"), ("rsa4096", [], "404"), ("p256", [], "404"), ("p384", [], "404"), ("p521", [], "404"),
    ("rsa2048", ["-groups", "X25519"], "404"), ("rsa2048", ["-groups", "P-256"], "404"), ("rsa2048", ["-groups", "P-384"], "404"),
    ("p256", ["-groups", "X25519"], "404"), ("p256", ["-groups", "P-384"], "404"), ("p384", ["-groups", "P-521"], "404"),
    ("p256", ["-groups", "X448"], SUITE), ("rsa2048", ["-max_send_frag", "512"], "404"), ("rsa2048", ["-split_send_frag", "16"], "404"),
    ("rsa2048", ["-verify", "1"], "404"), ("rsa2048", ["-alpn", "http/1.1,h2"], "404"), ("rsa2048", ["-alpn", "h2"], "it does not speak HTTP/1.1"),
    ("rsa2048", ["-sigalgs", "RSA+SHA512"], "404"), ("p256", ["-sigalgs", "ECDSA+SHA384"], "404"), ("rsa2048", ["-sigalgs", "RSA-PSS+SHA256"], SUITE),
    ("rsa2048", ["-cipher", "ECDHE-RSA-AES256-SHA384"], "404"), ("rsa2048", ["-cipher", "AES256-SHA256"], "404"),
    ("rsa2048", ["-cipher", "DHE-RSA-AES128-GCM-SHA256"], SUITE), ("rsa2048", ["-cipher", "NULL-SHA256:@SECLEVEL=0"], SUITE),
    ("rsa2048", ["-cipher", "aNULL:@SECLEVEL=0"], SUITE), ("rsa2048", ["-no_ticket"], "404"),
]
VERSIONS = [("-tls1", "but an older version"), ("-tls1_1", "but an older version"), ("-tls1_3", "it does not speak TLS 1.2")]


@pytest.mark.parametrize("kind, options, words", [*((k, ["-tls1_2", *o], w) for k, o, w in PEERS),
                                                  *(("rsa2048", [v, "-cipher", "DEFAULT:@SECLEVEL=0"], w) for v, w in VERSIONS)])
def test_openssl(identities, processes, kind, options, words):
    server = processes(tls_servers.Openssl(*identities[kind], *options))
    assert words in ask(identities, server.port)


@pytest.mark.parametrize("usages, cipher", [(dict(encipher=True), "ECDHE-RSA-AES128-GCM-SHA256"), (dict(encipher=True), "AES128-GCM-SHA256"),
                                            (dict(digital=True), "AES128-GCM-SHA256"), (dict(digital=True), "ECDHE-RSA-AES128-GCM-SHA256")])
def test_rsa_certificates_that_name_one_usage_alone(identities, processes, usages, cipher):
    """Many recipes say keyEncipherment and nothing else; OpenSSL and Go connect all the same."""
    pair = issue(identities, "usage", kind="rsa2048", key_usage=certificates.usage(**usages))
    server = processes(tls_servers.Openssl(*pair, "-tls1_2", "-cipher", cipher))
    assert "404" in ask(identities, server.port)


def test_a_chain_of_60_certificates(identities, processes):
    others = [certificates.root(f"of no use {i}", kind="p256", number="useless", **tls_servers.now()) for i in range(6)] * 10
    middle = certificates.intermediate(identities["top"], "middle", **tls_servers.now())
    leaf = certificates.server(middle, ["localhost"], **tls_servers.now())
    pair = tls_servers.write_pair(identities["folder"], "long", [leaf, *others, middle])
    nginx = processes(tls_servers.Nginx(identities["folder"] / "long-chain", [
        f"listen LISTEN ssl; ssl_certificate {pair[0]}; ssl_certificate_key {pair[1]}; ssl_protocols TLSv1.2; return 404;"]))
    assert "404" in ask(identities, nginx.ports[0])


def test_renegotiation_is_declined(identities, processes):
    server = processes(harness.Process("s_server", "-accept", "127.0.0.1:0", "-cert", identities["p256"][0], "-key", identities["p256"][1],
                                       "-tls1_2", program=["openssl"], stdin=subprocess.PIPE))
    port = int(server.wait_line("ACCEPT").rsplit(":", 1)[1])

    def ask_again():
        server.wait_line("POST /api")
        server.process.stdin.write(b"r\n")
        server.process.stdin.flush()
    thread = threading.Thread(target=ask_again)
    thread.start()
    said = ask(identities, port)
    thread.join()
    assert "TLS: peer sent alert 40 (handshake_failure): it may want to renegotiate" in said


class Observed:
    """nginx that writes down what it saw of each connection's TLS."""

    def __init__(self, identities, processes, name, *more, kind="rsa2048"):
        self.log = identities["folder"] / f"{name}.log"
        self.log.unlink(missing_ok=True)
        pem, key = identities[kind]
        ports = [harness.free_port() for _ in more]
        blocks = [f"listen LISTEN ssl; listen [::1]:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {key}; ssl_protocols TLSv1.2; "
                  f"keepalive_timeout 0; {one} access_log {self.log} seen; default_type application/json; return 200 '{ANSWER.decode()}';"
                  for one, port in zip(more, ports)]
        self.nginx = processes(tls_servers.Nginx(identities["folder"] / name, blocks, ports=ports, http=(
            "log_format seen 'port=$server_port sni=$ssl_server_name alpn=$ssl_alpn_protocol reused=$ssl_session_reused suite=$ssl_cipher;';")))
        self.ports = ports

    def seen(self, port, what, count):
        """It is written down after the answer went out."""
        def found():
            return re.findall(rf"port={port} .*\b{what}=(\S*?)[ ;]", self.log.read_text())
        harness.until(lambda: len(found()) >= count, "nginx has written it down")
        return found()


def test_names_and_protocols_that_a_server_sees(identities, processes):
    observed = Observed(identities, processes, "names", "")
    port = observed.ports[0]
    for host in ("localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::1]"):
        assert NOT_FOUND in ask(identities, port, host)
    assert [name.lower() for name in observed.seen(port, "sni", 5)] == ["localhost"] * 3 + ["-"] * 2
    assert observed.seen(port, "alpn", 5) == ["http/1.1"] * 5


OLD, NEW = "AES256-SHA", "ECDHE-RSA-AES128-GCM-SHA256"


def test_sessions_are_resumed_where_the_server_keeps_them(identities, processes):
    """With suites of last resort too: a second connection offers them at once."""
    observed = Observed(identities, processes, "sessions", "ssl_session_cache shared:a:1m;", "ssl_session_cache none;",
                        f"ssl_session_cache shared:b:1m; ssl_ciphers {OLD};", f"ssl_session_cache none; ssl_ciphers {OLD};")
    for port, reused, suite in zip(observed.ports, ("r", ".", "r", "."), (NEW, NEW, OLD, OLD)):
        done = transfer(identities, "calls", f"https://localhost:{port}/", 4)
        assert done.returncode == 0, done.stderr
        assert observed.seen(port, "reused", 4) == [".", reused, reused, reused]
        assert set(observed.seen(port, "suite", 4)) == {suite}


def test_a_session_that_the_server_will_not_have(identities, processes):
    """A fatal alert for asking is no refusal of the connection."""
    observed = Observed(identities, processes, "unwilling", "ssl_session_cache shared:a:1m;")

    def look(hello):
        return b"\x15\x03\x03\x00\x02\x02\x2f" if hello[43] > 0 else None
    relay = processes(odd_tls.Relay(observed.ports[0], look=look))
    done = transfer(identities, "calls", f"https://localhost:{relay.port}/", 3)
    assert done.returncode == 0, done.stderr
    assert observed.seen(observed.ports[0], "reused", 3) == [".", ".", "."]
    assert relay.accepted == 5


def test_uploads_and_downloads_in_records_of_every_size(identities, processes, tmp_path):
    """nginx with tiny and large record sizes, in both directions; the bytes are the same."""
    data = os.urandom(300000)
    pem, key = identities["p256"]
    sizes = ("512", "1k", "16k", "64k")
    blocks = [f"listen LISTEN ssl; ssl_certificate {pem}; ssl_certificate_key {key}; ssl_protocols TLSv1.2; ssl_buffer_size {size}; "
              f"root {tmp_path}/{size}; dav_methods PUT; create_full_put_path on;" for size in sizes]
    nginx = processes(tls_servers.Nginx(tmp_path / "nginx", blocks))
    for port, size in zip(nginx.ports, sizes):
        (tmp_path / size).mkdir()
        (tmp_path / size / "data").write_bytes(data)
        got = transfer(identities, "get", f"https://localhost:{port}/data")
        assert got.stdout.startswith(f"200 {len(data)} "), got
        put = transfer(identities, "put", f"https://localhost:{port}/new", len(data))
        assert put.stdout.startswith("201 "), put
        assert (tmp_path / size / "new").stat().st_size == len(data)
