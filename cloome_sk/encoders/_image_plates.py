"""What is learned of a plate from its negative controls: limits of scaling, mean and deviation."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from cloome_sk._refit import unchanged_on_error
from cloome_sk._tables import shown
from cloome_sk.encoders._image_checks import PURPOSE, normalization_kind
from cloome_sk.encoders._image_plate_codes import plate_codes
from cloome_sk.encoders._image_rows import warn_skipped
from cloome_sk.encoders._image_sites import find_rows, make_sites
from cloome_sk.encoders._image_statistics import channel_statistics, evenly, usable_sites
from cloome_sk.imaging import ImageError, pixel_limits
from cloome_sk.imaging.sources import SiteSources, place_of, stacked_planes
from cloome_sk.preprocessing.controls import ControlRows, apply_controls, find_controls

if TYPE_CHECKING:
    from cloome_sk.encoders.image import ImageEncoder

CONTROLS_A_PLATE = 64
"""Control sites that a plate's numbers are learned from."""


def learn_known_plates(
    encoder: ImageEncoder, table: pd.DataFrame, controls: ControlRows | None, verbose: int
) -> None:
    """Begin with the plates of the table of a fit, where the encoder learns of plates at all."""
    encoder.plate_limits_, encoder.plate_statistics_ = {}, {}
    encoder.controls_ = None
    if "plate" not in (encoder.scaling, normalization_kind(encoder)):
        return
    if encoder.plate_table is not None:
        table, controls = encoder.plate_table, None
    if controls is None or encoder.controls != "auto":
        controls = find_controls(table, encoder.controls)
    encoder.controls_ = controls
    learn_plates(encoder, table, controls, verbose)


def learn_further_plates(encoder: ImageEncoder, table: pd.DataFrame) -> None:
    """Learn the plates of another table, whose controls are told as those of the fit were."""
    if encoder.controls_ is None or encoder.controls_.rule is None:
        raise ValueError(
            f"{PURPOSE}: nothing is learned of plates: neither scaling nor normalization is "
            '"plate".'
        )
    with unchanged_on_error(encoder):
        learn_plates(encoder, table, apply_controls(table, *encoder.controls_.rule), verbose=0)


def learn_plates(
    encoder: ImageEncoder, X: pd.DataFrame, controls: ControlRows, verbose: int
) -> None:
    """Add the numbers of the plates of a table to those that an encoder knows."""
    by_plate = control_rows_by_plate(X, encoder.plate, controls)
    limits, statistics = dict(encoder.plate_limits_), dict(encoder.plate_statistics_)
    bar = tqdm(by_plate.items(), desc="Reading controls", unit="plate", disable=not verbose)
    for plate, rows in bar:
        if encoder.scaling == "plate":
            found = find_rows(encoder, X, rows, limited=False)
            read = partial(_finite_planes, preprocess=encoder.preprocess)
            failed: dict[int, str] = {}
            images = list(found.each(X, read, encoder.on_error, failed))
            warn_skipped(X, {**found.empty, **failed}, f"no controls of plate {plate!r}")
            _check_any(plate, len(images), len(rows))
            limits[plate] = pixel_limits(images)
            encoder.plate_limits_ = limits
        if normalization_kind(encoder) == "plate":
            found = find_rows(encoder, X, rows)
            sites = make_sites(encoder, X, found, extras=False, shape=encoder.site_shape_)
            sites.visit(lambda n_done: None)
            usable = usable_sites(sites)
            warn_skipped(X, found.problems(rows, sites.failed), f"no controls of plate {plate!r}")
            _check_any(plate, len(usable), len(rows))
            mean, std = channel_statistics(sites, usable)
            statistics[plate] = np.stack([mean, std], axis=1)
    encoder.plate_statistics_ = statistics


def _finite_planes(sources: SiteSources, site: int, preprocess: Any) -> np.ndarray:
    planes = stacked_planes(sources, site, preprocess)
    if not np.isfinite(planes).all():
        raise ImageError(
            place_of(sources.files(site)[0]),
            f"{int((~np.isfinite(planes)).sum())} of its {planes.size} pixels are NaN or infinite",
        )
    return planes


def _check_any(plate: Hashable, n_read: int, n_rows: int) -> None:
    if not n_read:
        raise ValueError(
            f"{PURPOSE}: none of the {n_rows} negative control(s) of plate {plate!r} can be read."
        )


def control_rows_by_plate(
    X: pd.DataFrame, plate: str, found: ControlRows
) -> dict[Hashable, np.ndarray]:
    """Rows of the negative controls of each plate of a table; an error where there are none."""
    codes, names = plate_codes(X, plate, np.arange(len(X)))
    by_plate = {
        name: evenly(np.flatnonzero(found.mask & (codes == code)), CONTROLS_A_PLATE)
        for code, name in enumerate(names)
    }
    without = [name for name, rows in by_plate.items() if not len(rows)]
    if without:
        raise ValueError(
            f"{PURPOSE}: {len(without)} of {len(names)} plate(s) have no negative control to "
            f"learn from: {shown(without)} ({found}). Name the controls by controls=(column, "
            "value), leave these plates out, or choose a scaling and a normalization other than "
            '"plate".'
        )
    return by_plate
