"""The daemon as somebody finds it who did not write it: limits of the host, ends in bad company, wrong settings."""
import json
import os
import pathlib
import resource
import signal
import time

import pytest
from harness import Process, descendants, object_path, run, sha1, until
from zone_double import DATA, flip, folder_of, written


def cpu_s(pid):
    """The processor time that the process itself has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_bucket_that_refuses_without_reading(desk):
    """aiohttp never reads again from a connection on which it answered before it had read the body."""
    desk.zone.put_answer = (403, "<Error><Code>AccessDenied</Code></Error>")
    desk.zone.put_delay_s = 0.05  # all of the body is sent
    desk.share()
    for number in range(4):
        _, uri = desk.link(f"refused-{number}", os.urandom(200000))
        assert "AccessDenied" in desk.proxy.status(uri)["error"]
    desk.zone.put_answer = None
    _, uri = desk.link("file", DATA)
    assert desk.proxy.status(uri)["status"] == "completed"


def test_the_soft_cpu_limit_of_a_login_node(desk):
    """It would end the daemon, after weeks or after a busy hour, where the hard one lets it go on."""
    before = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (1000, before[1]))
    try:
        daemon = desk.share()
    finally:
        resource.setrlimit(resource.RLIMIT_CPU, before)
    limits = pathlib.Path(f"/proc/{daemon.pid}/limits").read_text()
    line = next(line for line in limits.splitlines() if line.startswith("Max cpu time"))
    soft, hard = line.split()[3:5]
    assert soft == hard


def test_the_end_costs_no_processor_time(desk):
    """Uploads are abandoned and the proxy does not say goodbye: that is waited for, not asked for in a circle."""
    _, uri = desk.link("file", DATA)
    desk.zone.holds_puts = True
    daemon = desk.share(intervals="stop_ms=100,close_ms=2000")
    desk.proxy.ask(uri)
    desk.uploading(sha1(DATA))
    desk.proxy.loop.call_soon_threadsafe(time.sleep, 2.5)
    before = cpu_s(daemon.pid)
    daemon.signal(signal.SIGTERM)
    used = [before]

    def has_ended():
        if daemon.process.poll() is not None:
            return True
        used.append(cpu_s(daemon.pid))
        return False
    until(has_ended, "the end")
    assert daemon.wait() == 0
    assert used[-1] - before < 0.5


@pytest.mark.parametrize("url", ["/no/scheme", "ftp://gateway.example", "ws://gateway.example"])
def test_a_gateway_url_that_cannot_be(desk, url):
    daemon = desk.share(wait=False, KACHERY_GATEWAY_URL=url)
    assert daemon.wait() == 1
    assert "KACHERY_GATEWAY_URL" in daemon.text() and url in daemon.text()
    assert not desk.lease.exists() and descendants(daemon.pid) == []


def test_a_full_disk_at_the_bucket_is_told_at_once(desk):
    """Not after minutes of attempts, in which the requester would see that it is running."""
    _, uri = desk.link("file", DATA)
    desk.zone.put_answer = (507, "<Error><Message>No space left on device</Message></Error>")
    desk.share(KACHERY_RESOURCE_TEST_PATIENCE="pause_min_ms=600000,pause_max_ms=600000")
    assert "No space left on device" in desk.proxy.status(uri)["error"]


@pytest.mark.parametrize("verb", ["link", "store-local"])
def test_what_to_ask_for_when_the_hash_is_wrong(desk, verb):
    """Of the right size, so that only reading it tells."""
    path = written(desk.folder, "file", DATA)
    run(verb, str(path), env=desk.env, check=0)
    flip(path if verb == "link" else object_path(folder_of(desk.env), sha1(DATA)), 5)
    desk.share()
    error = desk.proxy.status(f"sha1://{sha1(DATA)}")["error"]
    assert error.endswith(f"ask its owner to {verb.partition('-')[0]} it again") and "its SHA-1 is" not in error
    assert str(desk.folder) not in error
    assert str(desk.folder) in desk.daemon.wait_line("its SHA-1 is")  # the host's log has it all


TAKEN = (4009, "resource lab-resource is already connected")


def refused_by(desk):
    return json.loads(desk.status_file.read_text())["refusedBy"]


def test_cron_where_the_lease_of_the_other_host_is_not_seen(desk):
    """Only the proxy can tell then; it is asked again when cron starts it again."""
    desk.proxy.refuse = TAKEN
    daemon = desk.share("--cron", wait=False)
    assert daemon.wait() == 0
    line, = daemon.text().splitlines()
    assert "is already connected" in line and desk.proxy.url in line
    assert not (desk.lease / "owner").exists()
    assert "already connected" in json.loads(desk.status_file.read_text())["ending"]
    refusal = refused_by(desk)
    assert refusal["url"] == desk.proxy.url and refusal["code"] == 4009 and "is already connected" in refusal["reason"]
    assert abs(refusal["atMs"] / 1000 - time.time()) < 60
    log = desk.folder / "log"
    daemon = desk.share("--cron", "--log", str(log), wait=False)
    assert daemon.wait() == 0 and daemon.text() == ""
    assert [line for line in log.read_text().splitlines()] == [line for line in log.read_text().splitlines() if "is already" in line]
    assert len(log.read_text().splitlines()) == 1
    desk.proxy.refuse = None
    desk.share("--cron", intervals="status_ms=10")
    until(lambda: "refusedBy" not in json.loads(desk.status_file.read_text()), "a status of the new daemon")


@pytest.mark.parametrize("status, body", [(200, "{}"), (408, "{}"), (500, "no"), (503, "no"), (403, "no"), (400, '{"message": "x"}')])
def test_a_taker_asks_before_it_dials(desk, status, body):
    """A deployed proxy would drop the daemon that is connected when another one dials."""
    desk.proxy.post_answer = (status, body)
    daemon = desk.share("--cron", wait=False)
    assert daemon.wait() == 0 and len(daemon.text().splitlines()) == 1
    assert refused_by(desk)["code"] == status and not (desk.lease / "owner").exists()
    assert desk.proxy.greetings == [] and [path for path, _ in desk.proxy.posted] == [f"/r/{desk.proxy.name}"]
    daemon = desk.share(wait=False, intervals="retry_min_ms=10")
    daemon.wait_line("connected")
    until(lambda: len(desk.proxy.posted) >= 4, "further questions")
    assert desk.proxy.greetings == []
    desk.proxy.post_answer = None
    daemon.wait_line("acknowledged")


@pytest.mark.parametrize("status, body", [(405, "no"), (426, "no"), (501, "no"), (400, "Upgrade only to WebSocket")])
def test_a_server_that_takes_no_question_is_dialled(desk, status, body):
    desk.proxy.post_answer = (status, body)
    desk.share("--cron", intervals="presence_first_ms=600000")


def test_an_older_proxy_is_asked_in_its_own_words(desk):
    """Of the first generation: it has no /r/."""
    desk.proxy.generation = 1
    desk.proxy.api_answer = (200, '{"type": "responseToClient"}')
    daemon = desk.share("--cron", wait=False)
    assert daemon.wait() == 0 and desk.proxy.greetings == []
    assert [path for path, _ in desk.proxy.posted] == [f"/r/{desk.proxy.name}", "/api"]
    desk.proxy.api_answer = (200, "<html>a server that answers so to everything</html>")
    desk.share("--cron", intervals="retry_min_ms=10,presence_first_ms=600000")


def test_a_daemon_of_another_folder_is_not_disturbed(lab, processes, tmp_path):
    """Behind our own proxy: the second one never dials, and says which resource it leaves."""
    first = lab.share()
    other = tmp_path / "other"
    other.mkdir()
    config = other / "kachery-resource.yaml"
    config.write_text(lab.config.read_text())
    config.chmod(0o600)
    second = processes(Process("share", "--cron", "--config", config, env=lab.environment(lab.host_store)))
    assert second.wait() == 0
    assert f"resource {lab.name} is already connected" in second.text() and len(second.text().splitlines()) == 1
    assert not (other / "kachery-resource.lease/owner").exists() and "trying again" not in first.text()


def test_cron_stays_when_it_had_the_name(desk):
    daemon = desk.share("--cron", intervals="retry_min_ms=10")
    assert "sharing resource" in daemon.text()
    desk.proxy.refuse = TAKEN
    desk.proxy.stop()
    desk.proxy.start()
    daemon.wait_line("already connected")
    desk.proxy.refuse = None
    daemon.wait_line("acknowledged", 2)
