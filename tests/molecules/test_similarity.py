"""Tanimoto similarity against RDKit, one pair at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import DataStructs

from cloome_sk.molecules import (
    invalid_smiles,
    morgan_fingerprints,
    nearest_tanimoto,
    tanimoto_neighbors,
)


def fingerprints(n_molecules, n_bits, density, seed=0):
    """Bits of uneven frequency, with families of near copies, as fingerprints have."""
    generator = np.random.default_rng(seed)
    frequency = np.clip(generator.exponential(density, n_bits), 0, 0.9)
    bits = generator.random((n_molecules, n_bits)) < frequency
    copied = generator.integers(n_molecules, size=n_molecules // 2)
    flips = generator.random((len(copied), n_bits)) < density / 10
    flips[:5] = False
    bits[: len(copied)] = bits[copied] ^ flips
    return bits.astype(np.uint8)


def by_rdkit(query, reference):
    """All similarities, each by RDKit's own function."""
    left, right = (
        [DataStructs.CreateFromBitString("".join(map(str, row))) for row in bits]
        for bits in (query, reference)
    )
    return np.array([DataStructs.BulkTanimotoSimilarity(vector, right) for vector in left])


SIZES = [(150, 2048, 0.03), (150, 1024, 0.1), (90, 100, 0.3), (60, 13, 0.4), (40, 600, 0.6)]


@pytest.mark.parametrize(("n_molecules", "n_bits", "density"), SIZES)
@pytest.mark.parametrize("threshold", [0.1, 0.34, 0.5, 2 / 3, 0.7, 1.0])
@pytest.mark.parametrize("block_size", [1, 37, 1024])
def test_neighbors_equal_rdkit(n_molecules, n_bits, density, threshold, block_size):
    bits = fingerprints(n_molecules, n_bits, density)
    found = tanimoto_neighbors(bits, threshold, block_size=block_size)
    expected = by_rdkit(bits, bits)
    np.fill_diagonal(expected, 0)
    expected[expected < threshold] = 0
    assert expected.any()
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_sorted_indices
    assert found.dtype == np.float64


@pytest.mark.parametrize(("n_molecules", "n_bits", "density"), SIZES)
@pytest.mark.parametrize("block_size", [1, 37, 1024])
def test_nearest_equals_rdkit(n_molecules, n_bits, density, block_size):
    bits = fingerprints(n_molecules, n_bits, density)
    query, reference = bits[::3], np.delete(bits, slice(None, None, 3), axis=0)
    similarity, index = nearest_tanimoto(query, reference, block_size=block_size)
    expected = by_rdkit(query, reference)
    np.testing.assert_array_equal(similarity, expected.max(axis=1))
    np.testing.assert_array_equal(index, expected.argmax(axis=1))


def test_the_first_of_equally_similar_references_is_named():
    bits = np.eye(4, 300, dtype=np.uint8)
    reference = bits[[3, 0, 0, 1, 0]]
    similarity, index = nearest_tanimoto(bits[:3], reference, block_size=2)
    assert similarity.tolist() == [1, 1, 0]
    assert index.tolist() == [1, 3, 0]


def test_empty_fingerprints_resemble_nothing():
    bits = np.zeros((3, 70), dtype=np.uint8)
    bits[2, :5] = 1
    assert DataStructs.TanimotoSimilarity(*[DataStructs.ExplicitBitVect(70)] * 2) == 0
    assert tanimoto_neighbors(bits, 0.01).nnz == 0
    assert nearest_tanimoto(bits, bits[:2])[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "convert", [np.asarray, pd.DataFrame, np.ndarray.tolist, np.asfortranarray]
)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_any_matrix_of_bits(convert, dtype):
    bits = fingerprints(30, 64, 0.2)
    expected = tanimoto_neighbors(bits, 0.3).toarray()
    np.testing.assert_array_equal(
        tanimoto_neighbors(convert(bits.astype(dtype)), 0.3).toarray(), expected
    )


