"""Sparse or dense, measured honestly: the models of one data set side by side, through the server's own comparison.

    cargo build --release
    python3 bench/compare.py [PATTERN …] [--list] [--no-twin] [--keep FILE.json]

For each data set: uploads the rows to fit on and the rows to measure on, fits every kind of model as a job (lasso at the best mean and within
one standard error, elastic net, ridge, a tree pruned by folds and the tree as it was grown), compares them with their dense twins in one job, and prints kinds ×
score with its interval, size, bytes, latency and the time of the fit, and the recommendation. Intervals are over resamples of the rows measured on.
Prints tables and asserts nothing. The data are looked for as `speed.py` does.
"""
import argparse
import fnmatch
import json
import os
import subprocess
import sys
import time

from server import Server

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("SPARSEFIT_BENCH_DATA", os.path.join(HERE, "../../shared/data"))

TREES = ["tree 1se", "tree whole"]
LINEAR = ["lasso min", "lasso 1se", "net 0.5", "ridge"]
# name, rows to fit on, rows to measure on (None = the same ones; a number = every so-many-th row is held out), target kind, loss, kinds
ROWS = [
    ("a9a", "a9a", "a9a.t", "auto", None, LINEAR + TREES),
    ("20news/one", "20news-bydate.train", "20news-bydate.test", "multiclass", {"type": "logistic", "positive_class": 20}, LINEAR),
    ("20news/all", "20news-bydate.train", "20news-bydate.test", "multiclass", None, ["lasso min", "lasso 1se", "tree 1se"]),
    ("debian-size", "debian-size", 4, "regression", None, LINEAR + ["tree deep"]),
    ("riboflavin/held-out", "riboflavin", 4, "regression", None, LINEAR + TREES),
    ("riboflavin/training-rows", "riboflavin", None, "regression", None, LINEAR + TREES),
]

WORDS = ["debian-size"]


def spec_of(kind, loss, words):
    """The specification of a kind of model."""
    if kind == "tree 1se":
        return {"kind": "tree", "pruning": {"mode": "cv", "rule": "1se"}}
    if kind == "tree whole":
        return {"kind": "tree", "pruning": {"mode": "none"}}
    if kind == "tree deep":  # grown whole, hundreds of thousands of features would take too long
        return {"kind": "tree", "max_leaves": 200, "pruning": {"mode": "cv", "rule": "1se"}}
    penalty = {"lasso min": {"type": "l1"}, "lasso 1se": {"type": "l1"}, "net 0.5": {"type": "elastic_net", "l1_ratio": 0.5}, "ridge": {"type": "l2"}}[kind]
    # words on their own scale: standardised, the rarest weigh most, and 18 000 of them enter before λ_max/63
    # the ridge's best λ lies far beyond the usual end of a path
    scale = {"standardize": "none", **({"lambda": {"mode": "path", "n": 40, "min_ratio": 1e-6}} if kind == "ridge" else {})} if words else {}
    spec = {**scale, "penalty": penalty, "selection": {"method": "cv", "folds": 5, "rule": "1se" if kind.endswith("1se") else "min"}}
    if loss:
        spec["loss"] = loss
    return spec


def lines_of(name):
    """The rows of a file, as text."""
    path = os.path.join(DATA, name + ".svm.zst")
    return subprocess.run(["zstd", "-dc", "--long=27", path], capture_output=True, check=True).stdout.splitlines(keepends=True)


def width_of(*parts):
    """The largest index of all rows: a part may show fewer features than the whole."""
    widest = 0
    for line in (line for part in parts for line in part):
        last = line.rsplit(None, 1)[-1]
        if b":" in last:
            widest = max(widest, int(last.split(b":")[0]))
    return widest


def upload(server, name, lines, width, kind):
    path = f"/api/v1/datasets?name={name}" + ("" if kind == "auto" else f"&target_kind={kind}")
    return server.ask("POST", path, b"".join(lines), {"Content-Type": f"text/libsvm; n-features={width}"}).expect(201).json()


def done(server, body, path="/api/v1/jobs"):
    """The job as it ended."""
    job = server.ask("POST", path, body).expect(200, 202).json()
    while job["status"] not in ("succeeded", "failed", "cancelled"):
        job = server.ask("GET", f"/api/v1/jobs/{job['id']}", headers={"Prefer": "wait=30"}).expect(200).json()
    if job["status"] != "succeeded":
        raise RuntimeError(f"{job['type']} {job['model']}: {json.dumps(job['error'])}")
    return job


def show(value, form="{}", unit=""):
    return "–" if value is None else form.format(value) + unit


