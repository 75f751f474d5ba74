"""Which modality a series is: by what the machine was set to, and only then by what somebody wrote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

_CONTRAST = {"gd", "ce", "gad", "post", "contrast", "postcontrast", "gado"}
_WORDS = {
    "T1c": {"t1c", "t1ce", "t1gd", "t1post"},
    "FLAIR": {"flair", "fla"},
    "ADC": {"adc"},
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
    dicom = str(header.get("Modality", "") or "")
    kind = {str(v).upper() for v in _several(header.get("ImageType"))}
    if kind & {"LOCALIZER", "SCOUT"}:
        return None, "a localizer"
    if kind & {"MIP", "PROJECTION IMAGE", "SECONDARY CAPTURE"}:
        return None, "a projection or a capture, not a volume"
    if int(header.get("SamplesPerPixel", 1) or 1) != 1:
        return None, "a colour image"
    if dicom == "CT":
        return "CT", "Modality is CT"
    if dicom == "PT":
        attenuation = "ATTN" in {str(v).upper() for v in _several(header.get("CorrectedImage"))}
        return ("PET", "Modality is PT") if attenuation else (None, "PET without attenuation correction")
    if dicom == "MR":
        return _magnetic(header, kind)
    return None, f"Modality is {dicom or 'missing'}, not MR, CT or PT"


def _magnetic(header: Dataset, kind: set[str]) -> tuple[str | None, str]:
    if "ADC" in kind:
        return "ADC", "ImageType says ADC"
    if "DIFFUSION" in kind or _number(header.get((0x0018, 0x9087))):
        return "DWI", "a diffusion b-value is given"
    repetition, echo, inversion = (
        _number(header.get(name)) for name in ("RepetitionTime", "EchoTime", "InversionTime")
    )
    words = " ".join(str(header.get(name, "") or "") for name in ("SeriesDescription", "ProtocolName"))
    told = from_words(words)
    if repetition is None or echo is None:
        if told is None or told in ("CT", "PET"):
            return None, "neither sequence parameters nor a description tell the contrast"
        return told, "the series description says so; repetition and echo time are not given"
    settings = f"TR {repetition:g} ms, TE {echo:g} ms" + (f", TI {inversion:g} ms" if inversion else "")
    if told in ("ADC", "DWI"):
        return told, f"the series description says so; {settings}"
    if inversion and inversion >= 1500 and echo >= 60:
        return "FLAIR", settings
    if echo >= 60 and repetition >= 2000:
        return "T2", settings
    if echo < 35 and (repetition < 1200 or (inversion and inversion < 1500)):
        agent = str(header.get("ContrastBolusAgent", "") or "").strip().lower()
        given = bool(agent and agent not in ("no", "none", "n")) or told == "T1c"
        return ("T1c", settings + ", contrast agent") if given else ("T1", settings)
    if echo < 60 and repetition >= 2000:
        return "PD", settings
    return told, f"{settings}: between the usual ranges" + (", the series description decides" if told else "")


def _several(value: Any) -> list[Any]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _number(value: Any) -> float | None:
    value = getattr(value, "value", value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
