"""Rigid registration beside its peers: errors and times on made heads with known displacement, and on real ones.

    pip install antspyx  # for ANTs; left out where it is not installed
    python benchmarks/registration.py [--subjects 2] [--methods polyscan ANTs ...] [--starts usual hard ...]

Target registration error over 27 points of the head, its median, 95th percentile and maximum over all points and
cases; success is a maximum below 2 mm. Times are medians of CPU seconds, as multiples of polyscan's in the same run.
Starts: ``usual``, where the made patients lay (a few mm and degrees); ``hard``, up to 30 degrees and 40 mm away;
``turned``, 180 degrees about the long axis and 60 mm; ``cropped``, 40 % of the moving image's slices cut off.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "2")

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from registered_heads import registered_heads
from scipy.spatial.transform import Rotation

from polyscan.geometry import to_sitk
from polyscan.phantom.subject import make_subject
from polyscan.registration import register_rigid
from polyscan.registration.backends import to_itk
from polyscan.registration.poses import Poses, placed

PAIRS = [("T1", "T2"), ("T1", "FLAIR"), ("T1", "CT"), ("T1", "PET"), ("CT", "PET")]
STARTS = ("usual", "hard", "turned", "cropped")
FLIP = np.diag([-1.0, -1, 1, 1])
Method = Callable[[sitk.Image, sitk.Image], sitk.Transform]


@dataclass
class Case:
    """Two images and, from points of the fixed to points of the moving one, what is true."""

    name: str
    start: str
    fixed: sitk.Image
    moving: sitk.Image
    truth: Callable[[np.ndarray], np.ndarray]
    points: np.ndarray


def made_cases(subjects: int, starts: list[str]) -> Iterator[Case]:
    """Pairs of scans of made heads."""
    points = np.array(np.meshgrid((-60.0, 0, 60), (-70.0, 0, 70), (-30.0, 10, 60))).reshape(3, -1).T
    for number in range(1, subjects + 1):
        subject = make_subject(number, 11)
        scans = {name: subject.scan(name, "full") for name in ("T1", "T2", "FLAIR", "CT", "PET")}
        for start in starts:
            for fixed, moving in PAIRS:
                generator = np.random.default_rng([number, PAIRS.index((fixed, moving)), STARTS.index(start)])
                image = to_image(scans[moving].values, scans[moving].grid.affine)
                away = displacement(start, generator)
                if start == "cropped":
                    image = image[:, :, int(0.4 * image.GetSize()[2]) :]
                truth = away @ FLIP @ np.linalg.inv(subject.lying[moving]) @ subject.lying[fixed] @ FLIP
                yield Case(
                    f"{fixed}-{moving}",
                    start,
                    to_image(scans[fixed].values, scans[fixed].grid.affine),
                    placed(image, Poses(away[None, :3, :3], away[None, :3, 3])),
                    lambda x, m=truth: x @ m[:3, :3].T + m[:3, 3],
                    points,
                )


def displacement(start: str, generator: np.random.Generator) -> np.ndarray:
    """(4, 4) by which the moving image is put elsewhere, in LPS+ millimetres."""
    away = np.eye(4)
    if start == "hard":
        axis, shift = generator.normal(size=(2, 3))
        angle = generator.uniform(20, 30)
        away[:3, :3] = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle, degrees=True).as_matrix()
        away[:3, 3] = shift / np.linalg.norm(shift) * generator.uniform(25, 40)
    if start == "turned":
        away[:3, :3] = Rotation.from_euler("z", 180, degrees=True).as_matrix()
        away[:3, 3] = (40, -40, 20)
    return away


def real_cases(data: Path) -> Iterator[Case]:
    """Real heads as acquired; the references' own error is 1 to 2 mm."""
    for pair in registered_heads(data):
        image = sitk.ReadImage(pair.fixed, sitk.sitkFloat32)
        centre = image.TransformContinuousIndexToPhysicalPoint([n / 2 for n in image.GetSize()])
        points = np.add(centre, np.array(np.meshgrid(*[(-50.0, 0, 50)] * 3)).reshape(3, -1).T)
        moving = sitk.ReadImage(pair.moving, sitk.sitkFloat32)
        yield Case(pair.name, "real", image, moving, lambda x, truth=pair.truth: truth(x)[0], points)


