"""Chemical structures: reading SMILES, fingerprints, and when two structures are one molecule."""

from __future__ import annotations

from cloome_sk.molecules.fingerprints import morgan_fingerprints
from cloome_sk.molecules.keys import molecule_key
from cloome_sk.molecules.smiles import as_smiles, invalid_smiles

__all__ = ["as_smiles", "invalid_smiles", "molecule_key", "morgan_fingerprints"]
