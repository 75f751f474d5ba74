"""When a training is validated, and when that ends it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import Evaluator
from monai.handlers import ValidationHandler
from torch import Tensor


class Validate(ValidationHandler):
    """Run a validator every so many epochs and after the last one; stop where it finds nothing better any more.

    Args:
        interval: epochs from one validation to the next.
        validator: its key metric is what is to rise.
        patience: validations without a better one after which training ends.
    """

    def __init__(self, interval: int, validator: Evaluator, patience: int) -> None:
        super().__init__(interval, validator)
        self.evaluator = validator
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        self.stopping = EarlyStopping(self.patience, key_metric, engine)
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, leave_undefined)
        engine.add_event_handler(Events.EPOCH_COMPLETED(event_filter=every(self.interval)), self)

    def __call__(self, engine: Engine) -> None:
        """Validate, and end the training where patience has."""
        super().__call__(engine)
        self.stopping(self.evaluator)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs: the best metric, and how many validations did not reach it."""
        return dict(self.stopping.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up :meth:`state_dict`."""
        self.stopping.load_state_dict(state)


def every(interval: int) -> Callable[[Engine, int], bool]:
    """An event filter of ignite: each ``interval``-th epoch, and the last."""
    return lambda engine, epoch: epoch % interval == 0 or epoch == engine.state.max_epochs


def leave_undefined(engine: Engine) -> None:
    """Make a metric that no study has NaN, where MONAI's mean of none is 0: the Dice where every mask is empty."""
    for name, of_each in getattr(engine.state, "metric_details", {}).items():
        if isinstance(of_each, Tensor) and of_each.isnan().all():
            engine.state.metrics[name] = math.nan


def key_metric(validator: Any) -> float:
    """The key metric that a validator found; where it is not defined (NaN), less than any."""
    value = float(validator.state.metrics[validator.state.key_metric_name])
    return -math.inf if math.isnan(value) else value
