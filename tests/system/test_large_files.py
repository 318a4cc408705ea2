"""Files above 2^32 and above 5,000,000,000 bytes, the most that deployed gateways take."""
import contextlib
import hashlib
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import urllib.parse

import pytest

import harness
from harness import object_path, run, until
from store_files import OLD, cache_file, put_manifest_of_zeros, python_record, sparse

LIMIT = 5_000_000_000
WORDS = "takes at most 5,000,000,000 bytes of one file: a hub of your own (kachery-resource hub) has no limit but its disk"


def known(folder, path, size):
    """A file of that size whose hash is in the hash cache, and which has a manifest: nobody reads it."""
    sparse(path, size)
    digest = hashlib.sha1(path.encode()).hexdigest()
    cache = cache_file(pathlib.Path(folder), path)
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(python_record(path, digest))
    put_manifest_of_zeros(folder, size, digest)
    return digest


@pytest.fixture
def deployed(zone, user):
    """A gateway that announces nothing, and its user."""
    zone.opens_registration = False
    shutil.rmtree(pathlib.Path(user["KACHERY_CLOUD_DIR"]) / "deployed-gateways", ignore_errors=True)
    return zone, user


def warnings(done):
    return [line for line in done.stderr.decode().splitlines() if "5,000,000,000" in line]


# ---- the limit of a deployed gateway ----

def test_link_and_ls_know_the_limit_of_the_gateway_that_was_asked(deployed, tmp_path):
    zone, user = deployed
    store = user["KACHERY_CLOUD_DIR"]
    paths = [str(tmp_path / name) for name in ("exactly", "one more", "large")]
    for path, size in zip(paths, (LIMIT, LIMIT + 1, 3 * LIMIT)):
        known(store, path, size)
    for words in (["link", *paths], ["ls"]):  # nobody has been asked yet
        assert warnings(run(*words, env=user, check=0)) == []
    run("info", "sha1://" + "0" * 40, env=user, check=3)
    for words in ["link", *paths], ["ls"]:
        told = warnings(run(*words, env=user, check=0))
        assert len(told) == 1 and "and 1 more" in told[0] and "warning" in told[0]
        assert re.search(f"({LIMIT + 1}|{3 * LIMIT}) bytes, but the gateway {re.escape(zone.url + ' ' + WORDS)}", told[0])
        assert warnings(run(*words, "-q", env=user, check=0)) == []
    # of another URL nothing is known, a slash at the end is the same one; and what we write is no record of others
    assert warnings(run("ls", env={**user, "KACHERY_GATEWAY_URL": zone.url + "/other"}, check=0)) == []
    assert len(warnings(run("ls", env={**user, "KACHERY_GATEWAY_URL": zone.url + "/"}, check=0))) == 1
    assert len(json.loads(run("ls", "--json", env=user, check=0).stdout)) == 3
    [kept] = (pathlib.Path(store) / "deployed-gateways").iterdir()
    assert kept.name == urllib.parse.quote(zone.url, safe="") and list(kept.iterdir()) == []




def test_our_own_gateway_has_no_limit(lab):
    large = str(lab.folder / "large")
    known(lab.host_store, large, LIMIT + 1)
    for words in (["link", large], ["ls"]):
        assert warnings(run(*words, env=lab.host, check=0)) == []
    # another gateway was there before, or an older version of ours
    (lab.host_store / "deployed-gateways" / urllib.parse.quote(lab.url, safe="")).mkdir(parents=True)
    assert len(warnings(run("ls", env=lab.host, check=0))) == 1
    run("info", "sha1://" + "0" * 40, env=lab.host, check=3)
    assert warnings(run("ls", env=lab.host, check=0)) == []


def test_what_cannot_be_remembered_is_no_error(deployed, tmp_path):
    zone, user = deployed
    store = pathlib.Path(user["KACHERY_CLOUD_DIR"])
    (store / "deployed-gateways").write_text("somebody's file")
    large = str(tmp_path / "large")
    known(store, large, LIMIT + 1)
    assert run("info", "sha1://" + "0" * 40, env=user, check=3).stderr.count(b"\n") == 1
    assert warnings(run("link", large, env=user, check=0)) == []
    none = tmp_path / "none"
    zone.is_anonymous = True
    run("info", "sha1://" + "0" * 40, env={**user, "KACHERY_CLOUD_DIR": str(none)}, check=3)
    assert not none.exists()  # a store is not made for that


@pytest.mark.parametrize("options", [[], ["--cache-locally"]])
def test_store_says_it_before_it_reads(deployed, tmp_path, options):
    zone, user = deployed
    large = sparse(str(tmp_path / "large"), 400 * LIMIT)  # takes an hour to hash
    done = run("store", *options, large, env=user, check=1)
    assert f"{large}: {400 * LIMIT} bytes, but the gateway {zone.url} {WORDS}" in done.stderr.decode()
    assert not [p for p in zone.payloads if p["type"] == "initiateFileUpload"]


def test_a_host_says_it_to_who_asks(desk):
    """The daemon asks first, reads later; its gateway is a deployed one."""
    large = str(desk.folder / "large")
    digest = known(desk.env["KACHERY_CLOUD_DIR"], large, LIMIT + 1)
    run("link", large, env=desk.env, check=0)
    desk.zone.answers["initiateFileUpload"] = [(500, f"Error: File too large: {LIMIT + 1} > {LIMIT}")]
    desk.share()
    status = desk.proxy.status(f"sha1://{digest}")
    assert status["status"] == "error"
    assert f"File too large: {LIMIT + 1} > {LIMIT}: {LIMIT + 1} bytes, but the gateway" in status["error"]
    assert WORDS in status["error"]
    until(lambda: warnings(run("ls", env=desk.env, check=0)), "the daemon has remembered its gateway")


