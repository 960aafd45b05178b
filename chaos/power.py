"""D1, F02: what was acknowledged is there after the power was cut.

The store lies on an ext4 file system of its own, on a loop device. The cut is the file system's own shutdown ioctl without
flushing its log: from that moment nothing reaches the disk, as if the plug had been pulled. Then everything is killed, the
file system unmounted and mounted anew, which replays what had reached it. Needs root.
"""
import fcntl
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time

import kills
import rig

SHUTDOWN, WITHOUT_LOG = 0x8004587D, (2).to_bytes(4, "little")


class Disk:
    """An ext4 file system in a file."""

    def __init__(self, megabytes=1024):
        self.folder = tempfile.mkdtemp(prefix="sparsefit-power-")
        self.image, self.path = os.path.join(self.folder, "image"), os.path.join(self.folder, "disk")
        os.chmod(self.folder, 0o755)  # PostgreSQL runs as another user
        os.mkdir(self.path)
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)

    def cut(self):
        handle = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(handle, SHUTDOWN, WITHOUT_LOG)
        os.close(handle)

    def remount(self):
        for _ in range(400):
            if subprocess.run(["umount", self.path], capture_output=True).returncode == 0:
                return self.mount()
            time.sleep(0.05)
        users = subprocess.run(["fuser", "-vm", self.path], capture_output=True, text=True) if shutil.which("fuser") else None
        raise RuntimeError("the disk is busy" + (f":\n{users.stdout}{users.stderr}" if users else ""))

    def remove(self):
        subprocess.run(["umount", "-l", self.path], capture_output=True)
        subprocess.run(["rm", "-rf", self.folder], check=True)


def possible():
    return os.getuid() == 0 and os.path.exists("/dev/loop-control")


def run(engine, cuts=20, seed=2):
    if not possible():
        return "NOT RUN: needs root and loop devices", ["not run"]
    rng, disk, journal = random.Random(seed), Disk(), kills.Journal()
    lost, cluster, process = [], None, None
    try:
        database = None
        if engine == "postgres":
            cluster = rig.Postgres(disk.path).start()
            database = cluster.create("power")
        process = rig.Process(os.path.join(disk.path, "data"), "--workers", "1", database=database)
        process.start()
        assert rig.upload(process.client(), "tiny").status == 201
        for cut in range(cuts):
            stop = threading.Event()
            clients = rig.Threads(kills.CLIENTS, lambda k: kills.client_loop(process, journal, stop, 1000 * cut + k, tolerant=True))
            time.sleep(rng.uniform(0.3, 1.5))
            disk.cut()
            process.kill()
            if cluster:
                cluster.kill()
            stop.set()
            clients.join()
            time.sleep(0.1)
            disk.remount()
            if cluster:
                left = os.path.join(cluster.data, "postmaster.pid")
                if os.path.exists(left):
                    os.unlink(left)
                cluster.start()
            process.start()
            rig.say(f"  power cut {cut + 1} of {cuts}: {journal.acknowledged()} acknowledged so far")
        client = process.client(timeout=60)
        rig.drained(client)
        lost = kills.losses(client, journal)
        process.stop()
    finally:
        if process:
            process.process and process.process.poll() is None and process.kill()
        if cluster:
            cluster.remove()
        disk.remove()
    return f"{len(lost)} lost of {journal.acknowledged()} acknowledged, {journal.unknown} unanswered, {cuts} power cuts", lost
