"""libnbd, nbdinfo, nbdcopy, qemu and fio on the exports of a running server."""

import hashlib
import json
import os
import socket
import struct
import unittest

import harness
import nbd

server = None

MIB = 1 << 20


def setUpModule():
    global server
    server = harness.Server().start()


def tearDownModule():
    server.close()


def volume(name, size="64MiB"):
    """A new volume; returns its URI."""
    server.cli("volume", "create", name, "--size", size)
    return server.nbd_uri(name)


def handle(uri):
    """A libnbd connection."""
    connection = nbd.NBD()
    connection.connect_uri(uri)
    return connection


class Exports(unittest.TestCase):
    def test_the_list_shows_plain_exports_only(self):
        volume("listed")
        # An attachment has an export of its own, which nobody may guess.
        token = server.env("storpool")["SP_AUTH_TOKEN"]
        attached = server.http(
            "POST",
            "/ctrl/1.0/VolumesReassign",
            [{"volume": "listed", "rw": [9]}],
            {"Authorization": f"Storpool v1:{token}"},
        )
        self.assertEqual(attached.status, 200, attached)
        env = server.env("nbd")
        root = f"nbd://{env['NBD_HOST']}:{env['NBD_PORT']}"
        shown = json.loads(harness.run("nbdinfo", "--list", "--json", root).stdout)["exports"]
        names = {export["export-name"] for export in shown}
        self.assertIn("listed", names)
        handles = {each["handle"] for noun in ("volume", "snapshot") for each in server.cli_json(noun, "list")}
        self.assertEqual(names - handles, set())

    def test_size_and_abilities_are_told(self):
        uri = volume("told", "96MiB")
        info = json.loads(harness.run("nbdinfo", "--json", uri).stdout)["exports"][0]
        self.assertEqual(info["export-size"], 96 * MIB)
        for ability in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn"):
            self.assertTrue(info[ability], ability)
        self.assertFalse(info["is_read_only"])
        connection = handle(uri)
        self.assertLessEqual(connection.get_block_size(nbd.SIZE_MINIMUM), 512)
        self.assertEqual(connection.get_block_size(nbd.SIZE_MAXIMUM), 32 * MIB)
        connection.shutdown()

    def test_unknown_exports_are_refused(self):
        self.assertFalse(harness.opens(server.nbd_uri("nosuch")))
        self.assertFalse(harness.opens(server.nbd_uri("x" * 4000)))
        self.assertFalse(harness.opens(server.nbd_uri("")))

    def test_the_old_way_to_ask_for_an_export_works(self):
        uri = volume("old-way")
        connection = nbd.NBD()
        connection.set_handshake_flags(0)
        connection.connect_uri(uri)
        self.assertEqual(connection.get_size(), 64 * MIB)
        connection.pwrite(b"\x5a" * 4096, 0)
        self.assertEqual(connection.pread(4096, 0), b"\x5a" * 4096)
        connection.shutdown()

    def test_the_unix_socket_shows_the_same_bytes(self):
        uri = volume("both")
        harness.fill(uri, 0x19)
        self.assertTrue(harness.holds(server.nbd_unix_uri("both"), 0x19))

    def test_snapshots_are_read_only(self):
        uri = volume("frozen")
        harness.fill(uri, 0x41)
        server.cli("volume", "snapshot", "frozen", "s")
        harness.fill(uri, 0x42)
        connection = handle(server.nbd_uri("frozen@s"))
        self.assertTrue(connection.is_read_only())
        self.assertEqual(connection.pread(512, 0), b"\x41" * 512)
        connection.set_strict_mode(0)
        with self.assertRaises(nbd.Error):
            connection.pwrite(b"\x43" * 512, 0)
        connection.shutdown()
        self.assertTrue(harness.holds(server.nbd_uri("frozen@s"), 0x41))


