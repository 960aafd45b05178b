"""Makes `poisson.json`: small Poisson problems and what R's glmnet finds for them.

    python tests/references/poisson.py         # needs numpy, and R with glmnet (bench/README.md)

glmnet's objective for counts is ours: it divides by the sum of the weights, and unlike its gaussian family it does not
scale the target. Factors are left at 1, since it rescales them.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = """
suppressMessages(library(glmnet))
x <- as.matrix(read.csv("x.csv", header=FALSE)); y <- scan("y", quiet=TRUE); w <- scan("w", quiet=TRUE); o <- scan("o", quiet=TRUE)
m <- glmnet(x, y, family="poisson", weights=w, offset=o, lambda=c(4, 2, 1) * {lam}, alpha={l1_ratio}, standardize={standardize},
            intercept={intercept}, thresh=1e-15, maxit=1e7)
cat(format(c(m$a0[3], as.numeric(m$beta[, 3])), digits=15))
"""


def glmnet(x, y, weights, offset, settings):
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(f"{folder}/x.csv", x, delimiter=",", fmt="%.17g")
        for name, numbers in (("y", y), ("w", weights), ("o", offset)):
            np.savetxt(f"{folder}/{name}", numbers, fmt="%.17g")
        words = {key: str(value).upper() if isinstance(value, bool) else value for key, value in settings.items()}
        told = subprocess.run(["R", "--slave", "-e", SCRIPT.format(**words)], cwd=folder, check=True, capture_output=True, text=True)
    numbers = np.array(told.stdout.split(), float)
    return numbers[1:], float(numbers[0])


def objective(x, y, weights, offset, w, b, settings):
    share = weights / weights.sum()
    eta = x @ w + b + offset
    sigma = np.sqrt(share @ (x - share @ x) ** 2) if settings["standardize"] else 1.0
    v, ratio = w * sigma, settings["l1_ratio"]
    return float(share @ (np.exp(eta) - y * eta) + settings["lam"] * (ratio * np.abs(v) + (1 - ratio) / 2 * v * v).sum())


def cases():
    ones = dict(lam=0.1, l1_ratio=1.0, standardize=False, intercept=True)
    yield "poisson lasso", ones, False, False
    yield "poisson lasso without intercept", dict(ones, intercept=False), False, False
    yield "poisson lasso, scaled, weighted", dict(ones, standardize=True), True, False
    yield "poisson lasso, small lambda, with offsets", dict(ones, lam=0.01), False, True
    yield "poisson elastic net 0.5, scaled, weighted, with offsets", dict(ones, l1_ratio=0.5, standardize=True), True, True
    yield "poisson ridge", dict(ones, l1_ratio=0.0), False, False


def main():
    found = []
    for seed, (name, settings, weighted, moved) in enumerate(cases()):
        draw = np.random.RandomState(100 + seed)
        n, p = 40, 7
        x = np.where(draw.rand(n, p) < 0.6, np.round(draw.randn(n, p), 3), 0.0)
        y = draw.poisson(np.exp(0.4 + 0.8 * x[:, 0] - 0.5 * x[:, 1])).astype(float)
        weights = np.round(0.2 + 2 * draw.rand(n), 2) if weighted else np.ones(n)
        offset = np.round(0.3 * draw.randn(n), 2) if moved else np.zeros(n)
        w, b = glmnet(x, y, weights, offset, settings)
        print(f"{name}: {np.count_nonzero(w)} of {p}", file=sys.stderr)
        found.append({
            "name": name, "loss": "poisson", "intercept": settings["intercept"], "standardize": settings["standardize"],
            "l1_ratio": settings["l1_ratio"], "x": x.tolist(), "y": y.tolist(), "weights": weights.tolist() if weighted else None,
            "factors": None, "offset": offset.tolist() if moved else None, "lambda_max": None, "lambda": settings["lam"],
            "coefficients": w.tolist(), "intercept_value": b, "objective": objective(x, y, weights, offset, w, b, settings),
        })
    with open(os.path.join(HERE, "poisson.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
