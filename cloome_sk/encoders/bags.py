"""The phenotype side as bags: all sites of a well, or all wells of a compound, are one input."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._tables import Columns, row_name
from cloome_sk.encoders._bags import Bags, bagged
from cloome_sk.encoders.base import LISTED, Encoder, Inputs
from cloome_sk.preprocessing._groups import group_rows

if TYPE_CHECKING:
    from torch import nn

    from cloome_sk.preprocessing.controls import ControlRows


class BagEncoder(Encoder):
    """Encode all rows of a well, a plate or a compound as one, whatever their number.

    Another encoder and its network embed each row (a site, a cell or a well: an instance). The
    embeddings of the instances of a bag are pooled to one, before it is brought to unit length,
    and that is what is trained: on pairs of a bag and its molecule. The mean is hard to beat;
    gated attention [1]_ can learn which few sites carry the signal, if there are such.

    Parameters
    ----------
    encoder : ProfileEncoder or ImageEncoder
        Encodes the rows; it is cloned.
    group_by : "well", "plate", "molecule", str or list of str, default="well"
        What the rows of a bag share. "well": plate and well; "plate"; "molecule":
        `cloome_sk.molecules.molecule_key` of the column named ``smiles``; or columns, by their
        names, in any case and with or without ``Metadata_``.
    pooling : {"mean", "attention"}, default="mean"
        The plain average, or one whose weights a small network computes from the embeddings.
    max_size : int or None, default=None
        In training, at most so many instances of a bag, drawn anew at each step, go through the
        network (>= 1). Large bags then cost no more than this, and are seen in ever other parts;
        their images are still read. After training, and for None, all instances count.

    Attributes
    ----------
    encoder_ : encoder
        The fitted encoder of the rows.
    column_names_ : list of str or None
        Its columns.
    column_positions_ : ndarray of intp
        Their positions in the fitted table.

    See Also
    --------
    cloome_sk.preprocessing.aggregate_embeddings : Average the embeddings of any trained model.

    Notes
    -----
    Bags are made within the table that is given, and every row gets the embedding of its bag. So
    a row's embedding depends on which others of its bag are there: a table must hold whole bags,
    and cross-validation must not cut through them (``groups=``).

    A row that shows the same image as another of its bag counts once. Rows that cannot be read,
    and are to be skipped, are left out of their bag; only a bag without any other is embedded as
    NaN.

    `batch_size` of the embedder counts bags: memory grows with the number of their instances.

    The instances that `max_size` leaves out are drawn from torch's generator, which
    ``CloomeEmbedder(random_state=)`` seeds.

    References
    ----------
    .. [1] Ilse, Tomczak & Welling, "Attention-based deep multiple instance learning", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk import CloomeEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.encoders import BagEncoder, ProfileEncoder
    >>> X = make_profiles(n_compounds=12, n_plates=2, random_state=0)  # simulated
    >>> encoder = BagEncoder(ProfileEncoder(), group_by="pert_iname")
    >>> embedder = CloomeEmbedder(encoder, n_components=8, max_epochs=2, random_state=0).fit(X)
    >>> Z = embedder.transform(X)
    >>> Z.shape == (len(X), 8), len(np.unique(Z, axis=0)) == X["Metadata_pert_iname"].nunique()
    (True, True)
    """

    pools = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "encoder": [HasMethods(["fit_inputs", "inputs", "make_network"])],
        "group_by": [str, list, tuple],
        "pooling": [StrOptions({"mean", "attention"})],
        "max_size": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        encoder: Encoder,
        group_by: str | Sequence[str] = "well",
        *,
        pooling: str = "mean",
        max_size: int | None = None,
    ) -> None:
        self.encoder = encoder
        self.group_by = group_by
        self.pooling = pooling
        self.max_size = max_size

    def _choose_columns(self, X: Any) -> Columns:
        return self.encoder._choose_columns(X)

    def _fit_rows(self, X: Any, rows: np.ndarray) -> None:
        self.fit_inputs(X, rows)

    def fit(self, X: Any, rows: np.ndarray | None = None) -> BagEncoder:
        """Fit the encoder of the rows on the training rows.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            The table.
        rows : ndarray of intp, optional
            Positions of the training rows; all by default.

        Returns
        -------
        BagEncoder
            Itself.

        Raises
        ------
        TypeError
            If X is no DataFrame, or `encoder` is a molecule or another bag encoder.
        ValueError
            For a column that is absent, or a row that does not say to which bag it belongs.
        """
        self.fit_inputs(X, np.arange(len(X)) if rows is None else rows)
        return self

    def fit_inputs(
        self,
        X: Any,
        rows: np.ndarray,
        verbose: int = 0,
        controls: ControlRows | None = None,
    ) -> Inputs:
        """Fit, and give the bags of the training rows.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            The table.
        rows : ndarray of intp
            Positions of the training rows.
        verbose : int, default=0
            Above 0: show a progress bar where images are read.
        controls : ControlRows, optional
            The negative controls of the table.

        Returns
        -------
        Inputs
            Values are `Bags`; the index has the bag of each training row, or -1 where none of
            its bag could be read.
        """
        encoder = self._fresh_encoder()
        codes = self.bag_codes(X, rows)  # before images are read, which takes long
        inner = encoder.fit_inputs(X, rows, verbose, controls)
        self._hold(encoder)
        return Inputs(*bagged(inner, codes))

    def read_inputs(
        self, X: Any, rows: np.ndarray, verbose: int = 0, lost: str = "left out of training"
    ) -> Inputs:
        """Make the bags of some rows, which hold no others, having read what they show.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            A table with the columns of the encoder of the rows, and those of `group_by`.
        rows : ndarray of intp
            Positions of the rows.
        verbose : int, default=0
            Above 0: show a progress bar where images are read.
        lost : str, default="left out of training"
            What a warning says of rows that cannot be read.

        Returns
        -------
        Inputs
            Values are `Bags`; the index has the bag of each row of `rows`, or -1 where none of
            its bag could be read.
        """
        check_is_fitted(self)
        codes = self.bag_codes(X, rows)
        return Inputs(*bagged(self.encoder_.read_inputs(X, rows, verbose, lost), codes))

    def ready(self, X: Any = None) -> BagEncoder:
        """Become fitted where the encoder of the rows has nothing to learn.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features), optional
            A table to find the columns in.

        Returns
        -------
        BagEncoder
            Itself.

        Raises
        ------
        TypeError
            If `encoder` is a molecule or another bag encoder.
        ValueError
            If the parameters of `encoder` ask for something that only `fit` can learn; or, with a
            table, for a column that is absent, or a row that does not say to which bag it belongs.
        """
        encoder = self._fresh_encoder()
        if X is not None:
            self.bag_codes(X)
        self._hold(encoder.ready(X))
        return self

    def _fresh_encoder(self) -> Encoder:
        """Check the parameters, and copy the encoder of the rows."""
        self._validate_params()
        if hasattr(self.encoder, "keys") or getattr(self.encoder, "pools", False):
            raise TypeError(
                "BagEncoder: encoder= takes a phenotype encoder of single rows, such as "
                f"ProfileEncoder() or ImageEncoder(), got {type(self.encoder).__name__}."
            )
        return clone(self.encoder)

    def _hold(self, encoder: Encoder) -> None:
        """Take a fitted encoder of the rows."""
        self.encoder_ = encoder
        self.column_names_ = encoder.column_names_
        self.column_positions_ = encoder.column_positions_

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Whether `fit` of the encoder of the rows learns anything but where the columns are."""
        return getattr(self.encoder, "learns", True)

    @property
    def custom(self) -> bool:  # type: ignore[override]
        """Whether the network of the rows is not of this package."""
        return getattr(self.encoder_, "custom", False)

    @property
    def needs_order(self) -> bool:
        """Whether columns were chosen by position, so that their order must not change."""
        return self.encoder_.needs_order

    def bag_codes(self, X: Any, rows: np.ndarray | None = None) -> np.ndarray:
        """Number the bags of some rows.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            The table.
        rows : ndarray of intp, optional
            Positions of the rows; all by default.

        Returns
        -------
        ndarray of intp, shape (n_rows,)
            0, 1, ... in the order in which bags first appear.

        Raises
        ------
        TypeError
            If X is no DataFrame.
        ValueError
            For a column that is absent, or a row that does not say to which bag it belongs.
        """
        return group_rows(X, self.group_by, rows, purpose=self._purpose).codes

    def bag_name(self, X: Any, row: int) -> str:
        """Name the bag of a row for a message, as in ``Metadata_Plate 'P1', Metadata_Well 'A01'``.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            The table.
        row : int
            Position of the row.

        Returns
        -------
        str
            Columns and values.
        """
        return group_rows(X, self.group_by, np.array([row]), purpose=self._purpose).name(0)

    def inputs(self, X: Any) -> Inputs:
        """Make the bags of a table.

        Parameters
        ----------
        X : DataFrame, shape (n_samples, n_features)
            A table with the columns of the encoder of the rows, and those of `group_by`.

        Returns
        -------
        Inputs
            Values are `Bags`; the index has the bag of each row, or -1 where none of its bag
            shows anything.

        Raises
        ------
        TypeError
            If X is no DataFrame.
        ValueError
            For a column that is absent, or a row that does not say to which bag it belongs.
        """
        check_is_fitted(self)
        codes = self.bag_codes(X)
        inner = self.encoder_.inputs(X)
        bags, index = bagged(inner, codes)

        def report() -> None:
            _warn_unread(X, inner, bags, index)

        return Inputs(bags, index, report)

    def make_network(self, n_components: int) -> nn.Module:
        """Build the network, with fresh weights.

        Parameters
        ----------
        n_components : int
            Size of the embedding.

        Returns
        -------
        cloome_sk.networks.BagNetwork
            Maps bags to (n_bags, n_components).
        """
        from cloome_sk.networks.bags import BagNetwork
        from cloome_sk.networks.pooling import GatedAttention, MeanPooling

        return BagNetwork(
            self.encoder_.make_network(n_components),
            MeanPooling() if self.pooling == "mean" else GatedAttention(n_components),
            max_size=self.max_size,
        )

    def load_weights(self, network: nn.Module) -> None:
        """Put the weights of a file into the fresh network of the rows, where they name one.

        Parameters
        ----------
        network : cloome_sk.networks.BagNetwork
            From `make_network`.
        """
        self.encoder_.load_weights(network.network)  # type: ignore[arg-type]

    def pretrained_part(self, network: nn.Module) -> nn.Module:
        """Give the part of the network of the rows whose weights files name.

        Parameters
        ----------
        network : cloome_sk.networks.BagNetwork
            From `make_network`.

        Returns
        -------
        torch.nn.Module
            What the encoder of the rows gives; no part of the pooling.
        """
        return self.encoder_.pretrained_part(network.network)  # type: ignore[arg-type]


def _warn_unread(X: Any, inner: Inputs, bags: Bags, index: np.ndarray) -> None:
    """Name the rows that are not part of their bag's embedding, and how many bags have none."""
    reasons = getattr(inner.values, "failed", {})
    lost = np.flatnonzero((inner.index < 0) | np.isin(inner.index, list(reasons)))
    if not len(lost):
        return
    listed = "; ".join(
        f"{row_name(X, row)}: {reasons.get(int(inner.index[row]), 'nothing to read')}"
        for row in lost[:LISTED].tolist()
    )
    without = int(((index < 0) | np.isin(index, list(bags.failed))).sum())
    warnings.warn(
        f"BagEncoder: {len(lost)} of {len(index)} row(s) cannot be read and are left out of their "
        f"bag: {listed}{'; ...' if len(lost) > LISTED else ''}. {without} row(s) are of a bag "
        "without any other, and embedded as NaN.",
        stacklevel=3,
    )
