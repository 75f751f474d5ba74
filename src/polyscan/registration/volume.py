"""An image as a tensor that can be asked for its values, and how they change, at points of the patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
import torch

from polyscan.errors import PolyscanError
from polyscan.geometry import FLIP, check_rectangular

if TYPE_CHECKING:
    from monai.data import MetaTensor

KNOTS = 257
_QUANTILES_FROM = 16_384  # voxels
_TAILS = (0.005, 0.995)
_SLAB = 2**22  # voxels that are looked at in one go, so that no copy of a whole body is made


@dataclass(frozen=True)
class Volume:
    """A 3D image in LPS+ millimetres.

    Attributes:
        values: (z, y, x) float32, not always contiguous; NaN is outside the field of view.
        to_point: (3, 4) from (x, y, z) indices to millimetres.
        table: (KNOTS,) the gray level in [0, 1] of intensities spread evenly over ``span``: half-way between the
            intensity itself and its rank, so that neither bone in CT nor air in PET leaves all other tissue one bin.
        span: lowest and highest intensity of the table.
        finite: part of the voxels that is finite.
    """

    values: torch.Tensor
    to_point: np.ndarray
    table: torch.Tensor
    span: tuple[float, float]
    finite: float

    @staticmethod
    def of(values: torch.Tensor, to_point: np.ndarray) -> Volume:
        """A volume whose gray levels are those of its own intensities."""
        whole = bool(torch.isfinite(values.sum()))
        if not whole and any(bool(slab.isinf().any()) for slab in _slabs(values, whole=True)):
            values = values.masked_fill(values.isinf(), torch.nan)
        number = sum(len(slab) for slab in _slabs(values, whole=whole))
        if not number:
            return Volume(values, to_point, torch.zeros(KNOTS, device=values.device), (0.0, 1.0), 0.0)
        finite = number / values.numel()
        some = _every(_slabs(values, whole=whole), max(1, number // _QUANTILES_FROM)).sort().values
        low, high = (float(some[int(part * (len(some) - 1))]) for part in _TAILS)
        if not high > low:
            low, high = float(some[0]), max(float(some[-1]), float(some[0]) + 1e-6)
        knots = torch.linspace(low, high, KNOTS, device=values.device)
        below, upto = (torch.searchsorted(some, knots, right=right) for right in (False, True))
        rank = (below + upto).float() / (2 * len(some))
        rank = (rank - rank[0]) / (rank[-1] - rank[0]).clamp(min=1e-6)
        table = (torch.linspace(0, 1, KNOTS, device=values.device) + rank) / 2
        return Volume(values, to_point, table, (low, high), finite)

    @staticmethod
    def of_image(image: sitk.Image, device: torch.device | str = "cpu") -> Volume:
        """A SimpleITK image, its direction cosines and origin.

        Raises:
            PolyscanError: it is not 3D, or has several values a voxel.
        """
        _check_3d(image.GetDimension(), image.GetNumberOfComponentsPerPixel())
        array = sitk.GetArrayViewFromImage(image).astype(np.float32)
        axes = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        return Volume.of(torch.from_numpy(array).to(device), np.column_stack([axes, image.GetOrigin()]))

    @staticmethod
    def of_tensor(image: MetaTensor, device: torch.device | str = "cpu") -> Volume:
        """A (1, x, y, z) tensor with a RAS+ affine; its values are not copied where they are float32 on that device.

        Raises:
            PolyscanError: it is not 3D, has several values a voxel, or its axes are not perpendicular.
        """
        _check_3d(image.ndim - 1, image.shape[0])
        affine = np.asarray(image.affine, dtype=float)
        check_rectangular(affine)
        values = image.as_tensor()[0].permute(2, 1, 0)
        return Volume.of(values.to(device, torch.float32), (FLIP @ affine)[:3])

    @property
    def size(self) -> tuple[int, int, int]:
        """(x, y, z) voxels."""
        z, y, x = self.values.shape
        return x, y, z

    @property
    def spacing(self) -> np.ndarray:
        """(3,) millimetres along x, y, z of the grid."""
        return np.linalg.norm(self.to_point[:, :3], axis=0)

    @property
    def field_of_view(self) -> float:
        """How many cubic millimetres hold finite values."""
        return self.finite * float(np.prod(self.size) * np.prod(self.spacing))

    @property
    def to_index(self) -> np.ndarray:
        """(3, 4) from millimetres to (x, y, z) indices."""
        inverse = np.linalg.inv(self.to_point[:, :3])
        return np.column_stack([inverse, -inverse @ self.to_point[:, 3]])

    @property
    def centre(self) -> np.ndarray:
        """(3,) centre of the grid in millimetres."""
        return self.to_point @ np.append((np.array(self.size) - 1) / 2, 1.0)

    def problem(self, fewest: int) -> str:
        """Why nothing can be aligned by this image, or nothing where it can."""
        finite = round(self.finite * self.values.numel())
        if finite < fewest:
            return f"has only {finite} finite voxels; at least {fewest} are needed"
        ends = [float(end) for slab in _slabs(self.values, whole=self.finite == 1) for end in slab.aminmax()]
        if min(ends) == max(ends):
            return f"is constant ({ends[0]:g} in every voxel), so that nothing can be aligned by it"
        return ""

    def shrunk(self, spacing: float) -> Volume:
        """Blocks of voxels averaged so that no axis is finer than about ``spacing`` mm; NaN is left out."""
        factors = [max(1, min(round(spacing / s), n)) for s, n in zip(self.spacing, self.size, strict=True)]
        if max(factors) == 1:
            return replace(self, values=self.values.contiguous())
        planes = max(1, _SLAB // (self.values[0].numel() * factors[2])) * factors[2]
        last = len(self.values) // factors[2] * factors[2]
        values = torch.cat([_means(slab, factors) for slab in self.values[:last].split(planes)])
        first = self.to_point @ np.append((np.array(factors) - 1) / 2, 1.0)
        return Volume.of(values, np.column_stack([self.to_point[:, :3] * factors, first]))

    def smoothed(self, coarsest: float) -> Volume:
        """The image weighted 1, 2, 1 along each axis whose voxels are at most ``coarsest`` mm; NaN is left out."""
        axes = [2 - n for n in np.flatnonzero(self.spacing <= coarsest)]
        is_finite = torch.isfinite(self.values)
        if bool(is_finite.all()):
            return Volume.of(_binomial(self.values, axes), self.to_point)
        weight = _binomial(is_finite.float(), axes)
        values = _binomial(self.values.nan_to_num(0.0), axes) / weight.clamp(min=1e-6)
        return Volume.of(torch.where(is_finite, values, torch.nan), self.to_point)

    def gray(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gray levels in [0, 1] of intensities, and how fast they change with them."""
        low, high = self.span
        scale = (KNOTS - 1) / (high - low)
        at = ((values - low) * scale).clamp_(0, KNOTS - 1 - 1e-4)
        knot = at.floor()
        fraction, knot = at.sub_(knot), knot.int().reshape(-1)
        under = self.table.index_select(0, knot).view(values.shape)
        slope = (self.table[1:] - self.table[:-1]).index_select(0, knot).view(values.shape)
        inside = (values > low) & (values < high)
        return under + fraction * slope, slope * scale * inside


