"""register, the client's keys and the environment, against a zone that we did not write."""
import json
import os

import harness
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from harness import VECTORS, run, sha1
from zone_double import ABSENT, DATA, files_below, folder_of, text, written


def test_register_makes_keys_uses_the_link_and_prints_the_id(zone, store):
    folder, env = store
    zone.opens_registration = True
    done = run("register", "--label", "Lab Ä/1 &x", env={**env, "KACHERY_GATEWAY_URL": zone.url + "/"}, check=0)
    client = text(done.stdout).strip()
    key = load_pem_private_key((folder / "private.pem").read_bytes(), None)
    assert key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex() == client
    assert zone.clients[client]["label"] == "Lab Ä/1 &x"
    assert zone.visits[0]["zone"] == "default"
    assert len(zone.visits) == 1
    assert (folder / "private.pem").stat().st_mode & 0o777 == 0o600
    assert "registered, owner local, label Lab Ä/1 &x" in text(done.stderr)
    again = run("register", env={**env, "KACHERY_GATEWAY_URL": zone.url}, check=0)
    assert text(again.stdout).strip() == client
    assert len(zone.visits) == 1


def test_register_waits_until_the_user_has_opened_the_link(zone, store, processes):
    folder, env = store
    env = {**env, "KACHERY_GATEWAY_URL": zone.url, "KACHERY_ZONE": "lab"}
    waiting = processes(harness.Process("register", env=env))
    link = waiting.wait_line("/registerClient/")
    client = link.split("/registerClient/")[1].split("?")[0]
    assert f"&zone=lab&label={os.uname().nodename}" in link
    zone.clients[client] = {"clientId": client, "ownerId": "u", "timestampCreated": 1, "label": "l"}
    assert waiting.wait() == 0
    assert waiting.lines["out"] == [client]
    assert waiting.lines["err"][-1] == "registered, owner u, label l"


def test_register_no_wait_prints_link_and_id(zone, store):
    folder, env = store
    done = run("register", "--no-wait", env={**env, "KACHERY_GATEWAY_URL": zone.url}, check=0)
    client = text(done.stdout).strip()
    assert f"{zone.url}/registerClient/{client}?signature=" in text(done.stderr)


def test_register_with_keys_from_the_environment_writes_no_file(zone, store):
    folder, env = store
    keys = json.loads((VECTORS / "signatures.json").read_text())
    env = {**env, "KACHERY_GATEWAY_URL": zone.url, "KACHERY_CLOUD_CLIENT_ID": keys["clientId"],
           "KACHERY_CLOUD_PRIVATE_KEY": keys["privateKeyHex"]}
    done = run("register", "--no-wait", env=env, check=0)
    assert text(done.stdout).strip() == keys["clientId"]
    assert keys["signed"][0]["signature"] in text(done.stderr)
    assert keys["privateKeyHex"] not in text(done.stderr)
    assert not folder.exists()


def test_register_many_at_once_share_one_key_pair(zone, store, processes):
    folder, env = store
    zone.opens_registration = True
    env = {**env, "KACHERY_GATEWAY_URL": zone.url}
    all_of_them = [processes(harness.Process("register", env=env)) for _ in range(6)]
    assert [p.wait() for p in all_of_them] == [0] * 6
    assert len({p.lines["out"][0] for p in all_of_them}) == 1
    assert sorted(p.name for p in folder.iterdir()) == ["private.pem", "public.pem"]


def test_register_keeps_keys_that_it_cannot_read(zone, store):
    folder, env = store
    folder.mkdir()
    written(folder, "private.pem", b"-----BEGIN RSA-----\n")
    done = run("register", env={**env, "KACHERY_GATEWAY_URL": zone.url}, check=1)
    assert "private.pem: not an Ed25519 PRIVATE KEY" in text(done.stderr)
    assert (folder / "private.pem").read_bytes() == b"-----BEGIN RSA-----\n"


def test_keys_stay_in_the_normal_store_with_the_sandbox(zone, user, tmp_path):
    env = {**user, "KACHERY_CLOUD_USE_SANDBOX": "1", "KACHERY_CLOUD_SANDBOX_DIR": str(tmp_path / "sandbox")}
    path = written(tmp_path, "file", DATA)
    run("store", "--cache-locally", str(path), env=env, check=0)
    assert files_below(tmp_path / "sandbox") == [harness.object_path(tmp_path / "sandbox", sha1(DATA), kind)
                                                 for kind in ("manifests/sha1", "sha1")]
    assert files_below(folder_of(env)) == []


def test_gateway_down(store, tmp_path):
    folder, env = store
    env["KACHERY_GATEWAY_URL"] = f"http://127.0.0.1:{harness.free_port()}"
    done = run("load", f"sha1://{ABSENT}", env=env, check=1)
    assert "refused" in text(done.stderr) and env["KACHERY_GATEWAY_URL"] in text(done.stderr)
    done = run("register", env=env, check=1)
    assert "refused" in text(done.stderr)


@pytest.mark.parametrize("variable, value, status", [
    ("KACHERY_GATEWAY_URL", "gateway.example", 1), ("KACHERY_GATEWAY_URL", "ftp://x", 1),
    ("KACHERY_GATEWAY_URL", "http://x/?q=1", 1), ("KACHERY_ZONE", "no zone", 1), ("KACHERY_ZONE", "a/b", 1)])
def test_bad_environment_is_named(store, variable, value, status):
    folder, env = store
    done = run("info", f"sha1://{ABSENT}", env={**env, variable: value}, check=status)
    assert value in text(done.stderr)
