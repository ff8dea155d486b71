"""Where the cells of a simulated site are, and what shape each has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloome_sk.datasets._phenotypes import Look

NORMAL, MITOTIC, DEAD = 0, 1, 2

_BODY_RADIUS = 11.5
_NUCLEUS_RADIUS = 10.0
_DISTANCE = 23.0
_N_TIPS = 4


@dataclass(frozen=True)
class Cells:
    """One entry a cell; lengths in µm, angles in radians."""

    y: np.ndarray
    x: np.ndarray
    angle: np.ndarray
    kind: np.ndarray
    long: np.ndarray
    short: np.ndarray
    tip_angle: np.ndarray
    tip_length: np.ndarray
    tip_width: np.ndarray
    golgi_angle: np.ndarray
    nucleus_long: np.ndarray
    nucleus_short: np.ndarray
    brightness: np.ndarray
    """(n, 5): in each channel, relative to the usual cell."""

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Nuclei:
    """One entry a piece of chromatin: a nucleus, a micronucleus, a metaphase plate, a fragment."""

    cell: np.ndarray
    y: np.ndarray
    x: np.ndarray
    angle: np.ndarray
    long: np.ndarray
    short: np.ndarray
    lobes: np.ndarray
    """(n, 4): amplitude of the outline's 2nd to 5th harmonic."""
    lobe_angle: np.ndarray
    brightness: np.ndarray
    has_nucleoli: np.ndarray


def _landscape(
    y: np.ndarray, x: np.ndarray, length: float, random: np.random.Generator
) -> np.ndarray:
    """A smooth random function of the place, about standard normal."""
    n_waves = 10
    direction = random.uniform(0, 2 * np.pi, n_waves)
    frequency = random.uniform(0.4, 1.3, n_waves) * 2 * np.pi / length
    phase = random.uniform(0, 2 * np.pi, n_waves)
    along = np.multiply.outer(y, frequency * np.sin(direction))
    along += np.multiply.outer(x, frequency * np.cos(direction))
    return np.cos(along + phase).sum(axis=-1) * np.sqrt(2 / n_waves)


