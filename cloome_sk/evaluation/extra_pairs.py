"""An embedder that also trains on pairs which take no part in a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted


class ExtraPairs(TransformerMixin, BaseEstimator):
    """Train an embedder on the rows of `fit` and on further rows.

    A comparison of classes leaves out the molecules without a class. They are never tested, so
    an encoder, which needs no class, may learn from them in every fold.

    Parameters
    ----------
    embedder : CloomeEmbedder
        Cloned and fitted.
    table : DataFrame
        The further rows, with the columns the embedder reads.

    Attributes
    ----------
    embedder_ : CloomeEmbedder
        Fitted.
    molecules_seen_ : ndarray of object
        Keys of the molecules it was trained on.

    Examples
    --------
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.extra_pairs import ExtraPairs
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> embedder = CloomeEmbedder(n_components=8, max_epochs=1, random_state=0)
    >>> ExtraPairs(embedder, X.iloc[80:]).fit(X.iloc[:80]).transform(X).shape
    (160, 8)
    """

    def __init__(self, embedder: Any, table: pd.DataFrame) -> None:
        self.embedder = embedder
        self.table = table

    def fit(self, X: pd.DataFrame, y: Any = None) -> ExtraPairs:
        """Train on both tables.

        Parameters
        ----------
        X : DataFrame
            The training rows of a fold.
        y : object, optional
            Ignored.

        Returns
        -------
        ExtraPairs
            Itself.
        """
        together = pd.concat([X, self.table], ignore_index=True)
        self.embedder_ = clone(self.embedder).fit(together)
        self.molecules_seen_ = getattr(
            self.embedder_, "molecules_seen_", np.array([], dtype=object)
        )
        return self

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Embed.

        Parameters
        ----------
        X : DataFrame
            Rows.

        Returns
        -------
        ndarray of float32
            Embeddings.
        """
        check_is_fitted(self)
        return self.embedder_.transform(X)
