"""Somebody who types what the README and the topics of `help` show, with names of their own for what those make up."""
import hashlib
import json
import os
import pathlib
import re
import shlex
import signal

import harness

DATA = b"a recording, but short" * 5000
URI = "sha1://" + hashlib.sha1(DATA).hexdigest()
SERVER = re.compile(r"kachery-resource (hub|proxy|gateway) --listen")


def blocks(text, heading=None):
    """The indented blocks of a Markdown section up to the next heading."""
    if heading is not None:
        text = text.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    return [re.sub("^    ", "", block, flags=re.M) for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)]


def shown(topic):
    """What a topic says to type, a script for each of its headings ("" before the first), without the `$`."""
    text = harness.run("help", topic, check=0).stdout.decode()
    scripts, heading, goes_on = {"": ""}, "", False
    for line in text.splitlines():
        if re.fullmatch(r"[A-Z][A-Z ,:-]+", line):
            heading = line
            scripts[heading] = ""
        if line.startswith("    $ ") or (goes_on and line.startswith("    ")):
            scripts[heading] += line[4:].removeprefix("$ ") + "\n"
            goes_on = line.endswith("\\")
        else:
            goes_on = False
    return {heading: script for heading, script in scripts.items() if script}


class Typist:
    """A home with ~/bin, files to share, and the folders that the texts name."""

    def __init__(self, place, processes):
        self.place, self.processes = place, processes
        for folder in ("bin", "data/session1", "data/session2/deep", "lab", "elsewhere", "build", "group"):
            (place / folder).mkdir(parents=True)
        (place / "build/kachery-resource").write_bytes(pathlib.Path(harness.BINARY).read_bytes())
        (place / "build/kachery-resource").chmod(0o755)
        (place / "bin/kachery-resource").symlink_to(place / "build/kachery-resource")
        (place / "data/session1/rec.nwb").write_bytes(DATA)
        (place / "data/session2/deep/other.nwb").write_bytes(os.urandom(100_000))
        self.port = harness.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.names = {"/data/kachery": f"{place}/lab", "/data/session": f"{place}/data/session", "/srv/kachery": f"{place}/zone",
                      "/lab/kachery": f"{place}/group/kachery", " lab /": f" {os.getgid()} /",
                      "https://kachery.lab.example": self.url, "127.0.0.1:8080": f"127.0.0.1:{self.port}",
                      "0.0.0.0:8080": f"127.0.0.1:{self.port}", "sha1://...": URI, "sha1://…": URI}
        self.env = harness.clean_environment(HOME=place, PATH=f"{place}/bin:{os.environ['PATH']}")
        self.hub, self.typed = None, []

    def spelled(self, text):
        for made_up, real in self.names.items():
            text = text.replace(made_up, real)
        return text

    def types(self, text, folder, status=0, **more):
        """Lines for a shell, with a store in that folder; servers are started first, and left running. What was printed."""
        self.typed += [line.strip() for line in text.splitlines()]
        lines = self.spelled(text).replace("\\\n", " ").splitlines()
        for line in filter(SERVER.search, lines):
            self.starts(line)
        script = "\n".join(line + self.waits(line) for line in lines if not SERVER.search(line))
        shell = self.processes(harness.Process("-euc", script, program=["sh"], cwd=self.place / folder, env={
            **self.env, "KACHERY_CLOUD_DIR": f"{self.place / folder}/store", **more}))
        assert shell.wait() == status, f"{script}\n{shell.text()}"
        return shell

    def waits(self, line):
        """Behind a daemon that was put into the background: until it can be asked."""
        if "kachery-resource share" not in line or not line.endswith("&"):
            return ""
        return "\nuntil grep -q acknowledged share.log 2>/dev/null && [ -e kachery-resource.status.json ]; do kill -0 $!; sleep 0.1; done"

    def starts(self, line):
        if self.hub is not None:
            self.hub.stop()
        words = shlex.split(line)
        self.hub = self.processes(harness.Process(*words[1:], cwd=self.place / "lab", env=self.env))
        self.hub.wait_line("listening")

    # ---- what a text takes for given ----

    def has_hub(self):
        self.starts(f"kachery-resource hub --listen 127.0.0.1:{self.port} --data {self.place}/zone --secret-file secret "
                    f"--public-url {self.url} --open-registration")
        self.env["KACHERY_GATEWAY_URL"] = self.url

    def has_link(self):
        for folder in ("lab", "elsewhere"):
            self.types("kachery-resource register", folder)
        self.types("kachery-resource link /data/session1/rec.nwb", "lab")

    def has_config(self):
        self.types("kachery-resource init --name lab-files --no-input --proxy-url https://kachery.lab.example "
                   "--proxy-secret-file secret", "lab")

    def has_daemon(self):
        self.types("kachery-resource share --log share.log &", "lab")

    def ends_daemon(self):
        status = self.place / "lab/kachery-resource.status.json"
        if status.exists():
            os.kill(json.loads(status.read_text())["pid"], signal.SIGTERM)
            harness.until(lambda: (self.place / "lab/share.log").read_text().rstrip().endswith("stopped"), "the daemon stops")
