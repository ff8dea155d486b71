"""Two simulated laboratories that screened the same drugs, but for some."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk.datasets import load_known_drugs, make_screen

SOURCE_LAB = {"pixel_size_um": 2.0, "background": 1.0, "noise": 1.0, "plate_effect": 1.0}
TARGET_LAB = {"pixel_size_um": 1.6, "background": 3.0, "noise": 2.0, "plate_effect": 2.0}
"""The second laboratory magnifies more, has more background and noise, and plates less alike."""
DRAWN: dict[str, Any] = {"n_plates": 6, "size": 192, "inactive_fraction": 0.0, "n_controls": 32}
N_ASSAYS = 16


def draw_labs(
    folder: str | PathLike[str],
    *,
    second: dict[str, float] | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    **drawn: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the same drugs, but for some, in two laboratories.

    Of each mechanism one drug in six is in the first laboratory only, and another one in the second
    only. What a drug does beyond its mechanism is drawn anew in each.

    Parameters
    ----------
    folder : path-like
        Gets the folders ``source`` and ``target``.
    second : dict, optional
        What the second laboratory has otherwise than the first, as `make_screen` takes it; by
        default `TARGET_LAB`. An empty dict: two laboratories that are alike.
    seed : int, default=0
        Of drugs, layouts and images.
    n_jobs : int, optional
        Processes that draw.
    **drawn : dict
        Further arguments of `make_screen`, over `DRAWN`.

    Returns
    -------
    source : DataFrame
        One row a site, as `make_screen` gives them. The columns ``Metadata_assay_01`` to ``_16``
        are simulated assays: active are the drugs of three mechanisms, one result in ten is wrong,
        half of all are missing.
    target : DataFrame
        Likewise; its plates begin with ``B_``.
    """
    drugs = load_known_drugs()
    generator = check_random_state(seed)
    drugs = drugs.iloc[generator.permutation(len(drugs))].reset_index(drop=True)
    place = drugs.groupby("moa").cumcount()
    seeds = generator.randint(np.iinfo(np.int32).max, size=2)
    settings = (SOURCE_LAB, {**SOURCE_LAB, **(TARGET_LAB if second is None else second)})
    tables = []
    for number, (name, lab) in enumerate(zip(("source", "target"), settings, strict=True)):
        own = drugs[(place < 6) & (place != (1 - number))].reset_index(drop=True)
        tables.append(
            make_screen(
                Path(folder) / name,
                compounds=own,
                random_state=int(seeds[number]),
                n_jobs=n_jobs,
                overwrite=True,
                **{**DRAWN, **lab, **drawn},
            )
        )
    tables[1]["Metadata_Plate"] = "B_" + tables[1]["Metadata_Plate"].astype(str)
    assays = _assays(drugs, check_random_state(seed))
    return tuple(  # type: ignore[return-value]
        pd.concat([t, assays.reindex(t["Metadata_pert_iname"]).set_index(t.index)], axis=1)
        for t in tables
    )


def _assays(drugs: pd.DataFrame, generator: np.random.RandomState) -> pd.DataFrame:
    """Simulated results of each drug: 1, 0, NaN."""
    mechanisms = np.array(sorted(drugs["moa"].unique()), dtype=object)
    results = np.empty((len(drugs), N_ASSAYS))
    for number in range(N_ASSAYS):
        hit = mechanisms[generator.permutation(len(mechanisms))[:3]]
        active = drugs["moa"].isin(hit).to_numpy() ^ (generator.random_sample(len(drugs)) < 0.1)
        missing = generator.random_sample(len(drugs)) < 0.5
        results[:, number] = np.where(missing, np.nan, active)
    names = [f"Metadata_assay_{number + 1:02d}" for number in range(N_ASSAYS)]
    return pd.DataFrame(results, columns=names, index=drugs["name"])
