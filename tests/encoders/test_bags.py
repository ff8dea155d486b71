"""Bags of rows: which rows stand together, and what becomes of them in training and after."""

from __future__ import annotations

import warnings
from pathlib import Path

import hypothesis.strategies as st
import joblib
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from hypothesis import given
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from cloome_sk import CloomeEmbedder
from cloome_sk.datasets import make_profiles
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder, ProfileEncoder
from cloome_sk.encoders._bags import Bags
from cloome_sk.encoders.bags import BagEncoder
from cloome_sk.networks import ImageNetResNet

SMILES = ["CCO", "CCN", "CCC", "c1ccccc1"]
SMALL = {"hidden_sizes": (16,), "dropout": 0.0, "input_dropout": 0.0}


@pytest.fixture(scope="module")
def wells() -> pd.DataFrame:
    return make_profiles(
        n_compounds=12, n_plates=2, n_controls=3, n_features=12, random_state=0
    ).reset_index(drop=True)


@pytest.fixture(scope="module")
def sites(wells: pd.DataFrame) -> pd.DataFrame:
    """One to four noisy sites of each well, in random order."""
    rng = np.random.default_rng(1)
    table = wells.loc[np.repeat(wells.index, rng.integers(1, 5, size=len(wells)))]
    table = table.sample(frac=1, random_state=2).reset_index(drop=True)
    features = [name for name in table if name.startswith(("Cells_", "Cytoplasm_", "Nuclei_"))]
    spread = table[features].std().to_numpy()
    table[features] += (rng.normal(size=(len(table), len(features))) * spread).astype(np.float32)
    return table


def bag_embedder(encoder=None, molecule=None, **params) -> CloomeEmbedder:
    options = {"n_components": 8, "max_epochs": 2, "batch_size": 32, "random_state": 0} | params
    encoder = BagEncoder(ProfileEncoder(**SMALL)) if encoder is None else encoder
    molecule = MoleculeEncoder(n_bits=64, hidden_sizes=(8,)) if molecule is None else molecule
    return CloomeEmbedder(encoder, molecule, device="cpu", **options)


def naive_embeddings(embedder: CloomeEmbedder, X: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    """Each row alone through the inner network, then a loop over the bags."""
    encoder = embedder.phenotype_
    network = embedder._ready_network().phenotype
    inner = encoder.encoder_.inputs(X)
    rows = []
    with torch.no_grad():
        for row in range(len(X)):
            given = inner.values[inner.index[[row]]]
            parts = given if isinstance(given, tuple) else (given,)
            tensors = tuple(torch.as_tensor(part) for part in parts)
            rows.append(network.network(tensors if len(tensors) > 1 else tensors[0])[0].numpy())
    rows = np.stack(rows)
    out = np.empty_like(rows)
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        weights = np.full(len(members), 1 / len(members))
        if encoder.pooling == "attention":
            layer = {name: value.numpy() for name, value in network.pooling.state_dict().items()}
            content = np.tanh(rows[members] @ layer["content.weight"].T + layer["content.bias"])
            gate = rows[members] @ layer["gate.weight"].T + layer["gate.bias"]
            scores = (content / (1 + np.exp(-gate))) @ layer["score.weight"][0]
            weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        pooled = weights @ rows[members]
        out[members] = pooled / np.linalg.norm(pooled)
    return out


# -------------------------------------------------------------------------------------------- Bags


@given(
    members=st.lists(
        st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True), min_size=1, max_size=6
    ),
    data=st.data(),
)
def test_bags_are_put_together_in_the_order_asked_for(members, data):
    values = np.arange(20.0).reshape(10, 2)
    sizes = np.array([len(bag) for bag in members])
    bags = Bags(values, np.concatenate(members).astype(np.intp), sizes)
    assert len(bags) == bags.shape[0] == len(members)
    assert bags.shape[2:] == (2,)
    assert sizes.mean() <= bags.shape[1] < sizes.mean() + 1
    wanted = data.draw(st.lists(st.integers(0, len(members) - 1), max_size=8))
    start, stop = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6))
    for asked, chosen in [
        (np.array(wanted, dtype=np.intp), wanted),
        (slice(start, stop), list(range(len(members)))[start:stop]),
    ]:
        instances, bag_index = bags[asked]
        expected = [
            (values[row], place) for place, bag in enumerate(chosen) for row in members[bag]
        ]
        assert bag_index.dtype == np.int64
        assert bag_index.tolist() == [place for _, place in expected]
        assert instances.tolist() == [row.tolist() for row, _ in expected]


