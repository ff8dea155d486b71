"""One model on one fold: fitted once, its test rows embedded once, and ranked in both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk.baselines._fitted import pooled, unwrapped
from cloome_sk.baselines._scores import ranked
from cloome_sk.baselines.comparison import _refuse_seen
from cloome_sk.evaluation._retrieval_splits import SAMPLE, Part, Split
from cloome_sk.evaluation.units import UNITS, leakage_row
from cloome_sk.model_selection._seen import knows_digests_only, parts

POOLED, ONE_IMAGE = "pooled", "one image"
IN_SAMPLE = f" in {SAMPLE}"
RELATIVE_RANK = "relative rank"


def score_fold(
    split: Split, name: str, model: Any, number: int, *, report: bool
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Scores of the test molecules of a fold, and its leakage reports where they are asked for."""
    try:
        return _scored(split, name, model, number, report)
    except Exception as error:
        error.add_note(
            f"study_retrieval: split {split.name!r}, model {name!r}, fold {number} of "
            f"{len(split.bench.folds)}."
        )
        raise


def _scored(
    split: Split, name: str, model: Any, number: int, report: bool
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    bench = split.bench
    here = [part for part in split.parts if len(part.tested[number])]
    if not here:
        return pd.DataFrame(columns=UNITS), []
    train = bench.training_table(bench.folds[number][0])
    fitted = clone(model).fit(train, None)
    frames, leaks = [], []
    for part in here:
        rows = part.tested[number]
        if "molecule" in part.claim:
            _refuse_seen(fitted, bench.keys[rows])
        test = bench.table.iloc[bench.rows[rows]]
        for way, direction, found in _both_ways(
            fitted, test, bench.keys[rows], bench.smiles[rows], part, number
        ):
            frames.append(found.assign(part=f"{part.name}, {way}: {direction}", model=name))
        if report:
            leaks.append(leakage_of(split, part, number, train, test, fitted))
    return pd.concat(frames, ignore_index=True)[UNITS], leaks


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
    """Scores of each molecule among all others, from the one modality to the other and back."""
    units = np.asarray(names, dtype=object)
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
        yield direction, found


def mean_of_draws(found: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean over draws. In a draw none of whose rows has an embedding all candidates are tied."""
    answered = [one for one in found if one["unit"].notna().all()]
    if not answered:
        return found[0]
    means = (
        pd.concat(answered)
        .groupby(["metric", "unit"], sort=False, as_index=False)[["value", "chance"]]
        .mean()
    )
    share = len(answered) / len(found)
    means["value"] = share * means["value"] + (1.0 - share) * means["chance"]
    return means


def leakage_of(
    split: Split, part: Part, number: int, train: pd.DataFrame, test: pd.DataFrame, model: Any
) -> dict[str, Any]:
    """The leakage report of a part of a fold, with what the fitted model says it has seen."""
    learned = [inner for inner in parts(model) if hasattr(inner, "molecules_seen_")]
    started = [sha for inner in learned if (sha := getattr(inner, "checkpoint_sha256_", None))]
    claims_molecules = "molecule" in part.claim
    # Without a structure to compare, what the model has seen is what its training table holds.
    silent = not learned or any(map(knows_digests_only, learned))
    silent = silent or (bool(started) and claims_molecules)
    train, test, controls = split.leakage_tables(train, test)
    row = leakage_row(
        part.name,
        number,
        train,
        test,
        part.claim,
        embedder=None if silent else model,
        controls=controls,
    )
    if started and claims_molecules:
        unknown = (
            f"The model starts from weights of a checkpoint (SHA-256 {started[0][:8]}...), and "
            "which molecules that was trained on is not known: the claim is not shown to hold."
        )
        row |= {"ok": False, "sentences": f"{unknown}\n{row['sentences']}"}
    return row
