"""Maps between profiles and fingerprints: against naive loops and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import subspace_angles
from sklearn.base import clone
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from cloome_sk import CrossModalRetriever
from cloome_sk.baselines import (
    CCAEmbedder,
    CompoundLDAEmbedder,
    MorganFeatures,
    PlatePosition,
    ProfileEmbedder,
    ProfileFeatures,
    RidgeEmbedder,
    TanimotoKernelEmbedder,
    crossmodal,
)
from cloome_sk.baselines.tanimoto import tanimoto
from cloome_sk.molecules import molecule_key, morgan_fingerprints

CROSS = [
    RidgeEmbedder(),
    RidgeEmbedder("fingerprint"),
    CCAEmbedder(n_components=4),
    TanimotoKernelEmbedder(),
]
ALL = [*CROSS, CompoundLDAEmbedder()]


def treated(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["Metadata_control_type"].isna()].reset_index(drop=True)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def pairs(X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Mean profile, fingerprint and SMILES of each molecule, by a plain loop."""
    profiles = ProfileFeatures().fit(X).transform(X).astype(np.float64)
    keys = molecule_key(X["Metadata_smiles"])
    means, smiles = [], []
    for key in dict.fromkeys(keys):
        rows = np.flatnonzero(keys == key)
        means.append(profiles[rows].mean(axis=0))
        smiles.append(X["Metadata_smiles"].iloc[rows[0]])
    return np.array(means), morgan_fingerprints(smiles).astype(float), smiles


