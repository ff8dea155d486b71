"""Molecules against which a scaffold is called specific: common building blocks, joined."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from sklearn.utils import check_random_state

# The parts join where they have the same place: `{0}` becomes a ring closure, which in SMILES may
# reach over a dot. What is common stands here more than once.
RINGS = (
    *6 * ("c1cc{0}ccc1{1}", "c1cc{0}cc{1}c1", "c1ccc{0}c{1}c1"),
    *3 * ("c1nc{0}ccc1{1}", "c1c{0}nccc1{1}", "C1CN{0}CCN1{1}", "C1CN{0}CCC1{1}"),
    *2 * ("c1c{0}nc{1}nc1", "C1CC{1}N{0}C1", "c1c{0}sc{1}c1", "C1OCCN{0}C1{1}"),
    *2 * ("c1n{0}nc{1}c1", "c1c{0}nc{1}s1", "c1cc2c(cc1{1})n{0}cc2", "C1CC{0}CCC1{1}"),
    *("c1c{0}oc{1}c1", "c1{0}noc{1}n1", "c1{0}nnc{1}o1", "c1{0}nnc{1}s1", "c1{0}noc{1}c1"),
    *("c1{0}nnn{1}c1", "c1nc{0}n{1}c1", "c1c{0}n{1}c(C)c1", "C1CC1{0}{1}", "C1CC{0}C1{1}"),
    *("c1c{0}nc2cc{1}ccc2c1", "c1{0}ncnc2cc{1}ccc12", "c1{0}nc2cc{1}ccc2n1C"),
    *("c1{0}nc2cc{1}ccc2[nH]1", "c1{0}nc2cc{1}ccc2s1", "c1cc2c(cc1{0})c{1}c[nH]2"),
    *("c1{0}cc2cc{1}ccc2o1", "O=c1n{0}cnc2cc{1}ccc12", "c1cc2ccc{0}cc2cc1{1}"),
    *("c1c{0}cc2c(c1{1})OCO2", "C1CN{0}Cc2cc{1}ccc12", "O=C1CC{1}CN1{0}"),
    *("O=c1ccc{1}cn1{0}", "c1c{0}nn2cc{1}cnc12"),
)
# Links and ends are grown of these; one in five rings is bound to the next one directly.
UNITS = (
    *8 * ("C{0}{1}", "C{0}(=O)N{1}", "N{0}C{1}=O"),
    *4 * ("N{0}{1}", "O{0}{1}"),
    *2 * ("S{0}(=O)(=O)N{1}", "C{0}(C){1}", "C{0}(=O){1}", "N{0}(C){1}", "N{0}S{1}(=O)=O"),
    *("C{0}(=O)O{1}", "O{0}C{1}=O", "S{0}{1}", "S{0}{1}(=O)=O", "C{0}(O){1}", "N{0}C(=O)N{1}"),
    *("C{0}(=O)N(C){1}", "C{0}=C{1}", "C{0}=NN{1}", "C{0}#C{1}"),
)
ENDS = (
    *8 * ("C{0}",),
    *4 * ("O{0}C", "F{0}", "Cl{0}", "C{0}C", "O{0}"),
    *2 * ("C{0}(C)C", "C{0}(F)(F)F", "N{0}", "C{0}#N", "Br{0}", "N{0}(C)C", "C{0}(=O)O"),
    *("C{0}(N)=O", "C{0}(C)=O", "S{0}(N)(=O)=O", "[N+]{0}(=O)[O-]", "C{0}(C)(C)C", "C1{0}CC1"),
    *("C1{0}CCCC1", "C1{0}CCCCC1", "N1{0}CCOCC1", "N1{0}CCCC1", "N1{0}CCCCC1", "C1{0}CCCO1"),
    *4 * ("c1{0}ccccc1",),
    *("c1{0}cccnc1", "c1{0}ccco1", "c1{0}cccs1", "c1{0}ccc(F)cc1", "c1{0}ccc(Cl)cc1"),
)
# Bonds between hetero atoms that few compounds of a collection have.
RARE = Chem.MolFromSmarts("[#7,#8,$([#16X2])]-!@[$([#7X3+0;!$(*-*=*)]),#8X2,F,Cl,Br,$([#16X2])]")


def assembled_background(n_molecules: int = 2000, *, random_state: Any = 0) -> np.ndarray:
    """Make molecules that look like those of a screening collection.

    Two or three common rings are joined by chains of common links, with common groups at the ends.
    What many of these molecules contain, such as the anilide of a benzoic acid, is a commonplace
    of synthesis and no mark of a series. A sample of a real collection says the same with more
    authority; where one is at hand, give that to ``ChemicalSeries(background=...)``.

    Parameters
    ----------
    n_molecules : int, default=2000
        How many.
    random_state : int, RandomState instance or None, default=0
        Which.

    Returns
    -------
    ndarray of object, shape (n_molecules,)
        Distinct canonical SMILES.

    Raises
    ------
    ValueError
        If `n_molecules` is no integer of at least 1.

    Examples
    --------
    >>> from cloome_sk.molecules import assembled_background
    >>> background = assembled_background(100)
    >>> len(set(background))
    100
    """
    if isinstance(n_molecules, bool) or not isinstance(n_molecules, Integral) or n_molecules < 1:
        raise ValueError(f"n_molecules must be an integer of at least 1, got {n_molecules!r}.")
    random = check_random_state(random_state)
    made: dict[str, None] = {}
    while len(made) < n_molecules:
        with rdBase.BlockLogs():
            molecule = Chem.MolFromSmiles(_one(random))
        if molecule is not None and not molecule.HasSubstructMatch(RARE):
            made[Chem.MolToSmiles(molecule)] = None
    out = np.empty(n_molecules, dtype=object)
    out[:] = list(made)
    return out


def _one(random: np.random.RandomState) -> str:
    """An end, rings with links around them, an end; not always a possible structure."""

    def part(choices: tuple[str, ...], first: int) -> str:
        return choices[random.randint(len(choices))].format(f"%{first}", f"%{first + 1}")

    parts = [part(ENDS, 11)]
    place = 11
    for ring in range(2 + random.randint(2)):
        if random.randint(5) or not ring:
            for _ in range(random.randint(4)):
                parts.append(part(UNITS, place))
                place += 1
        parts.append(part(RINGS, place))
        place += 1
    for _ in range(random.randint(3)):
        parts.append(part(UNITS, place))
        place += 1
    return ".".join([*parts, part(ENDS, place)])
