"""share when things around it fail: the proxy, its workers, its config, its terminal."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import harness
import pytest
from harness import BINARY, Process, descendants, is_running, run, sha1, until
from zone_double import ABSENT, DATA

FAST = "retry_min_ms=20,retry_max_ms=100"


# ---- the proxy ----

def test_a_wrong_secret_ends_it(desk):
    desk.proxy.refuse = (4001, "wrong secret")
    daemon = desk.share(wait=False)
    assert daemon.wait() == 1
    assert "wrong secret" in daemon.text() and "proxySecret" in daemon.text()
    assert desk.proxy.secret not in daemon.text()
    assert not desk.lease.exists()


def test_a_name_that_is_taken_is_said_and_tried_again(desk):
    desk.proxy.refuse = (4009, "resource lab-resource is already connected")
    daemon = desk.share(wait=False, intervals=FAST)
    daemon.wait_line("resource lab-resource is already connected")
    until(lambda: desk.proxy.greetings >= 3, "further attempts")
    desk.proxy.refuse = None
    daemon.wait_line("acknowledged")
    assert len([line for line in daemon.lines["err"] if "already connected" in line]) == 1


def test_a_close_without_a_code_is_said_and_tried_again(desk):
    desk.proxy.refuse = (None, "")
    daemon = desk.share(wait=False, intervals=FAST)
    daemon.wait_line("proxySecret may be wrong")
    desk.proxy.refuse = None
    daemon.wait_line("acknowledged")


def test_a_proxy_that_never_acknowledges(desk):
    desk.proxy.is_mute = True
    daemon = desk.share(wait=False, intervals=FAST + ",acknowledge_ms=100")
    daemon.wait_line("no acknowledgement")
    desk.proxy.is_mute = False
    daemon.wait_line("acknowledged by")


def test_a_proxy_that_is_not_there_yet(desk):
    desk.proxy.stop()
    daemon = desk.share(wait=False, intervals=FAST)
    daemon.wait_line("trying again")
    desk.proxy.start()
    daemon.wait_line("acknowledged")
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


def test_an_upload_survives_a_restart_of_the_proxy(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals=FAST)
    desk.proxy.ask(uri, 20000)
    desk.uploading(sha1(DATA))
    worker, = desk.worker("kachery-upload")
    desk.proxy.stop()
    daemon.wait_line("trying again")
    desk.proxy.start()
    desk.proxy.wait_connected(2)
    joined = desk.proxy.ask(uri, 20000)
    desk.zone.holds_puts = False
    assert joined.status()["status"] == "completed"
    assert desk.worker("kachery-upload") == [worker] and len(desk.zone.puts) == 1
    assert len(desk.proxy.answers) == 1  # whoever asked the proxy of before is gone


def test_an_upload_that_ended_meanwhile_is_told(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals=FAST)
    desk.proxy.ask(uri, 20000)
    desk.uploading(sha1(DATA))
    desk.proxy.stop()
    desk.zone.holds_puts = False
    daemon.wait_line("uploaded sha1=")
    desk.proxy.start()
    desk.proxy.wait_connected(2)
    assert desk.proxy.status(uri)["status"] == "completed"
    assert len(desk.zone.puts) == 1


def silent_proxy(listener, done):
    """Shakes hands, acknowledges, and says nothing ever after, not even pong."""
    import base64
    import hashlib
    while not done.is_set():
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(65536)
        key = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")][0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        text = b'{"type":"acknowledge"}'
        peer.recv(65536)
        peer.sendall(bytes([0x81, len(text)]) + text)
        done.peers.append(peer)


def test_a_line_that_is_dead_is_given_up(desk):
    done = threading.Event()
    done.peers = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        desk.write_config(proxyUrl="ws://127.0.0.1:%d/" % listener.getsockname()[1])
        threading.Thread(target=silent_proxy, args=(listener, done), daemon=True).start()
        daemon = desk.share(wait=False, intervals=FAST + ",ping_ms=50,dead_ms=200")
        daemon.wait_line("dead")
        daemon.wait_line("acknowledged", count=2)
        received = done.peers[0].recv(65536)
        assert received[:2] == b"\x89\x80"  # a masked, empty ping
        done.set()
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("url", ["ws://127.0.0.1:{}", "http://127.0.0.1:{}/", "http://127.0.0.1:{}/some/path"])
def test_forms_of_the_proxy_url(desk, url):
    desk.write_config(proxyUrl=url.format(desk.proxy.port))
    desk.share()
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


# ---- workers ----

def test_kill_9_of_an_upload_worker_in_mid_upload(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    desk.share()
    answer = desk.proxy.ask(uri, 20000)
    desk.uploading(sha1(DATA))
    os.kill(desk.worker("kachery-upload")[0], signal.SIGKILL)
    desk.uploading(sha1(DATA), count=2)
    assert desk.zone.objects == {}
    desk.zone.holds_puts = False
    assert answer.status()["status"] == "completed"
    assert desk.zone.objects == {sha1(DATA): DATA}


def test_an_upload_whose_worker_dies_twice_fails_and_can_be_asked_for_again(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    desk.share()
    answer = desk.proxy.ask(uri, 20000)
    for attempt in (1, 2):
        desk.uploading(sha1(DATA), count=attempt)
        os.kill(desk.worker("kachery-upload")[0], signal.SIGKILL)
    status = answer.status()
    assert status["status"] == "error" and "/" not in status["error"]
    desk.zone.holds_puts = False
    assert desk.proxy.status(uri)["status"] == "completed"


@pytest.mark.parametrize("name", ["kachery-lookup", "kachery-keeper"])
def test_kill_9_of_the_others(desk, name):
    _, uri = desk.link("file", DATA)
    daemon = desk.share(intervals="status_ms=10")
    before, = desk.worker(name)
    os.kill(before, signal.SIGKILL)
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    assert desk.proxy.status(uri)["status"] == "completed"
    until(lambda: [p for p in desk.worker(name) if p != before], f"another {name}")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert not desk.lease.exists()


def test_a_stopped_keeper_stops_nothing(desk):
    """The log, the status and the lease lie on dead storage."""
    _, uri = desk.link("file", DATA)
    daemon = desk.share("--log", str(desk.folder / "log"), wait=False, intervals="status_ms=1")
    desk.proxy.wait_connected()
    keeper, = desk.worker("kachery-keeper")
    os.kill(keeper, signal.SIGSTOP)
    for i in range(500):
        assert desk.proxy.status(f"sha1://{i:040x}") == {"status": "not-found"}
    assert desk.proxy.status(uri)["status"] == "completed"
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    until(lambda: not is_running(keeper), "the end of the keeper")


def test_an_unreachable_gateway_is_told_and_the_daemon_goes_on(desk):
    _, uri = desk.link("file", DATA)
    daemon = desk.share(KACHERY_GATEWAY_URL="http://127.0.0.1:9")
    daemon.wait_line("cannot tell whether this client is registered")
    status = desk.proxy.status(uri)
    assert status["status"] == "error" and "127.0.0.1:9" in status["error"]
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


def test_an_unregistered_client_is_told_with_its_link(desk):
    client, registered = desk.zone.clients.popitem()
    daemon = desk.share(intervals="registration_ms=20")
    line = daemon.wait_line("not registered")
    assert f"{desk.zone.url}/registerClient/{client}?signature=" in line
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    desk.zone.clients[client] = registered
    daemon.wait_line("is registered in zone default")


# ---- what it is told ----

def test_a_config_that_is_not_there(tmp_path):
    done = run("share", cwd=tmp_path, check=1)
    assert b"kachery-resource init" in done.stderr


@pytest.mark.parametrize("changes, words", [
    ({"maxConcurrentUploads": "two"}, 'kachery-resource.yaml:3: maxConcurrentUploads "two": want a whole number 1-64'),
    ({"resourceName": None}, "resourceName is missing"),
    ({"proxySecret": None}, "proxySecret is missing"),
    ({"proxyUrl": "ftp://x"}, "kachery-resource.yaml:4: proxyUrl"),
])
def test_a_bad_config(desk, changes, words):
    desk.write_config(**changes)
    daemon = desk.share(wait=False)
    assert daemon.wait() == 1
    assert words in daemon.text()


def test_another_zone_in_the_environment(desk):
    daemon = desk.share(wait=False, KACHERY_ZONE="other")
    assert daemon.wait() == 1
    assert "zone mismatch" in daemon.text() and '"other"' in daemon.text() and '"default"' in daemon.text()
    desk.share(KACHERY_ZONE="default")


def test_missing_keys(desk, tmp_path):
    daemon = desk.share(wait=False, KACHERY_CLOUD_DIR=str(tmp_path / "elsewhere"))
    assert daemon.wait() == 1
    assert "kachery-resource register" in daemon.text()


def test_a_log_that_cannot_be_written(desk):
    daemon = desk.share("--log", str(desk.folder / "no" / "log"), wait=False)
    assert daemon.wait() == 1
    assert "cannot open log" in daemon.text()


# ---- alone ----

def test_only_one_shares_a_resource(desk):
    daemon = desk.share()
    second = desk.keep(Process("share", "--config", str(desk.config), env=desk.env))
    assert second.wait() == 1
    assert f"already shared by {socket.gethostname()} (process {daemon.pid})" in second.text()
    third = desk.keep(Process("share", "--cron", "--config", str(desk.config), env=desk.env))
    assert third.wait() == 0 and third.text() == ""
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    assert desk.proxy.greetings == 1


def foreign_lease(desk, age_s):
    desk.lease.mkdir()
    owner = desk.lease / "owner"
    owner.write_text(json.dumps({"host": "login-7", "pid": 77, "pidStarted": 5, "boot": "b", "pidNamespace": "n",
                                 "token": "0123456789abcdef" * 2, "sinceMs": 1}))
    os.utime(owner, (time.time() - age_s,) * 2)


def test_a_daemon_on_another_host(desk):
    foreign_lease(desk, 100)
    second = desk.share(wait=False)
    assert second.wait() == 1
    assert "already shared by login-7 (process 77)" in second.text()
    third = desk.share("--cron", wait=False)
    assert third.wait() == 0 and third.text() == ""
    os.utime(desk.lease / "owner", (time.time() - 1000,) * 2)
    desk.share("--cron")


def test_a_daemon_whose_lease_was_taken_ends(desk):
    daemon = desk.share(intervals="lease_refresh_ms=20")
    owner = desk.lease / "owner"
    foreign = json.loads(owner.read_text())
    foreign.update(host="login-7", token="f" * 32)
    owner.write_text(json.dumps(foreign))
    assert daemon.wait() == 1
    assert "already shared by login-7" in daemon.text()
    assert owner.exists()


# ---- signals ----

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_uploads_may_finish(desk, number):
    _, uri = desk.link("file", DATA)
    _, waiting = desk.link("waiting", DATA[1:])
    desk.write_config(uploads=1)
    desk.zone.holds_puts = True
    daemon = desk.share()
    running = desk.proxy.ask(uri, 20000)
    desk.uploading(sha1(DATA))
    queued = desk.proxy.ask(waiting, 20000)
    desk.proxy.ask(waiting, 0).status()
    daemon.signal(number)
    assert "being stopped" in queued.status()["error"]
    assert "being stopped" in desk.proxy.status(f"sha1://{ABSENT}")["error"]
    desk.zone.holds_puts = False
    assert running.status()["status"] == "completed"
    assert daemon.wait() == 0
    assert desk.zone.objects == {sha1(DATA): DATA}


def test_uploads_that_take_too_long_are_abandoned(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals="stop_ms=100")
    answer = desk.proxy.ask(uri, 20000)
    desk.uploading(sha1(DATA))
    children = descendants(daemon.pid)
    daemon.signal(signal.SIGTERM)
    assert "being stopped" in answer.status()["error"]
    assert daemon.wait(10) == 0
    until(lambda: not any(is_running(pid) for pid in children), "the end of the children")
    desk.zone.holds_puts = False
    assert desk.zone.objects == {} and not desk.lease.exists()


def test_a_second_signal_does_not_wait(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals="stop_ms=600000")
    desk.proxy.ask(uri, 20000)
    desk.uploading(sha1(DATA))
    daemon.signal(signal.SIGTERM)
    daemon.wait_line("stopping (SIGTERM)")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_it_can_be_stopped_while_there_is_no_proxy(desk):
    desk.proxy.stop()
    daemon = desk.share(wait=False)
    daemon.wait_line("trying again")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_hangup_reopens_the_log(desk):
    log, old = desk.folder / "log", desk.folder / "log.1"
    daemon = desk.share("--log", str(log), wait=False)
    until(lambda: log.exists() and "acknowledged" in log.read_text(), "the log")
    assert log.stat().st_mode & 0o777 == 0o600
    log.rename(old)
    daemon.signal(signal.SIGHUP)
    until(log.exists, "a new log")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert log.read_text().splitlines()[-1].endswith("stopped")
    assert "stopped" not in old.read_text() and daemon.text() == ""


def test_hangup_ends_it_in_a_terminal(desk):
    daemon = desk.share()
    daemon.signal(signal.SIGHUP)
    assert daemon.wait() == 0
    assert "SIGHUP" in daemon.text()


def test_hangup_is_ignored_under_nohup(desk):
    program = ["nohup", BINARY, "share", "--config", str(desk.config)]
    desk.daemon = daemon = desk.keep(Process(env=desk.env, program=program, cwd=desk.folder))
    daemon.wait_line("acknowledged")
    daemon.signal(signal.SIGHUP)
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_a_stderr_that_nobody_reads_stops_nothing(desk):
    """A pipe that is full: lines are dropped, requests go on."""
    read, write = os.pipe()
    with subprocess.Popen([BINARY, "share", "-v", "--config", str(desk.config)], stderr=write, env=desk.env,
                          start_new_session=True) as process:
        os.close(write)
        try:
            desk.proxy.wait_connected()
            path, uri = desk.link("file", DATA)
            path.unlink()
            for _ in range(1000):
                assert desk.proxy.status(uri)["status"] == "error"
            process.terminate()
            assert process.wait(harness.DEADLINE_S) == 0
        finally:
            process.kill()
            os.close(read)
