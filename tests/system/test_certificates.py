"""Which certificate chains a TLS server may show, and what is said of those that it may not."""
import pytest
from certificate_check import check
from certificates import (CLIENT, DAY, NOW, SERVER, ExtendedKeyUsageOID, constraints, hashes, intermediate,
                          make, name, root, server, usage, x509)

CA = root()
OTHER = root("another root")
FOREIGN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55738.666.1"), b"\x05\x00")


def chain_of(*kinds, leaf="p256", **more):
    """root, intermediates with these keys, server: (root, [server, intermediates from its issuer up])"""
    top = root(kind=kinds[0])
    issuers, last = [], top
    for i, kind in enumerate(kinds[1:]):
        last = intermediate(last, f"intermediate {i}", kind=kind)
        issuers.insert(0, last)
    return top, [server(last, kind=leaf, **more), *issuers]


@pytest.mark.parametrize("kinds, leaf", [
    (["rsa2048"], "rsa2048"), (["rsa4096", "rsa2048"], "rsa2048"), (["p384", "p256"], "p256"),
    (["rsa4096", "p384", "rsa2048"], "p384"), (["p521"], "p521"), (["p256", "p256", "p256", "p256"], "rsa4096")])
def test_valid_chains(tmp_path, kinds, leaf):
    top, chain = chain_of(*kinds, leaf=leaf)
    assert check(tmp_path, [OTHER, top], chain) == "ok"
    assert check(tmp_path, [OTHER, top], [*chain, top]) == "ok"
    assert check(tmp_path, [top], [chain[0], *reversed(chain[1:])]) == "ok", "intermediates in another order"
    assert check(tmp_path, [top], [chain[0], OTHER, *chain[1:]]) == "ok", "a certificate that does not belong"
    if len(kinds) > 1:
        assert "unknown issuer CN=intermediate" in check(tmp_path, [top], chain[:1])
    assert "trusted roots" in check(tmp_path, [OTHER], chain)


@pytest.mark.parametrize("hash_", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384"])
def test_signature_algorithms(tmp_path, kind, hash_):
    top = root(kind=kind, number=900)
    assert check(tmp_path, [top], [server(top, hash_=hash_)]) == "ok"


def test_cross_signs(tmp_path):
    """The same intermediate, signed by a root that we know and one that we do not, in either order."""
    unknown = root("unknown root")
    key_holder = intermediate(unknown, "crossed")
    crossed = intermediate(CA, "crossed", private_key=key_holder.key)
    leaf = server(key_holder)
    assert check(tmp_path, [CA], [leaf, key_holder, crossed]) == "ok"
    assert check(tmp_path, [CA], [leaf, crossed, key_holder]) == "ok"
    expired = intermediate(CA, "crossed", private_key=key_holder.key, begins=NOW - 9 * DAY, ends=NOW - DAY)
    assert check(tmp_path, [CA], [leaf, expired, crossed]) == "ok"
    assert "expired since 2026-11-21" in check(tmp_path, [CA], [leaf, expired])


def test_a_root_with_the_same_name_and_another_key(tmp_path):
    impostor = root("test root")
    assert check(tmp_path, [impostor, CA], [server(CA)]) == "ok"
    said = check(tmp_path, [impostor], [server(CA)])
    assert "signature is wrong: not made with the key of the CN=test root that is trusted: is that an older one of the same name?" in said
    assert "SSL_CERT_FILE" in said


def test_trusted_itself(tmp_path):
    alone = make(subject="localhost", names=["localhost", "127.0.0.1"], ca=True)
    assert check(tmp_path, [alone], [alone], "localhost") == "ok"
    assert check(tmp_path, [alone], [alone], "127.0.0.1") == "ok"
    assert "signed by itself" in check(tmp_path, [CA], [alone], "localhost")
    assert "not for other.example" in check(tmp_path, [alone], [alone], "other.example")


def test_names_are_compared_without_case_and_spaces(tmp_path):
    odd = server(CA, issuer_name=name(" TEST  root "))
    assert check(tmp_path, [CA], [odd]) == "ok"


HOSTS = [
    # names, host, accepted
    (["host.example"], "host.example", True), (["host.example"], "HOST.Example", True),
    (["host.example"], "host.example.", True), (["a.example", "host.example"], "host.example", True),
    (["*.example.org"], "a.example.org", True), (["*.example.org"], "example.org", False),
    (["*.example.org"], "a.b.example.org", False), (["*.org"], "example.org", False), (["*"], "host", False),
    (["f*.example.org"], "foo.example.org", False), (["*f.example.org"], "f.example.org", False),
    (["a.*.example.org"], "a.b.example.org", False), (["*.*.example.org"], "a.b.example.org", False),
    (["host.example"], "a.host.example", False), (["host.example"], "ost.example", False),
    (["*.example.org"], "*.example.org", False),
    (["127.0.0.1"], "127.0.0.1", True), (["127.0.0.1"], "127.0.0.2", False), (["::1"], "::1", True),
    (["::1"], "0:0:0:0:0:0:0:1", True), (["::2"], "::1", False), (["*.0.0.1"], "127.0.0.1", False),
]


@pytest.mark.parametrize("names, host, accepted", HOSTS)
def test_hosts(tmp_path, names, host, accepted):
    said = check(tmp_path, [CA], [server(CA, names)], host)
    assert said == "ok" if accepted else said.startswith(f"certificate is not for {host} but for {names[0]}")


def test_an_address_as_dns_name_is_no_address(tmp_path):
    odd = make(CA, names=None, usages=[SERVER], extra=[(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), False)])
    assert "not for 127.0.0.1" in check(tmp_path, [CA], [odd], "127.0.0.1")


