"""ImageEncoder: sites and crops that are too small, refused before their images are read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from torch import Tensor, nn

from cloome_sk.encoders import ImageEncoder
from cloome_sk.imaging import read_image
from cloome_sk.networks import ImageNetResNet, ResNet, SmallCNN, SmallViT

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


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(ImageNetResNet(3, 1000, depth=18).state_dict(), path)
    return path


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


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("parameters", "network"),
    [
        ({"network": "auto"}, lambda: SmallCNN(2, 3)),
        ({"network": "vit"}, lambda: SmallViT(2, 3)),
        ({"network": "resnet18"}, lambda: ResNet(2, 3, depth=18)),
        ({"network": "resnet18", "pooling": "legacy"}, lambda: ResNet(2, 3, 18, "legacy")),
        ({"weights": ...}, lambda: ImageNetResNet(2, 3, depth=18)),
    ],
    ids=["small", "vit", "resnet", "legacy", "imagenet"],
)
def test_sizes_below_what_the_network_takes_are_refused_before_images_are_read(
    tmp_path: Path, weights: Path, reads: Counter[str], parameters: dict[str, Any], network: Any
) -> None:
    if "weights" in parameters:
        parameters = {"weights": weights}
    # The smallest side, found by asking the network itself.
    built = network().eval()
    least = next(side for side in range(8, 300) if takes(built, side))
    table = on_disk(site_table(24, (least - 1, least + 9)), tmp_path)
    message = f"at least {least} x {least} pixels, and "
    with pytest.raises(ValueError, match=f"{message}the sites are.* {least - 1} x {least + 9}"):
        ImageEncoder(**parameters).fit(table)
    assert sum(reads.values()) < 2 * len(table)  # some were asked for their shape
    large = site_table(4, (least, least + 40))
    assert ImageEncoder(**parameters).fit(large).site_shape_ == (2, least, least + 40)
    small_crop = (least - 1, least + 4)
    for crops in ({"crop": small_crop}, {"augmentation": {"crop": small_crop}}):
        with pytest.raises(ValueError, match=f"{message}.*crop.* {least - 1} x {least + 4}"):
            ImageEncoder(**parameters, **crops).fit(large)
    with pytest.raises(ValueError, match=f"{message}the sites are.*size="):
        ImageEncoder(**parameters, size=least - 1).fit(large)
    # The same where nothing is learned: crops at once, fields as they come.
    given = {"channels": ["DNA", "ER"], "normalization": "image", "illumination": None}
    with pytest.raises(
        ValueError, match=f"{message}.*crop={least - 1} gives {least - 1} x {least - 1}"
    ):
        ImageEncoder(**parameters, **given, crop=least - 1, evaluation="center").ready()
    ready = ImageEncoder(**parameters, **given).ready()
    assert len(ready.inputs(large)) == 4
    with pytest.raises(ValueError, match=f"{message}the sites of this table are"):
        ready.inputs(table)


def takes(network: nn.Module, side: int) -> bool:
    try:
        with torch.no_grad():
            network(torch.zeros(1, 2, side, side))
    except ValueError:
        return False
    return True


def test_what_to_do_about_small_sites_is_said() -> None:
    table = site_table(4, (20, 24))
    with pytest.raises(ValueError, match='or network="small", which takes 16'):
        ImageEncoder(network="resnet50").fit(table)
    with pytest.raises(ValueError, match='or pooling="adaptive", which takes 32'):
        ImageEncoder(network="resnet50", pooling="legacy").fit(table)
    assert ImageEncoder(network=Mean, size=3).fit(table).site_shape_ == (2, 3, 4)


@pytest.mark.parametrize("evaluation", ["center", "tiles"])
@pytest.mark.parametrize("how", ["fit", "ready"])
def test_sites_smaller_than_the_crop_are_refused_with_what_to_set(
    evaluation: str, how: str
) -> None:
    encoder = told(crop=(20, 30), evaluation=evaluation)
    encoder = encoder.ready() if how == "ready" else encoder.fit(site_table())
    for shape in ((19, 40), (40, 29)):
        height, width = shape
        with pytest.raises(
            ValueError,
            match=rf"crop=\(20, 30\) is larger than the sites of this table.*{height}x{width} "
            r'pixels.*crop=None, evaluation="full"',
        ):
            encoder.inputs(site_table(shape=shape))
    assert len(encoder.inputs(site_table(shape=(20, 30)))) == 4
