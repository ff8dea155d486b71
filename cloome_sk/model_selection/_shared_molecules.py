"""Molecules, scaffolds and similar molecules that two sets share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from sklearn.exceptions import NotFittedError

from cloome_sk._tables import row_name
from cloome_sk.model_selection._seen import knows_digests_only, molecules_seen, parts
from cloome_sk.model_selection._shared_places import counted, not_checked, such_as
from cloome_sk.model_selection._sides import Side, SideMolecules
from cloome_sk.model_selection._structures import Structures, packed_fingerprints
from cloome_sk.model_selection.groups import scaffolds_of
from cloome_sk.model_selection.leakage_result import Finding
from cloome_sk.molecules import nearest_tanimoto
from cloome_sk.molecules.parents import parent_molecule

RELATIONS = {
    "same_structure": "with the same structure",
    "salt": "as another salt, charge or tautomer only",
    "stereoisomer": "as another stereoisomer or isotopologue only",
}
STRUCTURAL = ("molecule", *RELATIONS, "scaffold", "neighbour")
RADIUS, N_BITS = 2, 2048


def molecule_findings(
    train: Side, test: Side, known: SideMolecules, asked: SideMolecules, n_examples: int
) -> list[Finding]:
    """Shared molecules, and how closely their structures agree."""
    looked_at = _mask(test, asked.rows)
    shared = np.isin(asked.keys.astype(str), known.keys.astype(str))
    relation = np.full(len(asked.smiles), "", dtype=object)
    relation[shared] = _relations(known, asked, shared)
    rows = _mask(test, asked.rows[shared[asked.codes]])
    parts = {name: relation == name for name in RELATIONS}
    n_shared, n_all = len(np.unique(asked.keys[shared])), len(np.unique(asked.keys))
    sentence = f"None of {n_all:,} test molecules is in the training set."
    if n_shared:
        how = ", ".join(
            f"{counted(int(part[asked.codes].sum()), 'row')} {RELATIONS[name]}"
            for name, part in parts.items()
            if part.any()
        )
        sentence = (
            f"{n_shared:,} of {n_all:,} test molecules ({rows.sum():,} of {looked_at.sum():,} test "
            f"rows) are in the training set: {how}."
        )
    examples = _examples(train, test, known, asked, shared, n_examples)
    findings = [Finding("molecule", sentence, n_shared, rows, looked_at, examples)]
    for name, part in parts.items():
        concerned = _mask(test, asked.rows[part[asked.codes]])
        n_part = len(np.unique(asked.keys[part]))
        examples = _examples(train, test, known, asked, part, n_examples)
        sentence = f"No test molecule is in the training set {RELATIONS[name]}."
        if n_part:
            sentence = (
                f"{counted(n_part, 'test molecule')} ({counted(int(concerned.sum()), 'row')}) "
                f"{'is' if n_part == 1 else 'are'} in the training set {RELATIONS[name]}"
                f"{', such as ' + '; '.join(examples) if examples else ''}."
            )
        findings.append(Finding(name, sentence, n_part, concerned, looked_at, examples))
    return findings


def _relations(known: SideMolecules, asked: SideMolecules, shared: np.ndarray) -> np.ndarray:
    """How each shared test structure agrees with the training structure closest to it."""
    of_shared = np.isin(known.keys.astype(str), asked.keys[shared].astype(str))
    seen = [_identity(smiles) for smiles in known.smiles[of_shared]]
    drawn, forms = {drawn for drawn, _ in seen}, {form for _, form in seen}
    return np.array(
        [
            "same_structure" if here in drawn else "salt" if form in forms else "stereoisomer"
            for here, form in map(_identity, asked.smiles[shared])
        ],
        dtype=object,
    )


def _identity(smiles: str) -> tuple[str, str]:
    """Canonical SMILES as drawn, and the full InChIKey of the parent."""
    with rdBase.BlockLogs():
        parent = parent_molecule(smiles)
        drawn = Chem.MolToSmiles(Chem.MolFromSmiles(smiles))
        return drawn, Chem.MolToInchiKey(parent) or Chem.MolToSmiles(parent)


def _examples(
    train: Side,
    test: Side,
    known: SideMolecules,
    asked: SideMolecules,
    chosen: np.ndarray,
    n_examples: int,
) -> tuple[str, ...]:
    """Some of the chosen test structures, beside a training structure of the same molecule."""
    out = []
    for code in np.flatnonzero(chosen)[:n_examples]:
        mine = asked.rows[np.flatnonzero(asked.codes == code)[0]]
        place = np.flatnonzero(known.row_keys == asked.keys[code])[0]
        theirs = known.rows[place]
        here, there = asked.smiles[code], known.smiles[known.codes[place]]
        mine, theirs = (
            f"test {row_name(test.table, int(mine))}",
            f"training {row_name(train.table, int(theirs))}",
        )
        out.append(
            f"{here} ({mine}; {theirs})"
            if here == there
            else f"{here} ({mine}) and {there} ({theirs})"
        )
    return tuple(out)


def scaffold_finding(
    test: Side, known: SideMolecules, asked: SideMolecules, n_examples: int
) -> Finding:
    """Shared Bemis-Murcko scaffolds, as `scaffold_groups` names them."""
    both = Structures(
        np.zeros(0, dtype=np.intp),
        np.concatenate([known.smiles, asked.smiles]),
        np.concatenate([known.keys, asked.keys]),
    )
    names = scaffolds_of(both)
    seen, mine = names[: len(known.smiles)], names[len(known.smiles) :]
    shared = np.isin(mine.astype(str), seen.astype(str))
    rows, looked_at = _mask(test, asked.rows[shared[asked.codes]]), _mask(test, asked.rows)
    found = list(dict.fromkeys(mine[shared]))
    n_all = len(np.unique(mine.astype(str)))
    sentence = f"None of {n_all:,} test scaffolds is in the training set."
    if found:
        sentence = (
            f"{len(found):,} of {n_all:,} test scaffolds ({rows.sum():,} of {looked_at.sum():,} "
            f"test rows) are in the training set{such_as(found, n_examples)}."
        )
    return Finding("scaffold", sentence, len(found), rows, looked_at, tuple(found[:n_examples]))


def neighbour_finding(
    test: Side,
    known: SideMolecules,
    asked: SideMolecules,
    near: float,
    n_examples: int,
    verbose: int,
) -> tuple[Finding, pd.DataFrame]:
    """Test molecules that resemble a training molecule, and the nearest of each."""
    (_, seen_smiles), (keys, smiles) = (_one_each(side) for side in (known, asked))
    bits = [
        packed_fingerprints(one, radius=RADIUS, n_bits=N_BITS, use_chirality=False)
        for one in (smiles, seen_smiles)
    ]
    similarity, index = nearest_tanimoto(*bits, verbose=verbose)
    nearest = pd.DataFrame(
        {"test_smiles": smiles, "train_smiles": seen_smiles[index], "tanimoto": similarity},
        index=pd.Index(keys, name="molecule"),
    )
    close = similarity >= near
    looked_at = _mask(test, asked.rows)
    rows = _mask(test, asked.rows[np.isin(asked.row_keys.astype(str), keys[close].astype(str))])
    order = np.argsort(-similarity, kind="stable")[: min(n_examples, int(close.sum()))]
    examples = tuple(
        f"{smiles[i]} and {seen_smiles[index[i]]} ({similarity[i]:.2f})" for i in order
    )
    low, middle, high = np.quantile(similarity, [0.05, 0.5, 0.95])
    sentence = (
        f"The most similar training molecule of a test molecule has a Tanimoto similarity of "
        f"{middle:.2f} in the median (5 to 95 %: {low:.2f} to {high:.2f}); "
        f"{int(close.sum()):,} of {len(keys):,} test molecules have one of at least {near:g}."
    )
    return Finding("neighbour", sentence, int(close.sum()), rows, looked_at, examples), nearest


def _one_each(side: SideMolecules) -> tuple[np.ndarray, np.ndarray]:
    """Each molecule once, with the first of its structures."""
    first = ~pd.Series(side.keys).duplicated().to_numpy()
    return side.keys[first], side.smiles[first]


def embedder_finding(
    embedder: Any, test: Side, asked: SideMolecules | str, claimed: set[str], n_examples: int
) -> Finding:
    """Test molecules that a fitted embedder was trained on."""
    learned = _learned(embedder)
    if isinstance(asked, str):
        return not_checked("embedder", asked, claimed)
    if any(map(knows_digests_only, learned)):
        return not_checked(
            "embedder",
            "the embedder was trained on precomputed features and knows no structures (give its "
            "training table as `train` instead)",
            claimed,
        )
    met = np.isin(asked.keys.astype(str), sorted(molecules_seen(embedder)))
    rows, looked_at = _mask(test, asked.rows[met[asked.codes]]), _mask(test, asked.rows)
    n_met, n_all = len(np.unique(asked.keys[met])), len(np.unique(asked.keys))
    started = [sha for part in learned if (sha := getattr(part, "checkpoint_sha256_", None))]
    if started and not n_met:
        return not_checked(
            "embedder",
            f"the embedder uses weights of a checkpoint (SHA-256 {started[0][:8]}...), and which "
            "molecules that was trained on is not known: compare with its authors' split",
            claimed,
        )
    sentence = f"The embedder was trained on none of {n_all:,} test molecules."
    examples = tuple(asked.smiles[met][:n_examples])
    if n_met:
        sentence = (
            f"The embedder was trained on {n_met:,} of {n_all:,} test molecules ({rows.sum():,} of "
            f"{looked_at.sum():,} test rows){such_as(list(asked.smiles[met]), n_examples)}."
        )
        if started:
            sentence += " Which of them its checkpoint was trained on before is not known."
    return Finding("embedder", sentence, n_met, rows, looked_at, examples)


def _learned(embedder: Any) -> list[Any]:
    """The parts of a model that say which molecules they were trained on; one at least."""
    everything = list(parts(embedder))
    found = [part for part in everything if hasattr(part, "molecules_seen_")]
    if found:
        return found
    if any(hasattr(part, "embed_molecules") for part in everything):
        raise NotFittedError("leakage_report: the embedder is not fitted; fit it first.")
    raise TypeError(
        "leakage_report: embedder must be a fitted CloomeEmbedder, FrozenEstimator(embedder), or a "
        f"model with one inside; got {type(embedder).__name__}, no part of which has "
        "`molecules_seen_`."
    )


def _mask(side: Side, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(side), dtype=bool)
    mask[rows] = True
    return mask
