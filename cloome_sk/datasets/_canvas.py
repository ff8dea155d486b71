"""The outlines of cells and nuclei, put on a sheet of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloome_sk.datasets._cells import NORMAL, Cells, Nuclei

_BITS = 20
_CELL = (1 << _BITS) - 1
_STEPS = 1 << _BITS
_BELOW = 64
_NOBODY = 1 << 60
_GROUPS = 5
_REACH_UM = 55.0
"""No cell is longer than that from its centre."""


@dataclass(frozen=True)
class Canvas:
    """A sheet to draw on: its shape and the size of its pixels."""

    shape: tuple[int, int]
    pixel_um: float

    def patches(
        self, y: np.ndarray, x: np.ndarray, reach_um: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Squares of pixels around places: offsets in µm (n, s, s), flat index, and which exist."""
        half = int(np.ceil(reach_um / self.pixel_um))
        step = np.arange(-half, half + 1)
        row = np.floor(y / self.pixel_um).astype(np.int64)[:, None] + step
        column = np.floor(x / self.pixel_um).astype(np.int64)[:, None] + step
        down = ((row + 0.5) * self.pixel_um - y[:, None]).astype(np.float32)[:, :, None]
        right = ((column + 0.5) * self.pixel_um - x[:, None]).astype(np.float32)[:, None, :]
        exists = ((row >= 0) & (row < self.shape[0]))[:, :, None]
        exists = exists & ((column >= 0) & (column < self.shape[1]))[:, None, :]
        index = row.clip(0, self.shape[0] - 1)[:, :, None] * self.shape[1]
        index = index + column.clip(0, self.shape[1] - 1)[:, None, :]
        return down, right, index, exists

    def spots(
        self, y: np.ndarray, x: np.ndarray, radius: np.ndarray, height: np.ndarray
    ) -> np.ndarray:
        """A sheet (float32) of round spots with soft edges; where they overlap the highest."""
        sheet = np.zeros(self.shape, np.float32)
        if len(y) == 0:
            return sheet
        down, right, index, exists = self.patches(y, x, float(radius.max()) + self.pixel_um)
        edge = (radius[:, None, None] - np.hypot(down, right)) / self.pixel_um + 0.5
        value = edge.clip(0, 1) * height[:, None, None].astype(np.float32)
        np.maximum.at(sheet.reshape(-1), index[exists], value[exists].astype(np.float32))
        return sheet


@dataclass(frozen=True)
class Territories:
    """For each pixel whose it is, and where in that cell it lies."""

    owner: np.ndarray
    """Number of the cell; also set outside cells, to one nearby or to 0."""
    inside: np.ndarray
    """0 outside cells, rising to 1 at the centre."""
    along: np.ndarray
    across: np.ndarray
    """Place along and across the cell's axis, in µm from its centre."""


def territories(canvas: Canvas, cells: Cells, warp: np.ndarray) -> Territories:
    """Divide the canvas among the cells: where several reach, the nearest body has the pixel."""
    best = np.full(canvas.shape, _NOBODY, dtype=np.int64)
    reach = 1.2 * cells.long * (1 + cells.tip_length.max(axis=1))
    claims = []
    # Together cells of like size, so that no small one is drawn on a large square.
    for group in np.array_split(np.argsort(reach), _GROUPS):
        if len(group):
            limit = min(float(reach[group[-1]]), _REACH_UM)
            claims.append(_claim(canvas, cells, group, limit, warp, best.reshape(-1)))
    inside = np.zeros(canvas.shape, np.float32)
    for index, key, depth in claims:
        won = best.reshape(-1).take(index) == key
        inside.reshape(-1)[index[won]] = 1 - depth[won]
    owner = np.where(best == _NOBODY, 0, best & _CELL)

    row = (np.arange(canvas.shape[0], dtype=np.float32)[:, None] + 0.5) * canvas.pixel_um
    column = (np.arange(canvas.shape[1], dtype=np.float32) + 0.5) * canvas.pixel_um
    away_y = row - cells.y.astype(np.float32).take(owner)
    away_x = column - cells.x.astype(np.float32).take(owner)
    cos = np.cos(cells.angle).astype(np.float32).take(owner)
    sin = np.sin(cells.angle).astype(np.float32).take(owner)
    return Territories(
        owner=owner,
        inside=inside,
        along=cos * away_x + sin * away_y,
        across=cos * away_y - sin * away_x,
    )


