"""Makes `metrics.json`: small data sets, coefficients that belong to nobody's fit, and what scikit-learn measures of them.

    python tests/references/metrics.py         # needs numpy and scikit-learn

Read by the tests of `src/train`; each case is a data set as it is uploaded, with weights and, but for classes, offsets.
"""
import json
import os

import numpy as np
from sklearn import metrics

HERE = os.path.dirname(os.path.abspath(__file__))


def numbers(y, eta, w):
    r2 = metrics.r2_score(y, eta, sample_weight=w)
    mse = metrics.mean_squared_error(y, eta, sample_weight=w)
    return {"r2": r2, "mse": mse, "mae": metrics.mean_absolute_error(y, eta, sample_weight=w), "deviance": mse, "score": r2}


def counts(y, eta, w, offset):
    mean = np.exp(eta)
    deviance = metrics.mean_poisson_deviance(y, mean, sample_weight=w)
    # the best constant beside the offsets
    null = np.exp(offset) * (w @ y) / (w @ np.exp(offset))
    return {"deviance": deviance, "mse": metrics.mean_squared_error(y, mean, sample_weight=w),
            "mae": metrics.mean_absolute_error(y, mean, sample_weight=w), "r2": metrics.r2_score(y, mean, sample_weight=w),
            "score": 1 - deviance / metrics.mean_poisson_deviance(y, null, sample_weight=w)}


def sides(y, eta, w):
    p, said = 1 / (1 + np.exp(-eta)), eta >= 0
    log_loss = metrics.log_loss(y, p, sample_weight=w)
    auc = metrics.roc_auc_score(y, eta, sample_weight=w)
    return {"deviance": 2 * log_loss, "log_loss": log_loss, "accuracy": metrics.accuracy_score(y, said, sample_weight=w), "auc": auc,
            "f1_macro": metrics.f1_score(y, said, average="macro", sample_weight=w), "brier": metrics.brier_score_loss(y, p, sample_weight=w),
            "score": auc}


def main():
    draw = np.random.RandomState(5)
    n, p, found = 30, 5, []
    for loss in ("squared", "poisson", "logistic"):
        x = np.where(draw.rand(n, p) < 0.5, np.round(draw.randn(n, p), 2), 0.0)
        coefficients, intercept = np.array([0.8, 0.0, -0.5, 0.3, 0.0]), 0.2
        w = np.round(draw.rand(n) * 2, 1)
        offset = np.round(draw.randn(n) * 0.2, 1)
        eta = np.round(x, 2) @ coefficients + intercept + offset
        if loss == "squared":
            y = np.round(eta + 0.5 * draw.randn(n), 1)
            expected = numbers(y, eta, w)
        elif loss == "poisson":
            y = draw.poisson(np.exp(eta + 0.3 * draw.randn(n))).astype(float)
            expected = counts(y, eta, w, offset)
        else:
            y = (eta + draw.randn(n) > 0).astype(float)
            expected = sides(y, eta, w)
        upload = {"format": "dense", "values": x.tolist(), "y": y.tolist(), "weights": w.tolist(), "offset": offset.tolist()}
        found.append({"loss": loss, "upload": upload, "coefficients": coefficients.tolist(), "intercept": intercept,
                      "metrics": {name: float(value) for name, value in expected.items()}})
    with open(os.path.join(HERE, "metrics.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in found) + "\n]\n")


if __name__ == "__main__":
    main()
