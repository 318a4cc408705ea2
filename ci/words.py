#!/usr/bin/python3
"""ci/words.py: sentences in comments of src that begin with a pronoun where the reader wants a noun of the glossary
(src/README.md): who, whoever, what, one, those, nobody. Fails when there are more than before.

    ci/words.py              compare with the baseline
    ci/words.py --list PATH  print those of the files whose path has PATH
"""
import pathlib
import re
import sys

BASELINE = 0

TOP = pathlib.Path(__file__).resolve().parents[1]
# A comment, or a literal that may look like one.
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'', re.DOTALL)
# "One row per command" counts rows; "one that is free" leaves open what is free.
SUBJECT = re.compile(r"(?:who|whoever|what|whatever|those|nobody|one(?= (?:that|which|who|whose|is|was|has|had|may|can|will|with|"
                     r"without|in|for|from|to|by|at|as)\b))\b", re.IGNORECASE)


def sentences(comment):
    """The text of a comment, without its frame, in sentences."""
    text = re.sub(r"^/\*+|\*+/$|^//", "", comment)
    text = re.sub(r"\n\s*\*? ?", "\n", text)
    for paragraph in re.split(r"\n\s*\n|\n\s*- ", text):
        yield from (" ".join(part.split()) for part in re.split(r"(?<=[.!?])\s+", paragraph.strip()))


def offences(path):
    """Line and text of the sentences of a file that begin so; the line is that of the comment's begin."""
    text = path.read_text()
    for match in TOKEN.finditer(text):
        if match.group().startswith(("/*", "//")):
            line = text.count("\n", 0, match.start()) + 1
            yield from ((line, part) for part in sentences(match.group()) if SUBJECT.match(part))


def main():
    found = [f"{path.relative_to(TOP)}:{line}: {part}" for path in sorted((TOP / "src").rglob("*.[ch]"))
             for line, part in offences(path)]
    if sys.argv[1:2] == ["--list"]:
        print("\n".join(line for line in found if "".join(sys.argv[2:3]) in line.split(":")[0]))
        return 0
    if len(found) <= BASELINE:
        return 0
    print(f"words: {len(found)} sentences of comments begin with who, what, one, those or nobody, there were {BASELINE}: "
          "begin with the noun that is meant (ci/words.py --list PATH prints them)", file=sys.stderr)
    return 1


sys.exit(main())
