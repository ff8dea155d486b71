"""Rebuilding the CPJUMP1 table from its public source."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from cloome_sk._tables import PROFILE_PREFIXES, shown
from cloome_sk.datasets._home import get_data_home
from cloome_sk.datasets._reading import read_csv, require_pyarrow
from cloome_sk.datasets._scaffold import murcko
from cloome_sk.datasets._sources import RAW_GITHUB, Source, fetch_source, write_parquet
from cloome_sk.datasets.cpjump1 import WELLS, load_cpjump1

_REPOSITORY = "CaicedoLab/CHAMMI-75"
_REVISION = "b84a4ec9ac19d933e1290afc5abfe6451423cac4"
_FOLDER = "benchmarks/JUMPCP"
_BATCH = "2020_11_04_CPJUMP1"
_BROKEN = "Try again; if it stays so, the source has changed."
_PLATES = (
    "BR00117010",
    "BR00117011",
    "BR00117012",
    "BR00117013",
    "BR00117024",
    "BR00117025",
    "BR00117026",
)


def _source(path: str) -> Source:
    return Source(_REPOSITORY, _REVISION, f"{_FOLDER}/{path}")


PROFILES = {
    plate: _source(
        f"features/aggregated/cellprofiler/{plate}/"
        f"{plate}_normalized_feature_select_negcon_batch.csv.gz"
    )
    for plate in _PLATES
}
ANNOTATIONS = _source("metadata/JUMP-Target-1_compound_metadata_additional_annotations.tsv")
EXPERIMENT = _source("metadata/experiment-metadata.tsv")


def fetch_cpjump1(
    data_home: str | os.PathLike[str] | None = None,
    *,
    base_url: str = RAW_GITHUB,
    timeout: float = 60.0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Rebuild the CPJUMP1 compound wells from public files (10 MB) if not there yet, and load them.

    The profiles of the seven U2OS compound plates, the annotations of the compounds and the notes
    on the plates come from the repository CaicedoLab/CHAMMI-75 [1]_ at a fixed revision and become
    one table in the data folder.

    Parameters
    ----------
    data_home : path-like, optional
        Data folder, made if need be; ``None`` takes the environment variable ``CLOOME_SK_DATA``.
        A table that is already there is only loaded.
    base_url : str
        Host that serves ``{repository}/{revision}/{path}``; a mirror, for instance.
    timeout : float, default=60.0
        Seconds to wait for an answer.
    verbose : int, default=0
        1 shows a progress bar per file.

    Returns
    -------
    DataFrame, one row per well
        As :func:`load_cpjump1`. ``table.attrs["sha256"]`` holds the SHA-256 of each source file
        the table was built from, for the record.

    Raises
    ------
    DownloadError
        If a file cannot be downloaded; nothing is written then.
    ValueError
        If a source file is not what this function knows.
    FileNotFoundError
        If no data folder is named.
    ImportError
        If pyarrow is not installed.

    Warns
    -----
    UserWarning
        If the plates do not all hold the same features: only the shared ones are kept.

    Notes
    -----
    The SHA-256 of these files are not known here, so the git revision alone pins them. Tested
    against a local server with files of the same form; the public host itself is not contacted in
    the tests. A table rebuilt here holds all compounds of the plates.

    References
    ----------
    .. [1] https://github.com/CaicedoLab/CHAMMI-75

    Examples
    --------
    >>> from cloome_sk.datasets import fetch_cpjump1
    >>> X = fetch_cpjump1("~/cell_painting", verbose=1)  # doctest: +SKIP
    """
    require_pyarrow("CPJUMP1 is kept as a parquet file")
    home = get_data_home(data_home, create=True)
    if not (home / WELLS).exists():
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=home) as folder:
            seen = {}
            for source in (*PROFILES.values(), ANNOTATIONS, EXPERIMENT):
                seen[source.path] = fetch_source(
                    source,
                    Path(folder) / source.name,
                    base_url=base_url,
                    timeout=timeout,
                    verbose=verbose,
                )
            table = _build(Path(folder))
        table.attrs["sha256"] = seen
        write_parquet(table, home / WELLS)
    return load_cpjump1(home)


def _build(folder: Path) -> pd.DataFrame:
    """One table of wells from the downloaded files."""
    wells = _stack_plates(folder)
    annotations = read_csv(
        folder / ANNOTATIONS.name,
        required=("broad_sample", "moa_list", "target_list"),
        remedy=_BROKEN,
        sep="\t",
    )
    experiment = read_csv(
        folder / EXPERIMENT.name,
        required=("Batch", "Assay_Plate_Barcode", "Cell_type", "Time", "Anomaly"),
        remedy=_BROKEN,
        sep="\t",
    )
    # The DMSO row of the annotations has no broad_sample either; controls have no mechanism.
    annotations = annotations.dropna(subset="broad_sample").set_index("broad_sample")
    plates = experiment[experiment["Batch"] == _BATCH].set_index("Assay_Plate_Barcode")
    unknown = set(wells["Metadata_Plate"]) - set(plates.index)
    if unknown:
        raise ValueError(f"{EXPERIMENT.path} says nothing about plate(s) {shown(sorted(unknown))}.")

    sample, plate = wells["Metadata_broad_sample"], wells["Metadata_Plate"]
    extra = pd.DataFrame(
        {
            "Metadata_moa_list": sample.map(annotations["moa_list"]),
            "Metadata_target_list": sample.map(annotations["target_list"]),
            "Metadata_cell_line": plate.map(plates["Cell_type"]),
            "Metadata_timepoint_h": plate.map(plates["Time"]),
            "Metadata_plate_anomaly": plate.map(plates["Anomaly"]),
            "Metadata_murcko": murcko(wells["Metadata_smiles"]),
        }
    )
    features = [name for name in wells.columns if name.startswith(PROFILE_PREFIXES)]
    metadata = wells.drop(columns=features)
    return pd.concat([metadata, extra, wells[features].astype(np.float32)], axis=1)


def _stack_plates(folder: Path) -> pd.DataFrame:
    """The wells of all plates, with the columns that all of them have."""
    required = (
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_broad_sample",
        "Metadata_smiles",
        "Metadata_control_type",
    )
    tables = []
    for plate, source in PROFILES.items():
        table = read_csv(folder / source.name, required=required, remedy=_BROKEN)
        if set(table["Metadata_Plate"]) != {plate}:
            raise ValueError(
                f"{source.path} should hold plate {plate}, but holds "
                f"{shown(table['Metadata_Plate'].unique())}."
            )
        tables.append(table)
    seen = {name for table in tables for name in table.columns}
    shared = [name for name in tables[0].columns if all(name in table for table in tables)]
    if len(shared) < len(seen):
        warnings.warn(
            f"The plates do not all hold the same columns: {len(seen) - len(shared)} of "
            f"{len(seen)} were left out, e.g. {shown(sorted(seen - set(shared)), 3)}.",
            stacklevel=4,
        )
    return pd.concat([table[shared] for table in tables], ignore_index=True)
