"""The microscope of the simulated screen: optics, uneven light, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from cloome_sk.datasets._drawing import margin_pixels
from cloome_sk.datasets._textures import OVERSAMPLING, TILE, texture_tiles

# Order: DNA, ER, RNA, AGP, Mito. Counts above the camera's offset, as on an Opera Phenix (JUMP).
_USUAL = np.array([10500.0, 5200.0, 8000.0, 4700.0, 1400.0])
_BACKGROUND = np.array([420.0, 230.0, 330.0, 470.0, 800.0])
_FOCUS_UM = np.array([0.5, 0.55, 0.55, 0.45, 0.5])
_HAZE = np.array([0.09, 0.16, 0.16, 0.13, 0.26])
_HAZE_UM = 6.0
_UNEVEN = (0.02, 0.02, 0.02, 0.02, 0.05)
_OFFSET = 110.0
_READ_NOISE = 7.0
_COUNTS_PER_ELECTRON = 0.8


@dataclass(frozen=True)
class Optics:
    """How light becomes counts on one plate; arrays have one entry a channel."""

    pixel_um: float
    counts: np.ndarray
    """Counts of the usual cell."""
    background: np.ndarray
    focus_um: np.ndarray
    shading: np.ndarray
    """(5, 3): loss of light at the corner, and where its centre is, in half fields."""
    noise: float


def set_up(
    pixel_um: float,
    *,
    background: float,
    noise: float,
    plate_effect: float,
    batch: np.random.Generator,
    plate: np.random.Generator,
) -> Optics:
    """The optics of a plate: what its stains, its lamp and its focus were like that day."""

    def drift() -> np.ndarray:
        return plate_effect * (batch.standard_normal(5) + plate.standard_normal(5)) / np.sqrt(2)

    shading = np.column_stack([0.16 + 0.03 * drift().clip(-3, 3), 0.12 * drift(), 0.12 * drift()])
    return Optics(
        pixel_um=pixel_um,
        counts=_USUAL * np.exp(0.22 * drift()),
        background=background * _BACKGROUND * np.exp(0.15 * drift()),
        focus_um=_FOCUS_UM * np.exp(0.2 * drift()),
        shading=shading,
        noise=noise,
    )


def expose(light: np.ndarray, optics: Optics, random: np.random.Generator) -> np.ndarray:
    """Take the picture: light with its margin -> uint16 of the field alone, (5, height, width)."""
    margin = margin_pixels(optics.pixel_um)
    height, width = (side - 2 * margin for side in light.shape[1:])
    padded = tuple(fft.next_fast_len(side, real=True) for side in light.shape[1:])
    down = fft.fftfreq(padded[0]).astype(np.float32)
    right = fft.rfftfreq(padded[1]).astype(np.float32)

    def gaussian(sigma: float) -> np.ndarray:
        factor = -2 * np.pi**2 * sigma**2
        return np.multiply.outer(np.exp(factor * down**2), np.exp(factor * right**2))

    haze = gaussian(_HAZE_UM / optics.pixel_um)
    row, column = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    dust = _dust(optics.pixel_um, (height, width), random)

    image = np.empty((5, height, width), np.uint16)
    for channel in range(5):
        # A pixel collects over its own width, whatever the lens does.
        sharp = gaussian(float(np.hypot(optics.focus_um[channel] / optics.pixel_um, 0.4)))
        share = float(_HAZE[channel])
        transfer = (1 - share) * sharp + share * haze
        seen = fft.irfft2(fft.rfft2(light[channel], s=padded) * transfer, s=padded)
        seen = seen[margin : margin + height, margin : margin + width]
        loss, centre_y, centre_x = optics.shading[channel]
        distance = ((row - centre_y) ** 2)[:, None] + (column - centre_x) ** 2
        lamp = (1 - 0.5 * loss * distance).astype(np.float32)
        counts = seen * np.float32(optics.counts[channel])
        counts += np.float32(optics.background[channel]) * (
            1 + (0.05 if channel == 4 else 0.02) * dust
        )
        counts *= lamp
        counts = np.maximum(counts, 0)
        # Hundreds of electrons a pixel: shot noise in its normal limit.
        spread = np.sqrt(_COUNTS_PER_ELECTRON * counts + _READ_NOISE**2)
        grain = random.standard_normal((height, width), dtype=np.float32)
        counts += _OFFSET + optics.noise * spread * grain
        image[channel] = np.rint(counts).clip(0, 65535)
    return image


def _dust(pixel_um: float, shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Unevenness of the background, out of focus."""
    tile = texture_tiles(pixel_um)["waves"]
    row, column = random.integers(TILE, size=2)
    rows = (row + OVERSAMPLING * np.arange(shape[0])) % TILE
    return tile[rows[:, None], (column + OVERSAMPLING * np.arange(shape[1])) % TILE]
