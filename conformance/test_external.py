"""A real Keystone and a real Glance beside the server: their users, their images, and what happens when they are away."""

import hashlib
import json
import os
import unittest
import uuid

import beside
import harness
import openstack
from openstack import exceptions

MIB = 1 << 20
CACHE_SECONDS = 2

cloud = None
server = None
admin = ada = rita = eve = None
catalog = {}


def setUpModule():
    global cloud, server
    cloud = beside.Cloud().start()
    make_people()
    account = cloud.folder / "account.toml"
    account.write_text(f'username = "parpen"\npassword = "{beside.PASSWORD}"\nproject_name = "service"\n')
    settings = cloud.folder / "parpen.toml"
    settings.write_text(
        f'[identity]\nurl = "{cloud.keystone.url}/v3"\ncredentials_file = "{account}"\n'
        f'cache_seconds = {CACHE_SECONDS}\n[images]\nurl = "{cloud.glance.url}"\n'
    )
    server = harness.Server(["--config", str(settings)])
    begin()


def tearDownModule():
    try:
        if server is not None:
            server.close()
    finally:
        cloud.close()


def connect(user="admin", project="admin", **more):
    """A connection of a user, who finds everything in Keystone's catalogue."""
    wanted = dict(
        auth_url=f"{cloud.keystone.url}/v3", username=user, password=beside.PASSWORD, project_name=project,
        user_domain_name="Default", project_domain_name="Default", region_name="RegionOne",
    )
    return openstack.connect(**dict(wanted, **more))


def make_people():
    """Three users in two projects, and the server's own account."""
    identity = connect().identity
    roles = {role.name: role for role in identity.roles()}
    projects = {name: identity.create_project(name=name, domain_id="default") for name in ("lab", "other", "service")}
    for user, project, role in [
        ("ada", "lab", "member"), ("rita", "lab", "reader"), ("eve", "other", "member"), ("parpen", "service", "admin"),
    ]:
        made = identity.create_user(name=user, password=beside.PASSWORD, domain_id="default")
        identity.assign_project_role_to_user(projects[project], made, roles[role])
    for kind in ("image", "block-storage"):
        service = identity.create_service(type=kind, name=kind)
        url = cloud.glance.url if kind == "image" else "http://127.0.0.1:1"
        catalog[kind] = identity.create_endpoint(
            service_id=service.id, interface="public", url=url, region_id="RegionOne"
        )


def begin():
    """Start the server, tell Keystone where it is, and log everybody in."""
    global admin, ada, rita, eve
    server.start()
    connect().identity.update_endpoint(catalog["block-storage"], url=f"{server.base}/volume/v3")
    admin, ada, rita, eve = connect(), connect("ada", "lab"), connect("rita", "lab"), connect("eve", "other")


def unique(word):
    """A name that no other test uses."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


def ready(volume, of=None, seconds=120):
    """Wait for a volume to be usable."""
    storage = (of or ada).block_storage
    return storage.wait_for_status(volume, "available", failures=["error"], interval=0.2, wait=seconds)


def make_volume(of=None, **attrs):
    """A new volume that is ready."""
    made = (of or ada).block_storage.create_volume(size=1, name=unique("volume"), **attrs)
    return ready(made, of)


def get(token, path="/volumes", **headers):
    """A raw request with a token."""
    return server.http("GET", f"/volume/v3{path}", headers={"X-Auth-Token": token, **headers})


def random_disk(name, mib=24):
    """A file with some data, some zeros, and an end that is no whole window."""
    path = cloud.folder / name
    with open(path, "wb") as file:
        for at in (0, 5, mib - 2):
            file.seek(at * MIB)
            file.write(os.urandom(MIB))
        file.truncate(mib * MIB - 4096)
    return path


def make_image(path, disk_format="raw", of=None, **attrs):
    """An image in Glance with a file's bytes."""
    image = (of or ada).image.create_image(
        unique("image"), filename=str(path), disk_format=disk_format, container_format="bare", wait=True, **attrs
    )
    return (of or ada).image.get_image(image.id)


def holds_disk(volume, path):
    """Whether a volume begins with a raw file's bytes and is zero behind them."""
    uri = server.nbd_uri(volume.id)
    # Comparing disks of different sizes, it takes what one lacks for zeros.
    return harness.run("qemu-img", "compare", "-f", "raw", "-F", "raw", path, uri, check=False).returncode == 0


