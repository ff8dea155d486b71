"""Estimators as JSON: the class from a table, its parameters, what it learned."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.encoders._image_checks import check_image_parameters
from cloome_sk.encoders.profile import check_hidden_sizes
from cloome_sk.storage._attributes import FITTED, NOT_IN_CONFIG, disagreement
from cloome_sk.storage._decoding import decode, parts_of
from cloome_sk.storage._encoding import encode, refusal
from cloome_sk.storage._errors import RefusedError

Classes = dict[str, Any]
TAG = "$estimator"
ENCODERS: Classes = {
    each.__name__: each for each in (ProfileEncoder, ImageEncoder, MoleculeEncoder, BagEncoder)
}
"""The classes that are stored, beside the embedder's own. No other is ever looked up."""
FIT_ALONE = ("callbacks", "objective", "plate_table", "schedule", "validation")
"""Parameters that may be what no file holds, and that nothing reads after `fit`."""
WITH_VALIDATION = ("early_stopping", "keep")
"""What is left out with `validation`: `fit` takes none of these without it."""


class Encoding:
    """Write estimators down; parameters that are left out get their default.

    Parameters
    ----------
    classes : dict of str to type
        The classes that are stored.
    left_out : collection of str, default=()
        Names of parameters, of any of the estimators.
    """

    def __init__(self, classes: Classes, left_out: Collection[str] = ()) -> None:
        self.classes = classes
        self.left_out = left_out

    def estimator(self, estimator: Any, where: str = "", fitted: bool = True) -> dict[str, Any]:
        """Give class, parameters and, unless it is a parameter itself, the fitted attributes."""
        name = type(estimator).__name__
        if self.classes.get(name) is not type(estimator):
            raise TypeError(
                f"{where} is a {name}, and only {', '.join(self.classes)} are stored: the code "
                "of another class would have to be. joblib.dump(embedder, path) stores it."
            )
        params = estimator.get_params(deep=False)
        defaults = inspect.signature(type(estimator)).parameters
        stored: dict[str, Any] = {
            "class": name,
            "parameters": {
                param: self._parameter(
                    param,
                    defaults[param].default if param in self.left_out else value,
                    f"{where}__{param}" if where else param,
                )
                for param, value in params.items()
            },
        }
        if fitted:
            stored["fitted"] = self._fitted(estimator, where, set(params))
        return stored

    def _parameter(self, name: str, value: Any, where: str) -> Any:
        try:
            if name == "validation" and isinstance(value, np.ndarray):
                raise TypeError(refusal(value, where))  # data, and not a setting
            return self._part(value, where, False)
        except TypeError as error:
            if name not in FIT_ALONE:
                raise
            raise TypeError(
                f"{error} Or leave it out, since nothing but fit reads it: leave_out=[{name!r}]."
            ) from None

    def _fitted(self, estimator: Any, where: str, params: set[str]) -> dict[str, Any]:
        forms = FITTED[type(estimator).__name__]
        found: dict[str, Any] = {}
        for name, value in vars(estimator).items():
            if name in params or name in NOT_IN_CONFIG:
                continue
            path = f"{where}.{name}" if where else name
            if name not in forms:
                raise TypeError(
                    f"{path} is no attribute that a {type(estimator).__name__} is stored with, "
                    "and would be lost. Remove it, or store the embedder by "
                    "joblib.dump(embedder, path)."
                )
            found[name] = self._part(value, path, True)
        return found

    def _part(self, value: Any, where: str, fitted: bool) -> Any:
        if isinstance(value, BaseEstimator):
            return {TAG: self.estimator(value, where, fitted)}
        return encode(value, where)


def decode_estimator(stored: Any, key: str, classes: Classes, fitted: bool = True) -> Any:
    """Build an estimator from what `encode_estimator` gave, and check all of it."""
    wanted = {"class", "parameters", "fitted"} if fitted else {"class", "parameters"}
    parts = parts_of(stored, wanted, key)
    cls = classes.get(parts["class"]) if isinstance(parts["class"], str) else None
    if cls is None:
        raise RefusedError(
            f"{key}.class",
            f"{parts['class']!r} is none of the classes that are stored: {', '.join(classes)}.",
        )
    names = set(cls._get_param_names())
    params = {
        name: _decode_part(value, f"{key}.parameters.{name}", classes, False)
        for name, value in parts_of(parts["parameters"], names, f"{key}.parameters").items()
    }
    estimator = cls(**params)
    try:
        check_parameters(estimator)
    except (TypeError, ValueError) as error:
        raise RefusedError(f"{key}.parameters", str(error)) from error
    if fitted:
        _set_fitted(estimator, parts["fitted"], f"{key}.fitted", classes)
    return estimator


def check_parameters(estimator: Any) -> None:
    """Refuse parameters that `fit` would refuse without looking at a table."""
    estimator._validate_params()
    if isinstance(estimator, ImageEncoder):
        check_image_parameters(estimator)
    if hasattr(estimator, "hidden_sizes"):
        check_hidden_sizes(estimator.hidden_sizes, type(estimator).__name__)


def _set_fitted(estimator: Any, stored: Any, key: str, classes: Classes) -> None:
    forms = FITTED[type(estimator).__name__]
    there = set(stored) if isinstance(stored, dict) else set()
    needed = {name for name, form in forms.items() if not form.optional}
    for name, value in parts_of(stored, needed | (there & set(forms)), key).items():
        part = _decode_part(value, f"{key}.{name}", classes, True)
        if not forms[name].fits(part):
            raise RefusedError(f"{key}.{name}", f"should be {forms[name].what}, and is none.")
        setattr(estimator, name, part)
    if wrong := disagreement(estimator):
        raise RefusedError(key, f"{wrong}.")


def _decode_part(value: Any, key: str, classes: Classes, fitted: bool) -> Any:
    if isinstance(value, dict) and TAG in value:
        inner = parts_of(value, {TAG}, key)[TAG]
        return decode_estimator(inner, f"{key}.{TAG}", classes, fitted)
    return decode(value, key)
