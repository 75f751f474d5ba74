"""Which of several series of one modality is the usual one: the first that differs from another decides."""

from __future__ import annotations

import re

from pydicom import Dataset

from polyscan.dicom.attributes import number, terms, text, words
from polyscan.dicom.diffusion import b_value, is_directional

_USUAL_B = 1000.0  # s/mm2
_PHASES = ("NominalPercentageOfCardiacPhase", "NominalPercentageOfRespiratoryPhase")
# Per cent of a cycle, and not of what a reconstruction blends, of overlap or of a gas.
_PHASE = re.compile(
    r"^(?!.*(?:asir|veo|dlir|idose|overlap|(?<![a-z])o2|iom)).*(?<![\d.])(?<!a[rv])(?<!ss)\d{1,3}(?:\.\d+)? ?%|"
    r"(?<![a-z])(?<!non[- ])(?:gated(?![a-z])|phase ?[1-9]?0(?!\d))"
)
# Of radiotherapy, of the operating room, of the catheter room, of dentists; and megavoltage CT.
_CONE_BEAM = re.compile(
    r"cbct|cone[- ]?beam|on-board imager|halcyon|ethos|(?<![a-z])xvi(?![a-z])|(?<![a-z])mvct|tomotherapy|"
    r"dyna ?ct|o-arm|ziehm|arcadis|(?<![a-z])(?:cios|artis|allura|azurion|innova|infinix)(?![a-z])|newtom|i-cat|"
    r"galileos|orthophos|promax|planmed|accuitomo|veraview|carestream dental|vatech|sirona|scanora|cranex",
    re.IGNORECASE,
)
_ONE_ENERGY = re.compile(r"(?<![a-z])[ab][ _]?(?:sn ?)?\d{2,3} ?kv")
# Kernels of GE and others by words, of Siemens by their number (B31f is soft, B70f and Br64 are sharp), of Canon, of
# Philips.
_SHARP = re.compile(
    r".*(?:lung|bone|edge|detail|sharp|ultra).*|[bhijtuq][a-z]{0,2}[5-9]\d[a-z]*|fc(?:3\d|5\d|8\d)|(?:[del]|y[bcd])",
    re.IGNORECASE,
)


def far_from_usual(header: Dataset, modality: str | None) -> float:
    """How far a series is from the usual one of its modality; 0 where it is that.

    Of DWI by its b-value, and of one b-value a trace image before a single direction: b = 1000 is taken before b = 50.
    Of MR and CT 1 where it was computed from an original one, of CT 1 of a cone beam, whose values are hardly HU,
    and 2 more of a CT that is a phase of a cycle or made with one of two energies: an average is computed, too.

    Args:
        header: of one of its slices.
        modality: that it is.
    """
    if modality == "DWI":
        found = b_value(header)
        return (0.0 if found is None else abs(found - _USUAL_B)) + is_directional(header) / 2
    is_derived = modality != "PET" and {"DERIVED", "SECONDARY"} <= terms(header, "ImageType")
    is_ct = modality == "CT"
    return float(is_derived + (is_ct and is_cone_beam(header)) + 2 * (is_ct and is_phase_or_energy(header)))


def is_cone_beam(header: Dataset) -> bool:
    """Whether a CT was made by a cone beam or a megavoltage one, whose values are hardly HU."""
    names = ("SeriesDescription", "Manufacturer", "ManufacturerModelName", "ImageType")
    return any(_CONE_BEAM.search(text(header, name)) for name in names)


def is_phase_or_energy(header: Dataset) -> bool:
    """Whether a CT is one phase of a cycle, or was made with one of two energies."""
    said = text(header, "SeriesDescription").lower()
    phase = _PHASE.search(said) or any(number(header, name) is not None for name in _PHASES)
    return bool(phase or _ONE_ENERGY.search(said))


def is_roughly_reconstructed(header: Dataset) -> bool:
    """Whether a CT was reconstructed for lungs or bones, with more noise, or an MR without correction of distortion.

    Siemens says ND in ImageType, and DIS2D or DIS3D of the image that its gradients bend no more.
    """
    return any(map(_SHARP.fullmatch, words(header, "ConvolutionKernel")[:1])) or "ND" in words(header, "ImageType")
