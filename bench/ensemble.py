"""Boosted trees beside scikit-learn's: how good on rows that neither has seen, and how long it takes, in one run.

    cargo build --release --example rules
    python bench/ensemble.py [PATTERN …] [--rounds 3] [--budget 600]

Both fit the same rows with the same number of trees, leaves and learning rate, one thread each, and are measured on the same others. The peers:
HistGradientBoosting, which bins the values of dense columns, and GradientBoosting, which is exact and takes sparse ones. Each
measurement is a process of its own, ours and the peer's in turn; the ratio of times is the median over rounds of (theirs / ours of the same
round). `stopped` rows are fitted with the usual early stopping of each. Prints a table and asserts nothing. The data are looked for as `speed.py` does.
"""
import argparse
import fnmatch
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("SPARSEFIT_BENCH_DATA", os.path.join(HERE, "../../shared/data"))
OURS = os.environ.get("SPARSEFIT_RULES", os.path.join(HERE, "../target/release/examples/rules"))
# name, files (without a second one every fifth line is held out), what is measured, how it ends, peer
ROWS = [
    ("a9a/hist", ["a9a", "a9a.t"], "auc", False, "hist"),
    ("a9a/hist/stopped", ["a9a", "a9a.t"], "auc", True, "hist"),
    ("a9a/exact", ["a9a", "a9a.t"], "auc", False, "exact"),
    ("bikehour/hist", ["bikehour"], "r2", False, "hist"),
    ("bikehour/hist/stopped", ["bikehour"], "r2", True, "hist"),
    ("w8a/hist", ["w8a"], "auc", False, "hist"),
]
TREES, LEAVES, RATE = 200, 31, 0.1
PEER = """
import io, json, subprocess, sys, time
import numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn import ensemble, metrics
files, score, stopped, peer, trees, leaves, rate = json.loads(sys.argv[1])
raw = [subprocess.run(["zstd", "-dc", "--long=27", file], capture_output=True, check=True).stdout for file in files]
if len(raw) == 1:
    lines = raw[0].splitlines(keepends=True)
    raw = [b"".join(lines[i] for i in range(len(lines)) if (i % 5 == 4) == held) for held in (False, True)]
width = max(load_svmlight_file(io.BytesIO(part))[0].shape[1] for part in raw)
(x, y), (unseen, truth) = (load_svmlight_file(io.BytesIO(part), n_features=width) for part in raw)
kind = "Regressor" if score == "r2" else "Classifier"
if peer == "hist":
    x, unseen = x.toarray(), unseen.toarray()
    words = dict(max_iter=trees, max_leaf_nodes=leaves, early_stopping=stopped)
    model = getattr(ensemble, "HistGradientBoosting" + kind)
else:
    words = dict(n_estimators=trees, max_leaf_nodes=leaves, max_depth=None, min_samples_leaf=20)
    model = getattr(ensemble, "GradientBoosting" + kind)
model = model(learning_rate=rate, random_state=0, **words)
start = time.perf_counter()
model.fit(x, y)
seconds = time.perf_counter() - start
if score == "r2":
    told = model.predict(unseen)
    found = dict(score=metrics.r2_score(truth, told), loss=metrics.mean_squared_error(truth, told))
else:
    told = model.predict_proba(unseen)[:, 1]
    found = dict(score=metrics.roc_auc_score(truth, told), loss=metrics.log_loss(truth, told))
print(json.dumps(dict(found, seconds=seconds)))
"""


def run(command, budget):
    words = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=budget, env=words)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(told.stdout.splitlines()[-1])


def ours(files, stopped, budget):
    spec = dict(kind="ensemble", n_trees=TREES, max_leaves=LEAVES, learning_rate=RATE)
    if not stopped:
        spec["early_stopping"] = None
    told = run([OURS, *files, "--spec", json.dumps(spec)], budget)
    if told is None:
        return None
    measures = told["held_out"]
    return dict(score=measures["score"], loss=measures.get("log_loss") or measures["mse"], seconds=told["seconds"])


def main():
    words = argparse.ArgumentParser()
    words.add_argument("patterns", nargs="*", default=["*"])
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--budget", type=float, default=600.0, help="seconds for reading and fitting once")
    given = words.parse_args()
    print("| row | score | theirs | loss | theirs | ratio of losses | ours | scikit-learn | theirs / ours |\n|---|---|---|---|---|---|---|---|---|")
    for name, files, score, stopped, peer in ROWS:
        if not any(fnmatch.fnmatch(name, pattern) for pattern in given.patterns):
            continue
        paths = [os.path.join(DATA, f"{file}.svm.zst") for file in files]
        asked = json.dumps([paths, score, stopped, peer, TREES, LEAVES, RATE])
        rounds = [(ours(paths, stopped, given.budget), run([sys.executable, "-c", PEER, asked], given.budget)) for _ in range(given.rounds)]
        pairs = [(one, other) for one, other in rounds if one and other]
        if not pairs:
            print(f"| {name} | none in {given.budget:.0f} s | | | | | | | |", flush=True)
            continue
        (one, other), ratio = pairs[0], statistics.median(other["seconds"] / one["seconds"] for one, other in pairs)
        seconds = [statistics.median(pair[at]["seconds"] for pair in pairs) for at in (0, 1)]
        print(f"| {name} | {one['score']:.4f} | {other['score']:.4f} | {one['loss']:.4g} | {other['loss']:.4g} | {other['loss'] / one['loss']:.3f} |"
              f" {seconds[0]:.3g} s | {seconds[1]:.3g} s | {ratio:.1f}× |", flush=True)


if __name__ == "__main__":
    main()
