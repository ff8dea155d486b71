"""Simulated screens in which the right answer is known, and what careless evaluations make of it.

In the first two, compounds do nothing at all, so that whatever is found is an artefact; in the
others they do, but what is found is not what was claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import t as student_t
from sklearn.base import clone
from sklearn.model_selection import GroupKFold

from cloome_sk.baselines import ProfileEmbedder, ProfileFeatures, compare, layout_test, linear_probe
from cloome_sk.baselines._fitted import unwrapped
from cloome_sk.baselines._folds import prepare, seeds
from cloome_sk.baselines._scores import ranked
from cloome_sk.baselines._structures import table_smiles
from cloome_sk.baselines.well_features import PlatePosition
from cloome_sk.datasets import make_profiles
from cloome_sk.evaluation.forest import draw_forest
from cloome_sk.evaluation.screens import make_embedder
from cloome_sk.evaluation.units import scores_of
from cloome_sk.model_selection import leakage_report, molecule_groups
from cloome_sk.preprocessing import ControlNormalizer, find_controls

N_FOLDS = 3
N_SCREENS = 20
"""Simulated screens of the first trap, where one tells little of what remains."""
COLUMNS = ["trap", "evaluation", "metric", "value", "low", "high", "chance", "n", "ok", "sentences"]
SALT = ".Cl"
SORTED = "1. The library was plated sorted by mechanism; compounds do nothing"
FIXED = "2. Every plate has one layout; compounds do nothing"
WELLS = "3. Wells are split at random; compounds have effects"
NAMES = "4. Molecules are told apart by how they are written; compounds have effects"


@dataclass(frozen=True)
class TrapStudy:
    """What `study_traps` found.

    Attributes
    ----------
    scores : DataFrame, one row a trap, evaluation and metric
        ``value`` with its interval, ``chance``, ``n`` molecules; ``ok`` and ``sentences`` are of
        the leakage report that belongs to the evaluation, missing where there is none.
    """

    scores: pd.DataFrame

    def report(self) -> str:
        """Write the traps down, one after the other.

        Returns
        -------
        str
            Many lines.
        """
        lines = []
        for trap, rows in self.scores.groupby("trap", sort=False):
            lines += ["", str(trap), "-" * len(str(trap))]
            texts = [
                "no answer"
                if not row.n
                else f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}] (chance {row.chance:.3f})"
                for row in rows.itertuples()
            ]
            table = rows.assign(text=texts)[["evaluation", "metric", "text"]]
            lines.append(table.to_string(index=False, header=False))
            for row in rows.dropna(subset=["ok"]).drop_duplicates("sentences").itertuples():
                lines.append(f"Leakage report, {row.evaluation}:")
                lines += [f"  {line}" for line in str(row.sentences).split("\n")]
        return "\n".join(lines).removeprefix("\n")

    def plot(self) -> Any:
        """Draw a panel a trap, with what the naive evaluation says and what remains.

        Returns
        -------
        matplotlib.figure.Figure
            Not shown.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        named = self.scores["evaluation"] + "\n" + self.scores["metric"]
        naive = named[self.scores["evaluation"].str.startswith("naive")]
        rows = self.scores.assign(part=self.scores["trap"], model=named)
        return draw_forest(
            rows,
            metric="AUROC or R@1",
            title="traps, simulated",
            model=set(naive),
            unit="",
            share=False,
        )

    def write(self, folder: str | PathLike[str]) -> list[Path]:
        """Write the figures as CSV and the picture as PNG.

        Parameters
        ----------
        folder : path-like
            Made where it is not there. Files of the same names are replaced.

        Returns
        -------
        list of Path
            What was written.
        """
        figure = self.plot()
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        self.scores.to_csv(where / "traps_simulated.csv", index=False)
        figure.savefig(where / "traps_simulated.png", dpi=150)
        return [where / "traps_simulated.csv", where / "traps_simulated.png"]


