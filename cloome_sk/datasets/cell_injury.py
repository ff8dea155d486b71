"""The cell-injury screen: toxic reference compounds and the way they hurt cells."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pandas as pd

from cloome_sk._tables import profile_columns, shown
from cloome_sk.datasets._reading import find_file, read_parquet

_TABLE = "profiles/cell_injury_wells.parquet"
_REMEDY = (
    "No fetcher rebuilds it: its wells are spread over the git history of the repositories "
    "axiomcura/predicting-cell-injury-compounds and WayScience/"
    "Cytotoxic-Nuisance-Metadata-Analysis (results/1.data_splits/*_holdout.csv.gz)."
)
_CHOICES = ("drop", "keep", "raise")


def load_cell_injury(
    data_home: str | os.PathLike[str] | None = None, *, missing: str = "drop"
) -> pd.DataFrame:
    """Load the wells of the cell-injury screen, with structures and injury classes.

    U2OS cells under toxic reference compounds at several doses [1]_, each compound labelled with
    one of 14 kinds of injury; CellProfiler well profiles.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.
    missing : {"drop", "keep", "raise"}, default="drop"
        What to do with wells whose features are all NaN (two in this table: BR00114099/I11 and
        BR00110035/J10). ``"drop"`` leaves them out and says so: a ``UserWarning`` names them,
        and ``table.attrs["dropped_wells"]`` lists them. ``"keep"`` returns the table exactly as
        it is on disk. ``"raise"`` stops. Nothing is ever filled in.

    Returns
    -------
    DataFrame, one row per well
        340 float32 features (``Cells_``, ``Cytoplasm_``, ``Nuclei_``), and among the metadata
        ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_batch``, ``Metadata_smiles``,
        ``Metadata_pert_iname``, ``Metadata_injury_type`` (the label; ``Control`` for DMSO),
        ``Metadata_control_type`` (``Negative``, ``Positive`` or missing), ``Metadata_conc_uM``,
        ``Metadata_timepoint_h``, ``Metadata_rel_cellcount`` and ``Metadata_murcko``. The index
        runs from 0.

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or the table is not in it.
    ValueError
        If `missing` is not one of its values, if it is ``"raise"`` and there are such wells, or if
        the file is truncated or is another table.
    ImportError
        If pyarrow is not installed.

    Warns
    -----
    UserWarning
        If wells were dropped; the message names them.

    References
    ----------
    .. [1] Dahlin et al., "Reference compounds for characterizing cellular injury in high-content
       cellular morphology assays", Nat Commun 14:1364 (2023).

    Examples
    --------
    >>> from cloome_sk.datasets import load_cell_injury
    >>> X = load_cell_injury()  # doctest: +SKIP
    >>> X.attrs["dropped_wells"]  # doctest: +SKIP
    ['BR00114099/I11', 'BR00110035/J10']
    """
    if missing not in _CHOICES:
        raise ValueError(f"missing must be one of {shown(map(repr, _CHOICES))}; got {missing!r}.")
    path = find_file(data_home, _TABLE, remedy=_REMEDY)
    required = (
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_smiles",
        "Metadata_injury_type",
        "Metadata_control_type",
    )
    table = read_parquet(path, required=required, remedy=_REMEDY)
    empty = np.isnan(table[profile_columns(table)].to_numpy()).all(axis=1)
    if missing == "keep" or not empty.any():
        return table
    wells = [
        f"{plate}/{well}"
        for plate, well in table.loc[empty, ["Metadata_Plate", "Metadata_Well"]].to_numpy()
    ]
    if missing == "raise":
        raise ValueError(
            f"{len(wells)} well(s) of {str(path)!r} have no features at all (all NaN): "
            f"{shown(wells)}. Use missing='drop' to leave them out, 'keep' to get them as they are."
        )
    warnings.warn(
        f"{len(wells)} well(s) without any features (all NaN) were left out: {shown(wells)}; "
        "missing='keep' returns them.",
        stacklevel=2,
    )
    table = table[~empty].reset_index(drop=True)
    table.attrs["dropped_wells"] = wells
    return table
