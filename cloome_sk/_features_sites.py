"""Features of distinct sites: computed in blocks, or found where they were kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from cloome_sk.encoders._image_columns import image_columns
from cloome_sk.encoders._image_rows import ILLUMINATION, warn_skipped
from cloome_sk.encoders._image_sites import find_rows, make_sites, shape_in
from cloome_sk.encoders.base import Inputs
from cloome_sk.imaging import ImageError

if TYPE_CHECKING:
    from torch import nn

    from cloome_sk.encoders import ImageEncoder
    from cloome_sk.imaging import SiteCache
    from cloome_sk.imaging.sites import Sites

RUN = 256
"""Sites that are looked up before those among them that are new are read."""


class KeptFeatures:
    """Features of sites in a folder, found by the content of their images.

    Parameters
    ----------
    cache : SiteCache
        The folder, and all that decides the features of every site.
    sites : Sites
        The sites; their pixels are not asked for.
    """

    def __init__(self, cache: SiteCache, sites: Sites) -> None:
        self.cache = cache
        self.sites = sites
        self._keys: dict[int, str] = {}

    def load(self, run: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Fill in the features of some sites; give those that are not there."""
        # Most of the time goes to hashing files, when other threads can run.
        loaded = Parallel(n_jobs=self.sites.n_jobs, prefer="threads")(
            delayed(self._load)(site, out[site]) for site in run.tolist()
        )
        return run[~np.array(loaded, dtype=bool)]

    def store(self, sites: np.ndarray, out: np.ndarray) -> None:
        """Keep the features of those sites that have some and whose files are as in `load`."""
        for site in sites.tolist():
            key = self._keys.pop(site, None)
            if key is not None and not np.isnan(out[site, 0]) and self._key(site) == key:
                self.cache.store(key, out[site])

    def _load(self, site: int, out: np.ndarray) -> bool:
        key = self._key(site)
        if key is None:
            return False
        if self.cache.load_into(key, out):
            return True
        self._keys[site] = key
        return False

    def _key(self, site: int) -> str | None:
        """The key of a site; None where a file cannot be read, which reading it will explain."""
        along = [extra[site] for extra in self.sites.extras]
        of_site = {**self.sites.sources.settings(site), "along": along}
        try:
            return self.cache.key(self.sites.sources.files(site), of_site)
        except ImageError:
            return None


def replaced_columns(encoder: ImageEncoder, table: pd.DataFrame) -> np.ndarray:
    """Which columns are images, of channels that are not taken too, or illumination functions."""
    columns = encoder.image_columns_
    taken = [] if columns is None else columns.in_table(table).names
    images = {*image_columns(table), *taken}
    return np.array(
        [name in images or str(name).startswith(ILLUMINATION) for name in table.columns],
        dtype=bool,
    )


def table_features(
    encoder: ImageEncoder,
    network: nn.Module,
    table: pd.DataFrame,
    n_features: int,
    *,
    cache: SiteCache | None,
    device: str,
    precision: str,
    verbose: int,
) -> np.ndarray:
    """Features of the rows of a table, each distinct site computed once.

    Parameters
    ----------
    encoder : ImageEncoder
        Fitted.
    network : nn.Module
        In evaluation mode.
    table : DataFrame
        The user's table.
    n_features : int
        What the network gives.
    cache : SiteCache or None
        Where features are kept.
    device : str
        Where to compute.
    precision : {"fp32", "bf16"}
        In what to compute.
    verbose : int
        Above 0: show a progress bar.

    Returns
    -------
    ndarray of float32, shape (n_rows, n_features)
        NaN for a row whose image cannot be read, where the encoder skips these.
    """
    rows = np.arange(len(table))
    found = find_rows(encoder, table, rows)
    n_sites = len(found.sources)
    kept = None
    if cache is not None:
        nowhere = (len(encoder.channels_), 1, 1)
        kept = KeptFeatures(cache, make_sites(encoder, table, found, shape=nowhere))
    sites: Sites | None = None
    out = np.full((n_sites, n_features), np.nan, dtype=np.float32)
    bar = tqdm(total=n_sites, desc="Features", unit="site", disable=not verbose)
    with bar as progress:
        for run in _runs(n_sites, RUN if kept is not None else n_sites):
            new = run if kept is None else kept.load(run, out)
            progress.update(len(run) - len(new))
            if not len(new):
                continue
            if sites is None:  # not before a site is new: some are read, to know their shape
                sites = make_sites(encoder, table, found, shape=shape_in(encoder, table, found))
                network = _on_device(network, device, precision)
            out[new] = np.nan  # what a damaged file may have left
            for block in _computed(network, sites, new, out, device, precision):
                if kept is not None:
                    kept.store(block, out)
                progress.update(len(block))
    failed = {} if sites is None else sites.failed
    warn_skipped(table, found.problems(rows, failed), "given features of NaN")
    return Inputs(None, found.index).expand(out)


def _runs(n: int, step: int) -> Iterator[np.ndarray]:
    for start in range(0, n, max(step, 1)):
        yield np.arange(start, min(start + step, n))


def _computed(
    network: nn.Module,
    sites: Sites,
    chosen: np.ndarray,
    out: np.ndarray,
    device: str,
    precision: str,
) -> Iterator[np.ndarray]:
    """Fill in the features of some sites, block by block; those that cannot be read stay NaN."""
    from cloome_sk.networks.dual import block_length

    step = block_length(sites.shape)
    blocks = [chosen[start : start + step] for start in range(0, len(chosen), step)]
    for block, pixels in _read_ahead(sites, blocks):
        features = _outputs(network, pixels, device, precision)
        read = np.array([site not in sites.failed for site in block.tolist()], dtype=bool)
        _check_finite(features, block, read, sites)
        out[block[read]] = features[read]
        yield block


def _read_ahead(sites: Sites, blocks: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Any]]:
    """Pixels of each block; those of the next one are read while the network has this one."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming: tuple[np.ndarray, Future[Any]] | None = None
        for block in blocks:
            following = block, reader.submit(sites.__getitem__, block)
            if coming is not None:
                yield coming[0], coming[1].result()
            coming = following
        if coming is not None:
            yield coming[0], coming[1].result()


def _on_device(network: nn.Module, device: str, precision: str) -> nn.Module:
    """The network where it is to compute, in the form that takes least time."""
    import torch

    from cloome_sk.networks.folding import folded

    return folded(network.to(device), torch.bfloat16 if precision == "bf16" else None)


def _outputs(network: nn.Module, pixels: Any, device: str, precision: str) -> np.ndarray:
    """What the network gives, float32, as it is: not brought to unit length."""
    import torch

    from cloome_sk.networks.dual import as_tensors, on_device

    half = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), half:
        return network(on_device(as_tensors(pixels), device)).float().cpu().numpy()


def _check_finite(features: np.ndarray, block: np.ndarray, read: np.ndarray, sites: Sites) -> None:
    bad = read & ~np.isfinite(features).all(axis=1)
    if bad.any():
        site = int(block[np.argmax(bad)])
        raise ValueError(
            f"ImageFeatures: the network gives NaN or infinity for {sites.where(_row(sites, site))}"
            f" and {int(bad.sum()) - 1} other site(s) of its block."
        )


def _row(sites: Sites, site: int) -> int:
    return int(sites.sources.rows[site])
