"""Measures parpen beside the raw disk and the servers that people use today, and writes BENCHMARKS.md.

All keep their data on one file system, are asked by the same jobs, and take turns. Before anything is measured, files
and volumes are filled with random bytes and partly overwritten. A run during which others use the machine is repeated,
as long as there is time for that.
"""

import argparse
import ctypes
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]
import ceph  # noqa: E402
import extras  # noqa: E402
import openstack  # noqa: E402
import report  # noqa: E402
import targets  # noqa: E402
from jobs import GIB, JOBS  # noqa: E402

# Cores that others may use during a run before it is repeated, and how many runs may be.
MAX_OTHERS, MAX_REPEATS = 0.3, 40
PR_SET_PDEATHSIG = 1


def machine_seconds():
    """Busy time of all cores together."""
    fields = [int(text) for text in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / targets.TICKS


def children_seconds():
    """Processor time of programs that we ran to their end."""
    times = os.times()
    return times.children_user + times.children_system


class Clock:
    """Counts what others take of the machine while something runs."""

    def __init__(self, pid):
        self.pid = pid
        self.began = self.look()

    def look(self):
        server = targets.cpu_seconds(self.pid) if self.pid else 0
        return time.monotonic(), machine_seconds() - children_seconds() - server

    def others(self):
        """Cores that others have used."""
        now = self.look()
        return max(0.0, now[1] - self.began[1]) / (now[0] - self.began[0])


def measure(target, job, seconds):
    """One run, and what others did meanwhile."""
    clock = Clock(target.process and target.pid)
    run = target.run(job, seconds)
    run["others"] = clock.others()
    return run


def compare(measured, jobs, rounds, seconds):
    """All runs, taking turns."""
    results, repeats = report.Results(), 0
    for number in range(rounds):
        for job in jobs:
            # Who goes first changes, so that nobody always follows the same one.
            for target in measured if number % 2 == 0 else reversed(measured):
                if target.connections < job.connections or target.name in targets.OTHERS and not job.everywhere:
                    continue
                run = measure(target, job, seconds)
                if run["others"] > MAX_OTHERS and repeats < MAX_REPEATS:
                    repeats += 1
                    run = measure(target, job, seconds)
                results.add(target.name, job.name, run)
                print(f"round {number + 1} {job.name:14} {target.name:10} {run['iops']:9.0f}/s", flush=True)
    return results


def step_forward():
    """Go before what else runs on the machine, with all that is started from here. True if the system lets us."""
    try:
        os.nice(-15)
        os.setsid()
        # A session of our own gets no Ctrl-C any more: whoever started us passes it on by ending.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        # Where sessions are scheduled as groups, niceness counts within the session only.
        group = pathlib.Path("/proc/self/autogroup")
        if group.exists():
            group.write_text("-15")
    except OSError:
        return False
    return True


def fill(path):
    """Random bytes, so that nobody answers from a hole."""
    with open(path, "wb") as out:
        for _ in range(64):
            out.write(random.randbytes(targets.SIZE // 64))


def bring_up(measured, source):
    """Start everybody and bring them to where they would be after some use."""
    warm = dataclasses.replace(next(job for job in JOBS if job.name == "write-4k-q32"), name="warm-up")
    for target in measured:
        print(f"preparing {target.name}", flush=True)
        target.start(source)
        target.run(warm, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--jobs", default="")
    parser.add_argument("--openstack", action="store_true")
    parser.add_argument("--dir", default="target/bench")
    parser.add_argument("--out", default="BENCHMARKS.md")
    args = parser.parse_args()
    jobs = [job for job in JOBS if not args.jobs or job.name in args.jobs.split(",")]
    if not jobs:
        parser.error("no such job; there are " + ", ".join(job.name for job in JOBS))

    if not step_forward():
        print("not allowed to go before others: keep the machine quiet", flush=True)
    base = pathlib.Path(args.dir).resolve()
    base.mkdir(parents=True, exist_ok=True)
    if args.openstack:
        os.environ["PARPEN_TEST_DIR"] = str(base)
        out = pathlib.Path(args.out)
        out.write_text(report.with_openstack(out.read_text(), openstack.times(args.rounds), args))
        print(f"the OpenStack side's section of {out} is new")
        return
    if shutil.disk_usage(base).free < 20 * GIB:
        parser.error(f"{base} has less than 20 GiB free")
    os.environ["PARPEN_TEST_DIR"] = str(base)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="b-", dir=base))
    measured = [kind(folder) for kind in targets.ALL]
    if ceph.missing():
        print(f"without Ceph RBD: {', '.join(ceph.missing())} not installed", flush=True)
    else:
        measured.append(ceph.CephRbd(folder))
    by_name = {target.name: target for target in measured}
    began = time.monotonic()
    try:
        source = folder / "source"
        fill(source)
        bring_up(measured, source)
        source.unlink()
        results = compare(measured, jobs, args.rounds, args.seconds)
        found = {"jobs": jobs}
        if not args.jobs:
            snapshots = [target for target in measured if target.name in extras.SNAPSHOTS]
            found["after"] = extras.after_snapshot(snapshots, args.rounds, args.seconds)
            found["deletion"] = extras.deletion(by_name["parpen"], args.rounds, args.seconds, targets.SIZE)
            found["engine"] = extras.engine_times(by_name["engine"], args.rounds)
            found["api"] = extras.api_times(by_name["parpen"].server, args.rounds)
            found["openstack"] = openstack.times(args.rounds)
        text = report.text(results, jobs, measured, found, args, folder)
        pathlib.Path(args.out).write_text(text)
        print(f"\n{text}\nwritten to {args.out} after {(time.monotonic() - began) / 60:.1f} minutes")
    finally:
        for target in measured:
            target.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
