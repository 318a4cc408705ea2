"""What a TLS peer may not do: talk without end and say nothing, sign with SHA-1, be without secure renegotiation, answer ALPN with
what was not offered. Servers of single records (raw_tls.py) beside OpenSSL's."""
import certificates
import odd_tls
import pytest
import raw_tls
import tls_servers
from raw_tls import ALERT, DATA, HANDSHAKE, HELLO_REQUEST, SECURE, record
from tls_asking import ANSWER, NOT_FOUND, ask, issue

ENDLESS = "warnings, empty records or requests to renegotiate without end"
WARNING = b"\x01\x70"


@pytest.fixture(scope="module")
def raw_identities(tmp_path_factory):
    """A root and two servers with certificates of it, whose RSA key may also decrypt (raw_tls.py)."""
    folder = tmp_path_factory.mktemp("strict")
    top, bundle = tls_servers.lab_root(folder)
    made = {"folder": folder, "bundle": bundle, "top": top}
    for kind in ("rsa2048", "p256"):
        made[kind] = issue(made, kind, kind=kind, key_usage=certificates.usage(digital=True, encipher=True))
    return made


def peer_that(raw_identities, processes, handle, kind="rsa2048"):
    """handle(peer) for each connection."""
    return processes(odd_tls.Listener(lambda connection: handle(raw_tls.Peer(connection, *raw_identities[kind])))).port