def _places(
    n: int, height: float, width: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Places of n cells: islands and gaps, but no two on one spot."""
    y = random.uniform(0, height, 5 * n)
    x = random.uniform(0, width, 5 * n)
    crowd = 1 / (1 + np.exp(-3.0 * (_landscape(y, x, 170.0, random) + 0.35)))
    crowd += 1e-3
    chosen = random.choice(5 * n, size=n, replace=False, p=crowd / crowd.sum())
    y, x = y[chosen], x[chosen]
    for _ in range(10):
        down = np.subtract.outer(y, y)
        right = np.subtract.outer(x, x)
        distance = np.hypot(down, right) + 1e-3
        push = np.maximum(_DISTANCE / distance - 1, 0) * 0.3
        np.fill_diagonal(push, 0)
        y = y + (push * down).sum(axis=1).clip(-8, 8)
        x = x + (push * right).sum(axis=1).clip(-8, 8)
    return y, x


def grow_cells(
    look: Look, n: int, height: float, width: float, random: np.random.Generator
) -> Cells:
    """Draw n cells on an area of height x width µm."""
    y, x = _places(n, height, width, random)
    normal = random.standard_normal
    alive = 1 - look.dead
    kind = random.choice(3, size=n, p=[alive * (1 - look.mitotic), alive * look.mitotic, look.dead])
    round_ = kind != NORMAL
    angle = 1.4 * _landscape(y, x, 260.0, random) + 0.45 * normal(n)
    radius = _BODY_RADIUS * np.sqrt(look.cell_area) * np.exp(0.17 * normal(n))
    ratio = 1 + look.elongation * np.exp(0.55 * normal(n))
    radius = np.where(kind == MITOTIC, 9.5 * np.exp(0.08 * normal(n)), radius)
    radius = np.where(kind == DEAD, 8.0 * np.exp(0.22 * normal(n)), radius)
    ratio = np.where(round_, 1 + 0.1 * random.random(n), ratio)

    tip_angle = random.uniform(0, 2 * np.pi, (n, _N_TIPS))
    # Most cells point both ways along their axis.
    tip_angle[:, 0] = 0.3 * normal(n)
    tip_angle[:, 1] = np.pi + 0.5 * normal(n)
    tip_length = look.tips * np.exp(0.6 * normal((n, _N_TIPS))) * [1.4, 1.1, 0.6, 0.4]
    tip_length = np.where(round_[:, None], 0.0, tip_length.clip(0, 4.0))
    tip_width = np.exp(random.uniform(np.log(2.6), np.log(9.0), (n, _N_TIPS)))

    nucleus = _NUCLEUS_RADIUS * np.sqrt(look.nucleus_area)
    nucleus = nucleus * np.exp(0.5 * look.nucleus_spread * normal(n))
    nucleus_ratio = 1 + look.nucleus_elongation * np.exp(0.35 * normal(n))
    nucleus_long, nucleus_short = nucleus * np.sqrt(nucleus_ratio), nucleus / np.sqrt(nucleus_ratio)
    # The body holds its nucleus, however small the cell.
    long, short = radius * np.sqrt(ratio), radius / np.sqrt(ratio)
    long = np.where(round_, long, np.maximum(long, 1.15 * nucleus_long))
    short = np.where(round_, short, np.maximum(short, 1.08 * nucleus_short))
    brightness = np.exp(0.13 * normal((n, 1)) + 0.1 * normal((n, 5)))
    brightness[:, 4] *= np.exp(0.25 * normal(n))
    return Cells(
        y=y, x=x, angle=angle, kind=kind,
        long=long, short=short,
        tip_angle=tip_angle, tip_length=tip_length, tip_width=tip_width,
        golgi_angle=random.choice([0, np.pi], n) + 0.7 * normal(n),
        nucleus_long=nucleus_long, nucleus_short=nucleus_short,
        brightness=brightness,
    )  # fmt: skip


def grow_nuclei(look: Look, cells: Cells, random: np.random.Generator) -> Nuclei:
    """Draw the chromatin of every cell."""
    n = len(cells)
    normal, uniform = random.standard_normal, random.random
    several = uniform(n) < look.multinucleate
    arrested = uniform(n) < look.arrested
    anaphase = ~arrested & (uniform(n) < 0.3)
    fragments = uniform(n) < 0.5
    pieces = np.where(several, random.choice([2, 3, 4, 5], n, p=[0.5, 0.25, 0.15, 0.1]), 1)
    pieces = np.where(cells.kind == MITOTIC, np.where(anaphase, 2, 1), pieces)
    pieces = np.where(cells.kind == DEAD, np.where(fragments, random.integers(3, 7, n), 1), pieces)
    micro = np.where(
        (cells.kind == NORMAL) & (uniform(n) < look.micronuclei), 1 + random.poisson(1.2, n), 0
    )

    cell = np.concatenate([np.repeat(np.arange(n), pieces), np.repeat(np.arange(n), micro)])
    first = len(cell) - micro.sum()
    is_micro = np.arange(len(cell)) >= first
    total = pieces[cell]
    turn = np.concatenate([np.concatenate([np.arange(k) for k in pieces]), np.zeros(micro.sum())])
    kind = cells.kind[cell]
    mitotic, dead = (kind == MITOTIC), (kind == DEAD)
    plate = mitotic & ~arrested[cell]
    clump = mitotic & arrested[cell]
    m = len(cell)

    long, short = cells.nucleus_long[cell], cells.nucleus_short[cell]
    share = np.where(total > 1, 1.12 / np.sqrt(total) * np.exp(0.15 * normal(m)), 1.0)
    long, short = long * share, short * share
    long = np.where(plate, 7.0, np.where(clump, 5.6, np.where(dead, 3.6 / np.sqrt(total), long)))
    short = np.where(plate, 2.1, np.where(clump, 4.4, np.where(dead, 3.2 / np.sqrt(total), short)))
    uneven = np.where(dead, np.exp(0.35 * normal(m)), 1.0)
    long, short = long * uneven, short * uneven
    small = np.exp(0.25 * normal(m)) * 1.7
    long, short = np.where(is_micro, 1.1 * small, long), np.where(is_micro, small, short)

    direction = 2 * np.pi * turn / total + uniform(n)[cell] * 2 * np.pi
    direction = np.where(is_micro, uniform(m) * 2 * np.pi, direction)
    direction = direction + np.where(dead, 0.6 * normal(m), 0)
    away = np.where(total > 1, 0.62 * cells.nucleus_long[cell], 0.0)
    away = np.where(mitotic, np.where(total > 1, 3.6, 0.0), away)
    away = np.where(dead & (total > 1), 4.2 * np.sqrt(uniform(m)), away)
    away = np.where(is_micro, cells.nucleus_long[cell] * (1.05 + 0.4 * uniform(m)), away)
    # The plates of an anaphase stand across the line that joins them.
    angle = cells.angle[cell] + 0.25 * normal(m)
    angle = np.where(plate, direction + np.pi / 2, angle)

    roughness = np.where(mitotic, 0.13, np.where(dead, 0.04, look.nucleus_lobes))
    lobes = np.abs(normal((m, 4))) * roughness[:, None] * [0.8, 0.8, 0.5, 0.35]
    # Twice the DNA before division, in a somewhat larger nucleus: the mean rises a little.
    cycle = np.exp(0.12 * normal(n))[cell]
    bright = look.dna * cycle / np.sqrt(look.nucleus_area)
    bright = np.where(mitotic, 2.3 * look.dna * cycle, np.where(dead, 2.8 * cycle, bright))
    return Nuclei(
        cell=cell,
        y=cells.y[cell] + away * np.sin(direction),
        x=cells.x[cell] + away * np.cos(direction),
        angle=angle, long=long, short=short,
        lobes=lobes.clip(0, 0.3), lobe_angle=random.uniform(0, 2 * np.pi, (m, 4)),
        brightness=bright, has_nucleoli=(kind == NORMAL) & ~is_micro,
    )  # fmt: skip
