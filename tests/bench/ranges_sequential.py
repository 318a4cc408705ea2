"""512 MiB read in one go: over a line of 20 MB/s with 50 ms; on loopback cold and warm. Beside it curl with nginx: on the host
over the same line, and on loopback."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import ranges  # noqa: E402

SIZE = int(os.environ.get("BENCH_BYTES", str(512 << 20)))
RATE, RUNS = 20_000_000, 3


def rate_of(url):
    """MiB/s of curl, and what came is as long as it should be."""
    out = subprocess.run(["curl", "-sSf", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", url],
                         capture_output=True, text=True)
    if out.returncode != 0 or int(out.stdout.split()[0]) != SIZE:
        sys.exit(f"{url}: {out.stdout} {out.stderr}")
    return SIZE / (1 << 20) / float(out.stdout.split()[1])


def over_a_line(folder, files):
    with ranges.Host(folder / "far", far=True, rate=RATE) as host, \
            ranges.nginx(files, host.host_side, host.link_between.address_a) as plain:
        where = host.link(files / "big.bin")
        with host.beside_hub():
            theirs = rate_of(f"{plain}/big.bin")
            ours = rate_of(host.url + where)
    bench.report("sequential over 20 MB/s, RTT 50", ours, theirs, "MiB/s", "nginx on the host, over the line", True,
                 round(0.9 * RATE / (1 << 20), 1))


def on_loopback(folder, files):
    cold, warm, plainly = [], [], []
    for run in range(RUNS):
        with ranges.Host(folder / f"near{run}") as host, ranges.nginx(files) as plain:
            where = host.link(files / "big.bin")
            rate_of(f"{plain}/big.bin")
            cold.append(rate_of(host.url + where))
            plainly.append(rate_of(f"{plain}/big.bin"))
            warm.append(rate_of(host.url + where))
        (files / "nginx-here").rename(files / f"nginx-was{run}")
    cold, warm, plainly = (sorted(values)[RUNS // 2] for values in (cold, warm, plainly))
    bench.report("sequential on loopback, cold", cold, plainly, "MiB/s", "nginx", True, 300)
    bench.report("sequential on loopback, warm", warm, plainly, "MiB/s", "nginx", True, round(0.5 * plainly))


def main(folder, which):
    files = folder / "files"
    files.mkdir()
    bench.random_file(files / "big.bin", SIZE)
    if "near" in which:
        on_loopback(folder, files)
    if "far" in which:
        ranges.needs_far()
        over_a_line(folder, files)


with bench.scratch() as scratch:
    main(scratch, sys.argv[1:] or ["near", "far"])
