"""What is shown of a volume: its voxels in the order of a picture, few enough for a page or a screen."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import SimpleITK as sitk
import torch
from matplotlib import colormaps
from monai.data import MetaTensor
from torch.nn.functional import adaptive_avg_pool3d, adaptive_max_pool3d

from polyscan.geometry import empty_image, from_sitk, same_grid, spacing_of, to_sitk
from polyscan.modality import find_modality


class Display:
    """The grid on which a study is shown, whatever the order and direction of the axes of its scans.

    By radiological convention the patient's right is on the left of a picture: the first axis runs to the patient's
    left, the second to the back, the third to the head (LPS), along those of the study that are nearest to them.

    Args:
        grid: (1, x, y, z) on whose axes the study lies.
        most: voxels that may be shown. Where there are more, the finest axes are made coarser until it is so few.

    Attributes:
        shape: (3,) voxels.
        spacing: (3,) millimetres.
        affine: (4, 4) to RAS+ millimetres.
    """

    def __init__(self, grid: MetaTensor, most: int) -> None:
        affine = np.asarray(grid.affine, dtype=float)
        spacing = spacing_of(affine)
        self._grid = empty_image(grid.shape[1:], grid.affine)
        # Which array axis runs along each of right-left, front-back and foot-head.
        self._axes = np.argsort(nibabel.io_orientation(affine)[:, 0]).tolist()
        towards = affine[[0, 1, 2], self._axes] * [-1, -1, 1]
        self._flipped = [axis for axis in range(3) if towards[axis] < 0]
        full = np.array(grid.shape[1:])[self._axes]
        self.shape = _reduced(full, spacing[self._axes], most)
        to_voxel = np.zeros((4, 4))  # from a voxel shown to one of the grid
        to_voxel[3, 3] = 1
        for axis, (own, size, shown) in enumerate(zip(self._axes, full, self.shape, strict=True)):
            step, first = size / shown, (size / shown - 1) / 2
            back = axis in self._flipped
            to_voxel[own, axis], to_voxel[own, 3] = (-step, size - 1 - first) if back else (step, first)
        self.affine = affine @ to_voxel
        self.spacing = spacing_of(self.affine)

    def image(self, image: MetaTensor) -> np.ndarray:
        """A scan (1, x, y, z) as it is shown: float32 means over voxels, NaN where most was not scanned."""
        values = self._ordered(self._on_grid(image, nearest=False)[0].to(torch.float32))
        finite = values.isfinite()
        size = self.shape
        seen = adaptive_avg_pool3d(finite.to(torch.float32)[None], size)[0]
        mean = adaptive_avg_pool3d(torch.where(finite, values, 0.0)[None], size)[0] / seen
        return torch.where(seen >= 0.5, mean, torch.nan).numpy()

    def labels(self, mask: MetaTensor) -> np.ndarray:
        """A mask (1, x, y, z) as it is shown, uint8: of voxels that become one the highest label, so none is lost."""
        values = self._ordered(self._on_grid(mask, nearest=True)[0].to(torch.float32))
        return adaptive_max_pool3d(values[None], self.shape)[0].to(torch.uint8).numpy()

    def moved(self, image: MetaTensor, transform: str | Path) -> np.ndarray:
        """A registered scan laid back where its header had it, as it is shown; NaN outside.

        At a point x of the reference the prepared scan shows the scan's own point T x, so that the scan as its header
        has it is, at x, what the prepared scan is at the inverse of T.

        Args:
            image: the prepared scan (1, x, y, z).
            transform: the file of T, from points of the reference to those of the scan.
        """
        back = sitk.ReadTransform(str(transform)).GetInverse()
        target = to_sitk(empty_image(self.shape, self.affine))
        moved = sitk.Resample(to_sitk(_float(image)), target, back, sitk.sitkLinear, float("nan"), sitk.sitkFloat32)
        return from_sitk(moved)[0].numpy()

    def middle(self, *masks: np.ndarray) -> list[int]:
        """A voxel in the middle of the first mask that holds anything, or of the grid."""
        for mask in masks:
            if mask.any():
                voxels = np.argwhere(mask)
                return [int(i) for i in voxels[np.linalg.norm(voxels - voxels.mean(0), axis=1).argmin()]]
        return [size // 2 for size in self.shape]

    def _on_grid(self, image: MetaTensor, nearest: bool) -> torch.Tensor:
        """A scan that has kept a grid of its own, as it is seen on that of the study."""
        if same_grid(image, self._grid):
            return image.as_tensor()
        how, outside = (sitk.sitkNearestNeighbor, 0.0) if nearest else (sitk.sitkLinear, float("nan"))
        own = to_sitk(_float(image))
        return from_sitk(sitk.Resample(own, to_sitk(self._grid), sitk.Transform(), how, outside)).as_tensor()

    def _ordered(self, values: torch.Tensor) -> torch.Tensor:
        return values.permute(self._axes).flip(self._flipped)


def _float(image: MetaTensor) -> MetaTensor:
    return MetaTensor(image.as_tensor().to(torch.float32), affine=image.affine)


def window(name: str, values: np.ndarray) -> tuple[float, float]:
    """What is black and what is white: the window of the modality where it has one, otherwise percentiles."""
    known = find_modality(name)
    if known is not None and known.window is not None:
        return known.window
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, [1, 99.5]) if finite.size else (0.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1


def colour_map(name: str) -> np.ndarray:
    """The (256, 3) uint8 colours of a modality, from the lowest value that is shown to the highest."""
    known = find_modality(name)
    chosen = colormaps["gray" if known is None else known.colours]
    return np.round(chosen(np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)


def _reduced(shape: np.ndarray, spacing: np.ndarray, most: int) -> tuple[int, int, int]:
    """The sizes of a grid whose voxels are coarsened, the finest first, until there are not more than ``most``."""
    target = spacing.min()
    while True:
        sizes = np.maximum(1, np.round(shape * np.minimum(1, spacing / target))).astype(int)
        if sizes.prod() <= most:
            return int(sizes[0]), int(sizes[1]), int(sizes[2])
        target *= 1.01
