"""One way to go over an image that is larger than what a network reads at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer


class WindowInferer(Inferer):
    """Windows that overlap, with Gaussian weights and NaN beyond the image; MONAI's inferers.

    Args:
        roi_size: voxels of a window. Three for a network of volumes, -1 for a whole edge; two for a network of slices,
            which reads those across the last axis of the volume one by one.
        overlap: part of a window that the next one covers too, or one part an axis.
    """

    def __init__(self, roi_size: Sequence[int], overlap: float | Sequence[float] = 0.25) -> None:
        super().__init__()
        options: dict[str, Any] = {"overlap": overlap, "mode": "gaussian", "cval": float("nan")}
        self.windows: SlidingWindowInferer = (
            SliceInferer(roi_size=tuple(roi_size), spatial_dim=2, sw_batch_size=16, **options)
            if len(roi_size) == 2
            else SlidingWindowInferer(roi_size, sw_batch_size=2, **options)
        )

    def __call__(self, inputs: Any, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``network`` gives for an image (1, modality, x, y, z), put together."""
        return self.windows(inputs, network, *args, **kwargs)
