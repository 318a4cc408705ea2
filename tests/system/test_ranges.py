"""Parts of files that were never uploaded (EXTENSIONS.md §3): read through the hub from the host that has them, block by
block, each byte the right one, and no more of them leave the host than were asked for."""
import hashlib
import http.client
import os
import threading

import harness
import pytest
from cutting_proxy import CuttingProxy
from harness import run, sha1
from range_sharing import LEAF, noise


def test_a_part_comes_from_the_host_and_nothing_else_leaves_it(sharing):
    data = noise(9 * LEAF + 5)
    path = sharing.put("big", data)
    assert sharing.part(path, 3 * LEAF + 7, 3 * LEAF + 27) == data[3 * LEAF + 7:3 * LEAF + 27]
    sharing.bytes_left(LEAF)
    assert sharing.part(path, 4 * LEAF - 2, 4 * LEAF + 2) == data[4 * LEAF - 2:4 * LEAF + 2]
    sharing.bytes_left(2 * LEAF)
    answer, body = sharing.ask(path, Range="bytes=-5")
    assert (answer.status, body) == (206, data[-5:])
    sharing.bytes_left(2 * LEAF + 5)
    assert not any((sharing.lab.data / "sha1").rglob("*"))


def test_all_of_a_file_comes_and_is_right(sharing):
    data = noise(40 * LEAF + 77)
    path = sharing.put("big", data)
    for _ in range(2):
        answer, body = sharing.ask(path)
        assert answer.status == 200 and int(answer.headers["Content-Length"]) == len(data)
        assert body == data
    sharing.bytes_left(len(data))


def test_small_files_need_no_manifest(sharing):
    for size in (0, 1, LEAF):
        data = noise(size)
        path = sharing.put(f"small{size}", data)
        answer, body = sharing.ask(path)
        assert (answer.status, body) == (200, data)
        assert answer.headers["ETag"] == f'"{path[3:]}"'


def test_the_head_says_what_clients_need(sharing):
    data = noise(2 * LEAF)
    path = sharing.put("big.nwb", data)
    digits = hashlib.sha1(b"big.nwb").hexdigest()[:8]
    answer, body = sharing.ask(f"{path}.{digits}/big.nwb", "HEAD")
    assert (answer.status, body) == (200, b"")
    root = answer.headers["ETag"].strip('"').split("-")[1]
    assert len(root) == 16 and answer.headers["ETag"] == f'"{path[3:]}-{root}"'
    wanted = {"Content-Length": str(len(data)), "Accept-Ranges": "bytes", "Content-Encoding": None,
              "Cache-Control": "public, max-age=31536000, immutable, no-transform", "X-Content-Type-Options": "nosniff",
              "Content-Security-Policy": "sandbox; default-src 'none'", "Referrer-Policy": "no-referrer",
              "X-Robots-Tag": "noindex", "X-Accel-Buffering": "no", "Access-Control-Allow-Origin": "*",
              "Content-Type": "application/x-hdf5"}
    assert {name: answer.headers[name] for name in wanted} == wanted
    sharing.bytes_left(0)


def test_conditions_and_ranges(sharing):
    data = noise(LEAF + 100)
    path = sharing.put("big", data)
    etag = sharing.ask(path, "HEAD")[0].headers["ETag"]
    cases = [({"Range": "bytes=0-"}, 206, data), ({"Range": f"bytes={len(data)}-"}, 416, b""),
             ({"Range": "bytes=5-99999999"}, 206, data[5:]), ({"Range": "bytes=0-1,4-5"}, 200, data),
             ({"Range": "bytes=1-2", "If-Range": etag}, 206, data[1:3]),
             ({"Range": "bytes=1-2", "If-Range": '"other"'}, 200, data), ({"If-None-Match": etag}, 304, b""),
             ({"If-Match": '"other"'}, 412, b""), ({"If-Match": etag}, 200, data)]
    for headers, status, content in cases:
        answer, body = sharing.ask(path, **headers)
        assert (answer.status, body) == (status, content), headers
        if status == 416:
            assert answer.headers["Content-Range"] == f"bytes */{len(data)}"


@pytest.mark.parametrize("size", [9, 3 * LEAF + 5])
def test_the_first_request_may_be_for_what_is_beyond_the_end(sharing, size):
    data = noise(size)
    path = sharing.put("big", data)
    for start in (size, 50 * LEAF, 5000 * LEAF):
        answer, _ = sharing.ask(path, Range=f"bytes={start}-{start + 9}")
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    assert sharing.ask(path)[1] == data
    assert "is not read from daemon" not in sharing.lab.hub.text()


def test_other_names_are_no_file(sharing):
    path = sharing.put("big.h5", noise(LEAF + 1))
    digits = hashlib.sha1(b"big.h5").hexdigest()[:8]
    assert sharing.ask(f"{path}.{digits}/big.h5", "HEAD")[0].status == 200
    assert sharing.ask(f"{path}.{digits}/big%2Eh5", "HEAD")[0].status == 200
    for other in (f"{path}/", f"{path}.{digits}/", f"{path}.{digits}/big.aux", f"{path}.{digits}/big.h5/", f"{path}x",
                  f"{path}.{digits}", "/f/", "/f/xyz", f"{path}.00000000/big.h5", path.upper()):
        assert sharing.ask(other)[0].status == 404, other


