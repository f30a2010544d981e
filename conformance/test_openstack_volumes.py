"""What is done to volumes, attachments, groups and transfers through openstacksdk and both command lines, with its bytes."""

import json
import subprocess
import uuid

import clients
import harness
import recorder
from clients import (
    DUMMY,
    GIB,
    LOCAL,
    Case,
    exported,
    gone,
    make_snapshot,
    make_volume,
    ready,
    status,
    unique,
)
from openstack import exceptions

NEWEST = ("--os-volume-api-version", "3.71")


def setUpModule():
    clients.start()


def tearDownModule():
    clients.server.close()


def openstack_cli(*args, wants="json"):
    """The `openstack` command line as it comes, at its own microversion; answers its document, or nothing."""
    more = ("-f", wants) if wants else ()
    said = clients.run("openstack", *args, *more).stdout
    return json.loads(said) if wants else said


class Actions(Case):
    def test_a_volume_in_use_is_extended_under_its_holder(self):
        volume = make_volume()
        clients.storage.attach_volume(volume, "/dev/vdb", instance=str(uuid.uuid4()))
        attachment = clients.storage.get_volume(volume.id).attachments[0]["attachment_id"]
        info = clients.storage.get_attachment(attachment).connection_info
        export = clients.server.nbd_uri(info["export"])
        harness.fill(export, 0x31)
        said = self.refuses(400, clients.storage.extend_volume, volume, 1)
        self.assertIn("New size for extend must be greater than current size. (current: 1, extended: 1).", said)
        clients.storage.extend_volume(volume, 2)
        harness.wait_until("extended", lambda: clients.storage.get_volume(volume.id).size == 2)
        self.assertEqual(status(volume), "in-use")
        self.assertEqual(harness.run("nbdinfo", "--size", export).stdout.strip(), str(2 * GIB))
        self.assertTrue(harness.holds(export, 0x31))
        clients.storage.detach_volume(volume, attachment)
        ready(volume)
        self.assertFalse(harness.opens(export))

    def test_reverting_brings_the_bytes_of_the_latest_snapshot_back(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x41)
        first = make_snapshot(volume)
        harness.fill(exported(volume), 0x42)
        latest = make_snapshot(volume)
        harness.fill(exported(volume), 0x43)
        self.assertIn("not the latest one", self.refuses(400, clients.storage.revert_volume_to_snapshot, volume, first))
        clients.storage.revert_volume_to_snapshot(volume, latest)
        ready(volume)
        self.assertTrue(harness.holds(exported(volume), 0x42))
        clients.storage.extend_volume(volume, 2)
        harness.wait_until("larger", lambda: clients.storage.get_volume(volume.id).size == 2)
        said = self.refuses(400, clients.storage.revert_volume_to_snapshot, volume, latest)
        self.assertIn("must be equal to the snapshot size", said)

    def test_a_read_only_volume_takes_no_bytes(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x51)
        clients.storage.set_volume_readonly(volume, True)
        self.assertEqual(clients.storage.get_volume(volume.id).metadata["readonly"], "True")
        self.assertFalse(harness.qemu_io(exported(volume), "write -P 1 0 4k", check=False))
        self.assertTrue(harness.holds(exported(volume), 0x51))
        clients.storage.set_volume_readonly(volume, False)
        harness.fill(exported(volume), 0x52)
        self.assertTrue(harness.holds(exported(volume), 0x52))

    def test_bootable_and_image_metadata(self):
        volume = make_volume()
        clients.storage.set_volume_bootable_status(volume, True)
        self.assertTrue(clients.storage.get_volume(volume.id).is_bootable)
        clients.storage.set_volume_image_metadata(volume, os="linux", arch="x86")
        self.assertEqual(clients.storage.get_volume(volume.id).volume_image_metadata, {"os": "linux", "arch": "x86"})
        clients.storage.delete_volume_image_metadata(volume, keys=["os"])
        self.assertEqual(clients.storage.get_volume(volume.id).volume_image_metadata, {"arch": "x86"})

    def test_operators_reset_and_delete_by_force(self):
        volume = make_volume()
        clients.storage.reset_volume_status(volume, status="error")
        self.assertEqual(status(volume), "error")
        clients.storage.reset_volume_status(volume, status="available", migration_status="success")
        found = clients.storage.get_volume(volume.id)
        self.assertEqual((found.status, found.migration_status), ("available", "success"))
        self.refuses(400, clients.storage.reset_volume_status, volume, status="tired")
        clients.storage.reset_volume_status(volume, status="creating")
        self.refuses(400, clients.storage.delete_volume, volume)
        clients.storage.delete_volume(volume, force=True)
        gone(volume)
        self.assertFalse(harness.opens(exported(volume)))

    def test_summaries_filters_and_counts(self):
        key = unique("key")
        name = unique("summed")
        for _ in range(2):
            make_volume(size=2, name=name, metadata={key: "x"})
        summary = clients.storage.summary(all_projects=True)
        self.assertGreaterEqual(summary.total_count, 2)
        self.assertEqual(summary.metadata[key], ["x"])
        project = clients.cloud.session.get_project_id()
        listed = lambda query: clients.cloud.session.get(
            f"{clients.server.base}/volume/v3/{project}/volumes/detail?{query}",
            headers={"OpenStack-API-Version": "volume 3.71"},
        ).json()
        part = name[3:-2]
        self.assertEqual(len(listed(f"name~={part}")["volumes"]), 2)
        page = listed(f"name={name}&limit=1&with_count=True")
        self.assertEqual((len(page["volumes"]), page["count"]), (1, 2))
        after = clients.cloud.session.get(page["volumes_links"][0]["href"]).json()
        self.assertEqual(len(after["volumes"]), 1)
        self.assertNotEqual(after["volumes"][0]["id"], page["volumes"][0]["id"])
        self.assertEqual(listed(f"name={name}&status=error")["volumes"], [])


