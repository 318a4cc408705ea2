"""Running the real binary in tests: commands, servers, the daemon, stores. No sleeps: everything waits on an
event (a line of output, a port that answers) with a deadline."""
import contextlib
import hashlib
import json
import os
import pathlib
import queue
import signal
import socket
import subprocess
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = ROOT / "tests" / "vectors"
RELEASE = str(ROOT / "build" / "kachery-resource")
BINARY = os.environ.get("KACHERY_RESOURCE_BINARY", RELEASE)
DEADLINE_S = float(os.environ.get("KACHERY_TEST_DEADLINE", "30"))


def clean_environment(**extra):
    """The environment of a user with none of our variables set."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("KACHERY_") and k.lower() not in
           ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "proxy_secret", "port", "ssl_cert_file", "ssl_cert_dir",
                               "curl_ca_bundle", "requests_ca_bundle")}
    env["LC_ALL"] = "C.UTF-8"
    env["KACHERY_RESOURCE_TEST_PATIENCE"] = "pause_min_ms=10,pause_max_ms=50,lost_ms=0,waiting_ms=1000"  # between attempts
    env.update({k: str(v) for k, v in extra.items() if v is not None})
    return env


def run(*arguments, env=None, cwd=None, stdin=b"", timeout=DEADLINE_S, check=None):
    """One command to its end. `check` is the exit status that it must have."""
    done = subprocess.run([BINARY, *arguments], env=env or clean_environment(), cwd=cwd, input=stdin,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    if check is not None:
        assert done.returncode == check, \
            f"{arguments}: exit {done.returncode}, want {check}\n{done.stdout!r}\n{done.stderr.decode(errors='replace')}"
    return done


def until(condition, what, deadline_s=DEADLINE_S):
    """Polls `condition` until it is true; its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


class Pid(int):
    """A process's number, which another may have after its end, and when the process was started."""
    started = None


def process_fields(pid):
    """What /proc/PID/stat says after the name: state, parent, …; none when there is no such process, or only a zombie."""
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if fields and fields[0] not in "ZX":
            return fields
    return None


def descendants(pid):
    """The process ids (Pid) below `pid`, at any depth."""
    children = {}
    for entry in os.listdir("/proc"):
        fields = process_fields(entry) if entry.isdigit() else None
        if fields:
            child = Pid(entry)
            child.started = fields[19]
            children.setdefault(int(fields[1]), []).append(child)
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def parent_of(pid):
    fields = process_fields(pid)
    return fields and int(fields[1])


