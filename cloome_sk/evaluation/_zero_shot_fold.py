"""Fit one model on one fold, and ask it everything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk._embedding import FittedEmbedder
from cloome_sk._tables import shown
from cloome_sk.baselines._fitted import unwrapped
from cloome_sk.baselines._folds import Bench
from cloome_sk.evaluation._zero_shot_plans import Plan
from cloome_sk.evaluation._zero_shot_scores import class_prototypes, top_hits
from cloome_sk.evaluation.units import UNITS, leakage_row
from cloome_sk.model_selection._seen import knows_digests_only, molecules_seen, parts

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
) -> tuple[pd.DataFrame, dict[str, Any] | None]:
    """Give the scores of each query, `UNITS`, and with `report` what the fold leaks."""
    try:
        fitted = clone(model).fit(bench.training_table(fold.train), None)
        _refuse_seen(fitted, bench.keys[fold.test])
        leak = _leak(bench, fitted, fold, asked.controls) if report else None
        frames = list(_scores(bench, unwrapped(fitted), fold, asked))
    except Exception as error:
        error.add_note(f"study_zero_shot: model {name!r}, fold {fold.number}.")
        raise
    table = pd.concat(frames, ignore_index=True).assign(model=name)
    return table[UNITS], leak


def check_frozen(name: str, model: Any) -> None:
    """Refuse a model with a trained part of which nobody can say what molecules it saw."""
    # Of a clone, whose only trained parts are those that no fold trains again.
    if any(knows_digests_only(part) for part in parts(clone(model))):
        raise ValueError(
            f"study_zero_shot: model {name!r} has a part that was trained before, on precomputed "
            "molecule features, and knows no structures: it cannot be checked whether it saw the "
            "test molecules. Pass an embedder that is trained in each fold."
        )


def _refuse_seen(fitted: Any, keys: np.ndarray) -> None:
    seen = molecules_seen(fitted) & set(keys)
    if seen:
        raise ValueError(
            f"{len(seen)} of the {len(set(keys))} test molecules were in the training of this "
            f"model ({shown(sorted(seen), 5)}), so it is not without training that it names them. "
            "Pass an embedder that is trained in each fold instead of a frozen one."
        )


def _leak(bench: Bench, fitted: Any, fold: Fold, controls: Any) -> dict[str, Any]:
    """The leakage report of a fold, with what the model says that it was trained on."""
    trained = [part for part in parts(fitted) if hasattr(part, "molecules_seen_")]
    unknown = any(getattr(part, "checkpoint_sha256_", None) for part in trained)
    knows = bool(trained) and not unknown and not any(map(knows_digests_only, trained))
    row = leakage_row(
        EVERY_PART,
        fold.number,
        bench.training_table(fold.train),
        bench.table.iloc[bench.rows[fold.test]],
        "molecule",
        embedder=fitted if knows else None,
        controls=controls,
    )
    if unknown:
        row["ok"] = False
        row["sentences"] += (
            "\nThe embedder started from the weights of a checkpoint; which molecules that was "
            "trained on is not known."
        )
    return row


def _scores(
    bench: Bench, fitted: FittedEmbedder, fold: Fold, asked: Asked
) -> Iterator[pd.DataFrame]:
    asked_for, pools = [p.queries for p in fold.plans], [p.pool for p in fold.plans]
    if asked.reference == "phenotype":
        references = phenotypes = _Vectors(bench, fitted, "phenotype", [*asked_for, *pools])
    else:
        phenotypes = _Vectors(bench, fitted, "phenotype", asked_for)
        references = _Vectors(bench, fitted, "molecule", pools)
    for plan in fold.plans:
        pool, queries = references.of(plan.pool), phenotypes.of(plan.queries)
        answers = not (np.isnan(pool).any(axis=1).all() or np.isnan(queries).any(axis=1).all())
        hits = np.full((len(plan.draws), len(asked.tops), len(plan.queries)), np.nan)
        if answers:
            for draw, rows in enumerate(plan.draws):
                prototypes = class_prototypes(pool, rows)
                hits[draw] = top_hits(queries, prototypes, plan.truth, asked.tops)
        units = bench.keys[plan.queries]
        for part, counted in plan.parts.items():
            times = counted.sum(axis=0)
            there = times > 0
            sums = np.einsum("dtq,dq->tq", hits[:, :, there], counted[:, there].astype(float))
            for top, value in zip(asked.tops, sums / times[there], strict=True):
                yield pd.DataFrame(
                    {
                        "part": part,
                        "metric": f"top-{top}",
                        "unit": units[there],
                        "value": value,
                        "chance": min(1.0, top / len(plan.classes)),
                    }
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
