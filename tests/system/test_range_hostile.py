"""Readers that are careless or hostile, below /f/ and /d/ of a hub (EXTENSIONS.md §3): each gets the right bytes, a plain
refusal or the end of its connection, and the next reader is served."""
import hashlib
import json
import re
import socket
import unicodedata

import harness
import pytest
from folder_sharing import Folder
from harness import sha1, until
from range_sharing import LEAF, noise

DATA = noise(3 * LEAF + 77)


class Wire:
    """A connection on which any bytes are sent, and whole answers are read."""

    def __init__(self, sharing):
        self.sock = socket.create_connection(("127.0.0.1", sharing.lab.hub.port), timeout=harness.DEADLINE_S)
        self.file = self.sock.makefile("rb")

    def send(self, text):
        self.sock.sendall(text.encode("latin-1"))

    def answer(self, has_body=True):
        """Status, headers (small letters) and body; None: it was closed instead."""
        line = self.file.readline()
        if not line:
            return None
        headers = {}
        while (text := self.file.readline().decode("latin-1").strip()):
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        status = int(line.split()[1])
        size = int(headers.get("content-length", 0)) if has_body and status != 304 else 0
        return status, headers, self.file.read(size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()


@pytest.fixture
def shared(settled):
    """A file of several blocks that only a host has; `shared.path` is its address."""
    settled.path = settled.put("big", DATA)
    assert settled.part(settled.path, 0, 9) == DATA[:9]
    return settled


def test_ranges_that_are_none_and_conditions_without_end(shared):
    """What is no range is passed over (RFC 9110 §14.2), as is a condition that cannot be met."""
    long = ", ".join(f'"{n:060}"' for n in range(200))
    cases = [("Range: bytes=5-2", 200), ("Range: bytes=x", 200), ("Range: pages=1-2", 200), ("Range:", 200),
             ("Range: bytes=" + ",".join(f"{n}-{n}" for n in range(0, 1600, 2)), 200), ("Range: bytes=0-0,-1", 200),
             ("Range: bytes=-0", 416), ("Range: bytes=99999999999999999999999999-", 416),
             ("Range: bytes=0-99999999999999999999999999", 206), ("Range: bytes=-99999999999999999999999999", 206),
             (f"Range: bytes=0-8\r\nIf-Range: {long}", 200), (f"Range: bytes=0-8\r\nIf-None-Match: {long}", 206),
             (f"If-Match: {long}", 412), ("If-None-Match: *", 304), ("Range: bytes=0-8\r\nIf-Range: *", 200),
             ("Range: bytes=0-8\r\nIf-Range: Sat, 28 Nov 2026 00:00:00 GMT", 200), ("If-Match: ,,,\"\",,", 412)]
    with Wire(shared) as wire:
        for fields, wanted in cases:
            wire.send(f"GET {shared.path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
            status, headers, body = wire.answer()
            assert status == wanted, (fields[:80], status)
            assert status not in (200, 206) or body == (DATA[:9] if status == 206 and "0-8" in fields else DATA), fields[:80]
    with Wire(shared) as wire:
        wire.send(f"GET {shared.path} HTTP/1.1\r\nHost: a\r\nIf-Range: {'x' * 20000}\r\nRange: bytes=0-8\r\n\r\n")
        assert wire.answer()[0] == 431
    assert shared.part(shared.path, 0, 9) == DATA[:9]


def test_many_requests_at_once_are_answered_in_their_order(shared):
    ranges = [(n * 7919 % (len(DATA) - 100), 1 + n % 99) for n in range(300)]
    with Wire(shared) as wire:
        wire.send("".join(f"{'HEAD' if n % 3 == 1 else 'GET'} {shared.path} HTTP/1.1\r\nHost: a\r\n"
                          f"Range: bytes={start}-{start + count - 1}\r\n\r\n" for n, (start, count) in enumerate(ranges)))
        for n, (start, count) in enumerate(ranges):
            status, headers, body = wire.answer(has_body=n % 3 != 1)
            assert (status, headers["content-length"]) == (206, str(count)), n
            assert headers["content-range"] == f"bytes {start}-{start + count - 1}/{len(DATA)}"
            assert body == (b"" if n % 3 == 1 else DATA[start:start + count])


def test_http_1_0_and_bodies_where_none_belongs(shared):
    with Wire(shared) as wire:
        wire.send(f"GET {shared.path} HTTP/1.0\r\nRange: bytes=10-19\r\n\r\n")
        assert wire.answer()[::2] == (206, DATA[10:20]) and wire.answer() is None
    with Wire(shared) as wire:  # what could be a request is the body of the one before it
        inner = f"GET {shared.path} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n"
        wire.send(f"GET {shared.path} HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9\r\nContent-Length: {len(inner)}\r\n\r\n{inner}"
                  f"GET {shared.path} HTTP/1.1\r\nHost: a\r\nRange: bytes=7-9\r\n\r\n")
        first, second = wire.answer(), wire.answer()
        assert first is None or first[0] in (400, 413) or first[2] == DATA[5:10]
        assert second is None or second[2] == DATA[7:10]
    for line, status in ((f"GET {shared.path} HTTP/1.1\r\n", 400), (f"GET {shared.path} HTTP/9.9\r\nHost: a\r\n", 505),
                         (f"DELETE {shared.path} HTTP/1.1\r\nHost: a\r\n", 405), (f"get {shared.path} HTTP/1.1\r\nHost: a\r\n", 405)):
        with Wire(shared) as wire:
            wire.send(line + "\r\n")
            assert wire.answer()[0] in (status, 400, 404, 501), line


def test_readers_that_leave_in_every_state(shared):
    """Before the head is whole, before the answer, in its middle; many of them."""
    request = f"GET {shared.path} HTTP/1.1\r\nHost: a\r\nRange: bytes=5-\r\n\r\n"
    for n in range(120):
        with Wire(shared) as wire:
            wire.send(request[:n % len(request)] if n % 3 == 0 else request)
            if n % 3 == 2:
                wire.sock.recv(1 + n * 500)
            if n % 2 == 0:
                wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert shared.ask(shared.path)[1] == DATA
    assert shared.daemon.process.poll() is None


def test_addresses_that_mean_something_else(shared):
    digest, name = shared.path[3:], "big"
    n8 = sha1(name.encode())[:8]
    there = [f"/f/{digest}.{n8}/b%69g", f"/f/{digest}?x=1", f"/f/{digest}.{n8}/{name}?manifest=0"]
    absent = [f"/f/../f/{digest}/", f"/f/{digest}%00", f"/f/%2e%2e/{digest}", f"/f/{digest}/../{digest}", f"/f//{digest}",
              f"/f/{digest}.{n8}/../{name}", f"/f/{digest}.{n8}/{name}%00", f"/f/{digest}.{n8}/{name}%", f"/f/{digest}.{n8}/%zz",
              f"/f/{digest}.{n8}/%c0%ae", f"/f/{digest[:39]}", f"/f/{digest}0", f"/f/{digest.upper()}", f"/f/~{digest}/{name}",
              f"/f/~/{name}", f"/f/%7E%7E/{name}", f"/f/~{'a' * 6000}/{name}", f"/f/{digest}.{n8}/{'x' * 6000}", "/f/" + "%41" * 40]
    for path in there:
        assert shared.ask(path, Range="bytes=1-3")[1] == DATA[1:4], path
    bodies = {(answer.status, body): path[:80] for path in absent for answer, body in [shared.ask(path)]}
    assert set(bodies) == {(404, b'{"message":"File not found"}')}, bodies
    answer, body = shared.ask(f"{shared.path}?manifest&x=1", "HEAD")  # with exactly this query
    assert answer.headers["Content-Length"] == str(len(DATA)) and "manifest" not in answer.headers["ETag"]


def test_every_answer_below_f_is_harmless_to_pages(shared):
    """Whatever its status, a browser makes no page of it that may do anything."""
    asked = [(shared.path, {}), (shared.path, {"Range": "bytes=0-0"}), (shared.path, {"Range": f"bytes={len(DATA)}-"}),
             (shared.path, {"If-None-Match": "*"}), (shared.path, {"If-Match": '"x"'}), (f"/f/{'0' * 40}", {}),
             (f"{shared.path}?manifest", {}), (f"/d/{shared.path[3:]}/", {}), ("/f/x", {})]
    for path, headers in asked:
        answer, _ = shared.ask(path, **headers)
        kept = {name: answer.headers[name] for name in ("X-Content-Type-Options", "Referrer-Policy", "X-Robots-Tag",
                                                        "X-Accel-Buffering", "Access-Control-Allow-Origin")}
        assert kept == {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex",
                        "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*"}, (path, headers, answer.status)
        assert answer.headers["Content-Security-Policy"].startswith("sandbox"), (path, headers)
        assert "Content-Encoding" not in answer.headers and "Set-Cookie" not in answer.headers
        for name in ("Content-Range", "Accept-Ranges", "Content-Length", "ETag"):
            assert name in answer.headers["Access-Control-Expose-Headers"], (path, name)


def test_names_in_the_heads_of_answers(settled):
    """A name of whatever characters ends no header, and an active type is never shown in place."""
    data = noise(99)
    path = settled.put("page", data)
    for name in ("a\r\nX-Evil: 1.html", 'q"uo\\te.svg', "ü\u2028.xml", "\u202egpj.pdf", "x.XHTML", "%0d%0a.htm"):
        encoded = "".join(f"%{byte:02X}" for byte in name.encode())
        answer, body = settled.ask(f"{path}.{sha1(name.encode())[:8]}/{encoded}")
        assert (answer.status, body, answer.headers["X-Evil"]) == (200, data, None)
        said = answer.headers["Content-Disposition"]
        assert said.startswith("attachment; filename*=UTF-8''") and re.fullmatch(r"[\x21-\x7e ]+", said), said


# ---- folders ----

def test_names_are_bytes_and_not_characters(lab):
    """Two spellings of one word are two names; a name that looks like an escape is one."""
    composed, apart = unicodedata.normalize("NFC", "é.txt"), unicodedata.normalize("NFD", "é.txt")
    files = {composed: b"one", apart: b"two", "a%2Fb": b"three", "a/b": b"four", "..hidden": b"five", "a+b c": b"six", "~x": b"seven"}
    folder = Folder(lab, files).link()
    escaped = {name: "".join(f"%{byte:02x}" if chr(byte) != "/" else "/" for byte in name.encode()) for name in files}
    for name, data in files.items():
        answer, body = folder.ask(f"{folder.path}/{escaped[name]}")
        assert (answer.status, body) == (200, data), name
    assert folder.ask(f"{folder.path}/a%2fb")[1] == b"four"  # as every server that decodes before it looks
    for path in ("/..%2fa/b", "/a/../a/b", "/a/./b", "/%2e%2e/", "/..", "/.", "/./", "/%c3%28", "/é.TXT".replace("é", "%c3%89")):
        assert folder.ask(folder.path + path)[0].status == 404, path


def share_index(folder, text):
    """An index that is not ours, shared like any file; its address."""
    path = folder.lab.folder / f"index-{sha1(text)[:8]}"
    path.write_bytes(text)
    folder.lab.link(path)
    return f"/d/{sha1(text)}"


def test_an_index_of_a_stranger_leads_nowhere_else(lab):
    """Paths that leave the folder, twice the same name, a file that is a folder, another hash, keys beside: no index."""
    folder = Folder(lab, {"a": b"x"}).link()
    good = {"sha1": sha1(b"x"), "size": 1}

    def index(files, **more):
        return json.dumps({"kachery-folder": 1, "files": files, **more}).encode()
    bad = [index({path: good}) for path in ("../a", "/a", "a/../b", "a//b", "a/", "", ".", "a/.", "b\0", "x" * 4097)]
    bad += [index({"a": good, "a/b": good}), index({"a": {"sha1": "../../../../etc/passwd", "size": 1}}),
            index({"a": {"sha1": sha1(b"x").upper(), "size": 1}}), index({"a": {"sha1": sha1(b"x"), "size": -1}}),
            index({"a": {"sha1": sha1(b"x")}}), index({"a": {**good, "url": "http://x.example/"}}), index({"a": good}, more=1),
            b'{"kachery-folder":1,"files":{"a":%b,"a":%b}}' % ((json.dumps(good).encode(),) * 2), b"[" * 100000,
            index({"a": good})[:-1], b'{"kachery-folder":2,"files":{}}']
    for text in bad:
        address = share_index(folder, text)
        for path in ("/a", "/", "/../a", ""):
            assert folder.ask(address + path)[0].status == 404, (text[:80], path)
    assert folder.ask(share_index(folder, index({"a": good})) + "/a")[1] == b"x"


def test_an_index_with_a_wrong_size_is_only_a_guess(lab):
    """The file is what its hash says."""
    folder = Folder(lab, {"a": DATA}).link()
    text = json.dumps({"kachery-folder": 1, "files": {"a": {"sha1": hashlib.sha1(DATA).hexdigest(), "size": 5}}}).encode()
    answer, body = folder.ask(share_index(folder, text) + "/a")
    assert (answer.headers["Content-Length"], body) == (str(len(DATA)), DATA)


# ---- readers who may not read ----

def seen(answer):
    return answer[0].status, sorted((n, v) for n, v in answer[0].headers.items() if n.lower() != "date"), answer[1]


def test_readers_who_may_not_read_learn_nothing(lab):
    """By no method, header or path: what is said of a file that is there is what is said of one that is not."""
    folder = Folder(lab, {"a": b"x", "big": DATA}).link()
    stored = lab.folder / "stored"
    stored.write_bytes(DATA + b"stored")
    harness.run("store", stored, env=lab.remote, check=0)
    there = {"host": f"/f/{sha1(DATA)}", "bucket": f"/f/{sha1(DATA + b'stored')}", "index": f"/f/{folder.hash}"}
    for path in there.values():
        assert folder.ask(path)[0].status == 200  # it is in memory, and in every cache
    assert folder.ask(folder.path + "/a")[1] == b"x"
    tag = folder.ask(there["host"], "HEAD")[0].headers["ETag"]
    (lab.data / "settings/authorizationSettings.yaml").write_text(
        "allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers: []\n")
    until(lambda: folder.ask(there["host"])[0].status == 404, "the zone is private")
    no = "7" * 40
    members = [{}, {"Range": "bytes=0-0"}, {"Range": "bytes=999999999-"}, {"Range": "bytes=-0"}, {"If-None-Match": "*"},
               {"If-None-Match": tag}, {"If-Match": '"x"'}, {"If-Match": tag}, {"If-Range": tag, "Range": "bytes=0-0"},
               {"Prefer": "wait=0"}, {"Accept": "application/json"}, {"Authorization": "Bearer x"}, {"Origin": "https://x.example"}]
    for headers in members:
        for method in ("GET", "HEAD"):
            absent = seen(folder.ask(f"/f/{no}", method, **headers))
            assert absent[0] == 404
            for path in (*there.values(), *(f"{p}?manifest" for p in there.values()), f"{there['host']}.{sha1(b'big')[:8]}/big",
                         f"{there['host']}.00000000/big", folder.path + "/a", folder.path + "/none", folder.path + "/", folder.path,
                         f"/d/{no}/a", f"/d/{no}"):
                assert seen(folder.ask(path, method, **headers)) == absent, (method, path, headers)
    assert seen(folder.ask(there["host"], "OPTIONS", Origin="https://x.example")) == \
        seen(folder.ask(f"/f/{no}", "OPTIONS", Origin="https://x.example"))
