"""What must not be torn apart by a split: groups for scikit-learn's own splitters."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk.model_selection._butina import butina_labels
from cloome_sk.model_selection._labels import read_labels
from cloome_sk.model_selection._structures import (
    Structures,
    packed_fingerprints,
    read_structures,
)
from cloome_sk.molecules import murcko_scaffolds, tanimoto_neighbors
from cloome_sk.molecules.similarity import check_block_size, check_threshold

ACYCLIC = "acyclic"


def molecule_groups(X: Any, *, column: str | None = None, tautomers: bool = False) -> np.ndarray:
    """Group rows by molecule, so that no molecule is on both sides of a split.

    Salts, charges, stereoisomers and isotopologues of a molecule are one group: see
    `cloome_sk.molecules.molecule_key`.

    Parameters
    ----------
    X : DataFrame, or list of str or rdkit.Chem.Mol, shape (n_samples,)
        A table with a column of SMILES, or the structures.
    column : str, optional
        The column of SMILES. By default the one named ``smiles``, in any case, with or without
        ``Metadata_``.
    tautomers : bool, default=False
        Whether to merge all tautomers, at some milliseconds per molecule.

    Returns
    -------
    ndarray of object, shape (n_samples,)
        The molecule's key in each row: ``groups=`` of `sklearn.model_selection.GroupKFold` and
        its relatives.

    Raises
    ------
    ValueError
        If there is no such column, or a structure is missing or cannot be read; the message
        names the rows.

    See Also
    --------
    leakage_report : What a split leaks.

    Notes
    -----
    All wells of the vehicle (DMSO) are one molecule, so they end up in one fold. Normalise
    against the controls before splitting, or put the control rows into every training fold.

    Examples
    --------
    >>> from cloome_sk.model_selection import molecule_groups
    >>> molecule_groups(["CCO", "CC(=O)O", "CC(=O)[O-].[Na+]"])
    array(['LFQSCWFLJHTTHZ', 'QTBSBXVTEAMEQO', 'QTBSBXVTEAMEQO'], dtype=object)
    """
    found = read_structures(X, column, purpose="molecule_groups", tautomers=tautomers)
    return found.keys[found.codes]


def scaffold_groups(
    X: Any, *, column: str | None = None, generic: bool = False, acyclic: str = "molecule"
) -> np.ndarray:
    """Group rows by Bemis-Murcko scaffold.

    Rows of one molecule are always in one group, also where it is drawn as two tautomers with
    different scaffolds: the first of them in alphabetical order counts.

    Parameters
    ----------
    X : DataFrame, or list of str or rdkit.Chem.Mol, shape (n_samples,)
        A table with a column of SMILES, or the structures.
    column : str, optional
        The column of SMILES. By default the one named ``smiles``, in any case, with or without
        ``Metadata_``.
    generic : bool, default=False
        Whether scaffolds that differ in atoms and bond orders only are one group.
    acyclic : {"molecule", "together"}, default="molecule"
        What molecules without rings are: a group each, since they share nothing; or one group,
        ``"acyclic"``, as where the empty scaffold counts as one.

    Returns
    -------
    ndarray of object, shape (n_samples,)
        Canonical SMILES of the scaffold, or ``"acyclic:"`` and the molecule's key.

    Raises
    ------
    ValueError
        If there is no such column, or a structure is missing or cannot be read; the message
        names the rows.

    See Also
    --------
    cloome_sk.molecules.murcko_scaffolds : The scaffolds alone.

    Examples
    --------
    >>> from cloome_sk.model_selection import scaffold_groups
    >>> scaffold_groups(["Cc1ccccc1", "Oc1ccccc1", "CCO"]).tolist()
    ['c1ccccc1', 'c1ccccc1', 'acyclic:LFQSCWFLJHTTHZ']
    """
    if acyclic not in ("molecule", "together"):
        raise ValueError(f'acyclic must be "molecule" or "together", got {acyclic!r}.')
    found = read_structures(X, column, purpose="scaffold_groups")
    return scaffolds_of(found, generic=generic, acyclic=acyclic)[found.codes]


def scaffolds_of(
    found: Structures, *, generic: bool = False, acyclic: str = "molecule"
) -> np.ndarray:
    """Scaffold group of each distinct structure."""
    if not len(found.smiles):
        return np.zeros(0, dtype=object)
    scaffolds = pd.Series(murcko_scaffolds(found.smiles, generic=generic), dtype=object)
    names = scaffolds.groupby(found.keys).transform("min").to_numpy(dtype=object, copy=True)
    empty = names == ""
    names[empty] = f"{ACYCLIC}:" + found.keys[empty] if acyclic == "molecule" else ACYCLIC
    return names


def cluster_groups(
    X: Any,
    *,
    column: str | None = None,
    threshold: float = 0.35,
    radius: int = 2,
    n_bits: int = 2048,
    use_chirality: bool = False,
    reordering: bool = False,
    block_size: int = 1024,
    verbose: int = 0,
) -> np.ndarray:
    """Group rows by Butina clusters of similar molecules.

    Each distinct molecule (`molecule_key`) enters once, as the parent of its first structure.
    Molecules with a Tanimoto similarity of at least `threshold` are neighbours; the molecule
    with most neighbours forms a cluster with them, and so on among those left over [1]_.

    Parameters
    ----------
    X : DataFrame, or list of str or rdkit.Chem.Mol, shape (n_samples,)
        A table with a column of SMILES, or the structures.
    column : str, optional
        The column of SMILES. By default the one named ``smiles``, in any case, with or without
        ``Metadata_``.
    threshold : float, default=0.35
        Least Tanimoto similarity of neighbours, in (0, 1]; RDKit's ``distThresh`` is one minus
        this. Lower means fewer and larger clusters.
    radius : int, default=2
        Radius of the Morgan fingerprint, in bonds (>= 0).
    n_bits : int, default=2048
        Length of the fingerprint (>= 1).
    use_chirality : bool, default=False
        Whether stereochemistry enters the fingerprint.
    reordering : bool, default=False
        Whether neighbours that already belong to a cluster stop counting, as RDKit's parameter of
        that name: clusters become somewhat larger.
    block_size : int, default=1024
        Molecules compared at once; see `cloome_sk.molecules.tanimoto_neighbors`.
    verbose : int, default=0
        Above 0: show a progress bar.

    Returns
    -------
    ndarray of intp, shape (n_samples,)
        Number of the cluster, 0, 1, ... in the order in which they are formed.

    Raises
    ------
    ValueError
        If there is no such column, a structure is missing or cannot be read (the message names
        the rows), or a parameter is out of range.

    See Also
    --------
    cloome_sk.molecules.tanimoto_neighbors : The neighbours alone.

    Notes
    -----
    The clusters equal those of ``rdkit.ML.Cluster.Butina.ClusterData`` on the same fingerprints,
    ties included (of molecules with equally many neighbours the one that comes last goes first).
    Two molecules of different clusters may still be similar, since a cluster ends at the
    neighbours of its centre: `leakage_report` says how similar training and test molecules are.
    Never is a matrix of all pairs held: memory grows with the number of neighbours.

    References
    ----------
    .. [1] Butina, "Unsupervised data base clustering based on Daylight's fingerprint and Tanimoto
       similarity", J Chem Inf Comput Sci 39:747-750 (1999).

    Examples
    --------
    >>> from cloome_sk.model_selection import cluster_groups
    >>> cluster_groups(["CCCCCO", "c1ccccc1C", "CCCCO", "CCCCCCO", "CCCCO.Cl"])
    array([0, 1, 0, 0, 0])
    """
    check_threshold(threshold)
    check_block_size(block_size)
    for name, value, least in (("radius", radius, 0), ("n_bits", n_bits, 1)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")
    found = read_structures(X, column, purpose="cluster_groups")
    molecules, first = pd.factorize(found.keys)[0], ~pd.Series(found.keys).duplicated().to_numpy()
    packed = packed_fingerprints(
        found.smiles[first], radius=radius, n_bits=n_bits, use_chirality=use_chirality
    )
    neighbors = tanimoto_neighbors(packed, threshold, block_size=block_size, verbose=verbose)
    clusters = butina_labels(neighbors, reordering=reordering)
    return clusters[molecules[found.codes]]


def plate_groups(X: pd.DataFrame, level: str | Sequence[str] = "plate") -> np.ndarray:
    """Group rows by plate, batch, source, or any other columns.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_columns)
        The table.
    level : str or sequence of str, default="plate"
        The column that says what stays together, such as ``"plate"``, ``"batch"`` or
        ``"source"``, found in any case and with or without ``Metadata_``; or several columns that
        say so together, such as ``("batch", "plate")`` where plates of two batches have one name.

    Returns
    -------
    ndarray of object, shape (n_samples,)
        The value as text (several joined by ``" / "``).

    Raises
    ------
    TypeError
        If X is not a DataFrame, or level not a name or names.
    ValueError
        If there is no such column, or a value is missing; the message names the rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.model_selection import plate_groups
    >>> table = pd.DataFrame({"Metadata_Plate": ["P1", "P1", "P2"], "Metadata_Batch": [1, 2, 2]})
    >>> plate_groups(table)
    array(['P1', 'P1', 'P2'], dtype=object)
    >>> plate_groups(table, level=("batch", "plate"))
    array(['1 / P1', '2 / P1', '2 / P2'], dtype=object)
    """
    if not isinstance(X, pd.DataFrame):
        raise TypeError(f"plate_groups: expected a pandas DataFrame, got {type(X).__name__}.")
    return read_labels(X, level, purpose="plate_groups").complete("plate_groups")
