"""The StorPool bindings against a running server: 2.0.0, strict by itself, and 7.3.0, made strict here.

The interpreter decides which one: the environment `storpool2` holds the first, `storpool7` the second.
"""

import importlib.util
import random
import unittest

import harness

STRICT_ONE = importlib.util.find_spec("storpool2") is not None

if STRICT_ONE:
    from storpool2 import spapi
else:
    from storpool import spapi

server = None
api = None

GB = 1 << 30
MB = 1 << 20


class Hidden(Exception):
    """Stands for an exception that nobody raises."""


def make_strict():
    """From 4.0 on the bindings return what they could read of a bad answer; let them raise instead."""
    for name in dir(spapi.Api):
        call = getattr(spapi.Api, name)
        if "InvalidArgumentError" in getattr(call, "__globals__", {}) and "returns" in call.__globals__:
            call.__globals__["InvalidArgumentError"] = Hidden


def connect(token=None):
    """A client as the environment describes it."""
    env = server.env("storpool")
    port = int(env["SP_API_HTTP_PORT"])
    return spapi.Api(host=env["SP_API_HTTP_HOST"], port=port, auth=token or env["SP_AUTH_TOKEN"])


def setUpModule():
    global server, api
    if not STRICT_ONE:
        make_strict()
    server = harness.Server().start()
    api = connect()


def tearDownModule():
    server.close()


def create(name, size=GB, **more):
    """A new volume on the group that every cluster has."""
    desc = {"name": name, "size": size, "replication": 1, "placeAll": "default"}
    desc.update(more)
    return api.volumeCreate(desc)


def one(listing):
    """The only element of a list."""
    (element,) = listing
    return element


class StorPoolTest(unittest.TestCase):
    def refused(self, name, call, *args):
        """The call must fail with StorPool's own error of this name."""
        with self.assertRaises(spapi.ApiError) as caught:
            call(*args)
        self.assertEqual(caught.exception.name, name, caught.exception.desc)
        self.assertTrue(caught.exception.desc)
        return caught.exception


class Cluster(StorPoolTest):
    def test_disks_services_and_groups(self):
        disks = api.disksList()
        self.assertTrue(disks)
        for disk_id, disk in disks.items():
            self.assertEqual(disk.id, disk_id)
            # A disk that misses a field would be taken for one that is down.
            self.assertEqual(type(disk).__name__, "UpDiskSummary")
        services = api.servicesList()
        self.assertEqual(services.clusterStatus, "running")
        self.assertTrue(any(mgmt.active for mgmt in services.mgmt.values()))
        groups = api.placementGroupsList()
        solid = {number for number, disk in disks.items() if disk.ssd}
        for name, members in (("default", set(disks)), ("hdd", set(disks) - solid), ("ssd", solid)):
            self.assertEqual(groups[name].name, name)
            self.assertEqual(set(groups[name].disks), members)

    def test_a_wrong_token_is_refused(self):
        with self.assertRaises(spapi.ApiError):
            connect("1234567890123456789").volumesList()

    def test_templates_give_what_a_volume_leaves_out(self):
        api.volumeTemplateCreate({"name": "tpl", "placeAll": "ssd", "placeTail": "hdd", "replication": 1, "size": GB})
        template = one([t for t in api.volumeTemplatesList() if t.name == "tpl"])
        self.assertEqual((template.placeAll, template.placeTail, template.size), ("ssd", "hdd", GB))
        api.volumeCreate({"name": "from-tpl", "template": "tpl"})
        volume = one(api.volumeList("from-tpl"))
        self.assertEqual((volume.size, volume.placeAll, volume.placeTail), (GB, "ssd", "hdd"))
        self.assertEqual(volume.templateName, "tpl")
        self.refused("objectExists", api.volumeTemplateCreate, {"name": "tpl", "placeAll": "ssd", "replication": 1})


