"""Makes `ensembles.json`: boosted trees of scikit-learn on small data, which are inlined, and what they predict after some rounds.

    python tests/references/ensembles.py    # needs scikit-learn

scikit-learn breaks ties at random. A case is kept only if every one of SEEDS seeds predicts the same; so what is compared are facts about the
data. Values have few digits, so that single precision, which is scikit-learn's own, holds them.
"""
import json
import os
import sys

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = 6
ROUNDS = [1, 2, 10, 40]
CASES = [
    ("squared", dict(max_leaves=2, learning_rate=1.0)),
    ("squared", dict(max_leaves=8, learning_rate=0.1, min_weight=5)),
    ("squared", dict(max_leaves=6, learning_rate=0.3, min_weight=20, weighted=True)),
    ("logistic", dict(max_leaves=4, learning_rate=0.1, min_weight=5)),
    ("logistic", dict(max_leaves=8, learning_rate=0.3, min_weight=25, weighted=True)),
    ("multinomial", dict(max_leaves=4, learning_rate=0.1, min_weight=5)),
    ("multinomial", dict(max_leaves=6, learning_rate=0.3, min_weight=25, weighted=True)),
]


def data(loss, seed):
    random = np.random.default_rng(seed)
    x = np.round(random.normal(size=(160, 5)) * 4096) / 4096
    x[random.random(x.shape) < 0.3] = 0
    signal = 2 * x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + random.normal(size=160) / 2
    y = {"squared": np.round(signal * 1024) / 1024, "logistic": (signal > 0) * 1.0, "multinomial": np.digitize(signal, [-0.6, 0.6]) * 1.0}[loss]
    return x, y, random.integers(0, 4, size=160).astype(float)


def predictions(loss, x, y, weights, seed, words):
    kind = GradientBoostingRegressor if loss == "squared" else GradientBoostingClassifier
    least = words.get("min_weight", 0) / (len(y) if weights is None else weights.sum())
    model = kind(n_estimators=max(ROUNDS), learning_rate=words["learning_rate"], max_leaf_nodes=words["max_leaves"], max_depth=None,
                 min_weight_fraction_leaf=least, random_state=seed)
    model.fit(x, y, sample_weight=weights)
    staged = list(model.staged_predict(x) if loss == "squared" else model.staged_predict_proba(x))
    return [np.asarray(staged[after - 1]).reshape(len(y), -1) for after in ROUNDS]


def main():
    found = []
    for at, (loss, words) in enumerate(CASES):
        x, y, weights = data(loss, at)
        weights = weights if words.get("weighted") else None
        tables = [predictions(loss, x, y, weights, seed, words) for seed in range(SEEDS)]
        same = all(np.allclose(one, other, rtol=1e-10, atol=1e-12) for table in tables for one, other in zip(table, tables[0]))
        print(f"{loss} {words}: {'kept' if same else 'ties differ'}", file=sys.stderr)
        if not same:
            continue
        picked = list(range(0, len(y), 8))
        found.append({"loss": loss, "max_leaves": words["max_leaves"], "learning_rate": words["learning_rate"],
                      "min_leaf_weight": words.get("min_weight", 0), "x": x.tolist(), "y": y.tolist(),
                      "weights": None if weights is None else weights.tolist(), "rounds": ROUNDS, "rows": picked,
                      "predictions": [table[picked].tolist() for table in tables[0]]})
    with open(os.path.join(HERE, "ensembles.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
