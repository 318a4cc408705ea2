"""store: uploads to a zone and a bucket that we did not write."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import threading

import harness
import pytest
from harness import run, sha1
from store_files import DAY, left
from zone_double import DATA, files_below, flip, folder_of, object_key, text, with_manifest, written


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 327680, 327681, 768000])
def test_store_uploads_and_prints_the_uri(zone, user, tmp_path, size):
    data = DATA[:size]
    path = written(tmp_path, "file", data)
    done = run("store", str(path), env=user, check=0)
    assert text(done.stdout) == f"sha1://{sha1(data)}\t{path}\n"
    assert zone.objects == {sha1(data): data}
    assert [p["type"] for p in zone.payloads] == ["initiateFileUpload", "finalizeFileUpload"]
    assert [p["size"] for p in zone.payloads] == [size, size]
    put, = zone.puts
    assert put["key"] == object_key(sha1(data))
    assert put["query"] == "X-Signature=secret-of-put"
    assert set(put["headers"]) == {"Host", "Content-Length", "User-Agent"} | ({"Expect"} if size >= 65536 else set())
    assert put["headers"]["Content-Length"] == str(size)


def test_store_of_a_file_that_the_zone_has_sends_nothing(zone, user, tmp_path):
    zone.objects[sha1(DATA)] = DATA
    done = run("store", str(written(tmp_path, "file", DATA)), env=user, check=0)
    assert text(done.stdout).startswith(f"sha1://{sha1(DATA)}\t")
    assert zone.puts == []
    assert [p["type"] for p in zone.payloads] == ["initiateFileUpload", "findFile"]


def test_store_names_both_sizes_when_the_zone_has_another_one(zone, user, tmp_path):
    zone.objects[sha1(DATA)] = DATA[:-1]
    done = run("store", str(written(tmp_path, "file", DATA)), env=user, check=1)
    assert "767999 bytes under this hash, the file has 768000" in text(done.stderr)


@pytest.mark.parametrize("label, encoded", [
    ("plain", "plain"), ("a b/c.dat", "a%20b/c.dat"), ("äöü", "%C3%A4%C3%B6%C3%BC"),
    ("a&b=c?d#e%", "a%26b%3Dc%3Fd%23e%25"),
    ("new\nline\t", "new%0Aline%09"), ("'\"<>", "%27%22%3C%3E"), ("", None), ("~._-", "~._-")])
def test_store_labels(zone, user, tmp_path, label, encoded):
    zone.objects[sha1(DATA)] = DATA
    done = run("store", "--label", label, str(written(tmp_path, "file", DATA)), env=user, check=0)
    query = "" if encoded is None else f"?label={encoded}"
    assert text(done.stdout).split("\t")[0] == f"sha1://{sha1(DATA)}{query}"


def test_store_refuses_a_label_that_is_no_text(zone, user, tmp_path):
    done = run("store", b"--label=\xff", str(written(tmp_path, "file", DATA)), env=user, check=2)
    assert b"UTF-8" in done.stderr
    assert zone.payloads == []


def test_store_goes_on_after_a_file_that_fails(zone, user, tmp_path):
    good, odd = written(tmp_path, "good", b"1"), written(tmp_path, "odd\nname", b"2")
    done = run("store", "good", "missing", str(tmp_path), "odd\nname", "--json", env=user, cwd=tmp_path, check=1)
    got = json.loads(done.stdout)
    assert [e["uri"] for e in got] == [f"sha1://{sha1(b'1')}", None, None, f"sha1://{sha1(b'2')}"]
    assert [e["path"] for e in got] == [str(good), str(tmp_path / "missing"), str(tmp_path), str(odd)]
    assert [e["size"] for e in got] == [1, None, None, 1]
    assert [e["error"] is None for e in got] == [True, False, False, True]
    assert all(set(e) == {"uri", "path", "size", "error"} for e in got)
    assert "missing: " in text(done.stderr)
    plain = run("store", "odd\nname", env=user, cwd=tmp_path, check=0)
    assert text(plain.stdout) == f"sha1://{sha1(b'2')}\t{tmp_path}/odd\\x0aname\n"


def test_store_paths_are_absolute_and_symbolic_links_kept(zone, user, tmp_path):
    (tmp_path / "real").mkdir()
    written(tmp_path, "real/file", b"1")
    (tmp_path / "link").symlink_to("real")
    done = run("store", "./link/../link/file", env=user, cwd=tmp_path, check=0)
    assert text(done.stdout).split("\t")[1] == f"{tmp_path}/link/file\n"


def test_store_cache_locally_keeps_a_copy(zone, user, tmp_path):
    path = written(tmp_path, "file", DATA)
    run("store", "--cache-locally", str(path), env=user, check=0)
    copy = harness.object_path(folder_of(user), sha1(DATA))
    assert copy.read_bytes() == DATA and path.read_bytes() == DATA
    assert files_below(folder_of(user)) == with_manifest(folder_of(user), "sha1")
    assert zone.objects[sha1(DATA)] == DATA


@pytest.mark.parametrize("variables", [{}, {"KACHERY_STORE_FILE_DIR": "out"}])
def test_a_signal_while_a_copy_is_made_leaves_nothing_behind(zone, user, tmp_path, processes, variables):
    path = written(tmp_path, "file", b"")
    os.truncate(path, 2 << 30)
    storing = processes(harness.Process("store", "--cache-locally", str(path), env={**user, **variables}, cwd=tmp_path))
    folder = tmp_path / "out" if variables else folder_of(user)
    harness.until(lambda: files_below(folder), "a part of the copy")
    storing.signal(signal.SIGINT)
    assert storing.wait() == -signal.SIGINT
    assert files_below(folder) == [] and zone.payloads == []


@pytest.mark.parametrize("prefix", [None, "https://files.example/lab"])
def test_store_into_a_folder_uploads_nothing(tmp_path, prefix):
    env = harness.clean_environment(HOME=tmp_path, KACHERY_STORE_FILE_DIR=tmp_path / "out",
                                    KACHERY_STORE_FILE_PREFIX=prefix)
    path = written(tmp_path, "file", DATA)
    done = run("store", str(path), env=env, check=0)
    uri = f"{prefix}/sha1/{sha1(DATA)}" if prefix else f"sha1://{sha1(DATA)}"
    assert text(done.stdout) == f"{uri}\t{path}\n"
    assert files_below(tmp_path / "out") == [tmp_path / "out" / "sha1" / sha1(DATA)]
    assert (tmp_path / "out" / "sha1" / sha1(DATA)).read_bytes() == DATA


def test_what_a_killed_store_left_in_the_folder_is_removed(tmp_path):
    env = harness.clean_environment(HOME=tmp_path, KACHERY_STORE_FILE_DIR=tmp_path / "out")
    old = left(tmp_path / "out" / "sha1" / ".incoming" / "file.tmp.01234567", 2 * DAY)
    young = left(old.parent / "file.tmp.11111111", DAY - 60)
    run("store", str(written(tmp_path, "file", DATA)), env=env, check=0)
    assert files_below(tmp_path / "out") == [young, tmp_path / "out" / "sha1" / sha1(DATA)]


def test_store_without_keys_says_how_to_get_some(zone, store, tmp_path):
    folder, env = store
    done = run("store", str(written(tmp_path, "file", DATA)), env={**env, "KACHERY_GATEWAY_URL": zone.url}, check=1)
    assert "kachery-resource register" in text(done.stderr)


@pytest.mark.parametrize("status, body, words", [
    (500, "Error: User U not authorized to upload files.", "User U not authorized to upload files."),
    (500, "Error: File too large: 5 > 4", "File too large: 5 > 4"),
    (400, "Invalid request: {\"payload\": 1}", ": Invalid request\n"),
    (400, "<html>Bad Request</html>", "400 Bad Request"), (404, "<html>Not Found</html>", "404 Not Found"),
    (200, "<html>welcome to the airport</html>", "a web page answered: is there a log-in in this network? If not, correct KACHERY_GATEWAY_URL"),
    (200, {"type": "initiateFileUpload"}, "objectKey"),
    (200, {"type": "initiateFileUpload", "objectKey": "k", "signedUploadUrl": "ftp://x/"}, "signedUploadUrl"),
    (200, {"type": "findFile", "found": True}, "initiateFileUpload"),
    (200, {"type": "initiateFileUpload", "objectKey": "x" * 200000}, "longer than 102400 bytes"),
])
def test_the_gateways_refusal_reaches_the_user(zone, user, tmp_path, status, body, words):
    zone.answers["initiateFileUpload"] = [(status, body)]
    path = written(tmp_path, "file", DATA)
    done = run("store", str(path), env=user, check=1)
    assert words in text(done.stderr)
    assert text(done.stderr).startswith(f"kachery-resource store: {path}: ")
    assert done.stdout == b"" and zone.puts == []


def test_a_bucket_error_reaches_the_user_without_the_signature(zone, user, tmp_path):
    zone.put_answer = (403, "<?xml version='1.0'?><Error><Code>AccessDenied</Code>"
                            "<Message>Request has expired</Message></Error>")
    done = run("store", str(written(tmp_path, "file", DATA)), env=user, check=1)
    assert "the bucket answered 403 Forbidden: AccessDenied: Request has expired" in text(done.stderr)
    assert "secret" not in text(done.stderr)
    assert [p["type"] for p in zone.payloads] == ["initiateFileUpload"] * 2 and len(zone.puts) == 2


@pytest.mark.parametrize("status", [201, 204, 206, 301, 404])
def test_only_200_is_a_success_of_a_put(zone, user, tmp_path, status):
    zone.put_answer = (status, "")
    done = run("store", str(written(tmp_path, "file", DATA)), env=user, check=1)
    assert f"the bucket answered {status}" in text(done.stderr)
    assert [p["type"] for p in zone.payloads] == ["initiateFileUpload"]


def test_a_pending_upload_of_somebody_else_is_waited_for(zone, user, tmp_path):
    zone.answers["initiateFileUpload"] = [(200, {"type": "initiateFileUpload", "alreadyPending": True})]
    run("store", str(written(tmp_path, "file", DATA)), env=user, check=0)
    assert [p["type"] for p in zone.payloads] == ["initiateFileUpload"] * 2 + ["finalizeFileUpload"]
    assert zone.payloads[1]["timestamp"] - zone.payloads[0]["timestamp"] >= 4900


@pytest.mark.parametrize("offset_s", [3600, -3600])
def test_the_gateways_clock_is_taken_over(zone, user, tmp_path, offset_s):
    here = zone.now
    zone.now = lambda: here() + offset_s
    run("store", str(written(tmp_path, "file", DATA)), env=user, check=0)
    assert [p["type"] for p in zone.payloads] == ["initiateFileUpload"] * 2 + ["finalizeFileUpload"]


def test_a_500_is_repeated_once_only(zone, user, tmp_path):
    here = zone.now
    for hours in range(1, 6):  # a clock that runs away
        zone.now = lambda: here() + 3600 * hours
        zone.answers.setdefault("initiateFileUpload", []).append((500, "Error: no", zone.date()))
    done = run("store", str(written(tmp_path, "file", DATA)), env=user, check=1)
    assert len(zone.payloads) == 2 and ": no\n" in text(done.stderr)


@pytest.mark.parametrize("change", ["last byte", "truncate", "append"])
def test_a_file_that_changes_during_the_upload_is_never_published(zone, user, tmp_path, change):
    size = 80 * 327680 + 1000  # the last chunk is shorter than what is held back
    path = written(tmp_path, "file", (os.urandom(1 << 20) * 32)[:size])
    zone.on_put = {"last byte": lambda: flip(path, size - 1), "truncate": lambda: os.truncate(path, size - 1),
                   "append": lambda: path.open("ab").write(b"x")}[change]
    done = run("store", str(path), env=user, check=1)
    assert "changed" in text(done.stderr) or "shorter" in text(done.stderr)
    put, = zone.puts
    assert not put["complete"] and len(put["bytes"]) <= size - 65536
    assert zone.objects == {}
    assert [p["type"] for p in zone.payloads] == ["initiateFileUpload"]
    zone.on_put = None
    run("store", str(path), env=user, check=0)  # as it is now
    assert zone.objects == {sha1(path.read_bytes()): path.read_bytes()}


class Saying200:
    """In front of nginx, which says 201 or 204 to a PUT where S3 says 200: passes bytes on, and changes that word."""

    def __init__(self, port):
        self.port, self.listener = port, socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self.port))
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(*pair, pair[0] is server), daemon=True).start()

    @staticmethod
    def _pass(source, target, is_answer):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_answer:
                    data = data.replace(b"HTTP/1.1 201 Created", b"HTTP/1.1 200 OK").replace(
                        b"HTTP/1.1 204 No Content", b"HTTP/1.1 200 OK\r\nContent-Length: 0")
                target.sendall(data)
        for end in (source, target):  # the end of one side ends both, as a dropped connection does
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def nginx(tmp_path, processes):
    """A bucket: nginx with its dav module, which publishes an upload by a rename, as S3 does."""
    port = harness.free_port()
    root = tmp_path / "nginx"
    (root / "objects").mkdir(parents=True)
    (root / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
        {'user root;' if os.getuid() == 0 else ''}
        events {{ worker_connections 64; }}
        http {{ access_log {root}/access.log; client_body_temp_path {root}/temp; client_max_body_size 0;
          proxy_temp_path {root}/t1; fastcgi_temp_path {root}/t2; uwsgi_temp_path {root}/t3; scgi_temp_path {root}/t4;
          server {{ listen 127.0.0.1:{port}; root {root}/objects;
            location / {{ dav_methods PUT; create_full_put_path on; }} }} }}""")
    processes(harness.Process(program=["nginx", "-p", str(root), "-c", str(root / "nginx.conf"),
                                       "-e", str(root / "error.log")]))

    def answers():
        with contextlib.suppress(OSError):
            return harness.http("GET", f"http://127.0.0.1:{port}/")[0]
    harness.until(answers, "nginx answers")
    front = Saying200(port)
    yield root, front.url
    front.listener.close()


