"""Two laboratories at hand for the transfer study: simulated, BBBC021, profiles, JUMP."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import pandas as pd

from cloome_sk._tables import profile_columns, shown
from cloome_sk.datasets import (
    load_bbbc021_crops,
    load_bbbc021_profiles,
    load_cell_injury,
    load_cpjump1,
    load_jump_harmony,
)
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.evaluation._transfer_scores import CARRIED
from cloome_sk.evaluation.activity_data import measured_elsewhere
from cloome_sk.evaluation.crops import CODES as CROP_CODES
from cloome_sk.evaluation.crops import compound_codes
from cloome_sk.evaluation.transfer_methods import Effort, image_methods, profile_methods
from cloome_sk.evaluation.transfer_result import TransferabilityStudy
from cloome_sk.evaluation.transfer_screens import SOURCE_LAB, TARGET_LAB, draw_labs
from cloome_sk.evaluation.transferability import count_training_rows, study_transferability
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

SHRUNK = 96
"""Pixels a side that encoders of simulated images are given."""
AUGMENTATION = {"zoom": (0.5, 1.0)}
"""Of all methods: beside turns and brightness, the range of DINO's large views."""
LABS = ("simulated", "bbbc021", "profiles", "harmony")
SOURCE_WEEKS = ("Week1", "Week4", "Week5", "Week6", "Week8", "Week10")
"""Chosen so that as many classes as can be have compounds on both sides."""
HARMONY_SOURCES = ("source_2", "source_6")
WELL = ["Metadata_Plate", "Metadata_Well"]


@dataclass(frozen=True)
class Labs:
    """Two tables and what to do with them.

    Attributes
    ----------
    name : str
        One of `LABS`.
    source, target : DataFrame
        The tables.
    methods : dict of str to estimator
        CLOOME first.
    options : dict
        Further arguments of `study_transferability`.
    notes : list of str
        What the tables are, and what is confounded in them.
    """

    name: str
    source: pd.DataFrame = field(repr=False)
    target: pd.DataFrame = field(repr=False)
    methods: dict[str, Any] = field(repr=False)
    options: dict[str, Any]
    notes: list[str]


def load_labs(
    data: str,
    data_home: str | PathLike[str] | None = None,
    *,
    folder: str | PathLike[str] | None = None,
    weights: str | PathLike[str] | None = None,
    n_updates: int | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
) -> Labs:
    """Load or draw the tables of two laboratories, with the methods for them.

    Parameters
    ----------
    data : {"simulated", "bbbc021", "profiles", "harmony"}
        - ``"simulated"``: two drawn screens (`cloome_sk.datasets.make_screen`), of which the second
          has another magnification, more background, noise and plate effects, and in part other
          compounds.
        - ``"bbbc021"``: crops of single cells, some weeks against the others.
        - ``"profiles"``: CPJUMP1 and the cell-injury screen, over the features they share.
        - ``"harmony"``: laboratories of JUMP, corrected for each other already: an optimistic
          bound, of replicates alone.
    data_home : path-like, optional
        Data folder.
    folder : path-like, optional
        Where simulated images are drawn; simulated screens that are there are replaced.
    weights : path-like, optional
        A file of ImageNet weights, for images.
    n_updates : int, optional
        Of each network; by default 100 of images, 300 of profiles.
    seed : int, default=0
        Of simulation, weights and codes, and that of the study, whose training rows make so many
        epochs of `n_updates`.
    n_jobs : int, optional
        Processes that draw.

    Returns
    -------
    Labs
        Tables, methods, options and notes.

    Raises
    ------
    ValueError
        For unknown data, or images to be drawn without a folder.

    Examples
    --------
    >>> from cloome_sk.evaluation.transfer_labs import load_labs
    >>> labs = load_labs("profiles")  # doctest: +SKIP
    """
    makers: dict[str, Callable[[], Labs]] = {
        "simulated": lambda: _simulated(folder, weights, n_updates or 100, seed, n_jobs),
        "bbbc021": lambda: _bbbc021(data_home, weights, n_updates or 100, seed),
        "profiles": lambda: _profiles(data_home, n_updates or 300, seed),
        "harmony": lambda: _harmony(data_home, n_updates or 300, seed),
    }
    if data not in makers:
        raise ValueError(f"data must be one of {', '.join(map(repr, LABS))}; got {data!r}.")
    return makers[data]()


