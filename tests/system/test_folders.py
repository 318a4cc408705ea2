"""Folders (EXTENSIONS.md §3): the index that `link -r --index` makes of each directory, and what a hub serves below /d/."""
import json
import os
import re
import signal
import struct
import subprocess
import urllib.parse

import harness
import pytest
import range_clients
from folder_sharing import FILES, Folder, fill, index_text
from harness import object_path, run, sha1, until
from store_files import LEAF, manifest_path


def own_store(tmp_path):
    return {**harness.clean_environment(), "KACHERY_CLOUD_DIR": str(tmp_path / "store")}


def test_an_index_is_made_of_each_directory(tmp_path):
    env = own_store(tmp_path)
    fill(tmp_path / "tree one", FILES)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"alone")
    for verb in ("link", "store-local"):
        done = run(verb, "-r", "--index", "tree one/", "file", str(tmp_path / "empty"), env=env, cwd=tmp_path, check=0)
        out = done.stdout.decode().splitlines()
        text = index_text(FILES)
        none = b'{"kachery-folder":1,"files":{}}'
        assert len(out) == len(FILES) + 3
        assert out[-2:] == [f"sha1://{sha1(text)}?label=tree%20one/\t{tmp_path}/tree one",
                            f"sha1://{sha1(none)}?label=empty/\t{tmp_path}/empty"]
        assert object_path(tmp_path / "store", sha1(text)).read_bytes() == text
        told = json.loads(run(verb, "-r", "--index", "--json", "tree one", env=env, cwd=tmp_path, check=0).stdout)
        assert told[-1] == {"uri": f"sha1://{sha1(text)}?label=tree%20one/", "path": f"{tmp_path}/tree one",
                            "size": len(text), "error": None}
    assert run("unlink", f"sha1://{sha1(text)}", env=env, check=0)
    assert not object_path(tmp_path / "store", sha1(text)).exists()
    assert not list((tmp_path / "store").rglob("*.tmp*"))


def test_a_large_index_has_a_manifest(tmp_path):
    env = own_store(tmp_path)
    files = {f"d{i % 7}/{'long name ' * 8}{i}": b"%d" % i for i in range(2000)}
    fill(tmp_path / "many", files)
    text = index_text(files)
    assert len(text) > LEAF
    last = run("link", "-r", "--index", tmp_path / "many", env=env, check=0).stdout.decode().splitlines()[-1]
    assert last.startswith(f"sha1://{sha1(text)}?label=many/\t")
    assert manifest_path(tmp_path / "store", sha1(text)).exists()
    assert object_path(tmp_path / "store", sha1(text)).read_bytes() == text
    run("verify", env=env, check=0)
    run("unlink", f"sha1://{sha1(text)}", env=env, check=0)
    assert not manifest_path(tmp_path / "store", sha1(text)).exists()
    run("link", "-r", "--index", "--no-manifest", tmp_path / "many", env=env, check=0)
    assert not manifest_path(tmp_path / "store", sha1(text)).exists()


def test_what_is_left_out_is_not_in_the_index(tmp_path):
    env = own_store(tmp_path)
    fill(tmp_path / "tree", FILES)
    out = run("link", "-r", "--index", "--exclude", "a/", tmp_path / "tree", env=env, check=0).stdout.decode()
    files = {path: data for path, data in FILES.items() if not path.startswith("a/")}
    assert out.splitlines()[-1].startswith(f"sha1://{sha1(index_text(files))}?label=tree/\t")


def test_no_index_when_a_file_failed(tmp_path):
    env = own_store(tmp_path)
    fill(tmp_path / "good", FILES)
    fill(tmp_path / "bad", {"a": b"1"})
    os.mkfifo(tmp_path / "bad" / "pipe")
    done = run("link", "-r", "--index", "bad", "good", env=env, cwd=tmp_path, check=1)
    assert done.stdout.decode().splitlines()[-1].startswith(f"sha1://{sha1(index_text(FILES))}?label=good/\t")
    assert b"label=bad" not in done.stdout
    assert b"bad: no index of it is made: a file in it failed" in done.stderr
    told = json.loads(run("link", "-r", "--index", "--json", "bad", env=env, cwd=tmp_path, check=1).stdout)
    assert told[-1]["uri"] is None and told[-1]["path"] == f"{tmp_path}/bad" and "no index" in told[-1]["error"]


