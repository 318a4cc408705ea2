"""The names of the Python tools (kachery-cloud-store and so on): arguments, output, exit statuses and what is left on
disk, as scripts and the deployed Node daemon know them. `python_location` and `python_uri` say it independently."""
import json
import os
import pty
import shutil
import subprocess
import urllib.parse

import harness
import pytest
from harness import sha1
from store_files import put, python_record
from zone_double import ABSENT, DATA, files_below, folder_of, object_key, text, with_manifest, written

NAMES = ["store", "store-local", "link", "load", "load-info", "cat", "init"]
ODD_PATHS = ["plain", "a b", "a&b", "a?b", "a=b", "a&b?c=d&location=/etc/passwd", "?", "&", "=", "%41%2f", "#", "new\nline",
             "tab\t", "\x1b[1m", "ä☃𝄞", "caf\udce9 \udcff", "\udced\udcb2\udc80", "'\"\\$(x)", "-x", "..a"]


def python_uri(digest, label, location=None):
    uri = f"sha1://{digest}?label={urllib.parse.quote(label)}"
    return uri if location is None else f"{uri}&location={location}"


def python_location(uri):
    """The path that the Python client looks at."""
    location = None
    for item in (uri.split("?") + [""])[1].split("&"):
        parts = item.split("=")
        if len(parts) == 2 and parts[0] == "location":
            location = parts[1]
    return location


@pytest.fixture
def tool(tmp_path_factory):
    """Runs a tool by its name, from PATH."""
    folder = tmp_path_factory.mktemp("bin")
    for name in NAMES:
        (folder / f"kachery-cloud-{name}").symlink_to(harness.BINARY)

    def run(name, *arguments, env, check=0, stdin=b"", cwd=None):
        done = subprocess.run([f"kachery-cloud-{name}", *arguments], env={**env, "PATH": f"{folder}:{env['PATH']}"},
                              cwd=cwd, input=stdin, capture_output=True, timeout=harness.DEADLINE_S)
        assert done.returncode == check, (name, arguments, done)
        return done
    run.folder = folder
    return run


# ---- names and arguments ----

@pytest.mark.parametrize("name", NAMES)
def test_each_name_helps(tool, store, name):
    done = tool(name, "--help", env=store[1])
    assert text(done.stdout).startswith(f"usage: kachery-cloud-{name} ") or name == "init"
    assert done.stderr == b"" and b"--quiet" not in done.stdout


@pytest.mark.parametrize("name, arguments", [
    *[(name, []) for name in NAMES if name != "init"],
    *[(name, ["a", "b"]) for name in NAMES],
    *[(name, ["--bogus", "a"]) for name in NAMES],
    *[(name, ["-q", "a"]) for name in NAMES],
    *[(name, ["-h"]) for name in NAMES],
    *[(name, ["--verbose", "a"]) for name in NAMES],
    ("init", ["a"]), ("store", ["--label"]), ("store", ["a", "--label"]), ("load", ["a", "--dest"]),
    ("store", ["--cache-locally=1", "a"]), ("store", ["--json", "a"]), ("store", ["--reference", "a"]),
    ("link", ["-r", "a"]), ("link", ["--jobs", "1", "a"]), ("load", ["-o", "x", "a"]), ("cat", ["--start", "1", "a"]),
    ("load-info", ["--json", "a"]), ("store-local", ["--cache-locally", "a"])])
def test_wrong_usage_is_2_and_does_nothing(tool, zone, user, tmp_path, name, arguments):
    written(tmp_path, "a", b"a")
    done = tool(name, *arguments, env=user, cwd=tmp_path, check=2)
    assert done.stdout == b"" and f"usage: kachery-cloud-{name}" in text(done.stderr)
    assert zone.payloads == [] and files_below(folder_of(user)) == []


