"""How fast many assays are probed, beside scikit-learn's logistic regression in a loop over them.

Both choose among the same penalties by AUROC in the same inner folds. The loop has the defaults of
`LogisticRegressionCV` but for more iterations. Labels of the public table where CLOOME_SK_DATA
names the folder, with the difference of the mean AUROC on molecules left out; made-up labels of the
published sizes for time alone, where the loop is timed on every n-th assay and multiplied.
Seconds are those of the processor, with one thread on both sides, so that neighbours on a busy
machine do not count.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import partial
from time import process_time
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from threadpoolctl import threadpool_limits

from benchmarks._timing import Case, Reported
from cloome_sk.baselines import MorganFeatures
from cloome_sk.baselines._assay_folds import assay_folds, aurocs
from cloome_sk.baselines.assay_probe import AssayProbe

CS = tuple(10.0**power for power in range(-4, 2))
N_DIMENSIONS = 512
EVERY = 16
"""Of made-up assays, one in this many is given to the loop."""


def loop(Z: np.ndarray, Y: np.ndarray, groups: np.ndarray, assays: np.ndarray) -> dict[int, Any]:
    """`LogisticRegressionCV` of each assay that has inner folds."""
    models = {}
    for assay in assays:
        rows = np.flatnonzero(~np.isnan(Y[:, assay]))
        y = Y[rows, assay]
        folds = assay_folds(y, groups[rows], 5) if len(np.unique(y)) == 2 else None
        if folds is None:
            continue
        cv = [
            (np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(folds.max() + 1)
        ]
        model = LogisticRegressionCV(Cs=CS, cv=cv, scoring="roc_auc", max_iter=3000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            models[int(assay)] = model.fit(Z[rows], y)
    return models


def _compared(
    name: str, Z: np.ndarray, Y: np.ndarray, groups: np.ndarray, every: int
) -> list[dict[str, Any]]:
    """Time both on three quarters of the groups, and score both on the last quarter."""
    train = groups % 4 != 0
    # Largest and smallest assays evenly: they differ in time a hundredfold.
    assays = np.argsort((~np.isnan(Y)).sum(axis=0), kind="stable")[every // 2 :: every]
    with threadpool_limits(1):
        start = process_time()
        probe = AssayProbe(Cs=CS).fit(Z[train], Y[train], groups=groups[train])
        seconds = process_time() - start
        start = process_time()
        models = loop(Z[train], Y[train], groups[train], assays)
        loop_seconds = (process_time() - start) * Y.shape[1] / len(assays)
    scores = probe.decision_function(Z[~train])
    ours, theirs = [], []
    for assay, model in models.items():
        y = Y[~train, assay]
        known = ~np.isnan(y)
        if len(np.unique(y[known])) == 2:
            pair = [scores[known, assay], model.decision_function(Z[~train][known])]
            both = aurocs(np.array(pair), y[known] == 1, decimals=10)
            ours.append(both[0])
            theirs.append(both[1])
    said = f"AUROC {np.mean(ours) - np.mean(theirs):+.4f} of {len(ours)} assays"
    extrapolated = "" if every == 1 else f", of {len(assays)} assays times {every}"
    return [
        {
            "name": f"{name}, {Z.shape[0]:,} x {Y.shape[1]}, {Z.shape[1]}-d; {said}",
            "seconds": seconds,
            "reference": f"LogisticRegressionCV for each assay{extrapolated}",
            "reference_seconds": loop_seconds,
        }
    ]


def made_up_labels(
    n_rows: int, n_assays: int, share: float = 0.025
) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of which a share is measured, as unevenly as in the public table."""
    generator = np.random.default_rng(0)
    Z = generator.standard_normal((n_rows, N_DIMENSIONS))
    sizes = generator.lognormal(sigma=1.2, size=n_assays)
    sizes = np.clip(sizes / sizes.mean() * share * n_rows, 40, n_rows).astype(int)
    Y = np.full((n_rows, n_assays), np.nan)
    for assay, size in enumerate(sizes):
        rows = generator.choice(n_rows, size=size, replace=False)
        logits = Z[rows] @ generator.standard_normal(N_DIMENSIONS) / 10
        logits += generator.standard_normal(size)
        Y[rows, assay] = logits > np.quantile(logits, 0.65)
    return Z, Y


def real(features: str, every: int) -> list[dict[str, Any]]:
    """Labels of the public table, with the Morgan fingerprint or its truncated SVD."""
    from sklearn.decomposition import TruncatedSVD

    from cloome_sk.datasets import load_assays
    from cloome_sk.molecules import molecule_key

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = load_assays("hti")
    groups = np.unique(molecule_key(table.data["smiles"]).astype(str), return_inverse=True)[1]
    Z = MorganFeatures().fit_transform(table.data).astype(np.float64)
    if features == "SVD":
        Z = TruncatedSVD(N_DIMENSIONS, random_state=0).fit_transform(Z)
    return _compared(f"hti {features}", Z, table.target.to_numpy(float), groups, every)


def made_up(n_rows: int, n_assays: int) -> list[dict[str, Any]]:
    """Made-up labels, for time alone."""
    return _compared("made up", *made_up_labels(n_rows, n_assays), np.arange(n_rows), EVERY)


def rows(full: bool) -> Iterator[Case]:
    """The public labels where they are, then made-up ones; every assay in the loop with `full`."""
    if os.environ.get("CLOOME_SK_DATA"):
        for features in ("Morgan", "SVD"):
            yield Reported(partial(real, features, 1 if full else EVERY // 2), most=1)
    yield Reported(partial(made_up, 10_574, 209), most=1)
    yield Reported(partial(made_up, 16_170, 270), most=1)
