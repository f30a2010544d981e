"""Bad input in every API, by raw HTTP: that API's own error document and status, nothing changed, no panic."""

import base64
import http.client
import json
import socket
import unittest
import uuid

import harness

server = None

MEGABYTE_NAME = "n" * (1 << 20)
BROKEN_JSON = b'{"name": "broken", '


def setUpModule():
    global server
    server = harness.Server().start()


def tearDownModule():
    server.close()


def openstack_token(server):
    """A token of the built-in identity service."""
    env = server.env("openstack")
    domain = {"name": env.get("OS_USER_DOMAIN_NAME", "Default")}
    user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
    scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}}
    identity = {"methods": ["password"], "password": {"user": user}}
    answer = server.http("POST", "/identity/v3/auth/tokens", {"auth": {"identity": identity, "scope": scope}})
    if answer.status != 201:
        raise AssertionError(f"no token: {answer}")
    return answer.headers["X-Subject-Token"]


class Api(unittest.TestCase):
    """What the tests of one API share. `error` knows that API's error document."""

    def setUp(self):
        # What the test before has begun must not look like our doing.
        at_rest = lambda: all(each["state"] == "ready" for each in server.cli_json("volume", "list"))
        harness.wait_until("rest", at_rest)
        self.before = self.volumes()

    def tearDown(self):
        if not getattr(self, "changes_something", False):
            self.assertEqual(self.volumes(), self.before, "a refused request changed something")
        self.assertTrue(server.alive())
        server.check_log()

    @staticmethod
    def volumes():
        """All volumes that there are, whoever made them."""
        return sorted(json.dumps(each, sort_keys=True) for each in server.cli_json("volume", "list"))

    def refused(self, statuses, answer):
        """The answer must have one of these statuses and be this API's error document."""
        self.assertIn(answer.status, statuses, answer)
        self.error(answer)
        self.assertLess(len(answer.body), 64 << 10, "an error document does not echo a megabyte")
        self.assertNotIn(b"panicked", answer.body)

    def made(self, name):
        """Make a volume through the command line, and take the new list as the one to keep."""
        server.cli("volume", "create", name, "--size", "1GiB")
        self.before = self.volumes()


class OpenStack(Api):
    PATH = "/volume/v3/volumes"

    def setUp(self):
        super().setUp()
        self.headers = {"X-Auth-Token": openstack_token(server)}

    def call(self, method, path, body=None, **headers):
        return server.http(method, path, body, dict(self.headers, **headers))

    def error(self, answer):
        (document,) = answer.json().values()
        self.assertEqual(document["code"], answer.status)
        self.assertTrue(document["message"])

    def create(self, **volume):
        return self.call("POST", self.PATH, {"volume": volume})

    def test_wrong_credentials(self):
        self.headers = {"X-Auth-Token": "wrong"}
        self.refused({401}, self.call("GET", self.PATH))
        self.headers = {}
        self.refused({401}, self.create(size=1))
        env = server.env("openstack")
        user = {"name": env["OS_USERNAME"], "domain": {"name": "Default"}, "password": "wrong"}
        identity = {"methods": ["password"], "password": {"user": user}}
        self.refused({401}, self.call("POST", "/identity/v3/auth/tokens", {"auth": {"identity": identity}}))

    def test_unknown_objects(self):
        for path in (f"{self.PATH}/{uuid.uuid4()}", f"{self.PATH}/no-such", f"/volume/v3/snapshots/{uuid.uuid4()}"):
            self.refused({404}, self.call("GET", path))
            self.refused({404}, self.call("DELETE", path))
        self.refused({404}, self.call("GET", "/volume/v3/no-such-thing"))
        self.refused({404}, self.create(size=1, snapshot_id=str(uuid.uuid4())))
        self.refused({400, 404}, self.create(size=1, volume_type="nosuch"))

    def test_a_name_may_be_taken_twice(self):
        self.changes_something = True
        ids = {self.create(size=1, name="twice").json()["volume"]["id"] for _ in range(2)}
        listed = self.call("GET", self.PATH + "/detail?name=twice").json()["volumes"]
        self.assertEqual({each["id"] for each in listed}, ids)
        self.assertEqual(len(ids), 2)

    def test_bad_sizes(self):
        for size in (0, -1, "big", 1.5, None, [1], {"a": 1}, True, 1 << 62, 10**30):
            with self.subTest(size=size):
                self.refused({400, 413}, self.create(size=size, name="bad"))
        self.refused({400}, self.create(name="no size at all"))

    def test_malformed_bodies(self):
        json_type = {"Content-Type": "application/json"}
        for body in (BROKEN_JSON, b"", b"[]", b'"text"', b"{}", b'{"volume": 7}', b"\xff\xfe", b"[" * 50_000):
            with self.subTest(body=body[:20]):
                self.refused({400}, self.call("POST", self.PATH, body, **json_type))

    def test_long_names(self):
        # Cinder, too, has a limit on the body that is smaller than this.
        self.refused({400, 413}, self.create(size=1, name=MEGABYTE_NAME))
        self.refused({400}, self.create(size=1, name="n" * 300))
        self.refused({400, 404, 414}, self.call("GET", f"{self.PATH}/{'n' * 60_000}"))

    def test_bad_markers_and_limits(self):
        for query in ("limit=-1", "limit=x", f"marker={uuid.uuid4()}"):
            self.refused({400, 404}, self.call("GET", f"{self.PATH}?{query}"))


