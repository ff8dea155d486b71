"""The index of the CLOOME authors, and their files with pickles in them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloome_sk.datasets import read_bray_index

ORDER = ("Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def save_site(folder: Path, key: str, trap: Path, image: np.ndarray | None = None) -> Path:
    """A site as the authors save it, its side arrays being pickles."""
    if image is None:
        image = np.full((520, 696, 5), 7, dtype=np.uint8)
    path = folder / f"{key}.npz"
    side = np.array({0: Trap(trap)}, dtype=object)
    np.savez_compressed(path, sample=image, channels=side, filenames=side)
    return path


@pytest.fixture
def index():
    return pd.DataFrame(
        {
            "SAMPLE_KEY": ["24277-A01-1", "24277-A01-2", "24278-P24-6"],
            "PLATE_ID": [24277, 24277, 24278],
            "WELL_POSITION": ["a01", "a01", "p24"],
            "SITE": [1, 2, 6],
            "CPD_NAME": ["one", "one", "two"],
            "INCHIKEY": ["LFQSCWFLJHTTHZ-UHFFFAOYSA-N"] * 2 + ["IAZDPXIOMUYVGZ-UHFFFAOYSA-N"],
            "SMILES": ["CCO", "CCO", "CS(C)=O"],
            "ROW_NR_LABEL_MAT": [4, 4, 9],
        }
    )


@pytest.fixture
def screen(tmp_path, index):
    """Index file, folder of images, and the file that would appear if a pickle were loaded."""
    folder = tmp_path / "npzs"
    folder.mkdir()
    trap = tmp_path / "sprung"
    for key in index["SAMPLE_KEY"]:
        save_site(folder, key, trap)
    index.to_csv(tmp_path / "index.csv", index=False)
    return tmp_path / "index.csv", folder, trap


@pytest.mark.parametrize("as_frame", [False, True])
def test_one_row_per_site(screen, index, as_frame):
    path, folder, _ = screen
    found = read_bray_index(index if as_frame else path, folder)
    expected = pd.DataFrame(
        {
            "Metadata_Plate": ["24277", "24277", "24278"],
            "Metadata_Well": ["A01", "A01", "P24"],
            "Metadata_Site": [1, 2, 6],
            "SAMPLE_KEY": index["SAMPLE_KEY"],
            "Metadata_pert_iname": index["CPD_NAME"],
            "Metadata_InChIKey": index["INCHIKEY"],
            "Metadata_smiles": index["SMILES"],
            "ROW_NR_LABEL_MAT": [4, 4, 9],
            "Image": [str(folder / f"{key}.npz") for key in index["SAMPLE_KEY"]],
            "Metadata_Channels": ["Mito|ER|RNA|AGP|DNA"] * 3,
        }
    )
    pd.testing.assert_frame_equal(found, expected)


def test_no_pickle_is_ever_loaded(screen):
    path, folder, trap = screen
    found = read_bray_index(path, folder, check_shapes=True)
    assert not trap.exists()
    # The trap is a real one.
    with np.load(found["Image"][0], allow_pickle=True) as file:
        file["channels"]
    assert trap.exists()


def test_files_are_named_by_place_without_a_key(screen, index):
    _, folder, _ = screen
    found = read_bray_index(index.drop(columns="SAMPLE_KEY"), folder)
    assert [Path(p).stem for p in found["Image"]] == index["SAMPLE_KEY"].tolist()


def test_the_key_names_the_file(tmp_path, index):
    # However it spells the well.
    save_site(tmp_path, "24277-a01-01", tmp_path / "sprung")
    index = index.iloc[:1].assign(SAMPLE_KEY="24277-a01-01")
    found = read_bray_index(index, tmp_path)
    assert Path(found["Image"][0]).name == "24277-a01-01.npz"


def test_only_places_are_needed(screen, index):
    _, folder, _ = screen
    found = read_bray_index(index[["PLATE_ID", "WELL_POSITION", "SITE"]], folder)
    assert [c for c in found if c.startswith("Metadata_")] == [
        *("Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channels")
    ]


def test_files_that_are_not_there(screen):
    path, folder, _ = screen
    gone = folder / "24277-A01-2.npz"
    gone.unlink()
    with pytest.raises(ValueError, match=r"1 of 3 rows cannot be used") as caught:
        read_bray_index(path, folder)
    assert f"file not there (1): row 1 (24277 a01 site 2): {gone}" in str(caught.value)
    with pytest.warns(UserWarning, match="1 of 3 rows are left out"):
        found = read_bray_index(path, folder, on_error="skip")
    assert found["Metadata_Site"].tolist() == [1, 6]
    assert len(read_bray_index(path, folder, check_files=False)) == 3


def test_shapes_and_broken_files(screen):
    path, folder, trap = screen
    save_site(folder, "24277-A01-1", trap, np.zeros((5, 520, 696), dtype=np.uint8))
    save_site(folder, "24277-A01-2", trap, np.zeros((520, 696, 5), dtype=np.uint16))
    whole = (folder / "24278-P24-6.npz").read_bytes()
    (folder / "24278-P24-6.npz").write_bytes(whole[: len(whole) // 2])
    assert len(read_bray_index(path, folder)) == 3
    with pytest.raises(ValueError, match="3 of 3 rows cannot be used") as caught:
        read_bray_index(path, folder, check_shapes=True)
    message = str(caught.value)
    assert "array 'sample' is not 520 x 696 x 5 uint8 (2)" in message
    assert "site 1): 5 x 520 x 696 uint8" in message
    assert "site 2): 520 x 696 x 5 uint16" in message
    assert "no readable array 'sample' (1): row 2 (24278 p24 site 6)" in message
    assert "BadZipFile" in message
    assert not trap.exists()


def test_a_sample_that_is_itself_a_pickle(screen, index):
    _, folder, trap = screen
    np.savez(folder / "24277-A01-1.npz", sample=np.array([Trap(trap)], dtype=object))
    with pytest.raises(ValueError, match=r"'sample' is not 520 .*: 1 object"):
        read_bray_index(index.iloc[:1], folder, check_shapes=True)
    assert not trap.exists()


def test_a_file_without_the_array(screen, index):
    _, folder, _ = screen
    np.savez(folder / "24277-A01-1.npz", image=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"no readable array 'sample' \(1\).*KeyError.*sample\.npy"
    ):
        read_bray_index(index.iloc[:1], folder, check_shapes=True)


MALFORMED = {
    "no site column": (lambda t: t.drop(columns="SITE"), "the table has no column 'SITE'"),
    "no plate column": (lambda t: t.drop(columns="PLATE_ID"), "no column 'PLATE_ID'"),
    "no well": (
        lambda t: t.assign(WELL_POSITION="Q"),
        r"no well name \(3\): row 0 \(24277 Q site 1\)",
    ),
    "no plate": (lambda t: t.assign(PLATE_ID=None), r"no plate \(3\): row 0 \(None a01 site 1\)"),
    "no site": (lambda t: t.assign(SITE="s1"), r"no site name \(3\)"),
    "a site twice": (
        lambda t: t.assign(SITE=[1, 1, 6], SAMPLE_KEY=["24277-A01-1", "24277-A01-1", None]),
        r"the same site as another row \(2\): row 0 .*; row 1",
    ),
    "a key of another site": (
        lambda t: t.assign(SAMPLE_KEY="24277-A01-1"),
        r"SAMPLE_KEY is of another plate, well or site \(2\): row 1 .*"
        r"'24277-A01-1', not '24277-A01-2'",
    ),
    "a key that is none": (
        lambda t: t.assign(SAMPLE_KEY="x"),
        r"SAMPLE_KEY is of another .* \(3\): .*'x', not '24277-A01-1'",
    ),
    "a name that would be there twice": (
        lambda t: t.assign(Metadata_Well="A01"),
        "two columns Metadata_Well",
    ),
    "smiles in two columns": (
        lambda t: t.rename(columns={"SMILES": "smiles"}).assign(Metadata_smiles="C"),
        "'SMILES' could be any of the columns smiles, Metadata_smiles",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed(screen, index, kind):
    _, folder, _ = screen
    spoil, message = MALFORMED[kind]
    with pytest.raises(ValueError, match=f"(?s)read_bray_index.*{message}"):
        read_bray_index(spoil(index), folder)


def test_no_folder(index, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"image_folder='.*none' is not a folder"):
        read_bray_index(index, tmp_path / "none")


def test_plates_with_dashes_and_zeros(tmp_path):
    save_site(tmp_path, "00-12-B02-3", tmp_path / "sprung")
    (tmp_path / "i.csv").write_text(
        "SAMPLE_KEY,PLATE_ID,WELL_POSITION,SITE\n00-12-B02-3,00-12,B2,3\n"
    )
    found = read_bray_index(tmp_path / "i.csv", tmp_path)
    assert found["Metadata_Plate"].tolist() == ["00-12"]
