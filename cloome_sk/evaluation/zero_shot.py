"""The zero-shot study: name a molecule, or its class, by a few reference rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from cloome_sk.baselines import PlatePosition, ProfileEmbedder, ProfileFeatures, default_controls
from cloome_sk.evaluation._zero_shot_checks import check_models, check_question, check_tables
from cloome_sk.evaluation._zero_shot_fold import Asked, Fold, ask
from cloome_sk.evaluation._zero_shot_notes import controls_left_out, left_out_of, notes_of
from cloome_sk.evaluation._zero_shot_plans import Question
from cloome_sk.evaluation._zero_shot_table import ZeroShotTable, read_table
from cloome_sk.evaluation._zero_shot_units import (
    RECOGNISED,
    recognised,
    scored,
    spread_over_draws,
    ties_for_silence,
)
from cloome_sk.evaluation.controls import MODEL, NORMALISED, RAW, SPHERED
from cloome_sk.evaluation.result import StudyResult
from cloome_sk.evaluation.screens import UNINFORMATIVE, Screen
from cloome_sk.evaluation.trained_on_labels import SUPERVISED, network_on_labels
from cloome_sk.evaluation.units import LEAKAGE, differences_of, scores_of
from cloome_sk.metrics._checks import check_count, check_fraction, check_ks
from cloome_sk.preprocessing.controls import find_controls

HEADLINE = "top-1"
LABEL = "Metadata_label_of_study"
"""The column that a network trained on labels takes them from."""


def study_zero_shot(
    X: pd.DataFrame,
    models: Mapping[str, Any],
    *,
    task: str,
    label: Any = None,
    reference: str = "phenotype",
    k: int | Sequence[int] | None = None,
    n_draws: int = 20,
    top: int | Sequence[int] = (1, 5, 10),
    tables: Mapping[str, pd.DataFrame] | None = None,
    groups: Any = None,
    cv: Any = 5,
    plate: str | None = "plate",
    well: str | None = None,
    controls: Any = "auto",
    row: str = "well",
    class_name: str = "MoA",
    data: str = "table",
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> StudyResult:
    """Name the molecule of a well, or the class of a molecule, by its nearest class prototype.

    The study of the CLOOME paper [1]_: a class is given by k reference rows, its prototype is the
    normalised mean of their embeddings, and a query is of the class whose prototype has the largest
    cosine with it, as in `cloome_sk.ZeroShotMoAClassifier`. Embedders are trained on the other
    folds, never on a query molecule. The references are drawn `n_draws` times, the same for all
    models.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_columns)
        One row a well (or site), with a SMILES column. Negative controls are in the training
        tables; they are no reference and no query.
    models : dict of str to estimator
        With `embed_phenotypes`, for structures as references also `embed_molecules`, also as the
        last step of a `Pipeline`. Each is cloned and trained in each fold. The first is the model
        under test: its differences to all others are tested.
    task : {"molecule", "moa"}
        - ``"molecule"``: the classes are the molecules of the test fold, the queries their other
          rows. Parts: all of these; where plates are known, those that share no plate with a
          reference of their molecule, as in the paper; and with `well` those that share no position
          either, because replicates are often at the same position of several plates.
        - ``"moa"``: the classes are those of `label`. References of unseen molecules: k rows of the
          test fold, spread over the molecules of the class but one, which is drawn. Parts: own
          molecule may be a reference on another plate, as in the paper, where only queries that
          share molecule *and* plate with a reference are removed; and own molecule is no reference,
          so that the class is recognised from other molecules.
          References of training molecules: k rows of the training folds, spread over the molecules
          of the class; queries are all unseen molecules.
    label : str or array-like of shape (n_samples,), optional
        Column or classes, for ``"moa"``. Rows without one are trained on, and counted in the notes.
    reference : {"phenotype", "molecule"}, default="phenotype"
        Whether references are rows, or structures: with ``"moa"`` k molecules of each class, with
        ``"molecule"`` the molecule itself.
    k : int or sequence of int, optional
        Number of references of a class (>= 1). By default 1 and 3, or 1 structure. Classes and
        folds are the same for all: a class with too few rows for the largest k is left out.
    n_draws : int, default=20
        How often references are drawn.
    top : int or sequence of int, default=(1, 5, 10)
        Top-t counts a query whose class is among the first t. Those that are not less than the
        smallest number of classes in a fold are left out.
    tables : dict of str to DataFrame, optional
        For models that are given the same rows with other features, such as raw ones.
    groups : str or array-like of shape (n_samples,), optional
        Column or labels that keep rows together, such as scaffolds. None: molecules; with
        ``"moa"`` and a number of folds, molecules of a class are dealt to folds two at a time (k
        and one structures), or few classes could be recognised among unseen molecules.
    cv : int or splitter, default=5
        Number of folds, or any scikit-learn splitter.
    plate : str or None, default="plate"
        The column of plates. None: not known, the parts that need it are left out.
    well : str or None, default=None
        The column of wells, for a part of ``"molecule"`` where a query shares neither plate nor
        well position with a reference of its molecule.
    controls : "auto", (column, value or values) or None, default="auto"
        The negative controls, as in `cloome_sk.preprocessing.find_controls`.
    row, class_name, data : str
        What a row is, what a class is, and what the table is, for the report.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap : int, default=2000
        Number of resamples of molecules.
    random_state : int, RandomState or None, default=None
        Seed of folds, draws and resamples; models have their own.
    n_jobs : int or None, default=None
        Fits at a time, as in joblib.
    verbose : int, default=0
        Above 0: a progress bar over fits.

    Returns
    -------
    StudyResult
        Parts are named after k, where the references come from, and which queries count. The
        leakage report has one row a fold, which is of every part. With ``"moa"`` the model
        ``"molecule recognised"`` is added where a query's own molecule may be a reference.

    Raises
    ------
    TypeError
        If a model lacks the methods, or a parameter is of the wrong type.
    ValueError
        If columns, labels or structures are missing or cannot be read, no fold has two classes with
        enough references, or a model was trained on test molecules.

    Notes
    -----
    A figure is averaged over draws, then over the rows of a molecule, then over molecules, which
    are resampled: intervals hold folds and draws fixed, and with few molecules other folds (another
    `random_state`) may give a figure outside of them. The notes give the standard deviation over
    draws. Nothing depends on the order of the rows, unless `cv` goes by their position. Ties count
    by expectation; a query that a model cannot embed ties all classes, and so does a fold in which
    it has no embedding at all, if it answers in another one.

    Chance of top-t among n classes is t/n, averaged over queries; all classes have the same number
    of references, so that vectors that know nothing are right by chance.

    Where a query's own molecule may be a reference, to tell molecules apart is enough for a high
    figure, without any knowledge of their classes. ``"molecule recognised"`` is what that alone
    would score, computed from the same draws: it is right where the own molecule is among the
    references, and guesses elsewhere.

    References of *other* classes may share the plate of a query where those of its own may not.
    With ``"molecule"`` whatever is alike on a plate therefore counts against a model there, and one
    that knows the plate alone falls below chance. With ``"moa"`` the molecules of a class may share
    plates, which no rule here removes: put an embedding of the plate beside the models.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases
       for queries with chemical structures", Nat Commun 14:7339 (2023), Tables 3 and 4.

    Examples
    --------
    >>> from cloome_sk.baselines import PlatePosition, ProfileEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.zero_shot import study_zero_shot
    >>> X = make_profiles(n_compounds=48, random_state=0)  # simulated
    >>> place = ProfileEmbedder(phenotype=PlatePosition(parts=("row", "column")))
    >>> models = {"profile": ProfileEmbedder(), "well position": place}
    >>> found = study_zero_shot(X, models, task="molecule", k=1, cv=3, random_state=0)
    >>> list(found.scores["part"].unique())
    ['unseen molecule by 1 well: its other wells', \
'unseen molecule by 1 well: its wells on other plates']
    """
    question = check_question(task, reference, k, n_draws, row, class_name)
    tops = check_ks(top)
    check_fraction(confidence, "confidence")
    check_count(n_bootstrap, "n_bootstrap")
    names = check_models(models, reference)
    other = check_tables(tables, names)
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=3)
    fold_seed, draw_seed, resample_seed = map(int, seeds)
    table = read_table(
        X,
        task=task,
        label=label,
        groups=groups,
        cv=cv,
        together=1 + (max(question.k) if reference == "molecule" else 1),
        plate=plate,
        well=well,
        controls=controls,
        random_state=fold_seed,
    )
    benches = {name: table.with_table(other[name], name) for name in other}
    folds = _folds(table, question, draw_seed)
    asked = Asked(reference, tops, controls)
    jobs = [(name, fold) for name in names for fold in folds]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done: Any = run(
        delayed(ask)(
            benches.get(name, table.bench), name, models[name], fold, asked, report=name == names[0]
        )
        for name, fold in jobs
    )
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(jobs), desc=f"zero-shot, {task}")
    pairs = list(done)
    answers = [answer for answer, _ in pairs]
    if task == "moa":
        for fold in folds:
            known = list(recognised(table.rows, fold.plans, tops))
            if known:
                answers.append(scored(RECOGNISED, fold.number, known, table.bench.keys, tops))
    units, draws, silent = ties_for_silence(answers)
    few = left_out_of(folds, tops)
    units = units[~pd.MultiIndex.from_frame(units[["part", "metric"]]).isin(few)]
    options: dict[str, Any] = {
        "confidence": confidence,
        "n_bootstrap": n_bootstrap,
        "random_state": resample_seed,
    }
    return StudyResult(
        name=f"zero-shot-{task}" + ("-by-structure" if reference == "molecule" else ""),
        data=data,
        model=names[0],
        scores=scores_of(units, **options),
        differences=differences_of(units, names[0], **options),
        leakage=pd.DataFrame([leak for _, leak in pairs if leak], columns=LEAKAGE),
        headline=HEADLINE,
        notes=(
            *notes_of(table, question, folds, few, spread_over_draws(draws, names[0])),
            *silent,
        ),
    )


def _folds(table: ZeroShotTable, question: Question, seed: int) -> list[Fold]:
    """Draw the references of all folds, and refuse a table where none can be drawn."""
    generator = check_random_state(seed)
    folds = []
    for number, (train, test) in enumerate(table.bench.folds):
        plans = question.plans(table.rows, train, test, generator)
        if plans:
            folds.append(Fold(number, train, test, plans))
    if not folds:
        kept = table.rows.classes >= 0
        sizes = pd.Series(table.rows.classes[kept]).value_counts()
        what = "molecules" if question.task == "molecule" else "classes"
        raise ValueError(
            f"study_zero_shot: in none of the {len(table.bench.folds)} folds have two {what} "
            f"enough {question.row}s for k={max(question.k)} reference(s) and a query. The "
            f"{len(sizes)} {what} of the table have {sizes.min()} to {sizes.max()} "
            f"{question.row}s. Ask for fewer references, or for fewer folds."
        )
    return folds


def zero_shot_of_screen(
    screen: Screen,
    *,
    task: str = "moa",
    reference: str = "phenotype",
    k: int | Sequence[int] | None = None,
    n_draws: int = 20,
    folds: int = 5,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> StudyResult:
    """Run `study_zero_shot` on a screen, with the controls.

    Parameters
    ----------
    screen : Screen
        From `load_screen`.
    task : {"moa", "molecule"}, default="moa"
        As in `study_zero_shot`, as are the next three.
    reference : {"phenotype", "molecule"}, default="phenotype"
        What references are.
    k : int or sequence of int, optional
        References of a class.
    n_draws : int, default=20
        Draws of references.
    folds : int, default=5
        Folds.
    random_state : int, default=0
        Seed of everything.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    StudyResult
        With a note of the controls that the table has no columns for.

    Examples
    --------
    >>> from cloome_sk.evaluation import load_screen
    >>> from cloome_sk.evaluation.zero_shot import zero_shot_of_screen
    >>> screen = load_screen("simulated-profiles", None, 0)  # doctest: +SKIP
    >>> print(zero_shot_of_screen(screen).report())  # doctest: +SKIP
    """
    check_count(folds, "folds", minimum=2)
    n_pairs = round(len(screen.wells) * (folds - 1) / folds)
    embedder = screen.make_embedder(n_pairs, random_state)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        models, tables = _models_of(screen, embedder, reference, random_state)
    label = None
    if task == "moa":
        label = np.full(len(screen.table), None, dtype=object)
        label[~find_controls(screen.raw).mask] = screen.classes
        label[np.isin(label.astype(str), UNINFORMATIVE.get(screen.name, ()))] = None
        if reference == "phenotype":
            models[SUPERVISED] = network_on_labels(embedder, LABEL)
    found = study_zero_shot(
        screen.table if label is None else screen.table.assign(**{LABEL: label}),
        models,
        task=task,
        label=label,
        reference=reference,
        k=k,
        n_draws=n_draws,
        tables=tables,
        cv=folds,
        well="well" if "Metadata_Well" in screen.table else None,
        row=screen.unit,
        class_name=screen.class_name,
        data=screen.name,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    said_once = dict.fromkeys(str(warning.message) for warning in said)
    notes = [controls_left_out(reference), *said_once]
    if label is not None and screen.name in UNINFORMATIVE:
        notes.append(
            f"{', '.join(UNINFORMATIVE[screen.name])} is no {screen.class_name} that molecules "
            "could share, and counts as none."
        )
    if screen.name.startswith("simulated"):
        notes.append("A SIMULATED screen: figures show how the study works, not how well a model.")
    return replace(found, notes=(*found.notes, *notes))


def _models_of(
    screen: Screen, embedder: Any, reference: str, random_state: int
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The embedder and its controls, and the tables of those that are given other features."""
    with_structures = reference == "molecule"
    controls = default_controls(
        "unseen_molecules" if with_structures else "unseen_plates",
        table=screen.table,
        embedder=embedder,
        columns=screen.features,
        random_state=random_state,
    )
    del controls["pairs shuffled"]
    if with_structures:
        return {MODEL: embedder, **controls}, {}
    # Two of these embed a phenotype as its profile, which is there; the third costs a training and
    # has no more chemistry than random codes.
    for name in ("Tanimoto-kernel average", "ridge to profile", "molecules shuffled"):
        del controls[name]
    # This table is sphered; sphered again it would be neither one thing nor the other.
    del controls["sphered profile"]
    feature = screen.feature_name
    profile = ProfileEmbedder(phenotype=ProfileFeatures(screen.features))
    controls[feature + SPHERED] = controls.pop("profile")
    others = {feature + NORMALISED: screen.normalised, feature + RAW: screen.raw}
    # Fitted on all rows, or plates of test molecules alone would all be the same unknown one.
    plates = FrozenEstimator(PlatePosition(parts=("plate",)).fit(screen.table))
    plate = {"plate": ProfileEmbedder(phenotype=make_pipeline(plates))}
    return {MODEL: embedder, **plate, **controls, **dict.fromkeys(others, profile)}, others
