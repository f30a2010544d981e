"""`cinder`: volumes, snapshots, attachments, transfers and backups, each command with its effect."""

import shutil
import uuid

import clients
import harness
import recorder
from clients import (
    Case, cinder, exported, gone, make_snapshot, make_volume, named_volume, properties, ready, status, table, unique,
)


def setUpModule():
    clients.start()


def tearDownModule():
    clients.server.close()


def names(*command, **changes):
    """The names in a listing."""
    return [row["Name"] for row in table(cinder(*command, **changes))]


class Volumes(Case):
    def test_create_show_list_and_delete(self):
        name = unique("made")
        cinder("create", "--name", name, "--description", "d", "--metadata", "a=b", "2")
        volume = named_volume(name)
        shown = properties(cinder("show", name))
        self.assertEqual((shown["id"], shown["size"], shown["description"]), (volume.id, "2", "d"))
        self.assertIn("a : b", shown["metadata"])
        self.assertEqual(names("list", "--name", name), [name])
        self.assertEqual(names("list", "--metadata", "a=b", "--status", "available", "--name", name), [name])
        self.assertNotIn(name, names("list", "--status", "error"))
        harness.fill(exported(volume), 0x11)
        snapshot = make_snapshot(volume)
        self.refused("", "cinder", "delete", name)
        cinder("delete", "--cascade", name)
        gone(volume)
        self.assertIsNone(clients.storage.find_snapshot(snapshot.id))
        self.assertFalse(harness.opens(exported(volume)))

    def test_copies_have_the_bytes(self):
        source = make_volume()
        harness.fill(exported(source), 0x12)
        snapshot = make_snapshot(source)
        for option, origin in (("--source-volid", source), ("--snapshot-id", snapshot)):
            name = unique("copy")
            cinder("create", option, origin.id, "--name", name, "1")
            self.assertTrue(harness.holds(exported(named_volume(name)), 0x12), option)

    def test_names_and_metadata(self):
        volume, name = make_volume(metadata={"old": "1"}), unique("renamed")
        cinder("rename", volume.id, name, "--description", "new")
        found = clients.storage.get_volume(volume.id)
        self.assertEqual((found.name, found.description), (name, "new"))
        cinder("metadata", name, "set", "a=b", "c=d")
        cinder("metadata", name, "unset", "old")
        self.assertEqual(properties(cinder("metadata-show", name)), {"a": "b", "c": "d"})
        cinder("metadata-update-all", name, "e=f")
        self.assertEqual(properties(cinder("metadata-show", name)), {"e": "f"})
        cinder("image-metadata", name, "set", "os=linux", "arch=x86")
        self.assertEqual(properties(cinder("image-metadata-show", name)), {"os": "linux", "arch": "x86"})
        cinder("image-metadata", name, "unset", "os")
        self.assertEqual(clients.storage.get_volume(volume.id).volume_image_metadata, {"arch": "x86"})
        cinder("set-bootable", name, "True")
        self.assertTrue(clients.storage.get_volume(volume.id).is_bootable)

    def test_extend_and_read_only_bind_the_bytes(self):
        volume = make_volume()
        cinder("extend", volume.id, "2")
        self.becomes(lambda: (clients.storage.get_volume(volume.id).size, status(volume)), (2, "available"))
        harness.fill(exported(volume), 0x13, "1G")
        self.refused("greater than current size", "cinder", "extend", volume.id, "2")
        cinder("readonly-mode-update", volume.id, "True")
        self.assertFalse(harness.qemu_io(exported(volume), "write -P 1 0 4k", check=False))
        cinder("readonly-mode-update", volume.id, "False")
        harness.fill(exported(volume), 0x14)
        self.assertTrue(harness.holds(exported(volume), 0x13, "1G"))

    def test_states_are_declared_and_force_deletes(self):
        volume = make_volume()
        cinder("reset-state", "--state", "creating", volume.id)
        self.assertEqual(status(volume), "creating")
        self.refused("", "cinder", "delete", volume.id)
        cinder("force-delete", volume.id)
        gone(volume)
        self.assertFalse(harness.opens(exported(volume)))

    def test_volumes_move_and_are_retyped(self):
        there = clients.storage.create_type(name=unique("there"), extra_specs={"volume_backend_name": "dummy"})
        volume = make_volume()
        harness.fill(exported(volume), 0x15)
        cinder("retype", "--migration-policy", "on-demand", volume.id, there.name)
        self.becomes(lambda: (clients.storage.get_volume(volume.id).volume_type, status(volume)), (there.name, "available"))
        self.assertEqual(clients.storage.get_volume(volume.id).host, clients.DUMMY)
        cinder("migrate", volume.id, clients.LOCAL)
        self.becomes(lambda: clients.storage.get_volume(volume.id).host, clients.LOCAL)
        self.assertTrue(harness.holds(exported(volume), 0x15))
        self.assertEqual(names("list", "--migration_status", "success", "--name", volume.name), [volume.name])

    def test_a_volume_is_let_go_and_taken_over(self):
        volume, name = make_volume(), unique("again")
        harness.fill(exported(volume), 0x16)
        cinder("unmanage", volume.id)
        harness.wait_until("let go", lambda: clients.storage.find_volume(volume.id) is None)
        self.assertIn(volume.id, cinder("manageable-list", "--detailed", "True", clients.LOCAL))
        cinder("manage", "--id-type", "source-name", "--name", name, clients.LOCAL, f"volume-{volume.id}")
        self.assertTrue(harness.holds(exported(named_volume(name)), 0x16))

    def test_the_summary_counts(self):
        count = lambda: int(properties(cinder("summary"))["total_count"])
        before = count()
        make_volume()
        self.assertEqual(count(), before + 1)


