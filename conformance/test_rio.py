"""The `rio` command line and rapyuta_io_sdk_v2, the successors of rapyuta_io, against a running server."""

import json
import os
import unittest
import uuid

import harness
from rapyuta_io_sdk_v2 import Client, Configuration
from rapyuta_io_sdk_v2.exceptions import (
    HttpAlreadyExistsError,
    HttpNotFoundError,
    UnauthorizedAccessError,
)

server = None
config = None
client = None

GIB = 1 << 30


def setUpModule():
    global server, config, client
    server = harness.Server().start()
    server.apply_env("rapyuta")
    config = json.loads(open(os.environ["RIO_CONFIG"]).read())
    client = connect()


def tearDownModule():
    server.close()


def connect(token=None):
    """A client as the environment describes it."""
    if not config["v2api_host"].startswith(server.base):
        raise AssertionError(f"v2api_host is {config['v2api_host']}")
    return Client(
        config=Configuration(
            auth_token=token or config["auth_token"],
            project_guid=config["project_id"],
            organization_guid=config["organization_id"],
            v2_api_host=config["v2api_host"],
            rip_host=config["rip_host"],
        )
    )


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def disk(name, capacity=8):
    """The request for a disk."""
    return {
        "apiVersion": "apiextensions.rapyuta.io/v1",
        "kind": "Disk",
        "metadata": {"name": name, "labels": {"app": "test"}},
        "spec": {"runtime": "cloud", "capacity": capacity},
    }


def size_of(name):
    """The size that NBD shows."""
    return harness.run("nbdinfo", "--size", server.nbd_uri(name)).stdout.strip()


class Sdk(unittest.TestCase):
    def test_a_disk_lives_through_all_its_verbs(self):
        name = unique("sdk")
        made = client.create_disk(body=disk(name, 6))
        self.assertEqual(made.metadata.name, name)
        found = client.get_disk(name=name)
        self.assertEqual((found.spec.capacity, found.metadata.labels), (6, {"app": "test"}))
        self.assertEqual(found.status.status, "Available")
        self.assertEqual(size_of(name), str(6 * GIB))
        self.assertIn(name, [each.metadata.name for each in client.list_disks().items])
        self.assertEqual([each.metadata.name for each in client.list_disks(names=[name]).items], [name])
        with self.assertRaises(HttpAlreadyExistsError):
            client.create_disk(body=disk(name))
        client.delete_disk(name=name)
        with self.assertRaises(HttpNotFoundError):
            client.get_disk(name=name)

    def test_lists_are_paged(self):
        mine = {unique("page") for _ in range(5)}
        for name in mine:
            client.create_disk(body=disk(name, 4))
        seen, at = [], 0
        while True:
            page = client.list_disks(cont=at, limit=2)
            seen += [each.metadata.name for each in page.items]
            if len(page.items) < 2:
                break
            at = page.metadata.continue_
        self.assertTrue(mine <= set(seen))
        self.assertEqual(len(seen), len(set(seen)))

    def test_a_wrong_token_is_refused(self):
        with self.assertRaises(UnauthorizedAccessError):
            connect("wrong").list_disks()


class CommandLine(unittest.TestCase):
    def rio(self, *args):
        env = dict(os.environ, NO_COLOR="1", HOME=str(server.folder))
        return harness.run(harness.venv("rio", "rio"), *args, env=env)

    def test_a_disk_is_made_listed_and_deleted(self):
        name = unique("rio")
        self.rio("disk", "create", name, "--capacity", "8")
        self.assertEqual(size_of(name), str(8 * GIB))
        self.assertIn(name, self.rio("disk", "list").stdout)
        self.rio("disk", "delete", name, "--force")
        self.assertNotIn(name, self.rio("disk", "list").stdout)
        self.assertFalse(harness.opens(server.nbd_uri(name)))

    def test_apply_makes_what_a_file_says(self):
        name = unique("applied")
        body = dict(disk(name, 4), apiVersion="apiextensions.rapyuta.io/v1")
        path = server.folder / "disk.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(body))
        self.rio("apply", "--silent", path)
        self.assertEqual(size_of(name), str(4 * GIB))


if __name__ == "__main__":
    harness.main()
