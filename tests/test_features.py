"""ImageFeatures: what the features are, which table comes out, and what the cache spares."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn

import cloome_sk._features_sites as sites_module
from cloome_sk import CloomeEmbedder, ImageFeatures
from cloome_sk.baselines import ProfileFeatures
from cloome_sk.datasets import make_screen
from cloome_sk.encoders import BagEncoder, ImageEncoder, ProfileEncoder
from cloome_sk.imaging import ImageError
from cloome_sk.imaging.preparation import Preparation
from cloome_sk.networks import ImageNetResNet, SmallCNN
from cloome_sk.preprocessing import ControlNormalizer

SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]
CHANNELS = ("DNA", "ER")
HOUR = 3600


def trained(depth: int, seed: int) -> ImageNetResNet:
    """A network of RGB images and 1000 classes, with running statistics that are not 0 and 1."""
    torch.manual_seed(seed)
    network = ImageNetResNet(3, 1000, depth=depth)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's, of random numbers."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(trained(18, 0).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(trained(18, 1).state_dict(), path)
    return path


@pytest.fixture(name="X")
def five_sites(tmp_path: Path) -> pd.DataFrame:
    """Six rows of five sites, in an order and with labels that say nothing."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "Metadata_Plate": pd.Categorical(["P2", "P1", "P1", "P2", "P1", "P2"]),
            "Image_ER": "",
            "Metadata_count": np.array([3, 1, 4, 1, 5, 9], dtype=np.int16),
            "Image_Hoechst": "",
            "Metadata_smiles": [SMILES[i % 4] for i in range(6)],
            "Cells_AreaShape_Area": np.linspace(1, 2, 6),
        },
        index=[4, 4, "a", 0, 1, 2],
    )
    for name in ("ER", "Hoechst"):
        paths = [tmp_path / f"{site}_{name}.tif" for site in range(5)]
        for path in paths:
            tifffile.imwrite(path, rng.integers(100, 4000, size=(36, 40)).astype(np.uint16))
            old(path)
        table[f"Image_{name}"] = [str(paths[site]) for site in (3, 0, 4, 0, 1, 2)]
    return table


def old(path: str | Path) -> None:
    """Set a file's times back, so that its hash is remembered."""
    os.utime(path, (time.time() - HOUR, time.time() - HOUR))


def encoder(weights: Path, **params) -> ImageEncoder:
    return ImageEncoder(weights=weights, **{"normalization": "imagenet", **params})


def features(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="Feature_").to_numpy()


def eight_bits(path: str) -> np.ndarray:
    """CLOOME's scaling of one channel, in float64 and by a full sort."""
    image = tifffile.imread(path).astype(np.float64)
    n = max(1, round(image.size * 0.0028 / 100))
    return np.minimum(np.floor(image * 256 / np.sort(image.ravel())[-n]), 255)


# ------------------------------------------------------------------------------- what features are


@pytest.mark.parametrize("depth", [18, 50])
def test_channelwise_features_are_those_of_grey_rgb_images(X, depth, tmp_path):
    network = trained(depth, 0)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    network.fc = nn.Identity()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = []
    for row in range(len(X)):
        for name in ("Image_Hoechst", "Image_ER"):
            grey = eight_bits(X[name].iloc[row]) / 255
            rgb = np.stack([(grey - m) / s for m, s in zip(mean, std, strict=True)])
            with torch.no_grad():
                expected.append(network(torch.tensor(rgb[None], dtype=torch.float32))[0].numpy())
    transformer = ImageFeatures(encoder(tmp_path / "weights.pth", channelwise=True))
    table = transformer.fit_transform(X)
    width = 512 if depth == 18 else 2048
    assert transformer.channels_ == CHANNELS
    assert len(transformer.feature_columns_) == 2 * width
    for number, channel in enumerate(CHANNELS):
        found = table[[f"Feature_{channel}_{place:04d}" for place in range(width)]].to_numpy()
        scale = np.abs(found).max()
        np.testing.assert_allclose(found, expected[number::2], rtol=1e-4, atol=1e-5 * scale)


