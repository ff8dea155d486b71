"""One logistic regression to nine digits of its loss, by Newton steps with direct solutions."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, get_blas_funcs, get_lapack_funcs

from cloome_sk.baselines._assay_newton import MOST_HALVINGS, Rows, logistic_losses

MOST_STEPS = 100
SMALL_GAIN = 1e-9
SLOW = 0.1
"""A step that gains more than this share of what the last one gained is a slow one."""
MOST_GRADIENTS = 30
"""Gradients that are conditioned by one factor at most."""
MOST_CONDITION = 1e6
"""Up to here a factor in float32 knows the smallest eigenvalue to some percent."""


def fit_exactly(Z: np.ndarray | Rows, y: np.ndarray, C: float) -> tuple[np.ndarray, float, bool]:
    """Minimise the L2-penalised logistic loss with a free intercept.

    A Newton step needs the curvature at its place, and finding the minimum does not: gradients in
    float64, conditioned by a factor of the curvature in float32 and at an earlier place, lead to
    the same minimum. The curvature is factorised anew when gains do not fall tenfold from step to
    step, and in float64 where float32 does not know its smallest eigenvalue.

    Parameters
    ----------
    Z : ndarray of float64, shape (n, n_features), or Rows
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
    rows = Z if isinstance(Z, Rows) else Rows.of(Z, np.arange(len(Z)))
    space = (_InFeatures if rows.gram is None else _InRows)(rows, C)
    position, scores = np.zeros(space.n_dimensions), np.zeros(len(y))
    shift = float(np.log(y.sum() / (len(y) - y.sum())))
    used = np.ones((1, len(y)), dtype=bool)
    loss, p = _loss(scores, shift, y, used, 0.0)
    converged, n_gradients, last_gain = False, MOST_GRADIENTS, np.inf
    for _ in range(MOST_STEPS):
        error = y - p
        if n_gradients >= MOST_GRADIENTS:
            space.factorise(p * (1 - p))
            n_gradients = 0
        step, step_scores, step_shift, gain = space.step(position, error)
        n_gradients += 1
        size = 1.0
        for _ in range(MOST_HALVINGS):
            new, new_scores = position + size * step, scores + size * step_scores
            new_shift = shift + size * step_shift
            penalty = space.squared_length(new, new_scores) / C
            new_loss, p = _loss(new_scores, new_shift, y, used, penalty)
            if new_loss <= loss * (1 + 1e-12):
                break
            size /= 2
        position, scores, shift, loss = new, new_scores, new_shift, new_loss
        if abs(gain) <= SMALL_GAIN * loss:
            converged = True
            break
        if not 0 <= gain <= SLOW * last_gain and n_gradients > 1:
            n_gradients = MOST_GRADIENTS
        last_gain = gain
    coef = space.weights(position)
    return coef, shift - float(rows.mean @ coef), converged


def _loss(
    scores: np.ndarray, shift: float, y: np.ndarray, used: np.ndarray, penalty: float
) -> tuple[float, np.ndarray]:
    losses, p = logistic_losses((scores + shift)[None], y[None], used)
    return float(losses[0]) + penalty / 2, p[0]


