"""The whole way on two public screens: normalise, train, compose, search, name classes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import FeatureUnion, make_pipeline

from cloome_sk import CloomeEmbedder, CrossModalRetriever, ZeroShotMoAClassifier
from cloome_sk.datasets import load_cell_injury, load_cpjump1
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.metrics import retrieval_metrics
from cloome_sk.molecules import molecule_key
from cloome_sk.preprocessing import ControlNormalizer

pytestmark = pytest.mark.real_data

PROFILES = make_column_selector("^(?:Cells|Cytoplasm|Nuclei)_")
NEGATIVE = {"cell-injury": "Negative", "cpjump1": "negcon"}
LABEL = {"cell-injury": "Metadata_injury_type", "cpjump1": "Metadata_moa_list"}


@dataclass(frozen=True)
class Screen:
    """A public table: as delivered, normalised, and without its controls."""

    name: str
    raw: pd.DataFrame
    whole: pd.DataFrame
    is_control: np.ndarray
    treated: pd.DataFrame
    molecules: np.ndarray

    @property
    def label(self):
        return LABEL[self.name]

    def labelled(self):
        """Treated wells of the classes that at least three molecules have."""
        table = self.treated.assign(key=self.molecules).dropna(subset=self.label)
        large = table.groupby(self.label)["key"].transform("nunique") >= 3
        return table[large].drop(columns="key").reset_index(drop=True)


@pytest.fixture(scope="module", params=["cell-injury", "cpjump1"])
def real(request, data_home):
    if request.param == "cell-injury":
        with pytest.warns(UserWarning, match="2 well"):
            raw = load_cell_injury(data_home)
    else:
        raw = load_cpjump1(data_home)
    is_control = raw["Metadata_control_type"].isin([NEGATIVE[request.param]]).to_numpy()
    whole = ControlNormalizer().fit_transform(raw)
    treated = whole[~is_control].reset_index(drop=True)
    keys = molecule_key(treated["Metadata_smiles"])
    return Screen(request.param, raw, whole, is_control, treated, keys)


def quick(**params):
    """A second to fit on either table."""
    defaults = {
        "phenotype": ProfileEncoder(hidden_sizes=(32,)),
        "molecule": MoleculeEncoder(hidden_sizes=(32,), n_bits=512),
        "n_components": 16,
        "max_epochs": 2,
        "device": "cpu",
        "random_state": 0,
    }
    return CloomeEmbedder(**(defaults | params))


def classify():
    return LogisticRegression(max_iter=1000)


@pytest.fixture(scope="module")
def on_plates(real):
    """An embedder with its training rows, and the rows of plates it has not seen."""
    splitter = GroupShuffleSplit(1, test_size=0.25, random_state=0)
    train, test = next(splitter.split(real.treated, groups=real.treated["Metadata_Plate"]))
    embedder = quick(
        phenotype=ProfileEncoder(hidden_sizes=(128,)),
        molecule=MoleculeEncoder(hidden_sizes=(128,), input_dropout=0.2),
        n_components=64,
        max_epochs=20,
    ).fit(real.treated.iloc[train])
    return embedder, train, test[np.isin(real.molecules[test], embedder.molecules_seen_)]


@pytest.fixture
def trainings(monkeypatch):
    """Number of pairs of each training that happens."""
    import cloome_sk.training

    done = []
    original = cloome_sk.training.train_pairs

    def counting(phenotype, molecule, pairs, *others):
        done.append(len(pairs))
        return original(phenotype, molecule, pairs, *others)

    monkeypatch.setattr(cloome_sk.training, "train_pairs", counting)
    return done


# ---------------------------------------------------------------- normalising


def test_normalising_before_splitting_reads_control_wells_only(real):
    controls = real.raw[real.is_control]
    normalizer = ControlNormalizer().fit(controls)
    pd.testing.assert_frame_equal(normalizer.transform(real.raw), real.whole)
    garbled = real.raw.copy()
    features = PROFILES(garbled)
    garbled.loc[~real.is_control, features] = 7.0
    again = ControlNormalizer().fit_transform(garbled)
    pd.testing.assert_frame_equal(again[real.is_control], real.whole[real.is_control])


def test_normalised_controls_of_a_plate_are_centred(real):
    """Without sphering the median of the controls of each plate is zero, whatever it was."""
    features = PROFILES(real.raw)
    normalised = ControlNormalizer(sphering=False).fit_transform(real.raw)[real.is_control]
    medians = normalised.groupby("Metadata_Plate")[features].median().to_numpy()
    assert np.abs(medians).max() < 1e-4
    assert np.abs(normalised[features].to_numpy()).max() <= np.log1p(10) * (1 + 1e-6)


def test_normalising_inside_a_fold_says_why_it_cannot(real):
    keys = molecule_key(real.raw["Metadata_smiles"])
    dmso = keys[real.is_control][0]
    without = real.raw[keys != dmso]
    with pytest.raises(ValueError, match=r"no negative control found.*normalise before splitting"):
        ControlNormalizer().fit(without)


# ----------------------------------------------------------------- composing


@pytest.mark.slow
def test_cross_val_score_equals_folds_written_out(real):
    table = real.labelled()
    y, groups = table[real.label], molecule_key(table["Metadata_smiles"])
    pipeline = make_pipeline(quick(), classify())
    scores = cross_val_score(pipeline, table, y, groups=groups, cv=GroupKFold(3))
    expected = []
    for train, test in GroupKFold(3).split(table, groups=groups):
        embedder = quick().fit(table.iloc[train])
        model = classify().fit(embedder.embed_phenotypes(table.iloc[train]), y.iloc[train])
        predicted = model.predict(embedder.embed_phenotypes(table.iloc[test]))
        expected.append(accuracy_score(y.iloc[test], predicted))
    np.testing.assert_array_equal(scores, expected)


def test_no_fold_is_scored_by_an_embedder_that_saw_its_molecules(real):
    table = real.labelled()
    groups = molecule_key(table["Metadata_smiles"])
    folds = cross_validate(
        make_pipeline(quick(max_epochs=1), classify()),
        table,
        table[real.label],
        groups=groups,
        cv=GroupKFold(3),
        return_estimator=True,
        return_indices=True,
    )
    for fold, test in zip(folds["estimator"], folds["indices"]["test"], strict=True):
        seen = set(fold.named_steps["cloomeembedder"].molecules_seen_)
        assert seen == set(groups) - set(groups[test])


@pytest.mark.slow
def test_grid_search_over_the_objective_trains_each_once(real, trainings, tmp_path):
    table = real.labelled()
    groups = molecule_key(table["Metadata_smiles"])
    search = GridSearchCV(
        make_pipeline(quick(), classify(), memory=str(tmp_path)),
        {
            "cloomeembedder__objective": ["infonce", "infoloob"],
            "logisticregression__C": [0.1, 1.0, 10.0],
        },
        cv=GroupKFold(2),
        error_score="raise",
    )
    search.fit(table, table[real.label], groups=groups)
    # Two objectives in two folds and the refit, not once for each of three C.
    assert len(trainings) == 5
    assert sum(trainings) == 2 * len(table) + len(table)
    objectives = search.cv_results_["param_cloomeembedder__objective"]
    scores = search.cv_results_["mean_test_score"]
    assert (scores[objectives == "infonce"] != scores[objectives == "infoloob"]).any()
    best = search.best_estimator_.named_steps["cloomeembedder"]
    assert best.objective == search.best_params_["cloomeembedder__objective"]


def test_a_pipeline_with_memory_gives_what_one_without_gives(real, trainings, tmp_path):
    table = real.labelled()
    y, groups = table[real.label], molecule_key(table["Metadata_smiles"])
    kept = make_pipeline(quick(), classify(), memory=str(tmp_path))
    plain = make_pipeline(quick(), classify())
    first, again, without = (
        cross_val_score(p, table, y, groups=groups, cv=GroupKFold(2)) for p in (kept, kept, plain)
    )
    assert len(trainings) == 2 + 0 + 2
    np.testing.assert_array_equal(first, without)
    np.testing.assert_array_equal(again, without)


def test_a_frozen_embedder_is_never_trained(real, trainings):
    table = real.labelled()
    y, groups = table[real.label], molecule_key(table["Metadata_smiles"])
    embedder = quick().fit(real.treated)
    del trainings[:]
    pipeline = make_pipeline(FrozenEstimator(embedder), classify())
    scores = cross_val_score(pipeline, table, y, groups=groups, cv=GroupKFold(3))
    assert trainings == []
    Z = embedder.transform(table)
    expected = cross_val_score(classify(), Z, y, groups=groups, cv=GroupKFold(3))
    np.testing.assert_allclose(scores, expected)


@pytest.mark.slow
def test_union_of_cloome_and_cellprofiler_features(real):
    table = real.labelled()
    y, groups = table[real.label], molecule_key(table["Metadata_smiles"])
    union = FeatureUnion(
        [
            ("cloome", quick()),
            ("cellprofiler", ColumnTransformer([("features", "passthrough", PROFILES)])),
        ]
    )
    scores = cross_val_score(
        make_pipeline(union, LogisticRegression(C=1e-3, max_iter=1000)),
        table,
        y,
        groups=groups,
        cv=GroupKFold(2),
        error_score="raise",
    )
    assert scores.mean() > 1 / y.nunique()
    both = clone(union).fit_transform(table)
    alone = quick().fit(table).transform(table)
    np.testing.assert_array_equal(both[:, :16], alone)
    np.testing.assert_array_equal(both[:, 16:], table[PROFILES(table)].to_numpy())


def test_pandas_output_keeps_index_and_names_columns(real):
    table = real.treated.iloc[::3]
    labels = pd.Index(table["Metadata_Plate"] + "/" + table["Metadata_Well"])
    embedder = quick(output="both").set_output(transform="pandas").fit(table.set_axis(labels))
    out = embedder.transform(table.set_axis(labels))
    assert out.index.equals(labels)
    assert out.columns.tolist() == [f"cloomeembedder{i}" for i in range(32)]
    np.testing.assert_array_equal(out.to_numpy()[:, :16], embedder.embed_phenotypes(table))
    np.testing.assert_array_equal(out.to_numpy()[:, 16:], embedder.embed_molecules(table))


@pytest.mark.slow
def test_clone_refit_and_reload_agree_to_the_bit(real, tmp_path):
    embedder = quick().fit(real.whole)
    expected = embedder.transform(real.whole)
    copied = clone(embedder)
    assert not hasattr(copied, "state_")
    refitted = clone(embedder).fit(real.whole)
    for name, weights in embedder.state_.items():
        np.testing.assert_array_equal(refitted.state_[name], weights)
    np.testing.assert_array_equal(refitted.transform(real.whole), expected)
    np.testing.assert_array_equal(embedder.fit(real.whole).transform(real.whole), expected)
    joblib.dump(embedder, tmp_path / "embedder.joblib")
    loaded = joblib.load(tmp_path / "embedder.joblib")
    np.testing.assert_array_equal(loaded.transform(real.whole), expected)
    np.testing.assert_array_equal(
        loaded.embed_molecules(real.treated), embedder.embed_molecules(real.treated)
    )


@pytest.mark.filterwarnings("always::UserWarning")
def test_an_embedder_in_mapped_memory_works_in_silence(real, tmp_path, recwarn):
    """What joblib does to arrays above 1 MB with ``n_jobs=2``: workers get them read-only."""
    embedder = quick(max_epochs=1).fit(real.treated)
    joblib.dump(embedder, tmp_path / "embedder.joblib")
    mapped = joblib.load(tmp_path / "embedder.joblib", mmap_mode="r")
    assert not mapped.state_["phenotype.layers.1.weight"].flags.writeable
    torch.set_warn_always(True)  # else torch warns once a process, perhaps in another test
    try:
        embedded = mapped.transform(real.whole)
    finally:
        torch.set_warn_always(False)
    np.testing.assert_array_equal(embedded, embedder.transform(real.whole))
    assert [str(warning.message)[:60] for warning in recwarn] == []


# ------------------------------------------------------------ as delivered


def test_what_was_left_out_is_remembered_through_normalising(real):
    """The loader lists dropped wells in `attrs`; a study may still want to say so."""
    if real.name == "cell-injury":
        assert len(real.raw.attrs["dropped_wells"]) == 2
    assert real.whole.attrs == real.raw.attrs


def test_outliers_as_delivered_train_without_nan(real):
    values = real.raw[PROFILES(real.raw)].to_numpy()
    if real.name == "cpjump1":
        assert values.max() > 500  # else this shows nothing
        assert values.min() < -300
    embedder = quick(phenotype=ProfileEncoder(hidden_sizes=(32,), scaling=None)).fit(real.raw)
    assert np.isfinite(embedder.history_.to_numpy()).all()
    embedded = embedder.transform(real.raw)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    unclipped = quick(phenotype=ProfileEncoder(hidden_sizes=(32,), clip=None)).fit(real.raw)
    assert np.isfinite(unclipped.transform(real.raw)).all()


def test_wells_without_any_feature_are_named(data_home):
    table = load_cell_injury(data_home, missing="keep")
    features = PROFILES(table)
    empty = np.flatnonzero(table[features].isna().all(axis=1))
    assert len(empty) == 2
    with pytest.raises(ValueError, match=f"2 row.*row {empty[0]}, column '{features[0]}': NaN"):
        quick().fit(table)
    sound = table.drop(index=empty)
    embedder = quick(max_epochs=1).fit(sound)
    with pytest.raises(ValueError, match=f"row {empty[0]}, column '{features[0]}': NaN"):
        embedder.transform(table)
    with pytest.raises(ValueError, match=f"row {empty[0]} .*all {len(features)} features") as said:
        ControlNormalizer().fit_transform(table)
    for row in empty:
        plate, well = table.loc[row, ["Metadata_Plate", "Metadata_Well"]]
        assert f"plate {plate}, well {well}" in str(said.value)
    named = sound.set_index("Metadata_Well", drop=False).rename_axis(None)
    named.iloc[5, named.columns.get_loc(features[3])] = np.inf
    with pytest.raises(
        ValueError, match=rf"row 5 \(index '{named.index[5]}'\), column '{features[3]}': inf"
    ):
        embedder.transform(named)


# -------------------------------------------------------- searching and naming


@pytest.mark.slow
def test_seen_molecules_are_found_on_unseen_plates(real, on_plates):
    embedder, _, test = on_plates
    wells, keys = real.treated.iloc[test], real.molecules[test]
    distinct, first = np.unique(keys, return_index=True)
    phenotypes, structures = (
        embedder.embed_phenotypes(wells),
        embedder.embed_molecules(wells.iloc[first]),
    )
    for query, database, query_ids, database_ids in [
        (phenotypes, structures, keys, distinct),
        (structures, phenotypes, distinct, keys),
    ]:
        found = retrieval_metrics(
            query,
            database,
            query_ids=query_ids,
            database_ids=database_ids,
            interval="bootstrap",
            groups=query_ids,
            random_state=0,
        )
        assert found["chance@1"] < 0.02
        assert found["R@1_low"] > 5 * found["chance@1"]
        assert found["R@10_low"] > 2 * found["chance@10"]
        assert found["relative_rank"] < 0.35


def test_an_untrained_embedder_finds_nothing(real, on_plates):
    """The same figures without training: what is found above is learned."""
    _, train, test = on_plates
    blank = quick(lr=1e-12, max_epochs=1).fit(real.treated.iloc[train])
    keys = real.molecules[test]
    distinct, first = np.unique(keys, return_index=True)
    found = retrieval_metrics(
        blank.embed_phenotypes(real.treated.iloc[test]),
        blank.embed_molecules(real.treated.iloc[test[first]]),
        query_ids=keys,
        database_ids=distinct,
        interval="bootstrap",
        groups=keys,
        random_state=0,
    )
    assert found["R@1_low"] <= found["chance@1"] + 0.01
    assert found["R@1"] < 0.06


def test_kneighbors_equals_nearest_neighbors(real, on_plates):
    embedder, _, test = on_plates
    wells = real.treated.iloc[test]
    structures = real.treated["Metadata_smiles"].unique()[:60]
    retriever = CrossModalRetriever(embedder, n_neighbors=7).fit(wells)
    distances, indices = retriever.kneighbors(structures)
    reference = NearestNeighbors(n_neighbors=7, metric="cosine", algorithm="brute")
    reference.fit(embedder.embed_phenotypes(wells).astype(np.float64))
    queries = embedder.embed_molecules(structures).astype(np.float64)
    expected, rows = reference.kneighbors(queries)
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    np.testing.assert_array_equal(indices, rows)


@pytest.mark.slow
def test_classes_are_named_from_a_few_references(real, on_plates):
    """Beside chance: the largest of 200 accuracies with labels permuted over molecules."""
    embedder, train, _ = on_plates
    table = real.labelled()
    trained = set(real.treated["Metadata_Plate"].iloc[train])
    known = table["Metadata_Plate"].isin(trained).to_numpy()
    references, queries = table[known], table[~known]
    wells = references.groupby(real.label).sample(5, replace=True, random_state=0)
    structures = references.drop_duplicates("Metadata_smiles")
    keys, truth = molecule_key(queries["Metadata_smiles"]), queries[real.label].to_numpy()
    distinct, first, of_molecule = np.unique(keys, return_index=True, return_inverse=True)
    rng = np.random.default_rng(0)
    for reference, rows in [("phenotype", wells), ("molecule", structures)]:
        classifier = ZeroShotMoAClassifier(embedder, reference=reference)
        named = classifier.fit(rows, rows[real.label]).predict(queries)
        chance = [
            balanced_accuracy_score(
                truth[first][rng.permutation(len(distinct))][of_molecule], named
            )
            for _ in range(200)
        ]
        assert balanced_accuracy_score(truth, named) > max(chance), reference
        assert np.mean(chance) < 2 / table[real.label].nunique()


def test_controls_are_no_candidates_and_no_class(real, on_plates):
    embedder, *_ = on_plates
    controls = np.flatnonzero(real.is_control)
    assert len(controls) > 400
    for query, queries in [
        ("molecule", real.treated["Metadata_smiles"].unique()[:40]),
        ("molecule", ["CS(C)=O"]),
        ("phenotype", real.whole.iloc[controls[:40]]),
    ]:
        retriever = CrossModalRetriever(embedder, query=query).fit(real.whole)
        np.testing.assert_array_equal(retriever.control_rows_, controls)
        hits = retriever.search(queries, n_neighbors=50)
        assert not hits["index"].isin(controls).any()
        assert not hits["Metadata_control_type"].isin([NEGATIVE[real.name]]).any()
        assert not np.isin(retriever.kneighbors(queries)[1], controls).any()
    large = real.labelled()[real.label].unique()
    y = real.whole[real.label].where(real.whole[real.label].isin(large))
    kept = real.is_control | y.notna().to_numpy()
    moa = ZeroShotMoAClassifier(embedder).fit(real.whole[kept], y[kept])
    assert set(moa.classes_) == set(large)
    assert "Control" not in moa.classes_
    np.testing.assert_array_equal(moa.left_out_, np.flatnonzero(real.is_control[kept]))
    dmso = molecule_key(["CS(C)=O"])[0]
    assert dmso not in quick(max_epochs=1).fit(real.whole).molecules_seen_


def test_a_whole_run_warns_of_nothing(real):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder = quick(max_epochs=1).fit(real.whole)
        CrossModalRetriever(embedder).fit(real.whole).search(["CCO"], group_by="molecule")
