"""Train on studies as they come: with modalities missing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import RandomizableTransform

from polyscan.transforms.each_key import EachKeyTransform


class RandModalityDropoutd(RandomizableTransform, EachKeyTransform):
    """Make each modality of a study absent with a probability of its own draw; one that is there is always kept.

    ModDrop (Neverova et al., TPAMI 2016) with absence as NaN, so that the network sees the same thing as
    for a modality that was not acquired. If every modality were dropped, one of them drawn evenly is kept.

    Args:
        keys: images (modality, *spatial) whose absent channels are NaN.
        prob: probability that a modality is dropped; one, or one a modality, such as the rates at which they are
            missing in the data (:func:`polyscan.bundle.missing_rates`).
        channels: that each modality has, as three of a colour picture.
        allow_missing_keys: as in MONAI.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float | Sequence[float] = 0.3,
        *,
        channels: int = 1,
        allow_missing_keys: bool = False,
    ) -> None:
        EachKeyTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not all(0 <= p < 1 for p in ([prob] if isinstance(prob, int | float) else prob)):
            raise ValueError(f"prob is {prob}; expected 0 <= prob < 1.")
        self.drop = prob
        self.channels = channels

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        image = data[key].clone()
        each = image.as_tensor() if isinstance(image, MetaTensor) else image
        each = each.view(-1, self.channels, *image.shape[1:])
        rates = [self.drop] * len(each) if isinstance(self.drop, int | float) else list(self.drop)
        if len(rates) != len(each):
            raise ValueError(f"prob has {len(rates)} rates; expected one for each of {len(each)} modalities.")
        present = torch.nonzero(torch.isfinite(each).flatten(1).any(1)).flatten().tolist()
        dropped = [m for m in present if self.R.random() < rates[m]]
        if dropped == present and present:
            dropped.remove(present[self.R.randint(len(present))])
        each[dropped] = float("nan")
        data[key] = image
