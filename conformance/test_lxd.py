"""pylxd, its own integration tests, and the `lxc` command line, over the unix socket of a running server."""

import json
import os
import unittest
import uuid

import harness
import pylxd
from integration import test_storage
from pylxd import exceptions

server = None
client = None

GIB = 1 << 30


def setUpModule():
    global server, client
    server = harness.Server().start()
    server.apply_env("lxd")
    # `lxc` keeps its own settings; not in the home of whoever runs this.
    os.environ["LXD_CONF"] = str(server.folder / "lxc")
    client = pylxd.Client()


def tearDownModule():
    server.close()


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def block_volume(pool, name, size="64MiB"):
    """A new block volume."""
    return pool.volumes.create({"name": name, "type": "custom", "content_type": "block", "config": {"size": size}})


def names(pool):
    """The custom volumes of a pool."""
    return [volume.name for volume in pool.volumes.all() if volume.type == "custom"]


class OverTcp(unittest.TestCase):
    def test_a_stranger_sees_only_the_door(self):
        self.assertEqual(server.http("GET", "/1.0").json()["metadata"]["auth"], "untrusted")
        for method, path in (
            ("GET", "/1.0/storage-pools"),
            ("GET", "/1.0/storage-pools/local/volumes"),
            ("POST", "/1.0/storage-pools/local/volumes/custom"),
            ("GET", "/1.0/operations"),
        ):
            answer = server.http(method, path, {} if method == "POST" else None)
            self.assertEqual(answer.status, 403, path)
            self.assertEqual((answer.json()["type"], answer.json()["error_code"]), ("error", 403))


class Envelope(unittest.TestCase):
    def test_the_socket_is_trusted_and_extensions_are_named(self):
        self.assertTrue(client.trusted)
        for extension in ("storage", "resources", "storage_api_volume_snapshots", "custom_block_volumes"):
            self.assertTrue(client.has_api_extension(extension), extension)
        for refused in ("storage_and_profile_operations", "storage_and_network_operations"):
            self.assertFalse(client.has_api_extension(refused), refused)

    def test_unknown_paths_and_operations_are_errors_of_lxd(self):
        with self.assertRaises(exceptions.NotFound):
            client.api["no-such-thing"].get()
        with self.assertRaises(exceptions.NotFound):
            client.api.operations[str(uuid.uuid4())].get()


class Pools(unittest.TestCase):
    def test_pools_are_listed_read_and_made(self):
        self.assertTrue({"local", "dummy"} <= {pool.name for pool in client.storage_pools.all()})
        local = client.storage_pools.get("local")
        space = local.resources.get().space
        self.assertGreater(space["total"], 0)
        name = unique("pool")
        client.storage_pools.create({"name": name, "driver": "dir", "config": {}})
        self.assertTrue(client.storage_pools.exists(name))
        self.assertEqual(client.storage_pools.get(name).driver, "dir")
        with self.assertRaises(exceptions.Conflict):
            client.storage_pools.create({"name": name, "driver": "dir", "config": {}})

    def test_an_unknown_pool_is_not_found(self):
        self.assertFalse(client.storage_pools.exists("nosuch"))


