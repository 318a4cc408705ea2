"""Bulk over TLS: 1 GiB from a daemon's host to the hub's bucket and back, nginx speaking TLS for the hub, against curl
on the same signed URLs. The daemon's upload is verified: read once, hashed while it is sent."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import certificates  # noqa: E402
import harness  # noqa: E402
import tls_servers  # noqa: E402
from gateway_client import GatewayClient  # noqa: E402


def over_tls(lab, store, url, bundle):
    return harness.clean_environment(HOME=lab.folder, KACHERY_CLOUD_DIR=store, KACHERY_GATEWAY_URL=url,
                                     KACHERY_RESOURCE_URL=f"{url}/r/{lab.name}", SSL_CERT_FILE=bundle)


def start(folder, lab):
    """The lab behind TLS; the environments of host and remote, and the bundle of roots."""
    top, bundle = tls_servers.lab_root(folder)
    leaf = certificates.server(top, ["localhost", "127.0.0.1"], kind="rsa2048", **tls_servers.now())
    pem, key = tls_servers.write_pair(folder, "front", [leaf, top])
    port = harness.free_port()
    url = f"https://localhost:{port}"
    lab.start_hub("127.0.0.1:0", "--public-url", url)
    lab.keep(tls_servers.Nginx(folder / "nginx", [tls_servers.proxying(pem, key, lab.hub.url)], ports=[port]))
    host, remote = (over_tls(lab, store, url, bundle) for store in (lab.host_store, lab.remote_store))
    for env in (host, remote):
        harness.run("register", "--label", "bench", env=env, check=0)
    lab.write_config(proxy_url=url.replace("https", "wss"))
    lab.share(env=host)
    return host, remote, bundle


def main(folder, lab):
    path = bench.random_file(folder / "big.dat", bench.GIB)
    mib = bench.GIB / (1 << 20)
    host, remote, bundle = start(folder, lab)
    client = GatewayClient(lab.hub.url, lab.host_store)
    uri = harness.run("link", str(path), env=host, check=0).stdout.decode().split("\t")[0]
    digest = uri.removeprefix("sha1://")
    stored = harness.object_path(lab.data, digest)
    curl = f"curl -sf --tls-max 1.2 --cacert '{bundle}'"

    def rate(command, env=None):
        return mib / bench.timed(command, env)

    def forget():
        stored.unlink(missing_ok=True)

    def upload():
        forget()
        return rate([harness.BINARY, "request", uri, "--wait"], remote)

    def curl_up(before=""):
        forget()
        url = client.initiate(digest, bench.GIB)
        return rate(["sh", "-c", f"{before} {curl} -T '{path}' '{url}'"])

    ours, both, bare = bench.interleaved(upload, lambda: curl_up(f"openssl sha1 '{path}' &&"), curl_up)
    bench.report("verified upload by the daemon, https", ours, both, "MiB/s", "openssl sha1 && curl -T")
    bench.report("verified upload by the daemon, https", ours, bare, "MiB/s", "curl -T alone")

    out = folder / "out.dat"

    def load():
        out.unlink(missing_ok=True)
        return rate([harness.BINARY, "load", "-q", uri, "-o", str(out)], remote)

    def curl_down(after=""):
        out.unlink(missing_ok=True)
        return rate(["sh", "-c", f"{curl} -o '{out}' '{client.find(digest)}' && sync -d '{out}' {after}"])

    ours, both, bare = bench.interleaved(load, lambda: curl_down(f"&& openssl sha1 '{out}'"), curl_down)
    bench.report("verified download with `load`, https", ours, both, "MiB/s", "curl, sync, openssl sha1")
    bench.report("verified download with `load`, https", ours, bare, "MiB/s", "curl, sync")


with bench.scratch() as scratch:
    made = harness.Lab(scratch)
    try:
        main(scratch, made)
    finally:
        made.stop()
