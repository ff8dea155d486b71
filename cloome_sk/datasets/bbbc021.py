"""BBBC021: well profiles of MCF7 cells under compounds of twelve mechanisms."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from cloome_sk._tables import PROFILE_PREFIXES, shown
from cloome_sk.datasets._reading import find_file, read_csv
from cloome_sk.datasets._sources import RAW_GITHUB, Source, fetch_missing

_WELLS = "profiles/bbbc021/ljosa_jbiomolscreen_2013_per_well_mean.csv.gz"
_IMAGES = "profiles/bbbc021/BBBC021_v1_image.csv.gz"
_MOA = "profiles/bbbc021/BBBC021_v1_moa.csv"
_REPOSITORY = "cytomining/cytominergallery"
_REVISION = "05d496f1e0bb80a9f887ae8ea0e47181ade179ff"
_REMEDY = "cloome_sk.datasets.fetch_bbbc021_profiles() downloads it."

SOURCES = {
    _WELLS: Source(
        _REPOSITORY,
        _REVISION,
        "inst/extdata/ljosa_jbiomolscreen_2013_per_well_mean.csv.gz",
        "f723a6f78bf66ce7713226c890eb499a2687f22bc095968d5043f6a40e7847ee",
    ),
    _IMAGES: Source(
        _REPOSITORY,
        _REVISION,
        "inst/extdata/BBBC021_v1_image.csv.gz",
        "28df679a0979aa98b9369473d9c8248de2524d64f8ed5fabfd4a8540bcaef034",
    ),
    _MOA: Source(
        _REPOSITORY,
        _REVISION,
        "inst/extdata/BBBC021_v1_moa.csv",
        "cddb6c6b72c043fd25f3a41d84624d4817927a1d76fe87dc829674181dd62719",
    ),
}


def load_bbbc021_profiles(data_home: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load the BBBC021 well profiles with compound, concentration and mechanism.

    The per-well means of CellProfiler features that Ljosa et al. [1]_ compared methods on, joined
    with the image index of BBBC021 [2]_ (what was in the well) and the mechanisms of action.
    Only the wells of the 103 treatments with a mechanism and of DMSO are in the published means.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    DataFrame, one row per well
        516 features (``Cells_``, ``Cytoplasm_``, ``Nuclei_``; raw means, not normalised, given to
        float32) and ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_batch`` (the week, e.g.
        ``Week4``), ``Metadata_replicate``, ``Metadata_compound``, ``Metadata_conc_uM``,
        ``Metadata_moa`` (missing for DMSO, which the mechanism file calls ``DMSO``) and
        ``Metadata_control_type`` (``negcon`` for DMSO, else missing). There is no SMILES column.

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or one of the three files is not in it.
    ValueError
        If a file is truncated, is another table, or the three do not fit together (a well without
        images, a well with two contents, a treatment without a mechanism).

    See Also
    --------
    fetch_bbbc021_profiles : Download the three files first.

    Notes
    -----
    Each compound was run in a single week (batch), only DMSO in all ten: compound and batch are
    confounded. Compare a profile with the DMSO wells of its own plate.

    References
    ----------
    .. [1] Ljosa et al., "Comparison of methods for image-based profiling of cellular morphological
       responses to small-molecule treatment", J Biomol Screen 18:1321 (2013).
    .. [2] Caie et al., "High-content phenotypic profiling of drug response signatures across
       distinct cancer cells", Mol Cancer Ther 9:1913 (2010); image set BBBC021v1 of the Broad
       Bioimage Benchmark Collection.

    Examples
    --------
    >>> from cloome_sk.datasets import load_bbbc021_profiles
    >>> X = load_bbbc021_profiles()  # doctest: +SKIP
    >>> X["Metadata_moa"].nunique()  # doctest: +SKIP
    12
    """
    well_key = ["Image_Metadata_Plate", "Image_Metadata_Well"]
    wells = read_csv(
        find_file(data_home, _WELLS, remedy=_REMEDY), required=well_key, remedy=_REMEDY
    )
    content = _well_contents(data_home, well_key)
    moa = read_csv(
        find_file(data_home, _MOA, remedy=_REMEDY),
        required=["compound", "concentration", "moa"],
        remedy=_REMEDY,
    )
    twice = wells.duplicated(well_key)
    if twice.any():
        raise ValueError(
            f"{_WELLS} holds wells twice: {shown(_names(wells.loc[twice, well_key]))}. {_REMEDY}"
        )
    joined = wells[well_key].merge(content, on=well_key, how="left", validate="1:1")
    _refuse(joined["compound"].isna(), joined[well_key], "are not in the image index", _IMAGES)
    joined = joined.merge(moa, on=["compound", "concentration"], how="left", validate="m:1")
    treatments = joined[["compound", "concentration"]].drop_duplicates()
    _refuse(
        joined["moa"].isna().loc[treatments.index], treatments, "have no mechanism of action", _MOA
    )

    control = joined["compound"] == "DMSO"
    metadata = pd.DataFrame(
        {
            "Metadata_Plate": joined[well_key[0]],
            "Metadata_Well": joined[well_key[1]],
            "Metadata_batch": joined[well_key[0]].str.split("_").str[0],
            "Metadata_replicate": joined["Replicate"],
            "Metadata_compound": joined["compound"],
            "Metadata_conc_uM": joined["concentration"],
            "Metadata_moa": joined["moa"].where(~control),
            "Metadata_control_type": pd.Series("negcon", index=joined.index, dtype="str").where(
                control
            ),
        }
    )
    features = wells[[name for name in wells.columns if name.startswith(PROFILE_PREFIXES)]]
    return pd.concat([metadata, features.astype(np.float32)], axis=1)