class StorPool(Api):
    def call(self, method, query, body=None, token=None):
        token = token or server.env("storpool")["SP_AUTH_TOKEN"]
        return server.http(method, "/ctrl/1.0/" + query, body, {"Authorization": f"Storpool v1:{token}"})

    def error(self, answer):
        error = answer.json()["error"]
        self.assertTrue(error["name"] and error["descr"])
        self.name = error["name"]

    def refused(self, statuses, answer, name=None):
        super().refused(statuses, answer)
        if name is not None:
            self.assertEqual(self.name, name)

    def create(self, **desc):
        return self.call("POST", "VolumeCreate", dict({"size": 1 << 30, "replication": 1, "placeAll": "default"}, **desc))

    def test_wrong_credentials(self):
        self.refused({401, 403}, self.call("GET", "VolumesList", token="1"))
        self.refused({401, 403}, server.http("GET", "/ctrl/1.0/VolumesList"))
        self.refused({401, 403}, server.http("POST", "/ctrl/1.0/VolumeDelete/x", headers={"Authorization": "Basic x"}))

    def test_unknown_objects(self):
        for method, query in (
            ("GET", "Volume/nosuch"),
            ("GET", "Snapshot/nosuch"),
            ("GET", "Volume/#nosuch"),
            ("POST", "VolumeDelete/nosuch"),
            ("POST", "SnapshotDelete/*nosuch@1"),
            ("GET", "Volume/~a.b.c"),
        ):
            with self.subTest(query):
                self.refused({404}, self.call(method, query), "objectDoesNotExist")
        self.refused({404}, self.create(name="child", parent="nosuch"), "objectDoesNotExist")
        self.refused({400, 404}, self.call("GET", "NoSuchQuery"))

    def test_duplicate_name(self):
        self.made("sp-taken")
        self.refused({409}, self.create(name="sp-taken"), "objectExists")

    def test_bad_sizes(self):
        for size in (0, -512, 1000, 513, "big", 1.5, True, [512], 10**30):
            with self.subTest(size=size):
                self.refused({400, 507}, self.create(name="sp-bad", size=size))
        for replication in (0, 4, -1, "x"):
            with self.subTest(replication=replication):
                self.refused({400}, self.create(name="sp-bad", replication=replication), "invalidParam")
        self.refused({507}, self.create(name="sp-bad", replication=3, placeAll="hdd"), "insufficientResources")

    def test_malformed_bodies(self):
        for body in (BROKEN_JSON, b"[]", b"7", b"\xff\xfe", b"[" * 50_000):
            with self.subTest(body=body[:20]):
                self.refused({400}, self.call("POST", "VolumeCreate", body), "invalidParam")

    def test_bad_and_long_names(self):
        # An empty name is no error: the server makes one.
        for name in ("a b", "a/b", "list", "status", "ä", "n" * 200, MEGABYTE_NAME, 7):
            with self.subTest(name=str(name)[:20]):
                self.refused({400, 413}, self.create(name=name), "invalidParam")
        self.refused({400, 404, 414}, self.call("GET", "Volume/" + "n" * 60_000))