class Requests(unittest.TestCase):
    def test_sectors_are_written_without_touching_their_neighbours(self):
        uri = volume("sectors")
        harness.fill(uri, 0x11)
        harness.qemu_io(
            uri,
            "write -P 0x22 512 512",
            "write -P 0x33 5120 1024",
            "read -P 0x11 0 512",
            "read -P 0x22 512 512",
            "read -P 0x11 1024 4096",
            "read -P 0x33 5120 1024",
            "read -P 0x11 6144 4096",
        )

    def test_zeroes_and_trims(self):
        uri = volume("zeroes")
        harness.fill(uri, 0x77, "0", "8M")
        harness.qemu_io(
            uri,
            "write -z 1M 1M",
            "write -z -u 3M 4096",
            "discard 4M 1M",
            "read -P 0x77 0 1M",
            "read -P 0 1M 1M",
            "read -P 0x77 2M 1M",
            "read -P 0 3M 4096",
            "read -P 0x77 5M 1M",
        )

    def test_the_largest_request_works_and_a_larger_one_is_refused(self):
        connection = handle(volume("large", "128MiB"))
        data = os.urandom(32 * MIB)
        connection.pwrite(data, MIB)
        self.assertEqual(connection.pread(32 * MIB, MIB), data)
        connection.set_strict_mode(0)
        with self.assertRaises(nbd.Error):
            connection.pread(32 * MIB + 512, 0)
        self.assertTrue(harness.opens(server.nbd_uri("large")))

    def test_requests_beyond_the_end_are_refused_and_write_nothing(self):
        connection = handle(volume("end"))
        connection.set_strict_mode(0)
        for call in (
            lambda: connection.pread(4096, 64 * MIB),
            lambda: connection.pwrite(b"\x01" * 4096, 64 * MIB - 2048),
            lambda: connection.zero(4096, (1 << 64) - 4096),
        ):
            with self.assertRaises(nbd.Error):
                call()
        connection.shutdown()
        self.assertTrue(harness.holds(server.nbd_uri("end"), 0, "0", "64M"))

    def test_connections_see_each_other_after_a_flush(self):
        uri = volume("many")
        first, second = handle(uri), handle(uri)
        self.assertTrue(first.can_multi_conn())
        for at in range(64):
            first.pwrite(bytes([at]) * 4096, at * 4096)
        first.flush()
        for at in range(64):
            self.assertEqual(second.pread(4096, at * 4096), bytes([at]) * 4096)
        first.shutdown()
        second.shutdown()

    def test_many_requests_in_flight_keep_their_data_apart(self):
        connection = handle(volume("flight"))
        blocks = {at: os.urandom(4096) for at in range(1024)}
        buffers = {at: nbd.Buffer.from_bytearray(bytearray(data)) for at, data in blocks.items()}
        cookies = [connection.aio_pwrite(buffers[at], at * 4096) for at in blocks]
        while connection.aio_in_flight() > 0:
            connection.poll(-1)
        for cookie in cookies:
            # Raises if the write failed.
            self.assertTrue(connection.aio_command_completed(cookie))
        connection.flush()
        for at, data in blocks.items():
            self.assertEqual(connection.pread(4096, at * 4096), data)
        connection.shutdown()


class Structured(unittest.TestCase):
    """What libnbd negotiates by itself, seen from inside."""

    def opened(self, name):
        connection = nbd.NBD()
        connection.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
        connection.connect_uri(volume(name))
        self.assertTrue(connection.get_structured_replies_negotiated())
        self.assertTrue(connection.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION))
        return connection

    def test_reads_leave_holes_out_unless_told_not_to(self):
        connection = self.opened("holes")
        for ability in (connection.can_df, connection.can_cache, connection.can_fast_zero):
            self.assertTrue(ability())
        connection.pwrite(b"\x07" * 8192, 65536)
        pieces = []
        seen = lambda data, offset, status, error: pieces.append((offset, len(data), status))
        expected = bytes(65536) + b"\x07" * 8192 + bytes(57344)
        self.assertEqual(connection.pread_structured(131072, 0, seen), expected)
        hole, data = nbd.READ_HOLE, nbd.READ_DATA
        self.assertEqual(pieces, [(0, 65536, hole), (65536, 8192, data), (73728, 57344, hole)])
        pieces.clear()
        self.assertEqual(connection.pread_structured(131072, 0, seen, nbd.CMD_FLAG_DF), expected)
        self.assertEqual(pieces, [(0, 131072, data)])
        connection.cache(131072, 0)
        connection.shutdown()

    def test_block_status_follows_writes_and_zeroes(self):
        connection = self.opened("stretches")
        connection.pwrite(b"\x08" * 16384, 4096)
        connection.zero(4096, 8192, nbd.CMD_FLAG_FAST_ZERO)
        told = []
        take = lambda context, offset, entries, error: told.append((context, offset, list(entries)))
        connection.block_status(65536, 0, take)
        stretches = [4096, 3, 4096, 0, 4096, 3, 8192, 0, 45056, 3]
        self.assertEqual(told, [(nbd.CONTEXT_BASE_ALLOCATION, 0, stretches)])
        told.clear()
        connection.block_status(65536, 4096, take, nbd.CMD_FLAG_REQ_ONE)
        self.assertEqual(told[0][2], [4096, 0])
        connection.shutdown()


