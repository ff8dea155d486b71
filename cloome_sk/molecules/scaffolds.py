"""Bemis-Murcko scaffolds: the rings of a molecule and what links them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold

from cloome_sk.molecules.parents import parent_molecule
from cloome_sk.molecules.smiles import as_smiles, bad_molecules_message, factorize, invalid_smiles


def murcko_scaffolds(smiles: Any, *, generic: bool = False) -> np.ndarray:
    """Find the Bemis-Murcko scaffold of each molecule, each distinct SMILES once.

    The scaffold is what remains of a molecule when its side chains are cut off: rings and the
    chains between them [1]_. It is taken of the parent, as `molecule_key` understands it, so a
    ring in a counter-ion does not count, and without stereochemistry.

    Parameters
    ----------
    smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
        The structures.
    generic : bool, default=False
        Whether to go on to the framework: every atom a carbon, every bond single, and side
        atoms dropped that RDKit keeps on a scaffold for their double bond, such as the oxygen
        of a ring ketone.

    Returns
    -------
    ndarray of object, shape (n_samples,)
        Canonical SMILES of the scaffold; empty for a molecule without rings.

    Raises
    ------
    ValueError
        If a structure is missing, empty or cannot be parsed; the message names the rows.

    See Also
    --------
    cloome_sk.model_selection.scaffold_groups : The scaffolds as groups for cross-validation.

    References
    ----------
    .. [1] Bemis & Murcko, "The properties of known drugs. 1. Molecular frameworks", J Med Chem
       39:2887-2893 (1996).

    Examples
    --------
    >>> from cloome_sk.molecules import murcko_scaffolds
    >>> smiles = ["CC(C)NCC(O)COc1cccc2ccccc12.Cl", "CN1CCNC1=O", "CCO"]
    >>> murcko_scaffolds(smiles)
    array(['c1ccc2ccccc2c1', 'O=C1NCCN1', ''], dtype=object)
    >>> murcko_scaffolds(smiles, generic=True)
    array(['C1CCC2CCCCC2C1', 'C1CCCC1', ''], dtype=object)
    """
    smiles = as_smiles(smiles)
    codes, distinct = factorize(smiles)
    scaffolds = np.empty(len(distinct), dtype=object)
    scaffolds[:] = [_scaffold(text, bool(generic)) for text in distinct]
    if (codes < 0).any() or any(scaffold is None for scaffold in scaffolds):
        bad = invalid_smiles(smiles)
        raise ValueError(bad_molecules_message(bad, len(smiles), "the list", "row {}".format))
    return scaffolds[codes]


@lru_cache(maxsize=1 << 18)
def _scaffold(text: str, generic: bool) -> str | None:
    molecule = parent_molecule(text)
    if molecule is None:
        return None
    with rdBase.BlockLogs():
        scaffold = MurckoScaffold.GetScaffoldForMol(molecule)
        if generic and scaffold.GetNumAtoms():
            scaffold = _framework(scaffold)
        return Chem.MolToSmiles(scaffold, isomericSmiles=False)


def _framework(scaffold: Chem.Mol) -> Chem.Mol:
    """Rings and linkers as a graph of like atoms."""
    try:
        generic = MurckoScaffold.MakeScaffoldGeneric(scaffold)
    except Chem.MolSanitizeException:
        # An atom with more than four neighbours (a metallocene) cannot be a carbon.
        generic = Chem.RWMol(scaffold)
        for atom in generic.GetAtoms():
            atom.SetAtomicNum(0)
            atom.SetFormalCharge(0)
            atom.SetNoImplicit(True)
            atom.SetNumExplicitHs(0)
            atom.SetIsAromatic(False)
        for bond in generic.GetBonds():
            bond.SetBondType(Chem.BondType.SINGLE)
            bond.SetIsAromatic(False)
        generic.UpdatePropertyCache(strict=False)
    return MurckoScaffold.GetScaffoldForMol(generic)
