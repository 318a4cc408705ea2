"""share when things around it fail or differ: the proxy, the workers, TLS."""
import json
import os
import signal
import socket
import threading

import certificates
import pytest
import tls_servers
import websocket_peer
from harness import is_running, sha1, steps_back, until
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
    until(lambda: len(desk.proxy.greetings) >= 3, "further attempts")
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
    desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    worker, = desk.worker("kachery-upload")
    assert steps_back(worker, desk.daemon.pid)
    desk.proxy.stop()
    daemon.wait_line("trying again")
    desk.proxy.start()
    desk.proxy.wait_connected(2)
    joined = desk.proxy.ask(uri)
    desk.zone.holds_puts = False
    assert joined.status()["status"] == "completed"
    assert desk.worker("kachery-upload") == [worker] and len(desk.zone.puts) == 1
    assert len(desk.proxy.answers) == 1  # whoever asked the proxy of before is gone


def test_an_upload_that_ended_meanwhile_is_told(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals=FAST)
    desk.proxy.ask(uri)
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
    while not done.is_set():
        try:
            peer, _ = websocket_peer.accept(listener)
        except OSError:
            return
        peer.receive()
        peer.sock.sendall(websocket_peer.frame(websocket_peer.TEXT, b'{"type":"acknowledge"}'))
        done.peers.append(peer.sock)


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


# ---- generations, and a proxy that forgets ----

@pytest.mark.parametrize("proxy", [1], indirect=True)
def test_a_proxy_of_the_first_generation(desk):
    _, uri = desk.link("file", DATA)
    daemon = desk.share(intervals=FAST)
    assert desk.proxy.greetings == [2, 1]
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    message = desk.proxy.message(uri)
    desk.proxy.send_text(json.dumps({"type": "cancelRequestFromClient", "requestId": message["requestId"]}))
    answer, = desk.proxy.post(message)
    desk.proxy.send_text(json.dumps({"type": "cancelRequestFromClient", "requestId": message["requestId"]}))
    assert answer.status()["status"] == "completed"
    desk.proxy.stop()
    daemon.wait_line("trying again")
    desk.proxy.start()
    desk.proxy.wait_connected(3)
    assert desk.proxy.greetings == [2, 1, 1]  # what worked is remembered


@pytest.mark.parametrize("proxy", [1], indirect=True)
def test_a_proxy_that_is_replaced_by_one_of_the_second_generation(desk):
    daemon = desk.share(intervals=FAST)
    desk.proxy.stop()
    daemon.wait_line("trying again")
    desk.proxy.generation = 2
    desk.proxy.start()
    daemon.wait_line("generation=2")
    assert desk.proxy.greetings == [2, 1, 1, 2]
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


def test_a_code_says_that_it_is_not_the_generation(desk):
    desk.proxy.refuse = (4009, "resource lab-resource is already connected")
    desk.share(wait=False, intervals=FAST)
    until(lambda: len(desk.proxy.greetings) >= 4, "further attempts")
    assert set(desk.proxy.greetings) == {2}


@pytest.mark.parametrize("proxy", [1, 2], indirect=True)
def test_a_proxy_that_forgot_the_daemon_is_dialled_again(desk):
    daemon = desk.share(intervals=FAST + ",presence_first_ms=20,presence_ms=40")
    path = "/api" if desk.proxy.generation == 1 else "/r/lab-resource"
    desk.proxy.posted.clear()  # it had to find out the generation
    until(lambda: len(desk.proxy.posted) >= 3, "questions at the HTTP side")
    assert {asked for asked, _ in desk.proxy.posted} == {path}
    before = len(desk.proxy.greetings)
    desk.proxy.knows_us = False
    daemon.wait_line("has forgotten resource lab-resource")
    desk.proxy.knows_us = True
    daemon.wait_line("acknowledged", count=2)
    assert desk.proxy.greetings[before:] == [desk.proxy.generation]
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


def test_one_that_is_forgotten_again_and_again_waits_longer(desk):
    """Two daemons of one name: neither is to dial all the time."""
    desk.proxy.knows_us = False
    daemon = desk.share(intervals="retry_min_ms=10,redial_max_ms=200,presence_first_ms=1,presence_ms=40,stable_ms=0")
    daemon.wait_line("has forgotten", count=6)
    pauses = [float(line.split("again in ")[1].split()[0]) for line in daemon.lines["err"] if "forgotten" in line]
    assert all(0 <= pause <= 0.2 for pause in pauses)
    assert sum(pauses[3:6]) > 3 * sum(pauses[:2])


def test_a_proxy_without_an_http_side_is_no_matter(desk):
    """An HTML 404 is from something else that answers there."""
    daemon = desk.share("-v", intervals="presence_first_ms=10,presence_ms=20")
    desk.proxy.generation = 1  # its routes, from now on
    daemon.wait_line("asked the proxy for this resource: status 404", count=5)
    assert "forgotten" not in daemon.text() and len(desk.proxy.greetings) == 1


# ---- workers ----

