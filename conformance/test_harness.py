"""The server as a program: start, second start, addresses, restart, end; and the harness itself."""

import json
import pathlib
import subprocess
import unittest

import harness
import nbd

server = None


def setUpModule():
    global server
    server = harness.Server().start()


def tearDownModule():
    server.close()


class Program(unittest.TestCase):
    def test_health_and_metrics_answer(self):
        self.assertEqual(server.http("GET", "/health").status, 200)
        metrics = server.http("GET", "/metrics")
        self.assertEqual(metrics.status, 200)
        self.assertIn(b"# TYPE", metrics.body)

    def test_a_second_server_on_the_same_data_is_refused_with_the_pid(self):
        args = [harness.BINARY, "serve", "--data-dir", server.data, "--listen", "127.0.0.1:0", "--nbd", "127.0.0.1:0"]
        second = harness.run(*args, check=False, timeout=20)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(str(server.pid), second.stdout + second.stderr)

    def test_fsck_refuses_a_running_server(self):
        refused = server.cli("fsck", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(str(server.pid), refused.stdout + refused.stderr)

    def test_a_busy_port_is_named_together_with_its_option(self):
        port = server.base.rsplit(":", 1)[1]
        other = server.folder / "other"
        args = [harness.BINARY, "serve", "--data-dir", other, "--listen", f"127.0.0.1:{port}", "--nbd", "127.0.0.1:0"]
        refused = harness.run(*args, check=False, timeout=20)
        said = refused.stdout + refused.stderr
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(port, said)
        self.assertIn("--listen", said)

    def test_addresses_beyond_loopback_are_refused(self):
        other = server.folder / "outside"
        for option in ("--listen", "--nbd"):
            args = [harness.BINARY, "serve", "--data-dir", other, option, "0.0.0.0:0"]
            self.assertNotEqual(harness.run(*args, check=False, timeout=20).returncode, 0, option)

    def test_env_says_so_when_nothing_runs(self):
        nowhere = server.folder / "nowhere"
        nowhere.mkdir()
        refused = harness.run(harness.BINARY, "env", "nbd", "--data-dir", nowhere, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertEqual(refused.stdout, "")
        self.assertIn(str(nowhere), refused.stderr)

    def test_env_prints_what_each_client_needs(self):
        wanted = {
            "openstack": ["OS_CLIENT_CONFIG_FILE", "OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"],
            "storpool": ["SP_API_HTTP_HOST", "SP_API_HTTP_PORT", "SP_AUTH_TOKEN"],
            "lxd": ["LXD_DIR"],
            "cern": ["CERN_URL", "CERN_USER", "CERN_PASSWORD"],
            "rapyuta": ["RIO_CONFIG", "RIO_AUTH_TOKEN", "RIO_PROJECT"],
            "nbd": ["NBD_HOST", "NBD_PORT", "NBD_SOCKET"],
        }
        for name, variables in wanted.items():
            env = server.env(name)
            for variable in variables:
                self.assertTrue(env.get(variable), f"{name}: {variable}")

    def test_secrets_are_readable_by_the_owner_only_and_not_in_the_database(self):
        password = server.env("cern")["CERN_PASSWORD"].encode()
        for path in pathlib.Path(server.data).rglob("*"):
            if not path.is_file() or path.stat().st_size > 64 << 20:
                continue
            if password in path.read_bytes():
                self.assertEqual(path.stat().st_mode & 0o077, 0, path)
                self.assertNotIn(".sqlite", path.name)
                self.assertNotIn(".db", path.name)

    def test_version_is_printed(self):
        self.assertRegex(harness.run(harness.BINARY, "--version").stdout, r"^parpen \d+\.\d+\.\d+")


class CommandLine(unittest.TestCase):
    def test_a_fresh_directory_has_its_two_pools(self):
        text = json.dumps(server.cli_json("pool", "list"))
        self.assertIn('"local"', text)
        self.assertIn('"dummy"', text)

    def test_a_volume_lives_through_all_its_verbs(self):
        server.cli("volume", "create", "cli-one", "--size", "64MiB")
        uri = server.nbd_uri("cli-one")
        harness.fill(uri, 0x11)
        server.cli("volume", "snapshot", "cli-one", "before")
        harness.fill(uri, 0x22)
        server.cli("volume", "clone", "cli-one@before", "cli-two")
        self.assertTrue(harness.holds(server.nbd_uri("cli-two"), 0x11))
        self.assertTrue(harness.holds(server.nbd_uri("cli-one@before"), 0x11))
        self.assertTrue(harness.holds(uri, 0x22))
        server.cli("volume", "rollback", "cli-one", "before")
        self.assertTrue(harness.holds(uri, 0x11))
        server.cli("volume", "resize", "cli-one", "128MiB")
        self.assertEqual(harness.run("nbdinfo", "--size", uri).stdout.strip(), str(128 << 20))
        server.cli("volume", "rename", "cli-one", "cli-uno")
        self.assertTrue(harness.holds(server.nbd_uri("cli-uno"), 0x11))
        server.cli("volume", "delete", "cli-two")
        self.assertFalse(harness.opens(server.nbd_uri("cli-two")))

    def test_show_prints_handle_aliases_and_uri(self):
        server.cli("volume", "create", "shown", "--size", "8MiB")
        shown = json.dumps(server.cli_json("volume", "show", "shown"))
        self.assertIn('"shown"', shown)
        self.assertIn("nbd://", shown)
        for api in ("openstack", "storpool", "lxd", "cern", "rapyuta"):
            self.assertIn(api, shown)

    def test_import_and_export_carry_the_bytes(self):
        source = server.folder / "in.img"
        source.write_bytes(bytes(range(256)) * 4096 * 4)
        server.cli("volume", "create", "carried", "--size", "4MiB")
        server.cli("volume", "import", "carried", source)
        target = server.folder / "out.img"
        server.cli("volume", "export", "carried", target)
        self.assertEqual(target.read_bytes(), source.read_bytes())

    def test_handles_are_made_from_names(self):
        server.cli("volume", "create", "a b/c", "--size", "8MiB")
        self.assertTrue(harness.opens(server.nbd_uri("a-b-c")))

    def test_unknown_volumes_are_an_error(self):
        refused = server.cli("volume", "show", "nosuch", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("nosuch", refused.stderr)


    def test_pools_are_made_shown_and_deleted(self):
        server.cli("pool", "create", "extra", "--driver", "memory", "--capacity", "256MiB")
        self.assertEqual(server.cli_json("pool", "show", "extra")["driver"], "memory")
        server.cli("volume", "create", "in-extra", "--size", "16MiB", "--pool", "extra")
        harness.fill(server.nbd_uri("in-extra"), 0x17)
        self.assertNotEqual(server.cli("pool", "delete", "extra", check=False).returncode, 0, "it is not empty")
        self.assertTrue(harness.holds(server.nbd_uri("in-extra"), 0x17))
        server.cli("volume", "delete", "in-extra")
        server.cli("pool", "delete", "extra")
        self.assertNotIn("extra", [pool["name"] for pool in server.cli_json("pool", "list")])

    def test_pools_that_would_hide_a_path_are_refused(self):
        for name in ("conf", "v3", "a/b", ""):
            refused = server.cli("pool", "create", name, "--driver", "memory", check=False)
            self.assertNotEqual(refused.returncode, 0, name)


class Credentials(unittest.TestCase):
    def test_rotated_secrets_end_at_once(self):
        own = harness.Server().start()
        try:
            old = own.env("storpool")["SP_AUTH_TOKEN"]
            listing = lambda token: own.http(
                "GET", "/ctrl/1.0/VolumesList", headers={"Authorization": f"Storpool v1:{token}"}
            ).status
            self.assertEqual(listing(old), 200)
            own.cli("credential", "rotate", "storpool")
            new = own.cli("credential", "show", "storpool").stdout.strip()
            self.assertNotEqual(new, old)
            self.assertEqual((listing(old), listing(new)), (401, 200))
        finally:
            own.close()


class Restart(unittest.TestCase):
    def test_volumes_and_bytes_are_there_after_a_restart_and_fsck_is_clean(self):
        own = harness.Server().start()
        try:
            own.cli("volume", "create", "kept", "--size", "16MiB")
            own.cli("volume", "create", "gone", "--size", "16MiB", "--pool", "dummy")
            harness.fill(own.nbd_uri("kept"), 0x33)
            own.stop()
            self.assertEqual(own.cli("fsck").returncode, 0)
            own.start()
            self.assertTrue(harness.holds(own.nbd_uri("kept"), 0x33))
            self.assertFalse(harness.opens(own.nbd_uri("gone")), "rows of the memory pool are removed at start")
        finally:
            own.close()

    def test_an_open_connection_does_not_keep_the_server_from_ending(self):
        own = harness.Server().start()
        try:
            own.cli("volume", "create", "open", "--size", "16MiB")
            connection = nbd.NBD()
            connection.connect_uri(own.nbd_uri("open"))
            connection.pwrite(b"\x61" * 4096, 0)
            connection.flush()
            own.stop()
            own.start()
            self.assertTrue(harness.holds(own.nbd_uri("open"), 0x61, "0", "4096"))
        finally:
            own.close()

    def test_an_idle_server_uses_no_processor_time(self):
        ticks = lambda: sum(int(n) for n in pathlib.Path(f"/proc/{server.pid}/stat").read_text().rsplit(")")[1].split()[11:13])
        before = ticks()
        with self.assertRaises(subprocess.TimeoutExpired):
            server.process.wait(3)
        self.assertLessEqual(ticks() - before, 10, "hundredths of a second in 3 s")


if __name__ == "__main__":
    harness.main()
