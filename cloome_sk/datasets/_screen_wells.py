"""What is in each well of the simulated screen: the look of its cells, and its optics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from cloome_sk.datasets._microscope import Optics, set_up
from cloome_sk.datasets._phenotypes import TRAITS, Look, mechanism_shift, shifted, trait_scale
from cloome_sk.datasets._simulation import Screen, _position
from cloome_sk.molecules import morgan_fingerprints

_STRENGTH = 0.3
"""Standard deviation of the logarithm of a compound's potency."""


class Streams:
    """One independent stream of random numbers for each thing that is drawn."""

    def __init__(self, entropy: list[int]) -> None:
        self.entropy = entropy

    def seed(self, what: str, *number: int) -> np.random.SeedSequence:
        """The seed of a thing, by its kind and numbers."""
        kinds = ("effects", "batch", "plate", "position", "well", "site")
        key = (kinds.index(what), *(int(one) for one in number))
        return np.random.SeedSequence(self.entropy, spawn_key=key)

    def __call__(self, what: str, *number: int) -> np.random.Generator:
        """A thing's stream, from its beginning each time it is asked for."""
        return np.random.default_rng(self.seed(what, *number))


def compound_shifts(
    drugs: pd.DataFrame,
    active: np.ndarray,
    sizes: Mapping[str, float],
    streams: Streams,
) -> list[dict[str, float]]:
    """What each compound does to the traits of its cells, in the units of `shifted`."""
    random = streams("effects")
    seed = int(random.integers(1 << 31))
    strength = np.exp(_STRENGTH * sizes["compound_signal"] * random.standard_normal(len(drugs)))
    bits = morgan_fingerprints(drugs["smiles"]).astype(float)
    bits -= bits.mean(axis=0)
    chemistry = bits @ random.standard_normal((bits.shape[1], len(TRAITS)))
    # Compounds that are all alike differ in nothing.
    chemistry /= max(chemistry.std(), 1e-9)
    own = (chemistry + random.standard_normal(chemistry.shape)) / np.sqrt(2) * trait_scale()
    own *= sizes["compound_signal"]

    shifts: list[dict[str, float]] = []
    names = drugs["moa"].where(drugs["moa"].notna(), drugs["name"])
    for compound, mechanism in enumerate(names):
        if not active[compound]:
            shifts.append({})
            continue
        shared = mechanism_shift(str(mechanism), seed)
        amount = sizes["moa_signal"] * strength[compound]
        shifts.append(
            {
                trait: sizes["signal"] * (amount * shared.get(trait, 0.0) + own[compound, place])
                for place, trait in enumerate(TRAITS)
            }
        )
    return shifts


def plate_optics(
    n_plates: int, pixel_um: float, sizes: Mapping[str, float], streams: Streams
) -> list[Optics]:
    """The optics of every plate."""
    return [
        set_up(
            pixel_um,
            background=sizes["background"],
            noise=sizes["noise"],
            plate_effect=sizes["plate_effect"],
            batch=streams("batch", plate // 2),
            plate=streams("plate", plate),
        )
        for plate in range(n_plates)
    ]


def furnish(
    screen: Screen, shifts: list[dict[str, float]], optics: list[Optics], streams: Streams
) -> list[tuple[Look, Optics]]:
    """The look and the optics of every well, artefacts included."""
    wells, sizes = screen.wells, screen.sizes
    pattern = sizes["position_effect"] * _position(wells, screen.shape)
    random = streams("position")
    # The rim dries out: fewer cells and weaker stain on every screen, gradients either way.
    seeding = np.array([-0.25, *(0.12 * random.standard_normal(2))])
    staining = np.vstack([np.full(5, -0.12), np.zeros((2, 5))])
    staining += 0.1 * random.standard_normal((3, 5))
    focus = np.array([0.2, *(0.1 * random.standard_normal(2))])

    furnished = []
    rows = zip(wells["plate"], wells["row"], wells["column"], wells["compound"], strict=True)
    for place, (plate, row, column, compound) in enumerate(rows):
        drift = streams("batch", plate // 2, 1).standard_normal()
        drift += streams("plate", plate, 1).standard_normal()
        well = streams("well", plate, row, column)
        shift = dict(shifts[compound]) if compound >= 0 else {}
        shift["density"] = (
            shift.get("density", 0.0)
            + 0.1 * sizes["plate_effect"] * drift
            + pattern[place] @ seeding
            + 0.12 * well.standard_normal()
        )
        own = optics[plate]
        furnished.append(
            (
                shifted(Look(), shift),
                replace(
                    own,
                    counts=own.counts
                    * np.exp(pattern[place] @ staining + 0.05 * well.standard_normal(5)),
                    focus_um=own.focus_um
                    * np.exp(pattern[place] @ focus + 0.1 * well.standard_normal()),
                ),
            )
        )
    return furnished
