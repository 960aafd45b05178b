"""The matrices of `speed.py`: packed once into a folder each, and read back alike by every library that is timed.

A packed folder is what `examples/fit_packed.rs` describes: raw arrays by columns, empty columns left out. Everybody fits
that matrix, ours as the peers. The gene data are packed with every column divided by its standard deviation, so that
nobody needs to standardise. Beside the data files there are `tall` and `wide`, made here from a fixed seed, and a family
of one shape at any number of non-zeros.
"""
import os
import shutil
from dataclasses import dataclass

import numpy as np
import problem as mathematics
import scipy.sparse as sp


@dataclass(frozen=True)
class Source:
    """A data file; `positive` is the class against the rest, `unit_columns` divides by the standard deviation."""

    file: str
    losses: tuple
    positive: float | None = None
    unit_columns: bool = False


FILES = {
    "debian-size": Source("debian-size.svm.zst", ("squared",)),
    "debian-section": Source("debian-section.svm.zst", ("logistic",), 1.0),
    "20news-bydate": Source("20news-bydate.train.svm.zst", ("logistic", "squared"), 1.0),
    "rcv1-1k": Source("rcv1-1k.train.svm.zst", ("logistic", "squared"), 1.0),
    "a9a": Source("a9a.svm.zst", ("logistic",), 1.0),
    "w8a": Source("w8a.svm.zst", ("logistic",), 1.0),
    "riboflavin": Source("riboflavin.svm.zst", ("squared",), unit_columns=True),
    "colon": Source("colon.svm.zst", ("logistic",), 1.0, unit_columns=True),
}
MADE = {"tall": ("squared",), "wide": ("squared",)}
LOSSES = {name: source.losses for name, source in FILES.items()} | MADE


@dataclass
class Packed:
    """A matrix as it was packed: CSC, or an array in column order when no entry is 0; float64 either way."""

    folder: str
    x: sp.csc_matrix | np.ndarray
    y: np.ndarray

    @property
    def dense(self):
        return isinstance(self.x, np.ndarray)


def prepare(name, cache):
    """The folder of a data set, packed when it is not there yet."""
    folder = os.path.join(cache, name)
    if os.path.isdir(folder):
        return folder
    if name in FILES:
        _write(folder, *_from_file(FILES[name]))
    else:
        _make_wide_and_tall(cache)
    return folder


def prepare_family(nnz, cache):
    """The folder of a matrix with about `nnz` non-zeros in the shape of `tall`: 20 a row, 40 rows a column, and every 50th
    coefficient 1 or -1, so that the support grows with the columns and nothing of it is left to chance."""
    folder = os.path.join(cache, f"family-{nnz}")
    if not os.path.isdir(folder):
        rng, n = np.random.RandomState(2), nnz // 20
        p = n // 40
        x, w = _popular(rng, n, p, 20), np.zeros(p)
        w[::50] = np.resize((1.0, -1.0), len(w[::50]))
        _write(folder, x, _as_much_noise(rng, x @ w))
    return folder


def load(folder):
    def array(name, kind):
        return np.fromfile(os.path.join(folder, name), dtype=kind)

    y = array("y.f64", "<f8")
    offsets = array("offsets.u64", "<u8")
    single = os.path.exists(os.path.join(folder, "values.f32"))
    values = array("values.f32", "<f4").astype(float) if single else array("values.f64", "<f8")
    n, p = len(y), len(offsets) - 1
    if len(values) == n * p:
        return Packed(folder, values.reshape((n, p), order="F"), y)
    rows = array("rows.u32", "<u4").astype(np.int32)
    return Packed(folder, sp.csc_matrix((values, rows, offsets.astype(np.int32)), shape=(n, p)), y)


def read_coefficients(path, count):
    """What a fit wrote: for each λ (intercept, positions, values)."""
    raw, at, found = np.fromfile(path, dtype="<f8"), 0, []
    for _ in range(count):
        intercept, k = raw[at], int(raw[at + 1])
        found.append((intercept, raw[at + 2:at + 2 + k].astype(np.int64), raw[at + 2 + k:at + 2 + 2 * k]))
        at += 2 + 2 * k
    if at != len(raw):
        raise ValueError(f"{path} holds {len(raw)} numbers where {at} were expected")
    return found


