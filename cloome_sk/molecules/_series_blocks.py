"""Sets of molecules small enough to compare all pairs, near ones together."""

from __future__ import annotations

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_matrix
from sklearn.cluster import MiniBatchKMeans

ITERATIONS = 10
BATCH = 4096


def blocks(
    smiles: np.ndarray, *, block_size: int, radius: int, n_bits: int, seed: int
) -> list[np.ndarray]:
    """Rows of each block, by k-means on the directions of the fingerprints.

    Blocks hold at most `block_size` molecules, on average about half as many. Memory grows with
    the number of molecules alone.
    """
    rows = np.arange(len(smiles))
    if len(smiles) <= block_size:
        return [rows]
    directions = _directions(smiles, radius, n_bits)
    open_blocks, done = [rows], []
    while open_blocks:
        block = open_blocks.pop()
        if len(block) <= block_size:
            done.append(block)
            continue
        labels = _split(directions[block], -(-2 * len(block) // block_size), seed)
        parts = [block[labels == label] for label in np.unique(labels)]
        if len(parts) == 1:
            # Molecules of one fingerprint: any cut does.
            parts = np.array_split(block, -(-len(block) // block_size))
        open_blocks.extend(reversed(parts))
    return done


def _directions(smiles: np.ndarray, radius: int, n_bits: int) -> csr_matrix:
    """Fingerprints of length one."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
    indices, ends = [], [0]
    for text in smiles:
        bits = list(generator.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits())
        indices.append(np.array(bits, dtype=np.int32))
        ends.append(ends[-1] + len(bits))
    counts = np.diff(ends)
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    return csr_matrix((values, np.concatenate(indices), ends), shape=(len(smiles), n_bits))


def _split(directions: csr_matrix, n_parts: int, seed: int) -> np.ndarray:
    """Part of each row."""
    # The mini-batch kind gives the same with any number of threads: each sums over whole parts.
    means = MiniBatchKMeans(
        n_parts,
        random_state=seed,
        batch_size=BATCH,
        max_iter=ITERATIONS,
        n_init=1,
        init="random",
        reassignment_ratio=0,
    )
    return means.fit_predict(directions)