def serve(peer, before=lambda: None):
    """Answers one request."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += peer.receive()
    before()
    peer.send(DATA, odd_tls.answer(ANSWER))
    peer.linger()


def test_the_double_is_a_server(raw_identities, processes):
    def handle(peer):
        peer.shake()
        serve(peer)
    assert NOT_FOUND in ask(raw_identities, peer_that(raw_identities, processes, handle))


# ---- records that move nothing ----

IDLE = {
    "warnings": record(ALERT, WARNING), "many warnings in a record": record(ALERT, WARNING * 100),
    "empty handshake records": record(HANDSHAKE, b""), "empty alerts": record(ALERT, b""),
    "requests to begin": record(HANDSHAKE, HELLO_REQUEST), "many of them in a record": record(HANDSHAKE, HELLO_REQUEST * 1000),
    "requests in pieces": record(HANDSHAKE, b"\0\0") * 2,
}


@pytest.mark.parametrize("what", IDLE)
@pytest.mark.parametrize("after_hello", [False, True])
def test_a_handshake_that_never_comes(raw_identities, processes, what, after_hello):
    """Ended by the client, and soon, not by a time limit."""
    taken = []

    def handle(peer):
        peer.hear_hello()
        if after_hello:
            peer.say_hello()
        for _ in range(1000000):
            peer.connection.sendall(IDLE[what])
            taken.append(1)
    said = ask(raw_identities, peer_that(raw_identities, processes, handle))
    assert ENDLESS in said or "handshake has more than 32 messages" in said, said
    assert len(taken) < 1000000


@pytest.mark.parametrize("kind, body", [(ALERT, WARNING), (DATA, b""), (HANDSHAKE, HELLO_REQUEST), (HANDSHAKE, b""), (HANDSHAKE, HELLO_REQUEST * 100)],
                         ids=["warnings", "no data", "requests", "empty handshakes", "many requests"])
@pytest.mark.parametrize("when", ["before the answer", "in the answer", "a few"])
def test_an_answer_that_never_comes(raw_identities, processes, kind, body, when):
    """Encrypted; a few of them do no harm."""
    def flood(peer, count):
        for _ in range(count):
            peer.send(kind, body)

    def handle(peer):
        peer.shake()
        if when == "a few":
            serve(peer, lambda: flood(peer, 20))
        elif when == "before the answer":
            flood(peer, 1000000)
        else:
            serve(peer, lambda: peer.send(DATA, odd_tls.answer(ANSWER)[:40]) or flood(peer, 1000000))
    said = ask(raw_identities, peer_that(raw_identities, processes, handle))
    if len(body) > 100:
        assert "TLS peer sends more than it reads" in said  # each is to be answered
    else:
        assert (NOT_FOUND if when == "a few" else ENDLESS) in said, said


def test_data_between_them_end_the_count(raw_identities, processes):
    """A server that sends an empty record before each piece (against an old attack on CBC)."""
    def handle(peer):
        peer.shake()

        def pieces():
            for byte in odd_tls.answer(ANSWER)[:-1]:
                peer.send(DATA, b"")
                peer.send(DATA, bytes([byte]))
            peer.send(DATA, odd_tls.answer(ANSWER)[-1:])
            peer.linger()
        serve(peer, pieces)
    assert NOT_FOUND in ask(raw_identities, peer_that(raw_identities, processes, handle))


# ---- what must be there, and what must not ----

@pytest.mark.parametrize("extensions", [{}, {0: b""}, {raw_tls.ALPN: raw_tls.alpn(b"http/1.1")}])
def test_without_renegotiation_info(raw_identities, processes, extensions):
    reached = []

    def handle(peer):
        peer.shake(extensions)
        reached.append(1)
    said = ask(raw_identities, peer_that(raw_identities, processes, handle))
    assert "TLS: peer does not support secure renegotiation (RFC 5746: renegotiation_info)" in said
    assert not reached


@pytest.mark.parametrize("name", [b"http/1.1", b"h2", b"http/1.0", b"spdy/3", b"HTTP/1.1", b""])
def test_an_alpn_answer(raw_identities, processes, name):
    def handle(peer):
        peer.shake({**SECURE, raw_tls.ALPN: raw_tls.alpn(name)})
        serve(peer)
    said = ask(raw_identities, peer_that(raw_identities, processes, handle))
    assert (NOT_FOUND if name == b"http/1.1" else "an ALPN protocol that was not offered") in said, said


def test_an_alpn_answer_of_two_names(raw_identities, processes):
    def handle(peer):
        peer.shake({**SECURE, raw_tls.ALPN: b"\0\x12\x08http/1.1\x08http/1.1"})
    assert "TLS: " in ask(raw_identities, peer_that(raw_identities, processes, handle))


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("hash_id, words", [(2, "SHA-1"), (4, "connection closed during the TLS handshake"), (5, "connection closed during")])
def test_the_signature_of_the_key_exchange(raw_identities, processes, second, hash_id, words):
    """Neither offered nor taken, also on the second connection, whose suites have HMAC with SHA-1."""
    hellos = []

    def handle(peer):
        hello = peer.hear_hello()
        hellos.append(hello)
        if second and raw_tls.ECDSA_CBC_SHA not in hello.suites:
            peer.connection.sendall(record(ALERT, b"\x02\x28"))
            return
        peer.say_hello(raw_tls.ECDSA_CBC_SHA if second else raw_tls.ECDSA_GCM)
        peer.say_certificate()
        peer.say_key_exchange(hash_id)
        peer.say_done()
        for _ in range(3):  # ClientKeyExchange, ChangeCipherSpec, Finished
            peer.read()
        peer.connection.close()
    said = ask(raw_identities, peer_that(raw_identities, processes, handle, "p256"))
    assert words in said, said
    assert len(hellos) == 2 if second else 1
    for hello in hellos:
        offered = hello.extensions[raw_tls.SIGNATURE_ALGORITHMS][2:]
        assert set(offered[0::2]) == {4, 5, 6} and set(offered[1::2]) == {1, 3}


@pytest.mark.parametrize("kind, options, words", [
    ("rsa2048", ["-cipher", "ALL:@SECLEVEL=0", "-sigalgs", "RSA+SHA1"], "no cipher suite in common"),
    ("p256", ["-cipher", "ALL:@SECLEVEL=0", "-sigalgs", "ECDSA+SHA1"], "no cipher suite in common"),
    ("p256", ["-cipher", "ALL:@SECLEVEL=0", "-sigalgs", "ECDSA+SHA1:ECDSA+SHA256"], "404"),
])
def test_openssl_with_sha_1(raw_identities, processes, kind, options, words):
    server = processes(tls_servers.Openssl(*raw_identities[kind], "-tls1_2", *options))
    assert words in ask(raw_identities, server.port)
