"""Disks of a pool: replicas that outlive a disk, silent damage that is found and mended, data that moves while it is
used, a database that is rebuilt from the disks.

usage: test_disks.py [--rounds N]    (also PARPEN_DISK_ROUNDS; 5 by default, 20 in a full run)
"""

import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

import harness
import sequenced
from test_bad_input import openstack_token

ROUNDS = int(os.environ.get("PARPEN_DISK_ROUNDS", "5"))
SEED = int(os.environ.get("PARPEN_DISK_SEED", "0")) or random.SystemRandom().getrandbits(32)
MIB = 1 << 20


def cli_json(server, *command):
    return json.loads(server.cli(*command, "--output", "json").stdout)


def disks(server):
    return {d["disk"]: d for d in cli_json(server, "disk", "list")}


def alarms(server):
    return {a["id"]: a for a in cli_json(server, "status")["alarms"]}


def wait_for(what, seconds=120):
    """Waits for something to become true; what happens behind the scenes takes its time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


class Disks(unittest.TestCase):
    def setUp(self):
        print(f"seed {SEED}", flush=True)
        self.random = random.Random(SEED)
        self.server = harness.Server().start()
        self.addCleanup(self.server.close)

    def put(self, volume, data):
        file = pathlib.Path(self.server.folder) / "in"
        file.write_bytes(data)
        harness.run("nbdcopy", file, self.server.nbd_uri(volume))

    def get(self, export):
        file = pathlib.Path(self.server.folder) / "out"
        file.unlink(missing_ok=True)
        harness.run("nbdcopy", self.server.nbd_uri(export), file)
        return file.read_bytes()

    def volume(self, name, size, *more):
        self.server.cli("volume", "create", name, "--size", str(size), *more)
        data = self.random.randbytes(size)
        self.put(name, data)
        return data

    def test_a_fresh_directory_has_three_disks_and_says_what_they_are_not(self):
        found = disks(self.server)
        self.assertEqual([d["medium"] for d in found.values()], ["hdd", "hdd", "ssd"])
        self.assertEqual({d["state"] for d in found.values()}, {"up"})
        pool = cli_json(self.server, "pool", "show", "local")
        self.assertIn("one physical disk", pool["remark"])
        refused = self.server.cli("volume", "create", "four", "--size", "1MiB", "--replication", "4", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("replication", refused.stderr)

    def test_soft_eject_moves_everything_while_it_is_read(self):
        data = self.volume("books", 96 * MIB)
        full = max(disks(self.server).values(), key=lambda d: d["objects"])["disk"]
        self.server.cli("disk", "soft-eject", full)
        self.assertEqual(self.get("books"), data)
        wait_for(lambda: disks(self.server)[full]["objects"] == 0)
        self.assertEqual(self.get("books"), data)
        self.server.cli("disk", "forget", full)
        self.assertNotIn(full, disks(self.server))
        self.assertEqual(self.get("books"), data)
        added = cli_json(self.server, "disk", "add", "--medium", "hdd", "--capacity", "1GiB")
        self.assertEqual(added["state"], "up")
        plan = cli_json(self.server, "pool", "balance", "local")
        self.server.cli("pool", "balance", "local", "--commit")
        if plan["moves"]:
            wait_for(lambda: disks(self.server)[added["disk"]]["objects"] > 0)
        self.assertEqual(self.get("books"), data)
        self.server.stop()
        self.server.cli("fsck", "--data")

    def test_bit_flips_are_found_and_mended_from_the_other_replica(self):
        data = self.volume("books", 32 * MIB, "--replication", "2")
        self.server.stop()
        folder = pathlib.Path(self.server.data)
        hurt = self.flip(folder, data, 24)
        self.server.start()
        for number in disks(self.server):
            self.server.cli("disk", "scrub", number)
        found = lambda: sum(d["bad_blocks"] for d in disks(self.server).values())
        mended = lambda: sum(d["repaired_blocks"] for d in disks(self.server).values())
        wait_for(lambda: found() >= hurt and all(d["scrub"] == "idle" for d in disks(self.server).values()))
        self.assertEqual((found(), mended()), (hurt, hurt))
        said = {a["kind"]: a for a in alarms(self.server).values()}
        self.assertEqual(set(said), {"bad-blocks"})
        self.assertIn(f"{hurt} of them are mended", said["bad-blocks"]["text"])
        self.assertEqual(self.get("books"), data)
        self.server.stop()
        self.server.cli("fsck", "--data")

    def flip(self, folder, data, most):
        """Flips a bit in some stored blocks of one disk; answers how many."""
        blocks = {data[at : at + 4096]: at for at in range(0, len(data), 4096)}
        for path in sorted((folder / "pools").glob("local-*.disk")):
            hurt = 0
            with open(path, "r+b") as disk:
                size = disk.seek(0, 2)
                for at in self.holes_skipped(disk, size):
                    disk.seek(at)
                    block = disk.read(4096)
                    if hurt < most and block in blocks and self.random.random() < 0.05:
                        bit = self.random.randrange(4096 * 8)
                        disk.seek(at + bit // 8)
                        byte = block[bit // 8] ^ (1 << (bit % 8))
                        disk.write(bytes([byte]))
                        hurt += 1
            if hurt:
                return hurt
        raise AssertionError("no stored block was found on any disk")

    @staticmethod
    def holes_skipped(disk, size):
        at = 0
        while at < size:
            try:
                at = os.lseek(disk.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(disk.fileno(), at, os.SEEK_HOLE)
            yield from range(at - at % 4096, end, 4096)
            at = end

    def test_a_lost_database_is_rebuilt_from_the_disks(self):
        data = self.volume("books", 8 * MIB)
        self.server.cli("volume", "snapshot", "books", "before")
        before = cli_json(self.server, "volume", "show", "books")
        copy = pathlib.Path(self.server.folder) / "copy.sqlite"
        self.server.cli("meta", "backup", copy)
        self.server.stop()
        for name in ("meta.sqlite", "meta.sqlite-wal", "meta.sqlite-shm"):
            (pathlib.Path(self.server.data) / name).unlink(missing_ok=True)
        one = next((pathlib.Path(self.server.data) / "pools").glob("*.disk"))
        aside = one.with_suffix(".away")
        one.rename(aside)
        refused = self.server.cli("pool", "rebuild-metadata", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("--despite-missing", refused.stderr)
        shutil.copy(aside, one)
        twin = one.with_name("zz-twin.disk")
        aside.rename(twin)
        refused = self.server.cli("pool", "rebuild-metadata", check=False)
        self.assertIn("one of them is a copy", refused.stderr)
        twin.unlink()
        told = cli_json(self.server, "pool", "rebuild-metadata")
        self.assertEqual([(p["volumes"], p["snapshots"]) for p in told], [(1, 1)])
        self.server.start()
        after = cli_json(self.server, "volume", "show", "books")
        self.assertEqual((after["id"], after["handle"], after["size"]), (before["id"], before["handle"], before["size"]))
        self.assertEqual(self.get("books"), data)
        self.assertEqual(len(disks(self.server)), 3)
        self.server.stop()
        self.server.cli("meta", "restore", copy)
        mark = pathlib.Path(self.server.data) / "meta.restored"
        self.assertTrue(mark.exists())
        self.server.start()
        self.assertFalse(mark.exists())
        self.assertEqual(self.get("books"), data)

    def test_all_disks_from_last_night_are_used_only_when_somebody_says_so(self):
        data = self.volume("books", 8 * MIB)
        self.server.stop()
        copies = [(path, path.with_suffix(".copy")) for path in map(self.pool_file, (1, 2, 3))]
        for path, copy in copies:
            harness.run("cp", "--sparse=always", path, copy)
        self.server.restart()
        self.server.stop()
        for path, copy in copies:
            copy.rename(path)
        self.server.start()
        fault = cli_json(self.server, "pool", "show", "local")["fault"]
        self.assertIn("`parpen pool rebuild-metadata --despite-missing`", fault)
        self.server.stop()
        told = self.server.cli("pool", "rebuild-metadata", check=False)
        self.assertIn("--despite-missing", told.stderr)
        self.server.cli("pool", "rebuild-metadata", "--despite-missing")
        self.server.start()
        self.assertEqual({d["state"] for d in disks(self.server).values()}, {"up"})
        self.assertEqual(self.get("books"), data)
        self.server.stop()
        self.server.cli("fsck", "--data")

    def pool_file(self, number):
        return pathlib.Path(self.server.data) / "pools" / f"local-{number}.disk"

    def empty_and_forget(self, number):
        self.server.cli("disk", "soft-eject", number)
        wait_for(lambda: disks(self.server)[number]["objects"] == 0)
        self.server.cli("disk", "forget", number)

    def test_files_that_changed_names_are_the_disks_that_they_are(self):
        # Forgetting the second disk once removed the file of its name, in which the first one served.
        data = [self.volume(f"books-{n}", 64 * MIB, "--replication", str(n)) for n in (1, 2)]
        self.server.stop()
        one, two = self.pool_file(1), self.pool_file(2)
        between = one.with_suffix(".between")
        for source, target in ((one, between), (two, one), (between, two)):
            source.rename(target)
        self.server.start()
        self.assertIn(f"disk 2 was found at {one}, where disk 1 was", self.server.log.read_text())
        self.assertEqual([disks(self.server)[n]["path"] for n in (1, 2)], [str(two), str(one)])
        self.server.cli("disk", "eject", 2)
        self.server.cli("disk", "return", 2)
        wait_for(lambda: disks(self.server)[2]["state"] == "up")
        self.empty_and_forget(2)
        self.assertEqual((one.exists(), two.exists()), (False, True), "what was forgotten is gone, and only that")
        self.server.restart()
        self.assertEqual({d["state"] for d in disks(self.server).values()}, {"up"})
        self.assertEqual([self.get(f"books-{n}") for n in (1, 2)], data)
        self.server.stop()
        self.server.cli("fsck", "--data")

    def test_a_file_that_took_the_name_of_a_forgotten_disk_stays(self):
        kept = self.pool_file(2).with_suffix(".kept")
        self.server.cli("disk", "soft-eject", 2)
        self.pool_file(2).rename(kept)
        self.pool_file(2).write_bytes(b"somebody's")
        wait_for(lambda: disks(self.server)[2]["objects"] == 0)
        self.server.cli("disk", "forget", 2)
        self.assertEqual(self.pool_file(2).read_bytes(), b"somebody's")

    def test_of_a_disk_and_its_copy_neither_is_believed(self):
        data = self.volume("books", 32 * MIB, "--replication", "3")
        self.server.stop()
        one, two = self.pool_file(1), self.pool_file(2)
        aside = two.with_suffix(".away")
        two.rename(aside)
        harness.run("cp", "--sparse=always", one, two)
        self.server.start()
        for number, other in ((1, two), (2, one)):
            told = disks(self.server)[number]
            self.assertIn(told["state"], ("absent", "failed"))
            self.assertIn(f"{other} is the same disk, and one of them is a copy", told["fault"])
        self.assertEqual(self.get("books"), data)
        aside.rename(two)
        for number in (1, 2):
            self.server.cli("disk", "return", number)
        wait_for(lambda: {d["state"] for d in disks(self.server).values()} == {"up"})
        self.assertEqual(self.get("books"), data)
        self.server.stop()
        self.server.cli("fsck", "--data")

    def test_a_disk_that_is_added_again_is_the_one_that_it_was(self):
        # A database from before they came knows neither; in this order each got the other's number.
        copy = pathlib.Path(self.server.folder) / "copy.sqlite"
        self.server.cli("meta", "backup", copy)
        for _ in range(2):
            self.server.cli("disk", "add", "--capacity", "1GiB")
        data = self.volume("books", 64 * MIB, "--replication", "3")
        ids = {n: d["uuid"] for n, d in disks(self.server).items()}
        self.server.stop()
        self.server.cli("meta", "restore", copy)
        self.server.cli("pool", "rebuild-metadata")
        self.server.start()
        for number in (5, 4):
            added = cli_json(self.server, "disk", "add", self.pool_file(number))
            self.assertEqual(added["disk"], number)
        self.assertEqual({n: d["uuid"] for n, d in disks(self.server).items()}, ids)
        wait_for(lambda: {d["state"] for d in disks(self.server).values()} == {"up"})
        self.assertEqual(self.get("books"), data)

    def test_a_forgotten_disk_is_wiped_before_it_is_added_again(self):
        path = pathlib.Path(self.server.folder) / "more"
        number = cli_json(self.server, "disk", "add", path, "--capacity", "1GiB")["disk"]
        self.empty_and_forget(number)
        refused = self.server.cli("disk", "add", path, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"was forgotten; if nothing on it is needed, wipe it (rm {path})", refused.stderr)
        path.unlink()
        again = cli_json(self.server, "disk", "add", path, "--capacity", "1GiB")
        self.assertEqual((again["disk"], again["state"]), (number + 1, "up"))

    def test_a_refused_forget_changes_nothing(self):
        # Nothing was written, but some of its objects would go to each of the disks that it is placed on.
        self.server.cli("volume", "create", "thin", "--size", "1GiB")
        refused = 0
        for number in disks(self.server):
            said = self.server.cli("disk", "forget", number, check=False)
            if said.returncode == 0:
                break
            refused += 1
            self.assertIn("objects", said.stderr)
            wait_for(lambda number=number: disks(self.server)[number]["state"] == "up")
        self.assertGreater(refused, 0)
        self.put("thin", bytes(4096) + b"stone" * 4096)

    def test_a_disk_that_is_away_is_told_once_and_can_be_ignored(self):
        data = self.volume("books", 8 * MIB, "--replication", "2")
        self.assertEqual(alarms(self.server), {})
        holders = [n for n, d in disks(self.server).items() if d["objects"]]
        gone = holders[0]
        path = disks(self.server)[gone]["path"]
        refused = self.server.cli("disk", "ignore", gone, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("eject", refused.stderr)
        self.server.cli("disk", "eject", gone)
        away = f"disk-away:{gone}"
        for _ in range(3):
            said = alarms(self.server)
            self.assertEqual(said[away]["severity"], "critical")
            self.assertIn(f"parpen disk return {gone}", said[away]["text"])
        wait_for(lambda: "objects-short:local" in alarms(self.server), 30)
        self.assertEqual(self.lines(away), 1, "a crossing is one line, however often somebody looks")
        gauge = f'parpen_alarms{{kind="disk-away",pool="local",disk="{gone}",severity="critical"}} 1'
        self.assertIn(gauge, self.metrics())
        for command in (("status",), ("disk", "list"), ("disk", "show", gone), ("pool", "show", "local")):
            self.assertIn(f"parpen disk forget {gone}", self.server.cli(*command).stdout, command)

        self.assertTrue(cli_json(self.server, "disk", "ignore", gone)["ignored"])
        self.assertEqual(alarms(self.server), {})
        self.assertNotIn("parpen_alarms{", self.metrics())
        self.server.stop()
        file = pathlib.Path(path)
        aside = file.with_suffix(".away")
        file.rename(aside)
        self.server.start()
        still = disks(self.server)[gone]
        self.assertIn(still["state"], ("absent", "failed"))
        self.assertTrue(still["ignored"], "the pool's row keeps it")
        self.assertEqual(alarms(self.server), {})
        self.server.cli("disk", "ignore", gone, "--undo")
        self.assertIn(away, alarms(self.server))
        self.server.cli("disk", "ignore", gone)

        aside.rename(file)
        self.server.cli("disk", "return", gone)
        wait_for(lambda: disks(self.server)[gone]["state"] == "up")
        wait_for(lambda: alarms(self.server) == {})
        self.assertEqual(self.get("books"), data)
        self.server.cli("disk", "eject", gone)
        self.assertFalse(disks(self.server)[gone]["ignored"], "it was ignored until it was whole")
        self.assertIn(away, alarms(self.server))

    def lines(self, alarm):
        """How often the log tells that an alarm stands."""
        log = self.server.log.read_text(errors="replace").splitlines()
        return sum(f'"{alarm}"' in line and "it is over" not in line for line in log)

    def metrics(self):
        return self.server.http("GET", "/metrics").body.decode()

    def test_a_pool_that_fills_says_so_in_steps(self):
        self.server.cli("pool", "create", "small", "--driver", "local", "--capacity", "128MiB")
        self.server.cli("volume", "create", "heap", "--size", "256MiB", "--pool", "small")
        seen = []
        for at in range(0, 256, 2):
            written = harness.qemu_io(
                self.server.nbd_uri("heap"), f"write -P {at % 250 + 1} {at}M 2M", "flush", check=False
            )
            said = alarms(self.server).get("pool-full:small")
            step = said and (said["severity"], said["text"].split(" % ")[0].split()[-1])
            if step and step not in seen:
                seen.append(step)
            if not written:
                break
        self.assertEqual(seen, [("warning", "80"), ("warning", "90"), ("critical", "95")])
        self.assertEqual(self.lines("pool-full:small"), 3)
        self.server.cli("volume", "delete", "heap")
        wait_for(lambda: "pool-full:small" not in alarms(self.server))

    def test_room_is_told_by_the_copies_that_volumes_get(self):
        once = cli_json(self.server, "pool", "show", "local")
        self.assertEqual((once["replication"], once["usable_free"]), (1, once["free"]))
        twice = cli_json(self.server, "pool", "edit", "local", "--replication", "2")
        self.assertAlmostEqual(twice["usable"] / once["usable"], 0.5, places=2)
        data = self.volume("books", 16 * MIB)
        self.assertGreaterEqual(cli_json(self.server, "pool", "show", "local")["stored"], 2 * len(data))
        holders = [n for n, d in disks(self.server).items() if d["objects"]]
        self.assertEqual(len(holders), 2, "a volume that asks for nothing gets what the pool gives")
        token = {"X-Auth-Token": openstack_token(self.server)}
        path = "/volume/v3/scheduler-stats/get_pools?detail=True"
        stats = {p["name"]: p["capabilities"] for p in self.server.http("GET", path, headers=token).json()["pools"]}
        told = stats["parpen@local#local"]
        self.assertAlmostEqual(told["total_capacity_gb"], twice["usable"] / (1 << 30), places=1)
        self.assertLess(told["free_capacity_gb"], told["total_capacity_gb"])
        refused = self.server.cli("pool", "edit", "local", "--replication", "4", check=False)
        self.assertIn("1, 2 or 3", refused.stderr)

    def test_what_a_pool_does_by_itself_is_kept(self):
        files = [f"--path={self.server.folder / name}" for name in ("d1", "d2", "d3")]
        self.server.cli("pool", "create", "small", "--driver", "local", "--capacity", "3GiB", *files)
        data = self.volume("books", 192 * MIB, "--pool", "small")
        full = max(disks(self.server).values(), key=lambda d: d["objects"])["disk"]
        told = cli_json(self.server, "pool", "edit", "small", "--relocate", "off", "--auto-balance", "on")
        self.assertEqual((told["relocate"], told["auto_balance"]), (False, True))
        self.server.restart()
        self.server.cli("disk", "soft-eject", full)
        self.assertGreater(disks(self.server)[full]["objects"], 0)
        self.assertEqual(disks(self.server)[full]["state"], "ejecting")
        self.server.cli("pool", "edit", "small", "--relocate", "on")
        wait_for(lambda: disks(self.server)[full]["objects"] == 0)
        more = ("--pool", "small", "--medium", "hdd", "--capacity", "1GiB")
        added = cli_json(self.server, "disk", "add", *more)["disk"]
        wait_for(lambda: disks(self.server)[added]["objects"] > 0)
        self.assertEqual(self.get("books"), data)
        refused = self.server.cli("pool", "edit", "dummy", "--auto-balance", "on", check=False)
        self.assertIn("no disks of its own", refused.stderr)

    def test_a_pool_of_one_disk_as_the_first_version_knew_it_grows(self):
        self.server.cli("pool", "create", "old", "--driver", "local", "--capacity", "1GiB")
        data = self.volume("books", 64 * MIB, "--pool", "old")
        self.server.stop()
        self.as_the_first_version("old")
        self.server.start()
        old = [d for d in disks(self.server).values() if d["pool"] == "old"]
        self.assertEqual([(d["state"], pathlib.Path(d["path"]).name) for d in old], [("up", "old.disk")])
        self.assertEqual(self.get("books"), data)
        added = [cli_json(self.server, "disk", "add", "--pool", "old", "--capacity", "1GiB") for _ in range(2)]
        self.assertEqual({d["state"] for d in added}, {"up"})
        more = self.volume("more", 64 * MIB, "--pool", "old", "--replication", "2")
        self.assertTrue(any(disks(self.server)[d["disk"]]["objects"] for d in added), "they take data")
        self.server.cli("disk", "soft-eject", old[0]["disk"])
        wait_for(lambda: disks(self.server)[old[0]["disk"]]["objects"] == 0)
        self.server.cli("disk", "forget", old[0]["disk"])
        self.server.restart()
        self.assertEqual((self.get("books"), self.get("more")), (data, more))
        self.server.stop()
        self.server.cli("fsck", "--data")

    def as_the_first_version(self, name):
        """Makes a pool's row what it was when a pool had one disk, and takes away what it did not have then."""
        folder = pathlib.Path(self.server.data)
        database = sqlite3.connect(folder / "meta.sqlite")
        with database:
            rows = database.execute("SELECT id, doc FROM rows WHERE kind = 'pool'").fetchall()
            [(key, pool)] = [(key, p) for key, p in ((k, json.loads(d)) for k, d in rows) if p["name"] == name]
            [disk] = pool.pop("disks")
            del pool["spent"], pool["replication"]
            pool.update(path=disk["path"], disk=disk["number"])
            database.execute("UPDATE rows SET doc = ? WHERE id = ?", (json.dumps(pool), key))
        database.close()
        (folder / "pools" / f"{pool['id']}.witness").unlink()


