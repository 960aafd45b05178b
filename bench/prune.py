"""Prune jobs beside scikit-learn's own pruning of the very same tree, and beside plain Python for pruning by rows held out.

    cargo build --release
    python bench/prune.py [--alphas 8]

A whole tree is grown by the server and read from `/tree`. Its nodes become a tree of scikit-learn's, which prunes it for some
ccp_alpha (each the geometric mean of two neighbours of the path) by the code behind `DecisionTreeClassifier(ccp_alpha=…)`; a
prune job does the same, and the nodes are compared. Beside them stands what scikit-learn grows and prunes itself with that ccp_alpha:
where several splits are equally good it draws lots, so its leaves may differ. Pruning by reduced error, and the best score of all
prunings on rows held out, are done a second time here, from the nodes and the rows. Prints tables and facts; nothing is timed but
what the jobs tell themselves. The data are looked for as `speed.py` does; `SPARSEFIT_BINARY` names another binary.
"""
import argparse
import io
import math
import os
import subprocess

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.datasets import load_svmlight_file
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.tree import _tree as cart

from server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("SPARSEFIT_BENCH_DATA", os.path.join(HERE, "../../shared/data"))
# name, file grown on, file held out, kind, limits of growing
ROWS = [
    ("a9a", "a9a", "a9a.t", "gini", {}),
    ("a9a, entropy", "a9a", "a9a.t", "entropy", {"min_leaf_weight": 5}),
    ("bikehour", "bikehour", "bikehour", "squared", {"min_leaf_weight": 3}),
]


def raw(file):
    return subprocess.run(["zstd", "-dc", "--long=27", os.path.join(DATA, f"{file}.svm.zst")], capture_output=True, check=True).stdout


def rows(text, width=None):
    x, y = load_svmlight_file(io.BytesIO(text), n_features=width)
    return x, y


def nodes(server, href):
    return server.get(f"{href}/tree")["nodes"]


def theirs(ours, width, kind):
    """A tree of scikit-learn's with these nodes."""
    n, classes = len(ours), 1 if kind == "squared" else len(ours[0]["value"])
    tree = cart.Tree(width, np.array([classes], dtype=np.intp), 1)
    table = np.zeros(n, dtype=cart.NODE_DTYPE)
    values = np.zeros((n, 1, classes))
    for at, node in enumerate(ours):
        leaf = node["feature"] is None
        split = (-1, -1, -2, -2.0) if leaf else (node["left"], node["right"], node["feature"], node["threshold"])
        table[at] = (*split, node["impurity"], round(node["weight"]), node["weight"], 0)
        values[at, 0] = node["value"]
    depth = [0] * n
    for at, node in enumerate(ours):
        if node["feature"] is not None:
            depth[node["left"]] = depth[node["right"]] = depth[at] + 1
    tree.__setstate__({"max_depth": max(depth), "node_count": n, "nodes": table, "values": values})
    return tree


def pruned(tree, width, classes, alpha):
    smaller = cart.Tree(width, np.array([classes], dtype=np.intp), 1)
    cart._build_pruned_tree_ccp(smaller, tree, alpha)
    return smaller


def same(ours, tree):
    """Whether both are the same splits, whatever the order of their nodes."""
    due = [(0, 0)]
    while due:
        at, there = due.pop()
        node = ours[at]
        if (node["feature"] is None) != (tree.children_left[there] == -1):
            return False
        if node["feature"] is not None:
            if node["feature"] != tree.feature[there] or node["threshold"] != tree.threshold[there]:
                return False
            due += [(node["left"], tree.children_left[there]), (node["right"], tree.children_right[there])]
    return True


def paths(ours, x):
    """For each node the rows that come to it."""
    x, here = csr_matrix(x).tocsc(), {0: np.arange(x.shape[0])}
    for at, node in enumerate(ours):
        if node["feature"] is not None:
            column = np.asarray(x[:, node["feature"]].todense()).ravel()[here[at]]
            left = column <= node["threshold"]
            here[node["left"]], here[node["right"]] = here[at][left], here[at][~left]
    return here


def reduced(ours, x, y, kind):
    """(leaves, error before, error after) of pruning from the leaves up, by the definition."""
    here = paths(ours, x)
    own = {}
    for at, node in enumerate(ours):
        told = node["value"] if kind == "squared" else int(np.argmax(node["value"]))
        own[at] = float(((y[here[at]] - told) ** 2).sum()) if kind == "squared" else float((y[here[at]] != told).sum())
    whole, kept, leaves = dict(own), dict(own), {at: 1 for at in own}
    for at in reversed(range(len(ours))):
        node = ours[at]
        if node["feature"] is not None:
            below = kept[node["left"]] + kept[node["right"]]
            whole[at] = whole[node["left"]] + whole[node["right"]]
            if below < own[at]:
                kept[at], leaves[at] = below, leaves[node["left"]] + leaves[node["right"]]
    return leaves[0], whole[0] / len(y), kept[0] / len(y)


