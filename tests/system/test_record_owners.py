"""A store that a group writes in: whose records and copies make a daemon serve a file. What does not count is not found
for strangers, and the host's log has the reason."""
import json
import os
import shutil
import struct
import subprocess

import harness
import pytest
from harness import object_path, run, sha1
from store_files import OLD, listing, put
from zone_double import DATA, written

DAEMON, MEMBER, THIRD, GROUP, OTHER_GROUP = 2001, 2002, 2003, 3000, 3001
SECRET = b"what only the daemon's user may read " * 30000
HASH = sha1(SECRET)


class Shared:
    """A desk whose store is a group's, with a daemon of a user of its own (or of root)."""

    def __init__(self, desk, user=DAEMON, mode=0o2770):
        self.desk, self.user, self.mode = desk, user, mode
        self.store = harness.pathlib.Path(desk.env["KACHERY_CLOUD_DIR"])
        for parent in (desk.folder, *desk.folder.parents):
            if str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
        self.data = desk.folder / "data"
        self.data.mkdir(mode=0o755)

    def file(self, owner, group, mode, folder_mode=0o755, folder_owner=0, folder_group=0, data=SECRET, name="file"):
        folder = self.data / "folder"
        folder.mkdir(exist_ok=True)
        path = written(folder, name, data)
        os.utime(path, (OLD, OLD))
        os.chown(path, owner, group)
        path.chmod(mode)
        os.chown(folder, folder_owner, folder_group)
        folder.chmod(folder_mode)
        return path

    def record(self, path, writer, digest=HASH, **changes):
        st = os.stat(path)
        record = object_path(self.store, digest, "linked_files/sha1")
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"path": str(path), "size": st.st_size, "mtime": st.st_mtime, "sha1": digest,
                                      **changes}))
        self.settle()
        os.chown(record, writer, GROUP)
        record.chmod(0o644)
        return record

    def settle(self):
        """The store's directories are the group's, and whatever is in them stays whoever's it is."""
        os.chown(self.store, self.user, GROUP)
        self.store.chmod(self.mode)
        for folder, folders, files in os.walk(self.store):
            for name in folders:
                os.chown(os.path.join(folder, name), self.user, GROUP)
                os.chmod(os.path.join(folder, name), self.mode)
        for key in self.store.glob("*.pem"):
            os.chown(key, self.user, GROUP)

    def share(self):
        self.settle()
        os.chown(self.desk.folder, self.user, -1)
        os.chown(self.desk.config, self.user, -1)
        env = {**self.desk.env, "KACHERY_RESOURCE_TEST_INTERVALS": ""}
        groups = {} if self.user == 0 else {"user": self.user, "group": self.user, "extra_groups": [GROUP]}
        program = shutil.copy(harness.BINARY, self.data / "program")  # the build's folder may be private
        self.desk.daemon = self.desk.keep(harness.Process(
            "share", "--config", str(self.desk.config), env=env, program=[program], **groups))
        self.desk.daemon.wait_line("acknowledged")
        self.desk.proxy.wait_connected()

    def status(self, digest=HASH):
        return self.desk.proxy.status(f"sha1://{digest}")["status"]

    def expect_refused(self, digest=HASH):
        assert self.desk.proxy.status(f"sha1://{digest}") == {"status": "not-found"}
        assert digest in self.desk.daemon.wait_line("not shared sha1=")
        assert [p["type"] for p in self.desk.zone.payloads if p["type"] != "getClientInfo"] == []


CASES = {
    # name: (record's owner, file's owner, group, mode, folder's mode, owner, group, whether it counts)
    "the daemon's record": (DAEMON, DAEMON, DAEMON, 0o400, 0o700, DAEMON, DAEMON, True),
    "root's record": (0, DAEMON, DAEMON, 0o400, 0o700, DAEMON, DAEMON, True),
    "the record of the file's owner": (MEMBER, MEMBER, DAEMON, 0o440, 0o755, 0, 0, True),
    "a member's of the daemon's private file": (MEMBER, DAEMON, DAEMON, 0o400, 0o755, 0, 0, False),
    "a member's of a third's file": (MEMBER, THIRD, DAEMON, 0o440, 0o755, 0, 0, False),
    "a file for everybody": (MEMBER, DAEMON, DAEMON, 0o404, 0o755, 0, 0, True),
    "a file for everybody in a private folder": (MEMBER, DAEMON, DAEMON, 0o444, 0o750, DAEMON, DAEMON, False),
    "a file for everybody in a folder that cannot be searched": (MEMBER, DAEMON, DAEMON, 0o444, 0o754, DAEMON, 0, False),
    "a file for the store's group": (MEMBER, DAEMON, GROUP, 0o440, 0o755, 0, 0, True),
    "a file for the store's group in its folder": (MEMBER, DAEMON, GROUP, 0o440, 0o750, DAEMON, GROUP, True),
    "a file for the store's group in a folder of another": (MEMBER, DAEMON, GROUP, 0o440, 0o750, DAEMON, OTHER_GROUP,
                                                            False),
    "a file of the store's group that it may not read": (MEMBER, DAEMON, GROUP, 0o600, 0o755, 0, 0, False),
    "a file for another group": (MEMBER, DAEMON, OTHER_GROUP, 0o440, 0o755, 0, 0, False),
}


