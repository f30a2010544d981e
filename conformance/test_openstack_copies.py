"""Backups, images and encryption at rest: openstacksdk and both command lines, with the bytes read back through NBD."""

import hashlib
import http.server
import json
import os
import pathlib
import shutil
import tempfile
import threading
import unittest
import uuid

import harness
import openstack
import recorder
from bucket import Bucket
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


def restored_over(backup, volume):
    """Whether a backup is put into a volume now: a reader's connection ends a moment after it."""
    try:
        return cloud.block_storage.restore_backup(backup, volume_id=volume.id)
    except exceptions.BadRequestException:
        return None


def uri(thing):
    """The plain NBD export of a volume or snapshot."""
    return server.nbd_uri(thing.id)


def raw(method, path, body=None, version="3.71"):
    """A request as the SDK would send it, where the SDK has no function."""
    endpoint = cloud.block_storage.get_endpoint()
    headers = {"OpenStack-API-Version": f"volume {version}"}
    return cloud.session.request(endpoint + path, method, json=body, headers=headers, raise_exc=False)


def told(resource):
    """The event of the message that says what went wrong with something."""
    found = lambda: raw("GET", f"/messages?resource_uuid={resource}").json()["messages"]
    return harness.wait_until("message", found)[0]["event_id"]


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
        used = server.cli_json("pool", "show", "local")["used"]
        answer = cloud.block_storage.restore_backup(backup, name=unique("restored"))
        restored = ready(cloud.block_storage.get_volume(answer.volume_id))
        self.assertTrue(harness.holds(uri(restored), 0x11, "0", "3M"))
        self.assertTrue(harness.holds(uri(restored), 0x22, "700M", "1M"))
        self.assertTrue(harness.holds(uri(restored), 0x00, "4M", "64M"))
        used = server.cli_json("pool", "show", "local")["used"] - used
        self.assertLess(used, 16 * MIB, "holes stay holes")

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
            harness.wait_until("the last reader has left", lambda: restored_over(backup, target))
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
        self.assertEqual(told(backup.id), "VOLUME_VOLUME_BACKUP_015_026")
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
        osc("volume", "backup", "restore", backup.id, name + "-r", "-f", "json")
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


def make_image(path, disk_format="raw", **attrs):
    """An image of a file, uploaded."""
    image = cloud.image.create_image(
        attrs.pop("name", unique("image")), filename=str(path), disk_format=disk_format, container_format="bare",
        wait=True, validate_checksum=True, **attrs,
    )
    return cloud.image.get_image(image.id)


def disk_file(size="64M", writes=()):
    """A sparse raw file with patterns in it."""
    path = pathlib.Path(server.folder) / unique("disk")
    harness.run("qemu-img", "create", "-q", "-f", "raw", path, size)
    for pattern, offset, length in writes:
        harness.qemu_io(path, f"write -P {pattern:#x} {offset} {length}")
    return path


PATTERNS = ((0x11, "0", "1M"), (0x22, "3M", "64k"), (0x33, "63M", "1M"))


