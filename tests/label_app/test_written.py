"""An answer in words on a scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from polyscan.label_app.written import written

# How a viewer lays out slices: to the right and down go these ends of the axes, and the slices follow.
SCREEN = {"axial": "LPI", "coronal": "LIP", "sagittal": "PIL"}
SPACING = {"axial": [1, 1, 5], "coronal": [1, 5, 1], "sagittal": [5, 1, 1]}


@pytest.mark.parametrize("plane", SCREEN)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "LIP", "SRA", "AIL"])
def test_it_is_upright_in_every_slice_however_the_voxels_lie(plane, axes):
    shape = [9 if spacing == 5 else 64 for spacing in SPACING[plane]]
    affine = torch.diag(torch.tensor([*map(float, SPACING[plane]), 1.0], dtype=torch.float64))
    grid = Orientation(axcodes=axes, labels=None)(MetaTensor(torch.zeros(1, *shape), affine=affine))
    text = written(["L"], grid)
    assert text.shape == grid.shape
    np.testing.assert_allclose(text.affine, grid.affine)
    seen = np.asarray(Orientation(axcodes=SCREEN[plane], labels=None)(text)[0])
    assert (seen == seen[..., :1]).all(), "in every slice"
    columns, rows = np.nonzero(seen[..., 0])
    assert rows.max() < 32, "in the upper half"
    ink = seen[columns.min() : columns.max() + 1, rows.min() : rows.max() + 1, 0]
    assert ink[0].mean() > 0.9, "the stroke of an L stands at its left"
    assert ink[:, -1].mean() > 0.9, "and lies at its foot"
    assert ink[-1, : len(ink[0]) // 2].sum() == 0, "above which there is nothing"
