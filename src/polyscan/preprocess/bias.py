"""The slow shading that a receive coil lays over MRI."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.geometry import image_of, spacing_of, to_sitk
from polyscan.registration.shrink import shrink

_SPACING = 4.0  # mm; the field varies over centimetres, but at 6 mm a laid-on field came back with correlation 0.6 only
_FEWEST = 2  # slices; the spacing of the splines of one would be 0


def bias_field(image: MetaTensor, mask: np.ndarray) -> np.ndarray:
    """Estimate the bias field by N4 (Tustison et al., IEEE TMI 29, 2010), as SimpleITK has it.

    Args:
        image: (1, x, y, z); NaN is outside the field of view.
        mask: (x, y, z) bool, where to fit it.

    N4 takes logarithms: it is fitted to what is positive in the mask, so that no single voxel that a spline or an
    inversion made negative moves the whole scale.

    Returns:
        (x, y, z) float32, 1 in the mean over the mask: divide by it to correct the image, multiply to undo that. 1
        everywhere where the image is constant.

    Raises:
        PolyscanError: the mask is empty, half of it is not positive, or the image is too thin for a field.
    """
    values = image[0].cpu().numpy().astype(np.float32)
    inside = mask & np.isfinite(values)
    if not inside.any():
        raise PolyscanError("The scan has no voxel inside the body: no bias field can be estimated.")
    if np.ptp(values[inside]) == 0:
        return np.ones_like(values)
    # Values next to 0 are as far off in logarithms as those below it: 1 % of the median is no tissue.
    positive = inside & (values > 0.01 * max(float(np.median(values[inside])), 0.0))
    if positive.sum() < inside.sum() / 2:
        raise PolyscanError(
            "Half of the scan inside the body is not positive: no bias field can be estimated; "
            "put BiasFieldd before what normalises."
        )
    extent = np.array(values.shape) * spacing_of(np.asarray(image.affine))
    spacing = min(_SPACING, float(extent.min()) / _FEWEST)  # what is thin is not averaged to less than it can do with
    if min(values.shape) < _FEWEST:
        raise PolyscanError(
            f"The scan has {min(values.shape)} slices and a bias field needs {_FEWEST}; take it out of BiasFieldd."
        )
    # Blocks at the rim of the mask are averaged over what lies inside it.
    full = shrink(_sitk(np.where(positive, values, np.nan), image), spacing)
    where = shrink(_sitk(positive, image), spacing) > 0.5
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetMaximumNumberOfIterations([30, 20, 10])
    method.SetConvergenceThreshold(1e-3)
    method.SetNumberOfThreads(1)
    full = sitk.Mask(full, where, outsideValue=1.0)
    method.Execute(full, where)
    field = sitk.GetArrayFromImage(sitk.Exp(method.GetLogBiasFieldAsImage(_sitk(values, image)))).transpose()
    return (field / field[inside].mean()).astype(np.float32)


def _sitk(values: np.ndarray, image: MetaTensor) -> sitk.Image:
    """(x, y, z) values on an image's grid."""
    return to_sitk(image_of(values.astype(np.float32), image.affine))
