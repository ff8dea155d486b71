"""Fit one model on one fold, and ask it for classes and hits in all deals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk._embedding import FittedEmbedder, missing_rows
from cloome_sk._tables import row_name
from cloome_sk.baselines._fitted import embeds, unwrapped
from cloome_sk.baselines._folds import Bench
from cloome_sk.evaluation._confidence_classes import ask_classes
from cloome_sk.evaluation._confidence_hits import ask_hits, directions_of
from cloome_sk.evaluation._confidence_table import PURPOSE, ConfidenceTable
from cloome_sk.evaluation._training_seen import leakage_of, refuse_seen

EVERY_PART = "every part"
"""What the folds of a study leak is the same whatever is asked in them."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What one model answered in one fold.

    Attributes
    ----------
    model : str
        The model.
    units : DataFrame
        Scores of molecules: columns `cloome_sk.evaluation.units.UNITS`.
    predicted : DataFrame
        Confidence and success of the rows, over all deals.
    counts : DataFrame or None
        Hits of the queries; None where no molecules are embedded.
    n_calibration : int
        Molecules with a class that calibrate.
    n_blank : int
        Structures without an embedding.
    leak : dict or None
        Leakage report, where it was asked for.
    """

    model: str
    units: pd.DataFrame
    predicted: pd.DataFrame
    counts: pd.DataFrame | None
    n_calibration: int
    n_blank: int
    leak: dict[str, Any] | None


def ask(
    table: ConfidenceTable,
    bench: Bench,
    name: str,
    model: Any,
    number: int,
    n_draws: int,
    *,
    controls: Any,
    report: bool,
) -> Answer:
    """Train on one side of a fold, and deal the other."""
    try:
        return _asked(table, bench, name, model, number, n_draws, controls, report)
    except Exception as error:
        error.add_note(f"{PURPOSE}: model {name!r}, fold {number}.")
        raise


def _asked(
    table: ConfidenceTable,
    bench: Bench,
    name: str,
    model: Any,
    number: int,
    n_draws: int,
    controls: Any,
    report: bool,
) -> Answer:
    (train, pool), seed = bench.folds[number], table.seeds[number]
    known = bench.training_table(train)
    fitted = clone(model).fit(known, None)
    refuse_seen(fitted, bench.keys[pool], PURPOSE)
    trained = np.zeros(len(bench.rows), dtype=bool)
    trained[train] = True
    named = table.labelled
    inner = unwrapped(fitted)
    Z = _phenotypes(bench, inner, named | ~trained)
    units, predicted, n_calibration = ask_classes(
        name,
        Z[named],
        table.labels[named].astype(str),
        table.molecules[named],
        trained[named],
        n_draws,
        seed,
    )
    counts, n_blank = None, 0
    if embeds(fitted, "molecule"):
        # Codes of the fold, and what these molecules are called in all folds.
        names, first, of = np.unique(table.molecules[pool], return_index=True, return_inverse=True)
        M = np.asarray(inner.embed(bench.smiles[pool[first]], "molecule"))
        n_blank = len(missing_rows(M))
        directions = directions_of(Z[pool], of, M)
        rows, counts = ask_hits(name, directions, names, n_draws, seed, number)
        units += rows
    leak = None
    if report:
        test = bench.table.iloc[bench.rows[pool]]
        leak = leakage_of(
            EVERY_PART, number, known, test, "molecule", fitted=fitted, controls=controls
        )
    return Answer(name, pd.DataFrame(units), predicted, counts, n_calibration, n_blank, leak)


def _phenotypes(bench: Bench, fitted: FittedEmbedder, asked: np.ndarray) -> np.ndarray:
    """Unit vectors of the treated rows that are asked; NaN in the others."""
    rows = bench.rows[asked]
    vectors = fitted.embed(bench.table.iloc[rows], "phenotype")
    missing = missing_rows(vectors)
    if len(missing):
        raise ValueError(
            f"{PURPOSE}: {len(missing)} row(s) have no embedding, first "
            f"{row_name(bench.table, int(rows[missing[0]]))}, so nothing can be promised for them. "
            "Drop them from the table."
        )
    out = np.full((len(asked), vectors.shape[1]), np.nan)
    out[asked] = vectors
    return out
