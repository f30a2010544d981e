"""The administrator's side of OpenStack: types, quality of service, quotas, services, users, by the real clients."""

import json
import os
import subprocess
import unittest
import uuid

import harness
import openstack
import recorder
from keystoneauth1.exceptions import Unauthorized
from openstack import exceptions

server = None
cloud = None


def setUpModule():
    global server, cloud
    server = harness.Server().start()
    server.apply_env("openstack")
    cloud = openstack.connect()


def tearDownModule():
    server.close()


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def storage():
    """The block-storage client of the administrator."""
    return cloud.block_storage


def volume(**attrs):
    """A new volume that is ready."""
    made = storage().create_volume(size=attrs.pop("size", 1), name=unique("volume"), **attrs)
    return storage().wait_for_status(made, "available", failures=["error"], interval=0.2, wait=60)


def gone(resource):
    """Wait for a resource to disappear."""
    return storage().wait_for_delete(resource, interval=0.2, wait=60)


def cli(program, *args, **changes):
    """Run one of the command lines; what it printed."""
    env = dict(os.environ, **changes)
    return harness.run(harness.venv("openstack", program), *args, env=env).stdout


def cli_json(*args, **changes):
    """Run the `openstack` command line and read its JSON."""
    return json.loads(cli("openstack", *args, "-f", "json", **changes))


class Types(unittest.TestCase):
    def test_a_type_chooses_the_pool_and_is_not_deleted_in_use(self):
        kind = storage().create_type(name=unique("t"), description="d", is_public=True)
        storage().update_type_extra_specs(kind, volume_backend_name="dummy", note="kept")
        found = storage().find_type(kind.name, ignore_missing=False)
        self.assertEqual(found.extra_specs, {"volume_backend_name": "dummy", "note": "kept"})
        storage().delete_type_extra_specs(kind, keys=["note"])
        self.assertEqual(list(storage().get_type(kind).extra_specs), ["volume_backend_name"])
        made = volume(volume_type=kind.name)
        self.assertEqual(made.host, "parpen@dummy#dummy")
        with self.assertRaises(exceptions.BadRequestException) as refused:
            storage().delete_type(kind)
        self.assertIn("Target volume type is still in use.", str(refused.exception))
        storage().delete_volume(made)
        gone(made)
        renamed = storage().update_type(kind, name=unique("renamed"))
        self.assertEqual(storage().get_type(kind).name, renamed.name)
        storage().delete_type(kind)
        self.assertIsNone(storage().find_type(renamed.name))

    def test_access_of_private_types(self):
        kind = storage().create_type(name=unique("private"), is_public=False)
        self.assertNotIn(kind.id, [t.id for t in storage().types()])
        project = cloud.session.get_project_id()
        storage().add_type_access(kind, project)
        self.assertEqual([a["project_id"] for a in storage().get_type_access(kind)], [project])
        storage().remove_type_access(kind, project)
        self.assertEqual(storage().get_type_access(kind), [])
        storage().delete_type(kind)

    def test_encryption_records(self):
        kind = storage().create_type(name=unique("luks"))
        storage().create_type_encryption(
            kind, provider="luks", cipher="aes-xts-plain64", key_size=256, control_location="front-end"
        )
        record = storage().get_type_encryption(kind)
        self.assertEqual((record.provider, record.key_size, record.control_location), ("luks", 256, "front-end"))
        storage().update_type_encryption(volume_type=kind, key_size=512)
        self.assertEqual(storage().get_type_encryption(kind).key_size, 512)
        storage().delete_type_encryption(volume_type=kind)
        self.assertIsNone(storage().get_type_encryption(kind).provider)
        storage().delete_type(kind)

    def test_default_types(self):
        kind = storage().create_type(name=unique("default"))
        project = cloud.session.get_project_id()
        storage().set_default_type(project, kind)
        self.assertEqual(storage().show_default_type(project).volume_type_id, kind.id)
        self.assertIn(project, [d.project_id for d in storage().default_types()])
        made = volume()
        self.assertEqual(made.volume_type, kind.name)
        storage().delete_volume(made)
        gone(made)
        storage().unset_default_type(project)
        self.assertEqual(list(storage().default_types()), [])
        storage().delete_type(kind)

    def test_command_lines(self):
        name = unique("cli")
        cli("openstack", "volume", "type", "create", "--property", "a=b", "--private", name)
        shown = cli_json("volume", "type", "show", name)
        self.assertEqual((shown["properties"], shown["is_public"]), ({"a": "b"}, False))
        cli("openstack", "volume", "type", "set", "--property", "c=d", "--description", "x", name)
        cli("openstack", "volume", "type", "unset", "--property", "a", name)
        self.assertEqual(cli_json("volume", "type", "show", name)["properties"], {"c": "d"})
        self.assertIn(name, [t["Name"] for t in cli_json("volume", "type", "list", "--private")])
        cli("openstack", "volume", "type", "delete", name)
        name = unique("cinder")
        cli("cinder", "type-create", name)
        cli("cinder", "type-key", name, "set", "k=v")
        self.assertIn("k", cli("cinder", "extra-specs-list"))
        cli("cinder", "type-delete", name)


