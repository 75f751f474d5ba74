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


@pytest.mark.parametrize(("roi_size", "least"), [([4, 4], 2), ([4, 4, 4], 1)])
def test_as_many_windows_run_at_once_as_memory_holds_with_equal_answers(roi_size, least):
    image, network = torch.randn(1, 1, 12, 8, 4), torch.nn.Conv2d if len(roi_size) == 2 else torch.nn.Conv3d
    network, met = network(1, 1, 3, padding=1), []

    def holds(most):
        def answer(windows):
            if len(windows) > most:
                raise torch.cuda.OutOfMemoryError
            met.append(len(windows))
            return network(windows)

        return answer

    with torch.no_grad():
        whole = WindowInferer(roi_size)(image, network)
        inferer = WindowInferer(roi_size)
        torch.testing.assert_close(inferer(image, holds(least)), whole)
        assert set(met) == {least}
        assert inferer.at_once == least  # of the next image too
        with pytest.raises(torch.cuda.OutOfMemoryError):
            inferer(image, holds(0))
