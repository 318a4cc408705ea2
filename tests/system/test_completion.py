"""`completion bash|zsh|fish`: what the Tab key offers, in the real shells."""
import os
import pty
import re
import subprocess

import harness
import nfs_double
import pytest

TABLE = (harness.ROOT / "src/main.c").read_text()
COMMANDS = re.findall(r'^    \{"([a-z][a-z-]*)", cmd_', TABLE, re.M)
TOOLS = re.findall(r'^    \{"(kachery-cloud-[a-z-]*)", cloud_', TABLE, re.M)
TOPICS = sorted(path.stem for path in (harness.ROOT / "src/help").glob("*.txt"))
DATA = b"a recording"
URI = "sha1://" + harness.sha1(DATA)

# A bash that lists candidates, and at another key says what the line is.
BASH = r"""stty cols 400 -echo; PS1= PS2= PROMPT_COMMAND=
for word in 'show-all-if-ambiguous on' 'completion-query-items 0' 'page-completions off' 'bell-style none' \
    'completion-display-width 0' 'enable-bracketed-paste off'; do bind "set $word"; done
bind -x '"\C-t": printf "LINE<%s>END\n" "$READLINE_LINE"'
source "$SCRIPT"; echo READY
"""

# Whatever completes in zsh calls compadd, which here says what it adds.
ZSH = r"""PROMPT= PS2=
autoload -Uz compinit; compinit -u -D
source "$SCRIPT"
zstyle ":completion:*" completer _complete
setopt no_list_beep
bindkey "^I" complete-word
began() { echo; print BEGIN }
ended() { print "LINE<>END"; exit }
compprefuncs=(began) comppostfuncs=(ended)
compadd() {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
    typeset -a hits
    builtin compadd -A hits "$@"
    print -lr -- $hits
    builtin compadd "$@"
}
echo READY
"""


def read_up_to(fd, end):
    seen = b""
    while end not in seen:
        seen += os.read(fd, 65536)
    return seen.decode().split(end.decode())[0]


def types(words, keys, env, folder):
    """What a shell at a terminal shows for these keys."""
    main, other = pty.openpty()
    shell = subprocess.Popen(words, env={**env, "TERM": "dumb", "ENV": ""}, cwd=folder, stdin=other, stdout=other, stderr=other,
                             start_new_session=True)
    os.close(other)
    try:
        os.write(main, f". {folder}/setup\n".encode())
        read_up_to(main, b"READY\r\n")
        os.write(main, keys.encode())
        return read_up_to(main, b">END").replace("LINE<", "")
    finally:
        os.close(main)
        shell.kill()
        shell.wait(harness.DEADLINE_S)


