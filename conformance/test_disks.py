"""Disks of a pool: replicas that outlive a disk, silent damage that is found and mended, data that moves while it is
used, a database that is rebuilt from the disks.

usage: test_disks.py [--rounds N]    (also PARPEN_DISK_ROUNDS; 5 by default, 20 in a full run)
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import unittest

import harness
import sequenced

ROUNDS = int(os.environ.get("PARPEN_DISK_ROUNDS", "5"))
SEED = int(os.environ.get("PARPEN_DISK_SEED", "0")) or random.SystemRandom().getrandbits(32)
MIB = 1 << 20


def cli_json(server, *command):
    return json.loads(server.cli(*command, "--output", "json").stdout)


def disks(server):
    return {d["disk"]: d for d in cli_json(server, "disk", "list")}


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
        told = cli_json(self.server, "pool", "rebuild-metadata")
        self.assertEqual([(p["volumes"], p["snapshots"]) for p in told], [(1, 1)])
        self.server.start()
        after = cli_json(self.server, "volume", "show", "books")
        self.assertEqual((after["id"], after["handle"], after["size"]), (before["id"], before["handle"], before["size"]))
        self.assertEqual(self.get("books"), data)
        self.assertEqual(len(disks(self.server)), 3)
        self.server.stop()
        self.server.cli("meta", "restore", copy)
        self.server.start()
        self.assertEqual(self.get("books"), data)


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
