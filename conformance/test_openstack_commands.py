"""`openstack volume ...`: volumes, snapshots, attachments, transfers and backups, each with its effect."""

import http.server
import json
import pathlib
import shutil
import threading
import uuid

import clients
import harness
import recorder
from clients import Case, do, exported, gone, make_snapshot, make_volume, named_volume, osc, ready, status, unique

NEWEST = ("openstack", "--os-volume-api-version", "3.71")


def setUpModule():
    clients.start()


def tearDownModule():
    clients.server.close()


def names(*command, column="Name"):
    """One column of a listing."""
    return [row[column] for row in osc(*command)]


class Volumes(Case):
    def test_create_show_list_and_delete(self):
        name = unique("made")
        made = osc("volume", "create", "--size", "2", "--description", "d", "--property", "a=b", name)
        self.assertEqual((made["size"], made["properties"]), (2, {"a": "b"}))
        volume = named_volume(name)
        shown = osc("volume", "show", name)
        self.assertEqual((shown["id"], shown["status"], shown["description"]), (volume.id, "available", "d"))
        row = next(row for row in osc("volume", "list", "--long") if row["ID"] == volume.id)
        self.assertEqual((row["Name"], row["Size"], row["Properties"]), (name, 2, {"a": "b"}))
        self.assertEqual(names("volume", "list", "--name", name), [name])
        self.assertNotIn(name, names("volume", "list", "--status", "error"))
        harness.fill(exported(volume), 0x11)
        do("volume", "delete", name)
        gone(volume)
        self.assertFalse(harness.opens(exported(volume)))

    def test_volumes_made_from_others_have_their_bytes(self):
        source = make_volume()
        harness.fill(exported(source), 0x12)
        snapshot = make_snapshot(source)
        backup = clients.ready(clients.storage.create_backup(volume_id=source.id, name=unique("backup")))
        for option, origin in (("--source", source), ("--snapshot", snapshot), ("--backup", backup)):
            name = unique("copy")
            osc("volume", "create", option, origin.id, "--size", "1", name)
            self.assertTrue(harness.holds(exported(named_volume(name)), 0x12), option)
        do("volume", "delete", "--purge", source.id)
        gone(source)
        self.assertIsNone(clients.storage.find_snapshot(snapshot.id))

    def test_set_and_unset(self):
        volume = make_volume(metadata={"old": "1", "kept": "2"})
        name = unique("renamed")
        do("volume", "set", "--name", name, "--description", "new", "--property", "c=d", volume.id)
        do("volume", "set", "--bootable", "--image-property", "os=linux", volume.id)
        do("volume", "unset", "--property", "old", name)
        shown = osc("volume", "show", volume.id)
        self.assertEqual((shown["name"], shown["description"]), (name, "new"))
        self.assertEqual((shown["properties"], shown["bootable"]), ({"c": "d", "kept": "2"}, True))
        self.assertEqual(clients.storage.get_volume(volume.id).volume_image_metadata, {"os": "linux"})
        do("volume", "unset", "--image-property", "os", name)
        self.assertFalse(clients.storage.get_volume(volume.id).volume_image_metadata)
        do("volume", "set", "--size", "3", name)
        self.becomes(lambda: osc("volume", "show", name)["size"], 3)
        harness.fill(exported(volume), 0x13, "2G")
        do("volume", "set", "--read-only", name)
        self.assertFalse(harness.qemu_io(exported(volume), "write -P 1 0 4k", check=False))
        self.assertTrue(harness.holds(exported(volume), 0x13, "2G"))
        do("volume", "set", "--read-write", "--no-property", "--non-bootable", name)
        harness.fill(exported(volume), 0x14)
        shown = osc("volume", "show", volume.id)
        self.assertEqual((shown["bootable"], shown["properties"].get("c")), (False, None))

    def test_states_are_declared(self):
        volume = make_volume()
        do("volume", "set", "--state", "error", volume.id)
        self.assertEqual(status(volume), "error")
        self.refused("Invalid volume", "openstack", "volume", "migrate", "--host", clients.DUMMY, volume.id)
        do("volume", "set", "--state", "available", "--detached", volume.id)
        self.assertEqual(status(volume), "available")

    def test_volumes_are_retyped_and_move(self):
        there = clients.storage.create_type(name=unique("there"), extra_specs={"volume_backend_name": "dummy"})
        volume = make_volume()
        harness.fill(exported(volume), 0x15)
        do("volume", "set", "--type", there.name, "--migration-policy", "on-demand", volume.id)
        self.becomes(lambda: (osc("volume", "show", volume.id)["type"], status(volume)), (there.name, "available"))
        self.assertEqual(clients.storage.get_volume(volume.id).host, clients.DUMMY)
        do("volume", "migrate", "--host", clients.LOCAL, volume.id)
        self.becomes(lambda: clients.storage.get_volume(volume.id).host, clients.LOCAL)
        self.becomes(lambda: clients.storage.get_volume(volume.id).migration_status, "success")
        self.assertTrue(harness.holds(exported(volume), 0x15))
        self.refused("", "openstack", "volume", "migrate", "--host", "parpen@nowhere#nowhere", volume.id)

    def test_reverting_brings_bytes_back(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x16)
        snapshot = make_snapshot(volume)
        harness.fill(exported(volume), 0x17)
        do("volume", "revert", snapshot.name)
        ready(volume)
        self.assertTrue(harness.holds(exported(volume), 0x16))

    def test_the_summary_counts(self):
        before = osc("volume", "summary")
        make_volume(size=3)
        after = osc("volume", "summary")
        self.assertEqual(after["Total Count"], before["Total Count"] + 1)
        self.assertEqual(after["Total Size"], before["Total Size"] + 3)
        self.assertGreaterEqual(osc("volume", "summary", "--all-projects")["Total Count"], after["Total Count"])


