"""The same embedder without its training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk._parameters import initial_inv_tau
from cloome_sk.baselines.embedder_controls import EmbedderControl
from cloome_sk.embedder import CloomeEmbedder
from cloome_sk.encoders.base import Inputs

BLOCK = 1024
"""Samples sent through the untrained networks at a time, unless they are large."""


class UntrainedEmbedder(EmbedderControl):
    """An embedder with random weights, those that training from scratch would start from.

    Weights of files (`checkpoint`, or ``ImageEncoder(weights=...)``) are left out, so that it is
    the floor of what they were trained for, too. Columns, scaling and networks are those of the
    embedder; no step of training is made. Batch normalisation, which has to know some mean and
    variance, gets those of all training inputs: what the first step of training sees, up to the
    choice of a batch.

    Parameters
    ----------
    embedder : CloomeEmbedder
        Its parameters are taken, `random_state` for the weights among them; those of the training
        have no effect.

    Attributes
    ----------
    embedder_ : CloomeEmbedder
        The embedder with its first weights.

    Examples
    --------
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.baselines import UntrainedEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> untrained = UntrainedEmbedder(CloomeEmbedder(n_components=16, random_state=0)).fit(X)
    >>> untrained.embed_phenotypes(X).shape == (len(X), 16)
    True
    """

    def __init__(self, embedder: CloomeEmbedder) -> None:
        self.embedder = embedder

    def fit(self, X: pd.DataFrame, y: Any = None) -> UntrainedEmbedder:
        """Prepare both encoders on the rows of X, and draw their weights.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_columns)
            The training table.
        y : object, optional
            Ignored.

        Returns
        -------
        UntrainedEmbedder
            Itself.

        Raises
        ------
        TypeError
            If `embedder` is no `CloomeEmbedder`.
        """
        if not isinstance(self.embedder, CloomeEmbedder):
            raise TypeError(
                "UntrainedEmbedder takes a CloomeEmbedder, whose networks it builds; got "
                f"{type(self.embedder).__name__}."
            )
        parameters = clone(self.embedder).get_params(deep=False)
        # A checkpoint says which networks to build; with nothing to train, it would be taken over.
        parameters["trainable"] = True
        self.embedder_ = _WithoutTraining(**parameters).fit(X)
        self.embedder_.checkpoint_sha256_ = None
        return self


class _WithoutTraining(CloomeEmbedder):
    """A CloomeEmbedder whose training stops before the first step."""

    def _train(
        self, *prepared: Any
    ) -> tuple[dict[str, np.ndarray], list[dict[str, Any]], dict[str, np.ndarray]]:
        """Fresh weights, where training may start from those of a file; and no history."""
        from cloome_sk.networks import DualEncoder
        from cloome_sk.training import seeded

        phenotype, molecule, found, _, plan, *_ = prepared
        with seeded(plan.seed, "cpu"):
            network = DualEncoder(
                phenotype.make_network(self.n_components),
                molecule.make_network(self.n_components),
                inv_tau=initial_inv_tau(self),
            )
            _settle_norms(network.phenotype, found.phenotype)
            _settle_norms(network.molecule, found.molecule)
        state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
        return state, [], {}


def _settle_norms(network: Any, inputs: Inputs) -> None:
    """Give batch normalisation the mean and variance of all inputs, in one pass without dropout."""
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    from cloome_sk.networks.dual import as_tensors, block_length

    network.eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.train()
            module.momentum = None  # the plain average over the blocks
    rows = np.unique(inputs.index)
    step = min(BLOCK, block_length(inputs.values.shape))
    with torch.no_grad():
        for block in np.array_split(rows, -(-len(rows) // step)):
            network(as_tensors(inputs.values[block]))