def test_the_name_counts_however_it_is_called(tool, store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "f"), b"f")
    want = python_uri(sha1(b"f"), "f") + "\n"
    link = tool.folder / "kachery-cloud-link"
    (tmp_path / "other").symlink_to(link)
    for program, cwd in ((str(link), None), ("./kachery-cloud-link", tool.folder)):
        done = subprocess.run([program, path], env=env, cwd=cwd, capture_output=True, timeout=harness.DEADLINE_S)
        assert text(done.stdout) == want
    done = subprocess.run([tmp_path / "other", "link", path], env=env, capture_output=True, timeout=harness.DEADLINE_S)
    assert text(done.stdout) == f"sha1://{sha1(b'f')}\t{path}\n", "any other name is the program's own"


def test_options_stand_anywhere_and_the_last_wins(tool, store, tmp_path):
    folder, env = store
    put(str(tmp_path / "-x"), b"x")
    for arguments in (["--label", "a", "--label=b", "--", "-x"], ["--label=a", "--label", "b", "./-x"],
                      ["./-x", "--label", "b"]):
        assert text(tool("link", *arguments, env=env, cwd=tmp_path).stdout) == python_uri(sha1(b"x"), "b") + "\n"
    assert text(tool("link", "./-x", "--label", "-y", env=env, cwd=tmp_path).stdout) == \
        python_uri(sha1(b"x"), "-y") + "\n"


# ---- labels and paths ----

@pytest.mark.parametrize("label", ["plain", "a b/c.dat", "äöü☃𝄞", "a&b=c?d#e%", "new\nline\t\x7f", "'\"<>!*()", "~._-"])
def test_labels_are_encoded_as_python_does(tool, zone, user, tmp_path, label):
    path = str(written(tmp_path, "file", DATA))
    for name, options in (("store", []), ("link", []), ("store-local", []), ("store-local", ["--reference"])):
        done = tool(name, *options, "--label", label, path, env=user)
        assert text(done.stdout) == python_uri(sha1(DATA), label, path if options else None) + "\n"


@pytest.mark.parametrize("name, options", [("store", []), ("link", []), ("store-local", []),
                                           ("store-local", ["--reference"])])
def test_the_label_is_the_base_name(tool, zone, user, tmp_path, name, options):
    for path in [p for p in ODD_PATHS if "\udc80" > max(p)] + ["sub/f", "./sub/../sub//f"]:
        put(str(tmp_path / path), DATA)
        base, absolute = os.path.basename(path), os.path.abspath(tmp_path / path)
        done = tool(name, *options, "--label", "", "--", path, env=user, cwd=tmp_path)
        assert text(done.stdout) == python_uri(sha1(DATA), base, absolute if options else None) + "\n"
        (tmp_path / path).unlink()


def test_a_label_is_text_though_the_name_is_not(tool, store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "caf\udce9 \udcff☃"), b"x")
    done = tool("link", path, env=env)
    assert text(done.stdout) == f"sha1://{sha1(b'x')}?label={urllib.parse.quote('caf� �☃')}\n"
    done = tool("link", "--label", b"\xff", path, env=env, check=1)
    assert done.stdout == b"" and b"UTF-8" in done.stderr


@pytest.mark.parametrize("path", ODD_PATHS)
def test_link_records_the_path_byte_for_byte(tool, store, tmp_path, path):
    folder, env = store
    path = put(str(tmp_path / path), b"x")
    tool("link", path, env=env)
    assert harness.object_path(folder, sha1(b"x"), "linked_files/sha1").read_text() == python_record(path, sha1(b"x"))
    assert tool("load", f"sha1://{sha1(b'x')}", env=env).stdout == os.fsencode(path) + b"\n"
    assert tool("cat", f"sha1://{sha1(b'x')}", env=env).stdout == b"x"


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_reference_comes_back_byte_for_byte(tool, store, tmp_path, path):
    folder, env = store
    put(str(tmp_path / "a"), b"what stands where the Python client would look")
    path = put(str(tmp_path / path), b"x")
    uri = tool("store-local", "--reference", path, env=env).stdout[:-1]
    assert uri.endswith(b"&location=" + os.fsencode(path)) and uri.startswith(b"sha1://" + sha1(b"x").encode() + b"?label=")
    assert files_below(folder) == [], "nothing is stored"
    assert tool("load", uri, env=env).stdout == os.fsencode(path) + b"\n"
    assert tool("cat", uri, env=env).stdout == b"x"
    if python_location(os.fsdecode(uri)) != path:
        assert set(path) & set("&?=")
    assert files_below(folder) == []


