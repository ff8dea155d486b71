"""CloomeEmbedder on a simulated screen: what it learns, keeps, and how it composes."""

from __future__ import annotations

import copy
import pickle
import random

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.molecules import molecule_key, morgan_fingerprints


def small(**params):
    """Quick to fit, and still learning."""
    defaults = {
        "phenotype": ProfileEncoder(hidden_sizes=(64,), dropout=0.0, input_dropout=0.0),
        "molecule": MoleculeEncoder(hidden_sizes=(64,)),
        "n_components": 16,
        "max_epochs": 15,
        "device": "cpu",
        "random_state": 0,
    }
    return CloomeEmbedder(**(defaults | params))


def treated(screen):
    return screen[screen["Metadata_control_type"].isna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def fitted(_screen):
    return small().fit(_screen)


def test_embeddings_are_float32_unit_vectors_for_every_row(fitted, screen):
    for embedded in (
        fitted.transform(screen),
        fitted.embed_phenotypes(screen),
        fitted.embed_molecules(screen),
    ):
        assert embedded.dtype == np.float32
        assert embedded.shape == (len(screen), 16)
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)


def test_transform_gives_the_modality_of_output(fitted, screen):
    phenotype, molecule = fitted.embed_phenotypes(screen), fitted.embed_molecules(screen)
    for output, expected in [
        ("phenotype", phenotype),
        ("molecule", molecule),
        ("both", np.hstack([phenotype, molecule])),
    ]:
        again = copy.deepcopy(fitted).set_params(output=output)
        np.testing.assert_array_equal(again.transform(screen), expected)
        assert len(again.get_feature_names_out()) == expected.shape[1]


def test_embeddings_equal_a_forward_pass_written_out(fitted, screen):
    """Scaling, clipping and every layer in plain numpy float64, from the stored arrays."""
    encoder = fitted.phenotype_
    profiles = screen[encoder.column_names_].to_numpy(np.float64)
    inputs = np.clip((profiles - encoder.center_) / encoder.scale_, -encoder.clip, encoder.clip)
    structures = morgan_fingerprints(screen["Metadata_smiles"]).astype(np.float64)
    for side, values in [("phenotype", inputs), ("molecule", structures)]:
        weight = {
            k.removeprefix(f"{side}.layers."): v.astype(np.float64)
            for k, v in fitted.state_.items()
        }
        values = values @ weight["0.weight"].T + weight["0.bias"]
        values = (values - weight["1.running_mean"]) / np.sqrt(weight["1.running_var"] + 1e-5)
        values = np.maximum(values * weight["1.weight"] + weight["1.bias"], 0)
        values = values @ weight["3.weight"].T + weight["3.bias"]
        expected = values / np.linalg.norm(values, axis=1, keepdims=True)
        embedded = getattr(fitted, f"embed_{side}s")(screen)
        np.testing.assert_allclose(embedded, expected, atol=1e-4)


def test_matching_pairs_come_closer_than_others(screen):
    table = treated(screen)
    embedder = small(max_epochs=40).fit(table)
    similarity = embedder.embed_phenotypes(table) @ embedder.embed_molecules(table).T
    keys = molecule_key(table["Metadata_smiles"])
    same = keys[:, None] == keys[None, :]
    assert similarity[same].mean() > similarity[~same].mean() + 0.3
    objective = embedder.history_["objective"]
    assert objective.iloc[-1] < 0.7 * objective.iloc[0]


