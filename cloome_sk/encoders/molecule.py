"""The molecule side: structures, as fingerprints or as any features of them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import Columns, column_positions, match_column, row_name
from cloome_sk.encoders.base import Encoder, Inputs, numeric_block
from cloome_sk.encoders.profile import check_hidden_sizes
from cloome_sk.molecules import as_smiles, invalid_smiles, molecule_key
from cloome_sk.molecules.fingerprints import distinct_fingerprints
from cloome_sk.molecules.smiles import bad_molecules_message, factorize

if TYPE_CHECKING:
    from torch import nn


class MoleculeEncoder(Encoder):
    """Encode chemical structures with a multilayer perceptron on a fingerprint.

    The defaults are the structure encoder of CLOOME [1]_: a Morgan fingerprint of radius 3 with
    1,024 chiral bits, four hidden layers of 1,024, no dropout. Each distinct SMILES is
    fingerprinted once. The structure is taken as written, with its salt and charges.

    Parameters
    ----------
    columns : str, list of str, int, list of int, slice, mask, callable or None, default=None
        Where the structures are. None finds the one column named ``smiles``, in any case, with
        or without ``Metadata_``. One column of structures, or, for ``features="precomputed"``,
        the numeric feature columns.
    radius : int, default=3
        Radius of the Morgan environments, in bonds (>= 0).
    n_bits : int, default=1024
        Length of the fingerprint (>= 1).
    use_chirality : bool, default=True
        Whether stereochemistry enters the fingerprint.
    features : {"morgan", "precomputed"} or transformer, default="morgan"
        "precomputed" takes numeric columns as they are (fingerprints, descriptors, embeddings).
        A scikit-learn transformer is cloned, fitted on the distinct training SMILES, and
        given lists of SMILES; wrap a fitted one in `sklearn.frozen.FrozenEstimator` to keep it.
        `radius`, `n_bits` and `use_chirality` concern "morgan" only.
    hidden_sizes : sequence of int, default=(1024, 1024, 1024, 1024)
        Width of each hidden layer (Linear, BatchNorm, ReLU, dropout); empty for a linear encoder.
    dropout : float, default=0.0
        Share of hidden units dropped in training, in [0, 1).
    input_dropout : float, default=0.0
        Share of features dropped in training, in [0, 1).
    on_error : {"raise", "skip"}, default="raise"
        What to do with structures that cannot be read: raise an error that names the rows, or
        warn with the rows, leave them out of training, and embed them as NaN.

    Attributes
    ----------
    column_names_ : list of str or None
        The columns, where X was a DataFrame.
    column_positions_ : ndarray of intp
        Their positions in the fitted X.
    n_inputs_ : int
        Number of features of a molecule.
    features_ : transformer
        The fitted transformer, where `features` is one.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.encoders import MoleculeEncoder
    >>> table = pd.DataFrame({"Metadata_SMILES": ["CCO", "c1ccccc1", "CCO"]})
    >>> inputs = MoleculeEncoder().fit(table).inputs(table)
    >>> inputs.values.shape, inputs.index.tolist()
    ((2, 1024), [0, 1, 0])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "columns": "no_validation",
        "radius": [Interval(Integral, 0, None, closed="left")],
        "n_bits": [Interval(Integral, 1, None, closed="left")],
        "use_chirality": ["boolean"],
        "features": [StrOptions({"morgan", "precomputed"}), HasMethods(["fit", "transform"])],
        "hidden_sizes": ["array-like"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left")],
        "on_error": [StrOptions({"raise", "skip"})],
    }

    def __init__(
        self,
        columns: Columns = None,
        *,
        radius: int = 3,
        n_bits: int = 1024,
        use_chirality: bool = True,
        features: Any = "morgan",
        hidden_sizes: Sequence[int] = (1024, 1024, 1024, 1024),
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        on_error: str = "raise",
    ) -> None:
        self.columns = columns
        self.radius = radius
        self.n_bits = n_bits
        self.use_chirality = use_chirality
        self.features = features
        self.hidden_sizes = hidden_sizes
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.on_error = on_error

    @property
    def _precomputed(self) -> bool:
        return isinstance(self.features, str) and self.features == "precomputed"

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether `fit` learns anything but where the columns are: of a transformer alone."""
        return not isinstance(self.features, str)

    def _choose_columns(self, X: Any) -> Columns:
        if self._precomputed:
            raise ValueError(
                'MoleculeEncoder(features="precomputed") needs `columns`: name the numeric '
                "feature columns of the molecules."
            )
        if not isinstance(X, pd.DataFrame):
            raise ValueError(
                "MoleculeEncoder: columns=None looks for a column named 'smiles', but X is "
                f"{type(X).__name__} without column names. Pass a DataFrame, or choose the "
                'columns by position with features="precomputed".'
            )
        return [match_column(X, "smiles", purpose="MoleculeEncoder")]

    def _fit_rows(self, X: Any, rows: np.ndarray) -> None:
        check_hidden_sizes(self.hidden_sizes, self._purpose)
        if self._precomputed:
            self.n_inputs_ = len(self.column_positions_)
            return
        if len(self.column_positions_) != 1:
            raise ValueError(
                f"MoleculeEncoder: features={self.features!r} takes one column of SMILES, but "
                f"columns={self.columns!r} chooses {len(self.column_positions_)}."
            )
        if not self.learns:
            self.n_inputs_ = int(self.n_bits)
            return
        _, distinct = factorize(self._column_smiles(X)[rows])
        readable = np.delete(distinct, list(invalid_smiles(distinct)))
        with config_context(transform_output="default"):
            self.features_ = clone(self.features)
            self.features_.fit(list(readable), None)
            self.n_inputs_ = self._transformed(readable[:1]).shape[1]

    def ready(self, X: Any = None, n_inputs: int | None = None) -> MoleculeEncoder:
        """Become fitted where nothing has to be learned: for weights that are there already.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features), optional
            A table, of which only columns that the parameters name are needed.
        n_inputs : int, optional
            Number of precomputed features, where no columns are named.

        Returns
        -------
        MoleculeEncoder
            Itself.

        Raises
        ------
        ValueError
            If `features` is a transformer, which is fitted on a table, and there is none; if a
            column that the parameters name is not in the table; or if nothing says how many
            precomputed features there are.
        """
        self._validate_params()
        check_hidden_sizes(self.hidden_sizes, self._purpose)
        # A transformer is fitted on a table, whose column it may have to find.
        if X is not None and (self.columns is not None or self.learns):
            self.fit(X)
            return self
        if self.learns:
            raise ValueError(
                f"{self._purpose}: features={self.features!r} learns from a table: call fit."
            )
        names: Any = [self.columns] if isinstance(self.columns, str) else self.columns
        listed = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if names is not None and not listed:
            raise ValueError(
                f"{self._purpose}: columns={self.columns!r} are chosen from a table: call fit, or "
                "name them."
            )
        if self._precomputed and names is None and n_inputs is None:
            raise ValueError(
                f'{self._purpose}(features="precomputed") needs `columns`, or the number of '
                "features, n_inputs."
            )
        self.column_names_ = names
        if self._precomputed:
            self.n_inputs_ = len(names) if names is not None else int(n_inputs or 0)
        else:
            self.n_inputs_ = int(self.n_bits)
        n_columns = self.n_inputs_ if self._precomputed else 1
        self.column_positions_ = np.arange(n_columns)
        return self

    def _column_smiles(self, X: Any) -> np.ndarray:
        position = self._positions_in(X)[0]
        column = X.iloc[:, position] if isinstance(X, pd.DataFrame) else np.asarray(X)[:, position]
        return as_smiles(column)

    def _where(self, X: Any) -> str:
        if not isinstance(X, pd.DataFrame):
            return "the list"
        return f"column {X.columns[self._positions_in(X)[0]]!r}"

    def _positions_in(self, X: Any) -> np.ndarray:
        """Positions of the fitted columns; a column found by itself is found in each table anew."""
        if self.columns is None and self._precomputed:
            if isinstance(X, pd.DataFrame) or X.shape[1] != self.n_inputs_:
                raise ValueError(self._wants_features(f"an array of shape {X.shape}"))
        elif self.columns is None and isinstance(X, pd.DataFrame):
            return column_positions(X, self._choose_columns(X), purpose=self._purpose)
        return super()._positions_in(X)

    def inputs(
        self, X: Any, on_error: str | None = None, optional: np.ndarray | None = None
    ) -> Inputs:
        """Featurise structures, each distinct one once.

        Parameters
        ----------
        X : DataFrame, ndarray of shape (n_samples, n_features), or list of str or Mol
            A table with the fitted columns, or the molecules alone.
        on_error : {"raise", "skip"}, optional
            Overrides the parameter of the encoder.
        optional : ndarray of bool, shape (n_samples,), optional
            Rows that may do without a structure, such as vehicle wells.

        Returns
        -------
        Inputs
            Values (uint8 for fingerprints, else float32) of shape (n_distinct, n_inputs); the
            index is -1 for structures that cannot be read.

        Raises
        ------
        ValueError
            For structures that cannot be read if they are not to be skipped.
        """
        check_is_fitted(self)
        if on_error not in (None, "raise", "skip"):
            raise ValueError(f'on_error must be "raise" or "skip", got {on_error!r}.')
        if self._precomputed:
            return self._precomputed_inputs(X)
        smiles = self._column_smiles(X) if _has_columns(X) else as_smiles(X)
        codes, distinct = factorize(smiles)
        values, usable = self._featurise(distinct)
        place = np.where(usable, np.cumsum(usable) - 1, -1)
        index = np.append(place, -1)[codes]  # a missing SMILES has code -1: the last entry
        lacking = index < 0
        if optional is not None:
            lacking &= ~optional
        if lacking.any():
            self._report_unreadable(X, smiles, np.flatnonzero(lacking), on_error or self.on_error)
        return Inputs(values, index.astype(np.intp))

    def _featurise(self, distinct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features of the readable SMILES, and which of all these were."""
        if not self.learns:
            bits = distinct_fingerprints(
                distinct,
                radius=int(self.radius),  # RDKit takes no NumPy integers
                n_bits=int(self.n_bits),
                use_chirality=bool(self.use_chirality),
            )
            usable = np.array([row is not None for row in bits], dtype=bool)
            readable = [row for row in bits if row is not None]
            return np.array(readable, dtype=np.uint8).reshape(-1, self.n_bits), usable
        usable = np.ones(len(distinct), dtype=bool)
        usable[list(invalid_smiles(distinct))] = False
        with config_context(transform_output="default"):
            return self._transformed(distinct[usable]), usable

    def _transformed(self, distinct: np.ndarray) -> np.ndarray:
        if not len(distinct):
            return np.zeros((0, getattr(self, "n_inputs_", 0)), dtype=np.float32)
        out = self.features_.transform(list(distinct))
        values = np.asarray(out.toarray() if issparse(out) else out, dtype=np.float32)
        if values.ndim != 2 or len(values) != len(distinct) or not np.isfinite(values).all():
            raise ValueError(
                f"MoleculeEncoder: {self.features!r} must give a finite matrix with one row for "
                f"each of {len(distinct)} SMILES, got an array of shape {values.shape} with "
                f"{int((~np.isfinite(values)).sum())} NaN or infinite values."
            )
        return values

    def _report_unreadable(
        self, X: Any, smiles: np.ndarray, rows: np.ndarray, on_error: str
    ) -> None:
        bad = {int(rows[place]): why for place, why in invalid_smiles(smiles[rows]).items()}
        message = bad_molecules_message(
            bad, len(smiles), self._where(X), lambda row: row_name(X, row)
        )
        if on_error == "raise":
            raise ValueError(
                f'{message} Mend or drop those rows, or go on without them: on_error="skip".'
            )
        warnings.warn(f"{message} They are skipped: their embeddings are NaN.", stacklevel=3)

    def _wants_features(self, got: str) -> str:
        wanted = "a table or a matrix"
        if self.columns is None:
            wanted = "with columns=[...] a table, and without them an array"
        return (
            f'MoleculeEncoder(features="precomputed") takes {wanted} of {self.n_inputs_:,} numeric '
            f"features, got {got}."
        )

    def _block(self, X: Any) -> np.ndarray:
        block = numeric_block(X, self._positions_in(X), self._purpose).astype(np.float32)
        return block + np.float32(0)  # -0.0 becomes 0.0: the same feature, so the same bytes

    def _precomputed_inputs(self, X: Any) -> Inputs:
        if not _has_columns(X):
            raise ValueError(self._wants_features(f"{type(X).__name__} without columns"))
        block = self._block(X)
        codes, _ = factorize(_row_digests(block))
        _, first = np.unique(codes, return_index=True)
        return Inputs(block[first], codes)

    def keys(self, X: Any, rows: np.ndarray) -> np.ndarray:
        """Name the molecule of each row, so that equal names mean the same molecule.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            A table with the fitted columns.
        rows : ndarray of intp, shape (n_rows,)
            Positions of the rows to name; their structures must be readable.

        Returns
        -------
        ndarray of object, shape (n_rows,)
            `cloome_sk.molecules.molecule_key`, or a digest of precomputed features.
        """
        if self._precomputed:
            block = self._block(X)[rows]
            return _row_digests(block)
        return molecule_key(self._column_smiles(X)[rows])

    def make_network(self, n_components: int) -> nn.Module:
        """Build the perceptron, with fresh weights.

        Parameters
        ----------
        n_components : int
            Size of the embedding.

        Returns
        -------
        MLP
            Maps (n_molecules, n_inputs) to (n_molecules, n_components).
        """
        from cloome_sk.networks import MLP

        return MLP(
            self.n_inputs_,
            n_components,
            tuple(self.hidden_sizes),
            dropout=self.dropout,
            input_dropout=self.input_dropout,
        )


def _has_columns(X: Any) -> bool:
    return isinstance(X, pd.DataFrame) or (isinstance(X, np.ndarray) and X.ndim == 2)


def _row_digests(block: np.ndarray) -> np.ndarray:
    """A short name of each row's content."""
    names = [hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in block]
    return np.array(names, dtype=object)
