#!/usr/bin/python3
"""ci/errors.py: the rules of errors (base/err.h) that no compiler checks. An error pointer is never NULL (ERR_IGNORED is for an
error that the caller does not want), and base/err.c alone sets codes: a layer that answers another question sets an error of
its own (err_set, err_from).

    ci/errors.py              fails when a file of src or tests breaks a rule
    ci/errors.py --list PATH  only files whose path has PATH
"""
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[1]
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL)
# A function, or a function that a struct has; a parameter that is an error.
CALL = re.compile(r"(?:(->|\.)|\b)(\w+)\(")
DECLARED = re.compile(r"(?:\((\*)(\w+)\)|\b(\w+))\(")
PARAMETER = re.compile(r"(?:const )?struct err \*\w*")
OBJECT = re.compile(r"\bstruct err \*?(\w+)")
NO_ERROR = re.compile(r"\bNULL$|\? NULL :")


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


def declared_in(texts):
    """By function (a member of a struct: "*name"), number of its arguments, and position of the error: the declaring files."""
    places = {}
    for path, text in texts.items():
        for match in DECLARED.finditer(text):
            given = arguments(text, match.end())
            for i, parameter in enumerate(given):
                if PARAMETER.fullmatch(parameter):
                    name = (match[1] or "") + (match[2] or match[3])
                    places.setdefault((name, len(given), i), set()).add(path)
    return places


def is_error(places, path, *key):
    # A static function of one file may have the name of another file's.
    return any(place == path or place.suffix == ".h" for place in places.get(key, ()))


def calls_without_error(path, text, places):
    for match in CALL.finditer(text):
        given = arguments(text, match.end())
        name = ("*" if match[1] else "") + match[2]
        if any(NO_ERROR.search(argument) and is_error(places, path, name, len(given), i)
               for i, argument in enumerate(given)):
            yield match.start()


def changed_codes(text, members):
    names = members | set(OBJECT.findall(text))
    for match in re.finditer(r"\b(\w+)(?:->|\.)code\s*=[^=]", text):
        if match[1] in names:
            yield match.start()
    for match in re.finditer(r"\bstruct err \w+ = \{\s*\.code = (?!ERR_NONE)", text):
        yield match.start()


def main():
    texts = {path: text_of(path) for top in ("src", "tests") for path in sorted((TOP / top).rglob("*.[ch]"))
             if "node_modules" not in path.parts}
    places = declared_in(texts)
    # Errors in structs of headers are reached from every file.
    members = {name for path, text in texts.items() if path.suffix == ".h" for name in OBJECT.findall(text)}
    word = sys.argv[2] if sys.argv[1:2] == ["--list"] and len(sys.argv) > 2 else ""
    found = []
    for path, text in texts.items():
        lines = path.read_text().splitlines()

        def note(at, rule):
            line = text.count("\n", 0, at) + 1
            found.append(f"{path.relative_to(TOP)}:{line}: {rule}: {lines[line - 1].strip()}")

        if word not in str(path.relative_to(TOP)):
            continue
        for at in calls_without_error(path, text, places):
            note(at, "NULL for an error")
        if path != TOP / "src/base/err.c":
            for at in changed_codes(text, members):
                note(at, "a code is set")
    if found:
        print("errors:\n  " + "\n  ".join(found), file=sys.stderr)
    return 1 if found else 0


sys.exit(main())
