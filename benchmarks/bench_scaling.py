"""How fast a site is read and scaled to 8 bit, beside Pillow and NumPy in double precision."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile
from PIL import Image

from benchmarks._timing import Case, Comparison
from cloome_sk.imaging.reading import read_image
from cloome_sk.imaging.scaling import scale_image

CHANNELS = ("Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst")
SHAPE = (520, 696)
SHARE = 0.0028 / 100
NUMBER = 5


def rows(full: bool) -> Iterator[Case]:
    """Scale a site, and read and scale it: the field of the CLOOME paper, or one of its size."""
    with TemporaryDirectory() as folder:
        home = os.environ.get("CLOOME_SK_DATA")
        real = Path(home, "images", "cloome_example") if home else None
        if real is not None and real.is_dir():
            paths, origin = [real / f"{channel}.tif" for channel in CHANNELS], "real"
        else:
            paths, origin = simulated(Path(folder)), "simulated"
        size = f"{len(paths)} x {SHAPE[0]}x{SHAPE[1]} uint16, {origin}"
        image = np.stack([read_image(path) for path in paths])
        difference = ours(paths).astype(int) - by_hand(paths)
        # The reference rounds the quotient before it multiplies, which may lose a grey level.
        if difference.min() < 0 or difference.max() > 1:
            raise AssertionError("the scaled images differ from those of NumPy")
        yield Comparison(
            "scale_image",
            size,
            partial(scale_image, image),
            "argpartition, double precision",
            partial(scaled_by_hand, image),
            number=NUMBER,
        )
        yield Comparison(
            "scale_image, corrected field",
            size.replace("uint16", "float32"),
            partial(scale_image, image.astype(np.float32)),
            "argpartition, double precision",
            partial(scaled_by_hand, image.astype(np.float32)),
            number=NUMBER,
        )
        # Uncompressed files such as these are read alike with and without imagecodecs.
        yield Comparison(
            "read + scale",
            size,
            partial(ours, paths),
            "Pillow, argpartition, double precision",
            partial(by_hand, paths),
            number=NUMBER,
        )
        if full:
            yield Comparison(
                "read",
                size,
                lambda: [read_image(path) for path in paths],
                "Pillow",
                lambda: [np.array(Image.open(path)) for path in paths],
                number=NUMBER,
            )


def ours(paths: Sequence[Path]) -> np.ndarray:
    """A site as the package prepares it."""
    return np.stack([scale_image(read_image(path)) for path in paths])


def by_hand(paths: Sequence[Path]) -> np.ndarray:
    """A site in the steps of the authors' preprocessing."""
    return scaled_by_hand([np.array(Image.open(path)) for path in paths])


def scaled_by_hand(image: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Saturate the brightest 0.0028 % of each channel; black is the intensity zero."""
    black = 0
    scaled = []
    for channel in image:
        n_bright = round(channel.size * SHARE)
        brightest = np.argpartition(channel, -n_bright, axis=None)[-n_bright:]
        white = channel.ravel()[brightest].min()
        light = (channel.astype(float) - black) * (channel > black)
        light = light * (256.0 / (white - black))
        light[light > 255] = 255
        scaled.append(light.astype(np.uint8))
    return np.stack(scaled)


def simulated(folder: Path) -> list[Path]:
    """A dim field with bright spots, in files as those of the microscope: strips of five rows."""
    generator = np.random.default_rng(0)
    paths = []
    for channel in CHANNELS:
        field = np.minimum(200 * generator.lognormal(1, 0.5, SHAPE), 4095).astype(np.uint16)
        paths.append(folder / f"{channel}.tif")
        tifffile.imwrite(paths[-1], field, rowsperstrip=5)
    return paths
