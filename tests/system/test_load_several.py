"""load of several URIs: --files-from, -d, --jobs, against a zone and a bucket that we did not write."""
import asyncio
import os
import signal
import threading

import harness
import pytest
from aiohttp import web
from harness import Process, descendants, run, sha1, until
from zone_double import ABSENT, files_below, folder_of, text, written

FILES = [b"file %d " % i * (1000 + i) for i in range(6)]
HASHES = [sha1(data) for data in FILES]
URIS = [f"sha1://{digest}" for digest in HASHES]


@pytest.fixture
def full(zone):
    """`zone` with all files of this test."""
    zone.objects.update(zip(HASHES, FILES))
    return zone


def copies(user):
    return [harness.object_path(folder_of(user), digest) for digest in HASHES]


def lines(done):
    return [tuple(line.split("\t")) for line in text(done.stdout).splitlines()]


@pytest.mark.parametrize("options", [[], ["--jobs", "1"], ["--jobs=128"]])
def test_a_line_for_each_in_the_order_given(full, user, options):
    done = run("load", *URIS, *options, env=user, check=0)
    assert lines(done) == list(zip(URIS, map(str, copies(user)))) and done.stderr == b""
    assert [path.read_bytes() for path in copies(user)] == FILES and files_below(folder_of(user)) == sorted(copies(user))


def test_the_text_is_as_given_and_what_is_here_is_not_got(full, user):
    run("load", URIS[0], env=user, check=0)
    full.payloads.clear()
    done = run("load", f"{URIS[0]}?label=a", f"{URIS[0]}/b", env=user, check=0)
    assert lines(done) == [(f"{URIS[0]}?label=a", str(copies(user)[0])), (f"{URIS[0]}/b", str(copies(user)[0]))]
    assert full.payloads == []


def test_one_uri_twice_is_got_once_and_printed_twice(full, user):
    done = run("load", URIS[0], URIS[0], env=user, check=0)
    assert lines(done) == [(URIS[0], str(copies(user)[0]))] * 2
    assert [p["type"] for p in full.payloads] == ["findFile"]


def test_one_hash_under_two_labels_is_got_once(full, user, tmp_path):
    downloads = []

    async def count(request, data):
        downloads.append(request.path)
        return web.Response(body=data)
    full.download = count
    done = run("load", f"{URIS[0]}?label=a", f"{URIS[0]}?label=b", "-d", "out", env=user, cwd=tmp_path, check=0)
    assert [path for _, path in lines(done)] == ["out/a", "out/b"] and len(downloads) == 1
    assert [(tmp_path / "out" / name).read_bytes() for name in "ab"] == [FILES[0]] * 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\tthe path\n", "\n\n  ", "\n# comment\n"])
@pytest.mark.parametrize("source", ["file", "-", "fifo"])
def test_files_from(full, user, tmp_path, end, source):
    listed = ("\ufeff" + "".join(uri + end for uri in URIS)).rstrip().encode()
    name = {"file": str(tmp_path / "list"), "-": "-", "fifo": "/dev/stdin"}[source]
    written(tmp_path, "list", listed)
    done = run("load", "--files-from", name, env=user, stdin=b"" if source == "file" else listed, check=0)
    assert lines(done) == list(zip(URIS, map(str, copies(user))))


def test_arguments_come_before_the_list_and_one_of_a_list_is_a_line_too(full, user):
    done = run("load", URIS[1], "--files-from=-", env=user, stdin=URIS[0].encode(), check=0)
    assert [uri for uri, _ in lines(done)] == [URIS[1], URIS[0]]
    done = run("load", "--files-from=-", env=user, stdin=URIS[0].encode(), check=0)
    assert lines(done) == [(URIS[0], str(copies(user)[0]))]
    assert run("load", "--files-from=-", env=user, check=0).stdout == b""


def test_a_list_that_is_none(full, user, tmp_path):
    assert run("load", "--files-from", "/dev/null", env=user, check=0).stdout == b""
    for name in ("", str(tmp_path)):
        assert f'--files-from "{name}"' in text(run("load", "--files-from", name, env=user, check=1).stderr)
    assert "--files-from" in text(run("load", "--files-from", tmp_path / "none", env=user, check=1).stderr)
    assert "NUL" in text(run("load", "--files-from=-", stdin=URIS[0].encode() + b"\0" + URIS[1].encode(), env=user,
                             check=1).stderr)
    assert full.payloads == []


