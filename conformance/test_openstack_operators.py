"""`openstack volume ...` and `openstack block storage ...` of operators: types, groups, services, messages."""

import json

import clients
import harness
import recorder
from clients import Case, do, exported, gone, make_volume, named_volume, osc, ready, unique

NEWEST = ("openstack", "--os-volume-api-version", "3.71")


def setUpModule():
    clients.start()


def tearDownModule():
    clients.server.close()


def column(name, *command, **changes):
    """One column of a listing."""
    return [row[name] for row in osc(*command, **changes)]


class Types(Case):
    def test_all_verbs(self):
        name = unique("type")
        osc("volume", "type", "create", "--property", "volume_backend_name=dummy", "--private", name)
        shown = osc("volume", "type", "show", name)
        self.assertEqual((shown["is_public"], shown["properties"]), (False, {"volume_backend_name": "dummy"}))
        self.assertIn(name, column("Name", "volume", "type", "list", "--private"))
        self.assertNotIn(name, column("Name", "volume", "type", "list", "--public"))
        self.assertEqual(osc("volume", "type", "list", "--default")[0]["Name"], "__DEFAULT__")
        project, guest = clients.guest()
        self.refused("", "openstack", "volume", "create", "--size", "1", "--type", name, "v", **guest)
        do("volume", "type", "set", "--project", project.id, "--description", "new", name)
        made = osc("volume", "create", "--size", "1", "--type", name, "v", **guest)
        volume = ready(clients.storage.get_volume(made["id"]))
        self.assertEqual(volume.host, clients.DUMMY)
        self.refused("in use", "openstack", "volume", "type", "delete", name)
        do("volume", "delete", volume.id)
        gone(volume)
        do("volume", "type", "unset", "--project", project.id, "--property", "volume_backend_name", name)
        self.assertEqual(osc("volume", "type", "show", name)["properties"], {})
        self.refused("", "openstack", "volume", "type", "show", name, **guest)
        do("volume", "type", "delete", name)
        self.assertNotIn(name, column("Name", "volume", "type", "list"))

    def test_encryption(self):
        name = unique("sealed")
        encryption = ("--encryption-provider", "luks", "--encryption-cipher", "aes-xts-plain64")
        osc(
            "volume", "type", "create", *encryption, "--encryption-key-size", "256",
            "--encryption-control-location", "back-end", name,
        )
        shown = osc("volume", "type", "show", "--encryption-type", name)["encryption"]
        self.assertEqual((shown["provider"], shown["key_size"], shown["control_location"]), ("luks", 256, "back-end"))
        do("volume", "type", "set", "--encryption-key-size", "512", name)
        self.assertEqual(osc("volume", "type", "show", "--encryption-type", name)["encryption"]["key_size"], 512)
        osc("volume", "create", "--size", "1", "--type", name, name)
        volume = named_volume(name)
        self.assertTrue(volume.is_encrypted)
        harness.fill(exported(volume), 0x11)
        self.assertTrue(harness.holds(exported(volume), 0x11))
        do("volume", "delete", name)
        gone(volume)
        do("volume", "type", "unset", "--encryption-type", name)
        self.assertFalse(osc("volume", "type", "show", "--encryption-type", name)["encryption"])


class Qos(Case):
    def test_all_verbs(self):
        name, kind = unique("qos"), clients.storage.create_type(name=unique("type"))
        made = osc("volume", "qos", "create", "--consumer", "both", "--property", "read_iops_sec=9", name)
        self.assertEqual((made["consumer"], made["properties"]), ("both", {"read_iops_sec": "9"}))
        do("volume", "qos", "associate", name, kind.name)
        self.assertEqual(osc("volume", "qos", "show", name)["associations"], [kind.name])
        do("volume", "qos", "set", "--property", "write_iops_sec=8", name)
        do("volume", "qos", "unset", "--property", "read_iops_sec", name)
        row = next(row for row in osc("volume", "qos", "list") if row["Name"] == name)
        self.assertEqual((row["Properties"], row["Associations"]), ({"write_iops_sec": "8"}, [kind.name]))
        self.refused("", "openstack", "volume", "qos", "delete", name)
        do("volume", "qos", "disassociate", "--volume-type", kind.name, name)
        self.assertEqual(osc("volume", "qos", "show", name).get("associations", []), [])
        do("volume", "qos", "delete", name)
        self.assertNotIn(name, column("Name", "volume", "qos", "list"))

    def test_its_limits_are_those_of_the_bytes(self):
        name, kind = unique("slow"), clients.storage.create_type(name=unique("type"))
        osc("volume", "qos", "create", "--consumer", "back-end", "--property", "total_iops_sec=20", name)
        do("volume", "qos", "associate", name, kind.name)
        volume = make_volume(volume_type=kind.name)
        found = clients.server.cli_json("volume", "show", volume.id)
        self.assertIn("20", json.dumps(found))


