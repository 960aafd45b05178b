"""How long a cancel takes: from sending it to the moment the job's final status has been read.

    python bench/cancel.py [--cancels 100] [--data debian-size]

Each job is a long path with cross-validation on large data. When its progress shows that the solver is at work, a second
connection waits for the end (`Prefer: wait`), the cancel is posted, and the clock stops when the waiting request has
answered `cancelled`. Cancels fall at moments spread over the fit (a different delay each, from a seeded generator).
"""
import argparse
import http.client
import json
import random
import sys
import threading
import time

import problem as mathematics
from server import Server

FILES = {"debian-size": "debian-size.svm.zst", "debian-section": "debian-section.svm.zst", "a9a": "a9a.svm.zst"}


def await_end(server, job, ready, result):
    connection = http.client.HTTPConnection(server.address, timeout=120)
    connection.connect()
    ready.set()
    while True:
        state = server.ask("GET", f"/api/v1/jobs/{job}", headers={"Prefer": "wait=30"}, connection=connection).expect(200).json()
        if state["status"] in ("succeeded", "failed", "cancelled"):
            result.append((time.perf_counter(), state))
            break
    connection.close()


def one(server, data, delay):
    """(milliseconds to the final status, milliseconds of the cancel request, where the solver was), or None when the fit had ended."""
    job = server.submit("cancelled", data, {})["id"]
    end = time.monotonic() + 120
    while True:
        state = server.get(f"/api/v1/jobs/{job}")
        if state["status"] == "running" and state["progress"]["current"]:
            break
        if time.monotonic() > end or state["status"] not in ("queued", "running"):
            raise RuntimeError(f"the job never came to solving: {state['status']} {state['progress']}")
        time.sleep(0.005)
    time.sleep(delay)
    ready, result = threading.Event(), []
    waiter = threading.Thread(target=await_end, args=(server, job, ready, result))
    waiter.start()
    ready.wait()
    time.sleep(0.02)  # the long poll is under way
    start = time.perf_counter()
    answer = server.ask("POST", f"/api/v1/jobs/{job}/cancel").expect(202, 200, 409)
    waiter.join()
    if answer.status == 409:
        return None
    ended, state = result[0]
    if state["status"] != "cancelled" or state["reason"] != "user":
        raise RuntimeError(f"cancelled, but it says {state['status']} {state['reason']}")
    if server.ask("POST", f"/api/v1/jobs/{job}/cancel").status != 200:
        raise RuntimeError("a second cancel of a cancelled job is not 200")
    return (ended - start) * 1000, answer.seconds * 1000, state["progress"]["fraction"]


def histogram(values):
    edges = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, float("inf")]
    for low, high in zip(edges, edges[1:]):
        count = sum(low <= v < high for v in values)
        if count:
            print(f"{low:>5} – {high:<6} ms  {'█' * count} {count}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cancels", type=int, default=100)
    parser.add_argument("--data", default="debian-size", choices=FILES)
    options = parser.parse_args()
    draw = random.Random(0)
    took, asked, missed = [], [], 0
    with Server() as server:
        server.upload("big", mathematics.text_of(FILES[options.data]))
        while len(took) < options.cancels:
            found = one(server, "big", draw.uniform(0.0, 1.5))
            if found is None:
                missed += 1
                continue
            took.append(found[0])
            asked.append(found[1])
            print(f"{len(took)}: {found[0]:.1f} ms at {found[2]:.0%}", file=sys.stderr, flush=True)
        models = server.get("/api/v1/models")["data"]
        if models:
            sys.exit(f"a cancelled fit left a model: {json.dumps(models)[:300]}")
    took.sort()
    at = lambda q: took[min(len(took) - 1, int(q * len(took)))]
    histogram(took)
    print(f"\n| cancels of a running {options.data} fit | p50 ms | p90 ms | p99 ms | max ms | the request itself, p50 ms | ended before the cancel |\n| --- | --- | --- | --- | --- | --- | --- |")
    print(f"| {len(took)} | {at(0.5):.1f} | {at(0.9):.1f} | {at(0.99):.1f} | {took[-1]:.1f} | {sorted(asked)[len(asked) // 2]:.1f} | {missed} |")


if __name__ == "__main__":
    main()