def test_the_common_name_is_never_used(tmp_path):
    for names in (None, ["other.example"]):
        said = check(tmp_path, [CA], [make(CA, "host.example", names=names, usages=[SERVER])])
        assert "not for host.example" in said


def test_many_names_are_listed_shortly(tmp_path):
    said = check(tmp_path, [CA], [server(CA, [f"host{i}.example" for i in range(500)])])
    assert "host0.example, host1.example" in said and "…" in said and len(said) < 256


@pytest.mark.parametrize("change, words", [
    (dict(begins=NOW - 9 * DAY, ends=NOW - 2 * DAY), "certificate: expired since 2026-11-20 12:00 UTC"),
    (dict(begins=NOW + DAY), "certificate: not yet valid: begins 2026-11-23 12:00 UTC"),
    (dict(usages=[CLIENT]), "wrong usage: certificate is not for servers"),
    (dict(usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), "wrong usage: certificate is not for servers"),
    (dict(key_usage=usage(sign_certificates=True)), "wrong usage: its key may not be used for TLS"),
    (dict(kind="rsa1024"), "weak key: RSA with 1024 bits"),
    (dict(kind="k1"), "public key of an unsupported kind"),
    (dict(hash_=hashes.SHA1()), "weak signature"),
    (dict(extra=[(FOREIGN_EXTENSION, True)]), "critical extension that is not supported"),
])
def test_bad_server_certificates(tmp_path, change, words):
    assert words in check(tmp_path, [CA], [server(CA, **change)])


@pytest.mark.parametrize("change", [
    dict(usages=None), dict(usages=[CLIENT, SERVER]), dict(basic=False), dict(extra=[(FOREIGN_EXTENSION, False)]),
    dict(key_usage=usage(digital=True)), dict(key_usage=usage(encipher=True)), dict(subject=x509.Name([])),
    dict(ends=NOW.replace(year=2060)),
])
def test_unusual_but_good_server_certificates(tmp_path, change):
    assert check(tmp_path, [CA], [server(CA, **change)]) == "ok"


@pytest.mark.parametrize("change, words", [
    (dict(begins=NOW - 9 * DAY, ends=NOW - DAY), "intermediate CN=middle: expired since"),
    (dict(begins=NOW + DAY), "intermediate CN=middle: not yet valid"),
    (dict(key_usage=usage(digital=True)), "may not sign certificates"),
    (dict(usages=[CLIENT]), "may not sign for servers"),
    (dict(kind="rsa1024"), "weak key"),
    (dict(hash_=hashes.SHA1()), "weak signature"),
    (dict(basic=False), "is no certificate authority"),
    (dict(extra=[(FOREIGN_EXTENSION, True)]), "critical extension"),
    (dict(limits=constraints(permitted=["other.example"])), "outside of its issuer's name constraints"),
])
def test_bad_intermediates(tmp_path, change, words):
    middle = intermediate(CA, "middle", **change)
    assert words in check(tmp_path, [CA], [server(middle), middle])


