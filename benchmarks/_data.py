"""Made-up inputs of the sizes of real ones."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

N_FEATURES = 904
"""Selected features of a CPJUMP1 profile."""

CORES = (
    *("c1c({0})c({1})cc({2})c1", "c1c({0})nc({1})c({2})c1", "C1C({2})N({0})CCN1{1}"),
    *("c1ccc2c({0})cc({1})nc2c1{2}", "O=C1CC({0})C({2})N1{1}", "c1c({0})[nH]c2c({2})cc({1})cc12"),
)
GROUPS = (
    *("C", "CC", "CCC", "C(C)C", "C3CC3", "CO", "CCO", "CN", "CCN(C)C", "C(F)(F)F", "CCC#N"),
    *("C(=O)O", "C(=O)N", "C(=O)NC", "C(=O)OC", "CS(C)(=O)=O", "Cc3ccccc3", "Cc3ccncc3", "CCCl"),
    *("c3ccccc3", "c3ccc(F)cc3", "c3ccc(Cl)cc3", "c3ccc(OC)cc3", "c3cccnc3", "CC(=O)NC3CC3"),
    *("CCN3CCOCC3", "C(=O)N3CCCCC3", "CC(O)CNC(C)C"),
)


def library(n_molecules: int, salts: float = 0.0) -> list[str]:
    """Distinct drug-like SMILES (at most 131,712) in random order, a share as hydrochlorides."""
    generator = np.random.default_rng(0)
    n_all = len(CORES) * len(GROUPS) ** 3
    if n_molecules > n_all:
        raise ValueError(f"{n_molecules} molecules asked for, but there are {n_all}.")
    chosen = set(generator.choice(n_all, size=n_molecules, replace=False).tolist())
    made = itertools.product(CORES, GROUPS, GROUPS, GROUPS)
    kept = [core.format(*groups) for place, (core, *groups) in enumerate(made) if place in chosen]
    smiles = generator.permutation(np.array(kept, dtype=object))
    n_salts = round(salts * n_molecules)
    smiles[:n_salts] = [f"{text}.Cl" for text in smiles[:n_salts]]
    return generator.permutation(smiles).tolist()


def profiles(n_rows: int, n_molecules: int, n_features: int = N_FEATURES) -> pd.DataFrame:
    """A table of random profiles; each molecule has the same number of rows, or one more."""
    generator = np.random.default_rng(0)
    block = generator.standard_normal((n_rows, n_features), dtype=np.float32)
    table = pd.DataFrame(block, columns=[f"Cells_Feature_{place}" for place in range(n_features)])
    smiles = np.array(library(n_molecules), dtype=object)
    table.insert(0, "Metadata_smiles", smiles[np.arange(n_rows) % n_molecules])
    return table
