"""What the cells of the simulated screen look like, untreated and under each mechanism."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

from cloome_sk.datasets._mechanisms import ALSO_CALLED, MECHANISMS


@dataclass(frozen=True)
class Look:
    """Everything about the cells of one well that a compound can change; defaults: DMSO.

    All but `FRACTIONS` are positive. Lengths are in µm; brightness and amounts are relative to
    untreated U2OS cells.
    """

    density: float = 1.0
    cell_area: float = 1.0
    elongation: float = 1.0
    """Long axis over short axis, minus 1."""
    tips: float = 2.6
    """Length of the protrusions relative to the cell's radius."""

    nucleus_area: float = 1.0
    nucleus_elongation: float = 0.42
    nucleus_lobes: float = 0.05
    """Amplitude of the irregularity of the nuclear outline."""
    nucleus_spread: float = 0.13
    """Standard deviation of the logarithm of the nuclear area."""
    mitotic: float = 0.03
    arrested: float = 0.35
    """Share of the mitotic cells whose chromosomes are not aligned."""
    dead: float = 0.025
    multinucleate: float = 0.015
    micronuclei: float = 0.02

    dna: float = 1.0
    chromatin: float = 1.0
    nucleoli: float = 1.0
    nucleoli_size: float = 1.0
    nucleoli_number: float = 3.0

    er: float = 1.0
    er_reach: float = 9.5
    """Distance from the nucleus over which the endoplasmic reticulum fades."""
    rna: float = 1.0
    agp: float = 1.0
    fibres: float = 0.2
    edge: float = 0.3
    """Brightness of the cell's outline: cortical actin and ruffles."""
    golgi: float = 1.0
    golgi_spread: float = 2.0
    puncta: float = 1.5
    """Number of bright endosomes and lysosomes in a cell."""
    vacuoles: float = 0.15
    """Number of vacuoles in a cell."""
    mito: float = 1.0
    mito_reach: float = 8.0
    mito_fragments: float = 0.12
    """Share of the mitochondria that are dots rather than threads."""


FRACTIONS = frozenset(
    ["mitotic", "arrested", "dead", "multinucleate", "micronuclei", "mito_fragments"]
)
TRAITS = tuple(field.name for field in fields(Look))

# How far compounds of one mechanism differ in a trait, and how far an unknown mechanism moves it.
_OWN = 0.12
_OWN_FRACTION = 0.35
_UNKNOWN_TRAITS = 9
_UNKNOWN = 0.45
_UNKNOWN_FRACTION = 1.2


def trait_scale() -> np.ndarray:
    """Usual size of a compound's own deviation for each trait, in the units of `shifted`."""
    return np.array([_OWN_FRACTION if name in FRACTIONS else _OWN for name in TRAITS])


def shifted(look: Look, shift: Mapping[str, float]) -> Look:
    """A look with its traits moved: logarithms of the positive ones, log odds of fractions."""
    values = {}
    for name, change in shift.items():
        # Not even rounding may tell a compound without effect from none.
        if change == 0:
            continue
        value = getattr(look, name)
        if name in FRACTIONS:
            odds = value / (1 - value) * np.exp(np.clip(change, -9, 9))
            values[name] = float(odds / (1 + odds))
        else:
            values[name] = float(value * np.exp(np.clip(change, -4, 4)))
    return replace(look, **values)


def mechanism_shift(mechanism: str, seed: int) -> dict[str, float]:
    """What a mechanism of action does to the traits.

    One that is not known gets an effect on a few traits, drawn from the seed and its name alone,
    so that it does not depend on what else is in the table.
    """
    name = " ".join(mechanism.casefold().split())
    name = ALSO_CALLED.get(name, name)
    if name in MECHANISMS:
        return dict(MECHANISMS[name].shift)
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    moved = random.choice(len(TRAITS), size=_UNKNOWN_TRAITS, replace=False)
    change = random.standard_normal(_UNKNOWN_TRAITS)
    return {
        TRAITS[trait]: float(size * (_UNKNOWN_FRACTION if TRAITS[trait] in FRACTIONS else _UNKNOWN))
        for trait, size in zip(moved, change, strict=True)
    }
