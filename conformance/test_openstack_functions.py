"""Functions of openstacksdk about groups, declared states and moves, each with its effect."""

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
        said = self.refuses(404, clients.cloud.session.delete, f"{storage.get_endpoint()}/snapshots/{snapshot.id}/metadata/a")
        self.assertTrue(said)

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

    def test_a_move_ends_by_itself_and_is_not_ended_by_hand(self):
        storage, first, second = clients.storage, make_volume(), make_volume()
        harness.fill(exported(first), 0x13)
        said = self.refuses(400, storage.complete_volume_migration, first, second.id)
        self.assertTrue(said)
        storage.migrate_volume(first, host=clients.DUMMY)
        self.becomes(lambda: storage.get_volume(first.id).migration_status, "success")
        self.assertTrue(harness.holds(exported(first), 0x13))


if __name__ == "__main__":
    recorder.install()
    harness.main()
