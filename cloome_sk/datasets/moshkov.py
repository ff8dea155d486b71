"""The assay benchmark of Moshkov et al.: what the assays are, and what models reached."""

from __future__ import annotations

import os

from sklearn.utils import Bunch

from cloome_sk.datasets._reading import find_file, read_csv
from cloome_sk.datasets._sources import RAW_GITHUB, Source, fetch_missing

_ASSAYS = "labels/moshkov/assay_metadata.csv.gz"
_AUROC = "labels/moshkov/scaffold_median_AUC.csv.gz"
_REPOSITORY = "CaicedoLab/2023_Moshkov_NatComm"
_REVISION = "20fd97178796148c2b464ddc2c025a91654a6433"
_REMEDY = "cloome_sk.datasets.fetch_moshkov() downloads it."

SOURCES = {
    _ASSAYS: Source(
        _REPOSITORY,
        _REVISION,
        "assay_data/assay_metadata.csv",
        "bfacd642653cbad8244072d63793d0f8aaf1da68ea8633e3546adcff295745f0",
        compress=True,
    ),
    _AUROC: Source(
        _REPOSITORY,
        _REVISION,
        "predictions/scaffold_median_AUC.csv",
        "211ae8a8a24b47a8f589285cc66e364b2d53fea42ecd3e44c5647a1cbf8be5e2",
        compress=True,
    ),
}


def load_moshkov(data_home: str | os.PathLike[str] | None = None) -> Bunch:
    """Load the assays and the published results of Moshkov et al.

    What 270 assays measure, and how well 17 models (structures, expression, morphology and their
    fusions) predicted them [1]_: the figures to compare with on the 32 of them that
    ``load_assays("broad6k")`` holds.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    Bunch
        ``metadata``
            DataFrame of shape (270, 5), indexed by assay: name, cell line or organism, source, type
            and readout.
        ``auroc``
            DataFrame of shape (270, 17), same index, one column per model: median area under the
            ROC curve over the scaffold-split folds, NaN where it is not defined.

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or one of the two files is not in it.
    ValueError
        If a file is truncated or is another table.

    References
    ----------
    .. [1] Moshkov et al., "Predicting compound activity from phenotypic profiles and chemical
       structures", Nat Commun 14:1967 (2023).

    Examples
    --------
    >>> from cloome_sk.datasets import load_moshkov
    >>> published = load_moshkov()  # doctest: +SKIP
    >>> (published.auroc > 0.9).sum()  # doctest: +SKIP
    """
    metadata = read_csv(
        find_file(data_home, _ASSAYS, remedy=_REMEDY),
        required=("PUMA_ASSAY_ID", "ASSAY_NAME", "ASSAY_TYPE"),
        remedy=_REMEDY,
    )
    auroc = read_csv(
        find_file(data_home, _AUROC, remedy=_REMEDY),
        required=("assay_id", "descriptor", "auc"),
        remedy=_REMEDY,
    )
    metadata = metadata.set_index("PUMA_ASSAY_ID")
    wide = auroc.pivot(index="assay_id", columns="descriptor", values="auc")
    return Bunch(metadata=metadata, auroc=wide.loc[metadata.index])


def fetch_moshkov(
    data_home: str | os.PathLike[str] | None = None,
    *,
    base_url: str = RAW_GITHUB,
    timeout: float = 60.0,
    verbose: int = 0,
) -> Bunch:
    """Download the assays and results of Moshkov et al. (1 MB) where not there yet, and load them.

    The two text files come from the repository CaicedoLab/2023_Moshkov_NatComm [1]_ at a fixed
    revision, are accepted only with their SHA-256, and are stored gzipped.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder, made if need be; ``None`` takes the environment variable ``CLOOME_SK_DATA``.
        Files that are already there are not downloaded again.
    base_url : str
        Host that serves ``{repository}/{revision}/{path}``; a mirror, for instance.
    timeout : float, default=60.0
        Seconds to wait for an answer.
    verbose : int, default=0
        1 shows a progress bar per file.

    Returns
    -------
    Bunch
        As :func:`load_moshkov`.

    Raises
    ------
    DownloadError
        If a file cannot be downloaded, or is not the expected one; nothing of it is kept.
    FileNotFoundError
        If no data folder is named.

    Notes
    -----
    Tested against a local server that serves copies of the files; the public host itself is not
    contacted in the tests.

    References
    ----------
    .. [1] https://github.com/CaicedoLab/2023_Moshkov_NatComm

    Examples
    --------
    >>> from cloome_sk.datasets import fetch_moshkov
    >>> published = fetch_moshkov("~/cell_painting")  # doctest: +SKIP
    """
    fetch_missing(SOURCES, data_home, base_url=base_url, timeout=timeout, verbose=verbose)
    return load_moshkov(data_home)
