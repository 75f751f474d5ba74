"""Which modality a series is: by what the machine was set to and says of the image, then by what somebody wrote.

What is none is left out under its own name; what nothing tells is left out as not known. Short or long repetition and
echo times alone are never a contrast.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydicom import Dataset
from pydicom.uid import MRSpectroscopyStorage

from polyscan.dicom.agent import DENIED, agent_given
from polyscan.dicom.attributes import (
    MODALITIES,
    RESCALE_TYPES,
    is_hounsfield,
    number,
    private,
    term,
    terms,
    text,
    units_of,
    words,
)
from polyscan.dicom.diffusion import b_value
from polyscan.dicom.words import (
    ATTENUATION_MAP,
    KINETIC,
    REFORMATTED,
    SEVERAL_B,
    TRANSMISSION,
    UNCORRECTED,
    UNWEIGHTED,
    Told,
    dual_energy,
    said_of,
    told,
    without_reformat,
)

_CURVED = {"CPR", "CURVED", "MPR_CURVED"}
# What ImageType (0008,0008) or FrameType says an image is, of any machine and then of MR, in values that are no words.
_NO_VOLUME = {
    "a localizer": {"REF_SURVIEW"},
    "a projection, not a volume": {"VOLREN", "VR", "IVI"},
    "a screen capture or report": {"SECONDARY CAPTURE", "SCREEN SAVE", "SSAVE", "VXTL STATE"},
    REFORMATTED: {"REFORMATTED", "MPR", "CPR", "CSA MPR", "CSA RESAMPLED", "CURVED", "MPR_CURVED"},
}  # fmt: skip
_MR_OTHER = {
    "an exponential ADC map": {"EXP", "EXPADC", "EXP ATTENUATION"},
    "a B0 field map": {"B0"},
    "a quantitative map": {"RHO", "T2_STAR_UNSPECI"},
    "a diffusion tensor map": {"FRACT", "RD", "AD", "MD", "L1", "L2", "L3"},
    "an angiography": {"PC", "VELOCITY", "VELOCITY MAP"},
    "an image of fat and water apart": {"W", "F", "IP", "OP", "FF"},
    "a spectroscopy": {"METABOLITE_MAP"},
    "a phase, real or imaginary image": {"P", "PHASE", "R", "CR", "I", "PHASE_SUBTRACTED"},
}  # fmt: skip
_MAPS = ("ADC", "CBF", "CBV")
_ANYWHERE = (
    "a localizer", "a projection, not a volume", "a subtraction of two scans", "a screen capture or report",
    "a monitoring of the contrast agent", "a fusion of two scans", "a CT computed from MR", REFORMATTED, TRANSMISSION,
)  # fmt: skip
_DUAL_ENERGY = {"VNI", "MD", "MONO", "DE_MONO", "DE_MAP", "CALCIUM", "WATER"}
_MATERIAL = re.compile("MAT(?:ERIAL)?_|EFF_ATOMIC")
_CT_MAPS = {"TDR", "PMB", "TTD", "TTS"}
_CT_PERFUSION = "a perfusion series or map, not in Hounsfield units"
_BONES_TAKEN = re.compile(
    r"bones?[-_ ]*(?:remov|subtr|free|less|suppr|strip)|(?:no|without|w/?o)[-_ ]+bones?", re.IGNORECASE
)
_NO_ACTIVITY = {
    "1CM", "CM2", "MGMINML", "MLG", "MLMING", "MLMINML", "MLML", "NONE", "PCNT", "STDDEV", "UMOLMINML", "UMOLML",
}  # fmt: skip
"""Units (0054,1001) of PET that are neither an activity, nor counts, nor SUV."""
_TURBO_EPI = 7  # Philips' EPI factor: 1 where there is none, small in gradient and spin echo (GRASE)
_BETWEEN = 30  # ms of echo time: from here on people call T2 what others call PD
_FLUID_ALONE = 500  # ms of echo time, after which tissue shows no more: hydrography, as of the bile ducts
NOT_KNOWN = "not known: neither the sequence nor a description tells the contrast"


def from_header(header: Dataset, beside: Sequence[Dataset] = ()) -> tuple[str | None, str]:
    """The modality of a DICOM volume and the reason.

    Args:
        header: of one of its slices.
        beside: the headers of all slices of its series, of other volumes too: b = 0 is told by b > 0 beside it.

    Returns:
        The modality, or None where it is left out; the reason in one phrase.
    """
    kind = terms(header, "ImageType")
    said = said_of(header, as_acquired={"ORIGINAL", "PRIMARY"} <= kind)
    if reason := _no_volume(kind):
        return None, reason
    if (number(header, "SamplesPerPixel") or 1) != 1 or text(header, "PhotometricInterpretation") == "PALETTE COLOR":
        return None, "a colour image"
    sop = text(header, "SOPClassUID")
    if sop.startswith("1.2.840.10008.5.1.4.1.1.7"):
        return None, "a secondary capture, not a volume"
    dicom = text(header, "Modality")
    if said.other in _ANYWHERE or (said.other == ATTENUATION_MAP and dicom != "PT"):  # of a PET its units tell
        return None, said.other
    if dicom == "CT":
        return _tomography(header, kind)
    if dicom == "PT":
        return _positrons(header, kind)
    if dicom == "MR":
        return (None, "a spectroscopy") if sop == MRSpectroscopyStorage else _magnetic(header, kind, said, beside)
    return None, f"Modality is {term(header, 'Modality', MODALITIES)}, not MR, CT or PT"


def of_image_type(header: Dataset) -> str:
    """What ImageType says that a slice is, other than one of a usual volume: no volume has both."""
    kind = terms(header, "ImageType")
    found = _by_image_type(kind) if text(header, "Modality") == "MR" else None
    return _no_volume(kind) or (found[1] if found else "")


def of_reformat(header: Dataset, beside: Sequence[Dataset] = ()) -> tuple[str | None, str]:
    """What a series that is called a reformatted one would be, had nothing said so; None of curved ones.

    Args:
        header: as for :func:`from_header`.
        beside: as for :func:`from_header`.
    """
    if terms(header, "ImageType") & _CURVED:
        return None, REFORMATTED
    plain = Dataset(dict(header.items()))
    plain.ImageType = [word for word in words(header, "ImageType") if word.upper() not in _NO_VOLUME[REFORMATTED]]
    for name in ("SeriesDescription", "ProtocolName"):
        setattr(plain, name, without_reformat(text(header, name)))
    return from_header(plain, beside)


def _tomography(header: Dataset, kind: set[str]) -> tuple[str | None, str]:
    if not is_hounsfield(header):
        said = term(header, "RescaleType", RESCALE_TYPES)
        map_of = ", as of a dual-energy map" if said in RESCALE_TYPES else ""
        return None, f"not in Hounsfield units: RescaleType is {said}{map_of}"
    if found := kind & _DUAL_ENERGY or set(filter(_MATERIAL.match, kind)):
        return None, f"a dual-energy map: ImageType says {min(found)}"
    if kind & _CT_MAPS:
        return None, _CT_PERFUSION
    for source, plain in _written(header, kind):
        if _BONES_TAKEN.search(plain):
            return None, f"a CT without its bones: {source} says so"
        if written := dual_energy(plain):
            return None, f"a dual-energy map: {source} says {written}"
        if told(plain).modality in _MAPS or (told(plain).other or "").startswith("a perfusion"):
            return None, _CT_PERFUSION
    return "CT", "Modality is CT"


def _written(header: Dataset, kind: set[str]) -> list[tuple[str, str]]:
    """What says in words what a series is, and the words."""
    return [
        *(("ImageType", word) for word in sorted(kind)),
        ("the series description", text(header, "SeriesDescription")),
    ]


def _positrons(header: Dataset, kind: set[str]) -> tuple[str | None, str]:
    if "REPROJECTION" in terms(header, "SeriesType"):
        return None, "a projection, not a volume: SeriesType says REPROJECTION"
    if (unit := units_of(header)) in _NO_ACTIVITY:
        return None, f"a map, and no image of activity: Units is {unit}"
    for source, plain in _written(header, kind):
        if (other := told(f"PET {plain}").other) in (UNCORRECTED, KINETIC):
            return None, f"{other}: {source} says so"
    corrected = terms(header, "CorrectedImage")
    method = text(header, "AttenuationCorrectionMethod").lower()
    if "ATTN" in corrected or text(header, "AttenuationCorrected") == "YES":
        return "PET", "Modality is PT"
    if not corrected and not DENIED.match(method):
        return "PET", "Modality is PT, and AttenuationCorrectionMethod names one"
    return None, "PET without attenuation correction, or nothing says that it was corrected"


def _magnetic(header: Dataset, kind: set[str], said: Told, beside: Sequence[Dataset]) -> tuple[str | None, str]:
    if found := _by_image_type(kind):
        return found
    if not _is_magnitude(header):
        return None, "a phase, real or imaginary image, not the magnitude"
    if text(header, "AngioFlag") == "Y":
        return None, "an angiography: AngioFlag is Y"
    if text(header, "ArterialSpinLabelingContrast"):
        return None, "an arterial spin labelling series: ArterialSpinLabelingContrast says so"
    called = f"{text(header, 'SeriesDescription')} {text(header, 'ProtocolName')}".lower()
    if "mp2rage" in called and not ("UNI" in kind or "uni" in called):
        return None, "an inversion image of MP2RAGE, or a map: nothing says that it is the uniform image (UNI)"
    of_several = said.other in (UNWEIGHTED, SEVERAL_B) and b_value(header) is not None  # words are of the whole series
    if of_several and (weighted := _diffusion(header, kind, said, beside)):
        return weighted
    if said.other:
        return None, f"{said.other}: its description says so"
    if said.modality in _MAPS:
        return said.modality, "the series description says so"
    if weighted := _diffusion(header, kind, said, beside):
        return weighted
    if "SWI" in kind:
        return "SWI", "ImageType says SWI"
    acquired = told(text(header, "AcquisitionContrast"))  # which enhanced objects have
    if acquired.other:
        return None, f"{acquired.other}: AcquisitionContrast says so"
    return _weighting(header, said, acquired.modality)


def _no_volume(kind: set[str]) -> str | None:
    """What ImageType says of an image of any machine that is none of a volume."""
    named = [reason for reason, values in _NO_VOLUME.items() if kind & values]
    named += [other for word in sorted(kind) if (other := told(word).other) in (*_ANYWHERE, ATTENUATION_MAP)]
    return next((reason for reason in named if reason != REFORMATTED or "ORIGINAL" not in kind), None)


def _by_image_type(kind: set[str]) -> tuple[str | None, str] | None:
    """What ImageType says that an image of MR is; None where it says nothing of it."""
    for reason, values in _MR_OTHER.items():
        if kind & values:
            return None, f"{reason}: ImageType says {min(kind & values)}"
    written = [told(word) for word in sorted(kind)]
    named = next((found.modality for found in written if found.modality in _MAPS), None)
    other = next((found.other for found in written if found.other), None)
    return (named, f"{named or other}: ImageType says so") if named or other else None


def _is_magnitude(header: Dataset) -> bool:
    component = text(header, "ComplexImageComponent").upper()
    part = private(header, 0x0043, "GEMS_PARM_01", 0x2F)[:1]  # of GE: 0 magnitude, 1 phase, 2 real, 3 imaginary
    return component in ("", "MAGNITUDE", "MIXED") and part not in ([1.0], [2.0], [3.0])


def _diffusion(header: Dataset, kind: set[str], said: Told, beside: Sequence[Dataset]) -> tuple[str | None, str] | None:
    """What a volume of a diffusion series is; None where the series is none.

    Philips and GE write b = 0 in anatomical series too: that a series is one of diffusion is told by a b > 0 in it.
    """
    own = b_value(header)
    highest = max((b_value(each) or 0.0 for each in (header, *beside)), default=0.0)
    if not (highest or "DIFFUSION" in kind or said.modality == "DWI"):
        return None
    if own:
        return "DWI", f"b-value {own:g} s/mm2"
    if own == 0 or highest:
        return None, UNWEIGHTED
    return "DWI", "ImageType says DIFFUSION" if "DIFFUSION" in kind else "the series description says so"


def _weighting(header: Dataset, said: Told, acquired: str | None) -> tuple[str | None, str]:
    repetition, echo = number(header, "RepetitionTime"), number(header, "EchoTime")
    inversion = number(header, "InversionTime") or number(header, "InversionTimes")
    sequence = terms(header, "ScanningSequence")
    if (private(header, 0x2001, "Philips Imaging DD 001", 0x13) or [1.0])[0] > _TURBO_EPI:
        sequence.add("EP")
    settings = ", ".join(
        f"{name} {found:g} ms" for name, found in (("TR", repetition), ("TE", echo), ("TI", inversion)) if found
    )
    settings = settings or "repetition and echo time are not given"
    if "EP" in sequence and said.modality not in ("T2star", "SWI"):
        return None, f"echo-planar without a diffusion b-value, as in functional or perfusion imaging; {settings}"
    wanted, source = (said.modality, "the description") if said.modality else (acquired, "AcquisitionContrast")
    if wanted in ("CT", "PET", "DWI"):
        wanted = None
    untold = wanted == "STIR" and not inversion  # whether fluid was nulled or fat
    by_sequence = None if untold else _by_sequence(sequence, repetition, echo, inversion)
    name, reason = _agree(wanted, source, by_sequence, sequence, echo)
    reason = f"{reason}; {settings}"
    if name in ("T1", "T1c"):
        given = agent_given(header, said)
        return ("T1c", f"{reason}; {given}") if given else ("T1", reason)
    return name, reason


def _by_sequence(
    sequence: set[str], repetition: float | None, echo: float | None, inversion: float | None
) -> str | None:
    """The contrast that a sequence has, after Bushberg et al., The Essential Physics of Medical Imaging, chapter 12.

    A gradient echo with short times may be T1, an angiography, a field map or anything else: none of them is told.
    """
    if repetition is None or echo is None:
        return None
    if "GR" in sequence and "SE" not in sequence:
        if inversion and 400 <= inversion < 1500 and echo < 10 and repetition >= 1000:
            return "T1"  # magnetisation-prepared, as MPRAGE is
        return "T2star" if echo >= 12 and not inversion else None
    if not sequence & {"SE", "IR"}:
        return None
    if inversion or "IR" in sequence:
        return _by_inversion(repetition, echo, inversion)
    if echo < 35 and repetition < 1200:
        return "T1"
    if repetition >= 2000:
        return "T2" if 60 <= echo < _FLUID_ALONE else "PD" if echo < 50 else None
    return None


def _by_inversion(repetition: float, echo: float, inversion: float | None) -> str | None:
    if not inversion:
        # Classic Philips does not tell it: what nulls fluid needs a long repetition time.
        return "FLAIR" if repetition >= 6000 and echo >= 80 else None
    if inversion >= 1500:
        return "FLAIR" if echo >= 60 else None
    if inversion < 350:
        return "STIR" if inversion >= 80 and repetition >= 1500 else None
    return "T1" if echo < 35 else None


def _agree(
    wanted: str | None, source: str, by_sequence: str | None, sequence: set[str], echo: float | None
) -> tuple[str | None, str]:
    """One contrast of what was written and what the sequence makes, and which of them decided."""
    written = "T1" if wanted == "T1c" else wanted
    gradient = "GR" in sequence and "SE" not in sequence
    if written is None:
        return (by_sequence, "by its sequence") if by_sequence else (None, NOT_KNOWN)
    if gradient and written == "T2":
        if echo is not None and echo >= 10:
            return "T2star", f"{source} says T2, of a gradient echo"
        return None, f"not known: {source} says T2, but the sequence is a gradient echo with a short echo time"
    if gradient and written == "T1" and by_sequence == "T2star" and (echo or 0) >= 20:
        return None, f"not known: {source} says T1, but the sequence is a gradient echo with a long echo time"
    if by_sequence is None or by_sequence == written or (written == "STIR" and by_sequence != "FLAIR"):
        return wanted, f"{source} says so"
    if written in ("SWI", "T2star") and by_sequence != "T2star":
        return None, f"not known: {source} says {written}, the sequence is that of {by_sequence}"
    if written == "T2" and by_sequence == "PD" and (echo or 0) >= _BETWEEN:
        return wanted, f"{source} says so"
    if {written, by_sequence} <= {"T1", "T2", "PD"} and not gradient:
        return by_sequence, f"by its sequence, though {source} says {written}"
    if written == "FLAIR" and by_sequence in ("T1", "STIR"):
        return None, f"not known: {source} says FLAIR, the sequence is that of {by_sequence}"
    if written == "T2" and by_sequence in ("FLAIR", "STIR"):
        return by_sequence, "by its sequence"
    if written in ("T1", "STIR") and by_sequence == "FLAIR":
        return by_sequence, f"by its sequence, though {source} says {written}"
    return wanted, f"{source} says so"
