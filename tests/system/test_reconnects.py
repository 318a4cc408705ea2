"""Hundreds of lost lines between daemon and proxy: neither grows, and it works afterwards. tests/bench/reconnects.py does
the same ten thousand times."""
import json
import socket

import reconnects
import websocket_peer
from harness import Process


def test_a_daemon_that_is_lost_again_and_again_does_not_grow(user, tmp_path, processes):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = tmp_path / "kachery-resource.yaml"
        config.write_text(f"resourceName: {reconnects.NAME}\nproxySecret: s\nproxyUrl: http://localhost:{listener.getsockname()[1]}\n")
        config.chmod(0o600)
        daemon = processes(Process("share", "--config", config, env={
            **user, "KACHERY_RESOURCE_TEST_INTERVALS": reconnects.AT_ONCE}))
        reconnects.lose_daemon(listener, 4 * len(reconnects.WAYS))
        before = reconnects.size_of(daemon.pid)
        reconnects.lose_daemon(listener, 15 * len(reconnects.WAYS))
        assert reconnects.settled(daemon.pid, before, kib=64) == {}
        peer, _ = websocket_peer.accept(listener)
        peer.receive()
        peer.sock.sendall(reconnects.text({"type": "acknowledge"}) + reconnects.text(reconnects.REQUEST))
        answer = json.loads(peer.receive()[1])
        assert answer["response"]["status"] == {"status": "not-found"}
        peer.sock.close()


def test_a_hub_whose_daemons_come_and_go_does_not_grow(bare_hub):
    reconnects.leave_hub(bare_hub.port, 100, 1)
    before = reconnects.size_of(bare_hub.pid)
    reconnects.leave_hub(bare_hub.port, 300, 2)
    assert reconnects.settled(bare_hub.pid, before, kib=64) == {}