def process_name(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def memory_holds(pid, needle):
    """Is that text anywhere in what the process can read of itself?"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            span, rights = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if rights.startswith("r") and "[v" not in line:
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
    return False


def is_running(pid):
    """There is that process (for a Pid: no later one of its number), and it is no zombie."""
    fields = process_fields(pid)
    return fields is not None and getattr(pid, "started", None) in (None, fields[19])


def steps_back(pid, other):
    """The processor is rather for the other process."""
    own, others = (os.getpriority(os.PRIO_PROCESS, each) for each in (pid, other))
    return own > others or own == 19  # there is nothing beyond


class Process:
    """A long-running command whose stdout and stderr lines are collected while it runs."""

    def __init__(self, *arguments, env=None, cwd=None, program=None, **popen):
        self.lines = {"out": [], "err": []}
        self.queue = queue.Queue()
        self.process = subprocess.Popen([*(program or [BINARY]), *map(str, arguments)], env=env or clean_environment(),
                                        cwd=cwd, stdin=popen.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True, **popen)
        self.readers = [threading.Thread(target=self._read, args=(name, pipe), daemon=True)
                        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr))]
        for reader in self.readers:
            reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self, name, pipe):
        for raw in pipe:
            self.lines[name].append(raw.decode(errors="replace").rstrip("\n"))
            self.queue.put(None)
        pipe.close()

    def text(self):
        return "\n".join(self.lines["out"] + self.lines["err"])

    def wait_line(self, part, count=1, deadline_s=DEADLINE_S):
        """The count-th line of either stream that contains `part`."""
        end = time.monotonic() + deadline_s
        while True:
            hits = [line for line in self.lines["out"] + self.lines["err"] if part in line]
            if len(hits) >= count:
                return hits[count - 1]
            if self.process.poll() is not None and not any(r.is_alive() for r in self.readers):
                hits = [line for line in self.lines["out"] + self.lines["err"] if part in line]
                assert len(hits) >= count, \
                    f"ended with {self.process.returncode} without {part!r}:\n{self.text()}"
                return hits[count - 1]
            left = end - time.monotonic()
            assert left > 0, f"no line with {part!r} in {deadline_s} s:\n{self.text()}"
            with contextlib.suppress(queue.Empty):
                self.queue.get(timeout=min(left, 0.1))

    def wait(self, deadline_s=DEADLINE_S):
        status = self.process.wait(timeout=deadline_s)
        for reader in self.readers:
            reader.join(timeout=5)
        return status

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends it and everything that it started, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(timeout=12)
            except subprocess.TimeoutExpired:
                pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        for reader in self.readers:
            reader.join(timeout=5)


class Server(Process):
    """proxy, gateway or hub on a free loopback port; `url` once it listens."""

    def __init__(self, verb, *arguments, env=None, listen="127.0.0.1:0", **more):
        super().__init__(verb, "--listen", listen, *arguments, env=env, **more)
        self.url = self.wait_line("listening http://").split("listening ", 1)[1].strip()
        self.port = int(self.url.rsplit(":", 1)[1])


def http(method, url, body=None, headers=None, timeout=DEADLINE_S):
    """(status, headers, bytes) of one request; errors of HTTP are answers too."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def is_release():
    """Whether it is the program with musl; the variants for tests have glibc, whose look-ups and words differ."""
    return BINARY == RELEASE


def is_sanitized():
    """Whether the program keeps what was freed, as AddressSanitizer and valgrind do: its memory then says nothing."""
    program = pathlib.Path(BINARY).read_bytes()
    return b"__asan_init" in program or b"exec valgrind" in program


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sha1(data):
    return hashlib.sha1(data).hexdigest()


def object_path(store, digest, kind="sha1"):
    """Where a copy ("sha1") or a link ("linked_files/sha1") of that hash is kept."""
    return pathlib.Path(store) / kind / digest[0:2] / digest[2:4] / digest[4:6] / digest


SECRET = "a test's secret, 0123456789"


class Lab:
    """A host, a remote user and a hub: the whole thing on loopback, each with a folder of its own."""

    def __init__(self, folder, name="lab-resource"):
        self.folder, self.name = pathlib.Path(folder), name
        self.processes = []
        self.host_store, self.remote_store = self.folder / "host", self.folder / "remote"
        self.config = self.folder / "kachery-resource.yaml"
        self.secret_file = self.folder / "secret"
        self.secret_file.write_text(SECRET + "\n")
        self.secret_file.chmod(0o600)
        self.data = self.folder / "zone"
        self.hub = None

    @property
    def url(self):
        """Where the others find the hub."""
        return self.hub.url if self.hub else "http://127.0.0.1:9"

    def environment(self, store, **extra):
        return clean_environment(HOME=self.folder, KACHERY_CLOUD_DIR=store, KACHERY_GATEWAY_URL=self.url, **extra)

    @property
    def host(self):
        return self.environment(self.host_store)

    @property
    def remote(self):
        return self.environment(self.remote_store, KACHERY_RESOURCE_URL=f"{self.url}/r/{self.name}")

    def start_hub(self, listen="127.0.0.1:0", *options):
        self.hub = self.keep(Server("hub", "--data", str(self.data), "--open-registration", "--secret-file",
                                    str(self.secret_file), *options, listen=listen,
                                    env=clean_environment(HOME=self.folder)))
        return self.hub

    def register(self):
        for env in (self.host, self.remote):
            run("register", "--label", "test", env=env, check=0)

    def write_config(self, proxy_url=None, max_uploads=2, secret=SECRET):
        self.config.write_text(f"resourceName: {self.name}\nkacheryZone: default\nmaxConcurrentUploads: {max_uploads}\n"
                               f"proxyUrl: {proxy_url or self.url}\nproxySecret: {secret}\n")
        self.config.chmod(0o600)

    def share(self, *options, env=None, wait=True):
        daemon = self.keep(Process("share", "--config", str(self.config), *options, env=env or self.host))
        if wait:
            daemon.wait_line("acknowledged")
        return daemon

    def link(self, *paths):
        done = run("link", *map(str, paths), env=self.host, check=0)
        return [line.split("\t")[0] for line in done.stdout.decode().splitlines()]

    def keep(self, process):
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
