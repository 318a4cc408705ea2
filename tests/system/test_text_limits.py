"""The longest that files, arguments and variables may be, and what is said of one byte more."""
import json

import pytest
from harness import Process, run
from zone_double import ABSENT, text
from same_answer import Server, answer

HEAD_OF_A_URL = "http://127.0.0.1:1/"


def of_size(size, start=""):
    return start + "x" * (size - len(start))


# What changes of a good command line, the value that is just allowed, one above it, and what is said of that.
INIT = {
    "name": ("--name", of_size(200), of_size(201), "resourceName"),
    "zone": ("--zone", of_size(200), of_size(201), "kacheryZone"),
    "uploads": ("--max-uploads", "64", "65", "want a whole number 1-64"),
    "proxy": ("--proxy-url", of_size(8192, HEAD_OF_A_URL), of_size(8193, HEAD_OF_A_URL), "want at most 8192"),
    "secret": (None, of_size(1000), of_size(1001), "want 1 to 1000 characters"),
    "file of the secret": (None, of_size(4096, "s\n"), of_size(4097, "s\n"), "more than 4096 bytes"),
}


@pytest.mark.parametrize("name", INIT)
def test_init(store, tmp_path, name):
    option, *values, words = INIT[name]
    for value, status in zip(values, (0, 2)):
        secret = tmp_path / "secret"
        secret.write_text("s" if option else value)
        options = {"--name": "r", "--proxy-url": HEAD_OF_A_URL, "--proxy-secret-file": str(secret),
                   "--config": str(tmp_path / f"{status}.yaml"), **({option: value} if option else {})}
        done = run("init", "--no-input", *[part for pair in options.items() for part in pair], env=store[1])
        assert (done.returncode == 0) == (status == 0) and (status == 0 or words in text(done.stderr)), done


def test_secret_of_a_proxy(tmp_path, processes):
    for size in (4096, 4097):
        (tmp_path / "secret").write_text(of_size(size, "s\n"))
        if size == 4096:
            server = processes(Process("proxy", "--listen", "127.0.0.1:0", "--secret-file", tmp_path / "secret"))
            server.wait_line("listening")
        else:
            done = run("proxy", "--listen", "127.0.0.1:0", "--secret-file", str(tmp_path / "secret"), check=1)
            assert "secret: more than 4096 bytes" in text(done.stderr)


def test_key_file(user):
    from pathlib import Path
    key = Path(user["KACHERY_CLOUD_DIR"]) / "private.pem"
    pem = key.read_text()
    for size, words in ((1024, "want the three lines of a PEM file"), (1025, "more than 1024 bytes")):
        key.write_text(pem + "\n" * (size - len(pem)))
        assert words in text(run("register", "--no-wait", env=user, check=1).stderr)
    key.write_text(pem)
    run("register", "--no-wait", env=user, check=0)


def test_url_of_a_resource(user):
    """And its last part, the name."""
    body = json.dumps({"type": "fileUpload", "status": {"status": "not-found"}})
    server = Server(answer(body=body).encode())
    base = server.url[:-len("r/res")]
    for url, status, words in ((of_size(8186, base) + "/r/res", 3, ""), (of_size(200, "res"), 3, ""),
                               (of_size(8187, base) + "/r/res", 2, "URL of 8193 bytes: want at most 8192"),
                               (of_size(201, "res"), 2, "want its URL")):
        url = url if "/" in url else f"{base}r/{url}"
        done = run("request", f"sha1://{ABSENT}", "--resource", url, env=user)
        assert done.returncode == status and words in text(done.stderr), (len(url), done)
    server.stop()


def test_paths_of_a_list(store, tmp_path):
    """PATH_MAX is 4096 with the NUL: longer ones are refused before any file is looked for, the others go on."""
    (tmp_path / "file").write_text("x")
    paths = [of_size(4096), of_size(4095), str(tmp_path / "file")]
    done = run("link", "--files-from", "-", stdin="\n".join(paths).encode(), env=store[1], check=1)
    assert done.stdout.decode().endswith("\t" + paths[2] + "\n") and len(done.stdout.splitlines()) == 1
    assert len(done.stderr.splitlines()) == 2, done.stderr