def test_paths_of_references_are_absolute_and_verbatim(tool, store, tmp_path):
    folder, env = store
    put(str(tmp_path / "real" / "f"), b"x")
    (tmp_path / "link").symlink_to("real")
    for given, want in (("link/f", f"{tmp_path}/link/f"), ("./link//../link/f", f"{tmp_path}/link/f"),
                        (f"{tmp_path}//real/../link/./f", f"{tmp_path}//real/../link/./f")):
        done = tool("store-local", "--reference", given, env=env, cwd=tmp_path)
        assert text(done.stdout) == python_uri(sha1(b"x"), "f", want) + "\n"
        assert text(tool("load", text(done.stdout)[:-1], env=env, cwd="/").stdout) == want + "\n"


def test_a_location_is_used_as_the_python_client_does_and_only_when_the_hash_is_right(tool, zone, user, tmp_path):
    good, bad = put(str(tmp_path / "good"), b"x"), put(str(tmp_path / "bad"), b"y")
    start = f"sha1://{sha1(b'x')}?"
    for query in (f"location={good}", f"location={good}&label=l", f"location={bad}&location={good}",
                  f"location={good}?more", f"location={good}&a=b=c", f"location={good}&location"):
        assert python_location(start + query) == good
        assert text(tool("load", start + query, env=user).stdout) == good + "\n", query
    assert zone.payloads == []
    for query in (f"location={bad}", f"location={good}x", f"location={urllib.parse.quote(good, '')}", "location=good",
                  f"location={tmp_path}", f"LOCATION={good}", f"label={good}"):
        assert tool("load", start + query, env=user, cwd=tmp_path).stdout == b"", query


def test_a_copy_comes_before_the_location_and_the_location_before_the_link(tool, store, tmp_path):
    folder, env = store
    linked, located = put(str(tmp_path / "linked"), b"x"), put(str(tmp_path / "located"), b"x")
    tool("link", linked, env=env)
    uri = f"sha1://{sha1(b'x')}?location={located}"
    assert text(tool("load", uri, env=env).stdout) == located + "\n"
    assert text(tool("load", f"sha1://{sha1(b'x')}", env=env).stdout) == linked + "\n"
    tool("store-local", linked, env=env)
    assert text(tool("load", uri, env=env).stdout) == f"{harness.object_path(folder, sha1(b'x'))}\n"


# ---- store, store-local, link ----

def test_store_uploads(tool, zone, user, tmp_path):
    path = written(tmp_path, "rec.dat", DATA)
    assert text(tool("store", str(path), env=user).stdout) == python_uri(sha1(DATA), "rec.dat") + "\n"
    assert zone.objects == {sha1(DATA): DATA}
    assert text(tool("store", str(path), env=user).stdout) == python_uri(sha1(DATA), "rec.dat") + "\n"
    assert len(zone.puts) == 1 and files_below(folder_of(user)) == []


def test_store_cache_locally_leaves_the_users_file_alone(tool, zone, user, tmp_path):
    path = written(tmp_path, "file", DATA)
    before = path.stat()
    tool("store", "--cache-locally", str(path), env=user)
    assert path.stat() == before and path.read_bytes() == DATA
    assert files_below(folder_of(user)) == with_manifest(folder_of(user), "sha1")
    assert zone.objects == {sha1(DATA): DATA}