def test_many_readers_cost_the_host_one_reading(sharing):
    data = noise(20 * LEAF)
    path = sharing.put("big", data)
    sharing.ask(path, "HEAD")
    wrong = []

    def read(number):
        start = (number % 20) * LEAF
        if sharing.part(path, start, start + LEAF) != data[start:start + LEAF]:
            wrong.append(number)
        answer, body = sharing.ask(path)
        if body != data:
            wrong.append(number)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    sharing.bytes_left(len(data))


def test_a_first_read_takes_three_flights_of_its_line(lab):
    """The ticket with the handshake, the opening behind its answer, then all that the reader waits for."""
    data = noise(3 * LEAF)
    (lab.folder / "big").write_bytes(data)
    uri, = lab.link(lab.folder / "big")
    between = CuttingProxy(int(lab.url.rsplit(":", 1)[1]))
    lab.write_config(proxy_url=f"http://127.0.0.1:{between.port}")
    daemon = lab.share()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(lab.url.rsplit(":", 1)[1]), timeout=harness.DEADLINE_S)
        connection.request("GET", uri.replace("sha1://", "/f/"), headers={"Range": f"bytes={LEAF}-{LEAF + 7}"})
        assert connection.getresponse().read() == data[LEAF:LEAF + 8]
        lines = [flights for flights in between.flights if sum(count for _, count in flights) > LEAF]
        assert [[way for way, _ in line[:3]] for line in lines] == [["up", "down", "up"]]
        assert lines[0][2][1] > LEAF
    finally:
        daemon.stop()
        between.stop()


def test_a_file_that_yielded_to_another_is_read_on_without_a_question(lab):
    """One small file is open at a time: the first one's next block comes for one flight, as if it were open."""
    first, second = two_files_of_one_relay(lab)
    between = CuttingProxy(int(lab.url.rsplit(":", 1)[1]))
    lab.write_config(proxy_url=f"http://127.0.0.1:{between.port}")
    lab.config.write_text(lab.config.read_text() + "maxConcurrentStreams: 2\n")
    daemon = lab.share()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(lab.url.rsplit(":", 1)[1]), timeout=harness.DEADLINE_S)
        for data, leaf in ((first, 1), (second, 2), (first, 2)):
            part = {"Range": f"bytes={leaf * LEAF}-{leaf * LEAF + 7}"}
            connection.request("GET", f"/f/{sha1(data)}", headers=part)
            assert connection.getresponse().read() == data[leaf * LEAF:leaf * LEAF + 8]
        line, = [flights for flights in between.flights if sum(count for _, count in flights) > LEAF]
        assert [way for way, _ in line] == ["up", "down"] * 3 + ["up"]
    finally:
        daemon.stop()
        between.stop()


def two_files_of_one_relay(lab):
    """Linked: their hashes begin alike."""
    seen = {}
    while True:
        data = os.urandom(3 * LEAF)
        other = seen.setdefault(sha1(data)[:2], data)
        if other is not data:
            for n, each in enumerate((other, data)):
                (lab.folder / f"alike{n}").write_bytes(each)
                lab.link(lab.folder / f"alike{n}")
            return other, data


def test_one_connection_serves_many_requests(sharing):
    data = noise(3 * LEAF)
    path = sharing.put("big", data)
    other = sharing.put("other", noise(LEAF, 2))
    connection = sharing.connect()
    for start in range(0, 3 * LEAF, 50021):
        assert sharing.part(path, start, start + 8, connection=connection) == data[start:start + 8]
    assert sharing.ask(other, connection=connection)[1] == noise(LEAF, 2)
    assert sharing.part(path, 0, 8, connection=connection) == data[:8]


def test_a_file_that_changed_is_never_sent(settled):
    data = noise(6 * LEAF)
    path = settled.put("big", data)
    assert settled.part(path, 0, 8) == data[:8]
    with open(settled.lab.folder / "big", "r+b") as file:  # the same size, and the same time
        before = os.stat(file.fileno())
        file.seek(5 * LEAF + 9)
        file.write(b"other bytes")
        file.flush()
        os.utime(file.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):  # neither the old bytes nor the new ones, and nobody is kept waiting
        assert settled.ask(path, Range=f"bytes={5 * LEAF}-{5 * LEAF + 99}")[0].status == 404
    assert settled.part(path, 0, 8) == data[:8]
    settled.daemon.wait_line(f"{settled.lab.folder / 'big'} has changed: it does not have the hashes that it had when it "
                             "was linked")


def test_a_file_that_has_another_size_is_not_there(settled):
    """At once, also for those who ask next; the host's log says which file, and what of it changed."""
    data = noise(3 * LEAF)
    path = settled.put("big", data)
    with open(settled.lab.folder / "big", "ab") as file:
        file.write(b"more")
    for _ in range(2):
        assert settled.ask(path)[0].status == 404
    settled.daemon.wait_line(f"{settled.lab.folder / 'big'} has changed: it has {len(data) + 4} bytes, and had {len(data)} "
                             "when it was linked")
    assert str(settled.lab.folder) not in settled.lab.hub.text().replace(str(settled.lab.data), "")


def test_another_host_takes_over(sharing, tmp_path):
    data = noise(30 * LEAF)
    path = sharing.put("big", data)
    (tmp_path / "second").mkdir()
    second = harness.Lab(tmp_path / "second", "second")
    second.hub = sharing.lab.hub
    run("register", "--label", "second", env=second.host, check=0)
    (second.folder / "copy").write_bytes(data)
    second.link(second.folder / "copy")
    second.write_config()
    second.share()
    connection = sharing.connect()
    connection.request("GET", path)
    answer = connection.getresponse()
    got = answer.read(LEAF)
    sharing.daemon.process.kill()
    got += answer.read()
    second.stop()
    assert got == data
