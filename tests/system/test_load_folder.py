"""load -d of a folder index: the folder's files, from a hub's hosts or a zone, below a folder where nothing may lead out of it."""
import json
import os
import signal
import stat
import subprocess

import harness
import pytest
from cutting_proxy import Cut, CuttingProxy
from folder_sharing import FILES, Folder, index_text
from harness import BINARY, Process, run, sha1, until
from store_files import LEAF
from zone_double import text


@pytest.fixture
def folder(lab):
    """A folder whose files and index a host has linked."""
    return Folder(lab, FILES).link()


@pytest.fixture
def reader(folder):
    """Somebody with an empty store who knows of no resource."""
    return folder.lab.environment(folder.lab.remote_store)


def below(top):
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_it_becomes_the_folder(folder, reader, tmp_path):
    done = run("load", folder.uri, "-d", "new/out", env=reader, cwd=tmp_path, check=0)
    assert (text(done.stdout), done.stderr) == ("new/out/tree\n", b"")
    assert below(tmp_path / "new") == {f"out/tree/{path}": data for path, data in FILES.items()}
    until(lambda: folder.bytes_left() >= sum(map(len, FILES.values())), "the files left the host")
    assert not [path for path in folder.lab.remote_store.rglob("*") if path.is_file() and "sha1/" in str(path)]


def test_what_is_there_and_right_stays_what_is_wrong_is_replaced(folder, reader, tmp_path):
    run("load", folder.uri, "-d", "out", env=reader, cwd=tmp_path, check=0)
    top = tmp_path / "out" / "tree"
    (top / "a" / "0.0").write_bytes(b"y" * 10)
    (top / "big").unlink()
    (top / "more").write_bytes(b"the reader's own")
    before = {path: path.stat() for path in top.rglob("*")}
    run("load", folder.uri, "-d", "out", env=reader, cwd=tmp_path, check=0)
    assert below(top) == {**FILES, "more": b"the reader's own"}
    changed = {str(path.relative_to(top)) for path, st in before.items() if stat.S_ISREG(st.st_mode) and st.st_ino != path.stat().st_ino}
    assert changed == {"a/0.0"}


def test_nobody_is_asked_for_what_is_right_but_for_the_index(folder, reader, tmp_path):
    run("load", folder.uri, "-d", "out", env=reader, cwd=tmp_path, check=0)
    proxy = CuttingProxy(int(folder.lab.url.rsplit(":", 1)[1]))
    env = {**reader, "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}"}
    run("load", folder.uri, "-d", "out", env=env, cwd=tmp_path, check=0)
    proxy.stop()
    assert len(proxy.passed) == 1 and proxy.passed[0]["down"] < 5000


def test_beside_files_in_one_call(folder, reader, tmp_path):
    single = f"sha1://{sha1(FILES['big'])}?label=tree"
    again = folder.uri.replace("?label=", "?label=other/")
    done = run("load", folder.uri, single, again, "sha1://" + "1" * 40, "-d", ".", env=reader, cwd=tmp_path, check=3)
    assert text(done.stdout).splitlines() == [f"{folder.uri}\t./tree", f"{single}\t./tree-2", f"{again}\t./tree"]
    assert below(tmp_path / "tree") == FILES and (tmp_path / "tree-2").read_bytes() == FILES["big"]


def test_without_a_folder_it_is_a_file(folder, reader, tmp_path):
    run("load", folder.uri, "-o", "index", env=reader, cwd=tmp_path, check=0)
    assert (tmp_path / "index").read_bytes() == index_text(FILES)
    path = text(run("load", folder.uri, env=reader, check=0).stdout).strip()
    assert open(path, "rb").read() == index_text(FILES)


def test_a_folder_with_nothing_in_it(lab, tmp_path):
    folder = Folder(lab)
    (lab.folder / "tree").mkdir()
    folder.link()
    done = run("load", folder.uri, "-d", "out", env=lab.remote, cwd=tmp_path, check=0)
    assert text(done.stdout) == "out/tree\n" and list((tmp_path / "out").rglob("*")) == [tmp_path / "out" / "tree"]


# ---- indexes of a zone that is not ours ----

