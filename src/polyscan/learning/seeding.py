"""Chance that depends on the epoch alone, so that a training that is resumed draws what it would have drawn."""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.utils import set_determinism


class SeedEachEpoch:
    """Seed everything that draws (the order of studies, transforms, dropout) from seed, process and epoch.

    Args:
        seed: of the training.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Attach to a ``monai.engines.Trainer``."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        (seed,) = np.random.SeedSequence([self.seed, idist.get_rank(), engine.state.epoch]).generate_state(1)
        set_determinism(seed=int(seed))
        set_rnd(engine.data_loader.dataset, seed=int(seed))
