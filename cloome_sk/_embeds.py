"""What a fitted embedder does with tables and molecules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from cloome_sk._device import resolve_device
from cloome_sk._inputs import embed_inputs
from cloome_sk._plan import chosen_precision, embedding_precision
from cloome_sk._stored import StoredNetwork
from cloome_sk._trained_embedder import TrainedEmbedder
from cloome_sk._validation import full_table, part_table
from cloome_sk.encoders.base import Encoder, Inputs
from cloome_sk.preprocessing.controls import apply_controls, find_controls


class Embeds(StoredNetwork, TrainedEmbedder, ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """`transform`, `embed_phenotypes` and `embed_molecules`, with stored weights.

    scikit-learn wraps `transform`, for `set_output`, in the class that defines it: the mixin has
    to be a base of this one.
    """

    output: str
    device: str
    precision: str
    controls: Any
    verbose: int
    controls_: Any

    def transform(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Embed the modality named by `output`.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the columns of that modality; control rows are embedded like any other.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors; for ``output="both"`` the phenotype's and the molecule's side by side,
            (n_samples, 2 * n_components). A molecule is NaN where its structure is skipped, and
            where a control row has none.

        Raises
        ------
        ValueError
            For missing columns, values that are not finite or structures that cannot be read.
        """
        check_is_fitted(self)
        X = full_table(self, X, self._encoders(self.output))
        if self.output == "phenotype":
            return self._embedded("phenotype", self.phenotype_.inputs(X))
        molecules = self._embedded("molecule", self._molecule_inputs(X))
        if self.output == "molecule":
            return molecules
        return np.hstack([self._embedded("phenotype", self.phenotype_.inputs(X)), molecules])

    def embed_phenotypes(self, X: pd.DataFrame | np.ndarray) -> np.ndarray:
        """Embed phenotypes.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the phenotype's columns, or an array of those columns alone.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_components)
            Unit vectors.
        """
        check_is_fitted(self)
        X = part_table(self, X, self.phenotype_)
        return self._embedded("phenotype", self.phenotype_.inputs(X))

    def embed_molecules(self, molecules: Any, *, on_error: str | None = None) -> np.ndarray:
        """Embed molecules.

        Parameters
        ----------
        molecules : list of str or rdkit.Chem.Mol, DataFrame, or ndarray
            SMILES or RDKit molecules; or a table with the molecule's column; or, for precomputed
            features, an array of them.
        on_error : {"raise", "skip"}, optional
            What to do with structures that cannot be read, if not what the encoder says: raise an
            error, or warn, naming the rows, and give NaN.

        Returns
        -------
        ndarray of float32, shape (n_molecules, n_components)
            Unit vectors; NaN for structures that are skipped, and control rows without one.

        Raises
        ------
        TypeError
            For a bare string.
        ValueError
            For structures that cannot be read.
        """
        check_is_fitted(self)
        if isinstance(molecules, pd.DataFrame) or getattr(molecules, "ndim", 1) > 1:
            molecules = part_table(self, molecules, self.molecule_)
        return self._embedded("molecule", self._molecule_inputs(molecules, on_error))

    def _molecule_inputs(self, X: Any, on_error: str | None = None) -> Inputs:
        optional = None
        if isinstance(X, pd.DataFrame) and self.controls_ is None:
            optional = find_controls(X, self.controls).mask
        elif isinstance(X, pd.DataFrame) and self.controls_.rule is not None:
            optional = apply_controls(X, *self.controls_.rule).mask
        return self.molecule_.inputs(X, on_error=on_error, optional=optional)

    def _embedded(self, side: str, inputs: Inputs) -> np.ndarray:
        network, device = getattr(self._ready_network(), side), resolve_device(self.device)
        precision = embedding_precision(chosen_precision(self.precision, device))
        return embed_inputs(network, inputs, device, self.verbose, precision)

    def _encoders(self, output: str) -> list[Encoder]:
        both = {"phenotype": self.phenotype_, "molecule": self.molecule_}
        if output not in (*both, "both"):
            raise ValueError(f'output must be "phenotype", "molecule" or "both", got {output!r}.')
        return list(both.values()) if output == "both" else [both[output]]
