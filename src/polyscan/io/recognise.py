"""Which modality a series is: by what the machine was set to, and only then by what somebody wrote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from polyscan.io.attributes import number, text, words

if TYPE_CHECKING:
    from pydicom import Dataset

_CONTRAST = {"gd", "ce", "gad", "post", "contrast", "postcontrast", "gado"}
_WORDS = {
    "T1c": {"t1c", "t1ce", "t1gd", "t1post"},
    "FLAIR": {"flair", "fla"},
    "ADC": {"adc"},
    "CBF": {"cbf", "rcbf"},
    "DWI": {"dwi", "diffusion", "trace"},
    "T1": {"t1", "t1w", "mprage", "bravo", "spgr"},
    "T2": {"t2", "t2w"},
    "PD": {"pd", "pdw"},
    "PET": {"pet", "pt", "suv"},
    "CT": {"ct"},
}


def from_words(text: str) -> str | None:
    """The modality that a name or a description tells of, as ``"sub-1_ce-gd_T1w"`` does of T1c; None where none."""
    words = set(re.split(r"[^a-z0-9]+", text.lower()))
    for name, known in _WORDS.items():
        if words & known:
            return "T1c" if name == "T1" and words & _CONTRAST else name
    return None


def from_header(header: Dataset) -> tuple[str | None, str]:
    """The modality of a DICOM series and the reason, from the header of one of its slices.

    MR is told by repetition, echo and inversion time (thresholds as in Bushberg, The Essential Physics of Medical
    Imaging, chapter 12), the contrast agent and the b-value; by the description where these are not there.
    """
    kind = {word.upper() for word in words(header, "ImageType")}
    told = set(re.split(r"[^a-z0-9]+", _description(header).lower()))
    if kind & {"LOCALIZER", "SCOUT"} or told & {"localizer", "localiser", "scout", "topogram", "scanogram", "survey"}:
        return None, "a localizer"
    if kind & {"MIP", "MINIP", "PROJECTION IMAGE", "SECONDARY CAPTURE", "SCREEN SAVE"} or told & {"mip", "minip"}:
        return None, "a projection or a capture, not a volume"
    if (number(header, "SamplesPerPixel") or 1) != 1 or text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return None, "a colour image"
    if text(header, "SOPClassUID").startswith("1.2.840.10008.5.1.4.1.1.7"):
        return None, "a secondary capture, not a volume"
    dicom = text(header, "Modality")
    if dicom == "CT":
        return "CT", "Modality is CT"
    if dicom == "PT":
        corrected = {word.upper() for word in words(header, "CorrectedImage")}
        attenuation = "ATTN" in corrected or text(header, "AttenuationCorrected") == "YES"
        return ("PET", "Modality is PT") if attenuation else (None, "PET without attenuation correction")
    if dicom == "MR":
        return _magnetic(header, kind)
    return None, f"Modality is {dicom or 'missing'}, not MR, CT or PT"


def _magnetic(header: Dataset, kind: set[str]) -> tuple[str | None, str]:
    component = text(header, "ComplexImageComponent").upper()
    if kind & {"P", "PHASE", "PHASE MAP", "R", "REAL", "I", "IMAGINARY"} or component not in ("", "MAGNITUDE", "MIXED"):
        return None, "a phase, real or imaginary image, not the magnitude"
    if "ADC" in kind:
        return "ADC", "ImageType says ADC"
    if kind & {"CBF", "RCBF"}:
        return "CBF", "ImageType says CBF"
    weighting = number(header, "DiffusionBValue")
    if "DIFFUSION" in kind or weighting:
        if weighting == 0:
            return None, "the unweighted (b = 0) image of a diffusion series"
        return "DWI", "a diffusion b-value is given"
    repetition, echo, inversion = (number(header, n) for n in ("RepetitionTime", "EchoTime", "InversionTime"))
    told = from_words(_description(header))
    if repetition is None or echo is None:
        if told is None or told in ("CT", "PET"):
            return None, "neither sequence parameters nor a description tell the contrast"
        return told, "the series description says so; repetition and echo time are not given"
    settings = f"TR {repetition:g} ms, TE {echo:g} ms" + (f", TI {inversion:g} ms" if inversion else "")
    if told in ("ADC", "DWI", "CBF"):
        return told, f"the series description says so; {settings}"
    if "EP" in words(header, "ScanningSequence"):
        return None, f"echo-planar without a diffusion b-value, as in functional or perfusion imaging; {settings}"
    if inversion and inversion >= 1500 and echo >= 60:
        return "FLAIR", settings
    if echo >= 60 and repetition >= 2000:
        return "T2", settings
    if echo < 35 and (repetition < 1200 or (inversion and inversion < 1500)):
        agent = text(header, "ContrastBolusAgent").lower()
        given = bool(agent and agent not in ("no", "none", "n")) or told == "T1c"
        return ("T1c", settings + ", contrast agent") if given else ("T1", settings)
    if echo < 60 and repetition >= 2000:
        return "PD", settings
    return told, f"{settings}: between the usual ranges" + (", the series description decides" if told else "")


def _description(header: Dataset) -> str:
    return " ".join(text(header, name) for name in ("SeriesDescription", "ProtocolName"))
