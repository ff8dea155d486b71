"""Compounds left out, features centred on controls, and figures resampled over compounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from cloome_sk.baselines import linear_probe

PENALTIES = (0.001, 0.01, 0.1)
"""Values of C that logistic regression chooses from, around the default of `linear_probe`."""
CELLS, CELLS_BALANCED, COMPOUNDS = "cells", "cells, balanced", "compounds"
TREATMENTS, TREATMENTS_BALANCED = "treatments", "treatments, balanced"
METRICS = (CELLS, CELLS_BALANCED, TREATMENTS, TREATMENTS_BALANCED, COMPOUNDS)


def compound_folds(
    moa_of: Mapping[str, Any], n_folds: int | str, random_state: Any = None
) -> list[list[str]]:
    """Deal compounds to folds so that no class loses two of its compounds at once.

    Parameters
    ----------
    moa_of : mapping of str to label
        The class of each compound; each class has at least two.
    n_folds : int or "all"
        Number of folds; "all": one for each compound.
    random_state : int, RandomState or None, default=None
        Seed.

    Returns
    -------
    list of list of str
        The compounds of each fold, each compound once; their numbers differ by as little as the
        classes allow.

    Raises
    ------
    ValueError
        If there are fewer folds than compounds in a class, more than compounds, a class of one
        compound, or none at all.

    Examples
    --------
    >>> from cloome_sk.evaluation.unseen_compounds import compound_folds
    >>> moa_of = {"taxol": "stabilizer", "epothilone B": "stabilizer", "ALLN": "degradation",
    ...           "MG-132": "degradation"}
    >>> [len(fold) for fold in compound_folds(moa_of, 2, random_state=0)]
    [2, 2]
    """
    members: dict[Any, list[str]] = {}
    for name in sorted(moa_of):
        members.setdefault(moa_of[name], []).append(name)
    alone = [str(moa) for moa, names in members.items() if len(names) < 2]
    if alone or not members:
        raise ValueError(
            "compound_folds: a compound can be left out only where its class has another one; "
            f"classes of one compound: {', '.join(alone) or 'there is no compound at all'}."
        )
    if n_folds == "all":
        return [[name] for name in sorted(moa_of)]
    fewest = max(map(len, members.values()))
    if isinstance(n_folds, str) or not fewest <= n_folds <= len(moa_of):
        raise ValueError(
            f"compound_folds: n_folds must be 'all' or {fewest} (the compounds of the largest "
            f"class, of which a fold leaves out one) to {len(moa_of)}, got {n_folds!r}."
        )
    generator = check_random_state(random_state)
    folds: list[list[str]] = [[] for _ in range(n_folds)]
    for moa in sorted(members, key=lambda moa: (-len(members[moa]), moa)):
        names = members[moa]
        smallest = np.lexsort((generator.random_sample(n_folds), [len(fold) for fold in folds]))
        for place, fold in zip(generator.permutation(len(names)), smallest, strict=False):
            folds[fold].append(names[place])
    return folds


def center_on_controls(
    features: np.ndarray, control: np.ndarray, batches: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Subtract from each row the mean of the negative controls of its batch.

    Parameters
    ----------
    features : ndarray of float, shape (n_samples, n_features)
        Rows.
    control : ndarray of bool, shape (n_samples,)
        Which of them are negative controls.
    batches : sequence of array-like, each of shape (n_samples,)
        Batch of each row, such as its plate; then a larger one, such as its week, for rows whose
        first has no control; and so on.

    Returns
    -------
    centred : ndarray of float, shape (n_samples, n_features)
        All rows.
    level : ndarray of intp, shape (n_samples,)
        Which of `batches` served each row.

    Raises
    ------
    ValueError
        If a row has no control in any of its batches.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.unseen_compounds import center_on_controls
    >>> centred, level = center_on_controls(
    ...     np.array([[1.0], [4.0], [7.0]]),
    ...     np.array([True, False, False]),
    ...     [["plate 1", "plate 1", "plate 2"], ["week 1", "week 1", "week 1"]],
    ... )
    >>> centred.ravel().tolist(), level.tolist()
    ([0.0, 3.0, 6.0], [0, 0, 1])
    """
    origin = np.full(features.shape, np.nan)
    level = np.full(len(features), -1)
    for number, batch in enumerate(batches):
        names = np.asarray(batch)
        means = pd.DataFrame(features[control]).groupby(names[control]).mean()
        served = (level < 0) & np.isin(names, means.index)
        origin[served] = means.loc[names[served]].to_numpy()
        level[served] = number
    if (level < 0).any():
        first = int(np.flatnonzero(level < 0)[0])
        name = str(np.asarray(batches[-1])[first])
        raise ValueError(
            f"center_on_controls: {int((level < 0).sum())} row(s) have no negative control in any "
            f"of their batches, first row {first} of {name!r}."
        )
    return features - origin, level


