"""Trees beside scikit-learn's: CPU seconds and memory of growing on the same sparse matrix, in one run.

    cargo build --release --example tree
    python bench/trees.py [PATTERN …] [--rounds 3] [--budget 300]
    python bench/trees.py --scaling

Both read the same file, values in single precision (scikit-learn's own). Ours is charged for ordering the columns and growing;
scikit-learn for `fit` on a CSC matrix. Each measurement is a process of its own, ours and the peer's in turn, one thread
each; the ratio of a row is the median over rounds of (theirs / ours of the same round). Memory is the most resident beyond
what was resident before. `--scaling` grows on the first eighth, quarter,
half of the rows of debian-section and on all: time and memory over the non-zeros. Prints a table and asserts nothing. The data are looked for as `speed.py` does.
"""
import argparse
import fnmatch
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("SPARSEFIT_BENCH_DATA", os.path.join(HERE, "../../shared/data"))
OURS = os.environ.get("SPARSEFIT_TREE", os.path.join(HERE, "../target/release/examples/tree"))
# name, file, kind, what limits
ROWS = [
    ("20news/one/depth5", "20news-bydate.train", "class:20", {"depth": 5}),
    ("20news/one/leaves64", "20news-bydate.train", "class:20", {"leaves": 64}),
    ("20news/one/full", "20news-bydate.train", "class:20", {}),
    ("20news/one/entropy/full", "20news-bydate.train", "class:20", {"entropy": True}),
    ("20news/all/leaves64", "20news-bydate.train", "classes", {"leaves": 64}),
    ("debian-section/depth2", "debian-section", "class:1", {"depth": 2}),
    ("debian-section/depth5", "debian-section", "class:1", {"depth": 5}),
    ("debian-section/depth10", "debian-section", "class:1", {"depth": 10}),
    ("debian-section/leaves32", "debian-section", "class:1", {"leaves": 32}),
    ("debian-size/squared/depth5", "debian-size", "squared", {"depth": 5}),
    ("a9a/depth8", "a9a", "class:1", {"depth": 8}),
    ("a9a/full", "a9a", "class:1", {}),
    ("bikehour/squared/full", "bikehour", "squared", {}),
]
PEER = """
import io, json, resource, subprocess, sys, time
import numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
file, kind, limits = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
raw = subprocess.run(["zstd", "-dc", "--long=27", file], capture_output=True, check=True).stdout
x, y = load_svmlight_file(io.BytesIO(raw))
x = x.astype(np.float32).tocsc()
if kind.startswith("class:"):
    y = (y == float(kind[6:])).astype(int)
del raw
words = dict(max_depth=limits.get("depth"), max_leaf_nodes=limits.get("leaves"), random_state=0)
model = DecisionTreeRegressor(**words) if kind == "squared" else DecisionTreeClassifier(criterion="entropy" if limits.get("entropy") else "gini", **words)
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
open("/proc/self/clear_refs", "w").write("5")     # forgets the peak of reading
before, start = resident(), time.process_time()
model.fit(x, y)
seconds = time.process_time() - start
peak = [int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith("VmHWM")][0]
print(json.dumps(dict(total=seconds, leaves=int(model.get_n_leaves()), depth=int(model.get_depth()), peak_mib=peak - before)))
"""


def run(command, budget):
    words = dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=budget, env=words)
    except subprocess.TimeoutExpired:
        return None
    return json.loads(told.stdout.splitlines()[-1])


def scaling(rounds, budget):
    """Time and memory of growing over the non-zeros of growing matrices."""
    lines = subprocess.run(["zstd", "-dc", "--long=27", os.path.join(DATA, "debian-section.svm.zst")], capture_output=True, check=True).stdout.splitlines(keepends=True)
    print("| rows | non-zeros | grown | a non-zero | MiB | bytes a non-zero |\n|---|---|---|---|---|---|")
    for part in (8, 4, 2, 1):
        some = lines[::part]
        nonzeros = sum(line.count(b":") for line in some)
        with tempfile.NamedTemporaryFile(suffix=".svm") as file:
            file.writelines(some)
            file.flush()
            found = [one for one in (run([OURS, file.name, "class:1", "depth=10"], budget) for _ in range(rounds)) if one]
        if found:
            seconds, peak = (statistics.median(one[key] for one in found) for key in ("total", "peak_mib"))
            print(f"| {len(some)} | {nonzeros} | {seconds:.3g} s | {1e9 * seconds / nonzeros:.0f} ns | {peak:.0f} | {peak * 2**20 / nonzeros:.1f} |", flush=True)


def main():
    words = argparse.ArgumentParser()
    words.add_argument("patterns", nargs="*", default=["*"])
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--budget", type=float, default=300.0, help="seconds for reading and growing once")
    words.add_argument("--scaling", action="store_true", help="one data set, an eighth of its rows to all")
    given = words.parse_args()
    if given.scaling:
        return scaling(given.rounds, given.budget)
    print("| row | ours | of it ordering | leaves, depth | MiB | scikit-learn | leaves, depth | MiB | theirs / ours |\n|---|---|---|---|---|---|---|---|---|")
    for name, file, kind, limits in ROWS:
        if not any(fnmatch.fnmatch(name, pattern) for pattern in given.patterns):
            continue
        path = os.path.join(DATA, f"{file}.svm.zst")
        options = [key if value is True else f"{key}={value}" for key, value in limits.items()]
        rounds = [(run([OURS, path, kind, *options], given.budget),
                   run([sys.executable, "-c", PEER, path, kind, json.dumps(limits)], given.budget)) for _ in range(given.rounds)]
        ours = [one for one, _ in rounds if one]
        pairs = [(one, other) for one, other in rounds if one and other]
        middle = lambda of, key: statistics.median(one[key] for one in of)
        line = f"| {name} | {middle(ours, 'total'):.3g} s | {middle(ours, 'order'):.2g} s | {ours[0]['leaves']}, {ours[0]['depth']} | {middle(ours, 'peak_mib'):.0f} |"
        if pairs:
            theirs = [other for _, other in pairs]
            ratio = statistics.median(other["total"] / one["total"] for one, other in pairs)
            line += f" {middle(theirs, 'total'):.3g} s | {theirs[0]['leaves']}, {theirs[0]['depth']} | {middle(theirs, 'peak_mib'):.0f} | {ratio:.1f}× |"
        else:
            line += f" none in {given.budget:.0f} s | | | |"
        print(line, flush=True)


if __name__ == "__main__":
    main()
