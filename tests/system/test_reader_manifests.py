"""Readers prove the blocks of files that were never uploaded by the manifest, which the hub sends (EXTENSIONS.md §3)."""
import hashlib

from harness import run
from range_sharing import LEAF, noise
from store_files import manifest_of

MIB = 1 << 20


def test_the_manifest_of_a_file_comes_from_the_host(sharing):
    data = noise(5 * LEAF + 77)
    path, want = sharing.put("big", data), manifest_of(data)
    answer, body = sharing.ask(f"{path}?manifest")
    assert (answer.status, body) == (200, want)
    assert answer.headers["ETag"] == f'"{path[3:]}-{want[36:44].hex()}-manifest"'
    assert answer.headers["Kachery-Zone"] == "default" and answer.headers["Content-Type"] == "application/octet-stream"
    answer, body = sharing.ask(f"{path}?manifest", "HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, str(len(want)), b"")
    for start, end in ((0, 68), (8, 16), (60, 110), (67, 68), (100, 132), (68 + 32, len(want)), (len(want) - 1, len(want))):
        assert sharing.part(f"{path}?manifest", start, end) == want[start:end]
    assert sharing.ask(f"{path}?manifest", Range=f"bytes={len(want)}-")[0].status == 416
    sharing.bytes_left(0)


def test_pages_come_one_by_one(sharing):
    data = bytes(300 * MIB) + b"end"
    path, want = sharing.put("big", data), manifest_of(data)
    pages = 68 + 2 * 32
    assert sharing.part(f"{path}?manifest", 0, pages) == want[:pages]
    assert sharing.part(f"{path}?manifest", pages + 32768, len(want)) == want[pages + 32768:]
    assert sharing.part(f"{path}?manifest", pages + 32700, pages + 32800) == want[pages + 32700:pages + 32800]
    assert sharing.ask(f"{path}?manifest")[1] == want


def test_only_files_of_several_blocks_that_a_host_has_have_one(sharing):
    """404 with the words of a file that does not exist."""
    for name, data in (("empty", b""), ("one block", noise(LEAF))):
        path = sharing.put(name, data)
        answer, body = sharing.ask(f"{path}?manifest")
        assert (answer.status, body) == (404, b'{"message":"File not found"}')
    data = noise(2 * LEAF)
    path = sharing.put("big", data)
    run("request", f"sha1://{path[3:]}", "--wait", env=sharing.lab.remote, check=0)
    assert sharing.ask(f"{path}?manifest")[1] == manifest_of(data)
    for other in ("?manifest=1", "?manifest=", "?x=manifest", "?Manifest"):
        assert sharing.ask(path + other)[1] == data


def test_a_private_zone_shows_no_manifest(sharing):
    path = sharing.put("big", noise(2 * LEAF))
    (sharing.lab.data / "settings" / "authorizationSettings.yaml").write_text(
        "allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers: []\n")
    answers = [sharing.ask(f"/f/{digest}?manifest") for digest in (path[3:], hashlib.sha1(b"other").hexdigest())]
    assert [(answer.status, body) for answer, body in answers] == [(404, b'{"message":"File not found"}')] * 2
    sharing.bytes_left(0)