@pytest.mark.parametrize("status, code", [
    ({"status": "queued", "size": LIMIT + 1}, 4),
    ({"status": "running", "size": LIMIT + 1, "bytesUploaded": 2**32 + 5}, 4),
    ({"status": "error", "error": f"Error in initiateFileUpload: File too large: {LIMIT + 1} > {LIMIT}"}, 1),
])
def test_request_says_it(deployed, status, code):
    zone, user = deployed
    zone.states = [status]
    done = run("request", "sha1://" + "1" * 40, "--resource", f"{zone.url}/r/lab", "--timeout", "1", env=user, check=code)
    assert "a hub of your own (kachery-resource hub) has no limit but its disk" in done.stderr.decode()
    if status["status"] == "running":
        assert done.stdout == f"running {2**32 + 5} of {LIMIT + 1} bytes\n".encode()


# ---- all of it ----

SIZE = 6_000_000_019  # above 2^32 and the deployed limit, and odd


def screen_of(words, env, is_enough):
    """What a terminal shows of a command, which is ended by Ctrl-C once it is enough."""
    master, slave = pty.openpty()
    child = subprocess.Popen([harness.BINARY, *words], env=env, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    shown = b""
    with os.fdopen(master, "rb", buffering=0) as reader, contextlib.suppress(OSError):  # the end of a terminal
        while piece := reader.read(65536):
            shown += piece
            if is_enough(shown.decode(errors="replace")):
                child.send_signal(2)
                break
        while reader.read(65536):
            pass
    child.wait(timeout=harness.DEADLINE_S)
    return shown.decode(errors="replace")


def percents(shown):
    """The amounts as the progress line shows them: done and total in GB."""
    return [(float(a), float(b)) for a, b in re.findall(r"([0-9.]+)/([0-9.]+) GB", shown)]


@pytest.mark.timeout(3600)
def test_six_gigabytes(request, lab):
    """Linked, asked for, uploaded, interrupted and resumed, read in parts, verified; each with bytes above 2^32."""
    if not request.config.getoption("--large"):
        pytest.skip("only with --large")
    large = lab.folder / "large"
    sparse(str(large), SIZE)
    marks = {0: b"first", 2**31 - 3: b"around 2^31", 2**32 - 3: b"around 2^32", LIMIT - 3: b"around the limit", SIZE - 4: b"last"}
    with open(large, "r+b") as f:
        for at, mark in marks.items():
            f.seek(at)
            f.write(mark)
    os.utime(large, (OLD, OLD))
    done = run("link", str(large), "--json", env=lab.host, check=0, timeout=900)
    [entry] = json.loads(done.stdout)
    assert entry["size"] == SIZE and warnings(done) == []
    uri = entry["uri"]
    lab.share()
    asked = json.loads(run("request", uri, "--json", "--timeout", "1", env=lab.remote, check=4).stdout)
    assert asked["size"] == SIZE and 0 <= asked["bytes_uploaded"] <= SIZE
    shown = screen_of(["request", uri, "--wait"], lab.remote, lambda text: any(4.3 < a < 6 for a, _ in percents(text)))
    assert all(b == 6.0 and 0 <= a <= 6 for a, b in percents(shown)) and percents(shown) == sorted(percents(shown))
    run("request", uri, "--wait", env=lab.remote, check=0, timeout=1800)
    stored = object_path(lab.data, uri[7:47])
    assert stored.stat().st_size == SIZE

    output = lab.folder / "out"
    for floor in (1.0, 4.4):  # interrupted twice, once above 2^32
        shown = screen_of(["load", uri, "-o", str(output)], lab.remote,
                          lambda text, floor=floor: any(a > floor for a, _ in percents(text.rpartition("checking")[2] or text)))
        part = lab.folder / f"{uri[7:47]}.part"
        assert part.stat().st_size > floor * 1e9 - 1e8 and not output.exists()
        assert all(b == 6.0 for _, b in percents(shown))
    run("load", uri, "-o", str(output), env=lab.remote, check=0, timeout=1800)
    with open(output, "rb") as f:
        assert f.seek(0, 2) == SIZE
        for at, mark in marks.items():
            f.seek(at)
            assert f.read(len(mark)) == mark
    assert run("cat", uri, "--start", str(LIMIT - 3), "--end", str(LIMIT + 1), env=lab.remote, check=0,
               timeout=900).stdout == b"arou"
    assert run("cat", uri, "--start", str(SIZE - 4), env=lab.remote, check=0, timeout=900).stdout == b"last"

    for store_env in (lab.host, lab.remote):
        done = run("verify", env=store_env, timeout=1800)
        assert f"{SIZE}\t" in done.stdout.decode() or done.stdout == b""
    url = json.loads(run("info", uri, "--json", env=lab.remote, check=0).stdout)
    assert url["size"] == SIZE
    output.unlink()
    assert run("store", str(large), env=lab.host, check=0, timeout=900).stdout.decode().startswith(uri)
    run("store-local", str(large), env=lab.host, check=0, timeout=1800)
    assert lab.host_store.joinpath("sha1").exists() and os.stat(object_path(lab.host_store, uri[7:47])).st_size == SIZE
