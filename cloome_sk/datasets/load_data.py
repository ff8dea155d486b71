"""The table that CellProfiler loads images by, as JUMP and others publish it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cloome_sk._tables import row_name, shown
from cloome_sk.datasets import _load_data_columns as columns
from cloome_sk.datasets import _paths as paths
from cloome_sk.datasets import _sites as sites
from cloome_sk.datasets._text_tables import Source, read_table

_PURPOSE = "read_load_data"


def read_load_data(
    source: Source,
    *,
    root: str | os.PathLike[str] | None = None,
    replace: Mapping[str, str | os.PathLike[str]] | None = None,
    channels: Sequence[str] | None = None,
    illumination: bool = True,
    plate: str = "Metadata_Plate",
    well: str = "Metadata_Well",
    site: str = "Metadata_Site",
    check_files: bool = True,
    on_error: sites.OnError = "raise",
) -> pd.DataFrame:
    """Read a CellProfiler load_data table into one row per site, one path per channel.

    The columns are those of CellProfiler's LoadData: ``FileName_OrigDNA``, ``PathName_OrigDNA`` or
    ``URL_OrigDNA`` for images, ``FileName_IllumDNA`` and so on for illumination functions,
    ``Metadata_*``; with or without a leading ``Image_``, and with or without ``Orig``
    (``Image_FileName_DAPI`` in BBBC021).

    Parameters
    ----------
    source : path-like or DataFrame
        A csv, tsv or txt file, also with ``.gz``, or parquet (needs pyarrow); or the table itself.
    root : path-like, optional
        The local folder that holds the images, where the table names other places. Of each folder
        in the table, the longest tail that is a folder below `root` is taken: with
        ``s3://.../images/Batch12/images/BR00126114/Images/``, first ``root/images/Batch12/...``
        and at last ``root/Images`` and `root` itself.
    replace : mapping of str to path-like, optional
        Beginnings of folders and what stands for them here, such as
        ``{"s3://cellpainting-gallery/cpg0016-jump": "/data/jump"}``. Not together with `root`.
        Without either, folders are taken as they stand, relative ones from the table's folder (from
        the working folder for a DataFrame).
    channels : sequence of str, optional
        The channels to read, by any of their names. ``None`` reads all: every ``Orig`` image, or
        where no name has ``Orig``, every image. That includes brightfield, if the table has it.
    illumination : bool, default=True
        Read illumination functions, where the table has them.
    plate, well, site : str
        Names of these columns, in any case and with or without ``Metadata_``. In place of a well, a
        column for the row and one for the column of the plate will do. Without a site column, the
        sites are read from the file names if these are of ImageXpress or Opera Phenix.
    check_files : bool, default=True
        Look whether every file is there (each folder is listed once). ``False`` keeps paths and
        addresses such as ``s3://`` unseen.
    on_error : {"raise", "skip"}, default="raise"
        What to do about rows that cannot be used: an error that names them, or leave them out with
        a warning that does.

    Returns
    -------
    DataFrame
        One row per site, in the order of the table: ``Metadata_Plate`` (text), ``Metadata_Well``
        (``A01``), ``Metadata_Site`` (int), the other columns of the table, ``Image_<channel>`` and
        ``Illum_<channel>`` with paths (absolute, or addresses), where ``<channel>`` is the
        canonical name (`cloome_sk.imaging.channel_name`). Columns of other image files, such as
        outlines that the pipeline has saved, are left out.

    Raises
    ------
    FileNotFoundError
        If the table, or the folder `root`, is not there.
    ValueError
        If the table names no images or not all `channels`, if two of its columns are one channel,
        or (with ``on_error="raise"``) for rows without plate, well or site, of the same site, with
        a missing channel, with a page of a multi-page file, or with files that are not there.

    References
    ----------
    .. [1] Chandrasekaran, S. N. et al. "Three million images and morphological profiles of cells
       treated with matched chemical and genetic perturbations." Nat. Methods 21 (2024), 1114-1121.
    .. [2] "LoadData", CellProfiler manual.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.datasets import read_load_data
    >>> table = pd.DataFrame({
    ...     "Metadata_Plate": ["BR00126114"], "Metadata_Well": ["a1"], "Metadata_Site": ["1"],
    ...     "FileName_OrigDNA": ["r01c01f01p01-ch5sk1fk1fl1.tiff"],
    ...     "PathName_OrigDNA": ["s3://gallery/BR00126114/Images/"],
    ... })
    >>> sites = read_load_data(table, check_files=False)
    >>> sites.loc[0, ["Metadata_Well", "Image_DNA"]].tolist()
    ['A01', 's3://gallery/BR00126114/Images/r01c01f01p01-ch5sk1fk1fl1.tiff']
    """
    sites.check_choice(_PURPOSE, "on_error", on_error, ("raise", "skip"))
    if root is not None and replace is not None:
        raise ValueError(f"{_PURPOSE}: give root= or replace=, not both.")
    table, label, base = read_table(source, purpose=_PURPOSE)
    which = f"{_PURPOSE}: {label}"
    images = columns.image_columns(table, which)
    chosen = columns.chosen_images(images, channels, which)
    functions = columns.illumination_functions(images, chosen) if illumination else {}
    images_of, functions_of = paths.Files(), paths.Files()
    for channel, tag in chosen.items():
        columns.add_files(images_of, sites.IMAGE + channel, table, images[tag])
    for channel, tag in functions.items():
        columns.add_files(functions_of, sites.ILLUMINATION + channel, table, images[tag])
    groups = {"file": images_of} | ({"illumination function": functions_of} if functions else {})
    _locate(groups.values(), root, replace, base)
    table = columns.plain_metadata(table, images)
    first = images[next(iter(chosen.values()))]
    keys, stands, used = columns.places(table, plate, well, site, first, which)

    def name(row: int) -> str:
        plate, well, site = (given[row] for given in stands)
        return f"{row_name(table, row)} ({plate} {well} site {site})"

    problems = sites.Problems(which, len(table), name)
    whole = sites.check_sites(problems, *keys, stands=stands)
    _check_pages(problems, table, images, [*chosen.values(), *functions.values()])
    for what, files in groups.items():
        _check_files(problems, what, files, check_files)
    _check_repeats(problems, keys, whole, images_of)
    good = problems.settle(on_error)

    values = (keys[0][good], keys[1][good], keys[2][good].astype(np.int64))
    result = pd.DataFrame(dict(zip((sites.PLATE, sites.WELL, sites.SITE), values, strict=True)))
    of_files = [column for kinds in images.values() for column in kinds.values()]
    rest = table.loc[good].drop(columns=[*used, *of_files]).reset_index(drop=True)
    ends = [files.paths(good) for files in groups.values()]
    return sites.side_by_side([result, rest, *ends], purpose=which)


def _locate(
    groups: Iterable[paths.Files],
    root: str | os.PathLike[str] | None,
    replace: Mapping[str, str | os.PathLike[str]] | None,
    base: Path | None,
) -> None:
    """Find out where the folders are on this machine."""
    groups = list(groups)
    distinct = dict.fromkeys(folder for files in groups for folder in files.folders())
    if root is not None:
        here = paths.find_under(distinct, root, purpose=_PURPOSE)
    elif replace is not None:
        moved = paths.replace_starts(distinct, replace, purpose=_PURPOSE)
        places = paths.beside(moved.values(), base)
        here = {folder: places[new] for folder, new in moved.items()}
    else:
        here = paths.beside(distinct, base)
    for files in groups:
        files.move(here)


def _check_pages(
    problems: sites.Problems,
    table: pd.DataFrame,
    images: columns.Images,
    tags: Sequence[str],
) -> None:
    for tag in tags:
        for kind in ("Frame", "Series", "Index"):
            if kind not in images[tag]:
                continue
            given = sites.as_text(table[images[tag][kind]])
            problems.add(
                f"one page of a multi-page file ({images[tag][kind]})",
                ~(pd.isna(given) | (given == "0")),
                found=lambda i, g=given: g[i],  # type: ignore[misc]
                advice="Save each page as a file of its own: only whole files are read.",
            )


def _check_files(
    problems: sites.Problems, what: str, files: paths.Files, check_files: bool
) -> None:
    missing = files.missing()
    names = np.array(files.columns, dtype=object)
    problems.add(f"no {what} named", missing, found=lambda i: shown(names[missing[i]]))
    if not check_files:
        return
    remote = files.remote()
    problems.add(
        f"{what} not on this machine",
        remote,
        found=_first_of(files, remote),
        advice="Download the files and name their folder in root= (or exchange the beginning of "
        "their addresses with replace=), or keep the addresses with check_files=False.",
    )
    absent = files.not_there()
    advice = "root= names the folder that holds the files."
    if what != "file":
        advice = "illumination=False does without illumination functions."
    problems.add(f"{what} not there", absent, found=_first_of(files, absent), advice=advice)


def _first_of(files: paths.Files, which: np.ndarray) -> Callable[[int], str]:
    """The first of the files of a row that are meant, and how many more."""

    def found(row: int) -> str:
        meant = np.flatnonzero(which[row])
        more = f" (+{len(meant) - 1} more)" if len(meant) > 1 else ""
        return files.path(row, int(meant[0])) + more

    return found


def _check_repeats(
    problems: sites.Problems, keys: tuple[np.ndarray, ...], whole: np.ndarray, images: paths.Files
) -> None:
    same_site = sites.repeated(*keys) & whole
    numbers = images.numbers()
    if same_site.any():
        both = (*keys, *numbers.T)
        equal = sites.repeated(*both) & whole
        problems.add(
            "the same site as another row, with the same files",
            equal,
            drop=sites.repeated(*both, keep="first") & whole,
            advice="Of rows with the same site and files, the first one is enough.",
        )
        problems.add("the same site as another row, with other files", same_site & ~equal)
    shared = np.column_stack([sites.repeated(column) for column in numbers.T]) & (numbers >= 0)
    shared &= ~same_site[:, np.newaxis]
    problems.add("the same file as another site", shared, found=_first_of(images, shared))
    ordered = np.sort(numbers, axis=1)
    within = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    problems.add(
        "one file for two channels",
        within,
        found=lambda i: shown(
            images.columns[j] for j, n in enumerate(numbers[i]) if (numbers[i] == n).sum() > 1
        ),
    )
