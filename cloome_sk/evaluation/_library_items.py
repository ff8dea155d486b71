"""What a library is to cover, which compound covers what, and what random compounds cover.

Every figure of the study counts items (mechanisms, clusters of profiles, compounds with a new
phenotype) that at least one pick covers, so that what random picks cover has a closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import hypergeom
from sklearn.cluster import KMeans

from cloome_sk._nearest import row_blocks
from cloome_sk.evaluation.annotations import Terms

N_GROUPS, TIMES = 1000, (5, 20)
"""Random groups that tell what chance gives, and how often wells are dealt out, least and most."""


@dataclass(frozen=True)
class Items:
    """What there is to cover.

    Attributes
    ----------
    name : str
        The metric.
    covers : ndarray of bool, shape (n_candidates, n_items)
        Which candidate covers which item.
    unit : float
        What one item counts.
    """

    name: str
    covers: np.ndarray
    unit: float = 1.0

    def covered(self, order: np.ndarray, budgets: Sequence[int]) -> np.ndarray:
        """What the first so many of some candidates cover, for each budget; all where fewer."""
        seen = np.logical_or.accumulate(self.covers[order], axis=0).sum(axis=1)
        return self.unit * np.append(0, seen)[np.minimum(budgets, len(order))]

    def expected(self, budgets: Sequence[int]) -> np.ndarray:
        """What random candidates cover on average: exact, without draws."""
        n, times = len(self.covers), self.covers.sum(axis=0)
        missed = [hypergeom.pmf(0, n, times, budget) for budget in budgets]
        return self.unit * np.array([(1.0 - one).sum() for one in missed])

    def ceiling(self, most: int) -> np.ndarray:
        """Candidates in the order in which they cover most that is new, knowing the items.

        The most there is where every candidate covers one item; else at least 1 − 1/e of it.
        """
        gains = self.covers.astype(np.float32)
        order = []
        free = np.ones(len(gains), dtype=bool)
        for _ in range(most):
            best = int(np.argmax(np.where(free, gains.sum(axis=1), -1.0)))
            order.append(best)
            free[best] = False
            gains[:, self.covers[best]] = 0
        return np.array(order, dtype=np.intp)


def term_items(name: str, terms: Sequence[Terms], known: Terms = frozenset()) -> Items:
    """Items that are the terms of the candidates, but those known already."""
    every = sorted(frozenset().union(*terms) - known)
    place = {term: at for at, term in enumerate(every)}
    covers = np.zeros((len(terms), len(every)), dtype=bool)
    for row, own in enumerate(terms):
        covers[row, [place[term] for term in own if term in place]] = True
    return Items(name, covers)


def cluster_labels(profiles: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """Cluster of each measured profile, by k-means of their directions."""
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(profiles)


def near_items(
    name: str, candidates: np.ndarray, active: np.ndarray, deck: np.ndarray, radius: float
) -> Items:
    """Items that are the active candidates whose measured phenotype is unlike all of the deck.

    An active pick covers those within the radius of its own measured phenotype. Counted as shares
    of all that there are.

    Parameters
    ----------
    name : str
        The metric.
    candidates : ndarray of float64, shape (n_candidates, n_features)
        Unit vectors of measured profiles.
    active : ndarray of bool, shape (n_candidates,)
        Which of them have a phenotype.
    deck : ndarray of float64, shape (n_deck, n_features)
        Those of the deck that have one.
    radius : float
        1 − cosine up to which two are one phenotype.

    Returns
    -------
    Items
        One for each new phenotype.
    """
    new = active.copy()
    for block in row_blocks(len(candidates), 16 * max(len(deck), 1)):
        new[block] &= (1 - candidates[block] @ deck.T > radius).all(axis=1)
    targets = candidates[new]
    covers = 1 - candidates @ targets.T <= radius
    # A compound has its own phenotype, whatever the rounding of its distance to itself.
    covers[np.flatnonzero(new), np.arange(len(targets))] = True
    covers[~active] = False
    return Items(name, covers, 1.0 / max(len(targets), 1))


def replicate_distances(wells: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Mean distance of the wells of each compound to its other wells together.

    Parameters
    ----------
    wells : ndarray of float64, shape (n_wells, n_features)
        Profiles.
    codes : ndarray of intp, shape (n_wells,)
        Compound of each.

    Returns
    -------
    ndarray of float64, shape (n_compounds,)
        1 − cosine; NaN for a compound of one well.
    """
    sizes, total = _totals(wells, codes)
    apart = _apart(wells, total[codes] - wells)
    return np.where(sizes > 1, np.bincount(codes, apart) / sizes, np.nan)


def limits_of_chance(wells: np.ndarray, codes: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Distance of replicates that wells grouped at random undercut with a given probability.

    Wells are dealt out anew to compounds of the same number of wells, since the mean over few wells
    varies more than that over many. Groups that hold wells of one phenotype are in the lower tail,
    so the upper one is mirrored at the median.

    Parameters
    ----------
    wells, codes
        As for `replicate_distances`.
    share : float
        The probability, in (0, 1).
    seed : int
        Of the dealing; the order of the wells does not matter.

    Returns
    -------
    ndarray of float64, shape (n_compounds,)
        1 − cosine; NaN for a compound of one well.
    """
    wells = wells[np.lexsort((wells[:, 0], wells.sum(axis=1), codes))]
    generator = np.random.default_rng(seed)
    sizes = np.bincount(codes)
    out = np.full(len(sizes), np.nan)
    for size in np.unique(sizes[sizes > 1]):
        dealt = np.repeat(np.arange(len(wells) // size), size)
        times = int(np.clip(-(-N_GROUPS // (dealt[-1] + 1)), *TIMES))
        null = np.concatenate(
            [
                replicate_distances(wells[generator.permutation(len(wells))[: len(dealt)]], dealt)
                for _ in range(times)
            ]
        )
        out[sizes == size] = 2 * np.median(null) - np.quantile(null, 1 - share)
    return out


def _totals(wells: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.bincount(codes)
    total = np.zeros((len(sizes), wells.shape[1]))
    np.add.at(total, codes, wells)
    return sizes, total


def _apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return 1 - np.einsum("ij,ij->i", left, right) / np.where(norms > 0, norms, 1.0)
