"""A folder of a file server, mounted by several clients (tests/tools/nfs_double.c): each keeps names and attributes for a
while, and can be made to hang, to fail and to go away. It needs root and /dev/fuse. Strict about nothing: it is a disk."""
import contextlib
import errno
import os
import pathlib
import subprocess

import harness
import pytest

PROGRAM = harness.ROOT / "build" / "tools" / "nfs_double"


def why_not():
    """Why no file system can be mounted here; None when one can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse here"
    return None


class NfsDouble:
    """`server` is the folder itself, `clients[n]` where client n sees it. Errors are numbers of errno. What was deleted can
    be used for as long as its name is kept; `is_strict`: it is stale at once, as with NFS."""

    def __init__(self, folder, clients=2, cache_ms=0, is_strict=False):
        self.server = pathlib.Path(folder) / "server"
        self.clients = [pathlib.Path(folder) / f"client{n}" for n in range(clients)]
        self.sent = 0
        for path in (self.server, *self.clients):
            path.mkdir()
        self.process = harness.Process(self.server, program=[str(PROGRAM)], stdin=subprocess.PIPE)
        try:
            for n in range(clients):
                self.cache(n, cache_ms)
                self._command("strict", n, int(is_strict))
                self.mount(n)
        except BaseException:
            self.stop()
            raise

    def _answers(self):
        return [line for line in self.process.lines["out"] if line == "ok" or line.startswith("error: ")]

    def _command(self, *words):
        self.process.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.process.stdin.flush()
        self.sent += 1
        harness.until(lambda: len(self._answers()) >= self.sent, f"an answer to {words}")
        answer = self._answers()[self.sent - 1]
        if words[0] == "mount" and answer != "ok":
            pytest.skip(f"no file system can be mounted here: {answer}")
        assert answer == "ok", (words, answer)

    def mount(self, client):
        self._command("mount", client, self.clients[client])

    def unmount(self, client):
        """All that waits there fails, and the folder is empty."""
        self._command("unmount", client)

    def cache(self, client, ms):
        """How long names and attributes are kept that are asked for from now on."""
        self._command("cache", client, ms)

    def hang(self, client, operations="all", path="", beyond=0):
        """Operations whose path has `path` in it wait, until `clear`; reads and writes, if they reach beyond that byte."""
        self._command("rule", client, 0, operations, beyond, path)

    def fail(self, client, error, operations="all", path="", beyond=0):
        self._command("rule", client, error, operations, beyond, path)

    def clear(self, client):
        """All is well again: what hung goes on."""
        self._command("clear", client)

    def wait_held(self, client, operation="", count=1):
        """That many operations of that client have hung by now."""
        self.process.wait_line(f"held {client} {operation}", count)

    def wait_failed(self, client, operation="", count=1):
        self.process.wait_line(f"failed {client} {operation}", count)

    def stop(self):
        with contextlib.suppress(OSError):
            self.process.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.stop()
        for path in self.clients:
            subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def mounted(folder, **options):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    if not PROGRAM.exists():
        pytest.skip(f"no {PROGRAM}: run ci/tools.sh")
    made = NfsDouble(folder, **options)
    try:
        yield made
    finally:
        made.stop()


ERRORS = {name: getattr(errno, name) for name in ("EIO", "ESTALE", "ENOSPC", "EDQUOT", "EACCES", "ENOTCONN", "ETIMEDOUT")}
