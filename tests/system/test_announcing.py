"""What our gateway announces (EXTENSIONS.md §1): on every answer, to pages too; a proxy alone announces nothing."""
import socket

import harness
from our_zone import now

NAME = "Kachery-Extensions"


def names(headers):
    return [name.strip() for value in headers.get_all(NAME, []) for name in value.split(",")]


def raw(port, text):
    """The head of the answer to bytes that no HTTP client would send."""
    with socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE_S) as s:
        s.sendall(text)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = s.recv(65536)
            assert more, answer
            answer += more
    return answer.split(b"\r\n\r\n")[0].decode()


def test_every_answer_of_a_gateway(our_zone):
    url, digest = our_zone.server.url, our_zone.upload()
    info = {"payload": {"type": "getZoneInfo", "zoneName": "default", "timestamp": now()}}
    signed = our_zone.client.find(digest)
    asked = [(200, "POST", "/api/gateway", info), (400, "POST", "/api/gateway", {}),
             (500, "POST", "/api/gateway", {"payload": {**info["payload"], "timestamp": 0}}),
             (413, "POST", "/api/gateway", b"x" * 200_000), (204, "OPTIONS", "/api/gateway", None),
             (404, "GET", "/client/x", None), (404, "GET", "/nothing", None), (404, "POST", "/r/name", {}),
             (404, "GET", "/registerClient/x", None), (403, "GET", f"/bucket/sha1/00/00/00/{'0' * 40}", None),
             (200, "GET", signed[len(url):], None), (200, "HEAD", signed[len(url):], None)]
    for status, method, path, body in asked:
        got, headers, _ = harness.http(method, url + path, body)
        assert got == status and names(headers) == ["register"], (method, path, got, headers)
    head = raw(our_zone.server.port, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert head.startswith("HTTP/1.1 400") and f"\r\n{NAME}: register" in head
    put = our_zone.client.initiate(harness.sha1(b"x"), 1)
    assert names(harness.http("PUT", put, b"x")[1]) == ["register"]


def test_pages_may_read_it(our_zone):
    signed = our_zone.client.find(our_zone.upload())
    for method, url in (("POST", our_zone.server.url + "/api/gateway"), ("GET", signed)):
        headers = harness.http(method, url, b"{}" if method == "POST" else None)[1]
        assert NAME in [name.strip() for name in headers["Access-Control-Expose-Headers"].split(",")]


def test_a_hub_announces_and_a_proxy_does_not(tmp_path, processes):
    env = harness.clean_environment(PROXY_SECRET=harness.SECRET)
    hub = processes(harness.Server("hub", "--data", tmp_path / "data", env=env))
    proxy = processes(harness.Server("proxy", env=env))
    for path in ("/probe", "/nothing"):
        assert names(harness.http("GET", hub.url + path)[1]) == ["register", "ranges", "links", "manifests", "passes"]
        assert names(harness.http("GET", proxy.url + path)[1]) == []