def test_what_link_prints_is_such_a_list(full, user, tmp_path):
    paths = [written(tmp_path, f"a\tb{i}", data) for i, data in enumerate(FILES)]
    linked = run("link", "--label", "x", *map(str, paths), env=user, check=0).stdout
    done = run("load", "--files-from", "-", env=user, stdin=linked, check=0)
    assert [uri for uri, _ in lines(done)] == [uri + "?label=x" for uri in URIS]


LABELS = [("rec.nwb", "rec.nwb"), ("a/b/deep.txt", "deep.txt"), ("../../up", "up"), ("%2Fetc%2Fpasswd", "passwd"),
          (".", None), ("..", None), ("", None), ("a%00b", None), ("x%0Ay%1b", "x%0Ay%1B"), ("%ff", "%FF"),
          ("n" * 300 + ".txt", "n" * 251 + ".txt"), ("%E2%82%AC", "€"), ("-rf", "-rf"), (HASHES[3] + ".part", None)]


@pytest.mark.parametrize("label, name", LABELS)
def test_the_folder_has_files_by_their_labels(full, user, tmp_path, label, name):
    folder = tmp_path / "up" / "deep" / "er"
    done = run("load", f"{URIS[0]}?label={label}", URIS[1], "-d", str(folder), env=user, check=0)
    want = folder / (name or HASHES[0])
    assert files_below(tmp_path / "up") == sorted([want, folder / HASHES[1]])
    assert want.read_bytes() == FILES[0] and files_below(folder_of(user)) == []
    assert lines(done)[0][1].encode().decode("unicode_escape").encode("latin-1").decode() == str(want) or \
        lines(done)[0][1] == str(want)


def test_one_uri_into_a_folder_prints_its_path(full, user, tmp_path):
    done = run("load", f"{URIS[0]}?label=a.b", "-d", "x/", env=user, cwd=tmp_path, check=0)
    assert text(done.stdout) == "x/a.b\n" and (tmp_path / "x/a.b").read_bytes() == FILES[0]


def test_clashes_are_numbered(full, user, tmp_path):
    given = [f"{uri}?label={label}" for uri, label in
             zip(URIS, ["rec.nwb", "x/rec.nwb", "rec.nwb", "rec-2.nwb", "README", "README"])]
    done = run("load", *given, given[0], "-d", "out", env=user, cwd=tmp_path, check=0)
    names = ["rec.nwb", "rec-2.nwb", "rec-3.nwb", "rec-2-2.nwb", "README", "README-2", "rec.nwb"]
    assert [path for _, path in lines(done)] == [f"out/{name}" for name in names]
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == [*FILES, FILES[0]]
    assert len(files_below(tmp_path / "out")) == 6


def test_what_is_there_is_replaced_and_links_are_not_followed(full, user, tmp_path):
    outside = written(tmp_path, "outside", b"mine")
    folder = tmp_path / "out"
    folder.mkdir()
    written(folder, "a", b"old")
    (folder / "b").symlink_to(outside)
    (folder / "c").mkdir()
    os.mkfifo(folder / "d")
    done = run("load", *[f"{uri}?label={name}" for uri, name in zip(URIS, "abcd")], "-d", str(folder), env=user, check=1)
    assert [path for _, path in lines(done)] == [str(folder / "a"), str(folder / "b")]
    assert (folder / "a").read_bytes() == FILES[0] and (folder / "b").read_bytes() == FILES[1]
    assert not (folder / "b").is_symlink() and outside.read_bytes() == b"mine"
    assert text(done.stderr).count("not a regular file") == 2


def test_what_is_right_already_is_kept(full, user, tmp_path):
    downloads = []

    async def count(request, data):
        downloads.append(request.path)
        return web.Response(body=data)
    full.download = count
    command = ["load", *[f"{uri}?label={i}" for i, uri in enumerate(URIS)], "-d", str(tmp_path / "out")]
    first = run(*command, env=user, check=0)
    before = [os.stat(path).st_ino for path in files_below(tmp_path / "out")]
    written(tmp_path / "out", "3", FILES[3][:-1] + b"!")
    downloads.clear()
    assert run(*command, env=user, check=0).stdout == first.stdout and len(downloads) == 1
    assert [path.read_bytes() for path in files_below(tmp_path / "out")] == FILES
    after = [os.stat(path).st_ino for path in files_below(tmp_path / "out")]
    assert [a == b for a, b in zip(after, before)] == [True] * 3 + [False] + [True] * 2


