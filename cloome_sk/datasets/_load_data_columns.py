"""What the columns of a CellProfiler load_data table are."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, shown
from cloome_sk.datasets import _paths as paths
from cloome_sk.datasets import _sites as sites
from cloome_sk.imaging.channels import Channels, channel_name

_FILE_COLUMN = re.compile(r"(?:Image_)?(FileName|PathName|URL|Frame|Series|Index)_(.+)")
_ILLUM = "Illum"
_ORIGINAL = "Orig"
# Where the file name itself says the site: ImageXpress, Opera Phenix.
_SITE_IN_NAME = (re.compile(r"_s(\d+)_w\d"), re.compile(r"r\d+c\d+f(\d+)p\d+-ch"))

Images = Mapping[str, Mapping[str, Hashable]]
"""For each image that the table names (OrigDNA, ...), its columns by kind (FileName, ...)."""


def image_columns(table: pd.DataFrame, which: str) -> Images:
    """The columns that name image files."""
    images: dict[str, dict[str, Hashable]] = {}
    for column in table.columns:
        match = _FILE_COLUMN.fullmatch(str(column))
        if match is None:
            continue
        kinds = images.setdefault(match[2], {})
        if match[1] in kinds:
            raise ValueError(
                f"{which} has two columns for one thing, {kinds[match[1]]!r} and {column!r}; "
                "remove one."
            )
        kinds[match[1]] = column
    images = {tag: kinds for tag, kinds in images.items() if {"FileName", "URL"} & set(kinds)}
    if all(tag.startswith(_ILLUM) for tag in images):
        raise ValueError(
            f"{which} names no images: no column FileName_<channel> or URL_<channel> (such as "
            f"FileName_OrigDNA). Columns seen: {shown(table.columns)}."
        )
    return images


def chosen_images(images: Images, channels: Sequence[str] | None, which: str) -> dict[str, str]:
    """The images to read: canonical name of the channel -> name in the table."""
    tags = [tag for tag in images if not tag.startswith(_ILLUM)]
    # Beside the originals stand images that the pipeline has made, such as outlines.
    tags = [tag for tag in tags if tag.startswith(_ORIGINAL)] or tags
    try:
        if channels is None:
            return dict(zip(Channels(map(_bare, tags)).names, tags, strict=True))
        wanted = Channels(map(_bare, channels)).names
    except ValueError as error:
        raise ValueError(f"{which}: {error}. Images seen: {shown(tags)}.") from error
    found: dict[str, str] = {}
    for given, name in zip(channels, wanted, strict=True):
        same = [tag for tag in tags if channel_name(_bare(tag)) == name]
        same = [tag for tag in same if given in (tag, _bare(tag))] or same
        if len(same) > 1:
            raise ValueError(
                f"{which}: channel {given!r} could be any of the images {shown(same)}; name one of "
                "them in channels=."
            )
        if same:
            found[name] = same[0]
    absent = [name for name in wanted if name not in found]
    if absent:
        raise ValueError(
            f"{which}: there is no image of channel {shown(absent)}. Images seen: {shown(tags)}."
        )
    return found


def illumination_functions(images: Images, chosen: Mapping[str, str]) -> dict[str, str]:
    """The illumination functions of the chosen channels, as far as the table has them."""
    tags = {channel_name(tag.removeprefix(_ILLUM)): tag for tag in images if tag.startswith(_ILLUM)}
    return {
        name: tags[channel_name(_bare(tag))]
        for name, tag in chosen.items()
        if channel_name(_bare(tag)) in tags
    }


def _bare(tag: str) -> str:
    return tag.removeprefix(_ORIGINAL) or tag if isinstance(tag, str) else tag


def add_files(
    files: paths.Files, column: str, table: pd.DataFrame, kinds: Mapping[str, Hashable]
) -> None:
    """Add the files of one image, as the table says them."""
    if "FileName" not in kinds or ("PathName" not in kinds and "URL" in kinds):
        files.add_urls(column, table[kinds["URL"]])
    elif "PathName" in kinds:
        files.add(column, table[kinds["PathName"]], table[kinds["FileName"]])
    else:
        # CellProfiler's rule: a file without a folder is in the base folder.
        names = table[kinds["FileName"]]
        files.add(column, pd.Series(".", index=names.index), names)


def plain_metadata(table: pd.DataFrame, images: Images) -> pd.DataFrame:
    """Metadata columns without CellProfiler's ``Image_``, or the name of an image at the end.

    ``Image_Metadata_Plate_DAPI`` becomes ``Metadata_Plate`` where no other column could be that.
    """
    ends = tuple(f"_{tag}" for tag in images)
    short: dict[str, list[Hashable]] = {}
    for column in table.columns:
        name = str(column).removeprefix(sites.IMAGE)
        if name.startswith("Metadata_"):
            end = next((end for end in ends if name.endswith(end)), "")
            short.setdefault(name.removesuffix(end), []).append(column)
    renamed = {
        columns[0]: name
        for name, columns in short.items()
        if len(columns) == 1 and name not in table.columns
    }
    return table.rename(columns=renamed)


def places(
    table: pd.DataFrame, plate: str, well: str, site: str, image: Mapping[str, Hashable], which: str
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], list[Hashable]]:
    """Plate, well, site of each row, all three as the table spells them, and the columns read."""
    plate_column = match_column(table, plate, purpose=f"{which}: plate")
    plates = sites.as_text(table[plate_column])
    wells, written, well_columns = sites.find_wells(table, well, purpose=f"{which}: well")
    used = [plate_column, *well_columns]
    column = sites.optional_column(table, site, purpose=f"{which}: site")
    if column is None:
        given = _sites_in_names(sites.as_text(table[image.get("FileName", image.get("URL"))]))
    else:
        given = sites.as_text(table[column])
    if given is None:
        column = match_column(table, site, purpose=f"{which}: site, which the file names lack too")
    used += [column] if column is not None else []
    assert given is not None
    return (plates, wells, sites.site_numbers(given)), (plates, written, given), used


def _sites_in_names(names: np.ndarray) -> np.ndarray | None:
    """Sites as the file names say them, None unless all do."""
    named = ~pd.isna(names)
    for pattern in _SITE_IN_NAME:
        found = [pattern.search(name) for name in names[named]]
        if found and all(found):
            given = np.full(len(names), None, dtype=object)
            given[named] = [str(int(match[1])) for match in found if match]
            return given
    return None
