"""Makes `equivalents.json`: problems, the parameters that `equivalents` of a model states for other libraries, and what those
libraries find with them. Read by `src/train/tests/equivalents.rs`, which fits the same problems.

    python tests/references/equivalents.py     # needs numpy, scikit-learn, celer, skglm, and R with glmnet (bench/README.md)

scikit-learn is asked by every solver that serves the penalty; celer and skglm know no sample weights. Spark is not run here.
"""
import json
import os
import subprocess
import tempfile
import warnings

import celer
import numpy as np
import skglm
from sklearn import linear_model

HERE = os.path.dirname(os.path.abspath(__file__))
FAMILY = {"squared": "gaussian", "logistic": "binomial", "poisson": "poisson"}
GLMNET = """
suppressMessages(library(glmnet))
x <- as.matrix(read.csv("x.csv", header=FALSE)); y <- scan("y", quiet=TRUE); w <- scan("w", quiet=TRUE)
m <- glmnet(x, y, family="{family}", weights=w, lambda=c(4, 2, 1) * {lambda_}, alpha={alpha}, standardize={standardize},
            intercept={intercept}, thresh=1e-15, maxit=1e7)
cat(format(c(m$a0[3], as.numeric(m$beta[, 3])), digits=15))
"""


def glmnet(x, y, weights, loss, lam, ratio, standardize, intercept):
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(f"{folder}/x.csv", x, delimiter=",", fmt="%.17g")
        np.savetxt(f"{folder}/y", y, fmt="%.17g")
        np.savetxt(f"{folder}/w", np.ones(len(y)) if weights is None else weights, fmt="%.17g")
        words = dict(family=FAMILY[loss], lambda_=lam, alpha=ratio, standardize=str(standardize).upper(), intercept=str(intercept).upper())
        told = subprocess.run(["R", "--slave", "-e", GLMNET.format(**words)], cwd=folder, check=True, capture_output=True, text=True)
    numbers = np.array(told.stdout.split(), float)
    params = {"family": FAMILY[loss], "lambda": lam, "alpha": ratio, "standardize": standardize, "intercept": intercept}
    return "glmnet", params, numbers[1:], numbers[0]


def estimator(library, model, params, x, y, weights):
    kept = dict(params)
    sample = {} if weights is None else {"sample_weight": weights}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y, **sample)
    return library, kept, np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])


def others(x, y, weights, loss, lam, ratio, intercept):
    total = len(y) if weights is None else weights.sum()
    tight = dict(tol=1e-14, max_iter=1_000_000)
    own = {"fit_intercept": intercept}
    if loss == "squared" and ratio == 0:
        p = {"estimator": "Ridge", "alpha": lam * total, **own}
        yield estimator("sklearn", linear_model.Ridge(alpha=p["alpha"], solver="cholesky", **own), p, x, y, weights)
    elif loss == "squared":
        name = "Lasso" if ratio == 1 else "ElasticNet"
        mix = {} if ratio == 1 else {"l1_ratio": ratio}
        p = {"estimator": name, "alpha": lam, **mix, **own}
        yield estimator("sklearn", getattr(linear_model, name)(alpha=lam, **mix, **own, **tight), p, x, y, weights)
        if weights is None:
            yield estimator("celer", getattr(celer, name)(alpha=lam, **mix, **own, tol=1e-12), p, x, y, None)
            yield estimator("skglm", getattr(skglm, name)(alpha=lam, **mix, **own, tol=1e-12), p, x, y, None)
    elif loss == "logistic":
        p = {"estimator": "LogisticRegression", "C": 1 / (total * lam), "l1_ratio": ratio, **own}
        solver = "saga" if ratio > 0 else "lbfgs"
        model = linear_model.LogisticRegression(C=p["C"], l1_ratio=ratio, solver=solver, tol=1e-12, max_iter=1_000_000, **own)
        yield estimator("sklearn", model, p, x, y, weights)
        if weights is None and ratio == 1 and not intercept:
            p = {"estimator": "LogisticRegression", "C": 1 / (total * lam), **own}
            yield estimator("celer", celer.LogisticRegression(C=p["C"], tol=1e-12, **own), p, x, y, None)
        if weights is None and ratio > 0:
            p = {"estimator": "SparseLogisticRegression", "alpha": lam, "l1_ratio": ratio, **own}
            model = skglm.SparseLogisticRegression(alpha=lam, l1_ratio=ratio, tol=1e-10, max_iter=200, **own)
            yield estimator("skglm", model, p, x, y, None)
    elif loss == "poisson" and ratio == 0:
        p = {"estimator": "PoissonRegressor", "alpha": lam, **own}
        yield estimator("sklearn", linear_model.PoissonRegressor(alpha=lam, tol=1e-12, max_iter=100_000, **own), p, x, y, weights)


def main():
    draw, found = np.random.RandomState(11), []
    n, p = 50, 6
    for loss in ("squared", "logistic", "poisson"):
        for ratio in (1.0, 0.5, 0.0):
            for weighted in (False, True):
                for standardize, intercept in ((False, True), (False, False), (True, True), (True, False)):
                    x = np.where(draw.rand(n, p) < 0.6, np.round(draw.randn(n, p), 2), 0.0)
                    eta = 0.3 + 1.2 * x[:, 0] - 0.8 * x[:, 1] + 0.4 * draw.randn(n)
                    y = {"squared": np.round(eta, 2), "logistic": (eta > 0).astype(float), "poisson": draw.poisson(np.exp(0.6 * eta)).astype(float)}[loss]
                    weights = np.round(0.2 + 2 * draw.rand(n), 1) if weighted else None
                    lam = 0.05
                    told = []
                    if loss != "squared" or ratio == 1.0:
                        told.append(glmnet(x, y, weights, loss, lam, ratio, standardize, intercept))
                    if not standardize:
                        told.extend(others(x, y, weights, loss, lam, ratio, intercept))
                    found.append({
                        "loss": loss, "l1_ratio": ratio, "lambda": lam, "standardize": standardize, "intercept": intercept,
                        "x": x.tolist(), "y": y.tolist(), "weights": None if weights is None else weights.tolist(),
                        "told": {library: {"parameters": params, "coefficients": w.tolist(), "intercept": float(b)} for library, params, w, b in told},
                    })
                    print(loss, ratio, weighted, standardize, intercept, sorted(found[-1]["told"]))
    with open(os.path.join(HERE, "equivalents.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
