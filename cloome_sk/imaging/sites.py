"""Sites as arrays a network can take, prepared when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from cloome_sk.imaging.preparation import Preparation, Task
from cloome_sk.imaging.reading import ImageError
from cloome_sk.imaging.sources import SiteSources

if TYPE_CHECKING:
    from cloome_sk.imaging.cache import SiteCache

RUN_BYTES = 2**28
"""What is prepared before it is put where it is kept."""


class Sites:
    """Distinct sites of a table, read, scaled and shrunk when they are asked for.

    Indexing by an array of positions, or by a slice, gives their pixels, shape
    (n, n_channels, h, w); or a tuple of these and of `extras`, where there are any.

    Parameters
    ----------
    sources : SiteSources
        The images.
    prepare : Preparation
        What is done to them.
    shape : tuple of int
        (n_channels, h, w) that every prepared site must have.
    dtype : numpy dtype
        Depth that every prepared site must have.
    where : callable
        From a row of the user's table to its name in a message.
    on_error : {"raise", "skip"}, default="raise"
        Whether a site that cannot be read is an error, or zeros and an entry in `failed`.
    n_jobs : int or None, default=None
        Processes that read, as joblib counts them.
    cache : SiteCache or None, default=None
        Where prepared sites are kept.
    extras : tuple of ndarray, each of shape (n_sites, ...), default=()
        What travels with the pixels of a site.

    Attributes
    ----------
    failed : dict of int to str
        Sites that could not be read so far, with the reason.
    shape : tuple of int
        (n_sites, n_channels, h, w).
    """

    def __init__(
        self,
        sources: SiteSources,
        prepare: Preparation,
        *,
        shape: tuple[int, ...],
        dtype: Any,
        where: Callable[[int], str],
        on_error: str = "raise",
        n_jobs: int | None = None,
        cache: SiteCache | None = None,
        extras: tuple[np.ndarray, ...] = (),
    ) -> None:
        self.sources = sources
        self.shape = (len(sources), *shape)
        self.dtype = np.dtype(dtype)
        self.where = where
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.cache = cache
        self.extras = extras
        self.failed: dict[int, str] = {}
        self._task = Task(prepare, self.shape[1:], self.dtype, cache)
        self._keys: dict[int, str] = {}
        self._held: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, sites: Any) -> Any:
        """Pixels of some sites, with what travels along."""
        chosen = np.arange(len(self))[sites]
        if self._held is not None:
            pixels = self._held[chosen]
        else:
            distinct, places = np.unique(chosen, return_inverse=True)
            pixels = self._pixels(distinct)
            if len(distinct) < len(chosen) or (places[1:] < places[:-1]).any():
                pixels = pixels[places]
        return (pixels, *(extra[chosen] for extra in self.extras)) if self.extras else pixels

    @property
    def nbytes(self) -> int:
        """Memory that all prepared sites take."""
        return len(self) * self._site_bytes

    @property
    def _site_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    def hold(self, progress: Callable[[int], Any]) -> None:
        """Read all sites into memory, once and for all.

        Parameters
        ----------
        progress : callable
            Told how many sites were done since.
        """
        held = np.zeros(self.shape, dtype=self.dtype)
        for run in self._runs(np.arange(len(self))):
            held[run] = self._pixels(run)
            progress(len(run))
        self._held = held

    def visit(self, progress: Callable[[int], Any]) -> None:
        """Read all sites once, so that those in the cache are there and failures are known.

        Parameters
        ----------
        progress : callable
            Told how many sites were done since.
        """
        for run in self._runs(np.arange(len(self))):
            if self.cache is None:
                for _ in self._done(run, self._task.readable):
                    pass
            else:
                self._find(run)
            progress(len(run))

    def _runs(self, sites: np.ndarray) -> Iterator[np.ndarray]:
        step = max(1, RUN_BYTES // self._site_bytes)
        for start in range(0, len(sites), step):
            yield sites[start : start + step]

    def _pixels(self, sites: np.ndarray) -> np.ndarray:
        out = np.zeros((len(sites), *self.shape[1:]), dtype=self.dtype)
        if self.cache is None:
            readable = [
                place for place, site in enumerate(sites.tolist()) if site not in self.failed
            ]
            for place, pixels in zip(
                readable, self._done(sites[readable], self._task.pixels), strict=True
            ):
                if pixels is not None:
                    out[place] = pixels
            return out
        self._find(sites)
        for place, site in enumerate(sites.tolist()):
            if site not in self.failed and not self.cache.load_into(self._keys[site], out[place]):
                # Damaged on the disk, or somebody emptied the folder.
                for pixels in self._done(sites[place : place + 1], self._task.pixels):
                    if pixels is not None:
                        out[place] = pixels
                        self._task.keep(self.sources, site, self._keys[site], pixels)
        return out

    def _find(self, sites: np.ndarray) -> None:
        """Make sure that sites are in the cache, and know their keys."""
        new = [s for s in sites.tolist() if s not in self._keys and s not in self.failed]
        found = self._done(np.array(new, dtype=np.intp), self._task.key)
        for site, key in zip(new, found, strict=True):
            if key is not None:
                self._keys[site] = key

    def _done(self, sites: np.ndarray, job: Callable[..., Any]) -> Iterator[Any]:
        """Do a job for each site, here or in several processes; None where it failed."""
        runs = self._cut(sites)
        if len(runs) < 2:
            results: Any = (self._task.run(job, self.sources, run) for run in runs)
        else:
            from joblib import Parallel, delayed

            results = Parallel(n_jobs=self.n_jobs)(
                delayed(self._task.run)(job, self.sources.take(run), np.arange(len(run)))
                for run in runs
            )
        for run, outcomes in zip(runs, results, strict=True):
            for site, outcome in zip(run.tolist(), outcomes, strict=True):
                if isinstance(outcome, ImageError):
                    self._fail(site, outcome)
                    outcome = None
                yield outcome

    def _cut(self, sites: np.ndarray) -> list[np.ndarray]:
        """Cut sites into what one process does at a time; one run where there is one process."""
        if self.n_jobs in (None, 1):
            return [sites]
        from joblib import effective_n_jobs

        # Several runs a process even out that some take longer.
        n_runs = min(len(sites), 4 * effective_n_jobs(self.n_jobs))
        return np.array_split(sites, max(1, n_runs))

    def _fail(self, site: int, error: ImageError) -> None:
        if self.on_error == "raise":
            row = self.where(int(self.sources.rows[site]))
            raise ImageError(error.path, f"{error.reason} ({row})") from error
        self.failed[site] = str(error)
