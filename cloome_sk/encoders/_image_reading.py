"""Reading the sites of a fit: which shape they have, and once all of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cloome_sk.encoders._image_checks import PURPOSE, check_memory
from cloome_sk.encoders._image_columns import PROBED
from cloome_sk.encoders._image_rows import SiteRows
from cloome_sk.encoders._image_statistics import evenly
from cloome_sk.imaging import SiteCache
from cloome_sk.imaging.preparation import Preparation
from cloome_sk.imaging.sites import Sites


def usual_shape(
    table: pd.DataFrame, found: SiteRows, prepare: Preparation, on_error: str
) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and depth of most of some sites: a stray one among them must not set it."""
    some = found.take(evenly(np.arange(len(found.sources)), PROBED))
    shapes = [(image.shape, image.dtype) for image in some.each(table, prepare, on_error)]
    if not shapes:
        shapes = [(image.shape, image.dtype) for image in found.each(table, prepare, on_error)]
    if not shapes:
        raise ValueError(f"{PURPOSE}: none of the images of {len(found.index)} row(s) can be read.")
    return Counter(shapes).most_common(1)[0][0]


def read_sites(sites: Sites, cache: Any, on_error: str, verbose: int) -> None:
    """Read the sites of a fit, where they are kept or must be known to be readable."""
    if cache is None and on_error == "raise":
        return
    if cache == "memory":
        check_memory(sites.nbytes)
    read = sites.hold if cache == "memory" else sites.visit
    bar = tqdm(total=len(sites), desc="Reading images", unit="site", disable=not verbose)
    with bar as progress:
        read(progress.update)


def open_cache(cache: Any, prepare: Preparation) -> SiteCache | None:
    """Open the folder of prepared sites, if there is to be one."""
    return None if cache in (None, "memory") else SiteCache(cache, prepare.settings())
