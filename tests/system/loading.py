"""What the tests of downloads share: a file in a bucket that breaks, and the two places that `load` writes to."""
import itertools
import os

import harness
import pytest
from harness import run, sha1
from rough_bucket import RoughBucket
from zone_double import files_below, folder_of, object_key

DATA = os.urandom(1 << 20) + b"odd"
OTHER = os.urandom(len(DATA))
HASH, KEY = sha1(DATA), object_key(sha1(DATA))
HALF = 500000
FEW = "pause_min_ms=10,pause_max_ms=50,attempts=3"


@pytest.fixture
def bucket(zone):
    made = RoughBucket()
    zone.bucket_url, zone.tickets = made.url, itertools.count(1)
    zone.objects[HASH] = DATA
    made.objects[KEY] = DATA
    yield made
    made.stop()
    assert made.failures == []


@pytest.fixture(params=[None, "out"], ids=["store", "file"])
def target(request, user, tmp_path):
    return Target(request.param, user, tmp_path)


class Target:
    """Where `load` writes: the local store, or a file in a folder of its own."""

    def __init__(self, name, user, tmp_path):
        self.user, self.here, self.name = user, tmp_path / "here", name
        self.here.mkdir()
        self.folder = self.here if name else folder_of(user)
        self.final = self.here / name if name else harness.object_path(self.folder, HASH)
        self.part = self.final.parent / f"{HASH}.part"

    @property
    def command(self):
        return ["load", f"sha1://{HASH}", *(["-o", self.name] if self.name else [])]

    def load(self, check=0, patience=None, options=(), **env):
        env = {**self.user, **env, **({"KACHERY_RESOURCE_TEST_PATIENCE": patience + ",lost_ms=0"} if patience else {})}
        return run(*self.command, *map(str, options), env=env, cwd=self.here, check=check)

    def is_right(self):
        return files_below(self.folder) == [self.final] and self.final.read_bytes() == DATA

    def leaves(self, data):
        """A part of the file, and nothing that could be taken for it."""
        return files_below(self.folder) == [self.part] and self.part.read_bytes() == data

    def put_part(self, data):
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.part.write_bytes(data)
        return self.part


def asked(bucket):
    """The first byte of the range of each GET, and whether there is an If-Range."""
    return [(int(get.headers.get("range", "bytes=0-")[6:-1]), "if-range" in get.headers) for get in bucket.gets]


async def cut(line, at=HALF, **more):
    await line.serve(upto=at, **more)
    await line.close()


def finds(zone):
    return [payload["type"] for payload in zone.payloads].count("findFile")
