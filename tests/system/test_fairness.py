"""Nobody keeps everybody else out: connections, waiting places, memory, with lowered limits and real sockets. The clients'
addresses are those of 127.0.0.0/8."""
import contextlib
import json
import os
import socket
import threading
import time

import harness
import pytest
import websocket_peer
from our_proxy import (NAME, ask, asking, connect, greeted, hello, is_served, next_known, next_request, read_all, reply,
                       start)
from our_zone import Zone, new_client
from harness import resident_mib

HONEST = "127.0.0.9"
GET = b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"


def is_open(sock):
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(harness.DEADLINE_S)


def web_socket(server, source):
    sock = connect(server, source=source)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    assert b" 101 " in sock.recv(65536)
    return sock


def sent(text):
    def occupy(server, source):
        sock = connect(server, source=source)
        sock.sendall(text)
        return sock
    return occupy


CALL = b"POST /api/gateway HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
ASK = b"POST /r/x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"

# What somebody does who wants to keep others out.
OCCUPATIONS = {
    "nothing": lambda server, source: connect(server, source=source),
    "half a head": sent(b"GET /probe HTTP/1.1\r\nHo"),
    "half a body": sent(ASK),
    "half a body in a worker": sent(CALL + b"{"),
    "no body in a worker": sent(CALL),
    "between two requests": lambda server, source: kept_alive(server, source),
    "WebSockets without initialize": web_socket,
    "refused and not gone": sent(b"rubbish\r\n\r\n"),
}


def kept_alive(server, source):
    sock = connect(server, source=source)
    assert is_served(sock)
    return sock


@pytest.mark.parametrize("name", OCCUPATIONS)
def test_idle_connections_keep_nobody_out(processes, tmp_path, name):
    """Whatever two addresses do with their connections that is not waiting for an answer."""
    server = start(processes, tmp_path, "--max-connections", "40")
    daemon = greeted(server)
    with contextlib.ExitStack() as stack:
        waiting = stack.enter_context(ask(server, HONEST))
        request = next_request(daemon)
        crowd = [stack.enter_context(OCCUPATIONS[name](server, f"127.0.0.{2 + i % 2}")) for i in range(60)]
        for _ in range(5):
            with connect(server, source=HONEST) as sock:
                assert is_served(sock)
        assert crowd
        # Who is owed an answer, and the daemon, were never idle.
        reply(daemon, request)
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")
        again = stack.enter_context(ask(server, HONEST))
        reply(daemon, next_request(daemon))
        assert again.recv(65536).startswith(b"HTTP/1.1 200 ")
    daemon.sock.close()


def test_the_longest_idle_one_goes(processes, tmp_path):
    server = start(processes, tmp_path, "--max-connections", "4", verb="proxy")
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(4):
            socks.append(stack.enter_context(kept_alive(server, None)))
            time.sleep(0.01)
        assert is_served(socks[0])  # now the second is the oldest
        time.sleep(0.01)
        socks[2].sendall(GET[:10])  # half a head counts from its begin
        assert harness.http("GET", server.url + "/probe")[0] == 200
        for gone, left in ((1, (0, 2, 3)), (3, (0, 2)), (0, (2,)), (2, ())):
            fresh = stack.enter_context(kept_alive(server, None))
            if gone != 1:
                assert read_all(socks[gone]) == b""
            assert all(is_open(socks[i]) for i in left) and is_open(fresh)
            time.sleep(0.01)


def test_a_slow_head_does_not_stay_young(processes, tmp_path):
    """A byte now and then does not make a half-sent head younger."""
    server = start(processes, tmp_path, "--max-connections", "3", verb="proxy")
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(connect(server))
        slow.sendall(b"GET /pr")
        time.sleep(0.02)
        others = [stack.enter_context(kept_alive(server, None)) for _ in range(2)]
        slow.sendall(b"o")
        time.sleep(0.02)
        slow.sendall(b"b")
        time.sleep(0.02)
        fresh = stack.enter_context(connect(server))
        assert is_served(fresh)
        assert read_all(slow) == b""
        assert all(map(is_served, others))


def test_waiting_clients_of_two_addresses_keep_nobody_out(processes, tmp_path):
    """None is idle: then the address with more than its part loses its newest."""
    server = start(processes, tmp_path, "--max-connections", "21")
    daemon = greeted(server)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(ask(server, f"127.0.0.{2 + i % 2}")) for i in range(20)]
        requests = [next_request(daemon) for _ in crowd]
        # One of those who have them all hears that it has too many.
        above = stack.enter_context(connect(server, source="127.0.0.2"))
        assert b"503" in read_all(above)
        with ask(server, HONEST) as honest:
            reply(daemon, next_request(daemon))
            assert honest.recv(65536).startswith(b"HTTP/1.1 200 ")
        refused = [i for i, sock in enumerate(crowd) if sock is not None and ended(sock)]
        assert len(refused) == 1 and refused[0] >= 18, refused  # one of the two newest
        for i, request in enumerate(requests):
            if i not in refused:
                reply(daemon, request)
                assert crowd[i].recv(65536).startswith(b"HTTP/1.1 200 ")
    daemon.sock.close()


