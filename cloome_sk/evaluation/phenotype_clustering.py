"""Which assays a feature space sees: are the actives of an assay neighbours of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.evaluation._clustering_checks import (
    assay_labels,
    check_same_rows,
    check_settings,
    families_of,
    n_groups_of,
)
from cloome_sk.evaluation._clustering_notes import about_resolution, about_sets, count_families
from cloome_sk.evaluation._clustering_sources import source_of
from cloome_sk.evaluation._clustering_study import Asked, group_codes, scored_sets
from cloome_sk.evaluation.clustering_result import ClusteringStudy
from cloome_sk.metrics._checks import check_count

PURPOSE = "study_phenotype_clustering"
COUNTS = ["n_actives", "n_inactives", "n_compounds"]


def study_phenotype_clustering(
    features: Any,
    assays: Any,
    *,
    metric: str = "cosine",
    families: Any = None,
    groups: Any = None,
    min_actives: int = 25,
    min_inactives: int = 25,
    min_compounds: int = 100,
    n: int | None = None,
    n_permutations: int = 999,
    top: float = 0.01,
    alpha: float = 0.05,
    model: str = "features",
    data: str = "assays",
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> ClusteringStudy:
    r"""Rank an assay's compounds by their similarity to each of its actives.

    Assays whose actives find each other are those that the features could be searched for.

    Parameters
    ----------
    features : array or DataFrame of shape (n_compounds, n_features), or callable
        One row a compound: phenotypic profiles (already aggregated over wells), embeddings or
        fingerprints. Of a DataFrame with CellProfiler columns, these; else all columns. A callable
        ``features(start, stop)`` gives similarities, larger being closer, of the compounds
        ``start`` to ``stop`` to all of them, shape (stop - start, n_compounds); it is called from
        several threads where `n_jobs` asks for them.
    assays : DataFrame or array of shape (n_compounds, n_assays)
        1 active, 0 inactive, NaN not tested; rows in the order of `features`.
    metric : {"cosine", "euclidean", "tanimoto", "precomputed"}, default="cosine"
        How rows are compared; "tanimoto" takes fingerprints of 0 and 1, "precomputed" a square
        matrix of similarities. Not used with a callable.
    families : Series, mapping or sequence, optional
        Protein family or type of each assay, by its name or in the order of columns.
    groups : array of shape (n_compounds,), optional
        Rows of one group are no evidence for each other, e.g. stereoisomers of a molecule
        (`cloome_sk.molecules.molecule_key`) or analogues (`murcko_scaffolds`, a series): a query
        does not rank its own group, permutations move a group's labels as a whole, and compounds
        are counted by groups. None: every row by itself.
    min_actives, min_inactives, min_compounds : int, default=25, 25, 100
        Tested compounds that an assay needs; with `groups`, groups with an active row, with an
        inactive one, and with a tested one.
    n : int, optional
        Places looked at, AP@n. None: all.
    n_permutations : int, default=999
        Random sets of actives; no p is below 1 / (n_permutations + 1). At least 19.
    top : float, default=0.01
        Share of assays, by normalised mAP, that are called the top; at least one is.
    alpha : float, default=0.05
        Assays of q below it are called found.
    model, data : str
        Names of the features and of the assays, for the report.
    random_state : int, RandomState or None, default=0
        Seed of the permutations. The p of an assay does not depend on the other assays.
    n_jobs : int, optional
        Threads, as in joblib. Results do not depend on it.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    ClusteringStudy
        Its ``table`` has one row an assay, best first: ``assay``, ``family``, ``n_actives``,
        ``n_inactives``, ``n_compounds`` (groups, where given), ``map``, ``chance``,
        ``normalized_map``, ``se``, ``p``, ``p_holm``, ``q``, ``n_queries`` (rows), ``rank``,
        ``top``.

    Raises
    ------
    ValueError
        If rows do not match, features are not finite, a label is none of 1, 0 and NaN, no assay has
        enough compounds, or a parameter is out of range.

    See Also
    --------
    study_chemotype_clustering : The same for chemical series.
    study_clustering_comparison : Two feature spaces on the same assays.

    Notes
    -----
    With an active as query, the assay's other tested compounds are ranked, and

    .. math::

        \text{AP@}n = \frac{1}{\#\text{positives}} \sum_{k \le n} \text{precision@}k \cdot
        \text{rel}(k),

    the positives being the other actives; mAP is the mean over the actives. Ties count with the
    mean over their orders, and chance is the exact mean over all orders of the ranked compounds.

    *p* is the share of random sets, the observed one among them, whose mAP is as high [1]_. A set
    takes the place of the actives among the tested compounds of the assay and is scored in full:
    queries of one set share their positives, and a null of independent rankings would take that
    dependence for a finding. Where no label depends on the features, p is valid for any number of
    compounds and any features. Labels of rows that are copies of each other are not exchangeable
    one by one: then `groups` is needed, and groups of one size exchange their labels.

    *q* is by Benjamini and Hochberg over all scored assays. Assays share compounds, which makes
    their p positively dependent; the procedure holds under positive dependence [2]_, not under any.
    ``p_holm`` holds under any.

    *se* is a jackknife: from the mAP without each active, or without each group of one, all of
    whose rows leave at once. Ties are treated approximately. It says how far the figure would move
    with other actives, and nothing about chance, for which p is there.

    *Cost.* All similarities are computed and sorted once for as many assays as fit 256 MiB of
    random sets, A · n_permutations · 8 bytes for an assay of A actives; then an assay takes
    A² · n_permutations steps of about 10 ns, 1.6 s for 400 actives and 999 permutations; two to
    three times that where similarities tie. Beside the sets, a block of similarities (16 MiB a
    thread) is held, never all of them.

    References
    ----------
    .. [1] B. Phipson and G. K. Smyth, "Permutation p-values should never be zero", Stat Appl Genet
       Mol Biol 9(1):39 (2010).
    .. [2] Y. Benjamini and D. Yekutieli, "The control of the false discovery rate in multiple
       testing under dependency", Ann Stat 29(4) (2001).

    Examples
    --------
    Of two assays, the first follows the first feature.

    >>> import numpy as np
    >>> import pandas as pd
    >>> from cloome_sk.evaluation import study_phenotype_clustering
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(120, 5))
    >>> assays = pd.DataFrame({"follows": Z[:, 0] > 0.5, "random": rng.random(120) < 0.3})
    >>> found = study_phenotype_clustering(Z, assays.astype(float), n_permutations=199)
    >>> found.table[["assay", "q"]].round(3).to_numpy().tolist()[0]
    ['follows', 0.01]
    >>> found.found
    ['follows']
    """
    check_settings(PURPOSE, n=n, n_permutations=n_permutations, top=top, alpha=alpha)
    for name, value in (
        ("min_actives", min_actives),
        ("min_inactives", min_inactives),
        ("min_compounds", min_compounds),
    ):
        check_count(value, f"{PURPOSE}: {name}", minimum=2 if name == "min_actives" else 1)
    check_same_rows(PURPOSE, features=features, assays=assays, groups=groups)
    labels = assay_labels(assays, PURPOSE)
    family = families_of(families, list(labels.columns), "assay", PURPOSE)
    codes = group_codes(groups, len(labels), "groups", PURPOSE)
    source = source_of(features, metric, len(labels), PURPOSE)

    Y = labels.to_numpy()
    counts = pd.DataFrame(
        {
            "assay": labels.columns,
            "family": family,
            "n_actives": n_groups_of(Y == 1, codes),
            "n_inactives": n_groups_of(Y == 0, codes),
            "n_compounds": n_groups_of(~np.isnan(Y), codes),
        }
    )
    counts["reason"] = _why_not(counts, min_actives, min_inactives, min_compounds)
    kept = np.flatnonzero(counts["reason"] == "")
    if not len(kept):
        best = counts[COUNTS].max()
        raise ValueError(
            f"{PURPOSE}: none of the {len(counts)} assay(s) has {min_actives} actives, "
            f"{min_inactives} inactives and {min_compounds} compounds; the most there are in any "
            f"are {best['n_actives']}, {best['n_inactives']} and {best['n_compounds']}"
            f"{'' if groups is None else ', rows of one group counted once'}. Fewer say little "
            "about the neighbourhood of actives: bring more labels."
        )
    tested = [~np.isnan(Y[:, place]) for place in kept]
    # Assays with the same tested compounds share their rankings.
    shared: dict[bytes, np.ndarray] = {}
    universes = [shared.setdefault(np.packbits(mask).tobytes(), mask) for mask in tested]
    asked = Asked(
        source=source,
        groups=codes,
        strata=np.zeros(len(codes), dtype=np.int64),
        n=n,
        n_permutations=n_permutations,
        top=top,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    actives = [np.flatnonzero(Y[:, place] == 1).astype(np.int32) for place in kept]
    table, queries, still = scored_sets(
        asked, "assay", counts["assay"].iloc[kept].tolist(), actives, universes
    )
    table = counts[["assay", "family", *COUNTS]].merge(table, on="assay")
    table = table.sort_values("normalized_map", ascending=False, kind="stable", ignore_index=True)
    excluded = counts[counts["reason"] != ""].reset_index(drop=True)
    notes = [
        f"{len(labels):,} compounds, {len(counts)} assays, of which {len(kept)} have at least "
        f"{min_actives} actives, {min_inactives} inactives and {min_compounds} compounds"
        + ("." if groups is None else ", rows of one group counted once."),
        "Each active ranks the other tested compounds of its assay"
        + (f", of which the first {n} places count." if n else "."),
        *about_sets(asked, features, metric, groups is not None, still, "assay"),
        *about_resolution(n_permutations, len(kept), alpha, "assay"),
        "Assays share compounds: q (Benjamini-Hochberg) takes their p to be independent or "
        "positively dependent; p_holm holds whatever the dependence.",
    ]
    return ClusteringStudy(
        name="phenotype-clustering",
        data=data,
        model=model,
        unit="assay",
        table=table,
        queries=queries,
        families=count_families(table, alpha),
        excluded=excluded,
        notes=tuple(notes),
        alpha=alpha,
    )


def _why_not(
    counts: pd.DataFrame, min_actives: int, min_inactives: int, min_compounds: int
) -> list[str]:
    needed = {
        "n_actives": (min_actives, "actives"),
        "n_inactives": (min_inactives, "inactives"),
        "n_compounds": (min_compounds, "compounds"),
    }
    out = []
    for row in counts[COUNTS].to_dict("records"):
        few = [
            f"fewer than {least} {what}"
            for column, (least, what) in needed.items()
            if row[column] < least
        ]
        out.append(", ".join(few))
    return out