def offer(zone, files, index=None, missing=()):
    """The index of these files (or this text) in the zone, with all files but the missing ones."""
    made = index_text(files) if index is None else index
    zone.objects.update({sha1(data): data for path, data in files.items() if path not in missing})
    zone.objects[sha1(made)] = made
    return f"sha1://{sha1(made)}?label=tree/"


def test_the_failed_ones_are_named_and_the_others_come(zone, user, tmp_path):
    files = {"a/b": b"1", "a/c": b"22", "d": b"333", "e/f/g": b"4444"}
    uri = offer(zone, files, missing=("a/c", "e/f/g"))
    done = run("load", uri, "-d", "out", env=user, cwd=tmp_path, check=3)
    told = text(done.stderr).splitlines()
    assert sorted(line.split(": ")[1] for line in told) == ["out/tree/a/c", "out/tree/e/f/g"] and done.stdout == b""
    assert below(tmp_path / "out" / "tree") == {"a/b": b"1", "d": b"333"}
    (tmp_path / "out" / "tree" / "e" / "f").rmdir()
    (tmp_path / "out" / "tree" / "e" / "f").write_bytes(b"in the way")
    done = run("load", uri, "-d", "out", env=user, cwd=tmp_path, check=1)
    assert "out/tree/e/f is there, and no folder" in text(done.stderr)
    zone.objects[sha1(b"22")] = b"22"
    zone.objects[sha1(b"4444")] = b"4444"
    (tmp_path / "out" / "tree" / "e" / "f").unlink()
    run("load", uri, "-d", "out", env=user, cwd=tmp_path, check=0)
    assert below(tmp_path / "out" / "tree") == files


def entries(*pairs):
    inner = ",".join(f'"{path}":{{"sha1":"{sha1(b"evil")}","size":4}}' for path in pairs)
    return ('{"kachery-folder":1,"files":{' + inner + "}}").encode()


HOSTILE = {"up": entries("../up"), "inside": entries("a/../../up"), "absolute": entries("/etc/up"), "empty": entries(""),
           "empty part": entries("a//b"), "dot": entries("./a"), "slash at the end": entries("a/"), "nul": entries("a\\u0000b"),
           "twice": entries("a", "a"), "file and folder": entries("a", "a/b"), "too long": entries("x/" * 2100 + "y"),
           "escaped": entries("\\u002e\\u002e/up"), "no index": b"no index", "nothing": b"", "cut": entries("a")[:-1],
           "html": b"<html>", "surrogate": entries("\\ud800"), "more keys": b'{"kachery-folder":1,"files":{},"x":1}'}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_index_that_breaks_a_rule_is_none(zone, user, tmp_path, kind):
    uri = offer(zone, {"a": b"evil"}, HOSTILE[kind])
    inside = tmp_path / "work" / "deep"
    inside.mkdir(parents=True)
    done = run("load", uri, "-d", "out", env=user, cwd=inside, check=1)
    assert b"it is no folder index" in done.stderr and uri.encode() in done.stderr and done.stdout == b""
    assert below(tmp_path / "work") == {} and not (inside / "out" / "tree").exists()


@pytest.mark.parametrize("label, name", [("../up/", "up"), ("%2Fetc/", "etc"), ("../", None), ("%2E%2E%2F", None), ("/", None),
                                         ("a/b/c/", "c"), ("x%0Ay/", "x%0Ay"), (".%2F", None)])
def test_the_folder_has_a_safe_name(zone, user, tmp_path, label, name):
    uri = offer(zone, {"f": b"1"}).replace("tree/", label)
    run("load", uri, "-d", "in/out", env=user, cwd=tmp_path, check=0)
    assert below(tmp_path / "in") == {f"out/{name or uri[7:47]}/f": b"1"}


