"""Notes which functions of openstacksdk and which commands each test called, and how that ended.

What passing tests called is the evidence behind `docs/coverage/openstack-clients.md`, which
`test_openstack_clients.py` compares with it.
"""

import functools
import inspect
import json
import os
import pathlib
import sys
import threading

import harness

FOLDER = harness.ROOT / "target/client-calls"
FUNCTIONS = pathlib.Path(__file__).with_name("openstack_functions.txt").read_text().split()
SECTIONS = ("openstacksdk", "openstack", "cinder")


def openstack_commands():
    """Every command about volumes that the pinned `openstack` has, as it is typed."""
    from importlib.metadata import entry_points

    names = {entry.name.replace("_", " ") for entry in entry_points(group="openstack.volume.v3")}
    return sorted(name for name in names if name.startswith(("volume ", "block storage ", "consistency group ")))


def cinder_commands():
    """Every command of the pinned `cinder`."""
    from cinderclient.v3 import shell

    return sorted(name[3:].replace("_", "-") for name in dir(shell) if name.startswith("do_"))


def rows():
    """What there is to call, per section."""
    return dict(zip(SECTIONS, (FUNCTIONS, openstack_commands(), cinder_commands())))


class Recorder:
    """Listens to a test file's calls; keeps those of tests that passed."""

    def __init__(self):
        self.known = rows()
        self.current = {}
        self.passed = {}
        self.depth = threading.local()

    def note(self, section, row, refusal=None):
        """A call returned, or was refused with these words. One success outweighs any refusal."""
        key = f"{section}: {row}"
        if refusal is None or key not in self.current:
            self.current[key] = refusal

    def command(self, args, result):
        """A program ended."""
        program = os.path.basename(str(args[0]))
        words = [str(arg) for arg in args[1:]]
        if program not in ("openstack", "cinder") or "--help" in words or "help" in words[:1]:
            return
        row = self.command_of(program, words)
        if row is not None:
            said = (result.stderr or result.stdout or "").strip().splitlines()
            self.note(program, row, None if result.returncode == 0 else (said or [""])[-1])

    def command_of(self, program, words):
        """The command among a command line's words: the longest of those that begin first."""
        commands = [row.split() for row in self.known[program]]
        for start in range(len(words)):
            found = [c for c in commands if words[start:start + len(c)] == c]
            if found:
                return " ".join(max(found, key=len))
        return None

    def ended(self, test, passed):
        """A test is over."""
        if passed and self.current:
            self.passed[test] = self.current
        self.current = {}

    def close(self):
        """Keep what was noted. A run of some tests only renews what those did."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{stem()}.json"
        kept = json.loads(path.read_text()) if len(sys.argv) > 1 and path.exists() else {}
        path.write_text(json.dumps(kept | self.passed, indent=1, sort_keys=True))


def stem():
    """The name of the running test file."""
    return pathlib.Path(sys.argv[0]).stem


def watched(recorder, name, function):
    """A function of the SDK that tells the recorder when a test calls it; calls among themselves are not told."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if getattr(recorder.depth, "inside", False):
            return function(*args, **kwargs)
        recorder.depth.inside = True
        try:
            result = function(*args, **kwargs)
        except Exception as why:
            recorder.note(SECTIONS[0], name, str(why))
            raise
        finally:
            recorder.depth.inside = False
        if inspect.isgenerator(result):
            return told_when_read(recorder, name, result)
        recorder.note(SECTIONS[0], name)
        return result

    return call


def told_when_read(recorder, name, items):
    """A listing asks the server only when it is read."""
    for item in items:
        recorder.note(SECTIONS[0], name)
        yield item
    recorder.note(SECTIONS[0], name)


def install():
    """Watch the SDK in this process and all command lines that the harness runs."""
    from openstack.block_storage.v3._proxy import Proxy

    recorder = Recorder()
    for name in FUNCTIONS:
        setattr(Proxy, name, watched(recorder, name, getattr(Proxy, name)))
    harness.OBSERVERS.append(recorder)
    return recorder
