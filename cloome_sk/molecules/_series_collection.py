"""Molecules of which one asks which contain a structure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from rdkit import Chem
from rdkit.Chem import rdSubstructLibrary

RING_RULES = re.compile(r"[&;]!?R|[&;]!?@")
"""What a SMARTS from a search for common structures says of rings."""


class Collection:
    """Some molecules, with what tells quickly that a structure is not in one.

    Parameters
    ----------
    smiles : sequence of str
        The molecules.
    """

    def __init__(self, smiles: Sequence[str]) -> None:
        self.molecules = [Chem.MolFromSmiles(text) for text in smiles]
        self.library = rdSubstructLibrary.SubstructLibrary(
            rdSubstructLibrary.MolHolder(), rdSubstructLibrary.PatternHolder()
        )
        for molecule in self.molecules:
            self.library.AddMol(molecule)

    def __len__(self) -> int:
        return len(self.molecules)

    def matches(self, smarts: str, *, chiral: bool, most: int | None = None) -> list[int]:
        """Rows that contain a structure, ascending; no more than `most` of them."""
        query = Chem.MolFromSmarts(smarts)
        # The screen takes an atom with a word on rings for any atom. Without these words, it lets
        # a tenth as many molecules through; what they demand is asked afterwards.
        plain = query if chiral else Chem.MolFromSmarts(RING_RULES.sub("", smarts))
        rows = self.library.GetMatches(plain, useChirality=chiral, numThreads=1, maxResults=-1)
        out: list[int] = []
        for row in sorted(rows):
            if most is not None and len(out) == most:
                break
            if self.molecules[row].HasSubstructMatch(query, useChirality=chiral):
                out.append(row)
        return out


@lru_cache(maxsize=1)
def background_collection(smiles: tuple[str, ...]) -> Collection:
    """The background, once for each process."""
    return Collection(smiles)
