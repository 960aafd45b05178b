"""D15, D16, F05, F06: a full disk refuses and recovers; a failed write or sync is never acknowledged."""
import os
import shutil
import subprocess
import tempfile
import threading
import time

import kills
import rig

CALLS = ("fsync", "fdatasync", "pwrite64", "rename", "write")


def full(engine, megabytes=64):
    """A disk that fills up under uploads: 507 and nothing lost, and good again once there is space."""
    if engine != "sqlite" or os.getuid() != 0:
        return "NOT RUN: needs root, and the database on the same disk", ["not run"]
    wrong, folder = [], tempfile.mkdtemp(prefix="sparsefit-full-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", folder], check=True)
    process = rig.Process(os.path.join(folder, "data"), "--workers", "1")
    try:
        client = process.start().client()
        assert rig.upload(client, "tiny").status == 201
        body = b"".join(b"1 %d:0.%d\n" % (k % 90000 + 1, k) for k in range(150_000))
        stored, refused, statuses = {}, 0, {}
        for k in range(400):
            answer = rig.upload(client, f"big{k}", body, patient=False)
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            if answer.status == 201:
                stored[f"big{k}"] = answer.json()["sha256"]
            refused += answer.status == 507
            job = client.ask("POST", "/api/v1/jobs", rig.tiny_fit(model=f"j{k}"))
            if job.status not in (202, 507):
                wrong.append(f"a job was answered {job.status}: {job.body[:200]!r}")
            if refused >= 20:
                break
        if set(statuses) - {201, 507} or not refused:
            wrong.append(f"uploads were answered {statuses}")
        if client.ask("GET", "/livez").status != 200 or client.ask("GET", "/api/v1/datasets").status != 200:
            wrong.append("reads do not work on a full disk")
        for name in list(stored)[: len(stored) // 2]:
            if client.patiently("DELETE", f"/api/v1/datasets/{name}/versions/1").status == 204:
                del stored[name]
        # files without a row are swept within two minutes, by the same process
        end = time.monotonic() + 150
        while rig.upload(client, "after", rig.TINY).status != 201:
            if time.monotonic() > end:
                wrong.append("still full after half of it was deleted")
                break
            time.sleep(0.5)
        for name, sha in stored.items():
            if client.ask("GET", f"/api/v1/datasets/{name}/versions/1").json().get("sha256") != sha:
                wrong.append(f"{name} is not what was acknowledged")
        rig.drained(client)
        process.stop()
    finally:
        process.process.poll() is None and process.kill()
        subprocess.run(["umount", "-l", folder])
        shutil.rmtree(folder, ignore_errors=True)
    return f"{statuses.get(201, 0)} uploads stored, {refused} refused with 507, then good again; {len(wrong)} broken", wrong


def errors(engine, points=30):
    """The n-th write, sync or rename of the process fails with EIO, for many n: nothing acknowledged is missing afterwards."""
    if engine != "sqlite" or not shutil.which("strace"):
        return "NOT RUN: needs strace, on SQLite", ["not run"]
    wrong, acknowledged, ended = [], 0, 0
    for point in range(points):
        call, nth = CALLS[point % len(CALLS)], 3 + 7 * (point // len(CALLS))
        with rig.House(engine) as house:
            good = house.process("--workers", "1").start()
            assert rig.upload(good.client(), "tiny").status == 201
            good.stop()
            inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={nth}+"]
            bad = house.process("--workers", "1", wrapper=inject)
            journal, stop = kills.Journal(), threading.Event()
            try:
                bad.start(seconds=20)
                clients = rig.Threads(3, lambda k: kills.client_loop(bad, journal, stop, k, tolerant=True))
                end = time.monotonic() + 2
                while time.monotonic() < end and bad.process.poll() is None:
                    time.sleep(0.02)
                stop.set()
                clients.join()
            except RuntimeError:
                pass  # it could not even start: nothing was acknowledged
            ended += bad.process.poll() is not None
            bad.kill()
            process = house.process("--workers", "1").start()
            client = process.client(timeout=60)
            rig.drained(client)
            lost = kills.losses(client, journal)
            wrong += [f"{call} fails from the {nth}th on: {what}" for what in lost]
            acknowledged += journal.acknowledged()
            process.stop()
    return f"{points} points (every {', '.join(CALLS)} from the n-th on fails): {len(wrong)} false of {acknowledged} acknowledged; " \
           f"the process ended by itself {ended} times", wrong

