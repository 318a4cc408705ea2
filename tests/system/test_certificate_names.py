"""Names in chains: what joins a certificate to its issuer (as NIST's PKITS tries it), hosts, and name constraints in all
combinations (as BetterTLS tries them)."""
import itertools

import certificates
import der_certificates as der
import pytest
from certificate_check import check, check_all
from certificates import NOW, constraints, intermediate, make, name, root, server, usage
from der_certificates import COMMON_NAME, COUNTRY, ORGANISATION, PRINTABLE, TELETEX, UNIT, UTF8

CA = root()
RAW = der.root()
C, O, OU, CN = COUNTRY, ORGANISATION, UNIT, COMMON_NAME

CHAINING = [
    # the authority's name, how the server's certificate calls its issuer, are they the same
    ([(C, PRINTABLE, "US"), (O, PRINTABLE, "A Lab"), (CN, PRINTABLE, "The CA")], None, True),
    ([(C, PRINTABLE, "US"), (O, PRINTABLE, "A Lab")], [(O, PRINTABLE, "A Lab"), (C, PRINTABLE, "US")], False),
    ([(O, PRINTABLE, "A Lab"), (OU, PRINTABLE, "one"), (OU, PRINTABLE, "two")], [(O, PRINTABLE, "A Lab"), (OU, PRINTABLE, "two"), (OU, PRINTABLE, "one")], False),
    ([(CN, PRINTABLE, "The CA")], [(CN, PRINTABLE, "THE ca")], True), ([(CN, UTF8, "The CA")], [(CN, UTF8, "the CA")], True),
    ([(CN, PRINTABLE, "The CA")], [(CN, PRINTABLE, "  The    CA ")], True), ([(CN, PRINTABLE, "The CA")], [(CN, PRINTABLE, "TheCA")], False),
    ([(CN, PRINTABLE, "The CA")], [(CN, UTF8, "The CA")], True), ([(CN, UTF8, "The CA")], [(CN, PRINTABLE, "the  CA")], True),
    ([(CN, TELETEX, "The CA")], [(CN, TELETEX, "The CA")], True), ([(CN, UTF8, "Büro CA")], [(CN, UTF8, "Büro ca")], True),
    ([(CN, UTF8, "Büro CA")], [(CN, UTF8, "Buro CA")], False), ([(CN, UTF8, "The CA")], [(CN, UTF8, "The CB")], False),
    ([(CN, UTF8, "The CA")], [(CN, UTF8, "The CA 2")], False), ([(CN, UTF8, "The CA")], [(OU, UTF8, "The CA")], False),
    ([(CN, UTF8, "The CA")], [(O, UTF8, "A Lab"), (CN, UTF8, "The CA")], False),
    ([(O, UTF8, "A Lab"), (CN, UTF8, "The CA")], [(CN, UTF8, "The CA")], False),
    ([[(O, UTF8, "A Lab"), (CN, UTF8, "The CA")]], None, True),
    ([[(O, UTF8, "A Lab"), (CN, UTF8, "The CA")]], [[(O, UTF8, "A Lab"), (CN, UTF8, "The  CA")]], True),
    ([[(O, UTF8, "A Lab"), (CN, UTF8, "The CA")]], [(O, UTF8, "A Lab"), (CN, UTF8, "The CA")], False),
    ([("0.9.2342.19200300.100.1.25", der.IA5, "example"), (CN, UTF8, "x")], [("0.9.2342.19200300.100.1.25", der.IA5, "Example"), (CN, UTF8, "x")], True),
    ([("1.2.840.113549.1.9.1", der.IA5, "ca@example")], [("1.2.840.113549.1.9.1", der.IA5, "CA@example")], True),
    ([("2.5.4.5", PRINTABLE, "0042"), ("2.5.4.46", PRINTABLE, "q"), ("2.5.4.12", UTF8, "title")], None, True),
    ([(CN, der.BMP, "The CA")], [(CN, der.BMP, "The CA")], True), ([(CN, UTF8, "a\0b")], [(CN, UTF8, "a")], False), ([], [(CN, UTF8, "")], False),
]