@pytest.mark.parametrize("embedder", ALL)
def test_the_contract_of_an_embedder(embedder, tiny):
    first = clone(embedder).fit(tiny)
    phenotypes = first.embed_phenotypes(tiny)
    molecules = first.embed_molecules(tiny["Metadata_smiles"].iloc[:5])
    assert phenotypes.dtype == molecules.dtype == np.float32
    assert phenotypes.shape == (len(tiny), first.n_components_)
    np.testing.assert_allclose(np.linalg.norm(phenotypes, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(first.embed_molecules(tiny.iloc[:5]), molecules)
    np.testing.assert_array_equal(first.transform(tiny), phenotypes)
    np.testing.assert_array_equal(clone(embedder).fit(tiny).transform(tiny), phenotypes)
    # controls are not learned from
    np.testing.assert_allclose(
        clone(embedder).fit(treated(tiny)).embed_phenotypes(tiny), phenotypes, atol=1e-6
    )
    keys = np.unique(molecule_key(treated(tiny)["Metadata_smiles"]))
    assert first.molecules_seen_.tolist() == keys.tolist()


@pytest.mark.parametrize("embedder", CROSS)
def test_the_retriever_takes_them(embedder, tiny):
    X = treated(tiny)
    retriever = CrossModalRetriever(clone(embedder).fit(X), query="molecule").fit(X)
    distances, rows = retriever.kneighbors(["CCO"], n_neighbors=3)
    assert distances.shape == rows.shape == (1, 3)


def test_the_kernel_average_equals_a_naive_loop(tiny):
    X = treated(tiny)
    means, bits, _ = pairs(X)
    centred = means - means.mean(axis=0)

    def similarity(a, b):
        either = np.maximum(a, b).sum()
        return (a * b).sum() / either if either else 0.0

    def average(fingerprint, skip=None):
        weights = [
            0.0 if i == skip else similarity(fingerprint, other) ** 3
            for i, other in enumerate(bits)
        ]
        return np.average(centred, axis=0, weights=weights)

    middle = np.mean([average(bits[i], skip=i) for i in range(len(bits))], axis=0)
    queries = ["CCOc1ccccc1", "CCN(CC)CC"]
    wanted = [average(row) - middle for row in morgan_fingerprints(queries).astype(float)]
    embedder = TanimotoKernelEmbedder(power=3).fit(X)
    np.testing.assert_allclose(embedder.embed_molecules(queries), unit(np.array(wanted)), atol=1e-5)


@pytest.mark.parametrize("target", ["profile", "fingerprint"])
def test_ridge_equals_scikit_learn_s(target, tiny):
    X = treated(tiny)
    means, bits, smiles = pairs(X)
    given, wanted = (bits, means) if target == "profile" else (means, bits)
    ridge = Ridge(alpha=100.0).fit(given, wanted)
    embedder = RidgeEmbedder(target, alphas=[100.0]).fit(X)
    centred = ridge.predict(given) - wanted.mean(axis=0)
    if target == "profile":
        found = embedder.embed_molecules(smiles)
    else:
        profiles = ProfileFeatures().fit(X).transform(X)
        centred = ridge.predict(profiles) - wanted.mean(axis=0)
        found = embedder.embed_phenotypes(X)
    np.testing.assert_allclose(found, unit(centred), atol=1e-4)


def test_canonical_correlations_are_the_cosines_between_the_two_subspaces(strong):
    X = treated(strong)
    means, bits, _ = pairs(X)
    pca = PCA(5, svd_solver="full")
    left, right = pca.fit_transform(means), pca.fit_transform(bits)
    expected = np.sort(np.cos(subspace_angles(left, right)))[::-1][:3]
    found = CCAEmbedder(3, n_pca=5, regularization=0.0).fit(X)
    np.testing.assert_allclose(found.correlations_, expected, atol=1e-5)
    # scikit-learn's iterations find the first of them
    u, v = CCA(n_components=1, max_iter=5000, tol=1e-12).fit_transform(left, right)
    assert np.corrcoef(u[:, 0], v[:, 0])[0, 1] == pytest.approx(expected[0], abs=1e-3)


def test_lda_finds_the_axes_of_scikit_learn(strong):
    X = treated(strong)
    keys = molecule_key(X["Metadata_smiles"])
    profiles = ProfileFeatures().fit(X).transform(X).astype(np.float64)
    # every molecule has four wells here, so weighing molecules and wells is the same
    assert set(pd.Series(keys).value_counts()) == {4}
    plain = LinearDiscriminantAnalysis(solver="eigen", n_components=5).fit(profiles, keys)
    embedder = CompoundLDAEmbedder(5, regularization=1e-9).fit(X)
    a, _ = np.linalg.qr(plain.scalings_[:, :5])
    b, _ = np.linalg.qr(embedder.axes_)
    np.testing.assert_allclose(np.linalg.svd(a.T @ b)[1], 1, atol=1e-4)


def test_lda_knows_training_molecules_only(strong):
    X = treated(strong)
    keys = molecule_key(X["Metadata_smiles"])
    seen = keys != keys[0]
    embedder = CompoundLDAEmbedder().fit(X[seen])
    found = embedder.embed_molecules(X["Metadata_smiles"])
    assert np.isnan(found[~seen]).all()
    assert np.isfinite(found[seen]).all()
    # a molecule is nearest to its own wells
    nearest = np.argmax(found[seen] @ embedder.embed_phenotypes(X[seen]).T, axis=1)
    assert (keys[seen][nearest] == keys[seen]).mean() > 0.95


def test_the_profile_itself_and_other_features_of_a_well(tiny):
    X = treated(tiny)
    profiles = ProfileFeatures().fit_transform(X)
    expected = unit(profiles - profiles.mean(axis=0))
    np.testing.assert_allclose(ProfileEmbedder().fit_transform(X), expected, atol=1e-5)
    place = ProfileEmbedder(phenotype=PlatePosition(parts=("row", "column"))).fit(tiny)
    Z = place.embed_phenotypes(X)
    same = X["Metadata_Well"].to_numpy() == X["Metadata_Well"].to_numpy()[0]
    assert (Z @ Z[0] > 0.999).tolist() == same.tolist()
    assert not hasattr(place, "embed_molecules")


def test_a_molecule_that_shares_no_bit_gets_the_mean_profile(tiny):
    long = MorganFeatures(n_bits=1 << 16)  # so that no two environments share a bit by accident
    embedder = TanimotoKernelEmbedder(molecule=long).fit(tiny)
    found = embedder.embed_molecules(["[Xe]"])
    np.testing.assert_allclose(found, unit(-embedder.prediction_mean_[None]), atol=1e-5)


def test_bad_input_is_named(tiny):
    one = tiny[tiny["Metadata_smiles"] == treated(tiny)["Metadata_smiles"].iloc[0]]
    for embedder in ALL:
        with pytest.raises(ValueError, match="rows are of one molecule"):
            clone(embedder).fit(one)
        with pytest.raises(ValueError, match=r"0 row\(s\) remain"):
            clone(embedder).fit(tiny[tiny["Metadata_control_type"].notna()])
        with pytest.raises(ValueError, match="row 1 cannot be parsed: 'nonsense'"):
            clone(embedder).fit(tiny).embed_molecules(["CCO", "nonsense"])
        with pytest.raises(ValueError, match="no column 'smiles'"):
            clone(embedder).fit(tiny.drop(columns="Metadata_smiles"))
    alone = treated(tiny).drop_duplicates("Metadata_smiles")
    with pytest.raises(ValueError, match="each of 24 training rows is of another molecule"):
        CompoundLDAEmbedder().fit(alone)
    broken = tiny.copy()
    broken.loc[3, broken.columns[-1]] = np.nan
    with pytest.raises(ValueError, match=r"row .*3.*MeanRadius': NaN"):
        RidgeEmbedder().fit_transform(broken)
    counts = make_pipeline(MorganFeatures(), FunctionTransformer(lambda bits: bits * 2.5))
    with pytest.raises(ValueError, match="not binary"):
        TanimotoKernelEmbedder(molecule=counts).fit(tiny)


def test_the_kernel_holds_few_similarities_at_a_time(tiny, monkeypatch):
    whole = TanimotoKernelEmbedder().fit(tiny)
    smiles = [*tiny["Metadata_smiles"].dropna().unique(), "CCO"]
    expected = whole.embed_molecules(smiles)
    sizes = []

    def recorded(left, right):
        sizes.append(len(left))
        return tanimoto(left, right)

    monkeypatch.setattr(crossmodal, "BLOCK", 5)
    monkeypatch.setattr(crossmodal, "tanimoto", recorded)
    blocked = TanimotoKernelEmbedder().fit(tiny)
    np.testing.assert_allclose(blocked.prediction_mean_, whole.prediction_mean_, atol=1e-12)
    np.testing.assert_allclose(blocked.embed_molecules(smiles), expected, atol=1e-6)
    assert max(sizes) == 5
