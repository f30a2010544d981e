"""Who is measured: a raw file, the engine in process, parpen over NBD, and the servers that people use today.

All keep their data in one folder. Each target answers `run(job, seconds)` with requests per second, latencies in
microseconds, and the processor seconds of its server per million requests.
"""

import json
import os
import pathlib
import select
import subprocess

import harness
from jobs import GIB, MIB

# What ends soon or not at all: commands of the engine, and servers that were told to stop.
ANSWER_SECONDS, STOP_SECONDS = 300, 20
TICKS = os.sysconf("SC_CLK_TCK")
SIZE, FRESH_SIZE = GIB, GIB // 2


def cpu_seconds(pid):
    """Processor time of a process, all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def stop(process):
    """Wait for the end of a process that knows that it should end."""
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def bytes_written(pid):
    """Bytes that a process has sent to disks."""
    for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise AssertionError("no write_bytes")


def fio(job, seconds, folder, flush, *engine):
    """One run of fio; what it measured. `flush` is its word for a flush."""
    if 0 < job.reads < 100:
        pattern = ["--rw=randrw", f"--rwmixread={job.reads}"]
    else:
        pattern = ["--rw=" + ("" if job.sequential else "rand") + ("read" if job.reads else "write")]
    args = ["fio", "--name=bench", *engine, *pattern, f"--bs={job.size}", f"--iodepth={job.depth}"]
    args += [f"--runtime={seconds}", "--time_based", "--size=100%", "--randrepeat=0", "--norandommap"]
    args += ["--output-format=json", f"--aux-path={folder}"]
    if job.flush:
        args.append(f"--{flush}={job.flush}")
    if job.connections > 1:
        args += [f"--numjobs={job.connections}", "--group_reporting"]
    said = harness.run(*args, timeout=seconds + 120).stdout
    result = json.loads(said[said.index("{") :])["jobs"][0]
    kinds = [result[kind] for kind in ("read", "write") if result[kind]["total_ios"]]
    most = max(kinds, key=lambda kind: kind["total_ios"])
    return {
        "iops": sum(kind["iops"] for kind in kinds),
        "count": sum(kind["total_ios"] for kind in kinds),
        "written": result["write"]["io_bytes"],
        "p50": most["clat_ns"]["percentile"]["50.000000"] / 1000,
        "p99": most["clat_ns"]["percentile"]["99.000000"] / 1000,
    }


class Target:
    """Somebody who is measured; `process` serves."""

    name = what = None
    connections = 4

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    @property
    def pid(self):
        """Whose processor time counts."""
        return self.process.pid

    def start(self, source):
        """Bring up, holding the bytes of the file `source`."""
        raise NotImplementedError

    def once(self, job, seconds):
        """One run without the accounts."""
        raise NotImplementedError

    def run(self, job, seconds):
        """One run."""
        cpu, written = cpu_seconds(self.pid), bytes_written(self.pid)
        result = self.once(job, seconds)
        result["cpu"] = (cpu_seconds(self.pid) - cpu) * 1e6 / max(result["count"], 1)
        result["stored"] = bytes_written(self.pid) - written
        return result

    def close(self):
        """End the server."""
        if self.process is not None:
            self.process.terminate()
            stop(self.process)


class Raw(Target):
    """The file itself, by fio alone."""

    name, what = "raw", "the raw file: fio, io_uring, O_DIRECT"

    def start(self, source):
        self.image = self.folder / "raw.img"
        harness.run("cp", "--sparse=never", source, self.image, timeout=600)

    def once(self, job, seconds):
        return fio(job, seconds, self.folder, "fdatasync", "--ioengine=io_uring", "--direct=1", f"--filename={self.image}")

    def run(self, job, seconds):
        return dict(self.once(job, seconds), cpu=None, stored=None)


class Nbd(Target):
    """An NBD server at `uri`; `fresh_uri` shows what was only written from front to back."""

    uri = fresh_uri = None

    def once(self, job, seconds):
        uri = self.fresh_uri if job.fresh and self.fresh_uri else self.uri
        return fio(job, seconds, self.folder, "fsync", "--ioengine=nbd", f"--uri={uri}")

    def serve(self, *args):
        """Start a server on a socket of its own."""
        listen = self.folder / f"{self.name}.socket"
        listen.unlink(missing_ok=True)
        args = [str(arg).replace("SOCKET", str(listen)) for arg in args]
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *args])
        harness.wait_until(self.name, listen.exists, seconds=10)
        self.uri = f"nbd+unix:///?socket={listen}"


class Parpen(Nbd):
    """parpen over a unix socket."""

    name, what = "parpen", "parpen over NBD (unix socket), a pool of one disk file"

    def start(self, source):
        self.server = harness.Server().start()
        self.process = self.server.process
        disk = self.server.folder / "bench.disk"
        self.server.cli("pool", "create", "bench", "--driver", "local", "--path", disk, "--capacity", "16GiB")
        for volume, size in (("bench", SIZE), ("fresh", FRESH_SIZE)):
            self.server.cli("volume", "create", volume, "--size", f"{size // MIB}MiB", "--pool", "bench")
        self.uri, self.fresh_uri = self.server.nbd_unix_uri("bench"), self.server.nbd_unix_uri("fresh")
        harness.run("nbdcopy", "--flush", source, self.uri, timeout=600)
        part = self.folder / "part"
        with open(part, "wb") as out:
            subprocess.run(["head", "-c", str(FRESH_SIZE), source], stdout=out, check=True)
        harness.run("nbdcopy", "--flush", part, self.fresh_uri, timeout=600)
        part.unlink()

    def close(self):
        self.server.close()


class Engine(Target):
    """parpen's store in a process of its own, asked through its queue without a socket."""

    name, what, connections = "engine", "parpen's engine in process, without sockets", 1

    def start(self, source):
        args = [os.environ["PARPEN_DRIVE"], str(self.folder / "engine.disk"), str(16 * GIB)]
        pipe = subprocess.PIPE
        args = ["setpriv", "--pdeathsig", "KILL", *args]
        self.process = subprocess.Popen(args, stdin=pipe, stdout=pipe, text=True)
        self.answer("start")
        for volume, size in ((1, SIZE), (2, FRESH_SIZE)):
            self.ask("create", volume, size)
            self.ask("fill", volume, size, MIB)

    def ask(self, *words):
        """One command; its answer."""
        print(*words, file=self.process.stdin, flush=True)
        return self.answer(words)

    def answer(self, to):
        """The one line that follows a command."""
        # There is never more than one line under way, so nothing waits in the stream's own buffer.
        if not select.select([self.process.stdout], [], [], ANSWER_SECONDS)[0]:
            raise AssertionError(f"the driver did not answer {to} within {ANSWER_SECONDS} s")
        answer = self.process.stdout.readline()
        if not answer:
            raise AssertionError(f"the driver ended at {to}")
        return json.loads(answer)

    def once(self, job, seconds):
        order = "sequential" if job.sequential else "random"
        return self.ask(
            "run", 2 if job.fresh else 1, job.reads, job.size, job.depth, int(seconds * 1000), job.flush, order
        )

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            stop(self.process)


