"""The commands that read files which only a host has, and print the URLs of such files (EXTENSIONS.md §3)."""
import hashlib
import json
import signal
import urllib.request

import harness
import pytest
from cutting_proxy import Cut, CuttingProxy
from harness import Process, Server, clean_environment, run, until
from range_sharing import LEAF, Sharing, noise
from store_files import manifest_from, manifest_path


def digits(name):
    return hashlib.sha1(name.encode()).hexdigest()[:8]


def fetch(url):
    with urllib.request.urlopen(url, timeout=harness.DEADLINE_S) as answer:
        return answer.read()


def test_url_prints_what_any_program_opens(sharing):
    data = noise(2 * LEAF + 3)
    path = sharing.put("rec.nwb", data)
    env, uri = sharing.lab.remote, f"sha1://{path[3:]}"
    base = sharing.lab.url + path
    cases = [((uri,), base), ((f"{uri}?label=rec.nwb",), f"{base}.{digits('rec.nwb')}/rec.nwb"),
             ((f"{uri}?label=data/a%20b.h5",), f"{base}.{digits('a b.h5')}/a%20b.h5"),
             ((f"{uri}?label=rec.nwb", "--name", "größe 1.h5"), f"{base}.{digits('größe 1.h5')}/gr%C3%B6%C3%9Fe%201.h5")]
    for arguments, url in cases:
        done = run("url", *arguments, env=env, check=0)
        assert (done.stdout.decode(), done.stderr) == (url + "\n", b"")
        assert fetch(url) == data
    assert json.loads(run("url", uri, "--json", env=env, check=0).stdout) == {"url": base, "expires": None}
    sharing.bytes_left(len(data))


def test_url_says_when_nobody_can_read_now(lab):
    uri = "sha1://" + "1" * 40
    done = run("url", uri, env=lab.remote, check=0)
    assert done.stdout.decode() == f"{lab.url}/f/{'1' * 40}\n" and b"the URL works once one shares it" in done.stderr
    daemon = Sharing(lab)
    daemon.put("small", b"content")
    assert run("url", "-q", uri, env=lab.remote, check=0).stderr == b""


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "x" * 1025])
def test_url_takes_only_names_that_clients_leave_alone(lab, name):
    done = run("url", "sha1://" + "1" * 40, "--name", name, env=lab.remote, check=2)
    assert b"want a file's name" in done.stderr and done.stdout == b""


def test_url_needs_public_downloads_and_a_hub(lab, tmp_path):
    settings = lab.data / "settings" / "authorizationSettings.yaml"
    settings.write_text("allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers: []\n")
    done = run("url", "sha1://" + "1" * 40, env=lab.remote, check=1)
    assert b"downloads of the zone \"default\" are not public" in done.stderr and done.stdout == b""
    gateway = lab.keep(Server("gateway", "--data", str(tmp_path / "other"), env=clean_environment(HOME=tmp_path)))
    done = run("url", "sha1://" + "1" * 40, env={**lab.remote, "KACHERY_GATEWAY_URL": gateway.url}, check=1)
    assert b"does not announce" in done.stderr and done.stdout == b""


# ---- load and cat ----

def uri_of(path):
    return f"sha1://{path[3:]}"


def objects(lab):
    return [path for path in (lab.data / "sha1").rglob("*") if path.is_file()]


def stored(lab):
    return [path for path in lab.remote_store.rglob("*") if path.is_file() and path.stat().st_size > 1000]


@pytest.mark.parametrize("size", [0, 1, LEAF, LEAF + 1, 9 * LEAF + 77])
def test_load_reads_from_the_host(sharing, stranger, size, tmp_path):
    data = noise(size)
    uri = uri_of(sharing.put("file", data))
    for options in ([], ["--no-request"]):
        out = tmp_path / f"out{len(options)}"
        done = run("load", uri, "-o", str(out), *options, env=stranger, check=0)
        assert (out.read_bytes(), done.stderr) == (data, b"")
    path = run("load", uri, env=sharing.lab.remote, check=0).stdout.decode().strip()
    assert path.startswith(str(sharing.lab.remote_store)) and open(path, "rb").read() == data
    assert not objects(sharing.lab)
    sharing.bytes_left(size)


def test_several_are_loaded_and_the_absent_one_is_told(sharing, stranger, tmp_path):
    files = {f"file{n}": noise((n + 1) * LEAF, n) for n in range(4)}
    uris = [f"{uri_of(sharing.put(name, data))}?label={name}" for name, data in files.items()]
    done = run("load", *uris, "sha1://" + "1" * 40, "-d", str(tmp_path / "out"), env=stranger, check=3)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    assert b"not in the zone" in done.stderr and not objects(sharing.lab)


