"""Weights as plain arrays, and the network that is rebuilt around them when it is needed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cloome_sk.networks import DualEncoder


class StoredNetwork:
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

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network out: it is rebuilt from `state_`, on whatever device there is then."""
        inherited: Any = super().__getstate__()
        state = dict(inherited)
        state.pop("_network", None)
        return state
