"""Batches of one plate layout against mixed ones, on a simulated screen with plate effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import t as student

from cloome_sk import CloomeEmbedder
from cloome_sk.encoders import MoleculeEncoder, ProfileEncoder
from cloome_sk.evaluation.unseen_compounds import center_on_controls
from cloome_sk.metrics import retrieval_ranks
from cloome_sk.training import ReplicateSpreadingSampler, plate_shortcut

PLATE = "Metadata_Plate"
MIXED, BY_LAYOUT, IN_SHARES = "mixed", "by plate layout", "plates in equal shares"
CENTRED = "mixed, centred on controls"
KINDS: dict[str, dict[str, Any]] = {
    MIXED: {},
    IN_SHARES: {"batch_labels": PLATE},
    BY_LAYOUT: {"batch_plates": PLATE},
    CENTRED: {},
}
"""Parameters of the embedder for each kind of batches; the first is what the rest is held to."""
EFFECTS = (0.0, 1.0, 2.0)
"""Standard deviations of the shift of a plate; that of a well is 0.7, and effects are in ±1."""
BATCH = 64
METRICS = ("R@1", "R@10", "relative rank", "R@1 within layout", "relative rank within layout")


@dataclass(frozen=True)
class Layouts:
    """A simulated screen of several plate layouts.

    Attributes
    ----------
    train, test : DataFrame
        Wells of the replicate plates, and of one more plate of each layout: ``Metadata_Plate``,
        ``layout``, ``molecule``, the profile (``Feature_``) and the molecule (``bit_``).
    centred_train, centred_test : DataFrame
        The same, the mean of the control wells of its plate subtracted from each profile.
    molecules : DataFrame
        The molecules, in the order of their codes.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    centred_train: pd.DataFrame
    centred_test: pd.DataFrame
    molecules: pd.DataFrame


def simulate_layouts(
    plate_effect: float,
    random_state: int,
    *,
    n_layouts: int = 8,
    n_molecules: int = 64,
    n_replicates: int = 4,
    n_features: int = 20,
    n_controls: int = 16,
    noise: float = 0.7,
) -> Layouts:
    """Simulate a library that was screened layout by layout, as large ones are.

    Parameters
    ----------
    plate_effect : float
        Standard deviation, for each feature, of what a plate adds to all of its wells.
    random_state : int
        Seed: one seed gives the same molecules, plates and noise whatever the effect.
    n_layouts, n_molecules, n_replicates : int
        Layouts, molecules on each, replicate plates of each in training; one more is for the test.
    n_features, n_controls : int
        Features, and control wells on each plate.
    noise : float
        Standard deviation, for each feature, of what is a well's own.

    Returns
    -------
    Layouts
        Tables. What a molecule does is ``tanh(W b)`` of its 96 random bits, W random: chemistry
        decides, and knows nothing of layouts.
    """
    rng = np.random.default_rng(random_state)
    n_all, n_plates = n_layouts * n_molecules, n_layouts * (n_replicates + 1)
    bits = (rng.random((n_all, 96)) < 0.2).astype(np.float32)
    effect = np.tanh(bits @ rng.normal(size=(96, n_features)) / 3)
    shift = plate_effect * rng.normal(size=(n_plates, n_features))
    controls = shift[:, None] + noise * rng.normal(size=(n_plates, n_controls, n_features))
    molecule = np.tile(np.arange(n_all), n_replicates + 1)
    replicate = np.repeat(np.arange(n_replicates + 1), n_all)
    layout = molecule // n_molecules
    plate = replicate * n_layouts + layout
    profile = effect[molecule] + shift[plate] + noise * rng.normal(size=(len(molecule), n_features))
    both = np.concatenate([profile, controls.reshape(-1, n_features)])
    places = np.concatenate([plate, np.repeat(np.arange(n_plates), n_controls)])
    is_control = np.arange(len(both)) >= len(profile)
    centred, _ = center_on_controls(both, is_control, [places])
    described = pd.DataFrame(
        {PLATE: [f"P{number}" for number in plate], "layout": layout, "molecule": molecule}
    )
    chemistry = pd.DataFrame(bits, columns=[f"bit_{number}" for number in range(bits.shape[1])])
    last = replicate == n_replicates

    def table(values: np.ndarray) -> pd.DataFrame:
        names = [f"Feature_{number}" for number in range(n_features)]
        measured = pd.DataFrame(values, columns=names)
        own = chemistry.iloc[molecule].reset_index(drop=True)
        return pd.concat([described, measured, own], axis=1)

    whole, moved = table(profile), table(centred[: len(profile)])
    train, test, centred_train, centred_test = (
        version[rows].reset_index(drop=True) for version in (whole, moved) for rows in (~last, last)
    )
    return Layouts(train, test, centred_train, centred_test, chemistry)


def study_plate_batches(
    *,
    n_seeds: int = 5,
    effects: Sequence[float] = EFFECTS,
    max_epochs: int = 20,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
    **sizes: int,
) -> pd.DataFrame:
    """Train with each kind of batches, and look for the molecules of wells on new plates.

    Parameters
    ----------
    n_seeds : int, default=5
        Simulated screens of each effect; seeds of weights and batches too.
    effects : sequence of float
        Sizes of the plate effect.
    max_epochs : int, default=20
        Epochs of each fit.
    random_state : int, default=0
        The first seed.
    n_jobs : int or None, default=None
        Fits at a time.
    verbose : int, default=0
        Above 0: a progress bar.
    **sizes : int
        Of `simulate_layouts`.

    Returns
    -------
    DataFrame, one row an effect, seed and kind
        Mean over wells of ``R@1``, ``R@10`` and ``relative rank`` among all molecules, and among
        those of the own layout; ``shortcut``, the nats that plates alone give away of the batches
        of an epoch, and ``named``, the share of rows whose molecule they name.
    """
    jobs = [
        (effect, random_state + seed, kind)
        for effect in effects
        for seed in range(n_seeds)
        for kind in KINDS
    ]
    run = Parallel(n_jobs=n_jobs, return_as="generator")
    done = run(delayed(_fitted)(*job, max_epochs, sizes) for job in jobs)
    if verbose:
        from tqdm.auto import tqdm

        done = tqdm(done, total=len(jobs), desc="plate batches", mininterval=30)
    return pd.DataFrame(list(done))