class _InRows:
    """Steps of ``alpha``, where the weights are ``features.T @ alpha`` and ``alpha.sum() == 0``.

    They solve ``(1 / C + W K) step + W shift = error - alpha / C`` by ``1 + R K R`` with the root
    ``R`` of ``C W``, which has no small eigenvalue where weights vanish.
    """

    def __init__(self, rows: Rows, C: float) -> None:
        assert rows.gram is not None
        self.features, self.C = rows.features, C
        self.gram = rows.gram
        self.n_dimensions = len(rows)

    def factorise(self, weight: np.ndarray) -> None:
        """Fix the weights of the rows until the next call."""
        self.root = np.sqrt(self.C * weight)
        factor = _factor(self._middle(), 1.0)
        if factor is None:
            self.gram = self.features @ self.features.T
            factor = _factor(self._middle(), 1.0)
        assert factor is not None
        self.factor = factor
        self.unit = self._solve(weight)

    def _middle(self) -> np.ndarray:
        root = self.root.astype(self.gram.dtype)
        middle = self.gram * root
        middle *= root[:, None]
        middle.flat[:: len(middle) + 1] += 1.0
        return middle.T

    def _solve(self, right: np.ndarray) -> np.ndarray:
        """Solve ``(1 / C + W K) x = right``."""
        product = self.gram @ right.astype(self.gram.dtype)
        inner = _back(self.factor, self.root * product)
        return self.C * (right - self.root * inner)

    def step(
        self, alpha: np.ndarray, error: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Step, that of the scores and of the intercept, and the predicted gain."""
        slope = error - alpha / self.C
        target = self._solve(slope)
        shift = float((target.sum() + alpha.sum()) / self.unit.sum())
        step = target - shift * self.unit
        scores = self.features @ self.weights(step)
        return step, scores, shift, float(scores @ slope + shift * error.sum())

    def squared_length(self, alpha: np.ndarray, scores: np.ndarray) -> float:
        return float(alpha @ scores)

    def weights(self, alpha: np.ndarray) -> np.ndarray:
        return alpha @ self.features


class _InFeatures:
    """Steps of the weights, the intercept eliminated by weighted centring."""

    def __init__(self, rows: Rows, C: float) -> None:
        assert rows.narrow is not None
        self.features, self.C = rows.features, C
        self.narrow = rows.narrow
        self.n_dimensions = rows.features.shape[1]

    def factorise(self, weight: np.ndarray) -> None:
        """Fix the weights of the rows until the next call."""
        self.total = weight.sum()
        self.mean = weight @ self.features / self.total
        factor = _factor(self._curvature(self.narrow, weight), self.C)
        if factor is None:
            self.narrow = self.features
            factor = _factor(self._curvature(self.features, weight), self.C)
        assert factor is not None
        self.factor = factor

    def _curvature(self, features: np.ndarray, weight: np.ndarray) -> np.ndarray:
        scaled = features - self.mean.astype(features.dtype)
        scaled *= np.sqrt(weight).astype(features.dtype)[:, None]
        curvature = scaled.T @ scaled
        curvature.flat[:: len(curvature) + 1] += 1.0 / self.C
        return curvature.T

    def step(self, w: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Step, that of the scores and of the intercept, and the predicted gain."""
        slope = error @ self.features - w / self.C
        centred = slope - self.mean * error.sum()
        step = _back(self.factor, centred)
        shift = float(error.sum() / self.total - self.mean @ step)
        return step, self.features @ step, shift, float(step @ slope + shift * error.sum())

    def squared_length(self, w: np.ndarray, scores: np.ndarray) -> float:
        return float(w @ w)

    def weights(self, w: np.ndarray) -> np.ndarray:
        return w


def _factor(matrix: np.ndarray, C: float) -> np.ndarray | None:
    """Cholesky factor of a matrix without eigenvalues below ``1 / C``; None if float32 is too few.

    The matrix, whose columns are contiguous, is overwritten.
    """
    narrow = matrix.dtype == np.float32
    with np.errstate(over="ignore"):
        if narrow and not np.linalg.norm(matrix) * C < MOST_CONDITION:
            return None
    (potrf,) = get_lapack_funcs(("potrf",), (matrix,))
    factor, failed = potrf(matrix, lower=True, overwrite_a=True, clean=False)
    if failed and not narrow:
        raise LinAlgError(
            "The curvature of a logistic loss is not positive definite. Scale the features, or "
            "take stronger penalties (smaller Cs)."
        )
    return None if failed else factor


def _back(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve by a Cholesky factor; for one right side five times as fast as `cho_solve`."""
    (trsv,) = get_blas_funcs(("trsv",), (factor,))
    half = trsv(factor, right.astype(factor.dtype), lower=1, overwrite_x=True)
    return trsv(factor, half, lower=1, trans=1, overwrite_x=True).astype(np.float64)
