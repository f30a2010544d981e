"""`cinder`: types, qualities, groups, quotas, services and messages, each command with its effect."""

import uuid

import clients
import harness
import recorder
from clients import Case, cinder, exported, gone, make_volume, named_volume, properties, ready, table, unique


def setUpModule():
    clients.start()


def tearDownModule():
    clients.server.close()


def names(*command, **changes):
    """The names in a listing."""
    return [row["Name"] for row in table(cinder(*command, **changes))]


class Types(Case):
    def test_all_verbs(self):
        name = unique("type")
        cinder("type-create", "--description", "d", "--is-public", "False", name)
        kind = clients.storage.find_type(name, ignore_missing=False)
        cinder("type-key", name, "set", "volume_backend_name=dummy")
        row = next(row for row in table(cinder("extra-specs-list")) if row["Name"] == name)
        self.assertIn("'volume_backend_name': 'dummy'", row["extra_specs"])
        project, guest = clients.guest()
        self.assertNotIn(name, names("type-list", **guest))
        cinder("type-access-add", "--volume-type", name, "--project-id", project.id)
        self.assertIn(project.id, cinder("type-access-list", "--volume-type", name))
        self.assertIn(name, names("type-list", **guest))
        cinder("create", "--volume-type", name, "--name", name, "1", **guest)
        volume = next(v for v in clients.storage.volumes(all_projects=True) if v.name == name)
        self.assertEqual(ready(volume).host, clients.DUMMY)
        self.refused("", "cinder", "type-delete", name)
        cinder("type-access-remove", "--volume-type", name, "--project-id", project.id)
        self.assertNotIn(name, names("type-list", **guest))
        cinder("type-update", "--name", name + "-2", "--is-public", "True", kind.id)
        shown = properties(cinder("type-show", kind.id))
        self.assertEqual((shown["name"], shown["is_public"]), (name + "-2", "True"))
        cinder("delete", volume.id)
        gone(volume)
        cinder("type-delete", kind.id)
        self.assertIsNone(clients.storage.find_type(kind.id))

    def test_defaults(self):
        self.assertEqual(names("type-default"), ["__DEFAULT__"])
        kind, project = clients.storage.create_type(name=unique("default")), clients.cloud.session.get_project_id()
        cinder("default-type-set", kind.name, project)
        self.assertIn(kind.id, cinder("default-type-list"))
        self.assertEqual(make_volume().volume_type, kind.name)
        cinder("default-type-unset", project)
        self.assertNotIn(kind.id, cinder("default-type-list"))
        self.assertEqual(make_volume().volume_type, "__DEFAULT__")

    def test_encryption(self):
        kind = clients.storage.create_type(name=unique("sealed"))
        how = ("--cipher", "aes-xts-plain64", "--key-size", "256", "--control-location", "back-end")
        cinder("encryption-type-create", *how, kind.name, "luks")
        rows = table(cinder("encryption-type-show", kind.name))
        self.assertEqual([(row["Provider"], row["Key Size"]) for row in rows], [("luks", "256")])
        cinder("encryption-type-update", "--key-size", "512", kind.name)
        mine = [row for row in table(cinder("encryption-type-list")) if row["Volume Type ID"] == kind.id]
        self.assertEqual([row["Key Size"] for row in mine], ["512"])
        volume = make_volume(volume_type=kind.name)
        self.assertTrue(volume.is_encrypted)
        harness.fill(exported(volume), 0x11)
        self.assertTrue(harness.holds(exported(volume), 0x11))
        clients.storage.delete_volume(volume)
        gone(volume)
        cinder("encryption-type-delete", kind.name)
        self.assertNotIn(kind.id, cinder("encryption-type-list"))


