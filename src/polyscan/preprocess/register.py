"""Rigid registration by mutual information, and whether its result can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from polyscan.preprocess.similarity import MutualInformation

if TYPE_CHECKING:
    import SimpleITK as sitk

_COARSE = 4.0  # mm, where starts and results are compared
_LEVELS = (8.0, 4.0, 2.0)  # mm, what elastix sees
_SAMPLES = 3000
_ITERATIONS = 300
# Mutual information must fall by this part of itself when the result is moved off by _PROBE. It fell by 0.16 to 0.33 on
# phantom heads (CT-PET to MR-MR), 0.26 to 0.39 on real heads, and 0.07 to 0.16 on real scans cropped to a limb, whose
# results lay 4 to 10 mm from what their common frame of reference says.
_LEAST_FALL = 0.12
_PROBE = 8.0  # mm, and degrees
_LEAST_INFORMATION = 0.1  # nats; smooth noise, registered to other noise, reached 0.06
_LEAST_OVERLAP = 0.3


@dataclass(frozen=True)
class Registration:
    """What a registration found.

    Attributes:
        transform: SimpleITK ``Euler3DTransform`` from fixed points to moving points (LPS+ millimetres).
        trusted: whether the result can be used without a person looking at it.
        reason: why it is trusted, or why not.
        mutual_information: at the start and at the end, in nats.
    """

    transform: sitk.Euler3DTransform
    trusted: bool
    reason: str
    mutual_information: tuple[float, float]


@dataclass(frozen=True)
class _Rigid:
    """x -> matrix @ x + offset."""

    matrix: np.ndarray
    offset: np.ndarray

    def after(self, first: _Rigid) -> _Rigid:
        return _Rigid(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)


def register_rigid(fixed: sitk.Image, moving: sitk.Image, *, seed: int = 0) -> Registration:
    """Find the rigid transform that lays a moving image on a fixed one.

    Mattes mutual information (IEEE TMI 22, 2003) of random samples on a pyramid, by elastix' adaptive stochastic
    gradient descent (Klein et al., IJCV 81, 2009). It starts from the best of several poses about the headers' own
    alignment and about the centres of mass. The same seed gives the same result.

    Args:
        fixed: 3D image in millimetres; NaN is outside the field of view.
        moving: another one.
        seed: of the random samples.

    Returns:
        The transform and whether to trust it: it must be no worse than the start, the images must overlap, and mutual
        information must fall when the result is moved off by 8 mm or degrees, as it does not between unrelated images.
    """
    similarity = MutualInformation(fixed, moving, spacing=_COARSE, seed=seed)
    start = max(_starts(fixed, moving), key=lambda rigid: similarity(rigid.matrix, rigid.offset))
    try:
        found = start.after(_elastix(fixed, _moved(moving, start), seed))
    except RuntimeError:  # elastix stops so where the images do not overlap any more on its way
        information = similarity(start.matrix, start.offset)
        reason = "elastix found no way to lay the scans on each other"
        return Registration(_euler(start, _centre(fixed)), False, reason, (information, information))
    before, after = (similarity(rigid.matrix, rigid.offset) for rigid in (start, found))
    if after < before:
        found = start
    trusted, reason = _judge(similarity, found, _centre(fixed))
    return Registration(_euler(found, _centre(fixed)), trusted, reason, (before, max(before, after)))


def _starts(fixed: sitk.Image, moving: sitk.Image) -> list[_Rigid]:
    """Poses to begin from: headers or centres of mass, not turned or turned about one axis."""
    masses = _mass_centre(fixed), _mass_centre(moving)
    starts = []
    for pivot, goal in ((_centre(fixed), _centre(fixed)), masses):
        for axis, degrees in [(0, 0.0), *product(range(3), (-20.0, 20.0, 180.0))]:
            matrix = _rotation(axis, degrees)
            starts.append(_Rigid(matrix, goal - matrix @ pivot))
    return starts


def _judge(similarity: MutualInformation, found: _Rigid, centre: np.ndarray) -> tuple[bool, str]:
    best, overlap = similarity.with_overlap(found.matrix, found.offset)
    if overlap < _LEAST_OVERLAP:
        return False, f"only {overlap:.0%} of the smaller field of view lies inside the other"
    if best < _LEAST_INFORMATION:
        return False, f"the scans tell next to nothing about each other ({best:.2f} nats)"
    probes = []
    for axis, sign in product(range(3), (-1, 1)):
        shift = np.eye(3)[axis] * sign * _PROBE
        turn = _rotation(axis, sign * _PROBE)
        probes.append(found.after(_Rigid(np.eye(3), shift)))
        probes.append(found.after(_Rigid(turn, centre - turn @ centre)))
    values = np.array([similarity(probe.matrix, probe.offset) for probe in probes])
    fall = 1 - values.mean() / best if best > 0 else 0.0
    if values.max() > best:
        return False, "mutual information is higher beside the result than at it"
    if fall < _LEAST_FALL:
        return False, f"mutual information hardly depends on the alignment (it falls by {fall:.1%} at 8 mm)"
    return True, f"mutual information falls by {fall:.0%} at 8 mm"


def _elastix(fixed: sitk.Image, moving: sitk.Image, seed: int) -> _Rigid:
    import itk

    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(_parameter_map(fixed, moving, seed))
    method = itk.ElastixRegistrationMethod[itk.Image[itk.F, 3], itk.Image[itk.F, 3]].New()
    image, mask = _to_itk(fixed)
    method.SetFixedImage(image)
    method.SetFixedMask(mask)
    method.SetMovingImage(_to_itk(moving)[0])
    method.SetParameterObject(parameters)
    method.SetLogToConsole(False)
    method.SetLogToFile(False)
    method.SetNumberOfThreads(1)
    method.UpdateLargestPossibleRegion()
    result = method.GetTransformParameterObject().GetParameterMap(0)
    angles_and_shift = [float(value) for value in result["TransformParameters"]]
    centre = np.array([float(value) for value in result["CenterOfRotationPoint"]])
    matrix = _euler_matrix(*angles_and_shift[:3])
    return _Rigid(matrix, centre + np.array(angles_and_shift[3:]) - matrix @ centre)


def _parameter_map(fixed: sitk.Image, moving: sitk.Image, seed: int) -> dict[str, tuple[str, ...]]:
    def schedule(image: sitk.Image) -> tuple[str, ...]:
        return tuple(str(max(1, round(level / s))) for level in _LEVELS for s in image.GetSpacing())

    return {
        "Registration": ("MultiResolutionRegistration",),
        "FixedImagePyramid": ("FixedRecursiveImagePyramid",),
        "MovingImagePyramid": ("MovingRecursiveImagePyramid",),
        "FixedImagePyramidSchedule": schedule(fixed),
        "MovingImagePyramidSchedule": schedule(moving),
        "NumberOfResolutions": (str(len(_LEVELS)),),
        "Transform": ("EulerTransform",),
        "AutomaticTransformInitialization": ("false",),
        "AutomaticScalesEstimation": ("true",),
        "HowToCombineTransforms": ("Compose",),
        "Metric": ("AdvancedMattesMutualInformation",),
        "NumberOfHistogramBins": ("32",),
        "Interpolator": ("LinearInterpolator",),
        "ImageSampler": ("RandomCoordinate",),
        "FixedImageBSplineInterpolationOrder": ("1",),
        "NumberOfSpatialSamples": (str(_SAMPLES),),
        "NewSamplesEveryIteration": ("true",),
        "RequiredRatioOfValidSamples": ("0.05",),
        "Optimizer": ("AdaptiveStochasticGradientDescent",),
        "ASGDParameterEstimationMethod": ("DisplacementDistribution",),
        "MaximumNumberOfIterations": (str(_ITERATIONS),),
        "RandomSeed": (str(seed + 1),),
        "Resampler": ("DefaultResampler",),
        "ResampleInterpolator": ("FinalLinearInterpolator",),
        "WriteResultImage": ("false",),
        "FixedImageDimension": ("3",),
        "MovingImageDimension": ("3",),
        "FixedInternalImagePixelType": ("float",),
        "MovingInternalImagePixelType": ("float",),
    }


def _to_itk(image: sitk.Image) -> tuple:
    """The image, with NaN filled by its lowest value, and where it was finite."""
    import itk
    import SimpleITK as sitk

    values = sitk.GetArrayFromImage(image).astype(np.float32)
    finite = np.isfinite(values)
    values[~finite] = values[finite].min()
    made = []
    for array in (values, finite.astype(np.uint8)):
        new = itk.image_from_array(array)
        new.SetOrigin(image.GetOrigin())
        new.SetSpacing(image.GetSpacing())
        new.SetDirection(itk.matrix_from_array(np.array(image.GetDirection()).reshape(3, 3)))
        made.append(new)
    return tuple(made)


def _moved(moving: sitk.Image, start: _Rigid) -> sitk.Image:
    """The moving image where the start would have it: no voxel changes, only where it says that it lies."""
    import SimpleITK as sitk

    moved = sitk.Image(moving)
    back = start.matrix.T
    moved.SetOrigin((back @ (np.array(moving.GetOrigin()) - start.offset)).tolist())
    moved.SetDirection((back @ np.array(moving.GetDirection()).reshape(3, 3)).ravel().tolist())
    return moved


def _euler(rigid: _Rigid, centre: np.ndarray) -> sitk.Euler3DTransform:
    import SimpleITK as sitk

    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(rigid.matrix.ravel().tolist(), 1e-5)
    transform.SetTranslation((rigid.matrix @ centre + rigid.offset - centre).tolist())
    return transform


def _euler_matrix(x: float, y: float, z: float) -> np.ndarray:
    """ITK's Euler3DTransform in its order ZXY."""
    return _rotation(2, np.degrees(z)) @ _rotation(0, np.degrees(x)) @ _rotation(1, np.degrees(y))


def _rotation(axis: int, degrees: float) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.eye(3)[axis] * degrees, degrees=True).as_matrix()


def _centre(image: sitk.Image) -> np.ndarray:
    return np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))


def _mass_centre(image: sitk.Image) -> np.ndarray:
    """The centre of the foreground, each voxel of it counted alike."""
    import SimpleITK as sitk

    from polyscan.preprocess.mask import foreground

    inside = np.argwhere(foreground(sitk.GetArrayFromImage(image)))
    return np.array(image.TransformContinuousIndexToPhysicalPoint(inside.mean(0)[::-1].tolist()))
