"""The mathematics of a fit in float64, written a second time and apart from the server's: objective, λ_max, certificate.

Everything a check needs to know whether coefficients that came over HTTP are right, from nothing but the data:

    F(w, b) = (1/Σs) Σ_i s_i·loss(y_i, x_i·w + b + o_i)  +  λ Σ_j f_j [ ρ·|w_j σ_j| + (1 − ρ)/2·(w_j σ_j)² ]

with sample weights s, offsets o, penalty factors f, ρ = l1_ratio, σ_j = weighted population standard deviation about the mean
(or 1). It must never import anything of the server or of a peer.
"""
import hashlib
import io
import os
import subprocess
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

DATA = os.environ.get("SPARSEFIT_BENCH_DATA") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shared/data")
SMALLEST_L1_RATIO = 1e-3  # λ_max of (nearly) ridge is computed with this ratio


def path_of(name):
    return os.path.join(DATA, name)


def text_of(name):
    """Bytes of a data file, decompressed."""
    if not name.endswith(".zst"):
        return open(path_of(name), "rb").read()
    return subprocess.run(["zstd", "-dc", "--long=27", path_of(name)], stdout=subprocess.PIPE, check=True).stdout


def sha256_of(name):
    return hashlib.sha256(open(path_of(name), "rb").read()).hexdigest()


def parse(text, n_features=None):
    """LIBSVM text to (CSC matrix, targets)."""
    from sklearn.datasets import load_svmlight_file

    x, y = load_svmlight_file(io.BytesIO(text), n_features=n_features, zero_based=False)
    x = x.tocsc()
    x.eliminate_zeros()
    x.sort_indices()
    return x, y


