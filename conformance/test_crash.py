"""kill -9 under load, again and again: nothing that a flush has answered may be lost.

usage: test_crash.py [--rounds N]    (also PARPEN_CRASH_ROUNDS; 20 by default)
"""

import os
import random
import subprocess
import sys
import threading
import time
import unittest
import uuid

import harness
import sequenced
from lossy import LossyProxy

ROUNDS = int(os.environ.get("PARPEN_CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("PARPEN_CRASH_SEED", "0")) or random.SystemRandom().getrandbits(32)

MIB = 1 << 20
SIZE = 64 * MIB
MAX_SNAPSHOTS = 4
MIN_SECONDS, MAX_SECONDS = 0.4, 1.8


class Load:
    """Things that happen to other volumes while ours is written: fio, and people who make and delete volumes."""

    def __init__(self, server, number):
        self.server = server
        self.number = number
        self.over = threading.Event()
        uri = server.nbd_uri("other")
        self.fio = subprocess.Popen(
            ["fio", "--name=load", "--ioengine=nbd", f"--uri={uri}", "--rw=randrw", "--bsrange=4k-128k", "--iodepth=8"]
            + ["--time_based", "--runtime=60", "--fsync=32", "--size=100%", f"--aux-path={server.folder}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.people = threading.Thread(target=self._people)
        self.people.start()

    def _people(self):
        at = 0
        while not self.over.is_set():
            at += 1
            name = f"brief-{self.number}-{at}"
            # Each of these may be interrupted by the kill; none may be left half done.
            for command in (
                ("volume", "create", name, "--size", "32MiB"),
                ("volume", "snapshot", name, "s"),
                ("volume", "clone", f"{name}@s", name + "-c"),
                ("volume", "delete", name + "-c"),
            ):
                if not self.over.is_set():
                    self.server.cli(*command, check=False)

    def end(self):
        """After the kill."""
        self.over.set()
        self.people.join()
        self.fio.terminate()
        self.fio.wait()


class Kills(unittest.TestCase):
    def setUp(self):
        print(f"seed {SEED}", flush=True)
        self.random = random.Random(SEED)
        self.server = harness.Server().start()
        self.addCleanup(self.server.close)
        self.server.cli("volume", "create", "ours", "--size", "64MiB")
        self.server.cli("volume", "create", "other", "--size", "256MiB")
        self.writer = sequenced.Writer(SIZE, self.server.folder / "flushes.jsonl", SEED)
        self.addCleanup(self.writer.close)
        self.snapshots = {}

    def test_what_was_flushed_survives(self):
        for number in range(1, ROUNDS + 1):
            self.round(number)
        self.assertGreater(self.writer.flushes, ROUNDS, "the writer hardly wrote")
        self.assertTrue(self.snapshots)

    def test_a_server_that_loses_one_block_is_caught(self):
        proxy = LossyProxy(self.server.nbd_uri("ours"), drop_from=200)
        self.addCleanup(proxy.close)
        enough = lambda: proxy.lost_writes > 0 and self.writer.flushes > 20
        killer = threading.Thread(target=self.kill_when, args=(enough,))
        killer.start()
        self.writer.run_until_broken(proxy.uri)
        killer.join()
        self.assertGreaterEqual(proxy.lost_writes, 1)
        self.server.start()
        with self.assertRaises(sequenced.LostWrite) as caught:
            self.writer.judge(self.server.nbd_uri("ours"))
        self.assertIn(f"block at {proxy.lost_block} ", str(caught.exception))

    def kill_when(self, condition):
        harness.wait_until("enough writes", condition, seconds=60, pause=0.01)
        self.server.kill()

    def round(self, number):
        server, writer = self.server, self.writer
        uri = server.nbd_uri("ours")
        if len(self.snapshots) < MAX_SNAPSHOTS and number % 2 == 1:
            name = f"round-{number}"
            server.cli("volume", "snapshot", "ours", name)
            self.snapshots[name] = writer.read(uri)
        load = Load(server, number)
        killer = threading.Timer(self.random.uniform(MIN_SECONDS, MAX_SECONDS), server.kill)
        killer.start()
        try:
            writer.run_until_broken(uri, stop=lambda: not server.alive())
        finally:
            killer.join()
            load.end()
        began = time.monotonic()
        server.start()
        took = time.monotonic() - began
        uri = server.nbd_uri("ours")
        found = writer.judge(uri)
        writer.settle(uri, found)
        for name, contents in self.snapshots.items():
            self.assertEqual(writer.read(server.nbd_uri(f"ours@{name}")), contents, f"snapshot {name} has changed")
        harness.wait_until("no job is stuck", self.at_rest)
        server.stop()
        server.cli("fsck")
        server.start()
        held = sum(1 for sequence in found.values() if sequence)
        print(f"round {number}: {writer.flushes} flushes, {held} blocks, restart {took:.2f} s", flush=True)

    def at_rest(self):
        """Whether no job runs, and no volume or snapshot is on its way to another state."""
        if self.server.cli_json("status")["jobs"]:
            return False
        for noun in ("volume", "snapshot"):
            for each in self.server.cli_json(noun, "list"):
                self.assertEqual(each["state"], "ready", f"no job works on it any more: {each}")
        return True


class Judge(unittest.TestCase):
    """The judge itself, on blocks that no server has touched."""

    OURS, THEIRS = uuid.UUID(int=1), uuid.UUID(int=2)

    def test_good_and_empty_blocks_are_read(self):
        good = sequenced.block_bytes(self.OURS, 8192, 7)
        self.assertEqual(sequenced.sequence_of(self.OURS, 8192, good), 7)
        self.assertEqual(sequenced.sequence_of(self.OURS, 8192, bytes(sequenced.BLOCK)), 0)

    def test_torn_misplaced_and_foreign_blocks_are_lost_writes(self):
        old, new = (sequenced.block_bytes(self.OURS, 0, sequence) for sequence in (1, 2))
        for bad in (
            new[:512] + old[512:],
            new[:4095] + b"\x01",
            sequenced.block_bytes(self.OURS, 4096, 1),
            sequenced.block_bytes(self.THEIRS, 0, 1),
            bytes(512) + new[512:],
        ):
            with self.assertRaises(sequenced.LostWrite):
                sequenced.sequence_of(self.OURS, 0, bad)


if __name__ == "__main__":
    if "--rounds" in sys.argv:
        at = sys.argv.index("--rounds")
        ROUNDS = int(sys.argv[at + 1])
        del sys.argv[at : at + 2]
    harness.main()
