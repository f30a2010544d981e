"""What needs more than one job: writes after a snapshot, deleting one under load, and the time that a snapshot takes."""

import dataclasses
import http.client
import json
import random
import statistics
import threading
import time
import urllib.parse

import harness
from jobs import JOBS, KIB, TIB

WRITES = next(job for job in JOBS if job.name == "write-4k-q32")
MIX = dataclasses.replace(next(job for job in JOBS if job.name == "mix-4k-q16"), name="foreground", depth=4)
# Scattered data: 8 GiB of 64 KiB pieces over 1 TiB, so that every object of the volume has some.
PIECES, PIECE = 131072, 64 * KIB
# Part of the volume that is overwritten before a snapshot is deleted.
CHANGED = 0.05
# A client library waits for ever otherwise.
STUCK_SECONDS = 60


class Api:
    """parpen's own HTTP API on one connection that stays open."""

    def __init__(self, server):
        where = urllib.parse.urlsplit(server.base)
        self.connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
        token = json.loads((server.data / "credentials.json").read_text())["secrets"]["native"]
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method, path, body=None):
        """One call that must succeed; milliseconds."""
        began = time.monotonic()
        self.connection.request(method, "/api" + path, body and json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        said = answer.read()
        took = (time.monotonic() - began) * 1000
        if answer.status >= 300:
            raise AssertionError(f"{method} {path}: {answer.status} {said!r}")
        return took


def after_snapshot(targets, rounds, seconds):
    """Random writes just before and just after a snapshot, as requests per second, by target."""
    results = {}
    for number in range(rounds):
        for target in targets:
            before = target.run(WRITES, seconds)["iops"]
            undo = SNAPSHOTS[target.name](target, number)
            after = target.run(WRITES, seconds)["iops"]
            undo()
            results.setdefault(target.name, []).append((before, after))
            print(f"round {number + 1} after a snapshot {target.name:10} {after / before:.2f}", flush=True)
    return results


def parpen_snapshot(target, number):
    """A snapshot of the volume."""
    target.server.cli("volume", "snapshot", "bench", f"n{number}")
    return lambda: target.server.cli("snapshot", "delete", f"bench@n{number}")


def engine_snapshot(target, number):
    """The same in process."""
    target.ask("snapshot", 1, 100 + number)
    return lambda: target.ask("delete", 100 + number)


def qcow2_overlay(target, number):
    """A new image on top of the old one, which is how a snapshot is taken of a qcow2 file in use."""
    overlay = target.folder / "overlay.qcow2"
    base = ["-b", target.image, "-F", "qcow2"]
    harness.run("qemu-img", "create", "-q", "-f", "qcow2", *base, overlay)
    target.show(overlay)

    def undo():
        target.show(target.image)
        overlay.unlink()

    return undo


SNAPSHOTS = {"parpen": parpen_snapshot, "engine": engine_snapshot, "qemu-qcow2": qcow2_overlay}


def deletion(target, rounds, seconds, size):
    """The 99th percentile of a foreground load without and with a snapshot being deleted; microseconds."""
    results = []
    # Not by the command line: its own start would be measured, too.
    api = Api(target.server)
    for number in range(rounds):
        api.call("POST", "/volumes/bench/snapshots", {"name": f"d{number}"})
        # by time: as long as it takes to overwrite so much at the rate of a short run
        rate = target.run(WRITES, seconds)["iops"]
        left = size * CHANGED / WRITES.size / rate - seconds
        if left > 0.1:
            target.run(WRITES, round(left + 1))
        quiet = target.run(MIX, seconds)["p99"]
        delete = threading.Timer(0.3, api.call, ("DELETE", f"/snapshots/bench@d{number}"))
        delete.start()
        busy = target.run(MIX, seconds)["p99"]
        delete.join()
        results.append((quiet, busy))
        print(f"round {number + 1} p99 while a snapshot is deleted {busy:.0f} us, else {quiet:.0f} us", flush=True)
    return results


def engine_times(engine, rounds):
    """Milliseconds of a snapshot and a clone in process: of 1 TiB with 8 GiB of scattered data, and of one thin."""
    times = {}
    for kind, volume in (("scattered", 10), ("thin", 11)):
        engine.ask("create", volume, TIB)
        if kind == "scattered":
            engine.ask("scatter", volume, PIECES, PIECE)
        for number in range(rounds):
            name, clone = 1000 * volume + 2 * number, 1000 * volume + 2 * number + 1
            times.setdefault(("snapshot", kind), []).append(engine.ask("snapshot", volume, name)["ms"])
            times.setdefault(("clone", kind), []).append(engine.ask("clone", name, clone)["ms"])
            engine.ask("delete", clone)
            engine.ask("delete", name)
    engine.ask("delete", 10)
    return times


def drain(connection, most):
    """Wait until at most so many requests are in flight."""
    while connection.aio_in_flight() > most:
        if connection.poll(STUCK_SECONDS * 1000) == 0:
            raise AssertionError(f"nothing was answered within {STUCK_SECONDS} s")


def scatter(uri):
    """Pieces of data all over a volume."""
    import nbd

    connection = nbd.NBD()
    connection.connect_uri(uri)
    piece = nbd.Buffer.from_bytearray(bytearray(random.randbytes(PIECE)))
    for _ in range(PIECES):
        connection.aio_pwrite(piece, random.randrange(TIB // PIECE) * PIECE, completion=lambda error: 1)
        drain(connection, 32)
    drain(connection, 0)
    connection.flush()
    connection.shutdown()


def api_times(server, rounds):
    """The same by the HTTP API."""
    api, times = Api(server), {}
    for kind in ("scattered", "thin"):
        api.call("POST", "/volumes", {"name": kind, "size": TIB, "pool": "bench"})
        if kind == "scattered":
            scatter(server.nbd_unix_uri(kind))
        for number in range(rounds):
            name, clone = f"s{number}", f"{kind}-{number}"
            took = api.call("POST", f"/volumes/{kind}/snapshots", {"name": name})
            times.setdefault(("snapshot", kind), []).append(took)
            took = api.call("POST", "/volumes", {"name": clone, "source": f"{kind}@{name}"})
            times.setdefault(("clone", kind), []).append(took)
            api.call("DELETE", f"/volumes/{clone}")
            api.call("DELETE", f"/snapshots/{kind}@{name}")
    return times


def middle(values):
    """The median."""
    return statistics.median(values)
