"""Cross-modal retrieval: recall within k, ranks, chance and intervals that ties cannot flatter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

import cloome_sk.metrics._expectations as expect
from cloome_sk.metrics._candidates import as_exclusion, pair_by_id, pair_by_row
from cloome_sk.metrics._checks import as_labels, check_count, check_fraction, check_ks
from cloome_sk.metrics._intervals import bootstrap_interval, clopper_pearson
from cloome_sk.metrics._ranks import RankCounts, count_ranks
from cloome_sk.metrics._scores import CosineScores, MatrixScores, Scores

Duplicates = Literal["merge", "keep"]
Interval = Literal["clopper-pearson", "bootstrap"]


def retrieval_ranks(
    query: Any = None,
    database: Any = None,
    *,
    similarity: Any = None,
    query_ids: Any = None,
    database_ids: Any = None,
    exclude: Any = None,
    duplicates: Duplicates = "merge",
    ks: Sequence[int] = (1, 5, 10),
    n_candidates_sampled: int | None = None,
    block_size: int | None = None,
) -> pd.DataFrame:
    """Rank of the right candidate for each query: the table `retrieval_metrics` averages.

    Parameters
    ----------
    query, database : array of shape (n_queries, d) and (n_rows, d), optional
        Embeddings, compared by cosine similarity.
    similarity : array of shape (n_queries, n_rows), optional
        Similarities instead of embeddings, larger is closer; may be a memory map.
    query_ids, database_ids : array of shape (n_queries,) and (n_rows,), optional
        What each row is, for example its molecule key. None: row i matches row i.
    exclude : bool array, pair of labels, or callable, optional
        Database rows a query may not find. See `retrieval_metrics`.
    duplicates : {"merge", "keep"}, default="merge"
        What becomes of database rows with one id. See `retrieval_metrics`.
    ks : sequence of int, default=(1, 5, 10)
        Cut-offs.
    n_candidates_sampled : int, optional
        Expectations over samples of this many candidates. See `retrieval_metrics`.
    block_size : int, optional
        Queries scored at a time. None: as many as fit 64 MiB.

    Returns
    -------
    DataFrame, one row a query
        ``R@k`` and ``chance@k`` (probabilities), ``rank`` (from 1), ``relative_rank`` (0 best),
        ``reciprocal_rank``, ``n_candidates``, ``n_positives``. A query without a right candidate
        has ``n_positives`` 0 and NaN elsewhere.

    Raises
    ------
    ValueError
        As `retrieval_metrics`, except that every query may be without a right candidate.

    Examples
    --------
    >>> from cloome_sk.metrics import retrieval_ranks
    >>> similarity = [[0.9, 0.1, 0.3], [0.5, 0.5, 0.5], [0.8, 0.2, 0.4]]
    >>> retrieval_ranks(similarity=similarity, ks=(1,))[["R@1", "rank", "relative_rank"]]
            R@1  rank  relative_rank
    0  1.000000   1.0            0.0
    1  0.333333   2.0            0.5
    2  0.000000   2.0            0.5
    """
    cuts = check_ks(ks)
    scores, counts = _count(
        query, database, similarity, query_ids, database_ids, exclude, duplicates, block_size
    )
    kept = np.flatnonzero(counts.n_positives > 0)
    table = pd.DataFrame(_expected(counts[kept], cuts, n_candidates_sampled, kept), index=kept)
    table = table.reindex(range(scores.n_queries))
    table["n_positives"] = counts.n_positives
    return table


def retrieval_metrics(
    query: Any = None,
    database: Any = None,
    *,
    similarity: Any = None,
    query_ids: Any = None,
    database_ids: Any = None,
    exclude: Any = None,
    duplicates: Duplicates = "merge",
    ks: Sequence[int] = (1, 5, 10),
    confidence: float = 0.95,
    interval: Interval = "clopper-pearson",
    groups: Any = None,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    n_candidates_sampled: int | None = None,
    block_size: int | None = None,
) -> pd.Series:
    """How well queries find their match: recall within k beside chance, with intervals, and ranks.

    Parameters
    ----------
    query, database : array of shape (n_queries, d) and (n_rows, d), optional
        Embeddings, compared by cosine similarity. Give both, or `similarity`.
    similarity : array of shape (n_queries, n_rows), optional
        Similarities instead of embeddings, larger is closer; compared as they stand. A memory map
        is read block by block.
    query_ids, database_ids : array of shape (n_queries,) and (n_rows,), optional
        What each row is, for example its molecule key; give both or neither. None: row i of the
        queries matches row i of the database, and each row is a candidate.
    exclude : bool array, pair of labels, or callable, optional
        Database rows a query may not find, for example those of its own plate:

        * a pair ``(query_labels, database_labels)``: rows sharing a label with the query go. Labels
          are 1-D, or 2-D where a match in any column counts; a missing label matches nothing;
        * a boolean array of shape (n_queries, n_rows), True for rows that go;
        * a callable ``exclude(start, stop)`` returning those rows of such an array.

        Rows go before duplicates are merged: a molecule on several plates stays a candidate
        through its rows on the other plates, and is none where no row is left.
    duplicates : {"merge", "keep"}, default="merge"
        Database rows with one id: ``"merge"`` makes them one candidate that scores as its best row;
        ``"keep"`` leaves every row a candidate, each right for the queries with its id, and ranks
        the best of them.
    ks : sequence of int, default=(1, 5, 10)
        Cut-offs. One larger than the number of candidates is allowed: recall and chance are 1.
    confidence : float, default=0.95
        Coverage of the intervals.
    interval : {"clopper-pearson", "bootstrap"}, default="clopper-pearson"
        ``"clopper-pearson"`` is exact for independent queries. ``"bootstrap"`` resamples `groups`
        and is the honest one when wells nest in compounds.
    groups : array of shape (n_queries,), optional
        With ``interval="bootstrap"``, the compound of each query. None: `query_ids` where given,
        otherwise each query for itself.
    n_bootstrap : int, default=2000
        Number of resamples.
    random_state : int, RandomState or None, default=None
        Seed of the resamples.
    n_candidates_sampled : int, optional
        Rank among this many candidates, the right one and the others a random sample of the wrong
        ones (100 in the "1 in 100" protocol). What comes out is the exact mean over all samples
        (hypergeometric), not the result of one. Needs one right candidate a query.
    block_size : int, optional
        Queries scored at a time; memory grows with it, the result does not depend on it.
        None: as many as fit 64 MiB.

    Returns
    -------
    Series of float64
        For each k ``R@k``, ``R@k_low``, ``R@k_high`` and ``chance@k``; then ``median_rank``,
        ``mean_rank``, ``relative_rank``, ``mrr``, ``n_queries`` (those scored),
        ``n_candidates`` (mean over queries where exclusion makes it vary) and ``n_dropped``
        (queries whose right candidate is not in the database, or excluded; not in any mean).

    Raises
    ------
    ValueError
        If shapes or arguments do not fit together, a value is NaN or infinite, an embedding is
        all zeros, an id is missing, no query has a right candidate, or a sample is larger than
        the candidates of a query.

    Warns
    -----
    UserWarning
        If query ids repeat and the intervals are Clopper-Pearson: those take queries as
        independent and are too narrow for wells of one compound.

    Notes
    -----
    *Ties.* ``R@k`` is the mean probability of a hit within k over random orders of equal scores,
    ranks are mid-ranks, ``mrr`` is the mean of 1 / rank over the same orders: 50 equal scores give
    ``R@1`` 0.02 and ``R@10`` 0.2. With several right candidates the rank is the expected rank of
    the first. Cosine similarities are decided in float64; what differs by less than the rounding
    error of a float64 product is a tie, so equal rows tie wherever they stand. A `similarity` is
    compared exactly.

    *Relative rank* of a query is the fraction of wrong candidates ahead of a right one (ties half,
    mean over the right ones), (rank − 1) / (n_candidates − 1) with one right candidate: 0 is best,
    0.5 is chance however many candidates there are, and also what a query with no wrong candidate
    left gets.

    *Chance* is the probability of a hit when each query's candidates stand in random order, with
    the number of candidates and of right ones it really has. Merging by the best row favours
    molecules with many rows whatever the encoder; where row numbers differ much, average the rows
    first, or use ``duplicates="keep"``, whose chance counts rows.

    To search a table in itself, exclude each row from its own search:
    ``exclude=(np.arange(n), np.arange(n))``.

    References
    ----------
    Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases for
    queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.metrics import retrieval_metrics
    >>> metrics = retrieval_metrics(similarity=np.zeros((50, 50)))
    >>> print(metrics[["R@1", "chance@1", "R@10", "chance@10", "mean_rank"]].to_string())
    R@1           0.02
    chance@1      0.02
    R@10          0.20
    chance@10     0.20
    mean_rank    25.50
    """
    cuts = check_ks(ks)
    check_fraction(confidence, "confidence")
    if interval not in ("clopper-pearson", "bootstrap"):
        raise ValueError(f"interval must be 'clopper-pearson' or 'bootstrap', got {interval!r}.")
    if groups is not None and interval != "bootstrap":
        raise ValueError("groups are used by interval='bootstrap' only; choose it, or drop groups.")
    scores, counts = _count(
        query, database, similarity, query_ids, database_ids, exclude, duplicates, block_size
    )
    if groups is not None:
        groups = as_labels(groups, "groups", scores.n_queries)
    kept = np.flatnonzero(counts.n_positives > 0)
    if not len(kept):
        raise ValueError(
            f"None of the {scores.n_queries} queries has a right candidate: its id is not in the "
            "database, or exclude takes all of its rows out."
        )
    values = _expected(counts[kept], cuts, n_candidates_sampled, kept)
    low, high = _intervals(
        _Sampling(interval, confidence, n_bootstrap, random_state),
        np.column_stack([values[f"R@{k}"] for k in cuts]),
        query_ids,
        groups,
        kept,
    )
    result: dict[str, float] = {}
    for i, k in enumerate(cuts):
        result[f"R@{k}"] = float(values[f"R@{k}"].mean())
        result[f"R@{k}_low"], result[f"R@{k}_high"] = float(low[i]), float(high[i])
        result[f"chance@{k}"] = float(values[f"chance@{k}"].mean())
    result["median_rank"] = float(np.median(values["rank"]))
    result["mean_rank"] = float(values["rank"].mean())
    result["relative_rank"] = float(values["relative_rank"].mean())
    result["mrr"] = float(values["reciprocal_rank"].mean())
    result["n_queries"] = len(kept)
    result["n_candidates"] = float(values["n_candidates"].mean())
    result["n_dropped"] = scores.n_queries - len(kept)
    return pd.Series(result, dtype=np.float64)


def _count(
    query: Any,
    database: Any,
    similarity: Any,
    query_ids: Any,
    database_ids: Any,
    exclude: Any,
    duplicates: str,
    block_size: int | None,
) -> tuple[Scores, RankCounts]:
    """Check the arguments that both public functions share, and count."""
    if duplicates not in ("merge", "keep"):
        raise ValueError(f"duplicates must be 'merge' or 'keep', got {duplicates!r}.")
    if block_size is not None:
        block_size = check_count(block_size, "block_size")
    if (query is None) != (database is None) or (similarity is None) == (query is None):
        raise ValueError("Give either query and database, or similarity.")
    if (query_ids is None) != (database_ids is None):
        raise ValueError("Give both query_ids and database_ids, or neither.")
    scores: Scores = (
        CosineScores(query, database) if similarity is None else MatrixScores(similarity)
    )
    shape = scores.n_queries, scores.n_rows
    if query_ids is None:
        candidates = pair_by_row(*shape)
    else:
        candidates = pair_by_id(query_ids, database_ids, *shape, merge=duplicates == "merge")
    exclusion = as_exclusion(exclude, *shape, candidates.order)
    return scores, count_ranks(scores, candidates, exclusion, block_size)


def _expected(
    counts: RankCounts, ks: tuple[int, ...], n_sampled: int | None, queries: np.ndarray
) -> dict[str, np.ndarray]:
    """What each query contributes to the means."""
    if n_sampled is not None:
        return _expected_of_samples(counts, ks, n_sampled, queries)
    level = counts.above, counts.tied, counts.tied_positives
    values = {}
    for k in ks:
        values[f"R@{k}"] = expect.hit_probability(k, *level)
        values[f"chance@{k}"] = expect.chance(k, counts.n_candidates, counts.n_positives)
    values["rank"] = expect.expected_rank(*level)
    values["relative_rank"] = counts.behind
    values["reciprocal_rank"] = expect.expected_reciprocal_rank(*level)
    values["n_candidates"] = counts.n_candidates
    return values


def _expected_of_samples(
    counts: RankCounts, ks: tuple[int, ...], n_sampled: int, queries: np.ndarray
) -> dict[str, np.ndarray]:
    """The same among the right candidate and a random sample of the wrong ones."""
    n_drawn = check_count(n_sampled, "n_candidates_sampled", minimum=2) - 1
    if (counts.n_positives > 1).any():
        raise ValueError(
            "n_candidates_sampled needs one right candidate a query; use duplicates='merge'."
        )
    n_wrong = counts.n_candidates - 1
    if (n_wrong < n_drawn).any():
        first = int(np.flatnonzero(n_wrong < n_drawn)[0])
        raise ValueError(
            f"n_candidates_sampled={n_sampled} asks for more candidates than query row "
            f"{queries[first]} has ({counts.n_candidates[first]})."
        )
    place = counts.above, counts.tied, n_wrong, n_drawn
    values = {}
    for k in ks:
        values[f"R@{k}"] = expect.sampled_hit_probability(k, *place)
        values[f"chance@{k}"] = np.full(len(n_wrong), min(k / n_sampled, 1.0))
    values["rank"] = 1.0 + n_drawn * counts.behind
    values["relative_rank"] = counts.behind
    values["reciprocal_rank"] = expect.sampled_reciprocal_rank(*place)
    values["n_candidates"] = np.full(len(n_wrong), n_sampled)
    return values


@dataclass(frozen=True)
class _Sampling:
    """How the intervals are made."""

    interval: str
    confidence: float
    n_bootstrap: int
    random_state: Any


def _intervals(
    sampling: _Sampling, hits: np.ndarray, query_ids: Any, groups: Any, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of each column of `hits`, one row a query."""
    ids = None if query_ids is None else np.asarray(query_ids, dtype=object)[kept]
    if sampling.interval == "bootstrap":
        return bootstrap_interval(
            hits,
            ids if groups is None else groups[kept],
            confidence=sampling.confidence,
            n_bootstrap=sampling.n_bootstrap,
            random_state=sampling.random_state,
        )
    n_ids = len(hits) if ids is None else pd.Series(ids).nunique()
    if n_ids < len(hits):
        warnings.warn(
            f"{len(hits)} queries share {n_ids} ids, and Clopper-Pearson intervals take queries as "
            "independent: they are too narrow here. Use interval='bootstrap'.",
            UserWarning,
            stacklevel=3,
        )
    return clopper_pearson(hits.sum(axis=0), len(hits), confidence=sampling.confidence)
