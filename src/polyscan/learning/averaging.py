"""Averaged weights: what is validated and kept is a running mean of the weights that are trained."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class AveragedWeights(AveragedModel):
    """An exponential moving average of a network's weights, in ``module``, which is never trained itself.

    After step n, averaged = d averaged + (1 - d) weights with d = min(decay, (1 + n) / (10 + n)), so that a short
    training is not averaged with its beginning (Polyak and Juditsky, SIAM J. Control Optim. 30, 1992; the warm-up is
    TensorFlow's). Buffers, such as the statistics of batch norm, are those of the network.

    Args:
        network: whose weights are averaged.
        decay: d after the warm-up; 0 for no average: the weights as they are.

    Raises:
        ValueError: ``decay`` is not from 0 up to and without 1.
    """

    def __init__(self, network: nn.Module, decay: float = 0.99) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; expected 0 <= decay < 1.")

        def average(averaged: Any, current: Any, count: Tensor | int) -> None:
            n = float(count)
            torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

        super().__init__(network, multi_avg_fn=average)
        self.module.requires_grad_(False).eval()


class AverageHandler:
    """Average the weights after every step of a ``monai.engines.SupervisedTrainer``.

    Args:
        averaged: takes the average.
        network: gives the weights.
    """

    def __init__(self, averaged: AveragedWeights, network: nn.Module) -> None:
        self.averaged = averaged
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        self.averaged.update_parameters(self.network)
