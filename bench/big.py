"""The large data: how fast it comes in, how much memory it takes, and fits beside skglm and celer at an equal measured gap.

    python bench/big.py [--runs 3] [--peers skglm,celer] [debian-size] [debian-section]

For each of debian-size (squared) and debian-section (logistic): upload of the plain text (MB/s; peak memory of the
server over the stored bytes); then one λ at a time (λ_max/10, λ_max/100; no standardising) fitted by the server and by
the peers in the same run, one after the other. Each side's own tolerance is walked down until the gap that
`problem.py` measures on the coefficients is at or below 1e-4 and 1e-6; that rung is timed `--runs` times and the median
kept. Time is CPU seconds of the process; a pass is the CPU time of one Xᵀr by scipy on one thread, taken in the same run.
The server is run with one fit thread, as the peers are. Its time is the whole job (reading the stored file and the
certificate are in it, which the peers do not have); beside it stands `duration_ms` of the job.
"""
import argparse
import statistics
import sys
import time

import peers  # before numpy: it says that BLAS shall use one thread

import numpy as np
import problem as mathematics
from server import Server

GOALS = (1e-4, 1e-6)
SETS = {
    "debian-size": ("debian-size.svm.zst", "squared", None, [(10, True), (100, True), (10, False), (100, False)]),
    "debian-section": ("debian-section.svm.zst", "logistic", 1.0, [(10, True), (10, False), (100, False)]),
}
OWN = (1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7)
LADDER = {"skglm": (0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5), "celer": (1e-4, 3e-5, 1e-5, 1e-6, 3e-7, 1e-7, 1e-8)}
PEER_SECONDS = 90.0  # a rung that took longer than this is the last of its ladder


def one_pass(x):
    r = np.random.RandomState(0).randn(x.shape[0])
    times = []
    for _ in range(9):
        start = time.process_time()
        x.T @ r
        times.append(time.process_time() - start)
    return min(times)


def able(peer, problem):
    """celer has no intercept with the logistic loss, and one on sparse data costs it minutes (O(n) for each column)."""
    return peer != "celer" or not problem.intercept


def ladder_of_peer(peer, problem, lam, scaled, goals, runs):
    """{goal: (median CPU s, gap, non-zeros)}, goals that were not reached left out."""
    fit, reached = getattr(peers, peer), {}
    for tol in LADDER[peer]:
        start = time.process_time()
        w, b = fit(problem, lam, tol, scaled)
        times = [time.process_time() - start]
        gap = problem.relative_gap(w, b, lam)
        new = [g for g in goals if g not in reached and gap <= g]
        if new:
            while len(times) < runs and sum(times) < PEER_SECONDS:
                start = time.process_time()
                fit(problem, lam, tol, scaled)
                times.append(time.process_time() - start)
            for goal in new:
                reached[goal] = (statistics.median(times), gap, int(np.count_nonzero(w)))
        if len(reached) == len(goals) or times[0] > PEER_SECONDS:
            break
    return reached


def fit_over_http(server, name, problem, lam, tol):
    spec = {"lambda": {"mode": "value", "value": lam}, "standardize": "none", "intercept": problem.intercept, "solver": {"tol": tol}}
    before = server.cpu_seconds()
    job, href = server.fit(f"{name}-model", name, spec)
    cpu = server.cpu_seconds() - before
    indices, values, _, intercept = server.coefficients(href)
    w = np.zeros(problem.x.shape[1])
    w[indices] = values
    certificate = server.get(f"{href}/certificate")
    return cpu, job["duration_ms"] / 1000, w, intercept or 0.0, certificate


def ladder_of_server(server, name, problem, lam, goals, runs):
    reached, rungs = {}, OWN
    for tol in rungs:
        cpu, wall, w, b, certificate = fit_over_http(server, name, problem, lam, tol)
        gap = problem.relative_gap(w, b, lam)
        new = [g for g in goals if g not in reached and gap <= g]
        if new:
            more = [(cpu, wall)] + [fit_over_http(server, name, problem, lam, tol)[:2] for _ in range(runs - 1)]
            for goal in new:
                reached[goal] = (statistics.median(c for c, _ in more), gap, int(np.count_nonzero(w)),
                                 statistics.median(t for _, t in more), certificate)
        if len(reached) == len(goals):
            break
    return reached


