"""The published preprocessing, against the authors' code and this package's own rooms."""

from __future__ import annotations

import dataclasses

import pytest

from cloome_sk.checkpoints import PUBLISHED
from cloome_sk.imaging import SCALINGS, Channels


def test_the_order_of_the_authors_channels():
    authors = Channels(["Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst"])
    assert PUBLISHED.channels == authors.names


def test_the_authors_constants():
    assert PUBLISHED.mean == (47.1314, 40.8138, 53.7692, 46.2656, 28.7243)
    assert PUBLISHED.std == PUBLISHED.mean  # not standard deviations, and needed all the same
    assert PUBLISHED.crop == (520, 696)
    assert PUBLISHED.scaling in SCALINGS


def test_nobody_changes_them():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PUBLISHED.std = (1.0,) * 5