def to_image(values: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """An array (x, y, z) with a RAS affine."""
    return to_sitk(MetaTensor(torch.from_numpy(values[None].astype(np.float32)), affine=torch.from_numpy(affine)))


def applied(transform: sitk.Transform) -> Callable[[np.ndarray], np.ndarray]:
    """A transform of many points."""
    return lambda points: np.array([transform.TransformPoint(point) for point in points.tolist()])


def by_polyscan(engine: str) -> Method:
    """register_rigid, refused results counted as they are."""
    return lambda fixed, moving: register_rigid(fixed, moving, engine=engine).transform


def by_elastix(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """The default rigid parameter map, started at the centres of the images as it does by itself."""
    import itk

    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(parameters.GetDefaultParameterMap("rigid"))
    _, result = itk.elastix_registration_method(
        to_itk(fixed), to_itk(moving), parameter_object=parameters, log_to_console=False, number_of_threads=2
    )
    found = result.GetParameterMap(0)
    angles = [float(v) for v in found["TransformParameters"]]
    return sitk.Euler3DTransform([float(v) for v in found["CenterOfRotationPoint"]], *angles[:3], angles[3:])


def by_simpleitk(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """SimpleITK's usual recipe: Mattes mutual information of a tenth of the voxels, regular steps, three levels."""
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(numberOfHistogramBins=50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.1, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 200, gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(fixed, moving)


def by_ants(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """antspyx, type_of_transform Rigid."""
    import ants

    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}.nii.gz" for name in ("fixed", "moving")]
        for image, path in zip((fixed, moving), paths, strict=True):
            sitk.WriteImage(image, path)
        found = ants.registration(*(ants.image_read(path) for path in paths), type_of_transform="Rigid", random_seed=1)
        return sitk.ReadTransform(found["fwdtransforms"][0])


METHODS: dict[str, Method] = {
    "polyscan": by_polyscan("torch"),
    "polyscan, elastix engine": by_polyscan("elastix"),
    "polyscan, SimpleITK engine": by_polyscan("simpleitk"),
    "elastix default": by_elastix,
    "SimpleITK recipe": by_simpleitk,
    "ANTs Rigid": by_ants,
}


def main() -> None:
    """Run every method on every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--starts", nargs="*", default=list(STARTS), choices=STARTS)
    parser.add_argument("--data", type=Path, help="folder of the real cases; none where not given")
    options = parser.parse_args()
    errors: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    worst: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    METHODS[options.methods[0]](*warm_up())
    cases = list(made_cases(options.subjects, options.starts)) + (
        list(real_cases(options.data)) if options.data else []
    )
    for case in cases:
        for name in options.methods:
            key = (case.start, case.name, name)
            start = time.process_time()
            try:
                found = METHODS[name](case.fixed, case.moving)
            except RuntimeError:
                found = sitk.Transform(3, sitk.sitkIdentity)
            times[key].append(time.process_time() - start)
            apart = np.linalg.norm(applied(found)(case.points) - case.truth(case.points), axis=1)
            errors[key] += apart.tolist()
            worst[key].append(float(apart.max()))
    print("| start | pair | method | median mm | 95 % mm | maximum mm | success | CPU s | times polyscan's |")
    print("|---" * 9 + "|")
    for key in errors:
        took = np.median(times[key])
        ratio = took / np.median(times[(*key[:2], options.methods[0])])
        good = sum(value < 2 for value in worst[key])
        print(
            f"| {' | '.join(key)} | {np.median(errors[key]):.3f} | {np.percentile(errors[key], 95):.3f} "
            f"| {max(errors[key]):.3f} | {good} of {len(worst[key])} | {took:.2f} | {ratio:.1f} |"
        )


def warm_up() -> tuple[sitk.Image, sitk.Image]:
    """Two small images, so that no import is timed."""
    x, y, z = np.indices((40, 40, 40)) - 20.0
    blob = np.exp(-(x**2 + 2 * y**2 + 3 * z**2) / 100)
    return to_image(blob, np.eye(4)), to_image(blob**2, np.eye(4))


if __name__ == "__main__":
    main()
