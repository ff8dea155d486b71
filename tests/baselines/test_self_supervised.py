"""SimCLR and DINO as estimators: what they learn, what they leave out, and where they fit in."""

from __future__ import annotations

import math
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from cloome_sk import CloomeEmbedder, ZeroShotMoAClassifier
from cloome_sk.baselines import (
    DINOEmbedder,
    SimCLREmbedder,
    SupervisedEmbedder,
    UntrainedEmbedder,
    compare,
    linear_probe,
)
from cloome_sk.datasets import make_screen
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.model_selection import leakage_report
from cloome_sk.molecules import molecule_key
from cloome_sk.networks import ImageNetwork
from cloome_sk.training.dino import DINONet

RANDOM = ProfileEncoder(hidden_sizes=(16,), dropout=0.0, input_dropout=0.2)
PIXELS = ImageEncoder(network="small", size=32)
QUICK = {"n_components": 8, "max_epochs": 2, "batch_size": 16, "device": "cpu", "random_state": 0}


def simclr(phenotype=RANDOM, **params) -> SimCLREmbedder:
    return SimCLREmbedder(phenotype, **{**QUICK, "projection_size": 4, **params})


def dino(phenotype=PIXELS, **params) -> DINOEmbedder:
    small = {"n_local": 1, "n_prototypes": 64, "hidden_size": 64, "bottleneck_size": 32}
    # A center that keeps up within eight updates: one that lags lets all answers be the same.
    return DINOEmbedder(phenotype, **{**QUICK, **small, "center_momentum": 0.5, **params})


def of_images(method, phenotype=PIXELS, **params):
    return {"simclr": simclr, "dino": dino}[method](phenotype, **params)


BOTH = pytest.mark.parametrize("method", ["simclr", "dino"])


