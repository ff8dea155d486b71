"""What no single parameter of the embedder can be checked for: whether they go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloome_sk._start import check_start


def learns_inv_tau(embedder: Any) -> bool:
    """Whether training changes the temperature; by itself, for the objective that bounds it."""
    if isinstance(embedder.learn_inv_tau, str):
        return embedder.objective == "infonce"
    return bool(embedder.learn_inv_tau)


def check_together(embedder: Any) -> None:
    """Refuse a temperature that would run away, and encoders of the wrong side."""
    if learns_inv_tau(embedder) and embedder.objective == "infoloob":
        raise ValueError(
            'learn_inv_tau=True does not go with objective="infoloob": that objective has no '
            'lower bound in the temperature. Use learn_inv_tau="auto" or False.'
        )
    check_start(embedder)
    if hasattr(embedder.phenotype, "keys"):
        raise ValueError(
            "phenotype= takes a phenotype encoder such as ProfileEncoder, got "
            f"{type(embedder.phenotype).__name__}, which reads molecules."
        )


def check_holders(embedder: Any, params: Mapping[str, Any]) -> None:
    """Refuse nested parameters where no encoder was given to hold them."""
    for side, encoder in (("phenotype", "ProfileEncoder"), ("molecule", "MoleculeEncoder")):
        nested = [name for name in params if name.startswith(f"{side}__")]
        holder = params.get(side, getattr(embedder, side))
        if nested and (holder is None or isinstance(holder, str)):
            raise ValueError(
                f"{nested[0]}: {side}={holder!r} has no parameters of its own. Give an "
                f"encoder first: CloomeEmbedder({side}={encoder}())."
            )
