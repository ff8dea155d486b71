"""How the authors prepare the inputs of their network: what no weight file says."""

from __future__ import annotations

from dataclasses import dataclass

# Grey levels of 8 bits. The authors' code divides by a copy of the mean instead of the standard
# deviation; the published weights were trained so, and give other embeddings with anything else.
_MEAN = (47.1314, 40.8138, 53.7692, 46.2656, 28.7243)


@dataclass(frozen=True)
class PublishedModel:
    """The inputs and the pooling of the published CLOOME.

    Attributes
    ----------
    channels : tuple of str
        Channels of the image, in the order of the first convolution's weights. The authors name
        them Mito, ERSyto, ERSytoBleed, Ph_golgi and Hoechst.
    scaling : str
        How 16 bits become 8, as in the authors' inference class (see `cloome_sk.imaging`).
    mean, std : tuple of float
        What is subtracted from each channel, and what it is divided by, in 8-bit grey levels. The
        second is a copy of the first.
    crop : tuple of int
        Height and width of the centre crop, in pixels: the whole field of the training images.
    pooling : str
        How the last map becomes a vector (see `cloome_sk.networks.ResNet`).
    n_bits, radius, use_chirality : int, int, bool
        The Morgan fingerprint of a network whose molecule input is that wide.

    References
    ----------
    .. [1] Sanchez-Fernandez et al. (2023), CLOOME: contrastive learning unlocks bioimaging
       databases for queries with chemical structures, Nature Communications 14:7339, and its code.
    """

    channels: tuple[str, ...] = ("Mito", "ER", "RNA", "AGP", "DNA")
    scaling: str = "cloome-package"
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _MEAN
    crop: tuple[int, int] = (520, 696)
    pooling: str = "legacy"
    n_bits: int = 1024
    radius: int = 3
    use_chirality: bool = True


PUBLISHED = PublishedModel()
"""What is assumed for a file in the authors' format, unless the user says otherwise."""

LISTED_FILES = {
    "39e0c98d47b18ce913f4bcb1a1bc89d26ca9938ee74646c32a46ad236cddbc38": (
        "cloome-retrieval-zero-shot.pt"
    ),
    "359de652c2cd76bb189c37e006d565317b93080d89bd2b711deea102cd8e103a": "cloome-bioactivity.pt",
}
"""SHA-256 of two files of the authors, as a project that uses them lists them; not compared with
the authors' own copies."""
