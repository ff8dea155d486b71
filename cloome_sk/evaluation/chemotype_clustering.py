"""Which chemical series a feature space holds together: candidates for a biology of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._clustering_checks import (
    check_dense,
    check_same_rows,
    check_settings,
    families_of,
    memberships,
)
from cloome_sk.evaluation._clustering_notes import about_resolution, about_sets, count_families
from cloome_sk.evaluation._clustering_sources import source_of
from cloome_sk.evaluation._clustering_study import Asked, group_codes, scored_sets
from cloome_sk.evaluation.clustering_result import ClusteringStudy
from cloome_sk.metrics._checks import check_count

PURPOSE = "study_chemotype_clustering"


def study_chemotype_clustering(
    features: Any,
    membership: Any,
    *,
    names: Sequence[Any] | None = None,
    metric: str = "cosine",
    families: Any = None,
    groups: Any = None,
    match: Any = None,
    min_members: int = 5,
    n: int | None = None,
    n_permutations: int = 999,
    top: float = 0.01,
    alpha: float = 0.05,
    model: str = "features",
    data: str = "series",
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> ClusteringStudy:
    """Rank all compounds by their similarity to each member of a chemical series.

    A series whose members look alike under the microscope, more than random compounds do, is a
    candidate for a biology of its own. In a space of structures nearly every series is held
    together: there it says that the space knows chemistry.

    Parameters
    ----------
    features : array or DataFrame of shape (n_compounds, n_features), or callable
        As in `study_phenotype_clustering`: one row a compound, or a function of two row numbers
        that gives a block of similarities.
    membership : sparse or dense matrix of bool, or DataFrame, of shape (n_compounds, n_series)
        Which compounds are in which series, as `ChemicalSeries.transform` gives it. A compound may
        be in several or in none.
    names : sequence, optional
        Of the series. None: the columns of a DataFrame, else ``series 0`` and so on.
    metric : {"cosine", "euclidean", "tanimoto", "precomputed"}, default="cosine"
        How rows are compared; not used with a callable.
    families : Series, mapping or sequence, optional
        A class of each series, by its name or in the order of columns.
    groups : array of shape (n_compounds,), optional
        Rows of one group are no evidence for each other, such as stereoisomers, and are counted
        once: see `study_phenotype_clustering`.
    match : array of shape (n_compounds,), optional
        Random compounds are drawn from the bins that the members are in, e.g. bins of the cell
        count or of the plate layout: what all compounds of a bin share is then no finding. With
        groups, a group is only replaced by one of its size and bins. None: from all compounds.
    min_members : int, default=5
        Smaller series are not scored; with `groups`, those with members in fewer groups.
    n : int, optional
        Places looked at, AP@n. None: all.
    n_permutations : int, default=999
        Random sets of each size; series of one size share them. At least 19.
    top : float, default=0.01
        Share of series, by normalised mAP, that are called the top; at least one is.
    alpha : float, default=0.05
        Series of q below it are called found.
    model, data : str
        Names of the features and of the compounds, for the report.
    random_state : int, RandomState or None, default=0
        Seed of the random sets.
    n_jobs : int, optional
        Threads, as in joblib. Results do not depend on it.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    ClusteringStudy
        Its ``table`` has one row a series, best first: ``series``, ``family``, ``n_members``
        (groups, where given), ``map``, ``chance``, ``normalized_map``, ``se``, ``p``, ``p_holm``,
        ``q``, ``n_queries`` (rows), ``rank``, ``top``.

    Raises
    ------
    ValueError
        If rows do not match, features are not finite, membership holds anything else than 0 and 1,
        no series has enough members, or a parameter is out of range.

    See Also
    --------
    study_phenotype_clustering : The same for the actives of assays; definitions and cost.
    study_bioactivity_overlap : What the series found here are active in.

    Notes
    -----
    Every member ranks all other compounds; the other members are the positives. p is the share of
    random sets of the same size (and the same bins, with `match`) whose mAP is as high, the series
    itself among them. A series that is too large a part of all compounds to be compared with others
    has a chance level near 1, and is left out where it is 1.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation import study_chemotype_clustering
    >>> rng = np.random.default_rng(0)
    >>> membership = np.arange(60)[:, None] // 10 == np.arange(2)
    >>> Z = rng.normal(size=(60, 4))
    >>> Z[:10, 0] += 4
    >>> found = study_chemotype_clustering(Z, membership, names=["tight", "loose"])
    >>> found.found
    ['tight']
    """
    check_settings(PURPOSE, n=n, n_permutations=n_permutations, top=top, alpha=alpha)
    check_count(min_members, f"{PURPOSE}: min_members", minimum=2)
    check_same_rows(PURPOSE, features=features, membership=membership, groups=groups, match=match)
    check_dense(features, PURPOSE)
    n_rows = None if callable(features) else len(features)
    matrix, series = memberships(membership, n_rows, names, PURPOSE)
    family = families_of(families, series, "series", PURPOSE)
    n_rows = matrix.shape[0]
    codes = group_codes(groups, n_rows, "groups", PURPOSE)
    strata = np.zeros(n_rows, dtype=np.int64)
    if match is not None:
        strata = group_codes(match, n_rows, "match", PURPOSE)
    source = source_of(features, metric, n_rows, PURPOSE)

    by_series = matrix.tocsc()
    by_series.sort_indices()
    n_rows_of = np.diff(by_series.indptr)
    column = np.repeat(np.arange(len(series)), n_rows_of)
    in_groups = pd.Series(codes[by_series.indices]).groupby(column).nunique()
    sizes = in_groups.reindex(np.arange(len(series)), fill_value=0).to_numpy()
    counts = pd.DataFrame({"series": series, "family": family, "n_members": sizes})
    few = np.where(sizes < min_members, f"fewer than {min_members} members", "")
    counts["reason"] = np.where(n_rows_of == n_rows, "every compound is a member", few)
    kept = np.flatnonzero(counts["reason"] == "")
    if not len(kept):
        raise ValueError(
            f"{PURPOSE}: none of the {len(series)} series has {min_members} members or more and "
            f"leaves compounds out; the largest has {int(sizes.max())} of "
            f"{len(np.unique(codes))}{'' if groups is None else ' groups'}."
        )
    members = [
        by_series.indices[by_series.indptr[place] : by_series.indptr[place + 1]].astype(np.int32)
        for place in kept
    ]
    everyone = np.ones(n_rows, dtype=bool)
    asked = Asked(
        source=source,
        groups=codes,
        strata=strata,
        n=n,
        n_permutations=n_permutations,
        top=top,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    scored = [series[place] for place in kept]
    table, queries, still = scored_sets(asked, "series", scored, members, [everyone] * len(kept))
    table = counts[["series", "family", "n_members"]].merge(table, on="series")
    table = table.sort_values("normalized_map", ascending=False, kind="stable", ignore_index=True)
    notes = [
        f"{n_rows:,} compounds, {len(series)} series, of which {len(kept)} have {min_members} "
        f"members{'' if groups is None else ' (groups of rows)'} or more; "
        f"{int((np.diff(matrix.indptr) == 0).sum()):,} compounds are in none.",
        "Each member ranks all other compounds"
        + (f", of which the first {n} places count." if n else "."),
        *about_sets(asked, features, metric, groups is not None, still, "series"),
        *about_resolution(n_permutations, len(kept), alpha, "series"),
    ]
    if match is not None:
        notes.append(
            f"Random sets have as many compounds as the series in each of {int(strata.max()) + 1} "
            "bins."
        )
    return ClusteringStudy(
        name="chemotype-clustering",
        data=data,
        model=model,
        unit="series",
        table=table,
        queries=queries,
        families=count_families(table, alpha),
        excluded=counts[counts["reason"] != ""].reset_index(drop=True),
        notes=tuple(notes),
        alpha=alpha,
    )
