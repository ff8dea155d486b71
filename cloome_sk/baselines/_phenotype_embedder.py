"""What embedders of phenotypes alone share, whatever their network was trained for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from cloome_sk._device import resolve_device
from cloome_sk._inputs import embed_inputs
from cloome_sk._plan import chosen_precision, embedding_precision
from cloome_sk._stored import RebuiltNetwork
from cloome_sk._trained_embedder import TrainedEmbedder
from cloome_sk._validation import full_table, part_table


class EmbedsPhenotypes(
    RebuiltNetwork, TrainedEmbedder, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ABC
):
    """`transform` and `embed_phenotypes`, with stored weights of a phenotype network.

    scikit-learn wraps `transform`, for `set_output`, in the class that defines it: the mixin has
    to be a base of this one.
    """

    phenotype: Any
    phenotype_: Any
    n_components_: int
    state_: dict[str, np.ndarray]
    device: str
    precision: str
    verbose: int

    @abstractmethod
    def _phenotype_network(self) -> Any:
        """Give the network that embeds, of the stored weights."""

    def transform(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Embed phenotypes.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the phenotype's columns.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors; NaN where an image is skipped.
        """
        check_is_fitted(self)
        return self._embedded(full_table(self, X, [self.phenotype_]), unit=True)

    def embed_phenotypes(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Embed phenotypes, as `transform`.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the phenotype's columns, or an array of those columns alone.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors; NaN where an image is skipped.
        """
        check_is_fitted(self)
        return self._embedded(part_table(self, X, self.phenotype_), unit=True)

    def _embedded(self, X: Any, unit: bool) -> np.ndarray:
        network, device = self._phenotype_network(), resolve_device(self.device)
        precision = embedding_precision(chosen_precision(self.precision, device))
        inputs = self.phenotype_.inputs(X)
        return embed_inputs(network, inputs, device, self.verbose, precision, unit)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_


def check_reads_phenotypes(phenotype: Any) -> None:
    """Refuse a molecule encoder where a phenotype encoder is asked for."""
    if hasattr(phenotype, "keys"):
        raise ValueError(
            "phenotype= takes a phenotype encoder such as ProfileEncoder, got "
            f"{type(phenotype).__name__}, which reads molecules."
        )
