"""Mechanisms of compounds that training did not see, told from single cells of BBBC021."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.utils import check_random_state
from tqdm.auto import tqdm

from cloome_sk import CloomeEmbedder
from cloome_sk.baselines import UntrainedEmbedder
from cloome_sk.encoders import ImageEncoder, MoleculeEncoder
from cloome_sk.evaluation.unseen_compounds import (
    CELLS_BALANCED,
    COMPOUNDS,
    METRICS,
    PENALTIES,
    center_on_controls,
    compound_draws,
    compound_folds,
    compound_probe,
)
from cloome_sk.imaging.intensity import intensity_features
from cloome_sk.preprocessing import find_controls

FOLDS = 7
"""Each trains a network; one fold for each compound costs four times as much."""
N_UPDATES = 300
"""Training steps of the network, whatever the number of crops."""
BATCH = 128
CODES = [f"code_{number}" for number in range(64)]
"""Columns of the random unit vectors that stand for compounds."""
N_BOOTSTRAP = 2000

LARGEST, BATCHES = "largest class of training", "plate and week, no image"
INTENSITY, UNTRAINED, TRAINED = "27 intensity features", "untrained CNN", "CNN"
ON_WEEK, ON_PLATE = ", centred on DMSO of its week", ", centred on DMSO of its plate"
VERSIONS = ("", ON_WEEK, ON_PLATE)
MODELS = (
    LARGEST,
    BATCHES,
    *(f"{name}{version}" for name in (INTENSITY, UNTRAINED, TRAINED) for version in VERSIONS),
)
ALONE, ACCOMPANIED = "alone in its week", "class in its week"


@dataclass(frozen=True)
class CropStudy:
    """What `study_crops` found.

    Attributes
    ----------
    cells : DataFrame
        The metadata of the tested crops, their fold, and ``in_week``: whether another compound of
        the class has crops in the same week.
    probabilities : dict of str to ndarray, shape (n_cells, n_classes)
        What each model gave each of them, by the model of the fold that did not see its compound.
    scores : DataFrame
        One row a model and metric: value, interval, and the difference to the intensity features
        with its interval.
    facts : list of str
        What the table holds, what is confounded in it, and how was measured.
    """

    cells: pd.DataFrame
    probabilities: dict[str, np.ndarray]
    scores: pd.DataFrame
    facts: list[str]

    def confounding(self) -> pd.DataFrame:
        """Count the tested crops of each compound in each week.

        Returns
        -------
        DataFrame
            A row for each class and compound, a column for each week.
        """
        weeks = self.cells["Metadata_week"]
        rows = [self.cells["Metadata_moa"], self.cells["Metadata_compound"]]
        table = pd.crosstab(rows, weeks).rename_axis(columns=None)
        table.index.names = [None, None]
        return table[sorted(table.columns, key=lambda week: int(str(week).removeprefix("Week")))]

    def by_company(self) -> pd.DataFrame:
        """Split the mean over compounds by whether the week alone could tell the class.

        Returns
        -------
        DataFrame
            A row for each model; crops in whose week another compound of their class was run,
            and the others. The column names say of how many crops and compounds.
        """
        parts = {}
        for name, rows in ((ACCOMPANIED, self.cells["in_week"]), (ALONE, ~self.cells["in_week"])):
            cells = self.cells[rows]
            compounds = cells["Metadata_compound"]
            title = f"{name}: {len(cells)} crops, {compounds.nunique()} compounds"
            right = {
                model: pd.Series(self._right(model)[rows.to_numpy()], index=cells.index)
                for model in self.probabilities
            }
            parts[title] = {m: hits.groupby(compounds).mean().mean() for m, hits in right.items()}
        return pd.DataFrame(parts)

    def _right(self, model: str) -> np.ndarray:
        return self.probabilities[model].argmax(axis=1) == self.cells["label"].to_numpy()

    def report(self) -> str:
        """Arrange everything for reading.

        Returns
        -------
        str
            Many lines.
        """
        chance = 1 / next(iter(self.probabilities.values())).shape[1]
        values = [
            f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in self.scores.itertuples()
        ]
        gains = [
            f"{row.gain:+.3f} [{row.gain_low:+.3f}, {row.gain_high:+.3f}]"
            for row in self.scores.itertuples()
        ]
        table = _arranged(self.scores.assign(text=values))
        table.loc["(a guess)"] = f"{chance:.3f}"
        differences = _arranged(self.scores.assign(text=gains))[[CELLS_BALANCED, COMPOUNDS]]
        sections = {
            "Crops of each compound in each week": self.confounding().to_string(),
            "Share named right: cells, treatments, and the mean over compounds": table.to_string(),
            f"Difference to {INTENSITY}": differences.drop(INTENSITY).to_string(),
            "The mean over compounds, by whether another compound of the class was in the week": (
                self.by_company().round(3).to_string()
            ),
        }
        parts = ["\n".join(self.facts)]
        parts += [f"{title}\n{'-' * len(title)}\n{body}" for title, body in sections.items()]
        return "\n\n".join(parts)


def _arranged(scores: pd.DataFrame) -> pd.DataFrame:
    table = scores.pivot(index="model", columns="metric", values="text")
    models = list(dict.fromkeys(scores["model"]))
    return table.loc[models, list(METRICS)].rename_axis(index=None, columns=None)


def make_crop_embedder(n_pairs: int, seed: int) -> CloomeEmbedder:
    """Give the embedder of the study.

    Intensities are scaled between limits of the DMSO crops of a week, which many plates have none
    of, and a week always has. Nothing was tuned on the figures of the study.

    Parameters
    ----------
    n_pairs : int
        Number of training crops; more crops, fewer epochs.
    seed : int
        Its `random_state`.

    Returns
    -------
    CloomeEmbedder
        Not fitted.
    """
    return CloomeEmbedder(
        phenotype=ImageEncoder(network="small", scaling="plate", plate="Metadata_week"),
        molecule=MoleculeEncoder(columns=CODES, features="precomputed", hidden_sizes=(256,)),
        n_components=128,
        batch_size=BATCH,
        max_epochs=max(1, round(N_UPDATES / -(-n_pairs // BATCH))),
        random_state=seed,
    )


def study_crops(
    table: pd.DataFrame,
    *,
    folds: int | str = FOLDS,
    embedder: CloomeEmbedder | None = None,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> CropStudy:
    """Name the mechanism of unseen compounds by images, by intensities, and by plate and week.

    Parameters
    ----------
    table : DataFrame
        From `cloome_sk.datasets.load_bbbc021_crops`.
    folds : int or "all", default=7
        "all" leaves out one compound at a time. A number deals them to so many folds, no two of
        a class to one: quicker, and a little harder, as there are fewer compounds to learn from.
    embedder : CloomeEmbedder, optional
        Cloned and trained in each fold, with ``code_0`` to ``code_63`` for a molecule;
        `make_crop_embedder` by default.
    random_state : int, default=0
        Seed of folds, codes, training and resamples.
    n_jobs : int or None, default=None
        Folds at a time.
    verbose : int, default=0
        Above 0: a progress bar.

    Returns
    -------
    CropStudy
        Figures.

    Raises
    ------
    ValueError
        If no class has two compounds, there are fewer folds than compounds in a class, or a
        week has no negative control.

    Examples
    --------
    >>> from cloome_sk.datasets import load_bbbc021_crops
    >>> from cloome_sk.evaluation.crops import study_crops
    >>> print(study_crops(load_bbbc021_crops()).report())  # doctest: +SKIP
    """
    control = find_controls(table).mask
    sizes = table[~control].groupby("Metadata_moa")["Metadata_compound"].nunique()
    kept = control | table["Metadata_moa"].isin(sizes.index[sizes >= 2]).to_numpy()
    table, control = table[kept].reset_index(drop=True), control[kept]
    cells = table[~control].drop(columns=["Image"])
    moa_of = dict(zip(cells["Metadata_compound"], cells["Metadata_moa"], strict=True))
    held_out = compound_folds(moa_of, folds, random_state)
    classes, labels = np.unique(cells["Metadata_moa"].to_numpy(object), return_inverse=True)
    compounds = cells["Metadata_compound"].to_numpy(object)
    fold_of = {name: number for number, held in enumerate(held_out) for name in held}
    cells = cells.assign(
        fold=[fold_of[name] for name in compounds], label=labels, in_week=_in_week(cells)
    ).reset_index(drop=True)

    images = np.stack([intensity_features(image) for image in table["Image"]])
    batches = pd.get_dummies(table[["Metadata_Plate", "Metadata_week"]]).to_numpy(float)
    fixed = {BATCHES: batches, **_versions(INTENSITY, images, table, control)}
    bench = _Bench(
        pd.concat([table, compound_codes(table["Metadata_compound"], random_state)], axis=1),
        control,
        labels,
        {name: features[~control] for name, features in fixed.items()},
        embedder,
        random_state,
    )
    jobs = (delayed(bench.run)(held) for held in held_out)
    found = Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    results = list(tqdm(found, total=len(held_out), desc="Folds", disable=not verbose))
    probabilities = {}
    for name in MODELS:
        probabilities[name] = np.full((len(cells), len(classes)), np.nan)
        for number, result in enumerate(results):
            probabilities[name][(cells["fold"] == number).to_numpy()] = result[name]
    facts = _facts(table, control, cells, held_out)
    return CropStudy(cells, probabilities, _scores(cells, probabilities, random_state), facts)


def _versions(
    name: str, features: np.ndarray, table: pd.DataFrame, control: np.ndarray
) -> dict[str, np.ndarray]:
    """Features as they are, and centred on the controls of their week, and of their plate."""
    plate, week = table["Metadata_Plate"].to_numpy(str), table["Metadata_week"].to_numpy(str)
    return {
        name: features,
        f"{name}{ON_WEEK}": center_on_controls(features, control, [week])[0],
        f"{name}{ON_PLATE}": center_on_controls(features, control, [plate, week])[0],
    }


def compound_codes(compounds: pd.Series, seed: int) -> pd.DataFrame:
    """Draw a random unit vector for each compound, as a stand-in for its structure.

    Parameters
    ----------
    compounds : Series of str, length n_crops
        Compound of each crop; missing for none.
    seed : int
        Of the vectors.

    Returns
    -------
    DataFrame of float64, shape (n_crops, 64)
        Columns `CODES`, in the row of each of the compound's crops.
    """
    of_row, names = pd.factorize(compounds)
    vectors = check_random_state(seed).normal(size=(len(names), len(CODES)))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return pd.DataFrame(vectors[of_row], columns=CODES, index=compounds.index)


@dataclass(frozen=True)
class _Bench:
    """What every fold starts from; `labels` and `features` are of treated rows alone."""

    table: pd.DataFrame
    control: np.ndarray
    labels: np.ndarray
    features: dict[str, np.ndarray]
    embedder: CloomeEmbedder | None
    seed: int

    def run(self, held_out: list[str]) -> dict[str, np.ndarray]:
        """Probabilities of the classes for each crop of the compounds left out."""
        unseen = self.table["Metadata_compound"].isin(held_out).to_numpy()
        compounds = self.table["Metadata_compound"].to_numpy(object)[~self.control]
        test = unseen[~self.control]
        embedder = self.embedder or make_crop_embedder(int((~test).sum()), self.seed)
        features = dict(self.features)
        for name, model in ((UNTRAINED, UntrainedEmbedder(embedder)), (TRAINED, clone(embedder))):
            fitted = model.fit(self.table[~unseen].reset_index(drop=True))
            embedded = np.asarray(fitted.embed_phenotypes(self.table), dtype=np.float64)
            versions = _versions(name, embedded, self.table, self.control)
            features.update({key: rows[~self.control] for key, rows in versions.items()})
        labels, train = self.labels, ~test
        n_classes = int(labels.max()) + 1
        largest = np.bincount(labels[train], minlength=n_classes).argmax()
        out = {LARGEST: np.tile(np.eye(n_classes)[largest], (int(test.sum()), 1))}
        for name, rows in features.items():
            probe = compound_probe(rows[train], labels[train], compounds[train], self.seed)
            out[name] = np.zeros((int(test.sum()), n_classes))
            out[name][:, probe.classes_] = probe.predict_proba(rows[test])
        return out


def _in_week(cells: pd.DataFrame) -> np.ndarray:
    """Whether another compound of the class of a crop has crops in its week."""
    together = cells.groupby(["Metadata_moa", "Metadata_week"])["Metadata_compound"]
    return together.transform("nunique").to_numpy() > 1


def _facts(
    table: pd.DataFrame, control: np.ndarray, cells: pd.DataFrame, folds: list[list[str]]
) -> list[str]:
    """What the table holds, what is confounded in it, and how it was measured."""
    compounds = cells.groupby("Metadata_compound")
    n_treatments = compounds["Metadata_conc_uM"].nunique().sum()
    largest = cells["Metadata_compound"].value_counts()
    share = cells["Metadata_moa"].value_counts(normalize=True)
    weeks = compounds["Metadata_week"].nunique()
    several = [f"{name} ({number} weeks)" for name, number in weeks.items() if number > 1]
    dmso = table.loc[control, ["Metadata_Plate", "Metadata_week"]]
    of_week = dmso["Metadata_week"].value_counts()
    bare = ~cells["Metadata_Plate"].isin(dmso["Metadata_Plate"])
    n_plates, n_bare = (part["Metadata_Plate"].nunique() for part in (table, cells[bare]))
    held = "one compound" if max(map(len, folds)) == 1 else "compounds of different classes"
    repositories = [
        f"{name} {len(rows)} crops of {rows['Metadata_compound'].nunique()} compound(s)"
        for name, rows in table.groupby("Metadata_repository")
    ]
    return [
        f"{len(cells)} crops of {len(weeks)} compounds ({n_treatments} treatments), "
        f"{len(share)} classes of at least two compounds; {len(dmso)} DMSO crops.",
        f"{largest.index[0]} alone has {largest.iloc[0]} crops; the largest class, "
        f"{share.index[0]}, has {share.iloc[0]:.2f} of all.",
        f"{len(folds)} folds, each leaving out {held}, whose class keeps another one in training.",
        "Logistic regression, classes of equal weight, C of "
        f"{', '.join(map(str, PENALTIES))} chosen on compounds left out of the training part.",
        f"Intervals: 95 %, bootstrap over the {len(weeks)} compounds.",
        f"DMSO crops of a week: {of_week.min()} to {of_week.max()}. {n_bare} of {n_plates} plates "
        f"have none; their {int(bare.sum())} crops are centred on the week in every version.",
        f"Confounded: {int((weeks == 1).sum())} of {len(weeks)} compounds were run in one week "
        f"alone; in several: {', '.join(several) or 'none'}.",
        "Confounded too: the repository that held the crops (DMSO counts as a compound). "
        f"{'; '.join(repositories)}.",
    ]


def _scores(cells: pd.DataFrame, probabilities: dict[str, np.ndarray], seed: int) -> pd.DataFrame:
    draws = compound_draws(cells, probabilities, N_BOOTSTRAP, seed)
    rows = []
    for (model, metric), values in draws.items():
        gains = values - draws[INTENSITY, metric]
        low, high = np.quantile(values[1:], [0.025, 0.975])
        gain_low, gain_high = np.quantile(gains[1:], [0.025, 0.975])
        rows.append((model, metric, values[0], low, high, gains[0], gain_low, gain_high))
    columns = ["model", "metric", "value", "low", "high", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns)
