"""What the READMEs name exists: functions, folders, commands, options; what the README shows to type works as it stands."""
import pathlib
import re

import harness
import pytest
from typist import DATA, URI, Typist, blocks

README = (harness.ROOT / "README.md").read_text()
OF_THE_CODE = (harness.ROOT / "src/README.md").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted((harness.ROOT / "src").rglob("*.[ch]")))
PICTURE = "──"


def test_the_readme_is_short():
    lines = README.splitlines()
    first_screen = "\n".join(lines[:30])
    assert len(lines) < 200
    for words in ("kachery-resource link ", "kachery-resource load ", "**host**", "**hub**", "**client**"):
        assert words in first_screen


def test_functions_exist():
    walk = OF_THE_CODE.split("\n## One request")[1].split("\n## ")[0]
    names = [n for n in re.findall(r"`([a-z0-9_]+)`", walk) if "_" in n or n == "main"]
    assert len(set(names)) > 25
    for name in names:
        assert re.search(rf"^[a-z].*\b{name}\(", SOURCES, re.M), name


def test_folders_are_listed_in_the_order_of_the_layers():
    layers = re.search(r"layers='([^']+)'", (harness.ROOT / "ci/layers.sh").read_text()).group(1).split()
    assert re.findall(r"^- `src/(\w+)/`", OF_THE_CODE, re.M) == layers


def test_processes_have_these_names():
    picture = OF_THE_CODE.split("\n## Processes")[1].split("\n## ")[0]
    names = re.findall(r"\b(kachery-[a-z]+)\b", picture)
    assert len(names) >= 6
    assert [name for name in names if f'"{name}"' not in SOURCES] == []


def test_names_in_the_how_tos_exist():
    how = OF_THE_CODE.split("\n## How to add")[1].split("\n## ")[0]
    places = SOURCES + "\n".join(path.read_text() for path in (harness.ROOT / "tests/unit").glob("*.[ch]"))
    rules = (harness.ROOT / "tests/system/test_certificate_rules.py").read_text()
    assert len(re.findall("^### ", how, re.M)) >= 5
    names = set(re.findall(r"`\.?([A-Za-z_]+)`", how)) | set(re.findall(r"`struct (\w+)`", how))
    assert len(names) > 25
    for name in names - {"src", "help", "path"}:
        assert re.search(rf"{name}\b", places + rules), name
    for name in re.findall(r"`(?:\w+/)*([a-z_0-9]+\.(?:[ch]|py|md))`", how):
        assert list((harness.ROOT / "src").rglob(name)) + list((harness.ROOT / "tests").rglob(name)) + [
            path for path in harness.ROOT.glob(name)], name


def test_folders_and_files_exist_and_all_folders_are_named():
    named = set(re.findall(r"`(src/[a-z0-9]+)/`", OF_THE_CODE))
    assert named == {f"src/{path.name}" for path in (harness.ROOT / "src").iterdir() if path.is_dir()}
    for text, top in ((README, harness.ROOT), (OF_THE_CODE, harness.ROOT), (OF_THE_CODE, harness.ROOT / "src")):
        for name in re.findall(r"`((?:tests|vendor|ci)/[a-z_/.]*)`", text):
            assert (harness.ROOT / name).exists(), name
    for name in re.findall(r"`((?:base|proto|loop|proc|store|x509|net|http|zone|daemon|bucket|cmd)/[a-z_0-9]+\.[ch])`", OF_THE_CODE):
        assert (harness.ROOT / "src" / name).exists(), name


@pytest.mark.parametrize("line", [line.split(" #")[0].strip() for line in README.splitlines()
                                  if re.match(r"    .*\bkachery-resource [a-z]", line)])
def test_commands_take_these_options(line):
    command, *words = line.split("kachery-resource ", 1)[1].split()
    help_text = harness.run(command, "--help", check=0).stdout.decode()
    for word in words:
        if re.fullmatch(r"--?[a-z][a-z-]*", word):
            assert re.search(rf"(^|[ \[]){word}\b", help_text, re.M), word


