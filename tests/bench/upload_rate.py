"""The rate at which files leave a host (maxUploadRate), measured at the receivers: an upload to the hub's bucket and a file
that is read in parts, together, over every 10 s after the first 2 s. The worst of these windows is told, in percent of
the rate; BENCH_RATES chooses the rates in MB/s, BENCH_RATE_SECONDS how long each is watched."""
import os
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
from range_sharing import Sharing  # noqa: E402

RATES = [float(rate) for rate in os.environ.get("BENCH_RATES", "1,10,50").split(",")]
SECONDS = float(os.environ.get("BENCH_RATE_SECONDS", "16"))
WINDOW_S, SETTLING_S, STEP_S = 10, 2, 0.05


def put_zeros(lab, name, size):
    """Shares a file of so many bytes that takes no room: its URI, and the path below which it is read in parts."""
    path = lab.folder / name
    with open(path, "wb") as file:
        file.write(name.encode())
        file.truncate(size)
    uri, = lab.link(path)
    return uri, "/f/" + uri.removeprefix("sha1://")


def read_on(sharing, path, got):
    connection = sharing.connect()
    connection.request("GET", path, headers={"Range": f"bytes=0-{1 << 40}"})
    answer = connection.getresponse()
    while part := answer.read1(65536):
        got[0] += len(part)


def worst_window(lab, rate):
    """How far the slowest and the fastest window are off, as fractions."""
    size = int(rate * 1e6 * (SECONDS + 8))
    uri, _ = put_zeros(lab, f"whole-{rate}", size)
    _, path = put_zeros(lab, f"parts-{rate}", size)
    lab.write_config()
    lab.config.write_text(lab.config.read_text() + f"maxUploadRate: {rate}MB\n")
    sharing, got = Sharing.__new__(Sharing), [0]
    sharing.lab, sharing.daemon = lab, lab.share()
    uploads = lab.data / ".hub" / "uploads"

    def total():
        return got[0] + sum(file.stat().st_size for file in uploads.iterdir() if file.exists())
    threading.Thread(target=read_on, args=(sharing, path, got), daemon=True).start()
    threading.Thread(target=harness.run, args=("request", uri, "--timeout", "1"), daemon=True,
                     kwargs={"env": {**lab.remote, "KACHERY_RESOURCE_URL": f"{lab.url}/r/{lab.name}"}}).start()
    harness.until(lambda: got[0] and uploads.exists() and total() > got[0], "bytes of both")
    start, seen = time.monotonic(), []
    while time.monotonic() - start < SECONDS:
        seen.append((time.monotonic() - start, total()))
        time.sleep(STEP_S)
    sharing.daemon.stop()
    steps = int(WINDOW_S / STEP_S * 0.9)  # a window of 10 s has more samples than these
    rates = [(b1 - b0) / (t1 - t0) for i, (t0, b0) in enumerate(seen) if t0 >= SETTLING_S
             for t1, b1 in seen[i + steps:] if t1 - t0 >= WINDOW_S]
    return min(rates) / (rate * 1e6) - 1, max(rates) / (rate * 1e6) - 1


for each in RATES:
    with bench.scratch() as scratch, bench.lab(scratch) as made:
        low, high = worst_window(made, each)
    bench.tell(f"{each:g} MB/s, worst 10 s", 100 * max(-low, high), "% off", f"{100 * low:+.1f} to {100 * high:+.1f}",
               wanted=5)
