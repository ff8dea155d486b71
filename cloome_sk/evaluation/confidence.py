"""Study of confidence: whether sets cover, hits hold, and how much is left to say then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.utils import check_random_state

from cloome_sk.baselines import (
    CCAEmbedder,
    ProfileEmbedder,
    ProfileFeatures,
    TanimotoKernelEmbedder,
)
from cloome_sk.evaluation._confidence_classes import calibration_errors
from cloome_sk.evaluation._confidence_controls import RandomVectors
from cloome_sk.evaluation._confidence_fold import Answer, ask
from cloome_sk.evaluation._confidence_hits import calibrating, wrong_shares
from cloome_sk.evaluation._confidence_notes import notes_of, sizes_of
from cloome_sk.evaluation._confidence_result import (
    DIRECTIONS,
    LEVELS,
    ConfidenceStudy,
    nothing_part,
)
from cloome_sk.evaluation._confidence_table import (
    ConfidenceTable,
    check_models,
    check_tables,
    read_table,
)
from cloome_sk.evaluation.controls import MODEL, NORMALISED, SPHERED
from cloome_sk.evaluation.screens import UNINFORMATIVE, Screen
from cloome_sk.evaluation.units import LEAKAGE, UNITS, differences_of, scores_of
from cloome_sk.metrics._checks import check_count, check_fraction
from cloome_sk.preprocessing import find_controls

HEADLINE = "set size 90%"
RANDOM = "random vectors"
N_DRAWS = 20


def study_confidence(
    X: pd.DataFrame,
    models: Mapping[str, Any],
    *,
    label: Any,
    cv: Any = 5,
    n_draws: int = N_DRAWS,
    tables: Mapping[str, pd.DataFrame] | None = None,
    controls: Any = "auto",
    data: str = "table",
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ConfidenceStudy:
    """Measure how far single answers can be trusted, on molecules never trained on.

    In each fold half of the molecules train the embedding, and are the references of their classes.
    The others are dealt, `n_draws` times, to calibration (two thirds) and test. Classes are those
    of `cloome_sk.ZeroShotMoAClassifier`, hits those of `cloome_sk.CrossModalRetriever`, both
    calibrated with the one side and asked about the other.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_columns)
        One row a well (or site), with a SMILES column. Negative controls are in the training
        tables; they are no reference, no query and no hit.
    models : dict of str to estimator
        With `embed_phenotypes`, for the parts on hits also `embed_molecules`; also as the last step
        of a `Pipeline`. Each is cloned and trained in each fold. The first is the model under test.
    label : str or array-like of shape (n_samples,)
        Column or classes; of three of them or more at least two molecules each. Rows without a
        class, or of a class with one molecule only, are trained on and are hits, but are not named;
        a note counts them.
    cv : int or splitter, default=5
        How often the molecules are halved at random, each class by itself, so that enough are left
        to calibrate with; or a scikit-learn splitter, which is given the treated rows and their
        molecules as groups: the test side is what is dealt.
    n_draws : int, default=20
        Deals to calibration and test in each fold (>= 1), the same for all models.
    tables : dict of str to DataFrame, optional
        For models that are given the same rows with other features, such as raw ones.
    controls : "auto", (column, value or values) or None, default="auto"
        The negative controls, as in `cloome_sk.preprocessing.find_controls`.
    data : str, default="table"
        What X is called, in the names of the files too.
    confidence : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_bootstrap : int, default=2000
        Number of resamples of molecules.
    random_state : int, RandomState or None, default=None
        Seed of halves, deals and resamples; models have their own.
    n_jobs : int or None, default=None
        Fits at a time, as in joblib.
    verbose : int, default=0
        Above 0: a progress bar over fits.

    Returns
    -------
    ConfidenceStudy
        Part *classes of unseen molecules*: coverage and mean size of sets at 80, 90 and 95 %;
        top-1; log loss and expected calibration error before and after `calibrate`; AUROC of
        telling a class without references from the others by `novelty_p_value`. Chance of a set
        size: sets drawn at random that cover as often.

        Part *hits of unseen molecules*, of each direction: the number of ``hits`` of a query at
        q ≤ 10 % and 20 %; ``found``, whether its own molecule is among them (the power; chance: as
        many hits at random), and the same at p ≤ 10 %, for a query that is the only one;
        ``deals with a hit``; ``queries wrong``, the share of the queries with any hit that have a
        wrong one, as a mean over deals, a deal without hits counting as 0: what q promises; and
        ``hits wrong``, the share of all hits of all deals. These are missing where nothing is ever
        a hit.

        The same, *own molecule left out*: how often the best of what are mismatched pairs has
        p ≤ 5, 10 and 20 %. Chance is the largest share no larger than that among the ranks that
        there are.

    Raises
    ------
    TypeError
        If X is no table, or a model no estimator that embeds phenotypes.
    ValueError
        If a parameter is out of range, columns are missing, structures cannot be read, there are
        fewer than three classes of two molecules, a fold has a class without references or too few
        molecules to deal, a phenotype cannot be embedded, or a model saw molecules of the test.

    Notes
    -----
    Wells of a molecule, and its draws, are averaged; intervals resample molecules. A phenotype
    query is one random well a molecule and deal; all wells of calibration molecules calibrate. All
    molecules that were not trained on are candidates, and hits are counted by molecule, with the
    cosine of the closest well. A structure without an embedding is no hit, has none, and calibrates
    nothing.

    Deals are at random, so that calibration and test are alike: coverage, p and q then hold for any
    embedding, random vectors among them, and that they do is a check of the computation. Whether
    they hold for molecules that are *not* like the calibration, of another library or laboratory,
    no deal of this table can tell. What differs between models is how much is said at that price:
    the size of the sets, the number of hits, the molecules found.

    With n molecules no p, and no q, is below 1/(n + 1); and of t queries at least t/(α(n + 1))
    must have a p as small as that for any q ≤ α.

    Examples
    --------
    >>> from cloome_sk.baselines import CCAEmbedder, ProfileEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation import study_confidence
    >>> X = make_profiles(n_compounds=48, random_state=0)  # simulated
    >>> models = {"CCA": CCAEmbedder(), "profile": ProfileEmbedder()}
    >>> found = study_confidence(X, models, label="moa", cv=1, n_draws=3, random_state=0)
    >>> found.scores["metric"].tolist()[:2]
    ['coverage 80%', 'set size 80%']
    >>> list(found.scores["part"].unique())[::2]
    ['classes of unseen molecules', 'hits of unseen molecules, phenotype to molecule', \
'hits of unseen molecules, molecule to phenotype']
    """
    names = check_models(models)
    other = check_tables(tables, names)
    check_count(n_draws, "n_draws")
    check_count(n_bootstrap, "n_bootstrap")
    check_fraction(confidence, "confidence")
    generator = check_random_state(random_state)
    table = read_table(X, label=label, cv=cv, controls=controls, random_state=generator)
    options: dict[str, Any] = {
        "confidence": confidence,
        "n_bootstrap": n_bootstrap,
        "random_state": int(generator.randint(np.iinfo(np.int32).max)),
    }
    benches = {name: table.with_table(other[name], name) for name in other}
    jobs = [(name, number) for name in names for number in range(len(table.bench.folds))]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done: Any = run(
        delayed(ask)(
            table,
            benches.get(name, table.bench),
            name,
            models[name],
            number,
            n_draws,
            controls=controls,
            report=name == names[0],
        )
        for name, number in jobs
    )
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(jobs), desc="confidence")
    answers: list[Answer] = list(done)
    units = pd.concat([one.units for one in answers], ignore_index=True)[UNITS]
    scores = _scores(table, answers, units, n_draws, options)
    sizes = sizes_of(table)
    known = [calibrating(n) for n in sizes]
    asked = [n - calibrating(n) for n in sizes]
    n_calibration = [one.n_calibration for one in answers]
    compared = units[~units["part"].isin([nothing_part(name) for name in DIRECTIONS])]
    leaks = [one.leak for one in answers if one.leak is not None]
    return ConfidenceStudy(
        name="confidence",
        data=data,
        model=names[0],
        scores=scores,
        differences=differences_of(compared, names[0], **options),
        leakage=pd.DataFrame(leaks).reindex(columns=LEAKAGE),
        headline=HEADLINE,
        notes=notes_of(table, answers, n_draws),
        larger_is_better=False,
        n_calibration=(min(n_calibration), max(n_calibration)),
        n_calibration_hits=(min(known), max(known)),
        n_queries=(min(asked), max(asked)),
        n_deals=n_draws * len(sizes),
    )


def confidence_of_screen(
    screen: Screen,
    *,
    folds: int = 5,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ConfidenceStudy:
    """Run the study of confidence on a screen.

    Parameters
    ----------
    screen : Screen
        From `cloome_sk.evaluation.load_screen`.
    folds : int, default=5
        Trainings, each on half of the molecules.
    random_state : int, default=0
        Seed.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    ConfidenceStudy
        Of CLOOME, the profile with and without sphering, CCA, the Tanimoto-kernel average, and
        random vectors: what is promised holds for these too, but sets are large and hits rare.

    Examples
    --------
    >>> from cloome_sk.evaluation import confidence_of_screen, load_screen
    >>> screen = load_screen("simulated-profiles", None, 0)  # doctest: +SKIP
    >>> print(confidence_of_screen(screen, folds=3).report())  # doctest: +SKIP
    """
    check_count(folds, "folds")
    label = np.full(len(screen.table), None, dtype=object)
    label[~find_controls(screen.raw).mask] = screen.classes
    idle = UNINFORMATIVE.get(screen.name, ())
    label[np.isin(label.astype(str), idle)] = None
    feature = screen.feature_name
    features = ProfileFeatures(screen.features)
    profile = ProfileEmbedder(phenotype=features)
    found = study_confidence(
        screen.table,
        {
            MODEL: screen.make_embedder(len(screen.wells) // 2, random_state),
            feature + SPHERED: profile,
            feature + NORMALISED: profile,
            "CCA": CCAEmbedder(phenotype=features),
            "Tanimoto-kernel average": TanimotoKernelEmbedder(phenotype=features),
            RANDOM: RandomVectors(random_state),
        },
        label=label,
        cv=folds,
        n_draws=N_DRAWS,
        tables={feature + NORMALISED: screen.normalised},
        data=screen.name,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    notes = [
        f"{screen.name}: a row is a {screen.unit}. {RANDOM}: one a row and one a structure, which "
        "know nothing. Controls left out: those that cost a training, such as pairs shuffled."
    ]
    if idle:
        notes.append(
            f"{', '.join(idle)} is no {screen.class_name} that molecules could share, and counts "
            "as none."
        )
    if screen.name.startswith("simulated"):
        notes.append("A SIMULATED screen: figures show how the study works, not how well a model.")
    return replace(found, notes=(*notes, *found.notes))


def _scores(
    table: ConfidenceTable,
    answers: list[Answer],
    units: pd.DataFrame,
    n_draws: int,
    options: dict[str, Any],
) -> pd.DataFrame:
    """Figures of all models, each part in the order of the models."""
    models = list(dict.fromkeys(one.model for one in answers))
    predicted = {name: [one.predicted for one in answers if one.model == name] for name in models}
    frames = [scores_of(units, **options), calibration_errors(predicted, **options)]
    counts = [one.counts for one in answers if one.counts is not None]
    if counts:
        wrong = float(np.mean([1.0 - 1.0 / n for n in sizes_of(table)]))
        asked = list(dict.fromkeys(one.model for one in answers if one.counts is not None))
        every = n_draws * len(table.bench.folds)
        frames.append(wrong_shares(pd.concat(counts), asked, every, wrong, **options))
    scores = pd.concat(frames, ignore_index=True)
    parts = list(dict.fromkeys(units["part"]))
    places = {"part": {name: at for at, name in enumerate(parts)}}
    places["model"] = {name: at for at, name in enumerate(models)}
    # What is wrong at a level of q stands beside what is found there.
    metrics = list(dict.fromkeys(scores["metric"]))
    metrics.sort(key=lambda name: next((at for at in LEVELS if f"q <= {at:.0%}" in name), 0.0))
    places["metric"] = {name: at for at, name in enumerate(metrics)}
    return scores.sort_values(
        ["part", "model", "metric"],
        key=lambda column: column.map(places[str(column.name)]),
        kind="stable",
        ignore_index=True,
    )