def test_no_molecule_and_one_molecule_have_no_neighbors():
    for n_molecules in (0, 1):
        found = tanimoto_neighbors(np.ones((n_molecules, 8), dtype=np.uint8), 0.5)
        assert found.shape == (n_molecules, n_molecules)
        assert found.nnz == 0
    similarity, index = nearest_tanimoto(np.ones((0, 8)), np.ones((2, 8)))
    assert len(similarity) == len(index) == 0


def test_progress_goes_to_the_end(capsys):
    bits = fingerprints(50, 64, 0.2)
    tanimoto_neighbors(bits, 0.5, block_size=20, verbose=1)
    nearest_tanimoto(bits, bits, block_size=20, verbose=1)
    shown = capsys.readouterr().err
    assert shown.count("100%") == 2
    tanimoto_neighbors(bits, 0.5)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (np.ones(8), r"shape \(8,\)"),
        (np.ones((2, 0)), r"shape \(2, 0\)"),
        (np.array([["a", "b"]]), "dtype <U1"),
        (np.array([[0, 1], [1, 2]]), "row 1, bit 1 is 2"),
        (np.array([[0, 1], [np.nan, 1]]), "row 1, bit 0 is nan"),
        (np.array([[0, -1]]), "row 0, bit 1 is -1"),
    ],
)
def test_other_matrices_are_refused(bits, message):
    with pytest.raises(ValueError, match=message):
        tanimoto_neighbors(bits, 0.5)
    with pytest.raises(ValueError, match="query"):
        nearest_tanimoto(bits, np.ones((1, 2)))


def test_a_wrong_value_far_down_is_named_by_its_row():
    bits = np.zeros((3000, 8), dtype=np.uint8)
    bits[2500, 3] = 7
    with pytest.raises(ValueError, match="row 2500, bit 3 is 7"):
        tanimoto_neighbors(bits, 0.5)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, np.nan, True, "0.5", None])
def test_thresholds_out_of_range_are_refused(threshold):
    with pytest.raises(ValueError, match="threshold must be"):
        tanimoto_neighbors(np.ones((2, 8)), threshold)


@pytest.mark.parametrize("block_size", [0, -1, 1.5, True, None])
def test_block_sizes_out_of_range_are_refused(block_size):
    with pytest.raises(ValueError, match="block_size must be"):
        tanimoto_neighbors(np.ones((2, 8)), 0.5, block_size=block_size)
    with pytest.raises(ValueError, match="block_size must be"):
        nearest_tanimoto(np.ones((2, 8)), np.ones((2, 8)), block_size=block_size)


def test_references_must_exist_and_have_the_same_length():
    with pytest.raises(ValueError, match="no reference"):
        nearest_tanimoto(np.ones((2, 8)), np.ones((0, 8)))
    with pytest.raises(ValueError, match=r"8 bits.*16"):
        nearest_tanimoto(np.ones((2, 8)), np.ones((2, 16)))


@pytest.mark.real_data
def test_real_compounds_equal_rdkit(data_home):
    table = pd.read_parquet(data_home / "labels" / "jump_phenotypic_activity_115k.parquet")
    smiles = table["smiles"].iloc[:1500]
    smiles = smiles.drop(smiles.index[list(invalid_smiles(smiles))])
    bits = morgan_fingerprints(smiles, radius=2, n_bits=2048, use_chirality=False)
    expected = by_rdkit(bits, bits)
    np.fill_diagonal(expected, 0)
    similarity, index = nearest_tanimoto(bits[:500], bits[500:])
    np.testing.assert_array_equal(similarity, expected[:500, 500:].max(axis=1))
    np.testing.assert_array_equal(index, expected[:500, 500:].argmax(axis=1))
    expected[expected < 0.35] = 0
    np.testing.assert_array_equal(tanimoto_neighbors(bits, 0.35).toarray(), expected)
