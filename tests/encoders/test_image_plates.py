"""ImageEncoder: what is learned of plates, and from which rows."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from torch import nn

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import BagEncoder, ImageEncoder, MoleculeEncoder
from cloome_sk.encoders._image_statistics import evenly
from cloome_sk.imaging import read_image
from cloome_sk.preprocessing import find_controls

SHAPE = (6, 8)
SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]


class Mean(nn.Module):
    """A network that is quick, and takes images of any size."""

    def __init__(self, n_channels: int, n_components: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_channels, n_components)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.mean(dim=(2, 3)))


def tiny(**parameters: Any) -> ImageEncoder:
    """An encoder whose network takes sites of any size."""
    return ImageEncoder(network=Mean, **parameters)


def embedder(phenotype: Any, **parameters: Any) -> CloomeEmbedder:
    return CloomeEmbedder(
        phenotype,
        MoleculeEncoder(hidden_sizes=()),
        n_components=3,
        max_epochs=1,
        random_state=0,
        **parameters,
    )


def ramp(low: int, high: int) -> np.ndarray:
    """A picture of low, high, and everything in between."""
    return np.linspace(low, high, 48).round().astype(np.uint16).reshape(SHAPE)


def flat(value: int) -> np.ndarray:
    return np.full(SHAPE, value, dtype=np.uint16)


def plates(n_plates: int = 3, n_rows: int = 5) -> pd.DataFrame:
    """Shuffled rows of plates of different brightness, the first of each plate its control."""
    rng = np.random.default_rng(0)
    rows = []
    for plate in range(n_plates):
        for number in range(n_rows):
            low, high = 100 * (plate + 1), 1000 * (plate + 1)
            if number:
                low, high = (int(value) for value in np.sort(rng.integers(50, 4000, 2)))
            rows.append(
                {
                    "Metadata_Plate": f"P{plate}",
                    "Metadata_role": None if number else "negcon",
                    "Metadata_smiles": SMILES[number % 4],
                    "Image_DNA": ramp(low, high),
                    "Image_ER": ramp(low + 7, 2 * high),
                }
            )
    return pd.DataFrame(rows).sample(frac=1, random_state=1).reset_index(drop=True)


def scaled(image: np.ndarray, low: float, high: float) -> np.ndarray:
    level = np.floor((image.astype(np.float64) - low) * 255 / (high - low))
    return np.clip(level, 0, 255).astype(np.uint8)


def literal(table: pd.DataFrame) -> np.ndarray:
    """Each image between the darkest and the brightest pixel of the control of its plate."""
    out = np.empty((len(table), 2, *SHAPE), dtype=np.uint8)
    for row, plate in enumerate(table["Metadata_Plate"]):
        of_plate = table[(table["Metadata_Plate"] == plate) & (table["Metadata_role"] == "negcon")]
        for channel, name in enumerate(("Image_DNA", "Image_ER")):
            control = of_plate[name].iloc[0]
            out[row, channel] = scaled(table[name][row], control.min(), control.max())
    return out


def by_row(inputs: Any) -> Any:
    """What each row gets: pixels, or pixels, means and deviations."""
    return inputs.values[inputs.index]


def test_each_row_has_the_limits_of_its_plate_and_channel() -> None:
    table = plates()
    encoder = tiny(scaling="plate").fit(table)
    np.testing.assert_array_equal(by_row(encoder.inputs(table)), literal(table))
    subset = np.array([9, 2, 11, 0, 5])
    inputs = tiny(scaling="plate").fit_inputs(table, subset)
    np.testing.assert_array_equal(by_row(inputs), literal(table)[subset])
    _, mean, _ = by_row(means().fit_inputs(table, subset))
    controls = table[table["Metadata_role"] == "negcon"].set_index("Metadata_Plate")["Image_DNA"]
    of_plates = [controls[plate].mean() for plate in table["Metadata_Plate"][subset]]
    np.testing.assert_allclose(mean[:, 0], of_plates, rtol=1e-6)


@pytest.mark.parametrize("n_jobs", [None, 2], ids=["here", "two"])
def test_a_site_that_is_skipped_does_not_shift_the_plates(n_jobs: int | None) -> None:
    table = plates()
    treated = np.flatnonzero(table["Metadata_role"].isna())
    lost = treated[[1, 4]]
    broken = table.copy()
    broken.loc[lost[0], "Image_ER"] = None
    broken.at[lost[1], "Image_ER"] = np.ones((3, 3), dtype=np.uint16)
    encoder = tiny(scaling="plate", normalization="plate", on_error="skip", n_jobs=n_jobs)
    with pytest.warns(UserWarning, match="2 of 15"):
        inputs = encoder.fit_inputs(broken, treated)
    assert np.flatnonzero(inputs.index < 0).tolist() == [1, 4]
    usable = inputs.index >= 0
    got, mean, std = inputs.values[inputs.index[usable]]
    rows = treated[usable]
    expected = literal(table)
    np.testing.assert_array_equal(got, expected[rows])
    for place, row in enumerate(rows):
        control = (table["Metadata_Plate"] == table["Metadata_Plate"][row]) & (
            table["Metadata_role"] == "negcon"
        )
        of_control = expected[np.flatnonzero(control)[0]].astype(np.float64)
        np.testing.assert_allclose(mean[place], of_control.mean(axis=(1, 2)), rtol=1e-6)
        np.testing.assert_allclose(std[place], of_control.std(axis=(1, 2)), rtol=1e-6)


def test_one_file_on_two_plates_is_read_as_each_wants_it(tmp_path: Path) -> None:
    path = str(tmp_path / "shared.tif")
    image = ramp(50, 700)
    tifffile.imwrite(path, image)
    table = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P1", "P2", "P2", "P1"],
            "Metadata_role": ["negcon", None, "negcon", None, None],
            "Image_DNA": [ramp(0, 500), path, ramp(100, 900), path, path],
        }
    )
    encoder = tiny(scaling="plate").fit(table)
    inputs = encoder.inputs(table)
    assert inputs.index.tolist() == [0, 1, 2, 3, 1]
    got = by_row(inputs)[:, 0]
    np.testing.assert_array_equal(got[1], scaled(image, 0, 500))
    np.testing.assert_array_equal(got[3], scaled(image, 100, 900))
    assert (got[1] != got[3]).any()
    inputs = tiny(scaling="none", normalization="plate").fit(table).inputs(table)
    assert inputs.index.tolist() == [0, 1, 2, 3, 1]
    means = by_row(inputs)[1][:, 0]
    wanted = [ramp(0, 500).mean(), ramp(100, 900).mean()]
    np.testing.assert_allclose(means, np.take(wanted, [0, 0, 1, 1, 0]), rtol=1e-6)


def test_a_cache_knows_the_limits(tmp_path: Path) -> None:
    table = plates()
    other = table.assign(Metadata_role=["negcon"] * len(table))
    for given in (table, other, table):
        cached = tiny(scaling="plate", cache=tmp_path / "cache").fit(given)
        plain = tiny(scaling="plate").fit(given)
        np.testing.assert_array_equal(by_row(cached.inputs(given)), by_row(plain.inputs(given)))
    np.testing.assert_array_equal(by_row(cached.inputs(table)), literal(table))


def test_a_cache_knows_the_illumination(tmp_path: Path) -> None:
    table = plates()[["Image_DNA"]]
    for value in (1.0, 2.0, None, 1.0):
        given = table
        if value is not None:
            np.save(tmp_path / f"{value}.npy", np.full(SHAPE, value, dtype=np.float32))
            given = table.assign(Illum_DNA=str(tmp_path / f"{value}.npy"))
        encoder = tiny(scaling="percentile", cache=tmp_path / "cache").fit(given)
        plain = tiny(scaling="percentile").fit(given)
        np.testing.assert_array_equal(by_row(encoder.inputs(given)), by_row(plain.inputs(given)))
    halves = tiny(scaling="none", cache=tmp_path / "cache")
    for value in (1.0, 2.0):
        given = table.assign(Illum_DNA=str(tmp_path / f"{value}.npy"))
        got = by_row(halves.fit(given).inputs(given))[:, 0]
        np.testing.assert_array_equal(got, np.stack(table["Image_DNA"].tolist()) / value)


def inverted(image: np.ndarray) -> np.ndarray:
    return 9000 - image


def test_limits_are_learned_after_preprocess_and_correction(tmp_path: Path) -> None:
    table = plates()
    negative = table.copy()
    for name in ("Image_DNA", "Image_ER"):
        negative[name] = [inverted(image) for image in table[name]]
    encoder = tiny(scaling="plate", preprocess=inverted).fit(table)
    np.testing.assert_array_equal(by_row(encoder.inputs(table)), literal(negative))
    halved = table.copy()
    np.save(tmp_path / "two.npy", np.full(SHAPE, 2.0, dtype=np.float32))
    for name in ("DNA", "ER"):
        halved[f"Image_{name}"] = [2 * image for image in table[f"Image_{name}"]]
        halved[f"Illum_{name}"] = str(tmp_path / "two.npy")
    fitted = tiny(scaling="plate").fit(halved)
    for plate in range(3):
        np.testing.assert_allclose(
            fitted.plate_limits_[f"P{plate}"][0],
            [100 * (plate + 1), 1000 * (plate + 1)],
            rtol=1e-3,  # limits of floats are rounded down to 12 bits
        )


# ---------------------------------------------------------------- which rows are controls


def marked(values: list[int], **columns: Any) -> pd.DataFrame:
    """One plate of flat images, whose means tell which of them were controls."""
    table = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_smiles": [SMILES[row % 4] for row in range(len(values))],
            "Image_DNA": [flat(value) for value in values],
        }
    )
    return table.assign(**columns)


def mean_of(encoder: Any, plate: str = "P1") -> float:
    return float(encoder.plate_statistics_[plate][0, 0])


def means(**parameters: Any) -> ImageEncoder:
    return tiny(scaling="none", normalization="plate", **parameters)


def test_further_plates_have_controls_by_the_rule_of_fit() -> None:
    table = marked([10, 20, 40, 80], Metadata_compound=["DMSO", "DMSO", "a", "b"])
    encoder = means().fit(table)
    assert mean_of(encoder) == 15
    # By the habits of the field this column would come first.
    further = marked(
        [100, 200, 400],
        Metadata_Plate="P2",
        Metadata_compound=["a", "DMSO", "b"],
        Metadata_control_type=["negcon", None, None],
    )
    encoder.fit_plates(further)
    assert mean_of(encoder, "P2") == 200
    assert mean_of(encoder) == 15
    explicit = means(controls=("compound", "b")).fit(table)
    assert mean_of(explicit) == 80
    assert mean_of(explicit.fit_plates(further), "P2") == 400


def test_further_plates_are_added_to_those_known() -> None:
    table = plates(2)
    encoder = tiny(scaling="plate", normalization="plate").fit(table)
    earlier = [dict(encoder.plate_limits_), dict(encoder.plate_statistics_)]
    new = table[table["Metadata_Plate"] == "P1"].assign(Metadata_Plate="P7")
    encoder.fit_plates(new)
    now = [encoder.plate_limits_, encoder.plate_statistics_]
    for known, before in zip(now, earlier, strict=True):
        assert set(known) == {"P0", "P1", "P7"}
        np.testing.assert_array_equal(known["P0"], before["P0"])
        np.testing.assert_array_equal(known["P7"], before["P1"])
    whole = pd.concat([table, new], ignore_index=True)
    np.testing.assert_array_equal(by_row(encoder.inputs(whole))[0], literal(whole))


@pytest.mark.parametrize("parameter", ["scaling", "normalization"])
def test_a_failure_with_further_plates_leaves_those_known(parameter: str) -> None:
    table = plates(2)
    encoder = tiny(**{parameter: "plate"}).fit(table)  # type: ignore[arg-type]
    before = dict(vars(encoder))
    new = table.assign(Metadata_Plate=table["Metadata_Plate"].map({"P0": "P8", "P1": "P9"}))
    broken = new[["Metadata_Plate", "Metadata_role", "Image_DNA", "Image_ER"]].copy()
    last = np.flatnonzero((broken["Metadata_Plate"] == "P9") & broken["Metadata_role"].notna())[0]
    broken.loc[last, "Image_ER"] = "absent.tif"
    with pytest.raises(ValueError, match=rf"absent\.tif.*\(row {last}\)"):
        encoder.fit_plates(broken)
    assert vars(encoder) == before
    assert set(encoder.plate_limits_ or encoder.plate_statistics_) == {"P0", "P1"}


@pytest.mark.parametrize("bagged", [False, True], ids=["rows", "bags"])
@pytest.mark.parametrize("own", [False, True], ids=["of the embedder", "of the encoder"])
def test_controls_of_the_embedder_reach_the_images(bagged: bool, own: bool) -> None:
    table = marked(
        [10, 20, 40, 80, 160, 320],
        Metadata_Well=[f"A{row:02d}" for row in range(1, 7)],
        Metadata_group=["blank", "blank", "x", "x", "y", "y"],
        Metadata_control_type=["negcon", None, None, None, None, None],
    )
    encoder = means(controls=("group", "y") if own else "auto")
    phenotype = BagEncoder(encoder) if bagged else encoder
    model = embedder(phenotype, controls=("group", "blank")).fit(table)
    inner = model.phenotype_.encoder_ if bagged else model.phenotype_
    assert mean_of(inner) == (240 if own else 15)
    inner.fit_plates(table.assign(Metadata_Plate="P2"))
    assert mean_of(inner, "P2") == (240 if own else 15)


def test_the_table_of_plates_has_its_own_controls() -> None:
    table = marked([10, 20, 40, 80], Metadata_control_type=["negcon", None, None, None])
    known = marked([500, 600], Metadata_control_type=[None, "negcon"])
    assert mean_of(means(plate_table=known).fit(table)) == 600
    encoder = means(plate_table=known)
    encoder.fit_inputs(table, np.arange(4), controls=find_controls(table))
    assert mean_of(encoder) == 600


@pytest.mark.parametrize("parameter", ["scaling", "normalization"])
def test_a_plate_is_learned_from_a_number_of_controls_spread_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameter: str
) -> None:
    monkeypatch.setattr("cloome_sk.encoders._image_plates.CONTROLS_A_PLATE", 16)
    values = list(range(10, 1010, 50))
    table = marked(values, Metadata_role="negcon")
    table.loc[20] = [*table.loc[19]]
    table.loc[20, "Metadata_role"] = None
    paths = [str(tmp_path / f"{value}.tif") for value in values]
    for path, image in zip(paths, table["Image_DNA"], strict=False):
        tifffile.imwrite(path, image)
    table["Image_DNA"] = [*paths, flat(7)]
    seen: Counter[str] = Counter()

    def counted(source: Any, **options: Any) -> np.ndarray:
        if not isinstance(source, np.ndarray):
            seen[source] += 1
        return read_image(source, **options)

    monkeypatch.setattr("cloome_sk.imaging.sources.read_image", counted)
    given: dict[str, Any] = {"normalization": "plate", "scaling": "none"}
    if parameter == "scaling":
        given = {"scaling": "plate"}
    encoder = tiny(**given).fit(table, np.array([20]))
    # 16 of the 20, from the first to the last.
    chosen = [values[(2 * 19 * place + 15) // 30] for place in range(16)]
    assert len(set(chosen)) == 16
    assert set(seen) == {str(tmp_path / f"{value}.tif") for value in chosen}
    if parameter == "normalization":
        assert mean_of(encoder) == pytest.approx(np.mean(chosen))
    else:
        assert encoder.plate_limits_["P1"][0].tolist() == [chosen[0], chosen[-1]]


@pytest.mark.parametrize(("n", "most"), [(5, 9), (9, 9), (10, 3), (100, 7), (17, 16), (4, 1)])
def test_evenly_takes_the_ends_and_equal_steps(n: int, most: int) -> None:
    items = np.arange(n) * 10
    chosen = evenly(items, most)
    assert len(chosen) == min(n, most)
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] == 0
    if most > 1:
        assert chosen[-1] == items[-1]
        assert np.ptp(np.diff(chosen)) <= 10


# ---------------------------------------------------------------- controls that cannot be read


@pytest.mark.parametrize("parameter", ["scaling", "normalization"])
@pytest.mark.parametrize("lack", ["file", "cell"])
def test_a_plate_none_of_whose_controls_can_be_read_is_named(parameter: str, lack: str) -> None:
    table = plates(2)
    bad = (table["Metadata_Plate"] == "P1") & table["Metadata_role"].notna()
    table["Image_ER"] = table["Image_ER"].where(~bad, "absent.tif" if lack == "file" else None)
    encoder = tiny(on_error="skip", **{parameter: "plate"})
    treated = np.flatnonzero(table["Metadata_role"].isna())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"none of the 1 negative control\(s\) of plate 'P1'"):
            encoder.fit(table, treated)


@pytest.mark.parametrize("lack", ["file", "cell"])
def test_controls_that_are_left_out_are_told(lack: str) -> None:
    table = marked([10, 20, 40, 80, 160], Metadata_role=["negcon"] * 3 + [None] * 2)
    table["Image_DNA"] = table["Image_DNA"].where(
        table.index != 1, "absent.tif" if lack == "file" else None
    )
    with pytest.warns(UserWarning, match=r"plate 'P1': row 1: "):
        encoder = means(on_error="skip").fit(table, np.array([3, 4]))
    assert mean_of(encoder) == 25


def test_controls_are_never_among_the_skipped() -> None:
    table = plates(1, 9)
    control = int(np.flatnonzero(table["Metadata_role"].notna())[0])
    lost = 4 if control != 4 else 5
    table.loc[[control, lost], "Image_DNA"] = "absent.tif"
    model = embedder(tiny(on_error="skip"))
    with pytest.warns(UserWarning, match=rf"1 of 9 row.*row {lost}: "):
        model.fit(table)
    assert model.skipped_rows_.tolist() == [lost]
    assert model.n_pairs_ == 7


@pytest.mark.parametrize("lack", ["file", "cell"])
def test_controls_left_out_of_limits_are_told(lack):
    table = marked([10, 20, 40, 80, 160], Metadata_role=["negcon"] * 3 + [None] * 2)
    table["Image_DNA"] = table["Image_DNA"].where(
        table.index != 1, "absent.tif" if lack == "file" else None
    )
    with pytest.warns(UserWarning, match=r"plate 'P1': row 1: "):
        encoder = tiny(scaling="plate", on_error="skip").fit(table, np.array([3, 4]))
    assert encoder.plate_limits_["P1"][0].tolist() == [10, 40]


def not_finite(image: np.ndarray) -> np.ndarray:
    return np.where(image == 17, np.nan, image).astype(np.float32)


def test_nan_in_a_control_does_not_stop_a_fit_that_skips():
    table = marked([10, 17, 40, 80, 160], Metadata_role=["negcon"] * 3 + [None] * 2)
    with pytest.warns(UserWarning, match=r"plate 'P1': row 1: "):
        tiny(scaling="plate", on_error="skip", preprocess=not_finite).fit(table, np.array([3, 4]))