@pytest.mark.parametrize("bad, status, words", [
    (f"sha1://{ABSENT}", 3, "not in the zone"), ("sha1://x", 1, "want sha1:// and 40"), ("", 1, "Invalid URI")])
def test_one_fails_and_the_others_go_on(full, user, bad, status, words):
    done = run("load", URIS[0], bad, URIS[1], env=user, check=status)
    assert [uri for uri, _ in lines(done)] == URIS[:2] and words in text(done.stderr)
    assert text(done.stderr).count("\n") == 1


def test_3_is_only_when_all_that_failed_were_not_found(full, user):
    gone = "1" * 40
    full.objects[gone] = b"something else"
    run("load", f"sha1://{ABSENT}", f"sha1://{'2' * 40}", URIS[0], env=user, check=3)
    done = run("load", f"sha1://{ABSENT}", f"sha1://{gone}", URIS[0], env=user, check=1)
    assert "wrong content" in text(done.stderr) and [uri for uri, _ in lines(done)] == [URIS[0]]


@pytest.mark.parametrize("arguments, words", [
    ([], "no URI"), ([*URIS[:2], "-o", "x"], "-d DIR"), (["--files-from", "-", "-o", "x"], "-d DIR"),
    ([URIS[0], "-o", "x", "-d", "y"], "want one of them"), ([URIS[0], "--jobs", "0"], "1-128"),
    ([URIS[0], "--jobs", "-1"], "1-128"), ([URIS[0], "--jobs=129"], "1-128"), ([URIS[0], "-d", ""], "empty"),
    ([URIS[0], "-d", "file"], "no folder"), ([URIS[0], "-d"], "needs a value"),
    ([URIS[0], "-o", "-"], "cat URI"), ([URIS[0], "-o-"], "cat URI"), ([URIS[0], "--output=-"], "cat URI"),
])
def test_wrong_usage_does_nothing(full, user, tmp_path, arguments, words):
    written(tmp_path, "file", b"kept")
    done = run("load", *arguments, env=user, cwd=tmp_path, check=2)
    assert words in text(done.stderr) and done.stdout == b"" and full.payloads == []
    assert not (tmp_path / "x").exists() and not (tmp_path / "-").exists() and not (tmp_path / "y").exists()


def test_what_is_no_uri_is_1_and_makes_no_folder(full, user, tmp_path):
    assert "Invalid URI" in text(run("load", "x", "-d", "y", env=user, cwd=tmp_path, check=1).stderr)
    assert not (tmp_path / "y").exists() and full.payloads == []


def test_standard_output_is_not_the_file(full, user, tmp_path):
    with open(tmp_path / "out", "wb") as out:
        done = harness.subprocess.run([harness.BINARY, "load", URIS[0], "-o", str(tmp_path / "out")], env=user, stdout=out,
                                      stderr=harness.subprocess.PIPE, timeout=harness.DEADLINE_S)
    assert done.returncode == 2 and "cat URI" in text(done.stderr)


def test_so_many_at_the_same_time(full, user):
    at_once, most, lock = [0], [0], threading.Lock()

    async def slow(request, data):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        for _ in range(200):  # until the others are there too
            if at_once[0] >= 3:
                break
            await asyncio.sleep(0.01)
        with lock:
            at_once[0] -= 1
        return web.Response(body=data)
    full.download = slow
    run("load", *URIS[:3], "--jobs", "3", env=user, check=0)
    assert most[0] == 3
    most[0] = 0

    async def one(request, data):
        most[0] += 1
        assert most[0] == 1
        await asyncio.sleep(0.01)
        most[0] -= 1
        return web.Response(body=data)
    full.download = one
    run("load", *URIS[3:], "--jobs", "1", env=user, check=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("where", [[], ["-d", "out"]])
def test_interrupted_it_leaves_only_what_the_next_run_goes_on_with(full, user, tmp_path, processes, number, where):
    released = threading.Event()

    async def half(request, data):
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[:3000])
        while not released.is_set() and request.path.endswith(HASHES[1]):
            await asyncio.sleep(0.01)
        await response.write(data[3000:])
        return response
    full.download = half
    process = processes(Process("load", *URIS[:2], *where, "--jobs=2", env=user, cwd=tmp_path))
    process.wait_line(HASHES[0])
    folder = tmp_path / "out" if where else folder_of(user)
    until(lambda: [p for p in files_below(folder) if p.name == f"{HASHES[1]}.part" and p.stat().st_size], "a part")
    workers = descendants(process.pid)
    os.killpg(process.pid, number)
    assert process.wait() == -number
    until(lambda: not any(map(harness.is_running, workers)), "the end of the workers")
    assert sorted(path.name for path in files_below(folder)) == sorted([HASHES[0], f"{HASHES[1]}.part"])
    released.set()
    done = run("load", *URIS[:2], *where, env=user, cwd=tmp_path, check=0)
    assert len(lines(done)) == 2 and sorted(p.name for p in files_below(folder)) == sorted(HASHES[:2])


