"""The text of BENCHMARKS.md."""

import datetime
import os
import pathlib
import platform

import ceph
import harness
import openstack
import targets
from extras import CHANGED, middle
from jobs import GIB, RATIOS


def spread(values):
    """From the lowest to the highest, in percent of the middle."""
    return 100 * (max(values) - min(values)) / middle(values) if middle(values) else 0


def processor():
    """The name of the processor."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


class Results:
    """Runs by target and job."""

    def __init__(self):
        self.runs = {}

    def add(self, target, job, run):
        """One more run."""
        self.runs.setdefault((target, job), []).append(run)

    def has(self, target, job):
        """Whether it was measured."""
        return (target, job) in self.runs

    def all(self, target, job, key):
        """One figure of all runs."""
        return [run[key] for run in self.runs[target, job]]

    def mid(self, target, job, key="iops"):
        """Its median."""
        return middle(self.all(target, job, key))


def table(head, rows):
    """A table in Markdown."""
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(row) + " |" for row in rows]


def rates(results, jobs, names):
    """Requests per second, and what part of the raw file's that is."""
    rows = []
    for job in jobs:
        row = [job.name, job.what]
        for name in names:
            if not results.has(name, job.name):
                row.append("")
                continue
            rate = results.mid(name, job.name)
            part = rate / results.mid("raw", job.name) if results.has("raw", job.name) else 0
            row.append(f"{rate:.0f} ±{spread(results.all(name, job.name, 'iops')) / 2:.0f} % **{part:.2f}**")
        rows.append(row)
    return table(["job", "what", *names], rows)


def figures(results, jobs, names, title, text):
    """One more figure of each run."""
    rows = []
    for job in jobs:
        cells = [text(results, name, job) if results.has(name, job.name) else "" for name in names]
        rows.append([job.name, *cells])
    return table([title, *names], rows)


def latency(results, name, job):
    """Median and 99th percentile."""
    return f"{results.mid(name, job.name, 'p50'):.0f} / {results.mid(name, job.name, 'p99'):.0f}"


def cpu(results, name, job):
    """Processor seconds of the server."""
    return f"{results.mid(name, job.name, 'cpu'):.1f}"


def amplification(results, name, job):
    """Bytes that went to the disk for each that the client wrote."""
    written = sum(results.all(name, job.name, "written"))
    return f"{sum(results.all(name, job.name, 'stored')) / written:.2f}" if written else ""


def aims(results, extras):
    """What was wanted and what came out."""
    rows = []

    def aim(what, wanted, got, good):
        rows.append([what, wanted, got, "met" if good else "**missed**"])

    for job, who, whom, least, what in RATIOS:
        if results.has(who, job) and results.has(whom, job):
            ratio = results.mid(who, job) / results.mid(whom, job)
            aim(what, f"{least:.2f}", f"{ratio:.2f}", ratio >= least)
    if results.has("engine", "read-4k-q1") and results.has("raw", "read-4k-q1"):
        added = 1e6 / results.mid("engine", "read-4k-q1") - 1e6 / results.mid("raw", "read-4k-q1")
        aim("the engine in process, 1 read in flight, added to the raw file", "10 us", f"{added:.1f} us", added <= 10)
    if results.has("parpen", "read-4k-q32"):
        seconds = results.mid("parpen", "read-4k-q32", "cpu")
        aim("processor seconds of the server per million reads of 4 KiB, 32 in flight", "5.5", f"{seconds:.1f}", seconds <= 5.5)
        if results.has("qemu-raw", "read-4k-q32"):
            part = seconds / results.mid("qemu-raw", "read-4k-q32", "cpu")
            aim("the same, of those of qemu-nbd (5.5 of 12)", "0.46", f"{part:.2f}", part <= 5.5 / 12)
    if results.has("parpen", "write-4k-q32"):
        wrote = float(amplification(results, "parpen", next(j for j in extras["jobs"] if j.name == "write-4k-q32")))
        aim("bytes written to the disk per byte of random 4 KiB writes", "1.15", f"{wrote:.2f}", wrote <= 1.15)
    if extras.get("after"):
        part = middle([after / before for before, after in extras["after"]["parpen"]])
        aim("first writes after a snapshot, of the writes before it", "0.90", f"{part:.2f}", part >= 0.9)
    if extras.get("engine"):
        for what in ("snapshot", "clone"):
            ms = middle(extras["engine"][what, "scattered"])
            aim(f"{what} of 1 TiB with 8 GiB of scattered data, in process", "2 ms", f"{ms:.2f} ms", ms < 2)
    if extras.get("deletion"):
        times = middle([busy / quiet for quiet, busy in extras["deletion"]])
        aim("p99 of the foreground while a snapshot is deleted, of that without", "2.0", f"{times:.1f}", times <= 2)
    return table(["aim", "wanted", "measured", ""], rows)


