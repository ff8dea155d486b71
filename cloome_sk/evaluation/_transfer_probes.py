"""Naming the class of rows from other molecules: linear probe, neighbours, prototypes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from cloome_sk._embedding import unit_rows
from cloome_sk.baselines import linear_probe

PENALTIES = (0.001, 0.01, 0.1)
"""Values of C that a probe chooses from, around the default of `linear_probe`."""
INNER_FOLDS = 3
TIED = 1e-9
"""Cosines that differ by less are ties."""


@dataclass(frozen=True)
class Rows:
    """Embedded rows with a class, some of which are asked for, others learned from.

    Attributes
    ----------
    vectors : ndarray of float64, shape (n_rows, n_components)
        Embeddings.
    classes, molecules, plates : ndarray of object, shape (n_rows,)
        What the rows are.
    folds : ndarray of int, shape (n_rows,)
        Fold of their molecule.
    """

    vectors: np.ndarray
    classes: np.ndarray
    molecules: np.ndarray
    plates: np.ndarray
    folds: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        """Some of the rows."""
        return Rows(*(values[rows] for values in vars(self).values()))


@dataclass(frozen=True)
class Answers:
    """Whether rows were named right, and how likely that is by chance; NaN where not asked."""

    hits: np.ndarray
    chance: np.ndarray

    def placed(self, rows: np.ndarray, n_rows: int) -> Answers:
        """These answers as those of some rows of more, the others of which were not asked."""
        out = _nothing(n_rows)
        out.hits[rows], out.chance[rows] = self.hits, self.chance
        return out


def mean_answers(answers: Sequence[Answers]) -> Answers:
    """Mean of several answers of the same rows, of those in which a row was asked."""
    hits = np.stack([answer.hits for answer in answers])
    chance = np.stack([answer.chance for answer in answers])
    asked = np.isfinite(hits)
    times = asked.sum(axis=0)
    out = _nothing(hits.shape[1])
    known = times > 0
    out.hits[known] = np.where(asked, hits, 0).sum(axis=0)[known] / times[known]
    out.chance[known] = np.where(asked, chance, 0).sum(axis=0)[known] / times[known]
    return out


def _nothing(n_rows: int) -> Answers:
    return Answers(np.full(n_rows, np.nan), np.full(n_rows, np.nan))


def deal_plates(plates: np.ndarray, n_folds: int) -> np.ndarray:
    """Deal plates to folds of about as many rows; the fold of each row."""
    sizes = pd.Series(plates.astype(str)).value_counts().sort_index()
    if not len(sizes):
        return np.array([], dtype=np.intp)
    filled = np.zeros(min(n_folds, len(sizes)))
    fold_of = {}
    for plate in sizes.sort_values(ascending=False, kind="stable").index:
        fold_of[plate] = int(filled.argmin())
        filled[fold_of[plate]] += sizes[plate]
    return np.array([fold_of[str(plate)] for plate in plates])


class Probe:
    """Logistic regression on the rows of the molecules of all folds but one, for each fold.

    Parameters
    ----------
    learn : Rows
        What is learned from.
    plate_folds : int, default=3
        Parts that plates are dealt to, where no plate of a row may be learned from either.
    """

    def __init__(self, learn: Rows, plate_folds: int = 3) -> None:
        self.learn = learn
        self.places = deal_plates(learn.plates, plate_folds)
        self._penalties: dict[int, float] = {}
        self._models: dict[tuple[int, int | None], Any] = {}

    def ask(self, asked: Rows) -> Answers:
        """Name rows by what other molecules teach; where no row teaches their class, NaN."""
        out = _nothing(len(asked.classes))
        for fold in np.unique(asked.folds):
            self._name(asked, np.flatnonzero(asked.folds == fold), int(fold), None, out)
        return out

    def ask_other_plates(self) -> Answers:
        """Name the rows that were learned from, by other molecules on other plates."""
        out = _nothing(len(self.learn.classes))
        if len(set(self.places)) > 1:
            for fold in np.unique(self.learn.folds):
                for place in np.unique(self.places):
                    test = np.flatnonzero((self.learn.folds == fold) & (self.places == place))
                    self._name(self.learn, test, int(fold), int(place), out)
        return out

    def _name(
        self, asked: Rows, test: np.ndarray, fold: int, place: int | None, out: Answers
    ) -> None:
        model = self._model(fold, place)
        if model is None:
            return
        test = test[np.isin(asked.classes[test].astype(str), model.classes_)]
        if len(test):
            named = model.predict(asked.vectors[test])
            out.hits[test] = named == asked.classes[test].astype(str)
            out.chance[test] = 1 / len(model.classes_)

    def _model(self, fold: int, place: int | None) -> Any:
        """Fitted on what lies outside of fold and place; None where that is one class at most."""
        if (fold, place) in self._models:
            return self._models[fold, place]
        train = np.flatnonzero(self.learn.folds != fold)
        if fold not in self._penalties:
            # Once for all plates: on molecules that the fold does not ask for.
            self._penalties[fold] = chosen_penalty(self.learn.take(train))
        if place is not None:
            train = train[self.places[train] != place]
        labels = self.learn.classes[train].astype(str)
        model = None
        if len(set(labels)) > 1:
            model = linear_probe("passthrough", C=self._penalties[fold], max_iter=2000)
            model.fit(self.learn.vectors[train], labels)
        self._models[fold, place] = model
        return model


def chosen_penalty(rows: Rows) -> float:
    """The C with the least logarithmic loss on molecules left out, each of equal weight."""
    labels = rows.classes.astype(str)
    codes, names = pd.factorize(rows.molecules, sort=True)
    n_folds = min(INNER_FOLDS, len(names))
    if n_folds < 2:
        return PENALTIES[1]
    losses = np.zeros(len(PENALTIES))
    # Shuffled: molecules are numbered by name, and a class may have names alike.
    splits = GroupKFold(n_folds, shuffle=True, random_state=0).split(codes, groups=codes)
    for train, test in splits:
        if len(set(labels[train])) < 2:
            continue
        test = test[np.isin(labels[test], labels[train])]
        for place, penalty in enumerate(PENALTIES):
            model = linear_probe("passthrough", C=penalty, max_iter=2000)
            model.fit(rows.vectors[train], labels[train])
            if len(test):
                logs = model.predict_log_proba(rows.vectors[test])
                right = logs[np.arange(len(test)), np.searchsorted(model.classes_, labels[test])]
                losses[place] -= pd.Series(right).groupby(codes[test]).mean().sum()
    # Where nothing could be told apart, all losses are 0 and the default stays.
    return PENALTIES[int(losses.argmin())] if losses.any() else PENALTIES[1]


def neighbors(learn: Rows, asked: Rows, k: int, *, other_plates: bool = False) -> Answers:
    """Share of the k nearest molecules that are of the class of a row.

    A molecule is as near as the nearest of its rows (cosine). Candidates are the molecules of other
    folds, as for the probe; with `other_plates` by their rows on other plates than the row's.
    Molecules that tie for the last place share it.
    """
    out = _nothing(len(asked.classes))
    if not len(learn.classes):
        return out
    order = np.argsort(learn.molecules.astype(str), kind="stable")
    learn = learn.take(order)
    starts = np.flatnonzero(np.r_[True, learn.molecules[1:] != learn.molecules[:-1]])
    class_of = learn.classes[starts].astype(str)
    fold_of = learn.folds[starts]
    vectors = unit_rows(learn.vectors)
    for rows in _blocks(len(asked.classes)):
        cosine = unit_rows(asked.vectors[rows]) @ vectors.T
        if other_plates:
            same = asked.plates[rows].astype(str)[:, None] == learn.plates.astype(str)[None, :]
            cosine[same] = -np.inf
        near = np.maximum.reduceat(cosine, starts, axis=1)
        near[asked.folds[rows][:, None] == fold_of[None, :]] = -np.inf
        candidate = np.isfinite(near)
        right = (asked.classes[rows].astype(str)[:, None] == class_of[None, :]) & candidate
        n_candidates = candidate.sum(axis=1)
        kth = np.minimum(k, n_candidates)
        known = (right.sum(axis=1) > 0) & (n_candidates > right.sum(axis=1))
        limit = -np.sort(-near, axis=1)[np.arange(len(rows)), np.maximum(kth, 1) - 1]
        closer = candidate & (near > limit[:, None] + TIED)
        # A row may have no candidate at all: -inf less -inf, and none to divide by.
        with np.errstate(invalid="ignore", divide="ignore"):
            tied = candidate & (np.abs(near - limit[:, None]) <= TIED)
            share = (kth - closer.sum(axis=1)) / tied.sum(axis=1)
            value = ((closer & right).sum(axis=1) + share * (tied & right).sum(axis=1)) / kth
            chance = right.sum(axis=1) / n_candidates
        out.hits[rows[known]], out.chance[rows[known]] = value[known], chance[known]
    return out


def prototypes(asked: Rows, order: np.ndarray, molecules: list[str], references: int) -> Answers:
    """Name rows by the nearest mean of the reference molecules of a class.

    Parameters
    ----------
    asked : Rows
        All rows.
    order : ndarray of int, shape (n_draws, n_molecules)
        Of each draw the places of the molecules: the first of a class are its references.
    molecules : list of str
        Whose places these are.
    references : int
        Molecules of a class; classes that have no more are not asked.

    Returns
    -------
    Answers
        Mean over the draws in which the molecule of a row is no reference.
    """
    out = _nothing(len(asked.classes))
    classes = asked.classes.astype(str)
    sizes = pd.Series(asked.molecules).groupby(classes).nunique()
    names = sorted(sizes.index[sizes > references])
    rows = np.flatnonzero(np.isin(classes, names))
    if len(names) < 2:
        return out
    vectors = unit_rows(asked.vectors[rows])
    codes, members = pd.factorize(asked.molecules[rows], sort=True)
    sums = np.zeros((len(members), vectors.shape[1]))
    np.add.at(sums, codes, vectors)
    centres = unit_rows(sums)
    class_of = np.empty(len(members), dtype=object)
    class_of[codes] = classes[rows]
    places = pd.Index(molecules).get_indexer(pd.Index(members))
    hits, asks = np.zeros(len(rows)), np.zeros(len(rows))
    right = np.searchsorted(names, classes[rows])
    for draw in order:
        chosen = [
            sorted(np.flatnonzero(class_of == name), key=lambda m: draw[places[m]])[:references]
            for name in names
        ]
        cosine = vectors @ unit_rows(np.stack([centres[m].mean(axis=0) for m in chosen])).T
        best = cosine >= cosine.max(axis=1, keepdims=True) - TIED
        query = ~np.isin(codes, np.concatenate(chosen))
        hits += query * best[np.arange(len(rows)), right] / best.sum(axis=1)
        asks += query
    known = asks > 0
    out.hits[rows[known]] = hits[known] / asks[known]
    out.chance[rows[known]] = 1 / len(names)
    return out


def _blocks(n_rows: int, size: int = 512) -> Iterator[np.ndarray]:
    for start in range(0, n_rows, size):
        yield np.arange(start, min(start + size, n_rows))


def per_molecule(answers: Answers, molecules: np.ndarray) -> pd.DataFrame:
    """Mean over the rows of each molecule that were asked for: index unit, value and chance."""
    frame: Any = pd.DataFrame(
        {"unit": molecules, "value": answers.hits, "chance": answers.chance}
    ).dropna(subset=["value"])
    return frame.groupby("unit", sort=True)[["value", "chance"]].mean()
