"""A TLS 1.2 server of single records (TLS_RSA_WITH_AES_128_GCM_SHA256 or a signed key exchange that goes no further), for
peers that no library would play: what it says, and when, is the test's."""
import contextlib
import hashlib
import hmac
import os
import ssl
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
RENEGOTIATION_INFO, ALPN, SIGNATURE_ALGORITHMS = 0xff01, 16, 13
RSA_GCM, ECDSA_GCM, ECDSA_CBC_SHA = 0x009c, 0xc02b, 0xc009
SECURE = {RENEGOTIATION_INFO: b"\0"}
HELLO_REQUEST = bytes(4)
SIGNERS = {2: hashes.SHA1, 4: hashes.SHA256, 5: hashes.SHA384}


def record(kind, body):
    return struct.pack("!BHH", kind, 0x0303, len(body)) + body


def message(kind, body):
    return struct.pack("!I", kind << 24 | len(body)) + body


def alpn(name):
    return struct.pack("!HB", len(name) + 1, len(name)) + name


class Hello:
    """A ClientHello: `suites`, `extensions` by number, `random`."""

    def __init__(self, body):
        self.random = body[2:34]
        at = 35 + body[34]
        count = struct.unpack_from("!H", body, at)[0]
        self.suites = struct.unpack_from(f"!{count // 2}H", body, at + 2)
        at += 2 + count
        at += 1 + body[at] + 2
        self.extensions = {}
        while at < len(body):
            number, size = struct.unpack_from("!HH", body, at)
            self.extensions[number] = body[at + 4:at + 4 + size]
            at += 4 + size


class Peer:
    """One connection. `messages` are those that Finished covers."""

    def __init__(self, connection, pem, key):
        self.connection, self.messages, self.sent = connection, b"", 0
        self.certificate = ssl.PEM_cert_to_DER_cert(pem.read_text().partition("-----END CERTIFICATE-----\n")[0]
                                                    + "-----END CERTIFICATE-----\n")
        self.key = serialization.load_pem_private_key(key.read_bytes(), None)
        self.random = os.urandom(32)

    def take(self, count):
        data = b""
        while len(data) < count:
            got = self.connection.recv(count - len(data))
            if not got:
                raise EOFError
            data += got
        return data

    def read(self):
        head = self.take(5)
        return head[0], self.take(struct.unpack("!H", head[3:])[0])

    def hear_hello(self):
        _, body = self.read()
        self.messages += body
        self.hello = Hello(body[4:])
        return self.hello

    def say(self, kind, body):
        """A handshake message in the clear."""
        self.messages += message(kind, body)
        self.connection.sendall(record(HANDSHAKE, message(kind, body)))

    def say_hello(self, suite=RSA_GCM, extensions=SECURE):
        listed = b"".join(struct.pack("!HH", number, len(body)) + body for number, body in extensions.items())
        self.say(2, b"\3\3" + self.random + b"\0" + struct.pack("!HB", suite, 0)
                 + (struct.pack("!H", len(listed)) + listed if extensions else b""))

    def say_certificate(self):
        one = struct.pack("!I", len(self.certificate))[1:] + self.certificate
        self.say(11, struct.pack("!I", len(one))[1:] + one)

    def say_key_exchange(self, hash_id):
        public = ec.generate_private_key(ec.SECP256R1()).public_key()
        point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        parameters = b"\3\0\x17" + bytes([len(point)]) + point
        signature = self.key.sign(self.hello.random + self.random + parameters, ec.ECDSA(SIGNERS[hash_id]()))
        self.say(12, parameters + bytes([hash_id, 3]) + struct.pack("!H", len(signature)) + signature)

    def say_done(self):
        self.say(14, b"")

    # ---- the rest of a handshake with RSA ----

    def prf(self, secret, label, seed, size):
        out, a = b"", label + seed
        while len(out) < size:
            a = hmac.digest(secret, a, "sha256")
            out += hmac.digest(secret, a + label + seed, "sha256")
        return out[:size]

    def finish(self):
        """Reads ClientKeyExchange and Finished, answers; from then on `send` encrypts."""
        _, body = self.read()
        self.messages += body
        pre = self.key.decrypt(body[6:], padding.PKCS1v15())
        master = self.prf(pre, b"master secret", self.hello.random + self.random, 48)
        block = self.prf(master, b"key expansion", self.random + self.hello.random, 40)
        self.theirs, self.ours = AESGCM(block[:16]), AESGCM(block[16:32])
        self.their_salt, self.our_salt, self.heard = block[32:36], block[36:40], 0
        assert self.read() == (CHANGE_CIPHER, b"\1")
        self.messages += self.receive()
        self.connection.sendall(record(CHANGE_CIPHER, b"\1"))
        proof = self.prf(master, b"server finished", hashlib.sha256(self.messages).digest(), 12)
        self.send(HANDSHAKE, message(20, proof))

    def extra(self, number, kind, size):
        return struct.pack("!QBHH", number, kind, 0x0303, size)

    def receive(self):
        kind, body = self.read()
        plain = self.theirs.decrypt(self.their_salt + body[:8], body[8:], self.extra(self.heard, kind, len(body) - 24))
        self.heard += 1
        return plain

    def send(self, kind, body):
        nonce = struct.pack("!Q", self.sent)
        sealed = self.ours.encrypt(self.our_salt + nonce, body, self.extra(self.sent, kind, len(body)))
        self.sent += 1
        self.connection.sendall(record(kind, nonce + sealed))

    def shake(self, extensions=SECURE):
        self.hear_hello()
        self.say_hello(extensions=extensions)
        self.say_certificate()
        self.say_done()
        self.finish()

    def linger(self):
        """Until the client closes."""
        with contextlib.suppress(OSError, EOFError):
            while True:
                self.take(1)
