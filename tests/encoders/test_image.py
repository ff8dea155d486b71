"""ImageEncoder: columns, channels, shapes, statistics, caches and plates."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from sklearn.base import clone
from torch import nn

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.encoders.auto import auto_encoder
from cloome_sk.imaging import ImageError

SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]


def arrays(n: int, shape: tuple[int, ...] = (24, 32), seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(100, 4000, size=shape).astype(np.uint16) for _ in range(n)]


def site_table(folder: Path, n: int = 8, names: tuple[str, ...] = ("DNA", "ER")) -> pd.DataFrame:
    """A table of TIFF files, one a channel."""
    table = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P2"] * (n // 2),
            "Metadata_smiles": [SMILES[i % 4] for i in range(n)],
        }
    )
    for number, name in enumerate(names):
        paths = []
        for row, image in enumerate(arrays(n, seed=number)):
            path = folder / f"{row}_{name}.tif"
            tifffile.imwrite(path, image)
            paths.append(str(path))
        table[f"Image_{name}"] = paths
    return table


def literal(image: np.ndarray) -> np.ndarray:
    """CLOOME's scaling of one channel, in float64 and by a full sort."""
    n = max(1, round(image.size * 0.0028 / 100))
    threshold = np.sort(image.ravel().astype(np.float64))[-n]
    return np.minimum(np.floor(image.astype(np.float64) * 256 / threshold), 255).astype(np.uint8)


def pixels(encoder: ImageEncoder, table: pd.DataFrame) -> np.ndarray:
    inputs = encoder.inputs(table)
    assert (inputs.index >= 0).all()
    return inputs.values[inputs.index]


def test_files_become_scaled_bytes_in_the_order_of_channels(tmp_path: Path) -> None:
    table = site_table(tmp_path, names=("Mito", "Hoechst"))
    encoder = ImageEncoder().fit(table)
    assert encoder.channels_ == ("DNA", "Mito")
    got = pixels(encoder, table)
    expected = [
        np.stack([literal(tifffile.imread(table[name][row])) for name in names])
        for row in range(len(table))
        for names in [("Image_Hoechst", "Image_Mito")]
    ]
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, np.stack(expected))