def test_kill_9_of_an_upload_worker_in_mid_upload(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share()
    answer = desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    os.kill(desk.worker("kachery-upload")[0], signal.SIGKILL)
    daemon.wait_line("an upload worker was lost (the worker process was killed by SIGKILL: out of memory, or a limit of "
                     "this host?); its upload starts again")
    desk.uploading(sha1(DATA), count=2)
    assert desk.zone.objects == {}
    desk.zone.holds_puts = False
    assert answer.status()["status"] == "completed"
    assert desk.zone.objects == {sha1(DATA): DATA}


def test_an_upload_whose_worker_dies_twice_fails_and_can_be_asked_for_again(desk):
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    desk.share()
    answer = desk.proxy.ask(uri)
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
    daemon.wait_line(f"{name} process killed by SIGKILL: out of memory, or a limit of this host?")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert not desk.lease.exists()


def test_kill_9_of_the_process_that_asks_whether_the_client_is_registered(desk):
    _, uri = desk.link("file", DATA)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        daemon = desk.share(KACHERY_GATEWAY_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")
        os.kill(desk.worker("kachery-check")[0], signal.SIGKILL)
        daemon.wait_line("kachery-check process killed by SIGKILL: out of memory, or a limit of this host?")
        assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert daemon.text().count(" process ") == 1


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


def test_a_keeper_that_stays_stopped_is_replaced(desk):
    """Nobody else would renew the lease."""
    daemon = desk.share("--log", str(desk.folder / "log"), wait=False,
                        intervals="keeper_stopped_ms=400,lease_refresh_ms=50")
    desk.proxy.wait_connected()
    keeper, = desk.worker("kachery-keeper")
    os.kill(keeper, signal.SIGSTOP)
    until(lambda: not is_running(keeper), "the end of the keeper")
    other, = until(lambda: [p for p in desk.worker("kachery-keeper") if p != keeper], "another keeper")
    before = (desk.lease / "owner").stat().st_mtime_ns
    until(lambda: (desk.lease / "owner").stat().st_mtime_ns > before, "a lease that is renewed")
    log = until(lambda: [line for line in (desk.folder / "log").read_text().splitlines() if " process " in line],
                "a line in the log")
    assert log[0].endswith("kachery-keeper process killed: stopped by SIGSTOP and not continued")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0 and is_running(other) is False and not desk.lease.exists()


def test_an_unreachable_gateway_is_told_and_the_daemon_goes_on(desk):
    _, uri = desk.link("file", DATA)
    daemon = desk.share(KACHERY_GATEWAY_URL="http://127.0.0.1:9")
    daemon.wait_line("cannot tell whether this client is registered")
    status = desk.proxy.status(uri)
    assert status["status"] == "error" and "127.0.0.1:9" in status["error"]
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}


def test_an_unregistered_client_is_told_what_to_run(desk):
    client, registered = desk.zone.clients.popitem()
    daemon = desk.share(intervals="registration_ms=20")
    line = daemon.wait_line("not registered")
    assert "in zone default" in line and "`kachery-resource register`" in line
    assert desk.proxy.status(f"sha1://{ABSENT}") == {"status": "not-found"}
    desk.zone.clients[client] = registered
    daemon.wait_line("is registered in zone default")
    assert "signature=" not in daemon.text() and "registerClient" not in daemon.text()


# ---- TLS ----

@pytest.fixture
def tls_front(desk, processes):
    """TLS before the proxy and the zone, by a root that only its file knows."""
    folder = desk.folder / "tls"
    folder.mkdir()
    root, _ = tls_servers.lab_root(desk.folder)
    leaf = certificates.server(root, names=("localhost",), **tls_servers.now())
    pair = tls_servers.write_pair(folder, "server", [leaf])
    return processes(tls_servers.Nginx(folder / "nginx", [tls_servers.proxying(*pair, desk.proxy.url),
                                                          tls_servers.proxying(*pair, desk.zone.url)]))


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_ca_file(desk, tls_front, scheme):
    """Beside the config, for the line to the proxy and for the workers."""
    _, uri = desk.link("file", DATA)
    gateway = f"https://localhost:{tls_front.ports[1]}"
    desk.write_config(proxyUrl=f"{scheme}://localhost:{tls_front.ports[0]}", caFile="root.pem")
    daemon = desk.share("-v", KACHERY_GATEWAY_URL=gateway, intervals="presence_first_ms=10")
    daemon.wait_line("is registered")
    assert desk.proxy.status(uri)["status"] == "completed"
    until(lambda: desk.proxy.posted, "a question at the HTTP side")


def test_without_the_ca_file_the_proxy_is_not_believed(desk, tls_front):
    desk.write_config(proxyUrl=f"https://localhost:{tls_front.ports[0]}")
    daemon = desk.share(wait=False, intervals=FAST)
    assert "lab root" in daemon.wait_line("trying again")
    assert desk.proxy.greetings == []


def test_a_ca_file_that_is_not_there(desk, tls_front):
    desk.write_config(proxyUrl=f"https://localhost:{tls_front.ports[0]}", caFile="gone.pem")
    daemon = desk.share(wait=False)
    assert daemon.wait() == 1
    assert str(desk.folder / "gone.pem") in daemon.text()
