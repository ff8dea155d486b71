"""Which molecules a screening library should not hold, and by which rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import effective_n_jobs
from rdkit import Chem, rdBase
from rdkit.Chem import QED, FilterCatalog, rdfiltercatalog, rdMolDescriptors
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval

from cloome_sk.molecules.parents import parent_smiles
from cloome_sk.molecules.smiles import as_smiles, factorize

CATALOGS = tuple(sorted(FilterCatalog.FilterCatalogParams.FilterCatalogs.names))
"""The catalogues of structural alerts that RDKit has."""

PROPERTIES: dict[str, Callable[[Chem.Mol], float]] = {
    "molecular_weight": rdMolDescriptors._CalcMolWt,
    "heavy_atoms": lambda molecule: molecule.GetNumHeavyAtoms(),
    "logp": lambda molecule: rdMolDescriptors.CalcCrippenDescriptors(molecule)[0],
    "tpsa": rdMolDescriptors.CalcTPSA,
    "h_bond_donors": rdMolDescriptors.CalcNumHBD,
    "h_bond_acceptors": rdMolDescriptors.CalcNumHBA,
    "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "fraction_sp3": rdMolDescriptors.CalcFractionCSP3,
    "qed": QED.qed,
}
"""What a range can be given for."""

VIOLATIONS = ["row", "smiles", "rule", "kind", "detail", "refused"]
CHUNK = 8192
"""Molecules run through a catalogue at once."""


class MoleculeFilters(TransformerMixin, BaseEstimator):
    """Refuse molecules by structural alerts and property ranges, and say why.

    All rules look at the parent (`cloome_sk.molecules.parent_smiles`): the counter-ion of a salt
    neither triggers an alert nor counts as weight.

    Parameters
    ----------
    catalogs : sequence of str, default=("PAINS",)
        Catalogues of RDKit's ``FilterCatalog``, such as ``"PAINS"`` [1]_ (assay interference),
        ``"BRENK"`` [2]_ (unwanted groups), ``"NIH"``, ``"ZINC"``, ``"CHEMBL"``. A molecule is
        refused that matches any alert of any of them.
    ranges : mapping of str to (float or None, float or None), or None, default=None
        Least and largest value of properties, both allowed, None for no limit:
        ``{"molecular_weight": (None, 500), "logp": (-1, 5)}``. Properties, by RDKit:
        ``molecular_weight`` (g/mol), ``heavy_atoms``, ``logp`` (Crippen), ``tpsa`` (Å²),
        ``h_bond_donors``, ``h_bond_acceptors``, ``rotatable_bonds``, ``rings``, ``aromatic_rings``,
        ``fraction_sp3``, ``qed``.
    max_violations : int, default=0
        How many of the ranges a molecule may leave and still pass; the rule of five allows 1.
    smarts : mapping of str to str, or None, default=None
        Further alerts: SMARTS by name.
    n_jobs : int or None, default=None
        Threads that search the catalogues.

    See Also
    --------
    cloome_sk.LibraryDesigner : Picks compounds among those that pass.

    Notes
    -----
    Nothing is learned: `fit` only checks the parameters, and may be left out.

    References
    ----------
    .. [1] Baell & Holloway, "New substructure filters for removal of pan assay interference
       compounds (PAINS)", J Med Chem 53:2719-2740 (2010).
    .. [2] Brenk et al., "Lessons learnt from assembling screening libraries for drug discovery
       for neglected diseases", ChemMedChem 3:435-444 (2008).

    Examples
    --------
    >>> from cloome_sk.molecules import MoleculeFilters
    >>> filters = MoleculeFilters(["PAINS"], ranges={"heavy_atoms": (5, 40)})
    >>> smiles = ["CC(=O)Nc1ccc(O)cc1", "O=C(O)c1ccc(N=Nc2ccc(O)cc2)cc1", "CCO"]
    >>> filters.passes(smiles)
    array([ True, False, False])
    >>> filters.explain(smiles)[["row", "rule", "detail"]].to_numpy().tolist()
    [[1, 'PAINS', 'azo_A(324)'], [2, 'heavy_atoms', '3 is below 5']]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "catalogs": [list, tuple],
        "ranges": [Mapping, None],
        "max_violations": [Interval(Integral, 0, None, closed="left")],
        "smarts": [Mapping, None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        catalogs: Sequence[str] = ("PAINS",),
        *,
        ranges: Mapping[str, tuple[float | None, float | None]] | None = None,
        max_violations: int = 0,
        smarts: Mapping[str, str] | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.catalogs = catalogs
        self.ranges = ranges
        self.max_violations = max_violations
        self.smarts = smarts
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, smiles: Any = None, y: Any = None) -> MoleculeFilters:
        """Check the parameters.

        Parameters
        ----------
        smiles : object
            Ignored.
        y : object
            Ignored.

        Returns
        -------
        MoleculeFilters
            Itself.

        Raises
        ------
        ValueError
            For an unknown catalogue or property, a range that holds nothing, or SMARTS that cannot
            be read.
        """
        self._rules()
        return self

    def transform(self, smiles: Any) -> np.ndarray:
        """Tell which rules each molecule violates.

        Parameters
        ----------
        smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
            The structures.

        Returns
        -------
        ndarray of bool, shape (n_samples, n_rules)
            True where the rule of the column (`get_feature_names_out`) is violated.

        Raises
        ------
        ValueError
            If a structure is missing, empty or cannot be parsed; the message names the rows.
        """
        codes, found = self._violations(smiles)
        names = self.get_feature_names_out().tolist()
        out = np.zeros((len(found), len(names)), dtype=bool)
        for row, details in enumerate(found):
            for rule in details:
                out[row, names.index(rule)] = True
        return out[codes]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the rules, in the order of the columns of `transform`.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        ndarray of object, shape (n_rules,)
            Catalogues, properties with a range, then names of SMARTS.
        """
        return np.array(list(self._rules()), dtype=object)

    def passes(self, smiles: Any) -> np.ndarray:
        """Tell which molecules pass.

        Parameters
        ----------
        smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
            The structures.

        Returns
        -------
        ndarray of bool, shape (n_samples,)
            False for those that are refused.

        Raises
        ------
        ValueError
            If a structure is missing, empty or cannot be parsed; the message names the rows.
        """
        codes, found = self._violations(smiles)
        return np.array([not self._refuses(details) for details in found], dtype=bool)[codes]

    def explain(self, smiles: Any) -> pd.DataFrame:
        """List what is wrong with which molecule.

        Parameters
        ----------
        smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
            The structures.

        Returns
        -------
        DataFrame, one row a molecule and rule that it violates
            ``row`` (position), ``smiles`` (as given), ``rule``, ``kind`` (``"catalog"``,
            ``"range"`` or ``"smarts"``), ``detail`` (the alerts, or the value and its limit) and
            ``refused``: False where a molecule passes because of `max_violations`.

        Raises
        ------
        ValueError
            If a structure is missing, empty or cannot be parsed; the message names the rows.
        """
        given = as_smiles(smiles)
        codes, found = self._violations(given)
        kinds = self._rules()
        refused = [self._refuses(details) for details in found]
        rows = [
            (row, given[row], rule, kinds[rule], detail, refused[code])
            for row, code in enumerate(codes)
            for rule, detail in found[code].items()
        ]
        return pd.DataFrame(rows, columns=VIOLATIONS).astype({"row": np.intp, "refused": bool})

    def properties(self, smiles: Any) -> pd.DataFrame:
        """Compute all properties that a range can be given for.

        Parameters
        ----------
        smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
            The structures.

        Returns
        -------
        DataFrame of float64, shape (n_samples, n_properties)
            A column a property, in the units named above.

        Raises
        ------
        ValueError
            If a structure is missing, empty or cannot be parsed; the message names the rows.
        """
        codes, parents = factorize(parent_smiles(smiles))
        values = [_properties(text, tuple(PROPERTIES)) for text in parents]
        table = np.array(values, dtype=float).reshape(len(parents), len(PROPERTIES))
        return pd.DataFrame(table[codes], columns=list(PROPERTIES))

    def _rules(self) -> dict[str, str]:
        """Kind of each rule by its name, if all of them can be used."""
        self._validate_params()
        kinds: dict[str, str] = {}
        for name in self.catalogs:
            _check_known(name, CATALOGS, "catalogs", "a catalogue of RDKit")
            kinds[name] = "catalog"
        for name, limits in (self.ranges or {}).items():
            _check_known(name, PROPERTIES, "ranges", "a property")
            _check_range(name, limits)
            kinds[name] = "range"
        for name, text in (self.smarts or {}).items():
            if name in kinds:
                raise ValueError(f"MoleculeFilters: smarts= has a name that is taken: {name!r}.")
            if not isinstance(text, str):
                raise ValueError(
                    f"MoleculeFilters: the SMARTS of {name!r} must be one text, got {text!r}; "
                    "several alerts have a name each."
                )
            if _pattern(text) is None:
                raise ValueError(
                    f"MoleculeFilters: the SMARTS of {name!r} cannot be read: {text!r}."
                )
            kinds[name] = "smarts"
        return kinds

    def _refuses(self, details: Mapping[str, str]) -> bool:
        ranges = self.ranges or {}
        n_ranges = sum(rule in ranges for rule in details)
        return n_ranges > self.max_violations or n_ranges < len(details)

    def _violations(self, smiles: Any) -> tuple[np.ndarray, list[dict[str, str]]]:
        """Code of each row's parent, and of each parent the rules it violates, with details."""
        kinds = self._rules()
        codes, parents = factorize(parent_smiles(smiles))
        found: list[dict[str, str]] = [{} for _ in parents]
        for name in self.catalogs:
            for at, alerts in enumerate(_alerts(parents.tolist(), name, self.n_jobs)):
                if alerts:
                    found[at][name] = ", ".join(alerts)
        ranges = {name: limits for name, limits in (self.ranges or {}).items() if name in kinds}
        for at, text in enumerate(parents if ranges or self.smarts else ()):
            values = _properties(text, tuple(ranges))
            for (name, limits), value in zip(ranges.items(), values, strict=True):
                if said := _outside(value, *limits):
                    found[at][name] = said
            for name, smarts in (self.smarts or {}).items():
                if _matches(text, smarts):
                    found[at][name] = smarts
        return codes, found


