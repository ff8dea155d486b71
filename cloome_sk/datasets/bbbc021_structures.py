"""Structures of the compounds of BBBC021, which its tables only name."""

from __future__ import annotations

import os

import pandas as pd

from cloome_sk._tables import shown
from cloome_sk.datasets.repurposing import load_repurposing_hub
from cloome_sk.molecules import molecule_key

HUB_NAMES = {
    "cyclohexamide": "cycloheximide",
    "cytochalasin B": "cytochalasin-B",
    "epothilone B": "epothilone-B",
    "latrunculin B": "latrunculin-B",
    "mevinolin/lovastatin": "lovastatin",
    "mitomycin C": "mitomycin-C",
    "taxol": "paclitaxel",
}
"""Names of BBBC021 that the Drug Repurposing Hub spells otherwise."""
VEHICLE = "DMSO"


def join_bbbc021_structures(
    table: pd.DataFrame, data_home: str | os.PathLike[str] | None = None
) -> pd.DataFrame:
    """Add the structures that the Drug Repurposing Hub has for the compounds of BBBC021.

    Parameters
    ----------
    table : DataFrame
        From `load_bbbc021_profiles` or `load_bbbc021_crops`: has ``Metadata_compound``.
    data_home : path-like, optional
        Data folder; ``None`` takes the environment variable ``CLOOME_SK_DATA``.

    Returns
    -------
    DataFrame
        The same rows with ``Metadata_smiles``, which is missing for the vehicle and for compounds
        that the hub does not have: 15 of the 38, among them all those with names of the company
        that ran the screen (``AZ-A``, ``AZ138``, ...), whose structures are not public.

    Raises
    ------
    FileNotFoundError
        If there is no data folder, or the hub is not in it.
    ValueError
        If there is no column of compounds, or the hub has different molecules under one name.

    Examples
    --------
    >>> from cloome_sk.datasets import join_bbbc021_structures, load_bbbc021_profiles
    >>> wells = join_bbbc021_structures(load_bbbc021_profiles())  # doctest: +SKIP
    >>> wells.groupby("Metadata_compound")["Metadata_smiles"].first().notna().sum()
    ... # doctest: +SKIP
    23
    """
    if "Metadata_compound" not in table.columns:
        raise ValueError(
            "join_bbbc021_structures: no column 'Metadata_compound', where the tables of BBBC021 "
            f"name compounds. The table has {shown(map(repr, table.columns), 5)}."
        )
    names = table["Metadata_compound"]
    hub = load_repurposing_hub(data_home)
    treatments = names.dropna().unique()
    wanted = {name: HUB_NAMES.get(name, name) for name in treatments if name != VEHICLE}
    samples = hub[hub["pert_iname"].isin(wanted.values()) & hub["smiles"].notna()]
    samples = samples.assign(molecule=molecule_key(samples["smiles"]))
    several = samples.groupby("pert_iname")["molecule"].nunique()
    several = several[several > 1]
    if len(several):
        raise ValueError(
            "join_bbbc021_structures: the hub has different molecules under the name(s) "
            f"{shown(map(repr, several.index))}."
        )
    structures = samples.groupby("pert_iname")["smiles"].first()
    # A copy first: the table is put together column by column, and says so at each further one.
    return table.copy().assign(Metadata_smiles=names.map(wanted).map(structures))
