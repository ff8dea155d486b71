"""What a structure alone says: fingerprint and descriptors; or random codes, which say nothing."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from rdkit import Chem
from rdkit.Chem import Crippen, Descriptors, rdMolDescriptors
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from cloome_sk.baselines._structures import any_smiles
from cloome_sk.molecules import molecule_key, morgan_fingerprints
from cloome_sk.molecules.smiles import factorize

DESCRIPTORS: dict[str, Callable[[Any], float]] = {
    "molecular_weight": Descriptors.MolWt,  # type: ignore[attr-defined]
    "logp": Crippen.MolLogP,  # type: ignore[attr-defined]
    "molar_refractivity": Crippen.MolMR,  # type: ignore[attr-defined]
    "tpsa": rdMolDescriptors.CalcTPSA,
    "h_bond_donors": rdMolDescriptors.CalcNumHBD,
    "h_bond_acceptors": rdMolDescriptors.CalcNumHBA,
    "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "heavy_atoms": rdMolDescriptors.CalcNumHeavyAtoms,
    "heteroatoms": rdMolDescriptors.CalcNumHeteroatoms,
    "formal_charge": Chem.GetFormalCharge,
    "fraction_sp3": rdMolDescriptors.CalcFractionCSP3,
}


class _MoleculeFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features of structures, of a table's column or of a list; each distinct SMILES once."""

    smiles: str

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Any:
        """Check the structures; nothing is learned from them.

        Parameters
        ----------
        X : DataFrame, or list of str or rdkit.Chem.Mol
            A table with a column of SMILES, or the structures.
        y : object, optional
            Ignored.

        Returns
        -------
        transformer
            Itself.

        Raises
        ------
        ValueError
            If there is no such column, or a structure cannot be read; the message names the rows.
        """
        any_smiles(X, type(self).__name__, column=self.smiles)
        self._learn()
        self.n_features_ = self._features(np.array(["C"], dtype=object)).shape[1]
        return self

    def _learn(self) -> None:
        """Draw what is random."""

    @abstractmethod
    def _features(self, distinct: np.ndarray) -> np.ndarray:
        """Features of distinct SMILES."""

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features.

        Parameters
        ----------
        X : DataFrame, or list of str or rdkit.Chem.Mol
            A table with a column of SMILES, or the structures.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_features)
            The features.

        Raises
        ------
        ValueError
            If there is no such column, or a structure cannot be read; the message names the rows.
        """
        check_is_fitted(self)
        codes, distinct = factorize(any_smiles(X, type(self).__name__, column=self.smiles))
        return self._features(distinct).astype(np.float32)[codes]

    @property
    def _n_features_out(self) -> int:
        return self.n_features_


class MorganFeatures(_MoleculeFeatures):
    """Take the Morgan fingerprint of each molecule, by default the one of the CLOOME paper.

    Parameters
    ----------
    smiles : str, default="smiles"
        The column of structures, in any case and with or without ``Metadata_``.
    radius : int, default=3
        Radius of the environments, in bonds (>= 0).
    n_bits : int, default=1024
        Length of the fingerprint (>= 1).
    use_chirality : bool, default=True
        Whether stereochemistry enters.

    Examples
    --------
    >>> from cloome_sk.baselines import MorganFeatures
    >>> MorganFeatures(n_bits=256).fit_transform(["CCO", "c1ccccc1"]).shape
    (2, 256)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "smiles": [str],
        "radius": [Interval(Integral, 0, None, closed="left")],
        "n_bits": [Interval(Integral, 1, None, closed="left")],
        "use_chirality": ["boolean"],
    }

    def __init__(
        self,
        smiles: str = "smiles",
        *,
        radius: int = 3,
        n_bits: int = 1024,
        use_chirality: bool = True,
    ) -> None:
        self.smiles = smiles
        self.radius = radius
        self.n_bits = n_bits
        self.use_chirality = use_chirality

    def _features(self, distinct: np.ndarray) -> np.ndarray:
        return morgan_fingerprints(
            distinct, radius=self.radius, n_bits=self.n_bits, use_chirality=self.use_chirality
        )


class PhyschemDescriptors(_MoleculeFeatures):
    """Take thirteen physicochemical descriptors of each molecule (RDKit).

    Molecular weight, logP and molar refractivity (Crippen), polar surface area, hydrogen-bond
    donors and acceptors, rotatable bonds, rings, aromatic rings, heavy atoms, heteroatoms, formal
    charge and the fraction of sp3 carbons, of the structure as written, salts included.

    Parameters
    ----------
    smiles : str, default="smiles"
        The column of structures, in any case and with or without ``Metadata_``.

    Examples
    --------
    >>> from cloome_sk.baselines import PhyschemDescriptors
    >>> descriptors = PhyschemDescriptors().fit(["CCO"])
    >>> print(f'{descriptors.transform(["CCO"])[0, 0]:.2f}')
    46.07
    >>> descriptors.get_feature_names_out()[:2].tolist()
    ['molecular_weight', 'logp']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {"smiles": [str]}

    def __init__(self, smiles: str = "smiles") -> None:
        self.smiles = smiles

    def _features(self, distinct: np.ndarray) -> np.ndarray:
        molecules = [Chem.MolFromSmiles(text) for text in distinct]
        values = [[compute(molecule) for compute in DESCRIPTORS.values()] for molecule in molecules]
        return np.array(values, dtype=np.float64).reshape(len(distinct), len(DESCRIPTORS))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the descriptors.

        Parameters
        ----------
        input_features : object, optional
            Ignored.

        Returns
        -------
        ndarray of object, shape (n_features,)
            Their names.
        """
        check_is_fitted(self)
        return np.array(list(DESCRIPTORS), dtype=object)


class RandomMoleculeCodes(_MoleculeFeatures):
    """Give each molecule random numbers that know nothing of its structure.

    The control for every claim that a phenotype embedding is informed by chemistry: an encoder
    trained on these codes has only learned which wells hold the same compound.
    ``CloomeEmbedder(molecule=MoleculeEncoder(features=RandomMoleculeCodes(random_state=0)))``.

    Parameters
    ----------
    smiles : str, default="smiles"
        The column of structures, in any case and with or without ``Metadata_``.
    n_features : int, default=1024
        Length of a code (>= 1).
    random_state : int, RandomState or None, default=None
        Seed. A code depends on it and on the molecule (`cloome_sk.molecules.molecule_key`) alone,
        not on the other molecules or their order.

    Attributes
    ----------
    seed_ : int
        The seed drawn in `fit`.

    Examples
    --------
    >>> from cloome_sk.baselines import RandomMoleculeCodes
    >>> codes = RandomMoleculeCodes(random_state=0).fit_transform(["CCO", "c1ccccc1", "OCC"])
    >>> bool((codes[0] == codes[2]).all()), bool((codes[0] == codes[1]).any())
    (True, False)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "smiles": [str],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, smiles: str = "smiles", *, n_features: int = 1024, random_state: Any = None
    ) -> None:
        self.smiles = smiles
        self.n_features = n_features
        self.random_state = random_state

    def _learn(self) -> None:
        self.seed_ = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _features(self, distinct: np.ndarray) -> np.ndarray:
        codes = [self._code(key) for key in molecule_key(distinct)]
        return np.array(codes, dtype=np.float32).reshape(len(distinct), self.n_features)

    def _code(self, key: str) -> np.ndarray:
        digest = hashlib.sha256(f"{self.seed_}:{key}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        return generator.standard_normal(self.n_features, dtype=np.float32)
