"""The gradient of a large batch in the memory of a small one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from cloome_sk.networks.dual import DualEncoder, on_device
from cloome_sk.training.data import PairInputs

SIDES = ("phenotype", "molecule")


def cached_backward(
    network: DualEncoder,
    inputs: PairInputs,
    objective: Callable[[Tensor, Tensor, Tensor], Tensor],
    chunk: int,
    *,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    scaler: Any = None,
) -> Tensor:
    r"""Add the gradient of a whole batch to ``.grad``, holding the activations of a part of it.

    A contrast needs the embeddings of all pairs at once, but not what lies between inputs and
    embeddings. So all are embedded in chunks, of which nothing else is kept; the objective gives
    the gradient of each embedding, :math:`\partial L / \partial e_i`; and each chunk is embedded
    once more, now with what its backward pass needs, to add
    :math:`\sum_i (\partial L / \partial e_i) (\partial e_i / \partial \theta)` (GradCache [1]_).
    It costs a second forward pass. Accumulated gradients of small batches are something else:
    each pair meets the negatives of its own batch alone.

    Parameters
    ----------
    network : DualEncoder
        In training mode, on the device to compute on.
    inputs : PairInputs
        The batch, on any device; a chunk is moved when its turn comes.
    objective : callable
        ``objective(phenotype, molecule, inv_tau)``, scalar, of the embeddings of all pairs. What
        it trains itself gets its gradient too.
    chunk : int
        Largest number of inputs of one side that are embedded at a time (>= 1). The chunks of a
        side are of almost equal size.
    autocast : callable, optional
        Makes the context in which the networks compute.
    scaler : torch.amp.GradScaler, optional
        Scales the objective for the backward pass, as gradients in float16 need it.

    Returns
    -------
    Tensor, scalar
        The objective, not scaled and without a graph.

    Raises
    ------
    ValueError
        If `chunk` is below 1, or the inputs cannot be taken apart.

    Notes
    -----
    Each distinct molecule is embedded once in a pass. Random numbers of torch, as dropout and
    augmentation draw them, are the same in both passes of a chunk, and the generators end where
    the first pass and the objective left them.

    **BatchNorm** normalises with the mean and variance of what it is shown at once, which is a
    chunk here. So the gradient is that of a network with statistics of `chunk` inputs, and not
    that of the full batch; choose chunks as large as memory allows. Running statistics are
    updated chunk by chunk, once each: buffers are put back after the first pass.

    References
    ----------
    .. [1] L. Gao, Y. Zhang, J. Han, J. Callan, "Scaling deep contrastive learning batch size
       under memory limited setup", RepL4NLP 2021, arXiv:2101.06983.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks import MLP, DualEncoder
    >>> from cloome_sk.objectives import infonce
    >>> from cloome_sk.training.data import PairInputs
    >>> from cloome_sk.training.gradient_cache import cached_backward
    >>> network = DualEncoder(MLP(5, 2, []), MLP(3, 2, []))
    >>> pairs = PairInputs(torch.randn(8, 5), torch.eye(3), torch.arange(8) % 3)
    >>> loss = cached_backward(network, pairs, infonce, chunk=2)
    >>> loss.requires_grad, network.log_inv_tau.grad is not None
    (False, True)
    """
    if chunk < 1:
        raise ValueError(f"A chunk must hold at least 1 input, got {chunk}.")
    sides = {side: _Side(network, inputs, side, chunk) for side in SIDES}
    with torch.no_grad(), autocast():
        embedded = {side: each.embedded_once() for side, each in sides.items()}
    for side, each in sides.items():
        embedded[side].requires_grad_(each.trained)

    index = inputs.molecule_index.to(embedded["molecule"].device)
    loss = objective(embedded["phenotype"], embedded["molecule"][index], network.log_inv_tau.exp())
    (loss if scaler is None else scaler.scale(loss)).backward()

    with _generators_put_back(network.log_inv_tau.device):
        for side, each in sides.items():
            gradient = embedded[side].grad
            if gradient is not None:
                each.backward(gradient, autocast)
    return loss.detach()


class _Side:
    """The inputs of one side in chunks, and the state that the network met each with."""

    def __init__(self, network: DualEncoder, inputs: PairInputs, side: str, chunk: int) -> None:
        self.network: nn.Module = getattr(network, side)
        self.inputs = inputs
        self.side = side
        self.device = network.log_inv_tau.device
        self.trained = any(weight.requires_grad for weight in self.network.parameters())
        n_rows = inputs.n_rows(side)
        n_chunks = -(-n_rows // chunk)
        cuts = [n_rows * number // n_chunks for number in range(n_chunks + 1)]
        self.chunks = [slice(start, stop) for start, stop in pairwise(cuts)]
        self.random: list[list[Tensor]] = []

    def embedded_once(self) -> Tensor:
        """Embeddings of all chunks, one after the other."""
        # Running statistics too: what is embedded again must find the network as it was.
        before = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        embedded = []
        for rows in self.chunks:
            self.random.append(_random_state(self.device))
            embedded.append(self._embedded(rows))
        if self.trained:
            for buffer, value in before:
                buffer.copy_(value)
        return torch.cat(embedded)

    def backward(
        self, gradient: Tensor, autocast: Callable[[], AbstractContextManager[Any]]
    ) -> None:
        """Embed each chunk again, and follow the gradient of its embeddings to the weights."""
        for rows, random in zip(self.chunks, self.random, strict=True):
            _set_random_state(self.device, random)
            with autocast():
                embedded = self._embedded(rows)
            embedded.backward(gradient[rows])

    def _embedded(self, rows: slice) -> Tensor:
        values = self.network(on_device(self.inputs.part(self.side, rows), self.device))
        # As in DualEncoder: unit vectors in float32 or wider.
        return F.normalize(values.to(torch.promote_types(values.dtype, torch.float32)), dim=1)


def _random_state(device: torch.device) -> list[Tensor]:
    """The state of the generators that a network on this device draws from."""
    states = [torch.get_rng_state()]
    if device.type != "cpu":
        module = torch.get_device_module(device)
        states.append(module.get_rng_state(*_numbered(device)))
    return states


def _set_random_state(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1], *_numbered(device))


def _numbered(device: torch.device) -> tuple[torch.device, ...]:
    """Name the device where there can be several of its kind."""
    return () if device.type == "mps" else (device,)


@contextmanager
def _generators_put_back(device: torch.device) -> Iterator[None]:
    states = _random_state(device)
    try:
        yield
    finally:
        _set_random_state(device, states)
