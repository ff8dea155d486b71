"""One setting of training changed at a time: chosen by validation, told on a test part."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.model_selection import GroupKFold

from cloome_sk.baselines._fitted import embeds, pooled, unwrapped
from cloome_sk.baselines._scores import ranked
from cloome_sk.evaluation.ablation_settings import (
    DEFAULT,
    PLATE,
    SETTINGS,
    Setting,
    controls_of,
    embedder_of,
)
from cloome_sk.evaluation.paired import paired_figures
from cloome_sk.evaluation.screens import Screen
from cloome_sk.model_selection import scaffold_groups

N_UPDATES = 200
"""Updates of each fit. On these tables 60 are too few, and 200 about as good as 400."""
VALIDATION_SHARE = 0.2
"""Of the molecules that are not for the test."""
MEASURE = "valid_relative_rank"
CHOSEN = "chosen by validation"
RELATIVE_RANK = "relative rank"
METRICS = (
    RELATIVE_RANK,
    "R@1 P>M",
    "R@5 P>M",
    "R@1 M>P",
    "R@5 M>P",
    "seen: R@1 P>M",
    "seen: replicate",
    "seen: elsewhere",
)
"""Names of the figures. P: phenotype, M: molecule."""


@dataclass(frozen=True)
class Part:
    """Which rows of a screen one fit trains on, is validated by and is tested on.

    Attributes
    ----------
    fold, seed : int
        Which one.
    train, validation, test : ndarray of intp
        Rows of training molecules, of validation molecules (both on training plates) and of test
        molecules (all plates).
    new_plates : ndarray of intp
        Rows of training molecules on plates that are not trained on.
    """

    fold: int
    seed: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    new_plates: np.ndarray


@dataclass(frozen=True)
class AblationStudy:
    """What `study_ablation` found.

    Attributes
    ----------
    settings : tuple of Setting
        What was compared.
    validation : DataFrame
        One row a setting, seed and fold: ``value``, the relative rank in the validation part.
    scores : DataFrame
        One row a model, seed, fold, metric and test molecule.
    figures : DataFrame
        One row a model and metric, as `cloome_sk.evaluation.paired.paired_figures` gives it, with
        ``chance``.
    chosen : list of str
        The setting that validation chose for each fold.
    n_updates : int
        Updates of each fit, about.
    split : str
        How molecules were kept apart.
    """

    settings: tuple[Setting, ...]
    validation: pd.DataFrame
    scores: pd.DataFrame
    figures: pd.DataFrame
    chosen: list[str]
    n_updates: int
    split: str


def study_ablation(
    screen: Screen,
    *,
    n_seeds: int = 5,
    n_folds: int = 4,
    n_updates: int = N_UPDATES,
    split: str = "molecule",
    settings: Sequence[Setting] = SETTINGS,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> AblationStudy:
    """Fit each setting, and the controls, with several seeds on each of several parts of a screen.

    Parameters
    ----------
    screen : Screen
        Of profiles, from `cloome_sk.evaluation.load_screen`.
    n_seeds : int, default=5
        Seeds of weights and batches; each draws its own validation molecules.
    n_folds : int, default=4
        Test parts. Each molecule, and each plate, is in one.
    n_updates : int, default=200
        Updates of each fit, about.
    split : {"molecule", "scaffold"}, default="molecule"
        What keeps test, validation and training apart.
    settings : sequence of Setting
        The default first.
    random_state : int, default=0
        Seed of parts and resamples.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    AblationStudy
        Tables.

    Notes
    -----
    For each fold, a setting is chosen by the mean over seeds of the relative rank among validation
    molecules, which are no test molecules; the figures of `CHOSEN` are those of the setting chosen
    for the fold. So nothing that is told was chosen on the molecules it is told of.

    Settings and controls are trained on the same rows: those of neither test nor validation
    molecules, on plates that are no test plates.
    """
    parts = make_parts(screen, n_seeds, n_folds, split, random_state)
    settings = tuple(settings)
    jobs = [(part, setting) for part in parts for setting in (*settings, None)]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done = run(delayed(_fitted)(screen, part, setting, n_updates) for part, setting in jobs)
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(jobs), desc="ablation", mininterval=30)
    found = list(done)
    scores = pd.concat([table for table, _ in found], ignore_index=True)
    validation = pd.DataFrame(
        [
            {"model": setting.name, "seed": part.seed, "fold": part.fold, "value": measured}
            for (part, setting), (_, measured) in zip(jobs, found, strict=True)
            if setting is not None
        ]
    )
    chosen = choose(validation, [setting.name for setting in settings if setting.may_be_chosen])
    picked = [
        scores[(scores["fold"] == fold) & (scores["model"] == name)]
        for fold, name in enumerate(chosen)
    ]
    models = {str(name): own for name, own in scores.groupby("model", sort=False)}
    models[CHOSEN] = pd.concat(picked, ignore_index=True)
    changed = [setting.name for setting in settings[1:]]
    figures = paired_figures(models, settings[0].name, changed, random_state=random_state)
    figures["chance"] = figures["metric"].map(scores.groupby("metric")["chance"].mean())
    return AblationStudy(settings, validation, scores, figures, chosen, n_updates, split)


def choose(validation: pd.DataFrame, names: list[str]) -> list[str]:
    """Choose a setting for each fold: the least mean over seeds; the first of equal ones.

    Parameters
    ----------
    validation : DataFrame
        ``model``, ``seed``, ``fold`` and ``value``.
    names : list of str
        The models to choose from.

    Returns
    -------
    list of str
        One for each fold, in order.

    Examples
    --------
    >>> import pandas as pd
    >>> from cloome_sk.evaluation.ablation import choose
    >>> validation = pd.DataFrame(
    ...     {"model": ["A", "B"], "seed": 0, "fold": 0, "value": [0.4, 0.3]}
    ... )
    >>> choose(validation, ["A", "B"])
    ['B']
    """
    means = validation.groupby(["fold", "model"])["value"].mean().unstack()[names]
    return [str(name) for name in means.sort_index().idxmin(axis=1)]


def make_parts(
    screen: Screen, n_seeds: int, n_folds: int, split: str, random_state: int
) -> list[Part]:
    """Deal molecules and plates to test parts, and draw validation molecules for each seed.

    Parameters
    ----------
    screen : Screen
        The screen.
    n_seeds, n_folds : int
        How many of each.
    split : {"molecule", "scaffold"}
        What stays together.
    random_state : int
        Seed.

    Returns
    -------
    list of Part
        One for each fold and seed.

    Raises
    ------
    ValueError
        For another split, no seed or fewer than two folds.
    """
    if split not in ("molecule", "scaffold"):
        raise ValueError(f"split must be 'molecule' or 'scaffold', got {split!r}.")
    if n_seeds < 1 or n_folds < 2:
        raise ValueError(
            f"The ablation needs a seed and two folds at least; got {n_seeds} and {n_folds}."
        )
    molecules = screen.molecules
    groups = molecules if split == "molecule" else scaffold_groups(screen.wells)
    plates = screen.wells[PLATE].to_numpy(object)
    dealt = GroupKFold(n_folds, shuffle=True, random_state=random_state)
    names = np.unique(plates)
    plate_fold = dict(
        zip(
            np.random.default_rng([random_state, 0]).permutation(names),
            np.arange(len(names)) % n_folds,
            strict=True,
        )
    )
    of_plate = np.array([plate_fold[name] for name in plates])
    parts = []
    for fold, (rest, test) in enumerate(dealt.split(molecules, groups=groups)):
        inside = np.unique(groups[rest])
        for seed in range(n_seeds):
            rng = np.random.default_rng([random_state, 1, fold, seed])
            n_held = max(2, round(VALIDATION_SHARE * len(inside)))
            held = np.isin(groups[rest], rng.permutation(inside)[:n_held])
            known = of_plate[rest] != fold
            training = rest[~held & known]
            seen = np.isin(molecules[rest], molecules[training])
            parts.append(
                Part(fold, seed, training, rest[held & known], test, rest[~held & ~known & seen])
            )
    return parts


def _fitted(
    screen: Screen, part: Part, setting: Setting | None, n_updates: int
) -> tuple[pd.DataFrame, float]:
    """Scores of a setting and its figure of validation; or, for None, scores of the controls."""
    table, n_pairs = screen.wells, len(part.train)
    # Seeds of two folds are two seeds: a fold is another table.
    seed = 1000 * part.seed + part.fold
    train = table.iloc[part.train]
    if setting is None:
        default = embedder_of(screen, Setting(DEFAULT, DEFAULT), n_pairs, n_updates, seed)
        found = [
            score(screen, part, model.fit(train)).assign(model=name)
            for name, model in controls_of(screen, default, seed).items()
        ]
        return pd.concat(found, ignore_index=True), float("nan")
    embedder = embedder_of(screen, setting, n_pairs, n_updates, seed)
    embedder.set_params(validation=table.iloc[part.validation])
    with warnings.catch_warnings():
        # Small layouts leave nothing to gather: then the setting is that of the batch size alone.
        warnings.filterwarnings("ignore", "Batches are not balanced by plate")
        embedder.fit(train)
    measured = embedder.history_[MEASURE]
    value = measured.min() if embedder.keep == "best" else measured.iloc[-1]
    return score(screen, part, embedder).assign(model=setting.name), float(value)


def score(screen: Screen, part: Part, model: Any) -> pd.DataFrame:
    """Score a fitted model on the test molecules, and on new plates of the training molecules.

    Parameters
    ----------
    screen : Screen
        The screen.
    part : Part
        Which rows.
    model : estimator
        Fitted on the training rows. One without `embed_molecules` is scored on replicates alone.

    Returns
    -------
    DataFrame
        ``seed``, ``fold``, ``molecule``, ``metric``, ``value`` and ``chance``, a row for each
        molecule, queries of one molecule averaged.
    """
    fitted, table, keys = unwrapped(model), screen.wells, screen.molecules
    new = part.new_plates
    of_new = fitted.embed(table.iloc[new], "phenotype")
    found = []
    if embeds(model, "molecule"):
        of_test = fitted.embed(table.iloc[part.test], "phenotype")
        there, back = _both_ways(fitted, of_test, screen, part.test)
        both = pd.concat([there, back], ignore_index=True)
        relative = both[both["metric"].str.startswith("relative rank")]
        found += [
            relative.assign(metric=RELATIVE_RANK),
            _named(there, {f"R@{k} phenotype to molecule": f"R@{k} P>M" for k in (1, 5)}),
            _named(back, {f"R@{k} molecule to phenotype": f"R@{k} M>P" for k in (1, 5)}),
        ]
        if len(new):
            there, _ = _both_ways(fitted, of_new, screen, new)
            found.append(_named(there, {"R@1 phenotype to molecule": "seen: R@1 P>M"}))
    if len(new):
        known = part.train
        of_known = fitted.embed(table.iloc[known], "phenotype")
        wells = table["Metadata_Well"].to_numpy(object)
        options: dict[str, Any] = {
            "query_ids": keys[new],
            "database_ids": keys[known],
            "duplicates": "keep",
            "ks": (1,),
        }
        found.append(
            _named(
                ranked("again", keys[new], of_new, of_known, **options),
                {"R@1 again": "seen: replicate"},
            )
        )
        places = wells[new], wells[known]
        found.append(
            _named(
                ranked("again", keys[new], of_new, of_known, exclude=places, **options),
                {"R@1 again": "seen: elsewhere"},
            )
        )
    scores = pd.concat(found, ignore_index=True).dropna(subset=["unit"])
    means = scores.groupby(["metric", "unit"], sort=False)[["value", "chance"]].mean()
    means = means.reset_index().rename(columns={"unit": "molecule"})
    return means.assign(seed=part.seed, fold=part.fold)


def _both_ways(
    fitted: Any, Z: np.ndarray, screen: Screen, rows: np.ndarray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """From pooled phenotypes to molecules, one candidate a molecule, and back."""
    codes, names = pd.factorize(screen.molecules[rows])
    first = rows[np.unique(codes, return_index=True)[1]]
    phenotypes = pooled(Z, codes)
    smiles = screen.wells["Metadata_smiles"].to_numpy(object)[first]
    molecules = np.asarray(fitted.embed(smiles, "molecule"))
    units = np.asarray(names, dtype=object)
    return (
        ranked("phenotype to molecule", units, phenotypes, molecules, ks=(1, 5)),
        ranked("molecule to phenotype", units, molecules, phenotypes, ks=(1, 5)),
    )


def _named(scores: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The rows of these metrics, under shorter names."""
    kept = scores[scores["metric"].isin(list(names))]
    return kept.assign(metric=kept["metric"].map(names))
