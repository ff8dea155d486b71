"""ImageEncoder: columns, orders of channels, paths and types of cells; what memory they take."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from joblib import Parallel, delayed
from torch import nn

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder, _image_checks
from cloome_sk.encoders.base import Inputs
from cloome_sk.imaging import ImageError, read_image

SHAPE = (6, 8)
SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]


def planes(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 4000, SHAPE).astype(np.uint16) for _ in range(n)]


def site_table(n: int = 4, names: tuple[str, ...] = ("DNA", "ER")) -> pd.DataFrame:
    """A table of arrays, one a channel."""
    table = pd.DataFrame({"Metadata_smiles": [SMILES[row % 4] for row in range(n)]})
    for number, name in enumerate(names):
        table[f"Image_{name}"] = planes(n, seed=number)
    return table


def on_disk(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The same table with relative paths in place of arrays."""
    written = table.copy()
    for name in table.columns[table.columns.str.startswith("Image_")]:
        written[name] = [f"{row}_{name}.tif" for row in range(len(table))]
        for path, image in zip(written[name], table[name], strict=True):
            tifffile.imwrite(folder / path, image)
    return written


class Mean(nn.Module):
    """A network that is quick, and takes images of any size."""

    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_channels, n_components)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.mean(dim=(2, 3)))


def embedder(phenotype: Any, **parameters: Any) -> CloomeEmbedder:
    return CloomeEmbedder(
        phenotype,
        MoleculeEncoder(hidden_sizes=()),
        n_components=3,
        max_epochs=1,
        random_state=0,
        **parameters,
    )


def raw(**parameters: Any) -> ImageEncoder:
    """An encoder whose prepared pixels are those of the files."""
    return ImageEncoder(**{"network": Mean, "scaling": "none"} | parameters)  # type: ignore[arg-type]


def pixels(encoder: ImageEncoder, table: pd.DataFrame) -> np.ndarray:
    inputs = encoder.inputs(table)
    assert (inputs.index >= 0).all()
    return inputs.values[inputs.index]


def expected(table: pd.DataFrame, names: tuple[str, ...] = ("DNA", "ER")) -> np.ndarray:
    return np.stack([np.stack([table[f"Image_{n}"][i] for n in names]) for i in range(len(table))])


def ome(path: Path, stack: np.ndarray, names: list[str]) -> str:
    tifffile.imwrite(path, stack, metadata={"axes": "CYX", "Channel": {"Name": names}})
    return str(path)


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize("n_jobs", [None, 2], ids=["here", "two"])
def test_relative_paths_mean_the_folder_in_which_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_jobs: int | None
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    arrays = site_table(9)
    table = on_disk(arrays, here)
    for name in ("DNA", "ER"):
        np.save(here / f"{name}.npy", np.full(SHAPE, 2.0, dtype=np.float32))
        table[f"Illum_{name}"] = f"{name}.npy"
    monkeypatch.chdir(there)
    if n_jobs is not None:
        Parallel(n_jobs=n_jobs)(delayed(os.getcwd)() for _ in range(4))  # processes that stay there
    monkeypatch.chdir(here)
    encoder = raw(n_jobs=n_jobs, cache=None, normalization=None)
    of_fit = encoder.fit_inputs(table, np.arange(9))
    of_table = encoder.inputs(table)
    monkeypatch.chdir(there)
    for inputs in (of_fit, of_table):
        np.testing.assert_array_equal(inputs.values[inputs.index], expected(arrays) / 2)


# ---------------------------------------------------------------- columns


def test_categories_of_paths_are_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = site_table()
    monkeypatch.chdir(tmp_path)
    table = on_disk(arrays, tmp_path)
    categories = table.astype({"Image_DNA": "category", "Image_ER": "category"})
    np.testing.assert_array_equal(pixels(raw().fit(categories), categories), expected(arrays))
    np.testing.assert_array_equal(pixels(raw().fit(table), categories), expected(arrays))
    stacks = pd.DataFrame({"Image": [f"{row}.tif" for row in range(4)]})
    for row, path in enumerate(stacks["Image"]):
        tifffile.imwrite(path, expected(arrays)[row, ::-1], photometric="minisblack")
    stacks["Metadata_Channels"] = "ER|DNA"
    stacks = stacks.astype("category")
    np.testing.assert_array_equal(pixels(raw().fit(stacks), stacks), expected(arrays))


