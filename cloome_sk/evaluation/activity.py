"""Which assays can be predicted from features, for molecules and scaffolds never trained on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from cloome_sk._tables import shown
from cloome_sk.baselines.assay_probe import AssayProbe
from cloome_sk.evaluation._activity_folds import (
    Molecules,
    molecule_features,
    probed,
    scored_folds,
)
from cloome_sk.evaluation._activity_result import ASSAYS, EXCLUDED, ActivityStudy
from cloome_sk.evaluation._activity_scores import FoldScores, assay_scores, share_above
from cloome_sk.evaluation.units import differences_of, leakage_row, scores_of
from cloome_sk.model_selection._seen import molecules_seen
from cloome_sk.preprocessing import find_controls

SPLITS = ("molecule", "scaffold")
THRESHOLDS = (0.7, 0.9)
HEADLINE = "AUROC"


def study_activity(
    models: Mapping[str, Any],
    Y: Any,
    smiles: Any,
    *,
    X: pd.DataFrame | None = None,
    model: str | None = None,
    kinds: Sequence[str] | None = None,
    standardize: Collection[str] = (),
    controls: Any = "auto",
    splits: str | Sequence[str] = SPLITS,
    folds: int = 5,
    min_per_class: int = 10,
    probe: AssayProbe | None = None,
    data: str = "assays",
    notes: Sequence[str] = (),
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    n_permutations: int = 9999,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> ActivityStudy:
    """Probe many assays linearly, on the same folds of molecules for all features.

    Rows (wells, stereoisomers, salts) are joined to molecules first: features are averaged, labels
    that agree count once, labels that contradict each other are left out.

    Parameters
    ----------
    models : mapping of str to ndarray of shape (n_rows, n_features), or transformer
        Features of the rows, or what makes them of the rows of `X`: trained in each fold on the
        rows of its training molecules, as `CloomeEmbedder` or a `Pipeline`.
    Y : array-like or sparse matrix, shape (n_rows, n_assays)
        1, 0 and NaN for not measured; sparse: +1, -1 and 0 for not measured. The column names of a
        DataFrame name the assays.
    smiles : sequence of str, shape (n_rows,)
        Structures.
    X : DataFrame, shape (n_rows, n_columns), optional
        The table, for models that are trained. Negative controls are no molecules to score: leave
        them out.
    model : str, optional
        The model under test; the first by default.
    kinds : sequence of str, shape (n_assays,), optional
        What each assay is; figures are given for each kind by itself.
    standardize : collection of str, default=()
        Models whose features are brought to mean 0 and deviation 1 over the training molecules of
        each fold.
    controls : "auto", (column, value or values) or None, default="auto"
        What negative controls in X would be (`cloome_sk.preprocessing.find_controls`); None for
        tables without wells.
    splits : {"molecule", "scaffold"} or sequence of these, default=both
        What is new in test. Inner folds, which choose C, keep the same groups whole.
    folds : int, default=5
        Number of test folds, shuffled.
    min_per_class : int, default=10
        Fewest active, and fewest inactive, test molecules of an assay that is scored.
    probe : AssayProbe, optional
        Cloned for each fold.
    data : str, default="assays"
        Name of the data.
    notes : sequence of str, default=()
        More to say of how it was measured.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap, n_permutations : int, default=2000, 9999
        Resamples of assays, and random signs of their differences.
    random_state : int, default=0
        Seed of folds, resamples and signs.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: joblib's progress.

    Returns
    -------
    ActivityStudy
        AUROC, AUPRC, and AUPRC less the prevalence, as means over assays; the median AUROC; the
        shares of assays above an AUROC of 0.7 and of 0.9. Paired differences to the other models.
        Every assay in ``assays``, those without a score in ``excluded``.

    Raises
    ------
    ValueError
        If lengths or row names differ, features are missing, structures cannot be read, controls
        are among the rows, no assay has enough of both labels, or a model saw test molecules.
    TypeError
        If `models` is not a mapping.

    Notes
    -----
    *An assay's AUROC* is the share of right pairs of an active and an inactive test molecule of one
    fold, over all folds: scores of two folds come from two models and are never compared. Its AUPRC
    and prevalence are means over folds weighted by their actives. A fold counts where its test and
    training parts have both labels. Chance of AUPRC is the expectation of a random order, which is
    above the prevalence; chance of a share is how many assays a random order would have there, by
    the normal approximation of the null distribution.

    *Intervals and p-values take assays as independent. They share molecules, and some measure the
    same target, so both are optimistic.*

    Examples
    --------
    >>> import numpy as np
    >>> from cloome_sk.evaluation.activity import study_activity
    >>> generator = np.random.default_rng(0)
    >>> smiles = ["C" * n + "O" for n in range(1, 61)]
    >>> Z = generator.normal(size=(60, 4))
    >>> Y = (Z[:, :3] + generator.normal(size=(60, 3)) > 0).astype(float)
    >>> found = study_activity({"features": Z, "noise": generator.normal(size=(60, 4))}, Y, smiles,
    ...                        splits=["molecule"])
    >>> means = found.assays.groupby("model")["auroc"].mean()
    >>> bool(means["features"] > 0.7 > means["noise"])
    True
    """
    if not isinstance(models, Mapping):
        raise TypeError(
            "study_activity: models comes first, a dict of names and features or transformers; got "
            f"{type(models).__name__}."
        )
    model = next(iter(models), "") if model is None else model
    splits = (splits,) if isinstance(splits, str) else tuple(splits)
    _check_rows(X, Y, smiles, controls)
    molecules = Molecules.of(smiles, Y)
    _check(models, model, X, molecules, splits, kinds, standardize)
    kind_of = list(kinds) if kinds is not None else [""] * len(molecules.names)
    probe = AssayProbe() if probe is None else probe
    enough = _enough(molecules.Y, min_per_class)
    if not enough.any():
        raise ValueError(
            f"study_activity: none of the {len(enough)} assay(s) has {min_per_class} active and "
            f"{min_per_class} inactive molecules. Lower min_per_class, or bring more labels."
        )
    units: list[dict[str, Any]] = []
    assays: list[dict[str, Any]] = []
    excluded: list[dict[str, Any]] = []
    leakage = []
    remarks = []
    for split in splits:
        groups, parts = molecules.splits(split, folds, random_state)
        jobs = [(name, number) for name in models for number in range(len(parts))]
        done = Parallel(n_jobs=n_jobs, verbose=verbose)(
            delayed(_one)(
                name, models[name], X, molecules, groups, parts[number], probe, name in standardize
            )
            for name, number in jobs
        )
        results = dict(zip(jobs, done, strict=True))
        claim = ("molecule",) if split == "molecule" else ("molecule", "scaffold")
        for number, (train, test) in enumerate(parts):
            known, new = (pd.DataFrame({"smiles": molecules.smiles[r]}) for r in (train, test))
            embedder = results[model, number][2]
            part = f"unseen {split}s"
            leakage.append(
                leakage_row(part, number, known, new, claim, embedder=embedder, controls=None)
            )
        found = _part(molecules, parts, results, models, kind_of, split, enough, min_per_class)
        units += found[0]
        assays += found[1]
        excluded += found[2]
        remarks.append(_about_choice(results, model, split, len(parts)))
    if not units:
        raise ValueError(
            f"study_activity: no assay has {min_per_class} active and {min_per_class} inactive "
            "test molecules in folds with both labels. Lower min_per_class, or bring more labels."
        )
    frame = pd.DataFrame(units)
    options: dict[str, Any] = {
        "confidence": confidence,
        "n_bootstrap": n_bootstrap,
        "random_state": random_state,
    }
    table = pd.DataFrame(assays).reindex(columns=ASSAYS)
    scores = pd.concat([scores_of(frame, **options), _medians(table, **options)], axis=0)
    order = {part: at for at, part in enumerate(dict.fromkeys(frame["part"]))}
    scores = scores.sort_values("part", key=lambda c: c.map(order), kind="stable")
    compared = frame[frame["metric"] != "AUPRC"]
    left_out = pd.DataFrame(excluded).reindex(columns=EXCLUDED)
    return ActivityStudy(
        "activity",
        data,
        model,
        scores.reset_index(drop=True),
        differences_of(compared, model, n_permutations=n_permutations, **options),
        pd.DataFrame(leakage),
        HEADLINE,
        (*notes, *_notes(molecules, table, left_out, min_per_class), *remarks),
        unit="assay",
        assays=table,
        excluded=left_out,
    )


def _check_rows(X: pd.DataFrame | None, Y: Any, smiles: Any, controls: Any) -> None:
    """Refuse rows in another order, which nothing else would show, and controls."""
    indexed = {
        name: value.index
        for name, value in (("X", X), ("Y", Y), ("smiles", smiles))
        if isinstance(value, (pd.DataFrame, pd.Series))
    }
    for (one, first), (other, second) in pairwise(indexed.items()):
        if len(first) == len(second) and not first.equals(second):
            row = int(np.flatnonzero(np.asarray(first != second))[0])
            raise ValueError(
                f"study_activity: the rows of {one} and {other} have different names, first in row "
                f"{row}: {first[row]!r} and {second[row]!r}. Bring them to one order, or reset "
                "both indexes where the order is the same already."
            )
    if X is not None:
        found = find_controls(X, controls)
        if found.mask.any():
            raise ValueError(
                f"study_activity: {int(found.mask.sum())} rows of X are negative controls "
                f"({found}), whose vehicle would be a molecule with labels. Leave them out of "
                "X, Y and smiles."
            )


def _check(
    models: Mapping[str, Any],
    model: str,
    X: pd.DataFrame | None,
    molecules: Molecules,
    splits: Sequence[str],
    kinds: Sequence[str] | None,
    standardize: Collection[str],
) -> None:
    n_rows = len(molecules.code)
    if model not in models:
        raise ValueError(f"study_activity: no model {model!r} among {shown(list(models))}.")
    if unknown := [name for name in standardize if name not in models]:
        raise ValueError(f"study_activity: standardize names no model: {shown(unknown)}.")
    if not splits or any(split not in SPLITS for split in splits):
        raise ValueError(f"study_activity: splits must be of {SPLITS}, got {splits!r}.")
    if kinds is not None and len(kinds) != len(molecules.names):
        raise ValueError(
            f"study_activity: {len(kinds)} kinds for {len(molecules.names)} assays; one each."
        )
    if X is not None and len(X) != n_rows:
        raise ValueError(f"study_activity: X has {len(X)} rows for {n_rows} structures.")
    for name, features in models.items():
        if hasattr(features, "fit"):
            if X is None:
                raise ValueError(f"study_activity: model {name!r} is trained on X, which is None.")
        elif np.ndim(features) != 2 or len(features) != n_rows:
            raise ValueError(
                f"study_activity: the features of model {name!r} have shape {np.shape(features)}; "
                f"they must have a row for each of the {n_rows} structures."
            )


def _enough(Y: np.ndarray, min_per_class: int) -> np.ndarray:
    return ((Y == 1).sum(axis=0) >= min_per_class) & ((Y == 0).sum(axis=0) >= min_per_class)


def _one(
    name: str,
    model: Any,
    X: pd.DataFrame | None,
    molecules: Molecules,
    groups: np.ndarray,
    fold: tuple[np.ndarray, np.ndarray],
    probe: AssayProbe,
    standardize: bool,
) -> tuple[AssayProbe, np.ndarray, Any]:
    """Probe, scores of the test molecules, and the fitted model where it remembers molecules."""
    try:
        features, fitted = molecule_features(name, model, X, molecules, fold[0])
        found = probed(probe, features, molecules, groups, fold, standardize)
    except Exception as error:
        error.add_note(f"study_activity: model {name!r}.")
        raise
    return *found, fitted if fitted is not None and molecules_seen(fitted) else None


def _part(
    molecules: Molecules,
    folds: list[tuple[np.ndarray, np.ndarray]],
    results: Mapping[tuple[str, int], tuple[AssayProbe, np.ndarray, Any]],
    models: Mapping[str, Any],
    kinds: Sequence[str],
    split: str,
    enough: np.ndarray,
    min_per_class: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Score every assay of one split."""
    units, assays, excluded = [], [], []
    for assay, name in enumerate(molecules.names):
        part = f"{kinds[assay]}, unseen {split}s".removeprefix(", ")
        here = {"part": part, "assay": name}
        y = molecules.Y[:, assay]
        usable = scored_folds(molecules.Y, folds, assay)
        scored = [folds[number][1][known] for number, known in usable]
        labels = y[np.concatenate(scored)] if scored else np.zeros(0)
        counts = {"n_active": int((labels == 1).sum()), "n_inactive": int((labels == 0).sum())}
        if not enough[assay] or min(counts.values()) < min_per_class:
            reason = f"fewer than {min_per_class} of a label"
            if enough[assay]:
                reason += " in folds with both labels in training and in test"
            else:
                counts = {"n_active": int((y == 1).sum()), "n_inactive": int((y == 0).sum())}
            excluded.append({**here, **counts, "reason": reason})
            continue
        for model in models:
            parts = [
                FoldScores(y[rows] == 1, results[model, number][1][known, assay])
                for (number, known), rows in zip(usable, scored, strict=True)
            ]
            found = assay_scores(parts)
            chosen = [results[model, number][0].C_[assay] for number, _ in usable]
            assays.append(
                {**here, "model": model, **found, "C": np.median(chosen), "n_folds": len(usable)}
            )
            prevalence, by_chance = found["prevalence"], found["auprc_chance"]
            values = {
                HEADLINE: (found["auroc"], 0.5),
                "AUPRC": (found["auprc"], by_chance),
                "AUPRC - prevalence": (found["auprc"] - prevalence, by_chance - prevalence),
            }
            for threshold in THRESHOLDS:
                above = float(share_above(threshold, np.array([found["auroc_sd"]]))[0])
                values[f"AUROC > {threshold}"] = (float(found["auroc"] > threshold), above)
            units += [
                {
                    "part": part,
                    "model": model,
                    "metric": metric,
                    "unit": name,
                    "value": value,
                    "chance": chance,
                }
                for metric, (value, chance) in values.items()
            ]
    return units, assays, excluded