class Qos(Case):
    def test_all_verbs(self):
        name = unique("qos")
        first, second = (clients.storage.create_type(name=unique("type")) for _ in range(2))
        made = properties(cinder("qos-create", name, "consumer=back-end", "read_iops_sec=9"))
        cinder("qos-key", made["id"], "set", "write_iops_sec=8")
        cinder("qos-key", made["id"], "unset", "read_iops_sec")
        self.assertIn("write_iops_sec", properties(cinder("qos-show", made["id"]))["specs"])
        self.assertNotIn("read_iops_sec", cinder("qos-show", made["id"]))
        for kind in (first, second):
            cinder("qos-associate", made["id"], kind.id)
        self.assertEqual(set(names("qos-get-association", made["id"])), {first.name, second.name})
        self.refused("", "cinder", "qos-delete", made["id"])
        cinder("qos-disassociate", made["id"], first.id)
        self.assertEqual(names("qos-get-association", made["id"]), [second.name])
        cinder("qos-disassociate-all", made["id"])
        self.assertEqual(names("qos-get-association", made["id"]), [])
        self.assertIn(name, names("qos-list"))
        cinder("qos-delete", made["id"])
        harness.wait_until("deleted", lambda: name not in names("qos-list"))


class Groups(Case):
    def test_group_types(self):
        name = unique("kind")
        cinder("group-type-create", "--description", "d", name)
        kind = clients.storage.find_group_type(name, ignore_missing=False)
        cinder("group-type-key", name, "set", "a=b")
        row = next(row for row in table(cinder("group-specs-list")) if row["Name"] == name)
        self.assertIn("'a': 'b'", row["group_specs"])
        cinder("group-type-update", "--name", name + "-2", kind.id)
        self.assertEqual(properties(cinder("group-type-show", kind.id))["name"], name + "-2")
        self.assertIn(name + "-2", names("group-type-list"))
        cinder("group-type-delete", kind.id)
        self.assertNotIn(name + "-2", names("group-type-list"))

    def test_no_group_type_is_the_default(self):
        self.refused("Default group type can not be found.", "cinder", "group-type-default")

    def test_groups_and_their_snapshots_with_bytes(self):
        kind, name = clients.storage.create_group_type(name=unique("kind")), unique("group")
        cinder("group-create", "--name", name, kind.name, "__DEFAULT__")
        group = ready(clients.storage.find_group(name, ignore_missing=False))
        self.refused("volume_type must be provided", "cinder", "create", "--group-id", group.id, "1")
        cinder("create", "--group-id", group.id, "--volume-type", "__DEFAULT__", "--name", name + "-v", "1")
        volume = named_volume(name + "-v")
        harness.fill(exported(volume), 0x21)
        shown = cinder("group-show", "--list-volume", "True", group.id)
        self.assertIn(volume.id, shown)
        self.assertIn(name, names("group-list"))
        cinder("group-snapshot-create", "--name", name + "-s", group.id)
        snapshot = ready(clients.storage.find_group_snapshot(name + "-s", ignore_missing=False))
        shown = properties(cinder("group-snapshot-show", snapshot.id))
        self.assertEqual((shown["group_id"], shown["status"]), (group.id, "available"))
        self.assertIn(name + "-s", names("group-snapshot-list"))
        harness.fill(exported(volume), 0x22)
        cinder("group-create-from-src", "--group-snapshot", snapshot.id, "--name", name + "-c")
        copy = ready(clients.storage.find_group(name + "-c", ignore_missing=False))
        member = next(each for each in clients.storage.volumes() if each.group_id == copy.id)
        self.assertTrue(harness.holds(exported(member), 0x21))
        cinder("group-delete", "--delete-volumes", copy.id)
        gone(copy)
        self.assertIsNone(clients.storage.find_volume(member.id))
        cinder("group-snapshot-delete", snapshot.id)
        gone(snapshot)
        cinder("group-update", "--remove-volumes", volume.id, "--description", "new", group.id)
        self.becomes(lambda: clients.storage.get_volume(volume.id).group_id, None)
        self.assertEqual(clients.storage.get_group(group.id).description, "new")
        cinder("group-delete", group.id)
        gone(group)
        self.assertTrue(harness.holds(exported(volume), 0x22))

    def test_groups_are_not_replicated_without_a_target(self):
        kind, name = clients.storage.create_group_type(name=unique("kind")), unique("group")
        cinder("group-create", "--name", name, kind.name, "__DEFAULT__")
        group = ready(clients.storage.find_group(name, ignore_missing=False))
        for verb in ("enable-replication", "disable-replication", "failover-replication", "list-replication-targets"):
            self.refused(f"Group {group.id} is not a replication group type", "cinder", f"group-{verb}", group.id)
        self.assertEqual(clients.storage.get_group(group.id).status, "available")


