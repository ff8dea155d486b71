"""Numbers learned from pixels: mean and standard deviation of each channel, limits of a plate."""

from __future__ import annotations

import numpy as np

from cloome_sk.imaging.sites import Sites

MOST_VALUES = 2**29
"""Pixel values that statistics are taken from; more would take long and change nothing."""


def channel_statistics(sites: Sites, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the pixels of each channel, float64 (n_channels,) each.

    Sites are left out evenly where there are more than `MOST_VALUES` values.
    """
    most = max(1, MOST_VALUES // int(np.prod(sites.shape[1:])))
    chosen = evenly(usable, most)
    n_channels = sites.shape[1]
    count, total, squares = 0, np.zeros(n_channels), np.zeros(n_channels)
    for run in np.array_split(chosen, max(1, len(chosen) // 16)):
        block = sites[run]
        pixels = block[0] if isinstance(block, tuple) else block
        count += pixels[:, 0].size
        for channel in range(n_channels):
            first, second = _moments(pixels[:, channel])
            total[channel] += first
            squares[channel] += second
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))


def _moments(pixels: np.ndarray) -> tuple[float, float]:
    """Sum and sum of squares."""
    if pixels.dtype == np.uint8:
        counts = np.bincount(pixels.ravel(), minlength=256)
        levels = np.arange(256, dtype=np.int64)
        return float(counts @ levels), float(counts @ levels**2)
    wide = pixels.astype(np.float64)
    return float(wide.sum()), float(np.square(wide).sum())


def evenly(items: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the items, spread over all of them."""
    if len(items) <= most:
        return items
    return items[np.linspace(0, len(items) - 1, most).round().astype(np.intp)]


def usable_sites(sites: Sites) -> np.ndarray:
    """Positions of the sites that were not found unreadable."""
    return np.setdiff1d(np.arange(len(sites)), np.array(sorted(sites.failed), dtype=np.intp))
