"""One call that puts a model beside its controls, on the same folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from cloome_sk._tables import shown
from cloome_sk.baselines._fitted import embeds, pooled, unwrapped
from cloome_sk.baselines._folds import Bench, prepare, seeds
from cloome_sk.baselines._scores import class_scores, ranked, summarised
from cloome_sk.baselines._structures import check_table
from cloome_sk.model_selection._seen import (
    frozen_parts,
    knows_digests_only,
    molecules_seen,
    parts,
)

COLUMNS = ["model", "task", "metric", "value", "low", "high", "chance", "n"]


def compare(
    X: pd.DataFrame,
    models: Mapping[str, Any],
    *,
    task: str,
    y: Any = None,
    groups: Any = None,
    cv: Any = 5,
    plate: str = "plate",
    well: str = "well",
    controls: Any = "auto",
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Score models side by side: same folds, each fitted on training rows only, with intervals.

    ``compare(X, {"CLOOME": embedder, **default_controls(task, embedder=embedder)}, task=task)``.

    Parameters
    ----------
    X : DataFrame, shape (n_samples, n_columns)
        One row a well (or site), with a SMILES column. Negative controls are no queries, no
        candidates and have no class; in the retrieval tasks they are in the training tables.
    models : dict of str to estimator
        Each is cloned for each fold. The retrieval tasks take estimators with `embed_phenotypes`
        and, for the metrics across modalities, `embed_molecules`, also as the last step of a
        `Pipeline`; ``"classes"`` takes classifiers with `predict_proba`
        (``linear_probe(embedder)`` makes one of an embedder).
    task : {"unseen_molecules", "unseen_plates", "classes"}
        - ``"unseen_molecules"``: folds by molecule. The phenotypes of each test molecule are pooled
          (mean of unit vectors), one candidate a molecule, candidates are those of the fold; both
          directions.
        - ``"unseen_plates"``: folds by plate. The same among the test molecules that training has
          seen; and *phenotype to replicate*: each test well looks for a well of its molecule among
          the training wells, every well a candidate, once among all of them and once among those at
          other well positions (where the table has wells).
        - ``"classes"``: folds by molecule. Class of molecules that training did not see;
          probabilities are averaged over the wells of a molecule.
    y : str or array-like of shape (n_samples,), optional
        Column or classes, for ``"classes"``. The values of control rows do not matter.
    groups : str or array-like of shape (n_samples,), optional
        Column or labels that keep rows together, such as scaffolds. None: the molecule
        (`cloome_sk.molecules.molecule_key`), or the plate for ``"unseen_plates"``.
    cv : int or splitter, default=5
        Number of folds (fewer where there are fewer groups), shuffled by `random_state` and
        stratified for ``"classes"``; or any scikit-learn splitter, which is given the treated rows,
        their classes and groups.
    plate, well : str, default="plate", "well"
        The columns, for ``"unseen_plates"``.
    controls : "auto", (column, value or values) or None, default="auto"
        The negative controls, as in `cloome_sk.preprocessing.find_controls`.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap : int, default=2000
        Number of resamples of molecules.
    random_state : int, RandomState or None, default=None
        Seed of folds and resamples; models have their own.
    n_jobs : int or None, default=None
        Fits at a time, as in joblib.
    verbose : int, default=0
        Above 0: a progress bar over fits.

    Returns
    -------
    DataFrame, one row a model and metric
        ``model``, ``task``, ``metric``, ``value``, its interval ``low`` and ``high``, ``chance``
        and ``n``, the number of molecules scored. NaN with ``n`` 0 where a model has no answer
        (LDA on compound labels knows no unseen molecule).

    Raises
    ------
    TypeError
        If a model lacks the methods of the task.
    ValueError
        If columns are missing, structures cannot be read, a class has one molecule only, a fold
        has the same molecule (or plate) in training and test, or a part of a model was trained
        before and that cannot be excused: it says in `molecules_seen_` that it saw test molecules,
        it learned from precomputed molecule features, which name none, or, for
        ``"unseen_plates"``, it is an embedder in a `FrozenEstimator`, which no fold trains.

    See Also
    --------
    default_controls : What to put beside a model.
    layout_test : Whether a phenotype knows its well position.

    Notes
    -----
    *Every molecule counts the same*: a metric is averaged over the queries of a molecule first, and
    intervals resample molecules, because wells of one molecule are no independent evidence. AUROC
    counts pairs within a fold only (across folds, the class frequencies alone would score below
    one half) and resamples molecules within their class.

    R@k and chance are those of `cloome_sk.metrics.retrieval_metrics`: ties count by expectation,
    the relative rank is 0 at best and one half by chance.

    Normalise plates before (`cloome_sk.preprocessing.ControlNormalizer`): it learns from negative
    controls only, which are never scored. To put raw beside normalised profiles, call twice with
    the same `random_state` and join the tables: the folds are the same.

    Examples
    --------
    >>> from cloome_sk.baselines import compare, chance_classifier, morgan_classifier
    >>> from cloome_sk.datasets import make_profiles
    >>> X = make_profiles(n_compounds=48, random_state=0)  # simulated
    >>> models = {"chance": chance_classifier(), "Morgan + LR": morgan_classifier()}
    >>> table = compare(X, models, task="classes", y="moa", random_state=0)
    >>> table.columns.tolist()
    ['model', 'task', 'metric', 'value', 'low', 'high', 'chance', 'n']
    >>> print(table.loc[0, "model"], table.loc[0, "metric"], table.loc[0, "value"])
    chance macro AUROC 0.5
    """
    check_table(X, "compare")
    if not models:
        raise ValueError("compare: no models.")
    fold_seed, resample_seed = seeds(random_state)
    bench = prepare(
        X,
        task=task,
        y=y,
        groups=groups,
        cv=cv,
        plate=plate,
        well=well,
        controls=controls,
        random_state=fold_seed,
    )
    for name, model in models.items():
        _check_model(name, model, task)
        _check_training(name, model, task)
    jobs = [(name, number) for name in models for number in range(len(bench.folds))]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done = run(delayed(_one_fold)(bench, name, models[name], number) for name, number in jobs)
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(jobs), desc=f"compare, {task}")
    results = dict(zip(jobs, done, strict=True))
    rows = []
    for name in models:
        folds = [results[name, number] for number in range(len(bench.folds))]
        summary = _summary(bench, folds, confidence, n_bootstrap, resample_seed)
        rows += [{"model": name, "task": task, **row} for row in summary]
    return pd.DataFrame(rows, columns=COLUMNS)