class Quotas(Case):
    def test_a_quota_binds_and_is_given_up(self):
        project, guest = clients.guest()
        cinder("quota-update", "--volumes", "1", "--gigabytes", "5", project.id)
        shown = properties(cinder("quota-show", project.id))
        self.assertEqual((shown["volumes"], shown["gigabytes"]), ("1", "5"))
        self.assertEqual(properties(cinder("quota-defaults", project.id))["volumes"], "-1")
        self.refused("VolumeSizeExceedsAvailableQuota", "cinder", "create", "6", **guest)
        cinder("create", "--name", project.name, "2", **guest)
        self.refused("VolumeLimitExceeded", "cinder", "create", "1", **guest)
        used = {row["Type"]: (row["In_use"], row["Limit"]) for row in table(cinder("quota-usage", project.id))}
        self.assertEqual((used["volumes"], used["gigabytes"]), (("1", "1"), ("2", "5")))
        limits = properties(cinder("absolute-limits", **guest))
        self.assertEqual((limits["maxTotalVolumes"], limits["totalGigabytesUsed"]), ("1", "2"))
        cinder("quota-delete", project.id)
        self.assertEqual(properties(cinder("quota-show", project.id))["volumes"], "-1")
        cinder("create", "1", **guest)
        self.assertEqual(len(names("list", **guest)), 2)

    def test_a_class_holds_for_all(self):
        _, guest = clients.guest()
        cinder("quota-class-update", "--per-volume-gigabytes", "2", "default")
        self.assertEqual(properties(cinder("quota-class-show", "default"))["per_volume_gigabytes"], "2")
        self.refused("HTTP 4", "cinder", "create", "3", **guest)
        cinder("quota-class-update", "--per-volume-gigabytes", "-1", "default")
        cinder("create", "--name", "x", "3", **guest)
        self.assertEqual(names("list", **guest), ["x"])

    def test_there_are_no_limits_on_rates(self):
        self.assertEqual(table(cinder("rate-limits")), [])


