"""ci/words.py: a sentence in a comment begins with the noun that is meant."""
import re
import subprocess
import sys

import harness
import pytest

BAD = {
    "who": "/* Who may read it is asked first. */",
    "whoever": "// Whoever holds the lock writes.",
    "what of a field": "int a; /* what is left of it */",
    "one that": "/* An upload ends.\n * One that nobody holds is abandoned. */",
    "one with": "/* One with a label is found by it. */",
    "those": "/* Reads the files. Those that changed are stale. */",
    "nobody": "/* Nobody else writes. */",
    "behind a heading": "/*\n * Files.\n *\n * What changed is stale.\n */",
    "in a list":  "/* Two kinds:\n * - what is new\n * - the rest */",
}
GOOD = {
    "a count": "/* One row per command. One of two lists. */",
    "inside": "/* A client is asked who it is, and nobody else is. */",
    "a string": 'const char *a = "/* Who is it? */", b = "// What";',
    "a string with quotes": r'const char *a = "\"/* Who */";',
    "code": "int what = one;",
    "part of a word": "/* Whose copy it is. Oneself. */",
}


def check(tmp_path, text, baseline):
    (tmp_path / "ci").mkdir()
    (tmp_path / "src/base").mkdir(parents=True)
    script = (harness.ROOT / "ci/words.py").read_text()
    (tmp_path / "ci/words.py").write_text(re.sub(r"^BASELINE = \d+", f"BASELINE = {baseline}", script, count=1, flags=re.M))
    (tmp_path / "src/base/a.h").write_text(text + "\n")
    run = lambda *words: subprocess.run([sys.executable, tmp_path / "ci/words.py", *words], stdout=subprocess.PIPE,  # noqa: E731
                                        stderr=subprocess.PIPE, text=True)
    return run(), run("--list", "base/")


@pytest.mark.parametrize("case", BAD)
def test_counts(tmp_path, case):
    result, listed = check(tmp_path, BAD[case], 0)
    assert result.returncode == 1 and "words: 1 sentences" in result.stderr
    assert re.fullmatch(r"src/base/a\.h:1: \S.*\n", listed.stdout), listed.stdout


@pytest.mark.parametrize("case", BAD)
def test_accepts_what_was_there_before(tmp_path, case):
    assert check(tmp_path, BAD[case], 1)[0].returncode == 0


@pytest.mark.parametrize("case", GOOD)
def test_accepts(tmp_path, case):
    result, listed = check(tmp_path, GOOD[case], 0)
    assert (result.returncode, result.stderr, listed.stdout.strip()) == (0, "", "")