@pytest.mark.parametrize("where, words", [("tree", "is a symbolic link"), ("tree/a", "is a symbolic link"), ("tree/a/b", "is a symbolic link")])
def test_no_link_that_was_there_is_followed(zone, user, tmp_path, where, words):
    uri = offer(zone, {"a/b/c": b"1", "d": b"2"})
    outside, out = tmp_path / "outside", tmp_path / "out"
    (outside / "a" / "b").mkdir(parents=True)
    (out / where).parent.mkdir(parents=True)
    (out / where).symlink_to(outside)
    done = run("load", uri, "-d", "out", env=user, cwd=tmp_path, check=1)
    assert words in text(done.stderr) and f"out/{where}" in text(done.stderr)
    assert below(outside) == {}
    assert where == "tree" or (out / "tree" / "d").read_bytes() == b"2"


def test_a_link_in_the_place_of_a_file_is_replaced(zone, user, tmp_path):
    uri = offer(zone, {"a/b": b"1", "c": b"2", "d": b"3"})
    (tmp_path / "outside").write_bytes(b"1")
    (tmp_path / "out" / "tree" / "a").mkdir(parents=True)
    for path, target in (("a/b", "outside"), ("c", "outside"), ("d", "nowhere")):
        (tmp_path / "out" / "tree" / path).symlink_to(tmp_path / target)
    run("load", uri, "-d", "out", env=user, cwd=tmp_path, check=0)
    assert below(tmp_path / "out" / "tree") == {"a/b": b"1", "c": b"2", "d": b"3"}
    assert (tmp_path / "outside").read_bytes() == b"1" and not (tmp_path / "nowhere").exists()
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_the_folder_that_the_user_names_may_be_a_link(zone, user, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    run("load", offer(zone, {"a/b": b"1"}), "-d", "out/", env=user, cwd=tmp_path, check=0)
    assert below(tmp_path / "real") == {"tree/a/b": b"1"}


def test_odd_names(zone, user, tmp_path):
    files = {"line\nbreak": b"1", "ü/%2e%2e": b"2", "...": b"3", "-rf": b"4", "x" * 255: b"5", "sp ace/\x1b[31m": b"6"}
    bad = {"y" * 256: b"7", sha1(b"8") + ".part": b"8"}
    done = run("load", offer(zone, {**files, **bad}), "-d", "out", env=user, cwd=tmp_path, check=1)
    assert below(tmp_path / "out" / "tree") == files
    told = text(done.stderr).splitlines()
    assert len(told) == 2 and "downloads keep such names" in done.stderr.decode() and "y" * 100 in done.stderr.decode()
    assert all(line.isprintable() for line in told)


def test_a_wrong_size_in_the_index_is_only_a_guess(zone, user, tmp_path):
    wrong = index_text({"a": b"evil"}).replace(b'"size":4', b'"size":400000000000')
    run("load", offer(zone, {"a": b"evil"}, wrong), "-d", "out", env=user, cwd=tmp_path, check=0)
    assert below(tmp_path / "out") == {"tree/a": b"evil"}


def test_each_is_proven(zone, user, tmp_path):
    uri = offer(zone, {"a": b"right", "b": b"fine"})
    zone.objects[sha1(b"right")] = b"wrong"
    done = run("load", uri, "-d", "out", env=user, cwd=tmp_path, check=1)
    assert "out/tree/a" in text(done.stderr) and "wrong content" in text(done.stderr)
    assert below(tmp_path / "out") == {"tree/b": b"fine"}


def test_equal_files_are_got_once(zone, user, tmp_path):
    files = {f"d{n}/f": b"the same" for n in range(20)}
    run("load", offer(zone, files), "-d", "out", env=user, cwd=tmp_path, check=0)
    assert below(tmp_path / "out" / "tree") == files


def test_max_size_is_of_each(zone, user, tmp_path):
    uri = offer(zone, {"small": b"1", "large": b"2" * 1000})
    done = run("load", uri, "-d", "out", "--max-size", "999", env=user, cwd=tmp_path, check=1)
    assert "out/tree/large" in text(done.stderr) and below(tmp_path / "out" / "tree") == {"small": b"1"}


def test_an_index_of_more_than_32_mib_is_refused(zone, user, tmp_path):
    large = index_text({f"{n:06}" + "x" * 200: b"1" for n in range(130000)})
    assert len(large) > 32 << 20
    done = run("load", offer(zone, {}, large), "-d", "out", env=user, cwd=tmp_path, check=1)
    assert b"at most 33554432 bytes" in done.stderr and below(tmp_path / "out") == {}


@pytest.mark.timeout(600)
def test_a_hundred_thousand_files(zone, user, tmp_path):
    """Most are there already: the rest comes, in bounded memory."""
    files = {f"{n // 1000:03}/{n:06}": b"%d" % n for n in range(100000)}
    top = tmp_path / "out" / "tree"
    for path, data in files.items():
        if path.endswith("000"):
            (top / path).parent.mkdir(parents=True)
        if not path.endswith("500"):
            (top / path).write_bytes(data)
    wanted = {path: data for path, data in files.items() if path.endswith("500")}
    zone.objects.update({sha1(data): data for data in wanted.values()})
    uri = offer(zone, {}, index_text(files))
    done = subprocess.run(["sh", "-c", 'ulimit -v 150000; exec "$@"', "sh", BINARY, "load", uri, "-d", "out"], env=user, cwd=tmp_path,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert sum(len(names) for _, _, names in os.walk(top)) == 100000
    assert all((top / path).read_bytes() == data for path, data in wanted.items())


# ---- faults ----

def test_killed_in_mid_load_the_next_run_goes_on(lab, tmp_path):
    folder = Folder(lab, {f"f{n}": bytes([n]) * (3 * LEAF) for n in range(8)}).link()
    proxy = CuttingProxy(int(lab.url.rsplit(":", 1)[1]))
    env = {**lab.environment(lab.remote_store), "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}"}
    loaders = []
    proxy.cuts = [Cut(), Cut(down=4 * LEAF, then=lambda: os.killpg(loaders[0].pid, signal.SIGKILL))]
    loaders.append(Process("load", folder.uri, "-d", str(tmp_path / "out"), env=env))
    loaders[0].wait()
    before = sum(passed["down"] for passed in proxy.passed)
    run("load", folder.uri, "-d", str(tmp_path / "out"), env=env, check=0, timeout=90)
    proxy.stop()
    assert below(tmp_path / "out" / "tree") == {f"f{n}": bytes([n]) * (3 * LEAF) for n in range(8)}
    assert sum(passed["down"] for passed in proxy.passed) - before < 24 * LEAF and before > 3 * LEAF


def test_the_daemon_is_killed_in_mid_load(lab, tmp_path):
    files = {f"f{n}": bytes([n]) * (3 * LEAF) for n in range(8)}
    folder = Folder(lab, files).link()
    proxy = CuttingProxy(int(lab.url.rsplit(":", 1)[1]))
    env = harness.patient({**lab.environment(lab.remote_store), "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}"})

    def restart():
        folder.daemon.process.kill()
        folder.daemon.process.wait()
        folder.daemon = lab.share(wait=False)
    proxy.cuts = [Cut(), Cut(down=2 * LEAF, then=restart)]
    run("load", folder.uri, "-d", str(tmp_path / "out"), env=env, check=0, timeout=100)
    proxy.stop()
    assert below(tmp_path / "out" / "tree") == files


def test_a_full_disk_is_told(folder, reader, tmp_path):
    """As at a limit of file sizes: what cannot be written is named, the rest comes."""
    done = subprocess.run(["prlimit", "--fsize=200000", BINARY, "load", folder.uri, "-d", "out"], env=reader, cwd=tmp_path,
                          capture_output=True, timeout=harness.DEADLINE_S, check=False)
    assert done.returncode == 1 and b"out/tree/big" in done.stderr
    assert below(tmp_path / "out" / "tree") == {path: data for path, data in FILES.items() if path != "big"}


def test_json_is_read_as_the_specification_says(zone, user, tmp_path):
    """Any order, white space and escapes."""
    loose = json.dumps({"files": {"z/ü": {"size": 4, "sha1": sha1(b"evil")}, "a": {"sha1": sha1(b"evil"), "size": 4}},
                        "kachery-folder": 1}, indent=1).encode()
    run("load", offer(zone, {"a": b"evil"}, loose), "-d", "out", env=user, cwd=tmp_path, check=0)
    assert below(tmp_path / "out" / "tree") == {"z/ü": b"evil", "a": b"evil"}