def test_no_index_with_a_path_that_is_not_utf8(tmp_path):
    env = own_store(tmp_path)
    fill(tmp_path / "tree", {"a": b"1"})
    with open(os.fsencode(tmp_path) + b"/tree/\xff", "wb") as file:
        file.write(b"2")
    done = run("link", "-r", "--index", "tree", env=env, cwd=tmp_path, check=1)
    assert len(done.stdout.splitlines()) == 2 and b"label" not in done.stdout
    assert b'no index of it is made: "\\xff": the path is not UTF-8' in done.stderr


def test_index_is_for_trees(tmp_path):
    done = run("link", "--index", tmp_path, env=own_store(tmp_path), check=2)
    assert b"-r" in done.stderr


# ---- /d/ ----


@pytest.fixture
def linked_folder(lab):
    """A folder whose files and index a host has linked."""
    return Folder(lab, FILES).link()


@pytest.fixture
def settled_folder(tmp_path):
    """The folder of a hub that expects no daemon to come back any more."""
    lab = harness.Lab(tmp_path)
    lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "range_start_ms=0"}
    yield Folder(lab, FILES).link()
    lab.stop()


def quoted(path):
    return urllib.parse.quote(path, safe="/")


def test_files_of_a_folder(linked_folder):
    connection = linked_folder.connect()
    for path, data in FILES.items():
        answer, body = linked_folder.ask(f"{linked_folder.path}/{quoted(path)}", connection=connection)
        assert (answer.status, body) == (200, data), path
        assert answer.headers["ETag"].startswith(f'"{sha1(data)}') and answer.headers["Accept-Ranges"] == "bytes"
        answer, body = linked_folder.ask(f"{linked_folder.path}/{quoted(path)}", "HEAD", connection=connection)
        assert (answer.status, answer.headers["Content-Length"], body) == (200, str(len(data)), b"")
    answer, body = linked_folder.ask(f"{linked_folder.path}/big", Range="bytes=299990-")
    assert (answer.status, body) == (206, FILES["big"][299990:])
    assert answer.headers["Content-Range"] == "bytes 299990-299999/300000"
    assert not any((linked_folder.lab.data / "sha1").rglob("*"))


def test_names_that_the_folder_lacks(linked_folder):
    for path in ("/a-c", "/b", "/a/", "/../a-b", "/a-b/", "/a/0.0/", "//a-b", "/a//0.0", "/.zgroup", "/%2e%2e/x", "/a%00b",
                 "/%zz", "/big.aux.xml", "/" + "x" * 5000, "x", "/a/0.0/x"):
        answer, body = linked_folder.ask(f"{linked_folder.path}{path}")
        assert answer.status == (200 if path == "/a/" else 404), path
        assert path == "/a/" or body == b'{"message":"File not found"}'
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for path in ("/d/", "/d/xyz/a", f"/d/{linked_folder.hash.upper()}/a-b", f"/d/{sha1(FILES['a/0.0'])}/a-b", f"/d/{sha1(FILES['big'])}/"):
        assert linked_folder.ask(path)[0].status == 404, path


def test_absent_names_ask_no_host(linked_folder):
    assert linked_folder.ask(f"{linked_folder.path}/a-b")[0].status == 200
    linked_folder.daemon.signal(signal.SIGSTOP)
    try:
        for number in range(20):
            assert linked_folder.ask(f"{linked_folder.path}/no-{number}")[0].status == 404
    finally:
        linked_folder.daemon.signal(signal.SIGCONT)