class Images(unittest.TestCase):
    def holds_patterns(self, volume):
        for pattern, offset, length in PATTERNS:
            self.assertTrue(harness.holds(uri(volume), pattern, offset, length), (pattern, offset))
        self.assertTrue(harness.holds(uri(volume), 0x00, "1M", "2M"))
        self.assertTrue(harness.holds(uri(volume), 0x00, "4M", "59M"))
        self.assertTrue(harness.holds(uri(volume), 0x00, "64M", "64M"))

    def test_an_image_comes_back_as_it_went_in(self):
        path = disk_file("8M", PATTERNS[:2])
        image = make_image(path, min_disk=1, properties={"os_type": "linux"})
        self.assertEqual((image.status, image.size, image.hash_algo), ("active", 8 * MIB, "sha512"))
        self.assertEqual(image.min_disk, 1)
        bytes_of = path.read_bytes()
        self.assertEqual(image.checksum, hashlib.md5(bytes_of).hexdigest())
        self.assertEqual(image.hash_value, hashlib.sha512(bytes_of).hexdigest())
        self.assertEqual(cloud.image.download_image(image).content, bytes_of)
        self.assertEqual(cloud.image.find_image(image.name).id, image.id)
        self.assertIn(image.id, [i.id for i in cloud.image.images(name=image.name)])
        cloud.image.update_image(image, name="other", os_type="bsd")
        changed = cloud.image.get_image(image.id)
        self.assertEqual((changed.name, changed.os_type), ("other", "bsd"))
        cloud.image.add_tag(image, "a tag")
        self.assertEqual(cloud.image.get_image(image.id).tags, ["a tag"])
        cloud.image.remove_tag(image, "a tag")
        cloud.image.deactivate_image(image)
        self.assertEqual(cloud.image.get_image(image.id).status, "deactivated")
        cloud.image.reactivate_image(image)
        cloud.image.update_image(image, is_protected=True)
        with self.assertRaises(exceptions.ForbiddenException):
            cloud.image.delete_image(image, ignore_missing=False)
        cloud.image.update_image(image, is_protected=False)
        cloud.image.delete_image(image, ignore_missing=False)
        with self.assertRaises(exceptions.NotFoundException):
            cloud.image.get_image(image.id)
        file = server.data / "images" / image.id
        harness.wait_until("the file to go", lambda: not file.exists())

    def test_lists_page(self):
        path = disk_file("1M")
        tag = unique("tag")
        made = [make_image(path, tags=[tag]).id for _ in range(3)]
        found = [i.id for i in cloud.image.images(tag=tag, limit=1, sort_key="created_at", sort_dir="asc")]
        self.assertEqual(found, made)

    def test_volumes_are_made_of_every_kind_of_image(self):
        raw_file = disk_file("64M", PATTERNS)
        kinds = {
            "raw": ["-O", "raw"],
            "qcow2": ["-O", "qcow2"],
            "qcow2, version 2": ["-O", "qcow2", "-o", "compat=0.10"],
            "qcow2, zlib": ["-c", "-O", "qcow2"],
            "qcow2, zstd": ["-c", "-O", "qcow2", "-o", "compression_type=zstd"],
            "qcow2, small clusters": ["-O", "qcow2", "-o", "cluster_size=4k"],
            "qcow2, large clusters": ["-O", "qcow2", "-o", "cluster_size=2M"],
        }
        for kind, options in kinds.items():
            with self.subTest(kind):
                path = pathlib.Path(server.folder) / unique("converted")
                harness.run("qemu-img", "convert", "-f", "raw", *options, raw_file, path)
                image = make_image(path, "raw" if kind == "raw" else "qcow2", os_type="linux")
                self.assertEqual(image.virtual_size, 64 * MIB)
                volume = make_volume(image_id=image.id)
                self.holds_patterns(volume)
                self.assertTrue(volume.is_bootable)
                kept = cloud.block_storage.get_volume(volume.id).volume_image_metadata
                self.assertEqual((kept["image_id"], kept["os_type"]), (image.id, "linux"))
                self.assertEqual(kept["checksum"], image.checksum)
                cloud.block_storage.delete_volume(volume)
                cloud.image.delete_image(image)
                path.unlink()

    def test_what_cannot_be_read_is_refused(self):
        raw_file = disk_file("1M")
        for options in (["-o", "extended_l2=on"], ["-B", "raw", "-b", str(raw_file)]):
            path = pathlib.Path(server.folder) / unique("strange")
            if "-b" in options:
                harness.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw_file, path)
            else:
                harness.run("qemu-img", "create", "-q", "-f", "qcow2", *options, path, "1M")
            image = cloud.image.create_image(unique("image"), disk_format="qcow2", container_format="bare")
            answer = cloud.session.put(
                cloud.image.get_endpoint().rstrip("/").removesuffix("/v2") + f"/v2/images/{image.id}/file", data=path.read_bytes(), raise_exc=False,
                headers={"Content-Type": "application/octet-stream"},
            )
            self.assertEqual(answer.status_code, 400, options)
            self.assertIn("Image is unacceptable", answer.text)
            self.assertEqual(cloud.image.get_image(image.id).status, "queued")

    def test_sizes_and_states_are_checked_with_cinders_words(self):
        image = make_image(disk_file("1M"), min_disk=3)
        answer = raw("POST", "/volumes", {"volume": {"size": 1, "imageRef": image.id}})
        self.assertEqual(answer.status_code, 400)
        self.assertIn("Volume size 1GB cannot be smaller than the image minDisk size 3GB.", answer.text)
        path = pathlib.Path(server.folder) / unique("large")
        harness.run("qemu-img", "create", "-q", "-f", "qcow2", path, "5G")
        large = make_image(path, "qcow2")
        answer = raw("POST", "/volumes", {"volume": {"size": 2, "imageRef": large.id}})
        self.assertEqual(answer.status_code, 400)
        self.assertIn("Image virtual size is 5GB and doesn't fit in a volume of size 2GB.", answer.text)
        cloud.image.deactivate_image(large)
        answer = raw("POST", "/volumes", {"volume": {"size": 5, "imageRef": large.id}})
        self.assertIn(f"Image {large.id} is not active.", answer.text)
        for unknown in (str(uuid.uuid4()), "nothing"):
            answer = raw("POST", "/volumes", {"volume": {"size": 1, "imageRef": unknown}})
            self.assertEqual(answer.status_code, 400)
            self.assertIn("Invalid image identifier", answer.text)

    def test_damaged_images_make_no_volume(self):
        image = make_image(disk_file("1M", PATTERNS[:1]))
        file = server.data / "images" / image.id
        bytes_of = bytearray(file.read_bytes())
        bytes_of[5] ^= 1
        file.write_bytes(bytes_of)
        volume = cloud.block_storage.create_volume(size=1, image_id=image.id, name=unique("volume"))
        with self.assertRaises(exceptions.ResourceFailure):
            ready(volume)
        self.assertEqual(told(volume.id), "VOLUME_VOLUME_005_001")
        cloud.block_storage.delete_volume(volume)
        gone(volume)

    def test_volumes_become_images_of_both_formats(self):
        volume = make_volume()
        for pattern, offset, length in PATTERNS:
            harness.fill(uri(volume), pattern, offset, length)
        for form in ("raw", "qcow2"):
            answer = cloud.block_storage.upload_volume_to_image(
                volume, unique("uploaded"), disk_format=form, container_format="bare", force=False
            )
            ready(cloud.block_storage.get_volume(volume.id), seconds=120)
            image = cloud.image.get_image(answer["image_id"])
            self.assertEqual((image.status, image.disk_format, image.virtual_size), ("active", form, 1024 * MIB))
            stored = server.data / "images" / image.id
            if form == "qcow2":
                harness.run("qemu-img", "check", "-f", "qcow2", stored)
                self.assertLess(stored.stat().st_size, 4 * MIB)
            harness.run("qemu-img", "compare", "-f", form, "-F", "raw", stored, uri(volume))
            again = make_volume(image_id=image.id)
            self.holds_patterns(again)

    def test_a_volume_is_reimaged(self):
        volume = make_volume()
        harness.fill(uri(volume), 0x99, "0", "900M")
        image = make_image(disk_file("16M", PATTERNS[:2]))
        answer = raw("POST", f"/volumes/{volume.id}/action", {"os-reimage": {"image_id": image.id}})
        self.assertEqual(answer.status_code, 202, answer.text)
        volume = ready(cloud.block_storage.get_volume(volume.id))
        self.assertTrue(harness.holds(uri(volume), 0x11, "0", "1M"))
        self.assertTrue(harness.holds(uri(volume), 0x00, "1M", "2M"))
        self.assertTrue(harness.holds(uri(volume), 0x00, "16M", "900M"), "old bytes are gone")
        self.assertEqual(volume.volume_image_metadata["image_id"], image.id)

    def test_the_command_lines_make_and_use_images(self):
        path = disk_file("64M", PATTERNS)
        name = unique("image")
        osc("image", "create", "--disk-format", "raw", "--container-format", "bare", "--file", path, name, "-f", "json")
        self.assertIn(name, [i["Name"] for i in osc("image", "list", "-f", "json")])
        volume = osc("volume", "create", "--size", "1", "--image", name, unique("volume"), "-f", "json")
        volume = ready(cloud.block_storage.get_volume(volume["id"]))
        self.holds_patterns(volume)
        osc("image", "create", "--volume", volume.name, name + "-2", "-f", "json")
        ready(cloud.block_storage.get_volume(volume.id), seconds=120)
        saved = pathlib.Path(server.folder) / unique("saved")
        osc("image", "save", "--file", saved, name + "-2")
        harness.run("qemu-img", "compare", "-f", "raw", "-F", "raw", saved, path)
        cinder("upload-to-image", "--disk-format", "qcow2", volume.id, name + "-3")
        ready(cloud.block_storage.get_volume(volume.id), seconds=120)
        self.assertEqual(osc("image", "show", name + "-3", "-f", "json")["status"], "active")
        osc("image", "set", "--property", "a=b", name)
        osc("image", "delete", name, name + "-2", name + "-3")
        made = server.cli_json("image", "create", unique("own"), "--file", str(path))
        own = server.cli_json("image", "volume", made["id"], unique("own"), "--size", "1GiB")
        self.holds_patterns(cloud.block_storage.get_volume(own["id"]))
        of = server.cli_json("image", "create", unique("own"), "--volume", own["id"], "--format", "qcow2")
        self.assertEqual(of["state"], "active")
        server.cli("image", "save", of["id"], str(saved), "--force")
        harness.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", saved, path)
        server.cli("image", "delete", of["id"])

    def test_versions_need_no_token(self):
        for path in ("/image", "/image/", "/image/v2"):
            answer = server.http("GET", path)
            self.assertEqual(answer.status, 300)
            self.assertEqual(answer.json()["versions"][0]["status"], "CURRENT")
        self.assertEqual(server.http("GET", "/image/v2/images").status, 401)


