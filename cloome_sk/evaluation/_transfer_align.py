"""Embeddings measured from the negative controls of their plate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloome_sk.evaluation._transfer_tables import PURPOSE, Lab
from cloome_sk.evaluation.unseen_compounds import center_on_controls
from cloome_sk.preprocessing import ControlNormalizer

NONE, CENTRED, SPHERED = "none", "controls", "sphered"
ALIGNMENTS = (NONE, CENTRED, SPHERED)
TITLES = {NONE: "", CENTRED: ", centred on controls", SPHERED: ", sphered on controls"}
"""What the name of a part says of its alignment."""


def align(embedding: np.ndarray, lab: Lab, how: str) -> np.ndarray:
    """Align the rows of one table, of whose controls alone anything is learned.

    Parameters
    ----------
    embedding : ndarray of float, shape (n_rows, n_components)
        Of all rows, controls included.
    lab : Lab
        Their table.
    how : {"none", "controls", "sphered"}
        "controls" subtracts the mean of the controls of a row's batch. "sphered" does what
        `cloome_sk.preprocessing.ControlNormalizer` does to profiles: median and spread of the
        controls of the batch, then sphering by all controls.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_components)
        Aligned.
    """
    values = np.asarray(embedding, dtype=np.float64)
    if how == NONE:
        return values
    bare = ~np.isin(lab.batches.astype(str), lab.batches[lab.control].astype(str))
    if bare.any():
        names = sorted(set(lab.batches[bare].astype(str)))
        raise ValueError(
            f"{PURPOSE}, {lab.name}: {int(bare.sum())} row(s) cannot be aligned: "
            f"{len(names)} plate(s) have no negative control, such as {str(names[0])!r}. Name a "
            "larger batch with align_by=, or leave out align."
        )
    if how == CENTRED:
        return center_on_controls(values, lab.control, [lab.batches.astype(str)])[0]
    columns = [f"Feature_{number}" for number in range(values.shape[1])]
    table = pd.DataFrame(values, columns=columns)
    table["Metadata_Plate"] = lab.batches
    table["Metadata_control"] = np.where(lab.control, "yes", "no")
    normalizer = ControlNormalizer(
        columns,
        controls=("Metadata_control", "yes"),
        signed_log=False,
        sphering=True,
        min_controls=1,
    )
    return normalizer.fit_transform(table)[columns].to_numpy(dtype=np.float64)