def size(count):
    if count is None:
        return "–"
    for unit, scale in (("B", 1), ("kB", 1e3), ("MB", 1e6)):
        if count < 1000 * scale or unit == "MB":
            return f"{count} B" if unit == "B" else f"{count / scale:.1f} {unit}"


def table(found, titles):
    """Kinds × what was measured, as Markdown."""
    score = found["score_name"]
    print(f"| model | {score} | 95 % | to the first | size | parameters | memory | file | latency p50 | p99 | fit |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in found["data"]:
        title = titles[row["ref"]] + (" · dense twin" if row["twin"] else "")
        ends = lambda low, high: "–" if low is None or high is None else f"{low:.4f} … {high:.4f}"
        print(" | ".join([
            f"| {title}", show(row["score"], "{:.4f}"), ends(row["score_low"], row["score_high"]), ends(row["difference_low"], row["difference_high"]),
            show(row["size"]), size(row["bytes_parameters"]), size(row["bytes_memory"]), size(row["bytes_stored"]),
            show(row["latency_us_p50"], "{:.2f}", " µs"), show(row["latency_us_p99"], "{:.2f}", " µs"),
            show(None if row["fit_ms"] is None else row["fit_ms"] / 1000, "{:.2f}", " s") + " |"]))


def measure(server, row, twin):
    name, fit_on, measure_on, kind, loss, kinds = row
    train = lines_of(fit_on)
    if isinstance(measure_on, int):
        train, test = [l for i, l in enumerate(train) if i % measure_on], train[::measure_on]
    else:
        test = lines_of(measure_on) if measure_on else None
    width = width_of(train, test or [])
    slug = name.replace("/", "-").lower()
    upload(server, slug, train, width, kind)
    held_out = f"{slug}-test" if test else slug
    if test:
        upload(server, held_out, test, width, kind)
    titles = {}
    for one in kinds:
        model = f"{slug}-{one.replace(' ', '-')}"
        job = done(server, {"type": "fit", "model": model, "dataset": {"name": slug}, "spec": spec_of(one, loss, name in WORDS)})
        titles[job["result"]["model_version"]] = one
        print(f"  {one}: {job['duration_ms'] / 1000:.2f} s", file=sys.stderr, flush=True)
    body = {"dataset": {"name": held_out}, "spec": {"models": list(titles), "twin": twin}}
    start = time.perf_counter()
    job = done(server, body, "/api/v1/comparisons")
    found = server.ask("GET", job["result"]["href"]).expect(200).json()
    rows = f"{len(train)} rows to fit on, " + (f"{len(test)} held out" if test else "measured on the same rows: the scores flatter")
    print(f"\n## {name}: {rows}, {width} features\n")
    table(found, titles)
    sentence = found["recommendation"]["sentence"] if found["recommendation"] else "No recommendation."
    for reference, title in titles.items():
        sentence = sentence.replace(reference, title)
    print(f"\n{sentence}\n")
    for warning in found["warnings"]:
        print(f"- {warning['code']}: {warning['detail'][:300]}")
    print(f"\nThe comparison took {time.perf_counter() - start:.1f} s, its {found['bootstrap']} resamples and the twins with it.", flush=True)
    page = server.ask("GET", job["result"]["href"], headers={"Accept": "text/html"}).expect(200).body
    report = server.ask("GET", f"/api/v1/models/{list(titles)[0].replace(':', '/versions/')}/report", headers={"Accept": "text/html"}).expect(200).body
    return {"row": name, "titles": titles, "comparison": found}, page, report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"])
    parser.add_argument("--list", action="store_true", help="the names of the rows")
    parser.add_argument("--no-twin", action="store_true", help="without dense twins")
    parser.add_argument("--kinds", help="only these kinds of models, separated by commas")
    parser.add_argument("--keep", help="write everything that was measured to this file, and the pages beside it")
    options = parser.parse_args()
    rows = [row for row in ROWS if any(fnmatch.fnmatch(row[0], pattern) for pattern in options.patterns)]
    if options.list:
        print("\n".join(row[0] for row in rows))
        return
    kept = []
    with Server() as server:
        for row in rows:
            if options.kinds:
                row = (*row[:5], [kind for kind in row[5] if kind in options.kinds.split(",")])
            print(row[0], file=sys.stderr, flush=True)
            found, page, report = measure(server, row, not options.no_twin)
            kept.append(found)
            if options.keep:
                for what, text in (("comparison", page), ("report", report)):
                    with open(f"{options.keep}.{row[0].replace('/', '-')}.{what}.html", "wb") as out:
                        out.write(text)
                with open(options.keep, "w") as out:
                    json.dump(kept, out, indent=1)


if __name__ == "__main__":
    main()
