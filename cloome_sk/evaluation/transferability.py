"""The transfer study: embeddings trained on one laboratory's table, used on another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.utils import check_random_state

from cloome_sk.baselines._fitted import embeds
from cloome_sk.evaluation._training_seen import check_trained_before
from cloome_sk.evaluation._transfer_align import ALIGNMENTS, NONE, TITLES
from cloome_sk.evaluation._transfer_drop import drops_of
from cloome_sk.evaluation._transfer_fit import Bench
from cloome_sk.evaluation._transfer_notes import notes_of
from cloome_sk.evaluation._transfer_scores import (
    CARRIED,
    METRICS,
    NEW,
    PROBE,
    REPLICATES,
    SEEN,
    SOURCE,
    make_plan,
)
from cloome_sk.evaluation._transfer_tables import (
    FEWEST_MOLECULES,
    PURPOSE,
    SIDES,
    Lab,
    Split,
    check_same_kind,
    read_lab,
    split_molecules,
)
from cloome_sk.evaluation.transfer_result import LAYOUT, TransferabilityStudy
from cloome_sk.evaluation.units import LEAKAGE, differences_of, scores_of
from cloome_sk.metrics._checks import check_count, check_fraction


def study_transferability(
    source: pd.DataFrame,
    target: pd.DataFrame,
    methods: Mapping[str, Any],
    *,
    label: str | None,
    target_label: str | None = None,
    molecule: str | None = None,
    hold_out: float = 0.5,
    align: str | Sequence[str] = NONE,
    cv: int = 5,
    n_neighbors: int = 1,
    references: int = 2,
    n_draws: int = 20,
    plate: str = "plate",
    align_by: str | None = None,
    well: str | None = "well",
    controls: Any = "auto",
    headline: str = "auto",
    data: str = "tables",
    notes: Sequence[str] = (),
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> TransferabilityStudy:
    """Compare representations by what survives the way to another laboratory.

    Each method is cloned and trained once, on the source alone and without a share of its
    molecules. It then embeds both tables, and on each side classes are named by a linear probe, by
    neighbours and from a few references, and replicates looked for. Source and target stand side by
    side, with the drop between them.

    *Honest source figures*: the molecules of `hold_out` are in no training, and the figures of the
    source are of these alone. (Cross-fitting, the alternative, would need a training for each fold,
    in spaces that cannot be compared with that of the target.) Molecules of the target that were in
    training make up a part of their own, ``target, seen in source``.

    Parameters
    ----------
    source, target : DataFrame
        One row a well, site or crop, with the columns that the methods read and, in both,
        molecules and plates. Negative controls are handed to the methods, which know them by
        their own `controls`; they are no query and no candidate.
    methods : dict of str to estimator
        With `fit`, and `embed_phenotypes` or `transform`; see
        `cloome_sk.evaluation.transfer_methods`. The first is the one under test: its differences to
        all others are tested. What a method learns from has to be in the columns of the source.
    label : str or None
        The column of classes, such as ``"moa"``. Rows without one are trained on all the same. None
        asks for replicates only.
    target_label : str, optional
        That of the target, where it is another. Where fewer than two classes are common to
        both sides, each is asked for its own, and there is no drop.
    molecule : str, optional
        A column that names molecules, in both tables, where there are no structures. None reads the
        SMILES.
    hold_out : float, default=0.5
        Share of the source's molecules that no method is trained on, of each class, and as much of
        those that the target has too. Each class of at least ``references + 1`` molecules has so
        many held out. 0: none, and the source has no figures.
    align : {"none", "controls", "sphered"} or a sequence of these, default="none"
        "controls" subtracts from each embedding the mean of the negative controls of its plate;
        "sphered" is `cloome_sk.preprocessing.ControlNormalizer` on embeddings. Both tables are
        aligned, each by its own controls. Several are shown beside each other.
    cv : int, default=5
        Folds of molecules; a molecule is in one fold on both sides.
    n_neighbors : int, default=1
        Nearest molecules that count; the figure is the share of them that are of the class.
    references : int, default=2
        Reference molecules of a class in zero-shot.
    n_draws : int, default=20
        How often they are drawn.
    plate : str, default="plate"
        The column of plates.
    align_by : str, optional
        The column of what has controls to align by, where single plates have none; by default
        `plate`.
    well : str or None, default="well"
        The column of wells, for the layout test; None: it is left out.
    controls : "auto", (column, value or values) or None, default="auto"
        As in `cloome_sk.preprocessing.find_controls`, for both tables.
    headline : str, default="auto"
        The metric that sentences speak of. "auto": the linear probe; where it has no answer on the
        target, that of the source; else replicates.
    data : str, default="tables"
        What the tables are, for the report.
    notes : sequence of str, default=()
        What the report has to say of them.
    confidence : float, default=0.95
        Coverage of the intervals.
    n_bootstrap : int, default=2000
        Number of resamples of molecules.
    random_state : int, RandomState or None, default=None
        Seed of what is held out, folds, draws and resamples; methods have their own.
    n_jobs : int or None, default=None
        Methods at a time. Seconds are of a fit beside others then.
    verbose : int, default=0
        Above 0: a progress bar over methods.

    Returns
    -------
    TransferabilityStudy
        Figures of each part, drops, layout tests, and what each fit took.

    Raises
    ------
    TypeError
        If a table or method is of the wrong kind.
    ValueError
        If columns are missing, nothing is left to train on or to ask, a plate has no controls to
        align by, a method embeds rows as NaN, or was trained on molecules that are asked for.

    Notes
    -----
    Metrics, each a mean over the rows of a molecule, then over molecules:

    - ``linear probe``: logistic regression, C chosen on molecules left out of its training part;
      folds of molecules. ``, other plates``: and of plates.
    - ``k-NN``: the same folds; a candidate is a molecule, as near as its nearest row.
    - ``zero-shot``: nearest mean of `references` molecules of a class, the same for all methods,
      of the classes that have more on both sides.
    - ``source's probe``, ``source's k-NN``: learned on the rows of the source (those that methods
      were trained on, too) of the molecules of other folds, asked of either side. Unlike the others
      they suffer from whatever sets all rows of the target apart.
    - ``replicate mAP``: wells of the same molecule on other plates before other molecules on other
      plates; (AP - chance) / (1 - chance), as the two sides have other numbers of candidates.

    A drop compares the same classes, and what learns on each side learns there from as many
    molecules of each class as on the other: deals of the larger side, over which figures are
    averaged. It may still be one of the molecules that the two sides do not share, so read
    ``n_both``.

    Examples
    --------
    >>> from cloome_sk.baselines import ProfileFeatures
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.transferability import study_transferability
    >>> X = make_profiles(n_compounds=24, random_state=0)  # simulated
    >>> found = study_transferability(
    ...     X, X, {"raw": ProfileFeatures()}, label="moa", random_state=0, n_bootstrap=100
    ... )
    >>> found.drops.loc[found.drops["metric"] == "linear probe", "drop"].tolist()
    [0.0]
    """
    names = _check_methods(methods)
    alignments = _check_alignments(align)
    if not 0 <= hold_out < 1:
        raise ValueError(f"hold_out must be at least 0 and less than 1; got {hold_out!r}.")
    check_count(cv, "cv", minimum=2)
    for value, what in ((n_neighbors, "n_neighbors"), (references, "references")):
        check_count(value, what)
    check_count(n_draws, "n_draws")
    check_fraction(confidence, "confidence")
    check_count(n_bootstrap, "n_bootstrap")
    if headline not in ("auto", *METRICS):
        raise ValueError(
            f"headline must be 'auto' or one of {', '.join(METRICS)}; got {headline!r}."
        )
    seeds = _seeds(random_state)
    first, second, split = _labs(
        (source, target),
        labels=(label, label if target_label is None else target_label),
        molecule=molecule,
        hold_out=hold_out,
        cv=cv,
        references=references,
        plate=plate,
        align_by=align_by,
        controls=controls,
        seed=seeds[0],
    )
    plan = make_plan(
        first,
        second,
        split,
        references=references,
        n_neighbors=n_neighbors,
        n_draws=n_draws,
        random_state=seeds[1],
    )
    bench = Bench(plan, alignments, well, controls)
    done: Any = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(bench.run)(name, methods[name]) for name in names
    )
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(names), desc="transferability", unit="method")
    outcomes = list(done)
    units = pd.concat([found.units for found in outcomes], ignore_index=True)
    # A metric that no part can be asked for, by any method, is no column of the tables, and a part
    # that can be asked for nothing is no table.
    for name in ("metric", "part"):
        units = units[units.groupby(name)["value"].transform("count") > 0]
    if not len(units):
        raise ValueError(
            f"{PURPOSE}: nothing can be asked for: no class has two molecules on a side, and no "
            "molecule is on two plates of one."
        )
    options: dict[str, Any] = {
        "confidence": confidence,
        "n_bootstrap": n_bootstrap,
        "random_state": seeds[2],
    }
    scores = scores_of(units, **options)
    comparable = units
    if not plan.same_classes:
        comparable = units[units["metric"] == REPLICATES]
    pairs = {f"drop{TITLES[how]}": (SOURCE + TITLES[how], NEW + TITLES[how]) for how in alignments}
    return TransferabilityStudy(
        name="transferability",
        data=data,
        model=names[0],
        scores=scores,
        differences=differences_of(units, names[0], **options),
        leakage=pd.DataFrame([row for f in outcomes for row in f.leaks], columns=LEAKAGE),
        headline=_headline(scores) if headline == "auto" else headline,
        notes=(*notes, *notes_of(plan, alignments, well, [n for f in outcomes for n in f.notes])),
        drops=drops_of(comparable, names[0], pairs, **options),
        layout=pd.DataFrame([row for f in outcomes for row in f.layout], columns=LAYOUT),
        fits=pd.DataFrame([found.fit for found in outcomes]).set_index("model"),
    )


def count_training_rows(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    label: str | None,
    target_label: str | None = None,
    molecule: str | None = None,
    hold_out: float = 0.5,
    references: int = 2,
    plate: str = "plate",
    controls: Any = "auto",
    random_state: Any = None,
) -> int:
    """Count the treated rows that `study_transferability` will train methods on.

    To give methods the same number of updates, whose lengths of training are set in epochs.

    Parameters
    ----------
    source, target : DataFrame
        As in `study_transferability`, as are the following.
    label, target_label, molecule : str, optional
        Columns.
    hold_out : float, default=0.5
        Share of molecules.
    references : int, default=2
        Reference molecules of a class.
    plate : str, default="plate"
        Column of plates.
    controls : "auto", (column, value or values) or None, default="auto"
        Negative controls.
    random_state : int, RandomState or None, default=None
        That of the study.

    Returns
    -------
    int
        Rows of the source that are no controls, of molecules that are not held out.

    Raises
    ------
    TypeError, ValueError
        As there.

    Examples
    --------
    >>> from cloome_sk.datasets import make_profiles
    >>> from cloome_sk.evaluation.transferability import count_training_rows
    >>> X = make_profiles(n_compounds=24, n_plates=4, random_state=0)  # simulated
    >>> count_training_rows(X, X, label="moa", random_state=0)
    24
    """
    first, _, split = _labs(
        (source, target),
        labels=(label, label if target_label is None else target_label),
        molecule=molecule,
        hold_out=hold_out,
        cv=2,
        references=references,
        plate=plate,
        align_by=None,
        controls=controls,
        seed=_seeds(random_state)[0],
    )
    return len(first.rows_of(split.trained))


def _seeds(random_state: Any) -> list[int]:
    """Of what is held out and folds, of draws, and of resamples."""
    generator = check_random_state(random_state)
    return [int(seed) for seed in generator.randint(np.iinfo(np.int32).max, size=3)]


def _labs(
    tables: tuple[pd.DataFrame, pd.DataFrame],
    *,
    labels: tuple[str | None, str | None],
    molecule: str | None,
    hold_out: float,
    cv: int,
    references: int,
    plate: str,
    align_by: str | None,
    controls: Any,
    seed: int,
) -> tuple[Lab, Lab, Split]:
    """Read both tables, and say which molecules are held out."""
    first, second = (
        read_lab(
            name,
            table,
            label=label,
            molecule=molecule,
            plate=plate,
            align_by=plate if align_by is None else align_by,
            controls=controls,
        )
        for name, table, label in zip(SIDES, tables, labels, strict=True)
    )
    check_same_kind(first, second)
    split = split_molecules(
        first,
        second,
        hold_out=hold_out,
        needed=max(FEWEST_MOLECULES, references + 1),
        n_folds=cv,
        random_state=seed,
    )
    return first, second, split


def _headline(scores: pd.DataFrame) -> str:
    """The first of the metrics that the target has an answer to."""
    on_target = scores[scores["part"].str.startswith((NEW, SEEN)) & (scores["n"] > 0)]
    answered = set(on_target["metric"])
    return next((name for name in (PROBE, CARRIED) if name in answered), REPLICATES)


def _check_methods(methods: Any) -> list[str]:
    if not isinstance(methods, Mapping) or not methods:
        raise TypeError(
            f"{PURPOSE}: methods must be a dict of estimators by name; got {methods!r}."
        )
    for name, method in methods.items():
        if not isinstance(name, str):
            raise TypeError(f"{PURPOSE}: methods are named by strings; got {name!r}.")
        if not hasattr(method, "fit") or not (
            embeds(method, "phenotype") or hasattr(method, "transform")
        ):
            raise TypeError(
                f"{PURPOSE}: method {name!r} ({type(method).__name__}) needs `fit`, and "
                "`embed_phenotypes` or `transform`."
            )
        check_trained_before(name, method, PURPOSE)
    return list(methods)


def _check_alignments(align: Any) -> tuple[str, ...]:
    asked = (align,) if isinstance(align, str) else tuple(align)
    unknown = [how for how in asked if how not in ALIGNMENTS]
    if unknown or not asked:
        raise ValueError(
            f"align must be one or several of {', '.join(map(repr, ALIGNMENTS))}; got {align!r}."
        )
    return tuple(dict.fromkeys(asked))