def test_fit_equals_a_training_loop_in_plain_torch(screen):
    """No skorch, no sampler: one batch an epoch holds every pair, so the order is the only draw."""
    table = treated(screen).iloc[:40]
    n_epochs = 12
    embedder = small(batch_size=1000, max_epochs=n_epochs, weight_decay=0.3, lr=3e-3).fit(table)

    profiles = table[embedder.phenotype_.column_names_].to_numpy(np.float64)
    inputs = torch.tensor((profiles - profiles.mean(0)) / profiles.std(0), dtype=torch.float32)
    smiles, index = np.unique(table["Metadata_smiles"], return_inverse=True)
    bits = torch.tensor(morgan_fingerprints(smiles), dtype=torch.float32)
    keys = molecule_key(table["Metadata_smiles"])
    positives = torch.tensor(keys[:, None] == keys[None, :])

    def side(n_inputs):
        return torch.nn.Sequential(
            torch.nn.Linear(n_inputs, 64),
            torch.nn.BatchNorm1d(64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 16),
        )

    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        phenotype, molecule = side(inputs.shape[1]), side(1024)
    log_inv_tau = torch.nn.Parameter(torch.log(torch.tensor(14.3)))
    named = [*phenotype.parameters(), *molecule.parameters(), log_inv_tau]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in named if p.ndim > 1], "weight_decay": 0.3},
            {"params": [p for p in named if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=3e-3,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=n_epochs, cycle_momentum=False
    )
    losses = []
    for _ in range(n_epochs):
        x = torch.nn.functional.normalize(phenotype(inputs), dim=1)
        z = torch.nn.functional.normalize(molecule(bits), dim=1)[torch.tensor(index)]
        logits = log_inv_tau.exp() * x @ z.T
        loss = 0.0
        for scores, mask in [(logits, positives), (logits.T, positives.T)]:
            away = torch.logsumexp(scores.masked_fill(mask, -torch.inf), 1, keepdim=True)
            terms = torch.log1p(torch.exp(away - scores)) * mask
            loss = loss + (terms.sum(1) / mask.sum(1)).mean() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    np.testing.assert_allclose(embedder.history_["objective"], losses, rtol=2e-4)
    assert embedder.inv_tau_ == pytest.approx(log_inv_tau.exp().item(), rel=1e-4)


# ------------------------------------------------------------------ randomness


def test_same_seed_same_bits_and_other_seed_other_bits(screen):
    table = screen.iloc[:120]
    first, again, other = (small(max_epochs=2, random_state=s).fit(table) for s in (0, 0, 1))
    for name, value in first.state_.items():
        np.testing.assert_array_equal(value, again.state_[name])
    assert (first.transform(table) != other.transform(table)).any()


def test_a_random_state_instance_is_advanced(screen):
    rng = np.random.RandomState(0)
    table = screen.iloc[:120]
    first = small(max_epochs=1, random_state=rng).fit(table)
    second = small(max_epochs=1, random_state=rng).fit(table)
    assert (first.transform(table) != second.transform(table)).any()


def test_global_generators_are_left_alone(screen):
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    small(max_epochs=1).fit(screen.iloc[:120]).transform(screen)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_contexts_of_the_caller_do_not_matter(screen):
    table = screen.iloc[:120]
    expected = small(max_epochs=1).fit(table).transform(table)
    with torch.inference_mode():
        np.testing.assert_array_equal(small(max_epochs=1).fit(table).transform(table), expected)
    with torch.device("meta"):
        np.testing.assert_array_equal(small(max_epochs=1).fit(table).transform(table), expected)
    torch.set_default_dtype(torch.float64)
    try:
        embedded = small(max_epochs=1).fit(table).transform(table)
    finally:
        torch.set_default_dtype(torch.float32)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)


# -------------------------------------------------------------------- controls


def test_controls_are_taken_by_habit_and_not_trained_on(screen, capsys):
    is_control = screen["Metadata_control_type"] == "negcon"
    embedder = small(max_epochs=1, verbose=1).fit(screen)
    said = capsys.readouterr().out
    assert f"{is_control.sum()} of {len(screen)} rows are negative controls" in said
    assert embedder.n_pairs_ == (~is_control).sum()
    dmso = molecule_key(["CS(C)=O"])[0]
    assert dmso in set(molecule_key(screen["Metadata_smiles"][is_control]))
    assert dmso not in embedder.molecules_seen_
    without = small(max_epochs=1).fit(screen[~is_control])
    np.testing.assert_array_equal(embedder.transform(screen), without.transform(screen))


def test_controls_need_no_structure(screen):
    is_control = (screen["Metadata_control_type"] == "negcon").to_numpy()
    bare = screen.copy()
    bare.loc[is_control, "Metadata_smiles"] = None
    one, two = small(max_epochs=1).fit(screen), small(max_epochs=1).fit(bare)
    np.testing.assert_array_equal(one.transform(screen), two.transform(bare))
    embedded = two.embed_molecules(bare)
    np.testing.assert_array_equal(np.isnan(embedded).all(axis=1), is_control)
    np.testing.assert_array_equal(embedded[~is_control], one.embed_molecules(screen)[~is_control])
    row = int(np.flatnonzero(~is_control)[0])
    bare.loc[row, "Metadata_smiles"] = None
    with pytest.raises(ValueError, match=f"1 of {len(bare)} structures.*row {row} is missing"):
        two.embed_molecules(bare)


