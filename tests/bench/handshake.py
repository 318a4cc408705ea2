"""What TLS costs once: the time of a handshake (a short command over https less the same over http, through one
nginx), and the memory of a connection (the daemon's PSS with wss less that with ws)."""
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "lib"))

import bench  # noqa: E402
import certificates  # noqa: E402
import harness  # noqa: E402
import tls_servers  # noqa: E402

RUNS = max(bench.RUNS, 9)


def start(folder, lab):
    """nginx before the hub, plain and with TLS (RSA-2048, as most servers): the two URLs and the roots."""
    top, bundle = tls_servers.lab_root(folder)
    leaf = certificates.server(top, ["localhost", "127.0.0.1"], kind="rsa2048", **tls_servers.now())
    pem, key = tls_servers.write_pair(folder, "front", [leaf])
    secure = tls_servers.proxying(pem, key, lab.hub.url)
    plain = secure.replace("LISTEN ssl", "LISTEN").replace(f"ssl_certificate {pem}; ssl_certificate_key {key};", "")
    nginx = lab.keep(tls_servers.Nginx(folder / "nginx", [plain, secure]))
    return f"http://127.0.0.1:{nginx.ports[0]}", f"https://localhost:{nginx.ports[1]}", bundle


def milliseconds(command, env=None):
    began = time.perf_counter()
    subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - began)


def handshake(folder, plain, secure, bundle):
    def ours(url):
        env = harness.clean_environment(HOME=folder, KACHERY_GATEWAY_URL=url, SSL_CERT_FILE=bundle)
        return lambda: milliseconds([harness.BINARY, "info", "sha1://" + "0" * 40], env)

    def curl(url):
        return lambda: milliseconds(["curl", "-s", "--tls-max", "1.2", "--cacert", str(bundle), "-d", "{}", f"{url}/api/gateway"])

    times = bench.interleaved(ours(plain), ours(secure), curl(plain), curl(secure), runs=RUNS)
    bench.report("short command over http", times[0], times[2], "ms", "curl", False)
    bench.report("short command over https", times[1], times[3], "ms", "curl", False)
    bench.report("… of it the handshake and the roots", times[1] - times[0], times[3] - times[2], "ms", "curl", False)


def memory(lab, plain, secure, bundle):
    env = {**lab.host, "SSL_CERT_FILE": str(bundle)}
    used = []
    for url in (plain, secure):
        lab.write_config(proxy_url=url)
        daemon = lab.share(env=env)
        used.append(bench.tree_kib(daemon.pid))
        daemon.stop()
    print(f"{'memory of one TLS connection, idle':<44} {used[1] - used[0]:>12,.1f} KiB      "
          f"(daemon with wss {used[1]:,} KiB, with ws {used[0]:,} KiB)")


with bench.scratch() as scratch, bench.lab(scratch) as made:
    urls = start(scratch, made)
    handshake(scratch, *urls)
    memory(made, *urls)