@lru_cache(maxsize=len(CATALOGS))
def _catalog(name: str) -> FilterCatalog.FilterCatalog:
    """One of RDKit's catalogues, opened once."""
    params = FilterCatalog.FilterCatalogParams()
    params.AddCatalog(FilterCatalog.FilterCatalogParams.FilterCatalogs.names[name])
    return FilterCatalog.FilterCatalog(params)


def _alerts(smiles: list[str], name: str, n_jobs: int | None) -> list[list[str]]:
    """Descriptions of the alerts that each SMILES matches."""
    out: list[list[str]] = []
    with rdBase.BlockLogs():
        for start in range(0, len(smiles), CHUNK):
            matched = rdfiltercatalog.RunFilterCatalog(
                _catalog(name), smiles[start : start + CHUNK], effective_n_jobs(n_jobs)
            )
            out += [sorted({entry.GetDescription() for entry in one}) for one in matched]
    return out


@lru_cache(maxsize=1 << 18)
def _properties(text: str, names: tuple[str, ...]) -> tuple[float, ...]:
    """Some properties of a readable SMILES."""
    if not names:
        return ()
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text)
        return tuple(float(PROPERTIES[name](molecule)) for name in names)


@lru_cache(maxsize=1024)
def _pattern(smarts: str) -> Chem.Mol | None:
    """A SMARTS as a query; None where it is none."""
    if not smarts.strip():
        return None
    with rdBase.BlockLogs():
        return Chem.MolFromSmarts(smarts)