class Moving(Case):
    def test_a_volume_at_rest_moves_with_its_bytes(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x61)
        harness.fill(exported(volume), 0x62, "700M")
        self.assertEqual(clients.storage.get_volume(volume.id).host, LOCAL)
        self.refuses(400, clients.storage.migrate_volume, volume, host="parpen@nowhere#nowhere")
        self.refuses(400, clients.storage.migrate_volume, volume, host=LOCAL)
        clients.storage.migrate_volume(volume, host=DUMMY, lock_volume=True)
        moved = lambda: clients.storage.get_volume(volume.id).migration_status == "success"
        harness.wait_until("moved", moved)
        found = clients.storage.get_volume(volume.id)
        self.assertEqual((found.host, found.status), (DUMMY, "available"))
        self.assertTrue(harness.holds(exported(volume), 0x61))
        self.assertTrue(harness.holds(exported(volume), 0x62, "700M"))
        self.assertTrue(harness.holds(exported(volume), 0, "400M", "16M"))

    def test_what_a_holder_writes_meanwhile_arrives_and_he_does_not_notice(self):
        volume = make_volume()
        harness.qemu_io(exported(volume), "write -P 0x01 0 256M", "flush")
        args = ["qemu-io", "-f", "raw", exported(volume)]
        pipe = subprocess.PIPE
        writer = subprocess.Popen(args, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        # The first write is there before the move begins: the export is open.
        writer.stdin.write("write -P 0x10 300M 64k\n")
        writer.stdin.flush()
        self.assertIn("wrote", writer.stdout.readline() + writer.stdout.readline())
        clients.storage.migrate_volume(volume, host=DUMMY)
        steps = 0
        while clients.storage.get_volume(volume.id).migration_status != "success":
            steps += 1
            writer.stdin.write(f"write -P {steps % 200 + 1:#x} {steps * 64}k 64k\n")
            writer.stdin.write(f"write -P {steps % 200 + 1:#x} {400 * 1024 + steps * 64}k 64k\n")
            writer.stdin.flush()
            self.assertLess(steps, 4000, "it never ends")
        writer.stdin.write("write -P 0x77 500M 64k\nflush\nquit\n")
        said, _ = writer.communicate(timeout=60)
        self.assertEqual(writer.returncode, 0, said[-2000:])
        self.assertNotIn("failed", said.lower())
        self.assertEqual(clients.storage.get_volume(volume.id).host, DUMMY)
        self.assertGreater(steps, 0)
        for step in range(1, steps + 1):
            for offset in (step * 64, 400 * 1024 + step * 64):
                self.assertTrue(harness.holds(exported(volume), step % 200 + 1, f"{offset}k", "64k"), step)
            if step > 10:
                break
        last = f"{steps * 64}k"
        self.assertTrue(harness.holds(exported(volume), steps % 200 + 1, last, "64k"))
        self.assertTrue(harness.holds(exported(volume), 0x10, "300M", "64k"))
        self.assertTrue(harness.holds(exported(volume), 0x77, "500M", "64k"))
        self.assertTrue(harness.holds(exported(volume), 0x01, "255M", "1M"))

    def test_retyping_moves_where_the_policy_allows_it(self):
        kind = clients.storage.create_type(name=unique("there"), extra_specs={"volume_backend_name": "dummy"})
        volume = make_volume()
        harness.fill(exported(volume), 0x66)
        self.refuses(400, clients.storage.retype_volume, volume, kind.name)
        clients.storage.retype_volume(volume, kind.name, migration_policy="on-demand")
        harness.wait_until("retyped", lambda: clients.storage.get_volume(volume.id).volume_type == kind.name)
        harness.wait_until("at rest", lambda: status(volume) == "available")
        self.assertEqual(clients.storage.get_volume(volume.id).host, DUMMY)
        self.assertTrue(harness.holds(exported(volume), 0x66))
        self.refuses(400, clients.storage.retype_volume, volume, kind.name)
        clients.storage.delete_volume(volume)
        gone(volume)

    def test_a_volume_is_let_go_and_taken_over_with_its_bytes(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x67)
        clients.storage.unmanage_volume(volume)
        self.assertIsNone(clients.storage.find_volume(volume.id))
        self.assertTrue(harness.holds(exported(volume), 0x67), "only OpenStack let it go")
        listed = openstack_cli(*NEWEST, "block", "storage", "volume", "manageable", "list", LOCAL)
        self.assertTrue(any(volume.id in json.dumps(row) for row in listed), listed)
        name = unique("back")
        taken = clients.storage.manage_volume(host=LOCAL, ref={"source-name": f"volume-{volume.id}"}, name=name)
        ready(taken)
        self.assertEqual(clients.storage.find_volume(name).id, taken.id)
        self.assertTrue(harness.holds(clients.server.nbd_uri(taken.id), 0x67))

    def test_a_snapshot_is_let_go_and_taken_over(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x68)
        snapshot = make_snapshot(volume)
        clients.storage.unmanage_snapshot(snapshot)
        self.assertIsNone(clients.storage.find_snapshot(snapshot.id))
        listed = openstack_cli(*NEWEST, "block", "storage", "snapshot", "manageable", "list", LOCAL)
        self.assertTrue(any(snapshot.id in json.dumps(row) for row in listed), listed)
        ref = {"source-name": f"snapshot-{snapshot.id}"}
        taken = ready(clients.storage.manage_snapshot(volume_id=volume.id, ref=ref, name=unique("again")))
        self.assertTrue(harness.holds(clients.server.nbd_uri(taken.id), 0x68))


class Connections(Case):
    CONNECTOR = {"host": "compute-1", "ip": "127.0.0.1", "platform": "x86_64", "os_type": "linux", "multipath": False}

    def test_the_old_flow_with_bytes(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x71)
        clients.storage.reserve_volume(volume)
        self.assertEqual(status(volume), "attaching")
        self.refuses(400, clients.storage.reserve_volume, volume)
        clients.storage.unreserve_volume(volume)
        self.assertEqual(status(volume), "available")
        clients.storage.reserve_volume(volume)
        info = clients.storage.init_volume_attachment(volume, self.CONNECTOR)
        self.assertEqual(info["driver_volume_type"], "nbd")
        data = info["data"]
        export = f"nbd://{data['host']}:{data['port']}/{data['export']}"
        self.assertTrue(harness.holds(export, 0x71))
        self.assertFalse(harness.opens(exported(volume)))
        clients.storage.attach_volume(volume, "/dev/vdb", instance=str(uuid.uuid4()))
        found = clients.storage.get_volume(volume.id)
        self.assertEqual((found.status, found.attachments[0]["device"]), ("in-use", "/dev/vdb"))
        harness.fill(export, 0x72)
        clients.storage.begin_volume_detaching(volume)
        self.assertEqual(status(volume), "detaching")
        clients.storage.abort_volume_detaching(volume)
        self.assertEqual(status(volume), "in-use")
        clients.storage.begin_volume_detaching(volume)
        clients.storage.terminate_volume_attachment(volume, self.CONNECTOR)
        self.assertFalse(harness.opens(export))
        clients.storage.detach_volume(volume, found.attachments[0]["attachment_id"])
        ready(volume)
        self.assertTrue(harness.holds(exported(volume), 0x72))

    def test_a_forced_end_is_one_from_anywhere(self):
        volume = make_volume()
        clients.storage.attach_volume(volume, "/dev/vdb", host_name="compute-9")
        found = clients.storage.get_volume(volume.id)
        self.assertEqual(found.attachments[0]["host_name"], "compute-9")
        clients.storage.reset_volume_status(volume, status="error")
        clients.storage.detach_volume(volume, found.attachments[0]["attachment_id"], force=True)
        ready(volume)

    def test_who_has_it_open_is_not_pushed_out_by_users(self):
        volume = make_volume()
        instance = str(uuid.uuid4())
        attachment = clients.storage.create_attachment(volume, instance=instance, connector=self.CONNECTOR)
        info = attachment.connection_info
        export = f"nbd://{info['host']}:{info['port']}/{info['export']}"
        args = ["qemu-io", "-f", "raw", export]
        holder = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holder.stdin.write("write -P 5 0 64k\n")
        holder.stdin.flush()
        self.assertIn("wrote", holder.stdout.readline() + holder.stdout.readline())
        said = self.refuses(409, clients.storage.delete_attachment, attachment)
        self.assertIn(f"Detach volume from instance {instance} using the Compute API", said)
        holder.communicate("quit\n", timeout=30)
        harness.wait_until("closed", lambda: self.deleted(attachment))
        ready(volume)

    def deleted(self, attachment):
        """Whether the attachment could be deleted now: the holder's connection ends a moment after it."""
        try:
            clients.storage.delete_attachment(attachment)
            return True
        except exceptions.ConflictException:
            return False

    def test_volumes_of_a_shared_type_have_several_holders(self):
        kind = clients.storage.create_type(name=unique("shared"), extra_specs={"multiattach": "<is> True"})
        volume = make_volume(volume_type=kind.name)
        self.assertTrue(volume.is_multiattach)
        held = []
        for host in ("compute-1", "compute-2"):
            connector = {**self.CONNECTOR, "host": host}
            one = clients.storage.create_attachment(volume, instance=str(uuid.uuid4()), connector=connector)
            clients.storage.complete_attachment(one)
            held.append(one)
        self.assertEqual(len(clients.storage.get_volume(volume.id).attachments), 2)
        exports = [clients.server.nbd_uri(one.connection_info["export"]) for one in held]
        harness.fill(exports[0], 0x75)
        self.assertTrue(harness.holds(exports[1], 0x75))
        clients.storage.delete_attachment(held[0])
        self.assertEqual(status(volume), "in-use")
        clients.storage.delete_attachment(held[1])
        ready(volume)


class Groups(Case):
    def make_group(self):
        """A group type and a group of it."""
        kind = clients.storage.create_group_type(name=unique("together"))
        types = [clients.storage.get_type("default").id]
        group = clients.storage.create_group(name=unique("group"), group_type=kind.id, volume_types=types)
        return kind, ready(group)

    def test_group_types_and_specs(self):
        kind = clients.storage.create_group_type(name=unique("kind"), group_specs={"a": "1"})
        clients.storage.create_group_type_group_specs(kind, {"b": "2"})
        self.assertEqual(clients.storage.get_group_type(kind.id).group_specs, {"a": "1", "b": "2"})
        clients.storage.update_group_type_group_specs_property(kind, "b", "3")
        self.assertEqual(clients.storage.get_group_type_group_specs_property(kind, "b"), "3")
        clients.storage.delete_group_type_group_specs_property(kind, "a")
        clients.storage.update_group_type(kind, description="d")
        found = clients.storage.find_group_type(kind.name)
        self.assertEqual((found.description, found.group_specs), ("d", {"b": "3"}))
        clients.storage.delete_group_type(kind)
        self.assertIsNone(clients.storage.find_group_type(kind.name))

    def test_groups_snapshots_and_groups_made_of_them(self):
        kind, group = self.make_group()
        first, second = make_volume(), make_volume(size=2)
        for pattern, volume in ((0x81, first), (0x82, second)):
            harness.fill(exported(volume), pattern)
        clients.storage.update_group(group, add_volumes=f"{first.id},{second.id}")
        self.assertEqual(clients.storage.get_volume(first.id).group_id, group.id)
        self.refuses(400, clients.storage.delete_volume, first)
        taken = ready(clients.storage.create_group_snapshot(group_id=group.id, name=unique("now")))
        for volume in (first, second):
            harness.fill(exported(volume), 0x83)
        for source in ({"group_snapshot_id": taken.id}, {"source_group_id": group.id}):
            both = {"group_snapshot_id": None, "source_group_id": None, **source}
            made = ready(clients.storage.create_group_from_source(name=unique("made"), **both))
            want = {1: 0x81, 2: 0x82} if "group_snapshot_id" in source else {1: 0x83, 2: 0x83}
            members = [v for v in clients.storage.volumes() if v.group_id == made.id]
            self.assertEqual(sorted(v.size for v in members), [1, 2])
            for member in members:
                self.assertTrue(harness.holds(exported(member), want[member.size]))
            clients.storage.delete_group(made, delete_volumes=True)
            gone(made)
        clients.storage.reset_group_snapshot_status(taken, "error")
        self.assertEqual(clients.storage.get_group_snapshot(taken.id).status, "error")
        clients.storage.delete_group_snapshot(taken)
        gone(taken)
        group = clients.storage.get_group(group.id)
        clients.storage.update_group(group, remove_volumes=second.id)
        clients.storage.reset_group_status(group, "error")
        clients.storage.reset_group_status(group, "available")
        self.refuses(400, clients.storage.delete_group, group)
        clients.storage.delete_group(group, delete_volumes=True)
        gone(group)
        gone(first)
        self.assertTrue(harness.holds(exported(second), 0x83))
        clients.storage.delete_group_type(kind)


class Transfers(Case):
    def test_an_offer_is_taken_with_its_key_alone(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x91)
        offer = clients.storage.create_transfer(volume_id=volume.id, name=unique("offer"))
        self.assertTrue(offer.auth_key)
        self.assertEqual(status(volume), "awaiting-transfer")
        self.assertIsNone(clients.storage.get_transfer(offer.id).auth_key)
        self.assertEqual(clients.storage.find_transfer(offer.name).id, offer.id)
        self.refuses(400, clients.storage.accept_transfer, offer.id, "wrong")
        clients.storage.accept_transfer(offer.id, offer.auth_key)
        ready(volume)
        self.assertTrue(harness.holds(exported(volume), 0x91))
        self.assertIsNone(clients.storage.find_transfer(offer.id))

    def test_an_offer_is_taken_back(self):
        volume = make_volume()
        offer = clients.storage.create_transfer(volume_id=volume.id)
        self.assertIn(offer.id, [each.id for each in clients.storage.transfers()])
        clients.storage.delete_transfer(offer)
        ready(volume)


class Restarts(Case):
    def test_a_killed_server_keeps_every_state(self):
        held, offered = make_volume(), make_volume()
        harness.fill(exported(held), 0xA1)
        clients.storage.attach_volume(held, "/dev/vdb", instance=str(uuid.uuid4()))
        offer = clients.storage.create_transfer(volume_id=offered.id)
        kind = clients.storage.create_group_type(name=unique("kept"))
        group = clients.storage.create_group(name="g", group_type=kind.id, volume_types=[clients.storage.get_type("default").id])
        clients.server.kill()
        clients.server.start()
        clients.connect()
        self.assertEqual((status(held), status(offered)), ("in-use", "awaiting-transfer"))
        self.assertEqual(clients.storage.get_group(group.id).status, "available")
        clients.storage.accept_transfer(offer.id, offer.auth_key)
        clients.storage.detach_volume(held, clients.storage.get_volume(held.id).attachments[0]["attachment_id"])
        ready(held)
        self.assertTrue(harness.holds(exported(held), 0xA1))

    def test_a_move_that_was_killed_ends_somewhere_whole(self):
        clients.server.cli("pool", "create", "second", "--driver", "local")
        volume = make_volume()
        harness.qemu_io(exported(volume), "write -P 0xb1 0 128M", "write -P 0xb2 512M 128M", "flush")
        clients.storage.migrate_volume(volume, host="parpen@second#second")
        clients.server.kill()
        clients.server.start()
        clients.connect()
        over = lambda: clients.storage.get_volume(volume.id).migration_status in ("success", "error")
        harness.wait_until("over", over)
        found = clients.storage.get_volume(volume.id)
        self.assertIn(found.host, (LOCAL, "parpen@second#second"))
        self.assertTrue(harness.holds(exported(volume), 0xB1, "0", "128M"))
        self.assertTrue(harness.holds(exported(volume), 0xB2, "512M", "128M"))
        clients.storage.delete_volume(volume)
        gone(volume)


class OpenStackCommands(Case):
    def test_volume_verbs(self):
        name = unique("cli")
        openstack_cli("volume", "create", "--size", "1", "--property", "a=b", name)
        show = lambda: openstack_cli("volume", "show", name)
        harness.wait_until("there", lambda: show()["status"] == "available")
        openstack_cli("volume", "set", "--size", "2", "--property", "c=d", "--bootable", name, wants=None)
        harness.wait_until("larger", lambda: show()["size"] == 2)
        self.assertEqual((show()["properties"], show()["bootable"]), ({"a": "b", "c": "d"}, True))
        openstack_cli("volume", "unset", "--property", "a", name, wants=None)
        openstack_cli("volume", "set", "--read-only", name, wants=None)
        self.assertEqual(show()["properties"], {"c": "d", "readonly": "True"})
        openstack_cli("volume", "set", "--state", "error", name, wants=None)
        self.assertEqual(show()["status"], "error")
        openstack_cli("volume", "set", "--state", "available", name, wants=None)
        openstack_cli("volume", "migrate", "--host", DUMMY, name, wants=None)
        harness.wait_until("moved", lambda: show()["os-vol-host-attr:host"] == DUMMY)
        harness.wait_until("settled", lambda: show()["os-vol-mig-status-attr:migstat"] == "success")
        openstack_cli("volume", "snapshot", "create", "--volume", name, name + "-s")
        there = lambda: openstack_cli("volume", "snapshot", "show", name + "-s")["status"] == "available"
        harness.wait_until("snapshot", there)
        openstack_cli("volume", "snapshot", "set", "--state", "error", name + "-s", wants=None)
        openstack_cli("volume", "snapshot", "set", "--state", "available", name + "-s", wants=None)
        openstack_cli("volume", "revert", name + "-s", wants=None)
        harness.wait_until("reverted", lambda: show()["status"] == "available")
        summary = openstack_cli("--os-volume-api-version", "3.36", "volume", "summary", "--all-projects")
        self.assertGreaterEqual(summary["Total Count"], 1)
        openstack_cli("volume", "delete", "--purge", name, wants=None)
        rows = lambda: [row["Name"] for row in openstack_cli("volume", "list")]
        harness.wait_until("deleted", lambda: name not in rows())

    def test_attachments_groups_and_transfers(self):
        volume = make_volume()
        wire = clients.storage.create_attachment(volume, instance=str(uuid.uuid4()))
        listed = openstack_cli(*NEWEST, "volume", "attachment", "list")
        self.assertIn(wire.id, [row["ID"] for row in listed])
        shown = openstack_cli(*NEWEST, "volume", "attachment", "set", "--host", "h", "--ip", "127.0.0.1", wire.id)
        self.assertEqual(shown["Status"], "attaching")
        openstack_cli(*NEWEST, "volume", "attachment", "complete", wire.id, wants=None)
        self.assertEqual(openstack_cli(*NEWEST, "volume", "attachment", "show", wire.id)["Status"], "attached")
        openstack_cli(*NEWEST, "volume", "attachment", "delete", wire.id, wants=None)
        ready(volume)

        kind = unique("kind")
        openstack_cli(*NEWEST, "volume", "group", "type", "create", kind)
        group = openstack_cli(
            *NEWEST, "volume", "group", "create", "--name", unique("g"), "--volume-group-type", kind,
            "--volume-type", clients.storage.get_type("default").name,
        )["ID"]
        openstack_cli(*NEWEST, "volume", "group", "add", "volume", group, volume.id, wants=None)
        taken = openstack_cli(*NEWEST, "volume", "group", "snapshot", "create", "--name", "now", group)["ID"]
        there = lambda: openstack_cli(*NEWEST, "volume", "group", "snapshot", "show", taken)["Status"] == "available"
        harness.wait_until("group snapshot", there)
        openstack_cli(*NEWEST, "volume", "group", "snapshot", "delete", taken, wants=None)
        left = lambda: openstack_cli(*NEWEST, "volume", "group", "snapshot", "list")
        harness.wait_until("deleted", lambda: taken not in [row["ID"] for row in left()])
        openstack_cli(*NEWEST, "volume", "group", "remove", "volume", group, volume.id, wants=None)
        openstack_cli(*NEWEST, "volume", "group", "delete", group, wants=None)

        offer = openstack_cli("volume", "transfer", "request", "create", volume.id)
        rows = openstack_cli("volume", "transfer", "request", "list")
        self.assertIn(offer["id"], [row["ID"] for row in rows])
        openstack_cli("volume", "transfer", "request", "accept", "--auth-key", offer["auth_key"], offer["id"])
        ready(volume)


class CinderCommands(Case):
    def test_the_classic_verbs(self):
        volume = make_volume()
        clients.cinder("extend", volume.id, "2")
        harness.wait_until("larger", lambda: clients.storage.get_volume(volume.id).size == 2)
        clients.cinder("metadata", volume.id, "set", "a=b")
        self.assertEqual(clients.storage.get_volume(volume.id).metadata["a"], "b")
        clients.cinder("readonly-mode-update", volume.id, "True")
        clients.cinder("readonly-mode-update", volume.id, "False")
        clients.cinder("set-bootable", volume.id, "True")
        clients.cinder("reset-state", "--state", "error", volume.id)
        self.assertEqual(status(volume), "error")
        clients.cinder("reset-state", "--state", "available", "--reset-migration-status", volume.id)
        clients.cinder("migrate", volume.id, DUMMY)
        harness.wait_until("moved", lambda: clients.storage.get_volume(volume.id).host == DUMMY)
        harness.wait_until("at rest", lambda: clients.storage.get_volume(volume.id).migration_status == "success")
        clients.cinder("snapshot-create", "--name", volume.name + "-s", volume.id)
        snapshot = ready(clients.storage.find_snapshot(volume.name + "-s", ignore_missing=False))
        clients.cinder("revert-to-snapshot", snapshot.id)
        ready(volume)
        clients.cinder("snapshot-reset-state", "--state", "error", snapshot.id)
        clients.cinder("snapshot-delete", snapshot.id)
        gone(snapshot)
        self.assertIn(volume.id, clients.cinder("manageable-list", DUMMY))
        clients.cinder("unmanage", volume.id)
        self.assertIsNone(clients.storage.find_volume(volume.id))
        clients.cinder("manage", "--id-type", "source-name", "--name", "again", DUMMY, f"volume-{volume.id}")
        clients.cinder("transfer-create", volume.id)
        self.assertIn(volume.id, clients.cinder("transfer-list"))
        clients.cinder("transfer-delete", next(clients.storage.transfers()).id)
        clients.cinder("force-delete", volume.id)
        gone(volume)

    def test_groups(self):
        kind = unique("kind")
        clients.cinder("group-type-create", kind)
        clients.cinder("group-type-key", kind, "set", "a=b")
        self.assertIn("a", clients.cinder("group-specs-list"))
        default = clients.storage.get_type("default").name
        clients.cinder("group-create", "--name", kind + "-g", kind, default)
        group = clients.storage.find_group(kind + "-g", ignore_missing=False)
        clients.cinder("create", "1", "--name", kind + "-v", "--group-id", group.id, "--volume-type", default)
        volume = ready(clients.storage.find_volume(kind + "-v", ignore_missing=False))
        clients.cinder("group-snapshot-create", "--name", kind + "-s", group.id)
        taken = ready(clients.storage.find_group_snapshot(kind + "-s", ignore_missing=False))
        clients.cinder("group-create-from-src", "--group-snapshot", taken.id, "--name", kind + "-c")
        made = ready(clients.storage.find_group(kind + "-c", ignore_missing=False))
        clients.cinder("group-delete", "--delete-volumes", made.id)
        gone(made)
        clients.cinder("group-snapshot-delete", taken.id)
        gone(taken)
        clients.cinder("group-update", "--remove-volumes", volume.id, group.id)
        clients.cinder("group-delete", group.id)
        gone(group)


if __name__ == "__main__":
    recorder.install()
    harness.main()
