"""Fits by other libraries, on the same objective as the server's.

Standardising is done by scaling columns (zeros stay zeros; the intercept does the centring) and taken back from the
coefficients, so that a peer sees the plain lasso. Each function returns (w, b) on the original scale.
"""
import os
import warnings

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import numpy as np
import scipy.sparse as sp

warnings.filterwarnings("ignore")


def version_of(peer):
    from importlib.metadata import version

    return f"{peer} {version({'sklearn': 'scikit-learn'}.get(peer, peer))}"


def _original(problem, v, b):
    return np.where(problem.constant, 0.0, np.ravel(v) / problem.scale), float(np.ravel(b)[0]) if problem.intercept else 0.0


def skglm(problem, lam, tol, scaled=None, rounds=100, epochs=10_000):
    """`tol` bounds the violation of optimality relative to λ; `rounds` × `epochs` bound the work where it crawls."""
    import skglm as peer

    x = problem.scaled() if scaled is None else scaled
    if problem.loss == "squared":
        if problem.l1_ratio == 1.0:
            model = peer.Lasso(alpha=lam, tol=tol * lam, max_iter=rounds, max_epochs=epochs, fit_intercept=problem.intercept)
        else:
            model = peer.ElasticNet(alpha=lam, l1_ratio=problem.l1_ratio, tol=tol * lam, max_iter=rounds,
                                    max_epochs=epochs, fit_intercept=problem.intercept)
    else:
        model = peer.SparseLogisticRegression(alpha=lam, l1_ratio=problem.l1_ratio, tol=tol * lam, max_iter=rounds,
                                              max_epochs=epochs, fit_intercept=problem.intercept)
    model.fit(x, problem.y)
    return _original(problem, model.coef_, model.intercept_ if problem.intercept else 0.0)


def sklearn(problem, lam, tol, scaled=None):
    from sklearn.linear_model import ElasticNet, LogisticRegression

    x = problem.scaled() if scaled is None else scaled
    if problem.loss == "squared":
        dense = x.toarray() if x.shape[0] * x.shape[1] < 2**22 else x
        model = ElasticNet(alpha=lam, l1_ratio=problem.l1_ratio, tol=tol, max_iter=10**6, fit_intercept=problem.intercept)
        model.fit(dense, problem.y, sample_weight=problem.weights)
        return _original(problem, model.coef_, model.intercept_)
    total = len(problem.y) if problem.weights is None else problem.weights.sum()
    model = LogisticRegression(l1_ratio=problem.l1_ratio, solver="saga", C=1.0 / (lam * total), tol=tol, max_iter=10**5,
                               fit_intercept=problem.intercept, random_state=0)
    model.fit(x, problem.y, sample_weight=problem.weights)
    return _original(problem, model.coef_, model.intercept_)


def celer(problem, lam, tol, scaled=None):
    """Without intercept for the logistic loss: celer has none there."""
    import celer as peer

    x = problem.scaled() if scaled is None else scaled
    if problem.loss == "squared":
        model = peer.Lasso(alpha=lam, tol=tol, max_iter=200, fit_intercept=problem.intercept)
    else:
        if problem.intercept:
            raise ValueError("celer fits no intercept with the logistic loss")
        model = peer.LogisticRegression(C=1.0 / (lam * len(problem.y)), tol=tol, max_iter=200)
    model.fit(x, problem.y)
    return _original(problem, model.coef_, model.intercept_ if problem.loss == "squared" else 0.0)


def glmnet(problem, lam, thresh=1e-14):
    """R's glmnet down a warm path of ten λ, as its authors advise. Lasso only (its elastic net is another objective)."""
    import subprocess
    import tempfile

    from scipy.io import mmwrite

    assert problem.l1_ratio == 1.0
    with tempfile.TemporaryDirectory() as folder:
        mmwrite(f"{folder}/x.mtx", sp.coo_matrix(problem.scaled()))
        np.savetxt(f"{folder}/y.txt", problem.y, fmt="%.17g")
        path = np.geomspace(problem.lambda_max(), lam, 10)
        np.savetxt(f"{folder}/lambda.txt", path, fmt="%.17g")
        family = "gaussian" if problem.loss == "squared" else "binomial"
        script = (
            "suppressMessages({library(Matrix); library(glmnet)});"
            f"x <- as(readMM('{folder}/x.mtx'), 'CsparseMatrix'); y <- scan('{folder}/y.txt', quiet=TRUE);"
            f"l <- scan('{folder}/lambda.txt', quiet=TRUE);"
            f"m <- glmnet(x, y, family='{family}', lambda=l, standardize=FALSE, thresh={thresh}, maxit=1e7,"
            f" intercept={'TRUE' if problem.intercept else 'FALSE'});"
            f"k <- length(m$lambda); write(format(c(m$a0[k], as.numeric(m$beta[,k])), digits=17), '{folder}/w.txt', ncolumns=1)"
        )
        subprocess.run(["R", "--slave", "-e", script], check=True)
        out = np.loadtxt(f"{folder}/w.txt")
    return _original(problem, out[1:], out[0])


def best(problem, lam, tolerances=(1e-3, 1e-5, 1e-7), goal=1e-12):
    """(w, b, gap, solver): a peer (scikit-learn for the squared, skglm for the logistic loss) at falling tolerances, each
    answer also sharpened by Newton's method on its support; the least gap seen.

    With few features and a λ far below λ_max (separable classes: every peer crawls for minutes) the peer solves at
    λ_max/10 and the sharpening walks down from there, by half and less.
    """
    from problem import newton_on_support

    if problem.loss == "squared":
        peer, name = sklearn, "sklearn"
    else:
        peer, name = (lambda *settings: skglm(*settings, rounds=30, epochs=1000)), "skglm"
    far = problem.lambda_max() / 10
    found = None
    if lam < far and problem.x.shape[1] <= 500:
        w, b = peer(problem, far, 1e-3, None)
        for step in np.geomspace(far, lam, 2 + int(2 * np.log2(far / lam))):
            w, b = newton_on_support(problem, w, b, step)
        found = (w, b, problem.relative_gap(w, b, lam), f"{version_of(name)} at λ_max/10, Newton from there")
        if found[2] <= max(goal, 1e-9):
            return found
    for tol in tolerances:
        w, b = peer(problem, lam, tol, None)
        answers = [(w, b, version_of(name))]
        if np.count_nonzero(w) <= 1000:
            answers.append((*newton_on_support(problem, w, b, lam), version_of(name) + ", Newton on its support"))
        for u, c, solver in answers:
            gap = problem.relative_gap(u, c, lam)
            if found is None or gap < found[2]:
                found = (u, c, gap, solver)
        if found[2] <= goal:
            break
    return found
