"""Search one modality with the other: phenotypes for a molecule, molecules for a phenotype."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted

from cloome_sk._embedding import (
    as_rows,
    check_modality,
    missing_rows,
    open_embedder,
    plain_embeddings,
    shown_rows,
)
from cloome_sk._hits import HIT_COLUMNS, clash_codes, group_codes, hit_columns, metadata_of
from cloome_sk._nearest import ask_index, nearest
from cloome_sk._refit import unchanged_on_error
from cloome_sk.confidence.hits import SignificantHits, add_significance


class CrossModalRetriever(SignificantHits, BaseEstimator):
    """Find the rows of a table whose embeddings are closest to a query of either modality.

    Both encoders of CLOOME map into one space, so that a molecule can be looked up among cell
    images and the other way round [1]_. Closeness is the cosine; the search is exact.

    Parameters
    ----------
    embedder : fitted CloomeEmbedder, FrozenEstimator, Pipeline or None, default=None
        Embeds the database and the queries; never trained here. Cross-validation clones it, which
        unfits a bare embedder: pass ``FrozenEstimator(embedder)`` there. The last step of a
        `Pipeline` may be the embedder; its earlier steps are applied to tables, not to lists of
        structures. None: rows are embeddings already, as a float array or table.
    query : {"phenotype", "molecule"}, default="molecule"
        The modality of the queries. With ``embedder=None`` any name will do.
    database : {"phenotype", "molecule"}, default="phenotype"
        The modality that is searched; may be the same as `query`.
    n_neighbors : int, default=10
        Number of hits where a method is not told another.
    neighbors : object or None, default=None
        Another index for `kneighbors`, such as an approximate one for millions of rows: has
        ``fit(Z)`` and ``kneighbors(Z, n_neighbors)`` returning distances and positions, both on
        unit vectors. A copy of it is fitted. None searches exactly, in blocks that keep to the
        `working_memory` of `sklearn.set_config`. `search` is always exact.

    Attributes
    ----------
    embeddings_ : ndarray of float, shape (n_samples, n_components)
        Unit vectors of the rows of the fitted X; NaN where a row has none.
    candidates_ : ndarray of intp
        Positions of the rows that can be hits: all but the two below.
    control_rows_ : ndarray of intp
        Positions of the negative controls, by the rule that the embedder found in its `fit`
        (`controls_`): a table without that column has none. By its `controls` where it found none.
    missing_rows_ : ndarray of intp
        Positions of all rows that could not be embedded; the warning of `fit` cuts a long list.
    metadata_ : DataFrame or None
        The columns of the fitted table that are not profile features.
    null_ : Null or None
        What `calibrate` learned: the best hits of queries that have no match to find.
    n_samples_fit_ : int
        Number of rows of the fitted X.
    n_features_in_ : int
        Size of the embeddings, with ``embedder=None``.

    See Also
    --------
    cloome_sk.ZeroShotMoAClassifier : Classes instead of rows.

    Notes
    -----
    The embedder is used as it was when this was fitted: training it again later changes nothing
    here until the next `fit`.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk import CrossModalRetriever
    >>> database = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    >>> retriever = CrossModalRetriever(n_neighbors=2).fit(database)
    >>> distances, indices = retriever.kneighbors([[1.0, 0.1]])
    >>> indices, distances.round(3)
    (array([[0, 2]]), array([[0.005, 0.226]]))
    >>> retriever.search([[1.0, 0.1]]).round(3)
       query  rank  index  similarity
    0      0     1      0       0.995
    1      0     2      2       0.774
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "embedder": "no_validation",
        "query": [str],
        "database": [str],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "neighbors": [None, HasMethods(["fit", "kneighbors"])],
    }

    def __init__(
        self,
        embedder: Any = None,
        *,
        query: str = "molecule",
        database: str = "phenotype",
        n_neighbors: int = 10,
        neighbors: Any = None,
    ) -> None:
        self.embedder = embedder
        self.query = query
        self.database = database
        self.n_neighbors = n_neighbors
        self.neighbors = neighbors

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> CrossModalRetriever:
        """Embed the rows to be searched.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features), or list of structures
            The database: a table with the columns of the `database` modality; for molecules also
            a list of SMILES or RDKit molecules. With ``embedder=None`` the embeddings.
        y : object
            Ignored.

        Returns
        -------
        CrossModalRetriever
            Itself.

        Raises
        ------
        NotFittedError
            If the embedder is not fitted.
        ValueError
            If a modality is unknown, an embedding is a zero vector or not finite, or no row can
            be a hit.

        Warns
        -----
        UserWarning
            If rows could not be embedded; it names the first, `missing_rows_` holds all.
        """
        with unchanged_on_error(self):
            self.query_ = self.query
            if self.embedder is None:
                self.embedder_ = None
                self.metadata_ = None
                self.embeddings_ = plain_embeddings(self, X, reset=True)
                controls = np.zeros(len(self.embeddings_), dtype=bool)
            else:
                check_modality(self.query, "query", self)
                check_modality(self.database, "database", self)
                self.embedder_ = open_embedder(self.embedder, self, {self.query, self.database})
                X = as_rows(X, self.database, f"CrossModalRetriever, database={self.database!r}")
                self.embeddings_ = self.embedder_.embed(X, self.database)
                self.metadata_ = metadata_of(X)
                if isinstance(X, pd.DataFrame):
                    self.metadata_ = X.loc[:, ~self.embedder_.is_feature(X)]
                controls = self.embedder_.control_rows(X)
            self.n_samples_fit_ = len(self.embeddings_)
            self.control_rows_ = np.flatnonzero(controls)
            self.missing_rows_ = missing_rows(self.embeddings_)
            left_out = np.union1d(self.control_rows_, self.missing_rows_)
            self.candidates_ = np.setdiff1d(np.arange(self.n_samples_fit_), left_out)
            if not len(self.candidates_):
                raise ValueError(
                    f"CrossModalRetriever: none of the {self.n_samples_fit_} rows can be a hit: "
                    f"{len(self.control_rows_)} are negative controls (by the embedder's rule) "
                    f"and {len(self.missing_rows_)} could not be embedded."
                )
            lost = np.setdiff1d(self.missing_rows_, self.control_rows_)
            if len(lost):
                warnings.warn(
                    f"CrossModalRetriever: {shown_rows(lost)} of the database could not "
                    "be embedded and will never be a hit (all of them: `missing_rows_`).",
                    stacklevel=3,
                )
            self.neighbors_, self.null_ = None, None
            if self.neighbors is not None:
                index = clone(self.neighbors, safe=False)
                index.fit(np.ascontiguousarray(self.embeddings_[self.candidates_]))
                self.neighbors_ = index
        return self

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
        """Find the nearest rows, as scikit-learn's `NearestNeighbors` does.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_queries, n_features), list of structures or None
            The queries: a table with the columns of the `query` modality; for molecules also a
            list of SMILES or RDKit molecules. With ``embedder=None`` the embeddings. None: every
            row of the database is a query (in the modality of the database) and no hit of itself.
        n_neighbors : int, optional
            Number of hits of each query; by default that of the constructor.
        return_distance : bool, default=True
            Whether to return the distances too.

        Returns
        -------
        distances : ndarray of float64, shape (n_queries, n_neighbors)
            1 − cosine, in [0, 2], ascending. Left out with ``return_distance=False``.
        indices : ndarray of intp, shape (n_queries, n_neighbors)
            Positions of the hits in the fitted X; ties in ascending order.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError
            For a single structure instead of a list.
        ValueError
            If there are fewer candidates than `n_neighbors`, if there are no queries, or if a
            query cannot be embedded (`search` goes on without it).
        """
        check_is_fitted(self)
        k = self._check_n_neighbors(n_neighbors, itself=X is None)
        queries, _ = self._embed_queries(X, "kneighbors")
        missing = missing_rows(queries)
        if len(missing):
            raise ValueError(
                f"CrossModalRetriever.kneighbors: {shown_rows(missing)} of the queries could not "
                "be embedded, and every query must have a full row of neighbours. Leave them out, "
                "or use `search`, which goes on without them."
            )
        own = np.arange(len(queries)) if X is None else None
        if self.neighbors_ is None:
            hits = nearest(queries, self.embeddings_, k, candidates=self.candidates_, own=own)
            indices = hits.row.reshape(-1, k)
            similarity = hits.similarity.reshape(-1, k)
        else:
            indices, similarity = ask_index(
                self.neighbors_, queries, self.embeddings_, k, candidates=self.candidates_, own=own
            )
        return (1.0 - similarity, indices) if return_distance else indices

    def search(
        self,
        X: Any = None,
        n_neighbors: int | None = None,
        *,
        group_by: str | None = None,
        exclude: str | Sequence[str] = (),
        columns: Sequence[str] | None = None,
        significance: bool = False,
    ) -> pd.DataFrame:
        """Find the nearest rows and say what they are.

        Rows are grouped and excluded before the best `n_neighbors` are taken, so that a query has
        fewer hits only where there are no more.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_queries, n_features), list of structures or None
            The queries, as for `kneighbors`.
        n_neighbors : int, optional
            Most hits of a query; by default that of the constructor.
        group_by : str, optional
            Show the best row only of each value of this column of the database, named in any case
            and with or without ``Metadata_``. ``"molecule"``: of each molecule, as
            `cloome_sk.molecules.molecule_key` tells them apart. A row with a missing value is a
            group of its own.
        exclude : str or sequence of str, default=()
            Columns of which the queries and the database must not share a value: a row that agrees
            with the query in any one of them is no hit of it. ``("plate",)`` asks for hits on
            other plates, ``("plate", "molecule")`` for other molecules on other plates. Missing
            values agree with nothing.
        columns : sequence of str, optional
            The columns of the database to show; by default all that are not profile features.
        significance : bool, default=False
            Whether to add ``p``, how often a query whose molecule is not in the database has a hit
            as close, and ``q``, corrected for the number of queries; see `calibrate`.

        Returns
        -------
        DataFrame
            One row a hit, sorted by `query` and `rank`: ``query`` (position of the query),
            ``rank`` (from 1), ``index`` (position in the fitted X), ``similarity`` (cosine, in
            [−1, 1]), ``p`` and ``q`` if asked for, and the columns of the database.

        Raises
        ------
        NotFittedError
            Before `fit`; with `significance` before `calibrate`.
        TypeError
            For a single structure instead of a list.
        ValueError
            If there are fewer candidates than `n_neighbors`, if there are no queries, or if the
            queries or the database lack a column that is asked for.

        Warns
        -----
        UserWarning
            If queries could not be embedded; it names the first. They have no hits.
        """
        check_is_fitted(self)
        k = self._check_n_neighbors(n_neighbors, itself=X is None)
        exclude = [exclude] if isinstance(exclude, str) else list(exclude)
        shown_columns = hit_columns(self.metadata_, columns)
        null = None
        if significance:
            null = self._check_significance(X, exclude, shown_columns)
        structures = None if self.embedder_ is None else self.embedder_.structure_column
        groups = None
        if group_by is not None:
            groups = group_codes(self.metadata_, group_by, self.candidates_, structures)
        queries, table = self._embed_queries(X, "search")
        missing = missing_rows(queries)
        if len(missing):
            warnings.warn(
                f"CrossModalRetriever.search: {shown_rows(missing)} of the queries could not be "
                "embedded and have no hits.",
                stacklevel=2,
            )
        asked = np.setdiff1d(np.arange(len(queries)), missing)
        clashes = [
            clash_codes(table, asked, self.metadata_, self.candidates_, name, structures)
            for name in exclude
        ]
        hits = nearest(
            queries[asked],
            self.embeddings_,
            k,
            candidates=self.candidates_,
            own=asked if X is None else None,
            clashes=clashes,
            groups=groups,
        )
        first = np.searchsorted(hits.query, hits.query)
        rank = np.arange(len(hits.query)) - first + 1
        values = (asked[hits.query], rank, hits.row, hits.similarity)
        found = pd.DataFrame(dict(zip(HIT_COLUMNS, values, strict=True)))
        if null is not None:
            add_significance(found, null, len(asked))
        if self.metadata_ is None:
            return found
        described = self.metadata_.iloc[hits.row, shown_columns].reset_index(drop=True)
        return pd.concat([found, described], axis=1)

    def _check_n_neighbors(self, n_neighbors: int | None, *, itself: bool) -> int:
        """The number of hits asked for, if the database holds as many."""
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        if isinstance(k, bool) or not isinstance(k, Integral):
            raise TypeError(f"n_neighbors must be a whole number, got {k!r}.")
        if k < 1:
            raise ValueError(f"n_neighbors must be at least 1, got {k}.")
        available = len(self.candidates_) - itself
        if k > available:
            but = " other than the query itself" if itself else ""
            raise ValueError(
                f"n_neighbors={k} is more than the {available} candidate row(s){but} of the "
                f"database ({self.n_samples_fit_} rows, of which {len(self.control_rows_)} "
                f"negative controls and {len(self.missing_rows_)} without an embedding). Ask for "
                f"at most {available}."
            )
        return int(k)

    def _embed_queries(self, X: Any, method: str) -> tuple[np.ndarray, pd.DataFrame | None]:
        """Unit vectors of the queries, and the table that describes them."""
        if X is None:
            return self.embeddings_, self.metadata_
        if self.embedder_ is None:
            return plain_embeddings(self, X, reset=False), None
        X = as_rows(X, self.query_, f"CrossModalRetriever.{method}, query={self.query_!r}")
        return self.embedder_.embed(X, self.query_), metadata_of(X)
