"""Which encoder a table asks for by the names of its columns."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cloome_sk._tables import image_columns, metadata_columns, profile_columns, shown
from cloome_sk.encoders.base import Encoder
from cloome_sk.encoders.image import ImageEncoder
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
        A `ProfileEncoder` for columns named as CellProfiler and `cloome_sk.ImageFeatures` do, an
        `ImageEncoder` for columns of images. Not fitted.

    Raises
    ------
    ValueError
        If there are none, or both.
    """
    if isinstance(X, pd.DataFrame):
        profiles, images = profile_columns(X), image_columns(X)
        if profiles and images:
            raise ValueError(
                f'phenotype="auto" found {len(profiles)} columns of profiles '
                f"({shown(profiles, 3)}) and {len(images)} columns of images ({shown(images, 5)}). "
                "Say which is the phenotype: CloomeEmbedder(phenotype=ProfileEncoder()) or "
                "CloomeEmbedder(phenotype=ImageEncoder())."
            )
        if profiles:
            return ProfileEncoder()
        if images:
            return ImageEncoder()
    seen = "X is an array without column names"
    if isinstance(X, pd.DataFrame):
        seen = f"columns seen: {shown(metadata_columns(X))}"
        if any(str(name).startswith("FileName_") for name in X.columns):
            seen += " (a load_data table is read by cloome_sk.datasets.read_load_data)"
    raise ValueError(
        'phenotype="auto" looks for columns named as CellProfiler does (Cells_, Cytoplasm_, '
        "Nuclei_), of ImageFeatures (Feature_) or of images (Image_<channel>, Image) and found "
        f"none; {seen}. Say which columns hold the phenotype: "
        "CloomeEmbedder(phenotype=ProfileEncoder(columns=...))."
    )
