"""Files of cached sites: they hold what was stored, or are seen not to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cloome_sk.imaging.cache import SiteCache

KEY = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


@pytest.fixture
def cache(tmp_path: Path) -> SiteCache:
    return SiteCache(tmp_path / "cache", {"scaling": "cloome"})


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8", "f2", "?", ">u2", ">f4"])
@pytest.mark.parametrize(
    "shape", [(5, 52, 69), (3, 67, 67), (1, 1, 1), (7, 5), (2, 0, 4), (), (9,)]
)
def test_sites_come_back_as_stored(cache: SiteCache, dtype: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape)
    pixels = np.asarray(values).astype(dtype)
    cache.store(KEY, pixels)

    loaded = cache.load(KEY)

    assert loaded is not None
    assert loaded.dtype == np.dtype(dtype).newbyteorder("<")
    assert loaded.flags.writeable
    np.testing.assert_array_equal(loaded, pixels, strict=dtype[0] != ">")
    out = np.full_like(loaded, 1)
    assert cache.load_into(KEY, out)
    np.testing.assert_array_equal(out, pixels)
    assert cache.has(KEY)


def test_special_values_come_back_bit_for_bit(cache: SiteCache) -> None:
    pixels = np.array([[[np.nan, -0.0, np.inf, 1e-45]]], dtype=np.float32)
    cache.store(KEY, pixels)
    loaded = cache.load(KEY)
    assert loaded is not None
    assert loaded.tobytes() == pixels.tobytes()


@pytest.mark.parametrize(
    "view",
    [np.s_[::-1, ::2, 1:], np.s_[:, ::-1], np.s_[1:2]],
)
def test_views_are_stored_by_value(cache: SiteCache, view: Any) -> None:
    pixels = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)
    for stored in (pixels[view], np.asfortranarray(pixels)):
        cache.store(KEY, stored)
        np.testing.assert_array_equal(cache.load(KEY), stored)


def test_entries_are_plain_numpy_files(cache: SiteCache) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 20, 30), dtype=np.uint8)
    cache.store(KEY, pixels)
    np.testing.assert_array_equal(np.load(cache.path(KEY)), pixels)
    mapped = np.load(cache.path(KEY), mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped[3, 5:9, 7:], pixels[3, 5:9, 7:])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_not_there_and_is_written_again(
    cache: SiteCache, data: st.DataObject
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 17, 19), dtype=np.uint8)
    cache.store(KEY, pixels)
    path = Path(cache.path(KEY))
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    piece = data.draw(
        st.sampled_from([b"", bytes(stop - start), b"\xff" * (stop - start), whole[start:stop] * 2])
    )
    damaged = data.draw(st.sampled_from([whole[:start] + piece + whole[stop:], whole[:start]]))
    assume(damaged != whole)
    path.write_bytes(damaged)

    assert cache.load(KEY) is None
    assert not cache.load_into(KEY, np.empty_like(pixels))

    cache.store(KEY, pixels)
    np.testing.assert_array_equal(cache.load(KEY), pixels)


def test_every_single_flipped_bit_is_seen(cache: SiteCache) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 5, 5), dtype=np.uint8)
    cache.store(KEY, pixels)
    path = Path(cache.path(KEY))
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert cache.load(KEY) is None, place
        assert not cache.load_into(KEY, np.empty_like(pixels)), place


def test_a_file_of_another_length_or_shape_is_seen(cache: SiteCache) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 17, 19), dtype=np.uint8)
    cache.store(KEY, pixels)
    path = Path(cache.path(KEY))
    whole = path.read_bytes()
    turned = whole.replace(b"(3, 17, 19)", b"(3, 19, 17)")
    assert turned != whole
    for damaged, shape in [(whole + b"x", (3, 17, 19)), (turned, (3, 19, 17))]:
        path.write_bytes(damaged)
        assert cache.load(KEY) is None
        assert not cache.load_into(KEY, np.empty(shape, dtype=np.uint8))


def test_foreign_files_are_not_there(cache: SiteCache) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    cache.store(OTHER, pixels)
    path = Path(cache.path(KEY))
    path.parent.mkdir(parents=True)

    def absent() -> bool:
        return cache.load(KEY) is None and not cache.load_into(KEY, np.empty_like(pixels))

    np.save(path, pixels)
    assert absent()
    assert not cache.has(KEY)
    np.save(path, np.array([None, "x"] * 4), allow_pickle=True)
    assert absent()
    for header in (b"'descr': '|O', ", b"'descr': '<M8[s]', ", b"'descr': '<u3', "):
        text = b"{" + header + b"'fortran_order': False, 'shape': (2,), }"
        content = b"\x93NUMPY\x01\x00v\x00" + text.ljust(117) + b"\n" + bytes(32)
        path.write_bytes(content)
        assert absent()
    many_axes = b"{'descr':'|u1', 'descr': '|u1',  'shape': (%b)" % (b"1," * 25)
    path.write_bytes(b"\x93NUMPY\x01\x00v\x00" + many_axes.ljust(117) + b"\n" + bytes(17))
    assert absent()
    huge = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }"
    path.write_bytes((huge % 10**15).ljust(127) + b"\n")
    assert absent()
    shutil.copy(cache.path(OTHER), path)
    assert cache.has(KEY)
    assert absent()
    path.unlink()
    path.mkdir()
    assert absent()