def extra_tables(extras):
    """What is not a job."""
    lines = []
    if extras.get("after"):
        rows = [
            [name, f"{middle([b for b, _ in pairs]):.0f}", f"{middle([a for _, a in pairs]):.0f}",
             f"{middle([a / b for b, a in pairs]):.2f}", f"±{spread([a / b for b, a in pairs]) / 2:.0f} %"]
            for name, pairs in extras["after"].items()
        ]
        head = ["random writes of 4 KiB, 32 in flight", "before /s", "after a snapshot /s", "ratio", "spread"]
        lines += ["", "For qcow2 a snapshot is a new file on top of the old one.", ""] + table(head, rows)
    rows = []
    for where in ("engine", "api"):
        for (what, kind), times in extras.get(where, {}).items():
            how = {"engine": "in process", "api": "by the HTTP API"}[where]
            data = {"scattered": "8 GiB of scattered data", "thin": "nothing"}[kind]
            rows.append([what, how, data, f"{middle(times):.2f}", f"{min(times):.2f}", f"{max(times):.2f}"])
    if rows:
        head = ["milliseconds", "how", "1 TiB that holds", "median", "fastest", "slowest"]
        lines += [""] + table(head, rows)
    if extras.get("deletion"):
        quiet, busy = (middle([pair[n] for pair in extras["deletion"]]) for n in (0, 1))
        text = f"p99 of a mixed load, 4 in flight: {quiet:.0f} us; while a snapshot with at least {CHANGED:.0%} changed"
        lines += ["", f"{text} is deleted: {busy:.0f} us."]
    return lines


OPENSTACK = "## OpenStack"


def openstack_section(found, args):
    """The OpenStack side, which can be measured without the rest."""
    head = ["one client on one connection", "wanted", "measured", ""]
    cpu = f"{found['list cpu']:.1f} ms for the list, {found['show cpu']:.3f} ms for a show, {found['crowd cpu']:.3f} ms with {openstack.CLIENTS} clients"
    where = f"{datetime.date.today()}; {os.cpu_count()} cores, {processor()}; medians of {4 * args.rounds}"
    return [OPENSTACK, "", f"{where}.", "", *table(head, openstack.rows(found)), "",
            f"The server's processor time: {cpu}."]


def with_openstack(text, found, args):
    """A report with that section in place of its own."""
    before, there, rest = text.partition(OPENSTACK + "\n")
    after = rest[rest.index("\n## "):] if there and "\n## " in rest else ""
    section = "\n".join(openstack_section(found, args)) + "\n"
    return (before if there else before.rstrip() + "\n\n") + section + after


def text(results, jobs, measured, extras, args, folder):
    """All of it."""
    names = [target.name for target in measured]
    file_system = harness.run("stat", "-f", "-c", "%T", folder).stdout.strip()
    programs = [("fio", "--version"), ("qemu-nbd", "--version"), ("nbdkit", "--version")]
    if not ceph.missing():
        programs.append(("ceph", "--version"))
    versions = "; ".join(harness.run(*program).stdout.splitlines()[0] for program in programs)
    worst = max((run["others"] for runs in results.runs.values() for run in runs), default=0)
    usual = middle([run["others"] for runs in results.runs.values() for run in runs])
    lines = [
        "# Benchmarks",
        "",
        "Written by `cargo xtask bench`: all keep their data on one file system, do the same jobs and take turns; files and",
        "volumes were filled with random bytes and partly overwritten first. Compare numbers of one run only.",
        "",
        f"{datetime.date.today()}; {os.cpu_count()} cores, {processor()}; Linux {platform.release()}; {file_system};",
        f"{versions}; {args.rounds} rounds of {args.seconds} s, files and volumes of {targets.SIZE // GIB} GiB;",
        f"others used {usual:.2f} cores in the middle run and {worst:.2f} in the worst.",
        "",
        *(f"- `{target.name}`: {target.what}" for target in measured),
        *([f"- Ceph RBD: not measured, as there is no {' and no '.join(ceph.missing())} here."] if ceph.missing() else []),
        "",
        "## Aims",
        "",
        *aims(results, extras),
        "",
        "## Requests per second",
        "",
        "The median, half the way from the slowest to the fastest run, and the part of the raw file's rate.",
        "",
        *rates(results, jobs, names),
        "",
        "Microseconds from request to answer, median / 99th percentile:",
        "",
        *figures(results, jobs, names, "job", latency),
        "",
        "Processor seconds of the server per million requests (the engine's include its own load generator):",
        "",
        *figures(results, jobs, [name for name in names if name != "raw"], "job", cpu),
        "",
        "Bytes that the server wrote to the disk for each byte that it was sent:",
        "",
        *figures(results, [j for j in jobs if j.reads < 100], [n for n in names if n != "raw"], "job", amplification),
        "",
        "## Snapshots",
        *extra_tables(extras),
    ]
    if extras.get("openstack"):
        lines += ["", *openstack_section(extras["openstack"], args)]
    notes = pathlib.Path(__file__).with_name("profile.md")
    if notes.exists():
        lines += ["", notes.read_text().rstrip()]
    return "\n".join(lines) + "\n"