class Programs(unittest.TestCase):
    def test_nbdcopy_carries_a_file_in_and_out(self):
        uri = volume("copied")
        source, target = server.folder / "copy-in", server.folder / "copy-out"
        source.write_bytes(os.urandom(24 * MIB) + bytes(16 * MIB) + os.urandom(24 * MIB))
        harness.run("nbdcopy", "--flush", source, uri)
        harness.run("nbdcopy", uri, target)
        same = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
        self.assertEqual(same(source), same(target))

    def test_qemu_img_converts(self):
        uri = volume("converted")
        harness.fill(uri, 0x66, "8M", "8M")
        image = server.folder / "converted.qcow2"
        harness.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, image)
        self.assertIn("identical", harness.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri, image).stdout)

    def test_maps_show_where_data_is(self):
        uri = volume("mapped", "1GiB")
        harness.fill(uri, 0x3C, "256M", "1M")
        shown = json.loads(harness.run("nbdinfo", "--map", "--json", uri).stdout)
        data = [(each["offset"], each["length"]) for each in shown if each["type"] == 0]
        self.assertEqual(data, [(256 * MIB, MIB)])
        self.assertEqual(sum(each["length"] for each in shown), 1 << 30)
        shown = json.loads(harness.run("qemu-img", "map", "-f", "raw", "--output=json", uri).stdout)
        data = [(each["start"], each["length"]) for each in shown if not each["zero"]]
        self.assertEqual(data, [(256 * MIB, MIB)])

    def test_copies_of_thin_volumes_move_what_is_stored(self):
        uri = volume("sparse", "16GiB")
        harness.fill(uri, 0x3D, "8G", "1M")
        copy = server.folder / "sparse-copy"
        # 16 GiB would not go over the socket in this time, nor onto this disk.
        harness.run("nbdcopy", uri, copy, timeout=60)
        self.assertEqual(copy.stat().st_size, 16 << 30)
        self.assertLessEqual(copy.stat().st_blocks * 512, 2 * MIB)
        image = server.folder / "sparse.qcow2"
        harness.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, image, timeout=60)
        self.assertLessEqual(image.stat().st_blocks * 512, 8 * MIB)
        self.assertIn("identical", harness.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri, image).stdout)

    def test_fio_verifies_what_it_wrote(self):
        uri = volume("fio", "128MiB")
        harness.run(
            "fio", "--name=verify", "--ioengine=nbd", f"--uri={uri}", "--rw=randwrite", "--bsrange=512-64k",
            "--bs_unaligned=0", "--blockalign=512", "--size=64m", "--iodepth=16", "--verify=crc32c", "--do_verify=1",
            "--verify_fatal=1", "--fsync=64", "--randrepeat=0", f"--aux-path={server.folder}",
        )


class Sessions(unittest.TestCase):
    """An open session on a plain export is no attachment, but what would pull the ground from it is refused."""

    def test_delete_shrink_and_roll_back_wait_for_the_peer(self):
        connection = handle(volume("busy"))
        connection.pwrite(b"\x01" * 4096, 0)
        server.cli("volume", "snapshot", "busy", "s")
        for command in (
            ("volume", "delete", "busy"),
            ("volume", "resize", "busy", "32MiB", "--shrink"),
            ("volume", "rollback", "busy", "s"),
        ):
            refused = server.cli(*command, check=False)
            self.assertNotEqual(refused.returncode, 0, command)
            self.assertIn("127.0.0.1", refused.stderr, command)
        connection.pwrite(b"\x02" * 4096, 0)
        self.assertEqual(connection.pread(4096, 0), b"\x02" * 4096)
        connection.shutdown()
        server.cli("volume", "rollback", "busy", "s")
        self.assertTrue(harness.holds(server.nbd_uri("busy"), 0x01, "0", "4096"))

    def test_force_cuts_the_peer(self):
        connection = handle(volume("forced"))
        connection.pwrite(b"\x01" * 4096, 0)
        server.cli("volume", "delete", "forced", "--force")
        with self.assertRaises(nbd.Error):
            for _ in range(3):
                connection.pread(4096, 0)
        self.assertFalse(harness.opens(server.nbd_uri("forced")))


class SeveralReactors(Programs, Sessions):
    """The same where connections are served by other threads than their volumes."""

    @classmethod
    def setUpClass(cls):
        global server
        cls.usual = server
        settings = server.folder / "reactors.toml"
        settings.write_text("[engine]\nreactors = 3\n")
        server = harness.Server(["--config", str(settings)]).start()

    @classmethod
    def tearDownClass(cls):
        global server
        server.close()
        server = cls.usual


