"""A network trained on what the molecules or images of its rows have: activity, bits, features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk._tables import match_column
from cloome_sk.baselines import SupervisedEmbedder
from cloome_sk.evaluation.trained_on_labels import EmbedsByNetwork
from cloome_sk.preprocessing.controls import find_controls


class TrainedOnTargets(EmbedsByNetwork):
    """A `SupervisedEmbedder` whose labels are computed, or many columns of which some are missing.

    Parameters
    ----------
    network : SupervisedEmbedder
        Cloned and fitted, with ``target="assays"`` or ``"regression"``.
    targets : list of str or transformer
        Columns of the table, in any case and with or without ``Metadata_``; or from rows of it to
        numbers: `cloome_sk.baselines.MorganFeatures` for the bits of the fingerprint, a pipeline
        of `cloome_sk.baselines.IntensityProfiles` and `ProfileFeatures` for features of the image.
        A transformer is fitted to the treated rows.
    n_updates : int, optional
        Choose the network's `max_epochs` so that it makes about so many updates, however many rows
        have a label.

    Attributes
    ----------
    network_ : SupervisedEmbedder
        Fitted.
    target_names_ : list of str
        What it was trained on: assays or bits without results of both kinds are left out.
    molecules_seen_ : ndarray of object
        Keys of the molecules it was trained on, where the table has structures.
    notes_ : tuple of str
        How many targets and rows it was trained on.

    See Also
    --------
    cloome_sk.evaluation.TrainedOnLabels : The same for classes.

    Examples
    --------
    >>> from cloome_sk.baselines import MorganFeatures, SupervisedEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.trained_on_targets import TrainedOnTargets
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> network = SupervisedEmbedder(
    ...     target="assays", n_components=8, max_epochs=1, random_state=0
    ... )
    >>> TrainedOnTargets(network, MorganFeatures(n_bits=64)).fit(X).embed_phenotypes(X).shape
    (160, 8)
    """

    def __init__(
        self, network: SupervisedEmbedder, targets: Any, n_updates: int | None = None
    ) -> None:
        self.network = network
        self.targets = targets
        self.n_updates = n_updates

    def fit(self, X: pd.DataFrame, y: Any = None) -> TrainedOnTargets:
        """Compute the labels of the treated rows, and train on them.

        Parameters
        ----------
        X : DataFrame
            Training rows; negative controls are not trained on.
        y : object, optional
            Ignored.

        Returns
        -------
        TrainedOnTargets
            Itself.

        Raises
        ------
        TypeError
            If `targets` is a string.
        ValueError
            If columns are missing, or no target has results of both kinds.
        """
        treated = ~find_controls(X, self.network.controls).mask
        labels = self._labels(X, treated)
        n_asked = labels.shape[1]
        if self.network.target == "assays":
            labels = labels.loc[:, (labels == 0).any() & (labels == 1).any()]
            if labels.shape[1] == 0:
                raise ValueError(
                    f"TrainedOnTargets: none of {n_asked} targets has both a 0 and a 1 in "
                    f"the {int(treated.sum())} treated rows."
                )
        self.target_names_ = [str(name) for name in labels.columns]
        labelled = int(labels.notna().any(axis=1).sum())
        network = clone(self.network)
        if self.n_updates is not None:
            batches = -(-labelled // network.batch_size)
            network.set_params(max_epochs=max(1, round(self.n_updates / batches)))
        self._keep(network.fit(X, labels.to_numpy(dtype=np.float64)))
        self.notes_ = (
            f"trained on {labels.shape[1]} of {n_asked} targets, which {labelled} of "
            f"{int(treated.sum())} treated training rows have any of.",
        )
        return self

    def _labels(self, X: pd.DataFrame, treated: np.ndarray) -> pd.DataFrame:
        """A row a row of X, NaN for controls."""
        if isinstance(self.targets, str):
            raise TypeError(
                f"TrainedOnTargets: targets must be a list of columns or a transformer; got the "
                f"string {self.targets!r}."
            )
        if isinstance(self.targets, Sequence):
            names = [match_column(X, name, purpose="TrainedOnTargets") for name in self.targets]
            columns = X[names].reset_index(drop=True)
            return columns.where(np.broadcast_to(treated[:, None], columns.shape))
        values = np.asarray(clone(self.targets).fit_transform(X[treated]), dtype=np.float64)
        labels = np.full((len(X), values.shape[1]), np.nan)
        labels[treated] = values
        return pd.DataFrame(labels, columns=[f"target {n}" for n in range(values.shape[1])])