SECRET = b"the quick brown secret of volume encryption " * 3


def encrypted_type(location="back-end"):
    """A volume type whose volumes are encrypted."""
    kind = cloud.block_storage.create_type(name=unique("sealed"))
    cloud.block_storage.create_type_encryption(
        kind, provider="luks", cipher="aes-xts-plain64", key_size=512, control_location=location
    )
    return kind


def put_bytes(volume, offset, data):
    """Writes bytes through NBD."""
    path = pathlib.Path(server.folder) / unique("bytes")
    path.write_bytes(data)
    harness.qemu_io(uri(volume), f"write -s {path} {offset} {len(data)}", "flush")
    path.unlink()


def got_bytes(thing, offset, length):
    """Reads bytes through NBD."""
    path = pathlib.Path(server.folder) / unique("bytes")
    harness.run(
        "qemu-img", "dd", "-f", "raw", "-O", "raw", "bs=512", f"skip={offset // 512}",
        f"count={(offset + length + 511) // 512}", f"if={uri(thing)}", f"of={path}",
    )
    data = path.read_bytes()[offset % 512:][:length]
    path.unlink()
    return data


def data_of(path):
    """The stored stretches of a file, without its holes."""
    with open(path, "rb") as file:
        end, at = file.seek(0, os.SEEK_END), 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < hole:
                # Pieces overlap, so that no text is cut in two.
                yield os.pread(file.fileno(), min(hole - at, 4 * MIB + 4096), at)
                at += 4 * MIB
            at = hole


