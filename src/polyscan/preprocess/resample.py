"""One interpolation from a scan's own grid to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from scipy.ndimage import distance_transform_edt, gaussian_filter

from polyscan.geometry import (
    FLIP,
    TO_SIGMA,
    check_rectangular,
    empty_image,
    from_sitk,
    image_of,
    is_rectangular,
    matrix_of,
    rectangular,
    same_grid,
    spacing_along,
    spacing_of,
    to_sitk,
)


def resample(
    image: MetaTensor, grid: MetaTensor, transform: sitk.Transform | None = None, *, label: bool = False
) -> MetaTensor:
    """Bring an image onto a grid.

    Cubic B-splines for images, clamped to the image's own range so that air does not ring below its HU or a SUV below
    zero; what is finer than the grid can hold is smoothed away first. Nearest neighbour for labels.

    Args:
        image: (1, x, y, z); NaN is outside its field of view. A sheared one is brought to a rectangular grid first.
        grid: whose shape and affine are taken.
        transform: from the grid's points to the image's points (LPS+ millimetres), rigid or affine; None where they
            agree.
        label: whether the values are labels.

    Returns:
        (1, x, y, z) on the grid; NaN, or label 0, outside the image's field of view. The image's own values where
        the grid is its own and there is no transform, not copied; all NaN where the image is.

    Raises:
        PolyscanError: the grid is sheared.
    """
    if transform is None and same_grid(image, grid, tolerance=1e-3):
        return MetaTensor(image.as_tensor(), affine=grid.affine, meta=_meta(image))
    check_rectangular(np.asarray(grid.affine))
    transform = transform or sitk.Transform(3, sitk.sitkIdentity)
    if not label and not np.isfinite(image.cpu().numpy()).any():
        return MetaTensor(torch.full((1, *grid.shape[1:]), float("nan")), affine=grid.affine, meta=_meta(image))
    if not is_rectangular(np.asarray(image.affine)):
        straight, affine = rectangular(image[0].cpu().numpy(), np.asarray(image.affine), nearest=label)
        image = image_of(straight, affine, _meta(image))
    if label:
        target = to_sitk(empty_image(grid.shape[1:], grid.affine))
        moved = sitk.Resample(to_sitk(image), target, transform, sitk.sitkNearestNeighbor, 0)
        return MetaTensor(from_sitk(moved).as_tensor(), affine=grid.affine, meta=_meta(image))
    from polyscan.preprocess.spline import interpolate

    own, other = (np.asarray(affine, dtype=float) for affine in (image.affine, grid.affine))
    values = image[0].cpu().numpy().astype(np.float32, copy=False)
    finite = np.isfinite(values)
    limits = float(values.min(where=finite, initial=np.inf)), float(values.max(where=finite, initial=-np.inf))
    values = _filled(anti_alias(image, spacing_along(other, own)), finite)
    to_index = np.linalg.inv(own) @ FLIP @ matrix_of(transform) @ FLIP @ other
    found = interpolate(values, to_index, tuple(grid.shape[1:]), finite=finite, limits=limits)
    return image_of(found, grid.affine, _meta(image))


def anti_alias(image: MetaTensor, spacing: Sequence[float] | np.ndarray) -> MetaTensor:
    """Smooth away what a coarser grid cannot hold.

    Gaussian of sigma = s sqrt(k^2 - 1) / (2 sqrt(2 ln 2)) with s the image's spacing and k the ratio of the new
    spacing to it (Cardoso et al., MICCAI 2015), along the axes where k exceeds 1. NaN is left out.

    Args:
        image: (channel, x, y, z).
        spacing: of the new grid along x, y, z of the image's axes, in millimetres.

    Returns:
        The image on its own grid.
    """
    ratio = np.maximum(np.asarray(spacing, dtype=float) / spacing_of(np.asarray(image.affine)), 1.0)
    return _smooth(image, np.sqrt(ratio**2 - 1) * TO_SIGMA)


def widen_point_spread(image: MetaTensor, own: float, wanted: float) -> MetaTensor:
    """Smooth a sharp scan as much as a blurrier one is: Gaussians of sqrt(wanted^2 - own^2) on top of its own.

    Args:
        image: (channel, x, y, z).
        own: full width at half maximum of its point spread in millimetres.
        wanted: that of the blurrier one.
    """
    sigma = np.sqrt(max(wanted**2 - own**2, 0.0)) * TO_SIGMA
    return _smooth(image, sigma / spacing_of(np.asarray(image.affine)))


def _smooth(image: MetaTensor, sigma: np.ndarray) -> MetaTensor:
    """Gaussian of (3,) voxels; NaN is left out."""
    if sigma.max() < 0.1:
        return image
    smooth = np.empty(image.shape, dtype=np.float32)
    for channel, values in enumerate(image.as_tensor().cpu().numpy()):
        finite = np.isfinite(values)
        if finite.all():
            gaussian_filter(values.astype(np.float32, copy=False), sigma, output=smooth[channel])
            continue
        weight = gaussian_filter(finite.astype(np.float32), sigma)
        total = gaussian_filter(np.where(finite, values, 0).astype(np.float32), sigma)
        smooth[channel] = np.where(finite, total / np.maximum(weight, 1e-6), np.nan)
    out = image.clone() if image.is_floating_point() else image.to(torch.float32)
    out[:] = torch.from_numpy(smooth)
    assert isinstance(out, MetaTensor)
    return out


def _meta(image: MetaTensor) -> dict:
    """What stays true of an image on another grid."""
    return {name: image.meta[name] for name in ("unit", "problems") if name in image.meta}


def _filled(image: MetaTensor, finite: np.ndarray) -> np.ndarray:
    """(x, y, z) with what is not there replaced by the nearest value, so that splines do not ring at its border."""
    values = image[0].cpu().numpy().astype(np.float32, copy=False)
    if finite.all():
        return values
    nearest = distance_transform_edt(~finite, return_distances=False, return_indices=True)
    return values[tuple(nearest)]