class Volumes(StorPoolTest):
    def test_a_volume_lives_through_all_its_verbs(self):
        done = create("vol1", 2 * GB, placeTail="ssd", bw=10 * MB, iops=500)
        self.assertIs(done.ok, True)
        volume = one(api.volumeList("vol1"))
        self.assertEqual((volume.name, volume.size, volume.replication), ("vol1", 2 * GB, 1))
        self.assertEqual((volume.placeAll, volume.placeTail), ("default", "ssd"))
        self.assertEqual((volume.bw, volume.iops), (10 * MB, 500))
        self.assertEqual(volume.objectsCount, 2 * GB // (32 * MB))
        self.assertIn("vol1", [each.name for each in api.volumesList()])
        self.assertEqual(harness.run("nbdinfo", "--size", server.nbd_uri("vol1")).stdout.strip(), str(2 * GB))

        api.volumeUpdate("vol1", {"sizeAdd": GB})
        self.assertEqual(one(api.volumeList("vol1")).size, 3 * GB)
        api.volumeUpdate("vol1", {"size": 4 * GB, "rename": "vol2"})
        self.assertEqual(one(api.volumeList("vol2")).size, 4 * GB)
        self.refused("objectDoesNotExist", api.volumeList, "vol1")

        api.volumeDelete("vol2")
        self.refused("objectDoesNotExist", api.volumeList, "vol2")
        self.refused("objectDoesNotExist", api.volumeDelete, "vol2")

    def test_every_change_moves_the_generation_on(self):
        first = create("gen1").generation
        second = create("gen2").generation
        self.assertGreater(second, first)
        self.assertGreater(api.volumeDelete("gen1").generation, second)

    def test_a_taken_name_is_refused_and_changes_nothing(self):
        create("taken", GB)
        self.refused("objectExists", create, "taken", 2 * GB)
        self.assertEqual(one(api.volumeList("taken")).size, GB)

    def test_a_replication_that_does_not_fit_is_refused(self):
        desc = {"name": "thrice", "size": GB, "replication": 3, "placeAll": "hdd"}
        self.refused("insufficientResources", api.volumeCreate, desc)
        self.refused("objectDoesNotExist", api.volumeList, "thrice")

    def test_shrinking_must_be_asked_for(self):
        create("shrunk", 2 * GB)
        self.refused("invalidParam", api.volumeUpdate, "shrunk", {"size": GB})
        api.volumeUpdate("shrunk", {"size": GB, "shrinkOk": True})
        self.assertEqual(one(api.volumeList("shrunk")).size, GB)

    def test_names_that_a_target_may_not_hold_still_reach_the_server(self):
        self.refused("objectDoesNotExist", api.volumeList, "#nosuch")
        self.refused("objectDoesNotExist", api.snapshotList, "*nosuch@1")

    def test_status_shows_volumes_and_snapshots(self):
        create("shown")
        api.snapshotCreate("shown", {"name": "shown-s"})
        status = api.volumesStatus()
        self.assertEqual((status["shown"].status, status["shown"].snapshot), ("up", False))
        self.assertEqual((status["shown-s"].status, status["shown-s"].snapshot), ("up", True))


class Snapshots(StorPoolTest):
    def test_a_snapshot_is_parent_of_its_volume_and_of_clones(self):
        create("src", GB)
        uri = server.nbd_uri("src")
        harness.fill(uri, 0x11)
        api.snapshotCreate("src", {"name": "src-1"})
        harness.fill(uri, 0x22)
        self.assertEqual(one(api.volumeList("src")).parentName, "src-1")
        snapshot = one(api.snapshotList("src-1"))
        self.assertEqual((snapshot.name, snapshot.size, snapshot.autoName), ("src-1", GB, False))
        self.assertIn("src-1", [each.name for each in api.snapshotsList()])
        self.assertIn("src-1", [each.name for each in api.volumeListSnapshots("src")])

        api.volumeCreate({"name": "child", "parent": "src-1", "replication": 1, "placeAll": "default"})
        child = one(api.volumeList("child"))
        self.assertEqual((child.parentName, child.size), ("src-1", GB))
        self.assertTrue(harness.holds(server.nbd_uri("child"), 0x11))
        self.assertTrue(harness.holds(uri, 0x22))

        api.snapshotDelete("src-1")
        left = lambda: [s.name for s in api.snapshotsList() if s.name == "src-1" and not s.deleted]
        harness.wait_until("snapshot deleted", lambda: not left())
        self.assertTrue(harness.holds(server.nbd_uri("child"), 0x11), "a child outlives its parent")
        self.assertTrue(harness.holds(uri, 0x22))

    def test_a_nameless_snapshot_gets_a_name(self):
        create("auto")
        name = api.snapshotCreate("auto", {}).autoName
        self.assertTrue(name.startswith("auto@"), name)
        self.assertIs(one(api.snapshotList(name)).autoName, True)
        api.snapshotDelete(name)

    def test_a_copy_of_a_volume_has_its_bytes(self):
        create("base", GB)
        harness.fill(server.nbd_uri("base"), 0x31)
        api.volumeCreate({"name": "copy", "baseOn": "base", "replication": 1, "placeAll": "default"})
        harness.fill(server.nbd_uri("base"), 0x32)
        self.assertTrue(harness.holds(server.nbd_uri("copy"), 0x31))
        self.assertEqual(one(api.volumeList("copy")).size, GB)

    def test_volumes_and_snapshots_share_their_names(self):
        create("shared")
        self.refused("objectExists", api.snapshotCreate, "shared", {"name": "shared"})


class Attachments(StorPoolTest):
    def attached(self, name):
        return sorted((a.client, a.rights) for a in api.attachmentsList() if a.volume == name)

    def test_reassign_moves_rights_between_clients(self):
        create("moved")
        api.volumesReassign([{"volume": "moved", "rw": [1]}])
        self.assertEqual(self.attached("moved"), [(1, "rw")])
        self.refused("busy", api.volumeDelete, "moved")
        api.volumesReassign([{"volume": "moved", "detach": [1], "rw": [2], "ro": [3]}])
        self.assertEqual(self.attached("moved"), [(2, "rw"), (3, "ro")])
        api.volumesReassign([{"volume": "moved", "detach": "all"}])
        self.assertEqual(self.attached("moved"), [])
        api.volumeDelete("moved")

    def test_reassign_is_all_or_nothing(self):
        create("half")
        both = [{"volume": "half", "rw": [4]}, {"volume": "nosuch", "rw": [4]}]
        self.refused("objectDoesNotExist", api.volumesReassign, both)
        self.assertEqual(self.attached("half"), [])

    def test_snapshots_are_attached_read_only(self):
        create("snapped")
        api.snapshotCreate("snapped", {"name": "snapped-s"})
        api.volumesReassign([{"snapshot": "snapped-s", "ro": [5]}])
        found = [a for a in api.attachmentsList() if a.client == 5]
        self.assertEqual([(a.volume, a.snapshot, a.rights) for a in found], [("snapped-s", True, "ro")])
        api.volumesReassign([{"snapshot": "snapped-s", "detach": "all"}])


class Disks(StorPoolTest):
    def objects(self, disk):
        return api.disksList()[disk].objectsAllocated

    def told_of_its_objects(self, name, disk):
        """All six objects are written, each is on one disk, and the disk tells of the same ones."""
        volume, info = api.volumeDescribe(name), api.volumeInfo(name)
        self.assertEqual([len(disks) for disks in volume.objects], [1] * 6)
        on_disk = sum(disk in disks for disks in volume.objects)
        self.assertEqual(info.objectsPerDisk[disk], on_disk)
        self.assertEqual(sum(chain.count for chain in info.objectsPerChain), 6)
        objects = [o for o in api.diskDescribe(disk).objects.values() if o.volume == name]
        self.assertEqual([(o.state, o.storedSize) for o in objects], [("OBJECT_OK", 32 * MB)] * on_disk)
        status = api.volumesStatus()[name]
        self.assertEqual((status.status, status.migrating, status.storedSize), ("up", False, 192 * MB))
        if STRICT_ONE:
            self.assertEqual(api.diskInfo(disk).volumeInfos[name].objectsCount, on_disk)

    def due_to_leave(self, name, disk):
        status = api.volumesStatus()[name]
        self.assertEqual((status.migrating, list(status.softEjectingDrives)), (True, [disk]))
        for targets in (api.volumeRelocatorVolumeDisks(name), api.volumeRelocatorDisks()):
            self.assertLess(targets[disk].objectsAllocated.delta, 0)
            self.assertEqual(sum(t.objectsAllocated.delta for t in targets.values()), 0)

    def test_a_disk_is_emptied_while_its_volume_is_read(self):
        disks = [f"--path={server.folder / name}" for name in ("d1", "d2", "d3")]
        server.cli("pool", "create", "small", "--driver", "local", "--capacity", "3GiB", *disks)
        create("filled", 192 * MB, placeAll="small", placeTail="small")
        data = random.Random(7).randbytes(192 * MB)
        file = server.folder / "filled"
        file.write_bytes(data)
        harness.run("nbdcopy", file, server.nbd_uri("filled"))
        full = max(api.disksList(), key=self.objects)
        self.assertGreater(self.objects(full), 0)
        self.told_of_its_objects("filled", full)
        api.volumeRelocatorOff() if STRICT_ONE else None
        api.diskSoftEject(full)
        self.assertEqual(api.disksList()[full].softEject, "on")
        if STRICT_ONE:
            self.assertEqual(api.volumeRelocatorStatus().status, "off")
            self.due_to_leave("filled", full)
            api.diskSoftEjectPause(full)
            self.assertEqual(api.disksList()[full].softEject, "paused")
            self.assertGreater(self.objects(full), 0, "nothing moves while the relocator is off")
            self.assertEqual(api.volumeBalancerGetStatus().status, "blocked")
            api.diskSoftEject(full)
            api.volumeRelocatorOn()
        for task in api.tasksList():
            self.assertLessEqual(task.completedObjects, task.allObjects)
        harness.wait_until("the disk is empty", lambda: self.objects(full) == 0, seconds=300)
        harness.run("nbdcopy", server.nbd_uri("filled"), file)
        self.assertEqual(file.read_bytes(), data)
        api.diskSoftEjectCancel(full)
        self.assertEqual(api.disksList()[full].softEject, "off")
        self.assertEqual(api.volumeRelocatorStatus().status, "on")
        api.volumeBalancerSetStatus({"cmd": "start"})
        self.assertEqual(api.volumeBalancerGetStatus().status, "ready")
        targets = api.volumeBalancerDisks()
        self.assertGreater(targets[full].objectsAllocated.delta, 0)
        self.assertEqual(sum(t.objectsAllocated.delta for t in targets.values()), 0, "none is made, none is lost")
        moved = api.volumeBalancerVolumeDisks("filled")
        self.assertEqual(moved[full].objectsAllocated.delta, targets[full].objectsAllocated.delta)
        listed = {v.name: v.reallocated for v in api.volumeBalancerVolumesStatus()}
        self.assertTrue(listed["filled"])
        sets = api.volumeBalancerVolumeDiskSets("filled")
        self.assertTrue(any(full in disks for disks in sets.balancerDiskSets))
        self.assertFalse(any(full in disks for disks in sets.currentDiskSets))
        if STRICT_ONE:
            group = next(g for g in api.volumeBalancerGroups() if g.root == "filled")
            self.assertEqual((list(group.volumes), group.feasible, group.storedSize), (["filled"], True, 192 * MB))
        api.volumeBalancerSetStatus({"cmd": "commit"})
        harness.wait_until("the disk takes data", lambda: self.objects(full) > 0, seconds=300)
        harness.run("nbdcopy", server.nbd_uri("filled"), file)
        self.assertEqual(file.read_bytes(), data)
        harness.wait_until("it is done", lambda: api.volumeBalancerGetStatus().status != "commiting", seconds=300)
        api.volumeBalancerSetStatus({"cmd": "start"})
        self.assertEqual(api.volumeBalancerGetStatus().status, "nothing to do")
        api.volumeBalancerSetStatus({"cmd": "stop"})
        self.assertEqual(api.volumeBalancerGetStatus().status, "waiting")
        api.volumeDelete("filled")

    def test_a_disk_is_described_and_unknown_ones_are_refused(self):
        disk = min(api.disksList())
        api.diskSetDesc(disk, {"description": "rack 3 slot-1"})
        self.assertEqual(api.disksList()[disk].description, "rack 3 slot-1")
        for call in (api.diskSoftEject, api.diskEject, api.diskForget, api.diskIgnore):
            self.refused("objectDoesNotExist", call, 77)
        self.refused("invalidParam", api.diskIgnore, disk)
        self.refused("invalidParam", api.volumeBalancerSetStatus, {"cmd": "commit"})

    @unittest.skipIf(STRICT_ONE, "of the later bindings")
    def test_a_disk_is_read_through(self):
        create("read", 64 * MB)
        file = server.folder / "read"
        file.write_bytes(random.Random(8).randbytes(64 * MB))
        harness.run("nbdcopy", file, server.nbd_uri("read"))
        full = max(api.disksList(), key=self.objects)
        api.diskScrubStart(full)
        harness.wait_until("it was read", lambda: api.disksList()[full].scrubbedBytes > 0, seconds=300)
        other = next(disk for disk in api.disksList() if disk != full)
        self.refused("invalidParam", api.diskScrubPause, other)
        api.volumeDelete("read")


@unittest.skipIf(STRICT_ONE, "2.0.0 does not know global ids")
class Newer(StorPoolTest):
    def test_a_volume_answers_to_its_global_id(self):
        done = create("global")
        volume = one(api.volumeList("global"))
        self.assertRegex(volume.globalId, r"^[a-z0-9]+\.[a-z0-9]+\.[a-z0-9]+$")
        self.assertEqual(done.globalId, volume.globalId)
        self.assertEqual(one(api.volumeList("~" + volume.globalId)).name, "global")

    def test_status_of_the_later_bindings_is_the_whole_summary(self):
        create("whole")
        status = api.volumesStatus()["whole"]
        self.assertEqual(status.globalId, one(api.volumeList("whole")).globalId)

    def test_the_multi_cluster_prefix_is_accepted(self):
        env = server.env("storpool")
        many = spapi.Api(
            host=env["SP_API_HTTP_HOST"], port=int(env["SP_API_HTTP_PORT"]), auth=env["SP_AUTH_TOKEN"], multiCluster=True
        )
        self.assertEqual({v.name for v in many.volumesList()}, {v.name for v in api.volumesList()})


if __name__ == "__main__":
    harness.main()
