"""Contrastive objectives: functions of two matrices of embeddings, scalar out.

Both matrices hold one unit vector a row; row i of one and row i of the other belong to one sample.
Embeddings of half or bfloat16 precision are reduced in float32, inside autocast too.

**An objective of one's own** is any callable ``objective(phenotype, molecule, inv_tau, *,
positives)`` that gives a scalar tensor. `phenotype` and `molecule` are the embeddings of a batch,
(n_pairs, n_components), `inv_tau` is the inverse temperature, a scalar tensor, and `positives` is
a boolean matrix (n_pairs, n_pairs) of what belongs together, or None where each row's own pair is
all. Two things are optional:

- parameters of its own: an `nn.Module` is trained along with the encoders, without weight decay
  on scalars and vectors; `LearnedObjective` makes one of a function and initial values;
- an attribute ``reads``, "phenotype" or "molecule": the objective is then also given ``inputs=``,
  the network inputs of that side, one row a pair; `InputCWCL` is an example.

`nt_xent`, `dino_loss` and `moved_center` are no such objectives: they compare views of one modality
with each other, without any pair, and belong to `cloome_sk.baselines.SimCLREmbedder` and
`cloome_sk.baselines.DINOEmbedder`.
"""

from __future__ import annotations

from cloome_sk.objectives._cwcl import InputCWCL, cwcl
from cloome_sk.objectives._infoloob import infoloob
from cloome_sk.objectives._infonce import infonce
from cloome_sk.objectives._learned import LearnedObjective
from cloome_sk.objectives._self_supervised import dino_loss, moved_center, nt_xent
from cloome_sk.objectives._siglip import siglip
from cloome_sk.objectives._weights import cosine_weights, tanimoto_weights

__all__ = [
    "InputCWCL",
    "LearnedObjective",
    "cosine_weights",
    "cwcl",
    "dino_loss",
    "infoloob",
    "infonce",
    "moved_center",
    "nt_xent",
    "siglip",
    "tanimoto_weights",
]
