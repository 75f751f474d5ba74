"""Weights and checkpoints on disk: the best, the last, and all that a training needs to go on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from torch import nn

from polyscan.errors import PolyscanError
from polyscan.files.atomic import atomic_write
from polyscan.files.names import BEST
from polyscan.learning.validation import every, key_metric

LAST, CHECKPOINT = "last.pt", "checkpoint.pt"


class BestWeights(Checkpoint):
    """Keep in ``model.pt`` the weights of the validation with the highest key metric; of equal ones, the later.

    Args:
        network: what is validated.
        folder: to write to.
    """

    def __init__(self, network: nn.Module, folder: str | Path) -> None:
        super().__init__(
            {"model": network},
            lambda content, name, _: save_whole(content, Path(folder) / name),
            score_function=key_metric,
            filename_pattern=BEST,
            greater_or_equal=True,
        )

    def attach(self, engine: Engine) -> None:
        """Attach to a validator."""
        engine.add_event_handler(Events.COMPLETED, self)


class TrainingCheckpoint:
    """Write, every so many epochs and after the last, ``checkpoint.pt`` to go on from, and ``last.pt``, the weights.

    Args:
        folder: to write to, and to read from.
        network: the weights of ``last.pt``.
        objects: name to what has a state beside the trainer: what is trained, its average, optimizer, schedule,
            whatever handlers remember. A handler whose state is needed stands in the trainer's list itself.
        interval: epochs from one checkpoint to the next.
        resume: whether to go on from a checkpoint that is there.
    """

    def __init__(
        self, folder: str | Path, network: nn.Module, objects: Mapping[str, Any], interval: int, resume: bool
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.objects = dict(objects)
        self.interval = interval
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer, behind all handlers whose states are kept."""
        engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=every(self.interval)), self.save)
        engine.add_event_handler(Events.TERMINATE, self.save)

    def save(self, engine: Any) -> None:
        """Write both files, whole or not at all."""
        state = {name: held.state_dict() for name, held in self._objects(engine).items()}
        progress = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "finished": engine.should_terminate or engine.state.epoch == engine.state.max_epochs,
        }
        save_whole(self.network.state_dict(), self.folder / LAST)
        save_whole({**state, "progress": progress}, self.folder / CHECKPOINT)

    def load(self, engine: Any) -> None:
        """Take up what was written; a training that had ended is ended at once."""
        path = self.folder / CHECKPOINT
        if not (self.resume and path.is_file()):
            return
        found = torch.load(path, map_location="cpu", weights_only=True)
        for name, held in self._objects(engine).items():
            held.load_state_dict(found[name])
        engine.state.epoch, engine.state.iteration = (found["progress"][name] for name in ("epoch", "iteration"))
        if found["progress"]["finished"]:
            engine.terminate()

    def _objects(self, engine: Any) -> dict[str, Any]:
        return self.objects if engine.scaler is None else {**self.objects, "scaler": engine.scaler}


def save_whole(content: Any, path: Path) -> None:
    """Write weights or a checkpoint, see :func:`write_whole`; of several processes the first one does."""
    if idist.get_rank() == 0:
        write_whole(content, path)


def write_whole(content: Any, path: Path) -> None:
    """Write what ``torch.load`` reads, whole or not at all.

    Raises:
        PolyscanError: it cannot be written, as on a full disk; what was there before is there still.
    """
    try:
        with atomic_write(path) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # torch's writer raises a RuntimeError of its own
        why = getattr(error, "strerror", None) or "its disk may be full"
        raise PolyscanError(
            f"{path} could not be written ({why}); make room there and give the same command again to go on."
        ) from error
