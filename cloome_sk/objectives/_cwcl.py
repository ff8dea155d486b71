"""Continuously weighted contrastive learning: positives by degree."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cloome_sk.objectives._infonce import one_direction
from cloome_sk.objectives._pairs import as_pairs, full_precision, own_pairs
from cloome_sk.objectives._weights import cosine_weights, tanimoto_weights

MODALITIES = ("phenotype", "molecule")


def cwcl(
    phenotype: Tensor,
    molecule: Tensor,
    inv_tau: float | Tensor,
    *,
    weights: Tensor,
    modality: str = "molecule",
    positives: Tensor | None = None,
) -> Tensor:
    r"""Continuously weighted contrastive objective: samples that are alike attract by degree.

    With :math:`w_{ij} \in [0, 1]` the similarity of samples i and j in one modality, here that of
    molecules Z, a molecule draws all phenotypes, each by that weight, and a phenotype draws its
    own molecule as in `infonce`:

    .. math::
       L = -\frac{1}{2N} \sum_i \frac{1}{\sum_j w_{ij}} \sum_j w_{ij}
       \ln \frac{\exp(\tau^{-1} z_i \cdot x_j)}{\sum_k \exp(\tau^{-1} z_i \cdot x_k)}
       + \tfrac12 L_{X \to Z}

    The weights must come from something that training does not change. In the paper that is a
    frozen, pre-trained encoder of one modality; `InputCWCL` takes the inputs of one.

    Parameters
    ----------
    phenotype, molecule : Tensor, shape (n_pairs, n_components)
        Row-normalised embeddings.
    inv_tau : float or scalar Tensor
        Inverse temperature, > 0.
    weights : Tensor, shape (n_pairs, n_pairs)
        How alike samples i and j are in `modality`, in [0, 1]; no gradient is taken.
    modality : {"molecule", "phenotype"}, default="molecule"
        Where the weights come from, which is the side whose rows draw by weight.
    positives : Tensor of bool, shape (n_pairs, n_pairs), optional
        True where phenotype i and molecule j belong together; the diagonal must be True. By
        default each row's own pair alone. Positives have weight 1, whatever `weights` says, and
        are told from negatives in the other direction as in `infonce`.

    Returns
    -------
    Tensor, scalar
        The objective, >= half the mean entropy of the normalised weights, so soft weights keep
        it from 0. Weights of 0 and no `positives` make it `infonce`.

    Raises
    ------
    ValueError
        If the shapes do not fit, the diagonal of `positives` is not all True, weights are not in
        [0, 1], or there is no such modality.

    Notes
    -----
    The weights are used as they are, and a small weight counts by its number: with
    ``cosine_weights`` of 256 unrelated samples, 0.5 each, the own pair is 1/128 of the target.
    Powers of the weights are sharper.

    The paper adds the two directions; here they are averaged, as in `infonce`, so that values
    can be compared.

    References
    ----------
    .. [1] Srinivasa et al., "CWCL: Cross-Modal Transfer with Continuously Weighted Contrastive
       Loss", NeurIPS 2023, arXiv 2309.14580.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import cwcl, infonce
    >>> unit = torch.eye(4)
    >>> hard = cwcl(unit, unit, 1.0, weights=torch.zeros(4, 4))
    >>> torch.isclose(hard, infonce(unit, unit, 1.0)).item()
    True
    >>> round(float(cwcl(unit, unit, 1.0, weights=torch.ones(4, 4))), 4)
    1.1187
    """
    phenotype, molecule = as_pairs(phenotype, molecule, positives)
    _check_weights(weights, len(phenotype))
    _check_modality(modality)
    own = own_pairs(len(phenotype), phenotype.device) if positives is None else positives
    with full_precision(phenotype):
        logits = inv_tau * phenotype @ molecule.T
        if modality == "molecule":
            logits, own = logits.T, own.T
            positives = None if positives is None else positives.T
        target = weights.detach().to(logits).masked_fill(own, 1.0)
        target = target / target.sum(dim=1, keepdim=True)
        other = one_direction(logits.T, None if positives is None else positives.T)
        return (F.cross_entropy(logits, target) + other) / 2


class InputCWCL:
    """CWCL whose weights are similarities of the inputs of one side.

    Inputs do not change in training, so they stand in for the frozen modality of `cwcl`: molecules
    are alike as their fingerprints are, phenotypes as their profiles are.

    Parameters
    ----------
    reads : {"molecule", "phenotype"}, default="molecule"
        Whose inputs.
    weigh : callable, optional
        From inputs, (n_pairs, n_features), to weights in [0, 1], (n_pairs, n_pairs). By default
        `tanimoto_weights` for integers, which fingerprints are, and `cosine_weights` for real
        numbers.

    Raises
    ------
    ValueError
        If there is no such side.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import InputCWCL
    >>> bits = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.uint8)
    >>> objective = InputCWCL()
    >>> value = objective(torch.eye(3), torch.eye(3), 1.0, inputs=bits, positives=None)
    >>> round(float(value), 4)  # molecules 0 and 1 each draw both phenotypes
    0.7181
    """

    def __init__(
        self, reads: str = "molecule", weigh: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        _check_modality(reads)
        self.reads = reads
        self.weigh = weigh

    def __repr__(self) -> str:
        weigh = "" if self.weigh is None else f", {self.weigh!r}"
        return f"{type(self).__name__}({self.reads!r}{weigh})"

    def __call__(
        self,
        phenotype: Tensor,
        molecule: Tensor,
        inv_tau: float | Tensor,
        *,
        inputs: Tensor,
        positives: Tensor | None = None,
    ) -> Tensor:
        """Evaluate `cwcl`.

        Parameters
        ----------
        phenotype, molecule : Tensor, shape (n_pairs, n_components)
            Row-normalised embeddings.
        inv_tau : float or scalar Tensor
            Inverse temperature, > 0.
        inputs : Tensor, shape (n_pairs, n_features)
            Network inputs of the side that is read.
        positives : Tensor of bool, shape (n_pairs, n_pairs), optional
            As in `cwcl`.

        Returns
        -------
        Tensor, scalar
            The objective.

        Raises
        ------
        TypeError
            If the inputs are no matrix, as those of images are not.
        """
        if not isinstance(inputs, Tensor) or (inputs.ndim != 2 and self.weigh is None):
            found = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise TypeError(
                f"{self!r} compares {self.reads} inputs, which must be a matrix with one row a "
                f"pair, got {found}. Take the weights from the other side, or give `weigh`."
            )
        weigh = self.weigh or (cosine_weights if inputs.is_floating_point() else tanimoto_weights)
        return cwcl(
            phenotype,
            molecule,
            inv_tau,
            weights=weigh(inputs),
            modality=self.reads,
            positives=positives,
        )


def _check_weights(weights: Tensor, n_pairs: int) -> None:
    if weights.shape != (n_pairs, n_pairs) or not weights.is_floating_point():
        raise ValueError(
            f"weights must be a matrix of real numbers, of shape ({n_pairs}, {n_pairs}), got "
            f"{weights.dtype} of shape {tuple(weights.shape)}."
        )
    good = (weights >= 0) & (weights <= 1)
    if not good.all():
        bad = torch.nonzero(~good)
        row, column = bad[0].tolist()
        raise ValueError(
            f"weights must be in [0, 1], but {len(bad)} are not: row {row}, column {column} holds "
            f"{weights[row, column].item():g}."
        )


def _check_modality(modality: str) -> None:
    if modality not in MODALITIES:
        raise ValueError(f'The modality must be "phenotype" or "molecule", got {modality!r}.')
