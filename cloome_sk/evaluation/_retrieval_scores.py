"""One model on one fold: fitted once, its test rows embedded once, and ranked in both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk.baselines._fitted import pooled, unwrapped
from cloome_sk.baselines._scores import ranked
from cloome_sk.evaluation._retrieval_splits import PURPOSE, SAMPLE, Part, Split
from cloome_sk.evaluation._training_seen import leakage_of, refuse_seen
from cloome_sk.evaluation.units import UNITS
from cloome_sk.model_selection._seen import parts

POOLED, ONE_IMAGE = "pooled", "one image"
IN_SAMPLE = f" in {SAMPLE}"
RELATIVE_RANK = "relative rank"
SCORED = [*UNITS, "of", "fold", "silent"]
"""Scores, the part of the split, the fold, and whether the model has no embedding at all there."""


def score_fold(
    split: Split, name: str, model: Any, number: int, *, report: bool
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Scores of the test molecules of a fold, and its leakage reports where they are asked for."""
    try:
        return _scored(split, name, model, number, report)
    except Exception as error:
        error.add_note(
            f"{PURPOSE}: split {split.name!r}, model {name!r}, fold {number} of "
            f"{len(split.bench.folds)}."
        )
        raise


def _scored(
    split: Split, name: str, model: Any, number: int, report: bool
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    bench = split.bench
    here = [part for part in split.parts if len(part.tested[number])]
    if not here:
        return pd.DataFrame(columns=SCORED), []
    train = bench.training_table(bench.folds[number][0])
    fitted = clone(model).fit(train, None)
    frames, leaks = [], []
    for part in here:
        rows = part.tested[number]
        if "molecule" in part.claim:
            refuse_seen(fitted, bench.keys[rows], PURPOSE)
        test = bench.table.iloc[bench.rows[rows]]
        for way, direction, found in _both_ways(
            fitted, test, bench.keys[rows], bench.smiles[rows], part, number
        ):
            named = {"part": f"{part.name}, {way}: {direction}", "model": name}
            frames.append(found.assign(**named, of=part.name, fold=number))
        if report:
            leaks.append(_leak(split, part, number, train, test, fitted))
    return pd.concat(frames, ignore_index=True)[SCORED], leaks


def _both_ways(
    model: Any, test: pd.DataFrame, keys: np.ndarray, smiles: np.ndarray, part: Part, number: int
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Way, direction and scores."""
    fitted = unwrapped(model)
    codes, names = pd.factorize(keys)
    first = np.unique(codes, return_index=True)[1]
    Z = fitted.embed(test, "phenotype")
    molecules = np.asarray(fitted.embed(smiles[first], "molecule"))
    for direction, found in _directions(pooled(Z, codes), molecules, names, part.sampled):
        yield POOLED, direction, found
    # Where rows are encoded together, one of many knows the others of its bag: it goes in alone.
    together = any(getattr(inner, "pools", False) for inner in parts(model))
    drawn: dict[str, list[pd.DataFrame]] = {}
    for draw in part.draws[number]:
        alone = fitted.embed(test.iloc[draw], "phenotype") if together else Z[draw]
        for direction, found in _directions(alone, molecules, names, part.sampled):
            drawn.setdefault(direction, []).append(found)
    for direction, all_found in drawn.items():
        yield ONE_IMAGE, direction, mean_of_draws(all_found)


def _directions(
    phenotypes: np.ndarray, molecules: np.ndarray, names: np.ndarray, sampled: bool
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Scores of each molecule among all others, from the one modality to the other and back.

    Where a whole side has no embedding, all candidates are tied, and ``silent`` says so.
    """
    units = np.asarray(names, dtype=object)
    silent = any(np.isnan(side).any(axis=1).all() for side in (phenotypes, molecules))
    if silent:
        phenotypes, molecules = (np.ones((len(side), 1)) for side in (phenotypes, molecules))
    for direction, query, database in (
        ("phenotype to molecule", phenotypes, molecules),
        ("molecule to phenotype", molecules, phenotypes),
    ):
        found = ranked(direction, units, query, database)
        found["metric"] = found["metric"].str.removesuffix(f" {direction}")
        if sampled:
            few = ranked(direction, units, query, database, n_candidates_sampled=SAMPLE)
            few["metric"] = few["metric"].str.removesuffix(f" {direction}")
            few = few[few["metric"] != RELATIVE_RANK]
            few = few.assign(metric=few["metric"] + IN_SAMPLE)
            found = pd.concat([found, few], ignore_index=True)
        yield direction, found.assign(silent=silent)


def mean_of_draws(found: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean over draws; silent only where every draw is."""
    means = (
        pd.concat(found)
        .groupby(["metric", "unit"], sort=False, as_index=False)[["value", "chance"]]
        .mean()
    )
    return means.assign(silent=all(one["silent"].all() for one in found))


def settled(scored: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave silence be where a model has no answer in any fold, and count it as ties in others.

    A fold that is left out, since a model can do nothing with it, would leave the easier ones.

    Parameters
    ----------
    scored : DataFrame
        Columns `SCORED`, of all folds.

    Returns
    -------
    units : DataFrame
        Columns `cloome_sk.evaluation.units.UNITS`; NaN where a model has no answer in any fold.
    notes : list of str
        In how many folds, and of how many molecules, all candidates are tied; who has no answer.
    """
    silent = scored["silent"].astype(bool)
    never = silent.groupby([scored["part"], scored["model"]]).transform("all")
    units = scored[UNITS].copy()
    units[["value", "chance"]] = units[["value", "chance"]].mask(never)
    units["unit"] = units["unit"].mask(never, None)
    notes = []
    n_folds = scored.groupby("of")["fold"].nunique().to_dict()
    for (of, model), rows in scored[silent & ~never].groupby(["of", "model"], sort=False):
        notes.append(
            f"{of}: {model} has no embedding at all in {rows['fold'].nunique()} of {n_folds[of]} "
            f"folds ({rows['unit'].nunique():,} molecules), where all candidates are tied."
        )
    for name, rows in scored[never].groupby("model", sort=False):
        where = ", ".join(dict.fromkeys(rows["of"]))
        notes.append(f"{name!s} has no embedding in any fold, and so no answer: {where}.")
    return units, notes


def _leak(
    split: Split, part: Part, number: int, train: pd.DataFrame, test: pd.DataFrame, fitted: Any
) -> dict[str, Any]:
    """The leakage report of a part of a fold, and how many rows keep the place of their molecule.

    That a position is used on another plate is shared by all full plates; it names a molecule where
    that molecule was there, too.
    """
    train, test, controls, remarks = split.leakage_tables(train, test, part.claim)
    row = leakage_of(part.name, number, train, test, part.claim, fitted=fitted, controls=controls)
    same = split.n_at_same_position(part, number)
    if same is not None:
        remarks = [
            f"{same:,} of {len(part.tested[number]):,} test rows are at a well position where a "
            "training plate has the same molecule.",
            *remarks,
        ]
    return row | {"sentences": "\n".join([row["sentences"], *remarks])}
