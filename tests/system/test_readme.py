"""What the README names exists: functions, folders, commands, options."""
import re

import pytest

import harness

README = (harness.ROOT / "README.md").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted((harness.ROOT / "src").rglob("*.[ch]")))


def test_functions_exist():
    walk = README[README.index("### One request"):]
    names = [n for n in re.findall(r"`([a-z0-9_]+)`", walk) if "_" in n or n == "main"]
    assert len(set(names)) > 25
    for name in names:
        assert re.search(rf"^[a-z].*\b{name}\(", SOURCES, re.M), name


def test_folders_exist_and_are_all_named():
    named = set(re.findall(r"`(src/[a-z]+)/`", README))
    assert named == {f"src/{path.name}" for path in (harness.ROOT / "src").iterdir() if path.is_dir()}
    for folder in re.findall(r"`((?:tests|vendor|ci)/[a-z]*)/?`", README):
        assert (harness.ROOT / folder).is_dir(), folder


@pytest.mark.parametrize("line", [line.split(" #")[0].strip() for line in README.splitlines()
                                  if re.match(r"    .*\bkachery-resource [a-z]", line)])
def test_commands_take_these_options(line):
    command, *words = line.split("kachery-resource ", 1)[1].split()
    help_text = harness.run(command, "--help", check=0).stdout.decode()
    for word in words:
        if re.fullmatch(r"--?[a-z][a-z-]*", word):
            assert re.search(rf"(^|[ \[]){word}\b", help_text, re.M), word
