"""h5py's ros3 driver opens all 650 objects of a file of 200 MB and reads their attributes, beside the hub, 50 ms from the host;
cold, then a second reader, and the same walk of nginx's copy on the hub's own loopback. Both files of tests/tools/hdf5_file.py:
metadata first, and metadata between the data. And how many bytes left the host, for each leaf that a walk touches."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
import ranges  # noqa: E402

WALK = """
import sys, time
sys.path.insert(0, sys.argv[1])
import h5py, hdf5_file, hashlib, json
begun = time.perf_counter()
with h5py.File(sys.argv[2], "r", driver="ros3") as file:
    seen = hdf5_file.walk(file)
print(json.dumps([time.perf_counter() - begun, len(seen), hashlib.sha1(repr(seen).encode()).hexdigest()]))
"""
RUNS = 3


def walk(url):
    """Milliseconds, and what was seen."""
    done = subprocess.run(["/usr/bin/python3", "-c", WALK, str(harness.ROOT / "tests/tools"), url], capture_output=True,
                          env=harness.clean_environment(HOME="/nonexistent"), timeout=170)
    if done.returncode != 0:
        sys.exit(done.stderr.decode())
    took, *seen = json.loads(done.stdout)
    return 1000 * took, seen


def of_one_file(folder, files, hdf5_file, order):
    path = files / f"{order}.h5"
    hdf5_file.make(order, str(path), 200)
    objects, leaves = hdf5_file.leaves_of_walk(str(path))
    with ranges.Host(folder / f"lab-{order}", far=True) as host, ranges.nginx(files, host.hub_side) as plain:
        where = host.link(path)
        with host.beside_hub():
            cold, seen = walk(host.url + where)
            pairs = [(walk(host.url + where), walk(f"{plain}/{order}.h5")) for _ in range(RUNS)]
        left = host.left()
    if seen[0] != objects or any(one[1] != seen or other[1] != seen for one, other in pairs):
        sys.exit(f"not the same objects: {seen}, {pairs}")
    ours, theirs = (sorted(pair[i][0] for pair in pairs)[RUNS // 2] for i in (0, 1))
    wanted = len(leaves) * (ranges.RTT_MS + 3) + 7 * ranges.RTT_MS + ours
    name = f"ros3 walk, metadata {order}, {len(leaves)} leaves"
    bench.report(f"{name}, cold", cold, theirs, "ms", "nginx on loopback", False, round(wanted))
    bench.report(f"{name}, second", ours, theirs, "ms", "nginx on loopback", False, round(1.5 * theirs, 1))
    bench.report("… bytes that left the host, in leaves", left / ranges.LEAF, len(leaves), "leaves", "touched", False,
                 round(1.1 * len(leaves), 1))


def main(folder, orders):
    ranges.needs_far()
    files = folder / "files"
    files.mkdir()
    hdf5_file = ranges.tool("hdf5_file")
    for order in orders:
        of_one_file(folder, files, hdf5_file, order)


with bench.scratch() as scratch:
    main(scratch, sys.argv[1:] or ["first", "between"])
