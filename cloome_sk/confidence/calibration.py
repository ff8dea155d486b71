"""What a classifier learned from molecules that were held out for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloome_sk.confidence.nested import NestedScores


@dataclass(frozen=True, eq=False)
class Calibration:
    """What `ZeroShotMoAClassifier.calibrate` learned, and how good it is.

    Attributes
    ----------
    inv_tau : float
        Inverse temperature learned on all calibration molecules.
    inv_tau_before : float
        The one that was given.
    scores : DataFrame
        Rows ``log_loss`` (nats), ``ece`` (expected calibration error, ten bins; it is above 0 by
        chance alone, the more so the fewer molecules there are) and ``brier``; columns ``before``
        and ``after``. Those after come from temperatures learned on other molecules than they are
        measured on. Every molecule has the same weight.
    n_molecules, n_rows, n_folds : int
        What it was learned on, and the folds of `scores`.
    true_class : NestedScores
        −log probability of the true class, at the given temperature, of each calibration row.
    by_class : tuple of (NestedScores or None)
        The same of the molecules of each class; None for a class without any.
    distance : NestedScores
        Minus the best cosine with any prototype.
    molecules_seen_ : ndarray of object
        Keys of the calibration molecules, where structures were given: what must not stand in a
        test set. `cloome_sk.model_selection.leakage_report` finds them here.
    """

    inv_tau: float
    inv_tau_before: float
    scores: pd.DataFrame
    n_molecules: int
    n_rows: int
    n_folds: int
    true_class: NestedScores
    by_class: tuple[NestedScores | None, ...]
    distance: NestedScores
    molecules_seen_: np.ndarray

    def __str__(self) -> str:
        """Say it in a few lines."""
        names = {"log_loss": "log loss", "ece": "calibration error (ECE)", "brier": "Brier score"}
        lines = [
            f"Calibrated on {self.n_molecules:,} molecules ({self.n_rows:,} rows): inverse "
            f"temperature {self.inv_tau_before:.4g} -> {self.inv_tau:.4g}.",
            f"On molecules left out ({self.n_folds}-fold), before -> after:",
        ]
        for name, row in self.scores.iterrows():
            lines.append(f"  {names[str(name)]:<24}{row['before']:.3f} -> {row['after']:.3f}")
        return "\n".join(lines)
