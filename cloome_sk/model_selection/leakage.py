"""The report of what a test set shares with the training set, and whether that matters."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from cloome_sk.model_selection._shared_molecules import (
    STRUCTURAL,
    embedder_finding,
    molecule_findings,
    neighbour_finding,
    scaffold_finding,
)
from cloome_sk.model_selection._shared_places import PLACES, not_checked, place_findings
from cloome_sk.model_selection._sides import (
    Columns,
    Side,
    SideMolecules,
    read_molecules,
    read_sides,
)
from cloome_sk.model_selection.leakage_result import LeakageReport, make_report

CLAIMS = ("molecule", "scaffold", "neighbour", *PLACES, "embedder")


def leakage_report(
    train: Any,
    test: Any,
    claim: str | Sequence[str] = ("molecule",),
    *,
    embedder: Any = None,
    columns: Columns | None = None,
    controls: Any = "auto",
    near: float = 0.6,
    n_examples: int = 3,
    verbose: int = 0,
) -> LeakageReport:
    """Report what a test set shares with a training set.

    A score is a claim about something new: new molecules, new scaffolds, new plates. The report
    lists everything the two sets share, and says whether the claim holds; what lies outside the
    claim is listed all the same.

    Parameters
    ----------
    train, test : DataFrame, or list of str or rdkit.Chem.Mol, shape (n_samples,)
        The two sets. A table is searched for columns named ``smiles``, ``plate``, ``well``,
        ``batch`` and ``source``, in any case and with or without ``Metadata_``.
    claim : str or sequence of str, default=("molecule",)
        What is claimed to be new in the test set, so that `LeakageReport.ok` depends on it:

        - ``"molecule"``: molecules (`cloome_sk.molecules.molecule_key`), also as salts or
          stereoisomers; and, given an `embedder`, none that it was trained on;
        - ``"scaffold"``: scaffolds, as in `scaffold_groups`;
        - ``"neighbour"``: no test molecule has a Tanimoto similarity of `near` or more to a
          training molecule;
        - ``"plate"``, ``"batch"``, ``"source"``: values of that column;
        - ``"well"``: physical wells, that is pairs of plate and well;
        - ``"position"``: well positions, wherever they are on another plate;
        - ``"embedder"``: the molecules the embedder was trained on, alone.
    embedder : CloomeEmbedder, or any estimator with one inside, optional
        A fitted embedder that made, or is to make, the features, or a fitted model that uses one
        or several (`Pipeline`, `FeatureUnion`, `FrozenEstimator`, `ZeroShotMoAClassifier`,
        `GridSearchCV`, ...). All their ``molecules_seen_`` are compared with the test molecules.
    columns : mapping of str to str or sequence of str, optional
        Other column names, by the usual one: ``{"plate": "Assay_Plate_Barcode"}``. Several names
        count together: ``{"plate": ("Batch", "Plate")}``, where plates of two batches have one
        name.
    controls : "auto", (column, value or values) or None, default="auto"
        Which rows are negative controls (`cloome_sk.preprocessing.find_controls`). The vehicle is
        in any set, so they are left out of the molecule, scaffold and neighbour findings; plates,
        wells and batches count them.
    near : float, default=0.6
        Tanimoto similarity, in (0, 1], from which a training molecule counts as a neighbour.
        Morgan fingerprints of the parents, radius 2, 2,048 bits, no chirality.
    n_examples : int, default=3
        How many examples each finding gives (>= 0).
    verbose : int, default=0
        Above 0: show a progress bar.

    Returns
    -------
    LeakageReport
        ``.ok``, ``.table``, ``.sentences`` and ``.nearest``; ``print`` it to read it.

    Raises
    ------
    TypeError
        If a set, the embedder or a parameter is of the wrong type.
    ValueError
        If a claim cannot be checked: an unknown claim, a missing column, rows without a plate or
        a readable structure (the message names them), an empty table.
    sklearn.exceptions.NotFittedError
        If the embedder is not fitted.

    See Also
    --------
    molecule_groups, scaffold_groups, cluster_groups, plate_groups : Groups for a clean split.

    Notes
    -----
    Whatever is not claimed and cannot be checked is reported as not checked, never passed in
    silence. Wells are compared in one spelling (``a1`` is ``A01``), and numbers as text (plate 7
    is plate ``"7"``). Each shared test structure is named after the training structure closest to
    it: ``same_structure`` (equal canonical SMILES), ``salt`` (equal InChIKey of the parent, so
    another salt, charge or tautomer), or ``stereoisomer`` (equal skeleton only).

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.model_selection import leakage_report
    >>> train = pd.DataFrame({"smiles": ["CC(=O)O", "c1ccccc1C"], "plate": ["P1", "P1"]})
    >>> test = pd.DataFrame({"smiles": ["CC(=O)[O-].[Na+]", "CCCCO"], "plate": ["P1", "P2"]})
    >>> report = leakage_report(train, test)
    >>> report.ok
    False
    >>> print(report.sentences[0])
    1 of 2 test molecules (1 of 2 test rows) are in the training set: 1 row as another salt,
    charge or tautomer only.
    >>> report.table.loc[["molecule", "plate"], ["claimed", "n_shared", "n_test_rows"]]
              claimed  n_shared  n_test_rows
    kind
    molecule     True         1            1
    plate       False         1            1
    """
    claim = _checked_claim(claim, embedder)
    _check_numbers(near, n_examples)
    claimed = set(claim)
    if "molecule" in claimed and embedder is not None:
        claimed.add("embedder")
    known_side, asked_side = read_sides(train, test, controls, columns)
    required = bool(claimed & {"molecule", "scaffold", "neighbour", "embedder"})
    known, asked = (read_molecules(side, required=required) for side in (known_side, asked_side))
    keys = np.full(len(asked_side), None, dtype=object)
    if not isinstance(asked, str):
        keys[asked.rows] = asked.row_keys
    nearest = None
    if isinstance(known, str) or isinstance(asked, str):
        reason = known if isinstance(known, str) else asked
        findings = [not_checked(kind, str(reason), claimed) for kind in STRUCTURAL]
    else:
        findings = molecule_findings(known_side, asked_side, known, asked, n_examples)
        findings.append(scaffold_finding(asked_side, known, asked, n_examples))
        close, nearest = neighbour_finding(asked_side, known, asked, near, n_examples, verbose)
        findings.append(close)
    findings += place_findings(known_side, asked_side, claimed, n_examples)
    if embedder is not None:
        findings.append(embedder_finding(embedder, asked_side, asked, claimed, n_examples))
    remarks = [
        *_control_remarks(known_side, asked_side),
        *_unreadable_remarks(known, asked),
    ]
    return make_report(findings, remarks, claim=claim, claimed=claimed, keys=keys, nearest=nearest)


def _checked_claim(claim: str | Sequence[str], embedder: Any) -> tuple[str, ...]:
    names = (claim,) if isinstance(claim, str) else tuple(claim)
    if not names:
        raise ValueError(
            f"leakage_report: claim is empty; say what is new in the test set: {', '.join(CLAIMS)}."
        )
    for name in names:
        if name not in CLAIMS:
            raise ValueError(
                f"leakage_report: unknown claim {name!r}; it must be one of {', '.join(CLAIMS)}."
            )
    if "embedder" in names and embedder is None:
        raise ValueError(
            "leakage_report: the claim 'embedder' cannot be checked without `embedder`."
        )
    return names


def _check_numbers(near: Any, n_examples: Any) -> None:
    if isinstance(near, bool) or not isinstance(near, Real) or not 0 < float(near) <= 1:
        raise ValueError(f"near must be a Tanimoto similarity in (0, 1], got {near!r}.")
    if isinstance(n_examples, bool) or not isinstance(n_examples, Integral) or n_examples < 0:
        raise ValueError(f"n_examples must be an integer of at least 0, got {n_examples!r}.")


def _control_remarks(*sides: Side) -> list[str]:
    """What was taken for controls."""
    if not any(side.controls.n for side in sides):
        return ["No row was taken for a negative control."]
    return [
        f"Left out of the molecule, scaffold and neighbour findings in the {side.name} table: "
        f"{side.controls}"
        for side in sides
        if side.controls.n
    ]


def _unreadable_remarks(known: SideMolecules | str, asked: SideMolecules | str) -> list[str]:
    return [
        f"Not checked for molecules: {side.n_unreadable:,} {name} rows without a readable "
        "structure."
        for name, side in (("training", known), ("test", asked))
        if not isinstance(side, str) and side.n_unreadable
    ]
