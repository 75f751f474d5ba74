"""How much one image tells about another at given alignments: mutual information of sampled points, differentiable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import grid_sample

if TYPE_CHECKING:
    import SimpleITK as sitk

_LEAST_OVERLAP = 0.2
_KNOTS = 257


class MutualInformation:
    """Mutual information between a fixed and a moving image as a function of the transforms between them.

    I = sum p(a, b) log(p(a, b) / (p(a) p(b))) with p a Parzen estimate: box bins for the fixed image, cubic B-splines
    for the moving one (Mattes et al., IEEE TMI 22, 2003, equations 3 and 7). Bins hold equally many voxels, so that
    neither bone in CT nor air in PET leaves all other tissue one bin. Points are drawn once, off the grid, so that
    values can be compared and no transform is favoured because it maps voxels onto voxels.

    Args:
        fixed, moving: 3D images; NaN is outside the field of view.
        samples: how many points.
        bins: of either image.
        seed: draws the points.
    """

    def __init__(
        self,
        fixed: sitk.Image,
        moving: sitk.Image,
        *,
        samples: int = 20_000,
        bins: int = 32,
        seed: int = 0,
    ) -> None:
        still, self._moving, self.bins = _Volume(fixed), _Volume(moving), bins
        self._smaller = min(still.measured, self._moving.measured) / still.measured
        generator = torch.Generator().manual_seed(seed)
        index = torch.rand(int(samples / max(still.share, 0.05)), 3, generator=generator) * still.last
        points = still.point(index)
        values, inside = still.at(points[None])
        kept = inside[0] > 0.99
        self._points = points[kept]
        self._fixed = (still.rank(values[0][kept]) * bins).long().clamp_(0, bins - 1)

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._points)

    def __call__(
        self, matrices: torch.Tensor, offsets: torch.Tensor, chosen: torch.Tensor | slice = slice(None)
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mutual information when fixed point x is moving point ``matrix @ x + offset``.

        Args:
            matrices: (start, 3, 3).
            offsets: (start, 3), in millimetres.
            chosen: which of the points to use; all if not given.

        Returns:
            (start,) mutual information in nats, 0 where the images hardly overlap, and (start,) the part of the smaller
            field of view that lies inside the other.
        """
        ranks, weight, overlap = self._seen(matrices, offsets, chosen)
        return self._information(self._fixed[chosen], ranks, weight) * (overlap >= _LEAST_OVERLAP), overlap

    def above_chance(self, matrices: torch.Tensor, offsets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same over all points, less what as many feign: what is left when fixed values go to other points."""
        ranks, weight, overlap = self._seen(matrices, offsets)
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        found, feigned = (self._information(fixed, ranks, weight) for fixed in (self._fixed, self._fixed[order]))
        return (found - feigned).clamp(min=0) * (overlap >= _LEAST_OVERLAP), overlap

    def _seen(
        self, matrices: torch.Tensor, offsets: torch.Tensor, chosen: torch.Tensor | slice = slice(None)
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(start, point) ranks of the moving image and weights at the points, and (start,) overlaps."""
        values, weight = self._moving.at(self._points[chosen] @ matrices.transpose(1, 2) + offsets[:, None])
        return self._moving.rank(values), weight, (weight.mean(1) / self._smaller).clamp(max=1)

    def _information(self, fixed: torch.Tensor, ranks: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        joint = self._joint(fixed, ranks, weight)
        joint = joint / joint.sum((1, 2), keepdim=True).clamp(min=1e-6)
        rows, columns = joint.sum(2, keepdim=True), joint.sum(1, keepdim=True)
        tiny = torch.finfo(joint.dtype).tiny
        return (joint * (joint.clamp(min=tiny) / (rows * columns).clamp(min=tiny)).log()).sum((1, 2))

    def _joint(self, fixed: torch.Tensor, ranks: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """(start, bin of fixed, bin of moving) weights."""
        starts, bins = len(ranks), self.bins
        at = 1 + ranks * (bins - 3)  # a bin beside either end for the splines' tails
        low = at.detach().floor().clamp(1, bins - 3)
        t = at - low
        splines = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        first = (torch.arange(starts)[:, None] * bins + fixed) * bins + low.long() - 1
        joint = torch.zeros(starts * bins * bins)
        for k, spline in enumerate(splines):
            joint = joint.index_add(0, (first + k).reshape(-1), (spline * weight / 6).reshape(-1))
        return joint.view(starts, bins, bins)


class _Volume:
    """An image that can be asked for its values at points of the patient."""

    def __init__(self, image: sitk.Image) -> None:
        import SimpleITK as sitk

        values = torch.from_numpy(sitk.GetArrayFromImage(image).astype(np.float32, copy=False))
        finite = torch.isfinite(values)
        self.share = float(finite.float().mean())
        self.measured = float(finite.sum()) * float(np.prod(image.GetSpacing()))
        some = (values if self.share == 1 else values[finite]).reshape(-1)
        some = some[torch.linspace(0, len(some) - 1, min(len(some), 65_536)).long()].sort().values
        self._knots = some[torch.linspace(0, len(some) - 1, _KNOTS).long()]
        whole = [values] if self.share == 1 else [values.nan_to_num(0), finite.float()]
        self._data = torch.stack(whole)[None]
        to_point = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
        self._to_point = torch.tensor(to_point, dtype=torch.float32)
        self._to_index = torch.tensor(np.linalg.inv(to_point), dtype=torch.float32)
        self._origin = torch.tensor(image.GetOrigin(), dtype=torch.float32)
        self.last = torch.tensor(image.GetSize(), dtype=torch.float32) - 1

    def point(self, index: torch.Tensor) -> torch.Tensor:
        """(point, 3) millimetres of continuous indices."""
        return index @ self._to_point.T + self._origin

    def at(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(start, point) values at (start, point, 3) millimetres, by linear interpolation, and how far inside."""
        index = (points - self._origin) @ self._to_index.T
        grid = 2 * index / self.last.clamp(min=1) - 1
        found = grid_sample(self._data, grid.reshape(1, 1, 1, -1, 3), align_corners=True, padding_mode="border")
        value = found[0, :, 0, 0].view(-1, *points.shape[:2])
        inside = (grid.detach().abs() <= 1).all(-1).float()
        if len(value) == 1:
            return value[0], inside
        return value[0] / value[1].clamp(min=1e-3), value[1] * inside

    def rank(self, values: torch.Tensor) -> torch.Tensor:
        """What part of the voxels is darker, in [0, 1]: the distribution function, linear between its knots."""
        after = torch.searchsorted(self._knots, values.detach().contiguous()).clamp(1, _KNOTS - 1)
        low, high = self._knots[after - 1], self._knots[after]
        between = ((values - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        return (after - 1 + between) / (_KNOTS - 1)


def shrink(image: sitk.Image, spacing: float) -> sitk.Image:
    """Average blocks of voxels so that no axis is finer than about ``spacing`` millimetres; NaN is left out."""
    import SimpleITK as sitk

    factors = [max(1, min(round(spacing / s), n)) for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)]
    image = sitk.Cast(image, sitk.sitkFloat32)
    if max(factors) == 1:
        return image
    array = sitk.GetArrayViewFromImage(image)
    finite = np.isfinite(array)
    if finite.all():
        return sitk.BinShrink(image, factors)
    there = sitk.GetImageFromArray(finite.astype(np.float32))
    filled = sitk.GetImageFromArray(np.nan_to_num(array).astype(np.float32))
    for new in (there, filled):
        new.CopyInformation(image)
    weight = sitk.BinShrink(there, factors)
    mean = sitk.BinShrink(filled, factors) / sitk.Maximum(weight, 1e-6)
    return sitk.Mask(mean, weight > 0.5, outsideValue=float("nan"))