@pytest.mark.parametrize("own, called, same", CHAINING)
def test_name_chaining(tmp_path, own, called, same):
    top = der.root(der.common("chaining root"))
    middle = der.intermediate(top, der.name(*own))
    leaf = der.server(middle, issuer_name=der.name(*(own if called is None else called)))
    said = check(tmp_path, [top], [leaf, middle])
    assert (said == "ok") == same, said
    assert same or "unknown issuer" in said
    alone = der.root(der.name(*own))
    leaf = der.server(alone, issuer_name=der.name(*(own if called is None else called)))
    assert (check(tmp_path, [alone], [leaf]) == "ok") == same


HOSTS = [
    # names of the certificate, host, accepted
    (["example.com"], "example.com", True), (["example.com"], "example2.com", False), (["abc.example.com"], "def.example.com", False),
    (["example.com"], "abc.example.com", False), (["abc.example.com"], "example.com", False), (["EXAMPLE.com"], "example.COM", True),
    (["*.example.com"], "foo.example.com", True), (["*.example.com"], "foo.bar.example.com", False), (["*.example.com"], "example.com", False),
    (["ba*.example.com"], "baz.example.com", False), (["foo.*.example.com"], "foo.bar.example.com", False), (["*.com"], "example.com", False),
    (["*"], "example.com", False), (["*"], "com", False), (["*."], "com", False), (["*.example.com"], ".example.com", False),
    (["xn--*-1b3c148a.example.com"], "xn--bliss-1b3c148a.example.com", False), (["xn--628h.example.com"], "xn--628h.example.com", True),
    ([der.dns("😜.example.com")], "xn--628h.example.com", False), ([der.dns("example.com\0.evil.org")], "example.com", False),
    ([der.dns("a_b.example.com")], "a_b.example.com", True), ([der.dns(".example.com")], "foo.example.com", False),
    ([der.dns("")], "example.com", False), ([der.dns(" example.com")], "example.com", False), ([der.dns("example.com ")], "example.com", False),
    ([der.tlv(0x81, b"example.com")], "example.com", False), ([der.tlv(0x86, b"https://example.com/")], "example.com", False),
    ([der.tlv(0xA0, der.oid("1.3.6.1.4.1.311.20.2.3"), der.tlv(0xA0, der.text_of(UTF8, "a@b"))), der.dns("example.com")], "example.com", True),
    ([der.tlv(0x88, b"\x2a\x03"), der.dns("example.com")], "example.com", True),
    ([der.address(b"\x7f\0\0\1")], "127.0.0.1", True), ([der.address(b"\x7f\0\0\1")], "127.1", False), ([der.address(b"\x7f\0\0\2")], "127.0.0.1", False),
    ([der.address(bytes(15) + b"\1")], "::1", True), ([der.address(bytes(10) + b"\xff\xff\x7f\0\0\1")], "127.0.0.1", False),
    ([der.address(b"127.0.0.1")], "127.0.0.1", False), ([der.dns("127.0.0.1")], "127.0.0.1", False), ([der.dns("*.0.0.1")], "127.0.0.1", False),
    ([der.address(b"\x7f\0\0\1"), der.dns("localhost")], "localhost", True), ([der.dns("::1")], "::1", False),
    (["example.com"] * 300 + ["last.example.com"], "last.example.com", True),
]


@pytest.mark.parametrize("names, host, accepted", HOSTS)
def test_hosts(tmp_path, names, host, accepted):
    said = check(tmp_path, [RAW], [der.server(RAW, names)], host)
    assert said == "ok" if accepted else said.startswith(f"certificate is not for {host} but for "), said