def test_controls_can_be_named_or_kept(screen):
    name = screen["Metadata_pert_iname"][screen["Metadata_control_type"].isna()].iloc[0]
    named = small(max_epochs=1, controls=("pert_iname", name)).fit(screen)
    assert named.n_pairs_ == (screen["Metadata_pert_iname"] != name).sum()
    assert small(max_epochs=1, controls=None).fit(screen).n_pairs_ == len(screen)


# ------------------------------------------------------------------- positives


def test_positives_change_which_pairs_match(screen):
    table = treated(screen).assign(dose=lambda t: np.arange(len(t)) % 2)
    histories = {
        str(positives): small(max_epochs=1, positives=positives).fit(table).history_["objective"][0]
        for positives in ["molecule", "pair", ["molecule", "dose"], ["Metadata_moa"]]
    }
    assert len({round(value, 6) for value in histories.values()}) == 4
    assert histories["pair"] > histories["molecule"]  # replicates as negatives cannot be won


def test_column_of_molecule_keys_is_the_same_as_molecule(screen):
    table = treated(screen)
    table["Metadata_key"] = molecule_key(table["Metadata_smiles"])
    one = small(max_epochs=2).fit(table)
    two = small(max_epochs=2, positives="Metadata_key").fit(table)
    np.testing.assert_array_equal(one.transform(table), two.transform(table))


# ---------------------------------------------------------------------- tables


def test_named_columns_are_found_in_any_order_among_others(fitted, screen):
    rng = np.random.default_rng(0)
    shuffled = screen[rng.permutation(screen.columns)].assign(more=1.0)
    np.testing.assert_array_equal(fitted.transform(shuffled), fitted.transform(screen))


def test_only_the_columns_of_the_modality_are_needed(fitted, screen):
    profiles = screen[fitted.phenotype_.column_names_]
    np.testing.assert_array_equal(fitted.transform(profiles), fitted.transform(screen))
    smiles = screen[["Metadata_smiles"]]
    np.testing.assert_array_equal(fitted.embed_molecules(smiles), fitted.embed_molecules(screen))


def test_table_and_array_give_the_same(screen):
    table = treated(screen)
    columns = [c for c in table if c.startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]
    bits = morgan_fingerprints(table["Metadata_smiles"])
    X = np.hstack([table[columns].to_numpy(), bits])
    by_position = small(
        phenotype=ProfileEncoder(
            columns=slice(0, len(columns)), hidden_sizes=(64,), dropout=0.0, input_dropout=0.0
        ),
        molecule=MoleculeEncoder(
            columns=slice(len(columns), None), features="precomputed", hidden_sizes=(64,)
        ),
        max_epochs=1,
        positives="pair",  # stereoisomers are one molecule to SMILES, and two to fingerprints
    ).fit(X)
    by_name = small(max_epochs=1, positives="pair").fit(table)
    np.testing.assert_allclose(by_position.transform(X), by_name.transform(table), atol=1e-6)
    np.testing.assert_allclose(
        by_position.embed_molecules(bits), by_name.embed_molecules(table), atol=1e-6
    )
    np.testing.assert_array_equal(
        by_position.embed_phenotypes(table[columns].to_numpy()), by_position.transform(X)
    )


def test_a_library_may_call_its_structures_otherwise(fitted):
    library = pd.DataFrame({"SMILES": ["CCO", "c1ccccc1"], "vendor": "A"})
    np.testing.assert_array_equal(
        fitted.embed_molecules(library), fitted.embed_molecules(["CCO", "c1ccccc1"])
    )