def on_disk(text):
    """Whether any file of the pools, backups and database has these bytes."""
    for path in server.data.rglob("*"):
        if path.is_file() and "images" not in path.parts and any(text.encode() in d for d in data_of(path)):
            return str(path)
    return None


class Encryption(unittest.TestCase):
    def test_nothing_stored_can_be_read(self):
        volume = make_volume(volume_type=encrypted_type().name)
        self.assertTrue(volume.is_encrypted)
        key = raw("GET", f"/volumes/{volume.id}", version="3.64").json()["volume"]["encryption_key_id"]
        self.assertNotIn("encryption_key_id", raw("GET", f"/volumes/{volume.id}", version="3.63").json()["volume"])
        uuid.UUID(key)
        put_bytes(volume, 1 * MIB, SECRET)
        put_bytes(volume, 1 * MIB + 777, SECRET)
        harness.fill(uri(volume), 0x55, "8M", "1M")
        self.assertEqual(got_bytes(volume, 1 * MIB, 132), SECRET)
        self.assertEqual(got_bytes(volume, 1 * MIB + 777, len(SECRET)), SECRET)
        self.assertTrue(harness.holds(uri(volume), 0x55, "8M", "1M"))
        self.assertTrue(harness.holds(uri(volume), 0x00, "16M", "64M"), "what was never written is zeros")
        harness.qemu_io(uri(volume), "discard 8M 64k", "write -z 8512k 3k", "flush")
        self.assertTrue(harness.holds(uri(volume), 0x00, "8M", "64k"))
        self.assertTrue(harness.holds(uri(volume), 0x00, "8512k", "3k"))
        self.assertTrue(harness.holds(uri(volume), 0x55, "8515k", "64k"))
        plain = make_volume()
        marker = b"this one is not encrypted at all"
        put_bytes(plain, 0, marker * 16)
        restart()
        self.assertIsNotNone(on_disk(marker.decode()), "the search finds what is there")
        self.assertIsNone(on_disk("quick brown secret"))
        volume = cloud.block_storage.get_volume(volume.id)
        self.assertEqual(got_bytes(volume, 1 * MIB, 132), SECRET)
        self.assertEqual((server.data / "volume.keys").stat().st_mode & 0o777, 0o600)

    def test_clones_snapshots_and_backups_share_the_key(self):
        volume = make_volume(volume_type=encrypted_type().name)
        put_bytes(volume, 0, SECRET)
        snapshot = ready(cloud.block_storage.create_snapshot(volume_id=volume.id, name=unique("snapshot")))
        clones = [
            make_volume(source_volume_id=volume.id),
            make_volume(snapshot_id=snapshot.id),
            make_volume(size=2, snapshot_id=snapshot.id),
        ]
        backup = make_backup(volume)
        shown = raw("GET", f"/backups/{backup.id}").json()["backup"]
        key = raw("GET", f"/volumes/{volume.id}").json()["volume"]["encryption_key_id"]
        self.assertEqual(shown["encryption_key_id"], key)
        put_bytes(volume, 0, b"something else entirely, " * 8)
        increment = make_backup(volume, is_incremental=True)
        self.assertIsNone(on_disk("quick brown secret"), "backups hold what is stored")
        answer = cloud.block_storage.restore_backup(backup, name=unique("restored"))
        clones.append(ready(cloud.block_storage.get_volume(answer.volume_id)))
        cloud.block_storage.delete_volume(volume, cascade=True)
        for clone in clones:
            clone = cloud.block_storage.get_volume(clone.id)
            self.assertTrue(clone.is_encrypted)
            self.assertEqual(got_bytes(clone, 0, len(SECRET)), SECRET)
        over = make_volume(volume_type=encrypted_type().name)
        cloud.block_storage.restore_backup(increment, volume_id=over.id)
        over = ready(cloud.block_storage.get_volume(over.id))
        self.assertEqual(got_bytes(over, 0, 25), b"something else entirely, ")
        plain = make_volume()
        answer = raw("POST", f"/backups/{backup.id}/restore", {"restore": {"volume_id": plain.id}})
        self.assertEqual(answer.status_code, 400, "encrypted bytes are not put into a plain volume")

    def test_images_go_into_encrypted_volumes(self):
        path = disk_file("8M", PATTERNS[:2])
        with open(path, "r+b") as file:
            file.seek(5 * MIB)
            file.write(b"a secret that came with an image" * 20)
        image = make_image(path)
        volume = make_volume(image_id=image.id, volume_type=encrypted_type().name)
        self.assertTrue(harness.holds(uri(volume), 0x11, "0", "1M"))
        self.assertEqual(got_bytes(volume, 5 * MIB, 32), b"a secret that came with an image")
        self.assertIsNone(on_disk("a secret that came with an image"))

    def test_what_cannot_be_is_refused(self):
        kind, plain = encrypted_type(), make_volume()
        harness.fill(uri(plain), 0x11)
        answer = raw("POST", "/volumes", {"volume": {"size": 1, "source_volid": plain.id, "volume_type": kind.name}})
        self.assertEqual(answer.status_code, 400)
        action = {"os-retype": {"new_type": kind.name, "migration_policy": "on-demand"}}
        self.assertEqual(raw("POST", f"/volumes/{plain.id}/action", action).status_code, 400)

    def test_front_end_types_only_say_so(self):
        volume = make_volume(volume_type=encrypted_type("front-end").name)
        self.assertTrue(volume.is_encrypted)
        put_bytes(volume, 0, b"the host encrypts this by itself " * 16)
        self.assertIsNotNone(on_disk("the host encrypts this by itself"))