def test_all_combinations_of_constraints(tmp_path):
    """Names of both kinds that are good, bad or absent × permitted and excluded subtrees of both kinds that cover the good
    ones, the bad ones, or are absent: a chain is good when its host is named and no name of it is against a constraint."""
    good_name, bad_name, good_address, bad_address = "test.localhost", "bad.example.com", "127.0.0.1", "1.1.1.1"
    dns_of = {"good": "localhost", "bad": "example.com"}
    net_of = {"good": "127.0.0.0/24", "bad": "1.1.1.0/24"}
    top = root("combinations")
    leaves, cases, expected = {}, [], []
    choices = (None, "good", "bad")
    for permitted_dns, permitted_net, excluded_dns, excluded_net in itertools.product(choices, repeat=4):
        permitted = [s for s in (dns_of.get(permitted_dns), net_of.get(permitted_net)) if s]
        excluded = [s for s in (dns_of.get(excluded_dns), net_of.get(excluded_net)) if s]
        limits = constraints(permitted, excluded) if permitted or excluded else None
        middle = intermediate(top, "limited", kind="p256", number="limited", limits=limits)
        for dns, address in itertools.product(choices, repeat=2):
            names = [n for n in ({None: None, "good": good_name, "bad": bad_name}[dns], {None: None, "good": good_address, "bad": bad_address}[address]) if n]
            violates = (dns and (permitted_dns not in (None, dns) or excluded_dns == dns) or
                        address and (permitted_net not in (None, address) or excluded_net == address))
            if (dns, address) not in leaves:
                leaves[dns, address] = server(middle, names, kind="p256", number="leaf")
            leaf = leaves[dns, address]
            for host, is_named in ((good_name, dns == "good"), (good_address, address == "good")):
                cases.append(([top], [leaf, middle], host, NOW))
                expected.append(is_named and not violates)
    said = check_all(tmp_path, cases)
    assert len(said) == 1458 and sum(expected) > 50
    for text, good, number in zip(said, expected, range(len(said))):
        assert (text == "ok") == good, (number, text)


LIMITS = [
    # permitted, excluded, the server's names (DNS, or DER), accepted
    (["example.com"], (), ["not-example.com"], False), (["example.com"], (), ["foo.bar.example.com"], True), (["example.com"], (), ["EXAMPLE.com"], True),
    (["Example.COM"], (), ["foo.example.com"], True), (["example.com"], ["example.com"], ["example.com"], False),
    (["example.com"], ["sub.example.com"], ["a.sub.example.com"], False), (["example.com"], ["sub.example.com"], ["a.example.com"], True),
    ([".example.com"], (), ["foo.example.com"], True), ([".example.com"], (), ["example.com"], False), ((), [".example.com"], ["foo.example.com"], False),
    ((), [".example.com"], ["example.com"], True), ((), [".example.com"], ["*.example.com"], False),
    # wildcards stand for every name that they match
    (["example.com"], ["bar.example.com"], ["*.example.com"], False), (["foo.example.com"], (), ["*.example.com"], False),
    ((), ["BAR.example.com"], ["*.Example.com"], False), ((), ["a.b.example.com"], ["*.example.com"], True), (["example.com"], (), ["*.example.com"], True),
    ((), ["example.com"], ["*.example.com"], False), ((), ["other.com"], ["*.example.com"], True),
    # constraints that are none: refused, whatever is called
    (["*.example.com"], (), ["foo.example.com"], False), ((), ["*.example.com"], ["foo.example.com"], False), ((), ["*.other.com"], ["foo.example.com"], False),
    ((), ["example.com."], ["foo.org"], False), ((), ["a..example.com"], ["foo.org"], False), ((), [".."], ["foo.org"], False), ((), ["."], ["foo.org"], False),
    ([""], (), ["foo.org"], True), ((), [""], ["foo.org"], False), ((), ["exam ple.com"], ["foo.org"], False), ((), ["example.com\0"], ["foo.org"], False),
    # names that are none, under constraints of their kind
    (["example.com"], (), [".example.com", "foo.example.com"], False), (["example.com"], (), ["example.com."], False),
    ((), ["example.com"], ["foo.example.com."], False), ((), ["evil.com"], ["foo.org", "evil.com."], False), ((), ["evil.com"], ["foo.org", "a..b"], False),
    ((), ["evil.com"], ["foo.org", "x.evil.com\0.org"], False), ((), ["evil.com"], ["foo.org", ""], False), (["com"], (), ["a_b.example.com"], True),
    (["10.0.0.0/8"], (), ["example.com", "."], True),
]


def general(text):
    return text if isinstance(text, bytes) else der.tlv(0x87, certificates.general(text).value.network_address.packed,
                                                        certificates.general(text).value.netmask.packed) if "/" in text else der.dns(text)


