"""Assays whose cause is known: a mechanism, a chemical series, or chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloome_sk._tables import row_name

COMPOUNDS = ("name", "smiles", "series", "moa")
INERT_MOA = "GABA receptor modulator"
"""Its target is not expressed in the simulated cells, so that next to nothing happens."""
MECHANISMS = {
    "tubulin polymerization inhibitor": "cytoskeleton",
    "actin polymerization inhibitor": "cytoskeleton",
    "kinesin inhibitor": "cytoskeleton",
    "topoisomerase II inhibitor": "enzyme of DNA",
    "HDAC inhibitor": "enzyme of DNA",
    "proteasome inhibitor": "protease",
    "CDK inhibitor": "kinase",
    "aurora kinase inhibitor": "kinase",
    "mTOR inhibitor": "kinase",
    "HMGCR inhibitor": "metabolic enzyme",
    "vacuolar ATPase inhibitor": "transporter",
    "mitochondrial uncoupler": "transporter",
}
"""Mechanisms with a phenotype that can be seen, and the family of their target."""
INERT_FAMILY = "receptor"
KINDS = ("phenotype", "chemotype", "random")
TRUTH = ("assay", "kind", "family", "cause")
LEAST_ACTIVE, LEAST_INACTIVE, LEAST_TESTED = 25, 25, 100
ATTEMPTS = 50


def draw_assays(
    compounds: pd.DataFrame,
    n_assays: int,
    tested: float,
    hit_rate: float,
    false_rate: float,
    rng: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assays of the three kinds in turn, and what each follows."""
    series, moa = compounds["series"].to_numpy(object), compounds["moa"].to_numpy(object)
    inert = moa == INERT_MOA
    groups = {"phenotype": sorted(set(moa[~inert])), "chemotype": sorted(set(series[inert]))}
    labels, truth = {}, []
    n_active = 0
    for place in range(n_assays):
        kind, name = KINDS[place % 3], f"assay {place + 1:0{len(str(n_assays))}d}"
        for _ in range(ATTEMPTS):
            cause: list[str] = []
            if kind == "random":
                own = np.zeros(len(compounds), dtype=bool)
                own[rng.permutation(len(compounds))[:n_active]] = True
                labels[name] = _only_tested(own, tested, rng)
            else:
                of = moa if kind == "phenotype" else np.where(inert, series, "")
                cause = _causes(of, groups[kind], tested * hit_rate, rng)
                caused = np.isin(of.astype(str), cause)
                own = rng.random_sample(len(of)) < np.where(caused, hit_rate, false_rate)
                labels[name] = _only_tested(own, tested, rng)
            if _is_enough(labels[name]):
                break
        else:
            raise ValueError(
                f"compounds: no {kind} assay of {LEAST_ACTIVE} actives, {LEAST_INACTIVE} inactives "
                f"and {LEAST_TESTED} tested compounds came out of {ATTEMPTS} draws from "
                f"{len(compounds)} compounds with {len(groups['phenotype'])} mechanisms and "
                f"{len(groups['chemotype'])} inert series, tested={tested}, hit_rate={hit_rate}. "
                "Make more compounds, or raise tested."
            )
        if kind != "random":
            # Of the compounds, not of those tested: the next draw of tested ones thins it again.
            n_active = int(np.ceil(np.nansum(labels[name]) / tested))
        truth.append((name, kind, _family(kind, cause, rng), "; ".join(cause)))
    return pd.DataFrame(labels, index=compounds.index), pd.DataFrame(truth, columns=list(TRUTH))


def _causes(of: np.ndarray, names: list[str], share: float, rng: Any) -> list[str]:
    """As many mechanisms, or series, in random order, as make enough actives."""
    chosen: list[str] = []
    expected = 0.0
    for place in rng.permutation(len(names)):
        if expected >= 1.2 * LEAST_ACTIVE:
            break
        chosen.append(names[place])
        expected += share * float((of == names[place]).sum())
    return sorted(chosen)


def _only_tested(active: np.ndarray, tested: float, rng: Any) -> np.ndarray:
    label = active.astype(float)
    label[rng.permutation(len(label))[round(tested * len(label)) :]] = np.nan
    return label


def _is_enough(label: np.ndarray) -> bool:
    return bool(
        (label == 1).sum() >= LEAST_ACTIVE
        and (label == 0).sum() >= LEAST_INACTIVE
        and (~np.isnan(label)).sum() >= LEAST_TESTED
    )


def _family(kind: str, cause: list[str], rng: Any) -> str:
    if kind == "phenotype":
        return MECHANISMS.get(cause[0], "other")
    if kind == "chemotype":
        return INERT_FAMILY
    families = sorted({*MECHANISMS.values(), INERT_FAMILY})
    return str(families[rng.randint(len(families))])


def check_compounds(compounds: Any) -> None:
    """Refuse what has no series and mechanism in every row."""
    if not isinstance(compounds, pd.DataFrame):
        raise TypeError(
            f"compounds must be a DataFrame, as make_analogue_series gives it; got "
            f"{type(compounds).__name__}."
        )
    for column in ("name", "series", "moa"):
        if column not in compounds.columns:
            raise ValueError(
                f"compounds has no column {column!r}; it has {list(compounds.columns)}. Start from "
                "make_analogue_series."
            )
        missing = np.flatnonzero(compounds[column].isna())
        if len(missing):
            raise ValueError(
                f"compounds: column {column!r} is missing in {len(missing)} row(s), the first is "
                f"{row_name(compounds, int(missing[0]))}; fill it, for a compound without effect "
                f"with the moa {INERT_MOA!r}."
            )


def check_share(name: str, value: Any) -> None:
    """Refuse what is no share."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} must be a number from 0 to 1; got {value!r}.")
    if not 0 <= value <= 1 or (name == "tested" and value == 0):
        raise ValueError(
            f"{name} must be {'above 0' if name == 'tested' else '0'} to 1; got {value!r}."
        )
