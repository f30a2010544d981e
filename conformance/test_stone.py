"""The first stone as one story on real data: five clients, one volume, and every byte accounted for."""

import base64
import filecmp
import hashlib
import json
import shutil
import sysconfig
import unittest

import harness

GIB = 1 << 30
VOLUME_SIZE = 2 * GIB
LEAST_FILES = 1000


def digests(tree):
    """SHA-256 of every regular file below a folder, by its relative path."""
    found = {}
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found[str(path.relative_to(tree))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


class FirstStone(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.server = harness.Server().start()
        self.addCleanup(self.server.close)
        self.work = self.server.folder

    # The clients, each in its own interpreter with its own environment.

    def openstack(self, *args, check=True):
        """The `openstack` command line; returns what it printed as JSON."""
        program = harness.venv("openstack", "openstack")
        env = self.server.env("openstack")
        return json.loads(harness.run(program, *args, "-f", "json", env=env, check=check).stdout or "null")

    def python(self, client_set, api, script, *args):
        """A few lines of Python with a client's library; returns what it printed as JSON."""
        env = dict(self.server.env(api), PYTHONDONTWRITEBYTECODE="1")
        said = harness.run(harness.venv(client_set), "-W", "ignore", "-c", script, *args, env=env)
        return json.loads(said.stdout)

    def storpool(self, call, *args):
        """One call of the strict StorPool client; its error's name stands for a refusal."""
        script = """if True:
            import json, os, sys
            from storpool2 import spapi
            env = os.environ
            api = spapi.Api(env["SP_API_HTTP_HOST"], int(env["SP_API_HTTP_PORT"]), env["SP_AUTH_TOKEN"])
            try:
                getattr(api, sys.argv[1])(*json.loads(sys.argv[2]))
                print("null")
            except spapi.ApiError as error:
                print(json.dumps(error.name))
        """
        return self.python("storpool2", "storpool", script, call, json.dumps(args))

    def openstack_attachment(self, volume, host):
        """Attach a volume to a host with the SDK; returns the attachment, or the status of a refusal."""
        script = """if True:
            import json, sys, uuid
            import openstack
            from openstack import exceptions
            cloud = openstack.connect()
            connector = {"host": sys.argv[2], "ip": "127.0.0.1", "platform": "x86_64", "os_type": "linux"}
            try:
                made = cloud.block_storage.create_attachment(
                    cloud.block_storage.get_volume(sys.argv[1]), instance=str(uuid.uuid4()), connector=connector
                )
                print(json.dumps({"id": made.id, "info": made.connection_info}))
            except exceptions.HttpException as error:
                print(json.dumps({"refused": error.status_code}))
        """
        return self.python("openstack", "openstack", script, volume, host)

    def openstack_detach(self, attachment):
        """End an attachment with the SDK."""
        script = "import openstack, sys; openstack.connect().block_storage.delete_attachment(sys.argv[1]); print('null')"
        self.python("openstack", "openstack", script, attachment)

    def cern(self, method, path, status, body=None):
        """One request of a CERN client that has logged in."""
        env = self.server.env("cern")
        secret = base64.b64encode(f"{env['CERN_USER']}:{env['CERN_PASSWORD']}".encode()).decode()
        door = self.server.http("GET", "/login_basic", headers={"Authorization": "Basic " + secret})
        cookie = {"Cookie": door.headers["Set-Cookie"].split(";")[0]}
        answer = self.server.http(method, "/v3/local/volumes" + path, body, cookie)
        self.assertEqual(answer.status, status, answer)
        return answer.json() if answer.body else None

    def available(self, name):
        """Wait until a volume of OpenStack is available; returns it."""
        show = lambda: self.openstack("volume", "show", name)
        harness.wait_until(f"{name} available", lambda: show()["status"] == "available", seconds=120, pause=0.5)
        return show()

    # The story.

    def test_one_volume_under_five_clients(self):
        book = self.a_volume_is_made()
        tree, image = self.real_data_goes_in(book)
        self.a_snapshot_is_taken_and_half_the_volume_overwritten(book, image)
        self.a_clone_comes_out_whole(book, tree)
        self.everybody_sees_the_same(book)
        self.a_roll_back_brings_the_bytes_back(book, image)
        self.a_lock_keeps_strangers_out(book)
        self.a_robot_gets_its_disk()

    def a_volume_is_made(self):
        self.openstack("volume", "create", "--size", "2", "books")
        return self.available("books")["id"]

    def real_data_goes_in(self, book):
        tree, image = self.work / "tree", self.work / "books.img"
        without = shutil.ignore_patterns("dist-packages", "site-packages")
        shutil.copytree(sysconfig.get_path("stdlib"), tree, symlinks=True, ignore=without)
        self.assertGreaterEqual(len(digests(tree)), LEAST_FILES)
        harness.run("mkfs.ext4", "-q", "-F", "-d", tree, image, str(VOLUME_SIZE // 1024))
        harness.run("nbdcopy", "--flush", image, self.server.nbd_uri(book))
        return tree, image

    def a_snapshot_is_taken_and_half_the_volume_overwritten(self, book, image):
        self.assertIsNone(self.storpool("snapshotCreate", f"os--volume-{book}", {"name": "books-friday"}))
        harness.run(
            "fio", "--name=half", "--ioengine=nbd", f"--uri={self.server.nbd_uri(book)}", "--rw=write", "--bs=256k",
            "--size=1g", "--iodepth=8", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--end_fsync=1",
            f"--aux-path={self.work}",
        )
        overwritten = self.work / "overwritten.img"
        harness.run("nbdcopy", self.server.nbd_uri(book), overwritten)
        self.assertFalse(filecmp.cmp(image, overwritten, shallow=False), "fio has changed the volume")
        overwritten.unlink()

    def a_clone_comes_out_whole(self, book, tree):
        rows = self.openstack("volume", "snapshot", "list", "--volume", book)
        self.assertEqual(len(rows), 1)
        self.openstack("volume", "create", "--snapshot", rows[0]["ID"], "books-clone")
        clone = self.available("books-clone")["id"]
        image, out = self.work / "clone.img", self.work / "out"
        harness.run("nbdcopy", self.server.nbd_uri(clone), image)
        harness.run("e2fsck", "-f", "-n", image)
        out.mkdir()
        harness.run("debugfs", "-R", f"rdump / {out}", image)
        shutil.rmtree(out / "lost+found", ignore_errors=True)
        self.assertEqual(digests(out), digests(tree))
        image.unlink()

    def everybody_sees_the_same(self, book):
        script = """if True:
            import json, pylxd
            pool = pylxd.Client().storage_pools.get("local")
            volumes = {volume.name: volume for volume in pool.volumes.all() if volume.type == "custom"}
            print(json.dumps([sorted(volumes), volumes["books"].snapshots.all()]))
        """
        volumes, snapshots = self.python("lxd", "lxd", script)
        self.assertTrue({"books", "books-clone"} <= set(volumes), volumes)
        self.assertEqual(snapshots, ["books-friday"])
        env = dict(self.server.env("lxd"), LXD_CONF=str(self.work / "lxc"))
        listed = harness.run("lxc", "storage", "volume", "list", "local", "--format", "json", env=env).stdout
        names = {volume["name"] for volume in json.loads(listed)}
        self.assertTrue({"books", "books/books-friday", "books-clone"} <= names, names)
        shown = self.cern("GET", "/books", 200)
        self.assertEqual((shown["name"], shown["size_total"]), ("books", VOLUME_SIZE))
        self.assertEqual([each["name"] for each in self.cern("GET", "/books/snapshots", 200)], ["books-friday"])

    def a_roll_back_brings_the_bytes_back(self, book, image):
        self.cern("POST", "/books", 201, {"from_snapshot": "books-friday"})
        rolled = self.work / "rolled.img"
        harness.run("nbdcopy", self.server.nbd_uri(book), rolled)
        self.assertTrue(filecmp.cmp(image, rolled, shallow=False), "rolled back to the last byte")
        rolled.unlink()

    def a_lock_keeps_strangers_out(self, book):
        name = f"os--volume-{book}"

        # A CERN host and an OpenStack connector host of equal spelling are one host.
        self.cern("PUT", "/books/locks/host-a", 201)
        self.assertIn(self.openstack_attachment(book, "host-b").get("refused"), (400, 403, 409))
        self.assertIsNotNone(self.storpool("volumesReassign", [{"volume": name, "rw": [7]}]))
        self.assertFalse(harness.opens(self.server.nbd_uri(book)), "a plain peer is another host")
        inside = self.openstack_attachment(book, "host-a")
        self.assertIn("id", inside)
        info = inside["info"]
        own_export = f"nbd://{info['host']}:{info['port']}/{info['export']}"
        self.assertTrue(harness.opens(own_export), "the host that holds the lock gets in")
        self.openstack_detach(inside["id"])
        self.assertFalse(harness.opens(own_export))
        self.cern("DELETE", "/books/locks/host-a", 204)
        self.available("books")

        # StorPool client n is the host `client-n`.
        self.cern("PUT", "/books/locks/client-7", 201)
        self.assertIsNotNone(self.storpool("volumesReassign", [{"volume": name, "rw": [8]}]))
        self.assertIsNone(self.storpool("volumesReassign", [{"volume": name, "rw": [7]}]))
        self.assertIsNone(self.storpool("volumesReassign", [{"volume": name, "detach": [7]}]))
        self.cern("DELETE", "/books/locks/client-7", 204)

        # A plain NBD peer is its address.
        self.cern("PUT", "/books/locks/127.0.0.1", 201)
        self.assertTrue(harness.opens(self.server.nbd_uri(book)))
        self.cern("DELETE", "/books/locks/127.0.0.1", 204)
        self.assertTrue(harness.opens(self.server.nbd_uri(book)))

    def a_robot_gets_its_disk(self):
        script = """if True:
            import json, os
            from rapyuta_io import Client
            from rapyuta_io.clients.persistent_volumes import DiskCapacity
            volumes = Client(os.environ["RIO_AUTH_TOKEN"], os.environ["RIO_PROJECT"]).get_persistent_volume()
            made = volumes.create_volume_instance("robot", DiskCapacity.GiB_4)
            made.poll_deployment_till_ready(sleep_interval=1)
            during = [each.name for each in volumes.get_all_volume_instances()]
            made.destroy_volume_instance()
            print(json.dumps([during, [each.name for each in volumes.get_all_volume_instances()]]))
        """
        during, after = self.python("rapyuta1", "rapyuta", script)
        self.assertIn("robot", during)
        self.assertNotIn("robot", after)


if __name__ == "__main__":
    harness.main()
