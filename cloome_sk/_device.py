"""Where the network runs."""

from __future__ import annotations


def resolve_device(device: str) -> str:
    """Turn "auto" into a CUDA device where there is one, else the CPU; check any other name."""
    import torch

    has_cuda = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if has_cuda else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(
            f'device={device!r} is no torch device. Use "auto", "cpu" or "cuda".'
        ) from error
    if kind == "cuda" and not has_cuda:
        raise ValueError(f'device={device!r}, but torch sees no CUDA device. Use device="auto".')
    return device
