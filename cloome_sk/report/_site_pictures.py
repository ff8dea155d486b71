"""Sites as a person sees them: RGB pictures of some rows of a table, all equally bright."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloome_sk._tables import row_name
from cloome_sk.encoders._image_columns import choose_columns
from cloome_sk.encoders._image_rows import site_rows
from cloome_sk.imaging.composite import PERCENTILES, composite
from cloome_sk.imaging.resizing import resize_image
from cloome_sk.imaging.scaling import pixel_limits
from cloome_sk.imaging.sources import SiteSources, stacked_planes

Colours = Mapping[str, tuple[float, float, float]]

PURPOSE = "plot_hits"
LARGEST = 480
"""Pixels of the longer side of a drawn site; more are not seen on a page of panels."""


@dataclass(frozen=True)
class SitePictures:
    """Pictures of the sites in some rows of a table.

    Attributes
    ----------
    of_row : dict of int to ndarray of uint8, shape (H, W, 3)
        The picture of each row.
    channels : tuple of str
        What is drawn.
    colours : ndarray of float64, shape (n_channels, 3)
        The colour of each channel where it alone is bright, 0 to 1.
    limits : ndarray of float64, shape (n_channels, 2)
        The intensities drawn black and in full colour, the same in all pictures.
    """

    of_row: dict[int, np.ndarray]
    channels: tuple[str, ...]
    colours: np.ndarray
    limits: np.ndarray

    @property
    def aspect(self) -> float:
        """Height over width of the tallest picture."""
        return max(picture.shape[0] / picture.shape[1] for picture in self.of_row.values())


def site_pictures(
    table: pd.DataFrame,
    rows: np.ndarray,
    channels: Sequence[str] | None,
    colours: Colours | None,
) -> SitePictures:
    """Read the sites of some rows, each distinct one once, and colour their channels.

    Parameters
    ----------
    table : DataFrame
        With image columns.
    rows : ndarray of intp
        Positions of the rows.
    channels : sequence of str or None
        Channels to draw; all by default.
    colours : mapping of str to (float, float, float), or None
        Colours of channels, in place of those of `composite`.

    Returns
    -------
    SitePictures
        Black and full colour of a channel are the 1st and 99.8th percentile of its pixels in the
        typical site (the median over the sites), the same in all pictures: what is brighter looks
        brighter.
    """
    columns = choose_columns(table, None, channels)
    found = site_rows(table, columns, rows, illumination=[])
    if found.empty:
        row, what = next(iter(found.empty.items()))
        raise ValueError(
            f"{PURPOSE}: {row_name(table, row)} is among the rows to draw and has no image: {what}."
        )
    sites = list(found.each(table, _read, "raise"))
    # The median, so that neither one dark plate nor one bright clump decides for all.
    limits = np.median([pixel_limits([site], *PERCENTILES) for site in sites], axis=0)
    pictures = [composite(site, columns.channels, colours=colours, limits=limits) for site in sites]
    return SitePictures(
        {int(row): pictures[site] for row, site in zip(rows, found.index, strict=True)},
        columns.channels,
        _colours(columns.channels, colours),
        limits,
    )


def _read(sources: SiteSources, site: int) -> np.ndarray:
    """Pixels of a site, no more than are drawn."""
    pixels = stacked_planes(sources, site, None)
    height, width = pixels.shape[1:]
    longer = max(height, width)
    if longer <= LARGEST:
        return pixels
    size = (max(1, height * LARGEST // longer), max(1, width * LARGEST // longer))
    return resize_image(pixels, size)


def _colours(channels: tuple[str, ...], colours: Colours | None) -> np.ndarray:
    """The colour of each channel: that of a pixel in which it alone is bright."""
    alone = np.eye(len(channels))[:, np.newaxis]
    limits = np.tile([0.0, 1.0], (len(channels), 1))
    return composite(alone, channels, colours=colours, limits=limits)[0] / 255
