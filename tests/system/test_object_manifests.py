"""The manifests of objects (EXTENSIONS.md §2): made while they are received, checked or first read; below /f/ each block
of an object is proven by them."""
import http.client
import os
import threading

import harness
import pytest
from harness import run, until
from range_sharing import LEAF, noise
from store_files import manifest_of

DATA = noise(9 * LEAF + 77)
DIGEST = harness.sha1(DATA)
PATH, TAG = f"/f/{DIGEST}", f'"{DIGEST}-{manifest_of(DATA)[36:44].hex()}"'


@pytest.fixture
def stored(settled):
    """A lab whose bucket has an object that no host has."""
    path = settled.lab.folder / "object"
    path.write_bytes(DATA)
    run("store", path, env=settled.lab.remote, check=0)
    return settled


def object_of(sharing):
    return harness.object_path(sharing.lab.data, DIGEST)


def manifest_file(sharing):
    return harness.manifest_of_object(sharing.lab.data, DIGEST)


def flip(path, at):
    """One bit, and the times stay what they were."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def verify(sharing, *options):
    return run("gateway", "verify", "--data", sharing.lab.data, *options)


def test_it_is_made_while_the_object_is_received(stored):
    assert manifest_file(stored).read_bytes() == manifest_of(DATA)
    assert manifest_file(stored).stat().st_mode & 0o777 == 0o600
    answer, body = stored.ask(PATH)
    assert (answer.status, answer.headers["ETag"], body) == (200, TAG, DATA)
    assert stored.ask(f"{PATH}?manifest")[1] == manifest_of(DATA)
    connection = stored.connect()
    for start, end in ((0, 1), (LEAF - 3, 2 * LEAF + 5), (9 * LEAF, len(DATA)), (5 * LEAF, 5 * LEAF + 8)):
        assert stored.part(PATH, start, end, connection=connection) == DATA[start:end]
    stored.bytes_left(0)


def test_small_objects_need_none(sharing):
    data = noise(LEAF)
    path = sharing.lab.folder / "small"
    path.write_bytes(data)
    run("store", path, env=sharing.lab.remote, check=0)
    answer, body = sharing.ask(f"/f/{harness.sha1(data)}")
    assert (answer.status, answer.headers["ETag"], body) == (200, f'"{harness.sha1(data)}"', data)
    assert not list((sharing.lab.data / ".hub/manifests").rglob("*"))


def test_a_damaged_block_is_never_sent(stored):
    flip(object_of(stored), 3 * LEAF + 9)
    assert stored.part(PATH, 2 * LEAF, 3 * LEAF) == DATA[2 * LEAF:3 * LEAF]
    with pytest.raises((http.client.HTTPException, OSError, AssertionError)):
        stored.part(PATH, 3 * LEAF, 3 * LEAF + 20)
    stored.lab.hub.wait_line("is not read from the bucket: a block does not have its hash")
    stored.lab.hub.wait_line("damaged object")
    assert stored.ask(PATH)[0].status == 404


def test_cat_checks_the_part_that_it_prints(stored):
    """By the hub's manifest: nothing is said of parts that could not be checked, and no damaged byte is printed."""
    env = stored.lab.environment(stored.lab.folder / "empty")

    def cat(start, end):
        return run("cat", f"sha1://{DIGEST}", "--start", str(start), "--end", str(end), env=env)
    done = cat(LEAF - 5, LEAF + 5)
    assert (done.returncode, done.stdout, done.stderr) == (0, DATA[LEAF - 5:LEAF + 5], b"")
    flip(object_of(stored), 3 * LEAF + 9)
    done = cat(3 * LEAF, 3 * LEAF + 20)
    assert done.returncode != 0 and done.stdout == b""


def test_a_host_has_what_is_damaged_in_the_bucket(stored):
    """Within one answer, without the client noticing."""
    stored.lab.link(stored.lab.folder / "object")
    flip(object_of(stored), 3 * LEAF + 9)
    answer, body = stored.ask(PATH)
    assert (answer.status, answer.headers["ETag"], body) == (200, TAG, DATA)
    stored.lab.hub.wait_line("damaged object")
    assert stored.ask(PATH)[1] == DATA


def test_objects_of_before_get_one_at_their_first_reading(stored):
    manifest_file(stored).unlink()
    answer, body = stored.ask(PATH)
    assert (answer.status, answer.headers["ETag"], body) == (200, f'"{DIGEST}"', DATA)
    until(lambda: stored.ask(PATH, "HEAD")[0].headers["ETag"] == TAG, "the manifest is made")
    assert manifest_file(stored).read_bytes() == manifest_of(DATA)


@pytest.mark.parametrize("at", [3, 12, 50, 70])  # the magic, the size, the root, a page hash
def test_a_wrong_head_of_it_is_made_anew(stored, at):
    flip(manifest_file(stored), at)
    answer, body = stored.ask(PATH)
    assert (answer.status, answer.headers["ETag"], body) == (200, f'"{DIGEST}"', DATA)
    until(lambda: stored.ask(PATH, "HEAD")[0].headers["ETag"] == TAG, "the manifest is made anew")
    assert manifest_file(stored).read_bytes() == manifest_of(DATA)


def test_a_wrong_page_of_it_is_found(stored):
    flip(manifest_file(stored), 68 + 32 + 5)
    with pytest.raises((http.client.HTTPException, OSError, AssertionError)):
        stored.part(PATH, 0, 20)  # the head was promised with the root
    until(lambda: stored.ask(PATH)[1] == DATA and manifest_file(stored).read_bytes() == manifest_of(DATA), "made anew")


def test_it_goes_with_its_object(stored):
    assert stored.ask(PATH)[1] == DATA
    done = run("gateway", "rm", f"sha1://{DIGEST}", "--data", stored.lab.data, check=0)
    assert b"ok\t" in done.stdout and not manifest_file(stored).exists()
    assert [stored.ask(PATH + query)[0].status for query in ("", "?manifest")] == [404, 404]


def test_verify_checks_them(stored):
    for damage in (lambda: flip(manifest_file(stored), 68 + 32 + 5), lambda: manifest_file(stored).write_bytes(b"short")):
        damage()
        done = verify(stored)
        assert done.returncode == 0 and done.stdout.startswith(b"ok\t")
        assert b"its manifest was damaged and was made anew" in done.stderr
        assert manifest_file(stored).read_bytes() == manifest_of(DATA)
    manifest_file(stored).unlink()
    assert b"manifest" not in verify(stored).stderr
    assert manifest_file(stored).read_bytes() == manifest_of(DATA)


def test_many_uploads_at_once(sharing):
    contents = [noise(3 * LEAF + n, n) for n in range(6)]
    for n, data in enumerate(contents):
        (sharing.lab.folder / f"many{n}").write_bytes(data)

    def store(n):
        run("store", sharing.lab.folder / f"many{n}", env=sharing.lab.remote, check=0)
    threads = [threading.Thread(target=store, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for data in contents:
        found = harness.manifest_of_object(sharing.lab.data, harness.sha1(data)).read_bytes()
        assert found == manifest_of(data)
    assert not [path for path in (sharing.lab.data / ".hub/manifests").rglob("*tmp*")]
