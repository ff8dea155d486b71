"""ImageEncoder: skipped rows, late failures, odd shapes, networks that do not fit, refit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from cloome_sk import CloomeEmbedder, training
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder
from cloome_sk.imaging import ImageError, read_image

SHAPE = (6, 8)
SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]


def planes(n: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 4000, shape).astype(np.uint16) for _ in range(n)]


def files(folder: Path, n: int = 8, shape: tuple[int, ...] = SHAPE) -> pd.DataFrame:
    """A table of TIFF files, one a channel."""
    table = pd.DataFrame({"Metadata_smiles": [SMILES[row % 4] for row in range(n)]})
    for number, name in enumerate(("DNA", "ER")):
        table[f"Image_{name}"] = [str(folder / f"{row}_{name}.tif") for row in range(n)]
        for path, image in zip(table[f"Image_{name}"], planes(n, number, shape), strict=True):
            tifffile.imwrite(path, image)
    return table


class Mean(nn.Module):
    """A network that is quick, and takes images of any size."""

    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_channels, n_components)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.mean(dim=(2, 3)))


def quick(**parameters: Any) -> ImageEncoder:
    return ImageEncoder(**{"network": Mean, "scaling": "none"} | parameters)  # type: ignore[arg-type]


def embedder(phenotype: Any) -> CloomeEmbedder:
    return CloomeEmbedder(
        phenotype, MoleculeEncoder(hidden_sizes=()), n_components=3, max_epochs=1, random_state=0
    )


def of_means(
    model: CloomeEmbedder, means: np.ndarray, gain: float = 1, offset: Any = 0
) -> np.ndarray:
    """What `Mean` makes of the means of the channels of each site, in NumPy."""
    given = (means - model.phenotype_.mean_) / model.phenotype_.std_ * gain + offset
    state = {name.split(".")[-1]: value for name, value in model.state_.items() if "linear" in name}
    linear = given @ state["weight"].T + state["bias"]
    return linear / np.linalg.norm(linear, axis=1, keepdims=True)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was read, in this process."""
    seen: Counter[str] = Counter()

    def counted(source: Any, **options: Any) -> np.ndarray:
        seen[Path(source).name] += 1
        return read_image(source, **options)

    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", counted)
    return seen


# ---------------------------------------------------------------- what fails late


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_file_that_goes_after_the_first_visit_is_named_in_training(
    tmp_path: Path, on_error: str
) -> None:
    table = files(tmp_path)
    rows = np.array([7, 2, 5, 0])
    inputs = quick(on_error=on_error, cache=None).fit_inputs(table, rows)
    Path(table["Image_ER"][5]).unlink()
    with pytest.raises(ImageError, match=r"5_ER\.tif.*\(row 5\)"):
        inputs.values[inputs.index]
    assert inputs.index.min() >= 0


def test_training_stops_for_a_file_that_goes_during_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = files(tmp_path)
    model = embedder(quick(on_error="skip", cache=None))

    train = training.train_pairs

    def late(*arguments: Any) -> Any:
        Path(table["Image_DNA"][3]).unlink()
        return train(*arguments)

    monkeypatch.setattr(training, "train_pairs", late)
    with pytest.raises(ImageError, match=r"3_DNA\.tif.*\(row 3\)"):
        model.fit(table)
    assert not hasattr(model, "phenotype_")


@pytest.mark.parametrize("cache", ["memory", "folder"])
def test_what_is_kept_outlives_its_file(tmp_path: Path, cache: str) -> None:
    table = files(tmp_path)
    where = tmp_path / "cache" if cache == "folder" else cache
    inputs = quick(on_error="skip", cache=where).fit_inputs(table, np.arange(8))
    Path(table["Image_DNA"][3]).unlink()
    np.testing.assert_array_equal(inputs.values[3:4][0, 0], planes(8)[3])


# ---------------------------------------------------------------- one bad row


def not_finite(image: np.ndarray) -> np.ndarray:
    return np.where(image == 17, np.nan, image).astype(np.float32)


