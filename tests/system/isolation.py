"""A test whose body runs in a child process with a network and a mount namespace of its own: its own loopback, its own
/etc/hosts and /etc/resolv.conf, names servers on port 53 if it likes. Needs root and iproute2."""
import ctypes
import functools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback

import netns_link

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


def isolated(function):
    """Runs the test in such a child; what it raises there is raised here as text."""
    @functools.wraps(function)
    def run(*arguments, **more):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.close(reading)
                os.setsid()
                _isolate()
                function(*arguments, **more)
                status = 0
            except BaseException:
                os.write(writing, traceback.format_exc()[-60000:].encode())
            finally:
                sys.stdout.flush()
                os._exit(status)
        os.close(writing)
        said = b""
        while piece := os.read(reading, 65536):
            said += piece
        os.close(reading)
        _, status = os.waitpid(pid, 0)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        assert status == 0, said.decode(errors="replace")
    return run


why_not = netns_link.why_not


def _isolate():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for words in (["mount", "--make-rprivate", "/"], ["ip", "link", "set", "lo", "up"]):
        subprocess.run(words, check=True)


def write_etc(folder, name, text):
    """/etc/NAME is this text from now on, for this test and what it starts."""
    path = folder / f"etc-{name}"
    is_new = not path.exists()
    path.write_text(text)
    if is_new:
        subprocess.run(["mount", "--bind", path, os.path.realpath(f"/etc/{name}")], check=True)


def add_silent_network(prefix="10.99.0"):
    """Addresses there are reached, as it seems, but nobody is at home: what is sent to them is lost."""
    for words in (["link", "add", "void0", "type", "veth", "peer", "name", "void1"], ["addr", "add", f"{prefix}.1/24", "dev", "void0"],
                  ["link", "set", "void0", "arp", "off", "up"], ["link", "set", "void1", "up"]):
        subprocess.run(["ip", *words], check=True)


class NameServer:
    """UDP on port 53. `rule(name, kind)` ("A" or "AAAA") gives a list of addresses, or one of the words below."""

    CODES = {"failure": 2, "no such name": 3, "refused": 5}

    def __init__(self, rule, address="127.0.0.1"):
        self.rule, self.asked = rule, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 53))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            question, asker = self.socket.recvfrom(4096)
            answer = self._answer(question)
            if answer:
                self.socket.sendto(answer, asker)

    def _answer(self, question):
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = {1: "A", 28: "AAAA"}[struct.unpack(">H", question[at + 1:at + 3])[0]]
        self.asked.append((".".join(labels), kind))
        found = self.rule(".".join(labels), kind)
        if found == "silence":
            return None
        code = self.CODES[found] if isinstance(found, str) else 0
        records = b""
        for address in found if code == 0 else []:
            packed = socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, address)
            records += b"\xc0\x0c" + struct.pack(">HHIH", 1 if kind == "A" else 28, 1, 60, len(packed)) + packed
        return (question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found) if code == 0 else 0, 0, 0) +
                question[12:at + 5] + records)
