"""IntensityProfiles: against NumPy on real files, errors, and what takes the columns."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import ProfileFeatures
from cloome_sk.baselines.intensity import IntensityProfiles
from cloome_sk.encoders import ProfileEncoder
from cloome_sk.imaging import ImageError
from cloome_sk.preprocessing import ControlNormalizer

CHOSEN = make_column_selector("^Image_Intensity_")
CPJUMP1 = "Mito|AGP|RNA|ER|DNA"


def by_hand(plane: np.ndarray) -> np.ndarray:
    """Mean, population deviation and percentiles of one channel, by a sort and two loops."""
    ranked = np.sort(plane.astype(np.float64).ravel())
    mean = ranked.sum() / ranked.size
    deviation = np.sqrt(((ranked - mean) ** 2).sum() / ranked.size)
    percentiles = []
    for share in (1, 10, 25, 50, 75, 90, 99):
        place = share / 100 * (ranked.size - 1)
        low = int(np.floor(place))
        high = min(low + 1, ranked.size - 1)
        percentiles.append(ranked[low] + (place - low) * (ranked[high] - ranked[low]))
    return np.array([mean, deviation, *percentiles])


@pytest.fixture
def sites(tmp_path: Path) -> pd.DataFrame:
    """Four sites of two channels as files; the last two rows show the same site."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"Metadata_Plate": ["P1", "P1", "P2", "P2", "P2"]}, index=[7, 7, 1, 2, 3])
    for name in ("ER", "DNA"):
        paths = []
        for row in range(4):
            path = tmp_path / f"{row}_{name}.tif"
            tifffile.imwrite(path, rng.integers(100, 60000, (20, 30)).astype(np.uint16))
            paths.append(str(path))
        table[f"Image_{name}"] = [*paths, paths[-1]]
    return table


# ----------------------------------------------------------------------------------- real images


@pytest.mark.real_data
def test_stacks_of_real_fields(data_home: Path) -> None:
    folder = data_home / "images" / "cpjump1_fields_bin2"
    fields = pd.read_csv(folder / "fields.csv")
    table = pd.DataFrame({"Image": [str(folder / name) for name in fields["file"]]}).assign(
        Metadata_Channels=CPJUMP1
    )
    intensity = IntensityProfiles().fit(table)
    assert intensity.channels_ == ("DNA", "ER", "RNA", "AGP", "Mito")  # whatever the files say
    found = intensity.transform(table)
    assert found.shape == (7, 2 + 45)
    for row, path in enumerate(table["Image"]):
        for plane, channel in zip(tifffile.imread(path), CPJUMP1.split("|"), strict=True):
            names = [name for name in intensity.intensity_columns_ if name.endswith(f"_{channel}")]
            np.testing.assert_allclose(found[names].iloc[row], by_hand(plane), rtol=1e-12)


@pytest.mark.real_data
def test_single_cell_crops_as_arrays(data_home: Path) -> None:
    cells = tifffile.imread(data_home / "images" / "bbbc021_cells.tiff").reshape(-1, 3, 68, 68)
    table = pd.DataFrame(
        {
            f"Image_{name}": list(cells[:40, place])
            for place, name in enumerate(("DAPI", "Tubulin", "Actin"))
        }
    )
    found = IntensityProfiles().fit_transform(table)
    block = found.filter(like="Image_Intensity_").to_numpy()
    assert block.shape == (40, 27)
    expected = np.stack([np.concatenate([by_hand(plane) for plane in cell]) for cell in cells[:40]])
    np.testing.assert_allclose(block, expected, rtol=1e-12)


@pytest.mark.real_data
def test_real_illumination_functions_are_divided_by(data_home: Path) -> None:
    folder = data_home / "images" / "sbs_plate"
    files = sorted(folder.glob("Channel1-*.tif"))[:2]
    table = pd.DataFrame(
        {
            "Image_DNA": [str(path) for path in files],
            "Illum_DNA": str(folder / "Channel1ILLUM.npz"),
        }
    )
    with np.load(folder / "Channel1ILLUM.npz", allow_pickle=False) as archive:
        function = archive[archive.files[0]].astype(np.float64)
    corrected = IntensityProfiles().fit(table)
    found = corrected.transform(table)[corrected.intensity_columns_].to_numpy()
    plain = IntensityProfiles(illumination=None).fit_transform(table).iloc[:, -9:].to_numpy()
    for row, path in enumerate(files):
        image = tifffile.imread(path).astype(np.float64)
        np.testing.assert_allclose(found[row], by_hand(image / function), rtol=1e-5)
        np.testing.assert_allclose(plain[row], by_hand(image), rtol=1e-12)
    assert np.abs(found / plain - 1).max() > 0.05


# ------------------------------------------------------------------------------ table in, table out


