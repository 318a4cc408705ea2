"""Certificates of every kind for tests, made with Debian's python3-cryptography."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0)
DAY = datetime.timedelta(days=1)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_keys = {}


def key(kind="p256", number=0):
    """A key pair; the same one for the same arguments (RSA keys are slow to make)."""
    if (kind, number) not in _keys:
        if kind.startswith("rsa"):
            _keys[kind, number] = rsa.generate_private_key(65537, int(kind[3:]))
        else:
            curve = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1, "k1": ec.SECP256K1}[kind]
            _keys[kind, number] = ec.generate_private_key(curve())
    return _keys[kind, number]


def name(common, **more):
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
    if "organisation" in more:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, more["organisation"]))
    return x509.Name(attributes)


def general(text):
    try:
        return x509.IPAddress(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


class Certificate:
    def __init__(self, certificate, private_key):
        self.certificate, self.key = certificate, private_key

    @property
    def subject(self):
        return self.certificate.subject

    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption()).decode()


def usage(sign_certificates=False, digital=False, encipher=False):
    return x509.KeyUsage(digital, False, encipher, False, False, sign_certificates, sign_certificates, False, False)


def constraints(permitted=None, excluded=None):
    def subtrees(names):
        return [n if isinstance(n, x509.GeneralName) else general(n) for n in names] if names else None
    return x509.NameConstraints(subtrees(permitted), subtrees(excluded))


def make(issuer=None, subject="server", names=None, ca=False, path_length=None, kind="p256", number=None, usages=None,
         key_usage=None, begins=NOW - DAY, ends=NOW + 90 * DAY, limits=None, extra=(), hash_=None, issuer_name=None,
         basic=True, private_key=None):
    """A certificate; without an issuer it signs itself. `names` are those of the subjectAltName."""
    number = number if number is not None else len(_keys)
    private_key = private_key or key(kind, number)
    subject = subject if isinstance(subject, x509.Name) else name(subject)
    signer = issuer.key if issuer else private_key
    builder = (x509.CertificateBuilder().subject_name(subject)
               .issuer_name(issuer_name or (issuer.subject if issuer else subject))
               .public_key(private_key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(begins).not_valid_after(ends))
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length if ca else None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([general(n) for n in names]), critical=not list(subject))
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if key_usage:
        builder = builder.add_extension(key_usage, critical=True)
    if limits:
        builder = builder.add_extension(limits, critical=True)
    for extension, is_critical in extra:
        builder = builder.add_extension(extension, critical=is_critical)
    return Certificate(builder.sign(signer, hash_ or hashes.SHA256()), private_key)


def root(subject="test root", **more):
    return make(subject=subject, ca=True, key_usage=usage(sign_certificates=True), **more)


def intermediate(issuer, subject="test intermediate", **more):
    return make(issuer, subject, ca=True, key_usage=more.pop("key_usage", usage(sign_certificates=True)), **more)


def server(issuer, names=("host.example",), **more):
    return make(issuer, names=list(names), usages=more.pop("usages", [SERVER]), **more)
