"""A site table from the names of image files."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets import _sites as sites
from cloome_sk.datasets._patterns import NAMINGS, Naming, is_left_out, may_be_image, naming
from cloome_sk.datasets._scan_channels import ChannelMap, named_channels, stack_channels
from cloome_sk.datasets._scan_sites import one_row_per_site

_PURPOSE = "scan_images"


def scan_images(
    folder: str | os.PathLike[str],
    pattern: str | re.Pattern[str],
    *,
    channels: ChannelMap = None,
    plane: int | None = None,
    timepoint: int | None = None,
    recursive: bool = True,
    check_shapes: bool = False,
    on_error: sites.OnError = "raise",
) -> pd.DataFrame:
    r"""Make a site table from the names of the image files in a folder.

    Parameters
    ----------
    folder : path-like
        A folder of images, or of folders of images. Hidden files and folders are passed over.
    pattern : str or re.Pattern
        How the files are named:

        ``"phenix"``
            Opera Phenix, ``r01c02f03p01-ch4sk1fk1fl1.tiff``. The plate is the folder, up to
            ``__<date>-Measurement<n>`` and without ``Images``. Needs `channels`.
        ``"imagexpress"``
            ImageXpress, ``<any>_A01_s1_w2<uuid>.tif``. The plate is the folder, above
            ``TimePoint_<n>`` and ``ZStep_<n>``; thumbnails are passed over. Needs `channels`.
        ``"bray"``
            The ImageXpress files of Bray et al. [1]_: folders ``24277-Hoechst``, or ``24277`` with
            all channels (w1 Hoechst, w2 ERSyto, w3 ERSytoBleed, w4 Ph_golgi, w5 Mito).
        ``"bbbc021"``
            The ImageXpress files of BBBC021 [2]_: folders ``Week1_22123`` with the channels w1
            DAPI, w2 Tubulin and w4 Actin.
        a regular expression
            Must match the whole file name; if it has a ``/``, the whole of the last parts of the
            path. Named groups: ``well``, or ``row`` (letter or number) and ``col``; ``channel``;
            where the names say them, ``plate`` (else the name of the folder that holds the file),
            ``site`` (else 1), ``plane``, ``timepoint``. Other groups become
            ``Metadata_<group>``. Without a group ``channel``, each file is a stack of all channels
            of its site, and `channels` names these in order.
    channels : mapping or sequence of str, optional
        The channel of each label in the names, such as ``{1: "Mito", 2: "AGP"}``; ``None`` as a
        channel leaves its files out. A sequence names the channels to take, where the files name
        them. ``None`` takes all.
    plane, timepoint : int, optional
        The one to take where there are several.
    recursive : bool, default=True
        Look into folders below `folder` too.
    check_shapes : bool, default=False
        Read the header of every file, and note those whose shape is another than that of the most.
        Takes about 0.3 ms per file on a local disk.
    on_error : {"raise", "skip"}, default="raise"
        What to do about sites that cannot be used: an error that names them, or leave them out
        with a warning that does.

    Returns
    -------
    DataFrame
        One row per site, ordered by plate, well and site: ``Metadata_Plate`` (text),
        ``Metadata_Well`` (``A01``), ``Metadata_Site`` (int), further ``Metadata_`` columns for
        groups of the pattern, and ``Image_<channel>`` with absolute paths (for stacks ``Image`` and
        ``Metadata_Channels``).

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no file matches; if channels are known by number only and `channels` does not name them;
        if there are several planes or timepoints and none is chosen; or (with
        ``on_error="raise"``) for sites without a plate or well, with several files for a channel,
        without a file for one, or of another shape.

    Warns
    -----
    UserWarning
        Of images whose name does not match, and of wells with fewer sites than others.

    References
    ----------
    .. [1] Bray, M.-A. et al. "A dataset of images and morphological profiles of 30 000
       small-molecule treatments using the Cell Painting assay." GigaScience 6 (2017), giw014.
    .. [2] Ljosa, V., Sokolnicki, K. L. & Carpenter, A. E. "Annotated high-throughput microscopy
       image sets for validation." Nat. Methods 9 (2012), 637.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cloome_sk.datasets import scan_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for channel in (1, 2):
    ...         (Path(folder) / f"r01c02f03p01-ch{channel}sk1fk1fl1.tiff").touch()
    ...     table = scan_images(folder, "phenix", channels={1: "Mito", 2: "OrigDNA"})
    >>> table[["Metadata_Well", "Metadata_Site"]].to_numpy().tolist()
    [['A02', 3]]
    >>> [Path(table.loc[0, f"Image_{name}"]).name for name in ("Mito", "DNA")]
    ['r01c02f03p01-ch1sk1fk1fl1.tiff', 'r01c02f03p01-ch2sk1fk1fl1.tiff']
    """
    sites.check_choice(_PURPOSE, "on_error", on_error, ("raise", "skip"))
    names = naming(pattern, purpose=_PURPOSE)
    base = Path(folder).expanduser().absolute()
    if not base.is_dir():
        raise FileNotFoundError(f"{_PURPOSE}: {str(base)!r} is not a folder.")
    files = _matched(base, names, pattern, recursive)
    files = _one_of(files, "plane", plane)
    files = _one_of(files, "timepoint", timepoint)
    if "channel" in names.groups:
        files, wanted = named_channels(files, names, channels, purpose=_PURPOSE)
    else:
        wanted = stack_channels(channels, purpose=_PURPOSE)
    return one_row_per_site(
        files, wanted, check_shapes=check_shapes, on_error=on_error, purpose=_PURPOSE
    )


def _walk(base: Path, recursive: bool) -> list[tuple[str, list[str]]]:
    """Folders (absolute) and the names of the images in them, in order; each folder once."""
    found = []
    waiting = [str(base)]
    seen = set()
    while waiting:
        here = waiting.pop()
        place = os.path.realpath(here)  # a link may lead back up
        if place in seen:
            continue
        seen.add(place)
        names, below = [], []
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if may_be_image(entry.name):
                    names.append(entry.name)
                elif recursive and entry.is_dir():
                    below.append(entry.path)
        found.append((Path(here).as_posix(), sorted(names)))
        waiting += sorted(below, reverse=True)
    return found


def _matched(
    base: Path, names: Naming, pattern: str | re.Pattern[str], recursive: bool
) -> pd.DataFrame:
    """One row per file that matches: its path and the groups, as text or missing."""
    paths: list[str] = []
    rows: list[tuple[str | None, ...]] = []
    others: list[str] = []
    of_file = tuple(names.file.groupindex)
    of_folder = tuple(names.folder.groupindex) if names.folder is not None else ()
    for folder, file_names in _walk(base, recursive):
        place = names.folder.fullmatch(folder) if names.folder is not None else None
        if names.folder is not None and place is None:
            others += [f"{folder}/{name}" for name in file_names if is_left_out(names, name)]
            continue
        above = tuple(place[group] for group in of_folder) if place is not None else ()
        for name in file_names:
            match = names.match_file(folder, name)
            if match is not None:
                paths.append(f"{folder}/{name}")
                rows.append(match.group(0, *of_file)[1:] + above)
            elif is_left_out(names, name):
                others.append(f"{folder}/{name}")
    _report_others(base, len(paths), others, pattern)
    columns = zip(*rows, strict=True)
    table = pd.DataFrame({"path": np.array(paths, dtype=object)}, dtype=object)
    for group, values in zip(of_file + of_folder, columns, strict=True):
        table[group] = pd.Series([value or None for value in values], dtype=object)
    if "plate" not in table:
        table["plate"] = pd.Series([path.rsplit("/", 2)[-2] for path in paths], dtype=object)
    return table


def _report_others(
    base: Path, n_matched: int, others: list[str], pattern: str | re.Pattern[str]
) -> None:
    said = pattern if isinstance(pattern, str) else pattern.pattern
    meant = f"pattern {said!r}"
    if said in NAMINGS:
        meant += f" ({NAMINGS[said].example})"
    if n_matched == 0:
        if not others:
            raise ValueError(f"{_PURPOSE}: there is no image in {str(base)!r}.")
        raise ValueError(
            f"{_PURPOSE}: none of the {len(others)} images in {str(base)!r} is named after the "
            f"{meant}. The first is {others[0]!r}."
        )
    if others:
        listed = [Path(path).relative_to(base).as_posix() for path in others]
        warnings.warn(
            f"{_PURPOSE}: {len(others)} images in {str(base)!r} are left out, as they are not "
            f"named after the {meant}: {shown(listed)}.",
            UserWarning,
            stacklevel=4,
        )


def _one_of(files: pd.DataFrame, group: str, chosen: int | None) -> pd.DataFrame:
    """The files of one plane or timepoint."""
    seen: set[int] = set()
    numbers = np.empty(0)
    if group in files:
        numbers = np.nan_to_num(sites.site_numbers(files[group].to_numpy()), nan=1.0)
        seen = {int(number) for number in np.unique(numbers)}
    if chosen is not None and chosen not in seen:
        raise ValueError(
            f"{_PURPOSE}: {group}={chosen!r} was asked for, but the names say "
            f"{shown(sorted(seen)) if seen else f'nothing of a {group}'}."
        )
    if len(seen) > 1 and chosen is None:
        first = {int(n): files["path"].iloc[int(np.argmax(numbers == n))] for n in sorted(seen)}
        listed = "; ".join(f"{n}: {path!r}" for n, path in list(first.items())[:3])
        raise ValueError(
            f"{_PURPOSE}: there are files of {len(seen)} {group}s ({shown(sorted(seen))}), such as "
            f"{listed}. Choose one with {group}=."
        )
    files = files.drop(columns=group, errors="ignore")
    return files if chosen is None else files[numbers == chosen].reset_index(drop=True)
