"""The CERN storage-api routes, as an HTTP client with a session cookie uses them."""

import unittest
import uuid
from email.utils import parsedate_to_datetime

import harness
import requests

server = None
user = None
pool = None


def setUpModule():
    global server, user, pool
    server = harness.Server().start()
    user = login()
    pool = server.base + "/v3/local"


def tearDownModule():
    server.close()


def login(password=None):
    """A session with the cookie that `/login_basic` gives."""
    env = server.env("cern")
    session = requests.Session()
    auth = (env["CERN_USER"], password or env["CERN_PASSWORD"])
    session.get(env["CERN_URL"] + "/login_basic", auth=auth, allow_redirects=False)
    return session


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


class CernTest(unittest.TestCase):
    def call(self, method, path, status, json=None, session=None):
        """One request below the pool that must be answered with this status; returns the body."""
        answer = (session or user).request(method, pool + path, json=json, timeout=30)
        self.assertEqual(answer.status_code, status, f"{method} {path}: {answer.text[:300]}")
        return answer.json() if answer.content else None

    def create(self, name, size=64 << 20):
        return self.call("POST", f"/volumes/{name}", 201, {"size_total": size})

    def message(self, method, path, status, json=None):
        return self.call(method, path, status, json)["message"]


class Login(CernTest):
    def test_without_a_login_only_conf_is_open(self):
        stranger = requests.Session()
        self.assertEqual(stranger.get(server.base + "/conf/subsystems").status_code, 200)
        self.assertEqual(stranger.get(server.base + "/conf/me/roles").status_code, 200)
        for method, path in (
            ("GET", "/volumes"),
            ("POST", "/volumes/anon"),
            ("POST", "/volumes/anon/snapshots/s"),
            ("GET", "/volumes/anon/snapshots"),
        ):
            body = {} if method == "POST" else None
            self.assertIn("message", self.call(method, path, 403, body, stranger))

    def test_a_wrong_password_gets_no_session(self):
        env = server.env("cern")
        answer = requests.get(
            env["CERN_URL"] + "/login_basic", auth=(env["CERN_USER"], "wrong"), allow_redirects=False
        )
        self.assertEqual(answer.status_code, 401)
        self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Basic"))
        self.assertNotIn("session", answer.cookies)
        self.call("GET", "/volumes", 403, session=login("wrong"))

    def test_conf_names_subsystems_and_roles(self):
        subsystems = user.get(server.base + "/conf/subsystems").json()
        self.assertIn("local", subsystems)
        self.assertIn("dummy", subsystems)
        mine = user.get(server.base + "/conf/me/roles").json()
        self.assertEqual(set(mine), set(user.get(server.base + "/conf/roles").json()))
        self.assertIs(user.get(server.base + f"/conf/roles/{mine[0]}/am_i_a").json(), True)


class Volumes(CernTest):
    KEYS = (
        "size_used uuid state filer_address creation_time percentage_snapshot_reserve_used name size_total "
        "aggregate_name junction_path autosize_enabled max_autosize active_policy_name percentage_snapshot_reserve "
        "compression_enabled inline_compression caching_policy"
    ).split()

    def test_a_volume_lives_through_all_its_verbs(self):
        name = unique("vol")
        made = self.create(name, 128 << 20)
        self.assertEqual(sorted(made), sorted(self.KEYS))
        self.assertEqual((made["name"], made["size_total"]), (name, 128 << 20))
        parsedate_to_datetime(made["creation_time"])
        self.assertEqual(self.call("GET", f"/volumes/{name}", 200)["uuid"], made["uuid"])
        self.assertIn(name, [each["name"] for each in self.call("GET", "/volumes", 200)])
        self.assertEqual(harness.run("nbdinfo", "--size", server.nbd_uri(name)).stdout.strip(), str(128 << 20))
        self.call("DELETE", f"/volumes/{name}", 204)
        self.assertIn("No such volume", self.message("GET", f"/volumes/{name}", 404))
        self.assertFalse(harness.opens(server.nbd_uri(name)))

    def test_a_taken_name_and_a_negative_size_are_refused(self):
        name = unique("taken")
        self.create(name)
        self.message("POST", f"/volumes/{name}", 400, {"size_total": 1 << 20})
        self.assertEqual(self.call("GET", f"/volumes/{name}", 200)["size_total"], 64 << 20)
        self.message("POST", f"/volumes/{unique('negative')}", 400, {"size_total": -1})

    def test_a_pool_is_a_subsystem(self):
        name = unique("ram")
        answer = user.post(f"{server.base}/v3/dummy/volumes/{name}", json={"size_total": 1 << 20})
        self.assertEqual(answer.status_code, 201)
        self.call("GET", f"/volumes/{name}", 404)
        self.assertEqual(user.get(f"{server.base}/v3/nosuch/volumes").status_code, 404)


