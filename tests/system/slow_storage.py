"""Storage that recalls files from tape: names, sizes and times are told at once, bytes when they are let out. Mounted
through /dev/fuse (the kernel's fuse.h tells the structures)."""
import contextlib
import ctypes
import errno
import os
import pathlib
import select
import stat
import struct
import threading

import pytest

MS_NOSUID_NODEV, MNT_DETACH = 6, 2
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 18, 25, 26, 36, 42
ROOT, A_DAY = 1, 86400


class Tape:
    """The files of one folder. `reads` are those whose first bytes are asked for and not given yet."""

    def __init__(self, folder, fd):
        self.fd, self.lock, self.waiting, self.is_out = fd, threading.Lock(), [], False
        self.files = [(path.name, path.read_bytes(), path.stat()) for path in sorted(pathlib.Path(folder).iterdir())]
        self.folder = os.stat(folder)

    def reads(self):
        with self.lock:
            return len({node for _, node, _, _ in self.waiting})

    def let_out(self):
        with self.lock:
            self.is_out, waiting, self.waiting = True, self.waiting, []
        for unique, node, offset, size in waiting:
            self._give(unique, node, offset, size)

    def _answer(self, unique, data=b"", error=0):
        with contextlib.suppress(OSError):  # whoever asked may be gone
            os.write(self.fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)

    def _give(self, unique, node, offset, size):
        self._answer(unique, self.files[node - 2][1][offset:offset + size])

    def _attr(self, node):
        st = self.folder if node == ROOT else self.files[node - 2][2]
        seconds, nanoseconds = divmod(st.st_mtime_ns, 10**9)
        kind = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
        return struct.pack("<6Q10I", node, st.st_size, 1, seconds, seconds, seconds, nanoseconds, nanoseconds, nanoseconds,
                           kind, 1, os.getuid(), os.getgid(), 0, 4096, 0)

    def _look_up(self, unique, name):
        nodes = [n for n, (found, _, _) in enumerate(self.files, 2) if found == name]
        if not nodes:
            return self._answer(unique, error=errno.ENOENT)
        return self._answer(unique, struct.pack("<4Q2I", nodes[0], 0, A_DAY, A_DAY, 0, 0) + self._attr(nodes[0]))

    def take(self, request):
        _, kind, unique, node = struct.unpack_from("<IIQQ", request)
        body = request[40:]
        if kind == INIT:
            readahead, = struct.unpack_from("<I", body, 8)
            self._answer(unique, struct.pack("<IIIIHHI", 7, 12, readahead, 0, 12, 9, 4096))
        elif kind == LOOKUP:
            self._look_up(unique, os.fsdecode(body.rstrip(b"\0")))
        elif kind == GETATTR:
            self._answer(unique, struct.pack("<QII", A_DAY, 0, 0) + self._attr(node))
        elif kind == OPEN:
            self._answer(unique, struct.pack("<QII", 0, 0, 0))
        elif kind == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            with self.lock:
                if not self.is_out:
                    self.waiting.append((unique, node, offset, size))
                    return
            self._give(unique, node, offset, size)
        elif kind in (RELEASE, FLUSH):
            self._answer(unique)
        elif kind not in (FORGET, INTERRUPT, BATCH_FORGET):
            self._answer(unique, error=errno.ENOSYS)


def _serve(tape, end):
    poll = select.poll()
    poll.register(tape.fd, select.POLLIN)
    poll.register(end, select.POLLIN)
    while not any(ready == end for ready, _ in poll.poll()):
        with contextlib.suppress(OSError):  # a request may be taken back before it is read
            tape.take(os.read(tape.fd, 1 << 17))
    os.close(tape.fd)  # ends the connection: all who wait are told so


@contextlib.contextmanager
def on_tape(folder):
    """While it lasts, the files in `folder` are on tape."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no /dev/fuse: {error}")
    tape = Tape(folder, fd)
    options = f"fd={fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
    if libc.mount(b"tape", os.fsencode(folder), b"fuse", MS_NOSUID_NODEV, options) != 0:
        os.close(fd)
        pytest.skip(f"mount: {os.strerror(ctypes.get_errno())}")
    end, tell_end = os.pipe()
    thread = threading.Thread(target=_serve, args=(tape, end), daemon=True)
    thread.start()
    try:
        yield tape
    finally:
        libc.umount2(os.fsencode(folder), MNT_DETACH)
        os.write(tell_end, b"x")
        thread.join(10)
        os.close(end)
        os.close(tell_end)
