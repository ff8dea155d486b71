"""In which order the held-back compounds of one split are picked, by each way of picking."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker
from sklearn.base import clone

from cloome_sk._library_selection import TooFewError
from cloome_sk.evaluation._library_measured import PURPOSE, Measured
from cloome_sk.evaluation._training_seen import refuse_seen
from cloome_sk.library import LibraryDesigner
from cloome_sk.molecules import parent_smiles

MAXMIN = "MaxMin on fingerprints (RDKit)"
RANDOM = "random"
MEASURED = "designer, measured phenotypes"
CEILING = "ceiling"


def fingerprint_maxmin(
    deck: np.ndarray, candidates: np.ndarray, budget: int, *, radius: int, n_bits: int
) -> np.ndarray:
    """Positions of candidates in the order of RDKit's MaxMin picker, the deck being picked first.

    Parameters
    ----------
    deck, candidates : ndarray of object
        SMILES; of equally far candidates the first is taken.
    budget : int
        Number of picks.
    radius, n_bits : int
        Of the Morgan fingerprint of the parents.

    Returns
    -------
    ndarray of intp, shape (budget,)
        The picks.
    """
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
    pool = parent_smiles([*candidates, *deck])
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in pool]
    first = list(range(len(candidates), len(pool)))
    picks = MaxMinPicker().LazyBitVectorPick(prints, len(prints), len(first) + budget, first)
    return np.array(list(picks)[len(first) :], dtype=np.intp)


def designer_order(
    designer: LibraryDesigner,
    fitted: Any,
    found: Measured,
    deck: np.ndarray,
    held: np.ndarray,
    budget: int,
) -> np.ndarray:
    """Picks from structure alone, by a model that was trained on the deck."""
    planned = _planned(designer, fitted).fit(found.smiles[deck].tolist())
    return _as_many_as_can_be(planned, found.smiles[held].tolist(), budget)


def measured_order(
    designer: LibraryDesigner, found: Measured, deck: np.ndarray, held: np.ndarray, budget: int
) -> np.ndarray:
    """Picks of the same designer, were the phenotypes of the candidates known.

    Profiles of compounds without a phenotype are noise, which points anywhere and so is far from
    everything: such candidates come last. Where series are full there may be fewer picks.
    """
    known = np.where(found.active[:, np.newaxis], found.profiles, np.nan)
    planned = _planned(designer, None)
    n_active = int(found.active[held].sum())
    order = np.zeros(0, dtype=np.intp)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LibraryDesigner: .* have no phenotype", UserWarning)
        planned.fit(found.smiles[deck].tolist(), phenotypes=known[deck])
    if n_active:
        smiles = found.smiles[held].tolist()
        order = _as_many_as_can_be(planned, smiles, min(budget, n_active), phenotypes=known[held])
    if designer.max_per_series is not None:
        return order
    others = np.setdiff1d(np.arange(len(held)), order)
    return np.concatenate([order, others])[:budget]


def _planned(designer: LibraryDesigner, embedder: Any) -> LibraryDesigner:
    """The designer with an embedder, for candidates that have passed its filters."""
    # A copy and no clone, which would unfit the series of the designer.
    return copy(designer).set_params(embedder=embedder, filters=None)


def _as_many_as_can_be(
    designer: LibraryDesigner, smiles: list[str], budget: int, phenotypes: Any = None
) -> np.ndarray:
    """Picks up to a budget: fewer where no more have a phenotype, or all other series are full."""
    try:
        picks = designer.select(smiles, budget, phenotypes=phenotypes)
    except TooFewError as error:
        if not error.n_possible:
            return np.zeros(0, dtype=np.intp)
        picks = designer.select(smiles, error.n_possible, phenotypes=phenotypes)
    return picks["index"].to_numpy()


def orders_of_split(
    models: Mapping[str, Any],
    designers: Mapping[str, LibraryDesigner],
    found: Measured,
    deck: np.ndarray,
    held: np.ndarray,
    budget: int,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Train each model on the deck's wells, and let every way pick from the held-back compounds.

    Returns
    -------
    orders : dict of str to ndarray of intp
        Positions in `held`, by way of picking; fewer than the budget where no more can be picked.
    trained : dict of str to estimator
        The models.
    """
    train = found.wells(deck, controls=True)
    orders, trained = {}, {}
    for name, model in models.items():
        fitted = clone(model).fit(train, None)
        refuse_seen(fitted, found.keys[held], f"{PURPOSE}, model {name!r}")
        trained[name] = fitted
        for plan, designer in designers.items():
            order = designer_order(designer, fitted, found, deck, held, budget)
            orders[method_name(name, plan)] = order
    first = next(iter(designers.values()))
    orders[MAXMIN] = fingerprint_maxmin(
        found.smiles[deck], found.smiles[held], budget, radius=first.radius, n_bits=first.n_bits
    )
    orders[MEASURED] = measured_order(first, found, deck, held, budget)
    return orders, trained


def method_name(model: str, designer: str) -> str:
    """What a model's picks by a designer are called."""
    return f"{model}, {designer}" if designer else model