def _medians(
    assays: pd.DataFrame, *, confidence: float, n_bootstrap: int, random_state: int
) -> pd.DataFrame:
    """Median AUROC over assays, with the interval of its bootstrap."""
    tail = (1 - confidence) / 2
    rows = []
    for (part, model), own in assays.groupby(["part", "model"], sort=False):
        values = own["auroc"].to_numpy()
        generator = np.random.RandomState(random_state)
        low = high = np.nan
        if len(values) > 1:
            drawn = generator.randint(len(values), size=(n_bootstrap, len(values)))
            low, high = np.quantile(np.median(values[drawn], axis=1), [tail, 1 - tail])
        row: dict[str, Any] = {"part": part, "model": model, "metric": "median AUROC"}
        row["value"] = np.median(values)
        rows.append({**row, "low": low, "high": high, "chance": 0.5, "n": len(values)})
    return pd.DataFrame(rows)


def _about_choice(results: Mapping[Any, Any], model: str, split: str, n_folds: int) -> str:
    probes = [results[model, number][0] for number in range(n_folds)]
    fallback = sum(probe.n_fallback_ for probe in probes)
    one_class = sum(probe.n_one_class_ for probe in probes)
    n = sum(len(probe.C_) for probe in probes)
    return (
        f"Unseen {split}s: C was chosen by inner folds for {n - fallback - one_class} of the {n} "
        f"fits ({n_folds} folds), for {fallback} with too few of a label by the other assays; "
        f"{one_class} had one label or none in training and were not predicted."
    )


