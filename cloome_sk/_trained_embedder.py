"""What every embedder that `fit` trains promises to scikit-learn, whatever it is trained for."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd
from sklearn.utils.validation import check_is_fitted

from cloome_sk._parameters import check_holders


class TrainedEmbedder:
    """History, nested parameters and tags; a base before scikit-learn's own mixins."""

    _history: list[dict[str, Any]]

    @property
    def history_(self) -> pd.DataFrame:
        """What was recorded of each epoch."""
        check_is_fitted(self)
        return pd.DataFrame(self._history)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of encoders as ``phenotype__...`` and ``molecule__...``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        Self
            Itself.

        Raises
        ------
        ValueError
            For an unknown name, or a nested one where no encoder was given to hold it.
        """
        check_holders(self, params)
        inherited: Any = super()
        return inherited.set_params(**params)

    def __sklearn_tags__(self) -> Any:
        """Say that embeddings are float32 whatever the input."""
        inherited: Any = super()
        tags = inherited.__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