@pytest.mark.parametrize("runs_as", [DAEMON, 0])
@pytest.mark.parametrize("case", CASES)
def test_whose_records_count(desk, case, runs_as):
    writer, owner, group, mode, folder_mode, folder_owner, folder_group, counts = CASES[case]
    ids = {DAEMON: runs_as}
    shared = Shared(desk, runs_as)
    path = shared.file(ids.get(owner, owner), group, mode, folder_mode, ids.get(folder_owner, folder_owner), folder_group)
    shared.record(path, ids.get(writer, writer))
    shared.share()
    if counts:
        assert shared.status() == "completed" and desk.zone.objects == {HASH: SECRET}
    else:
        shared.expect_refused()
        assert str(path) in desk.daemon.wait_line("not shared") and str(MEMBER) in desk.daemon.wait_line("not shared")


@pytest.mark.parametrize("shape", ["another size", "another time", "gone", "unreadable", "a directory"])
def test_a_record_that_does_not_count_tells_nothing_of_its_file(desk, shape):
    shared = Shared(desk)
    path = shared.file(DAEMON, DAEMON, 0o400)
    changes = {"another size": {"size": 1}, "another time": {"mtime": 5.0}}.get(shape, {})
    shared.record(path, MEMBER, **changes)
    if shape in ("gone", "a directory"):
        path.unlink()
    if shape == "a directory":
        path.mkdir()
    if shape == "unreadable":
        path.parent.chmod(0)
    shared.share()
    shared.expect_refused()


@pytest.mark.parametrize("mode, counts", [(0o700, True), (0o755, True), (0o2750, True), (0o770, False), (0o707, False),
                                          (0o1777, False)])
def test_nothing_is_asked_where_nobody_else_can_write(desk, mode, counts):
    """As after a restore by somebody else, or behind a server that calls everybody nobody."""
    shared = Shared(desk, mode=mode)
    shared.record(shared.file(DAEMON, DAEMON, 0o400), MEMBER)
    shared.share()
    if counts:
        assert shared.status() == "completed"
    else:
        shared.expect_refused()


@pytest.mark.parametrize("below", ["linked_files", "linked_files/sha1", "leaf"])
def test_one_directory_that_others_can_write_is_enough(desk, below):
    shared = Shared(desk, mode=0o755)
    record = shared.record(shared.file(DAEMON, DAEMON, 0o400), MEMBER)
    shared.share()
    (record.parent if below == "leaf" else shared.store / below).chmod(0o775)
    shared.expect_refused()


@pytest.mark.parametrize("users, counts", [
    (f"[{MEMBER}]", True), (f"[nobody, {MEMBER}]", True), (str(MEMBER), True), ("[nobody]", False), ("[]", False)])
def test_records_of(desk, users, counts):
    shared = Shared(desk)
    shared.record(shared.file(DAEMON, DAEMON, 0o400), MEMBER)
    desk.write_config(recordsOf=users)
    shared.share()
    if counts:
        assert shared.status() == "completed"
    else:
        shared.expect_refused()


@pytest.mark.parametrize("users, words", [
    ("[no-such-user]", ['recordsOf "no-such-user"', "id -u"]), ("{a: 1}", ["recordsOf", "list of users"]),
    ("[[1]]", ["recordsOf", "names or numbers"])])
def test_records_of_somebody_unknown(desk, users, words):
    desk.write_config(recordsOf=users)
    done = run("share", "--config", str(desk.config), env=desk.env, check=1)
    assert all(word in done.stderr.decode() for word in [*words, str(desk.config)])


@pytest.mark.parametrize("owner, mode, word", [(MEMBER, 0o600, str(MEMBER)), (0, 0o620, "chmod go-w"), (0, 0o602, "0602")])
def test_records_of_in_a_config_that_others_could_write(desk, owner, mode, word):
    desk.write_config(recordsOf=f"[{MEMBER}]")
    os.chown(desk.config, owner, -1)
    desk.config.chmod(mode)
    done = run("share", "--config", str(desk.config), env=desk.env, check=1)
    assert "recordsOf" in done.stderr.decode() and word in done.stderr.decode()


