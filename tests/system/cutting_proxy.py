"""A TCP proxy in a thread that cuts its connections after so many bytes one way, whatever is in them."""
import asyncio
import contextlib
import socket
import struct

from loop_thread import LoopThread


class Cut:
    """What happens to one connection: it is reset (or goes silent) after `up` bytes of the client's or `down` bytes of
    the server's; `then` is called first."""

    def __init__(self, up=None, down=None, then=None):
        self.left = {"up": up, "down": down}
        self.then = then


class CuttingProxy:
    def __init__(self, port):
        self.target, self.cuts, self.passed = port, [], []  # of each connection: bytes passed {"up", "down"}
        self.thread = LoopThread()
        self.server = self.thread.call(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def stop(self):
        self.thread.loop.call_soon_threadsafe(self.server.close)
        self.thread.end()

    async def _connection(self, reader, writer):
        cut = self.cuts.pop(0) if self.cuts else Cut()
        passed = {"up": 0, "down": 0}
        self.passed.append(passed)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        with contextlib.suppress(OSError):
            await asyncio.gather(self._pass(reader, far_writer, cut, passed, "up"),
                                 self._pass(far_reader, writer, cut, passed, "down"))
        for end in (writer, far_writer):
            with contextlib.suppress(OSError):
                if cut.left["up"] == 0 or cut.left["down"] == 0:
                    end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.transport.abort()
                else:
                    end.close()

    async def _pass(self, reader, writer, cut, passed, way):
        while True:
            left = cut.left[way]
            if left == 0:
                await asyncio.sleep(0.02)  # what was passed on arrives before the reset
                if cut.then:
                    cut.then()
                raise ConnectionResetError
            data = await reader.read(65536 if left is None else min(left, 65536))
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof() if writer.can_write_eof() else writer.close()
                return
            if left is not None:
                cut.left[way] -= len(data)
            passed[way] += len(data)
            writer.write(data)
            await writer.drain()