class Groups(Case):
    def test_group_types(self):
        name = unique("kind")
        made = osc("volume", "group", "type", "create", "--description", "d", name)
        self.assertEqual((made["Name"], made["Is Public"]), (name, True))
        osc("volume", "group", "type", "set", "--property", "a=b", "--description", "new", name)
        shown = osc("volume", "group", "type", "show", name)
        self.assertEqual((shown["Description"], shown["Properties"]), ("new", {"a": "b"}))
        self.assertIn(name, column("Name", "volume", "group", "type", "list"))
        do("volume", "group", "type", "delete", name)
        self.assertNotIn(name, column("Name", "volume", "group", "type", "list"))

    def test_groups_and_their_snapshots_with_bytes(self):
        kind, volume = clients.storage.create_group_type(name=unique("kind")), make_volume()
        name = unique("group")
        harness.fill(exported(volume), 0x21)
        default = clients.storage.get_type("default").name
        made = osc(
            "volume", "group", "create", "--name", name, "--volume-group-type", kind.name, "--volume-type", default
        )
        group = ready(clients.storage.get_group(made["ID"]))
        do("volume", "group", "add", "volume", name, volume.name)
        self.becomes(lambda: osc("volume", "group", "show", "--volumes", name)["Volumes"], [volume.id])
        self.assertEqual(clients.storage.get_volume(volume.id).group_id, group.id)
        osc("volume", "group", "set", "--description", "new", name)
        self.assertEqual(osc("volume", "group", "show", name)["Description"], "new")
        self.assertIn(name, column("Name", "volume", "group", "list"))
        taken = osc("volume", "group", "snapshot", "create", "--name", name + "-s", name)["ID"]
        snapshot = ready(clients.storage.get_group_snapshot(taken))
        self.assertEqual(osc("volume", "group", "snapshot", "show", name + "-s")["Status"], "available")
        self.assertIn(taken, column("ID", "volume", "group", "snapshot", "list"))
        harness.fill(exported(volume), 0x22)
        osc("volume", "group", "create", "--name", name + "-c", "--group-snapshot", name + "-s")
        copy = ready(clients.storage.find_group(name + "-c", ignore_missing=False))
        member = next(each for each in clients.storage.volumes() if each.group_id == copy.id)
        self.assertTrue(harness.holds(exported(member), 0x21))
        do("volume", "group", "delete", "--force", copy.id)
        gone(copy)
        self.assertIsNone(clients.storage.find_volume(member.id))
        do("volume", "group", "snapshot", "delete", taken)
        gone(snapshot)
        self.assertNotIn(taken, column("ID", "volume", "group", "snapshot", "list"))
        do("volume", "group", "remove", "volume", name, volume.id)
        self.becomes(lambda: clients.storage.get_volume(volume.id).group_id, None)
        do("volume", "group", "delete", name)
        gone(group)
        self.assertTrue(harness.holds(exported(volume), 0x22))

    def test_groups_without_a_replication_target_do_not_fail_over(self):
        kind = clients.storage.create_group_type(name=unique("kind"))
        types = [clients.storage.get_type("default").id]
        group = ready(clients.storage.create_group(name=unique("g"), group_type=kind.id, volume_types=types))
        # The client sends a name of its own code in the place of the action's.
        self.refused("There is no such action", *NEWEST, "volume", "group", "failover", group.name)
        self.assertEqual(clients.storage.get_group(group.id).status, "available")