def test_init_keeps_records_of(desk):
    desk.write_config(recordsOf="[nobody, 1002]  # service accounts")
    run("init", "--config", str(desk.config), "--max-uploads", "7", "--no-input", env=desk.env, check=0)
    text = desk.config.read_text()
    assert "recordsOf: [nobody, 1002]  # service accounts\n" in text and "maxConcurrentUploads: 7\n" in text


def test_an_acl_does_not_make_a_file_the_groups(desk):
    """The mode's group bits are then those of the ACL's mask, and the group itself may not read."""
    shared = Shared(desk)
    path = shared.file(DAEMON, GROUP, 0o400)
    entries = [(0x01, 4, 0xffffffff), (0x02, 4, THIRD), (0x04, 0, 0xffffffff), (0x10, 4, 0xffffffff), (0x20, 0, 0xffffffff)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", acl)
    assert os.stat(path).st_mode & 0o777 == 0o440
    shared.record(path, MEMBER)
    shared.share()
    shared.expect_refused()


def test_an_older_path_that_counts_is_served(desk):
    """The record is a member's, of a file that is not his to give away; before it stood one that is everybody's."""
    shared = Shared(desk)
    public = shared.file(THIRD, THIRD, 0o444, name="public")
    secret = shared.file(DAEMON, DAEMON, 0o400)
    record = shared.record(secret, MEMBER)
    st = [os.stat(p) for p in (public, secret)]
    beside = record.with_name(HASH + ".paths")
    beside.write_text(json.dumps({"sha1": HASH, "size": len(SECRET), "paths": [
        {"path": str(p), "mtime": s.st_mtime} for p, s in zip((public, secret), st)]}))
    os.chown(beside, MEMBER, GROUP)
    shared.share()
    assert shared.status() == "completed" and desk.zone.objects == {HASH: SECRET}
    public.unlink()
    desk.zone.objects.clear()
    shared.expect_refused_again = desk.proxy.status(f"sha1://{HASH}")
    assert shared.expect_refused_again == {"status": "not-found"} and desk.zone.objects == {}


def test_remembered_paths_are_records_too(desk):
    """The record counts and names a file that is gone; what a member wrote beside it names another one."""
    shared = Shared(desk)
    gone = shared.file(DAEMON, DAEMON, 0o444, name="gone")
    secret = shared.file(DAEMON, DAEMON, 0o400)
    record = shared.record(gone, DAEMON)
    mtimes = [os.stat(p).st_mtime for p in (secret, gone)]
    gone.unlink()
    beside = record.with_name(HASH + ".paths")
    beside.write_text(json.dumps({"sha1": HASH, "size": len(SECRET), "paths": [
        {"path": str(p), "mtime": m} for p, m in zip((secret, gone), mtimes)]}))
    os.chown(beside, MEMBER, GROUP)
    shared.share()
    assert shared.status() == "error" and desk.zone.objects == {}
    os.chown(beside, DAEMON, GROUP)
    assert shared.status() == "completed"


def test_a_stranger_does_not_say_which_file_it_was(desk):
    """Else he could swap the file, and say that the new one is the one that was linked."""
    shared = Shared(desk)
    path = shared.file(DAEMON, DAEMON, 0o444)
    record = shared.record(path, DAEMON)
    st = os.stat(path)
    beside = record.with_name(HASH + ".paths")
    other = shared.file(DAEMON, DAEMON, 0o444, data=os.urandom(len(SECRET)), name="other")
    os.utime(other, ns=(st.st_mtime_ns, st.st_mtime_ns))
    os.replace(other, path)
    st = os.stat(path)
    beside.write_text(json.dumps({"sha1": HASH, "size": len(SECRET), "paths": [{
        "path": str(path), "mtime": st.st_mtime, "resolved": str(path), "inode": str(st.st_ino), "owner": st.st_uid}]}))
    os.chown(beside, MEMBER, GROUP)
    shared.share()
    assert shared.status() == "error"
    assert "initiateFileUpload" not in [p["type"] for p in desk.zone.payloads]


@pytest.mark.parametrize("how", ["a symbolic link", "a symbolic link on its way"])
def test_a_record_of_another_place(desk, how):
    """Of the daemon's own private store, say, which this daemon is not to serve."""
    shared = Shared(desk)
    path = shared.file(DAEMON, DAEMON, 0o400)
    record = shared.record(path, DAEMON)
    private = desk.folder / "private"
    private.mkdir()
    shutil.move(record, private / HASH)
    if how == "a symbolic link":
        record.symlink_to(private / HASH)
        os.lchown(record, MEMBER, GROUP)
    else:
        record.parent.rmdir()
        record.parent.symlink_to(private)
        os.lchown(record.parent, MEMBER, GROUP)
    shared.settle = lambda: None
    shared.share()
    shared.expect_refused()


def copy_of(shared, data=SECRET):
    copy = object_path(shared.store, sha1(data))
    copy.parent.mkdir(parents=True, exist_ok=True)
    return copy


@pytest.mark.parametrize("mode", [0o700, 0o2770])
def test_a_copy_that_is_a_symbolic_link_counts_as_none(desk, mode):
    shared = Shared(desk, mode=mode)
    copy_of(shared).symlink_to(shared.file(DAEMON, DAEMON, 0o444))
    shared.share()
    assert desk.proxy.status(f"sha1://{HASH}") == {"status": "not-found"} and desk.zone.objects == {}


def test_a_copy_that_is_a_symbolic_link_is_none_for_the_user_too(store, tmp_path):
    folder, env = store
    uri = f"sha1://{sha1(DATA)}"
    copy = object_path(folder, sha1(DATA))
    copy.parent.mkdir(parents=True)
    copy.symlink_to(put(str(tmp_path / "elsewhere"), DATA))
    assert run("load", uri, env={**env, "KACHERY_GATEWAY_URL": "http://127.0.0.1:9"}).returncode == 1
    assert run("cat", uri, env={**env, "KACHERY_GATEWAY_URL": "http://127.0.0.1:9"}).returncode == 1
    assert listing(env) == []
    assert [e["state"] for e in listing(env, uri, verb="verify", check=1)] == ["missing"]
    run("store-local", str(tmp_path / "elsewhere"), env=env, check=0)
    assert not copy.is_symlink() and copy.read_bytes() == DATA  # replaced, not written through
    assert run("load", uri, env=env, check=0).stdout.decode().strip() == str(copy)


@pytest.mark.parametrize("mode, group, counts", [(0o400, DAEMON, False), (0o444, DAEMON, True), (0o440, GROUP, True)])
def test_a_copy_that_is_a_hard_link(desk, mode, group, counts):
    """Where the kernel lets users link what they cannot read."""
    shared = Shared(desk)
    os.link(shared.file(DAEMON, group, mode), copy_of(shared))
    shared.share()
    if counts:
        assert shared.status() == "completed"
    else:
        shared.expect_refused()


def test_a_file_that_is_swapped_after_the_lookup(desk):
    """What was looked at is not what is opened: the one that is open is asked about again."""
    shared = Shared(desk)
    desk.write_config(uploads=1)
    first, public = shared.file(DAEMON, DAEMON, 0o444, data=DATA, name="first"), shared.file(MEMBER, MEMBER, 0o444)
    shared.record(first, DAEMON, digest=sha1(DATA))
    shared.record(public, THIRD)
    desk.zone.holds_puts = True
    shared.share()
    blocked = desk.proxy.ask(f"sha1://{sha1(DATA)}")
    desk.uploading(sha1(DATA))
    assert desk.proxy.status(f"sha1://{HASH}", 300)["status"] == "queued"
    waiting = desk.proxy.ask(f"sha1://{HASH}")
    os.chown(public, DAEMON, DAEMON)
    public.chmod(0o400)
    desk.zone.holds_puts = False
    assert blocked.status()["status"] == "completed"
    assert waiting.status() == {**waiting.status(), "status": "error", "error": "the file is no longer shared"}
    assert HASH not in desk.zone.objects and str(public) in desk.daemon.wait_line("upload failed")


@pytest.mark.parametrize("writer, believed", [(0, True), (MEMBER, False)])
def test_the_hash_cache_of_a_group_store(store, tmp_path, writer, believed):
    """A member could else make a file be called by the address of other bytes."""
    folder, env = store
    path = put(str(tmp_path / "file"), b"x" * 1_000_001)
    cache = folder / "mutables" / "@compute_sha1_cache" / sha1(os.fsencode(path))
    run("link", "--no-manifest", path, env=env, check=0)
    for each in (folder, folder / "mutables", cache.parent):
        each.chmod(0o777)
    record = json.loads(cache.read_text())
    cache.write_text(json.dumps({**record, "sha1": "0" * 40}))
    os.chown(cache, writer, GROUP)
    printed = run("link", "--no-manifest", path, env=env, check=0).stdout.decode().split("\t")[0]
    assert printed == f"sha1://{'0' * 40 if believed else sha1(b'x' * 1_000_001)}"


def link_as(shared, user, *paths):
    """`link` by a member of the store's group, in the store as it will be shared."""
    shared.settle()
    program = shutil.copy(harness.BINARY, shared.data / f"link-{user}")
    done = subprocess.run([program, "link", *map(str, paths)], env=shared.desk.env, user=user, group=user, extra_groups=[GROUP],
                          cwd="/", capture_output=True, timeout=harness.DEADLINE_S)
    assert done.returncode == 0, done.stderr


def write_into(path, data):
    """As a member of the group does where the mode lets him: the owner stays."""
    before = os.stat(path)
    assert before.st_mode & 0o020
    path.write_text(data)
    assert os.stat(path).st_uid == before.st_uid


def test_what_the_daemons_user_links_in_a_group_store_counts(desk):
    shared = Shared(desk)
    link_as(shared, DAEMON, shared.file(DAEMON, DAEMON, 0o400))
    record = object_path(shared.store, HASH, "linked_files/sha1")
    assert record.stat().st_mode & 0o777 == 0o660 and record.with_name(HASH + ".paths").stat().st_mode & 0o777 == 0o640
    shared.share()
    assert shared.status() == "completed"


@pytest.mark.parametrize("has_paths", [True, False])
def test_a_record_that_a_member_writes_into(desk, has_paths):
    """The owner of a file that others can write is not who wrote it."""
    shared = Shared(desk)
    public, secret = shared.file(DAEMON, DAEMON, 0o444, data=DATA, name="public"), shared.file(DAEMON, DAEMON, 0o400)
    link_as(shared, DAEMON, public)
    record, wanted = (object_path(shared.store, digest, "linked_files/sha1") for digest in (sha1(DATA), HASH))
    st = os.stat(secret)
    write_into(record, json.dumps({"path": str(secret), "size": st.st_size, "mtime": st.st_mtime, "sha1": HASH}))
    wanted.parent.mkdir(parents=True)
    os.rename(record, wanted)
    if has_paths:
        os.rename(record.with_name(record.name + ".paths"), wanted.with_name(HASH + ".paths"))
    shared.share()
    shared.expect_refused()
    assert "others can write" in desk.daemon.wait_line("not shared")


def test_an_entry_of_the_hash_cache_is_no_record(desk):
    """It has the same members, and the daemon's user wrote it, of a file that was never shared."""
    shared = Shared(desk)
    secret = shared.file(DAEMON, DAEMON, 0o400)
    link_as(shared, DAEMON, secret)
    record = object_path(shared.store, HASH, "linked_files/sha1")
    record.with_name(HASH + ".paths").unlink()
    os.rename(shared.store / "mutables" / "@compute_sha1_cache" / sha1(os.fsencode(secret)), record)
    assert record.stat().st_uid == DAEMON
    shared.share()
    shared.expect_refused()


@pytest.mark.parametrize("paths", ["removed", "a member's"])
def test_a_file_of_which_nobody_says_which_it_was(desk, paths):
    """A member removes what is beside the record, and swaps the file for another of the same size and time."""
    shared = Shared(desk)
    path = shared.file(DAEMON, DAEMON, 0o444)
    record = shared.record(path, DAEMON)
    if paths == "a member's":
        record.with_name(HASH + ".paths").write_text("{}")
    path.unlink()
    shared.file(DAEMON, DAEMON, 0o400, data=os.urandom(len(SECRET)))
    shared.share()
    assert shared.status() == "error"
    assert "initiateFileUpload" not in [p["type"] for p in desk.zone.payloads]


def test_what_a_member_shared_stays_his_word(desk):
    """The daemon's user links another file with the same bytes, and stops sharing it: what a member remembered beside it
    is not the daemon's user's word now."""
    shared = Shared(desk)
    secret, own = shared.file(DAEMON, DAEMON, 0o400), shared.file(DAEMON, DAEMON, 0o444, name="own")
    record = shared.record(secret, MEMBER)
    link_as(shared, DAEMON, own)
    entries = json.loads(record.with_name(HASH + ".paths").read_text())["paths"]
    assert [(e["path"], e.get("writer")) for e in entries] == [(str(secret), MEMBER), (str(own), None)]
    own.unlink()
    shared.share()
    assert shared.status() == "error" and desk.zone.objects == {}  # the file is gone, and the other does not count


def test_linking_what_a_member_recorded_makes_it_the_users_word(desk):
    shared = Shared(desk)
    secret = shared.file(DAEMON, DAEMON, 0o400)
    record = shared.record(secret, MEMBER)
    link_as(shared, DAEMON, secret)
    assert record.stat().st_uid == DAEMON
    shared.share()
    assert shared.status() == "completed"