def bad_order(table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    stacks = [np.stack(pair) for pair in zip(planes(8), planes(8, seed=1), strict=True)]
    for name in ("DNA", "ER"):
        table.pop(f"Image_{name}")
    table["Image"] = stacks
    table["Metadata_Channels"] = "DNA|ER"
    table.loc[3, ["Image", "Metadata_Channels"]] = None
    return {}


def bad_illumination(table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    for name in ("DNA", "ER"):
        np.save(folder / "whole.npy", np.ones(SHAPE, dtype=np.float32))
        np.save(folder / "other.npy", np.ones((3, 3), dtype=np.float32))
        table[f"Illum_{name}"] = str(folder / "whole.npy")
    table.loc[3, "Illum_ER"] = str(folder / "other.npy")
    return {}


def bad_values(table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    image = planes(1)[0]
    image[2, 2] = 17
    for name in ("DNA", "ER"):
        for path in table[f"Image_{name}"]:
            read = tifffile.imread(path)
            tifffile.imwrite(path, np.where(read == 17, 18, read).astype(np.uint16))
    tifffile.imwrite(table["Image_ER"][3], image)
    return {"preprocess": not_finite, "scaling": "percentile"}


def blank_cell(table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    table.loc[3, "Image_ER"] = "  "
    return {}


def no_cell(table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    table["Image_ER"] = table["Image_ER"].astype(object)
    table.at[3, "Image_ER"] = None
    return {}


BAD = [bad_order, bad_illumination, bad_values, blank_cell, no_cell]


@pytest.mark.parametrize("cache", ["memory", "folder", None])
@pytest.mark.parametrize("bad", BAD, ids=lambda made: made.__name__)
def test_one_bad_row_does_not_stop_a_fit_that_skips(
    tmp_path: Path, bad: Callable[..., dict[str, Any]], cache: Any
) -> None:
    table = files(tmp_path)
    parameters = bad(table, tmp_path)
    where = tmp_path / "cache" if cache == "folder" else cache
    model = embedder(quick(on_error="skip", cache=where, **parameters))
    with pytest.warns(UserWarning, match="1 of 8 row.*left out of training: row 3: "):
        model.fit(table)
    assert model.skipped_rows_.tolist() == [3]
    with pytest.warns(UserWarning, match="1 of 8 row.*embedded as NaN: row 3: "):
        embedded = model.transform(table)
    assert np.flatnonzero(np.isnan(embedded).any(axis=1)).tolist() == [3]
    with pytest.raises(ValueError, match="row 3"):
        clone(model).set_params(phenotype__on_error="raise").fit(table)


@pytest.mark.parametrize("cache", ["memory", None])
def test_sites_that_failed_are_not_in_the_statistics(tmp_path: Path, cache: Any) -> None:
    table = files(tmp_path)
    Path(table["Image_DNA"][2]).write_bytes(b"no image")
    with pytest.warns(UserWarning, match="row 2"):
        encoder = quick(on_error="skip", cache=cache).fit(table)
    kept = [row for row in range(8) if row != 2]
    whole = np.stack([planes(8), planes(8, seed=1)], axis=1)[kept].astype(np.float64)
    np.testing.assert_allclose(encoder.mean_, whole.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(encoder.std_, whole.std(axis=(0, 2, 3)), rtol=1e-9)


def clumsy(image: np.ndarray) -> np.ndarray:
    raise RuntimeError("a mistake of the user")


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_error_of_preprocess_is_no_unreadable_image(tmp_path: Path, on_error: str) -> None:
    table = files(tmp_path)
    with pytest.raises(RuntimeError, match="a mistake") as caught:
        quick(preprocess=clumsy, on_error=on_error).fit(table)
    assert any(table["Image_DNA"][0] in note for note in caught.value.__notes__)


def test_nothing_readable_at_all_is_an_error(tmp_path: Path) -> None:
    table = files(tmp_path).assign(Image_ER="absent.tif")
    with pytest.raises(ValueError, match=r"none of the images of 8 row\(s\) can be read"):
        quick(on_error="skip").fit(table)


# ---------------------------------------------------------------- shapes


def test_odd_sites_at_the_beginning_do_not_set_the_shape(tmp_path: Path) -> None:
    table = files(tmp_path)
    for row in (0, 1):
        for name in ("DNA", "ER"):
            tifffile.imwrite(table[f"Image_{name}"][row], planes(1, shape=(5, 5))[0])
    with pytest.warns(UserWarning, match="2 of 8.*row 0: .*row 1: "):
        inputs = quick(on_error="skip").fit_inputs(table, np.arange(8))
    assert inputs.index.tolist() == [-1, -1, 2, 3, 4, 5, 6, 7]
    message = r"0_DNA\.tif.*shape \(2, 5, 5\), others have \(2, 6, 8\).*\(row 0\)"
    with pytest.raises(ImageError, match=message):
        quick().fit(table)


def test_unreadable_sites_at_the_beginning_do_not_hide_the_shape(tmp_path: Path) -> None:
    table = files(tmp_path, 40)
    odd = table.assign(Image_DNA=table["Image_DNA"].where(table.index == 30, "absent.tif"))
    with pytest.warns(UserWarning, match="39 of 40"):
        encoder = quick(on_error="skip").fit(odd)
    assert encoder.site_shape_ == (2, *SHAPE)


def test_a_site_of_another_depth_is_named(tmp_path: Path) -> None:
    table = files(tmp_path)
    for name in ("DNA", "ER"):
        tifffile.imwrite(table[f"Image_{name}"][0], np.ones(SHAPE, dtype=np.uint8))
    with pytest.raises(ImageError, match=r"0_DNA\.tif.*depth uint8, others uint16.*\(row 0\)"):
        quick().fit(table)
    tifffile.imwrite(table["Image_DNA"][0], planes(1)[0])
    with pytest.raises(ImageError, match=r"DNA uint16, ER uint8.*\(row 0\)"):
        quick().fit(table)


@pytest.mark.parametrize("evaluation", ["center", "tiles"])
def test_crops_are_cut_from_fields_of_any_size(tmp_path: Path, evaluation: Any) -> None:
    model = embedder(quick(crop=6, evaluation=evaluation)).fit(files(tmp_path))
    (tmp_path / "larger").mkdir()
    larger = files(tmp_path / "larger", shape=(12, 12))
    embedded = model.transform(larger)
    stack = np.stack([planes(8, 0, (12, 12)), planes(8, 1, (12, 12))], axis=1)
    tiles = [stack[:, :, y : y + 6, x : x + 6] for y in (0, 6) for x in (0, 6)]
    views = [stack[:, :, 3:9, 3:9]] if evaluation == "center" else tiles
    # The network is linear in the means of channels, so the mean output is that of the mean.
    means = np.mean([view.astype(np.float64).mean(axis=(2, 3)) for view in views], axis=0)
    np.testing.assert_allclose(embedded, of_means(model, means), atol=1e-4)
    full = embedder(quick()).fit(files(tmp_path))
    with pytest.raises(ImageError, match=r"shape \(2, 12, 12\), others have \(2, 6, 8\)"):
        full.transform(larger)


def test_a_table_of_which_nothing_can_be_read_is_embedded_as_nan(tmp_path: Path) -> None:
    table = files(tmp_path)
    model = embedder(quick(crop=4, on_error="skip")).fit(table)
    with pytest.warns(UserWarning, match="8 of 8"):
        embedded = model.transform(table.assign(Image_DNA="absent.tif"))
    assert embedded.shape == (8, 3)
    assert np.isnan(embedded).all()


# ---------------------------------------------------------------- networks


class Wide(Mean):
    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__(n_channels, n_components + 1)


class Maps(nn.Module):
    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(n_channels, n_components, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"crop": 7}, "crop=7 is larger than the sites, which have 6x8"),
        ({"crop": (6, 9)}, r"crop=\(6, 9\) is larger than the sites"),
        ({"crop": 5, "size": 4}, "crop=5 is larger than the sites, which have 4x5"),
        ({"augmentation": {"crop": 7}}, "crop=7 is larger than the sites"),
        ({"network": Wide}, r"n_components=3.*an output of shape \(1, 4\)"),
        ({"network": Maps}, r"one site of 6x8 pixels an output of shape \(1, 3, 6, 8\)"),
        ({"network": Maps, "crop": (4, 5)}, r"one site of 4x5 pixels an output of shape"),
    ],
    ids=["crop", "pair", "shrunk", "augmentation", "width", "maps", "maps of crops"],
)
def test_a_network_that_cannot_work_is_refused_before_images_are_read(
    tmp_path: Path, reads: Counter[str], parameters: dict[str, Any], message: str
) -> None:
    table = files(tmp_path, 60)
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(table)
    assert len(reads) <= 32  # two channels of the sites that tell the shape
    assert set(reads.values()) == {1}


class Beside(Mean):
    """Weights are not all that it holds."""

    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__(n_channels, n_components)
        self.register_buffer("gain", torch.full((n_channels, 1, 1), 3.0), persistent=False)
        self.offset = torch.arange(n_channels, dtype=torch.float32)[:, None, None]
        self.scale = torch.linspace(0, 1, 5).sum().item()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert isinstance(self.gain, torch.Tensor)
        return super().forward(images * self.gain + self.offset * self.scale)


def test_a_network_of_the_user_may_hold_more_than_weights(tmp_path: Path) -> None:
    table = files(tmp_path)
    model = embedder(quick(network=Beside, augmentation=None)).fit(table)
    embedded = model.transform(table)
    means = np.stack([planes(8), planes(8, seed=1)], axis=1).astype(np.float64).mean(axis=(2, 3))
    expected = of_means(model, means, gain=3, offset=np.arange(2) * 2.5)
    np.testing.assert_allclose(embedded, expected, atol=1e-4)
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").transform(table), embedded)


# ---------------------------------------------------------------- fit, and fit again


def test_a_failed_refit_leaves_the_old_fit(tmp_path: Path) -> None:
    table = files(tmp_path)
    encoder = quick().fit(table)
    before, prepared = dict(vars(encoder)), encoder.inputs(table).values[:]
    broken = files(tmp_path).rename(columns={"Image_DNA": "Image_RNA"})
    broken.loc[4, "Image_RNA"] = "absent.tif"
    with pytest.raises(ImageError, match="absent"):
        encoder.fit(broken)
    with pytest.raises(ValueError, match="no image columns"):
        encoder.fit(table[["Metadata_smiles"]])
    no_plates = table.rename(columns={"Image_ER": "Image_AGP"})
    encoder.set_params(normalization="plate")
    with pytest.raises(ValueError, match="plate"):
        encoder.fit(no_plates)
    encoder.set_params(normalization="dataset")
    assert vars(encoder) == before
    np.testing.assert_array_equal(encoder.inputs(table).values[:], prepared)
    assert encoder.fit(broken.drop(index=4)).channels_ == ("ER", "RNA")


def test_nothing_is_prepared_before_fit(tmp_path: Path) -> None:
    table = files(tmp_path)
    with pytest.raises(NotFittedError):
        quick().inputs(table)
    with pytest.raises(NotFittedError):
        quick().fit_plates(table)
    failed = quick()
    with pytest.raises(ImageError):
        failed.fit(table.assign(Image_ER="absent.tif"))
    with pytest.raises(NotFittedError):
        failed.inputs(table)


@pytest.mark.parametrize("name", ["size", "crop"])
@pytest.mark.parametrize("value", [True, (True, 4), 0, (3, 4, 5)], ids=str)
def test_sizes_that_are_none_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        quick(**{name: value}).fit(files(tmp_path))


@pytest.mark.parametrize("every", [False, True])
def test_channels_of_two_depths_are_scaled(tmp_path, every):
    table = files(tmp_path)
    for path in table["Image_ER"] if every else table["Image_ER"][:1]:
        tifffile.imwrite(path, np.ones(SHAPE, dtype=np.uint8))
    assert quick(scaling="cloome").fit(table).site_dtype_ == np.uint8


@pytest.mark.parametrize("evaluation", ["center", "tiles"])
def test_nothing_readable_is_nan(tmp_path, evaluation):
    table = files(tmp_path)
    model = embedder(quick(crop=4, evaluation=evaluation, on_error="skip")).fit(table)
    with pytest.warns(UserWarning, match="8 of 8"):
        embedded = model.transform(table.assign(Image_DNA="absent.tif"))
    assert np.isnan(embedded).all()


def test_failed_refit_of_bags_leaves_the_old_fit(tmp_path):
    table = files(tmp_path)
    bags = BagEncoder(quick(), group_by="smiles").fit(table)
    with pytest.raises(ValueError, match=r"absent\.tif"):
        bags.fit(table.assign(Image_ER="absent.tif"))
    assert len(bags.inputs(table).values) == 4
