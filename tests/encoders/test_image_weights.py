"""ImageEncoder: ImageNet weights from files."""

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
import torch.nn.functional as F  # noqa: N812
from sklearn.base import clone
from torch import Tensor, nn

from cloome_sk import CloomeEmbedder
from cloome_sk.checkpoints import read_state
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.imaging import read_image
from cloome_sk.networks import ImageNetResNet

SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]


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


def weight_file(folder: Path, depth: int = 18, seed: int = 0) -> Path:
    """Random weights as torchvision writes them, BatchNorm's numbers included."""
    path = folder / f"resnet{depth}_{seed}.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = ImageNetResNet(3, 1000, depth=depth).state_dict()
        for name, value in state.items():
            if "bn" in name or "downsample.1" in name:
                if name.endswith(("weight", "running_var")):
                    value.uniform_(0.5, 1.5)
                elif name.endswith(("bias", "running_mean")):
                    value.normal_(0.0, 0.1)
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weight_file(tmp_path_factory.mktemp("weights"))


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


def normed(state: dict[str, Tensor], name: str, values: Tensor) -> Tensor:
    numbers = [state[f"{name}.{part}"] for part in ("running_mean", "running_var")]
    return F.batch_norm(values, *numbers, state[f"{name}.weight"], state[f"{name}.bias"])