def limited(tmp_path, permitted, excluded, names, subject=None, host=None):
    """What is said of a server with these names below an intermediate, and below a root, with these constraints."""
    limits = der.name_constraints([general(p) for p in permitted], [general(x) for x in excluded])
    middle = der.intermediate(RAW, der.common("limited"), (*der.CA_EXTENSIONS, limits))
    top = der.root(der.common("limited root"), (*der.CA_EXTENSIONS, limits))
    more = {"subject": subject} if subject else {}
    host = host or next((n.replace("*.", "any.") for n in names if isinstance(n, str)), "example.com")
    said = [check(tmp_path, [RAW], [der.server(middle, names, **more), middle], host), check(tmp_path, [top], [der.server(top, names, **more)], host)]
    assert (said[0] == "ok") == (said[1] == "ok"), said
    return said[0]


@pytest.mark.parametrize("permitted, excluded, names, accepted", LIMITS)
def test_dns_constraints(tmp_path, permitted, excluded, names, accepted):
    said = limited(tmp_path, permitted, excluded, names, host=None if accepted or not names[0].startswith(".") else names[1])
    assert (said == "ok") == accepted, said
    assert accepted or "name constraints" in said


ADDRESSES = [
    (["192.0.2.0/24"], (), ["192.0.2.1"], True), (["192.0.2.0/24"], (), ["192.0.3.1"], False), ((), ["192.0.2.0/24"], ["192.0.2.1"], False),
    ((), ["::1/128"], ["::1"], False), (["::1/128"], (), ["::1"], True), (["::1/128"], (), ["127.0.0.1"], False), (["0.0.0.0/0"], (), ["127.0.0.1"], True),
    ((), ["0.0.0.0/0"], ["127.0.0.1"], False), ((), ["0.0.0.0/0"], ["::1"], True), ((), ["::/0"], ["127.0.0.1"], True),
    (["10.0.0.0/9"], (), ["10.127.0.1"], True), (["10.0.0.0/9"], (), ["10.128.0.1"], False),
]


@pytest.mark.parametrize("permitted, excluded, names, accepted", ADDRESSES)
def test_address_constraints(tmp_path, permitted, excluded, names, accepted):
    packed = [der.address(certificates.general(n).value.packed) for n in names]
    said = limited(tmp_path, permitted, excluded, packed, host=names[0])
    assert (said == "ok") == accepted, said


@pytest.mark.parametrize("constraint", [b"\x7f\0\0\1", bytes(16), b"\x7f\0\0\1\xff\0\xff\0", bytes(31), b"", b"\x0a\0\0\0\0\xff\xff\xff"])
@pytest.mark.parametrize("is_excluded", [False, True])
def test_address_constraints_that_are_none(tmp_path, constraint, is_excluded):
    lists = ((), [der.address(constraint)]) if is_excluded else ([der.address(constraint)], ())
    assert "name constraints" in limited(tmp_path, *lists, [der.address(b"\x7f\0\0\1")], host="127.0.0.1")


@pytest.mark.parametrize("address", [b"\xc0\0\2\0\xff\xff\xff\0", b"\xc0\0\2", b"", bytes(15), b"192.0.2.1"])
def test_addresses_that_are_none_under_constraints(tmp_path, address):
    names = [der.address(address), der.address(b"\xc0\0\2\1")]
    assert "name constraints" in limited(tmp_path, ["192.0.2.0/24"], (), names, host="192.0.2.1")
    assert "name constraints" in limited(tmp_path, (), ["10.0.0.0/8"], names, host="192.0.2.1")
    assert limited(tmp_path, ["com"], (), names, host="192.0.2.1") == "ok"


def directory(*rdns):
    return der.tlv(0xA4, der.name(*rdns))