class Snapshots(CernTest):
    def test_snapshots_keep_bytes_roll_back_and_clone(self):
        name, clone = unique("src"), unique("clone")
        self.create(name)
        uri = server.nbd_uri(name)
        harness.fill(uri, 0x21)
        self.call("POST", f"/volumes/{name}/snapshots/one", 201, {})
        harness.fill(uri, 0x22)
        listed = self.call("GET", f"/volumes/{name}/snapshots", 200)
        self.assertEqual([each["name"] for each in listed], ["one"])
        found = self.call("GET", f"/volumes/{name}/snapshots/one", 200)
        self.assertEqual(sorted(found), ["creation_time", "name", "size_kbytes"])

        self.call("POST", f"/volumes/{clone}", 201, {"from_volume": name, "from_snapshot": "one"})
        self.assertTrue(harness.holds(server.nbd_uri(clone), 0x21))
        self.assertTrue(harness.holds(uri, 0x22))
        self.call("POST", f"/volumes/{name}", 201, {"from_snapshot": "one"})
        self.assertTrue(harness.holds(uri, 0x21), "rolled back")

        self.call("DELETE", f"/volumes/{name}/snapshots/one", 204)
        self.call("GET", f"/volumes/{name}/snapshots/one", 404)
        self.assertTrue(harness.holds(server.nbd_uri(clone), 0x21), "a clone outlives its snapshot")

    def test_refusals(self):
        name = unique("refuse")
        self.create(name)
        self.call("POST", f"/volumes/{name}/snapshots/one", 201, {})
        self.message("POST", f"/volumes/{name}/snapshots/one", 400, {})
        self.message("POST", f"/volumes/{name}", 404, {"from_snapshot": "nosuch"})
        self.message("POST", f"/volumes/{unique('x')}", 404, {"from_volume": name, "from_snapshot": "nosuch"})
        self.assertIn("in use", self.message("POST", f"/volumes/{name}", 400, {"from_volume": name, "from_snapshot": "one"}))
        self.call("GET", f"/volumes/{unique('nosuch')}/snapshots", 404)


class Locks(CernTest):
    def test_one_host_holds_a_lock(self):
        name = unique("locked")
        self.create(name)
        self.assertEqual(self.call("GET", f"/volumes/{name}/locks", 200), [])
        self.call("PUT", f"/volumes/{name}/locks/host-a", 201)
        self.call("PUT", f"/volumes/{name}/locks/host-a", 201)
        self.assertEqual(self.call("GET", f"/volumes/{name}/locks", 200), [{"host": "host-a"}])
        self.assertIn("host-a", self.message("PUT", f"/volumes/{name}/locks/host-b", 400))
        self.assertFalse(harness.opens(server.nbd_uri(name)), "the plain export is closed while locked")
        self.call("DELETE", f"/volumes/{name}/locks/host-b", 204)
        self.assertEqual(self.call("GET", f"/volumes/{name}/locks", 200), [{"host": "host-a"}])
        self.call("DELETE", f"/volumes/{name}/locks/host-a", 204)
        self.assertEqual(self.call("GET", f"/volumes/{name}/locks", 200), [])
        self.assertTrue(harness.opens(server.nbd_uri(name)))

    def test_a_lock_on_nothing_is_not_found(self):
        self.message("PUT", f"/volumes/{unique('nosuch')}/locks/host-a", 404)


if __name__ == "__main__":
    harness.main()
