"""Scales for scans that have none of their own, and the ways back from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyscan.errors import PolyscanError
from polyscan.files.atomic import read_json, write_json
from polyscan.files.schema import decoded, encoded

_NYUL = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)
_QUANTILES = tuple(np.linspace(0.5, 99.5, 100).tolist())

_ROUNDING = 1e-6  # of the mean: what varies by less is one value in single precision


@dataclass(frozen=True)
class Standardization:
    """(value - centre) / scale.

    Attributes:
        centre, scale: in the scan's own unit.
    """

    centre: float
    scale: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The values on the scale, float32; NaN stays."""
        return ((values - self.centre) / self.scale).astype(np.float32)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """The values in the scan's own unit again."""
        return (values * self.scale + self.centre).astype(np.float32)


def z_score(values: np.ndarray, mask: np.ndarray) -> Standardization:
    """Mean 0 and standard deviation 1 inside the mask.

    Args:
        values: any shape; NaN stays.
        mask: bool, same shape.

    Raises:
        PolyscanError: nothing finite lies inside the mask, or it is all one value.
    """
    inside = _inside(values, mask)
    return _standardization(float(inside.mean()), float(inside.std()))


def robust_z_score(values: np.ndarray, mask: np.ndarray) -> Standardization:
    """Median 0 and median absolute deviation 1 / 1.4826, which is a standard deviation of 1 in a normal distribution.

    A tumour or a vein that is far brighter than all else moves neither. Arguments and errors as of :func:`z_score`.
    """
    inside = _inside(values, mask)
    median = float(np.median(inside))
    return _standardization(median, 1.4826 * float(np.median(np.abs(inside - median))))


@dataclass(frozen=True)
class Landmarks:
    """A piecewise linear map of intensities, straight on beyond its ends.

    Attributes:
        own: rising intensities of the scan.
        standard: what each becomes.
    """

    own: np.ndarray
    standard: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The values on the standard scale, float32; NaN stays."""
        return _piecewise(values, self.own, self.standard)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """The values in the scan's own unit again."""
        return _piecewise(values, self.standard, self.own)


@dataclass(frozen=True)
class HistogramStandard:
    """The standard scale of a cohort (Nyul and Udupa, MRM 42, 1999; percentiles of Shah et al., MedIA 15, 2011).

    Attributes:
        percentiles: at which scans are matched.
        standard: the intensity that each has on the standard scale, of 0 to 100.
    """

    percentiles: tuple[float, ...]
    standard: tuple[float, ...]

    @classmethod
    def fit(
        cls, scans: Sequence[tuple[np.ndarray, np.ndarray]], percentiles: Sequence[float] = _NYUL
    ) -> HistogramStandard:
        """Learn it: each scan's percentiles are laid on 0 to 100, and averaged.

        Args:
            scans: values and bool mask of each, of one modality.
            percentiles: rising, from 0 to 100.

        Raises:
            PolyscanError: no scan, or one without contrast.
        """
        if not scans:
            raise PolyscanError("A standard histogram needs at least one scan.")
        landmarks = np.array([_percentiles(values, mask, percentiles) for values, mask in scans])
        contrast = landmarks[:, -1:] - landmarks[:, :1]
        return cls(tuple(percentiles), tuple(((landmarks - landmarks[:, :1]) / contrast * 100).mean(0).tolist()))

    def match(self, values: np.ndarray, mask: np.ndarray) -> Landmarks:
        """What brings a scan onto the standard scale.

        Raises:
            PolyscanError: the scan has no contrast inside the mask.
        """
        return Landmarks(_percentiles(values, mask, self.percentiles), np.array(self.standard))

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        write_json(path, encoded(self))

    @classmethod
    def load(cls, path: str | Path) -> HistogramStandard:
        """Read what :meth:`save` wrote.

        Raises:
            PolyscanError: the file is missing or holds something else.
        """
        found = decoded(cls, read_json(path), str(path))
        count = len(found.percentiles)
        if count < 2 or len(found.standard) != count or np.diff(found.standard).min() <= 0:
            raise PolyscanError(
                f"{path} is no standard histogram; make one with HistogramStandard.fit(...).save(path)."
            )
        return found