def treated(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["Metadata_control_type"].isna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def _sites(tmp_path_factory) -> pd.DataFrame:
    return make_screen(
        tmp_path_factory.mktemp("sites"), n_compounds=12, n_plates=2, size=32, random_state=0
    )


@pytest.fixture
def sites(_sites) -> pd.DataFrame:
    """A screen for tests that only ask whether something runs."""
    return _sites.copy()


# ------------------------------------------------------------------------------ scikit-learn's

MATRIX = ProfileEncoder(columns=slice(None), hidden_sizes=(16,), dropout=0.0, input_dropout=0.1)


class Spread(nn.Module):
    """The mean over each stripe of an image, and one layer."""

    def __init__(self, n_stripes: int, n_components: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((1, n_stripes))
        self.fc = nn.Linear(n_stripes, n_components)

    def forward(self, images):
        return self.fc(self.pool(images).flatten(1))


class Stripes(ProfileEncoder):
    """Numbers as images: a stripe of 8 x 8 pixels for each column of a matrix."""

    def inputs(self, X):
        found = super().inputs(X)
        rows = np.repeat(found.values[:, None, None, :], 8, axis=2)
        return type(found)(np.repeat(rows, 8, axis=3), found.index)

    def make_network(self, n_components):
        n_stripes = len(self.column_positions_)
        return ImageNetwork(Spread(n_stripes, n_components), [0.0], [1.0])


@parametrize_with_checks(
    [simclr(MATRIX, max_epochs=3), dino(Stripes(columns=slice(None)), local_crop=8)],
    xfail_strict=True,
)
def test_scikit_learn_contract(estimator, check):
    with warnings.catch_warnings():
        # Several checks give a handful of samples without any structure.
        warnings.filterwarnings("ignore", ".*did not learn to tell samples apart", UserWarning)
        check(estimator)


# ------------------------------------------------------------------------------------- learning


@pytest.fixture(scope="module")
def screens(tmp_path_factory) -> list[pd.DataFrame]:
    """Three simulated screens whose mechanisms look different, without plate effects."""
    return [
        make_screen(
            tmp_path_factory.mktemp("screen"),
            n_compounds=24,
            n_plates=6,
            n_controls=2,
            size=64,
            pixel_size_um=4.0,
            signal=3.0,
            compound_signal=0.3,
            inactive_fraction=0.0,
            plate_effect=0.0,
            position_effect=0.0,
            random_state=seed,
        )
        for seed in range(3)
    ]


def probed(Z: np.ndarray, X: pd.DataFrame, seed: int) -> float:
    """Accuracy for the mechanisms of molecules that the probe has not seen."""
    y, molecules = X["Metadata_moa"], X["Metadata_smiles"]
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=seed).split(X, y, molecules)
    probe = LogisticRegression(C=10.0, max_iter=2000)
    predicted = cross_val_predict(probe, Z * np.sqrt(Z.shape[1]), y, cv=list(folds))
    return balanced_accuracy_score(y, predicted)


def gained(screens, make) -> np.ndarray:
    """What a probe gains by training, on each screen."""
    gains = []
    for seed, screen in enumerate(screens):
        X = treated(screen)
        model = make(seed).fit(screen)
        floor = CloomeEmbedder(
            model.phenotype, n_components=model.n_components, device="cpu", random_state=seed
        )
        floor = UntrainedEmbedder(floor).fit(X)
        trained, untrained = (
            probed(embedder.embed_phenotypes(X), X, seed) for embedder in (model, floor)
        )
        gains.append(trained - untrained)
    return np.array(gains)


LEARNS = {"n_components": 32, "batch_size": 32, "max_epochs": 12, "lr": 3e-3, "device": "cpu"}


def test_simclr_learns_mechanisms_without_labels(screens):
    gains = gained(
        screens,
        lambda seed: SimCLREmbedder(PIXELS, temperature=0.2, random_state=seed, **LEARNS),
    )
    assert gains.min() > 0
    assert gains.mean() > 0.1


def test_dino_learns_mechanisms_without_labels(screens):
    few = {"n_local": 2, "n_prototypes": 128, **LEARNS}
    gains = gained(screens, lambda seed: DINOEmbedder(PIXELS, random_state=seed, **few))
    assert gains.min() > 0
    assert gains.mean() > 0.1


# ------------------------------------------------------------------------------- updates of DINO


class Enough(Exception):  # noqa: N818
    """Raised by a test that has seen the updates it is about."""


@pytest.mark.parametrize(
    ("max_epochs", "expected"),
    # 13 images in batches of 6 are 3 updates an epoch.
    [(2, 0.9), (20, 1 - 3 / 60), (100, 1 - 3 / 300), (400, 0.996)],
)
def test_what_stays_of_the_teacher_depends_on_the_length_of_the_fit(
    sites, monkeypatch, max_epochs, expected
):
    bound, stayed = DINONet.bound, []

    def watched(net):
        def weights():
            branches = net.module_.teacher, net.module_.student
            return [branch["head"].layers[0].weight.detach().double() for branch in branches]

        assert net.n_steps == 3 * max_epochs
        before, student = weights()
        bound(net)
        after, _ = weights()
        # after = m before + (1 - m) student
        away = before - student
        stayed.append(float(((after - student) * away).sum() / away.square().sum()))
        raise Enough

    monkeypatch.setattr(DINONet, "bound", watched)
    model = dino(max_epochs=max_epochs, batch_size=6, schedule=None, lr=1e-2)
    assert model.momentum == "auto"
    with pytest.raises(Enough):
        model.fit(sites[:13])
    assert stayed == [pytest.approx(expected, abs=1e-4)]  # at the start of the fit


def norms_of_updates(model, X) -> np.ndarray:
    """The norm of the gradient that the optimizer is given, for each update."""
    norms = []

    def watched(optimizer, args, kwargs):
        gradients = [w.grad for group in optimizer.param_groups for w in group["params"]]
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients if g is not None)))

    handle = register_optimizer_step_pre_hook(watched)
    try:
        model.fit(X)
    finally:
        handle.remove()
    return np.array(norms)


