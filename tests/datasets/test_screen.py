from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloome_sk.datasets import _screen_site, load_known_drugs, screen
from cloome_sk.datasets.screen import make_screen

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
COLUMNS = [f"Image_{channel}" for channel in CHANNELS]
TINY = {"n_compounds": 3, "n_plates": 1, "n_controls": 2, "size": 40, "random_state": 0}
CLEAN = {"plate_effect": 0.0, "position_effect": 0.0}


def pixels(table):
    return np.stack([[tifffile.imread(path) for path in row] for row in table[COLUMNS].to_numpy()])


def statistics(table):
    """Mean, spread and percentiles of every channel: what needs no idea of a cell."""
    images = pixels(table).astype(float).reshape(len(table), len(CHANNELS), -1)
    parts = [images.mean(axis=2), images.std(axis=2)]
    parts += list(np.percentile(images, [10, 50, 90, 99], axis=2))
    return np.log(np.concatenate(parts, axis=1))


def is_control(table):
    return (table["Metadata_control_type"] == "negcon").to_numpy()


def told_apart(table):
    """Area under the ROC curve of treated against control wells, on unseen wells."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    treated = ~is_control(table)
    features = statistics(table)
    score = cross_val_predict(model, features, treated, cv=folds, method="predict_proba")
    return roc_auc_score(treated, score[:, 1])


def digest(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_table_and_files(tmp_path):
    table = make_screen(
        tmp_path / "screen", n_plates=3, n_compounds=8, n_replicates=2, n_controls=3, n_sites=2,
        size=(40, 56), random_state=0,
    )  # fmt: skip
    assert len(table) == 2 * (8 * 2 + 3 * 3)
    assert list(table.columns) == [
        *(f"Metadata_{name}" for name in ("Plate", "Well", "Site", "batch", "smiles", "pert_iname",
          "moa", "target", "control_type", "conc_uM", "active", "Count_Cells", "source")),
        *COLUMNS,
    ]  # fmt: skip
    assert not table.duplicated(["Metadata_Plate", "Metadata_Well", "Metadata_Site"]).any()
    assert table["Metadata_Site"].tolist() == [1, 2] * (len(table) // 2)
    assert (table["Metadata_source"] == "simulated").all()
    assert table["Metadata_batch"].nunique() == 2
    assert table["Metadata_Count_Cells"].dtype == np.int64

    control = is_control(table)
    assert (table[control].groupby("Metadata_Plate").size() == 6).all()
    assert set(table.loc[control, "Metadata_pert_iname"]) == {"DMSO"}
    assert table.loc[control, ["Metadata_moa", "Metadata_target"]].isna().all(axis=None)
    assert not table.loc[control, "Metadata_active"].any()
    drugs = load_known_drugs().set_index("name")
    treated = table[~control]
    for column in ("smiles", "moa", "target"):
        expected = drugs.loc[treated["Metadata_pert_iname"], column]
        assert (treated[f"Metadata_{column}"].to_numpy() == expected.to_numpy()).all()
    assert (treated.groupby("Metadata_pert_iname")["Metadata_Plate"].nunique() == 2).all()
    assert (treated.groupby("Metadata_pert_iname")["Metadata_active"].first()).sum() == 6

    images = pixels(table)
    assert images.shape == (len(table), 5, 40, 56)
    assert images.dtype == np.uint16
    assert table.attrs["simulated"]["pixel_size_um"] == 1.5


def test_names_are_those_of_the_opera_phenix(tmp_path):
    table = make_screen(tmp_path, **TINY)
    # The channels' numbers in the JUMP data.
    number = {"Mito": "1", "AGP": "2", "RNA": "3", "ER": "4", "DNA": "5"}
    for channel in CHANNELS:
        for well, site, path in zip(
            table["Metadata_Well"], table["Metadata_Site"], table[f"Image_{channel}"], strict=True
        ):
            path = Path(path)
            assert path.is_absolute()
            assert path.parent == tmp_path / "SIM0001"
            found = re.fullmatch(r"r(\d\d)c(\d\d)f(\d\d)p01-ch(\d)sk1fk1fl1\.tiff", path.name)
            row, column, field, plane = found.groups()
            assert well == f"{'ABCDEFGH'[int(row) - 1]}{column}"
            assert (int(field), plane) == (site, number[channel])


def test_files_say_that_they_are_simulated_and_how_large_a_pixel_is(tmp_path):
    table = make_screen(tmp_path, pixel_size_um=0.6, **TINY)
    with tifffile.TiffFile(table["Image_ER"][0]) as file:
        page = file.pages[0]
        assert "SIMULATED" in page.description
        assert "ER" in page.description
        assert page.compression == 1
        top, bottom = page.tags["XResolution"].value
        assert page.tags["ResolutionUnit"].value == 3
        assert top / bottom == pytest.approx(1e4 / 0.6)


def test_table_on_disk_is_the_table_returned(tmp_path):
    table = make_screen(tmp_path, **TINY)
    stored = pd.read_csv(tmp_path / "screen.csv")
    for column in COLUMNS:
        stored[column] = [str(tmp_path / path) for path in stored[column]]
    pd.testing.assert_frame_equal(stored, table, check_dtype=False)
    assert not (tmp_path / "screen.unfinished").exists()


def test_same_seed_same_bytes_whatever_the_number_of_processes(tmp_path):
    settings = {**TINY, "n_sites": 2}
    alone = make_screen(tmp_path / "alone", n_jobs=1, **settings)
    together = make_screen(tmp_path / "together", n_jobs=2, **settings)
    assert digest(tmp_path / "alone") == digest(tmp_path / "together")
    pd.testing.assert_frame_equal(
        alone.drop(columns=COLUMNS), together.drop(columns=COLUMNS), check_exact=True
    )
    other = make_screen(tmp_path / "other", **{**settings, "random_state": 1})
    assert not np.array_equal(pixels(alone)[0], pixels(other)[0])
    # No two sites are one.
    assert len({plane.tobytes() for site in pixels(alone) for plane in site}) == 10 * 5


def test_without_a_seed_screens_differ_and_generators_are_untouched(tmp_path):
    def state():
        kind, keys, position, *rest = np.random.mtrand._rand.get_state()
        return kind, keys.tolist(), position, *rest, random.getstate()

    before = state()
    settings = {**TINY, "random_state": None}
    first, second = (make_screen(tmp_path / name, **settings) for name in "ab")
    assert not np.array_equal(pixels(first), pixels(second))
    assert state() == before


def test_a_site_does_not_depend_on_how_many_sites_there_are(tmp_path):
    one = make_screen(tmp_path / "one", **TINY)
    two = make_screen(tmp_path / "two", n_sites=2, **TINY)
    assert np.array_equal(pixels(one), pixels(two[two["Metadata_Site"] == 1]))


SHOWN = {"n_plates": 1, "n_controls": 60, "size": 64, "pixel_size_um": 2.5, "random_state": 0}


def test_without_signal_treated_wells_are_not_told_from_controls(tmp_path):
    nothing = make_screen(tmp_path / "0", n_compounds=60, signal=0, **SHOWN)
    # 60 against 60: by chance a deviation of 0.1 is two standard errors.
    assert abs(told_apart(nothing) - 0.5) < 0.12
    counts = nothing.groupby(is_control(nothing))["Metadata_Count_Cells"].mean()
    assert counts[False] == pytest.approx(counts[True], rel=0.12)


def test_with_signal_they_are(tmp_path):
    drugs = load_known_drugs()
    strong = drugs[drugs["moa"].str.contains("tubulin|topoisomerase|proteasome|CDK|reductase")]
    settings = {**SHOWN, "compounds": strong, "inactive_fraction": 0.0}
    assert told_apart(make_screen(tmp_path / "1", **settings)) > 0.75


def test_inactive_compounds_do_nothing_at_all(tmp_path):
    inactive = make_screen(tmp_path / "inactive", inactive_fraction=1.0, signal=3.0, **TINY)
    without = make_screen(tmp_path / "without", signal=0.0, **{**TINY})
    assert not inactive["Metadata_active"].any()
    assert np.array_equal(pixels(inactive), pixels(without))


def test_toxic_mechanisms_leave_fewer_cells(tmp_path):
    drugs = load_known_drugs()
    compounds = drugs[drugs["moa"].isin(["topoisomerase II inhibitor", "GABA receptor modulator"])]
    table = make_screen(
        tmp_path, compounds=compounds, inactive_fraction=0.0, n_controls=12, n_plates=1, size=96,
        pixel_size_um=2.5, random_state=0, **CLEAN,
    )  # fmt: skip
    mean = table.groupby(table["Metadata_moa"].fillna("DMSO"))["Metadata_Count_Cells"].mean()
    assert mean["topoisomerase II inhibitor"] < 0.6 * mean["DMSO"]
    assert mean["GABA receptor modulator"] > 0.75 * mean["DMSO"]


def test_a_compound_signal_of_zero_leaves_only_the_mechanism():
    drugs = load_known_drugs()
    drugs = drugs[drugs["moa"] == "HDAC inhibitor"].reset_index(drop=True)
    active = np.ones(len(drugs), dtype=bool)
    streams = screen.Streams([1, 2, 3, 4])
    sizes = {"signal": 1.0, "moa_signal": 1.0, "compound_signal": 0.0}
    alike = screen.compound_shifts(drugs, active, sizes, streams)
    assert all(shift == alike[0] for shift in alike)
    own = screen.compound_shifts(drugs, active, {**sizes, "compound_signal": 1.0}, streams)
    spread = np.std([shift["cell_area"] for shift in own])
    assert 0.05 < spread < 0.5
    only = screen.compound_shifts(
        drugs, active, {**sizes, "moa_signal": 0.0, "compound_signal": 1.0}, streams
    )
    assert abs(np.mean([shift["cell_area"] for shift in only])) < 0.15


@pytest.mark.parametrize(("plate_effect", "differ"), [(0.0, False), (1.0, True)])
def test_plates_differ_in_their_controls(tmp_path, plate_effect, differ):
    table = make_screen(
        tmp_path, n_compounds=2, n_controls=10, n_plates=3, size=64, pixel_size_um=2.5,
        plate_effect=plate_effect, position_effect=0.0, random_state=1,
    )  # fmt: skip
    controls = table[is_control(table)]
    features = statistics(controls)
    plate = pd.factorize(controls["Metadata_Plate"])[0]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    right = (cross_val_predict(model, features, plate, cv=folds) == plate).mean()
    assert (right > 0.7) if differ else (right < 0.55)


def test_the_rim_has_fewer_cells(tmp_path):
    table = make_screen(
        tmp_path, n_compounds=2, n_controls=70, n_plates=1, signal=0.0, size=64,
        pixel_size_um=2.5, plate_effect=0.0, position_effect=2.0, random_state=0,
    )  # fmt: skip
    well = table["Metadata_Well"]
    rim = well.str[0].isin(["A", "H"]) | well.str[1:].isin(["01", "12"])
    count = table["Metadata_Count_Cells"].groupby(rim).mean()
    assert 15 < rim.sum() < 40
    assert count[True] < 0.8 * count[False]


def test_background_and_noise_have_their_size(tmp_path):
    settings = {**TINY, "signal": 0.0, **CLEAN}
    usual, bright, still = (
        pixels(make_screen(tmp_path / name, **settings, **change)).astype(float)
        for name, change in (("1", {}), ("2", {"background": 2.0}), ("3", {"noise": 0.0}))
    )
    floor = np.percentile(usual, 5, axis=(0, 2, 3)) - 110
    more = np.percentile(bright, 5, axis=(0, 2, 3)) - 110
    assert more == pytest.approx(2 * floor, rel=0.25)
    # The same cells: what differs is the grain of the camera.
    grain = usual - still
    assert np.abs(grain.mean()) < 1
    assert 5 < grain.std() < 80


def test_fixed_layout(tmp_path):
    table = make_screen(tmp_path, layout="fixed", **{**TINY, "n_plates": 2})
    treated = table[~is_control(table)]
    assert (treated.groupby("Metadata_pert_iname")["Metadata_Well"].nunique() == 1).all()


def test_compounds_of_the_users_own(tmp_path):
    compounds = pd.DataFrame(
        {
            "Metadata_pert_iname": ["aspirin", "caffeine", "nocodazole"],
            "SMILES": ["CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CCO"],
            "Metadata_moa": ["made-up inhibitor", None, "Tubulin inhibitor"],
        },
        index=[7, 8, 9],
    )
    before = compounds.copy()
    settings = {**TINY, "n_compounds": None, "inactive_fraction": 0.0}
    with pytest.raises(ValueError, match="no column 'smiles'"):
        make_screen(tmp_path / "x", compounds=compounds.drop(columns="SMILES"), **settings)
    table = make_screen(tmp_path / "screen", compounds=compounds, **settings)
    pd.testing.assert_frame_equal(compounds, before)
    treated = table[~is_control(table)].set_index("Metadata_pert_iname")
    assert treated.loc["aspirin", "Metadata_moa"] == "made-up inhibitor"
    assert pd.isna(treated.loc["caffeine", "Metadata_moa"])
    assert treated.loc["nocodazole", "Metadata_smiles"] == "CCO"
    assert treated["Metadata_target"].isna().all()
    assert treated["Metadata_active"].all()
    some = make_screen(tmp_path / "some", compounds=compounds, **{**settings, "n_compounds": 2})
    assert len(some) == 2 + 2


def users(**changes):
    columns = {"name": ["a", "b", "c"], "smiles": ["C", "CC", "CCC"], "moa": ["x", "x", "y"]}
    return pd.DataFrame({**columns, **changes})


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_compounds": 1}, ValueError, "n_compounds must be at least 2 and at most 120; got 1"),
        ({"n_compounds": 4.0}, TypeError, "n_compounds must be an integer"),
        ({"n_plates": 0}, ValueError, "n_plates must be at least 1"),
        ({"n_replicates": 2}, ValueError, "n_replicates must be at least 1 and at most 1"),
        ({"n_controls": -1}, ValueError, "n_controls must be at least 0"),
        ({"n_controls": 5000}, ValueError, "do not fit the largest plate"),
        ({"n_sites": 100}, ValueError, "n_sites must be at least 1 and at most 99"),
        ({"size": 16}, ValueError, "size must be at least 32 and at most 2160; got 16"),
        ({"size": (64, 64, 5)}, ValueError, r"size must be one number or \(height, width\)"),
        ({"size": "large"}, TypeError, "size must be an integer"),
        ({"pixel_size_um": 0.1}, ValueError, "pixel_size_um must be at least 0.25"),
        ({"pixel_size_um": 9}, ValueError, "pixel_size_um must be at least 0.25"),
        ({"pixel_size_um": None}, TypeError, "pixel_size_um must be a number"),
        ({"signal": -1}, ValueError, "signal must be at least 0"),
        ({"signal": np.nan}, ValueError, "signal must be at least 0"),
        ({"noise": "loud"}, TypeError, "noise must be a number"),
        ({"inactive_fraction": 1.1}, ValueError, "inactive_fraction must be at least 0 and at"),
        ({"layout": "random"}, ValueError, "layout must be 'scrambled' or 'fixed'"),
        ({"compounds": "drugs.csv"}, TypeError, "compounds must be a DataFrame"),
        ({"compounds": users(name=["a", None, "c"])}, ValueError, "'name' is missing in 1 row"),
        ({"compounds": users(smiles=["C", "CC", None])}, ValueError, "'smiles' is missing in 1"),
        ({"compounds": users(name=["a", "b", "a"])}, ValueError, "'a' stands in more than one row"),
        ({"compounds": users(smiles=["C", "C(", "CC"])}, ValueError, "compounds: column 'smiles'"),
        ({"compounds": users().drop(columns="moa")}, ValueError, "no column 'moa'"),
        ({"compounds": users(), "n_compounds": 9}, ValueError, "at most 3; got 9"),
    ],
)
def test_bad_parameters_are_named_before_anything_is_written(tmp_path, parameters, error, message):
    settings = {**TINY, "n_compounds": None, **parameters}
    with pytest.raises(error, match=message):
        make_screen(tmp_path / "screen", **settings)
    assert not (tmp_path / "screen").exists()


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(FileExistsError, match=r"is not empty \(it holds 'thesis.tex'\)"):
        make_screen(tmp_path, **TINY)
    with pytest.raises(NotADirectoryError, match="is a file"):
        make_screen(tmp_path / "thesis.tex", **TINY)
    make_screen(tmp_path / "screen", **TINY)
    with pytest.raises(FileExistsError, match="already holds a screen"):
        make_screen(tmp_path / "screen", **TINY)


def test_overwriting_replaces_the_screen_and_nothing_else(tmp_path):
    make_screen(tmp_path, **{**TINY, "n_plates": 2, "n_sites": 2})
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "SIM0001" / "mask.png").write_text("mine too")
    again = make_screen(tmp_path, overwrite=True, **TINY)
    left = {path for path in digest(tmp_path) if not path.endswith(".tiff")}
    assert left == {"notes.txt", "screen.csv", str(Path("SIM0001", "mask.png"))}
    assert {str(p) for p in tmp_path.rglob("*.tiff")} == set(again[COLUMNS].to_numpy().ravel())


def test_an_interrupted_screen_is_noticed(tmp_path, monkeypatch):
    written = []

    def write_then_die(paths, image, pixel_um):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(paths)
        _write(paths, image, pixel_um)

    _write = _screen_site.write_site
    monkeypatch.setattr(_screen_site, "write_site", write_then_die)
    with pytest.raises(KeyboardInterrupt):
        make_screen(tmp_path, **TINY)
    assert len(written) == 2
    assert not (tmp_path / "screen.csv").exists()
    monkeypatch.undo()
    with pytest.raises(FileExistsError, match="holds a screen that was not finished"):
        make_screen(tmp_path, **TINY)
    make_screen(tmp_path, overwrite=True, **TINY)
    make_screen(tmp_path / "fresh", **TINY)
    again = {k: v for k, v in digest(tmp_path).items() if not k.startswith("fresh")}
    assert again == digest(tmp_path / "fresh")


def test_progress_is_shown_on_request(tmp_path, capsys):
    make_screen(tmp_path / "quiet", **TINY)
    assert capsys.readouterr() == ("", "")
    make_screen(tmp_path / "loud", verbose=True, **TINY)
    assert "make_screen" in capsys.readouterr().err
