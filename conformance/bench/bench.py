"""Measures parpen beside `qemu-nbd` (raw file, cache=none, aio=io_uring) and writes BENCHMARKS.md.

Both keep their data on one file system, are asked by the same fio jobs over a unix socket, and take turns.
Both volumes are filled with random bytes before anything is measured. The processor time of a server is read
from /proc before and after each run.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
GIB = 1 << 30
SIZE_GIB = 4
# Cores that others may use during a run before it is repeated, once.
MAX_OTHERS = 0.3

#        name           what                                         fio options
JOBS = [
    ("read-4k-q1", "random reads of 4 KiB, 1 in flight", "randread", "4k", 1, 0),
    ("write-4k-q1", "random writes of 4 KiB, 1 in flight", "randwrite", "4k", 1, 0),
    ("read-4k-q32", "random reads of 4 KiB, 32 in flight", "randread", "4k", 32, 0),
    ("write-4k-q32", "random writes of 4 KiB, 32 in flight", "randwrite", "4k", 32, 0),
    ("mix-4k-q16", "7 random reads to 3 writes of 4 KiB, 16 in flight", "randrw", "4k", 16, 0),
    ("flush-1", "random writes of 4 KiB, a flush after each", "randwrite", "4k", 1, 1),
    ("flush-32", "random writes of 4 KiB, a flush after 32", "randwrite", "4k", 1, 32),
    ("read-128k-q8", "sequential reads of 128 KiB, 8 in flight", "read", "128k", 8, 0),
    ("write-128k-q8", "sequential writes of 128 KiB, 8 in flight", "write", "128k", 8, 0),
    ("read-1m-q4", "sequential reads of 1 MiB, 4 in flight", "read", "1m", 4, 0),
    ("write-1m-q4", "sequential writes of 1 MiB, 4 in flight", "write", "1m", 4, 0),
]


def cpu_seconds(pid):
    """Processor time of a process, all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds():
    """Busy time of all cores together."""
    fields = [int(text) for text in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def children_seconds():
    """Processor time of programs that we ran to their end."""
    times = os.times()
    return times.children_user + times.children_system


class Target:
    """A server that is measured."""

    def __init__(self, name, uri, pid):
        self.name = name
        self.uri = uri
        self.pid = pid


def measure(target, job, seconds, folder):
    """One run of one job."""
    _, _, rw, size, depth, flush = job
    args = ["fio", "--name=bench", "--ioengine=nbd", f"--uri={target.uri}", f"--rw={rw}", f"--bs={size}"]
    args += [f"--iodepth={depth}", f"--runtime={seconds}", "--time_based", "--size=100%", "--randrepeat=0"]
    args += ["--norandommap", "--output-format=json", f"--aux-path={folder}"]
    if rw == "randrw":
        args.append("--rwmixread=70")
    if flush:
        args.append(f"--fsync={flush}")
    os.sync()
    server, machine, ours, began = cpu_seconds(target.pid), machine_seconds(), children_seconds(), time.monotonic()
    said = harness.run(*args, timeout=seconds + 120).stdout
    took = time.monotonic() - began
    server = cpu_seconds(target.pid) - server
    others = machine_seconds() - machine - (children_seconds() - ours) - server
    result = json.loads(said[said.index("{") :])["jobs"][0]
    kinds = [result[kind] for kind in ("read", "write") if result[kind]["total_ios"]]
    most = max(kinds, key=lambda kind: kind["total_ios"])
    requests = sum(kind["total_ios"] for kind in kinds)
    return {
        "iops": sum(kind["iops"] for kind in kinds),
        "p50": most["clat_ns"]["percentile"]["50.000000"] / 1000,
        "p99": most["clat_ns"]["percentile"]["99.000000"] / 1000,
        "cpu": server * 1e6 / requests,
        "others": max(0.0, others) / took,
    }


def fill(uri, folder):
    """Random bytes from the first to the last block, so that nobody answers from a hole."""
    source = folder / "fill"
    with open(source, "wb") as out:
        for _ in range(SIZE_GIB * 64):
            out.write(random.randbytes(GIB // 64))
    harness.run("nbdcopy", "--flush", source, uri, timeout=1200)
    source.unlink()


def start_qemu(folder):
    """qemu-nbd on a raw file."""
    image, listen = folder / "qemu.img", folder / "qemu.socket"
    harness.run("truncate", "-s", f"{SIZE_GIB}G", image)
    args = ["qemu-nbd", "--format=raw", "--cache=none", "--aio=io_uring", "--persistent", "--shared=8"]
    process = subprocess.Popen(args + ["--discard=unmap", f"--socket={listen}", str(image)])
    harness.wait_until("qemu-nbd", listen.exists, seconds=10)
    return process, f"nbd+unix:///?socket={listen}"


def compare(targets, jobs, rounds, seconds, folder):
    """All runs, taking turns; results by (target, job)."""
    results = {}
    for number in range(rounds):
        for job in jobs:
            # Who goes first changes, so that neither always follows the other.
            for target in targets if number % 2 == 0 else reversed(targets):
                run = measure(target, job, seconds, folder)
                if run["others"] > MAX_OTHERS:
                    run = measure(target, job, seconds, folder)
                results.setdefault((target.name, job[0]), []).append(run)
                print(f"round {number + 1} {job[0]:14} {target.name:9} {run['iops']:9.0f}/s", flush=True)
    return results


def median(runs, key):
    """The middle of several runs."""
    return statistics.median(run[key] for run in runs)


def spread(runs):
    """From the slowest to the fastest run, in percent of the middle."""
    rates = [run["iops"] for run in runs]
    return 100 * (max(rates) - min(rates)) / median(runs, "iops")


def control_times(server, rounds):
    """Milliseconds of the command line for a thin volume of 1 TiB: create, snapshot, clone; and for nothing at all."""
    times = {"nothing (`parpen --version`)": [], "create": [], "snapshot": [], "clone": []}

    def timed(what, *args):
        began = time.monotonic()
        server.cli(*args)
        times[what].append((time.monotonic() - began) * 1000)

    for number in range(rounds):
        name = f"thin-{number}"
        timed("nothing (`parpen --version`)", "--version")
        timed("create", "volume", "create", name, "--size", "1TiB")
        # A snapshot of nothing would be too easy.
        harness.fill(server.nbd_uri(name), 0x11, "512G", "1M")
        timed("snapshot", "volume", "snapshot", name, "s")
        timed("clone", "volume", "clone", f"{name}@s", name + "-c")
        if not harness.holds(server.nbd_uri(name + "-c"), 0x11, "512G", "1M"):
            raise AssertionError("the clone lost its bytes")
    return times


def processor():
    """The name of the processor."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def report(results, jobs, control, args, folder):
    """The text of BENCHMARKS.md."""
    file_system = harness.run("stat", "-f", "-c", "%T", folder).stdout.strip()
    versions = [harness.run(*command).stdout.splitlines()[0] for command in (("fio", "--version"), ("qemu-nbd", "--version"))]
    worst = max(run["others"] for runs in results.values() for run in runs)
    lines = [
        "# Benchmarks",
        "",
        "Written by `cargo xtask bench`. parpen (pool driver `local`) and `qemu-nbd` (raw file, cache=none, aio=io_uring)",
        "on one file system, the same fio jobs over a unix socket, taking turns; volumes filled with random bytes first.",
        "The ratio is parpen's requests per second to qemu-nbd's: above 1, parpen is faster. Compare numbers of one run only.",
        "",
        f"{datetime.date.today()}; {os.cpu_count()} cores, {processor()}; Linux {platform.release()}; {file_system};",
        f"{versions[0]}; {versions[1]}; {args.rounds} rounds of {args.seconds} s, volumes of {SIZE_GIB} GiB;",
        f"others used at most {worst:.2f} cores.",
        "",
        "| job | what | parpen /s | spread | qemu-nbd /s | spread | ratio | p50 us | p99 us | qemu p50 | qemu p99 "
        "| CPU s per million | qemu |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for job in jobs:
        ours, theirs = results["parpen", job[0]], results["qemu-nbd", job[0]]
        ratio = median(ours, "iops") / median(theirs, "iops")
        lines.append(
            f"| {job[0]} | {job[1]} | {median(ours, 'iops'):.0f} | {spread(ours):.0f} % | {median(theirs, 'iops'):.0f} "
            f"| {spread(theirs):.0f} % | **{ratio:.2f}** | {median(ours, 'p50'):.0f} | {median(ours, 'p99'):.0f} "
            f"| {median(theirs, 'p50'):.0f} | {median(theirs, 'p99'):.0f} | {median(ours, 'cpu'):.1f} "
            f"| {median(theirs, 'cpu'):.1f} |"
        )
    lines += [
        "",
        "Milliseconds of one command of the command line on a thin volume of 1 TiB, its own start included:",
        "",
        "| command | median | fastest | slowest |",
        "|---|---|---|---|",
    ]
    for what, times in control.items():
        lines.append(f"| {what} | {statistics.median(times):.1f} | {min(times):.1f} | {max(times):.1f} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--jobs", default="")
    parser.add_argument("--dir", default="target/bench")
    parser.add_argument("--out", default="BENCHMARKS.md")
    args = parser.parse_args()
    jobs = [job for job in JOBS if not args.jobs or job[0] in args.jobs.split(",")]
    if not jobs:
        parser.error("no such job; there are " + ", ".join(job[0] for job in JOBS))

    base = pathlib.Path(args.dir).resolve()
    base.mkdir(parents=True, exist_ok=True)
    os.environ["PARPEN_TEST_DIR"] = str(base)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="b-", dir=base))
    server, qemu = harness.Server(), None
    try:
        server.start()
        server.cli("volume", "create", "bench", "--size", f"{SIZE_GIB}GiB")
        qemu, qemu_uri = start_qemu(folder)
        ours = Target("parpen", server.nbd_unix_uri("bench"), server.pid)
        targets = [ours, Target("qemu-nbd", qemu_uri, qemu.pid)]
        for target in targets:
            fill(target.uri, folder)
        results = compare(targets, jobs, args.rounds, args.seconds, folder)
        text = report(results, jobs, control_times(server, args.rounds), args, folder)
        pathlib.Path(args.out).write_text(text)
        print(f"\n{text}\nwritten to {args.out}")
    finally:
        if qemu is not None:
            qemu.terminate()
            qemu.wait()
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
