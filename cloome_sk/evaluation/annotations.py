"""What is known of molecules beside their structure: targets, mechanisms, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import METADATA_PREFIX, match_column, row_name

Terms = frozenset[str]
NOTHING: Terms = frozenset()


def named_columns(
    shared: str | Sequence[str] | Mapping[str, str], purpose: str, *, taken: Sequence[str] = ()
) -> dict[str, str]:
    """Name the annotations that molecules may share, and their columns.

    Parameters
    ----------
    shared : str, sequence of str, or mapping of str to str
        Columns, or columns by what to call them.
    purpose : str
        Who asks; goes into the error message.
    taken : sequence of str, default=()
        Names that are columns of the result already.

    Returns
    -------
    dict of str to str
        Column by name. A column that was not given a name is called as it is, without
        ``Metadata_``.

    Raises
    ------
    TypeError
        If names or columns are no text.
    ValueError
        If two have one name, or a name is taken.

    Examples
    --------
    >>> from cloome_sk.evaluation.annotations import named_columns
    >>> named_columns(["Metadata_moa", "target"], "example")
    {'moa': 'Metadata_moa', 'target': 'target'}
    """
    if isinstance(shared, Mapping):
        pairs = list(shared.items())
    else:
        columns = [shared] if isinstance(shared, str) else list(shared)
        pairs = [(_plain(column), column) for column in columns]
    for name, column in pairs:
        if not isinstance(name, str) or not isinstance(column, str) or not name:
            raise TypeError(
                f"{purpose}: shared= names columns, such as 'moa', or columns by name, such as "
                f"{{'MoA': 'Metadata_moa_list'}}; got {name!r}: {column!r}."
            )
    names = [name for name, _ in pairs]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(
            f"{purpose}: shared= has two columns called {doubled[0]!r}; name them apart: "
            "{'first': ..., 'second': ...}."
        )
    clash = sorted({name for name in names if name in taken or f"shared_{name}" in taken})
    if clash:
        raise ValueError(
            f"{purpose}: shared= calls a column {clash[0]!r}, which is a column of the result; "
            f"give it another name: {{'my {clash[0]}': {dict(pairs)[clash[0]]!r}}}."
        )
    return dict(pairs)


def _plain(column: Any) -> Any:
    if isinstance(column, str) and column.lower().startswith(METADATA_PREFIX):
        return column[len(METADATA_PREFIX) :]
    return column


def row_terms(
    table: pd.DataFrame, column: str, separator: str, purpose: str, rows: np.ndarray | None = None
) -> list[Terms]:
    """Read the terms of rows of a table.

    Parameters
    ----------
    table : DataFrame
        The table.
    column : str
        Its column of annotations, in any case and with or without ``Metadata_``.
    separator : str
        Stands between several terms of one value.
    purpose : str
        Who asks; goes into the error message.
    rows : ndarray of intp, optional
        Positions of the rows; all by default.

    Returns
    -------
    list of frozenset of str
        The terms of each row without blanks around them; none where the value is missing or
        blank.

    Raises
    ------
    TypeError
        If the separator is no text, or a value is a list and not a text.
    ValueError
        If there is no such column, or the separator is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.annotations import row_terms
    >>> table = pd.DataFrame({"target": ["EGFR | ERBB2", None]})
    >>> [sorted(terms) for terms in row_terms(table, "target", "|", "example")]
    [['EGFR', 'ERBB2'], []]
    """
    if not isinstance(separator, str):
        raise TypeError(f"{purpose}: separator must be text, got {separator!r}.")
    if not separator:
        raise ValueError(f"{purpose}: separator is empty; it stands between terms, such as '|'.")
    values = table[match_column(table, column, purpose=purpose)]
    if rows is not None:
        values = values.iloc[rows]
    for place, value in enumerate(values):
        if pd.api.types.is_list_like(value):
            row = place if rows is None else int(rows[place])
            raise TypeError(
                f"{purpose}: column {values.name!r} holds a {type(value).__name__} in "
                f"{row_name(table, row)}; several terms come as one text, such as "
                f"'EGFR{separator}ERBB2'."
            )
    codes, distinct = pd.factorize(values)
    terms = [*(_terms(value, separator) for value in distinct), NOTHING]
    return [terms[code] for code in codes]  # a missing value has code -1: the last entry


def _terms(value: Any, separator: str) -> Terms:
    return frozenset(term for part in str(value).split(separator) if (term := part.strip()))


def terms_of_molecules(keys: np.ndarray, terms: Sequence[Terms]) -> dict[str, Terms]:
    """Put together what the rows of each molecule say.

    Parameters
    ----------
    keys : ndarray of object, shape (n_rows,)
        Molecule of each row.
    terms : sequence of frozenset of str, length n_rows
        Terms of each row.

    Returns
    -------
    dict of str to frozenset of str
        All terms of each molecule, which may be none.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.annotations import terms_of_molecules
    >>> rows = [frozenset({"EGFR"}), frozenset(), frozenset({"ERBB2"})]
    >>> found = terms_of_molecules(np.array(["A", "B", "A"], dtype=object), rows)
    >>> sorted(found["A"]), sorted(found["B"])
    (['EGFR', 'ERBB2'], [])
    """
    out: dict[str, Terms] = {}
    for key, own in zip(keys, terms, strict=True):
        out[key] = out.get(key, NOTHING) | own
    return out


def sharing(left: Sequence[Terms], right: Sequence[Terms]) -> np.ndarray:
    """Say which molecules share a term.

    Parameters
    ----------
    left, right : sequence of frozenset of str
        Terms of the molecules of two lists.

    Returns
    -------
    ndarray of bool, shape (n_left, n_right)
        Whether the sets intersect. One without terms shares nothing.

    Examples
    --------
    >>> from cloome_sk.evaluation.annotations import sharing
    >>> both, one, none = frozenset({"EGFR", "ERBB2"}), frozenset({"ERBB2"}), frozenset()
    >>> sharing([both, none], [one, none]).tolist()
    [[True, False], [False, False]]
    """
    places: dict[str, int] = {}
    for term in (term for own in [*left, *right] for term in sorted(own)):
        places.setdefault(term, len(places))
    first, second = (np.zeros((len(side), len(places)), dtype=np.float32) for side in (left, right))
    for matrix, side in ((first, left), (second, right)):
        for row, own in enumerate(side):
            matrix[row, [places[term] for term in own]] = 1.0
    return (first @ second.T) > 0
