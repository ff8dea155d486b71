"""JUMP production compounds measured by several laboratories."""

from __future__ import annotations

import os

import pandas as pd

from cloome_sk.datasets._reading import find_file, read_parquet

_TABLE = "profiles/jump_harmony_by_source.parquet"
_REMEDY = (
    "No fetcher rebuilds it; its source is data/processed/int_ns_h/*_jump_profiles.csv of the "
    "repository rachebouche/mammary-carcinogenicity-cellpainting."
)


def load_jump_harmony(data_home: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load JUMP profiles of compounds that several laboratories measured.

    One row is the median profile of one compound in one laboratory (source) of the JUMP production
    screen [1]_, after Harmony correction [2]_: a small test of whether a compound is recognised
    across microscopes. The table comes exactly as it is on disk.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    DataFrame, one row per compound and source
        748 float32 features ``harmony_0`` ... ``harmony_747`` and ``Metadata_JCP2022``,
        ``Metadata_Source``, ``Metadata_smiles``. The features carry no CellProfiler name, so
        ``ProfileEncoder(columns=...)`` must name them. DMSO is one of the compounds.

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or the table is not in it.
    ValueError
        If the file is truncated or is another table.
    ImportError
        If pyarrow is not installed.

    References
    ----------
    .. [1] Chandrasekaran et al., "JUMP Cell Painting dataset: morphological impact of 136,000
       chemical and genetic perturbations", bioRxiv 2023.03.23.534023 (2023).
    .. [2] Korsunsky et al., "Fast, sensitive and accurate integration of single-cell data with
       Harmony", Nat Methods 16:1289 (2019).

    Examples
    --------
    >>> from cloome_sk.datasets import load_jump_harmony
    >>> X = load_jump_harmony()  # doctest: +SKIP
    >>> X.filter(like="harmony_").shape  # doctest: +SKIP
    """
    path = find_file(data_home, _TABLE, remedy=_REMEDY)
    required = ("Metadata_JCP2022", "Metadata_Source", "Metadata_smiles", "harmony_0")
    return read_parquet(path, required=required, remedy=_REMEDY)
