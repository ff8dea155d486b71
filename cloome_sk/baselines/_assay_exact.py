"""One logistic regression to nine digits of its loss, by Newton steps with direct solutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from cloome_sk.baselines._assay_newton import MOST_HALVINGS, logistic_losses

MOST_STEPS = 100
SMALL_GAIN = 1e-9
MOST_GRADIENTS = 30
RESIDUAL = 0.1


def fit_exactly(Z: np.ndarray, y: np.ndarray, C: float) -> tuple[np.ndarray, float, bool]:
    """Minimise the L2-penalised logistic loss with a free intercept.

    Parameters
    ----------
    Z : ndarray of float64, shape (n, n_features)
        Training rows.
    y : ndarray of float, shape (n,)
        0 or 1, both there.
    C : float
        Inverse of the penalty.

    Returns
    -------
    coef : ndarray of float, shape (n_features,)
        Weights.
    intercept : float
        Of rows that are not centred.
    converged : bool
        Whether the predicted gain of the last step was nothing beside the loss.
    """
    dual = len(Z) <= Z.shape[1]
    mean = Z.mean(axis=0)
    features = Z - mean
    gram = features @ features.T if dual else None
    position = np.zeros(min(features.shape))
    scores = np.zeros(len(Z))
    shift = float(np.log(y.sum() / (len(y) - y.sum())))
    used = np.ones((1, len(y)), dtype=bool)
    loss, p = _loss(scores, shift, y, used, 0.0)
    primal = _PrimalSteps(features, C)
    converged = False
    for _ in range(MOST_STEPS):
        weight, error = p * (1 - p), y - p
        if dual:
            assert gram is not None
            step, step_shift = _dual_step(gram, position, scores, shift, weight, error, C)
            step_scores = gram @ step
            slope = step_scores @ (error - position / C)
        else:
            step, step_shift = primal.step(position, weight, error)
            step_scores = features @ step
            slope = step @ (features.T @ error - position / C)
        gain = slope + step_shift * error.sum()
        size = 1.0
        for _ in range(MOST_HALVINGS):
            new, new_scores = position + size * step, scores + size * step_scores
            length = new @ new_scores if dual else new @ new
            new_loss, new_p = _loss(
                new_scores, shift + size * step_shift, y, used, float(length) / C
            )
            if new_loss <= loss * (1 + 1e-12):
                break
            size /= 2
        position, scores, loss, p = new, new_scores, new_loss, new_p
        shift += size * step_shift
        if gain <= SMALL_GAIN * loss:
            converged = True
            break
    coef = features.T @ position if dual else position
    return coef, shift - float(mean @ coef), converged


def _loss(
    scores: np.ndarray, shift: float, y: np.ndarray, used: np.ndarray, penalty: float
) -> tuple[float, np.ndarray]:
    losses, p = logistic_losses((scores + shift)[None], y[None], used)
    return float(losses[0]) + penalty / 2, p[0]


def _dual_step(
    gram: np.ndarray,
    alpha: np.ndarray,
    scores: np.ndarray,
    shift: float,
    weight: np.ndarray,
    error: np.ndarray,
    C: float,
) -> tuple[np.ndarray, float]:
    """Solve ``(1 / C + W K) alpha + W shift = W (scores + shift) + error``, ``alpha.sum() == 0``.

    By ``1 + C W^(1/2) K W^(1/2)``, which has no small eigenvalue where weights vanish.
    """
    root = np.sqrt(weight)
    middle = C * root[:, None] * gram * root
    middle.flat[:: len(middle) + 1] += 1.0
    right = np.column_stack([weight * (scores + shift) + error, weight])
    inner = cho_solve(cho_factor(middle, lower=True), root[:, None] * (gram @ right))
    target, unit = (C * (right - C * root[:, None] * inner)).T
    new_shift = target.sum() / unit.sum()
    return target - new_shift * unit - alpha, new_shift - shift


@dataclass
class _PrimalSteps:
    """Newton steps of weights and intercept, the intercept eliminated by weighted centring.

    The curvature is factorised at the first step. It changes by the weights of the rows only, so
    conjugate gradients conditioned by that factor solve the later steps in a few products, and it
    is factorised anew when they are not few.
    """

    features: np.ndarray
    C: float
    factor: tuple[np.ndarray, bool] | None = None

    def step(
        self, w: np.ndarray, weight: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Solve for the change of weights and intercept."""
        total = weight.sum()
        mean = weight @ self.features / total
        slope = self.features.T @ error - w / self.C - mean * error.sum()
        if self.factor is None:
            scaled = np.sqrt(weight)[:, None] * (self.features - mean)
            curvature = scaled.T @ scaled
            curvature.flat[:: len(curvature) + 1] += 1.0 / self.C
            self.factor = cho_factor(curvature, lower=True, overwrite_a=True, check_finite=False)
            step = cho_solve(self.factor, slope, check_finite=False)
        else:
            step = self._by_gradients(slope, weight, total)
        return step, float(error.sum() / total - mean @ step)

    def _by_gradients(self, residual: np.ndarray, weight: np.ndarray, total: float) -> np.ndarray:
        step = np.zeros_like(residual)
        direction = conditioned = cho_solve(self.factor, residual, check_finite=False)
        start = size = residual @ conditioned
        for _ in range(MOST_GRADIENTS):
            scores = self.features @ direction
            moved = self.features.T @ (weight * (scores - weight @ scores / total))
            moved += direction / self.C
            length = size / (direction @ moved)
            step = step + length * direction
            residual = residual - length * moved
            conditioned = cho_solve(self.factor, residual, check_finite=False)
            new_size = residual @ conditioned
            if new_size <= RESIDUAL**2 * start:
                return step
            direction = conditioned + new_size / size * direction
            size = new_size
        self.factor = None
        return step
