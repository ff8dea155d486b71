"""BBBC021: pictures of single MCF7 cells under compounds of twelve mechanisms."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets._reading import find_file, read_csv
from cloome_sk.imaging import ImageError, read_image

_IMAGES = "images/bbbc021_cells.tiff"
_TABLE = "images/bbbc021_cells.csv"
_REMEDY = (
    f"{_IMAGES} and {_TABLE} belong together and come with the data folder; no function here "
    "downloads them."
)
_COLUMNS = "base field cell_index plate well replicate compound conc_uM moa repo".split()
_SIDE = 68
# Not DNA, tubulin, actin, the order of BBBC021's own files: the last plane shows the microtubules
# and goes with CellProfiler's tubulin intensity of the same wells, the middle one with actin's.
_PLANES = ("DNA", "Actin", "Tubulin")
_CONTROL = "DMSO"


def load_bbbc021_crops(data_home: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load single-cell crops of BBBC021 with plate, compound, concentration and mechanism.

    A selection of 1,349 cells out of the image set BBBC021v1 [1]_ (MCF7 cells, three stains), cut
    out around their nuclei. 305 of them are of DMSO wells, 506 of taxol, which is the positive
    control of every plate; the other 27 compounds have 3 to 172 cells each.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    DataFrame, one row per cell
        ``Image``: ndarrays of uint16, shape (3, 68, 68), views of one array; their channels are
        named in ``Metadata_Channels``, ``DNA|Actin|Tubulin``. ``Metadata_Plate``,
        ``Metadata_Well``, ``Metadata_Site`` (field of the well, 1 to 4), ``Metadata_field`` (its
        name in BBBC021), ``Metadata_cell`` (number of the cell in it), ``Metadata_week`` (of the
        plate, e.g. ``Week4``), ``Metadata_replicate``, ``Metadata_compound``,
        ``Metadata_conc_uM``, ``Metadata_moa`` (missing for DMSO), ``Metadata_control_type``
        (``negcon`` for DMSO, else missing) and ``Metadata_repository``, the public repository
        that held the crop. There is no SMILES column: several compounds have no public structure.

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or one of the two files is not in it.
    ValueError
        If a file is truncated or another one, the two do not fit together, or a crop lacks its
        description, stands in the table twice, or has two mechanisms.

    See Also
    --------
    load_bbbc021_profiles : CellProfiler features of wells of the same plates.
    cloome_sk.encoders.ImageEncoder : Takes this table.

    Notes
    -----
    *Confounding.* Each compound but taxol was run in a single week, so compound and week cannot be
    told apart within the table. The repository is confounded with both: 146 crops of one taxol
    well and 395 crops of two treatments come from repositories of their own.

    *Channels.* The order of the planes is that in which the crops were stored by those
    repositories, and was told from the pixels: over the wells that also have CellProfiler
    profiles, the mean of the third plane goes with tubulin intensity, that of the second with
    actin intensity.

    *Licence.* BBBC021 is (c) AstraZeneca; the Image Data Resource (idr0035) gives it under
    CC BY 4.0, the Broad Bioimage Benchmark Collection under other Creative Commons terms.

    References
    ----------
    .. [1] Caie et al., "High-content phenotypic profiling of drug response signatures across
       distinct cancer cells", Mol Cancer Ther 9:1913 (2010); image set BBBC021v1 of the Broad
       Bioimage Benchmark Collection (Ljosa et al., Nat Methods 9:637 (2012)).

    Examples
    --------
    >>> from cloome_sk.datasets import load_bbbc021_crops
    >>> X = load_bbbc021_crops()  # doctest: +SKIP
    >>> X["Image"].iloc[0].shape, X["Metadata_Channels"].iloc[0]  # doctest: +SKIP
    ((3, 68, 68), 'DNA|Actin|Tubulin')
    """
    cells = read_csv(
        find_file(data_home, _TABLE, remedy=_REMEDY), required=_COLUMNS, remedy=_REMEDY
    )
    crops = _read_crops(data_home)
    if len(crops) != len(cells):
        raise ValueError(
            f"{_IMAGES} holds {len(crops)} crop(s), {_TABLE} describes {len(cells)}. {_REMEDY}"
        )
    week, site = _checked(cells)
    control = cells["compound"] == _CONTROL
    images = np.empty(len(crops), dtype=object)
    images[:] = list(crops)
    return pd.DataFrame(
        {
            "Metadata_Plate": cells["plate"],
            "Metadata_Well": cells["well"],
            "Metadata_Site": site,
            "Metadata_field": cells["field"],
            "Metadata_cell": cells["cell_index"],
            "Metadata_week": week,
            "Metadata_replicate": cells["replicate"],
            "Metadata_compound": cells["compound"],
            "Metadata_conc_uM": cells["conc_uM"],
            "Metadata_moa": cells["moa"].where(~control),
            "Metadata_control_type": pd.Series("negcon", index=cells.index, dtype="str").where(
                control
            ),
            "Metadata_repository": cells["repo"].str.split(" ").str[0],
            "Metadata_Channels": pd.Series("|".join(_PLANES), index=cells.index, dtype="str"),
            "Image": images,
        }
    )


def _read_crops(data_home: str | os.PathLike[str] | None) -> np.ndarray:
    """All crops, uint16 of shape (n, 3, 68, 68)."""
    path = find_file(data_home, _IMAGES, remedy=_REMEDY)
    try:
        image = read_image(path)
    except ImageError as error:
        raise ValueError(f"{error} {_REMEDY}") from error
    if image.dtype != np.uint16 or image.ndim != 2 or image.shape[1] != _SIDE:
        expected = f"uint16 of shape (n * {len(_PLANES)} * {_SIDE}, {_SIDE})"
        raise ValueError(
            f"{str(path)!r} holds {image.dtype} of shape {image.shape}, not {expected}. {_REMEDY}"
        )
    n_crops, rest = divmod(len(image), len(_PLANES) * _SIDE)
    if rest:
        raise ValueError(
            f"{str(path)!r} has {len(image)} rows of pixels: {n_crops} crops of "
            f"{len(_PLANES)} x {_SIDE} and {rest} more. {_REMEDY}"
        )
    return image.reshape(n_crops, len(_PLANES), _SIDE, _SIDE)


def _checked(cells: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Week and field number of each cell, of a table without gaps and contradictions."""
    for name in _COLUMNS:
        _refuse(cells[name].isna(), cells, f"lack {name}")
    _refuse(cells.duplicated("base", keep=False), cells, "are described more than once")
    week = cells["plate"].astype("str").str.extract(r"^(Week\d+)_")[0]
    _refuse(week.isna(), cells, "have a plate that does not begin with its week")
    site = cells["field"].astype("str").str.extract(r"_s(\d+)_")[0]
    _refuse(site.isna(), cells, "have a field whose name does not say its number")
    _refuse(
        (cells["compound"] == _CONTROL) != (cells["moa"] == _CONTROL),
        cells,
        f"are {_CONTROL} by compound or by mechanism only",
    )
    several = cells.groupby("compound")["moa"].transform("nunique") > 1
    _refuse(several, cells, "are of a compound with several mechanisms")
    return week, site.astype(np.int64)


def _refuse(bad: pd.Series, cells: pd.DataFrame, what: str) -> None:
    if bad.any():
        names = shown(f"row {row} ({cells['base'].iloc[row]})" for row in np.flatnonzero(bad))
        raise ValueError(f"{int(bad.sum())} cell(s) of {_TABLE} {what}: {names}. {_REMEDY}")
