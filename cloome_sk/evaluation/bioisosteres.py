"""Whether the structures that are found for a phenotype do what the true one does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from cloome_sk._tables import profile_columns
from cloome_sk.baselines import default_controls
from cloome_sk.baselines._folds import prepare, seeds
from cloome_sk.baselines._structures import check_table
from cloome_sk.evaluation.annotations import row_terms, terms_of_molecules
from cloome_sk.evaluation.bioisostere_checks import (
    check_asked,
    checked_models,
    checked_numbers,
    checked_shared,
)
from cloome_sk.evaluation.bioisostere_folds import (
    PURPOSE,
    RECORDS,
    STRUCTURE_KNOWN,
    Ranking,
    Setting,
    answers_of,
    questions_of,
    ranking_of_model,
    rankings_of_profiles,
    similarity_of_structure,
)
from cloome_sk.evaluation.bioisostere_result import (
    BioisostereStudy,
    compared_units,
    enrichment_of,
    how_it_was_made,
    units_of,
    without_embedding,
)
from cloome_sk.evaluation.layout_controls import layout_controls
from cloome_sk.evaluation.molecule_pairs import Molecules
from cloome_sk.evaluation.screens import UNINFORMATIVE, Screen
from cloome_sk.evaluation.units import LEAKAGE, differences_of, scores_of
from cloome_sk.metrics._checks import check_count

EDGES = (0.08, 0.12, 0.16, 0.2, 0.3, 0.4, 0.6)


def study_bioisosteres(
    X: pd.DataFrame,
    models: Mapping[str, Any],
    *,
    shared: str | Sequence[str] | Mapping[str, str],
    model: str | None = None,
    ks: Sequence[int] = (1, 5, 10),
    headline_k: int = 5,
    cv: Any = 5,
    groups: Any = None,
    candidates: str = "held-out",
    near: float = 0.4,
    tanimoto_bins: Sequence[float] = EDGES,
    separator: str = "|",
    columns: Any = None,
    controls: Any = "auto",
    data: str = "table",
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    n_permutations: int = 9999,
    random_state: Any = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> BioisostereStudy:
    """Count how many of the structures found for unseen phenotypes share a target or mechanism.

    For the pooled phenotype of each molecule that training has not seen, other molecules are
    ranked: never the true one. The share of the first k that has a target, mechanism or class in
    common with the truth is put beside the share that chance finds, once among all candidates, and
    once among candidates that are as similar to the truth as the hits are, so that what likeness
    of structure explains is taken away.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_columns)
        One row a well (or site), with a SMILES column.
    models : dict of str to estimator
        Each is cloned and fitted on the training rows of each fold; has `embed_phenotypes` and
        `embed_molecules`, also as the last step of a `Pipeline`. Controls that are rankings and no
        models are added (Notes).
    shared : str, sequence of str, or mapping of str to str
        Columns of annotations, or columns by what to call them: ``{"target": "target_list"}``.
    model : str, optional
        The model under test; the first by default.
    ks : sequence of int, default=(1, 5, 10)
        Numbers of hits.
    headline_k : int, default=5
        The one of them that sentences and the figure speak of; where no query has more candidates
        than that, the largest one that can be scored, as a note says.
    cv : int or splitter, default=5
        Folds by molecule, as in `cloome_sk.baselines.compare`.
    groups : str or array-like of shape (n_samples,), optional
        What stays together, such as scaffolds; by default the molecule.
    candidates : {"held-out", "all"}, default="held-out"
        Which molecules are ranked: those of the test fold, or those of training, too. Of the
        latter, a trained model knows the phenotypes.
    near : float, default=0.4
        Tanimoto similarity to the truth, in (0, 1], from which a candidate is an analogue that
        the stricter part leaves out.
    tanimoto_bins : sequence of float, default=(0.08, 0.12, 0.16, 0.2, 0.3, 0.4, 0.6)
        Ascending edges in (0, 1) between the bins within which chance is matched.
    separator : str, default="|"
        Stands between several terms of one annotation: ``"EGFR|ERBB2"``.
    columns : str, list of str, int, list of int, slice, mask, callable or None, default=None
        The numeric columns that the rankings by profile take. None takes those named as
        CellProfiler does; without any, these rankings are left out, and a note says so.
    controls : "auto", (column, value or values) or None, default="auto"
        The negative controls, as in `cloome_sk.preprocessing.find_controls`.
    data : str, default="table"
        What to call the table.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap, n_permutations : int, default=2000, 9999
        Resamples of molecules, and random signs.
    random_state : int, RandomState or None, default=0
        Seed of folds, resamples and signs; models have their own.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar over fits.

    Returns
    -------
    BioisostereStudy
        For each annotation three parts: *any other molecule*; *Tanimoto below* `near`, without the
        analogues of the truth; *changed scaffold*, without those of its scaffold. Metrics:
        ``shared@k``, the share of the first k, with the share in all candidates as chance; and
        ``excess@k``, that share minus chance matched for Tanimoto. `enrichment` has the ratios.

    Raises
    ------
    TypeError
        If a model has no `embed_phenotypes` or `embed_molecules`, or a parameter is of the wrong
        type.
    ValueError
        If columns are missing, structures cannot be read, a parameter is out of range, a fold has
        a molecule on both sides, any part of a model has seen test molecules, or there is nothing
        to find.

    See Also
    --------
    cloome_sk.evaluation.rank_structures : The hits themselves.
    cloome_sk.report.plot_structures : A picture of them.

    Notes
    -----
    A molecule has the terms of all its rows. One without any is no query and no candidate for that
    annotation; one whose terms no candidate shares is no query; both are counted in the notes.
    Chance is exact, not drawn: see `cloome_sk.evaluation.matched_chance.matched_chance`. Ties count
    by expectation.

    Rankings that are added: by the Tanimoto similarity to the truth, which needs its structure, and
    whose hits are their own matched chance, so that no model is compared with it in ``excess@k``;
    by that to the molecule of the nearest training profile; and by the profiles of the candidates
    themselves, which structures alone do not have.

    A model under test that starts from the weights of a checkpoint is scored, but its claim about
    unseen molecules is reported as not shown.

    Molecules of one fold share their candidates and one trained model, and two that share a target
    are each other's hits, so that intervals over molecules are a little short.

    Examples
    --------
    >>> from cloome_sk.baselines import TanimotoKernelEmbedder
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.bioisosteres import study_bioisosteres
    >>> X = make_profiles(n_compounds=48, random_state=0)  # simulated
    >>> found = study_bioisosteres(X, {"Tanimoto-kernel average": TanimotoKernelEmbedder()},
    ...                            shared="moa", cv=2, n_bootstrap=100, n_permutations=99)
    >>> list(dict.fromkeys(found.scores["part"]))
    ['shared moa, any other molecule', 'shared moa, Tanimoto below 0.4', \
'shared moa, changed scaffold']
    """
    check_table(X, PURPOSE)
    names = checked_models(models, model)
    ks = checked_numbers(ks, headline_k, candidates, near, tanimoto_bins)
    fold_seed, resample_seed = seeds(random_state)
    bench = prepare(
        X,
        task="unseen_molecules",
        y=None,
        groups=groups,
        cv=cv,
        plate="plate",
        well="well",
        controls=controls,
        random_state=fold_seed,
        purpose=PURPOSE,
    )
    molecules = Molecules.of(bench.smiles)
    terms = {}
    for label, column in checked_shared(shared).items():
        of_rows = row_terms(X, column, separator, PURPOSE, rows=bench.rows)
        of_molecule = terms_of_molecules(bench.keys, of_rows)
        terms[label] = [of_molecule[key] for key in molecules.keys]
    setting = Setting(
        bench=bench,
        molecules=molecules,
        codes=pd.Index(molecules.keys).get_indexer(pd.Index(bench.keys)),
        terms=terms,
        ks=ks,
        near=float(near),
        edges=np.asarray(tanimoto_bins, dtype=float),
        all_candidates=candidates == "all",
        columns=columns,
        controls=controls,
    )
    # Asked before any model is trained: a table with nothing to find should not take an hour.
    asked = [questions_of(setting, number) for number in range(len(bench.folds))]
    check_asked(asked, setting)
    jobs = [(name, number) for name in models for number in range(len(bench.folds))]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done = run(
        delayed(ranking_of_model)(setting, name, models[name], fold, report=name == names)
        for name, fold in jobs
    )
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(jobs), desc=PURPOSE)
    rankings: list[tuple[str, int, Ranking]] = [
        (name, number, ranking) for (name, number), ranking in zip(jobs, done, strict=True)
    ]
    has_profiles = columns is not None or bool(profile_columns(X))
    for number in range(len(bench.folds)):
        known = Ranking(similarity_of_structure(setting, number))
        rankings.append((STRUCTURE_KNOWN, number, known))
        if has_profiles:
            found = rankings_of_profiles(setting, number)
            rankings += [(name, number, ranking) for name, ranking in found.items()]
    rows: list[tuple[Any, ...]] = []
    for name, number, ranking in rankings:
        rows += answers_of(asked[number][0], name, ranking.similarity, ks)
    records = pd.DataFrame(rows, columns=RECORDS)
    headline_k, fewer = _scored_headline(headline_k, set(records["k"]))
    order = {part: at for at, part in enumerate(p for label in terms for p in setting.parts(label))}
    records = records.sort_values("part", key=lambda part: part.map(order), kind="stable")
    units = units_of(records)
    options: dict[str, Any] = {
        "confidence": confidence,
        "n_bootstrap": n_bootstrap,
        "random_state": resample_seed,
    }
    return BioisostereStudy(
        name="bioisosteres",
        data=data,
        model=names,
        scores=scores_of(units, **options),
        differences=differences_of(
            compared_units(units), names, n_permutations=n_permutations, **options
        ),
        leakage=pd.DataFrame(
            [ranking.leakage for name, _, ranking in rankings if name == names], columns=LEAKAGE
        ),
        headline=f"excess@{headline_k}",
        notes=(
            *how_it_was_made(
                setting, [counts for _, counts in asked], records, candidates, has_profiles
            ),
            *without_embedding(rankings),
            *fewer,
        ),
        enrichment=enrichment_of(records, **options),
        k=headline_k,
    )


def _scored_headline(asked: int, scored: set[int]) -> tuple[int, list[str]]:
    """The number of hits to speak of, which candidates alone decide, and a note on it."""
    if asked in scored:
        return int(asked), []
    found = int(max(scored))
    return found, [f"Sentences and figure are of k={found}: no query can be scored at k={asked}."]


def bioisosteres_of_screen(
    screen: Screen,
    *,
    folds: int = 5,
    candidates: str = "held-out",
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> BioisostereStudy:
    """Study the bioisosteres of a screen with its own embedder and the honest controls.

    Parameters
    ----------
    screen : Screen
        From `cloome_sk.evaluation.load_screen`.
    folds : int, default=5
        Folds by molecule.
    candidates : {"held-out", "all"}, default="held-out"
        As in `study_bioisosteres`.
    random_state : int, default=0
        Seed of folds, weights, random codes, permutations and resamples.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    BioisostereStudy
        Of the embedder, the Tanimoto-kernel average, the embedder on random molecule codes, on
        shuffled pairs and untrained, Tanimoto-kernel averages whose phenotype is the plate or the
        cell count alone, and the rankings that `study_bioisosteres` adds; for the classes of the
        screen and, where it has them, targets.

    Raises
    ------
    ValueError
        If `folds` is no whole number of at least 2, or as `study_bioisosteres`.

    Examples
    --------
    >>> from cloome_sk.evaluation import load_screen
    >>> from cloome_sk.evaluation.bioisosteres import bioisosteres_of_screen
    >>> screen = load_screen("simulated-profiles", None, 0)  # doctest: +SKIP
    >>> print(bioisosteres_of_screen(screen).report())  # doctest: +SKIP
    """
    check_count(folds, "folds", minimum=2)
    n_pairs = round(len(screen.wells) * (1 - 1 / folds))
    embedder = screen.make_embedder(n_pairs, random_state)
    every = default_controls(
        "unseen_molecules", embedder=embedder, columns=screen.features, random_state=random_state
    )
    kept = ("Tanimoto-kernel average", "random molecule codes", "pairs shuffled")
    references = {name: every[name] for name in (*kept, "untrained encoder")}
    table, dropped = _without_uninformative(screen)
    places, lacking = layout_controls(table, unseen_plates=False)
    if places:
        dropped.append(
            f"{', '.join(map(repr, places))}: a Tanimoto-kernel average whose phenotype is that "
            "alone. What it finds, the layout of the plates or toxicity gives away."
        )
    found = study_bioisosteres(
        table,
        {"CLOOME": embedder, **references, **places},
        shared=_shared_of(screen),
        cv=folds,
        candidates=candidates,
        columns=screen.features,
        data=screen.name,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return found.with_notes([*dropped, *lacking])


def _shared_of(screen: Screen) -> dict[str, str]:
    """The class of a screen, and its targets."""
    plain = {str(name).lower().removeprefix("metadata_"): str(name) for name in screen.table}
    shared = {screen.class_name: screen.label}
    targets = [plain[name] for name in ("target", "target_list") if name in plain]
    return shared | ({"target": targets[0]} if targets else {})


def _without_uninformative(screen: Screen) -> tuple[pd.DataFrame, list[str]]:
    """The table of a screen without the classes that say nothing, and a note on it."""
    table, notes = screen.table, []
    for name in UNINFORMATIVE.get(screen.name, ()):
        rows = table[screen.label] == name
        table = table.assign(**{screen.label: table[screen.label].mask(rows)})
        notes.append(
            f"{screen.class_name} {name!r} ({int(rows.sum())} {screen.unit}s) says nothing that "
            "molecules could share and counts as no annotation."
        )
    return table, notes
