"""One selection: candidates in the order of ties, what is near what, the picks, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from cloome_sk._library_compounds import FULL, Compounds
from cloome_sk._library_picks import TIE, Coverage, Farthest, Novelty, pick
from cloome_sk._library_spaces import PhenotypeSpace, Space, StructureSpace, usual_distance
from cloome_sk._nearest import row_blocks
from cloome_sk._tables import match_column, shown
from cloome_sk.model_selection._structures import packed_fingerprints

NEAR = ("distance", "nearest", "nearest_is")
RESULT = (
    *("rank", "index", "name", "smiles", "score", "quality"),
    *(f"{space}_{what}" for space in ("phenotype", "structure") for what in NEAR),
    *("series", "new_series"),
)
"""Columns of the picks, as far as there is something to say in them."""


class TooFewError(ValueError):
    """Fewer candidates can be picked than were asked for.

    Parameters
    ----------
    message : str
        Why, and what to do.
    n_possible : int
        How many can be picked.
    """

    def __init__(self, message: str, n_possible: int) -> None:
        super().__init__(message, n_possible)
        self.message, self.n_possible = message, n_possible

    def __str__(self) -> str:
        return self.message


def check_fitted_with(embedder: Any, fitted_with: Any) -> None:
    """Refuse an embedder that came after `fit`, which has embedded the deck by another."""
    if embedder is not fitted_with:
        raise ValueError(
            "LibraryDesigner.select: embedder= was set after `fit`, which takes note of the deck's "
            "phenotypes by it: fit again."
        )


def check_source(embedder: Any, share: float, method: str) -> None:
    """Refuse to pick by phenotypes that nothing tells."""
    if embedder is None and share > 0:
        raise ValueError(
            f"LibraryDesigner.{method}: phenotype_share={share} needs phenotypes: set embedder=, "
            "which predicts them from structures, and fit again, or give `phenotypes` to `fit` and "
            "`select`; or set phenotype_share=0 to pick by structure alone."
        )


def without_clashes(candidates: Compounds, quality: Any, series: Any) -> Compounds:
    """Refuse columns of candidates that the result has for something else."""
    table = candidates.table
    if table is None:
        return candidates
    if isinstance(quality, str):
        label = match_column(table, quality, purpose="LibraryDesigner.select, quality=")
        if label == "quality":  # the result has it under that name
            candidates = replace(candidates, told=(*candidates.told, label))
    labels = table.columns[candidates.other_columns]
    own = [name for name in RESULT if series is not None or not name.endswith("series")]
    taken = [label for label in labels if label in own]
    if taken:
        raise ValueError(
            f"LibraryDesigner.select: the candidates have column(s) named {shown(taken)}, like "
            "columns of the result. Rename them."
        )
    return candidates


@dataclass(frozen=True)
class Pool:
    """Candidates that can be picked, in the order of ties, and after them what is owned.

    Attributes
    ----------
    candidates : Compounds
        All that were offered.
    rows : ndarray of intp, shape (n_pool,)
        Which of them can be picked.
    owned : DataFrame
        The deck, a row a molecule.
    spaces : dict of str to Space
        By name; in each, places 0 to ``n_pool - 1`` are candidates and those after them owned.
    known : dict of str to ndarray of intp
        Places of the owned compounds that a space knows.
    usual : dict of str to float
        Median distance of two molecules in each space.
    by_key : ndarray of intp
        Places of the candidates in the order of their keys.
    """

    candidates: Compounds
    rows: np.ndarray
    owned: pd.DataFrame
    spaces: dict[str, Space]
    known: dict[str, np.ndarray]
    usual: dict[str, float]
    by_key: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def make_pool(
    candidates: Compounds,
    rows: np.ndarray,
    vectors: np.ndarray | None,
    owned: pd.DataFrame,
    owned_vectors: np.ndarray | None,
    *,
    radius: int,
    n_bits: int,
    random_state: Any,
) -> Pool:
    """Sort candidates by key, or at random from there, and say what is near what.

    Parameters
    ----------
    candidates : Compounds
        All that were offered.
    rows : ndarray of intp, shape (n_pool,)
        Those that can be picked, of a molecule each.
    vectors : ndarray of float, shape (n_pool, n_components), or None
        Their phenotypes.
    owned : DataFrame
        The deck.
    owned_vectors : ndarray of float, shape (n_owned, n_components), or None
        Its phenotypes.
    radius, n_bits : int
        Of the fingerprint.
    random_state : int, RandomState or None
        Seed of the order of ties; None: by key.

    Returns
    -------
    Pool
        Ready to be picked from.
    """
    order = np.argsort(candidates.keys[rows].astype(str), kind="stable")
    if random_state is not None:
        order = order[check_random_state(random_state).permutation(len(order))]
    rows = rows[order]
    n_pool, every = len(rows), np.arange(len(rows) + len(owned))
    smiles = np.concatenate([candidates.smiles[rows], owned["smiles"].to_numpy(dtype=object)])
    spaces: dict[str, Space] = {}
    if vectors is not None:
        if owned_vectors is None:
            owned_vectors = np.full((len(owned), vectors.shape[1]), np.nan)
        spaces["phenotype"] = PhenotypeSpace(np.concatenate([vectors[order], owned_vectors]))
    packed = packed_fingerprints(smiles, radius=radius, n_bits=n_bits, use_chirality=False)
    spaces["structure"] = StructureSpace(packed)
    there = {name: every[space.known(every)] for name, space in spaces.items()}
    keys = np.concatenate([candidates.keys[rows], owned["molecule"].to_numpy(dtype=object)])
    by_key = np.argsort(keys.astype(str), kind="stable")
    return Pool(
        candidates,
        rows,
        owned,
        spaces,
        {name: places[places >= n_pool] for name, places in there.items()},
        {
            name: usual_distance(spaces[name], by_key[np.isin(by_key, places)])
            for name, places in there.items()
        },
        by_key[by_key < n_pool],
    )


def novelty_of(
    pool: Pool, objective: str, shares: dict[str, float], weight: float, n_targets: int
) -> Novelty:
    """What candidates add, in the spaces that have a share of it."""
    names = [name for name in pool.spaces if shares.get(name, 0.0) > 0]
    spaces = [pool.spaces[name] for name in names]
    known = [pool.known[name] for name in names]
    usual = [pool.usual[name] for name in names]
    weights = [weight * shares[name] for name in names]
    if objective == "maxmin":
        scaled = [share / unit for share, unit in zip(weights, usual, strict=True)]
        return Farthest(spaces, scaled, len(pool), known)
    chosen = np.linspace(0, len(pool) - 1, min(n_targets, len(pool))).round().astype(np.intp)
    return Coverage(spaces, weights, len(pool), known, usual, pool.by_key[chosen])


@dataclass(frozen=True)
class Picks:
    """Picked places of a pool, in order.

    Attributes
    ----------
    places : ndarray of intp, shape (n_picks,)
        The picks.
    scores : ndarray of float64, shape (n_picks,)
        Their scores when they were picked.
    closed : dict of int to int
        Places that may not be picked because a series was full, and that series.
    """

    places: np.ndarray
    scores: np.ndarray
    closed: dict[int, int]


def run(
    novelty: Novelty,
    extra: np.ndarray,
    budget: int,
    membership: csr_array | None,
    max_per_series: int | None,
    verbose: int,
) -> Picks:
    """Pick, and close series that are full."""
    from tqdm.auto import tqdm

    closed: dict[int, int] = {}
    nothing = np.zeros(0, dtype=np.intp)
    if membership is not None:
        members = membership.T.tocsr()
        counts = np.zeros(membership.shape[1], dtype=np.intp)

    def closes(place: int) -> np.ndarray:
        if membership is None or max_per_series is None:
            return nothing
        own = membership.indices[membership.indptr[place] : membership.indptr[place + 1]]
        counts[own] += 1
        full = own[counts[own] == max_per_series]
        found = [members.indices[members.indptr[one] : members.indptr[one + 1]] for one in full]
        for one, places in zip(full, found, strict=True):
            for other in places.tolist():
                closed.setdefault(other, int(one))
        return np.concatenate([nothing, *found])

    places: list[int] = []
    scores: list[float] = []
    with tqdm(total=budget, desc="Picking", unit="compound", disable=not verbose) as bar:
        for place, score in pick(novelty, extra, budget, closes):
            places.append(place)
            scores.append(score)
            bar.update()
    for place in places:
        closed.pop(place, None)
    return Picks(np.array(places, dtype=np.intp), np.array(scores), closed)


def nearest_table(pool: Pool, name: str, places: np.ndarray) -> pd.DataFrame:
    """Of each pick, the nearest compound that was owned or picked before it; ties: the first."""
    space, known = pool.spaces[name], pool.known[name]
    columns = np.concatenate([known, places])
    distance = np.full(len(places), np.nan)
    nearest = np.full(len(places), None, dtype=object)
    kind = np.full(len(places), None, dtype=object)
    names = [*pool.owned["name"].to_numpy()[known - len(pool)]]
    names += [*pool.candidates.names[pool.rows[places]]]
    for block in row_blocks(len(places), 24 * (len(columns) + 2048)):
        apart = space.distances(places[block], columns)
        apart[np.isnan(apart)] = np.inf
        for place, row in enumerate(apart, start=block.start):
            before = row[: len(known) + place]
            least = float(before.min(initial=np.inf))
            if least < np.inf:
                at = int(np.argmax(before <= least + TIE))
                distance[place], nearest[place] = before[at], names[at]
                kind[place] = "owned" if at < len(known) else "picked"
    values = (distance, nearest, kind)
    return pd.DataFrame({f"{name}_{what}": one for what, one in zip(NEAR, values, strict=True)})


def check_budget(budget: Any) -> None:
    """Refuse what is no number of picks."""
    purpose = "LibraryDesigner.select: budget"
    if isinstance(budget, bool) or not isinstance(budget, Integral):
        raise TypeError(f"{purpose} must be a whole number, got {budget!r}.")
    if int(budget) < 1:
        raise ValueError(f"{purpose} must be at least 1, got {budget}.")


def check_series(series: Any, max_per_series: int | None) -> None:
    """Refuse a limit without series, and series that are not known yet."""
    if max_per_series is not None and series is None:
        raise ValueError(
            f"LibraryDesigner: max_per_series={max_per_series} needs series=, which says what the "
            "series are."
        )
    if hasattr(series, "fit"):
        check_is_fitted(series)


def series_of(series: Any, smiles: Sequence[str] | np.ndarray) -> csr_array:
    """Which series each structure belongs to, shape (n_structures, n_series)."""
    found = csr_array(series.transform(list(smiles)))
    if found.shape[0] != len(smiles):
        raise ValueError(
            f"LibraryDesigner: {type(series).__name__}.transform gave {found.shape[0]} rows for "
            f"{len(smiles)} structures; series= takes a fitted ChemicalSeries, or another whose "
            "transform gives a matrix of structures by series."
        )
    found = csr_array(found.astype(bool))
    found.eliminate_zeros()
    return found


def series_table(series: Any, pool: Pool, places: np.ndarray) -> pd.DataFrame:
    """Names of the series of each pick, and whether one of them is new."""
    picked = series_of(series, pool.candidates.smiles[pool.rows[places]])
    names = [str(one) for one in range(picked.shape[1])]
    if hasattr(series, "get_feature_names_out"):
        names = [str(one) for one in series.get_feature_names_out()]
    seen = np.zeros(picked.shape[1], dtype=bool)
    if len(pool.owned):
        seen[series_of(series, pool.owned["smiles"].to_numpy(dtype=object)).indices] = True
    said, new = [], []
    for row in range(len(places)):
        own = np.sort(picked.indices[picked.indptr[row] : picked.indptr[row + 1]])
        said.append("; ".join(names[one] for one in own))
        new.append(bool((~seen[own]).any()))
        seen[own] = True
    return pd.DataFrame({"series": said, "new_series": new})


def picked_table(pool: Pool, picks: Picks, quality: np.ndarray | None, series: Any) -> pd.DataFrame:
    """Describe the picks, in the order of picking."""
    rows, offered = pool.rows[picks.places], pool.candidates
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(rows) + 1),
            "index": rows,
            "name": offered.names[rows],
            "smiles": offered.smiles[rows],
            "score": picks.scores,
        }
    )
    if quality is not None:
        table["quality"] = quality[rows]
    parts = [table, *(nearest_table(pool, name, picks.places) for name in pool.spaces)]
    if series is not None:
        parts.append(series_table(series, pool, picks.places))
    if offered.table is not None:
        columns = offered.other_columns
        parts.append(offered.table.iloc[rows, columns].reset_index(drop=True))
    return pd.concat(parts, axis=1)


def full_series(pool: Pool, series: Any, picks: Picks) -> list[tuple[int, str, str]]:
    """Row, reason and detail of the candidates that were closed."""
    names: Any = None
    if hasattr(series, "get_feature_names_out"):
        names = series.get_feature_names_out()
    return [
        (int(pool.rows[place]), FULL, f"series {one if names is None else names[one]} is full")
        for place, one in picks.closed.items()
    ]
