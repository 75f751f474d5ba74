"""SimpleITK images at lower resolution, for what takes images and not tensors."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk


def shrink(image: sitk.Image, spacing: float) -> sitk.Image:
    """Average blocks of voxels so that no axis is finer than about ``spacing`` millimetres; NaN is left out."""
    factors = [max(1, min(round(spacing / s), n)) for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)]
    image = sitk.Cast(image, sitk.sitkFloat32)
    if max(factors) == 1:
        return image
    array = sitk.GetArrayViewFromImage(image)
    finite = np.isfinite(array)
    if finite.all():
        return sitk.BinShrink(image, factors)
    known = sitk.GetImageFromArray(finite.astype(np.float32))
    filled = sitk.GetImageFromArray(np.nan_to_num(array).astype(np.float32))
    for new in (known, filled):
        new.CopyInformation(image)
    weight = sitk.BinShrink(known, factors)
    mean = sitk.BinShrink(filled, factors) / sitk.Maximum(weight, 1e-6)
    return sitk.Mask(mean, weight > 0.5, outsideValue=float("nan"))