class PlainProblem(mathematics.Problem):
    """The objective without weights, factors, offsets and standardising: nothing of the columns has to be known for it,
    and the matrix may be an array. The null model, which every gap needs, is found once."""

    def __post_init__(self):
        n, p = self.x.shape
        self.share, self.offset = np.full(n, 1.0 / n), np.zeros(n)
        self.factors, self.scale, self.constant = np.ones(p), np.ones(p), np.zeros(p, bool)
        self.null_model = super().null()

    def null(self):
        return self.null_model

    def gap_of(self, coefficients, lam):
        intercept, positions, values = coefficients
        w = np.zeros(self.x.shape[1])
        w[positions] = values
        return self.relative_gap(w, intercept, lam)


def _from_file(source):
    x, y = mathematics.parse(mathematics.text_of(source.file))
    if source.positive is not None:
        y = np.where(y == source.positive, 1.0, -1.0)
    if source.unit_columns:
        spread = x.toarray().std(axis=0)
        x = (x @ sp.diags(1.0 / np.where(spread > 0, spread, 1.0))).tocsc()
    return x, y


def _make_wide_and_tall(cache):
    """One stream of random numbers makes both, `wide` first."""
    rng = np.random.RandomState(1)
    n, p = 1000, 100_000
    x = np.empty((n, p), order="F")
    x[:, 0] = rng.randn(n)
    for j in range(1, p):  # neighbours correlate with 1/2
        x[:, j] = 0.5 * x[:, j - 1] + np.sqrt(0.75) * rng.randn(n)
    w = np.zeros(p)
    w[rng.choice(p, 50, False)] = rng.randn(50)
    signal = x @ w
    _write(os.path.join(cache, "wide"), x, signal + rng.randn(n) * signal.std() / 3)
    del x
    n, p = 200_000, 5000
    x = _popular(rng, n, p, 20)
    w = np.zeros(p)
    w[rng.choice(p, 100, False)] = rng.randn(100)
    _write(os.path.join(cache, "tall"), x, _as_much_noise(rng, x @ w))


def _popular(rng, n, p, draws):
    """n×p with `draws` entries a row, few columns in most rows and most in few, by the place of a column among p."""
    share = 1.0 / (np.arange(p) + p / 100)
    share /= share.sum()
    columns = rng.choice(p, n * draws, p=share).astype(np.int32)
    values = np.round(rng.randn(n * draws), 5)
    values[values == 0] = 1.0
    x = sp.csr_matrix((values, columns, np.arange(0, n * draws + 1, draws)), shape=(n, p))
    x.sum_duplicates()
    return x


def _as_much_noise(rng, signal):
    return np.round(signal + rng.randn(len(signal)) * signal.std(), 5)


def _write(folder, x, y):
    """In one step for whoever looks: a folder that is there is whole."""
    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    if isinstance(x, np.ndarray):
        n, p = x.shape
        if not x.all():
            raise ValueError("an array is packed as it is and must not hold zeros")
        features, offsets = np.arange(p), np.arange(p + 1) * n
        rows, values = np.tile(np.arange(n, dtype="<u4"), p), x.ravel(order="F")
    else:
        x = x.tocsc()
        x.eliminate_zeros()
        x.sort_indices()
        features = np.flatnonzero(np.diff(x.indptr))
        offsets = np.append(x.indptr[features], x.nnz)
        rows, values = x.indices, x.data
    single = values.astype("<f4")
    lossless = np.array_equal(single, values)
    arrays = {"y.f64": y, "features.u32": features, "offsets.u64": offsets, "rows.u32": rows}
    arrays["values.f32" if lossless else "values.f64"] = single if lossless else values
    for name, array in arrays.items():
        kind = "<" + name.rsplit(".", 1)[1].replace("u32", "u4").replace("u64", "u8").replace("f32", "f4").replace("f64", "f8")
        np.asarray(array).astype(kind, copy=False).tofile(os.path.join(part, name))
    os.replace(part, folder)
