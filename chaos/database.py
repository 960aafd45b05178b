"""D14, F11, F12: PostgreSQL away for a while. Writes are refused in time, predictions go on, and all is well soon after."""
import threading
import time

import rig


def outage(house, process, gone, back, seconds):
    """What clients see while the database is away: (worst answer time, statuses of writes, predictions that failed, seconds to recover)."""
    client, other = process.client(timeout=30), process.client(timeout=30)
    slowest, writes, failed, ready = 0.0, {}, 0, []
    gone()
    began, unready = time.monotonic(), None
    while time.monotonic() - began < seconds:
        start = time.monotonic()
        try:
            status = client.ask("POST", "/api/v1/jobs", rig.tiny_fit()).status
        except rig.BROKEN:
            status = "none"
        slowest = max(slowest, time.monotonic() - start)
        writes[status] = writes.get(status, 0) + 1
        prediction = other.ask("POST", "/api/v1/models/m/predict", {"instances": [{"indices": [0], "values": [1]}]})
        failed += prediction.status != 200
        if unready is None and other.ask("GET", "/readyz").status == 503:
            unready = time.monotonic() - began
        if other.ask("GET", "/livez").status != 200:
            ready.append("livez failed")
        time.sleep(0.05)
    back()
    began = time.monotonic()
    while client.ask("GET", "/readyz").status != 200 or client.ask("POST", "/api/v1/jobs", rig.tiny_fit()).status != 202:
        if time.monotonic() - began > 60:
            break
        time.sleep(0.05)
    return slowest, writes, failed, unready, time.monotonic() - began, ready


def run(engine, seconds=30):
    if engine != "postgres":
        return "NOT RUN: the database is a file", ["not run"]
    wrong, told, cluster = [], [], rig.House.cluster()
    with rig.House(engine) as house:
        process = house.process("--workers", "1").start()
        client = process.client()
        assert rig.upload(client, "tiny").status == 201
        client.ask("POST", "/api/v1/jobs", rig.tiny_fit(), {"Prefer": "wait=20"})
        ways = {"stopped": (cluster.immediate, cluster.start), "frozen": (lambda: cluster.freeze(True), lambda: cluster.freeze(False))}
        for word, (gone, back) in ways.items():
            client.ask("POST", "/api/v1/models/m/predict", {"instances": [{"indices": [0], "values": [1]}]})
            slowest, writes, failed, unready, recovered, other = outage(house, process, gone, back, seconds)
            told.append(f"{word} {seconds} s: writes {writes}, slowest answer {slowest:.1f} s, not ready after "
                        f"{'never' if unready is None else f'{unready:.1f} s'}, {failed} predictions failed, good again after {recovered:.1f} s")
            accepted = writes.get(202, 0)
            if set(writes) - {503, 202} or failed or unready is None or recovered > 60 or other or accepted > 1:
                wrong.append(told[-1])
        rig.drained(client)
        if process.stop() != 0:
            wrong.append("the process did not end well")
        wrong += house.check()
    return "; ".join(told), wrong
