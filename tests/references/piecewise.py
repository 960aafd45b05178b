"""Makes `piecewise.json`: small Huber and squared-hinge problems and what scipy and scikit-learn find for them.

    python tests/references/piecewise.py       # needs numpy, scipy and scikit-learn

Huber: L-BFGS-B on the positive and the negative part of each coefficient, both bounded by 0; the solution is kept only when its
optimality conditions hold. Squared hinge: LinearSVC (liblinear), whose C is 1/(n·lambda) and which would penalise an intercept.
"""
import json
import os
import sys

import numpy as np
from scipy.optimize import minimize
from sklearn.svm import LinearSVC

HERE = os.path.dirname(os.path.abspath(__file__))


def sigma(x, share, settings):
    return np.sqrt(share @ (x - share @ x) ** 2) if settings["standardize"] else np.ones(x.shape[1])


def loss(r_or_margin, settings):
    if settings["loss"] == "huber":
        size, delta = np.abs(r_or_margin), settings["delta"]
        return np.where(size <= delta, size**2 / 2, delta * size - delta**2 / 2)
    return np.maximum(0, 1 - r_or_margin) ** 2


def objective(x, y, weights, offset, w, b, settings):
    share = weights / weights.sum()
    eta = x @ w + b + offset
    at = y - eta if settings["loss"] == "huber" else y * eta
    v, ratio = w * sigma(x, share, settings), settings["l1_ratio"]
    return float(share @ loss(at, settings) + settings["lam"] * (ratio * np.abs(v) + (1 - ratio) / 2 * v * v).sum())


def huber(x, y, weights, offset, settings):
    share, p, delta = weights / weights.sum(), x.shape[1], settings["delta"]
    z = x / sigma(x, share, settings)
    lam, ratio = settings["lam"], settings["l1_ratio"]

    def value(both):
        v, b = both[:p] - both[p:-1], both[-1]
        r = y - z @ v - b - offset
        slope = -share * np.clip(r, -delta, delta)
        total = share @ loss(r, settings) + lam * (ratio * both[:-1].sum() + (1 - ratio) / 2 * v @ v)
        each = z.T @ slope + lam * (1 - ratio) * v
        return total, np.concatenate([each + lam * ratio, -each + lam * ratio, [slope.sum() if settings["intercept"] else 0.0]])

    bounds = [(0, None)] * (2 * p) + [(None, None) if settings["intercept"] else (0, 0)]
    found = np.zeros(2 * p + 1)
    for _ in range(20):
        options = dict(maxiter=100000, maxfun=1000000, ftol=0, gtol=1e-13, maxcor=50)
        found = minimize(value, found, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    v, b = found[:p] - found[p:-1], found[-1]
    v[np.abs(v) < 1e-9] = 0.0
    c = z.T @ (share * np.clip(y - z @ v - b - offset, -delta, delta)) - lam * (1 - ratio) * v
    off = np.where(v == 0, np.maximum(np.abs(c) - lam * ratio, 0), np.abs(c - lam * ratio * np.sign(v)))
    assert off.max() < 1e-7 * lam, off.max() / lam
    return v / sigma(x, share, settings), b


def hinge(x, y, settings):
    penalty = "l1" if settings["l1_ratio"] == 1.0 else "l2"
    made = LinearSVC(penalty=penalty, loss="squared_hinge", dual=False, C=1 / (len(y) * settings["lam"]), fit_intercept=False, tol=1e-9,
                     max_iter=1_000_000, random_state=0)
    return made.fit(x, y).coef_[0], 0.0


def cases():
    ones = dict(loss="huber", delta=1.0, lam=0.1, l1_ratio=1.0, standardize=False, intercept=True)
    yield "huber lasso", ones, False, False
    yield "huber lasso without intercept, delta 0.5", dict(ones, intercept=False, delta=0.5), False, False
    yield "huber lasso, scaled, weighted, delta 2", dict(ones, standardize=True, delta=2.0), True, False
    yield "huber elastic net 0.5, scaled, weighted, with offsets", dict(ones, l1_ratio=0.5, standardize=True), True, True
    yield "huber ridge", dict(ones, l1_ratio=0.0), False, False
    yield "huber lasso, delta beyond every residual", dict(ones, delta=1e3), False, False
    plain = dict(loss="squared_hinge", delta=None, lam=0.1, l1_ratio=1.0, standardize=False, intercept=False)
    yield "squared hinge lasso", plain, False, False
    yield "squared hinge lasso, small lambda", dict(plain, lam=0.01), False, False
    yield "squared hinge ridge", dict(plain, l1_ratio=0.0), False, False


def main():
    found = []
    for seed, (name, settings, weighted, moved) in enumerate(cases()):
        draw = np.random.RandomState(300 + seed)
        n, p = 50, 7
        x = np.where(draw.rand(n, p) < 0.6, np.round(draw.randn(n, p), 3), 0.0)
        noise = draw.randn(n) + np.where(draw.rand(n) < 0.15, 15 * draw.randn(n), 0)
        y = np.round(0.7 + 1.5 * x[:, 0] - x[:, 1] + noise, 3)
        if settings["loss"] == "squared_hinge":
            y = np.where(y > 0, 1.0, -1.0)
        weights = np.round(0.2 + 2 * draw.rand(n), 2) if weighted else np.ones(n)
        offset = np.round(0.3 * draw.randn(n), 2) if moved else np.zeros(n)
        w, b = huber(x, y, weights, offset, settings) if settings["loss"] == "huber" else hinge(x, y, settings)
        print(f"{name}: {np.count_nonzero(w)} of {p}", file=sys.stderr)
        found.append({
            "name": name, "loss": settings["loss"], "delta": settings["delta"], "intercept": settings["intercept"],
            "standardize": settings["standardize"], "l1_ratio": settings["l1_ratio"], "x": x.tolist(), "y": y.tolist(),
            "weights": weights.tolist() if weighted else None, "factors": None, "offset": offset.tolist() if moved else None,
            "lambda_max": None, "lambda": settings["lam"], "coefficients": w.tolist(), "intercept_value": float(b),
            "objective": objective(x, y, weights, offset, w, b, settings),
        })
    with open(os.path.join(HERE, "piecewise.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
