"""openstacksdk, the `openstack` and the `cinder` command line, against a running server."""

import json
import os
import unittest
import uuid

import harness
import openstack
import recorder
from keystoneauth1.exceptions.http import Unauthorized
from openstack import exceptions

server = None
cloud = None

GIB = 1 << 30


def setUpModule():
    global server, cloud
    # `eval` must clear what another cloud's settings left behind.
    os.environ["OS_SYSTEM_SCOPE"] = "all"
    os.environ["OS_PROJECT_ID"] = "left-behind"
    server = harness.Server().start()
    server.apply_env("openstack")
    cloud = openstack.connect()


def tearDownModule():
    server.close()


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def ready(volume):
    """Wait for a volume to become available."""
    return cloud.block_storage.wait_for_status(volume, "available", failures=["error"], interval=0.2, wait=60)


def gone(resource):
    """Wait for a resource to disappear."""
    return cloud.block_storage.wait_for_delete(resource, interval=0.2, wait=60)


def make_volume(size=1, **attrs):
    """A new volume that is ready."""
    attrs.setdefault("name", unique("volume"))
    return ready(cloud.block_storage.create_volume(size=size, **attrs))


def make_snapshot(volume, **attrs):
    """A new snapshot that is ready."""
    attrs.setdefault("name", unique("snapshot"))
    return ready(cloud.block_storage.create_snapshot(volume_id=volume.id, **attrs))


def volume_bytes(volume):
    """The plain NBD export of a volume."""
    return server.nbd_uri(volume.id)


class Identity(unittest.TestCase):
    def test_environment_of_other_clouds_is_cleared(self):
        self.assertNotIn("OS_SYSTEM_SCOPE", os.environ)
        self.assertNotEqual(os.environ.get("OS_PROJECT_ID"), "left-behind")

    def test_the_catalog_names_three_services(self):
        for service in ("block-storage", "volumev3", "identity"):
            endpoint = cloud.session.get_endpoint(service_type=service, interface="public")
            self.assertTrue(endpoint and endpoint.startswith(server.base), f"{service}: {endpoint}")

    def test_a_token_authenticates_a_second_session(self):
        token = cloud.session.get_token()
        project = cloud.session.get_project_id()
        second = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_type="v3token",
            auth={"auth_url": os.environ["OS_AUTH_URL"], "token": token, "project_id": project},
            region_name=os.environ.get("OS_REGION_NAME", "RegionOne"),
        )
        volume = make_volume()
        self.assertEqual(second.block_storage.get_volume(volume.id).name, volume.name)

    def test_a_token_is_validated(self):
        token = cloud.session.get_token()
        answer = cloud.session.get(
            os.environ["OS_AUTH_URL"] + "/auth/tokens", headers={"X-Subject-Token": token}, authenticated=True
        )
        self.assertEqual(answer.json()["token"]["project"]["id"], cloud.session.get_project_id())
        refused = cloud.session.get(
            os.environ["OS_AUTH_URL"] + "/auth/tokens", headers={"X-Subject-Token": "unknown"}, raise_exc=False
        )
        self.assertEqual(refused.status_code, 404)

    def test_a_wrong_password_is_refused(self):
        auth = dict(
            auth_url=os.environ["OS_AUTH_URL"],
            username=os.environ["OS_USERNAME"],
            password="wrong",
            project_name=os.environ["OS_PROJECT_NAME"],
            user_domain_name=os.environ.get("OS_USER_DOMAIN_NAME", "Default"),
            project_domain_name=os.environ.get("OS_PROJECT_DOMAIN_NAME", "Default"),
        )
        stranger = openstack.connect(load_yaml_config=False, load_envvars=False, auth=auth)
        with self.assertRaises(Unauthorized):
            stranger.session.get_token()

    def test_a_wrong_token_is_refused(self):
        answer = server.http("GET", "/volume/v3/volumes/detail", headers={"X-Auth-Token": "wrong"})
        self.assertEqual(answer.status, 401)
        self.assertIn("message", next(iter(answer.json().values())))

    def test_projects_and_roles_are_found(self):
        project = cloud.identity.find_project(os.environ["OS_PROJECT_NAME"], ignore_missing=False)
        self.assertEqual(project.id, cloud.session.get_project_id())
        self.assertIn("admin", [role.name for role in cloud.identity.roles()])


