"""Makes `bounds.json`: small problems with bounds on the coefficients, and what scikit-learn and scipy find for them.

    python tests/references/bounds.py          # needs numpy, scipy and scikit-learn

Non-negative lasso and elastic net: scikit-learn's with `positive=True`, whose alpha is our λ. Least squares within a box and a
ridge: `scipy.optimize.lsq_linear` on the stacked system [X/√n; √λ·I], whose objective is ours. Logistic loss within a box with an
elastic net: `scipy.optimize.minimize` (L-BFGS-B) over w = u − v, u ≥ 0 and v ≥ 0, where the penalty is smooth.
"""
import json
import os

import numpy as np
from scipy.optimize import lsq_linear, minimize
from sklearn.linear_model import ElasticNet, Lasso

HERE = os.path.dirname(os.path.abspath(__file__))
OPEN = [None, None]
BOX = [[-0.5, 0.5], [None, 0], [0, 0.25], OPEN, [0, 0], [-0.1, None]]


def ends(bounds):
    low = np.array([-np.inf if low is None else low for low, _ in bounds], float)
    high = np.array([np.inf if high is None else high for _, high in bounds], float)
    return low, high


def data(seed, n, p, classes):
    draw = np.random.RandomState(seed)
    x = np.where(draw.rand(n, p) < 0.6, np.round(draw.randn(n, p), 3), 0.0)
    x[:, 2] = np.round(x[:, 1] + 0.5 * x[:, 2], 3)
    eta = 1.5 * x[:, 0] - x[:, 1] + 0.7 * x[:, 3] + 0.3 * draw.randn(n)
    return x, np.where(eta > 0, 1.0, -1.0) if classes else np.round(eta + 0.5, 3)


def smooth(x, y, lam, ratio, bounds):
    """Logistic loss; an intercept; coefficients as differences of two that are not negative."""
    n, p = x.shape
    low, high = ends(bounds)

    def f(z):
        u, v, b = z[:p], z[p:2 * p], z[-1]
        w = u - v
        margin = y * (x @ w + b)
        slope = -y / (1 + np.exp(margin)) / n
        gradient = x.T @ slope + lam * (1 - ratio) * w
        value = np.logaddexp(0, -margin).mean() + lam * (ratio * (u + v).sum() + (1 - ratio) / 2 * (w @ w))
        return value, np.concatenate([gradient + lam * ratio, -gradient + lam * ratio, [slope.sum()]])

    limits = [(0, max(h, 0)) for h in high] + [(0, max(-l, 0)) for l in low] + [(None, None)]
    limits = [(a, None if b == np.inf else b) for a, b in limits]
    found = minimize(f, np.zeros(2 * p + 1), jac=True, method="L-BFGS-B", bounds=limits,
                     options=dict(maxiter=100_000, maxfun=1_000_000, ftol=1e-16, gtol=1e-12, maxcor=30))
    return found.x[:p] - found.x[p:2 * p], float(found.x[-1])


def main():
    cases = []

    def add(name, loss, ratio, lam, intercept, bounds, x, y, w, b):
        eta = x @ w + b
        losses = np.logaddexp(0, -y * eta) if loss == "logistic" else 0.5 * (y - eta) ** 2
        objective = losses.mean() + lam * (ratio * np.abs(w).sum() + (1 - ratio) / 2 * (w @ w))
        print(name, np.round(w, 4), round(b, 4), objective)
        cases.append({"name": name, "loss": loss, "l1_ratio": ratio, "lambda": lam, "intercept": intercept, "bounds": bounds,
                      "x": x.tolist(), "y": y.tolist(), "coefficients": w.tolist(), "intercept_value": b, "objective": objective})

    tight = dict(tol=1e-14, max_iter=1_000_000, positive=True)
    for intercept in (True, False):
        x, y = data(5, 60, 6, False)
        positive = [[0, None]] * 6
        model = Lasso(alpha=0.05, fit_intercept=intercept, **tight).fit(x, y)
        add(f"positive lasso {intercept}", "squared", 1.0, 0.05, intercept, positive, x, y, model.coef_, float(model.intercept_))
        model = ElasticNet(alpha=0.05, l1_ratio=0.5, fit_intercept=intercept, **tight).fit(x, y)
        add(f"positive net {intercept}", "squared", 0.5, 0.05, intercept, positive, x, y, model.coef_, float(model.intercept_))
    for lam in (0.1, 1e-4):
        x, y = data(6, 60, 6, False)
        low, high = ends(BOX)
        kept = [j for j in range(6) if low[j] < high[j]]
        stacked = np.vstack([x[:, kept] / np.sqrt(60), np.sqrt(lam) * np.eye(len(kept))])
        right = np.concatenate([y / np.sqrt(60), np.zeros(len(kept))])
        found = lsq_linear(stacked, right, (low[kept], high[kept]), method="bvls", tol=1e-15, max_iter=1000)
        w = np.zeros(6)
        w[kept] = found.x
        add(f"box ridge {lam}", "squared", 0.0, lam, False, BOX, x, y, w, 0.0)
    for ratio in (1.0, 0.5):
        x, y = data(7, 80, 6, True)
        w, b = smooth(x, y, 0.02, ratio, BOX)
        add(f"box logistic {ratio}", "logistic", ratio, 0.02, True, BOX, x, y, w, b)
    with open(os.path.join(HERE, "bounds.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