def assert_fails(test, volume, why):
    """A volume ends in error; its owner has a message, and the operator is told why."""
    with test.assertRaises(exceptions.ResourceFailure):
        ready(volume)
    headers = {"OpenStack-API-Version": "volume 3.71"}

    def message():
        every = ada.block_storage.get("/messages", headers=headers).json()["messages"]
        return [m for m in every if m["resource_uuid"] == volume.id]

    test.assertEqual(harness.wait_until("the message", message)[0]["message_level"], "ERROR")
    test.assertIn(why, json.dumps(server.cli_json("volume", "show", volume.id)))


def half_images():
    """Images in Glance without all of their bytes."""
    return [i.id for i in admin.image.images() if i.status not in ("active", "deactivated")]


def stored():
    """How many bytes the server keeps on disk."""
    return 512 * sum(path.stat().st_blocks for path in (server.data / "pools").rglob("*") if path.is_file())


class Tokens(unittest.TestCase):
    """Keystone's users, and nobody else."""

    def assert_status(self, answer, status):
        """An answer's status; a failure shows what it said."""
        self.assertEqual(answer.status, status, answer)

    def test_roles_are_keystones(self):
        volume = make_volume()
        self.assertEqual(rita.block_storage.get_volume(volume.id).name, volume.name)
        with self.assertRaises(exceptions.ForbiddenException):
            rita.block_storage.create_volume(size=1)
        with self.assertRaises(exceptions.NotFoundException):
            eve.block_storage.get_volume(volume.id)
        self.assertNotIn(volume.id, [v.id for v in eve.block_storage.volumes()])
        seen = [v for v in admin.block_storage.volumes(all_projects=True) if v.id == volume.id]
        self.assertEqual(seen[0].project_id, ada.current_project_id)
        self.assertIn("lab", [p["name"] for p in server.cli_json("project", "list")])

    def test_scopes(self):
        volume = make_volume()
        system = connect(project=None, project_domain_name=None, system_scope="all").auth_token
        answer = get(system, "/volumes/detail?all_tenants=1")
        self.assertEqual(answer.status, 200, answer)
        self.assertIn(volume.id, [v["id"] for v in answer.json()["volumes"]])
        unscoped = connect("ada", project=None, project_domain_name=None).auth_token
        self.assert_status(get(unscoped), 403)
        self.assert_status(get(ada.auth_token, f"/{eve.current_project_id}/volumes"), 400)

    def test_foreign_and_cut_tokens_are_unauthorized(self):
        token = ada.auth_token
        for text in ("x", token[:-6], token[:40], "gAAAA" + token[5:][::-1], "z" * 4000, "z" * 9000):
            answer = get(text)
            self.assertEqual(answer.status, 401, f"{text[:50]}: {answer}")
            self.assertIn(cloud.keystone.url, answer.headers["WWW-Authenticate"])
            self.assertEqual(answer.json()["unauthorized"]["code"], 401)
        # A secret of the server's own opens nothing on this side.
        secrets = json.loads((server.data / "credentials.json").read_text())["secrets"]
        for secret in secrets.values():
            self.assert_status(get(secret), 401)

    def test_a_revoked_token_ends(self):
        token = connect("ada", "lab").auth_token
        self.assert_status(get(token), 200)
        admin.session.delete(
            f"{cloud.keystone.url}/v3/auth/tokens", headers={"X-Subject-Token": token}, authenticated=True
        )
        harness.wait_until("the token ends", lambda: get(token).status == 401)

    def test_a_role_that_was_taken_away_ends(self):
        identity = connect().identity
        user = identity.create_user(name=unique("user"), password=beside.PASSWORD, domain_id="default")
        lab = identity.find_project("lab")
        identity.assign_project_role_to_user(lab, user, identity.find_role("member"))
        theirs = connect(user.name, "lab")
        self.assert_status(get(theirs.auth_token), 200)
        identity.unassign_project_role_from_user(lab, user, identity.find_role("member"))
        harness.wait_until("the token ends", lambda: get(theirs.auth_token).status == 401)

    def test_the_command_line(self):
        env = dict(harness.clean_environment(), **cloud.environment("ada", project="lab"))

        def osc(*args):
            return harness.run(harness.venv("openstack", "openstack"), *args, "-f", "json", env=env).stdout

        name = unique("volume")
        made = json.loads(osc("volume", "create", name, "--size", "1"))
        harness.wait_until("the volume", lambda: json.loads(osc("volume", "show", made["id"]))["status"] == "available")
        self.assertIn(name, [v["Name"] for v in json.loads(osc("volume", "list"))])

    def test_who_asks_here_is_shown_the_way(self):
        where = server.http("GET", "/identity").json()["versions"]["values"][0]["links"][0]["href"]
        self.assertEqual(where, f"{cloud.keystone.url}/v3/")
        with self.assertRaises(exceptions.SDKException) as refused:
            connect("ada", "lab", auth_url=f"{server.base}/identity").authorize()
        self.assertIn(cloud.keystone.url, str(refused.exception))
        answer = server.http("POST", "/identity/v3/auth/tokens", {"auth": {}})
        self.assertEqual(answer.status, 501)
        self.assertIn(cloud.keystone.url, answer.json()["error"]["message"])
        said = server.cli("env", "openstack", check=False)
        self.assertNotEqual(said.returncode, 0)
        self.assertIn(cloud.keystone.url, said.stderr)

    def test_keystone_away_and_back(self):
        token = connect("ada", "lab").auth_token
        self.assert_status(get(token), 200)
        cloud.keystone.stop()
        try:
            answer = harness.wait_until(
                "the cache ends", lambda: (lambda a: a if a.status != 200 else None)(get(token))
            )
            self.assertEqual(answer.status, 503)
            self.assertIn("cannot be reached", answer.json()["serviceUnavailable"]["message"])
            self.assert_status(get("x"), 503)
            # The other sides know their own.
            self.assertEqual(server.cli("volume", "list").returncode, 0)
            sp = server.env("storpool")["SP_AUTH_TOKEN"]
            other = server.http("GET", "/ctrl/1.0/VolumesList", headers={"Authorization": f"Storpool v1:{sp}"})
            self.assertEqual(other.status, 200)
        finally:
            cloud.keystone.start()
        harness.wait_until("Keystone is believed again", lambda: get(token).status == 200)


