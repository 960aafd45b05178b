"""Fits the problem of a stored model once more, with another program, and compares.

Usage: SPARSEFIT_URL=<address of the server> [SPARSEFIT_KEY=<key with datasets:read and models:read>] python reproduce.py

Needs numpy, and scikit-learn where its objective is exactly this one (`sklearn` in PROBLEM is not null); else a short proximal gradient method
below minimises the objective as it is written. The rows come from the server; nothing else is loaded.
Ends with 0 when both agree: the objective within the tolerance, and the coefficients unless other supports are as good.
"""
import json
import os
import sys
import urllib.request

import numpy as np

PROBLEM = json.loads(r"""@PROBLEM@""")


def get(path):
    request = urllib.request.Request(os.environ["SPARSEFIT_URL"].rstrip("/") + path)
    if "SPARSEFIT_KEY" in os.environ:
        request.add_header("Authorization", "Bearer " + os.environ["SPARSEFIT_KEY"])
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def load():
    """Dense matrix of the features that occur, their numbers, targets, weights and offsets."""
    place = "/api/v1/datasets/%s/versions/%d" % (PROBLEM["dataset"]["name"], PROBLEM["dataset"]["version"])
    told = get(place)
    assert told["sha256"] == PROBLEM["dataset"]["sha256"], "the data are not those the model was fitted on"
    rows, total = [], told["shape"][0]
    while len(rows) < total:
        rows += get(place + "/rows?limit=1000&offset=%d" % len(rows))["data"]
    features = sorted({index for row in rows for index in row["indices"]})
    column = {feature: j for j, feature in enumerate(features)}
    x = np.zeros((total, len(features)))
    for i, row in enumerate(rows):
        x[i, [column[index] for index in row["indices"]]] = row["values"]
    loss = PROBLEM["loss"]
    if loss["type"] == "logistic":
        y = np.array([1.0 if row["y"] == loss["positive_class"] else -1.0 for row in rows])
    else:
        y = np.array([float(row["y"]) for row in rows])
    weights = np.array([row["weight"] for row in rows]) if PROBLEM["weights"] else np.ones(total)
    return x, np.array(features), y, weights, np.array([row.get("offset", 0.0) for row in rows])


def mean_loss(y, eta, s):
    kind = PROBLEM["loss"]["type"]
    if kind == "squared":
        return s @ (0.5 * (y - eta) ** 2), s * (eta - y)
    if kind == "logistic":
        return s @ np.logaddexp(0, -y * eta), -s * y * np.exp(-np.logaddexp(0, y * eta))
    return s @ (np.exp(eta) - y * eta), s * (np.exp(eta) - y)


def scales(x, s):
    """Deviation of each column: 0 = constant, and its coefficient is 0."""
    sigma = np.sqrt(np.maximum(s @ (x - s @ x) ** 2, 0.0))
    return np.where(sigma <= 1e-12 * np.abs(x).max(axis=0, initial=1e-300), 0.0, sigma)


def objective(x, y, s, o, factors, w, b):
    unit = scales(x, s) if PROBLEM["standardize"] else 1.0
    u, ratio = w * unit, PROBLEM["l1_ratio"]
    return mean_loss(y, x @ w + b + o, s)[0] + PROBLEM["lambda"] * float(factors @ (ratio * np.abs(u) + (1 - ratio) / 2 * u * u))


def intervals(features):
    """Lowest and highest coefficient of each feature."""
    ends = [PROBLEM["bounds"].get(str(feature), PROBLEM["bounds_of_others"]) for feature in features]
    low = np.array([-np.inf if end[0] is None else end[0] for end in ends])
    return low, np.array([np.inf if end[1] is None else end[1] for end in ends])


