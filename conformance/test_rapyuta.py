"""rapyuta_io 1.17.1, the last SDK with persistent volumes, against a running server."""

import json
import os
import unittest
import uuid

import harness
from rapyuta_io import Client
from rapyuta_io.clients.persistent_volumes import DiskCapacity, DiskType
from rapyuta_io.utils.error import ConflictError, ForbiddenError, ResourceNotFoundError, UnauthorizedError

server = None
volumes = None

GIB = 1 << 30


def setUpModule():
    global server, volumes
    server = harness.Server().start()
    server.apply_env("rapyuta")
    volumes = connect().get_persistent_volume()


def tearDownModule():
    server.close()


def connect(token=None, project=None):
    """A client as the environment describes it. The SDK silently uses its makers' hosts if a key is missing."""
    hosts = json.loads(open(os.environ["RIO_CONFIG"]).read())
    for key in ("catalog_host", "core_api_host", "rip_host", "v2api_host"):
        if not hosts[key].startswith(server.base):
            raise AssertionError(f"{key} is {hosts[key]}")
    return Client(token or os.environ["RIO_AUTH_TOKEN"], project or os.environ["RIO_PROJECT"])


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def made(name, capacity=DiskCapacity.GiB_4):
    """A new disk that is ready."""
    volume = volumes.create_volume_instance(name, capacity, DiskType.SSD)
    volume.poll_deployment_till_ready(retry_count=50, sleep_interval=0.2)
    return volume


def listed():
    """The disks of the project by deployment id."""
    return {each.deploymentId: each for each in volumes.get_all_volume_instances()}


class Disks(unittest.TestCase):
    def test_the_package_is_the_public_one(self):
        self.assertEqual(volumes.packageId, "io-public-persistent-volume")
        self.assertEqual(volumes.planId, "default")

    def test_a_disk_lives_through_all_its_verbs(self):
        name = unique("disk")
        volume = made(name)
        self.assertEqual((volume.name, volume.packageId), (name, "io-public-persistent-volume"))
        status = volume.get_status()
        self.assertEqual((status.phase, status.status), ("Succeeded", "Available"))
        self.assertEqual(volume.parameters["io-pv"]["capacity"], 4)
        self.assertIn(volume.deploymentId, listed())
        again = volumes.get_volume_instance(volume.deploymentId)
        self.assertEqual(again.name, name)
        self.assertEqual(harness.run("nbdinfo", "--size", server.nbd_uri(name)).stdout.strip(), str(4 * GIB))

        self.assertTrue(volume.destroy_volume_instance())
        self.assertNotIn(volume.deploymentId, listed())
        with self.assertRaises(ResourceNotFoundError):
            volumes.get_volume_instance(volume.deploymentId)
        self.assertFalse(harness.opens(server.nbd_uri(name)))

    def test_destroying_twice_is_no_error(self):
        volume = made(unique("twice"))
        volume.destroy_volume_instance()
        self.assertIsNone(volume.destroy_volume_instance())

    def test_a_list_can_be_asked_for_by_phase(self):
        volume = made(unique("phase"))
        succeeded = [each.deploymentId for each in volumes.get_all_volume_instances(phases=["Succeeded"])]
        self.assertIn(volume.deploymentId, succeeded)
        self.assertEqual(volumes.get_all_volume_instances(phases=["Failed to start"]), [])
        mine = volumes.get_all_volume_instances(deploymentGUIDs=[volume.deploymentId])
        self.assertEqual([each.deploymentId for each in mine], [volume.deploymentId])

    def test_all_capacities(self):
        for capacity in DiskCapacity:
            volume = made(unique("cap"), capacity)
            size = harness.run("nbdinfo", "--size", server.nbd_uri(volume.name)).stdout.strip()
            self.assertEqual(size, str(int(capacity) * GIB))
            volume.destroy_volume_instance()

    def test_volumes_of_odd_sizes_never_break_the_list(self):
        server.cli("volume", "create", unique("odd"), "--size", "10MiB")
        self.assertIsInstance(listed(), dict)


class Refusals(unittest.TestCase):
    def test_a_taken_name_is_a_conflict(self):
        name = unique("taken")
        first = made(name)
        before = set(listed())
        with self.assertRaises(ConflictError):
            volumes.create_volume_instance(name, DiskCapacity.GiB_8)
        self.assertEqual(set(listed()), before)
        first.destroy_volume_instance()

    def test_a_wrong_token_or_project_is_refused(self):
        with self.assertRaises(UnauthorizedError):
            connect(token="wrong").get_persistent_volume().get_all_volume_instances()
        with self.assertRaises(ForbiddenError):
            connect(project="project-nobodyhasthisone").get_persistent_volume().get_all_volume_instances()


if __name__ == "__main__":
    harness.main()
