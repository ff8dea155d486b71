"""What CloomeEmbedder says to bad input: the row, the column, what was found, what to do."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.training import callbacks, net

FEATURES = ["Cells_Area", "Nuclei_Area", "Nuclei_Intensity"]


def quick(**params):
    return CloomeEmbedder(
        **(
            {
                "phenotype": ProfileEncoder(hidden_sizes=(8,)),
                "molecule": MoleculeEncoder(hidden_sizes=(8,), n_bits=64),
                "n_components": 4,
                "max_epochs": 1,
                "device": "cpu",
                "random_state": 0,
            }
            | params
        )
    )


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(6, 3)), columns=FEATURES).assign(
        Metadata_smiles=["CCO", "CCN", "CCC", "CCO", "c1ccccc1", "CC=O"]
    )


PARAMETERS = [
    ({"objective": "nce"}, "objective"),
    ({"output": "image"}, "output"),
    ({"n_components": 0}, "n_components"),
    ({"n_components": 2.5}, "n_components"),
    ({"inv_tau": 0.5}, "inv_tau"),
    ({"inv_tau": 101}, "inv_tau"),
    ({"learn_inv_tau": "yes"}, "learn_inv_tau"),
    ({"beta": 0}, "beta"),
    ({"lr": 0}, "lr"),
    ({"lr": -1e-3}, "lr"),
    ({"weight_decay": -0.1}, "weight_decay"),
    ({"schedule": "cosine restarts"}, "schedule"),
    ({"batch_size": 1}, "batch_size"),
    ({"max_epochs": 0}, "max_epochs"),
    ({"positives": 3}, "positives"),
    ({"controls": "negcon"}, "controls"),
    ({"device": 0}, "device"),
    ({"random_state": "seed"}, "random_state"),
    ({"phenotype": "profile"}, "phenotype"),
    ({"phenotype": 7}, "phenotype"),
    ({"molecule": "morgan"}, "molecule"),
    ({"phenotype": ProfileEncoder(dropout=1.0)}, "dropout"),
    ({"phenotype": ProfileEncoder(clip=0)}, "clip"),
    ({"phenotype": ProfileEncoder(scaling="minmax")}, "scaling"),
    ({"phenotype": ProfileEncoder(hidden_sizes=(8, 0))}, r"hidden_sizes\[1\]"),
    ({"phenotype": ProfileEncoder(hidden_sizes=(8.0,))}, r"hidden_sizes\[0\]"),
    ({"molecule": MoleculeEncoder(radius=-1)}, "radius"),
    ({"molecule": MoleculeEncoder(n_bits=0)}, "n_bits"),
    ({"molecule": MoleculeEncoder(features="ecfp")}, "features"),
    ({"molecule": MoleculeEncoder(on_error="drop")}, "on_error"),
    ({"molecule": MoleculeEncoder(features="precomputed")}, "needs `columns`"),
    ({"molecule": MoleculeEncoder(columns=FEATURES)}, "takes one column of SMILES"),
    ({"learn_inv_tau": True, "objective": "infoloob"}, "no lower bound"),
    ({"learn_inv_tau": np.bool_(True), "objective": "infoloob"}, "no lower bound"),
    ({"phenotype": MoleculeEncoder()}, "got MoleculeEncoder, which reads molecules"),
    ({"molecule": ProfileEncoder()}, "molecule"),
    ({"positives": []}, "positives is empty"),
    ({"positives": ["molecule", "dose"]}, "no column 'dose'"),
    ({"device": "gpu"}, "no torch device"),
]


@pytest.mark.parametrize(
    ("params", "message"), PARAMETERS, ids=[str(p[0])[:50] for p in PARAMETERS]
)
def test_parameters_out_of_range(table, params, message):
    embedder = quick(**params)
    with pytest.raises(ValueError, match=message):
        embedder.fit(table)
    assert not hasattr(embedder, "state_")


def test_output_set_to_nonsense_after_fit(table):
    with pytest.raises(ValueError, match=r"output must be .* got 'images'"):
        quick().fit(table).set_params(output="images").transform(table)


def test_cuda_asked_for_where_there_is_none(table, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"sees no CUDA device.*auto"):
        quick(device="cuda").fit(table)


def test_no_phenotype_columns(table):
    other = table.rename(columns={name: name.lower() for name in FEATURES})
    with pytest.raises(ValueError, match=r"columns seen: cells_area.*ProfileEncoder\(columns"):
        CloomeEmbedder().fit(other)
    with pytest.raises(ValueError, match=r"ProfileEncoder: no column.*columns seen: cells_area"):
        quick().fit(other)
    with pytest.raises(ValueError, match="X is an array without column names"):
        CloomeEmbedder().fit(np.ones((4, 4)))


def test_no_or_several_smiles_columns(table):
    with pytest.raises(ValueError, match=r"no column 'smiles'.*and 3 CellProfiler features"):
        quick().fit(table[FEATURES])
    with pytest.raises(ValueError, match="could be any of the columns SMILES, Metadata_smiles"):
        quick().fit(table.assign(SMILES="CC")[["SMILES", *table.columns]])


@pytest.mark.parametrize(
    ("value", "found"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf"), (1e300, "too large")]
)
def test_features_that_are_not_finite(table, value, found):
    table.loc[4, "Nuclei_Area"] = value
    message = f"1 value.*row 4, column 'Nuclei_Area': .*{found}"
    with pytest.raises(ValueError, match=message):
        quick().fit(table)
    with pytest.raises(ValueError, match=message):
        quick().fit(table.drop(index=4)).transform(table)


def test_row_is_named_by_position_and_index(table):
    table.index = [f"P1_{well}" for well in ["A01", "A02", "A03", "A04", "A05", "A06"]]
    table.iloc[2, 0] = np.nan
    with pytest.raises(ValueError, match=r"row 2 \(index 'P1_A03'\), column 'Cells_Area': NaN"):
        quick().fit(table)


def test_words_among_the_features(table):
    table["Cells_Note"] = "fine"
    with pytest.raises(
        ValueError,
        match=r"1 of 4 columns are not numeric: Cells_Note \(the first is str, such as 'fine'",
    ):
        quick().fit(table)


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C(", "row 2 cannot be parsed: 'C\\('"),
        ("  ", "row 2 is empty"),
        (None, "row 2 is missing"),
    ],
)
def test_structures_that_cannot_be_read(table, smiles, message):
    table.loc[2, "Metadata_smiles"] = smiles
    embedder = quick()
    with pytest.raises(
        ValueError, match=f"1 of 6 structures in column 'Metadata_smiles'.*{message}"
    ):
        embedder.fit(table)
    assert not hasattr(embedder, "state_")


def test_column_missing_at_transform(table):
    embedder = quick().fit(table)
    with pytest.raises(ValueError, match=r"missing from the table: Nuclei_Area"):
        embedder.transform(table.drop(columns="Nuclei_Area"))
    with pytest.raises(ValueError, match="the table has no column 'smiles'"):
        embedder.embed_molecules(table[FEATURES])


def test_columns_by_position_need_the_order_of_fit(table):
    embedder = quick(phenotype=ProfileEncoder(columns=[0, 1, 2], hidden_sizes=(8,))).fit(table)
    with pytest.raises(ValueError, match="same order"):
        embedder.transform(table[table.columns[::-1]])


def test_duplicated_column_names(table):
    doubled = pd.concat([table, table[["Cells_Area"]]], axis=1)
    with pytest.raises(ValueError, match="'Cells_Area' 2 times"):
        quick().fit(doubled)


def test_too_few_pairs_or_molecules(table):
    with pytest.raises(ValueError, match="n_samples=1"):
        quick().fit(table.iloc[:1])
    with pytest.raises(ValueError, match="n_samples=0"):
        quick().fit(table.iloc[:0])
    with pytest.raises(ValueError, match="All 2 training pairs are of one molecule"):
        quick().fit(table[table["Metadata_smiles"] == "CCO"])
    salts = table.iloc[:2].assign(Metadata_smiles=["CCN", "CCN.Cl"])
    with pytest.raises(ValueError, match="Salts and stereoisomers count as one"):
        quick().fit(salts)


def test_only_controls(table):
    table["Metadata_control_type"] = "negcon"
    with pytest.raises(ValueError, match=r"0 training pair.*6 of 6 rows are negative controls"):
        quick().fit(table)


def test_missing_value_in_a_column_of_positives(table):
    table["dose"] = [1.0, 1.0, np.nan, 2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match=r"column 'dose' is missing in 1 training row.*row 2"):
        quick(positives=["molecule", "dose"]).fit(table)


def test_positives_that_make_one_group(table):
    with pytest.raises(ValueError, match="makes one group of all 6 pairs"):
        quick(positives=["plate"]).fit(table.assign(plate="P1"))


def test_unfitted(table):
    for call in ("transform", "embed_phenotypes", "embed_molecules"):
        with pytest.raises(NotFittedError):
            getattr(quick(), call)(table)


def test_a_bare_string_is_not_a_list_of_molecules(table):
    with pytest.raises(TypeError, match=r"Put it in a list: \['CCO'\]"):
        quick().fit(table).embed_molecules("CCO")


def test_transformer_that_gives_nonsense(table):
    from sklearn.preprocessing import FunctionTransformer

    bad = FunctionTransformer(lambda smiles: np.full((len(smiles), 2), np.nan))
    with pytest.raises(ValueError, match=r"finite matrix.*2 NaN"):
        quick(molecule=MoleculeEncoder(features=bad)).fit(table)


def test_objective_that_stops_being_finite(table):
    with pytest.raises(FloatingPointError, match=r"became nan in epoch \d+, batch \d+.*Lower `lr`"):
        quick(lr=1e30, max_epochs=50, schedule=None).fit(table)


def test_keyboard_interrupt_is_not_swallowed(table, monkeypatch):
    def interrupted(self, batch, **fit_params):
        raise KeyboardInterrupt

    monkeypatch.setattr(net.ContrastiveNet, "train_step", interrupted)
    embedder = quick()
    with pytest.raises(KeyboardInterrupt):
        embedder.fit(table)
    assert not hasattr(embedder, "state_")


def test_a_failed_refit_keeps_the_earlier_fit_whole(table):
    embedder = quick().fit(table)
    before = embedder.transform(table)
    with pytest.raises(ValueError, match="cannot be parsed"):
        embedder.fit(table.assign(Metadata_smiles="C("))
    np.testing.assert_array_equal(embedder.transform(table), before)


def test_a_failed_refit_keeps_the_columns_of_the_earlier_fit():
    X = np.random.default_rng(0).normal(size=(20, 5))
    embedder = CloomeEmbedder(
        ProfileEncoder(columns=[0, 1], hidden_sizes=(8,)),
        MoleculeEncoder(columns=slice(2, 5), features="precomputed", hidden_sizes=(8,)),
        n_components=4,
        max_epochs=1,
        random_state=0,
    ).fit(X)
    before = embedder.transform(X)
    wider = np.hstack([X, np.full((20, 5), np.nan)])
    embedder.set_params(molecule__columns=slice(2, 10))
    with pytest.raises(ValueError, match="NaN"):
        embedder.fit(wider)
    np.testing.assert_array_equal(embedder.transform(X), before)


def test_weights_broken_by_the_last_update(table):
    with pytest.raises(FloatingPointError, match=r"last update made \d+ weights NaN or infinite"):
        quick(lr=1e38, schedule=None).fit(table)


def test_a_long_fit_is_announced_after_its_first_batches(table, monkeypatch):
    clock = iter(np.arange(0.0, 1e6, 20.0))
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(clock))
    with pytest.warns(UserWarning, match=r"about \d+ minutes on the CPU.*`max_epochs`"):
        quick(max_epochs=300, batch_size=2).fit(table)


def test_a_short_fit_is_not(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick(max_epochs=5, batch_size=2).fit(table)


def test_progress_bar_only_if_asked_for(table, capsys):
    quick(max_epochs=3).fit(table)
    assert capsys.readouterr() == ("", "")
    quick(max_epochs=3, verbose=1).fit(table)
    assert "CLOOME fit: 100%" in capsys.readouterr().err