class Reader:
    """Values that are read when asked for, with a second array; reading some of them fails."""

    def __init__(self, n: int, broken: tuple[int, ...]) -> None:
        self.shape, self.dtype = (n, 2), np.dtype(np.float64)
        self.broken = broken
        self.failed: dict[int, str] = {}
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows):
        self.asked.append(np.asarray(rows).tolist())
        self.failed |= {row: f"no {row}" for row in self.broken if row in rows}
        values = np.array([[row, row] for row in rows], dtype=float).reshape(-1, 2)
        values[np.isin(rows, self.broken)] = 0
        return values, np.asarray(rows) * 10


def test_instances_that_turn_out_unreadable_are_left_out():
    reader = Reader(6, broken=(1, 4, 5))
    bags = Bags(reader, np.array([0, 1, 2, 4, 5, 1, 3]), np.array([3, 2, 2]))
    assert bags.failed == {}
    instances, tens, bag_index = bags[0:3]
    assert bag_index.tolist() == [0, 0, 1, 2]  # the bag without any keeps one, which is zero
    assert tens.tolist() == [0, 20, 40, 30]
    assert instances[:, 0].tolist() == [0, 2, 0, 3]
    assert bags.failed == {1: "no 4"}


def test_an_instance_of_several_bags_is_read_once():
    reader = Reader(4, broken=())
    bags = Bags(reader, np.array([3, 0, 1, 3]), np.array([2, 2]))
    instances, _, bag_index = bags[np.array([1, 0, 1])]
    assert instances[:, 0].tolist() == [1, 3, 3, 0, 1, 3]
    assert bag_index.tolist() == [0, 0, 1, 1, 2, 2]
    assert reader.asked == [[0, 1, 3]]


# ------------------------------------------------------------------------------------ which rows


@pytest.mark.parametrize(
    ("group_by", "columns"),
    [
        ("well", ["Metadata_Plate", "Metadata_Well"]),
        ("plate", ["Metadata_Plate"]),
        ("molecule", ["Metadata_smiles"]),
        ("PERT_iname", ["Metadata_pert_iname"]),
        (["Metadata_batch", "moa"], ["Metadata_batch", "Metadata_moa"]),
    ],
)
def test_rows_are_grouped_as_pandas_does(sites, group_by, columns):
    treated = sites[sites["Metadata_moa"].notna()].reset_index(drop=True)
    encoder = BagEncoder(ProfileEncoder(), group_by)
    codes = encoder.bag_codes(treated)
    expected = treated.groupby(columns, sort=False).ngroup().to_numpy()
    np.testing.assert_array_equal(codes, expected)
    rows = np.array([9, 2, 5])
    inputs = encoder.fit_inputs(treated, rows)
    assert len(inputs.values) == len(np.unique(expected[rows]))
    assert len(encoder.inputs(treated).values) == expected.max() + 1


def test_salts_of_a_molecule_are_one_bag_and_a_bag_has_a_name(sites):
    table = sites.head(4).assign(Metadata_smiles=["CCN", "CCN.Cl", "CCO", "CCN"])
    encoder = BagEncoder(ProfileEncoder(), "molecule")
    assert encoder.bag_codes(table).tolist() == [0, 0, 1, 0]
    encoder = BagEncoder(ProfileEncoder(), "well")
    assert encoder.bag_name(table, 2) == (
        f"Metadata_Plate {table['Metadata_Plate'][2]!r}, "
        f"Metadata_Well {table['Metadata_Well'][2]!r}"
    )


