"""Whether compounds that are picked by predicted phenotypes cover more of the measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk._tables import Columns
from cloome_sk.evaluation._library_asked import (
    checked_budgets,
    checked_clusters,
    checked_designers,
    checked_kinds,
    checked_names,
    notes_of,
    passing_filters,
)
from cloome_sk.evaluation._library_items import (
    Items,
    cluster_labels,
    near_items,
    term_items,
)
from cloome_sk.evaluation._library_measured import PURPOSE, SPLITS, Measured, read_measured
from cloome_sk.evaluation._library_orders import (
    CEILING,
    RANDOM,
    orders_of_split,
)
from cloome_sk.evaluation._library_result import CURVES, PICKS, LibrarySelectionStudy
from cloome_sk.evaluation._library_scores import differences_over_splits, scores_over_splits
from cloome_sk.evaluation._training_seen import check_trained_before, leakage_of
from cloome_sk.evaluation.annotations import Terms
from cloome_sk.evaluation.units import LEAKAGE
from cloome_sk.library import LibraryDesigner

MECHANISMS, NEW_MECHANISMS = "mechanisms", "new mechanisms"
CLUSTERS, NEW_PHENOTYPES = "phenotype clusters", "new phenotypes"
KEYS = ["split", "budget", "metric", "model", "unit"]


def study_library_selection(
    X: pd.DataFrame,
    models: Mapping[str, Any],
    *,
    designer: LibraryDesigner | Mapping[str, LibraryDesigner] | None = None,
    model: str | None = None,
    mechanism: str | None = None,
    separator: str = "|",
    features: Columns = None,
    smiles: str | None = None,
    splits: str | Sequence[str] = "molecule",
    n_splits: int = 10,
    deck_share: float = 0.5,
    budgets: Sequence[int] = (5, 10, 20, 40),
    n_clusters: int | None = None,
    radius: float | None = None,
    activity_p: float | None = 0.05,
    n_random: int = 200,
    controls: Any = "auto",
    data: str = "wells",
    notes: Sequence[str] = (),
    confidence: float = 0.95,
    random_state: int = 0,
    verbose: int = 0,
) -> LibrarySelectionStudy:
    r"""Hold back measured compounds, pick from them by structure, and count what the picks cover.

    Again and again, the compounds of a screen are divided into a deck and candidates. Models are
    trained on the deck's wells only; the designer picks candidates from their structures; then
    their wells are looked at. Beside it: RDKit's MaxMin picker on fingerprints, random picks, the
    same designer with measured phenotypes in place of predicted ones (compounds without any come
    last), and a ceiling that knows what there is to cover.

    Parameters
    ----------
    X : DataFrame, shape (n_wells, n_columns)
        Wells with profiles that are comparable between plates
        (`cloome_sk.preprocessing.ControlNormalizer`). Negative controls are trained with, and are
        never candidates.
    models : mapping of str to estimator
        What predicts phenotypes: ``fit(X)`` and ``embed_molecules``, such as `CloomeEmbedder` or
        `cloome_sk.baselines.TanimotoKernelEmbedder`. Cloned and trained for each split.
    designer : LibraryDesigner, mapping of str to LibraryDesigner, or None, default=None
        How to pick; its embedder is replaced. Several are each combined with each model. None is
        ``LibraryDesigner()``. In every way of picking, candidates are those that pass the filters
        of all designers.
    model : str, optional
        The way of picking under test, the first by default: the name of a model, and with several
        designers ``"model, designer"``.
    mechanism : str, optional
        The column of known mechanisms. Without it, figures that need them are left out.
    separator : str, default="|"
        Stands between several mechanisms of a compound.
    features : columns, optional
        The profile, by name or position; by default columns named as CellProfiler's features.
    smiles : str, optional
        The column of structures; by default the one named ``smiles``.
    splits : {"molecule", "scaffold", "mechanism"} or sequence of these, default="molecule"
        What deck and candidates do not share. With ``"mechanism"``, mechanisms of candidates are
        unknown to the deck: compounds that share one, directly or by way of others, stay together.
    n_splits : int, default=10
        Random divisions of each kind (>= 2).
    deck_share : float, default=0.5
        Share of the molecules, scaffolds or mechanisms that are the deck, in (0, 1).
    budgets : sequence of int, default=(5, 10, 20, 40)
        Numbers of picks, ascending; a curve over them.
    n_clusters : int, optional
        Clusters of measured profiles; by default as many as there are mechanisms, or the root of
        the number of compounds.
    radius : float, optional
        1 − cosine up to which two measured phenotypes are one; by default that of replicates: the
        median, over compounds with a phenotype, of the distance of a well to the other wells.
    activity_p : float or None, default=0.05
        A compound has a phenotype where its wells are more alike than all but this share of as
        many wells grouped at random (estimated from the upper tail of their distances, since in the
        lower one are those that share a phenotype); others cover nothing, and so do compounds of
        one well. None: all have one.
    n_random : int, default=200
        Random picks of each split (>= 20), for how far single random libraries vary.
    controls : "auto", (column, value or values) or None, default="auto"
        Which rows are negative controls (`cloome_sk.preprocessing.find_controls`).
    data : str, default="wells"
        Name of the data.
    notes : sequence of str, default=()
        More to say of how it was measured.
    confidence : float, default=0.95
        Coverage of the intervals.
    random_state : int, default=0
        Seed of splits, clusters and random picks.
    verbose : int, default=0
        Above 0: show a progress bar.

    Returns
    -------
    LibrarySelectionStudy
        Of each kind of split, budget and way of picking, over picks that have a phenotype:
        ``new mechanisms`` (distinct ones that no compound of the deck shows), ``mechanisms``
        (distinct ones), ``phenotype clusters`` (distinct ones, of measured profiles) and ``new
        phenotypes``: of the candidates whose measured phenotype lies farther than `radius` from all
        of the deck, the share that lies within it of a pick. The headline is ``new mechanisms``
        where all splits have some, else ``new phenotypes``. Chance is exact. What there is nothing
        of to cover in a split is left out there.

    Raises
    ------
    TypeError
        If X is no DataFrame, `models` no mapping, or a designer no LibraryDesigner.
    ValueError
        If columns are missing, structures or profiles cannot be used, a split has fewer candidates
        than the largest budget, a model saw candidates in training, a number is out of range, names
        are taken or not told apart, or a designer takes its quality from a column.

    Notes
    -----
    Random picks miss an item that :math:`k` of :math:`N` candidates cover with probability
    :math:`\binom{N-k}{b} / \binom{N}{b}` at budget :math:`b`, which gives chance without draws.

    Splits share compounds: intervals and p are those of the corrected resampled t-test [1]_, whose
    variance does not go to 0 with the number of splits. They say how far another division of these
    compounds would move a figure, and do not cover another screen or another clustering.

    References
    ----------
    .. [1] Nadeau & Bengio, "Inference for the generalization error", Machine Learning 52:239-281
       (2003).

    Examples
    --------
    >>> from cloome_sk.baselines import TanimotoKernelEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.library_selection import study_library_selection
    >>> from cloome_sk.preprocessing import ControlNormalizer
    >>> X = ControlNormalizer().fit_transform(make_profiles(48, random_state=0))  # simulated
    >>> found = study_library_selection(X, {"kernel": TanimotoKernelEmbedder()}, mechanism="moa",
    ...                                 budgets=[4, 8], n_splits=3)
    >>> curve = found.curves.set_index(["metric", "model", "budget"])["value"]
    >>> bool(curve["mechanisms", "ceiling", 4] >= curve["mechanisms", "kernel", 4])
    True
    """
    if not isinstance(models, Mapping):
        raise TypeError(
            f"{PURPOSE}: models is a dict of names and embedders, got {type(models).__name__}."
        )
    designers = checked_designers(designer)
    kinds = checked_kinds(splits)
    budgets = checked_budgets(
        budgets,
        radius,
        n_splits=n_splits,
        n_random=n_random,
        deck_share=deck_share,
        confidence=confidence,
        activity_p=activity_p,
    )
    tested = _tested(model, checked_names(models, designers))
    for name, estimator in models.items():
        check_trained_before(name, estimator, PURPOSE)
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    found = read_measured(
        X, features, smiles, mechanism, separator, controls, radius, activity_p, seed
    )
    passing = passing_filters(found.smiles, designers)
    n_clusters = checked_clusters(n_clusters, found)
    clusters = cluster_labels(found.profiles, n_clusters, seed)
    units: list[dict[str, Any]] = []
    picks: list[pd.DataFrame] = []
    leakage: list[dict[str, Any]] = []
    short: dict[str, int] = {}
    sides_of = {kind: list(found.split(kind, n_splits, deck_share, seed)) for kind in kinds}
    _check_sizes(sides_of, passing, budgets[-1])
    from tqdm.auto import tqdm

    bar = tqdm(total=len(kinds) * n_splits, desc="Splits", disable=not verbose)
    for kind in kinds:
        for fold, (deck, every) in enumerate(sides_of[kind]):
            held = every[passing[every]]
            orders, trained = orders_of_split(models, designers, found, deck, held, budgets[-1])
            claim = "scaffold" if kind == "scaffold" else "molecule"
            sides = (found.wells(deck, controls=True), found.wells(held, controls=False))
            for name, fitted in trained.items():
                part = f"{SPLITS[kind]}, {name}"
                leakage.append(
                    leakage_of(part, fold, *sides, claim, fitted=fitted, controls=controls)
                )
            generator = np.random.default_rng([seed, kinds.index(kind), fold])
            draws = [generator.permutation(len(held))[: budgets[-1]] for _ in range(n_random)]
            for items in _items(found, deck, held, clusters):
                values = {name: items.covered(order, budgets) for name, order in orders.items()}
                spread = np.array([items.covered(draw, budgets) for draw in draws])
                values[RANDOM] = spread.mean(axis=0)
                values[CEILING] = items.covered(items.ceiling(budgets[-1]), budgets)
                band = np.quantile(spread, [0.025, 0.975], axis=0)
                chance = items.expected(budgets)
                units += [
                    {
                        **{"split": SPLITS[kind], "metric": items.name, "model": name},
                        **{"unit": fold, "budget": budget, "value": own[at], "chance": chance[at]},
                        **{"draws_low": band[0, at], "draws_high": band[1, at]},
                    }
                    for name, own in values.items()
                    for at, budget in enumerate(budgets)
                ]
            picks += [
                _picks_table(found, held[order], clusters, SPLITS[kind], fold, name)
                for name, order in orders.items()
            ]
            for name, order in orders.items():
                if len(order) < budgets[-1]:
                    short[name] = short.get(name, 0) + 1
            bar.update()
    bar.close()
    if not units:
        raise ValueError(
            f"{PURPOSE}: no candidate of any split has a phenotype: there is nothing to cover."
        )
    sizes = {SPLITS[kind]: [(len(a), len(b)) for a, b in own] for kind, own in sides_of.items()}
    every_size = [one for own in sizes.values() for one in own]
    # A figure that some splits do not have says less than one that all have.
    n_with_new = len(
        {(row["split"], row["unit"]) for row in units if row["metric"] == NEW_MECHANISMS}
    )
    return _result(
        pd.DataFrame(units),
        tested,
        # Of all held-back compounds: filters take no compound from one side to the other.
        ratios={
            kind: float(np.mean([n_held / n_deck for n_deck, n_held in own]))
            for kind, own in sizes.items()
        },
        confidence=confidence,
        data=data,
        leakage=pd.DataFrame(leakage, columns=LEAKAGE),
        picks=pd.concat(picks, ignore_index=True)[PICKS],
        notes=(
            *notes,
            *notes_of(
                *(found, kinds, every_size, passing, short, designers),
                *(n_splits, n_clusters, n_random),
            ),
        ),
        headline=NEW_MECHANISMS if n_with_new == len(every_size) else NEW_PHENOTYPES,
    )


def _items(
    found: Measured, deck: np.ndarray, held: np.ndarray, clusters: np.ndarray
) -> list[Items]:
    """What there is to cover in one split, by compounds that have a phenotype."""
    out = []
    nothing: Terms = frozenset()
    if found.terms is not None:
        shown = [own if on else nothing for own, on in zip(found.terms, found.active, strict=True)]
        own = [shown[row] for row in held]
        known = nothing.union(*(shown[row] for row in deck))
        out += [term_items(NEW_MECHANISMS, own, known), term_items(MECHANISMS, own)]
    groups = [frozenset([str(clusters[row])]) if found.active[row] else nothing for row in held]
    out.append(term_items(CLUSTERS, groups))
    seen = found.profiles[deck[found.active[deck]]]
    out.append(
        near_items(NEW_PHENOTYPES, found.profiles[held], found.active[held], seen, found.radius)
    )
    return [items for items in out if items.covers.shape[1]]


def _picks_table(
    found: Measured, rows: np.ndarray, clusters: np.ndarray, kind: str, fold: int, name: str
) -> pd.DataFrame:
    """What one way of picking picked in one split."""
    terms = [""] * len(rows)
    if found.terms is not None:
        terms = [" | ".join(sorted(found.terms[row])) for row in rows]
    return pd.DataFrame(
        {
            **{"split": kind, "fold": fold, "model": name, "rank": np.arange(1, len(rows) + 1)},
            **{"molecule": found.keys[rows], "smiles": found.smiles[rows]},
            **{"mechanisms": terms, "cluster": clusters[rows]},
        }
    )


def _result(
    units: pd.DataFrame,
    tested: str,
    *,
    ratios: dict[str, float],
    confidence: float,
    headline: str,
    leakage: pd.DataFrame,
    picks: pd.DataFrame,
    data: str,
    notes: tuple[str, ...],
) -> LibrarySelectionStudy:
    """Figures over splits, in the order of kinds of split, budgets, metrics."""
    first = {name: list(dict.fromkeys(units[name])) for name in ("split", "metric", "model")}
    first["model"].sort(key=lambda name: name != tested)
    places = {name: {value: at for at, value in enumerate(own)} for name, own in first.items()}
    units = units.sort_values(
        KEYS, key=lambda column: column.map(places.get(str(column.name), lambda value: value))
    )
    units["part"] = units["split"] + ", " + units["budget"].astype(str) + " picks"
    of_part = {part: ratios[kind] for part, kind in zip(units["part"], units["split"], strict=True)}
    scores = scores_over_splits(units, of_part, confidence)
    means = units.groupby(["part", "metric", "model"], sort=False)
    spread = means[["draws_low", "draws_high"]].mean().reset_index()
    where = units[["part", "split", "budget"]].drop_duplicates()
    curves = scores.merge(where, on="part").merge(spread, on=["part", "metric", "model"])
    return LibrarySelectionStudy(
        "library-selection",
        data,
        tested,
        scores,
        differences_over_splits(units, tested, of_part, confidence),
        leakage,
        headline,
        notes,
        unit="split",
        tests="corrected resampled t-tests",
        curves=curves[CURVES],
        picks=picks,
    )


def _check_sizes(
    sides_of: dict[str, list[tuple[np.ndarray, np.ndarray]]], passing: np.ndarray, most: int
) -> None:
    """Refuse a budget that a split has not candidates enough for, before anything is trained."""
    for kind, sides in sides_of.items():
        for fold, (_, held) in enumerate(sides):
            n = int(passing[held].sum())
            if n < most:
                filtered = f", of {len(held)}, that pass the filters" if n < len(held) else ""
                raise ValueError(
                    f"{PURPOSE}: a budget of {most} is more than the {n} candidates{filtered} of "
                    f"fold {fold} ({SPLITS[kind]}). Lower budgets= or deck_share=."
                )


def _tested(model: str | None, names: list[str]) -> str:
    if model is not None and model not in names:
        raise ValueError(
            f"{PURPOSE}: there is no way of picking {model!r}; there are "
            f"{', '.join(map(repr, names))}."
        )
    return names[0] if model is None else model