def test_the_table_comes_back_with_columns_appended(sites: pd.DataFrame) -> None:
    before = sites.copy()
    intensity = IntensityProfiles()
    found = intensity.fit_transform(sites)
    pd.testing.assert_frame_equal(sites, before)
    pd.testing.assert_frame_equal(found[list(sites.columns)], sites)
    appended = list(found.columns[len(sites.columns) :])
    assert appended == intensity.intensity_columns_
    assert appended == [
        f"Image_Intensity_{statistic}_{channel}"
        for channel in ("DNA", "ER")
        for statistic in (
            *("Mean", "Std", "Percentile1", "Percentile10", "Percentile25", "Percentile50"),
            *("Percentile75", "Percentile90", "Percentile99"),
        )
    ]
    assert set(found[appended].dtypes) == {np.dtype(np.float64)}


def test_columns_are_no_image_columns_afterwards(sites: pd.DataFrame) -> None:
    found = IntensityProfiles().fit_transform(sites)
    dropped = found.drop(columns=IntensityProfiles().fit(sites).intensity_columns_)
    again = IntensityProfiles().fit(found)  # the measurements are not taken for channels
    pd.testing.assert_frame_equal(again.transform(dropped), found)


def test_channels_are_matched_by_name(sites: pd.DataFrame) -> None:
    intensity = IntensityProfiles().fit(sites)
    expected = intensity.transform(sites)[intensity.intensity_columns_]
    swapped = sites[["Image_ER", "Image_DNA"]].rename(
        columns={"Image_ER": "Image_ERSyto", "Image_DNA": "Image_Hoechst"}
    )
    found = intensity.transform(swapped)[intensity.intensity_columns_]
    pd.testing.assert_frame_equal(found, expected)
    with pytest.raises(ValueError, match=r"no channel DNA among those given \(ER\)"):
        intensity.transform(sites.drop(columns="Image_DNA"))


def test_stacks_of_another_order_give_the_same(sites: pd.DataFrame) -> None:
    stacks = [
        np.stack([tifffile.imread(dna), tifffile.imread(er)])
        for dna, er in zip(sites["Image_DNA"], sites["Image_ER"], strict=True)
    ]
    one = pd.DataFrame({"Image": stacks}).assign(Metadata_Channels="DNA|ER")
    other = pd.DataFrame({"Image": [stack[::-1] for stack in stacks]}).assign(
        Metadata_Channels="ERSyto|Hoechst"
    )
    intensity = IntensityProfiles(channels=["ER", "DNA"]).fit(one)
    assert intensity.intensity_columns_[0] == "Image_Intensity_Mean_ER"
    names = intensity.intensity_columns_
    pd.testing.assert_frame_equal(
        intensity.transform(one)[names], intensity.transform(other)[names]
    )


def test_each_distinct_site_is_read_once(
    sites: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cloome_sk.imaging import sources

    read: list[str] = []
    original = sources.read_image

    def counting(source: str) -> np.ndarray:
        read.append(source)
        return original(source)

    monkeypatch.setattr(sources, "read_image", counting)
    found = IntensityProfiles().fit_transform(sites)
    assert sorted(read) == sorted({*sites["Image_DNA"], *sites["Image_ER"]})
    np.testing.assert_array_equal(found.iloc[3, 3:], found.iloc[4, 3:])


@pytest.mark.slow
def test_two_processes_give_the_same(sites: pd.DataFrame) -> None:
    many = pd.concat([sites.iloc[:4]] * 5, ignore_index=True)  # more than one run
    many["Image_DNA"] = [tifffile.imread(path) for path in many["Image_DNA"]]
    many["Image_ER"] = [tifffile.imread(path) for path in many["Image_ER"]]
    pd.testing.assert_frame_equal(
        IntensityProfiles(n_jobs=2).fit_transform(many), IntensityProfiles().fit_transform(many)
    )
    many.at[17, "Image_ER"] = np.full((20, 30), -1)
    with pytest.raises(ImageError, match=r"negative.*\(row 17\)"):
        IntensityProfiles(n_jobs=2).fit_transform(many)


def test_sites_may_differ_in_size_and_depth() -> None:
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 255, (12, 9)).astype(np.uint8),
        rng.integers(0, 65535, (30, 31)).astype(np.uint16),
        rng.random((7, 8)).astype(np.float32),
    ]
    found = IntensityProfiles().fit_transform(pd.DataFrame({"Image_DNA": images}))
    for row, image in enumerate(images):
        np.testing.assert_allclose(found.iloc[row, 1:].to_numpy(float), by_hand(image), rtol=1e-6)


# ------------------------------------------------------------------------- what takes the columns