class Lxd(Api):
    """Over the unix socket, where nobody needs a credential."""

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(server.env("lxd")["LXD_DIR"] + "/unix.socket")
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            connection.request(method, path, body)
            response = connection.getresponse()
            return harness.Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def error(self, answer):
        document = answer.json()
        self.assertEqual((document["type"], document["error_code"]), ("error", answer.status))
        self.assertTrue(document["error"])
        self.assertIsNone(document["metadata"])

    CUSTOM = "/1.0/storage-pools/local/volumes/custom"

    def create(self, **volume):
        return self.call("POST", self.CUSTOM, dict({"type": "custom", "content_type": "block", "config": {}}, **volume))

    def test_over_tcp_strangers_are_forbidden(self):
        self.refused({403}, server.http("GET", "/1.0/storage-pools"))
        self.refused({403}, server.http("POST", self.CUSTOM, {"name": "stranger"}))

    def test_unknown_objects(self):
        for method, path in (
            ("GET", "/1.0/storage-pools/nosuch"),
            ("GET", "/1.0/storage-pools/nosuch/volumes"),
            ("GET", self.CUSTOM + "/nosuch"),
            ("DELETE", self.CUSTOM + "/nosuch"),
            ("GET", self.CUSTOM + "/nosuch/snapshots/x"),
            ("GET", f"/1.0/operations/{uuid.uuid4()}"),
            ("GET", "/1.0/nosuch"),
            ("GET", "/1.0/storage-pools/"),
        ):
            with self.subTest(path):
                self.refused({404}, self.call(method, path))

    def test_duplicate_name(self):
        self.made("lxd-taken")
        self.refused({409}, self.create(name="lxd-taken"))

    def test_bad_sizes(self):
        for size in ("-1", "big", "1XiB", "99999999999999999999EiB", 5, ["1GiB"]):
            with self.subTest(size=size):
                self.refused({400, 500}, self.create(name="lxd-bad", config={"size": size}))

    def test_malformed_bodies(self):
        for body in (BROKEN_JSON, b"", b"[]", b"7", b'{"name": 7}', b"\xff\xfe", b"[" * 50_000):
            with self.subTest(body=body[:20]):
                self.refused({400}, self.call("POST", self.CUSTOM, body))

    def test_bad_and_long_names(self):
        for name in ("", "a/b", MEGABYTE_NAME):
            with self.subTest(name=name[:20]):
                self.refused({400, 413}, self.create(name=name))
        self.refused({400, 404, 414}, self.call("GET", f"{self.CUSTOM}/{'n' * 60_000}"))


class Cern(Api):
    def setUp(self):
        super().setUp()
        env = server.env("cern")
        secret = base64.b64encode(f"{env['CERN_USER']}:{env['CERN_PASSWORD']}".encode()).decode()
        answer = server.http("GET", "/login_basic", headers={"Authorization": "Basic " + secret})
        self.headers = {"Cookie": answer.headers["Set-Cookie"].split(";")[0]}

    def call(self, method, path, body=None):
        return server.http(method, "/v3/local" + path, body, self.headers)

    def error(self, answer):
        self.assertTrue(answer.json()["message"])

    def test_wrong_credentials(self):
        self.headers = {"Cookie": "session=wrong"}
        self.refused({403}, self.call("GET", "/volumes"))
        self.refused({403}, self.call("POST", "/volumes/cern-stranger", {}))
        secret = base64.b64encode(b"admin:wrong").decode()
        self.assertEqual(server.http("GET", "/login_basic", headers={"Authorization": "Basic " + secret}).status, 401)

    def test_unknown_objects(self):
        for method, path in (
            ("GET", "/volumes/nosuch"),
            ("DELETE", "/volumes/nosuch"),
            ("GET", "/volumes/nosuch/snapshots"),
            ("GET", "/volumes/nosuch/locks"),
            ("PUT", "/volumes/nosuch/locks/host"),
        ):
            with self.subTest(path):
                self.refused({404}, self.call(method, path))
        self.refused({404}, server.http("GET", "/v3/nosuch/volumes", headers=self.headers))
        self.refused({404}, self.call("POST", "/volumes/cern-clone", {"from_volume": "nosuch", "from_snapshot": "s"}))

    def test_duplicate_name(self):
        self.made("cern-taken")
        self.refused({400}, self.call("POST", "/volumes/cern-taken", {"size_total": 1 << 20}))

    def test_bad_sizes(self):
        for size in (-1, "big", 1.5, None, [1], True, 10**30):
            with self.subTest(size=size):
                self.refused({400}, self.call("POST", "/volumes/cern-bad", {"size_total": size}))

    def test_malformed_bodies(self):
        for body in (BROKEN_JSON, b"[]", b"7", b"\xff\xfe", b"[" * 50_000):
            with self.subTest(body=body[:20]):
                self.refused({400}, self.call("POST", "/volumes/cern-bad", body))

    def test_bad_and_long_names(self):
        for name in ("a%20b", "a+b", "%C3%A4", "a,b"):
            with self.subTest(name):
                self.refused({400}, self.call("POST", f"/volumes/{name}", {"size_total": 1 << 20}))
        self.refused({400, 414}, self.call("POST", f"/volumes/{'n' * 60_000}", {"size_total": 1 << 20}))