def study_traps(*, random_state: int = 0, n_jobs: int | None = None, verbose: int = 0) -> TrapStudy:
    """Walk into four traps of screens, on simulated profiles, and out of them.

    Parameters
    ----------
    random_state : int, default=0
        Seed of screens, folds, models and resamples.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    TrapStudy
        Of each trap what a naive evaluation reports, what the leakage report of its split says, and
        what remains when it is done as it should be.

    Notes
    -----
    1. Mechanisms stand on their own plates, plates differ, and compounds do nothing. Molecules are
       grouped in the split, as they should be, and still the mechanism of an unseen molecule is
       told: by its plate. The leakage report says that plates are shared. Centring on controls does
       not remove it all, as plates differ in scale too and controls are few. Only where molecules
       of the same plates are compared with each other does the plate tell nothing.
    2. Compounds stand in the same well on all plates, and do nothing. A well finds a replicate on a
       plate that was not trained on: by its position.
    3. Compounds have effects. With wells split at random, most test molecules are in training, and
       to find the right molecule is to recognise it.
    4. Half of the wells name their molecule as a hydrochloride. Folds by the text of a structure
       put one molecule on both sides.

    Examples
    --------
    >>> from cloome_sk.evaluation import study_traps
    >>> print(study_traps(random_state=0).report())  # doctest: +SKIP
    """
    parts = [_sorted_library, _fixed_layout, _split_wells, _written_names]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done: Any = run(delayed(_rows)(part, random_state) for part in parts)
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(parts), desc="traps")
    return TrapStudy(pd.concat(done, ignore_index=True).reindex(columns=COLUMNS))


def _rows(part: Callable[[int], Iterator[pd.DataFrame]], seed: int) -> pd.DataFrame:
    return pd.concat(list(part(seed)), ignore_index=True)


def _sorted_library(seed: int) -> Iterator[pd.DataFrame]:
    screens = [_one_sorted_library(seed + number) for number in range(N_SCREENS)]
    figures = pd.concat([scores for scores, _ in screens])
    values = figures.groupby("model", sort=False)["value"].agg(["mean", "sem"])
    reach = student_t.ppf(0.975, N_SCREENS - 1) * values["sem"]
    scores = pd.DataFrame(
        {
            "model": values.index,
            "metric": f"macro AUROC, mean of {N_SCREENS} screens",
            "value": values["mean"].to_numpy(),
            "low": (values["mean"] - reach).to_numpy(),
            "high": (values["mean"] + reach).to_numpy(),
            "chance": 0.5,
            "n": N_SCREENS,
        }
    )
    yield _as_rows(SORTED, scores, screens[0][1])


