"""Mean average precision of groups of profiles, with a permutation null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk.metrics._checks import check_count
from cloome_sk.metrics._pairs import Columns, matched_columns, profiles_and_metadata, query_rows
from cloome_sk.metrics.profile_ap import profile_average_precision

_NULL_BYTES = 2**26
# The draws of copairs are float32; an average precision may miss its own value by this much.
_NULL_ROUNDING = 1e-6


def mean_average_precision(
    X: Any,
    metadata: pd.DataFrame | None = None,
    *,
    pos_sameby: Columns,
    pos_diffby: Columns = (),
    neg_sameby: Columns = (),
    neg_diffby: Columns = (),
    queries: Any = None,
    null_size: int = 10_000,
    random_state: Any = None,
    block_size: int | None = None,
) -> pd.DataFrame:
    """Mean average precision of each group of profiles, its chance level and its significance.

    The null comes from copairs (``pip install "cloome_sk[eval]"``). Profiles are compared in blocks
    instead of by a list of all pairs, so that a screen of many thousand profiles fits memory.

    Parameters
    ----------
    X : DataFrame or array of shape (n_profiles, n_features)
        Profiles or embeddings, finite, compared by cosine similarity. A DataFrame without
        `metadata` brings both: its CellProfiler columns are the profile.
    metadata : DataFrame of n_profiles rows, optional
        The columns named below, in the row order of `X`.
    pos_sameby, pos_diffby : str or sequence of str
        Two profiles are a positive pair if they share the values of all `pos_sameby` columns and
        differ in every `pos_diffby` column. The groups of the result are those of `pos_sameby`.
    neg_sameby, neg_diffby : str or sequence of str
        The same for negative pairs; at least one column in all.
    queries : bool array of shape (n_profiles,), optional
        Which profiles are scored; the others still serve as positives and negatives. None: all.
    null_size : int, default=10000
        Random orders drawn; no p-value can be smaller than 1 / (null_size + 1).
    random_state : int, RandomState or None, default=None
        Seed of the null.
    block_size : int, optional
        Queries compared at a time. None: as many as fit 64 MiB.

    Returns
    -------
    DataFrame, one row a group
        The `pos_sameby` columns; ``mean_average_precision``, ``chance``,
        ``mean_normalized_average_precision`` (means over profiles); ``p_value``, the share of
        random orders at least as good, (n + 1) / (null_size + 1); ``corrected_p_value``
        (Benjamini-Hochberg over the groups); ``n_profiles`` scored and ``n_dropped`` queries
        without a positive or a negative. A group of which every query is dropped has NaN.

    Raises
    ------
    ImportError
        If copairs is not installed.
    ValueError
        As `profile_average_precision`, and if no query at all has a positive and a negative.

    Notes
    -----
    Differences to ``copairs.map``: ties count in expectation (copairs places tied positives first),
    p counts random orders that are as good as well as better ones (copairs counts better ones only,
    so few pairs can look significant), groups without any pair are listed, and nothing is cached on
    disk. Without ties the values are the same.

    References
    ----------
    Kalinin et al., "A versatile information retrieval framework for evaluating profile strength and
    similarity", Nat Commun 16:5181 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cloome_sk.metrics import mean_average_precision
    >>> rng = np.random.default_rng(0)
    >>> wells = pd.DataFrame({"compound": np.repeat(list("abcde"), 4), "plate": [1, 2, 3, 4] * 5})
    >>> X = np.repeat(rng.normal(size=(5, 20)), 4, axis=0) + rng.normal(size=(20, 20))
    >>> result = mean_average_precision(
    ...     X, wells, pos_sameby="compound", neg_diffby="compound", null_size=999, random_state=0
    ... )
    >>> result[["compound", "n_profiles", "n_dropped"]].head(2)
      compound  n_profiles  n_dropped
    0        a           4          0
    1        b           4          0
    """
    random_ap = _copairs_random_ap()
    null_size = check_count(null_size, "null_size")
    _, table = profiles_and_metadata(X, metadata)
    profiles = profile_average_precision(
        X,
        metadata,
        pos_sameby=pos_sameby,
        pos_diffby=pos_diffby,
        neg_sameby=neg_sameby,
        neg_diffby=neg_diffby,
        queries=queries,
        block_size=block_size,
    ).reset_index(drop=True)
    asked = query_rows(queries, len(table))
    known = profiles["average_precision"].notna().to_numpy()
    if not known.any():
        raise ValueError(
            f"None of the {int(asked.sum())} queries has both a positive and a negative pair under "
            f"pos_sameby={pos_sameby!r}, pos_diffby={pos_diffby!r}, neg_sameby={neg_sameby!r}, "
            f"neg_diffby={neg_diffby!r}."
        )
    columns = matched_columns(table, pos_sameby, "pos_sameby")
    groups = table.loc[:, columns].reset_index(drop=True)[asked].groupby(columns, observed=True)
    labels = groups.ngroup().reindex(range(len(table)), fill_value=-1).to_numpy()
    result = groups.size().rename("n_profiles").reset_index()
    n_scored = np.bincount(labels[known], minlength=len(result))
    for name, source in (
        ("mean_average_precision", "average_precision"),
        ("chance", "chance"),
        ("mean_normalized_average_precision", "normalized_average_precision"),
    ):
        result[name] = profiles[known].groupby(labels[known])[source].mean()
    result["p_value"] = _p_values(
        result["mean_average_precision"].to_numpy(),
        labels[known],
        profiles.loc[known, ["n_positives", "n_negatives"]].to_numpy(),
        null_size,
        check_random_state(random_state).randint(2**31 - 1),
        random_ap,
    )
    result["corrected_p_value"] = _benjamini_hochberg(result["p_value"].to_numpy())
    result["n_dropped"] = result["n_profiles"] - n_scored
    result["n_profiles"] = n_scored
    last = ["n_profiles", "n_dropped"]
    return result[[name for name in result.columns if name not in last] + last]


def _copairs_random_ap() -> Callable[..., np.ndarray]:
    """The sampler of random average precisions."""
    try:
        from copairs.compute import random_ap
    except ImportError as error:
        raise ImportError(
            "mean_average_precision takes its permutation null from copairs, which is not "
            'installed. Install it with: pip install "cloome_sk[eval]"'
        ) from error
    return random_ap


def _p_values(
    observed: np.ndarray,
    labels: np.ndarray,
    pairs: np.ndarray,
    null_size: int,
    seed: int,
    random_ap: Callable[..., np.ndarray],
) -> np.ndarray:
    """Share of random orders whose mean over the group is at least the observed one.

    As in copairs, profiles with the same numbers of pairs share their draws. Draws are made in
    rounds that bound the memory, each seeded by the numbers of pairs and the round.
    """
    from scipy.sparse import csr_array

    kinds, kind = np.unique(pairs, axis=0, return_inverse=True)
    weights = csr_array(
        (np.ones(len(labels)), (labels, kind.reshape(-1))), shape=(len(observed), len(kinds))
    )
    sizes = np.maximum(np.bincount(labels, minlength=len(observed)), 1)
    widest = max(8 * int(kinds.sum(axis=1).max()), 12 * max(len(kinds), len(observed)))
    step = max(1, min(null_size, _NULL_BYTES // widest))
    as_good = np.zeros(len(observed), dtype=np.int64)
    for start in range(0, null_size, step):
        n_draws = min(step, null_size - start)
        null = np.empty((len(kinds), n_draws), dtype=np.float32)
        for i, (n_right, n_wrong) in enumerate(kinds.tolist()):
            of_kind = np.random.SeedSequence([seed, n_right, n_wrong, start])
            null[i] = random_ap(
                n_draws, n_right, n_right + n_wrong, int(of_kind.generate_state(1)[0])
            )
        means = (weights @ null) / sizes[:, None]
        as_good += (means >= observed[:, None] - _NULL_ROUNDING).sum(axis=1)
    return np.where(np.isnan(observed), np.nan, (as_good + 1) / (null_size + 1))


def _benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Corrected p-values of the groups that have one."""
    from scipy.stats import false_discovery_control

    corrected = np.full(len(p_values), np.nan)
    known = ~np.isnan(p_values)
    corrected[known] = false_discovery_control(p_values[known])
    return corrected