class Rapyuta(Api):
    def setUp(self):
        super().setUp()
        env = server.env("rapyuta")
        token = env["RIO_AUTH_TOKEN"]
        self.headers = {"Authorization": f"Bearer {token.removeprefix('Bearer ')}", "project": env["RIO_PROJECT"]}

    def call(self, method, path, body=None):
        return server.http(method, path, body, self.headers)

    def error(self, answer):
        self.assertIsInstance(answer.json()["error"], str)
        self.assertTrue(answer.json()["error"])

    def create(self, **disk):
        return self.call("POST", "/disk", dict({"runtime": "cloud", "capacity": 4, "diskType": "ssd"}, **disk))

    def create_v2(self, name, capacity):
        body = {"kind": "Disk", "metadata": {"name": name}, "spec": {"runtime": "cloud", "capacity": capacity}}
        return self.call("POST", "/v2/disks/", body)

    def test_wrong_credentials(self):
        good = dict(self.headers)
        self.headers = dict(good, Authorization="Bearer wrong")
        self.refused({401}, self.call("GET", "/disk"))
        self.refused({401}, self.call("GET", "/v2/disks/"))
        self.headers = dict(good, project="project-nosuch")
        self.refused({403}, self.call("GET", "/disk"))
        self.headers = {}
        self.refused({401}, self.create(name="stranger"))

    def test_unknown_objects(self):
        for method, path in (
            ("GET", "/disk/disk-nosuch"),
            ("DELETE", "/disk/disk-nosuch"),
            ("GET", "/serviceinstance/dep-nosuch"),
            ("GET", "/v2/disks/nosuch/"),
            ("DELETE", "/v2/disks/nosuch/"),
        ):
            with self.subTest(path):
                self.refused({404}, self.call(method, path))

    def test_duplicate_name(self):
        self.changes_something = True
        self.assertIn(self.create(name="rio-taken").status, range(200, 300))
        before = self.volumes()
        self.refused({409}, self.create(name="rio-taken", capacity=8))
        self.refused({409}, self.create_v2("rio-taken", 8))
        self.assertEqual(self.volumes(), before)

    def test_bad_capacities(self):
        for capacity in (0, 5, -4, "32", 32.5, None, True, 1024, 10**30):
            with self.subTest(capacity=capacity):
                self.refused({400}, self.create(name="rio-bad", capacity=capacity))
        for capacity in (3, 5, 0, 514, "8", None):
            with self.subTest(v2=capacity):
                self.refused({400}, self.create_v2("rio-bad", capacity))

    def test_malformed_bodies(self):
        for path in ("/disk", "/v2/disks/"):
            for body in (BROKEN_JSON, b"", b"[]", b"7", b"\xff\xfe", b"[" * 50_000):
                with self.subTest(path=path, body=body[:20]):
                    self.refused({400}, self.call("POST", path, body))

    def test_bad_and_long_names(self):
        for name in ("", "ab", "a b", "n" * 76, MEGABYTE_NAME, 7, None):
            with self.subTest(name=str(name)[:20]):
                self.refused({400, 413}, self.create(name=name))
                self.refused({400, 413}, self.create_v2(name, 4))
        self.refused({400, 404, 414}, self.call("GET", f"/v2/disks/{'n' * 60_000}/"))


class Listener(unittest.TestCase):
    """What is no HTTP at all, and what belongs to no API."""

    def raw(self, data):
        host, port = server.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as peer:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            answer = b""
            while part := peer.recv(65536):
                answer += part
        return answer

    def test_noise_costs_only_its_connection(self):
        for data in (
            b"",
            b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00" + bytes(512),
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /disk HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /disk HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"POST /disk HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nshort",
            b"POST /disk HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        ):
            with self.subTest(data=data[:40]):
                try:
                    self.raw(data)
                except (ConnectionResetError, BrokenPipeError):
                    # The server may hang up before we have said it all.
                    pass
                self.assertEqual(server.http("GET", "/health").status, 200)
        server.check_log()

    def test_unknown_paths_are_not_found(self):
        self.assertEqual(server.http("GET", "/no/such/path").status, 404)


if __name__ == "__main__":
    harness.main()