def test_cat_prints_a_range_and_keeps_nothing(sharing, stranger):
    data = noise(20 * LEAF + 9)
    uri = uri_of(sharing.put("big", data))
    for start, end in ((7 * LEAF + 5, 7 * LEAF + 50), (7 * LEAF, 8 * LEAF), (20 * LEAF, None)):
        ends = [] if end is None else ["--end", str(end)]
        done = run("cat", uri, "--start", str(start), *ends, env=stranger, check=0)
        assert (done.stdout, done.stderr) == (data[start:end], b"")
    sharing.bytes_left(LEAF + 9)
    assert not stored(sharing.lab) and not objects(sharing.lab)
    assert run("cat", uri, env=stranger, check=0).stdout == data


def test_cat_checks_a_part_of_a_private_object(sharing, stranger):
    """The hub shows its manifest to those who may read, and to nobody else."""
    data = noise(3 * LEAF)
    path = sharing.put("big", data)
    uri = uri_of(path)
    run("request", uri, "--wait", env=sharing.lab.remote, check=0)
    (sharing.lab.data / "settings/authorizationSettings.yaml").write_text(
        "allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers:\n- userId: local\n  upload: true\n"
        "  download: true\n")
    reader = sharing.lab.environment(sharing.lab.remote_store)
    done = run("cat", uri, "--start", str(LEAF - 3), "--end", str(LEAF + 6), env=reader, check=0)
    assert (done.stdout, done.stderr) == (data[LEAF - 3:LEAF + 6], b"")
    done = run("cat", uri, "--end", "9", env={**stranger, "KACHERY_CLOUD_DIR": str(sharing.lab.folder / "nobody")})
    assert done.returncode == 1 and done.stdout == b"", done
    assert sharing.ask(path)[0].status == sharing.ask(f"{path}?manifest")[0].status == 404
    sharing.bytes_left(0)  # the object was uploaded, and nothing was read from the host
    bucket_object, = objects(sharing.lab)
    with open(bucket_object, "r+b") as file:
        file.seek(2 * LEAF + 1)
        file.write(bytes([data[2 * LEAF + 1] ^ 1]))
    done = run("cat", uri, "--start", str(2 * LEAF), env=reader, check=0)
    assert done.stdout == data[2 * LEAF:]  # of the damaged block, the host has the right bytes
    sharing.bytes_left(LEAF)


def test_cat_behind_the_end(sharing, stranger):
    uri = uri_of(sharing.put("big", noise(LEAF + 1)))
    done = run("cat", uri, "--start", str(LEAF + 2), env=stranger, check=1)
    assert b"the file has 262145 bytes" in done.stderr and done.stdout == b""


def through(sharing, proxy):
    return {**sharing.lab.environment(sharing.lab.remote_store), "KACHERY_GATEWAY_URL": f"http://127.0.0.1:{proxy.port}"}


