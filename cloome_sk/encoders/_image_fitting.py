"""What an image encoder learns from a table, or is told, before there is a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cloome_sk._refit import unchanged_on_error
from cloome_sk._tables import named_positions
from cloome_sk.encoders._image_checks import PURPOSE, given_statistics, normalization_kind
from cloome_sk.encoders._image_network import check_network
from cloome_sk.encoders._image_plates import learn_known_plates
from cloome_sk.encoders._image_reading import read_sites, usual_shape
from cloome_sk.encoders._image_rows import SiteRows, illumination_columns, warn_skipped
from cloome_sk.encoders._image_sites import (
    chosen_columns,
    find_rows,
    make_sites,
    preparation,
    shape_in,
)
from cloome_sk.encoders._image_statistics import channel_statistics, usable_sites
from cloome_sk.encoders._image_weights import depth_of_weights
from cloome_sk.encoders.base import Inputs
from cloome_sk.imaging import Channels
from cloome_sk.imaging.sites import Sites
from cloome_sk.preprocessing.controls import ControlRows

if TYPE_CHECKING:
    from cloome_sk.encoders.image import ImageEncoder


def fit_encoder(
    encoder: ImageEncoder,
    table: pd.DataFrame,
    rows: np.ndarray,
    verbose: int,
    controls: ControlRows | None,
) -> Inputs:
    """Learn from the training rows; their inputs."""
    with unchanged_on_error(encoder):
        _take_columns(encoder, table, rows)
        _take_settings(encoder)
        found = find_rows(encoder, table, rows, limited=False)
        usual = usual_shape(table, found, preparation(encoder), encoder.on_error)
        if usual is None:
            what = f"none of the images of {len(rows)} row(s) can be read"
            raise ValueError(f"{PURPOSE}: {what}.")
        encoder.site_shape_, encoder.site_dtype_ = usual
        check_network(encoder)
        learn_known_plates(encoder, table, controls, verbose)
        if encoder.scaling == "plate":
            found = find_rows(encoder, table, rows)
        sites = make_sites(encoder, table, found, shape=encoder.site_shape_)
        inputs = _read(encoder, table, rows, found, sites, verbose, "left out of training")
        if normalization_kind(encoder) == "dataset":
            encoder.mean_, encoder.std_ = channel_statistics(sites, usable_sites(sites))
    return inputs


def read_rows(
    encoder: ImageEncoder, table: pd.DataFrame, rows: np.ndarray, verbose: int, lost: str
) -> Inputs:
    """Read some rows for a fitted encoder; their inputs."""
    found = find_rows(encoder, table, rows)
    sites = make_sites(encoder, table, found, shape=shape_in(encoder, table, found))
    return _read(encoder, table, rows, found, sites, verbose, lost)


def _read(
    encoder: ImageEncoder,
    table: pd.DataFrame,
    rows: np.ndarray,
    found: SiteRows,
    sites: Sites,
    verbose: int,
    lost: str,
) -> Inputs:
    """Read sites for a whole fit, and say which rows have none."""
    read_sites(sites, encoder.cache, encoder.on_error, verbose)
    warn_skipped(table, found.problems(rows, sites.failed), lost)
    sites.on_error = "raise"  # what fails from now on is no longer left out
    return Inputs(sites, found.usable_index(sites.failed))


def make_ready(encoder: ImageEncoder, table: pd.DataFrame | None) -> None:
    """Set what `fit` would learn, where the parameters say it all."""
    reasons = to_learn(encoder, table is not None)
    if reasons:
        raise ValueError(
            f"{PURPOSE}: only fit(X) can learn what {len(reasons)} of the parameters ask for: "
            f"{'; '.join(reasons)}. Or call fit, which reads the images of a table."
        )
    with unchanged_on_error(encoder):
        if table is None:
            encoder.image_columns_ = None
            encoder.channels_ = Channels(encoder.channels or ()).names
            encoder.column_names_ = None
            encoder.column_positions_ = np.empty(0, dtype=np.intp)
            encoder.illumination_ = False
        else:
            _take_columns(encoder, table, np.arange(len(table)))
        _take_settings(encoder)
        encoder.site_shape_, encoder.site_dtype_ = None, np.dtype(np.uint8)
        check_network(encoder)
        encoder.plate_limits_, encoder.plate_statistics_, encoder.controls_ = {}, {}, None


def _take_columns(encoder: ImageEncoder, table: pd.DataFrame, rows: np.ndarray) -> None:
    columns = chosen_columns(encoder, table, rows)
    encoder.image_columns_ = columns
    encoder.channels_ = columns.channels
    encoder.column_names_ = list(columns.names)
    encoder.column_positions_ = named_positions(table, columns.names, purpose=PURPOSE)
    encoder.illumination_ = encoder.illumination == "auto" and bool(
        illumination_columns(table, columns.channels)
    )


def _take_settings(encoder: ImageEncoder) -> None:
    """What the parameters say for themselves; the file of weights is read, and checked."""
    encoder.mean_ = encoder.std_ = None
    if normalization_kind(encoder) == "given":
        encoder.mean_, encoder.std_ = given_statistics(encoder)
    encoder.depth_ = depth_of_weights(encoder)


def to_learn(encoder: ImageEncoder, with_table: bool) -> list[str]:
    """What the parameters ask for that only a fit can learn, with a table to look at or without."""
    reasons = []
    # ImageNet's weights are the same for all channels; any others belong to an order of them.
    if encoder.channels is None and not (with_table and encoder.weights is not None):
        reasons.append(
            "channels=None takes the channels of the table: name them in the order that the "
            "network takes, channels=[...]"
        )
    if encoder.scaling == "plate":
        reasons.append('scaling="plate" takes limits from negative controls')
    if encoder.scaling == "none":
        reasons.append('scaling="none" takes the depth of the pixels from the table')
    if normalization_kind(encoder) == "dataset":
        reasons.append(
            'normalization="dataset" takes mean and standard deviation from the training sites: '
            "give them, normalization=(mean, std)"
        )
    if normalization_kind(encoder) == "plate":
        reasons.append('normalization="plate" takes numbers from negative controls')
    if encoder.illumination is not None and not with_table:
        reasons.append(
            f'illumination="{encoder.illumination}" asks the table whether it has illumination '
            "functions: set illumination=None, or give a table"
        )
    return reasons
