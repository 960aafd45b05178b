"""How the server bears load: slow clients, fits on every core, overload, large uploads, bombs.

    python3 chaos/load.py [slow starve overload upload bombs]

Prints figures; judges facts (who was answered what, what was closed, what memory did), never a time.
"""
import argparse
import gzip
import http.client
import os
import resource
import socket
import sys
import threading
import time

import rig
import zombies

PREDICT = {"instances": [{"indices": list(range(100)), "values": [1.0] * 100}]}


def sampled(ask, seconds, until=None):
    """Milliseconds of one request after another; what is not answered with 2xx raises."""
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end and not (until and until()):
        start = time.perf_counter()
        answer = ask()
        took.append(1e3 * (time.perf_counter() - start))
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{answer.status}: {answer.body[:200]!r}")
        time.sleep(0.002)
    return took


def told(took):
    half, nine, most = rig.quantiles(took, 0.5, 0.99, 1.0)
    return f"p50 {half:.1f} ms, p99 {nine:.1f} ms, most {most:.0f} ms of {len(took)}"


def with_model(house, *flags):
    process = house.process(*flags).start()
    client = process.client(timeout=60)
    assert rig.upload(client, "big", zombies.BIG).status == 201
    client.ask("POST", "/api/v1/jobs", {"type": "fit", "model": "m", "dataset": {"name": "big"},
                                        "spec": {"lambda": {"mode": "value", "value": 1e-4}}}, {"Prefer": "wait=60"})
    assert client.ask("POST", "/api/v1/models/m/predict", PREDICT).status == 200
    return process, client


