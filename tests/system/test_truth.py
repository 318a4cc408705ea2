"""Truth under want: while allocations and system calls of the hub, of the daemon or of a command fail again and again,
every answer is right or an error; 5 s after the failures ended, every answer is right. What counts as right stands in
one table (QUESTIONS). `./build.sh test` draws some of the places that can fail; `--all-faults` takes all, in any order,
as far as KACHERY_TRUTH_SECONDS reach for each test (KACHERY_TRUTH_SEED is of the draw and of that order;
KACHERY_TRUTH_ONLY=FUNCTION takes those places alone that are reached through it).

The failures are the two lasting ones of fault_board.py: a place fails at every pass, every nth allocation fails."""
import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import subprocess
import time

import pytest

import harness
from fault_board import PROGRAM, Board
from gateway_client import GatewayClient
from harness import sha1

pytestmark = [pytest.mark.skipif(not PROGRAM.exists(), reason="ci/faults.sh was not run"), pytest.mark.timeout(14400)]

DATA = random.Random(2).randbytes(200_000)
SHARED = DATA + b"shared, not uploaded"
ABSENT = "00" * 20
RIGHT_AGAIN_S, MARGIN = 5, 5
ANSWER_S = 8  # that long a question is waited for while failures are armed: silence is an error
DRAWN, DRAWN_OF_COMMAND, DRAWN_ALLOCATIONS = 100, 16, [2, 3, 7, 20, 100]
RIGHT, ERROR = "right", "error"
# What the gateway says to those who may not, or ask wrongly: nobody here does.
REFUSALS = [b"Invalid", b"not registered", b"Zone not found", b"authorized", b"No verified", b"No signature"]


