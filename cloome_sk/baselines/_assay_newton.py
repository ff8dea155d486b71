"""Logistic regressions of several assays, penalties and folds at once, in the space of the rows.

The weights of an L2-penalised logistic regression are a combination of its training rows,
``w = Z.T @ alpha`` with ``alpha.sum() == 0`` for a free intercept, so an assay with few labels is a
small problem whatever the number of features. All problems on the same rows (penalties x folds)
take their products with the Gram matrix together, as one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_STEPS = 60
MOST_HALVINGS = 30
LOSS_NOISE = 1e-6
"""Relative; in float32 a loss is not known better."""
MOST_GRADIENTS = 100


@dataclass(frozen=True)
class Rows:
    """The labelled rows of an assay, centred, as a Gram matrix or as features.

    Attributes
    ----------
    features : ndarray of float64, shape (n, n_features)
        The rows minus `mean`.
    mean : ndarray of float64, shape (n_features,)
        What was subtracted; a free intercept takes it up.
    gram : ndarray of float32, shape (n, n) or None
        Inner products, where that is the smaller way.
    narrow : ndarray of float32, shape (n, n_features) or None
        The features, where there is no Gram matrix.
    """

    features: np.ndarray
    mean: np.ndarray
    gram: np.ndarray | None
    narrow: np.ndarray | None

    @classmethod
    def of(cls, Z: np.ndarray, rows: np.ndarray) -> Rows:
        """Take rows by their places, centre them, and multiply them out where that saves work."""
        features = Z[rows]
        mean = features.mean(axis=0)
        features -= mean
        narrow = features.astype(np.float32)
        # A product with the Gram matrix takes n * n operations, with the features 2 * n * d.
        if len(rows) <= 2 * Z.shape[1]:
            return cls(features, mean, narrow @ narrow.T, None)
        return cls(features, mean, None, narrow)

    def __len__(self) -> int:
        return len(self.features)

    def times(self, vectors: np.ndarray) -> np.ndarray:
        """Products of the Gram matrix with vectors, which are rows."""
        if self.gram is not None:
            return vectors @ self.gram
        assert self.narrow is not None
        return (vectors @ self.narrow) @ self.narrow.T


@dataclass(frozen=True)
class Problems:
    """Logistic regressions to solve together; those on the same rows stand next to each other.

    Attributes
    ----------
    rows : sequence of Rows
        Of each assay.
    assay : ndarray of intp, shape (n_problems,)
        Place in `rows`, ascending.
    y : ndarray of float32, shape (n_problems, n_most)
        Labels, 0 or 1. Behind an assay's last row anything.
    used : ndarray of bool, shape (n_problems, n_most)
        Which rows are trained on: both labels in every problem.
    C : ndarray of float, shape (n_problems,)
        Inverse of the penalty, as in `sklearn.linear_model.LogisticRegression`.
    """

    rows: Sequence[Rows]
    assay: np.ndarray
    y: np.ndarray
    used: np.ndarray
    C: np.ndarray

    def times(self, vectors: np.ndarray, assay: np.ndarray) -> np.ndarray:
        """Products of each vector with the Gram matrix of its assay."""
        out = np.zeros_like(vectors)
        starts = np.flatnonzero(np.concatenate([[True], assay[1:] != assay[:-1]]))
        for start, stop in zip(starts, [*starts[1:], len(assay)], strict=True):
            rows = self.rows[assay[start]]
            out[start:stop, : len(rows)] = rows.times(vectors[start:stop, : len(rows)])
        return out


def inner_scores(problems: Problems, *, tol: float = 1e-3, accuracy: float = 0.3) -> np.ndarray:
    """Solve every problem well enough to rank by, and score all rows of its assay.

    Newton steps from the log odds, each solved roughly by conjugate gradients.

    Parameters
    ----------
    problems : Problems
        Their unused rows are the ones to score.
    tol : float, default=1e-3
        A problem is done after the step whose predicted gain is below `tol` times the gain over
        the start.
    accuracy : float, default=0.3
        When the gradients of a step stop, see `_truncated_step`.

    Returns
    -------
    ndarray of float, shape (n_problems, n_most)
        Log odds less the intercept, which changes no ranking.
    """
    y, used, C = problems.y, problems.used, problems.C.astype(problems.y.dtype)
    n_active, n = (y * used).sum(axis=1), used.sum(axis=1)
    alphas, scores = np.zeros_like(y), np.zeros_like(y)
    shifts = np.log(n_active / (n - n_active)).astype(y.dtype)
    losses, p = logistic_losses(scores + shifts[:, None], y, used)
    start = losses.copy()
    live = np.arange(len(y))
    for _ in range(MOST_STEPS):
        alpha, score, shift = alphas[live], scores[live], shifts[live]
        weight, error = used[live] * p * (1 - p), used[live] * (y[live] - p)
        slope = error - alpha / C[live][:, None]
        step, step_score = _truncated_step(problems, live, weight, slope, accuracy)
        step_shift = (error - weight * step_score).sum(axis=1) / weight.sum(axis=1)
        gain = (slope * (step_score + step_shift[:, None])).sum(axis=1)
        size = np.ones(len(live), dtype=y.dtype)
        for _ in range(MOST_HALVINGS):
            column = size[:, None]
            new, new_score = alpha + column * step, score + column * step_score
            new_shift = shift + size * step_shift
            new_loss, p = logistic_losses(new_score + new_shift[:, None], y[live], used[live])
            new_loss += _dot(new, new_score) / (2 * C[live])
            worse = new_loss > losses[live] * (1 + LOSS_NOISE)
            if not worse.any():
                break
            size[worse] /= 2
        alphas[live], scores[live], shifts[live], losses[live] = new, new_score, new_shift, new_loss
        going = gain > np.maximum(tol * (start[live] - new_loss), LOSS_NOISE * start[live])
        live, p = live[going], p[going]
        if not len(live):
            break
    return scores


def logistic_losses(
    scores: np.ndarray, y: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Logistic loss over the used rows, and probabilities of all."""
    small = np.exp(-np.abs(scores))
    each = np.log1p(small) + np.maximum(scores, 0) - y * scores
    return (each * used).sum(axis=1, dtype=np.float64), np.where(scores >= 0, 1.0, small) / (
        1 + small
    )