def _matches(text: str, smarts: str) -> bool:
    """Whether a readable SMILES holds a readable SMARTS."""
    pattern = _pattern(smarts)
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(text)
    return pattern is not None and molecule is not None and molecule.HasSubstructMatch(pattern)


def _outside(value: float, low: float | None, high: float | None) -> str:
    """Which limit a value leaves, in words; nothing where it leaves none."""
    if low is not None and value < low:
        return f"{value:.4g} is below {low:g}"
    if high is not None and value > high:
        return f"{value:.4g} is above {high:g}"
    return ""


def _check_known(name: Any, known: Any, parameter: str, what: str) -> None:
    if name not in known:
        raise ValueError(
            f"MoleculeFilters: {parameter}= names {name!r}, which is not {what}; there are "
            f"{', '.join(known)}."
        )


def _check_range(name: str, limits: Any) -> None:
    """Refuse what is no pair of limits with something between them."""
    pair = isinstance(limits, tuple | list) and len(limits) == 2
    if not pair or not all(
        limit is None
        or (isinstance(limit, Real) and not isinstance(limit, bool) and np.isfinite(float(limit)))
        for limit in limits
    ):
        raise ValueError(
            f"MoleculeFilters: ranges[{name!r}] must be (least, largest), each a number or None, "
            f"got {limits!r}."
        )
    low, high = limits
    if low is not None and high is not None and low > high:
        raise ValueError(f"MoleculeFilters: ranges[{name!r}] = {limits!r} holds no value.")
