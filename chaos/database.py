"""D14, F11, F12: PostgreSQL away for a while. Writes are refused in time, predictions go on, and all is well soon after."""
import threading
import time

import rig


def outage(process, gone, back, seconds):
    """What clients see while the database is away, each beside the others: the worst answer time and the statuses of writes, predictions
    that failed, seconds until not ready, seconds to recover, and whether it lived all the time."""
    over = threading.Event()
    slowest, writes, failed, unready, dead = [0.0], {}, [0, 0], [], []

    def write():
        client = process.client(timeout=30)
        while not over.is_set():
            start = time.monotonic()
            status = client.ask("POST", "/api/v1/jobs", rig.tiny_fit()).status
            slowest[0] = max(slowest[0], time.monotonic() - start)
            writes[status] = writes.get(status, 0) + 1
            time.sleep(0.05)

    def predict():
        client = process.client(timeout=30)
        while not over.is_set():
            answer = client.ask("POST", "/api/v1/models/m/predict", {"instances": [{"indices": [0], "values": [1]}]})
            failed[answer.status != 200] += 1
            time.sleep(0.02)

    def look():
        client, began = process.client(timeout=30), time.monotonic()
        while not over.is_set():
            if client.ask("GET", "/readyz").status == 503:
                unready.append(time.monotonic() - began)
            if client.ask("GET", "/livez").status != 200:
                dead.append("it did not live")
            time.sleep(0.05)

    gone()
    threads = rig.Threads(3, lambda k: (write, predict, look)[k]())
    time.sleep(seconds)
    over.set()
    threads.join()
    back()
    client, began = process.client(timeout=30), time.monotonic()
    while client.ask("GET", "/readyz").status != 200 or client.ask("POST", "/api/v1/jobs", rig.tiny_fit()).status != 202:
        if time.monotonic() - began > 60:
            break
        time.sleep(0.05)
    return slowest[0], writes, failed, unready[0] if unready else None, time.monotonic() - began, dead


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
            slowest, writes, failed, unready, recovered, other = outage(process, gone, back, seconds)
            told.append(f"{word} {seconds} s: writes {writes}, slowest answer {slowest:.1f} s, not ready after "
                        f"{'never' if unready is None else f'{unready:.1f} s'}, {failed[1]} of {sum(failed)} predictions failed, good again after {recovered:.1f} s")
            accepted = writes.get(202, 0)
            if set(writes) - {503, 202} or failed[1] or unready is None or recovered > 60 or other or accepted > 1:
                wrong.append(told[-1])
        rig.drained(client)
        if process.stop() != 0:
            wrong.append("the process did not end well")
        wrong += house.check()
    return "; ".join(told), wrong
