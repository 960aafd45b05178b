"""Networks made sparse: one shot beside turns, with the same training in all, through the server's own jobs.

    cargo build --release
    python3 bench/sparsify.py [a9a 20news …] [--method global_unstructured] [--keep FOLDER]

For each data set a network is trained as a job and measured on rows that nothing was learnt from; then it is pruned to 50, 80, 90, 95 and
98 % of its weights in one shot and trained for as many epochs as all turns have together, in one shot with the epochs of a single turn, in
turns, and in turns from early weights. Prints score, weights, bytes and latency of each, and asserts nothing. With --keep the curve of
twelve turns is drawn. The data are looked for as `speed.py` does.
"""
import argparse
import os
import sys

from compare import done, lines_of, size, upload, width_of
from server import Server

# name, rows to fit on, rows to measure on, target kind, network
ROWS = [
    ("a9a", "a9a", "a9a.t", "auto", {"hidden": [64, 32], "batch_size": 64}),
    ("20news", "20news-bydate.train", "20news-bydate.test", "multiclass", {"hidden": [64], "batch_size": 64}),
]
AMOUNTS = [0.5, 0.8, 0.9, 0.95, 0.98]
TURNS, EPOCHS = 5, 2
WAYS = {
    "one shot, 2 epochs": {"steps": 1, "fine_tune_epochs": EPOCHS},
    "one shot, 10 epochs": {"steps": 1, "fine_tune_epochs": TURNS * EPOCHS},
    "5 turns of 2 epochs": {"steps": TURNS, "fine_tune_epochs": EPOCHS},
    "5 turns, early weights": {"steps": TURNS, "fine_tune_epochs": EPOCHS, "rewind": True},
}


def measured(server, model, held_out):
    job = done(server, {"type": "evaluate", "dataset": {"name": held_out}, "spec": {"model": model}})
    return job["result"]["metrics"]


def row(title, metrics, model, result):
    sparsity = model["sparsity"]
    name = "auc" if "auc" in metrics else "accuracy" if "accuracy" in metrics else "r2"
    loss = metrics.get("log_loss", metrics.get("mse"))
    print(f"| {title} | {metrics[name]:.4f} | {loss:.4f} | {sparsity['nonzeros']} | {100 * sparsity['sparsity_ratio']:.1f} % | "
          f"{sparsity['features_active']} | {'-'.join(str(l['shape'][1]) for l in sparsity['layers'])} | "
          f"{'/'.join(l['format'] for l in sparsity['layers'])} | {size(model['size_bytes'])} | {result['latency_us_p50']:.2f} µs |", flush=True)


def measure(server, case, method, keep):
    name, fit_on, measure_on, kind, network = case
    train, test = lines_of(fit_on), lines_of(measure_on)
    width = width_of(train, test)
    upload(server, name, train, width, kind)
    upload(server, f"{name}-test", test, width, kind)
    job = done(server, {"type": "fit", "model": name, "dataset": {"name": name}, "spec": {"kind": "network", **network}})
    base = job["result"]["model_version"]
    print(f"\n## {name}: {len(train)} rows, {width} features, hidden {network['hidden']}: {job['duration_ms'] / 1000:.1f} s, "
          f"{job['result']['epochs']} epochs, the weights of epoch {job['result']['best_epoch']}; {method}\n")
    print("| | score | loss | weights | gone | features | units | form | file | latency p50 |\n|---|---|---|---|---|---|---|---|---|---|")
    model = server.get(job["result"]["href"])
    row("whole", measured(server, base, f"{name}-test"), model, job["result"])
    for amount in AMOUNTS:
        for way, schedule in WAYS.items():
            spec = {"base": base, "method": method, "amount": amount, "schedule": schedule}
            job = done(server, {"type": "prune", "model": f"{name}-small", "dataset": {"name": name}, "spec": spec})
            result = job["result"]
            metrics = measured(server, result["model_version"], f"{name}-test")
            row(f"{100 * amount:g} %, {way}", metrics, server.get(result["href"]), result)
    if keep:
        spec = {"base": base, "method": method, "amount": 0.998, "schedule": {"steps": 12, "fine_tune_epochs": EPOCHS}}
        job = done(server, {"type": "prune", "model": f"{name}-path", "dataset": {"name": name}, "spec": spec})
        for theme in ("light", "dark"):
            svg = server.ask("GET", f"{job['result']['href']}/plots/tradeoff.svg?theme={theme}&width=900&height=430").expect(200).body
            open(os.path.join(keep, f"{name}-network-{theme}.svg"), "wb").write(svg)
        page = server.ask("GET", f"{job['result']['href']}/report", headers={"Accept": "text/html"}).expect(200).body
        open(os.path.join(keep, f"{name}-network.html"), "wb").write(page)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--method", default="global_unstructured")
    parser.add_argument("--keep", help="folder for the curves and the pages")
    arguments = parser.parse_args()
    chosen = [case for case in ROWS if not arguments.names or case[0] in arguments.names]
    if not chosen:
        sys.exit("no such data set: " + ", ".join(case[0] for case in ROWS))
    with Server() as server:
        for case in chosen:
            measure(server, case, arguments.method, arguments.keep)


if __name__ == "__main__":
    main()