def _truncated_step(
    problems: Problems, live: np.ndarray, weight: np.ndarray, slope: np.ndarray, accuracy: float
) -> tuple[np.ndarray, np.ndarray]:
    """Solve the Newton equations roughly, by conjugate gradients in the space of the weights.

    Coefficients of rows stand for weights, so the inner product of two is that of the weights and a
    step takes one product with the Gram matrix. A problem stops once its last gain, times the
    number of gains, is below `accuracy` times all of them.
    """
    assay, ridge = problems.assay[live], (1.0 / problems.C[live]).astype(slope.dtype)
    total_weight = weight.sum(axis=1)
    residual = slope - weight * (slope.sum(axis=1) / total_weight)[:, None]
    step, products = np.zeros_like(residual), np.zeros_like(residual)
    going = np.arange(len(live))
    x, kx = step.copy(), products.copy()
    image = problems.times(residual, assay)
    size = _dot(residual, image)
    direction, direction_image = residual, image
    gains = np.zeros_like(size)
    stopped = np.zeros(len(live), dtype=bool)
    for number in range(1, MOST_GRADIENTS + 1):
        moved = weight * direction_image
        moved -= weight * (moved.sum(axis=1) / total_weight)[:, None]
        moved += ridge[:, None] * direction
        curvature = _dot(direction_image, moved)
        length = np.divide(size, curvature, out=np.zeros_like(size), where=curvature > 0)
        # Whether a problem has stopped must not depend on those it is solved with.
        length[stopped] = 0
        column = length[:, None]
        x += column * direction
        kx += column * direction_image
        gain = length * size
        gains += gain
        stopped |= number * gain <= accuracy * gains
        if number == MOST_GRADIENTS or stopped.all():
            break
        residual = residual - column * moved
        if stopped.mean() > 0.2:
            step[going], products[going] = x, kx
            keep = ~stopped
            going = going[keep]
            x, kx, residual, weight, direction, direction_image = (
                part[keep] for part in (x, kx, residual, weight, direction, direction_image)
            )
            assay, ridge, total_weight = assay[keep], ridge[keep], total_weight[keep]
            size, gains, stopped = size[keep], gains[keep], stopped[keep]
        image = problems.times(residual, assay)
        new_size = _dot(residual, image)
        grown = np.divide(new_size, size, out=np.zeros_like(size), where=size > 0)[:, None]
        direction = residual + grown * direction
        direction_image = image + grown * direction_image
        size = new_size
    step[going], products[going] = x, kx
    return step, products


def _dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", left, right)