@pytest.mark.parametrize("size", [0, 1, 65537, 20 << 20])
def test_upload_to_and_download_from_nginx(zone, user, tmp_path, nginx, size):
    root, zone.bucket_url = nginx
    data = (os.urandom(1 << 20) * (size // (1 << 20) + 1))[:size]
    path = written(tmp_path, "file", data)
    run("store", str(path), env=user, check=0)
    assert (root / "objects" / object_key(sha1(data))).read_bytes() == data
    zone.objects[sha1(data)] = data
    run("load", f"sha1://{sha1(data)}", "-o", str(tmp_path / "out"), env=user, check=0)
    assert (tmp_path / "out").read_bytes() == data
    harness.until(lambda: "GET /sha1/" in (root / "access.log").read_text(), "nginx has written its log")


def test_an_upload_that_is_cut_never_appears_in_nginx(zone, user, tmp_path, nginx):
    root, zone.bucket_url = nginx
    size = 64 << 20
    path = written(tmp_path, "file", os.urandom(1 << 20) * (size >> 20))
    digest = sha1(path.read_bytes())
    storing = subprocess.Popen([harness.BINARY, "store", str(path)], env=user, stderr=subprocess.PIPE)
    harness.until(lambda: zone.payloads, "the upload has begun")  # and the hash is known
    flip(path, size - 1)
    errors = storing.communicate(timeout=harness.DEADLINE_S)[1]
    if storing.returncode == 0:  # it was faster than the flip: then it is right
        assert sha1((root / "objects" / object_key(digest)).read_bytes()) == digest
    else:
        assert b"the file has changed: its SHA-1 is" in errors
        assert files_below(root / "objects") == []
