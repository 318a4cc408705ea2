"""The rules for single certificates of a server's chain: RFC 5280, and where browsers, OpenSSL and Go agree to differ
from it (the cases that x509-limbo and others collect), then the encodings that only hand-made certificates have."""
import datetime

import certificates
import der_certificates as der
import pytest
from certificate_check import check
from certificates import DAY, NOW, SERVER, ExtendedKeyUsageOID, intermediate, make, root, server, usage, x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

CA = root()
MIDDLE = intermediate(CA, "middle")
RAW = der.root()
CRITICAL_TEST = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55738.666.1"), b""), True)


def known(kind, value):
    return (x509.UnrecognizedExtension(x509.ObjectIdentifier(kind), value), False)


def key_identifier(certificate):
    return x509.SubjectKeyIdentifier.from_public_key(certificate.key.public_key())


def authority_identifier(certificate):
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificate.key.public_key())


KINDS = ExtendedKeyUsageOID
SERVERS = {
    # a server's certificate that is issued by CA; what is said ("ok": accepted)
    "plain": (dict(), "ok"),
    "with both key identifiers": (dict(extra=[(key_identifier(MIDDLE), False), (authority_identifier(CA), False)]), "ok"),
    "authority identifier of another key": (dict(extra=[(authority_identifier(MIDDLE), False)]), "ok"),
    "no key usage": (dict(key_usage=None), "ok"),
    "no basic constraints": (dict(basic=False), "ok"),
    "no extended usage": (dict(usages=None), "ok"),
    "server and client": (dict(usages=[SERVER, KINDS.CLIENT_AUTH]), "ok"),
    "server and any": (dict(usages=[SERVER, KINDS.ANY_EXTENDED_KEY_USAGE]), "ok"),
    "server and others": (dict(usages=[KINDS.CODE_SIGNING, KINDS.OCSP_SIGNING, KINDS.EMAIL_PROTECTION, SERVER]), "ok"),
    "client only": (dict(usages=[KINDS.CLIENT_AUTH]), "no serverAuth"),
    "any only": (dict(usages=[KINDS.ANY_EXTENDED_KEY_USAGE]), "no serverAuth"),
    "code signing only": (dict(usages=[KINDS.CODE_SIGNING]), "no serverAuth"),
    "precertificate signing only": (dict(usages=[x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.4")]), "no serverAuth"),
    "an authority too": (dict(ca=True), "ok"),
    "an authority that may sign only": (dict(ca=True, key_usage=usage(True)), "may not be used for TLS"),
    "a key usage without any": (dict(key_usage=usage()), "may not be used for TLS"),
    "an RSA key without any usage": (dict(key_usage=usage(), kind="rsa2048", number=1), "may not be used for TLS"),
    "claims to sign certificates": (dict(key_usage=usage(True, True)), "ok"),
    "empty subject": (dict(subject=x509.Name([])), "ok"),
    "another common name": (dict(subject="Elsewhere.Example"), "ok"),
    "common name that is an address": (dict(subject="0xC0A80101"), "ok"),
    "unknown extension": (dict(extra=[(CRITICAL_TEST[0], False)]), "ok"),
    "unknown critical extension": (dict(extra=[CRITICAL_TEST]), "critical extension"),
    "certificate transparency's poison": (dict(extra=[(x509.PrecertPoison(), True)]), "critical extension"),
    "must staple": (dict(extra=[(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)]), "ok"),
    "where its issuer is": (dict(extra=[(x509.AuthorityInformationAccess([x509.AccessDescription(
        x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, x509.DNSName("example.com"))]), False)]), "ok"),
    "where its issuer is, critical": (dict(extra=[(x509.AuthorityInformationAccess([x509.AccessDescription(
        x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, x509.DNSName("example.com"))]), True)]), "critical extension"),
    "where its issuer is, not DER": (dict(extra=[known(der.AUTHORITY_INFORMATION, b"malformed")]), "malformed"),
    "where its issuer is, empty": (dict(extra=[known(der.AUTHORITY_INFORMATION, b"\x30\x00")]), "malformed"),
    "name constraints": (dict(limits=certificates.constraints(["example"])), "name constraints of its own"),
    "extended usage that is empty": (dict(usages=None, extra=[known(der.EXTENDED_USAGE, b"\x30\x00")]), "malformed"),
    "alternative names that are no DER": (dict(names=[], extra=[known(der.ALT_NAME, b"host.example")]), "malformed"),
    "alternative names that are empty": (dict(names=[], extra=[known(der.ALT_NAME, b"\x30\x00")]), "malformed"),
    "alternative names that are cut": (dict(names=[], extra=[known(
        der.ALT_NAME, der.sequence(der.dns("host.example"), b"\x82\x20x"))]), "malformed"),
    "key usage that is no bit string": (dict(extra=[known(der.KEY_USAGE, b"\x04\x01\x80")]), "malformed"),
    "policies": (dict(extra=[(x509.CertificatePolicies([x509.PolicyInformation(
        x509.ObjectIdentifier("2.23.140.1.2.1"), None)]), True)]), "ok"),
    "weak RSA": (dict(kind="rsa1024"), "weak key: RSA with 1024 bits"),
    "P-192": (dict(private_key=ec.generate_private_key(ec.SECP192R1())), "unsupported kind"),
    "P-224": (dict(private_key=ec.generate_private_key(ec.SECP224R1())), "unsupported kind"),
    "DSA": (dict(private_key=dsa.generate_private_key(1024)), "unsupported kind"),
    "Ed25519": (dict(private_key=ed25519.Ed25519PrivateKey.generate()), "unsupported kind"),
    "RSA with the exponent 3": (dict(private_key=rsa.generate_private_key(3, 2048)), "ok"),
    "ends on the second": (dict(ends=NOW), "ok"),
    "ended a second ago": (dict(ends=NOW - datetime.timedelta(seconds=1)), "expired since 2026-11-22 11:59"),
    "begins on the second": (dict(begins=NOW), "ok"),
    "begins in a second": (dict(begins=NOW + datetime.timedelta(seconds=1)), "not yet valid"),
    "for 1000 years": (dict(begins=datetime.datetime(1970, 1, 1), ends=datetime.datetime(2969, 5, 3)), "ok"),
    "for ever": (dict(ends=datetime.datetime(9999, 12, 31, 23, 59, 59)), "ok"),
}


@pytest.mark.parametrize("case", SERVERS)
def test_servers(tmp_path, case):
    change, words = SERVERS[case]
    said = check(tmp_path, [CA], [server(CA, **change)])
    assert said == "ok" if words == "ok" else words in said, said
    said = check(tmp_path, [CA], [server(MIDDLE, **change), MIDDLE])
    assert said == "ok" if words == "ok" else words in said, said


ROOTS = {
    # a root and what is said of a server that it issued
    "without any extension": (lambda: make(subject="bare", basic=False), "no certificate authority"),
    "basic constraints not critical": (lambda: make(subject="soft", basic=False, extra=[(x509.BasicConstraints(True, None), False)]), "ok"),
    "without key usage": (lambda: make(subject="no usage", ca=True), "ok"),
    "may not sign": (lambda: root(subject="no signing", extra=[]) and make(subject="no signing", ca=True, key_usage=usage(digital=True)),
                     "may not sign certificates"),
    "without a name": (lambda: root(x509.Name([])), "authority without a name"),
    "extended usage": (lambda: root("extended", usages=[SERVER]), "ok"),
    "unknown critical extension": (lambda: root("critical", extra=[CRITICAL_TEST]), "critical extension"),
    "critical key identifier": (lambda: root("identified", extra=[(x509.SubjectKeyIdentifier(b"12345678"), True)]), "critical extension"),
    "critical authority identifier": (lambda: root("by itself", extra=[(x509.AuthorityKeyIdentifier(b"12", None, None), True)]),
                                      "critical extension"),
    "authority identifier of another": (lambda: root("by another", extra=[(authority_identifier(MIDDLE), False)]), "ok"),
    "weak RSA": (lambda: root("weak", kind="rsa1024"), "weak key"),
    "DSA": (lambda: root("dsa", private_key=dsa.generate_private_key(1024)), "not supported"),
    "old signature on itself": (lambda: root("old self", hash_=certificates.hashes.SHA1()), "ok"),
    "expired": (lambda: root("gone", begins=NOW - 9 * DAY, ends=NOW - DAY), "root CN=gone: expired since"),
}


@pytest.mark.parametrize("case", ROOTS)
def test_roots(tmp_path, case):
    make_root, words = ROOTS[case]
    top = make_root()
    said = check(tmp_path, [top], [server(top)])
    assert said == "ok" if words == "ok" else words in said, said


def test_an_issuer_without_a_name_is_no_issuer(tmp_path):
    assert "unknown issuer (no name)" in check(tmp_path, [RAW], [der.server(RAW, issuer_name=der.name())])


# Hand-made ones: what python3-cryptography would not write.

def at(moment):
    return datetime.datetime.strptime(moment, "%Y-%m-%d %H:%M:%S")


TIMES = [
    # begins, ends, now, accepted
    (der.utc("491231235959Z"), der.generalized("20600101000000Z"), at("2049-12-31 23:59:58"), False),
    (der.utc("491231235959Z"), der.generalized("20600101000000Z"), at("2049-12-31 23:59:59"), True),
    (der.utc("500101000000Z"), der.utc("490101000000Z"), at("2026-01-01 00:00:00"), True),
    (der.utc("500101000000Z"), der.utc("490101000000Z"), at("2049-01-01 00:00:01"), False),
    (der.utc("990101120100Z"), der.utc("491231235959Z"), NOW, True),
    (der.utc("700101000000Z"), der.utc("990101000000Z"), NOW, False),
    (der.generalized("20020101000000Z"), der.generalized("20400101000000Z"), NOW, True),
    (der.generalized("19000101000000Z"), der.generalized("99991231235959Z"), NOW, True),
    (der.utc("240229000000Z"), der.utc("280229120000Z"), at("2028-02-29 12:00:00"), True),
    (der.utc("240229000000Z"), der.utc("280229120000Z"), at("2028-02-29 12:00:01"), False),
    (der.utc("2401010000Z"), der.utc("300101000000Z"), NOW, None), (der.utc("240101000000"), der.utc("300101000000Z"), NOW, None),
    (der.utc("240101000000+0000"), der.utc("300101000000Z"), NOW, None), (der.utc("241301000000Z"), der.utc("300101000000Z"), NOW, None),
    (der.utc("240100000000Z"), der.utc("300101000000Z"), NOW, None), (der.utc("240101240000Z"), der.utc("300101000000Z"), NOW, None),
    (der.utc("240101006000Z"), der.utc("300101000000Z"), NOW, None), (der.utc("240230000000Z"), der.utc("300101000000Z"), NOW, None),
    (der.utc("230229000000Z"), der.utc("300101000000Z"), NOW, None), (der.utc("240631000000Z"), der.utc("300101000000Z"), NOW, None),
    (der.generalized("20240101000000.5Z"), der.utc("300101000000Z"), NOW, None),
    (der.generalized("21000229000000Z"), der.generalized("21010101000000Z"), NOW, None),
    (der.utc("-40101000000Z"), der.utc("300101000000Z"), NOW, None), (der.tlv(der.UTF8, b"240101000000Z"), der.utc("300101000000Z"), NOW, None),
]


@pytest.mark.parametrize("begins, ends, now, accepted", TIMES)
def test_times(tmp_path, begins, ends, now, accepted):
    top = der.root(begins=der.generalized("19000101000000Z"), ends=der.generalized("99991231235959Z"))
    said = check(tmp_path, [top], [der.server(top, begins=begins, ends=ends)], now=now)
    assert "malformed certificate: issuer, validity or subject" in said if accepted is None else (said == "ok") == accepted, said


HAND_MADE = {
    "plain": (dict(), "ok"),
    "serial number zero": (dict(serial=0), "ok"),
    "serial number of 22 bytes": (dict(serial=1 << 170), "ok"),
    "version 1 with extensions": (dict(version=0), "malformed"),
    "version 2 with extensions": (dict(version=1), "malformed"),
    "version 4": (dict(version=3), "malformed"),
    "unique identifiers": (dict(identifiers=der.tlv(0x81, b"\x00id") + der.tlv(0x82, b"\x00id")), "ok"),
    "two algorithms": (dict(outer_algorithm=der.ECDSA_SHA384), "signature algorithms differ"),
    "something behind the extensions": (dict(extra=der.tlv(der.NULL)), "malformed"),
    "unused bits in the signature": (dict(unused_bits=1), "not a certificate"),
    "an extension twice": (dict(extensions=(*der.SERVER_USAGES, der.SERVER_USAGES[0])), "malformed"),
    "another extension twice": (dict(extensions=(*der.SERVER_USAGES, der.alt_names(der.dns("host.example")))), "malformed"),
    "no names": (dict(names=()), "no host at all"),
    "no authority, said outright": (dict(extensions=(*der.SERVER_USAGES, der.extension(
        der.BASIC, der.sequence(der.tlv(der.BOOLEAN, b"\0")), True))), "ok"),
    "boolean that is neither": (dict(extensions=(*der.SERVER_USAGES, der.extension(
        der.BASIC, der.sequence(der.tlv(der.BOOLEAN, b"\1")), True))), "malformed"),
    "basic constraints with more": (dict(extensions=(*der.SERVER_USAGES, der.extension(
        der.BASIC, der.sequence() + b"\0", True))), "malformed"),
    "a point that is not on the curve": (dict(info=der.sequence(
        der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7")),
        der.tlv(der.BITS, b"\0\4" + bytes(62) + b"\1\1"))), "ok"),  # the handshake with such a key fails
    "a compressed point": (dict(info=der.sequence(
        der.sequence(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.3.1.7")), der.tlv(der.BITS, b"\0\2" + bytes(32)))), "malformed"),
    "RSA with the exponent 1": (dict(info=der.sequence(
        der.sequence(der.oid("1.2.840.113549.1.1.1"), der.tlv(der.NULL)),
        der.tlv(der.BITS, b"\0" + der.sequence(der.integer((1 << 2047) + 1), der.integer(1))))), "weak key"),
    "RSA with an even exponent": (dict(info=der.sequence(
        der.sequence(der.oid("1.2.840.113549.1.1.1"), der.tlv(der.NULL)),
        der.tlv(der.BITS, b"\0" + der.sequence(der.integer((1 << 2047) + 1), der.integer(65536))))), "weak key"),
    "RSA that is empty": (dict(info=bytes.fromhex("3012300d06092a864886f70d01010105000301") + b"\0"), "malformed"),
}


@pytest.mark.parametrize("case", HAND_MADE)
def test_hand_made_servers(tmp_path, case):
    change, words = HAND_MADE[case]
    said = check(tmp_path, [RAW], [der.server(RAW, **change)])
    assert said == "ok" if words == "ok" else words in said, said


def test_a_malformed_intermediate_is_left_out(tmp_path):
    """It may be one that is not needed; when it is needed its issuer is unknown."""
    broken = der.intermediate(RAW, info=HAND_MADE["RSA that is empty"][0]["info"])
    below = der.server(broken)
    assert "unknown issuer CN=raw intermediate" in check(tmp_path, [RAW], [below, broken])
    assert check(tmp_path, [RAW], [der.server(RAW), broken]) == "ok"


def test_a_root_of_version_1_and_an_intermediate_of_version_1(tmp_path):
    old = der.root(der.common("v1 root"), extensions=(), version=0)
    assert check(tmp_path, [old], [der.server(old)]) == "ok"
    middle = der.intermediate(RAW, der.common("v1 middle"), extensions=(), version=0)
    assert "no certificate authority" in check(tmp_path, [RAW], [der.server(middle), middle])


def test_der_that_goes_on_behind_the_certificate(tmp_path):
    whole = der.server(RAW)
    longer = der.Der(whole.subject, whole.key, whole.der + b"\0")
    assert "malformed" in check(tmp_path, [RAW], [longer])


def test_a_changed_byte_anywhere(tmp_path):
    """Not one byte of a certificate can be changed without its being refused (what decides is the signature)."""
    from certificate_check import check_all
    whole = der.server(RAW)
    changed = [der.Der(b"", None, whole.der[:i] + bytes([whole.der[i] ^ 1]) + whole.der[i + 1:]) for i in range(len(whole.der))]
    said = check_all(tmp_path, [([RAW], [c], "host.example", NOW) for c in changed])
    assert "ok" not in said
