"""Structures as users hold them, as one array of SMILES, and the ones that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase

LISTED = 10
"""How many bad structures a message spells out; the rest are counted."""


def as_smiles(molecules: Any) -> np.ndarray:
    """Turn SMILES or RDKit molecules into an array of SMILES.

    Parameters
    ----------
    molecules : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
        SMILES strings, RDKit molecules, or missing values. A table is not accepted: its column
        of structures is chosen by the caller.

    Returns
    -------
    ndarray of object, shape (n_samples,)
        The SMILES as given (an RDKit molecule as its isomeric SMILES); missing values as None.

    Raises
    ------
    TypeError
        For a bare string (which would be read letter by letter) or entries of another type.

    Examples
    --------
    >>> from rdkit import Chem
    >>> from cloome_sk.molecules import as_smiles
    >>> as_smiles(["CCO", Chem.MolFromSmiles("c1ccccc1")])
    array(['CCO', 'c1ccccc1'], dtype=object)
    """
    if isinstance(molecules, str | bytes | Chem.Mol):
        raise TypeError(
            f"Expected several molecules, got a single {type(molecules).__name__} "
            f"({molecules!r}). Put it in a list: [{molecules!r}]."
        )
    if not isinstance(molecules, Iterable):
        raise TypeError(
            f"Expected a list of SMILES or RDKit molecules, got {type(molecules).__name__}."
        )
    smiles = [_one_smiles(molecule, row) for row, molecule in enumerate(molecules)]
    out = np.empty(len(smiles), dtype=object)
    out[:] = smiles
    return out


def _one_smiles(molecule: Any, row: int) -> str | None:
    if isinstance(molecule, str):
        return str(molecule)
    if isinstance(molecule, Chem.Mol):
        return Chem.MolToSmiles(molecule)
    if (
        molecule is None
        or molecule is pd.NA
        or (pd.api.types.is_scalar(molecule) and pd.isna(molecule))
    ):
        return None
    raise TypeError(
        f"Row {row}: expected a SMILES string or an RDKit molecule, "
        f"found {type(molecule).__name__} ({molecule!r})."
    )


def invalid_smiles(smiles: Any) -> dict[int, str]:
    """Find the structures that cannot be read.

    Parameters
    ----------
    smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
        The structures.

    Returns
    -------
    dict of int to str
        Position of each structure that cannot be used, with the reason in words. Empty if all
        can be read.

    Examples
    --------
    >>> from cloome_sk.molecules import invalid_smiles
    >>> invalid_smiles(["CCO", "", None, "c1ccccc"])
    {1: 'is empty', 2: 'is missing', 3: "cannot be parsed: 'c1ccccc'"}
    """
    codes, distinct = factorize(as_smiles(smiles))
    reasons = np.array([reason_unreadable(text) for text in distinct], dtype=object)
    bad = dict.fromkeys(np.flatnonzero(codes < 0), "is missing")
    if len(reasons):
        for row in np.flatnonzero(codes >= 0):
            if reasons[codes[row]] is not None:
                bad[row] = reasons[codes[row]]
    return {int(row): bad[row] for row in sorted(bad)}


def reason_unreadable(text: str) -> str | None:
    """Why a SMILES cannot be used, or None if it can."""
    if not text.strip():
        return "is empty"
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        return f"cannot be parsed: {text!r}"
    if molecule.GetNumAtoms() == 0:
        return f"holds no atom: {text!r}"
    return None


def bad_molecules_message(
    bad: dict[int, str], n_rows: int, where: str, name_row: Callable[[int], str]
) -> str:
    """One readable sentence about the structures that cannot be used."""
    listed = "; ".join(f"{name_row(row)} {bad[row]}" for row in list(bad)[:LISTED])
    rest = len(bad) - LISTED
    more = f"; and {rest} more" if rest > 0 else ""
    return f"{len(bad)} of {n_rows} structures in {where} cannot be used: {listed}{more}."


def factorize(smiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code of each row's SMILES (-1 where missing), and the distinct SMILES in order."""
    codes, distinct = pd.factorize(pd.Series(smiles, dtype=object))
    return np.asarray(codes, dtype=np.intp), np.asarray(distinct, dtype=object)
