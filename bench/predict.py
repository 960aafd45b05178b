"""Predictions a second beside a bare axum handler, alternating, in one run.

    cargo build --release --example predict_load && python bench/predict.py [--rounds 5] [--seconds 2]

The model is a lasso on rcv1-1k (47 117 features); a request is one sparse instance of a few dozen non-zeros. The bare
handler takes the same request and answers the same number of bytes without looking at it: the most that axum gives on
this machine. Server, bare handler and load are processes of their own on the same cores.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import problem as mathematics
from server import ROOT, Server

LOAD = os.environ.get("SPARSEFIT_PREDICT_LOAD") or os.path.join(ROOT, "target/release/examples/predict_load")


def load(address, path, body, connections, seconds):
    run = subprocess.run([LOAD, "load", address, path, body, str(connections), str(seconds)], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"the load failed: {run.stderr}")
    return json.loads(run.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=lambda t: [int(c) for c in t.split(",")], default=[1, 16, 64])
    options = parser.parse_args()
    text = mathematics.text_of("rcv1-1k.train.svm.zst")
    x, _ = mathematics.parse(text)
    row = x.tocsr()[7]
    row.sort_indices()
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        server.upload("rcv1", text)
        server.fit("rcv1", "rcv1", {"lambda": {"mode": "target_nonzeros", "k": 200}})
        body, answer = os.path.join(folder, "body.json"), os.path.join(folder, "answer.json")
        with open(body, "w") as file:
            json.dump({"instances": [{"indices": row.indices.tolist(), "values": row.data.tolist()}]}, file)
        path = "/api/v1/models/rcv1/predict"
        got = server.ask("POST", path, open(body, "rb").read(), {"Content-Type": "application/json"}).expect(200)
        with open(answer, "wb") as file:
            file.write(got.body)
        bare = subprocess.Popen([LOAD, "bare", answer], stdout=subprocess.PIPE, text=True)
        try:
            bare_address = bare.stdout.readline().split("http://", 1)[1].strip()
            sides = {"sparsefit": (server.address, path), "bare axum": (bare_address, "/predict")}
            rows = []
            for connections in options.connections:
                seen = {side: [] for side in sides}
                for side, (address, where) in sides.items():  # not counted: caches, branch predictors, the model cache
                    load(address, where, body, connections, 0.5)
                for turn in range(options.rounds):
                    for side in list(sides) if turn % 2 == 0 else reversed(list(sides)):
                        seen[side].append(load(*sides[side], body, connections, options.seconds))
                middle = {side: {key: statistics.median(r[key] for r in runs) for key in runs[0]} for side, runs in seen.items()}
                ours, yard = middle["sparsefit"], middle["bare axum"]
                rows.append([connections, *(f"{side[key]:.0f}" for key in ("per_second", "p50_us", "p99_us") for side in (ours, yard)),
                             f"{ours['per_second'] / yard['per_second']:.2f}"])
        finally:
            bare.terminate()
            bare.wait()
    print(f"One instance of {row.nnz} non-zeros, answer of {len(got.body)} bytes; medians of {options.rounds} rounds of {options.seconds} s each, alternating.\n")
    head = ["connections", "requests/s", "bare axum", "p50 µs", "bare", "p99 µs", "bare", "requests/s over bare"]
    for line in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(str(cell) for cell in line) + " |")


if __name__ == "__main__":
    main()