def _notes(
    molecules: Molecules, assays: pd.DataFrame, excluded: pd.DataFrame, min_per_class: int
) -> list[str]:
    """Say what was measured and what was left out."""
    n_labels = int((~np.isnan(molecules.Y)).sum())
    lines = [
        f"{len(molecules.code):,} rows are {len(molecules.keys):,} molecules with {n_labels:,} "
        f"labels in {len(molecules.names)} assays; {molecules.n_conflicts} labels that rows of one "
        "molecule contradict are left out.",
        "L2 logistic regression on the molecules' mean features, C chosen in the training part; "
        "AUROC counts pairs of one test fold, AUPRC and prevalence are weighted by the actives of "
        "the folds.",
        "Intervals and p take assays as independent; they share molecules, so both are optimistic.",
    ]
    for part, own in assays.groupby("part", sort=False):
        n_scored = own["assay"].nunique()
        plural = "" if n_scored == 1 else "s"
        lines.append(
            f"{part}: {n_scored} assay{plural} scored (at least {min_per_class} actives and "
            "inactives)."
        )
    for (name, reason), own in excluded.groupby(["part", "reason"], sort=False):
        plural = "" if len(own) == 1 else "s"
        lines.append(f"{name}: {len(own)} assay{plural} not scored, {reason}.")
    return lines
