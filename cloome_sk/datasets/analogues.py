"""Analogue series with mechanisms, and assays whose cause is known: what clustering should find."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors
from sklearn.utils import check_random_state

from cloome_sk.datasets._analogue_parts import CORES, ON_CARBON, ON_HETEROATOM
from cloome_sk.datasets._planted_assays import (
    COMPOUNDS,
    INERT_MOA,
    MECHANISMS,
    check_compounds,
    check_share,
    draw_assays,
)
from cloome_sk.datasets.simulate import _check_count

MOST_MEMBERS = 50
"""Every core has more drug-like analogues than this."""


def make_analogue_series(
    n_series: int = 40,
    n_members: int = 12,
    *,
    n_mechanisms: int = 8,
    inert_fraction: float = 0.3,
    random_state: int | np.random.RandomState | None = None,
) -> pd.DataFrame:
    """Enumerate analogue series around real cores, and give each series a mechanism.

    The structures are drawn by combining cores and substituents of medicinal chemistry. They are
    plausible, not known compounds, and which series has which mechanism is **made up**: the table
    serves screens (:func:`make_screen`) in which the right answer is known.

    Parameters
    ----------
    n_series : int, default=40
        Number of series, one core each; at most 60.
    n_members : int, default=12
        Analogues of each series, at most 50.
    n_mechanisms : int, default=8
        Mechanisms that are dealt to the series that have one, so that several series share each;
        at most 12.
    inert_fraction : float, default=0.3
        Share of series without a mechanism of their own, in [0, 1].
    random_state : int, RandomState instance or None, default=None
        Seed of cores, members and mechanisms.

    Returns
    -------
    DataFrame of n_series * n_members rows
        ``name`` (``quinazolin-4-amine 03``), ``smiles`` (canonical, each once), ``series`` (the
        core's name) and ``moa``. Members of inert series have the ``moa`` "GABA receptor
        modulator", a target that the simulated cells lack: a missing mechanism would get a
        phenotype of its own in :func:`make_screen`.

    Raises
    ------
    TypeError, ValueError
        If a number is of the wrong kind or out of its range, or there are more mechanisms than
        series to have them.

    See Also
    --------
    plant_assays : Assays on these compounds.

    Notes
    -----
    Every molecule has a monoisotopic mass of 180 to 500, a Crippen logP of −1 to 5, at most 5
    hydrogen-bond donors, 10 acceptors and 10 rotatable bonds [1]_.

    References
    ----------
    .. [1] C. A. Lipinski et al., "Experimental and computational approaches to estimate solubility
       and permeability in drug discovery and development settings", Adv Drug Deliv Rev 23 (1997).

    Examples
    --------
    >>> from cloome_sk.datasets import make_analogue_series
    >>> compounds = make_analogue_series(6, 4, n_mechanisms=2, random_state=0)
    >>> compounds.shape, compounds["series"].nunique()
    ((24, 4), 6)
    >>> sorted(compounds.groupby("moa")["series"].nunique())
    [2, 2, 2]
    """
    _check_count("n_series", n_series, 1, len(CORES))
    _check_count("n_members", n_members, 1, MOST_MEMBERS)
    _check_count("n_mechanisms", n_mechanisms, 0, len(MECHANISMS))
    check_share("inert_fraction", inert_fraction)
    n_inert = round(inert_fraction * n_series)
    if n_mechanisms > n_series - n_inert or (n_mechanisms == 0 and n_inert < n_series):
        raise ValueError(
            f"n_mechanisms is {n_mechanisms} for {n_series - n_inert} series that are not inert; "
            "each of these needs a mechanism and each mechanism a series."
        )
    rng = check_random_state(random_state)
    cores = [list(CORES)[place] for place in sorted(rng.permutation(len(CORES))[:n_series])]
    mechanisms = [list(MECHANISMS)[place] for place in rng.permutation(len(MECHANISMS))]
    dealt = [INERT_MOA] * n_inert
    dealt += [mechanisms[place % n_mechanisms] for place in range(n_series - n_inert)]
    dealt = [dealt[place] for place in rng.permutation(n_series)]
    rows = []
    for series, moa in zip(cores, dealt, strict=True):
        members = _members(CORES[series], n_members, rng)
        rows += [
            (f"{series} {place:02d}", smiles, series, moa)
            for place, smiles in enumerate(members, start=1)
        ]
    return pd.DataFrame(rows, columns=list(COMPOUNDS))


def plant_assays(
    compounds: pd.DataFrame,
    n_assays: int = 30,
    *,
    tested: float = 0.8,
    hit_rate: float = 0.9,
    false_rate: float = 0.02,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make up assays that follow the mechanism, the chemical series, or nothing.

    Parameters
    ----------
    compounds : DataFrame
        From :func:`make_analogue_series`: ``name``, ``series`` and ``moa``; each row a compound.
    n_assays : int, default=30
        Number of assays: phenotype, chemotype and random ones in turn.
    tested : float, default=0.8
        Share of compounds that an assay has tested, drawn at random, in (0, 1].
    hit_rate : float, default=0.9
        Probability that a compound with the cause is active.
    false_rate : float, default=0.02
        Probability that one without is active.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    assays : DataFrame of float, one row a compound (index of `compounds`), one column an assay
        1 active, 0 inactive, NaN not tested. Every assay has at least 25 actives, 25 inactives and
        100 compounds.
    truth : DataFrame, one row an assay
        ``assay``; ``kind``: ``phenotype`` (actives share one or more mechanisms, over several
        series), ``chemotype`` (actives are members of inert series, so that structures tell and
        phenotypes do not) or ``random`` (actives drawn at random, as many as the assay before);
        ``family`` of the made-up target; ``cause``: mechanisms or series, joined by "; ".

    Raises
    ------
    TypeError, ValueError
        If `compounds` lacks a column or a value, a number is out of its range, or no assay of 25
        actives, 25 inactives and 100 compounds can be made of these compounds.

    Examples
    --------
    >>> from cloome_sk.datasets import make_analogue_series, plant_assays
    >>> compounds = make_analogue_series(random_state=0)
    >>> assays, truth = plant_assays(compounds, 6, random_state=0)
    >>> assays.shape, truth["kind"].tolist()[:3]
    ((480, 6), ['phenotype', 'chemotype', 'random'])
    >>> bool((assays.sum() >= 25).all())
    True
    """
    check_compounds(compounds)
    _check_count("n_assays", n_assays, 1)
    for name, value in (("tested", tested), ("hit_rate", hit_rate), ("false_rate", false_rate)):
        check_share(name, value)
    return draw_assays(
        compounds, n_assays, tested, hit_rate, false_rate, check_random_state(random_state)
    )


def _members(core: str, n_members: int, rng: Any) -> list[str]:
    """Drug-like analogues of a core, each once, in random order of the substituents."""
    pairs = list(product(ON_CARBON, ON_HETEROATOM))
    found: dict[str, None] = {}
    for place in rng.permutation(len(pairs)):
        parts = Chem.MolFromSmiles(".".join((core, *pairs[place])))
        smiles = Chem.MolToSmiles(Chem.molzip(parts))
        if _is_drug_like(smiles):
            found[smiles] = None
        if len(found) == n_members:
            return list(found)
    raise AssertionError(f"{core} has fewer than {n_members} drug-like analogues")


def _is_drug_like(smiles: str) -> bool:
    molecule = Chem.MolFromSmiles(smiles)
    return (
        180 <= rdMolDescriptors.CalcExactMolWt(molecule) <= 500
        and -1 <= rdMolDescriptors.CalcCrippenDescriptors(molecule)[0] <= 5
        and rdMolDescriptors.CalcNumHBD(molecule) <= 5
        and rdMolDescriptors.CalcNumHBA(molecule) <= 10
        and rdMolDescriptors.CalcNumRotatableBonds(molecule) <= 10
    )
