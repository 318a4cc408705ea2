"""Finding a path: graphs of authorities that sign one another, parts of which are unusable for each of several reasons
(after the graphs of RFC 4158 and the idea of BetterTLS), cycles, path lengths, and what is said when there is none."""
import pytest
from certificate_check import check
from certificates import CLIENT, DAY, NOW, constraints, hashes, intermediate, key, make, name, root, server, usage, x509
from cryptography.x509.oid import ExtendedKeyUsageOID

EMAIL = ExtendedKeyUsageOID.EMAIL_PROTECTION
# What makes a certificate of an authority unusable, and a word of what is said when it is the only way.
FAULTS = {
    "expired": (dict(begins=NOW - 9 * DAY, ends=NOW - DAY), "expired since"),
    "name constraints": (dict(limits=constraints(permitted=["bad.example.com"])), "name constraints"),
    "bad usage": (dict(usages=[EMAIL]), "wrong usage"),
    "no basic constraints": (dict(basic=False), "no certificate authority"),
    "not an authority": (dict(ca=False), "no certificate authority"),
    "old algorithm": (dict(hash_=hashes.SHA1()), "weak signature"),
    "critical extension": (dict(extra=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]), "critical"),
    "may not sign": (dict(key_usage=usage(digital=True)), "may not sign"),
    "too many below": (dict(path_length=0), "chain is longer"),
}
LINE = "Anchor-I I-EE"
FIGURE_SEVEN = "B-EE C-B A-B C-A A-C Anchor-C Anchor-A"
TWO_ROOTS = "I-EE R1-I R2-I"
BRIDGE = ("F-H F-G G-F H-I I-H G-I W-F W-G J-K N-EE L-N L-M X-J X-L B-E B-D A-B C-B A-C C-A Y-A Y-C R-S O-R O-Q P-S Z-O Z-P "
          "W-Bridge Bridge-W X-Bridge Bridge-X Y-Bridge Bridge-Y Z-Bridge Bridge-Z")
GRAPHS = [
    # graph, the one that is trusted, the server, edges that are unusable, is there a path
    (LINE, "Anchor", "EE", "", True), (LINE, "Anchor", "EE", "Anchor-I", False), (LINE, "I", "EE", "Anchor-I", True),
    (TWO_ROOTS, "R1", "EE", "", True), (TWO_ROOTS, "R2", "EE", "", True),
    (TWO_ROOTS, "R1", "EE", "R2-I", True), (TWO_ROOTS, "R2", "EE", "R1-I", True),
    (TWO_ROOTS, "R1", "EE", "R1-I", False), (TWO_ROOTS, "R2", "EE", "R2-I", False),
    (FIGURE_SEVEN, "Anchor", "EE", "", True), (FIGURE_SEVEN, "Anchor", "EE", "Anchor-C A-B", True),
    (FIGURE_SEVEN, "Anchor", "EE", "Anchor-A C-B", True), (FIGURE_SEVEN, "Anchor", "EE", "Anchor-A Anchor-C", False),
    (BRIDGE, "Z", "D", "", True), (BRIDGE, "Z", "EE", "", True), (BRIDGE, "Z", "EE", "X-Bridge", True),
    (BRIDGE, "Z", "EE", "Bridge-X", False), (BRIDGE, "Z", "EE", "Z-Bridge", False), (BRIDGE, "W", "K", "", True),
    (BRIDGE, "Y", "I", "", True),
]


def authority(issuer, subject, **more):
    """An authority's certificate by `issuer`, with the key that belongs to its name."""
    more.setdefault("ca", True)
    more.setdefault("key_usage", None if not more["ca"] else usage(sign_certificates=True))
    return make(issuer, subject, private_key=key("p256", f"of {subject}"), **more)


def build(edges, trusted, target, unusable, fault):
    """([root], [the server's certificate, all others in the order of the edges])"""
    alone = {node: authority(None, node) for node in {n for edge in edges.split() for n in edge.split("-")}}
    leaf, others = None, []
    for edge in edges.split():
        issuer, subject = edge.split("-")
        if subject == target:
            leaf = leaf or server(alone[issuer], subject=subject)
            continue
        others.append(authority(alone[issuer], subject, **(fault if edge in unusable.split() else {})))
    return [alone[trusted]], [leaf, *others]


