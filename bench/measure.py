"""The rows of `speed.py` and how one is measured: which fits, in which processes, down which tolerances.

A fit is timed in the process that does it; its coefficients come back in a file, and the gap is measured here, by
`problem.py`, for ours and for every peer alike.
"""
import json
import os
import queue
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import groupby

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy, and for every child

import numpy as np
import packed
from peer_process import PEERS

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.environ.get("SPARSEFIT_FIT_PACKED") or os.path.join(HERE, "../target/release/examples/fit_packed")
GOALS = (1e-4, 1e-6)
FRACTIONS = {"div10": 0.1, "div100": 0.01, "div1000": 0.001}
FOLDS = {"path": 0, "cv5": 5, "cv10": 10}
PATH = {"n": 100, "min_ratio": 0.01}
MARGIN = 1.02  # a gap this much above its goal meets it: the goal is for the solver's own dual point, not for ours
LONG_RUN = 5.0  # seconds; what takes longer is not repeated
WARM_UP = 300.0  # seconds to import and compile in, not on the clock


@dataclass(frozen=True)
class Case:
    """One fit to be measured, at any goal."""

    data: str
    loss: str
    intercept: bool
    l1_ratio: float
    task: str

    @property
    def parts(self):
        return (self.data, self.loss, "intercept" if self.intercept else "origin", "lasso" if self.l1_ratio == 1 else "net", self.task)

    @property
    def fraction(self):
        return FRACTIONS.get(self.task)

    @property
    def folds(self):
        return FOLDS.get(self.task, 0)

    def name(self, goal):
        return "/".join((*self.parts, goal_word(goal)))

    def lambdas(self, lambda_max):
        if self.fraction:
            return [lambda_max * self.fraction]
        return [lambda_max * PATH["min_ratio"] ** (k / (PATH["n"] - 1)) for k in range(PATH["n"])]

    def job(self, tol, repeat, out):
        return {"loss": self.loss, "intercept": self.intercept, "l1_ratio": self.l1_ratio, "tol": tol, "repeat": repeat, "out": out}

    def our_job(self, tol, repeat, out, threads=1):
        task = {"solve": self.fraction} if self.fraction else {"path": PATH}
        if self.folds:
            task = {"cv": PATH | {"folds": self.folds, "threads": threads}}
        return self.job(tol, repeat, out) | {"standardize": False, "task": task}

    def peer_job(self, tol, repeat, out, lambda_max):
        return self.job(tol, repeat, out) | {"folds": self.folds, "lambdas": self.lambdas(lambda_max), "lambda_max": lambda_max}


def goal_word(goal):
    return f"{goal:.0e}".replace("e-0", "e-")


def all_cases():
    for data, losses in packed.LOSSES.items():
        for loss in losses:
            for intercept in (True, False):
                for l1_ratio in (1.0, 0.5):
                    yield from (Case(data, loss, intercept, l1_ratio, task) for task in FRACTIONS)
                yield from (Case(data, loss, intercept, 1.0, task) for task in FOLDS)


def chosen(patterns):
    """[(case, goals)] of the rows that a pattern names; every word of a pattern must be a part of the name."""
    def named(case, goal):
        parts = (*case.parts, goal_word(goal))
        return any(all(any(fnmatchcase(part, word) for part in parts) for word in pattern.split("/")) for pattern in patterns)

    rows = [(case, [goal for goal in GOALS if not patterns or named(case, goal)]) for case in all_cases()]
    return [(case, goals) for case, goals in rows if goals]


class Over(Exception):
    """No answer within the time that was left."""


class Failed(Exception):
    """The process ended without an answer; with its last words."""


class Fitter:
    """A process that reads jobs and answers them, in a group of its own so that it can be ended with its children."""

    def __init__(self, *command):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def ask(self, job, seconds):
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            line = self.lines.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            raise Over from None
        except BrokenPipeError:
            line = None
        if line is None:
            self.errors.seek(0)
            raise Failed(" ".join(self.errors.read().split())[-200:])
        return json.loads(line)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


@dataclass(frozen=True)
class Measured:
    """What one fit took and reached."""

    tol: float
    cpu: tuple  # seconds of each run, everything in it
    wall: tuple
    gap: float  # the largest of all λ, by our own mathematics
    nonzeros: int
    memory: float
    answer: dict

    @property
    def seconds(self):
        return statistics.median(self.cpu)


@dataclass(frozen=True)
class Missed:
    """Why there is no figure; `seconds` is the least that a fit to the goal would have taken, when that is known."""

    why: str
    seconds: float | None = None


def total(run, clock):
    return sum(run[part][clock] for part in ("set_up", "fit", "folds") if run[part])


