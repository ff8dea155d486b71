"""Aggregated embeddings against plain loops over pandas' groups, and against pycytominer."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from cloome_sk.preprocessing._groups import group_rows
from cloome_sk.preprocessing.aggregate import aggregate_embeddings


def sites(n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Sites of wells on two plates, in random order; wells A01 and B02 are on both."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "Metadata_Plate": rng.choice(["P1", "P2"], size=n),
            "Metadata_Well": rng.choice(["A01", "B02", "C03"], size=n),
            "Metadata_Site": np.arange(n),
        }
    )
    table["Metadata_smiles"] = table["Metadata_Well"].map({"A01": "CCO", "B02": "CCN", "C03": "C"})
    return table


def embeddings(n: int, width: int = 5, seed: int = 1) -> np.ndarray:
    Z = np.random.default_rng(seed).normal(size=(n, width))
    return Z / np.linalg.norm(Z, axis=1, keepdims=True)


def naive(Z: np.ndarray, table: pd.DataFrame, columns: list[str], how: str) -> dict:
    """Group -> unit vector, by pandas and a loop."""
    expected = {}
    for name, part in table.reset_index(drop=True).groupby(columns, sort=False):
        average = getattr(np, f"nan{how}")(Z[part.index], axis=0)
        expected[name] = average / np.linalg.norm(average)
    return expected


@pytest.mark.parametrize("how", ["mean", "median"])
@pytest.mark.parametrize(
    ("by", "columns"),
    [
        ("well", ["Metadata_Plate", "Metadata_Well"]),
        ("plate", ["Metadata_Plate"]),
        ("Metadata_Well", ["Metadata_Well"]),
        (["WELL", "plate"], ["Metadata_Well", "Metadata_Plate"]),
    ],
)
def test_groups_are_averaged_as_a_loop_does(how, by, columns):
    table, Z = sites(), embeddings(40)
    groups, got = aggregate_embeddings(Z, table, by, how=how)
    expected = naive(Z, table, columns, how)
    names = list(groups[columns].itertuples(index=False, name=None))
    assert names == list(expected)
    np.testing.assert_allclose(got, np.stack(list(expected.values())), atol=1e-12)
    assert got.dtype == np.float64
    sizes = table.groupby(columns, sort=False).size()
    assert groups["Metadata_n_embeddings"].tolist() == sizes.tolist()


@pytest.mark.parametrize("how", ["mean", "median"])
@given(codes=st.lists(st.integers(0, 4), min_size=1, max_size=30), width=st.integers(2, 6))
def test_any_sizes_of_groups(how, codes, width):
    table, Z = pd.DataFrame({"batch": codes}), embeddings(len(codes), width)
    groups, got = aggregate_embeddings(Z, table, "batch", how=how)
    expected = naive(Z, table, ["batch"], how)
    assert groups["batch"].tolist() == list(dict.fromkeys(codes))
    vectors = [expected[(code,)] for code in groups["batch"]]
    np.testing.assert_allclose(got, np.stack(vectors), atol=1e-10)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_the_averages_are_those_of_pycytominer(screen, how):
    from pycytominer import aggregate

    features = [name for name in screen if name.startswith(("Cells_", "Nuclei_"))][:6]
    reference = aggregate(
        screen, strata=["Metadata_pert_iname"], features=features, operation=how
    ).set_index("Metadata_pert_iname")
    groups, got = aggregate_embeddings(screen[features], screen, "pert_iname", how=how)
    wanted = reference.loc[groups["Metadata_pert_iname"], features].to_numpy(np.float64)
    wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_float32_stays_float32(how):
    table, Z = sites(), embeddings(40).astype(np.float32)
    _, got = aggregate_embeddings(Z, table, "plate", how=how)
    expected = naive(Z.astype(np.float64), table, ["Metadata_Plate"], how)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.stack(list(expected.values())), atol=1e-7)


def test_molecules_are_told_by_their_key():
    table = pd.DataFrame({"SMILES": ["CCN", "CCN.Cl", "c1ccccc1", "C[C@H](O)F", "C[C@@H](O)F"]})
    groups, got = aggregate_embeddings(embeddings(5), table, "molecule")
    assert len(groups) == len(got) == 3
    assert groups["Metadata_n_embeddings"].tolist() == [2, 1, 2]
    assert groups["Metadata_molecule_key"].str.fullmatch("[A-Z]{14}").all()
    assert "SMILES" not in groups  # written in two ways within a molecule


def test_what_a_group_has_in_common_is_kept():
    table = pd.DataFrame(
        {
            "Metadata_Well": ["A01", "A01", "B02", "B02"],
            "Metadata_Site": [1, 2, 1, 2],
            "Metadata_moa": [None, None, "x", "x"],
            "Metadata_half_known": [None, "y", "x", "x"],
            "Metadata_dose": [1.0, 1.0, np.nan, np.nan],
            "Metadata_list": [[1], [1], [2], [2]],
            "Image_DNA": ["a.tif", "a.tif", "b.tif", "b.tif"],
            "Cells_Area": [3.0, 3.0, 4.0, 4.0],
        },
        index=[7, 7, 8, 9],
    )
    groups, _ = aggregate_embeddings(embeddings(4), table, "Metadata_Well")
    assert list(groups) == [
        *("Metadata_Well", "Metadata_moa", "Metadata_dose", "Metadata_n_embeddings")
    ]
    assert groups.index.tolist() == [0, 1]
    assert groups["Metadata_moa"].isna().tolist() == [True, False]
    assert groups["Metadata_dose"].tolist()[0] == 1.0


def test_wells_can_be_aggregated_once_more():
    table, Z = sites(), embeddings(40)
    wells, per_well = aggregate_embeddings(Z, table, "well")
    plates, per_plate = aggregate_embeddings(per_well, wells, "plate")
    expected = naive(per_well, wells, ["Metadata_Plate"], "mean")
    np.testing.assert_allclose(per_plate, np.stack(list(expected.values())), atol=1e-12)
    assert plates["Metadata_n_embeddings"].tolist() == [3, 3]


def test_rows_without_an_embedding_are_left_out_and_named():
    table, Z = sites(), embeddings(40)
    gone = (table["Metadata_Plate"] == "P1") & (table["Metadata_Well"] == "C03")
    missing = np.flatnonzero(gone)
    other = np.flatnonzero(~gone)[[2, 5]]
    Z[np.concatenate([missing, other])] = np.nan
    n = len(missing) + 2
    with pytest.warns(UserWarning, match=f"{n} of 40 row.* are left out.*1 of 6 group") as caught:
        groups, got = aggregate_embeddings(Z, table)
    assert f"row {np.flatnonzero(np.isnan(Z[:, 0]))[0]}" in str(caught[0].message)
    kept = np.delete(np.arange(40), np.concatenate([missing, other]))
    expected = naive(Z[kept], table.iloc[kept], ["Metadata_Plate", "Metadata_Well"], "mean")
    for row, name in enumerate(zip(groups["Metadata_Plate"], groups["Metadata_Well"], strict=True)):
        if name == ("P1", "C03"):
            assert np.isnan(got[row]).all()
            assert groups["Metadata_n_embeddings"][row] == 0
        else:
            np.testing.assert_allclose(got[row], expected[name], atol=1e-12)


def test_no_embedding_at_all_gives_nan():
    table = sites(4)
    with pytest.warns(UserWarning, match="4 of 4 row"):
        _, got = aggregate_embeddings(np.full((4, 3), np.nan), table, "plate")
    assert np.isnan(got).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_embeddings_that_cancel_have_no_direction(dtype):
    angles = 2 * np.pi * np.arange(3) / 3  # three arrows whose sum is zero but for rounding
    Z = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    Z = np.concatenate([Z, 1e-12 * np.eye(2, dtype=dtype)])
    table = pd.DataFrame({"Metadata_Well": ["A01"] * 3 + ["B02"] * 2})
    with pytest.warns(UserWarning, match=r"mean of 1 of 2 group.*Metadata_Well 'A01'"):
        _, got = aggregate_embeddings(Z, table, "Metadata_Well")
    assert np.isnan(got[0]).all()
    np.testing.assert_allclose(got[1], np.sqrt([0.5, 0.5]), rtol=1e-6)  # short, yet a direction


def test_a_median_withstands_a_spoilt_site():
    Z = np.array([[1.0, 0.0], [1.0, 0.0], [-5.0, 9.0]])
    table = pd.DataFrame({"w": ["A"] * 3})
    assert aggregate_embeddings(Z, table, "w", how="median")[1].tolist() == [[1.0, 0.0]]
    assert aggregate_embeddings(Z, table, "w")[1][0, 0] < 0


def test_no_warning_where_nothing_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        aggregate_embeddings(embeddings(40).tolist(), sites())


def with_cell(column, value):
    table = sites(6).astype({"Metadata_Site": float})
    table.loc[3, column] = value
    return table


@pytest.mark.parametrize(
    ("Z", "table", "options", "error", "message"),
    [
        (embeddings(5), sites(6), {}, ValueError, r"each of the 6 row.*shape \(5, 5\)"),
        (np.zeros(6), sites(6), {}, ValueError, r"got an array of shape \(6,\)"),
        (embeddings(6), sites(6).to_numpy(), {}, TypeError, "pandas DataFrame, got ndarray"),
        (embeddings(6), sites(6), {"how": "max"}, ValueError, "how must be .*got 'max'"),
        (embeddings(6), sites(6), {"by": 3}, TypeError, "a column or a list of columns, got 3"),
        (embeddings(6), sites(6), {"by": []}, TypeError, r"got \[\]"),
        (embeddings(6), sites(6), {"by": "batch"}, ValueError, "no column 'batch'.*Metadata_Site"),
        (
            embeddings(6),
            sites(6).drop(columns="Metadata_Plate"),
            {},
            ValueError,
            "no column 'plate'.*A well is told apart by its plate",
        ),
        (
            embeddings(6),
            with_cell("Metadata_Well", None),
            {},
            ValueError,
            r"'Metadata_Well'.* no value in 1 of 6 row\(s\): row 3\. Fill it in",
        ),
        (
            embeddings(6),
            with_cell("Metadata_Well", "  "),
            {},
            ValueError,
            "no value in 1 of 6",
        ),
        (
            embeddings(6),
            with_cell("Metadata_smiles", None),
            {"by": "molecule"},
            ValueError,
            "'Metadata_smiles' cannot be used: row 3 is missing",
        ),
        (
            embeddings(6),
            with_cell("Metadata_smiles", "C1CC"),
            {"by": "molecule"},
            ValueError,
            "row 3 cannot be parsed: 'C1CC'",
        ),
    ],
)
def test_what_cannot_be_aggregated_is_refused(Z, table, options, error, message):
    with pytest.raises(error, match=message):
        aggregate_embeddings(Z, table, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_partly_a_number_is_refused(value):
    Z = embeddings(6)
    Z[4, 2] = value
    with pytest.raises(ValueError, match=r"1 row.* of Z are partly NaN or infinite: row 4"):
        aggregate_embeddings(Z, sites(6), "plate")


def test_groups_are_numbered_as_they_appear_among_the_chosen_rows():
    table = sites()
    table["Metadata_Plate"] = table["Metadata_Plate"].astype(
        pd.CategoricalDtype(["P0", "P2", "P1"])
    )
    rows = np.array([30, 4, 17, 30, 9, 8])
    groups = group_rows(table, "well", rows, purpose="test")
    pairs = [(table["Metadata_Plate"][row], table["Metadata_Well"][row]) for row in rows.tolist()]
    order = list(dict.fromkeys(pairs))
    assert groups.codes.tolist() == [order.index(pair) for pair in pairs]
    assert list(groups.names.itertuples(index=False, name=None)) == order
    assert len(groups) == len(order)
    first = order[0]
    assert groups.name(0) == f"Metadata_Plate {first[0]!r}, Metadata_Well {first[1]!r}"
