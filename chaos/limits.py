"""D8, D9: how long a cancel and a time limit take to be seen."""
import random
import threading
import time

import rig
import zombies


def cancels(engine, count=100, seed=6):
    """From the request to the final status read by a waiting client, in milliseconds."""
    rng, took, wrong = random.Random(seed), [], []
    with rig.House(engine) as house:
        process = house.process("--workers", "1").start()
        client, waiter = process.client(timeout=90), process.client(timeout=90)
        assert rig.upload(client, "big", zombies.BIG).status == 201
        while len(took) < count:
            job = client.ask("POST", "/api/v1/jobs", zombies.slow_fit("c")).json()["id"]
            zombies.running(client, job)
            time.sleep(rng.uniform(0.0, 0.3))
            ended = []

            def wait():
                while True:
                    state = waiter.ask("GET", f"/api/v1/jobs/{job}", headers={"Prefer": "wait=30"}).json()
                    if state["status"] in rig.ENDED:
                        ended.append((time.perf_counter(), state["status"]))
                        return

            thread = threading.Thread(target=wait)
            thread.start()
            time.sleep(0.01)
            start = time.perf_counter()
            answer = client.ask("POST", f"/api/v1/jobs/{job}/cancel")
            thread.join()
            if answer.status == 409:
                continue
            if ended[0][1] != "cancelled":
                wrong.append(f"{job} was cancelled and ended {ended[0][1]}")
            took.append(1e3 * (ended[0][0] - start))
        process.stop()
    half, nine, most = rig.quantiles(took, 0.5, 0.99, 1.0)
    return f"{count} cancels of running fits, to the final status read: p50 {half:.1f} ms, p99 {nine:.1f} ms, most {most:.1f} ms", wrong


def deadlines(engine, count=60, seed=7):
    """How far past its limit a fit ends."""
    rng, over, wrong, kept = random.Random(seed), [], [], 0
    with rig.House(engine) as house:
        process = house.process("--workers", "1").start()
        client = process.client(timeout=90)
        assert rig.upload(client, "big", zombies.BIG).status == 201
        for number in range(count):
            limit, keep = rng.uniform(0.01, 1.0), number % 2 == 1
            body = {**zombies.slow_fit(f"t{number}"), "limits": {"max_runtime_s": limit, "on_limit": "keep_best" if keep else "fail"}}
            job = client.ask("POST", "/api/v1/jobs", body).json()["id"]
            state = client.ask("GET", f"/api/v1/jobs/{job}", headers={"Prefer": "wait=60"}).json()
            while state["status"] not in rig.ENDED:
                state = client.ask("GET", f"/api/v1/jobs/{job}", headers={"Prefer": "wait=60"}).json()
            if state["status"] == "succeeded" and state["result"]["converged"] and state["duration_ms"] < 1e3 * limit:
                continue  # done before its time was up
            over.append(state["duration_ms"] - 1e3 * limit)
            if keep and state["status"] == "succeeded":
                kept += 1
                if state["result"]["converged"]:
                    wrong.append(f"{job} kept the best of an unfinished fit and calls it converged")
            elif state["status"] != "failed" or state["reason"] != "time_limit":
                wrong.append(f"{job}: {state['status']} {state['reason']}")
        process.stop()
    half, nine, most = rig.quantiles(over, 0.5, 0.99, 1.0)
    return f"{count} time limits of 10–1000 ms: ended p50 {half:.0f} ms, p99 {nine:.0f} ms, most {most:.0f} ms past the limit; " \
           f"{kept} kept their best", wrong
