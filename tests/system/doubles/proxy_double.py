"""A resource proxy of either generation in a thread, on aiohttp, and able to misbehave. Nothing of the program under test is
in it. Strict as the deployed one: it hangs up on a message that is not of its generation, and the test fails for it."""
import asyncio
import json
import time

import aiohttp
import harness
from aiohttp import web
from loop_thread import LoopThread

WAIT_MS = int(1000 * harness.DEADLINE_S)  # that long a request may take

STATUS_FIELDS = {"status", "size", "bytesUploaded", "timestampRequested", "timestampStarted", "timestampCompleted",
                 "error"}
STATES = {"not-found", "queued", "running", "completed", "error"}


class ProxyDouble(LoopThread):
    """`problems` must be empty in the end. Requests are made with `ask`, which gives an Answer to wait for."""

    def __init__(self, name="lab-resource", zone="default", secret=harness.SECRET, generation=2):
        super().__init__()
        self.name, self.zone, self.secret, self.generation = name, zone, secret, generation
        self.port = harness.free_port()
        self.problems, self.answers, self.greetings = [], [], []  # of the last: the generations that they spoke
        self.refuse = None        # (code, reason) instead of an acknowledge; (None, "") closes without a code
        self.handshakes = []      # when each was asked for
        self.handshake_answer = None  # (status, headers) instead of a WebSocket
        self.is_mute = False      # accepts and never acknowledges
        self.knows_us = True      # what it says over HTTP, whatever is connected
        self.post_answer = None   # (status, text) to whatever is posted
        self.api_answer = None    # the same, to the first generation's address alone
        self.posted = []          # over HTTP: (path, body)
        self.socket, self.waiting, self.last_id = None, {}, 0
        self.runner = None
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        async def listen():
            app = web.Application()
            app.router.add_post("/r/{name}", self._post)
            app.router.add_post("/api", self._post)
            app.router.add_get("/{path:.*}", self._serve)
            self.runner = web.AppRunner(app, handle_signals=False)
            await self.runner.setup()
            await web.TCPSite(self.runner, "127.0.0.1", self.port, shutdown_timeout=0.1, reuse_address=True).start()
        self.call(listen())

    def stop(self):
        """Hangs up on everybody, as a proxy that is killed."""
        async def close():
            if self.socket:
                self.socket.peer.abort()
            await self.runner.cleanup()
            self.socket, self.runner = None, None
        if self.runner:
            self.call(close())

    def end(self):
        self.stop()
        super().end()

    # ---- the daemon's connection ----

    async def _serve(self, request):
        socket = web.WebSocketResponse(compress=False, timeout=1)
        if not socket.can_prepare(request):
            return web.Response(status=404, text="<html>no such page</html>", content_type="text/html")
        self.handshakes.append(time.monotonic())
        if self.handshake_answer:
            status, headers = self.handshake_answer
            return web.Response(status=status, headers=headers, text="busy")
        await socket.prepare(request)
        socket.peer = request.transport
        await self._greet(socket)
        if self.socket is socket:
            self.socket = None
        return socket

    async def _greet(self, socket):
        message = json.loads((await socket.receive()).data)
        want = {"type": "initialize", "resourceName": self.name, "zone": self.zone, "proxySecret": self.secret}
        self.greetings.append(2 if "zone" in message else 1)
        if set(message) | {"zone"} != set(want):
            self.problems.append(f"initialize: {sorted(message)}")
        if self.generation == 1:
            del want["zone"]
        if self.refuse or message != want:
            code, reason = self.refuse or (None, "")
            await (socket.close(code=code, message=reason.encode()) if code else self._hang_up(socket))
            return
        if not self.is_mute:
            await socket.send_json({"type": "acknowledge"})
            self.socket = socket
        async for message in socket:
            if message.type != aiohttp.WSMsgType.TEXT or not self._take(message.data):
                await self._hang_up(socket)
                return

    @staticmethod
    async def _hang_up(socket):
        """A close frame without a code (aiohttp would send 1000)."""
        socket.peer.write(b"\x88\x00")
        await socket.receive()
        socket.peer.close()

    def _take(self, text):
        message = json.loads(text)
        if message == {"type": "ping"} and self.generation == 2:
            return True
        problem = self._problem_of(message)
        if problem:
            self.problems.append(f"{problem}: {text}")
            return False
        self.answers.append(message)
        future = self.waiting.pop(message["requestId"], None)
        if future is None:
            self.problems.append(f"an answer to nothing that is waiting: {text}")
        elif not future.done():
            future.set_result(message)
        return True

    @staticmethod
    def _problem_of(message):
        if message.get("type") != "responseToClient" or set(message) - {"type", "requestId", "response", "error"}:
            return "unknown message"
        response = message.get("response")
        if "error" in message:
            return None if response == {} and message["error"] else "error with a response"
        if set(response) != {"type", "status"} or response["type"] != "fileUpload":
            return "fields of the response"
        status = response["status"]
        if set(status) - STATUS_FIELDS or status.get("status") not in STATES:
            return "fields of the status"
        numbers = [v for k, v in status.items() if k not in ("status", "error")]
        if not all(isinstance(v, int) and v >= 0 for v in numbers):
            return "numbers of the status"
        return None if (status["status"] == "error") == bool(status.get("error")) else "error text"

    # ---- its HTTP side ----

    async def _post(self, request):
        body = await request.json()
        self.posted.append((request.path, body))
        fixed = self.post_answer or (request.path == "/api" and self.api_answer)
        if fixed:
            return web.Response(status=fixed[0], text=fixed[1])
        if request.path != ("/api" if self.generation == 1 else f"/r/{self.name}"):
            return web.Response(status=404, text="<html>Cannot POST</html>", content_type="text/html")
        want = self.message(body.get("request", {}).get("uri"))
        del want["requestId"]
        if set(body) != set(want) or set(body["request"]) != set(want["request"]):
            self.problems.append(f"posted: {body}")
            return web.json_response({"message": "invalid request"}, status=400)
        if not self.knows_us or self.socket is None:
            return web.json_response({"message": f"resource not found: {self.name}"}, status=404)
        self.last_id += 1
        body["requestId"] = f"http-{self.last_id}"
        future = self.waiting[body["requestId"]] = self.loop.create_future()
        await self.socket.send_json(body)
        return web.json_response(await future)

    # ---- for the tests ----

    def wait_connected(self, greetings=1):
        harness.until(lambda: self.socket is not None and len(self.greetings) >= greetings, "the daemon at the proxy")

    def send_text(self, text):
        self.call(self.socket.send_str(text))

    def message(self, uri, t_ms=WAIT_MS, **changes):
        self.last_id += 1
        message = {"type": "requestFromClient", "requestId": f"id-{self.last_id}", "resourceName": self.name,
                   "zone": self.zone, "timeoutMsec": t_ms + 5000,
                   "request": {"type": "fileUpload", "uri": uri, "timeoutMsec": t_ms}, **changes}
        if self.generation == 1:
            del message["zone"], message["request"]["timeoutMsec"]
            message["timeoutMsec"] = t_ms
        return message

    def post(self, *messages):
        """Sends them back to back; their answers."""
        async def send():
            futures = []
            for message in messages:
                futures.append(self.loop.create_future())
                self.waiting[message["requestId"]] = futures[-1]
                await self.socket.send_json(message)
            return futures
        return [Answer(self, future) for future in self.call(send())]

    def ask(self, uri, t_ms=WAIT_MS, **changes):
        return self.post(self.message(uri, t_ms, **changes))[0]

    def status(self, uri, t_ms=WAIT_MS):
        """Asks and waits: the status."""
        return self.ask(uri, t_ms).status()


class Answer:
    def __init__(self, proxy, future):
        self.proxy, self.future = proxy, future

    def is_there(self):
        return self.future.done()

    def message(self):
        async def wait():
            return await asyncio.wait_for(asyncio.shield(self.future), 2 * harness.DEADLINE_S)
        return self.proxy.call(wait(), 3 * harness.DEADLINE_S)

    def status(self):
        message = self.message()
        assert "error" not in message, message
        return message["response"]["status"]
