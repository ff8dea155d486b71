"""Preparation: depths and shapes of sites, keys of the cache, and what tells callables apart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cloome_sk.imaging import ImageError, SiteCache, read_image
from cloome_sk.imaging.preparation import Preparation, Task, identity, target_shape
from cloome_sk.imaging.sites import Sites
from cloome_sk.imaging.sources import SiteSources

SHAPE = (6, 9)


def objects(values: list[Any]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def pictures(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 4000, SHAPE).astype(np.uint16) for _ in range(n)]


def channels(*columns: list[Any], **settings: Any) -> SiteSources:
    given: dict[str, Any] = {
        "channels": ("DNA", "ER")[: len(columns)],
        "stacked": False,
        "orders": None,
        "order": None,
        "illumination": None,
        "limits": None,
        "rows": np.arange(len(columns[0])),
    }
    return SiteSources(images=tuple(map(objects, columns)), **given | settings)


def test_channels_of_several_depths_are_no_array() -> None:
    dark, bright = pictures(2)
    sources = channels([dark.astype(np.uint8)], [bright])
    with pytest.raises(ImageError, match=r"DNA uint8, ER uint16.*only a scaling"):
        Preparation("none")(sources, 0)
    assert Preparation("cloome")(sources, 0).dtype == np.uint8


def test_values_that_cannot_be_scaled_are_an_error_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "site.tif"
    tifffile.imwrite(path, pictures(1)[0])
    lost = Preparation("percentile", preprocess=partial(np.multiply, np.nan))
    with pytest.raises(ImageError, match=r"site\.tif.*DNA: 54 of 54 pixels.*NaN"):
        lost(channels([str(path)]), 0)


@pytest.mark.parametrize("way", ["shape", "depth"])
def test_a_site_that_differs_from_the_others_is_refused(way: str) -> None:
    image = pictures(1)[0]
    shape, dtype = ((1, *SHAPE), np.uint8) if way == "depth" else ((1, 6, 10), np.uint16)
    task = Task(Preparation("none"), shape, np.dtype(dtype), None)
    with pytest.raises(ImageError, match=r"has depth uint16, others uint8|has shape \(1, 6, 9\)"):
        task.pixels(channels([image]), 0)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((100, 200), 50, (50, 100)), ((200, 100), 50, (100, 50)), ((30, 40), (7, 9), (7, 9))],
)
def test_a_number_is_the_shorter_side(shape: Any, size: Any, expected: Any) -> None:
    assert target_shape(shape, size) == expected


KEYS: dict[str, Callable[[], tuple[SiteSources, SiteSources]]] = {
    "order of the table": lambda: tuple(  # type: ignore[dict-item,return-value]
        channels([np.stack(pictures(2))], stacked=True, orders=objects([order]))
        for order in [("DNA", "ER"), ("ER", "DNA")]
    ),
    "order of fit": lambda: tuple(  # type: ignore[dict-item,return-value]
        channels([np.stack(pictures(2))], stacked=True, order=order)
        for order in [("DNA", "ER"), ("ER", "DNA")]
    ),
    "limits": lambda: tuple(  # type: ignore[dict-item,return-value]
        channels([pictures(1)[0]], limits=np.array([[[0.0, high]]])) for high in (900.0, 1000.0)
    ),
    "illumination": lambda: tuple(  # type: ignore[dict-item,return-value]
        channels([pictures(1)[0]], illumination=(objects([np.full(SHAPE, value, np.float32)]),))
        for value in (1.0, 2.0)
    ),
    "channels": lambda: tuple(  # type: ignore[dict-item,return-value]
        channels([np.stack(pictures(2))], stacked=True, order=("DNA", "ER"), channels=(name,))
        for name in ("DNA", "ER")
    ),
}


@pytest.mark.parametrize("difference", KEYS)
def test_keys_of_the_cache_differ_by_all_that_changes_pixels(
    tmp_path: Path, difference: str
) -> None:
    one, other = KEYS[difference]()
    same, _ = KEYS[difference]()
    cache = SiteCache(tmp_path / "cache", {})
    keys = [cache.key(given.files(0), given.settings(0)) for given in (one, other, same)]
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]


def test_a_file_that_changes_while_it_is_read_is_not_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contents = pictures(2)
    path = tmp_path / "site.tif"
    tifffile.imwrite(path, contents[0])

    def read_late(source: Any, **options: Any) -> np.ndarray:
        tifffile.imwrite(path, contents[1])
        return read_image(source, **options)

    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", read_late)
    cache = SiteCache(tmp_path / "cache", {})
    task = Task(Preparation("none"), (1, *SHAPE), np.dtype(np.uint16), cache)
    sources = channels([str(path)])
    changed = task.key(sources, 0)
    assert not cache.has(changed)
    settled = task.key(sources, 0)
    assert settled != changed
    np.testing.assert_array_equal(cache.load(settled), contents[1][np.newaxis])


# ---------------------------------------------------------------- identity


def rooted(image: np.ndarray) -> np.ndarray:
    return np.sqrt(image)


def squared(image: np.ndarray) -> np.ndarray:
    return image**2


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


def nested(power: int) -> Callable[..., Any]:
    def outer(image: np.ndarray) -> np.ndarray:
        def inner(pixel: np.ndarray) -> np.ndarray:
            return pixel**power

        return inner(image)

    return outer


def clipped(image: np.ndarray, low: int = 0, high: int = 9) -> np.ndarray:
    return np.clip(image, low, high)


def clipped_further(image: np.ndarray, low: int = 0, high: int = 10) -> np.ndarray:
    return np.clip(image, low, high)


def keyword_only(image: np.ndarray, *, high: int = 9) -> np.ndarray:
    return np.clip(image, 0, high)


def other_keyword_only(image: np.ndarray, *, high: int = 10) -> np.ndarray:
    return np.clip(image, 0, high)


def inner_constant(image: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda pixel: pixel + 1)(image)


def other_inner_constant(image: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda pixel: pixel + 2)(image)


class Base:
    def __init__(self, amount: Any = 0) -> None:
        self.amount = amount

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return image + self.amount

    def step(self, image: np.ndarray) -> np.ndarray:
        return self(image)


class Inheriting(Base):
    pass


class Overriding(Base):
    def __call__(self, image: np.ndarray) -> np.ndarray:
        return image - self.amount


class Tuned(Base):
    factor = 2


PAIRS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "functions": (lambda: rooted, lambda: squared),
    "defaults": (lambda: clipped, lambda: clipped_further),
    "keyword defaults": (lambda: keyword_only, lambda: other_keyword_only),
    "constants of inner functions": (lambda: inner_constant, lambda: other_inner_constant),
    "decorated": (lambda: logged(rooted), lambda: logged(squared)),
    "decorated or not": (lambda: logged(rooted), lambda: rooted),
    "decorated twice": (lambda: logged(logged(rooted)), lambda: logged(logged(squared))),
    "nested": (lambda: nested(2), lambda: nested(3)),
    "partials": (lambda: partial(clipped, low=1), lambda: partial(clipped, low=2)),
    "partials of partials": (
        lambda: partial(partial(clipped, low=1), high=2),
        lambda: partial(partial(clipped, low=2), high=2),
    ),
    "names of arguments": (lambda: partial(clipped, low=2), lambda: partial(clipped, high=2)),
    "functions in partials": (
        lambda: partial(logged(rooted), 1),
        lambda: partial(logged(squared), 1),
    ),
    "objects": (lambda: Base(1), lambda: Base(2)),
    "arrays in objects": (lambda: Base(np.arange(3)), lambda: Base(np.arange(1, 4))),
    "methods": (lambda: Base(1).step, lambda: Base(1).__call__),
    "objects of methods": (lambda: Base(1).step, lambda: Base(2).step),
    "overriding": (lambda: Inheriting(1), lambda: Overriding(1)),
}


@pytest.mark.parametrize("difference", PAIRS)
def test_callables_that_differ_are_told_apart(difference: str) -> None:
    one, other = PAIRS[difference]
    assert identity(one()) != identity(other())
    assert identity(one()) == identity(one())
    assert identity(other()) == identity(other())


def test_an_inherited_call_is_part_of_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(Inheriting(1))
    monkeypatch.setattr(Base, "__call__", lambda self, image: image * self.amount)
    assert identity(Inheriting(1)) != before


def test_attributes_of_a_class_are_part_of_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity(Tuned(1))
    monkeypatch.setattr(Tuned, "factor", 3)
    assert identity(Tuned(1)) != before


def test_the_order_of_keywords_does_not_count() -> None:
    assert identity(partial(clipped, low=1, high=2)) == identity(partial(clipped, high=2, low=1))


SCRIPT = """
import hashlib, sys
from functools import partial, wraps
sys.path.insert(0, sys.argv[1])
import users_own
from cloome_sk.imaging.preparation import identity
for made in users_own.ALL:
    print(hashlib.sha256(identity(made)).hexdigest())
