"""`doctor`: each broken set-up has its cause named by the right check, with the cure, in under 10 s, and nothing is left
behind."""
import contextlib
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import harness
import hung_storage
import isolation
import nfs_double
import proxy_double
import pytest
import store_files
import ward as wards
from http_proxies import Tinyproxy
from ward import expect, failing

unsanitized = pytest.mark.skipif(harness.is_sanitized(), reason="no such limit holds for it")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="wants root")


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """The servers of many hosts, all well."""
    made = wards.Ward(tmp_path_factory.mktemp("ward"))
    yield made
    made.stop()


@pytest.fixture
def host(ward, tmp_path):
    """A healthy host of the ward, for the test to break."""
    folder = tmp_path / "lab"
    folder.mkdir()
    made = wards.Host(ward, folder)
    yield made
    made.close()


CHECKS = ("config environment folder lease keys store links limits name-servers http-proxy tls gateway gateway-clock gateway-zone "
          "gateway-client gateway-upload upload-url proxy secret name reachable cron").split()


def test_healthy_host(host):
    lines = host.examine()
    assert list(lines) == CHECKS
    assert {check: line["level"] for check, line in lines.items() if line["level"] != "ok"} == {"cron": "warn"}
    assert f"KACHERY_GATEWAY_URL={host.ward.hub.url}" in lines["cron"]["cure"]
    assert host.name in lines["secret"]["detail"] and ".doctor-" in lines["secret"]["detail"]


def test_text_is_one_line_a_check(host):
    host.write()
    done = host.run()
    rows = [re.split(r" {2,}", line) for line in done.stdout.decode().splitlines()]
    assert [row[1] for row in rows] == CHECKS
    assert all(len(row) == (3 if row[0] == "ok" else 4) for row in rows)
    quiet = host.run("-q").stdout.decode().splitlines()
    assert [line.split()[:2] for line in quiet] == [["warn", "cron"]]


# ---- the config ----

def leave_out(key):
    def breaks(host):
        del host.config[key]
    return breaks


def change(**config):
    return lambda host: host.config.update(config)


def write(text, mode=0o600):
    def breaks(host):
        host.text, host.mode = text, mode
    return breaks


def chmod(mode):
    return write(None, mode)


def truncate(host):
    host.text = f"resourceName: {host.name}\nkacheryZone: default\nproxyUrl: {host.ward.hub.url}\nproxySec"


