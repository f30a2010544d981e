"""Each request's status, by raw HTTP: clients take any 2xx, those who check schemas do not."""

import uuid

import clients
import harness
from clients import Case, api, make_volume, ready, unique


def setUpModule():
    clients.start()


def tearDownModule():
    clients.server.close()


class Codes(Case):
    def answers(self, code, method, path, body=None, version="3.71"):
        """A request must be answered with this status; returns the document."""
        answer = api(method, path, body, version)
        self.assertEqual(answer.status_code, code, f"{method} {path} {body}: {answer.text[:300]}")
        self.assertEqual(answer.headers["OpenStack-API-Version"], f"volume {version}")
        self.assertIn("OpenStack-API-Version", answer.headers["Vary"])
        self.assertTrue(answer.headers["x-openstack-request-id"].startswith("req-"))
        return answer.json() if answer.content else None

    def act(self, code, kind, thing, **action):
        """An action must be answered with this status."""
        return self.answers(code, "POST", f"/{kind}/{thing}/action", action)

    def test_volumes_and_metadata(self):
        made = self.answers(202, "POST", "/volumes", {"volume": {"size": 1, "name": None, "multiattach": False}})
        volume = ready(clients.storage.get_volume(made["volume"]["id"])).id
        at = f"/volumes/{volume}"
        for path in (at, "/volumes", "/volumes/detail", f"{at}/metadata"):
            self.answers(200, "GET", path)
        self.answers(200, "GET", "/volumes/summary")
        self.answers(200, "GET", "/volumes/summary?all_tenants=True")
        self.answers(200, "PUT", at, {"volume": {"name": "n"}})
        self.answers(200, "POST", f"{at}/metadata", {"metadata": {"a": "b"}})
        self.answers(200, "PUT", f"{at}/metadata", {"metadata": {"c": "d"}})
        self.answers(200, "PUT", f"{at}/metadata/c", {"meta": {"c": "e"}})
        self.answers(200, "DELETE", f"{at}/metadata/c")
        self.answers(404, "DELETE", f"{at}/metadata/c")
        for path in ("/volumes/no-such-name", f"/volumes/{uuid.uuid4()}", "/types/no", "/groups/no", "/snapshots/no"):
            self.answers(404, "GET", path)
        self.answers(202, "DELETE", f"{at}?cascade=False&force=False")

    def test_actions_on_volumes(self):
        volume = make_volume().id
        act = lambda code, **action: self.act(code, "volumes", volume, **action)
        act(202, **{"os-update_readonly_flag": {"readonly": True}})
        act(202, **{"os-update_readonly_flag": {"readonly": False}})
        act(200, **{"os-set_bootable": {"bootable": True}})
        self.assertIn("metadata", act(200, **{"os-set_image_metadata": {"metadata": {"k": "v"}}}))
        self.assertIn("metadata", act(200, **{"os-show_image_metadata": None}))
        act(200, **{"os-unset_image_metadata": {"key": "k"}})
        act(202, **{"os-reset_status": {"status": "available"}})
        act(202, **{"os-reserve": None})
        act(202, **{"os-unreserve": None})
        connector = {"connector": {"host": "h", "ip": "127.0.0.1"}}
        act(202, **{"os-reserve": None})
        self.assertIn("connection_info", act(200, **{"os-initialize_connection": connector}))
        act(202, **{"os-attach": {"instance_uuid": str(uuid.uuid4()), "mountpoint": "/dev/vdb"}})
        act(202, **{"os-begin_detaching": None})
        act(202, **{"os-roll_detaching": None})
        act(202, **{"os-terminate_connection": connector})
        held = clients.storage.get_volume(volume).attachments[0]["attachment_id"]
        act(202, **{"os-detach": {"attachment_id": held}})
        ready(clients.storage.get_volume(volume))
        act(202, **{"os-extend": {"new_size": 2}})
        self.becomes(lambda: clients.storage.get_volume(volume).status, "available")
        said = act(400, **{"os-extend": {"new_size": -1}})["badRequest"]["message"]
        words = "Invalid input for field/attribute new_size. Value: -1. -1 is less than the minimum of 1"
        self.assertIn(words, said)
        act(202, **{"os-migrate_volume": {"host": clients.DUMMY}})
        self.becomes(lambda: clients.storage.get_volume(volume).migration_status, "success")
        act(202, **{"os-unmanage": None})

    def test_snapshots(self):
        volume = make_volume()
        made = self.answers(202, "POST", "/snapshots", {"snapshot": {"volume_id": volume.id, "name": None}})
        snapshot = ready(clients.storage.get_snapshot(made["snapshot"]["id"])).id
        at = f"/snapshots/{snapshot}"
        for path in (at, "/snapshots", "/snapshots/detail", f"{at}/metadata"):
            self.answers(200, "GET", path)
        self.answers(200, "PUT", at, {"snapshot": {"name": "n"}})
        self.answers(200, "POST", f"{at}/metadata", {"metadata": {"a": "b"}})
        self.answers(200, "DELETE", f"{at}/metadata/a")
        self.act(202, "snapshots", snapshot, **{"os-reset_status": {"status": "creating"}})
        changed = {"status": "available", "progress": "80%"}
        self.act(202, "snapshots", snapshot, **{"os-update_snapshot_status": changed})
        self.act(202, "volumes", volume.id, revert={"snapshot_id": snapshot})
        self.becomes(lambda: clients.storage.get_volume(volume.id).status, "available")
        self.becomes(lambda: clients.storage.get_snapshot(snapshot).status, "available")
        forced = {"snapshot": {"volume_id": volume.id, "force": False}}
        self.answers(400, "POST", "/snapshots", forced, "3.66")
        self.answers(202, "DELETE", at)

    def test_attachments(self):
        volume = make_volume()
        body = {"attachment": {"volume_uuid": volume.id, "instance_uuid": str(uuid.uuid4()), "connector": None}}
        made = self.answers(200, "POST", "/attachments", body)["attachment"]["id"]
        other = {"attachment": {"volume_uuid": volume.id, "instance_uuid": str(uuid.uuid4())}}
        self.answers(400, "POST", "/attachments", other)
        body = {"attachment": {"connector": {"host": "h", "ip": "127.0.0.1"}}}
        info = self.answers(200, "PUT", f"/attachments/{made}", body)["attachment"]["connection_info"]
        self.assertEqual((info["driver_volume_type"], info["attachment_id"]), ("nbd", made))
        for path in (f"/attachments/{made}", "/attachments", "/attachments/detail"):
            self.answers(200, "GET", path)
        self.act(204, "attachments", made, **{"os-complete": made})
        left = self.answers(200, "DELETE", f"/attachments/{made}")
        self.assertEqual(left, {"attachments": []})
        self.answers(404, "DELETE", f"/attachments/{made}")

    def test_backups(self):
        volume = make_volume()
        made = self.answers(202, "POST", "/backups", {"backup": {"volume_id": volume.id, "name": None}})
        backup = ready(clients.storage.get_backup(made["backup"]["id"])).id
        for path in (f"/backups/{backup}", "/backups", "/backups/detail", f"/backups/{backup}/export_record"):
            self.answers(200, "GET", path)
        self.answers(200, "PUT", f"/backups/{backup}", {"backup": {"name": "n"}})
        restored = self.answers(202, "POST", f"/backups/{backup}/restore", {"restore": {}})["restore"]
        self.assertEqual(set(restored), {"backup_id", "volume_id", "volume_name"})
        self.becomes(lambda: clients.storage.get_backup(backup).status, "available")
        self.act(202, "backups", backup, **{"os-reset_status": {"status": "error"}})
        self.answers(202, "DELETE", f"/backups/{backup}")

    def test_types(self):
        made = self.answers(200, "POST", "/types", {"volume_type": {"name": unique("t")}})["volume_type"]["id"]
        at, project = f"/types/{made}", clients.cloud.session.get_project_id()
        for path in (at, "/types", "/types?is_public=None", "/types/default", f"{at}/extra_specs"):
            self.answers(200, "GET", path)
        self.answers(200, "PUT", at, {"volume_type": {"name": unique("t"), "is_public": False}})
        self.answers(200, "POST", f"{at}/extra_specs", {"extra_specs": {"a": "b"}})
        self.answers(200, "PUT", f"{at}/extra_specs/a", {"a": "c"})
        self.answers(202, "DELETE", f"{at}/extra_specs/a")
        self.answers(202, "POST", f"{at}/action", {"addProjectAccess": {"project": project}})
        self.answers(200, "GET", f"{at}/os-volume-type-access")
        self.answers(202, "POST", f"{at}/action", {"removeProjectAccess": {"project": project}})
        how = {"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}
        self.answers(200, "POST", f"{at}/encryption", {"encryption": how})
        self.assertEqual(self.answers(200, "GET", f"{at}/encryption")["provider"], "luks")
        self.answers(200, "PUT", f"{at}/encryption/provider", {"encryption": {"key_size": 512}})
        self.answers(202, "DELETE", f"{at}/encryption/provider")
        self.assertEqual(self.answers(200, "GET", f"{at}/encryption"), {})
        self.answers(200, "PUT", f"/default-types/{project}", {"default_type": {"volume_type": made}})
        self.answers(200, "GET", "/default-types")
        self.answers(200, "GET", f"/default-types/{project}")
        self.answers(204, "DELETE", f"/default-types/{project}")
        self.answers(202, "DELETE", at)

    def test_groups(self):
        kind = self.answers(202, "POST", "/group_types", {"group_type": {"name": unique("k")}})["group_type"]["id"]
        at = f"/group_types/{kind}"
        for path in (at, "/group_types", f"{at}/group_specs"):
            self.answers(200, "GET", path)
        self.answers(200, "PUT", at, {"group_type": {"name": unique("k")}})
        self.answers(202, "POST", f"{at}/group_specs", {"group_specs": {"a": "b"}})
        self.assertEqual(self.answers(200, "GET", f"{at}/group_specs/a"), {"a": "b"})
        self.assertEqual(self.answers(200, "PUT", f"{at}/group_specs/a", {"a": "c"}), {"a": "c"})
        self.answers(202, "DELETE", f"{at}/group_specs/a")
        types = [clients.storage.get_type("default").id]
        body = {"group": {"name": unique("g"), "group_type": kind, "volume_types": types}}
        group = self.answers(202, "POST", "/groups", body)["group"]["id"]
        ready(clients.storage.get_group(group))
        for path in (f"/groups/{group}", "/groups", "/groups/detail", f"/groups/{group}?list_volume=True"):
            self.answers(200, "GET", path)
        self.answers(202, "PUT", f"/groups/{group}", {"group": {"name": unique("g")}})
        member = {"volume": {"size": 1, "group_id": group, "volume_type": types[0]}}
        member = self.answers(202, "POST", "/volumes", member)["volume"]["id"]
        ready(clients.storage.get_volume(member))
        taken = self.answers(202, "POST", "/group_snapshots", {"group_snapshot": {"group_id": group, "name": "s"}})
        taken = taken["group_snapshot"]["id"]
        ready(clients.storage.get_group_snapshot(taken))
        for path in (f"/group_snapshots/{taken}", "/group_snapshots", "/group_snapshots/detail"):
            self.answers(200, "GET", path)
        source = {"name": "c", "group_snapshot_id": taken, "source_group_id": None}
        copy = self.answers(202, "POST", "/groups/action", {"create-from-src": source})["group"]["id"]
        ready(clients.storage.get_group(copy))
        self.act(202, "group_snapshots", taken, reset_status={"status": "available"})
        self.answers(202, "DELETE", f"/group_snapshots/{taken}")
        self.act(202, "groups", copy, reset_status={"status": "available"})
        for each in (copy, group):
            harness.wait_until("no snapshots", lambda: not list(clients.storage.group_snapshots()))
            # Looked up before: it may be gone as soon as that is answered.
            known = clients.storage.get_group(each)
            self.act(202, "groups", each, delete={"delete-volumes": True})
            clients.gone(known)
        self.answers(202, "DELETE", at)

    def test_transfers(self):
        volume = make_volume()
        for path in ("/volume-transfers", "/os-volume-transfer"):
            offer = self.answers(202, "POST", path, {"transfer": {"volume_id": volume.id, "name": None}})["transfer"]
            for each in (f"{path}/{offer['id']}", path, f"{path}/detail"):
                self.answers(200, "GET", each)
            self.answers(400, "POST", f"{path}/{offer['id']}/accept", {"accept": {"auth_key": "wrong"}})
            accept = {"accept": {"auth_key": offer["auth_key"]}}
            self.answers(202, "POST", f"{path}/{offer['id']}/accept", accept)
            offer = self.answers(202, "POST", path, {"transfer": {"volume_id": volume.id}})["transfer"]
            self.answers(202, "DELETE", f"{path}/{offer['id']}")

    def test_the_operators_side(self):
        project = clients.cloud.session.get_project_id()
        quota = f"/os-quota-sets/{project}"
        for path in (
            "/os-services", quota, f"{quota}?usage=True", f"{quota}/defaults", "/os-quota-class-sets/default", "/limits",
            "/os-availability-zone", "/scheduler-stats/get_pools?detail=True", "/capabilities/parpen@local", "/extensions",
            "/resource_filters", "/qos-specs", "/messages", "/os-hosts", "/os-hosts/parpen@local", "/clusters",
        ):
            self.answers(200, "GET", path)
        service = {"binary": "cinder-volume", "host": "parpen@dummy"}
        self.answers(200, "PUT", "/os-services/disable", service)
        self.answers(200, "PUT", "/os-services/disable-log-reason", service | {"disabled_reason": "r"})
        self.answers(200, "PUT", "/os-services/enable", service)
        self.answers(200, "PUT", "/os-services/freeze", {"host": "parpen@dummy"})
        self.answers(200, "PUT", "/os-services/thaw", {"host": "parpen@dummy"})
        log = {"binary": "", "server": "", "prefix": "parpen_service"}
        self.answers(202, "PUT", "/os-services/set-log", log | {"level": "INFO"})
        self.answers(200, "PUT", "/os-services/get-log", log)
        self.assertEqual(api("PUT", "/os-services/get-log", log, "3.31").status_code, 404)
        self.answers(200, "PUT", quota, {"quota_set": {"volumes": -1}})
        self.answers(200, "DELETE", quota)
        self.answers(200, "PUT", "/os-quota-class-sets/default", {"quota_class_set": {"volumes": -1}})
        spec = self.answers(200, "POST", "/qos-specs", {"qos_specs": {"name": unique("q")}})["qos_specs"]["id"]
        kind = clients.storage.create_type(name=unique("t")).id
        self.answers(202, "GET", f"/qos-specs/{spec}/associate?vol_type_id={kind}")
        self.answers(202, "GET", f"/qos-specs/{spec}/disassociate?vol_type_id={kind}")
        self.answers(202, "DELETE", f"/qos-specs/{spec}")


if __name__ == "__main__":
    harness.main()