def test_molecule_features_from_a_transformer(screen):
    table = treated(screen)
    letters = MoleculeEncoder(features=CountVectorizer(analyzer="char"), hidden_sizes=(32,))
    embedder = small(molecule=letters, max_epochs=2).fit(table)
    assert embedder.embed_molecules(["CCO"]).shape == (1, 16)
    assert not hasattr(letters.features, "vocabulary_")
    with config_context(transform_output="pandas"):
        morgan = FunctionTransformer(morgan_fingerprints)
        own = small(molecule=MoleculeEncoder(features=morgan, hidden_sizes=(64,)), max_epochs=2)
        again = own.fit(table).embed_molecules(table)
    np.testing.assert_allclose(
        again, small(max_epochs=2).fit(table).embed_molecules(table), atol=1e-6
    )


def test_a_frozen_transformer_is_kept_through_clone(screen):
    table = treated(screen)
    vectorizer = CountVectorizer(analyzer="char").fit(["CNO"])
    embedder = small(
        molecule=MoleculeEncoder(features=FrozenEstimator(vectorizer), hidden_sizes=(32,)),
        max_epochs=1,
    )
    assert clone(embedder).fit(table).molecule_.n_inputs_ == 3


def test_each_distinct_molecule_is_read_once(screen, monkeypatch):
    from cloome_sk.encoders import molecule

    counted = []
    original = molecule.distinct_fingerprints

    def counting(distinct, **options):
        counted.append(len(distinct))
        return original(distinct, **options)

    monkeypatch.setattr(molecule, "distinct_fingerprints", counting)
    small(max_epochs=1).fit(screen)
    assert counted == [screen["Metadata_smiles"].nunique()]


def test_skipped_molecules_stay_aligned(screen):
    table = treated(screen)
    broken = table.copy()
    broken.loc[[3, 7], "Metadata_smiles"] = ["not a molecule", None]
    skipping = small(molecule=MoleculeEncoder(on_error="skip", hidden_sizes=(64,)), max_epochs=2)
    with pytest.warns(
        UserWarning, match=r"row 3 cannot be parsed: 'not a molecule'; row 7 is missing"
    ):
        skipping.fit(broken)
    assert skipping.n_pairs_ == len(table) - 2
    with pytest.warns(UserWarning, match="2 of"):
        embedded = skipping.embed_molecules(broken)
    assert np.flatnonzero(np.isnan(embedded).all(axis=1)).tolist() == [3, 7]
    rest = np.delete(np.arange(len(table)), [3, 7])
    np.testing.assert_array_equal(embedded[rest], skipping.embed_molecules(table.iloc[rest]))
    assert np.isfinite(skipping.transform(broken)).all()
    without = small(max_epochs=2).fit(table.iloc[rest])
    np.testing.assert_array_equal(without.transform(table), skipping.transform(table))


def test_on_error_can_be_chosen_for_one_call(fitted):
    with pytest.warns(UserWarning, match="row 1 cannot be parsed"):
        embedded = fitted.embed_molecules(["CCO", "C("], on_error="skip")
    assert np.isnan(embedded[1]).all()
    np.testing.assert_array_equal(embedded[:1], fitted.embed_molecules(["CCO"]))
    with pytest.raises(ValueError, match="on_error"):
        fitted.embed_molecules(["CCO"], on_error="ignore")


# ----------------------------------------------------------------- persistence


@pytest.mark.parametrize("dump", ["joblib", "pickle", "deepcopy"])
def test_stored_and_loaded_gives_the_same(fitted, screen, dump, tmp_path):
    if dump == "joblib":
        joblib.dump(fitted, tmp_path / "embedder.joblib")
        loaded = joblib.load(tmp_path / "embedder.joblib")
    elif dump == "pickle":
        loaded = pickle.loads(pickle.dumps(fitted))
    else:
        loaded = copy.deepcopy(fitted)
    np.testing.assert_array_equal(loaded.transform(screen), fitted.transform(screen))
    np.testing.assert_array_equal(
        loaded.embed_molecules(["CCO", "c1ccccc1"]), fitted.embed_molecules(["CCO", "c1ccccc1"])
    )


def test_pickle_holds_the_weights_and_little_else(fitted):
    weights = sum(value.nbytes for value in fitted.state_.values())
    stored = pickle.dumps(fitted)
    assert len(stored) < weights + 50_000
    assert b"torch" not in stored  # no tensor, module, optimizer or device
    assert b"skorch" not in stored