def transferability_of(
    labs: Labs, *, align: str | Sequence[str] = "none", seed: int = 0, **options: Any
) -> TransferabilityStudy:
    """Run `study_transferability` on laboratories from `load_labs`.

    Parameters
    ----------
    labs : Labs
        Tables and methods.
    align : str or sequence of str, default="none"
        As in the study.
    seed : int, default=0
        Of the study.
    **options : dict
        Further arguments of the study, over those of the laboratories.

    Returns
    -------
    TransferabilityStudy
        Its figures.
    """
    given = {"notes": labs.notes, "data": labs.name, "random_state": seed, "align": align}
    return study_transferability(
        labs.source, labs.target, labs.methods, **{**labs.options, **given, **options}
    )


def _simulated(folder: Any, weights: Any, n_updates: int, seed: int, n_jobs: int | None) -> Labs:
    if folder is None:
        raise ValueError("data='simulated' draws images: name a folder for them.")
    source, target = draw_labs(folder, seed=seed, n_jobs=n_jobs)
    assays = [name for name in source.columns if str(name).startswith("Metadata_assay_")]
    options: dict[str, Any] = {"label": "moa", "hold_out": 0.4, "references": 1}
    n_rows = count_training_rows(source, target, **options, random_state=seed)
    encoder = ImageEncoder(size=SHRUNK, augmentation=AUGMENTATION)
    effort = Effort(encoder, n_rows, n_updates, lr=3e-3, seed=seed)
    changed = ", ".join(
        f"{name} {SOURCE_LAB[name]:g} against {value:g}" for name, value in TARGET_LAB.items()
    )
    notes = [
        "SIMULATED: a program draws the images, the drugs are real. It shows how the study works, "
        f"not how well a method does on cells. The laboratories differ in {changed}, and in some "
        "of their drugs; what a drug does beyond its mechanism is drawn anew in each.",
        f"Activity: {len(assays)} simulated assays, in each of which the drugs of three mechanisms "
        "are active; one result in ten is wrong, half of all are missing. They know the "
        "mechanisms, so a network trained on them is close to one trained on the answer.",
    ]
    methods = image_methods(effort, activity=assays, weights=weights, vit=True)
    return Labs("simulated", source, target, methods, options, notes)


def _bbbc021(data_home: Any, weights: Any, n_updates: int, seed: int) -> Labs:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        wells = load_bbbc021_profiles(data_home)
        features = [str(name) for name in profile_columns(wells)]
        wells = ControlNormalizer(features, sphering=False).fit_transform(wells)
    crops = load_bbbc021_crops(data_home)
    # Crops of wells that have no published features would leave one of the methods without input.
    table = crops.merge(wells[[*WELL, *features]], on=WELL, validate="many_to_one")
    bare = crops[~crops.set_index(WELL).index.isin(wells.set_index(WELL).index)]
    control = find_controls(table).mask
    several = table[~control].groupby("Metadata_moa").apply(_over_weeks)
    kept = control | table["Metadata_moa"].isin(several.index[several]).to_numpy()
    table = pd.concat([table, compound_codes(table["Metadata_compound"], seed)], axis=1)
    table = table[kept].reset_index(drop=True)
    first = table["Metadata_week"].isin(SOURCE_WEEKS)
    source, target = (table[rows].reset_index(drop=True) for rows in (first, ~first))
    controls = table[find_controls(table).mask].reset_index(drop=True)
    encoder = ImageEncoder(
        network="small",
        scaling="plate",
        plate="Metadata_week",
        plate_table=controls,
        augmentation=AUGMENTATION,
    )
    n_rows = int((~find_controls(source).mask).sum())
    effort = Effort(encoder, n_rows, n_updates, batch_size=128, seed=seed)
    codes = MoleculeEncoder(columns=CROP_CODES, features="precomputed", hidden_sizes=(256,))
    methods = image_methods(
        effort, molecule=codes, structures=False, cellprofiler=features, weights=weights
    )
    both = sorted(set(source["Metadata_moa"].dropna()) & set(target["Metadata_moa"].dropna()))
    notes = [
        "Crops of single cells. Kept are the classes that have compounds in several weeks; a row "
        f"is a cell. Source: {', '.join(SOURCE_WEEKS)}; target: the other weeks. Classes on both "
        f"sides: {len(both)}.",
        "CONFOUNDED: each compound was run in one week only, so a compound is on one side, and "
        "nothing tells what is due to the compound from what is due to its week. A class has one "
        "to three compounds in all: each crop of the target is named by compounds of other weeks, "
        "which is leave-one-compound-out and leave-week-out at once.",
        f"CellProfiler features: {len(features)} published means of the well that a crop is of, "
        "normalised to the DMSO wells of its plate. They are of all cells of the well, hundreds, "
        f"where the other methods see one. Left out are {len(bare)} crops whose wells have none, "
        f"of {shown(sorted(set(bare['Metadata_compound'])), 5)}: a control on plates of all weeks.",
        "Several compounds have no public structure: CLOOME pairs crops with random codes of their "
        "compounds, so it learns which crops share a compound and no chemistry. Methods trained on "
        "activity or ECFP are left out.",
        "For all networks alike, pixels are scaled between limits of the DMSO crops of their week, "
        "those of the target's weeks too; alignment is by week, as many plates have no DMSO crop.",
        *(str(warning.message) for warning in said),
    ]
    options = {
        "label": "Metadata_moa",
        "molecule": "Metadata_compound",
        "align_by": "Metadata_week",
        "plate": "Metadata_week",
        "well": None,
        "hold_out": 0.0,
        "references": 1,
        "headline": CARRIED,
    }
    return Labs("bbbc021", source, target, methods, options, notes)


