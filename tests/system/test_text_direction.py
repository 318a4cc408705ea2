"""Characters that turn the direction of text are escaped where people read (messages, logs, terminals), and nowhere else."""
import json
import os
import pty
import subprocess

import harness
import pytest
from harness import run
from zone_double import text, written

TURNING = [chr(c) for c in (0x61c, 0x200e, 0x200f, *range(0x202a, 0x202f), *range(0x2066, 0x206a))]
SHOWN = {c: "".join(f"\\x{b:02x}" for b in c.encode()) for c in TURNING}


def on_a_terminal(*arguments, env):
    """Standard output as a terminal gets it."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen([harness.BINARY, *map(str, arguments)], env=env, stdout=theirs, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    os.close(theirs)
    out = b""
    try:
        while data := os.read(ours, 65536):
            out += data
    except OSError:
        pass
    os.close(ours)
    assert done.wait(harness.DEADLINE_S) == 0
    return out.decode()


@pytest.mark.parametrize("character", TURNING, ids=[f"{ord(c):04x}" for c in TURNING])
def test_names_with_it(store, tmp_path, character):
    _, env = store
    name = f"exe.{character}gpj"
    path = written(tmp_path, name, b"x")
    linked = run("link", path, env=env, check=0).stdout.decode()
    assert character in linked, "a pipe gets what is there"
    found, = json.loads(run("ls", "--json", env=env, check=0).stdout)
    assert found["path"] == str(path)
    assert character in run("ls", env=env, check=0).stdout.decode()
    for shown in (on_a_terminal("ls", env=env), on_a_terminal("link", path, env=env)):
        assert character not in shown and SHOWN[character] in shown
    done = run("link", f"{tmp_path}/no{character}thing", env=env, check=1)
    assert character not in text(done.stderr) and f"no{SHOWN[character]}thing" in text(done.stderr)
    done = run("load", f"sha1://x{character}", env=env, check=1)
    assert character not in text(done.stderr) and SHOWN[character] in text(done.stderr)


def test_what_a_gateway_says_with_it(zone, user):
    zone.answers["findFile"] = [(500, "Error: not \u202eyou")]
    done = run("info", "sha1://" + "0" * 40, env=user, check=1)
    assert "\u202e" not in text(done.stderr) and "not \\xe2\\x80\\xaeyou" in text(done.stderr)


def test_a_log_with_it(zone, desk):
    zone.answers["getClientInfo"] = [(500, "Error: not \u2066you")] * 9
    line = desk.share(wait=False).wait_line("not \\xe2\\x81\\xa6you")
    assert "\u2066" not in line
