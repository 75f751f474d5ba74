"""What else can follow a pose to the images' own resolution: elastix or SimpleITK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK as sitk

from polyscan.registration.poses import Poses, centre_of, placed
from polyscan.registration.shrink import shrink

_LEVELS = 4096
_BLURRED = (4.0, 60.0)  # mm^3 of the larger voxel
_COARSE = 4.0  # mm, where engines begin; elastix' own pyramid would displace a pose


def followed(
    step: Callable[[sitk.Image, sitk.Image, Poses, int], Poses],
) -> Callable[[sitk.Image, sitk.Image, Poses, int], Poses]:
    """An engine that follows a pose through shrunk images first."""

    def engine(fixed: sitk.Image, moving: sitk.Image, start: Poses, seed: int) -> Poses:
        pose = start
        try:
            for pair in ((shrink(fixed, _COARSE), shrink(moving, _COARSE)), (fixed, moving)):
                pose = step(*pair, pose, seed)
        except RuntimeError:  # ITK stops so where the images do not overlap any more on its way
            return start
        return pose

    return engine


def elastix(fixed: sitk.Image, moving: sitk.Image, start: Poses, seed: int) -> Poses:
    """Adaptive stochastic gradient descent (Klein et al., IJCV 81, 2009) of elastix' Mattes mutual information."""
    import itk

    parameters = itk.ParameterObject.New()
    # Blurred images say less at each step: PET, or slices of several millimetres.
    blurred = _BLURRED[0] < np.prod(fixed.GetSpacing()) < _BLURRED[1]
    parameters.AddParameterMap(_parameter_map(500 if blurred else 200, seed))
    method = itk.ElastixRegistrationMethod[itk.Image[itk.F, 3], itk.Image[itk.F, 3]].New()
    image, mask = _levelled(fixed)
    method.SetFixedImage(to_itk(image))
    method.SetFixedMask(to_itk(mask))
    method.SetMovingImage(to_itk(_levelled(placed(moving, start.inverse()))[0]))
    method.SetParameterObject(parameters)
    method.SetLogToConsole(False)
    method.SetLogToFile(False)
    method.SetNumberOfThreads(1)
    method.UpdateLargestPossibleRegion()
    result = method.GetTransformParameterObject().GetParameterMap(0)
    angles_and_shift = [float(value) for value in result["TransformParameters"]]
    centre = [float(value) for value in result["CenterOfRotationPoint"]]
    return start.compose(Poses.of_itk(sitk.Euler3DTransform(centre, *angles_and_shift[:3], angles_and_shift[3:])))


def simpleitk(fixed: sitk.Image, moving: sitk.Image, start: Poses, seed: int) -> Poses:
    """Gradient descent with line search of ITK's Mattes mutual information on randomly sampled points."""
    image, mask = _levelled(fixed)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=64)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, 50_000 / fixed.GetNumberOfPixels()), seed=seed + 1)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsConjugateGradientLineSearch(1.0, 50, 1e-6, 10)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([1])
    method.SetSmoothingSigmasPerLevel([0])
    method.SetNumberOfThreads(1)
    method.SetInitialTransform(start.to_itk(centre_of(fixed)), inPlace=False)
    found = method.Execute(image, _levelled(moving)[0])
    return Poses.of_itk(sitk.Euler3DTransform(found.GetNthTransform(0)))


BACKENDS: dict[str, Callable[[sitk.Image, sitk.Image, Poses, int], Poses]] = {
    "elastix": followed(elastix),
    "simpleitk": followed(simpleitk),
}


def _parameter_map(iterations: int, seed: int) -> dict[str, tuple[str, ...]]:
    settings = {
        "Registration": "MultiResolutionRegistration", "FixedImagePyramid": "FixedShrinkingImagePyramid",
        "MovingImagePyramid": "MovingShrinkingImagePyramid", "ImagePyramidSchedule": "1 1 1",
        "NumberOfResolutions": "1", "Transform": "EulerTransform", "AutomaticTransformInitialization": "false",
        "AutomaticScalesEstimation": "true", "HowToCombineTransforms": "Compose",
        "Metric": "AdvancedMattesMutualInformation", "NumberOfHistogramBins": "64",
        "Interpolator": "LinearInterpolator", "ImageSampler": "RandomCoordinate",
        "FixedImageBSplineInterpolationOrder": "1", "NumberOfSpatialSamples": "4000",
        "NewSamplesEveryIteration": "true", "RequiredRatioOfValidSamples": "0.05",
        "Optimizer": "AdaptiveStochasticGradientDescent", "ASGDParameterEstimationMethod": "DisplacementDistribution",
        "MaximumNumberOfIterations": str(iterations), "RandomSeed": str(seed + 1), "Resampler": "DefaultResampler",
        "ResampleInterpolator": "FinalLinearInterpolator", "WriteResultImage": "false", "FixedImageDimension": "3",
        "MovingImageDimension": "3", "FixedInternalImagePixelType": "float", "MovingInternalImagePixelType": "float",
    }  # fmt: skip
    return {name: tuple(values.split()) for name, values in settings.items()}


def _levelled(image: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """The image in levels that suit a histogram, and where it was finite.

    Half-way between its own values and their ranks: neither bone in CT nor air in PET leaves all other tissue one bin.
    """
    values = sitk.GetArrayFromImage(image).astype(np.float32, copy=False)
    finite = np.isfinite(values)
    some = np.sort((values if finite.all() else values[finite]).ravel()[:: max(1, values.size // 100_000)])
    low, high = (float(some[int(part * (len(some) - 1))]) for part in (0.005, 0.995))
    at = np.nan_to_num(values, nan=low)
    at -= low
    at *= (_LEVELS - 1) / max(high - low, 1e-6)
    linear = np.linspace(0, 1, _LEVELS, dtype=np.float32)
    rank = np.searchsorted(some, low + linear * (high - low)) / len(some)
    levels = ((linear + rank) / 2).astype(np.float32)[at.clip(0, _LEVELS - 1, out=at).astype(np.int16)]
    made = [sitk.GetImageFromArray(array) for array in (levels, finite.astype(np.uint8))]
    for new in made:
        new.CopyInformation(image)
    return made[0], made[1]


def to_itk(image: sitk.Image) -> Any:
    """A SimpleITK image as one of ITK's Python package."""
    import itk

    new = itk.image_from_array(sitk.GetArrayFromImage(image))
    new.SetOrigin(image.GetOrigin())
    new.SetSpacing(image.GetSpacing())
    new.SetDirection(itk.matrix_from_array(np.array(image.GetDirection()).reshape(3, 3)))
    return new
