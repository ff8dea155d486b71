"""The classes that a user names in y, and which rows have one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from cloome_sk._tables import row_name


def read_labels(X: Any, y: Any, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels there are, and which rows have one; every row but a control must."""
    if y is None:
        raise ValueError(
            "ZeroShotMoAClassifier requires y to be passed, but the target y is None: the class "
            "of each reference row."
        )
    if isinstance(y, list | tuple | pd.Series) and np.ndim(y) == 1:
        # As objects first, or NumPy turns a missing label among strings into the word "nan".
        y = pd.Series(y, dtype=object).to_numpy()
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    labelled = ~pd.isna(y)
    unnamed = np.flatnonzero(~labelled & ~controls)
    if len(unnamed):
        raise ValueError(
            f"ZeroShotMoAClassifier: y contains NaN or None: {row_name(X, int(unnamed[0]))} has no "
            f"label ({len(unnamed)} such row(s)) and is no negative control, the only rows that "
            "may go without. Label it or leave it out."
        )
    if not labelled.any():
        raise ValueError("ZeroShotMoAClassifier: all rows are controls without a label: no class.")
    labels = y[labelled]
    if labels.dtype == object:
        kind = pd.api.types.infer_dtype(labels)
        if kind not in ("string", "integer", "floating", "boolean"):
            raise ValueError(
                f"Unknown label type: the labels in y are of mixed or unusual types ({kind}). "
                "Make them all strings, or all whole numbers."
            )
        labels = np.array(labels.tolist())
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("ZeroShotMoAClassifier: Input y contains infinity.")
    with warnings.catch_warnings():
        # One reference a class is the normal case here, not a sign of a regression problem.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        check_classification_targets(labels)
    return labels, labelled
