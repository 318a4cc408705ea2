"""Requests a second through proxy and daemon: not-found round trips, small files until completed."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402

CONNECTIONS, SECONDS = 64, 5


def wrk(url, script=None):
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", url]
    if script:
        command[1:1] = ["-s", str(script)]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad or "Socket errors" in out:
        sys.exit(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def not_found(lab, folder):
    script = folder / "post.lua"
    body = json.dumps(bench.request_body(lab.name, "0" * 40))
    script.write_text(f"wrk.method='POST'\nwrk.headers['Content-Type']='application/json'\nwrk.body=[[{body}]]\n")
    with bench.nginx(folder / "nginx") as (plain, _):
        ours, theirs = bench.interleaved(lambda: wrk(f"{lab.hub.url}/r/{lab.name}", script), lambda: wrk(plain), runs=3)
    bench.report(f"not found, {CONNECTIONS} connections", ours, theirs, "/s", "nginx `return 200`, 1 process", wanted=30000)


def small_files(lab, folder, count=400, in_flight=16):
    digests = []
    tree = folder / "small"
    tree.mkdir()
    for i in range(count):
        data = os.urandom(4096)
        (tree / f"{i:05}").write_bytes(data)
        digests.append(harness.sha1(data))
    lab.link("-r", tree)
    host, port = "127.0.0.1", lab.hub.port

    def one(digest):
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("POST", f"/r/{lab.name}", json.dumps(bench.request_body(lab.name, digest)),
                           {"Content-Type": "application/json"})
        answer = json.load(connection.getresponse())
        connection.close()
        if answer["response"]["status"]["status"] != "completed":
            sys.exit(f"{digest}: {answer}")

    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(in_flight) as threads:
        list(threads.map(one, digests))
    ours = count / (time.perf_counter() - start)

    target = folder / "dav"
    target.mkdir()
    with bench.nginx(target, "location / { dav_methods PUT; create_full_put_path on; }") as (url, _):
        command = f"find '{tree}' -type f | xargs -P {in_flight} -I@ curl -sf -T @ {url}/"
        theirs = count / bench.timed(["sh", "-c", command])
    bench.report(f"4 KiB files, request → completed, {in_flight} at once", ours, theirs, "/s",
                 "curl -T to nginx (no proof, no fsync)", wanted=500)


with bench.scratch() as scratch, bench.lab(scratch) as made:
    made.share()
    not_found(made, scratch)
    small_files(made, scratch)
