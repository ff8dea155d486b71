"""The activity study of the tables at hand: assays of compounds, and classes of a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline

from cloome_sk._tables import shown
from cloome_sk.baselines import MorganFeatures, PhyschemDescriptors, RandomMoleculeCodes
from cloome_sk.datasets import load_assays
from cloome_sk.evaluation._activity_result import ActivityStudy
from cloome_sk.evaluation.activity import study_activity
from cloome_sk.evaluation.screens import Screen
from cloome_sk.evaluation.trained_on_labels import SUPERVISED, network_on_labels
from cloome_sk.molecules import molecule_key

ELSEWHERE = ("hti", "chembl2k", "broad6k")
"""Assay tables that are searched for the compounds of a screen."""
FEWEST_OF_SCREEN = 5
"""Actives and inactives of an assay or class, of the few molecules of a screen."""
N_COMPONENTS = 512
NAMES = {
    "512-d": f"Morgan, truncated SVD to {N_COMPONENTS}-d",
    "morgan": "Morgan fingerprint",
    "physchem": "physicochemical descriptors",
    "random codes": "random code a molecule",
}


def activity_of_assays(
    name: str = "hti",
    features: Sequence[str] = ("512-d", "morgan", "physchem", "random codes"),
    *,
    data_home: str | PathLike[str] | None = None,
    folds: int = 5,
    min_per_class: int = 10,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ActivityStudy:
    """Probe the labels of an assay table with features of its structures: no images are needed.

    Parameters
    ----------
    name : {"hti", "broad6k", "chembl2k"}, default="hti"
        As in `cloome_sk.datasets.load_assays`.
    features : sequence of {"512-d", "morgan", "physchem", "random codes"}, default=all
        The first is the model under test. ``"512-d"`` is the Morgan fingerprint reduced to 512
        dimensions by a truncated SVD of the training molecules: as many as an embedding of CLOOME
        has, but not one. ``"random codes"`` know nothing.
    data_home : path-like, optional
        Data folder.
    folds : int, default=5
        Test folds.
    min_per_class : int, default=10
        As in `study_activity`.
    random_state : int, default=0
        Seed.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: progress.

    Returns
    -------
    ActivityStudy
        Of unseen molecules and of unseen scaffolds.

    Raises
    ------
    ValueError
        For an unknown table or unknown features.

    Examples
    --------
    >>> from cloome_sk.evaluation.activity_data import activity_of_assays
    >>> print(activity_of_assays("hti", n_jobs=2).report())  # doctest: +SKIP
    """
    if name not in ELSEWHERE:
        raise ValueError(f"name must be one of {', '.join(map(repr, ELSEWHERE))}; got {name!r}.")
    unknown = [kind for kind in features if kind not in NAMES]
    if not features or unknown:
        raise ValueError(
            f"features must be of {', '.join(map(repr, NAMES))}; got {shown(list(features))}."
        )
    table = load_assays(name, data_home)
    smiles = table.data["smiles"]
    made: dict[str, Any] = {
        "512-d": lambda: make_pipeline(
            MorganFeatures(), TruncatedSVD(N_COMPONENTS, random_state=random_state)
        ),
        "morgan": lambda: MorganFeatures().fit_transform(table.data),
        "physchem": lambda: PhyschemDescriptors().fit_transform(table.data),
        "random codes": lambda: RandomMoleculeCodes(random_state=random_state).fit_transform(
            table.data
        ),
    }
    return study_activity(
        {NAMES[kind]: made[kind]() for kind in features},
        table.target,
        smiles,
        X=table.data,
        controls=None,
        standardize=[NAMES["physchem"]] if "physchem" in features else [],
        folds=folds,
        min_per_class=min_per_class,
        data=name,
        notes=(f"{table.DESCR} Features of the structures alone; no phenotype takes part.",),
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def activity_of_screen(
    screen: Screen,
    *,
    data_home: str | PathLike[str] | None = None,
    folds: int = 5,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ActivityStudy:
    """Probe embeddings of a screen's phenotypes for assays measured elsewhere and for its classes.

    Parameters
    ----------
    screen : Screen
        From `load_screen`.
    data_home : path-like, optional
        Data folder with the assay tables. A simulated phenotype has nothing to do with real assays:
        they are not looked up for one.
    folds : int, default=5
        Test folds.
    random_state : int, default=0
        Seed.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: progress.

    Returns
    -------
    ActivityStudy
        Of each kind of label: assays measured elsewhere, where an assay has at least 5 active and 5
        inactive molecules of the screen, and the classes, each against the other classes.

    Raises
    ------
    ValueError
        If neither has enough molecules.

    Examples
    --------
    >>> from cloome_sk.evaluation import load_screen
    >>> from cloome_sk.evaluation.activity_data import activity_of_screen
    >>> screen = load_screen("cpjump1", None, 0)  # doctest: +SKIP
    >>> print(activity_of_screen(screen).report())  # doctest: +SKIP
    """
    wells = screen.wells
    classes = _one_against_rest(screen)
    kinds = [f"{screen.class_name}, one against the rest"] * classes.shape[1]
    if screen.name.startswith("simulated"):
        labels, notes = classes, ["Assays of real compounds say nothing of simulated phenotypes."]
    else:
        measured, notes = _measured_elsewhere(screen.molecules, data_home)
        labels = pd.concat([measured, classes], axis=1)
        kinds = ["assay measured elsewhere"] * measured.shape[1] + kinds
    n_unnamed = int(pd.isna(screen.classes).sum())
    notes.append(
        f"{screen.class_name}, one against the rest: no assay, but whether a molecule is of the "
        f"class; the {n_unnamed:,} {screen.unit}s without a class, or of one with too few "
        "molecules, are not measured."
    )
    smiles = wells["Metadata_smiles"]
    structures = pd.DataFrame({"smiles": smiles.to_numpy(dtype=object)})
    embedder = screen.make_embedder(round(len(wells) * (1 - 1 / folds)), random_state)
    notes.append(
        f"{SUPERVISED}: the phenotype network of CLOOME, trained as long on all labels of the "
        "training molecules at once; then probed as the others are."
    )
    models: Mapping[str, Any] = {
        "CLOOME": embedder,
        SUPERVISED: network_on_labels(embedder, list(labels.columns)),
        screen.feature_name: wells[screen.features].to_numpy(dtype=np.float64),
        NAMES["morgan"]: MorganFeatures().fit_transform(structures),
        NAMES["physchem"]: PhyschemDescriptors().fit_transform(structures),
        NAMES["random codes"]: RandomMoleculeCodes(random_state=random_state).fit_transform(
            structures
        ),
    }
    return study_activity(
        models,
        labels,
        smiles,
        X=pd.concat([wells, labels], axis=1),
        kinds=kinds,
        standardize=[screen.feature_name, NAMES["physchem"]],
        folds=folds,
        min_per_class=FEWEST_OF_SCREEN,
        data=screen.name,
        notes=notes,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def _one_against_rest(screen: Screen) -> pd.DataFrame:
    """A column a class: 1 in its rows, 0 in those of other classes, NaN without a class."""
    codes, names = pd.factorize(pd.Series(screen.classes), sort=True)
    values = (codes[:, None] == np.arange(len(names))).astype(float)
    values[codes < 0] = np.nan
    return pd.DataFrame(values, columns=[f"{screen.class_name}: {name}" for name in names])


def _measured_elsewhere(
    molecules: np.ndarray, data_home: str | PathLike[str] | None
) -> tuple[pd.DataFrame, list[str]]:
    """Labels of the molecules of a screen in the assay tables, a row for each of its rows."""
    names, inverse = np.unique(molecules.astype(str), return_inverse=True)
    columns, notes = [], []
    for table in ELSEWHERE:
        try:
            assays = load_assays(table, data_home)
        except FileNotFoundError:
            notes.append(f"Assays of {table!r} were not looked up: the table is not there.")
            continue
        keys = molecule_key(assays.data["smiles"])
        own = np.isin(keys, names)
        by_key = assays.target[own].groupby(keys[own])
        low, high = by_key.min(), by_key.max()
        # Stereoisomers that contradict each other are no label of the molecule.
        joined = low.where(low == high).reindex(names)
        n_active, n_inactive = (joined == 1).sum(), (joined == 0).sum()
        kept = (n_active >= FEWEST_OF_SCREEN) & (n_inactive >= FEWEST_OF_SCREEN)
        notes.append(
            f"Of the screen's {len(names)} molecules {len(low)} are in {table!r}; "
            f"{int(kept.sum())} of its {len(kept)} assays have at least {FEWEST_OF_SCREEN} active "
            f"and {FEWEST_OF_SCREEN} inactive ones among them."
        )
        chosen = joined.loc[:, kept].add_prefix(f"{table}: ")
        columns.append(chosen.iloc[inverse].reset_index(drop=True))
    empty = pd.DataFrame(index=pd.RangeIndex(len(molecules)))
    return pd.concat([empty, *columns], axis=1), notes
