"""What the self-supervised embedders share: which rows they see, and what `fit` learns of them."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, _fit_context

from cloome_sk._refit import unchanged_on_error
from cloome_sk._validation import fit_table
from cloome_sk.baselines._phenotype_embedder import EmbedsPhenotypes, check_reads_phenotypes
from cloome_sk.baselines._phenotype_fit import (
    check_enough,
    chosen_controls,
    fit_plan,
    fitted_inputs,
    trained_molecules,
)

State = dict[str, np.ndarray]
History = list[dict[str, Any]]

COLLAPSED = 0.01
"""Below this, what measures a collapse says that there is one, or that nothing was learned."""


class SelfSupervisedEmbedder(EmbedsPhenotypes, BaseEstimator):
    """Base of the embedders that learn from views of phenotypes, without labels or molecules."""

    _collapse_measure: ClassVar[str]
    """The column of `history_` that goes to 0 when all samples are embedded alike."""

    with_controls: bool
    n_components: int

    @abstractmethod
    def _train(
        self, make: Callable[[], Any], inputs: tuple[Any, np.ndarray], plan: Any, **common: Any
    ) -> tuple[State, History]:
        """Give the weights of the phenotype network, and the history."""

    def _check(self) -> None:
        """Refuse parameters that no single constraint can tell."""

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: pd.DataFrame | np.ndarray, y: Any = None) -> Self:
        """Train on the phenotypes of the rows of X.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            One row a sample, with the phenotype's columns.
        y : object, optional
            Ignored: no label is read, and structures only to name `molecules_seen_`.

        Returns
        -------
        Self
            Itself.

        Raises
        ------
        ValueError
            For fewer than two rows to train on, an encoder whose views of a sample do not differ,
            and for what the encoder refuses.
        FloatingPointError
            If the loss stops being finite.

        Warns
        -----
        UserWarning
            If samples are not told apart after training, and of training rows whose molecule cannot
            be named.
        """
        check_reads_phenotypes(self.phenotype)
        self._check()
        with unchanged_on_error(self):
            found = _learned(self, fit_table(self, X))
            self.__dict__.pop("molecules_seen_", None)
            self.__dict__.update(found)
            self.__dict__.pop("_network", None)
            self._phenotype_network()
        return self

    def _phenotype_network(self) -> Any:
        if not hasattr(self, "_network"):
            from cloome_sk.networks.dual import with_state

            self._network = with_state(
                partial(self.phenotype_.make_network, self.n_components_),
                self.state_,
                on_meta=not getattr(self.phenotype_, "custom", False),
            )
        return self._network


def _learned(embedder: SelfSupervisedEmbedder, X: Any) -> dict[str, Any]:
    """Train on rows of a table; attributes to be set when all went well."""
    who = type(embedder).__name__
    controls = chosen_controls(embedder, X, who)
    rows = np.arange(len(X)) if embedder.with_controls else np.flatnonzero(~controls.mask)
    check_enough(rows, X, f"are trained on ({controls})", who)
    phenotype, inputs = fitted_inputs(embedder, X, rows, controls)
    read = np.flatnonzero(inputs.index >= 0)
    check_enough(read, X, "can be read", who)
    seen = trained_molecules(X, rows[read], controls, who)
    kept = read
    if getattr(phenotype, "pools", False):
        kept = read[np.sort(np.unique(inputs.index[read], return_index=True)[1])]
        check_enough(kept, X, "can be read, bags counted once", who)
    n_components = int(embedder.n_components)
    state, history = embedder._train(
        partial(phenotype.make_network, n_components),
        (inputs.values, inputs.index[kept]),
        fit_plan(embedder, clip_norm=getattr(embedder, "clip_norm", None)),
        n_components=n_components,
        load_weights=phenotype.load_weights,
    )
    last = history[-1][embedder._collapse_measure]
    if last < COLLAPSED:
        warnings.warn(
            f"{who} did not learn to tell samples apart: {embedder._collapse_measure!r} in "
            f"history_ ended at {last:.2g}, where 0 is a collapse to one answer for all of them. "
            "Lower lr or weight_decay, or raise batch_size or max_epochs.",
            stacklevel=4,
        )
    found = {
        "phenotype_": phenotype,
        "state_": state,
        "controls_": controls,
        "n_components_": n_components,
        "n_trained_": len(kept),
        "skipped_rows_": np.setdiff1d(rows, rows[read]),
        "_history": history,
    }
    return found if seen is None else {**found, "molecules_seen_": seen}
