"""Images that cannot be read: left out of whatever is trained or validated, and reported."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_screen
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder

ENCODERS = {
    "images": lambda **given: ImageEncoder(on_error="skip", **given),
    "bags": lambda **given: BagEncoder(
        ImageEncoder(on_error="skip", **given), group_by=["plate", "well"]
    ),
}
each_encoder = pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Two plates of twelve molecules, a site a well."""
    folder = tmp_path_factory.mktemp("sites")
    table = make_screen(folder, n_compounds=12, n_plates=2, n_sites=1, size=32, random_state=0)
    return table[table["Metadata_control_type"].isna()].reset_index(drop=True)


def quick(encoder, **changes):
    chosen = {
        "molecule": MoleculeEncoder(hidden_sizes=(8,), n_bits=64),
        "n_components": 4,
        "batch_size": 16,
        "max_epochs": 2,
        "random_state": 0,
        "device": "cpu",
    }
    return CloomeEmbedder(encoder, **{**chosen, **changes})


def broken(table, rows):
    """The table, in which images of some rows are not there."""
    table = table.copy()
    for name in table.columns[table.columns.str.startswith("Image_")]:
        table.loc[table.index[rows], name] = "nowhere.tif"
    return table


def fitted(embedder, table):
    """Fit, and give the texts of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        embedder.fit(table)
    return [str(each.message) for each in caught if "cannot be read" in str(each.message)]


def assert_same_training(one, other):
    # Molecules that stand in another order are added up in another order.
    np.testing.assert_allclose(one.history_, other.history_, rtol=1e-4)


@each_encoder
@pytest.mark.parametrize("cache", ["memory", None])
def test_a_warm_start_leaves_them_out_as_a_fresh_fit_does(sites, encoder, cache):
    lost = np.arange(0, 24, 3)
    table = broken(sites, lost)
    fresh = quick(encoder(cache=cache))
    said = fitted(fresh, table)
    warm = quick(encoder(cache=cache), warm_start=True).fit(sites)
    assert fitted(warm, table) == said
    assert len(said) == 1
    assert "8 of 24 row(s) cannot be read and are left out of training: row 0:" in said[0]
    np.testing.assert_array_equal(warm.skipped_rows_, lost)
    np.testing.assert_array_equal(fresh.skipped_rows_, lost)
    assert warm.n_pairs_ == fresh.n_pairs_ == 16
    # What is trained on is what a table without these rows has.
    other = quick(encoder(cache=cache), warm_start=True).fit(sites)
    assert_same_training(warm, other.fit(sites.drop(index=lost)))


@each_encoder
def test_a_table_to_validate_with_is_read_without_them(sites, encoder):
    names = sites["Metadata_smiles"]
    held = names.isin(names.unique()[:5])
    training, table = sites[~held], sites[held].reset_index(drop=True)
    lost = np.array([0, 3, 4])
    embedder = quick(encoder(), validation=broken(table, lost))
    said = fitted(embedder, training)
    assert len(said) == 1
    assert "3 of 10 row(s) cannot be read and are left out of validation: row 0:" in said[0]
    assert len(embedder.skipped_rows_) == 0  # those are rows of X
    assert_same_training(
        embedder, quick(encoder(), validation=table.drop(index=lost)).fit(training)
    )


@each_encoder
def test_rows_that_would_have_been_held_out_are_among_the_skipped(sites, encoder):
    table = sites.set_axis(np.arange(100, 124))
    lost = np.arange(0, 24, 3)
    embedder = quick(encoder(), validation=0.4)
    said = fitted(embedder, broken(table, lost))
    assert [text.partition("left out of ")[2].partition(":")[0] for text in said] == [
        "training",
        "validation",
    ]
    # Each row is named once, by where it stands in X.
    named = {row for row in range(24) for text in said if f"row {row} (index {100 + row})" in text}
    assert named == set(lost)
    np.testing.assert_array_equal(embedder.skipped_rows_, lost)


def test_what_remains_must_do_to_validate(sites):
    names = sites["Metadata_smiles"]
    held = names.isin(names.unique()[:2])
    table = broken(sites[held], np.flatnonzero(names[held] == names.unique()[0]))
    with (
        pytest.warns(UserWarning, match="left out of validation"),
        pytest.raises(
            ValueError, match=r"table of validation=: 2 of 4 row\(s\) can be read, with 1"
        ),
    ):
        quick(ENCODERS["images"](), validation=table).fit(sites[~held])
