"""Multi-valued annotations, missing ones, and what two molecules share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloome_sk.evaluation.annotations import (
    named_columns,
    row_terms,
    sharing,
    terms_of_molecules,
)


def test_sharing_equals_set_intersection() -> None:
    rng = np.random.RandomState(0)
    terms = [f"T{n}" for n in range(8)]
    left, right = (
        [frozenset(rng.choice(terms, size=rng.randint(4), replace=False)) for _ in range(n)]
        for n in (13, 9)
    )
    naive = [[bool(a & b) for b in right] for a in left]
    assert sharing(left, right).tolist() == naive
    assert any(map(any, naive))
    assert not all(map(all, naive))


def test_nothing_shares_nothing() -> None:
    assert not sharing([frozenset()], [frozenset(), frozenset({"A"})]).any()
    assert sharing([], [frozenset({"A"})]).shape == (0, 1)


def test_terms_are_divided_and_stripped_and_missing_ones_are_none() -> None:
    table = pd.DataFrame({"Metadata_target": ["EGFR| ERBB2 ", None, "  ", "|", "EGFR", pd.NA]})
    found = row_terms(table, "target", "|", "test")
    assert [set(terms) for terms in found] == [
        {"EGFR", "ERBB2"},
        set(),
        set(),
        set(),
        {"EGFR"},
        set(),
    ]
    assert row_terms(table, "target", "|", "test", rows=np.array([4, 1])) == [{"EGFR"}, set()]


def test_another_separator() -> None:
    table = pd.DataFrame({"target": ["EGFR;ERBB2", "A|B"]})
    assert row_terms(table, "target", ";", "test") == [{"EGFR", "ERBB2"}, {"A|B"}]


def test_a_molecule_has_the_terms_of_all_its_rows() -> None:
    keys = np.array(["A", "B", "A"], dtype=object)
    rows = [frozenset({"x"}), frozenset(), frozenset({"y"})]
    assert terms_of_molecules(keys, rows) == {"A": {"x", "y"}, "B": set()}


def test_names() -> None:
    assert named_columns("Metadata_moa", "test") == {"moa": "Metadata_moa"}
    assert named_columns({"MoA": "moa_list"}, "test") == {"MoA": "moa_list"}
    assert named_columns((), "test") == {}


@pytest.mark.parametrize(
    ("shared", "error", "words"),
    [
        ([3], TypeError, "shared= names columns"),
        ({"MoA": 3}, TypeError, "shared= names columns"),
        (["moa", "Metadata_moa"], ValueError, "two columns called 'moa'"),
        ("rank", ValueError, "'rank', which is a column of the result"),
    ],
)
def test_bad_names(shared: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        named_columns(shared, "test", taken=["rank"])  # type: ignore[arg-type]


def test_bad_values_name_the_row_and_the_column() -> None:
    table = pd.DataFrame({"target": ["EGFR", ["EGFR", "ERBB2"]]})
    with pytest.raises(TypeError, match="column 'target' holds a list in row 1"):
        row_terms(table, "target", "|", "test")
    with pytest.raises(ValueError, match="no column 'moa'"):
        row_terms(table, "moa", "|", "test")
    with pytest.raises(ValueError, match="separator is empty"):
        row_terms(table, "target", "", "test")
    with pytest.raises(TypeError, match="separator must be text"):
        row_terms(table, "target", None, "test")  # type: ignore[arg-type]
