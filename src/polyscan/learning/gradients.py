"""Gradients that cannot throw the weights away."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import nn
from torch.nn.utils import clip_grad_norm_


class ClipGradients:
    """Scale the gradient of all weights down to a norm, before each step of a ``monai.engines.SupervisedTrainer``.

    Pascanu et al., On the difficulty of training recurrent neural networks, ICML 2013, algorithm 1. Where gradients of
    several batches are added up (``accumulation_steps``), their sum is clipped.

    Args:
        network: whose gradients they are.
        max_norm: the greatest Euclidean norm.
    """

    def __init__(self, network: nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Clip, where a step follows."""
        if not steps_now(engine):
            return
        if engine.scaler is not None:  # mixed precision: the norm is that of the gradients themselves
            engine.scaler.unscale_(engine.optimizer)
        clip_grad_norm_(self.network.parameters(), self.max_norm)


def steps_now(engine: Any) -> bool:
    """Whether a ``SupervisedTrainer`` makes a step of its optimizer in this iteration, or only adds gradients up."""
    done = (engine.state.iteration - 1) % engine.state.epoch_length + 1
    return done % engine.accumulation_steps == 0 or done == engine.state.epoch_length
