"""Images larger than what a network reads at once, as volumes and slice by slice."""

from __future__ import annotations

import pytest
import torch

from polyscan.inference import WindowInferer


@pytest.mark.parametrize(
    ("roi_size", "window"), [([8, 8, 4], (8, 8, 4)), ([8, 8], (8, 8)), ([-1, -1, -1], (12, 10, 5)), ([16, 8], (16, 8))]
)
def test_windows_have_the_size_and_axes_of_the_network_and_come_together_as_they_were_cut(roi_size, window):
    image, met = torch.randn(1, 2, 12, 10, 5), set()

    def twice(part):
        met.add(tuple(part.shape[2:]))
        return 2 * part

    torch.testing.assert_close(WindowInferer(roi_size, overlap=0.5)(image, twice), 2 * image)
    assert met == {window}


def test_beyond_the_image_is_nan():
    def counted(part):
        return part.isnan().float().mean(dim=(1, 2, 3, 4), keepdim=True).expand_as(part).clone()

    assert WindowInferer([8, 4, 4])(torch.ones(1, 1, 4, 4, 4), counted).unique().item() == pytest.approx(0.5)
