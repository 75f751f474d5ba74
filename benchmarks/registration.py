"""Rigid registration beside its peers: errors and times on made heads with known displacement, and on real ones.

    pip install antspyx picsl-greedy  # peers; each is left out where it is not installed
    python benchmarks/registration.py [--data FOLDER] [--subjects 2] [--repeats 5] [--methods polyscan ANTs ...]
    python benchmarks/registration.py --fresh [--repeats 5]

Target registration error over 27 points of the head, its median, 95th percentile and maximum over all points and
cases; success is a maximum below 2 mm. Times are medians over repeats, their lowest and highest, and as many times
polyscan's on the same pair in the same run. ``--fresh`` tells what the first registration of a process costs.
Starts: ``usual``, where the made patients lay (a few mm and degrees); ``hard``, up to 30 degrees and 40 mm away;
``turned``, 180 degrees about the long axis and 60 mm; ``cropped``, 40 % of the moving image's slices cut off.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
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


def by_greedy(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """picsl-greedy, rigid by normalised mutual information from the images' centres, three levels."""
    from picsl_greedy import Greedy3D

    greedy = Greedy3D()
    options = "-i fixed moving -a -dof 6 -m NMI -ia-image-centers -n 100x50x10 -threads 2 -V 0 -o found"
    greedy.execute(options, fixed=fixed, moving=moving, found=None)
    return of_ras(greedy["found"])


def of_ras(matrix: np.ndarray) -> sitk.Transform:
    """A (4, 4) matrix between points in RAS+ millimetres."""
    lps = FLIP @ matrix @ FLIP
    return sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist())


METHODS: dict[str, Method] = {
    "polyscan": by_polyscan("torch"),
    "polyscan, elastix engine": by_polyscan("elastix"),
    "polyscan, SimpleITK engine": by_polyscan("simpleitk"),
    "elastix default": by_elastix,
    "SimpleITK recipe": by_simpleitk,
    "ANTs Rigid": by_ants,
    "greedy": by_greedy,
}
NEEDED = {"elastix default": "itk", "ANTs Rigid": "ants", "greedy": "picsl_greedy"}

FRESH = """
import sys, time
import torch
torch.set_num_threads(1)
marks = [time.process_time()]
from polyscan import register_rigid
import polyscan.registration.register
marks.append(time.process_time())
import SimpleITK
images = [SimpleITK.ReadImage(path, SimpleITK.sitkFloat32) for path in sys.argv[1:]]
for _ in range(2):
    start = time.process_time()
    register_rigid(*images)
    marks.append(time.process_time() - start)
print(marks[0], marks[1] - marks[0], *marks[2:])
"""


def fresh(repeats: int) -> None:
    """Print the CPU seconds of imports and of a first and a second answer in processes of their own, T1 and T2."""
    case = next(made_cases(1, ["usual"]))
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}.nii" for name in ("fixed", "moving")]
        for image, path in zip((case.fixed, case.moving), paths, strict=True):
            sitk.WriteImage(image, path)
        told = [
            subprocess.run([sys.executable, "-c", FRESH, *paths], capture_output=True, text=True, check=True).stdout
            for _ in range(repeats)
        ]
    print(f"{case.name}, {repeats} processes\n\n| CPU s of | median | lowest to highest |\n|---|---|---|")
    names = ("Python and import torch", "import of registration", "first answer", "second answer")
    for name, seconds in zip(names, np.transpose([line.split() for line in told]).astype(float), strict=True):
        print(f"| {name} | {np.median(seconds):.2f} | {seconds.min():.2f} to {seconds.max():.2f} |")


def installed(methods: list[str]) -> list[str]:
    """Those methods whose packages there are; says which are left out."""
    missing = [name for name in methods if name in NEEDED and importlib.util.find_spec(NEEDED[name]) is None]
    for name in missing:
        print(f"{name} is left out: the package {NEEDED[name]} is not installed.")
    return [name for name in methods if name not in missing]


def main() -> None:
    """Run every method on every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--starts", nargs="*", default=list(STARTS), choices=STARTS)
    parser.add_argument("--data", type=Path, help="folder of the real cases; none where not given")
    parser.add_argument("--fresh", action="store_true", help="what the first registration of a process costs, alone")
    options = parser.parse_args()
    if options.fresh:
        fresh(options.repeats)
        return
    methods = installed(options.methods)
    for name in methods:
        METHODS[name](*warm_up())
    errors: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    worst: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    times: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    cases = list(made_cases(options.subjects, options.starts)) + (
        list(real_cases(options.data)) if options.data else []
    )
    for case in cases:
        for _ in range(options.repeats):
            for name in methods:
                key = (case.start, case.name, name)
                found, took = timed(METHODS[name], case)
                times[key].append(took)
                apart = np.linalg.norm(applied(found)(case.points) - case.truth(case.points), axis=1)
                errors[key] += apart.tolist()
                worst[key].append(float(apart.max()))
    print(
        "| start | pair | method | median mm | 95 % mm | maximum mm | success | CPU s | lowest to highest | wall s "
        f"| times {methods[0]}'s CPU |"
    )
    print("|---" * 11 + "|")
    for key in errors:
        cpu, wall = np.transpose(times[key])
        ratio = np.median(cpu) / np.median([took for took, _ in times[(*key[:2], methods[0])]])
        good = sum(value < 2 for value in worst[key])
        print(
            f"| {' | '.join(key)} | {np.median(errors[key]):.3f} | {np.percentile(errors[key], 95):.3f} "
            f"| {max(errors[key]):.3f} | {good} of {len(worst[key])} | {np.median(cpu):.2f} "
            f"| {cpu.min():.2f} to {cpu.max():.2f} | {np.median(wall):.2f} | {ratio:.1f} |"
        )


def timed(method: Method, case: Case) -> tuple[sitk.Transform, tuple[float, float]]:
    """What a method finds, the identity where it stops by itself, and its CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    try:
        found = method(case.fixed, case.moving)
    except RuntimeError:
        found = sitk.Transform(3, sitk.sitkIdentity)
    return found, (time.process_time() - cpu, time.perf_counter() - wall)


def warm_up() -> tuple[sitk.Image, sitk.Image]:
    """Two small images, so that no import is timed."""
    x, y, z = np.indices((40, 40, 40)) - 20.0
    blob = np.exp(-(x**2 + 2 * y**2 + 3 * z**2) / 100)
    return to_image(blob, np.eye(4)), to_image(blob**2, np.eye(4))


if __name__ == "__main__":
    main()
