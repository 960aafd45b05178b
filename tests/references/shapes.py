"""Makes `shapes.json`: small problems with groups, MCP and SCAD, and what skglm finds for them.

    python tests/references/shapes.py          # needs numpy and skglm 0.5

skglm's objectives are ours without weights: it divides by the number of rows, multiplies each group's norm by a weight that we
give as √|g|, and its MCP and SCAD are the formulas of the contract. Columns have unit variance, so that scaling changes nothing.
"""
import json
import os
import sys

import numpy as np
from skglm.datafits import LogisticGroup, Quadratic, QuadraticGroup
from skglm.penalties import MCPenalty, SCAD, WeightedGroupL2
from skglm.solvers import AndersonCD, GroupBCD, GroupProxNewton

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = [[0, 3], [1, 2, 7], [4], [5, 6]]


def data(seed, n, p, classes):
    draw = np.random.RandomState(seed)
    x = np.where(draw.rand(n, p) < 0.6, np.round(draw.randn(n, p), 3), 0.0)
    x[:, 2] = np.round(x[:, 1] + 0.5 * x[:, 2], 3)
    x -= x.mean(0)
    x /= x.std(0)
    eta = 1.5 * x[:, 0] - x[:, 1] + 0.7 * x[:, 3] + 0.3 * draw.randn(n)
    return np.asfortranarray(x), np.where(eta > 0, 1.0, -1.0) if classes else np.round(eta + 0.5, 3)


def penalty_value(kind, w, lam, gamma):
    u = np.abs(w)
    if kind == "group":
        return lam * sum(np.sqrt(len(g)) * np.linalg.norm(w[g]) for g in GROUPS)
    if kind == "mcp":
        return np.where(u <= gamma * lam, lam * u - u * u / (2 * gamma), gamma * lam * lam / 2).sum()
    middle = (2 * gamma * lam * u - u * u - lam * lam) / (2 * (gamma - 1))
    return np.where(u <= lam, lam * u, np.where(u <= gamma * lam, middle, lam * lam * (gamma + 1) / 2)).sum()


def solve(kind, loss, x, y, lam, gamma):
    n, p = x.shape
    if kind == "group":
        indices = np.concatenate(GROUPS).astype(np.int32)
        ptr = np.cumsum([0] + [len(g) for g in GROUPS]).astype(np.int32)
        weights = np.sqrt([float(len(g)) for g in GROUPS])
        penalty = WeightedGroupL2(lam, weights, ptr, indices)
        datafit = (QuadraticGroup if loss == "squared" else LogisticGroup)(ptr, indices)
        solver = (GroupBCD(max_iter=5000, max_epochs=100_000, tol=1e-13, fit_intercept=False)
                  if loss == "squared" else GroupProxNewton(max_iter=1000, tol=1e-13, fit_intercept=False))
    else:
        penalty = (MCPenalty if kind == "mcp" else SCAD)(lam, gamma)
        datafit = Quadratic()
        solver = AndersonCD(max_iter=1000, max_epochs=100_000, tol=1e-13, fit_intercept=False)
    return solver.solve(x, y, datafit, penalty)[0][:p]


def cases():
    yield "group lasso", "group", "squared", 0.2, None
    yield "group lasso, small lambda", "group", "squared", 0.01, None
    yield "group lasso, logistic", "group", "logistic", 0.05, None
    yield "MCP", "mcp", "squared", 0.3, 3.0
    yield "MCP, small lambda", "mcp", "squared", 0.05, 3.0
    yield "SCAD", "scad", "squared", 0.3, 3.7
    yield "SCAD, small lambda", "scad", "squared", 0.05, 3.7


def main():
    found = []
    for seed, (name, kind, loss, lam, gamma) in enumerate(cases()):
        x, y = data(200 + seed, 60, 8, loss == "logistic")
        w = solve(kind, loss, x, y, lam, gamma)
        eta = x @ w
        fit = np.mean((y - eta) ** 2) / 2 if loss == "squared" else np.mean(np.log1p(np.exp(-y * eta)))
        print(f"{name}: {np.count_nonzero(w)} of {len(w)}", file=sys.stderr)
        found.append({"name": name, "kind": kind, "loss": loss, "lambda": lam, "gamma": gamma, "groups": GROUPS, "x": x.tolist(),
                      "y": y.tolist(), "coefficients": w.tolist(), "objective": float(fit + penalty_value(kind, w, lam, gamma))})
    with open(os.path.join(HERE, "shapes.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