class Images(unittest.TestCase):
    """Glance's images in and out of volumes."""

    def test_raw_and_qcow2_fill_volumes(self):
        raw = random_disk("raw")
        packed = cloud.folder / "packed.qcow2"
        harness.run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", raw, packed)
        for path, disk_format in ((raw, "raw"), (packed, "qcow2")):
            with self.subTest(disk_format):
                image = make_image(path, disk_format, hw_disk_bus="virtio")
                volume = make_volume(image_id=image.id)
                self.assertTrue(holds_disk(volume, raw))
                kept = ada.block_storage.get_volume(volume.id).volume_image_metadata
                self.assertEqual((kept["image_id"], kept["hw_disk_bus"]), (image.id, "virtio"))
        self.assertEqual(list((server.data / "spool").iterdir()), [])

    def test_only_images_that_one_may_use(self):
        image = make_image(random_disk("mine"))
        with self.assertRaises(exceptions.BadRequestException) as refused:
            eve.block_storage.create_volume(size=1, image_id=image.id)
        self.assertIn("Invalid image identifier", str(refused.exception))
        ada.image.update_image(image.id, visibility="shared")
        ada.image.add_member(image.id, member=eve.current_project_id)
        self.assertTrue(holds_disk(make_volume(eve, image_id=image.id), cloud.folder / "mine"))
        with self.assertRaises(exceptions.BadRequestException):
            ada.block_storage.create_volume(size=1, image_id=str(uuid.uuid4()))

    def test_volumes_become_images(self):
        raw = random_disk("source")
        volume = make_volume()
        harness.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, server.nbd_uri(volume.id))
        for disk_format in ("raw", "qcow2"):
            with self.subTest(disk_format):
                body = {"os-volume_upload_image": {"image_name": unique("saved"), "disk_format": disk_format}}
                answer = ada.block_storage.post(f"/volumes/{volume.id}/action", json=body)
                self.assertEqual(answer.status_code, 202, answer.text)
                id = answer.json()["os-volume_upload_image"]["image_id"]
                # It is there at once, if without bytes yet.
                self.assertIn(ada.image.get_image(id).status, ("queued", "saving", "active"))
                image = harness.wait_until(
                    "the image", lambda: (lambda i: i if i.status == "active" else None)(ada.image.get_image(id)), 120
                )
                self.assertEqual(image.owner_id, ada.current_project_id)
                ready(ada.block_storage.get_volume(volume.id))
                path = cloud.folder / f"saved.{disk_format}"
                with open(path, "wb") as file:
                    for piece in ada.image.download_image(id, stream=True).iter_content(MIB):
                        file.write(piece)
                self.assertEqual(hashlib.sha512(path.read_bytes()).hexdigest(), image.hash_value)
                compared = harness.run("qemu-img", "compare", "-f", "raw", "-F", disk_format, raw, path, check=False)
                self.assertEqual(compared.returncode, 0, compared.stdout)
        self.assertEqual(half_images(), [])

    def test_bytes_that_are_not_the_images(self):
        image = make_image(random_disk("spoiled"))
        stored = next((cloud.folder / "glance/images").rglob(image.id))
        with open(stored, "r+b") as file:
            file.seek(7)
            file.write(b"spoiled")
        volume = ada.block_storage.create_volume(size=1, name=unique("volume"), image_id=image.id)
        assert_fails(self, volume, "do not match its checksum")

    def test_the_built_in_store_is_closed(self):
        answer = server.http("GET", "/image/v2/images", headers={"X-Auth-Token": ada.auth_token})
        self.assertEqual(answer.status, 501)
        self.assertIn(cloud.glance.url, answer.body.decode())
        self.assertEqual(server.http("GET", "/image").status, 300)
        self.assertNotEqual(server.cli("image", "list", check=False).returncode, 0)

    def test_glance_away_and_back(self):
        image = make_image(random_disk("later"))
        volume = make_volume()
        cloud.glance.stop()
        try:
            with self.assertRaises(exceptions.HttpException) as refused:
                ada.block_storage.create_volume(size=1, image_id=image.id)
            self.assertEqual(refused.exception.status_code, 503)
            body = {"os-volume_upload_image": {"image_name": "never"}}
            answer = ada.block_storage.post(f"/volumes/{volume.id}/action", json=body)
            self.assertEqual(answer.status_code, 503)
            self.assertEqual(ada.block_storage.get_volume(volume.id).status, "available")
        finally:
            cloud.glance.start()
        self.assertTrue(holds_disk(make_volume(image_id=image.id), cloud.folder / "later"))