def test_bags_hold_the_training_rows_of_the_inner_encoder(sites):
    rows = np.array([3, 8, 11, 30, 31])
    encoder = BagEncoder(ProfileEncoder(), "plate")
    inputs = encoder.fit_inputs(sites, rows)
    reference = ProfileEncoder().fit(sites, rows).inputs(sites)
    plates = sites["Metadata_Plate"].iloc[rows].tolist()
    for place, row in enumerate(rows.tolist()):
        instances, bag_index = inputs.values[inputs.index[[place]]]
        own = [r for r, plate in zip(rows.tolist(), plates, strict=True) if plate == plates[place]]
        np.testing.assert_array_equal(
            instances[np.lexsort(instances.T)],
            reference.values[own][np.lexsort(reference.values[own].T)],
        )
        assert row in own
        assert bag_index.tolist() == [0] * len(own)


# ------------------------------------------------------------------------------------ end to end


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@pytest.mark.parametrize("group_by", ["well", "pert_iname"])
def test_every_row_gets_the_embedding_of_its_bag(sites, pooling, group_by):
    encoder = BagEncoder(ProfileEncoder(**SMALL), group_by, pooling=pooling)
    embedder = bag_embedder(encoder).fit(sites)
    Z = embedder.transform(sites)
    assert Z.shape == (len(sites), 8)
    assert Z.dtype == np.float32
    codes = embedder.phenotype_.bag_codes(sites)
    assert len(np.unique(Z, axis=0)) == codes.max() + 1 < len(sites)
    np.testing.assert_allclose(Z, naive_embeddings(embedder, sites, codes), rtol=1e-4, atol=1e-5)


def test_neither_order_nor_other_bags_matter_but_the_rest_of_the_bag_does(sites):
    embedder = bag_embedder().fit(sites)
    Z = embedder.transform(sites)
    order = np.random.default_rng(0).permutation(len(sites))
    shuffled = embedder.transform(sites.iloc[order])
    np.testing.assert_allclose(shuffled, Z[order], rtol=1e-4, atol=1e-6)
    codes = embedder.phenotype_.bag_codes(sites)
    biggest = np.flatnonzero(codes == np.bincount(codes).argmax())
    np.testing.assert_allclose(
        embedder.transform(sites.iloc[biggest]), Z[biggest], rtol=1e-4, atol=1e-6
    )
    alone = embedder.transform(sites.iloc[biggest[:1]])
    assert np.abs(alone - Z[biggest[:1]]).max() > 1e-3


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_training_brings_bags_and_their_molecules_together(sites, pooling):
    table = sites[sites["Metadata_active"]].reset_index(drop=True)
    encoder = BagEncoder(ProfileEncoder(**SMALL), pooling=pooling)
    embedder = bag_embedder(encoder, max_epochs=80, lr=5e-3).fit(table)
    first, last = embedder.history_["objective"].iloc[[0, -1]]
    assert last < 0.5 * first
    keys = embedder.molecules_seen_
    names = embedder.molecule_.keys(table, np.arange(len(table)))
    _, one_of_each = np.unique(names, return_index=True)
    molecules = embedder.embed_molecules(table.iloc[one_of_each])
    nearest = (embedder.transform(table) @ molecules.T).argmax(axis=1)
    assert len(keys) >= 8
    assert (keys[nearest] == names).mean() > 0.85  # chance is one in eight or less
    if pooling == "attention":
        network = embedder._ready_network().phenotype
        inputs = embedder.phenotype_.inputs(table)
        tensors = tuple(torch.as_tensor(part) for part in inputs.values[:])
        with torch.no_grad():
            weights = network.weights(tensors)
        uniform = 1 / torch.bincount(tensors[-1])[tensors[-1]]
        assert (weights - uniform).abs().max() > 0.01


def test_training_parts_of_bags_is_reproducible_and_embedding_takes_all(sites):
    def fitted(seed, max_size):
        encoder = BagEncoder(ProfileEncoder(**SMALL), "pert_iname", max_size=max_size)
        return bag_embedder(encoder, random_state=seed).fit(sites)

    first, again, other, whole = fitted(0, 2), fitted(0, 2), fitted(1, 2), fitted(0, None)
    np.testing.assert_array_equal(first.transform(sites), again.transform(sites))
    assert np.abs(first.transform(sites) - other.transform(sites)).max() > 1e-3
    assert np.abs(first.transform(sites) - whole.transform(sites)).max() > 1e-4
    codes = first.phenotype_.bag_codes(sites)
    np.testing.assert_allclose(
        first.transform(sites), naive_embeddings(first, sites, codes), rtol=1e-4, atol=1e-5
    )


