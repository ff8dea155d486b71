"""The comparison of the CLOOME paper: the same network, trained on the labels themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import match_column
from cloome_sk.baselines import SupervisedEmbedder

SUPERVISED = "network trained on labels"
"""What the studies call it."""


class EmbedsByNetwork(TransformerMixin, BaseEstimator):
    """Base of what trains a `SupervisedEmbedder`, its attribute `network_`, on labels it finds."""

    network_: SupervisedEmbedder

    def _keep(self, network: SupervisedEmbedder) -> None:
        """Take a fitted network over, with the molecules it was trained on where it knows them."""
        self.network_ = network
        if hasattr(network, "molecules_seen_"):
            self.molecules_seen_ = network.molecules_seen_

    def embed_phenotypes(self, X: pd.DataFrame) -> np.ndarray:
        """Embed phenotypes.

        Parameters
        ----------
        X : DataFrame
            Rows.

        Returns
        -------
        ndarray of float32, shape (n_rows, n_components)
            Unit vectors: what the linear head reads.
        """
        check_is_fitted(self)
        return self.network_.embed_phenotypes(X)

    transform = embed_phenotypes


class TrainedOnLabels(EmbedsByNetwork):
    """A `SupervisedEmbedder` that takes its labels from columns of the table.

    Studies fit embedders on the training rows of a fold and give them no labels apart.

    Parameters
    ----------
    network : SupervisedEmbedder
        Cloned and fitted.
    label : str or list of str
        The column of classes, or those of assays, in any case and with or without ``Metadata_``.
        Rows without a label are not trained on.

    Attributes
    ----------
    network_ : SupervisedEmbedder
        Fitted.
    molecules_seen_ : ndarray of object
        Keys of the molecules it was trained on, where the table has structures.

    Examples
    --------
    >>> from cloome_sk.baselines import SupervisedEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.trained_on_labels import TrainedOnLabels
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> network = SupervisedEmbedder(n_components=8, max_epochs=1, random_state=0)
    >>> TrainedOnLabels(network, "Metadata_moa").fit(X).embed_phenotypes(X).shape
    (160, 8)
    """

    def __init__(self, network: SupervisedEmbedder, label: str | list[str]) -> None:
        self.network = network
        self.label = label

    def fit(self, X: pd.DataFrame, y: Any = None) -> TrainedOnLabels:
        """Train on the labels in the table.

        Parameters
        ----------
        X : DataFrame
            Rows with their labels.
        y : object, optional
            Ignored.

        Returns
        -------
        TrainedOnLabels
            Itself.
        """
        asked = [self.label] if isinstance(self.label, str) else self.label
        names = [match_column(X, name, purpose="TrainedOnLabels") for name in asked]
        labels = X[names[0]] if isinstance(self.label, str) else X[names]
        self._keep(clone(self.network).fit(X, labels))
        return self


def network_on_labels(embedder: Any, label: str | list[str]) -> TrainedOnLabels:
    """Give the phenotype network of an embedder, to be trained as long on labels instead.

    Parameters
    ----------
    embedder : CloomeEmbedder
        Not fitted.
    label : str or list of str
        A column of classes, or columns of assays.

    Returns
    -------
    TrainedOnLabels
        Not fitted: same encoder, size, batches, epochs, rate and seed.

    Examples
    --------
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.evaluation.trained_on_labels import network_on_labels
    >>> network_on_labels(CloomeEmbedder(n_components=64), ["assay 1", "assay 2"]).network.target
    'assays'
    """
    shared = ("n_components", "batch_size", "max_epochs", "lr", "weight_decay", "random_state")
    network = SupervisedEmbedder(
        clone(embedder.phenotype, safe=False),
        target="classes" if isinstance(label, str) else "assays",
        **{name: getattr(embedder, name) for name in shared},
    )
    return TrainedOnLabels(network, label)