def test_statistics_are_those_of_the_training_rows(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    rows = np.array([0, 3, 4])
    encoder = ImageEncoder().fit(table, rows)
    chosen = pixels(encoder, table)[rows].astype(np.float64)
    np.testing.assert_allclose(encoder.mean_, chosen.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(encoder.std_, chosen.std(axis=(0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("kind", ["arrays", "stack of arrays", "stack files", "channel-last"])
def test_every_form_of_the_same_pixels_gives_the_same(tmp_path: Path, kind: str) -> None:
    table = site_table(tmp_path)
    dna = [tifffile.imread(path) for path in table["Image_DNA"]]
    er = [tifffile.imread(path) for path in table["Image_ER"]]
    reference = pixels(ImageEncoder().fit(table), table)
    other = table[["Metadata_smiles"]].copy()
    if kind == "arrays":
        other["Image_DNA"], other["Image_ER"] = dna, er
    else:
        other["Metadata_Channels"] = "ERSyto|Hoechst"
        stacks = [np.stack(pair) for pair in zip(er, dna, strict=True)]
        if kind == "stack files":
            paths = [tmp_path / f"stack{row}.tif" for row in range(len(stacks))]
            for path, stack in zip(paths, stacks, strict=True):
                tifffile.imwrite(path, stack, photometric="minisblack")
            other["Image"] = [str(path) for path in paths]
        elif kind == "channel-last":
            other["Image"] = [np.moveaxis(stack, 0, -1) for stack in stacks]
            with pytest.raises(ImageError, match="channels seem to come last"):
                ImageEncoder().fit(other)
            return
        else:
            other["Image"] = stacks
    np.testing.assert_array_equal(pixels(ImageEncoder().fit(other), other), reference)
    # A model fitted on one form takes another, where channels are told by columns.
    if kind == "arrays":
        np.testing.assert_array_equal(pixels(ImageEncoder().fit(table), other), reference)


def test_channels_are_found_by_name_and_never_by_position(tmp_path: Path) -> None:
    table = site_table(tmp_path, names=("DNA", "ER", "Mito"))
    encoder = ImageEncoder(channels=["Mito", "DNA"]).fit(table)
    reference = pixels(encoder, table)
    renamed = table[["Image_Mito", "Image_ER", "Image_DNA"]].set_axis(
        ["Image_OrigMito", "Image_ERSyto", "Image_DAPI"], axis=1
    )
    np.testing.assert_array_equal(pixels(encoder, renamed), reference)
    with pytest.raises(ValueError, match="DNA"):
        encoder.inputs(table.drop(columns="Image_DNA"))


def test_two_columns_of_one_channel_are_refused(tmp_path: Path) -> None:
    table = site_table(tmp_path, names=("DNA", "Hoechst"))
    with pytest.raises(ValueError, match=r"'Image_DNA' and 'Image_Hoechst' both mean channel DNA"):
        ImageEncoder().fit(table)
    assert ImageEncoder({"DNA": "Image_Hoechst"}).fit(table).channels_ == ("DNA",)


def test_a_stack_needs_its_order() -> None:
    table = pd.DataFrame({"Image": arrays(4, (2, 20, 20)), "Metadata_smiles": SMILES})
    with pytest.raises(ValueError, match="nothing says which channel is which"):
        ImageEncoder().fit(table)
    told = ImageEncoder(channels=["ER", "DNA"]).fit(table)
    stated = ImageEncoder(channels=["ER", "DNA"]).fit(table.assign(Metadata_Channels="ER|DNA"))
    np.testing.assert_array_equal(pixels(told, table), pixels(stated, stated_table(table)))
    swapped = table.assign(
        Image=[stack[::-1] for stack in table["Image"]], Metadata_Channels="DNA|ER"
    )
    np.testing.assert_array_equal(pixels(told, swapped), pixels(told, table))


def stated_table(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(Metadata_Channels="ER|DNA")


def test_ome_tiff_names_its_channels_itself(tmp_path: Path) -> None:
    stacks = arrays(4, (2, 20, 20))
    table = pd.DataFrame({"Metadata_smiles": SMILES})
    paths = [tmp_path / f"{row}.ome.tif" for row in range(4)]
    for row, (path, stack) in enumerate(zip(paths, stacks, strict=True)):
        order = ["Hoechst", "Mito"] if row % 2 else ["Mito", "Hoechst"]
        image = stack if row % 2 else stack[::-1]
        tifffile.imwrite(path, image, metadata={"axes": "CYX", "Channel": {"Name": order}})
    table["Image"] = [str(path) for path in paths]
    encoder = ImageEncoder().fit(table)
    reference = np.stack([np.stack([literal(plane) for plane in stack]) for stack in stacks])
    order = [encoder.channels_.index(name) for name in ("DNA", "Mito")]
    np.testing.assert_array_equal(pixels(encoder, table)[:, order], reference)


def test_each_distinct_site_is_read_once(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    inputs = ImageEncoder().fit(table).inputs(pd.concat([table, table.iloc[::-1]]))
    assert len(inputs.values) == len(table)
    assert inputs.index.tolist() == [*range(8), *range(7, -1, -1)]


def test_size_shrinks_by_averaging_areas(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    full = pixels(ImageEncoder().fit(table), table).astype(np.float64)
    small = pixels(ImageEncoder(network=Flat, size=12).fit(table), table)
    assert small.shape == (8, 2, 12, 16)
    blocks = full.reshape(8, 2, 12, 2, 16, 2).mean(axis=(3, 5))
    assert np.abs(small - blocks).max() <= 0.5
    with pytest.raises(ImageError, match=r"24x32 pixels cannot shrink to size=\(40, 40\)"):
        ImageEncoder(size=(40, 40)).fit(table)


def test_mixed_shapes_are_named_or_brought_to_one(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    for name in ("DNA", "ER"):
        tifffile.imwrite(table[f"Image_{name}"][5], arrays(1, (30, 30))[0])
    with pytest.raises(ImageError, match=r"5_DNA.*shape \(2, 30, 30\), others.*\(row 5\)"):
        ImageEncoder().fit(table)
    assert pixels(ImageEncoder(network=Flat, size=(10, 12)).fit(table), table).shape == (
        8,
        2,
        10,
        12,
    )
    with pytest.warns(UserWarning, match="row 5"):
        skipped = ImageEncoder(on_error="skip").fit_inputs(table, np.arange(8))
    assert skipped.index.tolist() == [0, 1, 2, 3, 4, -1, 6, 7]


def test_one_site_of_two_shapes(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    tifffile.imwrite(table["Image_ER"][0], arrays(1, (30, 30))[0])
    with pytest.raises(ImageError, match="ER has 30x30 pixels, DNA of the same site 24x32"):
        ImageEncoder().fit(table)


def test_empty_cells_are_named_or_skipped(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    table.loc[2, "Image_ER"] = None
    with pytest.raises(ValueError, match=r"row 2: column 'Image_ER' is empty"):
        ImageEncoder().fit(table)
    with pytest.warns(UserWarning, match=r"row 2: column 'Image_ER' is empty"):
        inputs = ImageEncoder(on_error="skip").fit_inputs(table, np.arange(8))
    assert inputs.index[2] == -1


def test_illumination_functions_are_found_by_any_name_of_their_channel(tmp_path: Path) -> None:
    table = site_table(tmp_path, names=("Hoechst", "ER"))
    for name in ("OrigER", "Hoechst"):
        np.save(tmp_path / f"{name}.npy", np.full((24, 32), 2.0, dtype=np.float32))
        table[f"Illum_{name}"] = str(tmp_path / f"{name}.npy")
    encoder = ImageEncoder(scaling="none").fit(table)
    image = tifffile.imread(table["Image_Hoechst"][1])
    np.testing.assert_array_equal(pixels(encoder, table)[1, 0], image / np.float32(2))


def test_arrays_that_look_alike_at_the_rim_are_not_one_site(tmp_path: Path) -> None:
    first = tmp_path / "first.tif"
    tifffile.imwrite(first, arrays(1, (200, 200))[0])
    one, other = np.zeros((2, 200, 200), dtype=np.uint16)
    other[100, 100] = 9
    table = pd.DataFrame({"Image_DNA": [str(first), one, other, one]})
    inputs = ImageEncoder(scaling="none").fit(table).inputs(table)
    assert inputs.index.tolist() == [0, 1, 2, 1]
    assert inputs.values[inputs.index][2].max() == 9


def test_plates_left_out_in_cross_validation_come_from_the_table_of_plates(tmp_path: Path) -> None:
    table = plate_table(tmp_path)
    encoder = ImageEncoder(
        scaling="plate",
        plate_table=table[["Metadata_Plate", "Image_DNA", "Image_ER", "Metadata_control_type"]],
    )
    treated = table[table["Metadata_control_type"].isna()].reset_index(drop=True)
    train = np.flatnonzero(treated["Metadata_Plate"] == "P1")
    left_out = clone(encoder).fit(treated.iloc[train])
    whole = ImageEncoder(scaling="plate").fit(table)
    np.testing.assert_array_equal(pixels(left_out, treated), pixels(whole, table)[2:])


@pytest.mark.parametrize("cache", ["memory", "folder", None])
def test_unreadable_files_are_skipped_with_their_rows(tmp_path: Path, cache: str | None) -> None:
    table = site_table(tmp_path)
    Path(table["Image_DNA"][1]).write_bytes(b"not an image")
    Path(table["Image_DNA"][6]).unlink()
    folder = str(tmp_path / "cache") if cache == "folder" else cache
    embedder = CloomeEmbedder(
        ImageEncoder(on_error="skip", cache=folder),
        MoleculeEncoder(hidden_sizes=()),
        n_components=4,
        max_epochs=1,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="2 of 8 row.*left out of training: row 1: .*row 6: "):
        embedder.fit(table)
    assert embedder.skipped_rows_.tolist() == [1, 6]
    assert embedder.n_pairs_ == 6
    with pytest.warns(UserWarning, match="2 of 8 row.*embedded as NaN: row 1: .*row 6: "):
        embedded = embedder.transform(table)
    assert np.flatnonzero(np.isnan(embedded).any(axis=1)).tolist() == [1, 6]
    strict = clone(embedder).set_params(phenotype__on_error="raise")
    with pytest.raises(ImageError, match=r"1_DNA.*\(row 1\)"):
        strict.fit(table)


def test_illumination_functions_divide_and_are_needed_ever_after(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    rng = np.random.default_rng(1)
    functions = {}
    for name in ("DNA", "ER"):
        functions[name] = rng.uniform(0.5, 2.0, size=(24, 32)).astype(np.float32)
        np.save(tmp_path / f"illum_{name}.npy", functions[name])
        table[f"Illum_{name}"] = str(tmp_path / f"illum_{name}.npy")
    encoder = ImageEncoder(scaling="none").fit(table)
    image = tifffile.imread(table["Image_ER"][3]).astype(np.float64)
    np.testing.assert_allclose(
        pixels(encoder, table)[3, 1], image / functions["ER"].astype(np.float64), rtol=1e-6
    )
    bare = table[["Image_DNA", "Image_ER"]]
    with pytest.raises(ValueError, match="fitted on images divided by illumination functions"):
        encoder.inputs(bare)
    with pytest.raises(ValueError, match="no column Illum_ER"):
        ImageEncoder().fit(table.drop(columns="Illum_ER"))
    plain = ImageEncoder(scaling="none", illumination=None).fit(table)
    np.testing.assert_array_equal(pixels(plain, table)[3, 1], image)


def negative(image: np.ndarray, top: int = 5000) -> np.ndarray:
    return top - image


def test_preprocess_comes_before_scaling(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    encoder = ImageEncoder(preprocess=partial(negative, top=6000)).fit(table)
    image = 6000 - tifffile.imread(table["Image_DNA"][0])
    np.testing.assert_array_equal(pixels(encoder, table)[0, 0], literal(image))
    with pytest.raises(TypeError, match=r"preprocess= must give an array of shape \(2, H, W\)"):
        ImageEncoder(preprocess=np.mean).fit(table)


def plate_table(folder: Path) -> pd.DataFrame:
    table = site_table(folder)
    table["Metadata_control_type"] = ["negcon", "negcon", *[None] * 6]
    return table


def test_plate_limits_come_from_the_controls_of_the_plate(tmp_path: Path) -> None:
    table = plate_table(tmp_path)
    encoder = ImageEncoder(scaling="plate", normalization="plate").fit(table, np.arange(2, 8))
    assert set(encoder.plate_limits_) == {"P1", "P2"}
    control = tifffile.imread(table["Image_DNA"][0])
    low, high = encoder.plate_limits_["P1"][0]
    assert control.min() <= low < high <= control.max()
    image = tifffile.imread(table["Image_DNA"][2]).astype(np.float64)
    expected = np.clip(np.floor((image - low) * 255 / (high - low)), 0, 255)
    got, mean, std = encoder.inputs(table).values[np.array([0, 2])]
    assert np.abs(got[1, 0] - expected).max() <= 1
    np.testing.assert_allclose(mean[0], got[0].mean(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std[1], got[0].std(axis=(1, 2)), rtol=1e-6)


def test_a_plate_without_numbers_is_refused_until_they_are_learned(tmp_path: Path) -> None:
    table = plate_table(tmp_path)
    encoder = ImageEncoder(normalization="plate").fit(table)
    new = table.assign(Metadata_Plate="P3")
    with pytest.raises(ValueError, match=r"1 plate\(s\) were not seen in fit: 'P3'"):
        encoder.inputs(new)
    assert "P3" in encoder.fit_plates(new).plate_statistics_
    assert len(encoder.inputs(new)) == 8
    lacking = table.assign(Metadata_control_type=["negcon", *[None] * 7])
    with pytest.raises(ValueError, match=r"1 of 2 plate\(s\) have no negative control.*P2"):
        ImageEncoder(scaling="plate").fit(lacking)
    with pytest.raises(ValueError, match="nothing is learned of plates"):
        ImageEncoder().fit(table).fit_plates(table)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_cache_gives_the_same_pixels_and_is_read_again(tmp_path: Path, n_jobs: int) -> None:
    table = site_table(tmp_path)
    reference = pixels(ImageEncoder().fit(table), table)
    folder = tmp_path / "cache"
    encoder = ImageEncoder(cache=folder, n_jobs=n_jobs).fit(table)
    np.testing.assert_array_equal(pixels(encoder, table), reference)
    stored = sorted(folder.rglob("*.npy"))
    assert len(stored) == 8
    times = [path.stat().st_mtime_ns for path in stored]
    again = ImageEncoder(cache=str(folder)).fit(table)
    np.testing.assert_array_equal(pixels(again, table), reference)
    assert [path.stat().st_mtime_ns for path in stored] == times
    other = ImageEncoder(network=Flat, cache=str(folder), size=12).fit(table)
    assert pixels(other, table).shape == (8, 2, 12, 16)
    assert len(sorted(folder.rglob("*.npy"))) == 16


def test_another_order_of_channels_is_another_entry_of_the_cache(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    folder = str(tmp_path / "cache")
    first = ImageEncoder(channels=["DNA", "ER"], cache=folder).fit(table)
    second = ImageEncoder(channels=["ER", "DNA"], cache=folder).fit(table)
    np.testing.assert_array_equal(pixels(first, table), pixels(second, table)[:, ::-1])
    stacked = table[["Metadata_smiles"]].assign(
        Image=arrays(8, (2, 24, 32)), Metadata_Channels="DNA|ER"
    )
    a = pixels(ImageEncoder(cache=folder).fit(stacked), stacked)
    swapped = stacked.assign(Metadata_Channels="ER|DNA")
    b = pixels(ImageEncoder(cache=folder).fit(swapped), swapped)
    np.testing.assert_array_equal(a, b[:, ::-1])


def test_cache_follows_the_content_of_files(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    folder = str(tmp_path / "cache")
    before = pixels(ImageEncoder(cache=folder).fit(table), table)
    changed = arrays(1, seed=99)[0]
    tifffile.imwrite(table["Image_DNA"][0], changed)
    after = pixels(ImageEncoder(cache=folder).fit(table), table)
    np.testing.assert_array_equal(after[0, 0], literal(changed))
    np.testing.assert_array_equal(after[1:], before[1:])


class Flat(nn.Module):
    """A network of the user's own."""

    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_channels, n_components)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.mean(dim=(2, 3)))


def darker(amount: int):
    def subtract(image: np.ndarray) -> np.ndarray:
        return image - np.minimum(image, amount)

    return subtract


class Held:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return darker(self.amount)(image)

    def method(self, image: np.ndarray) -> np.ndarray:
        return self(image)


@pytest.mark.parametrize(
    "make",
    [darker, Held, lambda n: Held(n).method, lambda n: partial(negative, top=n)],
    ids=["closure", "object", "method", "partial"],
)
def test_a_cache_tells_preprocessing_apart_by_what_it_holds(tmp_path: Path, make) -> None:
    table, folder = site_table(tmp_path), tmp_path / "cache"
    for amount in (4300, 6000, 4300):
        cached = ImageEncoder(preprocess=make(amount), cache=folder, scaling="none").fit(table)
        plain = ImageEncoder(preprocess=make(amount), scaling="none").fit(table)
        np.testing.assert_array_equal(pixels(cached, table), pixels(plain, table))
    captured = (value for value in range(3))
    untold = ImageEncoder(preprocess=lambda image: (captured, image)[1], cache=folder)
    with pytest.raises(TypeError, match="cannot be pickled"):
        untold.fit(table)


@pytest.mark.parametrize("network", ["small", "vit", Flat])
@pytest.mark.parametrize("normalization", ["dataset", "image", "plate", None])
def test_embeddings_survive_joblib_and_other_columns(
    tmp_path: Path, network: object, normalization: str | None
) -> None:
    table = plate_table(tmp_path)
    embedder = CloomeEmbedder(
        ImageEncoder(network=network, normalization=normalization),
        MoleculeEncoder(hidden_sizes=()),
        n_components=4,
        max_epochs=2,
        random_state=0,
    ).fit(table)
    embedded = embedder.transform(table)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    joblib.dump(embedder, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    shuffled = table[table.columns[::-1]].iloc[::-1]
    np.testing.assert_allclose(again.transform(shuffled), embedded[::-1], rtol=1e-4, atol=1e-6)
    refitted = clone(embedder).fit(table)
    np.testing.assert_array_equal(refitted.transform(table), embedded)


def test_auto_takes_image_columns_and_refuses_to_choose(tmp_path: Path) -> None:
    table = site_table(tmp_path)
    assert isinstance(auto_encoder(table), ImageEncoder)
    with pytest.raises(ValueError, match="Say which is the phenotype"):
        auto_encoder(table.assign(Cells_AreaShape_Area=1.0))
    measured = pd.DataFrame({"Image_Intensity_MeanIntensity_DNA": [1.0], "Cells_Area": [2.0]})
    assert not isinstance(auto_encoder(measured), ImageEncoder)


def test_a_raw_load_data_table_is_pointed_to_its_reader() -> None:
    table = pd.DataFrame({"FileName_OrigDNA": ["a.tif"], "PathName_OrigDNA": ["/x"]})
    with pytest.raises(ValueError, match="read_load_data"):
        ImageEncoder().fit(table)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"size": (3,)}, "size must be a number of pixels or a pair"),
        ({"crop": (8, 0)}, "crop must be a number of pixels or a pair"),
        ({"evaluation": "tiles"}, "crop= is None"),
        ({"n_jobs": 0}, "n_jobs must be a number of processes"),
        ({"scaling": "log"}, "scaling"),
        ({"channels": ["DNA", "Tubulin"]}, "Tubulin"),
        ({"columns": "Image_RNA"}, "Image_RNA"),
        ({"columns": {"Tubulin": "Image_RNA"}}, "Image_RNA"),
        ({"crop": 64}, "crop"),
        (
            {"augmentation": {"flip": True}},
            "augmentation= has no option 'flip'; it has crop, flips",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value).replace(" ", "-"),
)
def test_bad_parameters_say_what_is_wrong(
    tmp_path: Path, parameters: dict[str, object], message: str
) -> None:
    table = site_table(tmp_path)
    with pytest.raises((ValueError, TypeError), match=message):
        CloomeEmbedder(ImageEncoder(**parameters), max_epochs=1).fit(table)  # type: ignore[arg-type]


def test_a_matrix_is_no_table_of_images() -> None:
    with pytest.raises(TypeError, match="pandas DataFrame"):
        ImageEncoder().fit(np.zeros((3, 3)))


def test_too_little_memory_names_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloome_sk.encoders._image_checks._free_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"cache=folder, or shrink them by size="):
        ImageEncoder().fit(site_table(tmp_path))