def test_a_saved_model_gives_the_same_to_the_bit(sites, tmp_path):
    encoder = BagEncoder(ProfileEncoder(**SMALL), pooling="attention")
    embedder = bag_embedder(encoder).fit(sites)
    Z = embedder.transform(sites)
    joblib.dump(embedder, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.transform(sites), Z)
    np.testing.assert_array_equal(clone(embedder).fit(sites).transform(sites), Z)


def test_parameters_reach_through_to_the_inner_encoder():
    embedder = bag_embedder()
    embedder.set_params(phenotype__encoder__clip=3.0, phenotype__pooling="attention")
    assert embedder.phenotype.encoder.clip == 3.0
    copy = clone(embedder)
    assert copy.get_params()["phenotype__encoder__clip"] == 3.0
    assert copy.phenotype.encoder is not embedder.phenotype.encoder


def test_fitting_leaves_the_given_encoder_unfitted(sites):
    encoder = BagEncoder(ProfileEncoder())
    fitted = clone(encoder).fit(sites)
    assert not hasattr(fitted.encoder, "column_names_")
    assert fitted.column_names_ == fitted.encoder_.column_names_
    assert not fitted.needs_order
    by_position = BagEncoder(ProfileEncoder(columns=[20, 21])).fit(sites)
    assert by_position.needs_order
    assert by_position.pools


def test_a_table_without_structures_is_embedded(sites):
    embedder = bag_embedder().fit(sites)
    bare = sites.drop(columns=["Metadata_smiles", "Metadata_pert_iname"])
    np.testing.assert_array_equal(embedder.transform(bare), embedder.transform(sites))


# ---------------------------------------------------------------------------------------- images


def image_sites(n_wells: int = 4, per_well: int = 3) -> pd.DataFrame:
    """Arrays of two channels, several sites a well."""
    rng = np.random.default_rng(0)
    n = n_wells * per_well
    images = [rng.integers(100, 4000, size=(16, 20)).astype(np.uint16) for _ in range(2 * n)]
    return pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": np.repeat([f"A{well + 1:02d}" for well in range(n_wells)], per_well),
            "Metadata_smiles": np.repeat(SMILES[:n_wells], per_well),
            "Image_DNA": images[:n],
            "Image_Mito": images[n:],
        }
    )


