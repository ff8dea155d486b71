"""Where training stands: counted, recorded, validated, and kept so that it can go on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import torch

from cloome_sk._measures import LARGER_IS_BETTER
from cloome_sk.networks import DualEncoder
from cloome_sk.training.gathering import average_buffers, check_same, from_first, world
from cloome_sk.training.snapshots import SnapshotError, Snapshots
from cloome_sk.training.validation import Validation

if TYPE_CHECKING:
    from cloome_sk.training.net import ContrastiveNet


class Progress:
    """The position of a training, its history, and the best weights so far.

    Parameters
    ----------
    validation : Validation or None, default=None
        Measures the network after each epoch.
    monitor : str, default="valid_relative_rank"
        The measure that says which epoch is best.
    patience : int or None, default=None
        Epochs without a better one after which training stops.
    keep_best : bool, default=False
        Whether the weights of the best epoch are kept.
    snapshots : Snapshots or None, default=None
        Where the state of training is kept: after each epoch, and every `every` updates.
    every : int or None, default=None
        Updates between two states within an epoch.
    resume : bool, default=False
        Whether to go on from the last state that was kept, if there is one.

    Attributes
    ----------
    epoch, batch : int
        Epochs that are complete, and batches of the one that is not.
    records : list of dict
        An entry an epoch: its number, mean objective, inverse temperature, learned scalars of the
        objective, and what was measured.
    best_state : dict of str to Tensor, or None
        The weights of the best epoch.
    objective_state : dict of str to Tensor
        The state of the objective after the epoch whose weights are kept.
    """

    def __init__(
        self,
        *,
        validation: Validation | None = None,
        monitor: str = "valid_relative_rank",
        patience: int | None = None,
        keep_best: bool = False,
        snapshots: Snapshots | None = None,
        every: int | None = None,
        resume: bool = False,
    ) -> None:
        self.validation = validation
        self.monitor = monitor
        self.patience = patience
        self.keep_best = keep_best
        self.snapshots = snapshots
        self.every = every
        self.resume = resume
        self.epoch = self.batch = self.n_updates = 0
        self.records: list[dict[str, Any]] = []
        self.best_epoch = 0
        self.best_state: dict[str, torch.Tensor] | None = None
        self.objective_state: dict[str, Any] = {}
        self._sum, self._n_pairs = 0.0, 0

    @property
    def stopped(self) -> bool:
        """Whether there was no better epoch for too long."""
        if self.patience is None:
            return False
        return bool(from_first(self.epoch - self.best_epoch >= self.patience))

    def begin(self, net: ContrastiveNet) -> None:
        """Take over the last state that was kept, or make room for new ones.

        Parameters
        ----------
        net : ContrastiveNet
            Initialized.

        Raises
        ------
        ValueError
            If `monitor` will not be measured.
        TypeError
            If the state of a schedule or objective of the user could not be read back.
        SnapshotError
            If states cannot be kept, or the one to go on from not be read.

        Warns
        -----
        UserWarning
            If there is nothing to go on from where other trainings are.
        """
        if self.validation is not None:
            self.validation.check(self.monitor, net.criterion_.objective)
        if self.snapshots is None:
            return
        self.snapshots.check_readable("objective=", net.criterion_.state_dict())
        if net.schedule_ is not None:
            self.snapshots.check_readable("schedule=", net.schedule_.state_dict())
        if not world()[0]:
            self.snapshots.try_folder()
        state = self.snapshots.newest() if self.resume else None
        if state is None:
            if not world()[0]:
                self._warn_of_others(self.snapshots)
                self.snapshots.clear()
        else:
            try:
                self._restore(net, state)
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                why = f"it lacks {error}." if isinstance(error, KeyError) else str(error)[:200]
                raise SnapshotError(
                    f"The state of training in {str(self.snapshots.folder)!r} does not fit this "
                    "training, as when another version of a package wrote it: "
                    f"{why} Remove the folder to begin anew."
                ) from error
        check_same(
            "state to go on from, in a `checkpoint_dir` that all of them see (here as epochs, "
            "batches of the next, and updates)",
            (self.epoch, self.batch, self.n_updates),
        )

    def _warn_of_others(self, snapshots: Snapshots) -> None:
        others = snapshots.others() if self.resume else 0
        if others:
            warnings.warn(
                f"resume=True has nothing to go on from in {str(snapshots.folder.parent)!r}, which "
                f"holds {others} other training(s), and begins anew. It looked for "
                f"{snapshots.folder.name!r}, named by parameters, code and data: one of these is "
                "new, or differs from what it was.",
                stacklevel=2,
            )

    def end_batch(self, net: ContrastiveNet, objective: float, n_pairs: int) -> None:
        """Count an update, and keep the state if it is time.

        Parameters
        ----------
        net : ContrastiveNet
            In training.
        objective : float
            Of the batch.
        n_pairs : int
            In the batch.
        """
        self.batch += 1
        self.n_updates += 1
        self._sum += objective * n_pairs
        self._n_pairs += n_pairs
        if self.snapshots is not None and self.every and self.n_updates % self.every == 0:
            self._write(net)

    def end_epoch(self, net: ContrastiveNet) -> None:
        """Record an epoch, measure the network, and keep the state.

        Parameters
        ----------
        net : ContrastiveNet
            In training.
        """
        self.epoch += 1
        self.batch = 0
        network = net.module_ if net.average is None else net.average.network
        average_buffers(network)
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "objective": self._sum / self._n_pairs,
            **net.scalars(),
        }
        self._sum, self._n_pairs = 0.0, 0
        if self.validation is not None:
            record |= self.validation(cast(DualEncoder, network), net.criterion_.objective)
        self.records.append(record)
        better = self.validation is not None and self._is_best()
        if better:
            self.best_epoch = self.epoch
            if self.keep_best:
                self.best_state = _copied(network.state_dict())
        if better or self.best_state is None:
            self.objective_state = _objective_state(net)
        if self.snapshots is not None:
            self._write(net)

    def _is_best(self) -> bool:
        now, earlier = self.records[-1], self.records[: self.best_epoch][-1:]
        if not earlier or not earlier[0][self.monitor] < float("inf"):
            return True  # nothing, or no number, was there before
        gain = now[self.monitor] - earlier[0][self.monitor]
        return bool(gain > 0 if LARGER_IS_BETTER[self.monitor] else gain < 0)

    def _write(self, net: ContrastiveNet) -> None:
        assert self.snapshots is not None  # for the type checker
        if world()[0]:
            return  # the first process writes for all
        device = torch.device(net.device)
        state = {
            "network": net.module_.state_dict(),
            "criterion": net.criterion_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "schedule": None if net.schedule_ is None else net.schedule_.state_dict(),
            "scaler": net.scaler_.state_dict(),
            "average": None if net.average is None else net.average.state_dict(),
            "generator": torch.get_rng_state(),
            "device_generator": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "position": [self.epoch, self.batch, self.n_updates, self.best_epoch],
            "sums": [self._sum, self._n_pairs],
            "records": self.records,
            "best": self.best_state,
            "objective_state": self.objective_state,
        }
        self.snapshots.write(state, self.epoch, self.batch)

    def _restore(self, net: ContrastiveNet, state: dict[str, Any]) -> None:
        net.module_.load_state_dict(state["network"])
        net.criterion_.load_state_dict(state["criterion"])
        net.optimizer_.load_state_dict(state["optimizer"])
        if net.schedule_ is not None:
            net.schedule_.load_state_dict(state["schedule"])
        net.scaler_.load_state_dict(state["scaler"])
        if net.average is not None:
            net.average.load_state_dict(state["average"])
        if not world()[0]:
            torch.set_rng_state(state["generator"])
            device = torch.device(net.device)
            # Both may differ from where the state was written: the device is not in its name.
            if state["device_generator"] is not None and device.type == "cuda":
                torch.cuda.set_rng_state(state["device_generator"], device)
        self.epoch, self.batch, self.n_updates, self.best_epoch = state["position"]
        self._sum, self._n_pairs = state["sums"]
        self.records = list(state["records"])
        self.best_state = state["best"]
        self.objective_state = state["objective_state"]


def _objective_state(net: ContrastiveNet) -> dict[str, torch.Tensor]:
    """The tensors of an objective that is a module; a user's may have a state beside them."""
    objective = getattr(net.criterion_, "objective", None)
    state = objective.state_dict() if isinstance(objective, torch.nn.Module) else {}
    return _copied({name: part for name, part in state.items() if isinstance(part, torch.Tensor)})


def _copied(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}
