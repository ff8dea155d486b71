"""Which encoder a table asks for by the names of its columns."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cloome_sk._tables import metadata_columns, profile_columns, shown
from cloome_sk.encoders.base import Encoder
from cloome_sk.encoders.profile import ProfileEncoder


def auto_encoder(X: Any) -> Encoder:
    """Choose the phenotype encoder of a table.

    Parameters
    ----------
    X : DataFrame or ndarray
        The table.

    Returns
    -------
    Encoder
        A `ProfileEncoder` for columns named as CellProfiler does. Not fitted.

    Raises
    ------
    ValueError
        If there are none.
    """
    if isinstance(X, pd.DataFrame) and profile_columns(X):
        return ProfileEncoder()
    seen = (
        f"columns seen: {shown(metadata_columns(X))}"
        if isinstance(X, pd.DataFrame)
        else "X is an array without column names"
    )
    raise ValueError(
        'phenotype="auto" looks for columns named as CellProfiler does (Cells_, Cytoplasm_, '
        f"Nuclei_) and found none; {seen}. Say which columns hold the phenotype: "
        "CloomeEmbedder(phenotype=ProfileEncoder(columns=...))."
    )
