"""What is kept of a prediction beside its mask."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.formats.nifti import read_nifti
from polyscan.transforms import SaveProbabilitiesd, SaveSegmentationd

REGIONS = {"whole": [1, 2], "core": [1]}


def test_probabilities_are_kept_region_by_region(tmp_path):
    affine = torch.diag(torch.tensor([2.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    values = MetaTensor(torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)), affine=affine)
    item = SaveProbabilitiesd("pred", tmp_path)({"pred": values, "study": "sub-a"})
    item["pred"] = MetaTensor((values > 0.5).float(), affine=affine)
    record = SaveSegmentationd("pred", REGIONS, tmp_path)(item)["prediction"]
    assert record.probabilities == str(tmp_path / "sub-a_prob.nii.gz")
    for channel in range(2):
        kept = read_nifti(f"{record.probabilities}#{channel + 1}")
        np.testing.assert_allclose(kept[0], values[channel], atol=0.5 / 4096 + 1e-7)
        np.testing.assert_allclose(kept.affine, affine)


def test_nothing_is_kept_unasked(tmp_path):
    pred = MetaTensor(torch.zeros(2, 4, 5, 6), affine=torch.eye(4, dtype=torch.float64))
    record = SaveSegmentationd("pred", REGIONS, tmp_path)({"pred": pred, "study": "sub-a"})["prediction"]
    assert record.probabilities is None
