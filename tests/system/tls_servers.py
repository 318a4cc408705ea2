"""TLS in front of the servers under test: nginx as a lab would run it, and openssl s_server for odd peers."""
import contextlib
import os
import re
import subprocess

import certificates
import harness

NGINX = "/usr/sbin/nginx"
os.environ.setdefault("OPENSSL_CONF", "/dev/null")


def write_pair(folder, name, chain):
    """NAME.pem with the whole chain and NAME.key with the first one's key."""
    (folder / f"{name}.pem").write_text("".join(c.pem() for c in chain))
    (folder / f"{name}.key").write_text(chain[0].key_pem())
    return folder / f"{name}.pem", folder / f"{name}.key"


class Nginx(harness.Process):
    """`servers` are bodies of server blocks without listen; each gets a port of its own, in `ports`."""

    def __init__(self, folder, servers, http="", main="", ports=None):
        folder.mkdir(parents=True, exist_ok=True)
        self.ports = ports or [harness.free_port() for _ in servers]
        blocks = "\n".join(f"server {{ {body.replace('LISTEN', f'127.0.0.1:{port}')} }}"
                           for port, body in zip(self.ports, servers))
        (folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; user root; {main}
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {http}
  {blocks} }}""")
        super().__init__("-p", folder, "-c", folder / "nginx.conf", program=[NGINX])
        for port in self.ports:
            harness.until(lambda port=port: self.answers(port), f"nginx answers on {port}:\n{self.text()}")

    @staticmethod
    def answers(port):
        with contextlib.suppress(OSError):
            import socket
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False


def location_of_help(upstream):
    """What `help hub` tells to write into nginx's configuration, for that server behind it."""
    text = (harness.ROOT / "src/help/hub.txt").read_text()
    block = re.search(r"^    location / \{\n.*?^    \}\n", text, re.MULTILINE | re.DOTALL).group()
    assert "http://127.0.0.1:8080" in block
    return block.replace("http://127.0.0.1:8080", upstream)


def proxying(pem, key, upstream, more=""):
    """A server block with TLS 1.2 that hands everything on, WebSockets too."""
    return f"""listen LISTEN ssl; ssl_certificate {pem}; ssl_certificate_key {key}; ssl_protocols TLSv1.2;
  ssl_session_cache shared:s:1m; {more}
  {location_of_help(upstream)}"""


class Openssl(harness.Process):
    """openssl s_server on a free port; what it gets from us as its standard input is what it answers."""

    ANSWER = b'HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nError'

    def __init__(self, pem, key, *options):
        self.port = harness.free_port()
        super().__init__("s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", pem, "-key", key, "-cert_chain", pem,
                         *options, program=["openssl"], stdin=subprocess.PIPE)
        self.wait_line("ACCEPT")
        self.process.stdin.write(self.ANSWER)
        self.process.stdin.flush()


def lab_root(folder):
    """A root of the test's own, and its PEM file."""
    top = certificates.root("lab root", **now())
    (folder / "root.pem").write_text(top.pem())
    return top, folder / "root.pem"


def now():
    """Validity that holds on the day of the test."""
    import datetime
    today = datetime.datetime.utcnow()
    return {"begins": today - datetime.timedelta(days=1), "ends": today + datetime.timedelta(days=30)}


class TlsLab(harness.Lab):
    """A lab whose hub is behind nginx with TLS."""

    def __init__(self, folder, **more):
        super().__init__(folder, **more)
        self.port = harness.free_port()
        top, self.bundle = lab_root(self.folder)
        middle = certificates.intermediate(top, "lab intermediate", **now())
        leaf = certificates.server(middle, ["localhost", "127.0.0.1"], kind="rsa2048", **now())
        self.pair = write_pair(self.folder, "front", [leaf, middle])

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def environment(self, store, **extra):
        return super().environment(store, SSL_CERT_FILE=self.bundle, **extra)

    def start_hub(self, listen="127.0.0.1:0", *options):
        hub = super().start_hub(listen, "--public-url", self.url, *options)
        self.keep(Nginx(self.folder / "nginx", [proxying(*self.pair, hub.url)], ports=[self.port]))
        return hub
