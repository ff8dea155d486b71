"""How well pairs that training does not see find each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cloome_sk._measures import KS, LARGER_IS_BETTER
from cloome_sk.metrics import retrieval_ranks
from cloome_sk.networks import DualEncoder, embed
from cloome_sk.training.data import PairDataset
from cloome_sk.training.net import Objective

MAX_PAIRS = 4096
"""Pairs in the objective of the validation part: its matrices are square."""


class Validation:
    """Retrieval between the two sides of held-out pairs, and the objective on them.

    Parameters
    ----------
    pairs : PairDataset
        The pairs; several may be of one molecule.
    device : str
        Where to compute.
    precision : str
        What the networks compute in.
    """

    def __init__(self, pairs: PairDataset, device: str, precision: str) -> None:
        self.pairs = pairs
        self.device = device
        self.precision = precision

    def measures(self, objective: Objective) -> list[str]:
        """Name what will be measured.

        Parameters
        ----------
        objective : callable
            The objective.

        Returns
        -------
        list of str
            Names as of `__call__`.
        """
        counted = len(self.pairs) <= MAX_PAIRS and self._has_negatives
        counted = counted and getattr(objective, "reads", None) is None
        return [name for name in LARGER_IS_BETTER if counted or name != "valid_objective"]

    @property
    def _has_negatives(self) -> bool:
        return bool((self.pairs.groups != self.pairs.groups[0]).any())

    def check(self, monitor: str, objective: Objective) -> None:
        """Refuse to decide by what will not be measured.

        Parameters
        ----------
        monitor : str
            The measure that shall decide.
        objective : callable
            The objective.

        Raises
        ------
        ValueError
            If it is not among `measures`.
        """
        measured = self.measures(objective)
        if monitor in measured:
            return
        why = "the objective reads the inputs of a batch, as CWCL does"
        if getattr(objective, "reads", None) is None and not self._has_negatives:
            why = "all held-out pairs are positives of each other"
        elif getattr(objective, "reads", None) is None:
            why = f"there are {len(self.pairs):,} held-out pairs, more than {MAX_PAIRS:,}"
        raise ValueError(
            f"monitor={monitor!r} is not measured, since {why}. Choose one of "
            f"{', '.join(measured)}."
        )

    def __call__(self, network: DualEncoder, objective: Objective) -> dict[str, float]:
        """Measure a network.

        Parameters
        ----------
        network : DualEncoder
            The network; in evaluation mode afterwards.
        objective : callable
            The objective. Where it reads inputs, or there are more than 4,096 pairs, it is not
            evaluated: it would be that of another batch. Nor is it where no pair has a negative.

        Returns
        -------
        dict of str to float
            ``valid_R@k`` and ``valid_relative_rank`` (rank less one over candidates less
            one, 0.5 is chance), means over molecules of both directions; ``valid_median_rank``,
            of phenotypes among molecules; ``valid_objective``.
        """
        network.eval()
        molecules = self.pairs.molecule_index
        distinct, codes = np.unique(molecules, return_inverse=True)
        shown, places = np.unique(self.pairs.phenotype_index, return_inverse=True)
        phenotype = self._embedded(network.phenotype, self.pairs.phenotype, shown)[places]
        molecule = self._embedded(network.molecule, self.pairs.molecule, distinct)
        found = [
            retrieval_ranks(
                phenotype, molecule, query_ids=codes, database_ids=np.arange(len(distinct)), ks=KS
            )
            .groupby(codes)
            .mean(),
            retrieval_ranks(
                molecule, phenotype, query_ids=np.arange(len(distinct)), database_ids=codes, ks=KS
            ),
        ]
        measured = {
            f"valid_R@{k}": float(np.mean([side[f"R@{k}"].mean() for side in found])) for k in KS
        }
        n_others = max(1, len(distinct) - 1)
        relative = [float((side["rank"].mean() - 1) / n_others) for side in found]
        measured["valid_relative_rank"] = float(np.mean(relative))
        measured["valid_median_rank"] = float(found[0]["rank"].median())
        if "valid_objective" in self.measures(objective):
            measured["valid_objective"] = self._objective(
                network, objective, phenotype, molecule[codes]
            )
        return measured

    def _embedded(self, network: Any, values: Any, rows: np.ndarray) -> np.ndarray:
        return embed(network, _Part(values, rows), self.device, precision=self.precision)

    def _objective(
        self, network: DualEncoder, objective: Objective, *embedded: np.ndarray
    ) -> float:
        groups = self.pairs.groups
        positives = groups[:, None] == groups[None, :]
        alone = int(positives.sum()) == len(groups)
        with torch.inference_mode():
            value = objective(
                *(torch.from_numpy(side).to(self.device) for side in embedded),
                network.log_inv_tau.exp(),
                positives=None if alone else positives.to(self.device),
            )
        return float(value)


class _Part:
    """Some rows of inputs, taken when they are asked for: of images not all fit into memory."""

    def __init__(self, values: Any, rows: np.ndarray) -> None:
        self.values = values
        self.rows = rows
        self.shape = (len(rows), *values.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: slice) -> Any:
        return self.values[self.rows[places]]