@pytest.mark.parametrize("name", ["Mito", "MitoTracker"])
@pytest.mark.parametrize("empty", [np.nan, None, pd.NA], ids=["NaN", "None", "NA"])
def test_a_channel_that_is_empty_altogether_is_missed(name: str, empty: object) -> None:
    table = site_table()
    lacking = table.assign(**{f"Image_{name}": [empty] * 4})
    message = rf"4 row\(s\) lack an image: row 0: column 'Image_{name}' is empty; row 1"
    with pytest.raises(ValueError, match=message):
        raw().fit(lacking)
    fitted = raw().fit(site_table(names=("DNA", "ER", "Mito")))
    with pytest.raises(ValueError, match=message):
        fitted.inputs(lacking)


def test_text_about_images_is_no_channel() -> None:
    table = site_table()
    for name in ("MD5Digest_DNA", "FileName_OrigDNA", "PathName_OrigER", "URL_DNA"):
        table[f"Image_{name}"] = "text"
    table["Image_Metadata_Well"] = "A01"
    encoder = raw().fit(table)
    assert encoder.channels_ == ("DNA", "ER")
    np.testing.assert_array_equal(pixels(encoder, table), expected(table))
    with pytest.raises(ValueError, match="no image columns"):
        encoder.inputs(table.drop(columns=["Image_DNA", "Image_ER"]))


@pytest.mark.parametrize("columns", [[], (), 5, slice(None)], ids=repr)
def test_columns_that_name_none_are_refused(columns: Any) -> None:
    with pytest.raises(TypeError, match="columns= takes the name of the column of stacks"):
        raw(columns=columns).fit(site_table())


@pytest.mark.parametrize("cell", [7, [1, 2], b"a.tif", 2.5], ids=["int", "list", "bytes", "float"])
def test_cells_that_are_no_images_name_row_and_column(cell: object) -> None:
    table = site_table().set_axis([*"abcd"])
    fitted = raw().fit(table)
    cells = table["Image_ER"].tolist()
    cells[2] = cell
    wrong = table.assign(Image_ER=pd.Series(cells, index=table.index, dtype=object))
    message = rf"row 2 \(index 'c'\), column 'Image_ER': .* this is {type(cell).__name__}"
    with pytest.raises(TypeError, match=message):
        raw().fit(wrong)
    with pytest.raises(TypeError, match=message):
        fitted.inputs(wrong)
    with pytest.raises(TypeError, match=message):
        raw().fit(wrong, np.array([3, 2]))
    assert len(raw().fit(wrong, np.array([3, 1])).channels_) == 2


def test_columns_of_one_name_are_refused_at_transform() -> None:
    table = site_table()
    fitted = raw().fit(table)
    doubled = pd.concat([table, table[["Image_ER"]]], axis=1)
    with pytest.raises(ValueError, match="Image_ER stand more than once"):
        fitted.inputs(doubled)
    other = doubled.set_axis(
        ["Metadata_smiles", "Image_DNA", "Image_ERSyto", "Image_Endoplasmic"], axis=1
    ).rename(columns={"Image_Endoplasmic": "Image_ERSyto"})
    with pytest.raises(ValueError, match="'Image_ERSyto' and 'Image_ERSyto' both mean channel ER"):
        fitted.inputs(other)


@pytest.mark.parametrize("empty", [None, "", "  "], ids=["None", "no text", "blanks"])
def test_missing_labels_of_rows_do_not_hide_the_message(empty: str | None) -> None:
    table = site_table()
    table.loc[1, "Image_ER"] = empty
    table.index = pd.Index([pd.NA, pd.NA, None, np.nan], dtype=object)
    with pytest.raises(ValueError, match=r"row 1 \(index <NA>\): column 'Image_ER' is empty"):
        raw().fit(table)
    whole = site_table().set_axis(table.index)
    np.testing.assert_array_equal(pixels(raw().fit(whole), whole), expected(site_table()))