def fetch_bbbc021_profiles(
    data_home: str | os.PathLike[str] | None = None,
    *,
    base_url: str = RAW_GITHUB,
    timeout: float = 60.0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Download the BBBC021 well profiles (4 MB) where they are not there yet, and load them.

    The three files come from the repository cytomining/cytominergallery [1]_ at a fixed revision,
    and each is accepted only with its SHA-256.

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
    DataFrame, one row per well
        As :func:`load_bbbc021_profiles`.

    Raises
    ------
    DownloadError
        If a file cannot be downloaded, or is not the expected one; nothing of it is kept.
    FileNotFoundError
        If no data folder is named.

    Notes
    -----
    Tested against a local server that serves the original bytes; the public host itself is not
    contacted in the tests.

    References
    ----------
    .. [1] https://github.com/cytomining/cytominergallery

    Examples
    --------
    >>> from cloome_sk.datasets import fetch_bbbc021_profiles
    >>> X = fetch_bbbc021_profiles("~/cell_painting", verbose=1)  # doctest: +SKIP
    """
    fetch_missing(SOURCES, data_home, base_url=base_url, timeout=timeout, verbose=verbose)
    return load_bbbc021_profiles(data_home)


def _well_contents(data_home: str | os.PathLike[str] | None, well_key: list[str]) -> pd.DataFrame:
    """What each imaged well held: one row per well of the image index."""
    names = {
        "Image_Metadata_Plate_DAPI": well_key[0],
        "Image_Metadata_Well_DAPI": well_key[1],
        "Replicate": "Replicate",
        "Image_Metadata_Compound": "compound",
        "Image_Metadata_Concentration": "concentration",
    }
    index = read_csv(find_file(data_home, _IMAGES, remedy=_REMEDY), required=names, remedy=_REMEDY)
    content = index[list(names)].rename(columns=names).drop_duplicates(ignore_index=True)
    twice = content.duplicated(well_key)
    _refuse(twice, content[well_key], "have several contents", _IMAGES)
    return content


def _refuse(bad: pd.Series, rows: pd.DataFrame, what: str, file: str) -> None:
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} row(s) {what} according to {file}: {shown(_names(rows[bad]))}. "
            f"The three BBBC021 files do not belong together; delete them. {_REMEDY}"
        )


def _names(rows: pd.DataFrame) -> list[str]:
    return ["/".join(map(str, row)) for row in rows.drop_duplicates().to_numpy()]
