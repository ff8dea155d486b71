"""The layout test: whether wells that hold only the vehicle find their own well position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk.baselines._fitted import phenotype_function
from cloome_sk.baselines._structures import check_table
from cloome_sk.baselines.profile_features import ProfileFeatures
from cloome_sk.baselines.well_features import plate_values, well_positions
from cloome_sk.metrics import bootstrap_interval, retrieval_ranks
from cloome_sk.preprocessing.controls import find_controls


def layout_test(
    X: pd.DataFrame,
    embed: Any = None,
    *,
    plate: str = "plate",
    well: str = "well",
    controls: Any = "auto",
    profile: Any = None,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = None,
) -> pd.DataFrame:
    """Measure how much of a phenotype is the position of its well.

    Each negative control well looks for its nearest neighbour (cosine) among the negative control
    wells of all other plates, and counts as a hit where that one has the same well position. All
    of them hold the same vehicle, so a rate above chance is layout: edges, gradients, dispensing.
    On plates of one layout replicates share their position too, and a model that finds replicates
    may have found positions.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_columns)
        Wells of two plates or more, negative controls among them. Other rows have no influence.
    embed : fitted embedder, callable or None, default=None
        An estimator with `embed_phenotypes` (also in a `Pipeline` or `FrozenEstimator`), or a
        function from a table to an array of shape (n_rows, n_components). None: the profiles alone.
    plate, well : str, default="plate", "well"
        The columns, in any case and with or without ``Metadata_``. Wells are named ``A01``.
    controls : "auto", (column, value or values), default="auto"
        The negative controls, as in `cloome_sk.preprocessing.find_controls`.
    profile : transformer or None, default=None
        From rows of a table to profiles; cloned and fitted on the controls. None is a
        `ProfileFeatures`.
    confidence : float, default=0.95
        Coverage of the interval.
    n_bootstrap : int, default=2000
        Number of resamples of well positions.
    random_state : int, RandomState or None, default=None
        Seed of the resamples.

    Returns
    -------
    DataFrame, one row for ``"profile"`` and, with `embed`, one for ``"embedding"``
        ``rate`` with ``low`` and ``high`` (bootstrap over well positions), ``chance`` (exact, given
        how many wells of each position the other plates have), ``n_wells``, ``n_positions`` and
        ``n_plates`` scored, and ``n_dropped``: controls whose position no other plate has a control
        at.

    Raises
    ------
    TypeError
        If X is no DataFrame, or `embed` none of what it may be.
    ValueError
        If there are no controls, they are on fewer than two plates, no two plates share a position,
        or a well has no name like ``A01``.

    Examples
    --------
    A simulated screen with strong effects of position, every plate of the same layout:

    >>> from cloome_sk.baselines import layout_test
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(position_effect=2.0, layout="fixed", random_state=0)
    >>> result = layout_test(X, random_state=0)
    >>> bool(result.loc["profile", "low"] > result.loc["profile", "chance"])
    True
    """
    check_table(X, "layout_test")
    found = find_controls(X, controls)
    if not found.n:
        raise ValueError(
            f"layout_test: no negative control found in {len(X)} rows. Name them: "
            "controls=(column, value)."
        )
    wells = X[found.mask]
    plates = plate_values(wells, plate, purpose="layout_test")
    n_plates = pd.Series(plates).nunique()
    if n_plates < 2:
        raise ValueError(
            f"layout_test: all {found.n} negative controls are on one plate ({plates[0]!r}); "
            "a position is looked for on other plates."
        )
    rows, columns = well_positions(wells, well, purpose="layout_test")
    positions = np.array([f"{row}{column}" for row, column in zip(rows, columns, strict=True)])
    base = ProfileFeatures() if profile is None else clone(profile)
    spaces = {"profile": base.fit_transform(wells)}
    if embed is not None:
        spaces["embedding"] = np.asarray(phenotype_function(embed)(wells))
    table = {}
    for space, vectors in spaces.items():
        ranks = retrieval_ranks(
            vectors,
            vectors,
            query_ids=positions,
            database_ids=positions,
            exclude=(plates, plates),
            duplicates="keep",
            ks=(1,),
        )
        kept = np.flatnonzero(ranks["n_positives"].to_numpy() > 0)
        if not len(kept):
            raise ValueError(
                f"layout_test: none of the {found.n} negative controls has a control at its own "
                f"position on another of the {n_plates} plates, so there is no layout to find."
            )
        hits = ranks["R@1"].to_numpy()[kept]
        low: Any = np.nan
        high: Any = np.nan
        if len(np.unique(positions[kept])) > 1:
            low, high = bootstrap_interval(
                hits,
                positions[kept],
                confidence=confidence,
                n_bootstrap=n_bootstrap,
                random_state=random_state,
            )
        table[space] = {
            "rate": hits.mean(),
            "low": low,
            "high": high,
            "chance": ranks["chance@1"].to_numpy()[kept].mean(),
            "n_wells": len(kept),
            "n_positions": len(np.unique(positions[kept])),
            "n_plates": pd.Series(plates[kept]).nunique(),
            "n_dropped": len(ranks) - len(kept),
        }
    return pd.DataFrame.from_dict(table, orient="index").astype(
        dict.fromkeys(["n_wells", "n_positions", "n_plates", "n_dropped"], int)
    )
