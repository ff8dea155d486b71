"""ImageEncoder: settings that are given and not learned, those of the published model too."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import Tensor, nn

from cloome_sk import CloomeEmbedder
from cloome_sk.checkpoints import PUBLISHED
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.imaging import read_image
from cloome_sk.networks import ImageNetResNet, ResNet

SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]
MEAN, STD = (30.0, 41.5), (12.0, 20.25)


class Mean(nn.Module):
    """A network that is quick, and takes images of any size."""

    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_channels, n_components)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.mean(dim=(2, 3)))


def site_table(
    n: int = 4, shape: tuple[int, int] = (36, 40), names: tuple[str, ...] = ("DNA", "ER")
) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Metadata_smiles": [SMILES[i % 4] for i in range(n)]})
    for name in names:
        table[f"Image_{name}"] = list(rng.integers(100, 4000, (n, *shape)).astype(np.uint16))
    return table


def on_disk(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    table = table.copy()
    for name in [name for name in table.columns if name.startswith("Image_")]:
        paths = [folder / f"{row}_{name}.tif" for row in range(len(table))]
        for path, image in zip(paths, table[name], strict=True):
            tifffile.imwrite(path, image)
        table[name] = [str(path) for path in paths]
    return table


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image file was read, in this process."""
    seen: Counter[str] = Counter()

    def counted(source: Any, **options: Any) -> np.ndarray:
        if not isinstance(source, np.ndarray):
            seen[Path(source).name] += 1
        return read_image(source, **options)

    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", counted)
    return seen


def pixels(encoder: ImageEncoder, table: pd.DataFrame) -> np.ndarray:
    inputs = encoder.inputs(table)
    assert (inputs.index >= 0).all()
    return inputs.values[inputs.index]