class Qos(unittest.TestCase):
    def test_specs_are_associated_and_let_go(self):
        name, kind = unique("gold"), storage().create_type(name=unique("fast"))
        cli("openstack", "volume", "qos", "create", "--consumer", "back-end", "--property", "total_iops_sec=500", name)
        cli("openstack", "volume", "qos", "associate", name, kind.name)
        shown = cli_json("volume", "qos", "show", name)
        self.assertEqual((shown["consumer"], shown["associations"]), ("back-end", [kind.name]))
        self.assertEqual(shown["properties"], {"total_iops_sec": "500"})
        cli("openstack", "volume", "qos", "set", "--property", "total_bytes_sec=4096", name)
        cli("openstack", "volume", "qos", "unset", "--property", "total_iops_sec", name)
        self.assertEqual(cli_json("volume", "qos", "show", name)["properties"], {"total_bytes_sec": "4096"})
        refused = subprocess.run(
            [harness.venv("openstack", "openstack"), "volume", "qos", "delete", name],
            env=dict(os.environ), capture_output=True, text=True, timeout=120,
        )
        self.assertNotEqual(refused.returncode, 0)
        cli("openstack", "volume", "qos", "disassociate", "--all", name)
        cli("openstack", "volume", "qos", "delete", name)
        self.assertNotIn(name, [q["Name"] for q in cli_json("volume", "qos", "list")])
        storage().delete_type(kind)


class Quotas(unittest.TestCase):
    def setUp(self):
        self.project = cloud.identity.create_project(name=unique("quota"))

    def test_a_quota_is_set_shown_and_reverted(self):
        storage().update_quota_set(self.project, volumes=3, gigabytes=7)
        self.assertEqual(storage().get_quota_set(self.project).volumes, 3)
        usage = storage().get_quota_set(self.project, usage=True)
        self.assertEqual((usage.gigabytes, usage.usage["gigabytes"]), (7, 0))
        self.assertEqual(storage().get_quota_set_defaults(self.project).volumes, -1)
        storage().revert_quota_set(self.project)
        self.assertEqual(storage().get_quota_set(self.project).volumes, -1)

    def test_it_holds_for_the_project_and_limits_tell_it(self):
        name = unique("user")
        user = cloud.identity.create_user(name=name, password="secret")
        role = cloud.identity.find_role("member")
        cloud.identity.assign_project_role_to_user(self.project, user, role)
        theirs = openstack.connect(
            load_yaml_config=False, load_envvars=False, region_name="RegionOne",
            auth=dict(
                auth_url=os.environ["OS_AUTH_URL"], username=name, password="secret",
                project_id=self.project.id, user_domain_name="Default",
            ),
        )
        storage().update_quota_set(self.project, volumes=1, gigabytes=2)
        with self.assertRaises(exceptions.HttpException) as refused:
            theirs.block_storage.create_volume(size=3)
        self.assertEqual(refused.exception.status_code, 413)
        self.assertIn("VolumeSizeExceedsAvailableQuota", str(refused.exception))
        made = theirs.block_storage.create_volume(size=1)
        theirs.block_storage.wait_for_status(made, "available", interval=0.2, wait=60)
        with self.assertRaises(exceptions.HttpException) as refused:
            theirs.block_storage.create_volume(size=1)
        self.assertIn("VolumeLimitExceeded", str(refused.exception))
        absolute = theirs.block_storage.get_limits().absolute
        self.assertEqual((absolute.max_total_volumes, absolute.total_volumes_used), (1, 1))
        with self.assertRaises(exceptions.ForbiddenException):
            theirs.block_storage.update_quota_set(self.project.id, volumes=100)
        theirs.block_storage.delete_volume(made)
        theirs.block_storage.wait_for_delete(made, interval=0.2, wait=60)
        cloud.identity.delete_user(user)

    def test_classes_and_command_lines(self):
        storage().update_quota_class_set("default", per_volume_gigabytes=900)
        self.assertEqual(storage().get_quota_class_set("default").per_volume_gigabytes, 900)
        storage().update_quota_class_set("default", per_volume_gigabytes=-1)
        cli("cinder", "quota-update", "--volumes", "5", self.project.id)
        self.assertIn("5", cli("cinder", "quota-show", self.project.id))
        self.assertEqual(server.cli_json("quota", "show", self.project.name)[1]["limit"], 5)

    def tearDown(self):
        cloud.identity.delete_project(self.project)