def test_features_of_averaged_channels_are_those_of_the_average_image(X, weights):
    network = trained(18, 0)
    network.fc = nn.Identity()
    found = ImageFeatures(encoder(weights)).fit_transform(X)
    assert [name for name in found if name.startswith("Feature_")] == [
        f"Feature_{place:04d}" for place in range(512)
    ]
    for row in (0, 3):
        planes = [eight_bits(X[name].iloc[row]) / 255 for name in ("Image_Hoechst", "Image_ER")]
        # One mean and deviation for all colours, as the channels have none.
        grey = (np.mean(planes, axis=0) - 0.449) / 0.226
        rgb = torch.tensor(np.stack([grey] * 3)[None], dtype=torch.float32)
        with torch.no_grad():
            expected = network(rgb)[0].numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(features(found)[row], expected, rtol=1e-3, atol=1e-4 * scale)


def test_features_are_those_before_the_head_of_a_trained_embedder(X, weights):
    """With a given head on top, they are what the encoder's own network computes."""
    image = encoder(weights, crop=32, evaluation="tiles", normalization="image")
    transformer = ImageFeatures(image).fit(X)
    fitted = clone(image).fit(X)
    network = fitted.make_network(7)
    fitted.load_weights(network)
    network.eval()
    inputs = fitted.inputs(X)
    with torch.no_grad():
        expected = network(torch.as_tensor(inputs.values[inputs.index])).numpy()
    head = network.backbone.fc
    found = torch.tensor(features(transformer.transform(X)))
    np.testing.assert_allclose(head(found).detach(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("normalization", ["dataset", "image", None])
def test_what_the_encoder_learns_is_learned_in_fit(X, weights, normalization):
    transformer = ImageFeatures(encoder(weights, normalization=normalization)).fit(X.iloc[:3])
    learned = transformer.encoder_.mean_
    if normalization != "dataset":
        assert learned is None
        return
    sites = [eight_bits(path) for path in X["Image_Hoechst"].iloc[:3]]
    np.testing.assert_allclose(learned[0], np.mean(sites), rtol=1e-12)
    alone = ImageFeatures(encoder(weights, normalization=normalization)).fit(X.iloc[3:])
    assert (features(alone.transform(X)) != features(transformer.transform(X))).any()


def test_each_plate_has_its_own_numbers(X, weights):
    image = encoder(weights, normalization="plate", controls=("Metadata_smiles", ["CCO", "CCN"]))
    transformer = ImageFeatures(image).fit(X)
    assert set(transformer.encoder_.plate_statistics_) == {"P1", "P2"}
    found = features(transformer.transform(X))
    # Rows 1 and 3 show one image on two plates.
    assert np.abs(found[1] - found[3]).max() > 1e-3
    with pytest.raises(ValueError, match="1 plate"):
        transformer.transform(X.assign(Metadata_Plate="P3"))


def test_half_precision_differs_in_the_last_digits_alone(X, weights):
    exact = features(ImageFeatures(encoder(weights)).fit_transform(X))
    coarse = features(ImageFeatures(encoder(weights), precision="bf16").fit_transform(X))
    assert coarse.dtype == np.float32
    assert (exact != coarse).any()
    assert np.corrcoef(exact.ravel(), coarse.ravel())[0, 1] > 0.999


# ------------------------------------------------------------------------------------- the table


def test_all_but_images_stays(X, weights):
    X = X.assign(Image_Mito=X["Image_ER"], Illum_DNA=None, Image_Count_Cells=7)
    X.attrs["drawn"] = True
    before = X.copy(deep=True)
    transformer = ImageFeatures(encoder(weights, channels=["DNA", "ER"], illumination=None))
    table = transformer.fit_transform(X)
    pd.testing.assert_frame_equal(X, before)
    others = [
        *("Metadata_Plate", "Metadata_count", "Metadata_smiles", "Cells_AreaShape_Area"),
        "Image_Count_Cells",  # a number, which CellProfiler gives a whole image
    ]
    assert list(table) == [*others, *transformer.feature_columns_]
    pd.testing.assert_frame_equal(table[others], X[others])
    assert (table[transformer.feature_columns_].dtypes == np.float32).all()
    assert table.attrs == {"drawn": True}
    assert transformer.other_columns_ == others
    assert transformer.get_feature_names_out().tolist() == list(table)
    assert transformer.get_feature_names_out(list(X)).tolist() == list(table)
    with pytest.raises(ValueError, match="columns of the table of fit"):
        transformer.get_feature_names_out(["a"])


def test_each_row_has_the_features_of_its_site_whatever_the_order(X, weights):
    transformer = ImageFeatures(encoder(weights)).fit(X)
    table = transformer.transform(X)
    assert (features(table)[1] == features(table)[3]).all()
    assert len(np.unique(features(table), axis=0)) == 5
    order = [5, 2, 0, 3]
    renamed = X.iloc[order].rename(columns={"Image_Hoechst": "Image_DAPI"})
    again = transformer.transform(renamed[renamed.columns[::-1]])
    assert list(again.index) == list(X.index[order])
    np.testing.assert_allclose(features(again), features(table)[order], rtol=1e-4, atol=1e-5)


def test_each_site_is_read_once_and_never_many_at_a_time(X, weights, monkeypatch):
    asked: list[int] = []
    outputs = sites_module._outputs

    def counted(network, pixels, *args):
        asked.append(len(pixels))
        return outputs(network, pixels, *args)

    monkeypatch.setattr(sites_module, "_outputs", counted)
    transformer = ImageFeatures(encoder(weights)).fit(X)
    expected = features(transformer.transform(X))
    assert sum(asked) == 5
    asked.clear()
    monkeypatch.setattr("cloome_sk.networks.dual.BLOCK_BYTES", 2 * 4 * 2 * 36 * 40)
    found = features(transformer.transform(X))
    assert asked == [2, 2, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_nothing_is_read_in_fit_where_nothing_is_learned(X, weights, monkeypatch):
    def refuse(*args):
        raise AssertionError("an image was read")

    monkeypatch.setattr(Preparation, "__call__", refuse)
    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", refuse)
    ImageFeatures(encoder(weights)).fit(X)


def test_stacks_and_arrays(weights):
    rng = np.random.default_rng(0)
    stacks = rng.integers(100, 4000, size=(3, 2, 36, 40)).astype(np.uint16)
    X = pd.DataFrame({"Image": list(stacks), "Metadata_Channels": ["ER|DNA"] * 3})
    table = ImageFeatures(encoder(weights, channelwise=True)).fit_transform(X)
    assert list(table.columns[:2]) == ["Metadata_Channels", "Feature_DNA_0000"]
    planes = pd.DataFrame({"Image_ER": list(stacks[:, 0]), "Image_DNA": list(stacks[:, 1])})
    apart = ImageFeatures(encoder(weights, channelwise=True)).fit_transform(planes)
    np.testing.assert_allclose(features(apart), features(table), rtol=1e-5, atol=1e-6)


def test_no_rows(X, weights, tmp_path):
    transformer = ImageFeatures(encoder(weights), cache=tmp_path / "kept").fit(X)
    empty = transformer.transform(X.iloc[:0])
    assert empty.shape == (0, 4 + 512)
    pd.testing.assert_series_equal(empty.dtypes, transformer.transform(X).dtypes)


def test_images_that_cannot_be_read(X, weights, tmp_path):
    broken = X.copy()
    broken["Image_ER"] = broken["Image_ER"].astype(object)
    broken.iloc[2, 1] = str(tmp_path / "absent.tif")
    broken.iloc[4, 1] = None
    strict = ImageFeatures(encoder(weights)).fit(X)
    with pytest.raises(ValueError, match=r"1 row\(s\) lack an image: row 4"):
        strict.transform(broken)
    with pytest.raises(ImageError, match=r"absent.tif.*no such file.*row 2"):
        strict.transform(broken.iloc[:4])
    expected = features(strict.transform(X))
    for cache in (None, tmp_path / "kept", tmp_path / "kept"):
        lenient = ImageFeatures(encoder(weights, on_error="skip"), cache=cache).fit(X)
        with pytest.warns(UserWarning, match="2 of 6 row.*given features of NaN: row 2"):
            table = lenient.transform(broken)
        assert np.flatnonzero(np.isnan(features(table)).all(axis=1)).tolist() == [2, 4]
        kept = [0, 1, 3, 5]
        np.testing.assert_allclose(features(table)[kept], expected[kept], rtol=1e-4, atol=1e-5)


# -------------------------------------------------------------------------- what takes the features


def test_profile_encoders_and_normalizers_take_the_columns_by_themselves(weights, tmp_path):
    screen = make_screen(
        tmp_path, n_compounds=6, n_plates=2, n_controls=4, n_sites=1, size=32, random_state=0
    )
    table = ImageFeatures(encoder(weights, channelwise=True)).fit_transform(screen)
    names = [name for name in table if name.startswith("Feature_")]
    assert len(names) == 5 * 512
    assert ProfileEncoder().fit(table).column_names_ == names
    assert ProfileFeatures().fit(table).column_names_ == names
    normalizer = ControlNormalizer().fit(table)
    assert normalizer.column_names_ == names
    embedder = CloomeEmbedder(n_components=4, max_epochs=1, random_state=0)
    embedder.fit(normalizer.transform(table))
    assert isinstance(embedder.phenotype_, ProfileEncoder)
    assert embedder.phenotype_.column_names_ == names
    bags = BagEncoder(ProfileEncoder(hidden_sizes=(8,)), group_by="well")
    CloomeEmbedder(bags, n_components=4, max_epochs=1, random_state=0).fit(table)
    with pytest.raises(ValueError, match="Say which is the phenotype"):
        CloomeEmbedder().fit(table.assign(Image_DNA=screen["Image_DNA"]))
    with pytest.raises(ValueError, match=r"no column 'smiles'.*and 2560 feature columns"):
        CloomeEmbedder().fit(table.drop(columns="Metadata_smiles"))


def test_in_a_pipeline_of_scikit_learn(X, weights, tmp_path):
    y = np.array([0, 1, 0, 1, 0, 1])
    model = make_pipeline(
        ImageFeatures(encoder(weights), cache=tmp_path / "kept"),
        ProfileFeatures(),
        LogisticRegression(),
    ).set_output(transform="pandas")
    scores = cross_val_score(model, X, y, cv=3)
    assert len(scores) == 3
    assert model.fit(X, y).predict(X).shape == (6,)
    assert model[:-1].transform(X).shape == (6, 513)
    forest = RandomForestClassifier(random_state=0).fit(
        ImageFeatures(encoder(weights)).fit_transform(X).filter(like="Feature_"), y
    )
    assert forest.n_features_in_ == 512


# -------------------------------------------------------------------------------------- the cache


class Spy:
    """Counts the sites that went through the network, and the images that were opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_computed = self.n_read = 0
        outputs = sites_module._outputs
        from cloome_sk.imaging import sources

        read_image = sources.read_image

        def counted(network, pixels, *args):
            self.n_computed += len(pixels[0] if isinstance(pixels, tuple) else pixels)
            return outputs(network, pixels, *args)

        def read(source):
            self.n_read += 1
            return read_image(source)

        monkeypatch.setattr(sites_module, "_outputs", counted)
        monkeypatch.setattr(sources, "read_image", read)

    def taken(self) -> tuple[int, int]:
        counts = self.n_computed, self.n_read
        self.n_computed = self.n_read = 0
        return counts


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


def test_what_was_computed_is_neither_read_nor_computed_again(X, weights, tmp_path, spy):
    make = partial(ImageFeatures, encoder(weights, crop=32, evaluation="center"))
    plain = make().fit_transform(X)
    spy.taken()
    first = make(cache=tmp_path / "kept").fit_transform(X)
    assert spy.taken()[0] == 5
    again = make(cache=tmp_path / "kept").fit(X).transform(X)
    assert spy.taken() == (0, 0)
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, plain)
    stored = list((tmp_path / "kept").rglob("*.npy"))
    assert len(stored) == 5
    assert all(np.load(path).shape == (512,) for path in stored)


def test_only_new_sites_are_computed(X, weights, tmp_path, spy):
    transformer = ImageFeatures(encoder(weights), cache=tmp_path / "kept").fit(X)
    few = transformer.transform(X.iloc[[1, 4]])
    assert spy.taken()[0] == 2
    every = transformer.transform(X)
    assert spy.taken()[0] == 3
    np.testing.assert_array_equal(features(every)[[1, 4]], features(few))
    plain = ImageFeatures(encoder(weights)).fit_transform(X)
    np.testing.assert_allclose(features(every), features(plain), rtol=1e-4, atol=1e-5)


def test_a_file_that_was_replaced_is_computed_anew_and_one_that_moved_is_not(
    X, weights, tmp_path, spy
):
    transformer = ImageFeatures(encoder(weights), cache=tmp_path / "kept").fit(X)
    before = features(transformer.transform(X))
    spy.taken()
    path = Path(X["Image_ER"].iloc[0])
    tifffile.imwrite(path, tifffile.imread(path)[::-1])
    old(path)
    after = features(transformer.transform(X))
    assert spy.taken()[0] == 1
    changed = np.abs(after - before).max(axis=1) > 1e-3
    assert changed.tolist() == [True, False, False, False, False, False]
    moved = path.with_name("moved.tif")
    path.rename(moved)
    transformer.transform(X.replace({"Image_ER": {str(path): str(moved)}}))
    assert spy.taken() == (0, 0)


def doubled(image: np.ndarray) -> np.ndarray:
    return np.sqrt(image.astype(np.float32))


@pytest.mark.parametrize(
    "changes",
    [
        {"channelwise": True},
        {"normalization": "image"},
        {"normalization": None},
        {"normalization": ([30.0, 40.0], [20.0, 30.0]), "channels": ["DNA", "ER"]},
        {"channels": ["ER", "DNA"]},
        {"crop": 32, "evaluation": "center"},
        {"crop": 32, "evaluation": "tiles"},
        {"scaling": "percentile"},
        {"size": (34, 38)},
        {"preprocess": doubled},
        {"precision": "bf16"},
        {"weights": "other"},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_all_that_decides_the_features_tells_them_apart(
    X, weights, other_weights, tmp_path, changes, spy
):
    changes = dict(changes)
    kept = ImageFeatures(encoder(weights), cache=tmp_path / "kept").fit(X)
    kept.transform(X)
    spy.taken()
    precision = changes.pop("precision", "fp32")
    if "weights" in changes:
        changes["weights"] = other_weights
    image = encoder(**{"weights": weights, **changes})
    other = ImageFeatures(image, cache=tmp_path / "kept", precision=precision).fit(X)
    found = features(other.transform(X))
    assert spy.taken()[0] == 5
    plain = ImageFeatures(clone(image), precision=precision).fit_transform(X)
    np.testing.assert_array_equal(found, features(plain))


def test_numbers_that_were_learned_tell_features_apart(X, weights, tmp_path, spy):
    image = encoder(weights, normalization="dataset")
    for rows in (X.iloc[:3], X.iloc[3:]):
        transformer = ImageFeatures(clone(image), cache=tmp_path / "kept").fit(rows)
        spy.taken()
        transformer.transform(X)
        assert spy.taken()[0] == 5
    plates = encoder(weights, normalization="plate", controls=("Metadata_count", [1, 9, 3]))
    first = ImageFeatures(plates, cache=tmp_path / "kept").fit(X)
    found = features(first.transform(X))
    assert spy.taken()[0] == 6  # one image on two plates
    np.testing.assert_array_equal(found, features(first.transform(X)))
    assert spy.taken() == (0, 0)
    swapped = X.assign(Metadata_Plate=["P1", "P2", "P2", "P1", "P2", "P1"])
    assert (features(first.transform(swapped)) != found).any()


def test_the_same_weights_in_another_file_are_the_same(X, weights, tmp_path, spy):
    state = torch.load(weights, weights_only=True)
    elsewhere = tmp_path / "parallel.pth"
    torch.save(
        {"state_dict": {f"module.{name}": value for name, value in state.items()}}, elsewhere
    )
    ImageFeatures(encoder(weights), cache=tmp_path / "kept").fit_transform(X)
    spy.taken()
    ImageFeatures(encoder(elsewhere), cache=tmp_path / "kept").fit_transform(X)
    assert spy.taken() == (0, 0)


def test_damage_is_noticed(X, weights, tmp_path, spy):
    transformer = ImageFeatures(encoder(weights), cache=tmp_path / "kept").fit(X)
    before = transformer.transform(X)
    spy.taken()
    one, other, *_ = (tmp_path / "kept").rglob("*.npy")
    one.write_bytes(one.read_bytes()[:-100])
    content = bytearray(other.read_bytes())
    content[500] ^= 1
    other.write_bytes(content)
    after = transformer.transform(X)
    assert spy.taken()[0] == 2
    np.testing.assert_allclose(features(after), features(before), rtol=1e-4, atol=1e-5)


def test_a_file_replaced_while_it_is_read_is_not_stored_under_its_old_name(
    X, weights, tmp_path, monkeypatch
):
    path = Path(X["Image_ER"].iloc[0])
    first = path.read_bytes()
    outputs = sites_module._outputs

    def replacing(*args):
        tifffile.imwrite(path, tifffile.imread(path)[::-1])
        return outputs(*args)

    monkeypatch.setattr(sites_module, "_outputs", replacing)
    transformer = ImageFeatures(encoder(weights), cache=tmp_path / "kept").fit(X)
    transformer.transform(X)
    assert path.read_bytes() != first
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 4


def test_processes_and_threads_share_a_folder(X, weights, tmp_path, spy):
    transformer = ImageFeatures(encoder(weights, n_jobs=2), cache=tmp_path / "kept").fit(X)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda t: t.transform(X), [transformer, clone(transformer).fit(X)])
    np.testing.assert_allclose(features(one), features(other), rtol=1e-4, atol=1e-5)
    spy.taken()
    for name, value in (("fitted", transformer), ("table", X)):
        joblib.dump(value, tmp_path / f"{name}.joblib")
    code = (
        "import joblib, sys\n"
        "import cloome_sk._features_sites as s\n"
        "def refuse(*a): raise AssertionError('computed')\n"
        "s._outputs = refuse\n"
        "folder = sys.argv[1]\n"
        "t, X = (joblib.load(f'{folder}/{n}.joblib') for n in ('fitted', 'table'))\n"
        "joblib.dump(t.transform(X), f'{folder}/found.joblib')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    found = joblib.load(tmp_path / "found.joblib")
    pd.testing.assert_frame_equal(found, transformer.transform(X))


# ------------------------------------------------------------------------- networks of the user's


class Moments(nn.Module):
    """Brings its weights: none but a factor."""

    def __init__(self, n_channels: int, n_components: int | None, factor: float = 2.0) -> None:
        super().__init__()
        assert n_components is None
        self.factor = nn.Parameter(torch.full((n_channels,), factor))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        flat = pixels.flatten(2)
        return torch.cat([flat.mean(dim=2) * self.factor, flat.std(dim=2)], dim=1)


class Shifted(Moments):
    """The same weights, another code."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return super().forward(pixels) + 1


def test_a_network_of_the_users(X, tmp_path, spy):
    for channels in (None, ["DNA", "ER"]):
        image = ImageEncoder(network=Moments, channels=channels, normalization=None)
        transformer = ImageFeatures(image, cache=tmp_path / "kept").fit(X)
        assert transformer.feature_columns_ == [f"Feature_{place:04d}" for place in range(4)]
        assert transformer.encoder_.network is Moments
        assert transformer.encoder_.channels == channels
        found = features(transformer.transform(X))
        dna, er = (
            np.stack([eight_bits(path) / 255 for path in X[name]]).reshape(len(X), -1)
            for name in ("Image_Hoechst", "Image_ER")
        )
        expected = [2 * dna.mean(1), 2 * er.mean(1), dna.std(1, ddof=1), er.std(1, ddof=1)]
        np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-5)
    assert spy.taken()[0] == 5
    again = pickle.loads(pickle.dumps(transformer))
    np.testing.assert_array_equal(features(again.transform(X)), found)
    assert spy.taken() == (0, 0)
    for network in (Shifted, partial(Moments, factor=3.0)):
        image = ImageEncoder(network=network, normalization=None)
        other = ImageFeatures(image, cache=tmp_path / "kept").fit(X)
        assert (features(other.transform(X)) != found).any()
        assert spy.taken()[0] == 5


def test_a_network_of_the_users_sees_what_is_learned_and_crops(X):
    image = ImageEncoder(network=Moments, crop=8, evaluation="center", normalization="dataset")
    transformer = ImageFeatures(image).fit(X)
    found = features(transformer.transform(X))
    crops = np.stack([eight_bits(path)[14:22, 16:24] for path in X["Image_Hoechst"]])
    mean, std = transformer.encoder_.mean_[0], transformer.encoder_.std_[0]
    expected = 2 * ((crops - mean) / std).mean(axis=(1, 2))
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_one_image_is_read_for_its_shape(X, spy):
    ImageFeatures(ImageEncoder(network=Moments, normalization=None)).fit(X)
    assert spy.taken() == (0, 2)  # two channels


class Flat(Moments):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean()


class Divided(Moments):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        means = pixels.mean(dim=(2, 3))
        return torch.log(means - 10) if means.any() else means


class Opened(Moments):
    """Holds what nobody can compare."""

    def __init__(self, n_channels: int, n_components: int | None) -> None:
        super().__init__(n_channels, n_components)
        self.file = open(os.devnull)  # noqa: SIM115


def hooked(n_channels: int, n_components: int | None) -> nn.Module:
    network = Moments(n_channels, n_components)
    network.register_forward_hook(lambda *args: args[-1] * 2)
    return network


def compiled(n_channels: int, n_components: int | None) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(Moments(n_channels, n_components), torch.zeros(1, n_channels, 8, 8))


def halved(n_channels: int, n_components: int | None) -> nn.Module:
    return Moments(n_channels, n_components).to(torch.bfloat16)


def seeded_twice(n_channels: int, n_components: int | None) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(n_channels * 36 * 40, 3))


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (SmallCNN, ValueError, "called with n_channels=2 and n_components=None.*raised"),
        (seeded_twice, ValueError, "2 of its 2 weights are random.*'1.weight'"),
        (Flat, ValueError, r"must map .* to \(n_sites, n_features\).*\(\)"),
        (halved, ValueError, "'backbone.factor'.*bfloat16"),
    ],
)
def test_networks_that_give_no_features(X, network, error, message):
    with pytest.raises(error, match=message):
        ImageFeatures(ImageEncoder(network=network, normalization=None)).fit(X)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Opened, "the Opened: it holds what cannot be compared"),
        (hooked, "the Moments: it has hooks"),
        (compiled, "compiled program"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore:.*torch.jit")
def test_networks_that_a_cache_cannot_tell_apart(X, network, message, tmp_path):
    image = ImageEncoder(network=network, normalization=None)
    with pytest.raises(TypeError, match=rf"(?s){message}.*Set cache=None"):
        ImageFeatures(image, cache=tmp_path / "kept").fit(X)
    assert np.isfinite(features(ImageFeatures(image).fit_transform(X))).all()


def test_features_that_are_no_numbers_are_refused(X):
    transformer = ImageFeatures(ImageEncoder(network=Divided, normalization=None)).fit(X)
    with pytest.raises(ValueError, match=r"NaN or infinity for row 0 \(index 4\) and 4 other"):
        transformer.transform(X)


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, ValueError, r"which trained network to take.*weights=path"),
        (ImageEncoder(), ValueError, r"network='auto'\) would be random.*weights=path"),
        (ImageEncoder(network="resnet18"), ValueError, "network='resnet18'.*would be random"),
        (ProfileEncoder(), TypeError, "takes an ImageEncoder, got ProfileEncoder"),
        (BagEncoder(ImageEncoder()), TypeError, "ImageEncoder inside of the BagEncoder"),
        (ImageEncoder, TypeError, "not its class"),
        ("resnet50.pth", TypeError, "got str"),
    ],
)
def test_encoders_without_features(X, given, error, message):
    with pytest.raises(error, match=message):
        ImageFeatures(given).fit(X)


