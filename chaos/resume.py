"""D20: a fit that is killed again and again ends with the very bits of one that was left alone."""
import random
import time

import rig
import zombies

SPECS = {
    "path": {"lambda": {"mode": "path", "n": 60, "min_ratio": 1e-4}, "selection": {"method": "none"}, "solver": {"tol": 1e-9}},
    "cv": {"lambda": {"mode": "path", "n": 40, "min_ratio": 1e-3}, "selection": {"method": "cv", "folds": 5}, "solver": {"tol": 1e-9}},
    "logistic": {"loss": {"type": "logistic", "positive_class": 1}, "lambda": {"mode": "path", "n": 40, "min_ratio": 1e-2},
                 "selection": {"method": "cv", "folds": 3}},
}


def fingerprint(client, model):
    """Every number of a model that a fit decides, as it was written: JSON keeps doubles exactly."""
    base = f"/api/v1/models/{model}/versions/1"
    parts = [client.patiently("GET", base + part).body for part in ("/coefficients?sort=index", "/path", "/certificate", "/histogram")]
    cv = client.patiently("GET", base + "/cv")
    if cv.status == 200:
        body = cv.json()
        del body["fold_of_row_href"]
        parts.append(repr(body).encode())
    return rig.sha256(b"|".join(parts).replace(model.encode(), b"MODEL"))


def run(engine, fits=200, seed=5):
    rng, wrong, interruptions, resumed = random.Random(seed), [], 0, 0
    with rig.House(engine) as house:
        process = house.process("--workers", "1").start()
        client = process.client(timeout=60)
        assert rig.upload(client, "big", zombies.BIG).status == 201
        wanted, alone = {}, {}
        for kind, spec in SPECS.items():
            began = time.monotonic()
            client.patiently("POST", "/api/v1/jobs", {"type": "fit", "model": f"alone-{kind}", "dataset": {"name": "big"}, "spec": spec})
            rig.drained(client)
            wanted[kind], alone[kind] = fingerprint(client, f"alone-{kind}"), time.monotonic() - began
        for number in range(fits):
            kind = list(SPECS)[number % len(SPECS)]
            model = f"killed-{number}"
            threads = ("--fit-threads", str(1 + number % 2))
            job = client.patiently("POST", "/api/v1/jobs", {"type": "fit", "model": model, "dataset": {"name": "big"}, "spec": SPECS[kind]}).json()["id"]
            for _ in range(2):  # a third death would be one too many: the job would be given up
                zombies.running(client, job)
                time.sleep(rng.uniform(0.0, 0.9) * alone[kind])
                if client.patiently("GET", f"/api/v1/jobs/{job}").json()["status"] == "running":
                    interruptions += 1
                process.kill()
                process.flags = ("--workers", "1", *threads)
                process.start()
            rig.drained(client)
            state = client.patiently("GET", f"/api/v1/jobs/{job}").json()
            if state["status"] != "succeeded" or fingerprint(client, model) != wanted[kind]:
                wrong.append(f"{kind} {job}: {state['status']}, other bits than the one left alone")
            resumed += process.logged(200_000).count("resumed")
        process.stop()
    return f"{fits} fits killed twice each ({interruptions} times in mid-fit): {fits - len(wrong)} bit-identical to the ones left alone", wrong
