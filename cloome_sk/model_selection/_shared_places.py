"""Plates, wells, well positions, batches and sources that two sets share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.model_selection._labels import JOINED, Labels, well_positions
from cloome_sk.model_selection._sides import Side
from cloome_sk.model_selection.leakage_result import Finding

PLACES = ("plate", "well", "position", "batch", "source")
_NAMES = {
    "plate": ("plate", "plates"),
    "well": (
        "physical well (plate and well position)",
        "physical wells (plate and well position)",
    ),
    "batch": ("batch", "batches"),
    "source": ("source", "sources"),
}


def place_findings(train: Side, test: Side, claimed: set[str], n_examples: int) -> list[Finding]:
    """One finding for each kind of place."""
    return [
        _position(train, test, claimed, n_examples)
        if kind == "position"
        else _shared(kind, train, test, claimed, n_examples)
        for kind in PLACES
    ]


def _shared(kind: str, train: Side, test: Side, claimed: set[str], n_examples: int) -> Finding:
    needed = ("plate", "well") if kind == "well" else (kind,)
    if reason := _unreadable(needed, train, test):
        return not_checked(kind, reason, claimed)
    seen, asked = (_values(side, needed, kind in claimed) for side in (train, test))
    known = ~pd.isna(asked)
    rows = known & np.isin(_codes(asked), _codes(seen[~pd.isna(seen)]))
    shared = list(dict.fromkeys(asked[rows]))
    blank = int((~known).sum()), int(pd.isna(seen).sum())
    n_controls = int((rows & test.controls.mask).sum())
    if shared:
        among = f" ({counted(n_controls, 'negative control')} among them)" if n_controls else ""
        sentence = (
            f"{counted(len(shared), *_NAMES[kind])} {'is' if len(shared) == 1 else 'are'} in both "
            f"sets, with {rows.sum():,} of {known.sum():,} test rows{among}"
            f"{such_as(shared, n_examples)}."
        )
    else:
        sentence = f"No {_NAMES[kind][0]} is in both sets."
    return Finding(
        kind,
        sentence + _blank(kind, *blank),
        len(shared),
        rows,
        known,
        tuple(shared[:n_examples]),
    )


def _position(train: Side, test: Side, claimed: set[str], n_examples: int) -> Finding:
    """Well positions of the test set that the training set has on another plate."""
    kind = "position"
    if reason := _unreadable(("plate", "well"), train, test):
        return not_checked(kind, reason, claimed)
    wells = []
    for side in (train, test):
        labels = _one(side, "well", kind in claimed)
        positions, all_positions = well_positions(labels)
        if not all_positions:
            odd = next((text for text in labels if text is not None), "")
            return not_checked(
                kind,
                f"the wells of the {side.name} table, such as {odd!r}, are not positions like A01",
                claimed,
            )
        wells.append((_one(side, "plate", kind in claimed), positions))
    (seen_plate, seen_well), (asked_plate, asked_well) = wells
    seen = pd.DataFrame({"plate": seen_plate, "well": seen_well}).dropna().drop_duplicates()
    n_plates = seen.groupby("well")["plate"].size()
    known = ~(pd.isna(asked_plate) | pd.isna(asked_well))
    here = pd.MultiIndex.from_arrays([asked_plate, asked_well]).isin(pd.MultiIndex.from_frame(seen))
    elsewhere = n_plates.reindex(asked_well, fill_value=0).to_numpy() - here
    rows = known & (elsewhere > 0)
    shared = list(dict.fromkeys(asked_well[rows]))
    sentence = "No well position of the test set is on another plate of the training set."
    if shared:
        sentence = (
            f"{counted(len(shared), 'well position')} of the test set "
            f"{'is' if len(shared) == 1 else 'are'} on other plates of the training set, with "
            f"{rows.sum():,} of {known.sum():,} test rows: a layout effect would carry over."
        )
    return Finding(kind, sentence, len(shared), rows, known, tuple(shared[:n_examples]))


def _unreadable(needed: tuple[str, ...], train: Side, test: Side) -> str | None:
    reasons = [side.lacks(what) for what in needed for side in (train, test)]
    return next((reason for reason in reasons if reason), None)


def _values(side: Side, needed: tuple[str, ...], required: bool) -> np.ndarray:
    """The place of each row as text; None where a part of it is missing."""
    if needed != ("plate", "well"):
        return _one(side, needed[0], required)
    plate, well = (_one(side, what, required) for what in needed)
    well, _ = well_positions(well)
    values = np.full(len(side), None, dtype=object)
    known = ~(pd.isna(plate) | pd.isna(well))
    values[known] = plate[known] + JOINED + well[known]
    return values


def _one(side: Side, what: str, required: bool) -> np.ndarray:
    labels: Labels = side.labels(what)
    return labels.complete(side.purpose) if required else labels.values


def _codes(values: np.ndarray) -> np.ndarray:
    """Text that numpy can compare, with missing values as a text no place has."""
    return pd.Series(values, dtype=object).fillna("").to_numpy(dtype=str)


def _blank(kind: str, n_test: int, n_train: int) -> str:
    if not n_test and not n_train:
        return ""
    return f" Not checked: {n_test:,} test and {n_train:,} training rows without a {kind}."


def counted(n: int, one: str, several: str | None = None) -> str:
    """A number with its noun."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def such_as(names: list[str], n_examples: int) -> str:
    """Some of the names, as the end of a sentence."""
    return f", such as {shown(names, n_examples)}" if n_examples else ""


def not_checked(kind: str, reason: str, claimed: set[str]) -> Finding:
    """A finding that says why there is none; an error if it was claimed."""
    if kind in claimed:
        hint = (
            "Name the column by `columns`, such as columns={'plate': 'Assay_Plate_Barcode'}, or "
            "claim less."
            if " column in the " in reason
            else "Choose another split, or claim less."
        )
        raise ValueError(f"leakage_report: the claim {kind!r} cannot be checked: {reason}. {hint}")
    return Finding(kind, f"{kind}: not checked: {reason}.")