def compound_probe(
    features: np.ndarray, labels: np.ndarray, compounds: np.ndarray, random_state: Any = None
) -> Pipeline:
    """Fit logistic regression whose penalty names left-out compounds best.

    Compounds of the classes that have several are left out, one of a class at a time; the penalty
    with the least logarithmic loss, each compound of equal weight, is taken for the fit to all.

    Parameters
    ----------
    features : ndarray of float, shape (n_samples, n_features)
        Training rows; they are standardised.
    labels : ndarray of int, shape (n_samples,)
        Codes of their classes, all equal in weight.
    compounds : ndarray of object, shape (n_samples,)
        Their compounds.
    random_state : int, RandomState or None, default=None
        Seed of the folds.

    Returns
    -------
    Pipeline
        Fitted. C is 0.001, or the best of `PENALTIES` where any class has two compounds.
    """
    moa_of = dict(zip(compounds, labels, strict=True))
    sizes = pd.Series(moa_of).value_counts()
    several = {name: moa for name, moa in moa_of.items() if sizes[moa] > 1}
    losses = np.zeros(len(PENALTIES))
    if several:
        for held in compound_folds(several, int(sizes.max()), random_state):
            test = np.isin(compounds, held)
            for place, penalty in enumerate(PENALTIES):
                probe = _regression(penalty).fit(features[~test], labels[~test])
                column = np.searchsorted(probe.classes_, labels[test])
                logs = probe.predict_log_proba(features[test])[np.arange(test.sum()), column]
                losses[place] -= pd.Series(logs).groupby(compounds[test]).mean().sum()
    return _regression(PENALTIES[int(losses.argmin())]).fit(features, labels)


def _regression(penalty: float) -> Pipeline:
    return linear_probe("passthrough", C=penalty, max_iter=5000)


def compound_draws(
    cells: pd.DataFrame,
    probabilities: Mapping[str, np.ndarray],
    n_bootstrap: int,
    random_state: Any,
) -> dict[tuple[str, str], np.ndarray]:
    """Score predictions, and score them again on resampled compounds.

    Parameters
    ----------
    cells : DataFrame
        One row a crop: ``Metadata_compound``, ``Metadata_conc_uM`` and ``label``, the code of its
        class.
    probabilities : mapping of str to ndarray, shape (n_cells, n_classes)
        Of each model.
    n_bootstrap : int
        Number of resamples.
    random_state : int, RandomState or None
        Seed of the resamples, which are the same for all models.

    Returns
    -------
    dict of (model, metric) to ndarray, shape (n_bootstrap + 1,)
        The figure, then that of each resample. A treatment, one concentration of a compound, is
        named by the mean of the probabilities of its cells. Balanced: the mean over classes of
        the share of its cells or treatments named right; in a resample, over those drawn.
    """
    compound, names = pd.factorize(cells["Metadata_compound"])
    n_names = len(names)
    share = np.full(n_names, 1 / n_names)
    drawn = check_random_state(random_state).multinomial(n_names, share, size=n_bootstrap)
    weights = np.vstack([np.ones((1, n_names)), drawn])
    label = cells["label"].to_numpy()
    class_of = np.zeros(n_names, dtype=np.intp)
    class_of[compound] = label
    treatment = cells.groupby(["Metadata_compound", "Metadata_conc_uM"], sort=False).ngroup()
    first = np.unique(treatment, return_index=True)[1]
    out = {}
    for model, given in probabilities.items():
        of_treatment = pd.DataFrame(given).groupby(treatment.to_numpy()).mean().to_numpy()
        right = given.argmax(axis=1) == label
        hits = np.bincount(compound, right, n_names)
        n_cells = np.bincount(compound, minlength=n_names)
        out[model, CELLS], out[model, CELLS_BALANCED] = _shares(hits, n_cells, class_of, weights)
        right = of_treatment.argmax(axis=1) == label[first]
        n_treatments = np.bincount(compound[first], minlength=n_names)
        out[model, TREATMENTS], out[model, TREATMENTS_BALANCED] = _shares(
            np.bincount(compound[first], right, n_names), n_treatments, class_of, weights
        )
        out[model, COMPOUNDS] = weights @ (hits / n_cells) / n_names
    return out


def _shares(
    hits: np.ndarray, totals: np.ndarray, class_of: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Share of hits, and the mean over classes of their shares, in each resample."""
    member = class_of[:, None] == np.unique(class_of)
    of_class = weights @ (totals[:, None] * member)
    recall = np.full(of_class.shape, np.nan)
    np.divide(weights @ (hits[:, None] * member), of_class, out=recall, where=of_class > 0)
    return (weights @ hits) / (weights @ totals), np.nanmean(recall, axis=1)
