"""The screens of the studies: public ones and simulated ones, normalised to their controls."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from cloome_sk import CloomeEmbedder
from cloome_sk._tables import profile_columns
from cloome_sk.datasets import (
    join_bbbc021_structures,
    load_bbbc021_profiles,
    load_cell_injury,
    load_cpjump1,
    make_profiles,
)
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.evaluation.image_screen import draw_screen, make_image_embedder
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer, find_controls

DATA = ("simulated", "simulated-profiles", "cell-injury", "cpjump1", "bbbc021")
"""Names of the screens; the first is one of images."""
UNINFORMATIVE = {"cell-injury": ("Miscellaneous",)}
"""Classes of the screens that say what a molecule is not, and so are nothing to share."""
FEWEST = 3
"""Classes with fewer molecules than this are left out of classification."""
N_UPDATES = 350
"""Training steps of each encoder of profiles, whatever the size of the table."""


@dataclass(frozen=True)
class Screen:
    """A screen as the studies take it.

    Attributes
    ----------
    name : str
        As on the command line.
    raw : DataFrame
        The table as delivered. Rows are wells; of images, sites.
    normalised : DataFrame
        The same rows, features centred and scaled by the controls of their plates.
    table : DataFrame
        The same rows, features normalised and sphered by the controls. An encoder of profiles is
        given them; one of images takes the images, which are the same in all three tables.
    label : str
        The column of classes.
    class_name : str
        What a class is.
    wells, normalised_wells, raw_wells : DataFrame
        The treated rows of `table`, of `normalised` and of `raw`, numbered anew.
    molecules : ndarray of object
        Molecule key of each treated row.
    classes : ndarray of object
        Class of each treated row; None where it has none, or one of too few molecules.
    plate_controls : DataFrame
        The other rows of `table`.
    features : list of str
        The columns that baselines take as the phenotype: the profile, or how bright the channels
        of a site are.
    feature_name : str
        What they are.
    has_images : bool
        Whether the phenotype is images.
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
    plate_controls: pd.DataFrame
    features: list[str]
    feature_name: str
    has_images: bool

    @property
    def unit(self) -> str:
        """What a row is: a well, or a site of one."""
        return "site" if self.has_images else "well"

    def make_embedder(self, n_pairs: int, seed: int) -> CloomeEmbedder:
        """Give an embedder for this screen, smaller than the paper's.

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
        if self.has_images:
            return make_image_embedder(self.plate_controls, n_pairs, seed)
        return make_embedder(n_pairs, seed)


def load_screen(
    data: str,
    data_home: str | None,
    seed: int,
    folder: str | PathLike[str] | None = None,
    n_jobs: int | None = None,
) -> Screen:
    """Load a screen, normalise it to the controls of its plates, and say what is in it.

    Parameters
    ----------
    data : {"simulated", "simulated-profiles", "cell-injury", "cpjump1", "bbbc021"}
        Which screen: simulated images, simulated profiles, or public profiles.
    data_home : str or None
        Data folder.
    seed : int
        Of the simulation.
    folder : path-like, optional
        Where simulated images are drawn. A simulated screen that is there is replaced.
    n_jobs : int or None, default=None
        Processes that draw.

    Returns
    -------
    Screen
        With and without its controls.

    Raises
    ------
    ValueError
        For an unknown screen, or images without a folder.
    """
    if data not in DATA:
        raise ValueError(f"data must be one of {', '.join(map(repr, DATA))}; got {data!r}.")
    if data == "simulated":
        raw, features = _drawn(folder, seed, n_jobs)
        label, class_name = "Metadata_moa", "MoA"
    else:
        raw, label, class_name = _profiles(data, data_home, seed)
        features = [str(name) for name in profile_columns(raw)]
    has_images = data == "simulated"
    controls = find_controls(raw)
    # Before any split: this looks at control wells only, never at a treated well or a label.
    normalised = ControlNormalizer(features, sphering=False).fit_transform(raw)
    table = ControlNormalizer(features, sphering=True).fit_transform(raw)
    wells, normalised_wells, raw_wells = (
        version[~controls.mask].reset_index(drop=True) for version in (table, normalised, raw)
    )
    molecules = molecule_key(wells["Metadata_smiles"])
    screen = Screen(
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
        classes=_large_classes(wells[label], molecules),
        plate_controls=table[controls.mask].reset_index(drop=True),
        features=features,
        feature_name="intensity features" if has_images else "profile",
        has_images=has_images,
    )
    named = pd.notna(screen.classes)
    what = "intensity features of the images" if has_images else "features"
    print(
        f"{data}: {len(wells)} treated {screen.unit}s, {len(np.unique(molecules))} molecules, "
        f"{wells['Metadata_Plate'].nunique()} plates, {len(features)} {what}.\n"
        f"Controls: {controls}\n"
        f"{class_name}: {len(np.unique(screen.classes[named]))} classes with at least {FEWEST} "
        f"molecules ({len(np.unique(molecules[named]))} molecules, {named.sum()} {screen.unit}s).\n"
    )
    return screen


def _drawn(
    folder: str | PathLike[str] | None, seed: int, n_jobs: int | None
) -> tuple[pd.DataFrame, list[str]]:
    """Table of simulated images, and its intensity features."""
    if folder is None:
        raise ValueError("data='simulated' draws images: name a folder for them.")
    print(
        "A SIMULATED screen: a program draws the images, the drugs are real. Figures show how it "
        "works, not how well."
    )
    return draw_screen(Path(folder), seed, n_jobs)


def _profiles(data: str, data_home: str | None, seed: int) -> tuple[pd.DataFrame, str, str]:
    """Table of profiles, the column of classes, and what a class is."""
    if data == "simulated-profiles":
        print("A SIMULATED screen of real drugs: figures show how it works, not how well.")
        return make_profiles(random_state=seed), "Metadata_moa", "MoA"
    if data == "cpjump1":
        return load_cpjump1(data_home), "Metadata_moa_list", "MoA"
    if data == "bbbc021":
        return _with_structures(data_home), "Metadata_moa", "MoA"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        table = load_cell_injury(data_home)
    for warning in said:
        print(warning.message)
    return table, "Metadata_injury_type", "Injury class"


def _with_structures(data_home: str | None) -> pd.DataFrame:
    """Wells of BBBC021 whose compound has a public structure, and the controls."""
    table = join_bbbc021_structures(load_bbbc021_profiles(data_home), data_home)
    unknown = table["Metadata_smiles"].isna() & ~find_controls(table).mask
    names = sorted(table.loc[unknown, "Metadata_compound"].unique())
    print(
        f"Left out, for want of a public structure: {int(unknown.sum())} wells of {len(names)} "
        f"compounds, {', '.join(names)}."
    )
    return table[~unknown].reset_index(drop=True)


def _large_classes(labels: pd.Series, molecules: np.ndarray) -> np.ndarray:
    sizes = pd.Series(molecules).groupby(labels.to_numpy(object)).nunique()
    kept = set(sizes.index[sizes >= FEWEST])
    return np.array([label if label in kept else None for label in labels], dtype=object)


def make_embedder(n_pairs: int, seed: int) -> CloomeEmbedder:
    """Give an encoder of profiles smaller than the paper's, for a table of a few thousand wells.

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