class Volumes(unittest.TestCase):
    def setUp(self):
        self.pool = client.storage_pools.get("local")

    def test_a_volume_lives_through_all_its_verbs(self):
        name = unique("vol")
        volume = block_volume(self.pool, name, "1GiB")
        self.assertEqual((volume.name, volume.content_type), (name, "block"))
        self.assertEqual(volume.config["size"], "1GiB")
        self.assertIn(name, names(self.pool))
        self.assertEqual(harness.run("nbdinfo", "--size", server.nbd_uri(name)).stdout.strip(), str(GIB))
        harness.fill(server.nbd_uri(name), 0x12)
        with self.assertRaises(exceptions.Conflict):
            block_volume(self.pool, name)

        volume.rename({"name": name + "-2", "pool": "local"}, wait=True)
        self.assertNotIn(name, names(self.pool))
        renamed = self.pool.volumes.get("custom", name + "-2")
        renamed.delete(wait=True)
        with self.assertRaises(exceptions.NotFound):
            self.pool.volumes.get("custom", name + "-2")

    def test_snapshots_are_numbered_and_keep_their_bytes(self):
        name = unique("snapped")
        volume = block_volume(self.pool, name)
        uri = server.nbd_uri(name)
        harness.fill(uri, 0x21)
        self.assertEqual(volume.snapshots.create(wait=True).name, "snap0")
        harness.fill(uri, 0x22)
        self.assertEqual(volume.snapshots.create(name="second", wait=True).name, "second")
        self.assertEqual(volume.snapshots.all(), ["snap0", "second"])
        self.assertTrue(harness.holds(server.nbd_uri(f"{name}@snap0"), 0x21))
        self.assertTrue(harness.holds(server.nbd_uri(f"{name}@second"), 0x22))
        # The plain list holds volumes only: pylxd would take a snapshot's address for a volume.
        self.assertNotIn("snap0", names(self.pool))
        volume.snapshots.get("snap0").delete(wait=True)
        self.assertEqual(volume.snapshots.all(), ["second"])

    def test_an_operation_that_failed_says_why(self):
        volume = block_volume(self.pool, unique("failing"))
        volume.snapshots.create(name="once", wait=True)
        with self.assertRaises(exceptions.LXDAPIException):
            volume.snapshots.create(name="once", wait=True)
        self.assertEqual(volume.snapshots.all(), ["once"])


class CommandLine(unittest.TestCase):
    """`lxc` opens the websocket of events before it asks for anything that takes long."""

    def lxc(self, *args):
        return harness.run("lxc", *args, env=dict(os.environ), timeout=60)

    def listed(self, *args):
        return json.loads(self.lxc(*args, "--format", "json").stdout)

    def test_pools_and_volumes(self):
        self.assertIn("local", [pool["name"] for pool in self.listed("storage", "list")])
        self.assertIn("total space", self.lxc("storage", "info", "local", "--bytes").stdout)
        name = unique("lv")
        self.lxc("storage", "volume", "create", "local", name, "--type=block", "size=64MiB")
        self.assertIn(name, [volume["name"] for volume in self.listed("storage", "volume", "list", "local")])
        self.assertIn("content_type: block", self.lxc("storage", "volume", "show", "local", name).stdout)
        harness.fill(server.nbd_uri(name), 0x31)
        self.lxc("storage", "volume", "snapshot", "local", name, "monday")
        harness.fill(server.nbd_uri(name), 0x32)
        shown = [volume["name"] for volume in self.listed("storage", "volume", "list", "local")]
        self.assertIn(f"{name}/monday", shown)
        self.assertTrue(harness.holds(server.nbd_uri(f"{name}@monday"), 0x31))
        self.lxc("storage", "volume", "rename", "local", f"{name}/monday", f"{name}/tuesday")
        shown = [volume["name"] for volume in self.listed("storage", "volume", "list", "local")]
        self.assertIn(f"{name}/tuesday", shown)
        self.assertNotIn(f"{name}/monday", shown)
        self.lxc("storage", "volume", "delete", "local", f"{name}/tuesday")
        self.lxc("storage", "volume", "rename", "local", name, name + "-2")
        self.lxc("storage", "volume", "delete", "local", name + "-2")
        self.assertNotIn(name + "-2", [v["name"] for v in self.listed("storage", "volume", "list", "local")])

    def test_refusals_are_printed(self):
        refused = harness.run("lxc", "storage", "volume", "show", "local", "nosuch", env=dict(os.environ), check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertTrue(refused.stderr.startswith("Error:"), refused.stderr)


def load_tests(loader, tests, pattern):
    """Our tests, then those that pylxd's authors ship with it, unmodified."""
    tests.addTests(loader.loadTestsFromModule(test_storage))
    return tests


if __name__ == "__main__":
    harness.main()
