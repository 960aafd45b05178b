"""Makes `subset.json`: small problems with the L0 penalty, and the best of all their supports.

    python tests/references/subset.py          # needs numpy

Every support is fitted, by least squares or by Newton steps; F = mean loss + lambda·(number of coefficients). `by_size` has the best
support of each size. Columns have mean 0, so that the intercept, where there is one, is what it is for all supports of a squared loss.
"""
import itertools
import json
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def data(seed, n, p, rho, classes):
    draw = np.random.RandomState(seed)
    x = draw.randn(n, p)
    for j in range(1, p):
        x[:, j] = rho * x[:, j - 1] + np.sqrt(1 - rho * rho) * x[:, j]
    x = np.round(x, 3)
    eta = 1.2 * x[:, 0] - x[:, 2] + 0.8 * x[:, p - 1] + 0.4 * x[:, 4] + 0.8 * draw.randn(n)
    return x, np.where(eta > 0, 1.0, -1.0) if classes else np.round(eta + 0.5, 3)


def fit(x, y, loss):
    a = np.hstack([x, np.ones((len(y), 1))])
    w = np.zeros(a.shape[1])
    for _ in range(2 if loss == "squared" else 40):
        eta = a @ w
        q = 1 / (1 + np.exp(y * eta))
        slope, bend = (eta - y, np.ones(len(y))) if loss == "squared" else (-y * q, q * (1 - q))
        w = w - np.linalg.solve(a.T @ (a * bend[:, None]), a.T @ slope)
    eta = a @ w
    return np.mean((y - eta) ** 2) / 2 if loss == "squared" else np.mean(np.logaddexp(0, -y * eta)), w


def cases():
    yield "least squares", "squared", 0.3, 0.02
    yield "least squares, correlated", "squared", 0.8, 0.01
    yield "least squares, small lambda", "squared", 0.6, 0.002
    yield "logistic", "logistic", 0.3, 0.01
    yield "logistic, correlated", "logistic", 0.7, 0.005


def main():
    found = []
    for seed, (name, loss, rho, lam) in enumerate(cases()):
        n, p = 120, 10
        x, y = data(500 + seed, n, p, rho, loss == "logistic")
        best, by_size = None, []
        for k in range(p + 1):
            sizes = [(fit(x[:, s], y, loss), s) for s in map(list, itertools.combinations(range(p), k))]
            (value, w), support = min(sizes, key=lambda item: item[0][0])
            by_size.append({"support": support, "loss": float(value)})
            if best is None or value + lam * k < best[0]:
                best = (value + lam * k, support, w)
        print(f"{name}: {best[1]}", file=sys.stderr)
        coefficients = np.zeros(p)
        coefficients[best[1]] = best[2][:-1]
        found.append({"name": name, "loss": loss, "lambda": lam, "x": x.tolist(), "y": y.tolist(), "coefficients": coefficients.tolist(),
                      "intercept_value": float(best[2][-1]), "objective": float(best[0]), "by_size": by_size})
    with open(os.path.join(HERE, "subset.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
