"""The student and the teacher of DINO, and the views of images that they are shown."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from cloome_sk.networks import ImageNetwork
from cloome_sk.networks.images import Plates

N_GLOBAL = 2
"""Views that the teacher sees."""


class DINOHead(nn.Module):
    """Three layers with GELU, a unit vector, and its cosines with prototypes.

    The last layer is normalised by weight, with all lengths kept at 1.

    Parameters
    ----------
    n_components, hidden_size, bottleneck_size, n_prototypes : int
        Widths, from the embedding to the output.
    """

    def __init__(
        self, n_components: int, hidden_size: int, bottleneck_size: int, n_prototypes: int
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_components, hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, bottleneck_size),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(n_prototypes, bottleneck_size))

    def forward(self, embedded: Tensor) -> Tensor:
        """Give cosines, float32 of shape (n, n_prototypes), of embeddings (n, n_components)."""
        # float32 under autocast too: temperatures of 0.04 blow up what bfloat16 rounds.
        bottleneck = F.normalize(self.layers(embedded).float(), dim=1)
        with torch.autocast(bottleneck.device.type, enabled=False):
            return F.linear(bottleneck, F.normalize(self.prototypes, dim=1))


class DINONetwork(nn.Module):
    """A student and its teacher, of one architecture, and the views that they are shown.

    Parameters
    ----------
    phenotype : ImageNetwork
        The encoder of the student; the teacher's is a copy.
    head : DINOHead
        The head of the student; the teacher's is a copy.
    n_local : int
        Small views, which the student alone sees (>= 0).
    local_crop : int or None
        Pixels a side of small views; None takes 3/7 of a large one, in steps of 8 from 16 on.
    global_zoom, local_zoom : (float, float)
        Shares of the sides of the field that large and small views show.
    momentum : float
        Of the teacher at the start; it rises to 1 along half a cosine.
    """

    def __init__(
        self,
        phenotype: nn.Module,
        head: DINOHead,
        n_local: int,
        local_crop: int | None,
        global_zoom: tuple[float, float],
        local_zoom: tuple[float, float],
        momentum: float,
    ) -> None:
        super().__init__()
        if not isinstance(phenotype, ImageNetwork):
            raise ValueError(
                "DINO cuts large and small views of images, and phenotype= gives a "
                f"{type(phenotype).__name__}: give an ImageEncoder, or train on other phenotypes "
                "by SimCLREmbedder."
            )
        self.student = nn.ModuleDict({"phenotype": phenotype, "head": head})
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.n_local = n_local
        self.local_crop = local_crop
        self.global_zoom = global_zoom
        self.local_zoom = local_zoom
        self.momentum = momentum

    def forward(self, phenotype: Tensor | Plates) -> tuple[Tensor, Tensor]:
        """Give outputs of student and teacher, (n_views, n, n_prototypes) and (2, n, ...)."""
        large, small = self.views(cast(ImageNetwork, self.student["phenotype"]), phenotype)
        n_samples = len(large[0])
        student = outputs(self.student, [large, small] if small else [large])
        with torch.no_grad():
            teacher = outputs(self.teacher, [large])
        return student.unflatten(0, (-1, n_samples)), teacher.unflatten(0, (-1, n_samples))

    def views(
        self, network: ImageNetwork, images: Tensor | Plates
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Draw the large and the small views of a batch."""
        large = [network.view(images, zoom=self.global_zoom) for _ in range(N_GLOBAL)]
        field = large[0].shape[2:]
        height, width = (self.local_crop or max(16, 8 * round(side * 3 / 56)) for side in field)
        draw = partial(network.view, images, (height, width), self.local_zoom)
        return large, [draw() for _ in range(self.n_local)]

    @torch.no_grad()
    def move_teacher(self, done: float) -> None:
        """Move the weights of the teacher towards the student's: m teacher + (1 - m) student.

        Running statistics of BatchNorm are not weights: the teacher has those of what it was shown.

        Parameters
        ----------
        done : float
            Share of the updates that were made, which the momentum depends on.
        """
        momentum = momentum_at(done, self.momentum)
        pairs = zip(self.teacher.parameters(), self.student.parameters(), strict=True)
        for teacher, student in pairs:
            teacher.lerp_(student, 1.0 - momentum)


def outputs(network: nn.ModuleDict, views: Sequence[Sequence[Tensor]]) -> Tensor:
    """Give the outputs of views, those of one size in one pass, one view after the other."""
    # What forward of an ImageNetwork does after it has drawn a view.
    backbone = cast(ImageNetwork, network["phenotype"]).backbone
    embedded = [backbone(torch.cat(list(of_a_size))) for of_a_size in views]
    return network["head"](torch.cat(embedded))


def momentum_at(done: float, start: float) -> float:
    r"""Give the teacher's momentum, from a start to 1 along half a cosine.

    Parameters
    ----------
    done : float
        Share of the updates that were made, in [0, 1].
    start : float
        Momentum at the start.

    Returns
    -------
    float
        :math:`1 - (1 - m_0) (1 + \cos \pi s) / 2`.

    Examples
    --------
    >>> from cloome_sk.training.dino_network import momentum_at
    >>> [round(momentum_at(done, 0.9), 3) for done in (0.0, 0.5, 1.0)]
    [0.9, 0.95, 1.0]
    """
    return 1.0 - (1.0 - start) * (1.0 + math.cos(math.pi * done)) / 2.0
