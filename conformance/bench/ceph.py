"""Ceph RBD: one monitor and one object store of one copy on a file beside the others', asked by librbd."""

import os
import shutil
import socket
import subprocess
import uuid

import harness
from jobs import GIB
from targets import Target, fio, stop

PROGRAMS = ("ceph-mon", "ceph-osd", "ceph", "monmaptool", "rbd")
# Nobody else reaches it, so nobody has to show who they are. The others do without a cache, so it does.
CONFIG = """[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{port}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
public_network = 127.0.0.0/8
ms_bind_ipv6 = false
run_dir = {folder}
log_file = {folder}/$name.log
mon_cluster_log_file = {folder}/cluster.log
crash_dir = {folder}
mon_data = {folder}/mon
osd_data = {folder}/osd
osd_objectstore = bluestore
bluestore_block_size = {size}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
rbd_cache = false
"""


def missing():
    """Programs that it needs and that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class CephRbd(Target):
    """The network, the cluster's protocol and its store, as a machine of its own would have them."""

    name, what = "ceph-rbd", "Ceph RBD by librbd, one bluestore OSD on a file, one copy, no cache"
    monitor = None

    def start(self, source):
        folder = self.folder / "ceph"
        (folder / "mon").mkdir(parents=True)
        (folder / "osd").mkdir()
        fsid, port = str(uuid.uuid4()), free_port()
        config = folder / "ceph.conf"
        config.write_text(CONFIG.format(fsid=fsid, port=port, folder=folder, size=8 * GIB))
        # What fio's own librbd reads, too.
        os.environ["CEPH_CONF"] = str(config)
        monmap = folder / "monmap"
        harness.run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{port}]", monmap)
        harness.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self.monitor = self.serve("ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        harness.run("ceph", "osd", "new", osd, "0")
        harness.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.process = self.serve("ceph-osd", "-i", "0")
        harness.wait_until("the OSD", lambda: '"num_up_osds":1' in harness.run("ceph", "osd", "stat", "-f", "json").stdout)
        harness.run("ceph", "osd", "pool", "create", "rbd", "32", "32")
        harness.run("rbd", "pool", "init", "rbd")
        # Without the lock of one writer, which four connections would hand to and fro.
        harness.run("rbd", "import", "--image-feature", "layering", source, "rbd/bench", timeout=600)

    @staticmethod
    def serve(*args):
        """A server that ends with us."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *args, "-f"], stdout=quiet, stderr=quiet)

    def once(self, job, seconds):
        return fio(job, seconds, self.folder, "fsync", "--ioengine=rbd", "--clientname=admin", "--pool=rbd", "--rbdname=bench")

    def close(self):
        super().close()
        if self.monitor is not None:
            self.monitor.terminate()
            stop(self.monitor)