def test_everything_that_is_shown_can_be_typed(tmp_path, processes):
    """From the copy in ~/bin to the bytes elsewhere, in the README's own lines, and all of them."""
    somebody = Typist(tmp_path, processes)
    (tmp_path / "bin/kachery-resource").unlink()
    builds, install = blocks(README, "## Install")
    somebody.types(install, ".")
    hub, = blocks(README, "### A hub")
    somebody.types(hub.replace("--public-url", "--open-registration --public-url"), "lab")
    somebody.typed += hub.splitlines()
    link, share, cron = blocks(README, "### On the host with the files")
    printed = somebody.types(link + share, "lab")
    assert printed.wait_line("rec.nwb") == f"{URI}\t{tmp_path}/data/session1/rec.nwb"
    printed.wait_line("session2/deep/other.nwb")
    log = tmp_path / "lab/share.log"
    again = somebody.types(cron.split("* * * * ", 1)[1], "/")
    assert again.text() == "" and log.read_text().count("acknowledged") == 1

    elsewhere, _ = blocks(README, "### Anywhere else")
    printed = somebody.types(elsewhere.replace("--end 4096", "--end 4096 > first"), "elsewhere")
    assert (tmp_path / "elsewhere/rec.nwb").read_bytes() == DATA and (tmp_path / "elsewhere/first").read_bytes() == DATA[:4096]
    assert printed.lines["out"] == ["rec.nwb", "completed", *[f"{URI}\there/{URI[7:]}"] * 2]
    python = blocks(README, "### Anywhere else")[1]
    variables = {"KACHERY_GATEWAY_URL": somebody.url, "KACHERY_RESOURCE_URL": f"{somebody.url}/r/lab-files"}
    somebody.types("kachery-resource register", "elsewhere", **variables)
    path = somebody.runs_python(python, "elsewhere", **variables)["path"]
    assert pathlib.Path(path).read_bytes() == DATA
    two_lines = blocks(README.split("\n## ")[0])[0].replace("rec.nwb    #", "rec.nwb #")
    somebody.types(two_lines, "lab", KACHERY_GATEWAY_URL=somebody.url)
    somebody.ends_daemon()

    typed = {line.split("#")[0].strip().replace(" > first", "") for line in somebody.typed}
    typed |= {line.split("#")[0].strip() for line in (python + builds).splitlines()}  # test_build.py types the builds
    rest = [line.split(" #")[0].strip().split("* * * * ")[-1] for block in blocks(README) if PICTURE not in block
            for line in block.splitlines()]
    assert [line for line in rest if line not in typed] == []
    assert "```" not in README


def test_every_variable_and_key_is_told():
    """What the program reads of its environment and config, but for what is for tests, is in `help config`."""
    text = harness.run("help", "config", check=0).stdout.decode()
    told = set(re.findall(r"[A-Za-z_]{4,}", text))
    read = set(re.findall(r'(?:env_get|absolute_variable|load)\(.*?"([A-Z_]{4,})"', SOURCES))
    config = (harness.ROOT / "src/daemon/config.c").read_text()
    keys = set(re.findall(r'"([a-zA-Z]+)"', config[config.index("key_names[CONFIG_KEYS] ="):].split(";")[0]))
    assert len(read) > 12 and len(keys) >= 6
    of_others = {"HOME", "TERM", "REQUEST_METHOD", "NO_PROXY"}
    assert {name for name in read | keys if "_TEST_" not in name} - of_others <= told


def test_the_version_is_that_of_the_changelog():
    version = re.search(r'VERSION "([^"]+)"', (harness.ROOT / "src/base/version.h").read_text()).group(1)
    latest = re.search(r"^## ([0-9.]+)", (harness.ROOT / "CHANGELOG.md").read_text(), re.M).group(1)
    assert version == latest
    assert harness.run("--version", check=0).stdout.decode() == f"kachery-resource {version}\n"
