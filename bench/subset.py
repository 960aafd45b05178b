"""The best subset of a size beside the lasso of that size: loss, the features that are right, CPU time.

    SPARSEFIT_FIT_PACKED=… SPARSEFIT_BENCH_DATA=… python bench/subset.py CACHE

Rows: rcv1-1k, riboflavin (packed as for `speed.py`), and data made here: 500 × 2000, ρ = 0.5 between neighbours, 10 or 20 features
that count. `lasso refitted` is the loss of least squares on the features that the lasso chose.
"""
import json
import os
import subprocess
import sys

import numpy as np
import packed

REPEAT = 3


def made(cache, true, seed):
    folder = os.path.join(cache, f"correlated-{true}-{seed}")
    draw = np.random.RandomState(seed)
    n, p, rho = 500, 2000, 0.5
    x = draw.randn(n, p)
    for j in range(1, p):
        x[:, j] = rho * x[:, j - 1] + np.sqrt(1 - rho * rho) * x[:, j]
    w = np.zeros(p)
    places = np.arange(true) * (p // true) + p // true // 2 if seed % 2 == 0 else 100 + 2 * np.arange(true)
    w[places] = np.where(draw.rand(true) < 0.5, 1.0, -1.0)
    eta = x @ w
    y = eta + draw.randn(n) * np.sqrt(eta.var() / 3.0)
    os.makedirs(folder, exist_ok=True)
    x.T.astype("<f8").tofile(os.path.join(folder, "values.f64"))
    (np.arange(p + 1, dtype="<u8") * n).tofile(os.path.join(folder, "offsets.u64"))
    np.tile(np.arange(n, dtype="<u4"), p).tofile(os.path.join(folder, "rows.u32"))
    np.arange(p, dtype="<u4").tofile(os.path.join(folder, "features.u32"))
    y.astype("<f8").tofile(os.path.join(folder, "y.f64"))
    return folder, set(places.tolist())


def fit(folder, loss, k, l0):
    out = os.path.join(folder, "out.f64")
    job = {"loss": loss, "intercept": True, "standardize": True, "l1_ratio": 1, "l0": l0, "tol": 1e-6,
           "task": {"nonzeros": k}, "repeat": REPEAT, "out": out}
    run = subprocess.run([os.environ["SPARSEFIT_FIT_PACKED"], folder], input=json.dumps(job) + "\n", capture_output=True, text=True)
    answer = json.loads(run.stdout)
    numbers = np.fromfile(out)
    count = int(numbers[1])
    columns, values = numbers[2:2 + count].astype(int), numbers[2 + count:2 + 2 * count]
    return columns, values, numbers[0], min(run["set_up"]["cpu"] + run["fit"]["cpu"] for run in answer["runs"]), answer["stop"]


def mean_loss(x, y, b, loss):
    eta = x + b
    return np.mean((y - eta) ** 2) / 2 if loss == "squared" else np.mean(np.logaddexp(0, -y * eta))


def matrix(folder):
    read = lambda name, kind: np.fromfile(os.path.join(folder, name), dtype=kind)
    single = os.path.exists(os.path.join(folder, "values.f32"))
    return (read("offsets.u64", "<u8"), read("rows.u32", "<u4"), read("values.f32", "<f4") if single else read("values.f64", "<f8"),
            read("y.f64", "<f8"))


def dense(parts, columns):
    offsets, rows, values, y = parts
    x = np.zeros((len(y), len(columns)))
    for place, j in enumerate(columns):
        span = slice(int(offsets[j]), int(offsets[j + 1]))
        x[rows[span], place] = values[span]
    return x


def refit(x, y, loss):
    """Newton steps with a ridge of 1e-9, so that they end where classes are separated."""
    a = np.hstack([x, np.ones((len(y), 1))])
    w = np.zeros(a.shape[1])
    for _ in range(1 if loss == "squared" else 60):
        eta = a @ w
        q = 1 / (1 + np.exp(np.clip(y * eta, -500, 500)))
        slope, bend = (eta - y, np.ones(len(y))) if loss == "squared" else (-y * q, q * (1 - q))
        w = w - np.linalg.solve(a.T @ (a * bend[:, None]) / len(y) + 1e-9 * np.eye(len(w)), a.T @ slope / len(y) + 1e-9 * w)
    return mean_loss(a @ w, y, 0.0, loss)


def main():
    cache = sys.argv[1]
    rows = [(packed.prepare("rcv1-1k", cache), "squared", k, None) for k in (10, 25, 50)]
    rows += [(packed.prepare("rcv1-1k", cache), "logistic", k, None) for k in (10, 25)]
    rows += [(packed.prepare("riboflavin", cache), "squared", k, None) for k in (5, 10, 20)]
    for true in (10, 20):
        for seed in (1, 2):
            folder, places = made(cache, true, seed)
            rows.append((folder, "squared", true, places))
    print("| data | loss | k | l0: loss | lasso: loss | lasso refitted | l0: right | lasso: right | l0: CPU s | lasso: CPU s | l0 ended |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for folder, loss, k, places in rows:
        parts = matrix(folder)
        y, told = parts[3], {}
        for l0 in (True, False):
            columns, values, b, cpu, stop = fit(folder, loss, k, l0)
            x = dense(parts, columns)
            right = "" if places is None else f"{len(places & set(columns.tolist()))} of {len(places)}"
            told[l0] = (len(columns), mean_loss(x @ values, y, b, loss), refit(x, y, loss), right, cpu, stop)
        (n0, a, _, right, cpu, stop), (n1, c, again, lasso_right, lasso_cpu, _) = told[True], told[False]
        size = str(k) if n0 == n1 == k else f"{k} ({n0}, {n1})"
        print(f"| {os.path.basename(folder)} | {loss} | {size} | {a:.4g} | {c:.4g} | {again:.4g} | {right} | {lasso_right} | {cpu:.3g} | {lasso_cpu:.3g} | {stop} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