def test_listings(linked_folder):
    for path, wanted in (("/", {"/.zattrs", "/a/", "/a-b", "/ü \"q\"\\", "/big"}), ("/a/", {"/", "/a/.zarray", "/a/0.0"})):
        answer, body = linked_folder.ask(linked_folder.path + path)
        assert answer.status == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Length"] == str(len(body)) and "default-src 'none'" in \
            answer.headers["Content-Security-Policy"]
        links = re.findall(rb'<a href="([^"]*)"', body)
        there = {urllib.parse.unquote(urllib.parse.urljoin(linked_folder.url + path, link.decode())) for link in links}
        assert {link[len(linked_folder.url):] for link in there} == wanted
        head, none = linked_folder.ask(linked_folder.path + path, "HEAD")
        assert head.headers["Content-Length"] == str(len(body)) and none == b""
    answer, body = linked_folder.ask(linked_folder.path + "/", Accept="application/json")
    assert answer.headers["Content-Type"] == "application/json" and "Accept" in answer.headers["Vary"]
    assert json.loads(body) == [{"name": ".zattrs", "type": "file", "size": 2, "sha1": sha1(b"{}")},
                                {"name": "a", "type": "directory"},
                                {"name": "a-b", "type": "file", "size": 0, "sha1": sha1(b"")},
                                {"name": "big", "type": "file", "size": 300000, "sha1": sha1(FILES["big"])},
                                {"name": "ü \"q\"\\", "type": "file", "size": 3, "sha1": sha1(b"odd")}]


def test_a_folder_without_its_slash_leads_to_the_one_with_it(linked_folder):
    for path, target in (("", f"{linked_folder.hash}/"), ("/a", "a/")):
        answer, body = linked_folder.ask(linked_folder.path + path)
        assert (answer.status, answer.headers["Location"], body) == (301, target, b"")


def test_url_of_a_folder(linked_folder):
    done = run("url", linked_folder.uri, env=linked_folder.lab.remote, check=0)
    assert done.stdout.decode() == linked_folder.url + "/\n" and done.stderr == b""


def test_preflights(linked_folder):
    answer, _ = linked_folder.ask(f"{linked_folder.path}/big", "OPTIONS", Origin="https://x.example",
                                  Access_Control_Request_Method="GET", Access_Control_Request_Headers="range")
    assert answer.status == 204 and "range" in answer.headers["Access-Control-Allow-Headers"].lower()


def test_private_zones_have_no_folders(linked_folder):
    assert linked_folder.ask(f"{linked_folder.path}/a-b")[0].status == 200
    settings = linked_folder.lab.data / "settings" / "authorizationSettings.yaml"
    settings.write_text("allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers: []\n")
    answers = [linked_folder.ask(path) for path in (f"{linked_folder.path}/a-b", f"{linked_folder.path}/", f"/d/{'0' * 40}/x")]
    assert {(answer.status, body) for answer, body in answers} == {(404, b'{"message":"File not found"}')}


def test_a_listed_file_that_is_gone_is_no_404(settled_folder):
    """Of a 404, zarr makes an empty chunk."""
    folder = settled_folder
    assert folder.ask(f"/d/{'0' * 40}/a-b")[0].status == 404
    assert folder.ask(f"{folder.path}/.zattrs")[0].status == 200
    run("unlink", f"sha1://{sha1(FILES['a/0.0'])}", env=folder.lab.host, check=0)
    answer, body = folder.ask(f"{folder.path}/a/0.0")
    assert answer.status == 503 and answer.headers["Retry-After"] == "10" and FILES["a/0.0"] not in body


def test_an_index_that_was_uploaded(linked_folder):
    run("request", linked_folder.uri, "--wait", env=linked_folder.lab.remote, check=0)
    assert linked_folder.ask(f"{linked_folder.path}/a/.zarray")[1] == FILES["a/.zarray"]


