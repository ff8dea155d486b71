"""Classification baselines: against naive loops and scikit-learn, and on planted signals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from scipy.stats import gmean
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from cloome_sk.baselines import (
    LateFusionClassifier,
    MorganFeatures,
    ProfileFeatures,
    TanimotoNeighborsClassifier,
    cell_count_classifier,
    chance_classifier,
    concatenation_classifier,
    default_controls,
    late_fusion_classifier,
    linear_probe,
    morgan_classifier,
    physchem_classifier,
    position_classifier,
    profile_classifier,
)
from cloome_sk.baselines.tanimoto import tanimoto
from cloome_sk.molecules import molecule_key, morgan_fingerprints

MADE = [
    chance_classifier,
    cell_count_classifier,
    position_classifier,
    physchem_classifier,
    morgan_classifier,
    profile_classifier,
    concatenation_classifier,
    late_fusion_classifier,
    TanimotoNeighborsClassifier,
]


def treated(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["Metadata_control_type"].isna()].reset_index(drop=True)


@pytest.mark.parametrize("make", MADE)
def test_each_is_cross_validated_like_any_classifier(make, tiny):
    X = treated(tiny)
    y = X["Metadata_moa"]
    keys = molecule_key(X["Metadata_smiles"])
    scores = cross_val_score(clone(make()), X, y, groups=keys, cv=GroupKFold(2))
    assert np.isfinite(scores).all()
    fitted = clone(make()).fit(X, y)
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (len(X), y.nunique())
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert fitted.classes_.tolist() == sorted(y.unique())
    assert (fitted.predict(X) == fitted.classes_[probabilities.argmax(axis=1)]).all()


def test_tanimoto_is_rdkit_s():
    smiles = ["CCO", "CCCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O"]
    bits = morgan_fingerprints(smiles)
    generator = rdFingerprintGenerator.GetMorganGenerator(3, fpSize=1024, includeChirality=True)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    expected = [DataStructs.BulkTanimotoSimilarity(one, prints) for one in prints]
    np.testing.assert_allclose(tanimoto(bits, bits), expected)
    assert tanimoto(np.zeros((1, 4)), np.zeros((1, 4))) == 0


def test_tanimoto_neighbours_equal_a_naive_loop(tiny):
    X = treated(tiny)
    train, test = X.iloc[::2], X.iloc[1::2]
    found = TanimotoNeighborsClassifier(n_neighbors=3, smoothing=0.2)
    found.fit(train, train["Metadata_moa"])
    molecules = {}
    for text, key, moa in zip(
        train["Metadata_smiles"],
        molecule_key(train["Metadata_smiles"]),
        train["Metadata_moa"],
        strict=True,
    ):
        molecules.setdefault(key, (text, []))[1].append(moa)
    classes = sorted(train["Metadata_moa"].unique())
    shares = {
        key: np.array([moas.count(name) / len(moas) for name in classes])
        for key, (_, moas) in molecules.items()
    }
    prior = np.mean(list(shares.values()), axis=0)
    for text, probabilities in zip(test["Metadata_smiles"], found.predict_proba(test), strict=True):
        bits = morgan_fingerprints([text])[0].astype(bool)
        ranked = []
        for key, (other, _) in molecules.items():
            theirs = morgan_fingerprints([other])[0].astype(bool)
            ranked.append(((bits & theirs).sum() / (bits | theirs).sum(), key))
        best = sorted(ranked, key=lambda pair: -pair[0])[:3]
        total = sum(similarity for similarity, _ in best) + 0.2
        votes = sum(similarity * shares[key] for similarity, key in best) + 0.2 * prior
        np.testing.assert_allclose(probabilities, votes / total, atol=1e-9)


def test_nothing_similar_leaves_the_prior():
    model = TanimotoNeighborsClassifier().fit(["CCCC", "CCCCC", "CCCCCC"], ["a", "b", "b"])
    np.testing.assert_allclose(model.predict_proba(["[Xe]"]), [[1 / 3, 2 / 3]])


def test_late_fusion_is_the_normalised_geometric_mean():
    generator = np.random.default_rng(0)
    X = generator.normal(size=(90, 4))
    y = np.array(["a", "b", "c"])[X[:, :3].argmax(axis=1)]
    members = [("lr", LogisticRegression()), ("nb", GaussianNB())]
    fused = LateFusionClassifier(members, weights=[2, 1]).fit(X, y)
    each = [clone(member).fit(X, y).predict_proba(X) for _, member in members]
    expected = gmean(np.clip(each, 1e-6, None), axis=0, weights=np.array([2.0, 1.0])[:, None, None])
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fused.predict_proba(X), expected)
    # a single member is that member
    alone = LateFusionClassifier(members[:1]).fit(X, y)
    np.testing.assert_allclose(alone.predict_proba(X), each[0], atol=1e-6)
    # and it is not the arithmetic mean of scikit-learn's voting
    voted = VotingClassifier(members, voting="soft", weights=[2, 1]).fit(X, y).predict_proba(X)
    assert abs(voted - expected).max() > 0.01


def test_late_fusion_has_nested_parameters_and_clear_errors():
    fused = LateFusionClassifier([("lr", LogisticRegression()), ("nb", GaussianNB())])
    assert clone(fused).set_params(lr__C=3.0).get_params()["lr__C"] == 3.0
    X, y = [[0.0], [1.0]], ["a", "b"]
    with pytest.raises(ValueError, match="empty"):
        LateFusionClassifier([]).fit(X, y)
    with pytest.raises(ValueError, match="2 numbers"):
        clone(fused).set_params(weights=[1, -1]).fit(X, y)
    with pytest.raises(ValueError, match="not unique"):
        LateFusionClassifier([("a", GaussianNB()), ("a", GaussianNB())]).fit(X, y)
    with pytest.raises(TypeError, match=r"'svm' \(LinearSVC\) has no predict_proba"):
        LateFusionClassifier([("svm", LinearSVC())]).fit(X, y)


def test_the_probe_is_logistic_regression_on_standardised_features(strong):
    X = treated(strong)
    y = X["Metadata_moa"]
    Z = ProfileFeatures().fit_transform(X).astype(np.float64)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    plain = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000).fit(Z, y)
    found = linear_probe(ProfileFeatures()).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(found, plain.predict_proba(Z), atol=1e-3)
    assert [name for name, _ in linear_probe(MorganFeatures(), scale=False).steps] == [
        "morganfeatures",
        "logisticregression",
    ]


def test_default_controls_say_what_they_leave_out(tiny):
    without = tiny.drop(columns=["Metadata_Count_Cells", "Metadata_Well"])
    with pytest.warns(UserWarning, match="no column for it: cell count, plate and well position"):
        left = default_controls("classes", table=without)
    assert set(default_controls("classes", table=tiny)) - set(left) == {
        "cell count",
        "plate and well position",
    }


def test_default_controls_refuse_what_makes_no_sense(small):
    with pytest.raises(ValueError, match="task must be one of"):
        default_controls("everything")
    with pytest.raises(ValueError, match="within="):
        default_controls("classes", within="moa")
    assert "molecules shuffled within class" in default_controls(
        "unseen_molecules", embedder=small(), within="moa"
    )