class Losses(unittest.TestCase):
    """kill -9 and a disk less, again and again: what a flush has answered is on the other replica."""

    SIZE = 64 * MIB

    def test_any_disk_may_go_at_any_moment(self):
        print(f"seed {SEED}", flush=True)
        self.dice = random.Random(SEED)
        self.server = harness.Server().start()
        self.addCleanup(self.server.close)
        for name in ("ours", "other"):
            self.server.cli("volume", "create", name, "--size", "64MiB", "--replication", "2")
        self.writer = sequenced.Writer(self.SIZE, self.server.folder / "flushes.jsonl", SEED)
        self.addCleanup(self.writer.close)
        self.snapshots = {}
        for number in range(1, ROUNDS + 1):
            self.round(number)
        self.assertGreater(self.writer.flushes, ROUNDS, "the writer hardly wrote")

    def load(self):
        command = ["fio", "--name=load", "--ioengine=nbd", f"--uri={self.server.nbd_uri('other')}", "--rw=randrw"]
        command += ["--bsrange=4k-128k", "--iodepth=8", "--time_based", "--runtime=60", "--fsync=32", "--size=100%"]
        command += [f"--aux-path={self.server.folder}"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def round(self, number):
        server, writer = self.server, self.writer
        if len(self.snapshots) < 3:
            name = f"round-{number}"
            server.cli("volume", "snapshot", "ours", name)
            self.snapshots[name] = writer.read(server.nbd_uri("ours"))
        # Data moves meanwhile, wherever the disks were left by the last round.
        moving = self.dice.choice(sorted(disks(server)))
        server.cli("disk", "soft-eject", moving, check=False)
        load = self.load()
        killer = threading.Timer(self.dice.uniform(0.4, 1.8), server.kill)
        killer.start()
        try:
            writer.run_until_broken(server.nbd_uri("ours"), stop=lambda: not server.alive())
        finally:
            killer.join()
            load.terminate()
            load.wait()
        gone = self.dice.choice(sorted((pathlib.Path(server.data) / "pools").glob("local-*.disk")))
        aside = gone.with_suffix(".away")
        gone.rename(aside)
        server.start()
        self.look(f"round {number}, without {gone.name}")
        server.stop()
        # It comes back as old as it was, and gets what it lacks.
        aside.rename(gone)
        server.start()
        server.cli("disk", "soft-eject", moving, "--cancel", check=False)
        harness.wait_until("every disk is up to date", lambda: self.states() == {"up"}, seconds=120)
        self.look(f"round {number}, with all disks")
        server.stop()
        server.cli("fsck", "--data")
        server.start()
        print(f"round {number}: {writer.flushes} flushes, without {gone.name}", flush=True)

    def states(self):
        return {d["state"] for d in disks(self.server).values()}

    def look(self, when):
        uri = self.server.nbd_uri("ours")
        found = self.writer.judge(uri)
        self.writer.settle(uri, found)
        for name, contents in self.snapshots.items():
            now = self.writer.read(self.server.nbd_uri(f"ours@{name}"))
            self.assertEqual(now, contents, f"{when}: snapshot {name} has changed")


if __name__ == "__main__":
    if "--rounds" in sys.argv:
        at = sys.argv.index("--rounds")
        ROUNDS = int(sys.argv[at + 1])
        del sys.argv[at : at + 2]
    harness.main()
