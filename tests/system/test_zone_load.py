"""load, cat and info against a zone and a bucket that we did not write."""
import asyncio
import json
import os
import pty
import resource
import select
import subprocess

import harness
import pytest
from aiohttp import web
from harness import run, sha1
from zone_double import ABSENT, DATA, files_below, flip, folder_of, object_key, text, written


@pytest.mark.parametrize("uri", ["", "x", "sha1:/" + ABSENT, "sha1://", "sha1://" + "0" * 39, "sha1://" + "0" * 41,
                                 "sha1://" + "A" * 40, "md5://" + ABSENT, "SHA1://" + ABSENT,
                                 "sha1://" + "0" * 39 + "."])
@pytest.mark.parametrize("verb", ["load", "cat", "info", "request"])
def test_bad_uris_are_refused_with_words(store, verb, uri):
    folder, env = store
    done = run(verb, uri, env=env, check=1)
    assert "sha1://" in text(done.stderr)


def test_load_gets_the_file_into_the_store(zone, user):
    zone.objects[sha1(DATA)] = DATA
    done = run("load", f"sha1://{sha1(DATA)}/any/name?label=x", env=user, check=0)
    copy = harness.object_path(folder_of(user), sha1(DATA))
    assert text(done.stdout) == f"{copy}\n" and copy.read_bytes() == DATA
    assert files_below(folder_of(user)) == [copy]
    zone.payloads.clear()
    done = run("load", f"sha1://{sha1(DATA)}", env=user, check=0)
    assert text(done.stdout) == f"{copy}\n" and zone.payloads == []


def test_load_to_a_file_leaves_no_copy(zone, user, tmp_path):
    zone.objects[sha1(DATA)] = DATA
    old = written(tmp_path, "old", b"old content")
    for name in ("out", "old"):
        done = run("load", f"sha1://{sha1(DATA)}", "-o", name, env=user, cwd=tmp_path, check=0)
        assert text(done.stdout) == f"{name}\n"
        assert (tmp_path / name).read_bytes() == DATA
    assert files_below(folder_of(user)) == []
    assert old.stat().st_mode & 0o777 == 0o644


def test_load_to_a_file_from_the_local_store(zone, user, tmp_path):
    path = written(tmp_path, "file", DATA)
    zone.objects[sha1(DATA)] = DATA
    run("load", f"sha1://{sha1(DATA)}", env=user, check=0)
    zone.payloads.clear()
    run("load", f"sha1://{sha1(DATA)}", "-o", str(tmp_path / "out"), env=user, check=0)
    assert (tmp_path / "out").read_bytes() == DATA and zone.payloads == []
    assert path.exists()


def test_load_to_a_file_looks_elsewhere_when_the_local_copy_went_bad(zone, user, tmp_path):
    zone.objects[sha1(DATA)] = DATA
    run("load", f"sha1://{sha1(DATA)}", env=user, check=0)
    flip(harness.object_path(folder_of(user), sha1(DATA)), 5)
    run("load", f"sha1://{sha1(DATA)}", "-o", str(tmp_path / "out"), env=user, check=0)
    assert (tmp_path / "out").read_bytes() == DATA
    zone.objects.clear()
    done = run("load", f"sha1://{sha1(DATA)}", "-o", str(tmp_path / "bad"), env=user, check=1)
    assert "wrong content" in text(done.stderr) and not (tmp_path / "bad").exists()


@pytest.mark.parametrize("target", ["folder", "fifo", "/dev/null", "/dev/full"])
def test_load_replaces_nothing_but_files(zone, user, tmp_path, target):
    zone.objects[sha1(DATA)] = DATA
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    done = run("load", f"sha1://{sha1(DATA)}", "-o", target, env=user, cwd=tmp_path, check=2)
    assert "not a regular file" in text(done.stderr)
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")


@pytest.mark.parametrize("target, status", [("no/such/folder", 1), ("", 2), ("file/x", 1)])
def test_load_says_at_once_when_it_cannot_write_the_file(zone, user, tmp_path, target, status):
    zone.objects[sha1(DATA)] = DATA
    written(tmp_path, "file", b"")
    done = run("load", f"sha1://{sha1(DATA)}", "-o", target, env=user, cwd=tmp_path, check=status)
    assert target in text(done.stderr) and zone.payloads == []


def test_load_follows_a_symbolic_link(zone, user, tmp_path):
    zone.objects[sha1(DATA)] = DATA
    (tmp_path / "sub").mkdir()
    written(tmp_path, "sub/real", b"old")
    (tmp_path / "link").symlink_to("sub/real")
    run("load", f"sha1://{sha1(DATA)}", "-o", str(tmp_path / "link"), env=user, check=0)
    assert (tmp_path / "sub" / "real").read_bytes() == DATA and (tmp_path / "link").is_symlink()


