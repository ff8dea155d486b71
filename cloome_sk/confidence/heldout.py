"""Which molecule each calibration row is of, and that nothing was learned from it before."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._embedding import FittedEmbedder
from cloome_sk._tables import match_column, row_name, shown
from cloome_sk.model_selection._seen import knows_digests_only, molecules_seen, parts
from cloome_sk.molecules import invalid_smiles, molecule_key
from cloome_sk.molecules.smiles import bad_molecules_message


def structures_of(X: Any, embedder: FittedEmbedder | None) -> np.ndarray | None:
    """The structures of a table or list of structures; None where there is no such column."""
    if embedder is None:
        return None
    if not isinstance(X, pd.DataFrame):
        return np.asarray(X, dtype=object) if getattr(X, "ndim", 1) == 1 else None
    column = embedder.structure_column
    if column is None or column not in X.columns:
        try:
            column = match_column(X, "smiles", purpose="structures")
        except ValueError:
            return None
    return X[column].to_numpy(dtype=object)


def heldout_units(
    X: Any, rows: np.ndarray, groups: Any, embedder: FittedEmbedder | None, purpose: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Code of the unit of each of some rows, and their molecule keys where they are known.

    Units are `groups` where these are given, or molecules.
    """
    structures = structures_of(X, embedder)
    keys = None if structures is None else keys_of(X, structures, rows, purpose)
    if groups is None:
        if keys is None:
            raise ValueError(
                f"{purpose}: which rows are wells of one molecule? Pass groups=, one label a row, "
                "or with an embedder a table with a column of SMILES. Wells of one molecule are no "
                "independent evidence; if each row is another molecule, pass "
                "groups=np.arange(len(X))."
            )
        return _from_zero(keys), keys
    labels = _group_labels(X, groups, purpose)[rows]
    codes = _from_zero(labels)
    if keys is not None:
        n_groups = pd.Series(codes).groupby(keys).nunique()
        torn = n_groups.index[n_groups > 1]
        if len(torn):
            first = row_name(X, int(rows[np.flatnonzero(keys == torn[0])[0]]))
            raise ValueError(
                f"{purpose}: {len(torn)} molecule(s) are in more than one group, such as that of "
                f"{first}. Groups must not tear a molecule apart; leave groups= out to group by "
                "molecule."
            )
    return codes, keys


def refuse_known(
    X: Any,
    rows: np.ndarray,
    keys: np.ndarray,
    known: set[str],
    what: str,
    purpose: str,
    *,
    why: str = "What is learned on them would be too good for new molecules",
) -> None:
    """Raise where a molecule was used before."""
    met = np.isin(keys.astype(str), sorted(known))
    if met.any():
        first = row_name(X, int(rows[np.argmax(met)]))
        raise ValueError(
            f"{purpose}: {len(set(keys[met]))} of {len(set(keys))} molecules ({int(met.sum())} "
            f"rows, first {first}) {what}. {why}: pass molecules that were held out "
            "(cloome_sk.model_selection.molecule_groups names the molecule of each row)."
        )


def refuse_references(
    X: Any,
    rows: np.ndarray,
    keys: np.ndarray | None,
    references: np.ndarray | None,
    purpose: str,
) -> None:
    """Raise where a molecule is among the references; warn where that cannot be known."""
    if keys is None or references is None:
        side = "calibration rows" if keys is None else "references"
        doubt = f"the {side} have no structures"
    else:
        bad = invalid_smiles(references)
        readable = [text for row, text in enumerate(references) if row not in bad]
        known = {str(key) for key in molecule_key(readable)}
        refuse_known(X, rows, keys, known, "are among the references", purpose)
        doubt = f"{len(bad)} reference(s) have no readable structure" if bad else ""
    if doubt:
        warnings.warn(
            f"{purpose}: {doubt}: make sure yourself that no molecule is on both sides.",
            stacklevel=3,
        )


def refuse_trained(
    X: Any, rows: np.ndarray, keys: np.ndarray, embedder: FittedEmbedder, purpose: str
) -> None:
    """Raise where the embedder was trained on a molecule; warn where that cannot be known."""
    every = [part for model in (embedder.embedder, *embedder.steps) for part in parts(model)]
    learned = [part for part in every if hasattr(part, "molecules_seen_")]
    known = molecules_seen([embedder.embedder, *embedder.steps])
    refuse_known(X, rows, keys, known, "were used to train the embedder", purpose)
    doubt = None
    if not learned:
        doubt = "does not say which molecules it was trained on"
    elif any(map(knows_digests_only, learned)):
        doubt = "was trained on precomputed features and knows no structures"
    elif any(getattr(part, "checkpoint_sha256_", None) for part in learned):
        doubt = "uses weights of a checkpoint, whose training molecules are not known"
    if doubt:
        warnings.warn(
            f"{purpose}: the embedder {doubt}: make sure yourself that these molecules are not "
            "among them.",
            stacklevel=3,
        )


def keys_of(X: Any, structures: np.ndarray, rows: np.ndarray, purpose: str) -> np.ndarray:
    """Molecule key of some rows; an unreadable structure is an error that names its row."""
    try:
        return molecule_key(structures[rows])
    except ValueError as error:
        message = bad_molecules_message(
            invalid_smiles(structures[rows]),
            len(rows),
            "the structures",
            lambda row: row_name(X, int(rows[row])),
        )
        raise ValueError(f"{purpose}: {message} Leave these rows out.") from error


def _group_labels(X: Any, groups: Any, purpose: str) -> np.ndarray:
    labels = np.asarray(groups, dtype=object)
    if labels.shape != (len(X),):
        raise ValueError(
            f"{purpose}: groups must hold one label for each of {len(X)} rows, got shape "
            f"{labels.shape}."
        )
    missing = np.flatnonzero(np.asarray(pd.isna(labels), dtype=bool))
    if len(missing):
        raise ValueError(
            f"{purpose}: groups has no label for row(s) {shown(missing)}. Leave these rows out."
        )
    return labels


def _from_zero(labels: np.ndarray) -> np.ndarray:
    return np.asarray(pd.factorize(labels)[0], dtype=np.intp)
