"""What tells one preprocessing callable from another: all that its result depends on."""

from __future__ import annotations

from typing import ClassVar

import pytest

from cloome_sk.imaging.preparation import identity


class Parts:
    items: ClassVar[list[int]] = [1, 2]

    @staticmethod
    def scale(image):
        return image * 2

    @property
    def amount(self):
        return 1

    def __call__(self, image):
        return self.scale(image) + self.amount


def method(n):
    def call(self, image):
        return image + n

    return call


def default_one(self, image, n=1):
    return image + n


def default_two(self, image, n=2):
    return image + n


class Holder:
    def __init__(self, function):
        self.function = function

    def __call__(self, image):
        return self.function(image)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("items", [1, 2], [3]),
        ("scale", staticmethod(lambda i: i), staticmethod(lambda i: i * 3)),
        ("amount", property(lambda s: 1), property(lambda s: 2)),
        ("__call__", method(1), method(2)),
        ("__call__", default_one, default_two),
    ],
    ids=["list", "static", "property", "closure", "default"],
)
def test_identity_sees_all_parts_of_a_class(monkeypatch, name, one, other):
    monkeypatch.setattr(Parts, name, one)
    before = identity(Parts())
    monkeypatch.setattr(Parts, name, other)
    assert identity(Parts()) != before


def test_identity_of_a_recursive_inner_function():
    def inner(image, n=1):
        return image if not n else inner(image, n - 1)

    assert identity(inner) == identity(inner)  # RecursionError