def slow(count=2000, patience=150):
    """R9: sockets that dribble heads, dribble bodies, never read, or do nothing; others are served, and the server lets go of all of
    them. What counts is what the server holds: an end that stands behind unread bytes never reaches a client that does not read."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    wrong = []
    with rig.House("sqlite") as house:
        process, client = with_model(house)
        idle = sampled(lambda: client.ask("POST", "/api/v1/models/m/predict", PREDICT), 3)
        openings = [b"GET /api/v1/jobs HTTP/1.1\r\nHost: localh", b"",
                    b"POST /api/v1/datasets?name=slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\nContent-Length: 100000\r\n\r\n1 1:1\n",
                    b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100]
        held = {}
        for k in range(count):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", process.port))
            connection.sendall(openings[k % 4])
            held[connection.getsockname()[1]] = (k % 4, connection)
        began, closed_after = time.monotonic(), {}
        beside, done = [], threading.Event()
        worker = rig.Threads(1, lambda _: beside.extend(sampled(lambda: client.ask("POST", "/api/v1/models/m/predict", PREDICT), patience + 30, done.is_set)))
        while len(closed_after) < count and time.monotonic() - began < patience:
            there = peers(process)
            for port, (kind, connection) in held.items():
                if port not in there and port not in closed_after:
                    closed_after[port] = (kind, time.monotonic() - began)
                elif kind in (0, 2) and port in there:
                    try:
                        connection.send(b"x" if kind == 0 else b"1")
                    except OSError:
                        pass
            time.sleep(1)
        done.set()
        worker.join()
        left = [kind for port, (kind, _) in held.items() if port not in closed_after]
        if left:
            wrong.append(f"{len(left)} slow sockets are still held (heads, silent, bodies, never read: {[left.count(k) for k in range(4)]})")
        last = [max((after for kind, after in closed_after.values() if kind == k), default=0) for k in range(4)]
        for _, connection in held.values():
            connection.close()
        code = process.stop()
        if code != 0:
            wrong.append(f"the stop ended with {code}")
    return f"{count} slow sockets: a client beside them {told(beside)} (alone: {told(idle)}); let go of after " \
           f"{last[0]:.0f} s (dribbled heads), {last[1]:.0f} s (silent), {last[2]:.0f} s (dribbled bodies), {last[3]:.0f} s (never read)", wrong


def peers(process):
    """The ports at the other end of the connections that the server holds a descriptor for."""
    folder, inodes = f"/proc/{process.process.pid}/fd", set()
    for name in os.listdir(folder):
        try:
            inodes.add(os.readlink(f"{folder}/{name}"))
        except OSError:
            pass
    rows = (line.split() for line in open("/proc/net/tcp").readlines()[1:])
    return {int(row[2].rsplit(":", 1)[1], 16) for row in rows if f"socket:[{row[9]}]" in inodes}


def half_open(count=200):
    """D10: a graceful stop with half-open connections and a fit in hand."""
    wrong = []
    with rig.House("sqlite") as house:
        process, client = with_model(house)
        job = client.ask("POST", "/api/v1/jobs", zombies.slow_fit("slow")).json()["id"]
        zombies.running(client, job)
        held = [socket.create_connection(("127.0.0.1", process.port)) for _ in range(count)]
        for k, connection in enumerate(held):
            connection.sendall([b"GET /livez HTTP/1.1\r\nHost: loc", b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"][k % 2])
        time.sleep(0.5)
        began = time.monotonic()
        code = process.stop(60)
        took = time.monotonic() - began
        if code != 0:
            wrong.append(f"it ended with {code}")
        process.start()
        state = zombies.running(process.client(), job)
        if state["attempt"] != 1:
            wrong.append(f"the stop spent an attempt: {state['attempt']}")
        process.stop()
    return f"a stop with {count} half-open connections and a fit in hand took {took:.1f} s, exit code {code}", wrong


def starve(seconds=20):
    """R8: fits on every core, and the API beside them."""
    with rig.House("sqlite") as house:
        process, client = with_model(house, "--workers", str(os.cpu_count()))
        def predict():
            return client.ask("POST", "/api/v1/models/m/predict", PREDICT)

        idle = sampled(predict, 5)
        jobs = [client.ask("POST", "/api/v1/jobs", zombies.slow_fit(f"s{k}")).json()["id"] for k in range(40)]
        zombies.running(client, jobs[1])
        busy = sampled(predict, seconds)
        live = sampled(lambda: client.ask("GET", "/livez"), seconds / 2)
        ready = sampled(lambda: client.ask("GET", "/readyz"), seconds / 2)
        alive = client.ask("GET", "/api/v1/jobs?status=running").json()["data"]
        for job in jobs:
            client.ask("POST", f"/api/v1/jobs/{job}/cancel")
        rig.drained(client)
        process.stop()
    wrong = [] if alive else ["the fits had ended before the measure did: it says nothing"]
    return f"fits on every core: predict {told(busy)} (idle: {told(idle)}); /livez {told(live)}; /readyz {told(ready)}", wrong


def overload(seconds=15, clients=64):
    """R6, R7: far more submissions than can be worked; nothing accepted is lost, the rest is refused with Retry-After."""
    wrong, statuses, without = [], {}, 0
    with rig.House("sqlite") as house:
        process, client = with_model(house)
        calm = sampled(lambda: client.ask("GET", "/api/v1/models/m"), 3)
        rig.upload(client, "tiny")
        stop, accepted, lock = threading.Event(), [], threading.Lock()

        def hammer(k):
            nonlocal without
            own = process.client()
            while not stop.is_set():
                answer = own.ask("POST", "/api/v1/jobs", rig.tiny_fit(model=f"o{k}"))
                with lock:
                    statuses[answer.status] = statuses.get(answer.status, 0) + 1
                    if answer.status == 202:
                        accepted.append(answer.json()["id"])
                    elif not answer.headers.get("Retry-After"):
                        without += 1

        threads = rig.Threads(clients, hammer)
        reads = sampled(lambda: client.ask("GET", "/api/v1/models/m"), seconds)
        memory = process.rss()
        stop.set()
        threads.join()
        stored = {job["id"] for job in rig.everything(client, "/api/v1/jobs")}
        lost = [job for job in accepted if job not in stored]
        if lost or without or set(statuses) - {202, 429, 503}:
            wrong.append(f"{len(lost)} accepted jobs lost, {without} refusals without Retry-After, statuses {statuses}")
        after = sampled(lambda: client.ask("GET", "/api/v1/models/m"), 2)
        process.stop()
    rate = statuses.get(202, 0) / seconds
    return f"{clients} clients submit as fast as they can: {rate:.0f} accepted/s, {statuses}; reads {told(reads)} (calm: {told(calm)}, " \
           f"after: {told(after)}); RSS {memory >> 20} MiB", wrong


class Watch:
    """The most anonymous memory of a process while something is done."""

    def __init__(self, process):
        self.pid, self.before, self.most, self.done = process.process.pid, anonymous(process.process.pid), 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.done.wait(0.005):
            self.most = max(self.most, anonymous(self.pid))

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def grown(self):
        return max(0, self.most - self.before) >> 20


def stream(port, name, megabytes):
    """Uploads rows of 120 non-zeros, made while they are sent; the status."""
    line = b"1 " + b" ".join(b"%d:0.5" % (k * 977 + 1) for k in range(120)) + b"\n"
    block = line * max(1, (1 << 20) // len(line))
    blocks = megabytes * (1 << 20) // len(block)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", f"/api/v1/datasets?name={name}", (block for _ in range(blocks)), {"Content-Type": "text/libsvm"}, encode_chunked=True)
    return connection.getresponse().status


def upload(megabytes=256, together=16):
    """R1: memory while a large upload streams in, and while many do."""
    wrong, told = [], []
    with rig.House("sqlite") as house:
        process, _ = with_model(house)
        for count, size in ((1, megabytes), (together, megabytes // 4)):
            statuses, began = [], time.monotonic()
            with Watch(process) as watch:
                rig.Threads(count, lambda k: statuses.append(stream(process.port, f"large{k}", size))).join()
            told.append(f"{count} of {size} MiB in {time.monotonic() - began:.1f} s: anonymous memory grew by {watch.grown()} MiB")
            wrong += [f"an upload was answered {status}" for status in statuses if status != 201]
        process.stop()
    return "; ".join(told), wrong


def anonymous(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def bombs():
    """R3, R4, R5: sizes that lie, indices that gape, streams that swell."""
    wrong, grown = [], []
    with rig.House("sqlite") as house:
        process, client = with_model(house)
        bomb = gzip.compress(b"1 1:1\n" * (64 << 20))
        cases = [
            ("gzip of 384 MiB in %d KiB" % (len(bomb) >> 10), bomb, {"Content-Type": "text/libsvm", "Content-Encoding": "gzip"}, {201, 413}),
            ("one index of 2^31-1", b"1 2147483647:1\n2 1:1\n", {"Content-Type": "text/libsvm"}, {201}),
            ("csr that claims 10^12 rows", b'{"format":"csr","shape":[1000000000000,5],"indptr":[0],"indices":[],"values":[],"y":[]}', {"Content-Type": "application/json"}, {422}),
            ("coo that claims 2^31-1 columns", b'{"format":"coo","shape":[2,2147483647],"rows":[0,1],"cols":[0,2147483646],"values":[1,1],"y":[0,1]}', {"Content-Type": "application/json"}, {201}),
            ("nested 10^5 arrays", b"[" * 100_000, {"Content-Type": "application/json"}, {400, 422}),
            ("one line of 70 MiB", b"1 " + b"1:1 " * (18 << 20), {"Content-Type": "text/libsvm"}, {422}),
            ("a number of 1 MiB", b"1 1:" + b"9" * (1 << 20) + b"\n", {"Content-Type": "text/libsvm"}, {422}),
        ]
        for name, body, headers, expected in cases:
            with Watch(process) as watch:
                answer = process.client(timeout=120).ask("POST", "/api/v1/datasets?name=bomb", body, headers)
            grown.append(f"{name}: {answer.status}, +{watch.grown()} MiB")
            if answer.status not in expected:
                wrong.append(f"{name} was answered {answer.status}: {answer.body[:200]!r}")
        if client.ask("GET", "/livez").status != 200:
            wrong.append("it does not live any more")
        process.stop()
    return "; ".join(grown), wrong


EXPERIMENTS = {"slow": slow, "half_open": half_open, "starve": starve, "overload": overload, "upload": upload, "bombs": bombs}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *EXPERIMENTS], metavar="experiment")
    broken = 0
    for name in parser.parse_args().names or EXPERIMENTS:
        figure, wrong = EXPERIMENTS[name]()
        print(f"{'BROKEN' if wrong else 'held':8}{name:10}  {figure}", flush=True)
        for what in wrong:
            print(f"          {what}", flush=True)
        broken += bool(wrong)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
