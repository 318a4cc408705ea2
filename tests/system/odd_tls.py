"""TLS servers that do odd things, in threads: Python's ssl module with a handler, and a relay in front of one that changes,
holds back or cuts what the server says."""
import contextlib
import socket
import ssl
import threading


def read_request(stream):
    """The head and the body of one request."""
    data = b""
    while b"\r\n\r\n" not in data:
        got = stream.recv(65536)
        if not got:
            raise EOFError
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < size:
        body += stream.recv(65536)
    return head


def answer(body, extra=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s" % (extra, len(body), body)


def without_notify(stream):
    """The TCP connection below; what was TLS ends without a word."""
    return socket.socket(fileno=stream.detach())


class Listener:
    """Each connection is handled in a thread of its own: `handle(socket)`. `accepted` counts them."""

    def __init__(self, handle, host="127.0.0.1"):
        self.handle, self.accepted, self.kept = handle, 0, []
        self.listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        try:
            self.handle(connection)
        except (OSError, EOFError, ValueError):
            connection.close()

    def stop(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.kept:
            connection.close()


class TlsPeer(Listener):
    """handle(stream) gets the connection after the handshake."""

    def __init__(self, pem, key, handle):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, key)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(lambda connection: handle(context.wrap_socket(connection, server_side=True)))


class Relay(Listener):
    """Hands on what comes for `port`. `change(data, offset)` gives what goes to the client instead of data, or None to stop
    there: with `cuts` both sides are closed, else nothing more is said. `look(data)` sees what the client says first and
    may answer in the server's place."""

    def __init__(self, port, change=lambda data, offset: data, cuts=False, look=lambda data: None):
        self.behind, self.change, self.cuts, self.look = port, change, cuts, look
        super().__init__(self._relay)

    def _relay(self, near):
        self.kept.append(near)
        first = near.recv(65536)
        instead = self.look(first)
        if instead is not None:
            near.sendall(instead)
            near.shutdown(socket.SHUT_WR)
            return
        far = socket.create_connection(("127.0.0.1", self.behind))
        self.kept.append(far)
        far.sendall(first)
        threading.Thread(target=self._up, args=(near, far), daemon=True).start()
        offset = 0
        while data := far.recv(65536):
            out = self.change(data, offset)
            offset += len(data)
            near.sendall(out or b"")
            if out is None or len(out) < len(data):
                break
        else:
            near.close()
            return
        if self.cuts:
            near.shutdown(socket.SHUT_RDWR)
            near.close()

    def _up(self, near, far):
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.close()


def only(count):
    """For Relay: so many bytes."""
    return lambda data, offset: data[:max(0, count - offset)]


def before(extra):
    """For Relay: something in front of all."""
    return lambda data, offset: extra + data if offset == 0 else data
