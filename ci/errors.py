#!/usr/bin/python3
"""ci/errors.py: errors that nobody can read, and errors whose code is changed on their way (base/err.h). Counted are calls
that pass NULL where a function takes a struct err *, and assignments to the code of an error outside of base/err.c. Fails
when there are more than before.

    ci/errors.py              compare with the baselines
    ci/errors.py --list PATH  print those of the files whose path has PATH
"""
import pathlib
import re
import sys

BASELINES = {"NULL for an error": 177, "code of an error is changed": 14}  # to fall to 0

TOP = pathlib.Path(__file__).resolve().parents[1]
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL)
DECLARED = re.compile(r"\b(\w+)\(([^(){};]*\bstruct err \*\w+)\)")
NAME_OF_AN_ERROR = r"(?:e|why|failure|cause|err|missing|reason|told|answer_error)"
CHANGED = re.compile(rf"(?<![\w.])(?:\w+->)*{NAME_OF_AN_ERROR}(?:->|\.)code\s*=(?! ERR_NONE)[^=]")


def text_of(path):
    """The source without comments and literals, line by line as before."""
    return NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), path.read_text())


def arguments(text, start):
    """The arguments of the call whose parenthesis opens before `start`."""
    depth, first, found = 1, start, []
    for i in range(start, len(text)):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
        if depth == 0 or (depth == 1 and text[i] == ","):
            found.append(text[first:i].strip())
            first = i + 1
        if depth == 0:
            return found
    return found


def main():
    texts = {path: text_of(path) for path in sorted((TOP / "src").rglob("*.[ch]"))}
    # A static function of one file may have the name of another file's.
    place = {}
    for path, text in texts.items():
        for match in DECLARED.finditer(text):
            parameters = match[2].split(",")
            place.setdefault((match[1], len(parameters)), set()).add(path)
    found = {kind: [] for kind in BASELINES}

    def note(kind, path, text, at):
        line = text.count("\n", 0, at) + 1
        found[kind].append(f"{path.relative_to(TOP)}:{line}: {path.read_text().splitlines()[line - 1].strip()}")

    for path, text in texts.items():
        for match in re.finditer(r"\b(\w+)\(", text):
            given = arguments(text, match.end())
            if given and given[-1] == "NULL":
                where = place.get((match[1], len(given)), set())
                if path in where or any(other.suffix == ".h" for other in where):
                    note("NULL for an error", path, text, match.start())
        if path.name != "err.c":
            for match in CHANGED.finditer(text):
                note("code of an error is changed", path, text, match.start())
    if sys.argv[1:2] == ["--list"]:
        word = (sys.argv[2:] or [""])[0]
        print("\n".join(line for lines in found.values() for line in lines if word in line.split(":")[0]))
        return 0
    status = 0
    for kind, lines in found.items():
        baseline = BASELINES[kind]
        if len(lines) > baseline:
            print(f"errors: {kind}: {len(lines)}, {baseline} before:\n  " + "\n  ".join(lines), file=sys.stderr)
            status = 1
        elif len(lines) < baseline:
            print(f"errors: {kind}: {len(lines)}: lower the baseline of {baseline} in ci/errors.py")
    return status


sys.exit(main())
