"""What a training is: its parameters and its data as one name, the same in every process."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import joblib
import numpy as np
import pandas as pd

from cloome_sk.checkpoints._hashing import file_sha256

LEFT_OUT = (
    *("verbose", "device", "random_state", "callbacks", "warm_start"),
    *("checkpoint_dir", "checkpoint_every", "n_jobs", "cache"),
)
"""Parameters that do not change what is learned, or stand in the plan as a seed."""

OWN_LEFT_OUT = ("checkpoint", "output")
"""The same, of the embedder alone: a checkpoint is known by its content."""

FILES = ("weights",)
"""Parameters of encoders that name a file, of which the content counts and not the place."""

DEPTH = 3
"""How far objects are followed into what they hold, and functions into those they call."""

_PLAIN = (str, bytes, bool, int, float, type(None))


def training_name(
    embedder: Any,
    seed: int,
    datasets: Mapping[str, Any],
    batching: Mapping[str, np.ndarray] | None = None,
    checkpoint: str | None = None,
) -> str:
    """Name a training by its parameters, its seed and its data.

    Parameters
    ----------
    embedder : CloomeEmbedder
        Its parameters are read; with `warm_start` also the weights that it goes on from.
    seed : int
        Of weights, batches and dropout.
    datasets : mapping of str to PairDataset or None
        What it is trained and validated on. Of images their paths count, not their pixels.
    batching : mapping of str to ndarray, optional
        What else decides which pairs stand together in a batch.
    checkpoint : str, optional
        SHA-256 of the checkpoint that was read. A file of another content is another training;
        the same content elsewhere is the same one.

    Returns
    -------
    str
        32 hexadecimal characters.
    """
    parameters = {
        name: _of_parameter(name.rsplit("__")[-1], value)
        for name, value in embedder.get_params(deep=True).items()
        if name.rsplit("__")[-1] not in LEFT_OUT
        and name not in OWN_LEFT_OUT
        and not (name == "validation" and getattr(value, "shape", ()))  # a table is in the data
    }
    data = {
        name: None
        if pairs is None
        else [
            *(_of_values(values) for values in (pairs.phenotype, pairs.molecule)),
            *(joblib.hash(index) for index in (pairs.phenotype_index, pairs.molecule_index)),
            joblib.hash(pairs.groups.numpy()),
        ]
        for name, pairs in datasets.items()
    }
    start = None
    if embedder.warm_start and hasattr(embedder, "state_"):
        start = hashed([embedder.state_, getattr(embedder, "objective_state_", None)])
    batches = {name: joblib.hash(labels) for name, labels in (batching or {}).items()}
    callbacks = _of_callbacks(embedder.callbacks or ())
    return str(joblib.hash([parameters, checkpoint, int(seed), data, start, batches, callbacks]))


def _of_parameter(name: str, value: Any) -> str:
    """Name a parameter: an estimator by its class, as its parameters are there themselves."""
    if hasattr(value, "get_params"):
        return hashed(type(value))
    if name in FILES and isinstance(value, (str, PathLike)) and Path(value).is_file():
        return file_sha256(Path(value))
    if name == "lr_factors" and value is not None:
        return hashed(list(value.items()))  # the last pattern that fits counts
    return hashed(value)


def _of_callbacks(callbacks: Any) -> list[str]:
    """Name those that are told of gradients, which they may change; others watch."""
    from skorch.callbacks import Callback

    given = [each[-1] if isinstance(each, tuple) else each for each in callbacks]
    made = [each() if isinstance(each, type) else each for each in given]
    return [
        hashed([type(each), each.get_params()])
        for each in made
        if type(each).on_grad_computed is not Callback.on_grad_computed
    ]


def hashed(value: Any, depth: int = DEPTH) -> str:
    """Name a value: what is not of an installed package also by its code.

    Equal values have equal names: copies, lists and tuples, NumPy's scalars and Python's numbers,
    1 and 1.0.
    """
    try:
        return str(joblib.hash(_content(value, depth)))
    except Exception:
        name = getattr(value, "__qualname__", type(value).__qualname__)
        own = vars(value) if depth > 0 and hasattr(value, "__dict__") else {}
        parts = sorted((key, hashed(part, depth - 1)) for key, part in own.items())
        return str(joblib.hash([getattr(value, "__module__", ""), name, parts]))


def _content(value: Any, depth: int) -> Any:
    """Give what of a value counts, so that a pickle of it is the same for equal values."""
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in (int, float):
        return _number(value)
    if isinstance(value, type):
        return _of_class(value, depth)
    if hasattr(value, "state_dict") and hasattr(value, "named_modules"):
        return _of_module(value, depth)
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        return ["tensor", str(value.dtype), value.detach().cpu().double().numpy()]
    if isinstance(value, partial):
        keywords = {name: hashed(each, depth) for name, each in value.keywords.items()}
        arguments = [hashed(each, depth) for each in value.args]
        return ["partial", hashed(value.func, depth), arguments, keywords]
    if isinstance(value, MethodType):
        return ["method", hashed(value.__func__, depth), hashed(value.__self__, depth - 1)]
    if isinstance(value, FunctionType):
        return _of_function(value, depth)
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return _of_table(pd.DataFrame(value))
    if type(value) in (list, tuple):
        # Each by itself: a pickle tells one object that stands twice from two equal ones.
        items = [each.item() if isinstance(each, np.generic) else each for each in value]
        if all(type(each) in _PLAIN for each in items):
            return [_number(each) if type(each) in (int, float) else each for each in items]
        return [hashed(each, depth) for each in items]
    if type(value) is dict:
        return {name: hashed(each, depth) for name, each in value.items()}
    kind = type(value)
    if depth > 0 and (_package(kind) == "cloome_sk" or _code_counts(kind)):
        return _of_object(value, depth)
    return value


def _package(kind: Any) -> str:
    return str(kind.__module__).partition(".")[0]


def _number(value: float) -> float:
    """Give a number as a float, unless it is a whole one that none can hold."""
    return float(value) if abs(value) <= 2**53 else value


def _code_counts(kind: Any) -> bool:
    """Whether a class or function is of the user, and not known by its name.

    That of Python, of installed packages and of this one does not change in silence.
    """
    root = _package(kind)
    if root == "__main__":  # in a worker, the module of that name is another
        return True
    if root in sys.stdlib_module_names or root == "cloome_sk":
        return False
    module = sys.modules.get(root)
    places = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
    return not any({"site-packages", "dist-packages"} & {*Path(place).parts} for place in places)


def _of_table(table: pd.DataFrame) -> list[Any]:
    """Columns, index and cells: the pickle of a copied table has its blocks in another order."""
    cells = [hashed(table.iloc[:, place].tolist()) for place in range(table.shape[1])]
    return ["table", hashed(list(table.columns)), hashed(list(table.index)), cells]


def _of_module(module: Any, depth: int) -> list[Any]:
    """What a module of torch computes: its parts, what they hold, and its weights."""
    from torch import nn

    common = vars(nn.Module())  # weights, parts, hooks, and whether it is in training
    weights = {
        name: tensor.detach().cpu().double().numpy()
        for name, tensor in [*module.state_dict().items(), *module.named_buffers()]
        if hasattr(tensor, "detach")
    }
    parts = [
        [
            name,
            hashed(type(part), depth),
            {
                key: hashed(value, depth - 1)
                for key, value in vars(part).items()
                if depth > 0 and key not in common
            },
        ]
        for name, part in module.named_modules()
    ]
    return ["module", parts, weights]


def _of_object(value: Any, depth: int) -> list[Any]:
    """The class of an object, and what a pickle of it would hold."""
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        return ["global", hashed(type(value), depth), reduced]
    make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    inside = (make, list(arguments), state, [*(items or ())], [*(pairs or ())])
    return ["object", hashed(type(value), depth), *(hashed(part, depth - 1) for part in inside)]


def _of_class(kind: type, depth: int) -> list[Any]:
    """The names of a class and those it inherits from; of the user's own ones also the code."""
    return [
        [
            f"{one.__module__}.{one.__qualname__}",
            {name: hashed(part, depth - 1) for name, part in _members(one)}
            if depth > 0 and _code_counts(one)
            else {},
        ]
        for one in kind.__mro__
        if one is not object
    ]


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Functions and plain values of a class."""
    for name, member in vars(kind).items():
        if isinstance(member, property):
            member = [member.fget, member.fset]
        elif isinstance(member, (staticmethod, classmethod)):
            member = member.__func__
        elif not isinstance(member, FunctionType) and (
            name.startswith("__") or type(member) not in _PLAIN
        ):
            continue
        yield name, member


def _of_function(function: FunctionType, depth: int) -> list[Any]:
    """The code of a function, and the values and functions that it reads by name.

    Of one from an installed package its name, unless it was made inside of another function.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if "<" not in function.__qualname__ and not _code_counts(function):
        return [name]
    code = function.__code__
    known: dict[str, Any] = {}
    if depth > 0:  # one may have itself among its values
        known = {
            each: function.__globals__[each]
            for each in _globals_read(code)
            if isinstance(function.__globals__.get(each), (FunctionType, *_PLAIN))
            and each in function.__globals__
        }
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        known |= {each: cell.cell_contents for each, cell in cells if each != "__class__"}
    defaults = [function.__defaults__, function.__kwdefaults__]
    values = {each: hashed(value, depth - 1) for each, value in known.items()}
    return [name, _of_code(code), hashed(defaults, depth - 1), values]


def _globals_read(code: CodeType) -> set[str]:
    own = {
        str(step.argval)
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    inner = [_globals_read(each) for each in code.co_consts if isinstance(each, CodeType)]
    return own.union(*inner)


def _of_code(code: CodeType) -> str:
    constants = [
        _of_code(each)
        if isinstance(each, CodeType)
        # Of a frozen set, as in `x in {"a", "b"}`, each process has another order.
        else joblib.hash(sorted(map(repr, each)) if isinstance(each, frozenset) else each)
        for each in code.co_consts
    ]
    return str(joblib.hash([code.co_code, list(code.co_names), constants]))


def _of_values(values: Any) -> str:
    """Name network inputs; of those that are read later, what they are read from."""
    if hasattr(values, "numpy"):
        return str(joblib.hash(values.numpy()))
    if isinstance(values, np.ndarray):
        return str(joblib.hash(values))
    parts = [
        _of_values(part) if name == "values" else hashed(part)
        for name in ("sources", "extras", "values", "members", "sizes")
        if (part := getattr(values, name, None)) is not None
    ]
    return str(joblib.hash([type(values).__qualname__, parts or hashed(values)]))