class QemuRaw(Nbd):
    """qemu-nbd on a raw file."""

    name, what = "qemu-raw", "qemu-nbd, raw file, cache=none, aio=io_uring"
    flags = ["--cache=none", "--aio=io_uring", "--persistent", "--shared=8", "--discard=unmap", "--socket=SOCKET"]

    def start(self, source):
        self.image = self.folder / "qemu.img"
        harness.run("cp", "--sparse=never", source, self.image, timeout=600)
        self.serve("qemu-nbd", "--format=raw", *self.flags, self.image)


class QemuQcow2(Nbd):
    """qemu-nbd on a qcow2 file."""

    name, what = "qemu-qcow2", "qemu-nbd, qcow2 file, cache=none, aio=io_uring"

    def start(self, source):
        self.image = self.folder / "qemu.qcow2"
        harness.run("qemu-img", "convert", "-O", "qcow2", source, self.image, timeout=600)
        self.show(self.image)

    def show(self, image):
        """Serve this file instead of the one before."""
        Target.close(self)
        self.serve("qemu-nbd", "--format=qcow2", *QemuRaw.flags, image)


class Nbdkit(Nbd):
    """nbdkit's file plugin. It knows no O_DIRECT: the page cache stands between it and the disk."""

    name, what = "nbdkit", "nbdkit file, cache=none (through the page cache)"

    def start(self, source):
        image = self.folder / "nbdkit.img"
        harness.run("cp", "--sparse=never", source, image, timeout=600)
        self.serve("nbdkit", "--foreground", "--unix=SOCKET", "file", image, "cache=none", "fadvise=random")


ALL = [Raw, Engine, Parpen, QemuRaw, QemuQcow2, Nbdkit]
# Measured in the jobs marked `everywhere` alone.
OTHERS = {"qemu-qcow2", "nbdkit", "ceph-rbd"}
