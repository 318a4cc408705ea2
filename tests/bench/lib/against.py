"""The program that was built beside another build of it: `./build.sh bench --against BINARY [WORD]`.

Each figure is measured in pairs in ABBA order, so that what drifts hits both. Told is the median of the pairs' ratios
(above 1: this build is better) with a bootstrap 90 % interval. A figure is a gate unless it is marked as reported: its
interval must reach 0.95. For round trips, idling and memory the gate is processor time for fixed work and PSS, which a
busy machine changes little; rates are reported."""
import http.client
import json
import os
import pathlib
import random
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import bench  # noqa: E402
import certificates  # noqa: E402
import harness  # noqa: E402
import tls_servers  # noqa: E402

PAIRS, REACHED, RESAMPLES = int(os.environ.get("BENCH_PAIRS", "9")), 0.95, 10000
SMALL_FILES, ROUND_TRIPS, CONNECTIONS = 2000, 20000, 64
BULK = bench.GIB // 4
# Intervals a fiftieth of the product's: what an idle daemon does in three minutes.
IDLE_S, IDLE = 4, "ping_ms=400,dead_ms=6000,lease_refresh_ms=1200,presence_first_ms=100,presence_ms=6000"


class Value:
    """What one run of a figure gave; smaller is better."""

    def __init__(self, amount, unit, is_gate=True):
        self.amount, self.unit, self.is_gate = amount, unit, is_gate


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def tree_cpu_s(*pids):
    """Processor time of processes and of their children that live or were reaped."""
    total = 0
    for pid in pids:
        for each in [pid, *harness.descendants(pid)]:
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15] if each == pid else fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def in_threads(count, work):
    failures = []

    def one(i):
        try:
            work(i)
        except Exception as failure:  # told by the main thread
            failures.append(failure)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def posts(lab, bodies, wanted):
    """Posts over one kept connection; each answer must contain `wanted`."""
    connection = http.client.HTTPConnection("127.0.0.1", lab.hub.port, timeout=60)
    for body in bodies:
        connection.request("POST", f"/r/{lab.name}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse().read()
        if wanted not in answer:
            raise AssertionError(answer)
    connection.close()


# ---- figures: each takes a folder, and returns a dictionary of values ----

def link(folder):
    path = bench.random_file(folder / "large", BULK)
    tree = folder / "tree"
    tree.mkdir()
    for i in range(SMALL_FILES):
        (tree / f"{i:05}").write_bytes(os.urandom(4096))
    env = harness.clean_environment(HOME=folder, KACHERY_CLOUD_DIR=folder / "store")
    large = seconds(lambda: harness.run("link", str(path), env=env, check=0))
    small = seconds(lambda: harness.run("link", "-r", str(tree), env=env, check=0))
    return {"link, one large cached file": Value(large, "s"), "link -r, 2,000 files of 4 KiB": Value(small, "s")}


def bulk(lab, env_of_host, env_of_remote, folder):
    path = bench.random_file(folder / "bulk", BULK)
    uri = harness.run("link", str(path), env=env_of_host, check=0).stdout.decode().split("\t")[0]
    up = seconds(lambda: harness.run("request", uri, "--wait", env=env_of_remote, check=0))
    down = seconds(lambda: harness.run("load", uri, "-o", str(folder / "loaded"), env=env_of_remote, check=0))
    return up, down


def transfer(folder):
    with bench.lab(folder) as lab:
        lab.share()
        up, down = bulk(lab, lab.host, lab.remote, folder)
    return {"upload, http": Value(up, "s"), "download, http": Value(down, "s")}


def transfer_tls(folder):
    with bench.lab(folder) as lab:
        top, bundle = tls_servers.lab_root(folder)
        leaf = certificates.server(top, ["localhost", "127.0.0.1"], kind="rsa2048", **tls_servers.now())
        pem, key = tls_servers.write_pair(folder, "front", [leaf])
        nginx = lab.keep(tls_servers.Nginx(folder / "nginx", [tls_servers.proxying(
            pem, key, lab.hub.url, "client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;")]))
        url = f"https://localhost:{nginx.ports[0]}"
        more = {"KACHERY_GATEWAY_URL": url, "SSL_CERT_FILE": str(bundle)}
        host, remote = {**lab.host, **more}, {**lab.remote, **more, "KACHERY_RESOURCE_URL": f"{url}/r/{lab.name}"}
        lab.hub.stop()
        lab.start_hub(f"127.0.0.1:{lab.hub.port}", "--public-url", url)
        lab.write_config(proxy_url=url)
        lab.share(env=host)
        up, down = bulk(lab, host, remote, folder)
        short = statistics.median(seconds(lambda: harness.run("info", "sha1://" + "0" * 40, env=remote, check=3)) for _ in range(5))
    return {"upload, https": Value(up, "s"), "download, https": Value(down, "s"), "short command, https": Value(short, "s")}


def cold(folder):
    with bench.lab(folder) as lab:
        lab.share()
        times = []
        for i in range(8):
            path = folder / f"cold{i}"
            path.write_bytes(os.urandom(2_000_000))
            digest = lab.link(path)[0].removeprefix("sha1://")
            body = json.dumps(bench.request_body(lab.name, digest))
            times.append(seconds(lambda body=body: posts(lab, [body], b'"completed"')))
    return {"one cold request of 2 MB": Value(statistics.median(times), "s")}


def round_trips(folder):
    with bench.lab(folder) as lab:
        daemon = lab.share()
        body = json.dumps(bench.request_body(lab.name, "0" * 40))
        posts(lab, [body] * 50, b'"not-found"')
        before = tree_cpu_s(lab.hub.pid, daemon.pid)
        took = seconds(lambda: in_threads(CONNECTIONS, lambda _: posts(
            lab, [body] * (ROUND_TRIPS // CONNECTIONS), b'"not-found"')))
        used = tree_cpu_s(lab.hub.pid, daemon.pid) - before
    return {"20,000 round trips, processor time": Value(used, "s"), "20,000 round trips, time": Value(took, "s", False)}


def small_files(folder, count=400, at_once=16):
    tree = folder / "small"
    tree.mkdir()
    for i in range(count):
        (tree / f"{i:05}").write_bytes(os.urandom(4096))
    with bench.lab(folder) as lab:
        daemon = lab.share()
        digests = [uri.removeprefix("sha1://") for uri in lab.link("-r", tree)]
        before = tree_cpu_s(lab.hub.pid, daemon.pid)
        took = seconds(lambda: in_threads(at_once, lambda i: posts(
            lab, [json.dumps(bench.request_body(lab.name, digest)) for digest in digests[i::at_once]], b'"completed"')))
        used = tree_cpu_s(lab.hub.pid, daemon.pid) - before
    return {"400 small files, processor time": Value(used, "s"), "400 small files, time": Value(took, "s", False)}


def idle(folder):
    with bench.lab(folder) as lab:
        daemon = lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": IDLE})
        values = {"idle daemon, PSS": Value(bench.tree_kib(daemon.pid), "KiB"), "idle hub, PSS": Value(bench.tree_kib(lab.hub.pid), "KiB")}

        def used_ns(pid):
            return sum(int(pathlib.Path(f"/proc/{each}/schedstat").read_text().split()[0])
                       for each in [pid, *harness.descendants(pid)])
        before = [used_ns(pid) for pid in (daemon.pid, lab.hub.pid)]
        time.sleep(IDLE_S)  # what is measured is that nothing happens
        after = [used_ns(pid) for pid in (daemon.pid, lab.hub.pid)]
    for what, late, early in zip(("daemon", "hub"), after, before):
        values[f"idle {what}, processor time"] = Value((late - early) / 1e6, "ms")
    return values


FIGURES = {"link": link, "transfer": transfer, "transfer_tls": transfer_tls, "cold_request": cold,
           "round_trips": round_trips, "small_files": small_files, "idle": idle}


# ---- comparing ----

def measure(figure, binary):
    harness.BINARY = binary
    with bench.scratch() as folder:
        return figure(folder)


def interval(ratios):
    """The median of the pairs' ratios, and the 5th and 95th percentile of the medians of resampled pairs."""
    draw = random.Random(1)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return statistics.median(ratios), medians[RESAMPLES // 20], medians[-RESAMPLES // 20]


def compare(name, figure, ours, theirs):
    """Prints the figure; the names of its values whose interval does not reach REACHED."""
    pairs = []
    for i in range(PAIRS):
        first = [theirs, ours] if i % 2 == 0 else [ours, theirs]
        got = {binary: measure(figure, binary) for binary in first}
        pairs.append((got[ours], got[theirs]))
    missed = []
    for what, value in pairs[0][0].items():
        ratios = [b[what].amount / max(a[what].amount, 1e-9) for a, b in pairs]
        ratio, low, high = interval(ratios)
        is_reached = high >= REACHED
        said = "reported" if not value.is_gate else f"reaches {REACHED}: {'yes' if is_reached else 'NO'}"
        mine, other = (statistics.median(pair[i][what].amount for pair in pairs) for i in (0, 1))
        print(f"{what:<38} {mine:>10,.3f} {value.unit:<4} before: {other:>10,.3f}  ratio {ratio:.3f} [{low:.3f}, {high:.3f}]  {said}",
              flush=True)
        if value.is_gate and not is_reached:
            missed.append(what)
    return missed


def main(arguments):
    if not arguments or not os.access(arguments[0], os.X_OK):
        sys.exit("usage: ./build.sh bench --against BINARY [WORD]")
    ours, theirs, word = harness.RELEASE, os.path.abspath(arguments[0]), arguments[1] if arguments[1:] else ""
    missed = [what for name, figure in FIGURES.items() if word in name for what in compare(name, figure, ours, theirs)]
    if missed:
        sys.exit("below the binary before: " + ", ".join(missed))


if __name__ == "__main__":
    main(sys.argv[1:])
