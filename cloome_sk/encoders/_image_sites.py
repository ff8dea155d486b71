"""From a table to the sites of an encoder, with the parameters that it has."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cloome_sk.encoders._image_checks import PURPOSE, normalization_kind
from cloome_sk.encoders._image_columns import ImageColumns, choose_columns
from cloome_sk.encoders._image_network import check_field, least_field
from cloome_sk.encoders._image_plate_codes import of_each_plate, plate_codes
from cloome_sk.encoders._image_reading import open_cache, usual_shape
from cloome_sk.encoders._image_rows import (
    SiteRows,
    illumination_columns,
    namer,
    refuse_empty,
    site_rows,
)
from cloome_sk.imaging.preparation import Preparation
from cloome_sk.imaging.sites import Sites

if TYPE_CHECKING:
    from cloome_sk.encoders.image import ImageEncoder


def chosen_columns(encoder: ImageEncoder, table: pd.DataFrame, rows: np.ndarray) -> ImageColumns:
    """Find image columns and channels, as the parameters ask for."""
    # Numbers that are given belong to a model that is there already, whose channels say nothing
    # of how somebody stacked theirs.
    as_stacked = normalization_kind(encoder) != "given"
    return choose_columns(table, encoder.columns, encoder.channels, rows, as_stacked=as_stacked)


def find_rows(
    encoder: ImageEncoder, table: pd.DataFrame, rows: np.ndarray, limited: bool = True
) -> SiteRows:
    """Find the distinct sites of some rows; refuse empty cells unless they are skipped."""
    illumination: list[Hashable] = []
    if encoder.illumination_:
        illumination = illumination_columns(table, encoder.channels_)
        if not illumination:
            raise ValueError(
                f"{PURPOSE}: this model was fitted on images divided by illumination functions, "
                "and the table has no columns Illum_<channel>."
            )
    limits = plates = None
    if "plate" in (encoder.scaling, normalization_kind(encoder)):
        plates, _ = plate_codes(table, encoder.plate, rows)
    if limited and encoder.scaling == "plate":
        limits = of_each_plate(table, encoder.plate, rows, encoder.plate_limits_)
    columns = encoder.image_columns_
    if columns is None:
        columns = chosen_columns(encoder, table, rows)
    found = site_rows(table, columns, rows, illumination=illumination, limits=limits, plates=plates)
    if found.empty and encoder.on_error == "raise":
        refuse_empty(table, found.empty)
    return found


def preparation(encoder: ImageEncoder) -> Preparation:
    """What the encoder does to the pixels of a site."""
    pair = isinstance(encoder.size, (tuple, list))
    size = (int(encoder.size[0]), int(encoder.size[1])) if pair else encoder.size  # type: ignore[index]
    return Preparation(encoder.scaling, size, encoder.preprocess)


def shape_in(encoder: ImageEncoder, table: pd.DataFrame, found: SiteRows) -> tuple[int, ...]:
    """Shape of the sites of a table to embed: that of `fit`, or what most of them have."""
    fitted = encoder.site_shape_
    # Crops are of one size whatever that of the field.
    crops = encoder.crop is not None and encoder.evaluation != "full"
    if fitted is not None and not crops:
        return fitted
    usual = usual_shape(table, found, preparation(encoder), encoder.on_error)
    if usual is None:
        return fitted or (len(encoder.channels_), *least_field(encoder))
    height, width = usual[0][-2:]
    check_field(encoder, (height, width))
    return usual[0]


def make_sites(
    encoder: ImageEncoder,
    table: pd.DataFrame,
    found: SiteRows,
    *,
    extras: bool = True,
    shape: tuple[int, ...],
) -> Sites:
    """Make the sites readable, in the shape that they must have."""
    prepare = preparation(encoder)
    along: tuple[np.ndarray, ...] = ()
    if extras and normalization_kind(encoder) == "plate":
        numbers = of_each_plate(
            table, encoder.plate, found.sources.rows, encoder.plate_statistics_
        ).astype(np.float32)
        along = (numbers[..., 0], numbers[..., 1])
    return Sites(
        found.sources,
        prepare,
        shape=shape,
        dtype=encoder.site_dtype_,
        where=namer(table),
        on_error=encoder.on_error,
        n_jobs=encoder.n_jobs,
        cache=open_cache(encoder.cache, prepare),
        extras=along,
    )
