"""Whether a hit is closer than what queries without a match find in the same database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cloome_sk.confidence.nested import NestedScores


@dataclass(frozen=True, eq=False)
class Null:
    """The best hits of queries that have no match to find.

    Attributes
    ----------
    best : NestedScores
        Of each query the highest cosine with a candidate of another molecule.
    exclude : tuple of str
        Columns, apart from the molecule, in which query and candidate had to differ.
    molecules_seen_ : ndarray of object
        Keys of the molecules of these queries, where structures were given.
    """

    best: NestedScores
    exclude: tuple[str, ...]
    molecules_seen_: np.ndarray

    @property
    def n_molecules(self) -> int:
        """Number of molecules; no p is below one over this plus one."""
        return self.best.n_groups

    def p_values(self, similarity: ArrayLike) -> np.ndarray:
        """How often a query without a match has a hit as close, anywhere in the database.

        Parameters
        ----------
        similarity : array-like of float, shape (n_hits,)
            Cosines of hits.

        Returns
        -------
        ndarray of float64, shape (n_hits,)
            In (0, 1].
        """
        return self.best.p_values(similarity)


def selective_q(p: ArrayLike, best: ArrayLike) -> np.ndarray:
    """Correct the p-values of hits for the number of queries.

    Parameters
    ----------
    p : array-like of float, shape (n_hits,)
        P-values of hits, each corrected already for the candidates of its query.
    best : array-like of float, shape (n_queries,)
        The smallest p of each query; 1 where it has no hit.

    Returns
    -------
    ndarray of float64, shape (n_hits,)
        For each p the least, over thresholds t ≥ p, of ``n_queries · t / #{best ≤ t}``, at most 1.
        For the best hit of a query this is the adjusted p-value of Benjamini and Hochberg [1]_.

    Notes
    -----
    Hits with ``q ≤ α`` are those whose p is at most ``α · R / n_queries``, where R is the number of
    queries that have any: queries are selected by Benjamini and Hochberg, and within the selected
    the error of the family of candidates is kept at the level of the selection [2]_. So the share
    of wrong ones *among the queries with any such hit*, where one wrong hit makes a query wrong, is
    at most α on average.

    References
    ----------
    .. [1] Benjamini & Hochberg, "Controlling the false discovery rate", J R Stat Soc B 57:289
       (1995).
    .. [2] Benjamini & Bogomolov, "Selective inference on multiple families of hypotheses",
       J R Stat Soc B 76:297 (2014).

    Examples
    --------
    >>> from cloome_sk.confidence import selective_q
    >>> selective_q([0.01, 0.04, 0.5], best=[0.01, 0.02, 0.5, 1.0]).round(3)
    array([0.04 , 0.08 , 0.667])
    """
    p = np.asarray(p, dtype=np.float64)
    ordered = np.sort(np.asarray(best, dtype=np.float64))
    n_queries = len(ordered)
    if not len(p):
        return np.zeros(0)
    # Beyond p the ratio is least just where another query comes in.
    counts = np.searchsorted(ordered, ordered, side="right")
    beyond = np.append(np.minimum.accumulate((n_queries * ordered / counts)[::-1])[::-1], np.inf)
    at = n_queries * p / np.maximum(np.searchsorted(ordered, p, side="right"), 1)
    later = beyond[np.searchsorted(ordered, p, side="left")]
    return np.minimum(np.minimum(at, later), 1.0)


def check_names(columns: Any) -> None:
    """Refuse a database whose shown columns are named like those that are added."""
    taken = [name for name in ("p", "q") if name in list(columns)]
    if taken:
        raise ValueError(
            f"The database has column(s) named {', '.join(taken)}, like those that significance "
            "adds. Rename them before `fit`, or choose others by `columns=`."
        )
