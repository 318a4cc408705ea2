"""The keys and passwords of the environment stand neither in the environment nor in the memory of children that do not
need them, as /proc shows them."""
import base64
import os
import pathlib
import signal

import harness
import pytest
from harness import memory_holds, process_name, run, until

PASSWORD = "Pr0xy-Passw0rd-of-this-test"
OTHER = "PROXY-SECRET-of-another-program"


def environment_of(pid):
    return pathlib.Path(f"/proc/{pid}/environ").read_bytes()


def keys(env):
    """The store's keys, as variables."""
    text = (pathlib.Path(env["KACHERY_CLOUD_DIR"]) / "private.pem").read_text().splitlines()[1]
    return {"KACHERY_CLOUD_CLIENT_ID": run("register", env=env, check=0).stdout.decode().split()[-1],
            "KACHERY_CLOUD_PRIVATE_KEY": base64.b64decode(text)[-32:].hex()}


@pytest.fixture
def secrets(lab):
    """An environment with every key and password that a program of ours may find in it."""
    return {**keys(lab.host), "PROXY_SECRET": OTHER, "http_proxy": f"http://me:{PASSWORD}@127.0.0.1:9",
            "ALL_PROXY": f"http://me:{PASSWORD}@127.0.0.1:9", "no_proxy": "*"}


def test_children_of_the_daemon(lab, secrets):
    os.makedirs(lab.folder / "in", exist_ok=True)
    (lab.folder / "in" / "f").write_bytes(b"x" * 300_000)
    uri, = lab.link(lab.folder / "in" / "f")
    daemon = lab.share(env={**lab.host, **secrets})
    run("request", uri.partition("?")[0], "--wait", env=lab.remote, check=0)  # there is an upload worker, which signed
    children = {pid: process_name(pid) for pid in harness.descendants(daemon.pid)}
    assert {"kachery-keeper", "kachery-upload"} <= set(children.values()), children
    for pid, name in children.items():
        seen = environment_of(pid)
        assert OTHER.encode() not in seen and not memory_holds(pid, OTHER.encode()), name
        if name not in ("kachery-upload", "kachery-check"):
            for secret in (secrets["KACHERY_CLOUD_PRIVATE_KEY"].encode(), PASSWORD.encode()):
                assert secret not in seen and not memory_holds(pid, secret), name
            assert b"KACHERY_CLOUD_DIR=" in seen and b"127.0.0.1" not in seen.split(b"http_proxy=")[1][:30]
    assert secrets["KACHERY_CLOUD_PRIVATE_KEY"].encode() in environment_of(daemon.pid)  # the next workers need it
    daemon.stop()


def test_children_that_hash(lab, secrets, tmp_path):
    for i in range(4):
        (tmp_path / f"big{i}").write_bytes(os.urandom(64) * 1_000_000)
    command = harness.Process("link", "--jobs", "2", *[tmp_path / f"big{i}" for i in range(4)], env={**lab.host, **secrets})
    lab.keep(command)
    # A child has its name when it has wiped what it must not have.
    children = until(lambda: [pid for pid in harness.descendants(command.pid) if process_name(pid) == "kachery-hash"],
                     "children")
    os.kill(children[0], signal.SIGSTOP)  # there is time to look
    seen = environment_of(children[0])
    wanted = [secrets["KACHERY_CLOUD_PRIVATE_KEY"].encode(), PASSWORD.encode(), OTHER.encode()]
    assert [s for s in wanted if s in seen] == []
    os.kill(children[0], signal.SIGCONT)
    assert command.wait() == 0


def test_servers(lab, secrets):
    env = {**lab.host, **secrets}
    server = lab.keep(harness.Server("hub", "--data", lab.folder / "zone2", "--open-registration", env=env))
    user = {**lab.host, "KACHERY_GATEWAY_URL": server.url}
    (lab.folder / "f").write_bytes(b"f" * 100_000)
    run("register", env=user, check=0)
    run("store", str(lab.folder / "f"), env=user, check=0)
    pids = [server.pid, *until(lambda: [pid for pid in harness.descendants(server.pid)
                                        if process_name(pid) in ("gateway", "bucket")], "workers")]
    for pid in pids:
        seen = environment_of(pid)
        for name in ("PROXY_SECRET", "KACHERY_CLOUD_PRIVATE_KEY"):
            assert secrets[name].encode() not in seen, (pid, name)
        assert not memory_holds(pid, secrets["KACHERY_CLOUD_PRIVATE_KEY"].encode())
        assert (pid == server.pid) or not (memory_holds(pid, OTHER.encode()) or memory_holds(pid, PASSWORD.encode()))