class Hub:
    """A hub with a public zone, a private one in the same folder, a resource that shares one more file, and questions."""

    def __init__(self, lab, board):
        self.lab, self.board = lab, board
        self.signer = GatewayClient(lab.url, lab.host_store)
        self.member = GatewayClient(lab.url, lab.host_store, zone="vault")
        self.path = lab.folder / "data"
        self.path.write_bytes(DATA)
        self.fill()
        self.port = lab.hub.port

    def fill(self):
        harness.run("store", str(self.path), env=self.lab.host, check=0)
        vault = self.lab.data / "zones" / "vault"
        key = f"sha1/{sha1(DATA)[0:2]}/{sha1(DATA)[2:4]}/{sha1(DATA)[4:6]}"
        (vault / key).mkdir(parents=True)
        shutil.copy(self.lab.data / key / sha1(DATA), vault / key)
        (self.lab.data / "registered-zones").mkdir(exist_ok=True)
        (self.lab.data / "registered-zones" / "vault").write_text(json.dumps(
            {"zone": "vault", "ownerId": "local", "bucketName": "default", "directory": "zones/vault"}))
        (vault / "settings").mkdir()
        (vault / "settings" / "authorizationSettings.yaml").write_text(
            "allowPublicUpload: false\nallowPublicDownload: false\n"
            "authorizedUsers:\n  - userId: local\n    upload: true\n    download: true\n")
        (vault / "clients").mkdir()
        shutil.copy(self.lab.data / "clients" / self.signer.client_id, vault / "clients")
        (self.lab.data / "resources").mkdir(exist_ok=True)
        (self.lab.data / "resources" / "known").write_text(json.dumps(
            {"resourceName": "known", "ownerId": "local", "timestampCreated": 1, "proxyUrl": "https://known.example"}))

    def restart_with_board(self):
        self.lab.hub.stop()
        self.victim = self.lab.keep(harness.Process(
            "hub", "--listen", f"127.0.0.1:{self.port}", "--data", str(self.lab.data), "--open-registration", "--secret-file",
            str(self.lab.secret_file), program=self.board.program,
            env={**harness.clean_environment(HOME=self.lab.folder), **self.board.env}))
        self.victim.wait_line("listening http://")

    # ---- asking ----

    def http(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call(self, client, type_, **fields):
        payload = {"type": type_, **fields, "timestamp": int(time.time() * 1000)}
        if client is not None:
            payload["zone"] = client.zone
        body = client.signed(payload) if client is not None else {"payload": payload}
        return self.http("POST", "/api/gateway", body)

    def gateway(self, client, type_, is_right, **fields):
        """RIGHT, ERROR, or what was said instead."""
        status, text = self.call(client, type_, **fields)
        if status != 200:
            is_lie = status < 500 or any(word in text for word in REFUSALS)
            return (status, text) if is_lie else ERROR
        answer = json.loads(text)
        return RIGHT if is_right(answer) else answer

    def find(self, client, digest, is_found):
        return self.gateway(client, "findFile", lambda a: a.get("found") is is_found and (
            not is_found or a.get("size") == len(DATA)), hashAlg="sha1", hash=digest)

    def find_anonymously(self, zone):
        """In a private zone any answer but an error is wrong."""
        payload = {"type": "findFile", "hashAlg": "sha1", "hash": sha1(DATA), "zone": zone, "timestamp": int(time.time() * 1000)}
        status, text = self.http("POST", "/api/gateway", {"payload": payload})
        if status != 200:
            is_refusal = zone != "default" and (b"authorized" in text or b"No verified" in text)
            return RIGHT if is_refusal else ERROR if status >= 400 else (status, text)
        return RIGHT if zone == "default" and json.loads(text).get("found") is True else json.loads(text)

    def initiate(self, client, digest, is_there):
        def is_right(answer):
            return answer.get("alreadyExists") is True if is_there else "signedUploadUrl" in answer
        return self.gateway(client, "initiateFileUpload", is_right, size=len(DATA), hashAlg="sha1", hash=digest)

    def initiate_anonymously(self):
        payload = {"type": "initiateFileUpload", "size": 5, "hashAlg": "sha1", "hash": ABSENT, "zone": "default",
                   "timestamp": int(time.time() * 1000)}
        status, text = self.http("POST", "/api/gateway", {"payload": payload})
        return (status, text) if status == 200 else RIGHT if b"No verified client ID" in text else ERROR

    def client_info(self, client_id, is_found):
        return self.gateway(self.signer, "getClientInfo", lambda a: a.get("found") is is_found, clientId=client_id)

    def resource_info(self, name, is_found):
        return self.gateway(self.signer, "getResourceInfo", lambda a: a.get("found") is is_found, resourceName=name)

    def sign_urls(self):
        """While nothing fails: of an object, and of one that was taken away since."""
        gone = b"gone"
        path = self.lab.folder / "gone"
        path.write_bytes(gone)
        harness.run("store", str(path), env=self.lab.host, check=0)
        self.signed, self.signed_gone = (self.signer.find(sha1(data)) for data in (DATA, gone))
        harness.object_path(self.lab.data, sha1(gone)).unlink()

    def get_object(self, method):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request(method, self.signed[len(self.lab.url):])
            answer = connection.getresponse()
            status, body, length = answer.status, answer.read(), answer.getheader("Content-Length")
        finally:
            connection.close()
        if status == 200:
            is_right = body == (DATA if method == "GET" else b"") and length == str(len(DATA))
            return RIGHT if is_right else f"200 with {len(body)} other bytes, {length} announced"
        return ERROR if status >= 500 or status in (408, 429) else (status, body)

    def get_absent_object(self):
        status, body = self.http("GET", self.signed_gone[len(self.lab.url):])
        return RIGHT if status == 404 else ERROR if status >= 500 or status in (408, 429) else (status, body)

    def ask_resource(self, digest, wanted):
        body = {"type": "requestFromClient", "resourceName": self.lab.name, "zone": "default", "timeoutMsec": 7000,
                "request": {"type": "fileUpload", "uri": f"sha1://{digest}", "timeoutMsec": 5000}}
        status, text = self.http("POST", f"/r/{self.lab.name}", body)
        # The daemon may be about to connect again: 404 says that of the resource, not of the file.
        if status != 200:
            return ERROR if status >= 500 or status in (404, 429) else (status, text)
        answer = json.loads(text)
        said = answer["response"].get("status", {}).get("status")
        if "error" in answer or said in ("error", "queued", "running"):
            return ERROR
        return RIGHT if said == wanted else answer

    QUESTIONS = {
        "findFile, present": lambda hub: hub.find(hub.signer, sha1(DATA), True),
        "findFile, absent": lambda hub: hub.find(hub.signer, ABSENT, False),
        "findFile, present, anonymous": lambda hub: hub.find_anonymously("default"),
        "findFile, private": lambda hub: hub.find(hub.member, sha1(DATA), True),
        "findFile, private and absent": lambda hub: hub.find(hub.member, ABSENT, False),
        "findFile, private and anonymous": lambda hub: hub.find_anonymously("vault"),
        "getClientInfo": lambda hub: hub.client_info(hub.signer.client_id, True),
        "getClientInfo, unknown": lambda hub: hub.client_info("ab" * 32, False),
        "getResourceInfo": lambda hub: hub.resource_info("known", True),
        "getResourceInfo, unknown": lambda hub: hub.resource_info("unknown", False),
        "initiateFileUpload, present": lambda hub: hub.initiate(hub.signer, sha1(DATA), True),
        "initiateFileUpload, absent": lambda hub: hub.initiate(hub.signer, ABSENT, False),
        "initiateFileUpload, anonymous": lambda hub: hub.initiate_anonymously(),
        "GET of an object": lambda hub: hub.get_object("GET"),
        "HEAD of an object": lambda hub: hub.get_object("HEAD"),
        "GET of an absent object": lambda hub: hub.get_absent_object(),
        "POST /r/, shared": lambda hub: hub.ask_resource(sha1(SHARED), "completed"),
        "POST /r/, absent": lambda hub: hub.ask_resource(ABSENT, "not-found"),
    }

    def ask(self, question):
        try:
            return self.QUESTIONS[question](self)
        except (OSError, http.client.HTTPException):  # cut, reset, no answer: not an answer at all
            return ERROR
        except ValueError as no_json:
            return f"200 without JSON: {no_json}"

    def ask_all(self):
        """What is neither right nor an error. A server that answers nobody tells no lie: it is not asked all."""
        answers, unanswered = {}, 0
        for question in self.QUESTIONS:
            began = time.monotonic()
            answers[question] = self.ask(question)
            unanswered += time.monotonic() - began >= ANSWER_S
            if unanswered == 2:
                break
        return {question: answer for question, answer in answers.items() if answer not in (RIGHT, ERROR)}

    def wait_right(self):
        """What is not right when the time is up."""
        end = time.monotonic() + RIGHT_AGAIN_S * MARGIN
        wrong = dict.fromkeys(self.QUESTIONS)
        while wrong and time.monotonic() < end:
            wrong = {question: self.ask(question) for question in wrong}
            wrong = {question: answer for question, answer in wrong.items() if answer != RIGHT}
        return wrong


class Draw:
    """The failures of one test: some, or with --all-faults all, as far as the time goes."""

    def __init__(self, request, board, count=DRAWN):
        only = os.environ.get("KACHERY_TRUTH_ONLY", "")
        faults = [(place, kind) for place, kind in board.faults() if not only or only in board.way(place)]
        self.is_all = request.config.getoption("--all-faults")
        self.end = time.monotonic() + float(os.environ.get("KACHERY_TRUTH_SECONDS", "inf"))
        chosen = random.Random(int(os.environ.get("KACHERY_TRUTH_SEED", "3"))).sample(
            faults, len(faults) if self.is_all else min(count, len(faults)))
        self.arms = [lambda nth=nth: board.arm_allocations(nth) for nth in DRAWN_ALLOCATIONS]
        self.arms += [lambda place=place, kind=kind: board.arm_always(place, kind) for place, kind in chosen]
        self.done = 0

    def __iter__(self):
        for arm in self.arms:
            if time.monotonic() > self.end:
                break
            yield arm
            self.done += 1

    def __str__(self):
        return f"{self.done} of {len(self.arms)} failures were tried"


class Examination:
    """One life of a victim under failures."""

    def __init__(self, hub, board, victim):
        self.hub, self.board, self.victim, self.wrong, self.fired = hub, board, victim, [], 0

    def tell(self, what):
        self.wrong.append(f"{what}\n{self.board.describe()}\n" + "\n".join(self.victim.text().split("\n")[-8:]))

    def one(self, arm):
        """Asks everything while failures are armed, then until all is right."""
        arm()
        wrong = self.hub.ask_all()
        fired = self.board.fired() is not None
        self.fired += fired
        if wrong:
            self.tell(f"wrong while failures were armed: {wrong}")
        if self.board.reports():
            self.tell(self.board.reports())
            self.board.forget_reports()
        failed = self.board.fired()
        self.board.note()
        late = self.hub.wait_right()
        if late:
            self.wrong.append(f"not right {RIGHT_AGAIN_S * MARGIN} s after {self.board.describe(failed)}: {late}\n" +
                              "\n".join(self.victim.text().split("\n")[-8:]))
        assert self.victim.process.poll() is None, (
            f"it ended: {self.board.describe(failed)}\n{self.victim.text()[-2000:]}\n" + "\n----\n".join(self.wrong[:8]))

    def run(self, request):
        self.board.note()
        for _ in range(2):
            assert self.hub.ask_all() == {}
        draw = Draw(request, self.board)
        for arm in draw:
            self.one(arm)
        print(draw)
        assert not self.wrong, f"{len(self.wrong)} lies, {draw}:\n" + "\n----\n".join(self.wrong[:8])
        assert self.fired > 5


@pytest.fixture
def questioned_hub(lab, fault_board):
    """A hub that is asked everything of which the right answer is known; its resource shares one more file."""
    made = Hub(lab, fault_board)
    shared = lab.folder / "shared"
    shared.write_bytes(SHARED)
    lab.link(shared)
    return made


@contextlib.contextmanager
def quick():
    """The daemon's intervals: it is soon back after it was lost."""
    yield "retry_min_ms=20,retry_max_ms=200,presence_first_ms=200,presence_ms=500,lookup_lost_ms=1000"


def test_the_hub_tells_no_lie(questioned_hub, lab, fault_board, request):
    questioned_hub.restart_with_board()
    with quick() as intervals:
        lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": intervals})
    questioned_hub.sign_urls()
    assert questioned_hub.wait_right() == {}
    Examination(questioned_hub, fault_board, questioned_hub.victim).run(request)


def test_the_daemon_tells_no_lie(questioned_hub, lab, fault_board, request):
    with quick() as intervals:
        daemon = lab.keep(harness.Process("share", "--config", str(lab.config), program=fault_board.program,
                                          env={**lab.host, **fault_board.env, "KACHERY_RESOURCE_TEST_INTERVALS": intervals}))
    daemon.wait_line("acknowledged")
    questioned_hub.QUESTIONS = {name: ask for name, ask in questioned_hub.QUESTIONS.items() if name.startswith("POST /r/")}
    assert questioned_hub.wait_right() == {}
    Examination(questioned_hub, fault_board, daemon).run(request)


# ---- commands: their exit status is their word ----

COMMANDS = {
    "load of a copy": (["load", "sha1://{copy}"], 0),
    "load from the zone": (["load", "--no-request", "sha1://{zone}"], 0),
    "load of what is nowhere": (["load", "--no-request", "sha1://" + ABSENT], 3),
    "info": (["info", "sha1://{zone}"], 0),
    "info of what is nowhere": (["info", "sha1://" + ABSENT], 3),
    "ls": (["ls", "--json"], 0),
    "verify": (["verify", "--json"], 0),
}


def verdict(command, done, right):
    """Right, an error that is told, or a lie."""
    if done.returncode == 1 and done.stderr.strip():
        return ERROR
    if done.returncode != right:
        return f"exit {done.returncode}, want {right} or 1 with words: {done}"
    if command[0] in ("ls", "verify") and not done.stderr.strip():
        states = {entry["state"] for entry in json.loads(done.stdout)}
        return RIGHT if states == {"ok"} and len(json.loads(done.stdout)) == 2 else f"{done}"
    if command[0] == "load" and right == 0:
        content = pathlib.Path(os.fsdecode(done.stdout.rstrip(b"\n"))).read_bytes()
        return RIGHT if content in (DATA, b"copy") else f"other bytes: {done}"
    return RIGHT


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_tells_no_lie(lab, fault_board, request, name):
    words, right = COMMANDS[name]
    path = lab.folder / "data"
    path.write_bytes(DATA)
    harness.run("store", str(path), env=lab.host, check=0)
    copy, linked = lab.folder / "copy", lab.folder / "linked"
    copy.write_bytes(b"copy")
    linked.write_bytes(b"linked")
    harness.run("store-local", str(copy), env=lab.remote, check=0)
    harness.run("link", str(linked), env=lab.remote, check=0)
    command = [word.format(copy=sha1(b"copy"), zone=sha1(DATA)) for word in words]
    beginning = lab.folder / "beginning"
    shutil.copytree(lab.remote_store, beginning)

    def go():
        shutil.rmtree(lab.remote_store)
        shutil.copytree(beginning, lab.remote_store)
        try:
            return subprocess.run([*fault_board.program, *command], env={**lab.remote, **fault_board.env}, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=harness.DEADLINE_S)
        except subprocess.TimeoutExpired as silence:
            return subprocess.CompletedProcess(command, "none: it hangs", silence.stdout, silence.stderr)

    fault_board.note()
    assert verdict(command, go(), right) == RIGHT
    wrong = []
    draw = Draw(request, fault_board, DRAWN_OF_COMMAND)
    for arm in draw:
        arm()
        said = verdict(command, go(), right)
        if said not in (RIGHT, ERROR) or fault_board.reports():
            wrong.append(f"{fault_board.describe()}\n{said}\n{fault_board.reports()}")
            fault_board.forget_reports()
    fault_board.note()
    assert verdict(command, go(), right) == RIGHT
    print(draw)
    assert not wrong, f"{len(wrong)} lies, {draw}:\n" + "\n----\n".join(wrong[:8])
