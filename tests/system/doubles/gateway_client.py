"""A second implementation of the gateway's client side, for tests and benchmarks: signed calls with Debian's
python3-cryptography, written from PROTOCOL.md and independent of the program under test. Strict about what it needs: initiate and
find assert a 200; what is announced as JSON has to be JSON."""
import hashlib
import json
import pathlib
import time

import harness
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


class GatewayClient:
    def __init__(self, url, key_dir, zone="default"):
        self.url, self.zone = url, zone
        self.key = load_pem_private_key((pathlib.Path(key_dir) / "private.pem").read_bytes(), None)
        self.client_id = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, payload):
        text = json.dumps(payload, separators=(",", ":"), sort_keys=True)
        return self.key.sign(hashlib.sha1(text.encode()).digest()).hex()

    def signed(self, payload):
        return {"payload": payload, "fromClientId": self.client_id, "signature": self.sign(payload)}

    def call(self, type_, zone=True, timestamp=None, **fields):
        """(status, answer: JSON or text)"""
        payload = {"type": type_, **fields, "timestamp": int(time.time() * 1000) if timestamp is None else timestamp}
        if zone:
            payload["zone"] = self.zone
        return self.post(self.signed(payload))

    def post(self, body):
        status, headers, text = harness.http("POST", f"{self.url}/api/gateway", body)
        is_json = headers.get("Content-Type", "").startswith("application/json")
        return status, json.loads(text) if is_json else text.decode()

    def initiate(self, digest, size):
        """The signed URL for an upload."""
        status, answer = self.call("initiateFileUpload", size=size, hashAlg="sha1", hash=digest)
        assert status == 200, answer
        return answer["signedUploadUrl"]

    def finalize(self, digest, size):
        key = f"sha1/{digest[0:2]}/{digest[2:4]}/{digest[4:6]}/{digest}"
        return self.call("finalizeFileUpload", objectKey=key, hashAlg="sha1", hash=digest, size=size)

    def find(self, digest):
        """The signed URL for a download."""
        status, answer = self.call("findFile", hashAlg="sha1", hash=digest)
        assert status == 200 and answer["found"], answer
        return answer["url"]