def test_a_large_index(lab):
    folder = Folder(lab)
    files = {f"{i % 3}/{'n' * 150}{i}": b"%d" % (i % 10) for i in range(6000)}
    text = index_text(files)
    assert len(text) > 5 * LEAF
    (lab.folder / "index").write_bytes(text)
    fill(lab.folder, {str(i): b"%d" % i for i in range(10)})
    lab.link(lab.folder / "index", *(lab.folder / str(i) for i in range(10)))
    folder.path = f"/d/{sha1(text)}"
    connection = folder.connect()
    for i in (0, 17, 5999):
        assert folder.ask(f"{folder.path}/{i % 3}/{'n' * 150}{i}", connection=connection)[1] == b"%d" % (i % 10)
    assert folder.bytes_left() <= len(text) + 10
    body = folder.ask(f"{folder.path}/1/", connection=connection, Accept="application/json")[1]
    assert {entry["name"] for entry in json.loads(body)} == {path[2:] for path in files if path.startswith("1/")}
    assert body == folder.ask(f"{folder.path}/1/", connection=connection, Accept="application/json")[1]


# ---- clients that are not ours ----


def write_zarr(folder, rows=64, columns=48, chunk=16):
    """A zarr array of version 2, written byte by byte as its specification says. One chunk is absent: zeros."""
    value = [[(7 * r * columns + c) % 30011 for c in range(columns)] for r in range(rows)]
    files = {".zgroup": b'{"zarr_format": 2}', ".zattrs": b'{"title": "made by a test"}',
             "x/.zattrs": b"{}", "x/.zarray": json.dumps({
                 "zarr_format": 2, "shape": [rows, columns], "chunks": [chunk, chunk], "dtype": "<i4", "compressor": None,
                 "fill_value": 0, "order": "C", "filters": None}).encode()}
    for r in range(rows // chunk):
        for c in range(columns // chunk):
            if (r, c) == (1, 1):
                continue
            files[f"x/{r}.{c}"] = b"".join(struct.pack("<i", value[r * chunk + i][c * chunk + j])
                                           for i in range(chunk) for j in range(chunk))
    for r in range(chunk, 2 * chunk):
        value[r][chunk:2 * chunk] = [0] * chunk
    fill(folder, files)
    return value, files


def test_zarr_opens_the_url(lab):
    range_clients.require(range_clients.missing(modules=["zarr", "fsspec"]))
    import zarr
    value, files = write_zarr(lab.folder / "tree.zarr")
    folder = Folder(lab, name="tree.zarr").link()
    group = zarr.open(folder.url, mode="r")
    assert dict(group.attrs) == {"title": "made by a test"}
    array = group["x"]
    assert array.shape == (64, 48)
    for r in range(0, 64, 5):
        for c in range(0, 48, 7):
            assert array[r, c] == value[r][c], (r, c)
    assert array[:].tolist() == value
    until(lambda: folder.bytes_left() <= sum(map(len, files.values())) + len(index_text(files)), "no more than all left")


def test_fsspec_walks_and_reads_the_folder(linked_folder):
    range_clients.require(range_clients.missing(modules=["fsspec", "aiohttp"]))
    import fsspec
    fs = fsspec.filesystem("http")
    assert {path[len(linked_folder.url) + 1:] for path in fs.find(linked_folder.url + "/")} == {quoted(path) for path in FILES}
    for path, data in FILES.items():
        assert fs.cat_file(f"{linked_folder.url}/{quoted(path)}") == data
    with fs.open(f"{linked_folder.url}/big") as file:
        file.seek(262140)
        assert file.read(10) == FILES["big"][262140:262150]
    with pytest.raises(FileNotFoundError):
        fs.cat_file(f"{linked_folder.url}/none")
    mapper = fsspec.get_mapper(linked_folder.url)
    assert mapper["a/.zarray"] == b"{ }" and ".zgroup" not in mapper


def test_rclone_copies_the_folder(linked_folder, tmp_path):
    range_clients.require(range_clients.missing(["rclone"]))
    subprocess.run(["rclone", "--config", "/dev/null", "copy", "--http-url", linked_folder.url + "/", ":http:", tmp_path / "out"],
                   check=True, timeout=harness.DEADLINE_S * 2, env={**os.environ, "HOME": str(tmp_path)})
    there = {str(path.relative_to(tmp_path / "out")): path.read_bytes()
             for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert there == FILES
