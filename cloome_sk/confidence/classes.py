"""Calibrated probabilities, sets of classes and novelty, for a classifier by cosine."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from cloome_sk._class_labels import read_labels
from cloome_sk._embedding import as_rows
from cloome_sk._refit import unchanged_on_error
from cloome_sk._tables import row_name, shown
from cloome_sk.confidence.calibration import Calibration
from cloome_sk.confidence.heldout import (
    heldout_units,
    refuse_references,
    refuse_trained,
)
from cloome_sk.confidence.nested import SLACK, TIE, NestedScores, unit_weights
from cloome_sk.confidence.temperature import HIGHEST, LOWEST, cross_validated, fit_inv_tau


class CalibratedClasses:
    """Adds `calibrate`, `predict_set`, `novelty_p_value` and `is_novel` to a classifier."""

    if TYPE_CHECKING:
        classes_: np.ndarray
        embedder_: Any
        calibrated_: bool
        calibration_: Calibration | None
        inv_tau_: float
        inv_tau_uncalibrated_: float
        _reference_structures: np.ndarray | None

        def _scores(self, X: Any, method: str) -> np.ndarray: ...

    def calibrate(
        self, X: Any, y: Any, *, groups: Any = None, n_folds: int = 5, random_state: Any = 0
    ) -> Any:
        """Learn how far the scores can be trusted, from molecules that nothing else has seen.

        A temperature that makes `predict_proba` as likely as possible, and what `predict_set` and
        `novelty_p_value` compare with. Every molecule has the same weight, however many wells it
        has. The references stay as they are.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes of molecules that are neither among the references nor among those that the
            embedder was trained on, drawn like the ones that will be asked about.
        y : array-like, shape (n_samples,)
            Their classes, all of which have references. Controls without a label are left out.
        groups : array-like, shape (n_samples,), optional
            The molecule of each row, or a coarser unit such as its scaffold. By default the
            molecules of the column of SMILES (`cloome_sk.molecules.molecule_key`). Needed with
            ``embedder=None``, where it is up to you that the molecules are new.
        n_folds : int, default=5
            Folds of molecules (>= 2) on which the figures of `calibration_` are measured.
        random_state : int, RandomState or None, default=0
            Deals molecules to these folds; nothing else is random.

        Returns
        -------
        ZeroShotMoAClassifier
            Itself, with `inv_tau_`, `calibrated_` and `calibration_` anew. `fit` forgets them, and
            so does `sklearn.base.clone`; a pickle keeps them.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If a molecule is among the references or was used to train the embedder; if a class has
            no references, a row no label or no embedding; if it is not known which rows are of one
            molecule; or if there are fewer than two molecules.

        Warns
        -----
        UserWarning
            If the temperature ends at a bound (0.01 or 1000), or if it cannot be checked whether
            the molecules are new.

        Notes
        -----
        Temperature scaling [1]_ does not change which class is best.

        References
        ----------
        .. [1] Guo et al., "On calibration of modern neural networks", ICML (2017).

        Examples
        --------
        >>> import numpy as np
        >>> from cloome_sk import ZeroShotMoAClassifier
        >>> rng = np.random.default_rng(0)
        >>> y = np.repeat(["actin", "DNA"], 30)
        >>> X = np.where(y == "actin", 1, -1)[:, None] * [1.0, 0.2] + rng.normal(size=(60, 2))
        >>> model = ZeroShotMoAClassifier().fit([[1.0, 0.2], [-1.0, -0.2]], ["actin", "DNA"])
        >>> print(model.calibrate(X, y, groups=np.arange(60)).calibration_)
        Calibrated on 60 molecules (60 rows): inverse temperature 14.3 -> 1.203.
        On molecules left out (5-fold), before -> after:
          log loss                2.641 -> 0.431
          calibration error (ECE) 0.160 -> 0.068
          Brier score             0.320 -> 0.271
        >>> model.predict_set([[1.0, 0.0], [0.1, 1.0]], coverage=0.9)
        array([[False,  True],
               [ True,  True]])
        """
        check_is_fitted(self)
        purpose = "ZeroShotMoAClassifier.calibrate"
        if isinstance(n_folds, bool) or not isinstance(n_folds, Integral) or n_folds < 2:
            raise ValueError(f"{purpose}: n_folds must be an integer of at least 2, got {n_folds}.")
        if self.embedder_ is not None:
            X = as_rows(X, "phenotype", purpose)
            controls = self.embedder_.control_rows(X)
        else:
            controls = np.zeros(len(X), dtype=bool)
        labels, labelled = read_labels(X, y, controls)
        rows = np.flatnonzero(labelled)
        codes = self._class_codes(X, rows, labels, purpose)
        units, keys = heldout_units(X, rows, groups, self.embedder_, purpose)
        n_units = int(units.max()) + 1
        if n_units < 2:
            raise ValueError(f"{purpose}: at least two molecules are needed, got {n_units}.")
        if self.embedder_ is not None:
            refuse_references(X, rows, keys, self._reference_structures, purpose)
            if keys is not None:
                refuse_trained(X, rows, keys, self.embedder_, purpose)
        scores = self._scores(X, "calibrate")[rows]
        weights = unit_weights(units)
        given = self.inv_tau_uncalibrated_
        learned = fit_inv_tau(scores, codes, weights)
        if learned in (LOWEST, HIGHEST):
            why = (
                "the scores say nothing about the classes of these molecules, or mislead"
                if learned == LOWEST
                else "these molecules are all named right; with more of them it would be smaller"
            )
            warnings.warn(
                f"{purpose}: the inverse temperature ended at its bound {learned:g}: {why}.",
                stacklevel=2,
            )
        folds = min(int(n_folds), n_units)
        figures = cross_validated(scores, codes, units, weights, given, folds, random_state)
        # At the given temperature, not at the learned one, which has seen these very molecules.
        surprise = _surprise(scores, given)
        of_true = surprise[np.arange(len(codes)), codes]
        # A difference of two cosines, times this.
        tie = 2.0 * given * TIE
        calibration = Calibration(
            inv_tau=learned,
            inv_tau_before=given,
            scores=figures,
            n_molecules=n_units,
            n_rows=len(rows),
            n_folds=folds,
            true_class=NestedScores.of(of_true, units, tie=tie),
            by_class=tuple(
                NestedScores.of(of_true[own], units[own], tie=tie) if own.any() else None
                for own in (codes == place for place in range(len(self.classes_)))
            ),
            distance=NestedScores.of(-scores.max(axis=1), units),
            molecules_seen_=np.unique([] if keys is None else keys.astype(str)).astype(object),
        )
        with unchanged_on_error(self):
            self.inv_tau_, self.calibrated_, self.calibration_ = learned, True, calibration
        return self

    def predict_set(
        self, X: Any, coverage: float = 0.9, *, class_conditional: bool = False
    ) -> np.ndarray:
        """Name all classes that cannot be excluded.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes, as for `decision_function`.
        coverage : float, default=0.9
            In (0, 1): how often the true class shall be in the set.
        class_conditional : bool, default=False
            Whether this shall hold for the molecules of every class on their own: larger sets,
            and about ``1 / (1 - coverage)`` calibration molecules needed *of each class*.

        Returns
        -------
        ndarray of bool, shape (n_samples, n_classes)
            Which of `classes_` are in the set of each row: ``classes_[row]`` names them. A set may
            be empty where even the best class is less probable than the true ones used to be.

        Raises
        ------
        NotFittedError
            Before `calibrate`.
        ValueError
            If `coverage` is not in (0, 1), or a row cannot be embedded.

        Warns
        -----
        UserWarning
            If there are too few calibration molecules to exclude any class, or some classes.

        Notes
        -----
        Split conformal prediction [1]_: a class is in the set if its conformal p-value exceeds
        ``1 - coverage``, by the score of [2]_ (how improbable the class is, at the temperature
        before calibration). Molecules are the exchangeable units, of which every well has the
        weight one over its number of wells [3]_. With one well a molecule this is the usual
        threshold, the ``ceil((n + 1) * coverage)``-th smallest of the n calibration scores, and
        infinite, so that every class is in every set, where n is too small.

        What is guaranteed: for a new molecule drawn like those of the calibration, and one of its
        wells at random, the set holds the true class with a probability of at least `coverage`, on
        average over calibrations and molecules; without ties of at most ``coverage + 2/(n + 1)``.
        What is not: that it holds for each class (see `class_conditional`), plate, dose or scaffold
        on its own; for molecules of classes without references; for other screens; or for all
        wells of a molecule at once. The guarantee does not depend on how good the embedding is:
        with a poor one sets are large. Cosines within 1e-6 tie, which can only add classes to a
        set: so rounding, which is another one where other rows are asked about at the same time,
        decides nothing.

        References
        ----------
        .. [1] Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", Springer (2005).
        .. [2] Sadinle, Lei & Wasserman, "Least ambiguous set-valued classifiers with bounded error
           levels", J Am Stat Assoc 114:223 (2019).
        .. [3] Lee, Barber & Willett, "Distribution-free inference with hierarchical data",
           arXiv:2306.06342 (2023).
        """
        calibration = self._calibration("predict_set")
        level = 1.0 - _share(coverage, "coverage")
        surprise = _surprise(self._scores(X, "predict_set"), self.inv_tau_uncalibrated_)
        if class_conditional:
            compared = list(calibration.by_class)
        else:
            compared = [calibration.true_class] * len(self.classes_)
        counts = np.array([0 if own is None else own.n_groups for own in compared])
        idle = 1.0 / (counts + 1.0) > level + SLACK
        if idle.any():
            where = (
                f"in {shown(self.classes_[idle].tolist())}; they are"
                if class_conditional
                else f"({counts[0]}); every class is"
            )
            warnings.warn(
                f"ZeroShotMoAClassifier.predict_set: coverage={coverage:g} takes "
                f"{int(np.ceil(1.0 / level - 1.0 - SLACK))} calibration molecules"
                f"{' of a class' if class_conditional else ''}; there are fewer {where} in every "
                "set.",
                stacklevel=2,
            )
        sets = np.ones(surprise.shape, dtype=bool)
        for column, own in enumerate(compared):
            if own is not None:
                sets[:, column] = own.p_values(surprise[:, column]) > level + SLACK
        return sets

    def novelty_p_value(self, X: Any) -> np.ndarray:
        """Test whether phenotypes are of any known class.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes, as for `decision_function`.

        Returns
        -------
        ndarray of float64, shape (n_samples,)
            Conformal p-values in (0, 1]: small where the best cosine with any prototype is lower
            than those of the calibration molecules, which all are of known classes. None is below
            ``1 / (n + 1)`` for n of them.

        Raises
        ------
        NotFittedError
            Before `calibrate`.
        ValueError
            If a row cannot be embedded.

        Notes
        -----
        For one well of a new molecule *of the known classes*, drawn like those of the calibration,
        P(p ≤ α) ≤ α: the rate of false alarms is known, that of novelties found is not. Cosines
        within 1e-6 tie, which can only raise p.

        It tests for being unlike the references, not for new biology. An inactive molecule is
        unlike all of them, as are a toxic one, a staining fault and a plate of another lab: look
        first whether the phenotype differs from the negative controls. Or give the negative
        controls a label when you `fit` and `calibrate`: then inactive is a known class.

        For many rows at once correct the p-values, as with `scipy.stats.false_discovery_control`
        [1]_.

        References
        ----------
        .. [1] Bates et al., "Testing for outliers with conformal p-values", Ann Stat 51:149 (2023).

        Examples
        --------
        >>> import numpy as np
        >>> from cloome_sk import ZeroShotMoAClassifier
        >>> model = ZeroShotMoAClassifier().fit(np.eye(3)[:2], ["actin", "DNA"])
        >>> X = np.random.default_rng(0).normal([4.0, 2.0, 0], 1, size=(39, 3))
        >>> model = model.calibrate(X, ["actin"] * 39, groups=np.arange(39))
        >>> model.novelty_p_value([[3.0, 0.5, 0.5], [0.1, 0.0, 4.0]])
        array([0.975, 0.025])
        >>> model.is_novel([[3.0, 0.5, 0.5], [0.1, 0.0, 4.0]])
        array([False,  True])
        """
        calibration = self._calibration("novelty_p_value")
        best = self._scores(X, "novelty_p_value").max(axis=1)
        return calibration.distance.p_values(-best)

    def is_novel(self, X: Any, alpha: float = 0.05) -> np.ndarray:
        """Say which phenotypes are unlike all references.

        Parameters
        ----------
        X : DataFrame or ndarray, shape (n_samples, n_features)
            Phenotypes, as for `decision_function`.
        alpha : float, default=0.05
            In (0, 1): rate of false alarms among wells of known classes.

        Returns
        -------
        ndarray of bool, shape (n_samples,)
            ``novelty_p_value(X) <= alpha``; see there for what it means.

        Raises
        ------
        NotFittedError
            Before `calibrate`.
        ValueError
            If `alpha` is not in (0, 1), or a row cannot be embedded.

        Warns
        -----
        UserWarning
            If there are too few calibration molecules to call anything novel.
        """
        calibration = self._calibration("is_novel")
        alpha = _share(alpha, "alpha")
        if 1.0 / (calibration.n_molecules + 1) > alpha + SLACK:
            warnings.warn(
                f"ZeroShotMoAClassifier.is_novel: with {calibration.n_molecules} calibration "
                f"molecules no p-value is as small as alpha={alpha:g}: nothing is called novel.",
                stacklevel=2,
            )
        return self.novelty_p_value(X) <= alpha + SLACK

    def _calibration(self, method: str) -> Calibration:
        check_is_fitted(self)
        if self.calibration_ is None:
            raise NotFittedError(
                f"ZeroShotMoAClassifier.{method} compares with molecules that were held out: call "
                "calibrate(X, y) with some first (fit and clone forget it)."
            )
        return self.calibration_

    def _class_codes(
        self, X: Any, rows: np.ndarray, labels: np.ndarray, purpose: str
    ) -> np.ndarray:
        """Position in `classes_` of each label."""
        place = {name: at for at, name in enumerate(self.classes_.tolist())}
        codes = np.array([place.get(label, -1) for label in labels.tolist()], dtype=np.intp)
        if (codes < 0).any():
            first = int(np.argmax(codes < 0))
            raise ValueError(
                f"{purpose}: {row_name(X, int(rows[first]))} is of class "
                f"{labels.tolist()[first]!r}, which has no references "
                f"({int((codes < 0).sum())} such row(s)). Leave them out; nothing can be "
                "guaranteed for classes that cannot be named."
            )
        return codes


def _surprise(scores: np.ndarray, inv_tau: float) -> np.ndarray:
    """−log probability of each class; finite, so that ties come from equal scores only."""
    return -log_softmax(scores * inv_tau, axis=1)


def _share(value: Any, name: str) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 < value < 1:
        raise ValueError(f"{name} must be a number between 0 and 1, got {value!r}.")
    return float(value)