def test_tables_without_rows() -> None:
    table = site_table()
    with pytest.raises(ValueError, match="the table has no rows"):
        raw().fit(table.iloc[:0])
    with pytest.raises(ValueError, match="the table has no rows"):
        raw().fit(table, np.array([], dtype=np.intp))
    inputs = raw().fit(table).inputs(table.iloc[:0])
    assert len(inputs) == 0
    assert inputs.values[:].shape == (0, 2, *SHAPE)
    with pytest.raises(ValueError, match=r"0 row\(s\)"):
        embedder(raw(network=Mean)).fit(table).transform(table.iloc[:0])


# ---------------------------------------------------------------- stacks


def test_files_that_name_their_channels_are_mapped_whatever_fit_was_told(tmp_path: Path) -> None:
    stacks = [np.stack(pair) for pair in zip(planes(4), planes(4, seed=1), strict=True)]
    fitted = raw(channels=["DNA", "Mito"]).fit(pd.DataFrame({"Image": stacks}))
    paths = [
        ome(tmp_path / f"{row}.ome.tif", stack[::-1], ["Mito", "Hoechst"])
        for row, stack in enumerate(stacks)
    ]
    table = pd.DataFrame({"Image": paths})
    np.testing.assert_array_equal(pixels(fitted, table), stacks)
    contradicted = table.assign(Metadata_Channels="DNA|Mito")
    inputs = fitted.inputs(contradicted)
    with pytest.raises(ImageError, match=r"0\.ome\.tif.*the file says.*and the table.*\(row 0\)"):
        inputs.values[:]
    stated = table.assign(Metadata_Channels="Mito|DNA")
    np.testing.assert_array_equal(pixels(fitted, stated), stacks)


def test_names_given_by_a_microscope_contradict_nothing(tmp_path: Path) -> None:
    stacks = [np.stack(pair) for pair in zip(planes(4), planes(4, seed=1), strict=True)]
    paths = [
        ome(tmp_path / f"{row}.ome.tif", stack[::-1], ["Channel 1", "Channel 2"])
        for row, stack in enumerate(stacks)
    ]
    table = pd.DataFrame({"Image": paths})
    told = table.assign(Metadata_Channels="Mito|DNA")
    encoder = raw().fit(told)
    assert encoder.channels_ == ("DNA", "Mito")
    np.testing.assert_array_equal(pixels(encoder, told), stacks)
    named = raw(channels=["Mito", "DNA"]).fit(table)
    np.testing.assert_array_equal(pixels(named, table), [stack[::-1] for stack in stacks])


def test_one_file_of_two_stated_orders_is_two_sites(tmp_path: Path) -> None:
    stack = np.stack(planes(2))
    path = str(tmp_path / "a.tif")
    tifffile.imwrite(path, stack, photometric="minisblack")
    table = pd.DataFrame(
        {"Image": [path] * 4, "Metadata_Channels": ["DNA|ER", "ER|DNA", "DNA|ER", "ERSyto|DAPI"]}
    )
    encoder = raw().fit(table)
    inputs = encoder.inputs(table)
    assert inputs.index.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(
        inputs.values[inputs.index], [stack, stack[::-1], stack, stack[::-1]]
    )


def stack_table(orders: list[Any]) -> pd.DataFrame:
    stacks = [np.stack(pair) for pair in zip(planes(5), planes(5, seed=1), strict=True)]
    return pd.DataFrame({"Image": stacks[: len(orders)], "Metadata_Channels": orders})


def test_orders_count_in_the_rows_that_are_used() -> None:
    table = stack_table(["DNA|ER", "ER|DNA", "DNA||ER", None, "Tubulin|Actin"])
    used = np.array([1, 0])
    encoder = raw().fit(table, used)
    assert encoder.channels_ == ("DNA", "ER")
    got = pixels(encoder, table.iloc[used])
    np.testing.assert_array_equal(got, [table["Image"][1][::-1], table["Image"][0]])


def test_an_order_may_be_missing_where_the_image_is() -> None:
    table = stack_table(["DNA|ER", "ER|DNA", None, "DNA|ER"])
    table.loc[2, "Image"] = None
    with pytest.warns(UserWarning, match="row 2: column 'Image' is empty"):
        inputs = raw(on_error="skip").fit_inputs(table, np.arange(4))
    assert inputs.index.tolist() == [0, 1, -1, 2]
    with pytest.raises(ValueError, match="row 2: column 'Image' is empty"):
        raw().fit(table)