@pytest.mark.parametrize("prefix", [None, "", "$dir", "https://files.example/a b"])
@pytest.mark.parametrize("relative", [False, True])
def test_store_into_a_folder(tool, tmp_path, prefix, relative):
    env = harness.clean_environment(HOME=tmp_path, KACHERY_STORE_FILE_DIR="out" if relative else tmp_path / "out",
                                    KACHERY_STORE_FILE_PREFIX=prefix)
    path = written(tmp_path, "a file", DATA)
    done = tool("store", "--cache-locally", str(path), env=env, cwd=tmp_path)
    uri = f"{prefix}/sha1/{sha1(DATA)}" if prefix else f"sha1://{sha1(DATA)}"
    assert text(done.stdout) == f"{uri}?label=a%20file\n"
    assert files_below(tmp_path / "out") == [tmp_path / "out" / "sha1" / sha1(DATA)]
    assert (tmp_path / "out" / "sha1" / sha1(DATA)).read_bytes() == DATA
    assert not (tmp_path / ".kachery-cloud").exists()


def test_an_empty_folder_variable_counts_as_unset(tool, zone, user, tmp_path):
    path = written(tmp_path, "f", DATA)
    tool("store", str(path), env={**user, "KACHERY_STORE_FILE_DIR": "", "KACHERY_STORE_FILE_PREFIX": "p"})
    assert zone.objects == {sha1(DATA): DATA}


def test_store_local_copies_and_link_does_not(tool, store, tmp_path):
    folder, env = store
    path = put(str(tmp_path / "f"), DATA)
    assert text(tool("store-local", path, env=env).stdout) == python_uri(sha1(DATA), "f") + "\n"
    assert files_below(folder) == with_manifest(folder, "sha1")
    shutil.rmtree(folder)
    assert text(tool("link", path, env=env).stdout) == python_uri(sha1(DATA), "f") + "\n"
    record = harness.object_path(folder, sha1(DATA), "linked_files/sha1")
    assert files_below(folder) == with_manifest(folder, "linked_files/sha1") and record.with_name(record.name + ".paths").exists()


@pytest.mark.parametrize("name", ["store", "link", "store-local"])
@pytest.mark.parametrize("path", ["missing", ".", "", "fifo"])
def test_a_file_that_cannot_be_read_is_1(tool, zone, user, tmp_path, name, path):
    os.mkfifo(tmp_path / "fifo")
    for options in ([], ["--reference"]) if name == "store-local" else ([],):
        done = tool(name, *options, path, env=user, cwd=tmp_path, check=1)
        assert done.stdout == b"" and text(done.stderr).startswith(f"kachery-cloud-{name}: ")
        if path == "." and name != "store" and not options:  # what helps is an option of the other command line
            assert f"is a directory: want a regular file, or kachery-resource {name} -r for all" in text(done.stderr)
    assert zone.payloads == []


def test_the_zones_refusal_is_1_with_its_reason(tool, zone, user, tmp_path):
    zone.answers["initiateFileUpload"] = [(500, "Error: User U not authorized to upload files.")]
    done = tool("store", str(written(tmp_path, "f", DATA)), env=user, check=1)
    assert done.stdout == b"" and "User U not authorized to upload files." in text(done.stderr)


def test_the_sandbox_has_the_files_and_the_normal_store_the_keys(tool, zone, user, tmp_path):
    sandbox = tmp_path / "sandbox"
    env = {**user, "KACHERY_CLOUD_USE_SANDBOX": "1", "KACHERY_CLOUD_SANDBOX_DIR": str(sandbox)}
    path = str(written(tmp_path, "f", DATA))
    tool("store", "--cache-locally", path, env=env)
    tool("link", path, env=env)
    record = harness.object_path(sandbox, sha1(DATA), "linked_files/sha1")
    assert files_below(sandbox) == with_manifest(sandbox, "sha1", "linked_files/sha1")
    assert text(tool("load", f"sha1://{sha1(DATA)}", env=env).stdout).startswith(str(sandbox))
    assert files_below(folder_of(user)) == []
    tool("link", path, env={**env, "KACHERY_CLOUD_USE_SANDBOX": "0"})
    assert files_below(folder_of(user)) == with_manifest(folder_of(user), "linked_files/sha1")
    done = tool("link", path, env={**env, "KACHERY_CLOUD_SANDBOX_DIR": ""}, check=1)
    assert "KACHERY_CLOUD_SANDBOX_DIR" in text(done.stderr)