LAB, ROOM = (O, UTF8, "A Lab"), (OU, UTF8, "room 1")
DIRECTORIES = [
    # permitted, excluded, the server's subject, further names, accepted
    ([[LAB]], (), [LAB, (CN, UTF8, "x")], (), True), ([[LAB]], (), [LAB], (), True), ([[LAB, ROOM]], (), [LAB], (), False),
    ([[LAB, ROOM]], (), [LAB, ROOM, (CN, UTF8, "x")], (), True), ([[LAB]], (), [(O, UTF8, "Other")], (), False),
    ([[LAB]], (), [(O, PRINTABLE, "a  LAB"), (CN, UTF8, "x")], (), True), ([[LAB], [(O, UTF8, "B")]], (), [(O, UTF8, "B")], (), True),
    ((), [[LAB]], [LAB, (CN, UTF8, "x")], (), False), ((), [[LAB]], [(O, UTF8, "Other")], (), True), ((), [[LAB, ROOM]], [LAB], (), True),
    ([[LAB]], [[LAB, ROOM]], [LAB, ROOM], (), False), ([[]], (), [(O, UTF8, "Other")], (), True), ((), [[]], [LAB], (), False),
    ([[LAB]], (), [], (), True), ((), [[LAB]], [], (), True),
    ([[LAB]], (), [(O, UTF8, "Other")], [directory(LAB)], False), ([[LAB]], (), [LAB], [directory((O, UTF8, "Other"))], False),
    ((), [[LAB]], [(O, UTF8, "Other")], [directory(LAB)], False), ((), [[LAB]], [LAB], [directory((O, UTF8, "Other"))], False),
    ([[LAB]], (), [ROOM, LAB], (), False),
]


@pytest.mark.parametrize("permitted, excluded, subject, more, accepted", DIRECTORIES)
def test_directory_constraints(tmp_path, permitted, excluded, subject, more, accepted):
    said = limited(tmp_path, [directory(*p) for p in permitted], [directory(*x) for x in excluded], ["host.example", *more], der.name(*subject))
    assert (said == "ok") == accepted, said


MAIL, URI, OTHER = 0x81, 0x86, 0xA0
OTHER_KINDS = [
    # kind of name, constraint, permitted, excluded, name, accepted
    (MAIL, "a@example.com", "a@example.com", True), (MAIL, "a@example.com", "b@example.com", False), (MAIL, "a@example.com", "a@EXAMPLE.com", True),
    (MAIL, "a@example.com", "A@example.com", False), (MAIL, "example.com", "any@example.com", True), (MAIL, "example.com", "any@sub.example.com", False),
    (MAIL, ".example.com", "any@sub.example.com", True), (MAIL, ".example.com", "any@example.com", False), (MAIL, "example.com", "example.com", None),
    (MAIL, "*@example.com", "*@example.com", True), (MAIL, "*@example.com", "a@example.com", False), (MAIL, "", "a@example.com", True),
    (URI, "example.com", "https://example.com/x", True), (URI, "example.com", "https://a.example.com/x", False),
    (URI, ".example.com", "https://a.example.com:443/x", True), (URI, ".example.com", "https://example.com/", False),
    (URI, "example.com", "https://user@example.com:1/", True), (URI, "example.com", "urn:example.com", None), (URI, "example.com", "https://10.0.0.1/", None),
]


@pytest.mark.parametrize("kind, constraint, name_, within", OTHER_KINDS)
def test_constraints_of_mail_and_uri(tmp_path, kind, constraint, name_, within):
    """None: what has no host to be judged by is refused under either kind of constraint."""
    names = ["host.example", der.text_of(kind, name_)]
    permitted = limited(tmp_path, [der.text_of(kind, constraint)], (), names)
    excluded = limited(tmp_path, (), [der.text_of(kind, constraint)], names)
    assert (permitted == "ok") == bool(within), permitted
    assert (excluded == "ok") == (within is False), excluded
    assert limited(tmp_path, [der.text_of(kind, constraint)], (), ["host.example"]) == "ok", "it applies to names of its kind alone"


def test_constraints_of_a_kind_that_cannot_be_judged(tmp_path):
    other = der.tlv(OTHER, der.oid("1.3.6.1.4.1.311.20.2.3"), der.tlv(0xA0, der.text_of(UTF8, "a@b")))
    for lists in (([other], ()), ((), [other])):
        assert limited(tmp_path, *lists, ["host.example"]) == "ok"
        assert "not to be judged" in limited(tmp_path, *lists, ["host.example", other])
    assert limited(tmp_path, ["example"], (), ["host.example", other]) == "ok"


