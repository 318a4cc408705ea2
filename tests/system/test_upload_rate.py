"""What a daemon may take of its host: the rate at which files leave it, measured at the receiver, and processor time."""
import datetime
import os
import threading
import time

import pytest
from harness import descendants, process_name, run, until
from range_sharing import Sharing, noise

MB = 1_000_000


def watch(count, seconds):
    """The bytes a second that `count` grows by, from 0.3 s behind its first byte on."""
    until(count, "the first bytes")
    time.sleep(0.3)
    start, before = time.monotonic(), count()
    time.sleep(seconds)
    return (count() - before) / (time.monotonic() - start)


def received(desk):
    return lambda: sum(len(put["bytes"]) for put in desk.zone.puts)


@pytest.mark.parametrize("rate", [2, 20])
def test_uploads_together_keep_the_rate(desk, rate):
    uris = [desk.link(f"file-{n}", noise(rate * MB, seed=n))[1] for n in range(2)]
    desk.write_config(maxUploadRate=f"{rate}MB")
    desk.share()
    waiting = [desk.proxy.ask(uri) for uri in uris]
    assert watch(received(desk), 0.8) == pytest.approx(rate * MB, rel=0.1)
    assert [len(put["bytes"]) for put in desk.zone.puts][0] == pytest.approx(len(desk.zone.puts[1]["bytes"]), rel=0.2)
    for answer in waiting:
        assert answer.status()["status"] == "completed"


def test_parts_and_uploads_together_keep_the_rate(lab):
    """A file that is read in parts and one that is uploaded to the hub's bucket."""
    rate = 4 * MB
    sharing = Sharing.__new__(Sharing)
    sharing.lab = lab
    lab.write_config()
    lab.config.write_text(lab.config.read_text() + "maxUploadRate: 4MB\n")
    sharing.daemon = lab.share()
    path = sharing.put("parts", noise(10 * MB, seed=1))
    (lab.folder / "whole").write_bytes(noise(10 * MB, seed=2))
    uri, = lab.link(lab.folder / "whole")
    connection = sharing.connect()
    connection.request("GET", path, headers={"Range": f"bytes=0-{10 * MB - 1}"})
    got = [0]

    def read():
        answer = connection.getresponse()
        while part := answer.read1(65536):
            got[0] += len(part)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    until(lambda: got[0], "the first part")
    asking = threading.Thread(target=run, args=("request", uri, "--timeout", "60"), daemon=True,
                              kwargs={"env": {**lab.remote, "KACHERY_RESOURCE_URL": f"{lab.url}/r/{lab.name}"}})
    asking.start()
    uploads = lab.data / ".hub" / "uploads"

    def in_bucket():
        return sum(file.stat().st_size for file in uploads.iterdir()) if uploads.exists() else 0
    until(in_bucket, "the first bytes of the upload")
    assert watch(lambda: got[0] + in_bucket(), 0.8) == pytest.approx(rate, rel=0.2)
    lab.stop()
    reader.join()
    asking.join()


def zone_where_it_is(hour):
    """A TZ in which it is that hour now."""
    ahead = (hour - datetime.datetime.now(datetime.timezone.utc).hour) % 24
    return f"TST-{ahead}"


def test_a_rule_holds_in_local_time(desk):
    _, uri = desk.link("file", noise(3 * MB))
    desk.write_config(maxUploadRateSchedule='["22:00-05:00 100kB"]')
    desk.share(TZ=zone_where_it_is(2))
    answer = desk.proxy.ask(uri)
    assert watch(received(desk), 0.7) == pytest.approx(100_000, rel=0.15)
    desk.daemon.stop()
    desk.zone.puts.clear()
    assert answer.status()["status"] == "error"
    desk.share(TZ=zone_where_it_is(12))
    begun = time.monotonic()
    assert desk.proxy.status(uri)["status"] == "completed"
    assert time.monotonic() - begun < 15, "30 s by that rule"


def test_a_bad_rule_is_refused(desk):
    desk.write_config(maxUploadRateSchedule='["Mon-Fri 08:00-18:00 10MB", "Sat 25:00-26:00 1MB"]')
    done = run("share", "--config", str(desk.config), env=desk.env, check=1)
    assert b'kachery-resource.yaml:6: maxUploadRateSchedule "Sat 25:00-26:00 1MB": want days, times' in done.stderr


def test_the_workers_niceness(desk):
    _, uri = desk.link("file", b"data")
    desk.write_config(workerNice=9)
    desk.share()
    assert desk.proxy.status(uri)["status"] == "completed"
    pid, = desk.worker("kachery-upload")
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 9
    assert os.getpriority(os.PRIO_PROCESS, desk.daemon.pid) == os.getpriority(os.PRIO_PROCESS, 0)


def test_a_lookup_worker_is_replaced(desk):
    desk.share(intervals="worker_cpu_ms=0")
    first, = desk.worker("kachery-lookup")
    assert desk.proxy.status("sha1://" + "0" * 40)["status"] == "not-found"
    assert desk.proxy.status("sha1://" + "1" * 40)["status"] == "not-found"
    until(lambda: first not in desk.worker("kachery-lookup"), "another lookup worker")
    assert "lookup" not in desk.daemon.text()


def test_a_range_worker_is_replaced(lab):
    sharing = Sharing.__new__(Sharing)
    sharing.lab = lab
    lab.write_config()
    sharing.daemon = lab.share(env={**lab.host, "KACHERY_RESOURCE_TEST_INTERVALS": "worker_cpu_ms=0"})
    data = noise(1 * MB)
    path = sharing.put("file", data)
    assert sharing.part(path, 0, 10) == data[:10]
    first = set(range_workers(sharing))
    until(lambda: not first & set(range_workers(sharing)), "the end of the worker")
    assert sharing.part(path, 500_000, 500_010) == data[500_000:500_010]
    assert "lines are opened again" not in sharing.daemon.text()


def range_workers(sharing):
    return [pid for pid in descendants(sharing.daemon.pid) if process_name(pid).endswith("ranges")]
