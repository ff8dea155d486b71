"""Real images from file to answer: read, table, fit, transform, search."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import tifffile

from cloome_sk import CloomeEmbedder, CrossModalRetriever, ZeroShotMoAClassifier
from cloome_sk.datasets import (
    join_metadata,
    load_bbbc021_crops,
    make_screen,
    read_bray_index,
    read_load_data,
    scan_images,
)
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder

JUMP = "Mito|AGP|RNA|ER|DNA"
BRAY = ("Mito", "ERSyto", "ERSytoBleed", "Ph_golgi", "Hoechst")
PHENIX = {1: "Mito", 2: "AGP", 3: "RNA", 4: "ER", 5: "DNA"}
AMG900 = "Cc1csc(c1)-c1nnc(Nc2ccc(Oc3ncccc3-c3ccnc(N)n3)cc2)c2ccccc12"
DMSO = "CS(C)=O"
WORTMANNIN = "COC[C@H]1OC(=O)c2coc3c2[C@@]1(C)C1=C(C3=O)[C@@H]2CCC(=O)[C@@]2(C)C[C@H]1OC(C)=O"
LY294002 = "O=c1cc(N2CCOCC2)oc2c(-c3ccccc3)cccc12"


def embedder(phenotype: ImageEncoder, **parameters: object) -> CloomeEmbedder:
    """A small model; these tests are about the way of the pixels, not about its quality."""
    settings: dict = {"n_components": 8, "max_epochs": 2, "batch_size": 16, "random_state": 0}
    return CloomeEmbedder(phenotype, MoleculeEncoder(hidden_sizes=(16,)), **settings | parameters)


def check(fitted: CloomeEmbedder, table: pd.DataFrame, folder: Path) -> np.ndarray:
    """Unit embeddings, the same after joblib; and each site finds itself among all."""
    embedded = fitted.transform(table)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    joblib.dump(fitted, folder / "model.joblib")
    np.testing.assert_array_equal(joblib.load(folder / "model.joblib").transform(table), embedded)
    found = CrossModalRetriever(fitted, query="phenotype", database="phenotype").fit(table)
    nearest = found.search(table, n_neighbors=1)
    treated = ~fitted.controls_.mask  # a control is no candidate, not even for itself
    assert treated.any()
    np.testing.assert_allclose(nearest["similarity"][treated], 1, rtol=1e-5)
    by_molecule = CrossModalRetriever(fitted, query="molecule", database="phenotype").fit(table)
    assert len(by_molecule.search(["CCO"], n_neighbors=2)) == 2
    return embedded


@pytest.fixture
def fields(data_home: Path) -> pd.DataFrame:
    folder = data_home / "images" / "cpjump1_fields_bin2"
    table = pd.read_csv(folder / "fields.csv")
    return pd.DataFrame(
        {
            "Image": [str(folder / name) for name in table["file"]],
            "Metadata_Channels": JUMP,
            "Metadata_Well": table["well"],
            "Metadata_smiles": table["smiles"],
            "Metadata_pert_iname": table["pert_iname"],
            "Metadata_moa": table["moa_list"].fillna("none"),
        }
    )


def bray_field(data_home: Path) -> pd.DataFrame:
    """The example field of CLOOME, one file a channel, by the names of its authors."""
    folder = data_home / "images" / "cloome_example"
    return pd.DataFrame({f"Image_{name}": [str(folder / f"{name}.tif")] for name in BRAY})


def test_cpjump1_fields_and_the_example_field_of_cloome(
    fields: pd.DataFrame, data_home: Path, tmp_path: Path
) -> None:
    fitted = embedder(ImageEncoder(size=(130, 130)), controls=None).fit(fields)
    assert fitted.phenotype_.channels_ == ("DNA", "ER", "RNA", "AGP", "Mito")
    check(fitted, fields, tmp_path)
    # Another lab's field, with other names, in files instead of a stack.
    columns = {name: f"Image_{name}" for name in BRAY}
    separate = embedder(ImageEncoder(columns, size=(130, 130)), controls=None)
    both = pd.concat([bray_field(data_home)] * 2, ignore_index=True)
    both["Metadata_smiles"] = [DMSO, AMG900]
    separate.fit(both)
    assert set(separate.phenotype_.channels_) == {"DNA", "ER", "RNA", "AGP", "Mito"}
    check(separate, both, tmp_path)


def test_a_stack_and_its_channels_apart_give_one_embedding(
    fields: pd.DataFrame, tmp_path: Path
) -> None:
    apart = fields.drop(columns=["Image", "Metadata_Channels"])
    for place, name in enumerate(("MitoTracker", "Ph_golgi", "OrigRNA", "ERSyto", "Hoechst")):
        paths = []
        for row, path in enumerate(fields["Image"]):
            paths.append(str(tmp_path / f"{row}_{name}.tif"))
            tifffile.imwrite(paths[-1], tifffile.imread(path)[place], compression="deflate")
        apart[f"Image_{name}"] = paths
    one = embedder(ImageEncoder(size=90), controls=None).fit(fields)
    other = embedder(ImageEncoder(size=90), controls=None).fit(apart)
    np.testing.assert_array_equal(one.transform(fields), other.transform(apart))


def test_full_resolution_fields_found_by_their_names(data_home: Path, tmp_path: Path) -> None:
    folder = data_home / "images" / "cpjump1_fullres"
    table = scan_images(folder, "phenix", channels=PHENIX, recursive=False)
    assert table["Metadata_Well"].tolist() == ["D14", "N09"]
    platemap = pd.DataFrame({"well": ["D14", "N09"], "smiles": [DMSO, AMG900]})
    table = join_metadata(table, platemap)
    fitted = embedder(ImageEncoder(size=216, crop=128, evaluation="tiles"), controls=None)
    fitted.fit(table)
    assert fitted.phenotype_.site_shape_ == (5, 216, 216)
    embedded = check(fitted, table, tmp_path)
    # The file as the microscope's software wrote it, LZW, holds the same pixels.
    original = folder / "original_lzw" / "r04c14f05p01-ch5sk1fk1fl1.tiff"
    swapped = table.copy()
    swapped.loc[0, "Image_DNA"] = str(original)
    np.testing.assert_array_equal(fitted.transform(swapped), embedded)
    # 540 pixels are these 1080 averaged two by two: shrunk alike, they are the same field.
    half = data_home / "images" / "cpjump1_fields_bin2" / "AMG900_N09_f05.tiff"
    stack = pd.DataFrame({"Image": [str(half)], "Metadata_Channels": JUMP})
    same = pd.DataFrame(
        {f"Image_{n}": [p] for n, p in zip(JUMP.split("|"), tifffile.imread(half), strict=True)}
    )
    plain = ImageEncoder(size=216).fit(same)
    np.testing.assert_array_equal(
        plain.inputs(same).values[0:1], ImageEncoder(size=216).fit(stack).inputs(stack).values[0:1]
    )


def test_a_load_data_table_with_illumination_functions(data_home: Path, tmp_path: Path) -> None:
    """The SBS plate in the form of a load_data table, with its real illumination functions."""
    folder = data_home / "images" / "sbs_plate"
    names = sorted(path.name for path in folder.glob("Channel1-*.tif"))
    load_data = pd.DataFrame(
        {
            "Metadata_Plate": "1049",
            "Metadata_Well": [name[12:13] + name[14:16] for name in names],
            "Metadata_Site": 1,
        }
    )
    for number, channel in ((1, "FKHR"), (2, "DNA")):
        load_data[f"FileName_Orig{channel}"] = [
            name.replace("Channel1", f"Channel{number}") for name in names
        ]
        load_data[f"PathName_Orig{channel}"] = str(folder)
        load_data[f"FileName_Illum{channel}"] = f"Channel{number}ILLUM.npz"
        load_data[f"PathName_Illum{channel}"] = str(folder)
    load_data.to_csv(tmp_path / "load_data.csv.gz", index=False)
    table = read_load_data(tmp_path / "load_data.csv.gz")
    assert {"Image_FKHR", "Image_DNA", "Illum_FKHR", "Illum_DNA"} <= set(table.columns)
    # Rows A to D of this plate hold wortmannin, E to H LY294002 (BBBC013).
    upper = table["Metadata_Well"].str[0] < "E"
    table["Metadata_smiles"] = np.where(upper, WORTMANNIN, LY294002)
    fitted = embedder(ImageEncoder(size=128, cache=str(tmp_path / "cache"))).fit(table)
    assert fitted.phenotype_.illumination_
    corrected = check(fitted, table, tmp_path)
    plain = embedder(ImageEncoder(size=128, illumination=None)).fit(table)
    assert not np.allclose(plain.transform(table), corrected, atol=1e-3)


def test_bray_index_of_npz_files(data_home: Path, tmp_path: Path) -> None:
    """The example field as the authors' preprocessing stores it."""
    folder = data_home / "images" / "cloome_example"
    field = np.stack([tifffile.imread(folder / f"{name}.tif") for name in BRAY], axis=-1)
    eight = (field // 16).astype(np.uint8)
    rows = []
    for site in (1, 2, 3):
        key = f"24277-a01-{site}"
        np.savez(tmp_path / f"{key}.npz", sample=np.roll(eight, 50 * site, axis=1))
        rows.append(
            {
                "SAMPLE_KEY": key,
                "PLATE_ID": 24277,
                "WELL_POSITION": "a01",
                "SITE": site,
                "SMILES": ["CCO", "CCN", "CCC"][site - 1],
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "index.csv", index=False)
    table = read_bray_index(tmp_path / "index.csv", tmp_path)
    fitted = embedder(ImageEncoder(scaling="none", size=(130, 174))).fit(table)
    assert fitted.phenotype_.site_dtype_ == np.uint8
    check(fitted, table, tmp_path)


def test_bbbc021_crops_with_codes_for_molecules(data_home: Path, tmp_path: Path) -> None:
    crops = load_bbbc021_crops(data_home)
    chosen = crops[crops["Metadata_compound"].isin(["taxol", "nocodazole", "DMSO"])].iloc[::2]
    names = sorted(set(chosen["Metadata_compound"]))
    codes = np.eye(len(names))[[names.index(name) for name in chosen["Metadata_compound"]]]
    columns = [f"code_{number}" for number in range(len(names))]
    table = pd.concat(
        [
            chosen.reset_index(drop=True),
            pd.DataFrame(codes.astype(np.float32), columns=columns),
        ],
        axis=1,
    )
    model = CloomeEmbedder(
        ImageEncoder(),
        MoleculeEncoder(columns, features="precomputed", hidden_sizes=()),
        n_components=8,
        max_epochs=1,
        random_state=0,
    ).fit(table)
    assert model.phenotype_.channels_ == ("DNA", "Actin", "Tubulin")
    embedded = model.transform(table)
    assert np.isfinite(embedded).all()
    treated = table[table["Metadata_control_type"].isna()]
    moa = ZeroShotMoAClassifier(model).fit(treated, treated["Metadata_moa"])
    assert set(moa.predict(treated)) <= set(treated["Metadata_moa"])


def test_a_simulated_screen_with_plate_scaling(tmp_path: Path) -> None:
    table = make_screen(
        tmp_path / "screen", n_compounds=8, n_plates=2, n_controls=4, size=64, random_state=0
    )
    phenotype = ImageEncoder(
        scaling="plate", normalization="plate", cache=str(tmp_path / "cache"), n_jobs=2
    )
    fitted = embedder(phenotype).fit(table)
    assert set(fitted.phenotype_.plate_limits_) == set(table["Metadata_Plate"])
    check(fitted, table, tmp_path)