MALFORMED = [
    der.sequence(), der.sequence(der.tlv(0xA0)), der.sequence(der.tlv(0xA0), der.tlv(0xA1)), der.sequence(der.tlv(0xA1, der.dns("example.com"))),
    der.sequence(der.tlv(0xA2, der.sequence(der.dns("x.org")))), b"\x05\x00", b"example.com",
    der.sequence(der.tlv(0xA1, der.sequence(der.dns("x.org"), der.tlv(0x80, b"\1")))), der.sequence(der.tlv(0xA1, der.sequence())),
    der.sequence(der.tlv(0xA1, der.sequence(der.dns("x.org"))), der.tlv(0xA0, der.sequence(der.dns("host.example")))),
]


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_constraints(tmp_path, value):
    for critical in (False, True):
        middle = der.intermediate(RAW, der.common("odd"), (*der.CA_EXTENSIONS, der.extension(der.NAME_CONSTRAINTS, value, critical)))
        assert check(tmp_path, [RAW], [der.server(middle), middle]) != "ok"


def test_constraints_that_are_not_critical_count_too(tmp_path):
    for permitted, words in (["example"], "ok"), (["example.com"], "name constraints"):
        limits = der.name_constraints([der.dns(p) for p in permitted], critical=False)
        middle = der.intermediate(RAW, der.common("soft"), (*der.CA_EXTENSIONS, limits))
        assert words in check(tmp_path, [RAW], [der.server(middle), middle])


def authority(issuer, subject, names=(), limits=None):
    return make(issuer, subject, names=list(names), ca=True, limits=limits, key_usage=usage(sign_certificates=True))


NESTED = [
    # constraints from the upper to the lower authority (permitted, excluded), the lower one's own names, the server's, accepted
    ((["foo.example", "bar.example"], None), (["bar.example"], None), (), "foo.example", False),
    ((["bar.example"], None), (["foo.example", "bar.example"], None), (), "foo.example", False),
    ((["bar.example"], None), (["foo.example", "bar.example"], None), (), "bar.example", True),
    ((["example"], None), (["foo.example"], None), (), "x.foo.example", True), ((["foo.example"], None), (["bar.example"], None), (), "foo.example", False),
    ((None, ["foo.example"]), (["example"], None), (), "foo.example", False), ((None, ["foo.example"]), (["example"], None), (), "bar.example", True),
    ((["good.example"], ["bad.example"]), None, ["bad.example"], "good.example", False), ((["good.example"], None), None, ["good.example"], "good.example", True),
    ((["good.example"], None), None, ["other.example"], "good.example", False),
]


@pytest.mark.parametrize("upper, lower, own, host, accepted", NESTED)
def test_constraints_of_several_authorities(tmp_path, upper, lower, own, host, accepted):
    first = authority(CA, "upper", limits=constraints(*upper))
    second = authority(first, "lower", own, constraints(*lower) if lower else None)
    said = check(tmp_path, [CA], [server(second, [host]), second, first], host)
    assert (said == "ok") == accepted, said
    top = root("upper root", limits=constraints(*upper))
    between = authority(top, "between")
    below = authority(between, "lower", own, constraints(*lower) if lower else None)
    assert (check(tmp_path, [top], [server(below, [host]), below, between], host) == "ok") == accepted


def test_constraints_pass_over_self_issued_authorities_but_not_servers(tmp_path):
    subject = name("not-example.com")
    top = root(subject, limits=constraints(["example.com"]), names=["not-example.com"])
    again = authority(top, subject, ["not-example.com"])
    assert check(tmp_path, [top], [server(again, ["example.com"]), again], "example.com") == "ok"
    limited_root = root("limits", limits=constraints(["example.com"]))
    middle = authority(limited_root, subject)
    leaf = server(middle, ["not-example.com"], subject=subject)
    assert "name constraints" in check(tmp_path, [limited_root], [leaf, middle], "not-example.com")


def test_many_names_under_many_constraints(tmp_path):
    """What would cost half a million comparisons is refused; a large but likely number is not."""
    many = [f"t{i}.test" for i in range(513)]
    middle = intermediate(CA, "many", limits=constraints([*many, ".test"], [f"x{i}.test" for i in range(513)]))
    assert "too many" in check(tmp_path, [CA], [server(middle, many), middle], "t0.test")
    middle = intermediate(CA, "some", limits=constraints(many[:100], [f"x{i}.test" for i in range(100)]))
    assert check(tmp_path, [CA], [server(middle, many[:100]), middle], "t0.test") == "ok"
