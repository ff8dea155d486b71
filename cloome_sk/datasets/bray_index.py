"""The index and the 8-bit sites that the authors of CLOOME work with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name
from cloome_sk.datasets import _headers as headers
from cloome_sk.datasets import _paths as paths
from cloome_sk.datasets import _sites as sites
from cloome_sk.datasets._text_tables import Source, read_table
from cloome_sk.imaging.channels import Channels

_PURPOSE = "read_bray_index"
_STORED = ("Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst")
_KEY = "SAMPLE_KEY"
_NAMES = {
    "SMILES": "Metadata_smiles",
    "INCHIKEY": "Metadata_InChIKey",
    "CPD_NAME": "Metadata_pert_iname",
}


def read_bray_index(
    index: Source,
    image_folder: str | os.PathLike[str],
    *,
    check_files: bool = True,
    check_shapes: bool = False,
    on_error: sites.OnError = "raise",
) -> pd.DataFrame:
    """Read the CLOOME authors' index of the Bray et al. data set, one row per site.

    The images are files ``{PLATE}-{WELL}-{SITE}.npz`` [1]_, each with an array ``sample`` of shape
    (520, 696, 5), uint8, channels last, in the order Mito, ERSyto, ERSytoBleed, Ph_golgi, Hoechst.
    The files hold two further arrays (``channels``, ``filenames``) that are Python pickles. These
    are never loaded: a pickle runs what its writer put into it.

    Parameters
    ----------
    index : path-like or DataFrame
        Such as ``cellpainting-split-test-imgpermol.csv``: columns PLATE_ID, WELL_POSITION and
        SITE, and where there SAMPLE_KEY, SMILES, INCHIKEY and CPD_NAME.
    image_folder : path-like
        The folder of the npz files.
    check_files : bool, default=True
        Look whether every file is there (the folder is listed once).
    check_shapes : bool, default=False
        Open every file and check shape and dtype of ``sample`` from its header. Takes about 0.2 ms
        per file on a local disk.
    on_error : {"raise", "skip"}, default="raise"
        What to do about rows that cannot be used: an error that names them, or leave them out with
        a warning that does.

    Returns
    -------
    DataFrame
        One row per site, in the order of the index: ``Metadata_Plate`` (text), ``Metadata_Well``
        (``A01``), ``Metadata_Site`` (int), ``Metadata_smiles``, ``Metadata_InChIKey`` and
        ``Metadata_pert_iname`` where the index has them, its other columns as they are, ``Image``
        (path of the npz) and ``Metadata_Channels`` ("Mito|ER|RNA|AGP|DNA", the order in the file).

    Raises
    ------
    FileNotFoundError
        If the index or the folder is not there.
    ValueError
        If the index lacks a column, or (with ``on_error="raise"``) for rows without plate, well or
        site, of the same site, whose SAMPLE_KEY is of another site, or whose file is not there or
        holds no such array.

    References
    ----------
    .. [1] Sanchez-Fernandez, A. et al. "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures." Nat. Commun. 14 (2023), 7339.
    .. [2] Bray, M.-A. et al. "A dataset of images and morphological profiles of 30 000
       small-molecule treatments using the Cell Painting assay." GigaScience 6 (2017), giw014.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cloome_sk.datasets import read_bray_index
    >>> index = pd.DataFrame({
    ...     "SAMPLE_KEY": ["24277-A01-1"], "PLATE_ID": [24277], "WELL_POSITION": ["a01"],
    ...     "SITE": [1], "SMILES": ["CCO"],
    ... })
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = np.zeros((520, 696, 5), dtype=np.uint8)
    ...     np.savez(Path(folder) / "24277-A01-1.npz", sample=image)
    ...     table = read_bray_index(index, folder)
    >>> table.loc[0, ["Metadata_Plate", "Metadata_smiles", "Metadata_Channels"]].tolist()
    ['24277', 'CCO', 'Mito|ER|RNA|AGP|DNA']
    """
    sites.check_choice(_PURPOSE, "on_error", on_error, ("raise", "skip"))
    folder = Path(image_folder).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"{_PURPOSE}: image_folder={str(folder)!r} is not a folder.")
    table, label, _ = read_table(index, purpose=_PURPOSE)
    columns = [
        match_column(table, name, purpose=f"{_PURPOSE}: {label}")
        for name in ("PLATE_ID", "WELL_POSITION", "SITE")
    ]
    plates, wells, numbers = (sites.as_text(table[column]) for column in columns)
    stands = (plates, wells, numbers)
    keys = (plates, sites.well_names(wells), sites.site_numbers(numbers))

    def name(row: int) -> str:
        plate, well, site = (given[row] for given in stands)
        return f"{row_name(table, row)} ({plate} {well} site {site})"

    problems = sites.Problems(f"{_PURPOSE}: {label}", len(table), name)
    whole = sites.check_sites(problems, *keys, stands=stands)
    problems.add("the same site as another row", sites.repeated(*keys) & whole)
    stems = np.full(len(table), None, dtype=object)
    ends = keys[2][whole].astype(np.int64).astype(str).astype(object)
    stems[whole] = keys[0][whole] + "-" + keys[1][whole] + "-" + ends
    key = sites.optional_column(table, _KEY, purpose=_PURPOSE)
    if key is not None:
        stems = _checked_keys(problems, sites.as_text(table[key]), stems)
    files = paths.Files()
    names = pd.Series(_with_suffix(stems))
    files.add("Image", pd.Series(str(folder), index=names.index), names)
    if check_files or check_shapes:
        absent = files.not_there()
        problems.add("file not there", absent, found=lambda i: files.path(i, 0))
        if check_shapes:
            at = files.paths(np.arange(len(table)))["Image"].to_numpy(dtype=object)
            at[absent[:, 0] | files.missing()[:, 0]] = None
            _check_shapes(problems, at)
    good = problems.settle(on_error)

    result = pd.DataFrame(
        {
            sites.PLATE: keys[0][good],
            sites.WELL: keys[1][good],
            sites.SITE: keys[2][good].astype(np.int64),
        }
    )
    rest = table.loc[good].drop(columns=columns).reset_index(drop=True)
    rest = rest.rename(columns=_new_names(rest))
    images = files.paths(good)
    images["Metadata_Channels"] = "|".join(Channels(_STORED).names)
    return sites.side_by_side([result, rest, images], purpose=_PURPOSE)


def _new_names(table: pd.DataFrame) -> dict:
    found = {
        sites.optional_column(table, old, purpose=_PURPOSE): new for old, new in _NAMES.items()
    }
    found.pop(None, None)
    return found


def _checked_keys(problems: sites.Problems, given: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The names of the files as SAMPLE_KEY says them, which must agree with the other columns."""
    named = ~pd.isna(given)
    usual = np.full(len(given), None, dtype=object)
    usual[named] = [_usual_spelling(text) for text in given[named]]
    problems.add(
        f"{_KEY} is of another plate, well or site",
        named & ~pd.isna(expected) & (usual != expected),
        found=lambda i: f"{given[i]!r}, not {expected[i]!r}",
    )
    return np.where(named, given, expected)


def _usual_spelling(key: str) -> str:
    plate, *place = key.rsplit("-", 2)
    if len(place) < 2:
        return key
    well, site = place
    name = sites.well_names(np.array([well], dtype=object))[0]
    return f"{plate}-{name}-{int(site) if site.isdecimal() else site}"


def _with_suffix(stems: np.ndarray) -> np.ndarray:
    names = np.full(len(stems), None, dtype=object)
    named = ~pd.isna(stems)
    names[named] = stems[named] + ".npz"
    return names


def _check_shapes(problems: sites.Problems, files: np.ndarray) -> None:
    found = headers.read_headers(files, headers.npz_sample)
    expected = headers.Header((520, 696, len(_STORED)), "uint8")
    problems.add(
        "no readable array 'sample'",
        np.array([isinstance(header, str) for header in found]),
        found=lambda i: found[i],
    )
    problems.add(
        f"array 'sample' is not {expected}",
        np.array([isinstance(header, headers.Header) and header != expected for header in found]),
        found=lambda i: str(found[i]),
    )
