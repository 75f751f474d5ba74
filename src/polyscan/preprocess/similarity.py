"""How much one image tells about another at a given alignment: mutual information of sampled voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk

_BINS = 32
_SAMPLES = 30_000
_LEAST_OVERLAP = 0.2


class MutualInformation:
    """Mutual information between a fixed and a moving image as a function of the transform between them.

    I = sum p(a, b) log(p(a, b) / (p(a) p(b))) over a joint histogram (Mattes et al., IEEE TMI 22, 2003, equation 3,
    with box bins, which suffice to compare alignments), less what few samples feign (Miller, 1955: half the bins in
    use per sample). Voxels are drawn once, so that values can be compared.

    Args:
        fixed, moving: 3D images; NaN is outside the field of view.
        spacing: millimetres to smooth and shrink to; None keeps the images as they are.
        seed: draws the voxels.
    """

    def __init__(self, fixed: sitk.Image, moving: sitk.Image, *, spacing: float | None = None, seed: int = 0) -> None:
        import SimpleITK as sitk

        if spacing is not None:
            fixed, moving = shrink(fixed, spacing), shrink(moving, spacing)
        values = sitk.GetArrayViewFromImage(fixed)
        chosen = np.argwhere(np.isfinite(values))
        generator = np.random.default_rng(seed)
        if len(chosen) > _SAMPLES:
            chosen = chosen[generator.choice(len(chosen), _SAMPLES, replace=False)]
        self._fixed = _bins(values[tuple(chosen.T)])
        self._volume = _volume(fixed), _volume(moving)
        self._points = chosen[:, ::-1] @ _index_to_point(fixed).T + np.array(fixed.GetOrigin())
        self._moving = sitk.GetArrayFromImage(moving).astype(np.float32)
        self._low, self._high = np.nanpercentile(self._moving, [0.5, 99.5])
        self._to_index = np.linalg.inv(_index_to_point(moving))
        self._origin = np.array(moving.GetOrigin())

    def __call__(self, matrix: np.ndarray, offset: np.ndarray) -> float:
        """The mutual information, in nats, when fixed point x is moving point ``matrix @ x + offset``."""
        return self.with_overlap(matrix, offset)[0]

    def with_overlap(self, matrix: np.ndarray, offset: np.ndarray) -> tuple[float, float]:
        """The mutual information and the part of the smaller field of view that lies inside the other."""
        from scipy.ndimage import map_coordinates

        index = (self._points @ matrix.T + offset - self._origin) @ self._to_index.T
        moving = map_coordinates(self._moving, index[:, ::-1].T, order=1, cval=np.nan, output=np.float32)
        reached = np.isfinite(moving)
        overlap = min(float(reached.mean()) * self._volume[0] / min(self._volume), 1.0)
        if overlap < _LEAST_OVERLAP:
            return 0.0, overlap
        joint = np.zeros((_BINS, _BINS))
        np.add.at(joint, (self._fixed[reached], _bins(moving[reached], self._low, self._high)), 1)
        joint /= joint.sum()
        rows, columns, there = joint.sum(1, keepdims=True), joint.sum(0, keepdims=True), joint > 0
        feigned = (there.sum() - (rows > 0).sum() - (columns > 0).sum() + 1) / (2 * reached.sum())
        information = (joint[there] * np.log(joint[there] / (rows * columns)[there])).sum()
        return float(information - feigned), overlap


def shrink(image: sitk.Image, spacing: float) -> sitk.Image:
    """Average blocks of voxels so that no axis is finer than about ``spacing`` millimetres; NaN is left out."""
    import SimpleITK as sitk

    factors = [max(1, min(round(spacing / s), n)) for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)]
    if max(factors) == 1:
        return sitk.Cast(image, sitk.sitkFloat32)
    array = sitk.GetArrayViewFromImage(image)
    there = sitk.GetImageFromArray(np.isfinite(array).astype(np.float32))
    filled = sitk.GetImageFromArray(np.nan_to_num(array).astype(np.float32))
    for new in (there, filled):
        new.CopyInformation(image)
    weight = sitk.BinShrink(there, factors)
    mean = sitk.BinShrink(filled, factors) / sitk.Maximum(weight, 1e-6)
    return sitk.Mask(mean, weight > 0.5, outsideValue=float("nan"))


def _volume(image: sitk.Image) -> float:
    """Cubic millimetres that were measured."""
    import SimpleITK as sitk

    return float(np.isfinite(sitk.GetArrayViewFromImage(image)).sum() * np.prod(image.GetSpacing()))


def _index_to_point(image: sitk.Image) -> np.ndarray:
    return np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())


def _bins(values: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    if low is None or high is None:
        low, high = np.percentile(values, [0.5, 99.5])
    scale = (_BINS - 1e-3) / max(float(high) - float(low), 1e-12)
    return np.clip((values - low) * scale, 0, _BINS - 1).astype(np.intp)
