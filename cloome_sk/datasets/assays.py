"""Assay labels of compounds, as a molecule table beside a 0/1/NaN target table."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from cloome_sk._tables import shown
from cloome_sk.datasets._reading import find_file, read_parquet

_NO_FETCHER = (
    "No fetcher rebuilds it: its public source, raw_data/{name}/raw/assays.csv.gz of the "
    "repository liugangcode/InfoAlign, states no licence."
)
_FETCH = "cloome_sk.datasets.fetch_assays({name!r}) rebuilds it from its public source."


@dataclass(frozen=True)
class _Assays:
    """Where a label table lies, which of its columns describe molecules, and how to shape it."""

    file: str
    remedy: str
    molecule_columns: tuple[str, ...]
    label_columns: tuple[str, ...]
    shape: Callable[[pd.DataFrame, tuple[str, ...]], Bunch]
    about: str


def load_assays(name: str, data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """Load a table of assay labels, ready for scikit-learn.

    Parameters
    ----------
    name : {"hti", "broad6k", "chembl2k", "jump_activity"}
        ``"hti"``: 209 ChEMBL assays (202 distinct) of the compounds of the Bray screen, on which
        CLOOME was probed linearly [1]_ [2]_; sparse (about 2.5 %). ``"broad6k"``: 32 assays of
        Moshkov et al. [3]_, 85 % filled, few actives; its rows are stereoisomers, several to a
        compound, and ``moshkov_scaffold_fold`` is the fold they published. ``"chembl2k"``: 41
        ChEMBL targets of JUMP compounds. ``"jump_activity"``: whether a JUMP compound is
        phenotypically active (replicate mAP against DMSO, corrected p below the authors'
        threshold), one column.
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    Bunch
        ``data``
            DataFrame, one row per molecule: ``smiles``, identifiers, scaffold (and for
            ``"jump_activity"`` the numbers behind the label).
        ``target``
            DataFrame of float32 with the same index, one column per assay: 1 active, 0 inactive,
            NaN not measured.
        ``target_names``
            List of the assay names.
        ``conflicts``
            DataFrame of labels that contradict each other (``"hti"`` only, else empty):
            identifier, assay, and how many 0 and 1 there were.
        ``DESCR``
            What the labels are, in a sentence.

    Raises
    ------
    ValueError
        If the name is unknown, a label is not one of the two values its table uses, or the file is
        truncated or another table.
    FileNotFoundError
        If there is no data folder, or the table is not in it.
    ImportError
        If pyarrow is not installed.

    Warns
    -----
    UserWarning
        If labels of one molecule in one assay contradict each other. They are NaN in ``target``
        and listed in ``conflicts``. Agreeing duplicates count once.

    Notes
    -----
    The contradictions of ``"hti"`` come from five assays that its authors list twice or three
    times, with labels of their own each time.

    References
    ----------
    .. [1] Hofmarcher et al., "Accurate prediction of biological assays with high-throughput
       microscopy images and convolutional networks", J Chem Inf Model 59:1163 (2019).
    .. [2] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases for
       queries with chemical structures", Nat Commun 14:7339 (2023).
    .. [3] Moshkov et al., "Predicting compound activity from phenotypic profiles and chemical
       structures", Nat Commun 14:1967 (2023).

    Examples
    --------
    One assay, the molecules that were measured in it:

    >>> from cloome_sk.datasets import load_assays
    >>> assays = load_assays("broad6k")  # doctest: +SKIP
    >>> y = assays.target["231_703"].dropna()  # doctest: +SKIP
    >>> X = assays.data.loc[y.index]  # doctest: +SKIP
    """
    if name not in ASSAYS:
        raise ValueError(f"Unknown assay table {name!r}; choose one of {shown(ASSAYS)}.")
    assays = ASSAYS[name]
    path = find_file(data_home, assays.file, remedy=assays.remedy)
    required = (*assays.molecule_columns, *assays.label_columns)
    table = read_parquet(path, required=required, remedy=assays.remedy)
    bunch = assays.shape(table, assays.molecule_columns)
    allowed = np.isin(bunch.target.to_numpy(), [0.0, 1.0]) | bunch.target.isna().to_numpy()
    if not allowed.all():
        row, column = np.argwhere(~allowed)[0]
        raise ValueError(
            f"{str(path)!r} holds the label {bunch.target.iloc[row, column]!r} in assay "
            f"{bunch.target_names[column]!r} for {bunch.data['smiles'].iloc[row]!r}; labels are "
            "0, 1 or missing."
        )
    if len(bunch.conflicts):
        warnings.warn(
            f"{name}: {len(bunch.conflicts)} labels contradict each other (one molecule, one "
            "assay) and are NaN in .target; .conflicts lists them.",
            stacklevel=2,
        )
    bunch.DESCR = assays.about
    return bunch


def _wide(table: pd.DataFrame, molecule_columns: tuple[str, ...]) -> Bunch:
    target = table.drop(columns=list(molecule_columns)).astype(np.float32)
    return _bunch(table[list(molecule_columns)], target)


def _one_column(table: pd.DataFrame, molecule_columns: tuple[str, ...]) -> Bunch:
    target = table[["below_corrected_p"]].astype(np.float32)
    return _bunch(table[list(molecule_columns)], target.set_axis(["active"], axis=1))


def _from_long(table: pd.DataFrame, molecule_columns: tuple[str, ...]) -> Bunch:
    """Pivot (molecule, assay, -1 or +1) to one row per molecule and 0/1/NaN."""
    signs = table["label"].to_numpy()
    if not np.isin(signs, (-1, 1)).all():
        odd = np.flatnonzero(~np.isin(signs, (-1, 1)))[0]
        raise ValueError(f"Row {odd} of the label table holds {signs[odd]!r}; labels are -1 or +1.")
    rows, molecules = pd.factorize(table["inchikey"])
    columns, assay_ids = pd.factorize(table["chembl_assay_id"], sort=True)
    counts = np.zeros((2, len(molecules), len(assay_ids)), dtype=np.int32)
    np.add.at(counts, ((signs == 1).astype(int), rows, columns), 1)
    inactive, active = counts
    target = np.full(inactive.shape, np.nan, dtype=np.float32)
    target[(inactive > 0) & (active == 0)] = 0
    target[(active > 0) & (inactive == 0)] = 1

    names = [str(assay) for assay in assay_ids]
    at_row, at_column = np.nonzero((active > 0) & (inactive > 0))
    conflicts = pd.DataFrame(
        {
            "inchikey": np.asarray(molecules, dtype=object)[at_row],
            "assay": np.asarray(names, dtype=object)[at_column],
            "n_inactive": inactive[at_row, at_column],
            "n_active": active[at_row, at_column],
        }
    )
    data = table.drop_duplicates("inchikey")[list(molecule_columns)].reset_index(drop=True)
    return _bunch(data, pd.DataFrame(target, columns=names), conflicts)


def _bunch(
    data: pd.DataFrame, target: pd.DataFrame, conflicts: pd.DataFrame | None = None
) -> Bunch:
    if conflicts is None:
        conflicts = pd.DataFrame(columns=["inchikey", "assay", "n_inactive", "n_active"])
    return Bunch(data=data, target=target, target_names=list(target.columns), conflicts=conflicts)


ASSAYS = {
    "hti": _Assays(
        "labels/cloome_hti_assays_long.parquet",
        _FETCH.format(name="hti"),
        ("smiles", "inchikey", "murcko"),
        ("chembl_assay_id", "label"),
        _from_long,
        "ChEMBL assays of the Bray compounds, used to probe CLOOME (Hofmarcher et al. 2019).",
    ),
    "broad6k": _Assays(
        "labels/broad6k_assays.parquet",
        _NO_FETCHER.format(name="broad6k"),
        ("smiles", "inchikey", "murcko", "moshkov_scaffold_fold"),
        ("220_692", "280_759"),
        _wide,
        "32 assays of the Broad Institute (Moshkov et al. 2023), one row per stereoisomer.",
    ),
    "chembl2k": _Assays(
        "labels/chembl2k_assays.parquet",
        _NO_FETCHER.format(name="chembl2k"),
        ("smiles", "inchikey", "murcko", "Metadata_JCP2022", "ChEMBL_ID"),
        ("ABCB1", "EGFR"),
        _wide,
        "41 ChEMBL targets of JUMP compounds.",
    ),
    "jump_activity": _Assays(
        "labels/jump_phenotypic_activity_115k.parquet",
        _FETCH.format(name="jump_activity"),
        ("smiles", "Metadata_JCP2022", "mean_average_precision", "corrected_p_value"),
        ("below_corrected_p",),
        _one_column,
        "Phenotypic activity of JUMP compounds: replicate mAP against DMSO.",
    ),
}
