"""The command itself: ``python -m cloome_sk.demo``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from cloome_sk import CloomeEmbedder, CrossModalRetriever
from cloome_sk.demo.classes import classification, zero_shot
from cloome_sk.demo.retrieval import (
    encoders_of_unseen_molecules,
    plate_split,
    unseen_indeed,
    unseen_molecules,
    unseen_plates,
)
from cloome_sk.evaluation.screens import Screen, load_screen

N_DRAWN = 4
NOT_SHOWN = {"median_rank", "mean_rank", "mrr"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demo.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command-line arguments; those of the process by default.
    """
    options = _options(arguments)
    start = time.perf_counter()
    screen = load_screen(options.data, options.data_home, options.seed)
    folds = list(encoders_of_unseen_molecules(screen, options.seed))
    print(unseen_indeed(screen, folds))
    print_table("Retrieval of molecules not seen in training", unseen_molecules(screen, folds))
    embedder, on_plates = unseen_plates(screen, options.seed)
    print_table("Retrieval of seen molecules on plates not seen in training", on_plates)
    named = f"{screen.class_name} of molecules not seen in training"
    print_table(f"{named}: logistic regression", classification(screen, folds))
    print_table(f"{named}: zero-shot", zero_shot(screen, folds, options.seed))
    options.output.mkdir(parents=True, exist_ok=True)
    picture = options.output / f"{screen.name}_hits.png"
    draw(screen, embedder, picture, options.seed)
    print(f"Picture of queries and their hits: {picture}")
    stored = options.output / f"{screen.name}.joblib"
    print(store_and_reload(screen, embedder, stored))
    print(f"Done in {time.perf_counter() - start:.0f} s.")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cloome_sk.demo",
        description="Train, retrieve both ways, classify, name mechanisms, store and reload.",
    )
    parser.add_argument(
        "--data",
        choices=["simulated", "cell-injury", "cpjump1"],
        default="simulated",
        help="a simulated screen (default), or a public one from the data folder",
    )
    parser.add_argument("--data-home", help="data folder; by default that of CLOOME_SK_DATA")
    parser.add_argument(
        "--output", type=Path, default=Path("demo_output"), help="folder of picture and model"
    )
    parser.add_argument("--seed", type=int, default=0, help="random_state of everything")
    return parser.parse_args(arguments)


def print_table(title: str, table: pd.DataFrame) -> None:
    """Print figures under a title; recall with its interval, whole numbers as such.

    Parameters
    ----------
    title : str
        A line above.
    table : DataFrame
        From `cloome_sk.demo.retrieval` or `cloome_sk.demo.classes`.
    """
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
    print(f"{title}\n{'-' * len(title)}\n{shown.to_string()}\n")


def draw(screen: Screen, embedder: CloomeEmbedder, path: Path, seed: int) -> None:
    """Draw some molecules and the wells of unseen plates they find.

    Parameters
    ----------
    screen : Screen
        The screen.
    embedder : CloomeEmbedder
        Trained on the other plates.
    path : Path
        Where to save the picture.
    seed : int
        Which molecules; they are not chosen by their hits.
    """
    from cloome_sk.report import plot_hits

    _, test = plate_split(screen, seed)
    database = screen.wells.iloc[test].reset_index(drop=True)
    distinct = database.drop_duplicates("Metadata_smiles").sample(N_DRAWN, random_state=seed)
    retriever = CrossModalRetriever(embedder).fit(database)
    hits = retriever.search(distinct, n_neighbors=5, group_by="molecule")
    figure = plot_hits(
        hits,
        distinct["Metadata_smiles"],
        database,
        names=distinct["Metadata_pert_iname"].tolist(),
        title=f"{screen.name}: molecules as queries, wells of plates not seen in training as hits\n"
        "(the best well of each molecule; queries drawn at random)",
    )
    figure.savefig(path, dpi=110)


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
