"""Butina clustering from lists of neighbours, with the tie rules of RDKit."""

from __future__ import annotations

import heapq

import numpy as np
from scipy.sparse import csr_array


def butina_labels(neighbors: csr_array, *, reordering: bool = False) -> np.ndarray:
    """Cluster by taking, again and again, the point with most neighbours and those still free.

    The clusters, and their order, are those of ``rdkit.ML.Cluster.Butina.ClusterData``: of
    points with equally many neighbours the last one goes first.

    Parameters
    ----------
    neighbors : csr_array, shape (n_points, n_points)
        Symmetric, with an empty diagonal.
    reordering : bool, default=False
        Whether points that are taken stop counting as neighbours of others.

    Returns
    -------
    ndarray of intp, shape (n_points,)
        Number of each point's cluster, in the order in which clusters are formed.
    """
    start, indices = neighbors.indptr, neighbors.indices
    counts = np.diff(start).astype(np.int64)
    labels = np.full(len(counts), -1, dtype=np.intp)
    queue = [(-count, -point) for point, count in enumerate(counts.tolist())]
    heapq.heapify(queue)
    n_clusters = 0
    while queue:
        count, point = heapq.heappop(queue)
        count, point = -count, -point
        if labels[point] >= 0:
            continue
        if count != counts[point]:  # has lost neighbours since it was queued
            heapq.heappush(queue, (-int(counts[point]), -point))
            continue
        near = indices[start[point] : start[point + 1]]
        cluster = [point, *near[labels[near] < 0].tolist()]
        labels[cluster] = n_clusters
        n_clusters += 1
        if reordering:
            for member in cluster:
                counts[indices[start[member] : start[member + 1]]] -= 1
    return labels
