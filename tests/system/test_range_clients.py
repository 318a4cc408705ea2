"""Programs that are not ours open a file that only the host has, by its URL below /f/ (EXTENSIONS.md §3), and get the
right values; the host says how many bytes left it. Each once more while the daemon is away for a moment."""
import hashlib
import json
import random
import shutil
import subprocess
import threading
import time

import harness
import pytest
from harness import until

LEAF = 262144
PYTHON = "/usr/bin/python3"


def has_module(name):
    return subprocess.run([PYTHON, "-c", f"import {name}"], capture_output=True).returncode == 0


def needs(*programs, modules=()):
    missing = [p for p in programs if shutil.which(p) is None] + [m for m in modules if not has_module(m)]
    return pytest.mark.skipif(bool(missing), reason=f"not on this machine: {' '.join(missing)}")


class Host:
    """A lab that shares what a test makes; a client is a command line that gets the URL of it."""

    def __init__(self, lab):
        self.lab = lab
        lab.write_config()
        self.env = {**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": "line_idle_ms=1500"}
        self.daemon = lab.share(env=self.env)

    def share(self, path):
        self.lab.link(path)
        digest = hashlib.sha1(path.read_bytes()).hexdigest()
        return f"{self.lab.url}/f/{digest}.{hashlib.sha1(path.name.encode()).hexdigest()[:8]}/{path.name}"

    def totals(self):
        return json.loads((self.lab.folder / "kachery-resource.status.json").read_text())

    def left(self):
        """Bytes that left the host, all told: once it has closed the file again."""
        until(lambda: self.totals()["totals"]["rangeBytes"] and self.totals()["openFiles"] == 0, "the host has counted")
        return self.totals()["totals"]["rangeBytes"]

    def away_for_a_moment(self):
        """Kills the daemon; starts it again in a while."""
        self.daemon.process.kill()
        self.daemon.process.wait()

        def back():
            time.sleep(2)
            self.daemon = self.lab.share(wait=False, env=self.env)
        thread = threading.Thread(target=back)
        thread.start()
        return thread


@pytest.fixture
def host(lab):
    """A lab whose host shares files, and counts the bytes that leave it."""
    return Host(lab)


def client(command, url):
    """What the command prints; `URL` in it is the file's."""
    done = subprocess.run([word.replace("URL", url) for word in command], capture_output=True,
                          timeout=2 * harness.DEADLINE_S, env=harness.clean_environment(HOME="/nonexistent"))
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def read_twice(host, path, command, want, most):
    """The client gets `want`, and no more than `most` bytes leave the host; then the same with a daemon that comes back."""
    url = host.share(path)
    assert client(command, url) == want
    left = host.left()
    assert left <= most, f"{left} bytes left the host, {most} were enough"
    other = path.with_name(f"again-{path.name}")  # nothing of it is known to the hub
    make_other(path, other)
    url = host.share(other)
    thread = host.away_for_a_moment()
    try:
        assert client(command, url) == want
    finally:
        thread.join()


def make_other(path, other):
    """The same content to a client, and another hash: with a byte behind its end, or a note in it."""
    shutil.copy(path, other)
    with open(other, "ab") as file:
        file.write(b"\0")


HDF5 = """
import h5py, numpy
with h5py.File({path!r}, "w", libver="earliest") as file:
    data = numpy.arange(8_000_000, dtype="float64").reshape(8000, 1000)
    file.create_dataset("data", data=data, chunks=(100, 100))
    for i in range(50):
        file.create_group(f"group{{i}}").attrs["number"] = i
"""

WALK = """
print(float(file["data"][1500, 700]), int(file["group37"].attrs["number"]))
"""


def make_hdf5(folder):
    path = folder / "rec.h5"
    subprocess.run([PYTHON, "-c", HDF5.format(path=str(path))], check=True)
    return path


HDF5_CLIENTS = {
    "ros3": "import h5py, sys\nfile = h5py.File(sys.argv[1], 'r', driver='ros3')",
    "fsspec": "import fsspec, h5py, sys\nfile = h5py.File(fsspec.open(sys.argv[1], 'rb').open(), 'r')",
    "fsspec-block": "import fsspec, h5py, sys\n"
                    "file = h5py.File(fsspec.filesystem('http').open(sys.argv[1], cache_type='block', "
                    "block_size=2**18), 'r')",
    "fsspec-caching": "import fsspec, h5py, sys, tempfile\n"
                      "fs = fsspec.filesystem('blockcache', target_protocol='http', cache_storage=tempfile.mkdtemp())\n"
                      "file = h5py.File(fs.open(sys.argv[1], block_size=2**18), 'r')",
}


@needs(modules=["h5py", "fsspec"])
@pytest.mark.parametrize("name", HDF5_CLIENTS)
def test_hdf5(host, tmp_path, name):
    path = make_hdf5(tmp_path)
    command = [PYTHON, "-c", HDF5_CLIENTS[name] + WALK, "URL"]
    most = 30 * LEAF if name != "fsspec" else path.stat().st_size // 2  # that one reads 5 MB at a time
    read_twice(host, path, command, b"1500700.0 37\n", most)


@needs("gdal_create", "gdallocationinfo")
def test_gdal(host, tmp_path):
    path = tmp_path / "map.tif"
    subprocess.run(["gdal_create", "-q", "-of", "GTiff", "-outsize", "4000", "4000", "-burn", "7", "-a_srs", "EPSG:4326",
                    "-a_ullr", "0", "10", "10", "0", path], check=True)
    command = ["gdallocationinfo", "-valonly", "/vsicurl/URL", "1234", "2345"]
    read_twice(host, path, command, b"7\n", 8 * LEAF)


@needs("ffmpeg")
def test_ffmpeg_seeks(host, tmp_path):
    path = tmp_path / "behaviour.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=duration=120:size=640x480:rate=15", "-c:v",
                    "mpeg4", "-b:v", "2M", "-g", "30", path], check=True)
    frame = ["-v", "error", "-ss", "100", "-i", "SOURCE", "-frames:v", "1", "-f", "framemd5", "-"]
    want = subprocess.run(["ffmpeg", *[w.replace("SOURCE", str(path)) for w in frame]], capture_output=True,
                          check=True).stdout
    read_twice(host, path, ["ffmpeg", *[w.replace("SOURCE", "URL") for w in frame]], want, path.stat().st_size // 2)


def noise(folder, size):
    path = folder / "noise.bin"
    path.write_bytes(random.Random(size).randbytes(size))
    return path


@needs("curl")
def test_curl(host, tmp_path):
    path = noise(tmp_path, 20 * LEAF)
    read_twice(host, path, ["curl", "-sSf", "-r", "3000000-3000099", "URL"], path.read_bytes()[3000000:3000100], LEAF)


@needs("wget")
def test_wget(host, tmp_path):
    path = noise(tmp_path, 20 * LEAF)
    url = host.share(path)
    assert client(["wget", "-q", "-O", "-", "URL"], url) == path.read_bytes()
    assert host.left() == path.stat().st_size


@needs("aria2c")
def test_aria2(host, tmp_path):
    path = noise(tmp_path, 40 * LEAF)
    url = host.share(path)
    client(["aria2c", "-q", "-x4", "-s4", "-k1M", "-d", str(tmp_path), "-o", "got", "URL"], url)
    assert (tmp_path / "got").read_bytes() == path.read_bytes()
    assert host.left() <= 1.5 * path.stat().st_size


@needs("rclone")
def test_rclone(host, tmp_path):
    path = noise(tmp_path, 20 * LEAF)
    url = host.share(path)
    base, name = url.rsplit("/", 1)
    client(["rclone", "--config", "/dev/null", "copyto", "--http-url", base, f":http:{name}", str(tmp_path / "got")], url)
    assert (tmp_path / "got").read_bytes() == path.read_bytes()
    assert host.left() == path.stat().st_size


REMFILE = """
import requests, sys
session = requests.Session()
first = session.get(sys.argv[1], stream=True)
size = int(first.headers["Content-Length"])
first.close()
def part(start, end):
    return session.get(sys.argv[1], headers={"Range": f"bytes={start}-{end - 1}"}).content
got = part(size - 200000, size - 200000 + 102400)
for start in range(0, 2_000_000, 102400):
    got += part(start, start + 102400)
sys.stdout.buffer.write(got)
"""


@needs(modules=["requests"])
def test_remfiles_way(host, tmp_path):
    """A bare GET that is given up, then ranges of 100 KiB, without a look at the status."""
    path = noise(tmp_path, 40 * LEAF)
    data = path.read_bytes()
    want = data[-200000:-200000 + 102400] + b"".join(data[s:s + 102400] for s in range(0, 2_000_000, 102400))
    url = host.share(path)
    assert client([PYTHON, "-c", REMFILE, "URL"], url) == want
    assert host.left() <= 1.5 * (8 + 2 + 4) * LEAF
