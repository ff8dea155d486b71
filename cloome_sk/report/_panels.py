"""The panels of a picture: a structure, a profile, the pixels of a site, the legend of channels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 3.0
"""Profile values are coloured between minus and plus this."""

RIGHT, WRONG = "#0072B2", "#767676"
"""A blue and a grey that stay apart for colour-blind readers."""


def draw_structure(panel: Axes, smiles: str | None, aspect: float = 5 / 6) -> None:
    """Draw a molecule, height over width as asked for; words where there is none."""
    from matplotlib.image import imread

    drawing = rdMolDraw2D.MolDraw2DCairo(360, round(360 * aspect))
    drawing.drawOptions().padding = 0.08  # type: ignore[assignment]
    drawing.drawOptions().fixedBondLength = 60  # type: ignore[assignment]
    rdMolDraw2D.PrepareAndDrawMolecule(drawing, Chem.MolFromSmiles(smiles or ""))
    drawing.FinishDrawing()
    panel.imshow(imread(io.BytesIO(drawing.GetDrawingText())))
    panel.set_anchor("N")
    if smiles is None:
        panel.text(
            *(0.5, 0.5, "structure not known"),
            transform=panel.transAxes,
            ha="center",
            va="center",
            fontsize=8,
            color=WRONG,
        )
    frame(panel, "none", 0)


def draw_profile(panel: Axes, values: np.ndarray) -> None:
    """Draw a profile as a strip of colours."""
    panel.imshow(values[None, :], aspect="auto", cmap="PuOr", vmin=-SHOWN, vmax=SHOWN)
    frame(panel, WRONG, 0.5)


def draw_pixels(panel: Axes, picture: np.ndarray) -> None:
    """Draw the RGB picture of a site."""
    panel.imshow(picture)
    panel.set_anchor("N")
    frame(panel, WRONG, 0.5)


def draw_legend(figure: Figure, names: Sequence[str], colours: np.ndarray, note: str) -> None:
    """Say below the picture which colour is which channel, with a line of small print."""
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=(red, green, blue), edgecolor="black", linewidth=0.5, label=name)
        for name, (red, green, blue) in zip(names, colours, strict=True)
    ]
    legend = figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=len(patches),
        fontsize=8,
        title=note,
        title_fontsize=7,
        frameon=False,
    )
    legend.get_title().set_color("#404040")
    legend.get_title().set_multialignment("center")


def frame(panel: Axes, colour: str, width: float) -> None:
    """Take the ticks away and draw the edges of a panel."""
    panel.set_xticks([])
    panel.set_yticks([])
    for edge in panel.spines.values():
        edge.set_color(colour)
        edge.set_linewidth(width)
