"""From the look of a well's cells to the light of a site in five channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloome_sk.datasets._canvas import Canvas, Territories, draw_nuclei, territories
from cloome_sk.datasets._cells import DEAD, MITOTIC, NORMAL, Cells, Nuclei, grow_cells, grow_nuclei
from cloome_sk.datasets._phenotypes import Look
from cloome_sk.datasets._textures import OVERSAMPLING, TILE, texture_tiles

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")

CELLS_PER_MM2 = 300.0
MARGIN_UM = 8.0
"""Drawn beyond the field on each side, so that out-of-focus light comes from there too."""
_BEYOND_UM = 22.0
_DEBRIS_PER_MM2 = 60.0


@dataclass(frozen=True)
class Spots:
    """Sheets of the small round things in the cells."""

    nucleoli: np.ndarray
    golgi: np.ndarray
    puncta: np.ndarray
    vacuoles: np.ndarray
    walls: np.ndarray


def draw_site(
    look: Look, shape: tuple[int, int], pixel_um: float, random: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Draw a site of `shape` pixels, cells cut at its border included.

    Returns the light in the order of `CHANNELS` (float32, (5, height + 2 m, width + 2 m) with m the
    margin in pixels) relative to the usual brightness of a cell, and the number of cells whose
    centre is in the field.
    """
    margin = margin_pixels(pixel_um)
    canvas = Canvas((shape[0] + 2 * margin, shape[1] + 2 * margin), pixel_um)
    height, width = (side * pixel_um for side in canvas.shape)
    expected = CELLS_PER_MM2 * look.density * 1e-6
    expected *= (height + 2 * _BEYOND_UM) * (width + 2 * _BEYOND_UM)
    # One cell at least, which may lie outside, keeps the rest free of special cases.
    n = max(1, random.poisson(expected * np.exp(0.12 * random.standard_normal())))
    cells = grow_cells(look, n, height + 2 * _BEYOND_UM, width + 2 * _BEYOND_UM, random)
    cells.y[:] -= _BEYOND_UM
    cells.x[:] -= _BEYOND_UM
    nuclei = grow_nuclei(look, cells, random)
    edge = margin * pixel_um
    in_rows = (cells.y >= edge) & (cells.y < height - edge)
    in_columns = (cells.x >= edge) & (cells.x < width - edge)
    count = int(np.count_nonzero(in_rows & in_columns))

    tiles = texture_tiles(pixel_um)
    waves = np.stack([_window(tiles["waves"], canvas, random) for _ in range(2)])
    bend = np.stack([_window(tiles["cloud"], canvas, random) for _ in range(2)])
    ground = territories(canvas, cells, 2.2 * waves + 0.4 * bend)
    nucleus = draw_nuclei(canvas, nuclei, _window(tiles["chromatin"], canvas, random))
    spots = _draw_spots(canvas, look, cells, nuclei, random)
    light = _paint(look, cells, ground, nucleus, spots, waves, pixel_um, random)
    _add_debris(canvas, light, random)
    return light, count


def margin_pixels(pixel_um: float) -> int:
    """Width of the margin around the field that `draw_site` returns."""
    return int(np.ceil(MARGIN_UM / pixel_um))


def _window(tile: np.ndarray, canvas: Canvas, random: np.random.Generator) -> np.ndarray:
    """A piece of a tile in the size of the canvas, from anywhere, either way up."""
    row, column = random.integers(TILE, size=2)
    rows = (row + OVERSAMPLING * np.arange(canvas.shape[0])) % TILE
    columns = (column + OVERSAMPLING * np.arange(canvas.shape[1])) % TILE
    tile = tile.T if random.random() < 0.5 else tile
    return tile[rows[:, None], columns]


