"""A vision transformer that trains on a laptop."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from cloome_sk.networks.view_sizes import check_large_enough

SMALLEST = 16
"""Pixels a side; less than that are no image of a cell."""


class Block(nn.Module):
    """Self-attention, then a perceptron at each position, each normalised first and added."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, n_tokens, width) to the same shape."""
        # (n, n_tokens, 3 * width) to three of (n, n_heads, n_tokens, width / n_heads)
        qkv = self.qkv(self.norm1(tokens)).unflatten(2, (3, self.n_heads, -1))
        attended = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        tokens = tokens + self.projection(attended.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norm2(tokens))


class SmallViT(nn.Module):
    """A small vision transformer for images of any number of channels and any size.

    The image is cut into square patches, each of which becomes a token by one Linear map; a
    learned token stands beside them, whose last state is the embedding, after one Linear layer
    (Dosovitskiy et al. 2021). Blocks normalise before they compute.

    Where a patch lies is learned on a square grid that is stretched over the image, whatever its
    size (as DINO does with its small crops, Caron et al. 2021), so that crops may be trained on
    and whole fields embedded. A side that is no multiple of the patch gets zeros around it, half
    on each end: 0 is the mean of a normalised channel.

    Parameters
    ----------
    n_channels : int
        Number of image channels (>= 1).
    n_components : int
        Size of the embedding (>= 1).
    patch : int, default=8
        Pixels a side of a patch (>= 1). Time goes with the number of patches, or faster. Of fine
        texture a small network sees more in small patches than a larger one, of the same time, in
        large patches.
    width : int, default=64
        Size of a token (a multiple of `n_heads`).
    depth : int, default=3
        Number of blocks (>= 1).
    n_heads : int, default=4
        Number of attention heads (>= 1).
    grid : int, default=12
        Learned positions a side (>= 1); 12 are those of 96 pixels in patches of 8.

    Raises
    ------
    ValueError
        For a parameter below 1, or a width that the heads do not divide.

    References
    ----------
    .. [1] Dosovitskiy et al. (2021), An image is worth 16x16 words: transformers for image
       recognition at scale, ICLR.
    .. [2] Caron et al. (2021), Emerging properties in self-supervised vision transformers, ICCV.

    Examples
    --------
    >>> import torch
    >>> from cloome_sk.networks.vit import SmallViT
    >>> network = SmallViT(5, 64)
    >>> network(torch.zeros(2, 5, 96, 96)).shape, network(torch.zeros(2, 5, 50, 130)).shape
    (torch.Size([2, 64]), torch.Size([2, 64]))
    """

    def __init__(
        self,
        n_channels: int,
        n_components: int,
        patch: int = 8,
        width: int = 64,
        depth: int = 3,
        n_heads: int = 4,
        grid: int = 12,
    ) -> None:
        super().__init__()
        sizes = {"patch": patch, "width": width, "depth": depth, "n_heads": n_heads, "grid": grid}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"SmallViT: {name} must be at least 1, got {size!r}.")
        if width % n_heads:
            raise ValueError(
                f"SmallViT: width must be a multiple of n_heads, got width={width!r} and "
                f"n_heads={n_heads!r}."
            )
        self.patch = patch
        self.patches = nn.Conv2d(n_channels, width, patch, stride=patch)
        self.token = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.empty(grid, grid, width))
        self.blocks = nn.Sequential(*(Block(width, n_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, n_components)
        nn.init.trunc_normal_(self.token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed images; not normalised to unit length.

        Parameters
        ----------
        inputs : Tensor of float, shape (n, n_channels, H, W)
            Normalised images of at least 16 pixels a side.

        Returns
        -------
        Tensor, shape (n, n_components)
            The embeddings.

        Raises
        ------
        ValueError
            For smaller images.
        """
        check_large_enough(inputs, SMALLEST, "SmallViT")
        values = self.patches(_filled(inputs, self.patch))
        places = _stretched(self.positions, (values.shape[2], values.shape[3]))
        tokens = values.flatten(2).transpose(1, 2) + places.flatten(0, 1)
        first = self.token.expand(len(tokens), 1, -1)
        tokens = self.blocks(torch.cat([first, tokens], dim=1))
        return self.fc(self.norm(tokens[:, 0]))


def _filled(images: Tensor, patch: int) -> Tensor:
    """Images with zeros around them, up to whole patches."""
    lacking = [-side % patch for side in images.shape[-2:]]
    if not any(lacking):
        return images
    (top, bottom), (left, right) = ((n // 2, n - n // 2) for n in lacking)
    return F.pad(images, (left, right, top, bottom))


def _stretched(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """A grid (rows, columns, width) at another size, interpolated.

    A product of matrices, other than the gradient of an interpolation, gives the same sums each
    time it is computed on a GPU.
    """
    if grid.shape[:2] == size:
        return grid
    rows, columns = (_between(n, new, grid) for n, new in zip(grid.shape, size, strict=False))
    # Tokens are summed up in float32 where autocast makes half precision of products.
    return torch.einsum("ri,cj,ijw->rcw", rows, columns, grid).to(grid.dtype)


def _between(n: int, new: int, like: Tensor) -> Tensor:
    """Shares (new, n) of each of n places in each of as many new ones, by cubic interpolation."""
    with torch.no_grad():
        eye = torch.eye(n, dtype=like.dtype, device=like.device)[None, None]
        return F.interpolate(eye, (new, n), mode="bicubic", antialias=True)[0, 0]
