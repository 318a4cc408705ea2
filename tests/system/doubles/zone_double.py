"""A zone gateway with its bucket and a resource proxy, in a thread: written from PROTOCOL.md, and able to answer anything.
Nothing of the program under test is in it. Strict about each request: the fields of a call are those of its type and no
others, its timestamp is an integer, its signature is right; a download has the query that was signed; a registration
link is POSTed only where that was announced. The rest is a problem, and the test fails for it."""
import asyncio
import hashlib
import json
import pathlib
import time

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from harness import object_path
from loop_thread import LoopThread

FIELDS = {
    "findFile": {"hashAlg", "hash", "zone"},
    "initiateFileUpload": {"size", "hashAlg", "hash", "zone"},
    "finalizeFileUpload": {"objectKey", "hashAlg", "hash", "size", "zone"},
    "getClientInfo": {"clientId", "zone"},
    "getResourceInfo": {"resourceName", "zone"},
}


def object_key(digest):
    return f"sha1/{digest[0:2]}/{digest[2:4]}/{digest[4:6]}/{digest}"


def signature_is_right(client_id, payload, signature):
    text = json.dumps(payload, separators=(",", ":"), sort_keys=True)
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(client_id)).verify(
            bytes.fromhex(signature), hashlib.sha1(text.encode()).digest())
        return True
    except (InvalidSignature, ValueError):
        return False


