"""What the benchmarks share: scratch folders, interleaved runs, medians, ratios. Every figure is printed beside
that of a tool that users know, taken in the same run."""
import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

for folder in ("fixtures", "doubles"):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "system" / folder))

import harness  # noqa: E402

RUNS = int(os.environ.get("BENCH_RUNS", "9"))
GIB = int(os.environ.get("BENCH_BYTES", str(1 << 30)))


@contextlib.contextmanager
def scratch():
    """A folder under build/, on the disk where the sources are; gone afterwards."""
    parent = harness.ROOT / "build" / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def random_file(path, size):
    """`size` bytes that no compression and no sparse trick can shorten, in the page cache, and old: what was written
    within the last two seconds gets no place in the hash cache, and would be read again by whoever comes next."""
    with open(path, "wb") as out:
        while size > 0:
            chunk = os.urandom(min(size, 8 << 20))
            out.write(chunk)
            size -= len(chunk)
    with open(path, "rb", buffering=0) as back:
        while back.read(8 << 20):
            pass
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def timed(command, env=None, cwd=None):
    """Seconds of one command that must succeed."""
    start = time.perf_counter()
    done = subprocess.run(command, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    took = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{command[:2]}: exit {done.returncode}: {done.stderr.decode(errors='replace')}")
    return took


def interleaved(*functions, runs=None):
    """Medians of each function's value, taken in turn so that a slow moment hits all of them."""
    values = [[] for _ in functions]
    for _ in range(runs or RUNS):
        for kept, function in zip(values, functions):
            kept.append(function())
    return [statistics.median(kept) for kept in values]


def verdict(value, wanted, higher_is_better):
    """What was wanted, and whether it was reached."""
    if wanted is None:
        return ""
    is_met = value >= wanted if higher_is_better else value <= wanted
    return f"  wanted {'>=' if higher_is_better else '<='} {wanted:,g}: {'yes' if is_met else 'NO'}"


def report(what, ours, theirs, unit, tool, higher_is_better=True, wanted=None):
    ratio = ours / theirs if theirs else float("nan")
    better = ratio if higher_is_better else 1 / ratio if ratio else float("nan")
    print(f"{what:<44} {ours:>12,.1f} {unit:<8} {tool}: {theirs:,.1f} {unit}  ratio {better:.2f}"
          f"{verdict(ours, wanted, higher_is_better)}", flush=True)


def tell(what, value, unit, remark="", wanted=None):
    """A figure that has nothing to stand beside; small is good."""
    print(f"{what:<44} {value:>12,.2f} {unit:<8} {remark}{verdict(value, wanted, False)}".rstrip(), flush=True)


def proportional_set_kib(pids):
    """PSS of processes in KiB."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total


def tree_kib(pid):
    return proportional_set_kib([pid, *harness.descendants(pid)])


@contextlib.contextmanager
def nginx(folder, locations="location / { return 200 'ok'; }", workers=1):
    """An nginx of its own on a free port; its URL and pid."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    port = harness.free_port()
    (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log; user root;
events {{ worker_connections 1024; }}
http {{ access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000000;
  server {{ listen 127.0.0.1:{port}; root {folder}; {locations} }} }}
""")
    process = subprocess.Popen(["/usr/sbin/nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")],
                               stderr=subprocess.DEVNULL)
    try:
        def answers():
            try:
                return harness.http("GET", f"http://127.0.0.1:{port}/nothing")[0]
            except OSError:
                return 0
        harness.until(answers, "nginx answers")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def lab(folder, uploads=4):
    made = harness.Lab(folder)
    try:
        made.start_hub()
        made.register()
        made.write_config(max_uploads=uploads)
        yield made
    finally:
        made.stop()


def request_body(name, digest, wait_ms=10000):
    return {"type": "requestFromClient", "resourceName": name, "zone": "default", "timeoutMsec": wait_ms + 5000,
            "request": {"type": "fileUpload", "uri": f"sha1://{digest}", "timeoutMsec": wait_ms}}