def test_dino_updates_by_a_gradient_of_bounded_norm(sites):
    free = norms_of_updates(dino(clip_norm=None), sites)
    largest = free[0] / 4
    clipped = norms_of_updates(dino(clip_norm=largest), sites)
    assert len(clipped) == len(free) > 2
    assert clipped.max() <= largest * (1 + 1e-4)
    assert clipped[0] == pytest.approx(largest, rel=1e-3)
    loose = norms_of_updates(dino(clip_norm=1e6), sites)
    assert loose.tolist() == free.tolist()


# ------------------------------------------------------------------------------ where they fit in


@BOTH
def test_same_seed_same_bits_and_nothing_global(sites, method):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second, other = (of_images(method, random_state=seed).fit(sites) for seed in (1, 1, 2))
    assert (before[0] == torch.get_rng_state()).all()
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    Z = first.transform(sites)
    assert Z.dtype == np.float32
    assert np.linalg.norm(Z, axis=1) == pytest.approx(np.ones(len(sites)))
    assert (second.transform(sites) == Z).all()
    assert (other.transform(sites) != Z).any()
    assert (first.embed_phenotypes(sites) == Z).all()
    assert (clone(first).fit(sites, y=np.arange(len(sites))).transform(sites) == Z).all()
    names = first.get_feature_names_out()
    assert names[0] == f"{type(first).__name__.lower()}0"
    assert len(names) == 8


@BOTH
def test_stored_models_hold_the_encoder_alone(sites, method, tmp_path):
    model = of_images(method).fit(sites)
    joblib.dump(model, tmp_path / "model.joblib")
    weights = sum(value.nbytes for value in model.state_.values())
    assert (tmp_path / "model.joblib").stat().st_size < weights + 100_000
    again = joblib.load(tmp_path / "model.joblib")
    assert (again.transform(sites) == model.transform(sites)).all()
    assert again.history_.equals(model.history_)
    fresh = model.phenotype_.make_network(8).state_dict()
    assert list(model.state_) == list(fresh)


@BOTH
def test_the_history_says_how_much_is_told_apart(sites, method):
    history = of_images(method).fit(sites).history_
    measured = {"simclr": ["spread"], "dino": ["entropy", "information"]}[method]
    assert list(history.columns) == ["epoch", "objective", *measured]
    assert history["epoch"].tolist() == [1, 2]
    assert (history[measured[-1]] > 0.01).all()


@BOTH
def test_a_collapse_is_said(sites, method):
    # Weights that decay to nothing say the same of everything.
    model = of_images(method, weight_decay=1e3, schedule=None)
    with pytest.warns(UserWarning, match=r"did not learn to tell samples apart: '\w+' in hist"):
        model.fit(sites)
    assert model.history_.iloc[-1, -1] < 0.01


@BOTH
def test_controls_are_images_like_any_other_unless_left_out(sites, method):
    model = of_images(method).fit(sites)
    control = sites["Metadata_control_type"].notna().to_numpy()
    assert control.any()
    assert model.n_trained_ == len(sites)
    without = of_images(method, with_controls=False).fit(sites)
    assert without.n_trained_ == (~control).sum()
    assert (without.controls_.mask == control).all()
    alone = of_images(method, controls=None).fit(treated(sites))
    assert (without.transform(sites) == alone.transform(sites)).all()
    assert (without.transform(sites) != model.transform(sites)).any()


