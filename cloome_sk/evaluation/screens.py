"""The screens of the studies: public ones and a simulated one, normalised to their controls."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloome_sk import CloomeEmbedder
from cloome_sk._tables import profile_columns
from cloome_sk.datasets import load_cell_injury, load_cpjump1, make_profiles
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

FEWEST = 3
"""Classes with fewer molecules than this are left out of classification."""
N_UPDATES = 350
"""Training steps of each encoder, whatever the size of the table."""


@dataclass(frozen=True)
class Screen:
    """A screen as the studies take it.

    Attributes
    ----------
    name : str
        As on the command line.
    raw : DataFrame
        The table as delivered.
    normalised : DataFrame
        The same rows, centred and scaled by the controls of their plates.
    table : DataFrame
        The same rows, normalised and sphered by the controls; what an encoder is given.
    label : str
        The column of classes.
    class_name : str
        What a class is.
    wells, normalised_wells, raw_wells : DataFrame
        The treated rows of `table`, of `normalised` and of `raw`, numbered anew.
    molecules : ndarray of object
        Molecule key of each treated well.
    classes : ndarray of object
        Class of each treated well; None where it has none, or one of too few molecules.
    """

    name: str
    raw: pd.DataFrame
    normalised: pd.DataFrame
    table: pd.DataFrame
    label: str
    class_name: str
    wells: pd.DataFrame
    normalised_wells: pd.DataFrame
    raw_wells: pd.DataFrame
    molecules: np.ndarray
    classes: np.ndarray


def load_screen(data: str, data_home: str | None, seed: int) -> Screen:
    """Load a screen, normalise it to the controls of its plates, and say what is in it.

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
        With and without its controls.
    """
    if data == "simulated":
        raw, label, class_name = make_profiles(random_state=seed), "Metadata_moa", "MoA"
        print("A SIMULATED screen of real drugs: figures show how it works, not how well.")
    elif data == "cell-injury":
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            raw = load_cell_injury(data_home)
        for warning in said:
            print(warning.message)
        label, class_name = "Metadata_injury_type", "Injury class"
    else:
        raw, label, class_name = load_cpjump1(data_home), "Metadata_moa_list", "MoA"
    controls = find_controls(raw)
    # Before any split: this looks at control wells only, never at a treated well or a label.
    normalised = ControlNormalizer(sphering=False).fit_transform(raw)
    table = ControlNormalizer(sphering=True).fit_transform(raw)
    wells, normalised_wells, raw_wells = (
        version[~controls.mask].reset_index(drop=True) for version in (table, normalised, raw)
    )
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
    return Screen(
        name=data,
        raw=raw,
        normalised=normalised,
        table=table,
        label=label,
        class_name=class_name,
        wells=wells,
        normalised_wells=normalised_wells,
        raw_wells=raw_wells,
        molecules=molecules,
        classes=classes,
    )


def _large_classes(labels: pd.Series, molecules: np.ndarray) -> np.ndarray:
    sizes = pd.Series(molecules).groupby(labels.to_numpy(object)).nunique()
    kept = set(sizes.index[sizes >= FEWEST])
    return np.array([label if label in kept else None for label in labels], dtype=object)


def make_embedder(n_pairs: int, seed: int) -> CloomeEmbedder:
    """Give an encoder smaller than the paper's, for a table of a few thousand wells.

    Parameters
    ----------
    n_pairs : int
        Number of training pairs; more pairs, fewer epochs.
    seed : int
        Its `random_state`.

    Returns
    -------
    CloomeEmbedder
        Not fitted.
    """
    batch_size = 256
    return CloomeEmbedder(
        phenotype=ProfileEncoder(hidden_sizes=(512,)),
        molecule=MoleculeEncoder(hidden_sizes=(512,), input_dropout=0.2),
        n_components=128,
        batch_size=batch_size,
        max_epochs=max(1, round(N_UPDATES / -(-n_pairs // batch_size))),
        random_state=seed,
    )