def test_a_server_may_not_sign(tmp_path):
    middle = server(CA, subject="a server")
    assert "is no certificate authority" in check(tmp_path, [CA], [server(middle), middle])


def test_expired_and_weak_roots(tmp_path):
    old = root("old root", begins=NOW - 9 * DAY, ends=NOW - DAY)
    assert "root CN=old root: expired since" in check(tmp_path, [old], [server(old)])
    weak = root("weak root", kind="rsa1024")
    assert "weak key" in check(tmp_path, [weak], [server(weak)])


def test_path_length(tmp_path):
    top = root("short root", path_length=0)
    assert check(tmp_path, [top], [server(top)]) == "ok"
    middle = intermediate(top, "one")
    assert "chain is longer" in check(tmp_path, [top], [server(middle), middle])
    one = intermediate(CA, "one", path_length=0)
    assert check(tmp_path, [CA], [server(one), one]) == "ok"
    two = intermediate(one, "two")
    assert "chain is longer" in check(tmp_path, [CA], [server(two), two, one])
    renewed = intermediate(one, "one")
    assert check(tmp_path, [CA], [server(renewed), renewed, one]) == "ok", "self-issued ones do not count"
    below = intermediate(renewed, "below")
    assert "chain is longer" in check(tmp_path, [CA], [server(below), below, renewed, one])


def test_chains_have_bounds(tmp_path):
    last, sent = CA, []
    for i in range(12):
        last = intermediate(last, f"deep {i}")
        sent.insert(0, last)
    assert check(tmp_path, [CA], [server(last), *sent]) != "ok"
    assert "at most 64" in check(tmp_path, [CA], [server(CA)] * 65)
    loop_a = intermediate(CA, "a")
    loop_b = intermediate(loop_a, "b")
    looped = intermediate(loop_b, "a", private_key=loop_a.key)
    assert check(tmp_path, [OTHER], [server(loop_b), loop_b, looped, loop_a]) != "ok"


NAMES = [
    # permitted, excluded, the server's names, accepted
    (["example"], None, ["host.example"], True), (["host.example"], None, ["host.example"], True),
    (["st.example"], None, ["host.example"], False), (["other.example"], None, ["host.example"], False),
    (["example"], ["host.example"], ["host.example"], False), (None, ["other.example"], ["host.example"], True),
    (None, ["example"], ["host.example"], False), (None, ["a.example"], ["host.example", "a.example"], False),
    (["host.example"], None, ["host.example", "elsewhere.org"], False),
    (None, ["bad.host.example"], ["host.example", "*.host.example"], False),
    (["host.example"], None, ["host.example", "*.host.example"], True),
    (["10.0.0.0/8"], None, ["host.example"], True), (["10.0.0.0/8"], None, ["host.example", "10.1.2.3"], True),
    (["10.0.0.0/8"], None, ["host.example", "11.1.2.3"], False), (None, ["10.0.0.0/8"], ["host.example", "10.0.0.1"], False),
    (None, ["::/0"], ["host.example", "::1"], False), (["::1/128"], None, ["host.example", "::1"], True),
    ([x509.RFC822Name("example")], None, ["host.example"], True),
    ([x509.DirectoryName(name("server"))], None, ["host.example"], True),
    ([x509.DirectoryName(name("another"))], None, ["host.example"], False),
    (None, [x509.DirectoryName(name("server"))], ["host.example"], False),
]


@pytest.mark.parametrize("permitted, excluded, names, accepted", NAMES)
def test_name_constraints(tmp_path, permitted, excluded, names, accepted):
    middle = intermediate(CA, "limited", limits=constraints(permitted, excluded))
    said = check(tmp_path, [CA], [server(middle, names), middle])
    assert (said == "ok") == accepted, said
    top = root("limited root", limits=constraints(permitted, excluded))
    assert (check(tmp_path, [top], [server(top, names)]) == "ok") == accepted


def test_name_constraints_cannot_be_made_costly(tmp_path):
    many = constraints(excluded=[f"x{i}.example" for i in range(1000)])
    middle = intermediate(CA, "costly", limits=many)
    said = check(tmp_path, [CA], [server(middle, ["host.example"] + [f"h{i}.example" for i in range(900)]), middle])
    assert "malformed or too many" in said
