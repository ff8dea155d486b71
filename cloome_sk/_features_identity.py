"""What tells one network from another: its weights, and the code and settings of its parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import CellType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cloome_sk.imaging.preparation import identity

KNOWN = ("torch", "cloome_sk")
"""Packages whose classes are told by their names: what they compute does not change silently."""


def weights_hash(network: nn.Module) -> bytes:
    """Hash names, types and values of all parameters and buffers, 32 bytes."""
    found = hashlib.sha256()
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        found.update(_of_tensor(name, tensor))
    return found.digest()


def network_identity(network: nn.Module) -> bytes:
    """Hash what a network computes apart from its weights, 32 bytes.

    Parameters
    ----------
    network : nn.Module
        Any network.

    Returns
    -------
    bytes
        The same for networks of the same parts, of the same classes and settings.

    Raises
    ------
    TypeError
        If it has a part of which that cannot be told.
    """
    found = hashlib.sha256()
    for name, module in network.named_modules():
        try:
            for part in _of_module(module):
                found.update(b"%d %b" % (len(part), part))
        except (TypeError, ValueError, RecursionError) as error:
            kind = type(module).__qualname__
            where = f"its part {name!r}, a {kind}" if name else f"the {kind}"
            raise TypeError(
                "ImageFeatures: cache= must know for certain when a network changes, and cannot "
                f"tell of {where}: {_reason(error)} Set cache=None, and keep the table that "
                "transform gives."
            ) from error
        found.update(name.encode() + b"\n")
    return found.digest()


def _reason(error: BaseException) -> str:
    if isinstance(error, UnknownCodeError):
        return str(error)
    return f"it holds what cannot be compared ({type(error.__cause__ or error).__name__})."


class UnknownCodeError(TypeError):
    """A part of a network whose code is out of sight."""


@cache
def _own_attributes() -> frozenset[str]:
    """Attributes that every module has; what they hold is looked at in other ways."""
    return frozenset(vars(nn.Module()))


def _of_module(module: nn.Module) -> Iterator[bytes]:
    if isinstance(module, torch.jit.ScriptModule):
        raise UnknownCodeError("it is a compiled program.")
    hooks = [name for name, held in vars(module).items() if "hook" in name and held]
    if hooks and set(hooks) & _own_attributes():
        raise UnknownCodeError("it has hooks.")
    for one in type(module).__mro__:
        if one is nn.Module:
            break
        yield from _of_class(one)
    for name, value in sorted(vars(module).items()):
        if name not in _own_attributes():
            yield name.encode() + b"=" + _of_value(value)


def _of_class(one: type) -> Iterator[bytes]:
    yield _named(one).encode()
    if one.__module__.partition(".")[0] in KNOWN or one is object:
        return
    for name, member in sorted(vars(one).items()):
        if name == "__call__" or not name.startswith("__"):
            yield name.encode() + b":" + _of_member(member)


def _of_member(member: Any) -> bytes:
    if isinstance(member, (staticmethod, classmethod)):
        return _of_member(member.__func__)
    if isinstance(member, property):
        return b"".join(_of_member(each) for each in (member.fget, member.fset) if each)
    if isinstance(member, FunctionType):
        return identity(_without_classes(member))
    return _of_value(member)


def _without_classes(function: FunctionType) -> Callable[..., Any]:
    """The function, with the names of classes in its closure in place of these.

    Every method that calls ``super()`` holds its class, which is looked at by itself.
    """
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    cells = tuple(CellType(_named(one) if isinstance(one, type) else one) for one in held)
    same = FunctionType(function.__code__, {}, function.__name__, function.__defaults__, cells)
    same.__kwdefaults__ = function.__kwdefaults__
    return same


def _of_value(value: Any) -> bytes:
    if isinstance(value, nn.Module):
        return weights_hash(value) + network_identity(value)
    if isinstance(value, Tensor):
        return _of_tensor("", value)
    if isinstance(value, type):
        return _named(value).encode()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype.str} {value.shape}".encode() + value.tobytes()
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: repr(pair[0]))
        return _joined(_of_value(item) for pair in pairs for item in pair)
    if isinstance(value, (list, tuple)):
        return type(value).__name__.encode() + _joined(map(_of_value, value))
    if isinstance(value, FunctionType):
        return identity(_without_classes(value))
    return identity(value)


def _of_tensor(name: str, tensor: Tensor) -> bytes:
    found = hashlib.sha256(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    # Not every type has a counterpart in NumPy; bytes always have.
    found.update(flat.view(torch.uint8).numpy().data)
    return found.digest()


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(b"%d %b" % (len(part), part) for part in parts) + b"]"


def _named(one: type) -> str:
    return f"{one.__module__}.{one.__qualname__}"
