"""The one definition of "same molecule"; everything that groups or excludes by molecule uses it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from cloome_sk.molecules.parents import parent_molecule
from cloome_sk.molecules.smiles import as_smiles, bad_molecules_message, factorize, invalid_smiles

CONNECTIVITY = 14
"""Length of the first block of an InChIKey: the skeleton, without stereochemistry and isotopes."""


def molecule_key(smiles: Any, *, tautomers: bool = False) -> np.ndarray:
    """Name each molecule so that equal names mean the same molecule.

    The structure is standardised to its parent (largest organic fragment, charges neutralised
    where possible) and named by the first block of its InChIKey [1]_. Salts, counter-ions,
    protonation states, stereoisomers and isotopologues of a molecule therefore share a name:
    the strict reading for a split, which must not have the same drug on both sides.

    Parameters
    ----------
    smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
        The structures.
    tautomers : bool, default=False
        Whether to bring molecules to a canonical tautomer first. InChI already merges the
        tautomers that differ by mobile hydrogens; this merges more, at some milliseconds per
        molecule.

    Returns
    -------
    ndarray of object, shape (n_samples,)
        Fourteen capital letters per row.

    Raises
    ------
    ValueError
        If a structure is missing, empty or cannot be parsed; the message names the rows.

    References
    ----------
    .. [1] Heller et al., "InChI, the IUPAC International Chemical Identifier", J Cheminform 7:23
       (2015).

    Examples
    --------
    Propranolol, its hydrochloride and one of its stereoisomers:

    >>> from cloome_sk.molecules import molecule_key
    >>> keys = molecule_key(
    ...     ["CC(C)NCC(O)COc1cccc2ccccc12", "CC(C)NCC(O)COc1cccc2ccccc12.Cl",
    ...      "CC(C)NC[C@H](O)COc1cccc2ccccc12"])
    >>> len(set(keys)), keys[0]
    (1, 'AQHHHDLHHXJYJD')
    """
    smiles = as_smiles(smiles)
    codes, distinct = factorize(smiles)
    keys = np.empty(len(distinct), dtype=object)
    keys[:] = [_key(text, tautomers) for text in distinct]
    if (codes < 0).any() or any(key is None for key in keys):
        bad = invalid_smiles(smiles)
        raise ValueError(bad_molecules_message(bad, len(smiles), "the list", "row {}".format))
    return keys[codes]


@lru_cache(maxsize=1 << 18)
def _key(text: str, tautomers: bool) -> str | None:
    molecule = parent_molecule(text)
    if molecule is None:
        return None
    with rdBase.BlockLogs():
        if tautomers:
            molecule = rdMolStandardize.TautomerEnumerator().Canonicalize(molecule)
        key = Chem.MolToInchiKey(molecule)
    # A few organometallics have no InChI; their canonical SMILES still tells them apart.
    return key[:CONNECTIVITY] if key else Chem.MolToSmiles(molecule, isomericSmiles=False)
