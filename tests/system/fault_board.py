"""Tells build/asan/kachery-resource-faults (tests/faults/faults.c) which call is to fail, and how.

Once: arm (a place, at its nth pass), arm_call (the nth call of all). Until note() or the next arming: arm_always (a place,
at every pass), arm_allocations (every nth allocation of all processes). note() only counts, and finds the places."""
import collections
import mmap
import os
import re
import struct
import subprocess

import harness

PROGRAM = harness.ROOT / "build" / "asan" / "kachery-resource-faults"
HEAD, PLACE = struct.Struct("<4I2Q4I"), struct.Struct("<Q2I16s14I")
MAX_PLACES = 8192
NOTE, AT_PLACE, AT_CALL, AT_PLACE_ALWAYS, EVERY_NTH_ALLOCATION = range(5)

KILLED = re.compile(r"(==\d+==Unable to get registers from thread \d+\.\n)+")

Place = collections.namedtuple("Place", "hash function calls kinds frames")


class Board:
    """One file, mapped by every process of the program that runs with `env`."""

    def __init__(self, folder):
        self.folder = folder
        path = folder / "board"
        path.write_bytes(bytes(HEAD.size + MAX_PLACES * PLACE.size))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        # Where mappings lie at more random addresses than the sanitizer expects, it dies at its start now and then.
        can_fix = subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode == 0
        self.program = ["setarch", "-R", str(PROGRAM)] if can_fix else [str(PROGRAM)]
        self.env = {"FAULT_BOARD": str(path),
                    "ASAN_OPTIONS": f"exitcode=99:detect_leaks=1:log_path={folder}/sanitizer",
                    "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={folder}/sanitizer"}

    def _set(self, mode, kind=0, nth=0, place=0):
        """Forgets what was counted and arms."""
        HEAD.pack_into(self.map, 0, *[0] * 10)
        for at in range(HEAD.size, len(self.map), PLACE.size):
            if self.map[at:at + 8] != bytes(8):
                self.map[at + 8:at + 12] = bytes(4)
        HEAD.pack_into(self.map, 0, mode, kind, nth, 0, place, 0, 0, 0, 0, 0)

    def note(self):
        self._set(NOTE)

    def arm(self, place, kind, nth=1):
        self._set(AT_PLACE, kind, nth, place.hash)

    def arm_always(self, place, kind):
        """At every pass, in every process."""
        self._set(AT_PLACE_ALWAYS, kind, 0, place.hash)

    def arm_allocations(self, nth):
        """Every nth allocation of all processes together."""
        self._set(EVERY_NTH_ALLOCATION, 0, nth)

    def arm_call(self, nth, kind):
        self._set(AT_CALL, kind, nth)

    def fired(self):
        """(hash of the place, kind) of what failed, None when nothing did."""
        _, _, _, fired, _, place, kind, *_ = HEAD.unpack_from(self.map, 0)
        return (place, kind) if fired else None

    def calls(self):
        return HEAD.unpack_from(self.map, 0)[7]

    def places(self, passed=True):
        found = []
        for at in range(HEAD.size, len(self.map), PLACE.size):
            value, calls, kinds, function, *frames = PLACE.unpack_from(self.map, at)
            if value and (calls or not passed):
                found.append(Place(value, function.rstrip(b"\0").decode(), calls, kinds, [f for f in frames if f]))
        return sorted(found)

    def faults(self):
        """Every (place, kind) that was passed since the last note()."""
        return [(place, kind) for place in self.places() for kind in range(16) if place.kinds >> kind & 1]

    def describe(self):
        """What failed, with the way to it."""
        if self.fired() is None:
            return "nothing failed"
        value, kind = self.fired()
        place = next(p for p in self.places(passed=False) if p.hash == value)
        return f"{place.function} in way {kind}: {self.way(place)}"

    @staticmethod
    def way(place):
        """The calls that lead to a place."""
        lines = subprocess.run(["addr2line", "-sfe", str(PROGRAM), *(hex(f - 1) for f in place.frames)],
                               stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")
        return " < ".join(f"{name} {where}" for name, where in zip(lines[2::2], lines[3::2]))

    def reports(self):
        """What the sanitizers wrote. A worker that is killed while its leaks are looked for has none of its own to tell."""
        texts = [path.read_text(errors="replace")[:6000] for path in sorted(self.folder.glob("sanitizer.*"))]
        return "\n".join(text for text in texts if not KILLED.fullmatch(text))

    def forget_reports(self):
        for path in self.folder.glob("sanitizer.*"):
            os.unlink(path)
