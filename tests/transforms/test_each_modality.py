"""Each modality is varied by itself; what was not measured stays so and counts for nothing."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import (
    RandAdjustContrast,
    RandGaussianNoise,
    RandGaussianSmooth,
    RandScaleIntensityFixedMean,
    RandShiftIntensity,
    RandSimulateLowResolution,
)

from polyscan.transforms import RandEachModalityd

EACH = [
    RandGaussianNoise(prob=1.0, std=0.5),
    RandGaussianSmooth(prob=1.0),
    RandAdjustContrast(prob=1.0, gamma=(0.5, 0.6), retain_stats=True),
    RandAdjustContrast(prob=1.0, gamma=(0.5, 0.6), invert_image=True),
    RandScaleIntensityFixedMean(prob=1.0, factors=(0.5, 0.6), preserve_range=True),
    RandSimulateLowResolution(prob=1.0, zoom_range=(0.4, 0.5)),
]


@pytest.mark.parametrize("transform", EACH, ids=lambda t: type(t).__name__)
def test_what_was_not_measured_stays_so(transform):
    torch.manual_seed(0)
    image = torch.randn(3, 8, 10, 9)
    image[0, :3] = torch.nan
    image[1] = torch.nan
    made = RandEachModalityd("image", [transform]).set_random_state(0)({"image": image})["image"]
    assert torch.equal(made.isnan(), image.isnan())
    known = image.isfinite()
    assert not torch.allclose(made[known], image[known])


def test_modalities_draw_apart_and_the_same_seed_draws_the_same():
    image = torch.rand(1, 6, 6, 6).repeat(2, 1, 1, 1)
    make = RandEachModalityd("image", [RandAdjustContrast(prob=1.0, gamma=(0.5, 2))])
    first, again = (make.set_random_state(3)({"image": image})["image"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], first[1])


def test_the_channels_of_a_picture_stay_together():
    image = torch.rand(1, 6, 6).repeat(6, 1, 1)
    make = RandEachModalityd("image", [RandScaleIntensityFixedMean(prob=1.0, factors=0.9)], channels=3)
    made = make.set_random_state(1)({"image": image})["image"]
    assert torch.allclose(made[0], made[2])
    assert not torch.allclose(made[0], made[3])


def test_channels_whose_values_have_a_unit_are_left_alone_where_modalities_are_named():
    image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    shift = [RandShiftIntensity(offsets=(0.5, 0.6), prob=1.0)]
    out = RandEachModalityd("image", shift, modalities=["CT", "T1c@2", "PET"])({"image": image})["image"]
    assert [bool(changed) for changed in (out != image).flatten(1).any(1)] == [False, True, False]
