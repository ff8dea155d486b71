"""The activity study of the tables at hand: assays of compounds, and classes of a screen."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.pipeline import make_pipeline

from cloome_sk._tables import shown
from cloome_sk.baselines import MorganFeatures, PhyschemDescriptors, RandomMoleculeCodes
from cloome_sk.baselines._assay_labels import read_labels
from cloome_sk.datasets import load_assays
from cloome_sk.evaluation._activity_result import ActivityStudy
from cloome_sk.evaluation.activity import study_activity
from cloome_sk.evaluation.screens import FEWEST, Screen
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
        cv=folds,
        min_per_class=min_per_class,
        data=name,
        notes=(f"{table.DESCR} Features of the structures alone; no phenotype takes part.",),
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def assays_of_molecules(Y: pd.DataFrame, smiles: Any) -> pd.DataFrame:
    """Bring labels a molecule to rows of which many have one molecule, such as wells.

    Parameters
    ----------
    Y : DataFrame, shape (n_molecules, n_assays)
        1, 0 and NaN for not measured; the index holds structures as SMILES. Stereoisomers, salts
        and spellings of one molecule may have rows of their own.
    smiles : sequence of str, shape (n_rows,)
        Structures of the rows.

    Returns
    -------
    DataFrame of float, shape (n_rows, n_assays)
        Labels of the molecule of each row, matched by `cloome_sk.molecules.molecule_key`; NaN where
        it is not in `Y` or not measured. The index is that of `smiles` where this is a Series.

    Raises
    ------
    TypeError
        If `Y` is no DataFrame.
    ValueError
        If a structure cannot be read, labels are not 0, 1 or NaN, or no molecule is in `Y`.

    Warns
    -----
    UserWarning
        If rows of `Y` contradict each other about one molecule. Such labels are NaN.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.activity_data import assays_of_molecules
    >>> Y = pd.DataFrame({"toxic": [1.0, 0.0]}, index=["OCC", "CCN.Cl"])
    >>> assays_of_molecules(Y, ["CCN", "CCO", "CCO", "CCC"])["toxic"].tolist()
    [0.0, 1.0, 1.0, nan]
    """
    if not isinstance(Y, pd.DataFrame):
        raise TypeError(
            "assays_of_molecules: Y must be a DataFrame whose index holds SMILES; got "
            f"{type(Y).__name__}."
        )
    labels = read_labels(Y, "assays_of_molecules")
    table = pd.DataFrame(labels.dense(), columns=labels.names)
    rows = smiles.index if isinstance(smiles, pd.Series) else None
    joined, n_conflicts = _labels_of_keys(table, _keys(Y.index, "the index of Y"))
    keys = _keys(smiles, "smiles")
    if not np.isin(keys, joined.index.to_numpy(dtype=object)).any():
        raise ValueError(
            f"assays_of_molecules: none of the {len(set(keys))} molecules of smiles is among the "
            f"{len(joined)} of Y. Are they of one data set, and does the index hold their SMILES?"
        )
    if n_conflicts:
        warnings.warn(
            f"assays_of_molecules: {n_conflicts} labels, about which rows of one molecule "
            "contradict each other, are taken as not measured.",
            UserWarning,
            stacklevel=2,
        )
    found = joined.reindex(keys)
    found.index = pd.RangeIndex(len(found)) if rows is None else rows
    return found


def _keys(smiles: Any, where: str) -> np.ndarray:
    try:
        return molecule_key(smiles)
    except (TypeError, ValueError) as error:
        error.add_note(f"assays_of_molecules: in {where}.")
        raise


def _labels_of_keys(labels: pd.DataFrame, keys: np.ndarray) -> tuple[pd.DataFrame, int]:
    """A row a molecule, NaN where its rows contradict each other; and how often they do."""
    by_key = labels.groupby(keys)
    low, high = by_key.min(), by_key.max()
    contradict = low.notna() & (low != high)
    return low.mask(contradict), int(contradict.to_numpy().sum())


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
        inactive molecules of the screen, and the classes, each against the other classes. In a
        screen where nothing has as many, classes of 3, which are too few for intervals.

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
        measured, notes = measured_elsewhere(screen.molecules, data_home)
        labels = pd.concat([measured, classes], axis=1)
        kinds = ["assay measured elsewhere"] * measured.shape[1] + kinds
    n_unnamed = int(pd.isna(screen.classes).sum())
    notes.append(
        f"{screen.class_name}, one against the rest: no assay, but whether a molecule is of the "
        f"class; the {n_unnamed:,} {screen.unit}s without a class, or of one with too few "
        "molecules, are not measured."
    )
    fewest = FEWEST_OF_SCREEN
    if not (_fewest_of_a_label(labels, screen.molecules) >= fewest).any():
        fewest = FEWEST
        notes.append(
            f"Nothing has {FEWEST_OF_SCREEN} active and {FEWEST_OF_SCREEN} inactive molecules; "
            f"{fewest} of each have to do."
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
        cv=folds,
        min_per_class=fewest,
        data=screen.name,
        notes=notes,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def _fewest_of_a_label(labels: pd.DataFrame, molecules: np.ndarray) -> pd.Series:
    """How many molecules have the rarer label of each column."""
    joined = labels.groupby(molecules).max()
    return pd.concat([(joined == 1).sum(), (joined == 0).sum()], axis=1).min(axis=1)


def _one_against_rest(screen: Screen) -> pd.DataFrame:
    """A column a class: 1 in its rows, 0 in those of other classes, NaN without a class."""
    codes, names = pd.factorize(pd.Series(screen.classes), sort=True)
    values = (codes[:, None] == np.arange(len(names))).astype(float)
    values[codes < 0] = np.nan
    return pd.DataFrame(values, columns=[f"{screen.class_name}: {name}" for name in names])


def measured_elsewhere(
    molecules: np.ndarray, data_home: str | PathLike[str] | None
) -> tuple[pd.DataFrame, list[str]]:
    """Look the molecules of a screen up in the tables of assay labels.

    Parameters
    ----------
    molecules : ndarray of str, shape (n_rows,)
        Key of the molecule of each row, as `cloome_sk.molecules.molecule_key` gives it.
    data_home : path-like or None
        Data folder.

    Returns
    -------
    labels : DataFrame, shape (n_rows, n_assays)
        1, 0 and NaN: the assays with enough active and inactive molecules of the screen.
    notes : list of str
        What was found in each table, and what was not.
    """
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
        # Stereoisomers that contradict each other are no label of the molecule.
        found, n_conflicts = _labels_of_keys(assays.target[own], keys[own])
        joined = found.reindex(names)
        n_active, n_inactive = (joined == 1).sum(), (joined == 0).sum()
        kept = (n_active >= FEWEST_OF_SCREEN) & (n_inactive >= FEWEST_OF_SCREEN)
        notes.append(
            f"Of the screen's {len(names)} molecules {len(found)} are in {table!r}; "
            f"{int(kept.sum())} of its {len(kept)} assays have at least {FEWEST_OF_SCREEN} active "
            f"and {FEWEST_OF_SCREEN} inactive ones among them."
        )
        if n_conflicts:
            notes[-1] += f" {n_conflicts} labels that its rows of one molecule contradict are none."
        chosen = joined.loc[:, kept].add_prefix(f"{table}: ")
        columns.append(chosen.iloc[inverse].reset_index(drop=True))
    empty = pd.DataFrame(index=pd.RangeIndex(len(molecules)))
    return pd.concat([empty, *columns], axis=1), notes
