"""What another scanner would have made of a patient: training transforms with ranges from physics."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import RandBiasField, RandomizableTransform
from scipy.ndimage import gaussian_filter

from polyscan.geometry import TO_SIGMA
from polyscan.modality import calibrated_channels
from polyscan.transforms.each_key import EachKeyTransform


class RandScannerd(EachKeyTransform, RandomizableTransform):
    """Vary point spread, gain, contrast, bias field and noise of each image as scanners do.

    Defaults: the reconstructed point spread of clinical MRI is 1 to 2 voxels, so that up to 1.5 voxels of full width at
    half maximum come on top; gain and contrast of MRI differ by some 10 to 20 % between vendors; a 3 T coil shades a
    head by up to 30 %; noise is Rician at signal-to-noise ratios from 15. Modalities whose values have a unit, HU and
    SUV, are calibrated: their gain, contrast and bias are left alone, and their noise is Gaussian.

    Args:
        keys: images (1 or more channels, spatial...), each channel varied by itself; NaN stays NaN and counts for
            nothing.
        modalities: order of the channels; none is calibrated where not given.
        prob: of each variation, of each image.
        point_spread: greatest further full width at half maximum, in voxels.
        gain: greatest relative change of scale.
        contrast: greatest change of the exponent of a power law over the image's range.
        bias: greatest coefficient of the cubic bias field.
        noise: greatest standard deviation, as a part of the channel's own.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str] = (),
        prob: float = 0.3,
        point_spread: float = 1.5,
        gain: float = 0.2,
        contrast: float = 0.2,
        bias: float = 0.15,
        noise: float = 0.07,
    ) -> None:
        EachKeyTransform.__init__(self, keys, allow_missing_keys=True)
        RandomizableTransform.__init__(self, prob)
        self.calibrated = calibrated_channels(modalities)
        self.point_spread, self.gain, self.contrast, self.noise = point_spread, gain, contrast, noise
        self._bias = RandBiasField(prob=1.0, coeff_range=(0.0, bias))

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandScannerd:
        """Make what follows repeatable."""
        super().set_random_state(seed, state)
        self._bias.set_random_state(seed, state)
        return self

    def apply(self, data: dict[Hashable, Any], key: Hashable) -> None:
        image = data[key]
        values = torch.as_tensor(np.asarray(image, dtype=np.float32)).clone()
        for m, channel in enumerate(values):
            known, chance = torch.isfinite(channel), self.R.random_sample(5) < self.prob
            if known.any() and chance.any():
                filled = torch.where(known, channel, channel[known].min())
                varied = self._vary(filled, known, m in self.calibrated, chance)
                channel[known] = varied[known]
        changed = image.clone() if isinstance(image, torch.Tensor) else values
        changed[...] = values
        data[key] = changed

    def _vary(self, values: torch.Tensor, known: torch.Tensor, calibrated: bool, chance: np.ndarray) -> torch.Tensor:
        """One channel (*spatial) by the variations that were drawn; unknown voxels are filled and count for nothing."""
        positive = bool(values.min() >= 0)
        if chance[0]:
            sigma = self.R.uniform(0, self.point_spread) * TO_SIGMA
            total, weight = (
                torch.from_numpy(gaussian_filter(each.numpy(), sigma)) for each in (values * known, known.float())
            )
            values = torch.where(known, total / weight.clamp(min=1e-6), values)
        low, high = float(values[known].min()), float(values[known].max())
        if not calibrated:
            if chance[1] and high > low:
                exponent = float(np.exp(self.R.uniform(-self.contrast, self.contrast)))
                values = ((values - low) / (high - low)).clamp(min=0) ** exponent * (high - low) + low
            if chance[2]:
                # About the darkest value, which is air: a z-score has no zero of its own.
                values = low + (values - low) * float(np.exp(self.R.uniform(-self.gain, self.gain)))
            if chance[3]:
                values = low + torch.as_tensor(np.asarray(self._bias((values - low)[None])))[0]
        if chance[4]:
            deviation = float(values[known].std(correction=0)) * self.R.uniform(0, self.noise)
            first, second = (
                torch.as_tensor(self.R.normal(0, deviation, values.shape).astype(np.float32)) for _ in "ab"
            )
            if calibrated:
                values = values + first
                # SUV is an activity; HU, which lie below 0, are left as they come.
                values = values.clamp(min=0) if positive else values
            else:
                values = ((values - low + first) ** 2 + second**2).sqrt() + low
        return values
