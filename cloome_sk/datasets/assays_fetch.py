"""Rebuilding assay labels from their public sources."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from scipy.io import mmread
from sklearn.utils import Bunch

from cloome_sk._tables import shown
from cloome_sk.datasets._home import get_data_home
from cloome_sk.datasets._reading import read_csv, require_pyarrow
from cloome_sk.datasets._scaffold import murcko
from cloome_sk.datasets._sources import RAW_GITHUB, Source, fetch_source, write_parquet
from cloome_sk.datasets.assays import ASSAYS, load_assays

_BROKEN = "Try again; if it stays so, the source has changed."
_HTI = ("ml-jku/hti-cnn", "82d6f6bb0f1d21d3d267ca8a02ac8e26ef02bbf9")

HTI_MATRIX = Source(*_HTI, "labels/label-matrix.mtx")
HTI_COMPOUNDS = Source(*_HTI, "labels/row-compound-index.csv")
HTI_ASSAYS = Source(*_HTI, "labels/column-assay-index.csv")
BRAY_SMILES = Source(
    "srijitseal/DICTrank",
    "132b4d53dc830925f4d334ab25f218d57bf95a19",
    "data/raw/CellPaintingSMILES/CellPaintingSMILES.csv.gz",
)
JUMP_ACTIVITY = Source(
    "srijitseal/JUMPCP_Production_Analysis",
    "dde368930a284fe25932ed104bb4f86031cce1f1",
    "01_mAP/output/phenotypic-activity-profiles_SAMPLE_harmony.csv.gz",
)
JUMP_SMILES = Source(
    "broadinstitute/monorepo",
    "704c365e621e456e9b5ad8d43f72dfb5c5fad4d0",
    "libs/jump_smiles/test/test_data/jump_compounds/smiles_only.csv.gz",
)


def fetch_assays(
    name: str,
    data_home: str | os.PathLike[str] | None = None,
    *,
    base_url: str = RAW_GITHUB,
    timeout: float = 60.0,
    verbose: int = 0,
) -> Bunch:
    """Rebuild a table of assay labels from public files if not there yet, and load it.

    Parameters
    ----------
    name : {"hti", "jump_activity"}
        ``"hti"``: the label matrix of the repository ml-jku/hti-cnn [1]_, with the structures of
        the Bray compounds from srijitseal/DICTrank [2]_ joined by InChIKey. ``"jump_activity"``:
        the activity table of srijitseal/JUMPCP_Production_Analysis [3]_, with structures from
        broadinstitute/monorepo [4]_ joined by JUMP identifier. All at fixed revisions.
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
    Bunch
        As :func:`load_assays`.

    Raises
    ------
    DownloadError
        If a file cannot be downloaded; nothing is written then.
    ValueError
        If the name is unknown or has no public source that can be rebuilt, or if a source file is
        not what this function knows.
    FileNotFoundError
        If no data folder is named.
    ImportError
        If pyarrow is not installed.

    Warns
    -----
    UserWarning
        If compounds had to be left out because the source of structures does not know them.

    Notes
    -----
    The SHA-256 of these files are not known here, so the git revisions alone pin them. Tested
    against a local server with files of the same form; the public hosts themselves are not
    contacted in the tests. The labels of ``"hti"`` derive from ChEMBL (CC BY-SA 3.0).

    References
    ----------
    .. [1] https://github.com/ml-jku/hti-cnn
    .. [2] https://github.com/srijitseal/DICTrank
    .. [3] https://github.com/srijitseal/JUMPCP_Production_Analysis
    .. [4] https://github.com/broadinstitute/monorepo

    Examples
    --------
    >>> from cloome_sk.datasets import fetch_assays
    >>> assays = fetch_assays("hti", "~/cell_painting")  # doctest: +SKIP
    """
    if name not in ASSAYS:
        raise ValueError(f"Unknown assay table {name!r}; choose one of {shown(_RECIPES)}.")
    if name not in _RECIPES:
        raise ValueError(f"{name!r} cannot be fetched. {ASSAYS[name].remedy}")
    require_pyarrow(f"{name} is kept as a parquet file")
    home = get_data_home(data_home, create=True)
    target = home / ASSAYS[name].file
    if not target.exists():
        sources, build = _RECIPES[name]
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=home) as folder:
            seen = {
                source.path: fetch_source(
                    source,
                    Path(folder) / source.name,
                    base_url=base_url,
                    timeout=timeout,
                    verbose=verbose,
                )
                for source in sources
            }
            table = build(Path(folder))
        table.attrs["sha256"] = seen
        write_parquet(table, target)
    return load_assays(name, home)


def _build_hti(folder: Path) -> pd.DataFrame:
    """One row per label: InChIKey, SMILES, scaffold, ChEMBL assay, -1 or +1."""
    compounds = read_csv(folder / HTI_COMPOUNDS.name, required=("INCHIKEY",), remedy=_BROKEN)
    assays = read_csv(folder / HTI_ASSAYS.name, required=("ASSAY_ID",), remedy=_BROKEN)
    structures = read_csv(folder / BRAY_SMILES.name, required=("InChI", "SMILES"), remedy=_BROKEN)
    try:
        labels = mmread(folder / HTI_MATRIX.name).tocoo()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{HTI_MATRIX.path} is no sparse matrix: {error}. {_BROKEN}") from error
    if labels.shape != (len(compounds), len(assays)):
        raise ValueError(
            f"{HTI_MATRIX.path} has shape {labels.shape}, but there are {len(compounds)} "
            f"compounds and {len(assays)} assays. {_BROKEN}"
        )
    structures = structures.dropna(subset=["InChI", "SMILES"])
    with rdBase.BlockLogs():
        keys = [Chem.InchiToInchiKey(inchi) for inchi in structures["InChI"]]
    smiles = structures["SMILES"].set_axis(keys)
    smiles = smiles[~smiles.index.duplicated()]
    table = pd.DataFrame(
        {
            "inchikey": compounds["INCHIKEY"].to_numpy(dtype=object)[labels.row],
            "chembl_assay_id": assays["ASSAY_ID"].to_numpy()[labels.col],
            "label": labels.data.astype(np.int8),
        }
    )
    table.insert(1, "smiles", table["inchikey"].map(smiles))
    table = _with_structure(table, "inchikey")
    table.insert(2, "murcko", murcko(table["smiles"]))
    return table


def _build_jump_activity(folder: Path) -> pd.DataFrame:
    """One row per compound: identifier, SMILES, mAP, corrected p, whether it is active."""
    numbers = ["mean_average_precision", "corrected_p_value", "below_corrected_p"]
    activity = read_csv(
        folder / JUMP_ACTIVITY.name, required=["Metadata_JCP2022", *numbers], remedy=_BROKEN
    )
    structures = read_csv(
        folder / JUMP_SMILES.name,
        required=("Metadata_JCP2022", "Metadata_SMILES"),
        remedy=_BROKEN,
    )
    structures = structures.drop_duplicates("Metadata_JCP2022").set_index("Metadata_JCP2022")
    table = activity[["Metadata_JCP2022", *numbers]].copy()
    table[numbers[:2]] = table[numbers[:2]].astype(np.float32)
    table.insert(1, "smiles", table["Metadata_JCP2022"].map(structures["Metadata_SMILES"]))
    return _with_structure(table, "Metadata_JCP2022")


def _with_structure(table: pd.DataFrame, identifier: str) -> pd.DataFrame:
    """The rows whose structure is known; the others are counted aloud."""
    unknown = table["smiles"].isna()
    if unknown.any():
        lost = table.loc[unknown, identifier].unique()
        warnings.warn(
            f"{len(lost)} of {table[identifier].nunique()} compounds have no known structure and "
            f"were left out: {shown(lost, 3)}.",
            stacklevel=4,
        )
    return table[~unknown].reset_index(drop=True)


_Recipe = tuple[tuple[Source, ...], Callable[[Path], pd.DataFrame]]

_RECIPES: dict[str, _Recipe] = {
    "hti": ((HTI_MATRIX, HTI_COMPOUNDS, HTI_ASSAYS, BRAY_SMILES), _build_hti),
    "jump_activity": ((JUMP_ACTIVITY, JUMP_SMILES), _build_jump_activity),
}
