"""What a training tells of itself: a row an epoch, and the curves of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from matplotlib.figure import Figure
from monai.engines import Evaluator

from polyscan.files.atomic import atomic_write
from polyscan.files.names import CURVES
from polyscan.files.tables import write_rows

TABLE = "training.csv"
PACE, WAITED = "studies_per_second", "waited"
_COURSE = ("epoch", "seconds", PACE, WAITED, "learning_rate")  # what is no metric


class History:
    """Write ``training.csv``, a row an epoch; ``training.png`` at the end.

    A row has seconds, studies a second of all processes, the share of the time in which the network had no batch to
    work on (studies were read and augmented), learning rate, losses, and metrics, those of validation empty in an epoch
    that was not validated.

    Args:
        folder: to write to.
        validator: whose metrics stand beside the trainer's.
    """

    def __init__(self, folder: str | Path, validator: Evaluator) -> None:
        self.folder = Path(folder)
        self.validator = validator
        self.rows: list[dict[str, float]] = []
        self._begun = self._worked = 0.0

    def attach(self, engine: Engine) -> None:
        """Attach to a ``monai.engines.SupervisedTrainer``, behind what validates."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.draw)

    def _begin(self, engine: Engine) -> None:
        self._begun = time.perf_counter()

    def _end(self, engine: Engine) -> None:
        self._worked += time.perf_counter() - self._begun

    def __call__(self, engine: Any) -> None:
        seconds, worked = float(engine.state.times["EPOCH_COMPLETED"]), self._worked
        self._worked = 0.0
        row = {
            "epoch": engine.state.epoch,
            "seconds": round(seconds, 3),
            PACE: round(len(engine.data_loader.dataset) / seconds, 3),
            WAITED: round(1 - min(worked / seconds, 1.0), 3),
            "learning_rate": float(engine.optimizer.param_groups[0]["lr"]),
            **{name: float(value) for name, value in engine.state.metrics.items()},
        }
        if self.validator.state.epoch == engine.state.epoch:
            row.update({name: float(value) for name, value in self.validator.state.metrics.items()})
        self.rows.append(row)
        if idist.get_rank() == 0:
            write_rows(self.folder / TABLE, self.rows)

    def draw(self, engine: Engine) -> None:
        """Draw the curves."""
        if idist.get_rank() == 0 and self.rows:
            draw_curves(self.rows, self.folder / CURVES)

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the rows of :meth:`state_dict`."""
        self.rows = list(state["rows"])


def draw_curves(rows: list[dict[str, float]], path: Path) -> None:
    """Draw losses, the rest that was measured, and the learning rate, over epochs."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    losses = [name for name in columns if name.startswith("loss/")]
    metrics = [name for name in columns if name not in losses and name not in _COURSE]
    figure = Figure(figsize=(12, 3.2))
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.15, top=0.9)
    for axis, title, names in zip(
        figure.subplots(1, 3),
        ("loss", "metric", "learning rate"),
        (losses, metrics, ["learning_rate"]),
        strict=True,
    ):
        for name in names:
            known = [(row["epoch"], row[name]) for row in rows if name in row]
            axis.plot(*zip(*known, strict=True), ".-", label=name.removeprefix("loss/"))
        axis.set(title=title, xlabel="epoch")
        if len(names) > 1:
            axis.legend(fontsize="small")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=80)
