"""SiteSources: where the planes of a site come from, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from cloome_sk.imaging import ImageError
from cloome_sk.imaging.sources import SiteSources, stacked_planes

N_SITES = 6


def objects(values: list[Any]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def planes(n: int, seed: int = 0, shape: tuple[int, ...] = (5, 7)) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 4000, size=shape).astype(np.uint16) for _ in range(n)]


def stacks(images: list[Any], **settings: Any) -> SiteSources:
    """Sources of stacks that hold, and are asked for, DNA and Mito."""
    given: dict[str, Any] = {
        "channels": ("DNA", "Mito"),
        "orders": None,
        "order": None,
        "illumination": None,
        "limits": None,
        "rows": np.arange(len(images)),
    }
    return SiteSources(images=(objects(images),), stacked=True, **given | settings)


def ome(path: Path, stack: np.ndarray, names: list[str]) -> str:
    tifffile.imwrite(path, stack, metadata={"axes": "CYX", "Channel": {"Name": names}})
    return str(path)


def test_take_keeps_everything_of_a_site_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    functions = [rng.uniform(1, 2, (5, 7)).astype(np.float32) for _ in range(2 * N_SITES)]
    orders = [("DNA", "Mito"), ("Mito", "DNA"), None, ("Mito", "DNA"), None, ("DNA", "Mito")]
    sources = stacks(
        planes(N_SITES, shape=(2, 5, 7)),
        orders=objects(orders),
        order=("DNA", "Mito"),
        illumination=(objects(functions[:N_SITES]), objects(functions[N_SITES:])),
        limits=rng.uniform(0, 9, (N_SITES, 2, 2)),
        rows=np.array([3, 9, 1, 40, 7, 2]),
    )
    chosen = np.array([4, 1, 3])
    taken = sources.take(chosen)
    assert len(taken) == 3
    for place, site in enumerate(chosen):
        assert taken.rows[place] == sources.rows[site]
        for one, other in zip(taken.files(place), sources.files(site), strict=True):
            assert one is other
        of_taken, of_all = taken.settings(place), sources.settings(site)
        np.testing.assert_array_equal(of_taken.pop("limits"), of_all.pop("limits"))
        assert of_taken == of_all
        np.testing.assert_array_equal(
            stacked_planes(taken, place, None), stacked_planes(sources, site, None)
        )


def test_planes_are_those_of_a_naive_look_up() -> None:
    images = planes(N_SITES, shape=(2, 5, 7))
    orders = [("DNA", "Mito"), ("Mito", "DNA")] * (N_SITES // 2)
    sources = stacks(images, orders=objects(orders))
    for site, (image, order) in enumerate(zip(images, orders, strict=True)):
        expected = [image[order.index(name)] for name in ("DNA", "Mito")]
        np.testing.assert_array_equal(sources.planes(site, None), expected)


@pytest.mark.parametrize("stated", [None, ("Mito", "DNA")], ids=["fit", "table"])
def test_a_file_that_names_its_channels_is_followed(tmp_path: Path, stated: Any) -> None:
    stack = planes(1, shape=(2, 5, 7))[0]
    path = ome(tmp_path / "a.ome.tif", stack, ["Mito", "Hoechst"])
    sources = stacks([path], orders=objects([stated]), order=("DNA", "Mito"))
    np.testing.assert_array_equal(sources.planes(0, None), stack[::-1])


def test_a_table_that_contradicts_the_file_is_refused(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", planes(1, shape=(2, 5, 7))[0], ["Mito", "Hoechst"])
    sources = stacks([path], orders=objects([("DNA", "Mito")]))
    with pytest.raises(ImageError, match=r"a\.ome\.tif.*file says.*Mito, DNA.*table.*DNA, Mito"):
        sources.planes(0, None)


@pytest.mark.parametrize("names", [["Channel 1", "Channel 2"], ["Mito", "Mito"]])
@pytest.mark.parametrize("stated", [None, ("Mito", "DNA")], ids=["fit", "table"])
def test_names_that_tell_nothing_contradict_nothing(
    tmp_path: Path, names: list[str], stated: Any
) -> None:
    stack = planes(1, shape=(2, 5, 7))[0]
    path = ome(tmp_path / "a.ome.tif", stack, names)
    sources = stacks([path], orders=objects([stated]), order=("Mito", "DNA"))
    np.testing.assert_array_equal(sources.planes(0, None), stack[::-1])


def test_a_stack_must_hold_as_many_channels_as_are_named() -> None:
    images = planes(1, shape=(3, 5, 7))
    sources = stacks(images, orders=objects([("DNA", "Mito")]))
    with pytest.raises(ImageError, match=r"holds 3 channel\(s\), and 2 are named: DNA, Mito"):
        sources.planes(0, None)
    with pytest.raises(ImageError, match="nothing says which channel is which"):
        stacks(images).planes(0, None)
    with pytest.raises(ImageError, match="no channel Mito"):
        stacks(images, orders=objects([("DNA", "ER", "RNA")])).planes(0, None)


def test_each_channel_is_divided_by_its_own_function() -> None:
    images = planes(N_SITES, shape=(2, 5, 7))
    rng = np.random.default_rng(2)
    functions = rng.uniform(0.5, 2, (2, N_SITES, 5, 7)).astype(np.float32)
    sources = stacks(
        images,
        orders=objects([("Mito", "DNA")] * N_SITES),
        illumination=tuple(objects(list(channel)) for channel in functions),
    )
    for site, image in enumerate(images):
        got = sources.planes(site, None)
        np.testing.assert_allclose(got[0], image[1] / functions[0, site], rtol=1e-6)
        np.testing.assert_allclose(got[1], image[0] / functions[1, site], rtol=1e-6)


def test_a_function_of_another_shape_is_an_error_of_the_image() -> None:
    function = np.ones((5, 8), dtype=np.float32)
    sources = stacks(
        planes(1, shape=(2, 5, 7)), order=("DNA", "Mito"), illumination=(objects([function]),) * 2
    )
    with pytest.raises(ImageError):
        sources.planes(0, None)


def fails(image: np.ndarray) -> np.ndarray:
    raise KeyError("a mistake of the user")


def test_an_error_of_preprocess_keeps_its_type_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "site.tif"
    tifffile.imwrite(path, planes(1, shape=(2, 5, 7))[0], photometric="minisblack")
    with pytest.raises(KeyError, match="a mistake of the user") as caught:
        stacks([str(path)], order=("DNA", "Mito")).planes(0, fails)
    assert any(str(path) in note for note in caught.value.__notes__)
