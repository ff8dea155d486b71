"""The controls that every claim is shown with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import SplineTransformer

import cloome_sk.baselines.classifiers as rows
from cloome_sk._tables import Columns, match_column, shown
from cloome_sk.baselines._folds import TASKS
from cloome_sk.baselines.crossmodal import CCAEmbedder, RidgeEmbedder, TanimotoKernelEmbedder
from cloome_sk.baselines.embedder_controls import ShuffledPairs, with_random_codes
from cloome_sk.baselines.identity import CompoundLDAEmbedder, ProfileEmbedder
from cloome_sk.baselines.molecule_features import MorganFeatures
from cloome_sk.baselines.profile_features import ProfileFeatures
from cloome_sk.baselines.tanimoto import TanimotoNeighborsClassifier
from cloome_sk.baselines.untrained import UntrainedEmbedder
from cloome_sk.baselines.well_features import CellCount, PlatePosition, has_cell_count


def default_controls(
    task: str,
    *,
    table: pd.DataFrame | None = None,
    embedder: Any = None,
    within: str | None = None,
    columns: Columns = None,
    random_state: Any = None,
) -> dict[str, Any]:
    """Name the controls of a task, as `compare` takes them.

    Parameters
    ----------
    task : {"unseen_molecules", "unseen_plates", "classes"}
        As in `compare`.
    table : DataFrame, optional
        The table to be compared on. Controls that need columns it does not have (a cell count,
        plate and well) are left out, with a warning. None: all.
    embedder : CloomeEmbedder, or Pipeline that ends in one, optional
        The model under test. With it come the controls that take one thing away from it: training,
        the right pairs, the chemistry. Each costs as much as the model, the untrained one apart.
    within : str, optional
        A column of class labels: adds the embedder trained on pairs permuted within these classes.
    columns : str, list of str, int, list of int, slice, mask, callable or None, default=None
        The numeric columns that the controls take as the profile. None takes those named as
        CellProfiler does; for a table of images, those that `IntensityProfiles` adds.
    random_state : int, RandomState or None, default=None
        Seed of random codes and permutations.

    Returns
    -------
    dict of str to estimator
        Unfitted, by name.

    Raises
    ------
    ValueError
        For an unknown task, or `within` without an embedder.
    TypeError
        If `embedder` is none of what it may be.

    Warns
    -----
    UserWarning
        If controls were left out.

    Examples
    --------
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.baselines import default_controls
    >>> list(default_controls("unseen_molecules", embedder=CloomeEmbedder()))
    ['Tanimoto-kernel average', 'ridge to profile', 'ridge to fingerprint', 'CCA', \
'random molecule codes', 'pairs shuffled', 'molecules shuffled', 'untrained encoder']
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(map(repr, TASKS))}, got {task!r}.")
    if within is not None and embedder is None:
        raise ValueError("default_controls: within= permutes the pairs of an embedder; pass one.")
    made: dict[str, Any] = {
        "unseen_molecules": _of_unseen_molecules,
        "unseen_plates": _of_unseen_plates,
        "classes": _of_classes,
    }[task](columns)
    if table is not None:
        _leave_out(made, table)
    if embedder is not None:
        for name, control in _of_embedder(embedder, within, random_state).items():
            made[name] = rows.linear_probe(control) if task == "classes" else control
    return made


def _of_unseen_molecules(columns: Columns) -> dict[str, Any]:
    profile = ProfileFeatures(columns)
    return {
        "Tanimoto-kernel average": TanimotoKernelEmbedder(phenotype=profile),
        "ridge to profile": RidgeEmbedder(phenotype=profile),
        "ridge to fingerprint": RidgeEmbedder("fingerprint", phenotype=profile),
        "CCA": CCAEmbedder(phenotype=profile),
    }


def _of_unseen_plates(columns: Columns) -> dict[str, Any]:
    # One number has no direction; its place on a spline has.
    spline = SplineTransformer(n_knots=12, degree=2, extrapolation="constant")
    profile = ProfileFeatures(columns)
    return {
        "cell count": ProfileEmbedder(phenotype=make_pipeline(CellCount(), spline)),
        "well position": ProfileEmbedder(phenotype=PlatePosition(parts=("row", "column"))),
        "profile": ProfileEmbedder(phenotype=profile),
        "sphered profile": ProfileEmbedder(phenotype=ProfileFeatures(columns, sphering=True)),
        "LDA on compound labels": CompoundLDAEmbedder(phenotype=profile),
        **_of_unseen_molecules(columns),
    }


def _of_classes(columns: Columns) -> dict[str, Any]:
    profile = ProfileFeatures(columns)
    return {
        "chance": rows.chance_classifier(),
        "cell count": rows.cell_count_classifier(),
        "plate and well position": rows.position_classifier(),
        "physchem + LR": rows.physchem_classifier(),
        "Morgan + LR": rows.morgan_classifier(),
        "Tanimoto nearest neighbours": TanimotoNeighborsClassifier(),
        "profile + LR": rows.linear_probe(profile),
        "sphered profile + LR": rows.linear_probe(ProfileFeatures(columns, sphering=True)),
        "profile and Morgan, concatenated": rows.concatenation_classifier(
            {"profile": profile, "morgan": MorganFeatures()}
        ),
        "profile and Morgan, late fusion": rows.late_fusion_classifier(
            {"profile": rows.linear_probe(profile), "morgan": rows.morgan_classifier()}
        ),
    }


def _leave_out(made: dict[str, Any], table: pd.DataFrame) -> None:
    """Drop the controls whose columns a table does not have, and say so."""
    lacking = [] if has_cell_count(table) else ["cell count"]
    lacking += [] if _has(table, "well") else ["well position", "plate and well position"]
    if not _has(table, "plate"):
        lacking.append("plate and well position")
    left_out = [name for name in made if name in lacking]
    for name in left_out:
        del made[name]
    if left_out:
        warnings.warn(
            f"default_controls: left out, as the table has no column for it: {shown(left_out)}.",
            stacklevel=3,
        )


def _has(table: pd.DataFrame, name: str) -> bool:
    try:
        match_column(table, name, purpose="default_controls")
    except ValueError:
        return False
    return True


def _of_embedder(embedder: Any, within: str | None, random_state: Any) -> dict[str, Any]:
    def swapped(change: Callable[[Any], Any]) -> Any:
        """The embedder, or the last step of a pipeline, changed."""
        if not isinstance(embedder, Pipeline):
            return change(clone(embedder))
        whole = clone(embedder)
        name, last = whole.steps[-1]
        return Pipeline([*whole.steps[:-1], (name, change(last))])

    def shuffled(level: str, within: str | None = None) -> Any:
        return swapped(
            lambda inner: ShuffledPairs(
                inner, level=level, within=within, random_state=random_state
            )
        )

    controls = {
        "random molecule codes": swapped(
            lambda inner: with_random_codes(inner, random_state=random_state)
        ),
        "pairs shuffled": shuffled("pair"),
        "molecules shuffled": shuffled("molecule"),
    }
    if within is not None:
        controls["molecules shuffled within class"] = shuffled("molecule", within)
    return {**controls, "untrained encoder": swapped(UntrainedEmbedder)}
