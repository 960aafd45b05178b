"""Makes `trees.json`: trees of scikit-learn on public data sets, their cost-complexity pruning paths and some prunings.

    python tests/references/trees.py FOLDER    # needs scikit-learn, zstd, and the data sets as FOLDER/NAME.svm.zst

scikit-learn breaks ties at random. A case is kept only if every one of SEEDS seeds gives the same path; so what is compared
are facts about the data. Values are rounded to single precision first, as scikit-learn does itself.
"""
import io
import json
import os
import subprocess
import sys

import numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = 6
CASES = [
    ("a9a", "gini", dict(max_depth=4)),
    ("a9a", "gini", dict(max_depth=6, min_weight=100)),
    ("a9a", "entropy", dict(max_depth=5)),
    ("a9a", "gini", dict(max_leaves=12)),
    ("a9a", "squared", dict(max_leaves=20, min_weight=20)),
    ("mushrooms", "gini", dict()),
    ("mushrooms", "gini", dict(max_depth=3)),
    ("mushrooms", "entropy", dict()),
    ("mushrooms", "entropy", dict(max_leaves=6)),
    ("diabetes64", "squared", dict(max_depth=4)),
    ("diabetes64", "squared", dict(max_depth=5, min_weight=10)),
    ("diabetes64", "squared", dict(max_leaves=15, min_weight=5)),
    ("diabetes64", "squared", dict(min_weight=7)),
    ("diabetes64", "squared", dict(min_weight=5, min_decrease=20.0)),
    ("bikehour", "squared", dict(max_depth=6)),
    ("bikehour", "squared", dict(max_leaves=50, min_weight=20)),
    ("bikehour", "squared", dict(max_depth=12, min_weight=50)),
    ("20news-bydate.train", "gini", dict(max_leaves=25)),
    ("20news-bydate.train", "entropy", dict(max_depth=5)),
]


def load(folder, name):
    raw = subprocess.run(["zstd", "-dc", "--long=27", f"{folder}/{name}.svm.zst"], capture_output=True, check=True).stdout
    x, y = load_svmlight_file(io.BytesIO(raw))
    return x.astype(np.float32).tocsc(), y


def model(criterion, limits, n, seed, alpha=0.0):
    made, name = (DecisionTreeRegressor, "squared_error") if criterion == "squared" else (DecisionTreeClassifier, criterion)
    return made(criterion=name, random_state=seed, ccp_alpha=alpha, max_depth=limits.get("max_depth"),
                max_leaf_nodes=limits.get("max_leaves"), min_weight_fraction_leaf=limits.get("min_weight", 0) / n,
                min_impurity_decrease=limits.get("min_decrease", 0.0))


def merged(path):
    """Equal alphas are one step: the tree after all of them."""
    alphas, impurities = [], []
    for alpha, impurity in zip(path.ccp_alphas, path.impurities):
        if alphas and alpha <= alphas[-1] * (1 + 1e-10) + 1e-14 * path.impurities[-1]:
            impurities[-1] = impurity
        else:
            alphas.append(max(float(alpha), 0.0))
            impurities.append(float(impurity))
    return alphas, impurities


def main():
    folder = sys.argv[1]
    found = []
    for name, criterion, limits in CASES:
        x, y = load(folder, name)
        n = len(y)
        paths = [merged(model(criterion, limits, n, seed).cost_complexity_pruning_path(x, y)) for seed in range(SEEDS)]
        same = all(len(a) == len(paths[0][0]) and np.allclose(a, paths[0][0], rtol=1e-9, atol=1e-13 * paths[0][1][-1]) for a, _ in paths)
        print(f"{name} {criterion} {limits}: {len(paths[0][0])} steps, {'kept' if same else 'ties differ'}", file=sys.stderr)
        if not same:
            continue
        alphas, impurities = paths[0]
        prunings = []
        for at in sorted({0, len(alphas) // 3, 2 * len(alphas) // 3, len(alphas) - 1}):
            alpha = alphas[at] * 1.0000001 + 1e-12 * impurities[-1]
            tree = model(criterion, limits, n, 0, alpha).fit(x, y)
            picked = list(range(0, n, max(1, n // 40)))
            value = tree.predict(x[picked]) if criterion == "squared" else tree.predict_proba(x[picked]).max(axis=1)
            prunings.append({"alpha": alpha, "leaves": int(tree.get_n_leaves()), "depth": int(tree.get_depth()),
                             "rows": picked, "values": [float(v) for v in value]})
        found.append({"file": f"{name}.svm.zst", "criterion": criterion, "max_depth": limits.get("max_depth"),
                      "max_leaves": limits.get("max_leaves"), "min_leaf_weight": limits.get("min_weight", 0),
                      "min_impurity_decrease": limits.get("min_decrease", 0.0), "alphas": alphas, "impurities": impurities,
                      "prunings": prunings})
    with open(os.path.join(HERE, "trees.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
