"""python3 without_call.py NUMBER COMMAND...: runs COMMAND where the system call NUMBER answers ENOSYS, as flock does on
Lustre that is mounted without it."""
import ctypes
import errno
import os
import platform
import struct
import sys

FLOCK = {"x86_64": 73, "aarch64": 32}[platform.machine()]
SET_SECCOMP, FILTER, SET_NO_NEW_PRIVS = 22, 2, 38  # prctl(2)
LOAD, IS_EQUAL, RETURN = 0x20, 0x15, 0x06
FAIL, ALLOW = 0x50000, 0x7fff0000


class Program(ctypes.Structure):
    _fields_ = [("count", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def deny(number):
    steps = [(LOAD, 0, 0, 0), (IS_EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL | errno.ENOSYS), (RETURN, 0, 0, ALLOW)]
    program = Program(len(steps), b"".join(struct.pack("HBBI", *step) for step in steps))
    prctl = ctypes.CDLL(None).prctl
    assert prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and prctl(SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0) == 0


if __name__ == "__main__":
    deny(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
