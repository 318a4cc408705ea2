"""ws_echo, as server and as client, against implementations that we did not write: Python's websockets, Node's ws."""
import asyncio
import json
import shutil
import subprocess

import pytest
import websockets

from harness import DEADLINE_S, ROOT, Process, clean_environment

WS_ECHO = str(ROOT / "build" / "tools" / "ws_echo")
NODE_FOLDER = ROOT / "tests" / "system" / "node"
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1 << 20, 16 << 20]
LIMIT = 32 << 20

needs_node = pytest.mark.skipif(not shutil.which("node") or not (NODE_FOLDER / "node_modules" / "ws").is_dir(),
                                reason="no node with ws here (ci/node.sh)")


def start_server(processes, *options):
    server = processes(Process("server", *options, "127.0.0.1:0", program=[WS_ECHO]))
    return server.wait_line("listening ws://").split("listening ", 1)[1]


def messages():
    for size in SIZES:
        yield b"\xff\x00x" * (size // 3) + b"y" * (size % 3)
        yield "\u00e4z" * (size // 3) + "y" * (size % 3)


def parts_of(message):
    step = max(1, len(message) // 5)
    return [message[i:i + step] for i in range(0, len(message), step)] or [message]


def within_deadline(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, DEADLINE_S))


async def converse(socket):
    """Every message whole and in fragments, with pings in between, comes back whole and in order."""
    for message in messages():
        await socket.send(message)
        assert await socket.recv() == message
        pong = await socket.ping(b"are you there?")
        await socket.send(parts_of(message))
        await pong
        assert await socket.recv() == message
    for i in range(100):
        await socket.send(str(i))
    assert [await socket.recv() for _ in range(100)] == [str(i) for i in range(100)]


def test_server_with_websockets(processes):
    url = start_server(processes)

    async def client():
        async with websockets.connect(url, max_size=LIMIT, compression="deflate") as socket:
            assert socket.extensions == []
            await converse(socket)
            await socket.close(3333, "enough")
            assert (socket.close_code, socket.close_reason) == (3333, "")
    within_deadline(client())
    within_deadline(client())


def test_server_echoes_a_sub_protocol(processes):
    url = start_server(processes)

    async def client():
        async with websockets.connect(url, subprotocols=["chat", "other"]) as socket:
            assert socket.subprotocol == "chat"
    within_deadline(client())


def test_server_limit(processes):
    url = start_server(processes, "--max", "1000")

    async def client():
        async with websockets.connect(url) as socket:
            await socket.send(b"x" * 1000)
            assert await socket.recv() == b"x" * 1000
            await socket.send(b"x" * 1001)
            with pytest.raises(websockets.ConnectionClosedError):
                await socket.recv()
            assert socket.close_code == 1009
    within_deadline(client())


def test_client_with_websockets(processes):
    async def serve():
        done = asyncio.get_running_loop().create_future()

        async def handle(socket):
            try:
                assert socket.path == "/runCase?case=1&agent=test"
                assert socket.extensions == []
                await converse(socket)
                await socket.close(4444, "enough")
                done.set_result((socket.close_code, socket.close_reason))
            except BaseException as error:
                done.set_exception(error)
                raise
        async with websockets.serve(handle, "127.0.0.1", 0, max_size=LIMIT) as server:
            port = server.sockets[0].getsockname()[1]
            client = processes(Process("client", f"ws://127.0.0.1:{port}/runCase?case=1&agent=test",
                                       program=[WS_ECHO]))
            assert await done == (4444, "")
            assert await asyncio.to_thread(client.wait) == 0
    within_deadline(serve())


def test_suite_runs_all_cases(processes):
    """What a fuzzing server of the Autobahn suite sees: the count, each case, the report."""
    async def serve():
        seen = []

        async def handle(socket):
            seen.append(socket.path)
            if socket.path == "/getCaseCount":
                await socket.send("3")
            elif socket.path.startswith("/runCase"):
                await socket.send("hello")
                assert await socket.recv() == "hello"
            await socket.close()
        async with websockets.serve(handle, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            client = processes(Process("suite", url, "kachery", program=[WS_ECHO]))
            assert await asyncio.to_thread(client.wait) == 0, client.text()
        assert seen == ["/getCaseCount"] + [f"/runCase?case={i}&agent=kachery" for i in (1, 2, 3)] + \
            ["/updateReports?agent=kachery"]
    within_deadline(serve())


@pytest.mark.parametrize("answer, words", [
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404 Not Found"),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", "Sec-WebSocket-Accept"),
    (b"SSH-2.0-OpenSSH_9\r\n", "not HTTP"),
])
def test_client_is_refused(answer, words):
    async def serve():
        async def handle(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            await reader.read()
            writer.close()
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        url = "ws://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
        done = await asyncio.to_thread(subprocess.run, [WS_ECHO, "client", url], capture_output=True, timeout=DEADLINE_S)
        server.close()
        assert done.returncode == 1 and words in done.stderr.decode()
    within_deadline(serve())


@pytest.mark.parametrize("request_head, status", [
    (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"426"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n"
     b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", b"426"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
     b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", b"400"),
    (b"GET / HTTP/1.1\nHost: h\n\n", b"400"),
])
def test_server_refuses(processes, request_head, status):
    url = start_server(processes)

    async def client():
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(request_head)
        assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
        writer.close()
    within_deadline(client())


@needs_node
def test_server_with_node(processes):
    done = subprocess.run(["node", NODE_FOLDER / "ws_echo.js", "client", start_server(processes)], cwd=NODE_FOLDER,
                          env=clean_environment(), capture_output=True, timeout=DEADLINE_S, check=False)
    assert done.stdout == b"ok\n", done.stderr.decode()


@needs_node
def test_client_with_node(processes):
    node = processes(Process(str(NODE_FOLDER / "ws_echo.js"), "server", program=["node"]))
    port = node.wait_line("listening").split()[-1]
    client = processes(Process("client", f"ws://127.0.0.1:{port}/", program=[WS_ECHO]))
    assert node.wait() == 0, node.text()
    assert node.lines["out"][-1] == "closed 4321 after 8 messages and 16 pongs"
    assert client.wait() == 0, client.text()


def test_package_is_pinned():
    wanted = json.loads((NODE_FOLDER / "package.json").read_text())["dependencies"]
    locked = json.loads((NODE_FOLDER / "package-lock.json").read_text())["packages"]
    assert all(locked[f"node_modules/{name}"]["version"] == version for name, version in wanted.items())
