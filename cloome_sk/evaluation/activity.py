"""Which assays can be predicted from features, for molecules and scaffolds never trained on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from cloome_sk.baselines.assay_probe import AssayProbe
from cloome_sk.evaluation._activity_checks import (
    SPLITS,
    check_asked,
    check_enough,
    check_numbers,
    check_rows,
)
from cloome_sk.evaluation._activity_folds import PURPOSE, Molecules
from cloome_sk.evaluation._activity_result import ASSAYS, EXCLUDED, ActivityStudy
from cloome_sk.evaluation._activity_split import Asked, scored_split
from cloome_sk.evaluation._activity_tables import HEADLINE, tables_of
from cloome_sk.evaluation.units import LEAKAGE


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
    cv: int = 5,
    min_per_class: int = 10,
    probe: AssayProbe | None = None,
    data: str = "assays",
    notes: Sequence[str] = (),
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
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
        DataFrame name the assays. Labels a molecule are brought to the rows by
        `cloome_sk.evaluation.activity_data.assays_of_molecules`.
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
    cv : int, default=5
        Number of test folds, shuffled (>= 2).
    min_per_class : int, default=10
        Fewest active, and fewest inactive, test molecules of an assay that is scored (>= 1).
    probe : AssayProbe, optional
        Cloned for each fold.
    data : str, default="assays"
        Name of the data.
    notes : sequence of str, default=()
        More to say of how it was measured.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap : int, default=1000
        Resamples of molecules; no p is below 1 in ``n_bootstrap + 1``.
    random_state : int, default=0
        Seed of folds and resamples.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: joblib's progress.

    Returns
    -------
    ActivityStudy
        AUROC, AUPRC, and AUPRC less the prevalence, as means over assays, and paired differences of
        AUROC and of AUPRC less the prevalence to the other models. Without an interval, the median
        AUROC and the shares of assays above an AUROC of 0.7 and of 0.9. ``n`` counts the molecules
        that the assays of a part were scored on. Every assay in ``assays``, those without a score
        in ``excluded``.

    Raises
    ------
    ValueError
        If lengths or row names differ, features are missing, structures cannot be read, controls
        are among the rows, no assay has enough of both labels, a model saw test molecules, a
        trained part of it cannot say what it saw, or a number is out of range: resamples are 20 or
        more.
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

    *Intervals resample molecules*, or scaffolds as a whole where scaffolds are new: assays share
    molecules, so that assays are no independent evidence. A resample gives each molecule a weight,
    which is the same for all models and all assays; models, folds and assays stay. Each assay is
    scored anew with the weights. A fold that is left without one label has no part in a resample,
    and neither has an assay without a fold: the mean is that of the other assays' changes. A
    resample holds molecules twice, which lifts the AUPRC (a copy of an active is found beside it)
    and counts pairs within a scaffold too often; a new sample does not. So the percentiles are
    those of the changes less their mean, around the figure.

    *p is two-sided*, from the same changes less their mean: the share of resamples, the observed
    one among them, that lie as far from the figure as chance does, or as far from the difference
    as 0 does [1]_. References of one part and metric are corrected for by Holm's procedure. Where
    fewer than 5 molecules (scaffolds) have one of the labels there is neither interval nor p; with
    few more, both are somewhat optimistic: of simulated tables with 6 actives, 95 % intervals of
    the AUROC covered 95 % where scores knew nothing, and 88 % near an AUROC of 0.93.

    *What intervals and p do not cover*: another training, other folds, and other assays. Each fold
    trains on the molecules that the others test, which ties their errors together: figures of
    simulated random codes varied 1.35 (3 folds) and 1.23 times (5 folds) as much as intervals say,
    so that a p little below 0.05 is no evidence. How far
    apart assays are, ``assays`` has and ``plot_distribution`` draws. Medians and shares above a
    threshold have no interval: a resample adds noise to each assay, which moves them to one side.

    References
    ----------
    .. [1] P. Hall and S. R. Wilson, "Two guidelines for bootstrap hypothesis testing", Biometrics
       47(2), 1991.

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
            f"{PURPOSE}: models comes first, a dict of names and features or transformers; got "
            f"{type(models).__name__}."
        )
    model = next(iter(models), "") if model is None else model
    splits = (splits,) if isinstance(splits, str) else tuple(splits)
    check_numbers(confidence, n_bootstrap, cv, min_per_class)
    check_rows(X, Y, smiles, controls)
    molecules = Molecules.of(smiles, Y)
    check_asked(models, model, X, molecules, splits, kinds, standardize)
    asked = Asked(
        models=models,
        model=model,
        X=X,
        molecules=molecules,
        kinds=list(kinds) if kinds is not None else [""] * len(molecules.names),
        enough=check_enough(molecules, min_per_class),
        min_per_class=min_per_class,
        standardize=standardize,
        probe=AssayProbe() if probe is None else probe,
        n_folds=cv,
        seed=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    found = [scored_split(asked, split) for split in splits]
    assays = pd.DataFrame([row for one in found for row in one.assays]).reindex(columns=ASSAYS)
    if not len(assays):
        raise ValueError(
            f"{PURPOSE}: no assay has {min_per_class} active and {min_per_class} inactive "
            "test molecules in folds with both labels. Lower min_per_class, or bring more labels."
        )
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    tables = [
        tables_of(one, model, confidence=confidence, n_bootstrap=n_bootstrap, seed=seed)
        for one in found
        if one.assays
    ]
    excluded = [row for one in found for row in one.excluded]
    left_out = pd.DataFrame(excluded).reindex(columns=EXCLUDED)
    remarks = [line for one in found for line in one.remarks]
    resampling = [line for table in tables for line in table[2]]
    return ActivityStudy(
        "activity",
        data,
        model,
        pd.concat([table[0] for table in tables], ignore_index=True),
        pd.concat([table[1] for table in tables], ignore_index=True),
        pd.DataFrame([row for one in found for row in one.leakage], columns=LEAKAGE),
        HEADLINE,
        (*notes, *_notes(molecules, assays, left_out, min_per_class), *resampling, *remarks),
        tests="bootstrap tests",
        assays=assays,
        excluded=left_out,
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
        "Intervals and p resample molecules (new scaffolds as a whole), the same for all models "
        "and assays, while models, folds and assays stay: they do not cover another training, "
        "other folds or other assays, and are optimistic as far as folds, which train on each "
        "other's molecules, err together. Medians and shares of assays are descriptions without "
        "interval: noise of a resample moves them to one side.",
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
