"""Extend a screening library: compounds that add predicted phenotypes and chemotypes."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk._embedding import open_embedder
from cloome_sk._library_compounds import (
    Admission,
    Compounds,
    deck_of,
    excluded_keys,
    quality_ranks,
    quality_values,
    read_compounds,
)
from cloome_sk._library_phenotypes import (
    check_phenotypes,
    phenotypes_of_candidates,
    phenotypes_of_deck,
    warn_of_lost,
)
from cloome_sk._library_selection import (
    TooFewError,
    check_budget,
    check_fitted_with,
    check_series,
    check_source,
    full_series,
    make_pool,
    novelty_of,
    picked_table,
    run,
    series_of,
    without_clashes,
)
from cloome_sk._refit import unchanged_on_error

PURPOSE = "LibraryDesigner"


class LibraryDesigner(BaseEstimator):
    r"""Pick compounds that extend a deck by phenotypes that are predicted from structure.

    Compounds are picked one at a time. Each is the best one given what is owned and what was picked
    before, so that the first 48 of 96 picks are the picks for a budget of 48. The order of rows
    does not matter. Salts and stereoisomers of a molecule are one (`molecule_key`).

    Parameters
    ----------
    embedder : fitted embedder or None, default=None
        Predicts phenotypes: anything with ``embed_molecules``, such as a `CloomeEmbedder`, bare, in
        a `FrozenEstimator` or as the last step of a `Pipeline`; never trained here. None:
        phenotypes are given to `fit` and `select`, or ``phenotype_share=0``.
    phenotype_share : float, default=0.5
        Share of the predicted phenotype in what is new about a compound, in [0, 1]; the rest is
        chemotype. 0 picks by fingerprints alone, 1 by predicted phenotypes alone.
    objective : {"maxmin", "coverage"}, default="maxmin"
        What is new: ``"maxmin"``, the distance to the nearest compound that is owned or picked
        [1]_; ``"coverage"``, how much better the candidates are represented on average (facility
        location [2]_). The first reaches the rims of the candidates, the second their bulk.
    quality : str, callable or None, default=None
        How much a compound is wanted, larger is better: a column of the candidates, or a callable
        from an array of SMILES to numbers. Counted as rank among the candidates that can be
        picked, from 0 to 1. For a price, the column of negative prices.
    trade_off : float, default=0.5
        Weight of the quality, in [0, 1]; what is new has the rest. Without a quality it has no
        effect.
    filters : MoleculeFilters or None, default=None
        Candidates that these refuse are not picked. Anything will do that has an ``explain`` like
        that of `cloome_sk.molecules.MoleculeFilters`.
    series : fitted ChemicalSeries or None, default=None
        Names the chemical series of each pick: anything fitted whose ``transform`` gives a matrix
        of molecules by series. In a `FrozenEstimator` where the designer is to be cloned.
    max_per_series : int or None, default=None
        Most picks that may belong to any one series.
    radius : int, default=2
        Radius of the Morgan fingerprint of the parent, in bonds.
    n_bits : int, default=2048
        Length of the fingerprint.
    n_targets : int, default=2000
        Candidates that ``"coverage"`` is to represent, spread evenly over their keys.
    smiles, name : str or None, default=None
        Columns of tables: of structures, by default the one named ``smiles``; of what to call a
        compound, by default the one named ``name`` where there is one, else the structures. In any
        case, with or without ``Metadata_``.
    on_error : {"raise", "refuse"}, default="raise"
        Whether a candidate whose structure cannot be read is an error or is refused.
    random_state : int, RandomState or None, default=None
        Order in which equally good candidates are taken. None takes them in the order of their
        keys, which is the same every time.
    verbose : int, default=0
        Above 0: show a progress bar.

    Attributes
    ----------
    owned_ : DataFrame, one row a molecule of the deck
        ``name``, ``smiles`` and ``molecule``, its key; sorted by key.
    owned_phenotypes_ : ndarray of float, shape (n_owned, n_components), or None
        Unit vectors; NaN where there is none.
    phenotype_shift_ : ndarray of float64, shape (n_components,), or None
        What was subtracted from measured phenotypes to bring them to the predicted ones.
    refused_ : DataFrame, one row a candidate that the last `select` could not pick, or None
        ``index`` (row), ``name``, ``smiles``, ``reason`` and ``detail``. Reasons: ``unreadable``,
        ``owned``, ``excluded``, ``filtered``, ``duplicate`` (of a molecule in several rows that of
        best quality is kept), ``no phenotype``, ``series full``.
    scales_ : dict of str to float
        Of the last `select`: the median distance of two molecules, by which distances are divided.

    See Also
    --------
    cloome_sk.molecules.MoleculeFilters : Alerts and property ranges.
    cloome_sk.evaluation.study_library_selection : Whether picks cover more phenotypes.

    Notes
    -----
    The score is :math:`(1 - t)\,(w\,n_P + (1 - w)\,n_S) + t\,q`, with `trade_off` :math:`t` (0
    without a quality), `phenotype_share` :math:`w` and the rank :math:`q` of the quality. With
    ``"maxmin"``, :math:`n_P` is the least 1 − cosine of phenotypes to any compound owned or picked
    and :math:`n_S` the least 1 − Tanimoto similarity, each in units of its median over random pairs
    of molecules: 1 is what unrelated compounds have. With ``"coverage"``, :math:`n` is the mean
    increase, over targets, of the similarity :math:`\max(0, 1 - d / \text{median})` to the best
    representative, in units of the most that a candidate adds at first.

    Under both, other picks only take from what a candidate adds, so that few candidates are looked
    at again after each pick. Memory grows with the number of candidates. Scores within 1e-9 of each
    other are equal.

    Measured phenotypes of the deck and predicted ones of the candidates are vectors of two
    modalities, which contrastive training leaves apart from each other. The mean difference over
    the deck is subtracted from the measured ones.

    References
    ----------
    .. [1] Ashton et al., "Identification of diverse database subsets using property-based and
       fragment-based molecular descriptions", Quant Struct-Act Relat 21:598-604 (2002).
    .. [2] Minoux, "Accelerated greedy algorithms for maximizing submodular set functions",
       Optimization Techniques, 234-243 (1978).

    Examples
    --------
    >>> from cloome_sk.library import LibraryDesigner
    >>> from cloome_sk.molecules import MoleculeFilters
    >>> designer = LibraryDesigner(phenotype_share=0, filters=MoleculeFilters())
    >>> picks = designer.fit(["CCO", "c1ccccc1O"]).select(
    ...     ["CCCO", "c1ccccc1N", "OCC", "CC(=O)Nc1ccc(cc1)S(N)(=O)=O", "CCCN"], budget=2)
    >>> picks[["rank", "index", "smiles", "structure_nearest"]]
       rank  index                       smiles structure_nearest
    0     1      3  CC(=O)Nc1ccc(cc1)S(N)(=O)=O         c1ccccc1O
    1     2      4                         CCCN               CCO
    >>> designer.refused_[["index", "smiles", "reason"]]
       index smiles reason
    0      2    OCC  owned
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "embedder": "no_validation",
        "phenotype_share": [Interval(Real, 0, 1, closed="both")],
        "objective": [StrOptions({"maxmin", "coverage"})],
        "quality": [str, callable, None],
        "trade_off": [Interval(Real, 0, 1, closed="both")],
        "filters": [HasMethods(["explain"]), None],
        "series": [HasMethods(["transform"]), None],
        "max_per_series": [Interval(Integral, 1, None, closed="left"), None],
        "radius": [Interval(Integral, 0, None, closed="left")],
        "n_bits": [Interval(Integral, 1, None, closed="left")],
        "n_targets": [Interval(Integral, 1, None, closed="left")],
        "smiles": [str, None],
        "name": [str, None],
        "on_error": [StrOptions({"raise", "refuse"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        embedder: Any = None,
        *,
        phenotype_share: float = 0.5,
        objective: str = "maxmin",
        quality: str | Callable[[np.ndarray], Any] | None = None,
        trade_off: float = 0.5,
        filters: Any = None,
        series: Any = None,
        max_per_series: int | None = None,
        radius: int = 2,
        n_bits: int = 2048,
        n_targets: int = 2000,
        smiles: str | None = None,
        name: str | None = None,
        on_error: str = "raise",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.embedder = embedder
        self.phenotype_share = phenotype_share
        self.objective = objective
        self.quality = quality
        self.trade_off = trade_off
        self.filters = filters
        self.series = series
        self.max_per_series = max_per_series
        self.radius = radius
        self.n_bits = n_bits
        self.n_targets = n_targets
        self.smiles = smiles
        self.name = name
        self.on_error = on_error
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = tags.input_tags.string = True
        return tags

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any = None, y: Any = None, *, phenotypes: Any = None) -> LibraryDesigner:
        """Take note of what is owned.

        Parameters
        ----------
        X : DataFrame, or list of str or rdkit.Chem.Mol, shape (n_rows,), or None
            The deck; rows of one molecule count once, and their phenotypes are averaged. None or
            an empty list for a library that begins with nothing.
        y : object
            Ignored.
        phenotypes : array-like of float, shape (n_rows, n_components), optional
            Measured phenotypes, a row of NaN where there is none: with an embedder its
            ``embed_phenotypes`` of the deck's wells, averaged over the wells of a compound; where
            there is none, the prediction counts. Without an embedder, any vectors that `select`
            gets for the candidates too. By default those that the embedder predicts.

        Returns
        -------
        LibraryDesigner
            Itself.

        Raises
        ------
        NotFittedError
            If the embedder is not fitted.
        TypeError
            If the embedder has no ``embed_molecules``.
        ValueError
            If a structure cannot be read (the message names the rows), phenotypes have another
            number of rows or are partly missing, or there is nothing to tell phenotypes by.

        Warns
        -----
        UserWarning
            If owned compounds have no phenotype; they count by their structure only.
        """
        with unchanged_on_error(self):
            check_series(self.series, self.max_per_series)
            self.embedder_ = None
            if self.embedder is not None:
                self.embedder_ = open_embedder(self.embedder, self, {"molecule"})
            owned = self._read([] if X is None else X, "fit")
            given = check_phenotypes(phenotypes, len(owned), f"{PURPOSE}.fit")
            if len(owned) and given is None:
                check_source(self.embedder_, self.phenotype_share, "fit")
            self.owned_, codes = deck_of(owned)
            self.owned_phenotypes_, self.phenotype_shift_ = phenotypes_of_deck(
                self.embedder_, self.owned_["smiles"].to_numpy(), given, codes
            )
            if self.phenotype_share > 0:
                warn_of_lost(self.owned_phenotypes_, self.owned_["name"], stacklevel=4)
            self._fitted_with = self.embedder
            self.refused_: pd.DataFrame | None = None
            self.scales_: dict[str, float] | None = None
        return self

    def select(
        self, X: Any, budget: int, *, exclude: Any = None, phenotypes: Any = None
    ) -> pd.DataFrame:
        """Pick from candidates.

        Parameters
        ----------
        X : DataFrame, or list of str or rdkit.Chem.Mol, shape (n_candidates,)
            The candidates.
        budget : int
            How many to pick (>= 1).
        exclude : DataFrame, or list of str or rdkit.Chem.Mol, optional
            Molecules that are not to be picked, in any salt or stereoisomer.
        phenotypes : array-like of float, shape (n_candidates, n_components), optional
            Predicted phenotypes, without an embedder; a row of NaN where there is none.

        Returns
        -------
        DataFrame, one row a pick
            In the order of picking: ``rank`` (from 1), ``index`` (row of X), ``name``, ``smiles``,
            ``score``; ``quality`` where there is one; ``phenotype_distance`` (1 − cosine, in
            [0, 2]) to the nearest compound that was owned or picked before, ``phenotype_nearest``,
            its name, and ``phenotype_nearest_is``, ``"owned"`` or ``"picked"``; the same of
            ``structure`` (1 − Tanimoto similarity, in [0, 1]); with `series`, ``series`` (names)
            and ``new_series``, whether it belongs to one of which nothing was owned or picked;
            then the other columns of X. NaN and missing where there is nothing to compare with.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError
            If the budget is no whole number.
        ValueError
            If a structure cannot be read and ``on_error="raise"``, a quality is missing, phenotypes
            do not fit those of the deck, the embedder was set after `fit`, columns of X are named
            like columns of the result, or fewer candidates can be picked than the budget asks for;
            `refused_` has the reasons then.
        """
        check_is_fitted(self)
        self._validate_params()
        self.refused_, self.scales_ = None, None
        check_fitted_with(self.embedder, self._fitted_with)
        check_series(self.series, self.max_per_series)
        check_budget(budget)
        candidates = self._read(X, "select", skip=self.on_error == "refuse")
        candidates = without_clashes(candidates, self.quality, self.series)
        given = check_phenotypes(phenotypes, len(candidates), f"{PURPOSE}.select")
        if given is not None and self.embedder_ is not None:
            raise ValueError(
                f"{PURPOSE}.select: the embedder predicts the phenotypes of candidates; leave "
                "`phenotypes` out here, or use embedder=None."
            )
        deck = self.owned_
        if given is None or (len(deck) and self.owned_phenotypes_ is None):
            check_source(self.embedder_, self.phenotype_share, "select")
        admission = Admission(candidates)
        admission.refuse_known(deck, excluded_keys(exclude, f"{PURPOSE}.select"))
        admission.refuse_filtered(self.filters)
        quality = quality_values(self.quality, candidates, admission.open)
        admission.refuse_duplicates(quality)
        vectors = phenotypes_of_candidates(
            self.embedder_, self.owned_phenotypes_, candidates, admission.open, given
        )
        if vectors is not None and self.phenotype_share > 0:
            vectors = admission.refuse_without(vectors)
        rows = admission.open
        self.refused_ = admission.table()
        if budget > len(rows):
            raise TooFewError(
                f"{PURPOSE}.select: {budget} picks were asked for, but only {len(rows)} of "
                f"{len(candidates)} candidates can be picked. Refused: {admission.counts()} "
                "(`refused_` has all, with reasons). Lower the budget, or bring more candidates.",
                len(rows),
            )
        pool = make_pool(
            candidates,
            rows,
            vectors,
            deck,
            self.owned_phenotypes_,
            radius=self.radius,
            n_bits=self.n_bits,
            random_state=self.random_state,
        )
        self.scales_ = dict(pool.usual)
        wanted = 0.0 if self.quality is None else self.trade_off
        shares = {"phenotype": self.phenotype_share, "structure": 1 - self.phenotype_share}
        membership = None
        if self.max_per_series is not None:
            membership = series_of(self.series, candidates.smiles[pool.rows])
        picks = run(
            novelty_of(pool, self.objective, shares, 1 - wanted, self.n_targets),
            wanted * quality_ranks(quality[pool.rows]),
            int(budget),
            membership,
            self.max_per_series,
            self.verbose,
        )
        for row, reason, detail in full_series(pool, self.series, picks):
            admission.refuse(row, reason, detail)
        self.refused_ = admission.table()
        if len(picks.places) < budget:
            raise TooFewError(
                f"{PURPOSE}.select: {budget} picks were asked for, but with max_per_series="
                f"{self.max_per_series} only {len(picks.places)} can be picked: all others belong "
                "to a series that is full (`refused_`). Lower the budget, or raise max_per_series.",
                len(picks.places),
            )
        return picked_table(pool, picks, quality if self.quality is not None else None, self.series)

    def _read(self, X: Any, method: str, *, skip: bool = False) -> Compounds:
        """Compounds of a table, by its columns, or of a list."""
        table = isinstance(X, pd.DataFrame)
        column, name = (self.smiles, self.name) if table else (None, None)
        return read_compounds(X, column, name, purpose=f"{PURPOSE}.{method}", skip=skip)
