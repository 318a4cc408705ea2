"""Makes ci/order.txt anew: the functions that a daemon, a hub and the usual commands run, those of idle processes
first. The linker puts them side by side in this order (ci/flags.sh), so that a process has few pages of the program in
its memory. Run it after large changes, with valgrind and a built program:

    ./build.sh && /usr/bin/python3 ci/order.py

A function that is new or has a new name lies far behind the others until the next run, in pages of its own: with
--check it fails when more than a few names are of the past."""
import collections
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build" / "kachery-resource.debug"
LIST = ROOT / "ci" / "order.txt"
os.environ.setdefault("KACHERY_TEST_DEADLINE", "120")  # the program under valgrind is slow
sys.path.insert(0, str(ROOT / "tests" / "bench" / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402

# Of these, written in assembler, valgrind knows no name.
ALWAYS = ["memcpy", "memmove", "memset"]
# Intervals a fiftieth of the product's.
MOST_STALE = 0.05  # of all names
IDLE_S, IDLE = 6, "ping_ms=400,dead_ms=6000,lease_refresh_ms=1200,presence_first_ms=100,presence_ms=6000"


def functions(path):
    """The names of the functions that a file of callgrind's counts instructions of."""
    names, used = {}, set()
    for line in path.read_text(errors="replace").splitlines():
        found = re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line)
        if not found:
            continue
        callee, number, name = found.groups()
        if name:
            names[number] = name.split("'")[0].split(".")[0]
        if not callee:
            used.add(names[number])
    return used


def run_lab(folder, options):
    """A hub and a daemon under callgrind: sets of functions by phase and process."""
    program = folder / "program"
    program.write_text(f"#!/bin/sh\nexec valgrind -q --tool=callgrind --trace-children=yes --callgrind-out-file={folder}/out.%p {options} {PROGRAM} \"$@\"\n")
    program.chmod(0o755)
    harness.BINARY = str(program)
    phases = collections.defaultdict(dict)

    def end_phase(name, *tops):
        for pid in [each for top in tops for each in (top, *harness.descendants(top))]:
            before = set(folder.glob(f"out.{pid}.*"))
            subprocess.run(["callgrind_control", "-d", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
            time.sleep(0.5)
            for path in set(folder.glob(f"out.{pid}.*")) - before:
                phases[name][pid] = functions(path)

    with bench.lab(folder) as lab:
        daemon = lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": IDLE})
        time.sleep(2)
        end_phase("start", daemon.pid, lab.hub.pid)
        time.sleep(IDLE_S)
        end_phase("idle", daemon.pid, lab.hub.pid)
        path = bench.random_file(folder / "file", 200_000)
        digest = lab.link(path)[0].removeprefix("sha1://")
        for each in ("0" * 40, digest):
            harness.http("POST", f"{lab.hub.url}/r/{lab.name}", bench.request_body(lab.name, each))
        harness.run("load", f"sha1://{digest}", env=lab.remote, check=0)
        end_phase("work", daemon.pid, lab.hub.pid)
    phases["commands"] = {path.name: functions(path) for path in folder.glob("out.*")}
    return phases


def names_of_functions():
    """Each function's names: the C library's have several, of which one is that of its object file."""
    at = collections.defaultdict(set)
    listed = subprocess.run(["nm", "--defined-only", PROGRAM], stdout=subprocess.PIPE, check=True).stdout.decode()
    for address, kind, name in map(str.split, listed.splitlines()):
        if kind in "tTW":
            at[address].add(name.split(".")[0])
    return {name: sorted(names) for names in at.values() for name in names}


def check(known):
    names = LIST.read_text().split()
    stale = [name for name in names if name not in known]
    if len(stale) > MOST_STALE * len(names):
        sys.exit(f"{LIST.relative_to(ROOT)}: {len(stale)} of {len(names)} functions are no longer there, as {' '.join(stale[:5])}: "
                 "run ./build.sh && /usr/bin/python3 ci/order.py")


def main():
    known = names_of_functions()
    if sys.argv[1:] == ["--check"]:
        check(known)
        return
    with bench.scratch() as folder:
        # What children run after the fork, and then all that is run.
        children = run_lab(folder, "--toggle-collect=process_start")
    with bench.scratch() as folder:
        whole = run_lab(folder, "")
    groups = [[*children["start"].values(), *children["work"].values(), *whole["idle"].values()], whole["start"].values(),
              whole["work"].values(), whole["commands"].values()]
    order = dict.fromkeys(ALWAYS)
    for group in groups:
        count = collections.Counter(name for used in group for name in used if name in known)
        for name in sorted(count, key=lambda name: (-count[name], name)):
            order.update(dict.fromkeys(known[name]))
    LIST.write_text("".join(f"{name}\n" for name in order))
    print(f"{LIST.relative_to(ROOT)}: {len(order)} functions")


if __name__ == "__main__":
    main()
