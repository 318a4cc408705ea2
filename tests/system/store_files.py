"""Files and listings for the tests of the local store."""
import hashlib
import json
import os
import struct
import time

from harness import object_path, run, sha1

OLD = 1_700_000_000
LEAF = 262144
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


def manifest_from(leaves, size, sha1_bytes):
    """The manifest (EXTENSIONS.md §2) of a file whose blocks have these hashes."""
    pages = b"".join(hashlib.sha256(b"".join(leaves[i:i + 1024])).digest() for i in range(0, len(leaves), 1024))
    length = struct.pack("<Q", size)
    root = hashlib.sha256(b"kachery-manifest-1\n" + length + sha1_bytes + pages).digest()
    return b"kchmfst1" + length + sha1_bytes + root + pages + b"".join(leaves)


def manifest_of(data):
    leaves = [hashlib.sha256(data[i:i + LEAF]).digest() for i in range(0, len(data), LEAF)]
    return manifest_from(leaves, len(data), hashlib.sha1(data).digest())


def manifest_path(store, digest):
    return object_path(store, digest, "manifests/sha1")


def put_manifest_of_zeros(store, size, digest):
    """For a sparse file that is said to have this SHA-1."""
    whole, rest = divmod(size, LEAF)
    leaves = [hashlib.sha256(bytes(LEAF)).digest()] * whole
    leaves += [hashlib.sha256(bytes(rest)).digest()] if rest else []
    put(str(manifest_path(store, digest)), manifest_from(leaves, size, bytes.fromhex(digest)))


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
