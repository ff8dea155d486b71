"""Linear probing of many assays at once, most of their labels missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data

from cloome_sk._tables import shown
from cloome_sk.baselines._assay_exact import fit_exactly
from cloome_sk.baselines._assay_folds import assay_folds, aurocs
from cloome_sk.baselines._assay_labels import AssayLabels, read_labels
from cloome_sk.baselines._assay_newton import Problems, Rows, inner_scores

FLOAT32_DECIMALS = 5
MOST_NUMBERS = 60_000
"""Rows x problems that are solved together: as much as a processor's cache holds."""
LARGEST = 2.0**16
"""Of the features: products of larger ones, summed over rows, are beyond what float32 holds."""


class AssayProbe(MultiOutputMixin, BaseEstimator):
    """Logistic regression for each of many assays, its penalty chosen in the training rows.

    An assay is learned from the rows it was measured on and from no others. Same penalties and the
    same inner folds as `sklearn.linear_model.LogisticRegressionCV` in a loop over assays, without
    the loop: see the notes.

    Parameters
    ----------
    Cs : sequence of float, default=(1e-4, 1e-3, ..., 10)
        Inverses of the L2 penalty to choose from. The intercept is not penalised.
    inner_folds : int, default=5
        Most folds of an assay's training rows to choose by: fewer where there are fewer groups with
        an active, or fewer without one.

    Attributes
    ----------
    coef_ : ndarray of float, shape (n_assays, n_features)
        Weights; NaN for an assay without a model.
    intercept_ : ndarray of float, shape (n_assays,)
        Likewise.
    C_ : ndarray of float, shape (n_assays,)
        Chosen penalty; NaN for an assay without a model.
    inner_scores_ : ndarray of float, shape (n_assays, n_Cs)
        Mean AUROC over the inner folds; NaN for an assay without inner folds.
    chosen_by_ : ndarray of object, shape (n_assays,)
        ``"inner folds"``; ``"other assays"``, where two inner folds with both labels cannot be
        made: the C with the best mean of `inner_scores_` over the assays that have them, or where
        none has, the middle one of `Cs`; ``"one class"``, where the training rows hold one label
        only or none.
    n_fallback_, n_one_class_ : int
        How many assays of the second and of the third kind there are.
    n_labels_ : ndarray of int, shape (n_assays, 2)
        Inactive and active training rows.
    assay_names_ : list of str
        Columns of a DataFrame `Y`, otherwise ``"assay 0"`` and so on.
    converged_ : ndarray of bool, shape (n_assays,)
        Whether the final fit reached its minimum.
    n_features_in_ : int
        Number of features.

    Notes
    -----
    *Choice of C*: AUROC of each inner fold, its mean over the folds, the largest; ties go to the
    stronger penalty. Inner folds are dealt without chance (no `random_state`), keep groups whole,
    and hold both labels each.

    *Speed*: most assays have few labels, so each is solved in the space of its rows. All penalties
    and folds of an assay, and those of other assays of like size, take Newton steps together, whose
    products with the Gram matrix are one matrix product; the inner problems are solved in float32
    until a step gains 0.1 % of what was gained, as ranking asks for no more. The final fit of an
    assay is solved in float64, to nine digits of its loss.

    *Weak penalties*: few labels in many dimensions can be told apart without an error, and then
    `LogisticRegressionCV` stops at its default tolerance long before the minimum, which acts as a
    stronger penalty; this class goes to the minimum. The default penalties end where they differ.

    *Scale*: features are taken as they are; put a `StandardScaler` before, where that is wanted.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases for
       queries with chemical structures", Nat Commun 14:7339 (2023): linear probing of 209 assays.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.baselines.assay_probe import AssayProbe
    >>> generator = np.random.default_rng(0)
    >>> Z = generator.normal(size=(60, 5))
    >>> Y = np.column_stack([Z[:, 0] > 0, Z[:, 1] > 0]).astype(float)
    >>> Y[::3, 0] = np.nan  # not measured
    >>> probe = AssayProbe().fit(Z, Y)
    >>> probe.predict_proba(Z).shape
    (60, 2)
    >>> probe.chosen_by_.tolist(), probe.n_labels_.sum(axis=1).tolist()
    (['inner folds', 'inner folds'], [40, 60])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "Cs": ["array-like"],
        "inner_folds": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self,
        Cs: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1),
        inner_folds: int = 5,
    ) -> None:
        self.Cs = Cs
        self.inner_folds = inner_folds

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, Z: Any, Y: Any, groups: Any = None) -> AssayProbe:
        """Choose a penalty for each assay, and fit it.

        Parameters
        ----------
        Z : array-like of float, shape (n_samples, n_features)
            Features, none missing.
        Y : array-like or sparse matrix, shape (n_samples, n_assays)
            Dense: 1 active, 0 inactive, NaN not measured. Sparse: +1, -1, and 0 for not measured.
        groups : array-like, shape (n_samples,), optional
            What inner folds must not tear apart, such as molecules or scaffolds. None: every row is
            a group of its own.

        Returns
        -------
        AssayProbe
            Itself.

        Raises
        ------
        ValueError
            If labels are of another kind, lengths differ, features are missing, or no assay has
            both labels.
        scipy.linalg.LinAlgError
            If features are so large that the penalties are nothing beside them.

        Warns
        -----
        ConvergenceWarning
            If a final fit does not reach its minimum.
        """
        Z = validate_data(self, Z, dtype=np.float64)
        labels = read_labels(Y, "AssayProbe")
        if labels.n_rows != len(Z):
            raise ValueError(f"AssayProbe: Y has {labels.n_rows} rows and Z has {len(Z)}.")
        penalties = self._penalties()
        scale = _scale(Z)
        Z = Z if scale == 1 else Z / scale
        grouping = _groups(groups, len(Z))
        counts = [[int((y == 0).sum()), int((y == 1).sum())] for y in labels.y]
        self.n_labels_ = np.array(counts, dtype=int).reshape(len(labels), 2)
        learnable = self.n_labels_.min(axis=1) > 0
        if not learnable.any():
            raise ValueError(
                f"AssayProbe: none of the {len(labels)} assay(s) has both an active and an "
                "inactive row, so there is nothing to learn."
            )
        self.assay_names_ = labels.names
        self.inner_scores_ = np.full((len(labels), len(penalties)), np.nan)
        self.C_ = np.full(len(labels), np.nan)
        self.coef_ = np.full((len(labels), Z.shape[1]), np.nan)
        self.intercept_ = np.full(len(labels), np.nan)
        self.converged_ = np.zeros(len(labels), dtype=bool)
        folds = _folds(labels, learnable, grouping, self.inner_folds)
        for batch in _batches(folds, len(penalties)):
            rows = [Rows.of(Z, labels.rows[assay]) for assay in batch]
            scores = _inner_scores(rows, labels, batch, folds, penalties * scale**2)
            self.inner_scores_[batch] = scores
            # Of ties the first, which is the strongest penalty.
            self.C_[batch] = penalties[np.round(scores, 12).argmax(axis=1)]
            for assay, own in zip(batch, rows, strict=True):
                self._fit_assay(assay, own, labels.y[assay], scale)
        self._choose_without_folds(penalties, learnable, np.array(list(folds), dtype=int))
        for assay in map(int, np.flatnonzero(learnable)):
            if assay not in folds:
                self._fit_assay(assay, Rows.of(Z, labels.rows[assay]), labels.y[assay], scale)
        missed = np.flatnonzero(learnable & ~self.converged_)
        if len(missed):
            warnings.warn(
                f"AssayProbe: {len(missed)} assay(s) did not reach their minimum: "
                f"{shown([labels.names[assay] for assay in missed])}. Scale the features.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _penalties(self) -> np.ndarray:
        values = np.sort(np.asarray(self.Cs, dtype=float))
        good = values.ndim == 1 and len(values) and np.isfinite(values).all() and values[0] > 0
        if not good:
            raise ValueError(f"AssayProbe: Cs must be positive numbers, got {self.Cs!r}.")
        return np.unique(values)

    def _fit_assay(self, assay: int, rows: Rows, y: np.ndarray, scale: float) -> None:
        coef, self.intercept_[assay], self.converged_[assay] = fit_exactly(
            rows, y, self.C_[assay] * scale**2
        )
        self.coef_[assay] = coef / scale

    def _choose_without_folds(
        self, penalties: np.ndarray, learnable: np.ndarray, by_folds: np.ndarray
    ) -> None:
        """Take the best mean of the assays with inner folds, of ties the strongest penalty."""
        fallback = penalties[len(penalties) // 2]
        if len(by_folds):
            means = self.inner_scores_[by_folds].mean(axis=0)
            fallback = penalties[int(np.round(means, 12).argmax())]
        kinds = np.where(learnable, "other assays", "one class").astype(object)
        kinds[by_folds] = "inner folds"
        self.C_[kinds == "other assays"] = fallback
        self.chosen_by_ = kinds
        self.n_fallback_ = int((kinds == "other assays").sum())
        self.n_one_class_ = int((kinds == "one class").sum())

    def decision_function(self, Z: Any) -> np.ndarray:
        """Log odds of being active.

        Parameters
        ----------
        Z : array-like of float, shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of float, shape (n_samples, n_assays)
            NaN in the column of an assay without a model.
        """
        check_is_fitted(self)
        Z = validate_data(self, Z, dtype=np.float64, reset=False)
        return Z @ self.coef_.T + self.intercept_

    def predict_proba(self, Z: Any) -> np.ndarray:
        """Probability of being active.

        Parameters
        ----------
        Z : array-like of float, shape (n_samples, n_features)
            Features.

        Returns
        -------
        ndarray of float, shape (n_samples, n_assays)
            In [0, 1]; NaN in the column of an assay without a model.
        """
        return 0.5 * (1 + np.tanh(0.5 * self.decision_function(Z)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        return tags


def _scale(Z: np.ndarray) -> float:
    """What features are divided by, 1 unless they are very large; penalties make up for it.

    A power of two, which changes no digit.
    """
    largest = max(float(Z.max()), -float(Z.min()))
    return 1.0 if largest <= LARGEST else float(2.0 ** np.ceil(np.log2(largest / LARGEST)))


def _groups(groups: Any, n_rows: int) -> np.ndarray:
    if groups is None:
        return np.arange(n_rows)
    values = np.asarray(groups)
    if values.shape != (n_rows,):
        raise ValueError(
            f"AssayProbe: groups must have one label for each of the {n_rows} rows; its shape is "
            f"{values.shape}."
        )
    return np.unique(values.astype(str), return_inverse=True)[1]


def _folds(
    labels: AssayLabels, learnable: np.ndarray, groups: np.ndarray, n_folds: int
) -> dict[int, np.ndarray]:
    """Inner fold of each row, of the assays that have inner folds."""
    folds: dict[int, np.ndarray] = {}
    for assay in map(int, np.flatnonzero(learnable)):
        dealt = assay_folds(labels.y[assay], groups[labels.rows[assay]], n_folds)
        if dealt is not None:
            folds[assay] = dealt
    return folds


def _batches(folds: dict[int, np.ndarray], n_penalties: int) -> Iterator[list[int]]:
    """Assays of like length, as many as fit."""
    batch: list[int] = []
    filled = 0
    for assay in sorted(folds, key=lambda assay: (len(folds[assay]), assay)):
        length = len(folds[assay])
        size = length * (int(folds[assay].max()) + 1) * n_penalties
        if batch and (filled + size > MOST_NUMBERS or length > 1.5 * len(folds[batch[0]])):
            yield batch
            batch, filled = [], 0
        batch.append(assay)
        filled += size
    if batch:
        yield batch


def _inner_scores(
    rows: list[Rows],
    labels: AssayLabels,
    batch: list[int],
    folds: dict[int, np.ndarray],
    penalties: np.ndarray,
) -> np.ndarray:
    """Mean AUROC over the inner folds, of each assay of the batch and each penalty."""
    problems, tested = _problems(rows, labels, batch, folds, penalties)
    found = aurocs(inner_scores(problems), problems.y == 1, FLOAT32_DECIMALS, ranked=tested)
    n_folds = [int(folds[assay].max()) + 1 for assay in batch]
    by_assay = np.split(found.reshape(-1, len(penalties)), np.cumsum(n_folds)[:-1])
    return np.array([part.mean(axis=0) for part in by_assay])


def _problems(
    rows: list[Rows],
    labels: AssayLabels,
    batch: list[int],
    folds: dict[int, np.ndarray],
    penalties: np.ndarray,
) -> tuple[Problems, np.ndarray]:
    """Every fold and penalty of some assays, folds outside, each trained on the other folds.

    And which rows are those of the fold.
    """
    longest = max(len(folds[assay]) for assay in batch)
    place, y, used, tested = [], [], [], []
    for number, assay in enumerate(batch):
        fold = folds[assay]
        n_folds = int(fold.max()) + 1
        n_problems = n_folds * len(penalties)
        place.append(np.full(n_problems, number))
        padded = np.zeros((n_problems, longest), dtype=np.float32)
        padded[:, : len(fold)] = labels.y[assay]
        held_out = np.full(longest, -1)
        held_out[: len(fold)] = fold
        in_fold = held_out == np.repeat(np.arange(n_folds), len(penalties))[:, None]
        y.append(padded)
        tested.append(in_fold)
        used.append(~in_fold & (held_out >= 0))
    n_folds = sum(len(part) for part in place) // len(penalties)
    problems = Problems(
        rows, np.concatenate(place), np.vstack(y), np.vstack(used), np.tile(penalties, n_folds)
    )
    return problems, np.vstack(tested)
