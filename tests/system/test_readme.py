"""What the README names exists: functions, folders, commands, options; what it shows to type works as it stands."""
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess

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


def blocks(heading):
    """The indented blocks of a section up to the next heading."""
    section = README.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    return [re.sub("^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.M)]


@pytest.fixture
def place(tmp_path):
    """A home with ~/bin, and files to share, in the folders that the README names."""
    for folder in ("bin", "data/session1", "data/session2/deep", "kachery", "elsewhere", "build"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "build/kachery-resource").write_bytes(pathlib.Path(harness.BINARY).read_bytes())
    (tmp_path / "build/kachery-resource").chmod(0o755)
    for name in ("data/session1/rec.nwb", "data/session2/deep/other.nwb"):
        (tmp_path / name).write_bytes(os.urandom(100_000))
    (tmp_path / "kachery/secret").write_text("a secret\n")
    return tmp_path


class Reader:
    """Somebody who types what the README shows, with names of their own for what it makes up."""

    def __init__(self, place, processes):
        self.place, self.processes, self.names = place, processes, {"/data/kachery": f"{place}/kachery",
                                                                    "/data/session": f"{place}/data/session"}
        self.env = harness.clean_environment(HOME=place, PATH=f"{place}/bin:{os.environ['PATH']}")

    def spelled(self, text):
        for made_up, real in self.names.items():
            text = text.replace(made_up, real)
        return text

    def types(self, text, folder, **more):
        """Lines for a shell; what they print."""
        env = {**self.env, "KACHERY_CLOUD_DIR": f"{folder}/store", **more}
        shell = self.processes(harness.Process("-euc", self.spelled(text), program=["sh"], cwd=folder, env=env))
        assert shell.process.wait(timeout=harness.DEADLINE_S) == 0, f"{text}\n{shell.text()}"
        return shell

    def starts_hub(self, line):
        """The one line with options that only a trusted network may have, on a port that is free."""
        port = harness.free_port()
        self.names.update({"127.0.0.1:8080": f"127.0.0.1:{port}", "https://kachery.lab.example": f"http://127.0.0.1:{port}",
                           "/srv/kachery": f"{self.place}/zone"})
        _, *words = shlex.split(self.spelled(line))
        self.processes(harness.Process(*words, "--open-registration", cwd=self.place / "kachery", env=self.env)).wait_line("listening")


def test_everything_that_is_shown_can_be_typed(place, processes):
    """From the copy in ~/bin to the bytes elsewhere, in the README's own lines."""
    reader = Reader(place, processes)
    reader.types(blocks("## Install")[1], place)
    reader.starts_hub(blocks("## A lab's own servers")[0])
    link, share, cron, *_ = blocks("## On the host with the files")
    printed = reader.types(link + share, place / "kachery")
    uri = printed.wait_line("rec.nwb").split("\t")[0]
    printed.wait_line("session2/deep/other.nwb")
    log = place / "kachery/share.log"
    harness.until(lambda: log.exists() and "acknowledged" in log.read_text(), "the daemon shares")
    again = reader.types(cron.split("* * * * ", 1)[1], place / "kachery")
    assert again.text() == "" and log.read_text().count("acknowledged") == 1

    reader.names["sha1://…"] = uri
    shown = reader.types(blocks("## Elsewhere")[0].replace("--end 4096", "--end 4096 > first"), place / "elsewhere")
    data = (place / "data/session1/rec.nwb").read_bytes()
    assert (place / "elsewhere/rec.nwb").read_bytes() == data and (place / "elsewhere/first").read_bytes() == data[:4096]
    assert shown.lines["out"] == ["rec.nwb", "completed", *[f"{uri}\there/{uri[7:]}"] * 2]

    reader.types(blocks("### As the Python tools")[0], place)
    tool = reader.types(f"kachery-cloud-load {uri}", place / "elsewhere",
                        KACHERY_GATEWAY_URL=reader.names["https://kachery.lab.example"])
    assert pathlib.Path(tool.lines["out"][-1]).read_bytes() == data

    status = json.loads((place / "kachery/kachery-resource.status.json").read_text())
    os.kill(status["pid"], signal.SIGTERM)
    harness.until(lambda: log.read_text().rstrip().endswith("stopped"), "the daemon stops")


def test_every_variable_and_key_is_told():
    """What the program reads of its environment and config, but for what is for tests."""
    told = set(re.findall(r"`([A-Za-z_]+)`", README))
    read = set(re.findall(r'(?:env_get|absolute_variable|load)\(.*?"([A-Z_]{4,})"', SOURCES))
    config = (harness.ROOT / "src/daemon/config.c").read_text()
    keys = set(re.findall(r'"([a-zA-Z]+)"', config[config.index("key_names[CONFIG_KEYS] ="):].split(";")[0]))
    assert len(read) > 12 and len(keys) == 6
    of_others = {"HOME", "TERM", "REQUEST_METHOD", "NO_PROXY"}
    assert {name for name in read | keys if "_TEST_" not in name} - of_others <= told
