"""Registration by mutual information, and whether its result can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import SimpleITK as sitk
import torch

from polyscan.cores import one_torch_thread
from polyscan.errors import PolyscanError
from polyscan.geometry import to_sitk
from polyscan.registration.backends import BACKENDS
from polyscan.registration.multistart import multistart, refine
from polyscan.registration.poses import Poses
from polyscan.registration.pyramid import Pyramid
from polyscan.registration.trust import judge, measure
from polyscan.registration.volume import Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor

_FEWEST = 1000  # finite voxels of an image


@dataclass(frozen=True)
class Registration:
    """What a registration found.

    Attributes:
        transform: SimpleITK ``Euler3DTransform`` from fixed points to moving points (LPS+ millimetres), or
            ``AffineTransform`` where 12 degrees of freedom were asked for.
        trusted: whether the result can be used without a person looking at it.
        reason: why it is trusted, or why not.
        mutual_information: at the headers' alignment and at the end, in nats.
        measures: what ``trusted`` was decided by; see :func:`polyscan.registration.trust.measure`.
        engine: that followed the pose.
    """

    transform: sitk.Transform
    trusted: bool
    reason: str
    mutual_information: tuple[float, float]
    measures: dict[str, float]
    engine: str


def register_rigid(
    fixed: sitk.Image | MetaTensor,
    moving: sitk.Image | MetaTensor,
    *,
    engine: str = "torch",
    both_ways: bool = False,
    seed: int = 0,
    degrees_of_freedom: int = 6,
    device: torch.device | str = "cpu",
) -> Registration:
    """Find the rigid transform that lays a moving image on a fixed one.

    Many poses are tried at low resolution (:func:`polyscan.registration.multistart.multistart`); the best is followed
    to 1 mm by an engine. Points are sampled in the image with the larger voxels: the other one then never has to be
    thinned out. The same seed gives the same result.

    Args:
        fixed: 3D image in millimetres, one of ITK's or a (1, x, y, z) tensor with a RAS+ affine, as
            :func:`polyscan.read_study` gives; NaN is outside the field of view.
        moving: another one.
        engine: ``"torch"`` (second-order steps, no further package), ``"elastix"`` or ``"simpleitk"``.
        both_ways: whether the engine is to follow moving to fixed as well, and the result to be trusted only where the
            two agree; without it the way back is followed at 4 mm.
        seed: of the quasi-random points.
        degrees_of_freedom: 6, or 12 for an affine transform (an atlas, or PET with its own attenuation map); with the
            torch engine only.
        device: of the torch engine and the search.

    Returns:
        The transform and whether to trust it: see :func:`polyscan.registration.trust.judge`. Where an image is
        constant or next to empty, the identity, not trusted. ``polyscan.preprocess.resample(moving, fixed,
        found.transform)`` lays one tensor on the other.

    Raises:
        PolyscanError: no such engine, degrees of freedom that it has not, or an image that is not 3D.
    """
    return register_study(
        fixed,
        [moving],
        engine=engine,
        both_ways=both_ways,
        seed=seed,
        degrees_of_freedom=degrees_of_freedom,
        device=device,
    )[0]


def register_study(
    fixed: sitk.Image | MetaTensor,
    moving: Iterable[sitk.Image | MetaTensor],
    *,
    engine: str = "torch",
    both_ways: bool = False,
    seed: int = 0,
    degrees_of_freedom: int = 6,
    device: torch.device | str = "cpu",
) -> list[Registration]:
    """Register several images to one, whose resolutions and points are made once; see :func:`register_rigid`."""
    if engine not in BACKENDS and engine != "torch":
        raise PolyscanError(f"Engine {engine!r} is not known; use torch, {', '.join(BACKENDS)}.")
    if degrees_of_freedom not in (6, 12) or (degrees_of_freedom == 12 and engine != "torch"):
        raise PolyscanError(
            f"The {engine} engine has no transform of {degrees_of_freedom} degrees of freedom; use 6, or the torch "
            "engine with 12."
        )
    with one_torch_thread():
        still = Pyramid(_volume(fixed, device))
        return [
            _register(
                (fixed, image),
                (still, Pyramid(_volume(image, device))),
                engine,
                both_ways,
                seed,
                degrees_of_freedom == 12,
            )
            for image in moving
        ]


def _volume(image: sitk.Image | MetaTensor, device: torch.device | str) -> Volume:
    if isinstance(image, sitk.Image):
        return Volume.of_image(image, device)
    if not hasattr(image, "affine"):
        raise PolyscanError(
            f"{type(image).__name__} tells no affine; give tensors as of polyscan.read_study, or images of SimpleITK."
        )
    return Volume.of_tensor(image, device)


def _register(
    images: tuple[sitk.Image | MetaTensor, sitk.Image | MetaTensor],
    pyramids: tuple[Pyramid, Pyramid],
    engine: str,
    both_ways: bool,
    seed: int,
    affine: bool,
) -> Registration:
    for name, pyramid in zip(("fixed", "moving"), pyramids, strict=True):
        problem = pyramid.volume.problem(_FEWEST)
        if problem:
            nowhere = Poses.identity().to_itk(pyramids[0].volume.centre, affine=affine)
            return Registration(nowhere, False, f"the {name} image {problem}", (0.0, 0.0), {}, engine)
    first, second = (pyramid.volume.spacing.prod() for pyramid in pyramids)
    swap = second > first * (1 + 1e-6)
    fixed, moving = reversed(pyramids) if swap else pyramids
    poses, values = multistart(fixed, moving, seed)
    if engine == "torch":
        found = refine(fixed, moving, poses[:1], seed, affine=affine)
        back = refine(moving, fixed, found.inverse(), seed, affine=affine) if both_ways else None
    else:
        both = [image if isinstance(image, sitk.Image) else to_sitk(image) for image in images]
        still, moved = reversed(both) if swap else both
        found = BACKENDS[engine](still, moved, poses[:1], seed)
        back = BACKENDS[engine](moved, still, found.inverse(), seed) if both_ways else None
    measures, information = measure(fixed, moving, found, poses, values, seed, back, affine=affine)
    trusted, reason = judge(measures)
    found = found.inverse() if swap else found
    transform = found.to_itk(pyramids[0].volume.centre, affine=affine)
    return Registration(transform, trusted, reason, information, measures, engine)