def match_histogram(
    values: np.ndarray, mask: np.ndarray, reference: np.ndarray, reference_mask: np.ndarray
) -> Landmarks:
    """What gives a scan the distribution of a reference scan of the same modality, percent by percent.

    Raises:
        PolyscanError: either has no contrast inside its mask.
    """
    return Landmarks(_percentiles(values, mask, _QUANTILES), _percentiles(reference, reference_mask, _QUANTILES))


@dataclass(frozen=True)
class Whitening:
    """A joint normalisation of several modalities that can be undone: mean 0, and the identity as covariance.

    ZCA-cor whitening, correlation^(-1/2) deviation^(-1) (x - mean) (Kessy et al., The American Statistician 72, 2018,
    Table 1), which stays nearest to the modalities themselves, whatever units they have. Where two say the same, what
    they have in common is kept once, which normalising each alone cannot do.

    Attributes:
        mean: (modality,).
        whiten, colour: (modality, modality), inverse to each other.
    """

    mean: np.ndarray
    whiten: np.ndarray
    colour: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, mask: np.ndarray) -> Whitening:
        """Learn it from (modality, ...) values where all are finite inside a bool mask of shape (...).

        Raises:
            PolyscanError: one of them has no contrast there, or is a linear combination of the others.
        """
        inside = values[:, mask & np.isfinite(values).all(0)].astype(np.float64)
        if inside.shape[1] <= len(inside):
            raise PolyscanError("Too few voxels are measured in all modalities to normalise them together.")
        mean, deviation = inside.mean(1), inside.std(1, ddof=1)
        if deviation.min() == 0:
            raise PolyscanError("One modality has no contrast inside the body: they cannot be whitened together.")
        scaled = (inside - mean[:, None]) / deviation[:, None]
        sizes, directions = np.linalg.eigh(np.atleast_2d(np.cov(scaled)))
        if sizes.min() <= 1e-9 * sizes.max():
            raise PolyscanError("One modality is a copy of others inside the body: they cannot be whitened together.")
        return cls(
            mean,
            directions @ np.diag(sizes**-0.5) @ directions.T / deviation,
            deviation[:, None] * (directions @ np.diag(sizes**0.5) @ directions.T),
        )

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(modality, ...) whitened, float32; a voxel that one modality lacks (NaN) is NaN in all."""
        return np.tensordot(self.whiten, values - _column(self.mean, values), axes=1).astype(np.float32)

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """The modalities as they were."""
        return (np.tensordot(self.colour, values, axes=1) + _column(self.mean, values)).astype(np.float32)


def _column(mean: np.ndarray, values: np.ndarray) -> np.ndarray:
    return mean.reshape(-1, *[1] * (values.ndim - 1))


def _inside(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    inside = values[mask & np.isfinite(values)].astype(np.float64)
    if inside.size == 0:
        raise PolyscanError("The scan has no voxel inside the body: it cannot be normalised.")
    return inside


def _standardization(centre: float, scale: float) -> Standardization:
    if scale <= _ROUNDING * abs(centre):
        raise PolyscanError("The scan has no contrast inside the body: it cannot be normalised.")
    return Standardization(centre, scale)


def _percentiles(values: np.ndarray, mask: np.ndarray, percentiles: Sequence[float]) -> np.ndarray:
    """Rising intensities at percentiles; equal ones are parted by as little as keeps the map invertible."""
    found = np.percentile(_inside(values, mask), percentiles)
    contrast = found[-1] - found[0]
    if contrast <= 0:
        raise PolyscanError("The scan has no contrast inside the body: it cannot be normalised.")
    return np.maximum.accumulate(found) + contrast * 1e-6 * np.arange(len(found))


def _piecewise(values: np.ndarray, own: np.ndarray, standard: np.ndarray) -> np.ndarray:
    slopes = np.diff(standard) / np.diff(own)
    part = np.clip(np.searchsorted(own, values) - 1, 0, len(slopes) - 1)
    return (standard[part] + (values - own[part]) * slopes[part]).astype(np.float32)
