"""How long picking from a large catalogue takes, beside RDKit's MaxMin picker.

``python -m benchmarks.bench_library`` also picks 1,000 of the 115,723 JUMP compounds in the folder
that CLOOME_SK_DATA names, from SMILES and 512 numbers of phenotype each, and reports the time of
each step and the highest memory of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

from benchmarks._data import library
from benchmarks._memory import highest_megabytes
from benchmarks._timing import Case, Comparison
from cloome_sk._library_compounds import read_compounds
from cloome_sk._library_selection import Pool, make_pool, novelty_of, run
from cloome_sk.library import LibraryDesigner
from cloome_sk.molecules import invalid_smiles, molecule_key, parent_smiles
from cloome_sk.molecules.keys import _key
from cloome_sk.molecules.parents import _parent_smiles

N_OWNED, N_COMPONENTS = 1_000, 512
GENERATOR = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def rows(full: bool) -> Iterator[Case]:
    """Compare picks from fingerprints that are there, and from SMILES."""
    n_molecules, budget = (115_723, 1_000) if full else (4_096, 100)
    smiles = library(n_molecules)
    n_owned = min(N_OWNED, n_molecules // 8)
    deck, offered = smiles[:n_owned], smiles[n_owned:]
    pool = ready(deck, offered)
    order = [offered[row] for row in pool.rows]
    prints = fingerprints([*order, *deck])
    expected = rdkit_picks(prints, len(order), budget)
    if picks(pool, "maxmin", 0.0, budget) != expected:
        raise AssertionError("the picks differ from those of RDKit")
    size = f"{budget:,} of {len(offered):,}, {n_owned:,} owned"
    theirs = partial(rdkit_picks, prints, len(order), budget)
    for share, what in ((0.0, "fingerprints"), (0.5, "fingerprints, 512-d"), (1.0, "512-d")):
        for objective in ("maxmin", "coverage"):
            ours = partial(picks, pool, objective, share, budget)
            name = "RDKit MaxMinPicker, fingerprints"
            yield Comparison(f"{objective}, {what}", size, ours, name, theirs)
    yield Comparison(
        "LibraryDesigner from SMILES",
        size,
        lambda: LibraryDesigner(phenotype_share=0).fit(deck).select(offered, budget),
        "RDKit, SMILES to MaxMinPicker",
        lambda: (forget(), rdkit_picks(fingerprints([*order, *deck]), len(order), budget)),
        before=forget,
    )


def ready(deck: list[str], offered: list[str]) -> Pool:
    """Everything that picking needs; phenotypes are a fixed function of the fingerprint."""
    owned = pd.DataFrame(
        {"name": deck, "smiles": deck, "molecule": molecule_key(deck)}, dtype=object
    )
    return make_pool(
        read_compounds(offered, None, None, purpose="benchmark"),
        np.arange(len(offered)),
        phenotypes(offered),
        owned,
        phenotypes(deck),
        radius=2,
        n_bits=2048,
        random_state=None,
    )


def phenotypes(smiles: list[str]) -> np.ndarray:
    """Unit vectors of a random map of the fingerprint."""
    axes = np.random.default_rng(0).normal(size=(2048, N_COMPONENTS)).astype(np.float32)
    blocks = [
        np.array([GENERATOR.GetFingerprintAsNumPy(Chem.MolFromSmiles(text)) for text in part])
        for part in np.array_split(np.array(smiles, dtype=object), len(smiles) // 4096 + 1)
    ]
    mapped = np.concatenate([np.tanh(block.astype(np.float32) @ axes / 5) for block in blocks])
    return mapped / np.linalg.norm(mapped, axis=1, keepdims=True)


def picks(pool: Pool, objective: str, share: float, budget: int) -> list[int]:
    """Places that the package picks."""
    shares = {"phenotype": share, "structure": 1 - share}
    novelty = novelty_of(pool, objective, shares, 1.0, 2000)
    return run(novelty, np.zeros(len(pool)), budget, None, None, 0).places.tolist()


def fingerprints(smiles: list[str]) -> list[Any]:
    """Fingerprints as RDKit's own bit vectors."""
    return [GENERATOR.GetFingerprint(Chem.MolFromSmiles(text)) for text in parent_smiles(smiles)]


def rdkit_picks(prints: list[Any], n_offered: int, budget: int) -> list[int]:
    """Places that RDKit picks, what is owned being picked already."""
    first = list(range(n_offered, len(prints)))
    found = MaxMinPicker().LazyBitVectorPick(prints, len(prints), len(first) + budget, first)
    return list(found)[len(first) :]


def forget() -> None:
    """Keys and parents are remembered between calls, which is no part of the job."""
    _key.cache_clear()
    _parent_smiles.cache_clear()


def pick_jump(budget: int = 1_000) -> list[tuple[str, float]]:
    """Seconds of each step of picking from all JUMP compounds."""
    from cloome_sk.datasets import get_data_home

    path = get_data_home() / "labels" / "jump_phenotypic_activity_115k.parquet"
    smiles = pd.read_parquet(path, columns=["smiles"])["smiles"]
    smiles = smiles.drop(smiles.index[list(invalid_smiles(smiles))]).tolist()
    vectors = phenotypes(smiles)
    steps = []
    start = perf_counter()
    keys = molecule_key(smiles)
    steps.append((f"molecule keys of {len(smiles):,} SMILES", perf_counter() - start))
    deck = smiles[:N_OWNED]
    mine = np.isin(keys, keys[:N_OWNED])
    offered = [text for text, own in zip(smiles, mine, strict=True) if not own]
    for objective in ("maxmin", "coverage"):
        designer = LibraryDesigner(objective=objective).fit(deck, phenotypes=vectors[:N_OWNED])
        start = perf_counter()
        designer.select(offered, budget, phenotypes=vectors[~mine])
        what = f"select {budget:,}, {objective}, keys known; {len(designer.refused_):,} refused"
        peak = f"peak {highest_megabytes() / 2**10:.2f} GB"
        steps.append((f"{what}, {peak}", perf_counter() - start))
    return steps


if __name__ == "__main__":
    for step, seconds in pick_jump():
        print(f"{seconds:8.1f} s  {step}")