class Bench:
    """One data set in memory and the processes that fit it."""

    def __init__(self, folder, options, out):
        self.data, self.options, self.out = packed.load(folder), options, out
        self.fitters, self.warm, self.problems = {}, set(), {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in list(self.fitters):
            self._end(name)

    def problem(self, case):
        key = (case.loss, case.intercept, case.l1_ratio)
        if key not in self.problems:
            problem = packed.PlainProblem(self.data.x, self.data.y, case.loss, case.intercept, l1_ratio=case.l1_ratio)
            self.problems[key] = problem, problem.lambda_max()
        return self.problems[key]

    def pass_seconds(self):
        """CPU seconds of one Xᵀr on one thread, the least of several."""
        r, times = np.random.RandomState(0).randn(len(self.data.y)), []
        for _ in range(9):
            start = time.process_time()
            self.data.x.T @ r
            times.append(time.process_time() - start)
        return min(times)

    def measured(self, case, tol, answer):
        problem, lambda_max = self.problem(case)
        lambdas = case.lambdas(lambda_max)
        found = packed.read_coefficients(self.out, len(lambdas))
        runs = answer["runs"]
        gaps = [problem.gap_of(coefficients, lam) for coefficients, lam in zip(found, lambdas)]
        worst = max(gaps) if np.isfinite(gaps).all() else float("inf")
        return Measured(tol, tuple(total(run, "cpu") for run in runs), tuple(total(run, "wall") for run in runs), worst,
                        len(found[-1][1]), max(run["memory"] for run in runs), answer)

    def ours(self, case, tol, threads=1):
        """Every fit in a new process: what it takes in memory is then its own."""
        with Fitter(OURS, self.data.folder) as fitter:
            try:
                answer = fitter.ask(case.our_job(tol, 1, self.out, threads), self.options.budget)
                if self.options.runs > 1 and total(answer["runs"][0], "wall") <= LONG_RUN:
                    again = fitter.ask(case.our_job(tol, self.options.runs - 1, self.out, threads), self.options.runs * self.options.budget)
                    answer["runs"] += again["runs"]
            except Over:
                return Missed(f"over {self.options.budget:g} s")
            except Failed as failed:
                return Missed(f"failed: {failed}")
        lambda_max = self.problem(case)[1]
        if abs(answer["lambda_max"] - lambda_max) > 1e-9 * lambda_max:
            return Missed(f"λ_max is {answer['lambda_max']!r}, and should be {lambda_max!r}")
        return self.measured(case, tol, answer)

    def _end(self, name):
        self.fitters.pop(name).__exit__()
        self.warm = {key for key in self.warm if key[0] != name}

    def _ask(self, name, case, tol, repeat, seconds):
        """A fit by a peer whose process is up, with everything compiled that the fit needs."""
        if name not in self.fitters:
            python = self.options.pythons[name]
            self.fitters[name] = Fitter(python, os.path.join(HERE, "peer_process.py"), name, self.data.folder)
        job = case.peer_job(tol, repeat, self.out, self.problem(case)[1])
        key = (name, case.loss, case.intercept, case.l1_ratio, case.fraction is None)
        if key not in self.warm:
            try:
                self.fitters[name].ask(job | {"warm_up": True, "tol": 1e-2}, WARM_UP)
            except Over:
                raise Failed(f"not ready after {WARM_UP:g} s") from None
            self.warm.add(key)
        return self.measured(case, tol, self.fitters[name].ask(job, seconds))

    def walk(self, name, case, goals):
        """{goal: Measured or Missed}: the first tolerance that meets each goal, run as often as asked for.

        The tolerance of a cross-validation is looked for on its path alone."""
        left, tried, met = self.options.budget, {}, {}
        probe = replace(case, task="path") if case.folds else case
        try:
            for goal in goals:
                for tol in PEERS[name].rungs(goal, case.loss):
                    if tol not in tried:
                        tried[tol] = self._ask(name, probe, tol, 1, left)
                        left -= tried[tol].wall[0]
                    if tried[tol].gap <= goal * MARGIN:
                        first = self._ask(name, case, tol, 1, left) if case.folds else tried[tol]
                        met[goal] = self._repeated(name, case, first)
                        break
            best = min(tried.values(), key=lambda found: found.gap, default=None)
            missed = Missed(f"not reached, {best.gap:.0e} in {best.seconds:.3g} s")
        except Over:
            self._end(name)
            missed = Missed(f"over {self.options.budget:g} s", left)
        except Failed as failed:
            self._end(name)
            missed = Missed(f"failed: {failed}")
        return {goal: met.get(goal, missed) for goal in goals}

    def rows(self, case, goals):
        """Ours, every peer, and ours again."""
        unit = self.pass_seconds()
        ours = {goal: self.ours(case, goal) for goal in goals}
        peers = {}
        for name in self.options.pythons:
            lacks = PEERS[name].lacks(case)
            peers[name] = {goal: Missed(lacks) for goal in goals} if lacks else self.walk(name, case, goals)
        for goal, first in ours.items():
            if isinstance(first, Measured) and first.wall[0] <= LONG_RUN:
                again = self.ours(case, goal)
                ours[goal] = joined(first, again) if isinstance(again, Measured) else again
        unit = min(unit, self.pass_seconds())
        return [Row(case, goal, self.data.dense, unit, ours[goal], {name: met[goal] for name, met in peers.items()}) for goal in goals]

    def _repeated(self, name, case, first):
        more = self.options.runs - len(first.cpu)
        if more <= 0 or first.wall[0] > LONG_RUN:
            return first
        again = self._ask(name, case, first.tol, more, self.options.runs * 4 * LONG_RUN)
        return joined(first, again)


def joined(a, b):
    """Two measurements of the same fit as one."""
    return replace(a, cpu=a.cpu + b.cpu, wall=a.wall + b.wall, memory=max(a.memory, b.memory))


@dataclass
class Row:
    """Everything measured of one case at one goal."""

    case: Case
    goal: float
    dense: bool
    unit: float  # CPU seconds of a pass
    ours: Measured | Missed
    peers: dict

    @property
    def name(self):
        return self.case.name(self.goal)


def compare(options, folder_of, out):
    """Rows, as they are measured."""
    for data, group in groupby(chosen(options.patterns), lambda row: row[0].data):
        with Bench(folder_of(data), options, out) as bench:
            for case, goals in group:
                yield from bench.rows(case, goals)
