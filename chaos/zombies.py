"""D4, D5, D6, F16, F17: several worker processes over one PostgreSQL. The killed are replaced, and the stopped that come back are refused."""
import random
import signal
import time

import rig

BIG = b"".join(b"%d %s\n" % (k % 7, b" ".join(b"%d:%d.%d" % (j + 1, (k * j) % 9 + 1, k % 10) for j in range(k % 5, 400, 3))) for k in range(1500))
SLOW = {"lambda": {"mode": "path", "n": 300, "min_ratio": 1e-5}, "solver": {"tol": 1e-12}, "selection": {"method": "cv", "folds": 10}}


def slow_fit(model):
    return {"type": "fit", "model": model, "dataset": {"name": "big"}, "spec": SLOW}


def running(client, job, seconds=60):
    """Waits until the job runs; its attempt."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = client.patiently("GET", f"/api/v1/jobs/{job}").json()
        if state["status"] != "queued":
            return state
        time.sleep(0.02)
    raise RuntimeError("the job is not claimed")


def again(client, job, attempt, seconds=60):
    """Seconds until the job runs as a later attempt."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        state = client.patiently("GET", f"/api/v1/jobs/{job}").json()
        if state["attempt"] > attempt or state["status"] in rig.ENDED:
            return time.monotonic() - began
        time.sleep(0.02)
    return float("inf")


def run(engine, rounds=50, seed=3):
    """Half of the workers are stopped past their lease while they fit, then continued: what they bring must be refused."""
    if engine != "postgres":
        return "NOT RUN: one process on SQLite", ["not run"]
    rng, wrong, rescued, fenced = random.Random(seed), [], [], 0
    with rig.House(engine) as house:
        api = house.process("--workers", "0").start()
        client = api.client(timeout=60)
        assert rig.upload(client, "big", BIG).status == 201
        pairs = 5
        done = 0
        while done < rounds:
            batch = min(pairs, rounds - done)
            zombies = [house.process("--workers", "1", word="worker").start() for _ in range(batch)]
            jobs = [client.patiently("POST", "/api/v1/jobs", slow_fit(f"z{done + k}")).json()["id"] for k in range(batch)]
            before = [running(client, job) for job in jobs]
            for zombie in zombies:
                zombie.kill(signal.SIGSTOP)
            fresh = house.process("--workers", str(batch), word="worker").start()
            began = time.monotonic()
            for job, state in zip(jobs, before):
                again(client, job, state["attempt"])
                rescued.append(time.monotonic() - began)
            time.sleep(rng.uniform(0.0, 0.5))
            for zombie in zombies:
                zombie.kill(signal.SIGCONT)
            for job, state in zip(jobs, before):
                end = time.monotonic() + 120
                while time.monotonic() < end:
                    now = client.patiently("GET", f"/api/v1/jobs/{job}").json()
                    if now["status"] in rig.ENDED:
                        break
                    time.sleep(0.05)
                versions = client.patiently("GET", f"/api/v1/models/{now['model']}").json().get("versions", [])
                if now["status"] != "succeeded" or len(versions) != 1 or now["attempt"] != state["attempt"] + 1:
                    wrong.append(f"{job}: {now['status']}, attempt {now['attempt']}, models {versions}")
            time.sleep(0.3)
            for zombie in zombies:
                fenced += sum(word in zombie.logged(100_000) for word in ("lease was lost", "was refused"))
                zombie.stop()
            fresh.stop()
            done += batch
            rig.say(f"  {done} of {rounds} stopped and continued")
        api.stop()
    median, most = rig.quantiles(rescued, 0.5, 1.0)
    return f"{rounds} workers stopped past their lease and continued: {len(wrong)} stale writes; {fenced} said they were refused; " \
           f"another worker went on after {median:.1f} s (median), {most:.1f} s (most)", wrong


def kills(engine, rounds=20, seed=4):
    """Workers killed in mid-fit: seconds until the job runs again elsewhere (the lease is 10 s)."""
    if engine != "postgres":
        return "NOT RUN: one process on SQLite", ["not run"]
    wrong, took = [], []
    with rig.House(engine) as house:
        api = house.process("--workers", "0").start()
        client = api.client(timeout=60)
        assert rig.upload(client, "big", BIG).status == 201
        spare = None
        for number in range(rounds):
            victim = spare or house.process("--workers", "1", word="worker").start()
            job = client.patiently("POST", "/api/v1/jobs", slow_fit(f"k{number}")).json()["id"]
            state = running(client, job)
            spare = house.process("--workers", "1", word="worker").start()
            victim.kill()
            took.append(again(client, job, state["attempt"]))
            client.patiently("POST", f"/api/v1/jobs/{job}/cancel")
        spare.stop()
        api.stop()
    median, most = rig.quantiles(took, 0.5, 1.0)
    if most > 15:
        wrong.append(f"a killed worker's job waited {most:.1f} s")
    return f"{rounds} workers killed in mid-fit: the job ran again after {median:.1f} s (median), {most:.1f} s (most)", wrong
