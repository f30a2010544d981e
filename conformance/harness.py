"""Runs a parpen server in a folder of its own, speaks to it as its clients do, and counts tests.

Only the standard library is used, because every client set brings an interpreter of its own.
"""

import faulthandler
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("PARPEN_BIN", str(ROOT / "target/release/parpen"))
VENVS = pathlib.Path(os.environ.get("PARPEN_VENVS", ROOT / "target/venv"))

START_SECONDS = 120
STOP_SECONDS = 90
COMMAND_SECONDS = 120
# A client library may wait for ever; then the file's tests have failed, with the place where they stood.
FILE_SECONDS = 1200

# `requests` lets these two override the certificate that a client pins.
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

# Who is told of every program that ended (`command`), every test that ended (`ended`) and the end of the file (`close`).
OBSERVERS = []


class CommandFailed(AssertionError):
    """A program ended with an error; carries what it said."""

    def __init__(self, args, result):
        self.result = result
        said = (result.stdout + result.stderr)[-2000:]
        super().__init__(f"{' '.join(map(str, args))} ended with {result.returncode}:\n{said}")


def run(*args, env=None, check=True, timeout=COMMAND_SECONDS, text=True, stdin=None):
    """Run a program to its end; fails with its words unless `check` is off."""
    result = subprocess.run(
        [str(arg) for arg in args], env=env, timeout=timeout, text=text, input=stdin, capture_output=True
    )
    return ended(args, result, check)


def ended(args, result, check=True):
    """A program ended: tell the observers, and fail with its words unless `check` is off."""
    for observer in OBSERVERS:
        observer.command(args, result)
    if check and result.returncode != 0:
        raise CommandFailed(args, result)
    return result


def venv(client_set, program="python"):
    """A program of a client set's environment."""
    return str(VENVS / client_set / "bin" / program)


def clean_environment():
    """Our environment without what would lead a client astray."""
    return {name: value for name, value in os.environ.items() if name not in BUNDLES}


