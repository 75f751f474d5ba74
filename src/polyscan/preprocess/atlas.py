"""Where the brain is by an atlas: the MNI152 brain laid over a head."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from polyscan.errors import PolyscanError
from polyscan.geometry import to_sitk
from polyscan.preprocess.mask import foreground
from polyscan.registration.poses import centre_of

_SIZES = (0.8, 1.25)  # of a brain over the atlas, along any direction
_SHARED = 0.07  # nats of mutual information; a patient's four contrasts share 0.11 to 0.16, a thigh 0.05
_COVERED = 0.6  # of the brain must lie in the field of view


def atlas_brain_mask(image: MetaTensor) -> np.ndarray:
    """Lay the ICBM 152 2009 brain (Fonov et al., NeuroImage 54, 2011) over a head by an affine transform.

    The atlas has no skull, so that Mattes' mutual information is taken inside its brain alone: from several heights and
    tilts of a similarity at 4 mm, the best three by an affine at 4 mm, the best of those at 2 mm. Good to a few
    millimetres, any contrast; a network such as HD-BET is better where one is installed.

    Args:
        image: (1, x, y, z) scan of a head with its affine; NaN is outside the field of view.

    Returns:
        (x, y, z) bool.

    Raises:
        PolyscanError: nilearn, which holds the atlas, is not installed, or no brain of a likely size was found.
    """
    template, brain = _atlas()
    head = to_sitk(without_gaps(image))
    coarse, fine = _sampled(head, 4.0), _sampled(head, 2.0)
    coarse_template = _sampled(template, 4.0)
    coarse_brain = sitk.Resample(brain, coarse_template, sitk.Transform(), sitk.sitkNearestNeighbor)
    middle = centre_of(brain)
    inside = np.argwhere(foreground(image[0].cpu().numpy(), unit=str(image.meta.get("unit", "arbitrary"))))
    centre = np.asarray(image.affine)[:3] @ np.append(inside.mean(0), 1.0) * [-1, -1, 1]
    tried = []
    for up, tilt in itertools.product((0, 15, 30, 45), (-0.3, 0.0, 0.3)):
        pose = sitk.Similarity3DTransform()
        pose.SetCenter(middle.tolist())
        pose.SetRotation([1, 0, 0], tilt)
        pose.SetTranslation((centre + np.array([0, 0, up]) - middle).tolist())
        tried.append((_fit(coarse_template, coarse_brain, coarse, pose, 60), pose))
    fitted = []
    for _, pose in sorted(tried, key=lambda found: found[0])[:3]:
        affine = sitk.AffineTransform(3)
        affine.SetCenter(middle.tolist())
        affine.SetMatrix(pose.GetMatrix())
        affine.SetTranslation(pose.GetTranslation())
        fitted.append((_fit(coarse_template, coarse_brain, coarse, affine, 100), affine))
    _, affine = min(fitted, key=lambda found: found[0])
    shared = -_fit(template, brain, fine, affine, 60)
    sizes = np.linalg.svd(np.reshape(affine.GetMatrix(), (3, 3)), compute_uv=False)
    view = sitk.Image(fine.GetSize(), sitk.sitkUInt8) + 1
    view.CopyInformation(fine)
    seen = sitk.Resample(view, template, affine, sitk.sitkNearestNeighbor) * brain
    covered = sitk.GetArrayViewFromImage(seen).sum() / sitk.GetArrayViewFromImage(brain).sum()
    if shared < _SHARED or covered < _COVERED or sizes.min() < _SIZES[0] or sizes.max() > _SIZES[1]:
        raise PolyscanError(
            f"The atlas found no brain: what fits best has {sizes.min():.2f} to {sizes.max():.2f} times its size, "
            f"shares {shared:.2f} nats with it and holds {covered:.0%} of it; give a mask in the manifest, or use "
            "hd-bet or synthstrip."
        )
    mask = sitk.Resample(brain, head, affine.GetInverse(), sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(mask).transpose(2, 1, 0) > 0


def without_gaps(image: MetaTensor) -> MetaTensor:
    """The image with its lowest value outside the field of view, where it has NaN."""
    values = image.as_tensor()
    finite = torch.isfinite(values)
    return MetaTensor(torch.where(finite, values, values[finite].min()), affine=image.affine)


@cache
def _atlas() -> tuple[Any, Any]:
    """Template and brain mask at 2 mm."""
    try:
        from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
    except ImportError:
        raise PolyscanError("The atlas needs nilearn; pip install nilearn, or name a mask in the manifest.") from None
    template, brain = (
        to_sitk(MetaTensor(torch.tensor(file.get_fdata(), dtype=torch.float32)[None], affine=file.affine))
        for file in (load_mni152_template(resolution=2), load_mni152_brain_mask(resolution=2))
    )
    return template, sitk.Cast(brain > 0.5, sitk.sitkUInt8)


def _sampled(image: sitk.Image, spacing: float) -> sitk.Image:
    """Blurred to a spacing in mm and sampled at it."""
    size = [max(1, round(n * s / spacing)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    blurred = sitk.SmoothingRecursiveGaussian(image, spacing / 2)
    grid = (image.GetOrigin(), [spacing] * 3, image.GetDirection())
    return sitk.Resample(blurred, size, sitk.Transform(), sitk.sitkLinear, *grid, 0.0)


def _fit(fixed: sitk.Image, mask: sitk.Image, moving: sitk.Image, transform: Any, steps: int) -> float:
    """Improve a transform in place; minus the mutual information that was reached."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=40)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.25 if fixed.GetSpacing()[0] < 4 else 1.0)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, steps)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetNumberOfThreads(1)
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return float(method.GetMetricValue())
