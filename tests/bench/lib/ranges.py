"""What the benchmarks of ranges share: hosts whose files are read in parts, beside the hub or far from it, readers on kept
connections, and nginx with the same files. Far is 50 ms there and back, of netns/emul.py, which needs root."""
import concurrent.futures
import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import pathlib
import socket
import sys
import time

import bench
import harness
import netns_link

LEAF = 262144
RTT_MS = 50
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


def tool(name):
    """A module of tests/tools."""
    spec = importlib.util.spec_from_file_location(name, harness.ROOT / "tests/tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def enter(path):
    with open(path, "rb") as file:
        if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), path)


@contextlib.contextmanager
def inside(namespace):
    """This thread's sockets, its threads' and its children's are in that network namespace; None: where they are."""
    if namespace is None:
        yield
        return
    enter(f"/run/netns/{namespace}")
    try:
        yield
    finally:
        enter(OUTSIDE)


OUTSIDE = f"/proc/self/fd/{os.open('/proc/self/ns/net', os.O_RDONLY)}"


class Kept:
    """A kept connection to a server, with as little Python around it as can be."""

    def __init__(self, url, timeout=120):
        self.host, _, port = url.removeprefix("http://").partition(":")
        self.sock = socket.create_connection((self.host, int(port)), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.early = b""

    def request(self, path, start=None, end=None, method="GET"):
        """What get() sends, for callers that repeat it."""
        part = "" if start is None else f"Range: bytes={start}-{end - 1}\r\n"
        return f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n{part}\r\n".encode()

    def exchange(self, request, sink=None):
        """Status and body of one request; with a sink the body's length."""
        self.sock.sendall(request)
        got = self.early
        while (end := got.find(b"\r\n\r\n")) < 0:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError(f"{request[:80]}: closed without an answer")
            got += more
        head, body = got[:end].lower(), got[end + 4:]
        at = head.find(b"content-length:")
        size = int(head[at + 15:head.find(b"\r", at) if b"\r" in head[at:] else None])
        if sink is not None:
            return int(head[9:12]), self.drain(size, len(body), sink)
        parts = [body]
        left = size - len(body)
        while left > 0:
            parts.append(self.sock.recv(min(left, 1 << 20)))
            if not parts[-1]:
                raise ConnectionError("cut")
            left -= len(parts[-1])
        return int(head[9:12]), b"".join(parts)

    def drain(self, size, got, sink):
        while got < size:
            count = self.sock.recv_into(sink)
            if count == 0:
                raise ConnectionError("cut")
            got += count
        return got

    def get(self, path, start=None, end=None):
        status, body = self.exchange(self.request(path, start, end))
        if status not in (200, 206):
            raise AssertionError((status, body[:200]))
        return body

    def size_of(self, path):
        """Reads all of it."""
        status, size = self.exchange(self.request(path), memoryview(bytearray(1 << 20)))
        assert status == 200, status
        return size

    def close(self):
        self.sock.close()


class Host:
    """A lab whose daemon shares files. `far`: with 50 ms between the daemon and the hub, where the readers are; with
    `tls`, nginx is in front of the hub for the daemon. `rate`: of that link, in bytes a second."""

    def __init__(self, folder, far=False, tls=False, rate=None, streams=None):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.link_between, self.near = folder, None, None
        self.kept = contextlib.ExitStack()
        self.lab = harness.Lab(folder)
        self.kept.callback(self.lab.stop)
        address = "127.0.0.1"
        if far:
            self.link_between = netns_link.Link(folder, delay_ms=RTT_MS / 2, rate_kbit=rate * 8 / 1000 if rate else 0)
            self.kept.callback(self.link_between.close)
            address = self.link_between.address_b
        self.hub_side = self.link_between.b if far else None
        self.host_side = self.link_between.a if far else None
        with inside(self.hub_side):
            self.lab.start_hub(f"{address}:0")
        with inside(self.host_side):
            self.lab.register()
        self.url = self.lab.hub.url
        if tls:
            self._put_tls_in_front(address)
        self.lab.write_config(proxy_url=self.proxy_url if tls else None)
        if streams:
            self.lab.config.write_text(self.lab.config.read_text() + f"maxConcurrentStreams: {streams}\n")
        self.environment = {"SSL_CERT_FILE": str(self.bundle)} if tls else {}
        self.start_daemon()
        time.sleep(1)  # both have announced what they can

    def _put_tls_in_front(self, address):
        import certificates
        import tls_servers
        top, self.bundle = tls_servers.lab_root(self.folder)
        leaf = certificates.server(top, [address], **tls_servers.now())
        pem, key = tls_servers.write_pair(self.folder, "front", [leaf])
        port = 8443 if self.link_between else harness.free_port()
        body = tls_servers.proxying(pem, key, self.lab.hub.url).replace("LISTEN", f"{address}:{port}")
        front = self.folder / "front"
        front.mkdir()
        (front / "nginx.conf").write_text(f"""daemon off; worker_processes 1; pid {front}/pid; error_log {front}/error.log;
user root; events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {front}/b; proxy_temp_path {front}/p; fastcgi_temp_path {front}/f;
uwsgi_temp_path {front}/u; scgi_temp_path {front}/s; server {{ {body} }} }}""")
        with inside(self.hub_side):
            self.lab.keep(harness.Process("-p", front, "-c", front / "nginx.conf", program=[tls_servers.NGINX]))
            harness.until(lambda: answers(address, port), "nginx answers")
        self.proxy_url = f"https://{address}:{port}"

    def start_daemon(self):
        with inside(self.host_side):
            self.daemon = self.lab.share(env={**self.lab.host, **self.environment})

    def link(self, path):
        """Its URL's path."""
        with inside(self.host_side):
            uri, = self.lab.link(path)
        digest = uri.removeprefix("sha1://")
        name = pathlib.Path(path).name
        return f"/f/{digest}.{hashlib.sha1(name.encode()).hexdigest()[:8]}/{name}"

    @contextlib.contextmanager
    def beside_hub(self):
        with inside(self.hub_side):
            yield

    def left(self):
        """Bytes that left the host, once it has said the same for a while."""
        seen = []
        while len(seen) < 4 or len(set(seen[-3:])) > 1:
            status = json.loads((self.lab.folder / "kachery-resource.status.json").read_text())
            seen.append(status["totals"]["rangeBytes"])
            time.sleep(0.5)
        return seen[-1]

    def relays(self):
        return [pid for pid in harness.descendants(self.lab.hub.pid) if "relay" in harness.process_name(pid)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kept.close()


def answers(address, port):
    with contextlib.suppress(OSError):
        socket.create_connection((address, port), 1).close()
        return True
    return False


@contextlib.contextmanager
def nginx(folder, namespace=None, address="127.0.0.1"):
    """nginx with a folder's files, in that namespace; its URL."""
    place = pathlib.Path(folder) / f"nginx-{namespace or 'here'}"
    place.mkdir()
    with inside(namespace):
        port = harness.free_port()
        (place / "nginx.conf").write_text(f"""daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
user root; events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; client_body_temp_path {place}/b;
proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
server {{ listen {address}:{port}; root {folder}; }} }}""")
        process = harness.Process("-p", place, "-c", place / "nginx.conf", program=["/usr/sbin/nginx"])
        try:
            harness.until(lambda: answers(address, port), "nginx answers")
            yield f"http://{address}:{port}"
        finally:
            process.stop()


def in_threads(count, work):
    """work(0), work(1) and so on at the same time; what they return."""
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(count)))


def milliseconds(work):
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def needs_far():
    why = netns_link.why_not()
    if why:
        sys.exit(f"a link of {RTT_MS} ms: {why}")


