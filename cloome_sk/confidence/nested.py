"""Conformal p-values from wells that are nested in molecules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

SLACK = 1e-9
"""Sums of fractions of molecules, and 1 - 0.9, are off in their last digits."""
TIE = 1e-6
"""Cosines of float32 embeddings that differ by less are taken for equal: a network gives the same
well another last digit where other rows are embedded with it."""


@dataclass(frozen=True, eq=False)
class NestedScores:
    """Scores of calibration wells, of which each molecule counts once.

    Molecules are the exchangeable units, not wells: a molecule of k wells gives each of them the
    weight 1/k. A p-value made from them is the hierarchical conformal p-value [1]_: if a new
    molecule is drawn like those of the calibration, and one of its wells at random, then
    P(p ≤ α) ≤ α for every α, however strongly the wells of a molecule depend on each other. With
    one well a molecule it is the usual conformal p-value [2]_.

    Attributes
    ----------
    values : ndarray of float64, shape (n_wells,)
        Scores, ascending; large is unusual.
    weight_from : ndarray of float64, shape (n_wells + 1,)
        Weight of the wells from each place on, in molecules; 0 at the end.
    n_groups : int
        Number of molecules.
    tie : float
        Scores that differ by no more are taken for equal.

    Notes
    -----
    A new score that is lower than one of the calibration by no more than `tie` counts as equally
    high. This can only raise p, so that what is said above holds; without it, wells that look the
    same would be told apart by rounding, which depends on how many rows are asked about at once.

    References
    ----------
    .. [1] Lee, Barber & Willett, "Distribution-free inference with hierarchical data",
       arXiv:2306.06342 (2023); see also Dunn, Wasserman & Ramdas, "Distribution-free prediction
       sets for two-layer hierarchical models", J Am Stat Assoc 118:2491 (2023).
    .. [2] Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", Springer (2005).

    Examples
    --------
    >>> from cloome_sk.confidence import NestedScores
    >>> scores = NestedScores.of([0.1, 0.3, 0.2, 0.9], ["a", "a", "b", "c"])
    >>> scores.p_values([0.0, 0.25, 1.0])
    array([1.   , 0.625, 0.25 ])
    """

    values: np.ndarray
    weight_from: np.ndarray
    n_groups: int
    tie: float = TIE

    @classmethod
    def of(cls, scores: Any, groups: Any, *, tie: float = TIE) -> NestedScores:
        """Sort scores and weigh them.

        Parameters
        ----------
        scores : array-like of float, shape (n_wells,)
            A score of each well; large is unusual.
        groups : array-like, shape (n_wells,)
            Its molecule.
        tie : float, default=1e-6
            Scores that differ by no more are taken for equal: by default right for cosines of
            float32 embeddings. For multiples of a cosine, multiply it.

        Returns
        -------
        NestedScores
            Of these.
        """
        values = np.asarray(scores, dtype=np.float64)
        weights = unit_weights(groups)
        order = np.argsort(values, kind="stable")
        weight_from = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
        return cls(values[order], weight_from, round(float(weights.sum())), float(tie))

    def p_values(self, scores: Any) -> np.ndarray:
        """Share of molecules, the new one among them, that score as high or higher.

        Parameters
        ----------
        scores : array-like of float, any shape
            Of new wells.

        Returns
        -------
        ndarray of float64, of that shape
            ``(1 + Σ_molecules share of its wells with at least this score) / (1 + n_groups)``, in
            (0, 1]; "at least" up to `tie`.
        """
        lowest = np.asarray(scores, dtype=np.float64) - self.tie
        place = np.searchsorted(self.values, lowest, side="left")
        return (1.0 + self.weight_from[place]) / (1.0 + self.n_groups)


def unit_weights(groups: Any) -> np.ndarray:
    """Weight 1/k of each of the k rows of a group, shape (n_rows,).

    Parameters
    ----------
    groups : array-like, shape (n_rows,)
        The group of each row.

    Returns
    -------
    ndarray of float64, shape (n_rows,)
        Sums to the number of groups.

    Examples
    --------
    >>> from cloome_sk.confidence.nested import unit_weights
    >>> unit_weights(["a", "a", "b"])
    array([0.5, 0.5, 1. ])
    """
    codes = pd.factorize(np.asarray(groups, dtype=object))[0]
    return 1.0 / np.bincount(codes)[codes]
