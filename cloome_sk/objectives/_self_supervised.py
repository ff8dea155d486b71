"""What two views of the same images have in common: NT-Xent, and DINO's self-distillation."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cloome_sk.objectives._pairs import at_least_float32, full_precision


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    r"""Normalised temperature-scaled cross-entropy of SimCLR [1]_, equation 1.

    Each of the 2N views is told from the 2N - 2 views of other samples, whichever of the two sets
    they are of, by its cosine with the other view of its own sample:

    .. math::
       L = -\frac1{2N} \sum_{i=1}^{2N} \ln \frac{\exp(\cos(z_i, z_{p(i)}) / \tau)}
       {\sum_{k \neq i} \exp(\cos(z_i, z_k) / \tau)}

    Parameters
    ----------
    first, second : Tensor, shape (n_samples, n_components)
        Two views of each sample, of any length: row i of one belongs to row i of the other.
    temperature : float, default=0.1
        :math:`\tau`, > 0.

    Returns
    -------
    Tensor, scalar
        The objective, >= 0: 0 where views of a sample agree and all others are far away.

    Raises
    ------
    ValueError
        If the two have other shapes, or fewer than two samples.

    Notes
    -----
    `infonce` contrasts the rows of one set with those of the other alone.

    References
    ----------
    .. [1] Chen, Kornblith, Norouzi & Hinton, "A simple framework for contrastive learning of
       visual representations", ICML 2020, arXiv 2002.05709.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import nt_xent
    >>> views = torch.eye(4)
    >>> round(float(nt_xent(views, views, temperature=1.0)), 4)  # ln(1 + 6 / e)
    1.1654
    """
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            "first and second must be matrices of one shape (n_samples, n_components), got "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    n_samples = len(first)
    if n_samples < 2:
        raise ValueError(f"NT-Xent contrasts at least two samples, got {n_samples}.")
    views = [at_least_float32(first), at_least_float32(second)]
    with full_precision(first):
        rows = F.normalize(torch.cat(views), dim=1)
        logits = rows @ rows.T / temperature
        itself = torch.eye(2 * n_samples, dtype=torch.bool, device=logits.device)
        partner = torch.arange(2 * n_samples, device=logits.device).roll(n_samples)
        return F.cross_entropy(logits.masked_fill(itself, -torch.inf), partner)


def dino_loss(
    student: Tensor,
    teacher: Tensor,
    center: Tensor,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Tensor:
    r"""Cross-entropy between what a teacher and a student say of different views (DINO [1]_).

    .. math::
       P_t = \mathrm{softmax}((g_t(x) - c) / \tau_t), \quad
       P_s = \mathrm{softmax}(g_s(x') / \tau_s), \quad
       L = -\operatorname{mean}_{t \neq s} P_t^T \ln P_s

    Parameters
    ----------
    student : Tensor, shape (n_views, n_samples, n_outputs)
        Of all views, of which the first are those that the teacher sees.
    teacher : Tensor, shape (n_global, n_samples, n_outputs)
        Of the global views; no gradient flows into it.
    center : Tensor, shape (n_outputs,)
        What is subtracted from the teacher's outputs; see `moved_center`.
    student_temperature, teacher_temperature : float, default=0.1 and 0.04
        :math:`\tau_s` and :math:`\tau_t`, > 0; the teacher's is lower, which sharpens it.

    Returns
    -------
    Tensor, scalar
        Mean over samples and over the n_global (n_views - 1) pairs of two different views.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there are fewer than two views.

    References
    ----------
    .. [1] Caron, Touvron, Misra, Jegou, Mairal, Bojanowski & Joulin, "Emerging properties in
       self-supervised vision transformers", ICCV 2021, arXiv 2104.14294, equation 3 and
       algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import dino_loss
    >>> student, teacher = torch.zeros(3, 5, 8), torch.zeros(2, 5, 8)
    >>> round(float(dino_loss(student, teacher, torch.zeros(8))), 4)  # ln(8)
    2.0794
    """
    shapes = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
    if student.ndim != 3 or teacher.ndim != 3 or student.shape[1:] != teacher.shape[1:]:
        raise ValueError(
            "student and teacher must be of shape (n_views, n_samples, n_outputs), equal but for "
            f"n_views, got {shapes}."
        )
    if not 1 <= len(teacher) <= len(student) or len(student) < 2:
        raise ValueError(
            "The student must see at least two views, of which the teacher sees the first, got "
            f"shapes {shapes}."
        )
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    with full_precision(student):
        target = torch.softmax((teacher.detach() - center) / teacher_temperature, dim=-1)
        told = torch.log_softmax(student / student_temperature, dim=-1)
        entropies = -torch.einsum("tnk,snk->ts", target, told) / student.shape[1]
        different = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
        return entropies[different[: len(teacher)]].mean()


def moved_center(center: Tensor, teacher: Tensor, momentum: float = 0.9) -> Tensor:
    r"""Give the center after a batch, :math:`m c + (1 - m)` times the mean output (DINO [1]_).

    Parameters
    ----------
    center : Tensor, shape (n_outputs,)
        The center before.
    teacher : Tensor, shape (n_global, n_samples, n_outputs)
        The teacher's outputs.
    momentum : float, default=0.9
        :math:`m`, in [0, 1).

    Returns
    -------
    Tensor, shape (n_outputs,)
        The center, without a gradient.

    References
    ----------
    .. [1] Caron et al., ICCV 2021, arXiv 2104.14294, equation 4.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.objectives import moved_center
    >>> moved_center(torch.ones(2), torch.tensor([[[1.0, 3.0]]]), momentum=0.5)
    tensor([1., 2.])
    """
    mean = at_least_float32(teacher.detach()).mean(dim=(0, 1))
    return momentum * center + (1.0 - momentum) * mean
