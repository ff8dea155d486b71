"""What the study of library selection asks for, and what it says of how it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from cloome_sk._library_selection import check_series
from cloome_sk._tables import shown
from cloome_sk.evaluation._library_measured import PURPOSE, SPLITS, Measured
from cloome_sk.evaluation._library_orders import CEILING, MAXMIN, MEASURED, RANDOM, method_name
from cloome_sk.library import LibraryDesigner


def notes_of(
    found: Measured,
    kinds: list[str],
    sizes: list[tuple[int, int]],
    passing: np.ndarray,
    short: Mapping[str, int],
    designers: Mapping[str, LibraryDesigner],
    n_splits: int,
    n_clusters: int,
    n_random: int,
) -> list[str]:
    """Say how it was measured."""
    (low_deck, low_held), (high_deck, high_held) = np.min(sizes, axis=0), np.max(sizes, axis=0)
    known = ""
    if found.terms is not None:
        n_known = sum(map(bool, found.terms))
        n_terms = len(frozenset().union(*found.terms))
        known = f", of which {n_known:,} have one or more of {n_terms:,} mechanisms"
    return [
        f"{(~found.control).sum():,} wells of {len(found):,} compounds{known}; {n_splits} random "
        f"divisions into a deck of {low_deck:,} to {high_deck:,} and {low_held:,} to "
        f"{high_held:,} candidates. Models were trained on wells of the deck (and controls) only.",
        *_grouped(found, kinds),
        *_refused(found, passing, short, designers),
        f"{found.active.sum():,} compounds have a phenotype{_why(found)}",
        f"Measured phenotypes: mean profiles, compared by cosine; {n_clusters} clusters by "
        f"k-means; two are one phenotype up to a distance of {found.radius:.3f}.",
        f"Chance is the exact mean of random picks; {n_random} draws of each split say how far "
        "single random libraries vary. The ceiling picks greedily, knowing what there is to cover.",
        "Splits share compounds; intervals and p are corrected for it (Nadeau & Bengio), and do "
        "not cover another screen.",
    ]


def _why(found: Measured) -> str:
    """By what it is told who has a phenotype, and of whom it cannot be."""
    if found.activity_p is None:
        return ": all were taken to have one."
    n_single = int(found.single.sum())
    why = ", their wells being more alike than wells grouped at random; the others cover nothing."
    if n_single:
        why += (
            f" Of these, {n_single:,} have one well only, which cannot tell: they may have a "
            "phenotype, and count as having none."
        )
    return why


def _grouped(found: Measured, kinds: list[str]) -> list[str]:
    """Sizes of what stays together by mechanism."""
    if "mechanism" not in kinds or found.terms is None:
        return []
    known = np.array([bool(own) for own in found.terms])
    sizes = np.sort(np.unique(found.groups("mechanism")[known], return_counts=True)[1])[::-1]
    return [
        "By mechanism, compounds that share one, directly or by way of others, stay on one side: "
        f"{len(sizes):,} groups of {shown(sizes.tolist(), 5)} compounds; {(~known).sum():,} "
        "without a known mechanism are on their own."
    ]


def _refused(
    found: Measured,
    passing: np.ndarray,
    short: Mapping[str, int],
    designers: Mapping[str, LibraryDesigner],
) -> list[str]:
    """What filters and limits leave to be picked."""
    out = []
    if any(one.filters is not None for one in designers.values()):
        out.append(
            f"{passing.sum():,} of {len(found):,} compounds pass all filters of the designers; of "
            "the candidates no other is picked, covers or is to be covered, in any way of picking."
        )
    if any(one.max_per_series is not None for one in designers.values()):
        out.append(
            "max_per_series= binds the picks of the designers, with predicted or measured "
            f"phenotypes, and not {MAXMIN}, {RANDOM} picks and the {CEILING}."
        )
    out += [
        f"{name}: fewer picks than the largest budget in {n} split(s), as no more could be picked."
        for name, n in short.items()
    ]
    return out


def checked_kinds(splits: Any) -> list[str]:
    """Kinds of split, if there are any, all known, and each once."""
    kinds = [splits] if isinstance(splits, str) else list(splits)
    known = ", ".join(map(repr, SPLITS))
    if not kinds:
        raise ValueError(f"{PURPOSE}: splits= is empty; there are {known}.")
    for kind in kinds:
        if kind not in SPLITS:
            raise ValueError(f"{PURPOSE}: splits={kind!r} is unknown; there are {known}.")
        if kinds.count(kind) > 1:
            raise ValueError(f"{PURPOSE}: splits= has {kind!r} more than once.")
    return kinds


def checked_designers(designer: Any) -> dict[str, LibraryDesigner]:
    """Designers by name, if the study can pick by them."""
    if designer is None:
        designer = LibraryDesigner()
    designers = dict(designer) if isinstance(designer, Mapping) else {"": designer}
    for name, one in designers.items():
        if not isinstance(one, LibraryDesigner):
            raise TypeError(
                f"{PURPOSE}: designer= takes a LibraryDesigner or a dict of these by name, got "
                f"{type(one).__name__}{f' for {name!r}' if name else ''}."
            )
        if isinstance(one.quality, str):
            raise ValueError(
                f"{PURPOSE}: a designer has quality={one.quality!r}, a column of the candidates; "
                "they are compounds without columns here. Give a callable from SMILES to numbers."
            )
        check_series(one.series, one.max_per_series)
    return designers


def checked_names(models: Mapping[str, Any], designers: Mapping[str, Any]) -> list[str]:
    """Names of the ways of picking, if they can be told apart."""
    if not models or not designers:
        raise ValueError(f"{PURPOSE}: there is no model, or no designer.")
    odd: list[Any] = [name for name in models if not isinstance(name, str) or not name]
    odd += [name for name in designers if not isinstance(name, str)]
    if odd:
        raise ValueError(f"{PURPOSE}: names of models and designers are texts, got {odd[0]!r}.")
    names = [method_name(one, plan) for one in models for plan in designers]
    for name in names:
        if name in (MAXMIN, RANDOM, MEASURED, CEILING):
            raise ValueError(
                f"{PURPOSE}: {name!r} is what a reference of this study is called; give the model "
                "another name."
            )
        if names.count(name) > 1:
            raise ValueError(
                f"{PURPOSE}: two pairs of a model and a designer are called {name!r}; give them "
                "names that can be told apart."
            )
    return names


def passing_filters(smiles: np.ndarray, designers: Mapping[str, LibraryDesigner]) -> np.ndarray:
    """Which compounds pass the filters of every designer."""
    out = np.ones(len(smiles), dtype=bool)
    for one in designers.values():
        if one.filters is not None:
            said = one.filters.explain(smiles.tolist())
            out[said.loc[said["refused"].astype(bool), "row"].to_numpy(dtype=np.intp)] = False
    return out


def checked_clusters(n_clusters: int | None, found: Measured) -> int:
    """Number of clusters, by default as many as there are mechanisms."""
    if n_clusters is None:
        n_terms = 0 if found.terms is None else len(frozenset().union(*found.terms))
        n_clusters = min(n_terms or round(len(found) ** 0.5), len(found))
    if isinstance(n_clusters, bool) or not isinstance(n_clusters, Integral):
        raise ValueError(f"{PURPOSE}: n_clusters must be a whole number, got {n_clusters!r}.")
    if not 1 <= int(n_clusters) <= len(found):
        raise ValueError(
            f"{PURPOSE}: n_clusters must be from 1 to the {len(found)} compounds, got {n_clusters}."
        )
    return int(n_clusters)


def checked_budgets(budgets: Any, radius: Any, **numbers: Any) -> list[int]:
    """Budgets as a list, if all numbers are in their ranges."""
    budgets = list(budgets)
    whole = all(isinstance(one, Integral) and not isinstance(one, bool) for one in budgets)
    if not budgets or not whole or budgets[0] < 1 or sorted(set(budgets)) != budgets:
        raise ValueError(
            f"{PURPOSE}: budgets must be ascending whole numbers of at least 1, got {budgets!r}."
        )
    for name, least in (("n_splits", 2), ("n_random", 20)):
        value = numbers[name]
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
            raise ValueError(
                f"{PURPOSE}: {name} must be a whole number of at least {least}, got {value!r}."
            )
    for name in ("deck_share", "confidence", "activity_p"):
        value = numbers[name]
        if value is None and name == "activity_p":
            continue
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 1:
            raise ValueError(f"{PURPOSE}: {name} must be between 0 and 1, got {value!r}.")
    if radius is not None and (not isinstance(radius, Real) or not 0 <= float(radius) <= 2):
        raise ValueError(f"{PURPOSE}: radius must be 1 - cosine, from 0 to 2, got {radius!r}.")
    return [int(one) for one in budgets]