def _claim(
    canvas: Canvas,
    cells: Cells,
    group: np.ndarray,
    limit: float,
    warp: np.ndarray,
    best: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower `best` where a cell of the group is nearer than those before it.

    Returns for every pixel that a cell of the group reaches its index, the claim, and how far out
    in the cell it is (0 at the centre, 1 at the outline).
    """

    def of(values: np.ndarray) -> np.ndarray:
        return values[group].astype(np.float32)[:, None, None]

    down, right, index, exists = canvas.patches(cells.y[group], cells.x[group], limit)
    # Straight lines of the shape become wavy; round cells stay round.
    soft = of(cells.kind == NORMAL)
    down = down + soft * warp[0].reshape(-1).take(index)
    right = right + soft * warp[1].reshape(-1).take(index)
    cos, sin = of(np.cos(cells.angle)), of(np.sin(cells.angle))
    along, across = cos * right + sin * down, cos * down - sin * right
    radius = np.sqrt(along * along + across * across) + np.float32(1e-3)
    body = np.sqrt((along / of(cells.long)) ** 2 + (across / of(cells.short)) ** 2)
    along /= radius
    across /= radius
    tips = np.ones_like(radius)
    for tip in range(cells.tip_angle.shape[1]):
        angle = cells.tip_angle[:, tip]
        apart = 1 - along * of(np.cos(angle)) - across * of(np.sin(angle))
        # Falling off with the angle itself, not its square: pointed, with hollow flanks.
        fall = np.exp(-of(cells.tip_width[:, tip]) * np.sqrt(apart.clip(0)))
        tips += of(cells.tip_length[:, tip]) * fall
    depth = body / tips + 4 * (radius / limit - 0.75).clip(0)
    inside = exists & (depth < 1)
    # Rounded cells lie on top of the others.
    key = ((body + _BELOW * soft) * _STEPS).astype(np.int64) << _BITS
    index, key, depth = index[inside], (key + group[:, None, None])[inside], depth[inside]
    np.minimum.at(best, index, key)
    return index, key, depth


def draw_nuclei(canvas: Canvas, nuclei: Nuclei, roughness: np.ndarray) -> np.ndarray:
    """Sheets (2, height, width): how much of a pixel is nucleus, and how bright it is."""
    reach = float(nuclei.long.max()) * 1.35 + 2 * canvas.pixel_um
    down, right, index, exists = canvas.patches(nuclei.y, nuclei.x, reach)
    cos = np.cos(nuclei.angle).astype(np.float32)[:, None, None]
    sin = np.sin(nuclei.angle).astype(np.float32)[:, None, None]
    along = (cos * right + sin * down) / nuclei.long.astype(np.float32)[:, None, None]
    across = (cos * down - sin * right) / nuclei.short.astype(np.float32)[:, None, None]
    radius = np.hypot(along, across)
    turn = (along + 1j * across) / (radius + 1e-3)
    outline = np.ones_like(radius)
    power = turn
    for harmonic in range(nuclei.lobes.shape[1]):
        power = power * turn
        phase = nuclei.lobe_angle[:, harmonic, None, None].astype(np.float32)
        amplitude = nuclei.lobes[:, harmonic, None, None].astype(np.float32)
        outline += amplitude * (power.real * np.cos(phase) - power.imag * np.sin(phase))
    outline += 0.015 * roughness.reshape(-1).take(index)
    depth = 1 - radius / outline
    size = np.sqrt(nuclei.long * nuclei.short).astype(np.float32)[:, None, None]
    cover = (depth * size / canvas.pixel_um + 0.5).clip(0, 1)
    dome = 0.72 + 0.28 * np.sqrt(depth.clip(0, 1))
    light = cover * dome * nuclei.brightness.astype(np.float32)[:, None, None]
    sheets = np.zeros((2, *canvas.shape), np.float32)
    inside = exists & (cover > 0)
    for sheet, value in zip(sheets.reshape(2, -1), (cover, light), strict=True):
        np.maximum.at(sheet, index[inside], value[inside].astype(np.float32))
    return sheets
