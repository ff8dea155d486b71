"""Which rows of a table are negative controls: wells that hold the vehicle alone."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from cloome_sk._tables import match_column, metadata_columns, shown

Controls = Literal["auto"] | tuple[str, Any] | None
"""What `controls=` takes: ``"auto"``, a column and its value or values, or None."""

_PREFIXES = ("image_metadata_", "metadata_")

_ROLES = frozenset(
    "negcon, neg con, neg, negative, negative control, neg control, ctl vehicle, ctl untrt, "
    "ctl vector, vehicle, vehicle control, solvent control, mock, dmso, dmso control, untreated, "
    "untreated control, non targeting, non targeting control".split(", ")
)
_NAMES = frozenset(
    "dmso, dimethyl sulfoxide, dimethylsulfoxide, dimethyl sulphoxide, negcon, negative control, "
    "vehicle, mock, untreated, jcp2022 033924".split(", ")
)
_CLASSES = _ROLES | {"control"}
_DMSO = frozenset({"CS(C)=O", "CS(=O)C", "C[S+](C)[O-]", "C[S+]([O-])C", "IAZDPXIOMUYVGZ"})


@dataclass(frozen=True)
class _Habit:
    """A column that says which wells are controls, and the values by which it says so."""

    column: str
    values: frozenset[str]


# "control" counts in a class column only: in pert_type it covers positive controls too (JUMP).
# A column of solvents is no habit at all: every treated well has DMSO there.
_HABITS = (
    *(
        _Habit(column, _ROLES)
        for column in (
            "control_type pert_type assay_well_role well_role well_type sample_type "
            "broad_sample_type treatment_type compound_type perturbation_type role"
        ).split()
    ),
    *(
        _Habit(column, _NAMES)
        for column in (
            "pert_iname pert_name compound compound_name treatment drug drug_name cpd_name "
            "perturbation broad_sample broad_id pert_id JCP2022"
        ).split()
    ),
    *(_Habit(column, _DMSO) for column in ("InChIKey", "smiles", "canonical_smiles")),
    *(_Habit(column, _CLASSES) for column in ("injury_type", "compound_class", "moa", "moa_list")),
)


@dataclass(frozen=True)
class ControlRows:
    """The negative controls of a table, and the rule that found them.

    Attributes
    ----------
    mask : ndarray of bool, shape (n_samples,)
        True for a control.
    column : hashable or None
        The column that told them apart; None when no row is a control.
    values : tuple
        The values of that column that mean a control, as they stand in the table.
    n : int
        Number of controls.
    rule : tuple or None
        ``(column, values)``, to be given to `apply_controls` with another table; None when no
        row is a control.
    """

    mask: np.ndarray = field(repr=False)
    column: Hashable = None
    values: tuple[Any, ...] = ()

    @property
    def n(self) -> int:
        """Number of controls."""
        return int(self.mask.sum())

    @property
    def rule(self) -> tuple[Hashable, tuple[Any, ...]] | None:
        """Column and values, to find the controls of another table."""
        return None if self.column is None else (self.column, self.values)

    def __str__(self) -> str:
        """Say what was taken as a control, in one sentence."""
        if self.column is None:
            return f"No row of {len(self.mask)} is taken as a negative control."
        values = " or ".join(repr(value) for value in self.values[:5])
        more = f" or {len(self.values) - 5} more values" if len(self.values) > 5 else ""
        return (
            f"{self.n} of {len(self.mask)} rows are negative controls: "
            f"{self.column} is {values}{more}."
        )


def find_controls(X: Any, controls: Controls = "auto") -> ControlRows:
    """Find the negative controls of a table.

    Parameters
    ----------
    X : DataFrame or ndarray, shape (n_samples, n_columns)
        One row a sample (a site, a well or a cell).
    controls : {"auto"}, tuple or None, default="auto"
        - ``(column, value)`` or ``(column, [value, ...])``: rows with that value. The column may
          be given in any case and without ``Metadata_``; values are compared exactly, since some
          columns (SMILES) tell things apart by case.
        - ``"auto"``: the first of the columns below that holds one of its values. Case, ``_``,
          ``-``, and a leading ``Metadata_`` or ``Image_Metadata_`` do not count, except in
          structures.

          1. a role: ``control_type``, ``pert_type``, ``assay_well_role``, ``well_role``,
             ``well_type``, ``sample_type``, ``broad_sample_type``, ``treatment_type``,
             ``compound_type``, ``perturbation_type``, ``role`` being ``negcon``, ``negative``,
             ``negative control``, ``ctl_vehicle``, ``ctl_untrt``, ``ctl_vector``, ``vehicle``,
             ``mock``, ``dmso``, ``untreated`` or ``non-targeting``, and small variations of these;
          2. a name: ``pert_iname``, ``pert_name``, ``compound``, ``compound_name``,
             ``treatment``, ``drug``, ``drug_name``, ``cpd_name``, ``perturbation``,
             ``broad_sample``, ``broad_id``, ``pert_id``, ``JCP2022`` being ``DMSO``, ``vehicle``,
             ``mock``, ``untreated`` or DMSO's identifier in JUMP;
          3. a structure: ``InChIKey``, ``smiles``, ``canonical_smiles`` being that of DMSO;
          4. a class: ``injury_type``, ``compound_class``, ``moa``, ``moa_list`` being ``control``
             or one of the roles.

          Without any of these, and for an array, no row is a control. Positive controls never
          are.
        - None: no row is a control.

    Returns
    -------
    ControlRows
        Mask, column and values; ``str()`` of it says what was taken.

    Raises
    ------
    TypeError
        If `controls` is none of these forms.
    ValueError
        If a named column is missing or no row has the value; if two columns that ``"auto"`` reads
        alike disagree.

    See Also
    --------
    apply_controls : The same rule on another table.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.preprocessing import find_controls
    >>> wells = pd.DataFrame(
    ...     {
    ...         "Metadata_Well": ["A01", "A02", "A03", "A04"],
    ...         "Metadata_pert_type": ["trt", "control", "control", "trt"],
    ...         "Metadata_control_type": [None, "negcon", "poscon_cp", None],
    ...     }
    ... )
    >>> found = find_controls(wells)
    >>> found.mask
    array([False,  True, False, False])
    >>> print(found)
    1 of 4 rows are negative controls: Metadata_control_type is 'negcon'.
    >>> print(find_controls(wells, ("well", ["A01", "A04"])))
    2 of 4 rows are negative controls: Metadata_Well is 'A01' or 'A04'.
    """
    check_controls(controls)
    if isinstance(controls, tuple):
        return _by_rule(X, *controls)
    if controls == "auto" and isinstance(X, pd.DataFrame):
        return _by_habit(X)
    return ControlRows(np.zeros(_n_rows(X), dtype=bool))


def apply_controls(X: Any, column: Hashable, values: Sequence[Any]) -> ControlRows:
    """Find the controls of another table by a rule found before.

    A table to be embedded or searched often carries no metadata. So here, unlike in
    `find_controls`, a table without the column, or without any such row, has no known controls,
    and nothing is raised.

    Parameters
    ----------
    X : DataFrame or ndarray, shape (n_samples, n_columns)
        The other table.
    column : hashable
        `ControlRows.column`; found in any case, with or without ``Metadata_``.
    values : sequence
        `ControlRows.values`; compared exactly.

    Returns
    -------
    ControlRows
        The controls of `X`, if any.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.preprocessing import apply_controls, find_controls
    >>> column, values = find_controls(pd.DataFrame({"compound": ["taxol", "DMSO"]})).rule
    >>> apply_controls(pd.DataFrame({"compound": ["DMSO", "ALLN"]}), column, values).mask
    array([ True, False])
    >>> apply_controls(pd.DataFrame({"smiles": ["CCO"]}), column, values).mask
    array([False])
    """
    if isinstance(X, pd.DataFrame):
        found = _columns_like(X, column)
        if found:
            wanted = found[0] if len(found) == 1 else column
            name = match_column(X, str(wanted), purpose="controls")
            mask = X[name].isin(list(values)).to_numpy(dtype=bool)
            if mask.any():
                return ControlRows(mask, name, tuple(values))
    return ControlRows(np.zeros(_n_rows(X), dtype=bool))


def check_controls(controls: Any) -> None:
    """Refuse a `controls=` that is none of the known forms."""
    if controls is None or (isinstance(controls, str) and controls == "auto"):
        return
    if isinstance(controls, tuple) and len(controls) == 2 and isinstance(controls[0], str):
        if not _as_list(controls[1]):
            raise ValueError(f"controls={controls!r} names no value of column {controls[0]!r}.")
        return
    raise TypeError(
        "controls must be 'auto', None or a tuple (column, value or list of values), such as "
        f"('Metadata_control_type', 'negcon'); got {controls!r}."
    )


def _by_rule(X: Any, column: str, values: Any) -> ControlRows:
    """Rows whose named column has one of the named values."""
    if not isinstance(X, pd.DataFrame):
        raise ValueError(
            f"controls=({column!r}, ...) names a column, but X is {type(X).__name__} without "
            "column names. Pass a pandas DataFrame."
        )
    name = match_column(X, column, purpose="controls")
    wanted = _as_list(values)
    mask = X[name].isin(wanted).to_numpy(dtype=bool)
    if not mask.any():
        seen = X[name].value_counts(dropna=False)
        counts = (f"{value!r} ({count} rows)" for value, count in seen.items())
        alike = {_plain(value) for value in wanted}
        near = [value for value in seen.index if _plain(value) in alike]
        hint = f" Values are compared exactly; did you mean {shown(map(repr, near))}?"
        raise ValueError(
            f"controls: no row of column {name!r} is {shown(map(repr, wanted))}. "
            f"Values seen: {shown(counts) or 'none'}.{hint if near else ''}"
        )
    return ControlRows(mask, name, tuple(wanted))


def _by_habit(X: pd.DataFrame) -> ControlRows:
    """The first column, in order of priority, with values that the field uses for controls."""
    columns: dict[str, list[int]] = {}
    for position, name in enumerate(X.columns):
        columns.setdefault(_plain(name), []).append(position)
    for habit in _HABITS:
        found = [
            rows
            for position in columns.get(_plain(habit.column), [])
            if (rows := _habitual_rows(X.iloc[:, position], X.columns[position], habit)).n
        ]
        if not found:
            continue
        if any((rows.mask != found[0].mask).any() for rows in found):
            raise ValueError(
                "controls='auto': the columns "
                f"{shown(f'{rows.column} ({rows.n} rows)' for rows in found)} name different rows "
                "as negative controls. Choose one: controls=(column, value)."
            )
        return found[0]
    return ControlRows(np.zeros(len(X), dtype=bool))


def _habitual_rows(series: pd.Series, name: Hashable, habit: _Habit) -> ControlRows:
    """Rows of one column with a value that means a control there."""
    codes, distinct = pd.factorize(series)
    if habit.values is _DMSO:
        hits = [str(value).split("-")[0] in _DMSO or str(value) in _DMSO for value in distinct]
    else:
        hits = [_plain(value) in habit.values for value in distinct]
    # A missing value has code -1, which reads the appended False.
    mask = np.array([*hits, False], dtype=bool)[codes]
    values = tuple(value for value, hit in zip(distinct, hits, strict=True) if hit)
    return ControlRows(mask, name, values)


def _plain(name: Any) -> str:
    """A name or value without what writers vary: case, separators, metadata prefix."""
    text = str(name).strip().lower()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    return re.sub(r"[\s_-]+", " ", text)


def _columns_like(X: pd.DataFrame, column: Hashable) -> list[Hashable]:
    """Columns that answer to a name: exactly, else in any case with or without Metadata_."""
    if column in X.columns:
        return [column]
    return [name for name in metadata_columns(X) if _plain(name) == _plain(column)]


def _as_list(values: Any) -> list[Any]:
    """One value, or several, as a list."""
    if isinstance(values, list | tuple | set | frozenset | np.ndarray | pd.Index | pd.Series):
        return list(values)
    return [values]


def _n_rows(X: Any) -> int:
    """Number of samples."""
    return X.shape[0] if hasattr(X, "shape") else len(X)
