"""Chemical structures: reading, fingerprints, scaffolds, similarity, and what is one molecule."""

from __future__ import annotations

from cloome_sk.molecules._series_background import assembled_background
from cloome_sk.molecules.filters import MoleculeFilters
from cloome_sk.molecules.fingerprints import morgan_fingerprints
from cloome_sk.molecules.keys import molecule_key
from cloome_sk.molecules.parents import parent_smiles
from cloome_sk.molecules.scaffolds import murcko_scaffolds
from cloome_sk.molecules.series import ChemicalSeries
from cloome_sk.molecules.similarity import nearest_tanimoto, tanimoto_neighbors
from cloome_sk.molecules.smiles import as_smiles, invalid_smiles

__all__ = [
    "ChemicalSeries",
    "MoleculeFilters",
    "as_smiles",
    "assembled_background",
    "invalid_smiles",
    "molecule_key",
    "morgan_fingerprints",
    "murcko_scaffolds",
    "nearest_tanimoto",
    "parent_smiles",
    "tanimoto_neighbors",
]