@BOTH
def test_labels_and_structures_change_nothing_but_what_was_seen(sites, method):
    model = of_images(method).fit(sites)
    bare = sites.drop(columns=["Metadata_smiles", "Metadata_moa"])
    again = of_images(method).fit(bare, y=sites["Metadata_moa"])
    assert (again.transform(sites) == model.transform(sites)).all()
    known = sites["Metadata_smiles"].dropna()
    assert model.molecules_seen_.tolist() == sorted(set(molecule_key(known)))
    assert not hasattr(again, "molecules_seen_")
    assert not hasattr(model.fit(bare), "molecules_seen_")
    seen = of_images(method).fit(sites)
    report = leakage_report(treated(sites)[5:], treated(sites)[:5], claim="molecule", embedder=seen)
    assert not report.ok


def test_they_take_the_place_of_an_embedder(sites):
    X = treated(sites)
    models = {"simclr": simclr(PIXELS), "dino": dino()}
    probes = {name: linear_probe(model) for name, model in models.items()}
    table = compare(X, probes, task="classes", y="moa", cv=2, random_state=0, n_bootstrap=20)
    assert set(table["model"]) == {"simclr", "dino"}
    for model in models.values():
        fitted = FrozenEstimator(model.fit(X))
        zero_shot = ZeroShotMoAClassifier(fitted).fit(X[::2], X["Metadata_moa"][::2])
        assert len(zero_shot.predict(X[1::2])) == len(X[1::2])


def test_batches_and_epochs_are_named_and_set_as_for_a_supervised_network():
    ours, theirs = (cls().get_params() for cls in (SimCLREmbedder, SupervisedEmbedder))
    shared = {"n_components", "lr", "weight_decay", "schedule", "batch_size", "max_epochs"}
    for name in shared | {"phenotype", "controls", "precision", "device", "random_state"}:
        assert ours[name] == theirs[name] == DINOEmbedder().get_params()[name], name


def test_a_bag_is_one_sample_whose_views_are_draws_of_its_instances(sites):
    still = ImageEncoder(network="small", augmentation=None)
    bags = BagEncoder(still, group_by=["Metadata_smiles"], max_size=1)
    X = treated(sites)
    model = simclr(bags).fit(X)
    assert model.n_trained_ == X["Metadata_smiles"].nunique() < len(X)
    Z = pd.DataFrame(model.transform(X))
    assert (Z.groupby(X["Metadata_smiles"]).nunique() == 1).all(axis=None)
    with pytest.raises(ValueError, match="phenotype= gives a BagNetwork: give an ImageEncoder"):
        dino(bags).fit(X)


@BOTH
def test_plates_travel_with_their_images(sites, method):
    encoder = ImageEncoder(network="small", normalization="plate")
    model = of_images(method, encoder).fit(sites)
    assert np.isfinite(model.transform(sites)).all()


@BOTH
def test_bfloat16_trains_in_full_precision_weights(sites, method):
    model = of_images(method, precision="bf16").fit(sites)
    assert {value.dtype for value in model.state_.values()} <= {np.dtype("f4"), np.dtype("i8")}
    full = of_images(method).fit(sites)
    assert (model.transform(sites) != full.transform(sites)).any()
    objective = full.history_["objective"].to_numpy()
    assert model.history_["objective"].to_numpy() == pytest.approx(objective, rel=0.1)


@BOTH
def test_an_image_that_is_skipped_is_said(sites, method, tmp_path):
    sites.loc[2, "Image_DNA"] = str(tmp_path / "nowhere.tif")
    encoder = ImageEncoder(network="small", on_error="skip")
    model = of_images(method, encoder)
    with pytest.warns(UserWarning, match="nowhere"):
        model.fit(sites)
    assert model.skipped_rows_.tolist() == [2]
    assert model.n_trained_ == len(sites) - 1
    with pytest.warns(UserWarning, match="nowhere"):
        Z = model.transform(sites)
    assert np.flatnonzero(np.isnan(Z).all(axis=1)).tolist() == [2]


# -------------------------------------------------------------------------------------- bad input


