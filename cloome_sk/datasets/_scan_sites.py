"""From one row per file to one row per site."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets import _headers as headers
from cloome_sk.datasets import _sites as sites

_OWN = ("path", "name", "astray", "plate", "well", "row", "col", "site", "channel", "stain")


def one_row_per_site(
    files: pd.DataFrame,
    wanted: Sequence[str],
    *,
    check_shapes: bool,
    on_error: sites.OnError,
    purpose: str,
) -> pd.DataFrame:
    """The site table of files: a column ``name`` says their channel; without, they are stacks."""
    plates, wells, numbers, stands = _places(files)
    # What is no well still makes a row, so that the summary can name it.
    key = pd.DataFrame(
        {"plate": plates, "well": np.where(pd.isna(wells), stands[1], wells), "site": numbers}
    )
    row = key.groupby(list(key.columns), dropna=False, sort=True).ngroup().to_numpy()
    first = np.full(int(row.max()) + 1, len(files))
    np.minimum.at(first, row, np.arange(len(files)))
    columns = list(wanted) if "name" in files else ["Image"]
    column = np.zeros(len(files), dtype=int)
    if "name" in files:
        column = pd.Categorical(files["name"], categories=columns).codes.astype(int)
    file_of = np.full((len(first), len(columns)), -1)
    file_of[row, column] = np.arange(len(files))
    # The last entry, reached as -1: no file.
    images = np.array([*files["path"], None], dtype=object)[file_of]

    def name(i: int) -> str:
        place = key.iloc[first[i]]
        return f"{place['plate']} {place['well']} site {stands[2][first[i]] or 1}"

    problems = sites.Problems(purpose, len(first), name, noun="site")
    at = (plates[first], wells[first], numbers[first])
    sites.check_sites(problems, *at, stands=tuple(given[first] for given in stands))
    _check_channels(problems, files, row, column, columns)
    _check_groups(problems, files, row, first)
    if check_shapes:
        _check_shapes(problems, images)
    good = problems.settle(on_error, stacklevel=4)

    values = (at[0][good], at[1][good], at[2][good].astype(np.int64))
    result = pd.DataFrame(dict(zip((sites.PLATE, sites.WELL, sites.SITE), values, strict=True)))
    _report_thin_wells(result, purpose)
    groups = [group for group in files.columns if group not in _OWN]
    more = pd.DataFrame({f"Metadata_{g}": files[g].to_numpy()[first[good]] for g in groups})
    if "name" in files:
        columns = [sites.IMAGE + channel for channel in columns]
    ends = pd.DataFrame(dict(zip(columns, images[good].T, strict=True)))
    if "name" not in files:
        ends["Metadata_Channels"] = "|".join(wanted)
    return sites.side_by_side([result, more, ends], purpose=purpose)


def _places(
    files: pd.DataFrame,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Plate, well and site of each file, and all three as its name spells them."""
    plates = files["plate"].to_numpy()
    if "well" in files:
        given = files["well"].to_numpy()
        wells = sites.well_names(given)
    else:
        rows, columns = files["row"].to_numpy(), files["col"].to_numpy()
        given = np.array([f"{r}/{c}" for r, c in zip(rows, columns, strict=True)], dtype=object)
        wells = sites.wells_of_places(rows, columns)
    none = np.full(len(files), None, dtype=object)
    said = files["site"].to_numpy() if "site" in files else none
    # A name that says no site is that of the only one.
    numbers = np.where(pd.isna(said), 1.0, sites.site_numbers(said))
    return plates, wells, numbers, (plates, given, said)


def _check_channels(
    problems: sites.Problems,
    files: pd.DataFrame,
    row: np.ndarray,
    column: np.ndarray,
    columns: Sequence[str],
) -> None:
    paths = files["path"].to_numpy()
    counts = np.zeros((len(np.unique(row)), len(columns)), dtype=int)
    np.add.at(counts, (row, column), 1)
    names = np.array(columns, dtype=object)
    problems.add(
        "no file of a channel",
        counts == 0,
        found=lambda i: shown(names[counts[i] == 0]),
    )
    problems.add(
        "several files of a channel" if "name" in files else "several files",
        counts > 1,
        found=lambda i: shown(paths[(row == i) & (counts[i] > 1)[column]], 3),
    )
    if "astray" in files:
        problems.add(
            "a file of one channel in the folder of another",
            _any_in(row, files["astray"].to_numpy(), len(counts)),
            found=lambda i: shown(paths[(row == i) & files["astray"].to_numpy()], 3),
        )


def _check_groups(
    problems: sites.Problems, files: pd.DataFrame, row: np.ndarray, first: np.ndarray
) -> None:
    """Note sites whose files disagree in a further group of the pattern."""
    for group in (group for group in files.columns if group not in _OWN):
        values = files[group].to_numpy()
        codes = pd.factorize(values)[0]
        problems.add(
            f"several values of {group!r}",
            _any_in(row, codes != codes[first[row]], len(first)),
            found=lambda i, v=values: shown(dict.fromkeys(v[row == i])),  # type: ignore[misc]
        )


def _any_in(row: np.ndarray, condition: np.ndarray, n_rows: int) -> np.ndarray:
    found = np.zeros(n_rows, dtype=bool)
    found[row[condition]] = True
    return found


def _check_shapes(problems: sites.Problems, images: np.ndarray) -> None:
    read = headers.read_headers(images, headers.image)
    found = np.empty(images.shape, dtype=object)
    shapes = np.full(images.shape, "", dtype=object)
    broken = np.zeros(images.shape, dtype=bool)
    for place, header in enumerate(read):
        found.flat[place] = header
        broken.flat[place] = isinstance(header, str)
        if isinstance(header, headers.Header):
            shapes.flat[place] = " x ".join(map(str, header.shape))
    problems.add(
        "a file that cannot be read",
        broken,
        found=lambda i: shown(found[i][broken[i]], 2),
    )
    known = shapes != ""
    if not known.any():
        return
    usual = pd.Series(shapes[known]).value_counts().index[0]
    other = known & np.not_equal(shapes, usual).astype(bool)
    problems.add(
        f"another shape than most files, {usual}",
        other,
        found=lambda i: shown(dict.fromkeys(shapes[i][other[i]])),
    )


def _report_thin_wells(table: pd.DataFrame, purpose: str) -> None:
    """Warn of wells that lack sites which other wells of their plate have."""
    wells = table.groupby([sites.PLATE, sites.WELL])[sites.SITE].nunique()
    full = table.groupby(sites.PLATE)[sites.SITE].nunique()
    thin = wells[wells.to_numpy() < full.loc[wells.index.get_level_values(0)].to_numpy()]
    if len(thin):
        places = thin.index.tolist()
        listed = [
            f"{plate} {well}: {n} of {full[plate]}"
            for (plate, well), n in zip(places, thin, strict=True)
        ]
        warnings.warn(
            f"{purpose}: {len(thin)} of {len(wells)} wells have fewer sites than there are on "
            f"their plate: {shown(listed)}.",
            UserWarning,
            stacklevel=4,
        )