class Snapshots(Case):
    def test_all_verbs(self):
        volume, name = make_volume(), unique("snap")
        harness.fill(exported(volume), 0x21)
        cinder("snapshot-create", "--name", name, "--metadata", "a=b", "--", volume.id)
        snapshot = ready(clients.storage.find_snapshot(name, ignore_missing=False))
        harness.fill(exported(volume), 0x22)
        self.assertTrue(harness.holds(exported(snapshot), 0x21))
        shown = properties(cinder("snapshot-show", name))
        self.assertEqual((shown["id"], shown["volume_id"], shown["status"]), (snapshot.id, volume.id, "available"))
        self.assertEqual(names("snapshot-list", "--volume-id", volume.id), [name])
        cinder("snapshot-rename", name, name + "-2", "--description", "new")
        cinder("snapshot-metadata", name + "-2", "set", "c=d")
        self.assertEqual(properties(cinder("snapshot-metadata-show", name + "-2")), {"a": "b", "c": "d"})
        cinder("snapshot-metadata-update-all", name + "-2", "e=f")
        found = clients.storage.get_snapshot(snapshot.id)
        self.assertEqual((found.name, found.description, found.metadata), (name + "-2", "new", {"e": "f"}))
        cinder("snapshot-reset-state", "--state", "error", snapshot.id)
        self.assertEqual(names("snapshot-list", "--status", "error", "--volume-id", volume.id), [name + "-2"])
        cinder("snapshot-reset-state", "--state", "available", snapshot.id)
        cinder("revert-to-snapshot", snapshot.id)
        ready(volume)
        self.assertTrue(harness.holds(exported(volume), 0x21))
        cinder("snapshot-delete", name + "-2")
        gone(snapshot)
        self.assertEqual(names("snapshot-list", "--volume-id", volume.id), [])

    def test_one_is_let_go_and_taken_over(self):
        volume, name = make_volume(), unique("again")
        harness.fill(exported(volume), 0x23)
        snapshot = make_snapshot(volume)
        cinder("snapshot-unmanage", snapshot.id)
        harness.wait_until("let go", lambda: clients.storage.find_snapshot(snapshot.id) is None)
        self.assertIn(snapshot.id, cinder("snapshot-manageable-list", clients.LOCAL))
        cinder("snapshot-manage", "--id-type", "source-name", "--name", name, volume.id, f"snapshot-{snapshot.id}")
        again = ready(clients.storage.find_snapshot(name, ignore_missing=False))
        self.assertTrue(harness.holds(exported(again), 0x23))


class Attachments(Case):
    def test_one_lives_through_all_verbs(self):
        volume, instance = make_volume(), str(uuid.uuid4())
        harness.fill(exported(volume), 0x31)
        made = properties(cinder("attachment-create", volume.id, instance))
        attachment = made["id"]
        self.assertEqual((made["status"], status(volume)), ("reserved", "reserved"))
        cinder("attachment-update", "--host", "h", "--ip", "127.0.0.1", attachment)
        found = clients.storage.get_attachment(attachment)
        export = clients.server.nbd_uri(found.connection_info["export"])
        self.assertTrue(harness.holds(export, 0x31))
        self.assertFalse(harness.opens(exported(volume)))
        cinder("attachment-complete", attachment)
        shown = properties(cinder("attachment-show", attachment))
        self.assertEqual((shown["status"], shown["instance"], status(volume)), ("attached", instance, "in-use"))
        self.assertIn(attachment, cinder("attachment-list", "--volume-id", volume.id))
        cinder("attachment-delete", attachment)
        ready(volume)
        self.assertFalse(harness.opens(export))
        self.assertNotIn(attachment, cinder("attachment-list"))