class Services(unittest.TestCase):
    def test_services_are_switched(self):
        for service in storage().services(binary="cinder-volume"):
            self.assertEqual((service.status, service.state), ("enabled", "up"))
        local = storage().find_service("cinder-volume", ignore_missing=False, host="parpen@local")
        storage().disable_service(local, reason="new disks")
        shown = next(storage().services(host="parpen@local"))
        self.assertEqual((shown.status, shown.disabled_reason), ("disabled", "new disks"))
        storage().enable_service(local)
        storage().freeze_service(local)
        nowhere = storage().create_volume(size=1, name=unique("volume"))
        storage().wait_for_status(nowhere, "error", failures=[], interval=0.2, wait=60)
        with self.assertRaises(exceptions.BadRequestException):
            storage().delete_volume(nowhere)
        storage().thaw_service(local)
        storage().delete_volume(nowhere)
        gone(nowhere)
        with self.assertRaises(exceptions.BadRequestException) as refused:
            storage().failover_service(local)
        self.assertIn("replication_status", str(refused.exception))

    def test_log_levels_reach_the_server(self):
        storage().set_service_log_levels(level="DEBUG", prefix="parpen_service")
        levels = {}
        for entry in storage().get_service_log_levels(prefix="parpen_service"):
            levels.update(entry.levels)
        self.assertEqual(levels["parpen_service"], "DEBUG")
        storage().set_service_log_levels(level="INFO", prefix="")

    def test_pools_capabilities_zones_and_hosts(self):
        names = [pool.name for pool in storage().backend_pools()]
        self.assertIn("parpen@local#local", names)
        self.assertEqual(storage().get_capabilities("parpen@local").vendor_name, "parpen")
        self.assertEqual([zone.name for zone in storage().availability_zones()], ["nova"])
        self.assertIn("parpen@local", cli("openstack", "volume", "host", "set", "--help") + cli("cinder", "service-list"))
        self.assertIn("parpen@local#local", cli("openstack", "volume", "backend", "pool", "list"))
        cli("openstack", "volume", "backend", "capability", "show", "parpen@local")
        self.assertTrue(list(storage().extensions()))
        self.assertTrue(list(storage().resource_filters()))


