"""Networks beside PyTorch: the same network from the same first weights, batch by batch, and what an epoch takes.

    cargo build --release --example network
    python bench/network.py [PATTERN …] [--rounds 3] [--epochs 2] [--steps 60]

`agree/…` rows train in double precision here and there and say how far the losses of the batches lie apart, relative to their size. `time/…`
rows say CPU seconds of an epoch, ours in double precision against PyTorch in single precision with dense rows and with `torch.sparse`, in
turn in one run, one thread each; the ratio is the median over rounds of (theirs / ours of the same round). `penalty/…` rows say what an epoch of
ours takes with each penalty of λ = 1e-4. Prints tables and asserts nothing. The data are looked for as `speed.py` does; our program as `SPARSEFIT_NETWORK` says.
"""
import argparse
import fnmatch
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy

import numpy as np
import torch
from sklearn.datasets import load_svmlight_file

torch.set_num_threads(1)
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("SPARSEFIT_BENCH_DATA", os.path.join(HERE, "../../shared/data"))
OURS = os.environ.get("SPARSEFIT_NETWORK", os.path.join(HERE, "../target/release/examples/network"))
ORDER = 0x65706F636873
MASK = (1 << 64) - 1

# name, file, loss, hidden, tanh, learning rate, momentum (None = Adam), batch
ROWS = [
    ("agree/20news/softmax", "20news-bydate.train", "softmax", [64], False, 1e-3, None, 32),
    ("agree/20news/softmax/tanh/2", "20news-bydate.train", "softmax", [32, 16], True, 1e-3, None, 32),
    ("agree/a9a/logistic/3", "a9a", "logistic", [32, 16, 8], False, 1e-3, None, 64),
    ("agree/a9a/logistic/sgd", "a9a", "logistic", [16], True, 0.1, 0.9, 64),
    ("agree/diabetes/squared", "diabetes64", "squared", [16], True, 1e-2, None, 8),
    ("time/20news/h64", "20news-bydate.train", "softmax", [64], False, 1e-3, None, 32),
    ("penalty/20news/h64", "20news-bydate.train", "softmax", [64], False, 1e-3, None, 32),
    ("time/20news/h64/batch128", "20news-bydate.train", "softmax", [64], False, 1e-3, None, 128),
]


class SplitMix64:
    """As `src/numeric/random.rs`."""

    def __init__(self, seed):
        self.state = seed

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def shuffle(self, items):
        for last in range(len(items) - 1, 0, -1):
            product = self.bits() * (last + 1)  # a second draw would be needed once in 2^50
            other = product >> 64
            items[last], items[other] = items[other], items[last]


def read(file, loss):
    raw = subprocess.run(["zstd", "-dc", os.path.join(DATA, file + ".svm.zst")], capture_output=True, check=True).stdout
    x, y = load_svmlight_file(io.BytesIO(raw), dtype=np.float64)
    if loss == "softmax":
        y = np.unique(y, return_inverse=True)[1].astype(float)
    elif loss == "logistic":
        y = np.where(y > 0, 1.0, -1.0)
    else:
        y = (y - y.mean()) / y.std()
    x.sort_indices()
    return x, y


def model_of(widths, tanh):
    layers = []
    for before, after in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(before, after), torch.nn.Tanh() if tanh else torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def pack(folder, x, y, model):
    x.indptr.astype("<u8").tofile(os.path.join(folder, "offsets.u64"))
    x.indices.astype("<u4").tofile(os.path.join(folder, "inputs.u32"))
    x.data.astype("<f8").tofile(os.path.join(folder, "values.f64"))
    y.astype("<f8").tofile(os.path.join(folder, "y.f64"))
    parts = [part for layer in model if isinstance(layer, torch.nn.Linear) for part in (layer.weight.T, layer.bias)]
    np.concatenate([part.detach().double().numpy().ravel() for part in parts]).astype("<f8").tofile(os.path.join(folder, "weights.f64"))


def ours(folder, widths, loss, tanh, rate, momentum, batch, epochs, penalty="none"):
    job = dict(widths=widths, tanh=tanh, loss=loss, learning_rate=rate, momentum=momentum, penalty=penalty, epochs=epochs, batch_size=batch, seed=1, threads=1)
    job["lambda"] = 1e-4
    told = subprocess.run([OURS, folder], input=json.dumps(job) + "\n", capture_output=True, text=True, check=True).stdout
    return json.loads(told)


