"""A real Keystone and a real Glance on loopback, each in a folder of its own, for tests of what speaks to them.

They come from the client set `external`; SQLite and files are all that they need.
"""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BIN = pathlib.Path(sys.executable).parent
START_SECONDS = 90
PASSWORD = "beside-the-point"

KEYSTONE = """
[DEFAULT]
use_stderr = true
[database]
connection = sqlite:///{folder}/keystone.sqlite
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = false
"""

GLANCE = """
[DEFAULT]
use_stderr = true
enabled_backends = disk:file
show_image_direct_url = false
[database]
connection = sqlite:///{folder}/glance.sqlite
[glance_store]
default_backend = disk
[disk]
filesystem_store_datadir = {folder}/images
[os_glance_staging_store]
filesystem_store_datadir = {folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = {folder}/tasks
[paste_deploy]
flavor = keystone
config_file = {paste}
[keystone_authtoken]
auth_type = password
auth_url = {keystone}
www_authenticate_uri = {keystone}
username = admin
password = {password}
project_name = admin
user_domain_name = Default
project_domain_name = Default
"""


def free_port():
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """One WSGI application in a server of its own, which can be stopped and started at the same address."""

    def __init__(self, name, application, folder, environment):
        self.name = name
        self.application = application
        self.folder = folder
        self.environment = dict(os.environ, **environment)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self.process = None

    def manage(self, *args):
        """Run the service's own tool."""
        command = [str(BIN / f"{self.name}-manage"), *map(str, args)]
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=180)
        if result.returncode != 0:
            raise AssertionError(f"{' '.join(command)}:\n{(result.stdout + result.stderr)[-3000:]}")

    def start(self):
        """Start it and wait until it answers."""
        # Both applications read the command line, so the server's own settings stand in a file.
        settings = self.folder / "gunicorn.conf.py"
        settings.write_text(
            f"wsgi_app = {self.application!r}\nbind = '127.0.0.1:{self.port}'\nworkers = 1\nthreads = 8\n"
            "worker_class = 'gthread'\ntimeout = 120\ncontrol_socket_disable = True\n"
        )
        environment = dict(self.environment, GUNICORN_CMD_ARGS=f"--config {settings}")
        command = ["setpriv", "--pdeathsig", "KILL", str(BIN / "gunicorn")]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{self.name} does not answer:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)
        return self

    def answers(self):
        """Whether it speaks HTTP."""
        try:
            urllib.request.urlopen(self.url, timeout=10).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def kill(self):
        """kill -9 for it and its workers, whatever they are at."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children")
        workers = [int(pid) for task in tasks for pid in task.read_text().split()]
        self.process.kill()
        self.process.wait()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)

    def stop(self):
        """End it and all its workers."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Cloud:
    """Both of them, with an administrator `admin` in the project `admin`."""

    def __init__(self):
        parent = os.environ.get("PARPEN_TEST_DIR", tempfile.gettempdir())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pb-", dir=parent))
        self.keystone = self.glance = None

    def start(self):
        """Make and start both."""
        try:
            self._make_keystone()
            self._make_glance()
        except BaseException:
            self.close()
            raise
        return self

    def _config(self, name, text, **values):
        folder = self.folder / name
        folder.mkdir()
        (folder / f"{name}.conf").write_text(text.format(folder=folder, password=PASSWORD, **values))
        return folder

    def _make_keystone(self):
        folder = self._config("keystone", KEYSTONE)
        conf = str(folder / "keystone.conf")
        environment = {"OS_KEYSTONE_CONFIG_FILES": conf, "OS_KEYSTONE_CONFIG_DIR": str(folder)}
        self.keystone = Service("keystone", "keystone.wsgi.api:application", folder, environment)
        me = pwd.getpwuid(os.getuid()).pw_name
        manage = self.keystone.manage
        manage("--config-file", conf, "db_sync")
        for keys in ("fernet_setup", "credential_setup"):
            manage("--config-file", conf, keys, "--keystone-user", me, "--keystone-group", str(os.getgid()))
        url = f"{self.keystone.url}/v3"
        urls = [f"--bootstrap-{kind}-url={url}" for kind in ("public", "internal", "admin")]
        manage("--config-file", conf, "bootstrap", f"--bootstrap-password={PASSWORD}",
               "--bootstrap-region-id=RegionOne", *urls)
        self.keystone.start()

    def _make_glance(self):
        paste = BIN.parent / "etc/glance/glance-api-paste.ini"
        folder = self._config("glance", GLANCE, paste=paste, keystone=self.keystone.url)
        conf = folder / "glance.conf"
        conf.rename(folder / "glance-api.conf")
        for name in ("images", "staging", "tasks"):
            (folder / name).mkdir()
        self.glance = Service("glance", "glance.wsgi.api:application", folder, {"OS_GLANCE_CONFIG_DIR": str(folder)})
        self.glance.manage("--config-file", folder / "glance-api.conf", "db_sync")
        self.glance.start()

    def environment(self, user="admin", password=PASSWORD, project="admin"):
        """A user's `OS_*` variables."""
        return {
            "OS_AUTH_URL": f"{self.keystone.url}/v3",
            "OS_USERNAME": user,
            "OS_PASSWORD": password,
            "OS_PROJECT_NAME": project,
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_REGION_NAME": "RegionOne",
        }

    def close(self):
        """End both and remove everything."""
        for service in (self.glance, self.keystone):
            if service is not None:
                service.stop()
        if "PARPEN_KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)
