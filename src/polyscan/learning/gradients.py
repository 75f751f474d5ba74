"""Gradients that cannot throw the weights away."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import nn
from torch.nn.utils import clip_grad_norm_

from polyscan.errors import PolyscanError

LIMIT = 50
"""Steps in a row without a finite gradient, after which training has gone wrong."""


class ClipGradients:
    """Scale the gradient of all weights down to a norm, before each step of a ``monai.engines.SupervisedTrainer``.

    Pascanu et al., On the difficulty of training recurrent neural networks, ICML 2013, algorithm 1. Where gradients of
    several batches are added up (``accumulation_steps``), their sum is clipped. A step whose gradient is not finite, as
    one in many of bfloat16 may be, is left out, as :class:`torch.amp.GradScaler` does.

    Args:
        network: whose gradients they are.
        max_norm: the greatest Euclidean norm.

    Raises:
        PolyscanError: no gradient was finite for :data:`LIMIT` steps.
    """

    def __init__(self, network: nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm
        self.left_out = 0

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Clip, where a step follows."""
        if not steps_now(engine):
            return
        if engine.scaler is not None:  # mixed precision: the norm is that of the gradients themselves
            engine.scaler.unscale_(engine.optimizer)
        finite = bool(clip_grad_norm_(self.network.parameters(), self.max_norm).isfinite())
        self.left_out = 0 if finite else self.left_out + 1
        if self.left_out == LIMIT:
            raise PolyscanError(
                f"no gradient was finite in the last {LIMIT} steps; lower learning_rate, or look for scans with values "
                "that are far from all others."
            )
        if not finite:
            engine.optimizer.zero_grad(set_to_none=True)


def steps_now(engine: Any) -> bool:
    """Whether a ``SupervisedTrainer`` makes a step of its optimizer in this iteration, or only adds gradients up."""
    done = (engine.state.iteration - 1) % engine.state.epoch_length + 1
    return done % engine.accumulation_steps == 0 or done == engine.state.epoch_length
