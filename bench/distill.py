"""Distillation, measured honestly: boosted trees teach a lasso and a network that is then pruned, beside the same fits without a teacher.

    cargo build --release
    python3 bench/distill.py [a9a debian-section …] [--keep FILE.html]

For each data set: boosted trees are fitted; a lasso and a network learn from them (`distill` jobs, which measure a control of their own on rows they
keep apart); the same network is fitted without a teacher; both networks are pruned in turns. Then all of them are compared on rows
that none has seen, in one job: kinds × score with interval, size, bytes and latency. Prints tables and asserts nothing. The data are looked for as
`speed.py` does.
"""
import argparse
import sys

from compare import done, lines_of, show, size, table, upload, width_of
from server import Server

# name, rows to fit on, rows to measure on (a number = every so-many-th row is held out), trees, network, rows of those who learn (None = all)
ROWS = [
    ("a9a", "a9a", "a9a.t", 200, {"hidden": [32], "epochs": 20, "batch_size": 64}, None),
    ("a9a-few", "a9a", "a9a.t", 200, {"hidden": [32], "epochs": 20, "batch_size": 64}, 1000),
    ("debian-section", "debian-section", 4, 150, {"hidden": [16], "epochs": 5, "batch_size": 64}, None),
]
# over all layers together, but where so few rows teach that a layer would be lost
TURNS = {"steps": 4, "fine_tune_epochs": 2, "rewind": True}
# warmer teachers make students whose own probabilities are too soft
TEMPERATURE, MIX = 1, 0.3


def fidelity(server, title, job):
    """What the job measured on the rows it kept apart."""
    found = server.get(f"/api/v1/models/{job['result']['model_version'].replace(':', '/versions/')}/fidelity")
    alike = lambda agreement: show(agreement["labels"], "{:.4f}") + " / " + show(agreement["kl_divergence"], "{:.4f}")
    gain = found["gain"]
    print(f"| {title} | {found['teacher']['score']:.4f} | {found['student']['score']:.4f} | {found['control']['score']:.4f} | {gain['difference']:+.4f} "
          f"({gain['low']:+.4f} … {gain['high']:+.4f}) | {alike(found['agreement'])} | {alike(found['control_agreement'])} |")


def measure(server, row, keep):
    name, fit_on, measure_on, trees, network, few = row
    train = lines_of(fit_on)
    if isinstance(measure_on, int):
        train, test = [l for i, l in enumerate(train) if i % measure_on], train[::measure_on]
    else:
        test = lines_of(measure_on)
    width = width_of(train, test)
    upload(server, name, train, width, "binary")
    upload(server, f"{name}-test", test, width, "binary")
    pupils = name
    if few:
        # those who learn have a part of the rows; the teacher had them all
        pupils = f"{name}-part"
        upload(server, pupils, train[::len(train) // few], width, "binary")
    # words on their own scale, as in compare.py
    lasso = {"selection": {"method": "cv", "rule": "1se"}, "standardize": "none" if width > 100_000 else "scale"}
    net = {"kind": "network", **network}
    ask = lambda kind, model, dataset, spec: done(server, {"type": kind, "model": f"{name}-{model}", "dataset": {"name": dataset}, "spec": spec})
    jobs = {}
    jobs["ensemble"] = ask("fit", "ensemble", name, {"kind": "ensemble", "n_trees": trees})
    teacher = jobs["ensemble"]["result"]["model_version"]
    jobs["lasso"] = ask("fit", "lasso", pupils, lasso)
    jobs["lasso, taught"] = ask("distill", "lasso-taught", pupils, {"teacher": teacher, "student": lasso, "temperature": TEMPERATURE, "mix": MIX})
    jobs["network"] = ask("fit", "network", pupils, net)
    jobs["network, taught"] = ask("distill", "network-taught", pupils, {"teacher": teacher, "student": net, "temperature": TEMPERATURE, "mix": MIX})
    for base in ("network", "network, taught"):
        reference = jobs[base]["result"]["model_version"]
        jobs[f"{base}, pruned"] = ask("prune", f"pruned-{base.split(' ')[-1]}", pupils, {"base": reference, "method": "l1_unstructured" if few else "global_unstructured", "amount": 0.9, "schedule": TURNS})
    for title, job in jobs.items():
        print(f"  {title}: {job['duration_ms'] / 1000:.1f} s", file=sys.stderr, flush=True)
    titles = {job["result"]["model_version"]: title for title, job in jobs.items()}
    job = done(server, {"dataset": {"name": f"{name}-test"}, "spec": {"models": list(titles)}}, "/api/v1/comparisons")
    found = server.get(job["result"]["href"])
    learnt = len(train[::len(train) // few]) if few else len(train)
    print(f"\n## {name}: the teacher has {len(train)} rows, those who learn {learnt}; {len(test)} held out, {width} features\n")
    table(found, titles)
    sentence = found["recommendation"]["sentence"] if found["recommendation"] else "No recommendation."
    for reference, title in sorted(titles.items(), key=lambda one: -len(one[0])):
        sentence = sentence.replace(reference, title)
    print(f"\n> {sentence}\n")
    print("On the rows that each job kept apart of its own:\n")
    print("| student | teacher | student | control | gain (95 %) | agrees: labels / KL | control: labels / KL |\n|---|---|---|---|---|---|---|")
    for title in ("lasso, taught", "network, taught"):
        fidelity(server, title, jobs[title])
    if keep:
        page = server.ask("GET", f"/api/v1/models/{name}-lasso-taught/versions/1/report", headers={"Accept": "text/html"}).expect(200).body
        with open(f"{keep}.{name}.html", "wb") as out:
            out.write(page)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[row[0] for row in ROWS])
    parser.add_argument("--keep", help="write the report of the lasso beside this name")
    options = parser.parse_args()
    with Server() as server:
        for row in ROWS:
            if row[0] in options.names:
                print(row[0], file=sys.stderr, flush=True)
                measure(server, row, options.keep)


if __name__ == "__main__":
    main()