# ---------------------------------------------------------------- composition


def test_clone_and_nested_parameters():
    embedder = small()
    copied = clone(embedder)
    assert copied.get_params()["molecule__radius"] == 3
    copied.set_params(molecule__radius=2, phenotype__dropout=0.5, n_components=8)
    assert (copied.molecule.radius, copied.phenotype.dropout) == (2, 0.5)
    assert embedder.molecule.radius == 3
    given = CloomeEmbedder().set_params(molecule=MoleculeEncoder(), molecule__radius=1)
    assert given.molecule.radius == 1


@pytest.mark.parametrize(
    ("name", "hint"),
    [("molecule__radius", r"molecule=MoleculeEncoder\(\)"), ("phenotype__clip", "ProfileEncoder")],
)
def test_nested_parameters_without_an_encoder_say_so(name, hint):
    with pytest.raises(ValueError, match=hint):
        CloomeEmbedder().set_params(**{name: 2})


def test_nested_parameters_have_an_effect(screen):
    base = small(max_epochs=1).fit(screen).transform(screen)
    for params in [
        {"molecule__radius": 1},
        {"molecule__use_chirality": False},
        {"molecule__n_bits": 256},
        {"molecule__dropout": 0.5},
        {"molecule__input_dropout": 0.5},
        {"phenotype__clip": 0.5},
        {"phenotype__scaling": "robust"},
        {"phenotype__scaling": None},
        {"phenotype__dropout": 0.5},
        {"phenotype__input_dropout": 0.5},
        {"phenotype__hidden_sizes": (32, 32)},
    ]:
        changed = small(max_epochs=1).set_params(**params).fit(screen).transform(screen)
        assert (changed != base).any(), params


def test_own_parameters_have_an_effect(screen):
    few = {"max_epochs": 2, "batch_size": 64}
    base = small(**few).fit(screen)
    for params in [
        {"objective": "infoloob"},
        {"inv_tau": 30.0},
        {"learn_inv_tau": False},
        {"lr": 1e-2},
        {"weight_decay": 5.0},
        {"schedule": None},
        {"batch_size": 32},
        {"max_epochs": 3},
    ]:
        changed = small(**(few | params)).fit(screen)
        assert (changed.transform(screen) != base.transform(screen)).any(), params
    loob = [
        small(max_epochs=1, objective="infoloob", beta=b).fit(screen) for b in (14.3, 5.0, None)
    ]
    assert len({round(e.history_["objective"][0], 6) for e in loob}) == 3


def test_temperature_is_learned_for_infonce_alone(screen):
    assert small(max_epochs=2).fit(screen).inv_tau_ != pytest.approx(14.3, abs=1e-4)
    fixed = small(max_epochs=2, objective="infoloob").fit(screen)
    assert fixed.inv_tau_ == pytest.approx(14.3)
    assert small(max_epochs=2, learn_inv_tau=False).fit(screen).inv_tau_ == pytest.approx(14.3)


def test_cross_val_score_grouped_by_molecule(screen):
    table = treated(screen)
    y = table["Metadata_moa"]
    pipeline = make_pipeline(small(max_epochs=3), LogisticRegression(max_iter=200))
    groups = molecule_key(table["Metadata_smiles"])
    scores = cross_val_score(pipeline, table, y, groups=groups, cv=GroupKFold(3))
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()


def test_grid_search_over_objective_with_memory(screen, tmp_path):
    table = treated(screen)
    pipeline = make_pipeline(
        small(max_epochs=2), LogisticRegression(max_iter=200), memory=str(tmp_path)
    )
    search = GridSearchCV(
        pipeline,
        {"cloomeembedder__objective": ["infonce", "infoloob"], "logisticregression__C": [0.1, 1]},
        cv=GroupKFold(2),
    )
    search.fit(table, table["Metadata_moa"], groups=table["Metadata_smiles"])
    assert len(list(tmp_path.rglob("output.pkl"))) == 2 * 2 + 1  # not once for each C
    assert set(search.cv_results_["param_cloomeembedder__objective"]) == {"infonce", "infoloob"}