class S3(unittest.TestCase):
    def test_backups_live_in_a_bucket(self):
        store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
        threading.Thread(target=store.serve_forever, daemon=True).start()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="pp-"))
        (folder / "key").write_text('access_key_id = "backup-user"\nsecret_access_key = "hush-hush"\n')
        (folder / "parpen.toml").write_text(
            f'[backups]\nurl = "s3://bucket/some/prefix"\nendpoint = "http://127.0.0.1:{store.server_port}"\n'
            f'credentials_file = "{folder / "key"}"\nsegment = "1MiB"\n'
        )
        own = harness.Server(extra_args=["--config", str(folder / "parpen.toml")]).start()
        try:
            volume = own.cli_json("volume", "create", "v", "--size", "16MiB")
            noise = folder / "noise"
            noise.write_bytes(os.urandom(4 * MIB))
            own.cli("volume", "import", "v", str(noise))
            first = own.cli_json("backup", "create", "v")
            harness.fill(own.nbd_uri("v"), 0x21, "1M", "64k")
            second = own.cli_json("backup", "create", "v", "--incremental")
            self.assertEqual(second["base"], first["id"])
            self.assertLess(second["stored"], MIB)
            self.assertTrue(all(k.startswith("/bucket/some/prefix/volumebackups/") for k in Bucket.objects))
            own.cli("backup", "verify", second["id"])
            own.cli("backup", "delete", first["id"], "--dependents")
            own.cli("backup", "restore", second["id"], "--name", "again")
            uris = own.nbd_uri("v"), own.nbd_uri("again")
            harness.run("qemu-img", "compare", "-f", "raw", "-F", "raw", *uris)
            own.cli("backup", "delete", second["id"])
            self.assertEqual(Bucket.objects, {}, "nothing is left behind")
            self.assertTrue({"GET", "PUT"} <= Bucket.seen and volume["size"] == 16 * MIB)
            self.assertNotIn("hush-hush", own.log_tail(1 << 20))
        finally:
            own.close()
            store.shutdown()
            shutil.rmtree(folder)


def restart():
    """kill -9 and start anew; ports move, so the connection is made again."""
    global cloud
    server.kill()
    server.start()
    server.apply_env("openstack")
    cloud = openstack.connect()


if __name__ == "__main__":
    recorder.install()
    harness.main()
