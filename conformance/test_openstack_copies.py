"""Backups, images and encryption at rest: openstacksdk and both command lines, with the bytes read back through NBD."""

import json
import os
import pathlib
import shutil
import unittest
import uuid

import harness
import openstack
from openstack import exceptions

server = None
cloud = None

MIB = 1 << 20


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


def ready(thing, status="available", seconds=60):
    """Wait for a volume, snapshot or backup to reach a state."""
    return cloud.block_storage.wait_for_status(thing, status, failures=["error"], interval=0.2, wait=seconds)


def gone(thing):
    """Wait for something to disappear."""
    return cloud.block_storage.wait_for_delete(thing, interval=0.2, wait=60)


def make_volume(size=1, **attrs):
    """A new volume that is ready."""
    attrs.setdefault("name", unique("volume"))
    return ready(cloud.block_storage.create_volume(size=size, **attrs))


def make_backup(volume, **attrs):
    """A new backup that is ready."""
    attrs.setdefault("name", unique("backup"))
    return ready(cloud.block_storage.create_backup(volume_id=volume.id, **attrs))


def uri(thing):
    """The plain NBD export of a volume or snapshot."""
    return server.nbd_uri(thing.id)


def raw(method, path, body=None, version="3.71"):
    """A request as the SDK would send it, where the SDK has no function."""
    endpoint = cloud.block_storage.get_endpoint()
    headers = {"OpenStack-API-Version": f"volume {version}"}
    return cloud.session.request(endpoint + path, method, json=body, headers=headers, raise_exc=False)


def osc(*args, check=True):
    """The `openstack` command; its JSON where there is any."""
    result = harness.run(harness.venv("openstack", "openstack"), *args, env=dict(os.environ), check=check)
    if not check:
        return result
    return json.loads(result.stdout) if "json" in args else result.stdout


def cinder(*args, check=True):
    """The `cinder` command."""
    return harness.run(harness.venv("openstack", "cinder"), *args, env=dict(os.environ), check=check)


