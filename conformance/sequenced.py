"""A writer whose every 4 KiB block says which volume, offset and sequence number it belongs to, and its judge.

The judge knows, for each block, the newest sequence number that a flush or a forced write has covered, and all
that were submitted since. After a crash a block must hold one of these.
"""

import json
import os
import random
import struct
import uuid

import nbd

BLOCK = 4096
HEADER = struct.Struct(">8s16sQQ")
MAGIC = b"PARPENSQ"
COPIES = BLOCK // HEADER.size
IN_FLIGHT = 32


class LostWrite(AssertionError):
    """A block does not hold what it must."""


def block_bytes(volume, offset, sequence):
    """The contents of a block; repeated, so that a torn write is seen."""
    header = HEADER.pack(MAGIC, volume.bytes, offset, sequence)
    return (header * COPIES).ljust(BLOCK, b"\0")


def sequence_of(volume, offset, data):
    """The sequence number that a block holds; 0 if it was never written. Anything else is a lost write."""
    if data == bytes(BLOCK):
        return 0
    magic, owner, where, sequence = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise LostWrite(f"block at {offset} holds foreign bytes {data[:16].hex()}")
    if (owner, where) != (volume.bytes, offset):
        raise LostWrite(f"block at {offset} holds a block of {uuid.UUID(bytes=owner)} at {where}")
    if data != block_bytes(volume, offset, sequence):
        raise LostWrite(f"block at {offset} is torn: it begins with sequence {sequence}")
    return sequence


class Writer:
    """Writes random blocks of one volume until the connection breaks; remembers what must have survived."""

    def __init__(self, size, log_path, seed):
        self.volume = uuid.UUID(int=random.Random(seed).getrandbits(128))
        self.blocks = size // BLOCK
        self.random = random.Random(seed + 1)
        self.sequence = 0
        self.durable = {}
        self.submitted = {}
        self.flushes = 0
        # Outside the server; each answer is written down before the next request is sent.
        self.log = open(log_path, "a", buffering=1)

    def run_until_broken(self, uri, stop=lambda: False):
        """Write batches, flush after each, until the server is gone or `stop` says so."""
        connection = nbd.NBD()
        try:
            connection.connect_uri(uri)
            while not stop():
                self._batch(connection)
            connection.shutdown()
        except nbd.Error:
            # The kill: whatever was in flight stays submitted and nothing more.
            pass

    def _batch(self, connection):
        offsets = self.random.sample(range(self.blocks), self.random.randint(1, IN_FLIGHT))
        pending = {}
        for index in offsets:
            offset = index * BLOCK
            self.sequence += 1
            forced = self.random.random() < 0.1
            self.submitted.setdefault(offset, []).append(self.sequence)
            data = nbd.Buffer.from_bytearray(bytearray(block_bytes(self.volume, offset, self.sequence)))
            flags = nbd.CMD_FLAG_FUA if forced else 0
            cookie = connection.aio_pwrite(data, offset, flags=flags)
            pending[cookie] = (offset, self.sequence, forced, data)
        done = []
        while pending:
            connection.poll(-1)
            for cookie in [each for each in pending if connection.aio_command_completed(each)]:
                offset, sequence, forced, _ = pending.pop(cookie)
                done.append((offset, sequence))
                if forced:
                    self._cover([(offset, sequence)], "forced")
        connection.flush()
        self.flushes += 1
        self._cover(done, "flush")

    def _cover(self, writes, why):
        self.log.write(json.dumps({"why": why, "writes": writes}) + "\n")
        for offset, sequence in writes:
            if sequence > self.durable.get(offset, 0):
                self.durable[offset] = sequence
                self.submitted[offset] = [s for s in self.submitted.get(offset, []) if s > sequence]

    def judge(self, uri):
        """Read every block. Raises if one was lost; returns what each holds, which from now on must stay."""
        found = self.read(uri)
        for offset, sequence in found.items():
            least = self.durable.get(offset, 0)
            allowed = [least, *self.submitted.get(offset, [])]
            if sequence not in allowed:
                raise LostWrite(
                    f"block at {offset} holds sequence {sequence}; flushed was {least}, submitted since "
                    f"{self.submitted.get(offset, [])}"
                )
        return found

    def settle(self, uri, found):
        """After a judgement: flush, so that what was read cannot go back, and forget what did not arrive."""
        connection = nbd.NBD()
        connection.connect_uri(uri)
        connection.flush()
        connection.shutdown()
        self.durable = {offset: sequence for offset, sequence in found.items() if sequence}
        self.submitted = {}

    def read(self, uri):
        """The sequence number of every block of an export."""
        connection = nbd.NBD()
        connection.connect_uri(uri)
        found = {}
        step = 256 * BLOCK
        for start in range(0, self.blocks * BLOCK, step):
            length = min(step, self.blocks * BLOCK - start)
            data = bytes(connection.pread(length, start))
            for at in range(0, length, BLOCK):
                found[start + at] = sequence_of(self.volume, start + at, data[at : at + BLOCK])
        connection.shutdown()
        return found

    def close(self):
        """Close the log."""
        self.log.flush()
        os.fsync(self.log.fileno())
        self.log.close()