class Services(Case):
    def row(self):
        rows = table(cinder("service-list", "--host", "parpen@dummy", "--binary", "cinder-volume"))
        self.assertEqual(len(rows), 1)
        return rows[0]["Status"], rows[0]["State"], rows[0]["Disabled Reason"]

    def test_services_are_listed_and_switched(self):
        self.assertEqual(self.row(), ("enabled", "up", "-"))
        cinder("service-disable", "--reason", "new disks", "parpen@dummy", "cinder-volume")
        self.assertEqual(self.row(), ("disabled", "up", "new disks"))
        cinder("service-enable", "parpen@dummy", "cinder-volume")
        self.assertEqual(self.row(), ("enabled", "up", "-"))

    def test_hosts_are_frozen_and_do_not_fail_over(self):
        volume = make_volume()
        cinder("freeze-host", "parpen@local")
        self.refused("HTTP 400", "cinder", "snapshot-create", volume.id)
        cinder("thaw-host", "parpen@local")
        cinder("snapshot-create", "--name", volume.name, volume.id)
        ready(clients.storage.find_snapshot(volume.name, ignore_missing=False))
        self.refused("replication_status", "cinder", "failover-host", "parpen@local", "--backend_id", "other")

    def test_log_levels(self):
        level = lambda: {r["Prefix"]: r["Level"] for r in table(cinder("service-get-log", "--prefix", "parpen_service"))}
        cinder("service-set-log", "--prefix", "parpen_service", "debug")
        self.assertEqual(level()["parpen_service"], "DEBUG")
        cinder("service-set-log", "--prefix", "parpen_service", "info")
        self.assertEqual(level()["parpen_service"], "INFO")

    def test_what_the_service_is_and_has(self):
        self.assertEqual(table(cinder("availability-zone-list")), [{"Name": "nova", "Status": "available"}])
        pools = cinder("get-pools", "--detail")
        self.assertTrue(clients.LOCAL in pools and clients.DUMMY in pools)
        self.assertEqual(properties(cinder("get-capabilities", "parpen@local"))["vendor_name"], "parpen")
        filters = {row["Resource"]: row["Filters"] for row in table(cinder("list-filters"))}
        self.assertIn("status", filters["volume"])
        self.assertEqual([row["Version"] for row in table(cinder("api-version"))], ["3.71"])
        self.assertIn("3.71", cinder("version-list"))

    def test_one_process_has_no_clusters(self):
        self.assertEqual(table(cinder("cluster-list")), [])
        for verb in ("show", "enable", "disable"):
            words = "Cluster nothing could not be found."
            self.refused(words, "cinder", f"cluster-{verb}", "cinder-volume", "nothing")

    def test_nothing_is_left_to_clean_up(self):
        self.assertIn("No cleanable services", cinder("work-cleanup", "--host", "parpen@local"))
        self.refused("pending cleanup", "cinder", "work-cleanup", "--resource-id", str(uuid.uuid4()))


class Messages(Case):
    def test_what_went_wrong_is_told_and_forgotten(self):
        kind = clients.storage.create_type(name=unique("t"), extra_specs={"volume_backend_name": "nowhere"})
        volume = clients.storage.create_volume(size=1, name=unique("v"), volume_type=kind.name)
        self.becomes(lambda: clients.status(volume), "error")
        rows = table(cinder("message-list", "--resource_uuid", volume.id))
        self.assertEqual([row["Resource Type"] for row in rows], ["VOLUME"])
        shown = properties(cinder("message-show", rows[0]["ID"]))
        self.assertEqual((shown["resource_uuid"], shown["message_level"]), (volume.id, "ERROR"))
        self.assertIn("Could not find any available weighted backend.", shown["user_message"])
        cinder("message-delete", rows[0]["ID"])
        self.assertEqual(table(cinder("message-list", "--resource_uuid", volume.id)), [])


class ConsistencyGroups(Case):
    """They were superseded by groups: Cinder serves them only where an old release left their type behind."""

    def test_there_are_none_and_none_can_be_made(self):
        self.assertEqual((table(cinder("consisgroup-list")), table(cinder("cgsnapshot-list"))), ([], []))
        self.refused("default_cgsnapshot_type", "cinder", "consisgroup-create", "__DEFAULT__")
        self.assertEqual(table(cinder("consisgroup-list")), [])

    def test_those_that_are_not_there_are_not_found(self):
        for words in (
            ("consisgroup-show", "g"), ("consisgroup-delete", "g"), ("consisgroup-update", "--name", "x", "g"),
            ("consisgroup-create-from-src", "--source-cg", "g"), ("cgsnapshot-create", "g"), ("cgsnapshot-show", "s"),
            ("cgsnapshot-delete", "s"),
        ):
            result = clients.run("cinder", *words, check=False)
            self.assertNotEqual(result.returncode, 0, words)
            self.assertIn("No consistencygroup" if "g" in words[1:] else "No cgsnapshot", result.stdout + result.stderr)


if __name__ == "__main__":
    recorder.install()
    harness.main()
