"""The project's texts beside the code: what comments cite is there, and nothing in them is of one machine."""
import ast
import re

import harness
import pytest

SOURCES = sorted(path for folder in ("src", "tests", "ci") for path in (harness.ROOT / folder).rglob("*")
                 if path.suffix in (".c", ".h", ".py", ".sh") and "node_modules" not in path.parts)
TEXTS = ["README.md", "CHANGELOG.md", *(str(path.relative_to(harness.ROOT)) for folder in ("src", "tests", "vendor")
                                        for path in (harness.ROOT / folder).rglob("*.md")
                                        if not {"node_modules", "cache"} & set(path.parts) and "vendor/src/" not in str(path))]


def sections(name):
    return set(re.findall(r"^## (\d+)\. ", (harness.ROOT / "src/proto" / f"{name}.md").read_text(), re.M))


def cited(name):
    """Section and place of every `NAME.md §N`, also where the line breaks between them."""
    for path in SOURCES:
        text = path.read_text(errors="replace")
        for match in re.finditer(rf"{name}\.md(?:\s|\*|#)*§(\d+)(?:(?:,| and| to)\s+§(\d+))?", text):
            yield from ((number, f"{path.name}:{text.count(chr(10), 0, match.start()) + 1}")
                        for number in match.groups() if number)


@pytest.mark.parametrize("name, at_least", [("PROTOCOL", 25), ("EXTENSIONS", 3)])
def test_sections_that_comments_cite_are_there(name, at_least):
    found = list(cited(name))
    assert len(found) >= at_least
    assert [place for number, place in found if number not in sections(name)] == []


def test_sections_are_numbered_in_order():
    for name in ("PROTOCOL", "EXTENSIONS"):
        numbers = [int(n) for n in re.findall(r"^## (\d+)\. ", (harness.ROOT / f"src/proto/{name}.md").read_text(), re.M)]
        assert numbers == sorted(set(numbers)) and numbers[0] == 1


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_of_no_machine(name):
    text = (harness.ROOT / name).read_text()
    assert re.findall(r"(?<![\w.~])/(?:work|tmp/[a-z]|home/[a-z])\S*", text) == []
    assert "beside this repository" not in text
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (harness.ROOT / name).parent.joinpath(link).exists()] == []


def test_the_tests_readme_names_what_is_there():
    text = (harness.ROOT / "tests/README.md").read_text()
    fixtures = re.findall(r"^@pytest\.fixture.*\n(?:@.*\n)*def (\w+)", (harness.ROOT / "tests/system/conftest.py").read_text(), re.M)
    assert len(fixtures) >= 8
    assert [name for name in fixtures if f"| `{name}` |" not in text] == []
    folders = [path.name for path in (harness.ROOT / "tests").iterdir() if path.is_dir() and "__" not in path.name]
    assert [name for name in folders if f"| `{name}/` |" not in text] == []
    there = {path.name for path in (harness.ROOT / "tests").rglob("*") if path.suffix in (".py", ".h")}
    assert [name for name in re.findall(r"`(?:unit/)?(\w+\.(?:py|h))`", text) if name not in there] == []


def test_modules_that_tests_share_begin_with_what_they_are():
    for path in (harness.ROOT / "tests/system").rglob("*.py"):
        if "node_modules" not in path.parts:
            assert path.read_text().startswith(('"""', '#!')), path.name
    for path in (harness.ROOT / "tests/unit").glob("*.h"):
        assert path.read_text().startswith("/*"), path.name


def test_doubles_begin_with_what_they_are_strict_about():
    modules = [path for path in (harness.ROOT / "tests/system/doubles").rglob("*.[pj][ys]") if path.stem not in ("common", "__init__")]
    assert len(modules) >= 8
    assert [path.name for path in modules if "trict" not in path.read_text()[:600]] == []


def imported(path):
    """The modules that a file names in `import` and `from`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


def test_no_test_file_imports_from_another():
    paths = [path for folder in ("system", "bench") for path in (harness.ROOT / "tests" / folder).rglob("*.py")
             if "node_modules" not in path.parts]
    assert len(paths) > 100
    assert [f"{path.name}: {name}" for path in paths for name in imported(path) if name.startswith(("test_", "conftest"))] == []


def fixtures(path):
    """The fixtures of a file, and what each is."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(mark) for mark in node.decorator_list):
            yield node.name, ast.get_docstring(node)


def test_a_fixture_has_one_name_and_a_sentence():
    """A name stands for one thing in all files."""
    owners = {}
    for path in sorted((harness.ROOT / "tests/system").glob("*.py")):
        for name, sentence in fixtures(path):
            owners.setdefault(name, []).append((path.name, sentence))
    assert len(owners) >= 60
    assert {name: [file for file, _ in found] for name, found in owners.items() if len(found) > 1} == {}
    assert [name for name, found in owners.items() if not found[0][1]] == []