class Limits(unittest.TestCase):
    def resident(self):
        """Bytes of memory that the server holds."""
        for line in open(f"/proc/{server.pid}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        raise AssertionError("no VmRSS")

    def test_a_huge_thin_volume_costs_little_memory(self):
        before = self.resident()
        connection = handle(volume("huge", "1TiB"))
        last = (1 << 40) - 4096
        for offset in (0, 1 << 39, last):
            connection.pwrite(b"\x4d" * 4096, offset)
        connection.flush()
        self.assertEqual(connection.pread(4096, last), b"\x4d" * 4096)
        self.assertEqual(connection.pread(4096, 1 << 38), bytes(4096))
        self.assertLess(self.resident() - before, 64 * MIB)
        connection.shutdown()

    def test_a_full_host_is_no_space_and_nothing_worse(self):
        place = server.folder / "small"
        place.mkdir()
        mounted = harness.run("mount", "-t", "tmpfs", "-o", "size=96m", "parpen-test", place, check=False)
        if mounted.returncode != 0:
            self.skipTest("a small file system needs the right to mount")
        self.addCleanup(harness.run, "umount", "--lazy", place)
        server.cli("pool", "create", "small", "--driver", "local", "--path", place / "pool.img")
        server.cli("volume", "create", "full", "--size", "1GiB", "--pool", "small")
        connection = handle(server.nbd_uri("full"))
        connection.pwrite(b"\x51" * MIB, 0)
        connection.flush()
        with self.assertRaises(nbd.Error) as caught:
            for at in range(1, 256):
                connection.pwrite(os.urandom(MIB), at * MIB)
                connection.flush()
        self.assertEqual(caught.exception.errno, "ENOSPC")
        self.assertEqual(connection.pread(MIB, 0), b"\x51" * MIB)
        connection.shutdown()
        server.cli("volume", "delete", "full")
        server.cli("pool", "delete", "small")


class Hostility(unittest.TestCase):
    """A malformed or hostile client costs only its own connection."""

    MAGIC = b"NBDMAGICIHAVEOPT"

    def greeted(self):
        env = server.env("nbd")
        peer = socket.create_connection((env["NBD_HOST"], int(env["NBD_PORT"])), timeout=10)
        greeting = b""
        while len(greeting) < 18:
            greeting += peer.recv(18 - len(greeting))
        self.assertTrue(greeting.startswith(self.MAGIC))
        return peer

    def drain(self, peer):
        try:
            while peer.recv(65536):
                pass
        except OSError:
            pass
        peer.close()

    def test_bad_clients_leave_others_alone(self):
        uri = volume("alone")
        friend = handle(uri)
        option = lambda number, data, length=None: struct.pack(
            ">8sII", b"IHAVEOPT", number, len(data) if length is None else length
        ) + data
        attacks = {
            "nothing": b"",
            "noise": os.urandom(4096),
            "unknown flags": struct.pack(">I", 0xFFFFFFFF),
            "half an option": struct.pack(">I", 3) + b"IHAVE",
            "a huge option": struct.pack(">I", 3) + option(7, b"x" * 64, 0xFFFFFFFF),
            "a lying name length": struct.pack(">I", 3) + option(7, struct.pack(">I", 0xFFFFFFF0) + b"alone"),
            "a name that is no text": struct.pack(">I", 3) + option(1, b"\xff\xfe\x00"),
            "a bad request magic": struct.pack(">I", 3) + option(1, b"alone") + os.urandom(28),
            "a huge write": struct.pack(">I", 3)
            + option(1, b"alone")
            + struct.pack(">IHHQQI", 0x25609513, 0, 1, 1, 0, 0xFFFFFFFF),
            "an unknown command": struct.pack(">I", 3)
            + option(1, b"alone")
            + struct.pack(">IHHQQI", 0x25609513, 0xFFFF, 0x7777, 1, 0, 4096),
        }
        for name, data in attacks.items():
            with self.subTest(name):
                peer = self.greeted()
                peer.sendall(data)
                peer.shutdown(socket.SHUT_WR)
                self.drain(peer)
                friend.pwrite(b"\x2b" * 512, 0)
                self.assertEqual(friend.pread(512, 0), b"\x2b" * 512)
        friend.shutdown()
        self.assertTrue(server.alive())
        server.check_log()

    def test_unknown_options_are_refused_politely(self):
        peer = self.greeted()
        peer.sendall(struct.pack(">I", 3) + struct.pack(">8sII", b"IHAVEOPT", 0x1234, 0))
        magic, option, reply, length = struct.unpack(">QIII", peer.recv(20, socket.MSG_WAITALL))
        self.assertEqual((magic, option, reply), (0x3E889045565A9, 0x1234, 0x80000001))
        peer.recv(length, socket.MSG_WAITALL)
        # Abort is answered, and the connection ends.
        peer.sendall(struct.pack(">8sII", b"IHAVEOPT", 2, 0))
        magic, option, reply, length = struct.unpack(">QIII", peer.recv(20, socket.MSG_WAITALL))
        self.assertEqual((option, reply, length), (2, 1, 0))
        self.assertEqual(peer.recv(1), b"")
        peer.close()


if __name__ == "__main__":
    harness.main()
