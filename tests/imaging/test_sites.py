"""Sites: the same pixels in whatever order, number of processes and cache they are asked for."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import tifffile

from cloome_sk.imaging import ImageError, SiteCache, read_image, scale_image
from cloome_sk.imaging.preparation import Preparation
from cloome_sk.imaging.sites import Sites
from cloome_sk.imaging.sources import SiteSources

N_SITES = 23
SHAPE = (6, 9)
NAMES = ("DNA", "ER")


def objects(values: list[Any]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@pytest.fixture
def screen(tmp_path: Path) -> tuple[SiteSources, np.ndarray]:
    """Stacks of two orders, corrected and scaled by limits; and what they must become."""
    rng = np.random.default_rng(0)
    paths, orders, expected = [], [], np.empty((N_SITES, 2, *SHAPE), dtype=np.uint8)
    limits = np.stack(
        [rng.integers(0, 900, (N_SITES, 2)), rng.integers(2000, 4000, (N_SITES, 2))], axis=-1
    ).astype(np.float64)
    functions = rng.uniform(0.5, 2, (2, N_SITES, *SHAPE)).astype(np.float32)
    for site in range(N_SITES):
        image = rng.integers(1, 4000, (2, *SHAPE)).astype(np.uint16)
        paths.append(str(tmp_path / f"{site:02d}.tif"))
        tifffile.imwrite(paths[-1], image, photometric="minisblack")
        orders.append(NAMES if rng.random() < 0.5 else NAMES[::-1])
        for channel, name in enumerate(NAMES):
            plane = image[orders[-1].index(name)] / functions[channel, site]
            low, high = limits[site, channel]
            level = np.floor((plane.astype(np.float64) - low) * 255 / (high - low))
            expected[site, channel] = np.clip(level, 0, 255)
    assert len(set(orders)) == 2
    sources = SiteSources(
        channels=NAMES,
        images=(objects(paths),),
        stacked=True,
        orders=objects(orders),
        order=None,
        illumination=tuple(objects(list(channel)) for channel in functions),
        limits=limits,
        rows=rng.permutation(100)[:N_SITES],
    )
    return sources, expected


def sites_of(sources: SiteSources, cache: Path | None = None, **settings: Any) -> Sites:
    prepare = Preparation("plate")
    given: dict[str, Any] = {
        "shape": (2, *SHAPE),
        "dtype": np.uint8,
        "where": lambda row: f"row {row}",
        "cache": None if cache is None else SiteCache(cache, prepare.settings()),
    }
    return Sites(sources, prepare, **given | settings)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tasks each call of joblib got; they run here, through pickle as in a process."""
    seen: list[int] = []

    class Parallel:
        def __init__(self, n_jobs: int | None = None, **options: Any) -> None:
            assert n_jobs == 2

        def __call__(self, given: Any) -> list[Any]:
            packed = [pickle.dumps(task) for task in given]
            seen.append(len(packed))
            done = []
            for one in packed:
                function, arguments, keywords = pickle.loads(one)
                done.append(pickle.loads(pickle.dumps(function(*arguments, **keywords))))
            return done

    monkeypatch.setattr(joblib, "Parallel", Parallel)
    return seen


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was read, in this process."""
    seen: Counter[str] = Counter()

    def counted(source: Any, **options: Any) -> np.ndarray:
        seen[Path(source).name] += 1
        return read_image(source, **options)

    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", counted)
    return seen


ORDERS: dict[str, Callable[[], Any]] = {
    "all": lambda: np.arange(N_SITES),
    "backwards": lambda: np.arange(N_SITES)[::-1],
    "shuffled": lambda: np.random.default_rng(1).permutation(N_SITES),
    "repeated": lambda: np.array([7, 2, 7, 19, 2, 0, 7]),
    "slice": lambda: slice(4, 15),
    "none": lambda: np.array([], dtype=np.intp),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cached", [False, True], ids=["uncached", "cached"])
@pytest.mark.parametrize("n_jobs", [None, 2], ids=["here", "two"])
def test_pixels_do_not_depend_on_the_way_they_are_asked_for(
    screen: Any, tmp_path: Path, tasks: list[int], order: str, cached: bool, n_jobs: int | None
) -> None:
    sources, expected = screen
    extra = np.arange(N_SITES) * 1.5
    cache = tmp_path / "cache" if cached else None
    sites = sites_of(sources, cache, n_jobs=n_jobs, extras=(extra,))
    chosen = ORDERS[order]()
    pixels, along = sites[chosen]
    np.testing.assert_array_equal(pixels, expected[chosen])
    np.testing.assert_array_equal(along, extra[chosen])
    if n_jobs is not None and order != "none":
        assert max(tasks) >= 2  # it was shared out
    again, _ = sites[chosen]
    np.testing.assert_array_equal(again, expected[chosen])


@pytest.mark.parametrize("way", ["index", "visit", "visit cached", "hold"])
def test_processes_take_subsets_and_their_failures_back(
    screen: Any, tmp_path: Path, tasks: list[int], way: str
) -> None:
    sources, expected = screen
    subset = np.array([20, 3, 11, 5, 4, 17, 9, 22, 0, 13])
    for site in (5, 22):
        Path(sources.images[0][site]).write_bytes(b"no image")
    cache = tmp_path / "cache" if way == "visit cached" else None
    sites = sites_of(sources.take(subset), cache, n_jobs=2, on_error="skip")
    done: list[int] = []
    if way == "hold":
        sites.hold(done.append)
    elif way != "index":
        sites.visit(done.append)
    if way != "index":
        assert sum(done) == len(subset)
        assert set(sites.failed) == {3, 7}
    got = sites[np.arange(len(subset))]
    assert set(sites.failed) == {3, 7}
    assert "05.tif" in sites.failed[3]
    assert "22.tif" in sites.failed[7]
    wanted = expected[subset]
    wanted[[3, 7]] = 0
    np.testing.assert_array_equal(got, wanted)
    assert max(tasks) >= 2
    strict = sites_of(sources.take(subset), n_jobs=2)
    with pytest.raises(ImageError, match=rf"05\.tif.*\(row {sources.rows[5]}\)"):
        strict[np.arange(len(subset))]


def test_real_processes_give_the_same_pixels(screen: Any, tmp_path: Path, reads: Any) -> None:
    sources, expected = screen
    subset = np.random.default_rng(3).permutation(N_SITES)[:17]
    for cache in (None, tmp_path / "cache"):
        sites = sites_of(sources.take(subset), cache, n_jobs=2)
        np.testing.assert_array_equal(sites[::-1], expected[subset[::-1]])
        fresh = sites_of(sources.take(subset), tmp_path / "other" if cache else None, n_jobs=2)
        fresh.visit(lambda n_done: None)
        assert fresh.failed == {}
    assert not reads  # nothing was read in this process


def test_what_is_asked_for_twice_is_read_once(screen: Any, reads: Counter[str]) -> None:
    sources, expected = screen
    chosen = np.array([3, 1, 3, 3, 1])
    np.testing.assert_array_equal(sites_of(sources)[chosen], expected[chosen])
    assert reads == {"03.tif": 1, "01.tif": 1}


def test_sites_in_a_cache_are_not_read_again(
    screen: Any, tmp_path: Path, reads: Counter[str]
) -> None:
    sources, expected = screen
    sites_of(sources, tmp_path / "cache").visit(lambda n_done: None)
    assert set(reads.values()) == {1}
    reads.clear()
    np.testing.assert_array_equal(sites_of(sources, tmp_path / "cache")[:], expected)
    assert not reads


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_entry_is_filled_again(screen: Any, tmp_path: Path, damage: str) -> None:
    sources, expected = screen
    sites = sites_of(sources, tmp_path / "cache")
    sites.visit(lambda n_done: None)
    entries = sorted((tmp_path / "cache").rglob("*.npy"))
    whole = [entry.read_bytes() for entry in entries]
    assert len(entries) == N_SITES
    for entry, content in zip(entries[:4], whole, strict=False):
        if damage == "gone":
            entry.unlink()
        elif damage == "cut":
            entry.write_bytes(content[:-40])
        else:
            middle = len(content) - 60
            entry.write_bytes(
                content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
            )
    np.testing.assert_array_equal(sites[:], expected)
    assert [entry.read_bytes() for entry in entries] == whole


def test_a_failure_after_the_visit_names_its_row(screen: Any) -> None:
    sources, _ = screen
    subset = np.array([8, 2, 16])
    sites = sites_of(sources.take(subset), on_error="skip")
    sites.visit(lambda n_done: None)
    sites.on_error = "raise"
    Path(sources.images[0][2]).unlink()
    with pytest.raises(ImageError, match=rf"02\.tif.*\(row {sources.rows[2]}\)"):
        sites[np.array([0, 1])]


def test_what_cannot_be_read_is_not_tried_again(screen: Any, reads: Counter[str]) -> None:
    sources, _ = screen
    Path(sources.images[0][4]).write_bytes(b"no image")
    sites = sites_of(sources, on_error="skip")
    sites.visit(lambda n_done: None)
    assert set(sites.failed) == {4}
    reads.clear()
    assert not sites[3:6][1].any()
    assert set(reads) == {"03.tif", "05.tif"}


def test_the_limits_of_each_channel_are_its_own() -> None:
    image = np.random.default_rng(5).integers(0, 1000, (2, *SHAPE)).astype(np.uint16)
    limits = np.array([[[0.0, 100.0], [500.0, 1000.0]]])
    sources = SiteSources(
        NAMES, (objects([image]),), True, None, NAMES, None, limits, np.array([0])
    )
    got = sites_of(sources)[:]
    for channel in range(2):
        alone = scale_image(image[channel], "plate", limits=limits[0, channel : channel + 1])
        np.testing.assert_array_equal(got[0, channel], alone)
    assert (got[0, 0] != got[0, 1]).any()