class Snapshots(Case):
    def test_all_verbs(self):
        volume, name = make_volume(), unique("snap")
        harness.fill(exported(volume), 0x21)
        made = osc("volume", "snapshot", "create", "--volume", volume.name, "--property", "a=b", name)
        snapshot = ready(clients.storage.get_snapshot(made["id"]))
        harness.fill(exported(volume), 0x22)
        self.assertTrue(harness.holds(exported(snapshot), 0x21))
        self.assertEqual(osc("volume", "snapshot", "show", name)["properties"], {"a": "b"})
        self.assertEqual(names("volume", "snapshot", "list", "--volume", volume.name), [name])
        do("volume", "snapshot", "set", "--property", "c=d", "--description", "new", name)
        do("volume", "snapshot", "unset", "--property", "a", name)
        shown = osc("volume", "snapshot", "show", snapshot.id)
        self.assertEqual((shown["properties"], shown["description"]), ({"c": "d"}, "new"))
        do("volume", "snapshot", "set", "--state", "error", name)
        self.assertEqual(names("volume", "snapshot", "list", "--status", "error", "--volume", volume.id), [name])
        do("volume", "snapshot", "set", "--state", "available", "--name", name + "-2", name)
        do("volume", "snapshot", "delete", name + "-2")
        gone(snapshot)
        self.assertEqual(names("volume", "snapshot", "list", "--volume", volume.id), [])
        self.assertFalse(harness.opens(exported(snapshot)))

    def test_one_is_let_go_listed_and_taken_over(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x23)
        snapshot = make_snapshot(volume)
        clients.storage.unmanage_snapshot(snapshot)
        self.assertNotIn(snapshot.name, names("volume", "snapshot", "list"))
        rows = osc("block", "storage", "snapshot", "manageable", "list", "--long", clients.LOCAL)
        self.assertTrue([row for row in rows if snapshot.id in json.dumps(row)], rows)
        name = unique("again")
        reference = f"source-name=snapshot-{snapshot.id}"
        osc("volume", "snapshot", "create", "--volume", volume.id, "--remote-source", reference, name)
        again = ready(clients.storage.find_snapshot(name, ignore_missing=False))
        self.assertTrue(harness.holds(exported(again), 0x23))