def theirs(model, x, y, loss, rate, momentum, batch, epochs, sparse, steps=None):
    """Losses of the batches and CPU seconds of each epoch. Rows are cut out of the sparse matrix on the clock, as a data loader would."""
    dtype = next(model.parameters()).dtype
    optimizer = torch.optim.Adam(model.parameters(), lr=rate) if momentum is None else torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum)
    random, order = SplitMix64(1 ^ ORDER), list(range(x.shape[0]))
    x = x.astype(np.float32) if dtype == torch.float32 else x
    target = torch.tensor(y, dtype=torch.long if loss == "softmax" else dtype)
    losses, seconds = [], []
    for _ in range(epochs):
        random.shuffle(order)
        start = time.process_time()
        for begin in range(0, len(order), batch):
            rows = np.array(order[begin:begin + batch])
            part = x[rows]
            if sparse:
                given = torch.sparse_csr_tensor(torch.from_numpy(part.indptr), torch.from_numpy(part.indices), torch.from_numpy(part.data), part.shape)
                first = torch.sparse.mm(given, model[0].weight.T) + model[0].bias
                f = model[1:](first)
            else:
                f = model(torch.from_numpy(part.toarray()))
            wanted = target[torch.from_numpy(rows)]
            if loss == "softmax":
                value = torch.nn.functional.cross_entropy(f, wanted)
            elif loss == "logistic":
                value = torch.nn.functional.softplus(-wanted * f[:, 0]).mean()
            else:
                value = 0.5 * torch.nn.functional.mse_loss(f[:, 0], wanted)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
            if steps and len(losses) == steps:
                return losses, seconds
        seconds.append(time.process_time() - start)
    return losses, seconds


def main():
    words = argparse.ArgumentParser()
    words.add_argument("patterns", nargs="*", default=["*"])
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--epochs", type=int, default=2)
    words.add_argument("--steps", type=int, default=400, help="batches that are compared")
    given = words.parse_args()
    for name, file, loss, hidden, tanh, rate, momentum, batch in ROWS:
        if not any(fnmatch.fnmatch(name, pattern) for pattern in given.patterns):
            continue
        x, y = read(file, loss)
        outputs = int(y.max()) + 1 if loss == "softmax" else 1
        widths = [x.shape[1], *hidden, outputs]
        torch.manual_seed(0)
        model = model_of(widths, tanh).double()
        first = {key: value.clone() for key, value in model.state_dict().items()}
        with tempfile.TemporaryDirectory() as folder:
            pack(folder, x, y, model)
            if name.startswith("agree/"):
                epochs = -(-given.steps // -(-x.shape[0] // batch))
                mine = ours(folder, widths, loss, tanh, rate, momentum, batch, epochs)["losses"]
                other, _ = theirs(model, x, y, loss, rate, momentum, batch, epochs, False, given.steps)
                off = max(abs(a - b) / max(abs(b), 1e-12) for a, b in zip(mine, other))
                print(f"| {name} | {len(other)} batches | {other[0]:.4g} → {other[-1]:.4g} | furthest {off:.1e} |", flush=True)
                continue
            if name.startswith("penalty/"):
                told = [(penalty, ours(folder, widths, loss, tanh, rate, momentum, batch, given.epochs, penalty)) for penalty in ("none", "l1", "group_l1", "l2")]
                print(f"| {name} | " + " | ".join(f"{penalty} {statistics.median(one['cpu']):.3g} s, {one['nonzeros']} left" for penalty, one in told) + " |", flush=True)
                continue
            rounds = []
            for _ in range(given.rounds):
                mine = ours(folder, widths, loss, tanh, rate, momentum, batch, given.epochs)["cpu"]
                row = [statistics.median(mine)]
                for sparse in (False, True):
                    model.load_state_dict(first)
                    row.append(statistics.median(theirs(model.float(), x, y, loss, rate, momentum, batch, given.epochs, sparse)[1]))
                    model.double()
                rounds.append(row)
            middle = [statistics.median(column) for column in zip(*rounds)]
            ratios = [statistics.median(row[k] / row[0] for row in rounds) for k in (1, 2)]
            print(f"| {name} | ours {middle[0]:.3g} s | dense {middle[1]:.3g} s, {ratios[0]:.1f}× | sparse {middle[2]:.3g} s, {ratios[1]:.1f}× |", flush=True)


if __name__ == "__main__":
    main()
