"""Location and scale of each plate's controls, and the sphering of all of them together."""

from __future__ import annotations

import numpy as np

MAD_TO_SD = 1.0 / 0.6744897501960817
"""The MAD of a normal sample times this estimates its standard deviation."""


def learn_plates(
    values: np.ndarray,
    codes: np.ndarray,
    n_controls: np.ndarray,
    shrinkage: float,
    pooled: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Location and shrunk scale of each plate, and the pooled scale where none is given.

    Parameters
    ----------
    values : ndarray, shape (n_controls, n_features)
        The controls of all plates.
    codes : ndarray of intp, shape (n_controls,)
        Plate number of each.
    n_controls : ndarray of int64, shape (n_plates,)
        How many each plate has.
    shrinkage : float
        Number of controls that the pooled scale counts for.
    pooled : ndarray of float64, shape (n_features,), optional
        The pooled scale learned before.

    Returns
    -------
    location, scale : ndarray of float64, shape (n_plates, n_features)
        Median, and weighted mean of the plate's own and the pooled scaled MAD.
    pooled : ndarray of float64, shape (n_features,)
        The pooled scale.
    """
    location = np.empty((len(n_controls), values.shape[1]))
    mad = np.empty_like(location)
    deviations = np.empty(values.shape)
    for plate in range(len(n_controls)):
        rows = np.flatnonzero(codes == plate)
        block = values[rows].astype(np.float64)
        location[plate] = np.median(block, axis=0)
        block -= location[plate]
        deviations[rows] = np.abs(block, out=block)
        mad[plate] = MAD_TO_SD * np.median(block, axis=0)
    # Below this, differences between numbers of such a size are rounding, not biology.
    rounding = 10.0 * np.finfo(values.dtype).eps * np.abs(location)
    if pooled is None:
        pooled = _pooled_scale(deviations, rounding.max(axis=0))
    weight = (n_controls / (n_controls + shrinkage))[:, None]
    return location, pooled + weight * np.where(mad > rounding, mad - pooled, 0.0), pooled


def _pooled_scale(deviations: np.ndarray, rounding: np.ndarray) -> np.ndarray:
    """Scaled MAD, else root mean square, else 1 for a feature that never differs."""
    mad = MAD_TO_SD * np.median(deviations, axis=0)
    spread = np.sqrt(np.mean(deviations**2, axis=0))
    return np.where(mad > rounding, mad, np.where(spread > rounding, spread, 1.0))


def standardize(
    values: np.ndarray,
    location: np.ndarray,
    scale: np.ndarray,
    clip: float | None,
    signed_log: bool,
) -> np.ndarray:
    """Rows of one plate in units of its scale, clipped and compressed, in float64."""
    block = np.subtract(values, location, dtype=np.float64)
    block /= scale
    if clip is not None:
        np.clip(block, -clip, clip, out=block)
    return np.copysign(np.log1p(np.abs(block)), block) if signed_log else block


def sphering_matrix(controls: np.ndarray, regularization: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the controls, and the symmetric matrix that whitens them (regularised ZCA)."""
    n_controls, n_features = controls.shape
    mean = controls.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(controls, rowvar=False)))
    variances = np.maximum(variances, 0.0)
    if not variances.any():
        return mean, np.eye(n_features)
    ridged = variances + regularization * variances.mean()
    rank = int((ridged > n_features * np.finfo(np.float64).eps * ridged.max()).sum())
    if rank < n_features:
        raise ValueError(
            f"ControlNormalizer: the covariance of {n_controls} controls in {n_features} features "
            f"has rank {rank} and cannot be inverted. Set sphering_regularization above 0 "
            f"(1.0 by default; now {regularization}), or sphering=False."
        )
    return mean, (axes / np.sqrt(ridged)) @ axes.T