class Managing(Case):
    def test_a_volume_is_let_go_listed_and_taken_over(self):
        volume, name = make_volume(), unique("again")
        harness.fill(exported(volume), 0x24)
        do("volume", "delete", "--remote", volume.id)
        harness.wait_until("let go", lambda: clients.storage.find_volume(volume.id) is None)
        rows = osc("block", "storage", "volume", "manageable", "list", clients.LOCAL)
        self.assertTrue([row for row in rows if volume.id in json.dumps(row)], rows)
        reference = f"source-name=volume-{volume.id}"
        osc("volume", "create", "--remote-source", reference, "--host", clients.LOCAL, name)
        self.assertTrue(harness.holds(exported(named_volume(name)), 0x24))
        rows = osc("block", "storage", "volume", "manageable", "list", "--long", clients.LOCAL)
        mine = next(row for row in rows if volume.id in json.dumps(row))
        self.assertFalse(mine["Safe To Manage"] if "Safe To Manage" in mine else mine["safe_to_manage"])


class Compute(http.server.BaseHTTPRequestHandler):
    """As much of Nova as the client asks before it attaches: that a server exists."""

    def do_GET(self):
        server = self.path.rsplit("/", 1)[-1]
        document = {"server": {"id": server, "name": "instance"}}
        if "servers" not in self.path:
            links = [{"rel": "self", "href": f"http://{self.headers['Host']}/v2.1/"}]
            version = {"id": "v2.1", "status": "CURRENT", "version": "2.90", "min_version": "2.1", "links": links}
            document = {"version": version} if "v2.1" in self.path else {"versions": [version]}
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Attachments(Case):
    def with_compute(self):
        """A cloud's settings that name a compute service beside ours."""
        compute = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Compute)
        threading.Thread(target=compute.serve_forever, daemon=True).start()
        self.addCleanup(compute.shutdown)
        settings = clients.server.env("openstack")
        auth = {key: settings[f"OS_{key.upper()}"] for key in ("auth_url", "username", "password", "project_name")}
        auth |= {"user_domain_name": "Default", "project_domain_name": "Default"}
        cloud = {
            "auth": auth, "region_name": "RegionOne",
            "compute_endpoint_override": f"http://127.0.0.1:{compute.server_port}/v2.1/",
        }
        path = pathlib.Path(clients.server.folder) / unique("clouds")
        path.write_text(json.dumps({"clouds": {"both": cloud}}))
        return {"OS_CLOUD": "both", "OS_CLIENT_CONFIG_FILE": str(path)}

    def test_one_lives_through_all_verbs(self):
        volume, instance = make_volume(), str(uuid.uuid4())
        harness.fill(exported(volume), 0x31)
        made = osc("volume", "attachment", "create", "--server", instance, volume.name, **self.with_compute())
        self.assertEqual(made["Status"], "reserved")
        self.assertEqual(clients.storage.get_attachment(made["ID"]).instance, instance)
        attachment = made["ID"]
        self.assertEqual(status(volume), "reserved")
        shown = osc("volume", "attachment", "set", "--host", "h", "--ip", "127.0.0.1", attachment)
        self.assertEqual(shown["Status"], "attaching")
        export = clients.server.nbd_uri(clients.storage.get_attachment(attachment).connection_info["export"])
        self.assertTrue(harness.holds(export, 0x31))
        do("volume", "attachment", "complete", attachment)
        self.assertEqual(osc("volume", "attachment", "show", attachment)["Status"], "attached")
        self.assertEqual(status(volume), "in-use")
        found = names("volume", "attachment", "list", "--volume-id", volume.id, "--status", "attached", column="ID")
        self.assertEqual(found, [attachment])
        do("volume", "attachment", "delete", attachment)
        ready(volume)
        self.assertFalse(harness.opens(export))
        self.assertEqual(names("volume", "attachment", "list", "--volume-id", volume.id, column="ID"), [])


