"""What is measured: the fio jobs, and the aims that the results are held against."""

import dataclasses

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


@dataclasses.dataclass(frozen=True)
class Job:
    """One access pattern. `reads` in percent; `flush`: a flush after so many writes; `fresh`: on a volume that was only
    ever written from front to back."""

    name: str
    what: str
    reads: int
    size: int
    depth: int
    flush: int = 0
    sequential: bool = False
    connections: int = 1
    fresh: bool = False
    everywhere: bool = False


JOBS = [
    Job("read-4k-q1", "random reads of 4 KiB, 1 in flight", 100, 4 * KIB, 1, everywhere=True),
    Job("write-4k-q1", "random writes of 4 KiB, 1 in flight", 0, 4 * KIB, 1, everywhere=True),
    Job("read-4k-q32", "random reads of 4 KiB, 32 in flight", 100, 4 * KIB, 32, everywhere=True),
    Job("write-4k-q32", "random writes of 4 KiB, 32 in flight", 0, 4 * KIB, 32, everywhere=True),
    Job("read-4k-4x16", "4 connections, each random reads of 4 KiB, 16 in flight", 100, 4 * KIB, 16, connections=4),
    Job("write-4k-4x16", "4 connections, each random writes of 4 KiB, 16 in flight", 0, 4 * KIB, 16, connections=4),
    Job("mix-4k-q16", "7 random reads to 3 writes of 4 KiB, 16 in flight", 70, 4 * KIB, 16),
    Job("flush-1", "random writes of 4 KiB, a flush after each", 0, 4 * KIB, 1, flush=1, everywhere=True),
    Job("read-128k-q8", "sequential reads of 128 KiB, 8 in flight", 100, 128 * KIB, 8, sequential=True, fresh=True, everywhere=True),
    Job("read-128k-torn", "the same where 4 KiB were overwritten at random", 100, 128 * KIB, 8, sequential=True),
    Job("write-128k-q8", "sequential writes of 128 KiB, 8 in flight", 0, 128 * KIB, 8, sequential=True, fresh=True, everywhere=True),
    Job("read-1m-q4", "sequential reads of 1 MiB, 4 in flight", 100, MIB, 4, sequential=True, fresh=True),
    Job("write-1m-q4", "sequential writes of 1 MiB, 4 in flight", 0, MIB, 4, sequential=True, fresh=True),
]

#        job             who       of whom     at least  in words
RATIOS = [
    ("read-4k-q32", "engine", "raw", 0.90, "the engine in process, 32 reads in flight, of the raw file"),
    ("write-4k-q32", "engine", "raw", 0.90, "the engine in process, 32 writes in flight, of the raw file"),
    ("read-4k-q1", "parpen", "qemu-raw", 1.50, "NBD, 1 read in flight, of qemu-nbd"),
    ("write-4k-q1", "parpen", "qemu-raw", 1.50, "NBD, 1 write in flight, of qemu-nbd"),
    ("read-4k-q32", "parpen", "raw", 0.85, "NBD, 32 reads in flight, of the raw file"),
    ("write-4k-q32", "parpen", "raw", 0.70, "NBD, 32 writes in flight, of the raw file"),
    ("read-4k-4x16", "parpen", "raw", 0.97, "NBD, reads on 4 connections, of the raw file"),
    ("write-4k-4x16", "parpen", "raw", 0.97, "NBD, writes on 4 connections, of the raw file"),
    ("flush-1", "parpen", "raw", 0.90, "NBD, a flush after each write, of the raw file"),
    ("read-128k-q8", "parpen", "raw", 0.95, "NBD, 128 KiB sequential reads, of the raw file"),
    ("write-128k-q8", "parpen", "raw", 0.80, "NBD, 128 KiB sequential writes, of the raw file"),
]
