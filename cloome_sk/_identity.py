"""What a training is: its parameters and its data as one name, the same in every process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from types import CodeType, FunctionType
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

FILES = ("weights",)
"""Parameters of encoders that name a file, of which the content counts and not the place."""

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
        and name != "checkpoint"
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
    start = hashed(getattr(embedder, "state_", None)) if embedder.warm_start else None
    batches = {name: joblib.hash(labels) for name, labels in (batching or {}).items()}
    return str(joblib.hash([parameters, checkpoint, int(seed), data, start, batches]))


def _of_parameter(name: str, value: Any) -> str:
    """Name a parameter: an estimator by its class, as its parameters are there themselves."""
    if hasattr(value, "get_params"):
        return f"{type(value).__module__}.{type(value).__qualname__}"
    if name in FILES and isinstance(value, (str, PathLike)) and Path(value).is_file():
        return file_sha256(Path(value))
    return hashed(value)


def hashed(value: Any, depth: int = 3) -> str:
    """Name a value; of a lambda or an inner function its code, as it cannot be pickled.

    Equal values have equal names: copies, lists and tuples, NumPy's scalars and Python's numbers.
    """
    try:
        if hasattr(value, "state_dict"):
            value = _of_module(value)
        elif isinstance(value, partial):
            keywords = {name: hashed(each) for name, each in value.keywords.items()}
            arguments = [hashed(each) for each in value.args]
            value = ["partial", hashed(value.func), arguments, keywords]
        elif isinstance(value, FunctionType) and "<" in value.__qualname__:
            value = _of_function(value)
        elif isinstance(value, np.generic):
            value = value.item()
        elif isinstance(value, (pd.DataFrame, pd.Series)):
            value = _of_table(pd.DataFrame(value))
        elif type(value) in (list, tuple):
            # Each by itself: a pickle tells one object that stands twice from two equal ones.
            value = [each.item() if isinstance(each, np.generic) else each for each in value]
            if not all(type(each) in _PLAIN for each in value):
                value = [hashed(each, depth) for each in value]
        elif type(value) is dict:
            value = {name: hashed(each, depth) for name, each in value.items()}
        return str(joblib.hash(value))
    except Exception:
        name = getattr(value, "__qualname__", type(value).__qualname__)
        own = vars(value) if depth and hasattr(value, "__dict__") else {}
        parts = sorted((key, hashed(part, depth - 1)) for key, part in own.items())
        return str(joblib.hash([getattr(value, "__module__", ""), name, parts]))


def _of_table(table: pd.DataFrame) -> list[Any]:
    """Columns, index and cells: the pickle of a copied table has its blocks in another order."""
    cells = [hashed(table.iloc[:, place].tolist()) for place in range(table.shape[1])]
    return ["table", hashed(list(table.columns)), hashed(list(table.index)), cells]


def _of_module(module: Any) -> list[Any]:
    """What a module of torch computes: its parts, their plain attributes, and its weights."""
    weights = {
        name: tensor.detach().cpu().double().numpy() for name, tensor in module.state_dict().items()
    }
    attributes = [
        {
            name: hashed(value)
            for name, value in vars(part).items()
            if not name.startswith("_")
            and (isinstance(value, (int, float, str, tuple, partial, FunctionType)))
            and name != "training"
        }
        for part in module.modules()
    ]
    return [repr(module), attributes, weights]


def _of_function(function: FunctionType, closure: bool = True) -> list[Any]:
    """The code of a function, and the values that it took along from where it was made."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()] if closure else []
    return [
        f"{function.__module__}.{function.__qualname__}",
        _of_code(function.__code__),
        hashed([function.__defaults__, function.__kwdefaults__]),
        # Of functions their code alone: one may have itself among its values.
        [_of_function(v, False) if isinstance(v, FunctionType) else hashed(v) for v in cells],
    ]


def _of_code(code: CodeType) -> list[Any]:
    constants = [
        _of_code(each)
        if isinstance(each, CodeType)
        # Of a frozen set, as in `x in {"a", "b"}`, each process has another order.
        else (sorted(map(repr, each)) if isinstance(each, frozenset) else each)
        for each in code.co_consts
    ]
    return [code.co_code, code.co_names, constants]


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