def test_into_normaliser_classifier_and_embedder() -> None:
    rng = np.random.default_rng(0)
    n = 48
    treated = np.arange(n) % 3 == 0
    bright = np.where(treated, 900, 300) + np.where(np.arange(n) < n // 2, 0, 4000)
    table = pd.DataFrame(
        {
            "Metadata_Plate": np.repeat(["P1", "P2"], n // 2),
            "Metadata_control_type": np.where(treated, None, "negcon"),
            "Metadata_smiles": np.where(treated, "CCO", None),
            "Image_DNA": [rng.poisson(level, (16, 16)).astype(np.uint16) for level in bright],
        }
    )
    # The control next to each treated well stands in for another molecule.
    table.loc[np.flatnonzero(treated) + 1, ["Metadata_smiles", "Metadata_control_type"]] = [
        "CCN",
        None,
    ]
    steps = make_pipeline(
        IntensityProfiles(), ControlNormalizer(columns=CHOSEN), ProfileFeatures(columns=CHOSEN)
    )
    features = clone(steps).fit_transform(table)
    assert features.shape == (n, 9)
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    train = np.arange(n) < n // 2  # plate effects are gone: one plate tells the other
    fitted = classifier.fit(features[train], treated[train])
    assert fitted.score(features[~train], treated[~train]) == 1.0

    measured = IntensityProfiles().fit_transform(table)
    embedder = CloomeEmbedder(
        ProfileEncoder(columns=CHOSEN(measured)), n_components=4, max_epochs=1, random_state=0
    ).fit(measured)
    assert embedder.embed_phenotypes(measured).shape == (n, 4)


# -------------------------------------------------------------------------------------- bad input


def test_a_file_that_cannot_be_read_is_named(sites: pd.DataFrame) -> None:
    Path(sites["Image_ER"].iloc[2]).write_bytes(b"no image at all")
    path = sites["Image_ER"].iloc[2]
    with pytest.raises(ImageError, match=r"2_ER\.tif: .*\(row 2 \(index 1\)\)") as caught:
        IntensityProfiles().fit_transform(sites)
    assert caught.value.path == path


def test_or_left_out_with_a_warning(sites: pd.DataFrame) -> None:
    whole = IntensityProfiles().fit_transform(sites)
    Path(sites["Image_ER"].iloc[3]).unlink()  # shown by two rows
    sites.iloc[0, sites.columns.get_loc("Image_DNA")] = None
    skipping = IntensityProfiles(on_error="skip").fit(sites)
    with pytest.warns(UserWarning, match=r"3 of 5 row\(s\).*row 0.*'Image_DNA' is empty.*row 3"):
        found = skipping.transform(sites)
    values = found[skipping.intensity_columns_]
    assert values.isna().all(axis=1).tolist() == [True, False, False, True, True]
    pd.testing.assert_frame_equal(values.iloc[[1, 2]], whole[values.columns].iloc[[1, 2]])
    with pytest.raises(ValueError, match=r"1 row\(s\) lack an image: row 0"):
        IntensityProfiles().fit_transform(sites)


def test_skipping_is_silent_where_nothing_is_wrong(sites: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IntensityProfiles(on_error="skip").fit_transform(sites)


def test_columns_of_these_names_are_not_overwritten(sites: pd.DataFrame) -> None:
    intensity = IntensityProfiles().fit(sites)
    once = intensity.transform(sites)
    with pytest.raises(ValueError, match=r"18 of the columns to append already \(Image_Intensity_"):
        intensity.transform(once)


def test_illumination_functions_are_needed_ever_after(sites: pd.DataFrame, tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.full((20, 30), 2.0, dtype=np.float32))
    lit = sites.assign(Illum_DNA=str(tmp_path / "flat.npy"), Illum_ER=str(tmp_path / "flat.npy"))
    intensity = IntensityProfiles().fit(lit)
    halved = intensity.transform(lit)[intensity.intensity_columns_]
    plain = IntensityProfiles().fit_transform(sites)[intensity.intensity_columns_]
    np.testing.assert_allclose(halved * 2, plain, rtol=1e-6)
    with pytest.raises(ValueError, match="no columns Illum_<channel>"):
        intensity.transform(sites)
    with pytest.raises(ValueError, match="no column Illum_ER"):
        IntensityProfiles().fit(lit.drop(columns="Illum_ER"))


@pytest.mark.parametrize(
    ("parameters", "table", "error", "message"),
    [
        ({}, pd.DataFrame({"Cells_A": [1.0]}), ValueError, "no image columns"),
        ({}, np.zeros((3, 2)), TypeError, "DataFrame, got ndarray"),
        ({}, pd.DataFrame({"Image_DNA": []}, dtype=object), ValueError, "has no rows"),
        (
            {"channels": ["Mito"]},
            pd.DataFrame({"Image_DNA": ["a.tif"]}),
            ValueError,
            "no channel Mito among those given",
        ),
        ({"on_error": "ignore"}, pd.DataFrame({"Image_DNA": ["a.tif"]}), ValueError, "on_error"),
        (
            {"illumination": "always"},
            pd.DataFrame({"Image_DNA": ["a.tif"]}),
            ValueError,
            "illumination",
        ),
    ],
    ids=["no images", "an array", "no rows", "no such channel", "on_error", "illumination"],
)
def test_refused(parameters, table, error, message) -> None:
    with pytest.raises(error, match=message):
        IntensityProfiles(**parameters).fit(table)