class Crashes(unittest.TestCase):
    """kill -9 while bytes move."""

    def test_in_the_middle_of_a_download(self):
        big = cloud.folder / "big"
        with open(big, "wb") as file:
            for _ in range(96):
                file.write(os.urandom(MIB))
        image, before = make_image(big), stored()
        volume = ada.block_storage.create_volume(size=1, name=unique("volume"), image_id=image.id)
        harness.wait_until("the download", lambda: stored() > before + 8 * MIB, pause=0.01)
        server.kill()
        begin()
        self.assertTrue(holds_disk(ready(volume), big))

    def test_glance_goes_away_in_the_middle_of_a_download(self):
        big = cloud.folder / "lost"
        with open(big, "wb") as file:
            for _ in range(160):
                file.write(os.urandom(MIB))
        image, before = make_image(big), stored()
        volume = ada.block_storage.create_volume(size=1, name=unique("volume"), image_id=image.id)
        harness.wait_until("the download", lambda: stored() > before + 8 * MIB, pause=0.01)
        cloud.glance.kill()
        try:
            assert_fails(self, volume, "the Glance at")
        finally:
            cloud.glance.start()
        ada.block_storage.delete_volume(volume)

    def test_in_the_middle_of_an_upload(self):
        big = cloud.folder / "out"
        with open(big, "wb") as file:
            for _ in range(96):
                file.write(os.urandom(MIB))
            file.truncate(1024 * MIB)
        volume = make_volume()
        harness.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", big, server.nbd_uri(volume.id))
        body = {"os-volume_upload_image": {"image_name": unique("saved"), "disk_format": "raw"}}
        answer = ada.block_storage.post(f"/volumes/{volume.id}/action", json=body)
        id = answer.json()["os-volume_upload_image"]["image_id"]
        harness.wait_until("the upload", lambda: ada.image.get_image(id).status == "saving", pause=0.01)
        server.kill()
        begin()
        ready(ada.block_storage.get_volume(volume.id), seconds=240)
        # It was finished, or given up with nothing left behind.
        left = [i for i in ada.image.images() if i.id == id]
        if left:
            image = ada.image.get_image(id)
            self.assertEqual((image.status, image.size), ("active", 1024 * MIB))
            self.assertEqual(image.hash_value, hashlib.sha512(big.read_bytes()).hexdigest())
        self.assertEqual(half_images(), [])


if __name__ == "__main__":
    harness.main()
