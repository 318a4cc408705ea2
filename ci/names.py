#!/usr/bin/python3
"""ci/names.py: names that two files of src define for two things. A static function carries its object
(`ask_gateway`, not `ask`), so that a stack trace, grep and a reader mean one function by one name; a struct's tag
likewise. Variants of one function in one file, of which the build chooses one, are one name. Fails when there are more
than before.

    ci/names.py         compare with the baseline
    ci/names.py --list  print each name with its files
"""
import collections
import pathlib
import re
import sys

BASELINE = 0

TOP = pathlib.Path(__file__).resolve().parents[1]
# Comments and literals, which may hold what looks like a definition.
NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL)
FUNCTION = re.compile(r"^[A-Za-z_][\w \t\n*]*?\b(\w+)\([^;{}]*\)\s*\n\{", re.MULTILINE)
STRUCT = re.compile(r"\bstruct (\w+)\s*\{")


def definitions(path):
    """The functions and the structs that a file defines."""
    code = NO_CODE.sub(" ", path.read_text())
    yield from set(FUNCTION.findall(code))
    yield from {f"struct {tag}" for tag in STRUCT.findall(code)}


def main():
    files = collections.defaultdict(list)
    for path in sorted((TOP / "src").rglob("*.[ch]")):
        for name in definitions(path):
            files[name].append(str(path.relative_to(TOP / "src")))
    shared = {name: where for name, where in sorted(files.items()) if len(where) > 1}
    lines = [f"{name}: {' '.join(where)}" for name, where in shared.items()]
    if sys.argv[1:] == ["--list"]:
        print("\n".join(lines))
        return 0
    if len(shared) <= BASELINE:
        return 0
    print("\n".join(lines), file=sys.stderr)
    print(f"names: {len(shared)} names stand for two things, there were {BASELINE}: let each name say what it is done to",
          file=sys.stderr)
    return 1


sys.exit(main())
