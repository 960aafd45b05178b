"""D1, D2, D3, F01: what was acknowledged is there after any number of `kill -9`, once, and nothing is there by halves."""
import random
import threading
import time

import rig

CLIENTS = 12


class Journal:
    """What was acknowledged, by kind; and how many requests ended without an answer."""

    def __init__(self):
        self.lock = threading.Lock()
        self.jobs, self.datasets, self.cancels, self.unknown = {}, {}, {}, 0

    def acknowledged(self):
        return len(self.jobs) + len(self.datasets) + len(self.cancels)


def client_loop(process, journal, stop, seed, tolerant=False):
    """Uploads, submits and cancels until told to stop; notes every acknowledgement, and nothing else. A broken disk is answered
    with 5xx: `tolerant` expects that."""
    rng, client, count = random.Random(seed), process.client(timeout=20), 0
    own = []
    while not stop.is_set():
        count += 1
        try:
            dice = rng.random()
            if dice < 0.25:
                name = f"d{seed}-{rng.randrange(20)}"
                body = b"".join(b"%d %d:%d\n" % (rng.randrange(100), rng.randrange(1, 50), rng.randrange(1, 9)) for _ in range(5))
                answer = rig.upload(client, name, body, patient=False)
                if answer.status == 201:
                    row = answer.json()
                    with journal.lock:
                        journal.datasets[(name, row["version"])] = (row["sha256"], rig.sha256(body), row["upload_sha256"])
            elif dice < 0.9 or not own:
                key = f"{seed}-{count}"
                answer = client.ask("POST", "/api/v1/jobs", rig.tiny_fit(model=f"m{seed}"), {"Idempotency-Key": key})
                if answer.status == 202:
                    job = answer.json()["id"]
                    own.append(job)
                    with journal.lock:
                        journal.jobs[job] = None
            else:
                job = rng.choice(own[-20:])
                answer = client.ask("POST", f"/api/v1/jobs/{job}/cancel")
                if answer.status in (200, 202):
                    with journal.lock:
                        journal.cancels[job] = answer.status
            if answer.status in (429, 503):
                time.sleep(0.01)
            elif answer.status >= 500 and tolerant:
                time.sleep(0.01)
            elif answer.status >= 500:
                raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
        except rig.BROKEN:
            journal.unknown += 1
            time.sleep(0.01)


def losses(client, journal):
    """Everything acknowledged that is not there as it was acknowledged."""
    lost = []
    jobs = {job["id"]: job for job in rig.everything(client, "/api/v1/jobs")}
    lost += [f"job {job} is gone" for job in journal.jobs if job not in jobs]
    for job, status in journal.cancels.items():
        if job in jobs and jobs[job]["status"] != "cancelled":
            lost.append(f"job {job}: cancel was answered {status}, it ended {jobs[job]['status']}")
    for (name, version), (sha, sent, upload_sha) in journal.datasets.items():
        answer = client.patiently("GET", f"/api/v1/datasets/{name}/versions/{version}")
        if answer.status != 200 or answer.json()["sha256"] != sha or upload_sha != sent:
            lost.append(f"data set {name}:{version} is not what was acknowledged")
    # exactly one result for each success, and one success for each result
    models = {}
    for entry in rig.everything(client, "/api/v1/models"):
        for version in client.patiently("GET", f"/api/v1/models/{entry['model']}").json()["versions"]:
            model = client.patiently("GET", f"/api/v1/models/{entry['model']}/versions/{version}").json()
            if model["job"] in models:
                lost.append(f"job {model['job']} has two models")
            models[model["job"]] = f"{entry['model']}:{version}"
    for job in jobs.values():
        if job["status"] not in rig.ENDED:
            lost.append(f"job {job['id']} never ended: {job['status']}")
        if (job["status"] == "succeeded") != (job["id"] in models):
            lost.append(f"job {job['id']} is {job['status']}, its model is {models.get(job['id'])}")
        if job["status"] == "failed" and job["reason"] != "attempts_exhausted":
            lost.append(f"job {job['id']} failed: {job['error']}")
    return lost


def run(engine, kills=200, seed=1):
    rng, journal = random.Random(seed), Journal()
    with rig.House(engine) as house:
        process = house.process("--workers", "1").start()
        assert rig.upload(process.client(), "tiny").status == 201
        stop = threading.Event()
        clients = rig.Threads(CLIENTS, lambda k: client_loop(process, journal, stop, k))
        for _ in range(kills):
            time.sleep(rng.uniform(0.02, 0.8))
            process.kill()
            process.start()
        stop.set()
        clients.join()
        client = process.client(timeout=60)
        rig.drained(client)
        lost = losses(client, journal)
        code = process.stop()
        lost += house.check()
        if code != 0:
            lost.append(f"the last stop ended with {code}")
        slowest = max(process.starts)
    figure = f"{len(lost)} lost of {journal.acknowledged()} acknowledged ({len(journal.jobs)} jobs, {len(journal.datasets)} data sets, " \
             f"{len(journal.cancels)} cancels), {journal.unknown} unanswered, {kills} kills; slowest start {slowest:.2f} s"
    return figure, lost
