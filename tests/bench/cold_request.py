"""One request for a 2 MB file that was never uploaded, from the first byte of the question to `completed`: hashed by the
daemon while it is sent, hashed by the hub, on the disk with the folders above it, told to the client. Beside it
curl -T of the same bytes to nginx, which neither hashes nor syncs. What the disk takes of the time is told by two further
figures: the same request to a hub whose data are in memory, and the hub's calls on such a file alone."""
import http.client
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402

SIZE, RUNS = 2_000_000, 3 * bench.RUNS


def milliseconds(work):
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def new_file(folder, name):
    with open(folder / name, "wb") as out:
        out.write(os.urandom(SIZE))
        os.fsync(out.fileno())  # or it would be written during what is timed
    return folder / name


def request(lab, name):
    uri, = lab.link(new_file(lab.folder, name))
    connection = http.client.HTTPConnection("127.0.0.1", lab.hub.port, timeout=60)
    body = json.dumps(bench.request_body(lab.name, uri.removeprefix("sha1://")))

    def ask():
        connection.request("POST", f"/r/{lab.name}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse().read()
        if b'"completed"' not in answer:
            sys.exit(f"{name}: {answer!r}")
    try:
        return milliseconds(ask)
    finally:
        connection.close()


def sync_folder(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def disk_alone(folder, name):
    """Write, sync, new folders, rename, sync: as the bucket does it."""
    data = os.urandom(SIZE)
    folders = [folder, folder / name, folder / name / "b", folder / name / "b" / "c"]

    def store():
        fd = os.open(folder / f"{name}.new", os.O_RDWR | os.O_CREAT)
        os.write(fd, data)
        for made in folders[1:]:
            os.mkdir(made)
        os.fsync(fd)
        for made in folders[:-1]:
            sync_folder(made)
        os.rename(folder / f"{name}.new", folders[-1] / "object")
        sync_folder(folders[-1])
        os.close(fd)
    return milliseconds(store)


def main(lab, in_memory, folder):
    for each in (lab, in_memory):
        each.share()
    bench.tell("the very first 2 MB request, workers forked", request(lab, "first"), "ms")
    request(in_memory, "first")
    disk, dav, taken = folder / "disk", folder / "dav", {"ours": [], "memory": [], "curl": [], "disk": []}
    disk.mkdir()
    with bench.nginx(dav, "location / { dav_methods PUT; }") as (url, _):
        for i in range(RUNS):
            taken["ours"].append(request(lab, f"cold{i}"))
            taken["curl"].append(1000 * bench.timed(["curl", "-sf", "-T", str(lab.folder / f"cold{i}"), url + "/"]))
            taken["memory"].append(request(in_memory, f"cold{i}"))
            taken["disk"].append(disk_alone(disk, str(i)))
    median = {what: statistics.median(times) for what, times in taken.items()}
    bench.report(f"one cold 2 MB request, median of {RUNS}", median["ours"], median["curl"], "ms",
                 "curl -T to nginx (no hash, no sync)", False, wanted=10)
    bench.report("… the fastest", min(taken["ours"]), min(taken["curl"]), "ms", "curl -T to nginx", False)
    bench.tell("… the hub's data in memory (/dev/shm), median", median["memory"], "ms", f"the fastest: {min(taken['memory']):.2f} ms")
    bench.tell("… the disk's part by itself, median", median["disk"], "ms", f"the fastest: {min(taken['disk']):.2f} ms")


with bench.scratch() as scratch, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
    (scratch / "lab").mkdir()
    with bench.lab(scratch / "lab") as on_disk, bench.lab(memory) as made:
        main(on_disk, made, scratch)
