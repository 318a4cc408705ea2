"""Certificates put together byte by byte, for forms that python3-cryptography does not make."""
import certificates
from certificates import DAY, NOW
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BOOLEAN, INTEGER, BITS, OCTETS, NULL, OID, SEQUENCE, SET = 1, 2, 3, 4, 5, 6, 0x30, 0x31
UTF8, PRINTABLE, TELETEX, IA5, BMP, UTC, GENERALIZED = 12, 19, 20, 22, 30, 23, 24
COMMON_NAME, COUNTRY, STATE, LOCALITY, ORGANISATION, UNIT = (f"2.5.4.{n}" for n in (3, 6, 8, 7, 10, 11))
SUBJECT_KEY, KEY_USAGE, ALT_NAME, BASIC, NAME_CONSTRAINTS, AUTHORITY_KEY, EXTENDED_USAGE = (
    f"2.5.29.{n}" for n in (14, 15, 17, 19, 30, 35, 37))
AUTHORITY_INFORMATION, SERVER_AUTH = "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.3.1"
ECDSA_SHA256, ECDSA_SHA384 = "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3"


def tlv(tag, *parts):
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def sequence(*parts):
    return tlv(SEQUENCE, *parts)


def integer(number):
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def oid(text):
    first, second, *rest = map(int, text.split("."))
    out = bytearray([40 * first + second])
    for number in rest:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.insert(0, 0x80 | number & 0x7F)
        out += bytes(digits)
    return tlv(OID, bytes(out))


def text_of(tag, value):
    return tlv(tag, value if isinstance(value, bytes) else value.encode("utf-16-be" if tag == BMP else "utf-8"))


def name(*rdns):
    """Each RDN is (type, string tag, text), or a list of several of them."""
    sets = []
    for rdn in rdns:
        attributes = [sequence(oid(kind), text_of(tag, value)) for kind, tag, value in (rdn if isinstance(rdn, list) else [rdn])]
        sets.append(tlv(SET, *sorted(attributes)))
    return sequence(*sets)


def common(value, tag=UTF8):
    return name((COMMON_NAME, tag, value))


def utc(when):
    return tlv(UTC, (when if isinstance(when, str) else when.strftime("%y%m%d%H%M%SZ")).encode())


def generalized(when):
    return tlv(GENERALIZED, (when if isinstance(when, str) else when.strftime("%Y%m%d%H%M%SZ")).encode())


def extension(kind, value, critical=False):
    return sequence(oid(kind), tlv(BOOLEAN, b"\xff") if critical else b"", tlv(OCTETS, value))


def dns(value):
    return text_of(0x82, value)


def address(value):
    return tlv(0x87, value)


def alt_names(*names, critical=False):
    return extension(ALT_NAME, sequence(*names), critical)


def name_constraints(permitted=(), excluded=(), critical=True):
    parts = [tlv(tag, *(sequence(base) for base in bases)) for tag, bases in ((0xA0, permitted), (0xA1, excluded)) if bases]
    return extension(NAME_CONSTRAINTS, sequence(*parts), critical)


def basic(ca=True, path_length=None, critical=True):
    parts = [tlv(BOOLEAN, b"\xff")] if ca else []
    return extension(BASIC, sequence(*parts, *([integer(path_length)] if path_length is not None else [])), critical)


CA_EXTENSIONS = (basic(), extension(KEY_USAGE, bytes.fromhex("03020106"), True))
SERVER_USAGES = (extension(EXTENDED_USAGE, sequence(oid(SERVER_AUTH))), extension(KEY_USAGE, bytes.fromhex("03020780"), True))


class Der:
    """As certificates.Certificate: `pem()`, `key`; `subject` is DER."""

    def __init__(self, subject, key, der):
        self.subject, self.key, self.der = subject, key, der

    def pem(self):
        import base64
        return "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(self.der).decode() + "-----END CERTIFICATE-----\n"


def public_info(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def make(issuer=None, subject=None, extensions=(), issuer_name=None, begins=None, ends=None, version=2, key=None,
         algorithm=ECDSA_SHA256, outer_algorithm=None, serial=None, info=None, identifiers=b"", extra=b"", unused_bits=0):
    """A certificate that is signed with ECDSA and SHA-256; without an issuer it signs itself."""
    key = key or certificates.key("p256", 20000 + next(_numbers))
    subject = common("subject") if subject is None else subject
    issuer_name = issuer_name or (issuer.subject if issuer else subject)
    tbs = sequence(
        tlv(0xA0, integer(version)) if version else b"", integer(serial) if serial is not None else integer(next(_numbers) + 1),
        sequence(oid(algorithm)), issuer_name, sequence(begins or utc(NOW - DAY), ends or utc(NOW + 90 * DAY)), subject,
        info or public_info(key), identifiers, tlv(0xA3, sequence(*extensions)) if extensions else b"", extra)
    signature = (issuer.key if issuer else key).sign(tbs, ec.ECDSA(hashes.SHA256()))
    return Der(subject, key, sequence(tbs, sequence(oid(outer_algorithm or algorithm)),
                                      tlv(BITS, bytes([unused_bits]), signature)))


def root(subject=None, extensions=CA_EXTENSIONS, **more):
    return make(None, subject or common("raw root"), extensions, **more)


def intermediate(issuer, subject=None, extensions=CA_EXTENSIONS, **more):
    return make(issuer, subject or common("raw intermediate"), extensions, **more)


def server(issuer, names=("host.example",), extensions=SERVER_USAGES, **more):
    general = [n if isinstance(n, bytes) else dns(n) for n in names]
    subject = more.pop("subject", common("server"))
    return make(issuer, subject, (*extensions, alt_names(*general)) if general else extensions, **more)


def _count():
    number = 0
    while True:
        yield number
        number += 1


_numbers = _count()