class Versions(unittest.TestCase):
    def test_the_service_reaches_microversion_3_71(self):
        data = cloud.block_storage.get_endpoint_data()
        self.assertEqual(data.max_microversion, (3, 71))

    def test_version_documents_need_no_token(self):
        many = server.http("GET", "/volume/")
        self.assertEqual(many.status, 300)
        self.assertEqual(many.json()["versions"][-1]["id"], "v3.0")
        self.assertEqual(server.http("GET", "/volume/v3/").status, 200)
        self.assertEqual(server.http("GET", "/volume/v3").status, 200)

    def test_the_microversion_is_echoed_and_one_out_of_range_is_not_acceptable(self):
        headers = {"X-Auth-Token": cloud.session.get_token(), "OpenStack-API-Version": "volume 3.71"}
        answer = server.http("GET", "/volume/v3/volumes", headers=headers)
        self.assertEqual(answer.headers["OpenStack-API-Version"], "volume 3.71")
        headers["OpenStack-API-Version"] = "volume 3.999"
        self.assertEqual(server.http("GET", "/volume/v3/volumes", headers=headers).status, 406)

    def test_paths_work_with_and_without_the_project(self):
        volume = make_volume()
        headers = {"X-Auth-Token": cloud.session.get_token()}
        project = cloud.session.get_project_id()
        for path in ("/volume/v3", f"/volume/v3/{project}"):
            answer = server.http("GET", f"{path}/volumes/{volume.id}", headers=headers)
            self.assertEqual(answer.status, 200, path)
            self.assertEqual(answer.json()["volume"]["id"], volume.id)


class Volumes(unittest.TestCase):
    def test_a_volume_lives_through_all_its_verbs(self):
        name = unique("books")
        volume = make_volume(size=2, name=name, description="about books", metadata={"shelf": "7"})
        self.assertEqual(volume.size, 2)
        self.assertEqual(volume.description, "about books")
        self.assertEqual(volume.metadata, {"shelf": "7"})
        self.assertEqual(volume.is_bootable, False)
        self.assertEqual(volume.attachments, [])
        self.assertTrue(volume.created_at)
        self.assertEqual(volume.project_id, cloud.session.get_project_id())
        self.assertEqual(harness.run("nbdinfo", "--size", volume_bytes(volume)).stdout.strip(), str(2 * GIB))

        self.assertEqual(cloud.block_storage.find_volume(name).id, volume.id)
        self.assertIn(volume.id, [each.id for each in cloud.block_storage.volumes()])
        self.assertIn(volume.id, [each.id for each in cloud.block_storage.volumes(details=False)])
        self.assertEqual([each.id for each in cloud.block_storage.volumes(name=name)], [volume.id])

        cloud.block_storage.update_volume(volume, name=name + "-2", description="more books")
        again = cloud.block_storage.get_volume(volume.id)
        self.assertEqual((again.name, again.description), (name + "-2", "more books"))

        cloud.block_storage.delete_volume(volume)
        gone(volume)
        with self.assertRaises(exceptions.NotFoundException):
            cloud.block_storage.get_volume(volume.id)
        self.assertFalse(harness.opens(volume_bytes(volume)))

    def test_metadata_is_merged_and_removed_by_key(self):
        volume = make_volume(metadata={"a": "1"})
        cloud.block_storage.set_volume_metadata(volume, b="2")
        self.assertEqual(cloud.block_storage.get_volume_metadata(volume).metadata, {"a": "1", "b": "2"})
        cloud.block_storage.delete_volume_metadata(volume, keys=["a"])
        self.assertEqual(cloud.block_storage.get_volume_metadata(volume).metadata, {"b": "2"})

    def test_a_volume_can_be_extended_and_keeps_its_bytes(self):
        volume = make_volume()
        harness.fill(volume_bytes(volume), 0x44)
        cloud.block_storage.extend_volume(volume, 3)
        harness.wait_until("extended", lambda: cloud.block_storage.get_volume(volume.id).size == 3)
        self.assertEqual(harness.run("nbdinfo", "--size", volume_bytes(volume)).stdout.strip(), str(3 * GIB))
        self.assertTrue(harness.holds(volume_bytes(volume), 0x44))
        self.assertTrue(harness.holds(volume_bytes(volume), 0, "1G", "64M"))
        self.assertTrue(harness.holds(volume_bytes(volume), 0, "3008M", "64M"))

    def test_two_volumes_may_bear_one_name(self):
        name = unique("twin")
        first, second = make_volume(name=name), make_volume(name=name)
        self.assertNotEqual(first.id, second.id)
        self.assertEqual({v.id for v in cloud.block_storage.volumes(name=name)}, {first.id, second.id})
        with self.assertRaises(exceptions.DuplicateResource):
            cloud.block_storage.find_volume(name)

    def test_an_unknown_volume_is_not_found(self):
        missing = str(uuid.uuid4())
        with self.assertRaises(exceptions.NotFoundException):
            cloud.block_storage.get_volume(missing)
        self.assertIsNone(cloud.block_storage.find_volume(missing))
        cloud.block_storage.delete_volume(missing, ignore_missing=True)

    def test_lists_are_paged(self):
        made = [make_volume(name=unique("page")).id for _ in range(5)]
        whole = [each.id for each in cloud.block_storage.volumes()]
        paged = [each.id for each in cloud.block_storage.volumes(limit=2)]
        self.assertEqual(paged, whole)
        self.assertTrue(set(made) <= set(paged))

    def test_a_copy_of_a_volume_has_its_bytes_and_its_own_life(self):
        source = make_volume()
        harness.fill(volume_bytes(source), 0x51)
        copy = make_volume(source_volid=source.id)
        self.assertEqual(copy.source_volume_id, source.id)
        harness.fill(volume_bytes(source), 0x52)
        self.assertTrue(harness.holds(volume_bytes(copy), 0x51))
        cloud.block_storage.delete_volume(source)
        gone(source)
        self.assertTrue(harness.holds(volume_bytes(copy), 0x51))


