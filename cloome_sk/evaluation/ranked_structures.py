"""Structures ranked for a phenotype or a molecule, beside the structure that is true."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from cloome_sk import CrossModalRetriever
from cloome_sk._embedding import (
    FittedEmbedder,
    as_rows,
    missing_rows,
    shown_rows,
)
from cloome_sk._nearest import nearest
from cloome_sk._tables import METADATA_PREFIX, match_column, row_name
from cloome_sk.baselines._fitted import pooled, unwrapped
from cloome_sk.evaluation.annotations import (
    Terms,
    named_columns,
    row_terms,
    sharing,
    terms_of_molecules,
)
from cloome_sk.evaluation.molecule_pairs import Molecules
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.molecules.smiles import bad_molecules_message

PURPOSE = "rank_structures"
JOINED = "|"
"""Stands between terms in the result, whatever it was in the tables."""
RANKED = [
    *("query", "query_smiles", "query_molecule", "rank", "candidate", "smiles", "molecule_key"),
    *("similarity", "tanimoto", "scaffold_changed", "is_truth"),
]


def rank_structures(
    model: Any,
    queries: Any,
    candidates: Any,
    k: int = 10,
    *,
    query: str | None = None,
    shared: str | Sequence[str] | Mapping[str, str] = (),
    separator: str = "|",
    pool: bool = False,
    exclude_truth: bool = False,
) -> pd.DataFrame:
    """Rank structures for phenotypes or molecules, and say how each is related to the true one.

    The paper reads retrieval this way: what comes near the image of a molecule may be another
    molecule that does the same to cells, a bioisostere [1]_.

    Parameters
    ----------
    model : fitted CloomeEmbedder, FrozenEstimator, Pipeline, baseline or CrossModalRetriever
        What embeds; of a retriever its embedder.
    queries : DataFrame, shape (n_queries, n_columns), or list of str or rdkit.Chem.Mol
        Phenotypes: a table with the columns of the embedder, and with a SMILES column where the
        true structure is known. Molecules: a list of structures, or a table with SMILES.
    candidates : list of str or rdkit.Chem.Mol, or DataFrame with a SMILES column
        The structures to rank. Each molecule (`cloome_sk.molecules.molecule_key`) counts once, in
        its first form. The negative controls of a table, by the rule of the embedder, are none.
    k : int, default=10
        Hits of each query.
    query : {"phenotype", "molecule"}, optional
        What the queries are. By default what the retriever was made for; otherwise a table is
        phenotypes and a list is molecules.
    shared : str, sequence of str, or mapping of str to str, default=()
        Columns of annotations, such as targets, or columns by what to call them:
        ``{"MoA": "Metadata_moa_list"}``. The candidates must be a table with them. Queries without
        such a column have what their molecule has among the candidates.
    separator : str, default="|"
        Stands between several terms of one annotation: ``"EGFR|ERBB2"``.
    pool : bool, default=False
        Whether the rows of one molecule are one query: the mean of their unit vectors.
    exclude_truth : bool, default=False
        Whether the true molecule is left out of the candidates of its query.

    Returns
    -------
    DataFrame, one row a hit, sorted by ``query`` and ``rank``
        ``query`` (position of its row, the first one of a pool), ``query_smiles`` and
        ``query_molecule`` (the truth, missing where it is not known), ``rank`` (from 1),
        ``candidate`` (position in the candidates), ``smiles``, ``molecule_key``, ``similarity``
        (cosine, in [-1, 1]), ``tanimoto`` to the truth (Morgan fingerprint of the parents, radius
        2, 2,048 bits, no chirality, as in `leakage_report`; in [0, 1], NaN without a truth),
        ``scaffold_changed`` (Bemis-Murcko, as in `murcko_scaffolds`; False between two molecules
        without rings) and ``is_truth``. Of each annotation the terms of both, ``query_<name>`` and
        ``<name>`` (several joined by ``|``), and ``shared_<name>``: whether any is common; missing
        where either has none.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model, the queries or a parameter are not what they must be.
    ValueError
        If structures cannot be read (the message names the rows), columns are missing, or `k` is
        more than there are candidates.

    Warns
    -----
    UserWarning
        If queries or candidates have no embedding: they have no hits, or are none.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> from cloome_sk.baselines import TanimotoKernelEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.ranked_structures import rank_structures
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> treated = X[X["Metadata_control_type"].isna()]
    >>> model = TanimotoKernelEmbedder().fit(X)
    >>> hits = rank_structures(model, treated.iloc[:2], treated, k=3, shared="moa")
    >>> hits[["query", "rank"]].to_numpy().tolist()
    [[0, 1], [0, 2], [0, 3], [1, 1], [1, 2], [1, 3]]
    >>> list(hits.columns[-3:])
    ['query_moa', 'moa', 'shared_moa']
    """
    columns = named_columns(shared, PURPOSE, taken=RANKED)
    fitted, query = _opened(model, queries, query)
    rows = np.flatnonzero(~fitted.control_rows(candidates))
    if isinstance(candidates, pd.DataFrame):
        candidates = candidates.iloc[rows]
    known = _structures(candidates, "the candidates", required=True)
    molecules = Molecules.of(known)
    k = _checked_k(k, len(molecules), exclude_truth)
    asked = _asked(fitted, queries, query, pool)
    if exclude_truth and asked.truths is None:
        raise ValueError(
            f"{PURPOSE}: exclude_truth=True, and the queries have no column of SMILES that says "
            "what the truth is."
        )
    database = fitted.embed(molecules.smiles, "molecule")
    there = np.setdiff1d(np.arange(len(molecules)), missing_rows(database))
    answered = np.setdiff1d(np.arange(len(asked.rows)), missing_rows(asked.vectors))
    _warn(asked.rows, answered, len(molecules) - len(there))
    if not len(there):
        raise ValueError(f"{PURPOSE}: none of the {len(molecules)} candidates has an embedding.")
    clashes = []
    if exclude_truth:
        codes = pd.factorize(np.concatenate([asked.keys[answered], molecules.keys]))[0]
        clashes.append((codes[: len(answered)], codes[len(answered) :]))
    hits = nearest(asked.vectors[answered], database, k, candidates=there, clashes=clashes)
    of_query, row = answered[hits.query], hits.row
    _, first = np.unique(molecule_key(known), return_index=True)
    ranked = pd.DataFrame(
        {
            "query": asked.rows[of_query],
            "query_smiles": asked.smiles[of_query],
            "query_molecule": asked.keys[of_query],
            "rank": np.arange(len(row)) - np.searchsorted(hits.query, hits.query) + 1,
            "candidate": rows[np.sort(first)][row],
            "smiles": molecules.smiles[row],
            "molecule_key": molecules.keys[row],
            "similarity": hits.similarity,
            **_relations(asked, molecules, of_query, row),
        },
        columns=RANKED,
    )
    for name, column in columns.items():
        left, right = _terms(queries, candidates, known, asked, molecules, column, separator)
        ranked[f"query_{name}"] = [_text(left[place]) for place in of_query]
        ranked[name] = [_text(right[place]) for place in row]
        both = [bool(left[a] and right[b]) for a, b in zip(of_query, row, strict=True)]
        common = sharing(left, right)[of_query, row]
        ranked[f"shared_{name}"] = _flags(
            share if known else None for share, known in zip(common, both, strict=True)
        )
    return ranked


@dataclass(frozen=True)
class _Asked:
    """Molecule of each row; first row and vector of each query, and its truth, None if unknown."""

    row_keys: np.ndarray
    rows: np.ndarray
    vectors: np.ndarray
    smiles: np.ndarray
    keys: np.ndarray
    truths: Molecules | None


def _opened(model: Any, queries: Any, query: str | None) -> tuple[FittedEmbedder, str]:
    """The embedder inside, and what the queries are."""
    if isinstance(model, CrossModalRetriever):
        check_is_fitted(model)
        if model.embedder_ is None:
            raise TypeError(
                f"{PURPOSE}: the retriever holds plain embeddings and no embedder, so no structure "
                "can be embedded. Pass a retriever with an embedder, or the embedder."
            )
        fitted, query = model.embedder_, model.query_ if query is None else query
    else:
        fitted = unwrapped(model)
    if query is None:
        query = "phenotype" if isinstance(queries, pd.DataFrame) else "molecule"
    if query not in ("phenotype", "molecule"):
        raise ValueError(f"{PURPOSE}: query must be 'phenotype' or 'molecule', got {query!r}.")
    for modality in (query, "molecule"):
        if not hasattr(fitted.embedder, f"embed_{modality}s"):
            raise TypeError(
                f"{PURPOSE}: the model must be a fitted embedder, bare, in a FrozenEstimator, as "
                "the last step of a Pipeline or in a CrossModalRetriever; "
                f"{type(fitted.embedder).__name__} has no method 'embed_{modality}s'."
            )
    for part in (*fitted.steps, fitted.embedder):
        if hasattr(part, "fit"):
            check_is_fitted(part)
    return fitted, query


def _structures(X: Any, what: str, *, required: bool) -> np.ndarray:
    """Readable structures of a table or list; None where a table need not have them."""
    if isinstance(X, pd.DataFrame):
        plain = [str(name).lower().removeprefix(METADATA_PREFIX) for name in X.columns]
        if not required and "smiles" not in plain:
            return np.full(len(X), None, dtype=object)
        X = X[match_column(X, "smiles", purpose=f"{PURPOSE}, {what}")]
    smiles = as_smiles(X)
    if not len(smiles):
        raise ValueError(f"{PURPOSE}: {what} are empty.")
    known = np.flatnonzero([required or text is not None for text in smiles])
    bad = {int(known[at]): why for at, why in invalid_smiles(smiles[known]).items()}
    if bad:
        message = bad_molecules_message(bad, len(smiles), what, lambda row: row_name(X, row))
        raise ValueError(f"{PURPOSE}: {message} Mend them or leave them out.")
    return smiles


def _checked_k(k: Any, n_candidates: int, exclude_truth: bool) -> int:
    if isinstance(k, bool) or not isinstance(k, Integral):
        raise TypeError(f"{PURPOSE}: k must be a whole number, got {k!r}.")
    if not 1 <= int(k) <= n_candidates - exclude_truth:
        but = " other than the truth" if exclude_truth else ""
        raise ValueError(
            f"{PURPOSE}: k={k} hits are asked for of {n_candidates - exclude_truth} candidate "
            f"molecule(s){but}; k must be from 1 to that number."
        )
    return int(k)


def _asked(fitted: FittedEmbedder, queries: Any, query: str, pool: bool) -> _Asked:
    """Embed the queries, the rows of one molecule together where asked for."""
    rows = as_rows(queries, query, f"{PURPOSE}, query={query!r}")
    if query == "phenotype" and not isinstance(queries, pd.DataFrame):
        smiles = np.full(len(rows), None, dtype=object)
    else:
        smiles = _structures(queries, "the queries", required=query == "molecule")
    known = np.array([text is not None for text in smiles], dtype=bool)
    keys = np.full(len(smiles), None, dtype=object)
    keys[known] = molecule_key(smiles[known])
    vectors = fitted.embed(rows, query)
    places = np.arange(len(smiles))
    if pool:
        if not known.all():
            raise ValueError(
                f"{PURPOSE}: pool=True puts the rows of a molecule together, and "
                f"{row_name(queries, int(np.argmin(known)))} has no SMILES."
            )
        codes, _ = pd.factorize(keys)
        _, places = np.unique(codes, return_index=True)
        vectors = _unit(pooled(vectors, codes))
    truths = Molecules.of(smiles[known]) if known.any() else None
    return _Asked(keys, places, vectors, smiles[places], keys[places], truths)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _warn(rows: np.ndarray, answered: np.ndarray, n_lost: int) -> None:
    """Say what has no embedding."""
    lost = np.setdiff1d(rows, rows[answered])
    if len(lost):
        warnings.warn(
            f"{PURPOSE}: {shown_rows(lost)} of the queries could not be embedded and have no hits.",
            stacklevel=3,
        )
    if n_lost:
        warnings.warn(
            f"{PURPOSE}: {n_lost} candidate molecule(s) have no embedding and are never a hit.",
            stacklevel=3,
        )


def _relations(
    asked: _Asked, molecules: Molecules, of_query: np.ndarray, row: np.ndarray
) -> dict[str, Any]:
    """How each hit is related to the truth of its query."""
    known = np.array([key is not None for key in asked.keys[of_query]], dtype=bool)
    tanimoto = np.full(len(row), np.nan)
    flags = {name: np.full(len(row), None, dtype=object) for name in ("changed", "truth")}
    if asked.truths is not None and known.any():
        place = {key: at for at, key in enumerate(asked.truths.keys)}
        left = np.array([place[key] for key in asked.keys[of_query][known]], dtype=np.intp)
        right = row[known]
        tanimoto[known] = asked.truths.tanimoto(molecules)[left, right]
        flags["changed"][known] = asked.truths.scaffold_changed(molecules)[left, right]
        flags["truth"][known] = asked.truths.keys[left] == molecules.keys[right]
    return {
        "tanimoto": tanimoto,
        "scaffold_changed": _flags(flags["changed"]),
        "is_truth": _flags(flags["truth"]),
    }


def _terms(
    queries: Any,
    candidates: Any,
    known: np.ndarray,
    asked: _Asked,
    molecules: Molecules,
    column: str,
    separator: str,
) -> tuple[list[Terms], list[Terms]]:
    """Terms of the queries and of the candidates."""
    if not isinstance(candidates, pd.DataFrame):
        raise TypeError(
            f"{PURPOSE}: shared= asks for column {column!r} of the candidates, which come as "
            f"{type(candidates).__name__}. Pass a table (pandas DataFrame) with SMILES and it."
        )
    of_rows = row_terms(candidates, column, separator, f"{PURPOSE}, the candidates")
    of_molecule = terms_of_molecules(molecule_key(known), of_rows)
    right = [of_molecule[key] for key in molecules.keys]
    if isinstance(queries, pd.DataFrame) and _has(queries, column):
        own = row_terms(queries, column, separator, f"{PURPOSE}, the queries")
        if len(asked.rows) == len(queries):
            return own, right
        of_pool = terms_of_molecules(asked.row_keys, own)
        return [of_pool[key] for key in asked.keys], right
    return [of_molecule.get(key, frozenset()) for key in asked.keys], right


def _flags(values: Any) -> pd.Series:
    """True, False, or missing where not known."""
    return pd.Series(list(values), dtype="boolean")


def _has(table: pd.DataFrame, column: str) -> bool:
    wanted = column.lower().removeprefix(METADATA_PREFIX)
    return any(str(name).lower().removeprefix(METADATA_PREFIX) == wanted for name in table.columns)


def _text(terms: Terms) -> str | None:
    return JOINED.join(sorted(terms)) or None
