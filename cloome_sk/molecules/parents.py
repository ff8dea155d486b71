"""The parent of a structure: the molecule without its salt and charges."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from cloome_sk.molecules.smiles import as_smiles, bad_molecules_message, factorize, invalid_smiles

_CHARGE_OR_METAL = Chem.MolFromSmarts(
    "[!+0,!#1&!#2&!#5&!#6&!#7&!#8&!#9&!#14&!#15&!#16&!#17&!#34&!#35&!#53]"
)


def parent_smiles(smiles: Any) -> np.ndarray:
    """Write the parent of each structure: salts and counter-ions off, charges neutralised.

    The standardisation is that of `molecule_key`; here stereochemistry, isotopes and tautomers
    stay as drawn.

    Parameters
    ----------
    smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
        The structures.

    Returns
    -------
    ndarray of object, shape (n_samples,)
        Canonical isomeric SMILES.

    Raises
    ------
    ValueError
        If a structure is missing, empty or cannot be parsed; the message names the rows.

    Examples
    --------
    >>> from cloome_sk.molecules import parent_smiles
    >>> parent_smiles(["C[C@H](N)C(=O)O.Cl", "CC(=O)[O-].[Na+]"])
    array(['C[C@H](N)C(=O)O', 'CC(=O)O'], dtype=object)
    """
    smiles = as_smiles(smiles)
    codes, distinct = factorize(smiles)
    parents = np.empty(len(distinct), dtype=object)
    parents[:] = [_parent_smiles(text) for text in distinct]
    if (codes < 0).any() or any(parent is None for parent in parents):
        bad = invalid_smiles(smiles)
        raise ValueError(bad_molecules_message(bad, len(smiles), "the list", "row {}".format))
    return parents[codes]


@lru_cache(maxsize=1 << 18)
def _parent_smiles(text: str) -> str | None:
    parent = parent_molecule(text)
    return None if parent is None else Chem.MolToSmiles(parent)


def parent_molecule(text: str) -> Chem.Mol | None:
    """The parent as a molecule; None where the SMILES cannot be read."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text) if text.strip() else None
        if molecule is None or molecule.GetNumAtoms() == 0:
            return None
        if _needs_standardising(molecule):
            molecule = rdMolStandardize.ChargeParent(molecule)
        return molecule


def _needs_standardising(molecule: Chem.Mol) -> bool:
    """Whether there is a salt, a charge or a metal; otherwise the molecule is its own parent."""
    return molecule.HasSubstructMatch(_CHARGE_OR_METAL) or len(Chem.GetMolFrags(molecule)) > 1
