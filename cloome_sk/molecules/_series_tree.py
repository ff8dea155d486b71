"""The common structures of a hierarchical clustering: the nodes nearest the root that have one.

An additional molecule can only take atoms from what all share, and a smaller structure is found
in more of the background. What fails at a node therefore fails above it, and the nodes that a walk
down from the root would stop at are found from the leaves up, without a search at any node above
a failure. A node whose molecules all contain the structure of one of its branches has that
structure, again without a search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator
from scipy.cluster.hierarchy import leaves_list, linkage

from cloome_sk.molecules._series_collection import background_collection
from cloome_sk.molecules._series_scaffold import Common, CommonStructure

SAMPLE = 4
"""Molecules of the first proposal, which is then tried on all molecules of the node."""

SAMPLES = 3
"""Proposals, where molecules may be without the structure: an outlier can be in the first."""

OUTLIERS = 8
"""Molecules that may be set aside at a node before the search is given up there."""

LEAST_CLUSTER = 5
"""Molecules of the smallest node that is looked at, or `min_size` if that is less."""


@dataclass(frozen=True)
class Rules:
    """When the common structure of a node makes a series; parameters of `ChemicalSeries`."""

    search: CommonStructure
    radius: int
    n_bits: int
    linkage: str
    min_size: int
    min_atoms: int
    min_atom_fraction: float
    coverage: float
    max_background: float
    background: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Proposal:
    """The structure of a node.

    Attributes
    ----------
    smarts, scaffold : str
        The structure, and how it is drawn in a molecule that has it.
    n_atoms : int
        Its atoms.
    background : float
        Share of the background that contains it.
    n_found : int
        Molecules of the node.
    """

    smarts: str
    scaffold: str
    n_atoms: int
    background: float
    n_found: int


@dataclass(frozen=True)
class _Node:
    proposal: Proposal
    query: Chem.Mol
    has: np.ndarray
    """Whether each molecule of the node, in the order of the leaves, contains the structure."""


def proposals(smiles: Sequence[str], rules: Rules) -> tuple[list[Proposal], Counter[str]]:
    """The structures of a block, and how its searches ended."""
    ended: Counter[str] = Counter()
    if len(smiles) < min(LEAST_CLUSTER, rules.min_size):
        return [], ended
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    tree = linkage(_distances(molecules, rules), rules.linkage)
    order = leaves_list(tree)
    walk = _Walk([molecules[leaf] for leaf in order], order, tree, rules, ended)
    return walk.up_and_down(), ended


def _distances(molecules: list[Chem.Mol], rules: Rules) -> np.ndarray:
    """Tanimoto distances of all pairs, as scipy orders them."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=rules.radius, fpSize=rules.n_bits)
    bits = [generator.GetFingerprint(molecule) for molecule in molecules]
    out = np.empty(len(bits) * (len(bits) - 1) // 2)
    start = 0
    for row in range(len(bits) - 1):
        stop = start + len(bits) - row - 1
        out[start:stop] = DataStructs.BulkTanimotoSimilarity(bits[row], bits[row + 1 :])
        start = stop
    return np.subtract(1, out, out=out)


class _Walk:
    """One pass over the merges of a tree; `leaves` are molecules in the order of its leaves."""

    def __init__(
        self,
        leaves: list[Chem.Mol],
        order: np.ndarray,
        tree: np.ndarray,
        rules: Rules,
        ended: Counter[str],
    ) -> None:
        n = len(leaves)
        self.leaves, self.tree, self.rules, self.ended = leaves, tree, rules, ended
        self.atoms = np.array([molecule.GetNumHeavyAtoms() for molecule in leaves])
        place = np.empty(n, dtype=int)
        place[order] = np.arange(n)
        # The leaves of a node stand side by side.
        self.start = np.concatenate([place, np.empty(n - 1, dtype=int)])
        self.size = np.concatenate([np.ones(n, dtype=int), tree[:, 3].astype(int)])
        for node, (left, right) in enumerate(tree[:, :2].astype(int), start=n):
            self.start[node] = min(self.start[left], self.start[right])
        self.nodes: dict[int, _Node] = {}
        self.failed: set[int] = set()
        # Nodes with a search that was cut short: those above them may still have a structure.
        self.unsettled: set[int] = set()

    def up_and_down(self) -> list[Proposal]:
        """Look at every node from the leaves up, then take those nearest the root."""
        n = len(self.leaves)
        least = min(LEAST_CLUSTER, self.rules.min_size)
        for node in range(n, len(self.size)):
            if self.size[node] < least:
                continue
            branches = self.tree[node - n, :2].astype(int).tolist()
            found = self._inherited(node, branches) or self._searched(node, branches)
            if found is not None:
                self.nodes[node] = found
            elif node not in self.unsettled:
                self.failed.add(node)
        out, stack = [], [len(self.size) - 1]
        covered = np.zeros(n, dtype=bool)
        while stack:
            node = stack.pop()
            if node < n:
                continue
            span = slice(self.start[node], self.start[node] + self.size[node])
            # Below a node that is taken, a branch without its structure may have one of its own.
            if node in self.nodes and 2 * covered[span].sum() < self.size[node]:
                out.append(self.nodes[node].proposal)
                covered[span] |= self.nodes[node].has
            stack.extend(self.tree[node - n, :2].astype(int).tolist())
        return out

    def _span(self, node: int) -> range:
        return range(self.start[node], self.start[node] + self.size[node])

    def _least_atoms(self, node: int) -> float:
        mean = self.atoms[self.start[node] : self.start[node] + self.size[node]].mean()
        return max(self.rules.min_atoms, self.rules.min_atom_fraction * mean)

    def _most_without(self, node: int) -> int:
        """How many molecules of a node may lack its structure."""
        return int((1 - self.rules.coverage) * self.size[node] + 1e-9)

    def _has(self, query: Chem.Mol, places: Sequence[int]) -> np.ndarray:
        chiral = self.rules.search.match_chirality
        return np.array(
            [self.leaves[place].HasSubstructMatch(query, useChirality=chiral) for place in places],
            dtype=bool,
        )

    def _inherited(self, node: int, branches: list[int]) -> _Node | None:
        """The structure of a branch, the larger first, if it is that of the node as well."""
        known = [branch for branch in branches if branch in self.nodes]
        for branch in sorted(known, key=lambda one: -self.nodes[one].proposal.n_atoms):
            inner = self.nodes[branch]
            if inner.proposal.n_atoms < self._least_atoms(node):
                continue
            other = next(one for one in branches if one != branch)
            parts = {branch: inner.has, other: self._has(inner.query, self._span(other))}
            has = np.concatenate([parts[one] for one in sorted(parts, key=self.start.__getitem__)])
            if (~has).sum() <= self._most_without(node):
                grown = replace(inner.proposal, n_found=int(self.size[node]))
                return _Node(grown, inner.query, has)
        return None

    def _searched(self, node: int, branches: list[int]) -> _Node | None:
        """What the molecules of a node have in common, if it is large and specific enough."""
        alive = sum(self.size[branch] for branch in branches if branch not in self.failed)
        if self.size[node] - alive > self._most_without(node):
            return None
        span = self._span(node)
        random = np.random.RandomState([self.rules.seed, node])
        shuffled = [span[place] for place in random.permutation(len(span))]
        for attempt in range(SAMPLES if self._most_without(node) else 1):
            sample = shuffled[SAMPLE * attempt : SAMPLE * (attempt + 1)]
            if len(sample) < 2:
                break
            found = self._widened(node, sample, shuffled)
            if found is not None:
                return found
        return None

    def _widened(self, node: int, sample: list[int], shuffled: list[int]) -> _Node | None:
        """Start from a sample and take in molecules that lack its structure, until few are left.

        A molecule that would make the structure too small is set aside.
        """
        least, most = self._least_atoms(node), self._most_without(node)
        common, sample = self._common(sample, shuffled, least)
        if common.n_atoms < least:
            if common.ended:
                self.unsettled.add(node)
            return None
        aside: set[int] = set()
        while True:
            query = Chem.MolFromSmarts(common.smarts)
            has = self._has(query, self._span(node))
            if (~has).sum() <= most:
                return self._specific(node, common, query, has)
            lacks = [at for at in shuffled if not has[at - self.start[node]] and at not in aside]
            if not lacks or len(aside) > min(most, OUTLIERS):
                return None
            wider, widened = self._common([*sample, lacks[0]], shuffled, least)
            if wider.n_atoms < least:
                if wider.ended:
                    self.unsettled.add(node)
                aside.add(lacks[0])
            elif lacks[0] in sample:
                # A molecule of the sample whose match the rules of the search refuse.
                return None
            else:
                common, sample = wider, widened

    def _common(
        self, sample: list[int], shuffled: list[int], least: float
    ) -> tuple[Common, list[int]]:
        """Search; where the steps did not suffice, more molecules leave less to look at."""
        common = self._search(sample)
        if common.ended == "steps" and common.n_atoms < least:
            more = [at for at in shuffled if at not in sample][: 2 * SAMPLE]
            if more:
                sample = [*sample, *more]
                common = self._search(sample)
        return common, sample

    def _search(self, sample: list[int]) -> Common:
        common = self.rules.search.of([self.leaves[at] for at in sorted(sample)])
        self.ended[common.ended] += 1
        return common

    def _specific(
        self, node: int, common: Common, query: Chem.Mol, has: np.ndarray
    ) -> _Node | None:
        """The node, unless too much of the background contains its structure."""
        rules = self.rules
        collection = background_collection(rules.background)
        most = int(rules.max_background * len(collection) + 1e-9)
        chiral = rules.search.match_chirality
        hits = collection.matches(common.smarts, chiral=chiral, most=most + 1)
        if len(hits) > most:
            return None
        example = self.leaves[self._span(node)[int(np.argmax(has))]]
        proposal = Proposal(
            common.smarts,
            drawn(example, query, chiral),
            common.n_atoms,
            len(hits) / len(collection),
            int(self.size[node]),
        )
        return _Node(proposal, query, has)


def drawn(molecule: Chem.Mol, query: Chem.Mol, chiral: bool) -> str:
    """The part of a molecule that a query names, as SMILES; empty if it is no molecule by itself.

    Bonds that are cut are filled up with hydrogen.
    """
    match = set(molecule.GetSubstructMatch(query, useChirality=chiral))
    part = Chem.RWMol(molecule)
    for atom in part.GetAtoms():
        if atom.GetIdx() in match:
            outside = [n for n in atom.GetNeighbors() if n.GetIdx() not in match]
            if outside and atom.GetIsAromatic() and atom.GetAtomicNum() != 6:
                atom.SetNumExplicitHs(atom.GetNumExplicitHs() + len(outside))
                atom.SetNoImplicit(True)
    part.BeginBatchEdit()
    for index in set(range(molecule.GetNumAtoms())) - match:
        part.RemoveAtom(index)
    part.CommitBatchEdit()
    text = Chem.MolToSmiles(part, isomericSmiles=chiral)
    with rdBase.BlockLogs():
        readable = Chem.MolFromSmiles(text)
    return "" if readable is None else Chem.MolToSmiles(readable, isomericSmiles=chiral)
