"""Scanners: from tissue fractions to what a machine records of them, on its own grid and with its own faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from polyscan.geometry import spacing_of
from polyscan.phantom.anatomy import Anatomy
from polyscan.phantom.random_field import RandomField
from polyscan.phantom.tissues import NAMES, TISSUES, Tissue

FOV = (198.0, 228.0, 204.0)  # mm, right-left, front-back, foot-head
_RELAXIVITY = 4.5  # L/(mmol s), gadolinium at 1.5 T (Rohrer et al., Invest Radiol 40, 2005)
_CHUNK = 400_000  # points at a time


@dataclass(frozen=True)
class Grid:
    """Where voxels lie: ``affine`` from (x, y, z) indices to the scanner's RAS+ millimetres, and how many there are."""

    affine: np.ndarray
    shape: tuple[int, int, int]


@dataclass
class Scan:
    """One scan of one subject.

    Attributes:
        modality: its name.
        values: (x, y, z) float32: arbitrary for MRI, HU, or Bq/mL.
        grid: where the voxels lie.
        to_head: (4, 4) from the scanner's to the head's own RAS+ millimetres: where the patient lay.
        settings: the sequence or the injection, by DICOM keyword.
    """

    modality: str
    values: np.ndarray
    grid: Grid
    to_head: np.ndarray
    settings: dict[str, Any] = field(default_factory=dict)


def spoiled_gradient_echo(t: Tissue, tr: float, te: float, flip: float, gadolinium: float = 0.0) -> float:
    """S = PD sin a (1 - E1) / (1 - E1 cos a) exp(-TE/T2) (Haacke et al., Magnetic Resonance Imaging, 1999).

    Times in ms, the angle in degrees. Gadolinium (mmol/L) shortens T1 by 1/T1 + r1 c.
    """
    t1 = 1 / (1 / t.t1 + _RELAXIVITY * gadolinium / 1000)
    e1, a = np.exp(-tr / t1), np.radians(flip)
    return float(t.pd * np.sin(a) * (1 - e1) / (1 - e1 * np.cos(a)) * np.exp(-te / t.t2))


def spin_echo(t: Tissue, tr: float, te: float) -> float:
    """S = PD (1 - exp(-TR/T1)) exp(-TE/T2) (Haacke et al., 1999, spin echo); times in ms."""
    return float(t.pd * (1 - np.exp(-tr / t.t1)) * np.exp(-te / t.t2))


def inversion_recovery(t: Tissue, tr: float, te: float, ti: float) -> float:
    """S = |PD (1 - 2 exp(-TI/T1) + exp(-TR/T1))| exp(-TE/T2) (Haacke et al., 1999, inversion recovery); times in ms."""
    return float(abs(t.pd * (1 - 2 * np.exp(-ti / t.t1) + np.exp(-tr / t.t1))) * np.exp(-te / t.t2))


def nulling_time(t: Tissue, tr: float) -> float:
    """The inversion time that nulls a tissue: T1 (ln 2 - ln(1 + exp(-TR/T1))), in ms."""
    return float(t.t1 * (np.log(2) - np.log1p(np.exp(-tr / t.t1))))


FLAIR_TI = round(nulling_time(TISSUES["csf"], 9000))
SEQUENCES: dict[str, tuple[dict[str, Any], Callable[[Tissue], float]]] = {
    "T1": (
        {"RepetitionTime": 18, "EchoTime": 4, "FlipAngle": 25, "ScanningSequence": "GR"},
        lambda t: spoiled_gradient_echo(t, 18, 4, 25),
    ),
    "T1c": (
        {"RepetitionTime": 18, "EchoTime": 4, "FlipAngle": 25, "ScanningSequence": "GR", "ContrastBolusAgent": "Gd"},
        lambda t: spoiled_gradient_echo(t, 18, 4, 25, t.gadolinium),
    ),
    "T2": (
        {"RepetitionTime": 5000, "EchoTime": 100, "FlipAngle": 90, "ScanningSequence": "SE"},
        lambda t: spin_echo(t, 5000, 100),
    ),
    "FLAIR": (
        {"RepetitionTime": 9000, "EchoTime": 120, "InversionTime": FLAIR_TI, "FlipAngle": 90, "ScanningSequence": "IR"},
        lambda t: inversion_recovery(t, 9000, 120, FLAIR_TI),
    ),
}


def mri(anatomy: Anatomy, modality: str, grid: Grid, to_head: np.ndarray, generator: np.random.Generator) -> Scan:
    """A magnitude MR image: signal equation, point spread, coil bias, Rician noise, a gain of the day."""
    settings, equation = SEQUENCES[modality]
    signals = np.array([equation(TISSUES[name]) for name in NAMES], dtype=np.float32)
    values = _blur(_sample(anatomy, signals, grid, to_head), grid, 1.2)
    bias = RandomField(generator, 110.0, features=16)
    values *= 1 + 0.09 * _on_grid(lambda points: bias(points)[:, 0], grid)
    level = 0.025 * signals[NAMES.index("white")]
    noise = generator.normal(0, level, (2, *grid.shape)).astype(np.float32)
    values = np.hypot(values + noise[0], noise[1]) * np.float32(generator.uniform(500, 900) / signals.max())
    return Scan(modality, values, grid, to_head, dict(settings))