def compare(server, name, problem, ratio, options, unit, out):
    lam = problem.lambda_max() / ratio
    scaled = problem.x
    icpt = "yes" if problem.intercept else "no"
    ours = ladder_of_server(server, name, problem, lam, GOALS, options.runs)
    theirs = {p: ladder_of_peer(p, problem, lam, scaled, GOALS, options.runs) for p in options.peers if able(p, problem)}
    for goal in GOALS:
        mine = ours.get(goal)
        line = [name, f"λ_max/{ratio}", icpt, f"{goal:.0e}"]
        line += ["not reached"] + ["-"] * 4 if mine is None else [
            f"{mine[0]:.2f}", f"{mine[3]:.2f}", f"{mine[0] / unit:.0f}", f"{mine[4]['full_passes']:.0f}", f"{mine[1]:.0e}, {mine[2]}"]
        for peer in options.peers:
            found = theirs.get(peer, {}).get(goal)
            if peer not in theirs:
                line.append("-")
            elif found is None:
                line.append("not reached")
            else:
                ratio_of = f" **{found[0] / mine[0]:.2f}×**" if mine else ""
                line.append(f"{found[0]:.2f} s = {found[0] / unit:.0f} p (gap {found[1]:.0e}, {found[2]}){ratio_of}")
        out.append(line)
        print(" | ".join(line), file=sys.stderr, flush=True)


def upload(server, name, text, options, out):
    """Medians of several uploads of the same text; the peak over what was resident before the first."""
    rates, cpu = [], []
    before = server.memory()
    server.forget_peak()
    for _ in range(options.runs):
        start = server.cpu_seconds()
        answer = server.upload(name, text)
        cpu.append(server.cpu_seconds() - start)
        rates.append(len(text) / 1e6 / answer.seconds)
    version, peak = answer.json(), server.memory()
    stored = version["stored_bytes"] / 2**20
    out.append(["upload", name, f"{len(text) / 1e6:.0f}", f"{stored:.0f}", f"{statistics.median(rates):.0f}", f"{len(text) / 1e6 / statistics.median(cpu):.0f}",
                f"{before['VmRSS']:.0f}", f"{peak['VmHWM']:.0f}", f"{(peak['VmHWM'] - before['VmRSS']) / stored:.2f}", f"{peak['RssAnon']:.0f}", f"{peak['RssFile']:.0f}"])
    return version


def watch_fit(server, name, problem, out, stored):
    """Memory of one hard fit: the peak, and at its end what is the process's own and what is mapped file."""
    server.forget_peak()
    before = server.memory()
    job = server.submit(f"{name}-memory", name, {"lambda": {"mode": "value", "value": problem.lambda_max() / 100}, "standardize": "none"})
    most = dict(before)
    while server.get(f"/api/v1/jobs/{job['id']}")["status"] in ("queued", "running"):
        now = server.memory()
        most = {key: max(most[key], now[key]) for key in most}
        time.sleep(0.02)
    most["VmHWM"] = server.memory()["VmHWM"]
    out.append(["fit λ_max/100", name, "-", f"{stored:.0f}", "-", "-", f"{before['VmRSS']:.0f}", f"{most['VmHWM']:.0f}",
                f"{(most['VmHWM'] - before['VmRSS']) / stored:.2f}", f"{most['RssAnon']:.0f}", f"{most['RssFile']:.0f}"])


def table(head, rows):
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", type=lambda text: [p for p in text.split(",") if p], default=["skglm", "celer"])
    options = parser.parse_args()
    memory, fits = [], []
    for name in options.sets:
        file, loss, positive, cases = SETS[name]
        text = mathematics.text_of(file)
        with Server("--fit-threads", "1") as server:
            version = upload(server, name, text, options, memory)
            x, y = mathematics.parse(text)
            del text
            if positive is not None:
                y = np.where(y == positive, 1.0, -1.0)
            unit = one_pass(x)
            print(f"{name}: a pass is {unit * 1000:.1f} ms", file=sys.stderr)
            watch_fit(server, name, mathematics.Problem(x, y, loss), memory, version["stored_bytes"] / 2**20)
            if options.peers:  # compile numba's code before anything is timed
                head = mathematics.Problem(x[:2000].tocsc(), y[:2000], loss)
                for peer in options.peers:
                    quick = head if able(peer, head) else mathematics.Problem(head.x, head.y, loss, intercept=False)
                    getattr(peers, peer)(quick, quick.lambda_max() / 3, 0.01)
            for ratio, intercept in cases:
                compare(server, name, mathematics.Problem(x, y, loss, intercept), ratio, options, unit, fits)
    table(["", "data", "text MB", "stored MiB", "MB/s", "MB per CPU s", "RSS before MiB", "peak MiB", "(peak − before)/stored", "RssAnon MiB", "RssFile MiB"], memory)
    table(["data", "λ", "intercept", "gap ≤", "CPU s", "job s", "passes of scipy", "passes told", "gap, non-zeros", *[f"{p} CPU s = passes (gap, non-zeros) **ours is × faster**" for p in options.peers]], fits)


if __name__ == "__main__":
    main()
