"""One peer in a process of its own, which answers the jobs of `examples/fit_packed.rs`.

    python bench/peer_process.py PEER FOLDER        # then a job a line on stdin

A job here has two fields more, `lambdas` (those of the task, falling) and `lambda_max`, and no task but its `folds`
(0 = none); with `warm_up` it is done on a corner of the matrix, so that nothing is imported or compiled on the clock. The
answer has the same runs, and `out` the same numbers. A cross-validation is the path on all rows and then, for each fold,
rows taken out, the path again and the held-out deviance.
"""
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from typing import Callable

import numpy as np
import packed
import scipy.sparse as sp

SMALLER = (1.0, 0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)
VIOLATION = (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)


def decades(first, last):
    return tuple(10.0**-k for k in range(first, last + 1))


def skglm(x, y, job):
    """`tol` is the violation of optimality relative to λ. A path is the estimator started warm, as it has no other."""
    from skglm import ElasticNet, SparseLogisticRegression

    kind = ElasticNet if job["loss"] == "squared" else SparseLogisticRegression
    rho = job["l1_ratio"]
    model = kind(l1_ratio=rho, max_iter=300, fit_intercept=job["intercept"], warm_start=True)
    for lam in job["lambdas"]:
        model.set_params(alpha=lam, tol=job["tol"] * lam * rho).fit(x, y)
        yield model.coef_.ravel(), model.intercept_ if job["intercept"] else 0.0


def centred(x, y):
    """What a path function that knows no intercept needs to fit one: (x, y, means of y and columns, its own words for it)."""
    mean, y_mean = np.asarray(x.mean(axis=0)).ravel(), y.mean()
    if sp.issparse(x):
        return x, y - y_mean, y_mean, mean, {"X_offset": mean, "X_scale": np.ones(len(mean))}
    return np.asfortranarray(x - mean), y - y_mean, y_mean, mean, {}


def squared_path(path_function, x, y, job, **settings):
    mean, y_mean = np.zeros(x.shape[1]), 0.0
    if job["intercept"]:
        x, y, y_mean, mean, words = centred(x, y)
        settings |= words
    weights = path_function(x, y, alphas=np.array(job["lambdas"]), l1_ratio=job["l1_ratio"], tol=job["tol"], **settings)[1]
    for w in weights.T:
        yield w, y_mean - mean @ w


def sklearn(x, y, job):
    """Coordinate descent for the squared loss, SAGA for the logistic."""
    from sklearn.linear_model import ElasticNet, LogisticRegression, enet_path

    rho, icpt = job["l1_ratio"], job["intercept"]
    if job["loss"] == "logistic":
        model = LogisticRegression(l1_ratio=rho, solver="saga", max_iter=10**6, fit_intercept=icpt, warm_start=True, random_state=0)
        for lam in job["lambdas"]:
            model.set_params(C=1.0 / (lam * len(y)), tol=job["tol"]).fit(x, y)
            yield model.coef_.ravel(), model.intercept_[0] if icpt else 0.0
    elif len(job["lambdas"]) == 1:
        model = ElasticNet(alpha=job["lambdas"][0], l1_ratio=rho, tol=job["tol"], max_iter=10**6, fit_intercept=icpt).fit(x, y)
        yield model.coef_, model.intercept_
    else:
        precompute = False if sp.issparse(x) else "auto"
        yield from squared_path(enet_path, x, y, job, max_iter=10**6, precompute=precompute)


def celer(x, y, job):
    from celer import ElasticNet, LogisticRegression, celer_path

    lambdas = job["lambdas"]
    if job["loss"] == "logistic":
        if len(lambdas) == 1:
            yield LogisticRegression(C=1.0 / (lambdas[0] * len(y)), tol=job["tol"], max_iter=200).fit(x, y).coef_.ravel(), 0.0
        else:
            alphas = np.array(lambdas) * len(y)
            for w in celer_path(x, y, "logreg", alphas=alphas, tol=job["tol"], max_iter=200)[1].T:
                yield w, 0.0
    elif len(lambdas) == 1:
        model = ElasticNet(alpha=lambdas[0], l1_ratio=job["l1_ratio"], tol=job["tol"], max_iter=200, fit_intercept=job["intercept"])
        model.fit(x, y)
        yield model.coef_, model.intercept_
    else:
        yield from squared_path(celer_path, x, y, job, pb="lasso", max_iter=200, prune=1)


