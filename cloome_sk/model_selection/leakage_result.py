"""What a leakage report says, as a table, as sentences and as a page."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd

COUNTED = ("n_test_rows", "of_test_rows", "n_test_molecules", "of_test_molecules")
COLUMNS = (
    *("claimed", "checked", "n_shared"),
    *("n_test_rows", "of_test_rows", "share_of_test_rows"),
    *("n_test_molecules", "of_test_molecules", "share_of_test_molecules"),
    "examples",
)


@dataclass(frozen=True)
class Finding:
    """One kind of overlap between a training and a test set.

    Attributes
    ----------
    kind : str
        What may be shared.
    sentence : str
        The finding in words.
    n_shared : int or None
        How many values are shared; None where this was not checked.
    rows : ndarray of bool, shape (n_test_rows,), or None
        Test rows concerned.
    of_rows : ndarray of bool, shape (n_test_rows,), or None
        Test rows looked at.
    examples : tuple of str
        Some of the shared values.
    """

    kind: str
    sentence: str
    n_shared: int | None = None
    rows: np.ndarray | None = None
    of_rows: np.ndarray | None = None
    examples: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether anything is shared."""
        return bool(self.n_shared)


@dataclass(frozen=True)
class LeakageReport:
    """What a test set shares with a training set; made by `leakage_report`.

    ``print(report)`` says all of it in plain sentences.

    Attributes
    ----------
    claim : tuple of str
        What was claimed to be new in the test set.
    ok : bool
        Whether the claim holds. Findings outside the claim do not count.
    table : DataFrame, one row per kind of overlap
        Indexed by ``kind``, with ``claimed`` (bool), ``checked`` (bool), ``n_shared`` (shared
        values), ``n_test_rows``, ``of_test_rows`` (rows looked at), ``share_of_test_rows``,
        ``n_test_molecules``, ``of_test_molecules``, ``share_of_test_molecules`` (in [0, 1]; NaN
        where not known) and ``examples`` (list of str).
    sentences : list of str
        One per row of the table, then remarks.
    nearest : DataFrame or None, one row per test molecule
        ``test_smiles``, ``train_smiles`` (the most similar training molecule) and ``tanimoto``,
        indexed by the molecule's key.
    tanimoto_quantiles : Series or None
        Quantiles 0, 0.05, 0.25, 0.5, 0.75, 0.95 and 1 of ``nearest["tanimoto"]``.
    """

    claim: tuple[str, ...]
    ok: bool
    table: pd.DataFrame
    sentences: list[str]
    nearest: pd.DataFrame | None = field(repr=False)
    tanimoto_quantiles: pd.Series | None = field(repr=False)

    def __str__(self) -> str:
        lines = [self._verdict()]
        lines += [
            f"  {mark} {sentence}"
            for mark, sentence in zip(self._marks(), self.sentences, strict=True)
        ]
        return "\n".join(lines)

    def _verdict(self) -> str:
        claimed = ", ".join(self.claim)
        return f"Claim that the test set is new by {claimed}: {'holds' if self.ok else 'FAILS'}."

    def _marks(self) -> list[str]:
        marks = []
        for claimed, shared in zip(self.table["claimed"], self.table["n_shared"], strict=True):
            found = pd.notna(shared) and shared > 0
            marks.append("!!" if found and claimed else " -" if found else "  ")
        return marks + ["  "] * (len(self.sentences) - len(marks))

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.ok else "#b42318"
        items = "".join(
            f"<li>{'<b>' if mark == '!!' else ''}{escape(sentence)}"
            f"{'</b>' if mark == '!!' else ''}</li>"
            for mark, sentence in zip(self._marks(), self.sentences, strict=True)
        )
        table = self.table.drop(columns="examples").to_html(float_format="{:.3f}".format, na_rep="")
        return (
            f'<p style="color:{colour}"><b>{escape(self._verdict())}</b></p><ul>{items}</ul>{table}'
        )


def make_report(
    findings: list[Finding],
    remarks: list[str],
    *,
    claim: tuple[str, ...],
    claimed: set[str],
    keys: np.ndarray,
    nearest: pd.DataFrame | None,
) -> LeakageReport:
    """Count what the findings concern; `keys` has the molecule of each test row, or None."""
    codes, molecules = pd.factorize(keys)
    rows = []
    for finding in findings:
        concerned, looked_at = finding.rows, finding.of_rows
        counts: dict[str, int | None] = dict.fromkeys(COUNTED)
        if concerned is not None and looked_at is not None:
            counts["n_test_rows"] = int(concerned.sum())
            counts["of_test_rows"] = int(looked_at.sum())
            if len(molecules):
                for name, chosen in (("n", concerned), ("of", looked_at)):
                    counts[f"{name}_test_molecules"] = len(np.unique(codes[chosen & (codes >= 0)]))
        rows.append(
            {
                "kind": finding.kind,
                "claimed": finding.kind in claimed,
                "checked": finding.n_shared is not None,
                "n_shared": finding.n_shared,
                **counts,
                "examples": list(finding.examples),
            }
        )
    table = pd.DataFrame(rows).set_index("kind")
    for name in ("n_shared", *COUNTED):
        table[name] = table[name].astype("Float64").astype("Int64")
    for what in ("rows", "molecules"):
        affected, of_all = table[f"n_test_{what}"], table[f"of_test_{what}"]
        table[f"share_of_test_{what}"] = affected.astype("float64") / of_all.astype("float64")
    table = table[list(COLUMNS)]
    quantiles = None
    if nearest is not None:
        quantiles = nearest["tanimoto"].quantile([0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
    return LeakageReport(
        claim=claim,
        ok=not any(finding.found for finding in findings if finding.kind in claimed),
        table=table,
        sentences=[finding.sentence for finding in findings] + remarks,
        nearest=nearest,
        tanimoto_quantiles=quantiles,
    )