def _over_weeks(rows: pd.DataFrame) -> bool:
    """Whether the class has two compounds that are not all of one and the same week."""
    pairs = rows[["Metadata_compound", "Metadata_week"]].drop_duplicates()
    alone = pairs[~pairs["Metadata_compound"].duplicated(keep=False)]
    return pairs["Metadata_compound"].nunique() > 1 and (
        alone["Metadata_week"].nunique() > 1 or len(alone) < len(pairs)
    )


def _profiles(data_home: Any, n_updates: int, seed: int) -> Labs:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        raw = load_cpjump1(data_home), load_cell_injury(data_home)
        control = find_controls(raw[0]).mask
        keys = molecule_key(raw[0].loc[~control, "Metadata_smiles"])
        measured, found = measured_elsewhere(keys, data_home)
    other = set(map(str, profile_columns(raw[1])))
    features = [str(name) for name in profile_columns(raw[0]) if str(name) in other]
    # Each by its own controls, before any split: neither treated wells nor labels have a part.
    source, target = (
        ControlNormalizer(features, sphering=False).fit_transform(table) for table in raw
    )
    measured.index = source.index[~control]
    source = pd.concat([source, measured.reindex(source.index)], axis=1)
    options: dict[str, Any] = {
        "label": "Metadata_moa_list",
        "target_label": "Metadata_injury_type",
        "references": 1,
    }
    encoder = ProfileEncoder(columns=features, hidden_sizes=(512,))
    n_rows = count_training_rows(source, target, **options, random_state=seed)
    effort = Effort(encoder, n_rows, n_updates, batch_size=256, seed=seed)
    methods = profile_methods(effort, features, activity=list(measured.columns))
    notes = [
        f"CPJUMP1 to the cell-injury screen, over the {len(features)} features of both, each table "
        "normalised to the negative controls of its plates, as all of its users would. The source "
        "is asked for mechanisms, the target for classes of injury.",
        "All plates of CPJUMP1 share one layout: there a replicate is a well position, too. Wells "
        "of the cell-injury screen are of several doses and times.",
        "A network trained on the classes is left out: they are what is asked for.",
        *found,
        *(str(warning.message) for warning in said),
    ]
    return Labs("profiles", source, target, methods, options, notes)


def _harmony(data_home: Any, n_updates: int, seed: int) -> Labs:
    table = load_jump_harmony(data_home)
    features = [str(name) for name in table.columns if str(name).startswith("harmony_")]
    first = table["Metadata_Source"].isin(HARMONY_SOURCES)
    source, target = (table[rows].reset_index(drop=True) for rows in (first, ~first))
    encoder = ProfileEncoder(columns=features, hidden_sizes=(512,))
    options: dict[str, Any] = {"label": None, "plate": "Metadata_Source"}
    n_rows = count_training_rows(source, target, **options, random_state=seed)
    effort = Effort(encoder, n_rows, n_updates, batch_size=64, seed=seed)
    notes = [
        "AN OPTIMISTIC BOUND: Harmony has corrected these profiles for laboratories, all of them "
        "together, the target's among them. Median profiles, one a compound and laboratory.",
        f"Source: {' and '.join(HARMONY_SOURCES)}; target: the other "
        f"{target['Metadata_Source'].nunique()} laboratories. A replicate is the same compound in "
        "another laboratory of the same side, found among the other compounds of other "
        "laboratories. There are no classes and no wells. Which laboratories happen to be alike "
        "decides such a figure: a drop here is not due to training alone, and that of the profile, "
        "which learns nothing, says how much is not.",
    ]
    methods = profile_methods(effort, features)
    return Labs("harmony", source, target, methods, {**options, "well": None}, notes)
