"""Files and listings for the tests of the local store."""
import json
import os
import time

from harness import run, sha1

OLD = 1_700_000_000
DAY = 24 * 3600


def put(path, data=b"", mtime=OLD):
    """A file whose change is long past."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.utime(path, ns=(mtime * 10**9 + 123456789,) * 2)
    return path


def lines(done):
    """[(URI, path)] of a command's output."""
    return [tuple(os.fsdecode(line).split("\t")) for line in done.stdout.splitlines()]


def python_record(path, digest):
    """What the Python client writes for a file."""
    st = os.stat(path)
    return json.dumps({"path": path, "size": st.st_size, "mtime": st.st_mtime, "sha1": digest})


def cache_file(store, path):
    return store / "mutables" / "@compute_sha1_cache" / sha1(os.fsencode(path))


def left_overs(store):
    """Files in the store that are no content of it."""
    return [str(p) for p in store.rglob("*") if p.is_file() and ".tmp." in p.name]


def listing(env, *uris, verb="ls", check=0):
    return json.loads(run(verb, *uris, "--json", env=env, check=check).stdout)


def sparse(path, size):
    """A large file that takes no room and long to read."""
    with open(path, "wb") as f:
        f.truncate(size)
    os.utime(path, (OLD, OLD))
    return str(path)


def left(path, age_s):
    """A file that was last written so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half of it")
    os.utime(path, (time.time() - age_s,) * 2)
    return path