def _check_model(name: str, model: Any, task: str) -> None:
    if task == "classes":
        if not hasattr(model, "predict_proba"):
            hint = " linear_probe(embedder) makes one of it." if embeds(model, "phenotype") else ""
            raise TypeError(
                f"compare: model {name!r} ({type(model).__name__}) has no predict_proba, and "
                f"task='classes' takes classifiers.{hint}"
            )
        return
    needed = ["phenotype"] if task == "unseen_plates" else ["phenotype", "molecule"]
    for modality in needed:
        if not embeds(model, modality):
            raise TypeError(
                f"compare: model {name!r} ({type(model).__name__}) has no embed_{modality}s, which "
                f"task={task!r} needs."
            )


def _check_training(name: str, model: Any, task: str) -> None:
    """Refuse parts that bring a training from elsewhere which no fold can be checked against."""
    if task == "unseen_plates":
        for part in frozen_parts(model):
            if hasattr(part, "embed_phenotypes") or hasattr(part, "molecules_seen_"):
                raise ValueError(
                    f"compare: model {name!r} holds a {type(part).__name__} in a FrozenEstimator. "
                    "It does not say which plates it was trained on, so nothing would be shown "
                    "about unseen plates. Pass an embedder that is trained in each fold."
                )
        return
    # Of a clone, whose only trained parts are those that no fold trains again.
    for part in parts(clone(model)):
        if knows_digests_only(part):
            raise ValueError(
                f"compare: model {name!r} holds a {type(part).__name__} that was trained on "
                "precomputed molecule features and knows no structures, so it cannot be checked "
                "whether it saw the test molecules. Pass an embedder that is trained in each fold."
            )


def _one_fold(bench: Bench, name: str, model: Any, number: int) -> Any:
    """Fit a model on one fold and score it, naming both in the error of a fit that fails."""
    train, test = bench.folds[number]
    score = {
        "unseen_molecules": _unseen_molecules,
        "unseen_plates": _unseen_plates,
        "classes": _classes,
    }[bench.task]
    try:
        return score(bench, clone(model), train, test)
    except Exception as error:
        error.add_note(f"compare: model {name!r}, fold {number} of {len(bench.folds)}.")
        raise