PARAMETRIC = {
    "ADC": {"RepetitionTime": 6000, "EchoTime": 80, "FlipAngle": 90, "ScanningSequence": "EP"},
    "CBF": {"RepetitionTime": 4500, "EchoTime": 15, "FlipAngle": 90, "ScanningSequence": "EP"},
}


def parametric(
    anatomy: Anatomy,
    modality: str,
    grid: Grid,
    to_head: np.ndarray,
    generator: np.random.Generator,
    tumour: Mapping[str, float],
) -> Scan:
    """A map of diffusion (1e-6 mm^2/s) or blood flow (mL/100 g/min) with Gaussian noise; ``tumour`` is its tissues'."""
    own = [tumour.get(name, getattr(TISSUES[name], modality.lower())) for name in NAMES]
    values = _blur(_sample(anatomy, np.array(own, dtype=np.float32), grid, to_head), grid, 3.0)
    level = 0.06 * own[NAMES.index("grey")]
    values += _blur(generator.normal(0, 3 * level, grid.shape).astype(np.float32), grid, 4.0)
    return Scan(modality, np.clip(values, 0, None), grid, to_head, dict(PARAMETRIC[modality]))


def ct(anatomy: Anatomy, grid: Grid, to_head: np.ndarray, generator: np.random.Generator) -> Scan:
    """A CT in HU, clipped to what 12 bits hold, with Gaussian noise."""
    numbers = np.array([TISSUES[name].hu for name in NAMES], dtype=np.float32)
    values = _blur(_sample(anatomy, numbers, grid, to_head), grid, 1.0)
    values += generator.normal(0, 6, grid.shape).astype(np.float32)
    return Scan("CT", np.clip(np.rint(values), -1024, 3071), grid, to_head, {"KVP": 120})


def pet(anatomy: Anatomy, grid: Grid, to_head: np.ndarray, generator: np.random.Generator) -> Scan:
    """An FDG PET in Bq/mL, decay-corrected to the start of the scan: Poisson noise between two point spreads."""
    uptake = np.array([TISSUES[name].suv for name in NAMES], dtype=np.float32)
    injection = {
        "PatientWeight": round(generator.uniform(50, 100), 1),
        "RadionuclideTotalDose": round(generator.uniform(180e6, 400e6)),
        "RadionuclideHalfLife": 6586.2,
        "uptake_seconds": round(generator.uniform(2700, 4500)),
    }
    left = injection["RadionuclideTotalDose"] * 0.5 ** (injection["uptake_seconds"] / 6586.2)
    to_becquerel = left / (injection["PatientWeight"] * 1000)
    suv = _blur(_sample(anatomy, uptake, grid, to_head), grid, 5.0)
    counts = 0.6 * abs(np.linalg.det(grid.affine[:3, :3]))  # detected in a voxel at SUV 1
    noisy = generator.poisson(np.clip(suv, 0, None) * counts).astype(np.float32) / np.float32(counts)
    return Scan("PET", _blur(noisy, grid, 4.0) * np.float32(to_becquerel), grid, to_head, injection)


def _sample(anatomy: Anatomy, values: np.ndarray, grid: Grid, to_head: np.ndarray) -> np.ndarray:
    """Average a property over each voxel; along an axis coarser than 4 mm over several points."""
    spacing = spacing_of(grid.affine)
    counts = [max(1, round(s / 3)) if s > 4 else 1 for s in spacing]
    total = np.zeros(grid.shape, dtype=np.float32)
    offsets = [[(k + 0.5) / n - 0.5 for k in range(n)] for n in counts]
    for offset in np.stack(np.meshgrid(*offsets), -1).reshape(-1, 3):
        shifted = grid.affine.copy()
        shifted[:3, 3] += shifted[:3, :3] @ offset
        fine = Grid(to_head @ shifted, grid.shape)
        total += _on_grid(lambda points: values @ anatomy.fractions(points), fine)
    return total / np.prod(counts)


def _on_grid(function: Callable[[np.ndarray], np.ndarray], grid: Grid) -> np.ndarray:
    """Evaluate a function of (point, 3) coordinates at every voxel, some slices at a time."""
    out = np.empty(grid.shape, dtype=np.float32)
    step = max(1, _CHUNK // (grid.shape[1] * grid.shape[2]))
    for first in range(0, grid.shape[0], step):
        block = out[first : first + step]
        index = np.indices(block.shape, dtype=np.float32).reshape(3, -1).T
        index[:, 0] += first
        block[:] = function(index @ grid.affine[:3, :3].T + grid.affine[:3, 3]).reshape(block.shape)
    return out


def _blur(values: np.ndarray, grid: Grid, fwhm: float) -> np.ndarray:
    """A Gaussian point spread of a full width at half maximum in millimetres."""
    return gaussian_filter(values, fwhm / 2.355 / spacing_of(grid.affine), mode="nearest")