def _check_3d(dimensions: int, values: int) -> None:
    if dimensions != 3 or values != 1:
        raise PolyscanError(
            f"An image of {dimensions} dimensions and {values} values a voxel cannot be registered; give 3D images of "
            "one value a voxel."
        )


def _slabs(values: torch.Tensor, *, whole: bool) -> Iterator[torch.Tensor]:
    """The (voxel,) values of one stretch of slices after another, those that are NaN left out unless ``whole``."""
    for slab in values.split(max(1, _SLAB // values[0].numel())):
        flat = slab.reshape(-1)
        flat = flat if whole else flat[~flat.isnan()]
        if len(flat):
            yield flat


def _every(slabs: Iterator[torch.Tensor], step: int) -> torch.Tensor:
    """Each ``step``-th value of all slabs."""
    chosen, first = [], 0
    for slab in slabs:
        chosen.append(slab[first::step])
        first = (first - len(slab)) % step
    return torch.cat(chosen)


def _means(values: torch.Tensor, factors: list[int]) -> torch.Tensor:
    """(z, y, x) means of what is finite in blocks of (x, y, z) factors; NaN where it is no more than half of one."""
    size = float(np.prod(factors))
    sums = _block_sums(values, factors)
    if bool(torch.isfinite(sums.sum())):
        return sums / size
    is_finite = torch.isfinite(values)
    share = _block_sums(is_finite.float(), factors) / size
    means = _block_sums(values.nan_to_num(0.0), factors) / size / share
    return torch.where(share > 0.5, means, torch.nan)


def _block_sums(values: torch.Tensor, factors: list[int]) -> torch.Tensor:
    """(z, y, x) sums over blocks of (x, y, z) factors; what is left over at the ends is dropped."""
    for axis, factor in zip((0, 1, 2), reversed(factors), strict=True):
        last = values.shape[axis] // factor * factor
        parts = [values[(slice(None),) * axis + (slice(k, last, factor),)] for k in range(factor)]
        values = parts[0] if factor == 1 else sum(parts[1:], parts[0])
    return values


def _binomial(values: torch.Tensor, axes: list[int]) -> torch.Tensor:
    for axis in axes:
        count = values.shape[axis]
        first, last = values.narrow(axis, 0, 1), values.narrow(axis, count - 1, 1)
        padded = torch.cat([first, values, last], dim=axis)
        values = (padded.narrow(axis, 0, count) + padded.narrow(axis, 2, count)) * 0.25 + values * 0.5
    return values.contiguous()


def trilinear(volume: Volume, index: torch.Tensor, slopes: bool = True) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Interpolate linearly.

    Args:
        volume: what to look into.
        index: (3, point) continuous (x, y, z) indices.
        slopes: whether to return how values change.

    Returns:
        (point,) values, NaN outside the grid and beside voxels that are NaN, and (3, point) their derivatives by the
        indices where asked for.
    """
    nx, ny, nz = volume.size
    last = torch.tensor([nx - 1.0, ny - 1.0, nz - 1.0], device=index.device)[:, None]
    outside = ((index < 0) | (index > last)).any(0)
    low = index.floor().clamp_(min=0).minimum((last - 1).clamp(min=0))
    fx, fy, fz = (index - low).unbind(0)
    x, y, z = low.int().unbind(0)
    first = (z * ny + y) * nx + x
    flat = volume.values.view(-1)
    step = (int(nx > 1), nx * int(ny > 1), nx * ny * int(nz > 1))
    corner = [
        flat.index_select(0, first + (i * step[0] + j * step[1] + k * step[2]))
        for k in (0, 1)
        for j in (0, 1)
        for i in (0, 1)
    ]
    along_x = [corner[n + 1] - corner[n] for n in (0, 2, 4, 6)]
    rows = [torch.addcmul(corner[n], along_x[n // 2], fx) for n in (0, 2, 4, 6)]
    along_y = [rows[1] - rows[0], rows[3] - rows[2]]
    planes = [torch.addcmul(rows[0], along_y[0], fy), torch.addcmul(rows[2], along_y[1], fy)]
    along_z = planes[1] - planes[0]
    value = torch.addcmul(planes[0], along_z, fz).masked_fill_(outside, torch.nan)
    if not slopes:
        return value, None
    by_y = torch.addcmul(along_y[0], along_y[1] - along_y[0], fz)
    front = torch.addcmul(along_x[0], along_x[1] - along_x[0], fy)
    back = torch.addcmul(along_x[2], along_x[3] - along_x[2], fy)
    by_x = torch.addcmul(front, back - front, fz)
    return value, torch.stack([by_x, by_y, along_z])