async def wrong_byte(request, data):
    return web.Response(body=data[:-1] + b"\x00")


async def too_long(request, data):
    return web.Response(body=data + b"x")


async def too_short(request, data):
    return web.Response(body=data[:-1])


async def expired(request, data):
    return web.Response(status=403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
                        "</Error>")


async def partial(request, data):
    return web.Response(status=206, body=data, headers={"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"})


@pytest.mark.parametrize("download, words", [
    (wrong_byte, "wrong content"), (too_long, "more than the 768000 bytes"), (too_short, "wrong content"),
    (expired, "403 Forbidden: AccessDenied: Request has expired"), (partial, "206")])
@pytest.mark.parametrize("target", [None, "out"])
def test_a_bad_download_leaves_nothing_behind(zone, user, tmp_path, download, words, target):
    zone.objects[sha1(DATA)] = DATA
    zone.download = download
    (tmp_path / "here").mkdir()
    done = run("load", f"sha1://{sha1(DATA)}", *(["-o", target] if target else []), env=user, cwd=tmp_path / "here",
               check=1)
    assert words in text(done.stderr) and "secret" not in text(done.stderr)
    assert done.stdout == b""
    assert files_below(folder_of(user)) == [] and files_below(tmp_path / "here") == []


def test_load_without_keys_asks_anonymously(zone, store):
    folder, env = store
    zone.is_anonymous = True
    zone.objects[sha1(DATA)] = DATA
    run("load", f"sha1://{sha1(DATA)}", env={**env, "KACHERY_GATEWAY_URL": zone.url}, check=0)
    assert harness.object_path(folder, sha1(DATA)).read_bytes() == DATA


def test_load_into_a_store_that_cannot_be_written(zone, user):
    zone.objects[sha1(DATA)] = DATA
    written(folder_of(user), "sha1", b"no folder")
    done = run("load", f"sha1://{sha1(DATA)}", env=user, check=1)
    assert "Not a directory" in text(done.stderr) and str(folder_of(user)) in text(done.stderr)