def _draw_spots(
    canvas: Canvas, look: Look, cells: Cells, nuclei: Nuclei, random: np.random.Generator
) -> Spots:
    n, uniform, normal = len(cells), random.random, random.standard_normal

    more = max(look.nucleoli_number - 1, 0.0)
    number = np.where(nuclei.has_nucleoli, 1 + random.poisson(more, len(nuclei.cell)), 0)
    of = np.repeat(np.arange(len(number)), number)
    turn, out = 2 * np.pi * uniform(len(of)), 0.68 * np.sqrt(uniform(len(of)))
    along = out * np.cos(turn) * nuclei.long[of]
    across = out * np.sin(turn) * nuclei.short[of]
    cos, sin = np.cos(nuclei.angle[of]), np.sin(nuclei.angle[of])
    radius = 1.75 * look.nucleoli_size * np.exp(0.25 * normal(len(of)))
    radius = radius * np.sqrt(nuclei.short[of] / 7.0) / number[of] ** 0.2
    nucleoli = canvas.spots(
        nuclei.y[of] + sin * along + cos * across,
        nuclei.x[of] + cos * along - sin * across,
        np.minimum(radius, 0.5 * nuclei.short[of]),
        np.ones(len(of)),
    )

    normal_cells = cells.kind == NORMAL
    toward = cells.angle + cells.golgi_angle
    out = (cells.nucleus_short + 0.25 * (cells.nucleus_long - cells.nucleus_short)) * 1.0 + 1.2
    golgi_y, golgi_x = cells.y + out * np.sin(toward), cells.x + out * np.cos(toward)
    of = np.repeat(np.arange(n), np.where(normal_cells, 8 + random.poisson(6, n), 0))
    golgi = canvas.spots(
        golgi_y[of] + look.golgi_spread * normal(len(of)),
        golgi_x[of] + look.golgi_spread * normal(len(of)),
        0.85 * np.exp(0.25 * normal(len(of))),
        look.golgi * np.exp(0.4 * normal(len(of))) * np.exp(0.5 * normal(n))[of],
    )

    def around(amount: float, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Cells differ much: a gamma-distributed mean.
        mean = amount * random.gamma(1.5, 1 / 1.5, n)
        of = np.repeat(np.arange(n), np.where(normal_cells, random.poisson(mean), 0))
        away = cells.nucleus_short[of] + 0.5 + spread * np.abs(normal(len(of)))
        turn = cells.golgi_angle[of] + cells.angle[of] + 1.3 * normal(len(of))
        return of, cells.y[of] + away * np.sin(turn), cells.x[of] + away * np.cos(turn)

    of, y, x = around(look.puncta, 5.0)
    puncta = canvas.spots(y, x, 0.9 * np.exp(0.2 * normal(len(of))), np.exp(0.4 * normal(len(of))))
    of, y, x = around(look.vacuoles, 3.5)
    radius = 1.7 * np.exp(0.3 * normal(len(of)))
    vacuoles = canvas.spots(y, x, radius, np.ones(len(of)))
    walls = canvas.spots(y, x, radius + 0.9, np.ones(len(of))) - vacuoles
    return Spots(nucleoli, golgi, puncta, vacuoles, walls.clip(0))


def _paint(
    look: Look,
    cells: Cells,
    ground: Territories,
    nucleus: np.ndarray,
    spots: Spots,
    waves: np.ndarray,
    pixel_um: float,
    random: np.random.Generator,
) -> np.ndarray:
    owner, inside = ground.owner, ground.inside
    n = len(cells)

    def of(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32).take(owner)

    tiles = texture_tiles(pixel_um)
    shift = random.integers(TILE, size=(2, n))
    texel = pixel_um / OVERSAMPLING
    row = ((ground.across + 1.8 * waves[0]) / texel).astype(np.int64) + shift[0].take(owner)
    column = ((ground.along + 1.8 * waves[1]) / texel).astype(np.int64) + shift[1].take(owner)
    place = (row % TILE) * TILE + column % TILE
    texture = {
        name: tiles[name].reshape(-1).take(place)
        for name in ("reticulum", "threads", "dots", "fibres", "chromatin", "cloud")
    }

    long, short = of(cells.nucleus_long), of(cells.nucleus_short)
    distance = np.sqrt((ground.along / long) ** 2 + (ground.across / short) ** 2) - 1
    distance = distance.clip(0) * np.sqrt(long * short)
    side = ground.along * of(np.cos(cells.golgi_angle)) + ground.across * of(
        np.sin(cells.golgi_angle)
    )
    side /= np.hypot(ground.along, ground.across) + np.float32(0.5)

    def near(reach: float) -> np.ndarray:
        return np.exp(-distance / (reach * (1 + 0.4 * side))) * (1 + 0.6 * side)

    soft = (inside / 0.07).clip(0, 1)
    thin = np.sqrt((inside / 0.45).clip(0, 1))
    cover, dna = nucleus
    cover = cover * soft
    seam = _seams(owner, inside)
    hole = 1 - 0.75 * spots.vacuoles * soft
    nucleoli = spots.nucleoli * cover
    grain = 0.6 + 0.4 * texture["reticulum"]
    mottle = 1 + 0.12 * texture["cloud"]

    light = np.empty((5, *owner.shape), np.float32)
    light[0] = dna * (1 + 0.15 * look.chromatin * texture["chromatin"]).clip(0.2)
    light[0] *= 1 - 0.3 * spots.nucleoli
    light[0] += 0.012 * soft
    rim = np.exp(-distance / 1.4)
    light[1] = look.er * thin * (0.2 + (near(look.er_reach) + 0.3 * rim) * grain * mottle)
    light[1] *= (1 - cover) * hole * (1 - 0.35 * seam)
    light[1] += look.er * cover * (0.44 + 0.16 * grain) * (1 + 0.15 * side)
    light[2] = look.rna * thin * (0.2 + near(1.25 * look.er_reach) * (0.3 + 0.7 * grain) * mottle)
    light[2] *= (1 - cover) * hole * (1 - 0.35 * seam)
    light[2] += look.rna * ((0.55 + 0.17 * grain) * cover + 0.75 * look.nucleoli * nucleoli)
    outline = np.exp(-(((inside - 0.05) / 0.045) ** 2)) * (0.5 + 0.5 * texture["dots"].clip(0, 2))
    light[3] = 0.30 * thin + 0.13 * near(12.0) + 0.24 * cover
    light[3] += (
        look.fibres
        * 0.6
        * texture["fibres"]
        * thin
        * (0.6 + 0.5 * waves[0]).clip(0, 1.4)
        * (1 - 0.6 * cover)
    )
    light[3] += look.edge * 0.55 * (outline + 0.4 * seam)
    light[3] += (
        1.5 * spots.golgi * (1 - 0.5 * cover) + 1.3 * spots.puncta + 1.0 * spots.walls
    ) * soft
    light[3] *= look.agp * (1 - 0.4 * spots.vacuoles)
    mixed = (1 - look.mito_fragments) * texture["threads"] + look.mito_fragments * texture["dots"]
    light[4] = look.mito * thin * near(look.mito_reach) * mixed * (1 - 0.85 * cover) * hole
    light[4] += 0.16 * thin

    # Rounded cells are thick: they glow as balls do, and hide what is in them.
    ball = np.sqrt((inside * (2 - inside)).clip(0))
    state = cells.kind.take(owner)
    glow = np.where(cells.kind == DEAD, np.exp(1.6 + 0.6 * random.standard_normal(n)), 1.6)
    glow_here = of(glow) * ball
    round_ = (state != NORMAL) & (inside > 0)
    for channel, share in ((1, 1.0), (2, 1.45), (3, 0.9), (4, 0.9)):
        texture_here = 0.75 + 0.25 * texture["reticulum"]
        fill = glow_here * texture_here * (1 - 0.35 * cover * (state == MITOTIC))
        light[channel] = np.where(round_, share * fill, light[channel])
    light[1:] *= soft
    for channel in range(5):
        light[channel] *= of(cells.brightness[:, channel])
    return light


def _seams(owner: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Where two cells touch: 1 on the line, less beside it."""
    seam = np.zeros(owner.shape, np.float32)
    cell = inside > 0
    down = (owner[1:] != owner[:-1]) & cell[1:] & cell[:-1]
    right = (owner[:, 1:] != owner[:, :-1]) & cell[:, 1:] & cell[:, :-1]
    seam[1:] += down
    seam[:-1] += down
    seam[:, 1:] += right
    seam[:, :-1] += right
    return np.minimum(seam, 1)


def _add_debris(canvas: Canvas, light: np.ndarray, random: np.random.Generator) -> None:
    """Bright specks of dirt and dead cells, which no channel is free of."""
    area = canvas.shape[0] * canvas.shape[1] * canvas.pixel_um**2 * 1e-6
    n = random.poisson(_DEBRIS_PER_MM2 * area)
    y = random.uniform(0, canvas.shape[0] * canvas.pixel_um, n)
    x = random.uniform(0, canvas.shape[1] * canvas.pixel_um, n)
    radius = 0.9 * np.exp(0.35 * random.standard_normal(n))
    specks = canvas.spots(y, x, radius, np.exp(0.7 * random.standard_normal(n)))
    for channel, share in enumerate((0.02, 0.25, 0.2, 1.3, 1.0)):
        light[channel] += share * specks
