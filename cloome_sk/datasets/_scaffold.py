"""The scaffold column of the rebuilt tables."""

from __future__ import annotations

import pandas as pd
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold


def murcko(smiles: pd.Series) -> pd.Series:
    """Murcko scaffold per row; a molecule without rings is a scaffold of its own, by InChIKey."""
    scaffolds = {}
    for text in smiles.unique():
        molecule = Chem.MolFromSmiles(text)
        if molecule is None:
            raise ValueError(f"The source holds a structure that cannot be parsed: {text!r}.")
        scaffold = MurckoScaffold.MurckoScaffoldSmiles(mol=molecule)
        scaffolds[text] = scaffold or f"ACYCLIC:{Chem.MolToInchiKey(molecule)[:14]}"
    return smiles.map(scaffolds)
