"""How fast molecules are compared and clustered, beside RDKit one molecule at a time.

``python -m benchmarks.bench_butina`` also clusters the 115,723 JUMP compounds in the folder that
CLOOME_SK_DATA names, and reports the time of each step and the highest memory of the process.
"""

from __future__ import annotations

import itertools
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from rdkit import DataStructs
from rdkit.ML.Cluster import Butina
from scipy.sparse import csr_array

from benchmarks._memory import highest_megabytes
from cloome_sk.model_selection import cluster_groups, molecule_groups
from cloome_sk.model_selection._butina import butina_labels
from cloome_sk.molecules import invalid_smiles, morgan_fingerprints, tanimoto_neighbors

RADIUS, N_BITS = 2, 2048
CORES = (
    *("c1ccc({0})cc1{1}", "c1cc({0})nc({1})c1", "C1CN({0})CCN1{1}", "c1nc({0})sc1{1}"),
    *("c1ccc2c({0})cc({1})nc2c1", "O=C1CC({0})CN1{1}", "c1c({0})[nH]c2ccc({1})cc12"),
)
GROUPS = (
    *("C", "CC", "CCC", "C(C)C", "C1CC1", "CO", "CCO", "CN", "CCN(C)C", "C(F)(F)F", "C#N"),
    *("C(=O)O", "C(=O)N", "C(=O)NC", "C(=O)OC", "CS(C)(=O)=O", "Cc2ccccc2", "Cc2ccncc2"),
    *("c2ccccc2", "c2ccc(F)cc2", "c2ccc(Cl)cc2", "c2ccc(OC)cc2", "c2cccnc2", "CC(=O)NC3CC3"),
)


def made_up_library(n_molecules: int) -> list[str]:
    """Distinct molecules of a few cores with two substituents each, in random order."""
    library = [
        core.format(first, second)
        for core, first, second in itertools.product(CORES, GROUPS, GROUPS)
    ]
    bad = invalid_smiles(library)
    kept = [smiles for row, smiles in enumerate(library) if row not in bad]
    return np.random.default_rng(0).permutation(kept)[:n_molecules].tolist()


def bit_vectors(bits: np.ndarray) -> list[Any]:
    """The fingerprints as RDKit's own bit vectors."""
    return [DataStructs.CreateFromBitString("".join(map(str, row))) for row in bits]


def rdkit_similarities(vectors: list[Any], threshold: float) -> csr_array:
    """Neighbours by `BulkTanimotoSimilarity`, a row at a time, without a matrix of all pairs."""
    indptr, indices = [0], []
    for row, vector in enumerate(vectors):
        near = np.array(DataStructs.BulkTanimotoSimilarity(vector, vectors)) >= threshold
        near[row] = False
        indices.append(np.flatnonzero(near))
        indptr.append(indptr[-1] + len(indices[-1]))
    found = np.concatenate(indices)
    return csr_array((np.ones(len(found)), found, indptr), shape=(len(vectors),) * 2)


def rdkit_clusters(vectors: list[Any], threshold: float) -> np.ndarray:
    """Cluster numbers by RDKit alone."""
    distances: list[float] = []
    for row in range(1, len(vectors)):
        similarity = DataStructs.BulkTanimotoSimilarity(vectors[row], vectors[:row])
        distances.extend(1 - value for value in similarity)
    clusters = Butina.ClusterData(distances, len(vectors), 1 - threshold, isDistData=True)
    labels = np.empty(len(vectors), dtype=np.intp)
    for number, members in enumerate(clusters):
        labels[list(members)] = number
    return labels


def rows(n_molecules: int = 3_000, threshold: float = 0.35) -> list[dict[str, Any]]:
    """Time the neighbours and the clusters of a made-up library against RDKit, one thread each."""
    bits = morgan_fingerprints(
        made_up_library(n_molecules), radius=RADIUS, n_bits=N_BITS, use_chirality=False
    )
    vectors = bit_vectors(bits)

    start = perf_counter()
    neighbors = tanimoto_neighbors(bits, threshold)
    neighbor_seconds = perf_counter() - start
    labels = butina_labels(neighbors)
    cluster_seconds = perf_counter() - start

    start = perf_counter()
    expected = rdkit_similarities(vectors, threshold)
    bulk_seconds = perf_counter() - start
    start = perf_counter()
    expected_labels = rdkit_clusters(vectors, threshold)
    rdkit_seconds = perf_counter() - start

    if not np.array_equal(neighbors.indices, expected.indices):
        raise AssertionError("the neighbours differ from those of RDKit")
    if not np.array_equal(labels, expected_labels):
        raise AssertionError("the clusters differ from those of RDKit")
    measured = (
        ("neighbours", neighbor_seconds, "BulkTanimotoSimilarity", bulk_seconds),
        ("neighbours and clusters", cluster_seconds, "RDKit Butina.ClusterData", rdkit_seconds),
    )
    return [
        {
            "name": f"{name}, {len(bits):,} molecules, {N_BITS} bits, Tanimoto >= {threshold}",
            "seconds": seconds,
            "reference": reference,
            "reference_seconds": reference_seconds,
            "ratio": reference_seconds / seconds,
        }
        for name, seconds, reference, reference_seconds in measured
    ]


def cluster_all(threshold: float = 0.35) -> list[dict[str, Any]]:
    """Cluster every JUMP compound that can be read, from SMILES to cluster numbers."""
    from cloome_sk.datasets import get_data_home

    path = get_data_home() / "labels" / "jump_phenotypic_activity_115k.parquet"
    smiles = pd.read_parquet(path, columns=["smiles"])["smiles"]
    print(f"{len(smiles):,} compounds, {highest_megabytes() / 2**10:.2f} GB in use", flush=True)
    start = perf_counter()
    bad = invalid_smiles(smiles)
    smiles = smiles.drop(smiles.index[list(bad)])
    steps = [(f"reading; {len(bad)} dropped that cannot be parsed", perf_counter() - start)]
    start = perf_counter()
    n_molecules = len(np.unique(molecule_groups(smiles)))
    steps.append((f"molecule keys; {n_molecules:,} molecules", perf_counter() - start))
    start = perf_counter()
    labels = cluster_groups(smiles, threshold=threshold, verbose=1)
    sizes = np.bincount(labels)
    what = f"fingerprints, neighbours, Butina; {len(sizes):,} clusters, largest {sizes.max():,}"
    steps.append((f"{what}, peak {highest_megabytes() / 2**10:.2f} GB", perf_counter() - start))
    return [
        {
            "name": f"{name} (Tanimoto >= {threshold})" if "Butina" in name else name,
            "seconds": seconds,
            "reference": "RDKit Butina.ClusterData (not run: its matrix takes 107 GB)",
            "reference_seconds": float("nan"),
            "ratio": float("nan"),
        }
        for name, seconds in steps
    ]


if __name__ == "__main__":
    print(pd.DataFrame([*rows(), *cluster_all()]).to_string(float_format="{:.2f}".format))