def test_frozen_embedder_is_not_trained_again(fitted, screen):
    table = treated(screen)
    frozen = make_pipeline(FrozenEstimator(fitted), LogisticRegression(max_iter=200))
    frozen.fit(table, table["Metadata_moa"])
    expected = LogisticRegression(max_iter=200).fit(fitted.transform(table), table["Metadata_moa"])
    np.testing.assert_array_equal(frozen.predict(table), expected.predict(fitted.transform(table)))


def test_feature_union_and_pandas_output(screen):
    table = treated(screen).set_index(pd.Index([f"w{i}" for i in range(len(treated(screen)))]))
    profiles = make_column_selector("^(?:Cells|Cytoplasm|Nuclei)_")
    union = FeatureUnion(
        [
            ("cloome", small(max_epochs=1)),
            ("cellprofiler", ColumnTransformer([("features", "passthrough", profiles)])),
        ]
    ).set_output(transform="pandas")
    out = union.fit_transform(table)
    assert out.shape == (len(table), 16 + len(profiles(table)))
    assert out.index.equals(table.index)
    assert out.columns[0] == "cloome__cloomeembedder0"


def test_y_is_ignored(screen):
    table = screen.iloc[:120]
    with_y = small(max_epochs=1).fit(table, y=np.arange(120)).transform(table)
    np.testing.assert_array_equal(with_y, small(max_epochs=1).fit(table).transform(table))


def test_a_batch_larger_than_the_table_trains(screen):
    table = treated(screen).iloc[:10]
    embedder = small(batch_size=10_000, max_epochs=3).fit(table)
    assert len(embedder.history_) == 3
    assert np.isfinite(embedder.transform(table)).all()


def test_a_single_update_trains(screen):
    """A one-cycle schedule of one update would have a rate of about zero."""
    table = treated(screen)
    one = small(max_epochs=1, batch_size=10_000).fit(table)
    constant = small(max_epochs=1, batch_size=10_000, schedule=None).fit(table)
    np.testing.assert_array_equal(one.transform(table), constant.transform(table))


@pytest.mark.parametrize("positives", ["pair", ["Metadata_moa"], ["molecule", "Metadata_Plate"]])
def test_tiny_batches_hold_two_molecules_whatever_the_positives(screen, positives):
    table = treated(screen).iloc[:60]
    embedder = small(batch_size=2, max_epochs=1, positives=positives).fit(table)
    assert np.isfinite(embedder.transform(table)).all()


def test_large_offsets_in_double_precision_are_kept(screen):
    table = treated(screen).iloc[:60]
    shifted = table.copy()
    name = "Cells_AreaShape_Area"
    shifted[name] = table[name].astype(np.float64) + 1e9
    encoder = ProfileEncoder(clip=None).fit(shifted)
    values = encoder.inputs(shifted).values[:, encoder.column_names_.index(name)]
    column = shifted[name].to_numpy()
    np.testing.assert_allclose(values, (column - column.mean()) / column.std(), atol=1e-5)


def test_integer_labels_are_labels(screen):
    """A permuted table without column names: position 0 is not label 0."""
    table = treated(screen)
    profiles = table[[c for c in table if c.startswith("Cells_")]].to_numpy()[:, :6]
    bits = morgan_fingerprints(table["Metadata_smiles"], n_bits=64)
    X = pd.DataFrame(np.hstack([profiles, bits]))
    permuted = X[[5, 4, 3, 2, 1, 0, *range(6, 70)]]
    encoders = {
        "phenotype": ProfileEncoder(columns=slice(0, 6), hidden_sizes=(8,)),
        "molecule": MoleculeEncoder(
            columns=slice(6, 70), features="precomputed", hidden_sizes=(8,)
        ),
    }
    by_label = small(max_epochs=1, **encoders).fit(permuted)
    by_position = small(max_epochs=1, **encoders).fit(permuted.to_numpy())
    np.testing.assert_array_equal(
        by_label.transform(permuted), by_position.transform(permuted.to_numpy())
    )
    np.testing.assert_array_equal(by_label.embed_phenotypes(X), by_label.transform(permuted))


def test_two_pairs_of_two_molecules_are_enough(screen):
    table = treated(screen).drop_duplicates("Metadata_smiles").iloc[:2]
    for objective in ("infonce", "infoloob"):
        assert small(max_epochs=2, objective=objective).fit(table).n_pairs_ == 2
