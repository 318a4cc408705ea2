"""One end of a WebSocket over a raw socket, for sending what no library would."""
import base64
import hashlib
import os
import socket
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def xor(data, mask):
    """Masks or unmasks, fast enough for megabytes."""
    if not data:
        return b""
    pattern = mask * (len(data) // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern[:len(data)], "big")).to_bytes(len(data), "big")


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=None, length_bytes=None, claimed=None):
    """The bytes of one frame; length_bytes and claimed lie about the length."""
    length = len(payload) if claimed is None else claimed
    if length_bytes is None:
        length_bytes = 0 if length <= 125 else 2 if length <= 0xffff else 8
    short = {0: length, 2: 126, 8: 127}[length_bytes]
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode, (0x80 if mask else 0) | short])
    head += {0: b"", 2: struct.pack("!H", length & 0xffff), 8: struct.pack("!Q", length)}[length_bytes]
    return head + (mask + xor(payload, mask) if mask else payload)


class Peer:
    """A connected end after the handshake; `is_client` tells which."""

    def __init__(self, sock, is_client):
        self.sock, self.is_client, self.pending = sock, is_client, b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def frame(self, *arguments, **options):
        """A frame as this end has to send it: masked by a client."""
        options.setdefault("mask", os.urandom(4) if self.is_client else None)
        return frame(*arguments, **options)

    def _take(self, count):
        parts = [self.pending]
        have = len(self.pending)
        while have < count:
            part = self.sock.recv(1 << 20)
            if not part:
                self.pending = b"".join(parts)
                return None
            parts.append(part)
            have += len(part)
        whole = b"".join(parts)
        self.pending = whole[count:]
        return whole[:count]

    def receive(self):
        """The next frame as (opcode, payload), or None at the end of the stream. It must be whole, final, without
        reserved bits, and masked as its sender has to."""
        head = self._take(2)
        if head is None:
            return None
        assert head[0] & 0xf0 == 0x80, f"fragmented or reserved bits: {head!r}"
        is_masked, length = head[1] >> 7 == 1, head[1] & 127
        assert is_masked == (not self.is_client), "masked by the wrong side"
        if length >= 126:
            length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
        mask = self._take(4) if is_masked else None
        payload = self._take(length)
        assert payload is not None, "cut inside a frame"
        return head[0] & 15, xor(payload, mask) if mask else payload


def read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(4096)
        assert part, f"closed inside the head: {data!r}"
        data += part
    head, rest = data.split(b"\r\n\r\n", 1)
    return head.decode(), rest


def connect(port, deadline_s=30, path="/", source=None):
    """A client that is through with the handshake."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=deadline_s, source_address=source and (source, 0))
    key = base64.b64encode(os.urandom(16))
    sock.sendall(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (path.encode(), port, key))
    head, rest = read_head(sock)
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    assert head.startswith("HTTP/1.1 101 ") and f"Sec-WebSocket-Accept: {accept}" in head, head
    peer = Peer(sock, is_client=True)
    peer.pending = rest
    return peer


def accept(listener, deadline_s=30):
    """A server that is through with the handshake; the second value is the client's head."""
    listener.settimeout(deadline_s)
    sock, _ = listener.accept()
    sock.settimeout(deadline_s)
    head, rest = read_head(sock)
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    value = base64.b64encode(hashlib.sha1(fields["Sec-WebSocket-Key"].encode() + GUID).digest())
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: %s\r\n\r\n" % value)
    peer = Peer(sock, is_client=False)
    peer.pending = rest
    return peer, head