"""

MODULE = """
from functools import partial, wraps
def logged(function):
    @wraps(function)
    def inner(image):
        return function(image)
    return inner
@logged
def chosen(image, names=("a", "b")):
    return image if "x" in {"x", "yy", "zzz", "w"} else None
def nested(power):
    def outer(image):
        return image ** power
    return outer
class Base:
    factor = 2
    def __call__(self, image): return image * self.factor
class Child(Base): pass
ALL = [chosen, nested(2), Child(), Base().__call__, partial(partial(chosen, 1), names={"b": 1})]
"""


def test_another_process_finds_the_same_callables(tmp_path: Path) -> None:
    (tmp_path / "users_own.py").write_text(MODULE)
    answers = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(done.stdout.split())
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == 5


def test_refill_does_not_keep_new_pixels_under_the_key_of_the_old(tmp_path, monkeypatch):
    old, new = pictures(2)
    path = tmp_path / "site.tif"
    tifffile.imwrite(path, old)

    def read_late(source, **options):
        monkeypatch.undo()
        tifffile.imwrite(path, new)
        return read_image(source, **options)

    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", read_late)

    def pixels():
        return Sites(
            channels([str(path)]),
            Preparation("none"),
            shape=(1, *SHAPE),
            dtype=np.uint16,
            where=str,
            cache=SiteCache(tmp_path / "cache", {}),
        )[:]

    np.testing.assert_array_equal(pixels()[0, 0], new)
    tifffile.imwrite(path, old)
    np.testing.assert_array_equal(pixels()[0, 0], old)  # gives new
