"""What a proxy may put on the wire: fragments, binary messages, messages of other days, floods. The proxy is made of
Python's websockets and has no HTTP side."""
import asyncio
import json

import harness
import pytest
import websockets
from harness import Process, run, sha1
from loop_thread import LoopThread
from zone_double import ABSENT, DATA, written

NAME = "lab.res"
NOT_FOUND = {"type": "fileUpload", "status": {"status": "not-found"}}


class Again(Exception):
    """Raised by a script that wants the daemon's next connection."""


class WireProxy(LoopThread):
    """Runs one coroutine function per connection; its result or error is what `talk` gives."""

    def __init__(self, generation=2, headers=None):
        super().__init__()
        self.generation, self.headers = generation, headers
        self.script = None
        self.greetings, self.slams = [], 0  # the generations that it was greeted in; how many to slam the door on
        self.server = self.call(self._listen())
        self.port = self.server.sockets[0].getsockname()[1]

    async def _listen(self):
        # compression="deflate" offers and accepts permessage-deflate, as Node's ws does
        return await websockets.serve(self._serve, "127.0.0.1", 0, compression="deflate", max_size=None,
                                      extra_headers=lambda path, headers: self.headers if self.greetings else None)

    async def _serve(self, socket):
        script, done = self.script
        try:
            hello = json.loads(await socket.recv())
            self.greetings.append(2 if "zone" in hello else 1)
            if self.greetings[-1] != self.generation or len(self.greetings) <= self.slams:
                return  # closes with 1000, no reason
            done.set_result(await script(socket))
        except Again:
            return
        except BaseException as error:
            if not done.done():
                done.set_exception(error)

    def prepare(self, script):
        self.script = (script, self.loop.create_future())

    def talk(self):
        async def wait():
            return await asyncio.wait_for(self.script[1], harness.DEADLINE_S)
        return self.call(wait(), harness.DEADLINE_S + 5)

    def stop(self):
        async def close():
            self.server.close()
            await self.server.wait_closed()
        self.end(close())


@pytest.fixture
def converse(tmp_path, zone, user, processes):
    """`converse(script)`: starts the daemon on a linked file, gives what the script returns."""
    proxies = []

    def go(script, generation=2, intervals="retry_min_ms=10,retry_max_ms=20", headers=None, slams=0):
        proxy = WireProxy(generation, headers)
        proxies.append(proxy)
        proxy.prepare(script)
        proxy.slams = slams
        run("link", written(tmp_path, "file", DATA), env=user, check=0)
        config = tmp_path / "kachery-resource.yaml"
        config.write_text(f"resourceName: {NAME}\nproxyUrl: ws://127.0.0.1:{proxy.port}\nproxySecret: s\n")
        config.chmod(0o600)
        daemon = processes(Process("share", "--config", config, "-v",
                                   env={**user, "KACHERY_RESOURCE_TEST_INTERVALS": intervals}))
        return proxy.talk(), daemon, proxy
    yield go
    for proxy in proxies:
        proxy.stop()


def request(i, digest=ABSENT, generation=2):
    message = {"type": "requestFromClient", "requestId": f"id-{i}", "resourceName": NAME, "zone": "default",
               "timeoutMsec": 20000, "request": {"type": "fileUpload", "uri": f"sha1://{digest}", "timeoutMsec": 15000}}
    if generation == 1:
        del message["zone"], message["request"]["timeoutMsec"]
    return message


def cancel(i):
    return {"type": "cancelRequestFromClient", "requestId": f"id-{i}"}


def pieces(text, size):
    return [text[i:i + size] for i in range(0, len(text), size)]


async def acknowledge(socket):
    await socket.send('{"type":"acknowledge"}')


async def answers(socket, count):
    """By request id; each comes once."""
    got = {}
    while len(got) < count:
        message = json.loads(await socket.recv())
        assert message["requestId"] not in got and "error" not in message, message
        got[message["requestId"]] = message["response"]
    return got


def test_fragments_and_binary_messages(converse):
    async def script(socket):
        assert socket.extensions == []
        await socket.send(pieces('{"type":"acknowledge"}', 3))
        texts = [json.dumps(request(i)) for i in range(6)]
        await socket.send(pieces(texts[0], 1))
        await socket.send(texts[1].encode())
        await socket.send(pieces(texts[2].encode(), 7))
        await socket.send(["", texts[3], "", ""])

        async def fragmented_with_pings():
            for piece in pieces(texts[4], 20):
                await socket.ping()
                yield piece
        await socket.send(fragmented_with_pings())
        await socket.send(texts[5])
        return await answers(socket, 6)
    got, _, _ = converse(script)
    assert got == {f"id-{i}": NOT_FOUND for i in range(6)}


@pytest.mark.parametrize("generation", [1, 2])
def test_a_flood_of_cancels(converse, zone, generation):
    """Sent right after each request, before it, and ten thousand for nothing: none of them cancels anything."""
    async def script(socket):
        await acknowledge(socket)
        await socket.send(json.dumps(cancel(0)))
        await socket.send(json.dumps(request(0, sha1(DATA), generation)))
        for i in range(1, 101):
            await socket.send(json.dumps(request(i, f"{i:040x}", generation)))
            for j in range(100):
                await socket.send(json.dumps(cancel(j)))
        return await answers(socket, 101)
    got, _, _ = converse(script, generation)
    assert got.pop("id-0")["status"]["status"] == "completed"
    assert all(answer == NOT_FOUND for answer in got.values())
    assert zone.objects == {sha1(DATA): DATA}


