"""Retrieval by what the plate map alone tells: where a well is, and how many cells it has."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from cloome_sk._tables import match_column, shown
from cloome_sk.baselines import CellCount, PlatePosition, TanimotoKernelEmbedder
from cloome_sk.baselines.well_features import has_cell_count

PLATE, POSITION, COUNT = "plate", "well position", "cell count"


def layout_controls(
    table: pd.DataFrame, *, unseen_plates: bool
) -> tuple[dict[str, Any], list[str]]:
    """Give embedders of both modalities that look at no image and no profile.

    Each is a Tanimoto-kernel average in which the phenotype is what the plate map tells: a molecule
    is expected where the training molecules most like it are. Where molecules of a kind stand
    together, that retrieves them.

    Parameters
    ----------
    table : DataFrame, shape (n_samples, n_columns)
        All rows of a study, those of every fold.
    unseen_plates : bool
        Whether the folds are of plates. Then the well position is what carries over to test rows;
        otherwise it is the plate.

    Returns
    -------
    controls : dict of str to estimator
        ``"plate"`` or ``"well position"``, and ``"cell count"``; none for which the table has no
        column.
    lacking : list of str
        At most one note: what was left out for want of a column.

    Examples
    --------
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.layout_controls import layout_controls
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> controls, lacking = layout_controls(X, unseen_plates=False)
    >>> list(controls), lacking
    (['plate', 'cell count'], [])
    """
    made: dict[str, Any] = {}
    missing = []
    if unseen_plates:
        if _has(table, "well"):
            made[POSITION] = PlatePosition(parts=("row", "column"))
        else:
            missing.append(POSITION)
    elif _has(table, "plate"):
        # Fitted on all rows, or plates of test molecules alone would all be the same unknown one.
        frozen = FrozenEstimator(PlatePosition(parts=("plate",)).fit(table))
        made[PLATE] = make_pipeline(frozen)
    else:
        missing.append(PLATE)
    if has_cell_count(table):
        # One number has no direction; its place on a spline has.
        spline = SplineTransformer(n_knots=12, degree=2, extrapolation="constant")
        made[COUNT] = make_pipeline(CellCount(), spline)
    else:
        missing.append(COUNT)
    controls = {name: TanimotoKernelEmbedder(phenotype=place) for name, place in made.items()}
    said = f"Left out, as the table has no column for it: {shown(missing)}."
    return controls, [said] if missing else []


def _has(table: pd.DataFrame, name: str) -> bool:
    try:
        match_column(table, name, purpose="layout_controls")
    except ValueError:
        return False
    return True
