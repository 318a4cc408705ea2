"""A file system that does not answer: mounted through /dev/fuse, its requests are read and left. Whoever asks it waits
in the kernel, and not even SIGKILL ends that, as with an NFS server that is gone."""
import contextlib
import ctypes
import os
import select
import struct
import threading

import pytest

MS_NOSUID_NODEV, MNT_DETACH, FUSE_INIT = 6, 2, 26


def _serve(fd, end, asked):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.register(end, select.POLLIN)
    while not any(ready == end for ready, _ in poll.poll()):
        try:
            request = os.read(fd, 1 << 17)
        except OSError:  # unmounted, and nobody waits
            break
        _, kind, unique = struct.unpack_from("<IIQ", request)
        if kind == FUSE_INIT:
            readahead, = struct.unpack_from("<I", request, 48)
            answer = struct.pack("<IIIIHHI", 7, 12, readahead, 0, 12, 9, 4096)
            os.write(fd, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
        else:
            asked.set()
    os.close(fd)  # ends the connection: all who wait are told so


@contextlib.contextmanager
def hung(folder):
    """While it lasts, nothing below `folder` answers; the event tells that somebody asked."""
    libc = ctypes.CDLL(None, use_errno=True)
    asked, path = threading.Event(), os.fsencode(folder)
    try:
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no /dev/fuse: {error}")
    options = f"fd={fd},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
    if libc.mount(b"hung", path, b"fuse", MS_NOSUID_NODEV, options) != 0:
        os.close(fd)
        pytest.skip(f"mount: {os.strerror(ctypes.get_errno())}")
    end, tell_end = os.pipe()
    thread = threading.Thread(target=_serve, args=(fd, end, asked), daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        libc.umount2(path, MNT_DETACH)
        os.write(tell_end, b"x")
        thread.join(10)
        os.close(end)
        os.close(tell_end)