def test_messages_that_it_does_not_know(converse):
    async def script(socket):
        await acknowledge(socket)
        for text in ('{"type":"what"}', "{", "[]", '"', '{"type":"acknowledge"}', '{"type":"ping"}', "\0", '{"type":1}',
                     '{"type":"requestFromClient"}', json.dumps({**request(7), "requestId": 7}), "[" * 100000,
                     json.dumps({"type": "initialize", "resourceName": NAME, "zone": "default", "proxySecret": "s"}),
                     json.dumps({"type": "responseToClient", "requestId": "x", "response": {}})):
            await socket.send(text)
        await socket.send(json.dumps(request(1)))
        return await answers(socket, 1)
    got, _, _ = converse(script)
    assert got == {"id-1": NOT_FOUND}


def test_messages_as_long_as_they_may_be(converse):
    """1 MiB is read, one byte more ends the line; the daemon dials again and goes on."""
    lines = []

    async def script(socket):
        await acknowledge(socket)
        lines.append(socket)
        if len(lines) == 1:
            text = json.dumps(request(1))
            await socket.send(text + " " * ((1 << 20) - len(text)))
            assert await answers(socket, 1) == {"id-1": NOT_FOUND}
            await socket.send(" " * ((1 << 20) + 1))
            await socket.wait_closed()
            assert socket.close_code == 1009
            raise Again
        await socket.send(json.dumps(request(2)))
        return await answers(socket, 1)
    got, _, _ = converse(script)
    assert got == {"id-2": NOT_FOUND}


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


def test_requests_as_deep_and_with_ids_as_long_as_they_may_be(converse):
    """32 levels are read, and then what is wrong is said; of 33, or of an id of 129 bytes, nothing can be answered."""
    async def script(socket):
        await acknowledge(socket)
        await socket.send(json.dumps({**request(1), "requestId": "i" * 129}))
        await socket.send(json.dumps({**request(2), "more": nested(32)}))
        await socket.send(json.dumps({**request(3), "requestId": "i" * 128}))
        assert await answers(socket, 1) == {"i" * 128: NOT_FOUND}
        await socket.send(json.dumps({**request(4), "more": nested(31)}))
        return json.loads(await socket.recv())
    got, daemon, _ = converse(script)
    assert got["requestId"] == "id-4" and got["response"] == {} and "more" in got["error"]
    daemon.wait_line("deep")


def test_a_request_with_one_field_more_is_answered_with_an_error(converse):
    async def script(socket):
        await acknowledge(socket)
        await socket.send(json.dumps({**request(1), "more": 1}))
        return json.loads(await socket.recv())
    got, _, _ = converse(script)
    assert got["requestId"] == "id-1" and got["response"] == {} and "more" in got["error"]


@pytest.mark.parametrize("text", ['{"type":"ping"}', "not JSON", json.dumps(request(1))])
def test_something_else_than_the_acknowledge(converse, text):
    """Nothing is answered before it."""
    async def script(socket):
        await socket.send(text)
        await acknowledge(socket)
        await socket.send(json.dumps(request(2)))
        return await answers(socket, 1)
    got, _, _ = converse(script)
    assert got == {"id-2": NOT_FOUND}


def test_a_flood_of_requests(converse):
    """Nearly as many at once as it takes (JOBS_MAX is 16384), while it uploads: each is answered once."""
    count = 16000

    async def script(socket):
        await acknowledge(socket)
        await socket.send(json.dumps(request(0, sha1(DATA))))
        reader = asyncio.create_task(answers(socket, count))
        for i in range(1, count):
            await socket.send(json.dumps(request(i, f"{i:040x}")))
        return await reader
    got, _, _ = converse(script)
    assert got.pop("id-0")["status"]["status"] == "completed"
    assert len(got) == count - 1 and all(answer == NOT_FOUND for answer in got.values())


def test_a_close_without_a_code_tries_the_other_generation(converse):
    async def script(socket):
        await acknowledge(socket)
        await socket.send(json.dumps(request(1, generation=1)))
        return await answers(socket, 1)
    got, daemon, _ = converse(script, generation=1)
    assert got == {"id-1": NOT_FOUND}
    daemon.wait_line("generation=1")


def test_a_proxy_that_knows_both_is_greeted_as_the_second(converse):
    """Also after it was restarted while it was being greeted, which looks like another generation. (Who slams the door
    first does not tell: something in front of it.)"""
    async def script(socket):
        await acknowledge(socket)
        await socket.send(json.dumps(request(1)))
        return await answers(socket, 1)
    got, daemon, proxy = converse(script, headers={"Kachery-Generations": "1, 2"}, slams=3)
    daemon.wait_line("trying again", count=2)  # each is a failure, with a longer pause
    assert got == {"id-1": NOT_FOUND} and proxy.greetings == [2, 2, 2, 2]
