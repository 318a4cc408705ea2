"""The deployed programs as processes and, for the remote client, as functions. Strict where those are
strict, faulty where those are faulty (the heads of proxy.js and daemon.js name both). None of the program under test is here."""
import json
import pathlib
import shutil

import harness
import pytest

FOLDER = pathlib.Path(__file__).parent
NODE_MODULES = FOLDER.parents[1] / "node" / "node_modules"

needs_node = pytest.mark.skipif(not shutil.which("node") or not (NODE_MODULES / "ws").is_dir(),
                                reason="no node with ws here (ci/node.sh)")


class NodeProcess(harness.Process):
    def __init__(self, script, *arguments, **env):
        super().__init__(FOLDER / script, *arguments, program=["node"],
                         env=harness.clean_environment(NODE_PATH=NODE_MODULES, **env))

    def problems(self):
        """What it was sent and should not have been; and that it still lives."""
        dead = [] if self.process.poll() is None else [f"ended: {self.text()}"]
        return [line for line in self.lines["out"] if line.startswith("problem")] + dead


class Proxy(NodeProcess):
    def __init__(self, generation, *more, port=0):
        super().__init__("proxy.js", generation, *more, PROXY_SECRET=harness.SECRET, PORT=port)
        self.generation = generation
        self.port = int(self.wait_line("listening").split()[-1])
        self.url = f"http://127.0.0.1:{self.port}"


class Daemon(NodeProcess):
    def __init__(self, generation, proxy_url, gateway_url, files, name, zone="default", wait=True, **more):
        super().__init__("daemon.js", json.dumps({
            "generation": generation, "resourceName": name, "zone": zone, "proxyUrl": proxy_url, "gatewayUrl": gateway_url,
            "proxySecret": harness.SECRET, "files": {digest: str(path) for digest, path in files.items()},
            "retryMsec": 50, **more}))
        if wait:
            self.wait_line("acknowledged")

    def asked(self, count):
        """The count-th request that reached it."""
        return json.loads(self.wait_line("asked ", count)[6:])


def request_of_client(generation, name, uri, timeout_ms, zone="default", **more):
    """What the Python client of that generation sends."""
    body = {"type": "requestFromClient", "resourceName": name, "timeoutMsec": timeout_ms,
            "request": {"type": "fileUpload", "uri": uri}, **more}
    if generation == 2:
        body["zone"] = zone
        body["request"]["timeoutMsec"] = timeout_ms
        body["timeoutMsec"] = timeout_ms + 5000
    return body


def post_of_client(generation, proxy_url, name, *args, **kw):
    """(status, JSON or bytes) of what the Python client of that generation posts."""
    url = proxy_url + (f"/r/{name}" if generation == 2 else "/api")
    status, headers, body = harness.http("POST", url, request_of_client(generation, name, *args, **kw))
    return status, json.loads(body) if "json" in headers.get("Content-Type", "") else body


def request_file(generation, proxy_url, name, uri, timeout_ms=20000.0, **kw):
    """The status that the Python client gets: it insists on the envelope."""
    status, body = post_of_client(generation, proxy_url, name, uri, timeout_ms, **kw)
    assert status == 200, (status, body)
    assert set(body) - {"error"} == {"type", "requestId", "response"} and body["type"] == "responseToClient", body
    assert not body.get("error"), body
    assert body["response"]["type"] == "fileUpload"
    return body["response"]["status"]
