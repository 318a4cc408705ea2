"""Links with delay and loss, slow links, and links that are cut without a word: between a host that shares and a hub
elsewhere. The intervals are shortened in proportion where the real ones would make the test wait for minutes; the
real ones are gone through in tests/bench/link_cut.py."""
import os
import signal
import threading
import time

import harness
import netns_link
import pytest
from harness import Lab, Process, clean_environment, object_path, sha1

pytestmark = pytest.mark.skipif(netns_link.why_not() is not None, reason=str(netns_link.why_not()))

# A sixth of the real ones, and a stall that is noticed as fast.
SHORT = "connect_ms=5000,acknowledge_ms=4000,ping_ms=2000,dead_ms=6000,retry_min_ms=200,retry_max_ms=3000"


class FarLab(Lab):
    """The hub is on the far side (b) of a link, the daemon and a remote user on this one (a)."""

    def __init__(self, folder, link):
        super().__init__(folder)
        self.link_between = link

    def start(self):
        hub = Process("hub", "--listen", f"{self.link_between.address_b}:0", "--data", str(self.data), "--open-registration",
                      "--secret-file", str(self.secret_file), program=self.link_between.program(self.link_between.b),
                      env=clean_environment(HOME=self.folder))
        hub.url = hub.wait_line("listening http://").split("listening ", 1)[1].strip()
        self.hub = self.keep(hub)
        for env in (self.host, self.remote):
            self.near("register", "--label", "test", env=env).wait_ok()
        self.write_config()
        return self

    def near(self, *arguments, env):
        """A command on this side, running while the test does something to the link."""
        return self.keep(Command(*arguments, program=self.link_between.program(self.link_between.a), env=env))

    def far(self, *arguments, env):
        return self.keep(Command(*arguments, program=self.link_between.program(self.link_between.b), env=env))

    def share_near(self, intervals=SHORT):
        daemon = self.near("share", "--config", str(self.config), env={**self.host, "KACHERY_RESOURCE_TEST_INTERVALS": intervals})
        daemon.wait_line("acknowledged")
        return daemon

    def add_file(self, name, size):
        data = os.urandom(size)
        (self.folder / name).write_bytes(data)
        self.link(self.folder / name)
        return data


class Command(Process):
    def wait_ok(self, deadline_s=harness.DEADLINE_S):
        assert self.wait(deadline_s) == 0, self.text()
        return self


@pytest.fixture
def far_lab(tmp_path):
    link = netns_link.Link(tmp_path)
    made = FarLab(tmp_path, link)
    try:
        yield made.start()
    finally:
        made.stop()
        link.close()


def fetch(lab, data, out, side="far", deadline_s=60):
    """`load` of that content into a new store, started."""
    command = lab.far if side == "far" else lab.near
    env = {**lab.remote, "KACHERY_CLOUD_DIR": str(lab.folder / f"store-{out}")}
    return command("load", f"sha1://{sha1(data)}", "-o", str(lab.folder / out), env=env)


def test_delay_and_loss(far_lab):
    data = far_lab.add_file("lossy.dat", 1 << 20)
    far_lab.link_between.set(delay_ms=20, jitter_ms=5, loss=0.05)
    far_lab.share_near()
    fetch(far_lab, data, "out").wait_ok(60)
    assert (far_lab.folder / "out").read_bytes() == data
    fetch(far_lab, data, "out2", side="near").wait_ok(60)
    assert (far_lab.folder / "out2").read_bytes() == data


def test_a_slow_link(far_lab):
    """1 Mbit/s: the daemon goes on answering while it uploads."""
    data = far_lab.add_file("slow.dat", 600_000)
    far_lab.share_near()
    far_lab.link_between.set(rate_kbit=1000)
    loading = fetch(far_lab, data, "out")
    asked = far_lab.far("request", "sha1://" + "0" * 40, "--json", env=far_lab.remote)
    assert asked.wait(30) == 3 and '"found":false' in asked.text()
    loading.wait_ok(60)
    assert (far_lab.folder / "out").read_bytes() == data


def test_a_link_that_is_cut_while_nothing_happens(far_lab):
    daemon = far_lab.share_near()
    far_lab.link_between.cut()
    daemon.wait_line("trying again", deadline_s=30)
    far_lab.link_between.mend()
    daemon.wait_line("acknowledged", count=2, deadline_s=30)
    data = far_lab.add_file("after.dat", 100_000)
    fetch(far_lab, data, "out").wait_ok()
    assert (far_lab.folder / "out").read_bytes() == data


def test_a_link_that_is_cut_in_mid_upload(far_lab):
    """Whoever waits on the far side is not lost: the upload is taken up again when the link is back."""
    data = far_lab.add_file("upload.dat", 8_000_000)
    daemon = far_lab.share_near()
    far_lab.link_between.set(rate_kbit=8000)
    loading = fetch(far_lab, data, "out")
    harness.until(lambda: any(p.is_file() and p.stat().st_size > 100_000 for p in far_lab.data.rglob("*")), "some of it arrived")
    far_lab.link_between.cut()
    daemon.wait_line("trying again", deadline_s=30)
    assert not object_path(far_lab.data, sha1(data)).exists()
    far_lab.link_between.mend(rate_kbit=0)
    loading.wait_ok(150)
    assert (far_lab.folder / "out").read_bytes() == data


def test_a_link_that_is_cut_in_mid_download(far_lab):
    data = far_lab.add_file("download.dat", 8_000_000)
    far_lab.share_near()
    fetch(far_lab, data, "first").wait_ok()
    far_lab.link_between.set(rate_kbit=4000)
    loading = fetch(far_lab, data, "out", side="near")
    harness.until(lambda: any(p.stat().st_size > 100_000 for p in far_lab.folder.glob("*.part")), "some of it arrived")
    far_lab.link_between.cut()
    assert loading.process.poll() is None
    threading.Timer(8, far_lab.link_between.mend, kwargs={"rate_kbit": 0}).start()
    loading.wait_ok(150)
    assert (far_lab.folder / "out").read_bytes() == data


def test_a_proxy_that_stands_still(far_lab):
    """Half-open: the hub's process is stopped, so that the line is up and nobody answers."""
    daemon = far_lab.share_near()
    children = harness.descendants(far_lab.hub.pid)
    for pid in (far_lab.hub.pid, *children):
        os.kill(pid, signal.SIGSTOP)
    try:
        daemon.wait_line("trying again", deadline_s=30)
    finally:
        for pid in (far_lab.hub.pid, *children):
            os.kill(pid, signal.SIGCONT)
    daemon.wait_line("acknowledged", count=2, deadline_s=60)
    began = time.monotonic()
    asked = far_lab.far("request", "sha1://" + "0" * 40, "--json", env=far_lab.remote)
    assert asked.wait(30) == 3, f"{asked.text()} after {time.monotonic() - began:.1f} s"
