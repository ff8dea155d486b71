"""Reading the sites of a fit: which shape they have, and once all of them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cloome_sk.encoders._image_checks import check_memory
from cloome_sk.encoders._image_columns import PROBED
from cloome_sk.encoders._image_rows import SiteRows
from cloome_sk.encoders._image_statistics import evenly
from cloome_sk.imaging import SiteCache
from cloome_sk.imaging.preparation import Preparation, target_shape
from cloome_sk.imaging.sites import Sites
from cloome_sk.imaging.sources import SiteSources


def usual_shape(
    table: pd.DataFrame, found: SiteRows, prepare: Preparation, on_error: str
) -> tuple[tuple[int, ...], np.dtype] | None:
    """Shape and depth of most of some sites: a stray one among them must not set it.

    None where no site can be read.
    """
    read = partial(_shape, prepare=prepare)
    some = found.take(evenly(np.arange(len(found.sources)), PROBED))
    shapes = list(some.each(table, read, on_error)) or list(found.each(table, read, on_error))
    return Counter(shapes).most_common(1)[0][0] if shapes else None


def _shape(
    sources: SiteSources, site: int, prepare: Preparation
) -> tuple[tuple[int, ...], np.dtype]:
    if prepare.scaling == "none":
        image = prepare(sources, site)
        return image.shape, image.dtype
    planes = sources.planes(site, prepare.preprocess)
    shape = planes[0].shape
    if prepare.size is not None:
        shape = target_shape(shape, prepare.size)
    return (len(planes), *shape), np.dtype(np.uint8)


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