def proximal(x, y, s, o, factors, low, high):
    """Accelerated proximal gradient with restarts and backtracking, on centred and scaled columns."""
    sigma, mean = scales(x, s), s @ x
    live = sigma > 0
    if not PROBLEM["intercept"]:
        mean = np.zeros_like(mean)
        live = live if PROBLEM["standardize"] else np.abs(x).max(axis=0, initial=0.0) > 0
    unit = np.where(live & (sigma > 0), sigma, 1.0)
    z = np.where(live, (x - mean) / unit, 0.0)
    per = PROBLEM["lambda"] * factors / (1.0 if PROBLEM["standardize"] else unit)
    l1, l2 = per * PROBLEM["l1_ratio"], per * (1 - PROBLEM["l1_ratio"]) / (1.0 if PROBLEM["standardize"] else unit)
    v, b = np.zeros(x.shape[1]), 0.0
    vm, bm, t, step, quiet = v, b, 1.0, 1.0, 0
    for _ in range(200000):
        value, slope = mean_loss(y, z @ vm + bm + o, s)
        gv, gb = z.T @ slope, slope.sum() if PROBLEM["intercept"] else 0.0
        while True:
            raw = vm - step * gv
            vn = np.clip(np.sign(raw) * np.maximum(np.abs(raw) - step * l1, 0.0) / (1.0 + step * l2), low * unit, high * unit)
            bn = bm - step * gb
            dv, db = vn - vm, bn - bm
            with np.errstate(over="ignore"):
                new = mean_loss(y, z @ vn + bn + o, s)[0]
            if new <= value + gv @ dv + gb * db + (dv @ dv + db * db) / (2 * step) + 1e-15 * abs(value):
                break
            step /= 2
        if (vm - vn) @ (vn - v) + (bm - bn) * (bn - b) > 0:
            t = 1.0
        tn = (1 + np.sqrt(1 + 4 * t * t)) / 2
        vm, bm = vn + (t - 1) / tn * (vn - v), bn + (t - 1) / tn * (bn - b)
        moved = max(np.abs(vn - v).max(initial=0.0), abs(bn - b))
        v, b, t, step = vn, bn, tn, step * 1.02
        quiet = quiet + 1 if moved <= 1e-10 * max(1.0, np.abs(v).max(initial=0.0)) else 0
        if quiet > 20:
            break
    w = np.where(live, v / unit, 0.0)
    return w, b - mean @ w


def by_sklearn(x, y, weights):
    from sklearn import linear_model
    parameters = dict(PROBLEM["sklearn"])
    name = parameters.pop("estimator")
    if name == "LogisticRegression":
        parameters.update(solver="lbfgs" if parameters["l1_ratio"] == 0 else "saga")
    if name == "Ridge":
        parameters.update(solver="cholesky")
    else:
        parameters.update(max_iter=1000000, tol=1e-10)
    model = getattr(linear_model, name)(**parameters).fit(x, y, sample_weight=weights)
    return np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])


def main():
    x, features, y, weights, o = load()
    s = weights / weights.sum()
    factors = np.array([PROBLEM["factors"].get(str(feature), 1.0) for feature in features])
    if PROBLEM["sklearn"] is not None:
        (w, b), by = by_sklearn(x, y, weights), "scikit-learn"
    else:
        (w, b), by = proximal(x, y, s, o, factors, *intervals(features)), "proximal gradient"
    theirs, cursor = np.zeros(len(features)), ""
    column = {feature: j for j, feature in enumerate(features)}
    while cursor is not None:
        page = get(PROBLEM["href"] + "/coefficients?sort=index&limit=1000" + ("&cursor=" + cursor if cursor else ""))
        for index, value in zip(page["indices"], page["values"]):
            theirs[column[index]] = value
        cursor, intercept = page["next_cursor"], page["intercept"]
    here, there = objective(x, y, s, o, factors, w, b), objective(x, y, s, o, factors, theirs, intercept)
    empty = x[:, :0]
    unit = max(abs(objective(empty, y, s, o, factors[:0], *proximal(empty, y, s, o, factors[:0], *intervals([])))), 1e-12)
    apart = float(np.abs((w - theirs) * np.maximum(scales(x, s), 1e-300)).max(initial=0.0))
    size = max(float(np.abs(theirs * scales(x, s)).max(initial=0.0)), 1e-12)
    same = (there - here) <= 10 * PROBLEM["tol"] * unit and (here - there) <= 1e-4 * unit
    alike = apart <= 1e-2 * size or "support_not_unique" in PROBLEM["warnings"]
    print(json.dumps({"model": PROBLEM["model"], "by": by, "objective_here": here, "objective_of_model": there, "coefficients_apart": apart,
                      "same_objective": bool(same), "same_coefficients": bool(alike), "nonzeros_here": int(np.count_nonzero(w))}))
    sys.exit(0 if same and alike else 1)


if __name__ == "__main__":
    main()
