"""The compounds of a simulated screen, where the user brings them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, row_name
from cloome_sk.molecules import morgan_fingerprints


def user_compounds(compounds: Any) -> pd.DataFrame:
    """A user's compounds with the columns of `load_known_drugs`, checked."""
    if not isinstance(compounds, pd.DataFrame):
        raise TypeError(
            "compounds must be a DataFrame with the columns name, smiles and moa; got "
            f"{type(compounds).__name__}."
        )

    seen = [str(name).lower().removeprefix("metadata_") for name in compounds.columns]

    def column(name: str) -> pd.Series:
        return compounds[match_column(compounds, name, purpose="compounds")]

    drugs = pd.DataFrame(
        {
            "name": column("pert_iname" if "pert_iname" in seen else "name"),
            "smiles": column("smiles"),
            "moa": column("moa"),
            "target": column("target") if "target" in seen else pd.NA,
        }
    )
    for name in ("name", "smiles"):
        missing = np.flatnonzero(drugs[name].isna())
        if len(missing):
            raise ValueError(
                f"compounds: column {name!r} is missing in {len(missing)} row(s), the first is "
                f"{row_name(compounds, int(missing[0]))}; fill it or drop these rows."
            )
    twice = np.flatnonzero(drugs["name"].duplicated())
    if len(twice):
        raise ValueError(
            f"compounds: {drugs['name'].iloc[twice[0]]!r} stands in more than one row (again in "
            f"{row_name(compounds, int(twice[0]))}); give one row for each compound, "
            "n_replicates says in how many wells it is."
        )
    try:
        morgan_fingerprints(drugs["smiles"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"compounds: column 'smiles': {error}") from error
    return drugs.reset_index(drop=True)