def dripping_uploads(zone, source):
    """Endless bodies: never idle, never at their end."""
    def start_one():
        path = zone.client.initiate(os.urandom(20).hex(), 1 << 30).split("/", 3)[3]
        sock = connect(zone.server, source=source)
        sock.sendall(f"PUT /{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        return sock
    return start_one, lambda sock: sock.send(b"x" * 64)


def sipped_downloads(zone, source):
    """Answers of which a little is taken again and again."""
    path = zone.client.find(zone.upload(os.urandom(1 << 20) * 16)).split("/", 3)[3]

    def start_one():
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.bind((source, 0))
        sock.connect(("127.0.0.1", zone.server.port))
        sock.sendall(f"GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        return sock
    return start_one, lambda sock: sock.recv(8192, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("transfers", [dripping_uploads, sipped_downloads])
def test_transfers_of_one_address_keep_nobody_out(processes, tmp_path, transfers):
    """They move, so that none is idle: the address with more than its part loses its newest."""
    zone = Zone(tmp_path, processes)
    zone.server.stop()
    zone.server = start(processes, tmp_path, "--max-connections", "24", "--data", zone.data)
    zone.client.url = zone.server.url
    start_one, move = transfers(zone, "127.0.0.2")
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(90):  # more than the places and those that may be above them for a moment
            with contextlib.suppress(OSError, AssertionError):
                crowd.append(stack.enter_context(start_one()))
        over = threading.Event()

        def keep_moving():
            while not over.wait(0.1):
                for sock in crowd:
                    with contextlib.suppress(OSError):
                        move(sock)
        mover = threading.Thread(target=keep_moving)
        mover.start()
        try:
            for _ in range(6):
                with connect(zone.server, source=HONEST) as honest:
                    assert is_served(honest)
                    time.sleep(0.2)
        finally:
            over.set()
            mover.join()


def test_uploads_count_for_their_users(processes, tmp_path):
    """Behind one address (NAT, say) are a user with many uploads and one with a single one, the newest: when it is full,
    somebody at another address costs the first an upload, not the second."""
    zone = Zone(tmp_path, processes, settings="allowPublicUpload: true\nauthorizedUsers: []\n")
    zone.server.stop()
    zone.server = start(processes, tmp_path, "--max-connections", "24", "--data", zone.data)
    zone.client.url = zone.server.url
    other, third = new_client(zone, tmp_path / "other"), new_client(zone, tmp_path / "third")
    for client in (other, third):
        zone.write(f"clients/{client.client_id}",
                   {"clientId": client.client_id, "ownerId": "p", "timestampCreated": 1, "label": "l"})

    def upload(client, source="127.0.0.2"):
        path = client.initiate(os.urandom(20).hex(), 1 << 30).split("/", 3)[3]
        sock = stack.enter_context(connect(zone.server, source=source))
        sock.sendall(f"PUT /{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        return sock

    def is_open(sock):
        with contextlib.suppress(OSError):
            sock.send(b"x" * 4096)
            sock.setblocking(False)
            try:
                return sock.recv(1) == b"never"
            except BlockingIOError:
                return True
            finally:
                sock.settimeout(harness.DEADLINE_S)
        return False

    with contextlib.ExitStack() as stack:
        for _ in range(90):  # more than the places and those that may be above them for a moment
            with contextlib.suppress(OSError, AssertionError):
                upload(zone.client)
        single = upload(other)
        harness.until(lambda: is_open(single), "the single upload goes on")
        for _ in range(8):  # all bring bytes, so that none is idle
            newcomer = upload(third, HONEST)
            harness.until(lambda sock=newcomer: is_open(sock), "the newcomer's upload goes on")
            assert is_open(single), "the single upload of the other user was ended"


def ended(sock):
    """Was it answered 503?"""
    sock.settimeout(0.1)
    try:
        return b" 503 " in sock.recv(65536)
    except TimeoutError:
        return False
    finally:
        sock.settimeout(harness.DEADLINE_S)


@pytest.mark.parametrize("options", [("--max-per-resource", "6"), ("--max-waiting", "6")])
@pytest.mark.parametrize("forwarded", [False, True])
def test_one_address_does_not_have_all_waiting_places(processes, tmp_path, options, forwarded):
    server = start(processes, tmp_path, *options, *(("--trusted-proxy", "127.0.0.1") if forwarded else ()))
    daemon = greeted(server)

    def asked(last):
        if forwarded:
            return ask(server, None, lines=b"X-Forwarded-For: 2001:db8::1:%d:%d\r\n" % (last, last))
        return ask(server, f"127.0.0.{last}")

    def asked_by_honest():
        return ask(server, None, lines=b"X-Forwarded-For: 2001:db8:0:5::1\r\n") if forwarded else ask(server, HONEST)

    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(asked(2 if not forwarded else 2 + i)) for i in range(6)]
        requests = [next_request(daemon) for _ in crowd]
        above = stack.enter_context(asked(2))
        assert b"503" in above.recv(65536)
        for _ in range(3):  # half of them
            stack.enter_context(asked_by_honest())
            requests.append(next_request(daemon))
        honest = stack.enter_context(asked_by_honest())
        assert b"503" in honest.recv(65536)
        assert [ended(sock) for sock in crowd] == [False] * 3 + [True] * 3
        for request in requests:
            reply(daemon, request)
        assert all(b" 200 " in sock.recv(65536) for sock in crowd[:3])
    daemon.sock.close()


def test_a_daemon_does_not_count_for_its_address(processes, tmp_path):
    """It counts by its name: a lab behind one address has many."""
    server = start(processes, tmp_path, "--max-per-address", "2")
    daemons = [greeted(server, f"res-{i}") for i in range(6)]
    with connect(server) as one, connect(server) as two, connect(server) as three:
        assert is_served(one) and is_served(two)
        assert b"from this address" in read_all(three)
    for daemon in daemons:
        daemon.sock.close()


def test_one_address_does_not_have_all_places_for_daemons(processes, tmp_path):
    """Whoever knows the secret: beyond its part, its newest makes room for the first ones of others."""
    server = start(processes, tmp_path, "--max-resources", "4")
    crowd = [greeted(server, f"crowd-{i}") for i in range(4)]

    def tried(source, name):
        peer = websocket_peer.connect(server.port, source=source)
        peer.sock.sendall(peer.frame(websocket_peer.TEXT, json.dumps(hello(name)).encode()))
        return peer, peer.receive()
    acknowledge = (websocket_peer.TEXT, b'{"type":"acknowledge"}')
    others = []
    for i, loser in enumerate((crowd[3], crowd[2])):
        peer, said = tried(HONEST, f"honest-{i}")
        others.append(peer)
        assert said == acknowledge
        opcode, payload = next_known(loser)
        assert (opcode, payload[:2]) == (websocket_peer.CLOSE, b"\x03\xf5") and b"from this address" in payload
        loser.sock.close()
    for source in (HONEST, "127.0.0.1"):  # both have their part
        refused, (opcode, payload) = tried(source, "more")
        assert (opcode, payload) == (websocket_peer.CLOSE, b"\x03\xf5too many resources, try again later")
        refused.sock.close()
    for peer, name in ((crowd[0], "crowd-0"), (crowd[1], "crowd-1"), (others[1], "honest-1")):
        with ask(server, None, name) as client:
            reply(peer, next_request(peer))
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert harness.http("POST", f"{server.url}/r/crowd-3", json.dumps(asking("crowd-3")).encode(),
                        {"Content-Type": "application/json"})[0] == 404
    for peer in (*crowd[:2], *others):
        peer.sock.close()


@pytest.mark.parametrize("timeout, want", [(86400000, 300000), (300001, 300000), (299999, 299999)])
def test_waiting_is_capped(processes, tmp_path, timeout, want):
    """T and t, silently."""
    server = start(processes, tmp_path, verb="proxy")
    daemon = greeted(server)
    body = {**asking(timeout=timeout)}
    body["request"]["timeoutMsec"] = timeout
    text = json.dumps(body).encode()
    with connect(server) as sock:
        sock.sendall(b"POST /r/%s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                     % (NAME.encode(), len(text), text))
        request = next_request(daemon)
        assert want - 100 <= request["timeoutMsec"] <= want
        assert want - 100 <= request["request"]["timeoutMsec"] <= want
        reply(daemon, request)
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    daemon.sock.close()



def test_clients_that_do_not_read(processes, tmp_path):
    """Each may leave a little unread, all together not more than 64 MiB; others are served meanwhile."""
    server = start(processes, tmp_path, "--max-connections", "2000")
    flood = GET.replace(b"/probe", b"/" + b"x" * 900) * 400
    with contextlib.ExitStack() as stack:
        for i in range(1200):
            sock = stack.enter_context(connect(server, source=f"127.0.0.{2 + i % 3}"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.settimeout(0.01)
            with contextlib.suppress(OSError):
                sock.sendall(flood)
        assert harness.http("GET", server.url + "/probe")[0] == 200
        assert harness.is_sanitized() or resident_mib(server.pid) < 90, resident_mib(server.pid)