class Transfers(Case):
    def test_an_offer_goes_to_another_project(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x41)
        project, guest = clients.guest()
        offer = osc("volume", "transfer", "request", "create", "--name", unique("offer"), volume.name)
        self.assertEqual(status(volume), "awaiting-transfer")
        self.assertIn(offer["id"], names("volume", "transfer", "request", "list", column="ID"))
        shown = osc("volume", "transfer", "request", "show", offer["name"])
        self.assertEqual((shown["volume_id"], shown.get("auth_key")), (volume.id, None))
        accept = ("volume", "transfer", "request", "accept", "--auth-key")
        self.refused("", "openstack", *accept, "wrong", offer["id"], **guest)
        osc(*accept, offer["auth_key"], offer["id"], **guest)
        self.assertEqual(ready(volume).project_id, project.id)
        self.assertEqual([row["ID"] for row in osc("volume", "list", **guest)], [volume.id])
        self.assertTrue(harness.holds(exported(volume), 0x41))

    def test_an_offer_is_taken_back(self):
        volume = make_volume()
        offer = osc("volume", "transfer", "request", "create", volume.id)
        do("volume", "transfer", "request", "delete", offer["id"])
        ready(volume)
        self.assertNotIn(offer["id"], names("volume", "transfer", "request", "list", column="ID"))


class Backups(Case):
    def test_all_verbs_with_bytes(self):
        volume, name = make_volume(), unique("backup")
        harness.fill(exported(volume), 0x51)
        made = osc("volume", "backup", "create", "--name", name, "--property", "a=b", volume.name)
        first = ready(clients.storage.get_backup(made["id"]))
        harness.fill(exported(volume), 0x52)
        made = osc("volume", "backup", "create", "--incremental", "--name", name + "-2", volume.name)
        second = ready(clients.storage.get_backup(made["id"]))
        self.assertEqual(set(names("volume", "backup", "list", "--volume", volume.name)), {name, name + "-2"})
        shown = osc("volume", "backup", "show", name)
        self.assertEqual((shown["id"], shown["has_dependent_backups"]), (first.id, True))
        do("volume", "backup", "set", "--property", "c=d", "--description", "new", name)
        shown = clients.storage.get_backup(first.id)
        self.assertEqual((shown.metadata, shown.description), ({"a": "b", "c": "d"}, "new"))
        # The client asks for the metadata of backups by key, which Cinder does not serve.
        self.refused("could not be found", *NEWEST, "volume", "backup", "unset", "--property", "a", name)
        self.assertEqual(clients.storage.get_backup(first.id).metadata, {"a": "b", "c": "d"})
        for backup, pattern in ((first, 0x51), (second, 0x52)):
            restored = unique("restored")
            osc("volume", "backup", "restore", backup.name, restored)
            self.assertTrue(harness.holds(exported(named_volume(restored)), pattern))
        self.refused("Incremental backups exist", "openstack", "volume", "backup", "delete", name)
        do("volume", "backup", "set", "--state", "error", name + "-2")
        self.assertEqual(clients.storage.get_backup(second.id).status, "error")
        for backup in (second, first):
            do("volume", "backup", "delete", backup.id)
            gone(backup)
        self.assertEqual(names("volume", "backup", "list", "--volume", volume.name), [])

    def test_a_record_is_exported_and_imported(self):
        volume = make_volume()
        harness.fill(exported(volume), 0x53)
        backup = ready(clients.storage.create_backup(volume_id=volume.id, name=unique("backup")))
        record = osc("volume", "backup", "record", "export", backup.id)
        service, metadata = record["backup_service"], record["backup_url"]
        # The client posts a record to where Cinder hands them out.
        words = "The resource could not be found."
        self.refused(words, *NEWEST, "volume", "backup", "record", "import", service, metadata)
        store, kept = clients.server.data / "backups", clients.server.folder / unique("kept")
        shutil.copytree(store, kept)
        do("volume", "backup", "delete", backup.id)
        gone(backup)
        # The record is lost, what it tells of is not.
        shutil.rmtree(store)
        shutil.move(kept, store)
        body = {"backup-record": {"backup_service": service, "backup_url": metadata}}
        again = clients.api("POST", "/backups/import_record", body).json()["backup"]
        again = ready(clients.storage.get_backup(again["id"]))
        answer = clients.storage.restore_backup(again, name=unique("restored"))
        restored = ready(clients.storage.get_volume(answer.volume_id))
        self.assertTrue(harness.holds(exported(restored), 0x53))


if __name__ == "__main__":
    recorder.install()
    harness.main()
