"""Significance of the hits of a retriever."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from cloome_sk._embedding import missing_rows, shown_rows
from cloome_sk._hits import clash_codes
from cloome_sk._nearest import nearest
from cloome_sk._tables import METADATA_PREFIX, shown
from cloome_sk.confidence.heldout import (
    heldout_units,
    keys_of,
    refuse_known,
    refuse_trained,
    structures_of,
)
from cloome_sk.confidence.nested import NestedScores
from cloome_sk.confidence.significance import Null, check_names, selective_q

FEWEST = 19
"""With fewer molecules no p can be 0.05."""


class SignificantHits:
    """Adds `calibrate` to a retriever, which gives its hits a p and a q."""

    if TYPE_CHECKING:
        embedder_: Any
        embeddings_: np.ndarray
        candidates_: np.ndarray
        metadata_: pd.DataFrame | None
        null_: Null | None
        query_: str
        database: str

        def _embed_queries(self, X: Any, method: str) -> tuple[np.ndarray, Any]: ...

    def calibrate(self, X: Any, *, groups: Any = None, exclude: str | Sequence[str] = ()) -> Any:
        """Learn how close the best hit of a query without a match is, for `search`.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features), or list of structures
            Queries, as for `kneighbors`, of molecules that the embedder was not trained on, drawn
            like those that will be asked. Of each, what is closest is kept. Where the database is
            of the other modality, their molecules may be in it: candidates of their own molecule
            are left out of the search. Where it is of the same modality, they must not.
        groups : array-like, shape (n_samples,), optional
            The molecule of each query, or a coarser unit. By default the molecules of the column
            of SMILES. Needed with ``embedder=None``, where no candidates are left out: pass
            queries whose molecules are not in the database, or p is too large.
        exclude : str or sequence of str, default=()
            As in `search`; in addition to the molecule. A `search` with significance has to exclude
            these too.

        Returns
        -------
        CrossModalRetriever
            Itself, with `null_`. `fit` forgets it, and so does `sklearn.base.clone`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If a molecule was used to train the embedder, or is in a database of the modality of
            the queries; if a query cannot be embedded or has no candidate left; or if it is not
            known which queries are of one molecule.

        Warns
        -----
        UserWarning
            If there are fewer than 19 molecules, so that no p can be 0.05; or if it cannot be
            checked whether they are new, or whether they are in the database.

        Notes
        -----
        For a hit of cosine s, ``p`` is the share of queries without a match whose *best* hit in
        this database is s or closer: each molecule counts once, the query asked about is one of
        them. Taking the best of all N candidates is thereby accounted for, whatever the number of
        candidates and however they depend on each other (single-step max-T [1]_): if the
        molecule of the query is not in the database, P(any hit has p ≤ α) ≤ α. A candidate that
        is close to everything raises the bar for all hits; it costs power, not validity. Cosines
        within 1e-6 tie, which can only raise p.

        Within one modality, two molecules of the database that are close are each the best hit of
        the other: the largest of their cosines come in pairs, and the p of a new molecule, which is
        nobody's hit, would be below α up to twice as often as α. Such molecules are refused. With
        two modalities the two cosines are of different pairs of vectors; leaving out its own
        molecule, a query of n in the database has one candidate fewer than a new one, which makes
        p too small by about one part in n.

        ``q`` corrects for the number of queries of a `search`: among those with a hit of q ≤ α,
        the expected share that has a wrong one is at most α (see
        `cloome_sk.confidence.selective_q`). Wells of one molecule count as queries of their own.

        A match is the *same molecule*. Two molecules of one mechanism do not match, here as in the
        null: a hit of another molecule may have a small p because it is truly alike.

        References
        ----------
        .. [1] Westfall & Young, "Resampling-based multiple testing", Wiley (1993).

        Examples
        --------
        >>> import numpy as np
        >>> from cloome_sk import CrossModalRetriever
        >>> rng = np.random.default_rng(0)
        >>> retriever = CrossModalRetriever(n_neighbors=1).fit(rng.normal(size=(50, 20)))
        >>> unmatched = rng.normal(size=(99, 20))
        >>> retriever = retriever.calibrate(unmatched, groups=np.arange(99))
        >>> queries = np.vstack([retriever.embeddings_[7] + 0.05, rng.normal(size=20)])
        >>> retriever.search(queries, significance=True).round(3)
           query  rank  index  similarity     p     q
        0      0     1      7       0.975  0.01  0.02
        1      1     1     27       0.460  0.62  0.62
        """
        check_is_fitted(self)
        purpose = "CrossModalRetriever.calibrate"
        if X is None:
            raise ValueError(f"{purpose}: pass queries, X is None.")
        exclude = [exclude] if isinstance(exclude, str) else list(exclude)
        queries, table = self._embed_queries(X, "calibrate")
        missing = missing_rows(queries)
        if len(missing):
            raise ValueError(
                f"{purpose}: {shown_rows(missing)} of the queries could not be embedded. Leave "
                "them out."
            )
        rows = np.arange(len(queries))
        units, keys = heldout_units(
            X if table is None else table, rows, groups, self.embedder_, purpose
        )
        if keys is not None:
            refuse_trained(table, rows, keys, self.embedder_, purpose)
            if self.query_ == self.database:
                self._refuse_candidates(table, rows, keys, purpose)
        best = self._best_of_others(queries, table, keys is not None, exclude, purpose)
        null = Null(
            best=NestedScores.of(best, units),
            exclude=tuple(name for name in exclude if name != "molecule"),
            molecules_seen_=np.unique([] if keys is None else keys.astype(str)).astype(object),
        )
        if null.n_molecules < FEWEST:
            warnings.warn(
                f"{purpose}: with {null.n_molecules} molecule(s) no p is below "
                f"1/{null.n_molecules + 1}; {FEWEST} are needed for 0.05.",
                stacklevel=2,
            )
        self.null_ = null
        return self

    def _refuse_candidates(
        self, table: Any, rows: np.ndarray, keys: np.ndarray, purpose: str
    ) -> None:
        """Raise where a molecule could be a hit, and of the modality of the queries."""
        structures = structures_of(self.metadata_, self.embedder_)
        if structures is None:
            return
        chosen = self.candidates_[~pd.isna(structures[self.candidates_])]
        known = keys_of(self.metadata_, structures, chosen, f"{purpose}: in the database,")
        refuse_known(
            table,
            rows,
            keys,
            {str(key) for key in known},
            f"are in the database, which is of {self.database}s as the queries are",
            purpose,
            why="Close molecules of a database are each the best hit of the other, so that p would "
            "be too small for a new one",
        )

    def _best_of_others(
        self, queries: np.ndarray, table: Any, keyed: bool, exclude: list[str], purpose: str
    ) -> np.ndarray:
        """Highest cosine of each query with a candidate of another molecule."""
        rows = np.arange(len(queries))
        structures = None if self.embedder_ is None else self.embedder_.structure_column
        columns = [name for name in exclude if name != "molecule"]
        if keyed and structures_of(self.metadata_, self.embedder_) is not None:
            columns.append("molecule")
        elif self.embedder_ is not None:
            wrong = "wrong" if self.query_ == self.database else "too large"
            warnings.warn(
                f"{purpose}: the {'database has' if keyed else 'queries have'} no structures, so "
                f"that no candidate is left out: p is {wrong} if the molecules of these queries "
                "are in the database.",
                stacklevel=3,
            )
        clashes = [
            clash_codes(table, rows, self.metadata_, self.candidates_, name, structures)
            for name in columns
        ]
        hits = nearest(queries, self.embeddings_, 1, candidates=self.candidates_, clashes=clashes)
        alone = np.setdiff1d(rows, hits.query)
        if len(alone):
            raise ValueError(
                f"{purpose}: no candidate is left for {shown_rows(alone)} of the queries, without "
                "those of the same molecule and those that `exclude` rules out."
            )
        return hits.similarity

    def _check_significance(self, X: Any, exclude: list[str], columns: np.ndarray) -> Null:
        """What hits are compared with, if it fits the search that is asked for."""
        if self.null_ is None:
            raise NotFittedError(
                "CrossModalRetriever.search: significance=True compares with queries that have "
                "nothing to find: call calibrate(X) with some first (fit and clone forget it)."
            )
        if X is None and self.embedder_ is not None and self.query_ != self.database:
            raise ValueError(
                "CrossModalRetriever.search: with X=None the queries are rows of the database, "
                f"{self.database}s, but calibrate was given {self.query_}s. Make a retriever with "
                f"query={self.database!r} for it."
            )
        lacking = {_plain(name) for name in self.null_.exclude} - set(map(_plain, exclude))
        if lacking:
            raise ValueError(
                f"CrossModalRetriever.search: calibrate excluded {shown(sorted(lacking))}; without "
                "that, hits would be called significant too easily. Exclude the same here, or "
                "calibrate without it."
            )
        if self.metadata_ is not None:
            check_names(self.metadata_.columns[columns])
        return self.null_


def add_significance(found: pd.DataFrame, null: Null, n_queries: int) -> None:
    """Add ``p`` and ``q`` behind the similarity of hits that are sorted by query and rank."""
    p = null.p_values(found["similarity"].to_numpy())
    first = p[found["rank"].to_numpy() == 1]
    best = np.append(first, np.ones(n_queries - len(first)))
    place = list(found.columns).index("similarity") + 1
    found.insert(place, "p", p)
    found.insert(place + 1, "q", selective_q(p, best))


def _plain(name: str) -> str:
    return name.lower().removeprefix(METADATA_PREFIX)