@dataclass
class Problem:
    """One objective of the family above; `x` is CSC n×p, `y` is real, or ±1 when `loss` is "logistic"."""

    x: sp.csc_matrix
    y: np.ndarray
    loss: str
    intercept: bool = True
    standardize: bool = False
    l1_ratio: float = 1.0
    weights: np.ndarray | None = None
    factors: np.ndarray | None = None
    offset: np.ndarray | None = None
    share: np.ndarray = field(init=False)  # s/Σs
    scale: np.ndarray = field(init=False)  # σ
    constant: np.ndarray = field(init=False)  # columns whose coefficient is 0 by definition

    def __post_init__(self):
        n, p = self.x.shape
        s = np.ones(n) if self.weights is None else np.asarray(self.weights, float)
        self.share = s / s.sum()
        self.factors = np.ones(p) if self.factors is None else np.asarray(self.factors, float)
        self.offset = np.zeros(n) if self.offset is None else np.asarray(self.offset, float)
        mean = self.x.T @ self.share
        # Two passes: the variance of the stored part about the mean, and of the implicit zeros.
        column = np.repeat(np.arange(p), np.diff(self.x.indptr))
        a = self.share[self.x.indices]
        stored = np.bincount(column, a * (self.x.data - mean[column]) ** 2, p)
        weight = np.bincount(column, a, p)
        variance = stored + np.maximum(1.0 - weight, 0.0) * mean**2
        spread = np.sqrt(np.maximum(variance, 0.0))
        self.constant = self._one_value(s) | (spread == 0.0)
        self.scale = np.where(self.constant, 1.0, spread) if self.standardize else np.ones(p)
        if not self.standardize:
            self.constant = np.zeros(p, bool)

    def _one_value(self, s):
        """Columns that hold one value in all rows with weight; by comparison, since a computed variance is rarely 0."""
        x = self.x[np.flatnonzero(s > 0)].tocsc()
        full = np.diff(x.indptr) == x.shape[0]
        constant = np.diff(x.indptr) == 0
        for j in np.flatnonzero(full):
            values = x.data[x.indptr[j]:x.indptr[j + 1]]
            constant[j] = values.min() == values.max()
        return constant

    def scaled(self):
        """X with columns divided by σ (constant ones emptied): the matrix on which the penalty is plain."""
        return (self.x @ sp.diags(np.where(self.constant, 0.0, 1.0 / self.scale))).tocsc()

    def eta(self, w, b):
        return self.x @ w + b + self.offset

    def losses(self, eta):
        if self.loss == "squared":
            return 0.5 * (self.y - eta) ** 2
        return np.logaddexp(0.0, -self.y * eta)

    def slack(self, eta):
        """θ_i = −s_i/Σs · loss'(η_i): the dual point that belongs to η."""
        if self.loss == "squared":
            return self.share * (self.y - eta)
        return self.share * self.y / (1.0 + np.exp(np.clip(self.y * eta, -700, 700)))

    def penalty(self, w, lam):
        v = w * self.scale
        return lam * float(self.factors @ (self.l1_ratio * np.abs(v) + 0.5 * (1.0 - self.l1_ratio) * v * v))

    def objective(self, w, b, lam):
        return float(self.share @ self.losses(self.eta(w, b))) + self.penalty(w, lam)

    def null(self):
        """(F(0, best b), best b)."""
        b = 0.0
        if self.intercept and self.loss == "squared":
            b = float(self.share @ (self.y - self.offset))
        elif self.intercept:
            for _ in range(100):  # Newton in one variable; convex and smooth, started at 0
                q = 1.0 / (1.0 + np.exp(-(b + self.offset)))
                step = float(self.slack(b + self.offset).sum()) / max(float(self.share @ (q * (1 - q))), 1e-300)
                b += float(np.clip(step, -2.0, 2.0))
                if abs(step) <= 1e-15 * max(1.0, abs(b)):
                    break
        return float(self.share @ self.losses(b + self.offset)), b

    def lambda_max(self):
        """Smallest λ with w = 0, for problems in which every factor is positive or infinite."""
        slope = np.abs(self.x.T @ self.slack(self.null()[1] + self.offset)) / self.scale
        slope[self.constant] = 0.0
        live = self.factors > 0
        return float((slope[live] / self.factors[live]).max() / max(self.l1_ratio, SMALLEST_L1_RATIO))

    def gradient(self, w, b):
        """Xᵀθ on the scaled matrix; 0 for constant columns."""
        g = (self.x.T @ self.slack(self.eta(w, b))) / self.scale
        g[self.constant] = 0.0
        return g

    def kkt(self, w, b, lam):
        """Largest violation of the optimality conditions, in units of the gradient."""
        g, v = self.gradient(w, b), w * self.scale
        l1, l2 = lam * self.l1_ratio * self.factors, lam * (1.0 - self.l1_ratio) * self.factors
        inside = np.maximum(np.abs(g) - l1, 0.0)
        on = np.abs(g - l2 * v - l1 * np.sign(v))
        worst = float(np.where(w == 0, inside, on).max(initial=0.0))
        return max(worst, abs(float(self.slack(self.eta(w, b)).sum()))) if self.intercept else worst

    def dual(self, w, b, lam):
        """A lower bound on the optimum: Fenchel dual at the slack of (w, b), moved into the feasible set."""
        theta = self.slack(self.eta(w, b))
        if self.intercept:
            theta = self._balanced(theta)
        z = (self.x.T @ theta) / self.scale
        z[self.constant] = 0.0
        l1, l2 = lam * self.l1_ratio * self.factors, lam * (1.0 - self.l1_ratio) * self.factors
        if (self.factors == 0).any():
            return -np.inf  # an unpenalised column is an equality constraint: KKT is the measure there
        if self.l1_ratio < 1.0:
            v = w * self.scale

            def value(c):  # ridge part: the conjugate is finite everywhere
                return self._conjugate(c * theta) - float((np.maximum(np.abs(c * z) - l1, 0.0) ** 2 / (2 * l2)).sum())

            return max(value(c) for c in (1.0, 1.0 - 1e-6, 1.0 - 1e-4, 0.99, 0.0))
        feasible = min(1.0, float(np.min(np.where(np.abs(z) > 0, l1 / np.maximum(np.abs(z), 1e-300), np.inf))))
        if self.loss == "squared":
            with np.errstate(divide="ignore", invalid="ignore"):
                length = float(np.where(self.share > 0, theta**2 / np.where(self.share > 0, self.share, 1.0), 0.0).sum())
            bound = float(np.min(l1 / np.maximum(np.abs(z), 1e-300)))
            best = (theta @ (self.y - self.offset)) / max(length, 1e-300)
            return max(self._conjugate(c * theta) for c in (feasible, float(np.clip(best, -bound, bound))))
        return self._conjugate(feasible * theta)

    def relative_gap(self, w, b, lam):
        gap = self.objective(w, b, lam) - self.dual(w, b, lam)
        f0 = self.null()[0]
        return gap / f0 if f0 > 0 else gap

    def _balanced(self, theta):
        """Σθ = 0, the constraint an intercept brings, kept inside the domain of the conjugate."""
        if self.loss == "squared":
            return theta - self.share * theta.sum()
        up, down = theta[self.y > 0].sum(), -theta[self.y < 0].sum()
        least = min(up, down)
        return np.where(self.y > 0, theta * least / up, theta * least / down)

    def _conjugate(self, theta):
        live = self.share > 0
        a, t, y, o = self.share[live], theta[live], self.y[live], self.offset[live]
        if self.loss == "squared":
            return float((t * (y - o) - t * t / (2 * a)).sum())
        u = np.clip(t * y / a, 0.0, 1.0)
        entropy = np.where(u > 0, u * np.log(np.maximum(u, 1e-300)), 0.0)
        entropy += np.where(u < 1, (1 - u) * np.log(np.maximum(1 - u, 1e-300)), 0.0)
        return -float(a @ entropy) - float(t @ o)


