"""Training reads plain tensors, and the same ones as with MONAI's record of each transform."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor, get_track_meta
from monai.transforms import Compose, RandAffined, RandFlipd, RandSpatialCropSamplesd

from polyscan.transforms import ComposeWithoutMetadata

RANDOM = [
    RandSpatialCropSamplesd("image", roi_size=[6, 6, 6], num_samples=2, random_size=False),
    RandFlipd("image", prob=0.5),
    RandAffined("image", prob=1.0, rotate_range=0.4, padding_mode="border"),
]


def test_the_same_values_are_drawn_on_plain_tensors():
    item = {"image": MetaTensor(torch.rand(1, 9, 9, 9)), "study": "anna"}
    tracked, plain = (kind(RANDOM).set_random_state(3)(item) for kind in (Compose, ComposeWithoutMetadata))
    for a, b in zip(tracked, plain, strict=True):
        assert torch.equal(a["image"].as_tensor(), b["image"])
        assert isinstance(a["image"], MetaTensor)
        assert not isinstance(b["image"], MetaTensor)
        assert b["study"] == "anna"
    assert isinstance(item["image"], MetaTensor)


def test_metadata_are_tracked_again_behind_it_and_where_it_fails():
    with pytest.raises(RuntimeError):
        ComposeWithoutMetadata([RandFlipd("missing", prob=1.0)])({"image": MetaTensor(torch.rand(1, 2, 2))})
    assert get_track_meta()