class Transfers(Case):
    def test_an_offer_goes_to_another_project(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x41)
        project, guest = clients.guest()
        offer = properties(cinder("transfer-create", "--name", unique("offer"), volume.id))
        self.assertEqual(status(volume), "awaiting-transfer")
        self.assertIn(offer["id"], cinder("transfer-list"))
        shown = properties(cinder("transfer-show", offer["id"]))
        self.assertEqual((shown["volume_id"], "auth_key" in shown), (volume.id, False))
        self.refused("", "cinder", "transfer-accept", offer["id"], "wrong", **guest)
        cinder("transfer-accept", offer["id"], offer["auth_key"], **guest)
        self.assertEqual(ready(volume).project_id, project.id)
        self.assertEqual(names("list", **guest), [volume.name])
        self.assertTrue(harness.holds(exported(volume), 0x41))

    def test_an_offer_is_taken_back(self):
        volume = make_volume()
        offer = properties(cinder("transfer-create", volume.id))
        cinder("transfer-delete", offer["id"])
        ready(volume)
        self.assertNotIn(offer["id"], cinder("transfer-list"))


class Backups(Case):
    def test_all_verbs_with_bytes(self):
        volume, name = make_volume(), unique("backup")
        harness.fill(exported(volume), 0x51)
        cinder("backup-create", "--name", name, volume.id)
        first = ready(clients.storage.find_backup(name, ignore_missing=False))
        harness.fill(exported(volume), 0x52)
        cinder("backup-create", "--incremental", "--name", name + "-2", volume.id)
        second = ready(clients.storage.find_backup(name + "-2", ignore_missing=False))
        self.assertEqual(set(names("backup-list", "--volume-id", volume.id)), {name, name + "-2"})
        shown = properties(cinder("backup-show", name + "-2"))
        self.assertEqual((shown["id"], shown["is_incremental"]), (second.id, "True"))
        cinder("backup-update", "--name", name + "-3", "--description", "new", second.id)
        found = clients.storage.get_backup(second.id)
        self.assertEqual((found.name, found.description), (name + "-3", "new"))
        for backup, pattern in ((first, 0x51), (second, 0x52)):
            restored = unique("restored")
            cinder("backup-restore", "--name", restored, backup.id)
            self.assertTrue(harness.holds(exported(named_volume(restored)), pattern))
            ready(backup)
        cinder("backup-reset-state", "--state", "error", second.id)
        self.assertEqual(clients.storage.get_backup(second.id).status, "error")
        self.refused("", "cinder", "backup-delete", first.id)
        for backup in (second, first):
            cinder("backup-delete", backup.id)
            gone(backup)
        self.assertEqual(names("backup-list", "--volume-id", volume.id), [])

    def test_a_record_is_exported_and_imported(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x53)
        backup = ready(clients.storage.create_backup(volume_id=volume.id, name=unique("backup")))
        record = properties(cinder("backup-export", backup.id))
        store, kept = clients.server.data / "backups", clients.server.folder / unique("kept")
        shutil.copytree(store, kept)
        cinder("backup-delete", backup.id)
        gone(backup)
        # The record is lost, what it tells of is not.
        shutil.rmtree(store)
        shutil.move(kept, store)
        again = properties(cinder("backup-import", record["backup_service"], record["backup_url"]))
        again = ready(clients.storage.get_backup(again["id"]))
        answer = clients.storage.restore_backup(again, name=unique("restored"))
        restored = ready(clients.storage.get_volume(answer.volume_id))
        self.assertTrue(harness.holds(exported(restored), 0x53))


class Images(Case):
    def test_a_volume_becomes_an_image_and_another_is_made_of_it(self):
        volume, name = make_volume(), unique("image")
        harness.fill(exported(volume), 0x61)
        cinder("upload-to-image", "--disk-format", "qcow2", volume.id, name)
        ready(volume)
        image = clients.cloud.image.find_image(name, ignore_missing=False)
        self.assertEqual((image.status, image.disk_format), ("active", "qcow2"))
        cinder("create", "--image-id", image.id, "--name", name, "1")
        self.assertTrue(harness.holds(exported(named_volume(name)), 0x61))
        other = make_volume()
        harness.fill(exported(other), 0x62)
        cinder("reimage", other.id, image.id)
        ready(other)
        self.assertTrue(harness.holds(exported(other), 0x61))
        self.assertEqual(clients.storage.get_volume(other.id).volume_image_metadata["image_id"], image.id)


if __name__ == "__main__":
    recorder.install()
    harness.main()