def newton_on_support(problem, w, b, lam, rounds=60):
    """Sharpens a nearly optimal (w, b) by an active-set Newton method started at its support and signs.

    A step stops where the first coefficient would cross 0, which then leaves; when the support is solved, features that
    violate their bound enter. Directions in which the support is singular (twin columns) are left alone by the
    least-squares solve. The result counts only by its gap and is dropped when it is no better: nothing is on trust.
    """
    scaled = problem.scaled()
    l1, l2 = lam * problem.l1_ratio * problem.factors, lam * (1.0 - problem.l1_ratio) * problem.factors
    v = np.where(problem.constant, 0.0, w * problem.scale)
    c = b
    sign = np.sign(v)
    unpenalised = (l1 == 0) & ~problem.constant
    for _ in range(rounds):
        support = np.flatnonzero((sign != 0) | unpenalised)
        v, c, crossed = _newton(problem, scaled[:, support].toarray(), support, v, c, sign, l1, l2)
        if crossed:
            sign = np.sign(v)
            continue
        slope = scaled.T @ problem.slack(scaled @ v + c + problem.offset)
        enters = (sign == 0) & ~unpenalised & ~problem.constant & (np.abs(slope) > l1 * (1 + 1e-12))
        if not enters.any():
            break
        sign = np.where(enters, np.sign(slope), sign)
    sharp = np.where(problem.constant, 0.0, v / problem.scale)
    if not np.all(np.isfinite(sharp)):
        return w, b
    better = problem.objective(sharp, c, lam) <= problem.objective(w, b, lam)
    closer = problem.kkt(sharp, c, lam) < problem.kkt(w, b, lam)
    return (sharp, c) if better or closer else (w, b)


def _newton(problem, columns, support, v, c, sign, l1, l2, steps=40):
    """Newton steps for fixed signs; (v, intercept, whether a coefficient reached 0 and was dropped)."""
    k = len(support)
    design = np.column_stack([columns, np.ones(len(problem.y))]) if problem.intercept else columns
    u = np.append(v[support], c) if problem.intercept else v[support].copy()
    s, r1, r2 = sign[support], l1[support], l2[support]
    crossed = False
    for _ in range(steps):
        eta = design @ u + problem.offset
        slope = -design.T @ problem.slack(eta)
        slope[:k] += r1 * s + r2 * u[:k]
        if problem.loss == "squared":
            curve = problem.share
        else:
            q = 1.0 / (1.0 + np.exp(-np.clip(eta, -700, 700)))
            curve = problem.share * q * (1 - q)
        hessian = design.T @ (design * curve[:, None])
        hessian[np.arange(k), np.arange(k)] += r2
        step = -np.linalg.lstsq(hessian, slope, rcond=1e-12)[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where((step[:k] * s < 0) & (r1 > 0), -u[:k] / step[:k], np.inf)
        length = min(1.0, float(room.min(initial=np.inf)))
        u = u + length * step
        if length < 1.0:
            u[int(room.argmin())] = 0.0
            crossed = True
            break
        if np.abs(step).max(initial=0.0) <= 1e-15 * max(1.0, np.abs(u).max(initial=0.0)):
            break
    v = np.zeros_like(v)
    v[support] = u[:k]
    return v, float(u[k]) if problem.intercept else 0.0, crossed
