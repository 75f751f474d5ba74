"""Occlusion for each modality by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from monai.data.utils import dense_patch_slices
from monai.networks.utils import eval_mode
from torch import Tensor

from polyscan.attribution.by_modality import where_measured
from polyscan.attribution.target import Target
from polyscan.networks import CachedFeatures, FusionModel


def occlusion(
    network: FusionModel,
    image: Tensor,
    target: Target,
    inputs: Sequence[Tensor] = (),
    *,
    size: Sequence[int] | None = None,
    overlap: float = 0.5,
    batch_size: int = 8,
) -> Tensor:
    """By how much the target falls when a box of one modality is hidden, the others staying as they are.

    Zeiler and Fergus, ECCV 2014 (occlusion sensitivity), with the boxes and values of MONAI's ``OcclusionSensitivity``.
    Hidden is what the network reads where nothing was measured: 0. A box where it reads 0 anyway is not asked about;
    for the others the modality that is hidden is encoded alone, and the features of the rest are kept.

    Args:
        network: any.
        image: one study, (1, modality, *spatial), NaN where nothing was measured.
        target: what is explained.
        inputs: what the network takes behind the image.
        size: of the box in voxels; a quarter of the image along each axis where not given.
        overlap: of neighbouring boxes; a voxel has the mean of those that hide it.
        batch_size: boxes at a time.

    Returns:
        (1, modality, *spatial): above 0 what speaks for the target; 0 where nothing was measured.
    """
    extent = list(image.shape[2:])
    box = [max(n // 4, 1) for n in extent] if size is None else [min(b, n) for b, n in zip(size, extent, strict=True)]
    steps = [max(int(b * (1 - overlap)), 1) for b in box]
    boxes = [(slice(None), *place) for place in dense_patch_slices(extent, box, steps)]
    counts = image.new_zeros(1, *extent)
    for place in boxes:
        counts[place] += 1
    falls = image.new_zeros(len(network.modalities), *extent)
    with eval_mode(network):
        study = _Study(network, image, target, inputs)
        for m in range(len(network.modalities)):
            read = image[0, study.channels(m)].nan_to_num(0.0)
            shown = [place for place in boxes if bool(read[place].any())]
            for start in range(0, len(shown), batch_size):
                some = shown[start : start + batch_size]
                for place, difference in zip(some, study.falls(m, some), strict=True):
                    falls[m : m + 1][place] += difference
    return where_measured((falls / counts)[None], image, network)


class _Study:
    """A study that is encoded once, and asked with boxes of one modality hidden."""

    def __init__(self, network: FusionModel, image: Tensor, target: Target, inputs: Sequence[Tensor]) -> None:
        self.encoded, self.image, self.target = CachedFeatures.of(network, image, inputs), image, target
        self.whole = target(self.encoded.logits(self.encoded.available))

    def channels(self, modality: int) -> slice:
        """Of the image, those that belong to a modality."""
        count = self.image.shape[1] // len(self.encoded.network.modalities)
        return slice(modality * count, (modality + 1) * count)

    def falls(self, modality: int, boxes: Sequence[tuple[slice, ...]]) -> Tensor:
        """By how much the target falls with each of some boxes of (channel, *spatial) hidden, (box,)."""
        own = self.channels(modality)
        image = torch.full_like(self.image, torch.nan).repeat(len(boxes), *[1] * (self.image.dim() - 1))
        image[:, own] = self.image[:, own]
        for row, box in enumerate(boxes):
            image[row, own][box] *= 0.0  # NaN stays NaN
        changed, _ = self.encoded.network.encode(image)
        whole = self.encoded.repeated(len(boxes))
        features = [level.clone() for level in whole.features]
        for level, new in zip(features, changed, strict=True):
            level[:, modality] = new[:, modality]
        return self.whole - self.target(replace(whole, features=features).logits(whole.available))