def adelie(x, y, job):
    import adelie as ad

    matrix = ad.matrix.sparse if sp.issparse(x) else ad.matrix.dense
    glm = ad.glm.gaussian(y) if job["loss"] == "squared" else ad.glm.binomial((y > 0).astype(float))
    state = ad.grpnet(matrix(x, method="naive", n_threads=1), glm, lmda_path=np.array(job["lambdas"]), alpha=job["l1_ratio"],
                      intercept=job["intercept"], tol=job["tol"], irls_tol=job["tol"], early_exit=False, progress_bar=False)
    for k in range(state.betas.shape[0]):
        yield state.betas[k].toarray().ravel(), state.intercepts[k]


def adelie_warm(x, y, job):
    """A lone λ at the end of a path of ten."""
    steps = np.geomspace(max(job["lambda_max"], job["lambdas"][0]), job["lambdas"][0], 10)
    *_, last = adelie(x, y, job | {"lambdas": steps})
    yield last


def liblinear(x, y, job):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(l1_ratio=1.0, solver="liblinear", C=1.0 / (job["lambdas"][0] * len(y)), tol=job["tol"], max_iter=10**6,
                               fit_intercept=False, random_state=0)
    yield model.fit(x, y).coef_.ravel(), 0.0


def snapml(x, y, job):
    import snapml

    kind = snapml.LinearRegression if job["loss"] == "squared" else snapml.LogisticRegression
    model = kind(penalty="l1", dual=False, regularizer=job["lambdas"][0] * len(y), tol=job["tol"], max_iter=10**6, n_jobs=1, fit_intercept=False)
    yield np.ravel(model.fit(x.tocsr() if sp.issparse(x) else x, y).coef_), 0.0


@dataclass(frozen=True)
class Peer:
    """A library: the module that must be there, the tolerances to try for a goal, the fit, and what it does not have."""

    module: str
    rungs: Callable
    fit: Callable | None
    lacks: Callable = lambda case: None


def _celer_lacks(case):
    if case.loss == "logistic" and case.intercept:
        return "no intercept with the logistic loss"
    return "no elastic net with the logistic loss" if case.loss == "logistic" and case.l1_ratio < 1 else None


def _lone_lasso(case):
    if case.intercept:
        return "penalises its intercept"
    if case.l1_ratio < 1:
        return "no elastic net"
    return None if case.fraction else "no path"


# sklearn and celer stop on a gap relative to twice the null objective of the squared loss.
PEERS = {
    "sklearn": Peer("sklearn", lambda goal, loss: [0.49 * goal * s for s in SMALLER] if loss == "squared" else decades(2, 8), sklearn),
    "celer": Peer("celer", lambda goal, loss: [(0.49 if loss == "squared" else 1.0) * goal * s for s in SMALLER], celer, _celer_lacks),
    "skglm": Peer("skglm", lambda goal, loss: VIOLATION, skglm),
    "adelie": Peer("adelie", lambda goal, loss: decades(5, 14), adelie),
    "adelie-warm": Peer("adelie", lambda goal, loss: decades(5, 14), adelie_warm, lambda case: None if case.fraction else "the same as adelie"),
    "glmnet": Peer("glmnet", lambda goal, loss: decades(5, 15), None),
    "snapml": Peer("snapml", lambda goal, loss: decades(2, 9), snapml, _lone_lasso),
    "liblinear": Peer("sklearn", lambda goal, loss: decades(1, 8), liblinear,
                      lambda case: "logistic loss only" if case.loss == "squared" else _lone_lasso(case)),
}