def make_batch_embedder(kind: str, max_epochs: int, seed: int) -> CloomeEmbedder:
    """Give the embedder that is trained with a kind of batches.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    max_epochs : int
        Epochs.
    seed : int
        Its `random_state`.

    Returns
    -------
    CloomeEmbedder
        Not fitted.
    """
    return CloomeEmbedder(
        ProfileEncoder(hidden_sizes=(256,)),
        MoleculeEncoder(
            columns=[f"bit_{number}" for number in range(96)],
            features="precomputed",
            hidden_sizes=(256,),
        ),
        n_components=32,
        batch_size=BATCH,
        max_epochs=max_epochs,
        random_state=seed,
        **KINDS[kind],
    )


def _fitted(
    effect: float, seed: int, kind: str, max_epochs: int, sizes: dict[str, int]
) -> dict[str, Any]:
    screen = simulate_layouts(effect, seed, **sizes)
    centred = kind == CENTRED
    train = screen.centred_train if centred else screen.train
    test = screen.centred_test if centred else screen.test
    embedder = make_batch_embedder(kind, max_epochs, seed).fit(train)
    phenotypes = embedder.embed_phenotypes(test)
    molecules = embedder.embed_molecules(screen.molecules)
    molecule, layout = test["molecule"].to_numpy(), test["layout"].to_numpy()
    everywhere = retrieval_ranks(
        phenotypes,
        molecules,
        query_ids=molecule,
        database_ids=np.arange(len(molecules)),
        ks=(1, 10),
    )
    inside = [
        retrieval_ranks(
            phenotypes[layout == number],
            molecules[np.unique(molecule[layout == number])],
            query_ids=molecule[layout == number],
            database_ids=np.unique(molecule[layout == number]),
            ks=(1,),
        )
        for number in np.unique(layout)
    ]
    within = pd.concat(inside, ignore_index=True)
    shortcut = shortcut_of(train, kind, seed)
    values = (
        everywhere["R@1"].mean(),
        everywhere["R@10"].mean(),
        everywhere["relative_rank"].mean(),
        within["R@1"].mean(),
        within["relative_rank"].mean(),
    )
    return {
        "effect": effect,
        "seed": seed,
        "kind": kind,
        **{name: float(value) for name, value in zip(METRICS, values, strict=True)},
        "shortcut": shortcut.nats,
        "named": shortcut.accuracy,
    }


def shortcut_of(train: pd.DataFrame, kind: str, seed: int) -> Any:
    """Measure what plates give away of the batches of an epoch.

    Parameters
    ----------
    train : DataFrame
        The training wells.
    kind : str
        One of `KINDS`.
    seed : int
        Of the batches.

    Returns
    -------
    PlateShortcut
        See `cloome_sk.training.plate_shortcut`.
    """
    molecules, plates = train["molecule"].to_numpy(), train[PLATE].to_numpy(object)
    names = {"batch_plates": "plates", "batch_labels": "balance"}
    options: dict[str, Any] = {names[parameter]: plates for parameter in KINDS[kind]}
    sampler = ReplicateSpreadingSampler(molecules, BATCH, seed, **options)
    return plate_shortcut(sampler.batches(0), molecules, plates)


def batch_tables(runs: pd.DataFrame, confidence: float = 0.95) -> dict[float, pd.DataFrame]:
    """Average over seeds; differences to mixed batches with Student's intervals over seeds.

    Parameters
    ----------
    runs : DataFrame
        From `study_plate_batches`.
    confidence : float, default=0.95
        Coverage.

    Returns
    -------
    dict of float to DataFrame
        For each plate effect, two rows a kind: its figures, and below how far they are from those
        of mixed batches of the same seed.
    """
    tables = {}
    for effect in sorted(set(runs["effect"])):
        own = runs[runs["effect"] == effect]
        wide = own.set_index(["seed", "kind"])
        n_seeds = own["seed"].nunique()
        factor = student.ppf((1 + confidence) / 2, n_seeds - 1) if n_seeds > 1 else np.nan
        reference = wide.xs(MIXED, level="kind")
        rows: dict[tuple[str, str], dict[str, str]] = {}
        for kind in KINDS:
            figures = wide.xs(kind, level="kind")
            rows[kind, "value"] = {
                name: f"{figures[name].mean():.3f}" for name in (*METRICS, "shortcut", "named")
            }
            if kind == MIXED:
                continue
            apart = figures - reference
            mean: pd.Series = apart.mean()
            reach: pd.Series = apart.std(ddof=1) * (factor / np.sqrt(n_seeds))
            low, high = mean - reach, mean + reach
            rows[kind, "difference"] = {
                name: f"{mean[name]:+.3f} [{low[name]:+.3f}, {high[name]:+.3f}]" for name in METRICS
            }
        tables[float(effect)] = pd.DataFrame(rows).T.fillna("")
    return tables
