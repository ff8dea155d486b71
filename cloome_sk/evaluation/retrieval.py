"""The retrieval study: which molecule was this phenotype, and back, beside every control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from cloome_sk.baselines._fitted import embeds
from cloome_sk.evaluation._retrieval_controls import about, models_of, share_moved
from cloome_sk.evaluation._retrieval_scores import RELATIVE_RANK, score_fold, settled
from cloome_sk.evaluation._retrieval_splits import PURPOSE, SAMPLE, SPLITS, Split, make_splits
from cloome_sk.evaluation._training_seen import check_trained_before
from cloome_sk.evaluation.controls import SHUFFLED_WITHIN, with_large_classes
from cloome_sk.evaluation.layout_controls import COUNT, PLATE, POSITION
from cloome_sk.evaluation.result import StudyResult
from cloome_sk.evaluation.screens import Screen
from cloome_sk.evaluation.units import LEAKAGE, differences_of, scores_of
from cloome_sk.metrics._checks import check_count, check_fraction
from cloome_sk.model_selection._seen import frozen_parts

N_DRAWS = 20


def study_retrieval(
    X: pd.DataFrame,
    models: Mapping[str, Any],
    *,
    splits: Sequence[str] | str = SPLITS,
    cv: Any = 5,
    n_draws: int = N_DRAWS,
    controls: Any = "auto",
    plate: str = "plate",
    well: str = "well",
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    data: str = "table",
) -> StudyResult:
    """Retrieve molecules by phenotypes and phenotypes by molecules, as in the CLOOME paper.

    Every model is trained anew in each fold, on its training rows only. Each test molecule then
    looks for its own among all test molecules of the fold, once with the phenotypes of its rows
    pooled (mean of unit vectors), and once with one random row alone, which is the protocol of the
    paper [1]_.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_columns)
        One row a well (or site), with a SMILES column. Negative controls are no queries and no
        candidates; they are in the training tables.
    models : dict of str to estimator
        With `embed_phenotypes` and `embed_molecules`, also as the last step of a `Pipeline`. The
        first is the model under test: its differences to all others are tested.
    splits : "molecule", "scaffold", "plate", or several of them, default=all
        - ``"molecule"``: random folds of molecules. Part *unseen molecules*.
        - ``"scaffold"``: random folds of scaffolds (`cloome_sk.model_selection.scaffold_groups`).
          Part *unseen scaffolds*.
        - ``"plate"``: random folds of plates. Parts *seen molecules on unseen plates*; of these
          *at other positions*, the rows whose molecule is at no training plate's same well
          position; and *unseen molecules on unseen plates*. As far as the layout has such; a note
          says where not.
    cv : int or splitter, default=5
        Number of folds (fewer where there are fewer groups), shuffled by `random_state`; or a
        scikit-learn splitter, which is given the treated rows and the groups of each split.
    n_draws : int, default=20
        How often one row a molecule is drawn (>= 1); figures are means over draws. All models have
        the same draws.
    controls : "auto", (column, value or values) or None, default="auto"
        The negative controls, as in `cloome_sk.preprocessing.find_controls`.
    plate, well : str, default="plate", "well"
        The columns. Plates are needed for ``"plate"``; wells for its part *at other positions*,
        and for the leakage report.
    confidence : float, default=0.95
        Coverage of the intervals, in (0, 1).
    n_bootstrap : int, default=2000
        Number of resamples of molecules.
    random_state : int, RandomState or None, default=None
        Seed of folds, draws and resamples; models have their own. Folds by molecule and by plate
        are those of `cloome_sk.baselines.compare` for the same seed.
    n_jobs : int or None, default=None
        Fits at a time, as in joblib.
    verbose : int, default=0
        Above 0: a progress bar over fits.
    data : str, default="table"
        What X is called, in the names of the files too.

    Returns
    -------
    StudyResult
        Part is the split, the way and the direction, such as ``"unseen molecules, one image:
        phenotype to molecule"``. Metrics: ``R@1``, ``R@5``, ``R@10`` and ``relative rank`` (0 is
        best, one half is chance), which is the headline since it does not depend on the number of
        candidates; and, where every fold has 100 molecules, ``R@k in 100``, the exact mean over
        random samples of 100 candidates.

    Raises
    ------
    TypeError
        If X is no table, or a model does not embed both modalities.
    ValueError
        If a parameter is out of range, columns are missing, structures cannot be read, a fold has
        the same molecule, scaffold or plate in training and test, no fold has two test molecules,
        or a part of a model was trained before and that cannot be excused (as in
        `cloome_sk.baselines.compare`).

    See Also
    --------
    cloome_sk.baselines.default_controls : What to put beside a model.
    cloome_sk.baselines.compare : Pooled retrieval, replicates and classes in one table.

    Notes
    -----
    *Every molecule counts the same*: draws, folds and rows of a molecule are averaged first, and
    intervals and tests resample molecules. Ties count by expectation; a query without an embedding
    ties all candidates, a candidate without one comes last. So does a fold in which a model has no
    embedding at all, unless it has none in any fold: then it has no answer.

    *Seen molecules on unseen plates* claim new plates and new positions. Where replicates are at
    the same position of several plates, whatever a position does to a well tells the molecule, and
    the claim fails. `cloome_sk.baselines.compare` leaves the training wells at the position of the
    query out of its candidates; a molecule that is embedded by its structure was learned from all
    its wells, so that here queries are left out: what is *at other positions* shows no such thing.

    Chance is exact, for the number of candidates that each query has. R@k of few candidates is no
    R@k of many: compare with chance, not with figures on other tables.

    A model that starts from the weights of a checkpoint is scored, but its claim about unseen
    molecules is reported as not shown.

    References
    ----------
    .. [1] Sanchez-Fernandez et al., "CLOOME: contrastive learning unlocks bioimaging databases for
       queries with chemical structures", Nat Commun 14:7339 (2023).

    Examples
    --------
    >>> from cloome_sk.baselines import CCAEmbedder, TanimotoKernelEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.retrieval import study_retrieval
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> models = {"CCA": CCAEmbedder(), "Tanimoto-kernel average": TanimotoKernelEmbedder()}
    >>> study = study_retrieval(X, models, splits="molecule", cv=2, random_state=0)
    >>> list(study.tables())[0]
    'unseen molecules, pooled: phenotype to molecule, 24 molecules'
    >>> study.leakage[["fold", "claim", "ok"]].to_numpy().tolist()
    [[0, 'molecule', True], [1, 'molecule', True]]
    """
    planned, notes, seed = _planned(
        X,
        splits,
        cv=cv,
        n_draws=n_draws,
        controls=controls,
        plate=plate,
        well=well,
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        random_state=random_state,
    )
    if not isinstance(models, Mapping) or not models:
        raise ValueError(
            f"{PURPOSE}: models must be a dict of at least one named model, the one under "
            f"test first; got {models!r}."
        )
    return _run(
        planned,
        {split.name: dict(models) for split in planned},
        data=data,
        notes=notes,
        resampling={"confidence": confidence, "n_bootstrap": n_bootstrap, "random_state": seed},
        n_jobs=n_jobs,
        verbose=verbose,
    )


def retrieval_of_screen(
    screen: Screen,
    *,
    folds: int = 5,
    n_draws: int = N_DRAWS,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> StudyResult:
    """Put the embedder of a screen beside every control that retrieves, in all three splits.

    Parameters
    ----------
    screen : Screen
        From `cloome_sk.evaluation.load_screen`.
    folds : int, default=5
        Folds of each split.
    n_draws : int, default=20
        How often one row a molecule is drawn.
    random_state : int, default=0
        Seed of the embedder, folds, draws, random codes, permutations and resamples.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar over fits.

    Returns
    -------
    StudyResult
        As `study_retrieval`. Controls are named as by `cloome_sk.evaluation.study_controls`. Split
        by plate, they are those that embed both modalities. Beside them Tanimoto-kernel averages
        whose phenotype is the plate of a well (split by plate: its position), or its cell count,
        where the table has these.

    Raises
    ------
    ValueError
        As `study_retrieval`.

    Examples
    --------
    >>> from cloome_sk.evaluation import load_screen
    >>> from cloome_sk.evaluation.retrieval import retrieval_of_screen
    >>> screen = load_screen("simulated-profiles", None, 0)  # doctest: +SKIP
    >>> print(retrieval_of_screen(screen, folds=3).report())  # doctest: +SKIP
    """
    check_count(folds, "folds", minimum=2)
    resampling: dict[str, Any] = {"confidence": 0.95, "n_bootstrap": 2000}
    planned, notes, seed = _planned(
        with_large_classes(screen),
        SPLITS,
        cv=folds,
        n_draws=n_draws,
        controls="auto",
        plate="plate",
        well="well",
        random_state=random_state,
        **resampling,
    )
    n_pairs = len(screen.wells) * (folds - 1) // folds
    embedder = screen.make_embedder(n_pairs, random_state)
    made = {split.name: models_of(screen, embedder, split, random_state) for split in planned}
    models = {name: own for name, (own, _) in made.items()}
    lacking = [note for _, said in made.values() for note in said]
    shares = {
        split.name: share_moved(models[split.name][SHUFFLED_WITHIN], split)
        for split in planned
        if SHUFFLED_WITHIN in models[split.name]
    }
    # One name in all splits, that of the study of controls, which has folds by molecule.
    named = f"{SHUFFLED_WITHIN} ({100 * shares['molecule']:.0f} % of wells moved)"
    models = {
        split: {named if name == SHUFFLED_WITHIN else name: model for name, model in own.items()}
        for split, own in models.items()
    }
    found = _run(
        planned,
        models,
        data=screen.name,
        notes=notes,
        resampling={**resampling, "random_state": seed},
        n_jobs=n_jobs,
        verbose=verbose,
    )
    moved = " and ".join(f"{100 * share:.0f} % by {split}" for split, share in shares.items())
    places = [n for n in (PLATE, POSITION, COUNT) if any(n in own for own in models.values())]
    shuffled = f"{SHUFFLED_WITHIN}: wells in wrong pairs, with folds {moved}."
    return replace(found, notes=(*about(screen, places), shuffled, *lacking, *found.notes))


def _planned(
    X: pd.DataFrame,
    splits: Sequence[str] | str,
    *,
    n_draws: int,
    confidence: float,
    n_bootstrap: int,
    **options: Any,
) -> tuple[list[Split], list[str], int]:
    """Splits, notes about them, and the seed of resamples: all that can fail before training."""
    check_count(n_draws, "n_draws")
    check_count(n_bootstrap, "n_bootstrap")
    check_fraction(confidence, "confidence")
    planned, controls, seed = make_splits(X, splits, n_draws=n_draws, **options)
    if not any(part.sizes for split in planned for part in split.parts):
        raise ValueError(
            f"{PURPOSE}: no fold has two test molecules, so there is nothing to choose from. "
            f"{' '.join(note for split in planned for note in split.notes())} Use fewer folds."
        )
    any_sampled = any(part.sampled for split in planned for part in split.parts)
    notes = [
        str(controls),
        "pooled: mean of the unit vectors of all test rows of a molecule. one image: one row (well "
        f"or site) a molecule, drawn at random; mean over {n_draws} draws, the same for all "
        "models.",
        "relative rank: share of the wrong candidates that come before the right one, 0 is best "
        "and 0.5 chance; R@k: the right one is among the first k, equal scores in random order."
        + any_sampled
        * f" in {SAMPLE}: among the right one and {SAMPLE - 1} random wrong ones.",
        *(note for split in planned for note in split.notes()),
    ]
    return planned, notes, seed


def _run(
    planned: list[Split],
    models: Mapping[str, Mapping[str, Any]],
    *,
    data: str,
    notes: list[str],
    resampling: dict[str, Any],
    n_jobs: int | None,
    verbose: int,
) -> StudyResult:
    """Fit every model on every fold, and put together what they found."""
    for split in planned:
        for name, model in models[split.name].items():
            _check_model(name, model, split.name)
    tested = next(iter(models[planned[0].name]))
    jobs = [
        (split, name, number)
        for split in planned
        for name in models[split.name]
        for number in range(len(split.bench.folds))
    ]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done = run(
        delayed(score_fold)(split, name, models[split.name][name], number, report=name == tested)
        for split, name, number in jobs
    )
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(jobs), desc="retrieval")
    frames, leaks = [], []
    for frame, rows in done:
        if len(frame):
            frames.append(frame)
        leaks += rows
    units, silent = settled(pd.concat(frames, ignore_index=True))
    return StudyResult(
        name="retrieval",
        data=data,
        model=tested,
        scores=scores_of(units, **resampling),
        differences=differences_of(units, tested, **resampling),
        leakage=pd.DataFrame(leaks, columns=LEAKAGE),
        headline=RELATIVE_RANK,
        notes=(*notes, *silent),
        larger_is_better=False,
    )


def _check_model(name: str, model: Any, split: str) -> None:
    """Refuse what does not embed, or brings a training that no fold can be checked against."""
    for modality in ("phenotype", "molecule"):
        if not embeds(model, modality):
            raise TypeError(
                f"{PURPOSE}: model {name!r} ({type(model).__name__}) has no embed_{modality}s."
            )
    if split != "plate":
        check_trained_before(name, model, PURPOSE)
        return
    for part in frozen_parts(model):
        if hasattr(part, "embed_phenotypes") or hasattr(part, "molecules_seen_"):
            raise ValueError(
                f"{PURPOSE}: model {name!r} holds a {type(part).__name__} in a FrozenEstimator. It "
                "does not say which plates it was trained on, so nothing would be shown about "
                "unseen plates. Pass an embedder that is trained in each fold."
            )