CONFIGS = {
    "missing": (write("none"), "FAIL", "there is no .*kachery-resource.yaml", "kachery-resource init"),
    "empty": (write(""), "FAIL", "is empty", "kachery-resource init"),
    "truncated": (truncate, "FAIL", "yaml:5", "copy of it back"),
    "binary": (write(bytes(range(256)) * 4), "FAIL", "NUL|UTF-16|line", "copy of it back|correct"),
    "too_large": (write("# x\n" * 40000), "FAIL", "65536|large", "copy of it back"),
    "of_windows": (write("resourceName: a\n".encode("utf-16")), "FAIL", "UTF-16", "copy of it back"),
    "bad_number": (change(maxConcurrentUploads="two"), "FAIL", 'maxConcurrentUploads "two"', "correct that line"),
    "bad_name": (change(resourceName="a b"), "FAIL", 'resourceName "a b"', "correct that line"),
    "bad_url": (change(proxyUrl="kachery.lab.example"), "FAIL", "kachery.lab.example", "correct that line"),
    "no_secret": (leave_out("proxySecret"), "FAIL", "proxySecret is missing", "kachery-resource init"),
    "no_name": (leave_out("resourceName"), "FAIL", "resourceName is missing", "kachery-resource init"),
    "misspelt_key": (change(caFiles="/x.pem"), "warn", "yaml:6: nobody reads the key caFiles: is caFile meant", "correct the key"),
    "key_in_small_letters": (change(maxconcurrentstreams=4), "warn", "maxconcurrentstreams: is maxConcurrentStreams meant", "correct the key"),
    "world_readable": (chmod(0o644), "FAIL", "0644: everybody can read", "chmod 600"),
    "group_readable": (chmod(0o640), "warn", "0640: its group can read", "chmod 600"),
    "world_writable": (chmod(0o602), "FAIL", "0602: everybody can replace", "chmod 600"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_broken_config(host, case):
    breaks, level, detail, cure = CONFIGS[case]
    breaks(host)
    expect(host.examine(), "config", level, detail, cure)


@root_only
def test_config_of_another_user(host):
    host.write()
    os.chown(host.path, 12345, -1)
    host.text = "none"
    expect(host.examine(), "config", "warn", "belongs to user 12345", "copy it")


# ---- variables ----

def variables(**env):
    return lambda host: host.env.update(env)


ENVIRONMENTS = {
    "zone_mismatch": (variables(KACHERY_ZONE="other"), "environment", "FAIL", 'KACHERY_ZONE is "other"', "unset KACHERY_ZONE"),
    "typo": (variables(KACHERY_GATEWAY_UR="x"), "environment", "warn", "KACHERY_GATEWAY_UR", "correct the variable's name"),
    "quotes": (variables(KACHERY_GATEWAY_URL='"http://127.0.0.1:1"'), "gateway", "FAIL", "KACHERY_GATEWAY_URL", "correct KACHERY_GATEWAY_URL"),
    "password_of_proxy": (variables(https_proxy="http://ann:pass-word@127.0.0.1:1"), "cron", "warn", "https_proxy",
                          r"https_proxy=\(its value\)"),
    "half_a_key": (variables(KACHERY_CLOUD_CLIENT_ID="ab" * 32), "keys", "FAIL", "KACHERY_CLOUD_PRIVATE_KEY", "unset both"),
    "socks": (variables(http_proxy="socks5://127.0.0.1:1080"), "http-proxy", "FAIL", "SOCKS", "correct the variable"),
    "no_such_proxy": (variables(http_proxy="http://proxy.invalid:3128"), "name-servers", "FAIL", r"proxy\.invalid", "proxy.invalid"),
    "closed_proxy": (variables(http_proxy="http://127.0.0.1:9"), "http-proxy", "FAIL", "HTTP proxy.*127.0.0.1:9", "no_proxy"),
    "no_gateway": (variables(KACHERY_GATEWAY_URL=""), "name-servers", "FAIL", r"kachery-gateway\.figurl\.org", "not set"),
}


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_broken_environment(host, case):
    breaks, check, level, detail, cure = ENVIRONMENTS[case]
    if case == "no_gateway" and has_internet():
        pytest.skip("the deployed gateway can be asked from here")
    breaks(host)
    lines = host.examine()
    expect(lines, check, level, detail, cure)
    assert "pass-word" not in json.dumps(lines)


def has_internet():
    done = subprocess.run(["getent", "hosts", "kachery-gateway.figurl.org"], stdout=subprocess.DEVNULL, timeout=60)
    return done.returncode == 0


# ---- the folder ----

@contextlib.contextmanager
def mounted(folder, options):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], stderr=subprocess.PIPE)
    if done.returncode != 0:
        pytest.skip(f"no tmpfs: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@root_only
@pytest.mark.parametrize("case", ["full", "read_only", "no_more_files"])
def test_folder_that_takes_nothing(host, case):
    options = {"full": "size=64k", "read_only": "size=1m", "no_more_files": "size=1m,nr_inodes=2"}[case]
    with mounted(host.folder, options):
        host.write()
        host.text = "none"
        if case == "full":
            with contextlib.suppress(OSError), open(host.folder / "rest", "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        if case == "read_only":
            subprocess.run(["mount", "-o", "remount,ro", host.folder], check=True)
        words = {"read_only": "[Rr]ead-only"}.get(case, "No space left")
        expect(host.examine(), "folder", "FAIL", words, "df -h")


def test_clock_of_the_file_server(host, fault_board):
    """This host's is wrong by as much: it cannot be told which."""
    host.write()
    for wall_s, words in ((100, r"1\d\d s behind this host's clock"), (-100, r"(99|\d\d) s ahead of this host's clock")):
        fault_board.jump(wall_s=wall_s)
        done = subprocess.run([*fault_board.program, "doctor", "--json", "--config", host.path], stdout=subprocess.PIPE,
                              env={**host.env, **fault_board.env}, timeout=60)
        expect({line["check"]: line for line in json.loads(done.stdout)}, "folder", "warn", words, "NTP")


def test_folder_open_to_everybody(host):
    host.folder.chmod(0o777)
    expect(host.examine(), "folder", "warn", "0777: everybody can write", "chmod o-w")


# ---- keys and store ----

def remove_keys(host):
    store = host.own_store()
    (store / "private.pem").unlink()
    (store / "public.pem").unlink()


def on_key(change_it, name="private.pem"):
    def breaks(host):
        change_it(host.own_store() / name)
    return breaks


def other_public_key(path):
    other = "MCowBQYDK2VwAyEA" + "A" * 43 + "="
    path.write_text(f"-----BEGIN PUBLIC KEY-----\n{other}\n-----END PUBLIC KEY-----\n")


KEYS = {
    "missing": (remove_keys, "no client keys in", "kachery-resource register"),
    "private_missing": (on_key(lambda path: path.unlink()), "no private.pem", "copy"),
    "corrupt": (on_key(lambda path: path.write_text("-----BEGIN")), "not an Ed25519", "copy"),
    "not_a_pair": (on_key(other_public_key, "public.pem"), "does not belong", "copy"),
    "world_readable": (on_key(lambda path: path.chmod(0o644)), "0644: others can read", "chmod 600"),
}


@pytest.mark.parametrize("case", KEYS)
def test_broken_keys(host, case):
    breaks, detail, cure = KEYS[case]
    breaks(host)
    expect(host.examine(), "keys", "FAIL", detail, cure)


def test_store_that_is_not_there(host):
    host.env["KACHERY_CLOUD_DIR"] = str(host.folder.parent / "nothing")
    lines = host.examine()
    assert failing(lines) == {"store", "keys"}
    assert "there is no store" in lines["store"]["detail"] and "KACHERY_CLOUD_DIR" in lines["store"]["cure"]


@root_only
def test_store_that_cannot_be_written(host):
    store = host.own_store()
    subprocess.run(["mount", "--bind", store, store], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", store], check=True)
        expect(host.examine(), "store", "warn", "cannot be written: Read-only", "mount it")
    finally:
        subprocess.run(["umount", "-l", store], check=True)


def test_store_open_to_everybody(host):
    host.own_store().chmod(0o777)
    expect(host.examine(), "store", "warn", "0777: everybody can write", "chmod o-w")


def linked(host, name, data=b"some data"):
    path = host.folder.parent / name
    path.write_bytes(data)
    harness.run("link", str(path), env=host.env, check=0)
    return path


@pytest.mark.parametrize("case", ["changed", "gone", "without_manifest", "none"])
def test_links_that_are_not_as_they_were(host, case):
    host.own_store()
    if case == "none":
        (host.folder.parent / "recording.dat").unlink(missing_ok=True)
        for entry in ("linked_files", "manifests"):
            subprocess.run(["rm", "-r", host.store / entry], check=True)
        expect(host.examine(), "links", "warn", "no file is shared", "kachery-resource link")
        return
    path = linked(host, "a.dat", os.urandom(300000))
    if case == "changed":
        path.write_bytes(b"other data")
    elif case == "gone":
        path.unlink()
    else:
        for manifest in (host.store / "manifests").rglob(harness.sha1(path.read_bytes())):
            manifest.unlink()
    words = {"changed": "of 2 shared files: 1 changed since; the first is .*a.dat", "gone": "1 gone; the first is .*a.dat",
             "without_manifest": "1 without manifest"}[case]
    expect(host.examine(), "links", "warn", words, "link")


# ---- limits ----

def limited(host, **limits):
    """doctor under such limits."""
    def apply():
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    host.write()
    done = subprocess.run([harness.BINARY, "doctor", "--json", "--config", host.path], env=host.env, preexec_fn=apply,
                          stdout=subprocess.PIPE, timeout=60)
    return {line["check"]: line for line in json.loads(done.stdout)}


def test_largest_file_takes_more_processor_time_than_is_allowed(host):
    host.own_store()
    path = host.folder.parent / "huge.dat"
    with open(path, "wb") as file:
        file.truncate(1 << 42)
    digest = "12" * 20
    record = harness.object_path(host.store, digest, "linked_files/sha1")
    store_files.put(str(record), store_files.python_record(str(path), digest).encode())
    (host.store / "manifests").chmod(0o755)
    expect(limited(host, CPU=30), "limits", "FAIL", r"30 s of processor time.*huge\.dat", "ulimit -t")


@pytest.mark.parametrize("limits, level, words, cure", [
    ({"CPU": 30}, "warn", "30 s of processor time", "ulimit -t"),
    ({"NOFILE": 100}, "warn", "100 files", "ulimit -n"),
    ({"FSIZE": 100000}, "warn", "100 kB", "ulimit -f"),
    pytest.param({"AS": 200 << 20}, "warn", "200 MiB of address space", "ulimit -v", marks=unsanitized),
    pytest.param({"AS": 60 << 20}, "FAIL", "60 MiB of address space", "ulimit -v", marks=unsanitized),
    pytest.param({"STACK": 200 << 10}, "FAIL", "200 KiB here", "ulimit -s", marks=unsanitized),
], ids=["processor", "files", "size_of_files", "memory", "little_memory", "stack"])
def test_limits_of_the_host(host, limits, level, words, cure):
    expect(limited(host, **limits), "limits", level, words, cure)


@root_only
def test_host_that_allows_no_more_processes(host, tmp_path):
    """For a user whose processes are counted; root's are not."""
    program = tmp_path / "kachery-resource"
    shutil.copy(harness.BINARY, program)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o001)

    def apply():
        os.setgroups([])
        os.setgid(65534)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        os.setuid(65534)
    done = subprocess.run([program, "doctor", "--json", "--config", host.path], env=host.env, preexec_fn=apply, cwd="/",
                          stdout=subprocess.PIPE, timeout=60)
    lines = json.loads(done.stdout)
    assert done.returncode == 1 and lines[0]["level"] == "FAIL"
    assert "cannot start" in lines[0]["detail"] and "ulimit -u" in lines[0]["cure"], lines[0]


# ---- addresses, certificates ----

def gateway_at(url, **more):
    return lambda host: host.env.update(KACHERY_GATEWAY_URL=url, **more)


def proxy_at(url):
    return lambda host: host.config.update(proxyUrl=url)


def with_scheme(of):
    """The TLS port, asked without TLS."""
    def breaks(host):
        host.by_tls("good")
        plain = host.ward.tls["good"].replace("https", "http")
        if of == "gateway":
            host.env["KACHERY_GATEWAY_URL"] = plain
        else:
            host.config["proxyUrl"] = plain
    return breaks


def with_tls_where_there_is_none(host):
    host.ward.start_tls()
    host.env.update(KACHERY_GATEWAY_URL=host.ward.hub.url.replace("http", "https"), SSL_CERT_FILE=str(host.ward.bundle))


def certificate(kind):
    return lambda host: host.by_tls(kind)


def roots(value):
    def breaks(host):
        host.by_tls("good")
        host.env["SSL_CERT_FILE"] = value(host) if callable(value) else value
    return breaks


def no_roots(host):
    (host.folder / "empty.pem").write_text("nothing\n")
    return str(host.folder / "empty.pem")


def other_root(host):
    import certificates
    import tls_servers
    (host.folder / "other.pem").write_text(certificates.root("another root", **tls_servers.now()).pem())
    return str(host.folder / "other.pem")


def missing_ca_file(host):
    host.by_tls("good")
    del host.env["SSL_CERT_FILE"]
    host.config["caFile"] = "lab.pem"


ADDRESSES = {
    "gateway_port": (gateway_at("http://127.0.0.1:9"), "gateway", "127.0.0.1:9.*refused", "port in KACHERY_GATEWAY_URL"),
    "proxy_port": (proxy_at("http://127.0.0.1:9"), "proxy", "127.0.0.1:9.*refused", "port in proxyUrl"),
    "gateway_name": (gateway_at("http://hub.invalid:80"), "name-servers", r"gateway: .*hub\.invalid.*(name server|resolv)", "KACHERY_GATEWAY_URL"),
    "proxy_name": (proxy_at("http://hub.invalid:80"), "name-servers", r"proxy: .*hub\.invalid", "proxyUrl"),
    "ipv6_alone": (gateway_at("http://[::1]:9"), "gateway", r"\[::1\]:9", "IPv6"),
    "http_for_https": (with_scheme("gateway"), "gateway", "400|TLS|https", "KACHERY_GATEWAY_URL"),
    "ws_for_wss": (with_scheme("proxy"), "proxy", "400|TLS|https", "proxyUrl"),
    "https_for_http": (with_tls_where_there_is_none, "tls", "http port", "write http://"),
    "not_a_gateway_url": (gateway_at("ftp://hub.example"), "gateway", "ftp://hub.example", "correct KACHERY_GATEWAY_URL"),
    "expired": (certificate("expired"), "tls", "expired since", "renew its certificate"),
    "early": (certificate("early"), "tls", "not yet valid", "clock"),
    "other_host": (certificate("other"), "tls", "not for localhost but for hub.other.example", "host name that the certificate names"),
    "tls_1.3_alone": (certificate("modern"), "tls", "alert 70|TLS 1.2", "TLS 1.2"),
    "unknown_root": (roots(other_root), "tls", "not among the trusted roots", "caFile.*SSL_CERT_FILE"),
    "no_roots": (roots(no_roots), "tls", "no PEM certificate", "SSL_CERT_FILE"),
    "no_such_roots": (roots("/no/such.pem"), "tls", "/no/such.pem", "SSL_CERT_FILE"),
    "no_ca_file": (missing_ca_file, "tls", "caFile: .*lab.pem", "caFile"),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_server_that_is_not_reached(host, case):
    breaks, check, detail, cure = ADDRESSES[case]
    breaks(host)
    expect(host.examine(), check, "FAIL", detail, cure)


def test_certificate_and_its_roots_are_shown(host):
    host.by_tls("good")
    lines = host.examine()
    assert lines["tls"]["level"] == "ok" and "1 root of SSL_CERT_FILE" in lines["tls"]["detail"]
    assert lines["upload-url"]["level"] == "ok" and "(https)" in lines["upload-url"]["detail"]
    host.by_tls("soon")
    expect(host.examine(), "tls", "warn", r"expires \d{4}-\d\d-\d\d .* in [23] d", "renew")
    host.by_tls("unknowing")
    expect(host.examine(), "upload-url", "warn", "gives http:// URLs of itself", "--public-url")


@pytest.mark.skipif(isolation.why_not() is not None, reason=str(isolation.why_not()))
def test_name_servers_that_are_silent_and_names_with_ipv6_alone(tmp_path):
    def rule(name, kind):
        return "silence" if name == "kachery.lab.example" else ["fd00::1"] if kind == "AAAA" else []

    @isolation.isolated
    def alone():
        made = wards.Ward(tmp_path)
        try:
            (tmp_path / "lab").mkdir()
            host = wards.Host(made, tmp_path / "lab")
            isolation.write_etc(tmp_path, "resolv.conf", "nameserver 127.0.0.1\n")
            isolation.NameServer(rule)
            host.env["KACHERY_GATEWAY_URL"] = "http://kachery.lab.example"
            expect(host.examine(), "name-servers", "FAIL", "do not answer.*127.0.0.1", "resolv.conf")
            host.env["KACHERY_GATEWAY_URL"] = "http://six.lab.example"
            expect(host.examine(), "gateway", "FAIL", "six.lab.example.*unreachable", "IPv6 addresses alone: does this host have IPv6")
        finally:
            made.stop()
    alone()


# ---- servers that are not what they should be ----

REFUSED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\nOops"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: http://login.campus.example/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
ODD_SERVERS = {
    "log_in_page": (wards.page(), "log-in", "log in to this network"),
    "led_away": (MOVED, "login.campus.example", "log in to this network"),
    "web_site": (wards.page(b"404 Not Found"), "404", "correct"),
    "error": (REFUSED, "500|WebSocket", "ask those who run|correct"),
    "no_http": (b"SSH-2.0-OpenSSH_9.2\r\n", "HTTP|malformed", "correct"),
}


@pytest.mark.parametrize("of", ["gateway", "proxy"])
@pytest.mark.parametrize("case", ODD_SERVERS)
def test_server_that_is_another_one(host, case, of):
    data, detail, cure = ODD_SERVERS[case]
    server = host.keep(wards.answering(data))
    (gateway_at if of == "gateway" else proxy_at)(f"http://127.0.0.1:{server.port}")(host)
    expect(host.examine(), of, "FAIL", detail, cure)


@pytest.mark.parametrize("of", ["gateway", "proxy"])
def test_server_that_says_nothing(host, of):
    server = host.keep(wards.silent())
    (gateway_at if of == "gateway" else proxy_at)(f"http://127.0.0.1:{server.port}")(host)
    expect(host.examine(), of, "FAIL", "no answer .*within 0.8 s|no answer .*within 1 s", "correct|ask")


# ---- the zone ----

@pytest.fixture
def foreign(host, zone):
    """The host with a zone that is not ours, in which its keys are registered."""
    host.env["KACHERY_GATEWAY_URL"] = zone.url
    zone.opens_registration = True
    harness.run("register", "--label", "test", env=host.env, check=0)
    return host


def test_zone_that_is_not_there(host):
    host.config["kacheryZone"] = "elsewhere"
    expect(host.examine(), "gateway-zone", "FAIL", '"elsewhere"', "kacheryZone")


def test_client_that_is_not_registered(host):
    host.own_store()
    for name in ("private.pem", "public.pem"):
        (host.store / name).unlink()
    harness.run("register", "--no-wait", env={
        **host.env, "KACHERY_GATEWAY_URL": "http://127.0.0.1:9", "KACHERY_RESOURCE_TEST_PATIENCE": "asking_ms=0"})
    expect(host.examine(), "gateway-client", "FAIL", "is not registered in zone default", "kachery-resource register")


def test_client_that_may_not_upload(host, our_zone):
    our_zone.write("settings/authorizationSettings.yaml", "allowPublicUpload: false\nauthorizedUsers: []\n")
    host.own_store()
    (host.store / "public.pem").unlink()
    (host.store / "private.pem").write_bytes((our_zone.keys / "private.pem").read_bytes())
    host.env["KACHERY_GATEWAY_URL"] = our_zone.server.url
    expect(host.examine(), "gateway-upload", "FAIL", "not authorized", "administrator")


@pytest.mark.parametrize("seconds, level", [(300, "warn"), (-300, "warn"), (3 * 86400, "FAIL")])
def test_clocks_that_differ(foreign, zone, seconds, level):
    zone.now = lambda: time.time() + seconds
    lines = foreign.examine()
    assert lines["gateway-clock"]["level"] == level
    assert re.search(rf"{'-' if seconds < 0 else '[+]'}\d+ s from", lines["gateway-clock"]["detail"])
    assert "set this host's clock" in lines["gateway-clock"]["cure"]
    assert failing(lines) <= {"gateway-clock"}


@pytest.mark.parametrize("case", ["closed", "bad_certificate", "no_such_name"])
def test_bucket_that_is_not_reached(foreign, zone, case):
    foreign.ward.start_tls()
    zone.bucket_url = {"closed": "http://127.0.0.1:9/bucket", "bad_certificate": foreign.ward.tls["expired"] + "/bucket",
                       "no_such_name": "https://bucket.invalid/b"}[case]
    foreign.env["SSL_CERT_FILE"] = str(foreign.ward.bundle)
    words = {"closed": "127.0.0.1:9.*refused", "bad_certificate": "expired since", "no_such_name": "bucket.invalid"}[case]
    lines = foreign.examine()
    expect(lines, "upload-url", "FAIL", words, "bucket|upload URL")
    assert "secret-of-put" not in json.dumps(lines)


def test_bucket_that_the_http_proxy_does_not_reach(foreign, zone, tmp_path):
    zone.bucket_url = "http://bucket.invalid/b"
    foreign.env.update(http_proxy=foreign.keep(Tinyproxy(tmp_path / "tinyproxy")).url(), no_proxy="127.0.0.1")
    expect(foreign.examine(), "upload-url", "FAIL", "bucket.invalid/: HTTP proxy .* answered", "no_proxy")


def test_nothing_is_uploaded(foreign, zone):
    lines = foreign.examine()
    assert failing(lines) == set()
    assert zone.puts == [] and zone.objects == {}
    assert "finalizeFileUpload" not in {payload["type"] for payload in zone.payloads}


# ---- the proxy ----

def test_wrong_secret(host):
    host.config["proxySecret"] = "not the secret"
    lines = host.examine()
    expect(lines, "secret", "FAIL", "wrong secret", "--proxy-secret-file")
    assert "not the secret" not in json.dumps(lines)


@pytest.fixture
def deployed_kind(host):
    """A proxy of the deployed kind, which knows no name but that of doctor's throw-away ones."""
    class Double(proxy_double.ProxyDouble):
        async def _greet(self, socket):
            message = json.loads((await socket.receive()).data)
            self.greetings.append(message["resourceName"])
            if self.refuse or message["proxySecret"] != self.secret:
                await self._hang_up(socket)
            elif not self.is_mute:
                await socket.send_json({"type": "acknowledge"})
                await socket.receive()

        async def _post(self, request):
            from aiohttp import web
            return web.json_response({"message": f"resource not found: {host.name}"}, status=404)
    double = Double()
    host.config["proxyUrl"] = double.url
    yield double
    double.end()


def test_deployed_proxy(host, deployed_kind):
    lines = host.examine()
    assert failing(lines) == set()
    assert "deployed kind" in lines["proxy"]["detail"] and "free" in lines["name"]["detail"]
    assert [re.fullmatch(rf"{host.name}\.doctor-[0-9a-f]{{8}}", name) is not None for name in deployed_kind.greetings] == [True]


def test_deployed_proxy_that_does_not_take_the_secret(host, deployed_kind):
    deployed_kind.refuse = True
    expect(host.examine(), "secret", "FAIL", "without an acknowledge", "--proxy-secret-file")


def test_proxy_that_does_not_acknowledge(host, deployed_kind):
    deployed_kind.is_mute = True

    async def hold(socket):
        await socket.receive()
        await socket.receive()
    deployed_kind._greet = hold
    expect(host.examine(), "secret", "FAIL", "says nothing", "ask those who run the proxy")


# ---- other daemons ----

def share(host, folder, config, processes, **env):
    """A daemon with that config, in that folder."""
    folder.mkdir(exist_ok=True)
    path = folder / "kachery-resource.yaml"
    path.write_text("".join(f"{k}: {v}\n" for k, v in config.items()))
    path.chmod(0o600)
    daemon = processes(harness.Process("share", "--config", str(path), env={**host.env, **env}))
    daemon.wait_line("acknowledged")
    return daemon


def test_daemon_of_this_folder_is_not_disturbed(host, processes):
    daemon = share(host, host.folder, host.config, processes)
    lines = host.examine()
    assert failing(lines) == set()
    assert str(daemon.pid) in lines["lease"]["detail"] and str(daemon.pid) in lines["name"]["detail"]
    assert f"/r/{host.name} answers" in lines["reachable"]["detail"]
    assert lines["cron"]["level"] == "ok" and str(daemon.pid) in lines["cron"]["detail"]
    assert "warn" not in daemon.text()


def test_daemon_that_lacks_a_variable(host, processes):
    daemon = share(host, host.folder, host.config, processes, SSL_CERT_FILE="")
    host.by_tls("good")
    host.config["proxyUrl"] = host.ward.hub.url
    host.env["NO_PROXY"] = "elsewhere.example"
    expect(host.examine(), "cron", "warn", rf"process {daemon.pid}\) has not.* KACHERY_GATEWAY_URL, NO_PROXY, SSL_CERT_FILE", "crontab")


def test_daemon_with_variables_that_this_shell_lacks(host, processes):
    """The keys are not found, as the store is another: the cause is named above. No secret is shown."""
    daemon = share(host, host.folder, host.config, processes, https_proxy="http://me:hidden@127.0.0.1:9")
    here = host.env.pop("KACHERY_CLOUD_DIR")
    host.env["HOME"] = str(host.folder)
    lines = host.examine()
    line = lines["environment"]
    assert line["level"] == "warn" and line["detail"].endswith(": KACHERY_CLOUD_DIR, https_proxy"), line
    assert f"process {daemon.pid}) has variables that this shell lacks" in line["detail"]
    assert line["cure"].endswith(f" KACHERY_CLOUD_DIR={here} https_proxy=(its value)"), line
    assert lines["keys"]["level"] == "FAIL" and "hidden" not in str(lines)


def test_daemon_elsewhere_has_the_name(host, processes):
    share(host, host.folder.parent / "elsewhere", host.config, processes)
    expect(host.examine(), "name", "FAIL", f"not of this folder, is connected as {host.name}", "init --name")


@pytest.mark.parametrize("what", ["a file", pytest.param("not writable", marks=root_only)])
def test_lease_folder_that_no_daemon_can_use(host, what):
    lease = host.folder / "kachery-resource.lease"
    if what == "a file":
        lease.write_text("")
        expect(host.examine(), "lease", "FAIL", f"{lease} is no folder", f"mv {lease} ")
        return
    lease.mkdir(0o555)
    host.write()
    host.folder.chmod(0o777)
    for folder in (host.path, *host.folder.parents[:4]):
        folder.chmod(folder.stat().st_mode | 0o005)
    done = subprocess.run([harness.BINARY, "doctor", "--json", "--config", host.path], env=host.env, stdout=subprocess.PIPE,
                          user=65534, group=65534, extra_groups=[], timeout=60)
    line = next(line for line in json.loads(done.stdout) if line["check"] == "lease")
    assert line["level"] == "FAIL" and f"{lease} cannot be written: Permission denied" in line["detail"]


def test_status_file_that_is_a_folder(host):
    (host.folder / "kachery-resource.status.json").mkdir()
    expect(host.examine(), "folder", "warn", "status.json is a folder", "mv ")


def test_another_resource_is_shared_from_this_folder(host, processes):
    share(host, host.folder, {**host.config, "resourceName": host.name + "-2"}, processes)
    host.path = host.folder / "second.yaml"
    lines = host.examine()
    assert lines["lease"]["level"] == "FAIL" and f"{host.name}-2, is shared from this folder" in lines["lease"]["detail"]
    assert "folder of its own" in lines["lease"]["cure"]


def test_daemon_that_was_killed(host, processes):
    daemon = share(host, host.folder, host.config, processes)
    os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()
    lines = host.examine()
    assert lines["lease"]["level"] == "warn" and "has died" in lines["lease"]["detail"]
    assert "start it again" in lines["lease"]["cure"]


def test_daemon_that_is_stopped(host, processes):
    daemon = share(host, host.folder, host.config, processes)
    daemon.signal(signal.SIGSTOP)
    expect(host.examine(), "reachable", "FAIL", f"/r/{host.name} does not answer", "see the log of `share`")


def test_lease_of_another_host(host):
    """Renewed just now by its host's clock, and long ago."""
    host.env["KACHERY_RESOURCE_TEST_INTERVALS"] = "lease_look_ms=50"
    lease = host.folder / "kachery-resource.lease"
    lease.mkdir()
    for ago_s, level, words in ((5, "ok", r"login2 \(process 4711\)"), (86400, "warn", r"login2 \(process 4711\) .* last renewal is 864\d\d s old")):
        record = {"resource": host.name, "host": "login2", "pid": 4711, "pidStarted": 1, "boot": "b", "pidNamespace": "p",
                  "timeNamespace": "t", "token": "ab" * 16, "sinceMs": 1, "counter": 7,
                  "renewedMs": int(1000 * (time.time() - ago_s)), "renewedBootMs": 1}
        (lease / "owner").write_text(json.dumps(record).ljust(1023) + "\n")
        line = host.examine()["lease"]
        assert line["level"] == level and re.search(words, line["detail"]), line


def test_daemon_that_the_proxy_does_not_know(host, processes, our_proxy):
    share(host, host.folder, {**host.config, "proxyUrl": our_proxy.url}, processes)
    expect(host.examine(), "reachable", "FAIL", f"does not know {host.name}", "see the log of `share`")


# ---- HTTP proxies ----

@pytest.fixture
def tinyproxy_with_password(host, tmp_path):
    """An HTTP proxy that is not ours and wants a password."""
    return host.keep(Tinyproxy(tmp_path / "tinyproxy", "BasicAuth ann right"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wrong_password_for_the_http_proxy(host, tinyproxy_with_password, scheme):
    if scheme == "https":
        host.by_tls("good")
    host.env[f"{scheme}_proxy"] = tinyproxy_with_password.url("ann:wrong-one@")
    lines = host.examine()
    expect(lines, "http-proxy", "FAIL", "407|401", "password")
    assert "wrong-one" not in json.dumps(lines)
    host.env[f"{scheme}_proxy"] = tinyproxy_with_password.url("ann:right@")
    lines = host.examine()
    assert failing(lines) == set() and "through 127.0.0.1" in lines["http-proxy"]["detail"]


def test_http_proxy_that_refuses_tunnels(host, tmp_path):
    proxy = host.keep(Tinyproxy(tmp_path / "tinyproxy", "ConnectPort 563"))
    host.env["http_proxy"] = proxy.url()
    expect(host.examine(), "http-proxy", "FAIL", "proxy: HTTP proxy .* refuses a connection to", "no_proxy")
    host.env["no_proxy"] = "127.0.0.1"
    assert failing(host.examine()) == set()


def test_http_proxy_that_says_nothing(host):
    server = host.keep(wards.silent())
    host.by_tls("good")
    host.env["https_proxy"] = f"http://127.0.0.1:{server.port}"
    expect(host.examine(), "http-proxy", "FAIL", "no answer within", "no_proxy")


def test_http_proxy_that_answers_a_page(host):
    server = host.keep(wards.answering(wards.page()))
    host.by_tls("good")
    host.env["https_proxy"] = f"http://127.0.0.1:{server.port}"
    expect(host.examine(), "http-proxy", "FAIL", "log-in", "no_proxy|HTTP proxy")


# ---- storage that does not answer ----

@pytest.fixture
def file_server(tmp_path):
    """A file server whose one client fails and hangs as a test says."""
    (tmp_path / "nfs").mkdir()
    with nfs_double.mounted(tmp_path / "nfs", clients=1) as made:
        yield made
        made.clear(0)


@pytest.mark.parametrize("number, words", [(errno.EDQUOT, "quota"), (errno.ENOSPC, "No space left"), (errno.EIO, "dmesg"), (errno.EACCES, "Permission denied")],
                         ids=["quota", "full", "broken", "not_allowed"])
def test_folder_of_a_file_server_that_takes_nothing(host, file_server, number, words):
    host.folder = file_server.clients[0]
    host.path = host.folder / "kachery-resource.yaml"
    host.write()
    host.text = "none"
    file_server.fail(0, number, "create" if number == errno.EACCES else "write", path="doctor")
    expect(host.examine(), "folder", "FAIL", f"cannot be written: .*{words}", "df -h .*quota -s")


def test_file_whose_storage_hangs(host, file_server):
    """Of the store, only the look at the links is lost."""
    host.own_store()
    path = file_server.clients[0] / "recording.dat"
    path.write_bytes(b"some data")
    harness.run("link", str(path), env=host.env, check=0)
    host.env["KACHERY_RESOURCE_TEST_DOCTOR"] = wards.TIMES.replace("all_ms=6000", "all_ms=1500")
    file_server.hang(0)
    expect(host.examine(), "links", "FAIL", f"no answer within 1.5 s: the look at {path} hangs", "file system .* of the linked files does not answer")


@root_only
@pytest.mark.parametrize("what", ["store", "folder"])
def test_storage_that_hangs(host, tmp_path, what):
    dead = tmp_path / "dead"
    dead.mkdir()
    host.env["KACHERY_RESOURCE_TEST_DOCTOR"] = wards.TIMES.replace("all_ms=6000", "all_ms=1500")
    with hung_storage.hung(dead):
        if what == "store":
            host.env["KACHERY_CLOUD_DIR"] = str(dead / "store")
        else:
            host.path, host.text = dead / "kachery-resource.yaml", "none"
        lines = host.examine()
    hanging = {"store": {"keys", "store"}, "folder": {"config"}}[what]
    assert hanging <= failing(lines)
    for check in failing(lines):
        assert "no answer within 1.5 s" in lines[check]["detail"]
        assert check not in hanging or f": the look at {dead}/" in lines[check]["detail"]
        assert "does not answer" in lines[check]["cure"] or "file system" in lines[check]["cure"]


def test_processes_end_with_it(host):
    """Nobody is left when it is interrupted in mid-work."""
    server = host.keep(wards.silent())
    gateway_at(f"http://127.0.0.1:{server.port}")(host)
    host.env["KACHERY_RESOURCE_TEST_DOCTOR"] = "answer_ms=20000,all_ms=30000"
    host.write()
    process = subprocess.Popen([harness.BINARY, "doctor", "--config", host.path], env=host.env, stdout=subprocess.DEVNULL)
    harness.until(lambda: server.accepted > 1, "the gateway is asked")
    children = harness.descendants(process.pid)
    process.send_signal(signal.SIGINT)
    process.wait(10)
    harness.until(lambda: not any(map(harness.is_running, children)), "its processes are gone")


def test_wrong_usage():
    assert harness.run("doctor", "x").returncode == 2
    assert harness.run("doctor", "--what").returncode == 2
