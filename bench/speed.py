"""Our solver beside its peers: time, passes and memory of the same fits, at a gap that is measured alike for everybody.

    python bench/speed.py [PATTERN …] [--peers skglm,celer] [--runs 3] [--budget 60] [--save NAME] [--list]
    python bench/speed.py --threads [PATTERN …]     # our cross-validations with one and with two threads
    python bench/speed.py --scaling [PATTERN …]     # our time against the number of non-zeros
    python bench/speed.py --deep [PATTERN …]        # our time to a gap of 1e-10 against 1e-6

A row is a name such as `debian-size/squared/intercept/lasso/div10/1e-6`: data, loss, `intercept` or `origin`, `lasso` or
`net` (l1_ratio 0.5), λ_max/10 (or `path`: 100 λ down to λ_max/100; `cv5`, `cv10`: that path cross-validated), and the goal
for the gap. A pattern is a name with parts left out: `debian-size/div*/1e-6`. Every row is fitted by us with `tol` = the
goal, by each peer with its own tolerance walked down until the goal is met, and by us again; a peer has `--budget` seconds
for its whole walk on a row.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import groupby

import measure  # before numpy: it says that BLAS shall use one thread

import numpy as np
import packed
from measure import Bench, Case, Measured, Missed
from peer_process import PEERS

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")
FAMILY = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
PASS_GOALS = {"div10": 15, "div100": 60}  # debian-size with an intercept, lasso, at 1e-6


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", help="rows, by names with parts left out; all when none is given")
    parser.add_argument("--peers", type=lambda text: [name for name in text.split(",") if name], default=list(PEERS))
    parser.add_argument("--runs", type=int, default=3, help="of each fit that takes no more than 5 s; the median counts")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of a peer for a row, all its tolerances together, and of ours for a fit")
    parser.add_argument("--save", metavar="NAME", help="append everything to bench/results/NAME.jsonl")
    parser.add_argument("--cache", default=os.path.join(tempfile.gettempdir(), "sparsefit-packed"), help="folder of the packed matrices")
    parser.add_argument("--second-python", default=os.environ.get("SPARSEFIT_SECOND_PYTHON"), help="interpreter for peers that this one lacks")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    mode.add_argument("--threads", action="store_true", help="our cross-validations with one and two threads")
    mode.add_argument("--scaling", action="store_true", help="our time against the number of non-zeros")
    mode.add_argument("--deep", action="store_true", help="our time to 1e-10 against 1e-6")
    options = parser.parse_args()
    unknown = set(options.peers) - set(PEERS)
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return options


def interpreters(options):
    """{peer: the Python that has it}; whoever is nowhere is named."""
    found = {}
    for name in options.peers:
        module = PEERS[name].module
        if module == "glmnet":
            test = ["Rscript", "-e", "suppressMessages(library(glmnet))"]
            candidates = [(sys.executable, test)]
        else:
            pythons = [sys.executable, *filter(None, [options.second_python])]
            candidates = [(python, [python, "-c", f"import importlib.util as u; assert u.find_spec('{module}')"]) for python in pythons]
        for python, command in candidates:
            try:
                there = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
            except FileNotFoundError:
                there = False
            if there:
                found[name] = python
                break
        else:
            print(f"*** {name} IS NOT INSTALLED: no row is measured against it ***", file=sys.stderr, flush=True)
    return found


class Saved:
    """Lines for `bench/results/NAME.jsonl`; nowhere without a name."""

    def __init__(self, name):
        self.path = name and os.path.join(RESULTS, f"{name}.jsonl")

    def add(self, **what):
        if self.path:
            with open(self.path, "a") as file:
                file.write(json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "load": os.getloadavg()[0], **what}) + "\n")


def record(found):
    if isinstance(found, Missed):
        return {"missed": found.why, "at_least": found.seconds}
    told = {key: value for key, value in found.answer.items() if key != "runs"}
    return {"tol": found.tol, "cpu": found.cpu, "wall": found.wall, "gap": found.gap, "nonzeros": found.nonzeros, "memory": found.memory, "told": told}


def best_peer(row):
    """(name, seconds, whether the goal was met): the fastest, or of those ended by the budget the least time a fit would take."""
    met = {name: found.seconds for name, found in row.peers.items() if isinstance(found, Measured)}
    if met:
        name = min(met, key=met.get)
        return name, met[name], True
    ended = {name: found.seconds for name, found in row.peers.items() if found.seconds is not None}
    name = min(ended, key=ended.get, default=None)
    return name, ended.get(name), False


def factor_goal(row):
    if row.case.folds:
        return 10
    return 2 if row.dense else 5


def verdict(row):
    """(ratio as text, goal as text, whether it is met): at a gap that misses the goal no ratio counts."""
    goal = factor_goal(row)
    name, seconds, reached = best_peer(row)
    if isinstance(row.ours, Missed) or name is None:
        return "-", f"≥{goal}×", "no" if isinstance(row.ours, Missed) else "no peer"
    ratio = seconds / row.ours.seconds
    at_gap = row.ours.gap <= row.goal * measure.MARGIN
    met = "met" if ratio >= goal and at_gap else "**not met**" if reached or not at_gap else "not known"
    return f"{'' if reached else '≥'}{ratio:.2f}×", f"≥{goal}×", met


def line_of(name, found, unit):
    if isinstance(found, Missed):
        return f"  {name:12} {found.why}"
    text = f"  {name:12} {found.seconds:9.4f} s  {found.seconds / unit:8.1f} passes  gap {found.gap:.0e}  {found.nonzeros:6} non-zeros"
    text += f"  +{found.memory / 2**20:.0f} MiB  tol {found.tol:.2g}, {len(found.cpu)} runs"
    if "passes" in found.answer:
        text += f"; told: {found.answer['passes']:.1f} passes, {found.answer['epochs']} epochs, gap {found.answer['gap']:.0e}, {found.answer['stop']}"
    return text + (f"; λ {found.answer['chosen']} chosen" if found.answer.get("chosen") is not None else "")


def show(row):
    print(f"{row.name}   (a pass is {row.unit * 1000:.2f} ms)")
    for name, found in {"ours": row.ours, **row.peers}.items():
        print(line_of(name, found, row.unit))
    ratio, goal, met = verdict(row)
    print(f"  best peer / ours {ratio} (goal {goal}: {met.strip('*')})", flush=True)


def table(head, rows):
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def short(found):
    return found.why if isinstance(found, Missed) else f"{found.seconds:.3g} s, {found.gap:.0e}"


def summary(rows, absent):
    print()
    lines = []
    for row in rows:
        ratio, goal, met = verdict(row)
        name, seconds, reached = best_peer(row)
        best = "-" if name is None else f"{name} {seconds:.3g} s" if reached else f"none ({name} over {seconds:.3g} s)"
        others = "; ".join(f"{other} {short(found)}" for other, found in row.peers.items()
                           if not PEERS[other].lacks(row.case) and (other != name or not reached))
        if isinstance(row.ours, Missed):
            mine = [row.ours.why] + ["-"] * 4
        else:
            above = " **above the goal**" if row.ours.gap > row.goal * measure.MARGIN else ""
            mine = [f"{row.ours.seconds:.3g} s", f"{row.ours.seconds / row.unit:.0f} ({row.ours.answer['passes']:.1f})",
                    f"{row.ours.gap:.0e}{above}", row.ours.nonzeros, f"{row.ours.memory / 2**20:.0f}"]
        lines.append([row.name, *mine, best, ratio, goal, met, others])
    table(["row", "ours", "passes (told)", "gap", "non-zeros", "+MiB", "best peer", "best peer / ours", "goal", "", "others"], lines)
    _pass_goals(rows)
    _folds_over_path(rows)
    if absent:
        print("Not installed, so not measured: " + ", ".join(absent) + ".\n")


def _pass_goals(rows):
    lines = []
    for row in rows:
        goal = PASS_GOALS.get(row.case.task)
        if goal and row.case.parts[:4] == ("debian-size", "squared", "intercept", "lasso") and row.goal == 1e-6 and isinstance(row.ours, Measured):
            passes = row.ours.seconds / row.unit
            lines.append([row.name, f"{passes:.0f}", f"≤{goal}", "met" if passes <= goal else "**not met**"])
    if lines:
        table(["row", "passes", "goal", ""], lines)


def _folds_over_path(rows):
    lines = []
    for row in rows:
        if row.case.folds and isinstance(row.ours, Measured):
            runs = row.ours.answer["runs"]
            path, folds = (statistics.median(run[part]["cpu"] for run in runs) for part in ("fit", "folds"))
            lines.append([row.name, f"{path:.3g} s", f"{folds:.3g} s", f"{folds / path:.2f}"])
    if lines:
        table(["row", "path on all rows", "folds", "folds / path"], lines)


def compare(options, folder_of, out, saved):
    options.pythons = interpreters(options)
    rows = []
    for row in measure.compare(options, folder_of, out):
        rows.append(row)
        show(row)
        for name, found in {"ours": row.ours, **row.peers}.items():
            saved.add(row=row.name, who=name, pass_seconds=row.unit, **record(found))
    summary(rows, [name for name in options.peers if name not in options.pythons])


def ours_alone(options, folder_of, out, wanted):
    """(bench, case, goals) of the rows wanted, one data set in memory at a time."""
    rows = [(case, goals) for case, goals in measure.chosen(options.patterns) if wanted(case)]
    for data, group in groupby(rows, lambda row: row[0].data):
        with Bench(folder_of(data), options, out) as bench:
            yield from ((bench, case, goals) for case, goals in group)


def threads(options, folder_of, out, saved):
    lines = []
    for bench, case, goals in ours_alone(options, folder_of, out, lambda case: case.folds):
        for goal in goals:
            one, two = (bench.ours(case, goal, threads=n) for n in (1, 2))
            for n, found in ((1, one), (2, two)):
                saved.add(row=case.name(goal), who="ours", threads=n, **record(found))
            line = [case.name(goal), *map(_folds_wall, (one, two))]
            lines.append(line + ["-" if None in line else f"{line[1] / line[2]:.2f}"])
            print(*lines[-1], sep="  ", file=sys.stderr, flush=True)
    table(["row", "folds, wall s, 1 thread", "2 threads", "1 / 2"], [[f"{cell:.3g}" if isinstance(cell, float) else cell for cell in line] for line in lines])


def _folds_wall(found):
    return None if isinstance(found, Missed) else statistics.median(run["folds"]["wall"] for run in found.answer["runs"])


def deep(options, folder_of, out, saved):
    lines = []
    for bench, case, _ in ours_alone(options, folder_of, out, lambda case: case.fraction):
        plain, far = (bench.ours(case, tol) for tol in (1e-6, 1e-10))
        for found, goal in ((plain, 1e-6), (far, 1e-10)):
            saved.add(row=case.name(goal), who="ours", **record(found))
        both = isinstance(plain, Measured) and isinstance(far, Measured)
        lines.append(["/".join(case.parts), short(plain), short(far), f"{far.seconds / plain.seconds:.2f}×" if both else "-"])
        print(*lines[-1], sep="  ", file=sys.stderr, flush=True)
    table(["row", "to 1e-6", "to 1e-10", "1e-10 / 1e-6"], lines)


def scaling(options, out, saved):
    benches = [(nnz, Bench(packed.prepare_family(nnz, options.cache), options, out)) for nnz in FAMILY]
    lines = []
    for task in ("div10", "div100", "path"):
        case, sizes, seconds = Case("family", "squared", True, 1.0, task), [], []
        for nnz, bench in benches:
            found = bench.ours(case, 1e-6)
            saved.add(row=case.name(1e-6), who="ours", nnz=bench.data.x.nnz, **record(found))
            lines.append([task, f"{bench.data.x.nnz / 1e6:.2f} M", short(found), found.nonzeros if isinstance(found, Measured) else "-"])
            if isinstance(found, Measured):
                sizes.append(bench.data.x.nnz)
                seconds.append(found.seconds)
        slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0] if len(sizes) > 1 else float("nan")
        lines.append([task, "**slope**", f"**{slope:.2f}**", ""])
    table(["task", "non-zeros", "ours to 1e-6", "selected"], lines)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as by hand: the children are ended on the way out
    options = arguments()
    if options.list:
        for case, goals in measure.chosen(options.patterns):
            print(*(case.name(goal) for goal in goals), sep="\n")
        return
    if not os.path.exists(measure.OURS):
        sys.exit(f"{measure.OURS} is not there: cargo build --release --example fit_packed, or SPARSEFIT_FIT_PACKED")
    os.makedirs(options.cache, exist_ok=True)
    saved = Saved(options.save)

    def folder_of(name):
        return packed.prepare(name, options.cache)

    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "coefficients.f64")
        if options.threads:
            threads(options, folder_of, out, saved)
        elif options.deep:
            deep(options, folder_of, out, saved)
        elif options.scaling:
            scaling(options, out, saved)
        else:
            compare(options, folder_of, out, saved)


if __name__ == "__main__":
    main()
