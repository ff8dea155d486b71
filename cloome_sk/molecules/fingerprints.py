"""Morgan fingerprints, bit for bit those of the CLOOME paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator

from cloome_sk.molecules.smiles import as_smiles, bad_molecules_message, factorize, invalid_smiles


def morgan_fingerprints(
    smiles: Any, *, radius: int = 3, n_bits: int = 1024, use_chirality: bool = True
) -> np.ndarray:
    """Compute binary Morgan fingerprints, each distinct SMILES once.

    The defaults are the molecule input of CLOOME [1]_: radius 3, 1,024 bits, chirality on. The
    structure is fingerprinted as written, salts and charges included, as in the paper.

    Parameters
    ----------
    smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
        The structures.
    radius : int, default=3
        Radius of the circular environments, in bonds (>= 0).
    n_bits : int, default=1024
        Length of the fingerprint (>= 1).
    use_chirality : bool, default=True
        Whether tetrahedral stereochemistry enters the atom invariants.

    Returns
    -------
    ndarray of uint8, shape (n_samples, n_bits)
        Bits, 0 or 1.

    Raises
    ------
    ValueError
        If a structure is missing, empty or cannot be parsed; the message names the rows.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> from cloome_sk.molecules import morgan_fingerprints
    >>> bits = morgan_fingerprints(["CCO", "c1ccccc1", "CCO"])
    >>> bits.shape, bits.dtype, bits.sum(axis=1).tolist()
    ((3, 1024), dtype('uint8'), [6, 4, 6])
    """
    smiles = as_smiles(smiles)
    codes, distinct = factorize(smiles)
    bits = distinct_fingerprints(
        distinct, radius=int(radius), n_bits=int(n_bits), use_chirality=bool(use_chirality)
    )
    if (codes < 0).any() or any(row is None for row in bits):
        bad = invalid_smiles(smiles)
        raise ValueError(bad_molecules_message(bad, len(smiles), "the list", "row {}".format))
    stacked = np.array(bits, dtype=np.uint8).reshape(len(distinct), n_bits)
    return stacked[codes]


def distinct_fingerprints(
    distinct: np.ndarray, *, radius: int, n_bits: int, use_chirality: bool
) -> list[np.ndarray | None]:
    """Fingerprint of each SMILES, None where it cannot be read."""
    generator = rdFingerprintGenerator.GetMorganGenerator(
        radius=radius, fpSize=n_bits, includeChirality=use_chirality
    )
    out: list[np.ndarray | None] = []
    with rdBase.BlockLogs():
        for text in distinct:
            molecule = Chem.MolFromSmiles(text) if text.strip() else None
            readable = molecule is not None and molecule.GetNumAtoms() > 0
            out.append(generator.GetFingerprintAsNumPy(molecule) if readable else None)
    return out
