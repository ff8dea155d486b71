"""The Drug Repurposing Hub: names, structures, mechanisms and targets of drugs."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets._reading import find_file, read_csv
from cloome_sk.datasets._sources import RAW_GITHUB, Source, fetch_missing

_DRUGS = "labels/repurposing_drugs_20200324.txt.gz"
_SAMPLES = "labels/repurposing_samples_20200324.txt.gz"
_REPOSITORY = "broadinstitute/lincs-cell-painting"
_REVISION = "061870127481dcd73c29df85ebcfddeac2ed0828"
_REMEDY = "cloome_sk.datasets.fetch_repurposing_hub() downloads it."

SOURCES = {
    _DRUGS: Source(
        _REPOSITORY,
        _REVISION,
        "metadata/moa/clue/repurposing_drugs_20200324.txt",
        "9c3a08b9d4369fe4257dc9aa763d682fc5ef6b7dd0615534bb44f92b48bc287b",
        compress=True,
    ),
    _SAMPLES: Source(
        _REPOSITORY,
        _REVISION,
        "metadata/moa/clue/repurposing_samples_20200324.txt",
        "3324dfac93d19ceaeafbe7d9e466127709328777cb2f6c5a465740cd327088e9",
        compress=True,
    ),
}


def load_repurposing_hub(data_home: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Load the Drug Repurposing Hub, release of 24 March 2020.

    Mechanisms and targets for compounds that a table names only by structure: reference classes for
    :class:`cloome_sk.ZeroShotMoAClassifier`, or labels to join by molecule.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    DataFrame, one row per sample
        The columns of the sample file (``broad_id``, ``pert_iname``, ``vendor``, ``smiles``,
        ``InChIKey``, ...) and, joined by ``pert_iname``, those of the drug file
        (``clinical_phase``, ``moa``, ``target``, ``disease_area``, ``indication``), as they are in
        the files. Several mechanisms or targets are separated by ``|``. One drug has as many rows
        as it has samples.

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or one of the two files is not in it.
    ValueError
        If a file is truncated or is another table, or a sample has no drug.

    Notes
    -----
    Some ``smiles`` carry an extension (``|&1:10|`` after a space: a racemate) that RDKit
    understands, and a few ``InChIKey`` cells hold an InChI instead: name molecules with
    :func:`cloome_sk.molecules.molecule_key`. The files themselves restrict their use to
    non-commercial purposes.

    References
    ----------
    .. [1] Corsello et al., "The Drug Repurposing Hub: a next-generation drug library and
       information resource", Nat Med 23:405 (2017).

    Examples
    --------
    >>> from cloome_sk.datasets import load_repurposing_hub
    >>> drugs = load_repurposing_hub()  # doctest: +SKIP
    >>> drugs.loc[drugs["pert_iname"] == "paclitaxel", "moa"].iloc[0]  # doctest: +SKIP
    'tubulin polymerization inhibitor'
    """
    drugs = _read(data_home, _DRUGS, ("pert_iname", "moa", "target"))
    samples = _read(data_home, _SAMPLES, ("pert_iname", "smiles", "InChIKey"))
    unknown = ~samples["pert_iname"].isin(drugs["pert_iname"])
    if unknown.any():
        raise ValueError(
            f"{int(unknown.sum())} sample(s) have no drug of their name, e.g. "
            f"{shown(samples.loc[unknown, 'pert_iname'], 3)}: the two files are of different "
            f"releases. {_REMEDY}"
        )
    return samples.merge(drugs, on="pert_iname", how="left", validate="m:1")


def fetch_repurposing_hub(
    data_home: str | os.PathLike[str] | None = None,
    *,
    base_url: str = RAW_GITHUB,
    timeout: float = 60.0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Download the Drug Repurposing Hub (5 MB) where it is not there yet, and load it.

    The two text files come from the repository broadinstitute/lincs-cell-painting [1]_ at a fixed
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
    DataFrame, one row per sample
        As :func:`load_repurposing_hub`.

    Raises
    ------
    DownloadError
        If a file cannot be downloaded, or is not the expected one; nothing of it is kept.
    FileNotFoundError
        If no data folder is named.

    Notes
    -----
    The MD5 sums of the expected files equal those that the repository itself lists. Tested against
    a local server that serves them; the public host itself is not contacted in the tests.

    References
    ----------
    .. [1] https://github.com/broadinstitute/lincs-cell-painting

    Examples
    --------
    >>> from cloome_sk.datasets import fetch_repurposing_hub
    >>> drugs = fetch_repurposing_hub("~/cell_painting")  # doctest: +SKIP
    """
    fetch_missing(SOURCES, data_home, base_url=base_url, timeout=timeout, verbose=verbose)
    return load_repurposing_hub(data_home)


def _read(
    data_home: str | os.PathLike[str] | None, relative: str, required: tuple[str, ...]
) -> pd.DataFrame:
    path = find_file(data_home, relative, remedy=_REMEDY)
    return read_csv(
        path, required=required, remedy=_REMEDY, sep="\t", skiprows=_count_remarks(path)
    )


def _count_remarks(path: Path) -> int:
    """How many lines at the top start with ``!``; pandas' comment= would cut inside rows too."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file):
                if not line.startswith("!"):
                    return number
    except (EOFError, zlib.error, gzip.BadGzipFile):
        # Reading the table meets the same damage and explains it.
        return 0
    return 0
