"""A resource proxy of generation 2 in a thread, on Python's websockets: as strict as the deployed one (it hangs up on
any message that it does not know), and able to misbehave. Nothing of the program under test is in it."""
import asyncio
import json
import threading

import harness
import websockets

STATUS_FIELDS = {"status", "size", "bytesUploaded", "timestampRequested", "timestampStarted", "timestampCompleted",
                 "error"}
STATES = {"not-found", "queued", "running", "completed", "error"}


class ProxyDouble:
    """`problems` must be empty in the end. Requests are made with `ask`, which gives a future of the answer."""

    def __init__(self, name="lab-resource", zone="default", secret=harness.SECRET, port=None):
        self.name, self.zone, self.secret = name, zone, secret
        self.port = port or harness.free_port()
        self.problems, self.answers, self.greetings = [], [], 0
        self.refuse = None        # (code, reason) instead of an acknowledge; (None, "") closes without a code
        self.is_mute = False      # accepts and never acknowledges
        self.socket, self.waiting, self.last_id = None, {}, 0
        self.server = None
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(harness.DEADLINE_S)

    def start(self):
        async def listen():
            self.server = await websockets.serve(self._serve, "127.0.0.1", self.port, compression=None,
                                                 ping_interval=None, max_queue=None, close_timeout=1)
        self.call(listen())

    def stop(self):
        """Hangs up on everybody, as a proxy that is killed."""
        async def close():
            if self.socket:
                self.socket.transport.abort()
            self.server.close()
            await self.server.wait_closed()
            self.socket, self.server = None, None
        if self.server:
            self.call(close())

    def end(self):
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    # ---- one connection ----

    async def _serve(self, socket, path):
        try:
            await self._greet(socket)
        except websockets.ConnectionClosed:
            pass
        finally:
            if self.socket is socket:
                self.socket = None

    async def _greet(self, socket):
        message = json.loads(await socket.recv())
        self.greetings += 1
        want = {"type": "initialize", "resourceName": self.name, "zone": self.zone, "proxySecret": self.secret}
        if set(message) != set(want):
            self.problems.append(f"initialize: {sorted(message)}")
        if self.refuse or message != want:
            code, reason = self.refuse or (None, "")
            await (socket.close(code, reason) if code else self._hang_up(socket))
            return
        if self.is_mute:
            await socket.wait_closed()
            return
        await socket.send(json.dumps({"type": "acknowledge"}))
        self.socket = socket
        async for text in socket:
            if not self._take(text):
                await self._hang_up(socket)
                return

    @staticmethod
    async def _hang_up(socket):
        """A close frame without a code (websockets would send 1000)."""
        socket.transport.write(b"\x88\x00")
        await asyncio.wait([asyncio.create_task(socket.wait_closed())], timeout=1)
        socket.transport.abort()

    def _take(self, text):
        if not isinstance(text, str):
            self.problems.append("a binary message")
            return False
        message = json.loads(text)
        if message == {"type": "ping"}:
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

    # ---- for the tests ----

    def wait_connected(self, greetings=1):
        harness.until(lambda: self.socket is not None and self.greetings >= greetings, "the daemon at the proxy")

    def send_text(self, text):
        self.call(self.socket.send(text))

    def message(self, uri, t_ms=10000, **changes):
        self.last_id += 1
        return {"type": "requestFromClient", "requestId": f"id-{self.last_id}", "resourceName": self.name,
                "zone": self.zone, "timeoutMsec": t_ms + 5000,
                "request": {"type": "fileUpload", "uri": uri, "timeoutMsec": t_ms}, **changes}

    def post(self, *messages):
        """Sends them back to back; their answers' futures."""
        async def send():
            futures = []
            for message in messages:
                future = self.loop.create_future()
                self.waiting[message["requestId"]] = future
                futures.append(future)
                await self.socket.send(json.dumps(message))
            return futures
        return [Answer(self, future) for future in self.call(send())]

    def ask(self, uri, t_ms=10000, **changes):
        return self.post(self.message(uri, t_ms, **changes))[0]

    def status(self, uri, t_ms=10000):
        """Asks and waits: the status."""
        return self.ask(uri, t_ms).status()


class Answer:
    def __init__(self, proxy, future):
        self.proxy, self.future = proxy, future

    def is_there(self):
        return self.future.done()

    def message(self):
        async def wait():
            return await asyncio.wait_for(asyncio.shield(self.future), harness.DEADLINE_S)
        return self.proxy.call(wait())

    def status(self):
        message = self.message()
        assert "error" not in message, message
        return message["response"]["status"]