def as_files(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    table = table.copy()
    for name in ("Image_DNA", "Image_Mito"):
        paths = [str(folder / f"{row}_{name}.tif") for row in range(len(table))]
        for path, image in zip(paths, table[name], strict=True):
            tifffile.imwrite(path, image)
        table[name] = paths
    return table


def image_bags(**params) -> BagEncoder:
    return BagEncoder(ImageEncoder(augmentation=None, **params))


@pytest.mark.parametrize("cache", ["memory", None])
def test_the_sites_of_a_well_are_one_embedding(cache):
    table = image_sites()
    embedder = bag_embedder(image_bags(cache=cache)).fit(table)
    codes = np.repeat(np.arange(4), 3)
    Z = embedder.transform(table)
    np.testing.assert_allclose(Z, naive_embeddings(embedder, table, codes), rtol=1e-3, atol=1e-5)


def test_what_travels_with_an_image_travels_in_its_bag():
    table = pd.concat(
        [image_sites().assign(Metadata_Plate=plate) for plate in ("P1", "P2")], ignore_index=True
    )
    table.loc[12:, "Image_DNA"] = [image // 3 for image in table["Image_DNA"][12:]]
    table["Metadata_control_type"] = [None, "negcon"] * 12
    encoder = image_bags(normalization="plate", scaling="none")
    encoder.set_params(group_by="Metadata_Well")
    embedder = bag_embedder(encoder).fit(table)
    pixels, mean, std, bag_index = embedder.phenotype_.inputs(table).values[0:2]
    assert len(pixels) == len(mean) == len(std) == len(bag_index) == 12
    assert len(np.unique(mean, axis=0)) == 2  # sites of two plates in one bag
    codes = np.tile(np.repeat(np.arange(4), 3), 2)
    Z = embedder.transform(table)
    np.testing.assert_allclose(Z, naive_embeddings(embedder, table, codes), rtol=1e-3, atol=1e-5)


def test_a_site_that_stands_twice_in_a_well_counts_once(tmp_path):
    table = as_files(image_sites(), tmp_path)
    embedder = bag_embedder(image_bags()).fit(table)
    doubled = pd.concat([table, table.iloc[[0, 0, 0, 4]]], ignore_index=True)
    Z, expected = embedder.transform(doubled), embedder.transform(table)
    np.testing.assert_allclose(Z, expected[[*range(12), 0, 0, 0, 4]], rtol=1e-5, atol=1e-6)


def test_unreadable_sites_are_left_out_of_their_bag(tmp_path):
    table = as_files(image_sites(), tmp_path)
    embedder = bag_embedder(image_bags(on_error="skip")).fit(table)
    broken = table.copy()
    broken.loc[[1], "Image_Mito"] = str(tmp_path / "absent.tif")
    broken.loc[[4], "Image_DNA"] = None
    broken.loc[[9, 10, 11], "Image_DNA"] = str(tmp_path / "absent.tif")
    with pytest.warns(UserWarning, match=r"5 of 12 row.* left out of their bag") as caught:
        Z = embedder.transform(broken)
    assert [str(each.message) for each in caught if "embedded as NaN" in str(each.message)]
    message = str(caught[0].message)
    assert "row 1: " in message
    assert "absent.tif" in message
    assert "row 4: nothing to read" in message
    assert "3 row(s) are of a bag without any other" in message
    assert np.isnan(Z[9:]).all()
    kept = [0, 2, 3, 5, 6, 7, 8]
    expected = embedder.transform(table.iloc[kept])
    np.testing.assert_allclose(Z[kept], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(Z[[1, 4]], Z[[0, 3]])  # a row has its bag's embedding


def test_training_goes_on_without_unreadable_sites(tmp_path):
    table = as_files(image_sites(), tmp_path)
    table.loc[[1, 9, 10], "Image_Mito"] = str(tmp_path / "absent.tif")
    table.loc[[11], "Image_DNA"] = None
    with pytest.warns(UserWarning, match=r"4 of 12 row.* left out of training"):
        embedder = bag_embedder(image_bags(on_error="skip")).fit(table)
    assert embedder.skipped_rows_.tolist() == [9, 10, 11]  # row 1 is of a bag with other sites
    inputs = clone(embedder.phenotype)
    with pytest.warns(UserWarning, match="left out of training"):
        inputs = inputs.fit_inputs(table, np.arange(12))
    assert inputs.index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, -1]
    pixels, bag_index = inputs.values[:]
    assert bag_index.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    assert pixels.any(axis=(1, 2, 3)).all()


# ---------------------------------------------------------------------------------------- errors


def missing_well(table):
    return table.assign(Metadata_Well=table["Metadata_Well"].where(table.index != 5))


@pytest.mark.parametrize(
    ("encoder", "change", "error", "message"),
    [
        (
            BagEncoder(ProfileEncoder()),
            missing_well,
            ValueError,
            "BagEncoder.*no value in 1.*row 5",
        ),
        (
            BagEncoder(ProfileEncoder()),
            lambda table: table.drop(columns="Metadata_Plate"),
            ValueError,
            "no column 'plate'.*A well is told apart by its plate",
        ),
        (BagEncoder(ProfileEncoder(), "nothing"), None, ValueError, "no column 'nothing'"),
        (BagEncoder(ProfileEncoder(), [1]), None, TypeError, r"a list of columns, got \[1\]"),
        (
            BagEncoder(ProfileEncoder(columns=[0])),
            lambda table: np.zeros((4, 2)),
            TypeError,
            "pandas DataFrame, got ndarray",
        ),
        (BagEncoder(MoleculeEncoder()), None, TypeError, "single rows.*got MoleculeEncoder"),
        (BagEncoder(BagEncoder(ProfileEncoder())), None, TypeError, "got BagEncoder"),
        (BagEncoder("profile"), None, InvalidParameterError, "'encoder' parameter"),
        (BagEncoder(ProfileEncoder(), pooling="max"), None, InvalidParameterError, "'pooling'"),
        (BagEncoder(ProfileEncoder(), max_size=0), None, InvalidParameterError, "'max_size'"),
    ],
)
def test_what_makes_no_bags_is_refused(sites, encoder, change, error, message):
    with pytest.raises(error, match=message):
        encoder.fit(sites if change is None else change(sites))


def test_embedding_refuses_rows_that_belong_to_no_bag(sites):
    embedder = bag_embedder().fit(sites)
    with pytest.raises(ValueError, match=r"'Metadata_Well'.* no value in 1 of .*: row 5"):
        embedder.transform(missing_well(sites))
    with pytest.raises(ValueError, match="no column 'plate'"):
        embedder.transform(sites.drop(columns="Metadata_Plate"))
    with pytest.raises(TypeError, match="pandas DataFrame, got ndarray"):
        embedder.embed_phenotypes(np.zeros((2, len(embedder.phenotype_.column_positions_))))


def test_only_training_rows_need_a_structure(sites):
    table = sites.copy()
    table.loc[table["Metadata_control_type"] == "negcon", "Metadata_smiles"] = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder = bag_embedder(BagEncoder(ProfileEncoder(**SMALL), "molecule")).fit(table)
    treated = table[table["Metadata_control_type"] != "negcon"]
    assert np.isfinite(embedder.transform(treated)).all()
    with pytest.raises(ValueError, match=r"rows are grouped by molecule.* is missing"):
        embedder.transform(table)


def test_each_bag_is_one_training_pair_of_one_molecule():
    X = make_profiles(n_compounds=8, n_plates=3, random_state=0)
    treated = X[X["Metadata_control_type"].isna()]
    embedder = CloomeEmbedder(
        BagEncoder(ProfileEncoder(), group_by="pert_iname"),
        n_components=4,
        max_epochs=1,
        random_state=0,
    )
    assert embedder.fit(X).n_pairs_ == treated["Metadata_pert_iname"].nunique()
    assert len(embedder.skipped_rows_) == 0
    by_plate = clone(embedder).set_params(phenotype__group_by="plate")
    with pytest.raises(ValueError, match=r"3 of 3 bag\(s\) hold several molecules, such as Meta"):
        by_plate.fit(X)


# ---------------------------------------------------------------- weights that are there already


def told_bags(**params) -> BagEncoder:
    """Bags of sites that nothing has to be learned for."""
    settings = {"channels": ["Mito", "DNA"], "normalization": "image", "illumination": None}
    return BagEncoder(ImageEncoder(**{**settings, **params}))


def test_bags_are_ready_where_their_rows_are():
    table = image_sites()
    fitted, ready = told_bags().fit(table), told_bags().ready()
    assert ready.encoder_.site_shape_ is None
    assert ready.encoder.get_params() == ready.encoder_.get_params()
    for encoder in (ready, told_bags().ready(table)):
        for got, expected in zip(
            encoder.inputs(table).values[:], fitted.inputs(table).values[:], strict=True
        ):
            np.testing.assert_array_equal(got, expected)
    assert not told_bags().learns
    assert told_bags(normalization="dataset").learns
    with pytest.raises(ValueError, match='normalization="dataset"'):
        told_bags(normalization="dataset").ready()
    with pytest.raises(ValueError, match="the table has no column 'well'"):
        told_bags().ready(table.drop(columns="Metadata_Well"))
    with pytest.raises(TypeError, match="takes a phenotype encoder of single rows"):
        BagEncoder(MoleculeEncoder()).ready()


def test_weights_go_into_the_network_of_the_rows(tmp_path):
    stored = ImageNetResNet(3, 1000, depth=18).state_dict()
    torch.save(stored, tmp_path / "resnet18.pth")
    encoder = told_bags(weights=tmp_path / "resnet18.pth", normalization="imagenet").ready()
    network = encoder.make_network(4)
    encoder.load_weights(network)
    part = encoder.pretrained_part(network)
    assert part is network.network.backbone
    torch.testing.assert_close(
        part.state_dict()["layer3.1.conv2.weight"], stored["layer3.1.conv2.weight"]
    )
    profiles = BagEncoder(ProfileEncoder(columns=[0]), group_by="Metadata_Well")
    profiles.fit(pd.DataFrame({"x": [0.0, 1.0], "Metadata_Well": ["A01", "A02"]}))
    network = profiles.make_network(4)
    profiles.load_weights(network)
    assert profiles.pretrained_part(network) is network.network
