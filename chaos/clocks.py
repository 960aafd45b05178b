"""D13, F24, F25: clocks that jump, and clocks of several machines that disagree. Nothing is lost, doubled or rescued too early."""
import ctypes.util
import glob
import os
import time

import rig
import zombies


def library():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


def run(engine, jumps=("+3600s", "-3600s", "+86400s", "-86400s")):
    """The wall clock of each process jumps while jobs run; on PostgreSQL the clocks of two workers are ten minutes apart."""
    if library() is None:
        return "NOT RUN: needs libfaketime", ["not run"]
    wrong, told = [], 0
    for jump in jumps:
        with rig.House(engine) as house:
            rc = os.path.join(house.folder, "clock")
            open(rc, "w").write("+0s")
            fake = {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": rc, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
            api = house.process("--workers", "1" if engine == "sqlite" else "0", environment=fake).start()
            if engine == "postgres":
                house.process("--workers", "1", word="worker", environment={**fake, "FAKETIME_TIMESTAMP_FILE": rc}).start()
                house.process("--workers", "1", word="worker", environment={"LD_PRELOAD": library(), "FAKETIME": "+600s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}).start()
            client = api.client(timeout=60)
            assert rig.upload(client, "big", zombies.BIG).status == 201 and rig.upload(client, "tiny").status == 201
            slow = client.patiently("POST", "/api/v1/jobs", zombies.slow_fit("slow")).json()["id"]
            zombies.running(client, slow)
            key = {"Idempotency-Key": "fresh"}
            first = client.patiently("POST", "/api/v1/jobs", rig.tiny_fit(), key).json()["id"]
            open(rc, "w").write(jump)
            time.sleep(3)
            jobs = [client.patiently("POST", "/api/v1/jobs", rig.tiny_fit(model=f"m{k}")).json()["id"] for k in range(20)]
            replay = client.patiently("POST", "/api/v1/jobs", rig.tiny_fit(), key)
            if jump.endswith("3600s") and (replay.status != 202 or replay.json()["id"] != first):
                wrong.append(f"{jump}: a fresh key was forgotten")
            rig.drained(client, 300)
            for job in [slow, first, *jobs]:
                state = client.patiently("GET", f"/api/v1/jobs/{job}").json()
                told += 1
                if state["status"] != "succeeded" or state["attempt"] != 1:
                    wrong.append(f"{jump}: {job} {state['status']} after {state['attempt']} attempts")
            if len(rig.everything(client, "/api/v1/jobs")) != len(jobs) + 2:
                wrong.append(f"{jump}: jobs lost or doubled")
            for process in house.started:
                process.stop()
            wrong += house.check()
    return f"{told} jobs over {len(jumps)} jumps of the wall clock ({', '.join(jumps)}): {len(wrong)} lost, doubled or rescued early", wrong