def test_parameters_and_tables_that_do_not_fit(X, weights, tmp_path):
    make = partial(ImageFeatures, encoder(weights))
    with pytest.raises(TypeError, match=r"pandas DataFrame.*got ndarray"):
        make().fit(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="no image columns"):
        make().fit(X.drop(columns=["Image_ER", "Image_Hoechst"]))
    with pytest.raises(ValueError, match="names a folder, or is None"):
        make(cache="memory").fit(X)
    with pytest.raises(ValueError, match="'precision' parameter"):
        make(precision="fp16").fit(X)
    with pytest.raises(ValueError, match="no torch device"):
        make(device="nowhere").fit(X)
    with pytest.raises(FileNotFoundError, match="no such weight file"):
        ImageFeatures(encoder(tmp_path / "absent.pth")).fit(X)
    with pytest.raises(ValueError, match="cannot take them"):
        ImageFeatures(encoder(weights, network=Moments)).fit(X)
    with pytest.raises(NotFittedError):
        make().transform(X)
    transformer = make().fit(X)
    with pytest.raises(TypeError, match="pandas DataFrame"):
        transformer.transform(X.to_numpy())
    with pytest.raises(ValueError, match="ER"):
        transformer.transform(X.drop(columns="Image_ER"))
    table = transformer.transform(X)
    both = X.assign(Feature_0003=table["Feature_0003"])
    with pytest.raises(ValueError, match=r"1 of the columns to add already \(Feature_0003\)"):
        transformer.transform(both)
    with pytest.raises(ValueError, match="not 'polars'"):
        make().set_output(transform="polars")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Name a folder"):
        make(cache=tmp_path / "file").fit(X).transform(X)


