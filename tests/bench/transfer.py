"""Bulk: 1 GiB up to and down from the hub's bucket, against curl on the same signed URLs."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402
from gateway_client import GatewayClient  # noqa: E402


def main(folder):
    path = bench.random_file(folder / "big.dat", bench.GIB)
    mib = bench.GIB / (1 << 20)
    with bench.lab(folder) as lab:
        client = GatewayClient(lab.hub.url, lab.host_store)
        digest = lab.link(path)[0].removeprefix("sha1://")
        stored = harness.object_path(lab.data, digest)

        def forget():
            stored.unlink(missing_ok=True)

        def store():
            forget()
            return mib / bench.timed([harness.BINARY, "store", "-q", str(path)], lab.host)

        def curl_up():
            forget()
            url = client.initiate(digest, bench.GIB)
            return mib / bench.timed(["curl", "-sf", "-T", str(path), url])

        def hash_and_curl_up():
            forget()
            url = client.initiate(digest, bench.GIB)
            return mib / bench.timed(["sh", "-c", f"openssl sha1 '{path}' && curl -sf -T '{path}' '{url}'"])

        ours, both, bare = bench.interleaved(store, hash_and_curl_up, curl_up)
        bench.report("upload with `store` (hashed while sent)", ours, both, "MiB/s", "openssl sha1 && curl -T")
        bench.report("upload with `store` (hashed while sent)", ours, bare, "MiB/s", "curl -T alone")

        def load():
            out = folder / "out.dat"
            out.unlink(missing_ok=True)
            return mib / bench.timed([harness.BINARY, "load", "-q", f"sha1://{digest}", "-o", str(out)], lab.remote)

        def curl_down():
            out = folder / "out2.dat"
            out.unlink(missing_ok=True)
            return mib / bench.timed(["curl", "-sf", "-o", str(out), client.find(digest)])

        def curl_down_and_hash():
            out = folder / "out2.dat"
            out.unlink(missing_ok=True)
            return mib / bench.timed(["sh", "-c", f"curl -sf -o '{out}' '{client.find(digest)}' && openssl sha1 '{out}'"])

        def curl_down_and_sync():
            out = folder / "out2.dat"
            out.unlink(missing_ok=True)
            return mib / bench.timed(["sh", "-c", f"curl -sf -o '{out}' '{client.find(digest)}' && sync '{out}'"])

        ours, both, bare, synced = bench.interleaved(load, curl_down_and_hash, curl_down, curl_down_and_sync)
        bench.report("download with `load` (verified)", ours, both, "MiB/s", "curl -o && openssl sha1")
        bench.report("download with `load` (verified)", ours, bare, "MiB/s", "curl -o alone")
        bench.report("download with `load` (verified)", ours, synced, "MiB/s", "curl -o && sync: on the disk, as ours")


with bench.scratch() as scratch:
    main(scratch)
