"""Weights as plain arrays: the network rebuilt around them, and where they are kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from cloome_sk import __version__

if TYPE_CHECKING:
    from cloome_sk.networks import DualEncoder

VERSION = "cloome_sk_version_"
"""Where a pickle says which release wrote it; scikit-learn does so for its own classes alone."""


class RebuiltNetwork:
    """Leave `_network` out of pickles, which hold the `state_` that it is built from."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network out: it is rebuilt from `state_`, on whatever device there is then."""
        inherited: Any = super().__getstate__()
        state = {**inherited, VERSION: __version__}
        state.pop("_network", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Warn of a pickle of another release, whose attributes may mean something else."""
        state = dict(state)
        written = state.pop(VERSION, None)
        if written != __version__:
            by = "a release before 0.1.0" if written is None else f"cloome_sk {written}"
            other = " A folder that its save() writes is for other releases too."
            warnings.warn(
                f"This {type(self).__name__} was pickled by {by}, and this is cloome_sk "
                f"{__version__}: it may fail, or give other embeddings."
                f"{other if hasattr(self, 'save') else ''}",
                stacklevel=2,
            )
        inherited: Any = super()
        inherited.__setstate__(state)


class StoredNetwork(RebuiltNetwork):
    """Keep `state_`, and build `_network` from it; a pickle holds the first alone."""

    phenotype_: Any
    molecule_: Any
    n_components_: int
    state_: dict[str, np.ndarray]

    def _ready_network(self) -> DualEncoder:
        """Give the network of the stored weights, rebuilt after loading."""
        if not hasattr(self, "_network"):
            from cloome_sk.networks import from_state

            self._network = from_state(
                partial(self.phenotype_.make_network, self.n_components_),
                partial(self.molecule_.make_network, self.n_components_),
                self.state_,
                on_meta=not getattr(self.phenotype_, "custom", False),
            )
        return self._network

    def save(
        self,
        folder: str | PathLike[str],
        *,
        metrics: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        leave_out: Sequence[str] = (),
    ) -> None:
        """Store the fitted embedder as weights, JSON and a model card, none of which is code.

        Parameters
        ----------
        folder : path-like
            The folder.
        metrics : mapping of str to number or str, optional
            What was measured, for the model card.
        overwrite : bool, default=False
            Whether an earlier model in the folder is replaced.
        leave_out : sequence of str, default=()
            Parameters that cannot be stored without code, to be left at their defaults; see
            `cloome_sk.storage.save_embedder`, also for what can go wrong.
        """
        from cloome_sk.storage import save_embedder

        save_embedder(self, folder, metrics=metrics, overwrite=overwrite, leave_out=leave_out)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Self:
        """Load what `save` stored; nothing in the folder is executed.

        Parameters
        ----------
        folder : path-like
            The folder.

        Returns
        -------
        Self
            Fitted.
        """
        from cloome_sk.storage import load_embedder

        return load_embedder(folder, cls)
