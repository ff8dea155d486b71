"""The folder of a simulated screen: file names, and whether it was finished."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from cloome_sk.datasets._drawing import CHANNELS

TABLE = "screen.csv"
UNFINISHED = "screen.unfinished"

# As the Opera Phenix numbers them in the JUMP data.
_CHANNEL_NUMBER = {"Mito": 1, "AGP": 2, "RNA": 3, "ER": 4, "DNA": 5}
_IMAGE = re.compile(r"r\d{2}c\d{2}f\d{2}p01-ch[1-5]sk1fk1fl1\.tiff")
_PLATE = re.compile(r"SIM\d{4}")


def plate_name(plate: int) -> str:
    """Name of the plate of that number, counted from 0."""
    return f"SIM{plate + 1:04d}"


def image_name(row: int, column: int, site: int, channel: str) -> str:
    """File name of one channel of a site; row and column counted from 0, the site from 1."""
    number = _CHANNEL_NUMBER[channel]
    return f"r{row + 1:02d}c{column + 1:02d}f{site:02d}p01-ch{number}sk1fk1fl1.tiff"


def begin(folder: Path, overwrite: bool) -> None:
    """Make the folder, or empty it of an earlier screen, and mark it as unfinished."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"folder: {folder} is a file; name a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    seen = sorted(entry.name for entry in folder.iterdir())
    if seen and not overwrite:
        if UNFINISHED in seen:
            what = "holds a screen that was not finished"
        elif TABLE in seen:
            what = "already holds a screen"
        else:
            what = f"is not empty (it holds {seen[0]!r}{', ...' if len(seen) > 1 else ''})"
        raise FileExistsError(
            f"folder: {folder} {what}. Name another folder, or pass overwrite=True, which removes "
            "the plates of an earlier simulated screen and leaves other files alone."
        )
    # From here until `finish` nobody may take what is in the folder for a screen.
    (folder / UNFINISHED).write_text(
        "Images are being drawn here by cloome_sk.datasets.make_screen. If that is no longer "
        "running, it was interrupted: draw the screen again with overwrite=True.\n"
    )
    (folder / TABLE).unlink(missing_ok=True)
    for plate in folder.iterdir():
        if _PLATE.fullmatch(plate.name) and plate.is_dir() and not plate.is_symlink():
            for image in plate.iterdir():
                if _IMAGE.fullmatch(image.name):
                    image.unlink()


def finish(folder: Path, table: pd.DataFrame) -> None:
    """Write the table, with paths relative to the folder, and take the mark away."""
    table = table.copy()
    for channel in CHANNELS:
        column = f"Image_{channel}"
        table[column] = [Path(path).relative_to(folder).as_posix() for path in table[column]]
    half_written = folder / f"{TABLE}.part"
    table.to_csv(half_written, index=False)
    os.replace(half_written, folder / TABLE)
    (folder / UNFINISHED).unlink()
