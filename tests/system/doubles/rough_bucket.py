"""A bucket that breaks in the way that a test says: plain sockets in a thread, one act for each request. Nothing of the
program under test is in it. An object is there when all of its bytes came, as in S3. Strict about whole bodies: one that is cut
is no object and ends its connection, as with nginx; an act that fails, fails the test at its end."""
import asyncio
import contextlib
import email.utils
import hashlib
import re
import socket
import struct

from loop_thread import LoopThread


def s3_error(code, message="why"):
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'


class Request:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ")
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        self.length = int(self.headers.get("content-length", 0))
        self.received = bytearray()

    @property
    def key(self):
        return self.target.partition("?")[0].lstrip("/")


class Line:
    """One request being answered, with what an act may do to it."""

    def __init__(self, bucket, request, reader, writer):
        self.bucket, self.request, self.reader, self.writer = bucket, request, reader, writer
        self.is_over = False

    async def go_on(self):
        if "expect" in self.request.headers:
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self.writer.drain()

    async def take(self, up_to=None):
        """Reads the body, all of it or up to so many bytes."""
        want = self.request.length if up_to is None else min(up_to, self.request.length)
        while len(self.request.received) < want:
            data = await self.reader.read(min(262144, want - len(self.request.received)))
            if not data:
                raise ConnectionError("the client hung up")
            self.request.received += data

    async def say(self, status, body=b"", **headers):
        body = body.encode() if isinstance(body, str) else body
        fields = {"Content-Length": len(body), "Date": email.utils.formatdate(usegmt=True),
                  **{k.replace("_", "-"): v for k, v in headers.items()}}
        head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        self.writer.write(head.encode() + (b"" if self.request.method == "HEAD" else body))
        await self.writer.drain()

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    def reset(self):
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()
        self.is_over = True

    async def close(self):
        """In an orderly way, whatever of the answer is missing."""
        with contextlib.suppress(ConnectionError):
            self.writer.close()
            await self.writer.wait_closed()
        self.is_over = True

    async def silence(self):
        await self.bucket.released.wait()
        self.is_over = True

    async def store(self):
        await self.go_on()
        await self.take()
        self.bucket.objects[self.request.key] = bytes(self.request.received)
        await self.say(200, ETag=f'"{self.request.length}"')

    async def serve(self, data=None, etag=None, ranges=True, upto=None, **more):
        """The object or the range that is asked for; of its bytes only so many, if `upto` says."""
        data = self.bucket.objects.get(self.request.key) if data is None else data
        if data is None:
            return await self.say(404, s3_error("NoSuchKey", "The specified key does not exist."))
        etag = etag or '"%s"' % hashlib.md5(data).hexdigest()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.request.headers.get("range", "")) if ranges else None
        if found and self.request.headers.get("if-range", etag) != etag:
            found = None
        start = int(found[1]) if found else 0
        if found and start >= len(data):
            return await self.say(416, s3_error("InvalidRange"), Content_Range=f"bytes */{len(data)}")
        if found:
            more.setdefault("Content_Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        fields = {"Content-Length": len(data) - start, "ETag": etag, **{k.replace("_", "-"): v for k, v in more.items()}}
        await self.send(f"HTTP/1.1 {206 if found else 200} OK\r\n".encode() +
                        "".join(f"{k}: {v}\r\n" for k, v in fields.items() if v is not None).encode() + b"\r\n")
        # Noted before: who has all of it goes on at once.
        self.bucket.sent.append(len(data) - start if upto is None else min(upto, len(data) - start))
        await self.send(data[start:] if upto is None else data[start:start + upto])


class RoughBucket:
    """`acts` are coroutines of a Line, one for each request in turn; the last goes on for ever if it is `always`."""

    def __init__(self, receive_buffer=None, tls=None):
        self.acts, self.always = [], None
        self.requests, self.objects, self.sent = [], {}, []
        self.failures = []
        self.receive_buffer, self.tls = receive_buffer, tls
        self.thread = LoopThread()
        self.thread.call(self._open())

    async def _open(self):
        self.released = asyncio.Event()
        listener = socket.socket()
        if self.receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        listener.bind(("127.0.0.1", 0))
        self.server = await asyncio.start_server(self._connection, sock=listener, limit=65536, ssl=self.tls)
        self.url = "%s://localhost:%d" % ("https" if self.tls else "http", listener.getsockname()[1])

    def release(self):
        """Ends all silence."""
        self.thread.loop.call_soon_threadsafe(self.released.set)

    def stop(self):
        self.release()
        self.thread.loop.call_soon_threadsafe(self.server.close)
        self.thread.end()

    async def _connection(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, OSError):
            while True:
                request = Request((await reader.readuntil(b"\r\n\r\n"))[:-4])
                self.requests.append(request)
                line = Line(self, request, reader, writer)
                act = self.acts.pop(0) if self.acts else self.always
                try:
                    await (act(line) if act else line.store() if request.method == "PUT" else line.serve())
                except (ConnectionError, asyncio.CancelledError):
                    raise
                except Exception as e:  # a mistake in a test
                    self.failures.append(repr(e))
                    raise ConnectionError from e
                # A request whose body was not read ends its connection, as with nginx.
                if line.is_over or len(request.received) < request.length:
                    break
        with contextlib.suppress(ConnectionError):
            writer.close()

    def of(self, method):
        return [r for r in self.requests if r.method == method]

    @property
    def puts(self):
        return self.of("PUT")

    @property
    def gets(self):
        return self.of("GET")
