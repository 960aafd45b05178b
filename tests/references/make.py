"""Makes `references.json`: solutions of sparse problems found by other libraries and certified in float64.

    python tests/references/make.py            # needs numpy, scipy, scikit-learn, skglm, and the data (bench/README.md)

Real data: scikit-learn (squared) or skglm (logistic) finds support and signs, Newton's method on that support sharpens
them, and the duality gap of `bench/problem.py` says how good the result is. A fit whose gap stays above 1e-8 stops the
script. Tiny problems: proximal gradient, then the same Newton; beside it scikit-learn's answer to the same problem,
whose distance is written down.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../bench"))

import peers  # before numpy: it says that BLAS shall use one thread

import numpy as np
import problem as mathematics
import scipy.sparse as sp

# file, loss, positive class, standardize, λ_max/λ
REAL = [
    ("diabetes64.svm.zst", "squared", None, True, (3, 10, 100)),
    ("diabetes64.svm.zst", "squared", None, False, (10,)),
    ("riboflavin.svm.zst", "squared", None, True, (3, 10)),
    ("riboflavin.svm.zst", "squared", None, False, (100,)),
    ("mushrooms.svm.zst", "logistic", 2, True, (10, 100)),
    ("mushrooms.svm.zst", "logistic", 2, False, (10,)),
    ("rcv1-1k.train.svm.zst", "logistic", 1, True, (3, 10)),
    ("rcv1-1k.train.svm.zst", "logistic", 1, False, (10, 100)),
    ("news20.t.svm.zst", "logistic", 1, True, (3, 10)),
    ("news20.t.svm.zst", "logistic", 1, False, (10, 100)),
    ("a9a.svm.zst", "logistic", 1, True, (10, 100)),
    ("a9a.svm.zst", "logistic", 1, False, (10,)),
]


def certified(problem, lam):
    """(w, b, gap, solver) of a peer, sharpened; stops the script rather than store a doubtful one."""
    found = peers.best(problem, lam)
    if found[2] > 1e-8:
        sys.exit(f"a gap of {found[2]:.1e} is no reference")
    return found


def gradient_distance(problem, w, b, lam):
    """How far the features outside the support are from entering, relative to λ: near 0 = the support may not be unique."""
    outside = (w == 0) & ~problem.constant
    g = np.abs(problem.gradient(w, b))[outside]
    return float((lam * problem.l1_ratio - g).min(initial=np.inf) / lam)


def real():
    for file, loss, positive, standardize, ratios in REAL:
        x, y = mathematics.parse(mathematics.text_of(file))
        if positive is not None:
            y = np.where(y == positive, 1.0, -1.0)
        problem = mathematics.Problem(x, y, loss, True, standardize)
        lambda_max = problem.lambda_max()
        for ratio in ratios:
            lam = lambda_max / ratio
            w, b, gap, solver = certified(problem, lam)
            support = np.flatnonzero(w)
            case = {
                "file": file, "sha256": mathematics.sha256_of(file), "loss": loss, "positive_class": positive,
                "standardize": standardize, "intercept": True, "l1_ratio": 1.0, "lambda_max": lambda_max, "lambda": lam,
                "objective": problem.objective(w, b, lam), "null_objective": problem.null()[0], "intercept_value": b,
                "support": support.tolist(), "margin": gradient_distance(problem, w, b, lam),
                "relative_gap": max(gap, 0.0), "solver": solver,
            }
            if file.startswith("diabetes64"):
                case["coefficients"] = w[support].tolist()
            print(f"{file} {standardize} λmax/{ratio} nnz {len(support)} gap {gap:.1e} margin {case['margin']:.1e} {solver}", file=sys.stderr)
            yield case


def proximal_gradient(problem, lam, rounds=40_000):
    """FISTA with restart on the scaled problem; dense, for problems of a few hundred numbers."""
    x = problem.scaled().toarray()
    design = np.column_stack([x, np.ones(len(problem.y))]) if problem.intercept else x
    p = x.shape[1]
    curvature = np.linalg.norm(np.sqrt(problem.share)[:, None] * design, 2) ** 2 * (0.25 if problem.loss == "logistic" else 1.0)
    factor = np.append(problem.factors, 0.0) if problem.intercept else problem.factors
    l1, l2 = lam * problem.l1_ratio * factor, lam * (1 - problem.l1_ratio) * factor
    step = 1.0 / curvature
    v = np.zeros(design.shape[1])
    z, t = v.copy(), 1.0
    for _ in range(rounds):
        u = z + step * (design.T @ problem.slack(design @ z + problem.offset))
        new = np.sign(u) * np.maximum(np.abs(u) - step * l1, 0.0) / (1.0 + step * l2)
        if (z - new) @ (new - v) > 0:
            t = 1.0
        t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
        z, v, t = new + (t - 1) / t_new * (new - v), new, t_new
    w = np.where(problem.constant, 0.0, v[:p] / problem.scale)
    return w, float(v[p]) if problem.intercept else 0.0


def tiny_cases():
    """Name and settings of each inlined problem; data come from one seeded generator."""
    ones = dict(standardize=False, intercept=True, l1_ratio=1.0, ratio=5)
    yield "lasso", dict(ones, loss="squared")
    yield "lasso without intercept", dict(ones, loss="squared", intercept=False)
    yield "lasso, scaled, weighted", dict(ones, loss="squared", standardize=True, weighted=True)
    yield "lasso, scaled, a constant column, rows of weight 0", dict(ones, loss="squared", standardize=True, weighted=True, zeros=True, constant=True)
    yield "lasso, more features than rows", dict(ones, loss="squared", standardize=True, n=9, p=24, ratio=10)
    yield "lasso with factors, one of them 0", dict(ones, loss="squared", factors=True)
    yield "lasso with offsets", dict(ones, loss="squared", offset=True)
    yield "elastic net 0.5, scaled, weighted", dict(ones, loss="squared", standardize=True, weighted=True, l1_ratio=0.5)
    yield "elastic net 0.5 with factors", dict(ones, loss="squared", l1_ratio=0.5, factors=True)
    yield "ridge", dict(ones, loss="squared", l1_ratio=0.0, ratio=1000)
    yield "ridge, scaled, weighted", dict(ones, loss="squared", l1_ratio=0.0, ratio=1000, standardize=True, weighted=True)
    yield "logistic lasso", dict(ones, loss="logistic")
    yield "logistic lasso without intercept", dict(ones, loss="logistic", intercept=False)
    yield "logistic lasso, scaled, weighted", dict(ones, loss="logistic", standardize=True, weighted=True)
    yield "logistic lasso with factors, one of them 0", dict(ones, loss="logistic", factors=True)
    yield "logistic lasso with offsets", dict(ones, loss="logistic", offset=True)
    yield "logistic elastic net 0.5, scaled, weighted", dict(ones, loss="logistic", standardize=True, weighted=True, l1_ratio=0.5)
    yield "logistic ridge, scaled", dict(ones, loss="logistic", l1_ratio=0.0, ratio=1000, standardize=True)


def tiny():
    for seed, (name, set_) in enumerate(tiny_cases()):
        draw = np.random.RandomState(seed)
        n, p = set_.get("n", 24), set_.get("p", 8)
        x = np.where(draw.rand(n, p) < 0.5, np.round(draw.randn(n, p) * (1 + np.arange(p) % 3) + 0.5, 3), 0.0)
        if set_.get("constant"):
            x[:, 2] = 1.5
        signal = x[:, :3] @ np.array([1.0, -0.7, 0.4]) + 0.3
        y = np.round(signal + 0.3 * draw.randn(n), 3) if set_["loss"] == "squared" else np.where(signal + 0.8 * draw.randn(n) > 0.3, 1.0, -1.0)
        weights = np.round(0.2 + 2 * draw.rand(n), 2) if set_.get("weighted") else None
        if set_.get("zeros"):
            weights[[1, 5, 6]] = 0.0
        factors = np.round(0.5 + draw.rand(p), 2) if set_.get("factors") else None
        if factors is not None:
            factors[4] = 0.0
        offset = np.round(0.5 * draw.randn(n), 2) if set_.get("offset") else None
        problem = mathematics.Problem(sp.csc_matrix(x), y, set_["loss"], set_["intercept"], set_["standardize"], set_["l1_ratio"], weights, factors, offset)
        # λ_max is not asked of problems with a factor of 0 (there w = 0 is not the null model).
        lambda_max = None if factors is not None else problem.lambda_max()
        lam = 0.08 if factors is not None else lambda_max / set_["ratio"]
        w, b = mathematics.newton_on_support(problem, *proximal_gradient(problem, lam), lam)
        violation = problem.kkt(w, b, lam) / lam
        if violation > 1e-11:
            sys.exit(f"{name}: optimality violated by {violation:.1e}·λ")
        case = {
            "name": name, "loss": set_["loss"], "intercept": set_["intercept"], "standardize": set_["standardize"],
            "l1_ratio": set_["l1_ratio"], "x": x.tolist(), "y": y.tolist(),
            "weights": None if weights is None else weights.tolist(), "factors": None if factors is None else factors.tolist(),
            "offset": None if offset is None else offset.tolist(), "lambda_max": lambda_max, "lambda": lam,
            "coefficients": w.tolist(), "intercept_value": b, "objective": problem.objective(w, b, lam),
            "kkt_violation": violation, "sklearn_distance": None,
        }
        if factors is None and offset is None and set_["l1_ratio"] > 0:
            u, c = peers.sklearn(problem, lam, 1e-13)
            case["sklearn_distance"] = float(max(np.abs(u - w).max(), abs(b - c)))
            if case["sklearn_distance"] > 1e-5:
                sys.exit(f"{name}: scikit-learn says something else ({case['sklearn_distance']:.1e})")
        print(f"{name}: nnz {np.count_nonzero(w)} of {p}, kkt {violation:.1e}·λ, sklearn {case['sklearn_distance']}", file=sys.stderr)
        yield case


if __name__ == "__main__":
    everything = {"tiny": list(tiny()), "real": [] if "--tiny" in sys.argv else list(real())}
    with open(os.path.join(HERE, "references.json"), "w") as out:
        out.write('{"tiny":[\n' + ",\n".join(json.dumps(c) for c in everything["tiny"]))
        out.write('\n],"real":[\n' + ",\n".join(json.dumps(c) for c in everything["real"]) + "\n]}\n")
