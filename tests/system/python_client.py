"""The deployed Python client once more, as PROTOCOL.md describes it, faults included: it writes records in place,
believes copies and downloads, sends an empty file chunked, insists on the proxy's envelope."""
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
    """`env` is the environment that a program of the user would see."""

    def __init__(self, env):
        super().__init__(env["KACHERY_GATEWAY_URL"], env["KACHERY_CLOUD_DIR"], env.get("KACHERY_ZONE", "default"))
        self.dir, self.resource = str(env["KACHERY_CLOUD_DIR"]), env.get("KACHERY_RESOURCE_URL")

    def _place(self, kind, digest):
        return str(harness.object_path(self.dir, digest, kind))

    def asked(self, type_, **fields):
        status, answer = self.call(type_, **fields)
        assert status == 200, answer
        return answer

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
        answer = self.asked("findFile", hashAlg="sha1", hash=uri.split("?")[0].split("/")[2])
        return answer if answer["found"] else None

    def load_file(self, uri):
        path = self.load_file_local(uri)
        while path is None:
            info = self.load_file_info(uri)
            if info is not None:
                return self._download(uri.split("?")[0].split("/")[2], info["url"])
            result = self.request_file(uri, 5)
            if result["errored"]:
                raise RuntimeError(result["error_message"])
            if not result["found"]:
                return None
            if not result["completed"]:
                time.sleep(4)
        return path

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

    def request_file(self, uri, timeout_sec):
        result = {"found": True, "queued": None, "completed": None, "running": None, "local": False,
                  "errored": False, "error_message": "", "size": None, "bytes_uploaded": None}
        path = self.load_file_local(uri)
        if path is not None:
            return {**result, "local": True, "size": os.path.getsize(path)}
        info = self.load_file_info(uri)
        if info is not None:
            return {**result, "completed": True, "size": info["size"]}
        status, _, body = harness.http("POST", self.resource, {
            "type": "requestFromClient", "resourceName": self.resource.split("/")[-1], "zone": self.zone,
            "request": {"type": "fileUpload", "uri": uri.split("?")[0], "timeoutMsec": timeout_sec * 1000},
            "timeoutMsec": timeout_sec * 1000 + 5000})
        assert status == 200, body
        answer = json.loads(body)
        assert answer["type"] == "responseToClient" and not answer.get("error", ""), answer
        assert answer["response"]["type"] == "fileUpload"
        got = answer["response"]["status"]
        return {**result, "found": got["status"] in ("queued", "running", "completed"),
                **{name: got["status"] == name for name in ("queued", "completed", "running")},
                "errored": got["status"] == "error", "error_message": got.get("error", ""),
                "size": got.get("size"), "bytes_uploaded": got.get("bytesUploaded")}