class Snapshots(unittest.TestCase):
    def test_a_snapshot_lives_through_all_its_verbs(self):
        volume = make_volume()
        name = unique("friday")
        snapshot = make_snapshot(volume, name=name, description="weekly", metadata={"k": "v"})
        self.assertEqual((snapshot.volume_id, snapshot.size), (volume.id, 1))
        self.assertEqual(snapshot.metadata, {"k": "v"})
        self.assertEqual(cloud.block_storage.find_snapshot(name).id, snapshot.id)
        listed = cloud.block_storage.snapshots(volume_id=volume.id)
        self.assertEqual([each.id for each in listed], [snapshot.id])
        cloud.block_storage.update_snapshot(snapshot, name=name + "-2")
        self.assertEqual(cloud.block_storage.get_snapshot(snapshot.id).name, name + "-2")
        cloud.block_storage.set_snapshot_metadata(snapshot, more="x")
        found = cloud.block_storage.get_snapshot_metadata(snapshot).metadata
        self.assertEqual(found, {"k": "v", "more": "x"})
        cloud.block_storage.delete_snapshot(snapshot)
        gone(snapshot)
        self.assertIsNone(cloud.block_storage.find_snapshot(snapshot.id))

    def test_a_snapshot_keeps_its_bytes_and_so_does_a_volume_made_from_it(self):
        volume = make_volume()
        harness.fill(volume_bytes(volume), 0x61)
        snapshot = make_snapshot(volume)
        harness.fill(volume_bytes(volume), 0x62)
        clone = make_volume(snapshot_id=snapshot.id)
        self.assertTrue(harness.holds(server.nbd_uri(snapshot.id), 0x61))
        self.assertTrue(harness.holds(volume_bytes(clone), 0x61))
        self.assertTrue(harness.holds(volume_bytes(volume), 0x62))
        harness.fill(volume_bytes(clone), 0x63)
        self.assertTrue(harness.holds(server.nbd_uri(snapshot.id), 0x61))

    def test_a_volume_with_snapshots_is_deleted_only_with_them(self):
        volume = make_volume()
        snapshot = make_snapshot(volume)
        with self.assertRaises(exceptions.HttpException) as caught:
            cloud.block_storage.delete_volume(volume)
        self.assertEqual(caught.exception.status_code, 400)
        cloud.block_storage.delete_volume(volume, cascade=True)
        gone(volume)
        self.assertIsNone(cloud.block_storage.find_snapshot(snapshot.id))


