"""Intervals and tests of means over assays, from resamples of the molecules the assays share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cloome_sk.evaluation._activity_weighted import RankedFold, weighted_scores

BLOCK = 64
"""Resamples at a time: the sums of an assay then stay in the processor's cache."""
SLACK = 1e-12
"""Means of the same figures in another order differ in their last digits."""
MOST_CELLS = 2**23
"""Weights of a block, molecules times resamples, where there are very many molecules."""


@dataclass(frozen=True)
class Deviations:
    """What the mean over assays of one figure is in each resample, less the figure itself.

    Attributes
    ----------
    values : ndarray of float, shape (n_resamples,)
        Their own mean is taken off: it is what a resample does to the figure and a new sample does
        not. Resamples that leave no assay both labels are left out.
    """

    values: np.ndarray

    @classmethod
    def of(cls, apart: np.ndarray) -> Deviations:
        """Take off the mean, leave out NaN."""
        known = apart[~np.isnan(apart)]
        return cls(known - known.mean() if len(known) else known)

    @property
    def vary(self) -> bool:
        """Whether resamples change the figure at all."""
        return len(self.values) > 0 and bool(np.ptp(self.values) > SLACK)

    def interval(self, value: float, confidence: float) -> tuple[float, float]:
        """Interval around `value`; NaN where no resample changes it."""
        if not self.vary:
            return np.nan, np.nan
        tail = (1 - confidence) / 2
        low, high = value + np.quantile(self.values, [tail, 1 - tail])
        return float(low), float(high)

    def p(self, apart: float) -> float:
        """Two-sided p of lying `apart` from what was supposed: how often resamples lie as far.

        Where no resample changes the figure: 1 for no distance, else NaN.
        """
        if not self.vary:
            return 1.0 if abs(apart) <= SLACK else np.nan
        further = int((np.abs(self.values) >= abs(apart) - SLACK).sum())
        return (1 + further) / (1 + len(self.values))


def resampled(
    folds: Mapping[str, Sequence[Sequence[RankedFold]]],
    units: np.ndarray,
    *,
    n_resamples: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Means over assays in resamples of units, which are the same for all models.

    Parameters
    ----------
    folds : mapping of str to sequence of sequence of RankedFold
        Of each model: of each assay, the test folds. All models have the same assays.
    units : ndarray of intp, shape (n_molecules,)
        Number of what is drawn as a whole, from 0: each molecule, or the scaffold it has; -1 for
        molecules that are in no fold.
    n_resamples : int
        Number of resamples.
    seed : int
        The same seed and units have the same resamples, whatever the folds are.

    Returns
    -------
    dict of str to ndarray of float, shape (3, n_resamples)
        Of each model, the rows of `weighted_scores`: how far each assay is from its own figure, as
        a mean over the assays that keep both labels. NaN where none does.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation._activity_resampled import resampled
    >>> from cloome_sk.evaluation._activity_weighted import RankedFold
    >>> fold = RankedFold.of(np.arange(40), np.arange(40) < 20, np.arange(40) % 7.0)
    >>> apart = resampled({"model": [[fold]]}, np.arange(40), n_resamples=200, seed=0)["model"]
    >>> apart.shape, bool(0.05 < apart[0].std() < 0.15)
    ((3, 200), True)
    """
    n_units, inside = int(units.max()) + 1, units >= 0
    generator = np.random.RandomState(seed)
    share = np.full(n_units, 1 / n_units)
    equal = np.ones((len(units), 1))
    figures = {
        model: [weighted_scores(assay, equal) for assay in assays]
        for model, assays in folds.items()
    }
    blocks: dict[str, list[np.ndarray]] = {model: [] for model in folds}
    step = max(1, min(BLOCK, MOST_CELLS // len(units)))
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        drawn = generator.multinomial(n_units, share, size=size).T.astype(float)
        weights = np.zeros((len(units), size))
        weights[inside] = drawn[units[inside]]
        for model, assays in folds.items():
            total, n_left = np.zeros((3, size)), np.zeros(size)
            for assay, figure in zip(assays, figures[model], strict=True):
                apart = weighted_scores(assay, weights) - figure
                left = ~np.isnan(apart[0])
                total += np.where(left, apart, 0.0)
                n_left += left
            with np.errstate(invalid="ignore"):
                blocks[model].append(total / n_left)
    return {model: np.concatenate(found, axis=1) for model, found in blocks.items()}
