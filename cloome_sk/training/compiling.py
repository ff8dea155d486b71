"""Networks whose computation is compiled for as long as they train."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cloome_sk.networks.bags import BagNetwork
from cloome_sk.networks.images import ImageNetwork

COMPILER: dict[str, Any] = {
    "backend": "inductor",
    # Code for batches of any size is asked for outright, below. Left to find out what varies, torch
    # would also remember what did in other trainings of the process.
    "dynamic": False,
    "isolate_recompiles": True,
    # Random numbers as without a compiler, and no choice by the clock between ways to compute that
    # round differently: a training that goes on in another process must make the same one.
    "options": {"fallback_random": True, "deterministic": True},
}
"""Arguments of `torch.compile`."""

_NEEDED = {
    "cpu": "a C++ compiler (g++ or clang++, also named by the environment variable CXX)",
    "cuda": "Triton, a C compiler, the headers of Python, and a GPU that Triton supports",
}

_COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "torch.fx")
"""Where the errors of the compiler are from, other than those of the network it was given."""

_numbers = count()


def compile_while_training(network: nn.Module, n_rows: int) -> None:
    """Have torch compile what a network computes in training mode, at its first batch.

    Compiled is what the network itself computes: of an `ImageNetwork` its backbone, of a
    `BagNetwork` the network of the instances. What draws crops and pools bags is not.
    In evaluation mode nothing is; nor are copies, pickled ones included. Modules, weights and
    their names stay as they are.

    Parameters
    ----------
    network : nn.Module
        On the device that it is trained on.
    n_rows : int
        Inputs that it is typically given at a time (`typical_rows`). Code for batches of all sizes
        is made of a batch of this one: made of the batch that happens to come first, it could
        round differently in a training that is resumed in the middle of an epoch.

    Examples
    --------
    >>> from cloome_sk.networks import MLP
    >>> from cloome_sk.training.compiling import compile_while_training
    >>> network = MLP(4, 2, [])
    >>> compile_while_training(network, n_rows=256)
    >>> list(network.state_dict())
    ['layers.0.weight', 'layers.0.bias']
    """
    module = innermost(network)

    # What torch compiled it keeps with the code of a function, for a limited number of times, after
    # which it would quietly compute as if nothing had been compiled: so each network has its own.
    def in_training(*inputs: Any) -> Any:
        return module._call_impl(*inputs)

    own = in_training.__code__.replace(co_name=f"in_training_{next(_numbers)}")
    function = FunctionType(own, globals(), own.co_name, None, in_training.__closure__)
    with _imports_of_torch():
        compiled = torch.compile(function, **COMPILER)
    seen: set[bool] = set()

    def call(*inputs: Any) -> Any:
        if not module.training:
            return module._call_impl(*inputs)
        with _explained(f"the network {type(module).__name__}", _device(module)):
            if torch.is_grad_enabled() not in seen:
                seen.add(torch.is_grad_enabled())
                _without_traces(module, partial(compiled, *_marked(_resized(inputs, n_rows))))
            return compiled(*_marked(inputs))

    # Where `nn.Module.compile` puts what it makes; copies and pickles leave it out.
    module._compiled_call_impl = call


def innermost(network: nn.Module) -> nn.Module:
    """Give the network within those of this package that only prepare images or pool bags."""
    while isinstance(network, (BagNetwork, ImageNetwork)):
        network = network.backbone if isinstance(network, ImageNetwork) else network.network
    return network


def typical_rows(network: nn.Module, pairs: Any, n_pairs: int, chunk: int | None) -> int:
    """Count the inputs of the phenotype network that are embedded at a time.

    Parameters
    ----------
    network : nn.Module
        The phenotype network.
    pairs : PairDataset or LabelledDataset
        All pairs.
    n_pairs : int
        The pairs of a batch in this process.
    chunk : int or None
        The pairs of a batch that are embedded at a time.

    Returns
    -------
    int
        The same for each training of the same parameters and data. Of bags, their instances.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.networks import MLP
    >>> from cloome_sk.training import PairDataset
    >>> from cloome_sk.training.compiling import typical_rows
    >>> index = np.arange(64)
    >>> values = np.zeros((64, 3), dtype=np.float32)
    >>> pairs = PairDataset((values, index), (values, index), groups=index)
    >>> typical_rows(MLP(3, 2), pairs, n_pairs=32, chunk=10)
    8
    """
    at_a_time = n_pairs if chunk is None else n_pairs / math.ceil(n_pairs / chunk)
    if getattr(pairs.phenotype, "are_bags", False):
        most = getattr(network, "max_size", None) or np.inf
        at_a_time *= float(np.minimum(pairs.phenotype.sizes, most).mean())
    return math.ceil(at_a_time)


def check_compiler(device: str) -> None:
    """Compile next to nothing, to find out before images are read that it cannot be done.

    Parameters
    ----------
    device : str
        Where to compute.

    Raises
    ------
    RuntimeError
        If torch cannot compile here; the message says what it needs and what it found.
    """
    with (
        torch.inference_mode(False),
        torch.device("cpu"),
        _imports_of_torch(),
        _explained(f"even a sum on device={device!r}", device, always=True),
    ):
        compiled = torch.compile(_sum, **COMPILER)
        compiled(torch.ones(2, device=device))


@contextmanager
def _imports_of_torch() -> Iterator[None]:
    """Be silent about what the modules of torch that are imported here have that is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*torch\.jit", DeprecationWarning)
        yield


def _sum(values: Tensor) -> Tensor:
    return values + 1


@contextmanager
def _explained(what: str, device: str, *, always: bool = False) -> Iterator[None]:
    """Say of errors of the compiler, or of all, what it needs, and how to do without."""
    try:
        yield
    except Exception as error:
        if not (always or type(error).__module__.startswith(_COMPILERS)):
            raise
        kind = torch.device(device).type
        needs = f" On {kind} it needs {_NEEDED[kind]}." if kind in _NEEDED else ""
        said = next(iter(str(error).strip().splitlines()), "").rstrip(".")
        raise RuntimeError(
            f"compile=True: torch cannot compile {what}.{needs} It says: "
            f"{type(error).__name__}: {said[:300]}. Set compile=False to train without."
        ) from error


def _resized(inputs: Any, n_rows: int) -> Any:
    """Repeat rows, or leave some out, for so many of them: at least two, as one is no batch."""
    if isinstance(inputs, (tuple, list)):
        return type(inputs)(_resized(each, n_rows) for each in inputs)
    if not isinstance(inputs, Tensor) or not inputs.ndim or not len(inputs):
        return inputs
    rows = torch.arange(max(2, n_rows), device=inputs.device) % len(inputs)
    return inputs.detach()[rows].requires_grad_(inputs.requires_grad)


def _marked(inputs: Any) -> Any:
    """Say that the number of rows will vary, and nothing else."""
    if isinstance(inputs, (tuple, list)):
        for each in inputs:
            _marked(each)
    elif isinstance(inputs, Tensor) and inputs.ndim and len(inputs) > 1:
        torch._dynamo.mark_dynamic(inputs, 0)
    return inputs


def _without_traces(module: nn.Module, computed: Callable[[], Any]) -> None:
    """Compute something of a module, and leave random generators and running statistics alone."""
    device = torch.device(_device(module))
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        computed()
    with torch.no_grad():
        for buffer, value in before:
            buffer.copy_(value)


def _device(module: nn.Module) -> str:
    """Where a module is; the CPU for one without weights."""
    return str(next((weight.device for weight in module.parameters()), "cpu"))
