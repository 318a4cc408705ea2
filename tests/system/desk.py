"""A host with files and a daemon, between a zone and a proxy that we did not write."""
from harness import Process, descendants, process_name, run, sha1, until
from zone_double import object_key, written


class Desk:
    """A host with files, between the two doubles."""

    def __init__(self, folder, env, proxy, zone, keep):
        self.folder, self.env, self.proxy, self.zone, self.keep = folder, env, proxy, zone, keep
        self.config = folder / "kachery-resource.yaml"
        self.lease = folder / "kachery-resource.lease"
        self.status_file = folder / "kachery-resource.status.json"
        self.write_config()
        self.daemon = None

    def write_config(self, uploads=2, **changes):
        values = {"resourceName": self.proxy.name, "kacheryZone": "default", "maxConcurrentUploads": uploads,
                  "proxyUrl": self.proxy.url, "proxySecret": self.proxy.secret, **changes}
        self.config.write_text("".join(f"{key}: {value}\n" for key, value in values.items() if value is not None))
        self.config.chmod(0o600)

    def share(self, *options, wait=True, intervals="", **env):
        env = {**self.env, "KACHERY_RESOURCE_TEST_INTERVALS": intervals, **env}
        self.daemon = self.keep(Process("share", "--config", str(self.config), *options, env=env))
        if wait:
            self.daemon.wait_line("acknowledged")
            self.proxy.wait_connected()
        return self.daemon

    def link(self, name, data):
        path = written(self.folder, name, data)
        run("link", str(path), env=self.env, check=0)
        return path, f"sha1://{sha1(data)}"

    def link_again(self, path):
        """The URI that is printed."""
        return run("link", str(path), env=self.env, check=0).stdout.decode().split("\t")[0]

    def worker(self, name, count=1):
        """The process ids of the daemon's children of that name, once there are so many."""
        def find():
            return [pid for pid in descendants(self.daemon.pid) if process_name(pid) == name]
        return until(lambda: len(find()) >= count and find(), f"{count} {name}")

    def uploads_begun(self, digest):
        return [put for put in self.zone.puts if put["key"] == object_key(digest)]

    def uploading(self, digest, count=1):
        until(lambda: len(self.uploads_begun(digest)) >= count and self.uploads_begun(digest)[-1]["bytes"],
              "bytes of the upload at the bucket")
