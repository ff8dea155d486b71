"""What a fitted estimator holds: the attributes of each class that is stored, and their forms.

An attribute or parameter that is added to one of these classes changes the format: the new
attribute is named here, `FORMAT` goes up, and `loading` says what it is in a folder of before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloome_sk.encoders._image_columns import ImageColumns
from cloome_sk.preprocessing.controls import ControlRows

NOT_IN_CONFIG = {"state_", "_network"}
"""The weights, which have a file of their own, and what is built around them."""


@dataclass(frozen=True)
class Form:
    """What the value of an attribute must be."""

    what: str
    fits: Callable[[Any], bool]
    optional: bool = False


def array(dtype: str, n_dims: int = 1) -> Form:
    """An array, of finite numbers where it is one of numbers."""

    def fits(value: Any) -> bool:
        if not isinstance(value, np.ndarray) or value.ndim != n_dims or value.dtype != dtype:
            return False
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())

    return Form(f"an array of {dtype} with {n_dims} dimension(s)", fits)


def texts(optional: bool = False) -> Form:
    """An array of strings as objects."""

    def fits(value: Any) -> bool:
        return array("object").fits(value) and all(type(text) is str for text in value)

    return Form("an array of texts", fits, optional)


def or_none(form: Form) -> Form:
    """The same, or None."""
    return Form(f"{form.what}, or None", lambda value: value is None or form.fits(value))


def estimator(*classes: str) -> Form:
    """A fitted estimator of one of these classes."""
    return Form(f"a fitted {' or '.join(classes)}", lambda value: type(value).__name__ in classes)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_plates(value: Any) -> bool:
    return type(value) is dict and all(array("float64", 2).fits(part) for part in value.values())


def _is_history(value: Any) -> bool:
    plain = (bool, int, float, str, type(None), np.generic)
    return type(value) is list and all(
        type(epoch) is dict
        and all(type(name) is str and isinstance(part, plain) for name, part in epoch.items())
        for epoch in value
    )


def _is_state(value: Any) -> bool:
    return type(value) is dict and all(
        type(name) is str and isinstance(part, np.ndarray) and part.dtype.kind in "biuf"
        for name, part in value.items()
    )


def _is_site_shape(value: Any) -> bool:
    return (
        type(value) is tuple
        and len(value) == 3
        and all(_is_count(side) and side > 0 for side in value)
    )


def _is_texts(value: Any) -> bool:
    return type(value) is tuple and bool(value) and all(type(text) is str for text in value)


def _is_label(value: Any) -> bool:
    if type(value) is tuple:
        return all(_is_label(part) for part in value)
    return value is None or isinstance(value, (bool, int, float, str, np.generic))


COUNT = Form("a whole number of at least 0", _is_count)
FLAG = Form("true or false", lambda value: type(value) is bool)
POSITIVE = Form(
    "a positive number",
    lambda value: isinstance(value, float) and math.isfinite(value) and value > 0,
)
TEXT = Form("a text", lambda value: type(value) is str)
LABELS = Form(
    "a list of column names", lambda value: type(value) is list and all(map(_is_label, value))
)
CONTROLS = Form("a record of controls", lambda value: isinstance(value, ControlRows))
PLATES = Form("a dictionary of plates", _is_plates)

_COLUMNS = {"column_names_": or_none(LABELS), "column_positions_": array("int64")}

FITTED: dict[str, dict[str, Form]] = {
    "ProfileEncoder": {**_COLUMNS, "center_": array("float64"), "scale_": array("float64")},
    "MoleculeEncoder": {**_COLUMNS, "n_inputs_": COUNT},
    "ImageEncoder": {
        **_COLUMNS,
        "image_columns_": or_none(
            Form("a record of image columns", lambda value: isinstance(value, ImageColumns))
        ),
        "channels_": Form("a tuple of channels", _is_texts),
        "illumination_": FLAG,
        "site_shape_": or_none(Form("a shape of three sides", _is_site_shape)),
        "site_dtype_": Form("a type of number", lambda value: isinstance(value, np.dtype)),
        "depth_": or_none(COUNT),
        "mean_": or_none(array("float64")),
        "std_": or_none(array("float64")),
        "plate_limits_": PLATES,
        "plate_statistics_": PLATES,
        "controls_": or_none(CONTROLS),
    },
    "BagEncoder": {**_COLUMNS, "encoder_": estimator("ProfileEncoder", "ImageEncoder")},
    "CloomeEmbedder": {
        "phenotype_": estimator("ProfileEncoder", "ImageEncoder", "BagEncoder"),
        "molecule_": estimator("MoleculeEncoder"),
        "controls_": or_none(CONTROLS),
        "n_pairs_": COUNT,
        "skipped_rows_": array("int64"),
        "molecules_seen_": texts(),
        "n_components_": COUNT,
        "objective_state_": Form("a dictionary of arrays of numbers", _is_state),
        "inv_tau_": POSITIVE,
        "checkpoint_sha256_": or_none(TEXT),
        "_history": Form("a list of epochs, each a dictionary of numbers", _is_history),
        "n_features_in_": Form(COUNT.what, _is_count, optional=True),
        "feature_names_in_": texts(optional=True),
        "_sklearn_output_config": Form(
            "what set_output set", lambda value: type(value) is dict, optional=True
        ),
    },
}
"""Fitted attributes of each class, without the weights."""


def disagreement(fitted: Any) -> str:
    """Say which attributes of an estimator contradict each other; empty where none do."""
    known = vars(fitted)
    n_columns = len(known.get("column_positions_", ()))
    names = known.get("column_names_")
    if names is not None and len(names) != n_columns and type(fitted).__name__ != "MoleculeEncoder":
        return f"column_names_ has {len(names)} entries and column_positions_ {n_columns}"
    for name in ("center_", "scale_"):
        if name in known and len(known[name]) != n_columns:
            return f"{name} has {len(known[name])} numbers, for {n_columns} columns"
    channels = known.get("channels_")
    if channels is None:
        return ""
    shapes = {name: known[name].shape for name in ("mean_", "std_") if known[name] is not None}
    wrong = [name for name, shape in shapes.items() if shape != (len(channels),)]
    for name in ("plate_limits_", "plate_statistics_"):
        if any(part.shape != (len(channels), 2) for part in known[name].values()):
            wrong.append(name)
    if known["site_shape_"] is not None and known["site_shape_"][0] != len(channels):
        wrong.append("site_shape_")
    if known["image_columns_"] is not None and known["image_columns_"].channels != channels:
        wrong.append("image_columns_")
    return f"{', '.join(wrong)} not of {len(channels)} channels" if wrong else ""