# ---- load, load-info, cat ----

def test_load_downloads_into_the_store(tool, zone, user):
    zone.objects[sha1(DATA)] = DATA
    copy = harness.object_path(folder_of(user), sha1(DATA))
    for _ in range(2):
        done = tool("load", f"sha1://{sha1(DATA)}/any/name?label=x", env=user)
        assert text(done.stdout) == f"{copy}\n" and done.stderr == b""
        assert files_below(folder_of(user)) == [copy] and copy.read_bytes() == DATA
    assert len(zone.payloads) == 1


@pytest.mark.parametrize("option", ["--dest=out", "--dest="])
def test_load_dest_is_a_second_copy(tool, zone, user, tmp_path, option):
    zone.objects[sha1(DATA)] = DATA
    copy = harness.object_path(folder_of(user), sha1(DATA))
    done = tool("load", f"sha1://{sha1(DATA)}", option, env=user, cwd=tmp_path)
    assert text(done.stdout) == ("out\n" if option == "--dest=out" else f"{copy}\n")
    assert files_below(folder_of(user)) == [copy] and copy.read_bytes() == DATA
    assert not (tmp_path / "out").exists() or (tmp_path / "out").read_bytes() == DATA


@pytest.mark.parametrize("dest, words", [("dir", "a directory"), ("none/out", "cannot write to the folder"),
                                         ("linked", "this is the file itself"), ("same", "this is the file itself")])
def test_load_to_where_it_cannot_go(tool, zone, user, tmp_path, dest, words):
    (tmp_path / "dir").mkdir()
    linked = put(str(tmp_path / "linked"), DATA)
    (tmp_path / "same").symlink_to("linked")
    tool("link", linked, env=user)
    before = os.stat(linked)
    done = tool("load", f"sha1://{sha1(DATA)}", "--dest", dest, env=user, cwd=tmp_path, check=1)
    assert done.stdout == b"" and words in text(done.stderr)
    assert os.stat(linked) == before and sorted(p.name for p in tmp_path.iterdir() if "tmp" in p.name) == []


@pytest.mark.parametrize("name", ["load", "load-info", "cat"])
def test_what_nobody_has_is_silence_and_0(tool, zone, user, name):
    done = tool(name, f"sha1://{ABSENT}", env=user)
    assert (done.stdout, done.stderr) == (b"", b"")
    zone.states = [{"status": "not-found"}]
    done = tool(name, f"sha1://{ABSENT}", env={**user, "KACHERY_RESOURCE_URL": f"{zone.url}/r/lab"})
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize("name", ["load", "load-info", "cat"])
@pytest.mark.parametrize("uri, variables", [
    ("sha1://" + "0" * 39, {}), ("sha1://" + "A" * 40, {}), ("sha1://", {}),
    (f"sha1://{ABSENT}", {"KACHERY_GATEWAY_URL": "http://127.0.0.1:9"}),
    (f"sha1://{ABSENT}", {"KACHERY_GATEWAY_URL": "nonsense"}), (f"sha1://{ABSENT}", {"KACHERY_ZONE": "a/b"})])
def test_other_errors_are_1(tool, zone, user, name, uri, variables):
    done = tool(name, uri, env={**user, **variables}, check=1)
    assert done.stdout == b"" and text(done.stderr).startswith(f"kachery-cloud-{name}: ")


@pytest.mark.parametrize("argument", ["x", "", "sha1:x", "md5://" + ABSENT, "ipfs://Qm", "SHA1://" + ABSENT, "/none/there",
                                      "rec.nwb", "./rec.nwb", "file:///etc/passwd"])
