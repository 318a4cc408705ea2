"""What a reader without permission learns by the time of an answer: of files that a host has, that the bucket has, that are
folders, and of none, asked in pairs. The medians are within 5 % of each other."""
import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
import ranges  # noqa: E402

PAIRS, WITHIN, SERIES = 1000, 1.05, 3
PRIVATE = "allowPublicUpload: true\nallowPublicDownload: false\nauthorizedUsers: []\n"
SEED = 11


def paths(host, folder):
    """What is asked for, and the path of the same form for which there is nothing."""
    files = {name: bench.random_file(folder / name, 3 * ranges.LEAF + n) for n, name in enumerate(("host.bin", "object.bin"))}
    at_host = host.link(files["host.bin"])[3:43]
    harness.run("store", files["object.bin"], env=host.lab.remote, check=0)
    in_bucket = harness.sha1(files["object.bin"].read_bytes())
    tree = folder / "tree"
    tree.mkdir()
    (tree / "part").write_bytes(b"part of a folder")
    done = harness.run("link", "-r", "--index", tree, env=host.lab.host, check=0)
    index = done.stdout.decode().splitlines()[-1][len("sha1://"):][:40]

    def absent(of):
        return of[:2] + harness.sha1(of.encode())[2:]  # the same process of the hub answers
    return {"a host's": (f"/f/{at_host}", f"/f/{absent(at_host)}"),
            "a host's manifest": (f"/f/{at_host}?manifest", f"/f/{absent(at_host)}?manifest"),
            "the bucket's": (f"/f/{in_bucket}", f"/f/{absent(in_bucket)}"),
            "of a folder": (f"/d/{index}/part", f"/d/{absent(index)}/part")}


def medians(kept, forms, draw):
    """Microseconds: of what is there, of what is not."""
    took = {True: [], False: []}
    requests = {there: kept.request(path, 0, 8) for there, path in zip((True, False), forms)}
    for _ in range(PAIRS):
        for there in draw.sample([True, False], 2):
            start = time.perf_counter()
            status, _ = kept.exchange(requests[there])
            took[there].append(1e6 * (time.perf_counter() - start))
            if status != 404:
                sys.exit(f"{forms}: {status}")
    return statistics.median(took[True]), statistics.median(took[False])


def main(folder):
    draw = random.Random(SEED)
    with ranges.Host(folder / "lab") as host:
        forms = paths(host, folder)
        kept = ranges.Kept(host.url)
        for there, _ in forms.values():
            kept.get(there, 0, 8)  # it was read before the zone became private
        (host.lab.data / "settings/authorizationSettings.yaml").write_text(PRIVATE)
        harness.until(lambda: all(kept.exchange(kept.request(p))[0] == 404 for p, _ in forms.values()), "the zone is private")
        for name, pair in forms.items():
            series = [medians(kept, pair, draw) for _ in range(SERIES)]  # a difference is in all of them
            there, absent = min(series, key=lambda m: max(m) / min(m))
            bench.report(f"404 of a file that is there, {name}", there, absent, "us", "of one that is not", False)
            bench.tell(f"how much they differ, {name}", max(there, absent) / min(there, absent), "times",
                       f"{PAIRS} pairs, the best of {SERIES}", WITHIN)


with bench.scratch() as scratch:
    main(scratch)