def test_load_goes_on_where_the_line_broke(sharing, tmp_path):
    data = noise(30 * LEAF)
    uri = uri_of(sharing.put("big", data))
    proxy = CuttingProxy(int(sharing.lab.url.rsplit(":", 1)[1]))
    proxy.cuts = [Cut(down=9 * LEAF), Cut(down=5 * LEAF), Cut(down=LEAF // 2)]
    run("load", uri, "-o", str(tmp_path / "out"), env=through(sharing, proxy), check=0)
    proxy.stop()
    assert (tmp_path / "out").read_bytes() == data
    assert sum(passed["down"] for passed in proxy.passed) < len(data) + 10 * LEAF and len(proxy.passed) >= 4
    until(lambda: sharing.status()["totals"]["rangeBytes"] >= len(data), "all of it left the host")
    assert sharing.status()["totals"]["rangeBytes"] < 1.5 * len(data)  # what was on its way when the line broke may come twice


def test_an_interrupted_load_is_resumed_by_the_next(sharing, tmp_path):
    data = noise(30 * LEAF)
    uri = uri_of(sharing.put("big", data))
    proxy = CuttingProxy(int(sharing.lab.url.rsplit(":", 1)[1]))
    loaders = []
    proxy.cuts = [Cut(down=20 * LEAF, then=lambda: loaders[0].process.kill())]
    loaders.append(Process("load", uri, env=through(sharing, proxy)))
    assert loaders[0].wait() == -signal.SIGKILL
    before = sum(passed["down"] for passed in proxy.passed)
    path = run("load", uri, env=through(sharing, proxy), check=0).stdout.decode().strip()
    proxy.stop()
    assert open(path, "rb").read() == data
    assert sum(passed["down"] for passed in proxy.passed) - before < 25 * LEAF


def test_load_survives_a_restart_of_the_host(sharing, stranger, tmp_path):
    data = noise(40 * LEAF)
    uri = uri_of(sharing.put("big", data))
    proxy = CuttingProxy(int(sharing.lab.url.rsplit(":", 1)[1]))

    def restart():
        sharing.daemon.process.kill()
        sharing.daemon.process.wait()
        sharing.lab.share(wait=False)
    proxy.cuts = [Cut(down=9 * LEAF, then=restart)]
    run("load", uri, "-o", str(tmp_path / "out"), env=harness.patient(through(sharing, proxy)), check=0, timeout=90)
    proxy.stop()
    assert (tmp_path / "out").read_bytes() == data


def test_load_waits_for_a_host_that_prepares(sharing, stranger):
    data = noise(400 * LEAF)
    (sharing.lab.folder / "big").write_bytes(data)
    run("link", "--no-manifest", str(sharing.lab.folder / "big"), env=sharing.lab.host, check=0)
    uri, reader = f"sha1://{hashlib.sha1(data).hexdigest()}", harness.patient(stranger)
    done = run("cat", uri, "--start", str(300 * LEAF), "--end", str(300 * LEAF + 4), env=reader, check=0)
    assert (done.stdout, done.stderr) == (data[300 * LEAF:300 * LEAF + 4], b"")
    assert run("cat", uri, env=reader, check=0).stdout == data


@pytest.fixture
def impatient(tmp_path):
    """A lab whose hub soon gives up its hosts."""
    lab = harness.Lab(tmp_path)
    lab.hub = lab.keep(Server("hub", "--data", str(lab.data), "--open-registration", "--secret-file", str(lab.secret_file),
                              env=clean_environment(HOME=tmp_path, KACHERY_RESOURCE_TEST_HUB_INTERVALS="range_wait_ms=3000")))
    lab.register()
    yield Sharing(lab)
    lab.stop()


def test_what_no_host_can_send_is_asked_of_the_resource(impatient):
    lab = impatient.lab
    path = impatient.put("big", noise(3 * LEAF))
    (lab.folder / "big").write_bytes(noise(3 * LEAF, 2))
    for command in (["load"], ["cat", "--end", "9"]):
        done = run(command[0], uri_of(path), *command[1:], env=lab.remote)
        assert done.returncode in (1, 3) and f'resource "{lab.name}"'.encode() in done.stderr, done.stderr
        assert not stored(lab)


def test_a_host_that_lies_about_the_hash(sharing, stranger):
    """Its manifest is right for its bytes, and its record says that they are another file: the hub, which hashes what it
    sends, cuts the answer before its last bytes."""
    lab = sharing.lab
    port = lab.hub.port
    lab.hub.stop()  # the next one does not wait for daemons of before
    lab.hub_environment = {"KACHERY_RESOURCE_TEST_HUB_INTERVALS": "range_start_ms=0"}
    lab.start_hub(f"127.0.0.1:{port}").wait_line("daemon connected")
    data, other = noise(3 * LEAF), noise(3 * LEAF, 2)
    path = sharing.put("big", data)
    digest, store = path[3:], lab.host_store
    file = sharing.lab.folder / "big"
    before = file.stat()
    with open(file, "r+b") as opened:
        opened.write(other)
    harness.os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    leaves = [hashlib.sha256(other[i:i + LEAF]).digest() for i in range(0, len(other), LEAF)]
    manifest_path(store, digest).write_bytes(manifest_from(leaves, len(other), bytes.fromhex(digest)))
    done = run("load", uri_of(path), env=stranger)
    assert done.returncode in (1, 3) and b"connection cut after" in done.stderr, done.stderr
    assert done.stdout == b"" and "signed a root of another content" in sharing.lab.hub.wait_line("signed a root")


def test_a_private_zone_is_as_before(sharing, tmp_path):
    data = noise(2 * LEAF)
    uri = uri_of(sharing.put("big", data))
    (sharing.lab.data / "settings" / "authorizationSettings.yaml").write_text(
        "allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers:\n  - userId: local\n    download: true\n")
    assert run("cat", uri, env=sharing.lab.remote, check=0).stdout == data
    assert len(objects(sharing.lab)) == 1
    sharing.bytes_left(0)


def test_a_host_of_another_zone_is_not_asked(sharing, stranger):
    uri = uri_of(sharing.put("big", noise(2 * LEAF)))
    (sharing.lab.data / "registered-zones").mkdir(exist_ok=True)
    (sharing.lab.data / "registered-zones" / "other").write_text(json.dumps(
        {"zone": "other", "ownerId": "somebody", "bucketName": "default", "directory": "zones/other"}))
    env = {**stranger, "KACHERY_ZONE": "other"}
    run("load", uri, env=env, check=3)
    run("info", uri, env=env, check=3)
    assert b"the hub's own zone does not have" in run("url", uri, env=env, check=0).stderr
    sharing.bytes_left(0)


# ---- info, request ----

def test_info_says_that_a_host_has_it(sharing, stranger):
    data = noise(2 * LEAF)
    uri = uri_of(sharing.put("big", data))
    assert run("info", uri, env=stranger, check=0).stdout.decode() == \
        f"readable from a connected host, not in the zone\nsize: {len(data)}\n"
    assert json.loads(run("info", uri, "--json", env=stranger, check=0).stdout)["found"] is False
    run("info", "sha1://" + "1" * 40, env=stranger, check=3)
    run("request", uri, "--wait", env=sharing.lab.remote, check=0)
    assert len(objects(sharing.lab)) == 1
    assert b"readable" not in run("info", uri, env=stranger, check=0).stdout
    sharing.bytes_left(0)
