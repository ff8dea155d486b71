"""Which weights training changes, and how fast each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

LISTED = 24
Factors = Sequence[tuple[str, float]]


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern names a weight, or a part of the network that the weight is in.

    Parameters
    ----------
    name : str
        Name of a weight, such as ``"molecule.layers.0.weight"``.
    pattern : str
        The same, with wildcards as in file names (``*``, ``?``, ``[...]``), or of what it is in.

    Returns
    -------
    bool
        Whether the two fit.

    Examples
    --------
    >>> from cloome_sk.training.fine_tuning import matches
    >>> matches("molecule.layers.0.weight", "molecule")
    True
    >>> matches("phenotype.backbone.layer4.0.conv1.weight", "phenotype.*.layer[34]")
    True
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def freeze(network: nn.Module, trainable: Sequence[str] | None) -> list[nn.Module]:
    """Leave all weights but those that are named as they are.

    Parameters
    ----------
    network : nn.Module
        The network; its parameters are marked.
    trainable : sequence of str or None
        Patterns of the weights to train; None trains all.

    Returns
    -------
    list of nn.Module
        Modules with weights, neither of which nor of their parts is one trained. They must stay
        in evaluation mode: BatchNorm would change its running statistics, which are weights too,
        with every batch.

    Raises
    ------
    ValueError
        If a pattern fits no weight.
    """
    if trainable is None:
        return []
    names = [name for name, _ in network.named_parameters()]
    for pattern in trainable:
        _check_fits("trainable", pattern, names)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(any(matches(name, pattern) for pattern in trainable))
    return [module for name, module in network.named_modules() if _held(name, module, trainable)]


def _held(name: str, module: nn.Module, trainable: Sequence[str]) -> bool:
    if not any(True for _ in module.parameters(recurse=False)):
        # A norm can have statistics and no weight that would be frozen or not.
        return isinstance(module, _NormBase) and not any(
            matches(f"{name}.running_mean", pattern) for pattern in trainable
        )
    # What holds a trained part must not take it to evaluation mode: it may drop, crop or normalise.
    return not any(parameter.requires_grad for parameter in module.parameters())


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], lr: float, factors: Factors
) -> list[dict[str, Any]]:
    """Sort weights by learning rate and by whether they are decayed.

    Parameters
    ----------
    named : iterable of (str, Parameter)
        Weights by name; those that are frozen are left out.
    lr : float
        Learning rate.
    factors : sequence of (str, float)
        Patterns, and what the rate of the weights they fit is multiplied by; the last that fits
        counts.

    Returns
    -------
    list of dict
        Parameter groups of an optimizer. Biases, norms and the temperature, which have fewer
        than two axes, are not decayed.

    Raises
    ------
    ValueError
        If a pattern fits no weight.
    """
    everything = list(named)
    for pattern, _ in factors:
        _check_fits("lr_factors", pattern, [name for name, _ in everything])
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in everything:
        if parameter.requires_grad:
            factor = [1.0, *(value for pattern, value in factors if matches(name, pattern))][-1]
            groups.setdefault((factor, parameter.ndim >= 2), []).append(parameter)
    return [
        {"params": members, "lr": lr * factor, **({} if decayed else {"weight_decay": 0.0})}
        for (factor, decayed), members in sorted(groups.items(), key=_first, reverse=True)
    ]


def _first(item: tuple[Any, Any]) -> Any:
    return item[0]


def _check_fits(parameter: str, pattern: str, names: Sequence[str]) -> None:
    if not any(matches(name, pattern) for name in names):
        parts = dict.fromkeys(".".join(name.split(".")[:3]) for name in names)
        listed = ", ".join(list(parts)[:LISTED]) + (", ..." if len(parts) > LISTED else "")
        raise ValueError(
            f"{parameter}: {pattern!r} fits no weight of this network. Its parts are {listed}; a "
            "pattern is the name of a part or of a weight, with wildcards as in file names."
        )