@pytest.mark.parametrize("target", [None, "out"])
@pytest.mark.parametrize("limit", [0, 300000])
def test_a_download_that_the_disk_does_not_take_leaves_nothing_behind(zone, user, tmp_path, target, limit):
    zone.objects[sha1(DATA)] = DATA
    (tmp_path / "here").mkdir()
    command = [harness.BINARY, "load", f"sha1://{sha1(DATA)}", *(["-o", target] if target else [])]
    done = subprocess.run(command, env=user, cwd=tmp_path / "here", capture_output=True, timeout=harness.DEADLINE_S,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 1 and b"File too large" in done.stderr
    assert files_below(folder_of(user)) == [] and files_below(tmp_path / "here") == []


def test_info_is_the_answer_without_the_url(zone, user):
    zone.objects[sha1(DATA)] = DATA
    done = run("info", "--json", f"sha1://{sha1(DATA)}", env=user, check=0)
    assert json.loads(done.stdout) == {"type": "findFile", "found": True, "size": len(DATA),
                                       "objectKey": object_key(sha1(DATA)), "bucketUri": "r2://test?region=auto"}
    assert list(json.loads(done.stdout)) == ["type", "found", "size", "bucketUri", "objectKey"]
    done = run("info", f"sha1://{sha1(DATA)}", env=user, check=0)
    assert f"size: {len(DATA)}\n" in text(done.stdout) and "secret" not in text(done.stdout)
    done = run("info", "--json", f"sha1://{ABSENT}", env=user, check=3)
    assert json.loads(done.stdout) == {"type": "findFile", "found": False}


@pytest.mark.parametrize("options, start, end", [
    ([], 0, None), (["--start", "5"], 5, None), (["--end", "7"], 0, 7),
    (["--start", "5", "--end", "300000"], 5, 300000),
    (["--start", "5", "--end=5"], 5, 5), (["--start", "768000"], 768000, None), (["--end", "768000"], 0, None),
    (["--end", "768001"], 0, None), (["--start", "767990", "--end", "9999999"], 767990, None)])
def test_cat_prints_the_range(zone, user, options, start, end):
    zone.objects[sha1(DATA)] = DATA
    assert run("cat", f"sha1://{sha1(DATA)}", *options, env=user, check=0).stdout == DATA[start:end]


@pytest.mark.parametrize("options, status", [
    (["--start", "768001"], 1), (["--start", "768001", "--end", "768002"], 1), (["--start", "5", "--end", "4"], 2), (["--start", "-1"], 2),
    (["--start", "x"], 2), (["--end", ""], 2)])
def test_cat_refuses_other_ranges(zone, user, options, status):
    zone.objects[sha1(DATA)] = DATA
    assert run("cat", f"sha1://{sha1(DATA)}", *options, env=user, check=status).stdout == b""


def test_cat_tells_when_a_copy_is_damaged(zone, user):
    zone.objects[sha1(DATA)] = DATA
    run("cat", f"sha1://{sha1(DATA)}", env=user, check=0)
    flip(harness.object_path(folder_of(user), sha1(DATA)), 100)
    done = run("cat", f"sha1://{sha1(DATA)}", env=user, check=1)
    assert "SHA-1" in text(done.stderr)


@pytest.mark.parametrize("command", [["cat"], ["load", "-o", "out"]], ids=["cat", "load"])
def test_linking_again_helps_after_a_change_that_kept_size_and_time(user, tmp_path, command):
    def link():
        os.utime(path, (1_600_000_000,) * 2)  # old enough for the hash cache
        return text(run("link", str(path), env=user, check=0).stdout).split("\t")[0]
    path = written(tmp_path, "large", DATA * 2)
    before = link()
    flip(path, 5)
    assert link() == before  # nobody knows yet
    run(*command, before, env=user, cwd=tmp_path, check=None)
    assert link() == f"sha1://{sha1(path.read_bytes())}" != before


def test_cat_into_a_pipe_that_closes_dies_quietly(zone, user):
    data = os.urandom(1 << 20) * 8
    zone.objects[sha1(data)] = data
    done = subprocess.run(["sh", "-c", f'"{harness.BINARY}" cat sha1://{sha1(data)} | head -c 10'], env=user,
                          capture_output=True, timeout=harness.DEADLINE_S)
    assert done.stdout == data[:10] and done.stderr == b""


@pytest.mark.parametrize("verb", ["load", "cat", "info", "request"])
def test_a_full_standard_output_is_an_error(zone, user, verb):
    zone.objects[sha1(DATA)] = DATA
    with open("/dev/full", "wb") as full:
        done = subprocess.run([harness.BINARY, verb, f"sha1://{sha1(DATA)}"], env=user, stdout=full,
                              stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
    assert done.returncode == 1 and b"No space left" in done.stderr


@pytest.mark.parametrize("verb", ["load", "cat", "info", "request"])
def test_a_closed_standard_output_is_an_error(zone, user, verb):
    zone.objects[sha1(DATA)] = DATA
    done = subprocess.run(["sh", "-c", f'exec "{harness.BINARY}" {verb} sha1://{sha1(DATA)} >&-'], env=user,
                          stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
    assert done.returncode == 1 and b"standard output" in done.stderr
    for path in files_below(folder_of(user)):
        assert path.read_bytes() == DATA



def test_a_bar_on_a_terminal_only(zone, user):
    zone.objects[sha1(DATA)] = DATA
    zone.resource_uploads = {sha1(DATA): DATA}

    async def slowly(request, data):
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        for at in range(0, len(data), 100000):
            await response.write(data[at:at + 100000])
            await asyncio.sleep(0.05)
        return response
    zone.download = slowly
    ours, theirs = pty.openpty()
    loading = subprocess.Popen([harness.BINARY, "load", f"sha1://{sha1(DATA)}"], env=user, stderr=theirs,
                               stdout=subprocess.PIPE)
    os.close(theirs)
    seen = b""
    while select.select([ours], [], [], harness.DEADLINE_S)[0]:
        try:
            chunk = os.read(ours, 4096)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    assert loading.wait(harness.DEADLINE_S) == 0
    loading.stdout.close()
    assert b"downloading" in seen and b"%" in seen
    zone.download = None
    assert run("load", f"sha1://{sha1(DATA)}", "-o", "/dev/stdout", env=user, check=2).stdout == b""


def test_a_gateway_that_has_moved_is_not_followed(zone, user):
    zone.answers["findFile"] = [(301, "", {"Location": "http://elsewhere.example/"})]
    done = run("info", f"sha1://{ABSENT}", env=user, check=1)
    assert "301 Moved Permanently to http://elsewhere.example/: correct KACHERY_GATEWAY_URL" in text(done.stderr)


def test_a_file_that_is_found_without_a_url_is_told(zone, user):
    zone.answers["findFile"] = [(200, {"type": "findFile", "found": True, "size": 3})] * 9
    for verb in (["load", "--no-request"], ["cat"]):
        done = run(*verb, f"sha1://{ABSENT}", env=user, check=1)
        assert "the zone gave no URL to download from" in text(done.stderr)


@pytest.mark.parametrize("name, words", [("", "the name of the file to write is empty"), (".", "directory")])
def test_load_into_no_file_is_refused(zone, user, tmp_path, name, words):
    (tmp_path / "here").mkdir()
    zone.objects[sha1(DATA)] = DATA
    done = run("load", f"sha1://{sha1(DATA)}", "-o", name, env=user, cwd=tmp_path / "here", check=2)
    assert words in text(done.stderr) and files_below(tmp_path / "here") == []
