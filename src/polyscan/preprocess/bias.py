"""The slow shading that a receive coil lays over MRI."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor

from polyscan.io.geometry import to_sitk
from polyscan.registration.shrink import shrink

_SPACING = 4.0  # mm; the field varies over centimetres, but at 6 mm a laid-on field came back with correlation 0.6 only


def bias_field(image: MetaTensor, mask: np.ndarray) -> np.ndarray:
    """Estimate the bias field by N4 (Tustison et al., IEEE TMI 29, 2010), as SimpleITK has it.

    Args:
        image: (1, x, y, z); NaN is outside the field of view.
        mask: (x, y, z) bool, where to fit it.

    Returns:
        (x, y, z) float32, 1 in the mean over the mask: divide by it to correct the image, multiply to undo that.
    """
    import SimpleITK as sitk

    values = image[0].cpu().numpy()
    inside = mask & np.isfinite(values)
    if not inside.any():
        return np.ones_like(values)
    low = min(float(values[inside].min()), 0.0)
    # N4 takes logarithms: what is fitted is positive, whatever was resampled or normalised before.
    positive = np.where(inside, values - low + 1e-3 * np.ptp(values[inside]), 0)
    full = to_sitk(MetaTensor(torch.from_numpy(positive[None].astype(np.float32)), affine=image.affine))
    where = to_sitk(MetaTensor(torch.from_numpy(inside[None].astype(np.float32)), affine=image.affine))
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations([30, 20, 10])
    method.SetConvergenceThreshold(1e-3)
    method.SetNumberOfThreads(1)
    method.Execute(shrink(full, _SPACING), shrink(where, _SPACING) > 0.5)
    field = sitk.GetArrayFromImage(sitk.Exp(method.GetLogBiasFieldAsImage(full))).transpose()
    return (field / field[inside].mean()).astype(np.float32)