def resnet18_features(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """What torchvision's resnet18 gives before its classes, from the state dict alone."""
    first = F.conv2d(images, state["conv1.weight"], stride=2, padding=3)
    values = F.max_pool2d(normed(state, "bn1", first).relu(), 3, stride=2, padding=1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            inner = F.conv2d(values, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = normed(state, f"{name}.bn1", inner).relu()
            inner = F.conv2d(inner, state[f"{name}.conv2.weight"], padding=1)
            inner = normed(state, f"{name}.bn2", inner)
            if f"{name}.downsample.0.weight" in state:
                values = F.conv2d(values, state[f"{name}.downsample.0.weight"], stride=stride)
                values = normed(state, f"{name}.downsample.1", values)
            values = (inner + values).relu()
    return values.mean(dim=(2, 3))


def features(encoder: ImageEncoder, given: np.ndarray) -> Tensor:
    """Output of the encoder's network, its last layer taken off."""
    network = encoder.make_network(3)
    encoder.load_weights(network)
    encoder.pretrained_part(network).fc = nn.Identity()
    with torch.no_grad():
        return network.eval()(torch.from_numpy(given))


@pytest.mark.parametrize("normalization", ["imagenet", None])
def test_channels_one_by_one_are_grey_images_of_the_file_s_network(
    weights: Path, normalization: str | None
) -> None:
    table = site_table()
    encoder = ImageEncoder(weights=weights, channelwise=True, normalization=normalization)
    given = pixels(encoder.fit(table), table)
    state = read_state(weights)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    expected = []
    for channel in range(2):
        grey = torch.from_numpy(given[:, [channel] * 3].astype(np.float32)) / 255
        if normalization == "imagenet":
            grey = (grey - mean) / std
        expected.append(resnet18_features(state, grey))
    torch.testing.assert_close(
        features(encoder, given), torch.cat(expected, dim=1), rtol=1e-4, atol=1e-4
    )


def test_a_widened_network_sees_the_average_of_the_channels(weights: Path) -> None:
    table = site_table(names=("DNA", "ER", "Mito"))
    encoder = ImageEncoder(weights=weights, normalization="image").fit(table)
    given = pixels(encoder, table)
    values = given.astype(np.float64)
    values -= values.mean(axis=(2, 3), keepdims=True)
    values /= values.std(axis=(2, 3), keepdims=True)
    average = torch.from_numpy(values.mean(axis=1, keepdims=True).astype(np.float32))
    expected = resnet18_features(read_state(weights), average.expand(-1, 3, -1, -1))
    torch.testing.assert_close(features(encoder, given), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_the_depth_is_that_of_the_file(tmp_path: Path, depth: int) -> None:
    path = weight_file(tmp_path, depth)
    encoder = ImageEncoder(weights=str(path)).fit(site_table())
    assert encoder.depth_ == depth
    part = encoder.pretrained_part(encoder.make_network(3))
    assert (part.depth, part.n_channels, part.fc.out_features) == (depth, 2, 3)
    assert ImageEncoder().fit(site_table()).depth_ is None


def test_prefixes_of_parallel_training_and_a_missing_head_are_no_hindrance(
    tmp_path: Path, weights: Path
) -> None:
    state = {
        f"module.{name}": value
        for name, value in read_state(weights).items()
        if not name.startswith("fc.") and "num_batches" not in name
    }
    torch.save({"state_dict": state, "epoch": 90}, tmp_path / "parallel.pth")
    table = site_table()
    reference = ImageEncoder(weights=weights).fit(table)
    other = ImageEncoder(weights=tmp_path / "parallel.pth").fit(table)
    given = pixels(reference, table)
    torch.testing.assert_close(features(other, given), features(reference, given))


def test_training_starts_from_the_file_and_the_model_lives_without_it(tmp_path: Path) -> None:
    path = weight_file(tmp_path)
    table = site_table(8)
    stored = read_state(path)
    # So small a rate leaves all weights where they start.
    start = embedder(ImageEncoder(weights=path), lr=1e-12, weight_decay=0.0).fit(table)
    for name, value in stored.items():
        if name.startswith("layer") and name.endswith(("conv1.weight", "bn2.bias")):
            got = start.state_[f"phenotype.backbone.{name}"]
            np.testing.assert_allclose(got, value.numpy(), rtol=0, atol=1e-7)
    random = embedder(ImageEncoder(network="resnet18"), lr=1e-12, weight_decay=0.0).fit(table)
    name = "phenotype.backbone.layer1.0.conv1.weight"
    assert np.abs(random.state_[name] - start.state_[name]).max() > 0.01
    expected = start.transform(table)
    dumped = pickle.dumps(start)
    path.unlink()
    np.testing.assert_array_equal(pickle.loads(dumped).transform(table), expected)
    with pytest.raises(FileNotFoundError, match=r"resnet18_0\.pth"):
        clone(start).fit(table)


def test_the_architecture_needs_no_file_and_fresh_weights_do(tmp_path: Path) -> None:
    path = weight_file(tmp_path)
    encoder = ImageEncoder(weights=path).fit(site_table())
    path.unlink()
    with torch.device("meta"):
        network = encoder.make_network(3)
    assert all(value.is_meta for value in network.state_dict().values())
    with pytest.raises(FileNotFoundError, match=r"resnet18_0\.pth"):
        encoder.load_weights(encoder.make_network(3))


def test_a_file_that_was_replaced_by_another_depth_is_refused(tmp_path: Path) -> None:
    path = weight_file(tmp_path)
    encoder = ImageEncoder(weights=path).fit(site_table())
    weight_file(tmp_path, 34).replace(path)
    with pytest.raises(ValueError, match=r"resnet18_0\.pth.*depth=18.*a ResNet of depth 34"):
        encoder.load_weights(encoder.make_network(3))


def deeper(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, value in list(state.items()):
        if name.startswith("layer3.5."):
            for block in range(6, 23):
                state[name.replace("layer3.5.", f"layer3.{block}.")] = value
    return state


def infinite(state: dict[str, Tensor]) -> dict[str, Tensor]:
    state["layer4.0.conv1.weight"][0, 0, 0, 0] = torch.inf
    return state


def five_channels(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**state, "conv1.weight": torch.zeros(64, 5, 7, 7)}


@pytest.mark.parametrize(
    ("change", "depth", "message"),
    [
        (deeper, 50, "They look like a ResNet of depth 101"),
        (infinite, 34, r"not finite: layer4\.0\.conv1\.weight"),
        (lambda state: {"weight": torch.zeros(2, 3)}, 18, "no ResNet in torchvision's format"),
        (five_channels, 18, r"conv1\.weight \(64, 5, 7, 7\) instead of \(64, 3, 7, 7\)"),
    ],
    ids=["deeper", "infinite", "other", "five"],
)
def test_files_that_do_not_fit_are_refused_before_images_are_read(
    tmp_path: Path, reads: Counter[str], change: Any, depth: int, message: str
) -> None:
    path = tmp_path / "changed.pth"
    torch.save(change(read_state(weight_file(tmp_path, depth))), path)
    table = on_disk(site_table(), tmp_path)
    with pytest.raises(ValueError, match=rf"^ImageEncoder: weights='.*changed\.pth'.*{message}"):
        ImageEncoder(weights=path).fit(table)
    encoder = ImageEncoder(weights=path, channels=["ER"], normalization=None, illumination=None)
    with pytest.raises(ValueError, match=message):
        encoder.ready()
    assert not hasattr(encoder, "channels_")
    with pytest.raises(FileNotFoundError):
        ImageEncoder(weights=tmp_path / "absent.pth").fit(table)
    assert not reads


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"weights": "f.pth", "network": "resnet50"}, "network='resnet50' cannot take them"),
        ({"weights": "f.pth", "network": Mean}, "cannot take them"),
        ({"channelwise": True}, "channelwise=True goes with ImageNet weights alone"),
        ({"normalization": "imagenet"}, 'normalization="imagenet" goes with ImageNet weights'),
        ({"pooling": "legacy"}, 'pooling="legacy" is of network="resnet18" and "resnet50"'),
        ({"pooling": "legacy", "network": Mean}, "and not of network=<class"),
        ({"weights": 3}, "'weights' parameter of ImageEncoder must be"),
        ({"pooling": "max"}, "'pooling' parameter of ImageEncoder must be"),
        ({"normalization": "batch"}, "'normalization' parameter of ImageEncoder must be"),
    ],
)
def test_parameters_that_do_not_go_together(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageEncoder(**parameters).fit(site_table())