def test_a_used_row_without_an_order_is_named() -> None:
    table = stack_table(["DNA|ER", "ER|DNA", "DNA|ER", None, "DNA|ER"])
    with pytest.raises(ImageError, match=r"nothing says which channel is which.*\(row 3\)"):
        raw().fit(table)


def test_a_malformed_order_names_row_and_column() -> None:
    table = stack_table(["DNA|ER", "ER|DNA", "DNA|ER", "DNA||ER", "DNA|ER"])
    with pytest.raises(ValueError, match=r"row 3, column Metadata_Channels: 'DNA\|\|ER'"):
        raw().fit(table)
    fitted = raw().fit(table, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"row 3, column Metadata_Channels: 'DNA\|\|ER'"):
        fitted.inputs(table)


def test_channels_and_stacks_give_the_same_embeddings() -> None:
    apart = site_table(6, names=("DNA", "ER", "Mito"))
    names = ("Mito", "DNA", "ER")
    together = apart[["Metadata_smiles"]].assign(
        Image=list(expected(apart, names)), Metadata_Channels="|".join(names)
    )
    tables, answers = {"apart": apart, "together": together}, {}
    for way, table in tables.items():
        model = embedder(ImageEncoder(network=Mean)).fit(table)
        for other_way, other in tables.items():
            answers[way, other_way] = model.transform(other)
    for answer in answers.values():
        np.testing.assert_array_equal(answer, answers["apart", "apart"])


def test_rows_that_show_one_site_read_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = site_table()
    table = on_disk(arrays, tmp_path)
    encoder = raw().fit(table)
    seen: Counter[str] = Counter()

    def counted(source: Any, **options: Any) -> np.ndarray:
        seen[Path(source).name] += 1
        return read_image(source, **options)

    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", counted)
    rows = [3, 0, 3, 3, 1, 0]
    inputs = encoder.inputs(table.iloc[rows])
    values = inputs.values[:]
    np.testing.assert_array_equal(values[inputs.index], expected(arrays)[rows])
    assert set(seen.values()) == {1}
    assert len(seen) == 6


def test_rows_without_an_input_are_nan() -> None:
    distinct = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    expanded = Inputs(distinct, np.array([1, -1, 0, 1])).expand(distinct)
    np.testing.assert_array_equal(expanded, [[3, 4], [np.nan, np.nan], [1, 2], [3, 4]])
    assert expanded.dtype == np.float32
    np.testing.assert_array_equal(
        Inputs(distinct, np.array([0, -1])).expand(distinct), [[1, 2], [np.nan, np.nan]]
    )


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(
    ("limit", "free"),
    [("6000\n", 4000), ("max\n", 7168), ("900000\n", 7168), (None, 7168)],
    ids=["container", "no limit", "machine", "no container"],
)
def test_free_memory_is_that_of_the_container_if_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, free: int
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:  7 kB\n")
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    if limit is not None:
        (group / "memory.max").write_text(limit)
        (group / "memory.current").write_text("2000\n")
    monkeypatch.setattr(_image_checks, "Path", lambda path: tmp_path / path.removeprefix("/"))
    assert _image_checks._free_memory() == free
    _image_checks.check_memory(int(0.8 * free))
    with pytest.raises(MemoryError, match="cache=folder, or shrink them"):
        _image_checks.check_memory(int(0.8 * free) + 1)


def test_empty_table_of_tiles():
    table = site_table()
    inputs = raw(crop=4, evaluation="tiles").fit(table).inputs(table.iloc[:0])
    assert len(inputs) == 0


def test_malformed_order_beside_an_empty_image():
    table = stack_table(["DNA|ER", "ER|DNA", "DNA||ER", "DNA|ER"])
    table.loc[2, "Image"] = None
    with pytest.warns(UserWarning, match="row 2: column 'Image' is empty"):
        inputs = raw(on_error="skip").fit_inputs(table, np.arange(4))
    assert inputs.index.tolist() == [0, 1, -1, 2]


def test_malformed_order_names_the_row_of_the_table():
    table = stack_table(["DNA|ER", "ER|DNA", "DNA|ER", "DNA||ER", "DNA|ER"])
    with pytest.raises(ValueError, match=r"row 3, column Metadata_Channels: 'DNA\|\|ER'"):
        raw().fit(table, np.array([4, 3, 0]))  # says "row 1 (index 3)"