def test_a_fit_that_fails_leaves_the_earlier_one(X, weights):
    transformer = ImageFeatures(encoder(weights)).fit(X)
    before = transformer.transform(X)
    with pytest.raises(ValueError, match="Mito"):
        transformer.set_params(encoder__channels=["Mito"]).fit(X)
    pd.testing.assert_frame_equal(transformer.transform(X), before)


# ----------------------------------------------------------------------------------- an estimator


def test_a_stored_transformer_needs_no_file(X, weights, tmp_path):
    copy = tmp_path / "copy.pth"
    copy.write_bytes(weights.read_bytes())
    transformer = ImageFeatures(encoder(copy, channelwise=True)).fit(X)
    expected = transformer.transform(X)
    joblib.dump(transformer, tmp_path / "fitted.joblib")
    copy.unlink()
    loaded = joblib.load(tmp_path / "fitted.joblib")
    pd.testing.assert_frame_equal(loaded.transform(X), expected)
    mapped = joblib.load(tmp_path / "fitted.joblib", mmap_mode="r")
    pd.testing.assert_frame_equal(mapped.transform(X), expected)
    with pytest.raises(FileNotFoundError):
        clone(transformer).fit(X)


def test_generators_are_left_alone(X, weights):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    ImageFeatures(encoder(weights)).fit_transform(X)
    ImageFeatures(ImageEncoder(network=Moments, normalization=None)).fit_transform(X)
    assert torch.equal(torch.get_rng_state(), before)


def test_progress_is_shown_when_asked_for(X, weights, capsys, tmp_path):
    kept = tmp_path / "kept"
    ImageFeatures(encoder(weights), cache=kept).fit(X).transform(X.iloc[:2])
    assert capsys.readouterr().err == ""
    ImageFeatures(encoder(weights), cache=kept, verbose=1).fit(X).transform(X)
    shown = capsys.readouterr().err
    assert "Features" in shown
    assert "5/5" in shown


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learn_checks_that_need_no_array(check):
    """The others fit on matrices of numbers, which hold no image."""
    check("ImageFeatures", ImageFeatures())
