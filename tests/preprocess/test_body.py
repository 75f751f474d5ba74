"""Where the body is, in heads whose tissues differ in brightness."""

from __future__ import annotations

import numpy as np
import pytest

from polyscan.preprocess.mask import foreground
from polyscan.preprocess.profiles import profile


def head(scalp):
    """A ball of brain at 45 in a shell of scalp, in air with noise; and which voxels the two fill."""
    radius = np.linalg.norm(np.indices((40, 40, 12)) - np.array([20, 20, 6])[:, None, None, None], axis=0)
    values = np.abs(np.random.default_rng(0).normal(0, 4, radius.shape))
    values[radius < 15] = 45
    values[(radius >= 13) & (radius < 15)] = scalp
    return values, radius < 15


@pytest.mark.parametrize("scalp", [50, 90, 160, 250])
@pytest.mark.parametrize("offset", [0, -30])
def test_the_brain_is_body_however_bright_the_scalp_is(scalp, offset):
    values, body = head(scalp)
    found = foreground(values + offset)
    assert 2 * (found & body).sum() / (found.sum() + body.sum()) > 0.97


def test_where_hardly_anything_is_bright_all_is_taken():
    values = np.zeros((20, 20, 20))
    values[10, 10, 10] = 1
    assert foreground(values).all()


def test_the_order_in_memory_changes_nothing():
    values, _ = head(90)
    values[:5] = np.nan
    body, turned = foreground(values), np.asfortranarray(values)
    assert np.array_equal(foreground(turned), body)
    assert profile(turned, body) == profile(turned, np.asfortranarray(body)) == profile(values, body)
