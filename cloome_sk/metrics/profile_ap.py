"""Average precision of single profiles, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.metrics._checks import check_count
from cloome_sk.metrics._pairs import (
    Columns,
    check_disjoint,
    pair_rules,
    profiles_and_metadata,
    query_rows,
)
from cloome_sk.metrics._scores import CosineScores
from cloome_sk.metrics.average_precision import (
    average_precision_chance,
    expected_average_precision,
)

_BLOCK_BYTES = 2**26


def profile_average_precision(
    X: Any,
    metadata: pd.DataFrame | None = None,
    *,
    pos_sameby: Columns,
    pos_diffby: Columns = (),
    neg_sameby: Columns = (),
    neg_diffby: Columns = (),
    queries: Any = None,
    block_size: int | None = None,
) -> pd.DataFrame:
    """Average precision of each profile: do its positives come before its negatives.

    Parameters
    ----------
    X : DataFrame or array of shape (n_profiles, n_features)
        Profiles or embeddings, finite, compared by cosine similarity. A DataFrame without
        `metadata` brings both: its CellProfiler columns are the profile.
    metadata : DataFrame of n_profiles rows, optional
        The columns named below, in the row order of `X`.
    pos_sameby, pos_diffby : str or sequence of str
        Two profiles are a positive pair if they share the values of all `pos_sameby` columns and
        differ in every `pos_diffby` column.
    neg_sameby, neg_diffby : str or sequence of str
        The same for negative pairs; at least one column in all.
    queries : bool array of shape (n_profiles,), optional
        Which profiles are scored; the others still serve as positives and negatives. None: all.
        Use it to leave negative controls out of the result.
    block_size : int, optional
        Queries compared at a time. None: as many as fit 64 MiB.

    Returns
    -------
    DataFrame, one row a profile
        ``average_precision``, ``chance`` (mean over random orders),
        ``normalized_average_precision`` = (AP − chance) / (1 − chance), ``n_positives``,
        ``n_negatives``; index of `metadata`. NaN where a profile is no query, or has no positive
        or no negative.

    Raises
    ------
    ValueError
        If a column is missing, holds missing values, or is both shared and different; if a pair is
        both positive and negative; if X is not finite, has a row of zeros, or does not fit.

    See Also
    --------
    mean_average_precision : Means over groups, with significance.

    Notes
    -----
    Tied similarities count with the mean over their random orders, so profiles that are all equal
    score at chance.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.metrics import profile_average_precision
    >>> plates = pd.DataFrame({"compound": list("aabb")})
    >>> X = [[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.9, 0.8]]
    >>> profile_average_precision(
    ...     X, plates, pos_sameby="compound", neg_diffby="compound"
    ... )[["average_precision", "n_negatives"]]
       average_precision  n_negatives
    0           1.000000            2
    1           1.000000            2
    2           1.000000            2
    3           0.333333            2
    """
    features, table = profiles_and_metadata(X, metadata)
    by = {
        "pos_sameby": pos_sameby,
        "pos_diffby": pos_diffby,
        "neg_sameby": neg_sameby,
        "neg_diffby": neg_diffby,
    }
    positive, negative = pair_rules(table, by)
    scored = query_rows(queries, len(table))
    scores = CosineScores(features, features)
    if block_size is None:
        block_size = max(1, _BLOCK_BYTES // (8 * len(table)))
    else:
        block_size = check_count(block_size, "block_size")
    precision = np.full(len(table), np.nan)
    n_positives, n_negatives = np.zeros((2, len(table)), dtype=np.int64)
    for start in range(0, len(table), block_size):
        stop = min(start + block_size, len(table))
        if not scored[start:stop].any():
            continue
        block = scores.exact(start, stop)
        right, wrong = positive(start, stop), negative(start, stop)
        check_disjoint(right & wrong, start, by)
        n_positives[start:stop], n_negatives[start:stop] = right.sum(axis=1), wrong.sum(axis=1)
        for row in np.flatnonzero(scored[start:stop] & right.any(axis=1) & wrong.any(axis=1)):
            precision[start + row] = expected_average_precision(
                block[row, right[row]], block[row, wrong[row]], slack=scores.slack
            )
    chance = np.full(len(table), np.nan)
    known = ~np.isnan(precision)
    n_pairs = (n_positives + n_negatives)[known]
    chance[known] = average_precision_chance(n_positives[known], n_pairs)
    return pd.DataFrame(
        {
            "average_precision": precision,
            "chance": chance,
            "normalized_average_precision": (precision - chance) / (1 - chance),
            "n_positives": np.where(scored, n_positives, 0),
            "n_negatives": np.where(scored, n_negatives, 0),
        },
        index=table.index,
    )
