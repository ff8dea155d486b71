"""Where the right class stands among all, for many draws of the references."""

from __future__ import annotations

import numpy as np

from cloome_sk._nearest import row_blocks
from cloome_sk.metrics._expectations import hit_probability

BELOW_ANY_COSINE = -2.0


def class_prototypes(references: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Give the normalised mean of the references of each class.

    Parameters
    ----------
    references : ndarray of float, shape (n_rows, n_components)
        Unit vectors; NaN where there is none.
    rows : ndarray of intp, shape (n_classes, k)
        References of each class.

    Returns
    -------
    ndarray of float64, shape (n_classes, n_components)
        Unit vectors; NaN for a class none of whose references has a vector, or whose vectors
        cancel out.
    """
    means = np.nan_to_num(references.astype(np.float64))[rows].mean(axis=1)
    length = np.sqrt(np.einsum("ij,ij->i", means, means))
    length[length < 1e-12] = np.nan
    return means / length[:, np.newaxis]


def top_hits(
    queries: np.ndarray, prototypes: np.ndarray, truth: np.ndarray, tops: tuple[int, ...]
) -> np.ndarray:
    """Give the probability that the right class is among the first, over random orders of ties.

    Parameters
    ----------
    queries : ndarray of float, shape (n_queries, n_components)
        Unit vectors; NaN where there is none: such a query ties all classes.
    prototypes : ndarray of float64, shape (n_classes, n_components)
        Unit vectors; a class without one comes last.
    truth : ndarray of intp, shape (n_queries,)
        Position of the right class.
    tops : tuple of int
        How many classes are named.

    Returns
    -------
    ndarray of float64, shape (n_tops, n_queries)
        In [0, 1].
    """
    last = np.isnan(prototypes).any(axis=1)
    candidates = np.nan_to_num(prototypes)
    # The bound on the rounding error of a product of two unit vectors: below it scores tie.
    slack = 4 * (queries.shape[1] + 4) * np.finfo(np.float64).eps
    out = np.empty((len(tops), len(queries)))
    for block in row_blocks(len(queries), 8 * (queries.shape[1] + 3 * len(prototypes))):
        own = queries[block].astype(np.float64)
        blank = np.isnan(own).any(axis=1)
        own[blank] = 0.0
        scores = own @ candidates.T
        scores[:, last] = BELOW_ANY_COSINE
        scores[blank] = BELOW_ANY_COSINE
        out[:, block] = hits_of_scores(scores, truth[block], tops, slack)
    return out


def hits_of_scores(
    scores: np.ndarray, truth: np.ndarray, tops: tuple[int, ...], slack: float
) -> np.ndarray:
    """Give the probability that the right class is among the first, from the scores of all.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_queries, n_classes)
        Larger is better.
    truth : ndarray of intp, shape (n_queries,)
        Position of the right class.
    tops : tuple of int
        How many classes are named.
    slack : float
        Scores that differ by no more tie.

    Returns
    -------
    ndarray of float64, shape (n_tops, n_queries)
        In [0, 1], over random orders of ties.
    """
    apart = scores - scores[np.arange(len(scores)), truth][:, np.newaxis]
    above = (apart > slack).sum(axis=1)
    tied = (np.abs(apart) <= slack).sum(axis=1) - 1
    one = np.ones(len(scores))
    return np.array([hit_probability(top, above, tied, one) for top in tops])