@pytest.mark.parametrize("reason", FAULTS)
def test_graphs(tmp_path, reason):
    fault, words = FAULTS[reason]
    for edges, trusted, target, unusable, is_good in GRAPHS:
        if reason == "too many below" and edges != BRIDGE:
            continue  # no authority below the unusable ones of the small graphs
        roots, chain = build(edges, trusted, target, unusable, fault)
        for sent in (chain, [chain[0], *reversed(chain[1:])]):
            said = check(tmp_path, roots, sent)
            assert (said == "ok") == is_good, (edges, trusted, target, unusable, said)
        if not is_good and edges == LINE:
            assert words in said, said


def test_the_chain_of_pain(tmp_path):
    """An expired cross-sign of a root that is itself trusted does not matter, wherever it stands."""
    new, old = root("new root"), root("old root")
    crossed = intermediate(old, "new root", private_key=new.key, begins=NOW - 9 * DAY, ends=NOW - DAY)
    leaf = server(new)
    for roots in ([new, old], [old, new], [new]):
        assert check(tmp_path, roots, [leaf, crossed]) == "ok"
    gone = root("old root", private_key=old.key, begins=NOW - 9 * DAY, ends=NOW - DAY)
    alive = intermediate(old, "new root", private_key=new.key)
    assert check(tmp_path, [new, gone], [leaf, alive]) == "ok"
    assert check(tmp_path, [gone, new], [leaf, alive]) == "ok"
    assert "root CN=old root: expired since" in check(tmp_path, [gone], [leaf, alive])


def test_the_same_name_with_other_keys(tmp_path):
    """A rollover: many authorities of one name, of which one key made the signature."""
    top = root("rollover")
    roots = [root("rollover") for _ in range(5)]
    leaf = server(top)
    assert check(tmp_path, [*roots, top], [leaf]) == "ok"
    assert check(tmp_path, [top, *roots], [leaf]) == "ok"
    assert "signature is wrong" in check(tmp_path, roots, [leaf])
    middles = [intermediate(top, "middle") for _ in range(12)]
    for signer in (middles[0], middles[5], middles[-1]):
        assert check(tmp_path, [top], [server(signer), *middles]) == "ok"


def test_an_intermediate_that_is_trusted(tmp_path):
    top = root("not trusted here")
    middle = intermediate(top, "trusted middle")
    leaf = server(middle)
    assert check(tmp_path, [middle], [leaf]) == "ok"
    assert check(tmp_path, [middle], [leaf, top]) == "ok"
    assert check(tmp_path, [middle], [leaf, middle, top]) == "ok"
    lower = intermediate(middle, "lower")
    assert check(tmp_path, [middle], [server(lower), lower, middle, top]) == "ok"


def test_cycles(tmp_path):
    top = root()
    for first_name, second_name in (("one", "two"), ("same", "same")):
        first, second = authority(None, first_name), make(subject=second_name, ca=True)
        one_by_two = make(second, first_name, ca=True, private_key=first.key, key_usage=usage(sign_certificates=True))
        two_by_one = make(first, second_name, ca=True, private_key=second.key, key_usage=usage(sign_certificates=True))
        leaf = server(one_by_two)
        assert "trusted roots" in check(tmp_path, [top], [leaf, one_by_two, two_by_one])
        way_out = intermediate(top, second_name, private_key=second.key)
        assert check(tmp_path, [top], [leaf, one_by_two, two_by_one, way_out]) == "ok"


def test_authorities_that_all_sign_one_another(tmp_path):
    """Every path is tried without being costly: 8 authorities in all directions, with and without a way to the root."""
    count, top = 8, root("far root")
    alone = [authority(None, f"mesh {i}") for i in range(count)]
    mesh = [authority(alone[i], f"mesh {k}") for i in range(count) for k in range(count) if i != k]
    leaf = server(alone[0])
    assert "trusted roots" in check(tmp_path, [top], [leaf, *mesh])
    assert check(tmp_path, [top], [leaf, *mesh, authority(top, f"mesh {count - 1}")]) == "ok"
    assert check(tmp_path, [top], [leaf, authority(top, f"mesh {count - 1}"), *mesh]) == "ok"


