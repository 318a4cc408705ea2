"""The deployed Python client once more, as PROTOCOL.md describes it, faults included: it writes records in place,
believes copies and downloads, sends an empty file chunked, insists on the proxy's envelope. Strict as the deployed one: another status,
another type or a missing field of an answer is an exception."""
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.parse

import harness
from gateway_client import GatewayClient

LARGE = 1_000_000  # above it the hash cache is used


def _written(path, record):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(record, f)


class PythonClient(GatewayClient):
    """`env` is the environment that a program of the user would see. Every call is signed, also of those that an
    anonymous client may make; the gateway's URL and the resource's are taken as they stand, slashes at the end and all."""

    def __init__(self, env):
        self.url, self.zone = env["KACHERY_GATEWAY_URL"], env.get("KACHERY_ZONE", "default")
        self.dir, self.resource = str(env["KACHERY_CLOUD_DIR"]), env.get("KACHERY_RESOURCE_URL") or None

    def asked(self, type_, **fields):
        if not os.path.exists(f"{self.dir}/private.pem"):
            raise RuntimeError("Client keys not found. Use kachery-cloud-init to register this client.")
        super().__init__(self.url, self.dir, self.zone)
        status, answer = self.call(type_, **fields)
        assert status == 200, answer
        return answer

    def _place(self, kind, digest):
        return str(harness.object_path(self.dir, digest, kind))

    # ---- the local store ----

    def sha1(self, path):
        cache = f"{self.dir}/mutables/@compute_sha1_cache/{hashlib.sha1(path.encode()).hexdigest()}"
        st = os.stat(path)
        if st.st_size > LARGE and os.path.exists(cache):
            with open(cache) as f:
                record = json.load(f)
            if record["size"] == st.st_size and record["mtime"] == st.st_mtime:
                return record["sha1"]
        with open(path, "rb") as f:
            digest = hashlib.sha1(f.read()).hexdigest()
        if st.st_size > LARGE:
            _written(cache, {"path": path, "size": st.st_size, "mtime": st.st_mtime, "sha1": digest})
        return digest

    def link_file(self, path):
        digest, st = self.sha1(path), os.stat(path)
        _written(self._place("linked_files/sha1", digest),
                 {"path": path, "size": st.st_size, "mtime": st.st_mtime, "sha1": digest})
        return f"sha1://{digest}"

    def store_file_local(self, path):
        place = self._place("sha1", self.sha1(path))
        if not os.path.exists(place):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copyfile(path, place + ".abcdefghij")
            os.rename(place + ".abcdefghij", place)
        return "sha1://" + os.path.basename(place)

    def load_file_local(self, uri):
        digest = uri.split("?")[0].split("/")[2]
        copy, link = self._place("sha1", digest), self._place("linked_files/sha1", digest)
        if os.path.exists(copy):
            return copy
        if not os.path.exists(link):
            return None
        with open(link) as f:
            record = json.load(f)
        path = record["path"]
        if not os.path.exists(path) or os.path.getsize(path) != record["size"]:
            return None
        if os.stat(path).st_mtime != record["mtime"]:
            if self.sha1(path) != digest:
                return None
            _written(link, {**record, "mtime": os.stat(path).st_mtime})
        return path

    # ---- the zone ----

    def store_file(self, path, label=None):
        digest, size = self.sha1(path), os.path.getsize(path)
        uri = f"sha1://{digest}" + (f"?label={urllib.parse.quote(label)}" if label is not None else "")
        answer = self.asked("initiateFileUpload", size=size, hashAlg="sha1", hash=digest)
        if answer.get("alreadyExists", False):
            return uri
        assert not answer.get("alreadyPending", False)
        with open(path, "rb") as f:
            self._put(answer["signedUploadUrl"], f, size)
        self.asked("finalizeFileUpload", objectKey=answer["objectKey"], hashAlg="sha1", hash=digest, size=size)
        return uri

    @staticmethod
    def _put(url, file, size):
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=harness.DEADLINE_S)
        headers = {"User-Agent": "python-requests/2.28.1", "Accept-Encoding": "gzip, deflate", "Accept": "*/*",
                   "Connection": "keep-alive"}
        if size > 0:
            headers["Content-Length"] = str(size)
        connection.request("PUT", f"{parts.path}?{parts.query}", body=file, headers=headers, encode_chunked=size == 0)
        status = connection.getresponse().status
        connection.close()
        assert status == 200

    def load_file_info(self, uri):
        """What the zone says of the file; but where a resource is set that has it, the path to which it was loaded."""
        return self._from_zone(uri, is_info=True)

    def load_file(self, uri):
        return self.load_file_local(uri) or self._from_zone(uri, is_info=False)

    def _from_zone(self, uri, is_info):
        digest = uri.split("?")[0].split("/")[2]
        answer = self.asked("findFile", hashAlg="sha1", hash=digest)
        if not answer["found"]:
            return self._from_resource(uri) if self.resource else None
        if is_info:
            return {name: value for name, value in answer.items() if name != "url"}
        return self._download(digest, answer["url"])

    def _from_resource(self, uri):
        while True:
            got = self._ask_resource(self.resource, uri, 5)
            if got["errored"]:
                raise RuntimeError(got["error_message"])
            if not got["found"]:
                return None
            if got["completed"]:
                return self._from_zone(uri, is_info=False)
            time.sleep(4)

    def _download(self, digest, url):
        status, _, data = harness.http("GET", url, headers={"Accept-Encoding": "gzip, deflate"})
        assert status == 200
        place = self._place("sha1", digest)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place + ".tmp.abcdefgh", "wb") as f:
            f.write(data)
        os.rename(place + ".tmp.abcdefgh", place)
        return place

    # ---- the resource ----

    def request_file(self, uri, timeout_sec, resource_url=None):
        result = {"found": True, "queued": None, "completed": None, "running": None, "local": False,
                  "errored": False, "error_message": "", "size": None, "bytes_uploaded": None}
        path = self.load_file_local(uri)
        if path is not None:
            return {**result, "local": True, "size": os.path.getsize(path)}
        info = self.load_file_info(uri)
        if info is not None and info["found"]:  # a TypeError where it is a path
            return {**result, "completed": True, "size": info["size"]}
        return {**result, **self._ask_resource(resource_url or self.resource, uri, timeout_sec)}

    def _ask_resource(self, url, uri, timeout_sec):
        status, _, body = harness.http("POST", url, {
            "type": "requestFromClient", "resourceName": url.split("/")[-1], "zone": self.zone,
            "request": {"type": "fileUpload", "uri": uri.split("?")[0], "timeoutMsec": timeout_sec * 1000},
            "timeoutMsec": timeout_sec * 1000 + 5000})
        if status != 200:
            raise RuntimeError(f"Error in requestFromClient: ({status}): {body.decode()}")
        answer = json.loads(body)
        assert answer["type"] == "responseToClient" and not answer.get("error", ""), answer
        assert answer["response"]["type"] == "fileUpload"
        got = answer["response"]["status"]
        return {"found": got["status"] in ("queued", "running", "completed"),
                **{name: got["status"] == name for name in ("queued", "completed", "running")},
                "errored": got["status"] == "error", "error_message": got.get("error", ""),
                "size": got.get("size"), "bytes_uploaded": got.get("bytesUploaded")}