@pytest.fixture(params=["bash", "zsh", "fish"])
def tab(request, store, tmp_path):
    """What a shell offers when Tab is pressed behind a line, in a folder with files; one of them is linked."""
    shell, (_, env) = request.param, store
    (tmp_path / "bin").mkdir()
    for name in ("kachery-resource", *TOOLS):
        (tmp_path / "bin" / name).symlink_to(harness.BINARY)
    env = {**env, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SCRIPT": str(tmp_path / "script")}
    (tmp_path / "script").write_bytes(harness.run("completion", shell, check=0).stdout)
    (tmp_path / "setup").write_text({"bash": BASH, "zsh": ZSH}.get(shell, ""))
    (tmp_path / "here" / "a folder").mkdir(parents=True)
    (tmp_path / "here" / "a file.nwb").write_bytes(DATA)
    harness.run("link", str(tmp_path / "here/a file.nwb"), env=env, check=0)

    def offers(line):
        if shell == "fish":
            done = subprocess.run(["fish", "--no-config", "-c", f"source {tmp_path}/script; complete -C $argv[1]", line], env=env,
                                  cwd=tmp_path, capture_output=True, text=True, timeout=harness.DEADLINE_S)
            assert done.stderr == ""
            return {bare(word.split("\t")[0]) for word in done.stdout.splitlines()}
        if shell == "zsh":
            return {bare(word) for word in types(["zsh", "-f", "-i"], line + "\t", env, tmp_path).split("BEGIN\r\n")[1].split("\r\n") if word}
        shown = types(["bash", "--norc", "--noprofile", "-i"], line + "\t\x14", env, tmp_path)
        *listed, inserted = shown.split("\r\n")
        return {bare(word) for word in listed if word} or {bare(re.split(r"(?<!\\) ", inserted.rstrip())[-1])}
    return offers


def bare(word):
    """A candidate without what shells do differently: folders before it, quoting, a slash behind it."""
    word = word.strip().replace("\\", "").split("=")[-1].strip('"').rstrip("/")
    return word if "://" in word else word.split("/")[-1]


@pytest.mark.parametrize("line, wanted", [
    ("", {*COMMANDS}), ("lo", {"load"}), ("load --o", {"--output"}), ("load sh", {URI}), ("load -o x.nwb sha1:", {URI}), ("load \"sha1:", {URI}),
    ("load --directory=he", {"here"}), ("init --config here/a", {"a file.nwb", "a folder"}), ("link here/a\\ fi", {"a file.nwb"}),
    ("unlink he", {"here"}), ("unlink sha", {URI}), ("help t", {"troubleshooting"}), ("help proxy", {"proxy"}),
    ("completion z", {"zsh"}), ("gateway v", {"verify"}), ("gateway verify --d", {"--data"})])
def test_what_tab_offers(tab, line, wanted):
    assert tab(f"kachery-resource {line}") - {"--help", "--version", "-h"} == wanted


def test_the_names_of_the_python_tools(tab):
    assert tab("kachery-cloud-load sh") == {URI}
    assert tab("kachery-cloud-store --c") == {"--cache-locally"}
    assert tab("kachery-cloud-load --dest he") == {"here"}


def test_a_store_that_hangs_does_not_hang_the_shell(tab, tmp_path):
    """Nor does a process that no signal ends hold it up; `timeout` is one that has less patience than the script's."""
    impatient = tmp_path / "bin/timeout"
    impatient.write_text('#!/bin/sh\n[ "$1" -le 3 ] && shift && exec /usr/bin/timeout 0.3 "$@"\n')
    impatient.chmod(0o755)
    (tmp_path / "far").mkdir()
    with nfs_double.mounted(tmp_path / "far", clients=1) as far:
        (tmp_path / "store").rename(far.server / "store")
        (tmp_path / "store").symlink_to(far.clients[0] / "store")
        assert tab("kachery-resource load sh") == {URI}
        far.hang(0)
        assert tab("kachery-resource load sh") <= {"sh", ""}
        far.wait_held(0)
        far.clear(0)


def test_all_options_of_all_commands_are_in_each_script():
    for shell, form in (("bash", "{}[ =']"), ("zsh", "{}[=\\[}}]"), ("fish", "-l {} ")):
        script = harness.run("completion", shell, check=0).stdout.decode()
        for command in COMMANDS:
            part = {"bash": f"'{command}')", "zsh": f"'{command}')", "fish": f"_is '{command}'\""}[shell]
            row = script.split(part, 1)[1].split(";;")[0] if shell != "fish" else "".join(x for x in script.splitlines() if part in x)
            for name in re.findall(r"^ +(?:-[a-z0], )?--([a-z-]+)", harness.run(command, "--help", check=0).stdout.decode(), re.M):
                assert re.search(form.format(name if shell == "fish" else f"--{name}"), row + " "), (shell, command, name)
        for word in (*TOPICS, *TOOLS):
            assert word in script, (shell, word)


@pytest.mark.parametrize("shell, behind", [
    ("bash", "complete -p kachery-resource"), ("fish", "complete -C 'kachery-resource lo' | grep load"),
    ("zsh", "autoload -Uz compinit; compinit -u -D; [[ $_comps[kachery-resource] == _kachery-resource ]]")])
def test_what_the_first_lines_say_can_be_typed(tmp_path, shell, behind):
    (tmp_path / "kachery-resource").symlink_to(harness.BINARY)
    lines = []
    for line in harness.run("completion", shell, check=0).stdout.decode().splitlines():
        if not line.startswith("#"):
            if lines:
                break
        elif line.startswith("#     "):
            lines.append(line[6:])
    lines = [line for line in lines if shell != "zsh" or not line.startswith("source")]
    env = harness.clean_environment(HOME=tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    options = {"bash": ["--norc", "-ec"], "zsh": ["-f", "-ec"], "fish": ["-c"]}[shell]
    done = subprocess.run([shell, *options, "\n".join([*lines, behind])], env=env, capture_output=True, text=True, cwd=tmp_path,
                          timeout=harness.DEADLINE_S)
    assert done.returncode == 0 and "complete: " not in done.stderr and len(lines) >= 2, done.stdout + done.stderr


@pytest.mark.parametrize("words", [["tcsh"], [], ["bash", "zsh"], [""]])
def test_other_shells_are_wrong_usage(words):
    done = harness.run("completion", *words, check=2)
    assert done.stdout == b"" and b"usage: kachery-resource completion bash|zsh|fish" in done.stderr
