"""A TCP proxy in a thread that cuts its connections after so many bytes one way, whatever is in them."""
import asyncio
import contextlib
import socket
import struct
import threading


class Cut:
    """What happens to one connection: it is reset (or goes silent) after `up` bytes of the client's or `down` bytes of
    the server's; `then` is called first."""

    def __init__(self, up=None, down=None, then=None):
        self.left = {"up": up, "down": down}
        self.then = then


class CuttingProxy:
    def __init__(self, port):
        self.target, self.cuts, self.passed = port, [], []  # of each connection: bytes passed {"up", "down"}
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        assert started.wait(10)

    def _run(self, started):
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

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
