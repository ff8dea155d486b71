"""One site of the simulated screen, from seed to files: all that a worker process has to load."""

from __future__ import annotations

import numpy as np
import tifffile

from cloome_sk.datasets._drawing import CHANNELS, draw_site
from cloome_sk.datasets._microscope import Optics, expose
from cloome_sk.datasets._phenotypes import Look


def make_site(
    paths: dict[str, str],
    look: Look,
    optics: Optics,
    shape: tuple[int, int],
    seed: np.random.SeedSequence,
) -> int:
    """Draw, expose and write a site; returns how many cells are in its field."""
    random = np.random.default_rng(seed)
    light, count = draw_site(look, shape, optics.pixel_um, random)
    write_site(paths, expose(light, optics, random), optics.pixel_um)
    return count


def write_site(paths: dict[str, str], image: np.ndarray, pixel_um: float) -> None:
    """Write the channels of a site, uncompressed, with the size of their pixels."""
    per_cm = 1e4 / pixel_um
    for channel, plane in zip(CHANNELS, image, strict=True):
        tifffile.imwrite(
            paths[channel],
            plane,
            photometric="minisblack",
            description=f"SIMULATED Cell Painting image, {channel} (cloome_sk make_screen)",
            metadata=None,
            resolution=(per_cm, per_cm),
            resolutionunit="CENTIMETER",
            software="cloome_sk",
        )
