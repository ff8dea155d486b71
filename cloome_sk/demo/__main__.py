"""The command itself: ``python -m cloome_sk.demo``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import joblib
import numpy as np
import pandas as pd

from cloome_sk import CloomeEmbedder, CrossModalRetriever
from cloome_sk.demo.classes import classification, zero_shot
from cloome_sk.demo.retrieval import unseen_molecules, unseen_plates
from cloome_sk.demo.training import (
    MODEL,
    encoders_of_unseen_molecules,
    encoders_of_unseen_plates,
    plate_split,
    unseen_indeed,
)
from cloome_sk.evaluation.screens import DATA, Screen, load_screen

N_DRAWN = 4
NOT_SHOWN = {"median_rank", "mean_rank", "mrr", "n_dropped"}
SAME_FOR_ALL = ("n_queries", "n_candidates")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; those of the process by default.
    """
    options = _options(arguments)
    start = time.perf_counter()
    drawn = options.output / f"{options.data}_screen"
    screen = load_screen(options.data, options.data_home, options.seed, drawn, options.jobs)
    folds = encoders_of_unseen_molecules(screen, options.seed, options.jobs)
    models = encoders_of_unseen_plates(screen, options.seed, options.jobs)
    print(f"\n{unseen_indeed(screen, folds, options.seed)}")
    print_retrieval(
        "Retrieval of molecules not seen in training (candidates: those of the fold)",
        unseen_molecules(screen, folds),
    )
    print_retrieval(
        "Retrieval of seen molecules on plates not seen in training",
        unseen_plates(screen, models, options.seed),
    )
    named = f"{screen.class_name} of molecules not seen in training"
    classified = classification(screen, folds, options.jobs)
    print_table(f"{named}: logistic regression", classified)
    print_table(f"{named}: zero-shot", zero_shot(screen, folds, options.seed))
    options.output.mkdir(parents=True, exist_ok=True)
    for path in draw(screen, models[MODEL], options.output, options.seed):
        print(f"Picture of queries and their hits: {path}")
    stored = options.output / f"{screen.name}.joblib"
    print(store_and_reload(screen, models[MODEL], stored))
    print(f"Done in {time.perf_counter() - start:.0f} s.")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cloome_sk.demo",
        description="Train, retrieve both ways, classify, name mechanisms, store and reload.",
    )
    parser.add_argument(
        "--data",
        choices=DATA,
        default=DATA[0],
        help="a screen of simulated images (default) or profiles, or a public one from the data "
        "folder",
    )
    parser.add_argument("--data-home", help="data folder; by default that of CLOOME_SK_DATA")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo_output"),
        help="folder of drawn images, pictures and model",
    )
    parser.add_argument("--seed", type=int, default=0, help="random_state of everything")
    parser.add_argument("--jobs", type=int, default=2, help="processes that draw and train")
    return parser.parse_args(arguments)


def print_retrieval(title: str, tables: Mapping[str, pd.DataFrame]) -> None:
    """Print figures for each direction of retrieval, chance last.

    Parameters
    ----------
    title : str
        A line above.
    tables : dict of str to DataFrame
        From `cloome_sk.demo.retrieval`.
    """
    print(f"{title}\n{'-' * len(title)}")
    for direction, table in tables.items():
        first = table.iloc[0]
        cuts = [name.removeprefix("chance@") for name in map(str, table) if "chance@" in name]
        n_queries, n_candidates = (f"{first[name]:,.0f}" for name in SAME_FOR_ALL)
        shown = _written(table.drop(columns=[*SAME_FOR_ALL, *(f"chance@{cut}" for cut in cuts)]))
        chance = {f"R@{cut}": first[f"chance@{cut}"] for cut in cuts}
        chance["relative_rank"] = 0.5
        shown.loc["(chance)"] = [f"{chance[str(name)]:.3f}" for name in shown]
        print(f"{direction}: {n_queries} queries, {n_candidates} candidates\n{shown.to_string()}\n")


def print_table(title: str, table: pd.DataFrame) -> None:
    """Print figures under a title.

    Parameters
    ----------
    title : str
        A line above.
    table : DataFrame
        From `cloome_sk.demo.classes`.
    """
    print(f"{title}\n{'-' * len(title)}\n{_written(table).to_string()}\n")