def _one_sorted_library(seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Figures of one screen, and the leakage report of its naive split."""
    raw = make_profiles(
        n_plates=8,
        n_replicates=2,
        allocation="by mechanism",
        signal=0.0,
        plate_effect=2.0,
        random_state=seed,
    )
    options: dict[str, Any] = {"task": "classes", "y": "moa", "random_state": seed}
    profile = linear_probe(ProfileFeatures())
    plate = linear_probe(PlatePosition(parts=("plate",)))
    centred = ControlNormalizer(sphering=False).fit_transform(raw)
    leak = _leak(raw, _first_fold(raw, cv=N_FOLDS, **options), ("molecule", "plate"))
    found = [
        compare(table, {name: model}, cv=cv, n_bootstrap=1, **options)
        for name, table, model, cv in (
            ("naive: profile as delivered, unseen molecules", raw, profile, N_FOLDS),
            ("control: the name of the plate alone", raw, plate, N_FOLDS),
            ("not enough: profile centred on controls", centred, profile, N_FOLDS),
            ("what remains: molecules of the same plates", raw, profile, _WithinPlates(seed)),
        )
    ]
    scores = pd.concat(found)
    return scores[scores["metric"] == "macro AUROC"], leak


class _WithinPlates:
    """Folds by molecule within each set of plates that share their molecules."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def split(self, X: pd.DataFrame, y: Any, groups: Any) -> Iterator[tuple[Any, Any]]:
        """Train and test on the plates of one set at a time."""
        sets = pd.Series(X["Metadata_Plate"].to_numpy()).groupby(groups).transform("min")
        folds = GroupKFold(N_FOLDS, shuffle=True, random_state=self.seed)
        for name in np.unique(sets):
            rows = np.flatnonzero(sets == name)
            for train, test in folds.split(rows, groups=groups[rows]):
                yield rows[train], rows[test]


def _fixed_layout(seed: int) -> Iterator[pd.DataFrame]:
    raw = make_profiles(layout="fixed", signal=0.0, position_effect=1.0, random_state=seed)
    table = ControlNormalizer(sphering=False).fit_transform(raw)
    options: dict[str, Any] = {"task": "unseen_plates", "cv": 2, "random_state": seed}
    leak = _leak(raw, _first_fold(raw, **options), ("plate", "position"))
    scores = compare(table, {"profile": ProfileEmbedder()}, **options).set_index("metric")
    for name, metric in (
        ("naive: replicate on an unseen plate", "R@1 phenotype to replicate"),
        (
            "what remains: replicate at another position",
            "R@1 phenotype to replicate at another position",
        ),
    ):
        row = scores.loc[[metric]].reset_index().assign(model=name, metric="R@1")
        yield _as_rows(FIXED, row, leak)
    layout = layout_test(table, random_state=seed).reset_index()
    layout = layout.rename(columns={"rate": "value", "n_positions": "n"})
    layout = layout.assign(model="control: vehicle wells find their position", metric="R@1")
    yield _as_rows(FIXED, layout, None)


def _split_wells(seed: int) -> Iterator[pd.DataFrame]:
    table = ControlNormalizer(sphering=True).fit_transform(make_profiles(random_state=seed))
    folds = GroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    keys = molecule_groups(_treated(table))
    each = np.arange(len(keys))
    yield _retrieval(WELLS, "naive: wells split at random", table, folds, each, keys, seed)
    yield _retrieval(WELLS, "what remains: molecules left out", table, folds, keys, keys, seed)


def _written_names(seed: int) -> Iterator[pd.DataFrame]:
    table = make_profiles(n_plates=2, random_state=seed)
    salted = (table["Metadata_Plate"] == "SIM0002") & ~find_controls(table).mask
    table.loc[salted, "Metadata_smiles"] += SALT
    table = ControlNormalizer(sphering=True).fit_transform(table)
    folds = GroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    keys = molecule_groups(_treated(table))
    written = _treated(table)["Metadata_smiles"].to_numpy(object)
    for name, groups in (
        ("naive: folds by the text of a structure", written),
        ("what remains: folds by molecule", keys),
    ):
        yield _retrieval(NAMES, name, table, folds, groups, keys, seed)


def _treated(table: pd.DataFrame) -> pd.DataFrame:
    return table[~find_controls(table).mask]


def _retrieval(
    trap: str,
    name: str,
    table: pd.DataFrame,
    splitter: Any,
    groups: np.ndarray,
    keys: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """R@1 of molecules for the wells of the test part, whatever the split shares with training."""
    treated = _treated(table)
    smiles = table_smiles(treated, "study_traps")
    units = []
    for train, test in splitter.split(treated, groups=groups):
        embedder = clone(make_embedder(len(train), seed)).fit(treated.iloc[train])
        Z = embedder.embed_phenotypes(treated.iloc[test])
        _, first = np.unique(keys[test], return_index=True)
        molecules = unwrapped(embedder).embed(smiles[test][first], "molecule")
        units.append(
            ranked(
                "phenotype to molecule",
                keys[test],
                Z,
                molecules,
                ks=(1,),
                query_ids=keys[test],
                database_ids=keys[test][first],
            )
        )
    found = pd.concat(units, ignore_index=True)
    found = found[found["metric"].str.startswith("R@1")]
    scores = scores_of(found.assign(part=trap, model=name, metric="R@1"), random_state=seed)
    fold = next(iter(splitter.split(treated, groups=groups)))
    return _as_rows(trap, scores, _leak(table, fold, "molecule"))


def _first_fold(
    table: pd.DataFrame, *, task: str, cv: int, random_state: int, y: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Treated rows of training and test in the first fold that `compare` makes of these options."""
    bench = prepare(
        table,
        task=task,
        y=y,
        groups=None,
        cv=cv,
        plate="plate",
        well="well",
        controls="auto",
        random_state=seeds(random_state)[0],
        purpose="study_traps",
    )
    return bench.folds[0]


def _leak(
    table: pd.DataFrame, fold: tuple[np.ndarray, np.ndarray], claim: str | tuple[str, ...]
) -> dict[str, Any]:
    """Ask for the leakage report of a fold: what it says of the claim."""
    treated = _treated(table)
    train, test = fold
    report = leakage_report(treated.iloc[train], treated.iloc[test], claim, controls=None)
    broken = (report.table["claimed"] & (report.table["n_shared"].fillna(0) > 0)).to_numpy()
    said = [report.sentences[at] for at in np.flatnonzero(broken)]
    claimed = " and ".join(report.claim)
    return {"ok": report.ok, "sentences": "\n".join(said) or f"No {claimed} is shared."}


def _as_rows(trap: str, scores: pd.DataFrame, leak: dict[str, Any] | None) -> pd.DataFrame:
    return scores.rename(columns={"model": "evaluation"}).assign(trap=trap, **(leak or {}))
