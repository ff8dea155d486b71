"""Fit one model on one fold, and ask it everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from cloome_sk._embedding import FittedEmbedder
from cloome_sk.baselines._fitted import unwrapped
from cloome_sk.baselines._folds import Bench
from cloome_sk.evaluation._training_seen import leakage_of, refuse_seen
from cloome_sk.evaluation._zero_shot_plans import Plan
from cloome_sk.evaluation._zero_shot_scores import class_prototypes, top_hits
from cloome_sk.evaluation._zero_shot_units import Scored, scored

PURPOSE = "study_zero_shot"
EVERY_PART = "every part"
"""What the folds of a study leak is the same whatever is asked in them."""


@dataclass(frozen=True)
class Fold:
    """A fold with all that is asked in it.

    Attributes
    ----------
    number : int
        From 0.
    train, test : ndarray of intp
        Positions in the treated rows.
    plans : list of Plan
        References and queries.
    """

    number: int
    train: np.ndarray
    test: np.ndarray
    plans: list[Plan]


@dataclass(frozen=True)
class Asked:
    """What is the same for all models of a study."""

    reference: str
    tops: tuple[int, ...]
    controls: Any


def ask(
    bench: Bench, name: str, model: Any, fold: Fold, asked: Asked, *, report: bool
) -> tuple[Scored, dict[str, Any] | None]:
    """Give the scores of each query and draw, and with `report` what the fold leaks."""
    try:
        fitted = clone(model).fit(bench.training_table(fold.train), None)
        refuse_seen(fitted, bench.keys[fold.test], PURPOSE)
        leak = None
        if report:
            train = bench.training_table(fold.train)
            test = bench.table.iloc[bench.rows[fold.test]]
            leak = leakage_of(
                EVERY_PART,
                fold.number,
                train,
                test,
                "molecule",
                fitted=fitted,
                controls=asked.controls,
            )
        found = _answers(bench, unwrapped(fitted), name, fold, asked)
    except Exception as error:
        error.add_note(f"study_zero_shot: model {name!r}, fold {fold.number}.")
        raise
    return found, leak


def _answers(bench: Bench, fitted: FittedEmbedder, name: str, fold: Fold, asked: Asked) -> Scored:
    asked_for, pools = [p.queries for p in fold.plans], [p.pool for p in fold.plans]
    if asked.reference == "phenotype":
        references = phenotypes = _Vectors(bench, fitted, "phenotype", [*asked_for, *pools])
    else:
        phenotypes = _Vectors(bench, fitted, "phenotype", asked_for)
        references = _Vectors(bench, fitted, "molecule", pools)
    answers = []
    for plan in fold.plans:
        pool, queries = references.of(plan.pool), phenotypes.of(plan.queries)
        hits = np.full((len(plan.draws), len(asked.tops), len(plan.queries)), np.nan)
        if not (np.isnan(pool).any(axis=1).all() or np.isnan(queries).any(axis=1).all()):
            for draw, rows in enumerate(plan.draws):
                prototypes = class_prototypes(pool, rows)
                hits[draw] = top_hits(queries, prototypes, plan.truth, asked.tops)
        answers.append((plan, hits))
    every = phenotypes.of(np.unique(np.concatenate(asked_for)))
    blank = int(np.isnan(every).any(axis=1).sum())
    return scored(
        name, fold.number, answers, bench.keys, asked.tops, n_blank=blank, n_asked=len(every)
    )


class _Vectors:
    """Embeddings of the rows of a fold that are asked for, each computed once."""

    def __init__(
        self, bench: Bench, fitted: FittedEmbedder, modality: str, wanted: list[np.ndarray]
    ) -> None:
        self.rows = np.unique(np.concatenate(wanted))
        if modality == "phenotype":
            self.Z = fitted.embed(bench.table.iloc[bench.rows[self.rows]], "phenotype")
        else:
            self.Z = fitted.embed(bench.smiles[self.rows], "molecule")

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Unit vectors of some of the rows, NaN where there is none."""
        return self.Z[np.searchsorted(self.rows, rows)]
