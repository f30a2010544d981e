"""Functions of openstacksdk about groups, declared states and moves, each with its effect."""

import uuid

import clients
import harness
import recorder
from clients import Case, exported, make_snapshot, make_volume, ready, unique


def setUpModule():
    clients.start()


def tearDownModule():
    clients.server.close()


class Groups(Case):
    def test_lists_and_specs(self):
        storage = clients.storage
        kind = storage.create_group_type(name=unique("kind"), group_specs={"a": "1"})
        self.assertIn(kind.id, [each.id for each in storage.group_types()])
        self.assertEqual(storage.fetch_group_type_group_specs(kind).group_specs, {"a": "1"})
        types = [storage.get_type("default").id]
        group = ready(storage.create_group(name=unique("group"), group_type=kind.id, volume_types=types))
        self.assertIn(group.id, [each.id for each in storage.groups()])
        self.assertIn(group.id, [each.id for each in storage.groups(details=False)])
        volume = make_volume()
        storage.update_group(group, add_volumes=volume.id)
        self.becomes(lambda: storage.get_volume(volume.id).group_id, group.id)
        taken = ready(storage.create_group_snapshot(group_id=group.id, name=unique("taken")))
        self.assertIn(taken.id, [each.id for each in storage.group_snapshots()])
        members = [each for each in storage.snapshots() if each.group_snapshot_id == taken.id]
        self.assertEqual([each.volume_id for each in members], [volume.id])


class Snapshots(Case):
    def test_metadata_is_removed_by_key(self):
        storage = clients.storage
        snapshot = make_snapshot(make_volume(), metadata={"a": "1", "b": "2"})
        storage.delete_snapshot_metadata(snapshot, keys=["a"])
        self.assertEqual(storage.get_snapshot(snapshot.id).metadata, {"b": "2"})
        self.assertEqual(clients.api("DELETE", f"/snapshots/{snapshot.id}/metadata/a").status_code, 404)

    def test_states_are_declared(self):
        storage, snapshot = clients.storage, make_snapshot(make_volume())
        storage.reset_snapshot_status(snapshot, "error")
        self.assertEqual(storage.get_snapshot(snapshot.id).status, "error")
        storage.reset_snapshot_status(snapshot, "creating")
        storage.set_snapshot_status(snapshot, "available", progress="80%")
        found = storage.get_snapshot(snapshot.id)
        self.assertEqual((found.status, found.progress), ("available", "80%"))
        self.refuses(400, storage.set_snapshot_status, snapshot, "deleting")


class Moves(Case):
    def test_reverting_brings_the_bytes_back(self):
        storage, volume = clients.storage, make_volume()
        harness.fill(exported(volume), 0x11)
        snapshot = make_snapshot(volume)
        harness.fill(exported(volume), 0x12)
        storage.revert_volume_to_snapshot(volume, snapshot)
        ready(volume)
        self.assertTrue(harness.holds(exported(volume), 0x11))

    def test_who_holds_one_volume_holds_another_after_a_swap(self):
        storage, old, new = clients.storage, make_volume(), make_volume()
        instance = str(uuid.uuid4())
        storage.attach_volume(old, "/dev/vdb", instance=instance)
        storage.complete_volume_migration(old, new.id)
        ready(old)
        found = storage.get_volume(new.id)
        self.assertEqual((found.status, found.attachments[0]["server_id"]), ("in-use", instance))
        self.assertTrue(harness.opens(exported(old)))
        self.assertFalse(harness.opens(exported(new)), "the plain export is closed while attached")

    def test_a_move_ends_by_itself_and_not_by_hand(self):
        storage, volume, other = clients.storage, make_volume(), make_volume()
        harness.fill(exported(volume), 0x13)
        storage.migrate_volume(volume, host=clients.DUMMY)
        self.becomes(lambda: storage.get_volume(volume.id).migration_status, "success")
        said = self.refuses(400, storage.complete_volume_migration, volume, other.id)
        self.assertIn("Destination volume not mid-migration.", said)
        self.assertTrue(harness.holds(exported(volume), 0x13))


if __name__ == "__main__":
    recorder.install()
    harness.main()
