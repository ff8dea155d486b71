"""The screens of the demo, normalised and without their controls."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloome_sk._tables import profile_columns
from cloome_sk.datasets import load_cell_injury, load_cpjump1, make_profiles
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

FEWEST = 3
"""Classes with fewer molecules than this are left out of classification."""


@dataclass(frozen=True)
class Screen:
    """A table ready for the demo: treated wells, their molecule and their class."""

    name: str
    wells: pd.DataFrame
    molecules: np.ndarray
    classes: np.ndarray
    """Class of each well; None where it has none, or one with too few molecules."""
    class_name: str


def load_screen(data: str, data_home: str | None, seed: int) -> Screen:
    """Load a table, normalise it to the controls of its plates, and leave the controls out.

    Parameters
    ----------
    data : {"simulated", "cell-injury", "cpjump1"}
        Which screen.
    data_home : str or None
        Data folder.
    seed : int
        Of the simulation.

    Returns
    -------
    Screen
        The treated wells.
    """
    if data == "simulated":
        table, label, class_name = make_profiles(random_state=seed), "Metadata_moa", "MoA"
        print("A SIMULATED screen of real drugs: figures show how it works, not how well.")
    elif data == "cell-injury":
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            table = load_cell_injury(data_home)
        for warning in said:
            print(warning.message)
        label, class_name = "Metadata_injury_type", "Injury class"
    else:
        table, label, class_name = load_cpjump1(data_home), "Metadata_moa_list", "MoA"
    controls = find_controls(table)
    # Before any split: this looks at control wells only, never at a treated well or a label.
    table = ControlNormalizer().fit_transform(table)
    wells = table[~controls.mask].reset_index(drop=True)
    molecules = molecule_key(wells["Metadata_smiles"])
    classes = _large_classes(wells[label], molecules)
    has_class = pd.notna(classes)
    print(
        f"{data}: {len(wells)} treated wells, {len(np.unique(molecules))} molecules, "
        f"{wells['Metadata_Plate'].nunique()} plates, {len(profile_columns(wells))} features.\n"
        f"Controls: {controls}\n"
        f"{class_name}: {len(np.unique(classes[has_class]))} classes with at least {FEWEST} "
        f"molecules ({len(np.unique(molecules[has_class]))} molecules, {has_class.sum()} wells).\n"
    )
    return Screen(data, wells, molecules, classes, class_name)


def _large_classes(labels: pd.Series, molecules: np.ndarray) -> np.ndarray:
    sizes = pd.Series(molecules).groupby(labels.to_numpy(object)).nunique()
    kept = set(sizes.index[sizes >= FEWEST])
    return np.array([label if label in kept else None for label in labels], dtype=object)
