"""What the tests of OpenStack's clients share: a server, a connection, resources that are ready, and the command lines.

A command line runs in a process forked off this one, which has the client's modules loaded already: the same unmodified
program, without the two seconds that each fresh interpreter takes to import it.
"""

import importlib
import json
import logging
import os
import pathlib
import pkgutil
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

import harness
import openstack
from openstack import exceptions

GIB = 1 << 30
LOCAL = "parpen@local#local"
DUMMY = "parpen@dummy#dummy"

server = None
cloud = None
storage = None


def start(**options):
    """Start the server of a test file and log in."""
    global server
    server = harness.Server(**options).start()
    connect()
    return server


def connect():
    """Log in; a server that was started again has another address."""
    global cloud, storage
    server.apply_env("openstack")
    cloud = openstack.connect()
    storage = cloud.block_storage


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def ready(resource, status="available"):
    """Wait for a resource to have a status. What we know of it may be old, so it is asked for anew."""
    resource = resource.fetch(storage)
    return storage.wait_for_status(resource, status, failures=[], interval=0.1, wait=60)


def gone(resource):
    """Wait for a resource to disappear."""
    return storage.wait_for_delete(resource, interval=0.1, wait=60)


def make_volume(size=1, **attrs):
    """A new volume that is ready."""
    attrs.setdefault("name", unique("volume"))
    return ready(storage.create_volume(size=size, **attrs))


def make_snapshot(volume, **attrs):
    """A new snapshot that is ready."""
    attrs.setdefault("name", unique("snapshot"))
    return ready(storage.create_snapshot(volume_id=volume.id, **attrs))


def named_volume(name):
    """The volume of this name, when it is ready."""
    return ready(storage.find_volume(name, ignore_missing=False))


def status(volume):
    """How a volume stands now."""
    return storage.get_volume(volume.id).status


def exported(thing):
    """The plain NBD export of a volume or snapshot."""
    return server.nbd_uri(thing.id)


def api(method, path, body=None, version="3.71"):
    """A request as the SDK would send it, where the SDK has no function."""
    endpoint = storage.get_endpoint()
    headers = {"OpenStack-API-Version": f"volume {version}"}
    return cloud.session.request(endpoint + path, method, json=body, headers=headers, raise_exc=False)


def guest(role="member"):
    """A project of its own with a user; answers the project and what logs in as the user."""
    project = cloud.identity.create_project(name=unique("guest"))
    user = cloud.identity.create_user(name=unique("guest"), password="secret")
    cloud.identity.assign_project_role_to_user(project, user, cloud.identity.find_role(role))
    changes = {
        "OS_USERNAME": user.name, "OS_PASSWORD": "secret", "OS_PROJECT_NAME": project.name,
        "OS_CLOUD": "", "OS_CLIENT_CONFIG_FILE": "/nonexistent",
    }
    return project, changes


def preload():
    """Import what the two command lines would import."""
    import cinderclient.shell
    import openstackclient.shell
    import openstackclient.volume.v3

    for module in pkgutil.iter_modules(openstackclient.volume.v3.__path__, "openstackclient.volume.v3."):
        importlib.import_module(module.name)
    return {"cinder": cinderclient.shell.main, "openstack": openstackclient.shell.main}


MAINS = preload()


def in_child(program, args, env, out, err):
    """The forked process: become the program, and end as it ends."""
    code = 70
    try:
        for number, file in ((1, out), (2, err)):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        os.environ.clear()
        os.environ.update(env)
        # What this process's own libraries set up for their messages is not the program's.
        logging.root.handlers.clear()
        sys.argv = [program, *args]
        code = MAINS[program]() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(program, *args, check=True, **changes):
    """Run `openstack` or `cinder` to its end."""
    args = [str(arg) for arg in args]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            in_child(program, args, dict(os.environ, **changes), out, err)
        code = wait_for(child)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return harness.ended((program, *args), subprocess.CompletedProcess(args, code, *texts), check)


def wait_for(child):
    """A child's exit code; it is killed when it takes too long."""
    end = time.monotonic() + harness.COMMAND_SECONDS
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, 9)
        time.sleep(0.01)


def osc(*args, wants="json", **changes):
    """The `openstack` command line at the newest microversion; answers its document, or what it printed."""
    more = ("-f", wants) if wants else ()
    said = run("openstack", "--os-volume-api-version", "3.71", *args, *more, **changes).stdout
    return json.loads(said) if wants else said


def do(*args, **changes):
    """A command of `openstack` that prints nothing worth reading."""
    return osc(*args, wants=None, **changes)


def cinder(*args, **changes):
    """The `cinder` command line; answers what it printed."""
    return run("cinder", *args, **changes).stdout


def table(text):
    """The rows of a table as `cinder` draws them: the column under each heading."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def properties(text):
    """A `cinder` table of names and values."""
    return dict(list(row.values())[:2] for row in table(text))


class Case(unittest.TestCase):
    """A test that can expect refusals."""

    def refused(self, words, program, *args, **changes):
        """A command must fail and say this."""
        result = run(program, *args, check=False, **changes)
        self.assertNotEqual(result.returncode, 0, result.stdout)
        self.assertIn(words, result.stdout + result.stderr)

    def refuses(self, code, call, *args, **kwargs):
        """A call must be refused with this status; answers what was said."""
        with self.assertRaises(exceptions.HttpException) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.status_code, code, caught.exception)
        return str(caught.exception)

    def becomes(self, what, value, seconds=30):
        """A value is reached within some seconds."""
        harness.wait_until(str(value), lambda: what() == value, seconds)