def _refuse_seen(model: Any, keys: np.ndarray) -> None:
    seen = molecules_seen(model) & set(keys)
    if seen:
        raise ValueError(
            f"{len(seen)} of the {len(set(keys))} test molecules were in the training of this "
            f"model ({shown(sorted(seen), 5)}), so nothing is shown about unseen molecules. Pass "
            "an embedder that is trained in each fold instead of a frozen one."
        )


def _unseen_molecules(
    bench: Bench, model: Any, train: np.ndarray, test: np.ndarray
) -> pd.DataFrame:
    fitted = unwrapped(model.fit(bench.training_table(train), None))
    _refuse_seen(model, bench.keys[test])
    Z = fitted.embed(bench.table.iloc[bench.rows[test]], "phenotype")
    return _across(fitted, Z, bench.keys[test], bench.smiles[test])


def _across(fitted: Any, Z: np.ndarray, keys: np.ndarray, smiles: np.ndarray) -> pd.DataFrame:
    """Both directions between pooled phenotypes and molecules."""
    codes, names = pd.factorize(keys)
    _, first = np.unique(codes, return_index=True)
    phenotypes = pooled(Z, codes)
    molecules = np.asarray(fitted.embed(smiles[first], "molecule"))
    units = np.asarray(names, dtype=object)
    return pd.concat(
        [
            ranked("phenotype to molecule", units, phenotypes, molecules),
            ranked("molecule to phenotype", units, molecules, phenotypes),
        ],
        ignore_index=True,
    )


def _unseen_plates(bench: Bench, model: Any, train: np.ndarray, test: np.ndarray) -> pd.DataFrame:
    fitted = unwrapped(model.fit(bench.training_table(train), None))
    keys = bench.keys
    test = test[np.isin(keys[test], np.unique(keys[train]))]
    if not len(test):
        raise ValueError("no molecule of the test plates is on a training plate.")
    Z = fitted.embed(bench.table.iloc[bench.rows[test]], "phenotype")
    database = fitted.embed(bench.table.iloc[bench.rows[train]], "phenotype")
    parts = []
    if embeds(model, "molecule"):
        parts.append(_across(fitted, Z, keys[test], bench.smiles[test]))
    ids = {"query_ids": keys[test], "database_ids": keys[train], "duplicates": "keep"}
    parts.append(ranked("phenotype to replicate", keys[test], Z, database, ks=(1,), **ids))
    if bench.positions is not None:
        same_place = bench.positions[test], bench.positions[train]
        parts.append(
            ranked(
                "phenotype to replicate at another position",
                keys[test],
                Z,
                database,
                ks=(1,),
                exclude=same_place,
                **ids,
            )
        )
    return pd.concat(parts, ignore_index=True)


def _classes(
    bench: Bench, model: Any, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the test rows, all classes, with their positions."""
    assert bench.labels is not None
    fitted = model.fit(bench.training_table(train), bench.labels[train])
    _refuse_seen(fitted, bench.keys[test])
    classes = np.unique(bench.labels)
    probabilities = np.zeros((len(test), len(classes)))
    columns = np.searchsorted(classes, fitted.classes_)
    probabilities[:, columns] = fitted.predict_proba(bench.table.iloc[bench.rows[test]])
    return test, probabilities


def _summary(
    bench: Bench, folds: list[Any], confidence: float, n_bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    if bench.task != "classes":
        scores = pd.concat(folds, ignore_index=True)
        return summarised(scores, confidence, n_bootstrap, seed)
    assert bench.labels is not None
    classes, labels = np.unique(bench.labels, return_inverse=True)
    records, probabilities = [], []
    for number, (test, predicted) in enumerate(folds):
        units = pd.DataFrame({"unit": bench.keys[test], "label": labels[test]})
        codes = units.groupby(["unit", "label"], sort=False).ngroup().to_numpy()
        sums = np.zeros((codes.max() + 1, len(classes)))
        np.add.at(sums, codes, predicted)
        probabilities.append(sums / np.bincount(codes)[:, None])
        records.append(units.drop_duplicates().assign(fold=number))
    table = pd.concat(records, ignore_index=True)
    # A molecule that is of two classes at two doses is two things to name.
    table["unit"] = table["unit"] + ":" + table["label"].astype(str)
    return class_scores(
        table, np.concatenate(probabilities), len(classes), confidence, n_bootstrap, seed
    )