class Identity(unittest.TestCase):
    def test_the_life_of_a_user(self):
        project, name = unique("project"), unique("user")
        cli("openstack", "project", "create", project)
        cli("openstack", "user", "create", "--password", "secret", name)
        cli("openstack", "role", "add", "--project", project, "--user", name, "reader")
        listed = cli_json("role", "assignment", "list", "--project", project, "--names")
        self.assertEqual([(r["Role"], r["User"]) for r in listed], [("reader", f"{name}@Default")])
        as_user = dict(OS_USERNAME=name, OS_PASSWORD="secret", OS_PROJECT_NAME=project, OS_CLOUD="", OS_CLIENT_CONFIG_FILE="/nonexistent")
        self.assertEqual(cli_json("volume", "list", **as_user), [])
        refused = subprocess.run(
            [harness.venv("openstack", "openstack"), "volume", "create", "--size", "1", "x"],
            env=dict(os.environ, **as_user), capture_output=True, text=True, timeout=120,
        )
        self.assertIn("403", refused.stderr)
        cli("openstack", "role", "remove", "--project", project, "--user", name, "reader")
        cli("openstack", "user", "delete", name)
        cli("openstack", "project", "delete", project)
        self.assertIsNone(cloud.identity.find_project(project))

    def test_application_credentials(self):
        made = cli_json("application", "credential", "create", unique("app"), "--role", "member")
        made = {key.lower(): value for key, value in made.items()}
        program = openstack.connect(
            load_yaml_config=False, load_envvars=False, region_name="RegionOne",
            auth_type="v3applicationcredential",
            auth=dict(
                auth_url=os.environ["OS_AUTH_URL"], application_credential_id=made["id"],
                application_credential_secret=made["secret"],
            ),
        )
        self.assertIsInstance(list(program.block_storage.volumes()), list)
        cli("openstack", "application", "credential", "delete", made["name"])
        # The token ended with its credential, and the client that asks for another gets none.
        with self.assertRaises(Unauthorized):
            list(program.block_storage.volumes())

    def test_the_own_command_line(self):
        project, name = unique("p"), unique("u")
        server.cli("project", "create", project)
        harness.run(
            harness.BINARY, "user", "create", name, stdin="secret\n",
            env=dict(harness.clean_environment(), PARPEN_DATA_DIR=str(server.data)),
        )
        server.cli("user", "grant", name, "--project", project, "--role", "member")
        users = {user["name"]: user for user in server.cli_json("user", "list")}
        self.assertEqual(users[name]["roles"], [f"{project}:member"])
        self.assertIsNotNone(cloud.identity.find_user(name))
        kind = unique("t")
        server.cli("type", "create", kind, "--pool", "dummy")
        self.assertEqual(storage().find_type(kind).name, kind)
        self.assertIn(kind, server.cli("type", "list").stdout)
        server.cli("type", "delete", kind)
        server.cli("type", "create", kind, "--encryption", "back-end")
        sealed = storage().get_type_encryption(storage().find_type(kind))
        self.assertEqual((sealed.control_location, sealed.cipher), ("back-end", "aes-xts-plain64"))
        self.assertEqual(server.cli_json("type", "show", kind)["encryption"]["key_size"], 512)
        server.cli("type", "delete", kind)
        server.cli("quota", "set", project, "volumes=2")
        self.assertEqual(storage().get_quota_set(cloud.identity.find_project(project)).volumes, 2)
        server.cli("user", "delete", name)
        server.cli("project", "delete", project)


class HostileInput(unittest.TestCase):
    def test_nonsense_is_refused_in_cinders_form(self):
        token = {"X-Auth-Token": cloud.session.get_token()}
        for method, path in [
            ("POST", "/types"), ("PUT", "/os-quota-sets/" + "0" * 32), ("POST", "/qos-specs"),
            ("PUT", "/os-services/disable"), ("PUT", "/os-quota-class-sets/default"),
        ]:
            for body in ["{", "[]", "3", '{"x": {"y": [[[[[]]]]]}}', '{"volume_type": ' + "[" * 5000, ""]:
                answer = server.http(method, "/volume/v3" + path, body, token)
                self.assertIn(answer.status, (400, 413), f"{method} {path} {body[:40]}: {answer}")
                self.assertIn("message", next(iter(answer.json().values())))
        self.assertTrue(server.alive())


if __name__ == "__main__":
    recorder.install()
    harness.main()
