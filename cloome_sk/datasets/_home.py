"""Where the data folder is."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "CLOOME_SK_DATA"
"""Environment variable that names the data folder."""

_HOW = (
    f"Set the environment variable {DATA_VARIABLE} to a folder, or pass data_home=. An empty "
    "folder will do: cloome_sk.datasets.fetch_bbbc021_profiles(), fetch_cpjump1(), fetch_assays() "
    "and the other fetch_* functions fill it with public tables. Without any data, "
    "cloome_sk.datasets.make_profiles() simulates a small screen."
)


def get_data_home(data_home: str | os.PathLike[str] | None = None, *, create: bool = False) -> Path:
    """Find the data folder.

    Parameters
    ----------
    data_home : path-like, optional
        The folder; ``~`` is expanded. ``None`` takes the environment variable ``CLOOME_SK_DATA``.
    create : bool, default=False
        Make the folder if it is not there. The fetchers do; a loader has nothing to read in an
        empty folder.

    Returns
    -------
    Path
        An existing folder.

    Raises
    ------
    FileNotFoundError
        If no folder is named, or (unless `create`) the named one does not exist.
    NotADirectoryError
        If the name belongs to a file.

    Examples
    --------
    >>> import tempfile
    >>> from cloome_sk.datasets import get_data_home
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     get_data_home(folder).is_dir()
    True
    """
    named_by = "data_home"
    if data_home is None:
        data_home = os.environ.get(DATA_VARIABLE) or None
        named_by = DATA_VARIABLE
    if data_home is None:
        raise FileNotFoundError(f"No data folder is named. {_HOW}")
    home = Path(data_home).expanduser()
    if home.exists() and not home.is_dir():
        raise NotADirectoryError(f"{named_by} is {str(home)!r}, which is a file, not a folder.")
    if not home.is_dir():
        if not create:
            raise FileNotFoundError(
                f"{named_by} is {str(home)!r}, but there is no such folder. {_HOW}"
            )
        home.mkdir(parents=True, exist_ok=True)
    return home
