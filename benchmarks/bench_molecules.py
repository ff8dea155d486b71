"""How long fingerprints and keys of molecules take beside a bare RDKit loop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.MolStandardize import rdMolStandardize

from benchmarks._data import library
from benchmarks._timing import Case, Comparison
from cloome_sk.molecules import molecule_key, morgan_fingerprints
from cloome_sk.molecules.keys import _key

COPIES = 16
SALTS = 0.1


def rows(full: bool) -> Iterator[Case]:
    """Compare fingerprints of distinct and of repeated SMILES, and keys."""
    n_molecules = 100_000 if full else 2_048
    distinct = library(n_molecules)
    repeated = np.random.default_rng(0).permutation(distinct[: n_molecules // COPIES] * COPIES)
    for smiles, size in (
        (distinct, f"{n_molecules:,} distinct SMILES"),
        (repeated.tolist(), f"{n_molecules:,} SMILES, each {COPIES} times"),
    ):
        if not np.array_equal(morgan_fingerprints(smiles), rdkit_fingerprints(smiles)):
            raise AssertionError("the fingerprints differ from those of RDKit")
        yield Comparison(
            "morgan_fingerprints",
            size,
            partial(morgan_fingerprints, smiles),
            "RDKit loop",
            partial(rdkit_fingerprints, smiles),
        )
    n_keys = 20_000 if full else 256
    salted = library(n_keys, salts=SALTS)
    expected = rdkit_keys(salted)
    if molecule_key(salted).tolist() != expected:
        raise AssertionError("the keys differ from those of RDKit")
    yield Comparison(
        "molecule_key",
        f"{n_keys:,} distinct SMILES, {SALTS:.0%} salts",
        lambda: molecule_key(salted),
        "RDKit ChargeParent + InChIKey loop",
        lambda: rdkit_keys(salted),
        before=_key.cache_clear,
    )


def rdkit_fingerprints(smiles: list[str]) -> np.ndarray:
    """Morgan bits of each SMILES, as RDKit's documentation has it."""
    generator = rdFingerprintGenerator.GetMorganGenerator(3, fpSize=1024, includeChirality=True)
    return np.array([generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(text)) for text in smiles])


def rdkit_keys(smiles: list[str]) -> list[str]:
    """First block of the InChIKey of each standardised parent."""
    with rdBase.BlockLogs():
        parents = (rdMolStandardize.ChargeParent(Chem.MolFromSmiles(text)) for text in smiles)
        return [Chem.MolToInchiKey(parent)[:14] for parent in parents]