def score(tree, x, y, kind):
    value = tree.predict(x.astype(np.float32).tocsr())
    return r2_score(y, value[:, 0]) if kind == "squared" else roc_auc_score(y, value[:, 1] / value.sum(axis=1))


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--alphas", type=int, default=8)
    given = words.parse_args()
    with Server("--workers", "1") as server:
        def job(base, dataset, **spec):
            body = {"type": "prune", "model": "small", "dataset": {"name": dataset}, "spec": {"base": base, **spec}}
            done = server.wait(server.ask("POST", "/api/v1/jobs", body).expect(202, 200).json())
            if done["status"] != "succeeded":
                raise RuntimeError(f"{spec}: {done['error']}")
            return done["result"]

        for name, file, held, kind, limits in ROWS:
            train, test = raw(file), raw(held)
            x, y = rows(train)
            held_x, held_y = rows(test, x.shape[1])
            query = "&target_kind=regression" if kind == "squared" else ""
            server.upload("train", train, query=query)
            server.upload("held-out", test, query=query)
            if kind != "squared":
                y, held_y = (np.unique(one, return_inverse=True)[1] for one in (y, held_y))
            fit, href = server.fit("whole", "train", {"kind": "tree", "criterion": kind, "pruning": {"mode": "none"}, **limits})
            base, whole = fit["result"]["model_version"], nodes(server, href)
            path = server.get(f"{href}/path")["data"]
            tree, classes = theirs(whole, x.shape[1], kind), 1 if kind == "squared" else 2
            print(f"\n## {name}: {x.shape[0]} rows, {fit['result']['leaves']} leaves, {len(path)} prunings; judged on {held_x.shape[0]} rows of {held}\n")
            print("| ccp_alpha | leaves of the job | same nodes as scikit-learn's pruning | grown and pruned by scikit-learn | score of the job | of scikit-learn's tree | bytes of nodes | µs a row, p50 |")
            print("|---|---|---|---|---|---|---|---|")
            places = [round(at) for at in np.geomspace(1, len(path) - 1, given.alphas + 1) - 1]
            for at in sorted(set(places)):
                low, high = path[at]["ccp_alpha"], path[at + 1]["ccp_alpha"]
                alpha = math.sqrt(low * high) if low > 0 else high / 2
                told = job(base, "held-out", method="ccp", ccp_alpha=alpha)
                small, small_href = pruned(tree, x.shape[1], classes, alpha), told["href"]
                words = dict(ccp_alpha=alpha, random_state=0, min_samples_leaf=limits.get("min_leaf_weight", 1))
                own = DecisionTreeRegressor(**words) if kind == "squared" else DecisionTreeClassifier(criterion=kind, **words)
                own.fit(x, y)
                fact = "yes" if same(nodes(server, small_href), small) else "NO"
                print(f"| {alpha:.3g} | {told['leaves']} | {fact}, {small.n_leaves} | {own.get_n_leaves()} | {told['score']:.6f} | "
                      f"{score(small, held_x, held_y, kind):.6f} | {told['node_bytes_before']} → {told['node_bytes']} | "
                      f"{told['latency_us_p50_before']:.3g} → {told['latency_us_p50']:.3g} |", flush=True)
            told = job(base, "held-out", method="reduced_error")
            error = (lambda m: m["mse"]) if kind == "squared" else (lambda m: 1 - m["accuracy"])
            leaves, before, after = reduced(whole, held_x, held_y, kind)
            print(f"\nreduced_error: {told['leaves_before']} → {told['leaves']} leaves (Python: {leaves}), error {error(told['metrics_before']):.6f} → "
                  f"{error(told['metrics']):.6f} (Python: {before:.6f} → {after:.6f}), score {told['score_before']:.6f} → {told['score']:.6f}, "
                  f"{told['size_bytes_before']} → {told['size_bytes']} bytes, {told['latency_us_p50_before']:.3g} → {told['latency_us_p50']:.3g} µs a row")
            best = job(base, "held-out", method="ccp", selection={"method": "holdout"})
            near = job(base, "held-out", method="ccp", selection={"method": "holdout", "rule": "1se"})
            loss = job(base, "held-out", method="ccp", max_quality_loss=0.001)
            shown = server.get(near["href"])["selection"]
            for what, told in [("holdout, min", best), ("holdout, 1se", near), ("max_quality_loss 0.001", loss)]:
                print(f"{what}: {told['leaves_before']} → {told['leaves']} leaves, score {told['score_before']:.6f} → {told['score']:.6f}")
            print(f"(standard error of the best score: {shown['score_se']:.6f})")


if __name__ == "__main__":
    main()