class Attachments(unittest.TestCase):
    CONNECTOR = {"host": "compute-1", "ip": "127.0.0.1", "platform": "x86_64", "os_type": "linux", "multipath": False}

    def export_of(self, attachment):
        """Where the attachment's connection information says that its bytes are."""
        info = attachment.connection_info
        self.assertEqual(info["driver_volume_type"], "nbd")
        return f"nbd://{info['host']}:{info['port']}/{info['export']}"

    def test_attach_and_detach_in_the_new_way(self):
        volume = make_volume()
        harness.fill(volume_bytes(volume), 0x71)
        instance = str(uuid.uuid4())
        attachment = cloud.block_storage.create_attachment(volume, instance=instance)
        self.assertEqual(attachment.status, "reserved")
        self.assertEqual(cloud.block_storage.get_volume(volume.id).status, "reserved")
        attachment = cloud.block_storage.update_attachment(attachment, connector=self.CONNECTOR)
        self.assertEqual(attachment.status, "attaching")
        self.assertEqual(cloud.block_storage.get_volume(volume.id).status, "attaching")
        export = self.export_of(attachment)
        cloud.block_storage.complete_attachment(attachment)
        found = cloud.block_storage.get_volume(volume.id)
        self.assertEqual(found.status, "in-use")
        self.assertEqual(found.attachments[0]["server_id"], instance)
        self.assertEqual(found.attachments[0]["host_name"], "compute-1")
        self.assertEqual(cloud.block_storage.get_attachment(attachment.id).status, "attached")
        listed = cloud.block_storage.attachments(volume_id=volume.id)
        self.assertEqual([each.id for each in listed], [attachment.id])

        self.assertTrue(harness.holds(export, 0x71))
        self.assertFalse(harness.opens(volume_bytes(volume)), "the plain export is closed while attached")
        with self.assertRaises(exceptions.HttpException) as caught:
            cloud.block_storage.delete_volume(volume)
        self.assertIn(caught.exception.status_code, (400, 409))
        with self.assertRaises(exceptions.HttpException) as caught:
            cloud.block_storage.create_attachment(volume, instance=str(uuid.uuid4()))
        self.assertIn(caught.exception.status_code, (400, 409))

        cloud.block_storage.delete_attachment(attachment)
        ready(volume)
        self.assertFalse(harness.opens(export), "the attachment's export ends with it")
        self.assertTrue(harness.opens(volume_bytes(volume)))
        cloud.block_storage.delete_volume(volume)
        gone(volume)

    def test_a_connector_at_once_goes_straight_to_attaching(self):
        volume = make_volume()
        attachment = cloud.block_storage.create_attachment(
            volume, instance=str(uuid.uuid4()), connector=self.CONNECTOR
        )
        self.assertEqual(attachment.status, "attaching")
        cloud.block_storage.delete_attachment(attachment)
        ready(volume)


class Surroundings(unittest.TestCase):
    def test_the_default_type_is_that_of_new_volumes(self):
        default = cloud.block_storage.get_type("default")
        self.assertIn(default.id, [each.id for each in cloud.block_storage.types()])
        self.assertEqual(make_volume().volume_type, default.name)

    def test_limits_count_what_is_there(self):
        before = cloud.block_storage.get_limits().absolute
        make_volume(size=2)
        after = cloud.block_storage.get_limits().absolute
        self.assertEqual(after.total_volumes_used, before.total_volumes_used + 1)
        self.assertEqual(after.total_gigabytes_used, before.total_gigabytes_used + 2)

    def test_zones_services_and_pools_are_listed(self):
        zones = list(cloud.block_storage.availability_zones())
        self.assertTrue(any(zone.state["available"] for zone in zones))
        services = list(cloud.block_storage.services())
        self.assertIn("cinder-volume", [service.binary for service in services])
        self.assertTrue(all(service.state == "up" for service in services))
        pools = [pool.name for pool in cloud.block_storage.backend_pools()]
        self.assertTrue(any(name.endswith("#local") for name in pools), pools)
        self.assertEqual(make_volume().host, next(name for name in pools if name.endswith("#local")))


class CommandLines(unittest.TestCase):
    def openstack(self, *args):
        said = harness.run(harness.venv("openstack", "openstack"), *args, "-f", "json", env=dict(os.environ))
        return json.loads(said.stdout)

    def cinder(self, *args):
        env = {name: value for name, value in os.environ.items() if name != "OS_CLOUD"}
        return harness.run(harness.venv("openstack", "cinder"), *args, env=env).stdout

    def status(self, name):
        return self.openstack("volume", "show", name)["status"]

    def test_openstack_volume_and_snapshot(self):
        name = unique("cli")
        made = self.openstack("volume", "create", "--size", "2", name)
        self.assertEqual(made["size"], 2)
        harness.wait_until("available", lambda: self.status(name) == "available")
        self.assertIn(name, [row["Name"] for row in self.openstack("volume", "list")])
        self.openstack("volume", "snapshot", "create", "--volume", name, name + "-s")
        show = lambda: self.openstack("volume", "snapshot", "show", name + "-s")["status"] == "available"
        harness.wait_until("snapshot", show)
        self.openstack("volume", "create", "--snapshot", name + "-s", name + "-c")
        harness.wait_until("clone", lambda: self.status(name + "-c") == "available")
        program = harness.venv("openstack", "openstack")
        harness.run(program, "volume", "delete", name + "-c", env=dict(os.environ))
        rows = lambda: [row["Name"] for row in self.openstack("volume", "list")]
        harness.wait_until("deleted", lambda: name + "-c" not in rows())

    def test_cinder_speaks_with_the_classic_names(self):
        name = unique("cinder")
        self.cinder("create", "1", "--name", name)
        volume = cloud.block_storage.find_volume(name, ignore_missing=False)
        ready(volume)
        self.assertIn(name, self.cinder("list"))
        self.assertIn(volume.id, self.cinder("show", name))
        self.cinder("delete", name)
        harness.wait_until("deleted", lambda: cloud.block_storage.find_volume(volume.id) is None)


if __name__ == "__main__":
    recorder.install()
    harness.main()
