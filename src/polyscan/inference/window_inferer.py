"""One way to go over an image that is larger than what a network reads at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer
from torch import Tensor

_MOST, _ON_CPU = 16, 2  # windows at once; a CPU takes no less time for each of more volumes


class WindowInferer(Inferer):
    """Windows that overlap, with Gaussian weights and NaN beyond the image; MONAI's inferers.

    A GPU reads 16 windows at once, or as many as its free memory holds: half as many whenever that does not suffice.

    Args:
        roi_size: voxels of a window. Three for a network of volumes, -1 for a whole edge; two for a network of slices,
            which reads those across the last axis of the volume one by one.
        overlap: part of a window that the next one covers too, or one part an axis.

    Attributes:
        at_once: the most windows that the network is given, one where even that is too much.
    """

    def __init__(self, roi_size: Sequence[int], overlap: float | Sequence[float] = 0.25) -> None:
        super().__init__()
        options: dict[str, Any] = {"overlap": overlap, "mode": "gaussian", "cval": float("nan")}
        self.windows: SlidingWindowInferer = (
            SliceInferer(roi_size=tuple(roi_size), spatial_dim=2, **options)
            if len(roi_size) == 2
            else SlidingWindowInferer(roi_size, **options)
        )
        self.at_once, self._on_cpu = _MOST, _MOST if len(roi_size) == 2 else _ON_CPU

    def __call__(self, inputs: Any, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``network`` gives for an image (1, modality, x, y, z), put together."""
        self.windows.sw_batch_size = _MOST if inputs.is_cuda else self._on_cpu

        def as_many_as_fit(windows: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            answers = []
            while len(windows):
                try:
                    answers.append(network(windows[: self.at_once], *args, **kwargs))
                except torch.cuda.OutOfMemoryError:
                    if self.at_once == 1:
                        raise
                    self.at_once = max(1, min(self.at_once, len(windows)) // 2)
                else:
                    windows = windows[self.at_once :]
            return torch.cat(answers)

        return self.windows(inputs, as_many_as_fit, *args, **kwargs)
