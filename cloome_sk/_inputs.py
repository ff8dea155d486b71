"""From the inputs of an encoder to embeddings, those that are read only now included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from cloome_sk.encoders.base import Inputs

if TYPE_CHECKING:
    from torch import nn


def embed_inputs(
    network: nn.Module,
    inputs: Inputs,
    device: str,
    verbose: int,
    precision: str,
    unit: bool = True,
) -> np.ndarray:
    """Embed samples, float32 (n_samples, n_components); NaN where one has no usable input."""
    from cloome_sk.networks import embed

    values = inputs.values
    reads = not isinstance(values, np.ndarray)
    with tqdm(
        total=len(values), desc="Embedding", unit="site", disable=not (reads and verbose)
    ) as progress:
        embedded = embed(network, values, device, progress.update, precision, unit)
    if failed := list(getattr(values, "failed", ())):
        embedded[failed] = np.nan
    if inputs.report is not None:
        inputs.report()
    return inputs.expand(embedded)
