"""`help`: the topics, what they show to type, the commands' help, and the man pages that are made of them."""
import json
import pathlib
import re
import subprocess
import textwrap

import harness
import pytest
import range_clients
from typist import DATA, URI, Typist, shown

PROGRAM = "kachery-resource"


def text_of(*words):
    return harness.run("help", *words, check=0).stdout.decode()


def listed(heading):
    return re.findall(r"^  ([a-z-]+) ", text_of().split(f"{heading}:\n")[1].split("\n\n")[0], re.M)


TOPICS = sorted(path.stem for path in (harness.ROOT / "src/help").glob("*.txt"))
COMMANDS = [*re.findall(r'^    \{"([a-z][a-z -]*)", (?:cmd|cloud)_', (harness.ROOT / "src/main.c").read_text(), re.M)]


def test_all_topics_and_commands_are_listed():
    assert max(map(len, text_of().splitlines())) <= 80
    assert sorted(listed("Topics")) == TOPICS
    assert {"quickstart", "config", "login-node", "hub", "python", "files", "troubleshooting"} <= set(TOPICS)
    assert listed("Commands") == [name for name in COMMANDS if " " not in name and not name.startswith("kachery-")]


@pytest.mark.parametrize("topic", TOPICS)
def test_topics_suit_a_terminal(topic):
    text = text_of(topic)
    written = (harness.ROOT / f"src/help/{topic}.txt").read_text()
    assert text.startswith(written) and written.endswith("\n")
    for line in text.splitlines():
        assert line.isascii() and line == line.rstrip() and "\t" not in line and len(line) <= 80, line
    if topic in COMMANDS:
        assert text.endswith(f"The options of the command: kachery-resource {topic} --help\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_is_its_own(command):
    own = harness.run(*command.split(), "--help", check=0).stdout.decode() if not command.startswith("kachery-") else None
    text = harness.run("help", *command.split(), check=0).stdout.decode()
    if command in TOPICS:
        assert text.startswith((harness.ROOT / f"src/help/{command}.txt").read_text())
    elif own is not None:
        assert text == own
    else:
        assert text.startswith(f"usage: {command}")


@pytest.mark.parametrize("words", [["nothing"], ["gateway", "nothing"], ["link", "store", "ls"], ["--nothing"], ["x" * 3000]])
def test_other_words_are_wrong_usage(words):
    done = harness.run("help", *words, check=2)
    assert done.stdout == b"" and b"usage: kachery-resource help [TOPIC | COMMAND] [--man]" in done.stderr


def test_a_full_disk_is_told():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([harness.BINARY, "help", "--man"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"cannot write to standard output" in done.stderr


# ---- what they show ----

@pytest.fixture
def somebody(tmp_path, processes):
    """A user who types what a topic shows (typist.py)."""
    made = Typist(tmp_path, processes)
    yield made
    made.ends_daemon()


def types_all(somebody, topic, folders=None):
    for heading, script in shown(topic).items():
        somebody.types(script, (folders or {}).get(heading, "lab"))


def test_quickstart(somebody):
    types_all(somebody, "quickstart", {"ANYWHERE ELSE": "elsewhere"})
    assert (somebody.place / "elsewhere/rec.nwb").read_bytes() == DATA
    assert (somebody.place / "elsewhere/first").read_bytes() == DATA[:4096]
    assert (somebody.place / "elsewhere/here" / URI[7:]).read_bytes() == DATA


def test_login_node(somebody):
    somebody.has_hub()
    somebody.has_link()
    somebody.has_config()
    (somebody.place / "bin/kachery-resource").unlink()
    types_all(somebody, "login-node", {"INSTALL AND REPLACE": "."})
    variable, line = re.search(r"^    (\w+=\S+)\n    \S+ \* \* \* \* (.*)", text_of("login-node"), re.M).groups()
    somebody.env.pop("KACHERY_GATEWAY_URL")
    again = somebody.types(f"export {variable}\n{line}", ".")
    assert again.text() == "" and (somebody.place / "lab/share.log").read_text().count("acknowledged") == 1


def test_hub(somebody):
    somebody.has_hub()
    somebody.has_link()
    text = text_of("hub")
    settings = re.search(r"^    allowPublicUpload: .*\n(?:    .*\n)+", text, re.M).group()
    path = somebody.place / "zone/settings/authorizationSettings.yaml"
    path.write_text(re.sub("^    ", "", settings, flags=re.M))
    zone = json.loads(re.search(r"^    \{\"zone\".*\n.*\}\n", text, re.M).group())
    (somebody.place / "zone/registered-zones").mkdir()
    (somebody.place / "zone/registered-zones/NAME").write_text(json.dumps(zone))
    scripts = shown("hub")
    somebody.types(scripts.pop(""), "lab")  # without --open-registration: this client is registered
    somebody.types("kachery-resource store /data/session1/rec.nwb", "lab")
    somebody.types("kachery-resource info sha1://...", "lab", 3, KACHERY_ZONE="NAME")  # it is there, without that file
    for script in scripts.values():
        somebody.types(script, "lab")
    somebody.types("kachery-resource info sha1://...", "lab", 3)
    path.write_text("allowPublicUpload: false\nauthorizedUsers: []\n")
    somebody.types("kachery-resource store /data/session1/rec.nwb", "lab", 1)


def test_ranges(somebody, tmp_path):
    somebody.has_hub()
    somebody.has_link()
    somebody.has_config()
    somebody.has_daemon()
    scripts = shown("ranges")
    url, expiry, count = somebody.types(scripts.pop("SHARE LINKS"), "lab").text().splitlines()
    assert "/f/~" in url and expiry.split("\t")[2].startswith(URI) and count == "1 revoked"
    assert somebody.types(scripts.pop("PARTS OF FILES THAT WERE NEVER UPLOADED"), "lab", SHA1=URI[7:]).text().encode() == DATA[:100]
    assert somebody.types(scripts.pop("THE WHOLE FOLDER"), "lab").text() == "here/session2"
    made = somebody.place / "lab/here/session2/deep/other.nwb"
    assert made.read_bytes() == (somebody.place / "data/session2/deep/other.nwb").read_bytes()
    reads_with_all_clients(somebody, tmp_path, [line for script in scripts.values() for line in re.split(r"(?<!\\)\n", script) if line])


def reads_with_all_clients(somebody, folder, lines):
    """Each line that reads $URL, of a file that suits it; then what is shown for web pages."""
    range_clients.require(sorted({gone for client in range_clients.CLIENTS.values() for gone in client.missing()}))
    (somebody.place / "bin/python3").symlink_to(range_clients.PYTHON)
    made = {"python3": range_clients.make_hdf5, "zarr": range_clients.make_zarr, "gdalinfo": range_clients.make_map,
            "ffmpeg": range_clients.make_video, "": range_clients.WHOLE}
    paths = {kind: make(folder, 1) for kind, make in made.items()}
    urls = {}
    for kind, path in paths.items():
        link = ["-r", "--index"] if path.is_dir() else []
        uri = somebody.types(f"kachery-resource link {' '.join(link)} {path}", "lab").text().splitlines()[-1].split("\t")[0]
        digest, n8 = uri[7:].split("?")[0], harness.sha1(path.name.encode())[:8]
        urls[kind] = f"{somebody.url}/d/{digest}" if path.is_dir() else f"{somebody.url}/f/{digest}.{n8}/{path.name}"
    groups = sorted([*(f"group{n}" for n in range(50)), "data"])
    for line in lines:
        kind = "zarr" if "zarr" in line else line.split()[0]
        said = somebody.types(line, "lab", URL=urls.get(kind, urls[""])).text()
        got = somebody.place / "lab/rec.nwb"
        if kind == "zarr":
            assert said.split() == ["x"], line
        elif kind == "python3":
            assert sorted(said.split()) == groups, line
        elif kind == "gdalinfo":
            assert "Size is 4000, 4000" in said
        elif kind == "ffmpeg":
            assert (somebody.place / "lab/frame.png").read_bytes().startswith(b"\x89PNG")
        else:
            assert got.read_bytes() == paths[""].read_bytes(), line
            got.write_bytes(b"")
    page, worker = re.findall(r"(?:^    (?:const|FS).*\n)+", text_of("ranges"), re.M)
    for way, url, code, wanted in (("page", urls[""], page + "return bytes.length", "100"),
                                   ("worker", urls["python3"], worker + "return file.keys().length", "51")):
        done = subprocess.run([*range_clients.BROWSER, way, url, code], capture_output=True, timeout=4 * harness.DEADLINE_S,
                              env=harness.clean_environment(HOME=folder))
        assert done.stdout.decode().strip() == wanted, done.stderr.decode()


def test_python(somebody):
    somebody.has_hub()
    types_all(somebody, "python")
    for tool in ("store", "store-local", "link", "load", "load-info", "cat", "init"):
        assert (somebody.place / f"bin/kachery-cloud-{tool}").is_symlink()
    somebody.has_config()
    somebody.has_daemon()
    somebody.types("kachery-resource register", "elsewhere")
    load, request = re.findall(r"(?:^    (?:import |path = |kcl\.).*\n)(?:^    .*\n)*", text_of("python"), re.M)
    got = somebody.runs_python("import kachery_cloud as kcl\nanswer = " + textwrap.dedent(request), "elsewhere")["answer"]
    assert got["completed"] and not got["local"]
    path = somebody.runs_python(textwrap.dedent(load), "elsewhere", KACHERY_RESOURCE_URL=f"{somebody.url}/r/lab-files")["path"]
    assert pathlib.Path(path).read_bytes() == DATA


INLINE = re.compile(rf"`({PROGRAM} [a-z][^`]*|(?:{'|'.join(name for name in COMMANDS if 'kachery' not in name)}) [^`]*)`")


def all_helps():
    """What `--help` of all commands says, and the program's own words (messages)."""
    sources = "".join(path.read_text() for path in (harness.ROOT / "src").rglob("*.c"))
    helps = [harness.run(*c.split(), "--help", check=0).stdout.decode() for c in COMMANDS if not c.startswith("kachery-")]
    return "\n".join([*helps, re.sub(r'"\s*(?:[A-Z_]+\s*)?"', "", sources).replace("\\n", " ")])


@pytest.mark.parametrize("topic", [*TOPICS, "README", "--help"])
def test_commands_within_sentences_take_these_options(topic):
    """`link -r --index DIR`, say: what is between back quotes and begins with a command."""
    text = {"README": (harness.ROOT / "README.md").read_text, "--help": all_helps}.get(topic, lambda: text_of(topic))()
    for words in INLINE.findall(" ".join(text.split())):
        words = words.removeprefix(f"{PROGRAM} ").split()
        if words[:2] == ["ls", "-ld"]:  # not ours
            continue
        if words[0] == "help":
            assert {*words[1:]} <= {*TOPICS, *COMMANDS, "TOPIC", "NAME", "--man"}, words
            continue
        assert words[0] in (*[name.split()[0] for name in COMMANDS], "COMMAND"), words
        command = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        help_text = harness.run(*command.split(), "--help", check=0).stdout.decode() if command != "COMMAND" else words[-1]
        for word in words[1:]:
            if re.fullmatch(r"--?[a-z][a-z-]*", word):
                assert re.search(rf"(^|[ \[,]){word}\b", help_text, re.M), (words, word)


def test_files(somebody):
    somebody.has_hub()
    somebody.has_link()
    types_all(somebody, "files")
    group = somebody.place / "group/kachery"
    assert group.stat().st_mode & 0o7777 == 0o2770


def test_troubleshooting(somebody):
    somebody.has_hub()
    somebody.has_link()
    somebody.has_config()
    somebody.has_daemon()
    somebody.types("kachery-resource store /data/session1/rec.nwb", "lab")
    types_all(somebody, "troubleshooting")


def test_each_topic_that_shows_commands_has_a_test():
    for topic in TOPICS:
        assert shown(topic) == {} or f"test_{topic.replace('-', '_')}" in globals(), topic


# What lines that are not typed begin with: parts of other programs' files and of logs, and what its own test types.
NOT_TYPED = {"hub": {"location", "}", "map", "log_format", "access_log", "error_log", "allowPublicUpload", "allowPublicDownload",
                     "authorizedUsers", "-", '{"zone"'},
             "login-node": {"KACHERY_GATEWAY_URL=https", "*/5", "lab-files", '{"time"'},
             "python": {"import", "path", 'kcl.request_file("sha1'}, "ranges": {"const", 'FS.createLazyFile("/",'}}


@pytest.mark.parametrize("topic", TOPICS)
def test_what_can_be_typed_is_behind_a_dollar(topic):
    """There `shown` reads it, and the test of the topic runs it."""
    lines = text_of(topic).replace("\\\n", " ").splitlines()
    bare = {re.split("[ :]", line.strip())[0] for line in lines if re.match(r"    [^ $]", line)}
    assert bare == NOT_TYPED.get(topic, set())
    assert [line for line in lines if re.match(rf" *\$ | +{PROGRAM} ", line) and not line.startswith("    $ ")] == []


SHOWN = [line for topic in TOPICS for script in shown(topic).values() for line in script.replace("\\\n", " ").splitlines()
         if f"{PROGRAM} " in line and not line.startswith(("cp", "mv", "for"))]


@pytest.mark.parametrize("line", SHOWN)
def test_commands_take_these_options(line):
    words = line.split(f"{PROGRAM} ", 1)[1].split("&")[0].split(">")[0].split()
    command = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    help_text = harness.run(*command.split(), "--help", check=0).stdout.decode()
    for word in words:
        if re.fullmatch(r"--?[a-z][a-z-]*", word):
            assert re.search(rf"(^|[ \[,]){word}\b", help_text, re.M), word


def test_messages_of_troubleshooting_are_the_programs():
    """The left column: each part of a message that is no example stands in the sources."""
    sources = "".join(path.read_text() for path in (harness.ROOT / "src").rglob("*.[ch]"))
    joined = re.sub(r'"\s*(?:[A-Z_]+\s*)?"', "", sources)
    rows = re.findall(r"^  (\S.*)$", text_of("troubleshooting").split("MESSAGES")[1].split("EXIT STATUS")[0], re.M)
    assert len(rows) > 15
    for row in rows:
        for part in re.split(r"; |: | \.\.\.:? ?|\.\.\. | \(.*|, (?=not at|\d)", row):
            part = part.strip(" ,;:")
            if part and not part.isdigit():
                template = re.sub(r"\b\d+\b", "%d", part.replace("5,000,000,000", "%s"))
                assert part in joined or template in joined, part


# ---- the man pages ----

def lint(page, tmp_path):
    path = tmp_path / f"page.{page.split()[2].decode()}"
    path.write_bytes(page)
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "all", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    shown_page = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=78", path], stdout=subprocess.PIPE, check=True).stdout.decode()
    return re.sub(r".\x08", "", shown_page)


@pytest.mark.parametrize("name", ["", *TOPICS, *COMMANDS])
def test_man_pages_are_right(name, tmp_path):
    page = harness.run("help", *name.split(), "--man", check=0).stdout
    words = " ".join(lint(page, tmp_path).split())
    title = name.replace(" ", "-") if name.startswith("kachery-") else "-".join(filter(None, [PROGRAM, *name.split()]))
    assert words.startswith(f"{title.upper()}({7 if name in TOPICS else 1})")


def test_the_page_has_everything(tmp_path):
    words = "".join(lint(harness.run("help", "--man", check=0).stdout, tmp_path).split())
    for topic in TOPICS:
        assert topic.upper() in words
    for text in [*map(text_of, TOPICS), *(harness.run(*c.split(), "--help").stdout.decode() for c in COMMANDS if "kachery" not in c)]:
        for word in text.removeprefix("usage: ").split("\nThe options of the command")[0].split():
            assert word in words, word


def test_characters_that_roff_would_take_for_its_own_stay(tmp_path):
    words = lint(harness.run("help", "link", "--man", check=0).stdout, tmp_path)
    assert "and \\ as in a shell" in " ".join(words.split())
