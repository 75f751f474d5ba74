"""The precision that a step of training computes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor


def computes_bfloat16() -> bool:
    """Whether oneDNN computes bfloat16 on this CPU, as it does with AVX512 and with ARM's instructions for it."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class PrecisionInferer(Inferer):
    """Run the network of a training step, on a CPU in bfloat16 where that is asked for and the CPU computes it.

    Weights, gradients and the loss stay float32, as under any autocast. A CPU with AVX512-BF16 takes a 2D U-Net there
    and back in 0.5 to 0.65 of the time, one with AVX2 alone in several times as long: that computes in float32. A GPU
    is not changed: MONAI's ``amp`` rules there.

    Args:
        bfloat16: whether a CPU that can computes convolutions and products of matrices in bfloat16.
    """

    def __init__(self, bfloat16: bool = False) -> None:
        self.bfloat16 = bfloat16 and computes_bfloat16()

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        """Logits, float32 on a CPU, and the losses that the network gives beside them."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            logits, losses = network(inputs, *args, **kwargs)
        return logits.float() if self.bfloat16 else logits, losses
