"""Folders (EXTENSIONS.md §3): the index that `link -r --index` makes of each directory."""
import json
import os

import harness
from harness import object_path, run, sha1
from store_files import LEAF, manifest_path


def fill(folder, files):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def index_text(files):
    """The index of these files, made by words of the specification alone."""
    entries = {path: {"sha1": sha1(files[path]), "size": len(files[path])} for path in sorted(files, key=os.fsencode)}
    return json.dumps({"kachery-folder": 1, "files": entries}, separators=(",", ":"), ensure_ascii=False).encode()


def own_store(tmp_path):
    return {**harness.clean_environment(), "KACHERY_CLOUD_DIR": str(tmp_path / "store")}


FILES = {".zattrs": b"{}", "a/0.0": b"x" * 10, "a-b": b"", "a/.zarray": b"{ }", "ü \"q\"\\": b"odd", "big": b"z" * 300000}


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