class ZoneDouble:
    """`problems` must be empty in the end: whatever we were sent and should not have been."""

    def __init__(self):
        self.problems, self.payloads, self.proxied, self.puts, self.visits = [], [], [], [], []
        self.objects, self.clients, self.resources = {}, {}, {}
        self.paths = []           # of what was posted to the resource proxy
        self.answers = {}         # type: list of (status, text or JSON, headers) to give first
        self.states = []          # of the resource: one per request, the last one stays
        self.now = time.time      # of our clock
        self.download = None      # async (request, bytes) -> response
        self.on_put = None        # called after the first bytes of a PUT came
        self.holds_puts = False   # nothing more is read of a PUT, nor is it answered, while this is true
        self.put_answer = None    # (status, text) instead of storing
        self.put_delay_s = 0      # before that answer
        self.proxy_answer = None  # (status, text or JSON)
        self.generation = 2       # of the resource proxy
        self.is_silent_proxy = self.is_silent_gateway = False  # takes requests and never answers
        self.is_anonymous = False  # requests without signature are expected
        self.opens_registration = False  # announces that links may be POSTed, and registers by them
        self.refusal = None       # (status, text) of such a POST instead
        self.bucket_url = None    # another server's, for PUT and GET
        self.tickets = None       # an iterator: what it gives is added to each signed URL
        self.resource_uploads = {}  # hash: bytes that appear when a resource says completed
        self.thread = LoopThread()
        self.thread.call(self._open())

    # ---- the server's thread ----

    async def _open(self):
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/api/gateway", self._gateway)
        app.router.add_get("/registerClient/{client}", self._visit)
        app.router.add_post("/registerClient/{client}", self._register)
        app.router.add_put("/bucket/{key:.*}", self._put)
        app.router.add_get("/bucket/{key:.*}", self._get)
        app.router.add_post("/r/{name}", self._proxy)
        app.router.add_post("/api", self._proxy)
        self.runner = web.AppRunner(app, handle_signals=False)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, shutdown_timeout=0.1).start()
        self.url = "http://127.0.0.1:%d" % self.runner.addresses[0][1]

    def stop(self):
        self.thread.end(self.runner.cleanup())

    def expect(self, claim, what):
        if not claim:
            self.problems.append(what)

    def date(self):
        more = {"Kachery-Extensions": "something, register"} if self.opens_registration or self.refusal else {}
        return {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.now())), **more}

    @staticmethod
    def respond(status, body, headers=None):
        if isinstance(body, (dict, list)):
            return web.json_response(body, status=status, headers=headers)
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=headers)
        return web.Response(status=status, text=body, headers=headers)

    # ---- gateway ----

    async def _gateway(self, request):
        self.expect(request.headers.get("Content-Type") == "application/json", "Content-Type")
        self.expect("Content-Length" in request.headers, "Content-Length of a call")
        body = json.loads(await request.read())
        payload = body.get("payload", {})
        kind = payload.get("type")
        self.payloads.append(payload)
        if self.is_silent_gateway:
            await asyncio.Event().wait()
        want = {"payload"} if self.is_anonymous else {"payload", "fromClientId", "signature"}
        self.expect(set(body) == want, f"fields of the body: {sorted(body)}")
        self.expect(set(payload) == FIELDS.get(kind, set()) | {"type", "timestamp"}, f"fields: {payload}")
        self.expect(isinstance(payload.get("timestamp"), int), "timestamp is an integer")
        if not self.is_anonymous:
            self.expect(signature_is_right(body["fromClientId"], payload, body["signature"]), f"signature of {payload}")
        if self.answers.get(kind):
            answer = self.answers[kind].pop(0)
            if answer == "cut":
                request.transport.abort()
                return web.Response()
            if answer == "silence":
                await asyncio.sleep(600)
            if answer != "pass":
                return self.respond(*answer)
        if abs(payload["timestamp"] - 1000 * self.now()) > 125000:
            return self.respond(500, "Error: Invalid timestamp", self.date())
        return self.respond(*getattr(self, "_" + kind)(payload), self.date())

    def signed(self, key, verb):
        ticket = f"&ticket={next(self.tickets)}" if self.tickets else ""
        return f"{self.bucket_url or self.url + '/bucket'}/{key}?X-Signature=secret-of-{verb}{ticket}"

    def _findFile(self, payload):
        digest = payload["hash"]
        if digest not in self.objects:
            return 200, {"type": "findFile", "found": False}
        key = object_key(digest)
        return 200, {"type": "findFile", "found": True, "size": len(self.objects[digest]),
                     "bucketUri": "r2://test?region=auto", "objectKey": key,
                     "url": self.signed(key, "get")}

    def _initiateFileUpload(self, payload):
        if payload["hash"] in self.objects:
            return 200, {"type": "initiateFileUpload", "alreadyExists": True}
        key = object_key(payload["hash"])
        return 200, {"type": "initiateFileUpload", "alreadyExists": False, "objectKey": key,
                     "signedUploadUrl": self.signed(key, "put")}

    def _finalizeFileUpload(self, payload):
        self.expect(payload["objectKey"] == object_key(payload["hash"]), "objectKey")
        if self.bucket_url:
            return 200, {"type": "finalizeFileUpload"}
        found = self.objects.get(payload["hash"])
        if found is None:
            return 500, "Error: Error getting metadata for object: null"
        if len(found) != payload["size"]:
            return 500, f"Error: Unexpected object size: {len(found)} <> {payload['size']}"
        return 200, {"type": "finalizeFileUpload"}

    def _getClientInfo(self, payload):
        client = self.clients.get(payload["clientId"])
        answer = {"type": "getClientInfo", "found": client is not None}
        return 200, {**answer, "client": client} if client else answer

    def _getResourceInfo(self, payload):
        url = self.resources.get(payload["resourceName"])
        answer = {"type": "getResourceInfo", "found": url is not None}
        return 200, {**answer, "resource": {"resourceName": payload["resourceName"], "ownerId": "o",
                                            "timestampCreated": 1, "proxyUrl": url}} if url else answer

    async def _visit(self, request):
        self.expect(False, "the link is for a browser: a GET of it does nothing")
        return web.Response(text="<html>a page</html>", content_type="text/html")

    async def _register(self, request):
        client = request.match_info["client"]
        self.visits.append(dict(request.query))
        self.expect(self.opens_registration or self.refusal, "a POST of the link, which was not announced")
        self.expect(request.headers.get("Kachery-Register") == "1", "Kachery-Register")
        self.expect(await request.read() == b"", "a body")
        self.expect(signature_is_right(client, {"type": "addClient"}, request.query["signature"]), "addClient")
        if self.refusal:
            return self.respond(*self.refusal)
        self.clients[client] = {"clientId": client, "ownerId": "local", "timestampCreated": 1,
                                "label": request.query["label"]}
        return web.Response(text="registered")

    # ---- bucket ----

    async def _put(self, request):
        put = {"key": request.match_info["key"], "query": request.query_string, "headers": dict(request.headers),
               "bytes": bytearray(), "complete": False}
        self.puts.append(put)
        if self.put_answer:
            await asyncio.sleep(self.put_delay_s)
            return self.respond(*self.put_answer)
        try:
            async for chunk in request.content.iter_any():
                first = not put["bytes"]
                put["bytes"] += chunk
                if first and self.on_put:
                    self.on_put()
                while self.holds_puts:
                    await asyncio.sleep(0.005)
        except Exception:  # the connection was dropped
            return web.Response(status=400)
        put["complete"] = len(put["bytes"]) == int(request.headers["Content-Length"])
        if put["complete"]:
            self.objects[put["key"].rpartition("/")[2]] = bytes(put["bytes"])
        return web.Response(status=200)

    async def _get(self, request):
        data = self.objects.get(request.match_info["key"].rpartition("/")[2])
        self.expect(request.query_string == "X-Signature=secret-of-get", "the signed query of a GET")
        if self.download:
            return await self.download(request, data)
        if data is None:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code><Message>The specified key does not "
                                "exist.</Message></Error>", content_type="application/xml")
        return web.Response(body=data)

    # ---- resource proxy ----

    async def _proxy(self, request):
        self.expect(request.headers.get("Content-Type") == "application/json", "Content-Type of a request")
        body = json.loads(await request.read())
        self.paths.append(request.path)
        if (request.path == "/api") != (self.generation == 1):
            return self.respond(404, f"<html>Cannot POST {request.path}</html>")
        self.proxied.append(body)
        second = self.generation == 2
        self.expect(set(body) == {"type", "resourceName", "request", "timeoutMsec"} | ({"zone"} if second else set()),
                    f"request: {body}")
        self.expect(set(body["request"]) == {"type", "uri"} | ({"timeoutMsec"} if second else set()), f"request: {body}")
        self.expect(body["type"] == "requestFromClient" and body["request"]["type"] == "fileUpload", "types")
        if second:
            self.expect(body["timeoutMsec"] == body["request"]["timeoutMsec"] + 5000, "T = t + 5000")
            self.expect(body["resourceName"] == request.match_info["name"], "resourceName")
        if self.is_silent_proxy:
            await asyncio.Event().wait()
        if self.proxy_answer:
            return self.respond(*self.proxy_answer)
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, tuple):  # an answer of the proxy's own
            return self.respond(*state)
        if state["status"] == "completed":
            self.objects.update(self.resource_uploads)
        return self.respond(200, {"type": "responseToClient", "requestId": "i",
                                  "response": {"type": "fileUpload", "status": state}})


DATA = bytes(range(256)) * 3000  # 768,000 bytes
ABSENT = "0" * 40


def folder_of(env):
    return pathlib.Path(env["KACHERY_CLOUD_DIR"])


def files_below(folder):
    return sorted(p for p in pathlib.Path(folder).rglob("*") if p.is_file() and p.suffix not in (".pem", ".paths"))


def with_manifest(folder, *kinds):
    """What files_below finds once DATA is in a store, in these places."""
    digest = hashlib.sha1(DATA).hexdigest()
    return sorted(object_path(folder, digest, kind) for kind in (*kinds, "manifests/sha1"))


def written(folder, name, data):
    path = pathlib.Path(folder) / name
    path.write_bytes(data)
    return path


def text(raw):
    return raw.decode()


def flip(path, at):
    """Changes one bit of the byte there."""
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))