def _written(table: pd.DataFrame) -> pd.DataFrame:
    """Figures as text: recall with its interval, whole numbers as such."""
    shown = pd.DataFrame(index=table.index)
    for name in table.columns:
        column = table[name]
        if name.endswith(("_low", "_high")) or name in NOT_SHOWN:
            continue
        if f"{name}_low" in table:
            low, high = table[f"{name}_low"], table[f"{name}_high"]
            shown[name] = [
                f"{value:.3f} [{a:.3f}, {b:.3f}]"
                for value, a, b in zip(column, low, high, strict=True)
            ]
        elif name.startswith("n_"):
            shown[name] = [f"{int(value)}" for value in column]
        else:
            shown[name] = [f"{value:.3f}" for value in column]
    return shown


def draw(screen: Screen, embedder: CloomeEmbedder, folder: Path, seed: int) -> list[Path]:
    """Draw some queries and what they find on unseen plates; of images, in both directions.

    Parameters
    ----------
    screen : Screen
        The screen.
    embedder : CloomeEmbedder
        Trained on the other plates.
    folder : Path
        Where to save the pictures.
    seed : int
        Which queries; they are not chosen by their hits.

    Returns
    -------
    list of Path
        The pictures.
    """
    from cloome_sk.report import plot_hits

    _, test = plate_split(screen, seed)
    database = screen.wells.iloc[test].reset_index(drop=True)
    molecules = database.drop_duplicates("Metadata_smiles")
    queries = molecules.sample(N_DRAWN, random_state=seed)
    title = "SIMULATED screen" if "simulated" in screen.name else screen.name
    names, label = queries["Metadata_pert_iname"].tolist(), None
    if screen.has_images:
        names, label = _with_mechanism(names, queries), screen.label
    hits = CrossModalRetriever(embedder).fit(database)
    figures = {
        "hits": plot_hits(
            hits.search(queries, n_neighbors=5, group_by="molecule"),
            queries["Metadata_smiles"],
            database,
            names=names,
            label=label,
            title=f"{title}: molecules as queries, {screen.unit}s of plates not seen in training "
            f"as hits\n(the best {screen.unit} of each molecule; queries drawn at random)",
        )
    }
    if screen.has_images:
        hits = CrossModalRetriever(embedder, query="phenotype", database="molecule").fit(molecules)
        figures["molecule_hits"] = plot_hits(
            hits.search(queries, n_neighbors=5),
            queries,
            molecules,
            names=names,
            label=label,
            title=f"{title}: images of plates not seen in training as queries, molecules as hits\n"
            "(the same queries)",
        )
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{screen.name}_{name}.png")
        figure.savefig(paths[-1], dpi=110)
    return paths


def _with_mechanism(names: Sequence[str], queries: pd.DataFrame) -> list[str]:
    """Name and mechanism of simulated queries, and which of them were drawn without any effect."""
    inert = ["" if active else "\n(drawn without effect)" for active in queries["Metadata_active"]]
    return [
        f"{name}\n{fill(moa, 24)}{note}"
        for name, moa, note in zip(names, queries["Metadata_moa"], inert, strict=True)
    ]


def store_and_reload(screen: Screen, embedder: CloomeEmbedder, path: Path) -> str:
    """Store a fitted embedder, load it again and compare what it gives.

    Parameters
    ----------
    screen : Screen
        The screen.
    embedder : CloomeEmbedder
        Fitted.
    path : Path
        Where to store it.

    Returns
    -------
    str
        A sentence for the user.

    Raises
    ------
    RuntimeError
        If the loaded embedder gives anything else.
    """
    joblib.dump(embedder, path)
    loaded = joblib.load(path)
    if not np.array_equal(loaded.transform(screen.wells), embedder.transform(screen.wells)):
        raise RuntimeError(f"The embedder loaded from {path} gives other embeddings.")
    return f"Stored in {path} ({path.stat().st_size / 1e6:.1f} MB), reloaded: identical embeddings."


if __name__ == "__main__":
    main()
