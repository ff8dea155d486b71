"""Members of a chemical series, chosen to be far apart and drawn with the scaffold in one place."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdDepictor, rdFingerprintGenerator
from rdkit.Chem.Draw import rdMolDraw2D

HIGHLIGHT = (0.62, 0.80, 0.93)
"""A light tint of the blue that stands for what is right in the other pictures."""

PIXELS = (520, 416)
"""Of one structure."""

MOST_MATCHES = 1000
"""Ways in which a symmetric scaffold lies on a molecule that are looked at."""


def spread(smiles: Sequence[str], n: int, *, radius: int, n_bits: int) -> list[int]:
    """Positions of the smallest molecule, then of each that is farthest from those before.

    Distances are those of Tanimoto. Which are chosen does not depend on the order given.
    """
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    order = sorted(range(len(smiles)), key=lambda at: (molecules[at].GetNumAtoms(), smiles[at]))
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
    bits = [generator.GetFingerprint(molecules[at]) for at in order]
    chosen = [0]
    nearest = np.full(len(bits), -1.0)
    while len(chosen) < min(n, len(bits)):
        similar = DataStructs.BulkTanimotoSimilarity(bits[chosen[-1]], bits)
        nearest = np.maximum(nearest, similar)
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
    return [order[at] for at in chosen]


@dataclass(frozen=True)
class Drawn:
    """A molecule with coordinates.

    Attributes
    ----------
    molecule : rdkit.Chem.Mol
        With bonds as they are drawn.
    atoms : tuple of int
        The atom of each atom of the scaffold; those of the scaffold by itself are not coloured.
    """

    molecule: Chem.Mol
    atoms: tuple[int, ...]


def aligned(
    scaffold: str, smarts: str, smiles: Sequence[str], *, chiral: bool
) -> tuple[Drawn, list[Drawn]]:
    """A scaffold and molecules that contain it, drawn so that it lies the same way in all.

    A scaffold that is no molecule by itself (empty SMILES) is cut out of the first molecule. A
    molecule with bonds between atoms of the scaffold that this has not is laid out by itself, and
    turned to lie much the same way.
    """
    query = Chem.MolFromSmarts(smarts)
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    ways = [
        molecule.GetSubstructMatches(
            query, uniquify=False, useChirality=chiral, maxMatches=MOST_MATCHES
        )
        for molecule in molecules
    ]
    whole = Chem.MolFromSmiles(scaffold) if scaffold else None
    places = () if whole is None else whole.GetSubstructMatch(query)
    if whole is None or not places:
        whole, places = _cut(molecules[0], ways[0][0])
    rdDepictor.Compute2DCoords(whole)
    bonds = _bonded(whole, places)
    first: set[int] = set()
    members = []
    for molecule, matches in zip(molecules, ways, strict=True):
        # A query of a large ring fits crosswise where rings are fused: the bonds decide. Of ways
        # that differ by symmetry, the one with substituents where the first molecule has them.
        differences = [
            (len(_bonded(molecule, way) ^ bonds), len(_substituents(molecule, way) ^ first))
            for way in matches
        ]
        match = matches[differences.index(min(differences))]
        first = first or _substituents(molecule, match)
        pairs = list(zip(places, match, strict=True))
        if _bonded(molecule, match) == bonds:
            rdDepictor.GenerateDepictionMatching2DStructure(molecule, whole, pairs)
        else:
            rdDepictor.Compute2DCoords(molecule)
            _turn(molecule, whole, pairs)
        members.append(Drawn(rdMolDraw2D.PrepareMolForDrawing(molecule), match))
    return Drawn(rdMolDraw2D.PrepareMolForDrawing(whole, addChiralHs=False), ()), members


def pictures(drawn: Sequence[Drawn]) -> list[np.ndarray]:
    """Draw molecules at one scale, scaffolds coloured."""
    from matplotlib.image import imread

    width, height = PIXELS
    drawing = rdMolDraw2D.MolDraw2DCairo(width * len(drawn), height, width, height)
    options: Any = drawing.drawOptions()  # whose settings its type stubs do not know
    options.padding = 0.05
    options.fixedBondLength = 82
    options.prepareMolsBeforeDrawing = False
    options.drawMolsSameScale = True
    options.setHighlightColour(HIGHLIGHT)
    drawing.DrawMolecules(
        [one.molecule for one in drawn],
        highlightAtoms=[list(one.atoms) for one in drawn],
        highlightBonds=[_bonds_among(one) for one in drawn],
    )
    drawing.FinishDrawing()
    row = imread(io.BytesIO(drawing.GetDrawingText()))
    return [row[:, width * at : width * (at + 1)] for at in range(len(drawn))]


def _turn(molecule: Chem.Mol, whole: Chem.Mol, pairs: list[tuple[int, int]]) -> None:
    """Turn and flip a flat molecule until its atoms are near those of a scaffold."""
    places, atoms = (list(side) for side in zip(*pairs, strict=True))
    own = molecule.GetConformer().GetPositions()[:, :2]
    target = whole.GetConformer().GetPositions()[places, :2]
    centre = own[atoms].mean(axis=0)
    # Procrustes: a mirror image is the same molecule seen from behind.
    left, _, right = np.linalg.svd((own[atoms] - centre).T @ (target - target.mean(axis=0)))
    turned = (own - centre) @ left @ right
    for atom, (x, y) in enumerate(turned.tolist()):
        molecule.GetConformer().SetAtomPosition(atom, (x, y, 0.0))


def _bonds_among(one: Drawn) -> list[int]:
    inside = set(one.atoms)
    return [
        bond.GetIdx()
        for bond in one.molecule.GetBonds()
        if bond.GetBeginAtomIdx() in inside and bond.GetEndAtomIdx() in inside
    ]


def _bonded(molecule: Chem.Mol, match: Sequence[int]) -> set[tuple[int, ...]]:
    """Pairs of atoms of the scaffold, by their places in it, between which there is a bond."""
    place = {atom: at for at, atom in enumerate(match)}
    return {
        tuple(sorted((place[bond.GetBeginAtomIdx()], place[bond.GetEndAtomIdx()])))
        for bond in molecule.GetBonds()
        if bond.GetBeginAtomIdx() in place and bond.GetEndAtomIdx() in place
    }


def _substituents(molecule: Chem.Mol, match: tuple[int, ...]) -> set[int]:
    """Atoms of the scaffold, by their place in it, that carry something."""
    inside = set(match)
    return {
        place
        for place, atom in enumerate(match)
        if any(
            other.GetIdx() not in inside for other in molecule.GetAtomWithIdx(atom).GetNeighbors()
        )
    }


def _cut(molecule: Chem.Mol, match: tuple[int, ...]) -> tuple[Chem.Mol, tuple[int, ...]]:
    """The matched part of a molecule, and the place of each matched atom in it."""
    part = Chem.RWMol(molecule)
    Chem.Kekulize(part, clearAromaticFlags=True)
    part.BeginBatchEdit()
    for index in set(range(molecule.GetNumAtoms())) - set(match):
        part.RemoveAtom(index)
    part.CommitBatchEdit()
    Chem.RemoveStereochemistry(part)
    part.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(part)
    place = {atom: at for at, atom in enumerate(sorted(match))}
    return part.GetMol(), tuple(place[atom] for atom in match)