class Backups(unittest.TestCase):
    def test_a_backup_gives_back_the_bytes(self):
        volume = make_volume()
        harness.fill(uri(volume), 0x11, "0", "3M")
        harness.fill(uri(volume), 0x22, "700M", "1M")
        backup = make_backup(volume, description="words")
        self.assertEqual(backup.volume_id, volume.id)
        self.assertEqual((backup.size, backup.is_incremental, backup.description), (1, False, "words"))
        self.assertGreaterEqual(backup.object_count, 2)
        harness.fill(uri(volume), 0x99, "0", "1M")
        answer = cloud.block_storage.restore_backup(backup, name=unique("restored"))
        restored = cloud.block_storage.get_volume(answer.volume_id)
        restored = ready(restored)
        self.assertTrue(harness.holds(uri(restored), 0x11, "0", "3M"))
        self.assertTrue(harness.holds(uri(restored), 0x22, "700M", "1M"))
        self.assertTrue(harness.holds(uri(restored), 0x00, "4M", "64M"))
        kept = json.loads(harness.run("nbdinfo", "--map", "--json", uri(restored)).stdout)
        data = sum(e["length"] for e in kept if e["type"] == 0)
        self.assertLessEqual(data, 5 * MIB, "holes stay holes")

    def test_increments_restore_to_their_instant_over_an_existing_volume(self):
        volume = make_volume()
        harness.fill(uri(volume), 0x31, "0", "8M")
        first = make_backup(volume)
        harness.fill(uri(volume), 0x32, "1M", "1M")
        second = make_backup(volume, is_incremental=True)
        harness.qemu_io(uri(volume), "discard 2M 1M", "flush")
        harness.fill(uri(volume), 0x33, "500M", "1M")
        third = make_backup(volume, is_incremental=True)
        self.assertTrue(second.is_incremental and third.is_incremental)
        first = cloud.block_storage.get_backup(first.id)
        self.assertTrue(first.has_dependent_backups)
        with self.assertRaises(exceptions.BadRequestException) as refused:
            cloud.block_storage.delete_backup(first, ignore_missing=False)
        self.assertIn("Incremental backups exist for this backup.", str(refused.exception))
        target = make_volume()
        harness.fill(uri(target), 0x77, "0", "600M")
        for backup, changed in ((third, 0x33), (second, 0x00), (first, 0x00)):
            cloud.block_storage.restore_backup(backup, volume_id=target.id)
            target = ready(cloud.block_storage.get_volume(target.id))
            self.assertTrue(harness.holds(uri(target), 0x31, "0", "1M"))
            self.assertTrue(harness.holds(uri(target), 0x31 if backup is first else 0x32, "1M", "1M"))
            self.assertTrue(harness.holds(uri(target), 0x00 if backup is third else 0x31, "2M", "1M"))
            self.assertTrue(harness.holds(uri(target), changed, "500M", "1M"))
            self.assertTrue(harness.holds(uri(target), 0x00, "550M", "50M"), "old bytes are gone")
            ready(backup)
        for backup in (third, second, first):
            cloud.block_storage.delete_backup(backup, ignore_missing=False)
            gone(backup)

    def test_an_increment_stores_little(self):
        volume = make_volume()
        noise = pathlib.Path(server.folder) / unique("noise")
        noise.write_bytes(os.urandom(32 * MIB))
        harness.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", noise, uri(volume))
        first = make_backup(volume)
        before = sum(f.stat().st_size for f in (server.data / "backups").rglob("*") if f.is_file())
        harness.fill(uri(volume), 0x41, "0", "64k")
        second = make_backup(volume, is_incremental=True)
        after = sum(f.stat().st_size for f in (server.data / "backups").rglob("*") if f.is_file())
        self.assertGreater(first.object_count, 1)
        self.assertLess(after - before, 1 * MIB)
        noise.unlink()
        self.assertTrue(second.is_incremental)

    def test_any_of_a_chain_may_be_deleted_by_the_operator(self):
        volume = make_volume()
        backups = []
        for n in range(3):
            harness.fill(uri(volume), 0x51 + n, f"{n}M", "1M")
            backups.append(make_backup(volume, is_incremental=n > 0))
        server.cli("backup", "delete", backups[0].id, "--dependents")
        server.cli("backup", "delete", backups[1].id, "--dependents")
        server.cli("backup", "verify", backups[2].id)
        answer = cloud.block_storage.restore_backup(backups[2], name=unique("restored"))
        restored = ready(cloud.block_storage.get_volume(answer.volume_id))
        for n in range(3):
            self.assertTrue(harness.holds(uri(restored), 0x51 + n, f"{n}M", "1M"))
        server.cli("backup", "delete", backups[2].id)
        left = [f for f in (server.data / "backups").rglob(volume.id + "/**/*") if f.is_file()]
        self.assertEqual(left, [], "nothing is left in the store")

    def test_snapshots_and_volumes_in_use_are_backed_up(self):
        volume = make_volume()
        harness.fill(uri(volume), 0x61)
        snapshot = ready(cloud.block_storage.create_snapshot(volume_id=volume.id, name=unique("snapshot")))
        harness.fill(uri(volume), 0x62)
        of_snapshot = make_backup(volume, snapshot_id=snapshot.id)
        self.assertEqual(of_snapshot.snapshot_id, snapshot.id)
        attached = cloud.block_storage.create_attachment(
            volume.id, connector={"host": "h", "ip": "10.0.0.1"}, instance=str(uuid.uuid4())
        )
        cloud.block_storage.complete_attachment(attached)
        with self.assertRaises(exceptions.BadRequestException) as refused:
            cloud.block_storage.create_backup(volume_id=volume.id, name="x")
        self.assertIn("Backing up an in-use volume must use the force flag.", str(refused.exception))
        forced = make_backup(volume, force=True)
        for backup, pattern in ((of_snapshot, 0x61), (forced, 0x62)):
            answer = cloud.block_storage.restore_backup(backup, name=unique("restored"))
            restored = ready(cloud.block_storage.get_volume(answer.volume_id))
            self.assertTrue(harness.holds(uri(restored), pattern))
        cloud.block_storage.delete_attachment(attached)

    def test_refusals_have_cinders_words(self):
        volume = make_volume()
        with self.assertRaises(exceptions.BadRequestException) as refused:
            cloud.block_storage.create_backup(volume_id=volume.id, is_incremental=True)
        self.assertIn("No backups available to do an incremental backup.", str(refused.exception))
        with self.assertRaises(exceptions.NotFoundException):
            cloud.block_storage.create_backup(volume_id=str(uuid.uuid4()))
        big = make_volume(size=2)
        backup = make_backup(big)
        answer = raw("POST", f"/backups/{backup.id}/restore", {"restore": {"volume_id": volume.id}})
        self.assertEqual(answer.status_code, 400)
        self.assertIn("volume size 1 is too small to restore backup of size 2.", answer.text)
        for container in ("../x", "a/b", ".", "x" * 256):
            answer = raw("POST", "/backups", {"backup": {"volume_id": volume.id, "container": container}})
            self.assertEqual(answer.status_code, 400, container)

    def test_lists_filter_sort_and_page(self):
        volume = make_volume()
        names = [unique("list") for _ in range(3)]
        made = [make_backup(volume, name=name) for name in names]
        found = list(cloud.block_storage.backups(name=names[1]))
        self.assertEqual([b.id for b in found], [made[1].id])
        paged = list(cloud.block_storage.backups(volume_id=volume.id, limit=1, sort_key="created_at", sort_dir="asc"))
        self.assertEqual([b.id for b in paged], [b.id for b in made])
        self.assertEqual(cloud.block_storage.find_backup(names[2]).id, made[2].id)
        answer = raw("GET", f"/backups?volume_id={volume.id}&with_count=true&limit=2").json()
        self.assertEqual((answer["count"], len(answer["backups"])), (3, 2))
        self.assertEqual(set(answer["backups"][0]), {"id", "name", "links"})

    def test_fields_follow_the_microversion(self):
        volume = make_volume()
        made = raw("POST", "/backups", {"backup": {"volume_id": volume.id, "name": "n", "metadata": {"a": "b"}}})
        self.assertEqual((made.status_code, set(made.json()["backup"])), (202, {"id", "name", "links"}))
        backup = cloud.block_storage.get_backup(made.json()["backup"]["id"])
        ready(backup)
        base = {
            "id", "name", "links", "status", "size", "object_count", "availability_zone", "container", "created_at",
            "updated_at", "description", "fail_reason", "volume_id", "is_incremental", "has_dependent_backups",
            "snapshot_id", "data_timestamp",
        }
        later = {18: "os-backup-project-attr:project_id", 43: "metadata", 56: "user_id"}
        for version in (0, 17, 18, 42, 43, 55, 56, 64, 71):
            want = base | {key for since, key in later.items() if since <= version}
            got = raw("GET", f"/backups/{backup.id}", version=f"3.{version}").json()["backup"]
            self.assertEqual(set(got), want, version)
        self.assertEqual(got["metadata"], {"a": "b"})
        changed = raw("PUT", f"/backups/{backup.id}", {"backup": {"name": "other", "metadata": {"c": "d"}}})
        self.assertEqual(changed.status_code, 200)
        got = raw("GET", f"/backups/{backup.id}").json()["backup"]
        self.assertEqual((got["name"], got["metadata"]), ("other", {"c": "d"}))
        self.assertEqual(raw("PUT", f"/backups/{backup.id}", {"backup": {}}, version="3.8").status_code, 404)

    def test_status_is_reset_and_force_deleted(self):
        backup = make_backup(make_volume())
        cloud.block_storage.reset_backup_status(backup, "error")
        self.assertEqual(cloud.block_storage.get_backup(backup.id).status, "error")
        cloud.block_storage.reset_backup_status(backup, "available")
        self.assertEqual(cloud.block_storage.get_backup(backup.id).status, "available")
        answer = raw("POST", f"/backups/{backup.id}/action", {"os-reset_status": {"status": "lost"}})
        self.assertEqual(answer.status_code, 400)
        cloud.block_storage.delete_backup(backup, ignore_missing=False, force=True)
        gone(backup)

    def test_a_record_brings_a_lost_backup_back(self):
        volume = make_volume()
        harness.fill(uri(volume), 0x71)
        backup = make_backup(volume)
        record = raw("GET", f"/backups/{backup.id}/export_record").json()["backup-record"]
        store = server.data / "backups"
        shutil.copytree(store, server.folder / "kept")
        cloud.block_storage.delete_backup(backup, ignore_missing=False)
        gone(backup)
        shutil.rmtree(store)
        shutil.move(server.folder / "kept", store)
        answer = raw("POST", "/backups/import_record", {"backup-record": record})
        self.assertEqual(answer.status_code, 201, answer.text)
        self.assertEqual(raw("POST", "/backups/import_record", {"backup-record": record}).status_code, 400)
        again = ready(cloud.block_storage.get_backup(answer.json()["backup"]["id"]))
        self.assertEqual(again.name, backup.name)
        answer = cloud.block_storage.restore_backup(again, name=unique("restored"))
        self.assertTrue(harness.holds(uri(ready(cloud.block_storage.get_volume(answer.volume_id))), 0x71))
        bad = dict(record, backup_url="e30=")
        self.assertEqual(raw("POST", "/backups/import_record", {"backup-record": bad}).status_code, 400)

    def test_a_volume_is_created_from_a_backup(self):
        volume = make_volume()
        harness.fill(uri(volume), 0x81)
        backup = make_backup(volume)
        made = ready(cloud.block_storage.create_volume(backup_id=backup.id, size=2, name=unique("from")), seconds=90)
        self.assertEqual(made.size, 2)
        self.assertTrue(harness.holds(uri(made), 0x81))

    def test_the_backup_outlives_its_volume(self):
        volume = make_volume()
        harness.fill(uri(volume), 0x91)
        backup = make_backup(volume)
        cloud.block_storage.delete_volume(volume)
        gone(volume)
        answer = cloud.block_storage.restore_backup(backup, name=unique("restored"))
        self.assertTrue(harness.holds(uri(ready(cloud.block_storage.get_volume(answer.volume_id))), 0x91))
        cloud.block_storage.delete_backup(backup, ignore_missing=False)
        gone(backup)

    def test_damage_is_found_and_nothing_false_is_restored(self):
        volume = make_volume()
        harness.fill(uri(volume), 0xA1)
        backup = make_backup(volume)
        server.cli("backup", "verify", backup.id)
        segment = next(f for f in (server.data / "backups").rglob(f"segments/{backup.id}/*"))
        bytes_of = bytearray(segment.read_bytes())
        bytes_of[100] ^= 1
        segment.write_bytes(bytes_of)
        self.assertNotEqual(server.cli("backup", "verify", backup.id, check=False).returncode, 0)
        self.assertIn("damaged", cloud.block_storage.get_backup(backup.id).fail_reason)
        answer = cloud.block_storage.restore_backup(backup, name=unique("restored"))
        broken = cloud.block_storage.get_volume(answer.volume_id)
        with self.assertRaises(exceptions.ResourceFailure):
            ready(broken)
        self.assertEqual(cloud.block_storage.get_backup(backup.id).status, "available")

    def test_the_command_lines_do_all_this(self):
        volume = make_volume()
        harness.fill(uri(volume), 0xB1)
        name = unique("cli")
        osc("volume", "backup", "create", "--name", name, "-f", "json", volume.name)
        backup = ready(cloud.block_storage.find_backup(name))
        self.assertEqual(osc("volume", "backup", "show", name, "-f", "json")["status"], "available")
        self.assertIn(name, [b["Name"] for b in osc("volume", "backup", "list", "-f", "json")])
        osc("volume", "backup", "set", "--name", name + "-x", backup.id)
        osc("volume", "backup", "restore", backup.id, "-f", "json")
        exported = osc("volume", "backup", "record", "export", backup.id, "-f", "json")
        self.assertEqual(exported["backup_service"], "parpen")
        cinder("backup-create", "--name", name + "-c", "--incremental", volume.id)
        second = ready(cloud.block_storage.find_backup(name + "-c"))
        self.assertTrue(second.is_incremental)
        self.assertIn(second.id, cinder("backup-list").stdout)
        self.assertIn("available", cinder("backup-show", second.id).stdout)
        cinder("backup-reset-state", "--state", "available", second.id)
        cinder("backup-delete", second.id)
        gone(second)
        osc("volume", "backup", "delete", backup.id)
        gone(backup)

    def test_a_killed_server_finishes_its_backups(self):
        volume = make_volume()
        noise = pathlib.Path(server.folder) / unique("noise")
        noise.write_bytes(os.urandom(48 * MIB))
        harness.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", noise, uri(volume))
        for n in range(3):
            backup = cloud.block_storage.create_backup(volume_id=volume.id, name=unique("killed"))
            segments = f"segments/{backup.id}/*"
            harness.wait_until("a segment", lambda: n == 0 or any((server.data / "backups").rglob(segments)))
            restart()
            backup = ready(cloud.block_storage.get_backup(backup.id))
            answer = cloud.block_storage.restore_backup(backup, name=unique("restored"))
            harness.wait_until("restoring", lambda: cloud.block_storage.get_volume(answer.volume_id))
            restart()
            restored = ready(cloud.block_storage.get_volume(answer.volume_id))
            harness.run("qemu-img", "compare", "-f", "raw", "-F", "raw", uri(restored), noise)
            ready(cloud.block_storage.get_backup(backup.id))


def restart():
    """kill -9 and start anew; ports move, so the connection is made again."""
    global cloud
    server.kill()
    server.start()
    server.apply_env("openstack")
    cloud = openstack.connect()


if __name__ == "__main__":
    harness.main()