def run_glmnet(folder, job):
    """A lone λ at the end of a path of ten, as its authors advise. R reads the folder itself and holds its own clock."""
    lambdas = job["lambdas"]
    if len(lambdas) == 1:
        lambdas = np.geomspace(max(job["lambda_max"], lambdas[0]), lambdas[0], 10)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "glmnet.R")
    with tempfile.NamedTemporaryFile(suffix=".f64") as file:
        np.array(lambdas, "<f8").tofile(file.name)
        words = [folder, job["loss"], int(job["intercept"]), job["l1_ratio"], job["tol"], job["folds"], job["repeat"], len(job["lambdas"]), file.name, job["out"]]
        told = subprocess.run(["Rscript", script, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True).stdout
    runs = [line.split()[1:] for line in told.splitlines() if line.startswith("run ")]
    nothing = {"cpu": 0.0, "wall": 0.0}
    answer = [{"set_up": nothing, "fit": {"cpu": float(cpu), "wall": float(wall)}, "folds": nothing, "memory": float(memory)}
              for cpu, wall, memory, _ in runs]
    return {"runs": answer, "chosen": int(runs[0][3]) if job["folds"] else None}


class Clock:
    def __init__(self):
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def read(self):
        return {"cpu": time.process_time() - self.cpu, "wall": time.perf_counter() - self.wall}


def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024


def forget_peak():
    """Gives free memory back first: what an earlier fit left lying would hide what this one takes."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def cross_validate(fit, x, y, job):
    """Position of the λ with the least mean held-out deviance."""
    by_rows = x.tocsr() if sp.issparse(x) else x
    fold_of, total = np.arange(len(y)) % job["folds"], np.zeros(len(job["lambdas"]))
    for fold in range(job["folds"]):
        train, test = fold_of != fold, fold_of == fold
        part, held_out, target = by_rows[train], by_rows[test], y[test]
        part = part.tocsc() if sp.issparse(part) else np.asfortranarray(part)
        for k, (w, b) in enumerate(fit(part, y[train], job)):
            eta = held_out @ w + b
            total[k] += np.mean((target - eta) ** 2 if job["loss"] == "squared" else 2 * np.logaddexp(0, -target * eta))
    return int(np.argmin(total))


def sparse(w, b):
    """The intercept, the number of non-zeros, their positions and their values, in a row."""
    at = np.flatnonzero(w)
    return np.concatenate(([float(np.ravel(b)[0]), len(at)], at, w[at])).astype("<f8")


def run(fit, x, y, job):
    forget_peak()
    before = memory("VmRSS:")
    clock = Clock()
    found = [sparse(w, b) for w, b in fit(x, y, job)]
    took, folds, chosen = clock.read(), None, None
    if job["folds"]:
        clock = Clock()
        chosen = cross_validate(fit, x, y, job)
        folds = clock.read()
    grown = memory("VmHWM:") - before
    return {"set_up": {"cpu": 0.0, "wall": 0.0}, "fit": took, "folds": folds, "memory": grown}, found, chosen


def answer(fit, data, job):
    runs = []
    for _ in range(job["repeat"]):
        this, found, chosen = run(fit, data.x, data.y, job)
        runs.append(this)
    with open(job["out"], "wb") as file:
        for coefficients in found:
            coefficients.tofile(file)
    return {"runs": runs, "chosen": chosen}


def warm_up(fit, data, job):
    corner = packed.Packed(data.folder, data.x[:200, :1000].copy(order="F") if data.dense else data.x[:2000, :2000].tocsc(), data.y[:200 if data.dense else 2000])
    top = packed.PlainProblem(corner.x, corner.y, job["loss"], job["intercept"], l1_ratio=job["l1_ratio"]).lambda_max()
    few = [top, top / 2, top / 3][-len(job["lambdas"]):]
    run(fit, corner.x, corner.y, job | {"lambdas": few, "lambda_max": top, "folds": 0})
    return {}


def main():
    warnings.filterwarnings("ignore")
    name, folder = sys.argv[1:]
    peer, data = PEERS[name], None
    told = os.fdopen(os.dup(1), "w")  # libraries may print: their words go to stderr
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        if peer.fit is None:
            result = {} if job.pop("warm_up", False) else run_glmnet(folder, job)
        else:
            data = data or packed.load(folder)
            result = (warm_up if job.pop("warm_up", False) else answer)(peer.fit, data, job)
        print(json.dumps(result), file=told, flush=True)


if __name__ == "__main__":
    main()