@pytest.mark.parametrize("name", ["load", "cat"])
def test_what_is_neither_a_uri_nor_a_path_is_silence_and_0(tool, zone, user, tmp_path, name, argument):
    written(tmp_path, "rec.nwb", DATA)
    done = tool(name, argument, env=user, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (b"", b"") and zone.payloads == []
    done = harness.run(name, argument, env=user, cwd=tmp_path, check=1)
    assert done.stdout == b"" and "sha1://" in text(done.stderr)


@pytest.mark.parametrize("uri", ["gh://o/r/b/f", "zenodo://1/f", "zenodo-sandbox://1/f", "http://h/f", "https://h/f"])
@pytest.mark.parametrize("name", ["load", "cat", "load-info"])
def test_what_only_python_gets_is_1_in_words(tool, zone, user, name, uri):
    done = tool(name, uri, env=user, check=1)
    assert done.stdout == b"" and uri in text(done.stderr) and "sha1://" in text(done.stderr) and zone.payloads == []


@pytest.mark.parametrize("argument", ["x", "", "md5://" + ABSENT, "/etc/passwd"])
def test_there_is_information_of_uris_alone(tool, zone, user, argument):
    assert "sha1://" in text(tool("load-info", argument, env=user, check=1).stderr)


def test_a_path_is_its_own_answer(tool, zone, user, tmp_path):
    path = str(written(tmp_path, "a b\n", DATA))
    assert tool("load", path, env=user).stdout == path.encode() + b"\n"
    assert tool("load", str(tmp_path), env=user).stdout == f"{tmp_path}\n".encode()
    assert tool("cat", path, env=user).stdout == DATA
    assert text(tool("load", path, "--dest", "out", env=user, cwd=tmp_path).stdout) == "out\n"
    assert (tmp_path / "out").read_bytes() == DATA and files_below(folder_of(user)) == [] and zone.payloads == []
    for name, *arguments in (("cat", str(tmp_path)), ("load", str(tmp_path), "--dest", "x"), ("load", path, "--dest", path)):
        done = tool(name, *arguments, env=user, cwd=tmp_path, check=1)
        assert done.stdout == b"" and str(tmp_path) in text(done.stderr)
    assert (tmp_path / "a b\n").read_bytes() == DATA


@pytest.mark.parametrize("kept", ["copy", "link", "zone"])
def test_store_local_of_a_uri_prints_it_again(tool, zone, user, tmp_path, kept):
    digest, path = sha1(DATA), str(written(tmp_path, "f", DATA))
    if kept == "zone":
        zone.objects[digest] = DATA
    else:
        tool("link" if kept == "link" else "store-local", path, env=user)
    assert text(tool("store-local", f"sha1://{digest}", env=user, cwd=tmp_path).stdout) == f"sha1://{digest}?label={digest}\n"
    for uri, options in ((f"sha1://{digest}?label=a%20b", []), (f"sha1://{digest}/x?label=c", ["--label", "a b"])):
        assert text(tool("store-local", uri, *options, env=user).stdout) == f"sha1://{digest}?label=a%20b\n"
    copy = harness.object_path(folder_of(user), digest)
    assert copy.read_bytes() == DATA and (tmp_path / "f").read_bytes() == DATA
    assert text(tool("store-local", "--reference", f"sha1://{digest}", env=user).stdout).endswith(f"&location={copy}\n")


def test_store_local_of_a_uri_that_nobody_has_is_1(tool, zone, user, tmp_path):
    for uri in (f"sha1://{ABSENT}", "sha1://x"):
        done = tool("store-local", uri, env=user, cwd=tmp_path, check=1)
        assert done.stdout == b"" and uri in text(done.stderr)


@pytest.mark.parametrize("slashes", ["/", "//"])
def test_slashes_behind_urls_change_nothing(tool, zone, user, slashes):
    env = {**user, "KACHERY_GATEWAY_URL": zone.url + slashes, "KACHERY_RESOURCE_URL": f"{zone.url}/r/lab{slashes}"}
    zone.states, zone.resource_uploads = [{"status": "completed"}], {sha1(DATA): DATA}
    done = tool("load", f"sha1://{sha1(DATA)}", env=env)
    assert text(done.stdout) == f"{harness.object_path(folder_of(user), sha1(DATA))}\n"
    assert zone.proxied[0]["resourceName"] == "lab"
    harness.run("request", f"sha1://{'1' * 40}", "--resource", f"{zone.url}/r/lab{slashes}", env=env, check=0)


def test_load_asks_the_resource(tool, zone, user):
    env = {**user, "KACHERY_RESOURCE_URL": f"{zone.url}/r/lab"}
    zone.states = [{"status": "queued", "size": len(DATA), "bytesUploaded": 0, "timestampRequested": 1},
                   {"status": "completed", "size": len(DATA), "bytesUploaded": len(DATA), "timestampRequested": 1,
                    "timestampStarted": 2, "timestampCompleted": 3}]
    zone.resource_uploads = {sha1(DATA): DATA}
    done = tool("load", f"sha1://{sha1(DATA)}", env=env)
    assert text(done.stdout).splitlines()[-1] == str(harness.object_path(folder_of(user), sha1(DATA)))
    zone.states = [{"status": "error", "error": "the file has changed"}]
    done = tool("load", f"sha1://{ABSENT}", env=env, check=1)
    assert done.stdout == b"" and "the file has changed" in text(done.stderr)


def test_cat_writes_the_bytes(tool, zone, user):
    zone.objects[sha1(DATA)] = DATA
    assert tool("cat", f"sha1://{sha1(DATA)}?label=x", env=user).stdout == DATA
    assert tool("cat", f"sha1://{sha1(DATA)}", env=user).stdout == DATA


@pytest.mark.parametrize("more", [
    {}, {"cacheHit": True, "fallback": False}, {"fallback": None, "label": "ä☃𝄞\x7f\n\"\\/"},
    {"nested": {"a": [], "b": {}, "c": [1, [2, {"d": -3}]], "url": "kept"}, "e": 1.5, "f": 1e-7, "g": 1e22}])
def test_load_info_prints_as_json_dumps(tool, zone, user, more):
    answer = {"type": "findFile", "found": True, "size": 768000, "url": f"{zone.url}/x?secret",
              "bucketUri": "r2://test?region=auto", "objectKey": object_key(sha1(DATA)), **more}
    zone.answers["findFile"] = [(200, answer)]
    done = tool("load-info", f"sha1://{sha1(DATA)}?label=x", env=user)
    del answer["url"]
    assert text(done.stdout) == json.dumps(answer, indent=4) + "\n"


def test_load_info_tells_of_the_zone_alone(tool, zone, user, tmp_path):
    tool("link", str(written(tmp_path, "f", DATA)), env=user)
    assert tool("load-info", f"sha1://{sha1(DATA)}", env=user).stdout == b""


# ---- init ----

def facts(done):
    return dict(line.split(": ", 1) for line in text(done.stdout).splitlines() if line.startswith(("Client", "Label", "Owner"))
                and ": " in line)


def test_init_of_a_registered_client(tool, zone, user):
    done = tool("init", env=user)
    client, = zone.clients
    assert facts(done) == {"Client ID": client, "Label": "test", "Owner": "local"}
    assert f"{zone.url}/client/{client}" in text(done.stdout)


def test_init_where_registration_is_open(tool, zone, store):
    zone.opens_registration = True
    done = tool("init", env={**store[1], "KACHERY_GATEWAY_URL": zone.url})
    client, = zone.clients
    assert facts(done) == {"Client ID": client, "Label": os.uname().nodename, "Owner": "local"}
    assert "Client initialized successfully." in text(done.stdout)


@pytest.mark.parametrize("stdin", [b"", b"\n", b"hello\n"])
def test_init_of_a_client_that_nobody_registers(tool, zone, store, stdin):
    done = tool("init", env={**store[1], "KACHERY_GATEWAY_URL": zone.url}, stdin=stdin, check=1)
    assert f"{zone.url}/registerClient/" in text(done.stdout) and "Client ID" not in text(done.stdout)
    assert "not registered" in text(done.stderr)


@pytest.mark.parametrize("is_entered", [True, False])
def test_init_waits_for_the_user(tool, zone, store, processes, is_entered):
    terminal, stdin = pty.openpty()
    waiting = processes(harness.Process(program=[tool.folder / "kachery-cloud-init"], stdin=stdin,
                                        env={**store[1], "KACHERY_GATEWAY_URL": zone.url}))
    os.close(stdin)
    client = waiting.wait_line("/registerClient/").split("/registerClient/")[1].split("?")[0]
    zone.clients[client] = {"clientId": client, "ownerId": "u", "timestampCreated": 1, "label": "l"}
    if is_entered:
        os.write(terminal, b"\n")
    assert waiting.wait() == 0
    assert waiting.lines["out"][-3:] == [f"Client ID: {client}", "Label: l", "Owner: u"]
    os.close(terminal)


# ---- as the deployed daemon runs it ----

NODE = """
const {exec, execFile} = require('child_process');
const path = process.argv[1];
exec(`kachery-cloud-store ${path}`, () => {}).on('exit', shell => {
    execFile('kachery-cloud-store', [path], (error, stdout, stderr) => {
        const lines = stdout.trim().split('\\n');
        console.log(JSON.stringify([shell, error ? error.code : 0, lines[lines.length - 1], stderr]));
    });
});
"""


def node_runs(tool, env, path):
    done = subprocess.run(["node", "-e", NODE, "--", str(path)], env={**env, "PATH": f"{tool.folder}:{env['PATH']}"},
                          capture_output=True, timeout=harness.DEADLINE_S)
    return json.loads(done.stdout)


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_the_node_daemon_runs_it(tool, zone, user, tmp_path):
    tool("store-local", str(written(tmp_path, "file", DATA)), env=user)
    copy = harness.object_path(folder_of(user), sha1(DATA))
    assert node_runs(tool, user, copy) == [0, 0, python_uri(sha1(DATA), sha1(DATA)), ""]
    assert zone.objects == {sha1(DATA): DATA} and len(zone.puts) == 1
    zone.answers["initiateFileUpload"] = [(500, "Error: File too large: 5 > 4")] * 2
    status, same, line, errors = node_runs(tool, user, copy)
    assert (status, same, line) == (1, 1, "") and "File too large: 5 > 4" in errors


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_the_node_daemon_ends_it(tool, zone, user, tmp_path):
    """It sends SIGTERM when a request is cancelled: the upload ends at once, and nothing is published."""
    path, begun, ended = written(tmp_path, "file", os.urandom(1 << 20) * 64), tmp_path / "begun", tmp_path / "ended"

    def wait_for_the_end():
        begun.touch()
        harness.until(ended.exists, "the tool has ended")
    zone.on_put = wait_for_the_end
    script = """
        const {spawn} = require('child_process'), fs = require('fs');
        const [path, begun, ended] = process.argv.slice(1), child = spawn('kachery-cloud-store', [path]);
        const timer = setInterval(() => fs.existsSync(begun) && child.kill(), 2);
        child.on('exit', (code, signal) => {
            clearInterval(timer); fs.writeFileSync(ended, ''); console.log(code, signal);
        });"""
    done = subprocess.run(["node", "-e", script, "--", *map(str, (path, begun, ended))], capture_output=True,
                          env={**user, "PATH": f"{tool.folder}:{user['PATH']}"}, timeout=harness.DEADLINE_S)
    assert text(done.stdout) == "null SIGTERM\n"
    assert zone.objects == {} and [p["type"] for p in zone.payloads] == ["initiateFileUpload"]
