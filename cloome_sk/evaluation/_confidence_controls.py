"""What knows nothing: promises must hold for it too, and it must pay for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

N_COMPONENTS = 32


class RandomVectors(TransformerMixin, BaseEstimator):
    """An embedder that gives every row, and every structure, a random vector by its place.

    Parameters
    ----------
    random_state : int, default=0
        Seed.
    """

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> RandomVectors:
        """Learn nothing."""
        self.n_components_ = N_COMPONENTS
        return self

    def embed_phenotypes(self, X: Any) -> np.ndarray:
        """Vectors of rows, shape (n_rows, 32)."""
        return self._vectors(len(X), 0)

    def embed_molecules(self, molecules: Any) -> np.ndarray:
        """Vectors of structures, shape (n_molecules, 32)."""
        return self._vectors(len(molecules), 1)

    def transform(self, X: Any) -> np.ndarray:
        """Vectors of rows, shape (n_rows, 32)."""
        return self.embed_phenotypes(X)

    def _vectors(self, n: int, modality: int) -> np.ndarray:
        # Of one seed, the first row and the first structure would be a pair.
        generator = np.random.RandomState([self.random_state, modality])
        return generator.normal(size=(n, N_COMPONENTS))
