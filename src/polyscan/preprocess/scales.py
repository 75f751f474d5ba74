"""What bundles do about resolution before a network reads: smooth what becomes coarser, pack what is coarser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms import Transform

from polyscan.preprocess.grids import coarser
from polyscan.preprocess.resample import anti_alias, resample


class AntiAliasd(Transform):
    """Smooth images before a coarser spacing is taken; see :func:`polyscan.preprocess.resample.anti_alias`.

    For bundles, in front of MONAI's ``Spacingd``, which does not do so itself.

    Args:
        keys: images (channel, x, y, z).
        spacing: that follows, in millimetres along the images' axes.
    """

    def __init__(self, keys: str | Sequence[str], spacing: Sequence[float]) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)
        self.spacing = list(spacing)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        return {**data, **{key: anti_alias(data[key], self.spacing) for key in self.keys}}


class PackScalesd(Transform):
    """Pack scans of their own resolution into the finest grid; see :class:`polyscan.networks.PackedScales`.

    A scan that enters at level k is brought, with one interpolation, to the image's grid with voxels 2^k times as
    large; each of those then stands 2^k times along each axis.

    Args:
        keys: images (modality, x, y, z) with one channel filled; beside each, under ``<key>_scans``, each other
            modality to the scan on its own grid, which is taken out.
        modalities: order of the channels.
        enters: modality to its level.
    """

    def __init__(self, keys: str | Sequence[str], modalities: Sequence[str], enters: Mapping[str, int]) -> None:
        self.keys = [keys] if isinstance(keys, str) else list(keys)
        self.modalities = list(modalities)
        self.enters = dict(enters)

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        out = dict(data)
        for key in self.keys:
            image = out[key].clone()
            for name, scan in out.pop(f"{key}_scans").items():
                factor = 2 ** self.enters[name]
                values = resample(scan, coarser(image, factor)).as_tensor()
                for axis in (1, 2, 3):
                    values = values.repeat_interleave(factor, axis)
                image[self.modalities.index(name)] = values[0, : image.shape[1], : image.shape[2], : image.shape[3]]
            out[key] = image
        return out