def embedder(phenotype: Any, **parameters: Any) -> CloomeEmbedder:
    settings = {"n_components": 3, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    return CloomeEmbedder(phenotype, MoleculeEncoder(hidden_sizes=()), **{**settings, **parameters})


# ---------------------------------------------------------------- numbers that are given


@pytest.mark.parametrize(
    "given",
    [
        (MEAN, STD),
        [list(MEAN), list(STD)],
        np.array([MEAN, STD]),
        (np.array(MEAN, dtype=np.float32), pd.Series(STD)),
    ],
    ids=["tuples", "lists", "array", "arrays"],
)
def test_given_numbers_normalise_and_nothing_is_learned(given: Any) -> None:
    table = site_table()
    encoder = clone(ImageEncoder(network=Mean, channels=["ER", "DNA"], normalization=given))
    network = encoder.fit(table).make_network(3).eval()
    np.testing.assert_array_equal(encoder.mean_, MEAN)
    np.testing.assert_array_equal(encoder.std_, STD)
    values = pixels(encoder, table)
    with torch.no_grad():
        output = network(torch.from_numpy(values)).numpy()
    normalized = (values - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    linear = network.backbone.linear
    means = normalized.mean(axis=(2, 3))
    expected = means @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    assert "normalization" in repr(encoder)


def test_given_numbers_are_searched_like_any_parameter() -> None:
    table = site_table(12)
    model = embedder(ImageEncoder(network=Mean, channels=["DNA", "ER"]), batch_size=4)
    choices = ["dataset", (MEAN, STD), [MEAN, STD], np.array([STD, STD])]

    def score(fitted: CloomeEmbedder, X: pd.DataFrame, y: Any = None) -> float:
        return -float(fitted.phenotype_.mean_[0])

    search = GridSearchCV(
        model, {"phenotype__normalization": choices}, scoring=score, cv=2, error_score="raise"
    ).fit(table)
    np.testing.assert_array_equal(search.best_estimator_.phenotype_.mean_, STD)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((MEAN, STD, STD), "must be two sequences of numbers"),
        ((30.0, 12.0), "must be two sequences of numbers"),
        (("30", "12"), "must be two sequences of numbers"),
        ((["30", "40"], ["1", "2"]), "must be two sequences of numbers"),
        (([MEAN], [STD]), "must be two sequences of numbers"),
        (([True, True], [True, True]), "must be two sequences of numbers"),
        ({"mean": MEAN, "std": STD}, "must be two sequences of numbers"),
        ((MEAN, (1.0, 2.0, 3.0)), "has 2 and 3 numbers, and channels= names 2: DNA, ER"),
        (((1.0,), (1.0,)), "has 1 and 1 numbers, and channels= names 2: DNA, ER"),
        ((MEAN, (12.0, 0.0)), r"std above 0; channel 'ER' has mean 41\.5 and std 0\.0"),
        ((MEAN, (-12.0, 1.0)), r"std above 0; channel 'DNA' has mean 30\.0 and std -12\.0"),
        (((30.0, np.nan), STD), "channel 'ER' has mean nan"),
        ((MEAN, (np.inf, 1.0)), "channel 'DNA' has mean 30.0 and std inf"),
    ],
)
def test_numbers_that_normalise_nothing(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageEncoder(channels=["DNA", "ER"], normalization=given).fit(site_table())


def test_given_numbers_need_their_channels() -> None:
    with pytest.raises(ValueError, match="one number for each of channels=, which is None"):
        ImageEncoder(normalization=(MEAN, STD)).fit(site_table())


# ---------------------------------------------------------------- ready


def told(**parameters: Any) -> ImageEncoder:
    """An encoder that has nothing to learn."""
    settings = {
        "network": Mean,
        "channels": ["ER", "DNA"],
        "normalization": (MEAN, STD),
        "illumination": None,
        "cache": None,
    }
    return ImageEncoder(**{**settings, **parameters})  # type: ignore[arg-type]


def as_stacks(table: pd.DataFrame, order: tuple[str, ...], stated: str | None) -> pd.DataFrame:
    stacks = [
        np.stack(planes) for planes in zip(*(table[f"Image_{name}"] for name in order), strict=True)
    ]
    other = table[["Metadata_smiles"]].assign(Image=stacks)
    return other if stated is None else other.assign(Metadata_Channels=stated)


def test_what_is_ready_gives_what_is_fitted() -> None:
    table = site_table()
    fitted, ready = told().fit(table), told().ready()
    assert ready.site_shape_ is None
    assert ready.column_names_ is None
    assert ready.channels_ == fitted.channels_ == ("ER", "DNA")
    np.testing.assert_array_equal(pixels(ready, table), pixels(fitted, table))
    np.testing.assert_array_equal(ready.mean_, fitted.mean_)
    assert ready.site_dtype_ == fitted.site_dtype_ == np.uint8
    again = pickle.loads(pickle.dumps(ready))
    np.testing.assert_array_equal(pixels(again, table), pixels(fitted, table))
    assert clone(ready).fit(table).ready().site_shape_ is None


@pytest.mark.parametrize("with_table", [False, True])
def test_any_form_of_the_table_gives_the_same(with_table: bool) -> None:
    table = site_table(names=("DNA", "ER", "Mito"))
    encoder = told(channels=["Mito", "DNA"]).ready(table if with_table else None)
    reference = pixels(encoder, table)
    np.testing.assert_array_equal(
        reference, pixels(told(channels=["Mito", "DNA"]).fit(table), table)
    )
    renamed = table[["Image_Mito", "Image_ER", "Image_DNA"]].set_axis(
        ["Image_OrigMito", "Image_ERSyto", "Image_Hoechst"], axis=1
    )
    forms = [
        renamed,
        as_stacks(table, ("ER", "Mito", "DNA"), "ERSyto|OrigMito|DAPI"),
        as_stacks(table, ("DNA", "Mito"), "DNA|Mito"),
    ]
    for other in forms:
        np.testing.assert_array_equal(pixels(encoder, other), reference)
    with pytest.raises(ValueError, match="DNA"):
        encoder.inputs(table.drop(columns="Image_DNA"))


@pytest.mark.parametrize("with_table", [False, True])
def test_channels_of_a_model_do_not_say_how_somebody_stacked_theirs(with_table: bool) -> None:
    stacks = as_stacks(site_table(names=("DNA", "Mito")), ("DNA", "Mito"), None)
    encoder = told(channels=["Mito", "DNA"])
    with pytest.raises(ValueError, match=r"nothing says which channel.*Add a column"):
        encoder.ready(stacks if with_table else None).inputs(stacks)
    with pytest.raises(ValueError, match="nothing says which channel"):
        encoder.fit(stacks)


def test_each_table_has_its_own_shape() -> None:
    encoder = told().ready()
    for shape in ((20, 30), (17, 16), (20, 30)):
        assert pixels(encoder, site_table(shape=shape)).shape == (4, 2, *shape)
    mixed = pd.concat([site_table(3, (20, 30)), site_table(1, (30, 20))], ignore_index=True)
    with pytest.raises(ValueError, match=r"shape \(2, 30, 20\), others have \(2, 20, 30\).*row 3"):
        pixels(encoder, mixed)
    sized = told(size=(10, 12)).ready()
    assert pixels(sized, mixed).shape == (4, 2, 10, 12)


def test_crops_are_cut_from_fields_of_any_size() -> None:
    encoder = told(crop=(16, 20), evaluation="center").ready()
    network = encoder.make_network(3).eval()
    for shape, corner in (((16, 20), (0, 0)), ((30, 24), (7, 2))):
        values = pixels(encoder, site_table(shape=shape))
        window = values[..., corner[0] : corner[0] + 16, corner[1] : corner[1] + 20]
        with torch.no_grad():
            whole, cut = (network(torch.from_numpy(part)) for part in (values, window.copy()))
        torch.testing.assert_close(whole, cut)


def test_all_that_would_have_to_be_learned_is_named() -> None:
    with pytest.raises(ValueError, match="what 4 of the parameters ask for") as caught:
        ImageEncoder(scaling="plate").ready()
    for reason in ("channels=None", 'scaling="plate"', '"dataset"', 'illumination="auto"'):
        assert reason in str(caught.value)
    for parameter in ({"scaling": "none"}, {"normalization": "plate"}, {"scaling": "plate"}):
        ((name, value),) = parameter.items()
        with pytest.raises(ValueError, match=f'1 of the parameters ask for: {name}="{value}"'):
            told(**parameter).ready(site_table())
        assert told(**parameter).learns
    assert not told(illumination="auto").learns
    assert not ImageEncoder.published().learns
    assert ImageEncoder().learns
    with pytest.raises(TypeError, match="columns of a pandas DataFrame"):
        told().ready(np.zeros((2, 3)))


def test_a_table_says_whether_there_are_illumination_functions(tmp_path: Path) -> None:
    table = site_table()
    for number, name in enumerate(("DNA", "ER")):
        function = np.full((36, 40), 2.0 + number, dtype=np.float32)
        function[0] = 9
        np.save(tmp_path / f"{name}.npy", function)
        table[f"Illum_{name}"] = str(tmp_path / f"{name}.npy")
    with pytest.raises(ValueError, match='illumination="auto" asks the table'):
        told(illumination="auto").ready()
    corrected = told(illumination="auto").ready(table)
    fitted = told(illumination="auto").fit(table)
    np.testing.assert_array_equal(pixels(corrected, table), pixels(fitted, table))
    plain = told().ready(table)
    assert (pixels(plain, table) != pixels(corrected, table)).any()
    with pytest.raises(ValueError, match="no columns Illum_<channel>"):
        corrected.inputs(table[["Image_DNA", "Image_ER"]])


def test_channels_of_imagenet_weights_may_come_from_the_table(tmp_path: Path) -> None:
    weights = tmp_path / "resnet18.pth"
    torch.save(ImageNetResNet(3, 1000, depth=18).state_dict(), weights)
    encoder = told(weights=weights, network="auto", channels=None, normalization="imagenet")
    with pytest.raises(ValueError, match="channels=None"):
        encoder.ready()
    assert encoder.ready(site_table(names=("Mito", "DNA"))).channels_ == ("DNA", "Mito")
    assert not encoder.learns
    with pytest.raises(ValueError, match="channels=None"):
        encoder.set_params(weights=None, network=Mean, normalization=None).ready(site_table())


def test_ready_reads_no_image(tmp_path: Path, reads: Counter[str]) -> None:
    table = on_disk(site_table(), tmp_path)
    told().ready(table)
    assert not reads


def test_tables_of_which_nothing_can_be_read_are_nan(tmp_path: Path) -> None:
    table = on_disk(site_table(), tmp_path)
    for path in table["Image_DNA"]:
        Path(path).write_bytes(b"no image")
    skipping = told(on_error="skip", network="small").ready()
    inputs = skipping.inputs(table)
    assert inputs.values[:].shape == (4, 2, 16, 16)
    assert sorted(inputs.values.failed) == [0, 1, 2, 3]
    crop = told(on_error="skip", network="small", crop=24, evaluation="tiles").ready()
    assert crop.inputs(table).values.shape == (4, 2, 24, 24)
    with pytest.raises(ValueError, match="no image of the table can be read"):
        told(on_error="skip").ready().inputs(table)
    with pytest.raises(ValueError, match="the table has no rows"):
        skipping.inputs(table.iloc[:0])


def test_a_failed_ready_leaves_the_earlier_fit(tmp_path: Path) -> None:
    table = site_table()
    encoder = told().fit(table)
    encoder.set_params(network="auto", weights=tmp_path / "absent.pth")
    with pytest.raises(FileNotFoundError):
        encoder.ready()
    assert encoder.site_shape_ == (2, 36, 40)
    assert pixels(encoder, table).shape == (4, 2, 36, 40)


# ---------------------------------------------------------------- the published model


def test_the_published_settings_are_those_beside_the_weights() -> None:
    parameters = ImageEncoder.published().get_params()
    assert tuple(parameters["channels"]) == PUBLISHED.channels
    assert parameters["normalization"] == (PUBLISHED.mean, PUBLISHED.std)
    assert parameters["crop"] == PUBLISHED.crop
    for name in ("scaling", "pooling"):
        assert parameters[name] == getattr(PUBLISHED, name)
    changed = ImageEncoder.published(crop=None, evaluation="full", columns="Image")
    assert (changed.crop, changed.columns, changed.network) == (None, "Image", "resnet50")
    with pytest.raises(TypeError, match="unexpected keyword argument 'resolution'"):
        ImageEncoder.published(resolution=1)


def test_the_published_network_on_the_middle_of_a_field() -> None:
    names = ("DNA", "AGP", "Mito", "RNA", "ER")
    table = site_table(1, (230, 260), names)
    encoder = ImageEncoder.published(crop=(224, 250), network="resnet18").ready()
    network = encoder.make_network(4).eval()
    values = pixels(encoder, table)
    middle = values[:, :, 3:227, 5:255].astype(np.float64)
    numbers = np.array([PUBLISHED.mean, PUBLISHED.std])[:, None, :, None, None]
    normalized = torch.from_numpy(((middle - numbers[0]) / numbers[1]).astype(np.float32))
    with torch.no_grad():
        part = encoder.pretrained_part(network)
        torch.testing.assert_close(network(torch.from_numpy(values)), part(normalized))
        # The mean of the means of all windows of 7 x 7 positions of the last map.
        (last,) = last_maps(part, normalized)
        windows = last.unfold(1, 7, 1).unfold(2, 7, 1).mean(dim=(3, 4))
        expected = part.fc(windows.mean(dim=(1, 2))[None])
        torch.testing.assert_close(part(normalized), expected)
    # Channels in the order of the weights, whatever that of the table.
    agp = encoder.channels_.index("AGP")
    alone = ImageEncoder(channels=["AGP"], scaling=PUBLISHED.scaling, network=Mean).fit(table)
    np.testing.assert_array_equal(values[:, agp], pixels(alone, table)[:, 0])


def last_maps(network: nn.Module, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    handle = network.layer4.register_forward_hook(lambda module, given, output: seen.append(output))
    network(images)
    handle.remove()
    return seen[0]


def test_the_network_of_depth_50_has_the_authors_names() -> None:
    encoder = ImageEncoder.published().ready()
    with torch.device("meta"):
        part = encoder.pretrained_part(encoder.make_network(512))
        expected = ResNet(5, 512, depth=50, pooling="legacy")
    assert part.pooling == "legacy"
    assert {name: value.shape for name, value in part.state_dict().items()} == {
        name: value.shape for name, value in expected.state_dict().items()
    }
