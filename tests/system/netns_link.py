"""Two hosts in network namespaces of this test's own and a link between them that can be disturbed (netns/emul.py):
delay, loss, a rate, and cut without a word. Needs root and iproute2."""
import json
import os
import pathlib
import shutil
import subprocess

import harness

EMULATOR = pathlib.Path(__file__).parent / "netns" / "emul.py"
_count = 0


def why_not():
    """Why no link can be made here; None when one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "ethtool"):
        if shutil.which(tool) is None:
            return f"no {tool} here"
    probe = subprocess.run(["ip", "netns", "add", f"krprobe{os.getpid()}"], stderr=subprocess.PIPE, text=True)
    if probe.returncode != 0:
        return f"no network namespaces here: {probe.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", f"krprobe{os.getpid()}"], check=True)
    return None


class Link:
    """`a` and `b` are the namespaces' names, with the addresses `address_a` and `address_b`."""

    address_a, address_b = "10.231.0.1", "10.231.0.2"

    def __init__(self, folder, **disturbance):
        global _count
        _count += 1
        stem = f"kr{os.getpid()}x{_count}"
        self.a, self.middle, self.b = f"{stem}a", f"{stem}m", f"{stem}b"
        self.control = pathlib.Path(folder) / f"{stem}.json"
        self.emulator = None
        try:
            self._build()
            self.set(**disturbance)
            self.emulator = subprocess.Popen(
                ["ip", "netns", "exec", self.middle, "/usr/bin/python3", str(EMULATOR), "mA", "mB", "--seconds", "900",
                 "--ctl", str(self.control)], stdout=subprocess.DEVNULL, start_new_session=True)
            harness.until(self._is_up, "the link carries packets")
        except BaseException:
            self.close()
            raise

    def _ip(self, *words):
        subprocess.run(["ip", *words], check=True)

    def _build(self):
        for name in (self.a, self.middle, self.b):
            self._ip("netns", "add", name)
            self._ip("-n", name, "link", "set", "lo", "up")
        for side, end, address in ((self.a, "A", self.address_a), (self.b, "B", self.address_b)):
            self._ip("link", "add", f"v{end}", "netns", side, "type", "veth", "peer", "name", f"m{end}", "netns", self.middle)
            self._ip("-n", side, "addr", "add", f"{address}/24", "dev", f"v{end}")
            for where, device in ((side, f"v{end}"), (self.middle, f"m{end}")):
                self._ip("-n", where, "link", "set", device, "up")
                subprocess.run(["ip", "netns", "exec", where, "ethtool", "-K", device, "tx", "off", "rx", "off", "gso", "off",
                                "tso", "off", "gro", "off"], check=True, stdout=subprocess.DEVNULL)

    def _is_up(self):
        return subprocess.run(["ip", "netns", "exec", self.a, "/usr/bin/python3", "-c",
                               f"import socket; s = socket.socket(); s.settimeout(1); "
                               f"exit(s.connect_ex(('{self.address_b}', 9)) not in (111, 0))"]).returncode == 0

    def set(self, **disturbance):
        """delay_ms, jitter_ms, loss (0 to 1), dup, rate_kbit; what is not named stays as it was. In force on return."""
        now = json.loads(self.control.read_text()) if self.control.exists() else {}
        now.update(disturbance)
        fresh = self.control.with_suffix(".new")
        fresh.write_text(json.dumps(now))
        fresh.rename(self.control)
        seen = pathlib.Path(f"{self.control}.seen")
        if self.emulator is not None:
            harness.until(lambda: seen.exists() and seen.read_text() == json.dumps(now), "the link has taken that in")

    def cut(self):
        self.set(loss=1.0)

    def mend(self, **disturbance):
        self.set(loss=0.0, **disturbance)

    def program(self, side):
        """What stands before a command's arguments to run it on that host."""
        return ["ip", "netns", "exec", side, harness.BINARY]

    def close(self):
        if self.emulator is not None:
            os.killpg(self.emulator.pid, 9)
            self.emulator.wait()
        for name in (self.a, self.middle, self.b):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
