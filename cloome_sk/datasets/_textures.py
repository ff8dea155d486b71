"""Tiles of texture from which the simulated cells are painted."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

TILE = 512
OVERSAMPLING = 2
"""Texels a pixel: tiles are read at rotated places, to the nearest texel."""

TEXTURES = ("reticulum", "threads", "dots", "fibres", "chromatin", "cloud", "waves")

_SEED = 20150901


@lru_cache(maxsize=4)
def texture_tiles(pixel_um: float) -> dict[str, np.ndarray]:
    """Periodic float32 tiles of TILE x TILE texels; the same for every screen of a pixel size.

    ``reticulum``, ``threads`` and ``dots`` are positive with mean 1, ``fibres`` (along the second
    axis) positive and mostly 0, the others have mean 0 and variance 1.
    """
    random = np.random.default_rng(_SEED)
    texel = pixel_um / OVERSAMPLING

    def noise(wavelength_um: float, width: float = 0.35, stretch: float = 1.0) -> np.ndarray:
        # Nothing finer than two and a half pixels: it would turn into noise when it is read.
        cycles = texel / max(wavelength_um, 2.5 * pixel_um)
        down = np.abs(fft.fftfreq(TILE)).astype(np.float32)[:, None]
        right = fft.rfftfreq(TILE).astype(np.float32)[None] * stretch
        frequency = np.maximum(np.hypot(down, right), 1e-6)
        gain = np.exp(-0.5 * (np.log(frequency / cycles) / width) ** 2)
        if stretch > 1:
            # The fine frequencies along a fibre belong to its ends, which fade.
            gain = gain * np.exp(-((right / frequency) ** 2))
        white = random.standard_normal((TILE, TILE), dtype=np.float32)
        band = fft.irfft2(fft.rfft2(white) * gain, s=(TILE, TILE))
        return (band / band.std()).astype(np.float32)

    def threads(wavelength_um: float, sharpness: float) -> np.ndarray:
        # Where a smooth field crosses zero there are lines without ends, as of a network.
        lines = np.exp(-sharpness * noise(wavelength_um) ** 2)
        return lines / lines.mean()

    dots = np.exp(1.3 * noise(4.0))
    fibres = np.maximum(noise(4.0, 0.3, stretch=9.0) - 0.4, 0.0)
    return {
        "reticulum": threads(5.0, 1.0),
        "threads": threads(5.5, 1.5) * np.exp(0.35 * noise(12.0) - 0.06),
        "dots": dots / dots.mean(),
        "fibres": fibres,
        "chromatin": noise(3.5, 0.45),
        "cloud": noise(18.0, 0.5),
        "waves": noise(45.0, 0.4),
    }