def test_a_root_that_others_have_signed_too(tmp_path):
    """Two authorities and the root in a circle of cross-signs (a cycle that must not hide the root)."""
    top = root("circle root")
    b, c = authority(None, "circle b"), authority(None, "circle c")
    a1 = authority(top, "circle a1")
    top_by = [make(x, "circle root", ca=True, private_key=top.key, key_usage=usage(sign_certificates=True)) for x in (b, c)]
    others = [authority(top, "circle b"), authority(c, "circle b"), authority(top, "circle c"), authority(b, "circle c")]
    leaf = server(a1, subject=x509.Name([]))
    assert check(tmp_path, [top], [leaf, a1, *top_by, *others]) == "ok"
    assert check(tmp_path, [top], [leaf, *top_by, *others, a1]) == "ok"


LENGTHS = [
    # the path lengths of the authorities from the root down (None: no limit; a name that repeats is self-issued), accepted
    ("root i:0", True), ("root i:1", True), ("root i:2", True), ("root i:0 k:0", False), ("root i:1 k:2", True),
    ("root i:1 k:0 l:0", False), ("root:0 i", False), ("root:1 i", True), ("root:1 i k", False), ("root:2 i k", True),
    ("root i:1 i:1 k:0", True), ("root i:0 i:0", True), ("root i:0 i:0 k", False), ("root:0 root", True),
    ("root:0 root i", False), ("root i:3 k:2 l:1 m:0", True), ("root i:3 k:2 l:0 m:0", False), ("root i:4000000000", True),
]


@pytest.mark.parametrize("text, accepted", LENGTHS)
def test_path_lengths(tmp_path, text, accepted):
    chain, issuer = [], None
    for number, word in enumerate(text.split()):
        subject, _, length = word.partition(":")
        issuer = make(issuer, f"length {subject}", ca=True, path_length=int(length) if length else None, kind="p256",
                      number=f"length {number}", key_usage=usage(sign_certificates=True))
        chain.insert(0, issuer)
    said = check(tmp_path, [chain[-1]], [server(chain[0]), *chain[:-1]])
    assert (said == "ok") == accepted, said
    assert accepted or "chain is longer than its authority allows" in said


def test_path_length_of_an_authority_that_is_the_server(tmp_path):
    """The last certificate does not count, even if it is one of an authority (RFC 5280 §4.2.1.9)."""
    top = root("root of an authority")
    first = intermediate(top, "first", path_length=0)
    both = dict(names=["host.example"], ca=True, path_length=0)
    assert check(tmp_path, [top], [make(first, "second", **both), first]) == "ok"
    assert check(tmp_path, [top], [make(first, "second", key_usage=usage(True, True), **both), first]) == "ok"
    said = check(tmp_path, [top], [make(first, "second", key_usage=usage(True), **both), first])
    assert "wrong usage: its key may not be used for TLS" in said


def test_a_client_authority_in_between(tmp_path):
    top = root()
    upper = intermediate(top, "upper", usages=[CLIENT])
    lower = intermediate(upper, "lower")
    assert "may not sign for servers" in check(tmp_path, [top], [server(lower), lower, upper])
    only = root("root for clients", usages=[CLIENT])
    assert "may not sign for servers" in check(tmp_path, [only], [server(only)])
    anything = root("root for all", usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
    assert check(tmp_path, [anything], [server(anything)]) == "ok"


def test_a_long_list_and_a_too_long_one(tmp_path):
    """As many certificates as a peer may send are looked at, whatever they are."""
    top = root()
    middle = intermediate(top, "needle")
    hay = [authority(None, f"hay {i}") for i in range(7)] * 9
    leaf = server(middle)
    assert check(tmp_path, [top], [leaf, *hay[:62], middle]) == "ok"
    assert "at most 64" in check(tmp_path, [top], [leaf, *hay, middle, middle])


def test_the_name_of_an_unknown_issuer(tmp_path):
    top = root(name("quiet root", organisation="A Lab"))
    said = check(tmp_path, [root()], [server(top)])
    assert said == ("unknown issuer O=A Lab, CN=quiet root: not among the trusted roots (SSL_CERT_FILE names a file of those to trust; "
                    "a daemon's config, caFile)")
