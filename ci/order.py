"""Makes ci/order.txt anew: the functions that a daemon, a hub and the usual commands run, those of idle processes
first, and the constant tables that each group of them uses. The linker puts them side by side in this order
(ci/flags.sh), so that a process has few pages of the program in its memory: the kernel maps 64 KiB around each that it
touches. Run it after large changes, with valgrind and a built program:

    ./build.sh && /usr/bin/python3 ci/order.py

The list has three parts: what runs in processes that last, from their start on; what commands and workers run besides;
the rest. A name that is new is linked behind the first part, until the next run says where it belongs. With --check it
fails when more than a few names of the first two are of the past, or when what each process has in its memory grew too
much."""
import collections
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build" / "kachery-resource.debug"
ARCHIVES = [str(ROOT / "build" / "musl" / name) for name in ("libkachery.a", "libthird.a")]
LIST = ROOT / "ci" / "order.txt"
os.environ.setdefault("KACHERY_TEST_DEADLINE", "120")  # the program under valgrind is slow
sys.path.insert(0, str(ROOT / "tests" / "bench" / "lib"))

import bench  # noqa: E402
import harness  # noqa: E402

# Of these, written in assembler or run before main, valgrind knows no name.
ALWAYS = ["memcpy", "memmove", "memset", "__libc_start_main", "__set_thread_area"]
TEXTS = ".str1"  # behind the name of a function: its texts alone, of which functions of its file use some
FEWEST = 1000  # of processes that last
MOST_STALE = 0.05  # of all names
# The most KiB of sections that every process has in its memory, with some room, and what makes them grow.
MOST_KIB = {
    ".data.rel.ro": (24, "constant tables with addresses, which each start of the program writes and no other process shares: "
                         "keep short texts in the rows themselves, as base/fields.h does"),
    ".data": (4, "variables with a value"),
    ".bss": (12, "variables below 4 KiB: let rare ones be allocated when they are needed"),
    ".rodata.lasting": (144, "texts and tables of what runs at the start or in idle processes"),
    ".text.lasting": (400, "functions that run at the start or in idle processes"),
    ".rodata.new": (48, "texts and tables that ci/order.txt does not know: run ci/order.py"),
    ".text": (64, "functions that ci/order.txt does not know: run ci/order.py"),
}
# All that an idle daemon does by a timer comes within these seconds: the lease, the status file, questions to the proxy.
IDLE_S, IDLE = 6, ("ping_ms=400,dead_ms=6000,lease_refresh_ms=800,presence_first_ms=100,presence_ms=2000,"
                   "status_idle_ms=1500")


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


def names_of(kinds, *files):
    """The names of functions or tables, by the letters of nm, with their addresses."""
    listed = subprocess.run(["nm", "--defined-only", *files], stdout=subprocess.PIPE, check=True).stdout.decode()
    for fields in map(str.split, listed.splitlines()):
        if len(fields) == 3 and fields[1] in kinds and fields[2][0] != ".":
            yield fields[2].split(".")[0], fields[0]


def names_of_program(kinds):
    """Each function's or table's names: the C library's functions have several, of which one is that of its object file."""
    at = collections.defaultdict(set)
    for name, address in names_of(kinds, PROGRAM):
        at[address].add(name)
    return {name: sorted(names) for names in at.values() for name in names}


def uses_of_sections():
    """By the name of a function or table: the names of what the relocations of its section lead to."""
    uses, user, sections = collections.defaultdict(set), None, {}
    for line in subprocess.run(["objdump", "-tr", *ARCHIVES], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines():
        symbol = re.match(r"[0-9a-f]{16} .{7} (\S+)\t[0-9a-f]{16} +(?:\.hidden )?(\S+)$", line)
        section = re.match(r"RELOCATION RECORDS FOR \[(.+)\]", line)
        target = re.match(r"[0-9a-f]{16} R_\S+ +([^-+]+)", line)
        if re.search(r"\.o: +file format", line):
            sections = {}
        elif symbol:
            sections[symbol.group(2)] = symbol.group(1)
        elif section:
            user = name_of_section(section.group(1))
        elif target and user:
            name = target.group(1)
            uses[user].add(name_of_section(sections.get(name, name)) or name)
    return uses


def name_of_section(section):
    """The function or table that a section holds, or whose texts it holds."""
    found = re.match(r"\.(?:text(?:\.startup|\.unlikely)?|rodata|data\.rel\.ro(?:\.local)?)\.([A-Za-z_]\w*)", section)
    return found and found.group(1) + (TEXTS if TEXTS in section else "")


def tables_of(functions, uses, tables):
    """The tables that these functions use, and those that are named in them; texts in sections of other functions."""
    found, left = {}, list(functions)
    while left:
        for name in sorted(filter(None, uses[left.pop(0)])):
            if name not in found and (name in tables or name.endswith(TEXTS) and name.removesuffix(TEXTS) not in functions):
                found[name] = None
                left.append(name)
    return found


def check(known):
    names = " ".join(LIST.read_text().split("\n\n")[:2]).split()
    stale = [name for name in names if name.removesuffix(TEXTS) not in known]
    if len(stale) > MOST_STALE * len(names):
        sys.exit(f"{LIST.relative_to(ROOT)}: {len(stale)} of {len(names)} functions are no longer there, as {' '.join(stale[:5])}: "
                 "run ./build.sh && /usr/bin/python3 ci/order.py")


def check_sections():
    listed = subprocess.run(["readelf", "-SW", PROGRAM], stdout=subprocess.PIPE, check=True).stdout.decode()
    sizes = {name: int(size, 16) for name, size in re.findall(r"\] (\.\S+) +\S+ +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) ", listed)}
    for name, (most, cause) in MOST_KIB.items():
        if sizes.get(name, 0) > most * 1024:
            sys.exit(f"{PROGRAM.relative_to(ROOT)}: section {name} has {sizes[name]:,} bytes, more than {most} KiB: {cause}")


def main():
    known, tables = names_of_program("tTW"), names_of_program("rRdD")
    if sys.argv[1:] == ["--check"]:
        check({**known, **tables})
        check_sections()
        return
    with bench.scratch() as folder:
        # What children run after the fork, and then all that is run.
        children = run_lab(folder, "--toggle-collect=process_start")
    with bench.scratch() as folder:
        whole = run_lab(folder, "")
    # A process that lasts has run the start, too, and keeps the pages of that.
    lasting = [whole["idle"].values(), [*children["start"].values(), *children["idle"].values()], whole["start"].values()]
    others = [children["work"].values(), whole["work"].values(), whole["commands"].values()]
    uses, order = uses_of_sections(), dict.fromkeys(ALWAYS)
    parts = []
    for groups in (lasting, others):
        before = set(order) if parts else set()
        for group in groups:
            count = collections.Counter(name for used in group for name in used if name in known)
            of_group = [each for name in sorted(count, key=lambda name: (-count[name], name)) for each in known[name]]
            order.update(dict.fromkeys(of_group))
        order.update(tables_of(list(order), uses, set(tables) - set(known)))
        parts.append([name for name in order if name not in before])
    if len(parts[0]) < FEWEST:
        sys.exit(f"valgrind found the names of {len(parts[0])} functions only, instead of more than {FEWEST}")
    parts.append(sorted({*known, *(name for name, _ in names_of("rR", *ARCHIVES))} - set(order)))
    LIST.write_text("\n".join("".join(f"{name}\n" for name in part) for part in parts))
    print(f"{LIST.relative_to(ROOT)}: {' and '.join(str(len(part)) for part in parts)} names")


if __name__ == "__main__":
    main()