def test_a_worker_that_dies_costs_one_file(full, user, processes):
    async def wait(request, data):
        while request.path.endswith(HASHES[0]) and not killed.is_set():
            await asyncio.sleep(0.01)
        return web.Response(body=data)
    killed = threading.Event()
    full.download = wait
    process = processes(Process("load", *URIS, "--jobs=1", env=user))
    worker = until(lambda: full.payloads and descendants(process.pid), "a worker")[0]
    os.kill(worker, signal.SIGKILL)
    killed.set()
    assert process.wait() == 1
    assert [line.split("\t")[0] for line in process.lines["out"]] == URIS[1:]
    assert len(process.lines["err"]) == 1 and "is lost" in process.lines["err"][0] and HASHES[0] in process.lines["err"][0]


def test_a_reader_that_leaves_ends_it(full, user):
    done = harness.subprocess.run(["sh", "-c", '"$0" load "$@" 2>&1 >/dev/full', harness.BINARY, *URIS], env=user,
                                  stdout=harness.subprocess.PIPE, timeout=harness.DEADLINE_S)
    assert done.returncode == 1 and b"cannot write to standard output" in done.stdout


def test_each_is_asked_of_the_resource(full, user):
    late = {digest: data for digest, data in zip(HASHES[3:], FILES[3:])}
    for digest in late:
        del full.objects[digest]
    full.resource_uploads, full.states = late, [{"status": "completed", "size": 1}]
    env = {**user, "KACHERY_RESOURCE_URL": f"{full.url}/r/lab"}
    done = run("load", *URIS, "--jobs=2", env=env, check=0)
    assert [uri for uri, _ in lines(done)] == URIS
    run("load", f"sha1://{ABSENT}", URIS[0], "--no-request", env=env, check=3)


def test_thousands_of_uris(full, user, tmp_path):
    many = [f"{URIS[i % 6]}?label=f{i % 3000}" for i in range(6000)]
    done = run("load", "--files-from=-", "-d", str(tmp_path / "out"), env=user, stdin="\n".join(many).encode(), check=0)
    assert [uri for uri, _ in lines(done)] == many
    assert len(files_below(tmp_path / "out")) == 3000


@pytest.mark.parametrize("how, words", [
    (lambda t: b"\xff\xfe" + t.encode("utf-16-le"), "UTF-16"), (lambda t: t.encode("utf-16-be"), "UTF-16"),
    (lambda t: f'"{t.strip()}"\n'.encode(), "is in quotes"), (lambda t: f"\u00a0{t}".encode(), "starts with a blank"),
    (lambda t: b"x" * 20000 + b"\n", "more than 16384 bytes")])
def test_a_list_of_a_windows_editor_names_what_is_odd(full, user, tmp_path, how, words):
    path = written(tmp_path, "list", how(URIS[0] + "\r\n"))
    done = run("load", "--files-from", str(path), env=user, check=1)
    assert words in text(done.stderr) and done.stdout == b"" and full.payloads == []
    path.write_bytes(path.read_bytes() + (b"" if b"\0" in path.read_bytes() else URIS[1].encode() + b"\r\n"))
    done = run("load", "--files-from", str(path), env=user, check=1)
    assert [uri for uri, _ in lines(done)] == ([] if b"\0" in path.read_bytes() else [URIS[1]])  # the others go on


def test_a_list_that_is_the_empty_device(user):
    done = run("load", "--files-from", "/dev/null", env=user, check=0)
    assert done.stdout == b"" and done.stderr == b""