def test_an_encoder_that_draws_nothing_is_refused(sites, tiny):
    for encoder, X in (
        (ProfileEncoder(dropout=0.0, input_dropout=0.0), tiny),
        (ImageEncoder(network="small", augmentation=None), sites),
    ):
        with pytest.raises(ValueError, match=r"Two views .* Give an ImageEncoder an augmentation="):
            simclr(encoder).fit(X)
    # Windows of random size are views, whatever the augmentation; one that never changes is not.
    still = ImageEncoder(network="small", augmentation=None)
    dino(still).fit(sites)
    with pytest.raises(ValueError, match="Two views of a sample are the same"):
        dino(still, global_zoom=(1.0, 1.0), n_local=0).fit(sites)


def test_tables_without_images_are_refused(sites, tiny):
    with pytest.raises(ValueError, match=r"gives a MLP: give an ImageEncoder, or .* SimCLREmb"):
        dino("auto").fit(tiny)
    bare = sites.drop(columns=list(sites.filter(regex="^Image_")))
    for model in (simclr("auto"), dino("auto")):
        with pytest.raises(ValueError, match='phenotype="auto" looks for columns'):
            model.fit(bare)
    for method in ("simclr", "dino"):
        with pytest.raises(ValueError, match="the table has no image columns"):
            of_images(method).fit(bare)


@BOTH
def test_fewer_than_two_samples_are_refused(sites, method):
    for model in (of_images(method, batch_size=1), of_images(method, batch_size=1.5)):
        with pytest.raises(ValueError, match="'batch_size' parameter"):
            model.fit(sites)
    control = sites["Metadata_control_type"].notna()
    few = pd.concat([sites[control], sites[~control][:1]])
    with pytest.raises(ValueError, match=r"1 of n_samples=\d+ row\(s\) are trained on"):
        of_images(method, with_controls=False).fit(few)
    with pytest.raises(ValueError, match="at least 2 are needed"):
        of_images(method).fit(sites[:1])


@BOTH
def test_parameters_that_are_none_are_refused(sites, method):
    for name, value in (
        ("max_epochs", 0),
        ("n_components", 0),
        ("lr", 0.0),
        ("schedule", "none"),
        ("with_controls", "yes"),
        ("precision", "fp8"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            of_images(method, **{name: value}).fit(sites)
    with pytest.raises(ValueError, match="which reads molecules"):
        of_images(method, MoleculeEncoder()).fit(sites)
    with pytest.raises(ValueError, match="has no parameters of its own"):
        of_images(method, "auto").set_params(phenotype__size=32)
    with pytest.raises(FloatingPointError, match="Lower `lr`"):
        of_images(method, lr=1e30, schedule=None, max_epochs=3).fit(sites)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"global_zoom": (0.5, 1.5)}, r"\(global_zoom=\): zoom must be two shares"),
        ({"local_zoom": (0.0, 0.5)}, r"\(local_zoom=\): zoom must be two shares"),
        ({"teacher_temperature": (0.04,)}, "teacher_temperature must be two numbers"),
        ({"teacher_temperature": (0.0, 0.04)}, "teacher_temperature must be two numbers"),
        ({"momentum": 1.0}, "'momentum' parameter"),
        ({"warmup": 1.1}, "'warmup' parameter"),
        ({"n_prototypes": 1}, "'n_prototypes' parameter"),
        ({"local_crop": 8}, "at least 16 x 16 pixels"),
    ],
)
def test_parameters_of_dino_that_are_none_are_refused(sites, params, message):
    with pytest.raises(ValueError, match=message):
        dino(**params).fit(sites)


@BOTH
def test_a_fit_that_fails_leaves_the_earlier_one(sites, method):
    model = of_images(method).fit(sites)
    before = model.transform(sites)
    with pytest.raises(ValueError, match="'lr' parameter"):
        model.set_params(lr=-1.0).fit(sites)
    with pytest.raises(FloatingPointError):
        model.set_params(lr=1e30, schedule=None, max_epochs=3).fit(sites)
    assert (model.transform(sites) == before).all()