class Services(Case):
    def test_services_are_listed_and_switched(self):
        row = lambda: osc("volume", "service", "list", "--long", "--host", "parpen@dummy")[0]
        self.assertEqual((row()["Binary"], row()["Status"], row()["State"]), ("cinder-volume", "enabled", "up"))
        do("volume", "service", "set", "--disable", "--disable-reason", "new disks", "parpen@dummy", "cinder-volume")
        self.assertEqual((row()["Status"], row()["Disabled Reason"]), ("disabled", "new disks"))
        do("volume", "service", "set", "--enable", "parpen@dummy", "cinder-volume")
        self.assertEqual(row()["Status"], "enabled")

    def test_hosts_are_frozen_and_do_not_fail_over(self):
        volume = make_volume()
        do("volume", "host", "set", "--disable", "parpen@local")
        self.assertTrue(next(clients.storage.services(host="parpen@local")).is_frozen)
        self.refused("", "openstack", "volume", "snapshot", "create", "--volume", volume.id, unique("s"))
        do("volume", "host", "set", "--enable", "parpen@local")
        self.assertFalse(next(clients.storage.services(host="parpen@local")).is_frozen)
        clients.make_snapshot(volume)
        said = "replication_status"
        self.refused(said, "openstack", "volume", "host", "failover", "--volume-backend", "other", "parpen@local")

    def test_pools_and_capabilities(self):
        self.assertEqual(set(column("Name", "volume", "backend", "pool", "list")), {clients.LOCAL, clients.DUMMY})
        row = next(r for r in osc("volume", "backend", "pool", "list", "--long") if r["Name"] == clients.LOCAL)
        self.assertGreater(row["Capabilities"]["total_capacity_gb"], 0)
        self.assertTrue(column("Title", "volume", "backend", "capability", "show", "parpen@local"))

    def test_log_levels(self):
        do("block", "storage", "log", "level", "set", "--log-prefix", "parpen_service", "DEBUG")
        rows = osc("block", "storage", "log", "level", "list", "--log-prefix", "parpen_service")
        self.assertIn("DEBUG", [row["Level"] for row in rows if row["Prefix"] == "parpen_service"])
        do("block", "storage", "log", "level", "set", "--log-prefix", "parpen_service", "INFO")
        rows = osc("block", "storage", "log", "level", "list", "--log-prefix", "parpen_service")
        self.assertNotIn("DEBUG", [row["Level"] for row in rows])

    def test_resource_filters(self):
        listed = {row["Resource"]: row["Filters"] for row in osc("block", "storage", "resource", "filter", "list")}
        self.assertIn("status", listed["volume"])
        shown = osc("block", "storage", "resource", "filter", "show", "backup")
        self.assertEqual(shown["Filters"], listed["backup"])

    def test_nothing_is_left_to_clean_up(self):
        # The client puts what Cinder wants posted, and cannot do without these two options.
        cleanup = ("block", "storage", "cleanup", "--cluster", "none", "--binary", "cinder-volume")
        self.refused("The resource could not be found.", *NEWEST, *cleanup, "--host", "parpen@local")
        answer = clients.api("POST", "/workers/cleanup", {"host": "parpen@local"})
        self.assertEqual((answer.status_code, answer.json()), (202, {"cleaning": [], "unavailable": []}))

    def test_one_process_has_no_clusters(self):
        self.assertEqual(osc("block", "storage", "cluster", "list"), [])
        cluster = (*NEWEST, "block", "storage", "cluster")
        self.refused("Cluster nothing could not be found.", *cluster, "show", "nothing")
        self.refused("Cluster nothing could not be found.", *cluster, "set", "--disable", "nothing")


class Messages(Case):
    def test_what_went_wrong_is_told_and_forgotten(self):
        kind = clients.storage.create_type(name=unique("t"), extra_specs={"volume_backend_name": "nowhere"})
        volume = clients.storage.create_volume(size=1, name=unique("v"), volume_type=kind.name)
        self.becomes(lambda: clients.status(volume), "error")
        mine = [row for row in osc("volume", "message", "list") if row["Resource UUID"] == volume.id]
        self.assertEqual((len(mine), mine[0]["Message Level"]), (1, "ERROR"))
        self.assertIn("Could not find any available weighted backend.", mine[0]["User Message"])
        message = mine[0]["ID"]
        # The client looks for the other fields below a key that Cinder does not send.
        self.assertEqual(osc("volume", "message", "show", message)["ID"], message)
        shown = clients.api("GET", f"/messages/{message}").json()["message"]
        self.assertEqual((shown["resource_uuid"], shown["resource_type"]), (volume.id, "VOLUME"))
        do("volume", "message", "delete", message)
        self.assertNotIn(message, column("ID", "volume", "message", "list"))
        do("volume", "delete", volume.id)
        gone(volume)


class ConsistencyGroups(Case):
    """They were superseded by groups: Cinder serves them only where an old release left their type behind."""

    def test_there_are_none_and_none_can_be_made(self):
        self.assertEqual(osc("consistency", "group", "list"), [])
        self.assertEqual(osc("consistency", "group", "snapshot", "list"), [])
        default = clients.storage.get_type("default").name
        self.refused(
            "default_cgsnapshot_type", "openstack", "consistency", "group", "create", "--volume-type", default, "g"
        )
        self.assertEqual(osc("consistency", "group", "list"), [])

    def test_those_that_are_not_there_are_not_found(self):
        volume = make_volume()
        for words in (
            ("show", "g"), ("delete", "g"), ("set", "--name", "x", "g"), ("add", "volume", "g", volume.id),
            ("remove", "volume", "g", volume.id), ("snapshot", "create", "--consistency-group", "g", "s"),
            ("snapshot", "show", "s"), ("snapshot", "delete", "s"),
        ):
            self.refused("found", "openstack", "consistency", "group", *words)


if __name__ == "__main__":
    recorder.install()
    harness.main()
