"""ci/coverage.py: what the tests went through, of lines and branches, by file, folder and in all, from what the coverage
variant has counted (build/coverage/obj). With file names as arguments: the lines there whose branches were not taken."""
import collections
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
OBJECTS = ROOT / "build" / "coverage" / "obj"


def files():
    """(name, lines) of each source, as gcov tells it; one that was never run has counted nothing."""
    for notes in sorted(OBJECTS.rglob("*.gcno")):
        told = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", str(notes)], cwd=ROOT,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        for line in told.splitlines():
            for file in json.loads(line)["files"]:
                if file["file"].endswith(".c"):
                    yield file["file"], file["lines"]


def share(taken, total):
    return f"{100 * taken / total:5.1f} % of {total:5}" if total else "      none    "


def show(name, counts):
    lines, all_lines, branches, all_branches = counts
    print(f"{name:32}  lines {share(lines, all_lines)}  branches {share(branches, all_branches)}")


def main(wanted):
    folders, total = collections.defaultdict(lambda: [0] * 4), [0] * 4
    for name, lines in files():
        branches = [b["count"] for line in lines for b in line["branches"]]
        counts = [sum(line["count"] > 0 for line in lines), len(lines), sum(c > 0 for c in branches), len(branches)]
        for sums in (folders[str(pathlib.Path(name).parent)], total):
            sums[:] = map(sum, zip(sums, counts))
        if not wanted:
            show(name, counts)
        elif name in wanted:
            source = (ROOT / name).read_text().splitlines()
            for line in lines:
                if line["count"] == 0 or any(b["count"] == 0 for b in line["branches"]):
                    print(f"{name}:{line['line_number']}: {line['count']:6} {source[line['line_number'] - 1]}")
    if not wanted:
        for name, counts in [*sorted(folders.items()), ("all", total)]:
            show(name, counts)


main(sys.argv[1:])
