"""Chemical series: molecules around one scaffold, as a medicinal chemist would group them."""

from __future__ import annotations

import warnings
from collections import Counter
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rdkit import Chem
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from cloome_sk.molecules._series_background import assembled_background
from cloome_sk.molecules._series_blocks import blocks
from cloome_sk.molecules._series_members import distinct, members, molecules_of, parents_of
from cloome_sk.molecules._series_scaffold import CommonStructure
from cloome_sk.molecules._series_tree import Proposal, Rules, proposals


class ChemicalSeries(TransformerMixin, ClusterMixin, BaseEstimator):
    """Find the chemical series of a set of molecules, each with one scaffold.

    The molecules are clustered hierarchically by their fingerprints; from the top down, at each
    node, the maximum common structure of the molecules underneath is looked for, and the first
    that is large and specific enough is the scaffold of a series [1]_. Then every molecule, and
    later every new one, belongs to the series whose scaffold it contains: to one, several or none.

    A molecule is the parent of its structure (`parent_smiles`), and stereoisomers, salts and
    repeated rows count once (`molecule_key`). The order of rows does not matter.

    Parameters
    ----------
    min_size : int, default=10
        Fewest distinct molecules of a series (>= 2).
    min_fraction : float, default=0.0
        Least share of the distinct fitted molecules in a series, in [0, 1].
    min_atoms : int, default=9
        Fewest heavy atoms of a scaffold (>= 2).
    min_atom_fraction : float, default=0.3
        Least share of a scaffold in the heavy atoms of the molecules of its node, on average, in
        [0, 1].
    coverage : float, default=0.8
        Share of the molecules of a node that contain its scaffold, in [0.5, 1]. With 1, a node
        must have a structure that all its molecules share; with less, a few molecules that came
        to a node by chance do not decide.
    max_background : float, default=0.005
        Largest share of the background that contains a scaffold, in [0, 1]. Scaffolds that are
        found more often are common chemistry and no mark of a series.
    background : sequence of str or rdkit.Chem.Mol, or None, default=None
        A list, array or Series, and no generator, which a second `fit` would find empty: molecules
        that stand for chemistry at large, such as some thousands drawn at random from
        a screening collection. None: those of `assembled_background`. The fitted molecules would
        not do where they are rich in a class, which would then speak against itself.
    max_overlap : float, default=0.8
        Largest Jaccard similarity of the members of two series, in [0, 1]. Above it, only the
        series found on more molecules by clustering stays. With 1, only series of the same
        members are made one.
    ring_matches_ring_only : bool, default=True
        Whether atoms and bonds of rings correspond to those of rings only.
    complete_rings : bool, default=True
        Whether a scaffold contains its rings whole.
    match_chirality : bool, default=False
        Whether corresponding stereocentres and double bonds must be alike.
    radius, n_bits : int, default=2, 2048
        Of the Morgan fingerprints that are clustered.
    linkage : {"average", "complete", "weighted"}, default="average"
        Distance of two nodes, of the Tanimoto distances of their molecules.
    block_size : int, default=2000
        Most molecules that are clustered hierarchically at once (>= 2). More are first divided by
        k-means; a series in two blocks is found in either. Memory grows with its square.
    timeout : int, default=30
        Seconds after which the search for one common structure is given up (>= 1). It then counts
        as not found, and results may differ between machines; a warning says so.
    max_steps : int, default=4000
        Steps after which a search ends with what it has found (>= 1). Unlike seconds, they are
        the same everywhere. More take longer for large molecules that are much alike.
    sparse_output : bool, default=True
        Whether `transform` gives a sparse matrix.
    random_state : int, RandomState instance or None, default=0
        Of the division into blocks and of the molecules that a common structure is proposed on.
    n_jobs : int or None, default=None
        Processes. Does not change the result.
    verbose : int, default=0
        Above 0: show progress bars.

    Attributes
    ----------
    series_ : DataFrame, one row a series, largest first
        ``series``, its name; ``smarts`` and ``scaffold``, the scaffold as a query and as SMILES
        of the part of one molecule that it matches, empty where that is no molecule by itself;
        ``n_atoms`` of the scaffold; ``n_members``, the distinct fitted molecules that contain it;
        ``n_found_by_clustering``, the molecules of its node; ``background``, the share of the
        background that contains it; ``mean_atoms``, heavy atoms of its members.
    labels_ : ndarray of intp, shape (n_samples,)
        One series of each fitted row, that with the largest scaffold: its row in `series_`; -1 for
        none. Of scaffolds of as many atoms, the last one in `series_`, that of fewest members.
    n_molecules_ : int
        Distinct molecules fitted.
    n_timeouts_ : int
        Searches that ran out of time.
    n_cut_short_ : int
        Searches that ran out of steps.

    See Also
    --------
    murcko_scaffolds : One scaffold of each molecule by itself.

    References
    ----------
    .. [1] Kruger, Fechner & Stiefel, "Automated identification of chemical series: classifying
       like a medicinal chemist", J Chem Inf Model 60:2888-2902 (2020).

    Examples
    --------
    >>> from cloome_sk.molecules import ChemicalSeries
    >>> groups = ["F", "Cl", "Br", "OC", "C(F)(F)F", "N(C)C"]
    >>> quinolones = [f"CCn1cc(C(=O)O)c(=O)c2cc(F)c({group})cc12" for group in groups]
    >>> penams = [f"CC1(C)SC2C(NC(=O)Cc3ccc({group})cc3)C(=O)N2C1C(=O)O" for group in groups]
    >>> finder = ChemicalSeries(min_size=5).fit([*quinolones, *penams, "CCO"])
    >>> finder.series_[["series", "n_atoms", "n_members"]]
         series  n_atoms  n_members
    0  series_0       23          6
    1  series_1       17          6
    >>> finder.transform([penams[0] + ".Cl", "CCN"]).toarray()
    array([[ True, False],
           [False, False]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "min_size": [Interval(Integral, 2, None, closed="left")],
        "min_fraction": [Interval(Real, 0, 1, closed="both")],
        "min_atoms": [Interval(Integral, 2, None, closed="left")],
        "min_atom_fraction": [Interval(Real, 0, 1, closed="both")],
        "coverage": [Interval(Real, 0.5, 1, closed="both")],
        "max_background": [Interval(Real, 0, 1, closed="both")],
        "background": ["array-like", None],
        "max_overlap": [Interval(Real, 0, 1, closed="both")],
        "ring_matches_ring_only": ["boolean"],
        "complete_rings": ["boolean"],
        "match_chirality": ["boolean"],
        "radius": [Interval(Integral, 0, None, closed="left")],
        "n_bits": [Interval(Integral, 1, None, closed="left")],
        "linkage": [StrOptions({"average", "complete", "weighted"})],
        "block_size": [Interval(Integral, 2, None, closed="left")],
        "timeout": [Interval(Integral, 1, None, closed="left")],
        "max_steps": [Interval(Integral, 1, None, closed="left")],
        "sparse_output": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        min_size: int = 10,
        min_fraction: float = 0.0,
        min_atoms: int = 9,
        min_atom_fraction: float = 0.3,
        coverage: float = 0.8,
        max_background: float = 0.005,
        background: Any = None,
        max_overlap: float = 0.8,
        ring_matches_ring_only: bool = True,
        complete_rings: bool = True,
        match_chirality: bool = False,
        radius: int = 2,
        n_bits: int = 2048,
        linkage: str = "average",
        block_size: int = 2000,
        timeout: int = 30,
        max_steps: int = 4000,
        sparse_output: bool = True,
        random_state: Any = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.min_size = min_size
        self.min_fraction = min_fraction
        self.min_atoms = min_atoms
        self.min_atom_fraction = min_atom_fraction
        self.coverage = coverage
        self.max_background = max_background
        self.background = background
        self.max_overlap = max_overlap
        self.ring_matches_ring_only = ring_matches_ring_only
        self.complete_rings = complete_rings
        self.match_chirality = match_chirality
        self.radius = radius
        self.n_bits = n_bits
        self.linkage = linkage
        self.block_size = block_size
        self.timeout = timeout
        self.max_steps = max_steps
        self.sparse_output = sparse_output
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, smiles: Any, y: None = None) -> ChemicalSeries:
        """Find the series.

        Parameters
        ----------
        smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
            The structures.
        y : None
            Ignored.

        Returns
        -------
        ChemicalSeries
            Itself.

        Raises
        ------
        ValueError
            If there is no structure; if one, of these or of the background, is missing, empty or
            cannot be parsed, which the message names by row; or for a parameter out of range.

        Warns
        -----
        ConvergenceWarning
            If searches ran out of time.
        """
        self._validate_params()
        parents = parents_of(smiles, "the list")
        if not len(parents):
            raise ValueError("ChemicalSeries.fit: there are no molecules, n_samples=0.")
        codes, representatives = molecules_of(parents)
        found, ended = self._proposed(representatives, self._rules())
        self.n_molecules_ = len(representatives)
        self.n_timeouts_, self.n_cut_short_ = ended["timeout"], ended["steps"]
        if self.n_timeouts_:
            warnings.warn(
                f"{self.n_timeouts_} of {sum(ended.values())} searches for a common structure ran "
                f"out of time and count as not found, so that another machine may find other "
                f"series. Raise timeout={self.timeout}, or lower max_steps={self.max_steps}.",
                ConvergenceWarning,
                stacklevel=2,
            )
        rows = self._members(parents, [one.smarts for one in found])
        self._keep(found, rows, codes, representatives)
        return self

    def transform(self, smiles: Any) -> Any:
        """Tell which series each molecule belongs to.

        Parameters
        ----------
        smiles : iterable of str or rdkit.Chem.Mol, shape (n_samples,)
            The structures, fitted or new.

        Returns
        -------
        csr_matrix or ndarray of bool, shape (n_samples, n_series)
            True where the molecule contains the scaffold; dense with ``sparse_output=False``.

        Raises
        ------
        ValueError
            If a structure is missing, empty or cannot be parsed; the message names the rows.
        """
        check_is_fitted(self, "series_")
        out = self._members(parents_of(smiles, "the list"), self.series_["smarts"].tolist())
        return out if self.sparse_output else out.toarray()

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of `transform`.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of object, shape (n_series,)
            The names in `series_`.
        """
        check_is_fitted(self, "series_")
        return np.array(self.series_["series"].tolist(), dtype=object)

    def _rules(self) -> Rules:
        if self.background is None:
            background = assembled_background()
        else:
            background = parents_of(self.background, "the background")
            if not len(background):
                raise ValueError("background: there are no molecules in it; None takes a made one.")
        search = CommonStructure(
            ring_matches_ring_only=bool(self.ring_matches_ring_only),
            complete_rings=bool(self.complete_rings),
            match_chirality=bool(self.match_chirality),
            timeout=int(self.timeout),
            max_steps=int(self.max_steps),
        )
        return Rules(
            search=search,
            radius=int(self.radius),
            n_bits=int(self.n_bits),
            linkage=self.linkage,
            min_size=int(self.min_size),
            min_atoms=int(self.min_atoms),
            min_atom_fraction=float(self.min_atom_fraction),
            coverage=float(self.coverage),
            max_background=float(self.max_background),
            background=tuple(sorted(set(background))),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )

    def _proposed(
        self, representatives: np.ndarray, rules: Rules
    ) -> tuple[list[Proposal], Counter[str]]:
        """The structures of all blocks, the most important first, each SMARTS once."""
        from tqdm.auto import tqdm

        parts = blocks(
            representatives,
            block_size=int(self.block_size),
            radius=rules.radius,
            n_bits=rules.n_bits,
            seed=rules.seed,
        )
        jobs = (delayed(proposals)(representatives[part].tolist(), rules) for part in parts)
        run = Parallel(n_jobs=self.n_jobs, return_as="generator")(jobs)
        found: list[Proposal] = []
        ended: Counter[str] = Counter()
        total = len(representatives)
        with tqdm(total=total, desc="Scaffolds", unit="mol", disable=not self.verbose) as bar:
            for part, (here, ends) in zip(parts, run, strict=True):
                found.extend(here)
                ended += ends
                bar.update(len(part))
        found.sort(key=lambda one: (-one.n_found, -one.n_atoms, one.smarts))
        return list({one.smarts: one for one in reversed(found)}.values())[::-1], ended

    def _members(self, parents: np.ndarray, smarts: list[str]) -> csr_matrix:
        """Rows by structures; each distinct parent is looked at once."""
        codes, distinct_parents = pd.factorize(parents)
        found = members(
            list(distinct_parents),
            smarts,
            match_chirality=bool(self.match_chirality),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        return found[codes]

    def _keep(
        self,
        found: list[Proposal],
        rows: csr_matrix,
        codes: np.ndarray,
        representatives: np.ndarray,
    ) -> None:
        """Choose among the structures by their members, and describe the chosen."""
        n = len(representatives)
        of_molecule = csr_matrix(
            (np.ones(len(codes), dtype=np.int32), (codes, np.arange(len(codes)))),
            shape=(n, len(codes)),
        )
        molecules = (of_molecule @ rows.astype(np.int32)) > 0
        sizes = np.asarray(molecules.sum(axis=0)).ravel()
        large = np.flatnonzero(sizes >= max(self.min_size, self.min_fraction * n))
        kept = large[distinct(molecules[:, large], float(self.max_overlap))]
        kept = np.array(sorted(kept, key=lambda one: -sizes[one]), dtype=np.intp)
        atoms = np.array([Chem.MolFromSmiles(one).GetNumHeavyAtoms() for one in representatives])
        chosen = [found[one] for one in kept]
        self.series_ = pd.DataFrame(
            {
                "series": pd.Series([f"series_{place}" for place in range(len(kept))], dtype="str"),
                "smarts": pd.Series([one.smarts for one in chosen], dtype="str"),
                "scaffold": pd.Series([one.scaffold for one in chosen], dtype="str"),
                "n_atoms": np.array([one.n_atoms for one in chosen], dtype=np.int64),
                "n_members": sizes[kept].astype(np.int64),
                "n_found_by_clustering": np.array([one.n_found for one in chosen], dtype=np.int64),
                "background": np.array([one.background for one in chosen], dtype=float),
                "mean_atoms": atoms @ molecules[:, kept].astype(float) / np.maximum(sizes[kept], 1),
            }
        )
        self.labels_ = np.full(len(codes), -1, dtype=np.intp)
        own = rows[:, kept].tocsc()
        for place in np.argsort(self.series_["n_atoms"], kind="stable"):
            self.labels_[own.indices[own.indptr[place] : own.indptr[place + 1]]] = place

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags
