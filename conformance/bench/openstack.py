"""How long the OpenStack side takes: from a request to `available`, lists, shows; its processor time and its memory."""

import http.client
import json
import pathlib
import statistics
import threading
import time
import urllib.parse

import harness
import targets

VOLUMES = 1000
SHOWS = 3000
CLIENTS = 4
# Between two looks at something that is being made: short beside what is measured.
PAUSE = 0.0005


class Client:
    """Block Storage v3 on one connection that stays open."""

    def __init__(self, server):
        env = server.env("openstack")
        auth = urllib.parse.urlsplit(env["OS_AUTH_URL"])
        self.connection = http.client.HTTPConnection(auth.hostname, auth.port, timeout=60)
        self.headers = {"Content-Type": "application/json"}
        user = {"name": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "domain": {"name": "Default"}}
        identity = {"methods": ["password"], "password": {"user": user}}
        scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": {"name": "Default"}}}
        body = {"auth": {"identity": identity, "scope": scope}}
        answer, said = self.raw("POST", auth.path.rstrip("/") + "/auth/tokens", body)
        self.headers |= {"X-Auth-Token": answer.getheader("X-Subject-Token"), "OpenStack-API-Version": "volume 3.60"}
        project = json.loads(said)["token"]["project"]["id"]
        self.root = f"/volume/v3/{project}"

    def raw(self, method, path, body=None):
        """One call; the answer and its bytes."""
        self.connection.request(method, path, body and json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise AssertionError(f"{method} {path}: {answer.status} {said!r}")
        return answer, said

    def call(self, method, path, body=None):
        """One call below the project's root; the document."""
        _, said = self.raw(method, self.root + path, body)
        return json.loads(said) if said else None

    def make(self, kind, body):
        """Milliseconds from the request to `available`, and the id."""
        began = time.monotonic()
        made = self.call("POST", f"/{kind}s", {kind: body})[kind]
        while made["status"] != "available":
            if made["status"].startswith("error"):
                raise AssertionError(made)
            time.sleep(PAUSE)
            made = self.call("GET", f"/{kind}s/{made['id']}")[kind]
        return (time.monotonic() - began) * 1000, made["id"]


def memory(pid):
    """MiB that a process holds in memory."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def repeat(client, path, times, pid):
    """Milliseconds of each of so many calls, and the server's processor milliseconds of one."""
    path, took = client.root + path, []
    before = targets.cpu_seconds(pid)
    for _ in range(times):
        began = time.monotonic()
        client.raw("GET", path)
        took.append((time.monotonic() - began) * 1000)
    return took, (targets.cpu_seconds(pid) - before) * 1000 / times


def crowd(clients, path, times, pid):
    """The server's processor milliseconds of one call, when each client makes so many of them at once."""
    threads = [threading.Thread(target=repeat, args=(client, path, times, pid)) for client in clients]
    before = targets.cpu_seconds(pid)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (targets.cpu_seconds(pid) - before) * 1000 / (times * len(clients))


def times(rounds):
    """Everything, on a fresh server of its own."""
    server = harness.Server().start()
    try:
        client, found = Client(server), {}
        for number in range(rounds * 4):
            took, volume = client.make("volume", {"size": 1, "name": f"v{number}"})
            found.setdefault("volume", []).append(took)
            took, snapshot = client.make("snapshot", {"volume_id": volume})
            found.setdefault("snapshot", []).append(took)
            took, clone = client.make("volume", {"size": 1, "source_volid": volume})
            found.setdefault("clone", []).append(took)
            client.call("DELETE", f"/snapshots/{snapshot}")
            client.call("DELETE", f"/volumes/{clone}")
        last = None
        for number in range(rounds * 4, VOLUMES):
            last = client.call("POST", "/volumes", {"volume": {"size": 1, "name": f"v{number}"}})["volume"]["id"]
        ready = lambda: client.call("GET", f"/volumes/{last}")["volume"]["status"] == "available"  # noqa: E731
        harness.wait_until("the last volume is available", ready)
        found["rss"] = memory(server.pid)
        found["list"], found["list cpu"] = repeat(client, "/volumes/detail", rounds * 4, server.pid)
        found["show"], found["show cpu"] = repeat(client, f"/volumes/{last}", SHOWS, server.pid)
        clients = [Client(server) for _ in range(CLIENTS)]
        found["crowd cpu"] = crowd(clients, f"/volumes/{last}", SHOWS, server.pid)
        found["rss after lists"] = memory(server.pid)
        return found
    finally:
        server.close()


def rows(found):
    """What was wanted, what was measured, and whether that is so."""
    def middle(what):
        return statistics.median(found[what])

    per_second = 1000 / found["crowd cpu"]
    made = [
        ("volume, from POST to `available`", 5, middle("volume"), "ms"),
        ("snapshot, from POST to `available`", 2, middle("snapshot"), "ms"),
        ("clone, from POST to `available`", 5, middle("clone"), "ms"),
        (f"{VOLUMES} volumes with details", 20, middle("list"), "ms"),
        (f"resident with {VOLUMES} volumes", 80, found["rss"], "MiB"),
        ("resident after they were listed", 80, found["rss after lists"], "MiB"),
    ]
    lines = [[what, f"under {most} {unit}", f"{is_:.1f} {unit}", "met" if is_ < most else "missed"]
             for what, most, is_, unit in made]
    shows = [f"shows of one volume for each second of one core, {CLIENTS} clients", "5000", f"{per_second:.0f}"]
    lines.insert(4, shows + ["met" if per_second >= 5000 else "missed"])
    return lines
