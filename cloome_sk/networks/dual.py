"""Two encoders and the temperature between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from cloome_sk.networks.folding import folded

Module = TypeVar("Module", bound=nn.Module)

MAX_INV_TAU = 100.0
"""The inverse temperature is kept between 1 and this, as in CLIP and CLOOME."""


class DualEncoder(nn.Module):
    """A phenotype encoder, a molecule encoder and a scalar inverse temperature.

    Parameters
    ----------
    phenotype, molecule : nn.Module
        Networks whose outputs have one common width.
    inv_tau : float, default=14.3
        Initial inverse temperature, in [1, 100].
    learn_inv_tau : bool, default=True
        Whether training changes it.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks import MLP, DualEncoder
    >>> dual = DualEncoder(MLP(20, 8, [16]), MLP(1024, 8, [16]))
    >>> phenotype, molecule, inv_tau = dual(
    ...     torch.zeros(3, 20), torch.zeros(2, 1024), torch.tensor([0, 1, 1]))
    >>> phenotype.shape, molecule.shape, round(inv_tau.item(), 1)
    (torch.Size([3, 8]), torch.Size([3, 8]), 14.3)
    """

    def __init__(
        self,
        phenotype: nn.Module,
        molecule: nn.Module,
        inv_tau: float = 14.3,
        learn_inv_tau: bool = True,
    ) -> None:
        super().__init__()
        self.phenotype = phenotype
        self.molecule = molecule
        log_inv_tau = torch.tensor(math.log(inv_tau), dtype=torch.float32)
        if learn_inv_tau:
            self.log_inv_tau = nn.Parameter(log_inv_tau)
        else:
            self.register_buffer("log_inv_tau", log_inv_tau)

    def forward(
        self,
        phenotype: Tensor | tuple[Tensor, ...],
        molecule: Tensor | tuple[Tensor, ...],
        molecule_index: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embed pairs.

        Parameters
        ----------
        phenotype : Tensor, shape (n_pairs, ...), or tuple of such
            Phenotype inputs.
        molecule : Tensor, shape (n_distinct, ...), or tuple of such
            Inputs of the distinct molecules.
        molecule_index : Tensor of int, shape (n_pairs,)
            The row of each pair in `molecule`.

        Returns
        -------
        phenotype, molecule : Tensor, shape (n_pairs, n_components)
            Unit vectors.
        inv_tau : Tensor, scalar
            The inverse temperature.
        """
        # In float32 under autocast too: bfloat16 cannot tell near neighbours apart.
        embedded = F.normalize(_unrounded(self.molecule(molecule)), dim=1)
        return (
            F.normalize(_unrounded(self.phenotype(phenotype)), dim=1),
            embedded[molecule_index],
            self.log_inv_tau.exp(),
        )

    @torch.no_grad()
    def clamp_inv_tau(self) -> None:
        """Bring the inverse temperature back into [1, 100] after an update."""
        self.log_inv_tau.clamp_(0.0, math.log(MAX_INV_TAU))


BLOCK = 4096
"""Samples embedded at a time, unless they are large."""
BLOCK_BYTES = 2**26
"""What the inputs of a block may take as float32."""


PRECISIONS = ("fp32", "bf16")
"""What networks compute in, where they are not trained."""


def embed(
    network: nn.Module,
    values: Any,
    device: str,
    progress: Callable[[int], Any] | None = None,
    precision: str = "fp32",
    unit: bool = True,
) -> np.ndarray:
    """Embed inputs with one of the two networks, in blocks.

    Networks of convolutions compute in a folded form, `cloome_sk.networks.folding.folded`.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    values : ndarray, shape (n_samples, ...), or an object that is sliced like one
        Its inputs. An object may give tuples of arrays, which the network takes as a tuple.
    device : str
        Where to compute.
    progress : callable, optional
        Told how many samples were embedded since.
    precision : {"fp32", "bf16"}, default="fp32"
        "fp32" computes in the type of the weights. "bf16" lets torch compute matrix products and
        convolutions in bfloat16 (autocast), of three significant digits: about twice as fast or
        more on devices built for it, slower on others.
    unit : bool, default=True
        Whether vectors are brought to unit length.

    Returns
    -------
    ndarray of float32, shape (n_samples, n_components)
        Unit vectors, or what the network gives.

    Raises
    ------
    ValueError
        For another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"embed: precision must be one of {list(PRECISIONS)}, got {precision!r}.")
    half = precision == "bf16"
    blocks: list[np.ndarray] = []
    step = block_length(values.shape)
    autocast = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half)
    network = folded(network.to(device), torch.bfloat16 if half else None)
    with torch.inference_mode():
        for start in range(0, max(len(values), 1), step):
            inputs = on_device(as_tensors(values[start : start + step]), device)
            with autocast:
                embedded = _unrounded(network(inputs))
            if unit:
                embedded = F.normalize(embedded, dim=1)
            blocks.append(embedded.float().cpu().numpy())
            if progress is not None:
                progress(len(blocks[-1]))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _unrounded(values: Tensor) -> Tensor:
    """Give half precision as float32, and anything finer as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def block_length(shape: tuple[int, ...]) -> int:
    """Samples of such inputs, (n_samples, ...), to be embedded at a time."""
    sample = 4 * math.prod(shape[1:])
    return max(1, min(BLOCK, BLOCK_BYTES // max(sample, 1)))


def as_tensors(values: Any) -> Any:
    """Give an array as a tensor, a tuple of arrays as a tuple of tensors."""
    if isinstance(values, tuple):
        return tuple(torch.as_tensor(value, device="cpu") for value in values)
    return torch.as_tensor(values, device="cpu")  # whatever a caller's context says


def on_device(values: Any, device: Any) -> Any:
    """Bring a tensor, or a tuple of tensors, to a device."""
    if isinstance(values, tuple):
        return tuple(value.to(device, non_blocking=True) for value in values)
    return values.to(device, non_blocking=True)


def from_state(
    phenotype: Callable[[], nn.Module],
    molecule: Callable[[], nn.Module],
    state: dict[str, np.ndarray],
    on_meta: bool = True,
) -> DualEncoder:
    """Build a dual encoder around stored weights, without a copy of them.

    Parameters
    ----------
    phenotype, molecule : callable
        Make the two networks.
    state : dict of str to ndarray
        The weights by their names in the state dict.
    on_meta : bool, default=True
        Whether the two may be made without memory behind them, which spares their first weights.
        A network that holds more than parameters and buffers of its state must not.

    Returns
    -------
    DualEncoder
        In evaluation mode, on the CPU.
    """
    return with_state(lambda: DualEncoder(phenotype(), molecule()), state, on_meta)


def with_state(
    make: Callable[[], Module], state: Mapping[str, np.ndarray], on_meta: bool = True
) -> Module:
    """Build any network around stored weights, as `from_state` does a dual encoder.

    Parameters
    ----------
    make : callable
        Makes the network.
    state : mapping of str to ndarray
        The weights by their names in the state dict.
    on_meta : bool, default=True
        Whether it may be made without memory behind it.

    Returns
    -------
    nn.Module
        In evaluation mode, on the CPU.
    """
    with torch.device("meta" if on_meta else "cpu"), torch.random.fork_rng(devices=[]):
        network = make()
    # A memory-mapped array is read-only, which torch does not have.
    weights = {
        name: torch.from_numpy(value if value.flags.writeable else value.copy())
        for name, value in state.items()
    }
    network.load_state_dict(weights, assign=True)
    return network.eval()
