from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from polyscan.preprocess.spline import interpolate


@pytest.mark.parametrize("shape", [(12, 14, 9), (8, 9, 1), (7, 3, 4)])
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.2, -0.1, 0.3)])
def test_is_itk_s_cubic_spline_up_to_the_edges(shape, turn):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    transform = sitk.Euler3DTransform((4.0, 4.0, 1.0), *turn, (0.3, -0.4, 0.2))
    image = sitk.GetImageFromArray(values.transpose())
    wanted = sitk.GetArrayFromImage(sitk.Resample(image, image, transform, sitk.sitkBSpline, np.nan)).transpose()
    to_index = np.eye(4)
    to_index[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        to_index[:3, axis] = np.array(transform.TransformPoint(np.eye(3)[axis].tolist())) - to_index[:3, 3]
    found = interpolate(values, to_index, shape, finite=np.ones(shape, bool), limits=(-np.inf, np.inf))
    assert np.isfinite(wanted).any()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_what_was_not_measured_and_what_lies_beyond_the_limits_is_not_given():
    values = np.random.default_rng(1).normal(size=(6, 6, 6)).astype(np.float32)
    finite = np.ones(values.shape, bool)
    finite[2, 3, 4] = False
    shift = np.eye(4)
    shift[:3, 3] = 0.25
    found = interpolate(values, shift, values.shape, finite=finite, limits=(-0.5, 0.5))
    assert np.argwhere(np.isnan(found)).tolist() == [[2, 3, 4]]
    assert np.nanmin(found) == -0.5
    assert np.nanmax(found) == 0.5
