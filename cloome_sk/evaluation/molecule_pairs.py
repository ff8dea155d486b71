"""How alike two molecules are: by fingerprint, and by scaffold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloome_sk.baselines.tanimoto import tanimoto
from cloome_sk.model_selection._structures import packed_fingerprints
from cloome_sk.molecules import molecule_key, murcko_scaffolds

RADIUS, N_BITS = 2, 2048
"""Of the Morgan fingerprint, as in `cloome_sk.model_selection.leakage_report`."""


@dataclass(frozen=True)
class Molecules:
    """Distinct molecules, with all that comparing them needs.

    Attributes
    ----------
    keys, smiles, scaffolds : ndarray of object, shape (n_molecules,)
        `molecule_key`; the first structure of each; its Bemis-Murcko scaffold, empty for a molecule
        without rings.
    bits : ndarray of uint8, shape (n_molecules, 2048)
        Morgan fingerprints of the parents, radius 2, no chirality.
    """

    keys: np.ndarray
    smiles: np.ndarray
    scaffolds: np.ndarray
    bits: np.ndarray

    @classmethod
    def of(cls, smiles: np.ndarray) -> Molecules:
        """Read the distinct molecules of some structures, in the order in which they appear.

        Parameters
        ----------
        smiles : ndarray of object, shape (n_rows,)
            Readable SMILES.

        Returns
        -------
        Molecules
            One entry for each `molecule_key`.

        Examples
        --------
        >>> import numpy as np
        >>> from cloome_sk.evaluation.molecule_pairs import Molecules
        >>> Molecules.of(np.array(["CCO", "OCC", "CCCO"], dtype=object)).smiles
        array(['CCO', 'CCCO'], dtype=object)
        """
        keys = molecule_key(smiles)
        first = ~pd.Series(keys, dtype=object).duplicated().to_numpy()
        own = smiles[first]
        packed = packed_fingerprints(own, radius=RADIUS, n_bits=N_BITS, use_chirality=False)
        return cls(keys[first], own, murcko_scaffolds(own), packed.unpacked(slice(None)))

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, places: np.ndarray) -> Molecules:
        """Some of the molecules.

        Parameters
        ----------
        places : ndarray of intp or bool
            Which.

        Returns
        -------
        Molecules
            Those.

        Examples
        --------
        >>> import numpy as np
        >>> from cloome_sk.evaluation.molecule_pairs import Molecules
        >>> molecules = Molecules.of(np.array(["CCO", "CCCO"], dtype=object))
        >>> molecules.take(np.array([1])).smiles
        array(['CCCO'], dtype=object)
        """
        return Molecules(
            self.keys[places], self.smiles[places], self.scaffolds[places], self.bits[places]
        )

    def tanimoto(self, others: Molecules) -> np.ndarray:
        """Compare fingerprints.

        Parameters
        ----------
        others : Molecules
            Any others.

        Returns
        -------
        ndarray of float64, shape (n_molecules, n_others)
            Tanimoto similarity, in [0, 1].

        Examples
        --------
        >>> import numpy as np
        >>> from cloome_sk.evaluation.molecule_pairs import Molecules
        >>> molecules = Molecules.of(np.array(["CCCO", "CCCCO"], dtype=object))
        >>> molecules.tanimoto(molecules).round(3)
        array([[1.   , 0.583],
               [0.583, 1.   ]])
        """
        return tanimoto(self.bits, others.bits)

    def scaffold_changed(self, others: Molecules) -> np.ndarray:
        """Say which pairs have two scaffolds.

        Parameters
        ----------
        others : Molecules
            Any others.

        Returns
        -------
        ndarray of bool, shape (n_molecules, n_others)
            False where the scaffolds are equal, as they are of two molecules without rings.

        Examples
        --------
        >>> import numpy as np
        >>> from cloome_sk.evaluation.molecule_pairs import Molecules
        >>> smiles = ["Cc1ccccc1", "Oc1ccccc1", "CCO", "CCCO"]
        >>> molecules = Molecules.of(np.array(smiles, dtype=object))
        >>> molecules.scaffold_changed(molecules)[0].tolist()
        [False, False, True, True]
        """
        return self.scaffolds[:, None] != others.scaffolds[None, :]
