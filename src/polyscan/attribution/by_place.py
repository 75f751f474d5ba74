"""Where in the scans an answer comes from, by a method that is named: of a class, or of a region that was segmented."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from polyscan.attribution.grad_cam import grad_cam
from polyscan.attribution.integrated_gradients import integrated_gradients
from polyscan.attribution.occlusion import occlusion
from polyscan.attribution.target import Target
from polyscan.errors import PolyscanError
from polyscan.networks import FusionModel

Method = Callable[..., Tensor]
"""``method(network, image, target, inputs)`` gives (1, modality, *spatial)."""

METHODS: Mapping[str, Method] = {
    "gradcam": grad_cam,
    "occlusion": occlusion,
    "integrated-gradients": integrated_gradients,
}

_ALIGNED = 8  # windows begin at multiples of it, so that those of a coarser scan begin with whole voxels
_LEAST = 0.05


def find_method(name: str) -> Method:
    """A method by its name; ``gradcam:1`` is Grad-CAM of the features of level 1.

    Raises:
        PolyscanError: there is none of this name.
    """
    base, colon, level = name.partition(":")
    if base not in METHODS or (colon and not (base == "gradcam" and level.isdigit())):
        raise PolyscanError(
            f"There is no method of attribution {name!r}; there are {', '.join(METHODS)}, and gradcam:1 for the "
            "features of level 1."
        )
    return partial(grad_cam, level=int(level)) if colon else METHODS[base]


def explain_region(
    network: FusionModel,
    image: Tensor,
    method: Method,
    channel: int,
    region: Tensor,
    roi_size: Sequence[int],
    inputs: Sequence[Tensor] = (),
) -> Tensor:
    """Where a segmented region comes from: its target is the mean logit over the voxels that were predicted.

    A network of sliding windows is asked in as few windows as see the region, each about the middle of what it
    explains, each voxel by one. What would take a window more for less than a twentieth of the region is left out.

    Args:
        network: segments.
        image: one study, (1, modality, *spatial), NaN where nothing was measured.
        method: see :func:`find_method`.
        channel: of the logits, the region's.
        region: (*spatial) bool: what was predicted; one voxel at least.
        roi_size: of a window in voxels.
        inputs: what the network takes behind the image.

    Returns:
        (1, modality, *spatial), the sum over windows; 0 outside them.
    """
    extent = image.shape[2:]
    # Behind the last whole step of a window NaN follows, as in MONAI's sliding windows.
    whole = [r + -(-max(n - r, 0) // _ALIGNED) * _ALIGNED for n, r in zip(extent, roi_size, strict=True)]
    pad = [p for n, w in zip(reversed(extent), reversed(whole), strict=True) for p in (0, w - n)]
    padded = functional.pad(torch.as_tensor(image), pad, value=torch.nan)
    found = torch.zeros(1, len(network.modalities), *whole, device=image.device)
    for window, explained in _windows(functional.pad(region, pad), roi_size):
        target, seen = Target(channel, explained / region.sum()), (slice(None), slice(None), *window)
        found[seen] += method(network, padded[seen], target, inputs)
    inside = (slice(None), slice(None), *(slice(n) for n in extent))
    return found[inside]


def share_of_modalities(maps: Tensor) -> Tensor | None:
    """Each modality's part of the sum of absolute values of (modality, *spatial); None where all are 0."""
    each = maps.abs().flatten(1).sum(1)
    total = each.sum()
    return each / total if float(total) > 0 else None


def _windows(region: Tensor, roi_size: Sequence[int]) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
    """Windows and which of a region's voxels (roi_size) each explains, those that hold the most of it first."""
    left, total = region.clone(), int(region.sum())
    while True:
        window = _about_the_most(left, roi_size)
        inside = left[window].clone()
        if int(inside.sum()) < max(_LEAST * total, 1):
            return
        yield window, inside
        left[window] = False


def _about_the_most(region: Tensor, roi_size: Sequence[int]) -> tuple[slice, ...]:
    """The window that holds most voxels, moved so that they are in its middle."""
    counts = region.to(torch.float32)
    for axis, extent in enumerate(roi_size):
        total = functional.pad(counts.cumsum(axis).movedim(axis, -1), (1, 0))
        counts = (total[..., extent:] - total[..., : total.shape[-1] - extent]).movedim(-1, axis)
    start = torch.stack(torch.unravel_index(counts.argmax(), counts.shape))
    window = tuple(slice(int(s), int(s) + r) for s, r in zip(start, roi_size, strict=True))
    inside = region[window].nonzero().float()
    if not len(inside):
        return window
    middle = start + (inside.amin(0) + inside.amax(0) + 1).cpu() / 2
    places = [
        min(max(round(float(c)) - r // 2, 0), n - r) // _ALIGNED * _ALIGNED
        for c, r, n in zip(middle, roi_size, region.shape, strict=True)
    ]
    return tuple(slice(p, p + r) for p, r in zip(places, roi_size, strict=True))