class Answer:
    """What came back from a raw HTTP request."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        """The body as a JSON document."""
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:500]!r}"


class Server:
    """A parpen server and its data directory. Both live until `close`."""

    def __init__(self, extra_args=(), wrapper=()):
        parent = os.environ.get("PARPEN_TEST_DIR", tempfile.gettempdir())
        # A short path: a unix socket's may not be longer than 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pp-", dir=parent))
        self.data = self.folder / "data"
        self.log = self.folder / "log.txt"
        self.extra_args = list(extra_args)
        self.wrapper = list(wrapper)
        self.process = None
        self.base = None
        self._environments = {}

    def start(self):
        """Start the server and wait until it answers."""
        run_file = self.data / "run.json"
        before = run_file.stat().st_mtime_ns if run_file.exists() else None
        # The server ends with us, however we end.
        args = ["setpriv", "--pdeathsig", "KILL", BINARY, "serve", "--data-dir", str(self.data)]
        args += ["--listen", "127.0.0.1:0", "--nbd", "127.0.0.1:0"]
        with open(self.log, "ab") as log:
            command = self.wrapper + args + self.extra_args
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._environments = {}
        try:
            self._wait_until_up(run_file, before)
        except BaseException:
            self.kill()
            self._remove()
            raise
        return self

    def _wait_until_up(self, run_file, before):
        end = time.monotonic() + START_SECONDS
        while not (run_file.exists() and run_file.stat().st_mtime_ns != before and self._healthy()):
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"the server did not answer within {START_SECONDS} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def _healthy(self):
        try:
            self.base = self.env("cern")["CERN_URL"].rstrip("/")
            return self.http("GET", "/health").status == 200
        except (OSError, CommandFailed, KeyError):
            self._environments = {}
            return False

    @property
    def pid(self):
        """The server's process id."""
        return self.process.pid

    def alive(self):
        """Whether the process still runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Ask the server to end; it must do so in order, and must not have panicked."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"the server did not end within {STOP_SECONDS} s of SIGTERM")
            if code != 0:
                raise AssertionError(f"the server ended with {code} after SIGTERM:\n{self.log_tail()}")
        self.check_log()

    def kill(self):
        """kill -9, as a power cut of the process."""
        if self.alive():
            self.process.kill()
            self.process.wait()

    def restart(self):
        """Stop in order and start again."""
        self.stop()
        return self.start()

    def close(self):
        """Stop, look into the log, and remove everything."""
        try:
            self.stop()
        finally:
            self.kill()
            self._remove()

    def _remove(self):
        # PARPEN_KEEP leaves the data of a failure behind, to be looked at.
        if "PARPEN_KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self, size=3000):
        """The end of the log."""
        return self._log_text()[-size:]

    def _log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def check_log(self):
        """No thread may ever panic."""
        lines = self._log_text().splitlines()
        panics = [line for line in lines if "panicked at" in line]
        if panics:
            raise AssertionError("panics in the log:\n" + "\n".join(panics))

    def env(self, name):
        """The environment of a shell after `eval "$(parpen env NAME)"`."""
        if name not in self._environments:
            script = 'lines="$("$0" env "$1" --data-dir "$2")" && eval "$lines" && env -0'
            result = run("bash", "-c", script, BINARY, name, self.data, env=clean_environment())
            pairs = (line.split("=", 1) for line in result.stdout.split("\0") if "=" in line)
            self._environments[name] = dict(pairs)
        return dict(self._environments[name])

    def apply_env(self, name):
        """Make `parpen env NAME` our own environment, for clients that run in this process."""
        wanted = self.env(name)
        os.environ.clear()
        os.environ.update(wanted)

    def cli(self, *args, check=True):
        """Run a command of the command line; returns the finished process."""
        env = dict(clean_environment(), PARPEN_DATA_DIR=str(self.data))
        return run(BINARY, *args, env=env, check=check)

    def cli_json(self, *args):
        """Run a command of the command line and read its machine output."""
        return json.loads(self.cli(*args, "--output", "json").stdout)

    def http(self, method, target, body=None, headers=None, timeout=60):
        """One raw request. A body that is not bytes or text is sent as JSON."""
        where = urllib.parse.urlsplit(self.base)
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            if isinstance(body, str):
                body = body.encode()
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def nbd_uri(self, export):
        """The NBD URI of an export, over TCP."""
        env = self.env("nbd")
        return f"nbd://{env['NBD_HOST']}:{env['NBD_PORT']}/{urllib.parse.quote(export, safe='@')}"

    def nbd_unix_uri(self, export):
        """The NBD URI of an export, over the unix socket."""
        return f"nbd+unix:///{urllib.parse.quote(export, safe='@')}?socket={self.env('nbd')['NBD_SOCKET']}"


def qemu_io(uri, *commands, read_only=False, check=True):
    """Run qemu-io commands on an export. `read -P` compares bytes; a difference is a failure."""
    args = ["qemu-io", "-f", "raw"] + (["-r"] if read_only else [])
    for command in commands:
        args += ["-c", command]
    result = run(*args, uri, check=False)
    said = result.stdout + result.stderr
    bad = result.returncode != 0 or "failed" in said.lower() or "error" in said.lower()
    if check and bad:
        raise CommandFailed(args + [uri], result)
    return not bad


def fill(uri, pattern, offset="0", length="1M"):
    """Write a byte pattern through NBD and flush it."""
    qemu_io(uri, f"write -P {pattern:#x} {offset} {length}", "flush")


def holds(uri, pattern, offset="0", length="1M"):
    """Whether an export holds a byte pattern."""
    return qemu_io(uri, f"read -P {pattern:#x} {offset} {length}", read_only=True, check=False)


def opens(uri):
    """Whether the server lets us open an export."""
    return run("nbdinfo", "--size", uri, check=False).returncode == 0


def wait_until(what, condition, seconds=COMMAND_SECONDS, pause=0.1):
    """Wait until a condition holds; returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(pause)


class CountingResult(unittest.TextTestResult):
    """Counts whole tests, however many parts of one fail; a set-up that fails counts as one."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.passed_ids = set()
        self.failed_ids = set()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed_ids.add(test.id())

    def stopTest(self, test):
        super().stopTest(test)
        passed = test.id() in self.passed_ids - self.failed_ids
        for observer in OBSERVERS:
            observer.ended(test.id().removeprefix("__main__."), passed)

    def addError(self, test, err):
        super().addError(test, err)
        self.failed_ids.add(test.id())

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed_ids.add(test.id())

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.failed_ids.add(test.id())

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed_ids.add(test.id())


def main(module="__main__"):
    """Run the tests of a file; the last line says how many passed, failed and were left out."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[module])
    if len(sys.argv) > 1:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:], sys.modules[module])
    finish(suite)


def finish(suite):
    """Run a suite, print the closing line, and end with the exit code that belongs to it."""
    faulthandler.dump_traceback_later(FILE_SECONDS, exit=True, file=sys.stdout)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=CountingResult).run(suite)
    passed, failed = len(result.passed_ids - result.failed_ids), len(result.failed_ids)
    skipped = len(result.skipped)
    for observer in OBSERVERS:
        observer.close()
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""), flush=True)
    sys.exit(0 if failed == 0 and passed > 0 else 1)
