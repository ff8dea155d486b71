"""One fold of the bioisostere study: rankings of unseen molecules, and what their hits share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cloome_sk._embedding import unit_rows
from cloome_sk.baselines import ProfileEmbedder, ProfileFeatures
from cloome_sk.baselines._fitted import pooled, unwrapped
from cloome_sk.baselines._folds import Bench
from cloome_sk.baselines._scores import BELOW_ANY_COSINE
from cloome_sk.evaluation._training_seen import leakage_of, refuse_seen
from cloome_sk.evaluation.annotations import Terms, sharing
from cloome_sk.evaluation.matched_chance import TIE_DIGITS, matched_chance, top_weights
from cloome_sk.evaluation.molecule_pairs import Molecules

PURPOSE = "study_bioisosteres"
STRUCTURE_KNOWN = "structure of the truth known (excess about 0 by construction)"
NEAREST_PROFILE = "nearest training profile, then Tanimoto"
CANDIDATES_MEASURED = "profiles of the candidates known (upper reference)"
PROFILE_RANKINGS = (NEAREST_PROFILE, CANDIDATES_MEASURED)
RECORDS = ["part", "model", "k", "unit", "share", "chance", "matched", "bound", "best"]


@dataclass(frozen=True)
class Setting:
    """What a fold needs beside its rows.

    Attributes
    ----------
    bench : Bench
        Rows and folds.
    molecules : Molecules
        The molecules of the treated rows.
    codes : ndarray of intp, shape (n_treated_rows,)
        Which of them each row has.
    terms : mapping of str to list of frozenset
        Of each annotation the terms of each molecule.
    ks : tuple of int
        Numbers of hits.
    near : float
        Tanimoto from which a candidate is a near analogue of the truth.
    edges : ndarray of float
        Between bins of Tanimoto similarity to the truth.
    all_candidates : bool
        Whether training molecules are candidates, too.
    columns : object
        The profile, as `ProfileFeatures` takes it.
    controls : object
        The negative controls, as `cloome_sk.preprocessing.find_controls` takes them.
    """

    bench: Bench
    molecules: Molecules
    codes: np.ndarray
    terms: Mapping[str, list[Terms]]
    ks: tuple[int, ...]
    near: float
    edges: np.ndarray
    all_candidates: bool
    columns: Any
    controls: Any

    def parts(self, label: str) -> tuple[str, str, str]:
        """Name the three parts of an annotation: all candidates, no analogues, other scaffold."""
        stem = f"shared {label}"
        return (
            f"{stem}, any other molecule",
            f"{stem}, Tanimoto below {self.near:g}",
            f"{stem}, changed scaffold",
        )


@dataclass(frozen=True)
class Fold:
    """The molecules of one fold, by their places in `Setting.molecules`."""

    train: np.ndarray
    test: np.ndarray
    queries: np.ndarray
    candidates: np.ndarray


def make_fold(setting: Setting, number: int) -> Fold:
    """Say which molecules of a fold ask, and which are ranked."""
    train, test = setting.bench.folds[number]
    queries = np.unique(setting.codes[test])
    candidates = np.arange(len(setting.molecules)) if setting.all_candidates else queries
    return Fold(train, test, queries, candidates)


@dataclass(frozen=True)
class Ranking:
    """What a model ranks by in one fold.

    Attributes
    ----------
    similarity : ndarray of float64, shape (n_queries, n_candidates)
        Phenotypes of a query are pooled: the mean of their unit vectors. A candidate without an
        embedding comes last, and for a query without one all candidates tie.
    n_lost, n_absent : int
        Queries, and candidates, without an embedding.
    leakage : dict or None
        The leakage report of the fold, where it was asked for.
    """

    similarity: np.ndarray
    n_lost: int = 0
    n_absent: int = 0
    leakage: dict[str, Any] | None = None


def ranking_of_model(
    setting: Setting, name: str, model: Any, number: int, *, report: bool = False
) -> Ranking:
    """Fit a model on the training rows of a fold; cosine of each query with each candidate.

    Parameters
    ----------
    setting : Setting
        The study.
    name : str
        Of the model.
    model : estimator
        Has `embed_phenotypes` and `embed_molecules`; a clone of it is fitted.
    number : int
        The fold.
    report : bool, default=False
        Whether the leakage report is wanted.

    Returns
    -------
    Ranking
        Of the candidates of each query.

    Raises
    ------
    ValueError
        If a part of the model, trained before, has seen a test molecule.
    """
    fold, bench = make_fold(setting, number), setting.bench
    train, test = bench.training_table(fold.train), bench.table.iloc[bench.rows[fold.test]]
    try:
        whole = clone(model).fit(train, None)
        refuse_seen(whole, setting.molecules.keys[fold.queries], PURPOSE)
        fitted = unwrapped(whole)
        vectors = fitted.embed(test, "phenotype")
        codes = np.searchsorted(fold.queries, setting.codes[fold.test])
        database = np.asarray(fitted.embed(setting.molecules.smiles[fold.candidates], "molecule"))
        leakage = None
        if report:
            claim = "unseen molecules", number, train, test, "molecule"
            leakage = leakage_of(*claim, fitted=whole, controls=setting.controls)
    except Exception as error:
        error.add_note(f"{PURPOSE}: model {name!r}, fold {number} of {len(bench.folds)}.")
        raise
    queries = pooled(vectors, codes)
    lost, absent = (int(np.isnan(side).any(axis=1).sum()) for side in (queries, database))
    return Ranking(cosines(queries, database), lost, absent, leakage)


def cosines(queries: np.ndarray, database: np.ndarray) -> np.ndarray:
    """Cosine of rows; a missing row of the database is below all, a missing query ties all."""
    lost, absent = (np.isnan(side).any(axis=1) for side in (queries, database))
    left, right = (
        unit_rows(np.where(missing[:, None], 0.0, side.astype(np.float64)))
        for missing, side in ((lost, queries), (absent, database))
    )
    out = left @ right.T
    out[:, absent] = BELOW_ANY_COSINE
    out[lost] = BELOW_ANY_COSINE
    return out


def similarity_of_structure(setting: Setting, number: int) -> np.ndarray:
    """Tanimoto of each candidate to the truth of each query."""
    fold = make_fold(setting, number)
    truths, others = (setting.molecules.take(side) for side in (fold.queries, fold.candidates))
    return truths.tanimoto(others)


def rankings_of_profiles(setting: Setting, number: int) -> dict[str, Ranking]:
    """Two rankings by profiles alone.

    Parameters
    ----------
    setting : Setting
        The study.
    number : int
        The fold.

    Returns
    -------
    dict of str to Ranking
        By `NEAREST_PROFILE` the Tanimoto of each candidate to the training molecule of the nearest
        pooled profile, the mean where several are equally near. By `CANDIDATES_MEASURED` the cosine
        of the pooled profiles themselves.
    """
    fold, bench, codes = make_fold(setting, number), setting.bench, setting.codes
    profile = ProfileEmbedder(phenotype=ProfileFeatures(setting.columns))
    profile.fit(bench.training_table(fold.train), None)
    vectors = profile.embed_phenotypes(bench.table.iloc[bench.rows])
    of_molecule = pooled(vectors, codes)
    trained = np.unique(codes[fold.train])
    queries, database = of_molecule[fold.queries], of_molecule[fold.candidates]
    near = tanimoto_to_nearest(
        cosines(queries, of_molecule[trained]),
        setting.molecules.take(trained).tanimoto(setting.molecules.take(fold.candidates)),
    )
    lost, absent = (int(np.isnan(side).any(axis=1).sum()) for side in (queries, database))
    return {
        NEAREST_PROFILE: Ranking(near, lost),
        CANDIDATES_MEASURED: Ranking(cosines(queries, database), lost, absent),
    }


def tanimoto_to_nearest(cosine: np.ndarray, tanimoto: np.ndarray) -> np.ndarray:
    """Rank candidates by Tanimoto to the training molecule of the nearest profile.

    Parameters
    ----------
    cosine : ndarray of float64, shape (n_queries, n_training_molecules)
        From `cosines`.
    tanimoto : ndarray of float64, shape (n_training_molecules, n_candidates)
        Of structures.

    Returns
    -------
    ndarray of float64, shape (n_queries, n_candidates)
        The mean over training molecules that are equally near; for a query without a profile, or
        with none to be near to, all candidates tie.

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.bioisostere_folds import tanimoto_to_nearest
    >>> tanimoto = np.array([[0.2, 0.4], [0.6, 0.2]])
    >>> tanimoto_to_nearest(np.array([[0.1, 0.9], [0.5, 0.5]]), tanimoto)
    array([[0.6, 0.2],
           [0.4, 0.3]])
    """
    values = np.round(cosine, TIE_DIGITS)
    top = values.max(axis=1, keepdims=True)
    nearest = (values == top).astype(np.float64)
    out = nearest @ tanimoto / nearest.sum(axis=1, keepdims=True)
    out[top[:, 0] == BELOW_ANY_COSINE] = 0.0
    return out


@dataclass(frozen=True)
class Question:
    """What is asked of one molecule in one part: which candidates count, and which are right."""

    part: str
    unit: str
    row: int
    columns: np.ndarray
    right: np.ndarray
    bins: np.ndarray


def questions_of(setting: Setting, number: int) -> tuple[list[Question], pd.DataFrame]:
    """Ask each annotated molecule of a fold, the same of every model.

    Parameters
    ----------
    setting : Setting
        The study.
    number : int
        The fold.

    Returns
    -------
    questions : list of Question
        Of molecules with an annotation that some candidate shares. The truth, and candidates
        without an annotation, are left out of the candidates.
    counts : DataFrame, one row a part
        ``part``, ``molecules``, and those not asked: ``without annotation``, ``nothing to find``.
    """
    fold = make_fold(setting, number)
    truths, others = (setting.molecules.take(side) for side in (fold.queries, fold.candidates))
    tanimoto = truths.tanimoto(others)
    bins = np.digitize(tanimoto, setting.edges)
    other = fold.queries[:, None] != fold.candidates[None, :]
    stricter = (other, other & (tanimoto < setting.near), other & truths.scaffold_changed(others))
    questions, counts = [], []
    for label, terms in setting.terms.items():
        left, right = ([terms[place] for place in side] for side in (fold.queries, fold.candidates))
        annotated = np.array([bool(own) for own in left]), np.array([bool(own) for own in right])
        common = sharing(left, right)
        for part, allowed in zip(setting.parts(label), stricter, strict=True):
            eligible = allowed & annotated[1]
            asked = annotated[0] & (eligible & common).any(axis=1)
            for row in np.flatnonzero(asked).tolist():
                columns = np.flatnonzero(eligible[row])
                key = str(truths.keys[row])
                right_ones = common[row, columns]
                questions.append(Question(part, key, row, columns, right_ones, bins[row, columns]))
            counts.append((part, len(left), (~annotated[0]).sum(), (annotated[0] & ~asked).sum()))
    names = ["part", "molecules", "without annotation", "nothing to find"]
    return questions, pd.DataFrame(counts, columns=names)


def answers_of(
    questions: Sequence[Question], model: str, similarity: np.ndarray, ks: tuple[int, ...]
) -> list[tuple[Any, ...]]:
    """Score one ranking on all questions of a fold.

    Parameters
    ----------
    questions : sequence of Question
        From `questions_of`.
    model : str
        Its name.
    similarity : ndarray of float, shape (n_queries, n_candidates)
        What it ranks by.
    ks : tuple of int
        Numbers of hits.

    Returns
    -------
    list of tuple
        Rows of `RECORDS`: the share of right hits among the first k, by chance, and by chance
        matched for Tanimoto; the share of hits whose bin leaves no choice; and the best share that
        there is. Nothing for a k that is not below the number of candidates.
    """
    rows: list[tuple[Any, ...]] = []
    for ask in questions:
        values = similarity[ask.row, ask.columns]
        n_right, n = int(ask.right.sum()), len(ask.columns)
        for k in ks:
            if k >= n:
                continue
            weights = top_weights(values, k)
            matched, bound = matched_chance(weights, ask.right, ask.bins)
            share = float(weights[ask.right].sum()) / k
            best = min(n_right, k) / k
            rows.append(
                (ask.part, model, k, ask.unit, share, n_right / n, matched / k, bound / k, best)
            )
    return rows
